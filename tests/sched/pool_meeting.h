/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on slot pools that meet: the scene, what each operation does in it, and what must hold whatever happens: each
 * life of a slot ends at most once, no slot is two owners' at a time, each owner has what its calls said, nothing that is
 * free is hidden, and what the dead had comes back. The counterpart of tests/hook/meeting.h for explore.h, with -DPOOLS.
 *
 * There are two pools: one in a segment, and one outside of segments, as far as it knows: it lies in a block. In the first
 * one a process that is dead from the beginning has slots (LOST), in the second one the owner 7 has. Cold: there is a free
 * slot in the smaller class, without its hint, two in the larger one, and one in the arena's. Warm: there is none.
 * As many blocks live in the segment as slots of the arena, each slot has its own.
 */
#ifndef AMX_TEST_POOL_MEETING_H
#define AMX_TEST_POOL_MEETING_H

#include "amx_object.h"
#include "arena.h"
#include "peer.h"
#include "slot.h"
#include "tests/arena_kit.h"

enum { DEPTH = 3, FRESH = 2 * DEPTH, CANDIDATES = 6, ABSENT = 7, GROWTH = 2, SLOTS_SET = 11, LARGE = 100, QUOTA = 2 };

enum item {
    MINE,
    THEIRS,
    PUBLIC,
    LOST,
    PLAIN_MINE,
    PLAIN_LOST,
    FULL,
    FULL_LARGER,
    FULL_LARGER_TOO,
    PLAIN_FULL,
    LARGE_MINE,
    LARGE_PUBLIC,
    LARGE_LOST,
    LARGE_FULL,
    ITEMS,
    NO_ITEM = ITEMS,
    A_FRESH_ONE
};

enum op {
    S_ALLOC,
    S_ALLOC_LARGER,
    S_CYCLE,
    S_ALLOC_WAIT,
    S_SWAP,
    S_FREE_MINE,
    S_FREE_THEIRS,
    S_FREE_PUBLIC,
    S_FREE_LOST,
    S_PUBLISH,
    S_ADOPT,
    S_GIVE,
    S_GIVE_LOST,
    S_SET_STATE,
    S_KEEP,
    S_TRANSITION,
    S_EXTEND,
    S_RECOVER,
    S_LOOK,
    S_PLAIN_ALLOC,
    S_PLAIN_FREE,
    S_PLAIN_FREE_LOST,
    S_PLAIN_GIVE_LOST,
    S_PLAIN_RECOVER,
    L_ALLOC,
    L_CYCLE,
    L_FREE_MINE,
    L_FREE_PUBLIC,
    L_FREE_LOST,
    L_GIVE,
    L_GIVE_LOST,
    L_PTR,
    L_PTR_LOST,
    L_QUOTA,
    OPS,
    BY_OFFSET = OPS
};

static const char *const names[OPS] = {
    [S_ALLOC] = "slot alloc",
    [S_ALLOC_LARGER] = "slot alloc larger",
    [S_CYCLE] = "slot alloc and free",
    [S_ALLOC_WAIT] = "slot alloc_wait",
    [S_SWAP] = "slot free and alloc",
    [S_FREE_MINE] = "slot free mine",
    [S_FREE_THEIRS] = "slot free theirs",
    [S_FREE_PUBLIC] = "slot free public",
    [S_FREE_LOST] = "slot free lost",
    [S_PUBLISH] = "slot publish",
    [S_ADOPT] = "slot adopt",
    [S_GIVE] = "slot give",
    [S_GIVE_LOST] = "slot give lost",
    [S_SET_STATE] = "slot set_state",
    [S_KEEP] = "slot keep",
    [S_TRANSITION] = "slot transition",
    [S_EXTEND] = "pool extend",
    [S_RECOVER] = "recover",
    [S_LOOK] = "pool look",
    [S_PLAIN_ALLOC] = "plain alloc",
    [S_PLAIN_FREE] = "plain free",
    [S_PLAIN_FREE_LOST] = "plain free lost",
    [S_PLAIN_GIVE_LOST] = "plain give lost",
    [S_PLAIN_RECOVER] = "plain recover",
    [L_ALLOC] = "large alloc",
    [L_CYCLE] = "large alloc and free",
    [L_FREE_MINE] = "large free mine",
    [L_FREE_PUBLIC] = "large free public",
    [L_FREE_LOST] = "large free lost",
    [L_GIVE] = "large give",
    [L_GIVE_LOST] = "large give lost",
    [L_PTR] = "large ptr",
    [L_PTR_LOST] = "large ptr lost",
    [L_QUOTA] = "large alloc with a quota",
};

/* What each is about. */
static const enum item item_of[OPS] = {
    [S_ALLOC] = NO_ITEM,
    [S_ALLOC_LARGER] = NO_ITEM,
    [S_CYCLE] = NO_ITEM,
    [S_ALLOC_WAIT] = NO_ITEM,
    [S_SWAP] = THEIRS,
    [S_FREE_MINE] = MINE,
    [S_FREE_THEIRS] = THEIRS,
    [S_FREE_PUBLIC] = PUBLIC,
    [S_FREE_LOST] = LOST,
    [S_PUBLISH] = MINE,
    [S_ADOPT] = PUBLIC,
    [S_GIVE] = MINE,
    [S_GIVE_LOST] = LOST,
    [S_SET_STATE] = MINE,
    [S_KEEP] = MINE,
    [S_TRANSITION] = MINE,
    [S_EXTEND] = NO_ITEM,
    [S_RECOVER] = LOST,
    [S_LOOK] = NO_ITEM,
    [S_PLAIN_ALLOC] = NO_ITEM,
    [S_PLAIN_FREE] = PLAIN_MINE,
    [S_PLAIN_FREE_LOST] = PLAIN_LOST,
    [S_PLAIN_GIVE_LOST] = PLAIN_LOST,
    [S_PLAIN_RECOVER] = PLAIN_LOST,
    [L_ALLOC] = NO_ITEM,
    [L_CYCLE] = NO_ITEM,
    [L_FREE_MINE] = LARGE_MINE,
    [L_FREE_PUBLIC] = LARGE_PUBLIC,
    [L_FREE_LOST] = LARGE_LOST,
    [L_GIVE] = LARGE_MINE,
    [L_GIVE_LOST] = LARGE_LOST,
    [L_PTR] = LARGE_MINE,
    [L_PTR_LOST] = LARGE_LOST,
    [L_QUOTA] = NO_ITEM,
};

#define TRIPLES_THAT_MEET                                                                                              \
    {S_ALLOC, S_FREE_THEIRS, S_RECOVER}, {S_FREE_MINE, S_FREE_MINE, S_ALLOC}, {S_GIVE, S_RECOVER, S_FREE_MINE},        \
        {S_GIVE_LOST, S_RECOVER, S_FREE_LOST}, {S_GIVE_LOST, S_GIVE_LOST, S_RECOVER},                                  \
        {S_GIVE, S_RECOVER, S_FREE_PUBLIC}, {S_FREE_PUBLIC, S_RECOVER, S_ALLOC}, {S_EXTEND, S_EXTEND, S_ALLOC},        \
        {S_EXTEND, S_EXTEND, S_RECOVER}, {S_EXTEND, S_ALLOC, S_RECOVER}, {S_PUBLISH, S_ADOPT, S_RECOVER},              \
        {S_ADOPT, S_ADOPT, S_FREE_PUBLIC}, {S_PUBLISH, S_GIVE, S_FREE_MINE}, {S_KEEP, S_FREE_MINE, S_RECOVER},         \
        {S_TRANSITION, S_SET_STATE, S_FREE_MINE}, {S_SWAP, S_ALLOC, S_FREE_THEIRS}, {S_SWAP, S_SWAP, S_ALLOC},         \
        {S_ALLOC, S_ALLOC, S_ALLOC}, {S_CYCLE, S_CYCLE, S_CYCLE}, {S_CYCLE, S_CYCLE, S_RECOVER},                       \
        {S_ALLOC, S_ALLOC_LARGER, S_SWAP}, {S_ALLOC_WAIT, S_SWAP, S_FREE_PUBLIC},                                      \
        {S_ALLOC_WAIT, S_ALLOC_WAIT, S_FREE_MINE}, {S_ALLOC, S_FREE_LOST, S_RECOVER}, {S_RECOVER, S_RECOVER, S_ALLOC}, \
        {S_GIVE, S_ALLOC, S_RECOVER}, {S_PLAIN_RECOVER, S_PLAIN_RECOVER, S_PLAIN_ALLOC},                               \
        {L_FREE_MINE, L_FREE_MINE, L_ALLOC}, {L_FREE_PUBLIC, L_FREE_MINE, L_ALLOC}, {L_ALLOC, S_RECOVER, S_ALLOC},     \
        {L_ALLOC, L_ALLOC, S_RECOVER}, {L_ALLOC, S_RECOVER, L_FREE_LOST}, {L_GIVE_LOST, S_RECOVER, L_FREE_LOST},       \
        {S_RECOVER, S_RECOVER, L_ALLOC}, {L_FREE_LOST, S_RECOVER, L_CYCLE}, {L_CYCLE, L_CYCLE, S_RECOVER},             \
        {L_FREE_PUBLIC, S_RECOVER, L_CYCLE}, {L_QUOTA, L_ALLOC, S_RECOVER}, {L_PTR, L_FREE_MINE, L_ALLOC},             \
        {L_PTR_LOST, S_RECOVER, L_ALLOC}, {L_PTR_LOST, L_FREE_LOST, L_ALLOC}, {L_GIVE, S_RECOVER, L_FREE_MINE},        \
        {L_GIVE, L_PTR, L_FREE_MINE}, {S_RECOVER, S_RECOVER, L_FREE_PUBLIC},                                           \
        {S_PLAIN_GIVE_LOST, S_PLAIN_RECOVER, S_PLAIN_FREE_LOST}, {S_PLAIN_FREE, S_PLAIN_ALLOC, S_PLAIN_RECOVER},       \
    {                                                                                                                  \
        S_PLAIN_FREE_LOST, S_PLAIN_FREE_LOST, S_PLAIN_ALLOC                                                            \
    }

/* Accesses to the segment while the others stand still, at most: an allocation that finds nothing recovers the dead, once;
 * where a quota holds, every word is counted. */
#define ALONE_MAX                                                                                                      \
    [S_ALLOC] = 1800, [S_ALLOC_LARGER] = 1800, [S_CYCLE] = 1800, [S_ALLOC_WAIT] = 1800, [S_SWAP] = 1800,               \
    [S_FREE_MINE] = 8, [S_FREE_THEIRS] = 8, [S_FREE_PUBLIC] = 8, [S_FREE_LOST] = 8, [S_PUBLISH] = 4, [S_ADOPT] = 60,   \
    [S_GIVE] = 14, [S_GIVE_LOST] = 14, [S_SET_STATE] = 4, [S_KEEP] = 8, [S_TRANSITION] = 4, [S_EXTEND] = 700,          \
    [S_RECOVER] = 2500, [S_LOOK] = 500, [S_PLAIN_ALLOC] = 14, [S_PLAIN_FREE] = 8, [S_PLAIN_FREE_LOST] = 8,             \
    [S_PLAIN_GIVE_LOST] = 4, [S_PLAIN_RECOVER] = 12, [L_ALLOC] = 2200, [L_CYCLE] = 2400, [L_FREE_MINE] = 44,           \
    [L_FREE_PUBLIC] = 44, [L_FREE_LOST] = 44, [L_GIVE] = 16, [L_GIVE_LOST] = 16, [L_PTR] = 16, [L_PTR_LOST] = 16,      \
    [L_QUOTA] = 2400

struct thing {
    amx_slot ref; /* at the beginning; 0: there is none */
    amx_slot now; /* after it was given */
    uint64_t key;
    size_t at;                                   /* in the segment, of the arena's */
    int ends;                                    /* calls that said that they had freed it */
    uint32_t tag[CANDIDATES], state[CANDIDATES]; /* that it has by what calls said: one of these */
    uint32_t tags, states;
    int owner; /* fiber; -1: none of them */
    bool plain, kept;
};

static struct scene {
    amx_t *h[DEPTH];
    amx_ref block, region; /* of the pools */
    struct amx_pool view[DEPTH], plain[DEPTH];
    struct thing item[ITEMS];
    struct thing fresh[FRESH];
    int made;
    enum op op[DEPTH];
    bool mortal; /* one of them may die in the middle */
    bool warm;
    bool sleeps; /* in alloc_wait, if it had been asked to */
    int grown;   /* calls that said so */
} scene;

static void tell(void); /* what was going on, before the process ends */

#undef must
#define must(cond) ((cond) ? (void)0 : (tell(), must_(false, #cond, __FILE__, __LINE__)))

/* --- The scene --------------------------------------------------------------------------------------------------- */

static int fiber_of(const amx_t *h)
{
    int i = 0;
    while (scene.h[i] != h)
        i++;
    return i;
}

static uint32_t tag_of(int fiber, bool plain)
{
    return plain ? (uint32_t)fiber + 1 : AMX_OBJECT_OWNER(amx_handle_id(scene.h[fiber]));
}

/* A slot, as an allocation by this fiber has got it. Its contents say whose it is. */
static void comes(struct thing *t, int fiber, amx_slot ref, bool plain)
{
    uint8_t *m = amx_pool_ptr_unchecked(plain ? &scene.plain[fiber] : &scene.view[fiber], ref);
    memset(t, 0, sizeof *t);
    t->ref = t->now = ref;
    t->key = ref ^ ref >> 29;
    t->owner = fiber;
    t->plain = plain;
    t->tag[t->tags++] = tag_of(fiber, plain);
    t->state[t->states++] = AMX_STATE_ALLOCATED;
    must(m != NULL);
    t->at = (size_t)(m - (uint8_t *)scene.h[fiber]->seg->base);
    stamp_part_(m, 0, 16, t->key);
}

/* One of somebody who is dead from the beginning. */
static void lost(enum item i, amx_slot ref, uint32_t tag, bool plain)
{
    comes(&scene.item[i], 2, ref, plain);
    scene.item[i].owner = -1;
    scene.item[i].tag[0] = tag;
}

static void has(enum item i, int fiber, size_t n, bool plain)
{
    amx_slot ref;
    must_ok(amx_pool_alloc(plain ? &scene.plain[fiber] : &scene.view[fiber], n,
                           plain ? (amx_id)fiber + 1 : AMX_POOL_SELF, &ref));
    comes(&scene.item[i], fiber, ref, plain);
}

/* No store into the segment, but nothing left of the process. */
static void vanish(amx_t *h)
{
    struct amxi_seg *s = h->seg;
    amxi_peer_unlock(s);
    amxi_forks_remove(s);
    amxi_handles_drop(s);
    s->open = NULL;
    amxi_seg_drop(s);
}

static void scene_set(void)
{
    const struct amx_pool_config three = {.n = 3, .cls = {{16, 5}, {32, 2}, {AMX_POOL_ARENA, 4}}},
                                 one = {.n = 1, .cls = {{16, 3}}};
    amx_t *dead = attach_again(scene.h[0]);
    struct amx_pool view;
    struct thing *t;
    amx_slot ref;
    void *m;
    size_t n;
    scene.made = 0;
    scene.grown = 0;
    scene.sleeps = false;
    memset(scene.item, 0, sizeof scene.item);
    must_ok(amx_pool_create(scene.h[0], &three, &scene.block, &scene.view[0]));
    must_ok(amx_alloc_aligned(scene.h[0], 64, 1024, &scene.region));
    must_ok(amx_publish(scene.h[0], scene.region));
    for (int i = 0; i < DEPTH; i++) {
        must_ok(amx_ptr(scene.h[i], scene.region, &m));
        must_ok(amx_usable(scene.h[i], scene.region, &n));
        if (i)
            must_ok(amx_pool_attach_block(scene.h[i], scene.block, 0, &three, &scene.view[i]));
        must_ok(i ? amx_pool_attach(m, n, 0, &one, &scene.plain[i]) : amx_pool_init(m, n, 0, &one, &scene.plain[0]));
    }
    slots_before_the_wrap(&scene.view[0].part[0]);
    slots_before_the_wrap(&scene.view[0].part[1]);
    slots_before_the_wrap(&scene.plain[0].part[0]);
    has(MINE, 0, 16, false);
    must_ok(amx_pool_set_state(&scene.view[0], scene.item[MINE].ref, 50));
    scene.item[MINE].state[0] = 50;
    has(THEIRS, 1, 16, false);
    has(PUBLIC, 1, 16, false);
    must_ok(amx_pool_publish(&scene.view[1], scene.item[PUBLIC].ref));
    scene.item[PUBLIC].tag[0] = 0;
    scene.item[PUBLIC].owner = -1;
    has(PLAIN_MINE, 0, 16, true);
    has(LARGE_MINE, 0, LARGE, false);
    has(LARGE_PUBLIC, 1, LARGE, false);
    must_ok(amx_pool_publish(&scene.view[1], scene.item[LARGE_PUBLIC].ref));
    scene.item[LARGE_PUBLIC].tag[0] = 0;
    scene.item[LARGE_PUBLIC].owner = -1;
    must_ok(amx_pool_attach_block(dead, scene.block, 0, &three, &view));
    must_ok(amx_pool_alloc(&view, 16, AMX_POOL_SELF, &ref));
    lost(LOST, ref, AMX_OBJECT_OWNER(amx_handle_id(dead)), false);
    must_ok(amx_pool_alloc(&view, LARGE, AMX_POOL_SELF, &ref));
    lost(LARGE_LOST, ref, AMX_OBJECT_OWNER(amx_handle_id(dead)), false);
    vanish(dead);
    must_ok(amx_pool_alloc(&scene.plain[2], 16, ABSENT, &ref));
    lost(PLAIN_LOST, ref, ABSENT, true);
    const int filler = scene.warm ? 2 : 1;
    has(FULL, filler, 16, false);
    has(FULL_LARGER, filler, 32, false);
    has(FULL_LARGER_TOO, filler, 32, false);
    has(PLAIN_FULL, filler, 16, true);
    has(LARGE_FULL, filler, LARGE, false);
    if (!scene.warm) { /* was full: an allocation that sees more in use than ever would look at all words */
        for (int i = FULL; i <= LARGE_FULL; i++) {
            t = &scene.item[i];
            if (i > PLAIN_FULL && i < LARGE_FULL)
                continue;
            must_ok(amx_pool_free(t->plain ? &scene.plain[1] : &scene.view[1], t->ref));
            t->ref = AMX_SLOT_NONE;
        }
        amxi_st64_rlx(amxi_pool_hint_at(&scene.view[0].part[0], 0), 0);
    }
}

/* --- Operations -------------------------------------------------------------------------------------------------- */

static void may_own(struct thing *t, uint32_t tag)
{
    must(t->tags < CANDIDATES);
    t->tag[t->tags++] = tag;
}

static void may_be_in(struct thing *t, uint32_t state)
{
    must(t->states < CANDIDATES);
    t->state[t->states++] = state;
    t->kept |= state >= AMX_STATE_KEPT;
}

static unsigned allocations(bool plain)
{
    unsigned n = 0;
    for (int i = 0; i < DEPTH; i++)
        n += plain ? scene.op[i] == S_PLAIN_ALLOC : scene.op[i] <= S_SWAP;
    return n;
}

/* Nothing is free, for sure or perhaps: then it may say so. */
static bool may_be_empty(bool plain)
{
    unsigned n = allocations(plain);
    return scene.warm || n > (plain ? 1 : 2);
}

static unsigned how_many(enum op op)
{
    unsigned n = 0;
    for (int i = 0; i < DEPTH; i++)
        n += scene.op[i] == op;
    return n;
}

/* Who has reached his quota, as fiber 0 has, takes none from others, not for a moment. */
static bool no_large_left(void)
{
    unsigned n = how_many(L_ALLOC) + how_many(L_CYCLE) + how_many(L_QUOTA);
    return scene.warm || n > (scene.op[0] == L_QUOTA && how_many(L_QUOTA) == 1 ? 2 : 1);
}

/* While one of them lets a quota hold. */
static bool may_be_refused(int rc)
{
    return rc == AMX_E_QUOTA && how_many(L_QUOTA);
}

static struct thing *new_thing(int fiber, amx_slot ref, bool plain);

/* NULL: it got none. Each sector may be another's. */
static struct thing *got_large(int fiber, int rc, amx_slot ref)
{
    must(rc == AMX_OK || rc == AMX_E_BUSY || (rc == AMX_E_NOMEM && no_large_left()) || may_be_refused(rc));
    return rc ? NULL : new_thing(fiber, ref, false);
}

/* NULL: it got none. */
static struct thing *got(int fiber, int rc, amx_slot ref, bool plain)
{
    must(rc == AMX_OK || (rc == AMX_E_NOMEM && may_be_empty(plain)) || (!plain && may_be_refused(rc)));
    return rc ? NULL : new_thing(fiber, ref, plain);
}

static struct thing *new_thing(int fiber, amx_slot ref, bool plain)
{
    struct thing *t = &scene.fresh[scene.made++];
    must(scene.made <= FRESH);
    comes(t, fiber, ref, plain);
    return t;
}

static void ended(enum item i, int rc)
{
    must(rc == AMX_OK || rc == AMX_E_DOUBLE_FREE || rc == AMX_E_STALE);
    scene.item[i].ends += rc == AMX_OK;
}

static void given(enum item i, int rc, amx_slot out, uint32_t to, int giver)
{
    struct thing *t = &scene.item[i];
    must(rc == AMX_OK || rc == AMX_E_STALE || (rc == AMX_E_PEER_DEAD && scene.mortal && !t->plain));
    if (rc == AMX_E_STALE)
        return;
    must(rc || out != t->ref); /* else who has the old reference could still free it */
    t->now = out;
    may_own(t, to);
    if (rc == AMX_E_PEER_DEAD) /* the giver's, or nobody's as it was before */
        may_own(t, tag_of(giver, t->plain));
}

static void looked(const struct amx_pool *p)
{
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    struct amx_pool_stats s = {.struct_size = sizeof s};
    must_ok(amx_pool_check(p, NULL, NULL, &r));
    must_ok(amx_pool_stat(p, 0, &s));
    must(s.used <= s.count && s.high >= s.used && s.high <= s.count);
}

/* One of them is about it. */
static bool meddled_with(enum item i)
{
    bool is = false;
    for (int k = 0; k < DEPTH; k++)
        is |= scene.op[k] < OPS && item_of[scene.op[k]] == i;
    return is;
}

static void act(amx_t *h, enum op op)
{
    const int me = fiber_of(h);
    /* who is given to: of three one who has had nothing here yet, if it is cold */
    const int to = scene.op[2] < OPS ? (me == 2 ? 0 : 2) : me == 0;
    struct amx_pool *p = &scene.view[me], *q = &scene.plain[me];
    struct thing *m = item_of[op] < ITEMS ? &scene.item[item_of[op]] : NULL;
    amx_slot out = AMX_SLOT_NONE;
    uint32_t seen;
    void *at;
    int rc;
    /* else they would find the dead one's slots before they miss a hint, or sleep; the others recover */
    h->seg->manual = op == S_ALLOC_WAIT || op == S_ALLOC;
    switch (op) {
    case S_SWAP:
        ended(THEIRS, amx_pool_free(p, m->ref));
        rc = amx_pool_alloc(p, 16, AMX_POOL_SELF, &out);
        (void)got(me, rc, out, false);
        break;
    case S_ALLOC:
    case S_ALLOC_LARGER:
        rc = amx_pool_alloc(p, op == S_ALLOC ? 16 : 32, AMX_POOL_SELF, &out);
        (void)got(me, rc, out, false);
        break;
    case S_CYCLE: /* it is nobody else's in between */
        rc = amx_pool_alloc(p, 32, AMX_POOL_SELF, &out);
        m = got(me, rc, out, false);
        if (m) {
            must(amx_pool_ptr(p, out, &at, NULL) == AMX_OK && stamp_check_(at, 0, 16, m->key) == SIZE_MAX);
            must_ok(amx_pool_free(p, out));
            m->ends++;
        }
        break;
    case S_ALLOC_WAIT:
        rc = amx_pool_alloc_wait(p, 16, AMX_POOL_SELF, 0, &out);
        scene.sleeps |= rc == AMX_E_TIMEOUT && !how_many(L_QUOTA); /* a quota that is lifted wakes nobody */
        if (rc == AMX_E_TIMEOUT)
            rc = how_many(L_QUOTA) ? AMX_E_QUOTA : AMX_E_NOMEM;
        (void)got(me, rc, out, false);
        break;
    case S_FREE_MINE:
    case S_FREE_THEIRS:
    case S_FREE_PUBLIC:
    case S_FREE_LOST:
        ended(item_of[op], amx_pool_free(p, m->ref));
        break;
    case S_PUBLISH:
        rc = amx_pool_publish(p, m->ref);
        must(rc == AMX_OK || rc == AMX_E_OWNER || rc == AMX_E_STALE);
        if (!rc)
            may_own(m, 0);
        break;
    case S_ADOPT:
        rc = amx_pool_adopt(p, m->ref, AMX_POOL_SELF);
        must(rc == AMX_OK || rc == AMX_E_OWNER || rc == AMX_E_STALE || may_be_refused(rc));
        if (!rc)
            may_own(m, tag_of(me, false));
        break;
    case S_GIVE:
        rc = amx_pool_give(p, m->ref, amx_handle_id(scene.h[to]), &out);
        given(MINE, rc, out, tag_of(to, false), me);
        break;
    case S_GIVE_LOST:
        rc = amx_pool_give(p, m->ref, amx_handle_id(scene.h[to]), &out);
        given(LOST, rc, out, tag_of(to, false), me);
        break;
    case S_SET_STATE:
        rc = amx_pool_set_state(p, m->ref, 60);
        must(rc == AMX_OK || rc == AMX_E_STALE);
        if (!rc)
            may_be_in(m, 60);
        break;
    case S_KEEP: /* from its first half on the slot outlives its owner */
        rc = amx_pool_set_state(p, m->ref, 2100);
        must(rc == AMX_OK || rc == AMX_E_STALE);
        if (!rc) {
            may_be_in(m, 2100);
            rc = amx_pool_publish(p, m->ref);
            must(rc == AMX_OK || rc == AMX_E_OWNER || rc == AMX_E_STALE);
            if (!rc)
                may_own(m, 0);
        }
        break;
    case S_TRANSITION:
        rc = amx_pool_transition(p, m->ref, 50, 51, &seen);
        must(rc == AMX_OK || rc == AMX_E_STALE || (rc == AMX_E_STATE && seen > 50));
        if (!rc)
            may_be_in(m, 51);
        break;
    case S_EXTEND:
        rc = amx_pool_extend(p, 0, GROWTH);
        scene.grown += rc == AMX_OK;
        must(rc == AMX_OK || rc == AMX_E_BUSY); /* another's, who has not come so far */
        must(rc == AMX_OK || (scene.op[0] == S_EXTEND) + (scene.op[1] == S_EXTEND) + (scene.op[2] == S_EXTEND) > 1);
        break;
    case S_RECOVER:
        rc = amx_recover(h, 0, NULL, NULL, NULL);
        must(rc == AMX_OK || rc == AMX_E_PARTIAL);
        break;
    case S_LOOK:
        looked(p);
        break;
    case S_PLAIN_ALLOC:
        rc = amx_pool_alloc(q, 16, (amx_id)me + 1, &out);
        (void)got(me, rc, out, true);
        break;
    case S_PLAIN_FREE:
    case S_PLAIN_FREE_LOST:
        ended(item_of[op], amx_pool_free(q, m->ref));
        break;
    case S_PLAIN_GIVE_LOST:
        rc = amx_pool_give(q, m->ref, (amx_id)to + 1, &out);
        given(PLAIN_LOST, rc, out, (uint32_t)to + 1, me);
        break;
    case L_ALLOC:
        rc = amx_pool_alloc(p, LARGE, AMX_POOL_SELF, &out);
        (void)got_large(me, rc, out);
        break;
    case L_CYCLE: /* as S_CYCLE */
        rc = amx_pool_alloc(p, LARGE, AMX_POOL_SELF, &out);
        m = got_large(me, rc, out);
        if (m) {
            must(amx_pool_ptr(p, out, &at, NULL) == AMX_OK && stamp_check_(at, 0, 16, m->key) == SIZE_MAX);
            must_ok(amx_pool_free(p, out));
            m->ends++;
        }
        break;
    case L_FREE_MINE:
    case L_FREE_PUBLIC:
    case L_FREE_LOST:
        ended(item_of[op], amx_pool_free(p, m->ref));
        break;
    case L_GIVE:
    case L_GIVE_LOST:
        rc = amx_pool_give(p, m->ref, amx_handle_id(scene.h[to]), &out);
        given(item_of[op], rc, out, tag_of(to, false), me);
        break;
    case L_PTR:
    case L_PTR_LOST: /* over, or this very block */
        rc = amx_pool_ptr(p, m->ref, &at, NULL);
        must(rc == AMX_E_STALE || (rc == AMX_OK && (size_t)((uint8_t *)at - (uint8_t *)h->seg->base) == m->at));
        break;
    case L_QUOTA: /* fiber 0 has so many */
        must_ok(amx_pool_set_quota(p, QUOTA));
        rc = amx_pool_alloc(p, LARGE, AMX_POOL_SELF, &out);
        must(me || rc == AMX_E_QUOTA || how_many(L_QUOTA) > 1 || meddled_with(MINE) || meddled_with(LARGE_MINE));
        (void)got_large(me, rc, out);
        must_ok(amx_pool_set_quota(p, 0));
        break;
    case S_PLAIN_RECOVER:
        must_ok(amx_pool_recover(q, ABSENT, NULL, NULL));
        break;
    case OPS:
        break;
    }
}

/* In a slot, or in no pool. Extents are blocks as any others. */
static bool in_slot_or_outside(const struct amx_pool *p, const unsigned char *at)
{
    if (at < p->base || at >= p->base + amxi_pool_head_at(p->base)->bytes.v_)
        return true;
    for (uint32_t c = 0; c < p->n; c++) {
        const unsigned char *first = (const unsigned char *)amxi_pool_data_at(&p->part[c], 0);
        if (at >= first && at < (const unsigned char *)amxi_pool_data_at(&p->part[c], p->part[c].count))
            return true;
    }
    return false;
}

static bool payload_at(const unsigned char *at)
{
    return in_slot_or_outside(&scene.view[0], at) && in_slot_or_outside(&scene.plain[0], at);
}

/* --- The judge --------------------------------------------------------------------------------------------------- */

struct seen {
    const struct amx_pool *p;
    unsigned used, free, large; /* large: free ones of the arena, which who wants a small one does not get */
    unsigned unhinted;          /* unhinted: of the larger class, which no recovery touches here */
};

static int see(const struct amx_pool_slot *s, void *ctx)
{
    struct seen *n = ctx;
    bool live = s->state != AMX_STATE_FREE;
    n->used += live;
    n->free += !live;
    n->large += !live && s->class_index == 2;
    n->unhinted += !live && s->class_index == 1 && s->index < n->p->part[1].count &&
                   !(amxi_ld64_rlx(amxi_pool_hint_at(&n->p->part[1], 0)) >> s->index & 1);
    return 0;
}

static int free_it_too(const struct amx_pool_slot *s, void *ctx)
{
    if (s->ref)
        must_ok(amx_pool_free(ctx, s->ref));
    return 0;
}

/* Who is dead may have ended it, or it fell with him. */
static bool excused(const struct thing *t, enum item i, const bool *dead)
{
    bool why = i == LOST || i == PLAIN_LOST || i == LARGE_LOST; /* recovered, if it was not given */
    if (why && t->now == t->ref)
        return true;
    why = false;
    for (int f = 0; f < DEPTH; f++) {
        if (!dead[f])
            continue;
        why |= scene.op[f] < OPS && item_of[scene.op[f]] == i; /* in the middle of something with it */
        why |= t->owner == f && !t->kept;
        for (uint32_t k = 0; k < t->tags && !t->kept; k++)
            why |= t->tag[k] == tag_of(f, t->plain);
    }
    return why;
}

static bool among(const uint32_t *set, uint32_t n, uint32_t v)
{
    for (uint32_t k = n > 1; k < n; k++) /* the first is what it was before anybody said that he had changed it */
        if (set[k] == v)
            return true;
    return n == 1 && set[0] == v;
}

/* Recovery is done. Returns 1 if it lives. */
static unsigned settle(const struct amx_pool *p, const struct thing *t, enum item i, const bool *dead, bool mortal)
{
    void *m;
    amx_id owner;
    uint32_t state;
    if (!t->ref)
        return 0;
    bool lives = amx_pool_ptr(p, t->now, &m, NULL) == AMX_OK;
    must(t->ends <= 1);
    must(!lives || !t->ends);
    must(lives || t->ends || excused(t, i, dead));
    if (t->now != t->ref) { /* one reference per life */
        void *none;
        must(amx_pool_ptr(p, t->ref, &none, NULL) == AMX_E_STALE);
    }
    if (!lives)
        return 0;
    must(stamp_check_(m, 0, 16, t->key) == SIZE_MAX);
    must_ok(amx_pool_owner(p, t->now, &owner));
    must_ok(amx_pool_get_state(p, t->now, &state));
    if (!mortal) {
        must(among(t->tag, t->tags, (uint32_t)(owner & 0xfff)));
        must(among(t->state, t->states, state));
    }
    must(!owner || t->plain || AMX_OBJECT_OWNER(owner) != scene.item[LOST].tag[0]);
    must(!owner || !t->plain || owner != ABSENT);
    return 1;
}

struct blocks {
    const struct amx_pool *p;
    amx_ref ref[SLOTS_SET];
    unsigned n, found;
};

static int block_of(const struct amx_pool_slot *s, void *ctx)
{
    struct blocks *b = ctx;
    const struct amx_pool_part *x = &b->p->part[2];
    if (s->class_index != 2)
        return 0;
    amx_ref ref = amxi_ld64_rlx(amxi_pool_cell_at(x, s->index));
    must(s->state == AMX_STATE_FREE ? !ref : ref && s->ref);
    for (unsigned i = 0; i < b->n; i++)
        must(b->ref[i] != ref);
    if (ref)
        b->ref[b->n++] = ref;
    return 0;
}

static int block_is_of_slot(const struct amx_block *live, void *ctx)
{
    struct blocks *b = ctx;
    bool known = !amxi_state_live(live->state) || live->ref == scene.block || live->ref == scene.region;
    for (unsigned i = 0; i < b->n; i++)
        if (b->ref[i] == live->ref) {
            known = true;
            b->found++;
        }
    for (uint32_t k = b->p->n; k < b->p->parts; k++)
        known |= live->ref == b->p->part[k].block;
    for (uint32_t k = 0; k < b->p->parts; k++) /* an extent that was begun */
        known |=
            b->p->part[k].class_index == 0 && live->ref == amxi_ld64_rlx(&amxi_pool_class_of(&b->p->part[k])->next);
    must(known);
    return 0;
}

/* Recovery is done. Slots of the arena and the blocks that live are one to one. */
static void judge_blocks(const amx_t *h, const struct amx_pool *p)
{
    struct blocks b = {.p = p};
    must_ok(amx_pool_walk(p, block_of, &b));
    must_ok(amx_walk(h, block_is_of_slot, &b));
    must(b.found == b.n);
}

/* Ended by nobody's call, or given on: recovery has been here. */
static bool was_recovered(const struct amx_pool *p, const struct thing *t)
{
    amx_id owner;
    return amx_pool_owner(p, t->now, &owner) != AMX_OK && !t->ends;
}

/* Everybody who lives has ended. */
static void judge_with(const bool *dead)
{
    struct amx_pool p, q;
    struct amx_pool_check_result r = {.struct_size = sizeof r}, pr = {.struct_size = sizeof pr};
    struct seen seen = {.p = &p}, plain = {.p = &q};
    unsigned eye = 0, lives = 0, plain_lives = 0, extends = 0, n = 0, gifts = 0, plain_gifts = 0;
    bool mortal = dead[0] || dead[1] || dead[2];
    amx_slot s;
    void *m;
    size_t bytes;
    while (dead[eye])
        eye++;
    amx_t *h = scene.h[eye];
    must_ok(amx_pool_attach_block(h, scene.block, 0, NULL, &p));
    must_ok(amx_ptr(h, scene.region, &m));
    must_ok(amx_usable(h, scene.region, &bytes));
    must_ok(amx_pool_attach(m, bytes, 0, NULL, &q));
    for (int f = 0; f < DEPTH; f++)
        extends += scene.op[f] == S_EXTEND;
    /* among the living no hint gets lost, and nobody sleeps beside a free slot, unless it was recovery that freed it */
    bool recovered = was_recovered(&p, &scene.item[LOST]) || was_recovered(&p, &scene.item[LARGE_LOST]);
    must_ok(amx_pool_walk(&p, see, &seen));
    must_ok(amx_pool_check(&p, NULL, NULL, &r));
    must_ok(amx_pool_check(&q, NULL, NULL, &pr));
    if (!mortal && scene.warm && !recovered)
        must(r.notes == 0);
    if (!mortal)
        must(pr.notes + seen.unhinted == 0);
    if (!mortal && scene.sleeps && !recovered && amxi_ld32_rlx(&amxi_pool_head_at(p.base)->wait) & 1)
        must(seen.free == seen.large);

    must_ok(amx_pool_set_quota(&p, 0));
    must_ok(amx_recover(h, 0, NULL, NULL, NULL));
    must_ok(amx_pool_recover(&q, ABSENT, NULL, NULL));
    for (int f = 0; f < DEPTH; f++)
        if (dead[f])
            must_ok(amx_pool_recover(&q, (amx_id)f + 1, NULL, NULL));
    for (int i = 0; i < ITEMS; i++) {
        const struct thing *t = &scene.item[i];
        *(t->plain ? &plain_lives : &lives) += settle(t->plain ? &q : &p, t, (enum item)i, dead, mortal);
    }
    for (int i = 0; i < scene.made; i++) {
        const struct thing *t = &scene.fresh[i];
        unsigned there = settle(t->plain ? &q : &p, t, A_FRESH_ONE, dead, mortal);
        must(!there || !dead[t->owner]);
        *(t->plain ? &plain_lives : &lives) += there;
    }
    seen = (struct seen){.p = &p};
    must_ok(amx_pool_walk(&p, see, &seen));
    must_ok(amx_pool_walk(&q, see, &plain));
    for (int f = 0; f < DEPTH; f++) { /* given by one who died before he could say under which reference */
        gifts += dead[f] && (scene.op[f] == S_GIVE || scene.op[f] == S_GIVE_LOST || scene.op[f] == L_GIVE ||
                             scene.op[f] == L_GIVE_LOST);
        plain_gifts += dead[f] && scene.op[f] == S_PLAIN_GIVE_LOST;
    }
    must(seen.used >= lives && seen.used <= lives + gifts);
    must(plain.used >= plain_lives && plain.used <= plain_lives + plain_gifts);
    must(plain.used + plain.free == 3);
    lives = seen.used;
    judge_blocks(h, &p);
    r = (struct amx_pool_check_result){.struct_size = sizeof r};
    must_ok(amx_pool_check(&p, NULL, NULL, &r));
    must(r.undone == 0 && r.slots == seen.used + seen.free);
    must(r.slots >= SLOTS_SET + (scene.grown ? GROWTH : 0) && r.slots <= SLOTS_SET + extends * GROWTH);
    must((r.slots - SLOTS_SET) % GROWTH == 0);
    if (extends) { /* whatever somebody has begun */
        must_ok(amx_pool_extend(&p, 0, GROWTH));
        seen = (struct seen){.p = &p};
        must_ok(amx_pool_walk(&p, see, &seen));
        must(seen.used == lives && seen.used + seen.free == r.slots + GROWTH);
    }
    must_ok(amx_pool_walk(&p, free_it_too, &p));
    for (size_t size = 1; size <= LARGE; size += LARGE - 1)
        while (amx_pool_alloc(&p, size, AMX_POOL_SELF, &s) == AMX_OK)
            must(n++ < seen.used + seen.free);
    must(n == seen.used + seen.free);
    must_ok(amx_pool_walk(&p, free_it_too, &p));
    r = (struct amx_pool_check_result){.struct_size = sizeof r};
    must_ok(amx_pool_check(&p, NULL, NULL, &r));
    must(r.used + r.notes + r.undone == 0);
    must_ok(amx_pool_remove(&p));
    must_ok(amx_free(h, scene.block));
    must_ok(amx_free(h, scene.region));
    for (unsigned i = 0; i < DEPTH; i++)
        if (!dead[i])
            must_ok(amx_trim(scene.h[i]));
    must_ok(amx_heal(h));
    check_clean(h);
    check_all_free(h);
}

static void scene_judge(void)
{
    static const bool nobody[DEPTH] = {false};
    judge_with(nobody);
}

#endif
