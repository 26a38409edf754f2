/* SPDX-License-Identifier: Apache-2.0 */
/* Stores looked at: numbers, walk, validator. Relaxed samples, but for words, which acquire as in message.c. */
#include "message.h"
#include "word.h"

#include <stdio.h>
#include <string.h>

/* Its pool, for calls of that layer that look at all of it. */
static void pool_of(const struct amx_store *s, struct amx_pool *out)
{
    *out = (struct amx_pool){.base = s->part.base, .h = s->h, .n = 1, .parts = 1, .part = {s->part}};
    out->flags = AMXI_POOL_MESSAGES | (s->guards ? AMX_POOL_LINES : 0);
}

int amx_store_available(const struct amx_store *store, uint32_t *out)
{
    int e = out ? amxi_store_admit(store, AMXI_POOL_READ) : AMX_E_INVAL;
    if (e)
        return e;
    uint32_t n = 0;
    for (uint32_t i = 0; i < store->config.depth; i++)
        n += AMXI_POOL_WORD_FREE(amxi_ld64_rlx(amxi_pool_word_at(&store->part, i)));
    *out = n;
    return AMX_OK;
}

uint32_t amx_store_capacity(const struct amx_store *store)
{
    return store && store->base ? store->config.depth : 0;
}

int amx_store_memory_class(const struct amx_store *store, uint32_t *out)
{
    if (!store || !store->base || !out)
        return AMX_E_INVAL;
    *out = store->config.memory;
    return AMX_OK;
}

/* A message as it is now: its header only if nobody came in between. */
static void describe(const struct amx_store *s, uint32_t i, struct amx_store_message *out)
{
    struct amxi_place p;
    amxi_place_at(s, i, &p);
    p.w = amxi_ld64_acq(p.word); /* pairs with the exchange that made it so */
    uint32_t state = AMXI_W0_STATE(p.w);
    bool counted = !s->guards && state == AMX_STATE_STORED; /* its owner field is the number of readers */
    *out = (struct amx_store_message){.struct_size = sizeof *out,
                                      .index = i,
                                      .state = state,
                                      .owner = counted ? 0 : AMXI_W0_OWNER(p.w),
                                      .readers = amxi_guards_on(s, i, p.w)};
    if (state == AMX_STATE_FREE)
        return;
    out->size = amxi_ld32_rlx(&p.m->size);
    out->age = amxi_ld64_rlx(&p.m->order);
    if (state == AMX_STATE_ALLOCATED)
        return;
    out->token = AMXI_SLOT(0, i, p.w);
    if (state != AMX_STATE_STORED && state != AMX_STATE_POISONED)
        return;
    uint64_t half[sizeof out->header / 8];
    const amxi_a64 *from = (const amxi_a64 *)(const void *)&p.m->header;
    for (size_t k = 0; k < sizeof half / sizeof *half; k++)
        half[k] = amxi_ld64_peek(&from[k]); /* acquires: before the word is read again */
    if (amxi_ld64_rlx(p.word) == p.w)
        memcpy(&out->header, half, sizeof half);
}

int amx_store_walk(const struct amx_store *store, amx_store_walk_fn *fn, void *ctx)
{
    int e = fn ? amxi_store_admit(store, AMXI_POOL_READ) : AMX_E_INVAL;
    for (uint32_t i = 0; !e && i < store->config.depth; i++) {
        struct amx_store_message m;
        describe(store, i, &m);
        e = fn(&m, ctx);
    }
    return e;
}

static int sum_up(const struct amx_store_message *m, void *ctx)
{
    struct amx_store_stats *s = ctx;
    s->used += m->state != AMX_STATE_FREE;
    s->storing += m->state == AMX_STATE_ALLOCATED;
    s->claimed += m->state == AMX_STATE_CLAIMED;
    s->writing += m->state == AMX_STATE_WRITING;
    s->poisoned += m->state == AMX_STATE_POISONED;
    s->guards += m->readers;
    s->bytes += m->size;
    return 0;
}

int amx_store_stat(const struct amx_store *store, struct amx_store_stats *out)
{
    struct amx_store_stats s = {.struct_size = sizeof s};
    struct amx_pool_stats k = {.struct_size = sizeof k};
    struct amx_pool pool;
    int e = out && out->struct_size == sizeof *out ? amx_store_walk(store, sum_up, &s) : AMX_E_INVAL;
    if (e)
        return e;
    pool_of(store, &pool);
    if ((e = amx_pool_stat(&pool, 0, &k)))
        return e;
    const struct amxi_store_body *b = amxi_store_head_at(store->base);
    s.config = store->config;
    s.high = k.high;
    s.exhausted = k.exhausted;
    s.evicted = amxi_ld64_rlx(&b->evicted);
    s.dropped = amxi_ld64_rlx(&b->dropped);
    s.rejected = amxi_ld64_rlx(&b->rejected);
    *out = s;
    return AMX_OK;
}

/* --- Checking ---------------------------------------------------------------------------------------------------- */

struct check {
    amx_check_fn *fn;
    void *ctx;
    const struct amx_store *s;
    struct amx_pool_check_result *sum;
    uint64_t pool; /* where it lies */
    int stop;
};

/* Findings of the pool count from the pool. */
static int of_pool(const struct amx_finding *f, void *ctx)
{
    struct check *k = ctx;
    struct amx_finding mine = *f;
    mine.offset += k->pool;
    k->stop = k->fn(&mine, k->ctx);
    return k->stop;
}

static void corrupt(struct check *k, const char *rule, const void *where, const char *text)
{
    k->sum->corrupt++;
    struct amx_finding f = {AMX_GRADE_CORRUPT, UINT32_MAX, (uint64_t)((const unsigned char *)where - k->s->base), rule,
                            text};
    if (k->fn && !k->stop)
        k->stop = k->fn(&f, k->ctx);
}

static void check_message(struct check *k, uint32_t i)
{
    char text[96];
    struct amxi_place p;
    amxi_place_at(k->s, i, &p);
    uint64_t w = amxi_ld64_acq(p.word); /* as in describe */
    uint32_t state = AMXI_W0_STATE(w), owner = AMXI_W0_OWNER(w), size = amxi_ld32_rlx(&p.m->size);
    bool mine = state == AMX_STATE_ALLOCATED || state == AMX_STATE_CLAIMED || state == AMX_STATE_WRITING;
    bool nobodys = state == AMX_STATE_FREE || state == AMX_STATE_POISONED || state == AMX_STATE_STORED;
    bool counted = !k->s->guards && state == AMX_STATE_STORED;
    if (amxi_slot_live(state) && !mine && !nobodys) {
        snprintf(text, sizeof text, "message %u is in state %u, which no message has", i, state);
        corrupt(k, "store word", p.word, text);
    } else if ((mine && !owner) || (nobodys && owner && !counted && state != AMX_STATE_FREE)) {
        snprintf(text, sizeof text, "message %u in state %u is of owner %u", i, state, owner);
        corrupt(k, "store word", p.word, text);
    }
    if ((state == AMX_STATE_STORED || state == AMX_STATE_CLAIMED) && size > k->s->config.payload_max &&
        amxi_ld64_rlx(p.word) == w) {
        snprintf(text, sizeof text, "message %u has %u bytes of payload", i, size);
        corrupt(k, "store size", &p.m->size, text);
    }
}

int amx_store_check(const struct amx_store *store, amx_check_fn *fn, void *ctx, struct amx_pool_check_result *out)
{
    struct amx_pool_check_result sum = {.struct_size = sizeof sum};
    struct amx_store_config c;
    int e = amxi_store_admit(store, AMXI_POOL_READ);
    if (e || (out && out->struct_size != sizeof *out))
        return e ? e : AMX_E_INVAL;
    struct check k = {
        .fn = fn, .ctx = ctx, .s = store, .sum = &sum, .pool = (uint64_t)(store->part.base - store->base)};
    struct amx_pool pool;
    pool_of(store, &pool);
    e = amx_pool_check(&pool, fn ? of_pool : NULL, &k, &sum);
    if (e && e != AMX_E_CORRUPT && !k.stop)
        return e;
    if (!amxi_store_read_config(store->base, &c) || !amxi_store_same(&c, &store->config))
        corrupt(&k, "store head", store->base, "the head does not say what it said at attach");
    for (uint32_t i = 0; i < store->config.depth && !k.stop; i++)
        check_message(&k, i);
    if (out)
        *out = sum;
    return k.stop ? k.stop : sum.corrupt ? AMX_E_CORRUPT : AMX_OK;
}
