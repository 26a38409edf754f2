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

static inline amxi_a64 *word_of(const struct amx_store *s, amx_token t)
{
    return amxi_pool_word_at(&s->part, AMX_SLOT_INDEX(t));
}

static inline struct amxi_message_body *message_of(const struct amx_store *s, amx_token t)
{
    return amxi_message_at(s, AMX_SLOT_INDEX(t));
}

#endif
