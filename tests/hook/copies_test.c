/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call on small blocks, and any calls in any order, killed before every store. How: copies.h.
 */
#include "copies.h"

/* --- Small blocks ---------------------------------------------------------------------------------------------- */

static void play_alloc(struct rng *r)
{
    unsigned i[14];
    (void)r;
    /* the magazine grows from nothing: single blocks, then batches, and from the magazine in between */
    for (unsigned k = 0; k < 14; k++)
        i[k] = do_alloc(P, k ? "alloc again" : "alloc", 48);
    for (unsigned k = 14; k-- > 0;)
        do_free(P, "free into the cache or past it", i[k]);
    for (unsigned k = 0; k < 4; k++)
        do_alloc(P, "alloc from the cache", 48);
    do_alloc(P2, "alloc of no bin's size", 150);
    do_alloc(Q, "alloc past the cache", sc.g.su * 4);
    do_many(P, "alloc_many", 32, 12);
    do_free_many(P2, "free_many", 12);
    amx_ref ref;
    ok(SHOT(P, "zalloc", amx_zalloc(sc.h[P], 100, &ref)));
    add(P, ref);
    ok(SHOT(P, "trim", amx_trim(sc.h[P])));
    ok(SHOT(P, "heal", amx_heal(sc.h[P])));
}

static void play_aligned(struct rng *r)
{
    (void)r;
    for (size_t align = 32; align <= 1024; align *= 2) {
        do_aligned(P, "alloc_aligned", align, 100);
        do_alloc(P, "alloc beside", 40);
    }
    if (do_aligned(P, "alloc_aligned, a page", 4096, 64) < BLOCKS)
        do_free(P2, "free of an aligned block", sc.n - 1);
}

/* Five neighbours, too large for the cache, in one sector. An empty segment has room for them. */
static bool five(unsigned *i, size_t n)
{
    bool row = true;
    for (unsigned k = 0; k < 5 && row; k++) {
        i[k] = do_alloc(P, "alloc past the cache", n);
        row = i[k] < BLOCKS && sector_of(i[k]) == sector_of(i[0]) &&
              offset_of(i[k]) == offset_of(i[0]) + k * (n + AMX_HEADER_SPACE);
    }
    assert_true(row || !sc.empty);
    return row;
}

static void free_from(unsigned n)
{
    while (sc.n > n)
        do_free(P, "free past the cache", sc.n - 1);
}

static void play_merge(struct rng *r)
{
    (void)r;
    for (unsigned free_before = 0; free_before < 4; free_before++) {
        unsigned i[5], n = sc.n;
        if (!five(i, (sc.g.su / 8 + 4) * AMXI_UNIT)) {
            free_from(n);
            continue;
        }
        amx_ref ref[5];
        for (unsigned k = 0; k < 5; k++)
            ref[k] = sc.item[i[k]].ref;
        if (free_before & 1)
            do_free(P, "free, no neighbour free", find_item(ref[1]));
        if (free_before & 2)
            do_free(Q, "free by another, no neighbour free", find_item(ref[3]));
        static const char *const op[] = {"free, between blocks", "free, left one free", "free, right one free",
                                         "free, both neighbours free"};
        do_free(P, op[free_before], find_item(ref[2]));
        do_free(P, "free, left one perhaps free", find_item(ref[4]));
        do_free(P, "free, right one perhaps free", find_item(ref[0]));
        free_from(n);
    }
}

static void play_foreign(struct rng *r)
{
    (void)r;
    for (unsigned k = 0; k < 3; k++) {
        unsigned i = do_alloc(P, "alloc", 64);
        if (k == 1)
            do_publish(P, "publish", i);
        if (k == 2)
            do_state(P, "set_state", i, 2048);
        do_free(Q, "free of another's", i);
        i = do_alloc(P, "alloc", 64);
        do_publish(P, "publish", i);
        do_free_ptr(P, "free_ptr of a published one", i);
        do_free_ptr(P, "free_ptr", do_alloc(P, "alloc", 64));
    }
    unsigned i = do_alloc(P, "alloc past the cache", 1000);
    if (i < BLOCKS)
        do_free(Q, "free of another's, past the cache", i);
}

static void play_queue(struct rng *r)
{
    amx_ref ref[80];
    uint64_t queued = 0;
    unsigned i, n = 0;
    while (n < 80 && (i = do_alloc(P, "alloc", 16)) < BLOCKS)
        ref[n++] = sc.item[i].ref;
    for (unsigned k = 0; k < n; k++) /* more than 64 of one sector: ack drains them in the end */
        queued = do_ack(k % 3 ? P : Q, k < 60 ? "ack" : "ack near 64", find_item(ref[k]));
    uint64_t acked = amxi_ld64_rlx(amxi_acked(sc.h[P]->seg, sc.h[P]->home));
    assert_true(!sc.empty || (AMXI_Q_COUNT(acked) > 0 && AMXI_Q_COUNT(acked) < n - 60));
    int e = SHOT(P2, "coalesce of a queued block", amx_raw_coalesce(sc.h[P2], queued));
    assert_true(e == AMX_OK || e == AMX_E_DOUBLE_FREE || e == AMX_E_WILD);
    do_coalesce(P, "coalesce of a live block", do_alloc(P, "alloc", 100));
    for (unsigned k = 0; k < 6; k++)
        do_ack(Q, "ack", do_alloc(P, "alloc", 16 + rng_below(r, 200)));
    do_alloc(P, "alloc, draining", 100);
    for (unsigned k = 0; k < 6; k++)
        do_ack(P, "ack", do_alloc(P, "alloc", 16 + rng_below(r, 200)));
    ok(SHOT(P, "heal a queue", amx_heal(sc.h[P])));
}

/* Q is inside the sector: what P frees there waits in the queue. */
static void play_busy(struct rng *r)
{
    struct amxi_sec x;
    amx_ref ref[6];
    (void)r;
    for (unsigned k = 0; k < 6; k++)
        ref[k] = sc.item[do_alloc(P, "alloc", k < 4 ? 40 : 600)].ref;
    uint32_t s = sector_of(find_item(ref[0]));
    unsigned i = do_alloc(P, "alloc", 40);
    while (sector_of(i) != s) /* it was another's home */
        i = do_alloc(P, "alloc", 40);
    amx_ref stays = sc.item[i].ref;
    ok(amxi_sec_enter(sc.h[Q]->seg, s, sc.h[Q]->tag, &x));
    sc.held = true;
    for (unsigned k = 0; k < 6; k++)
        do_free(P, "free where another is", find_item(ref[k]));
    int e = SHOT(P, "trim where another is", amx_trim(sc.h[P]));
    assert_true(e == AMX_OK || e == AMX_E_PARTIAL);
    fails(AMX_E_PARTIAL, SHOT(P, "heal where another is", amx_heal(sc.h[P])));
    do_resize(P, "resize where another is", find_item(stays), 300);
    do_alloc(P, "alloc where another is", 40);
    do_alloc(P, "large alloc where another is", (size_t)sc.g.su * AMXI_UNIT * 3);
    amxi_sec_leave(&x);
    sc.held = false;
    do_alloc(P, "alloc, draining what waited", 40);
    ok(SHOT(P, "trim", amx_trim(sc.h[P])));
}

/* To the last byte, and what happens then. */
static void play_full(struct rng *r)
{
    amx_ref ref;
    for (size_t n = sc.g.su * 4; n >= 16; n /= 4)
        for (int who = P; sc.n < BLOCKS - 40 && amx_alloc(sc.h[who], n, &ref) == AMX_OK; who = (who + 1) % HANDLES)
            add(who, ref);
    for (unsigned k = 0; k < 12; k++)
        do_free(P, "free in a full segment", (unsigned)rng_below(r, sc.n));
    for (unsigned k = 0; k < 3; k++)
        do_alloc(P, "alloc, last resort", sc.g.su * 3);
    do_alloc(P2, "alloc under pressure", 16);
    do_alloc(Q, "alloc under pressure", 100);
    do_alloc(P, "large alloc, no room", (size_t)sc.g.su * AMXI_UNIT * 2);
    do_aligned(P, "aligned alloc, no room", 256, 900);
    fails(AMX_E_TIMEOUT, SHOT(P, "alloc_wait", amx_alloc_wait(sc.h[P], sc.g.su * 8, 0, &ref)));
    do_free(Q, "free where somebody waits", (unsigned)rng_below(r, sc.n));
    do_free(Q, "free where nobody waits any more", (unsigned)rng_below(r, sc.n));
    do_resize(P, "resize, no room", (unsigned)rng_below(r, sc.n), sc.g.su * 8);
}

static void play_resize(struct rng *r)
{
    static const uint32_t states[] = {AMX_STATE_ALLOCATED, 77, 3000};
    (void)r;
    for (unsigned k = 0; k < 3; k++) {
        unsigned i[5], before = sc.n;
        size_t n = (sc.g.su / 8 + 4) * AMXI_UNIT;
        if (!five(i, n)) {
            free_from(before);
            continue;
        }
        amx_ref ref[5];
        if (states[k] >= AMX_STATE_USER_MIN)
            do_state(P, "set_state", i[1], states[k]);
        for (unsigned j = 0; j < 5; j++)
            ref[j] = sc.item[i[j]].ref;
        do_resize(P, "resize, shrink", i[1], n / 2);
        do_resize(P, "resize, grow into the gap", i[1], n);
        do_resize(P, "resize, shrink a little", i[1], n - 40);
        do_resize(P, "resize, nothing to do", i[1], n - 41);
        do_free(P, "free", find_item(ref[2]));
        unsigned a = find_item(ref[1]);
        if (a < sc.n) /* not moved */
            do_resize(P, "resize, shrink beside a free one", a, n / 3);
        if ((a = find_item(ref[1])) < sc.n)
            do_resize(P, "resize, grow into a part", a, n + 100);
        do_resize(P, "resize, grow into all", find_item(ref[3]), n + 32);
        do_resize(P, "resize, move", find_item(ref[0]), n * 2);
        do_resize(P, "resize, become large", find_item(ref[4]), (size_t)sc.g.su * AMXI_UNIT * 2);
        free_from(before);
    }
    unsigned i = do_alloc(P, "alloc", 200);
    do_publish(P, "publish", i);
    do_resize(P, "resize of a published one", i, 100);
    do_resize(Q, "resize of another's", i, 300);
    do_state(Q, "set_state", i, 2049);
    do_resize(P, "resize of another's, kept", i, 120);
}

/* --- Dice -------------------------------------------------------------------------------------------------------- */

static void partly(int answer)
{
    assert_true(answer == AMX_OK || (answer == AMX_E_PARTIAL && shots.before)); /* somebody was in between */
}

static void any_call(struct rng *r)
{
    int who = (int)rng_below(r, HANDLES), to = (int)rng_below(r, HANDLES);
    unsigned i = sc.n ? (unsigned)rng_below(r, sc.n) : 0;
    uint64_t dice = rng_below(r, sc.n < 4 ? 6 : 24);
    size_t n = rng_below(r, 6) ? rng_range(r, 1, 200) : rng_range(r, 200, sc.g.su * 12);
    switch (dice) {
    case 0:
    case 1:
    case 2:
        do_alloc(who, "any alloc", n);
        break;
    case 3:
        do_alloc(who, "any large alloc", rng_range(r, sc.g.su * 14, sc.g.su * 16 * 4));
        break;
    case 4:
        do_aligned(who, "any aligned alloc", (size_t)32 << rng_below(r, 8), n);
        break;
    case 5:
        do_many(who, "any alloc_many", n, rng_below(r, 8));
        break;
    case 6:
        do_free_many(who, "any free_many", rng_below(r, 8));
        break;
    case 7:
    case 8:
        if (sc.item[i].peer == NOBODY)
            do_adopt(who, "any adopt", i);
        else
            do_publish(who, "any publish", i);
        break;
    case 9:
        do_give(who, "any give", i, to);
        break;
    case 10:
        do_state(who, "any state", i, (uint32_t)rng_range(r, AMX_STATE_USER_MIN, AMX_STATE_MAX));
        break;
    case 11:
    case 12:
        do_resize(who, "any resize", i, rng_below(r, 3) ? n : sc.item[i].n + rng_below(r, 64));
        break;
    case 13:
    case 14:
        do_ack(who, "any ack", i);
        break;
    case 15:
        do_coalesce(who, "any coalesce", i);
        break;
    case 16:
        partly(SHOT(who, "any trim", amx_trim(sc.h[who])));
        break;
    case 17:
        partly(SHOT(who, "any heal", amx_heal(sc.h[who])));
        break;
    default:
        do_free(who, "any free", i);
    }
}

static void play_dice(uint64_t seed, unsigned games)
{
    for (unsigned k = 0; k < sizeof shape / sizeof *shape; k++)
        for (unsigned game = 0; game < games; game++) {
            struct rng r = rng_make(seed, k * 100 + game);
            scene_open(shape[k].size, shape[k].sector);
            for (int turn = 0; turn < (k ? 150 : 300); turn++) {
                any_call(&r);
                while (sc.n > 100)
                    do_free_many(P, "free_many", 16);
                if (turn % 10 == 0)
                    judge_all(sc.h[P], 3);
            }
            scene_close();
        }
}

static void dice(void **state)
{
    (void)state;
    play_dice(test_seed(), everything() ? 20 : 6);
}

/* --- Somebody else in between ------------------------------------------------------------------------------------ */

static struct rng intruder;

static void visit(amx_t *h, size_t n)
{
    amx_ref ref;
    size_t got;
    void *p;
    if (amx_alloc(h, n, &ref))
        return;
    ok(amx_usable(h, ref, &got));
    ok(amx_ptr(h, ref, &p));
    memset(p, 0xff, got);
    if (rng_below(&intruder, 2))
        ok(amx_free(h, ref));
    else
        ok(amx_raw_ack(h, (uint64_t)AMXI_REF_UNIT(ref) * AMXI_UNIT - AMX_HEADER_SPACE));
}

/* Before some stores another handle does a whole call: nobody waits for anybody, so it ends. */
static bool intrude(void)
{
    amx_t *h = sc.h[(shots.who + 1 + (int)rng_below(&intruder, HANDLES - 1)) % HANDLES];
    if (shots.nth < 4) {
        amx_heal(h); /* the one that goes everywhere */
        return true;
    }
    if (rng_below(&intruder, 8))
        return true;
    switch (rng_below(&intruder, 6)) {
    case 0:
        amx_heal(h);
        break;
    case 1:
        amx_trim(h);
        break;
    case 2:
        visit(h, rng_range(&intruder, sc.g.su * 14, sc.g.su * 16 * 4));
        break;
    case 3:
        amx_recover(h, NULL);
        break;
    default:
        visit(h, rng_range(&intruder, 1, sc.g.su * 8));
    }
    return true;
}

static void intruders(void **state)
{
    uint64_t seed = test_seed() + 1;
    (void)state;
    intruder = rng_make(seed, 1000);
    shots.before = intrude;
    play_dice(seed, everything() ? 20 : 6);
    shots.before = NULL;
}

/* --- Damage ------------------------------------------------------------------------------------------------------- */

/* Allocates until nothing is left, so that every list is looked at, and frees it again. */
static void exhaust(void)
{
    static amx_ref ref[8192];
    size_t got = 0, more;
    for (size_t n = sc.g.su * 8; n >= 16; n /= 2) {
        int e = amx_alloc_many(sc.h[P], n, 8192 - got, &ref[got], &more);
        assert_true(e != AMX_OK);
        got += more;
    }
    ok(amx_free_many(sc.h[P], ref, got, NULL));
    ok(amx_trim(sc.h[P]));
}

static void damage_lists(uint32_t sector, bool chain)
{
    struct amxi_sec x;
    amxi_sec_view(sc.h[P]->seg, sector, sc.h[P]->tag, &x);
    for (uint32_t b = 0; b < sc.g.bins; b++) {
        uint32_t e = amxi_ld32_rlx(&x.b->head[b]);
        struct amxi_free_body *f = (struct amxi_free_body *)(void *)amxi_sec_block(&x, e ? e - 1 : 0);
        if (e && chain)
            amxi_st64_rlx(&f->w1, AMXI_W1(1, 0));
        else if (e)
            amxi_st32_rlx(&f->prev, 7);
    }
}

/* A list that contradicts the chain is found by a holder, who rebuilds; a broken chain quarantines the sector. */
static void play_damage(struct rng *r)
{
    for (int chain = 0; chain < 2; chain++) {
        unsigned i = do_alloc(P, "alloc", 300);
        amx_ref ref;
        uint32_t s = sector_of(i);
        do_free(P, "free", i);
        sc.damaged = true;
        damage_lists(s, chain);
        for (int k = 0; k < 12; k++) {
            int e = SHOT(P, chain ? "alloc, quarantining" : "alloc, rebuilding",
                         amx_alloc(sc.h[P], rng_range(r, 16, sc.g.su * 12), &ref));
            if (!e)
                add(P, ref);
        }
        SHOT(P, "heal beside damage", amx_heal(sc.h[P]));
        exhaust();
        if (!chain) {
            sc.damaged = false;
            judge_all(sc.h[P], 3);
        }
    }
    kill_q();
    SHOT(P, "recover beside damage", amx_recover(sc.h[P], NULL));
}

/* --- All of them -------------------------------------------------------------------------------------------------- */

PLAY(small_blocks, play_alloc, play_aligned, play_merge, play_foreign)
PLAY(queues, play_queue, play_busy)
PLAY(a_full_segment, play_full)
PLAY(resizing, play_resize)
PLAY(damage, play_damage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYED(small_blocks), PLAYED(queues),    PLAYED(a_full_segment), PLAYED(resizing),
        PLAYED(dice),         PLAYED(intruders), PLAYED(damage),         PLAYED(totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
