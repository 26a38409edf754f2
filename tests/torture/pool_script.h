/* SPDX-License-Identifier: Apache-2.0 */
/* What the third and the fourth process do with the pool while one is stopped in a call. Part of torture.c. */
#ifndef AMX_TEST_POOL_SCRIPT_H
#define AMX_TEST_POOL_SCRIPT_H

/* Nobody may use a pool that is being removed. One that is being made is there or not. */
static bool pool_joined_by(int who)
{
    if (!sc.pool.block || sc.pool.going)
        return false;
    int e = BID(who, .verb = sc.pool.plain ? V_POOL_PLAIN_ATTACH : V_POOL_ATTACH, .ref = sc.pool.block,
                .offset = sc.pool.base);
    assert_true(e == AMX_OK || sc.pool.at_stake);
    return e == AMX_OK;
}

static amx_id owner_of_strange(void)
{
    return sc.pool.plain ? STRANGE : AMX_POOL_SELF;
}

/* AMX_SLOT_NONE: none is free, or he has as many as he may. */
static amx_slot strange_slot(int who, size_t n)
{
    struct call c = {.verb = V_SLOT_ALLOC, .n = n, .to = owner_of_strange()};
    int e = bid(who, &c);
    assert_true(e == AMX_OK || e == AMX_E_NOMEM || (e == AMX_E_BUSY && sc.pool.arena) ||
                (e == AMX_E_QUOTA && (sc.pool.quota || sc.pool.next)));
    return e ? AMX_SLOT_NONE : c.out;
}

/* The third one has some of each kind when it is killed. */
static void slots_of_third(struct third *r)
{
    if (!pool_joined_by(THIRD))
        return;
    for (int k = 0; k < (sc.pool.arena ? 4 : 2); k++)
        if ((r->slot[k] = strange_slot(THIRD, k < 2 ? 16 : 70)) != AMX_SLOT_NONE)
            ok(BID(THIRD, .verb = k & 1 ? V_SLOT_SET_STATE : V_SLOT_PUBLISH, .ref = r->slot[k], .state = 3000));
    (void)strange_slot(THIRD, 16);
    (void)strange_slot(THIRD, 32);
}

static void survivor_recovers_plain(unsigned living)
{
    if (!sc.pool.plain || !pool_joined_by(SURVIVOR))
        return;
    for (int who = 0; who < HANDLES; who++)
        if (!(living >> peer_of[who] & 1))
            ok(BID(SURVIVOR, .verb = V_POOL_RECOVER, .to = (amx_id)who + 1));
}

/* Every call on one slot. */
static void one_strange_slot(size_t n)
{
    struct call c = {.verb = V_SLOT_GIVE};
    amx_slot s = strange_slot(SURVIVOR, n);
    if (!s)
        return;
    c.ref = s;
    c.to = sc.pool.plain ? STRANGE : t.entered;
    ok(BID(SURVIVOR, .verb = V_SLOT_SET_STATE, .ref = s, .state = 77));
    ok(BID(SURVIVOR, .verb = V_SLOT_TRANSITION, .ref = s, .state = 77, .next = 78));
    ok(BID(SURVIVOR, .verb = V_SLOT_PUBLISH, .ref = s));
    ok(BID(SURVIVOR, .verb = V_SLOT_ADOPT, .ref = s, .to = owner_of_strange()));
    ok(bid(SURVIVOR, &c));
    ok(BID(SURVIVOR, .verb = V_SLOT_FREE, .ref = c.out));
}

/* Each call, then all slots that are to be had, and back. */
static void pool_script(const struct third *r)
{
    static amx_slot all[LIVE];
    struct call look = {.verb = V_POOL_LOOK};
    struct amx_pool p;
    uint32_t n = 0, most;
    unsigned living = (sc.here[P] ? 1u : 0) | (sc.here[Q] ? 2u : 0);
    if (!pool_joined_by(SURVIVOR))
        return;
    if (sc.pool.plain)
        ok(BID(SURVIVOR, .verb = V_POOL_RECOVER, .to = STRANGE));
    for (int k = 0; k < 4; k++)
        if (r->slot[k])
            ok(BID(SURVIVOR, .verb = V_SLOT_FREE, .ref = r->slot[k]));
    judge_pool(sc.look, living, false); /* what the third one had is free, and it took nothing from others */
    if (sc.pool.growth) {               /* whatever the stopped one has begun */
        int e = BID(SURVIVOR, .verb = V_POOL_EXTEND, .n = 0, .count = GROWTH);
        assert_true(e == AMX_OK || shortage(e) || (e == AMX_E_FULL && no_object_left(sc.look)));
    }
    one_strange_slot(1);
    if (sc.pool.arena)
        one_strange_slot(90);
    ok(bid(SURVIVOR, &look));
    ok(pool_seen_by(sc.look, &p));
    bool counting = t.counting;
    t.counting = false;
    ok(amx_pool_quota(&p, &most));
    for (size_t bytes = 1; bytes <= (sc.pool.arena ? 41 : 1); bytes += 40)
        for (amx_slot s; (s = strange_slot(SURVIVOR, bytes)) != AMX_SLOT_NONE;) {
            assert_true(n < LIVE);
            all[n++] = s;
        }
    struct call same = {.verb = V_ALLOC, .n = 41};
    if (most && n >= most) {
        assert_int_equal(n, most);
    } else if (n + look.got < pool_slots(&p)) { /* not for want of slots */
        assert_true(sc.pool.arena && shortage(bid(SURVIVOR, &same)));
    } else {
        assert_int_equal(n + look.got, pool_slots(&p));
    }
    while (n)
        ok(BID(SURVIVOR, .verb = V_SLOT_FREE, .ref = all[--n]));
    t.counting = counting;
}

#endif
