/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every defect that was found in the published code, replayed through our calls. Here: the first list, S1-S14, as far
 * as it shows in one thread; D1-D11 are in regression_more_test.c. What needs several threads (S4, S5, C1-C8) is in
 * tests/stress/regression_test.c, what needs processes (S11, S12) in tests/process/regression_test.c. The comment of
 * each test says what went wrong.
 */
#include "tests/arena_kit.h"

#include <sys/stat.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)

/* 48 bytes were taken for a header of 32. Ours takes what it needs: 16. */
static void s1_header_space(void **state)
{
    static const size_t sizes[] = {1, 16, 17, 48, 64, 100, 500};

    (void)state;
    assert_int_equal(AMX_HEADER_SPACE, 16);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        amx_t *h = new_segment(MIB);
        amx_ref ref = alloc(h, sizes[i]);
        size_t rounded = (sizes[i] + 15) / 16 * 16;
        struct amx_block b = look(h, offset_of(ref));

        assert_int_equal(b.bytes, rounded + 16);
        assert_int_equal(usable_of(h, ref), rounded);
        assert_ptr_equal(bytes_of(h, ref), (char *)amx_raw_base(h) + b.offset + 16);
        ok(amx_free(h, ref));
        close_free(h);
    }
}

/* free looked 32 bytes before the payload, the header was 48 before it: nothing was freed, or a wild size merged. */
static void s2_free_finds_the_header(void **state)
{
    amx_t *h = new_segment(MIB);

    (void)state;
    for (int way = 0; way < 3; way++)
        for (size_t n = 1; n < 6000; n = n * 3 / 2 + 1) {
            amx_ref ref = alloc(h, n);
            struct amx_block b = look(h, offset_of(ref));
            struct amx_stats before = stat_of(h);
            struct amx_stats after;

            memset(bytes_of(h, ref), 0xff, usable_of(h, ref));
            switch (way) {
            case 0:
                assert_int_equal(amx_free(h, ref), AMX_OK);
                break;
            case 1:
                assert_int_equal(amx_free_ptr(h, bytes_of(h, ref)), AMX_OK);
                break;
            default:
                assert_int_equal(amx_raw_free_at(h, b.offset), AMX_OK);
                break;
            }
            after = stat_of(h);
            assert_int_equal(after.live_bytes, before.live_bytes - b.bytes);
            assert_int_equal(after.live_blocks, before.live_blocks - 1);
        }
    close_free(h);
}

/* coalesce took the head of a list off instead of the block that it merged: one block vanished, another was in two
 * lists, and the next two allocations got the same memory. */
static void s3_merge_takes_the_very_block_off(void **state)
{
    amx_t *h = new_segment(64 * KIB);
    struct row r = fill(h, 96);
    size_t i = side_by_side(h, &r, 0, 6);
    uint64_t off[3] = {offset_of(r.ref[i]), offset_of(r.ref[i + 1]), offset_of(r.ref[i + 4])};
    amx_ref got[3];
    amx_ref none;
    struct amx_block b;

    (void)state;
    free_home(h, &r, i);
    free_home(h, &r, i + 4);
    free_home(h, &r, i + 1);
    assert_int_equal(look(h, off[0]).bytes, 2 * 112);
    assert_int_equal(look(h, off[2]).bytes, 112);
    assert_int_equal(amx_raw_query(h, off[1], &b), AMX_E_WILD);
    check_clean(h);
    for (int k = 0; k < 3; k++)
        got[k] = alloc(h, 96);
    assert_int_equal(amx_alloc(h, 96, &none), AMX_E_NOMEM);
    qsort(got, 3, sizeof *got, by_value);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(offset_of(got[k]), off[k]);
        mark(h, got[k], off[k]);
    }
    r.ref[i] = got[0];
    r.ref[i + 1] = got[1];
    r.ref[i + 4] = got[2];
    free_row(h, &r);
    close_free(h);
}

/* Who attached had 0 for the first block's offset. */
static void s6_attach_knows_the_first_block(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *twin = attach_again(h);
    struct amx_block b;

    (void)state;
    assert_true(amx_raw_first_block(twin) > 0);
    assert_int_equal(amx_raw_first_block(twin), amx_raw_first_block(h));
    b = look(twin, amx_raw_first_block(twin));
    assert_int_equal(b.state, AMX_STATE_FREE);
    assert_int_equal(b.bytes, info_of(twin).sector_size);
    ok(amx_close(twin));
    close_free(h);
}

/* The "merged" block counted d twice and reached over the living e (seed_test has the published numbers). */
static void s7_merge_ends_at_the_live_neighbour(void **state)
{
    amx_t *h = new_segment(64 * KIB);
    struct row r = fill(h, 64);
    size_t i = side_by_side(h, &r, 0, 5);
    uint64_t b = offset_of(r.ref[i + 1]);
    uint64_t d = offset_of(r.ref[i + 3]);
    uint64_t e = offset_of(r.ref[i + 4]);
    amx_ref whole;

    (void)state;
    free_home(h, &r, i + 1);
    ok(amx_raw_ack(h, offset_of(r.ref[i + 2])));
    ok(amx_raw_ack(h, d));
    ok(amx_raw_coalesce(h, d));
    assert_int_not_equal(amx_raw_coalesce(h, d), AMX_OK);
    r.ref[i + 2] = r.ref[i + 3] = AMX_REF_NONE;
    assert_int_equal(look(h, b).bytes, e - b);
    whole = alloc(h, e - b - AMX_HEADER_SPACE);
    assert_int_equal(offset_of(whole), b);
    assert_int_equal(usable_of(h, whole), e - b - AMX_HEADER_SPACE);
    mark(h, whole, b);
    r.ref[i + 1] = whole;
    check_clean(h);
    free_row(h, &r); /* verifies a and e, too */
    close_free(h);
}

/* The end of a sector was read from a process's own mapping object that lay in the shared memory. */
static void s8_sector_ends_are_the_segments(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *twin = attach_again(h);
    struct amx_segment_info info = info_of(h);

    (void)state;
    for (uint32_t s = 0; s < info.sectors; s++) {
        uint64_t begin = info.data_offset + (uint64_t)s * info.sector_size;
        uint64_t end[3];

        ok(amx_raw_sector_end(h, begin, &end[0]));
        ok(amx_raw_sector_end(twin, begin, &end[1]));
        ok(amx_raw_sector_end(twin, begin + info.sector_size - 16, &end[2]));
        for (int k = 0; k < 3; k++)
            assert_int_equal(end[k], begin + info.sector_size);
    }
    ok(amx_close(twin));
    close_free(h);
}

/* Offsets and sizes were cut to 32 bits: a segment of 4 GiB had no block, one of 5 GiB behaved as 1 GiB. */
static void s9_offsets_have_64_bits(void **state)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h = NULL;
    amx_ref big;
    amx_ref ref[64];
    size_t n = 0;
    bool beyond = false;

    (void)state;
    o.size = 5 * GIB;
    o.flags = AMX_F_SPARSE; /* only what is touched takes memory */
    ok(amx_create_memfd("large", &o, &h));
    assert_int_equal(amx_raw_total_size(h), 5 * GIB);
    assert_true(info_of(h).max_request > 4 * GIB);
    big = alloc(h, 4 * GIB + 16); /* as 32 bits: 16 */
    assert_true(usable_of(h, big) >= 4 * GIB + 16);
    bytes_of(h, big)[4 * GIB + 15] = 0x5a;
    while (n < 64 && amx_alloc(h, 40 * MIB, &ref[n]) == AMX_OK)
        n++;
    assert_true(n >= 10);
    for (size_t i = 0; i < n; i++) {
        unsigned char *p = bytes_of(h, ref[i]);

        beyond = beyond || offset_of(ref[i]) > 4 * GIB;
        memset(p, (int)i, 64);
        memset(p + 40 * MIB - 64, (int)i, 64);
    }
    assert_true(beyond);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(bytes_of(h, ref[i])[63], i);
        assert_int_equal(bytes_of(h, ref[i])[40 * MIB - 1], i);
        ok(amx_free(h, ref[i]));
    }
    assert_int_equal(bytes_of(h, big)[4 * GIB + 15], 0x5a);
    ok(amx_free(h, big));
    close_free(h);
}

/* Attaching resized the file: a smaller size cut it off under the others, 0 emptied it. */
static void s10_attach_never_resizes(void **state)
{
    static const uint64_t sizes[] = {0, 64 * KIB, 512 * KIB, 2 * MIB, 1};
    amx_t *h = new_segment(MIB);
    amx_ref ref = alloc(h, 1000);
    struct stat st;

    (void)state;
    mark(h, ref, 10);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct amx_options o = AMX_OPTIONS_INIT;
        amx_t *twin = NULL;

        o.size = sizes[i];
        ok(amx_attach_fd(amx_fd(h), &o, &twin));
        assert_int_equal(fstat(amx_fd(h), &st), 0);
        assert_int_equal(st.st_size, MIB);
        assert_int_equal(amx_raw_total_size(twin), MIB);
        verify(twin, ref, 10);
        ok(amx_close(twin));
    }
    ok(amx_free(h, ref));
    close_free(h);
}

/* A request of 2 GiB or more shifted by the width of its type and got a block of a smaller class. */
static void s13_two_gib_is_too_big(void **state)
{
    amx_t *h = new_segment(MIB);
    uint32_t fl;
    uint32_t sl;

    (void)state;
    for (unsigned bit = 21; bit < 64; bit++) {
        amx_ref ref = 77;

        assert_int_equal(amx_alloc(h, (size_t)1 << bit, &ref), AMX_E_TOO_BIG);
        assert_int_equal(ref, 77);
        assert_int_equal(amx_raw_find_suitable(h, bit, 7, &fl, &sl), AMX_E_NOMEM);
    }
    close_free(h);
}

/* The search did not round up: a request of 1136 got a block of 1024. */
static void s14_usable_covers_the_request(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref[100];
    size_t asked[100];
    size_t n = 0;
    uint32_t x = 14;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        x = x * 1103515245u + 12345u;
        if (n < 100 && x >> 30 != 0) {
            asked[n] = x >> 8 & 2047;
            ref[n] = alloc(h, asked[n]);
            assert_true(usable_of(h, ref[n]) >= asked[n]);
            stamp(bytes_of(h, ref[n]), asked[n], ref[n]);
            n++;
        } else if (n > 0) {
            size_t k = (x >> 8) % n--;

            assert_true(stamped(bytes_of(h, ref[k]), asked[k], ref[k]));
            ok(amx_free(h, ref[k]));
            ref[k] = ref[n];
            asked[k] = asked[n];
        }
    }
    while (n-- > 0)
        ok(amx_free(h, ref[n]));
    close_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s1_header_space),
        cmocka_unit_test(s2_free_finds_the_header),
        cmocka_unit_test(s3_merge_takes_the_very_block_off),
        cmocka_unit_test(s6_attach_knows_the_first_block),
        cmocka_unit_test(s7_merge_ends_at_the_live_neighbour),
        cmocka_unit_test(s8_sector_ends_are_the_segments),
        cmocka_unit_test(s9_offsets_have_64_bits),
        cmocka_unit_test(s10_attach_never_resizes),
        cmocka_unit_test(s13_two_gib_is_too_big),
        cmocka_unit_test(s14_usable_covers_the_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
