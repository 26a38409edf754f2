/* SPDX-License-Identifier: Apache-2.0 */
/* The tests that were published with the AtomicMatrix, with the expectations that are right. The two long ones are in
 * tests/stress/seven_test.c and tests/stress/endurance_test.c. */
#include "tests/arena_kit.h"

static void expect_indices(uint64_t size, uint32_t fl, uint32_t sl)
{
    uint32_t f = 99;
    uint32_t s = 99;

    amx_raw_find_indices(size, &f, &s);
    assert_int_equal(f, fl);
    assert_int_equal(s, sl);
}

static void mapping(void **state)
{
    (void)state;
    /* the published four */
    expect_indices(16, 0, 1);
    expect_indices(64, 0, 4);
    expect_indices(128, 7, 0);
    expect_indices(1024, 10, 0);
    /* the seams around them */
    expect_indices(0, 0, 0);
    expect_indices(15, 0, 0);
    expect_indices(112, 0, 7);
    expect_indices(127, 0, 7);
    expect_indices(143, 7, 0);
    expect_indices(144, 7, 1);
    expect_indices(255, 7, 7);
    expect_indices(256, 8, 0);
    expect_indices(1023, 9, 7);
    expect_indices(1151, 10, 0);
    expect_indices(1152, 10, 1);
    expect_indices(UINT64_C(1) << 31, 31, 0);
    /* no clamp at (31, 7): sizes are 64 bits wide */
    expect_indices(UINT64_C(1) << 32, 32, 0);
    expect_indices(UINT64_C(15) << 40, 43, 7);
    expect_indices(UINT64_MAX, 63, 7);
}

static void mapping_never_falls(void **state)
{
    uint32_t last = 0;

    (void)state;
    for (uint64_t size = 0; size < 1 << 20; size += 16) {
        uint32_t fl;
        uint32_t sl;

        amx_raw_find_indices(size, &fl, &sl);
        assert_true(sl < 8);
        assert_true(fl * 8 + sl >= last);
        last = fl * 8 + sl;
    }
}

static void bootstrap(void **state)
{
    amx_t *h = new_segment(1 << 20);
    struct amx_segment_info info = info_of(h);
    uint32_t fl = 99;
    uint32_t sl = 99;
    uint32_t whole_fl;
    uint32_t whole_sl;

    (void)state;
    /* The matrix is not empty: it holds one block per sector, in the list of the sector's size. */
    amx_raw_find_indices(info.sector_size, &whole_fl, &whole_sl);
    assert_int_equal(amx_raw_find_suitable(h, 0, 0, &fl, &sl), AMX_OK);
    assert_int_equal(fl, whole_fl);
    assert_int_equal(sl, whole_sl);
    assert_int_equal(amx_raw_find_suitable(h, whole_fl, whole_sl, &fl, &sl), AMX_OK);
    assert_int_equal(amx_raw_find_suitable(h, whole_fl, whole_sl + 1, &fl, &sl), AMX_E_NOMEM);
    assert_int_equal(stat_of(h).free_bytes, info.data_bytes);
    assert_int_equal(stat_of(h).free_blocks, info.sectors);
    assert_int_equal(amx_raw_total_size(h), 1 << 20);
    assert_int_equal(amx_raw_first_block(h), info.data_offset);
    close_free(h);
}

static void splitting(void **state)
{
    amx_t *h = new_segment(1 << 20);
    uint64_t offset = 0;
    struct amx_block block;
    struct amx_block next;

    (void)state;
    assert_int_equal(amx_raw_allocate(h, 64, &offset), AMX_OK);
    ok(amx_trim(h)); /* what was carved ahead goes back */
    block = look(h, offset);
    assert_int_equal(block.bytes, 64 + AMX_HEADER_SPACE);
    assert_int_equal(block.state, AMX_STATE_ALLOCATED);
    assert_int_equal(block.owner_id, amx_handle_id(h));
    assert_int_equal(block.sectors, 1);
    assert_int_equal(offset_of(block.ref), offset);
    next = look(h, offset + block.bytes);
    assert_int_equal(next.state, AMX_STATE_FREE);
    assert_true(next.bytes >= 32);
    assert_int_equal(next.ref, AMX_REF_NONE);
    assert_int_equal(next.owner_id, 0);
    check_clean(h);
    ok(amx_free(h, block.ref));
    close_free(h);
}

/* Five neighbours a..e of 64 bytes in a segment in which nothing else is allocated. */
static void five(amx_t *h, uint64_t off[5])
{
    amx_ref ref[64];
    struct row r = {ref, 64};
    size_t a;

    for (size_t i = 0; i < 64; i++)
        ref[i] = alloc(h, 64);
    qsort(ref, 64, sizeof *ref, by_value);
    a = side_by_side(h, &r, 0, 5);
    for (size_t i = 0; i < 64; i++) {
        if (i >= a && i < a + 5) {
            off[i - a] = offset_of(ref[i]);
            mark(h, ref[i], ref[i]);
        } else {
            ok(amx_free(h, ref[i]));
        }
    }
    ok(amx_trim(h));
    for (size_t i = 1; i < 5; i++)
        must(off[i] == off[i - 1] + 80);
}

static void expect_merged(amx_t *h, const uint64_t off[5])
{
    struct amx_block b;

    for (int i = 0; i < 5; i += 4) { /* a and e */
        b = look(h, off[i]);
        assert_int_equal(b.state, AMX_STATE_ALLOCATED);
        assert_int_equal(b.bytes, 80);
        verify(h, b.ref, b.ref);
    }
    b = look(h, off[1]);
    assert_int_equal(b.state, AMX_STATE_FREE);
    assert_int_equal(b.bytes, 240);
    assert_int_equal(amx_raw_query(h, off[2], &b), AMX_E_WILD);
    assert_int_equal(amx_raw_query(h, off[3], &b), AMX_E_WILD);
    assert_int_equal(amx_raw_coalesce(h, off[1]), AMX_E_DOUBLE_FREE);
    assert_int_equal(amx_raw_ack(h, off[1]), AMX_E_DOUBLE_FREE);
    assert_int_equal(amx_raw_free_at(h, off[1]), AMX_E_DOUBLE_FREE);
    /* memory that is free already, whether a block begins there still or not */
    assert_int_equal(amx_raw_coalesce(h, off[3]), AMX_E_DOUBLE_FREE);
    assert_int_equal(amx_raw_coalesce(h, off[2] + 16), AMX_E_DOUBLE_FREE);
    check_clean(h);
}

/*
 * The published expectation is 448 for 48-byte headers: it adds d twice, because d is coalesced twice without its size
 * being taken back, and so reaches over the living e (b..e are 3 * 112 = 336 apart). With 16-byte headers the true
 * size is 3 * (64 + 16) = 240, and the second coalesce of d is an error.
 */
static void merging(void **state)
{
    amx_t *h = new_segment(1 << 20);
    uint64_t off[5];

    (void)state;
    five(h, off);
    for (size_t i = 1; i < 4; i++)
        assert_int_equal(amx_raw_free_at(h, off[i]), AMX_OK);
    assert_int_equal(amx_trim(h), AMX_OK);
    assert_int_equal(amx_heal(h), AMX_OK);
    expect_merged(h, off);
    assert_int_equal(amx_raw_free_at(h, off[0]), AMX_OK);
    assert_int_equal(amx_raw_free_at(h, off[4]), AMX_OK);
    close_free(h);
}

/* The same by the published calls: ack and coalesce, in every order of the three. */
static void merging_by_ack(void **state)
{
    static const int order[6][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};

    (void)state;
    for (int k = 0; k < 6; k++) {
        amx_t *h = new_segment(1 << 20);
        uint64_t off[5];

        five(h, off);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(amx_raw_ack(h, off[order[k][i]]), AMX_OK);
            assert_int_equal(look(h, off[order[k][i]]).state, AMX_STATE_ACKED);
            assert_int_equal(amx_raw_ack(h, off[order[k][i]]), AMX_E_DOUBLE_FREE);
        }
        assert_int_equal(amx_raw_coalesce(h, off[order[k][2]]), AMX_OK); /* drains the queue: all three */
        expect_merged(h, off);
        assert_int_equal(amx_raw_ack(h, off[0]), AMX_OK);
        assert_int_equal(amx_raw_ack(h, off[4]), AMX_OK);
        close_free(h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapping),   cmocka_unit_test(mapping_never_falls),
        cmocka_unit_test(bootstrap), cmocka_unit_test(splitting),
        cmocka_unit_test(merging),   cmocka_unit_test(merging_by_ack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
