/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message stores under threads, each with a view of its own: every payload is verified under its guard, so that a torn read
 * or a reader beside a writer would be seen; of two frees exactly one wins; nobody passes a hard mark, no token is lost or
 * doubled; who waits is woken.
 */
#include "tests/store_kit.h"

#include <sched.h>

enum { THREADS = 4 };

struct job {
    struct room r;
    struct amx_store view[THREADS];
    amx_t *h[THREADS];
    struct churn n[THREADS];
    uint64_t turns, seed;
    uint64_t wins[THREADS];
    amxi_a64 target, round, done;
};

static enum kind kind_of(void **state)
{
    return **(enum kind **)state;
}

static void begin(struct job *j, enum kind kind, const struct amx_store_config *k)
{
    memset(j, 0, sizeof *j);
    room_open(&j->r, kind, k);
    j->seed = test_seed();
    for (int i = 0; i < THREADS; i++) {
        if (kind == SHARED) { /* the sanitizer does not know that two addresses are one byte */
            j->h[i] = new_handle(j->r.h[TSAN ? 0 : i & 1]);
            must_ok(amx_store_attach_block(j->h[i], j->r.block, NULL, &j->view[i]));
        } else {
            must_ok(amx_store_scoped(j->r.a, &j->view[i]));
        }
    }
}

static void end(struct job *j)
{
    for (int i = 0; i < THREADS; i++) {
        must_ok(amx_store_close(&j->view[i]));
        if (j->h[i])
            must_ok(amx_unshare(j->h[i]));
    }
    room_close(&j->r);
}

static void work(int me, void *ctx)
{
    struct job *j = ctx;
    churn(&j->view[me], j->seed, j->turns, &j->n[me]);
}

static void mixed_load(void **state)
{
    static const struct amx_store_config k = {.depth = 10, .payload_max = SIZE};
    struct job j;
    struct churn n = {0};
    begin(&j, kind_of(state), &k);
    j.turns = (uint64_t)scaled(40000);
    run_threads(THREADS, work, &j);
    for (int i = 0; i < THREADS; i++) {
        n.stored += j.n[i].stored;
        n.freed += j.n[i].freed;
        n.read += j.n[i].read;
        n.written += j.n[i].written;
        n.poisoned += j.n[i].poisoned;
        n.mended += j.n[i].mended;
        n.refused += j.n[i].refused;
    }
    note("%" PRIu64 " stored, %" PRIu64 " read, %" PRIu64 " changed, %" PRIu64 " poisoned, %" PRIu64 " mended, %" PRIu64
         " refused",
         n.stored, n.read, n.written, n.poisoned, n.mended, n.refused);
    assert_true(n.read && n.written && n.poisoned && n.mended && n.refused);
    assert_int_equal(churn_over(&j.r), n.stored - n.freed); /* none lost, none doubled */
    end(&j);
}

/* --- Marks -------------------------------------------------------------------------------------------------------------- */

enum { HARD_ITEMS = 6, HARD_BYTES = 700 };

static int sum_stored(const struct amx_store_message *m, void *ctx)
{
    uint64_t *n = ctx;
    if (m->state == AMX_STATE_STORED) {
        n[0]++;
        n[1] += m->size;
    }
    return 0;
}

static void store_and_free(int me, void *ctx)
{
    struct job *j = ctx;
    struct amx_store *s = &j->view[me];
    struct rng dice = rng_make(j->seed, (uint64_t)me);
    unsigned char bytes[SIZE] = {0};
    for (uint64_t turn = 0; turn < j->turns; turn++) {
        amx_token t;
        uint64_t n[2] = {0, 0};
        int e = amx_msg_store(s, NULL, bytes, rng_below(&dice, SIZE), &t);
        must(e == AMX_OK || e == AMX_E_FULL || e == AMX_E_NOMEM);
        const bool there = e == AMX_OK && t != AMX_TOKEN_INVALID;
        j->n[me].stored += there;
        if (rng_below(&dice, 2) || !there)
            continue;
        e = amx_msg_free(s, t); /* or it was dropped meanwhile, or is just being looked at for that */
        must(e == AMX_OK || e == AMX_E_STALE || e == AMX_E_DOUBLE_FREE || e == AMX_E_BORROW_ACTIVE);
        j->n[me].freed += e == AMX_OK;
        (void)amx_store_walk(s, sum_stored, n);
    }
}

/* Nobody frees, so that what is counted place by place was there together. */
static void only_store(int me, void *ctx)
{
    struct job *j = ctx;
    unsigned char bytes[SIZE] = {0};
    (void)amxi_add64_rlx(&j->done, 1);
    while (amxi_ld64_acq(&j->done) != THREADS)
        sched_yield();
    for (int i = 0; i < 4; i++) {
        amx_token t;
        int e = amx_msg_store(&j->view[me], NULL, bytes, (size_t)(me + 1) * 40, &t);
        must(e == AMX_OK || e == AMX_E_FULL || e == AMX_E_NOMEM);
        j->n[me].stored += e == AMX_OK && t != AMX_TOKEN_INVALID;
    }
}

static void marks_hold(void **state)
{
    uint64_t most = 0;
    for (int policy = AMX_POLICY_REJECT; policy <= AMX_POLICY_EVICT; policy++) {
        const struct amx_store_config k = {.depth = 12,
                                           .payload_max = SIZE,
                                           .marks = {.policy = (enum amx_policy)policy,
                                                     .soft_items = 4,
                                                     .hard_items = HARD_ITEMS,
                                                     .hard_bytes = HARD_BYTES}};
        struct job j;
        struct churn n = {0};
        begin(&j, kind_of(state), &k);
        j.turns = (uint64_t)scaled(8000);
        run_threads(THREADS, store_and_free, &j);
        for (int i = 0; i < THREADS; i++) {
            n.stored += j.n[i].stored;
            n.freed += j.n[i].freed;
        }
        struct amx_store_stats s = store_stat(j.r.a);
        assert_int_equal(n.stored - n.freed - s.evicted, s.used);
        assert_true(s.used <= HARD_ITEMS && s.bytes <= HARD_BYTES);
        assert_true(policy == AMX_POLICY_DROP_NEWEST ? s.dropped > 0 : policy == AMX_POLICY_REJECT || s.evicted > 0);
        while (amx_store_evict(j.r.a, NULL) == AMX_OK)
            ;
        if (policy <= AMX_POLICY_DROP_NEWEST)
            for (long round = 0; round < scaled(300); round++) { /* at the very mark, all at once */
                memset(j.n, 0, sizeof j.n);
                amxi_st64_rel(&j.done, 0);
                run_threads(THREADS, only_store, &j);
                s = store_stat(j.r.a);
                assert_true(s.used <= HARD_ITEMS && s.bytes <= HARD_BYTES);
                assert_int_equal(s.used, j.n[0].stored + j.n[1].stored + j.n[2].stored + j.n[3].stored);
                most = s.used > most ? s.used : most;
                amx_token t = 1; /* what they did not take can be had: no room is lost */
                while (t != AMX_TOKEN_INVALID)
                    if (amx_msg_store(j.r.a, NULL, NULL, 0, &t))
                        break;
                assert_int_equal(store_stat(j.r.a).used, HARD_ITEMS);
                while (amx_store_evict(j.r.a, NULL) == AMX_OK)
                    ;
                assert_int_equal(available(j.r.a), 12);
            }
        end(&j);
    }
    note("%" PRIu64 " of %d at a time", most, (int)HARD_ITEMS); /* two who meet at the mark may both be refused */
    assert_true(most > 0);
}

/* --- Racing frees --------------------------------------------------------------------------------------------------------- */

static void race(int me, void *ctx)
{
    struct job *j = ctx;
    struct amx_store *s = &j->view[me];
    for (uint64_t turn = 1; turn <= j->turns; turn++) {
        if (me == 0) {
            amxi_st64_rlx(&j->target, put(s, turn));
            amxi_st64_rlx(&j->done, 0);
            amxi_st64_rel(&j->round, turn);
        } else {
            while (amxi_ld64_acq(&j->round) != turn)
                sched_yield();
        }
        int e;
        do /* one may find another one looking whether somebody reads it */
            e = amx_msg_free(s, amxi_ld64_rlx(&j->target));
        while (e == AMX_E_BORROW_ACTIVE);
        must(e == AMX_OK || e == AMX_E_DOUBLE_FREE || e == AMX_E_STALE);
        j->wins[me] += e == AMX_OK;
        (void)amxi_or64_sc(&j->done, UINT64_C(1) << me);
        while (amxi_ld64_sc(&j->done) != (1 << THREADS) - 1)
            if (amxi_ld64_acq(&j->round) != turn)
                break;
            else
                sched_yield();
    }
}

static void racing_frees(void **state)
{
    static const struct amx_store_config k = {.depth = 2, .payload_max = SIZE};
    struct job j;
    uint64_t wins = 0;
    begin(&j, kind_of(state), &k);
    j.turns = (uint64_t)scaled(4000);
    run_threads(THREADS, race, &j);
    for (int i = 0; i < THREADS; i++)
        wins += j.wins[i];
    assert_int_equal(wins, j.turns);
    end(&j);
}

/* --- Waiting: fewer places than threads, and one message that all want to change ------------------------------------------ */

static void wait_turns(int me, void *ctx)
{
    struct job *j = ctx;
    struct amx_store *s = &j->view[me];
    const uint64_t minute = UINT64_C(60000000000);
    for (uint64_t turn = 0; turn < j->turns; turn++) {
        struct amx_write w;
        struct amx_read g;
        amx_token t;
        must_ok(amx_msg_read_mut_wait(s, amxi_ld64_rlx(&j->target), minute, &w));
        w.header->sequence++;
        must_ok(amx_write_end(&w));
        must_ok(amx_msg_store_wait(s, NULL, "x", 1, minute, &t));
        must_ok(amx_msg_read_wait(s, t, minute, &g));
        if (turn % 8 == 0)
            sched_yield();
        amx_read_end(&g);
        must_ok(amx_msg_free_wait(s, t, minute));
    }
}

static void waiting(void **state)
{
    static const struct amx_store_config k = {.depth = 2, .payload_max = SIZE};
    struct amx_message_header h;
    struct job j;
    begin(&j, kind_of(state), &k);
    amxi_st64_rlx(&j.target, put(j.r.a, 0));
    j.turns = (uint64_t)scaled(800);
    run_threads(THREADS, wait_turns, &j);
    must_ok(amx_msg_peek_header(j.r.a, amxi_ld64_rlx(&j.target), &h));
    assert_int_equal(h.sequence, j.turns * THREADS);
    must_ok(amx_msg_free(j.r.a, amxi_ld64_rlx(&j.target)));
    end(&j);
}

int main(void)
{
    static const enum kind kinds[] = {CONCURRENT, SHARED};
#define EACH(f)                                                                                                        \
    {#f " (concurrent)", f, NULL, NULL, (void *)(uintptr_t)&kinds[0]},                                                 \
    {                                                                                                                  \
#f " (shared)", f, NULL, NULL, (void *)(uintptr_t)&kinds[1]                                                    \
    }
    const struct CMUnitTest tests[] = {EACH(mixed_load), EACH(marks_hold), EACH(racing_frees), EACH(waiting)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
