/* SPDX-License-Identifier: Apache-2.0 */
/* Bad references, pointers, offsets, sizes: the answer that the headers promise, and nothing changed. */
#include "tests/arena_calls.h"

#include <limits.h>

static void expect_by_ref(amx_t *h, amx_ref r, int otherwise, int from_free)
{
    for (int i = 0; i < BY_REF; i++) {
        int want = by_ref[i].frees ? from_free : otherwise;
        int got = by_ref[i].call(h, r);

        if (got != want)
            fail_msg("amx_%s(%#llx): %s, not %s", by_ref[i].name, (unsigned long long)r, amx_strerror(got),
                     amx_strerror(want));
    }
}

static void references_outside_the_data(void **state)
{
    struct world w;
    struct amx_segment_info info;
    uint64_t units[8];

    (void)state;
    world_open(&w);
    info = info_of(w.h);
    units[0] = 0;
    units[1] = 1;
    units[2] = info.data_offset / 16 - 1;
    units[3] = info.data_offset / 16; /* the first header: payloads begin one further */
    units[4] = (info.data_offset + info.data_bytes) / 16 + 1;
    units[5] = info.size / 16;
    units[6] = UINT32_MAX;
    units[7] = UINT32_MAX / 2;
    for (int i = 0; i < 8; i++)
        for (uint64_t gen = 0; gen < 3; gen++) {
            amx_ref r = units[i] << 32 | (gen < 2 ? gen : (uint32_t)w.live);

            expect_by_ref(w.h, r, AMX_E_OFFSET, AMX_E_OFFSET);
        }
    expect_by_ref(w.h, AMX_REF_NONE, AMX_E_OFFSET, AMX_E_OFFSET);
    expect_by_ref(w.h, UINT64_MAX, AMX_E_OFFSET, AMX_E_OFFSET);
    world_close(&w);
}

static void references_of_other_lives(void **state)
{
    struct world w;

    (void)state;
    world_open(&w);
    expect_by_ref(w.h, w.live + 1, AMX_E_STALE, AMX_E_STALE);
    expect_by_ref(w.h, w.live - 1, AMX_E_STALE, AMX_E_STALE);
    expect_by_ref(w.h, w.live ^ 0x80000000, AMX_E_STALE, AMX_E_STALE);
    expect_by_ref(w.h, w.live >> 32 << 32, AMX_E_STALE, AMX_E_STALE);
    expect_by_ref(w.h, w.reused, AMX_E_STALE, AMX_E_STALE);
    expect_by_ref(w.h, w.foreign, AMX_E_STALE, AMX_E_STALE);
    expect_by_ref(w.h, w.freed, AMX_E_STALE, AMX_E_DOUBLE_FREE);
    for (uint64_t unit = 1; unit < 200 / 16; unit++) /* inside a living block */
        expect_by_ref(w.h, w.live + (unit << 32), AMX_E_STALE, AMX_E_STALE);
    world_close(&w);
}

static void references_at_random(void **state)
{
    struct world w;
    struct rng dice = rng_make(test_seed(), 1);
    struct amx_segment_info info;

    (void)state;
    world_open(&w);
    info = info_of(w.h);
    for (long i = scaled(100000); i > 0; i--) {
        uint64_t unit = i & 1 ? rng_below(&dice, info.size / 16) : w.live >> 32;
        amx_ref r = unit << 32 | (uint32_t)rng_next(&dice);
        int k = (int)rng_below(&dice, BY_REF);
        int rc;

        if (r == w.live || r == w.again || r == w.freed)
            continue;
        rc = by_ref[k].call(w.h, r);
        assert_true(rc == AMX_E_STALE || rc == AMX_E_OFFSET);
    }
    world_close(&w);
}

/* --- Pointers and offsets ------------------------------------------------------------------------------------- */

static void pointers(void **state)
{
    struct world w;
    struct amx_segment_info info;
    unsigned char *base;
    unsigned char *p;
    amx_t *twin;
    amx_ref r = 77;

    (void)state;
    world_open(&w);
    twin = attach_again(w.h);
    info = info_of(w.h);
    base = amx_raw_base(w.h);
    p = bytes_of(w.h, w.live);
    void *foreign[] = {&w,
                       base,
                       base + info.data_offset - 16,
                       base - 16,
                       base + info.data_offset + info.data_bytes,
                       base + info.size,
                       bytes_of(twin, w.live),
                       bytes_of(w.other, w.foreign),
                       (void *)16};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        fails(AMX_E_FOREIGN, amx_free_ptr(w.h, foreign[i]));
        fails(AMX_E_FOREIGN, amx_ref_of(w.h, foreign[i], &r));
    }
    for (size_t k = 1; k < 200; k++) {
        fails(AMX_E_WILD, amx_free_ptr(w.h, p + k));
        fails(AMX_E_WILD, amx_ref_of(w.h, p + k, &r));
    }
    assert_int_not_equal(amx_free_ptr(w.h, NULL), AMX_OK);
    assert_int_not_equal(amx_ref_of(w.h, NULL, &r), AMX_OK);
    fails(AMX_E_INVAL, amx_ref_of(w.h, p, NULL));
    p = base + offset_of(w.freed) + AMX_HEADER_SPACE;
    fails(AMX_E_DOUBLE_FREE, amx_free_ptr(w.h, p));
    fails(AMX_E_STALE, amx_ref_of(w.h, p, &r));
    assert_int_equal(r, 77);
    ok(amx_ref_of(w.h, bytes_of(w.h, w.live), &r));
    assert_int_equal(r, w.live);
    ok(amx_close(twin));
    world_close(&w);
}

static void raw_offsets(void **state)
{
    int (*const calls[])(amx_t *, uint64_t) = {amx_raw_ack, amx_raw_coalesce, amx_raw_free_at, raw_query};
    struct world w;
    struct amx_segment_info info;
    uint64_t end = 77;

    (void)state;
    world_open(&w);
    info = info_of(w.h);
    const uint64_t outside[] = {0,
                                8,
                                16,
                                info.data_offset - 16,
                                info.data_offset + info.data_bytes,
                                info.size,
                                UINT64_MAX,
                                UINT64_MAX - 15,
                                UINT64_C(1) << 63};
    for (int c = 0; c < 4; c++) {
        for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
            fails(AMX_E_OFFSET, calls[c](w.h, outside[i]));
        for (uint64_t k = 1; k < 16; k++)
            fails(AMX_E_OFFSET, calls[c](w.h, offset_of(w.live) + k));
        for (uint64_t k = 16; k < 200; k += 16)
            fails(AMX_E_WILD, calls[c](w.h, offset_of(w.live) + k));
        if (c < 3)
            fails(AMX_E_DOUBLE_FREE, calls[c](w.h, offset_of(w.freed)));
    }
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        fails(AMX_E_OFFSET, amx_raw_sector_end(w.h, outside[i], &end));
    assert_int_equal(end, 77);
    world_close(&w);
}

/* --- Sizes, alignments, states, counts ------------------------------------------------------------------------ */

static void sizes_and_alignments(void **state)
{
    static const size_t wrong[] = {0, 3, 5, 12, 24, 4095, 4097, 8192, 65536, SIZE_MAX, SIZE_MAX / 2 + 1};
    struct world w;
    amx_ref r = 77;
    amx_ref rs[4] = {77, 77, 77, 77};
    size_t got = 77;
    uint64_t offset = 77;
    uint64_t max;

    (void)state;
    world_open(&w);
    max = info_of(w.h).max_request;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fails(AMX_E_INVAL, amx_alloc_aligned(w.h, wrong[i], 64, &r));
        fails(AMX_E_INVAL, amx_alloc_aligned(w.h, wrong[i], 0, &r));
    }
    const size_t big[] = {max + 1, max + 16, SIZE_MAX / 2, SIZE_MAX - 31, SIZE_MAX - 16, SIZE_MAX - 15, SIZE_MAX};
    for (size_t i = 0; i < sizeof big / sizeof *big; i++) {
        fails(AMX_E_TOO_BIG, amx_alloc(w.h, big[i], &r));
        fails(AMX_E_TOO_BIG, amx_zalloc(w.h, big[i], &r));
        fails(AMX_E_TOO_BIG, amx_alloc_wait(w.h, big[i], 0, &r));
        fails(AMX_E_TOO_BIG, amx_raw_allocate(w.h, big[i], &offset));
        fails(AMX_E_TOO_BIG, amx_resize(w.h, w.live, big[i], &r));
        fails(AMX_E_TOO_BIG, amx_alloc_many(w.h, big[i], 4, rs, &got));
        assert_int_equal(got, 0);
        for (size_t a = 1; a <= 4096; a *= 2)
            fails(AMX_E_TOO_BIG, amx_alloc_aligned(w.h, a, big[i], &r));
    }
    assert_int_equal(r, 77);
    assert_int_equal(offset, 77);
    assert_int_equal(rs[0], 77);
    world_close(&w);
}

static void nothing_asked_gets_the_smallest_block(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref r[6];
    size_t got = 0;

    (void)state;
    ok(amx_alloc(h, 0, &r[0]));
    ok(amx_zalloc(h, 0, &r[1]));
    ok(amx_alloc_aligned(h, 1, 0, &r[2]));
    ok(amx_alloc_wait(h, 0, 0, &r[3]));
    ok(amx_alloc_many(h, 0, 2, &r[4], &got));
    assert_int_equal(got, 2);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(look(h, offset_of(r[i])).bytes, 32);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(offset_of(r[i]), offset_of(r[k]));
        ok(amx_resize(h, r[i], 0, &r[i]));
    }
    got = 77;
    fails(AMX_E_INVAL, amx_alloc_many(h, 64, 2, NULL, &got)); /* always written */
    assert_int_equal(got, 0);
    got = 77;
    fails(AMX_E_INVAL, amx_alloc_many(NULL, 64, 2, r, &got));
    assert_int_equal(got, 0);
    ok(amx_alloc_many(h, 64, 0, r, &got));
    assert_int_equal(got, 0);
    ok(amx_free_many(h, r, 0, &got));
    assert_int_equal(got, 0);
    ok(amx_free_many(h, r, 6, NULL));
    close_free(h);
}

static void typed_access_checks_the_size(void **state)
{
    struct world w;
    const void *p = NULL;
    void *q = NULL;
    size_t n;

    (void)state;
    world_open(&w);
    n = usable_of(w.h, w.live);
    ok(amx_read(w.h, w.live, n, &p));
    ok(amx_read_mut(w.h, w.live, n, &q));
    assert_ptr_equal(p, q);
    p = q = NULL;
    for (int i = 0; i < 3; i++) {
        size_t too_much = i == 0 ? n + 1 : i == 1 ? SIZE_MAX : SIZE_MAX - 15;

        fails(AMX_E_INVAL, amx_read(w.h, w.live, too_much, &p));
        fails(AMX_E_INVAL, amx_read_mut(w.h, w.live, too_much, &q));
        fails(AMX_E_INVAL, amx_write(w.h, w.live, &w, too_much));
    }
    assert_null(p);
    assert_null(q);
    world_close(&w);
}

static void free_many_goes_on_after_an_error(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref r[6];
    size_t freed = 77;

    (void)state;
    for (int i = 0; i < 6; i++)
        r[i] = alloc(h, 64);
    r[1]++;      /* stale */
    r[3] = r[2]; /* twice */
    fails(AMX_E_STALE, amx_free_many(h, r, 6, &freed));
    assert_int_equal(freed, 4);
    assert_int_equal(stat_of(h).live_blocks, 2); /* the two that r[1] and r[3] had named */
    ok(amx_close(h));
}

static void null_out_parameters(void **state)
{
    struct world w;
    amx_ref r;
    size_t got;
    uint32_t x;

    (void)state;
    world_open(&w);
    fails(AMX_E_INVAL, amx_alloc(w.h, 64, NULL));
    fails(AMX_E_INVAL, amx_zalloc(w.h, 64, NULL));
    fails(AMX_E_INVAL, amx_alloc_aligned(w.h, 64, 64, NULL));
    fails(AMX_E_INVAL, amx_alloc_wait(w.h, 64, 0, NULL));
    fails(AMX_E_INVAL, amx_alloc_many(w.h, 64, 1, NULL, &got));
    fails(AMX_E_INVAL, amx_alloc_many(w.h, 64, 1, &r, NULL));
    fails(AMX_E_INVAL, amx_free_many(w.h, NULL, 1, &got));
    fails(AMX_E_INVAL, amx_resize(w.h, w.live, 100, NULL));
    fails(AMX_E_INVAL, amx_usable(w.h, w.live, NULL));
    fails(AMX_E_INVAL, amx_ptr(w.h, w.live, NULL));
    fails(AMX_E_INVAL, amx_read(w.h, w.live, 8, NULL));
    fails(AMX_E_INVAL, amx_read_mut(w.h, w.live, 8, NULL));
    fails(AMX_E_INVAL, amx_write(w.h, w.live, NULL, 8));
    fails(AMX_E_INVAL, amx_get_state(w.h, w.live, AMX_ACQUIRE, NULL));
    fails(AMX_E_INVAL, amx_give(w.h, w.live, amx_handle_id(w.h), NULL));
    fails(AMX_E_INVAL, amx_owner(w.h, w.live, NULL));
    fails(AMX_E_INVAL, amx_walk(w.h, NULL, NULL));
    fails(AMX_E_INVAL, amx_stat(w.h, NULL));
    fails(AMX_E_INVAL, amx_check(w.h, NULL, NULL, NULL));
    fails(AMX_E_INVAL, amx_info(w.h, NULL));
    fails(AMX_E_INVAL, amx_peers(w.h, NULL, NULL));
    fails(AMX_E_INVAL, amx_share(w.h, NULL));
    fails(AMX_E_INVAL, amx_root_get(w.h, 0, NULL));
    fails(AMX_E_INVAL, amx_raw_find_suitable(w.h, 0, 0, NULL, &x));
    fails(AMX_E_INVAL, amx_raw_find_suitable(w.h, 0, 0, &x, NULL));
    fails(AMX_E_INVAL, amx_raw_find_suitable(w.h, 0, 8, &x, &x));
    fails(AMX_E_INVAL, amx_raw_find_suitable(w.h, 64, 0, &x, &x));
    fails(AMX_E_INVAL, amx_raw_find_suitable(w.h, UINT32_MAX, UINT32_MAX, &x, &x));
    fails(AMX_E_INVAL, amx_raw_allocate(w.h, 64, NULL));
    fails(AMX_E_INVAL, amx_raw_query(w.h, offset_of(w.live), NULL));
    fails(AMX_E_INVAL, amx_raw_sector_end(w.h, offset_of(w.live), NULL));
    fails(AMX_E_INVAL, amx_raw_id(w.h, NULL));
    world_close(&w);
}

static void roots(void **state)
{
    struct world w;
    amx_ref r = 77;

    (void)state;
    world_open(&w);
    const unsigned wrong[] = {AMX_ROOTS, AMX_ROOTS + 1, 255, INT_MAX, UINT_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fails(AMX_E_INVAL, amx_root_get(w.h, wrong[i], &r));
        fails(AMX_E_INVAL, amx_root_set(w.h, wrong[i], w.live));
        fails(AMX_E_INVAL, amx_root_cas(w.h, wrong[i], 0, w.live, &r));
    }
    assert_int_equal(r, 77);
    for (unsigned i = 0; i < AMX_ROOTS; i++) {
        ok(amx_root_get(w.h, i, &r));
        assert_int_equal(r, AMX_REF_NONE);
        fails(AMX_E_STATE, amx_root_cas(w.h, i, w.live, w.again, &r));
        assert_int_equal(r, AMX_REF_NONE);
        fails(AMX_E_STATE, amx_root_cas(w.h, i, w.live, w.again, NULL));
    }
    world_close(&w);
}

static int three(const struct amx_block *b, void *ctx)
{
    (void)b;
    return ++*(int *)ctx == 3 ? 42 : 0;
}

static void callbacks_can_stop(void **state)
{
    struct world w;
    int n = 0;

    (void)state;
    world_open(&w);
    assert_int_equal(amx_walk(w.h, three, &n), 42);
    assert_int_equal(n, 3);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_outside_the_data),
        cmocka_unit_test(references_of_other_lives),
        cmocka_unit_test(references_at_random),
        cmocka_unit_test(pointers),
        cmocka_unit_test(raw_offsets),
        cmocka_unit_test(sizes_and_alignments),
        cmocka_unit_test(nothing_asked_gets_the_smallest_block),
        cmocka_unit_test(typed_access_checks_the_size),
        cmocka_unit_test(free_many_goes_on_after_an_error),
        cmocka_unit_test(null_out_parameters),
        cmocka_unit_test(roots),
        cmocka_unit_test(callbacks_can_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
