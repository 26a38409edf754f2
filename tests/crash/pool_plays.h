/* SPDX-License-Identifier: Apache-2.0 */
/* What is played with slot pools: each call, each of its ways, and the deaths of those who have slots. */
#ifndef AMX_TEST_POOL_PLAYS_H
#define AMX_TEST_POOL_PLAYS_H

#include "plays.h"

/* --- Making, growing, removing ---------------------------------------------------------------------------------- */

static inline int extent_in(const struct amx_object *o, void *ctx)
{
    struct call *c = ctx;
    c->got = o->ref == c->ref ? o->id : 0;
    return c->got != 0;
}

/* The last extent is as after a death in front of its registration: nobody's view knows it. */
static inline amx_ref unregister(void)
{
    struct amx_pool p;
    ok(pool_seen_by(sc.look, &p));
    assert_true(pool_slots(&p) == sc.pool.total && p.parts > p.n && !sc.pool.n);
    const struct amx_pool_part *x = &p.part[p.parts - 1];
    struct call c = {.verb = V_OBJECT_REMOVE, .ref = x->block};
    while (amx_objects(sc.look, extent_in, &c)) /* registered by two, perhaps */
        ok(act(P, NULL, &c));
    sc.pool.total -= x->count;
    for (int who = 0; who < HANDLES; who++)
        pool_attach(who);
    return x->block;
}

static inline void play_pool_growth(struct rng *r)
{
    (void)r;
    if (!do_pool_create("pool_create"))
        return;
    if (do_extend(P, "pool_extend", 0) || do_extend(Q, "pool_extend of a class that has one", 0) ||
        do_extend(P2, "pool_extend of another class", 1)) {
        do_pool_remove(P, "pool_remove");
        return;
    }
    struct slot *s = do_take(P, NULL, 32);
    while (s && AMX_SLOT_INDEX(s->ref) < pool_cls[1].count)
        s = do_take(P, NULL, 32);
    assert_true(s != NULL);
    do_slot_give(P, "slot give, of an extent", s, Q);
    do_return(P2, "slot free, of an extent", s);
    do_take(Q, "slot alloc, of an extent", 32);
    return_all(P);
    /* begun by one who died: not registered; not published either; fallen with him */
    (void)unregister();
    ok(do_extend(P2, "pool_extend, registering what another began", 1));
    amx_ref block = unregister();
    do_adopt(Q, NULL, find_item(block));
    struct item *it = stake(find_item(block)); /* becomes nobody's */
    it->heir = false;
    ok(do_extend(P, "pool_extend, publishing what another began", 1));
    settled(find_item(block));
    sc.item[find_item(block)].peer = NOBODY;
    sc.item[find_item(block)].tag = 0;
    block = unregister();
    do_adopt(Q, NULL, find_item(block));
    kill_q();
    stake_of(1);
    recovered(ASK(P, NULL, .verb = V_RECOVER));
    bereave(1);
    enter_q(NULL);
    pool_attach(Q);
    (void)do_extend(P, "pool_extend in the place of one that fell", 1);
    do_pool_remove(P, "pool_remove, with extents");
}

static inline void play_pool_making(struct rng *r)
{
    (void)r;
    if (!do_pool_init("pool_init_block", false))
        return;
    fails(AMX_E_INVAL, ASK(P, NULL, .verb = V_POOL_RECOVER, .to = 1));
    do_pool_remove(Q, "pool_remove by another");
    if (!do_pool_create(NULL))
        return;
    /* an extent that was begun, and no object is left for it */
    uint64_t id[32];
    unsigned n = 0;
    unsigned i = do_alloc(P, NULL, 16);
    sc.item[i].n = 0;
    amx_ref ref = sc.item[i].ref;
    do_publish(P, NULL, i);
    struct call c = {.verb = V_OBJECT_ADD, .ref = ref, .count = 1, .state = WORD_FREE};
    int e;
    while (!(e = act(P, NULL, &c)))
        id[n++] = c.got;
    fails(AMX_E_FULL, e);
    e = do_extend(P, "pool_extend, no object left", 0);
    while (n)
        ok(ASK(P, NULL, .verb = V_OBJECT_REMOVE, .got = id[--n]));
    if (e == AMX_E_FULL) { /* linked, published, and does not count; the next call goes on with it */
        assert_int_equal(do_extend(Q, "pool_extend, an object is there again", 0), AMX_OK);
        unregister(); /* an extent that was begun is freed with the pool */
    }
    do_pool_remove(P, "pool_remove, with an extent that was begun");
    do_free(P, NULL, find_item(ref));
}

/* --- Slots ------------------------------------------------------------------------------------------------------ */

static inline void take_all(int who, const char *last)
{
    while (do_take(who, NULL, 1))
        ;
    assert_true(!do_take(who, last, 1));
}

/* Somebody has found nothing, and sleeps as far as others know. */
static inline void somebody_waits_for_a_slot(void)
{
    assert_true(!do_take_by(V_SLOT_WAIT, Q, NULL, 1));
}

/* In a segment, and outside. */
static inline void slots_taken(void)
{
    for (unsigned k = 0; k < pool_cls[1].count; k++) { /* what is taken without hints nobody has counted */
        no_hints();
        do_take(P, "slot alloc, by the words", 32);
        if (!k)
            ok(ASK(P, "pool looked at", .verb = V_POOL_LOOK));
    }
    assert_true(!do_take(P, "slot alloc, its class is empty", 32));
    return_all(P);
    do_take(P, "slot alloc", 16);
    do_take(Q, "slot alloc of the next class", 17);
    do_take_by(V_SLOT_WAIT, P2, "slot alloc_wait", 32);
    do_return(P, "slot free", &sc.pool.slot[0]);
    do_return(P, "slot free of another's", &sc.pool.slot[0]);
    no_hints();
    do_take(P, "slot alloc, by the words", 1);
    take_all(P, "slot alloc, nothing free");
    no_hints();
    do_return(P, "slot free into a full pool", &sc.pool.slot[3]);
    no_hints();
    /* another may have it at the moment when it is looked at, and give it back */
    assert_true(do_take(Q, "slot alloc of the last one, by the words", 1) != NULL || sc.helped);
    assert_true(!do_take_by(V_SLOT_WAIT, Q, "slot alloc_wait, nothing free", 1));
    do_return(P, "slot free where somebody waits", &sc.pool.slot[sc.pool.n / 2]);
    while (sc.pool.n > 4) { /* one in each group of 64 stays hidden from the hints */
        if (sc.pool.n == 60)
            no_hints();
        do_return(P2, NULL, &sc.pool.slot[sc.pool.n - 1]);
    }
    do_take(P, "slot alloc, some by the words", 1);
    take_all(Q, NULL);
    somebody_waits_for_a_slot();
    do_return(Q, "slot free where somebody waits", &sc.pool.slot[1]);
    return_all(P);
}

static inline void slots_owned(void)
{
    do_take(P, NULL, 16);
    struct slot *s = &sc.pool.slot[0];
    do_slot_publish(P, "slot publish", s);
    fails(AMX_E_OWNER, ASK(Q, NULL, .verb = V_SLOT_PUBLISH, .ref = s->ref));
    do_slot_adopt(Q, "slot adopt", s);
    fails(AMX_E_OWNER, ASK(P, NULL, .verb = V_SLOT_ADOPT, .ref = s->ref, .to = slot_owner(P)));
    amx_slot before = s->ref;
    do_slot_give(Q, "slot give", s, P2);
    fails(AMX_E_STALE, ASK(Q, NULL, .verb = V_SLOT_FREE, .ref = before));
    do_slot_give(P, "slot give of another's", s, Q);
    do_slot_give(Q, "slot give to myself", s, Q);
    do_slot_state(P, "slot set_state", s, 100);
    do_slot_state(Q, "slot transition", s, 101);
    fails(AMX_E_STATE, ASK(P, NULL, .verb = V_SLOT_TRANSITION, .ref = s->ref, .state = 100, .next = 102));
    do_slot_state(Q, "slot transition to a kept state", s, 4095);
    do_slot_publish(P, "slot publish in a kept state", s);
    do_slot_give(P, "slot give of a published one", s, Q);
    do_slot_state(Q, "slot transition from a kept state", s, 60);
    do_return(P, "slot free of another's, in a state", s);
    do_take(P, NULL, 32);
    s = &sc.pool.slot[0];
    do_slot_publish(P, NULL, s);
    do_return(Q, "slot free of a published one", s);
    do_take(P, NULL, 32);
    do_slot_state(P, "slot set_state, kept", s, AMX_STATE_KEPT);
    do_return(Q, "slot free of a kept one", s);
}

static inline void play_pool_slots(struct rng *r)
{
    (void)r;
    if (!do_pool_create(NULL))
        return;
    slots_taken();
    slots_owned();
    do_take(P, NULL, 16);
    struct call c = {.verb = V_SHARE, .slot = MORE};
    ok(act(P, NULL, &c));
    ok(ASK(P, NULL, .verb = V_UNSHARE, .slot = MORE));
    c = (struct call){.verb = V_SLOT_GIVE, .ref = sc.pool.slot[0].ref, .to = c.id};
    fails(AMX_E_PEER_DEAD, act(P, "slot give to a closed handle", &c));
    assert_true(c.out == sc.pool.slot[0].ref);
    return_all(P);
    do_pool_remove(P, NULL);
}

/* --- Deaths ----------------------------------------------------------------------------------------------------- */

/* Of each kind: private, in a state, kept, published, given away, given to him. */
static inline void q_has_slots(void)
{
    for (unsigned k = 0; k < 6; k++) {
        struct slot *s = do_take(k == 5 ? P : Q, NULL, k == 1 ? 32 : sc.pool.arena && k != 2 ? 20 + 90 * k : 16);
        if (!s) /* the former ones of him are kept, or P's */
            return;
        if (k == 1)
            do_slot_state(Q, NULL, s, 100);
        if (k == 2)
            do_slot_state(Q, NULL, s, 3000);
        if (k == 3)
            do_slot_publish(Q, NULL, s);
        if (k == 4)
            do_slot_give(Q, NULL, s, P2);
        if (k == 5)
            do_slot_give(P, NULL, s, Q);
    }
}

static inline void q_falls(const char *op, bool told)
{
    struct call c = {.verb = sc.pool.plain ? V_POOL_RECOVER : told ? V_RECOVER_TOLD : V_RECOVER, .to = slot_owner(Q)};
    uint64_t kept = 0;
    for (unsigned i = 0; i < sc.pool.n; i++)
        kept += sc.pool.slot[i].peer == 1 && sc.pool.slot[i].state >= AMX_STATE_KEPT;
    for (unsigned i = 0; i < sc.n; i++)
        kept += sc.item[i].peer == 1 && sc.item[i].state >= AMX_STATE_KEPT;
    kill_q();
    stake_of(1);
    recovered(act(P, op, &c));
    if (sc.pool.plain) {
        recovered(ASK(P, NULL, .verb = V_RECOVER));
        bereave_slots(1);
    } else {
        assert_true(!told || c.got == kept || sc.helped);
    }
    bereave(1);
    enter_q(NULL);
    pool_attach(Q);
}

static inline void play_pool_deaths(struct rng *r)
{
    (void)r;
    if (!do_pool_create(NULL))
        return;
    (void)do_extend(P, NULL, 1);
    q_has_slots();
    q_falls("recover slots", false);
    take_all(Q, NULL); /* of the extent too */
    q_has_slots();
    q_falls("recover slots, telling", true);
    q_has_slots();
    stake_of(1);
    stake_slots_of(1);
    ok(ASK(Q, "close of one who has slots", .verb = V_CLOSE));
    bereave(1);
    sc.here[Q] = false;
    sc.ticket[1] = 0;
    enter_q(NULL);
    pool_attach(Q);
    q_has_slots();
    kill_q();
    enter_q("attach, recovering slots");
    bereave(1);
    return_all(P);
    do_pool_remove(P, NULL);
}

/* --- Slots of the arena ------------------------------------------------------------------------------------------- */

static inline struct slot *take_large(int who, const char *op, size_t n)
{
    struct slot *s = do_take(who, op, n);
    assert_non_null(s);
    return s;
}

static inline void all_large(int who)
{
    while (do_take(who, NULL, 30))
        ;
}

static inline void small_ones_back(int who)
{
    for (unsigned i = sc.pool.n; i-- > 0;)
        if (AMX_SLOT_CLASS(sc.pool.slot[i].ref) == 0)
            do_return(who, NULL, &sc.pool.slot[i]);
}

static inline void play_arena_slots(struct rng *r)
{
    (void)r;
    if (!create_pool_of("pool_create with the arena's class", arena_cls))
        return;
    take_large(P, "large slot alloc", 100);
    take_large(Q, "large slot alloc by another", 300);
    ok(ASK(P, "pool looked at, with large slots", .verb = V_POOL_LOOK));
    do_return(P, "large slot free", &sc.pool.slot[0]);
    do_return(P, "large slot free of another's", &sc.pool.slot[0]);
    assert_true(!do_take(P, "large slot alloc, no memory", bytes_of((uint64_t)sc.g.su * sc.g.sectors)));
    struct slot *s = take_large(P, NULL, 60);
    do_slot_publish(P, "large slot publish", s);
    do_slot_adopt(Q, "large slot adopt", s);
    do_slot_give(Q, "large slot give", s, P2);
    do_slot_state(Q, "large slot set_state", s, 100);
    do_slot_state(P, "large slot transition to a kept state", s, 3000);
    do_return(Q, "large slot free in a kept state", s);
    s = take_large(Q, NULL, 60);
    do_slot_publish(Q, NULL, s);
    do_return(P, "large slot free of a published one", s);
    no_hints();
    take_large(P, "large slot alloc, by the words", 30);
    all_large(P);
    assert_true(!do_take(Q, "large slot alloc, none left", 40));
    assert_true(!do_take_by(V_SLOT_WAIT, Q, "large slot alloc_wait, none left", 40));
    do_return(P2, "large slot free where somebody waits", &sc.pool.slot[sc.pool.n / 2]);
    all_large(Q);
    assert_true(!do_take_by(V_SLOT_WAIT, Q, NULL, 40));
    if (!do_extend(P, "pool_extend of the arena's class, where somebody waits", 1)) {
        s = take_large(Q, "large slot alloc, of an extent", 50);
        do_return(P2, "large slot free, of an extent", s);
        take_large(Q, NULL, 70);
        do_slot_publish(Q, NULL, take_large(Q, NULL, 80));
    }
    do_pool_remove(P, "pool_remove with large slots in use");
}

/* His slots, when none is left for others. */
static inline void taken_from_q(const char *op, size_t n)
{
    struct call c = {.verb = V_SLOT_ALLOC, .n = n, .to = slot_owner(P)};
    kill_q();
    stake_of(1);
    sc.pool.more = slot_tag(P);
    int e = act(P, op, &c);
    sc.pool.more = 0;
    recovered(ASK(P, NULL, .verb = V_RECOVER));
    bereave(1);
    if (e == AMX_E_NOMEM && sc.helped) /* another has recovered him, when we had found nothing */
        e = act(P, NULL, &c);
    ok(e);
    add_slot(P, c.out);
    enter_q(NULL);
    pool_attach(Q);
}

static inline void play_arena_deaths(struct rng *r)
{
    (void)r;
    if (!create_pool_of(NULL, arena_cls))
        return;
    q_has_slots();
    q_falls("recover large slots", false);
    (void)do_extend(P, NULL, 1);
    q_has_slots();
    take_large(Q, NULL, bytes_of(sc.g.su + 20));
    q_falls("recover large slots, telling", true);
    q_has_slots();
    stake_of(1);
    stake_slots_of(1);
    ok(ASK(Q, "close of one who has large slots", .verb = V_CLOSE));
    bereave(1);
    sc.here[Q] = false;
    sc.ticket[1] = 0;
    enter_q(NULL);
    pool_attach(Q);
    q_has_slots();
    kill_q();
    enter_q("attach, recovering large slots");
    bereave(1);
    pool_attach(Q);
    all_large(Q);
    taken_from_q("large slot alloc, all of them a dead one's", 40);
    small_ones_back(P);
    while (do_take(Q, NULL, 16))
        ;
    taken_from_q("slot alloc, all of them a dead one's", 10);
    return_all(P);
    do_pool_remove(P, NULL);
}

static inline void play_quota(struct rng *r)
{
    (void)r;
    if (!create_pool_of(NULL, arena_cls))
        return;
    do_quota(Q, "pool_set_quota", 3);
    do_take(P, "slot alloc, counting", 10);
    take_large(P, "large slot alloc, counting", 40);
    take_large(P, NULL, 40);
    assert_true(!do_take(P, "slot alloc, at the quota", 10));
    assert_true(!do_take(P, "large slot alloc, at the quota", 40));
    assert_true(!do_take_by(V_SLOT_WAIT, P, "slot alloc_wait, at the quota", 10));
    do_slot_publish(Q, NULL, take_large(Q, NULL, 50));
    fails(AMX_E_QUOTA, ASK(P, "large slot adopt, at the quota", .verb = V_SLOT_ADOPT,
                           .ref = sc.pool.slot[sc.pool.n - 1].ref, .to = slot_owner(P)));
    do_slot_give(Q, NULL, take_large(Q, NULL, 60), P); /* never refused */
    do_return(P, NULL, &sc.pool.slot[0]);
    assert_true(!do_take(P, NULL, 10));
    do_return(Q, "large slot free, where its owner waits", &sc.pool.slot[0]);
    unsigned i = 0;
    while (sc.pool.slot[i].peer != NOBODY)
        i++;
    do_slot_adopt(P, "large slot adopt, below the quota", &sc.pool.slot[i]);
    do_quota(Q, NULL, 40);
    take_large(P, "large slot alloc, far below the quota", 40);
    take_large(P, "large slot alloc, uncounted", 40);
    do_quota(P, "pool_set_quota, none", 0);
    take_large(P, NULL, 40);
    return_all(P);
    do_pool_remove(P, NULL);
}

static inline void play_pool_plain(struct rng *r)
{
    (void)r;
    if (!do_pool_init("pool_init", true))
        return;
    slots_taken();
    slots_owned();
    for (int k = 0; k < 2; k++) {
        q_has_slots();
        q_falls("pool_recover", false);
    }
    return_all(P);
    amx_ref block = sc.pool.block;
    sc.pool.at_stake = sc.pool.going = true;
    ok(ASK(P, "pool_remove outside of segments", .verb = V_POOL_REMOVE));
    memset(&sc.pool, 0, sizeof sc.pool);
    do_free(P, NULL, find_item(block));
}

/* --- Dice ------------------------------------------------------------------------------------------------------- */

static inline void any_slot_call(struct rng *r)
{
    int who = (int)rng_below(r, HANDLES), to = (int)rng_below(r, HANDLES);
    uint64_t dice = rng_below(r, 12);
    size_t most = sc.pool.arena ? 300 : 32;
    struct slot *s = sc.pool.n ? &sc.pool.slot[rng_below(r, sc.pool.n)] : NULL;
    if (!s || dice < 4 + (sc.pool.n < 40))
        do_take(who, "any slot alloc", 1 + rng_below(r, most));
    else if (dice < 6)
        do_return(who, "any slot free", s);
    else if (dice < 8 && s->peer == NOBODY)
        do_slot_adopt(who, "any slot adopt", s);
    else if (dice < 8)
        do_slot_publish(who, "any slot publish", s);
    else if (dice < 10)
        do_slot_give(who, "any slot give", s, to);
    else
        do_slot_state(who, "any slot state", s, (uint32_t)rng_range(r, AMX_STATE_USER_MIN, AMX_STATE_MAX));
}

static inline void any_slot_calls(struct rng *r, int turns)
{
    for (int turn = 0; turn < turns; turn++) {
        if (turn % 53 == 52) {
            q_falls("recover any slots", true);
            no_hints();
        }
        any_slot_call(r);
    }
}

static inline void play_pool_any(struct rng *r)
{
    if (!do_pool_create(NULL))
        return;
    any_slot_calls(r, 160);
    return_all(P);
    do_pool_remove(P, NULL);
}

static inline void play_arena_any(struct rng *r)
{
    if (!create_pool_of(NULL, arena_cls))
        return;
    any_slot_calls(r, 120);
    small_ones_back(Q);
    do_pool_remove(P, "any pool_remove");
}

#endif
