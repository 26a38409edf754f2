/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the copies are taken: a segment with two processes, P with two handles and Q with one (both are this very
 * process, attached twice), and a list of every block that lives in it: payload, state, owner. Each do_ call does one
 * thing to the segment with the hook armed, and the same to the list.
 */
#ifndef AMX_TEST_SCENE_H
#define AMX_TEST_SCENE_H

#include "amx_raw.h"
#include "peer.h"
#include "sector.h"
#include "tests/support.h"

#include <sys/mman.h>

enum { P, P2, Q, HANDLES, STRANGER = HANDLES }; /* a stranger attaches, and owns nothing */
enum { NOBODY = -1, PEERS = 3, BLOCKS = 512 };
static const int peer_of[] = {0, 0, 1, 2};

struct item {
    amx_ref ref;
    uint64_t key; /* of the payload */
    size_t n;     /* bytes of it */
    uint32_t state, tag;
    int peer;      /* of the owner, or NOBODY */
    bool at_stake; /* the running call may have changed it or not: dead or alive, but if alive, unharmed */
    bool heir;     /* at stake, and if it is gone, a copy of it must be there */
    size_t sure;   /* at stake: bytes that no outcome changes */
};

static struct {
    amx_t *h[HANDLES];
    uint64_t ticket[PEERS]; /* 0: dead, or not there yet */
    struct amxi_geometry g;
    const uint8_t *view; /* a mapping of the test's own */
    struct item item[BLOCKS];
    unsigned n;
    unsigned more; /* lives that the running call may add to those listed, if its process dies */
    bool empty;    /* to begin with */
    bool held;     /* Q is stopped in the middle of something */
    bool full;     /* no handle is left, for a survivor either */
    bool damaged;  /* on purpose: nothing is promised but that every call ends */
    uint64_t keys;
} sc;

/* Defined in copies.h: arms the hook for a call of the process of `who`, and disarms it. */
static inline void aim(int who, const char *op);
static inline int lower(int answer);
#define SHOT(who, op, call) (aim((who), (op)), lower((call)))

/* --- Beginning and end ---------------------------------------------------------------------------------------- */

static inline void scene_view(void)
{
    void *p = mmap(NULL, sc.g.size, PROT_READ, MAP_SHARED, amx_fd(sc.h[P]), 0);
    assert_true(p != MAP_FAILED);
    sc.view = p;
}

static inline void enter_q(void)
{
    ok(amx_attach_fd(amx_fd(sc.h[P]), NULL, &sc.h[Q]));
    sc.ticket[1] = sc.h[Q]->seg->ticket;
}

static inline void scene_open(uint64_t size, uint32_t sector)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    memset(&sc, 0, sizeof sc);
    o.size = size;
    o.sector_size = sector;
    o.peers = 6;
    o.handles = 8;
    o.guards = 1;
    ok(amx_create_memfd("scene", &o, &sc.h[P]));
    ok(amx_share(sc.h[P], &sc.h[P2]));
    sc.g = sc.h[P]->seg->g;
    sc.ticket[0] = sc.h[P]->seg->ticket;
    scene_view();
    enter_q();
}

/* Q dies: no store into the segment, but nothing left of the process. */
static inline void kill_q(void)
{
    struct amxi_seg *s = sc.h[Q]->seg;
    amxi_peer_unlock(s);
    amxi_forks_remove(s);
    amxi_handles_drop(s);
    s->open = NULL;
    amxi_seg_drop(s);
    sc.h[Q] = NULL;
    sc.ticket[1] = 0;
}

static inline void scene_close(void)
{
    if (sc.h[Q])
        ok(amx_close(sc.h[Q]));
    if (sc.h[P])
        ok(amx_close(sc.h[P]));
    assert_int_equal(munmap((void *)(uintptr_t)sc.view, sc.g.size), 0);
    memset(&sc, 0, sizeof sc);
}

/* --- The list --------------------------------------------------------------------------------------------------- */

static inline void restamp(struct item *it)
{
    void *p;
    ok(amx_usable(sc.h[P], it->ref, &it->n));
    ok(amx_ptr(sc.h[P], it->ref, &p));
    it->key = ++sc.keys;
    stamp_part_(p, 0, it->n, it->key);
}

static inline unsigned add(int who, amx_ref ref)
{
    assert_true(sc.n < BLOCKS);
    struct item *it = &sc.item[sc.n];
    *it = (struct item){.ref = ref, .state = AMX_STATE_ALLOCATED, .tag = sc.h[who]->tag, .peer = peer_of[who]};
    restamp(it);
    return sc.n++;
}

static inline void drop(unsigned i)
{
    sc.item[i] = sc.item[--sc.n];
}

static inline unsigned find_item(amx_ref ref)
{
    unsigned i = 0;
    while (i < sc.n && sc.item[i].ref != ref)
        i++;
    return i;
}

static inline struct item *stake(unsigned i)
{
    assert_true(i < sc.n);
    struct item *it = &sc.item[i];
    it->at_stake = true;
    it->sure = it->n;
    return it;
}

/* Whatever this process owns: it may be dying, or somebody may be taking it from the dead. */
static inline void stake_of(int peer)
{
    for (unsigned i = 0; i < sc.n; i++)
        if (sc.item[i].peer == peer)
            stake(i)->heir = sc.item[i].state >= AMX_STATE_KEPT;
}

static inline void settled(unsigned i)
{
    sc.item[i].at_stake = sc.item[i].heir = false;
    sc.more = 0;
}

/* A process is gone, and recovery is done. */
static inline void bereave(int peer)
{
    for (unsigned i = sc.n; i-- > 0;)
        if (sc.item[i].peer == peer) {
            if (sc.item[i].state < AMX_STATE_KEPT) {
                drop(i);
                continue;
            }
            settled(i);
            sc.item[i].peer = NOBODY;
            sc.item[i].tag = 0;
        }
}

static inline uint64_t offset_of(unsigned i)
{
    assert_true(i < sc.n);
    return (uint64_t)AMXI_REF_UNIT(sc.item[i].ref) * AMXI_UNIT - AMX_HEADER_SPACE;
}

static inline uint64_t unit_of(unsigned i) /* in the data */
{
    return (offset_of(i) - sc.g.region[AMXI_R_DATA].offset) / AMXI_UNIT;
}

static inline uint32_t sector_of(unsigned i)
{
    return (uint32_t)(unit_of(i) >> sc.g.su_log2);
}

static inline size_t bytes_of(uint64_t units) /* payload of a block of so many units */
{
    return (size_t)(units - 1) * AMXI_UNIT;
}

/* --- Calls ------------------------------------------------------------------------------------------------------ */

/* Items that a call made, or BLOCKS if there was no memory. */
static inline unsigned made(int who, int answer, amx_ref ref)
{
    if (answer == AMX_E_NOMEM || answer == AMX_E_BUSY)
        return BLOCKS;
    ok(answer);
    return add(who, ref);
}

static inline unsigned do_alloc(int who, const char *op, size_t n)
{
    amx_ref ref = AMX_REF_NONE;
    int e = SHOT(who, op, amx_alloc(sc.h[who], n, &ref));
    return made(who, e, ref);
}

static inline unsigned do_aligned(int who, const char *op, size_t align, size_t n)
{
    amx_ref ref = AMX_REF_NONE;
    int e = SHOT(who, op, amx_alloc_aligned(sc.h[who], align, n, &ref));
    return made(who, e, ref);
}

static inline void do_many(int who, const char *op, size_t n, size_t count)
{
    amx_ref ref[16];
    size_t got = 0;
    assert_true(count <= 16);
    int e = SHOT(who, op, amx_alloc_many(sc.h[who], n, count, ref, &got));
    assert_true(!e == (got == count));
    for (size_t i = 0; i < got; i++)
        add(who, ref[i]);
}

static inline void do_free_many(int who, const char *op, size_t count)
{
    amx_ref ref[16];
    size_t freed = 0;
    count = count < sc.n ? count : sc.n;
    assert_true(count <= 16);
    for (unsigned i = 0; i < count; i++) {
        stake(sc.n - 1 - i);
        ref[i] = sc.item[sc.n - 1 - i].ref;
    }
    ok(SHOT(who, op, amx_free_many(sc.h[who], ref, count, &freed)));
    assert_int_equal(freed, count);
    sc.n -= (unsigned)count;
}

static inline void do_free(int who, const char *op, unsigned i)
{
    stake(i);
    ok(SHOT(who, op, amx_free(sc.h[who], sc.item[i].ref)));
    drop(i);
}

static inline void do_free_ptr(int who, const char *op, unsigned i)
{
    void *p;
    ok(amx_ptr(sc.h[who], sc.item[i].ref, &p));
    stake(i);
    ok(SHOT(who, op, amx_free_ptr(sc.h[who], p)));
    drop(i);
}

/* Returns the offset of the block that was queued. */
static inline uint64_t do_ack(int who, const char *op, unsigned i)
{
    uint64_t offset = offset_of(i);
    stake(i);
    ok(SHOT(who, op, amx_raw_ack(sc.h[who], offset)));
    drop(i);
    return offset;
}

static inline void do_coalesce(int who, const char *op, unsigned i)
{
    uint64_t offset = offset_of(i);
    stake(i);
    ok(SHOT(who, op, amx_raw_coalesce(sc.h[who], offset)));
    drop(i);
}

/* One that others keep meanwhile may be moved, and if its state outlives its owner, both may be there. */
static inline void do_resize(int who, const char *op, unsigned i, size_t n)
{
    struct item *it = stake(i);
    amx_ref out = AMX_REF_NONE;
    void *p;
    it->sure = n < it->n ? n : it->n;
    it->heir = it->state >= AMX_STATE_KEPT;
    sc.more = it->heir;
    int e = SHOT(who, op, amx_resize(sc.h[who], it->ref, n, &out));
    settled(i);
    if (e == AMX_E_NOMEM || e == AMX_E_BUSY)
        return;
    ok(e);
    bool moved = out != it->ref;
    it->ref = out;
    if (moved) {
        it->tag = sc.h[who]->tag;
        it->peer = peer_of[who];
    }
    ok(amx_ptr(sc.h[P], out, &p));
    assert_true(stamp_check_(p, 0, it->sure, it->key) == SIZE_MAX);
    restamp(it);
    assert_true(it->n >= n);
}

static inline void do_publish(int who, const char *op, unsigned i)
{
    struct item *it = stake(i);
    ok(SHOT(who, op, amx_publish(sc.h[who], it->ref)));
    settled(i);
    it->tag = 0;
    it->peer = NOBODY;
}

static inline void do_adopt(int who, const char *op, unsigned i)
{
    struct item *it = stake(i);
    ok(SHOT(who, op, amx_adopt(sc.h[who], it->ref)));
    settled(i);
    it->tag = sc.h[who]->tag;
    it->peer = peer_of[who];
}

static inline void do_give(int who, const char *op, unsigned i, int to)
{
    struct item *it = stake(i);
    amx_ref out;
    sc.more = 1; /* the receiver's, under its new reference */
    ok(SHOT(who, op, amx_give(sc.h[who], it->ref, amx_handle_id(sc.h[to]), &out)));
    settled(i);
    it->ref = out;
    it->tag = sc.h[to]->tag;
    it->peer = peer_of[to];
}

static inline void do_state(int who, const char *op, unsigned i, uint32_t state)
{
    struct item *it = stake(i);
    uint32_t seen;
    if (it->state < AMX_STATE_USER_MIN)
        ok(SHOT(who, op, amx_set_state(sc.h[who], it->ref, state)));
    else
        ok(SHOT(who, op, amx_transition(sc.h[who], it->ref, it->state, state, AMX_ACQ_REL, &seen)));
    settled(i);
    it->state = state;
}

/* --- States to act in ------------------------------------------------------------------------------------------- */

enum crowd { EMPTY, TORN, QUEUED, CROWDS };

/* TORN: half of the segment full of blocks and holes of all sizes, whose owners and states differ. QUEUED: besides, blocks
 * in the queues, and caches as full as they get. */
static inline void crowd(enum crowd how, struct rng *r)
{
    sc.empty = how == EMPTY;
    unsigned want = how == EMPTY ? 0 : sc.g.sectors * sc.g.su / 40;
    for (unsigned k = 0; k < want; k++) {
        int who = (int)rng_below(r, HANDLES);
        amx_ref ref;
        ok(amx_alloc(sc.h[who], rng_below(r, 8) ? rng_range(r, 1, 250) : rng_range(r, 250, 1500), &ref));
        unsigned i = add(who, ref);
        uint64_t dice = rng_below(r, 8);
        if (dice < 2)
            do_state(who, "set_state", i, dice ? 3000 : 100);
        if (dice == 2 || dice == 3)
            do_publish(who, "publish", i);
    }
    for (unsigned k = 0; k < want / 2; k++) {
        unsigned i = (unsigned)rng_below(r, sc.n);
        int who = (int)rng_below(r, HANDLES);
        ok(amx_free(sc.h[who], sc.item[i].ref));
        drop(i);
    }
    if (how == TORN)
        for (int who = 0; who < HANDLES; who++)
            ok(amx_trim(sc.h[who]));
    for (unsigned k = 0; how == QUEUED && k < want / 8; k++) {
        unsigned i = (unsigned)rng_below(r, sc.n);
        ok(amx_raw_ack(sc.h[rng_below(r, HANDLES)], offset_of(i)));
        drop(i);
    }
}

#endif
