/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   races [PAIRS]
 * Two handles of two attachments free the same block at the same time, its owner and another, published ones too: of each
 * pair exactly one succeeds. The same with slots of a pool. Then as many frees of what is no block: references of former lives, of blocks freed just now,
 * of nothing; addresses inside blocks and outside the segment, beside another who works and verifies his blocks: each is
 * an error, and nothing happens. Ends with one line:
 *   races: pairs=N won_by_first=N slots=N won_by_first=N strays=N wrong=N
 */
#include "amx_pool.h"
#include "amx_raw.h"
#include "tests/support.h"

#include <stdalign.h>
#include <stdatomic.h>

enum { BATCH = 512 };

static struct {
    amx_t *h[2];
    struct amx_pool pool[2];
    bool slots; /* these are raced for */
    uint64_t batches;
    uint64_t ref[BATCH];
    unsigned how[BATCH];
    bool won[2][BATCH];
    atomic_uint arrived;
    alignas(64) atomic_ullong at[2][8]; /* a line each: the pair at which each of them is */
    uint64_t first, wrong;
} t;

/* Both have come; who waits lets others run. */
static void meet(unsigned *round)
{
    unsigned want = 2 * ++*round;
    atomic_fetch_add_explicit(&t.arrived, 1, memory_order_acq_rel);
    while (atomic_load_explicit(&t.arrived, memory_order_acquire) < want)
        sched_yield();
}

/* Both are about to end pair n: as close to the same moment as can be. */
static void together(int who, uint64_t n)
{
    atomic_store_explicit(&t.at[who][0], n, memory_order_release);
    for (unsigned spins = 0; atomic_load_explicit(&t.at[!who][0], memory_order_acquire) < n; spins++)
        if (spins > 2000)
            sched_yield();
}

static void begin_it(int who, unsigned i, struct rng *r)
{
    amx_t *h = t.h[who];
    must_ok(t.slots ? amx_pool_alloc(&t.pool[who], 64, AMX_POOL_SELF, &t.ref[i])
                    : amx_alloc(h, rng_below(r, 200), &t.ref[i]));
    t.how[i] = (unsigned)rng_below(r, 16);
    if (rng_below(r, 3) == 0)
        must_ok(t.slots ? amx_pool_publish(&t.pool[who], t.ref[i]) : amx_publish(h, t.ref[i]));
}

static bool end_it(int who, unsigned i)
{
    amx_t *h = t.h[who];
    const bool second = who;
    void *p;
    if (t.slots) {
        bool there =
            (second ? t.how[i] / 4 : t.how[i] % 4) != 1 || amx_pool_ptr(&t.pool[who], t.ref[i], &p, NULL) == AMX_OK;
        return there && amx_pool_free(&t.pool[who], t.ref[i]) == AMX_OK;
    }
    switch (second ? t.how[i] / 4 : t.how[i] % 4) {
    case 0:
        return amx_free_many(h, &t.ref[i], 1, NULL) == AMX_OK;
    case 1:
        return amx_ptr(h, t.ref[i], &p) == AMX_OK && amx_free(h, t.ref[i]) == AMX_OK;
    default:
        return amx_free(h, t.ref[i]) == AMX_OK;
    }
}

static void racer(int who, void *ctx)
{
    struct rng r = rng_make(77, (uint64_t)who);
    unsigned round = 0;
    (void)ctx;
    for (uint64_t b = 0; b < t.batches; b++) {
        if (who == 0)
            for (unsigned i = 0; i < BATCH; i++)
                begin_it(who, i, &r);
        meet(&round);
        for (unsigned i = 0; i < BATCH; i++) {
            together(who, b * BATCH + i + 1);
            for (uint64_t pause = t.how[i] & 3; (unsigned)who == (t.how[i] >> 2 & 1) && pause;
                 pause--) /* now one, now the other first */
                atomic_signal_fence(memory_order_seq_cst);
            t.won[who][i] = end_it(who, i);
        }
        meet(&round);
        if (who == 0)
            for (unsigned i = 0; i < BATCH; i++) {
                t.first += t.won[0][i];
                t.wrong += t.won[0][i] == t.won[1][i];
            }
        meet(&round);
    }
}

/* --- Strays ------------------------------------------------------------------------------------------------------- */

enum { OLD = 4096, OWN = 64 };

static struct {
    uint64_t want, done, wrong;
    atomic_bool over;
    uint64_t worked;
} stray;

static void must_not(int e)
{
    stray.done++;
    stray.wrong +=
        e != AMX_E_STALE && e != AMX_E_DOUBLE_FREE && e != AMX_E_OFFSET && e != AMX_E_WILD && e != AMX_E_FOREIGN;
}

static void strays(amx_t *h)
{
    static amx_ref old[OLD];
    amx_slot slot;
    amx_ref own[OWN];
    unsigned char *p[OWN];
    void *at;
    struct rng r = rng_make(99, 0);
    for (unsigned i = 0; i < OWN; i++) {
        must(amx_alloc(h, 200, &own[i]) == AMX_OK && amx_ptr(h, own[i], &at) == AMX_OK);
        p[i] = at;
    }
    while (stray.done < stray.want) {
        unsigned i = (unsigned)rng_below(&r, OWN);
        must_ok(amx_free(h, own[i]));
        must_not(amx_free(h, own[i]));
        old[rng_below(&r, OLD)] = own[i];
        must(amx_alloc(h, 200, &own[i]) == AMX_OK && amx_ptr(h, own[i], &at) == AMX_OK);
        p[i] = at;
        must_not(amx_free(h, old[rng_below(&r, OLD)]));
        must_not(amx_free(h, rng_next(&r)));
        must_not(amx_free(h, own[i] ^ UINT64_C(1) << rng_below(&r, 32))); /* its place, another life */
        must_not(amx_free_ptr(h, p[i] + rng_range(&r, 1, 199)));
        must_not(amx_free_ptr(h, &r));
        must_not(amx_raw_ack(h, rng_next(&r)));
        must_ok(amx_pool_alloc(&t.pool[0], 64, AMX_POOL_SELF, &slot));
        must_not(amx_pool_free(&t.pool[0], slot ^ UINT64_C(1) << rng_below(&r, 32)));
        must_ok(amx_pool_free(&t.pool[0], slot));
        must_not(amx_pool_free(&t.pool[0], slot));
        must_not(amx_pool_free(&t.pool[0], rng_next(&r)));
        must_not(amx_free_many(h, &(amx_ref){old[rng_below(&r, OLD)]}, 1, NULL));
    }
    for (unsigned i = 0; i < OWN; i++)
        must_ok(amx_free(h, own[i]));
}

static void work(amx_t *h)
{
    amx_ref ref[OWN] = {0};
    uint64_t key[OWN] = {0}, keys = 0;
    struct rng r = rng_make(98, 0);
    void *p;
    while (!atomic_load_explicit(&stray.over, memory_order_relaxed)) {
        unsigned i = (unsigned)rng_below(&r, OWN);
        if (ref[i]) {
            must(amx_ptr(h, ref[i], &p) == AMX_OK && stamped(p, 160, key[i]));
            must_ok(amx_free(h, ref[i]));
            ref[i] = 0;
        } else if (amx_alloc(h, 160 + rng_below(&r, 300), &ref[i]) == AMX_OK) {
            must_ok(amx_ptr(h, ref[i], &p));
            stamp(p, 160, key[i] = ++keys);
        }
        stray.worked++;
    }
    for (unsigned i = 0; i < OWN; i++)
        must(!ref[i] || amx_free(h, ref[i]) == AMX_OK);
}

static void stray_or_work(int who, void *ctx)
{
    (void)ctx;
    if (who) {
        work(t.h[1]);
    } else {
        strays(t.h[0]);
        atomic_store_explicit(&stray.over, true, memory_order_relaxed);
    }
}

int main(int argc, char **argv)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    struct amx_stats s = {.struct_size = sizeof s};
    struct amx_check_result c = {.struct_size = sizeof c};
    uint64_t pairs = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    o.size = 4 << 20;
    must_ok(amx_create_memfd("races", &o, &t.h[0]));
    must_ok(amx_attach_fd(amx_fd(t.h[0]), NULL, &t.h[1]));
    const struct amx_pool_config one = {.n = 1, .cls = {{64, BATCH}}};
    struct amx_pool_check_result pc = {.struct_size = sizeof pc};
    uint64_t first;
    amx_ref block;
    must_ok(amx_pool_create(t.h[0], &one, &block, &t.pool[0]));
    must_ok(amx_pool_attach_block(t.h[1], block, 0, &one, &t.pool[1]));
    t.batches = (pairs + BATCH - 1) / BATCH;
    run_threads(2, racer, NULL);
    first = t.first;
    t.first = 0;
    t.slots = true;
    atomic_store_explicit(&t.arrived, 0, memory_order_relaxed);
    for (int i = 0; i < 2; i++)
        atomic_store_explicit(&t.at[i][0], 0, memory_order_relaxed);
    run_threads(2, racer, NULL);
    stray.want = pairs;
    run_threads(2, stray_or_work, NULL);
    t.wrong += stray.wrong;
    must_ok(amx_pool_check(&t.pool[1], NULL, NULL, &pc));
    t.wrong += pc.used + pc.notes;
    must_ok(amx_pool_remove(&t.pool[0]));
    must_ok(amx_free(t.h[0], block));
    for (int i = 0; i < 2; i++)
        must_ok(amx_trim(t.h[i]));
    must_ok(amx_heal(t.h[0]));
    must_ok(amx_stat(t.h[0], &s));
    must_ok(amx_check(t.h[0], NULL, NULL, &c));
    t.wrong += s.free_bytes != s.data_bytes;
    printf("races: pairs=%" PRIu64 " won_by_first=%" PRIu64 " slots=%" PRIu64 " won_by_first=%" PRIu64
           " strays=%" PRIu64 " wrong=%" PRIu64 "\n",
           t.batches * BATCH, first, t.batches * BATCH, t.first, stray.done, t.wrong);
    must_ok(amx_close(t.h[1]));
    must_ok(amx_close(t.h[0]));
    return t.wrong != 0;
}
