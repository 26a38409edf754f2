/* SPDX-License-Identifier: Apache-2.0 */
/* The walk tells each block once, and the statistics account for every byte: at rest, in the middle of others' work,
 * and of a damaged segment. */
#include "tests/look_kit.h"

#include "amx_raw.h"

enum { LIST = 4096 };
struct list {
    uint32_t n;
    struct amx_block b[LIST];
};

static int append(const struct amx_block *b, void *ctx)
{
    struct list *l = ctx;
    assert_true(l->n < LIST);
    l->b[l->n++] = *b;
    return 0;
}

static struct list *list_new(void)
{
    struct list *l = calloc(1, sizeof *l);
    assert_non_null(l);
    return l;
}

static struct amx_stats stat_of(const amx_t *h)
{
    struct amx_stats st = {.struct_size = sizeof st};
    ok(amx_stat(h, &st));
    assert_int_equal(st.free_bytes + st.live_bytes + st.cached_bytes + st.acked_bytes + st.lost_bytes + st.unseen_bytes,
                     st.data_bytes);
    return st;
}

/* --- The scene ------------------------------------------------------------------------------------------------------- */

static void expect(const struct image *m, const struct amx_block *b, uint32_t sector, uint32_t u, uint64_t units,
                   uint32_t state, uint32_t owner)
{
    uint64_t unit = (uint64_t)sector * m->s.g.su + u, offset = m->s.g.region[AMXI_R_DATA].offset + unit * 16;
    bool live = state == 1 || state >= 49;
    assert_int_equal(b->offset, offset);
    assert_int_equal(b->bytes, units * 16);
    assert_int_equal(b->state, state);
    assert_int_equal(b->owner, owner);
    assert_int_equal(b->owner_id, owner == 1 ? 5 << 12 | 1 : owner == 2 ? 6 << 12 | 2 : 0);
    assert_int_equal(b->sector, sector);
    assert_int_equal(b->sectors, (u + units - 1) / m->s.g.su + 1);
    if (state != AMX_STATE_FREE)
        assert_int_equal(b->generation, 1000 + unit);
    assert_int_equal(b->ref, live ? (offset / 16 + 1) << 32 | (1000 + unit) : 0);
}

static void each_block(void **state)
{
    (void)state;
    struct image m;
    struct list *l = list_new();
    scene(&m);
    ok(amx_walk(&m.h, append, l));
    uint32_t su = m.s.g.su, k = 0, u = 0;
    expect(&m, &l->b[k++], 0, 0, su, 0, 0);
    for (size_t i = 0; i < sizeof mix / sizeof *mix; i++) {
        uint32_t units = mix[i].units ? mix[i].units : su - u;
        expect(&m, &l->b[k++], 1, u, units, mix[i].state, mix[i].owner);
        u += units;
    }
    expect(&m, &l->b[k++], 2, 0, 3 * su + 40, 1, 1);
    expect(&m, &l->b[k++], 5, 40, 20, 1, 1);
    expect(&m, &l->b[k++], 5, 60, su - 60, 0, 0);
    for (u = 0; u < 15; u += 5)
        expect(&m, &l->b[k++], 6, u, 5, AMX_STATE_ACKED, 1);
    expect(&m, &l->b[k++], 6, 15, su - 15, 0, 0);
    expect(&m, &l->b[k++], 7, 3, su - 3, 2048, 0);
    expect(&m, &l->b[k++], 8, 0, su, 1, 2);
    for (uint32_t i = 9; i < m.s.g.sectors; i++)
        expect(&m, &l->b[k++], i, 0, su, 0, 0);
    assert_int_equal(l->n, k);
    free(l);
    image_free(&m);
}

static void numbers(void **state)
{
    (void)state;
    struct image m;
    scene(&m);
    uint64_t su = m.s.g.su, sectors = m.s.g.sectors;
    struct amx_stats st = stat_of(&m.h);
    assert_int_equal(st.struct_size, sizeof st);
    assert_int_equal(st.data_bytes, sectors * su * 16);
    assert_int_equal(st.live_bytes, 16 * (4 + 5 + 7 + 3 + su - MIX_END + 3 * su + 40 + 20 + su + su));
    assert_int_equal(st.cached_bytes, 16 * 6);
    assert_int_equal(st.acked_bytes, 16 * (8 + 9 + 15));
    assert_int_equal(st.lost_bytes, 0);
    assert_int_equal(st.unseen_bytes, 0);
    assert_int_equal(st.live_blocks, 9);
    assert_int_equal(st.cached_blocks, 1);
    assert_int_equal(st.acked_blocks, 5);
    assert_int_equal(st.free_blocks, 1 + 3 + 1 + 1 + sectors - 9);
    assert_int_equal(st.published_blocks, 2);
    assert_int_equal(st.kept_blocks, 3);
    assert_int_equal(st.large_blocks, 2);
    assert_int_equal(st.largest_free, 16 * ((sectors - 9) * su - 1)); /* the run at the end */
    assert_int_equal(st.sectors_whole, 1 + sectors - 9);
    assert_int_equal(st.sectors_large, 4);
    assert_int_equal(st.sectors_held, 0);
    assert_int_equal(st.sectors_bad, 0);
    image_free(&m);
}

/* A run of free sectors and the free front of the next one; one whole sector is a run too. */
static void largest(void **state)
{
    (void)state;
    struct image m;
    scene(&m);
    uint32_t su = m.s.g.su;
    static const struct piece busy[] = {{0, AMX_STATE_ALLOCATED, 1}};
    static const struct piece front[] = {{30, AMX_STATE_FREE, 0}, {0, AMX_STATE_ALLOCATED, 1}};
    for (uint32_t i = 9; i < m.s.g.sectors; i++)
        lay(&m, i, 0, busy, 1);
    assert_int_equal(stat_of(&m.h).largest_free, 16 * (su - 1)); /* sector 0 */
    lay(&m, 1, 0, front, 2);
    assert_int_equal(stat_of(&m.h).largest_free, 16 * (su + 30 - 1));
    lay(&m, 1, 0, busy, 1);
    lay(&m, 0, 0, busy, 1);
    assert_int_equal(stat_of(&m.h).largest_free, 16 * (su - 15 - 1)); /* the rest of sector 6 */
    for (uint32_t i = 0; i < m.s.g.sectors; i++) {
        kind(&m, i, AMXI_K_IDLE, 0);
        lay(&m, i, 0, busy, 1);
    }
    assert_int_equal(stat_of(&m.h).largest_free, 0);
    assert_int_equal(stat_of(&m.h).free_bytes, 0);

    /* a front whose large block is gone is free, if not yet a block */
    lay(&m, 3, 100, front, 2);
    struct amx_stats st = stat_of(&m.h);
    assert_int_equal(st.free_bytes, 130 * 16);
    assert_int_equal(st.free_blocks, 1);
    assert_int_equal(st.largest_free, 16 * (130 - 1));
    image_free(&m);
}

static void disturbed(void **state)
{
    (void)state;
    struct image m;
    struct list *all = list_new(), *l = list_new();
    scene(&m);
    uint32_t su = m.s.g.su;
    ok(amx_walk(&m.h, append, all));

    kind(&m, 1, AMXI_K_HELD, 2);
    fails(AMX_E_PARTIAL, amx_walk(&m.h, append, l));
    assert_int_equal(l->n, all->n - sizeof mix / sizeof *mix);
    struct amx_stats st = stat_of(&m.h);
    assert_int_equal(st.unseen_bytes, 16 * su);
    assert_int_equal(st.sectors_held, 1);
    kind(&m, 1, AMXI_K_IDLE, 0);

    /* the head of a large block is being freed: its sectors are not told, the one behind is, without the front */
    l->n = 0;
    kind(&m, 2, AMXI_K_HELD, 2);
    fails(AMX_E_PARTIAL, amx_walk(&m.h, append, l));
    assert_int_equal(l->n, all->n - 1);
    st = stat_of(&m.h);
    assert_int_equal(st.unseen_bytes, 16 * 3 * su);
    assert_int_equal(st.sectors_held, 3);
    kind(&m, 2, AMXI_K_HEAD, 0);

    /* the sector behind it is in use: the front of it is told with the large block */
    kind(&m, 5, AMXI_K_HELD, 2);
    st = stat_of(&m.h);
    assert_int_equal(st.unseen_bytes, 16 * (su - 40));
    assert_int_equal(st.large_blocks, 2);
    kind(&m, 5, AMXI_K_IDLE, 0);

    kind(&m, 8, AMXI_K_QUARANTINED, 0);
    l->n = 0;
    fails(AMX_E_CORRUPT, amx_walk(&m.h, append, l));
    assert_int_equal(l->n, all->n - 1);
    st = stat_of(&m.h);
    assert_int_equal(st.lost_bytes, 16 * su);
    assert_int_equal(st.sectors_bad, 1);
    kind(&m, 8, AMXI_K_IDLE, 0);

    /* a broken chain: what is in front of the break is told */
    amxi_st64_rlx(&amxi_block(&m.s, su + MIX_Q1)->w1, AMXI_W1(1, 0));
    l->n = 0;
    fails(AMX_E_CORRUPT, amx_walk(&m.h, append, l));
    assert_int_equal(l->n, all->n - sizeof mix / sizeof *mix + 6);
    assert_int_equal(stat_of(&m.h).lost_bytes, 16 * (su - MIX_Q1));

    /* a large block whose sectors are not its own */
    kind(&m, 3, AMXI_K_IDLE, 0);
    fails(AMX_E_CORRUPT, amx_walk(&m.h, append, l));
    stat_of(&m.h);
    amxi_st32_rlx(&amxi_sector(&m.s, 2)->ext_len, UINT32_MAX);
    fails(AMX_E_CORRUPT, amx_walk(&m.h, append, l));
    stat_of(&m.h);
    free(all);
    free(l);
    image_free(&m);
}

static int stop_at_third(const struct amx_block *b, void *ctx)
{
    (void)b;
    return ++*(int *)ctx == 3 ? -1000 : 0;
}

static void answers(void **state)
{
    (void)state;
    struct image m;
    struct amx_stats st = {.struct_size = sizeof st};
    int n = 0;
    scene(&m);
    fails(AMX_E_INVAL, amx_walk(NULL, stop_at_third, &n));
    fails(AMX_E_INVAL, amx_walk(&m.h, NULL, &n));
    fails(AMX_E_INVAL, amx_stat(NULL, &st));
    fails(AMX_E_INVAL, amx_stat(&m.h, NULL));
    fails(-1000, amx_walk(&m.h, stop_at_third, &n));
    assert_int_equal(n, 3);
    m.s.forked = true;
    fails(AMX_E_FORKED, amx_walk(&m.h, stop_at_third, &n));
    fails(AMX_E_FORKED, amx_stat(&m.h, &st));
    m.s.forked = false;
    st.struct_size = 7;
    fails(AMX_E_INVAL, amx_stat(&m.h, &st));
    st = (struct amx_stats){.struct_size = offsetof(struct amx_stats, lost_bytes), .lost_bytes = 99};
    ok(amx_stat(&m.h, &st));
    assert_int_equal(st.lost_bytes, 99);
    assert_true(st.live_bytes > 0);
    image_free(&m);
}

/* --- The arena's own segments -------------------------------------------------------------------------------------- */

static amx_t *segment(uint64_t size)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h;
    o.size = size;
    ok(amx_create_memfd("walk", &o, &h));
    return h;
}

static int worse_than_note(const struct amx_finding *f, void *ctx)
{
    (void)ctx;
    if (f->grade == AMX_GRADE_NOTE)
        return 0;
    print_error("sector %u offset %llu: %s: %s\n", f->sector, (unsigned long long)f->offset, f->rule, f->text);
    return 1;
}

/* Each block is told as its owner knows it, and nothing else is; the largest free request is what can be had. */
static void workload(void **state)
{
    (void)state;
    enum { MANY = 400 };
    struct rng r = rng_make(test_seed(), 1);
    amx_t *h = segment(1 << 20);
    amx_id id = amx_handle_id(h);
    static amx_ref ref[MANY];
    struct list *l = list_new();
    memset(ref, 0, sizeof ref);
    for (long round = 0; round < scaled(150); round++) {
        for (int k = 0; k < 100; k++) {
            amx_ref *p = &ref[rng_below(&r, MANY)];
            size_t n = rng_below(&r, 50) ? rng_below(&r, 3000) : rng_below(&r, 60000);
            if (*p)
                ok(amx_free(h, *p));
            *p = AMX_REF_NONE;
            int e = rng_below(&r, 2)   ? AMX_OK
                    : rng_below(&r, 4) ? amx_alloc(h, n, p)
                                       : amx_alloc_aligned(h, (size_t)1 << rng_below(&r, 13), n, p);
            assert_true(e == AMX_OK || e == AMX_E_NOMEM);
        }
        struct amx_check_result res = {.struct_size = sizeof res};
        ok(amx_check(h, worse_than_note, NULL, &res));
        assert_int_equal(res.busy, 0);

        uint64_t sum = 0, live = 0, end = 0;
        l->n = 0;
        ok(amx_walk(h, append, l));
        for (uint32_t k = 0; k < l->n; k++) {
            const struct amx_block *b = &l->b[k];
            assert_true(b->offset >= end);
            end = b->offset + b->bytes;
            sum += b->bytes;
            live += b->ref != 0;
            if (b->ref) {
                int mine = 0;
                size_t usable = 0;
                for (int i = 0; i < MANY; i++)
                    mine += ref[i] == b->ref;
                assert_int_equal(mine, 1);
                ok(amx_usable(h, b->ref, &usable));
                assert_true(usable <= b->bytes - 16);
            }
            assert_true(b->owner_id == (b->state == AMX_STATE_FREE ? 0 : id));
        }
        struct amx_stats st = stat_of(h);
        assert_int_equal(st.lost_bytes + st.unseen_bytes, 0);
        assert_int_equal(st.live_blocks, live);
        assert_true(sum <= st.data_bytes); /* gaps in front of aligned large blocks, fronts not yet collected */
        uint64_t mine = 0;
        for (int i = 0; i < MANY; i++)
            mine += ref[i] != 0;
        assert_int_equal(live, mine);

        ok(amx_trim(h));
        ok(amx_heal(h));
        st = stat_of(h);
        assert_int_equal(st.cached_bytes + st.acked_bytes, 0);
        amx_ref big;
        if (st.largest_free) {
            ok(amx_alloc(h, st.largest_free, &big));
            ok(amx_free(h, big));
        }
        int e = amx_alloc(h, st.largest_free + 16, &big);
        assert_true(e == AMX_E_NOMEM || e == AMX_E_TOO_BIG);
    }
    for (int i = 0; i < MANY; i++)
        if (ref[i])
            ok(amx_free(h, ref[i]));
    ok(amx_trim(h));
    ok(amx_heal(h));
    struct amx_stats st = stat_of(h);
    assert_int_equal(st.free_bytes, st.data_bytes);
    free(l);
    ok(amx_close(h));
}

/* --- Others at work -------------------------------------------------------------------------------------------------- */

struct storm {
    amx_t *h[3];
    uint64_t seed;
    int working;
};

static void worker(struct storm *s, int index)
{
    enum { MANY = 64 };
    struct rng r = rng_make(s->seed, (uint64_t)index);
    amx_t *h = s->h[index];
    amx_ref ref[MANY] = {0};
    for (long n = scaled(60000); n; n--) {
        amx_ref *p = &ref[rng_below(&r, MANY)];
        void *mem;
        if (!*p) {
            size_t want = rng_below(&r, 100) ? rng_below(&r, 2000) : rng_below(&r, 40000);
            int e = amx_alloc(h, want, p);
            must(e == AMX_OK || e == AMX_E_NOMEM || e == AMX_E_BUSY);
            if (e)
                continue;
            must_ok(amx_ptr(h, *p, &mem));
            memset(mem, (int)rng_next(&r), want); /* plain stores where headers were and will be */
        } else if (rng_below(&r, 8) == 0) {
            int e = amx_resize(h, *p, rng_below(&r, 3000), p);
            must(e == AMX_OK || e == AMX_E_NOMEM || e == AMX_E_BUSY);
        } else {
            must_ok(amx_free(h, *p));
            *p = AMX_REF_NONE;
        }
    }
    for (int i = 0; i < MANY; i++)
        if (ref[i])
            must_ok(amx_free(h, ref[i]));
    __atomic_sub_fetch(&s->working, 1, __ATOMIC_SEQ_CST);
}

static int in_order(const struct amx_block *b, void *ctx)
{
    struct amx_block *last = ctx;
    must(b->bytes >= 16 && b->state <= AMX_STATE_MAX);
    must(last->sector != b->sector || b->offset >= last->offset + last->bytes);
    must(b->sector >= last->sector);
    *last = *b;
    return 0;
}

static int corrupt_only(const struct amx_finding *f, void *ctx)
{
    (void)ctx;
    if (f->grade == AMX_GRADE_CORRUPT)
        fprintf(stderr, "sector %u offset %llu: %s: %s\n", f->sector, (unsigned long long)f->offset, f->rule, f->text);
    return f->grade == AMX_GRADE_CORRUPT;
}

/* Looks as long as the others work; nothing that they do may seem damage. */
static void storm_member(int index, void *ctx)
{
    struct storm *s = ctx;
    if (index < 2) {
        worker(s, index);
        return;
    }
    long looks = 0, blocks = 0, busy = 0;
    do {
        struct amx_check_result r = {.struct_size = sizeof r};
        must_ok(amx_check(s->h[2], corrupt_only, NULL, &r));
        struct amx_block last = {.offset = 0};
        int e = amx_walk(s->h[2], in_order, &last);
        must(e == AMX_OK || e == AMX_E_PARTIAL);
        struct amx_stats st = {.struct_size = sizeof st};
        must_ok(amx_stat(s->h[2], &st));
        must(st.lost_bytes == 0);
        must(st.free_bytes + st.live_bytes + st.cached_bytes + st.acked_bytes + st.unseen_bytes == st.data_bytes);
        looks++;
        blocks += (long)r.blocks;
        busy += (long)r.busy;
    } while (__atomic_load_n(&s->working, __ATOMIC_SEQ_CST));
    note("%ld looks at %ld blocks, %ld sectors busy", looks, blocks, busy);
}

static void during_work(void **state)
{
    (void)state;
    struct storm s = {.seed = test_seed(), .working = 2};
    s.h[0] = segment(512 << 10);
    ok(amx_share(s.h[0], &s.h[1]));
    struct amx_options o = AMX_OPTIONS_INIT; /* from another mapping, which cannot write */
    o.flags = AMX_F_READONLY;
    ok(amx_attach_fd(amx_fd(s.h[0]), &o, &s.h[2]));
    run_threads(3, storm_member, &s);
    ok(amx_close(s.h[2]));
    struct amx_check_result r = {.struct_size = sizeof r};
    ok(amx_check(s.h[0], worse_than_note, NULL, &r));
    ok(amx_close(s.h[0]));
}

/* A holder changes every block of a sector again and again: each picture is of before or of after. */
struct flicker {
    struct image m;
    int looking;
};

static int all_alike(const struct amx_block *b, void *ctx)
{
    uint32_t *state = ctx;
    if (b->sector != 9)
        return 0;
    must(b->bytes == 32 && (b->state == *state || *state == 0));
    *state = b->state;
    return 0;
}

static void flicker_member(int index, void *ctx)
{
    struct flicker *f = ctx;
    struct amxi_sector_body *b = amxi_sector(&f->m.s, 9);
    uint32_t su = f->m.s.g.su;
    /* from above the epoch that it was laid with: a word never comes back */
    for (uint64_t n = 10; index == 0 && __atomic_load_n(&f->looking, __ATOMIC_SEQ_CST); n++) {
        amxi_st64_rlx(&b->word, AMXI_S_WORD(AMXI_K_HELD, 1, n));
        for (uint32_t u = 0; u < su; u += 2)
            amxi_st64_rel(&amxi_block(&f->m.s, 9 * su + u)->w0, AMXI_W0(100 + n % 2, 0, 1));
        amxi_st64_rel(&b->word, AMXI_S_WORD(AMXI_K_IDLE, 0, n));
        for (uint32_t u = 0; u < 16 * su; u++)
            (void)amxi_ld64_acq(&b->word); /* outside for a while */
    }
    if (index == 0)
        return;
    long seen = 0;
    for (uint32_t before = 0, now; seen < scaled(200); before = now) { /* until the writer was seen to work */
        now = 0;
        int e = amx_walk(&f->m.h, all_alike, &now);
        must(e == AMX_OK || e == AMX_E_PARTIAL);
        seen += now != 0 && now != before;
    }
    __atomic_store_n(&f->looking, 0, __ATOMIC_SEQ_CST);
}

static void pictures(void **state)
{
    (void)state;
    struct flicker f = {.looking = 1};
    struct piece p[128];
    scene(&f.m);
    f.m.h.seg = &f.m.s;
    for (int i = 0; i < 128; i++)
        p[i] = (struct piece){2, 100, 0};
    lay(&f.m, 9, 0, p, 128);
    run_threads(2, flicker_member, &f);
    image_free(&f.m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_block),  cmocka_unit_test(numbers),  cmocka_unit_test(largest),
        cmocka_unit_test(disturbed),   cmocka_unit_test(answers),  cmocka_unit_test(workload),
        cmocka_unit_test(during_work), cmocka_unit_test(pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
