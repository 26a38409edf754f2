/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guards. A reader: 1 writes what it is about to read into a guard word of its own; 2 loads the message's word and goes on
 * only if that is STORED. Who wants the message for himself: 1 exchanges STORED for CLAIMED; 2 loads all guard words, and
 * goes on only if none names it. All four sequentially consistent: of two, one sees the other, and perhaps both do, and
 * both give way. So a reader and a writer are never both inside.
 *
 * Deaths. A reader: its guard word stays, and does not count any more when its handle is DEAD: whoever looks asks the handle
 * too. The words are cleared by the next tenant of the entry, while it is OPENING. One that claims: recovery makes it STORED
 * again, or POISONED as it was. One that writes: POISONED. Guards need no recovery, and no reader is ever waited for.
 */
#include "amx_object.h"
#include "message.h"
#include "word.h"

#define READERS_MAX 4094u /* of a message in a store of one thread: they stand in the word's owner */

/* What a guard word says of place i in this life. In a segment guard words serve all stores, so it counts from there. */
static uint64_t name_of(const struct amx_store *s, uint32_t i, uint64_t w)
{
    if (!s->h)
        return AMXI_SLOT(0, i, w);
    uint64_t at = (uint64_t)((unsigned char *)amxi_message_at(s, i) - s->segment);
    return at / AMXI_UNIT << 32 | AMXI_W0_LIFE(w);
}

static amxi_a64 *own_guard(const struct amx_store *s, uint32_t k)
{
    return (amxi_a64 *)s->own + k;
}

static uint32_t own_guards(const struct amx_store *s)
{
    return s->h ? s->each : AMX_STORE_GUARDS; /* the last word of a view is not one */
}

/* Guard words that name it, of all who live. */
static uint32_t guarded(const struct amx_store *s, uint64_t name, uint32_t enough)
{
    const amxi_a64 *guard = s->guards;
    uint32_t views = s->h ? amxi_word_handles(s->h) : s->config.threads, found = 0;
    for (uint32_t v = 0; v < views && found < enough; v++)
        for (uint32_t k = 0; k < s->each; k++, guard++)
            found += amxi_ld64_sc(guard) == name && /* 2 pairs with the store in amxi_guard_take */
                     (!s->h || amxi_word_guards_count(s->h, v));
    return found;
}

/* --- Taking and dropping ---------------------------------------------------------------------------------------- */

int amxi_word_says_else(uint64_t w, amx_token token)
{
    uint32_t state = AMXI_W0_STATE(w);
    if (state != AMX_STATE_FREE && !amxi_slot_live(state))
        return AMX_E_CORRUPT;
    if (AMXI_W0_LIFE(w) != AMXI_SLOT_GEN(token))
        return AMX_E_STALE;
    switch (state) {
    case AMX_STATE_STORED:
        return AMX_OK;
    case AMX_STATE_CLAIMED:
    case AMX_STATE_WRITING:
        return AMX_E_BORROWED;
    case AMX_STATE_POISONED:
        return AMX_E_POISONED;
    case AMX_STATE_FREE:
    case AMX_STATE_ALLOCATED: /* nobody has been told this token */
        return AMX_E_STALE;
    default:
        return AMX_E_CORRUPT; /* a state of somebody else's */
    }
}

int amxi_guard_take(struct amx_store *s, struct amxi_place *p, amx_token token, uint32_t *out)
{
    p->w = amxi_ld64_rlx(p->word); /* its name; behind the guard it is loaded again, unless there is one thread */
    int e = amxi_word_says(p->w, token);
    if (e)
        return e;
    if (!s->guards) {
        if (AMXI_W0_OWNER(p->w) == READERS_MAX)
            return AMX_E_NO_GUARD;
        amxi_st64_rlx(p->word, p->w + AMXI_W0(0, 1, 0)); /* one thread */
        *out = 0;
        return AMX_OK;
    }
    for (uint32_t k = 0; k < own_guards(s); k++) {
        if (amxi_ld64_rlx(own_guard(s, k))) /* our own words */
            continue;
        amxi_st64_sc(own_guard(s, k), name_of(s, p->i, p->w)); /* 1 pairs with the load in guarded() */
        p->w = amxi_ld64_sc(p->word);                          /* 2 pairs with the exchange in amxi_message_claim */
        e = amxi_word_says(p->w, token);
        if (!e && AMXI_W0_OWNER(p->w))
            e = AMX_E_CORRUPT; /* what is stored is nobody's */
        if (e)
            amxi_st64_rel(own_guard(s, k),
                          0); /* nothing was read now; but under the guard before, as amxi_guard_drop */
        *out = k;
        return e;
    }
    return AMX_E_NO_GUARD;
}

void amxi_guard_drop(struct amx_store *s, uint32_t i, uint32_t guard)
{
    if (s->guards) {
        amxi_st64_rel(own_guard(s, guard),
                      0); /* releases to guarded(): the reading was before the next owner's writing */
        return;
    }
    amxi_a64 *word = amxi_pool_word_at(amxi_store_part(s), i);
    uint64_t w = amxi_ld64_rlx(word); /* one thread */
    if (AMXI_W0_STATE(w) == AMX_STATE_STORED && AMXI_W0_OWNER(w))
        amxi_st64_rlx(word, w - AMXI_W0(0, 1, 0));
}

int amxi_word_move(amxi_a64 *word, uint64_t *w, uint64_t to)
{
    if (!amxi_cas64_sc(word, w, to)) /* sc: a claim is one half of a guard; a release of the message else */
        return AMX_E_STALE;
    *w = to;
    return AMX_OK;
}

int amxi_message_claim(struct amx_store *s, struct amxi_place *p, amx_token token)
{
    p->w = amxi_ld64_rlx(p->word); /* the exchange orders */
    int e = amxi_word_says(p->w, token);
    if (e && e != AMX_E_POISONED)
        return e;
    if (AMXI_W0_OWNER(p->w)) /* STORED with readers, or not ours to understand */
        return s->guards ? AMX_E_CORRUPT : AMX_E_BORROWED;
    if (s->h && (e = amx_object_touch(s->h, amxi_store_part(s)->object))) /* recovery looks where we were */
        return e;
    uint64_t was = p->w;
    uint32_t state = AMXI_W0_STATE(was) == AMX_STATE_POISONED ? AMX_STATE_WRITING : AMX_STATE_CLAIMED;
    if (amxi_word_move(p->word, &p->w, AMXI_W0(state, s->owner, AMXI_W0_GEN(was)))) { /* 1 */
        e = amxi_word_says(p->w, token);
        return e && e != AMX_E_POISONED ? e : AMX_E_BORROWED; /* it was another's, for a moment */
    }
    if (!s->guards || !guarded(s, name_of(s, p->i, was), 1)) /* 2 */
        return AMX_OK;
    (void)amxi_word_move(p->word, &p->w, was); /* 3 */
    return AMX_E_BORROWED;
}

/* --- All of them ------------------------------------------------------------------------------------------------ */

uint32_t amxi_guards_on(const struct amx_store *s, uint32_t i, uint64_t w)
{
    if (AMXI_W0_STATE(w) == AMX_STATE_FREE)
        return 0;
    if (!s->guards)
        return AMXI_W0_STATE(w) == AMX_STATE_STORED ? AMXI_W0_OWNER(w) : 0;
    return guarded(s, name_of(s, i, w), UINT32_MAX);
}

void amxi_guards_lapse(const struct amx_store *s, uint32_t owner)
{
    if (s->config.threads) {
        for (uint32_t k = 0; k < AMX_STORE_GUARDS; k++)
            amxi_st64_rel(&amxi_view_at(s->base, owner - 1)->guard[k],
                          0); /* as amxi_guard_drop: the caller knows that it reads no more */
        return;
    }
    for (uint32_t i = 0; i < amxi_store_part(s)->count; i++) {
        amxi_a64 *word = amxi_pool_word_at(amxi_store_part(s), i);
        uint64_t w = amxi_ld64_rlx(word); /* one thread */
        if (AMXI_W0_STATE(w) == AMX_STATE_STORED)
            amxi_st64_rlx(word, AMXI_W0(AMX_STATE_STORED, 0, AMXI_W0_GEN(w)));
    }
}
