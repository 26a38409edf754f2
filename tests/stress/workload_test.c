/* SPDX-License-Identifier: Apache-2.0 */
/* The verified workload with threads: on one mapping (which is what TSan can judge), and with the segment mapped twice
 * in the process. `make workloads` does 10 million operations of each, 200,000 with large blocks. */
#include "tests/workload.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

struct team {
    amx_t *h[WORKERS_MAX];
    struct work w;
};

static void member(int me, void *ctx)
{
    struct team *t = ctx;

    work_do(t->h[me], me, &t->w);
}

static void run(const char *what, uint64_t size, int mappings, struct work w)
{
    struct team t = {.w = w};
    amx_t *h = new_segment(size);
    amx_t *twin = mappings > 1 ? attach_again(h) : NULL;
    uint64_t begin;
    uint64_t ns;

    t.w.seed = test_seed();
    exchange_make(h);
    for (int i = 0; i < w.workers; i++)
        t.h[i] = new_handle(twin && i & 1 ? twin : h);
    begin = clock_ns();
    run_threads(w.workers, member, &t);
    ns = clock_ns() - begin;
    for (int i = 0; i < w.workers; i++)
        ok(amx_unshare(t.h[i]));
    if (twin)
        ok(amx_close(twin));
    work_end(h, &t.w, what, ns);
    ok(amx_close(h));
}

static void threads(const char *what, int n, int mappings)
{
    run(what, 50 * MIB, mappings,
        (struct work){.min = 0,
                      .max = 20000,
                      .live = 200,
                      .workers = n,
                      .ops = (uint64_t)scaled(100000) / (uint64_t)n,
                      .plenty = true});
}

static void one_thread(void **state)
{
    (void)state;
    threads("one thread", 1, 1);
}

static void two_threads(void **state)
{
    (void)state;
    threads("two threads", 2, 1);
}

static void four_threads(void **state)
{
    (void)state;
    threads("four threads", 4, 1);
}

static void eight_threads(void **state)
{
    (void)state;
    threads("eight threads", 8, 1);
}

/* The same bytes at two addresses: TSan knows of neither's orders at the other. */
static void mapped_twice(void **state)
{
    (void)state;
    if (TSAN)
        skip();
    threads("two threads, mapped twice", 2, 2);
    threads("eight threads, mapped twice", 8, 2);
}

/* So small that every sector is fought for and memory runs out. */
static void crowded(void **state)
{
    static const uint64_t sizes[] = {64 * KIB, 256 * KIB, MIB};

    (void)state;
    for (int i = 0; i < 3; i++)
        for (int n = 2; n <= 8; n *= 2)
            run("crowded", sizes[i], TSAN ? 1 : 1 + (n == 4),
                (struct work){
                    .min = 0, .max = 6000, .live = 60, .workers = n, .ops = (uint64_t)scaled(20000) / (uint64_t)n});
}

static void large_blocks(void **state)
{
    (void)state;
    for (int n = 1; n <= 8; n *= 2)
        run("large blocks", 50 * MIB, TSAN ? 1 : 1 + (n == 2),
            (struct work){.min = 4 * KIB,
                          .max = MIB,
                          .live = (size_t)(48 / n),
                          .workers = n,
                          .ops = (uint64_t)scaled(2000) / (uint64_t)n + 1});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread),    cmocka_unit_test(two_threads),  cmocka_unit_test(four_threads),
        cmocka_unit_test(eight_threads), cmocka_unit_test(mapped_twice), cmocka_unit_test(crowded),
        cmocka_unit_test(large_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
