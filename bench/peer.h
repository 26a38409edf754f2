/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two simple allocators in shared memory, written for this comparison: what one would build in an afternoon instead of
 * using a library. peer_tlsf.c and peer_treiber.c implement the same calls; each becomes a shared library.
 * A block is named by the offset of its payload in the segment; 0 is none.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stddef.h>
#include <stdint.h>

struct peer {
    unsigned char *base; /* of the mapping */
    uint64_t size;
};

extern const char peer_about[];

int peer_format(struct peer *p); /* a new segment, all zero; 0, or an errno value */
uint64_t peer_alloc(struct peer *p, size_t n);
int peer_free(struct peer *p, uint64_t block); /* 0: freed */
int peer_check(struct peer *p);                /* 0: whole, and nothing is allocated */

static inline void *peer_at(const struct peer *p, uint64_t offset)
{
    return p->base + offset;
}

#endif
