/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slot pools between exec'ed processes: the conformance tests with a neighbour that is another process, in a memfd and in
 * a block of a segment, and what becomes of slots whose owner is killed.
 */
#include "tests/pool_kit.h"

#include <fcntl.h>

static const struct amx_pool_config three = {.n = 3, .cls = {{64, 8}, {256, 4}, {4096, 2}}};
static const struct amx_pool_config busy = {.n = 2, .cls = {{64, 96}, {256, 32}}};
enum { ALL = 14, BUSY_ALL = 128 };

/* --- A neighbour: another process that does what it is told ------------------------------------------------------- */

enum op { ID, ALLOC, FREE, STAMP, VERIFY, PUBLISH, ADOPT, GIVE, STATE, CHURN };
struct order {
    enum op op;
    uint64_t a, b;
};
struct answer {
    int e;
    uint64_t value;
};

struct neighbour {
    pid_t pid;
    int to, from;
    amx_id id;
};

struct scene {
    enum kind kind;
    struct amx_pool pool;
    amx_t *h;
    amx_id me;
    void *region;
    size_t len;
    int fd;
    char where[40]; /* how a neighbour finds it */
    struct neighbour n[3];
};

static struct answer ask(struct neighbour *n, enum op op, uint64_t a, uint64_t b)
{
    struct order o = {op, a, b};
    struct answer r;
    must(write(n->to, &o, sizeof o) == sizeof o);
    must(read(n->from, &r, sizeof r) == sizeof r);
    return r;
}

static struct neighbour hire(const struct scene *s, unsigned number)
{
    int down[2], up[2];
    char a[16], b[16], c[16];
    struct neighbour n;
    must(pipe(down) == 0 && pipe(up) == 0);
    must(fcntl(down[1], F_SETFD, FD_CLOEXEC) == 0 && fcntl(up[0], F_SETFD, FD_CLOEXEC) == 0);
    snprintf(a, sizeof a, "%d", down[0]);
    snprintf(b, sizeof b, "%d", up[1]);
    snprintf(c, sizeof c, "%u", number);
    n.pid = spawn(s->kind == BLOCK ? "block" : "memfd", s->where, a, b, c, (char *)NULL);
    n.to = down[1];
    n.from = up[0];
    close(down[0]);
    close(up[1]);
    n.id = ask(&n, ID, 0, 0).value;
    return n;
}

static void forget(struct neighbour *n)
{
    close(n->to);
    close(n->from);
    n->pid = 0;
}

/* Takes slots, fills them, looks at them again, frees them; `turns` of it, or until it is killed. */
static int churn(struct amx_pool *p, amx_id me, uint64_t seed, uint64_t turns)
{
    struct rng dice = rng_make(seed, me);
    struct {
        amx_slot s;
        uint64_t key;
    } held[24];
    uint64_t n = 0;
    for (uint64_t t = 0; t < turns || n > 0; t++) {
        void *m;
        size_t bytes;
        if (t < turns && n < 24 && rng_below(&dice, 2)) {
            amx_slot s;
            int e = amx_pool_alloc(p, rng_below(&dice, 256), me, &s);
            must(e == AMX_OK || e == AMX_E_NOMEM);
            if (e)
                continue;
            held[n].s = s;
            held[n].key = rng_next(&dice);
            must_ok(amx_pool_ptr(p, s, &m, &bytes));
            stamp(m, bytes, held[n++].key);
        } else if (n > 0) {
            uint64_t i = rng_below(&dice, n);
            must_ok(amx_pool_ptr(p, held[i].s, &m, &bytes));
            must(stamped(m, bytes, held[i].key));
            must_ok(amx_pool_free(p, held[i].s));
            must(amx_pool_free(p, held[i].s) != AMX_OK);
            held[i] = held[--n];
        }
    }
    return 0;
}

/* test block|memfd WHERE IN OUT NUMBER */
static int neighbour(char **argv)
{
    int in = atoi(argv[3]), out = atoi(argv[4]);
    struct amx_pool p;
    amx_id me = strtoull(argv[5], NULL, 10);
    struct order o;
    if (!strcmp(argv[1], "block")) {
        struct amx_options opts = AMX_OPTIONS_INIT;
        amx_t *h;
        amx_ref block;
        opts.flags = AMX_F_NO_RECOVER;
        must_ok(amx_attach(argv[2], &opts, &h));
        must_ok(amx_root_get(h, 0, &block));
        must_ok(amx_pool_attach_block(h, block, BASE, NULL, &p));
        me = amx_handle_id(h);
    } else {
        int fd = atoi(argv[2]);
        off_t len = lseek(fd, 0, SEEK_END);
        must(len > 0);
        must_ok(amx_pool_attach(map_of(fd, (size_t)len), (size_t)len, BASE, NULL, &p));
    }
    while (read(in, &o, sizeof o) == sizeof o) {
        struct answer r = {0, 0};
        void *m = NULL;
        size_t bytes = 0;
        if (o.op == STAMP || o.op == VERIFY)
            r.e = amx_pool_ptr(&p, o.a, &m, &bytes);
        switch (o.op) {
        case ID:
            r.value = me;
            break;
        case ALLOC:
            r.e = amx_pool_alloc(&p, o.a, me, &r.value);
            break;
        case FREE:
            r.e = amx_pool_free(&p, o.a);
            break;
        case STAMP:
            if (!r.e)
                stamp(m, bytes, o.b);
            break;
        case VERIFY:
            r.value = !r.e && stamped(m, bytes, o.b);
            break;
        case PUBLISH:
            r.e = amx_pool_publish(&p, o.a);
            break;
        case ADOPT:
            r.e = amx_pool_adopt(&p, o.a, me);
            break;
        case GIVE:
            r.e = amx_pool_give(&p, o.a, o.b, &r.value);
            break;
        case STATE:
            r.e = amx_pool_set_state(&p, o.a, (uint32_t)o.b);
            break;
        case CHURN: /* answers when it begins, and when it is done */
            must(write(out, &r, sizeof r) == sizeof r);
            r.e = churn(&p, me, o.a, o.b);
            break;
        }
        must(write(out, &r, sizeof r) == sizeof r);
    }
    return 0;
}

static void open_scene(struct scene *s, enum kind kind, const struct amx_pool_config *k, int neighbours)
{
    *s = (struct scene){.kind = kind, .len = BASE + bytes_for(k), .fd = -1, .me = 1};
    if (kind == BLOCK) {
        struct amx_options o = AMX_OPTIONS_INIT;
        amx_ref block;
        o.size = UINT64_C(1) << 20;
        o.flags = AMX_F_NO_RECOVER;
        snprintf(s->where, sizeof s->where, "%s", test_name());
        ok(amx_create(s->where, &o, &s->h));
        ok(amx_alloc_aligned(s->h, 64, s->len, &block));
        ok(amx_publish(s->h, block));
        ok(amx_pool_init_block(s->h, block, BASE, k, &s->pool));
        ok(amx_root_set(s->h, 0, block));
        s->me = amx_handle_id(s->h);
    } else {
        s->fd = memfd_of(s->len);
        must(fcntl(s->fd, F_SETFD, 0) == 0); /* for them */
        snprintf(s->where, sizeof s->where, "%d", s->fd);
        s->region = map_of(s->fd, s->len);
        ok(amx_pool_init(s->region, s->len, BASE, k, &s->pool));
    }
    for (int i = 0; i < neighbours; i++)
        s->n[i] = hire(s, (unsigned)i + 2);
}

static void close_scene(struct scene *s)
{
    for (int i = 0; i < 3; i++)
        if (s->n[i].pid) {
            pid_t pid = s->n[i].pid;
            forget(&s->n[i]); /* it reads the end and goes */
            wait_ok(pid);
        }
    if (s->kind == BLOCK) {
        amx_ref block;
        ok(amx_recover(s->h, 0, NULL, NULL, NULL));
        pool_all_free(&s->pool, AMX_POOL_SELF);
        ok(amx_root_get(s->h, 0, &block));
        ok(amx_pool_remove(&s->pool));
        ok(amx_free(s->h, block));
        close_free(s->h);
        ok(amx_unlink(s->where, NULL));
    } else {
        pool_all_free(&s->pool, s->me);
        must(munmap(s->region, s->len) == 0 && close(s->fd) == 0);
    }
}

/* Kills it and recovers what it had; answers how many slots came back. */
static uint64_t bury(struct scene *s, struct neighbour *n)
{
    uint64_t freed = 0, before = used_all(&s->pool);
    wait_killed(n->pid);
    forget(n);
    if (s->kind == BLOCK) {
        struct amx_recovery r = {.struct_size = sizeof r};
        ok(amx_recover(s->h, 0, NULL, NULL, &r));
        freed = before - used_all(&s->pool);
        assert_true(r.words >= freed);
    } else {
        ok(amx_pool_recover(&s->pool, n->id, &freed, NULL));
    }
    return freed;
}

static enum kind kind_of(void **state)
{
    return **(enum kind **)state;
}

/* --- The conformance tests, with a process for a neighbour --------------------------------------------------------- */

static void published_tests(void **state)
{
    struct scene s;
    struct answer r, all[ALL];
    amx_slot mine;
    void *p;
    size_t n;
    open_scene(&s, kind_of(state), &three, 2);
    /* 1, 7, 11: he allocates and writes, we read and free */
    r = ask(&s.n[0], ALLOC, 40, 0);
    ok(r.e);
    assert_int_equal(AMX_SLOT_CLASS(r.value), 0);
    ok(ask(&s.n[0], STAMP, r.value, 77).e);
    ok(amx_pool_ptr(&s.pool, r.value, &p, &n));
    assert_true(n == 64 && stamped(p, n, 77));
    amx_id owner;
    ok(amx_pool_owner(&s.pool, r.value, &owner));
    assert_int_equal(owner, s.n[0].id);
    ok(amx_pool_free(&s.pool, r.value));
    /* 6: free already, for everybody; 5: the next life has the next generation */
    fails(AMX_E_DOUBLE_FREE, ask(&s.n[0], FREE, r.value, 0).e);
    fails(AMX_E_DOUBLE_FREE, ask(&s.n[1], FREE, r.value, 0).e);
    /* 2, 3, 4, 8: classes, exhaustion, too big */
    for (int i = 0; i < ALL; i++) {
        all[i] = ask(&s.n[i & 1], ALLOC, 64, 0);
        ok(all[i].e);
        assert_int_equal(AMX_SLOT_CLASS(all[i].value), i < 8 ? 0 : i < 12 ? 1 : 2);
        if (all[i].value >> 32 == r.value >> 32)
            assert_int_equal((uint32_t)all[i].value, (uint32_t)r.value + 1);
        ok(ask(&s.n[i & 1], STAMP, all[i].value, (uint64_t)i).e);
    }
    fails(AMX_E_NOMEM, ask(&s.n[0], ALLOC, 1, 0).e);
    fails(AMX_E_NOMEM, amx_pool_alloc(&s.pool, 1, s.me, &mine));
    fails(AMX_E_TOO_BIG, ask(&s.n[1], ALLOC, 4097, 0).e);
    fails(AMX_E_STALE, ask(&s.n[0], FREE, r.value, 0).e);
    for (int i = 0; i < ALL; i++)
        assert_int_equal(ask(&s.n[!(i & 1)], VERIFY, all[i].value, (uint64_t)i).value, 1);
    /* 9: one falls, the other's stay */
    assert_int_equal(bury(&s, &s.n[0]), ALL / 2);
    for (int i = 1; i < ALL; i += 2)
        assert_int_equal(ask(&s.n[1], VERIFY, all[i].value, (uint64_t)i).value, 1);
    assert_int_equal(used_all(&s.pool), ALL / 2);
    for (int i = 0; i < ALL; i++)
        fails(i & 1 ? AMX_OK : AMX_E_DOUBLE_FREE, ask(&s.n[1], FREE, all[i].value, 0).e);
    close_scene(&s);
}

/* The sender dies: its receiver, another process, reads on. The receiver dies: the slot comes back. */
static void ownership_moves(void **state)
{
    struct scene s;
    open_scene(&s, kind_of(state), &three, 2);
    amx_slot a = ask(&s.n[0], ALLOC, 200, 0).value, b = ask(&s.n[0], ALLOC, 200, 0).value;
    ok(ask(&s.n[0], STAMP, a, 1).e);
    ok(ask(&s.n[0], STAMP, b, 2).e);
    struct answer given = ask(&s.n[0], GIVE, a, s.n[1].id);
    ok(given.e);
    ok(ask(&s.n[0], PUBLISH, b, 0).e);
    assert_int_equal(bury(&s, &s.n[0]), 0);
    assert_int_equal(ask(&s.n[1], VERIFY, given.value, 1).value, 1);
    fails(AMX_E_STALE, ask(&s.n[1], FREE, a, 0).e);
    ok(ask(&s.n[1], ADOPT, b, 0).e);
    assert_int_equal(ask(&s.n[1], VERIFY, b, 2).value, 1);
    assert_int_equal(bury(&s, &s.n[1]), 2);
    assert_int_equal(used_all(&s.pool), 0);
    close_scene(&s);
}

struct told {
    struct amx_kept kept[4];
    int n;
};

static int hear(const struct amx_kept *k, void *ctx)
{
    struct told *t = ctx;
    if (k->how == AMX_KEPT_WORD && t->n < 4)
        t->kept[t->n++] = *k;
    return 0;
}

/* A segment's own: kept slots are told with their reference, and who is dead the kernel knows. */
static void kept_in_a_segment(void **state)
{
    struct scene s;
    struct told t = {.n = 0};
    struct amx_recovery r = {.struct_size = sizeof r};
    amx_slot again, out;
    uint32_t st;
    (void)state;
    open_scene(&s, BLOCK, &three, 2);
    amx_slot a = ask(&s.n[0], ALLOC, 1000, 0).value, b = ask(&s.n[0], ALLOC, 1000, 0).value;
    ok(ask(&s.n[0], STATE, a, 3000).e);
    ok(ask(&s.n[0], STATE, b, 60).e);
    amx_slot mine;
    ok(amx_pool_alloc(&s.pool, 10, AMX_POOL_SELF, &mine));
    must(kill(s.n[1].pid, SIGSTOP) == 0); /* stopped is alive */
    ok(amx_recover(s.h, 0, hear, &t, &r));
    assert_int_equal(r.words, 0);
    wait_killed(s.n[0].pid);
    struct amx_pool_check_result c = {.struct_size = sizeof c};
    ok(amx_pool_check(&s.pool, NULL, NULL, &c));
    ok(amx_recover(s.h, 0, hear, &t, &r));
    assert_int_equal(r.words, 2);
    assert_int_equal(t.n, 1);
    ok(amx_pool_kept(&s.pool, &t.kept[0], &again));
    assert_int_equal(again, a);
    ok(amx_pool_get_state(&s.pool, a, &st));
    assert_int_equal(st, 3000);
    t.kept[0].slot = 1000;
    fails(AMX_E_INVAL, amx_pool_kept(&s.pool, &t.kept[0], &again));
    t.kept[0].slot = 8;
    fails(AMX_E_STALE, amx_pool_kept(&s.pool, &t.kept[0], &again));
    t.kept[0].object++;
    fails(AMX_E_INVAL, amx_pool_kept(&s.pool, &t.kept[0], &again));
    fails(AMX_E_DOUBLE_FREE, amx_pool_free(&s.pool, b));
    fails(AMX_E_PEER_DEAD, amx_pool_give(&s.pool, mine, s.n[0].id, &out)); /* and it is ours still */
    assert_int_equal(out, mine);
    ok(amx_pool_give(&s.pool, mine, s.n[1].id, &out)); /* stopped: he gets it when he goes on */
    must(kill(s.n[1].pid, SIGCONT) == 0);
    ok(ask(&s.n[1], FREE, out, 0).e);
    ok(amx_pool_free(&s.pool, a));
    forget(&s.n[0]);
    close_scene(&s);
}

static const struct amx_pool_config mixed = {.n = 2, .cls = {{64, 3}, {AMX_POOL_ARENA, 5}}};

static uint64_t live_blocks(const amx_t *h)
{
    struct amx_stats st = {.struct_size = sizeof st};
    ok(amx_stat(h, &st));
    return st.live_blocks;
}

/* Slots of the arena between processes: messages above every class, each in a block that goes where its slot goes. */
static void large_messages(void **state)
{
    struct scene s;
    void *p;
    size_t n;
    (void)state;
    open_scene(&s, BLOCK, &mixed, 2);
    const uint64_t before = live_blocks(s.h);
    struct answer a = ask(&s.n[0], ALLOC, 70000, 0), b = ask(&s.n[0], ALLOC, 100, 0), c = ask(&s.n[0], ALLOC, 5000, 0),
                  d = ask(&s.n[0], ALLOC, 5000, 0);
    ok(a.e | b.e | c.e | d.e);
    ok(ask(&s.n[0], STAMP, a.value, 1).e);
    ok(ask(&s.n[0], STAMP, b.value, 2).e);
    struct answer given = ask(&s.n[0], GIVE, a.value, s.n[1].id);
    ok(given.e);
    ok(ask(&s.n[0], PUBLISH, b.value, 0).e);
    ok(ask(&s.n[0], STATE, d.value, AMX_STATE_KEPT).e);
    assert_int_equal(live_blocks(s.h), before + 4);
    assert_int_equal(bury(&s, &s.n[0]), 1); /* c falls, with its block */
    assert_int_equal(live_blocks(s.h), before + 3);
    assert_int_equal(ask(&s.n[1], VERIFY, given.value, 1).value, 1);
    ok(ask(&s.n[1], ADOPT, b.value, 0).e);
    assert_int_equal(ask(&s.n[1], VERIFY, b.value, 2).value, 1);
    ok(amx_pool_ptr(&s.pool, given.value, &p, &n));
    assert_true(n >= 70000 && stamped(p, n, 1));
    ok(amx_pool_free(&s.pool, given.value)); /* by anybody */
    fails(AMX_E_DOUBLE_FREE, ask(&s.n[1], FREE, given.value, 0).e);
    ok(ask(&s.n[1], FREE, d.value, 0).e);
    assert_int_equal(bury(&s, &s.n[1]), 1);
    assert_int_equal(live_blocks(s.h), before);
    close_scene(&s);
}

static int count_last(const struct amx_kept *k, void *ctx)
{
    *(int *)ctx += k->last != 0;
    return 0;
}

/* A slot's block is no gift that its receiver was not told of: who is asked what to do with those does not free it. */
static void not_handed(void **state)
{
    struct scene s;
    int last = 0;
    (void)state;
    open_scene(&s, BLOCK, &mixed, 1);
    struct answer a = ask(&s.n[0], ALLOC, 5000, 0);
    ok(a.e);
    ok(ask(&s.n[0], PUBLISH, a.value, 0).e);
    wait_killed(s.n[0].pid);
    forget(&s.n[0]);
    ok(amx_recover(s.h, 0, count_last, &last, NULL));
    assert_int_equal(last, 0);
    ok(amx_pool_free(&s.pool, a.value));
    close_scene(&s);
}

/* Workers on slots of both kinds; one is killed again and again. Blocks and slots are as many as before. */
static void large_killed_in_the_middle(void **state)
{
    struct scene s;
    struct rng dice = rng_make(test_seed(), 5);
    uint64_t back = 0;
    (void)state;
    open_scene(&s, BLOCK, &mixed, 1);
    const uint64_t before = live_blocks(s.h);
    for (int round = 0; round < scaled(30); round++) {
        s.n[1] = hire(&s, 3);
        ok(ask(&s.n[0], CHURN, (uint64_t)round, (uint64_t)scaled(2000)).e);
        ok(ask(&s.n[1], CHURN, (uint64_t)round, UINT64_MAX).e);
        usleep((useconds_t)rng_below(&dice, 3000)); /* where it is killed is left to chance */
        uint64_t was = 0;
        wait_killed(s.n[1].pid);
        ok(amx_pool_used_by(&s.pool, s.n[1].id, &was));
        forget(&s.n[1]);
        ok(amx_recover(s.h, 0, NULL, NULL, NULL));
        back += was;
        struct answer done;
        must(read(s.n[0].from, &done, sizeof done) == sizeof done);
        ok(done.e);
        ok(amx_recover(s.h, 0, NULL, NULL, NULL)); /* what lay in a sector that he was in */
        assert_int_equal(used_all(&s.pool), 0);
        assert_int_equal(live_blocks(s.h), before);
        pool_all_free(&s.pool, s.me);
    }
    note("%ld kills: %" PRIu64 " slots came back", scaled(30), back);
    assert_true(back > 0);
    close_scene(&s);
}

/* A dead process has all slots. In a segment the next allocation gets them back by itself, unless recovery is the user's;
 * elsewhere nobody can know that he is dead. */
static void dead_hog(void **state)
{
    const enum kind kind = kind_of(state);
    for (int manual = 0; manual < (kind == BLOCK ? 2 : 1); manual++)
        for (int large = 0; large < (kind == BLOCK ? 2 : 1); large++) {
            struct scene s;
            struct amx_pool mine;
            amx_slot slot;
            amx_t *h = NULL;
            const size_t size = large ? 100 : 1;
            open_scene(&s, kind, large ? &mixed : &three, 1);
            struct amx_options o = AMX_OPTIONS_INIT;
            o.flags = manual ? AMX_F_NO_RECOVER : 0;
            mine = s.pool;
            if (kind == BLOCK) {
                amx_ref block;
                ok(amx_attach(s.where, &o, &h));
                ok(amx_root_get(h, 0, &block));
                ok(amx_pool_attach_block(h, block, BASE, NULL, &mine));
            }
            const amx_id me = kind == BLOCK ? AMX_POOL_SELF : 1;
            while (!ask(&s.n[0], ALLOC, size, 0).e)
                ;
            fails(AMX_E_NOMEM, amx_pool_alloc(&mine, size, me, &slot)); /* he lives */
            must(kill(s.n[0].pid, SIGSTOP) == 0);
            fails(AMX_E_NOMEM, amx_pool_alloc(&mine, size, me, &slot)); /* stopped is alive */
            wait_killed(s.n[0].pid);
            if (manual || kind != BLOCK) {
                fails(AMX_E_NOMEM, amx_pool_alloc(&mine, size, me, &slot));
                ok(kind == BLOCK ? amx_recover(h, 0, NULL, NULL, NULL)
                                 : amx_pool_recover(&mine, s.n[0].id, NULL, NULL));
            }
            ok(amx_pool_alloc(&mine, size, me, &slot));
            ok(amx_pool_free(&mine, slot));
            assert_int_equal(used_all(&s.pool), 0);
            forget(&s.n[0]);
            if (h)
                ok(amx_close(h));
            close_scene(&s);
        }
}

/* A quota holds for each process, and its death takes what it had off. */
static void quota(void **state)
{
    enum { Q = 5 };
    struct scene s;
    open_scene(&s, kind_of(state), &three, 2);
    ok(amx_pool_set_quota(&s.pool, Q));
    for (int round = 0; round < 2; round++) {
        struct answer r = {0, 0};
        int n = 0;
        amx_slot last = 0;
        while (!(r = ask(&s.n[0], ALLOC, 1, 0)).e) {
            last = r.value;
            n++;
        }
        fails(AMX_E_QUOTA, r.e);
        assert_int_equal(n, Q);
        ok(ask(&s.n[0], GIVE, last, s.n[1].id).e); /* not refused, and off his */
        ok(ask(&s.n[0], ALLOC, 1, 0).e);
        assert_int_equal(bury(&s, &s.n[0]), Q);
        s.n[0] = hire(&s, 2);
    }
    ok(amx_pool_set_quota(&s.pool, 0));
    assert_int_equal(bury(&s, &s.n[1]), 2);
    close_scene(&s);
}

/* Three work; one is killed again and again in the middle of it, one stopped for a while. Nobody's payload is touched,
 * nothing is lost. */
static void killed_in_the_middle(void **state)
{
    struct scene s;
    struct rng dice = rng_make(test_seed(), 3);
    const uint64_t turns = (uint64_t)scaled(20000);
    uint64_t back = 0;
    open_scene(&s, kind_of(state), &busy, 2);
    for (int round = 0; round < scaled(40); round++) {
        s.n[2] = hire(&s, 4);
        ok(ask(&s.n[0], CHURN, (uint64_t)round, turns / 4).e);
        ok(ask(&s.n[1], CHURN, (uint64_t)round, turns / 4).e);
        ok(ask(&s.n[2], CHURN, (uint64_t)round, UINT64_MAX).e);
        must(kill(s.n[1].pid, SIGSTOP) == 0);
        usleep((useconds_t)rng_below(&dice, 3000));
        must(kill(s.n[1].pid, SIGCONT) == 0);
        uint64_t was = 0;
        pid_t pid = s.n[2].pid;
        wait_killed(pid);
        ok(amx_pool_used_by(&s.pool, s.n[2].id, &was));
        forget(&s.n[2]);
        if (s.kind == BLOCK) {
            struct amx_recovery r = {.struct_size = sizeof r};
            ok(amx_recover(s.h, 0, NULL, NULL, &r));
            assert_int_equal(r.words, was);
        } else {
            uint64_t freed;
            ok(amx_pool_recover(&s.pool, s.n[2].id, &freed, NULL));
            assert_int_equal(freed, was);
        }
        back += was;
        for (int i = 0; i < 2; i++) {
            struct answer done;
            must(read(s.n[i].from, &done, sizeof done) == sizeof done);
            ok(done.e);
        }
        assert_int_equal(used_all(&s.pool), 0);
        pool_all_free(&s.pool, s.me);
    }
    note("%ld kills: %" PRIu64 " slots came back", scaled(40), back);
    assert_true(back > 0);
    close_scene(&s);
}

int main(int argc, char **argv)
{
    static const enum kind memfd = MEMFD, block = BLOCK;
#define EACH(f)                                                                                                        \
    {#f " (memfd)", f, NULL, NULL, (void *)(uintptr_t)&memfd},                                                         \
    {                                                                                                                  \
#f " (block)", f, NULL, NULL, (void *)(uintptr_t)&block                                                        \
    }
    const struct CMUnitTest tests[] = {
        EACH(published_tests),
        EACH(ownership_moves),
        EACH(killed_in_the_middle),
        EACH(dead_hog),
        EACH(quota),
        cmocka_unit_test(large_messages),
        cmocka_unit_test(not_handed),
        cmocka_unit_test(large_killed_in_the_middle),
        cmocka_unit_test(kept_in_a_segment),
    };
    if (argc > 1) {
        must(argc == 6);
        return neighbour(argv);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
