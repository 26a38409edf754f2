/* SPDX-License-Identifier: Apache-2.0 */
/* Who is dead: told by the kernel, never guessed. Each dying process is exec'ed. */
#include "tests/peer_kit.h"

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

static void killed(void **state)
{
    amx_t *h = NULL, *ro = NULL;
    uint64_t blocks = 0;
    struct amx_options o = AMX_OPTIONS_INIT;
    (void)state;
    const char *name = segment(&h);
    o.flags = AMX_F_READONLY;
    ok(amx_attach(name, &o, &ro));
    struct child c = start("attach", name);
    step(&c);
    assert_int_equal(alive(h, c.pid), 1);
    assert_int_equal(alive(ro, c.pid), 1);
    ok(recover_all(h, &blocks)); /* takes nothing from the living */
    assert_int_equal(blocks, 0);
    assert_int_equal(alive(h, c.pid), 1);
    kill_unreaped(&c); /* a zombie stores nothing any more */
    assert_int_equal(alive(h, c.pid), 0);
    assert_int_equal(alive(ro, c.pid), 0);
    ok(recover_all(h, &blocks));
    assert_true(blocks > 0);
    assert_int_equal(alive(h, c.pid), -1);
    assert_int_equal(wait_end(c.pid), 128 + SIGKILL);
    forget(&c);
    ok(amx_close(ro));
    end(h);
}

static int standing(const amx_t *h)
{
    struct seen seen = look(h);
    int n = 0;
    for (int i = 0; i < seen.n; i++)
        n += (int)seen.peer[i].stopped;
    return n;
}

static void stopped(void **state)
{
    amx_t *h = NULL;
    siginfo_t info;
    (void)state;
    if (emulated("it makes up /proc/self/stat"))
        skip();
    const char *name = segment(&h);
    struct child c = start("attach", name);
    step(&c);
    assert_int_equal(standing(h), 0);
    assert_int_equal(kill(c.pid, SIGSTOP), 0);
    assert_int_equal(waitid(P_PID, (id_t)c.pid, &info, WSTOPPED | WNOWAIT), 0);
    assert_int_equal(alive(h, c.pid), 1);
    assert_int_equal(standing(h), 1);
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    assert_int_equal(alive(h, c.pid), 1);
    assert_int_equal(kill(c.pid, SIGCONT), 0);
    go_on(&c);
    wait_ok(c.pid);
    forget(&c);
    end(h);
}

/* Without the fork handler a child would keep the lock of its dead parent. */
static int role_fork(const char *name)
{
    amx_t *h;
    must_ok(amx_attach(name, NULL, &h));
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        report('f');
        await();
        _exit(0);
    }
    await();
    return 0;
}

static void parent_of_a_fork(void **state)
{
    amx_t *h = NULL;
    (void)state;
    const char *name = segment(&h);
    struct child c = start("fork", name);
    assert_int_equal(step(&c), 'f');
    assert_int_equal(alive(h, c.pid), 1);
    wait_killed(c.pid);
    assert_int_equal(alive(h, c.pid), 0); /* while the grandchild lives on */
    go_on(&c);
    forget(&c);
    end(h);
}

enum { CHILDREN = 3 };

/* A server that attaches, then forks its workers, which serve on without it. */
static int role_prefork(const char *name)
{
    amx_t *h;
    amx_ref r;
    must_ok(amx_attach(name, NULL, &h));
    must_ok(amx_alloc(h, 3000, &r));
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();
        must(pid >= 0);
        if (pid == 0) {
            must(amx_alloc(h, 10, &r) == AMX_E_FORKED);
            report('f');
            await();
            must_ok(amx_close(h));
            must_ok(amx_attach(name, NULL, &h)); /* for itself */
            must_ok(amx_alloc(h, 500, &r));
            report('a');
            for (r = AMX_REF_NONE; r == AMX_REF_NONE;
                 sched_yield()) /* the pipe is shared: not who reads first may go */
                must_ok(amx_root_get(h, 0, &r));
            must_ok(amx_close(h));
            report('e');
            _exit(0);
        }
    }
    report('p');
    pause();
    return 0;
}

static void prefork_server(void **state)
{
    amx_t *h = NULL;
    struct amx_recovery r = {.struct_size = sizeof r};
    struct amx_stats s = {.struct_size = sizeof s};
    (void)state;
    const char *name = segment(&h);
    struct child c = start("prefork", name);
    for (int i = 0; i < CHILDREN + 1; i++)
        (void)step(&c);
    wait_killed(c.pid);
    ok(amx_recover(h, 0, NULL, NULL, &r)); /* one is enough, while the children live */
    assert_int_equal(r.handles, 1);
    assert_true(r.blocks > 0 && r.bytes >= 3000);
    assert_int_equal(look(h).n, 1);
    for (int i = 0; i < CHILDREN; i++)
        go_on(&c);
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(step(&c), 'a');
    assert_int_equal(look(h).n, 1 + CHILDREN);
    ok(amx_root_set(h, 0, 1)); /* no block: only a sign */
    for (int i = 0; i < CHILDREN; i++)
        assert_int_equal(step(&c), 'e');
    forget(&c);
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    ok(amx_stat(h, &s));
    assert_int_equal(s.live_bytes, 0);
    end(h);
}

/* In a debugger, for minutes if need be: alive. */
static void debugged(void **state)
{
    amx_t *h = NULL;
    int status;
    (void)state;
    const char *name = segment(&h);
    struct child c = start("attach", name);
    step(&c);
    if (ptrace(PTRACE_SEIZE, c.pid, 0, 0) != 0) {
        wait_killed(c.pid);
        forget(&c);
        end(h);
        skip();
    }
    must(ptrace(PTRACE_INTERRUPT, c.pid, 0, 0) == 0);
    must(waitpid(c.pid, &status, __WALL) == c.pid && WIFSTOPPED(status));
    assert_int_equal(alive(h, c.pid), 1);
    assert_int_equal(standing(h), 1);
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    assert_int_equal(alive(h, c.pid), 1);
    must(ptrace(PTRACE_DETACH, c.pid, 0, 0) == 0);
    go_on(&c);
    wait_ok(c.pid);
    forget(&c);
    end(h);
}

static int role_raw_fork(const char *name)
{
    amx_t *h;
    must_ok(amx_attach(name, NULL, &h));
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    must(pid >= 0);
    if (pid == 0) {
        report('f');
        await();
        report('e');
        syscall(SYS_exit_group, 0);
    }
    await();
    return 0;
}

/* A child made behind the C library's back holds the lock too: taken for alive as long as it runs, never for dead. */
static void parent_of_a_raw_fork(void **state)
{
    amx_t *h = NULL;
    (void)state;
    if (emulated("no subreaper"))
        skip();
    const char *name = segment(&h);
    must(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    struct child c = start("raw-fork", name);
    assert_int_equal(step(&c), 'f');
    wait_killed(c.pid);
    assert_int_equal(alive(h, c.pid), 1);
    go_on(&c);
    assert_int_equal(step(&c), 'e');
    must(waitpid(-1, NULL, 0) > 0); /* the orphan, which is ours now */
    must(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
    assert_int_equal(alive(h, c.pid), 0);
    forget(&c);
    end(h);
}

static int role_exec(const char *name, const char *then, const void *hint)
{
    amx_t *h;
    char a[16], b[16];
    struct amx_options o = AMX_OPTIONS_INIT;
    o.map_hint = hint;
    must_ok(amx_attach(name, &o, &h));
    report('a');
    await();
    snprintf(a, sizeof a, "%d", in);
    snprintf(b, sizeof b, "%d", out);
    char *argv[] = {NULL, NULL, (char *)(uintptr_t)then, (char *)(uintptr_t)name, a, b, NULL}, **args;
    const char *program = self_again(argv, &args);
    execvp(program, args);
    return 1;
}

static void execed(void **state)
{
    amx_t *h = NULL;
    (void)state;
    const char *name = segment(&h);
    struct child c = start("exec-idle", name);
    step(&c);
    assert_int_equal(alive(h, c.pid), 1);
    go_on(&c);
    assert_int_equal(step(&c), 'i');
    assert_int_equal(alive(h, c.pid), 0); /* same process, but its memory is gone */
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    go_on(&c);
    wait_ok(c.pid);
    forget(&c);
    end(h);
}

static void back_again(const char *role)
{
    amx_t *h = NULL;
    const char *name = segment(&h);
    struct child c = start(role, name);
    step(&c);
    go_on(&c);
    assert_int_equal(step(&c), 'a'); /* attaching recovered its former self */
    struct seen seen = look(h);
    assert_int_equal(seen.n, 2);
    assert_int_equal(alive(h, c.pid), 1);
    assert_int_equal(seen.peer[0].ticket + seen.peer[1].ticket, 1 + 3);
    go_on(&c);
    wait_ok(c.pid);
    forget(&c);
    end(h);
}

static void execed_and_back(void **state)
{
    (void)state;
    back_again("exec-attach");
    back_again("exec-attach-there");
}

static void close_all_but_pipes(void)
{
    for (int fd = 3; fd < 256; fd++)
        if (fd != in && fd != out)
            close(fd);
}

static int role_closefrom(const char *name)
{
    amx_t *h;
    must_ok(amx_attach(name, NULL, &h));
    close_all_but_pipes();
    report('c');
    await();
    return 0;
}

/* The lock is gone with its descriptor, the process is not. */
static void closed_its_descriptors(void **state)
{
    amx_t *h = NULL;
    (void)state;
    if (emulated("it makes up /proc/self/stat"))
        skip();
    const char *name = segment(&h);
    struct child c = start("closefrom", name);
    step(&c);
    assert_int_equal(alive(h, c.pid), 1);
    wait_killed(c.pid);
    assert_int_equal(alive(h, c.pid), 0);
    forget(&c);
    end(h);
}

static char state_of(pid_t pid)
{
    char path[32], text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY);
    must(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    return strrchr(text, ')')[2];
}

static void *rest(void *pid)
{
    while (state_of(*(pid_t *)pid) != 'Z') /* until the leading thread has exited */
        sched_yield();
    report('z');
    await();
    close_all_but_pipes();
    report('c');
    await();
    _exit(0);
}

static int role_leader(const char *name)
{
    static pid_t pid;
    amx_t *h;
    pthread_t thread;
    pid = getpid();
    must_ok(amx_attach(name, NULL, &h));
    must(pthread_create(&thread, NULL, rest, &pid) == 0);
    pthread_exit(NULL);
}

/* A process whose first thread has exited looks like a zombie and is not one. */
static void leader_has_exited(void **state)
{
    amx_t *h = NULL;
    (void)state;
    if (emulated("it makes up /proc/self/stat"))
        skip();
    const char *name = segment(&h);
    struct child c = start("leader", name);
    assert_int_equal(step(&c), 'z');
    assert_int_equal(state_of(c.pid), 'Z');
    assert_int_equal(alive(h, c.pid), 1);
    go_on(&c);
    assert_int_equal(step(&c), 'c'); /* not even the lock is left */
    assert_int_equal(alive(h, c.pid), 1);
    go_on(&c);
    wait_ok(c.pid);
    assert_int_equal(alive(h, c.pid), 0);
    forget(&c);
    end(h);
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
        must(getpid() == 1);
        must(look(h).n == 2); /* the one outside lives, by its lock */
        must(look(h).peer[0].alive && look(h).peer[1].alive);
        must_ok(amx_recover(h, 0, NULL, NULL, NULL));
        must(look(h).n == 2);
        report('n');
        await();
        _exit(0);
    }
    _exit(wait_end(pid)); /* a leak check at exit could not start its thread in here */
}

static void other_pid_namespace(void **state)
{
    amx_t *h = NULL;
    (void)state;
    const char *name = segment(&h);
    struct child c = start("namespace", name);
    if (step(&c) == 's') {
        wait_ok(c.pid);
        forget(&c);
        ok(amx_close(h));
        skip();
    }
    assert_int_equal(alive(h, 1), 1);
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    assert_int_equal(alive(h, 1), 1); /* our own process 1 is somebody else */
    go_on(&c);
    wait_ok(c.pid);
    assert_int_equal(alive(h, 1), 0);
    forget(&c);
    end(h);
}

static int role(int argc, char **argv)
{
    int end = role_begin(argc, argv);
    const char *what = argv[1], *name = argv[2];
    if (!strcmp(what, "fork"))
        return role_fork(name);
    if (!strcmp(what, "raw-fork"))
        return role_raw_fork(name);
    if (!strcmp(what, "exec-idle"))
        return role_exec(name, "idle", NULL);
    if (!strcmp(what, "exec-attach"))
        return role_exec(name, "attach", NULL);
    if (!strcmp(what, "prefork"))
        return role_prefork(name);
    if (!strcmp(what, "exec-attach-there"))
        return role_exec(name, "attach", test_hint(3)); /* where it attaches the second time too */
    if (!strcmp(what, "closefrom"))
        return role_closefrom(name);
    if (!strcmp(what, "leader"))
        return role_leader(name);
    if (!strcmp(what, "namespace"))
        return role_namespace(name);
    return end;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return role(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed),
        cmocka_unit_test(stopped),
        cmocka_unit_test(parent_of_a_fork),
        cmocka_unit_test(parent_of_a_raw_fork),
        cmocka_unit_test(execed),
        cmocka_unit_test(prefork_server),
        cmocka_unit_test(debugged),
        cmocka_unit_test(execed_and_back),
        cmocka_unit_test(closed_its_descriptors),
        cmocka_unit_test(leader_has_exited),
        cmocka_unit_test(other_pid_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
