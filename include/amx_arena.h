/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks: allocate, free, read and write, resize, lifecycle, ownership. Included by amx.h. */
#ifndef AMX_ARENA_H
#define AMX_ARENA_H

#include "amx.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Who may call what at once: every pair of calls below may overlap, from any handles of any processes, on the same
 * block too; each has exactly one effect or is an error. One handle serves one thread at a time.
 * Progress: wait-free but for amx_alloc_wait; an allocation looks at each sector at most three times, a free at one.
 *
 * | a block is               | who may free it | when its owner dies       | how it gets there             |
 * |--------------------------|-----------------|---------------------------|-------------------------------|
 * | private (owner: handle)  | anyone          | freed; kept from state    | alloc, adopt, give to me      |
 * |                          |                 | AMX_STATE_KEPT on         |                               |
 * | published (owner nobody) | anyone          | stays                     | publish                       |
 * | given to a handle Q      | anyone          | freed when Q dies         | give; older references: stale |
 *
 * Errors of every call that takes a reference: AMX_E_OFFSET (outside the data), AMX_E_STALE (another segment's, or a
 * life that is over, or memory of it that has become part of another block), AMX_E_DOUBLE_FREE (free calls only: this
 * very life was freed and nothing has been made of the block yet).
 * Errors of every call that allocates: AMX_E_NOMEM, AMX_E_BUSY, AMX_E_TOO_BIG, as in enum amx_err. A request of 0
 * bytes gets the smallest block.
 */

/**
 * Allocates n bytes, aligned to 16, contents undefined, private to this handle.
 * Killed inside: not allocated, or private and freed by recovery. Time: constant from the cache (no locked
 * instruction), else one sector; the last pass before AMX_E_NOMEM visits each sector once. Memory: n + 16, rounded
 * up to 16, at least 32; recycled blocks up to 1/8 more. Source: allocate_raw, AtomicMatrix::allocate; Masmano et
 * al., "TLSF", ECRTS 2004.
 */
AMX_API int amx_alloc(amx_t *h, size_t n, amx_ref *out);

/** The same, and all n bytes are zero. */
AMX_API int amx_zalloc(amx_t *h, size_t n, amx_ref *out);

/** The same, aligned to `align`: a power of two, 1..4096. Errors also: AMX_E_INVAL (align). */
AMX_API int amx_alloc_aligned(amx_t *h, size_t align, size_t n, amx_ref *out);

/**
 * The same, and waits until memory is free or timeout_ns nanoseconds of the monotonic clock are over (0: only try;
 * UINT64_MAX: no limit). Sleeps on a futex that frees wake only if somebody waits; a free by another reaches a
 * waiter at once, what lies in others' caches when their next slow path trims it. Errors also: AMX_E_TIMEOUT.
 */
AMX_API int amx_alloc_wait(amx_t *h, size_t n, uint64_t timeout_ns, amx_ref *out);

/** Allocates up to `count` blocks of n bytes into refs[]; *got (always written) tells how many there are. AMX_OK: all;
 *  an error: why the next one could not be had; those before stay allocated. */
AMX_API int amx_alloc_many(amx_t *h, size_t n, size_t count, amx_ref *refs, size_t *got);

/**
 * Frees a block in any user state, whoever owns it: one compare-and-swap, one winner.
 * Killed inside: not freed, or private to this handle and freed by recovery. Time: constant.
 * Source: free; AtomicMatrix::ack and coalesce.
 */
AMX_API int amx_free(amx_t *h, amx_ref ref);

/** Frees the block whose payload begins at p in this process's mapping. A pointer carries no generation, so only a
 *  double free of memory that nobody has got again is told. Errors: AMX_E_FOREIGN, AMX_E_WILD, AMX_E_DOUBLE_FREE. */
AMX_API int amx_free_ptr(amx_t *h, void *p);

/** Frees each of refs[0..count-1], the rest too when one fails. *freed (may be NULL, always written) tells how many
 *  were freed. Returns the first error. */
AMX_API int amx_free_many(amx_t *h, const amx_ref *refs, size_t count, size_t *freed);

/**
 * Makes a block n bytes large: in place where possible (then *out == ref), else in a new block with the old contents
 * up to the smaller size (then ref is stale). The state stays. On an error the old block stays as it was, unless
 * somebody else freed it meanwhile. A block of nobody or of another owner is always moved and becomes this handle's.
 * Killed inside: the old block or the new one, private as before; one in a kept state that is moved may be kept twice.
 */
AMX_API int amx_resize(amx_t *h, amx_ref ref, size_t n, amx_ref *out);

/** Bytes that may be used at ref: at least what was asked for. */
AMX_API int amx_usable(const amx_t *h, amx_ref ref, size_t *out);

/** The block's payload in this process: zero-copy access. The pointer holds as long as the block lives; the call
 *  proves that it lived at the time. Source: RelativePtr::resolve, which checked nothing. */
AMX_API int amx_ptr(const amx_t *h, amx_ref ref, void **out);

/** The reference of the live block whose payload begins at p. Errors: AMX_E_FOREIGN, AMX_E_WILD, AMX_E_STALE (not
 *  live). */
AMX_API int amx_ref_of(const amx_t *h, const void *p, amx_ref *out);

/** Typed access: as amx_ptr, and the block has room for `size` bytes (else AMX_E_INVAL). amx_write copies src into
 *  the block. Synchronisation of the payload is the caller's, by states or otherwise. Sources: read, read_mut, write. */
AMX_API int amx_read(const amx_t *h, amx_ref ref, size_t size, const void **out);
AMX_API int amx_read_mut(amx_t *h, amx_ref ref, size_t size, void **out);
AMX_API int amx_write(amx_t *h, amx_ref ref, const void *src, size_t size);

#ifdef __cplusplus
#define AMX_ALIGNOF_(T) alignof(T)
#else
#define AMX_ALIGNOF_(T) _Alignof(T)
#endif
/** Typed allocation: room and alignment for a T. Source: allocate::<T>. */
#define AMX_NEW(h, T, out)         amx_alloc_aligned((h), AMX_ALIGNOF_(T), sizeof(T), (out))
/** Typed access, checked for size: p is a `T **` (`const T **` for AMX_READ), v a `const T *`. */
#define AMX_READ(h, ref, T, p)     amx_read((h), (ref), sizeof(T), (const void **)(1 ? (p) : (const T **)0))
#define AMX_READ_MUT(h, ref, T, p) amx_read_mut((h), (ref), sizeof(T), (void **)(1 ? (p) : (T **)0))
#define AMX_WRITE(h, ref, T, v)    amx_write((h), (ref), 1 ? (v) : (const T *)0, sizeof(T))

/* --- Lifecycle ----------------------------------------------------------------------------------------------- */

/** The block's state. order: AMX_RELAXED, AMX_ACQUIRE or AMX_SEQ_CST, else AMX_E_INVAL. Source: get_state. */
AMX_API int amx_get_state(const amx_t *h, amx_ref ref, enum amx_order order, uint32_t *out);

/** Sets a user state, whatever live state it replaces (acq_rel). Errors: AMX_E_RESERVED (0-48), AMX_E_INVAL (> 4095).
 *  Source: set_state (the published one also revived freed blocks). */
AMX_API int amx_set_state(amx_t *h, amx_ref ref, uint32_t state);

/**
 * Moves the block from user state `expected` to user state `next`, or says what it found: one winner among all who
 * try. order (any of enum amx_order) applies on success, relaxed on failure. *observed (may be NULL) is the state that
 * was found, on success and on AMX_E_STATE. Errors: AMX_E_RESERVED (either is 0-48), AMX_E_INVAL (> 4095, order).
 * Source: transition_state (the published one could hijack a free block).
 */
AMX_API int amx_transition(amx_t *h, amx_ref ref, uint32_t expected, uint32_t next, enum amx_order order,
                           uint32_t *observed);

/** Makes the block nobody's: it stays when its owner dies. References stay good. Release: what was written before is
 *  seen by those who adopt or find it. Errors: AMX_E_OWNER (it is nobody's already). */
AMX_API int amx_publish(amx_t *h, amx_ref ref);

/** Makes a block of nobody this handle's. Errors: AMX_E_OWNER (it is somebody's: another was faster). */
AMX_API int amx_adopt(amx_t *h, amx_ref ref);

/**
 * Gives a block to the handle `to` (amx_handle_id of its process). The old reference goes stale for everybody, the
 * new one is in *out. Errors: AMX_E_PEER_DEAD: it is closed or its process is dead; the block is not its but this
 * handle's (nobody's if it was nobody's), and *out is written and is then its reference. AMX_E_INVAL (`to` was never an id).
 * Killed inside: the giver's or the receiver's.
 */
AMX_API int amx_give(amx_t *h, amx_ref ref, amx_id to, amx_ref *out);

/** The id of the owner's handle, 0 for nobody. */
AMX_API int amx_owner(const amx_t *h, amx_ref ref, amx_id *out);

/* --- Healing ------------------------------------------------------------------------------------------------- */

/** Visits each sector once and merges what waits in its queue. A sector that is in use is skipped: AMX_E_PARTIAL then,
 *  and its user does the work. Never touches a live block, whatever its state. Source: "kinetic healing". */
AMX_API int amx_heal(amx_t *h);

/** Returns this handle's cached blocks to their sectors. Errors: AMX_E_PARTIAL: some wait in the queue of a sector
 *  that is in use. */
AMX_API int amx_trim(amx_t *h);

#ifdef __cplusplus
}
#endif
#endif
