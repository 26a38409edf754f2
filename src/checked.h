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
#endif

static inline void amxi_block_allocated(const amx_t *h, uint32_t k)
{
#ifdef AMX_CHECKED
    uint64_t bytes;
    uint8_t *p = amxi_payload_at(h, k, &bytes);
    amxi_note_alloc(h->seg->base, p, bytes, h->data + (uint64_t)h->read_units * AMXI_UNIT);
#else
    (void)h;
    (void)k;
#endif
}

static inline void amxi_block_resized(const amx_t *h, uint32_t k)
{
#ifdef AMX_CHECKED
    uint64_t bytes;
    uint8_t *p = amxi_payload_at(h, k, &bytes);
    amxi_note_resize(h->seg->base, p, bytes, h->data + (uint64_t)h->read_units * AMXI_UNIT);
#else
    (void)h;
    (void)k;
#endif
}

/* It is CACHED by us: nobody else's yet. */
static inline void amxi_block_freed(const amx_t *h, uint32_t k)
{
#ifdef AMX_CHECKED
    uint64_t bytes;
    uint8_t *p = amxi_payload_at(h, k, &bytes);
    amxi_note_free(h->seg->base, p, bytes);
#else
    (void)h;
    (void)k;
#endif
}

/* Its payload is about to be read or written by us; w: its w0. */
static inline void amxi_block_used(const amx_t *h, uint32_t k, uint64_t w)
{
#ifdef AMX_CHECKED
    uint64_t bytes;
    uint8_t *p = amxi_payload_at(h, k, &bytes);
    amxi_note_use(p, bytes, AMXI_W0_OWNER(w) == h->tag);
#else
    (void)h;
    (void)k;
    (void)w;
#endif
}

#endif
