/* SPDX-License-Identifier: Apache-2.0 */
/* A damaged sector is named by check; it is repaired, or quarantined whole when its chain is broken; and the rest of the
 * segment goes on: every free byte of it can be had, every payload is intact. */
#include "tests/arena_kit.h"

#include "arena.h"

struct hurt { /* a free block in sector `sector`, at unit k of the data */
    struct amxi_seg *s;
    struct amxi_block_body *b;
    struct amxi_free_body *f;
    struct amxi_sector_body *books;
    uint64_t k;
    uint32_t sector, size, entry;
};

static void resized(const struct hurt *x, uint32_t size)
{
    amxi_st64_rlx(&x->b->w1, AMXI_W1(size, 0));
}
static void zero(const struct hurt *x)
{
    resized(x, 0);
}
static void one(const struct hurt *x)
{
    resized(x, 1);
}
static void overlapping(const struct hurt *x)
{
    resized(x, x->size + 5);
}
static void beyond(const struct hurt *x)
{
    resized(x, x->s->g.su);
}
static void huge(const struct hurt *x)
{
    resized(x, 0xfffff);
}
static void no_front(const struct hurt *x)
{
    amxi_st32_rlx(&x->books->first, UINT32_MAX);
}
static void far_front(const struct hurt *x)
{
    amxi_st32_rlx(&x->books->first, x->s->g.su - 1);
}
static void self_linked(const struct hurt *x)
{
    amxi_st32_rlx(&x->f->next, x->entry);
    amxi_st32_rlx(&x->f->prev, x->entry);
}
static void wild_link(const struct hurt *x)
{
    amxi_st32_rlx(&x->f->next, UINT32_MAX);
}
static void wild_heads(const struct hurt *x)
{
    for (uint32_t i = 0; i < x->s->g.bins; i++)
        amxi_st32_rlx(&x->books->head[i], 7 * i);
}
static void lying_lists(const struct hurt *x)
{
    amxi_st32_rlx(&x->books->fl, UINT32_MAX);
    for (size_t i = 0; i < sizeof x->books->sl; i++)
        amxi_st8_rlx(&x->books->sl[i], 0xff);
}
static void wild_queue(const struct hurt *x)
{
    amxi_st64_rlx(amxi_acked(x->s, x->sector), AMXI_Q_WORD(UINT32_MAX, 3, 9));
}
static void ring_of_one(const struct hurt *x) /* a queued block that is its own successor */
{
    amxi_st64_rlx(&x->b->w0, AMXI_W0(AMX_STATE_ACKED, 1, 5));
    amxi_st64_rlx(&x->b->w1, AMXI_W1(x->size, x->entry));
    amxi_st64_rlx(amxi_acked(x->s, x->sector), AMXI_Q_WORD(x->entry, 1, 9));
}

static const struct {
    const char *name;
    void (*what)(const struct hurt *x);
    bool quarantined;
} damages[] = {{"size 0", zero, true},
               {"size 1", one, true},
               {"overlapping", overlapping, true},
               {"beyond the sector", beyond, true},
               {"huge", huge, true},
               {"no front", no_front, true},
               {"front at the end", far_front, true},
               {"self-linked", self_linked, false},
               {"wild link", wild_link, false},
               {"wild heads", wild_heads, false},
               {"lying lists", lying_lists, false},
               {"wild queue", wild_queue, false},
               {"ring of one", ring_of_one, false}};

struct names {
    uint32_t sector;
    int in, elsewhere;
};

static int name(const struct amx_finding *f, void *ctx)
{
    struct names *n = ctx;
    if (f->grade != AMX_GRADE_NOTE || !strcmp(f->rule, "quarantine"))
        *(f->sector == n->sector ? &n->in : &n->elsewhere) += 1;
    return 0;
}

/* The sector, and no other, is named. */
static void named(const amx_t *h, uint32_t sector)
{
    struct amx_check_result r = {.struct_size = sizeof r};
    struct names n = {sector, 0, 0};
    int e = amx_check(h, name, &n, &r);
    assert_true(e == AMX_OK || e == AMX_E_CORRUPT);
    assert_true(n.in > 0);
    assert_int_equal(n.elsewhere, 0);
}

static void sector_fails(void **state)
{
    (void)state;
    for (size_t d = 0; d < sizeof damages / sizeof *damages; d++) {
        amx_t *h = new_segment(UINT64_C(256) << 10);
        struct amx_stats s = {.struct_size = sizeof s};
        struct row r = fill(h, 500);
        uint32_t sectors = info_of(h).sectors;
        uint64_t there = 0, others = 0, got = 0;
        size_t gone = r.n / 2 - (r.n / 2) % 3 + 1;
        struct hurt x = {.s = h->seg};
        x.k = (r.ref[gone] >> 32) - h->first_pu;
        x.sector = (uint32_t)(x.k >> h->seg->g.su_log2);
        x.b = amxi_block(h->seg, x.k);
        x.f = (struct amxi_free_body *)(void *)x.b;
        x.books = amxi_sector(h->seg, x.sector);
        x.entry = (uint32_t)(x.k & h->su_mask) + 1;
        for (size_t i = 1; i < r.n; i += 3) { /* holes everywhere; the last one made is the first of its list */
            *(look(h, offset_of(r.ref[i])).sector == x.sector ? &there : &others) += 1;
            if (i != gone)
                free_home(h, &r, i);
        }
        free_home(h, &r, gone);
        check_clean(h);
        x.size = AMXI_W1_SIZE(amxi_ld64_rlx(&x.b->w1));
        damages[d].what(&x);
        named(h, x.sector);

        amx_ref ref[1024];
        uint64_t n = 0;
        for (; n < 1024 && !amx_alloc(h, 500, &ref[n]); n++)
            got += look(h, offset_of(ref[n])).sector != x.sector;
        if (got != others || n > others + there)
            fail_msg("%s: %d of %d blocks elsewhere, %d in all", damages[d].name, (int)got, (int)others, (int)n);
        int e = amx_stat(h, &s);
        assert_true(e == AMX_OK || e == AMX_E_CORRUPT || e == AMX_E_PARTIAL);
        if (s.sectors_bad != damages[d].quarantined)
            fail_msg("%s: %d sectors are quarantined", damages[d].name, (int)s.sectors_bad);
        if (damages[d].quarantined) {
            named(h, x.sector);
            assert_true(n <= others + there - 1);
        } else {
            check_clean(h);
            assert_int_equal(n, others + there);
        }
        for (size_t i = 0; i < r.n; i++) /* in the quarantined sector too */
            if (r.ref[i])
                verify(h, r.ref[i], offset_of(r.ref[i]));
        while (n)
            ok(amx_free(h, ref[--n]));
        free_row(h, &r);
        (void)amx_trim(h);
        (void)amx_heal(h);
        e = amx_stat(h, &s);
        assert_true(e == AMX_OK || e == AMX_E_CORRUPT || e == AMX_E_PARTIAL);
        assert_int_equal(s.sectors_whole, sectors - damages[d].quarantined);
        amx_ref large = AMX_REF_NONE;
        uint64_t half = (uint64_t)(sectors / 2 - 1) << h->seg->g.sector_log2;
        ok(amx_alloc(h, half, &large)); /* beside the damage is room for a large block */
        ok(amx_free(h, large));
        ok(amx_close(h));
    }
}

/* A header in the last unit of the data: behind it is nothing that a pointer could be handed out to. */
static void last_unit(void **state)
{
    (void)state;
    amx_t *h = new_segment(UINT64_C(64) << 10);
    uint32_t k = h->units - 1;
    amxi_a64 *bits = amxi_bitmap(h->seg, 0) + k / 64;
    void *p;
    amxi_st64_rlx(bits, amxi_ld64_rlx(bits) | UINT64_C(1) << (k & 63));
    amxi_st64_rlx(&amxi_block(h->seg, k)->w0, AMXI_W0(AMX_STATE_ALLOCATED, h->tag, 7));
    fails(AMX_E_STALE, amx_ptr(h, AMXI_REF(k + h->first_pu, AMXI_W0(0, 0, 7)), &p));
    ok(amx_close(h));
}

/* A large block whose length has been damaged: no call reads, writes or grows into what lies behind it. */
static void length_of_a_large_block(void **state)
{
    (void)state;
    amx_t *h = new_segment(UINT64_C(1) << 20);
    size_t sector = info_of(h).sector_size, n = 2 * sector + 500, out;
    amx_ref large, behind, other;
    const void *p;
    static uint8_t zeros[1 << 20];
    ok(amx_alloc(h, n, &large));
    ok(amx_alloc(h, 3 * sector, &behind));
    mark(h, behind, offset_of(behind));
    uint64_t k = (large >> 32) - h->first_pu;
    uint32_t i = (uint32_t)(k >> h->seg->g.su_log2);
    struct amxi_sector_body *b = amxi_sector(h->seg, i);
    uint32_t len = amxi_ld32_rlx(&b->ext_len), tail = amxi_ld32_rlx(&b->ext_tail);
    assert_true(len > 1 && tail > 0);
    const uint32_t wrong[][2] = {{len + 1, tail}, {len + 1, 0},    {len + 2, 0}, {len + 4, 0},
                                 {len, tail + 1}, {len, tail * 2}, {1, tail},    {len - 1, tail}};
    for (size_t d = 0; d < sizeof wrong / sizeof *wrong; d++) {
        amxi_st32_rlx(&b->ext_len, wrong[d][0]);
        amxi_st32_rlx(&b->ext_tail, wrong[d][1]);
        fails(AMX_E_CORRUPT, amx_usable(h, large, &out));
        fails(AMX_E_CORRUPT, amx_read(h, large, 1, &p));
        fails(AMX_E_CORRUPT, amx_write(h, large, zeros, n));
        fails(AMX_E_CORRUPT, amx_resize(h, large, n + sector, &other));
        verify(h, behind, offset_of(behind));
    }
    amxi_st32_rlx(&b->ext_len, len);
    amxi_st32_rlx(&b->ext_tail, tail);
    ok(amx_write(h, large, zeros, n));
    verify(h, behind, offset_of(behind));
    ok(amx_free(h, large));
    ok(amx_free(h, behind));
    check_clean(h);
    ok(amx_close(h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sector_fails),
        cmocka_unit_test(length_of_a_large_block),
        cmocka_unit_test(last_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
