/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots of the arena, as tests/hook/pool_test.c has the others: killed before every store of every call, and the recovery of
 * that killed before every store of its own; stopped there, while others do everything; and recoverers that come late.
 * What must hold afterwards each time: as many blocks live in the segment as slots of the arena, and each has its own.
 */
#include "shot.h"

enum { SMALL = 2, LARGE = 5, BIG = 60000 };
static const struct amx_pool_config mixed = {.n = 2, .cls = {{64, SMALL}, {AMX_POOL_ARENA, LARGE}}};

static struct room r;
static struct amx_pool third;
static amx_t *third_h;
static amx_slot his[2], theirs, nobodys, out;

static void set(void)
{
    room_open(&r, BLOCK, &mixed);
    write_(&r.pool[1], theirs = take(&r, 1, 200));
    his[0] = take(&r, 0, 100);
    his[1] = take(&r, 0, BIG);
    write_(&r.pool[1], nobodys = take(&r, 1, 300));
    must_ok(amx_pool_publish(&r.pool[1], nobodys));
    out = AMX_SLOT_NONE;
    third_h = NULL;
}

/* --- Calls ---------------------------------------------------------------------------------------------------------- */

static void do_alloc(void)
{
    (void)amx_pool_alloc(&r.pool[0], 500, r.owner[0], &out);
}
static void do_alloc_big(void)
{
    (void)amx_pool_alloc(&r.pool[0], BIG, r.owner[0], &out);
}
static void do_alloc_none(void) /* no such memory */
{
    (void)amx_pool_alloc(&r.pool[0], 1000000, r.owner[0], &out);
}
static void do_free(void)
{
    (void)amx_pool_free(&r.pool[0], his[0]);
}
static void do_free_big(void)
{
    (void)amx_pool_free(&r.pool[0], his[1]);
}
static void do_free_nobodys(void)
{
    (void)amx_pool_free(&r.pool[0], nobodys);
}
static void do_publish(void)
{
    (void)amx_pool_publish(&r.pool[0], his[0]);
}
static void do_adopt(void)
{
    (void)amx_pool_adopt(&r.pool[0], nobodys, r.owner[0]);
}
static void do_give(void)
{
    (void)amx_pool_give(&r.pool[0], his[0], r.owner[1], &out);
}
static void do_keep(void)
{
    (void)amx_pool_set_state(&r.pool[0], his[0], AMX_STATE_KEPT);
}

static const struct {
    const char *name;
    void (*fn)(void);
    bool big;   /* its stores are the arena's, mostly, which have their own campaign */
    bool fresh; /* by one that never had a slot of this pool */
    bool empty; /* a dead one has all that is left, so that it recovers him */
} call[] = {
    {"alloc", do_alloc, false, false, false},
    {"alloc, fresh", do_alloc, false, true, false},
    {"alloc, big", do_alloc_big, true, false, false},
    {"alloc, no memory", do_alloc_none, true, false, false},
    {"free", do_free, false, false, false},
    {"free, big", do_free_big, true, false, false},
    {"free, nobody's", do_free_nobodys, false, false, false},
    {"free, nobody's, fresh", do_free_nobodys, false, true, false},
    {"publish", do_publish, false, false, false},
    {"adopt", do_adopt, false, false, false},
    {"give", do_give, false, false, false},
    {"keep", do_keep, false, false, false},
    {"alloc, recovering", do_alloc, true, true, true},
};
enum { CALLS = sizeof call / sizeof *call };

static void come(amx_t **h, struct amx_pool *pool, uint32_t flags)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    o.flags = flags;
    must_ok(amx_attach_fd(amx_fd(r.h[1]), &o, h));
    must_ok(amx_pool_attach_block(*h, r.block, BASE, &mixed, pool));
}

static void come_again(void)
{
    come(&r.h[0], &r.pool[0], AMX_F_NO_RECOVER);
}

static void set_for(int i)
{
    set();
    if (call[i].fresh) {
        must_ok(amx_close(r.h[0]));
        come(&r.h[0], &r.pool[0], call[i].empty ? 0 : AMX_F_NO_RECOVER);
        r.owner[0] = amx_handle_id(r.h[0]);
    }
    if (call[i].empty) {
        amx_slot s;
        come(&third_h, &third, AMX_F_NO_RECOVER);
        while (amx_pool_alloc(&third, 100, AMX_POOL_SELF, &s) == AMX_OK)
            ;
        drop(third_h);
    }
}

/* --- What must hold --------------------------------------------------------------------------------------------------- */

struct seen {
    uint64_t live, blocks;
    uintptr_t at[LARGE];
};

static int see(const struct amx_pool_slot *s, void *ctx)
{
    struct seen *n = ctx;
    void *p;
    if (!s->ref || s->class_index != 1)
        return 0;
    must_ok(amx_pool_ptr(&r.pool[1], s->ref, &p, NULL));
    for (uint64_t i = 0; i < n->live; i++)
        must(n->at[i] != (uintptr_t)p);
    n->at[n->live++] = (uintptr_t)p;
    return 0;
}

static int count_live(const struct amx_block *b, void *ctx)
{
    struct seen *n = ctx;
    n->blocks += b->ref != AMX_REF_NONE && b->ref != r.block;
    return 0;
}

/* Each live slot has a block, and there are no others. */
static uint64_t exact(void)
{
    struct seen n = {0};
    must_ok(amx_pool_walk(&r.pool[1], see, &n));
    must_ok(amx_walk(r.h[1], count_live, &n));
    must(n.live == n.blocks);
    return n.live;
}

static int free_live(const struct amx_pool_slot *s, void *ctx)
{
    (void)ctx;
    if (s->ref)
        must_ok(amx_pool_free(&r.pool[1], s->ref));
    return 0;
}

static void clear_up(void)
{
    struct amx_check_result c = {.struct_size = sizeof c};
    (void)pool_clean(&r.pool[1]);
    must_ok(amx_check(r.h[1], complain, NULL, &c));
    must(!c.undone && !c.corrupt);
    must_ok(amx_pool_walk(&r.pool[1], free_live, NULL));
    must(exact() == 0);
    pool_all_free(&r.pool[1], r.owner[1]);
    must(exact() == 0);
    room_close(&r);
}

/* `make copies` goes everywhere. */
static uint64_t one_in(uint64_t n)
{
    return scaled(1) > 100 ? 1 : n;
}

/* --- Killed ------------------------------------------------------------------------------------------------------------ */

static void recover_third(void)
{
    int e = amx_recover(third_h, 0, NULL, NULL, NULL);
    must(e == AMX_OK || e == AMX_E_PARTIAL); /* another recovery is under way */
}

/* Every store of the calls; of those that are the arena's mostly, and of recovery, one in so many, others each time. */
static void killed(void **state)
{
    uint64_t kills = 0, doubles = 0;
    const uint64_t stride = one_in(67);
    (void)state;
    for (int i = 0; i < CALLS; i++)
        for (uint64_t at = 1, hit = 1; hit; at += call[i].big ? 1 + stride / 6 : 1)
            for (uint64_t m = 0, more = 1; more; m += m ? stride : 1 + (at * 5 + (uint64_t)i) % stride) {
                set_for(i);
                hit = shoot(call[i].fn, at, NULL);
                come(&third_h, &third, AMX_F_NO_RECOVER);
                drop(r.h[0]);
                more = m ? shoot(recover_third, m, NULL) : hit;
                drop(third_h);
                must_ok(amx_recover(r.h[1], 0, NULL, NULL, NULL));
                kills += hit && !m;
                doubles += hit && m && more;
                come_again();
                uint64_t n = exact();
                must(n >= 1 && n <= 3); /* theirs, nobody's, a gift or a kept one */
                verify_(&r.pool[1], theirs);
                clear_up();
            }
    note("%" PRIu64 " kills, %" PRIu64 " with a killed recovery", kills, doubles);
    assert_true(kills >= 60 && doubles >= 500);
}

/* --- Stopped ------------------------------------------------------------------------------------------------------------ */

/* All that there are, by every reference that a walk tells: what the stopped one is in the middle of is not among them. */
static void everything(void)
{
    amx_slot s[LARGE];
    int n = 0;
    while (n < LARGE && amx_pool_alloc(&r.pool[1], 100 + (size_t)n * 50, r.owner[1], &s[n]) == AMX_OK) {
        write_(&r.pool[1], s[n]);
        n++;
    }
    must(n <= LARGE - 1); /* theirs is left */
    for (int i = 0; i < n; i++) {
        verify_(&r.pool[1], s[i]);
        must_ok(amx_pool_free(&r.pool[1], s[i]));
    }
    (void)pool_clean(&r.pool[1]);
}

static void frees_all(void)
{
    must_ok(amx_pool_walk(&r.pool[1], free_live, NULL));
    for (int i = 0; i < 2; i++) {
        amx_slot s;
        if (amx_pool_alloc(&r.pool[1], 100, r.owner[1], &s) == AMX_OK)
            must_ok(amx_pool_free(&r.pool[1], s));
    }
    (void)pool_clean(&r.pool[1]);
}

static void stopped(void **state)
{
    uint64_t stops = 0;
    (void)state;
    for (int i = 0; i < CALLS; i++)
        for (int way = 0; way < 2 && !call[i].empty; way++)
            for (uint64_t at = 1, hit = 1; hit; at += call[i].big ? one_in(11) : 1) {
                set_for(i);
                hit = shoot(call[i].fn, at, way ? frees_all : everything);
                stops += hit;
                uint64_t n = exact();
                if (!way || !hit) {
                    verify_(&r.pool[1], theirs);
                    must(n + (call[i].fresh ? 2 : 0) >= 3 && n <= 5); /* of four, one more, one less, or the same */
                }
                clear_up();
            }
    note("%" PRIu64 " stops", stops);
    assert_true(stops >= 120);
}

/* --- A recoverer that comes late: the life whose block he was about to free is over, the slot and the memory another's --- */

static amx_slot taken[LARGE];
static int n_taken;

static void life_goes_on(void)
{
    int e = amx_recover(r.h[1], 0, NULL, NULL, NULL);
    must(e == AMX_OK || e == AMX_E_PARTIAL); /* the stopped one has a list of the dead */
    amx_slot s;
    for (n_taken = 0; n_taken < LARGE - 2; n_taken++) {
        if (amx_pool_alloc(&r.pool[1], n_taken ? 100 : BIG, r.owner[1], &s))
            break;
        write_(&r.pool[1], taken[n_taken] = s);
    }
    must(n_taken >= 1); /* he may be inside of a sector */
}

static void late(void **state)
{
    uint64_t stops = 0, reused = 0;
    (void)state;
    for (int midway = 0; midway < 2; midway++)
        for (uint64_t at = 1 + (uint64_t)midway, hit = 1; hit; at += one_in(7)) {
            set();
            const uint32_t first = AMX_SLOT_INDEX(his[0]), second = AMX_SLOT_INDEX(his[1]);
            if (midway) { /* he died while he freed it */
                uint64_t w = amxi_ld64_rlx(pool_word(&r.pool[0], his[0]));
                amxi_st64_rlx(pool_word(&r.pool[0], his[0]), w - AMX_STATE_ALLOCATED + AMX_STATE_CACHED);
            }
            come(&third_h, &third, AMX_F_NO_RECOVER);
            drop(r.h[0]);
            n_taken = 0;
            hit = shoot(recover_third, at, life_goes_on);
            stops += hit;
            for (int i = 0; i < n_taken; i++) {
                verify_(&r.pool[1], taken[i]);
                reused += AMX_SLOT_INDEX(taken[i]) == first || AMX_SLOT_INDEX(taken[i]) == second;
            }
            must_ok(amx_close(third_h));
            must_ok(amx_recover(r.h[1], 0, NULL, NULL, NULL));
            must(exact() == 2u + (uint64_t)n_taken);
            verify_(&r.pool[1], theirs);
            come_again();
            clear_up();
        }
    note("%" PRIu64 " stops, %" PRIu64 " slots another's by then", stops, reused);
    assert_true(stops >= 20 && reused >= 10);
}

/* Somebody alive wants a dead one's slot, whose block recovery is about to free: he gets it whole, or not at all. */
static void he_saves(void)
{
    int e = amx_pool_give(&r.pool[1], his[0], r.owner[1], &taken[0]);
    must(e == AMX_OK || e == AMX_E_STALE);
    if (!e)
        write_(&r.pool[1], taken[0]);
}

static void saved(void **state)
{
    uint64_t saved_ones = 0, gone = 0;
    (void)state;
    for (uint64_t at = 1, hit = 1; hit; at += at < 30 ? 1 : one_in(11)) {
        set();
        come(&third_h, &third, AMX_F_NO_RECOVER);
        drop(r.h[0]);
        taken[0] = AMX_SLOT_NONE;
        hit = shoot(recover_third, at, he_saves);
        saved_ones += taken[0] != AMX_SLOT_NONE;
        gone += hit && !taken[0];
        must_ok(amx_close(third_h));
        must_ok(amx_recover(r.h[1], 0, NULL, NULL, NULL));
        must(exact() == 2u + (taken[0] != AMX_SLOT_NONE));
        if (taken[0])
            verify_(&r.pool[1], taken[0]);
        come_again();
        clear_up();
    }
    note("%" PRIu64 " times saved, %" PRIu64 " times not", saved_ones, gone);
    assert_true(saved_ones >= 2 && gone >= 10);
}

/* --- Between a free's look and its exchange ------------------------------------------------------------------------------ */

static int answer;

static void free_it(void)
{
    answer = amx_pool_free(&r.pool[0], his[0]);
}
static void he_frees(void)
{
    must_ok(amx_pool_free(&r.pool[1], his[0]));
}
static void he_frees_and_takes(void)
{
    amx_slot s;
    must_ok(amx_pool_free(&r.pool[1], his[0]));
    do
        s = take(&r, 1, 100); /* the same slot, and most likely the same memory */
    while (s >> 32 != his[0] >> 32);
    write_(&r.pool[1], taken[0] = s);
}
static void he_gives(void)
{
    must_ok(amx_pool_give(&r.pool[1], his[0], r.owner[1], &taken[0]));
    write_(&r.pool[1], taken[0]);
}
static void he_marks(void)
{
    must_ok(amx_pool_set_state(&r.pool[1], his[0], 60));
}

static void exchanges(void **state)
{
    static const struct {
        void (*other)(void);
        int answer;
    } game[] = {
        {he_frees, AMX_E_DOUBLE_FREE}, {he_frees_and_takes, AMX_E_STALE}, {he_gives, AMX_E_STALE}, {he_marks, AMX_OK}};
    (void)state;
    for (size_t i = 0; i < sizeof game / sizeof *game; i++) {
        set();
        taken[0] = AMX_SLOT_NONE;
        must(shoot(free_it, 1, game[i].other)); /* its first store is the exchange */
        assert_int_equal(answer, game[i].answer);
        if (taken[0])
            verify_(&r.pool[1], taken[0]);
        (void)exact();
        verify_(&r.pool[1], theirs);
        clear_up();
    }
}

/* --- Removal, killed: the pool is there with less in it, or it is gone and nothing of it is left but its block ----------- */

static int any_pool(const struct amx_pool_place *place, void *ctx)
{
    (void)ctx;
    return place->block == r.block;
}

static void do_remove(void)
{
    must_ok(amx_pool_remove(&r.pool[0]));
}

static void removal(void **state)
{
    uint64_t kills = 0, pools = 0;
    (void)state;
    for (uint64_t at = 1, hit = 1; hit; at += one_in(5)) {
        set();
        hit = shoot(do_remove, at, NULL);
        kills += hit;
        drop(r.h[0]);
        must_ok(amx_recover(r.h[1], 0, NULL, NULL, NULL));
        if (amx_pools(r.h[1], any_pool, NULL)) {
            pools++;
            must(exact() <= 2); /* theirs and nobody's, if it did not come so far */
            come_again();
            clear_up();
            continue;
        }
        struct seen n = {0};
        must_ok(amx_walk(r.h[1], count_live, &n));
        must(n.blocks == 0);
        must_ok(amx_free(r.h[1], r.block));
        close_free(r.h[1]);
    }
    note("%" PRIu64 " kills, %" PRIu64 " times it was a pool still", kills, pools);
    assert_true(kills >= 10 && pools >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed), cmocka_unit_test(stopped),   cmocka_unit_test(late),
        cmocka_unit_test(saved),  cmocka_unit_test(exchanges), cmocka_unit_test(removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
