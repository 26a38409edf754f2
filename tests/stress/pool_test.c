/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slot pools under threads, each with a view of its own, in each kind of region: no slot is handed out twice, every byte
 * of every payload is verified, and of two frees of the same life exactly one wins (the published one let both win, and
 * lost the rest of the class in a cycle).
 */
#include "tests/pool_kit.h"

#include <sched.h>

enum { THREADS = 4, HELD = 40, RACERS = 3 };

struct job {
    struct room r;
    struct amx_pool view[THREADS];
    amx_t *h[THREADS];
    amx_id id[THREADS];
    long turns;
    bool arena;
    uint64_t refused[THREADS], done[THREADS];
    amxi_a64 mail[THREADS]; /* slots on their way to the thread */
    amxi_a64 target, round, wins, arrived, sums[4];
};

static enum kind kind_of(void **state)
{
    return **(enum kind **)state;
}

static void begin(struct job *j, enum kind kind, const struct amx_pool_config *k)
{
    memset(j, 0, sizeof *j);
    room_open(&j->r, kind, k);
    for (int i = 0; i < THREADS; i++) {
        if (kind == BLOCK) {
            j->h[i] =
                new_handle(j->r.h[TSAN ? 0 : i & 1]); /* the sanitizer does not know that two addresses are one byte */
            must_ok(amx_pool_attach_block(j->h[i], j->r.block, BASE, k, &j->view[i]));
            j->id[i] = amx_handle_id(j->h[i]);
        } else {
            must_ok(amx_pool_attach(j->r.region[TSAN ? 0 : i & 1], j->r.len, BASE, k, &j->view[i]));
            j->id[i] = (amx_id)(i + 10);
        }
    }
}

static void end(struct job *j)
{
    for (int i = 0; i < THREADS; i++)
        if (j->h[i])
            must_ok(amx_unshare(j->h[i]));
    assert_int_equal(used_all(&j->r.pool[0]), 0);
    pool_all_free(&j->r.pool[0], j->r.owner[0]);
    room_close(&j->r);
}

/* Allocates, writes, verifies, frees; gives some to the next thread, which finds them in its mail. */
static void mix(int me, void *ctx)
{
    struct job *j = ctx;
    struct rng dice = rng_make(test_seed(), (uint64_t)me);
    struct amx_pool *p = &j->view[me];
    amx_slot held[HELD];
    int n = 0;
    void *m;
    size_t bytes;
    for (long t = 0; t < j->turns || n; t++) {
        if (t < j->turns && n < HELD && rng_below(&dice, 2)) {
            int e = amx_pool_alloc(p, rng_below(&dice, 200), j->id[me], &held[n]);
            must(e == AMX_OK || e == AMX_E_NOMEM || (e == AMX_E_BUSY && j->arena));
            j->refused[me] += e != AMX_OK;
            if (e)
                continue;
            must_ok(amx_pool_ptr(p, held[n], &m, &bytes));
            stamp(m, bytes, held[n] >> 32);
            n++;
        } else if (n) {
            int i = (int)rng_below(&dice, (uint64_t)n);
            amx_slot s = held[i], given;
            held[i] = held[--n];
            must_ok(amx_pool_ptr(p, s, &m, &bytes));
            must(stamped(m, bytes, s >> 32));
            if (rng_below(&dice, 4)) {
                must_ok(amx_pool_free(p, s));
            } else {
                int to = (me + 1) % THREADS;
                uint64_t empty = 0;
                must_ok(amx_pool_give(p, s, j->id[to], &given));
                if (!amxi_cas64_ar(&j->mail[to], &empty, given))
                    must_ok(amx_pool_free(p, given));
            }
        }
        uint64_t s = amxi_ld64_acq(&j->mail[me]);
        if (s && amxi_cas64_ar(&j->mail[me], &s, 0)) {
            amx_id owner;
            must_ok(amx_pool_owner(p, s, &owner));
            must(owner == j->id[me]);
            must_ok(amx_pool_ptr(p, s, &m, &bytes));
            must(stamped(m, bytes, s >> 32));
            must_ok(amx_pool_free(p, s));
        }
        j->done[me]++;
    }
}

static void load(enum kind kind, const struct amx_pool_config *k)
{
    struct job j;
    uint64_t done = 0, refused = 0;
    begin(&j, kind, k);
    j.arena = k->cls[k->n - 1].slot_size == AMX_POOL_ARENA;
    j.turns = scaled(80000);
    run_threads(THREADS, mix, &j);
    for (int i = 0; i < THREADS; i++) {
        uint64_t s = amxi_ld64_acq(&j.mail[i]);
        if (s)
            must_ok(amx_pool_free(&j.view[0], s));
        done += j.done[i];
        refused += j.refused[i];
    }
    note("%" PRIu64 " turns, %" PRIu64 " times empty", done, refused);
    assert_true(done + refused >= (uint64_t)j.turns * THREADS);
    end(&j);
}

static void mixed_load(void **state)
{
    static const struct amx_pool_config k = {.n = 3, .cls = {{48, 30}, {128, 70}, {256, 10}}};
    load(kind_of(state), &k);
}

/* Three of four requests are above the only class: blocks of the arena, made, given and freed by whoever has them. */
static void arena_load(void **state)
{
    static const struct amx_pool_config k = {.n = 2, .cls = {{48, 30}, {AMX_POOL_ARENA, 70}}};
    load(kind_of(state), &k);
}

/* All threads free the same slot at the same moment: one wins, the others are told. A fourth one allocates meanwhile. */
static void race(int me, void *ctx)
{
    struct job *j = ctx;
    struct amx_pool *p = &j->view[me];
    if (me == RACERS) {
        amx_slot s;
        while (amxi_ld64_acq(&j->round) != UINT64_MAX)
            if (amx_pool_alloc(p, 16, j->id[me], &s) == AMX_OK)
                must_ok(amx_pool_free(p, s));
            else
                sched_yield();
        return;
    }
    for (uint64_t t = 1; t <= (uint64_t)j->turns; t++) {
        if (me == 0) {
            amx_slot s;
            while (amx_pool_alloc(p, 16, j->id[0], &s) != AMX_OK)
                sched_yield();
            amxi_st64_rlx(&j->target, s);
            amxi_st64_rlx(&j->wins, 0);
            amxi_st64_sc(&j->arrived, 0);
            amxi_st64_rel(&j->round, t);
        } else {
            while (amxi_ld64_acq(&j->round) != t)
                sched_yield();
        }
        amx_slot s = amxi_ld64_rlx(&j->target);
        int e = amx_pool_free(p, s);
        must(e == AMX_OK || e == AMX_E_DOUBLE_FREE || e == AMX_E_STALE);
        if (e == AMX_OK)
            (void)amxi_add64_rlx(&j->wins, 1);
        (void)amxi_add64_rlx(&j->sums[e == AMX_OK ? 0 : e == AMX_E_STALE ? 1 : 2], 1);
        (void)amxi_or64_sc(&j->arrived, UINT64_C(1) << me);
        if (me == 0) {
            while (amxi_ld64_sc(&j->arrived) != (1 << RACERS) - 1)
                sched_yield();
            must(amxi_ld64_rlx(&j->wins) == 1);
        }
    }
    if (me == 0)
        amxi_st64_rel(&j->round, UINT64_MAX);
}

static void racing_frees(void **state)
{
    static const struct amx_pool_config k = {.n = 1, .cls = {{16, 2}}};
    struct job j;
    begin(&j, kind_of(state), &k);
    j.turns = scaled(5000);
    run_threads(THREADS, race, &j);
    note("%ld races: %" PRIu64 " freed, %" PRIu64 " stale, %" PRIu64 " double", j.turns, amxi_ld64_rlx(&j.sums[0]),
         amxi_ld64_rlx(&j.sums[1]), amxi_ld64_rlx(&j.sums[2]));
    assert_int_equal(amxi_ld64_rlx(&j.sums[0]), j.turns);
    end(&j);
}

/* Fewer slots than threads: who finds none waits for it, and none waits for ever. */
static void wait_turns(int me, void *ctx)
{
    struct job *j = ctx;
    struct amx_pool *p = &j->view[me];
    for (long t = 0; t < j->turns; t++) {
        amx_slot s;
        void *m;
        must_ok(amx_pool_alloc_wait(p, 16, j->id[me], UINT64_C(60000000000), &s));
        must_ok(amx_pool_ptr(p, s, &m, NULL));
        stamp(m, 16, s);
        if (t % 8 == 0)
            sched_yield();
        must(stamped(m, 16, s));
        must_ok(amx_pool_free(p, s));
    }
}

static void waiting(void **state)
{
    static const struct amx_pool_config k = {.n = 1, .cls = {{16, 1}}};
    struct job j;
    begin(&j, kind_of(state), &k);
    j.turns = scaled(1500);
    run_threads(THREADS, wait_turns, &j);
    end(&j);
}

int main(void)
{
    static const enum kind kinds[] = {PLAIN, MEMFD, BLOCK};
#define EACH(f)                                                                                                        \
    {#f " (plain)", f, NULL, NULL, (void *)(uintptr_t)&kinds[0]},                                                      \
        {#f " (memfd)", f, NULL, NULL, (void *)(uintptr_t)&kinds[1]},                                                  \
    {                                                                                                                  \
#f " (block)", f, NULL, NULL, (void *)(uintptr_t)&kinds[2]                                                     \
    }
    const struct CMUnitTest tests[] = {EACH(mixed_load),
                                       EACH(racing_frees),
                                       EACH(waiting),
                                       {"arena_load", arena_load, NULL, NULL, (void *)(uintptr_t)&kinds[2]}};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
