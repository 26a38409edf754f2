/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times amx and the C library's heap on this machine, in a segment of its own that has no name. Interleaved: each
 * repetition runs both in each configuration, so that a slow moment meets both.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "out.h"
#include "tool.h"

#define SEED_LIVE    200u /* blocks that a thread of the seed loop may hold */
#define THREADS_MAX  2u
#define REPS_MAX     99u
#define SEGMENT_SIZE (UINT64_C(50) << 20)

enum { AMX_HEAP, LIBC_HEAP, HEAPS };
static const char *const heap_name[HEAPS] = {"amx", "libc"};
enum workload { SEED_LOOP, PAIR_64 };
static const char *const workload_name[] = {"seed-loop", "pair-64"};

static const struct config {
    enum workload workload;
    unsigned threads;
} configs[] = {{SEED_LOOP, 1}, {SEED_LOOP, 2}, {PAIR_64, 1}, {PAIR_64, 2}};
enum { CONFIGS = sizeof configs / sizeof *configs };

struct thread {
    pthread_t id;
    pthread_barrier_t *barrier;
    amx_t *h;
    uint64_t ops, failed, t0, t1;
    enum workload workload;
    int heap;
    uint32_t seed;
};

/* --- The loops, inlined with their two calls ------------------------------------------------------------------------ */

#define INLINE __attribute__((always_inline)) static inline

INLINE uint64_t amx_get(amx_t *h, size_t n)
{
    amx_ref ref = AMX_REF_NONE;

    (void)amx_alloc(h, n, &ref);
    return ref;
}

INLINE int amx_put(amx_t *h, uint64_t token)
{
    return amx_free(h, token);
}

INLINE uint64_t libc_get(amx_t *h, size_t n)
{
    (void)h;
    return (uintptr_t)malloc(n);
}

INLINE int libc_put(amx_t *h, uint64_t token)
{
    (void)h;
    free((void *)(uintptr_t)token);
    return 0;
}

typedef uint64_t get_fn(amx_t *h, size_t n);
typedef int put_fn(amx_t *h, uint64_t token);

/* The published mix. Each iteration counts as one operation, also an idle one. */
INLINE void seed_loop(struct thread *t, get_fn *get, put_fn *put)
{
    uint64_t tokens[SEED_LIVE], failed = 0;
    uint32_t x = t->seed, live = 0;

    for (uint64_t i = 0; i < t->ops; i++) {
        x = x * 1103515245u + 12345u;
        if (x % 10 < 7 && live < SEED_LIVE) {
            uint64_t token = get(t->h, x % 512);

            if (token)
                tokens[live++] = token;
            else
                failed++;
        } else if (live) {
            uint32_t k = x % live;
            uint64_t token = tokens[k];

            tokens[k] = tokens[--live];
            failed += put(t->h, token) != 0;
        }
    }
    while (live)
        failed += put(t->h, tokens[--live]) != 0;
    t->failed = failed;
}

INLINE void pair_64(struct thread *t, get_fn *get, put_fn *put)
{
    for (uint64_t i = 0; i < t->ops; i++) {
        uint64_t token = get(t->h, 64);

        __asm__ volatile("" : "+r"(token)); /* a compiler may leave out a malloc that is only freed */
        if (!token || put(t->h, token))
            t->failed++;
    }
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;

    pthread_barrier_wait(t->barrier);
    t->t0 = now_ns();
    if (t->workload == SEED_LOOP && t->heap == AMX_HEAP)
        seed_loop(t, amx_get, amx_put);
    else if (t->workload == SEED_LOOP)
        seed_loop(t, libc_get, libc_put);
    else if (t->heap == AMX_HEAP)
        pair_64(t, amx_get, amx_put);
    else
        pair_64(t, libc_get, libc_put);
    t->t1 = now_ns();
    return NULL;
}

/* --- Runs ----------------------------------------------------------------------------------------------------------- */

static int cannot_start(void)
{
    return tool_fail(TOOL_FAILED, "bench", "cannot start a thread\n  next: see 'ulimit -u'");
}

/* One run of one heap: wall time per operation of all threads. The threads begin together. */
static int run_once(amx_t *const *h, const struct config *c, int heap, uint64_t ops, double *ns)
{
    struct thread threads[THREADS_MAX] = {0};
    uint64_t t0 = UINT64_MAX, t1 = 0, failed = 0;
    pthread_barrier_t barrier;
    unsigned started = 0;

    if (pthread_barrier_init(&barrier, NULL, c->threads))
        return cannot_start();
    for (unsigned i = 0; i < c->threads; i++)
        threads[i] = (struct thread){
            .barrier = &barrier, .h = h[i], .ops = ops, .workload = c->workload, .heap = heap, .seed = i + 1};
    while (started + 1 < c->threads &&
           !pthread_create(&threads[started + 1].id, NULL, thread_main, &threads[started + 1]))
        started++;
    if (started + 1 < c->threads) /* nobody can come to the barrier: those at it end with the tool */
        return cannot_start();
    thread_main(&threads[0]);
    for (unsigned i = 1; i < c->threads; i++)
        pthread_join(threads[i].id, NULL);
    pthread_barrier_destroy(&barrier);
    for (unsigned i = 0; i < c->threads; i++) {
        t0 = threads[i].t0 < t0 ? threads[i].t0 : t0;
        t1 = threads[i].t1 > t1 ? threads[i].t1 : t1;
        failed += threads[i].failed;
    }
    if (failed)
        return tool_fail(TOOL_FAILED, "bench", "%llu calls of %s failed\n  next: this should not be: please report it",
                         (unsigned long long)failed, heap_name[heap]);
    *ns = (double)(t1 - t0) / (double)(ops * c->threads);
    return TOOL_OK;
}

static double results[CONFIGS][HEAPS][REPS_MAX];

static int run_all(amx_t *const *h, uint64_t ops, unsigned reps)
{
    struct out_bar progress;
    int code = TOOL_OK;

    out_bar_begin(&progress, "bench");
    for (unsigned r = 0; r < reps && !code; r++)
        for (unsigned c = 0; c < CONFIGS && !code; c++) {
            for (int heap = 0; heap < HEAPS && !code; heap++)
                code = run_once(h, &configs[c], heap, ops, &results[c][heap][r]);
            out_bar_show(&progress, r * CONFIGS + c + 1, (uint64_t)reps * CONFIGS, workload_name[configs[c].workload]);
        }
    out_bar_end(&progress);
    return code;
}

/* --- Telling -------------------------------------------------------------------------------------------------------- */

struct spread {
    double median, min, max;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static struct spread spread_of(double *v, unsigned n) /* sorts them */
{
    qsort(v, n, sizeof *v, by_value);
    return (struct spread){n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2, v[0], v[n - 1]};
}

static const struct out_col columns[] = {{"WORKLOAD", false},  {"THREADS", true},   {"AMX/LIBC", true},
                                         {"MIN-MAX", true},    {"AMX NS/OP", true}, {"MIN-MAX", true},
                                         {"LIBC NS/OP", true}, {"MIN-MAX", true}};

static void cells(struct out_table *t, struct spread s, int digits)
{
    out_table_cell(t, "%.*f", digits, s.median);
    out_table_cell(t, "%.*f-%.*f", digits, s.min, digits, s.max);
}

static void show(uint64_t ops, unsigned reps)
{
    char grouped[OUT_GROUPED];
    struct out_table t;

    out_table_begin(&t, columns, sizeof columns / sizeof *columns, true);
    for (unsigned c = 0; c < CONFIGS; c++) {
        double ratio[REPS_MAX];

        for (unsigned r = 0; r < reps; r++)
            ratio[r] = results[c][AMX_HEAP][r] / results[c][LIBC_HEAP][r];
        out_table_cell(&t, "%s", workload_name[configs[c].workload]);
        out_table_cell(&t, "%u", configs[c].threads);
        cells(&t, spread_of(ratio, reps), 2);
        for (int heap = 0; heap < HEAPS; heap++)
            cells(&t, spread_of(results[c][heap], reps), 1);
    }
    out_table_end(&t);
    printf("\nwall time, median of %u repetitions of %s operations per thread, %ld processors\n", reps,
           out_grouped(grouped, ops), sysconf(_SC_NPROCESSORS_ONLN));
}

static void show_json(uint64_t ops, unsigned reps)
{
    struct out_json j;

    out_json_begin(&j, "amx.bench/1");
    out_json_number(&j, "operations", ops);
    out_json_number(&j, "repetitions", reps);
    out_json_open(&j, "results", '[');
    for (unsigned c = 0; c < CONFIGS; c++)
        for (int heap = 0; heap < HEAPS; heap++) {
            struct spread s = spread_of(results[c][heap], reps);

            out_json_open(&j, NULL, '{');
            out_json_text(&j, "workload", workload_name[configs[c].workload]);
            out_json_number(&j, "threads", configs[c].threads);
            out_json_number(&j, "processes", 1);
            out_json_text(&j, "system", heap_name[heap]);
            out_json_text(&j, "mode", "threads");
            out_json_text(&j, "unit", "ns/op");
            out_json_thousandths(&j, "median", (uint64_t)(s.median * 1000));
            out_json_thousandths(&j, "min", (uint64_t)(s.min * 1000));
            out_json_thousandths(&j, "max", (uint64_t)(s.max * 1000));
            out_json_text(&j, "instructions", NULL);
            out_json_close(&j);
        }
    out_json_close(&j);
    out_json_end(&j);
}

static int with_segment(uint64_t ops, unsigned reps, bool json)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h[THREADS_MAX] = {NULL};
    char why[256] = "";
    int err, code;

    o.size = SEGMENT_SIZE;
    o.peer_name = "amx bench";
    o.why = why;
    o.why_len = sizeof why;
    err = amx_create_memfd("amx bench", &o, &h[0]);
    if (err)
        return tool_fail_amx("bench", "", err, why);
    for (unsigned i = 1; i < THREADS_MAX; i++) {
        err = amx_share(h[0], &h[i]);
        if (err)
            return tool_fail_amx("bench", "", err, NULL);
    }
    code = run_all(h, ops, reps);
    if (code)
        return code;
    if (json)
        show_json(ops, reps);
    else
        show(ops, reps);
    err = amx_close(h[0]);
    return err ? tool_fail_amx("bench", "", err, NULL) : TOOL_OK;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"ops", required_argument, NULL, 'n'},
                                            {"reps", required_argument, NULL, 'r'},
                                            {0}};
    uint64_t ops = 5000000, reps = 5;
    bool json = false;
    int letter;

    while ((letter = getopt_long(argc, argv, "n:r:", options, NULL)) != -1) {
        if (letter == '?')
            return tool_usage("bench", NULL);
        if (letter == 'j')
            json = true;
        else if (letter == 'n' ? !tool_number(optarg, 1, 1000000000, &ops) : !tool_number(optarg, 1, REPS_MAX, &reps))
            return tool_usage("bench", "'%s' is not a valid value for this option", optarg);
    }
    if (optind != argc)
        return tool_usage("bench", "'%s' is too much: no argument is expected", argv[optind]);
    return with_segment(ops, (unsigned)reps, json);
}

const struct verb verb_bench = {
    "bench", "[options]", "time amx and the C library's heap on this machine",
    "  -n, --ops N    operations per thread and run (default 5000000)\n"
    "  -r, --reps N   repetitions, 1 to 99 (default 5)\n"
    "      --json     as JSON, schema amx.bench/1\n\n"
    "seed-loop: requests of 0 to 511 bytes and frees, mixed, up to 200 live blocks per thread; an operation is one\n"
    "iteration. pair-64: 64 bytes allocated and freed at once; an operation is such a pair. 1 and 2 threads, each "
    "with\n"
    "a handle of its own, in a segment of 50 MiB that has no name. The ratio is taken within each repetition; below 1\n"
    "amx is faster. amx is linked into the tool; a program that uses the shared library pays for the way into it.\n",
    run};
