/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of peers share: exec'ed children that go step by step, and what is seen of them. */
#ifndef AMX_TEST_PEER_KIT_H
#define AMX_TEST_PEER_KIT_H

#include "tests/support.h"

#include "arena.h"
#include "os.h"
#include "peer.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

/* --- Children ------------------------------------------------------------------------------------------------------ */

struct child {
    pid_t pid;
    int to, from; /* it reads a byte from `to` before it goes on, and writes one to `from` when it has done a step */
};

static inline struct child start(const char *role, const char *name)
{
    int down[2], up[2];
    char a[16], b[16];
    struct child c;
    must(pipe(down) == 0 && pipe(up) == 0);
    must(fcntl(down[1], F_SETFD, FD_CLOEXEC) == 0 && fcntl(up[0], F_SETFD, FD_CLOEXEC) == 0);
    snprintf(a, sizeof a, "%d", down[0]);
    snprintf(b, sizeof b, "%d", up[1]);
    c.pid = spawn(role, name, a, b, (char *)NULL);
    c.to = down[1];
    c.from = up[0];
    close(down[0]);
    close(up[1]);
    return c;
}

/* The child has come so far; answers what it says. */
static inline char step(const struct child *c)
{
    char byte = 0;
    must(read(c->from, &byte, 1) == 1);
    return byte;
}

static inline void go_on(const struct child *c)
{
    must(write(c->to, "g", 1) == 1);
}

static inline void forget(const struct child *c)
{
    close(c->to);
    close(c->from);
}

/* Dead, but nobody has asked how: a zombie. */
static inline void kill_unreaped(const struct child *c)
{
    siginfo_t info;
    must(kill(c->pid, SIGKILL) == 0);
    must(waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOWAIT) == 0);
}

static int in = -1, out = -1; /* the child's ends */

static inline void report(char byte)
{
    must(write(out, &byte, 1) == 1);
}

static inline void await(void)
{
    char byte;
    if (read(in, &byte, 1) != 1)
        _exit(3); /* the parent is gone */
}

/* --- What is seen -------------------------------------------------------------------------------------------------- */

struct seen {
    struct amx_peer peer[8];
    int n;
};

static inline int note_peer(const struct amx_peer *p, void *ctx)
{
    struct seen *seen = ctx;
    assert_true(seen->n < 8);
    assert_int_equal(p->struct_size, sizeof *p);
    seen->peer[seen->n++] = *p;
    return 0;
}

static inline struct seen look(const amx_t *h)
{
    struct seen seen = {.n = 0};
    ok(amx_peers(h, note_peer, &seen));
    return seen;
}

/* alive of the process, or -1: it has no entry */
static inline int alive(const amx_t *h, pid_t pid)
{
    struct seen seen = look(h);
    for (int i = 0; i < seen.n; i++)
        if (seen.peer[i].pid == (uint32_t)pid)
            return (int)seen.peer[i].alive;
    return -1;
}

static inline const char *segment(amx_t **h)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    const char *name = test_name();
    o.size = AMX_SIZE_MIN;
    o.peers = 4;
    ok(amx_create(name, &o, h));
    return name;
}

static inline void end(amx_t *h)
{
    struct amx_check_result result = {.struct_size = sizeof result};
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    assert_int_equal(look(h).n, 1);
    ok(amx_check(h, NULL, NULL, &result));
    ok(amx_close(h));
}

/* --- Roles that several use --- */

static inline int role_attach(const char *name)
{
    amx_t *h;
    amx_ref r;
    struct amx_options o = AMX_OPTIONS_INIT;
    o.map_hint = test_hint(3);
    must_ok(amx_attach(name, &o, &h));
    must_ok(amx_alloc(h, 1000, &r));
    report('a');
    await();
    must_ok(amx_close(h));
    return 0;
}

static inline int role_idle(void)
{
    report('i');
    await();
    return 0;
}

/* test ROLE SEGMENT IN OUT */
static inline int role_begin(int argc, char **argv)
{
    must(argc == 5);
    in = atoi(argv[3]);
    out = atoi(argv[4]);
    if (!strcmp(argv[1], "attach"))
        return role_attach(argv[2]);
    if (!strcmp(argv[1], "idle"))
        return role_idle();
    return -1; /* one of the test's own */
}

#endif
