/* SPDX-License-Identifier: Apache-2.0 */
/* What may happen to a process in its environment: no mapping is left to be had, the clock is set, it dies of a fault and
 * its core takes time to write. The tool in small file systems, memory groups and for other users: tests/tool. */
#include "tests/peer_kit.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

__attribute__((weak)) void __asan_init(void);
__attribute__((weak)) void __tsan_init(void);
static bool sanitized(void) /* its runtime needs mappings, and leaves no core */
{
    return __asan_init || __tsan_init;
}

/* --- Mappings ------------------------------------------------------------------------------------------------------ */

enum { MAPS_MAX = 1 << 20, SOME = 16 };

static void everything(amx_t *h)
{
    struct amx_stats s = {.struct_size = sizeof s};
    struct amx_check_result c = {.struct_size = sizeof c};
    amx_ref ref[SOME], large;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < SOME; i++)
            must_ok(amx_alloc(h, (size_t)(i * round), &ref[i]));
        must_ok(amx_resize(h, ref[0], 500, &ref[0]));
        must_ok(amx_publish(h, ref[1]));
        for (int i = 0; i < SOME; i++)
            must_ok(amx_free(h, ref[i]));
        must_ok(amx_alloc(h, 300000, &large));
        must_ok(amx_free(h, large));
    }
    must_ok(amx_trim(h));
    must_ok(amx_heal(h));
    must_ok(amx_recover(h, 0, NULL, NULL, NULL));
    must_ok(amx_stat(h, &s));
    must_ok(amx_check(h, NULL, NULL, &c));
}

static int role_maps(const char *name)
{
    static void *map[MAPS_MAX];
    amx_t *h, *more;
    int n = 0;
    must_ok(amx_attach(name, NULL, &h));
    while (n < MAPS_MAX &&
           (map[n] = mmap(NULL, 4096, n & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED)
        n++;
    report(n < MAPS_MAX ? 'm' : 'u');
    if (n == MAPS_MAX)
        return 0;
    char why[200];
    struct amx_options o = AMX_OPTIONS_INIT;
    o.why = why;
    o.why_len = sizeof why;
    must(amx_attach(name, &o, &more) == AMX_E_SYS && strstr(why, "memory"));
    must(amx_share(h, &more) == AMX_E_SYS);
    everything(h);
    await();
    while (n)
        must(munmap(map[--n], 4096) == 0);
    must_ok(amx_attach(name, NULL, &more));
    must_ok(amx_close(more));
    must_ok(amx_close(h));
    return 0;
}

static const char *wide_segment(amx_t **h, size_t size)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    const char *name = test_name();
    o.size = size;
    o.peers = 4;
    ok(amx_create(name, &o, h));
    return name;
}

static void no_mapping_left(void **state)
{
    amx_t *h;
    (void)state;
    if (sanitized() || emulated("it needs mappings itself"))
        skip();
    const char *name = wide_segment(&h, 4 << 20);
    struct child c = start("maps", name);
    if (step(&c) == 'u')
        skip();                     /* as good as no limit */
    assert_int_equal(look(h).n, 2); /* who was refused is not in the table */
    go_on(&c);
    wait_ok(c.pid);
    forget(&c);
    end(h);
}

/* --- The clock ------------------------------------------------------------------------------------------------------ */

static atomic_llong set_by; /* seconds that the wall clock is wrong by */

/* In place of the C library's: only this program's wall clock is set. */
int clock_gettime(clockid_t id, struct timespec *t)
{
    int r = (int)syscall(SYS_clock_gettime, id, t);
    if (id == CLOCK_REALTIME) {
        t->tv_sec += atomic_load(&set_by);
        t->tv_sec = t->tv_sec < 0 ? 0 : t->tv_sec;
    }
    return r;
}

#define CENTURY 3155760000LL

static void setter_or_waiter(int index, void *ctx)
{
    static atomic_bool over;
    amx_t *h = ctx;
    amx_ref ref;
    if (index) {
        for (unsigned i = 0; !atomic_load(&over); i++, sched_yield())
            atomic_store(&set_by, i % 3 ? CENTURY * ((int)(i % 3) * 2 - 3) : 0);
        return;
    }
    uint64_t before = amxi_os_mono_ns();
    must(amx_alloc_wait(h, 40000, UINT64_C(250000000), &ref) == AMX_E_TIMEOUT);
    uint64_t took = amxi_os_mono_ns() - before;
    must(took >= UINT64_C(249000000) && took < UINT64_C(60000000000));
    atomic_store(&over, true);
}

static int role_ages(const char *name)
{
    amx_t *h;
    amx_ref ref;
    atomic_store(&set_by, CENTURY);
    must_ok(amx_attach(name, NULL, &h));
    must_ok(amx_alloc(h, 1000, &ref));
    report('a');
    await();
    return 0;
}

static void clock_is_set(void **state)
{
    amx_t *h = NULL;
    amx_ref ref, all;
    uint64_t blocks;
    (void)state;
    atomic_store(&set_by, -CENTURY);
    assert_true(amxi_os_wall_ns() < UINT64_C(1000000000)); /* the library reads this clock */
    const char *name = segment(&h);
    struct child c = start("ages", name);
    assert_int_equal(step(&c), 'a');
    assert_int_equal(alive(h, c.pid), 1);
    ok(recover_all(h, &blocks));
    assert_int_equal(blocks, 0);
    fails(AMX_E_ALIVE, amx_gc(name, NULL));
    struct seen s = look(h);
    assert_int_equal(s.n, 2);
    for (int i = 0; i < s.n; i++) { /* what they say of their time is only said */
        uint64_t since = amxi_ld64_rlx(&amxi_peer(h->seg, (uint32_t)i)->since_ns) / UINT64_C(1000000000);
        assert_true(s.peer[i].pid == (uint32_t)c.pid ? since > (uint64_t)CENTURY : since < 1000);
    }
    kill_unreaped(&c);
    assert_int_equal(alive(h, c.pid), 0);
    ok(recover_all(h, &blocks));
    assert_int_equal(blocks > 0, 1);
    assert_int_equal(wait_end(c.pid), 128 + SIGKILL);
    forget(&c);
    ok(amx_alloc(h, 30000, &all)); /* 40000 more are not there */
    run_threads(2, setter_or_waiter, h);
    atomic_store(&set_by, 0);
    ok(amx_free(h, all));
    ok(amx_alloc_wait(h, 1000, 0, &ref));
    ok(amx_free(h, ref));
    end(h);
}

/* --- A core -------------------------------------------------------------------------------------------------------- */

static int role_faults(const char *name)
{
    amx_t *h;
    amx_ref ref;
    FILE *f = fopen("/proc/self/coredump_filter", "w");
    if (f) {
        fputs("0x7f", f); /* the segment too, so that it takes time */
        fclose(f);
    }
    must(chdir(getenv("AMX_DIR") ? getenv("AMX_DIR") : "/dev/shm") == 0);
    must_ok(amx_attach(name, NULL, &h));
    for (int i = 0; i < 100; i++)
        must_ok(amx_alloc(h, 5000, &ref));
    report('a');
    await();
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
    return 1;
}

static bool dumping(pid_t pid)
{
    char path[32], text[4096] = "";
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 && strstr(text, "CoreDumping:\t1");
}

static void remove_core(pid_t pid)
{
    char path[400];
    const char *dir = getenv("AMX_DIR") ? getenv("AMX_DIR") : "/dev/shm";
    snprintf(path, sizeof path, "%s/core", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/core.%d", dir, (int)pid);
    unlink(path);
}

/* While it is written the process is alive: nothing of it is taken. Then it is dead, and all is. */
static void dies_of_a_fault(void **state)
{
    struct rlimit lim;
    amx_t *h;
    amx_ref ref;
    int seen = 0, meanwhile = 0;
    (void)state;
    must(getrlimit(RLIMIT_CORE, &lim) == 0);
    if (sanitized() || emulated("it writes cores itself") || !lim.rlim_max)
        skip();
    lim.rlim_cur = lim.rlim_max;
    must(setrlimit(RLIMIT_CORE, &lim) == 0);
    for (int tries = 0; tries < 20 && !seen; tries++) {
        const char *name = wide_segment(&h, 64 << 20);
        siginfo_t info = {0};
        uint64_t blocks = 0;
        struct child c = start("faults", name);
        assert_int_equal(step(&c), 'a');
        go_on(&c);
        while (must(waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0), !info.si_pid) {
            bool before = dumping(c.pid);
            int there = alive(h, c.pid);
            ok(recover_all(h, &blocks));
            if (before && dumping(c.pid)) {
                assert_int_equal(there, 1);
                assert_int_equal(blocks, 0);
                seen++;
            }
            if (blocks)
                break; /* it died in between */
            ok(amx_alloc(h, 100, &ref));
            ok(amx_free(h, ref));
            meanwhile += seen > 0;
        }
        assert_int_equal(wait_end(c.pid), 128 + SIGSEGV);
        if (!blocks)
            ok(recover_all(h, &blocks));
        assert_true(blocks >= 100);
        remove_core(c.pid);
        forget(&c);
        end(h);
    }
    note("alive at %d looks while its core was written, %d allocations of others meanwhile", seen, meanwhile);
    if (!seen)
        skip(); /* nobody here writes cores */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_mapping_left),
        cmocka_unit_test(clock_is_set),
        cmocka_unit_test(dies_of_a_fault),
    };
    if (argc > 4) {
        in = atoi(argv[3]);
        out = atoi(argv[4]);
        return argv[1][0] == 'm' ? role_maps(argv[2]) : argv[1][0] == 'a' ? role_ages(argv[2]) : role_faults(argv[2]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
