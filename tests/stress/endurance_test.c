/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seventh of the published tests: the published generator, mix and sizes in 50 MiB, by operation count; for
 * AMX_TEST_SECONDS seconds as `make endurance`. Every fifth operation frees its block a second time, which the published
 * code took for "healing" and which put the block into its list twice; here each must be answered as what it is.
 * "Entropy" is the published measure: free fragments at the end per operation, in percent. The published bar (0.001 %)
 * is passed by any run that is long enough; ours is that the fragments are whole sectors, all of them.
 */
#include "tests/arena_kit.h"

#include <time.h>

enum { THREADS_MAX = 8, LIVE = 200 };

struct loop {
    amx_t *h[THREADS_MAX];
    int threads;
    uint64_t ops_each; /* 0: until `end` */
    uint64_t begin, end;
    uint64_t ops[THREADS_MAX], seconds[THREADS_MAX];
    amx_ref left[THREADS_MAX][LIVE];
    size_t n[THREADS_MAX];
    pthread_barrier_t gate;
};

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* First and last 8 bytes, so that the loop stays about the allocator. */
static void sign(amx_t *h, amx_ref ref)
{
    unsigned char *p = bytes_of(h, ref);

    memcpy(p, &ref, 8);
    memcpy(p + usable_of(h, ref) - 8, &ref, 8);
}

static void check_signed(amx_t *h, amx_ref ref)
{
    const unsigned char *p = bytes_of(h, ref);

    must(memcmp(p, &ref, 8) == 0);
    must(memcmp(p + usable_of(h, ref) - 8, &ref, 8) == 0);
}

/* The second free of a block that another thread may have got meanwhile: by reference, which cannot hit it. Alone: the
 * published call itself, at the offset. */
static void free_again(amx_t *h, amx_ref ref, bool alone)
{
    int rc;

    if (alone) {
        struct amx_block b;

        rc = amx_raw_query(h, offset_of(ref), &b);
        if (rc == AMX_OK && b.state == AMX_STATE_ACKED) /* not healed yet: that is what coalesce is for */
            must_ok(amx_raw_coalesce(h, offset_of(ref)));
        must(amx_raw_coalesce(h, offset_of(ref)) == AMX_E_DOUBLE_FREE);
        must(amx_raw_ack(h, offset_of(ref)) == AMX_E_DOUBLE_FREE);
    }
    rc = amx_free(h, ref);
    must(rc == AMX_E_DOUBLE_FREE || rc == AMX_E_STALE);
}

static void published_loop(int me, void *ctx)
{
    struct loop *l = ctx;
    amx_t *h = l->h[me];
    amx_ref *live = l->left[me];
    size_t n = 0;
    uint32_t rng = (uint32_t)me + 1;
    uint64_t ops = 0;
    uint64_t seconds = 0;

    pthread_barrier_wait(&l->gate);
    while (l->ops_each ? ops < l->ops_each : ops % 1024 != 0 || now() < l->end) {
        rng = rng * 1103515245u + 12345u;
        if (rng % 10 < 7 && n < LIVE) {
            live[n] = alloc(h, rng % 512);
            sign(h, live[n++]);
        } else if (n > 0) {
            size_t i = rng % n;
            amx_ref ref = live[i];

            live[i] = live[--n];
            check_signed(h, ref);
            must_ok(amx_raw_ack(h, offset_of(ref)));
            if (ops % 5 == 0) {
                free_again(h, ref, l->threads == 1);
                seconds++;
            }
        }
        ops++;
    }
    l->n[me] = n;
    l->ops[me] = ops;
    l->seconds[me] = seconds;
}

static void endurance(int threads)
{
    static struct loop l;
    amx_t *h = new_segment(UINT64_C(50) << 20);
    uint64_t ops = 0;
    uint64_t seconds = 0;
    uint64_t ns;
    struct amx_stats s;

    memset(&l, 0, sizeof l);
    l.threads = threads;
    l.ops_each = test_seconds() ? 0 : (uint64_t)scaled(2000000) / (uint64_t)threads;
    for (int i = 0; i < threads; i++)
        l.h[i] = new_handle(h);
    must(pthread_barrier_init(&l.gate, NULL, (unsigned)threads) == 0);
    l.begin = now();
    l.end = l.begin + test_seconds() * UINT64_C(1000000000);
    run_threads(threads, published_loop, &l);
    ns = now() - l.begin;
    pthread_barrier_destroy(&l.gate);
    for (int i = 0; i < threads; i++) {
        ops += l.ops[i];
        seconds += l.seconds[i];
        for (size_t k = 0; k < l.n[i];
             k++) { /* as published: the remaining blocks are freed twice by the main thread */
            check_signed(h, l.left[i][k]);
            ok(amx_raw_ack(h, offset_of(l.left[i][k])));
            free_again(h, l.left[i][k], true);
        }
        ok(amx_unshare(l.h[i]));
    }
    ok(amx_heal(h));
    s = stat_of(h);
    assert_int_equal(s.free_blocks, info_of(h).sectors);
    assert_true(seconds > 0);
    note("endurance: %d thread%s, %.1f s, %" PRIu64 " operations, %.2f Mop/s; %" PRIu64
         " second frees refused; free fragments %" PRIu64 " (the sectors), entropy %.7f %%",
         threads, threads == 1 ? "" : "s", (double)ns / 1e9, ops, (double)ops * 1e3 / (double)ns, seconds,
         s.free_blocks, (double)s.free_blocks * 100 / (double)ops);
    close_free(h);
}

static void one_thread(void **state)
{
    (void)state;
    if (test_seconds()) /* the long run is the published one: eight threads */
        skip();
    endurance(1);
}

static void eight_threads(void **state)
{
    (void)state;
    endurance(8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread),
        cmocka_unit_test(eight_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
