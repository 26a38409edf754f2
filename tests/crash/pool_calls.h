/* SPDX-License-Identifier: Apache-2.0 */
/* The calls on slot pools as data: the second half of calls.h, which includes this behind struct call. */
#ifndef AMX_TEST_POOL_CALLS_H
#define AMX_TEST_POOL_CALLS_H

#include "slot.h"

enum pool_verb {
    V_POOL_CREATE = VERBS,
    V_POOL_INIT,
    V_POOL_ATTACH,
    V_POOL_PLAIN_INIT,
    V_POOL_PLAIN_ATTACH,
    V_POOL_EXTEND,
    V_POOL_REMOVE,
    V_POOL_RECOVER,
    V_POOL_QUOTA,
    V_POOL_LOOK,
    V_SLOT_ALLOC,
    V_SLOT_WAIT,
    V_SLOT_FREE,
    V_SLOT_PUBLISH,
    V_SLOT_ADOPT,
    V_SLOT_GIVE,
    V_SLOT_SET_STATE,
    V_SLOT_TRANSITION,
    ALL_VERBS
};

static inline const char *name_of_verb(uint32_t verb)
{
    static const char *const pool[ALL_VERBS - VERBS] = {
        "pool_create", "pool_init_block", "pool_attach_block", "pool_init", "pool_attach",    "pool_extend",
        "pool_remove", "pool_recover",    "pool_set_quota",    "pool_look", "slot_alloc",     "slot_alloc_wait",
        "slot_free",   "slot_publish",    "slot_adopt",        "slot_give", "slot_set_state", "slot_transition"};
    return verb < VERBS ? verb_name[verb] : pool[verb - VERBS];
}

/* What the handles of this process see of the one pool that there is. */
static struct amx_pool pool_view[SLOTS];

static inline int one_slot(const struct amx_pool_slot *s, void *ctx)
{
    *(uint64_t *)ctx += s->state != AMX_STATE_FREE;
    return 0;
}

static inline int look_at_pool(const struct amx_pool *p, struct call *c)
{
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    struct amx_pool_stats s = {.struct_size = sizeof s};
    int e = amx_pool_check(p, NULL, NULL, &r);
    for (uint32_t k = 0; !e && k < amx_pool_class_count(p); k++)
        e = amx_pool_stat(p, k, &s);
    c->got = 0;
    return e ? e : amx_pool_walk(p, one_slot, &c->got);
}

/* A pool outside of segments, as far as it knows: in a block's payload. */
static inline int plain_pool(amx_t *h, struct amx_pool *p, const struct call *c, const struct amx_pool_config *k)
{
    void *region;
    size_t len;
    int e = amx_ptr(h, c->ref, &region);
    if (e || (e = amx_usable(h, c->ref, &len)))
        return e;
    return c->verb == V_POOL_PLAIN_INIT ? amx_pool_init(region, len, (size_t)c->offset, k, p)
                                        : amx_pool_attach(region, len, (size_t)c->offset, NULL, p);
}

/* ref is the block of a pool, else the slot; to: its owner, or who is given it. */
static inline int perform_pool(amx_t *h, struct amx_pool *p, struct call *c)
{
    const struct amx_pool_config k = {.n = c->cls[1].count ? 2 : 1, .cls = {c->cls[0], c->cls[1]}};
    switch ((enum pool_verb)c->verb) {
    case V_POOL_CREATE:
        return amx_pool_create(h, &k, &c->out, p);
    case V_POOL_INIT:
        return amx_pool_init_block(h, c->ref, (size_t)c->offset, &k, p);
    case V_POOL_ATTACH:
        return amx_pool_attach_block(h, c->ref, (size_t)c->offset, NULL, p);
    case V_POOL_PLAIN_INIT:
    case V_POOL_PLAIN_ATTACH:
        return plain_pool(h, p, c, &k);
    case V_POOL_EXTEND:
        return amx_pool_extend(p, (uint32_t)c->n, c->count);
    case V_POOL_REMOVE:
        return amx_pool_remove(p);
    case V_POOL_RECOVER:
        return amx_pool_recover(p, c->to, &c->got, NULL);
    case V_POOL_QUOTA:
        return amx_pool_set_quota(p, c->count);
    case V_POOL_LOOK:
        return look_at_pool(p, c);
    case V_SLOT_ALLOC:
        return amx_pool_alloc(p, c->n, c->to, &c->out);
    case V_SLOT_WAIT:
        return amx_pool_alloc_wait(p, c->n, c->to, 0, &c->out);
    case V_SLOT_FREE:
        return amx_pool_free(p, c->ref);
    case V_SLOT_PUBLISH:
        return amx_pool_publish(p, c->ref);
    case V_SLOT_ADOPT:
        return amx_pool_adopt(p, c->ref, c->to);
    case V_SLOT_GIVE:
        return amx_pool_give(p, c->ref, c->to, &c->out);
    case V_SLOT_SET_STATE:
        return amx_pool_set_state(p, c->ref, c->state);
    case V_SLOT_TRANSITION:
        return amx_pool_transition(p, c->ref, c->state, c->next, NULL);
    case ALL_VERBS:
        break;
    }
    return AMX_E_INVAL;
}

#endif
