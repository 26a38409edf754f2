/* SPDX-License-Identifier: Apache-2.0 */
/* Slot pools: laid out, made, attached, grown, removed. */
#include "amx_object.h"
#include "os.h"
#include "slot.h"
#include "word.h"

#include <string.h>

/* --- Layout ----------------------------------------------------------------------------------------------------- */

static bool has_arena(const struct amx_pool_config *k)
{
    return k->cls[k->n - 1].slot_size == AMX_POOL_ARENA;
}

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

/* No sum here can wrap: 32 classes of 2^24 slots of less than 2^32 bytes. */
int amx_pool_layout(const struct amx_pool_config *config, struct amx_pool_offsets *out)
{
    if (!config || !out)
        return AMX_E_INVAL;
    struct amx_pool_config k = *config;
    if (!sound(&k))
        return AMX_E_INVAL;
    struct amx_pool_offsets l = {.n = k.n};
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
        at += amxi_round_up(amxi_pool_groups_of(k.cls[i].count) * 8, AMXI_LINE);
    }
    for (uint32_t i = 0; i < k.n; i++) {
        l.cls[i].data = at;
        uint64_t each = k.cls[i].slot_size == AMX_POOL_ARENA ? sizeof(amx_ref) : k.cls[i].slot_size;
        at += amxi_round_up(each * k.cls[i].count, AMXI_LINE);
    }
    l.bytes = at;
    *out = l;
    return AMX_OK;
}

int amx_pool_required_size(const struct amx_pool_config *config, uint64_t *out)
{
    struct amx_pool_offsets l;
    int e = out ? amx_pool_layout(config, &l) : AMX_E_INVAL;
    if (!e)
        *out = l.bytes;
    return e;
}

/* --- Making and attaching --------------------------------------------------------------------------------------- */

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

int amxi_pool_read_head(unsigned char *base, uint64_t len, struct amx_pool_config *k, struct amx_pool_offsets *l)
{
    struct amxi_pool_body *b = amxi_pool_head_at(base);
    /* pairs with the release of format: who sees the magic sees the pool */
    if (amxi_ld64_acq(&b->magic) != AMXI_POOL_MAGIC || amxi_ld32_rlx(&b->version) != AMXI_POOL_VERSION ||
        amxi_ld32_rlx(&b->byte_order) != AMXI_BYTE_ORDER)
        return AMX_E_LAYOUT;
    *k = (struct amx_pool_config){.n = amxi_ld32_rlx(&b->classes), .flags = amxi_ld32_rlx(&b->flags)};
    if (!k->n || k->n > AMX_POOL_CLASSES ||
        len < sizeof(struct amxi_pool_body) + k->n * sizeof(struct amxi_pool_class_body))
        return AMX_E_LAYOUT;
    for (uint32_t i = 0; i < k->n; i++) {
        k->cls[i].slot_size = amxi_ld32_rlx(&amxi_pool_class_at(base, i)->slot_size);
        k->cls[i].count = amxi_ld32_rlx(&amxi_pool_class_at(base, i)->count);
    }
    if (amx_pool_layout(k, l) || l->bytes > len)
        return AMX_E_LAYOUT;
    bool same = amxi_ld64_rlx(&b->bytes) == l->bytes && amxi_ld64_rlx(&b->words) == l->words &&
                amxi_ld32_rlx(&b->words_count) == l->words_count;
    for (uint32_t i = 0; i < k->n; i++)
        same &= amxi_ld64_rlx(&amxi_pool_class_at(base, i)->words) == l->cls[i].words &&
                amxi_ld64_rlx(&amxi_pool_class_at(base, i)->hints) == l->cls[i].hints &&
                amxi_ld64_rlx(&amxi_pool_class_at(base, i)->data) == l->cls[i].data;
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

static struct amx_pool_part part_of(unsigned char *base, const struct amx_pool_config *k,
                                    const struct amx_pool_offsets *l, uint32_t c)
{
    return (struct amx_pool_part){.base = base,
                                  .bytes = l->bytes,
                                  .words = l->cls[c].words,
                                  .hints = l->cls[c].hints,
                                  .data = l->cls[c].data,
                                  .class_index = c,
                                  .entry = c,
                                  .slot_size = k->cls[c].slot_size,
                                  .count = k->cls[c].count,
                                  .word = (uint32_t)((l->cls[c].words - l->words) / 8)};
}

static void view(unsigned char *base, const struct amx_pool_config *k, const struct amx_pool_offsets *l,
                 struct amx_pool *out)
{
    *out = (struct amx_pool){.base = base, .n = k->n, .flags = k->flags, .parts = k->n};
    for (uint32_t c = 0; c < k->n; c++)
        out->part[c] = part_of(base, k, l, c);
}

/* All relaxed: nobody looks at it before the magic is there. */
static void format(unsigned char *base, const struct amx_pool_config *k, const struct amx_pool_offsets *l, uint64_t gen)
{
    struct amxi_pool_body *b = amxi_pool_head_at(base);
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
        struct amxi_pool_class_body *d = amxi_pool_class_at(base, c);
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
            amxi_st64_rlx(&hint[i / 64], amxi_pool_mask(k->cls[c].count - i));
    }
    if (has_arena(k))
        memset(base + l->cls[k->n - 1].data, 0, (size_t)(l->bytes - l->cls[k->n - 1].data));
    amxi_st64_rel(&b->magic, AMXI_POOL_MAGIC); /* 3 pairs with the acquire in read_head */
}

static int make(void *region, size_t len, size_t base, const struct amx_pool_config *config, bool segment, uint64_t gen,
                struct amx_pool *out)
{
    struct amx_pool_offsets l;
    unsigned char *p = NULL;
    if (!config || !out)
        return AMX_E_INVAL;
    struct amx_pool_config k = *config;
    if (amx_pool_layout(&k, &l) || (has_arena(&k) && !segment) || place(region, len, base, &p) || l.bytes > len - base)
        return AMX_E_INVAL;
    format(p, &k, &l, gen & AMXI_GEN_MASK);
    view(p, &k, &l, out);
    return AMX_OK;
}

int amxi_pool_make(void *region, size_t len, size_t base, const struct amx_pool_config *config, uint64_t gen,
                   struct amx_pool *out)
{
    return make(region, len, base, config, false, gen, out);
}

static int make_any(void *region, size_t len, size_t base, const struct amx_pool_config *config, bool segment,
                    struct amx_pool *out)
{
    uint64_t gen; /* random: references to what was here before are stale, but for one chance in 2^32 */
    if (amxi_os_random(&gen, sizeof gen))
        return AMX_E_SYS;
    return make(region, len, base, config, segment, gen, out);
}

int amx_pool_init(void *region, size_t len, size_t base, const struct amx_pool_config *config, struct amx_pool *out)
{
    return make_any(region, len, base, config, false, out);
}

int amx_pool_discover(const void *region, size_t len, size_t base, struct amx_pool_config *out)
{
    struct amx_pool_offsets l;
    struct amx_pool_config k;
    unsigned char *p = NULL;
    int e = out ? place(region, len, base, &p) : AMX_E_INVAL;
    if (!e)
        e = amxi_pool_read_head(p, len - base, &k, &l);
    if (!e)
        *out = k;
    return e;
}

int amx_pool_attach(void *region, size_t len, size_t base, const struct amx_pool_config *config, struct amx_pool *out)
{
    struct amx_pool_offsets l;
    struct amx_pool_config k;
    unsigned char *p = NULL;
    int e = out ? place(region, len, base, &p) : AMX_E_INVAL;
    if (!e)
        e = amxi_pool_read_head(p, len - base, &k, &l);
    if (e || (config && !same_config(config, &k)) || has_arena(&k))
        return e ? e : AMX_E_LAYOUT;
    view(p, &k, &l, out);
    return AMX_OK;
}

/* --- In a block of a segment ------------------------------------------------------------------------------------ */

/* The object that a pool or an extent is, as recovery is to see it: all words, those that fill up too; they have cells as
 * well, for both are filled up to a line. */
static struct amx_object object_of(amx_ref block, uint64_t base, const struct amx_pool_config *k,
                                   const struct amx_pool_offsets *l, uint32_t kind)
{
    uint32_t last = k->n - 1;
    bool cells = has_arena(k);
    return (struct amx_object){.struct_size = sizeof(struct amx_object),
                               .ref = block,
                               .kind = kind,
                               .count = l->words_count,
                               .first = base + l->words,
                               .stride = 8,
                               .to = AMX_STATE_FREE,
                               .cells = cells ? base + l->cls[last].data : 0,
                               .cells_from = cells ? (uint32_t)((l->cls[last].words - l->words) / 8) : 0};
}

static int look_up(const struct amx_object *o, void *ctx)
{
    struct amx_object *l = ctx;
    if (o->ref != l->ref || o->kind != l->kind || o->first != l->first || o->count != l->count ||
        o->stride != l->stride || o->to != l->to || o->pairs || o->cells != l->cells || o->cells_from != l->cells_from)
        return 0;
    l->id = o->id;
    return 1;
}

/* The pool in a block: its first byte and what it says. */
static int in_block(const amx_t *h, amx_ref block, size_t base, struct amx_pool_config *k, struct amx_pool_offsets *l,
                    unsigned char **out)
{
    void *region;
    size_t len;
    int e = amx_usable(h, block, &len);
    if (e || (e = amx_ptr(h, block, &region)) || (e = place(region, len, base, out)))
        return e;
    return amxi_pool_read_head(*out, len - base, k, l);
}

static void adopt_object(struct amx_pool *p, amx_t *h, amx_ref block, uint64_t id)
{
    p->h = h;
    for (uint32_t c = 0; c < p->n; c++) {
        p->part[c].object = id;
        p->part[c].block = block;
    }
}

int amx_pool_init_block(amx_t *h, amx_ref block, size_t base, const struct amx_pool_config *config,
                        struct amx_pool *out)
{
    void *region;
    size_t len;
    amx_id owner;
    struct amx_pool p;
    struct amx_pool_offsets l;
    uint64_t id;
    int e = out ? amxi_word_refuse(h, true) : AMX_E_INVAL;
    if (e || (e = amx_usable(h, block, &len)) || (e = amx_ptr(h, block, &region)) || (e = amx_owner(h, block, &owner)))
        return e;
    if (owner)
        return AMX_E_OWNER;
    if (!config)
        return AMX_E_INVAL;
    struct amx_pool_config k = *config;
    e = make_any(region, len, base, &k, true, &p); /* 1 */
    if (e || (e = amx_pool_layout(&k, &l)))
        return e;
    struct amx_object o = object_of(block, base, &k, &l, AMX_POOL_KIND | p.n);
    e = amx_object_add(h, &o, &id); /* 2 */
    if (e)
        return e;
    adopt_object(&p, h, block, id);
    *out = p;
    return AMX_OK;
}

int amx_pool_attach_block(amx_t *h, amx_ref block, size_t base, const struct amx_pool_config *config,
                          struct amx_pool *out)
{
    struct amx_pool_config k;
    struct amx_pool_offsets l;
    unsigned char *first = NULL;
    int e = out ? amxi_word_refuse(h, false) : AMX_E_INVAL;
    if (e || (e = in_block(h, block, base, &k, &l, &first)))
        return e;
    if (config && !same_config(config, &k))
        return AMX_E_LAYOUT;
    struct amx_object o = object_of(block, base, &k, &l, AMX_POOL_KIND | k.n);
    if (amx_objects(h, look_up, &o) != 1)
        return AMX_E_STALE;
    view(first, &k, &l, out);
    adopt_object(out, h, block, o.id);
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

/* --- Extents: in segments only, so that a view is one thread's -------------------------------------------------- */

/* The last part of a class that the view knows, and how many slots there are up to its end. */
static struct amx_pool_part *last_of(struct amx_pool *p, uint32_t c, uint32_t *slots)
{
    struct amx_pool_part *last = &p->part[c];
    for (uint32_t i = p->n; i < p->parts; i++)
        if (p->part[i].class_index == c)
            last = &p->part[i];
    *slots = last->first + last->count;
    return last;
}

/* What lies in the block that a class names as its next extent. *o: its object, id 0 if it is not registered. */
static int read_extent(const struct amx_pool *p, uint32_t c, uint32_t slots, amx_ref block, struct amx_pool_part *out,
                       struct amx_object *o)
{
    struct amx_pool_config k;
    struct amx_pool_offsets l;
    unsigned char *base = NULL;
    int e = in_block(p->h, block, 0, &k, &l, &base);
    if (e)
        return e;
    if (k.n != 1 || k.flags != p->flags || k.cls[0].slot_size != p->part[c].slot_size ||
        k.cls[0].count > AMX_POOL_SLOTS - slots)
        return AMX_E_CORRUPT;
    for (uint32_t i = 0; i < p->parts; i++) /* once only: a slot must not have two references */
        if (p->part[i].block == block)
            return AMX_E_CORRUPT;
    *out = part_of(base, &k, &l, 0);
    out->block = block;
    out->class_index = c;
    out->first = slots;
    *o = object_of(block, 0, &k, &l, AMX_POOL_EXTENT);
    (void)amx_objects(p->h, look_up, o);
    out->object = o->id;
    return AMX_OK;
}

bool amxi_pool_more(struct amx_pool *p, uint32_t c)
{
    bool found = false;
    while (p->h && p->parts < p->n + AMX_POOL_EXTENTS) {
        uint32_t slots;
        struct amx_object o;
        struct amx_pool_part part;
        /* pairs with the exchange in extend: who sees the extent sees its words. sc: see wake */
        amx_ref next = amxi_ld64_sc(&amxi_pool_class_of(last_of(p, c, &slots))->next);
        if (!next || read_extent(p, c, slots, next, &part, &o) || !part.object)
            return found;
        p->part[p->parts++] = part;
        found = true;
    }
    return found;
}

/* Gives a linked block, if it is still its maker's, to all, and registers it. By its maker, or by who finds that he did not
 * come so far. Twice is fine: recovery then looks twice. */
static int complete(struct amx_pool *p, uint32_t c, uint32_t slots, amx_ref block)
{
    struct amx_pool_part part;
    struct amx_object o;
    uint64_t id;
    int e = read_extent(p, c, slots, block, &part, &o);
    if (e || o.id)
        return e;
    e = amx_publish(p->h, block); /* 3 nobody's */
    if (e && e != AMX_E_OWNER)
        return e;
    return amx_object_add(p->h, &o, &id); /* 4 now it counts */
}

static int extend(struct amx_pool *pool, uint32_t class_index, uint32_t count)
{
    uint32_t slots;
    uint64_t bytes;
    void *region;
    amx_ref block;
    struct amx_pool made;
    if (!pool || !pool->base || !pool->h || class_index >= pool->n || !count)
        return AMX_E_INVAL;
    amx_t *h = pool->h;
    struct amx_pool_config k = {.n = 1, .flags = pool->flags, .cls = {{pool->part[class_index].slot_size, count}}};
    int e = amxi_word_refuse(h, true);
    if (e || (e = amx_pool_required_size(&k, &bytes)))
        return e;
    (void)amxi_pool_more(pool, class_index);
    if (pool->parts == pool->n + AMX_POOL_EXTENTS)
        return AMX_E_FULL;
    amxi_a64 *next = &amxi_pool_class_of(last_of(pool, class_index, &slots))->next;
    if (count > AMX_POOL_SLOTS - slots)
        return AMX_E_FULL;
    amx_ref was = amxi_ld64_acq(next); /* as in more */
    if (was) {                         /* one that is not registered: begun by another */
        e = complete(pool, class_index, slots, was);
        if (e != AMX_E_STALE && e != AMX_E_OFFSET)
            return e ? e : amxi_pool_more(pool, class_index) ? AMX_OK : AMX_E_BUSY;
        /* he died before he published it, and it fell with him: ours in its place */
    }
    e = amx_alloc_aligned(h, AMX_POOL_ALIGN, bytes, &block); /* 1 ours */
    if (e)
        return e;
    if ((e = amx_ptr(h, block, &region)) || (e = make_any(region, bytes, 0, &k, true, &made)) ||
        !amxi_cas64_sc(next, &was, block)) { /* 2 releases it to amxi_pool_more() */
        (void)amx_free(h, block);
        return e ? e : amxi_pool_more(pool, class_index) ? AMX_OK : AMX_E_BUSY; /* another was faster: it has grown */
    }
    /* No object to be had: it stays linked, others may be completing it already */
    e = complete(pool, class_index, slots, block);
    return e ? e : amxi_pool_more(pool, class_index) ? AMX_OK : AMX_E_BUSY;
}

int amx_pool_extend(struct amx_pool *pool, uint32_t class_index, uint32_t count)
{
    int e = extend(pool, class_index, count);
    if (!e)
        amxi_slot_wake(pool->base); /* 5 after 2 and 4, which are sc. Twice is fine */
    return e;
}

static int is_id(const struct amx_object *o, void *ctx)
{
    return o->id == *(const uint64_t *)ctx;
}

/* While recovery still looks at it: killed in here, it is a pool with fewer slots in use. */
static void clear_arena(struct amx_pool *p)
{
    if (!amxi_pool_of_arena(&p->part[p->n - 1]) || amx_objects(p->h, is_id, &p->part[0].object) != 1)
        return; /* or removed already, by another */
    (void)amxi_pool_more(p, p->n - 1);
    for (uint32_t k = p->n - 1; k < p->parts; k++)
        for (uint32_t i = 0; amxi_pool_of_arena(&p->part[k]) && i < p->part[k].count; i++)
            amxi_pool_clear(p, &p->part[k], i);
}

/* Every registration of an extent. */
static int forget(const struct amx_pool *p, const struct amx_pool_part *x)
{
    struct amx_pool_config k;
    struct amx_pool_offsets l;
    unsigned char *base = NULL;
    if (in_block(p->h, x->block, 0, &k, &l, &base))
        return AMX_OK; /* gone */
    for (;;) {
        struct amx_object o = object_of(x->block, 0, &k, &l, AMX_POOL_EXTENT);
        if (amx_objects(p->h, look_up, &o) != 1)
            break;
        int e = amx_object_remove(p->h, o.id);
        if (e && e != AMX_E_STALE)
            return e;
    }
    return AMX_OK;
}

int amx_pool_remove(struct amx_pool *pool)
{
    if (!pool || !pool->base)
        return AMX_E_INVAL;
    amxi_a64 *magic = &amxi_pool_head_at(pool->base)->magic;
    if (pool->h) {
        uint32_t slots;
        int e = amxi_word_refuse(pool->h, true);
        if (!e && pool->part[0].object) {
            clear_arena(pool);                                    /* 0 no block is a slot's any more */
            e = amx_object_remove(pool->h, pool->part[0].object); /* 1 attach does not find it any more */
            for (uint32_t c = 0; !e && c < pool->n; c++) {
                (void)amxi_pool_more(pool, c);
                pool->part[c].object = 0; /* called again, it goes on from here */
            }
        }
        for (uint32_t c = 0; !e && c < pool->n;
             c++) { /* 2 an extent that was begun, and never counted; or gone already */
            amx_ref begun = amxi_ld64_rlx(&amxi_pool_class_of(last_of(pool, c, &slots))->next);
            if (begun)
                (void)amx_free(pool->h, begun);
        }
        if (e)
            return e;
        for (; pool->parts > pool->n; pool->parts--) { /* 3 the last first: what is left is a whole chain */
            struct amx_pool_part *x = &pool->part[pool->parts - 1];
            if ((e = forget(pool, x))) /* recovery does not look there any more */
                return e;
            (void)amx_free(pool->h, x->block);
        }
    } else if (amxi_ld64_rlx(magic) != AMXI_POOL_MAGIC) { /* the caller's are idle */
        return AMX_E_STALE;
    }
    amxi_st64_rlx(magic, 0); /* 4 */
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
