/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of message stores share: the same store under each of the four managers, and a second user of it, who
 * does what he is told. He is a second view where there is one (in a segment: another attachment, at another address), the
 * same view in a store of one thread, or another process (tests/process/store_test.c). Nothing in here makes a system call
 * or allocates, but to open and close what is not static, and to complain.
 */
#ifndef AMX_TEST_STORE_KIT_H
#define AMX_TEST_STORE_KIT_H

#include "amx_store.h"
#include "tests/arena_kit.h"

#include "message.h"

enum kind { STATIC, HEAP, CONCURRENT, SHARED, KINDS };

/* --- The second user ------------------------------------------------------------------------------------------------ */

enum op { STORE, RESERVE, READ, READ_END, VERIFY, MUT, STAMP, RESIZE, END, POISON, DISCARD, MEND, PEEK, FREE, OWNER };
/* a: token, or number of the read guard; b: key of the payload, or size. */
struct order {
    enum op op;
    uint64_t a, b;
};
struct answer {
    int e;
    uint64_t value; /* token, number of the guard, key matches, sequence */
};

enum { GUARDS_MAX = 16 };
struct party {
    struct amx_store *s;
    struct amx_read read[GUARDS_MAX];
    struct amx_write write;
};

enum { SIZE = 200 }; /* of what STORE stores */

static inline struct answer obey(struct party *p, struct order o)
{
    struct answer r = {0, 0};
    unsigned char bytes[SIZE];
    struct amx_message_header h = AMX_MESSAGE_HEADER_INIT;
    switch (o.op) {
    case STORE:
        stamp(bytes, SIZE, o.b);
        h.sequence = o.b;
        r.e = amx_msg_store(p->s, &h, bytes, SIZE, &r.value);
        break;
    case RESERVE:
        h.sequence = o.b;
        r.e = amx_msg_reserve(p->s, &h, SIZE, &p->write);
        r.value = p->write.token;
        break;
    case READ:
        while (r.value < GUARDS_MAX && p->read[r.value].store)
            r.value++;
        must(r.value < GUARDS_MAX);
        r.e = amx_msg_read(p->s, o.a, &p->read[r.value]);
        break;
    case READ_END:
        amx_read_end(&p->read[o.a]);
        break;
    case VERIFY:
        must(p->read[o.a].store != NULL);
        r.value = p->read[o.a].size == SIZE && stamped(p->read[o.a].payload, SIZE, o.b) &&
                  p->read[o.a].header->sequence == o.b;
        break;
    case MUT:
        r.e = amx_msg_read_mut(p->s, o.a, &p->write);
        break;
    case STAMP:
        must(p->write.store != NULL);
        stamp(p->write.payload, SIZE, o.b);
        p->write.header->sequence = o.b;
        break;
    case RESIZE:
        p->write.size = (uint32_t)o.b;
        break;
    case END:
        r.e = amx_write_end(&p->write);
        break;
    case POISON:
        r.e = amx_msg_poison(&p->write);
        break;
    case DISCARD:
        r.e = amx_msg_discard(&p->write);
        break;
    case MEND:
        r.e = amx_msg_recover(p->s, o.a, &p->write);
        break;
    case PEEK:
        r.e = amx_msg_peek_header(p->s, o.a, &h);
        r.value = h.sequence;
        break;
    case FREE:
        r.e = amx_msg_free(p->s, o.a);
        break;
    case OWNER:
        r.value = amx_store_owner(p->s);
        break;
    }
    return r;
}

/* --- Rooms ---------------------------------------------------------------------------------------------------------- */

struct room {
    enum kind kind;
    struct amx_store_config k;
    struct amx_store *a, *b; /* two users; in a store of one thread the same view */
    struct amx_store view[2];
    struct party second;
    struct answer (*ask)(struct room *r, struct order o);
    amx_t *h[2];
    amx_ref block;
    void *extra; /* of a test's own `ask` */
};

static inline struct answer ask_view(struct room *r, struct order o)
{
    return obey(&r->second, o);
}

static inline struct answer ask(struct room *r, enum op op, uint64_t a, uint64_t b)
{
    return r->ask(r, (struct order){op, a, b});
}

enum { STATIC_BYTES = 1 << 20, VIEWS = 6 };
static _Alignas(64) unsigned char static_room[STATIC_BYTES];

/* Opens the store that k describes, whatever it says of threads and, but for a class that is not the host's, of memory. */
static inline void room_open(struct room *r, enum kind kind, const struct amx_store_config *k)
{
    uint64_t bytes;
    memset(r, 0, sizeof *r);
    r->kind = kind;
    r->k = *k;
    r->k.threads = kind == CONCURRENT ? VIEWS : 0;
    r->k.memory = kind == SHARED ? AMX_MEMORY_SHARED : k->memory;
    must_ok(amx_store_required_size(&r->k, &bytes));
    r->a = r->b = &r->view[0];
    switch (kind) {
    case STATIC:
        must(bytes <= STATIC_BYTES);
        for (size_t i = 0; i < bytes; i++)
            static_room[i] = 0xa5;
        must_ok(amx_store_init(static_room, bytes, &r->k, r->a));
        break;
    case HEAP:
        must_ok(amx_store_new(&r->k, r->a));
        break;
    case CONCURRENT:
        must_ok(amx_store_new(&r->k, r->a));
        r->b = &r->view[1];
        must_ok(amx_store_scoped(r->a, r->b));
        break;
    case SHARED: {
        struct amx_options o = AMX_OPTIONS_INIT;
        o.size = UINT64_C(1) << 21;
        o.flags = AMX_F_NO_RECOVER;
        must_ok(amx_create_memfd("store", &o, &r->h[0]));
        must_ok(amx_attach_fd(amx_fd(r->h[0]), &o, &r->h[1]));
        r->b = &r->view[1];
        must_ok(amx_store_create(r->h[0], &r->k, &r->block, r->a));
        must_ok(amx_store_attach_block(r->h[1], r->block, &r->k, r->b));
        must(r->a->base != r->b->base);
        break;
    }
    case KINDS:
        must(false);
    }
    r->second.s = r->b;
    r->ask = ask_view;
}

static inline uint32_t available(const struct amx_store *s)
{
    uint32_t n = UINT32_MAX;
    must_ok(amx_store_available(s, &n));
    return n;
}

/* Nothing worse than a note, and nothing undone. */
static inline struct amx_pool_check_result store_clean(const struct amx_store *s)
{
    struct amx_pool_check_result c = {.struct_size = sizeof c};
    must_ok(amx_store_check(s, complain, NULL, &c));
    must(c.undone == 0);
    return c;
}

static inline struct amx_store_stats store_stat(const struct amx_store *s)
{
    struct amx_store_stats n = {.struct_size = sizeof n};
    must_ok(amx_store_stat(s, &n));
    return n;
}

static inline void room_close(struct room *r)
{
    (void)store_clean(r->a);
    struct amx_store_stats n = store_stat(r->a);
    must(n.guards == 0 && n.claimed == 0 && n.writing == 0 && n.storing == 0);
    if (r->kind == CONCURRENT)
        must_ok(amx_store_close(r->b));
    must_ok(amx_store_remove(r->a));
    if (r->kind == SHARED) {
        must_ok(amx_free(r->h[0], r->block));
        must_ok(amx_close(r->h[1]));
        close_free(r->h[0]);
    }
}

/* --- Messages ------------------------------------------------------------------------------------------------------- */

static inline amx_token put(struct amx_store *s, uint64_t key)
{
    struct party p = {.s = s};
    struct answer r = obey(&p, (struct order){STORE, 0, key});
    must_ok(r.e);
    must(r.value != AMX_TOKEN_INVALID);
    return r.value;
}

static inline void see(struct amx_store *s, amx_token t, uint64_t key)
{
    struct amx_read g;
    must_ok(amx_msg_read(s, t, &g));
    must(g.token == t && g.size == SIZE && stamped(g.payload, SIZE, key) && g.header->sequence == key &&
         g.header->payload_size == SIZE);
    amx_read_end(&g);
}

/* Every place can be had, once, and is given back. */
static inline void store_all_free(struct amx_store *s)
{
    static amx_token t[4096];
    uint32_t n = 0;
    must(s->config.depth <= 4096 && !s->config.marks.policy && available(s) == s->config.depth);
    for (; n < s->config.depth; n++)
        t[n] = put(s, n);
    must(amx_msg_store(s, NULL, NULL, 0, &t[0]) == AMX_E_NOMEM && available(s) == 0);
    for (uint32_t i = 0; i < n; i++) {
        see(s, t[i], i);
        must_ok(amx_msg_free(s, t[i]));
    }
    must(store_clean(s).used == 0);
}

/* --- Everything at random ---------------------------------------------------------------------------------------------- */

enum { CHURN_HELD = 3 };
struct churn {
    uint64_t stored, freed, read, written, poisoned, mended, refused;
};

struct churn_pick {
    uint32_t index;
    amx_token t;
};

static inline int churn_at(const struct amx_store_message *m, void *ctx)
{
    struct churn_pick *p = ctx;
    if (m->index != p->index)
        return 0;
    p->t = m->token;
    return 1;
}

/* In a message that nobody changes the payload is that of its sequence. Its first bytes may be torn off. */
static inline bool churn_whole(const void *payload, uint32_t size, const struct amx_message_header *h)
{
    return h->payload_size == size && size >= 8 && stamped(payload, size, h->sequence);
}

/* What one of several users of a store does: stores, reads, changes, poisons, mends and frees messages that it or others
 * stored, several guards at a time; `turns` of it, or until it is killed. */
static inline void churn(struct amx_store *s, uint64_t seed, uint64_t turns, struct churn *n)
{
    struct rng dice = rng_make(seed, amx_store_owner(s) + 100);
    struct amx_read held[CHURN_HELD] = {{0}};
    unsigned char bytes[SIZE];
    for (uint64_t turn = 0; turn < turns; turn++) {
        struct churn_pick pick = {.index = (uint32_t)rng_below(&dice, s->config.depth)};
        struct amx_message_header h = AMX_MESSAGE_HEADER_INIT;
        struct amx_write w;
        const uint32_t k = (uint32_t)rng_below(&dice, CHURN_HELD), size = (uint32_t)rng_range(&dice, 8, SIZE);
        const uint64_t dose = rng_below(&dice, 16);
        int e = AMX_OK;
        h.sequence = rng_next(&dice);
        must(available(s) <= s->config.depth); /* published: wraps */
        if (held[k].store) {                   /* whatever the others did meanwhile */
            must(churn_whole(held[k].payload, held[k].size, held[k].header));
            amx_read_end(&held[k]);
            n->read++;
        }
        (void)amx_store_walk(s, churn_at, &pick);
        if (dose < 4) {
            amx_token t;
            stamp(bytes, size, h.sequence);
            e = amx_msg_store(s, &h, bytes, size, &t);
            must(e == AMX_OK || e == AMX_E_NOMEM || e == AMX_E_FULL);
            n->stored += e == AMX_OK && t != AMX_TOKEN_INVALID;
        } else if (dose < 9) {
            e = amx_msg_read(s, pick.t, &held[k]);
            must(e != AMX_E_CORRUPT && e != AMX_E_NO_GUARD);
            if (!e)
                must(churn_whole(held[k].payload, held[k].size, held[k].header));
        } else if (dose < 13) {
            e = amx_msg_read_mut(s, pick.t, &w);
            const bool mends = e == AMX_E_POISONED && !amx_msg_recover(s, pick.t, &w);
            must(e != AMX_E_CORRUPT);
            if (!e || mends) {
                must(mends || churn_whole(w.payload, w.size, w.header));
                w.size = size <= w.capacity ? size : w.capacity;
                w.header->sequence = h.sequence;
                stamp(w.payload, w.size, h.sequence);
                if (dose == 9) {
                    must_ok(amx_msg_poison(&w));
                    n->poisoned++;
                } else if (dose == 10 || w.size < 8) {
                    must_ok(amx_msg_discard(&w));
                    n->freed++;
                } else {
                    must_ok(amx_write_end(&w));
                    n->written++;
                }
                n->mended += mends;
                e = AMX_OK;
            }
        } else {
            e = amx_msg_free(s, pick.t);
            must(e != AMX_E_CORRUPT && e != AMX_E_POISONED);
            n->freed += e == AMX_OK;
        }
        n->refused += e != AMX_OK;
    }
    for (int k = 0; k < CHURN_HELD; k++)
        amx_read_end(&held[k]);
}

/* At rest: what is there is whole or poisoned, and goes. How many there were. */
static inline int churn_end(const struct amx_store_message *m, void *ctx)
{
    struct room *r = ctx;
    must(m->state == AMX_STATE_FREE || m->state == AMX_STATE_STORED || m->state == AMX_STATE_POISONED);
    if (m->state == AMX_STATE_FREE)
        return 0;
    if (m->state == AMX_STATE_STORED) {
        struct amx_read g;
        must_ok(amx_msg_read(r->a, m->token, &g));
        must(churn_whole(g.payload, g.size, g.header));
        amx_read_end(&g);
    }
    must_ok(amx_msg_free(r->a, m->token));
    return 0;
}

static inline uint32_t churn_over(struct room *r)
{
    (void)store_clean(r->a);
    const uint32_t n = store_stat(r->a).used;
    must(store_stat(r->a).guards == 0);
    must_ok(amx_store_walk(r->a, churn_end, r));
    must(available(r->a) == r->k.depth);
    return n;
}

static inline amxi_a64 *word_of(const struct amx_store *s, amx_token t)
{
    return amxi_pool_word_at(&s->part, AMX_SLOT_INDEX(t));
}

static inline struct amxi_message_body *message_of(const struct amx_store *s, amx_token t)
{
    return amxi_message_at(s, AMX_SLOT_INDEX(t));
}

#endif
