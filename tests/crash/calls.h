/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every public call as data, so that a play can be acted by this process (tests/hook) or by another one that is
 * stepped, stopped and killed meanwhile (tests/torture).
 */
#ifndef AMX_TEST_CRASH_CALLS_H
#define AMX_TEST_CRASH_CALLS_H

#include "amx_object.h"
#include "amx_pool.h"
#include "amx_raw.h"
#include "arena.h"
#include "message.h"
#include "tests/support.h"
#include "word.h"

enum { P, P2, Q, HANDLES, STRANGER = HANDLES, SURVIVOR, MORE, SLOTS = MORE + 8 }; /* handles; MORE...: further ones */
enum { CALL_REFS = 16 };

enum verb {
    V_ALLOC,
    V_ZALLOC,
    V_ALIGNED,
    V_WAIT,
    V_MANY,
    V_FREE,
    V_FREE_PTR,
    V_FREE_MANY,
    V_RAW_ALLOC,
    V_ACK,
    V_COALESCE,
    V_FREE_AT,
    V_RESIZE,
    V_WRITE,
    V_PUBLISH,
    V_ADOPT,
    V_GIVE,
    V_SET_STATE,
    V_TRANSITION,
    V_ROOT_SET,
    V_ROOT_CAS,
    V_TRIM,
    V_HEAL,
    V_RECOVER,
    V_RECOVER_TOLD,
    V_SHARE,
    V_UNSHARE,
    V_CREATE,
    V_ATTACH,
    V_CLOSE,
    V_UNLINK,
    V_OBJECT_ADD,
    V_OBJECT_REMOVE,
    V_WORD,
    V_WORD_GIVE,
    V_LOOK,
    VERBS
};

__attribute__((unused)) static const char *const verb_name[VERBS] = {
    "alloc",     "zalloc",    "alloc_aligned", "alloc_wait",       "alloc_many",    "free",         "free_ptr",
    "free_many", "raw_alloc", "raw_ack",       "raw_coalesce",     "raw_free_at",   "resize",       "write",
    "publish",   "adopt",     "give",          "set_state",        "transition",    "root_set",     "root_cas",
    "trim",      "heal",      "recover",       "recover, telling", "share",         "unshare",      "create",
    "attach",    "close",     "unlink",        "object_add",       "object_remove", "object_touch", "word_give",
    "look",
};

struct call {
    uint32_t verb;
    int32_t answer; /* out: what the call returned */
    uint64_t n;     /* bytes, count of references, index of a root, ticket */
    uint64_t align;
    amx_ref ref;
    uint64_t offset;
    amx_id to;
    uint32_t slot; /* of a further handle */
    uint32_t state, next, order;
    char path[128]; /* attach: "" for the descriptor of the slot's neighbour */
    uint64_t size;  /* create */
    uint32_t sector;
    uint32_t count; /* of refs */
    uint32_t peers, handles;
    struct amx_pool_class cls[2]; /* of a pool */
    struct amx_store_config store;
    amx_ref refs[CALL_REFS];
    /* out */
    amx_ref out;
    uint64_t got; /* blocks; in and out: an object's id */
    uint32_t tag;
    amx_id id;
    uint64_t ticket;
};
#define CALL(...) (&(struct call){__VA_ARGS__})

#include "pool_calls.h"
#include "store_calls.h"

static inline void introduce(struct call *c, const amx_t *h)
{
    c->tag = h->tag;
    c->id = amx_handle_id(h);
    c->ticket = h->seg->ticket;
}

static inline int enter_segment(amx_t **slot, uint32_t who, struct call *c, bool make)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    o.size = c->size;
    o.sector_size = c->sector;
    o.peers = c->peers;
    o.handles = c->handles;
    o.guards = 1;
    o.map_hint = test_hint(who);

    o.peer_name = who == STRANGER ? "stranger" : who == SURVIVOR ? "survivor" : NULL;
    int e = make         ? amx_create(c->path, &o, &slot[who])
            : c->path[0] ? amx_attach(c->path, &o, &slot[who])
                         : amx_attach_fd(amx_fd(slot[P]), &o, &slot[who]);
    if (!e)
        introduce(c, slot[who]);
    return e;
}

static inline int look_at_all(const amx_t *h)
{
    struct amx_stats s = {.struct_size = sizeof s};
    struct amx_check_result r = {.struct_size = sizeof r};
    int e = amx_stat(h, &s);
    return e ? e : amx_check(h, NULL, NULL, &r);
}

/* Kept blocks stay nobody's; counts them, and kept words. */
static inline int is_told(const struct amx_kept *k, void *ctx)
{
    *(uint64_t *)ctx += k->how == AMX_KEPT_STATE || k->how == AMX_KEPT_WORD;
    return 0;
}

/* An object of lifecycle words, two of them in 32 bytes. Those of the dead get c->state. */
static inline int add_object(amx_t *h, struct call *c)
{
    const struct amx_object o = {
        .struct_size = sizeof o, .ref = c->ref, .kind = 7, .count = c->count, .stride = 16, .to = (uint16_t)c->state};
    return amx_object_add(h, &o, &c->got);
}

/* Makes a word of the object ours in state c->next, or nobody's if c->n is 0. */
static inline int take_word(amx_t *h, const struct call *c)
{
    void *p;
    int e = amx_ptr(h, c->ref, &p);
    if (!e)
        e = amx_object_touch(h, c->got);
    if (e)
        return e;
    amxi_a64 *word = (amxi_a64 *)p + c->offset / 8;
    uint64_t w = amxi_ld64_acq(word); /* pairs with the exchange below */
    if (AMXI_W0_STATE(w) != c->state)
        return AMX_E_STATE;
    return amxi_cas64_ar(word, &w, AMXI_W0(c->next, c->n ? h->tag : 0, AMXI_W0_GEN(w) + 1)) ? AMX_OK : AMX_E_BUSY;
}

/* Gives a word of the object to another handle. */
static inline int give_word(amx_t *h, const struct call *c)
{
    void *p;
    int e = amx_ptr(h, c->ref, &p);
    if (e)
        return e;
    amxi_a64 *word = (amxi_a64 *)p + c->offset / 8;
    uint64_t w = amxi_ld64_acq(word); /* as in take_word */
    return amxi_word_give(h, c->got, word, &w, (uint32_t)AMXI_W0_GEN(w), c->to);
}

/* Does it with the handle of `who`, and leaves the results in c. Everything that it changes in the segment, the call of
 * the library changes: payloads too (V_WRITE copies the references). */
static inline int perform(amx_t **slot, uint32_t who, struct call *c)
{
    amx_t *h = slot[who];
    void *p = NULL;
    size_t got = 0;
    int e;
    if (c->verb >= ALL_VERBS)
        return perform_store(h, who, c);
    if (c->verb >= VERBS)
        return perform_pool(h, &pool_view[who], c);
    switch ((enum verb)c->verb) {
    case V_ALLOC:
        return amx_alloc(h, c->n, &c->out);
    case V_ZALLOC:
        return amx_zalloc(h, c->n, &c->out);
    case V_ALIGNED:
        return amx_alloc_aligned(h, c->align, c->n, &c->out);
    case V_WAIT:
        return amx_alloc_wait(h, c->n, 0, &c->out);
    case V_MANY:
        e = amx_alloc_many(h, c->n, c->count, c->refs, &got);
        c->got = got;
        return e;
    case V_FREE:
        return amx_free(h, c->ref);
    case V_FREE_PTR:
        e = amx_ptr(h, c->ref, &p);
        return e ? e : amx_free_ptr(h, p);
    case V_FREE_MANY:
        e = amx_free_many(h, c->refs, c->count, &got);
        c->got = got;
        return e;
    case V_RAW_ALLOC:
        return amx_raw_allocate(h, c->n, &c->offset);
    case V_ACK:
        return amx_raw_ack(h, c->offset);
    case V_COALESCE:
        return amx_raw_coalesce(h, c->offset);
    case V_FREE_AT:
        return amx_raw_free_at(h, c->offset);
    case V_RESIZE:
        return amx_resize(h, c->ref, c->n, &c->out);
    case V_WRITE:
        return amx_write(h, c->ref, c->refs, c->n);
    case V_PUBLISH:
        return amx_publish(h, c->ref);
    case V_ADOPT:
        return amx_adopt(h, c->ref);
    case V_GIVE:
        return amx_give(h, c->ref, c->to, &c->out);
    case V_SET_STATE:
        return amx_set_state(h, c->ref, c->state);
    case V_TRANSITION:
        return amx_transition(h, c->ref, c->state, c->next, (enum amx_order)c->order, NULL);
    case V_ROOT_SET:
        return amx_root_set(h, (unsigned)c->n, c->ref);
    case V_ROOT_CAS:
        return amx_root_cas(h, (unsigned)c->n, c->ref, c->to, NULL);
    case V_TRIM:
        return amx_trim(h);
    case V_HEAL:
        return amx_heal(h);
    case V_RECOVER:
        return recover_all(h, &c->got);
    case V_RECOVER_TOLD:
        return amx_recover(h, 0, is_told, &c->got, NULL);
    case V_SHARE:
        e = amx_share(h, &slot[c->slot]);
        if (!e)
            introduce(c, slot[c->slot]);
        return e;
    case V_UNSHARE:
        return amx_unshare(slot[c->slot]);
    case V_CREATE:
        return enter_segment(slot, who, c, true);
    case V_ATTACH:
        return enter_segment(slot, who, c, false);
    case V_CLOSE:
        return amx_close(h);
    case V_UNLINK:
        return amx_unlink(c->path, NULL);
    case V_OBJECT_ADD:
        return add_object(h, c);
    case V_OBJECT_REMOVE:
        return amx_object_remove(h, c->got);
    case V_WORD:
        return take_word(h, c);
    case V_WORD_GIVE:
        return give_word(h, c);
    case V_LOOK:
        return look_at_all(h);
    case VERBS:
        break;
    }
    return AMX_E_INVAL;
}

#endif
