/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 3: the sector core. A sector's chain of blocks is the truth; lists, bitmap and hints follow from it. */
#ifndef AMXI_SECTOR_H
#define AMXI_SECTOR_H

#include "arena.h"

/* A sector in the hands of its holder. Units are counted from the sector's start. */
struct amxi_sec {
    const struct amxi_seg *s;
    struct amxi_sector_body *b;
    amxi_a64 *acked;
    amxi_a64 *bits; /* of this sector */
    uint8_t *mem;   /* its first byte */
    uint32_t su;    /* units */
    uint32_t index;
    uint32_t tag;  /* holder: entry + 1 */
    uint64_t word; /* while held */
};

static inline struct amxi_block_body *amxi_sec_block(const struct amxi_sec *x, uint32_t i)
{
    return (struct amxi_block_body *)(void *)(x->mem + (uint64_t)i * AMXI_UNIT);
}

static inline bool amxi_bit(const amxi_a64 *bits, uint32_t i)
{
    return amxi_ld64_rlx(&bits[i >> 6]) >> (i & 63) & 1;
}

void amxi_sec_view(const struct amxi_seg *s, uint32_t index, uint32_t tag, struct amxi_sec *x);

/* Every sector of a new segment: one free block each. */
void amxi_sectors_format(const struct amxi_seg *s);

/* Takes an IDLE sector: one cas, no retry. AMX_E_BUSY: somebody is inside; AMX_E_NOMEM: not one to allocate from
 * (large block, absent, quarantined); AMX_E_CORRUPT: found damaged and quarantined. */
int amxi_sec_enter(const struct amxi_seg *s, uint32_t index, uint32_t tag, struct amxi_sec *x);
/* Takes it only if its word still is `seen`: steals it from a dead holder. Does not look inside. */
bool amxi_sec_steal(const struct amxi_seg *s, uint32_t index, uint32_t tag, uint64_t seen, struct amxi_sec *x);
/* What every new holder does first: a front whose large block is gone is taken back. */
int amxi_sec_settle(struct amxi_sec *x);
/* A check inside failed: rebuilds and leaves (AMX_E_BUSY), or quarantines (AMX_E_CORRUPT). x is over either way. */
int amxi_sec_failed(struct amxi_sec *x);
/* Brings the hints up to date and lets go. */
void amxi_sec_leave(struct amxi_sec *x);

/* Makes k blocks of c units (the last one may get a unit more) out of one free block, or of a smaller one fewer:
 * CACHED by the holder, units in out[], ascending. *n = 0: nothing fits. deep: look at more than the list's first.
 * The caller has touched the sector. */
int amxi_sec_carve(struct amxi_sec *x, uint32_t c, uint32_t k, bool deep, uint32_t *out, uint32_t *n);
/* One block of u units whose payload is aligned to `align` bytes (a power of two, 32..4096). As carve. */
int amxi_sec_carve_aligned(struct amxi_sec *x, uint32_t u, uint32_t align, uint32_t *out, uint32_t *n);
/* Frees a block that the holder alone may write: anything but live and FREE. */
int amxi_sec_free(struct amxi_sec *x, uint32_t i);
/* Frees what waits in the queue: at most max blocks; UINT32_MAX: all that waited at the time. */
int amxi_sec_drain(struct amxi_sec *x, uint32_t max, uint32_t *count);
/* Cuts a block that the holder claimed (CACHED by it) to u units, or lets it grow into its right neighbour.
 * *done: it has the size now. */
int amxi_sec_resize(struct amxi_sec *x, uint32_t i, uint32_t u, bool *done);

/* Recomputes everything from the chain, merging what is not live; a pure function of the chain, so it can be cut and
 * redone. A broken chain: the sector is quarantined (x must not be used any more) and AMX_E_CORRUPT. */
int amxi_sec_rebuild(struct amxi_sec *x);
/* The whole sector becomes one free block. Only when nothing in it is live. */
void amxi_sec_reset(struct amxi_sec *x);
void amxi_sec_quarantine(struct amxi_sec *x);

/* For extents. */
void amxi_gclock_past(struct amxi_sec *x, uint64_t gen); /* gclock = max(gclock, gen + 1), modulo 2^40 */
int amxi_sec_unlink(struct amxi_sec *x, uint32_t i);     /* a free block out of its list */
void amxi_sec_link(struct amxi_sec *x, uint32_t i);
void amxi_sec_bit_set(struct amxi_sec *x, uint32_t i);
void amxi_sec_bit_clear(struct amxi_sec *x, uint32_t i);
/* The cut at the front of sector j: is it still owned by the large block that it names? */
bool amxi_cut_valid(const struct amxi_seg *s, uint32_t j);

#endif
