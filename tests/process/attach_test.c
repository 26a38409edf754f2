/* SPDX-License-Identifier: Apache-2.0 */
/* Segments between processes: who creates, what a creator that dies leaves, and what the system may refuse. */
#include "tests/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "amx_raw.h"

#define KIB UINT64_C(1024)

enum { PASS = 0, SKIP = 77 };

static char dir[64];

static struct amx_options options(const char *where)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    o.size = 64 * KIB;
    o.dir = where;
    return o;
}

static int files(void)
{
    DIR *d = opendir(dir);
    int n = 0;
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* A role that may find that this system does not let it. */
static void passes(pid_t pid)
{
    int end = wait_end(pid);
    if (end == SKIP)
        skip();
    assert_int_equal(end, PASS);
}

static struct amx_segment_info info_of(const amx_t *h)
{
    struct amx_segment_info i = {.struct_size = sizeof i};
    must_ok(amx_info(h, &i));
    return i;
}

static void clean(const amx_t *h)
{
    struct amx_check_result result = {.struct_size = sizeof result};
    must_ok(amx_check(h, NULL, NULL, &result));
    must(result.corrupt == 0 && result.undone == 0);
}

/* --- Racing creators ----------------------------------------------------------------------------------------------- */

enum { RACERS = 4 };

/* Each opens segment after segment; a create that wins counts in the root of the segment that all agree on. */
static int role_race(char **argv)
{
    struct amx_options o = options(argv[2]);
    long rounds = atol(argv[3]);
    o.map_hint = test_hint((unsigned)atoi(argv[4]));
    char byte;
    must(read(atoi(argv[5]), &byte, 1) == 0); /* all start when the parent closes its end */
    for (long i = 0; i < rounds; i++) {
        char name[32];
        amx_t *h;
        amx_ref n = 0;
        snprintf(name, sizeof name, "race-%ld", i);
        int r = amx_create(name, &o, &h);
        must(r == AMX_OK || r == AMX_E_EXIST);
        if (r)
            must_ok(amx_attach(name, &o, &h));
        must(amx_raw_base(h) == o.map_hint);
        while (amx_root_cas(h, r ? 1 : 0, n, n + 1, &n) == AMX_E_STATE)
            ;
        must_ok(amx_close(h));
    }
    return PASS;
}

static void racing_creators(void **state)
{
    long rounds = scaled(300);
    char count[24], fd[16], hint[16];
    pid_t pid[RACERS];
    int gate[2];
    (void)state;
    must(pipe(gate) == 0 && fcntl(gate[1], F_SETFD, FD_CLOEXEC) == 0);
    snprintf(count, sizeof count, "%ld", rounds);
    snprintf(fd, sizeof fd, "%d", gate[0]);
    for (int i = 0; i < RACERS; i++) {
        snprintf(hint, sizeof hint, "%d", i);
        pid[i] = spawn("race", dir, count, hint, fd, (char *)NULL);
    }
    close(gate[1]);
    close(gate[0]);
    for (int i = 0; i < RACERS; i++)
        wait_ok(pid[i]);
    for (long i = 0; i < rounds; i++) {
        struct amx_options o = options(dir);
        char name[32];
        amx_t *h = NULL;
        amx_ref made = 0, came = 0;
        snprintf(name, sizeof name, "race-%ld", i);
        ok(amx_attach(name, &o, &h));
        ok(amx_root_get(h, 0, &made));
        ok(amx_root_get(h, 1, &came));
        assert_int_equal(made, 1);
        assert_int_equal(came, RACERS - 1);
        clean(h);
        ok(amx_close(h));
        ok(amx_unlink(name, &o));
    }
    assert_int_equal(files(), 0);
}

/* --- A creator that dies ------------------------------------------------------------------------------------------- */

/* The kernel kills this process at its next call of nr. */
static bool die_at(long nr)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {.len = 4, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

static int role_die(char **argv)
{
    struct amx_options o = options(argv[2]);
    amx_t *h;
    if (!die_at(atol(argv[3])))
        return SKIP;
    must_ok(amx_create("dies", &o, &h));
    return PASS;
}

static void creator_dies(void **state)
{
    /* unnamed file made and sized, reserved, attached, about to be named */
    static const long at[] = {SYS_ftruncate, SYS_fallocate, SYS_fcntl, SYS_fchmod, SYS_linkat};
    (void)state;
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        struct amx_options o = options(dir);
        char nr[24];
        amx_t *h = NULL;
        snprintf(nr, sizeof nr, "%ld", at[i]);
        int end = wait_end(spawn("die", dir, nr, (char *)NULL));
        if (end == SKIP)
            skip();
        assert_int_equal(end, 128 + SIGSYS);
        assert_int_equal(files(), 0);
        fails(AMX_E_NOENT, amx_attach("dies", &o, &h));
        ok(amx_create("dies", &o, &h)); /* and nothing is in the way */
        ok(amx_close(h));
        ok(amx_unlink("dies", &o));
    }
}

static int role_leave(char **argv)
{
    struct amx_options o = options(argv[2]);
    amx_t *h;
    amx_ref r;
    must_ok(amx_create("left", &o, &h));
    for (int i = 0; i < 100; i++)
        must_ok(amx_alloc(h, 300, &r));
    must_ok(amx_publish(h, r));
    must_ok(amx_root_set(h, 0, r));
    kill(getpid(), SIGKILL);
    return PASS;
}

static void creator_dies_later(void **state)
{
    struct amx_options o = options(dir);
    amx_t *h = NULL;
    amx_ref r = 0;
    void *p;
    (void)state;
    assert_int_equal(wait_end(spawn("leave", dir, (char *)NULL)), 128 + SIGKILL);
    ok(amx_attach("left", &o, &h)); /* recovers what the creator held */
    assert_int_equal(info_of(h).peers_used, 1);
    assert_int_equal(info_of(h).handles_used, 1);
    ok(amx_root_get(h, 0, &r));
    ok(amx_ptr(h, r, &p));
    ok(amx_free(h, r));
    ok(amx_trim(h));
    clean(h);
    ok(amx_alloc(h, info_of(h).max_request, &r)); /* every byte is free again */
    ok(amx_close(h));
    ok(amx_unlink("left", &o));
}

/* --- A full file system -------------------------------------------------------------------------------------------- */

static uint64_t free_bytes(const char *where)
{
    struct statvfs st;
    must(statvfs(where, &st) == 0);
    return (uint64_t)st.f_bavail * st.f_frsize;
}

static int role_full(char **argv)
{
    const char *where = argv[2];
    char why[512] = "";
    struct amx_options o = options(where);
    amx_t *h;
    amx_ref r;
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", where, "tmpfs", 0, "size=1m"))
        return SKIP;
    o.why = why;
    o.why_len = sizeof why;
    o.size = 4096 * KIB;
    uint64_t before = free_bytes(where);
    must(amx_create("full", &o, &h) == AMX_E_NOSPC);
    must(strstr(why, where) && strstr(why, "1024 KiB free") && strstr(why, "need 4096 KiB") &&
         strstr(why, "--shm-size"));
    must(amx_open("full", &o, &h) == AMX_E_NOSPC);
    must(strstr(why, "1024 KiB free"));
    must(amx_attach("full", &o, &h) == AMX_E_NOENT);
    must(free_bytes(where) == before);
    o.flags = AMX_F_SPARSE;
    o.sector_size = 1024 * KIB;          /* few sectors touch few pages */
    must_ok(amx_create("full", &o, &h)); /* at the user's risk */
    must_ok(amx_close(h));
    must_ok(amx_unlink("full", &o));
    must(free_bytes(where) == before);

    /* What fits stays usable to its last byte, however full the rest becomes. */
    o.flags = 0;
    o.sector_size = 0;
    o.size = 512 * KIB;
    must_ok(amx_create("fits", &o, &h));
    char path[128], junk[4096] = {1};
    snprintf(path, sizeof path, "%s/junk", where);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    while (write(fd, junk, sizeof junk) > 0)
        ;
    must(errno == ENOSPC && free_bytes(where) == 0);
    must_ok(amx_zalloc(h, info_of(h).max_request, &r));
    must_ok(amx_free(h, r));
    must_ok(amx_close(h));
    must(amx_create("none", &o, &h) == AMX_E_NOSPC);
    must(strstr(why, "0 bytes free"));
    must(unlink(path) == 0);
    close(fd);
    o.size = 512 * KIB;
    must_ok(amx_create("second", &o, &h)); /* to the last page */
    must(free_bytes(where) == 0);
    must_ok(amx_close(h));
    return PASS;
}

/* What is not there is not even tried: it would be taken from others for a while. */
static int role_ask(char **argv)
{
    struct amx_options o = options(argv[2]);
    amx_t *h;
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", argv[2], "tmpfs", 0, "size=1m") || !die_at(SYS_fallocate))
        return SKIP;
    o.size = 1028 * KIB;
    must(amx_create("ask", &o, &h) == AMX_E_NOSPC);
    return PASS;
}

static void full_file_system(void **state)
{
    (void)state;
    passes(spawn("full", dir, (char *)NULL));
    passes(spawn("ask", dir, (char *)NULL));
    assert_int_equal(files(), 0);
}

/* --- What else the system may do ------------------------------------------------------------------------------------- */

static int role_limit(char **argv)
{
    struct amx_options o = options(argv[2]);
    struct rlimit lim = {65536, RLIM_INFINITY};
    amx_t *h;
    char why[256];
    o.why = why;
    o.why_len = sizeof why;
    if (setrlimit(RLIMIT_FSIZE, &lim))
        return SKIP;
    o.size = 128 * KIB;
    must(amx_create("limit", &o, &h) == AMX_E_SYS); /* and no signal that kills */
    must(strstr(why, "too large"));
    o.size = 64 * KIB;
    must_ok(amx_create("limit", &o, &h));
    must_ok(amx_close(h));
    must_ok(amx_unlink("limit", &o));
    return PASS;
}

static void file_size_limit(void **state)
{
    (void)state;
    passes(spawn("limit", dir, (char *)NULL));
    assert_int_equal(files(), 0);
}

static void on_alarm(int sig)
{
    (void)sig;
}

static void interrupted(void **state)
{
    struct sigaction act = {.sa_handler = on_alarm}; /* no SA_RESTART */
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    struct amx_options o = options(dir);
    amx_t *h = NULL;
    (void)state;
    assert_int_equal(sigaction(SIGALRM, &act, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    o.size = 128 * KIB * KIB;
    int r = amx_create("alarm", &o, &h);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    ok(r);
    ok(amx_close(h));
    ok(amx_unlink("alarm", &o));
}

static int role_stranger(char **argv)
{
    struct amx_options o = options(argv[2]);
    amx_t *h;
    char why[256];
    o.why = why;
    o.why_len = sizeof why;
    if (geteuid() == 0 && (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)))
        return SKIP;
    must(amx_attach("mine", &o, &h) == AMX_E_ACCESS);
    must(strstr(why, "amx.mine") && strstr(why, "denied"));
    must(amx_open("mine", &o, &h) == AMX_E_ACCESS);
    must(amx_unlink("mine", &o) == AMX_E_ACCESS);
    must(amx_create("other", &o, &h) == AMX_E_ACCESS);
    o.flags = AMX_F_READONLY;
    must(amx_attach("mine", &o, &h) == AMX_E_ACCESS);
    must_ok(amx_attach("readable", &o, &h));
    must_ok(amx_close(h));
    o.flags = 0;
    must(amx_attach("readable", &o, &h) == AMX_E_ACCESS);
    must(amx_unlink("readable", &o) == AMX_E_ACCESS);
    return PASS;
}

static void strangers(void **state)
{
    struct amx_options o = options(dir);
    amx_t *h = NULL;
    (void)state;
    if (geteuid())
        skip(); /* only root can play another user */
    assert_int_equal(chmod(dir, 0755), 0);
    ok(amx_create("mine", &o, &h));
    ok(amx_close(h));
    o.mode = 0644;
    ok(amx_create("readable", &o, &h));
    ok(amx_close(h));
    int end = wait_end(spawn("stranger", dir, (char *)NULL));
    ok(amx_unlink("mine", &o));
    ok(amx_unlink("readable", &o));
    assert_int_equal(chmod(dir, 0700), 0);
    if (end == SKIP)
        skip();
    assert_int_equal(end, PASS);
}

static int role_closed(char **argv)
{
    struct amx_options o = options(argv[2]);
    amx_t *h;
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    if (amx_create("std", &o, &h) || amx_fd(h) < 3)
        return 1;
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return 2; /* what others print goes nowhere, and not into the segment */
    return amx_close(h) || amx_unlink("std", &o) ? 3 : PASS;
}

static void standard_streams_closed(void **state)
{
    (void)state;
    passes(spawn("closed", dir, (char *)NULL));
}

/* --- By descriptor --------------------------------------------------------------------------------------------------- */

static void send_fd(int sock, int fd)
{
    char byte = 'f';
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct iovec io = {&byte, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    must(sendmsg(sock, &m, 0) == 1);
}

static int receive_fd(int sock)
{
    char byte;
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec io = {&byte, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    must(recvmsg(sock, &m, MSG_CMSG_CLOEXEC) == 1);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    must(c && c->cmsg_type == SCM_RIGHTS);
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

static int role_receive(char **argv)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h;
    amx_ref r;
    void *p;
    int fd = receive_fd(atoi(argv[2]));
    o.map_hint = test_hint(5);
    must_ok(amx_attach_fd(fd, &o, &h));
    close(fd);
    must(amx_raw_base(h) == test_hint(5));
    must(info_of(h).peers_used == 2);
    must_ok(amx_root_get(h, 0, &r));
    must_ok(amx_ptr(h, r, &p));
    must(strcmp(p, "through a socket") == 0);
    must_ok(amx_alloc(h, 100, &r));
    must_ok(amx_ptr(h, r, &p));
    strcpy(p, "and back");
    must_ok(amx_publish(h, r));
    must_ok(amx_root_set(h, 1, r));
    if (atoi(argv[3]))
        kill(getpid(), SIGKILL);
    must_ok(amx_close(h));
    return PASS;
}

static int count_dead(const struct amx_peer *p, void *ctx)
{
    *(int *)ctx += !p->alive;
    return 0;
}

static void over_a_socket(void **state)
{
    (void)state;
    for (int kill = 0; kill < 2; kill++) {
        struct amx_options o = options(NULL);
        amx_t *h = NULL;
        amx_ref r = 0;
        void *p = NULL;
        int sock[2], dead = 0;
        char fd[16];
        o.map_hint = test_hint(4);
        ok(amx_create_memfd("socket", &o, &h));
        ok(amx_alloc(h, 100, &r));
        ok(amx_ptr(h, r, &p));
        strcpy(p, "through a socket");
        ok(amx_root_set(h, 0, r));
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, sock) == 0 && fcntl(sock[0], F_SETFD, FD_CLOEXEC) == 0);
        snprintf(fd, sizeof fd, "%d", sock[1]);
        pid_t pid = spawn("receive", fd, kill ? "1" : "0", (char *)NULL);
        close(sock[1]);
        send_fd(sock[0], amx_fd(h));
        assert_int_equal(wait_end(pid), kill ? 128 + SIGKILL : PASS);
        ok(amx_peers(h, count_dead, &dead));
        assert_int_equal(dead, kill); /* the receiver's lock was its own, though the descriptor was shared */
        ok(amx_root_get(h, 1, &r));
        ok(amx_ptr(h, r, &p));
        assert_string_equal(p, "and back");
        ok(amx_recover(h, 0, NULL, NULL, NULL));
        assert_int_equal(info_of(h).peers_used, 1);
        clean(h);
        ok(amx_close(h));
        close(sock[0]);
    }
}

/* --- Coming and going ------------------------------------------------------------------------------------------------ */

static int role_visit(char **argv)
{
    struct amx_options o = options(argv[2]);
    long rounds = atol(argv[3]);
    o.flags = AMX_F_REMOVE_LAST;
    o.map_hint = test_hint((unsigned)atoi(argv[4]));
    for (long i = 0; i < rounds; i++) {
        amx_t *h;
        amx_ref r;
        int e = amx_open("visit", &o, &h);
        /* BUSY: it is just being removed. FULL: entries of the gone wait for one who recovers and is not running. */
        if (e == AMX_E_BUSY || e == AMX_E_FULL)
            continue;
        must_ok(e);
        if (amx_alloc(h, 50, &r) == AMX_OK && i % 2)
            must_ok(amx_free(h, r));
        must_ok(amx_close(h));
    }
    return PASS;
}

static void last_one_removes(void **state)
{
    char rounds[24], hint[16];
    pid_t pid[4];
    (void)state;
    snprintf(rounds, sizeof rounds, "%ld", scaled(1000));
    for (int i = 0; i < 4; i++) {
        snprintf(hint, sizeof hint, "%d", i);
        pid[i] = spawn("visit", dir, rounds, hint, (char *)NULL);
    }
    for (int i = 0; i < 4; i++)
        wait_ok(pid[i]);
    assert_int_equal(files(), 0);
}

/* ------------------------------------------------------------------------------------------------------------------- */

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/dev/shm/amx-attach-test-%d", (int)getpid());
    return mkdir(dir, 0700);
}

static int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

static int role(char **argv)
{
    static const struct {
        const char *name;
        int (*fn)(char **argv);
    } roles[] = {{"race", role_race},       {"die", role_die},     {"leave", role_leave},       {"full", role_full},
                 {"ask", role_ask},         {"limit", role_limit}, {"stranger", role_stranger}, {"closed", role_closed},
                 {"receive", role_receive}, {"visit", role_visit}};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(argv[1], roles[i].name))
            return roles[i].fn(argv);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return role(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(racing_creators),    cmocka_unit_test(creator_dies),
        cmocka_unit_test(creator_dies_later), cmocka_unit_test(full_file_system),
        cmocka_unit_test(file_size_limit),    cmocka_unit_test(interrupted),
        cmocka_unit_test(strangers),          cmocka_unit_test(standard_streams_closed),
        cmocka_unit_test(over_a_socket),      cmocka_unit_test(last_one_removes),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
