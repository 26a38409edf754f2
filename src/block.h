/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 4: a reference, looked up. */
#ifndef AMXI_BLOCK_H
#define AMXI_BLOCK_H

#include "arena.h"

struct amxi_at {
    uint32_t k; /* unit of the header, in the data */
    struct amxi_block_body *b;
    uint64_t w; /* w0, as it was found */
};

/* The live block of a reference. units: h->units for calls that write, h->read_units for those that read. */
int amxi_find(const amx_t *h, amx_ref ref, uint32_t units, struct amxi_at *at);

/* A record for the looking calls, from values that were read once. */
void amxi_block_fill(const struct amxi_seg *s, uint64_t unit, uint64_t w0, uint64_t bytes, struct amx_block *out);

#endif
