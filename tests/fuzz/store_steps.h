/* SPDX-License-Identifier: Apache-2.0 */
/* The calls on message stores among all others. Part of calls.c. */
#ifndef AMX_FUZZ_STORE_STEPS_H
#define AMX_FUZZ_STORE_STEPS_H

static amx_token *some_token(struct run *r)
{
    return &r->token[pick(r->t, REFS)];
}

static int note_store(const struct amx_store_place *p, void *ctx)
{
    struct run *r = ctx;
    r->store_block = p->block;
    return pick(r->t, 2) ? 0 : 1;
}

static int note_message(const struct amx_store_message *m, void *ctx)
{
    struct run *r = ctx;
    must(m->index < AMX_STORE_DEPTH);
    if (m->token)
        *some_token(r) = m->token;
    return 0;
}

/* A view and its guards are of one handle: with it, they are over. */
static void no_store_view(uint32_t who)
{
    memset(&store_view[who], 0, sizeof store_view[who]);
    memset(&msg_read[who], 0, sizeof msg_read[who]);
    memset(&msg_write[who], 0, sizeof msg_write[who]);
}

static void lent(struct run *r, uint32_t who, const struct call *c)
{
    const amx_t *h = r->slot[who];
    const struct amx_read *read = &msg_read[who];
    struct amx_write *write = &msg_write[who];
    if (c->verb == V_MSG_READ || c->verb == V_MSG_READ_WAIT) {
        must(read->size <= store_view[who].config.payload_max);
        payload(h, read->payload, read->size, false);
        payload(h, read->header, sizeof *read->header, false);
    } else if (write->store && (c->verb == V_MSG_READ_MUT || c->verb == V_MSG_READ_MUT_WAIT || c->verb == V_MSG_MEND ||
                                c->verb == V_MSG_RESERVE)) {
        must(write->size <= write->capacity);
        payload(h, write->payload, write->capacity, true);
        payload(h, write->header, sizeof *write->header, true);
        write->size = (uint32_t)pick(r->t, (uint64_t)write->capacity + 2); /* too large now and then */
    }
}

/* The first of the verbs are about the store, the others about its messages. */
static const uint8_t store_verbs[] = {
    V_STORE_CREATE, V_STORE_INIT,   V_STORE_ATTACH,     V_STORE_ATTACH,  V_STORE_ATTACH,      V_STORE_SCOPED,
    V_STORE_CLOSE,  V_STORE_REMOVE, V_STORE_PLAIN_INIT, V_STORE_RECOVER, V_STORE_EVICT,       V_STORE_LOOK,
    V_MSG_STORE,    V_MSG_STORE,    V_MSG_STORE,        V_MSG_STORE,     V_MSG_STORE_WAIT,    V_MSG_COPY,
    V_MSG_RESERVE,  V_MSG_END,      V_MSG_END,          V_MSG_END,       V_MSG_POISON,        V_MSG_DISCARD,
    V_MSG_READ,     V_MSG_READ,     V_MSG_READ,         V_MSG_READ_END,  V_MSG_READ_END,      V_MSG_READ_WAIT,
    V_MSG_PEEK,     V_MSG_PEEK,     V_MSG_READ_MUT,     V_MSG_READ_MUT,  V_MSG_READ_MUT_WAIT, V_MSG_MEND,
    V_MSG_MEND,     V_MSG_FREE,     V_MSG_FREE_WAIT};
enum { MESSAGES_FROM = 12 };

static void deal(struct run *r, uint32_t who, unsigned from)
{
    struct call c = {.verb = store_verbs[from + pick(r->t, sizeof store_verbs - from)]};
    const struct amx_store *s = &store_view[who];
    if (!s->base && c.verb >= V_STORE_CLOSE)
        c.verb = r->store_block ? V_STORE_ATTACH : V_STORE_CREATE;
    if (c.verb == V_STORE_SCOPED && who == P)
        c.verb = V_STORE_LOOK;
    bool changing =
        c.verb == V_MSG_READ_MUT || c.verb == V_MSG_READ_MUT_WAIT || c.verb == V_MSG_MEND || c.verb == V_MSG_RESERVE;
    if ((changing && msg_write[who].store) ||
        ((c.verb == V_MSG_READ || c.verb == V_MSG_READ_WAIT) && msg_read[who].store))
        c.verb = changing ? V_MSG_END : V_MSG_READ_END;      /* one of each kind at a time */
    if (c.verb < V_STORE_EVICT && c.verb != V_STORE_RECOVER) /* the view is another one from here on, or none */
        memset(&msg_read[who], 0, sizeof msg_read[who]), memset(&msg_write[who], 0, sizeof msg_write[who]);
    bool of_store = c.verb < V_STORE_EVICT;
    bool makes = c.verb == V_STORE_INIT || c.verb == V_STORE_PLAIN_INIT;
    c.ref = !of_store                   ? *some_token(r)
            : c.verb == V_STORE_RECOVER ? 0
            : makes || !pick(r->t, 8)   ? *some_ref(r)
                                        : r->store_block;
    c.store =
        (struct amx_store_config){.depth = 1 + (uint32_t)pick(r->t, 20), .payload_max = (uint32_t)pick(r->t, 200)};
    c.store.threads = c.verb == V_STORE_PLAIN_INIT ? (uint32_t)pick(r->t, 4) : 0;
    c.store.marks.policy = (enum amx_policy)pick(r->t, 5);
    c.store.marks.hard_items = c.store.marks.policy ? 1 + (uint32_t)pick(r->t, 20) : 0;
    c.n = c.verb == V_STORE_RECOVER ? pick(r->t, 4) : pick(r->t, sizeof c.refs);
    c.got = pick(r->t, 0);
    if (c.verb == V_STORE_INIT)
        (void)amx_publish(r->slot[who], c.ref);
    int e = perform(r->slot, who, &c);
    answer(e);
    if (e)
        return;
    if (c.verb == V_STORE_CREATE || c.verb == V_STORE_INIT)
        r->store_block = c.verb == V_STORE_CREATE ? c.out : c.ref;
    if (c.verb == V_MSG_STORE || c.verb == V_MSG_STORE_WAIT || c.verb == V_MSG_COPY || c.verb == V_MSG_RESERVE)
        *some_token(r) = c.out;
    lent(r, who, &c);
}

static void store_step(struct run *r, uint32_t who)
{
    deal(r, who, pick(r->t, 3) ? MESSAGES_FROM : 0);
}

static void message_step(struct run *r, uint32_t who)
{
    deal(r, who, MESSAGES_FROM);
}

/* What its users have in hand. */
static void know_store(struct run *r)
{
    struct amx_store s;
    must(amx_stores(r->slot[P], note_store, r) <= 1);
    if (!amx_store_attach_block(r->slot[P], r->store_block, NULL, &s))
        answer(amx_store_walk(&s, note_message, r));
}

/* Everything that only looks, and what a read-only handle refuses. */
static void store_looks(struct run *r, amx_t *h)
{
    struct amx_store s;
    struct amx_message_header head;
    struct amx_store_stats n = {.struct_size = sizeof n};
    struct amx_pool_check_result c = {.struct_size = sizeof c};
    enum amx_watermark level;
    uint64_t items, bytes;
    uint32_t room, memory;
    int e = amx_stores(h, note_store, r);
    must(e <= 1);
    e = amx_store_attach_block(h, r->store_block, NULL, &s);
    answer(e);
    if (e)
        return;
    must(amx_store_capacity(&s) == s.config.depth && s.config.depth <= AMX_STORE_DEPTH);
    answer(amx_store_check(&s, note_finding, r, &c));
    answer(amx_store_walk(&s, note_message, r));
    answer(amx_store_stat(&s, &n));
    must(n.used <= s.config.depth);
    answer(amx_store_watermark(&s, &level, &items, &bytes));
    must(items <= s.config.depth);
    answer(amx_store_available(&s, &room));
    answer(amx_store_memory_class(&s, &memory));
    for (uint64_t i = 0; i < 4; i++) { /* the message itself, another life, one beside it, something else */
        amx_token t = *some_token(r) ^ (amx_token[]) { 0, 1, UINT64_C(1) << 32, pick(r->t, 0) }[i];
        struct amx_read read;
        struct amx_write write;
        answer(amx_msg_peek_header(&s, t, &head));
        e = amx_msg_read(&s, t, &read);
        answer(e);
        if (!e) {
            must(read.size <= s.config.payload_max);
            payload(h, read.payload, read.size, false);
            amx_read_end(&read);
        }
        e = pick(r->t, 2) ? amx_msg_read_mut(&s, t, &write) : amx_msg_recover(&s, t, &write);
        answer(e);
        if (!e) {
            payload(h, write.payload, write.capacity, true);
            answer(amx_write_end(&write));
        }
        if (h->tag == 0 || pick(r->t, 4) == 0)
            answer(amx_msg_free(&s, t));
    }
    if (h->tag == 0) {
        amx_token t;
        answer(amx_msg_store(&s, NULL, NULL, 0, &t));
        answer(amx_store_evict(&s, &t));
        answer(amx_store_remove(&s));
    }
}

#endif
