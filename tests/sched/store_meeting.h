/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on a message store that meet: the scene, what each operation does in it, and what must hold whatever happens:
 * who reads a message finds it whole and as it was written last, and nobody changes or frees it under him; who changes it is
 * alone; each message is freed at most once; a hard mark is not passed; what the dead had comes back, and their guards do
 * not count. The counterpart of tests/hook/meeting.h for explore.h, with -DSTORES.
 *
 * Payloads are written and read by atomics, so that another may come between two of their words, and so that a model of
 * memory (memory.h) may show a word as it was before, unless the library's orders forbid it.
 *
 * A process that is dead from the beginning reads HELD, changes HALF and has claimed ASIDE. Cold: new messages that would
 * pass the hard mark are rejected, and there is room for one. Warm: the oldest go for them, and there is room for none.
 */
#ifndef AMX_TEST_STORE_MEETING_H
#define AMX_TEST_STORE_MEETING_H

#include "amx_object.h"
#include "arena.h"
#include "message.h"
#include "os.h"
#include "peer.h"
#include "tests/arena_kit.h"

enum { DEPTH = 3, FRESH = DEPTH, WORDS_OF = 3, MESSAGES = 6 };

enum item { MINE, SPARE, BAD, HELD, HALF, ASIDE, ITEMS, NO_ITEM = ITEMS };

enum op {
    M_STORE,
    M_RESERVE,
    M_RESERVE_DISCARD,
    M_SWAP,
    M_READ,
    M_READ_TWICE,
    M_UNSHARE,
    M_CHANGE,
    M_SPOIL,
    M_DISCARD,
    M_FREE,
    M_MEND,
    M_CHANGE_BAD,
    M_FREE_BAD,
    M_CHANGE_HELD,
    M_FREE_HELD,
    M_MEND_HALF,
    M_FREE_HALF,
    M_READ_ASIDE,
    M_FREE_ASIDE,
    M_EVICT,
    M_RECOVER,
    M_LOOK,
    OPS,
    BY_OFFSET = OPS
};

static const char *const names[OPS] = {
    [M_STORE] = "store",
    [M_RESERVE] = "reserve",
    [M_RESERVE_DISCARD] = "reserve and discard",
    [M_SWAP] = "free and store",
    [M_READ] = "read",
    [M_READ_TWICE] = "read twice",
    [M_UNSHARE] = "unshare with a guard",
    [M_CHANGE] = "read_mut",
    [M_SPOIL] = "read_mut and poison",
    [M_DISCARD] = "read_mut and discard",
    [M_FREE] = "free",
    [M_MEND] = "recover poisoned",
    [M_CHANGE_BAD] = "read_mut poisoned",
    [M_FREE_BAD] = "free poisoned",
    [M_CHANGE_HELD] = "read_mut held",
    [M_FREE_HELD] = "free held",
    [M_MEND_HALF] = "recover half",
    [M_FREE_HALF] = "free half",
    [M_READ_ASIDE] = "read aside",
    [M_FREE_ASIDE] = "free aside",
    [M_EVICT] = "evict",
    [M_RECOVER] = "recover",
    [M_LOOK] = "look",
};

/* What each is about, and what it may do to it. */
enum effect { READS = 1, CLAIMS = 2, WRITES = 4, SPOILS = 8, FREES = 16, MENDS = 32, STORES_ONE = 64 };
static const struct about {
    enum item item;
    uint32_t effect;
} about[OPS] = {
    [M_STORE] = {NO_ITEM, STORES_ONE},
    [M_RESERVE] = {NO_ITEM, STORES_ONE},
    [M_RESERVE_DISCARD] = {NO_ITEM, STORES_ONE},
    [M_SWAP] = {MINE, CLAIMS | FREES | STORES_ONE},
    [M_READ] = {MINE, READS},
    [M_READ_TWICE] = {MINE, READS},
    [M_UNSHARE] = {MINE, READS},
    [M_CHANGE] = {MINE, CLAIMS | WRITES},
    [M_SPOIL] = {MINE, CLAIMS | WRITES | SPOILS},
    [M_DISCARD] = {MINE, CLAIMS | WRITES | FREES},
    [M_FREE] = {MINE, CLAIMS | FREES},
    [M_MEND] = {BAD, CLAIMS | WRITES | MENDS},
    [M_CHANGE_BAD] = {BAD, CLAIMS | WRITES},
    [M_FREE_BAD] = {BAD, CLAIMS | FREES},
    [M_CHANGE_HELD] = {HELD, CLAIMS | WRITES},
    [M_FREE_HELD] = {HELD, CLAIMS | FREES},
    [M_MEND_HALF] = {HALF, CLAIMS | WRITES | MENDS},
    [M_FREE_HALF] = {HALF, CLAIMS | FREES},
    [M_READ_ASIDE] = {ASIDE, READS},
    [M_FREE_ASIDE] = {ASIDE, CLAIMS | FREES},
    [M_EVICT] = {NO_ITEM, 0},
    [M_RECOVER] = {NO_ITEM, 0},
    [M_LOOK] = {NO_ITEM, 0},
};

#define TRIPLES_THAT_MEET                                                                                              \
    {M_READ, M_FREE, M_RECOVER}, {M_READ, M_CHANGE, M_RECOVER}, {M_READ, M_SWAP, M_STORE}, {M_READ, M_FREE, M_STORE},  \
        {M_CHANGE, M_FREE, M_RECOVER}, {M_CHANGE, M_CHANGE, M_READ}, {M_READ_TWICE, M_CHANGE, M_FREE},                 \
        {M_MEND, M_CHANGE_BAD, M_RECOVER}, {M_MEND, M_FREE_BAD, M_RECOVER}, {M_MEND, M_MEND, M_FREE_BAD},              \
        {M_STORE, M_STORE, M_EVICT}, {M_STORE, M_RESERVE, M_STORE}, {M_STORE, M_RESERVE_DISCARD, M_STORE},             \
        {M_EVICT, M_READ, M_EVICT}, {M_EVICT, M_FREE, M_STORE}, {M_STORE, M_EVICT, M_RECOVER},                         \
        {M_SPOIL, M_READ, M_FREE}, {M_SPOIL, M_SPOIL, M_RECOVER}, {M_DISCARD, M_READ, M_STORE},                        \
        {M_UNSHARE, M_CHANGE, M_RECOVER}, {M_UNSHARE, M_FREE, M_STORE}, {M_FREE_HELD, M_RECOVER, M_STORE},             \
        {M_CHANGE_HELD, M_RECOVER, M_FREE_HELD}, {M_MEND_HALF, M_RECOVER, M_FREE_HALF},                                \
        {M_READ_ASIDE, M_RECOVER, M_FREE_ASIDE}, {M_RECOVER, M_RECOVER, M_FREE_HALF}, {M_STORE, M_FREE, M_RECOVER},    \
    {                                                                                                                  \
        M_RESERVE, M_SWAP, M_RECOVER                                                                                   \
    }

/* Accesses to the segment while the others stand still, at most: a store that finds no place recovers the dead, once. */
#define ALONE_MAX                                                                                                      \
    [M_STORE] = 1200, [M_RESERVE] = 1200, [M_RESERVE_DISCARD] = 1200, [M_SWAP] = 1200, [M_READ] = 24,                  \
    [M_READ_TWICE] = 36, [M_UNSHARE] = 180, [M_CHANGE] = 60, [M_SPOIL] = 60, [M_DISCARD] = 60, [M_FREE] = 34,          \
    [M_MEND] = 48, [M_CHANGE_BAD] = 60, [M_FREE_BAD] = 36, [M_CHANGE_HELD] = 60, [M_FREE_HELD] = 34,                   \
    [M_MEND_HALF] = 48, [M_FREE_HALF] = 34, [M_READ_ASIDE] = 24, [M_FREE_ASIDE] = 34, [M_EVICT] = 140,                 \
    [M_RECOVER] = 2000, [M_LOOK] = 600

struct thing {
    amx_token token; /* 0: there is none */
    uint64_t value;  /* what was written last, by whoever was alone with it */
    int ends;        /* calls that said that they had freed it */
    bool mended, spoiled;
};

static struct scene {
    amx_t *h[DEPTH];
    amx_ref block;
    struct amx_store view[DEPTH];
    struct thing item[ITEMS];
    struct thing fresh[FRESH];
    int made;
    uint32_t values[DEPTH + 1]; /* how many each fiber has written; the last: the scene */
    unsigned evicted;           /* of those that are listed, by calls that said so */
    uint32_t hard;
    enum op op[DEPTH];
    bool mortal; /* one of them may die in the middle */
    bool warm;
} scene;

static void tell(void); /* what was going on, before the process ends */

#undef must
#define must(cond) ((cond) ? (void)0 : (tell(), must_(false, #cond, __FILE__, __LINE__)))

/* --- Behind everybody's back ------------------------------------------------------------------------------------- */

static int fiber_of(const amx_t *h)
{
    int i = 0;
    while (scene.h[i] != h)
        i++;
    return i;
}

/* Its word as it is, whatever a model of memory lets the fiber see. */
static uint64_t word_of(amx_token t)
{
    return peek(amxi_pool_word_at(amxi_store_part(&scene.view[0]), AMX_SLOT_INDEX(t)));
}

static bool is_life(uint64_t w, amx_token t)
{
    return AMXI_W0_LIFE(w) == AMXI_SLOT_GEN(t);
}

/* Messages that are stored, in whatever hands; at one moment, and so no access of anybody. */
static uint32_t stored_now(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < scene.view[0].config.depth; i++) {
        uint32_t state = AMXI_W0_STATE(amxi_pool_word_at(amxi_store_part(&scene.view[0]), i)->v_);
        n += state >= AMX_STATE_STORED && state <= AMX_STATE_POISONED;
    }
    return n;
}

/* --- Contents: a value, its complement, and often the value again; the size says whether ---------- */

/* The next of this fiber, whatever others have written. */
static uint64_t new_value(int fiber)
{
    return (uint64_t)(fiber + 1) << 16 | ((uint32_t)fiber + ++scene.values[fiber]);
}

static uint32_t size_for(uint64_t value)
{
    return value & 2 ? 16 : 24;
}

static void inside(amx_token token, bool alone, uint32_t owner)
{
    uint64_t w = word_of(token);
    uint32_t state = AMXI_W0_STATE(w);
    must(is_life(w, token));
    must(alone ? state == AMX_STATE_WRITING && AMXI_W0_OWNER(w) == owner
               : state == AMX_STATE_STORED || state == AMX_STATE_CLAIMED);
}

static void is_value(const struct thing *t, const void *payload, const struct amx_message_header *header, uint32_t size,
                     bool alone, uint32_t owner)
{
    const amxi_a64 *p = payload;
    inside(t->token, alone, owner);
    must(size == size_for(t->value) && header->payload_size == size && header->sequence == t->value);
    uint64_t a = amxi_ld64_rlx(&p[0]);
    inside(t->token, alone, owner);
    uint64_t b = amxi_ld64_rlx(&p[1]);
    must(a == t->value && b == ~a);
    if (size == 24)
        must(amxi_ld64_rlx(&p[2]) == a);
    inside(t->token, alone, owner);
    must(header->sequence == t->value);
}

static void write_value(struct thing *t, struct amx_write *g, int me, bool reserved, uint32_t owner)
{
    amxi_a64 *p = g->payload;
    uint64_t v = new_value(me);
    if (!reserved)
        inside(t->token, true, owner);
    t->value = v;
    g->header->sequence = v;
    amxi_st64_rlx(&p[0], v);
    if (!reserved)
        inside(t->token, true, owner);
    amxi_st64_rlx(&p[1], ~v);
    if (size_for(v) == 24)
        amxi_st64_rlx(&p[2], v);
    if (!reserved)
        inside(t->token, true, owner);
    g->size = size_for(v);
}

/* --- The scene --------------------------------------------------------------------------------------------------- */

static struct amx_message_header header_of(uint64_t value)
{
    struct amx_message_header h = AMX_MESSAGE_HEADER_INIT;
    h.sequence = value;
    return h;
}

static void put(struct amx_store *s, enum item i)
{
    struct thing *t = &scene.item[i];
    t->value = new_value(DEPTH);
    struct amx_message_header h = header_of(t->value);
    uint64_t p[WORDS_OF] = {t->value, ~t->value, t->value};
    must_ok(amx_msg_store(s, &h, p, size_for(t->value), &t->token));
    must(t->token != AMX_TOKEN_INVALID);
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

static amx_t *few_guards(void)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h = NULL;
    o.size = 128 << 10;
    o.peers = 6;
    o.handles = 8;
    o.guards = 2;
    must_ok(amx_create_memfd("test", &o, &h));
    return h;
}
#define NEW_SEGMENT few_guards()

static void scene_set(void)
{
    amx_t *dead = attach_again(scene.h[0]);
    struct amx_store view;
    struct amx_read r;
    struct amx_write g;
    scene.hard = MESSAGES + !scene.warm;
    const struct amx_store_config c = {
        .depth = scene.hard + 1,
        .payload_max = WORDS_OF * 8,
        .marks = {.policy = scene.warm ? AMX_POLICY_EVICT : AMX_POLICY_REJECT, .hard_items = scene.hard}};
    scene.made = 0;
    scene.evicted = 0;
    memset(scene.values, 0, sizeof scene.values);
    memset(scene.item, 0, sizeof scene.item);
    memset(scene.fresh, 0, sizeof scene.fresh);
    must_ok(amx_store_create(scene.h[0], &c, &scene.block, &scene.view[0]));
    slots_before_the_wrap(amxi_store_part(&scene.view[0]));
    for (int i = 1; i < DEPTH; i++)
        must_ok(amx_store_attach_block(scene.h[i], scene.block, &c, &scene.view[i]));
    must_ok(amx_store_attach_block(dead, scene.block, &c, &view));
    for (int i = 0; i < ITEMS; i++)
        put(&scene.view[0], (enum item)i);
    must_ok(amx_msg_read_mut(&scene.view[1], scene.item[BAD].token, &g));
    must_ok(amx_msg_poison(&g));
    must_ok(amx_msg_read(&view, scene.item[HELD].token, &r));
    must_ok(amx_msg_read_mut(&view, scene.item[HALF].token, &g));
    uint64_t w = word_of(scene.item[ASIDE].token);
    amxi_st64_rlx(amxi_pool_word_at(amxi_store_part(&view), AMX_SLOT_INDEX(scene.item[ASIDE].token)),
                  AMXI_W0(AMX_STATE_CLAIMED, view.owner, AMXI_W0_GEN(w)));
    vanish(dead);
}

/* --- Operations -------------------------------------------------------------------------------------------------- */

static bool op_is_there(enum op op)
{
    return scene.op[0] == op || scene.op[1] == op || scene.op[2] == op;
}

static bool stores_one(enum op op)
{
    return op < OPS && about[op].effect & STORES_ONE;
}

/* Who finds no place looks for the dead, too. */
static bool somebody_recovers(void)
{
    return op_is_there(M_RECOVER) || stores_one(scene.op[0]) || stores_one(scene.op[1]) || stores_one(scene.op[2]);
}

static bool evicts(enum op op)
{
    return op == M_EVICT || (scene.warm && stores_one(op));
}

/* May another one have this effect on it? */
static bool by_another(int me, enum item i, uint32_t effect)
{
    for (int f = 0; f < DEPTH; f++) {
        if (f == me || scene.op[f] >= OPS)
            continue;
        const struct about *a = &about[scene.op[f]];
        if (a->item == i && a->effect & effect)
            return true;
        if (evicts(scene.op[f]) && effect & (CLAIMS | FREES))
            return true; /* any that is stored */
    }
    return false;
}

/* Whoever died in the middle of changing it, or before the beginning. */
static bool may_be_poisoned(int me, enum item i)
{
    return i == BAD || i == HALF || by_another(me, i, SPOILS) || (scene.mortal && by_another(me, i, WRITES));
}

/* What a call on it may be told that did not get it. */
static void refused(int me, enum item i, int rc)
{
    bool borrowed = rc == AMX_E_BORROWED || rc == AMX_E_BORROW_ACTIVE;
    must(borrowed || rc == AMX_E_STALE || rc == AMX_E_DOUBLE_FREE || rc == AMX_E_POISONED || rc == AMX_E_STATE);
    if (borrowed) /* HELD, HALF and ASIDE: by the dead one */
        must(i == HELD || i == HALF || i == ASIDE || by_another(me, i, READS | CLAIMS));
    if (rc == AMX_E_STALE || rc == AMX_E_DOUBLE_FREE)
        must(by_another(me, i, FREES));
    if (rc == AMX_E_POISONED)
        must(may_be_poisoned(me, i));
    if (rc == AMX_E_STATE) /* not poisoned any more */
        must((i == BAD || i == HALF) && by_another(me, i, MENDS));
    if (i == HELD && borrowed)
        must(rc == AMX_E_BORROWED || rc == AMX_E_BORROW_ACTIVE);
}

static void freed(int me, enum item i, int rc)
{
    must(rc != AMX_E_POISONED && rc != AMX_E_BORROWED);
    if (rc)
        refused(me, i, rc);
    else if (i == HELD || i == ASIDE) /* not before the dead one is recovered */
        must(somebody_recovers());
    scene.item[i].ends += rc == AMX_OK;
}

/* A store that was refused: there is no room, or another was in the way. */
static bool no_place(int me, int rc)
{
    unsigned stores = 0;
    for (int f = 0; f < DEPTH; f++)
        stores += f != me && scene.op[f] < OPS && about[scene.op[f]].effect & STORES_ONE;
    if (rc == AMX_OK)
        return false;
    must(rc == AMX_E_FULL || rc == AMX_E_NOMEM);
    must(scene.warm || (rc == AMX_E_FULL ? stores >= 1 : stores >= 2));
    must(!scene.warm || stores || by_another(me, MINE, READS | CLAIMS | SPOILS));
    return true;
}

static void is_stored(amx_token token, uint64_t value)
{
    must(token != AMX_TOKEN_INVALID && scene.made < FRESH);
    scene.fresh[scene.made++] = (struct thing){.token = token, .value = value};
    must(stored_now() <= scene.hard);
}

static void store_one(struct amx_store *s, int me)
{
    uint64_t v = new_value(me), p[WORDS_OF] = {v, ~v, v};
    struct amx_message_header h = header_of(v);
    amx_token token = AMX_TOKEN_INVALID;
    if (!no_place(me, amx_msg_store(s, &h, p, size_for(v), &token)))
        is_stored(token, v);
}

static void reserve_one(struct amx_store *s, int me, bool keep)
{
    struct amx_write g;
    struct thing t = {.value = 0};
    if (no_place(me, amx_msg_reserve(s, NULL, WORDS_OF * 8, &g)))
        return;
    write_value(&t, &g, me, true, 0);
    if (!keep) {
        must_ok(amx_msg_discard(&g));
        return;
    }
    amx_token token = g.token;
    must_ok(amx_write_end(&g));
    is_stored(token, t.value);
}

static void read_it(struct amx_store *s, int me, enum item i, int times)
{
    struct amx_read g;
    struct thing *t = &scene.item[i];
    int rc = amx_msg_read(s, t->token, &g);
    if (rc) {
        refused(me, i, rc);
        return;
    }
    while (times--)
        is_value(t, g.payload, g.header, g.size, false, 0);
    amx_read_end(&g);
}

enum end { END, POISON, DISCARD };

static void change_it(struct amx_store *s, int me, enum item i, bool mend, enum end how)
{
    struct amx_write g;
    struct thing *t = &scene.item[i];
    int rc = mend ? amx_msg_recover(s, t->token, &g) : amx_msg_read_mut(s, t->token, &g);
    if (rc) {
        refused(me, i, rc);
        return;
    }
    if (i == HELD || i == HALF)
        must(somebody_recovers());
    if (!mend)
        is_value(t, g.payload, g.header, g.size, true, s->owner);
    write_value(t, &g, me, false, s->owner);
    t->mended |= mend;
    if (how == POISON) {
        t->spoiled = true;
        must_ok(amx_msg_poison(&g));
    } else if (how == DISCARD) {
        must_ok(amx_msg_discard(&g));
        t->ends++;
    } else {
        must_ok(amx_write_end(&g));
    }
}

/* By a handle of its own, which goes with its guard. */
static void unshare_one(amx_t *h, int me)
{
    struct amx_store s;
    struct amx_read g;
    amx_t *more;
    must_ok(amx_share(h, &more));
    must_ok(amx_store_attach_block(more, scene.block, NULL, &s));
    int rc = amx_msg_read(&s, scene.item[MINE].token, &g);
    if (rc)
        refused(me, MINE, rc);
    else
        is_value(&scene.item[MINE], g.payload, g.header, g.size, false, 0);
    must_ok(amx_unshare(more));
}

static void evict_one(struct amx_store *s, int me)
{
    amx_token token = AMX_TOKEN_INVALID;
    int rc = amx_store_evict(s, &token);
    must(rc == AMX_OK || rc == AMX_E_NOENT || rc == AMX_E_BORROW_ACTIVE);
    must(rc == AMX_OK || by_another(me, MINE, READS | CLAIMS | SPOILS)); /* SPARE nobody else wants */
    if (rc)
        return;
    for (int i = 0; i < ITEMS + scene.made; i++) { /* its storer may not have been told of it yet */
        struct thing *t = i < ITEMS ? &scene.item[i] : &scene.fresh[i - ITEMS];
        t->ends += t->token == token;
        scene.evicted += t->token == token;
    }
}

static int see(const struct amx_store_message *m, void *ctx)
{
    must(m->state == AMX_STATE_FREE || m->state == AMX_STATE_ALLOCATED ||
         (m->state >= AMX_STATE_STORED && m->state <= AMX_STATE_POISONED));
    *(uint32_t *)ctx += m->state != AMX_STATE_FREE;
    return 0;
}

static void look_at(const struct amx_store *s)
{
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    struct amx_store_stats n = {.struct_size = sizeof n};
    enum amx_watermark level;
    uint32_t used = 0;
    must_ok(amx_store_check(s, NULL, NULL, &r));
    must_ok(amx_store_walk(s, see, &used));
    must_ok(amx_store_stat(s, &n));
    must_ok(amx_store_watermark(s, &level, NULL, NULL));
    must(used <= s->config.depth && n.used <= s->config.depth);
}

static void act(amx_t *h, enum op op)
{
    const int me = fiber_of(h);
    struct amx_store *s = &scene.view[me];
    const enum item i = about[op].item;
    int rc;
    switch (op) {
    case M_STORE:
        store_one(s, me);
        break;
    case M_RESERVE:
    case M_RESERVE_DISCARD:
        reserve_one(s, me, op == M_RESERVE);
        break;
    case M_SWAP:
        freed(me, i, amx_msg_free(s, scene.item[i].token));
        store_one(s, me);
        break;
    case M_READ:
    case M_READ_TWICE:
    case M_READ_ASIDE:
        read_it(s, me, i, op == M_READ_TWICE ? 2 : 1);
        break;
    case M_UNSHARE:
        unshare_one(h, me);
        break;
    case M_CHANGE:
    case M_CHANGE_BAD:
    case M_CHANGE_HELD:
        change_it(s, me, i, false, END);
        break;
    case M_SPOIL:
        change_it(s, me, i, false, POISON);
        break;
    case M_DISCARD:
        change_it(s, me, i, false, DISCARD);
        break;
    case M_MEND:
    case M_MEND_HALF:
        change_it(s, me, i, true, END);
        break;
    case M_FREE:
    case M_FREE_BAD:
    case M_FREE_HELD:
    case M_FREE_HALF:
    case M_FREE_ASIDE:
        freed(me, i, amx_msg_free(s, scene.item[i].token));
        break;
    case M_EVICT:
        evict_one(s, me);
        break;
    case M_RECOVER:
        rc = amx_recover(h, 0, NULL, NULL, NULL);
        must(rc == AMX_OK || rc == AMX_E_PARTIAL);
        break;
    case M_LOOK:
        look_at(s);
        break;
    case OPS:
        break;
    }
}

/* Header and payload of a message: not its order nor its size, nor the store's own. */
static bool payload_at(const unsigned char *at)
{
    const struct amx_store *s = &scene.view[0];
    const unsigned char *first = (const unsigned char *)amxi_message_at(s, 0),
                        *end = first + (uint64_t)s->part.count * s->part.slot_size;
    if (at < s->base || at >= end)
        return true; /* in another block */
    return at >= first && (size_t)(at - first) % s->part.slot_size >= offsetof(struct amxi_message_body, header);
}

/* --- The judge --------------------------------------------------------------------------------------------------- */

static bool did(const bool *dead, enum item i, uint32_t effect)
{
    for (int f = 0; f < DEPTH; f++)
        if (dead[f] && scene.op[f] < OPS && about[scene.op[f]].item == i && about[scene.op[f]].effect & effect)
            return true;
    return false;
}

/* Recovery is done with all who are dead: how it stands, and that one who wants it gets it, alone. Returns 1 if it lives;
 * *gone: nobody has said that he freed it. */
static unsigned settle(struct amx_store *s, const struct thing *t, enum item i, const bool *dead, unsigned *gone)
{
    struct amx_write g;
    struct amx_read r;
    must(t->ends <= 1);
    int rc = amx_msg_read(s, t->token, &r);
    must(rc == AMX_OK || rc == AMX_E_STALE || rc == AMX_E_POISONED);
    must(rc == AMX_E_STALE || !t->ends);
    if (rc == AMX_E_STALE) {
        *gone += !t->ends && !did(dead, i, FREES);
        return 0;
    }
    if (rc == AMX_OK) {
        must((i != BAD && i != HALF) || t->mended);
        is_value(t, r.payload, r.header, r.size, false, 0);
        amx_read_end(&r);
        must_ok(amx_msg_read_mut(s, t->token, &g)); /* no guard of the dead counts */
        must_ok(amx_write_end(&g));
    } else {
        must(t->spoiled || did(dead, i, WRITES) || ((i == BAD || i == HALF) && !t->mended));
        must_ok(amx_msg_recover(s, t->token, &g)); /* its contents are what they are */
        must_ok(amx_msg_poison(&g));
    }
    return 1;
}

static int free_message(const struct amx_store_message *m, void *ctx)
{
    if (m->token)
        must_ok(amx_msg_free(ctx, m->token));
    return 0;
}

/* What one who died has stored and nobody was told of is whole. */
static int is_whole(const struct amx_store_message *m, void *ctx)
{
    struct amx_read r;
    struct thing t = {.token = m->token, .value = m->header.sequence};
    if (m->state != AMX_STATE_STORED)
        return 0;
    must_ok(amx_msg_read(ctx, m->token, &r));
    is_value(&t, r.payload, r.header, r.size, false, 0);
    amx_read_end(&r);
    return 0;
}

/* Everybody who lives has ended. */
static void judge_with(const bool *dead)
{
    struct amx_store s;
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    struct amx_store_stats n = {.struct_size = sizeof n};
    unsigned eye = 0, lives = 0, gone = 0, orphans = 0;
    uint32_t used = 0, room = 0, free_places;
    bool mortal = dead[0] || dead[1] || dead[2];
    amx_token t;
    while (dead[eye])
        eye++;
    amx_t *h = scene.h[eye];
    must_ok(amx_store_attach_block(h, scene.block, NULL, &s));
    must_ok(amx_store_check(&s, NULL, NULL, &r));
    must(stored_now() <= scene.hard);
    must_ok(amx_recover(h, 0, NULL, NULL, NULL));
    must_ok(amx_store_stat(&s, &n));
    must(n.guards + n.storing + n.claimed + n.writing == 0);
    for (int i = 0; i < ITEMS; i++)
        lives += settle(&s, &scene.item[i], (enum item)i, dead, &gone);
    for (int i = 0; i < scene.made; i++)
        lives += settle(&s, &scene.fresh[i], NO_ITEM, dead, &gone);
    for (int f = 0; f < DEPTH; f++) { /* one who died evicting, or storing: he has told nobody */
        bool a_store = dead[f] && scene.op[f] < OPS && about[scene.op[f]].effect & STORES_ONE;
        orphans += a_store;
        gone -= gone && dead[f] && evicts(scene.op[f]);
    }
    must(gone + scene.evicted <= n.evicted);
    must(n.used >= lives && n.used <= lives + orphans);
    must_ok(amx_store_walk(&s, is_whole, &s));
    must_ok(amx_store_walk(&s, see, &used));
    must_ok(amx_store_available(&s, &free_places));
    must(used == n.used && used + free_places == s.config.depth);
    r = (struct amx_pool_check_result){.struct_size = sizeof r};
    must_ok(amx_store_check(&s, NULL, NULL, &r));
    must(r.undone == 0 && r.corrupt == 0 && r.used == used);
    must(mortal || r.notes == 0);
    must_ok(amx_store_walk(&s, free_message, &s));
    while (room < scene.hard && amx_msg_store(&s, NULL, &room, sizeof room, &t) == AMX_OK)
        room++;
    must(room == scene.hard);
    must_ok(amx_store_walk(&s, free_message, &s));
    r = (struct amx_pool_check_result){.struct_size = sizeof r};
    must_ok(amx_store_check(&s, NULL, NULL, &r));
    must(r.used + r.undone == 0);
    must_ok(amx_store_remove(&s));
    must_ok(amx_free(h, scene.block));
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
