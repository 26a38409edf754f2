/* SPDX-License-Identifier: Apache-2.0 */
/* Who is attached: entries, tickets, names, and a full table. */
#include "tests/peer_kit.h"

static void verdicts(void **state)
{
    amx_t *h = NULL;
    struct amxi_os_proc self;
    (void)state;
    (void)segment(&h);
    struct amxi_seg *s = h->seg;
    struct amxi_peer_body *p = amxi_peer(s, 2);
    const uint64_t ticket = UINT64_C(0x123456789), low = UINT64_C(0x23456789) << 32;
    assert_int_equal(amxi_os_self(&self), 0);
    assert_int_equal(self.pid, getpid());
    amxi_st64_rlx(&p->word, AMXI_PEER_WORD(AMXI_PEER_LIVE, ticket));
    /* Nobody has the lock. Killed before it said who it is: */
    assert_true(amxi_peer_dead(s, 2, ticket));
    amxi_st64_rlx(&p->pid, self.pid | (low + (UINT64_C(1) << 32))); /* of the entry's former tenant */
    const uint64_t ns = self.pid_ns | (uint64_t)self.boot << 32;
    amxi_st64_rlx(&p->pid_ns, ns);
    amxi_st64_rlx(&p->start_time, self.start_time);
    amxi_st64_rlx(&p->map_base, (uint64_t)(uintptr_t)s->base);
    assert_true(amxi_peer_dead(s, 2, ticket));
    /* This very process, with the segment where the entry says: */
    amxi_st64_rlx(&p->pid, self.pid | low);
    assert_false(amxi_peer_dead(s, 2, ticket));
    struct seen seen = look(h);
    assert_int_equal(seen.n, 2);
    assert_int_equal(seen.peer[1].index, 2);
    assert_true(seen.peer[1].ticket == ticket);
    assert_int_equal(seen.peer[1].alive, 1);
    /* The segment is elsewhere now: another program in the same process. */
    amxi_st64_rlx(&p->map_base, (uint64_t)(uintptr_t)s->base - 4096);
    assert_true(amxi_peer_dead(s, 2, ticket));
    amxi_st64_rlx(&p->map_base, (uint64_t)(uintptr_t)&self);
    assert_true(amxi_peer_dead(s, 2, ticket));
    amxi_st64_rlx(&p->map_base, (uint64_t)(uintptr_t)s->base + 4096);
    assert_false(amxi_peer_dead(s, 2, ticket));
    /* The number has been given to another process. */
    amxi_st64_rlx(&p->start_time, self.start_time + 1);
    assert_true(amxi_peer_dead(s, 2, ticket));
    amxi_st64_rlx(&p->start_time, self.start_time);
    /* From another namespace only the lock counts. */
    amxi_st64_rlx(&p->pid_ns, ns + 1);
    assert_true(amxi_peer_dead(s, 2, ticket));
    /* Before a reboot all of these numbers were somebody else's, and may be the same; whose boot is unknown is judged by
     * them. */
    assert_true(self.boot != 0);
    amxi_st64_rlx(&p->pid_ns, ns ^ UINT64_C(1) << 45);
    assert_true(amxi_peer_dead(s, 2, ticket));
    amxi_st64_rlx(&p->pid_ns, self.pid_ns);
    assert_false(amxi_peer_dead(s, 2, ticket));
    amxi_st64_rlx(&p->pid_ns, ns);
    assert_false(amxi_peer_dead(s, 2, ticket));
    amxi_st64_rlx(&p->pid, 0 | low);
    assert_true(amxi_peer_dead(s, 2, ticket));
    amxi_st64_rlx(&p->pid, UINT32_MAX | low);
    assert_true(amxi_peer_dead(s, 2, ticket));
    /* With the lock nothing else counts. */
    int fd = -1;
    assert_int_equal(amxi_os_reopen(s->fd, true, &fd), 0);
    assert_int_equal(amxi_os_lock(fd, AMXI_LOCK_TICKET + (int64_t)ticket, true), 0);
    assert_false(amxi_peer_dead(s, 2, ticket));
    amxi_os_close(fd);
    assert_true(amxi_peer_dead(s, 2, ticket));
    assert_false(amxi_peer_dead(s, s->peer, s->ticket)); /* oneself */
    seen = look(h);
    assert_int_equal(seen.peer[1].alive, 0);
    end(h);
}

static void tickets(void **state)
{
    amx_t *h = NULL, *more = NULL;
    (void)state;
    const char *name = segment(&h);
    struct amxi_seg *s = h->seg;
    assert_int_equal(s->ticket, 1);
    for (uint64_t i = 2; i < 10; i++) {
        ok(amx_attach(name, NULL, &more));
        assert_true(more->seg->ticket == i);
        assert_int_equal(more->seg->peer, 1);
        ok(amx_close(more));
    }
    /* A hostile count that leads to a ticket in use: passed over. */
    amxi_st64_rlx(&amxi_head(s)->tickets, 0);
    ok(amx_attach(name, NULL, &more));
    assert_true(more->seg->ticket == 2);
    ok(amx_close(more));
    amxi_st64_rlx(&amxi_head(s)->tickets, UINT64_MAX); /* and 0 is no ticket */
    ok(amx_attach(name, NULL, &more));
    assert_true(more->seg->ticket == 2);
    ok(amx_close(more));
    amxi_st64_rlx(&amxi_head(s)->tickets, (UINT64_C(1) << 56) - 2);
    ok(amx_attach(name, NULL, &more));
    assert_true(more->seg->ticket == (UINT64_C(1) << 56) - 1);
    assert_int_equal(look(h).n, 2);
    assert_int_equal(look(h).peer[1].alive, 1);
    ok(amx_close(more));
    end(h);
}

static int stop_at_first(const struct amx_peer *p, void *ctx)
{
    (void)p;
    ++*(int *)ctx;
    return 42;
}

static void described(void **state)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h = NULL, *more = NULL;
    char comm[16];
    int calls = 0;
    struct stat st;
    (void)state;
    const char *name = segment(&h);
    o.peer_name = "a name of more than 15 bytes";
    ok(amx_attach(name, &o, &more));
    struct seen seen = look(h);
    assert_int_equal(seen.n, 2);
    must(prctl(PR_GET_NAME, comm) == 0);
    assert_string_equal(seen.peer[0].name, comm);
    assert_string_equal(seen.peer[1].name, "a name of more ");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(seen.peer[i].pid, getpid());
        assert_int_equal(seen.peer[i].index, i);
        assert_int_equal(seen.peer[i].ticket, i + 1);
        assert_int_equal(seen.peer[i].handles, 1);
        assert_int_equal(seen.peer[i].alive, 1);
        assert_int_equal(stat("/proc/self/ns/pid", &st), 0);
        assert_true(seen.peer[i].pid_ns == st.st_ino);
        assert_true(seen.peer[i].start_time > 0);
    }
    assert_int_equal(amx_peers(h, stop_at_first, &calls), 42);
    assert_int_equal(calls, 1);
    fails(AMX_E_INVAL, amx_peers(h, NULL, NULL));
    ok(amx_close(more));
    o.peer_name = "\033[2Jx\n\xff";
    ok(amx_attach(name, &o, &more));
    assert_string_equal(look(h).peer[1].name, "?[2Jx??");
    /* No end within the field. */
    amxi_st64_rlx(&amxi_peer(h->seg, 1)->name[0], UINT64_C(0x4141414141414141));
    amxi_st64_rlx(&amxi_peer(h->seg, 1)->name[1], UINT64_C(0x4141414141414141));
    assert_string_equal(look(h).peer[1].name, "AAAAAAAAAAAAAAA");
    ok(amx_close(more));
    end(h);
}

static void full_of_dead(void **state)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    char why[256];
    amx_t *h = NULL, *more = NULL;
    (void)state;
    const char *name = segment(&h); /* four entries */
    struct child c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = start("attach", name);
        step(&c[i]);
    }
    o.why = why;
    o.why_len = sizeof why;
    fails(AMX_E_FULL, amx_attach(name, &o, &more));
    assert_non_null(strstr(why, "all 4 entries are taken, 0 of them by dead"));
    wait_killed(c[0].pid);
    wait_killed(c[1].pid);
    fails(AMX_E_FULL, amx_attach(name, &o, &more)); /* to recover takes an entry */
    assert_non_null(strstr(why, "all 4 entries are taken, 2 of them by dead"));
    o.flags = AMX_F_READONLY;
    ok(amx_attach(name, &o, &more)); /* to look takes none */
    ok(amx_close(more));
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    o.flags = 0;
    ok(amx_attach(name, &o, &more));
    ok(amx_close(more));
    go_on(&c[2]);
    wait_ok(c[2].pid);
    for (int i = 0; i < 3; i++)
        forget(&c[i]);
    end(h);
}

/* Somebody resets or removes it, and is stopped: attach answers, it does not wait. */
static void attach_locked_out(void **state)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    char why[256];
    amx_t *h = NULL, *more = NULL;
    int fd = -1;
    (void)state;
    const char *name = segment(&h);
    assert_int_equal(amxi_os_reopen(h->seg->fd, true, &fd), 0);
    assert_int_equal(amxi_os_lock(fd, AMXI_LOCK_ATTACH, true), 0);
    o.why = why;
    o.why_len = sizeof why;
    fails(AMX_E_BUSY, amx_attach(name, &o, &more));
    assert_non_null(strstr(why, "try again"));
    o.flags = AMX_F_READONLY;
    ok(amx_attach(name, &o, &more));
    ok(amx_close(more));
    amxi_os_close(fd);
    o.flags = 0;
    ok(amx_attach(name, &o, &more));
    assert_int_equal(amxi_os_reopen(h->seg->fd, true, &fd), 0);
    assert_int_equal(amxi_os_lock(fd, AMXI_LOCK_ATTACH, true), 0); /* attached: its lock is given back */
    amxi_os_close(fd);
    ok(amx_close(more));
    end(h);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return role_begin(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),     cmocka_unit_test(tickets),           cmocka_unit_test(described),
        cmocka_unit_test(full_of_dead), cmocka_unit_test(attach_locked_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
