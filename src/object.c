/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry. An entry's word moves FREE -> MAKING(tag) -> LIVE -> GOING(tag) -> FREE, its epoch grows whenever it is
 * made; its fields are written while MAKING. docs/design.md, "Objects", argues why no recovery ever writes into a block
 * that has been given back.
 */
#include "object.h"
#include "amx_object.h"
#include "arena.h"
#include "extent.h"

#include <string.h>

#define ID(epoch, i) ((uint64_t)(epoch) << 8 | (i))
#define ID_INDEX(id) ((uint32_t)((id)&0xff))
#define ID_EPOCH(id) ((id) >> 8)

static uint64_t word_of(const struct amxi_seg *s, uint32_t i)
{
    return amxi_ld64_sc(&amxi_object(s, i)->word); /* sc: removal and recovery argue about it together with `purging` */
}

/* --- Reading ------------------------------------------------------------------------------------------------------ */

/* The payload of a live, published block. Loads once, checks, trusts nothing. */
static uint8_t *payload_of(const struct amxi_seg *s, uint64_t ref, uint64_t *bytes)
{
    uint64_t data = s->g.region[AMXI_R_DATA].offset / AMXI_UNIT, k = (uint64_t)AMXI_REF_UNIT(ref) - 1 - data;
    uint64_t units = (uint64_t)s->g.sectors << s->g.su_log2;
    if (!AMXI_REF_UNIT(ref) || k >= units || !(amxi_ld64_rlx(amxi_bitmap(s, 0) + k / 64) >> (k & 63) & 1))
        return NULL;
    struct amxi_block_body *b = amxi_block(s, k);
    uint64_t w = amxi_ld64_rlx(&b->w0); /* published before what led us here: an entry, or a look-up */
    if (!amxi_state_live(AMXI_W0_STATE(w)) || AMXI_W0_OWNER(w) || AMXI_W0_LIFE(w) != AMXI_REF_GEN(ref))
        return NULL;
    uint32_t u = AMXI_W1_SIZE(amxi_ld64_rlx(&b->w1));
    if (!u) {
        if (amxi_extent_usable(s, k, bytes))
            return NULL;
    } else {
        if (u < AMXI_UNITS_MIN || (k & (s->g.su - 1)) + u > s->g.su)
            return NULL;
        *bytes = (uint64_t)(u - 1) * AMXI_UNIT;
    }
    return (uint8_t *)(b + 1);
}

static bool fits(const struct amxi_object *o, uint64_t bytes)
{
    return o->kind && o->count && o->stride >= 8 && o->stride % 8 == 0 && o->first % 8 == 0 && o->to <= AMX_STATE_MAX &&
           o->pairs <= AMX_OBJECT_PAIRS && bytes >= 8 && o->first <= bytes - 8 &&
           (uint64_t)(o->count - 1) * o->stride <= bytes - 8 - o->first &&
           (!o->cells_at ||
            (o->cells_at % AMXI_UNIT == 0 && !o->pairs && o->to == AMX_STATE_FREE && o->cells_from < o->count &&
             o->cells_at <= bytes && (uint64_t)(o->count - o->cells_from) * 8 <= bytes - o->cells_at));
}

static void load(const struct amxi_object_body *b, struct amxi_object *o)
{
    uint32_t to = amxi_ld32_rlx(&b->to);
    *o = (struct amxi_object){.count = amxi_ld32_rlx(&b->count),
                              .stride = amxi_ld32_rlx(&b->stride),
                              .kind = amxi_ld32_rlx(&b->kind),
                              .ref = amxi_ld64_rlx(&b->ref),
                              .first = amxi_ld64_rlx(&b->first),
                              .cells_at = (uint64_t)amxi_ld32_rlx(&b->cells) * AMXI_UNIT,
                              .cells_from = amxi_ld32_rlx(&b->cells_from),
                              .to = to & 0xffff,
                              .pairs = to >> 16};
    for (uint32_t k = 0; k < AMX_OBJECT_PAIRS; k++) {
        uint32_t pair = amxi_ld32_rlx(&b->pair[k]);
        o->from[k] = pair & 0xffff;
        o->into[k] = pair >> 16 & 0xfff;
    }
}

bool amxi_object_read(const struct amxi_seg *s, uint32_t i, struct amxi_object *o)
{
    uint64_t bytes, w = word_of(s, i);
    if (AMXI_O_STATUS(w) != AMXI_O_LIVE)
        return false;
    load(amxi_object(s, i), o);
    o->words = payload_of(s, o->ref, &bytes);
    if (!o->words || !fits(o, bytes) || amxi_ld64_again(&amxi_object(s, i)->word) != w)
        return false;
    o->cells = o->cells_at ? o->words + o->cells_at : NULL;
    o->words += o->first;
    return true;
}

uint32_t amxi_object_after(const struct amxi_object *o, uint32_t state)
{
    for (uint32_t k = 0; k < o->pairs; k++)
        if (o->from[k] == state)
            return o->into[k];
    return o->to;
}

bool amxi_object_busy(const struct amxi_seg *s, uint32_t tag)
{
    for (uint32_t i = 0; i < AMX_OBJECTS; i++) {
        uint64_t w = word_of(s, i);
        if (AMXI_O_TAG(w) == tag && (AMXI_O_STATUS(w) == AMXI_O_MAKING || AMXI_O_STATUS(w) == AMXI_O_GOING))
            return true;
    }
    return false;
}

void amxi_object_settle(const struct amxi_seg *s, uint32_t tag, uint64_t dead, bool lists)
{
    for (uint32_t i = 0; i < AMX_OBJECTS; i++) {
        uint64_t w = word_of(s, i);
        bool midway = AMXI_O_STATUS(w) == AMXI_O_MAKING || (AMXI_O_STATUS(w) == AMXI_O_GOING && !lists);
        /* still DEAD after w was read: w is the dead one's, not of a new tenant of its tag, and older than `lists` */
        if (midway && AMXI_O_TAG(w) == tag && amxi_ld64_rlx(&amxi_handle(s, tag - 1)->word) == dead)
            /* release: that the dead one stores there no more */
            (void)amxi_cas64_rel(&amxi_object(s, i)->word, &w, AMXI_O_WORD(AMXI_O_FREE, 0, AMXI_O_EPOCH(w)));
    }
}

/* --- Calls --------------------------------------------------------------------------------------------------------- */

static int describe(const struct amx_object *in, struct amxi_object *o)
{
    if (in->struct_size < sizeof *in)
        return AMX_E_INVAL;
    *o = (struct amxi_object){.count = in->count,
                              .stride = in->stride,
                              .kind = in->kind,
                              .ref = in->ref,
                              .first = in->first,
                              .cells_at = in->cells,
                              .cells_from = in->cells_from,
                              .to = in->to,
                              .pairs = in->pairs};
    if (o->pairs > AMX_OBJECT_PAIRS)
        return AMX_E_INVAL;
    for (uint32_t k = 0; k < o->pairs; k++) {
        if (in->from[k] > AMX_STATE_MAX || in->into[k] > AMX_STATE_MAX)
            return AMX_E_INVAL;
        o->from[k] = in->from[k];
        o->into[k] = in->into[k];
    }
    return AMX_OK;
}

static void store(struct amxi_object_body *b, const struct amxi_object *o)
{
    amxi_st64_rlx(&b->ref, o->ref);
    amxi_st64_rlx(&b->first, o->first);
    amxi_st32_rlx(&b->kind, o->kind);
    amxi_st32_rlx(&b->stride, o->stride);
    amxi_st32_rlx(&b->count, o->count);
    amxi_st32_rlx(&b->to, o->to | o->pairs << 16);
    amxi_st32_rlx(&b->cells, (uint32_t)(o->cells_at / AMXI_UNIT)); /* within a segment of at most 64 GiB: fits */
    amxi_st32_rlx(&b->cells_from, o->cells_from);
    for (uint32_t k = 0; k < AMX_OBJECT_PAIRS; k++)
        amxi_st32_rlx(&b->pair[k], o->from[k] | o->into[k] << 16);
}

int amx_object_add(amx_t *h, const struct amx_object *object, uint64_t *id)
{
    struct amxi_object o;
    amx_id owner;
    uint64_t bytes;
    int e = amxi_refuse(h);
    if (!e)
        e = object && id ? describe(object, &o) : AMX_E_INVAL;
    if (!e)
        e = amx_owner(h, o.ref, &owner);
    if (e)
        return e;
    struct amxi_seg *s = h->seg;
    if (owner)
        return AMX_E_OWNER;
    if (!payload_of(s, o.ref, &bytes))
        return AMX_E_STALE;
    if (!fits(&o, bytes))
        return AMX_E_INVAL;
    for (uint32_t i = 0; i < AMX_OBJECTS; i++) {
        struct amxi_object_body *b = amxi_object(s, i);
        uint64_t w = word_of(s, i), epoch = AMXI_NEXT(AMXI_O_EPOCH(w), AMXI_O_BITS);
        if (AMXI_O_STATUS(w) != AMXI_O_FREE ||
            !amxi_cas64_rel(&b->word, &w, AMXI_O_WORD(AMXI_O_MAKING, h->tag, epoch))) /* 1 our handle is open */
            continue;
        amxi_entered(); /* for who reads the fields meanwhile */
        store(b, &o);   /* 2 */
        /* 3 its fields to whoever finds it LIVE. sc: who sleeps for an extent of a pool, see amxi_slot_wake. Lost: we are taken
         * for dead, which cannot be */
        amxi_st64_sc(&b->word, AMXI_O_WORD(AMXI_O_LIVE, 0, epoch));
        *id = ID(epoch, i);
        return AMX_OK;
    }
    return AMX_E_FULL;
}

int amx_object_remove(amx_t *h, uint64_t id)
{
    int e = amxi_refuse(h);
    uint32_t i = ID_INDEX(id);
    if (e)
        return e;
    if (i >= AMX_OBJECTS)
        return AMX_E_INVAL;
    struct amxi_seg *s = h->seg;
    amxi_a64 *word = &amxi_object(s, i)->word;
    uint64_t w = word_of(s, i);
    if (AMXI_O_EPOCH(w) != ID_EPOCH(id) || AMXI_O_STATUS(w) == AMXI_O_FREE || AMXI_O_STATUS(w) == AMXI_O_MAKING)
        return AMX_E_STALE;
    uint64_t going = AMXI_O_WORD(AMXI_O_GOING, h->tag, ID_EPOCH(id));
    if (w != going && !amxi_cas64_sc(word, &w, going)) /* 1 whoever comes from here on does not look at it */
        return AMX_E_BUSY;                             /* another removes it too */
    if (amxi_lists_in_use(s))                          /* 2 who came before may be looking */
        return AMX_E_BUSY;
    if (!amxi_cas64_rlx(word, &going, AMXI_O_WORD(AMXI_O_FREE, 0, ID_EPOCH(id)))) /* 3 goes on with the release of 1 */
        return AMX_E_STALE;
    return AMX_OK;
}

int amx_object_touch(amx_t *h, uint64_t id)
{
    int e = amxi_refuse(h);
    if (e)
        return e;
    if (ID_INDEX(id) >= AMX_OBJECTS || !ID_EPOCH(id))
        return AMX_E_INVAL;
    amxi_a32 *mask = &amxi_handle(h->seg, h->tag - 1)->objects;
    uint32_t bit = 1u << ID_INDEX(id);
    if (!(amxi_ld32_rlx(mask) & bit)) /* as amxi_touch: in front of the exchange, read after the death */
        (void)amxi_or32_rlx(mask, bit);
    return AMX_OK;
}

int amx_objects(const amx_t *h, amx_object_fn *fn, void *ctx)
{
    if (!h || !fn)
        return AMX_E_INVAL;
    if (!h->seg || h->seg->forked)
        return AMX_E_FORKED;
    for (uint32_t i = 0; i < AMX_OBJECTS; i++) {
        struct amxi_object o;
        uint64_t w = word_of(h->seg, i);
        if (!amxi_object_read(h->seg, i, &o) || amxi_ld64_rlx(&amxi_object(h->seg, i)->word) != w)
            continue;
        struct amx_object out = {sizeof out,
                                 o.ref,
                                 o.kind,
                                 o.count,
                                 o.first,
                                 o.stride,
                                 (uint16_t)o.to,
                                 (uint16_t)o.pairs,
                                 {0},
                                 {0},
                                 o.cells_at,
                                 o.cells_from,
                                 ID(AMXI_O_EPOCH(w), i)};
        for (uint32_t k = 0; k < o.pairs; k++) {
            out.from[k] = (uint16_t)o.from[k];
            out.into[k] = (uint16_t)o.into[k];
        }
        int e = fn(&out, ctx);
        if (e)
            return e;
    }
    return AMX_OK;
}
