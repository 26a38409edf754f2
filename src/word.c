/* SPDX-License-Identifier: Apache-2.0 */
#include "word.h"
#include "amx_object.h"
#include "block.h"
#include "peer.h"

static bool cas_by(enum amx_order order, amxi_a64 *p, uint64_t *old, uint64_t v)
{
    switch (order) {
    case AMX_RELAXED:
        return amxi_cas64_rlx(p, old, v);
    case AMX_ACQUIRE:
        return amxi_cas64_acq(p, old, v);
    case AMX_RELEASE:
        return amxi_cas64_rel(p, old, v);
    case AMX_ACQ_REL:
        return amxi_cas64_ar(p, old, v);
    case AMX_SEQ_CST:
        return amxi_cas64_sc(p, old, v);
    }
    return false; /* the caller has checked */
}

int amxi_word_change(amxi_a64 *word, uint64_t *w, uint32_t gen, struct amxi_change *c)
{
    for (;;) { /* ends when the word stands still: each loss is another's change of this very word */
        uint32_t state = AMXI_W0_STATE(*w), owner = AMXI_W0_OWNER(*w);
        if (AMXI_W0_LIFE(*w) != gen || !amxi_state_live(state))
            return AMX_E_STALE;
        if (c->expected != AMXI_CHANGE_ANY && state != c->expected)
            return AMX_E_STATE;
        if ((c->of_nobody && owner) || (c->of_somebody && !owner))
            return AMX_E_OWNER;
        uint64_t to = AMXI_W0(c->state == AMXI_CHANGE_ANY ? state : c->state,
                              c->owner == AMXI_CHANGE_ANY ? owner : c->owner, AMXI_W0_GEN(*w) + c->next_gen);
        /* releases to whoever looks the word up, acquires from who changed it last */
        if (cas_by(c->order, word, w, to)) {
            c->was = owner;
            *w = to;
            return AMX_OK;
        }
    }
}

int amxi_word_publish(const amx_t *h, amx_ref block)
{
    struct amxi_at at;
    struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, 0, false, true, false, AMX_ACQ_REL, 0};
    int e = amxi_find(h, block, h->units, &at);
    return e ? e : amxi_word_change(&at.b->w0, &at.w, AMXI_REF_GEN(block), &c);
}

int amxi_word_recover(amx_t *h)
{
    struct amx_recovery r = {.struct_size = sizeof r};
    if (h->seg->manual)
        return false;
    (void)amx_recover(h, 0, NULL, NULL, &r); /* in part: what it could not reach the next call looks for */
    return r.words != 0;
}

int amxi_word_refuse(const amx_t *h, bool write)
{
    int e = amxi_refuse(h);
    return e == AMX_E_READONLY && !write ? AMX_OK : e;
}

amx_id amxi_word_owner(const amx_t *h, uint32_t tag, bool *dead)
{
    *dead = true;
    if (!tag || tag > h->seg->g.handles)
        return 0;
    /* acquire: who finds him dead, then the word still his, has not looked at the word first */
    uint64_t w = amxi_ld64_acq(&amxi_handle(h->seg, tag - 1)->word);
    uint32_t st = AMXI_H_STATUS(w);
    *dead = st != AMXI_H_OPENING && st != AMXI_H_OPEN && st != AMXI_H_CLOSED;
    return st == AMXI_H_FREE ? 0 : AMXI_ID(tag, AMXI_H_EPOCH(w));
}

bool amxi_word_gone(const amx_t *h, amx_id id)
{
    uint64_t w = amxi_ld64_rlx(&amxi_handle(h->seg, AMXI_ID_TAG(id) - 1)->word); /* for people: a sample */
    uint32_t peer = AMXI_H_PEER(w);
    if (AMXI_H_EPOCH(w) != AMXI_ID_EPOCH(id) || peer >= h->seg->g.peers)
        return false;
    /* acquire: as in amxi_word_owner, of one whom another has found dead */
    uint64_t p = amxi_ld64_acq(&amxi_peer(h->seg, peer)->word);
    return AMXI_PEER_STATUS(p) == AMXI_PEER_DEAD ||
           (AMXI_PEER_STATUS(p) == AMXI_PEER_LIVE && amxi_peer_dead(h->seg, peer, AMXI_PEER_TICKET(p)));
}

bool amxi_word_alive(const amx_t *h, amx_id to, bool closed_too)
{
    uint64_t w = amxi_ld64_sc(&amxi_handle(h->seg, AMXI_ID_TAG(to) - 1)->word);
    uint32_t st = AMXI_H_STATUS(w);
    return AMXI_H_EPOCH(w) == AMXI_ID_EPOCH(to) && (st == AMXI_H_OPEN || (closed_too && st == AMXI_H_CLOSED));
}

int amxi_word_giving(const amx_t *h, amx_id to)
{
    if (AMXI_ID_TAG(to) - 1u >= h->seg->g.handles || !AMXI_ID_EPOCH(to))
        return AMX_E_INVAL;
    amxi_st32_sc(&amxi_handle(h->seg, h->tag - 1)->giving, AMXI_ID_TAG(to)); /* pairs with given_to of recover.c */
    return AMX_OK;
}

void amxi_word_given(const amx_t *h)
{
    /* pairs with given_to: who sees that we have done sees what */
    amxi_st32_rel(&amxi_handle(h->seg, h->tag - 1)->giving, 0);
}

int amxi_word_take_back(const amx_t *h, amxi_a64 *word, uint64_t *w, amx_id to, uint32_t was)
{
    uint32_t tag = AMXI_ID_TAG(to), from = was ? h->tag : 0;
    uint64_t gen = AMXI_W0_GEN(*w);
    while (AMXI_W0_GEN(*w) == gen && AMXI_W0_OWNER(*w) == tag && amxi_state_live(AMXI_W0_STATE(*w))) {
        uint64_t back = AMXI_W0(AMXI_W0_STATE(*w), from, gen + 1);
        if (amxi_cas64_rlx(word, w, back)) { /* whoever has the new reference looks the word up, we too */
            *w = back;
            return AMX_E_PEER_DEAD;
        }
    }
    *w = AMXI_W0(0, 0, gen);
    return AMX_OK;
}

void amxi_word_guards(const amx_t *h, struct amxi_guards *out)
{
    *out = (struct amxi_guards){.all = amxi_guard(h->seg, 0, 0),
                                .own = h->tag ? amxi_guard(h->seg, h->tag - 1, 0) : NULL,
                                .base = h->seg->base,
                                .writable = &h->units,
                                .each = h->seg->g.guards};
}

uint32_t amxi_word_handles(const amx_t *h)
{
    /* raised by entry_open, sc, before the handle has guards */
    uint32_t high = amxi_ld32_sc(&amxi_head(h->seg)->handles_high);
    return high < h->seg->g.handles ? high : h->seg->g.handles;
}

bool amxi_word_guards_count(const amx_t *h, uint32_t v)
{
    /* Not older than the guard, which was acquired: a new tenant is OPEN before he has one, and has cleared those of the one
     * before. Acquire: what was read by one who ended with a guard comes before what we write */
    uint32_t st = AMXI_H_STATUS(amxi_ld64_acq(&amxi_handle(h->seg, v)->word));
    return st == AMXI_H_OPEN || st == AMXI_H_CLOSED;
}

/* As in amx_give, with the object's bit in the place of the sector's. */
static int give(amx_t *h, uint64_t object, amxi_a64 *word, uint64_t *w, uint32_t gen, amx_id to)
{
    uint32_t tag = AMXI_ID_TAG(to);
    if (!amxi_word_alive(h, to, false)) /* 2 */
        return AMX_E_PEER_DEAD;
    /* 3 before it is his: recovery looks only where he was, and lets his tag go only after it has seen 6 */
    (void)amxi_or32_rlx(&amxi_handle(h->seg, tag - 1)->objects, 1u << (object & (AMX_OBJECTS - 1)));
    struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, tag, false, false, true, AMX_SEQ_CST, 0};
    int e = amxi_word_change(word, w, gen, &c); /* 4 */
    if (e || amxi_word_alive(h, to, true))
        return e;
    return amxi_word_take_back(h, word, w, to, c.was); /* 5 */
}

int amxi_word_give(amx_t *h, uint64_t object, amxi_a64 *word, uint64_t *w, uint32_t gen, amx_id to)
{
    int e = amx_object_touch(h, object); /* dead in the middle: recovery comes here for us, and finds his too */
    if (!e)
        e = amxi_word_giving(h, to); /* 1 */
    if (e)
        return e;
    e = give(h, object, word, w, gen, to);
    amxi_word_given(h); /* 6 */
    return e;
}
