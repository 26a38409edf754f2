/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages. Storing: 1 a slot becomes ours (slot.c); 2 its contents are written; 3 its word becomes STORED. Changing: 1 the
 * message is claimed (guard.c); 2 CLAIMED becomes WRITING; 3 its contents are changed; 4 WRITING becomes STORED. Freeing: 1 as
 * there; 2 the word becomes FREE; 3 its hint is set. The states tell where somebody died; store.h says what becomes of them.
 */
#include "message.h"
#include "os.h"
#include "word.h"

#include <string.h>

/* --- Finding ----------------------------------------------------------------------------------------------------- */

static inline int find(const struct amx_store *s, amx_token token, struct amxi_place *p)
{
    int e = amxi_store_admit(s, AMXI_POOL_WRITE);
    return e ? e : amxi_store_locate(s, token, p);
}

/* The size is loaded once, then checked. */
static int size_of(const struct amx_store *s, const struct amxi_message_body *m, uint32_t *size)
{
    *size = amxi_ld32_rlx(&m->size);
    return *size <= s->config.payload_max ? AMX_OK : AMX_E_CORRUPT;
}

/* --- Ending ------------------------------------------------------------------------------------------------------ */

int amxi_message_end(struct amx_store *s, struct amxi_place *p)
{
    int e = amxi_word_move(p->word, &p->w, AMXI_W0(AMX_STATE_FREE, 0, AMXI_W0_GEN(p->w)));
    if (!e)
        amxi_slot_now_free(s->part.base, &s->part, p->i);
    return e;
}

/* Something that others may wait for has changed. */
static void wake(const struct amx_store *s)
{
    amxi_a32 *wait = &amxi_store_head_at(s->base)->wait;
    uint32_t w = amxi_ld32_sc(wait);
    /* clears the flag and changes the word in one step; relaxed: who announces after that looks again later than our load.
     * Lost: another wakes them. A read guard was ended by a release: its waiter may not have seen that, nor we his flag; then
     * he looks by himself */
    if (AMXI_UNLIKELY(w & 1) && amxi_cas32_rlx(wait, &w, w + 1))
        amxi_os_futex_wake_all(wait);
}

/* --- Storing ----------------------------------------------------------------------------------------------------- */

static void write_header(const struct amx_store *s, struct amxi_message_body *m,
                         const struct amx_message_header *header, uint32_t size)
{
    static const struct amx_message_header none = AMX_MESSAGE_HEADER_INIT;
    m->header = header ? *header : none;
    m->header.payload_size = size;
    m->header.type_id = s->config.type_id ? s->config.type_id : m->header.type_id;
    m->header.memory = (uint8_t)s->config.memory;
}

static int take(struct amx_store *s, size_t size, struct amxi_place *p, struct amxi_verdict *v)
{
    bool look_for_dead = s->h;
    for (;;) { /* each turn more, one of the oldest has gone, and another was faster to take its place */
        amx_slot slot;
        int e = amxi_slot_take(s->h, &s->part, s->owner, &slot); /* 1 */
        if (!e) {
            amxi_place_at(s, AMX_SLOT_INDEX(slot), p);
            p->w = amxi_ld64_rlx(p->word); /* ours */
            return AMX_OK;
        }
        if (e != AMX_E_NOMEM)
            return e;
        amxi_slot_exhausted(&s->part);
        if (look_for_dead) {
            look_for_dead = false;
            if (s->recover(s->h))
                continue;
        }
        if (!s->config.marks.policy || (e = amxi_admission_room(s, size, v)) || v->dropped)
            return e;
    }
}

static int reserve(struct amx_store *s, const struct amx_message_header *header, size_t size, struct amxi_place *p,
                   struct amxi_verdict *v)
{
    *v = (struct amxi_verdict){false, false};
    int e = amxi_store_admit(s, AMXI_POOL_WRITE);
    if (e)
        return e;
    if (size > s->config.payload_max)
        return AMX_E_TOO_BIG;
    if (header && header->type_id && s->config.type_id && header->type_id != s->config.type_id)
        return AMX_E_TYPE;
    if ((e = take(s, size, p, v)) || v->dropped)
        return e;
    uint32_t n = (uint32_t)size;
    write_header(s, p->m, header, n); /* 2 */
    if (!s->config.marks.policy) {
        amxi_st32_rlx(&p->m->size, n); /* 2 nobody counts */
        return AMX_OK;
    }
    amxi_st32_sc(&p->m->size, n); /* 2 sc: of two who take the last room, one sees the other (admission.c) */
    amxi_st64_rlx(&p->m->order, amxi_add64_rlx(&amxi_store_head_at(s->base)->order, 1) + 1); /* 2 */
    if ((e = amxi_admission(s, v)) || v->dropped)
        (void)amxi_message_end(s, p);
    return e;
}

int amx_msg_reserve(struct amx_store *store, const struct amx_message_header *header, size_t size,
                    struct amx_write *out)
{
    struct amxi_place p;
    struct amxi_verdict v;
    if (!out)
        return AMX_E_INVAL;
    *out = (struct amx_write){0};
    int e = reserve(store, header, size, &p, &v);
    if (e || v.dropped)
        return e;
    *out = (struct amx_write){&p.m->header,   amxi_payload_of(p.m),   (uint32_t)size,
                              (uint32_t)size, AMXI_SLOT(0, p.i, p.w), store};
    store->held++;
    return AMX_OK;
}

int amx_msg_store(struct amx_store *store, const struct amx_message_header *header, const void *payload, size_t size,
                  amx_token *out)
{
    struct amxi_place p;
    struct amxi_verdict v;
    int e = out && (payload || !size) ? reserve(store, header, size, &p, &v) : AMX_E_INVAL;
    if (e)
        return e;
    if (v.dropped) {
        *out = AMX_TOKEN_INVALID;
        return AMX_OK;
    }
    if (size)
        memcpy(amxi_payload_of(p.m), payload, size);                                  /* 2 */
    e = amxi_word_move(p.word, &p.w, AMXI_W0(AMX_STATE_STORED, 0, AMXI_W0_GEN(p.w))); /* 3 */
    if (!e)
        *out = AMXI_SLOT(0, p.i, p.w);
    return e;
}

/* --- Reading ----------------------------------------------------------------------------------------------------- */

int amx_msg_read(struct amx_store *store, amx_token token, struct amx_read *out)
{
    struct amxi_place p;
    uint32_t guard, size;
    if (!out)
        return AMX_E_INVAL;
    out->store = NULL;
    int e = find(store, token, &p);
    if (e || (e = amxi_guard_take(store, &p, token, &guard)))
        return e;
    if ((e = size_of(store, p.m, &size))) {
        amxi_guard_drop(store, p.i, guard);
        return e;
    }
    *out = (struct amx_read){&p.m->header, amxi_payload_of(p.m), size, token, store, guard};
    store->held++;
    return AMX_OK;
}

void amx_read_end(struct amx_read *guard)
{
    struct amx_store *s = guard ? guard->store : NULL;
    if (!s)
        return;
    guard->store = NULL;
    if (amxi_store_admit(s, AMXI_POOL_WRITE)) /* in a forked child the guard is the parent's */
        return;
    s->held -= s->held != 0;
    amxi_guard_drop(s, AMX_SLOT_INDEX(guard->token), guard->guard);
    wake(s);
}

int amx_msg_peek_header(struct amx_store *store, amx_token token, struct amx_message_header *out)
{
    struct amx_read g;
    int e = out ? amx_msg_read(store, token, &g) : AMX_E_INVAL;
    if (e)
        return e;
    *out = *g.header;
    amx_read_end(&g);
    return AMX_OK;
}

int amx_msg_copy(struct amx_store *from, amx_token token, struct amx_store *to, amx_token *out)
{
    struct amx_read g;
    int e = out ? amx_msg_read(from, token, &g) : AMX_E_INVAL;
    if (e)
        return e;
    e = amx_msg_store(to, g.header, g.payload, g.size, out);
    amx_read_end(&g);
    return e;
}

/* --- Changing ---------------------------------------------------------------------------------------------------- */

static int lend(struct amx_store *s, struct amxi_place *p, amx_token token, struct amx_write *out)
{
    uint32_t size;
    if (size_of(s, p->m, &size))
        size = 0; /* whoever mends it finds it empty */
    /* what grows would have to be admitted anew */
    const uint32_t most = s->config.marks.hard_bytes ? size : s->config.payload_max;
    *out = (struct amx_write){&p->m->header, amxi_payload_of(p->m), size, most, token, s};
    s->held++;
    return AMX_OK;
}

int amx_msg_read_mut(struct amx_store *store, amx_token token, struct amx_write *out)
{
    struct amxi_place p;
    uint32_t size;
    if (!out)
        return AMX_E_INVAL;
    out->store = NULL;
    int e = find(store, token, &p);
    if (e || (e = amxi_word_says(amxi_ld64_rlx(p.word), token)) || (e = amxi_message_claim(store, &p, token))) /* 1 */
        return e;
    if (AMXI_W0_STATE(p.w) != AMX_STATE_CLAIMED) { /* it was poisoned in between */
        (void)amxi_word_move(p.word, &p.w, AMXI_W0(AMX_STATE_POISONED, 0, AMXI_W0_GEN(p.w)));
        return AMX_E_POISONED;
    }
    if ((e = size_of(store, p.m, &size))) {
        (void)amxi_word_move(p.word, &p.w, AMXI_W0(AMX_STATE_STORED, 0, AMXI_W0_GEN(p.w)));
        return e;
    }
    e = amxi_word_move(p.word, &p.w, AMXI_W0(AMX_STATE_WRITING, store->owner, AMXI_W0_GEN(p.w))); /* 2 */
    return e ? e : lend(store, &p, token, out);
}

int amx_msg_recover(struct amx_store *store, amx_token token, struct amx_write *out)
{
    struct amxi_place p;
    if (!out)
        return AMX_E_INVAL;
    out->store = NULL;
    int e = find(store, token, &p);
    if (e)
        return e;
    e = amxi_word_says(amxi_ld64_rlx(p.word), token);
    if (e != AMX_E_POISONED)
        return e ? e : AMX_E_STATE;
    if ((e = amxi_message_claim(store, &p, token)))
        return e;
    if (AMXI_W0_STATE(p.w) == AMX_STATE_WRITING)
        return lend(store, &p, token, out);
    (void)amxi_word_move(p.word, &p.w, AMXI_W0(AMX_STATE_STORED, 0, AMXI_W0_GEN(p.w))); /* another has mended it */
    return AMX_E_STATE;
}

/* Ends a write guard; its message goes into `state`. Nothing of it is touched before it is known to be ours still. */
static int finish(struct amx_write *g, uint32_t state)
{
    struct amxi_place p;
    struct amx_store *s = g ? g->store : NULL;
    if (!s)
        return AMX_E_STALE;
    if (state == AMX_STATE_STORED && g->size > g->capacity)
        return AMX_E_TOO_BIG;
    int e = find(s, g->token, &p);
    if (e)
        return e; /* its process was forked, say: not ours to end */
    g->store = NULL;
    s->held -= s->held != 0;
    p.w = amxi_ld64_rlx(p.word); /* ours since we claimed it */
    const bool reserved = AMXI_W0_STATE(p.w) == AMX_STATE_ALLOCATED;
    if ((!reserved && AMXI_W0_STATE(p.w) != AMX_STATE_WRITING) || AMXI_W0_OWNER(p.w) != s->owner ||
        AMXI_W0_LIFE(p.w) != AMXI_SLOT_GEN(g->token))
        return AMX_E_STALE;
    if (state == AMX_STATE_STORED) {
        /* 3 release: who counts it sees that the place is taken. Where bytes have a mark it only shrinks: seen late, it counts
         * for too much */
        amxi_st32_rel(&p.m->size, g->size);
        struct amx_message_header h = p.m->header;
        write_header(s, p.m, &h, g->size);
    }
    if (state == AMX_STATE_FREE || (reserved && state == AMX_STATE_POISONED)) /* its token is nobody's yet */
        e = amxi_message_end(s, &p);
    else
        e = amxi_word_move(p.word, &p.w, AMXI_W0(state, 0, AMXI_W0_GEN(p.w))); /* 4 */
    wake(s);
    return e;
}

int amx_write_end(struct amx_write *guard)
{
    return finish(guard, AMX_STATE_STORED);
}

int amx_msg_poison(struct amx_write *guard)
{
    return finish(guard, AMX_STATE_POISONED);
}

int amx_msg_discard(struct amx_write *guard)
{
    return finish(guard, AMX_STATE_FREE);
}

void amx_write_scope_(struct amx_write *guard)
{
    if (guard && guard->store && amx_write_end(guard) == AMX_E_TOO_BIG)
        (void)amx_msg_poison(guard);
}

int amx_msg_free(struct amx_store *store, amx_token token)
{
    struct amxi_place p;
    int e = find(store, token, &p);
    if (e)
        return e;
    e = amxi_message_claim(store, &p, token); /* 1 */
    if (e == AMX_E_STALE && AMXI_W0_STATE(p.w) == AMX_STATE_FREE && AMXI_W0_LIFE(p.w) == AMXI_SLOT_GEN(token))
        return AMX_E_DOUBLE_FREE;
    if (e)
        return e == AMX_E_BORROWED ? AMX_E_BORROW_ACTIVE : e;
    e = amxi_message_end(store, &p); /* 2, 3 */
    wake(store);
    return e;
}

/* --- With a time-out --------------------------------------------------------------------------------------------- */

#define SLICE_NS UINT64_C(10000000)

/* A call that may be repeated. */
struct call {
    struct amx_store *store;
    amx_token token, *stored;
    const struct amx_message_header *header;
    const void *payload;
    size_t size;
    struct amx_read *read;
    struct amx_write *write;
    int (*make)(const struct call *c);
};

static int passing(int e)
{
    return e == AMX_E_NOMEM || e == AMX_E_FULL || e == AMX_E_BORROWED || e == AMX_E_BORROW_ACTIVE || e == AMX_E_BUSY;
}

static int repeat(const struct call *c, uint64_t timeout_ns)
{
    uint64_t start = 0;
    for (;;) {
        int e = c->make(c);
        if (!passing(e))
            return e;
        if (!start)
            start = amxi_os_mono_ns();
        amxi_a32 *wait = &amxi_store_head_at(c->store->base)->wait;
        uint32_t w = amxi_or32_sc(wait, 1) | 1; /* announce, then look again: see wake */
        e = c->make(c);
        if (!passing(e))
            return e;
        uint64_t past = amxi_os_mono_ns() - start;
        if (past >= timeout_ns)
            return AMX_E_TIMEOUT;
        uint64_t left = timeout_ns - past;
        amxi_os_futex_wait(wait, w, left < SLICE_NS ? left : SLICE_NS);
        if (c->store->h)
            (void)c->store->recover(c->store->h); /* whoever stands in the way may be dead */
    }
}

static int make_store(const struct call *c)
{
    return amx_msg_store(c->store, c->header, c->payload, c->size, c->stored);
}

static int make_read(const struct call *c)
{
    return amx_msg_read(c->store, c->token, c->read);
}

static int make_read_mut(const struct call *c)
{
    return amx_msg_read_mut(c->store, c->token, c->write);
}

static int make_free(const struct call *c)
{
    return amx_msg_free(c->store, c->token);
}

int amx_msg_store_wait(struct amx_store *store, const struct amx_message_header *header, const void *payload,
                       size_t size, uint64_t timeout_ns, amx_token *out)
{
    struct call c = {
        .store = store, .header = header, .payload = payload, .size = size, .stored = out, .make = make_store};
    return repeat(&c, timeout_ns);
}

int amx_msg_read_wait(struct amx_store *store, amx_token token, uint64_t timeout_ns, struct amx_read *out)
{
    struct call c = {.store = store, .token = token, .read = out, .make = make_read};
    return repeat(&c, timeout_ns);
}

int amx_msg_read_mut_wait(struct amx_store *store, amx_token token, uint64_t timeout_ns, struct amx_write *out)
{
    struct call c = {.store = store, .token = token, .write = out, .make = make_read_mut};
    return repeat(&c, timeout_ns);
}

int amx_msg_free_wait(struct amx_store *store, amx_token token, uint64_t timeout_ns)
{
    struct call c = {.store = store, .token = token, .make = make_free};
    return repeat(&c, timeout_ns);
}
