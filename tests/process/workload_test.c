/* SPDX-License-Identifier: Apache-2.0 */
/* The verified workload with exec'ed processes that are forced to map the segment at different addresses and pass blocks
 * on to one another. */
#include "tests/workload.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

static int worker_role(char **argv)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    struct work w = {0};
    int me = atoi(argv[3]);
    amx_t *h = NULL;

    must(sscanf(argv[4], "%zu %zu %zu %d %" SCNu64 " %" SCNu64, &w.min, &w.max, &w.live, &w.workers, &w.ops, &w.seed) ==
         6);
    w.plenty = w.max < 64 * KIB;
    o.map_hint = test_hint((unsigned)me + 1);
    must_ok(amx_attach(argv[2], &o, &h));
    must(amx_raw_base(h) == test_hint((unsigned)me + 1));
    work_do(h, me, &w);
    must_ok(amx_close(h));
    return 0;
}

static int one_peer(const struct amx_peer *peer, void *ctx)
{
    (void)peer;
    ++*(int *)ctx;
    return 0;
}

static void run(const char *what, struct work w)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    const char *name = test_name();
    amx_t *h = NULL;
    pid_t pid[WORKERS_MAX];
    char text[160];
    uint64_t begin;
    uint64_t ns;
    int peers = 0;

    o.size = 50 * MIB;
    o.map_hint = test_hint(0);
    ok(amx_create(name, &o, &h));
    assert_ptr_equal(amx_raw_base(h), test_hint(0));
    exchange_make(h);
    w.seed = test_seed();
    snprintf(text, sizeof text, "%zu %zu %zu %d %" PRIu64 " %" PRIu64, w.min, w.max, w.live, w.workers, w.ops, w.seed);
    begin = clock_ns();
    for (int i = 0; i < w.workers; i++) {
        char me[12];

        snprintf(me, sizeof me, "%d", i);
        pid[i] = spawn("worker", name, me, text, (char *)NULL);
    }
    for (int i = 0; i < w.workers; i++)
        wait_ok(pid[i]);
    ns = clock_ns() - begin;
    /* Of two that close at once each may find the other inside a sector, and leave what it has there to the next
     * recovery. Now nobody else is inside: it must finish. */
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    ok(amx_peers(h, one_peer, &peers));
    assert_int_equal(peers, 1); /* all others have gone, properly */
    work_end(h, &w, what, ns);
    ok(amx_close(h));
    ok(amx_unlink(name, NULL));
}

static void two_processes(void **state)
{
    (void)state;
    run("two processes",
        (struct work){.min = 0, .max = 20000, .live = 200, .workers = 2, .ops = (uint64_t)scaled(100000) / 2});
}

static void four_processes(void **state)
{
    (void)state;
    run("four processes",
        (struct work){.min = 0, .max = 20000, .live = 200, .workers = 4, .ops = (uint64_t)scaled(100000) / 4});
}

static void four_processes_with_large_blocks(void **state)
{
    (void)state;
    run("four processes, large blocks",
        (struct work){.min = 4 * KIB, .max = MIB, .live = 12, .workers = 4, .ops = (uint64_t)scaled(2000) / 4 + 1});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_processes),
        cmocka_unit_test(four_processes),
        cmocka_unit_test(four_processes_with_large_blocks),
    };

    if (argc > 4 && strcmp(argv[1], "worker") == 0)
        return worker_role(argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
