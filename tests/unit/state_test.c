/* SPDX-License-Identifier: Apache-2.0 */
/* The lifecycle of a block: states, ownership, and what happens when several threads want the same thing at once. */
#include "tests/arena_kit.h"

#include <sched.h>
#include <time.h>

#define MIB (UINT64_C(1) << 20)

static const enum amx_order orders[] = {AMX_RELAXED, AMX_ACQUIRE, AMX_RELEASE, AMX_ACQ_REL, AMX_SEQ_CST};

static uint32_t state_of(const amx_t *h, amx_ref ref)
{
    uint32_t s = 0;

    must_ok(amx_get_state(h, ref, AMX_ACQUIRE, &s));
    return s;
}

static amx_id owner_of(const amx_t *h, amx_ref ref)
{
    amx_id id = 0;

    must_ok(amx_owner(h, ref, &id));
    return id;
}

static void a_new_block_is_allocated_and_mine(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref = alloc(h, 100);

    (void)state;
    assert_int_equal(state_of(h, ref), AMX_STATE_ALLOCATED);
    assert_int_equal(owner_of(h, ref), amx_handle_id(h));
    assert_int_not_equal(amx_handle_id(h), 0);
    ok(amx_free(h, ref));
    close_free(h);
}

static void every_user_state_can_be_set(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref = alloc(h, 100);

    (void)state;
    for (uint32_t s = AMX_STATE_USER_MIN; s <= AMX_STATE_MAX; s++) {
        ok(amx_set_state(h, ref, s));
        assert_int_equal(state_of(h, ref), s);
    }
    assert_int_equal(owner_of(h, ref), amx_handle_id(h));
    ok(amx_free(h, ref));
    close_free(h);
}

static void orders_of_get(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref = alloc(h, 100);
    uint32_t s = 0;

    (void)state;
    ok(amx_set_state(h, ref, 60));
    for (int i = -1; i < 7; i++) {
        s = 77;
        if (i == AMX_RELAXED || i == AMX_ACQUIRE || i == AMX_SEQ_CST) {
            ok(amx_get_state(h, ref, (enum amx_order)i, &s));
            assert_int_equal(s, 60);
        } else {
            fails(AMX_E_INVAL, amx_get_state(h, ref, (enum amx_order)i, &s));
            assert_int_equal(s, 77);
        }
    }
    ok(amx_free(h, ref));
    close_free(h);
}

static void orders_of_transition(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref = alloc(h, 100);
    uint32_t seen;
    uint32_t at = 50;

    (void)state;
    ok(amx_set_state(h, ref, at));
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        seen = 77;
        fails(AMX_E_STATE, amx_transition(h, ref, at + 1, at + 2, orders[i], &seen));
        assert_int_equal(seen, at);
        fails(AMX_E_STATE, amx_transition(h, ref, at + 1, at + 2, orders[i], NULL));
        seen = 77;
        ok(amx_transition(h, ref, at, at + 1, orders[i], &seen));
        assert_int_equal(seen, at);
        ok(amx_transition(h, ref, at + 1, at + 2, orders[i], NULL));
        at += 2;
        assert_int_equal(state_of(h, ref), at);
    }
    fails(AMX_E_INVAL, amx_transition(h, ref, at, at + 1, (enum amx_order)5, &seen));
    fails(AMX_E_INVAL, amx_transition(h, ref, at, at + 1, (enum amx_order) - 1, &seen));
    assert_int_equal(state_of(h, ref), at);
    /* from a state to itself is a transition, too */
    ok(amx_transition(h, ref, at, at, AMX_ACQ_REL, &seen));
    assert_int_equal(seen, at);
    ok(amx_free(h, ref));
    close_free(h);
}

static void a_block_without_user_state_does_not_move(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref = alloc(h, 100);
    uint32_t seen = 77;

    (void)state;
    fails(AMX_E_STATE, amx_transition(h, ref, 49, 50, AMX_ACQ_REL, &seen));
    assert_int_equal(seen, AMX_STATE_ALLOCATED);
    fails(AMX_E_RESERVED, amx_transition(h, ref, AMX_STATE_ALLOCATED, 50, AMX_ACQ_REL, &seen));
    ok(amx_free(h, ref));
    close_free(h);
}

static void reserved_states_are_refused_on_both_sides(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref = alloc(h, 100);
    const uint32_t beyond[] = {4096, 4097, 65536 + 60, UINT32_MAX};

    (void)state;
    ok(amx_set_state(h, ref, 60));
    for (uint32_t s = 0; s <= 48; s++) {
        fails(AMX_E_RESERVED, amx_set_state(h, ref, s));
        fails(AMX_E_RESERVED, amx_transition(h, ref, s, 60, AMX_ACQ_REL, NULL));
        fails(AMX_E_RESERVED, amx_transition(h, ref, 60, s, AMX_ACQ_REL, NULL));
    }
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        fails(AMX_E_INVAL, amx_set_state(h, ref, beyond[i]));
        fails(AMX_E_INVAL, amx_transition(h, ref, beyond[i], 60, AMX_ACQ_REL, NULL));
        fails(AMX_E_INVAL, amx_transition(h, ref, 60, beyond[i], AMX_ACQ_REL, NULL));
    }
    assert_int_equal(state_of(h, ref), 60);
    ok(amx_free(h, ref));
    close_free(h);
}

static void user_states_survive_healing(void **state)
{
    static const uint32_t states[] = {49, 50, 2047, 2048, 4095};
    amx_t *h = new_segment(64 << 10);
    struct row r = fill(h, 64);
    uint64_t bytes = 0;

    (void)state;
    for (size_t i = 0; i < r.n; i += 2)
        bytes += look(h, offset_of(r.ref[i])).bytes;
    for (size_t i = 0; i < r.n; i += 2)
        ok(amx_set_state(h, r.ref[i], states[i / 2 % 5]));
    for (size_t i = 1; i < r.n; i += 2) { /* every neighbour goes, by every way */
        switch (i / 2 % 3) {
        case 0:
            ok(amx_free(h, r.ref[i]));
            break;
        case 1:
            ok(amx_raw_ack(h, offset_of(r.ref[i])));
            break;
        default:
            ok(amx_raw_coalesce(h, offset_of(r.ref[i])));
            break;
        }
        r.ref[i] = AMX_REF_NONE;
    }
    for (int k = 0; k < 3; k++) {
        ok(amx_trim(h));
        ok(amx_heal(h));
    }
    for (size_t i = 0; i < r.n; i += 2)
        assert_int_equal(state_of(h, r.ref[i]), states[i / 2 % 5]);
    assert_int_equal(stat_of(h).live_bytes, bytes);
    check_clean(h);
    free_row(h, &r);
    close_free(h);
}

static void a_block_is_freed_from_any_state(void **state)
{
    amx_t *h = new_segment(MIB);

    (void)state;
    for (uint32_t s = AMX_STATE_USER_MIN; s <= AMX_STATE_MAX; s += 7) {
        amx_ref ref = alloc(h, 100);

        ok(amx_set_state(h, ref, s));
        if (s & 1)
            ok(amx_publish(h, ref));
        ok(amx_free(h, ref));
        fails(AMX_E_DOUBLE_FREE, amx_free(h, ref));
    }
    close_free(h);
}

static void a_new_life_begins_without_state(void **state)
{
    amx_t *h = new_segment(MIB);

    (void)state;
    for (int i = 0; i < 100; i++) {
        amx_ref ref = alloc(h, 100);

        assert_int_equal(state_of(h, ref), AMX_STATE_ALLOCATED);
        ok(amx_set_state(h, ref, 99));
        ok(amx_free(h, ref));
    }
    close_free(h);
}

static void resize_keeps_state_and_owner(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref = alloc(h, 100);
    size_t sizes[] = {50, 3000, 3100, 20, 30000, 10};

    (void)state;
    ok(amx_set_state(h, ref, 2100));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        ok(amx_resize(h, ref, sizes[i], &ref));
        assert_int_equal(state_of(h, ref), 2100);
        assert_int_equal(owner_of(h, ref), amx_handle_id(h));
    }
    ok(amx_free(h, ref));
    close_free(h);
}

static void publish_and_adopt(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *twin = attach_again(h);
    amx_ref ref = alloc(h, 100);

    (void)state;
    mark(h, ref, 7);
    ok(amx_set_state(h, ref, 70));
    fails(AMX_E_OWNER, amx_adopt(h, ref)); /* somebody's: mine */
    fails(AMX_E_OWNER, amx_adopt(twin, ref));
    ok(amx_publish(h, ref));
    assert_int_equal(owner_of(twin, ref), 0);
    assert_int_equal(stat_of(h).published_blocks, 1);
    fails(AMX_E_OWNER, amx_publish(h, ref));
    ok(amx_adopt(twin, ref)); /* the reference stays good */
    fails(AMX_E_OWNER, amx_adopt(h, ref));
    assert_int_equal(owner_of(h, ref), amx_handle_id(twin));
    assert_int_not_equal(amx_handle_id(h), amx_handle_id(twin));
    assert_int_equal(state_of(h, ref), 70);
    assert_int_equal(stat_of(h).published_blocks, 0);
    verify(twin, ref, 7);
    ok(amx_publish(h, ref)); /* open to any handle */
    assert_int_equal(owner_of(h, ref), 0);
    ok(amx_free(h, ref));
    ok(amx_close(twin));
    close_free(h);
}

static void published_blocks_outlive_their_maker(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *twin = attach_again(h);
    amx_ref kept = alloc(twin, 100);
    amx_ref lost = alloc(twin, 100);
    uint64_t blocks = 0;
    void *p = NULL;

    (void)state;
    mark(twin, kept, 8);
    ok(amx_publish(twin, kept));
    ok(amx_close(twin));
    (void)recover_all(h, &blocks);
    verify(h, kept, 8);
    assert_int_equal(owner_of(h, kept), 0);
    assert_int_not_equal(amx_ptr(h, lost, &p), AMX_OK);
    ok(amx_adopt(h, kept));
    ok(amx_free(h, kept));
    close_free(h);
}

static void give_makes_a_new_reference(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *twin = attach_again(h);
    amx_ref old = alloc(h, 100);
    amx_ref given = AMX_REF_NONE;
    void *p = NULL;
    uint32_t s = 0;

    (void)state;
    mark(h, old, 9);
    ok(amx_set_state(h, old, 90));
    ok(amx_give(h, old, amx_handle_id(twin), &given));
    assert_int_not_equal(given, old);
    assert_int_equal(offset_of(given), offset_of(old));
    fails(AMX_E_STALE, amx_ptr(h, old, &p));
    fails(AMX_E_STALE, amx_free(h, old));
    fails(AMX_E_STALE, amx_free(twin, old));
    fails(AMX_E_STALE, amx_get_state(twin, old, AMX_ACQUIRE, &s));
    fails(AMX_E_STALE, amx_give(h, old, amx_handle_id(h), &given));
    assert_int_equal(owner_of(h, given), amx_handle_id(twin));
    assert_int_equal(state_of(twin, given), 90);
    verify(twin, given, 9);
    /* to oneself: a way to make all copies of a reference stale */
    old = given;
    ok(amx_give(twin, old, amx_handle_id(twin), &given));
    fails(AMX_E_STALE, amx_free(twin, old));
    ok(amx_free(twin, given));
    ok(amx_close(twin));
    close_free(h);
}

static void give_to_the_closed_and_the_never_born(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *more = new_handle(h);
    amx_t *twin = attach_again(h);
    amx_id closed[2] = {amx_handle_id(more), amx_handle_id(twin)};
    amx_ref ref = alloc(h, 100);
    amx_ref out = 77;

    (void)state;
    mark(h, ref, 10);
    ok(amx_unshare(more));
    ok(amx_close(twin));
    for (int i = 0; i < 2; i++) {
        out = 77;
        fails(AMX_E_PEER_DEAD, amx_give(h, ref, closed[i], &out));
        assert_int_equal(offset_of(out), offset_of(ref)); /* written: its reference now */
        ref = out;
        verify(h, ref, 10);
        assert_int_equal(owner_of(h, ref), amx_handle_id(h));
    }
    out = 77;
    fails(AMX_E_INVAL, amx_give(h, ref, 0, &out));
    fails(AMX_E_INVAL, amx_give(h, ref, UINT64_MAX, &out));
    fails(AMX_E_INVAL, amx_give(h, ref, 4095, &out));
    assert_int_equal(out, 77);
    verify(h, ref, 10);
    ok(amx_free(h, ref));
    close_free(h);
}

static void unshared_blocks_stay_their_processs(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *more = new_handle(h);
    amx_ref ref = alloc(more, 100);

    (void)state;
    mark(more, ref, 11);
    ok(amx_unshare(more));
    verify(h, ref, 11);
    assert_int_equal(stat_of(h).live_blocks, 1);
    assert_int_equal(stat_of(h).cached_blocks, 0); /* its cache is flushed */
    more = new_handle(h);                          /* takes it over */
    assert_int_equal(owner_of(h, ref), amx_handle_id(more));
    ok(amx_free(more, ref));
    ok(amx_unshare(more));
    close_free(h);
}

static void closing_frees_what_is_private(void **state)
{
    amx_t *h = new_segment(MIB);

    (void)state;
    for (int round = 0; round < 10; round++) {
        amx_t *twin = attach_again(h);
        amx_t *more = new_handle(twin);
        uint64_t blocks;

        for (size_t n = 1; n < 40000; n *= 3) {
            alloc(twin, n);
            ok(amx_set_state(more, alloc(more, n), 60));
        }
        ok(amx_close(twin));
        (void)recover_all(h, &blocks);
        check_all_free(h);
    }
    close_free(h);
}

/* --- Races: many rounds, exactly one winner ------------------------------------------------------------------- */

enum { RACERS = 8 };

struct race {
    amx_t *h[RACERS];
    pthread_barrier_t gate;
    long rounds;
    amx_ref ref;
    int kind;
    uint32_t won[RACERS]; /* by each, in this round */
    uint64_t total;
};
enum { RACE_FREE, RACE_FREE_PTR, RACE_ADOPT, RACE_TRANSITION, RACE_PUBLISH, RACE_GIVE, RACE_KINDS };

static int race_once(struct race *r, int me)
{
    amx_t *h = r->h[me];
    uint32_t seen;
    amx_ref out;
    void *p;
    int rc;

    switch (r->kind) {
    case RACE_FREE:
        rc = amx_free(h, r->ref);
        must(rc == AMX_OK || rc == AMX_E_DOUBLE_FREE || rc == AMX_E_STALE);
        return rc;
    case RACE_FREE_PTR:
        p = (char *)amx_raw_base(h) + offset_of(r->ref) + AMX_HEADER_SPACE;
        rc = amx_free_ptr(h, p);
        must(rc == AMX_OK || rc == AMX_E_DOUBLE_FREE || rc == AMX_E_WILD);
        return rc;
    case RACE_ADOPT:
        rc = amx_adopt(h, r->ref);
        must(rc == AMX_OK || rc == AMX_E_OWNER);
        return rc;
    case RACE_TRANSITION:
        rc = amx_transition(h, r->ref, 49, 50 + (uint32_t)me, AMX_ACQ_REL, &seen);
        must(rc == AMX_OK ? seen == 49 : rc == AMX_E_STATE && seen >= 50 && seen < 50 + RACERS);
        return rc;
    case RACE_PUBLISH:
        rc = amx_publish(h, r->ref);
        must(rc == AMX_OK || rc == AMX_E_OWNER);
        return rc;
    default:
        rc = amx_give(h, r->ref, amx_handle_id(h), &out);
        must(rc == AMX_OK || rc == AMX_E_STALE);
        return rc;
    }
}

static amx_ref race_block(struct race *r, long round)
{
    static const size_t sizes[] = {16, 64, 300, 2000, 6000, 40000};
    amx_ref ref = alloc(r->h[0], sizes[round % 6]);

    mark(r->h[0], ref, (uint64_t)round);
    if (r->kind == RACE_ADOPT)
        must_ok(amx_publish(r->h[0], ref));
    if (r->kind == RACE_TRANSITION)
        must_ok(amx_set_state(r->h[0], ref, 49));
    return ref;
}

/* After the round: the one winner's effect is there, and only it. */
static void race_judge(struct race *r, long round)
{
    struct amx_block b;
    int winner = -1;

    for (int i = 0; i < RACERS; i++)
        if (r->won[i]) {
            must(winner < 0);
            winner = i;
        }
    must(winner >= 0);
    r->total++;
    if (r->kind == RACE_FREE || r->kind == RACE_FREE_PTR)
        return;
    b = look(r->h[0], offset_of(r->ref));
    verify(r->h[0], b.ref, (uint64_t)round);
    if (r->kind == RACE_ADOPT || r->kind == RACE_GIVE)
        must(b.owner_id == amx_handle_id(r->h[winner]));
    if (r->kind == RACE_PUBLISH)
        must(b.owner_id == 0);
    if (r->kind == RACE_TRANSITION)
        must(b.state == 50 + (uint32_t)winner);
    must_ok(amx_free(r->h[0], b.ref));
}

static void racer(int me, void *ctx)
{
    struct race *r = ctx;

    for (long round = 0; round < r->rounds; round++) {
        if (me == 0)
            r->ref = race_block(r, round);
        pthread_barrier_wait(&r->gate);
        r->won[me] = race_once(r, me) == AMX_OK;
        pthread_barrier_wait(&r->gate);
        if (me == 0)
            race_judge(r, round);
    }
}

static void race(int kind)
{
    amx_t *h = new_segment(MIB);
    amx_t *twin = attach_again(h);
    struct race r = {.kind = kind, .rounds = scaled(3000)};

    for (int i = 0; i < RACERS; i++)
        r.h[i] = i == 0 ? h : new_handle(i & 1 ? twin : h);
    must(pthread_barrier_init(&r.gate, NULL, RACERS) == 0);
    run_threads(RACERS, racer, &r);
    pthread_barrier_destroy(&r.gate);
    assert_int_equal(r.total, r.rounds);
    for (int i = 1; i < RACERS; i++)
        ok(amx_unshare(r.h[i]));
    ok(amx_close(twin));
    close_free(h);
}

static void racing_frees(void **state)
{
    (void)state;
    race(RACE_FREE);
}

static void racing_frees_by_pointer(void **state)
{
    (void)state;
    race(RACE_FREE_PTR);
}

static void racing_adopts(void **state)
{
    (void)state;
    race(RACE_ADOPT);
}

static void racing_transitions(void **state)
{
    (void)state;
    race(RACE_TRANSITION);
}

static void racing_publishes(void **state)
{
    (void)state;
    race(RACE_PUBLISH);
}

static void racing_gives(void **state)
{
    (void)state;
    race(RACE_GIVE);
}

enum { DUELS_MIN = 500, DUEL_SECONDS = 5 }; /* where others want the processors too, a meeting takes milliseconds */

struct duel {
    struct timespec begin;
    amx_t *h[2];
    amx_ref ref;
    uint64_t turn[2]; /* the round that each is in */
    long rounds, won[2];
    int rc[2];
};

static long seconds_since(const struct timespec *begin)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)(now.tv_sec - begin->tv_sec);
}

/* Both leave at the same moment, as nearly as two processors can: no kernel in between. */
static void duel_meet(struct duel *d, int me, uint64_t turn)
{
    __atomic_store_n(&d->turn[me], turn, __ATOMIC_RELEASE);
    for (unsigned spins = 0; __atomic_load_n(&d->turn[1 - me], __ATOMIC_ACQUIRE) < turn; spins++)
        if (spins % 1024 == 1023)
            sched_yield();
}

static void duelist(int me, void *ctx)
{
    struct duel *d = ctx;

    for (long round = 0; round < d->rounds; round++) {
        if (me == 0)
            d->ref = alloc(d->h[0], 64);
        duel_meet(d, me, 2 * (uint64_t)round + 1);
        for (volatile uint32_t delay = ((round ^ me) & 1 ? (uint32_t)round * 2654435761u >> 27 : 0); delay > 0; delay--)
            ;
        d->rc[me] = amx_free(d->h[me], d->ref);
        if (me == 0 && round >= DUELS_MIN && seconds_since(&d->begin) >= DUEL_SECONDS)
            d->rounds = round + 1; /* seen by the other after the meeting */
        duel_meet(d, me, 2 * (uint64_t)round + 2);
        if (me == 0) {
            must(d->rc[0] == AMX_OK || d->rc[0] == AMX_E_DOUBLE_FREE || d->rc[0] == AMX_E_STALE);
            must(d->rc[1] == AMX_OK || d->rc[1] == AMX_E_DOUBLE_FREE || d->rc[1] == AMX_E_STALE);
            must((d->rc[0] == AMX_OK) + (d->rc[1] == AMX_OK) == 1);
            d->won[d->rc[0] != AMX_OK]++;
        }
    }
}

/* The owner, for whom a free is the fast path, against another. */
static void the_owners_free_against_anothers(void **state)
{
    amx_t *h = new_segment(MIB);
    struct duel d = {.h = {h, new_handle(h)}, .rounds = scaled(200000)};

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &d.begin);
    run_threads(2, duelist, &d);
    note("%ld blocks freed by their owner, %ld by another at the same time", d.won[0], d.won[1]);
    ok(amx_unshare(d.h[1]));
    close_free(h);
}

struct contest {
    amx_t *h[2];
    pthread_barrier_t gate;
    long rounds;
    amx_ref ref, out;
    int rc[2];
    long moved, stayed, lost;
};

static void contestant(int me, void *ctx)
{
    static const size_t from[] = {3000, 100, 700, 20000, 1000, 60};
    static const size_t to[] = {100, 3000, 900, 21000, 30, 100};
    struct contest *c = ctx;

    for (long round = 0; round < c->rounds; round++) {
        if (me == 0) {
            c->ref = alloc(c->h[0], from[round % 6]);
            mark(c->h[0], c->ref, (uint64_t)round);
        }
        pthread_barrier_wait(&c->gate);
        c->rc[me] = me == 0 ? amx_resize(c->h[0], c->ref, to[round % 6], &c->out) : amx_free(c->h[1], c->ref);
        pthread_barrier_wait(&c->gate);
        if (me == 1)
            continue;
        must(c->rc[1] == AMX_OK || c->rc[1] == AMX_E_DOUBLE_FREE || c->rc[1] == AMX_E_STALE);
        if (c->rc[0] != AMX_OK) { /* the free was first */
            must(c->rc[0] == AMX_E_DOUBLE_FREE || c->rc[0] == AMX_E_STALE);
            must(c->rc[1] == AMX_OK);
            c->lost++;
        } else if (c->rc[1] == AMX_OK) { /* it came after, and found the same life: resized in place */
            must(c->out == c->ref);
            c->stayed++;
        } else { /* it came while the block was being resized, or after it had moved */
            size_t keep = to[round % 6] < from[round % 6] ? to[round % 6] : from[round % 6];

            must(stamp_check_(bytes_of(c->h[0], c->out), 0, keep / 8 * 8 < 64 ? keep / 8 * 8 : 64, (uint64_t)round) ==
                 SIZE_MAX);
            must_ok(amx_free(c->h[0], c->out));
            c->moved++;
        }
        if (round % 64 == 63) {
            must_ok(amx_trim(c->h[0]));
            must(stat_of(c->h[0]).live_blocks == 0);
            check_clean(c->h[0]);
        }
    }
}

/* A free by another thread while the owner resizes: the block is freed once, with the size that it has then. */
static void a_free_races_with_a_resize(void **state)
{
    amx_t *h;
    struct contest c = {.rounds = scaled(20000)};

    (void)state;
    if (TSAN) /* what a move copies may be freed and written meanwhile; the copy is thrown away then */
        skip();
    c.h[0] = h = new_segment(MIB);
    c.h[1] = new_handle(h);
    must(pthread_barrier_init(&c.gate, NULL, 2) == 0);
    run_threads(2, contestant, &c);
    pthread_barrier_destroy(&c.gate);
    assert_int_equal(c.moved + c.stayed + c.lost, c.rounds);
    note("resize against free: %ld in place and then freed, %ld refused or too late, %ld freed first", c.stayed,
         c.moved, c.lost);
    ok(amx_unshare(c.h[1]));
    close_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_block_is_allocated_and_mine),
        cmocka_unit_test(every_user_state_can_be_set),
        cmocka_unit_test(orders_of_get),
        cmocka_unit_test(orders_of_transition),
        cmocka_unit_test(a_block_without_user_state_does_not_move),
        cmocka_unit_test(reserved_states_are_refused_on_both_sides),
        cmocka_unit_test(user_states_survive_healing),
        cmocka_unit_test(a_block_is_freed_from_any_state),
        cmocka_unit_test(a_new_life_begins_without_state),
        cmocka_unit_test(resize_keeps_state_and_owner),
        cmocka_unit_test(publish_and_adopt),
        cmocka_unit_test(published_blocks_outlive_their_maker),
        cmocka_unit_test(give_makes_a_new_reference),
        cmocka_unit_test(give_to_the_closed_and_the_never_born),
        cmocka_unit_test(unshared_blocks_stay_their_processs),
        cmocka_unit_test(closing_frees_what_is_private),
        cmocka_unit_test(racing_frees),
        cmocka_unit_test(racing_frees_by_pointer),
        cmocka_unit_test(racing_adopts),
        cmocka_unit_test(racing_transitions),
        cmocka_unit_test(racing_publishes),
        cmocka_unit_test(racing_gives),
        cmocka_unit_test(the_owners_free_against_anothers),
        cmocka_unit_test(a_free_races_with_a_resize),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
