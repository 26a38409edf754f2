/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slot pools: one suite for each kind of region. p1-p11 are the counterparts of the published unit tests, d1-d13 replay
 * the defects of the published code as far as one process can (tests/process/pool_test.c has those that need a death,
 * tests/stress/pool_test.c the races).
 */
#include "tests/pool_kit.h"

#include "arena.h"
#include "os.h"

static const struct amx_pool_config three = {.n = 3, .cls = {{64, 8}, {256, 4}, {4096, 2}}};
enum { ALL = 14 };

static enum kind kind_of(void **state)
{
    return **(enum kind **)state;
}

static uint64_t gen_at(const struct amx_pool *p, uint32_t c, uint32_t i)
{
    return AMXI_W0_GEN(amxi_ld64_rlx((amxi_a64 *)(void *)(p->base + p->part[c].words) + i));
}

/* --- The published tests ------------------------------------------------------------------------------------------ */

static void p1_alloc_and_free(void **state)
{
    struct room r;
    amx_id owner = 0;
    uint32_t st = 0;
    room_open(&r, kind_of(state), &three);
    uint64_t gen = gen_at(&r.pool[0], 0, 0);
    amx_slot s = take(&r, 0, 40);
    assert_int_equal(AMX_SLOT_CLASS(s), 0);
    assert_true(AMX_SLOT_INDEX(s) < 8);
    assert_int_equal((uint32_t)s, (uint32_t)(gen + 1)); /* the first life */
    assert_int_equal(used_all(&r.pool[1]), 1);
    ok(amx_pool_owner(&r.pool[1], s, &owner));
    assert_int_equal(owner, r.owner[0]);
    ok(amx_pool_get_state(&r.pool[1], s, &st));
    assert_int_equal(st, AMX_STATE_ALLOCATED);
    ok(amx_pool_free(&r.pool[0], s));
    assert_int_equal(used_all(&r.pool[1]), 0);
    fails(AMX_E_STALE, amx_pool_owner(&r.pool[1], s, &owner));
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

static void p2_smallest_class_that_fits(void **state)
{
    static const struct {
        size_t size;
        uint32_t c;
    } of[] = {{0, 0}, {1, 0}, {64, 0}, {65, 1}, {256, 1}, {257, 2}, {4096, 2}};
    struct room r;
    room_open(&r, kind_of(state), &three);
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        amx_slot s = take(&r, 0, of[i].size);
        assert_int_equal(AMX_SLOT_CLASS(s), of[i].c);
        ok(amx_pool_free(&r.pool[0], s));
    }
    room_close(&r);
}

static void p3_next_class_when_empty(void **state)
{
    struct room r;
    room_open(&r, kind_of(state), &three);
    for (int i = 0; i < 8; i++)
        assert_int_equal(AMX_SLOT_CLASS(take(&r, 0, 64)), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(AMX_SLOT_CLASS(take(&r, 0, 64)), 1);
    assert_int_equal(AMX_SLOT_CLASS(take(&r, 0, 64)), 2);
    assert_int_equal(pool_stat(&r.pool[0], 0).exhausted, 5);
    assert_int_equal(pool_stat(&r.pool[0], 1).exhausted, 1);
    assert_int_equal(pool_stat(&r.pool[0], 2).exhausted, 0);
    assert_int_equal(pool_stat(&r.pool[0], 0).high, 8);
    assert_int_equal(pool_stat(&r.pool[0], 2).high, 1);
    assert_int_equal(room_bury(&r, 0, NULL), 13);
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* Backpressure is one answer, too large another. */
static void p4_exhaustion(void **state)
{
    struct room r;
    amx_slot s, all[ALL];
    room_open(&r, kind_of(state), &three);
    for (int i = 0; i < ALL; i++) {
        all[i] = take(&r, i & 1, 1);
        for (int k = 0; k < i; k++)
            assert_true(all[k] >> 32 != all[i] >> 32);
    }
    fails(AMX_E_NOMEM, amx_pool_alloc(&r.pool[0], 1, r.owner[0], &s));
    fails(AMX_E_NOMEM, amx_pool_alloc(&r.pool[1], 4096, r.owner[1], &s));
    fails(AMX_E_TOO_BIG, amx_pool_alloc(&r.pool[1], 4097, r.owner[1], &s));
    ok(amx_pool_free(&r.pool[1], all[3]));
    s = take(&r, 0, 1);
    assert_int_equal(s >> 32, all[3] >> 32);
    all[3] = s;
    for (int i = 0; i < ALL; i++)
        ok(amx_pool_free(&r.pool[i & 1], all[i]));
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

static void p5_next_life_next_generation(void **state)
{
    static const struct amx_pool_config one = {.n = 1, .cls = {{16, 1}}};
    struct room r;
    room_open(&r, kind_of(state), &one);
    amx_slot s = take(&r, 0, 16);
    for (int i = 0; i < 100; i++) {
        ok(amx_pool_free(&r.pool[i & 1], s));
        amx_slot t = take(&r, i & 1, 16);
        assert_int_equal(t >> 32, s >> 32);
        assert_int_equal((uint32_t)t, (uint32_t)s + 1);
        fails(AMX_E_STALE, amx_pool_free(&r.pool[0], s));
        s = t;
    }
    ok(amx_pool_free(&r.pool[0], s));
    room_close(&r);
}

static void p6_double_free(void **state)
{
    struct room r;
    room_open(&r, kind_of(state), &three);
    amx_slot s = take(&r, 0, 100), other = take(&r, 0, 100);
    ok(amx_pool_free(&r.pool[0], s));
    fails(AMX_E_DOUBLE_FREE, amx_pool_free(&r.pool[0], s));
    fails(AMX_E_DOUBLE_FREE, amx_pool_free(&r.pool[1], s));
    amx_slot next[3];
    for (int i = 0; i < 3; i++)
        next[i] = take(&r, 1, 100);
    fails(AMX_E_STALE, amx_pool_free(&r.pool[0], s));
    for (int i = 0; i < 3; i++)
        ok(amx_pool_free(&r.pool[0], next[i]));
    ok(amx_pool_free(&r.pool[1], other));
    pool_all_free(&r.pool[0], r.owner[0]);
    room_close(&r);
}

static void p7_data(void **state)
{
    struct room r;
    amx_slot all[ALL];
    void *p, *q;
    size_t n;
    room_open(&r, kind_of(state), &three);
    for (int i = 0; i < ALL; i++) {
        all[i] = take(&r, 0, 1);
        ok(amx_pool_ptr(&r.pool[0], all[i], &p, &n));
        assert_int_equal(n, three.cls[AMX_SLOT_CLASS(all[i])].slot_size);
        assert_int_equal((uintptr_t)p % 64, 0);
        assert_true((unsigned char *)p >= (unsigned char *)r.region[0] + BASE);
        assert_true((unsigned char *)p + n <= (unsigned char *)r.region[0] + r.len);
        stamp(p, n, all[i]);
    }
    for (int i = 0; i < ALL; i++) { /* through the other view: the same bytes */
        ok(amx_pool_ptr(&r.pool[1], all[i], &q, &n));
        assert_true(stamped(q, n, all[i]));
        assert_ptr_equal(q, amx_pool_ptr_unchecked(&r.pool[1], all[i]));
        ok(amx_pool_free(&r.pool[1], all[i]));
        fails(AMX_E_STALE, amx_pool_ptr(&r.pool[0], all[i], &p, NULL));
    }
    (void)pool_clean(&r.pool[0]);
    room_close(&r);
}

static void p8_too_big(void **state)
{
    struct room r;
    amx_slot s = 5;
    room_open(&r, kind_of(state), &three);
    fails(AMX_E_TOO_BIG, amx_pool_alloc(&r.pool[0], 4097, r.owner[0], &s));
    fails(AMX_E_TOO_BIG, amx_pool_alloc(&r.pool[0], SIZE_MAX, r.owner[0], &s));
    fails(AMX_E_TOO_BIG, amx_pool_alloc(&r.pool[0], (UINT64_C(1) << 32) + 16, r.owner[0], &s));
    assert_int_equal(s, 5);
    room_close(&r);
}

static void p9_one_owner_falls(void **state)
{
    struct room r;
    void *p;
    room_open(&r, kind_of(state), &three);
    amx_slot his[3] = {take(&r, 0, 64), take(&r, 0, 256), take(&r, 0, 4096)}, mine = take(&r, 1, 64);
    ok(amx_pool_ptr(&r.pool[1], mine, &p, NULL));
    stamp(p, 64, 9);
    assert_int_equal(room_bury(&r, 0, NULL), 3);
    assert_int_equal(used_all(&r.pool[1]), 1);
    for (int i = 0; i < 3; i++)
        fails(AMX_E_DOUBLE_FREE, amx_pool_free(&r.pool[1], his[i]));
    for (int i = 0; i < ALL - 1; i++)
        (void)take(&r, 0, 1);
    assert_true(stamped(p, 64, 9));
    assert_int_equal(room_bury(&r, 0, NULL), ALL - 1);
    ok(amx_pool_free(&r.pool[1], mine));
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

static void p10_layout(void **state)
{
    struct amx_pool_offsets a, b;
    struct amx_pool_config k;
    struct room r;
    uint64_t bytes;
    ok(amx_pool_layout(&three, &a));
    ok(amx_pool_layout(&three, &b));
    assert_memory_equal(&a, &b, sizeof a);
    ok(amx_pool_required_size(&three, &bytes));
    assert_int_equal(bytes, a.bytes);
    /* in numbers: 128 + 3 * 128, words 64 + 64 + 64, hints 3 * 64, slots 512 + 1024 + 8192 */
    assert_int_equal(a.words, 512);
    assert_int_equal(a.words_count, 24);
    assert_int_equal(a.cls[2].words, 512 + 128);
    assert_int_equal(a.cls[0].hints, 704);
    assert_int_equal(a.cls[0].data, 896);
    assert_int_equal(a.cls[2].data, 896 + 512 + 1024);
    assert_int_equal(bytes, 896 + 512 + 1024 + 8192);
    room_open(&r, kind_of(state), &three);
    memset(&k, 1, sizeof k);
    ok(amx_pool_discover(r.region[1], r.len, BASE, &k));
    assert_int_equal(k.n, 3);
    assert_int_equal(k.flags, 0);
    assert_memory_equal(k.cls, three.cls, sizeof k.cls);
    assert_int_equal(amx_pool_class_count(&r.pool[1]), 3);
    for (uint32_t c = 0; c < 3; c++) {
        uint32_t size;
        ok(amx_pool_slot_size(&r.pool[1], c, &size));
        assert_int_equal(size, three.cls[c].slot_size);
    }
    uint32_t size;
    fails(AMX_E_INVAL, amx_pool_slot_size(&r.pool[1], 3, &size));
    room_close(&r);
}

static int told_owner(const struct amx_pool_slot *s, void *ctx)
{
    uint32_t *n = ctx;
    n[s->owner]++;
    return 0;
}

static void p11_owner_is_recorded(void **state)
{
    struct room r;
    static uint32_t n[4096];
    room_open(&r, kind_of(state), &three);
    uint32_t a = (uint32_t)(r.owner[0] & 0xfff), b = (uint32_t)(r.owner[1] & 0xfff);
    amx_slot s = take(&r, 0, 1), t = take(&r, 1, 1), u = take(&r, 1, 1);
    memset(n, 0, sizeof n);
    ok(amx_pool_walk(&r.pool[0], told_owner, n));
    assert_int_equal(n[a], 1);
    assert_int_equal(n[b], 2);
    assert_int_equal(n[0], ALL - 3);
    ok(amx_pool_free(&r.pool[0], s));
    ok(amx_pool_free(&r.pool[0], t));
    ok(amx_pool_free(&r.pool[0], u));
    memset(n, 0, sizeof n);
    ok(amx_pool_walk(&r.pool[0], told_owner, n));
    assert_int_equal(n[0], ALL);
    room_close(&r);
}

/* --- The published defects ---------------------------------------------------------------------------------------- */

/* 1, 2: a death between two steps left a slot that nobody owned and no list had. What memory can say after each step: */
static void d1_d2_no_slot_is_lost(void **state)
{
    for (int at = 0; at < 4; at++) {
        struct room r;
        room_open(&r, kind_of(state), &three);
        amx_slot s = take(&r, 0, 64);
        switch (at) {
        case 0: /* allocate: hint cleared, word not yet his; free: word free, hint not yet set */
            ok(amx_pool_free(&r.pool[0], s));
            (void)amxi_and64_rel(pool_hint(&r.pool[0], s), ~(UINT64_C(1) << AMX_SLOT_INDEX(s)));
            break;
        case 1: /* allocated, told nobody */
            break;
        case 2: /* taken by a sweep: hint still set */
            (void)amxi_or64_rlx(pool_hint(&r.pool[0], s), UINT64_C(1) << AMX_SLOT_INDEX(s));
            break;
        default: /* freed by a recovery that has no code for hints */
            amxi_st64_rlx(pool_word(&r.pool[0], s), AMXI_W0(0, 0, (uint32_t)s));
        }
        (void)room_bury(&r, 0, NULL);
        assert_int_equal(used_all(&r.pool[1]), 0);
        pool_all_free(&r.pool[1], r.owner[1]);
        room_close(&r);
    }
}

/* 4: the sender dies, its receiver reads on. 5: the receiver dies, the slot comes back. */
static void d4_d5_ownership_moves(void **state)
{
    struct room r;
    amx_slot s, given;
    amx_id owner;
    void *p;
    room_open(&r, kind_of(state), &three);
    s = take(&r, 0, 64);
    ok(amx_pool_ptr(&r.pool[0], s, &p, NULL));
    stamp(p, 64, 4);
    ok(amx_pool_give(&r.pool[0], s, r.owner[1], &given));
    assert_int_equal(given >> 32, s >> 32);
    fails(AMX_E_STALE, amx_pool_free(&r.pool[0], s)); /* the sender's reference is over */
    ok(amx_pool_owner(&r.pool[1], given, &owner));
    assert_int_equal(owner, r.owner[1]);
    assert_int_equal(room_bury(&r, 0, NULL), 0);
    for (int i = 0; i < ALL - 1; i++)
        (void)take(&r, 0, 1); /* all but the one that the receiver reads */
    ok(amx_pool_ptr(&r.pool[1], given, &p, NULL));
    assert_true(stamped(p, 64, 4));
    assert_int_equal(room_bury(&r, 0, NULL), ALL - 1);
    assert_int_equal(room_bury(&r, 1, NULL), 1);
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* 6: who was taken for dead cannot touch the next life of what he had. Not in segments: there the kernel tells. */
static void d6_zombie(void **state)
{
    struct room r;
    void *p;
    room_open(&r, kind_of(state), &three);
    amx_slot s = take(&r, 0, 4096), t;
    assert_int_equal(room_bury(&r, 0, NULL), 1);
    fails(AMX_E_STALE, amx_pool_ptr(&r.pool[0], s, &p, NULL));
    do /* the very slot */
        t = take(&r, 1, 4096);
    while (t >> 32 != s >> 32);
    fails(AMX_E_STALE, amx_pool_free(&r.pool[0], s));
    fails(AMX_E_STALE, amx_pool_publish(&r.pool[0], s));
    fails(AMX_E_STALE, amx_pool_set_state(&r.pool[0], s, 60));
    assert_true(room_bury(&r, 1, NULL) >= 1);
    room_close(&r);
}

/* 8: references from outside. */
static void d8_wild_references(void **state)
{
    struct rng dice = rng_make(test_seed(), 8);
    struct room r;
    void *p;
    amx_slot given;
    room_open(&r, kind_of(state), &three);
    amx_slot mine = take(&r, 0, 64);
    static const amx_slot wild[] = {0,
                                    1,
                                    UINT64_C(1) << 32,
                                    UINT64_C(0x0100000800000001),
                                    UINT64_C(0x0200000400000001),
                                    UINT64_C(0x0400000000000001),
                                    UINT64_C(0xff00000000000001),
                                    UINT64_C(0x01ffffff00000001),
                                    UINT64_MAX};
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        fails(AMX_E_OFFSET, amx_pool_free(&r.pool[0], wild[i]));
        fails(AMX_E_OFFSET, amx_pool_ptr(&r.pool[0], wild[i], &p, NULL));
        fails(AMX_E_OFFSET, amx_pool_give(&r.pool[0], wild[i], r.owner[1], &given));
        assert_null(amx_pool_ptr_unchecked(&r.pool[0], wild[i]));
    }
    for (int i = 0; i < scaled(100000); i++) {
        amx_slot s = rng_next(&dice);
        if (rng_below(&dice, 2)) /* there is such a slot */
            s = (rng_below(&dice, 2) + 1) << 56 | rng_below(&dice, 4) << 32 | (uint32_t)s;
        if (s == mine)
            continue;
        int e = amx_pool_free(&r.pool[0], s);
        assert_true(e == AMX_E_OFFSET || e == AMX_E_STALE || e == AMX_E_DOUBLE_FREE);
        assert_true(amx_pool_ptr(&r.pool[0], s, &p, NULL) != AMX_OK);
        assert_true(amx_pool_adopt(&r.pool[0], s, r.owner[0]) != AMX_OK);
    }
    ok(amx_pool_free(&r.pool[0], mine));
    room_close(&r);
}

/* 9: configurations are validated. */
static void d9_configurations(void **state)
{
    struct amx_pool_offsets l;
    struct amx_pool p;
    (void)state;
    static char room[1 << 16];
#define BAD(...)                                                                                                       \
    do {                                                                                                               \
        struct amx_pool_config k = __VA_ARGS__;                                                                        \
        fails(AMX_E_INVAL, amx_pool_layout(&k, &l));                                                                   \
        fails(AMX_E_INVAL, amx_pool_init(room, sizeof room, 0, &k, &p));                                               \
    } while (0)
    BAD({.n = 0});
    BAD({.n = 33});
    BAD({.n = UINT32_MAX});
    BAD({.n = 3, .cls = {{64, 1}, {1024, 1}, {256, 1}}});
    BAD({.n = 2, .cls = {{64, 1}, {64, 1}}});
    BAD({.n = 2, .cls = {{64, 1}, {128, 0}}});
    BAD({.n = 1, .cls = {{0, 1}}});
    BAD({.n = 1, .cls = {{24, 1}}});
    BAD({.n = 1, .cls = {{UINT32_MAX, 1}}});
    BAD({.n = 1, .cls = {{16, AMX_POOL_SLOTS + 1}}});
    BAD({.n = 1, .flags = AMX_POOL_LINES, .cls = {{48, 1}}});
    BAD({.n = 1, .flags = 2, .cls = {{64, 1}}});
    struct amx_pool_config most = {.n = AMX_POOL_CLASSES};
    for (uint32_t i = 0; i < AMX_POOL_CLASSES; i++)
        most.cls[i] = (struct amx_pool_class){UINT32_MAX - 15 - 16 * (AMX_POOL_CLASSES - 1 - i), AMX_POOL_SLOTS};
    ok(amx_pool_layout(&most, &l)); /* the largest: no sum wraps */
    assert_true(l.bytes > UINT64_C(1) << 60 && l.bytes < UINT64_C(1) << 62);
    assert_int_equal(l.words_count, AMX_POOL_CLASSES * AMX_POOL_SLOTS);
    fails(AMX_E_INVAL, amx_pool_init(room, sizeof room, 0, &most, &p));
    struct amx_pool_config lines = {.n = 1, .flags = AMX_POOL_LINES, .cls = {{192, 3}}};
    ok(amx_pool_layout(&lines, &l));
    fails(AMX_E_INVAL, amx_pool_layout(NULL, &l));
    fails(AMX_E_INVAL, amx_pool_layout(&lines, NULL));
}

/* 10: nothing is attached that is not complete, or of another shape. */
static void d10_attach(void **state)
{
    struct room r;
    struct amx_pool p;
    struct amx_pool_config k;
    struct rng dice = rng_make(test_seed(), 10);
    room_open(&r, kind_of(state), &three);
    unsigned char *base = (unsigned char *)r.region[0] + BASE;
    ok(amx_pool_attach(r.region[0], r.len, BASE, NULL, &p));
    ok(amx_pool_attach(r.region[0], r.len, BASE, &three, &p));
    k = three;
    k.cls[1].count++;
    fails(AMX_E_LAYOUT, amx_pool_attach(r.region[0], r.len, BASE, &k, &p));
    k = three;
    k.n = 2;
    fails(AMX_E_LAYOUT, amx_pool_attach(r.region[0], r.len, BASE, &k, &p));
    k = three;
    k.flags = AMX_POOL_LINES;
    fails(AMX_E_LAYOUT, amx_pool_attach(r.region[0], r.len, BASE, &k, &p));
    fails(AMX_E_INVAL, amx_pool_attach(r.region[0], r.len, BASE + 16, &three, &p));
    fails(AMX_E_INVAL, amx_pool_attach((char *)r.region[0] + 16, r.len - 16, BASE, &three, &p));
    fails(AMX_E_INVAL, amx_pool_attach(NULL, r.len, BASE, &three, &p));
    fails(AMX_E_LAYOUT, amx_pool_attach(r.region[0], r.len, BASE + 64, &three, &p));
    fails(AMX_E_LAYOUT, amx_pool_attach(r.region[0], r.len - 1, BASE, &three, &p));
    fails(AMX_E_LAYOUT, amx_pool_attach(r.region[0], BASE + 200, BASE, &three, &p));
    fails(AMX_E_LAYOUT, amx_pool_attach(r.region[0], 64, BASE, &three, &p));
    if (r.kind == BLOCK) {
        fails(AMX_E_LAYOUT, amx_pool_attach_block(r.h[0], r.block, BASE + 64, &three, &p));
        fails(AMX_E_STALE, amx_pool_attach_block(r.h[0], r.block ^ 1, BASE, &three, &p));
    } else {
        fails(AMX_E_INVAL, amx_pool_init(r.region[0], r.len, BASE + 32, &three, &p));
        fails(AMX_E_INVAL, amx_pool_init(r.region[0], r.len - 1, BASE, &three, &p));
    }
    /* any byte of the constants: refused, or noticed by check, and never out of bounds */
    struct amx_pool_offsets l;
    ok(amx_pool_layout(&three, &l));
    unsigned char *copy = malloc(l.words);
    assert_non_null(copy);
    memcpy(copy, base, l.words);
    for (int i = 0; i < scaled(20000); i++) {
        static const unsigned used[] = {0, 44, 128, 160, 256, 288, 384, 416}; /* constants: from, to */
        unsigned part = (unsigned)rng_below(&dice, 4);
        size_t at = used[2 * part] + rng_below(&dice, used[2 * part + 1] - used[2 * part]);
        base[at] ^= (unsigned char)rng_range(&dice, 1, 255);
        fails(AMX_E_LAYOUT, amx_pool_attach(r.region[0], r.len, BASE, NULL, &p));
        struct amx_pool_check_result c = {.struct_size = sizeof c};
        fails(AMX_E_CORRUPT, amx_pool_check(&r.pool[1], NULL, NULL, &c));
        amx_slot s = take(&r, 1, 64); /* a view does not look there again */
        ok(amx_pool_free(&r.pool[1], s));
        memcpy(base, copy, 128);
        for (unsigned n = 0; n < 3; n++)
            memcpy(base + 128 + 128 * n, copy + 128 + 128 * n, 64);
    }
    free(copy);
    room_close(&r);
}

static void *free_later(void *ctx)
{
    struct room *r = ctx;
    usleep(10000);
    must_ok(amx_pool_free(&r->pool[1], (amx_slot)r->len));
    return NULL;
}

/* 12: backpressure is an answer; who wants to wait sleeps, and is woken. */
static void d12_waiting(void **state)
{
    static const struct amx_pool_config one = {.n = 2, .cls = {{16, 1}, {32, 1}}};
    struct room r;
    pthread_t t;
    amx_slot a, b, c;
    room_open(&r, kind_of(state), &one);
    size_t len = r.len;
    a = take(&r, 0, 16);
    ok(amx_pool_alloc_wait(&r.pool[0], 16, r.owner[0], 0, &b)); /* there is one: of the larger class */
    fails(AMX_E_TIMEOUT, amx_pool_alloc_wait(&r.pool[0], 16, r.owner[0], 0, &c));
    fails(AMX_E_TIMEOUT, amx_pool_alloc_wait(&r.pool[0], 16, r.owner[0], 2000000, &c));
    fails(AMX_E_TOO_BIG, amx_pool_alloc_wait(&r.pool[0], 33, r.owner[0], UINT64_MAX, &c));
    uint64_t best = UINT64_MAX;
    for (int turn = 0; turn < 10; turn++) {
        r.len = (size_t)b;
        must(pthread_create(&t, NULL, free_later, &r) == 0);
        uint64_t start = amxi_os_mono_ns();
        ok(amx_pool_alloc_wait(&r.pool[0], 16, r.owner[0], UINT64_MAX, &c));
        uint64_t took = amxi_os_mono_ns() - start;
        must(pthread_join(t, NULL) == 0);
        assert_int_equal(c >> 32, b >> 32);
        best = took < best ? took : best;
        b = c;
    }
    assert_true(best < 95000000); /* it looks by itself after 100 ms; woken it was earlier */
    r.len = len;
    ok(amx_pool_free(&r.pool[0], a));
    ok(amx_pool_free(&r.pool[0], c));
    room_close(&r);
}

/* 13: generations wrap, at 40 bits; a reference has 32 of them. */
static void d13_generation_wraps(void **state)
{
    static const struct amx_pool_config one = {.n = 1, .cls = {{16, 1}}};
    struct room r;
    room_open(&r, kind_of(state), &one);
    amxi_st64_rlx(pool_word(&r.pool[0], UINT64_C(1) << 56), AMXI_W0(0, 0, AMXI_GEN_MASK - 1));
    amx_slot s = take(&r, 0, 16);
    assert_int_equal((uint32_t)s, UINT32_MAX);
    ok(amx_pool_free(&r.pool[0], s));
    amx_slot t = take(&r, 0, 16);
    assert_int_equal((uint32_t)t, 0); /* still no reference to nothing */
    assert_true(t != AMX_SLOT_NONE);
    assert_int_equal(amxi_ld64_rlx(pool_word(&r.pool[0], t)), AMXI_W0(1, r.owner[0] & 0xfff, 0));
    fails(AMX_E_STALE, amx_pool_free(&r.pool[1], s));
    amx_slot given;
    ok(amx_pool_give(&r.pool[0], t, r.owner[1], &given));
    assert_int_equal((uint32_t)given, 1);
    ok(amx_pool_free(&r.pool[1], given));
    room_close(&r);
}

/* --- The rest ----------------------------------------------------------------------------------------------------- */

static void ownership(void **state)
{
    struct room r;
    amx_slot s, out;
    amx_id owner;
    uint64_t n = 0;
    room_open(&r, kind_of(state), &three);
    s = take(&r, 0, 64);
    fails(AMX_E_OWNER, amx_pool_adopt(&r.pool[1], s, r.owner[1]));
    ok(amx_pool_publish(&r.pool[0], s));
    fails(AMX_E_OWNER, amx_pool_publish(&r.pool[0], s));
    ok(amx_pool_owner(&r.pool[0], s, &owner));
    assert_int_equal(owner, 0);
    assert_int_equal(pool_stat(&r.pool[0], 0).published, 1);
    assert_int_equal(room_bury(&r, 0, NULL), 0); /* it stays */
    ok(amx_pool_adopt(&r.pool[1], s, r.owner[1]));
    fails(AMX_E_OWNER, amx_pool_adopt(&r.pool[0], s, r.owner[0]));
    ok(amx_pool_used_by(&r.pool[0], r.owner[1], &n));
    assert_int_equal(n, 1);
    fails(AMX_E_INVAL, amx_pool_give(&r.pool[0], s, 0, &out));
    if (r.kind == BLOCK) {
        fails(AMX_E_INVAL, amx_pool_give(&r.pool[0], s, 3, &out));
        fails(AMX_E_OWNER, amx_pool_alloc(&r.pool[0], 1, r.owner[1], &out));
        fails(AMX_E_OWNER, amx_pool_alloc(&r.pool[0], 1, r.owner[0] + (1 << 12), &out));
        fails(AMX_E_INVAL, amx_pool_recover(&r.pool[0], r.owner[1], NULL, NULL));
        ok(amx_pool_alloc(&r.pool[0], 1, AMX_POOL_SELF, &out));
        ok(amx_pool_owner(&r.pool[0], out, &owner));
        assert_int_equal(owner, r.owner[0]);
        ok(amx_pool_free(&r.pool[0], out));
    } else {
        fails(AMX_E_INVAL, amx_pool_give(&r.pool[0], s, 4095, &out));
        fails(AMX_E_INVAL, amx_pool_alloc(&r.pool[0], 1, 0, &out));
        fails(AMX_E_INVAL, amx_pool_alloc(&r.pool[0], 1, 4095, &out));
        fails(AMX_E_INVAL, amx_pool_recover(&r.pool[0], 0, NULL, NULL));
        fails(AMX_E_INVAL, amx_pool_recover(&r.pool[0], 4096 + 7, NULL, NULL));
    }
    ok(amx_pool_free(&r.pool[0], s)); /* anybody may */
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

static void states(void **state)
{
    struct room r;
    uint32_t st = 0;
    uint64_t kept;
    room_open(&r, kind_of(state), &three);
    amx_slot s = take(&r, 0, 64), t = take(&r, 0, 64);
    fails(AMX_E_RESERVED, amx_pool_set_state(&r.pool[0], s, 48));
    fails(AMX_E_INVAL, amx_pool_set_state(&r.pool[0], s, 4096));
    ok(amx_pool_set_state(&r.pool[0], s, 49));
    ok(amx_pool_transition(&r.pool[1], s, 49, 50, &st));
    assert_int_equal(st, 49);
    fails(AMX_E_STATE, amx_pool_transition(&r.pool[1], s, 49, 51, &st));
    assert_int_equal(st, 50);
    fails(AMX_E_RESERVED, amx_pool_transition(&r.pool[1], s, 1, 51, &st));
    fails(AMX_E_RESERVED, amx_pool_transition(&r.pool[1], s, 51, 0, &st));
    fails(AMX_E_INVAL, amx_pool_transition(&r.pool[1], s, 51, 4096, &st));
    ok(amx_pool_get_state(&r.pool[1], s, &st));
    assert_int_equal(st, 50);
    ok(amx_pool_set_state(&r.pool[0], t, AMX_STATE_KEPT));
    (void)room_bury(&r, 0, &kept);
    fails(AMX_E_STALE, amx_pool_get_state(&r.pool[1], s, &st));
    ok(amx_pool_get_state(&r.pool[1], t, &st)); /* stays, nobody's */
    assert_int_equal(st, AMX_STATE_KEPT);
    assert_int_equal(pool_stat(&r.pool[1], 0).kept, 1);
    assert_int_equal(pool_stat(&r.pool[1], 0).published, 1);
    if (r.kind != BLOCK)
        assert_int_equal(kept, 1);
    ok(amx_pool_adopt(&r.pool[1], t, r.owner[1]));
    ok(amx_pool_free(&r.pool[1], t));
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* Hints may lie in any way: no slot is handed out twice, none is lost. */
static void hints_lie(void **state)
{
    static const struct amx_pool_config k = {.n = 2, .cls = {{16, 130}, {48, 64}}};
    struct rng dice = rng_make(test_seed(), 1);
    struct room r;
    room_open(&r, kind_of(state), &k);
    amxi_st64_rlx((amxi_a64 *)(void *)(r.pool[0].base + r.pool[0].part[1].hints), 0);
    amx_slot first = take(&r, 0, 48); /* by the words, and the hints that were missing are there */
    assert_int_equal(amxi_ld64_rlx(pool_hint(&r.pool[0], first)), ~(UINT64_C(1) << AMX_SLOT_INDEX(first)));
    ok(amx_pool_free(&r.pool[1], first));
    for (int turn = 0; turn < scaled(200); turn++) {
        amx_slot s[194];
        int n = 0, want = (int)rng_below(&dice, 194);
        for (; n < want; n++)
            s[n] = take(&r, n & 1, 1);
        for (uint32_t c = 0; c < 2; c++)
            for (uint32_t g = 0; g < (c ? 1 : 3); g++)
                amxi_st64_rlx((amxi_a64 *)(void *)(r.pool[0].base + r.pool[0].part[c].hints) + g,
                              rng_below(&dice, 3)   ? rng_next(&dice)
                              : rng_below(&dice, 2) ? 0
                                                    : UINT64_MAX);
        for (; n < 194; n++)
            s[n] = take(&r, n & 1, 1);
        fails(AMX_E_NOMEM, amx_pool_alloc(&r.pool[0], 1, r.owner[0], &s[0]));
        for (n = 0; n < 194; n++)
            ok(amx_pool_free(&r.pool[0], s[n]));
        if (rng_below(&dice, 2))
            amxi_st64_rlx((amxi_a64 *)(void *)(r.pool[0].base + r.pool[0].part[0].hints) + 2, 3);
        else
            continue;
        pool_all_free(&r.pool[1], r.owner[1]);
    }
    for (uint32_t c = 0; c < 2; c++)
        amxi_st64_rlx((amxi_a64 *)(void *)(r.pool[0].base + r.pool[0].part[c].hints) + (c ? 0 : 2), c ? UINT64_MAX : 3);
    room_close(&r);
}

static int count_finding(const struct amx_finding *f, void *ctx)
{
    unsigned *n = ctx;
    n[f->grade]++;
    return 0;
}

/* Words that no call makes: found by the validator, handed out by nobody. */
static void check_finds(void **state)
{
    struct room r;
    void *p;
    amx_slot t;
    room_open(&r, kind_of(state), &three);
    amx_slot s = take(&r, 0, 64);
    uint64_t good = amxi_ld64_rlx(pool_word(&r.pool[0], s)), gen = AMXI_W0_GEN(good);
    const uint64_t bad[] = {AMXI_W0(2, 0, gen), AMXI_W0(48, 7, gen), AMXI_W0(0, 5, gen), AMXI_W0(1, 4095, gen)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        unsigned n[3] = {0};
        struct amx_pool_check_result c = {.struct_size = sizeof c};
        amxi_st64_rlx(pool_word(&r.pool[0], s), bad[i]);
        if (r.kind == BLOCK && i == 3) { /* no such handle: as a dead one's */
            ok(amx_pool_check(&r.pool[1], count_finding, n, &c));
            assert_int_equal(n[AMX_GRADE_UNDONE], 1);
        } else {
            fails(AMX_E_CORRUPT, amx_pool_check(&r.pool[1], count_finding, n, &c));
            assert_int_equal(n[AMX_GRADE_CORRUPT], 1);
            assert_int_equal(c.corrupt, 1);
        }
        if (i < 2) {
            fails(AMX_E_CORRUPT, amx_pool_ptr(&r.pool[1], s, &p, NULL));
            fails(AMX_E_CORRUPT, amx_pool_free(&r.pool[1], s));
        }
        for (int k = 0; k < 7; k++) {
            t = take(&r, 1, 64);
            assert_int_equal(AMX_SLOT_CLASS(t), 0);
            assert_true(t >> 32 != s >> 32);
        }
        t = take(&r, 1, 64);
        assert_int_equal(AMX_SLOT_CLASS(t), 1);
        (void)room_bury(&r, 1, NULL);
    }
    amxi_st64_rlx(pool_word(&r.pool[0], s), good);
    ok(amx_pool_free(&r.pool[0], s));
    pool_all_free(&r.pool[1], r.owner[1]);                           /* sets the hints that room_bury could not */
    (void)amxi_or64_rlx(pool_hint(&r.pool[0], s), UINT64_C(1) << 8); /* beyond the last slot */
    fails(AMX_E_CORRUPT, amx_pool_check(&r.pool[1], NULL, NULL, NULL));
    (void)amxi_and64_rel(pool_hint(&r.pool[0], s), 0xfe); /* and one that is missing */
    unsigned n[3] = {0};
    ok(amx_pool_check(&r.pool[1], count_finding, n, NULL));
    assert_int_equal(n[AMX_GRADE_NOTE], 1);
    room_close(&r);
}

static int stop_at_five(const struct amx_pool_slot *s, void *ctx)
{
    (void)s;
    return ++*(int *)ctx == 5 ? -77 : 0;
}

static void bad_input(void **state)
{
    struct room r;
    struct amx_pool none = {0};
    struct amx_pool_stats st = {.struct_size = 3};
    struct amx_pool_check_result c = {.struct_size = 3};
    amx_slot s;
    void *p;
    int n = 0;
    room_open(&r, kind_of(state), &three);
    struct amx_pool *v = &r.pool[0];
    fails(AMX_E_INVAL, amx_pool_alloc(NULL, 1, 7, &s));
    fails(AMX_E_INVAL, amx_pool_alloc(&none, 1, 7, &s));
    fails(AMX_E_INVAL, amx_pool_alloc(v, 1, r.owner[0], NULL));
    fails(AMX_E_INVAL, amx_pool_alloc_wait(v, 1, r.owner[0], 0, NULL));
    fails(AMX_E_INVAL, amx_pool_free(NULL, 1));
    fails(AMX_E_INVAL, amx_pool_ptr(v, 1, NULL, NULL));
    fails(AMX_E_INVAL, amx_pool_ptr(&none, 1, &p, NULL));
    fails(AMX_E_INVAL, amx_pool_walk(v, NULL, NULL));
    assert_int_equal(amx_pool_walk(v, stop_at_five, &n), -77);
    assert_int_equal(n, 5);
    fails(AMX_E_INVAL, amx_pool_stat(v, 0, &st));
    st.struct_size = sizeof st;
    fails(AMX_E_INVAL, amx_pool_stat(v, 3, &st));
    fails(AMX_E_INVAL, amx_pool_check(v, NULL, NULL, &c));
    fails(AMX_E_INVAL, amx_pool_remove(&none));
    fails(AMX_E_INVAL, amx_pool_extend(&none, 0, 1));
    if (r.kind != BLOCK)
        fails(AMX_E_INVAL, amx_pool_extend(v, 0, 1));
    assert_int_equal(amx_pool_class_count(NULL), 0);
    assert_null(amx_pool_ptr_unchecked(NULL, 1));
    fails(AMX_E_INVAL, amx_pools(NULL, NULL, NULL));
    room_close(&r);
}

/* High-water marks: exact for a class of up to 64 slots, also if hints are missing. */
static void high_water(void **state)
{
    static const struct amx_pool_config k = {.n = 2, .cls = {{16, 60}, {32, 200}}};
    struct room r;
    amx_slot s[60];
    room_open(&r, kind_of(state), &k);
    for (int i = 0; i < 20; i++)
        s[i] = take(&r, 0, 16);
    for (int i = 0; i < 20; i++)
        ok(amx_pool_free(&r.pool[0], s[i]));
    assert_int_equal(pool_stat(&r.pool[0], 0).high, 20);
    assert_int_equal(pool_stat(&r.pool[0], 0).used, 0);
    amxi_st64_rlx(pool_hint(&r.pool[0], s[0]), UINT64_C(1) << 59);
    s[0] = take(&r, 0, 16);
    assert_int_equal(pool_stat(&r.pool[0], 0).high, 20);
    for (int i = 1; i < 21; i++)
        s[i] = take(&r, 0, 16);
    assert_int_equal(amxi_ld64_rlx(&((struct amxi_pool_class_body *)(void *)(r.pool[0].base + 128))->high), 21);
    for (int i = 0; i < 128; i++)
        (void)take(&r, 1, 32);
    uint32_t high = pool_stat(&r.pool[0], 1).high;
    assert_int_equal(high, 128);
    (void)room_bury(&r, 0, NULL);
    (void)room_bury(&r, 1, NULL);
    assert_int_equal(pool_stat(&r.pool[0], 1).high, 128);
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* --- Segments only ------------------------------------------------------------------------------------------------ */

static int count_place(const struct amx_pool_place *p, void *ctx)
{
    struct amx_pool_place *copy = ctx;
    *copy = *p;
    copy->struct_size = copy->struct_size == sizeof *p ? 1 : 0;
    return 0;
}

static void in_a_segment(void **state)
{
    amx_t *h = new_segment(UINT64_C(1) << 20), *more = new_handle(h), *ro;
    struct amx_options o = AMX_OPTIONS_INIT;
    struct amx_pool p, q, v;
    struct amx_pool_place place = {0};
    amx_ref block, mine;
    amx_slot s, t;
    amx_id owner;
    void *m;
    (void)state;
    ok(amx_pool_create(h, &three, &block, &p));
    ok(amx_pools(h, count_place, &place));
    assert_int_equal(place.struct_size, 1);
    assert_int_equal(place.block, block);
    assert_int_equal(place.base, 0);
    assert_int_equal(place.n, 3);
    ok(amx_pool_attach_block(more, block, 0, &three, &q));
    o.flags = AMX_F_READONLY;
    ok(amx_attach_fd(amx_fd(h), &o, &ro));
    ok(amx_pool_attach_block(ro, block, 0, NULL, &v));
    ok(amx_pool_alloc(&p, 10, AMX_POOL_SELF, &s));
    ok(amx_pool_ptr(&v, s, &m, NULL));
    ok(amx_pool_owner(&v, s, &owner));
    assert_int_equal(owner, amx_handle_id(h));
    assert_int_equal(pool_stat(&v, 0).used, 1);
    (void)pool_clean(&v);
    fails(AMX_E_READONLY, amx_pool_alloc(&v, 10, AMX_POOL_SELF, &t));
    fails(AMX_E_READONLY, amx_pool_free(&v, s));
    fails(AMX_E_READONLY, amx_pool_publish(&v, s));
    fails(AMX_E_READONLY, amx_pool_give(&v, s, owner, &t));
    fails(AMX_E_READONLY, amx_pool_init_block(ro, block, 0, &three, &v));
    ok(amx_close(ro));
    /* what a handle that is given back had stays its process's, and falls when the attachment is closed */
    ok(amx_pool_alloc(&q, 10, AMX_POOL_SELF, &t));
    owner = amx_handle_id(more);
    ok(amx_unshare(more));
    assert_int_equal(pool_stat(&p, 0).used, 2);
    amx_slot u;
    fails(AMX_E_PEER_DEAD, amx_pool_give(&p, s, owner, &u)); /* it is closed */
    ok(amx_pool_owner(&p, u, &owner));
    assert_int_equal(owner, amx_handle_id(h));
    ok(amx_pool_free(&p, u));
    amx_t *other = attach_again(h);
    ok(amx_pool_attach_block(other, block, 0, NULL, &v));
    ok(amx_close(h));
    assert_int_equal(used_all(&v), 0);
    pool_all_free(&v, AMX_POOL_SELF);
    /* refused: a block that is private, or too small; then a pool that is gone */
    ok(amx_alloc_aligned(other, 64, bytes_for(&three), &mine));
    fails(AMX_E_OWNER, amx_pool_init_block(other, mine, 0, &three, &q));
    ok(amx_publish(other, mine));
    fails(AMX_E_INVAL, amx_pool_init_block(other, mine, 64, &three, &q));
    fails(AMX_E_INVAL, amx_pool_init_block(other, mine, 8, &three, &q));
    fails(AMX_E_LAYOUT, amx_pool_attach_block(other, mine, 0, &three, &q));
    ok(amx_pool_init_block(other, mine, 0, &three, &q));
    struct amx_pool copy = q;
    ok(amx_pool_remove(&q));
    fails(AMX_E_INVAL, amx_pool_remove(&q));
    fails(AMX_E_STALE, amx_pool_remove(&copy));
    fails(AMX_E_LAYOUT, amx_pool_attach_block(other, mine, 0, &three, &q));
    ok(amx_pool_init(bytes_of(other, mine), bytes_for(&three), 0, &three, &q)); /* a pool, but of no segment */
    fails(AMX_E_STALE, amx_pool_attach_block(other, mine, 0, &three, &q));
    ok(amx_free(other, mine));
    ok(amx_pool_remove(&v));
    ok(amx_free(other, block));
    close_free(other);
}

/* 11: a class grows while others are attached, who find its new slots by themselves. */
static void d11_growth(void **state)
{
    struct room r;
    amx_slot s[64], t;
    void *p;
    size_t n;
    (void)state;
    room_open(&r, BLOCK, &three);
    for (int i = 0; i < ALL; i++)
        s[i] = take(&r, 0, 1);
    fails(AMX_E_NOMEM, amx_pool_alloc(&r.pool[1], 1, r.owner[1], &t));
    fails(AMX_E_INVAL, amx_pool_extend(&r.pool[0], 3, 1));
    fails(AMX_E_INVAL, amx_pool_extend(&r.pool[0], 1, 0));
    fails(AMX_E_FULL, amx_pool_extend(&r.pool[0], 1, AMX_POOL_SLOTS - 3));
    fails(AMX_E_TOO_BIG, amx_pool_extend(&r.pool[0], 2, 1 << 20));
    ok(amx_pool_extend(&r.pool[0], 1, 20));
    for (int i = 0; i < 20; i++) { /* the other view: by exhaustion */
        s[ALL + i] = take(&r, 1, 1);
        assert_int_equal(AMX_SLOT_CLASS(s[ALL + i]), 1);
        assert_in_range(AMX_SLOT_INDEX(s[ALL + i]), 4, 23);
        ok(amx_pool_ptr(&r.pool[1], s[ALL + i], &p, &n));
        assert_int_equal(n, 256);
        stamp(p, n, s[ALL + i]);
    }
    fails(AMX_E_TIMEOUT, amx_pool_alloc_wait(&r.pool[1], 1, r.owner[1], 0, &t));
    amxi_a32 *wait = &((struct amxi_pool_body *)(void *)r.pool[1].base)->wait;
    uint32_t sleeps = amxi_ld32_rlx(wait);
    assert_true(sleeps & 1);
    ok(amx_pool_extend(&r.pool[1], 1, 3));
    assert_int_equal(amxi_ld32_rlx(wait), sleeps + 1); /* who sleeps on it is woken */
    ok(amx_pool_alloc(&r.pool[1], 1, r.owner[1], &t));
    assert_int_equal(AMX_SLOT_INDEX(t), 24);
    ok(amx_pool_ptr(&r.pool[0], t, &p, NULL)); /* the first view: by a reference */
    assert_int_equal(pool_stat(&r.pool[0], 1).count, 27);
    assert_int_equal(pool_stat(&r.pool[0], 1).extents, 2);
    assert_int_equal(pool_stat(&r.pool[0], 1).used, 25);
    fails(AMX_E_OFFSET, amx_pool_free(&r.pool[0], (UINT64_C(2) << 56) + (UINT64_C(27) << 32)));
    /* a view that is new knows them all; who has slots in an extent and dies loses them there too */
    struct amx_pool late;
    ok(amx_pool_attach_block(r.h[0], r.block, BASE, &three, &late));
    for (int i = 0; i < 20; i++) {
        ok(amx_pool_ptr(&late, s[ALL + i], &p, &n));
        assert_true(stamped(p, n, s[ALL + i]));
    }
    ok(amx_pool_free(&r.pool[0], t));
    amx_slot given;
    ok(amx_pool_give(&r.pool[1], s[ALL], r.owner[0], &given));
    assert_int_equal(room_bury(&r, 1, NULL), 19);
    ok(amx_pool_owner(&r.pool[0], given, &(amx_id){0}));
    assert_int_equal(room_bury(&r, 0, NULL), ALL + 1);
    assert_int_equal(used_all(&r.pool[1]), 0);
    for (int i = 0; i < AMX_POOL_EXTENTS - 2; i++)
        ok(amx_pool_extend(&r.pool[1], 0, 1));
    fails(AMX_E_FULL, amx_pool_extend(&r.pool[1], 0, 1)); /* no object is left */
    fails(AMX_E_FULL, amx_pool_extend(&r.pool[0], 0, 5));
    fails(AMX_E_FULL, amx_pool_extend(&r.pool[0], 2, 1));
    for (int i = 0; i < ALL + 23 + AMX_POOL_EXTENTS - 2; i++)
        (void)take(&r, i & 1, 1);
    fails(AMX_E_NOMEM, amx_pool_alloc(&r.pool[1], 1, r.owner[1], &t));
    (void)room_bury(&r, 0, NULL);
    (void)room_bury(&r, 1, NULL);
    assert_int_equal(used_all(&r.pool[0]), 0);
    room_close(&r); /* all blocks of the extents are free again */
}

/* Somebody may be recovering, and looking at the pool: its blocks must not be freed yet. Called again, it goes on. */
static void removal_meets_recovery(void **state)
{
    struct room r;
    amx_slot s;
    (void)state;
    room_open(&r, BLOCK, &three);
    ok(amx_pool_extend(&r.pool[0], 0, 3));
    ok(amx_pool_extend(&r.pool[0], 2, 1));
    amxi_a32 *purging = &amxi_handle(r.h[1]->seg, r.h[1]->tag - 1)->purging;
    (void)amxi_add32_sc(purging, 1);
    fails(AMX_E_BUSY, amx_pool_remove(&r.pool[0]));
    fails(AMX_E_BUSY, amx_pool_remove(&r.pool[0]));
    struct amx_pool p;
    fails(AMX_E_STALE, amx_pool_attach_block(r.h[1], r.block, BASE, &three, &p));
    (void)amxi_sub32_rel(purging, 1);
    struct amx_pool copy = r.pool[0];
    ok(amx_pool_remove(&r.pool[0]));
    fails(AMX_E_STALE, amx_pool_remove(&copy));
    ok(amx_pool_init_block(r.h[0], r.block, BASE, &three,
                           &r.pool[0])); /* made anew, it is not the old one's to remove */
    fails(AMX_E_STALE, amx_pool_remove(&copy));
    ok(amx_pool_alloc(&r.pool[0], 10, AMX_POOL_SELF, &s));
    ok(amx_pool_free(&r.pool[0], s));
    ok(amx_pool_attach_block(r.h[1], r.block, BASE, &three, &r.pool[1]));
    room_close(&r);
}

/* A forked child may look at the bytes, and calls answer that it has to attach for itself. */
static void forked_child(void **state)
{
    amx_t *h = new_segment(UINT64_C(1) << 20);
    struct amx_pool p;
    amx_ref block;
    amx_slot s, t;
    (void)state;
    ok(amx_pool_create(h, &three, &block, &p));
    ok(amx_pool_alloc(&p, 10, AMX_POOL_SELF, &s));
    pid_t pid = fork();
    if (!pid) {
        void *m;
        must(amx_pool_alloc(&p, 10, AMX_POOL_SELF, &t) == AMX_E_FORKED);
        must(amx_pool_free(&p, s) == AMX_E_FORKED);
        must(amx_pool_ptr(&p, s, &m, NULL) == AMX_E_FORKED);
        must(amx_pool_adopt(&p, s, AMX_POOL_SELF) == AMX_E_FORKED);
        must(amx_pool_check(&p, NULL, NULL, NULL) == AMX_E_FORKED);
        _exit(0);
    }
    wait_ok(pid);
    ok(amx_pool_free(&p, s));
    ok(amx_pool_remove(&p));
    ok(amx_free(h, block));
    close_free(h);
}

/* The registry is full, or there is no room: nothing stays behind. */
static void create_fails(void **state)
{
    amx_t *h = new_segment(UINT64_C(1) << 20);
    static const struct amx_pool_config small = {.n = 1, .cls = {{64, 8}}}, huge = {.n = 1, .cls = {{1 << 20, 8}}};
    struct amx_pool p[33];
    amx_ref block[33];
    (void)state;
    fails(AMX_E_TOO_BIG, amx_pool_create(h, &huge, &block[0], &p[0]));
    for (int i = 0; i < 32; i++)
        ok(amx_pool_create(h, &small, &block[i], &p[i]));
    fails(AMX_E_FULL, amx_pool_create(h, &small, &block[32], &p[32]));
    for (int i = 0; i < 32; i++) {
        ok(amx_pool_remove(&p[i]));
        ok(amx_free(h, block[i]));
    }
    close_free(h);
}

#define EACH(f)                                                                                                        \
    {#f " (plain)", f, NULL, NULL, (void *)(uintptr_t)&kinds[0]},                                                      \
        {#f " (memfd)", f, NULL, NULL, (void *)(uintptr_t)&kinds[1]},                                                  \
    {                                                                                                                  \
#f " (block)", f, NULL, NULL, (void *)(uintptr_t)&kinds[2]                                                     \
    }

int main(void)
{
    static const enum kind kinds[] = {PLAIN, MEMFD, BLOCK};
    const struct CMUnitTest tests[] = {
        EACH(p1_alloc_and_free),
        EACH(p2_smallest_class_that_fits),
        EACH(p3_next_class_when_empty),
        EACH(p4_exhaustion),
        EACH(p5_next_life_next_generation),
        EACH(p6_double_free),
        EACH(p7_data),
        EACH(p8_too_big),
        EACH(p9_one_owner_falls),
        EACH(p10_layout),
        EACH(p11_owner_is_recorded),
        EACH(d1_d2_no_slot_is_lost),
        EACH(d4_d5_ownership_moves),
        {"d6_zombie (plain)", d6_zombie, NULL, NULL, (void *)(uintptr_t)&kinds[0]},
        {"d6_zombie (memfd)", d6_zombie, NULL, NULL, (void *)(uintptr_t)&kinds[1]},
        EACH(d8_wild_references),
        EACH(d10_attach),
        EACH(d12_waiting),
        EACH(d13_generation_wraps),
        EACH(ownership),
        EACH(states),
        EACH(hints_lie),
        EACH(check_finds),
        EACH(bad_input),
        EACH(high_water),
        cmocka_unit_test(d9_configurations),
        cmocka_unit_test(in_a_segment),
        cmocka_unit_test(d11_growth),
        cmocka_unit_test(removal_meets_recovery),
        cmocka_unit_test(forked_child),
        cmocka_unit_test(create_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
