/* SPDX-License-Identifier: Apache-2.0 */
/* Message stores: laid out, made, attached, shared among threads, removed; memory classes. */
#include "amx_object.h"
#include "message.h"
#include "os.h"
#include "word.h"

#include <stdlib.h>
#include <string.h>

/* --- Memory classes ---------------------------------------------------------------------------------------------- */

int amx_memory_device(uint32_t ordinal, uint32_t *memory)
{
    if (!memory || ordinal >= AMX_MEMORY_DEVICES)
        return AMX_E_INVAL;
    *memory = AMX_MEMORY_DEVICE + ordinal;
    return AMX_OK;
}

int amx_placement_decide(uint32_t memory, amx_placement accepts, enum amx_placing *out)
{
    if (!out || memory > AMX_MEMORY_SHARED)
        return AMX_E_INVAL;
    *out = accepts & AMX_PLACEMENT(memory) ? AMX_ZERO_COPY : AMX_ADAPT;
    return AMX_OK;
}

/* --- Layout ------------------------------------------------------------------------------------------------------ */

static bool sound_marks(const struct amx_marks *m)
{
    bool soft = m->soft_items || m->soft_bytes, hard = m->hard_items || m->hard_bytes;
    if ((m->hard_items && m->soft_items > m->hard_items) || (m->hard_bytes && m->soft_bytes > m->hard_bytes))
        return false;
    switch (m->policy) {
    case AMX_POLICY_NONE:
        return !soft && !hard;
    case AMX_POLICY_REJECT:
    case AMX_POLICY_DROP_NEWEST:
    case AMX_POLICY_EVICT:
        return hard;
    case AMX_POLICY_DROP_OLDEST:
        return soft || hard;
    }
    return false;
}

static bool sound(const struct amx_store_config *c, bool shared)
{
    return c->depth && c->depth <= AMX_STORE_DEPTH && c->payload_max <= AMX_STORE_PAYLOAD &&
           c->threads <= (shared ? 0 : AMX_STORE_THREADS) && c->memory <= AMX_MEMORY_SHARED &&
           (c->memory == AMX_MEMORY_SHARED) == shared && sound_marks(&c->marks);
}

/* The pool that the messages lie in. Threads and processes get a line for each payload. */
static struct amx_pool_config pool_of(const struct amx_store_config *c)
{
    bool lines = c->threads || c->memory == AMX_MEMORY_SHARED;
    uint64_t payload = amxi_round_up(c->payload_max, lines ? AMXI_LINE : AMXI_UNIT);
    return (struct amx_pool_config){.n = 1,
                                    .flags = lines ? AMX_POOL_LINES : 0,
                                    .cls = {{(uint32_t)(sizeof(struct amxi_message_body) + payload), c->depth}}};
}

static size_t pool_at(const struct amx_store_config *c)
{
    return sizeof(struct amxi_store_body) + c->threads * sizeof(struct amxi_view_body);
}

static int required(const struct amx_store_config *c, struct amx_pool_offsets *l, uint64_t *bytes)
{
    struct amx_pool_config k = pool_of(c);
    int e = sound(c, c->memory == AMX_MEMORY_SHARED) ? amx_pool_layout(&k, l) : AMX_E_INVAL;
    if (!e)
        *bytes = pool_at(c) + l->bytes;
    return e;
}

int amx_store_required_size(const struct amx_store_config *config, uint64_t *out)
{
    struct amx_pool_offsets l;
    if (!config || !out)
        return AMX_E_INVAL;
    struct amx_store_config c = *config;
    return required(&c, &l, out);
}

/* --- The head ---------------------------------------------------------------------------------------------------- */

/* The pool is there already. All relaxed: nobody looks at it before the magic is there. */
static void write_head(unsigned char *base, const struct amx_store_config *c)
{
    struct amxi_store_body *b = amxi_store_head_at(base);
    memset(base + sizeof b->magic, 0, pool_at(c) - sizeof b->magic);
    amxi_st32_rlx(&b->version, AMXI_STORE_VERSION);
    amxi_st32_rlx(&b->byte_order, AMXI_BYTE_ORDER);
    amxi_st32_rlx(&b->depth, c->depth);
    amxi_st32_rlx(&b->payload_max, c->payload_max);
    amxi_st32_rlx(&b->type_id, c->type_id);
    amxi_st32_rlx(&b->threads, c->threads);
    amxi_st32_rlx(&b->memory, c->memory);
    amxi_st32_rlx(&b->policy, c->marks.policy);
    amxi_st32_rlx(&b->soft_items, c->marks.soft_items);
    amxi_st32_rlx(&b->hard_items, c->marks.hard_items);
    amxi_st64_rlx(&b->soft_bytes, c->marks.soft_bytes);
    amxi_st64_rlx(&b->hard_bytes, c->marks.hard_bytes);
    amxi_st64_rel(&b->magic, AMXI_STORE_MAGIC); /* pairs with the acquire in amxi_store_read_config */
}

bool amxi_store_read_config(unsigned char *base, struct amx_store_config *c)
{
    struct amxi_store_body *b = amxi_store_head_at(base);
    /* pairs with the release of write_head: who sees the magic sees the store */
    if (amxi_ld64_acq(&b->magic) != AMXI_STORE_MAGIC || amxi_ld32_rlx(&b->version) != AMXI_STORE_VERSION ||
        amxi_ld32_rlx(&b->byte_order) != AMXI_BYTE_ORDER)
        return false;
    *c = (struct amx_store_config){.depth = amxi_ld32_rlx(&b->depth),
                                   .payload_max = amxi_ld32_rlx(&b->payload_max),
                                   .type_id = amxi_ld32_rlx(&b->type_id),
                                   .threads = amxi_ld32_rlx(&b->threads),
                                   .memory = amxi_ld32_rlx(&b->memory),
                                   .marks = {(enum amx_policy)amxi_ld32_rlx(&b->policy), amxi_ld32_rlx(&b->soft_items),
                                             amxi_ld32_rlx(&b->hard_items), amxi_ld64_rlx(&b->soft_bytes),
                                             amxi_ld64_rlx(&b->hard_bytes)}};
    return true;
}

/* The same of a store in a segment, nothing trusted. AMX_E_LAYOUT. */
static int read_head(unsigned char *base, uint64_t len, struct amx_store_config *c)
{
    struct amx_pool_offsets l;
    uint64_t bytes;
    bool fits = len >= sizeof(struct amxi_store_body) && amxi_store_read_config(base, c) &&
                c->memory == AMX_MEMORY_SHARED && !required(c, &l, &bytes) && bytes <= len;
    return fits ? AMX_OK : AMX_E_LAYOUT;
}

bool amxi_store_same(const struct amx_store_config *a, const struct amx_store_config *b)
{
    return a->depth == b->depth && a->payload_max == b->payload_max && a->type_id == b->type_id &&
           a->threads == b->threads && a->memory == b->memory && a->marks.policy == b->marks.policy &&
           a->marks.soft_items == b->marks.soft_items && a->marks.hard_items == b->marks.hard_items &&
           a->marks.soft_bytes == b->marks.soft_bytes && a->marks.hard_bytes == b->marks.hard_bytes;
}

/* --- In plain memory --------------------------------------------------------------------------------------------- */

/* View number `owner`, of a store of threads one that was just taken. */
static void view(struct amx_store *s, uint32_t owner)
{
    s->owner = owner;
    s->held = 0;
    if (!s->config.threads)
        return;
    s->guards = amxi_view_at(s->base, 0);
    s->own = amxi_view_at(s->base, owner - 1);
    s->each = AMXI_VIEW_WORDS;
}

int amx_store_init(void *region, size_t len, const struct amx_store_config *config, struct amx_store *out)
{
    struct amx_pool_offsets l;
    uint64_t bytes, gen = 0; /* one thread: whoever makes it anew knows that the old tokens are void */
    if (!config || !out || !region || (uintptr_t)region % AMX_STORE_ALIGN)
        return AMX_E_INVAL;
    struct amx_store_config c = *config;
    struct amx_pool_config k = pool_of(&c);
    if (c.memory == AMX_MEMORY_SHARED || required(&c, &l, &bytes) || bytes > len)
        return AMX_E_INVAL;
    if (c.threads && amxi_os_random(&gen, sizeof gen))
        return AMX_E_SYS;
    if (c.memory == AMX_MEMORY_PINNED && amxi_os_pin(region, bytes))
        return AMX_E_ACCESS;
    struct amx_store s = {.base = region, .config = c};
    amxi_st64_rlx(&amxi_store_head_at(s.base)->magic, 0); /* 1 */
    amxi_cb();
    struct amx_pool pool;
    int e = amxi_pool_make(region, len, pool_at(&c), &k, gen, &pool); /* 2 */
    if (e)
        return e;
    s.part = pool.part[0];
    write_head(region, &c); /* 3 */
    view(&s, 1);
    if (c.threads)
        amxi_st64_rlx(&amxi_view_at(s.base, 0)->taken, 1); /* nobody else is there yet */
    *out = s;
    return AMX_OK;
}

int amx_store_new(const struct amx_store_config *config, struct amx_store *out)
{
    uint64_t bytes;
    int e = out ? amx_store_required_size(config, &bytes) : AMX_E_INVAL;
    if (e)
        return e;
    if (config->memory == AMX_MEMORY_SHARED)
        return AMX_E_INVAL;
    /* pages are locked, and nobody counts how often: pinned stores share none */
    const size_t align = config->memory == AMX_MEMORY_PINNED ? AMXI_PAGE : AMX_STORE_ALIGN;
    void *region = aligned_alloc(align, amxi_round_up(bytes, align));
    if (!region)
        return AMX_E_NOMEM;
    e = amx_store_init(region, bytes, config, out);
    if (e) {
        free(region);
        return e;
    }
    out->heap = 1;
    return AMX_OK;
}

int amx_store_scoped(const struct amx_store *of, struct amx_store *out)
{
    if (!of || !of->base || !out || !of->config.threads)
        return AMX_E_INVAL;
    struct amx_store s = {.base = of->base, .config = of->config}; /* what never changes: its thread uses it */
    size_t at = pool_at(&s.config);
    struct amx_pool pool;
    int e = amx_pool_attach(s.base, at + of->part.bytes, at, NULL, &pool);
    if (e)
        return e;
    s.part = pool.part[0];
    for (uint32_t i = 0; i < s.config.threads; i++) {
        uint64_t free_ = 0;
        /* pairs with the release of who gave it back: his guards are ended */
        if (amxi_cas64_acq(&amxi_view_at(s.base, i)->taken, &free_, 1)) {
            view(&s, i + 1);
            *out = s;
            return AMX_OK;
        }
    }
    return AMX_E_FULL;
}

int amx_store_close(struct amx_store *store)
{
    if (!store || !store->base)
        return AMX_E_INVAL;
    if (store->held)
        return AMX_E_BORROW_ACTIVE;
    if (store->heap)
        return AMX_OK; /* the region's view: it may be used again */
    if (store->config.threads)
        amxi_st64_rel(&amxi_view_at(store->base, store->owner - 1)->taken, 0); /* to the next who takes it */
    *store = (struct amx_store){0};
    return AMX_OK;
}

int amx_store_recover(struct amx_store *store, uint32_t owner, uint64_t *freed, uint64_t *poisoned)
{
    int e = amxi_store_admit(store, AMXI_POOL_WRITE);
    if (e || store->h || !owner || owner > (store->config.threads ? store->config.threads : 1))
        return e ? e : AMX_E_INVAL;
    uint64_t n[2] = {0, 0};
    amxi_guards_lapse(store, owner); /* 1 */
    for (uint32_t i = 0; i < store->config.depth; i++) {
        struct amxi_place p;
        amxi_place_at(store, i, &p);
        p.w = amxi_ld64_rlx(p.word); /* the caller knows that he has ended; the exchange orders */
        uint32_t state = AMXI_W0_STATE(p.w);
        if (AMXI_W0_OWNER(p.w) != owner)
            continue;
        if (state == AMX_STATE_ALLOCATED) /* 2 */
            n[0] += !amxi_message_end(store, &p);
        else if (state == AMX_STATE_CLAIMED || state == AMX_STATE_WRITING) /* 2 */
            n[1] += !amxi_word_move(p.word, &p.w,
                                    AMXI_W0(state == AMX_STATE_CLAIMED ? AMX_STATE_STORED : AMX_STATE_POISONED, 0,
                                            AMXI_W0_GEN(p.w))) &&
                    state == AMX_STATE_WRITING;
    }
    if (store->config.threads && owner != store->owner)
        amxi_st64_rel(&amxi_view_at(store->base, owner - 1)->taken, 0); /* 3 last: nothing of his is left */
    if (owner == store->owner)
        store->held = 0;
    if (freed)
        *freed = n[0];
    if (poisoned)
        *poisoned = n[1];
    return AMX_OK;
}

uint32_t amx_store_owner(const struct amx_store *store)
{
    return store && store->base ? store->owner : 0;
}

/* --- In a segment ------------------------------------------------------------------------------------------------ */

/* As recovery is to see it: what happens to the words of the dead stands in store.h. */
static struct amx_object object_of(amx_ref block, const struct amx_store_config *c, const struct amx_pool_offsets *l)
{
    return (struct amx_object){.struct_size = sizeof(struct amx_object),
                               .ref = block,
                               .kind = AMX_STORE_KIND,
                               .count = l->words_count,
                               .first = pool_at(c) + l->words,
                               .stride = 8,
                               .to = AMX_STATE_FREE,
                               .pairs = 2,
                               .from = {AMX_STATE_CLAIMED, AMX_STATE_WRITING},
                               .into = {AMX_STATE_STORED, AMX_STATE_POISONED}};
}

static int look_up(const struct amx_object *o, void *ctx)
{
    struct amx_object *l = ctx;
    if (o->ref != l->ref || o->kind != l->kind || o->first != l->first || o->count != l->count ||
        o->stride != l->stride || o->to != l->to || o->pairs != l->pairs || o->from[0] != l->from[0] ||
        o->from[1] != l->from[1] || o->into[0] != l->into[0] || o->into[1] != l->into[1])
        return 0;
    l->id = o->id;
    return 1;
}

/* The payload of a block, of which a store takes the beginning. */
static int region_of(const amx_t *h, amx_ref block, void **region, size_t *len)
{
    int e = amx_usable(h, block, len);
    if (e || (e = amx_ptr(h, block, region)))
        return e;
    return (uintptr_t)*region % AMX_STORE_ALIGN ? AMX_E_INVAL : AMX_OK;
}

static void view_in(struct amx_store *s, amx_t *h, amx_ref block, uint64_t object)
{
    struct amxi_guards g;
    amxi_word_guards(h, &g);
    s->h = h;
    s->part.object = object;
    s->part.block = block;
    s->guards = g.all;
    s->own = g.own;
    s->each = g.each;
    s->segment = g.base;
    s->writable = g.writable;
    s->recover = amxi_word_recover;
    s->owner = AMX_OBJECT_OWNER(amx_handle_id(h));
}

int amx_store_init_block(amx_t *h, amx_ref block, const struct amx_store_config *config, struct amx_store *out)
{
    struct amx_pool_offsets l;
    uint64_t bytes, gen, id;
    amx_id owner;
    void *region;
    size_t len;
    int e = config && out ? amxi_word_refuse(h, true) : AMX_E_INVAL;
    if (e || (e = region_of(h, block, &region, &len)) || (e = amx_owner(h, block, &owner)))
        return e;
    struct amx_store_config c = *config;
    if (c.memory == AMX_MEMORY_HOST)
        c.memory = AMX_MEMORY_SHARED;
    if (c.memory != AMX_MEMORY_SHARED || required(&c, &l, &bytes) || bytes > len)
        return AMX_E_INVAL;
    if (owner)
        return AMX_E_OWNER;
    if (amxi_os_random(&gen, sizeof gen))
        return AMX_E_SYS;
    struct amx_pool_config k = pool_of(&c);
    struct amx_object o = object_of(block, &c, &l);
    struct amx_store s = {.base = region, .config = c};
    struct amx_pool pool;
    amxi_st64_rlx(&amxi_store_head_at(s.base)->magic, 0); /* 1 */
    amxi_cb();
    if ((e = amxi_pool_make(region, len, pool_at(&c), &k, gen, &pool))) /* 2 */
        return e;
    s.part = pool.part[0];
    write_head(region, &c);                      /* 3 */
    if ((e = amx_object_add(h, &o, &id)) != 0) { /* 4 now it can be attached */
        amxi_st64_rlx(&amxi_store_head_at(s.base)->magic, 0);
        return e;
    }
    view_in(&s, h, block, id);
    *out = s;
    return AMX_OK;
}

int amx_store_attach_block(amx_t *h, amx_ref block, const struct amx_store_config *config, struct amx_store *out)
{
    struct amx_pool_offsets l;
    uint64_t bytes;
    void *region;
    size_t len;
    struct amx_store_config c;
    int e = out ? amxi_word_refuse(h, false) : AMX_E_INVAL;
    if (e || (e = region_of(h, block, &region, &len)) || (e = read_head(region, len, &c)))
        return e;
    if (config) {
        struct amx_store_config want = *config;
        if (want.memory == AMX_MEMORY_HOST)
            want.memory = AMX_MEMORY_SHARED;
        if (!amxi_store_same(&want, &c))
            return AMX_E_LAYOUT;
    }
    (void)required(&c, &l, &bytes); /* read_head has seen that it fits */
    struct amx_pool_config k = pool_of(&c);
    struct amx_object o = object_of(block, &c, &l);
    struct amx_store s = {.base = region, .config = c};
    struct amx_pool pool;
    if ((e = amx_pool_attach(region, len, pool_at(&c), &k, &pool)))
        return e;
    s.part = pool.part[0];
    if (amx_objects(h, look_up, &o) != 1)
        return AMX_E_STALE;
    view_in(&s, h, block, o.id);
    *out = s;
    return AMX_OK;
}

int amx_store_create(amx_t *h, const struct amx_store_config *config, amx_ref *block, struct amx_store *out)
{
    uint64_t bytes;
    amx_ref made;
    if (!config || !block || !out)
        return AMX_E_INVAL;
    struct amx_store_config c = *config;
    if (c.memory == AMX_MEMORY_HOST)
        c.memory = AMX_MEMORY_SHARED;
    int e = c.memory == AMX_MEMORY_SHARED ? amx_store_required_size(&c, &bytes) : AMX_E_INVAL;
    if (e || (e = amx_alloc_aligned(h, AMX_STORE_ALIGN, bytes, &made)))
        return e;
    if ((e = amx_publish(h, made)) || (e = amx_store_init_block(h, made, &c, out))) {
        (void)amx_free(h, made);
        return e;
    }
    *block = made;
    return AMX_OK;
}

int amx_store_remove(struct amx_store *store)
{
    if (!store || !store->base)
        return AMX_E_INVAL;
    if (store->held)
        return AMX_E_BORROW_ACTIVE;
    amxi_a64 *magic = &amxi_store_head_at(store->base)->magic;
    if (store->h) {
        int e = amxi_word_refuse(store->h, true);
        if (e || (e = amx_object_remove(store->h, store->part.object))) /* 1 not to be attached any more */
            return e;
    } else if (amxi_ld64_rlx(magic) != AMXI_STORE_MAGIC) { /* the caller's are idle */
        return AMX_E_STALE;
    }
    amxi_st64_rlx(magic, 0); /* 2 */
    if (store->config.memory == AMX_MEMORY_PINNED)
        amxi_os_unpin(store->base, pool_at(&store->config) + store->part.bytes);
    if (store->heap)
        free(store->base);
    *store = (struct amx_store){0};
    return AMX_OK;
}

struct listing {
    amx_stores_fn *fn;
    void *ctx;
};

static int list(const struct amx_object *o, void *ctx)
{
    const struct listing *l = ctx;
    struct amx_store_place place = {sizeof place, o->ref, o->id};
    return o->kind == AMX_STORE_KIND ? l->fn(&place, l->ctx) : 0;
}

int amx_stores(const amx_t *h, amx_stores_fn *fn, void *ctx)
{
    struct listing l = {fn, ctx};
    return fn ? amx_objects(h, list, &l) : AMX_E_INVAL;
}
