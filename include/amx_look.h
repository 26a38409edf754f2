/* SPDX-License-Identifier: Apache-2.0 */
/* Looking: a walk over the blocks, statistics, and the validator. Reads only, disturbs nobody. Included by amx.h. */
#ifndef AMX_LOOK_H
#define AMX_LOOK_H

#include "amx.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One physical block. */
struct amx_block {
    uint64_t offset;     /**< of its header; the payload is at offset + 16 */
    uint64_t bytes;      /**< with header; not with the gap in front of a large aligned block */
    uint64_t generation; /**< 40 bits */
    amx_ref ref;         /**< if live, else 0 */
    amx_id owner_id;     /**< of the handle that owns, caches or queued it, 0 if nobody */
    uint32_t state;      /**< 0-4095 */
    uint32_t owner;      /**< handle entry + 1, 0 nobody */
    uint32_t peer;       /**< index of the owner's peer entry; UINT32_MAX: nobody's */
    uint32_t sector;     /**< where its header is */
    uint32_t sectors;    /**< how many it reaches into; more than 1: a large block */
};
typedef int amx_walk_fn(const struct amx_block *block, void *ctx); /**< not 0: stop */

/**
 * Calls fn for each block, in order of offset. Each sector is a consistent picture (its structure did not change while
 * it was read; states may have); sectors are read one after another. A sector that does not hold still long enough is
 * left out: AMX_E_PARTIAL at the end. A damaged one ends at the damage: AMX_E_CORRUPT at the end. Returns fn's number
 * if that was not 0. Memory: one sector's worth of records on the heap. Source: "iter", 0.3's Looper.
 */
AMX_API int amx_walk(const amx_t *h, amx_walk_fn *fn, void *ctx);

/** Numbers of a segment, in blocks and bytes. Taken by a walk: exact at rest, a sample otherwise. */
struct amx_stats {
    size_t struct_size;    /**< set by the caller: sizeof(struct amx_stats) */
    uint64_t data_bytes;   /**< all sectors; the sum of the six below when exact */
    uint64_t free_bytes;   /**< in the matrix */
    uint64_t live_bytes;   /**< allocated or in a user state, with headers */
    uint64_t cached_bytes; /**< in handles' caches */
    uint64_t acked_bytes;  /**< in sectors' queues or being merged */
    uint64_t lost_bytes;   /**< behind damage */
    uint64_t unseen_bytes; /**< in sectors that did not hold still */
    uint64_t free_blocks;
    uint64_t live_blocks;
    uint64_t cached_blocks;
    uint64_t acked_blocks;
    uint64_t published_blocks; /**< of the live ones: nobody's */
    uint64_t kept_blocks;      /**< of the live ones: in a state from AMX_STATE_KEPT on */
    uint64_t large_blocks;     /**< of the live ones: larger than a sector */
    uint64_t largest_free;     /**< bytes: the largest request that would fit now */
    uint32_t sectors_whole;    /**< completely free */
    uint32_t sectors_held;     /**< in use at the moment, or by a dead peer */
    uint32_t sectors_large;    /**< inside a large block */
    uint32_t sectors_bad;      /**< quarantined */
};
AMX_API int amx_stat(const amx_t *h, struct amx_stats *out);

/** What amx_stat_by counts apart. */
enum amx_by {
    AMX_BY_CLASS = 0,  /**< of size, as the matrix has them; the last one: larger than a sector */
    AMX_BY_SECTOR = 1, /**< a large block counts where its header is */
    AMX_BY_HANDLE = 2, /**< the owner of a block, or who caches or queued it */
    AMX_BY_PEER = 3
};

/** Numbers of one class, sector, handle or peer. Bytes are with headers. */
struct amx_group {
    size_t struct_size;
    uint32_t
        index; /**< class, sector, peer entry; handle entry + 1. What is nobody's: 0 by handle, UINT32_MAX by peer */
    uint32_t peer;      /**< by handle: its peer entry; UINT32_MAX: none */
    amx_id id;          /**< by handle: whose it is now */
    uint64_t min_bytes; /**< by class: its blocks' sizes */
    uint64_t max_bytes;
    uint64_t live_blocks;
    uint64_t live_bytes;
    uint64_t free_blocks;
    uint64_t free_bytes;
    uint64_t cached_blocks;
    uint64_t cached_bytes;
    uint64_t acked_blocks;
    uint64_t acked_bytes;
    uint64_t largest_free; /**< block; the largest against free_bytes is the fragmentation */
    /* By handle, since it was opened; by peer the sums over its handles. */
    uint64_t hits;           /**< allocations served by the cache; told late, when the cache is filled or emptied */
    uint64_t refills;        /**< visits to the matrix for more: allocations that the cache could not serve */
    uint64_t flushes;        /**< times that blocks went back to sectors */
    uint64_t skips;          /**< sectors passed over because somebody was inside */
    uint64_t pushes;         /**< times that blocks were left in a sector's queue */
    uint64_t drains;         /**< blocks taken from queues */
    uint64_t large;          /**< blocks larger than a sector made */
    uint64_t rebuilds;       /**< sectors whose lists were made anew */
    uint64_t taken_bytes;    /**< from the matrix */
    uint64_t returned_bytes; /**< to it, also of blocks that others took */
    uint64_t peak_bytes;     /**< high-water mark of taken - returned; by peer an upper bound */
    uint32_t held;           /**< by sector: in use this moment, or by a dead peer, and so not seen */
    uint32_t bad;            /**< by sector: damaged, quarantined */
};
typedef int amx_group_fn(const struct amx_group *group, void *ctx); /**< not 0: stop */

/**
 * The numbers of amx_stat, by class, sector, handle or peer, and what handles count. Calls fn for each in order; those
 * that do not exist and own nothing are left out. The sums over the groups are the numbers of amx_stat, but for bytes
 * that are in no block (between the end of a large block and the next, not yet collected).
 * Errors: AMX_E_INVAL, AMX_E_SYS (no private memory), AMX_E_FORKED; AMX_E_PARTIAL and AMX_E_CORRUPT at the end, as
 * amx_walk; fn's number if not 0. Thread: any; disturbs nobody. Memory: a record per group and one sector's worth of
 * records, on the heap. Source: none; the published code counted nothing.
 */
AMX_API int amx_stat_by(const amx_t *h, enum amx_by by, amx_group_fn *fn, void *ctx);

/** How grave a finding is. */
enum amx_grade {
    AMX_GRADE_NOTE = 0,   /**< no fault: in use, or waiting in a queue */
    AMX_GRADE_UNDONE = 1, /**< what a death in the middle of a call leaves; recovery repairs it */
    AMX_GRADE_CORRUPT = 2 /**< breaks an invariant: no call of the library leaves this */
};

/** A finding of the validator. */
struct amx_finding {
    enum amx_grade grade;
    uint32_t sector;  /**< or UINT32_MAX: of the whole segment */
    uint64_t offset;  /**< where in the segment */
    const char *rule; /**< short fixed name of the invariant: "chain", "bitmap", "index", "extent", ... */
    const char *text; /**< a sentence; valid during the call */
};
typedef int amx_check_fn(const struct amx_finding *f, void *ctx); /**< not 0: stop */

/** What the validator saw. */
struct amx_check_result {
    size_t struct_size; /**< set by the caller: sizeof(struct amx_check_result) */
    uint64_t notes;     /**< findings by grade */
    uint64_t undone;
    uint64_t corrupt;
    uint64_t blocks;      /**< seen */
    uint64_t live_blocks; /**< of them allocated or in a user state */
    uint64_t live_bytes;
    uint64_t free_bytes;   /**< in the matrix */
    uint64_t parked_bytes; /**< in caches and queues */
    uint32_t sectors;      /**< seen */
    uint32_t busy;         /**< not judged, because they changed while being read */
};

/**
 * Checks every invariant of an attached segment (docs/design.md lists them). Trusts nothing that it has not checked,
 * always ends, never writes. fn may be NULL. Cannot know whether payloads are right, nor that a consistent segment is
 * the one that was meant. Errors: AMX_E_CORRUPT if a finding of that grade was made (*out is written then too);
 * fn's number if not 0. Memory: one bit per 16 bytes of a sector. Time: proportional to blocks + sectors.
 */
AMX_API int amx_check(const amx_t *h, amx_check_fn *fn, void *ctx, struct amx_check_result *out);

/** The same for a copy of a segment in memory, as read from a file or a core: any bytes at all are allowed.
 *  `image` is aligned to 64. Errors also: AMX_E_LAYOUT (too damaged at the top to be recognised). */
AMX_API int amx_check_image(const void *image, size_t len, amx_check_fn *fn, void *ctx, struct amx_check_result *out);

#ifdef __cplusplus
}
#endif
#endif
