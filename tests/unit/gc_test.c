/* SPDX-License-Identifier: Apache-2.0 */
/* The name of a segment goes when nobody alive is attached, never before. Each process is exec'ed. */
#include "tests/peer_kit.h"

#include <poll.h>
#include <sched.h>

static bool there(const char *name)
{
    amx_t *ro;
    struct amx_options o = AMX_OPTIONS_INIT;
    o.flags = AMX_F_READONLY;
    int r = amx_attach(name, &o, &ro);
    assert_true(r == AMX_OK || r == AMX_E_NOENT);
    if (r == AMX_OK)
        ok(amx_close(ro));
    return r == AMX_OK;
}

/* A segment that nobody has attached. */
static const char *left(void)
{
    static char name[AMX_NAME_MAX + 1];
    amx_t *h = NULL;
    snprintf(name, sizeof name, "%s", segment(&h));
    ok(amx_close(h));
    return name;
}

static void nobody(void **state)
{
    (void)state;
    const char *name = left();
    amx_t *ro, *h;
    struct amx_options o = AMX_OPTIONS_INIT;
    o.flags = AMX_F_READONLY;
    ok(amx_attach(name, &o, &ro));
    ok(amx_attach(name, NULL, &h));
    fails(AMX_E_ALIVE, amx_gc(name, NULL)); /* ourselves */
    assert_true(there(name));
    ok(amx_close(h));
    ok(amx_gc(name, NULL)); /* who only reads does not count */
    assert_false(there(name));
    assert_int_equal(look(ro).n, 0); /* and keeps the memory */
    ok(amx_close(ro));
    fails(AMX_E_NOENT, amx_gc(name, NULL));
    fails(AMX_E_INVAL, amx_gc(NULL, NULL));
    fails(AMX_E_NAME, amx_gc("a b", NULL));
}

/* Living, stopped, killed. */
static void somebody(void **state)
{
    siginfo_t info;
    char why[200];
    struct amx_options o = AMX_OPTIONS_INIT;
    (void)state;
    const char *name = left();
    o.why = why;
    o.why_len = sizeof why;
    struct child c = start("attach", name);
    step(&c);
    fails(AMX_E_ALIVE, amx_gc(name, &o));
    assert_non_null(strstr(why, "lives"));
    assert_int_equal(kill(c.pid, SIGSTOP), 0);
    assert_int_equal(waitid(P_PID, (id_t)c.pid, &info, WSTOPPED | WNOWAIT), 0);
    fails(AMX_E_ALIVE, amx_gc(name, &o));
    assert_true(there(name));
    kill_unreaped(&c);
    ok(amx_gc(name, &o));
    assert_false(there(name));
    assert_int_equal(wait_end(c.pid), 128 + SIGKILL);
    forget(&c);
}

static int role_namespace(const char *name)
{
    amx_t *h;
    if (unshare(CLONE_NEWPID | CLONE_NEWNS)) {
        report('s');
        return 0;
    }
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
        must_ok(amx_attach(name, NULL, &h));
        report('n');
        await();
        _exit(0); /* as good as killed */
    }
    _exit(wait_end(pid));
}

static void other_pid_namespace(void **state)
{
    (void)state;
    const char *name = left();
    struct child c = start("namespace", name);
    if (step(&c) == 's') {
        wait_ok(c.pid);
        forget(&c);
        ok(amx_gc(name, NULL));
        skip();
    }
    fails(AMX_E_ALIVE, amx_gc(name, NULL)); /* by its lock alone */
    assert_true(there(name));
    go_on(&c);
    wait_ok(c.pid);
    ok(amx_gc(name, NULL));
    assert_false(there(name));
    forget(&c);
}

/* What is no segment stays. */
static void not_a_segment(void **state)
{
    char path[256];
    uint64_t junk = 0;
    (void)state;
    const char *name = left();
    const char *dir = getenv("AMX_DIR");
    snprintf(path, sizeof path, "%s/amx.%s", dir ? dir : "/dev/shm", name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    must(fd >= 0);
    must(pread(fd, &junk, sizeof junk, 8) == sizeof junk);
    junk ^= 0xff; /* the layout's number */
    must(pwrite(fd, &junk, sizeof junk, 8) == sizeof junk);
    fails(AMX_E_LAYOUT, amx_gc(name, NULL));
    must(ftruncate(fd, 100) == 0);
    fails(AMX_E_LAYOUT, amx_gc(path, NULL));
    must(access(path, F_OK) == 0);
    must(unlink(path) == 0);
    close(fd);
}

/* Who is on the way in has the lock, and no entry yet: busy, and once it has gone, free. */
static void on_the_way(void **state)
{
    char path[256];
    (void)state;
    const char *name = left();
    const char *dir = getenv("AMX_DIR");
    snprintf(path, sizeof path, "%s/amx.%s", dir ? dir : "/dev/shm", name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    must(fd >= 0);
    ok(amxi_os_lock(fd, AMXI_LOCK_ATTACH, false));
    fails(AMX_E_BUSY, amx_gc(name, NULL));
    assert_true(there(name));
    ok(amxi_os_unlock(fd, AMXI_LOCK_ATTACH));
    close(fd);
    amx_t *h;
    ok(amx_attach(name, NULL, &h));
    fails(AMX_E_ALIVE, amx_gc(name, NULL));
    fd = open(path, O_RDWR | O_CLOEXEC);
    ok(amxi_os_lock(fd, AMXI_LOCK_ATTACH, true)); /* it left no lock behind */
    close(fd);
    ok(amx_close(h));
    ok(amx_gc(name, NULL));
}

/* --- Against those who attach -------------------------------------------------------------------------------------- */

enum { VISITORS = 3 };

/* Comes and goes. While it is in, the file has its name. */
static int role_visit(const char *name)
{
    struct stat st;
    amx_t *h;
    must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    report('r');
    await();
    for (long i = scaled(1000); i > 0;) {
        int r = amx_attach(name, NULL, &h);
        must(r == AMX_OK || r == AMX_E_NOENT || r == AMX_E_BUSY);
        if (r)
            continue;
        must(fstat(amx_fd(h), &st) == 0 && st.st_nlink == 1);
        amxi_os_yield();
        must(fstat(amx_fd(h), &st) == 0 && st.st_nlink == 1);
        must_ok(amx_close(h));
        i--;
    }
    report('e');
    await();
    return 0;
}

/* In, and the name stays; or too late, and told so. */
static void race(void **state)
{
    const char *name = test_name();
    struct amx_options o = AMX_OPTIONS_INIT;
    struct child c[VISITORS];
    struct pollfd from[VISITORS];
    bool made = false;
    long removed = 0, alive_or_busy = 0;
    (void)state;
    o.size = AMX_SIZE_MIN;
    o.peers = 8;
    for (int i = 0; i < VISITORS; i++) {
        c[i] = start("visit", name);
        from[i] = (struct pollfd){.fd = c[i].from, .events = POLLIN};
        step(&c[i]);
    }
    for (int i = 0; i < VISITORS; i++)
        go_on(&c[i]);
    for (int here = VISITORS; here > 0;) {
        amx_t *h;
        if (!made) {
            ok(amx_create(name, &o, &h));
            ok(amx_close(h));
        }
        int r = amx_gc(name, NULL);
        assert_true(r == AMX_OK || r == AMX_E_ALIVE || r == AMX_E_BUSY);
        made = r != AMX_OK;
        removed += !made;
        alive_or_busy += made;
        must(poll(from, VISITORS, 0) >= 0);
        for (int i = 0; i < VISITORS; i++)
            if (from[i].revents) {
                assert_int_equal(step(&c[i]), 'e'); /* or it has failed */
                from[i].fd = -1;
                from[i].revents = 0;
                here--;
            }
    }
    assert_true(removed > 0 && alive_or_busy > 0);
    for (int i = 0; i < VISITORS; i++) {
        go_on(&c[i]);
        wait_ok(c[i].pid);
        forget(&c[i]);
    }
    if (made)
        ok(amx_gc(name, NULL));
}

static int role(int argc, char **argv)
{
    int end = role_begin(argc, argv);
    if (!strcmp(argv[1], "namespace"))
        return role_namespace(argv[2]);
    if (!strcmp(argv[1], "visit"))
        return role_visit(argv[2]);
    return end;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return role(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody),        cmocka_unit_test(somebody),   cmocka_unit_test(other_pid_namespace),
        cmocka_unit_test(not_a_segment), cmocka_unit_test(on_the_way), cmocka_unit_test(race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
