/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message stores between exec'ed processes: the conformance suite with another process for the second user, and what
 * becomes of messages and guards whose process is killed or stopped.
 */
#include "tests/store_suite.h"

#include <fcntl.h>

/* --- Another process, which does what it is told ---------------------------------------------------------------------- */

struct neighbour {
    pid_t pid;
    int to, from;
};

enum { CHURN = 1000 }; /* an order of this test's: a is the seed, b the turns */

/* test neighbour NAME IN OUT NUMBER */
static int neighbour(char **argv)
{
    const int in = atoi(argv[3]), out = atoi(argv[4]);
    struct amx_options opts = AMX_OPTIONS_INIT;
    struct amx_store s;
    struct party p = {.s = &s};
    struct order o;
    amx_t *h;
    amx_ref block;
    opts.flags = AMX_F_NO_RECOVER;
    opts.map_hint = test_hint((unsigned)atoi(argv[5]));
    must_ok(amx_attach(argv[2], &opts, &h));
    must_ok(amx_root_get(h, 0, &block));
    must_ok(amx_store_attach_block(h, block, NULL, &s));
    while (read(in, &o, sizeof o) == sizeof o) {
        struct answer r = {0, 0};
        if (o.op == (enum op)CHURN) { /* answers when it begins, and when it is done */
            struct churn n = {0};
            must(write(out, &r, sizeof r) == sizeof r);
            churn(&s, o.a, o.b, &n);
            r.value = n.stored;
        } else {
            r = obey(&p, o);
        }
        must(write(out, &r, sizeof r) == sizeof r);
    }
    return 0;
}

static struct neighbour hire(const char *name, int number)
{
    int down[2], up[2];
    char a[16], b[16], c[16];
    struct neighbour n;
    must(pipe(down) == 0 && pipe(up) == 0);
    must(fcntl(down[1], F_SETFD, FD_CLOEXEC) == 0 && fcntl(up[0], F_SETFD, FD_CLOEXEC) == 0);
    snprintf(a, sizeof a, "%d", down[0]);
    snprintf(b, sizeof b, "%d", up[1]);
    snprintf(c, sizeof c, "%d", number);
    n.pid = spawn("neighbour", name, a, b, c, (char *)NULL);
    n.to = down[1];
    n.from = up[0];
    close(down[0]);
    close(up[1]);
    return n;
}

static struct answer heard(struct neighbour *n)
{
    struct answer r;
    must(read(n->from, &r, sizeof r) == sizeof r);
    return r;
}

static struct answer tell(struct neighbour *n, unsigned op, uint64_t a, uint64_t b)
{
    const struct order o = {(enum op)op, a, b};
    must(write(n->to, &o, sizeof o) == sizeof o);
    return heard(n);
}

static void forget(struct neighbour *n)
{
    close(n->to);
    close(n->from);
    n->pid = 0;
}

static void dismiss(struct neighbour *n) /* it reads the end and goes */
{
    const pid_t pid = n->pid;
    forget(n);
    wait_ok(pid);
}

static void bury(struct neighbour *n)
{
    wait_killed(n->pid);
    forget(n);
}

/* --- The scene -------------------------------------------------------------------------------------------------------- */

struct scene {
    struct room r;
    char name[40];
    struct neighbour n[3];
};

static struct answer ask_process(struct room *r, struct order o)
{
    return tell(r->extra, o.op, o.a, o.b);
}

/* As room_open, with a name and `neighbours` processes, of which the first is the second user. */
static void scene_open(struct scene *s, const struct amx_store_config *k, int neighbours, uint32_t flags)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    memset(s, 0, sizeof *s);
    struct room *r = &s->r;
    r->kind = SHARED;
    r->k = *k;
    r->k.memory = AMX_MEMORY_SHARED;
    r->a = &r->view[0];
    r->b = &r->view[1];
    r->ask = ask_process;
    r->extra = &s->n[0];
    snprintf(s->name, sizeof s->name, "%s", test_name());
    o.size = UINT64_C(1) << 21;
    o.flags = flags;
    o.map_hint = test_hint(0);
    must_ok(amx_create(s->name, &o, &r->h[0]));
    o.map_hint = test_hint(1);
    must_ok(amx_attach(s->name, &o, &r->h[1]));
    must_ok(amx_store_create(r->h[0], &r->k, &r->block, r->a));
    must_ok(amx_store_attach_block(r->h[1], r->block, &r->k, r->b));
    must_ok(amx_root_set(r->h[0], 0, r->block));
    for (int i = 0; i < neighbours; i++)
        s->n[i] = hire(s->name, i + 2);
}

static void scene_close(struct scene *s)
{
    for (int i = 0; i < 3; i++)
        if (s->n[i].pid)
            dismiss(&s->n[i]);
    must_ok(amx_recover(s->r.h[0], 0, NULL, NULL, NULL));
    must_ok(amx_root_set(s->r.h[0], 0, AMX_REF_NONE));
    room_close(&s->r);
    must_ok(amx_unlink(s->name, NULL));
}

static uint64_t recovered(struct scene *s)
{
    struct amx_recovery rec = {.struct_size = sizeof rec};
    must_ok(amx_recover(s->r.h[0], 0, NULL, NULL, &rec));
    return rec.words;
}

static void conformance(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITE; i++) {
        struct scene s;
        scene_open(&s, &suite_config, 1, AMX_F_NO_RECOVER);
        suite[i].fn(&s.r);
        must(available(s.r.a) == DEPTH);
        scene_close(&s);
    }
    note("%d tests with another process", (int)SUITE);
}

/* --- Deaths ------------------------------------------------------------------------------------------------------------- */

/* The guards of a dead reader lapse when it is recovered; nobody clears a word of it. */
static void reader_killed(void **state)
{
    struct scene s;
    (void)state;
    scene_open(&s, &suite_config, 2, AMX_F_NO_RECOVER);
    amx_token t = put(s.r.a, 5), u = put(s.r.a, 6);
    for (int i = 0; i < 3; i++)
        ok(tell(&s.n[0], READ, t, 0).e);
    ok(tell(&s.n[0], READ, u, 0).e);
    struct answer g = tell(&s.n[1], READ, u, 0);
    ok(g.e);
    bury(&s.n[0]);
    fails(AMX_E_BORROW_ACTIVE, amx_msg_free(s.r.a, t)); /* nobody knows yet */
    see(s.r.a, t, 5);
    assert_int_equal(recovered(&s), 0);
    ok(amx_msg_free(s.r.a, t));
    fails(AMX_E_BORROW_ACTIVE, amx_msg_free(s.r.a, u)); /* the living one's */
    assert_int_equal(tell(&s.n[1], VERIFY, g.value, 6).value, 1);
    /* who takes over his entry has no guard */
    s.n[0] = hire(s.name, 4);
    ok(tell(&s.n[0], READ, u, 0).e);
    ok(tell(&s.n[1], READ_END, g.value, 0).e);
    ok(tell(&s.n[0], READ_END, 0, 0).e);
    ok(amx_msg_free(s.r.a, u));
    scene_close(&s);
}

static void writer_killed(void **state)
{
    struct scene s;
    struct amx_write w;
    (void)state;
    scene_open(&s, &suite_config, 2, AMX_F_NO_RECOVER);
    amx_token t = put(s.r.a, 5), u = put(s.r.a, 6);
    ok(tell(&s.n[0], MUT, t, 0).e);
    ok(tell(&s.n[0], STAMP, 0, 50).e);
    ok(tell(&s.n[1], MUT, u, 0).e);
    ok(tell(&s.n[1], STAMP, 0, 60).e);
    bury(&s.n[0]);
    bury(&s.n[1]);
    fails(AMX_E_BORROWED, amx_msg_read_mut(s.r.a, t, &w)); /* nobody knows yet */
    fails(AMX_E_BORROW_ACTIVE, amx_msg_free(s.r.a, u));
    struct amx_pool_check_result c = {.struct_size = sizeof c};
    ok(amx_store_check(s.r.a, NULL, NULL, &c));
    assert_int_equal(recovered(&s), 2);
    assert_int_equal(store_stat(s.r.a).poisoned, 2);
    for (int i = 0; i < 2; i++) {
        struct amx_read g;
        fails(AMX_E_POISONED, amx_msg_read(s.r.a, i ? t : u, &g));
        fails(AMX_E_POISONED, amx_msg_read_mut(s.r.b, i ? t : u, &w));
    }
    /* one is mended, by one who is killed, then by another; one is discarded */
    s.n[0] = hire(s.name, 4);
    ok(tell(&s.n[0], MEND, t, 0).e);
    fails(AMX_E_BORROWED, amx_msg_recover(s.r.a, t, &w));
    bury(&s.n[0]);
    assert_int_equal(recovered(&s), 1);
    ok(amx_msg_recover(s.r.a, t, &w));
    assert_true(stamped(w.payload, SIZE, 50)); /* as he left it */
    ok(amx_write_end(&w));
    see(s.r.b, t, 50);
    ok(amx_msg_free(s.r.b, u));
    ok(amx_msg_free(s.r.b, t));
    scene_close(&s);
}

static void storer_killed(void **state)
{
    struct scene s;
    (void)state;
    scene_open(&s, &suite_config, 2, AMX_F_NO_RECOVER);
    const amx_token stored = tell(&s.n[0], STORE, 0, 5).value;
    ok(tell(&s.n[0], RESERVE, 0, 6).e);
    ok(tell(&s.n[0], STAMP, 0, 6).e);
    bury(&s.n[0]);
    assert_int_equal(available(s.r.a), DEPTH - 2);
    assert_int_equal(recovered(&s), 1);
    assert_int_equal(available(s.r.a), DEPTH - 1);
    see(s.r.a, stored, 5); /* it outlives who stored it */
    ok(tell(&s.n[1], FREE, stored, 0).e);
    store_all_free(s.r.a);
    scene_close(&s);
}

/* Who frees, stores and changes without end is killed at any instruction: each message is there, or free, or poisoned. */
static void killed_in_the_middle(void **state)
{
    static const struct amx_store_config k = {.depth = 24, .payload_max = SIZE, .type_id = TYPE};
    static const struct amx_store_config marks = {
        .depth = 24, .payload_max = SIZE, .marks = {.policy = AMX_POLICY_EVICT, .hard_items = 16, .hard_bytes = 1500}};
    struct rng dice = rng_make(test_seed(), 3);
    struct scene s;
    uint64_t words = 0, poisoned = 0;
    (void)state;
    for (int evict = 0; evict < 2; evict++) {
        scene_open(&s, evict ? &marks : &k, 2, AMX_F_NO_RECOVER);
        for (int round = 0; round < scaled(60); round++) {
            s.n[2] = hire(s.name, 4);
            ok(tell(&s.n[0], CHURN, (uint64_t)round, (uint64_t)scaled(1500)).e);
            ok(tell(&s.n[1], CHURN, (uint64_t)round + 1000, (uint64_t)scaled(1500)).e);
            ok(tell(&s.n[2], CHURN, (uint64_t)round + 2000, UINT64_MAX).e);
            must(kill(s.n[1].pid, SIGSTOP) == 0);
            usleep((useconds_t)rng_below(&dice, 3000)); /* at any moment */
            must(kill(s.n[1].pid, SIGCONT) == 0);
            bury(&s.n[2]);
            words += recovered(&s);
            heard(&s.n[0]);
            heard(&s.n[1]);
            struct amx_store_stats n = store_stat(s.r.a);
            assert_true(n.guards == 0 && n.storing == 0 && n.claimed == 0 && n.writing == 0);
            poisoned += n.poisoned;
            if (evict) {
                uint64_t items, bytes;
                enum amx_watermark mark;
                ok(amx_store_watermark(s.r.a, &mark, &items, &bytes));
                assert_true(items <= 16 && bytes <= 1500);
            }
        }
        (void)churn_over(&s.r);
        scene_close(&s);
    }
    note("%" PRIu64 " words of the dead, %" PRIu64 " poisoned messages seen", words, poisoned);
}

/* --- Stopped -------------------------------------------------------------------------------------------------------------- */

/* Its guards stand, and nobody waits for it: all else goes on. */
static void stopped_holder(void **state)
{
    struct scene s;
    struct amx_read g;
    struct amx_write w;
    amx_token t[3];
    (void)state;
    scene_open(&s, &suite_config, 2, AMX_F_NO_RECOVER);
    for (int i = 0; i < 3; i++)
        t[i] = put(s.r.a, (uint64_t)i);
    ok(tell(&s.n[0], READ, t[0], 0).e);
    ok(tell(&s.n[0], MUT, t[1], 0).e);
    must(kill(s.n[0].pid, SIGSTOP) == 0);
    assert_int_equal(recovered(&s), 0); /* stopped is alive */
    fails(AMX_E_BORROW_ACTIVE, amx_msg_free(s.r.a, t[0]));
    fails(AMX_E_BORROWED, amx_msg_read_mut(s.r.a, t[0], &w));
    fails(AMX_E_BORROWED, amx_msg_read(s.r.a, t[1], &g));
    fails(AMX_E_TIMEOUT, amx_msg_read_wait(s.r.a, t[1], 1000000, &g));
    see(s.r.b, t[0], 0);
    b_sees(&(struct room){.ask = ask_process, .extra = &s.n[1]}, t[2], 2);
    for (int i = 0; i < 100; i++) {
        amx_token u = tell(&s.n[1], STORE, 0, 7).value;
        see(s.r.a, u, 7);
        ok(amx_msg_free(s.r.a, u));
    }
    must(kill(s.n[0].pid, SIGCONT) == 0);
    ok(tell(&s.n[0], STAMP, 0, 10).e);
    ok(tell(&s.n[0], END, 0, 0).e);
    see(s.r.a, t[1], 10);
    ok(tell(&s.n[0], READ_END, 0, 0).e);
    for (int i = 0; i < 3; i++)
        ok(amx_msg_free(s.r.a, t[i]));
    scene_close(&s);
}

/* Who waits for somebody who is dead finds that out, where recovery is automatic. */
static void waiting_for_the_dead(void **state)
{
    const uint64_t minute = UINT64_C(60000000000);
    struct scene s;
    struct amx_read g;
    struct amx_write w;
    amx_token t, u, all[DEPTH];
    (void)state;
    scene_open(&s, &suite_config, 1, 0);
    t = put(s.r.a, 5);
    u = put(s.r.a, 6);
    ok(tell(&s.n[0], READ, t, 0).e);
    ok(tell(&s.n[0], MUT, u, 0).e);
    bury(&s.n[0]);
    ok(amx_msg_free_wait(s.r.a, t, minute));
    fails(AMX_E_POISONED, amx_msg_read_wait(s.r.a, u, minute, &g));
    ok(amx_msg_free(s.r.a, u));
    s.n[0] = hire(s.name, 3);
    t = put(s.r.a, 5);
    ok(tell(&s.n[0], READ, t, 0).e);
    bury(&s.n[0]);
    ok(amx_msg_read_mut_wait(s.r.a, t, minute, &w));
    ok(amx_msg_discard(&w));
    s.n[0] = hire(s.name, 3);
    for (int i = 1; i < DEPTH; i++)
        all[i] = put(s.r.a, 1);
    ok(tell(&s.n[0], RESERVE, 0, 0).e);
    bury(&s.n[0]);
    ok(amx_msg_store_wait(s.r.a, NULL, "", 1, minute, &all[0])); /* in the place that the dead one had */
    for (int i = 0; i < DEPTH; i++)
        ok(amx_msg_free(s.r.a, all[i]));
    scene_close(&s);
}

/* Whoever closes properly leaves what a killed one leaves. */
static void closed_with_guards(void **state)
{
    struct scene s;
    (void)state;
    scene_open(&s, &suite_config, 1, AMX_F_NO_RECOVER);
    amx_token t = put(s.r.a, 5), u = put(s.r.a, 6);
    struct amx_read g;
    struct amx_write w, place;
    ok(amx_msg_read(s.r.b, t, &g));
    ok(amx_msg_read_mut(s.r.b, u, &w));
    ok(amx_msg_reserve(s.r.b, NULL, 1, &place));
    ok(amx_close(s.r.h[1]));
    fails(AMX_E_POISONED, tell(&s.n[0], READ, u, 0).e);
    ok(tell(&s.n[0], FREE, t, 0).e);
    ok(tell(&s.n[0], FREE, u, 0).e);
    assert_int_equal(available(s.r.a), DEPTH);
    ok(amx_attach(s.name, NULL, &s.r.h[1]));
    ok(amx_store_attach_block(s.r.h[1], s.r.block, NULL, s.r.b));
    scene_close(&s);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return neighbour(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conformance),          cmocka_unit_test(reader_killed),
        cmocka_unit_test(writer_killed),        cmocka_unit_test(storer_killed),
        cmocka_unit_test(killed_in_the_middle), cmocka_unit_test(stopped_holder),
        cmocka_unit_test(waiting_for_the_dead), cmocka_unit_test(closed_with_guards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
