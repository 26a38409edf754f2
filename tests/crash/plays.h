/* SPDX-License-Identifier: Apache-2.0 */
/* What is played in a scene: each public call and each of its slow paths. */
#ifndef AMX_TEST_PLAYS_H
#define AMX_TEST_PLAYS_H

#include "copies.h"

/* All that the dead had is free. If one was stopped in it meanwhile, others' remains may be left. */
static inline void recovered(int e)
{
    assert_true(e == AMX_OK || (sc.helped && e == AMX_E_PARTIAL));
}

/* --- Small blocks ---------------------------------------------------------------------------------------------- */

static inline void play_alloc(struct rng *r)
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
    struct call c = {.verb = V_ZALLOC, .n = 100};
    ok(act(P, "zalloc", &c));
    add(P, c.out);
    ok(ASK(P, "trim", .verb = V_TRIM));
    ok(ASK(P, "heal", .verb = V_HEAL));
}

static inline void play_aligned(struct rng *r)
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
static inline bool five(unsigned *i, size_t n)
{
    bool row = true;
    for (unsigned k = 0; k < 5 && row; k++) {
        i[k] = do_alloc(P, "alloc past the cache", n);
        row = i[k] < BLOCKS && sector_of(i[k]) == sector_of(i[0]) &&
              offset_of(i[k]) == offset_of(i[0]) + k * (n + AMX_HEADER_SPACE);
    }
    assert_true(row || !sc.empty || sc.helped);
    return row;
}

static inline void free_from(unsigned n)
{
    while (sc.n > n)
        do_free(P, "free past the cache", sc.n - 1);
}

static inline void play_merge(struct rng *r)
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

static inline void play_foreign(struct rng *r)
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
    struct call c = {.verb = V_RAW_ALLOC, .n = 80};
    ok(act(P, "raw_allocate", &c));
    const struct amxi_block_body *b = (const void *)(sc.view + c.offset);
    i = add(P, AMXI_REF(c.offset / AMXI_UNIT + 1, amxi_ld64_rlx(&b->w0)));
    do_end(P, "raw_free_at", V_FREE_AT, i);
    i = do_alloc(Q, "alloc", 64);
    uint64_t *words = (uint64_t *)(void *)(sc.view + (uint64_t)AMXI_REF_UNIT(sc.item[i].ref) * AMXI_UNIT);
    c = (struct call){.verb = V_WRITE, .ref = sc.item[i].ref, .n = 64};
    memcpy(c.refs, words, 64); /* what is there already: alive, it is unharmed */
    ok(act(Q, "write", &c));
}

/* --- Generations ahead of their sector's clock --------------------------------------------------------------------- */

/* Through the cache and back, many times. */
static inline unsigned use_often(int who, unsigned i)
{
    for (int k = 0; k < 100 && i < BLOCKS; k++) {
        do_free(who, NULL, i);
        i = do_alloc(who, NULL, 48);
    }
    return i;
}

/* Three small neighbours of one handle, at most the last `count` items; false: there are none. */
static inline bool three(int who, amx_ref ref[3])
{
    unsigned from = sc.n;
    for (int k = 0; k < 24 && do_alloc(who, NULL, 48) < BLOCKS; k++)
        ;
    for (unsigned a = from; a < sc.n; a++)
        for (unsigned b = from; b < sc.n; b++)
            for (unsigned c = from; c < sc.n; c++)
                if (offset_of(b) == offset_of(a) + 64 && offset_of(c) == offset_of(b) + 64 &&
                    sector_of(a) == sector_of(c)) {
                    ref[0] = sc.item[a].ref;
                    ref[1] = sc.item[b].ref;
                    ref[2] = sc.item[c].ref;
                    return true;
                }
    assert_true(!sc.empty || sc.helped);
    return false;
}

static inline void play_generations(struct rng *r)
{
    amx_ref ref[3];
    (void)r;
    if (!three(P, ref))
        return;
    unsigned b = use_often(P, find_item(ref[1]));
    do_free(P, NULL, b);
    ok(ASK(P, NULL, .verb = V_TRIM)); /* a free block between two that live, ahead of the clock */
    do_resize(P, "resize, grow into a much used one", find_item(ref[0]), 80);
    for (int right = 0; right < 2; right++) { /* it merges to the left, then another merges with it to its right */
        if (!three(P, ref))
            return;
        b = use_often(P, find_item(ref[1]));
        if (b == BLOCKS)
            return;
        ref[1] = sc.item[b].ref;
        do_free(P, NULL, find_item(ref[right]));
        ok(ASK(P, NULL, .verb = V_TRIM));
        do_free(P, NULL, find_item(ref[!right]));
        ok(ASK(P, right ? "trim, merging with a much used one" : "trim, a much used one merges", .verb = V_TRIM));
    }
}

static inline void play_queue(struct rng *r)
{
    amx_ref ref[80];
    uint64_t queued = 0;
    uint32_t home = 0;
    unsigned i, n = 0;
    while (n < 80 && (i = do_alloc(P, "alloc", 16)) < BLOCKS)
        ref[n++] = sc.item[i].ref;
    for (unsigned k = 0; k < n; k++) { /* more than 64 of one sector: ack drains them in the end */
        home = sector_of(find_item(ref[k]));
        queued = do_ack(k % 3 ? P : Q, k < 60 ? "ack" : "ack near 64", find_item(ref[k]));
    }
    uint64_t acked = amxi_ld64_rlx(amxi_acked(&sc.seg, home));
    assert_true(!sc.empty || sc.helped || (AMXI_Q_COUNT(acked) > 0 && AMXI_Q_COUNT(acked) < n - 60));
    int e = ASK(P2, "coalesce of a queued block", .verb = V_COALESCE, .offset = queued);
    assert_true(e == AMX_OK || e == AMX_E_DOUBLE_FREE || e == AMX_E_WILD);
    do_coalesce(P, "coalesce of a live block", do_alloc(P, "alloc", 100));
    for (unsigned k = 0; k < 6; k++)
        do_ack(Q, "ack", do_alloc(P, "alloc", 16 + rng_below(r, 200)));
    do_alloc(P, "alloc, draining", 100);
    for (unsigned k = 0; k < 6; k++)
        do_ack(P, "ack", do_alloc(P, "alloc", 16 + rng_below(r, 200)));
    ok(ASK(P, "heal a queue", .verb = V_HEAL));
}

/* Somebody has been told that there is not enough, and sleeps as far as others know. Something lives. */
static inline void somebody_waits(void)
{
    assert_true(sc.n > 0);
    fails(AMX_E_TIMEOUT, ASK(Q, NULL, .verb = V_WAIT, .n = bytes_of((uint64_t)sc.g.su * sc.g.sectors)));
}

/* Q is inside the sector: what P frees there waits in the queue. */
static inline void play_busy(struct rng *r)
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
    ok(amxi_sec_enter(&sc.seg, s, sc.tag[Q], &x));
    sc.held = true;
    for (unsigned k = 0; k < 6; k++)
        do_free(P, "free where another is", find_item(ref[k]));
    int e = ASK(P, "trim where another is", .verb = V_TRIM);
    assert_true(e == AMX_OK || e == AMX_E_PARTIAL);
    fails(AMX_E_PARTIAL, ASK(P, "heal where another is", .verb = V_HEAL));
    somebody_waits();
    fails(AMX_E_PARTIAL, ASK(P, "heal where another is and somebody waits", .verb = V_HEAL));
    do_resize(P, "resize where another is", find_item(stays), 300);
    do_alloc(P, "alloc where another is", 40);
    do_alloc(P, "large alloc where another is", (size_t)sc.g.su * AMXI_UNIT * 3);
    amxi_sec_leave(&x);
    sc.held = false;
    do_alloc(P, "alloc, draining what waited", 40);
    ok(ASK(P, "trim", .verb = V_TRIM));
}

/* To the last byte, and what happens then. */
static inline void play_full(struct rng *r)
{
    for (size_t n = sc.g.su * 4; n >= 16; n /= 4)
        for (int who = P; sc.n < BLOCKS - 40 && do_alloc(who, NULL, n) < BLOCKS; who = (who + 1) % HANDLES)
            ;
    for (unsigned k = 0; k < 12; k++)
        do_free(P, "free in a full segment", (unsigned)rng_below(r, sc.n));
    for (unsigned k = 0; k < 3; k++)
        do_alloc(P, "alloc, last resort", sc.g.su * 3);
    do_alloc(P2, "alloc under pressure", 16);
    do_alloc(Q, "alloc under pressure", 100);
    do_alloc(P, "large alloc, no room", (size_t)sc.g.su * AMXI_UNIT * 2);
    do_aligned(P, "aligned alloc, no room", 256, 900);
    fails(AMX_E_TIMEOUT, ASK(P, "alloc_wait", .verb = V_WAIT, .n = sc.g.su * 8));
    do_free(Q, "free where somebody waits", (unsigned)rng_below(r, sc.n));
    do_free(Q, "free where nobody waits any more", (unsigned)rng_below(r, sc.n));
    do_resize(P, "resize, no room", (unsigned)rng_below(r, sc.n), sc.g.su * 8);
}

static inline void play_resize(struct rng *r)
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

/* --- Large blocks ---------------------------------------------------------------------------------------------- */

static inline void large_life(const char *make, size_t align, uint64_t units)
{
    unsigned i = align > 16 ? do_aligned(P, make, align, bytes_of(units)) : do_alloc(P, make, bytes_of(units));
    if (i == BLOCKS)
        return;
    do_alloc(Q, "alloc beside a large block", 48);
    do_state(P2, "set_state of a large block", i, 50);
    do_publish(P, "publish a large block", i);
    do_adopt(Q, "adopt a large block", i);
    do_give(Q, "give a large block", i, P2);
    do_resize(P, "resize a large block of another handle", i, bytes_of(units - 3));
    do_state(P, "set_state of a large block", i, 2500);
    do_resize(P, "resize a kept large block", i, bytes_of(units / 2));
    do_free(Q, "free a large block", i);
}

static inline void play_large(struct rng *r)
{
    uint64_t su = sc.g.su;
    (void)r;
    large_life("large alloc, whole sectors", 16, 3 * su);
    large_life("alloc of a whole sector", 16, su);
    large_life("large alloc, with a tail", 16, 2 * su + 40);
    large_life("large alloc, nearly whole", 16, 2 * su - 1);
    large_life("large alloc, tail of a unit", 16, su + 1);
    large_life("large alloc, aligned", 64, 2 * su);
    large_life("large alloc, aligned to a page", 4096, 2 * su + 7);
}

/* A handle whose next blocks begin a sector, not the first one: *front is the first of them, and ends with that sector's
 * first quarter. HANDLES: there is none. */
static inline int at_front(unsigned *front)
{
    for (int who = 0; who < HANDLES; who++) {
        *front = do_alloc(who, "alloc", bytes_of(sc.g.su / 4));
        if (*front == BLOCKS)
            return HANDLES;
        if (sector_of(*front) && unit_of(*front) % sc.g.su == 0)
            return who;
        do_free(who, "free", *front);
    }
    return HANDLES;
}

/* The tail's sector begins with a free block of just the units that are wanted, or of more. */
static inline void play_tail(struct rng *r)
{
    (void)r;
    for (unsigned spare = 0; spare < 6; spare += 2) {
        unsigned front;
        int who = at_front(&front);
        assert_true(who < HANDLES || !sc.empty || sc.helped);
        if (who == HANDLES)
            continue;
        uint32_t j = sector_of(front);
        unsigned behind = do_alloc(who, "alloc", bytes_of(sc.g.su / 4));
        bool there = behind < BLOCKS && sector_of(behind) == j;
        assert_true(there || !sc.empty || sc.helped);
        if (!there)
            continue;
        amx_ref keep = sc.item[behind].ref;
        do_free(P, "free", front);
        unsigned i = do_alloc(P, spare ? "large alloc, tail in a free block" : "large alloc, tail is a free block",
                              bytes_of((uint64_t)j * sc.g.su + sc.g.su / 4 - spare));
        assert_true(i < BLOCKS || !sc.empty || sc.helped);
        if (i == BLOCKS)
            continue;
        /* the tail is taken back by a later holder */
        struct amxi_sec x;
        ok(amxi_sec_enter(&sc.seg, j, sc.tag[Q], &x));
        sc.held = true;
        do_free(P, "free a large block, its tail is busy", i);
        amxi_sec_leave(&x);
        sc.held = false;
        if (spare == 4)
            ok(ASK(P, "heal, taking back a tail", .verb = V_HEAL));
        else
            do_free(P, "free, taking back a tail", find_item(keep));
    }
}

/* The hints lie, so that a claim fails in the middle; memory comes back from caches, queues and the dead. */
static inline void play_scarce(struct rng *r)
{
    (void)r;
    unsigned i = do_alloc(Q, "alloc", 100);
    uint32_t s = sector_of(i);
    amxi_st8_rlx(amxi_avail(&sc.seg, s), AMXI_AVAIL_WHOLE);
    i = do_alloc(P, "large alloc, misled by a hint", bytes_of(3 * (uint64_t)sc.g.su));
    if (i < BLOCKS)
        do_free(P, "free a large block", i);
    while (sc.n)
        do_free(P2, "free all", sc.n - 1);
    i = do_alloc(P, "large alloc, after trim and heal", bytes_of((uint64_t)sc.g.sectors * sc.g.su));
    if (i < BLOCKS) {
        do_publish(P, "publish all of the segment", i);
        do_free(Q, "free all of the segment", i);
    }
}

/* Everything that gives memory back wakes who waits for it. */
static inline void play_waiters(struct rng *r)
{
    (void)r;
    unsigned i = do_alloc(P, NULL, 100), large = do_alloc(P, NULL, bytes_of(sc.g.su + 10));
    amx_ref ref = sc.item[i].ref;
    somebody_waits();
    ok(ASK(P, "heal where somebody waits", .verb = V_HEAL));
    somebody_waits();
    ok(ASK(P, "trim where somebody waits", .verb = V_TRIM));
    somebody_waits();
    if (large < BLOCKS)
        do_free(P, "free a large block where somebody waits", large);
    somebody_waits();
    do_free_ptr(P, "free_ptr where somebody waits", find_item(ref));
    i = do_alloc(P, NULL, 100);
    do_alloc(Q, NULL, 100);
    somebody_waits();
    kill_q();
    stake_of(1);
    recovered(ASK(P, "recover where somebody waits", .verb = V_RECOVER));
    bereave(1);
    enter_q(NULL);
}

/* --- One who dies inside a sector ----------------------------------------------------------------------------------- */

enum torn { NOTED, TAKEN, MARKED, ASTRAY, TORN_WAYS };

/* Q dies inside, its sector as torn as it can be: blocks half merged, a bit too many and one too few, the queue being
 * taken over: noted, taken, taken with its first block marked, or led astray by one who overwrote headers. */
static inline void play_inside(struct rng *r)
{
    (void)r;
    for (int way = NOTED; way < TORN_WAYS; way++) {
        amx_ref ref[3];
        struct amxi_sec x;
        if (!three(Q, ref))
            return;
        unsigned b = find_item(ref[1]);
        b = use_often(Q, b);
        uint32_t s = sector_of(find_item(ref[0])), su = sc.g.su;
        uint32_t at[3] = {(uint32_t)unit_of(find_item(ref[0])) % su, (uint32_t)unit_of(b) % su,
                          (uint32_t)unit_of(find_item(ref[2])) % su};
        do_ack(P, NULL, find_item(ref[2])); /* waits in the queue */
        ok(amxi_sec_enter(&sc.seg, s, sc.tag[Q], &x));
        uint64_t a = amxi_ld64_rlx(x.acked);
        assert_int_equal(AMXI_Q_ENTRY(a), at[2] + 1);
        amxi_st64_rlx(&x.b->drain, AMXI_Q_WORD(AMXI_Q_ENTRY(a), 0, AMXI_Q_ROUND(a)));
        if (way != NOTED)
            amxi_st64_rlx(x.acked, AMXI_Q_WORD(0, 0, AMXI_Q_ROUND(a) + 1));
        for (int k = 0; k < (way == MARKED ? 3 : 2); k++) {
            amxi_a64 *w0 = &amxi_sec_block(&x, at[k])->w0;
            amxi_st64_rlx(w0, AMXI_W0(AMX_STATE_COALESCING, 0, AMXI_W0_GEN(amxi_ld64_rlx(w0))));
        }
        drop(find_item(ref[0]));
        for (unsigned i = 0; i < sc.n; i++)
            if (unit_of(i) == (uint64_t)s * su + at[1]) {
                drop(i);
                break;
            }
        if (way == ASTRAY) {
            amxi_st64_rlx(&x.b->drain, AMXI_Q_WORD(at[0] + 2, 0, AMXI_Q_ROUND(a)));
            sc.damaged = true;
        }
        amxi_sec_bit_set(&x, at[0] + 1);
        amxi_sec_bit_set(&x, su - 1);
        amxi_sec_bit_clear(&x, at[1]);
        kill_q();
        stake_of(1);
        int e = ASK(P, "recover one who died inside", .verb = V_RECOVER);
        if (way == ASTRAY) /* what hung on the queue is lost until its owner is gone */
            return;
        recovered(e);
        bereave(1);
        enter_q(NULL);
    }
}

/* --- Owners ----------------------------------------------------------------------------------------------------- */

static inline void play_owners(struct rng *r)
{
    (void)r;
    unsigned i = do_alloc(P, "alloc", 200);
    do_publish(P, "publish", i);
    do_adopt(Q, "adopt", i);
    do_give(Q, "give", i, P2);
    do_give(P, "give another's", i, Q);
    do_give(Q, "give to myself", i, Q);
    amxi_a32 *giving = &amxi_handle(&sc.seg, sc.tag[Q] - 1)->giving;
    amxi_st32_sc(giving, sc.tag[P]); /* Q is stopped in the middle of the same */
    sc.held = true;
    do_give(P, "give to one who gives to me", i, Q);
    sc.held = false;
    amxi_st32_sc(giving, 0);
    do_state(P, "set_state", i, 100);
    do_state(Q, "transition", i, 101);
    do_state(Q, "transition to a kept state", i, 4095);
    do_publish(P, "publish in a kept state", i);
    do_give(P, "give a published one", i, Q);
    do_state(Q, "transition from a kept state", i, 101);
    for (int order = AMX_RELAXED; order <= AMX_SEQ_CST; order++) {
        stake(i);
        ok(ASK(P, "transition, any order", .verb = V_TRANSITION, .ref = sc.item[i].ref, .state = 101, .next = 101,
               .order = (uint32_t)order));
        settled(i);
    }
    fails(AMX_E_STATE, ASK(P, "transition, lost", .verb = V_TRANSITION, .ref = sc.item[i].ref, .state = 99, .next = 98,
                           .order = AMX_SEQ_CST));
    ok(ASK(P, "root_set", .verb = V_ROOT_SET, .n = 3, .ref = sc.item[i].ref));
    ok(ASK(P, "root_cas", .verb = V_ROOT_CAS, .n = 3, .ref = sc.item[i].ref));

    for (int k = 0; k < 2; k++) { /* the second time it takes over what the first one left */
        struct call c = {.verb = V_SHARE, .slot = MORE};
        unsigned j[3];
        ok(act(P, k ? "share again" : "share", &c));
        met(MORE, &c);
        for (int n = 0; n < 3; n++)
            j[n] = do_alloc(MORE, NULL, 40);
        amx_ref left = sc.item[j[2]].ref;
        do_free(MORE, NULL, j[1]);
        do_free(MORE, NULL, j[0]);
        ok(ASK(P, "unshare", .verb = V_UNSHARE, .slot = MORE));
        do_give(P, "give a closed handle's", find_item(left), P);
        i = do_alloc(P, NULL, 40);
        c = (struct call){.verb = V_GIVE, .ref = sc.item[i].ref, .to = sc.id[MORE]};
        fails(AMX_E_PEER_DEAD, act(P, "give to a closed handle", &c));
        assert_true(c.out == sc.item[i].ref);
    }
}

/* --- Objects ------------------------------------------------------------------------------------------------------ */

/* Q was stopped in the middle of adding or removing one. */
static inline void midway(enum amxi_object_status status)
{
    amxi_a64 *word = &amxi_object(&sc.seg, AMX_OBJECTS - 1)->word;
    amxi_st64_sc(word, AMXI_O_WORD(status, sc.tag[Q], AMXI_O_EPOCH(amxi_ld64_sc(word)) + 1));
}

static inline void play_objects(struct rng *r)
{
    (void)r;
    unsigned i = do_alloc(P, NULL, 16 * WORDS);
    amx_ref ref = sc.item[i].ref;
    sc.item[i].n = 0; /* its payload is not a stamp */
    do_publish(P, NULL, i);
    sc.object = (struct object){.ref = ref, .at_stake = true};
    for (unsigned k = 0; k < WORDS; k++) {
        sc.object.word[k] = (struct word){.state = WORD_FREE, .peer = NOBODY};
        amxi_st64_rlx(word_at(k), AMXI_W0(WORD_FREE, 0, k));
    }
    struct call c = {.verb = V_OBJECT_ADD, .ref = ref, .count = WORDS, .state = WORD_FREE};
    ok(act(P, "object_add", &c));
    sc.object.id = c.got;
    sc.object.there = true;
    sc.object.at_stake = false;
    do_word(P, "object_touch, taking a word", 0, true, 90);
    do_word_give(P, "giving a word", 0, Q);
    for (int told = 0; told < 2; told++) {
        do_word(Q, "object_touch, taking a word", 1, true, 100);
        do_word(Q, "taking a word, kept", 2 + (unsigned)told, true, 3000);
        midway(told ? AMXI_O_GOING : AMXI_O_MAKING);
        kill_q();
        stake_of(1);
        c = (struct call){.verb = told ? V_RECOVER_TOLD : V_RECOVER};
        recovered(act(P, told ? "recover words, telling" : "recover words", &c));
        assert_true(!told || c.got > 0 || sc.helped);
        bereave(1);
        enter_q(NULL);
    }
    for (unsigned k = 0; k < WORDS; k++)
        if (sc.object.word[k].state != WORD_FREE)
            do_word(P, "giving a word back", k, false, WORD_FREE);
    sc.object.at_stake = true;
    ok(ASK(P, "object_remove", .verb = V_OBJECT_REMOVE, .got = sc.object.id));
    sc.object = (struct object){.ref = 0};
    do_free(P, "free what was an object", find_item(ref));
}

/* No handle is left; then a dead process has some. */
static inline void play_full_tables(struct rng *r)
{
    struct call c = {.verb = V_ATTACH};
    (void)r;
    do_alloc(Q, "alloc", 100);
    for (unsigned i = HANDLES; i < sc.g.handles; i++)
        ok(ASK(P, NULL, .verb = V_SHARE, .slot = MORE + i - HANDLES));
    sc.full = true;
    fails(AMX_E_FULL, ASK(P, "share, no handle left", .verb = V_SHARE, .slot = SLOTS - 1));
    memcpy(c.path, sc.path, sizeof c.path);
    fails(AMX_E_FULL, act(STRANGER, "attach, no handle left", &c));
    kill_q();
    stake_of(1);
    int e = ASK(P, "share, recovering", .verb = V_SHARE, .slot = SLOTS - 1);
    assert_true(e == AMX_OK ||
                (sc.helped && e == AMX_E_FULL)); /* the entries of one who came in between are not back */
    sc.full = false;
    bereave(1);
}

/* --- Processes -------------------------------------------------------------------------------------------------- */

/* Something of each kind for both processes. */
static inline void furnish(void)
{
    for (int who = 0; who < HANDLES; who++) {
        unsigned i = do_alloc(who, "alloc", 100);
        do_state(who, "set_state", i, 60);
        i = do_alloc(who, "alloc", 200);
        do_state(who, "set_state", i, 2222);
        do_alloc(who, "alloc", 48);
        do_free(who, "free", sc.n - 1);
        do_alloc(who, "large alloc", bytes_of(sc.g.su + 20));
        do_ack(who, "ack", do_alloc(who, "alloc", 64));
    }
}

static inline void play_processes(struct rng *r)
{
    (void)r;
    furnish();
    for (int way = 0; way < 5; way++) {
        struct call c = {.verb = V_RECOVER};
        unsigned owned = 0;
        if (way == 4)
            do_give(Q, NULL, do_alloc(Q, NULL, 70), P2);
        kill_q();
        for (unsigned i = 0; i < sc.n; i++)
            owned += sc.item[i].peer == 1 && sc.item[i].state < AMX_STATE_KEPT;
        stake_of(1);
        switch (way) {
        case 0:
            recovered(act(P, "recover", &c));
            assert_true(c.got >= owned || sc.helped);
            break;
        case 1: /* only with what the dead had */
            fails(AMX_E_NOMEM,
                  ASK(P, "alloc, recovering", .verb = V_ALLOC, .n = bytes_of((uint64_t)sc.g.su * sc.g.sectors)));
            break;
        case 4: /* he had given something to another just before */
            c.verb = V_RECOVER_TOLD;
            recovered(act(P, "recover, telling", &c));
            assert_true(c.got > 0 || sc.helped);
            break;
        case 2: /* attaching recovers; nobody knows his ticket before he has one */
            enter_q("attach, recovering");
            break;
        default:
            recovered(ASK(P2, "recover", .verb = V_RECOVER));
            recovered(ASK(P2, "recover, nothing to do", .verb = V_RECOVER));
        }
        bereave(1);
        if (!sc.here[Q])
            enter_q("attach");
        do_alloc(Q, "alloc", 300);
        do_state(Q, NULL, do_alloc(Q, NULL, 60), 2500);
        do_give(P, "give", do_alloc(P, "alloc", 80), Q);
        if (way != 1)
            do_alloc(Q, "large alloc", bytes_of(sc.g.su + 33));
    }
    stake_of(1);
    ok(ASK(Q, "close", .verb = V_CLOSE));
    bereave(1);
    sc.here[Q] = false;
    sc.ticket[1] = 0;
    stake_of(0);
    ok(ASK(P, "close, the last one", .verb = V_CLOSE));
    bereave(0);
    sc.here[P] = sc.here[P2] = false;
    sc.ticket[0] = 0;
    if (!sc.helped)
        judge_all(sc.look, 0);
}

/* Nobody is left who could recover, and no handle: who comes takes over from one of the dead. */
static inline void play_all_dead(struct rng *r)
{
    (void)r;
    furnish();
    for (unsigned i = HANDLES; i < sc.g.handles; i++)
        ok(ASK(P, NULL, .verb = V_SHARE, .slot = MORE + i - HANDLES));
    kill_q();
    kill_one(P);
    stake_of(0);
    stake_of(1);
    sc.full = true;
    enter_q("attach, everybody dead");
    sc.full = false;
    bereave(0);
    bereave(1);
    if (!sc.helped)
        judge_all(sc.look, 2);
}

/* As before, but it is the entries of processes that are taken. */
static inline void play_no_entry(struct rng *r)
{
    (void)r;
    furnish();
    kill_q();
    kill_one(P);
    stake_of(0);
    stake_of(1);
    uint32_t i =
        HANDLES; /* each of the dead has a handle that has been somewhere, so that its entry cannot just be freed */
    for (uint32_t p = 0; p < sc.g.peers; p++)
        if (AMXI_PEER_STATUS(amxi_ld64_rlx(&amxi_peer(&sc.seg, p)->word)) == AMXI_PEER_FREE) {
            amxi_a64 *word = &amxi_handle(&sc.seg, i)->word;
            amxi_st64_rlx(&amxi_peer(&sc.seg, p)->word, AMXI_PEER_WORD(AMXI_PEER_DEAD, 1));
            amxi_st64_rlx(amxi_touched(&sc.seg, i), 1);
            amxi_st64_rlx(word, AMXI_H_WORD(AMXI_H_DEAD, p, AMXI_H_EPOCH(amxi_ld64_rlx(word)) + 1));
            i++;
        }
    assert_true(i < sc.g.handles); /* there is one for who comes */
    sc.full = true;
    enter_q("attach, every entry a dead one's");
    sc.full = false;
    bereave(0);
    bereave(1);
    if (!sc.helped)
        judge_all(sc.look, 2);
}

/* --- Damage ------------------------------------------------------------------------------------------------------- */

/* Allocates until nothing is left, so that every list is looked at, and frees it again. */
static inline void exhaust(void)
{
    static struct call c[8192 / CALL_REFS];
    unsigned k = 0;
    for (size_t n = sc.g.su * 8; n >= 16; n /= 2)
        for (int e = AMX_OK; !e && k < sizeof c / sizeof *c; k++) {
            c[k] = (struct call){.verb = V_MANY, .n = n, .count = CALL_REFS};
            e = act(P, NULL, &c[k]);
        }
    while (k-- > 0) {
        c[k].verb = V_FREE_MANY;
        c[k].count = (uint32_t)c[k].got;
        ok(act(P, NULL, &c[k]));
    }
    ok(ASK(P, NULL, .verb = V_TRIM));
}

static inline void damage_lists(uint32_t sector, bool chain)
{
    struct amxi_sec x;
    amxi_sec_view(&sc.seg, sector, sc.tag[P], &x);
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
static inline void play_damage(struct rng *r)
{
    for (int chain = 0; chain < 2; chain++) {
        unsigned i = do_alloc(P, "alloc", 300);
        uint32_t s = sector_of(i);
        do_free(P, "free", i);
        sc.damaged = true;
        damage_lists(s, chain);
        for (int k = 0; k < 12; k++) {
            struct call c = {.verb = V_ALLOC, .n = rng_range(r, 16, sc.g.su * 12)};
            if (!act(P, chain ? "alloc, quarantining" : "alloc, rebuilding", &c))
                add(P, c.out);
        }
        ASK(P, "heal beside damage", .verb = V_HEAL);
        exhaust();
        if (!chain) {
            sc.damaged = false;
            judge_all(sc.look, 3);
        }
    }
    unsigned i = do_alloc(Q, NULL, 700); /* Q dies inside a sector whose chain is broken */
    if (i < BLOCKS) {
        struct amxi_sec x;
        if (!amxi_sec_enter(&sc.seg, sector_of(i), sc.tag[Q], &x))
            amxi_st64_rlx(&amxi_block(&sc.seg, unit_of(i))->w1, AMXI_W1(1, 0));
    }
    kill_q();
    ASK(P, "recover beside damage", .verb = V_RECOVER);
}

/* --- Dice -------------------------------------------------------------------------------------------------------- */

static inline void partly(int answer)
{
    assert_true(answer == AMX_OK ||
                (answer == AMX_E_PARTIAL && (shots.before || sc.helped))); /* somebody was in between */
}

static inline void any_call(struct rng *r)
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
        partly(ASK(who, "any trim", .verb = V_TRIM));
        break;
    case 17:
        partly(ASK(who, "any heal", .verb = V_HEAL));
        break;
    default:
        do_free(who, "any free", i);
    }
}

#endif
