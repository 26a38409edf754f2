/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 3: a handle, and what it does inside sectors. Private; tests and the layers above include it. */
#ifndef AMXI_ARENA_H
#define AMXI_ARENA_H

#include "segment.h"
#include "tlsf.h"

#define AMXI_CACHED_MAX 256u /* units: largest block that a handle caches (4 KiB) */
#define AMXI_MAG_BINS   49u  /* amxi_bin(AMXI_CACHED_MAX) + 1 */
#define AMXI_MAG_SLOTS  61u
#define AMXI_QUEUE_MAX  64u /* a sector's queue is full: try one drain at once; also the most that a visit drains */

struct amxi_mag {  /* freed blocks of one bin, ready to be handed out: a stack of units. Headers are the truth. */
    uint64_t word; /* blocks in it 8 | allocations that it served since they were told 56: one addition changes both */
    uint8_t cap;
    bool back; /* blocks of this bin come back: more were freed than it could hold */
    uint32_t slot[AMXI_MAG_SLOTS];
};
#define AMXI_MAG_N(m) ((uint32_t)(uint8_t)(m)->word)
#define AMXI_MAG_HIT  UINT64_C(255) /* added: one block less, one hit more */

/* A handle: private pages that a forked child sees as zero, so that each call there finds empty magazines, no segment
 * and no bounds, and ends in its slow path with AMX_E_FORKED. */
struct amx {
    /* hot: constant while open */
    uint8_t *data;        /* first byte of sector 0 */
    const amxi_a64 *bits; /* bit k: a block begins at unit k of the data */
    const amxi_a32 *wait; /* the head's futex word */
    uint32_t units;       /* of the data, present sectors; 0: read-only or forked */
    uint32_t first_pu;    /* payload unit (from the segment's start) of the block at unit 0 */
    uint32_t su_mask;     /* units per sector - 1 */
    uint32_t uc;          /* largest cached block, units */
    uint64_t small_max;   /* largest request that the cache serves, bytes */
    uint64_t pat_alloc;   /* low 24 bits of w0: ALLOCATED, mine */
    uint32_t pat_cached;
    uint16_t mag_up[AMXI_CACHED_MAX + 1]; /* where in this struct: the magazine for a request of so many units */
    uint16_t mag_dn[AMXI_CACHED_MAX + 1]; /* ... for a block of so many */
    /* slow paths only */
    struct amxi_seg *seg; /* NULL: forked */
    uint32_t read_units;  /* as units, also when read-only */
    uint32_t tag;         /* entry + 1; 0: read-only */
    uint32_t home;        /* sector that the last refill came from */
    uint32_t pressure_seen;
    uint64_t epoch;      /* of the entry's word */
    uint64_t budget;     /* bytes that the magazines may hold together: data / 128, at most 256 KiB */
    uint64_t budget_all; /* those of all handles: data / 16 */
    uint64_t credit;     /* sum of cap * block size of all magazines */
    bool is_owner;
    struct amxi_mag mag[AMXI_MAG_BINS];
};

/* handle.c */
/* Takes an entry, unless read-only. inherit: one of the dead if no other is left, with the blocks that carry its tag. */
int amxi_handle_open(struct amxi_seg *s, bool is_owner, bool inherit, amx_t **out);
void amxi_handles_drop(struct amxi_seg *s); /* unmaps all handles of the attachment: its last act */
int amxi_refuse(const amx_t *h);            /* why a handle may not write: AMX_E_INVAL, _FORKED, _READONLY; or AMX_OK */

/* recover.c: gives back the entries of the dead that hold nothing any more. Needs no handle. */
void amxi_recycle(const struct amxi_seg *s);
/* recover.c: everybody but us is dead, and their entries fill a table: takes an entry of a peer, or of a handle, after them.
 * AMX_E_FULL: somebody lives. AMX_E_BUSY: somebody attaches or removes the name; may be called again. Killed inside: as
 * before, one more is dead. */
int amxi_inherit_peer(struct amxi_seg *s, const char *name, char *why, size_t why_len);
int amxi_inherit_handle(struct amxi_seg *s);
/* recover.c: the last act of an attachment in its segment: caches flushed, private blocks freed, entries given back. */
void amxi_retire(amx_t *owner);

/* arena.c */
struct amxi_want {  /* a request to the sectors */
    uint32_t c;     /* units of a block, header included; at most a sector */
    uint32_t k;     /* blocks wanted, at most AMXI_MAG_SLOTS; fewer is fine */
    uint32_t align; /* bytes; above 16: k is 1 */
    bool exact;     /* look at more than the first of a list */
};
void amxi_count(const amx_t *h, enum amxi_counter c, uint64_t n);
int amxi_alloc_uncached(amx_t *h, uint64_t n, uint32_t align, amx_ref *out); /* n bytes, any size */
/* A free in two halves: a live block becomes CACHED by us, *u is its size in units, 0 a large block; no ref: there is
 * no generation to compare. Then into the cache or back to its sector. */
int amxi_claim(amx_t *h, uint32_t k, amx_ref ref, uint32_t *u);
int amxi_claimed(amx_t *h, uint32_t k);
/* As amx_free, past the cache: by a recoverer, whose handle may be about to go. *bytes: what it was, header included. */
int amxi_free_uncached(amx_t *h, amx_ref ref, uint64_t *bytes);
/* CACHED blocks to their sectors, and wakes who waits; false: some were queued. Reorders units. */
bool amxi_give_back(amx_t *h, uint32_t *units, uint32_t n);
void amxi_queue(amx_t *h, const uint32_t *units, uint32_t n); /* CACHED blocks of one sector onto its queue */
void amxi_wake(const amx_t *h);                               /* those who wait for memory */

#endif
