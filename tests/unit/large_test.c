/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks larger than a sector, alignment, resize, zeroing, batches, and waiting for memory. */
#include "tests/arena_kit.h"

#include "layout.h"

#include <sched.h>
#include <time.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

static const uint64_t sizes[] = {64 * KIB, MIB, 50 * MIB};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void the_whole_area_as_one_block(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; i++) {
        amx_t *h = new_segment(sizes[i]);
        struct amx_segment_info info = info_of(h);
        amx_ref ref;
        amx_ref none;
        struct amx_stats s;

        assert_true(info.max_request <= info.data_bytes - AMX_HEADER_SPACE);
        assert_true(info.max_request > info.data_bytes - info.sector_size);
        ref = alloc(h, info.max_request);
        assert_true(usable_of(h, ref) >= info.max_request);
        mark(h, ref, sizes[i]);
        assert_int_equal(look(h, offset_of(ref)).sectors, info.sectors);
        fails(AMX_E_TOO_BIG, amx_alloc(h, info.max_request + 1, &none));
        s = stat_of(h);
        assert_int_equal(s.large_blocks, 1);
        assert_int_equal(s.live_blocks, 1);
        assert_int_equal(s.sectors_large, info.sectors);
        check_clean(h);
        verify(h, ref, sizes[i]);
        ok(amx_free(h, ref));
        close_free(h);
    }
}

/* A large block ends inside a sector: the rest of that sector serves others, and its chain begins behind the cut. */
static void cuts(void **state)
{
    amx_t *h = new_segment(MIB);
    struct amx_segment_info info = info_of(h);
    size_t sector = info.sector_size;

    (void)state;
    for (size_t tail = 0; tail < sector + 64; tail += 16) {
        amx_ref large = alloc(h, 3 * sector + tail - AMX_HEADER_SPACE);
        uint64_t end = offset_of(large) + look(h, offset_of(large)).bytes;
        amx_ref small[40];

        mark(h, large, tail);
        for (int k = 0; k < 40; k++) {
            small[k] = alloc(h, (size_t)k * 17);
            mark(h, small[k], tail + (size_t)k);
            assert_true(offset_of(small[k]) >= end || offset_of(small[k]) < offset_of(large));
        }
        if (tail % 512 == 0)
            check_clean(h);
        verify(h, large, tail);
        if (tail & 16) { /* the large one first, or the small ones behind its cut first */
            ok(amx_free(h, large));
            large = AMX_REF_NONE;
        }
        for (int k = 0; k < 40; k++) {
            verify(h, small[k], tail + (size_t)k);
            ok(amx_free(h, small[k]));
        }
        if (large != AMX_REF_NONE) {
            ok(amx_trim(h));
            verify(h, large, tail);
            ok(amx_free(h, large));
        }
        ok(amx_trim(h));
        ok(amx_heal(h));
        assert_int_equal(stat_of(h).free_bytes, info.data_bytes);
    }
    close_free(h);
}

static void many_large_blocks(void **state)
{
    amx_t *h = new_segment(50 * MIB);
    struct rng dice = rng_make(test_seed(), 3);
    amx_ref ref[64] = {0};
    uint64_t key[64];

    (void)state;
    for (long i = scaled(4000); i > 0; i--) {
        size_t k = (size_t)rng_below(&dice, 64);

        if (ref[k] != AMX_REF_NONE) {
            verify(h, ref[k], key[k]);
            ok(amx_free(h, ref[k]));
            ref[k] = AMX_REF_NONE;
        } else {
            size_t n = (size_t)rng_range(&dice, 1, rng_below(&dice, 8) ? MIB : 8 * MIB);
            int rc = amx_alloc(h, n, &ref[k]);

            if (rc == AMX_E_NOMEM) {
                ref[k] = AMX_REF_NONE;
                continue;
            }
            must_ok(rc);
            assert_true(usable_of(h, ref[k]) >= n);
            key[k] = rng_next(&dice);
            mark(h, ref[k], key[k]);
        }
        if (i % 512 == 0)
            check_clean(h);
    }
    for (size_t k = 0; k < 64; k++)
        if (ref[k] != AMX_REF_NONE) {
            verify(h, ref[k], key[k]);
            ok(amx_free(h, ref[k]));
        }
    close_free(h);
}

static void aligned(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; i++) {
        amx_t *h = new_segment(sizes[i]);
        size_t max = (size_t)info_of(h).max_request;

        for (size_t a = 1; a <= 4096; a *= 2)
            for (size_t n = 1; n < max / 4; n = n * 5 + 3) {
                amx_ref pad = alloc(h, 16 * (n % 7)); /* so that not everything begins on a sector */
                amx_ref ref;

                ok(amx_alloc_aligned(h, a, n, &ref));
                assert_int_equal((uintptr_t)bytes_of(h, ref) % (a < 16 ? 16 : a), 0);
                assert_true(usable_of(h, ref) >= n);
                mark(h, ref, n);
                mark(h, pad, a);
                check_clean(h);
                verify(h, ref, n);
                verify(h, pad, a);
                ok(amx_free(h, n & 1 ? ref : pad));
                ok(amx_trim(h));
                ok(amx_free(h, n & 1 ? pad : ref));
            }
        close_free(h);
    }
}

/* Alignment holds in each process: at whatever page the mapping begins. */
static void aligned_in_another_mapping(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *twin = attach_again(h);
    amx_ref ref;

    (void)state;
    ok(amx_alloc_aligned(h, 4096, 10000, &ref));
    assert_int_equal((uintptr_t)bytes_of(twin, ref) % 4096, 0);
    ok(amx_free(twin, ref));
    ok(amx_close(twin));
    close_free(h);
}

static void resize_keeps_the_contents(void **state)
{
    amx_t *h = new_segment(MIB);
    struct rng dice = rng_make(test_seed(), 4);
    amx_ref other[30];
    amx_ref ref = alloc(h, 100);
    size_t n = usable_of(h, ref);
    uint64_t key = 1;

    (void)state;
    for (int k = 0; k < 30; k++) {
        other[k] = alloc(h, (size_t)k * 50);
        mark(h, other[k], (uint64_t)k);
    }
    for (size_t k = 0; k < n; k++)
        bytes_of(h, ref)[k] = (unsigned char)(k * key);
    for (long i = scaled(3000); i > 0; i--) {
        size_t want = (size_t)rng_below(&dice, i % 16 ? 6000 : 200000);
        amx_ref old = ref;
        size_t now;
        void *p = NULL;

        ok(amx_resize(h, ref, want, &ref));
        now = usable_of(h, ref);
        assert_true(now >= want);
        for (size_t k = 0; k < (n < want ? n : want); k++)
            if (bytes_of(h, ref)[k] != (unsigned char)(k * key))
                fail_msg("byte %zu of %zu, was %zu", k, want, n);
        if (ref != old)
            fails(AMX_E_STALE, amx_ptr(h, old, &p));
        key = rng_next(&dice) | 1;
        for (size_t k = 0; k < now; k++)
            bytes_of(h, ref)[k] = (unsigned char)(k * key);
        n = now;
        if (i % 7 == 0) {
            size_t k = (size_t)rng_below(&dice, 30);

            verify(h, other[k], k);
            ok(amx_free(h, other[k]));
            if (i % 2)
                ok(amx_trim(h));
            other[k] = alloc(h, k * 50);
            mark(h, other[k], k);
        }
    }
    for (size_t k = 0; k < 30; k++) {
        verify(h, other[k], k);
        ok(amx_free(h, other[k]));
    }
    check_clean(h);
    ok(amx_free(h, ref));
    close_free(h);
}

static void resize_in_place(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref ref = alloc(h, 3000);
    amx_ref out;

    (void)state;
    /* the same size, less, and more again: what is behind it is free */
    ok(amx_trim(h));
    ok(amx_resize(h, ref, 3000, &out));
    assert_int_equal(out, ref);
    ok(amx_resize(h, ref, 1000, &out));
    assert_int_equal(out, ref);
    assert_int_equal(look(h, offset_of(ref)).bytes, 1008 + AMX_HEADER_SPACE);
    assert_int_equal(look(h, offset_of(ref) + 1024).state, AMX_STATE_FREE);
    ok(amx_resize(h, ref, 2000, &out));
    assert_int_equal(out, ref);
    check_clean(h);
    ok(amx_free(h, ref));
    close_free(h);
}

static void resize_moves_what_is_not_mine(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *twin = attach_again(h);
    amx_ref ref = alloc(h, 500);
    amx_ref out;
    amx_id owner = 0;

    (void)state;
    mark(h, ref, 5);
    ok(amx_publish(h, ref));
    ok(amx_resize(h, ref, 400, &out));
    assert_int_not_equal(out, ref);
    assert_true(stamped(bytes_of(h, out), 400, 5));
    ok(amx_owner(h, out, &owner));
    assert_int_equal(owner, amx_handle_id(h));
    ref = out;
    ok(amx_resize(twin, ref, 400, &out));
    assert_int_not_equal(out, ref);
    assert_true(stamped(bytes_of(h, out), 400, 5));
    ok(amx_owner(h, out, &owner));
    assert_int_equal(owner, amx_handle_id(twin));
    ok(amx_free(twin, out));
    ok(amx_close(twin));
    close_free(h);
}

static void resize_fails_without_harm(void **state)
{
    amx_t *h = new_segment(64 * KIB);
    struct row r = fill(h, 200);
    amx_ref out = 77;

    (void)state;
    for (size_t i = 0; i < r.n; i++)
        fails(AMX_E_NOMEM, amx_resize(h, r.ref[i], 1000, &out));
    assert_int_equal(out, 77);
    check_clean(h);
    free_row(h, &r); /* verified: each is as it was */
    close_free(h);
}

static void zeroed(void **state)
{
    amx_t *h = new_segment(MIB);
    static const unsigned char zero[300000];

    (void)state;
    for (size_t n = 1; n < sizeof zero; n = n * 3 + 1) {
        amx_ref ref = alloc(h, n);

        memset(bytes_of(h, ref), 0xff, usable_of(h, ref));
        ok(amx_free(h, ref));
        ok(amx_zalloc(h, n, &ref));
        assert_memory_equal(bytes_of(h, ref), zero, n);
        memset(bytes_of(h, ref), 0xff, usable_of(h, ref));
        ok(amx_free(h, ref));
    }
    close_free(h);
}

static void batches(void **state)
{
    static const size_t sizes_[] = {1, 64, 500, 5000, 20000};
    amx_t *h = new_segment(MIB);
    amx_ref *ref = calloc(40000, sizeof *ref);
    amx_ref none;

    (void)state;
    assert_non_null(ref);
    for (size_t i = 0; i < sizeof sizes_ / sizeof *sizes_; i++) {
        size_t got = 77;
        size_t freed = 77;
        int rc;

        ok(amx_alloc_many(h, sizes_[i], 20, ref, &got));
        assert_int_equal(got, 20);
        ok(amx_free_many(h, ref, got, &freed));
        assert_int_equal(freed, 20);
        /* more than there is: as many as there are, and why not more */
        fails(AMX_E_NOMEM, amx_alloc_many(h, sizes_[i], 40000, ref, &got));
        assert_true(got > 0 && got < 40000);
        fails(AMX_E_NOMEM, amx_alloc(h, sizes_[i], &none));
        for (size_t k = 0; k < got; k++)
            mark(h, ref[k], k);
        for (size_t k = 0; k < got; k++)
            verify(h, ref[k], k);
        check_clean(h);
        ok(amx_free_many(h, ref, got, &freed));
        assert_int_equal(freed, got);
        rc = amx_free_many(h, &ref[got - 1], 1, &freed);
        assert_true(rc == AMX_E_DOUBLE_FREE || rc == AMX_E_STALE); /* large ones are merged at once */
        assert_int_equal(freed, 0);
        check_all_free(h);
    }
    free(ref);
    close_free(h);
}

/* --- Waiting --------------------------------------------------------------------------------------------------- */

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void waiting_ends_with_the_time(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_ref whole = alloc(h, info_of(h).max_request);
    amx_ref ref = 77;
    uint64_t begin;
    int rc;

    (void)state;
    begin = now_ns();
    rc = amx_alloc_wait(h, 100, 0, &ref); /* only tries */
    assert_true(rc == AMX_E_TIMEOUT || rc == AMX_E_NOMEM);
    assert_true(now_ns() - begin < UINT64_C(1000000000));
    begin = now_ns();
    fails(AMX_E_TIMEOUT, amx_alloc_wait(h, 100, 30000000, &ref));
    assert_true(now_ns() - begin >= 30000000);
    assert_int_equal(ref, 77);
    begin = now_ns(); /* what can never fit is not waited for */
    fails(AMX_E_TOO_BIG, amx_alloc_wait(h, info_of(h).max_request + 1, UINT64_MAX, &ref));
    ok(amx_free(h, whole));
    ok(amx_alloc_wait(h, 100, 0, &ref));
    ok(amx_free(h, ref));
    ok(amx_alloc_wait(h, 100, UINT64_MAX, &ref));
    ok(amx_free(h, ref));
    close_free(h);
}

struct wait {
    amx_t *h[2];
    size_t n;
    uint64_t timeout;
    amx_ref victim;
    bool cached;    /* what is freed stays in a cache until its slow path trims it */
    int tid;        /* of the one who waits */
    uint64_t freed; /* when */
    uint64_t took;  /* from there until the waiter has it */
};

/* Is the one who waits asleep in the kernel? */
static bool sleeps(const struct wait *w)
{
    struct amxi_head_body *head = amx_raw_base(w->h[1]);
    int tid = __atomic_load_n(&w->tid, __ATOMIC_ACQUIRE);
    char path[64];
    char line[512] = "";
    FILE *f;

    if (tid == 0 || !(amxi_ld32_acq(&head->wait) & 1))
        return false;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    f = fopen(path, "r");
    must(f != NULL);
    must(fgets(line, sizeof line, f) != NULL);
    fclose(f);
    return strstr(line, ") S ") != NULL;
}

static void waiter(int me, void *ctx)
{
    struct wait *w = ctx;
    uint64_t begin;

    if (me == 0) {
        amx_ref ref;

        __atomic_store_n(&w->tid, gettid(), __ATOMIC_RELEASE);
        must_ok(amx_alloc_wait(w->h[0], w->n, w->timeout, &ref));
        w->took = now_ns() - __atomic_load_n(&w->freed, __ATOMIC_ACQUIRE);
        mark(w->h[0], ref, 1);
        verify(w->h[0], ref, 1);
        must_ok(amx_free(w->h[0], ref));
        return;
    }
    begin = now_ns();
    while (!sleeps(w)) {
        sched_yield();
        must(now_ns() - begin < UINT64_C(30000000000)); /* it does not sleep: it spins */
    }
    __atomic_store_n(&w->freed, now_ns(), __ATOMIC_RELEASE);
    must_ok(amx_free(w->h[1], w->victim));
    if (w->cached)
        must_ok(amx_trim(w->h[1]));
}

static void a_free_wakes_who_waits(void **state)
{
    uint64_t fastest = UINT64_MAX;

    (void)state;
    for (int round = 0; round < 40; round++) {
        amx_t *h = new_segment(MIB);
        amx_t *twin = attach_again(h);
        size_t n = round % 2 ? 6000 : 100;
        struct row r = fill(h, n);
        struct wait w = {{h, twin}, n, round % 4 < 2 ? UINT64_MAX : UINT64_C(60000000000), 0, round % 2 == 0, 0, 0, 0};

        w.victim = r.ref[r.n / 2];
        r.ref[r.n / 2] = AMX_REF_NONE;
        run_threads(2, waiter, &w);
        fastest = w.took < fastest ? w.took : fastest;
        free_row(h, &r);
        ok(amx_close(twin));
        close_free(h);
    }
    /* woken by the free, not by looking again now and then: some round shows it on the busiest machine */
    note("fastest wake: %" PRIu64 " us", fastest / 1000);
    assert_true(fastest < 10000000);
}

/* Larger than a sector, and only one free short of it. */
static void a_free_wakes_who_waits_for_a_large_block(void **state)
{
    amx_t *h = new_segment(MIB);
    amx_t *twin = attach_again(h);
    size_t whole = (size_t)info_of(h).max_request;

    (void)state;
    for (int round = 0; round < 20; round++) {
        struct wait w = {{h, twin}, whole, UINT64_MAX, alloc(h, round % 2 ? 6000 : 300000), false, 0, 0, 0};

        run_threads(2, waiter, &w);
    }
    ok(amx_close(twin));
    close_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_area_as_one_block),
        cmocka_unit_test(cuts),
        cmocka_unit_test(many_large_blocks),
        cmocka_unit_test(aligned),
        cmocka_unit_test(aligned_in_another_mapping),
        cmocka_unit_test(resize_keeps_the_contents),
        cmocka_unit_test(resize_in_place),
        cmocka_unit_test(resize_moves_what_is_not_mine),
        cmocka_unit_test(resize_fails_without_harm),
        cmocka_unit_test(zeroed),
        cmocka_unit_test(batches),
        cmocka_unit_test(waiting_ends_with_the_time),
        cmocka_unit_test(a_free_wakes_who_waits),
        cmocka_unit_test(a_free_wakes_who_waits_for_a_large_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
