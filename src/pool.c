/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slot pools. Taking a slot: 1 its hint is cleared, by the one who gets it; 2 its word becomes his, by an exchange of
 * FREE. Freeing: 1 its word becomes FREE, by an exchange of exactly the life that the reference names; 2 its hint is set.
 * A death between 1 and 2 leaves a free slot without a hint. So a class is empty only when each of its words has been
 * looked at; who does that sets the hints that he misses.
 *
 * A hint is cleared (acquire) before the word is loaded, and set (release) after it was stored: of two, either the hint
 * that was set is seen and then so is the word, or it is set after it was cleared, and stays. So none gets lost among
 * the living.
 */
#include "pool.h"
#include "amx_object.h"
#include "amx_pool.h"
#include "os.h"
#include "word.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SLOT(c, i, w) ((uint64_t)((c) + 1u) << 56 | (uint64_t)(i) << 32 | (uint32_t)AMXI_W0_GEN(w))
#define SLOT_GEN(s)   ((uint32_t)(s))
#define LOSSES        8   /* of a free against changes of state, before it answers AMX_E_BUSY */
#define SMALL_GROUPS  64u /* classes of so many groups of 64 have their high-water mark looked at between exhaustions */

/* --- Layout ------------------------------------------------------------------------------------------------------- */

static bool sound(const struct amx_pool_config *k)
{
    if (!k->n || k->n > AMX_POOL_CLASSES || k->flags & ~(uint32_t)AMX_POOL_ALL_)
        return false;
    uint32_t unit = k->flags & AMX_POOL_LINES ? AMXI_LINE : AMXI_UNIT, last = 0;
    for (uint32_t i = 0; i < k->n; i++) {
        const struct amx_pool_class *c = &k->cls[i];
        if (c->slot_size <= last || c->slot_size % unit || !c->count || c->count > AMX_POOL_SLOTS)
            return false;
        last = c->slot_size;
    }
    return true;
}

static uint64_t groups_of(uint32_t count)
{
    return amxi_div_up(count, 64);
}

/* No sum here can wrap: 32 classes of 2^24 slots of less than 2^32 bytes. */
int amx_pool_layout(const struct amx_pool_config *config, struct amx_pool_layout *out)
{
    if (!config || !out)
        return AMX_E_INVAL;
    struct amx_pool_config k = *config;
    if (!sound(&k))
        return AMX_E_INVAL;
    struct amx_pool_layout l = {.n = k.n};
    uint64_t at = sizeof(struct amxi_pool_body);
    for (uint32_t i = 0; i < k.n; i++, at += sizeof(struct amxi_pool_class_body))
        l.cls[i].head = at;
    l.words = at;
    for (uint32_t i = 0; i < k.n; i++) {
        l.cls[i].words = at;
        at += amxi_round_up((uint64_t)k.cls[i].count * 8, AMXI_LINE);
    }
    l.words_count = (uint32_t)((at - l.words) / 8);
    for (uint32_t i = 0; i < k.n; i++) {
        l.cls[i].hints = at;
        at += amxi_round_up(groups_of(k.cls[i].count) * 8, AMXI_LINE);
    }
    for (uint32_t i = 0; i < k.n; i++) {
        l.cls[i].data = at;
        at += amxi_round_up((uint64_t)k.cls[i].slot_size * k.cls[i].count, AMXI_LINE);
    }
    l.bytes = at;
    *out = l;
    return AMX_OK;
}

int amx_pool_required_size(const struct amx_pool_config *config, uint64_t *out)
{
    struct amx_pool_layout l;
    int e = out ? amx_pool_layout(config, &l) : AMX_E_INVAL;
    if (!e)
        *out = l.bytes;
    return e;
}

/* --- Addresses: c and i are checked by the caller ------------------------------------------------------------------ */

static struct amxi_pool_body *head_at(unsigned char *base)
{
    return (struct amxi_pool_body *)(void *)base;
}

static struct amxi_pool_class_body *class_at(unsigned char *base, uint32_t c)
{
    return (struct amxi_pool_class_body *)(void *)(base + sizeof(struct amxi_pool_body)) + c;
}

static amxi_a64 *word_at(const struct amx_pool *p, uint32_t c, uint64_t i)
{
    return (amxi_a64 *)(void *)(p->base + p->cls[c].words) + i;
}

static amxi_a64 *hint_at(const struct amx_pool *p, uint32_t c, uint64_t group)
{
    return (amxi_a64 *)(void *)(p->base + p->cls[c].hints) + group;
}

static uint32_t group_size(const struct amx_pool *p, uint32_t c, uint64_t group)
{
    uint64_t rest = p->cls[c].count - group * 64;
    return rest < 64 ? (uint32_t)rest : 64;
}

static uint64_t mask(uint32_t bits)
{
    return bits < 64 ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;
}

/* --- Making and attaching ------------------------------------------------------------------------------------------ */

/* The first byte, if a head fits there. */
static int place(const void *region, size_t len, size_t base, unsigned char **out)
{
    if (!region || base % AMX_POOL_ALIGN || ((uintptr_t)region + base) % AMX_POOL_ALIGN)
        return AMX_E_INVAL;
    if (base > len || len - base < sizeof(struct amxi_pool_body))
        return AMX_E_LAYOUT;
    *out = (unsigned char *)(uintptr_t)region + base;
    return AMX_OK;
}

/* Loads once, checks, trusts nothing. len: from the base on. */
static int read_head(unsigned char *base, uint64_t len, struct amx_pool_config *k, struct amx_pool_layout *l)
{
    struct amxi_pool_body *b = head_at(base);
    /* pairs with the release of format: who sees the magic sees the pool */
    if (amxi_ld64_acq(&b->magic) != AMXI_POOL_MAGIC || amxi_ld32_rlx(&b->version) != AMXI_POOL_VERSION ||
        amxi_ld32_rlx(&b->byte_order) != AMXI_BYTE_ORDER)
        return AMX_E_LAYOUT;
    *k = (struct amx_pool_config){.n = amxi_ld32_rlx(&b->classes), .flags = amxi_ld32_rlx(&b->flags)};
    if (!k->n || k->n > AMX_POOL_CLASSES ||
        len < sizeof(struct amxi_pool_body) + k->n * sizeof(struct amxi_pool_class_body))
        return AMX_E_LAYOUT;
    for (uint32_t i = 0; i < k->n; i++) {
        k->cls[i].slot_size = amxi_ld32_rlx(&class_at(base, i)->slot_size);
        k->cls[i].count = amxi_ld32_rlx(&class_at(base, i)->count);
    }
    if (amx_pool_layout(k, l) || l->bytes > len)
        return AMX_E_LAYOUT;
    bool same = amxi_ld64_rlx(&b->bytes) == l->bytes && amxi_ld64_rlx(&b->words) == l->words &&
                amxi_ld32_rlx(&b->words_count) == l->words_count;
    for (uint32_t i = 0; i < k->n; i++)
        same &= amxi_ld64_rlx(&class_at(base, i)->words) == l->cls[i].words &&
                amxi_ld64_rlx(&class_at(base, i)->hints) == l->cls[i].hints &&
                amxi_ld64_rlx(&class_at(base, i)->data) == l->cls[i].data;
    return same ? AMX_OK : AMX_E_LAYOUT;
}

static bool same_config(const struct amx_pool_config *a, const struct amx_pool_config *b)
{
    if (a->n != b->n || a->flags != b->flags)
        return false;
    for (uint32_t i = 0; i < a->n && i < AMX_POOL_CLASSES; i++)
        if (a->cls[i].slot_size != b->cls[i].slot_size || a->cls[i].count != b->cls[i].count)
            return false;
    return true;
}

static void view(unsigned char *base, const struct amx_pool_config *k, const struct amx_pool_layout *l,
                 struct amx_pool *out)
{
    *out = (struct amx_pool){.base = base, .bytes = l->bytes, .n = k->n, .flags = k->flags};
    for (uint32_t i = 0; i < k->n; i++) {
        out->cls[i].words = l->cls[i].words;
        out->cls[i].hints = l->cls[i].hints;
        out->cls[i].data = l->cls[i].data;
        out->cls[i].slot_size = k->cls[i].slot_size;
        out->cls[i].count = k->cls[i].count;
        out->cls[i].first = (uint32_t)((l->cls[i].words - l->words) / 8);
    }
}

/* All relaxed: nobody looks at it before the magic is there. */
static void format(unsigned char *base, const struct amx_pool_config *k, const struct amx_pool_layout *l, uint64_t gen)
{
    struct amxi_pool_body *b = head_at(base);
    amxi_st64_rlx(&b->magic, 0); /* 1 */
    amxi_cb();
    memset(base + sizeof b->magic, 0, (size_t)(l->cls[0].data - sizeof b->magic)); /* 2 */
    amxi_st32_rlx(&b->version, AMXI_POOL_VERSION);
    amxi_st32_rlx(&b->byte_order, AMXI_BYTE_ORDER);
    amxi_st32_rlx(&b->classes, k->n);
    amxi_st32_rlx(&b->flags, k->flags);
    amxi_st64_rlx(&b->bytes, l->bytes);
    amxi_st64_rlx(&b->words, l->words);
    amxi_st32_rlx(&b->words_count, l->words_count);
    for (uint32_t c = 0; c < k->n; c++) {
        struct amxi_pool_class_body *d = class_at(base, c);
        amxi_st32_rlx(&d->slot_size, k->cls[c].slot_size);
        amxi_st32_rlx(&d->count, k->cls[c].count);
        amxi_st64_rlx(&d->words, l->cls[c].words);
        amxi_st64_rlx(&d->hints, l->cls[c].hints);
        amxi_st64_rlx(&d->data, l->cls[c].data);
        amxi_a64 *word = (amxi_a64 *)(void *)(base + l->cls[c].words);
        for (uint32_t i = 0; i < k->cls[c].count; i++)
            amxi_st64_rlx(&word[i], AMXI_W0(AMX_STATE_FREE, 0, gen));
        amxi_a64 *hint = (amxi_a64 *)(void *)(base + l->cls[c].hints);
        for (uint32_t i = 0; i < k->cls[c].count; i += 64)
            amxi_st64_rlx(&hint[i / 64], mask(k->cls[c].count - i));
    }
    amxi_st64_rel(&b->magic, AMXI_POOL_MAGIC); /* 3 pairs with the acquire in read_head */
}

int amx_pool_init(void *region, size_t len, size_t base, const struct amx_pool_config *config, struct amx_pool *out)
{
    struct amx_pool_layout l;
    unsigned char *p = NULL;
    uint64_t gen; /* random: references to what was here before are stale, but for one chance in 2^32 */
    if (!config || !out)
        return AMX_E_INVAL;
    struct amx_pool_config k = *config;
    if (amx_pool_layout(&k, &l) || place(region, len, base, &p) || l.bytes > len - base)
        return AMX_E_INVAL;
    if (amxi_os_random(&gen, sizeof gen))
        return AMX_E_SYS;
    format(p, &k, &l, gen & AMXI_GEN_MASK);
    view(p, &k, &l, out);
    return AMX_OK;
}

int amx_pool_discover(const void *region, size_t len, size_t base, struct amx_pool_config *out)
{
    struct amx_pool_layout l;
    struct amx_pool_config k;
    unsigned char *p = NULL;
    int e = out ? place(region, len, base, &p) : AMX_E_INVAL;
    if (!e)
        e = read_head(p, len - base, &k, &l);
    if (!e)
        *out = k;
    return e;
}

int amx_pool_attach(void *region, size_t len, size_t base, const struct amx_pool_config *config, struct amx_pool *out)
{
    struct amx_pool_layout l;
    struct amx_pool_config k;
    unsigned char *p = NULL;
    int e = out ? place(region, len, base, &p) : AMX_E_INVAL;
    if (!e)
        e = read_head(p, len - base, &k, &l);
    if (e || (config && !same_config(config, &k)))
        return e ? e : AMX_E_LAYOUT;
    view(p, &k, &l, out);
    return AMX_OK;
}

/* --- In a block of a segment --------------------------------------------------------------------------------------- */

int amx_pool_init_block(amx_t *h, amx_ref block, size_t base, const struct amx_pool_config *config,
                        struct amx_pool *out)
{
    void *region;
    size_t len;
    amx_id owner;
    struct amx_pool p;
    int e = out ? amxi_word_refuse(h, true) : AMX_E_INVAL;
    if (e || (e = amx_usable(h, block, &len)) || (e = amx_ptr(h, block, &region)) || (e = amx_owner(h, block, &owner)))
        return e;
    if (owner)
        return AMX_E_OWNER;
    e = amx_pool_init(region, len, base, config, &p); /* 1 */
    if (e)
        return e;
    uint64_t words = p.cls[0].words;
    struct amx_object o = {.struct_size = sizeof o,
                           .ref = block,
                           .kind = AMX_POOL_KIND | p.n,
                           .count = (p.cls[p.n - 1].first + p.cls[p.n - 1].count + 7) & ~7u,
                           .first = base + words,
                           .stride = 8,
                           .to = AMX_STATE_FREE};
    e = amx_object_add(h, &o, &p.object); /* 2 */
    if (e)
        return e;
    p.h = h;
    *out = p;
    return AMX_OK;
}

struct lookup {
    amx_ref block;
    uint64_t first;
    uint32_t kind, count;
    uint64_t id; /* out */
};

static int look_up(const struct amx_object *o, void *ctx)
{
    struct lookup *l = ctx;
    if (o->ref != l->block || o->kind != l->kind || o->first != l->first || o->count != l->count || o->stride != 8 ||
        o->to != AMX_STATE_FREE || o->pairs)
        return 0;
    l->id = o->id;
    return 1;
}

int amx_pool_attach_block(amx_t *h, amx_ref block, size_t base, const struct amx_pool_config *config,
                          struct amx_pool *out)
{
    void *region;
    size_t len;
    struct amx_pool p;
    int e = out ? amxi_word_refuse(h, false) : AMX_E_INVAL;
    if (e || (e = amx_usable(h, block, &len)) || (e = amx_ptr(h, block, &region)) ||
        (e = amx_pool_attach(region, len, base, config, &p)))
        return e;
    struct lookup l = {.block = block,
                       .first = base + p.cls[0].words,
                       .kind = AMX_POOL_KIND | p.n,
                       .count = (p.cls[p.n - 1].first + p.cls[p.n - 1].count + 7) & ~7u};
    if (amx_objects(h, look_up, &l) != 1)
        return AMX_E_STALE;
    p.h = h;
    p.object = l.id;
    *out = p;
    return AMX_OK;
}

int amx_pool_create(amx_t *h, const struct amx_pool_config *config, amx_ref *block, struct amx_pool *out)
{
    uint64_t bytes;
    amx_ref ref;
    int e = h && block && out ? amx_pool_required_size(config, &bytes) : AMX_E_INVAL;
    if (e || (e = amx_alloc_aligned(h, AMX_POOL_ALIGN, bytes, &ref))) /* 1 ours */
        return e;
    e = amx_publish(h, ref); /* 2 nobody's */
    if (!e)
        e = amx_pool_init_block(h, ref, 0, config, out); /* 3 */
    if (e)
        (void)amx_free(h, ref);
    else
        *block = ref;
    return e;
}

int amx_pool_remove(struct amx_pool *pool)
{
    if (!pool || !pool->base)
        return AMX_E_INVAL;
    if (pool->h) {
        int e = amx_object_remove(pool->h, pool->object); /* 1 recovery does not look at it, attach does not find it */
        if (e)
            return e;
    } else if (amxi_ld64_rlx(&head_at(pool->base)->magic) != AMXI_POOL_MAGIC) { /* the caller's are idle */
        return AMX_E_STALE;
    }
    amxi_st64_rlx(&head_at(pool->base)->magic, 0); /* 2 */
    *pool = (struct amx_pool){0};
    return AMX_OK;
}

struct listing {
    amx_pools_fn *fn;
    void *ctx;
};

static int list(const struct amx_object *o, void *ctx)
{
    const struct listing *l = ctx;
    uint32_t n = o->kind ^ AMX_POOL_KIND;
    uint64_t heads = sizeof(struct amxi_pool_body) + (uint64_t)n * sizeof(struct amxi_pool_class_body);
    if (!n || n > AMX_POOL_CLASSES || o->first < heads)
        return 0;
    struct amx_pool_place place = {sizeof place, o->ref, o->first - heads, o->id, n};
    return l->fn(&place, l->ctx);
}

int amx_pools(const amx_t *h, amx_pools_fn *fn, void *ctx)
{
    struct listing l = {fn, ctx};
    return fn ? amx_objects(h, list, &l) : AMX_E_INVAL;
}

/* --- Finding ------------------------------------------------------------------------------------------------------- */

/* May this view be used: to take slots (take), to change words (write), or to read? */
enum use { READ, WRITE, TAKE };
static int admit(const struct amx_pool *p, enum use use)
{
    if (!p || !p->base)
        return AMX_E_INVAL;
    if (!p->h)
        return AMX_OK;
    return use == TAKE ? amx_object_touch(p->h, p->object) : amxi_word_refuse(p->h, use == WRITE);
}

/* The low 12 bits of an owner that may own from now on. */
static int owner_of(const struct amx_pool *p, amx_id owner, uint32_t *out)
{
    if (!p->h) {
        if (!owner || owner > AMX_POOL_OWNER_MAX)
            return AMX_E_INVAL;
        *out = (uint32_t)owner;
        return AMX_OK;
    }
    amx_id me = amx_handle_id(p->h);
    if (owner != AMX_POOL_SELF && owner != me)
        return AMX_E_OWNER;
    *out = AMX_OBJECT_OWNER(me);
    return AMX_OK;
}

struct at {
    uint32_t c, i;
    amxi_a64 *word;
    uint64_t w; /* as it was found */
};

static int locate(const struct amx_pool *p, amx_slot slot, struct at *at)
{
    at->c = AMX_SLOT_CLASS(slot);
    at->i = AMX_SLOT_INDEX(slot);
    if (at->c >= p->n || at->i >= p->cls[at->c].count)
        return AMX_E_OFFSET;
    at->word = word_at(p, at->c, at->i);
    at->w = amxi_ld64_acq(at->word); /* pairs with the release of publish, give and transitions */
    return AMX_OK;
}

static int find(const struct amx_pool *p, amx_slot slot, enum use use, struct at *at)
{
    int e = admit(p, use);
    if (e || (e = locate(p, slot, at)))
        return e;
    uint32_t state = AMXI_W0_STATE(at->w);
    if (!amxi_state_live(state) && state != AMX_STATE_FREE)
        return AMX_E_CORRUPT;
    return state == AMX_STATE_FREE || (uint32_t)AMXI_W0_GEN(at->w) != SLOT_GEN(slot) ? AMX_E_STALE : AMX_OK;
}

static void *data_at(const struct amx_pool *p, uint32_t c, uint32_t i)
{
    return p->base + p->cls[c].data + (uint64_t)i * p->cls[c].slot_size;
}

int amx_pool_ptr(const struct amx_pool *pool, amx_slot slot, void **out, size_t *bytes)
{
    struct at at;
    int e = out ? find(pool, slot, READ, &at) : AMX_E_INVAL;
    if (e)
        return e;
    *out = data_at(pool, at.c, at.i);
    if (bytes)
        *bytes = pool->cls[at.c].slot_size;
    return AMX_OK;
}

void *amx_pool_ptr_unchecked(const struct amx_pool *pool, amx_slot slot)
{
    uint32_t c = AMX_SLOT_CLASS(slot), i = AMX_SLOT_INDEX(slot);
    return pool && c < pool->n && i < pool->cls[c].count ? data_at(pool, c, i) : NULL;
}

uint32_t amx_pool_class_count(const struct amx_pool *pool)
{
    return pool ? pool->n : 0;
}

int amx_pool_slot_size(const struct amx_pool *pool, uint32_t class_index, uint32_t *out)
{
    if (!pool || !out || class_index >= pool->n)
        return AMX_E_INVAL;
    *out = pool->cls[class_index].slot_size;
    return AMX_OK;
}

/* --- Counting ------------------------------------------------------------------------------------------------------ */

/* The most that were in use: all relaxed, a number for people. */
static void raise_high(const struct amx_pool *p, uint32_t c, uint64_t used)
{
    amxi_a64 *high = &class_at(p->base, c)->high;
    uint64_t was = amxi_ld64_rlx(high);
    for (int i = 0; used > was && i < LOSSES; i++)
        if (amxi_cas64_rlx(high, &was, used))
            return;
}

/* How many of a group are in use, by their words. Sets the hints that are missing. */
static uint32_t settle(const struct amx_pool *p, uint32_t c, uint64_t g)
{
    uint32_t n = group_size(p, c, g), used = n;
    uint64_t found = 0;
    for (uint32_t k = 0; k < n; k++)
        if (AMXI_POOL_WORD_FREE(amxi_ld64_acq(word_at(p, c, g * 64 + k)))) { /* as whoever frees it: word, then hint */
            found |= UINT64_C(1) << k;
            used--;
        }
    if (found & ~amxi_ld64_rlx(hint_at(p, c, g)))
        (void)amxi_or64_rel(hint_at(p, c, g), found); /* as in freed. May lie by now */
    return used;
}

/* A hint was taken from a group, and left it so. Hints only say when it is worth to look at the words. */
static void note_taken(const struct amx_pool *p, uint32_t c, uint64_t left)
{
    uint64_t groups = groups_of(p->cls[c].count), used = 0;
    if (groups > 1 && (left || groups > SMALL_GROUPS))
        return;
    for (uint64_t g = 0; g < groups; g++) {
        uint32_t n = group_size(p, c, g);
        used += n - (uint32_t)__builtin_popcountll((groups == 1 ? left : amxi_ld64_rlx(hint_at(p, c, g))) & mask(n));
    }
    if (used <= amxi_ld64_rlx(&class_at(p->base, c)->high))
        return;
    used = 0;
    for (uint64_t g = 0; g < groups; g++)
        used += settle(p, c, g);
    raise_high(p, c, used);
}

/* --- Taking -------------------------------------------------------------------------------------------------------- */

static bool take_word(const struct amx_pool *p, uint32_t c, uint64_t i, uint32_t owner, uint64_t w, amx_slot *out)
{
    uint64_t to = AMXI_W0(AMX_STATE_ALLOCATED, owner, AMXI_W0_GEN(w) + 1);
    /* pairs with the release of the free: what its last owner read and wrote comes before what we write */
    if (!AMXI_POOL_WORD_FREE(w) || !amxi_cas64_acq(word_at(p, c, i), &w, to))
        return false;
    *out = SLOT(c, i, to);
    return true;
}

/* By the hints of a group. */
static bool take_hinted(const struct amx_pool *p, uint32_t c, uint64_t g, uint32_t owner, amx_slot *out)
{
    amxi_a64 *hint = hint_at(p, c, g);
    uint64_t valid = mask(group_size(p, c, g)), left = amxi_ld64_rlx(hint) & valid; /* looked at again by the and */
    while (left) { /* at most 64 turns: no bit is tried twice */
        uint64_t bit = left & (~left + 1), i = g * 64 + (uint32_t)__builtin_ctzll(left);
        left &= ~bit;
        uint64_t was = amxi_and64_acq(hint, ~bit); /* 1 pairs with the or in amx_pool_free */
        if (!(was & bit))
            continue;                                                          /* another has it */
        if (take_word(p, c, i, owner, amxi_ld64_rlx(word_at(p, c, i)), out)) { /* 2 */
            note_taken(p, c, was & valid & ~bit);
            return true;
        }
    }
    return false;
}

/* By the words of a group: sets the hints that are missing. */
static bool take_swept(const struct amx_pool *p, uint32_t c, uint64_t g, uint32_t owner, amx_slot *out)
{
    uint32_t n = group_size(p, c, g), mine = n;
    uint64_t found = 0;
    for (uint32_t k = 0; k < n; k++) {
        uint64_t w = amxi_ld64_sc(word_at(p, c, g * 64 + k)); /* sc: pairs with the exchange of a free, see wake */
        if (!AMXI_POOL_WORD_FREE(w))
            continue;
        if (mine == n && take_word(p, c, g * 64 + k, owner, w, out))
            mine = k;
        else
            found |= UINT64_C(1) << k;
    }
    if (mine == n)
        return false; /* what was found was lost to another, who has it */
    if (found)
        (void)amxi_or64_rel(hint_at(p, c, g), found); /* as in amx_pool_free. May lie by now */
    return true;
}

static bool take(struct amx_pool *p, uint32_t c, uint32_t owner, amx_slot *out)
{
    uint64_t groups = groups_of(p->cls[c].count);
    amxi_a32 *rotor = (amxi_a32 *)(void *)&p->cls[c].rotor;
    /* Owners begin apart, so that they share no line of words, and go on where they found something. */
    uint64_t turn = amxi_ld32_rlx(rotor), home = (uint64_t)(owner * UINT32_C(0x9e3779b1)) * groups >> 32;
    for (uint64_t n = 0, g = (home + turn) % groups; n < groups; n++, g = g + 1 < groups ? g + 1 : 0)
        if (take_hinted(p, c, g, owner, out)) {
            if (n)
                amxi_st32_rlx(rotor, (uint32_t)((turn + n) % groups)); /* of the view; any value will do */
            return true;
        }
    for (uint64_t g = 0; g < groups; g++)
        if (take_swept(p, c, g, owner, out))
            return true;
    raise_high(p, c, p->cls[c].count);
    (void)amxi_add64_rlx(&class_at(p->base, c)->exhausted, 1); /* a number for people */
    return false;
}

int amx_pool_alloc(struct amx_pool *pool, size_t size, amx_id owner, amx_slot *out)
{
    uint32_t tag = 0;
    int e = out ? admit(pool, TAKE) : AMX_E_INVAL; /* 0 before it is ours: recovery looks only where we were */
    if (!e)
        e = owner_of(pool, owner, &tag);
    if (e)
        return e;
    uint32_t c = 0;
    while (c < pool->n && pool->cls[c].slot_size < size)
        c++;
    if (c == pool->n)
        return AMX_E_TOO_BIG;
    for (; c < pool->n; c++)
        if (take(pool, c, tag, out))
            return AMX_OK;
    return AMX_E_NOMEM;
}

/* --- Freeing ------------------------------------------------------------------------------------------------------- */

/* The word has become FREE by an sc exchange, then we look whether somebody sleeps; who goes to sleep says so, sc, and
 * then loads the words, sc. One of the two sees the other. */
static void wake(const struct amx_pool *p)
{
    amxi_a32 *wait = &head_at(p->base)->wait;
    uint32_t w = amxi_ld32_sc(wait);
    /* clears the flag and changes the word in one step. Lost: another wakes them */
    if (AMXI_UNLIKELY(w & 1) && amxi_cas32_sc(wait, &w, w + 1))
        amxi_os_futex_wake_all(wait);
}

static void freed(const struct amx_pool *p, uint32_t c, uint32_t i)
{
    /* 2 pairs with the and in take_hinted: who takes the hint sees the word */
    (void)amxi_or64_rel(hint_at(p, c, i / 64), UINT64_C(1) << (i & 63));
    wake(p);
}

int amx_pool_free(struct amx_pool *pool, amx_slot slot)
{
    struct at at;
    int e = admit(pool, WRITE);
    if (e || (e = locate(pool, slot, &at)))
        return e;
    for (int n = 0; n < LOSSES; n++) {
        uint32_t state = AMXI_W0_STATE(at.w);
        if (!amxi_state_live(state) && state != AMX_STATE_FREE)
            return AMX_E_CORRUPT;
        if ((uint32_t)AMXI_W0_GEN(at.w) != SLOT_GEN(slot))
            return AMX_E_STALE;
        if (state == AMX_STATE_FREE)
            return AMX_E_DOUBLE_FREE;
        /* 1 releases to the next owner (take_word). sc: see wake */
        if (amxi_cas64_sc(at.word, &at.w, AMXI_W0(AMX_STATE_FREE, 0, AMXI_W0_GEN(at.w)))) {
            freed(pool, at.c, at.i);
            return AMX_OK;
        }
    }
    return AMX_E_BUSY;
}

#define WAIT_SLICE_NS UINT64_C(100000000)

static int passing(int e) /* not an answer yet */
{
    return e == AMX_E_NOMEM;
}

int amx_pool_alloc_wait(struct amx_pool *pool, size_t size, amx_id owner, uint64_t timeout_ns, amx_slot *out)
{
    uint64_t start = amxi_os_mono_ns();
    for (;;) {
        int e = amx_pool_alloc(pool, size, owner, out);
        if (!passing(e))
            return e;
        amxi_a32 *wait = &head_at(pool->base)->wait;
        uint32_t w = amxi_or32_sc(wait, 1) | 1; /* announce, then look again: see wake */
        e = amx_pool_alloc(pool, size, owner, out);
        if (!passing(e))
            return e;
        uint64_t past = amxi_os_mono_ns() - start;
        if (past >= timeout_ns)
            return AMX_E_TIMEOUT;
        uint64_t left = timeout_ns - past;
        amxi_os_futex_wait(wait, w, left < WAIT_SLICE_NS ? left : WAIT_SLICE_NS);
    }
}

/* --- Ownership and states ------------------------------------------------------------------------------------------ */

static int change(struct amx_pool *p, amx_slot slot, enum use use, struct amxi_change *c, struct at *at)
{
    int e = find(p, slot, use, at);
    return e ? e : amxi_word_change(at->word, &at->w, SLOT_GEN(slot), c);
}

int amx_pool_publish(struct amx_pool *pool, amx_slot slot)
{
    struct at at;
    struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, 0, false, true, false, 0};
    return change(pool, slot, WRITE, &c, &at);
}

int amx_pool_adopt(struct amx_pool *pool, amx_slot slot, amx_id owner)
{
    struct at at;
    struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, 0, true, false, false, 0};
    int e = admit(pool, TAKE);
    if (!e)
        e = owner_of(pool, owner, &c.owner);
    return e ? e : change(pool, slot, TAKE, &c, &at);
}

int amx_pool_give(struct amx_pool *pool, amx_slot slot, amx_id to, amx_slot *out)
{
    struct at at;
    int e = out ? find(pool, slot, TAKE, &at) : AMX_E_INVAL;
    if (e)
        return e;
    if (pool->h) {
        e = amxi_word_give(pool->h, pool->object, at.word, &at.w, SLOT_GEN(slot), to);
    } else {
        struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, (uint32_t)to, false, false, true, 0};
        e = to && to <= AMX_POOL_OWNER_MAX ? amxi_word_change(at.word, &at.w, SLOT_GEN(slot), &c) : AMX_E_INVAL;
    }
    if (!e || e == AMX_E_PEER_DEAD)
        *out = SLOT(at.c, at.i, at.w);
    return e;
}

int amx_pool_owner(const struct amx_pool *pool, amx_slot slot, amx_id *out)
{
    struct at at;
    bool dead;
    int e = out ? find(pool, slot, READ, &at) : AMX_E_INVAL;
    if (!e)
        *out = pool->h ? amxi_word_owner(pool->h, AMXI_W0_OWNER(at.w), &dead) : AMXI_W0_OWNER(at.w);
    return e;
}

int amx_pool_get_state(const struct amx_pool *pool, amx_slot slot, uint32_t *out)
{
    struct at at;
    int e = out ? find(pool, slot, READ, &at) : AMX_E_INVAL;
    if (!e)
        *out = AMXI_W0_STATE(at.w);
    return e;
}

int amx_pool_set_state(struct amx_pool *pool, amx_slot slot, uint32_t state)
{
    struct at at;
    struct amxi_change c = {AMXI_CHANGE_ANY, state, AMXI_CHANGE_ANY, false, false, false, 0};
    if (state > AMX_STATE_MAX)
        return AMX_E_INVAL;
    return state < AMX_STATE_USER_MIN ? AMX_E_RESERVED : change(pool, slot, WRITE, &c, &at);
}

int amx_pool_transition(struct amx_pool *pool, amx_slot slot, uint32_t expected, uint32_t next, uint32_t *observed)
{
    struct at at;
    struct amxi_change c = {expected, next, AMXI_CHANGE_ANY, false, false, false, 0};
    if (expected > AMX_STATE_MAX || next > AMX_STATE_MAX)
        return AMX_E_INVAL;
    if (expected < AMX_STATE_USER_MIN || next < AMX_STATE_USER_MIN)
        return AMX_E_RESERVED;
    int e = change(pool, slot, WRITE, &c, &at);
    if (observed && (!e || e == AMX_E_STATE))
        *observed = e ? AMXI_W0_STATE(at.w) : expected;
    return e;
}

/* --- Death --------------------------------------------------------------------------------------------------------- */

int amx_pool_recover(struct amx_pool *pool, amx_id owner, uint64_t *freed_out, uint64_t *kept_out)
{
    int e = admit(pool, WRITE);
    if (e || pool->h || !owner || owner > AMX_POOL_OWNER_MAX)
        return e ? e : AMX_E_INVAL;
    uint64_t n[2] = {0, 0};
    for (uint32_t c = 0; c < pool->n; c++)
        for (uint32_t i = 0; i < pool->cls[c].count; i++) {
            amxi_a64 *word = word_at(pool, c, i);
            uint64_t w = amxi_ld64_acq(word);   /* pairs with the exchange that made it the dead one's */
            while (AMXI_W0_OWNER(w) == owner) { /* ends: the dead one takes no more, a gift to him is freed too */
                bool kept = AMXI_W0_STATE(w) >= AMX_STATE_KEPT;
                uint64_t to = AMXI_W0(kept ? AMXI_W0_STATE(w) : AMX_STATE_FREE, 0, AMXI_W0_GEN(w));
                if (!amxi_cas64_sc(word, &w, to)) /* as in amx_pool_free */
                    continue;
                n[kept]++;
                if (!kept)
                    freed(pool, c, i);
                break;
            }
        }
    if (freed_out)
        *freed_out = n[0];
    if (kept_out)
        *kept_out = n[1];
    return AMX_OK;
}

int amx_pool_kept(const struct amx_pool *pool, const struct amx_kept *kept, amx_slot *out)
{
    int e = kept && out ? admit(pool, READ) : AMX_E_INVAL;
    if (e || !pool->h || kept->how != AMX_KEPT_WORD || kept->object != (uint32_t)(pool->object & 0xff))
        return e ? e : AMX_E_INVAL;
    for (uint32_t c = 0; c < pool->n; c++) {
        if (kept->slot < pool->cls[c].first || kept->slot - pool->cls[c].first >= pool->cls[c].count)
            continue;
        uint32_t i = kept->slot - pool->cls[c].first;
        uint64_t w = amxi_ld64_acq(word_at(pool, c, i)); /* as in locate */
        if (!amxi_state_live(AMXI_W0_STATE(w)))
            return AMX_E_STALE;
        *out = SLOT(c, i, w);
        return AMX_OK;
    }
    return AMX_E_INVAL;
}

/* --- Looking: relaxed samples, but for references, which acquire as in locate ------------------------------------- */

int amx_pool_walk(const struct amx_pool *pool, amx_pool_walk_fn *fn, void *ctx)
{
    int e = fn ? admit(pool, READ) : AMX_E_INVAL;
    for (uint32_t c = 0; !e && c < pool->n; c++)
        for (uint32_t i = 0; !e && i < pool->cls[c].count; i++) {
            uint64_t w = amxi_ld64_acq(word_at(pool, c, i));
            struct amx_pool_slot s = {.struct_size = sizeof s,
                                      .ref = amxi_state_live(AMXI_W0_STATE(w)) ? SLOT(c, i, w) : AMX_SLOT_NONE,
                                      .class_index = c,
                                      .index = i,
                                      .bytes = pool->cls[c].slot_size,
                                      .state = AMXI_W0_STATE(w),
                                      .owner = AMXI_W0_OWNER(w),
                                      .generation = AMXI_W0_GEN(w)};
            e = fn(&s, ctx);
        }
    return e;
}

int amx_pool_stat(const struct amx_pool *pool, uint32_t class_index, struct amx_pool_stats *out)
{
    int e = out && out->struct_size == sizeof *out ? admit(pool, READ) : AMX_E_INVAL;
    if (e || class_index >= pool->n)
        return e ? e : AMX_E_INVAL;
    struct amx_pool_stats s = {sizeof s, pool->cls[class_index].slot_size, pool->cls[class_index].count, 0, 0, 0, 0, 0};
    for (uint32_t i = 0; i < s.count; i++) {
        uint64_t w = amxi_ld64_rlx(word_at(pool, class_index, i));
        bool live = amxi_state_live(AMXI_W0_STATE(w));
        s.used += live;
        s.published += live && !AMXI_W0_OWNER(w);
        s.kept += live && AMXI_W0_STATE(w) >= AMX_STATE_KEPT;
    }
    const struct amxi_pool_class_body *b = class_at(pool->base, class_index);
    uint64_t high = amxi_ld64_rlx(&b->high);
    if (s.used > high && !admit(pool, WRITE))
        raise_high(pool, class_index, s.used);
    s.high = high > s.count ? s.count : high > s.used ? (uint32_t)high : s.used;
    s.exhausted = amxi_ld64_rlx(&b->exhausted);
    *out = s;
    return AMX_OK;
}

int amx_pool_used_by(const struct amx_pool *pool, amx_id owner, uint64_t *out)
{
    int e = out ? admit(pool, READ) : AMX_E_INVAL;
    if (e || !owner)
        return e ? e : AMX_E_INVAL;
    uint64_t n = 0;
    bool dead;
    uint32_t tag = AMX_OBJECT_OWNER(owner);
    if (pool->h ? amxi_word_owner(pool->h, tag, &dead) == owner : owner == tag)
        for (uint32_t c = 0; c < pool->n; c++)
            for (uint32_t i = 0; i < pool->cls[c].count; i++)
                n += AMXI_W0_OWNER(amxi_ld64_rlx(word_at(pool, c, i))) == tag;
    *out = n;
    return AMX_OK;
}

/* --- Checking ------------------------------------------------------------------------------------------------------ */

struct check {
    amx_check_fn *fn;
    void *ctx;
    const struct amx_pool *p;
    struct amx_pool_check_result sum;
    int stop;
};

__attribute__((format(printf, 5, 6))) static void tell(struct check *k, enum amx_grade grade, const char *rule,
                                                       const void *where, const char *fmt, ...)
{
    char text[160];
    va_list ap;
    if (k->stop)
        return;
    *(grade == AMX_GRADE_NOTE ? &k->sum.notes : grade == AMX_GRADE_UNDONE ? &k->sum.undone : &k->sum.corrupt) += 1;
    if (!k->fn)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct amx_finding f = {grade, UINT32_MAX, (uint64_t)((const unsigned char *)where - k->p->base), rule, text};
    k->stop = k->fn(&f, k->ctx);
}

static void check_word(struct check *k, uint32_t c, uint32_t i)
{
    const struct amx_pool *p = k->p;
    amxi_a64 *word = word_at(p, c, i);
    uint64_t w = amxi_ld64_acq(word); /* before its hint: a free sets that after this */
    uint32_t state = AMXI_W0_STATE(w), owner = AMXI_W0_OWNER(w);
    k->sum.slots++;
    if (state == AMX_STATE_FREE) {
        if (owner)
            tell(k, AMX_GRADE_CORRUPT, "pool word", word, "class %u slot %u is free and of owner %u", c, i, owner);
        else if (!(amxi_ld64_rlx(hint_at(p, c, i / 64)) >> (i & 63) & 1) && amxi_ld64_rlx(word) == w)
            tell(k, AMX_GRADE_NOTE, "pool hint", hint_at(p, c, i / 64), "class %u slot %u is free without a hint", c,
                 i);
        return;
    }
    k->sum.used++;
    if (!amxi_state_live(state)) {
        tell(k, AMX_GRADE_CORRUPT, "pool word", word, "class %u slot %u is in state %u", c, i, state);
        return;
    }
    bool dead = false;
    if (p->h && owner)
        (void)amxi_word_owner(p->h, owner, &dead);
    else if (owner > AMX_POOL_OWNER_MAX)
        tell(k, AMX_GRADE_CORRUPT, "pool word", word, "class %u slot %u is of owner %u", c, i, owner);
    if (dead && amxi_ld64_rlx(word) == w) /* still his: he was dead while he had it */
        tell(k, AMX_GRADE_UNDONE, "pool word", word, "class %u slot %u is of handle %u, which is dead", c, i, owner);
}

int amx_pool_check(const struct amx_pool *pool, amx_check_fn *fn, void *ctx, struct amx_pool_check_result *out)
{
    int e = admit(pool, READ);
    if (e || (out && out->struct_size != sizeof *out))
        return e ? e : AMX_E_INVAL;
    struct check k = {.fn = fn, .ctx = ctx, .p = pool, .sum = {.struct_size = sizeof k.sum}};
    struct amx_pool_config config;
    struct amx_pool_layout l;
    bool same = !read_head(pool->base, pool->bytes, &config, &l) && config.n == pool->n && config.flags == pool->flags;
    for (uint32_t c = 0; same && c < pool->n; c++)
        same = config.cls[c].slot_size == pool->cls[c].slot_size && config.cls[c].count == pool->cls[c].count;
    if (!same)
        tell(&k, AMX_GRADE_CORRUPT, "pool head", pool->base, "the head does not say what it said at attach");
    for (uint32_t c = 0; c < pool->n && !k.stop; c++) {
        uint32_t count = pool->cls[c].count;
        for (uint32_t i = 0; i < count && !k.stop; i++)
            check_word(&k, c, i);
        for (uint32_t i = count; i & 7; i++)
            if (amxi_ld64_rlx(word_at(pool, c, i)))
                tell(&k, AMX_GRADE_CORRUPT, "pool word", word_at(pool, c, i),
                     "class %u has a word beyond its last slot", c);
        uint64_t groups = groups_of(count);
        if (amxi_ld64_rlx(hint_at(pool, c, groups - 1)) & ~mask(group_size(pool, c, groups - 1)))
            tell(&k, AMX_GRADE_CORRUPT, "pool hint", hint_at(pool, c, groups - 1),
                 "class %u has a hint beyond its last slot", c);
        if (amxi_ld64_rlx(&class_at(pool->base, c)->high) > count)
            tell(&k, AMX_GRADE_CORRUPT, "pool high", class_at(pool->base, c), "class %u had more in use than it has",
                 c);
    }
    if (out)
        *out = k.sum;
    return k.stop ? k.stop : k.sum.corrupt ? AMX_E_CORRUPT : AMX_OK;
}
