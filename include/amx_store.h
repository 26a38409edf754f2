/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message stores: complete messages behind tokens, borrowed through guards. Not included by amx.h.
 *
 * A message is a header (struct amx_message_header) and up to payload_max bytes of payload of the one type that its store
 * holds. Storing one gives a *token*, a number that may be kept or sent anywhere; reading by it borrows the message without
 * copying it: any number of read guards at a time, or one write guard. Freed tokens go stale and are refused.
 *
 * One implementation, four managers; every call answers the same in each of them:
 *   static      in memory of the caller's (AMX_STORE_BYTES), one thread. No allocation and no system call: amx_store_init.
 *               Links without a C library and a system too: tests/bare/bare.c
 *   heap        in memory that the store allocates, one thread or several: amx_store_new
 *   concurrent  in memory of the caller's, several threads (config.threads): amx_store_init, amx_store_scoped
 *   shared      in a block of a segment, processes and threads, each with its handle: amx_store_create,
 *               amx_store_attach_block
 *
 * Borrowing. With one thread, read guards are counted in the message's word. With several, a reader writes the token into
 * a guard word of its own and looks at the message's word again; who wants the message for itself claims the word and then
 * looks at all guard words. One of the two sees the other. So readers write no line that others write, and a guard belongs
 * to somebody: the guards of a dead process lapse when it is recovered. A conflict is an answer (AMX_E_BORROWED,
 * AMX_E_BORROW_ACTIVE), nobody waits; the calls with a time-out in their names are a layer on top.
 *
 * Death (shared). A message is nobody's once it is stored, and outlives whoever stored it. What was being stored falls with
 * its storer; read guards lapse; a message that was being changed is *poisoned*: AMX_E_POISONED, until somebody frees it, or
 * looks at it with amx_msg_recover and ends that guard. Who was about to change or free one, and had not begun, leaves it as
 * it was. Recovery (amx_recover, amx_attach, amx_close) does it for every store, also in processes without this code.
 *
 * Rules for every call, besides those of amx.h:
 * - `struct amx_store` is a view, private to a process and used by one thread at a time: one of amx_store_init, more from
 *   amx_store_scoped; in a segment one per handle.
 * - A guard is ended by the thread that got it, by the call for its kind, or at the end of its scope
 *   (AMX_SCOPED_READ, AMX_SCOPED_WRITE). Ending it twice is harmless. Until then the view stays where it is. In a segment
 *   guards are the handle's: amx_unshare ends its read guards; what it was changing stays borrowed as long as its process.
 * - In a signal handler every call but those that make, attach, share and remove stores, and those with a time-out, is fine
 *   on a view, and in a segment a handle, that the interrupted thread is not using.
 * - Sizes, states and tokens are checked before use. Whoever may write the region can destroy its contents, not crash those
 *   who use it through these calls.
 * - Errors of every call that takes a token: AMX_E_OFFSET (published: BadToken; no such message: also AMX_TOKEN_INVALID),
 *   AMX_E_STALE (published: NotAllocated; that message has been freed), AMX_E_CORRUPT (its word is no legal one).
 */
#ifndef AMX_STORE_H
#define AMX_STORE_H

#include "amx_pool.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AMX_STORE_DEPTH   AMX_POOL_SLOTS       /**< messages of a store, at most */
#define AMX_STORE_PAYLOAD (UINT32_C(1) << 30)  /**< bytes of a payload, at most */
#define AMX_STORE_THREADS AMX_POOL_OWNER_MAX   /**< threads of a concurrent store, at most */
#define AMX_STORE_GUARDS  7                    /**< read guards of a thread of a concurrent store, at a time */
#define AMX_STORE_ALIGN   64                   /**< a store begins at a multiple of it */
#define AMX_STORE_KIND    UINT32_C(0x6d730001) /**< kind of its registered object */

/* --- Memory classes ---------------------------------------------------------------------------------------------- */

/** Where messages lie. A device's number is AMX_MEMORY_DEVICE + its ordinal 0..15. Source: MemoryClass. */
enum amx_memory {
    AMX_MEMORY_HOST = 0,   /**< pageable */
    AMX_MEMORY_PINNED = 1, /**< locked into memory when the store is made, or it is not made */
    AMX_MEMORY_DEVICE = 2, /**< a device's memory, mapped by the caller: a label */
    AMX_MEMORY_SHARED = 18 /**< a segment: every shared store, and no other */
};
#define AMX_MEMORY_DEVICES 16

/** A set of memory classes: bit n is class n, so unions and intersections are | and &. Source: PlacementAcceptance. */
typedef uint32_t amx_placement;
#define AMX_PLACEMENT(memory) ((amx_placement)1 << (memory))
#define AMX_PLACEMENT_DEFAULT AMX_PLACEMENT(AMX_MEMORY_HOST)
#define AMX_PLACEMENT_ALL     ((AMX_PLACEMENT(AMX_MEMORY_SHARED) << 1) - 1)

/** What is to be done with a message for somebody who accepts certain classes. Source: PlacementDecision. */
enum amx_placing { AMX_ZERO_COPY = 0, AMX_ADAPT = 1 };

/** The class of a device's memory. Errors: AMX_E_INVAL (ordinal > 15; the published one took it for another device). */
AMX_API int amx_memory_device(uint32_t ordinal, uint32_t *memory);
/** May messages of class `memory` be handed to who accepts `accepts` as they are, or must they be copied first
 *  (amx_msg_copy)? Pure. Errors: AMX_E_INVAL (no such class). Source: decide_placement. */
AMX_API int amx_placement_decide(uint32_t memory, amx_placement accepts, enum amx_placing *out);

/* --- Messages ---------------------------------------------------------------------------------------------------- */

/** The common reference (amx_slot) with the generation of the message. */
typedef amx_slot amx_token;
#define AMX_TOKEN_INVALID AMX_SLOT_NONE /**< refers to nothing. Source: MessageToken::INVALID */

/** Quality of service: for the users, the store does not look at it. Source: QoSClass. */
enum amx_qos { AMX_QOS_BACKGROUND = 1, AMX_QOS_BEST_EFFORT = 2, AMX_QOS_LATENCY_CRITICAL = 3 };
/** Flags of a message, for the users too. Source: MessageFlags. */
enum { AMX_MSG_FIRST = 1u << 0, AMX_MSG_LAST = 1u << 1, AMX_MSG_DEGRADE = 1u << 2 };
#define AMX_NO_DEADLINE UINT64_MAX

/** The header of a message. What the store sets stays as it set it, whatever a write guard's user does to it. Source:
 *  MessageHeader. */
struct amx_message_header {
    uint64_t trace_id;
    uint64_t sequence;
    uint64_t creation_tick;
    uint64_t deadline_ns;  /**< AMX_NO_DEADLINE: none */
    uint32_t payload_size; /**< bytes: set by the store */
    uint32_t type_id;      /**< of the payload: set by the store, compared with the store's if not 0 */
    uint8_t qos;           /**< enum amx_qos */
    uint8_t flags;         /**< AMX_MSG_* */
    uint8_t memory;        /**< class: set by the store */
    uint8_t reserved[5];
};
/** Of a message of which nothing is known. */
#define AMX_MESSAGE_HEADER_INIT                                                                                        \
    {                                                                                                                  \
        .deadline_ns = AMX_NO_DEADLINE, .qos = AMX_QOS_BEST_EFFORT                                                     \
    }

struct amx_store;

/** A shared borrow. */
struct amx_read {
    const struct amx_message_header *header;
    const void *payload;
    uint32_t size; /**< bytes of payload */
    amx_token token;
    struct amx_store *store; /* the library's, from here on; NULL: ended */
    uint32_t guard;
};

/** An exclusive borrow. */
struct amx_write {
    struct amx_message_header *header;
    void *payload;
    uint32_t size;     /**< bytes of payload: may be changed, up to capacity */
    uint32_t capacity; /**< bytes that it may have: payload_max, or as many as now if bytes have a hard mark */
    amx_token token;
    struct amx_store *store; /* the library's; NULL: ended */
};

/* --- Making ------------------------------------------------------------------------------------------------------ */

/** What happens to a message that would pass a mark. What is borrowed does not go. Where that would not do, nothing goes (a
 *  sample: others may come in between). No place free: the same, with AMX_E_NOMEM. Source: the admission policies. */
enum amx_policy {
    AMX_POLICY_NONE = 0,        /**< there are no marks */
    AMX_POLICY_REJECT = 1,      /**< beyond the hard mark: AMX_E_FULL, the caller keeps his message */
    AMX_POLICY_DROP_NEWEST = 2, /**< beyond the hard mark: AMX_OK and AMX_TOKEN_INVALID, the new one is dropped */
    AMX_POLICY_DROP_OLDEST =
        3, /**< beyond the soft mark the oldest goes for it; AMX_E_FULL if that does not do for the hard one */
    AMX_POLICY_EVICT = 4 /**< beyond the hard mark the oldest go until it fits; AMX_E_FULL if others use them */
};

/** Marks of a store. Every message counts from when a place was taken for it until it is freed. 0: no such mark. */
struct amx_marks {
    enum amx_policy policy;
    uint32_t soft_items, hard_items; /**< messages */
    uint64_t soft_bytes, hard_bytes; /**< of payload */
};

/** What a store is made of. */
struct amx_store_config {
    uint32_t depth;       /**< messages, 1..AMX_STORE_DEPTH */
    uint32_t payload_max; /**< bytes of a message's payload, 0..AMX_STORE_PAYLOAD */
    uint32_t type_id;     /**< of its payloads; 0: not told apart */
    uint32_t
        threads;     /**< 0: one thread, as fast as can be; else 1..AMX_STORE_THREADS views. Shared: 0, handles count */
    uint32_t memory; /**< enum amx_memory; shared: AMX_MEMORY_SHARED, or 0 */
    struct amx_marks marks;
};

/** Bytes of a store of one thread: a constant, for static arrays. The same as amx_store_required_size tells. */
#define AMX_STORE_BYTES(depth, payload_max)                                                                            \
    (192u + 256u + AMX_STORE_UP_((depth)*8u, 64u) + AMX_STORE_UP_(AMX_STORE_UP_((depth), 64u) / 8u, 64u) +             \
     AMX_STORE_UP_((depth) * (64u + AMX_STORE_UP_((payload_max), 16u)), 64u))
#define AMX_STORE_UP_(n, to) (((size_t)(n) + (to)-1u) / (to) * (to))

/** A view on a store. The fields are the library's. */
struct amx_store {
    unsigned char *base; /* NULL: none */
    amx_t *h;            /* NULL: not in a segment */
    struct amx_pool_part part;
    void *guards,
        *own;      /* words of all views, of this one; NULL: one thread, guards are counted in the messages' words */
    uint32_t each; /* how many each view has */
    const unsigned char *segment; /* in one: its first byte */
    const uint32_t *writable;     /* in one: not 0 while its handle may write there */
    int (*recover)(amx_t *h);     /* in one: what is done when there is too little; not named where there is none */
    uint32_t owner;               /* how it stands in words */
    uint32_t held;                /* guards that were got through this view and not ended */
    struct amx_store_config config;
    uint32_t heap; /* 1: the region is the store's, to be freed */
};

/** Bytes that a store needs. Pure. Errors: AMX_E_INVAL (the configuration: a number out of range, a soft mark above its hard
 *  one, a policy without the mark that it is about, a class that does not exist). */
AMX_API int amx_store_required_size(const struct amx_store_config *config, uint64_t *out);

/**
 * Makes an empty store in the len bytes at region (a multiple of 64), which nobody else uses yet, and the first view on it.
 * config->memory: not AMX_MEMORY_SHARED.
 * Errors: AMX_E_INVAL (the configuration, the address, too few bytes), AMX_E_ACCESS (AMX_MEMORY_PINNED, and the system
 * refuses to lock so much; whole pages are locked until amx_store_remove, so that two such stores should share none),
 * AMX_E_SYS. Without AMX_MEMORY_PINNED: no system call with threads 0, one for a random number else.
 * Killed inside: no store, to be made anew. Time: proportional to the depth. Source: StaticMemoryManager::new.
 */
AMX_API int amx_store_init(void *region, size_t len, const struct amx_store_config *config, struct amx_store *out);

/** The same in memory from malloc, which amx_store_remove frees. Errors also: AMX_E_NOMEM. Source: HeapMemoryManager::new. */
AMX_API int amx_store_new(const struct amx_store_config *config, struct amx_store *out);

/** A view for another thread. of: any view of the store, by whichever thread. Errors: AMX_E_FULL (config.threads views are
 *  in use), AMX_E_INVAL (a store of one thread, or a shared one: there amx_share and amx_store_attach_block). Source:
 *  ScopedManager::scoped_handle. */
AMX_API int amx_store_scoped(const struct amx_store *of, struct amx_store *out);

/** Gives the view back; that of amx_store_new stays, as the memory is its own. Errors: AMX_E_BORROW_ACTIVE (it holds guards).
 *  The messages stay. */
AMX_API int amx_store_close(struct amx_store *store);

/**
 * What the thread with view number `owner` (amx_store_owner) left behind, which has ended, or, in a store of one thread (1),
 * has lost its guards: its read guards lapse, what it was changing is poisoned, what it was storing is freed, its view may be
 * given anew. *freed, *poisoned (may be NULL): how many. The caller answers for it that it executes no call any more.
 * Shared: AMX_E_INVAL, amx_recover does it, and knows who is dead. Killed inside: done in part; call again.
 */
AMX_API int amx_store_recover(struct amx_store *store, uint32_t owner, uint64_t *freed, uint64_t *poisoned);

/** Number of this view among those of its store, 1..threads; shared: low 12 bits of the handle's id. 0: a null view. */
AMX_API uint32_t amx_store_owner(const struct amx_store *store);

/**
 * Makes a store at the beginning of the published block `block` of a segment, whose payload address must be a multiple of 64
 * (amx_alloc_aligned), and registers it (amx_object.h).
 * Errors: as amx_store_init; those of references; AMX_E_OWNER (the block is not published), AMX_E_FULL (AMX_OBJECTS are
 * registered). Killed inside: no store or a complete one, in a block that stays; amx_stores finds it.
 */
AMX_API int amx_store_init_block(amx_t *h, amx_ref block, const struct amx_store_config *config, struct amx_store *out);

/** A view on the store there, for this handle. config: what it must be, or NULL. Errors: AMX_E_LAYOUT (no store, of another
 *  version or configuration, or it contradicts itself), AMX_E_STALE (it was removed; references), those of references. On a
 *  read-only handle: to walk, check and count. */
AMX_API int amx_store_attach_block(amx_t *h, amx_ref block, const struct amx_store_config *config,
                                   struct amx_store *out);

/** Allocates a block, publishes it and makes a store in it. Errors: those of an allocation and of amx_store_init_block.
 *  Killed inside: nothing, or a published block that recovery tells. */
AMX_API int amx_store_create(amx_t *h, const struct amx_store_config *config, amx_ref *block, struct amx_store *out);

/** Ends a store: its messages are lost, views become invalid; all must be idle. In a segment the block may be freed after
 *  AMX_OK. Errors: AMX_E_BORROW_ACTIVE (this view holds guards), AMX_E_BUSY (a recovery may be looking at it: call again),
 *  AMX_E_STALE. */
AMX_API int amx_store_remove(struct amx_store *store);

/** A store of a segment. */
struct amx_store_place {
    size_t struct_size;
    amx_ref block;
    uint64_t object; /**< id of its registration */
};
typedef int amx_stores_fn(const struct amx_store_place *place, void *ctx); /**< not 0: stop */
/** Calls fn for each registered store of the segment. A sample. Returns fn's number if not 0. */
AMX_API int amx_stores(const amx_t *h, amx_stores_fn *fn, void *ctx);

/* --- Storing and reading ----------------------------------------------------------------------------------------- */

/**
 * Copies a message into the store. header: NULL for AMX_MESSAGE_HEADER_INIT. Release: who reads by the token sees it all.
 * Errors: AMX_E_NOMEM (published: NoFreeSlots), AMX_E_TOO_BIG (size > payload_max), AMX_E_TYPE (the header names another type
 * than the store's), AMX_E_FULL (its policy, see enum amx_policy). AMX_OK with AMX_TOKEN_INVALID: dropped by policy.
 * Killed inside: nothing is stored, or a complete message (shared: whose token nobody may know; amx_store_walk tells it).
 * Time: the copy; the words of the store if none is free or if it has marks. Source: MemoryManager::store.
 */
AMX_API int amx_msg_store(struct amx_store *store, const struct amx_message_header *header, const void *payload,
                          size_t size, amx_token *out);

/** The same without the copy: a place for size bytes of payload, whose contents are whatever was there, to be filled through
 *  the guard; amx_write_end stores it, amx_msg_discard gives it back. out->token is good from amx_write_end on. Errors: as
 *  amx_msg_store. Dropped by policy: AMX_OK, and out->store is NULL. */
AMX_API int amx_msg_reserve(struct amx_store *store, const struct amx_message_header *header, size_t size,
                            struct amx_write *out);

/**
 * Borrows a message for reading. Acquires what was stored.
 * Errors: AMX_E_BORROWED (published: AlreadyBorrowed; somebody changes, frees or tries to), AMX_E_POISONED, AMX_E_NO_GUARD (all
 * guards of this view or handle are in use; in a store of one thread: 4094 on this message), AMX_E_CORRUPT (also: its size is
 * impossible).
 * Killed inside: the guard lapses. Wait-free. Source: MemoryManager::read.
 */
AMX_API int amx_msg_read(struct amx_store *store, amx_token token, struct amx_read *out);

/** Borrows a message for changing it. Errors: AMX_E_BORROWED (somebody reads or changes it), AMX_E_POISONED. Killed inside:
 *  as it was; poisoned once *out could be seen by the caller. Time: a look at the guards of all views, or of all handles.
 *  Source: MemoryManager::read_mut. */
AMX_API int amx_msg_read_mut(struct amx_store *store, amx_token token, struct amx_write *out);

/** Borrows a poisoned message, to look at it and to mend it; ending the guard makes it a message again. Errors: AMX_E_STATE
 *  (it is not poisoned), AMX_E_BORROWED. Killed with it: poisoned again. Source: none; the published one lost the slot. */
AMX_API int amx_msg_recover(struct amx_store *store, amx_token token, struct amx_write *out);

/** Ends a read guard. Releases: what it read was read before anybody changes it. */
AMX_API void amx_read_end(struct amx_read *guard);

/** Ends a write guard, with guard->size bytes of payload. Release. Errors: AMX_E_TOO_BIG (size > capacity; the guard stays),
 *  AMX_E_STALE (ended already). */
AMX_API int amx_write_end(struct amx_write *guard);

/** Ends a write guard and leaves the message poisoned: what was begun could not be finished. Of a place that was
 *  reserved: as amx_msg_discard. Errors: AMX_E_STALE. Source: a panic while a write guard is held. */
AMX_API int amx_msg_poison(struct amx_write *guard);

/** Ends a write guard and frees the message. Errors: AMX_E_STALE. */
AMX_API int amx_msg_discard(struct amx_write *guard);

/**
 * Frees a message, poisoned ones too. Of several, one wins.
 * Errors: AMX_E_BORROW_ACTIVE (somebody borrows it, also this caller), AMX_E_DOUBLE_FREE (this very message was freed, and the
 * place is still free). Killed inside: freed, or as it was. Time: as amx_msg_read_mut. Source: MemoryManager::free.
 */
AMX_API int amx_msg_free(struct amx_store *store, amx_token token);

/** Copies a message's header. The payload's type need not be known. Errors: as amx_msg_read. Source: HeaderStore::peek_header,
 *  which lent it. */
AMX_API int amx_msg_peek_header(struct amx_store *store, amx_token token, struct amx_message_header *out);

/** Stores a copy of a message in another store (AMX_ADAPT). The original stays. Errors: as amx_msg_read and
 *  amx_msg_store. */
AMX_API int amx_msg_copy(struct amx_store *from, amx_token token, struct amx_store *to, amx_token *out);

/** Guards that end with their scope: AMX_SCOPED_READ g; if (!amx_msg_read(s, t, &g)) ... A call that fails leaves no guard in
 *  it. If the scope may be left before the call: AMX_SCOPED_READ g = {0}; */
#define AMX_SCOPED_READ  struct amx_read __attribute__((cleanup(amx_read_end)))
#define AMX_SCOPED_WRITE struct amx_write __attribute__((cleanup(amx_write_scope_)))
/** For AMX_SCOPED_WRITE: ends it, or poisons the message if its size is impossible. */
AMX_API void amx_write_scope_(struct amx_write *guard);

/* --- The same with a time-out -------------------------------------------------------------------------------------- */

/**
 * Waits until what stands in the way is gone (AMX_E_NOMEM and AMX_E_FULL; AMX_E_BORROWED and AMX_E_BORROW_ACTIVE;
 * AMX_E_NO_GUARD is the caller's own affair), or timeout_ns nanoseconds of the monotonic clock are over (0: only try;
 * UINT64_MAX: no limit). Sleeps on a futex that who ends a guard or frees wakes; looks by itself every 10 ms, and, in a segment
 * attached without AMX_F_NO_RECOVER, recovers the dead then. Errors also: AMX_E_TIMEOUT. Who waits for a guard that he
 * holds himself waits for the time-out.
 */
AMX_API int amx_msg_store_wait(struct amx_store *store, const struct amx_message_header *header, const void *payload,
                               size_t size, uint64_t timeout_ns, amx_token *out);
AMX_API int amx_msg_read_wait(struct amx_store *store, amx_token token, uint64_t timeout_ns, struct amx_read *out);
AMX_API int amx_msg_read_mut_wait(struct amx_store *store, amx_token token, uint64_t timeout_ns, struct amx_write *out);
AMX_API int amx_msg_free_wait(struct amx_store *store, amx_token token, uint64_t timeout_ns);

/* --- Admission --------------------------------------------------------------------------------------------------- */

/** How full a store is, by its marks. Source: WatermarkState. */
enum amx_watermark { AMX_BELOW_SOFT = 0, AMX_BETWEEN = 1, AMX_AT_OR_ABOVE_HARD = 2 };

/** Where it stands: the higher one of items and bytes; *items, *bytes (may be NULL). Reads every word. */
AMX_API int amx_store_watermark(const struct amx_store *store, enum amx_watermark *out, uint64_t *items,
                                uint64_t *bytes);

/** Frees the oldest message that nobody borrows; *token (may be NULL): which it was. Errors: AMX_E_INVAL (a store without a
 *  policy does not know their age), AMX_E_NOENT (there is none), AMX_E_BORROW_ACTIVE (all are borrowed or were freed by
 *  others meanwhile). */
AMX_API int amx_store_evict(struct amx_store *store, amx_token *token);

/* --- Looking ----------------------------------------------------------------------------------------------------- */

/** Free places. A sample; exact at rest. Reads every word. Source: available. */
AMX_API int amx_store_available(const struct amx_store *store, uint32_t *out);
/** All places; 0 for a null view. Source: capacity. */
AMX_API uint32_t amx_store_capacity(const struct amx_store *store);
/** Memory class, enum amx_memory. Source: memory_class. */
AMX_API int amx_store_memory_class(const struct amx_store *store, uint32_t *out);

/** A message, as amx_store_walk tells it. */
struct amx_store_message {
    size_t struct_size;
    amx_token token; /**< 0 if free or being stored */
    uint32_t index;
    uint32_t state;   /**< AMX_STATE_FREE, ALLOCATED (being stored), STORED, CLAIMED, WRITING, POISONED */
    uint32_t owner;   /**< who stores, claims or changes it; 0 nobody */
    uint32_t readers; /**< read guards on it */
    uint32_t size;    /**< bytes of payload */
    uint64_t age;     /**< in a store with a policy: grows with each message that was stored */
    struct amx_message_header header; /**< of a message that is stored; a sample: somebody may be changing it */
};
typedef int amx_store_walk_fn(const struct amx_store_message *message, void *ctx); /**< not 0: stop */
/** Calls fn for each place, free ones too. Each is told as it was at one moment but for its header. Reads only. Returns fn's
 *  number if not 0. */
AMX_API int amx_store_walk(const struct amx_store *store, amx_store_walk_fn *fn, void *ctx);

/** Numbers of a store. Samples; exact at rest. */
struct amx_store_stats {
    size_t struct_size; /**< set by the caller: sizeof(struct amx_store_stats) */
    struct amx_store_config config;
    uint32_t used; /**< places that are not free */
    uint32_t storing, claimed, writing, poisoned;
    uint32_t guards;                     /**< read guards held */
    uint64_t bytes;                      /**< of payload */
    uint32_t high;                       /**< most places in use, see struct amx_pool_stats */
    uint64_t exhausted;                  /**< times that no place was free */
    uint64_t evicted, dropped, rejected; /**< by policy */
};
AMX_API int amx_store_stat(const struct amx_store *store, struct amx_store_stats *out);

/** Checks a store, as amx_pool_check a pool (finding, grades, result), and: the head says what it said at attach, sizes are
 *  possible, what a dead handle was changing or storing is undone. */
AMX_API int amx_store_check(const struct amx_store *store, amx_check_fn *fn, void *ctx,
                            struct amx_pool_check_result *out);

#ifdef __cplusplus
}
#endif
#endif
