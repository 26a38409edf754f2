/* SPDX-License-Identifier: Apache-2.0 */
/* The second list of defects of the published code (see regression_test.c): D1-D11, each replayed in one thread. The
 * comment of each test says what went wrong. */
#include "tests/arena_kit.h"

#include <fcntl.h>
#include <stdalign.h>
#include <sys/mman.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)

/* On an exact fit a "remainder" header was written over the next living block. */
static void d1_fits_leave_the_neighbour_alone(void **state)
{
    static const struct {
        size_t ask, bytes; /* into a hole of 112 with its header */
    } fits[] = {{96, 112}, {95, 112}, {80, 112} /* a rest of 16 would be no block */, {64, 80}, {1, 32}};

    (void)state;
    for (size_t k = 0; k < sizeof fits / sizeof *fits; k++) {
        amx_t *h = new_segment(64 * KIB);
        struct row r = fill(h, 96);
        size_t i = side_by_side(h, &r, 0, 3) + 1;
        uint64_t hole = offset_of(r.ref[i]);
        struct amx_block b;

        free_home(h, &r, i);
        do { /* small requests may find small rests first */
            r.ref[i] = alloc(h, fits[k].ask);
            ok(amx_trim(h));
        } while (offset_of(r.ref[i]) != hole && fits[k].bytes < 112);
        b = look(h, offset_of(r.ref[i]));
        assert_int_equal(b.offset, hole);
        assert_int_equal(b.bytes, fits[k].bytes);
        mark(h, r.ref[i], hole);
        if (b.bytes < 112) {
            assert_int_equal(look(h, hole + b.bytes).state, AMX_STATE_FREE);
            assert_int_equal(look(h, hole + b.bytes).bytes, 112 - b.bytes);
        }
        check_clean(h);
        verify(h, r.ref[i - 1], offset_of(r.ref[i - 1]));
        verify(h, r.ref[i + 1], offset_of(r.ref[i + 1]));
        assert_int_equal(look(h, offset_of(r.ref[i + 1])).bytes, 112);
        ok(amx_close(h));
        free(r.ref);
    }
}

/* Allocating exactly what was left wrote a header behind the end of the mapping. */
static void d2_the_last_byte(void **state)
{
    amx_t *h = new_segment(MIB);
    struct amx_segment_info info = info_of(h);
    uint64_t end = info.data_offset + info.data_bytes;
    amx_ref ref = alloc(h, info.max_request);
    size_t n = usable_of(h, ref);
    struct amx_block b;

    (void)state;
    assert_true(offset_of(ref) + AMX_HEADER_SPACE + n <= amx_raw_total_size(h));
    assert_true(offset_of(ref) + AMX_HEADER_SPACE + n <= end);
    mark(h, ref, 2);
    check_clean(h);
    verify(h, ref, 2);
    assert_int_equal(amx_raw_query(h, end, &b), AMX_E_OFFSET);
    ok(amx_free(h, ref));
    /* and each whole sector by itself, exactly */
    for (uint32_t s = 0; s < info.sectors; s++) {
        ref = alloc(h, info.sector_size - AMX_HEADER_SPACE);
        assert_int_equal(look(h, offset_of(ref)).bytes, info.sector_size);
        mark(h, ref, 2);
    }
    assert_int_equal(amx_alloc(h, 0, &ref), AMX_E_NOMEM);
    check_clean(h);
    for (uint32_t s = 0; s < info.sectors; s++) {
        ref = look(h, info.data_offset + (uint64_t)s * info.sector_size).ref;
        verify(h, ref, 2);
        ok(amx_free(h, ref));
    }
    close_free(h);
}

/* The class was computed without the header: 64 bytes were served from a block of 64 with its header. */
static void d3_the_search_counts_the_header(void **state)
{
    amx_t *h = new_segment(64 * KIB);
    struct row r = fill(h, 48);
    amx_ref ref;

    (void)state;
    free_home(h, &r, side_by_side(h, &r, 0, 3) + 1);
    assert_int_equal(amx_alloc(h, 64, &ref), AMX_E_NOMEM);
    assert_int_equal(amx_alloc(h, 49, &ref), AMX_E_NOMEM);
    assert_int_equal(amx_alloc(h, 48, &ref), AMX_OK);
    assert_int_equal(usable_of(h, ref), 48);
    ok(amx_free(h, ref));
    free_row(h, &r);
    close_free(h);
}

/* A split did not tell the block behind the rest: later a merge by sizes skipped the living rest. */
static void d4_split_then_merge_around_a_live_rest(void **state)
{
    amx_t *h = new_segment(64 * KIB);
    struct row r = fill(h, 240);
    size_t i = side_by_side(h, &r, 0, 3);
    uint64_t x = offset_of(r.ref[i]);
    uint64_t n = offset_of(r.ref[i + 1]);
    amx_ref a;
    amx_ref rest;

    (void)state;
    assert_int_equal(n - x, 256);
    free_home(h, &r, i);
    a = alloc(h, 96);
    ok(amx_trim(h));
    rest = alloc(h, 112);
    assert_int_equal(offset_of(a), x);
    assert_int_equal(offset_of(rest), x + 112);
    assert_int_equal(look(h, x + 112).bytes, 144);
    mark(h, rest, 4);
    ok(amx_free(h, a));
    free_home(h, &r, i + 1);
    assert_int_equal(look(h, x).bytes, 112);
    assert_int_equal(look(h, x).state, AMX_STATE_FREE);
    assert_int_equal(look(h, n).bytes, 256);
    assert_int_equal(look(h, n).state, AMX_STATE_FREE);
    verify(h, rest, 4);
    check_clean(h);
    ok(amx_free(h, rest));
    ok(amx_trim(h));
    assert_int_equal(look(h, x).bytes, 512);
    free_row(h, &r);
    close_free(h);
}

static int d5_by_free(amx_t *h, amx_ref ref)
{
    return amx_free(h, ref);
}

static int d5_by_ptr(amx_t *h, amx_ref ref)
{
    return amx_free_ptr(h, (char *)amx_raw_base(h) + offset_of(ref) + AMX_HEADER_SPACE);
}

static int d5_by_ack(amx_t *h, amx_ref ref)
{
    return amx_raw_ack(h, offset_of(ref));
}

static int d5_by_coalesce(amx_t *h, amx_ref ref)
{
    return amx_raw_coalesce(h, offset_of(ref));
}

static int d5_by_free_at(amx_t *h, amx_ref ref)
{
    return amx_raw_free_at(h, offset_of(ref));
}

/* A second ack or coalesce put the block into its list twice; from then on each allocation of the class got it. */
static void d5_second_free_of_any_kind(void **state)
{
    static int (*const ways[])(amx_t *, amx_ref) = {d5_by_free, d5_by_ptr, d5_by_ack, d5_by_coalesce, d5_by_free_at};
    enum { WAYS = sizeof ways / sizeof *ways };

    (void)state;
    for (int first = 0; first < WAYS; first++)
        for (int second = 0; second < WAYS; second++) {
            amx_t *h = new_segment(64 * KIB);
            struct row r = fill(h, 96);
            size_t i = side_by_side(h, &r, 0, 3) + 1;
            amx_ref old = r.ref[i];
            amx_ref none;
            int rc;

            assert_int_equal(ways[first](h, old), AMX_OK);
            rc = ways[second](h, old);
            /* coalesce after ack is no free: it drains the queue in which the block waits */
            if (ways[first] == d5_by_ack && ways[second] == d5_by_coalesce)
                assert_int_equal(rc, AMX_OK);
            else
                assert_int_equal(rc, AMX_E_DOUBLE_FREE);
            assert_int_equal(ways[second](h, old), AMX_E_DOUBLE_FREE);
            ok(amx_trim(h));
            ok(amx_heal(h));
            assert_int_equal(ways[second](h, old), AMX_E_DOUBLE_FREE);
            check_clean(h);
            r.ref[i] = alloc(h, 96);
            assert_int_equal(offset_of(r.ref[i]), offset_of(old));
            assert_int_equal(amx_alloc(h, 96, &none), AMX_E_NOMEM);
            assert_int_equal(amx_free(h, old), AMX_E_STALE);
            mark(h, r.ref[i], offset_of(old));
            free_row(h, &r);
            close_free(h);
        }
}

/* Only left neighbours were merged: freed in reverse, nothing was, and 1024 bytes could not be had in an empty
 * segment. */
static void d6_merges_on_both_sides(void **state)
{
    (void)state;
    for (int order = 0; order < 4; order++) {
        amx_t *h = new_segment(64 * KIB);
        struct row r = fill(h, 96);
        amx_ref ref;

        for (size_t k = 0; k < r.n; k++) {
            /* forward, backward, even before odd, odd before even backward */
            size_t half = (r.n + 1) / 2;
            size_t split = k < half ? 2 * k : 2 * (k - half) + 1;
            size_t i = order == 0 ? k : order == 1 ? r.n - 1 - k : order == 2 ? split : r.n - 1 - split;

            free_home(h, &r, i);
        }
        assert_int_equal(stat_of(h).free_blocks, info_of(h).sectors);
        assert_int_equal(amx_alloc(h, 1024, &ref), AMX_OK);
        ok(amx_free(h, ref));
        free(r.ref);
        close_free(h);
    }
}

/* n + header wrapped: 4 GiB - 15 got a block of 32. */
static void d7_sizes_do_not_wrap(void **state)
{
    amx_t *h = new_segment(MIB);
    const size_t sizes[] = {SIZE_MAX,
                            SIZE_MAX - 1,
                            SIZE_MAX - 14,
                            SIZE_MAX - 15,
                            SIZE_MAX - 16,
                            SIZE_MAX - 31,
                            SIZE_MAX - 32,
                            SIZE_MAX - 47,
                            SIZE_MAX - 63,
                            SIZE_MAX / 2,
                            SIZE_MAX / 2 + 1,
                            0xffffffff,
                            0xfffffff1,
                            0xfffffff0,
                            0xffffffd0,
                            (size_t)4 * GIB,
                            4 * GIB + 64,
                            (size_t)PTRDIFF_MAX,
                            info_of(h).max_request + 1};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        amx_ref ref = 77;
        uint64_t offset = 77;
        size_t got = 77;

        assert_int_equal(amx_alloc(h, sizes[i], &ref), AMX_E_TOO_BIG);
        assert_int_equal(amx_zalloc(h, sizes[i], &ref), AMX_E_TOO_BIG);
        assert_int_equal(amx_alloc_aligned(h, 1, sizes[i], &ref), AMX_E_TOO_BIG);
        assert_int_equal(amx_alloc_aligned(h, 4096, sizes[i], &ref), AMX_E_TOO_BIG);
        assert_int_equal(amx_alloc_wait(h, sizes[i], UINT64_MAX, &ref), AMX_E_TOO_BIG);
        assert_int_equal(amx_alloc_many(h, sizes[i], 1, &ref, &got), AMX_E_TOO_BIG);
        assert_int_equal(got, 0);
        assert_int_equal(amx_raw_allocate(h, sizes[i], &offset), AMX_E_TOO_BIG);
        assert_int_equal(ref, 77);
        assert_int_equal(offset, 77);
    }
    close_free(h);
}

/* A segment smaller than its header began with a free block of 4 GB. */
static void d8_tiny_segments_are_refused(void **state)
{
    static const uint64_t sizes[] = {
        1, 16, 1231, 1232, 4096, 64 * KIB - 1, 64 * GIB + 1, UINT64_MAX, UINT64_MAX - 4095};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct amx_options o = AMX_OPTIONS_INIT;
        amx_t *h = (amx_t *)&o;

        o.size = sizes[i];
        assert_int_equal(amx_create_memfd("tiny", &o, &h), AMX_E_INVAL);
        assert_ptr_equal(h, &o);
    }
    for (uint64_t size = 64 * KIB; size < 96 * KIB; size += 1237) { /* rounded up to a page */
        amx_t *h = new_segment(size);

        assert_int_equal(amx_raw_total_size(h), (size + 4095) / 4096 * 4096);
        close_free(h);
    }
}

/* The header was counted inside the size: each typed block reached into the next header. */
static void d9_all_of_a_block_is_usable(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref[600];

    (void)state;
    for (size_t n = 0; n < 600; n++) {
        ref[n] = alloc(h, n);
        assert_true(usable_of(h, ref[n]) >= n);
        memset(bytes_of(h, ref[n]), (int)n, usable_of(h, ref[n]));
    }
    check_clean(h);
    for (size_t n = 0; n < 600; n++) {
        const unsigned char *p = bytes_of(h, ref[n]);

        for (size_t k = 0; k < usable_of(h, ref[n]); k++)
            assert_int_equal(p[k], (unsigned char)n);
        ok(amx_free(h, ref[n]));
    }
    close_free(h);
}

struct d10_line {
    alignas(64) char c[192];
};
struct d10_page {
    alignas(4096) char c[4096];
};

/* Only 16 bytes of alignment, and with type tags 4 or 8. */
static void d10_over_aligned_types(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref[64];
    amx_ref line;
    amx_ref page;

    (void)state;
    for (size_t n = 0; n < 64; n++) {
        ref[n] = alloc(h, n);
        assert_int_equal((uintptr_t)bytes_of(h, ref[n]) % 16, 0);
    }
    ok(AMX_NEW(h, struct d10_line, &line));
    ok(AMX_NEW(h, struct d10_page, &page));
    assert_int_equal((uintptr_t)bytes_of(h, line) % 64, 0);
    assert_int_equal((uintptr_t)bytes_of(h, page) % 4096, 0);
    check_clean(h);
    for (size_t n = 0; n < 64; n++)
        ok(amx_free(h, ref[n]));
    ok(amx_free(h, line));
    ok(amx_free(h, page));
    close_free(h);
}

/* transition_state took FREE, ACKED, COALESCING as the expected state, and set_state revived freed blocks. */
static void d11_freed_blocks_cannot_be_hijacked(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref = alloc(h, 64);
    uint32_t seen = 77;

    (void)state;
    ok(amx_free(h, ref));
    for (uint32_t s = 0; s < 49; s++)
        assert_int_equal(amx_transition(h, ref, s, 50, AMX_ACQ_REL, &seen), AMX_E_RESERVED);
    for (int home = 0; home < 2; home++) {
        assert_int_equal(amx_transition(h, ref, 49, 50, AMX_ACQ_REL, &seen), AMX_E_STALE);
        assert_int_equal(amx_set_state(h, ref, 49), AMX_E_STALE);
        assert_int_equal(amx_get_state(h, ref, AMX_ACQUIRE, &seen), AMX_E_STALE);
        assert_int_equal(amx_publish(h, ref), AMX_E_STALE);
        assert_int_equal(amx_adopt(h, ref), AMX_E_STALE);
        ok(amx_trim(h)); /* first in the cache, then in the matrix */
    }
    close_free(h);
}

/* get_state with a release order panicked. */
static void d11_orders_that_a_load_cannot_have(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref = alloc(h, 64);
    uint32_t seen = 77;

    (void)state;
    assert_int_equal(amx_get_state(h, ref, AMX_RELEASE, &seen), AMX_E_INVAL);
    assert_int_equal(amx_get_state(h, ref, AMX_ACQ_REL, &seen), AMX_E_INVAL);
    assert_int_equal(seen, 77);
    ok(amx_free(h, ref));
    close_free(h);
}

/* A block of one segment was taken for one of another. */
static void d11_references_know_their_segment(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *other = new_segment(MIB);
    amx_ref mine = alloc(h, 64);
    amx_ref theirs = alloc(other, 64);
    void *p = NULL;

    (void)state;
    /* generations begin at a random number: equal ones are one in 2^32 */
    assert_int_equal(offset_of(mine), offset_of(theirs));
    assert_int_equal(amx_free(h, theirs), AMX_E_STALE);
    assert_int_equal(amx_ptr(other, mine, &p), AMX_E_STALE);
    assert_int_equal(amx_free_ptr(h, bytes_of(other, theirs)), AMX_E_FOREIGN);
    ok(amx_free(h, mine));
    ok(amx_free(other, theirs));
    close_free(other);
    close_free(h);
}

/* Nothing was checked on attach: no magic, no version, no size. */
static void d11_attach_checks_what_it_finds(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *twin = NULL;
    char page[4096];
    char why[256] = "";
    struct amx_options o = AMX_OPTIONS_INIT;
    int fd = memfd_create("damaged", MFD_ALLOW_SEALING);

    (void)state;
    o.why = why;
    o.why_len = sizeof why;
    assert_true(fd >= 0);
    assert_int_equal(amx_attach_fd(fd, &o, &twin), AMX_E_LAYOUT); /* empty */
    memcpy(page, amx_raw_base(h), sizeof page);
    assert_int_equal(pwrite(fd, page, sizeof page, 0), (ssize_t)sizeof page);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_equal(amx_attach_fd(fd, &o, &twin), AMX_E_LAYOUT); /* shorter than it says */
    assert_true(strlen(why) > 0);
    assert_int_equal(ftruncate(fd, (off_t)(2 * MIB)), 0);
    assert_int_equal(amx_attach_fd(fd, &o, &twin), AMX_E_LAYOUT); /* longer */
    for (size_t i = 0; i < 512; i += 3) {                         /* each byte of the constants counts */
        int copy = memfd_create("flipped", MFD_ALLOW_SEALING);

        assert_true(copy >= 0);
        assert_int_equal(ftruncate(copy, (off_t)MIB), 0);
        assert_int_equal(fcntl(copy, F_ADD_SEALS, F_SEAL_SHRINK), 0);
        page[i] = (char)(page[i] ^ 0x41);
        assert_int_equal(pwrite(copy, page, sizeof page, 0), (ssize_t)sizeof page);
        page[i] = (char)(page[i] ^ 0x41);
        assert_int_equal(amx_attach_fd(copy, &o, &twin), AMX_E_LAYOUT);
        close(copy);
    }
    assert_null(twin);
    close(fd);
    close_free(h);
}

/* Freed memory was handed to the next process as it was. Clearing is the caller's choice: amx_zalloc. */
static void d11_zalloc_hides_old_bytes(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *twin = attach_again(h);

    (void)state;
    for (size_t n = 1; n < 100000; n = n * 2 + 1) {
        amx_ref ref = alloc(h, n);

        memset(bytes_of(h, ref), 0xff, usable_of(h, ref));
        ok(amx_free(h, ref));
        ok(amx_trim(h));
        ok(amx_zalloc(twin, n, &ref));
        for (size_t k = 0; k < n; k++)
            assert_int_equal(bytes_of(twin, ref)[k], 0);
        ok(amx_free(twin, ref));
        ok(amx_trim(twin));
    }
    ok(amx_close(twin));
    close_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(d1_fits_leave_the_neighbour_alone),
        cmocka_unit_test(d2_the_last_byte),
        cmocka_unit_test(d3_the_search_counts_the_header),
        cmocka_unit_test(d4_split_then_merge_around_a_live_rest),
        cmocka_unit_test(d5_second_free_of_any_kind),
        cmocka_unit_test(d6_merges_on_both_sides),
        cmocka_unit_test(d7_sizes_do_not_wrap),
        cmocka_unit_test(d8_tiny_segments_are_refused),
        cmocka_unit_test(d9_all_of_a_block_is_usable),
        cmocka_unit_test(d10_over_aligned_types),
        cmocka_unit_test(d11_freed_blocks_cannot_be_hijacked),
        cmocka_unit_test(d11_orders_that_a_load_cannot_have),
        cmocka_unit_test(d11_references_know_their_segment),
        cmocka_unit_test(d11_attach_checks_what_it_finds),
        cmocka_unit_test(d11_zalloc_hides_old_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
