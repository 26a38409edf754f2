/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics by class, sector, handle and peer: they add up to the whole, and what handles count is what they did. */
#include "tests/arena_kit.h"

#include "arena.h"
#include "sector.h"

enum { GROUPS = 4096 };
struct list {
    uint32_t n;
    struct amx_group g[GROUPS];
};

static int append(const struct amx_group *g, void *ctx)
{
    struct list *l = ctx;
    assert_true(l->n < GROUPS);
    assert_int_equal(g->struct_size, sizeof *g);
    l->g[l->n++] = *g;
    return 0;
}

static const struct list *by(const amx_t *h, enum amx_by what)
{
    static struct list l;
    l.n = 0;
    ok(amx_stat_by(h, what, append, &l));
    return &l;
}

static const struct amx_group *one(const struct list *l, uint32_t index)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (l->g[i].index == index)
            return &l->g[i];
    return NULL;
}

static void sums(const amx_t *h)
{
    struct amx_stats st = {.struct_size = sizeof st};
    ok(amx_stat(h, &st));
    for (int what = AMX_BY_CLASS; what <= AMX_BY_PEER; what++) {
        const struct list *l = by(h, (enum amx_by)what);
        struct amx_group all = {.struct_size = sizeof all};
        for (uint32_t i = 0; i < l->n; i++) {
            const struct amx_group *g = &l->g[i];
            assert_true(i == 0 || g->index > l->g[i - 1].index || what == AMX_BY_PEER);
            all.live_blocks += g->live_blocks;
            all.live_bytes += g->live_bytes;
            all.free_blocks += g->free_blocks;
            all.free_bytes += g->free_bytes;
            all.cached_blocks += g->cached_blocks;
            all.cached_bytes += g->cached_bytes;
            all.acked_blocks += g->acked_blocks;
            all.acked_bytes += g->acked_bytes;
            if (g->largest_free > all.largest_free)
                all.largest_free = g->largest_free;
        }
        assert_int_equal(all.live_blocks, st.live_blocks);
        assert_int_equal(all.live_bytes, st.live_bytes);
        assert_int_equal(all.free_blocks, st.free_blocks);
        assert_int_equal(all.free_bytes, st.free_bytes);
        assert_int_equal(all.cached_blocks, st.cached_blocks);
        assert_int_equal(all.cached_bytes, st.cached_bytes);
        assert_int_equal(all.acked_blocks, st.acked_blocks);
        assert_int_equal(all.acked_bytes, st.acked_bytes);
        assert_true(all.largest_free <= st.largest_free + 16); /* that of whole sectors in a row is a block in none */
    }
}

/* Any calls, and after each few the sums. */
static void add_up(void **state)
{
    struct rng r = rng_make(test_seed(), 0);
    amx_ref ref[200];
    unsigned n = 0;
    amx_t *h = new_segment(1 << 20), *h2;
    (void)state;
    ok(amx_share(h, &h2));
    for (unsigned turn = 0; turn < 3000; turn++) {
        amx_t *who = rng_below(&r, 2) ? h : h2;
        if (n < 200 && rng_below(&r, 5) < 3) {
            size_t size = rng_below(&r, 20) ? rng_below(&r, 500) : rng_below(&r, 40000);
            if (!amx_alloc(who, size, &ref[n]) && rng_below(&r, 4) == 0)
                ok(amx_publish(who, ref[n]));
            n += rng_below(&r, 8) != 0; /* else it leaks, which is fine here */
        } else if (n) {
            uint64_t k = rng_below(&r, n);
            int e = amx_free(who, ref[k]);
            assert_true(e == AMX_OK || e == AMX_E_OFFSET || e == AMX_E_STALE);
            ref[k] = ref[--n];
        }
        if (turn % 100 == 0)
            sums(h);
    }
    ok(amx_trim(h));
    sums(h2);
    ok(amx_close(h));
}

static int stop(const struct amx_group *g, void *ctx)
{
    (void)g;
    ++*(int *)ctx;
    return 77;
}

static void classes(void **state)
{
    amx_t *h = new_segment(1 << 20);
    amx_ref ref;
    (void)state;
    ok(amx_alloc(h, 100, &ref));   /* 8 units */
    ok(amx_alloc(h, 20000, &ref)); /* more than a sector */
    const struct list *l = by(h, AMX_BY_CLASS);
    uint64_t live = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        const struct amx_group *g = &l->g[i];
        assert_true(g->min_bytes <= g->max_bytes);
        assert_true(i == 0 || g->min_bytes > l->g[i - 1].max_bytes);
        assert_true(!g->live_blocks ||
                    (g->live_bytes >= g->live_blocks * g->min_bytes && g->live_bytes <= g->live_blocks * g->max_bytes));
        live += g->live_blocks;
    }
    assert_int_equal(live, 2);
    assert_int_equal(l->g[l->n - 1].live_blocks, 1);
    assert_true(l->g[l->n - 1].min_bytes > 8 << 10);
    const struct amx_group *c = one(l, 8);
    assert_non_null(c);
    assert_int_equal(c->min_bytes, 128);
    assert_int_equal(c->live_bytes, 128);
    int calls = 0;
    assert_int_equal(amx_stat_by(h, AMX_BY_SECTOR, stop, &calls), 77);
    assert_int_equal(calls, 1);
    fails(AMX_E_INVAL, amx_stat_by(h, (enum amx_by)4, stop, &calls));
    fails(AMX_E_INVAL, amx_stat_by(h, AMX_BY_PEER, NULL, NULL));
    fails(AMX_E_INVAL, amx_stat_by(NULL, AMX_BY_PEER, stop, &calls));
    ok(amx_close(h));
}

/* What a handle counts, against what it was made to do. */
static void counted(void **state)
{
    amx_t *h = new_segment(4 << 20), *h2;
    amx_ref ref[64], large;
    (void)state;
    ok(amx_share(h, &h2));
    uint32_t tag = h->tag, tag2 = h2->tag;
    for (int i = 0; i < 64; i++)
        ok(amx_alloc(h, 48, &ref[i]));
    for (int i = 0; i < 64; i++)
        ok(amx_free(h, ref[i]));
    for (int i = 0; i < 5; i++) { /* from the cache */
        ok(amx_alloc(h, 48, &ref[i]));
        ok(amx_free(h, ref[i]));
    }
    ok(amx_trim(h)); /* tells the hits */
    const struct amx_group *g = one(by(h, AMX_BY_HANDLE), tag);
    assert_non_null(g);
    assert_true(g->id == amx_handle_id(h));
    assert_int_equal(g->peer, h->seg->peer);
    assert_int_equal(g->hits + g->refills, 69);
    assert_true(g->hits >= 5 && g->refills > 0 && g->flushes > 0);
    assert_int_equal(g->taken_bytes, g->returned_bytes);
    assert_true(g->peak_bytes >= 64 * 64 && g->peak_bytes <= g->taken_bytes);
    assert_int_equal(g->large, 0);
    uint64_t peak = g->peak_bytes;

    ok(amx_alloc(h, 100000, &large));
    g = one(by(h, AMX_BY_HANDLE), tag);
    assert_int_equal(g->large, 1);
    assert_int_equal(g->taken_bytes - g->returned_bytes, g->live_bytes);
    assert_int_equal(g->peak_bytes, g->live_bytes > peak ? g->live_bytes : peak);
    assert_int_equal(g->live_blocks, 1);
    ok(amx_free(h2, large)); /* given back by another: he has returned more than he took */
    g = one(by(h, AMX_BY_HANDLE), tag2);
    assert_true(g->returned_bytes > g->taken_bytes);
    assert_int_equal(g->peak_bytes, 0);
    g = one(by(h, AMX_BY_PEER), h->seg->peer);
    assert_non_null(g);
    assert_int_equal(g->taken_bytes, g->returned_bytes);
    assert_int_equal(g->large, 1);
    ok(amx_unshare(h2));
    ok(amx_share(h, &h2)); /* the entry's next tenant goes on where it was: it takes over its blocks too */
    ok(amx_close(h));
}

/* A sector that somebody is inside of, and a damaged one. */
static void unseen(void **state)
{
    amx_t *h = new_segment(1 << 20);
    struct amxi_sec x;
    static struct list l;
    (void)state;
    ok(amxi_sec_enter(h->seg, 3, h->tag, &x));
    l.n = 0;
    fails(AMX_E_PARTIAL, amx_stat_by(h, AMX_BY_SECTOR, append, &l));
    assert_int_equal(l.n, h->seg->g.sectors);
    for (uint32_t i = 0; i < l.n; i++)
        assert_int_equal(l.g[i].held, i == 3);
    amxi_sec_leave(&x);
    amxi_st64_rlx(&amxi_block(h->seg, (uint64_t)5 << h->seg->g.su_log2)->w1, AMXI_W1(1, 0));
    l.n = 0;
    fails(AMX_E_CORRUPT, amx_stat_by(h, AMX_BY_SECTOR, append, &l));
    for (uint32_t i = 0; i < l.n; i++)
        assert_int_equal(l.g[i].bad, i == 5);
    ok(amx_close(h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add_up),
        cmocka_unit_test(classes),
        cmocka_unit_test(counted),
        cmocka_unit_test(unseen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
