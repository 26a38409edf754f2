/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sixth of the published tests: 8 threads allocate 800,000 blocks of 64 bytes. The published one asked for 99.5 %
 * of them in 50 MiB, which cannot hold them with its own headers, and never looked into a block. Here every block must
 * be had, from 100 MiB, and every byte is verified.
 */
#include "tests/arena_kit.h"

enum { THREADS = 8 };

struct stress {
    amx_t *h[THREADS];
    size_t each;
    amx_ref *ref; /* THREADS * each */
    pthread_barrier_t gate;
};

static void allocate(int me, void *ctx)
{
    struct stress *s = ctx;
    amx_ref *mine = s->ref + (size_t)me * s->each;

    pthread_barrier_wait(&s->gate);
    for (size_t i = 0; i < s->each; i++) {
        mine[i] = alloc(s->h[me], 64);
        mark(s->h[me], mine[i], mine[i]);
    }
}

/* Each thread verifies and frees what another one allocated. */
static void release(int me, void *ctx)
{
    struct stress *s = ctx;
    amx_ref *theirs = s->ref + (size_t)((me + 3) % THREADS) * s->each;

    pthread_barrier_wait(&s->gate);
    for (size_t i = 0; i < s->each; i++) {
        verify(s->h[me], theirs[i], theirs[i]);
        must_ok(amx_free(s->h[me], theirs[i]));
    }
}

static void stress(void **state)
{
    struct stress s = {.each = (size_t)scaled(100000)};
    size_t n = THREADS * s.each;
    amx_t *h = new_segment(UINT64_C(100) << 20);

    (void)state;
    s.ref = calloc(n, sizeof *s.ref);
    assert_non_null(s.ref);
    for (int i = 0; i < THREADS; i++)
        s.h[i] = new_handle(h);
    must(pthread_barrier_init(&s.gate, NULL, THREADS) == 0);
    run_threads(THREADS, allocate, &s);
    assert_int_equal(stat_of(h).live_blocks, n);
    check_clean(h);
    run_threads(THREADS, release, &s);
    pthread_barrier_destroy(&s.gate);
    qsort(s.ref, n, sizeof *s.ref, by_value);
    for (size_t i = 1; i < n; i++) /* 64 bytes and a header: no two closer than 80 */
        assert_true(offset_of(s.ref[i]) >= offset_of(s.ref[i - 1]) + 80);
    for (int i = 0; i < THREADS; i++)
        ok(amx_unshare(s.h[i]));
    note("%zu unique blocks of 64 bytes by %d threads, all verified", n, THREADS);
    free(s.ref);
    close_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stress),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
