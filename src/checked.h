/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 3: the places where a checked build tells the tools what becomes of a block. Nothing in other builds. */
#ifndef AMXI_CHECKED_H
#define AMXI_CHECKED_H

#include "annotate.h"
#include "extent.h"

#ifdef AMX_CHECKED
static inline uint8_t *amxi_payload_at(const amx_t *h, uint32_t k, uint64_t *bytes)
{
    uint32_t u = AMXI_W1_SIZE(amxi_ld64_rlx(&amxi_block(h->seg, k)->w1));
    *bytes = (uint64_t)u * AMXI_UNIT - AMXI_UNIT;
    if (!u && amxi_extent_usable(h->seg, k, bytes))
        *bytes = 0;
    if ((uint64_t)k * AMXI_UNIT + AMXI_UNIT + *bytes > (uint64_t)h->read_units * AMXI_UNIT)
        *bytes = 0; /* a smashed header */
    return h->data + (uint64_t)k * AMXI_UNIT + AMXI_UNIT;
}

/* In `call`: pool, p and n are the segment and the payload of the block at k, end is that of the data. */
#define AMXI_TELL(h, k, call)                                                                                          \
    uint64_t n;                                                                                                        \
    const uint8_t *pool = (h)->seg->base, *end = (h)->data + (uint64_t)(h)->read_units * AMXI_UNIT;                    \
    uint8_t *p = amxi_payload_at((h), (k), &n);                                                                        \
    (void)pool;                                                                                                        \
    (void)end;                                                                                                         \
    call
#else
#define AMXI_TELL(h, k, call)                                                                                          \
    (void)(h);                                                                                                         \
    (void)(k)
#endif

static inline void amxi_block_allocated(const amx_t *h, uint32_t k)
{
    AMXI_TELL(h, k, amxi_note_alloc(pool, p, n, end));
}

static inline void amxi_block_resized(const amx_t *h, uint32_t k)
{
    AMXI_TELL(h, k, amxi_note_resize(pool, p, n, end));
}

/* It is CACHED by us: nobody else's yet. */
static inline void amxi_block_freed(const amx_t *h, uint32_t k)
{
    AMXI_TELL(h, k, amxi_note_free(pool, p, n));
}

/* Its payload is about to be read or written by us; w: its w0. */
static inline void amxi_block_used(const amx_t *h, uint32_t k, uint64_t w)
{
    (void)w;
    AMXI_TELL(h, k, amxi_note_use(p, n, AMXI_W0_OWNER(w) == h->tag));
}

#endif
