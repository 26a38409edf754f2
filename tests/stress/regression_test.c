/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The defects of the published code that need two threads (see tests/unit/regression_test.c): S4, S5, C1-C8. Each test
 * forces the interleaving as closely as it can from outside, many times; every payload is verified. The comment of each
 * test says what went wrong. tests/hook/interleave_test.c has the same interleavings for certain, one by one.
 */
#include "tests/arena_kit.h"

#include <sched.h>

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

enum { THREADS = 4 };

struct crew {
    amx_t *h[THREADS];
    int threads;
    long rounds;
    pthread_barrier_t gate;
    struct row row;
    size_t pair;
    size_t min, max;
    uint64_t busy[THREADS], full[THREADS];
    bool may_fill; /* the segment may run out */
    uint64_t done; /* churners that have ended */
};

static struct crew crew_make(uint64_t size, int threads, long rounds)
{
    struct crew c = {.threads = threads, .rounds = rounds};
    amx_t *h = new_segment(size);

    for (int i = 0; i < threads; i++)
        c.h[i] = i == 0 ? h : new_handle(h);
    must(pthread_barrier_init(&c.gate, NULL, (unsigned)threads) == 0);
    return c;
}

static void crew_end(struct crew *c)
{
    pthread_barrier_destroy(&c->gate);
    for (int i = 1; i < c->threads; i++)
        ok(amx_unshare(c->h[i]));
    close_free(c->h[0]);
}

static void meet(struct crew *c)
{
    pthread_barrier_wait(&c->gate);
}

/* Back into the sectors, or into the queue of one that is in use. */
static void go_home(amx_t *h)
{
    int rc = amx_trim(h);

    must(rc == AMX_OK || rc == AMX_E_PARTIAL);
}

/* Each thread keeps a few blocks of any size from min to max, frees them by any of the ways, and verifies each. */
static void churn(struct crew *c, int me)
{
    struct rng dice = rng_make(4711, (uint64_t)me);
    amx_t *h = c->h[me];
    amx_ref live[16];
    size_t n = 0;

    for (long i = 0; i < c->rounds; i++) {
        if (n < 16 && rng_below(&dice, 2)) {
            int rc = amx_alloc(h, (size_t)rng_range(&dice, c->min, c->max), &live[n]);

            if (rc == AMX_OK) {
                mark(h, live[n], live[n]);
                n++;
            } else {
                must(rc == AMX_E_BUSY || (rc == AMX_E_NOMEM && c->may_fill));
                c->busy[me] += rc == AMX_E_BUSY;
                c->full[me] += rc == AMX_E_NOMEM;
            }
        } else if (n > 0) {
            size_t k = (size_t)rng_below(&dice, n);
            amx_ref ref = live[k];

            live[k] = live[--n];
            verify(h, ref, ref);
            switch (rng_below(&dice, 4)) {
            case 0:
                must_ok(amx_raw_ack(h, offset_of(ref)));
                break;
            case 1:
                must_ok(amx_raw_coalesce(h, offset_of(ref)));
                go_home(h);
                break;
            default:
                must_ok(amx_free(h, ref));
                break;
            }
        }
    }
    while (n > 0) {
        verify(h, live[n - 1], live[n - 1]);
        must_ok(amx_free(h, live[--n]));
    }
    go_home(h);
    __atomic_fetch_add(&c->done, 1, __ATOMIC_RELAXED);
}

static void churner(int me, void *ctx)
{
    churn(ctx, me);
}

static void churn_all(uint64_t size, size_t min, size_t max, long rounds)
{
    struct crew c = crew_make(size, THREADS, scaled(rounds));

    c.min = min;
    c.max = max;
    c.may_fill = true;
    run_threads(THREADS, churner, &c);
    crew_end(&c);
}

/* A reads head X and its successor Y; B pops both and pushes X back; A's exchange succeeds, and Y is handed out twice.
 * One class, every free through the sector's queue and lists. */
static void s4_head_of_list_comes_back(void **state)
{
    (void)state;
    churn_all(64 * KIB, 96, 96, 60000);
}

static void take_all_and_return(int me, void *ctx)
{
    struct crew *c = ctx;
    amx_t *h = c->h[me];
    amx_ref *ref = calloc(2048, sizeof *ref);

    must(ref != NULL);
    for (long round = 0; round < c->rounds; round++) {
        size_t n = 0;
        int rc;

        meet(c);
        while (n < 2048 && (rc = amx_alloc(h, 48, &ref[n])) == AMX_OK) {
            mark(h, ref[n], ref[n]);
            n++;
        }
        while (n > 0) {
            n--;
            verify(h, ref[n], ref[n]);
            if (n & 1)
                must_ok(amx_raw_ack(h, offset_of(ref[n])));
            else
                must_ok(amx_free(h, ref[n]));
        }
        go_home(h);
        meet(c);
        if (me == 0)
            check_all_free(h);
    }
    free(ref);
}

/* The bit of a list was cleared after another had filled it again (its blocks were invisible), or set after another had
 * emptied it (every search ended there: no memory, for ever). All threads empty and fill the same class. */
static void s5_bits_follow_the_lists(void **state)
{
    struct crew c = crew_make(64 * KIB, THREADS, scaled(200));

    (void)state;
    run_threads(THREADS, take_all_and_return, &c);
    crew_end(&c);
}

/* A block said FREE until it was handed out: its neighbour's merge claimed it in between. Neighbours of two sizes come
 * and go at once. */
static void c1_no_window_between_found_and_allocated(void **state)
{
    (void)state;
    churn_all(64 * KIB, 96, 240, 60000);
}

static void steal(int me, void *ctx)
{
    struct crew *c = ctx;
    amx_t *h = c->h[me];
    struct row *r = &c->row;
    uint64_t b = offset_of(r->ref[c->pair]);
    uint64_t d = offset_of(r->ref[c->pair + 1]);

    for (long round = 0; round < c->rounds; round++) {
        meet(c);
        if (me == 0) {
            must_ok(amx_raw_ack(h, b));
        } else {
            must_ok(amx_raw_coalesce(h, d));
            go_home(h);
        }
        meet(c);
        if (me == 0) {
            amx_ref got[2];
            amx_ref none;

            must_ok(amx_heal(h));
            must(look(h, b).state == AMX_STATE_FREE);
            must(look(h, b).bytes == 2 * 112);
            got[0] = alloc(h, 96);
            got[1] = alloc(h, 96);
            must(amx_alloc(h, 96, &none) == AMX_E_NOMEM);
            qsort(got, 2, sizeof *got, by_value);
            must(offset_of(got[0]) == b && offset_of(got[1]) == d);
            for (int i = 0; i < 2; i++) {
                r->ref[c->pair + (size_t)i] = got[i];
                mark(h, got[i], offset_of(got[i]));
            }
        }
    }
}

/* B was ACKED and its size read; the free of its right neighbour merged it meanwhile; then it was put into a list again
 * with its old size. In a full segment two neighbours are freed at once: what comes of it is one block of both. */
static void c2_acked_block_is_merged_once(void **state)
{
    struct crew c = crew_make(64 * KIB, 2, scaled(20000));

    (void)state;
    c.row = fill(c.h[0], 96);
    c.pair = side_by_side(c.h[0], &c.row, 0, 4) + 1;
    run_threads(2, steal, &c);
    free_row(c.h[0], &c.row);
    crew_end(&c);
}

static void free_every_nth(int me, void *ctx)
{
    struct crew *c = ctx;

    meet(c);
    for (size_t i = (size_t)me; i < c->row.n; i += (size_t)c->threads) {
        verify(c->h[me], c->row.ref[i], offset_of(c->row.ref[i]));
        if (i & 8)
            must_ok(amx_raw_ack(c->h[me], offset_of(c->row.ref[i])));
        else
            must_ok(amx_raw_coalesce(c->h[me], offset_of(c->row.ref[i])));
    }
    go_home(c->h[me]);
}

static int no_merge_under_way(const struct amx_block *b, void *ctx)
{
    (void)ctx;
    return b->state != AMX_STATE_FREE || b->bytes == 0;
}

/* A merge that met a surprise left its neighbour COALESCING, with size 0, for ever. Each block of a full segment is
 * freed at the same time as both its neighbours. */
static void c3_no_merge_is_left_halfway(void **state)
{
    (void)state;
    for (long round = scaled(60); round > 0; round--) {
        struct crew c = crew_make(64 * KIB, THREADS, 1);

        c.row = fill(c.h[0], 16 + (size_t)round % 5 * 32);
        run_threads(THREADS, free_every_nth, &c);
        ok(amx_heal(c.h[0]));
        ok(amx_walk(c.h[0], no_merge_under_way, NULL));
        free(c.row.ref);
        crew_end(&c);
    }
}

/* The block behind a merge was told its new neighbour without being claimed: into a header that a split had just made,
 * or into a payload. Splits of large blocks race with merges into them. */
static void c4_merges_beside_splits(void **state)
{
    (void)state;
    churn_all(64 * KIB, 0, 3000, 60000);
    churn_all(256 * KIB, 0, 20000, 60000); /* and sectors that are cut by large blocks */
}

/* What a payload can look like to one who reads where a header, a footer or a list link has been: every small number in
 * every word, and copies of real headers. */
static void lie(amx_t *h, amx_ref ref, uint32_t number, const void *header)
{
    unsigned char *p = bytes_of(h, ref);
    size_t n = usable_of(h, ref);

    for (size_t i = 0; i + 4 <= n; i += 4)
        memcpy(p + i, &number, 4);
    if (header)
        for (size_t i = 16; i + 36 <= n; i += 16)
            memcpy(p + i, header, 16);
}

/* A pop followed the link of a block that had become somebody's payload meanwhile. */
static void c5_payload_is_never_believed(void **state)
{
    (void)state;
    for (uint32_t number = 0; number < 70; number++) {
        amx_t *h = new_segment(64 * KIB);
        struct row r = fill(h, 96);
        size_t i = side_by_side(h, &r, 0, 5);
        uint64_t x = offset_of(r.ref[i + 1]);
        const char *base = amx_raw_base(h);
        uint32_t units = number < 64 ? number : number == 64 ? UINT32_MAX : 1u << (number - 60);
        amx_ref ref;
        void *p;

        /* the header of a free block, and of a living one */
        ok(amx_free(h, r.ref[i + 3]));
        ok(amx_trim(h));
        const char *header = base + offset_of(r.ref[i + (number & 1 ? 3 : 4)]);
        r.ref[i + 3] = AMX_REF_NONE;
        lie(h, r.ref[i], units, number & 2 ? header : NULL);
        lie(h, r.ref[i + 2], units, number & 4 ? header : NULL);
        verify(h, r.ref[i + 1], x);
        ok(amx_free(h, r.ref[i + 1]));
        ok(amx_trim(h));
        assert_int_equal(look(h, x).bytes, 112);
        assert_int_equal(look(h, x).state, AMX_STATE_FREE);
        assert_int_equal(look(h, x - 112).state, AMX_STATE_ALLOCATED);
        check_clean(h);
        /* references to the headers that the payload pretends to hold */
        for (uint64_t k = 1; k < 7; k++) {
            fails(AMX_E_STALE, amx_ptr(h, r.ref[i] + (k << 32), &p));
            fails(AMX_E_WILD, amx_raw_free_at(h, x - 112 + 16 * k));
        }
        ok(amx_alloc(h, 96, &ref));
        ok(amx_free(h, ref));
        mark(h, r.ref[i], offset_of(r.ref[i]));
        mark(h, r.ref[i + 2], offset_of(r.ref[i + 2]));
        r.ref[i + 1] = AMX_REF_NONE;
        free_row(h, &r);
        close_free(h);
    }
}

/* A forged free block at the end of a payload, with a footer, and with list links that look right from both sides: its
 * "previous" is the living block itself, whose payload says that the forged one is next. Only the bitmap knows. */
static void c5_a_forged_free_block_is_not_merged(void **state)
{
    (void)state;
    for (uint32_t units = 2; units <= 5; units++) {
        amx_t *h = new_segment(64 * KIB);
        struct row r = fill(h, 96);
        size_t i = side_by_side(h, &r, 0, 3);
        struct amx_block l = look(h, offset_of(r.ref[i]));
        uint64_t x = offset_of(r.ref[i + 1]);
        uint32_t sector_size = info_of(h).sector_size;
        uint64_t begin = info_of(h).data_offset + (uint64_t)l.sector * sector_size;
        uint32_t forged = (uint32_t)((x - begin) / 16) - units;
        uint32_t left = (uint32_t)((l.offset - begin) / 16);
        uint64_t w0 = l.generation << 24; /* FREE, of nobody */
        uint64_t w1 = units;
        uint32_t link[2] = {0, left + 1};
        uint32_t next = forged + 1;
        unsigned char *p = bytes_of(h, r.ref[i]);
        unsigned char *at = (unsigned char *)amx_raw_base(h) + begin + (uint64_t)forged * 16;
        unsigned char copy[96];

        memset(p, 0, 96);
        memcpy(at, &w0, 8);
        memcpy(at + 8, &w1, 8);
        memcpy(at + 16, link, 8);
        memcpy(at + (size_t)units * 16 - 4, &units, 4);
        memcpy(p, &next, 4);
        memcpy(copy, p, 96);
        ok(amx_free(h, r.ref[i + 1]));
        ok(amx_trim(h));
        assert_int_equal(look(h, x).state, AMX_STATE_FREE);
        assert_int_equal(look(h, x).bytes, 112);
        assert_memory_equal(p, copy, 96);
        check_clean(h);
        mark(h, r.ref[i], offset_of(r.ref[i]));
        r.ref[i + 1] = AMX_REF_NONE;
        free_row(h, &r);
        close_free(h);
    }
}

/* 512 lost races were answered as "out of memory". Four threads work in a segment that they cannot fill. */
static void c6_no_false_out_of_memory(void **state)
{
    struct crew c = crew_make(2 * MIB, THREADS, scaled(60000));
    uint64_t busy = 0;

    (void)state;
    c.min = 0;
    c.max = 2000;
    run_threads(THREADS, churner, &c); /* AMX_E_NOMEM ends it */
    for (int i = 0; i < THREADS; i++)
        busy += c.busy[i];
    note("%ld allocations at most a tenth of the segment: none out of memory, %" PRIu64 " busy", c.rounds * THREADS / 2,
         busy);
    crew_end(&c);
}

static uint32_t wait_state(amx_t *h, amx_ref ref, uint32_t from)
{
    uint32_t s;

    do {
        sched_yield();
        must_ok(amx_get_state(h, ref, AMX_ACQUIRE, &s));
    } while (s == from);
    return s;
}

static void ping_pong(int me, void *ctx)
{
    struct crew *c = ctx;
    amx_t *h = c->h[me];
    amx_ref ref = c->row.ref[0];
    static const enum amx_order orders[] = {AMX_RELEASE, AMX_ACQ_REL, AMX_SEQ_CST};

    for (long i = 0; i < c->rounds; i++) {
        if (me == 0) {
            mark(h, ref, (uint64_t)i);
            must_ok(amx_transition(h, ref, 49, 50, orders[i % 3], NULL));
            must(wait_state(h, ref, 50) == 49);
        } else {
            must(wait_state(h, ref, 49) == 50);
            verify(h, ref, (uint64_t)i);
            must_ok(amx_transition(h, ref, 50, 49, orders[i % 3], NULL));
        }
    }
}

static void hand_over(int me, void *ctx)
{
    struct crew *c = ctx;
    amx_t *h = c->h[me];
    amx_ref ref;

    for (long i = 0; i < c->rounds; i++) {
        if (me == 0) {
            ref = alloc(h, 200);
            mark(h, ref, (uint64_t)i);
            must_ok(amx_publish(h, ref));
            while (amx_root_cas(h, 5, AMX_REF_NONE, ref, NULL) != AMX_OK)
                sched_yield();
        } else {
            do {
                sched_yield();
                must_ok(amx_root_get(h, 5, &ref));
            } while (ref == AMX_REF_NONE);
            must_ok(amx_root_cas(h, 5, ref, AMX_REF_NONE, NULL));
            must_ok(amx_adopt(h, ref));
            verify(h, ref, (uint64_t)i);
            must_ok(amx_free(h, ref));
        }
    }
    go_home(h);
}

/* Everything shared was plain memory behind exclusive references: no order was promised to anybody. Payloads are
 * written and read without any lock but the states' and the roots' own orders; TSan judges. */
static void c7_states_and_roots_order_payloads(void **state)
{
    struct crew c = crew_make(MIB, 2, scaled(5000));

    (void)state;
    c.row = fill(c.h[0], 100000);
    ok(amx_set_state(c.h[0], c.row.ref[0], 49));
    run_threads(2, ping_pong, &c);
    for (size_t i = 0; i < c.row.n; i++)
        ok(amx_free(c.h[0], c.row.ref[i]));
    free(c.row.ref);
    run_threads(2, hand_over, &c);
    crew_end(&c);
}

struct sight {
    uint64_t end, blocks;
    const amx_t *h;
};

static int in_order(const struct amx_block *b, void *ctx)
{
    struct sight *s = ctx;

    must(b->bytes >= 32 && b->bytes % 16 == 0);
    must(b->offset >= s->end); /* sectors are read one after another: nothing is seen twice */
    s->end = b->offset + b->bytes;
    must(s->end <= amx_raw_total_size(s->h));
    must(b->state <= AMX_STATE_MAX);
    s->blocks++;
    return 0;
}

static void look_around(struct crew *c, int me)
{
    amx_t *h = c->h[me];
    long looks = 0;

    while (__atomic_load_n(&c->done, __ATOMIC_RELAXED) < (uint64_t)c->threads - 1 || looks == 0) {
        struct sight s = {.h = h};
        struct amx_stats st = {.struct_size = sizeof st};
        struct amx_check_result r = {.struct_size = sizeof r};
        int rc = amx_walk(h, in_order, &s);

        must(rc == AMX_OK || rc == AMX_E_PARTIAL);
        must(rc == AMX_E_PARTIAL || s.blocks > 0);
        must_ok(amx_stat(h, &st));
        must(st.lost_bytes == 0);
        must(st.free_bytes + st.live_bytes + st.cached_bytes + st.acked_bytes + st.unseen_bytes == st.data_bytes);
        must_ok(amx_check(h, complain, c, &r));
        must(r.corrupt == 0);
        looks++;
    }
    note("%ld walks, statistics and checks while others worked", looks);
}

static void look_or_churn(int me, void *ctx)
{
    if (me == 0)
        look_around(ctx, me);
    else
        churn(ctx, me);
}

/* The published Looper ended at the first block that was being merged, and computed sizes below zero. */
static void c8_looking_while_others_work(void **state)
{
    struct crew c;

    (void)state;
    if (TSAN)
        skip();
    c = crew_make(256 * KIB, THREADS, scaled(100000));
    c.min = 0;
    c.max = 20000; /* large blocks, too */
    c.may_fill = true;
    run_threads(THREADS, look_or_churn, &c);
    crew_end(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s4_head_of_list_comes_back),
        cmocka_unit_test(s5_bits_follow_the_lists),
        cmocka_unit_test(c1_no_window_between_found_and_allocated),
        cmocka_unit_test(c2_acked_block_is_merged_once),
        cmocka_unit_test(c3_no_merge_is_left_halfway),
        cmocka_unit_test(c4_merges_beside_splits),
        cmocka_unit_test(c5_payload_is_never_believed),
        cmocka_unit_test(c5_a_forged_free_block_is_not_merged),
        cmocka_unit_test(c6_no_false_out_of_memory),
        cmocka_unit_test(c7_states_and_roots_order_payloads),
        cmocka_unit_test(c8_looking_while_others_work),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
