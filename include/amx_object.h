/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects that take part in recovery: for those who build pools, channels or tables on the arena. Not included by amx.h.
 *
 * An object is a published block in whose payload lie *lifecycle words*: 64 bits each, {state 12, owner 12, generation
 * 40} from the lowest bit on, as in a block's own header; owner is the low 12 bits of an amx_id (AMX_OBJECT_OWNER), 0
 * nobody. A registered object's words of the dead are freed by recovery as blocks are. What it does to a word stands in the
 * registry, in the segment, as data: so every process recovers every object, also of kinds that it has no code for.
 *
 * Rules for who writes such words: amx_object_touch() before the exchange that makes a word its own. Words change by
 * exchanges on the whole word. The block is freed after amx_object_remove() has answered AMX_OK, not before.
 *
 * Cells. A word may own a block: its cell is the block's reference, 0 none. Recovery makes a dead one's word CACHED first,
 * if it is in no kept state, then frees the block, makes the cell 0, and then the word `to`, which must be AMX_STATE_FREE.
 * So whoever links a block or unlinks one does it while the word is in state AMX_STATE_CACHED and his; then a block that a
 * word owns never outlives the word, whoever is killed where. The block itself is nobody's, so that it does not fall with
 * who made it: published while it is linked already and the word still CACHED.
 */
#ifndef AMX_OBJECT_H
#define AMX_OBJECT_H

#include "amx.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AMX_OBJECTS          32 /**< registered at a time */
#define AMX_OBJECT_PAIRS     4
#define AMX_OBJECT_OWNER(id) ((uint32_t)((id)&0xfff)) /**< how an amx_id stands in a lifecycle word */

/** A registered object. */
struct amx_object {
    size_t struct_size;
    amx_ref ref;     /**< its block: published, alive as long as the object is registered */
    uint32_t kind;   /**< the user's number for what it is, not 0 */
    uint32_t count;  /**< words, at least 1 */
    uint64_t first;  /**< bytes from the payload's beginning to the first word, a multiple of 8 */
    uint32_t stride; /**< bytes from one word to the next, a multiple of 8, at least 8 */
    uint16_t to; /**< state that a dead one's word gets, owner nobody: 0-4095. From AMX_STATE_KEPT on a word keeps its
                          state instead, as a block does */
    uint16_t pairs; /**< of from and into: other states get other ones */
    uint16_t from[AMX_OBJECT_PAIRS];
    uint16_t into[AMX_OBJECT_PAIRS];
    uint64_t cells;      /**< bytes from the payload's beginning to an array of amx_ref, a multiple of 16; 0: none */
    uint32_t cells_from; /**< index of the first word that has one: the words from there on have one each */
    uint64_t id;         /**< out */
};

/**
 * Registers an object. *id identifies this registration, never reused. Errors: AMX_E_INVAL (the description does not fit
 * itself or the block), AMX_E_STALE, AMX_E_OFFSET (ref), AMX_E_OWNER (the block is not published), AMX_E_FULL.
 * Killed inside: registered or not. Bound: one pass over AMX_OBJECTS entries.
 */
AMX_API int amx_object_add(amx_t *h, const struct amx_object *object, uint64_t *id);

/**
 * Ends a registration. Errors: AMX_E_BUSY: a recovery is under way that may be looking at the object, by a process that is
 * perhaps stopped: the block must not be freed yet; call again. AMX_E_STALE: there is no such registration (any more).
 * Words of the dead in an object
 * that is being removed are left: clear them before the same block is registered again.
 * Killed inside: still registered, or ended by recovery; the block stays, nobody's.
 */
AMX_API int amx_object_remove(amx_t *h, uint64_t id);

/** From now on this handle may own words of the object: recovery looks for them after its death. Cheap when it has been
 *  said before. Errors: AMX_E_INVAL (id was never one). */
AMX_API int amx_object_touch(amx_t *h, uint64_t id);

typedef int amx_object_fn(const struct amx_object *object, void *ctx); /**< not 0: stop */
/** Calls fn for each registered object. A sample. Returns fn's number if not 0. */
AMX_API int amx_objects(const amx_t *h, amx_object_fn *fn, void *ctx);

#ifdef __cplusplus
}
#endif
#endif
