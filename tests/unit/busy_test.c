/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sector that somebody is in means to all others: they pass it, nobody waits, and "busy" is not "no memory".
 * The one who is in there is another handle of this process that never moves: its name is put into the sector's word.
 */
#include "tests/arena_kit.h"

#include "layout.h"

#define MIB (UINT64_C(1) << 20)

struct stage {
    amx_t *h, *holder;
    uint32_t tag; /* of the holder */
    uint32_t sectors, sector_size;
    uint64_t data;
};

static struct stage stage_make(void)
{
    struct stage g = {.h = new_segment(MIB)};
    struct amx_segment_info info = info_of(g.h);
    amx_ref ref;

    g.holder = new_handle(g.h);
    ref = alloc(g.holder, 64);
    g.tag = look(g.h, offset_of(ref)).owner;
    must_ok(amx_free(g.holder, ref));
    must_ok(amx_trim(g.holder));
    g.sectors = info.sectors;
    g.sector_size = info.sector_size;
    g.data = info.data_offset;
    return g;
}

static void stage_end(struct stage *g)
{
    ok(amx_unshare(g->holder));
    close_free(g->h);
}

/* The sector's words follow one another with the stride that the head's directory tells. */
static amxi_a64 *word_of(struct stage *g, uint32_t sector)
{
    struct amxi_head_body *head = amx_raw_base(g->h);

    for (uint32_t i = 0; i < head->regions_used; i++)
        if (head->region[i].kind == AMXI_R_SECTORS) {
            uint64_t at = head->region[i].offset + (uint64_t)sector * head->region[i].stride;
            struct amxi_sector_body *body = (void *)((char *)amx_raw_base(g->h) + at);

            return &body->word;
        }
    must(false);
    return NULL;
}

static void hold(struct stage *g, uint32_t sector)
{
    amxi_a64 *word = word_of(g, sector);
    uint64_t w = amxi_ld64_acq(word);

    must(AMXI_S_KIND(w) == AMXI_K_IDLE);
    amxi_st64_rel(word, AMXI_S_WORD(AMXI_K_HELD, g->tag, AMXI_S_EPOCH(w) + 1));
}

static void let_go(struct stage *g, uint32_t sector)
{
    amxi_a64 *word = word_of(g, sector);
    uint64_t w = amxi_ld64_acq(word);

    must(AMXI_S_KIND(w) == AMXI_K_HELD && AMXI_S_WHO(w) == g->tag);
    amxi_st64_rel(word, AMXI_S_WORD(AMXI_K_IDLE, 0, AMXI_S_EPOCH(w)));
}

static void hold_all(struct stage *g, bool on)
{
    for (uint32_t s = 0; s < g->sectors; s++)
        if (on)
            hold(g, s);
        else
            let_go(g, s);
}

static void allocations_say_busy(void **state)
{
    struct stage g = stage_make();
    amx_ref ref = 77;
    amx_ref many[4] = {77, 77, 77, 77};
    uint64_t offset = 77;
    size_t got = 77;
    int rc;

    (void)state;
    hold_all(&g, true);
    fails(AMX_E_BUSY, amx_alloc(g.h, 0, &ref));
    fails(AMX_E_BUSY, amx_alloc(g.h, 64, &ref));
    fails(AMX_E_BUSY, amx_alloc(g.h, g.sector_size - 16, &ref));
    fails(AMX_E_BUSY, amx_alloc(g.h, 5 * g.sector_size, &ref));
    fails(AMX_E_BUSY, amx_alloc(g.h, info_of(g.h).max_request, &ref));
    fails(AMX_E_BUSY, amx_zalloc(g.h, 64, &ref));
    fails(AMX_E_BUSY, amx_alloc_aligned(g.h, 4096, 64, &ref));
    fails(AMX_E_BUSY, amx_alloc_aligned(g.h, 4096, 3 * g.sector_size, &ref));
    fails(AMX_E_BUSY, amx_raw_allocate(g.h, 64, &offset));
    fails(AMX_E_BUSY, amx_alloc_many(g.h, 64, 4, many, &got));
    assert_int_equal(got, 0);
    rc = amx_alloc_wait(g.h, 64, 0, &ref);
    assert_true(rc == AMX_E_BUSY || rc == AMX_E_TIMEOUT);
    fails(AMX_E_TIMEOUT, amx_alloc_wait(g.h, 64, 2000000, &ref));
    assert_int_equal(ref, 77);
    assert_int_equal(many[0], 77);
    fails(AMX_E_TOO_BIG, amx_alloc(g.h, info_of(g.h).max_request + 1, &ref)); /* busy or not */
    hold_all(&g, false);
    ok(amx_alloc(g.h, 64, &ref));
    ok(amx_free(g.h, ref));
    stage_end(&g);
}

/* One held sector hides no more than itself. */
static void the_others_go_on(void **state)
{
    struct stage g = stage_make();
    size_t n = g.sector_size - AMX_HEADER_SPACE;
    amx_ref *ref = calloc(g.sectors, sizeof *ref);
    amx_ref none;

    (void)state;
    assert_non_null(ref);
    for (uint32_t s = 0; s < g.sectors; s += 13) {
        hold(&g, s);
        for (uint32_t k = 0; k + 1 < g.sectors; k++) {
            ref[k] = alloc(g.h, n);
            mark(g.h, ref[k], k);
            assert_int_not_equal(look(g.h, offset_of(ref[k])).sector, s);
        }
        fails(AMX_E_BUSY, amx_alloc(g.h, n, &none));
        for (uint32_t k = 0; k + 1 < g.sectors; k++) {
            verify(g.h, ref[k], k);
            ok(amx_free(g.h, ref[k]));
        }
        let_go(&g, s);
    }
    free(ref);
    stage_end(&g);
}

/* A run of sectors for a large block is found on either side of a held one. */
static void large_blocks_go_round(void **state)
{
    struct stage g = stage_make();
    uint32_t middle = g.sectors / 2;
    amx_ref left;
    amx_ref right;
    amx_ref none;
    size_t most = (size_t)(middle - 1) * g.sector_size;

    (void)state;
    hold(&g, middle);
    fails(AMX_E_BUSY, amx_alloc(g.h, (size_t)(middle + 2) * g.sector_size, &none));
    left = alloc(g.h, most);
    right = alloc(g.h, most);
    mark(g.h, left, 1);
    mark(g.h, right, 2);
    let_go(&g, middle);
    check_clean(g.h);
    verify(g.h, left, 1);
    verify(g.h, right, 2);
    ok(amx_free(g.h, left));
    ok(amx_free(g.h, right));
    stage_end(&g);
}

static void frees_wait_in_the_queue(void **state)
{
    struct stage g = stage_make();
    amx_ref ref[100];
    uint32_t sector;
    struct amx_stats s;

    (void)state;
    for (int i = 0; i < 100; i++)
        ref[i] = alloc(g.h, 200);
    ok(amx_trim(g.h));
    for (int i = 0; i < 100; i++) {
        sector = look(g.h, offset_of(ref[i])).sector;
        if (AMXI_S_KIND(amxi_ld64_acq(word_of(&g, sector))) == AMXI_K_IDLE)
            hold(&g, sector);
        mark(g.h, ref[i], ref[i]);
    }
    for (int i = 0; i < 100; i++) { /* each is freed, at once and for good, whoever holds its sector */
        verify(g.h, ref[i], ref[i]);
        if (i & 1)
            ok(amx_raw_ack(g.h, offset_of(ref[i])));
        else
            ok(amx_free(g.h, ref[i]));
        fails(AMX_E_DOUBLE_FREE, amx_free(g.h, ref[i]));
    }
    fails(AMX_E_PARTIAL, amx_trim(g.h));
    fails(AMX_E_PARTIAL, amx_heal(g.h));
    fails(AMX_E_BUSY, amx_raw_coalesce(g.h, offset_of(ref[99])));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(look(g.h, offset_of(ref[i])).state, AMX_STATE_ACKED);
        fails(AMX_E_DOUBLE_FREE, amx_free(g.h, ref[i]));
    }
    for (uint32_t k = 0; k < g.sectors; k++)
        if (AMXI_S_KIND(amxi_ld64_acq(word_of(&g, k))) == AMXI_K_HELD)
            let_go(&g, k);
    s = stat_of(g.h);
    assert_int_equal(s.acked_blocks, 100);
    assert_int_equal(s.live_blocks, 0);
    check_clean(g.h);
    ok(amx_heal(g.h));
    assert_int_equal(stat_of(g.h).acked_blocks, 0);
    stage_end(&g);
}

/* A full queue is drained by the one who fills it: after the 65th ack nothing waits any more. */
static void a_full_queue_is_drained(void **state)
{
    struct stage g = stage_make();
    struct row r = fill(g.h, 16);
    uint32_t sector = look(g.h, offset_of(r.ref[0])).sector;
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < r.n && n < 65; i++)
        if (look(g.h, offset_of(r.ref[i])).sector == sector) {
            ok(amx_raw_ack(g.h, offset_of(r.ref[i])));
            r.ref[i] = AMX_REF_NONE;
            n++;
            if (n < 65)
                assert_int_equal(stat_of(g.h).acked_blocks, n);
        }
    assert_int_equal(n, 65);
    assert_true(stat_of(g.h).acked_blocks <= 1);
    free_row(g.h, &r);
    stage_end(&g);
}

/* A large block ends in a held sector's neighbour, or is freed while the sector behind its cut is held. */
static void a_large_block_is_freed_beside_a_held_sector(void **state)
{
    struct stage g = stage_make();

    (void)state;
    for (int round = 0; round < 50; round++) {
        amx_ref large = alloc(g.h, 3 * g.sector_size + 1000);
        uint32_t tail = look(g.h, offset_of(large)).sector + 3;

        mark(g.h, large, 5);
        hold(&g, tail);
        verify(g.h, large, 5);
        ok(amx_free(g.h, large));
        let_go(&g, tail);
        check_clean(g.h); /* a cut whose block is gone is no damage */
        ok(amx_heal(g.h));
        assert_int_equal(stat_of(g.h).free_bytes, stat_of(g.h).data_bytes);
    }
    stage_end(&g);
}

static int count_blocks(const struct amx_block *b, void *ctx)
{
    must(b->bytes > 0);
    ++*(long *)ctx;
    return 0;
}

static void looking_at_held_sectors(void **state)
{
    struct stage g = stage_make();
    struct row r = fill(g.h, 500);
    struct amx_stats s = {.struct_size = sizeof s};
    struct amx_check_result c = {.struct_size = sizeof c};
    long blocks = 0;
    int rc;

    (void)state;
    hold(&g, 3);
    rc = amx_walk(g.h, count_blocks, &blocks);
    assert_true(rc == AMX_OK || rc == AMX_E_PARTIAL);
    assert_true(blocks >= (long)(r.n - 20));
    ok(amx_stat(g.h, &s));
    assert_int_equal(s.sectors_held, 1);
    assert_int_equal(s.free_bytes + s.live_bytes + s.cached_bytes + s.acked_bytes + s.lost_bytes + s.unseen_bytes,
                     s.data_bytes);
    assert_int_equal(s.lost_bytes, 0);
    ok(amx_check(g.h, complain, &g, &c));
    assert_int_equal(c.corrupt, 0);
    let_go(&g, 3);
    check_clean(g.h);
    free_row(g.h, &r);
    stage_end(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_say_busy),    cmocka_unit_test(the_others_go_on),
        cmocka_unit_test(large_blocks_go_round),   cmocka_unit_test(frees_wait_in_the_queue),
        cmocka_unit_test(a_full_queue_is_drained), cmocka_unit_test(a_large_block_is_freed_beside_a_held_sector),
        cmocka_unit_test(looking_at_held_sectors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
