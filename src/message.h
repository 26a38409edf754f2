/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 6: a view on a message store, and what its files share. */
#ifndef AMXI_MESSAGE_H
#define AMXI_MESSAGE_H

#include "slot.h"
#include "store.h"
#include "word.h"

static inline struct amxi_store_body *amxi_store_head_at(unsigned char *base)
{
    return (struct amxi_store_body *)(void *)base;
}

static inline struct amxi_view_body *amxi_view_at(unsigned char *base, uint32_t i)
{
    return (struct amxi_view_body *)(void *)(base + sizeof(struct amxi_store_body)) + i;
}

static inline const struct amx_pool_part *amxi_store_part(const struct amx_store *s)
{
    return &s->part; /* one class, which does not grow */
}

static inline struct amxi_message_body *amxi_message_at(const struct amx_store *s, uint32_t i)
{
    return amxi_pool_data_at(amxi_store_part(s), i);
}

static inline unsigned char *amxi_payload_of(struct amxi_message_body *m)
{
    return (unsigned char *)(m + 1);
}

/* A place that was looked up. */
struct amxi_place {
    amxi_a64 *word;
    struct amxi_message_body *m;
    uint32_t i;
    uint64_t w; /* as it was found */
};

static inline void amxi_place_at(const struct amx_store *s, uint32_t i, struct amxi_place *p)
{
    p->i = i;
    p->word = amxi_pool_word_at(amxi_store_part(s), i);
    p->m = amxi_message_at(s, i);
}

/* guard.c */
/* Announces that this view reads the message, if its word still says STORED afterwards. What the word said else, or
 * AMX_E_NO_GUARD. *out: the guard, for amxi_guard_drop. */
int amxi_guard_take(struct amx_store *s, struct amxi_place *p, amx_token token, uint32_t *out);
void amxi_guard_drop(struct amx_store *s, uint32_t i, uint32_t guard);
/* Takes the message from everybody: from STORED to CLAIMED(me), from POISONED to WRITING(me), nobody reads it any more.
 * Else what stands in the way: AMX_E_BORROWED, or what else the word says; p->w: the word then. */
int amxi_message_claim(struct amx_store *s, struct amxi_place *p, amx_token token);
/* Moves a word that is ours, by exchange. AMX_E_STALE: it was not, any more (recovery took us for dead, wrongly). */
int amxi_word_move(amxi_a64 *word, uint64_t *w, uint64_t to);
/* What a word says to who wants to read the message: AMX_OK if it is STORED. The common answer first. */
int amxi_word_says_else(uint64_t w, amx_token token);
static inline int amxi_word_says(uint64_t w, amx_token token)
{
    bool stored = AMXI_W0_STATE(w) == AMX_STATE_STORED && (uint32_t)AMXI_W0_GEN(w) == AMXI_SLOT_GEN(token);
    return AMXI_LIKELY(stored) ? AMX_OK : amxi_word_says_else(w, token);
}
/* Read guards on place i, whose word is w, by all views. */
uint32_t amxi_guards_on(const struct amx_store *s, uint32_t i, uint64_t w);
/* Ends all read guards of a view of a concurrent store, or of all in a store of one thread. */
void amxi_guards_lapse(const struct amx_store *s, uint32_t owner);

/* message.c */
static inline int amxi_store_admit(const struct amx_store *s, enum amxi_pool_use use)
{
    if (!s || !s->base)
        return AMX_E_INVAL;
    if (AMXI_LIKELY(!s->h || *s->writable))
        return AMX_OK;
    return amxi_word_refuse(s->h, use != AMXI_POOL_READ);
}
/* The place of a token. AMX_E_OFFSET. */
static inline int amxi_store_locate(const struct amx_store *s, amx_token token, struct amxi_place *p)
{
    uint32_t i = AMX_SLOT_INDEX(token);
    if (AMX_SLOT_CLASS(token) || i >= s->config.depth)
        return AMX_E_OFFSET;
    amxi_place_at(s, i, p);
    return AMX_OK;
}
/* Ends the message at a place that we claimed, or were storing. */
int amxi_message_end(struct amx_store *s, struct amxi_place *p);

/* admission.c */
/* What the policy did so far for a message. */
struct amxi_verdict {
    bool evicted; /* one of the oldest has gone for it */
    bool dropped; /* it may not be stored, and that is all right */
};
/* May the place that was just taken stay? Makes room by the policy. AMX_E_FULL. */
int amxi_admission(struct amx_store *s, struct amxi_verdict *v);
/* No place was free for size bytes: makes one, if the policy is to evict. AMX_E_NOMEM. */
int amxi_admission_room(struct amx_store *s, size_t size, struct amxi_verdict *v);

/* store.c */
/* What the head says, loaded once. false: no store of this version. */
bool amxi_store_read_config(unsigned char *base, struct amx_store_config *c);
bool amxi_store_same(const struct amx_store_config *a, const struct amx_store_config *b);

#endif
