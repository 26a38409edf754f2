/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The raw layer, for those who build on the arena: offsets instead of references, the matrix's own coordinates.
 * Not included by amx.h. An offset here is the offset of a block's *header*, as in the published documents' ack,
 * coalesce and free_at; its payload is at offset + AMX_HEADER_SPACE. Offsets carry no generation: a stale one that
 * hits a later life is taken for it. Prefer references.
 *
 * The published insert_free_block and remove_free_block stay private: a free list is only consistent in the hands of
 * the one who holds the sector, and a push or pop from outside is exactly what lost and doubled blocks in the
 * published code.
 */
#ifndef AMX_RAW_H
#define AMX_RAW_H

#include "amx.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AMX_HEADER_SPACE 16 /**< bytes between a block's offset and its payload */

/** First and second level of a block of `size` bytes: below 128 (0, size / 16), else (log2, next three bits).
 *  Source: Mapping::find_indices, its exact values; no clamp at (31, 7), sizes are 64 bits wide. Pure. */
AMX_API void amx_raw_find_indices(uint64_t size, uint32_t *fl, uint32_t *sl);

/** Where a block for a request mapped to (fl, sl) would be found: the first non-empty list at or above it, over all
 *  sectors. A sample. Errors: AMX_E_NOMEM (none), AMX_E_INVAL. Source: find_suitable_block. */
AMX_API int amx_raw_find_suitable(const amx_t *h, uint32_t fl, uint32_t sl, uint32_t *found_fl, uint32_t *found_sl);

/** amx_alloc, telling the offset of the block. Source: AtomicMatrix::allocate. */
AMX_API int amx_raw_allocate(amx_t *h, uint64_t size, uint64_t *offset);

/** Deferred free: the block is freed at once, but merged by the next holder of its sector. If 64 wait there already,
 *  tries to drain them now; skips if the sector is in use. Errors: AMX_E_OFFSET, AMX_E_WILD, AMX_E_DOUBLE_FREE.
 *  Source: ack, as documented (the published code merged at once). */
AMX_API int amx_raw_ack(amx_t *h, uint64_t offset);

/** Frees the block if it is live (as free_at), or, if it waits in its sector's queue, drains that queue now.
 *  Errors: AMX_E_BUSY (the sector is in use; its user drains), AMX_E_DOUBLE_FREE (free already), AMX_E_OFFSET,
 *  AMX_E_WILD. Source: coalesce. */
AMX_API int amx_raw_coalesce(amx_t *h, uint64_t offset);

/** Frees the live block at offset into the matrix or the cache. Source: free_at. */
AMX_API int amx_raw_free_at(amx_t *h, uint64_t offset);

/** What lies at offset, checked. Errors: AMX_E_OFFSET, AMX_E_WILD (no block begins there). Source: query. */
AMX_API int amx_raw_query(const amx_t *h, uint64_t offset, struct amx_block *out);

/** End of the sector around offset. Errors: AMX_E_OFFSET. Source: sector_end_offset. */
AMX_API int amx_raw_sector_end(const amx_t *h, uint64_t offset, uint64_t *end);

AMX_API uint64_t amx_raw_total_size(const amx_t *h);    /**< source: segment_size */
AMX_API uint64_t amx_raw_first_block(const amx_t *h);   /**< offset of the first block; source: first_block_offset */
AMX_API void *amx_raw_base(const amx_t *h);             /**< this process's mapping; source: base_ptr, raw_base_ptr */
AMX_API int amx_raw_id(const amx_t *h, uint8_t id[16]); /**< the uuid; source: id */

#ifdef __cplusplus
}
#endif
#endif
