/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 5: a view on a pool, and what its files share. */
#ifndef AMXI_SLOT_H
#define AMXI_SLOT_H

#include "amx_pool.h"
#include "pool.h"

#define AMXI_SLOT(c, i, w) ((uint64_t)((c) + 1u) << 56 | (uint64_t)(i) << 32 | AMXI_W0_LIFE(w))
#define AMXI_SLOT_GEN(s)   ((uint32_t)(s))

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
/* Notes the extents of a class that were added since. true: there is one more. */
bool amxi_pool_more(struct amx_pool *p, uint32_t c);

/* slot.c */
/* May this view be used, to change words, or to read? AMX_E_INVAL, AMX_E_FORKED, AMX_E_READONLY. */
enum amxi_pool_use { AMXI_POOL_READ, AMXI_POOL_WRITE };
int amxi_pool_admit(const struct amx_pool *p, enum amxi_pool_use use);
/* The same, and all extents that there are now are noted: in front of what looks at everything. */
int amxi_pool_admit_all(const struct amx_pool *p, enum amxi_pool_use use);
/* The most slots that were in use. */
void amxi_pool_raise_high(const struct amx_pool_part *x, uint64_t used);

#endif
