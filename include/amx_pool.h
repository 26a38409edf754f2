/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slot pools: slots of a few fixed sizes, for messages between processes. Not included by amx.h.
 *
 * A pool lies in one *region*: memory of the caller's (an array, a memfd that several processes have mapped), or a
 * published block of a segment. It is divided into classes, each with a number of slots of one size. Beside the slots,
 * never in them, stands one lifecycle word per slot: {state 12, owner 12, generation 40}, as in a block's header. It is
 * the truth; everything else in a pool is a hint. So a process may be killed at any instruction of any call here, and no
 * slot is lost: a word is free, or it says whose the slot is.
 *
 * Owners. In a segment the owner of a slot is a handle, and amx_recover (amx_attach, amx_close too) frees the slots of
 * the dead as it frees their blocks. Elsewhere owners are numbers 1..AMX_POOL_OWNER_MAX that the users agree on, one for
 * each process that may die by itself, and who knows that one is dead calls amx_pool_recover. A slot is private to its
 * owner, published (nobody's: it stays), or given to another, exactly as blocks are (amx_arena.h); any user may free it,
 * by its reference.
 *
 * Rules for every call, besides those of amx.h:
 * - `struct amx_pool` is a view, private to a process, in memory of the caller's. Any number of threads may use one; but
 *   one on a segment belongs to its handle, and so to one thread at a time (also in calls that take it as const: it notes
 *   extents as it meets them). It needs no closing. Nothing is allocated from the heap.
 * - No call waits, but amx_pool_alloc_wait. None is bounded by others: what loses to others goes on to the next slot, or
 *   ends when the one slot it is about stands still.
 * - The arena's slots (AMX_POOL_ARENA) also cost what amx_alloc and amx_free of their blocks do. Killed inside of any call:
 *   the slot with its block is the owner's or free, as any other; no block is lost, and none freed twice.
 * - In a signal handler every call but those that make, attach or remove a pool is fine, on a view whose handle, if it
 *   has one, the interrupted thread is not using.
 * - References, sizes and offsets from the region are checked before use. Whoever may write the region can destroy its
 *   contents, not crash those who use it through these calls.
 * - Errors of every call that takes an amx_slot: AMX_E_OFFSET (there is no such class or slot: also AMX_SLOT_NONE),
 *   AMX_E_STALE (a life of the slot that is over), AMX_E_CORRUPT (its word is no legal one).
 */
#ifndef AMX_POOL_H
#define AMX_POOL_H

#include "amx.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AMX_POOL_CLASSES   32                  /**< classes of a pool, at most */
#define AMX_POOL_SLOTS     (UINT32_C(1) << 24) /**< slots of a class, at most */
#define AMX_POOL_EXTENTS   31   /**< by which the classes of a pool may grow, all together: AMX_OBJECTS less the pool */
#define AMX_POOL_ALIGN     64   /**< a pool begins at a multiple of it */
#define AMX_POOL_OWNER_MAX 4094 /**< largest owner outside of segments */
#define AMX_POOL_SELF      ((amx_id)0)          /**< as an owner, in a segment: the view's handle */
#define AMX_POOL_ARENA     UINT32_C(0xffffffc0) /**< slot size of the class that the arena serves: see amx_pool_class */
#define AMX_POOL_KIND      UINT32_C(0x706c0000) /**< kind of its registered object, + number of classes */
#define AMX_POOL_EXTENT    UINT32_C(0x706c0101) /**< kind of the registered object of an extent */

/** Flags of a pool. */
enum {
    AMX_POOL_LINES = 1u << 0, /**< no two slots share a cache line: every slot size must be a multiple of 64 */
    AMX_POOL_ALL_ = (1u << 1) - 1
};

/**
 * A reference to a slot: (class + 1) << 56 | index << 32 | low 32 bits of the generation. Means the same in each process
 * and may be sent anywhere; goes stale when the slot is freed or given. 0 refers to nothing. Source: SlotRef.
 */
typedef uint64_t amx_slot;
#define AMX_SLOT_NONE     ((amx_slot)0)
#define AMX_SLOT_CLASS(s) ((uint32_t)((s) >> 56) - 1u) /**< of AMX_SLOT_NONE: UINT32_MAX */
#define AMX_SLOT_INDEX(s) ((uint32_t)((s) >> 32) & (AMX_POOL_SLOTS - 1))

/**
 * A class of slots. Source: SizeClassConfig.
 * The last class may have the slot size AMX_POOL_ARENA, in a segment: it serves requests that are above all other classes.
 * Each of its slots is a block of the arena, as large as was asked for, under a reference, an owner and a state as any other
 * slot; the block comes and goes with the slot. `count` bounds how many there are at a time; a slot takes 16 bytes here. Such a
 * pool must be removed before its own block is freed: nobody else knows the blocks.
 */
struct amx_pool_class {
    uint32_t slot_size; /**< bytes, a multiple of 16, or AMX_POOL_ARENA */
    uint32_t count;     /**< slots, 1..AMX_POOL_SLOTS */
};

/** What a pool is made of: 1..AMX_POOL_CLASSES classes, each larger than the one before. */
struct amx_pool_config {
    uint32_t n;     /**< classes */
    uint32_t flags; /**< AMX_POOL_* */
    struct amx_pool_class cls[AMX_POOL_CLASSES];
};

/** Where everything of a pool lies: bytes from its base, each a multiple of 64. Source: PoolLayout. */
struct amx_pool_offsets {
    uint64_t bytes;       /**< all of it */
    uint64_t words;       /**< first lifecycle word; the classes' words follow one another, 8 bytes each */
    uint32_t words_count; /**< with those that fill up a class's last line */
    uint32_t n;           /**< classes */
    struct {
        uint64_t head;  /**< the class's description and counters */
        uint64_t words; /**< its lifecycle words */
        uint64_t hints; /**< a bit per slot */
        uint64_t data;  /**< its slots */
    } cls[AMX_POOL_CLASSES];
};

/** A class's own slots, or an extent of it. The fields are the library's. */
struct amx_pool_part {
    unsigned char *base; /* of the pool, or of an extent */
    uint64_t object, bytes;
    amx_ref block;
    uint64_t words, hints, data; /* from base */
    uint32_t class_index;
    uint32_t entry; /* of its description, at base */
    uint32_t slot_size, count;
    uint32_t first; /* index of its first slot in the class */
    uint32_t word;  /* which of the object's words is that of its first slot */
    uint32_t rotor; /* where the search begins: relaxed, whoever uses the view */
};

/** A view on a pool. The fields are the library's. */
struct amx_pool {
    unsigned char *base;
    amx_t *h; /* NULL: not in a segment */
    uint32_t n, flags;
    uint32_t parts; /* the classes, then extents as they are met */
    uint64_t room;  /* of a quota: relaxed, whoever uses the view */
    struct amx_pool_part part[AMX_POOL_CLASSES + AMX_POOL_EXTENTS];
};

/* --- Making ----------------------------------------------------------------------------------------------------- */

/** The layout of a pool with this configuration. Pure. Errors: AMX_E_INVAL: the configuration (a class or their number
 *  zero or too large, a size that is no multiple of 16, or of 64 with AMX_POOL_LINES, sizes not ascending, a flag that
 *  does not exist). Instead of slots the arena's class has references, 8 bytes each. Source: VarSlotPool::layout, which checked nothing. */
AMX_API int amx_pool_layout(const struct amx_pool_config *config, struct amx_pool_offsets *out);

/** Bytes that a pool with this configuration needs from its base on. Pure. Errors: as amx_pool_layout. Source:
 *  required_size. */
AMX_API int amx_pool_required_size(const struct amx_pool_config *config, uint64_t *out);

/**
 * The configuration of the pool that lies `base` bytes into the `len` bytes at region. Every offset that the pool states
 * is compared with what follows from its configuration, and with len.
 * Errors: AMX_E_INVAL (base is not a multiple of 64, or the address there is none), AMX_E_LAYOUT (there is no pool, or one
 * of another version, or one that contradicts itself or does not fit). Reads only. Source: discover_configs.
 */
AMX_API int amx_pool_discover(const void *region, size_t len, size_t base, struct amx_pool_config *out);

/**
 * Makes a pool, all slots free, `base` bytes into the `len` bytes at region, which nobody else uses yet; they need not be
 * zero. Slots' contents are left as they are. The pool becomes visible to amx_pool_attach complete, by a last store.
 * Errors: AMX_E_INVAL (the configuration, also one with the arena's class; base, or the address there, is not a multiple of
 * 64; the region is too small), AMX_E_SYS (no random number).
 * Killed inside: no pool, to be made anew. Time: proportional to the slots. Source: VarSlotPool::init.
 */
AMX_API int amx_pool_init(void *region, size_t len, size_t base, const struct amx_pool_config *config,
                          struct amx_pool *out);

/**
 * A view on the pool there. config: what it must be, or NULL: whatever it is.
 * Errors: as amx_pool_discover; AMX_E_LAYOUT also: it is not of this configuration, or has the arena's class, which is for
 * segments.
 * Killed inside: nothing. Source: VarSlotPool::attach, which trusted the caller's configuration.
 */
AMX_API int amx_pool_attach(void *region, size_t len, size_t base, const struct amx_pool_config *config,
                            struct amx_pool *out);

/**
 * Makes a pool in the published block `block` of a segment, `base` bytes into its payload, and registers it
 * (amx_object.h), so that recovery frees the slots of the dead.
 * Errors: as amx_pool_init; those of references; AMX_E_OWNER (the block is not published), AMX_E_FULL (AMX_OBJECTS are
 * registered).
 * Killed inside: no pool, or a complete one, in a block that stays either way; amx_pools finds it.
 */
AMX_API int amx_pool_init_block(amx_t *h, amx_ref block, size_t base, const struct amx_pool_config *config,
                                struct amx_pool *out);

/** A view on the pool there, for this handle. Works on a read-only handle too; then calls that change something answer
 *  AMX_E_READONLY. Errors: as amx_pool_attach; those of references; AMX_E_STALE also: the pool has been removed. */
AMX_API int amx_pool_attach_block(amx_t *h, amx_ref block, size_t base, const struct amx_pool_config *config,
                                  struct amx_pool *out);

/** Allocates a block, publishes it and makes a pool at its beginning. *block: its reference, to be told to the others.
 *  Errors: those of an allocation and of amx_pool_init_block. Killed inside: nothing, or a published block that recovery
 *  tells (AMX_KEPT_PUBLISHED), perhaps with a complete pool in it. */
AMX_API int amx_pool_create(amx_t *h, const struct amx_pool_config *config, amx_ref *block, struct amx_pool *out);

/**
 * In a segment: adds `count` slots to a class, in a new block, while others use the pool. Their views find them by
 * themselves: when a class is empty, and by a reference; who sleeps in amx_pool_alloc_wait is woken. The block belongs to the
 * pool (amx_pool_remove frees it).
 * Errors: AMX_E_INVAL (not in a segment, no such class, count), AMX_E_FULL (AMX_OBJECTS objects are registered: then the
 * block is kept for the next call; or the class would have more than AMX_POOL_SLOTS), AMX_E_BUSY (another extends the class
 * at the same time, and was faster, but has not finished: the class grows by his, call again for one more), those of an
 * allocation.
 * Killed inside: the class has grown, or not; what is left in between the next call completes, in the place of its own.
 * Source: "extents", which were documented and never wired.
 */
AMX_API int amx_pool_extend(struct amx_pool *pool, uint32_t class_index, uint32_t count);

/**
 * Ends a pool: it cannot be attached any more, and recovery does not look at it any more. All views on it must be idle and
 * become invalid; slots that are in use are lost, those of the arena freed first. In a segment its extents are freed, and
 * after AMX_OK the block may be.
 * Errors: AMX_E_BUSY: a recovery is under way that may be looking at it: call again. AMX_E_STALE (removed already).
 * Killed inside: still a pool, perhaps without its slots of the arena, or none; the block stays, and extents that were not
 * freed yet.
 */
AMX_API int amx_pool_remove(struct amx_pool *pool);

/** A pool of a segment. */
struct amx_pool_place {
    size_t struct_size;
    amx_ref block;
    uint64_t base;   /**< bytes into its payload */
    uint64_t object; /**< id of its registration */
    uint32_t n;      /**< classes */
};
typedef int amx_pools_fn(const struct amx_pool_place *place, void *ctx); /**< not 0: stop */
/** Calls fn for each registered pool of the segment. A sample. Returns fn's number if not 0. */
AMX_API int amx_pools(const amx_t *h, amx_pools_fn *fn, void *ctx);

/* --- Slots ------------------------------------------------------------------------------------------------------ */

/**
 * Takes a free slot for `size` bytes: of the smallest class that fits, or if that is empty of the next larger one. Its
 * contents are what the last owner left. What is above all of them the arena's class serves, if there is one; it serves
 * nothing else, so that small requests meet backpressure. owner: in a segment AMX_POOL_SELF or the id of the view's handle, else
 * 1..AMX_POOL_OWNER_MAX. size 0: the smallest class.
 * Errors: AMX_E_NOMEM (backpressure: each class that fits was found empty, each of its words looked at; or the arena has no
 * such block), AMX_E_TOO_BIG (no class is that large, or no segment), AMX_E_QUOTA (the owner has as many slots as one may),
 * AMX_E_INVAL (owner outside of a segment), AMX_E_OWNER (another's id); of the arena also AMX_E_BUSY, as for amx_alloc.
 * In a segment, before AMX_E_NOMEM the dead are recovered once, as amx_alloc does, unless AMX_F_NO_RECOVER was given; if
 * that freed a slot of any pool, the classes are looked at once more. So a dead process's slots come back by themselves. In
 * other memory nobody knows who is dead: there amx_pool_recover must be called by who does.
 * Killed inside: not taken, or the owner's and freed with it. Wait-free: at most two passes over the hints and two over the
 * words of each class, and a recovery between them. Source: allocate; the published one gave both errors as None.
 */
AMX_API int amx_pool_alloc(struct amx_pool *pool, size_t size, amx_id owner, amx_slot *out);

/**
 * The same, and waits until a slot is free, and the owner below its quota, or timeout_ns nanoseconds of the monotonic clock
 * are over (0: only try; UINT64_MAX: no limit). Sleeps on a futex, which a free of a slot and amx_pool_extend wake if somebody sleeps; every
 * 100 ms it looks by itself, for slots that a recovery freed, memory of the arena and a higher quota. Errors: as
 * amx_pool_alloc, but AMX_E_TIMEOUT for AMX_E_NOMEM, AMX_E_BUSY and AMX_E_QUOTA. Not in a signal handler.
 */
AMX_API int amx_pool_alloc_wait(struct amx_pool *pool, size_t size, amx_id owner, uint64_t timeout_ns, amx_slot *out);

/**
 * Frees a slot in any live state, whoever owns it: one exchange on its word, one winner.
 * Errors: AMX_E_DOUBLE_FREE (this very life was freed, the slot is still free), AMX_E_STALE (it was freed and is another's
 * by now, or given away), AMX_E_BUSY (others change its state without pause: try again).
 * Killed inside: not freed, or free (perhaps without its hint, and then found by the pass over the words), or of the arena:
 * this handle's, and freed by recovery. Wait-free. Source: free, in which two could win.
 */
AMX_API int amx_pool_free(struct amx_pool *pool, amx_slot slot);

/** The slot's memory in this process, and its size (bytes may be NULL): of the arena at least what was asked for. The pointer
 *  holds as long as the slot lives; the call proves that it lived at the time. Acquires what was written before publish,
 *  give and transitions. Errors: AMX_E_CORRUPT also: its block was freed behind the pool's back. Source: slot_data,
 *  slot_data_mut. */
AMX_API int amx_pool_ptr(const struct amx_pool *pool, amx_slot slot, void **out, size_t *bytes);

/** The escape hatch: where the slot's memory is, whether it lives or not. NULL if there is no such class or slot, or it is
 *  one of the arena and has no block. */
AMX_API void *amx_pool_ptr_unchecked(const struct amx_pool *pool, amx_slot slot);

/** How many classes the pool has; 0 for a null view. Source: class_count. */
AMX_API uint32_t amx_pool_class_count(const struct amx_pool *pool);

/** Slot size of a class, in bytes, or AMX_POOL_ARENA. Errors: AMX_E_INVAL (there is no such class; the published one panicked). Source:
 *  slot_size. */
AMX_API int amx_pool_slot_size(const struct amx_pool *pool, uint32_t class_index, uint32_t *out);

/* --- Ownership and states: as the calls on blocks of the same names (amx_arena.h) ---------------------------------- */

/** Makes the slot nobody's: it stays when its owner dies. Release. Errors: AMX_E_OWNER (it is nobody's already). */
AMX_API int amx_pool_publish(struct amx_pool *pool, amx_slot slot);

/** Makes a slot of nobody `owner`'s (as for amx_pool_alloc). Errors: AMX_E_OWNER (it is somebody's: another was
 *  faster), AMX_E_QUOTA. */
AMX_API int amx_pool_adopt(struct amx_pool *pool, amx_slot slot, amx_id owner);

/**
 * Gives a slot to `to`: in a segment an amx_handle_id, else an owner's number. The old reference goes stale for everybody,
 * *out is the new one: ownership moves with the message, and a death of the giver takes nothing from the receiver.
 * Errors: AMX_E_INVAL (`to` was never an owner); in a segment AMX_E_PEER_DEAD, as for amx_give: *out is written then, the
 * slot is this handle's (nobody's if it was nobody's).
 * Killed inside: the giver's or the receiver's.
 */
AMX_API int amx_pool_give(struct amx_pool *pool, amx_slot slot, amx_id to, amx_slot *out);

/**
 * A quota: the most slots, of all classes together, that one owner may have; 0, as in a new pool, means any number. It stands
 * in the pool, holds for all owners, and may be changed at any time. amx_pool_alloc and amx_pool_adopt answer AMX_E_QUOTA to
 * who has that many. Nothing is counted but the words themselves, so no death leaves a wrong count, and a slot that another
 * freed or got is off it at once.
 *
 * How exact: an owner that has one view and allocates by one call at a time, as a handle does, never gets more than its
 * quota by itself, and is never refused with fewer. Several views, and elsewhere threads that allocate for one owner at the
 * same time, count each for itself: each may be ahead by an eighth of what was left when it counted last, so that n of them
 * exceed the quota by (n - 1) / 8 of it and n - 1 at most. Gifts are never refused, for that would be the giver's trouble: who
 * is given more than his quota has them, and gets no slot himself before he is below it. They count from his next count on,
 * which comes when he has taken an eighth of what was left.
 * Time: a load; each eighth of what is left the owner's slots are counted: every word of the pool is read, as they are in
 * front of AMX_E_QUOTA.
 */
AMX_API int amx_pool_set_quota(struct amx_pool *pool, uint32_t most);

/** The quota that holds now; 0: none. */
AMX_API int amx_pool_quota(const struct amx_pool *pool, uint32_t *out);

/** The owner: an amx_id in a segment, else its number; 0 nobody. */
AMX_API int amx_pool_owner(const struct amx_pool *pool, amx_slot slot, amx_id *out);

/** The slot's state: AMX_STATE_ALLOCATED or a user state. Acquires. */
AMX_API int amx_pool_get_state(const struct amx_pool *pool, amx_slot slot, uint32_t *out);

/** Sets a user state, whatever live state it replaces (acq_rel). Errors: AMX_E_RESERVED (0-48), AMX_E_INVAL (> 4095). */
AMX_API int amx_pool_set_state(struct amx_pool *pool, amx_slot slot, uint32_t state);

/** Moves the slot from user state `expected` to `next`, or says what it found (acq_rel): one winner. *observed (may be
 *  NULL) is written on success and on AMX_E_STATE. Errors: AMX_E_RESERVED, AMX_E_INVAL (> 4095). */
AMX_API int amx_pool_transition(struct amx_pool *pool, amx_slot slot, uint32_t expected, uint32_t next,
                                uint32_t *observed);

/* --- Death ------------------------------------------------------------------------------------------------------ */

/**
 * Outside of segments: takes back what `owner` held, who is dead or done. Slots in states from AMX_STATE_KEPT on become
 * nobody's and keep their state. *freed, *kept (may be NULL): how many. The caller answers for it that the owner executes
 * no call any more; if it does, its references are stale, and what it takes from then on is a new life's.
 * In a segment: AMX_E_INVAL, amx_recover does it, and knows who is dead.
 * Killed inside: done in part; may be called again, by several at once. Time: proportional to the slots. Source:
 * reclaim_peer_slots.
 */
AMX_API int amx_pool_recover(struct amx_pool *pool, amx_id owner, uint64_t *freed, uint64_t *kept);

/** The reference of the slot that a recovery told (struct amx_kept with AMX_KEPT_WORD), as it is now. Errors: AMX_E_INVAL
 *  (it is not a word of this pool), AMX_E_STALE (it is free). */
AMX_API int amx_pool_kept(const struct amx_pool *pool, const struct amx_kept *kept, amx_slot *out);

/* --- Looking ---------------------------------------------------------------------------------------------------- */

/** A slot, as amx_pool_walk tells it. */
struct amx_pool_slot {
    size_t struct_size;
    amx_slot ref; /**< if live, else 0 */
    uint32_t class_index;
    uint32_t index;
    uint64_t bytes;      /**< of the arena: of its block, 0 if it has none */
    uint32_t state;      /**< 0-4095; 0: free; of the arena also AMX_STATE_CACHED: its owner is making or freeing it */
    uint32_t owner;      /**< low 12 bits of the owner's id; 0 nobody */
    uint64_t generation; /**< 40 bits */
};
typedef int amx_pool_walk_fn(const struct amx_pool_slot *slot, void *ctx); /**< not 0: stop */

/** Calls fn for each slot, free ones too, class by class. Each is told as it was at one moment, all together a sample.
 *  Returns fn's number if not 0. Reads only. Source: none. */
AMX_API int amx_pool_walk(const struct amx_pool *pool, amx_pool_walk_fn *fn, void *ctx);

/** Numbers of one class. Exact at rest, a sample otherwise. */
struct amx_pool_stats {
    size_t struct_size; /**< set by the caller: sizeof(struct amx_pool_stats) */
    uint32_t slot_size; /**< or AMX_POOL_ARENA */
    uint32_t count;     /**< with extents */
    uint32_t extents;   /**< how many */
    uint32_t used;
    uint32_t published; /**< of those used: nobody's */
    uint32_t kept;      /**< of those used: in a state from AMX_STATE_KEPT on */
    uint32_t high; /**< most slots seen in use at a time. Looked at by each allocation if there are at most 64 of them,
                           else when 64 neighbours are all in use (up to 4096 slots), at exhaustion, and by this call */
    uint64_t exhausted; /**< times that an allocation found the class empty */
    uint64_t bytes;     /**< of the slots in use */
};
/** Tells the numbers of a class. Errors: AMX_E_INVAL (there is no such class). Reads every word of it. */
AMX_API int amx_pool_stat(const struct amx_pool *pool, uint32_t class_index, struct amx_pool_stats *out);

/** How many slots `owner` (as amx_pool_owner tells it) has now. Reads every word. */
AMX_API int amx_pool_used_by(const struct amx_pool *pool, amx_id owner, uint64_t *out);

/** What amx_pool_check saw. */
struct amx_pool_check_result {
    size_t struct_size; /**< set by the caller: sizeof(struct amx_pool_check_result) */
    uint64_t notes;     /**< findings by grade. A note: a hint that is missing, which no call depends on */
    uint64_t undone;    /**< a dead handle's slot, with its block: recovery frees it */
    uint64_t corrupt;
    uint64_t slots;
    uint64_t used;
};

/**
 * Checks a pool: its head and classes are what the view was attached to, every word is legal, no word lies beyond the last
 * slot, hints mark nothing beyond it, the arena's slots in use have each a block and the free ones none. fn (may be NULL) is told each finding (its offset counts from the pool's base).
 * Always ends, never writes. Errors: AMX_E_CORRUPT if a finding of that grade was made (*out is written then too); fn's
 * number if not 0. out may be NULL. Source: none.
 */
AMX_API int amx_pool_check(const struct amx_pool *pool, amx_check_fn *fn, void *ctx, struct amx_pool_check_result *out);

#ifdef __cplusplus
}
#endif
#endif
