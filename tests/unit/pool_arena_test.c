/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots of the arena: requests above all classes of a pool in a segment. A block under a slot's reference: it comes with the
 * slot, moves with it, goes with it, and is freed once.
 */
#include "tests/pool_kit.h"

#include "amx_object.h"
#include "arena.h"

enum { SMALL = 2, LARGE = 6 };
static const struct amx_pool_config mixed = {.n = 2, .cls = {{64, SMALL}, {AMX_POOL_ARENA, LARGE}}};

static struct amx_stats stats_of(const amx_t *h)
{
    struct amx_stats s = {.struct_size = sizeof s};
    must_ok(amx_stat(h, &s));
    return s;
}

/* Live blocks of the segment, but for the pool's own. */
static uint64_t blocks(const amx_t *h)
{
    return stats_of(h).live_blocks - 1;
}

static amx_ref cell_of(const struct amx_pool *p, amx_slot s)
{
    return amxi_ld64_rlx((amxi_a64 *)(void *)(p->base + p->part[AMX_SLOT_CLASS(s)].data) + AMX_SLOT_INDEX(s));
}

static void sizes(void **state)
{
    static const size_t of[] = {65, 1000, 4096, 20000, 200000};
    struct room r;
    amx_slot s[5], no = 7;
    void *p, *q;
    size_t n;
    (void)state;
    room_open(&r, BLOCK, &mixed);
    for (int i = 0; i < 5; i++) {
        s[i] = take(&r, 0, of[i]);
        assert_int_equal(AMX_SLOT_CLASS(s[i]), 1);
        ok(amx_pool_ptr(&r.pool[0], s[i], &p, &n));
        assert_true(n >= of[i] && n < of[i] + of[i] / 4 + 4096);
        assert_int_equal((uintptr_t)p % 16, 0);
        stamp(p, n, s[i]);
    }
    assert_int_equal(blocks(r.h[0]), 5);
    for (int i = 0; i < 5; i++) { /* the other process sees the same bytes, at another address */
        ok(amx_pool_ptr(&r.pool[1], s[i], &q, &n));
        ok(amx_pool_ptr(&r.pool[0], s[i], &p, NULL));
        assert_true(p != q && q == amx_pool_ptr_unchecked(&r.pool[1], s[i]));
        assert_true(stamped(q, n, s[i]));
    }
    struct amx_pool_stats st = pool_stat(&r.pool[0], 1);
    assert_true(st.used == 5 && st.slot_size == AMX_POOL_ARENA && st.bytes >= 65 + 1000 + 4096 + 20000 + 200000);
    fails(AMX_E_TOO_BIG, amx_pool_alloc(&r.pool[0], (size_t)1 << 30, r.owner[0], &no));
    fails(AMX_E_TOO_BIG, amx_pool_alloc(&r.pool[0], SIZE_MAX, r.owner[0], &no));
    fails(AMX_E_NOMEM, amx_pool_alloc(&r.pool[0], 900000, r.owner[0], &no)); /* the arena has not so much */
    assert_int_equal(no, 7);
    assert_int_equal(pool_stat(&r.pool[0], 1).used, 5);
    (void)pool_clean(&r.pool[1]);
    for (int i = 0; i < 5; i++) { /* freed by the other one */
        ok(amx_pool_free(&r.pool[i & 1], s[i]));
        fails(AMX_E_DOUBLE_FREE, amx_pool_free(&r.pool[1], s[i]));
        fails(AMX_E_STALE, amx_pool_ptr(&r.pool[0], s[i], &p, NULL));
        assert_null(amx_pool_ptr_unchecked(&r.pool[0], s[i]));
    }
    assert_int_equal(blocks(r.h[0]), 0);
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* Small requests never come from the arena; large ones end when its slots are all in use. */
static void backpressure(void **state)
{
    struct room r;
    amx_slot s, all[LARGE];
    (void)state;
    room_open(&r, BLOCK, &mixed);
    for (int i = 0; i < SMALL; i++)
        assert_int_equal(AMX_SLOT_CLASS(take(&r, 0, 1)), 0);
    fails(AMX_E_NOMEM, amx_pool_alloc(&r.pool[0], 64, r.owner[0], &s));
    for (int i = 0; i < LARGE; i++)
        all[i] = take(&r, i & 1, 65);
    fails(AMX_E_NOMEM, amx_pool_alloc(&r.pool[0], 65, r.owner[0], &s));
    fails(AMX_E_TIMEOUT, amx_pool_alloc_wait(&r.pool[0], 65, r.owner[0], 1, &s));
    assert_int_equal(blocks(r.h[0]), LARGE);
    ok(amx_pool_free(&r.pool[0], all[3]));
    s = take(&r, 1, 500);
    assert_int_equal(s >> 32, all[3] >> 32);
    fails(AMX_E_STALE, amx_pool_free(&r.pool[0], all[3]));
    assert_int_equal(room_bury(&r, 0, NULL), SMALL + LARGE / 2);
    assert_int_equal(room_bury(&r, 1, NULL), LARGE / 2);
    assert_int_equal(blocks(r.h[0]), 0);
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

static int no_bytes(const struct amx_pool_slot *s, void *ctx)
{
    uint64_t *bytes = ctx;
    bytes[s->ref != 0] += s->bytes;
    return 0;
}

/* The block moves with the slot, in every way a slot moves. */
static void ownership(void **state)
{
    struct room r;
    amx_slot s, given;
    uint64_t kept = 0, bytes[2] = {0};
    amx_id owner;
    void *p;
    size_t n;
    (void)state;
    room_open(&r, BLOCK, &mixed);
    s = take(&r, 0, 5000);
    ok(amx_pool_ptr(&r.pool[0], s, &p, &n));
    stamp(p, n, 1);
    ok(amx_pool_give(&r.pool[0], s, r.owner[1], &given));
    fails(AMX_E_STALE, amx_pool_ptr(&r.pool[0], s, &p, NULL));
    amx_slot lost = take(&r, 0, 3000), stays = take(&r, 0, 3000), work = take(&r, 0, 3000);
    ok(amx_pool_publish(&r.pool[0], stays));
    ok(amx_pool_set_state(&r.pool[0], work, AMX_STATE_KEPT));
    ok(amx_pool_walk(&r.pool[0], no_bytes, bytes));
    assert_true(bytes[1] >= 5000 + 3 * 3000);
    assert_int_equal(bytes[0], SMALL * 64); /* free slots of the arena have none */
    assert_int_equal(blocks(r.h[1]), 4);
    assert_int_equal(room_bury(&r, 0, &kept), 2);
    assert_int_equal(blocks(r.h[1]), 3); /* his own fell, and the kept one did not */
    fails(AMX_E_DOUBLE_FREE, amx_pool_free(&r.pool[1], lost));
    ok(amx_pool_owner(&r.pool[1], work, &owner));
    assert_int_equal(owner, 0);
    ok(amx_pool_ptr(&r.pool[1], given, &p, &n));
    assert_true(stamped(p, n, 1));
    ok(amx_pool_adopt(&r.pool[0], stays, r.owner[0]));
    ok(amx_pool_transition(&r.pool[0], work, AMX_STATE_KEPT, 60, NULL));
    ok(amx_pool_adopt(&r.pool[0], work, r.owner[0]));
    assert_int_equal(room_bury(&r, 0, NULL), 2);
    assert_int_equal(blocks(r.h[1]), 1);
    assert_int_equal(room_bury(&r, 1, NULL), 1);
    assert_int_equal(blocks(r.h[1]), 0);
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* A slot that is being made or freed by somebody: nobody else's calls reach it, by whatever reference. */
static void midway(void **state)
{
    struct room r;
    void *p;
    amx_slot out;
    uint32_t st;
    (void)state;
    room_open(&r, BLOCK, &mixed);
    amx_slot s = take(&r, 0, 100);
    uint64_t w = amxi_ld64_rlx(pool_word(&r.pool[0], s));
    amxi_st64_rlx(pool_word(&r.pool[0], s), w - AMX_STATE_ALLOCATED + AMX_STATE_CACHED);
    fails(AMX_E_DOUBLE_FREE, amx_pool_free(&r.pool[1], s));
    fails(AMX_E_STALE, amx_pool_free(&r.pool[1], s + 1));
    fails(AMX_E_STALE, amx_pool_ptr(&r.pool[1], s, &p, NULL));
    fails(AMX_E_STALE, amx_pool_publish(&r.pool[1], s));
    fails(AMX_E_STALE, amx_pool_give(&r.pool[1], s, r.owner[1], &out));
    fails(AMX_E_STALE, amx_pool_get_state(&r.pool[1], s, &st));
    fails(AMX_E_STALE, amx_pool_set_state(&r.pool[1], s, 60));
    assert_int_equal(pool_clean(&r.pool[1]).used, 1);
    assert_int_equal(pool_stat(&r.pool[1], 1).used, 1);
    assert_int_equal(blocks(r.h[1]), 1);
    assert_int_equal(room_bury(&r, 0, NULL), 1); /* dead in the middle: finished for him */
    assert_int_equal(blocks(r.h[1]), 0);
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

static int count_rule(const struct amx_finding *f, void *ctx)
{
    *(int *)ctx += f->grade == AMX_GRADE_CORRUPT && strcmp(f->rule, "pool cell") == 0;
    return 0;
}

static int cell_findings(const struct amx_pool *p)
{
    struct amx_pool_check_result c = {.struct_size = sizeof c};
    int n = 0;
    int e = amx_pool_check(p, count_rule, &n, &c);
    assert_int_equal(e, n ? AMX_E_CORRUPT : AMX_OK);
    assert_int_equal(c.corrupt, n);
    return n;
}

static void damage(void **state)
{
    struct room r;
    amx_ref other;
    void *p;
    (void)state;
    room_open(&r, BLOCK, &mixed);
    amx_slot s = take(&r, 0, 100), t = take(&r, 0, 100);
    amxi_a64 *cell = (amxi_a64 *)(void *)(r.pool[0].base + r.pool[0].part[1].data);
    const amx_ref was = cell_of(&r.pool[0], s);
    uint32_t i = AMX_SLOT_INDEX(s);
    assert_int_equal(cell_findings(&r.pool[1]), 0);
    ok(amx_alloc(r.h[1], 10, &other));
    const amx_ref bad[] = {0, other, was + 1, 1, UINT64_MAX};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        amxi_st64_rlx(&cell[i], bad[k]);
        assert_int_equal(cell_findings(&r.pool[1]), 1);
        if (bad[k] != other)
            fails(AMX_E_CORRUPT, amx_pool_ptr(&r.pool[1], s, &p, NULL));
    }
    amxi_st64_rlx(&cell[i], was);
    ok(amx_free(r.h[1], cell_of(&r.pool[0], t))); /* behind the pool's back: the slot says so, and can be freed */
    assert_int_equal(cell_findings(&r.pool[1]), 1);
    fails(AMX_E_CORRUPT, amx_pool_ptr(&r.pool[1], t, &p, NULL));
    ok(amx_pool_free(&r.pool[1], t));
    assert_int_equal(cell_findings(&r.pool[1]), 0);
    ok(amx_pool_free(&r.pool[1], s));
    amxi_st64_rlx(&cell[i], other);
    assert_int_equal(cell_findings(&r.pool[1]), 1);
    amxi_st64_rlx(&cell[i], 0);
    ok(amx_free(r.h[1], other));
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* Slots in use go with the pool, with their blocks; nothing stays in the segment. Extents of the class too. */
static void removal(void **state)
{
    struct room r;
    amx_slot s = AMX_SLOT_NONE, all[LARGE + 20];
    int n = 0;
    (void)state;
    room_open(&r, BLOCK, &mixed);
    ok(amx_pool_extend(&r.pool[0], 1, 20));
    while (amx_pool_alloc(&r.pool[n & 1], 65, AMX_POOL_SELF, &s) == AMX_OK)
        all[n++] = s;
    assert_int_equal(n, LARGE + 20);
    for (int i = 0; i < n; i += 2) {
        void *p;
        size_t bytes;
        ok(amx_pool_ptr(&r.pool[1], all[i], &p, &bytes));
        assert_true(bytes >= 65);
    }
    ok(amx_pool_publish(&r.pool[0], all[0]));
    assert_int_equal(blocks(r.h[0]), n + 1); /* and the extent's */
    uint64_t w = amxi_ld64_rlx(pool_word(&r.pool[0], all[1]));
    amxi_st64_rlx(pool_word(&r.pool[0], all[1]),
                  w - AMX_STATE_ALLOCATED + AMX_STATE_CACHED); /* of one that was killed */
    ok(amx_pool_remove(&r.pool[0]));
    assert_int_equal(blocks(r.h[1]), 0);
    fails(AMX_E_STALE, amx_pool_remove(&r.pool[1])); /* looks at nothing that is another's by now */
    ok(amx_close(r.h[1]));
    ok(amx_free(r.h[0], r.block));
    close_free(r.h[0]);
}

static void extents_fall(void **state)
{
    struct room r;
    amx_slot s;
    int n = 0;
    (void)state;
    room_open(&r, BLOCK, &mixed);
    ok(amx_pool_extend(&r.pool[1], 1, 9));
    while (amx_pool_alloc(&r.pool[0], 100 + (size_t)n, AMX_POOL_SELF, &s) == AMX_OK)
        n++;
    assert_int_equal(n, LARGE + 9);
    assert_int_equal(room_bury(&r, 0, NULL), n);
    assert_int_equal(blocks(r.h[1]), 1);
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* In other memory there is no arena. */
static void not_outside(void **state)
{
    static const struct amx_pool_config alone = {.n = 1, .flags = AMX_POOL_LINES, .cls = {{AMX_POOL_ARENA, 3}}},
                                        not_last = {.n = 2, .cls = {{AMX_POOL_ARENA, 3}, {64, 1}}};
    struct amx_pool_offsets l;
    struct amx_pool_config k;
    struct amx_pool p;
    struct room r;
    amx_slot s;
    void *m, *region = aligned_alloc(64, 4096);
    size_t n;
    (void)state;
    assert_non_null(region);
    fails(AMX_E_INVAL, amx_pool_init(region, 4096, 0, &mixed, &p));
    fails(AMX_E_INVAL, amx_pool_layout(&not_last, &l));
    ok(amx_pool_layout(&alone, &l));
    assert_int_equal(l.bytes, 256 + 64 + 64 + 64); /* words, hints, cells: a line each */
    room_open(&r, BLOCK, &alone);
    ok(amx_pool_discover(r.region[1], r.len, BASE, &k));
    assert_int_equal(k.cls[0].slot_size, AMX_POOL_ARENA);
    fails(AMX_E_LAYOUT, amx_pool_attach(r.region[1], r.len, BASE, NULL, &p));
    s = take(&r, 0, 1); /* no other class: everything is above them */
    ok(amx_pool_ptr(&r.pool[0], s, &m, &n));
    assert_int_equal((uintptr_t)m % 64, 0);
    assert_true(n >= 64);
    ok(amx_pool_free(&r.pool[1], s));
    room_close(&r);
    free(region);
}

/* A table of the user's own whose words own blocks: recovery frees them, whatever it is. */
static void any_object(void **state)
{
    enum { WORDS = 3 };
    amx_t *h, *other;
    struct amx_options opt = AMX_OPTIONS_INIT;
    struct amx_recovery rec = {.struct_size = sizeof rec};
    struct amx_object o = {
        .struct_size = sizeof o, .kind = 5, .count = WORDS, .stride = 16, .cells = 48, .cells_from = 1};
    uint64_t id;
    void *p;
    amx_ref block[WORDS - 1];
    (void)state;
    opt.size = UINT64_C(1) << 20;
    opt.flags = AMX_F_NO_RECOVER;
    ok(amx_create_memfd("cells", &opt, &h));
    ok(amx_attach_fd(amx_fd(h), &opt, &other));
    ok(amx_zalloc(h, 48 + (WORDS - 1) * 8, &o.ref));
    ok(amx_publish(h, o.ref));
    struct amx_object bad[] = {o, o, o, o, o};
    bad[0].cells = 56;
    bad[1].cells_from = WORDS;
    bad[2].cells = 4096;
    bad[3].to = 60;
    bad[4].pairs = 1;
    for (int i = 0; i < 5; i++)
        fails(AMX_E_INVAL, amx_object_add(h, &bad[i], &id));
    ok(amx_object_add(h, &o, &id));
    ok(amx_object_touch(other, id));
    ok(amx_ptr(h, o.ref, &p));
    uint32_t tag = AMX_OBJECT_OWNER(amx_handle_id(other));
    for (int i = 0; i < WORDS; i++) {
        amxi_st64_rlx((amxi_a64 *)p + 2 * i, AMXI_W0(i == 2 ? AMX_STATE_KEPT : 70, tag, 3));
        if (i) {
            ok(amx_alloc(h, 100, &block[i - 1]));
            ok(amx_publish(h, block[i - 1]));
            amxi_st64_rlx((amxi_a64 *)p + 6 + i - 1, block[i - 1]);
        }
    }
    ok(amx_close(other));
    ok(amx_recover(h, 0, NULL, NULL, &rec));
    assert_int_equal(amxi_ld64_rlx((amxi_a64 *)p), AMXI_W0(0, 0, 3));
    assert_int_equal(amxi_ld64_rlx((amxi_a64 *)p + 2), AMXI_W0(0, 0, 3));
    assert_int_equal(amxi_ld64_rlx((amxi_a64 *)p + 4), AMXI_W0(AMX_STATE_KEPT, 0, 3));
    assert_int_equal(amxi_ld64_rlx((amxi_a64 *)p + 6), 0);
    assert_int_equal(amxi_ld64_rlx((amxi_a64 *)p + 7), block[1]); /* kept, with its block */
    fails(AMX_E_DOUBLE_FREE, amx_free(h, block[0]));
    ok(amx_free(h, block[1]));
    ok(amx_object_remove(h, id));
    ok(amx_free(h, o.ref));
    close_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),        cmocka_unit_test(backpressure), cmocka_unit_test(ownership),
        cmocka_unit_test(midway),       cmocka_unit_test(damage),       cmocka_unit_test(removal),
        cmocka_unit_test(extents_fall), cmocka_unit_test(not_outside),  cmocka_unit_test(any_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
