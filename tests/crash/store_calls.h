/* SPDX-License-Identifier: Apache-2.0 */
/* The calls on message stores as data: the third part of calls.h, which includes this. */
#ifndef AMX_TEST_STORE_CALLS_H
#define AMX_TEST_STORE_CALLS_H

enum store_verb {
    V_STORE_CREATE = ALL_VERBS,
    V_STORE_INIT,
    V_STORE_ATTACH,
    V_STORE_PLAIN_INIT,
    V_STORE_SCOPED,
    V_STORE_CLOSE,
    V_STORE_REMOVE,
    V_STORE_RECOVER,
    V_STORE_EVICT,
    V_STORE_LOOK,
    V_MSG_STORE,
    V_MSG_STORE_WAIT,
    V_MSG_COPY,
    V_MSG_RESERVE,
    V_MSG_WRITE,
    V_MSG_END,
    V_MSG_POISON,
    V_MSG_DISCARD,
    V_MSG_READ,
    V_MSG_READ_WAIT,
    V_MSG_READ_END,
    V_MSG_PEEK,
    V_MSG_READ_MUT,
    V_MSG_READ_MUT_WAIT,
    V_MSG_MEND,
    V_MSG_FREE,
    V_MSG_FREE_WAIT,
    EVERY_VERB
};

static inline const char *name_of_store_verb(uint32_t verb)
{
    static const char *const name[EVERY_VERB - ALL_VERBS] = {
        "store_create", "store_init_block", "store_attach_block", "store_init",        "store_scoped",
        "store_close",  "store_remove",     "store_recover",      "store_evict",       "store_look",
        "msg_store",    "msg_store_wait",   "msg_copy",           "msg_reserve",       "msg_write",
        "write_end",    "msg_poison",       "msg_discard",        "msg_read",          "msg_read_wait",
        "read_end",     "msg_peek_header",  "msg_read_mut",       "msg_read_mut_wait", "msg_recover",
        "msg_free",     "msg_free_wait"};
    return verb < ALL_VERBS ? name_of_verb(verb) : name[verb - ALL_VERBS];
}

/* What the handles of this process see of the one store that there is, and the guards that they hold. */
static struct amx_store store_view[SLOTS];
static struct amx_read msg_read[SLOTS];
static struct amx_write msg_write[SLOTS];

static inline int look_at_store(const struct amx_store *s, struct call *c)
{
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    struct amx_store_stats n = {.struct_size = sizeof n};
    enum amx_watermark level;
    int e = amx_store_check(s, NULL, NULL, &r);
    if (!e)
        e = amx_store_stat(s, &n);
    c->got = n.used;
    return e ? e : amx_store_watermark(s, &level, NULL, NULL);
}

/* Outside of segments, as far as it knows: in a block's payload. */
static inline int plain_store(amx_t *h, struct amx_store *s, const struct call *c)
{
    void *region;
    size_t len;
    int e = amx_ptr(h, c->ref, &region);
    return e || (e = amx_usable(h, c->ref, &len)) ? e : amx_store_init(region, len, &c->store, s);
}

enum { PLAIN_OWNER = 4 }; /* view of who is no thread of a plain store's process */

/* Such stores are for the threads of a process; a view for whoever finds one is made here, of nothing but its bytes. */
static inline int foreign_view(const amx_t *h, amx_ref block, const struct amx_store_config *k, struct amx_store *s)
{
    void *region;
    size_t len;
    struct amx_store_config c;
    int e = amx_ptr(h, block, &region);
    if (e || (e = amx_usable(h, block, &len)))
        return e;
    *s = (struct amx_store){.base = region, .config = *k};
    if (!amxi_store_read_config(s->base, &c))
        return AMX_E_LAYOUT;
    s->guards = k->threads ? amxi_view_at(s->base, 0) : NULL;
    s->own = k->threads ? amxi_view_at(s->base, PLAIN_OWNER - 1) : NULL;
    s->each = AMXI_VIEW_WORDS;
    s->owner = k->threads ? PLAIN_OWNER : 1;
    struct amx_pool pool;
    e = amx_pool_attach(region, len, sizeof(struct amxi_store_body) + k->threads * sizeof(struct amxi_view_body), NULL,
                        &pool);
    s->part = pool.part[0];
    return e;
}

/* What is written into a message: not by the library. */
static inline int write_message(struct amx_write *g, const struct call *c)
{
    if (!g->store)
        return AMX_E_STALE;
    g->header->sequence = c->got;
    memcpy(g->payload, c->refs, c->n);
    g->size = (uint32_t)c->n;
    return AMX_OK;
}

/* A handle's guard. A call that fails ends the guard that it is to fill, so it is not given the one that is held. */
static inline int reads(uint32_t who, int e, const struct amx_read *got)
{
    if (!e)
        msg_read[who] = *got;
    return e;
}

static inline int changes(uint32_t who, int e, const struct amx_write *got)
{
    if (!e)
        msg_write[who] = *got;
    return e;
}

/* ref: the store's block, or the message; got: the number that a new message has in its header, refs its payload. */
static inline int perform_store(amx_t *h, uint32_t who, struct call *c)
{
    struct amx_store *s = &store_view[who];
    struct amx_message_header head = AMX_MESSAGE_HEADER_INIT;
    struct amx_read r;
    struct amx_write w;
    int e;
    head.sequence = c->got;
    switch ((enum store_verb)c->verb) {
    case V_STORE_CREATE:
        return amx_store_create(h, &c->store, &c->out, s);
    case V_STORE_INIT:
        return amx_store_init_block(h, c->ref, &c->store, s);
    case V_STORE_ATTACH:
        return amx_store_attach_block(h, c->ref, NULL, s);
    case V_STORE_PLAIN_INIT:
        return plain_store(h, s, c);
    case V_STORE_SCOPED:
        return amx_store_scoped(&store_view[P], s);
    case V_STORE_CLOSE:
        return amx_store_close(s);
    case V_STORE_REMOVE:
        return amx_store_remove(s);
    case V_STORE_RECOVER:
        e = c->ref ? foreign_view(h, c->ref, &c->store, s) : AMX_OK;
        return e ? e : amx_store_recover(s, (uint32_t)c->n, NULL, NULL);
    case V_STORE_EVICT:
        return amx_store_evict(s, &c->out);
    case V_STORE_LOOK:
        return look_at_store(s, c);
    case V_MSG_STORE:
        return amx_msg_store(s, &head, c->refs, c->n, &c->out);
    case V_MSG_STORE_WAIT:
        return amx_msg_store_wait(s, &head, c->refs, c->n, 0, &c->out);
    case V_MSG_COPY:
        return amx_msg_copy(s, c->ref, s, &c->out);
    case V_MSG_RESERVE:
        e = amx_msg_reserve(s, &head, c->n, &w);
        c->out = e ? AMX_TOKEN_INVALID : w.token;
        return changes(who, e, &w);
    case V_MSG_WRITE:
        return write_message(&msg_write[who], c);
    case V_MSG_END:
        return amx_write_end(&msg_write[who]);
    case V_MSG_POISON:
        return amx_msg_poison(&msg_write[who]);
    case V_MSG_DISCARD:
        return amx_msg_discard(&msg_write[who]);
    case V_MSG_READ:
        return reads(who, amx_msg_read(s, c->ref, &r), &r);
    case V_MSG_READ_WAIT:
        return reads(who, amx_msg_read_wait(s, c->ref, 0, &r), &r);
    case V_MSG_READ_END:
        amx_read_end(&msg_read[who]);
        return AMX_OK;
    case V_MSG_PEEK:
        e = amx_msg_peek_header(s, c->ref, &head);
        c->got = head.sequence;
        return e;
    case V_MSG_READ_MUT:
        return changes(who, amx_msg_read_mut(s, c->ref, &w), &w);
    case V_MSG_READ_MUT_WAIT:
        return changes(who, amx_msg_read_mut_wait(s, c->ref, 0, &w), &w);
    case V_MSG_MEND:
        return changes(who, amx_msg_recover(s, c->ref, &w), &w);
    case V_MSG_FREE:
        return amx_msg_free(s, c->ref);
    case V_MSG_FREE_WAIT:
        return amx_msg_free_wait(s, c->ref, 0);
    case EVERY_VERB:
        break;
    }
    return AMX_E_INVAL;
}

#endif
