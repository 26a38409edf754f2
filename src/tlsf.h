/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 1: from a size to its place in the matrix. Pure functions. */
#ifndef AMXI_TLSF_H
#define AMXI_TLSF_H

#include "base.h"

/* The published (fl, sl) of a size in bytes, folded to one number without gaps: bin = sl below 128 bytes,
 * (fl - 6) * 8 + sl above. In units u (16 bytes): u < 8: u; else (log2 u - 2) * 8 + next three bits. */
static inline uint32_t amxi_bin(uint32_t u) /* largest bin whose blocks a block of u units may be counted among */
{
    if (u < 8)
        return u;
    uint32_t lg = amxi_log2(u);
    return (lg - 2) * 8 + (u >> (lg - 3) & 7);
}

static inline uint32_t amxi_bin_units(uint32_t b) /* smallest block of bin b */
{
    return b < 8 ? b : (8 + (b & 7)) << (b / 8 - 1);
}

static inline uint32_t amxi_bin_up(uint32_t u) /* smallest bin all of whose blocks hold u units */
{
    uint32_t b = amxi_bin(u);
    return b + (amxi_bin_units(b) != u);
}

#endif
