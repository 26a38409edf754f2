/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests share. Environment:
 *   AMX_TEST_SCALE    percent of the operations that are done (100); sanitizers get fewer, campaigns more
 *   AMX_TEST_SECONDS  for tests that run for a time instead
 *   AMX_TEST_SEED     seed of everything random (a fixed one); printed, so that a failure can be repeated
 *   AMX_TEST_RUNNER   program that runs this one, for another processor than the machine's: qemu-aarch64
 */
#ifndef AMX_TEST_SUPPORT_H
#define AMX_TEST_SUPPORT_H

/* cmocka.h wants these four before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "amx.h"

/* --- Claims -------------------------------------------------------------------------------------------------- */

/* In a test's own thread only: cmocka leaves the test by longjmp. ok(call): it returns AMX_OK. fails(code, call): it
 * returns this code. */
#define ok(call)          answers_((call), AMX_OK, #call, __FILE__, __LINE__)
#define fails(code, call) answers_((call), (code), #call, __FILE__, __LINE__)
static inline void answers_(int got, int want, const char *call, const char *file, int line)
{
    if (got == want)
        return;
    print_error("%s\n    gave %d (%s)\n    not  %d (%s)\n", call, got, amx_strerror(got), want, amx_strerror(want));
    _fail(file, line);
}

/* In other threads and in exec'ed processes: ends the process with 70. */
#define must(cond)    must_((cond), #cond, __FILE__, __LINE__)
#define must_ok(call) must_ok_((call), #call, __FILE__, __LINE__)
static inline void must_(bool cond, const char *text, const char *file, int line)
{
    if (cond)
        return;
    fprintf(stderr, "%s:%d: pid %d: not so: %s\n", file, line, (int)getpid(), text);
    _exit(70);
}
static inline void must_ok_(int got, const char *call, const char *file, int line)
{
    if (got == AMX_OK)
        return;
    fprintf(stderr, "%s:%d: pid %d: %s gave %d (%s)\n", file, line, (int)getpid(), call, got, amx_strerror(got));
    _exit(70);
}

/* A line that is shown even if everything passes: measured numbers. */
__attribute__((format(printf, 1, 2))) static inline void note(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("# ", stdout);
    vprintf(fmt, ap);
    putchar('\n');
    fflush(stdout);
    va_end(ap);
}

/* --- How much, and which dice -------------------------------------------------------------------------------- */

static inline uint64_t env_number(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);
    char *end = NULL;
    if (!s || !*s)
        return otherwise;
    errno = 0;
    uint64_t v = strtoull(s, &end, 0);
    if (errno || *end) {
        fprintf(stderr, "%s=%s is not a number\n", name, s);
        exit(2);
    }
    return v;
}

/* n operations at the scale that was asked for; at least one. */
static inline long scaled(long n)
{
    long r = (long)((double)n * (double)env_number("AMX_TEST_SCALE", 100) / 100);
    return r > 0 ? r : 1;
}

/* Seconds to run, or 0: go by operations. */
static inline unsigned test_seconds(void)
{
    return (unsigned)env_number("AMX_TEST_SECONDS", 0);
}

/* The run's seed; prints it. Once per test, not in a loop. */
static inline uint64_t test_seed(void)
{
    uint64_t seed = env_number("AMX_TEST_SEED", 20240613);
    printf("AMX_TEST_SEED=%" PRIu64 "\n", seed);
    return seed;
}

static inline uint64_t mix64(uint64_t x) /* splitmix64's last step: a bijection that spreads every bit */
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

struct rng {
    uint64_t s;
};

/* One stream for each (seed, stream): threads and processes take their number as stream. */
static inline struct rng rng_make(uint64_t seed, uint64_t stream)
{
    return (struct rng){mix64(seed + UINT64_C(0x9e3779b97f4a7c15) * (stream + 1))};
}

static inline uint64_t rng_next(struct rng *r)
{
    return mix64(r->s += UINT64_C(0x9e3779b97f4a7c15));
}

static inline uint64_t rng_below(struct rng *r, uint64_t n) /* 0..n-1; n > 0 */
{
    return rng_next(r) % n; /* the bias is far below what a test can see */
}

static inline uint64_t rng_range(struct rng *r, uint64_t lo, uint64_t hi) /* lo..hi, both included */
{
    return lo + rng_below(r, hi - lo + 1);
}

static inline void rng_shuffle(struct rng *r, uint64_t *v, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)rng_below(r, i);
        uint64_t t = v[i - 1];
        v[i - 1] = v[j];
        v[j] = t;
    }
}

/* Under an emulator, which cannot do what is tested: says so. Of qemu-user's /proc/self/stat the start time is not the one
 * that others see, by which amx knows a process that holds no lock or is stopped. */
static inline bool emulated(const char *what)
{
    if (!getenv("AMX_TEST_RUNNER"))
        return false;
    note("not under an emulator: %s", what);
    return true;
}

/* --- Payloads ------------------------------------------------------------------------------------------------ */

/* Blocks up to this size are stamped byte for byte; larger ones at both ends and in each page. */
#define STAMP_WHOLE 8192u

static inline void stamp_part_(uint8_t *p, size_t from, size_t to, uint64_t key)
{
    for (size_t i = from; i < to; i += 8) {
        uint64_t v = mix64(key ^ i);
        memcpy(p + i, &v, to - i < 8 ? to - i : 8);
    }
}

static inline size_t stamp_check_(const uint8_t *p, size_t from, size_t to, uint64_t key)
{
    for (size_t i = from; i < to; i += 8) {
        uint64_t v = mix64(key ^ i);
        if (memcmp(p + i, &v, to - i < 8 ? to - i : 8))
            return i;
    }
    return SIZE_MAX;
}

static inline void stamp(void *block, size_t n, uint64_t key)
{
    uint8_t *p = (uint8_t *)block;
    if (n <= STAMP_WHOLE) {
        stamp_part_(p, 0, n, key);
        return;
    }
    stamp_part_(p, 0, 64, key);
    for (size_t at = 4096; at + 16 <= n - 64; at += 4096)
        stamp_part_(p, at, at + 16, key);
    stamp_part_(p, n - 64, n, key);
}

/* The first byte that is not as stamp left it (to 8 bytes), or SIZE_MAX: all are. */
static inline size_t stamp_differs(const void *block, size_t n, uint64_t key)
{
    const uint8_t *p = (const uint8_t *)block;
    if (n <= STAMP_WHOLE)
        return stamp_check_(p, 0, n, key);
    size_t bad = stamp_check_(p, 0, 64, key);
    for (size_t at = 4096; bad == SIZE_MAX && at + 16 <= n - 64; at += 4096)
        bad = stamp_check_(p, at, at + 16, key);
    return bad != SIZE_MAX ? bad : stamp_check_(p, n - 64, n, key);
}

static inline bool stamped(const void *block, size_t n, uint64_t key)
{
    return stamp_differs(block, n, key) == SIZE_MAX;
}

/* --- Segments ------------------------------------------------------------------------------------------------ */

enum { TEST_NAMES = 256 };
static struct {
    int pid, n;
    char name[TEST_NAMES][32];
} test_names_;

static inline void test_names_unlink_(void)
{
    if (test_names_.pid != getpid())
        return; /* a forked child: they are its parent's */
    for (int i = 0; i < test_names_.n; i++)
        amx_unlink(test_names_.name[i], NULL);
}

/* A name that no other test has: test-PID-N. What is left of it when the process ends is unlinked. */
static inline const char *test_name(void)
{
    int pid = getpid();
    if (test_names_.pid != pid) {
        test_names_.pid = pid;
        test_names_.n = 0;
        must(atexit(test_names_unlink_) == 0);
    }
    must(test_names_.n < TEST_NAMES);
    char *name = test_names_.name[test_names_.n];
    snprintf(name, sizeof test_names_.name[0], "test-%d-%d", pid, test_names_.n++);
    return name;
}

/* Addresses for amx_options.map_hint, i = 0..15: far enough apart for segments up to 32 GiB, and where the sanitizers
 * leave room. */
static inline const void *test_hint(unsigned i)
{
    return (const void *)(uintptr_t)(UINT64_C(0x7e9000000000) + i * UINT64_C(0x800000000));
}

/* Recovers all who are dead. *blocks: how many were freed. */
static inline int recover_all(amx_t *h, uint64_t *blocks)
{
    struct amx_recovery r = {.struct_size = sizeof r};
    int e = amx_recover(h, 0, NULL, NULL, &r);
    *blocks = r.blocks;
    return e;
}

/* --- Threads and processes ----------------------------------------------------------------------------------- */

struct team_ {
    void (*fn)(int index, void *ctx);
    void *ctx;
    int index;
};

static inline void *team_member_(void *p)
{
    struct team_ *m = (struct team_ *)p;
    m->fn(m->index, m->ctx);
    return NULL;
}

/* Runs fn(0..n-1, ctx) in n threads at once and waits for all. */
static inline void run_threads(int n, void (*fn)(int index, void *ctx), void *ctx)
{
    pthread_t thread[64];
    struct team_ member[64];
    must(n <= 64);
    for (int i = 0; i < n; i++) {
        member[i] = (struct team_){fn, ctx, i};
        must(pthread_create(&thread[i], NULL, team_member_, &member[i]) == 0);
    }
    for (int i = 0; i < n; i++)
        must(pthread_join(thread[i], NULL) == 0);
}

/* This program again, with the arguments in argv[2..]: fills [0] and [1], and tells what of it is to be executed, by which
 * name. An emulator does not do that with what it emulates: there it is started itself. */
static inline const char *self_again(char *argv[], char ***args)
{
    static char path[4096];
    char *runner = getenv("AMX_TEST_RUNNER");
    argv[0] = runner;
    argv[1] = runner ? path : (char *)"test";
    *args = runner ? argv : argv + 1;
    if (!runner)
        return "/proc/self/exe";
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    must(n > 0);
    path[n] = 0;
    return runner;
}

/*
 * Starts this program again with arguments of its own: spawn("reader", name, (char *)NULL). main looks at argc first:
 *     if (argc > 1)
 *         return role(argc, argv);
 * A role uses must, not cmocka, and returns 0.
 */
__attribute__((sentinel)) static inline pid_t spawn(const char *role, ...)
{
    char *argv[36] = {[2] = (char *)(uintptr_t)role}, **args;
    va_list ap;
    va_start(ap, role);
    for (int i = 3; (argv[i] = va_arg(ap, char *)); i++)
        must(i < 34);
    va_end(ap);
    const char *program = self_again(argv, &args);
    pid_t pid;
    must(posix_spawnp(&pid, program, NULL, NULL, args, environ) == 0);
    return pid;
}

/* How a process ended: its exit code, or 128 + the signal that killed it. */
static inline int wait_end(pid_t pid)
{
    int status;
    pid_t r;
    while ((r = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        ;
    must(r == pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Its role must have returned 0. */
static inline void wait_ok(pid_t pid)
{
    assert_int_equal(wait_end(pid), 0);
}

/* kill -9, and gone when this returns. */
static inline void wait_killed(pid_t pid)
{
    must(kill(pid, SIGKILL) == 0);
    assert_int_equal(wait_end(pid), 128 + SIGKILL);
}

#endif
