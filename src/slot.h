/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 5: a view on a pool, and what its files share. */
#ifndef AMXI_SLOT_H
#define AMXI_SLOT_H

#include "amx_pool.h"
#include "pool.h"

#define AMXI_SLOT(c, i, w) ((uint64_t)((c) + 1u) << 56 | (uint64_t)(i) << 32 | (uint32_t)AMXI_W0_GEN(w))
#define AMXI_SLOT_GEN(s)   ((uint32_t)(s))

/* In flags of a view: its slots are messages. Not in the pool's head. */
#define AMXI_POOL_MESSAGES (1u << 31)

/* States of a slot that is in use: those of blocks; of messages (store.h) also theirs. */
static inline bool amxi_slot_live(uint32_t state)
{
    return amxi_state_live(state) || (state >= AMX_STATE_STORED && state <= AMX_STATE_POISONED);
}

static inline uint64_t amxi_pool_groups_of(uint32_t count)
{
    return amxi_div_up(count, 64);
}

/* --- Addresses: indices are checked by the caller, and count from the part's first slot ------------------------- */

static inline struct amxi_pool_body *amxi_pool_head_at(unsigned char *base)
{
    return (struct amxi_pool_body *)(void *)base;
}

static inline struct amxi_pool_class_body *amxi_pool_class_at(unsigned char *base, uint32_t c)
{
    return (struct amxi_pool_class_body *)(void *)(base + sizeof(struct amxi_pool_body)) + c;
}

static inline struct amxi_pool_class_body *amxi_pool_class_of(const struct amx_pool_part *p)
{
    return amxi_pool_class_at(p->base, p->entry);
}

/* A class was found empty: a number for people. */
static inline void amxi_slot_exhausted(const struct amx_pool_part *first)
{
    (void)amxi_add64_rlx(&amxi_pool_class_of(first)->exhausted, 1);
}

static inline amxi_a64 *amxi_pool_word_at(const struct amx_pool_part *p, uint64_t i)
{
    return (amxi_a64 *)(void *)(p->base + p->words) + i;
}

static inline amxi_a64 *amxi_pool_hint_at(const struct amx_pool_part *p, uint64_t group)
{
    return (amxi_a64 *)(void *)(p->base + p->hints) + group;
}

static inline uint32_t amxi_pool_group_size(const struct amx_pool_part *p, uint64_t group)
{
    uint64_t rest = p->count - group * 64;
    return rest < 64 ? (uint32_t)rest : 64;
}

/* Slots whose memory are blocks of the arena: cells in the place of slots. */
static inline bool amxi_pool_of_arena(const struct amx_pool_part *p)
{
    return p->slot_size == AMX_POOL_ARENA;
}

static inline amxi_a64 *amxi_pool_cell_at(const struct amx_pool_part *p, uint32_t i)
{
    return (amxi_a64 *)(void *)(p->base + p->data) + i;
}

static inline void *amxi_pool_data_at(const struct amx_pool_part *p, uint32_t i)
{
    return p->base + p->data + (uint64_t)i * p->slot_size;
}

static inline uint64_t amxi_pool_mask(uint32_t bits)
{
    return bits < 64 ? (UINT64_C(1) << bits) - 1 : UINT64_MAX;
}

static inline amx_slot amxi_pool_slot_of(const struct amx_pool_part *x, uint32_t i, uint64_t w)
{
    return AMXI_SLOT(x->class_index, x->first + i, w);
}

/* pool.c */
/* What a head of `len` bytes says, loaded once and checked, nothing trusted. AMX_E_LAYOUT. */
int amxi_pool_read_head(unsigned char *base, uint64_t len, struct amx_pool_config *k, struct amx_pool_offsets *l);
/* amx_pool_init, with the generation that all slots begin with. No system call. */
int amxi_pool_make(void *region, size_t len, size_t base, const struct amx_pool_config *config, uint64_t gen,
                   struct amx_pool *out);
/* Notes the extents of a class that were added since. true: there is one more. */
bool amxi_pool_more(struct amx_pool *p, uint32_t c);

/* slot.c */
/* May this view be used, to change words, or to read? AMX_E_INVAL, AMX_E_FORKED, AMX_E_READONLY. */
enum amxi_pool_use { AMXI_POOL_READ, AMXI_POOL_WRITE };
int amxi_pool_admit(const struct amx_pool *p, enum amxi_pool_use use);
/* The same, and all extents that there are now are noted: in front of what looks at everything. */
int amxi_pool_admit_all(const struct amx_pool *p, enum amxi_pool_use use);
/* The block of a live slot of the arena, whose word was w. AMX_E_STALE: that life is over. AMX_E_CORRUPT: there is none. */
int amxi_pool_block(const struct amx_pool *p, const struct amx_pool_part *x, uint32_t i, uint64_t w, amx_ref *block,
                    size_t *bytes);
/* Ends whatever life a slot of the arena is in, with its block. All views are idle. */
void amxi_pool_clear(const struct amx_pool *p, const struct amx_pool_part *x, uint32_t i);
/* How many slots of all parts that are noted have this owner. */
uint64_t amxi_pool_count(const struct amx_pool *p, uint32_t owner);
/* Takes a slot of a part for this owner. AMX_E_NOMEM: each word was looked at. */
int amxi_slot_take(amx_t *h, struct amx_pool_part *x, uint32_t owner, amx_slot *out);
/* After a word has become FREE by an sc exchange: its hint is set, and who sleeps for a slot of the pool at base is woken. */
void amxi_slot_now_free(unsigned char *base, const struct amx_pool_part *x, uint32_t i);
/* Wakes who sleeps for a slot of the pool at base, after one more has come by an sc exchange. */
void amxi_slot_wake(unsigned char *base);
/* The most slots that were in use. */
void amxi_pool_raise_high(const struct amx_pool_part *x, uint64_t used);

#endif
