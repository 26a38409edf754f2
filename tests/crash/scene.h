/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where kills and stops are played: a segment with two processes, P with two handles and Q with one, and a list of every
 * block that lives in it: payload, state, owner. Each do_ call lets one of them do one thing to the segment, armed, and
 * the same to the list. Who acts, and what happens while he does, is the harness's: this very process with a hook before
 * each store (copies.h), or processes of their own, stepped by a tracer (tests/torture).
 */
#ifndef AMX_TEST_SCENE_H
#define AMX_TEST_SCENE_H

#include "calls.h"
#include "peer.h"
#include "sector.h"

#include <fcntl.h>
#include <sys/mman.h>

enum { NOBODY = -1, PEERS = 3, BLOCKS = 512, WORDS = 4, WORD_FREE = 200, LIVE = 160, MESSAGES = 8 };
static const int peer_of[SLOTS] = {0, 0, 1, 2, 3};

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

/* A registered object, if ref is one. A word of the dead, WORD_FREE again or kept, is nobody's. */
struct object {
    amx_ref ref;
    uint64_t id;
    bool there, at_stake; /* registered; the running call may change that */
    struct word {
        uint32_t state, tag, next, next_tag;
        int peer, next_peer; /* next: what the running call makes of it, if at stake */
        bool at_stake;
    } word[WORDS];
};

/* A slot that lives. */
struct slot {
    amx_slot ref;
    uint64_t key; /* of the payload */
    size_t n;     /* bytes of it */
    uint32_t state, tag;
    int peer;
    bool at_stake; /* by the running call: as it was, or gone, or as below; lost: or as recovery leaves it */
    bool gone, lost;
    amx_slot next_ref;
    uint32_t next_state, next_tag;
    int next_peer;
};

/* A message: stored, or in somebody's hands. */
struct message {
    amx_token token;
    uint64_t key; /* of the payload */
    uint32_t size;
    bool poisoned, begun, wild; /* begun: not stored yet; wild: its contents may be anything */
    bool reader[SLOTS];         /* handles that have a guard on it */
    int writer;                 /* handle that changes or stores it, or NOBODY */
    uint32_t tag;               /* of that */
    bool at_stake;              /* by the running call of handle `by`: as it was, or as `may` says */
    bool lost;                  /* at stake: or as recovery leaves it */
    int by;
    uint32_t by_tag;
    unsigned may;
    uint64_t next_key;
    uint32_t next_size;
};
enum { MAY_GONE = 1, MAY_CLAIMED = 2, MAY_WRITING = 4, MAY_POISONED = 8, MAY_NEW = 16 };

static struct {
    uint64_t ticket[PEERS]; /* 0: dead, or not there yet */
    uint32_t tag[SLOTS];
    amx_id id[SLOTS];
    bool here[SLOTS]; /* this handle exists */
    struct amxi_geometry g;
    char path[128];
    uint8_t *view;       /* a mapping of the test's own */
    amx_t *look;         /* a read-only attachment of it */
    struct amxi_seg seg; /* for what the test does to the segment behind everybody's back */
    struct item item[BLOCKS];
    unsigned n;
    struct object object;
    struct {
        amx_ref block; /* 0: there is no pool */
        uint64_t base;
        bool plain;           /* of a region, as far as it knows */
        bool arena;           /* its last class is the arena's */
        bool at_stake, going; /* the running call makes or removes it; removes it */
        uint32_t total;       /* slots */
        uint32_t growth;      /* that the running call may add to them */
        uint32_t more;        /* the running call takes one for this tag */
        uint32_t quota, next; /* next: what the running call makes of it */
        struct slot slot[LIVE];
        unsigned n;
    } pool;
    struct {
        amx_ref block; /* 0: there is no store */
        struct amx_store_config config;
        bool plain, at_stake, going; /* as of a pool */
        uint32_t more;               /* the running call takes a place for this tag, */
        int more_by;                 /* this handle, */
        uint64_t more_key;           /* and stores this, if not 0 */
        uint32_t more_size;
        struct message message[MESSAGES];
        unsigned n;
    } store;
    unsigned more; /* lives that the running call may add to those listed, if its process dies */
    bool empty;    /* to begin with */
    bool held;     /* Q is stopped in the middle of something */
    bool helped;   /* others have been at work in the middle of a call: what they took or gave back it did not find */
    bool full;     /* no handle is left, for a survivor either */
    bool damaged;  /* on purpose: nothing is promised but that every call ends */
    uint64_t keys;
} sc;

/* The harness: lets `who` do it, armed if op is given, and answers as the call did; STRANGER is a new process, which
 * becomes Q's when it has attached. Ends a process without a further instruction of it. */
static inline int act(int who, const char *op, struct call *c);
static inline void kill_one(int who);
#define ASK(who, op, ...) act((who), (op), CALL(__VA_ARGS__))

static inline void kill_q(void)
{
    kill_one(Q);
}

/* --- Beginning and end ---------------------------------------------------------------------------------------- */

static inline void met(int who, const struct call *c)
{
    sc.tag[who] = c->tag;
    sc.id[who] = c->id;
    sc.here[who] = true;
    sc.ticket[peer_of[who]] = c->ticket;
}

static inline void enter_q(const char *op)
{
    struct call c = {.verb = V_ATTACH};
    snprintf(c.path, sizeof c.path, "%s", sc.path);
    ok(act(STRANGER, op, &c));
    met(Q, &c);
}

/* The test's own way in: takes no entry, and disturbs nobody. */
static inline void scene_look(void)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    int fd = open(sc.path, O_RDWR | O_CLOEXEC);
    o.flags = AMX_F_READONLY;
    ok(amx_attach(sc.path, &o, &sc.look));
    sc.g = sc.look->seg->g;
    void *p = mmap(NULL, sc.g.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(fd >= 0 && p != MAP_FAILED);
    close(fd);
    sc.view = p;
    sc.seg.base = p;
    sc.seg.g = sc.g;
}

static inline void scene_open(uint64_t size, uint32_t sector)
{
    const char *dir = getenv("AMX_DIR");
    struct call c = {.verb = V_CREATE, .size = size, .sector = sector, .peers = 6, .handles = 8};
    memset(&sc, 0, sizeof sc);
    snprintf(sc.path, sizeof sc.path, "%s/scene-%d", dir && *dir ? dir : "/dev/shm", (int)getpid());
    memcpy(c.path, sc.path, sizeof c.path);
    (void)unlink(sc.path);
    ok(act(P, NULL, &c));
    met(P, &c);
    c = (struct call){.verb = V_SHARE, .slot = P2};
    ok(act(P, NULL, &c));
    met(P2, &c);
    scene_look();
    enter_q(NULL);
}

static inline void scene_drop(void)
{
    if (!sc.look)
        return;
    (void)amx_close(sc.look);
    (void)munmap(sc.view, sc.g.size);
    (void)unlink(sc.path);
    sc.look = NULL;
}

static inline void scene_close(void)
{
    if (sc.here[Q])
        ok(ASK(Q, NULL, .verb = V_CLOSE));
    if (sc.here[P])
        ok(ASK(P, NULL, .verb = V_CLOSE));
    scene_drop();
    memset(&sc, 0, sizeof sc);
}

/* --- The list --------------------------------------------------------------------------------------------------- */

static inline void restamp(struct item *it)
{
    ok(amx_usable(sc.look, it->ref, &it->n));
    it->key = ++sc.keys;
    stamp_part_(sc.view + (uint64_t)AMXI_REF_UNIT(it->ref) * AMXI_UNIT, 0, it->n, it->key);
}

static inline unsigned add(int who, amx_ref ref)
{
    assert_true(sc.n < BLOCKS);
    struct item *it = &sc.item[sc.n];
    *it = (struct item){.ref = ref, .state = AMX_STATE_ALLOCATED, .tag = sc.tag[who], .peer = peer_of[who]};
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

static inline void bereave_slots(int peer);
static inline void bereave_messages(int peer);

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
    for (unsigned k = 0; k < WORDS; k++) {
        struct word *w = &sc.object.word[k];
        if (sc.object.ref && w->peer == peer)
            *w = (struct word){.state = w->state < AMX_STATE_KEPT ? WORD_FREE : w->state, .peer = NOBODY};
    }
    if (!sc.pool.plain)
        bereave_slots(peer);
    if (!sc.store.plain)
        bereave_messages(peer);
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
    struct call c = {.verb = V_ALLOC, .n = n};
    int e = act(who, op, &c);
    return made(who, e, c.out);
}

static inline unsigned do_aligned(int who, const char *op, size_t align, size_t n)
{
    struct call c = {.verb = V_ALIGNED, .align = align, .n = n};
    int e = act(who, op, &c);
    return made(who, e, c.out);
}

static inline void do_many(int who, const char *op, size_t n, size_t count)
{
    struct call c = {.verb = V_MANY, .n = n, .count = (uint32_t)count};
    assert_true(count <= CALL_REFS);
    int e = act(who, op, &c);
    assert_true(!e == (c.got == count));
    for (size_t i = 0; i < c.got; i++)
        add(who, c.refs[i]);
}

static inline void do_free_many(int who, const char *op, size_t count)
{
    struct call c = {.verb = V_FREE_MANY};
    c.count = (uint32_t)(count < sc.n ? count : sc.n);
    assert_true(c.count <= CALL_REFS);
    for (unsigned i = 0; i < c.count; i++) {
        stake(sc.n - 1 - i);
        c.refs[i] = sc.item[sc.n - 1 - i].ref;
    }
    ok(act(who, op, &c));
    assert_int_equal(c.got, c.count);
    sc.n -= c.count;
}

/* A call that ends the life of a block. */
static inline void do_end(int who, const char *op, enum verb verb, unsigned i)
{
    stake(i);
    ok(ASK(who, op, .verb = verb, .ref = sc.item[i].ref, .offset = offset_of(i)));
    drop(i);
}

static inline void do_free(int who, const char *op, unsigned i)
{
    do_end(who, op, V_FREE, i);
}

static inline void do_free_ptr(int who, const char *op, unsigned i)
{
    do_end(who, op, V_FREE_PTR, i);
}

static inline void do_coalesce(int who, const char *op, unsigned i)
{
    do_end(who, op, V_COALESCE, i);
}

/* Returns the offset of the block that was queued. */
static inline uint64_t do_ack(int who, const char *op, unsigned i)
{
    uint64_t offset = offset_of(i);
    do_end(who, op, V_ACK, i);
    return offset;
}

/* One that others keep meanwhile may be moved, and if its state outlives its owner, both may be there. */
static inline void do_resize(int who, const char *op, unsigned i, size_t n)
{
    struct item *it = stake(i);
    struct call c = {.verb = V_RESIZE, .ref = it->ref, .n = n};
    void *p;
    it->sure = n < it->n ? n : it->n;
    it->heir = it->state >= AMX_STATE_KEPT;
    sc.more = it->heir;
    int e = act(who, op, &c);
    settled(i);
    if (e == AMX_E_NOMEM || e == AMX_E_BUSY)
        return;
    ok(e);
    bool moved = c.out != it->ref;
    it->ref = c.out;
    if (moved) {
        it->tag = sc.tag[who];
        it->peer = peer_of[who];
    }
    ok(amx_ptr(sc.look, it->ref, &p));
    assert_true(stamp_check_(p, 0, it->sure, it->key) == SIZE_MAX);
    restamp(it);
    assert_true(it->n >= n);
}

static inline void do_publish(int who, const char *op, unsigned i)
{
    struct item *it = stake(i);
    ok(ASK(who, op, .verb = V_PUBLISH, .ref = it->ref));
    settled(i);
    it->tag = 0;
    it->peer = NOBODY;
}

static inline void do_adopt(int who, const char *op, unsigned i)
{
    struct item *it = stake(i);
    ok(ASK(who, op, .verb = V_ADOPT, .ref = it->ref));
    settled(i);
    it->tag = sc.tag[who];
    it->peer = peer_of[who];
}

static inline void do_give(int who, const char *op, unsigned i, int to)
{
    struct item *it = stake(i);
    struct call c = {.verb = V_GIVE, .ref = it->ref, .to = sc.id[to]};
    sc.more = 1; /* the receiver's, under its new reference */
    ok(act(who, op, &c));
    settled(i);
    it->ref = c.out;
    it->tag = sc.tag[to];
    it->peer = peer_of[to];
}

static inline void do_state(int who, const char *op, unsigned i, uint32_t state)
{
    struct item *it = stake(i);
    if (it->state < AMX_STATE_USER_MIN)
        ok(ASK(who, op, .verb = V_SET_STATE, .ref = it->ref, .state = state));
    else
        ok(ASK(who, op, .verb = V_TRANSITION, .ref = it->ref, .state = it->state, .next = state, .order = AMX_ACQ_REL));
    settled(i);
    it->state = state;
}

static inline amxi_a64 *word_at(unsigned k)
{
    return (amxi_a64 *)(void *)(sc.view + (uint64_t)AMXI_REF_UNIT(sc.object.ref) * AMXI_UNIT + k * 16);
}

/* `who` takes a word, or makes it nobody's. */
static inline void do_word(int who, const char *op, unsigned k, bool take, uint32_t state)
{
    struct word *w = &sc.object.word[k];
    w->at_stake = true;
    w->next = state;
    w->next_tag = take ? sc.tag[who] : 0;
    w->next_peer = take ? peer_of[who] : NOBODY;
    ok(ASK(who, op, .verb = V_WORD, .ref = sc.object.ref, .got = sc.object.id, .offset = k * 16, .state = w->state,
           .next = state, .n = take));
    *w = (struct word){.state = w->next, .tag = w->next_tag, .peer = w->next_peer};
}

static inline void do_word_give(int who, const char *op, unsigned k, int to)
{
    struct word *w = &sc.object.word[k];
    w->at_stake = true;
    w->next = w->state;
    w->next_tag = sc.tag[to];
    w->next_peer = peer_of[to];
    ok(ASK(who, op, .verb = V_WORD_GIVE, .ref = sc.object.ref, .got = sc.object.id, .offset = k * 16, .to = sc.id[to]));
    *w = (struct word){.state = w->next, .tag = w->next_tag, .peer = w->next_peer};
}

#include "pool_scene.h"
#include "store_scene.h"

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
        unsigned i = do_alloc(who, NULL, rng_below(r, 8) ? rng_range(r, 1, 250) : rng_range(r, 250, 1500));
        uint64_t dice = rng_below(r, 8);
        if (dice < 2)
            do_state(who, NULL, i, dice ? 3000 : 100);
        if (dice == 2 || dice == 3)
            do_publish(who, NULL, i);
    }
    for (unsigned k = 0; k < want / 2; k++) {
        unsigned i = (unsigned)rng_below(r, sc.n);
        do_free((int)rng_below(r, HANDLES), NULL, i);
    }
    if (how == TORN)
        for (int who = 0; who < HANDLES; who++)
            ok(ASK(who, NULL, .verb = V_TRIM));
    for (unsigned k = 0; how == QUEUED && k < want / 8; k++) {
        unsigned i = (unsigned)rng_below(r, sc.n);
        do_ack((int)rng_below(r, HANDLES), NULL, i);
    }
}

#endif
