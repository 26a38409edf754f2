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

/* AMX_SLOT_NONE: none is free. */
static amx_slot strange_slot(int who, size_t n)
{
    struct call c = {.verb = V_SLOT_ALLOC, .n = n, .to = owner_of_strange()};
    int e = bid(who, &c);
    assert_true(e == AMX_OK || e == AMX_E_NOMEM);
    return e ? AMX_SLOT_NONE : c.out;
}

/* The third one has some of each kind when it is killed. */
static void slots_of_third(struct third *r)
{
    if (!pool_joined_by(THIRD))
        return;
    for (int k = 0; k < 2; k++)
        if ((r->slot[k] = strange_slot(THIRD, 16)) != AMX_SLOT_NONE)
            ok(BID(THIRD, .verb = k ? V_SLOT_SET_STATE : V_SLOT_PUBLISH, .ref = r->slot[k], .state = 3000));
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

/* Every call, then all slots that are to be had, and back. */
static void pool_script(const struct third *r)
{
    static amx_slot all[LIVE];
    struct call look = {.verb = V_POOL_LOOK};
    struct amx_pool p;
    uint32_t n = 0;
    unsigned living = (sc.here[P] ? 1u : 0) | (sc.here[Q] ? 2u : 0);
    if (!pool_joined_by(SURVIVOR))
        return;
    if (sc.pool.plain)
        ok(BID(SURVIVOR, .verb = V_POOL_RECOVER, .to = STRANGE));
    for (int k = 0; k < 2; k++)
        if (r->slot[k])
            ok(BID(SURVIVOR, .verb = V_SLOT_FREE, .ref = r->slot[k]));
    judge_pool(sc.look, living, false); /* what the third one had is free, and it took nothing from others */
    if (sc.pool.growth) {               /* whatever the stopped one has begun */
        int e = BID(SURVIVOR, .verb = V_POOL_EXTEND, .n = 0, .count = GROWTH);
        assert_true(e == AMX_OK || shortage(e) || (e == AMX_E_FULL && no_object_left(sc.look)));
    }
    amx_slot s = strange_slot(SURVIVOR, 1);
    if (s) {
        struct call c = {.verb = V_SLOT_GIVE, .ref = s};
        c.to = sc.pool.plain ? STRANGE : t.entered;
        ok(BID(SURVIVOR, .verb = V_SLOT_SET_STATE, .ref = s, .state = 77));
        ok(BID(SURVIVOR, .verb = V_SLOT_TRANSITION, .ref = s, .state = 77, .next = 78));
        ok(BID(SURVIVOR, .verb = V_SLOT_PUBLISH, .ref = s));
        ok(BID(SURVIVOR, .verb = V_SLOT_ADOPT, .ref = s, .to = owner_of_strange()));
        ok(bid(SURVIVOR, &c));
        ok(BID(SURVIVOR, .verb = V_SLOT_FREE, .ref = c.out));
    }
    ok(bid(SURVIVOR, &look));
    ok(pool_seen_by(sc.look, &p));
    bool counting = t.counting;
    t.counting = false;
    while ((s = strange_slot(SURVIVOR, 1)) != AMX_SLOT_NONE) {
        assert_true(n < LIVE);
        all[n++] = s;
    }
    assert_int_equal(n + look.got, pool_slots(&p));
    while (n)
        ok(BID(SURVIVOR, .verb = V_SLOT_FREE, .ref = all[--n]));
    t.counting = counting;
}

#endif
