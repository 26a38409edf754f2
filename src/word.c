/* SPDX-License-Identifier: Apache-2.0 */
#include "word.h"
#include "amx_object.h"
#include "arena.h"

int amxi_word_change(amxi_a64 *word, uint64_t *w, uint32_t gen, struct amxi_change *c)
{
    for (;;) { /* ends when the word stands still: each loss is another's change of this very word */
        uint32_t state = AMXI_W0_STATE(*w), owner = AMXI_W0_OWNER(*w);
        if ((uint32_t)AMXI_W0_GEN(*w) != gen || !amxi_state_live(state))
            return AMX_E_STALE;
        if (c->expected != AMXI_CHANGE_ANY && state != c->expected)
            return AMX_E_STATE;
        if ((c->of_nobody && owner) || (c->of_somebody && !owner))
            return AMX_E_OWNER;
        uint64_t to = AMXI_W0(c->state == AMXI_CHANGE_ANY ? state : c->state,
                              c->owner == AMXI_CHANGE_ANY ? owner : c->owner, AMXI_W0_GEN(*w) + c->next_gen);
        /* sc, for gifts (below); its release half pairs with the acquire of whoever looks the word up, its acquire half
         * with the release of who changed it last */
        if (amxi_cas64_sc(word, w, to)) {
            c->was = owner;
            *w = to;
            return AMX_OK;
        }
    }
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
    uint64_t w = amxi_ld64_sc(&amxi_handle(h->seg, tag - 1)->word); /* sc as everywhere: one order of these words */
    uint32_t st = AMXI_H_STATUS(w);
    *dead = st != AMXI_H_OPENING && st != AMXI_H_OPEN && st != AMXI_H_CLOSED;
    return st == AMXI_H_FREE ? 0 : AMXI_ID(tag, AMXI_H_EPOCH(w));
}

static bool same_life(uint64_t word, amx_id id, bool closed_too)
{
    uint32_t st = AMXI_H_STATUS(word);
    return AMXI_H_EPOCH(word) == AMXI_ID_EPOCH(id) && (st == AMXI_H_OPEN || (closed_too && st == AMXI_H_CLOSED));
}

/* As amx_give, with the object's bit in the place of the sector's. All sc: the giver announces whom it gives to, then
 * looks whether he lives; recovery buries him, then looks whether somebody is giving to him. One sees the other. */
static int give(amx_t *h, uint64_t object, amxi_a64 *word, uint64_t *w, uint32_t gen, amx_id to)
{
    struct amxi_seg *s = h->seg;
    uint32_t tag = AMXI_ID_TAG(to);
    struct amxi_handle_body *his = amxi_handle(s, tag - 1);
    if (!same_life(amxi_ld64_sc(&his->word), to, false)) /* 2 */
        return AMX_E_PEER_DEAD;
    /* 3 before it is his: recovery looks only where he was */
    (void)amxi_or32_sc(&his->objects, 1u << (object & (AMX_OBJECTS - 1)));
    struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, tag, false, false, true, 0};
    int e = amxi_word_change(word, w, gen, &c); /* 4 */
    if (e || same_life(amxi_ld64_sc(&his->word), to, true))
        return e;
    /* 5 He died meanwhile: back, under one more generation; to us, as its former owner may be gone too. Lost: it fell with
     * him, or somebody freed it */
    uint32_t from = c.was ? h->tag : 0;
    uint64_t g = AMXI_W0_GEN(*w);
    while (AMXI_W0_GEN(*w) == g && AMXI_W0_OWNER(*w) == tag && amxi_state_live(AMXI_W0_STATE(*w))) {
        uint64_t back = AMXI_W0(AMXI_W0_STATE(*w), from, g + 1);
        if (amxi_cas64_sc(word, w, back)) {
            *w = back;
            return AMX_E_PEER_DEAD;
        }
    }
    *w = AMXI_W0(0, 0, g);
    return AMX_OK;
}

int amxi_word_give(amx_t *h, uint64_t object, amxi_a64 *word, uint64_t *w, uint32_t gen, amx_id to)
{
    if (AMXI_ID_TAG(to) - 1u >= h->seg->g.handles || !AMXI_ID_EPOCH(to))
        return AMX_E_INVAL;
    int e = amx_object_touch(h, object); /* dead in the middle: recovery comes here for us, and finds his too */
    if (e)
        return e;
    amxi_a32 *giving = &amxi_handle(h->seg, h->tag - 1)->giving;
    amxi_st32_sc(giving, AMXI_ID_TAG(to)); /* 1 his entry is not recycled from here on */
    e = give(h, object, word, w, gen, to);
    amxi_st32_sc(giving, 0); /* 6 */
    return e;
}
