/* SPDX-License-Identifier: Apache-2.0 */
/*
 * amx - Atomic Matrix: memory that several processes share, allocate from and give to one another.
 *
 * Caveats first
 * -------------
 * - A handle (`amx_t *`) may be used by one thread at a time. Each thread takes its own with amx_share().
 * - After fork() the child's calls answer AMX_E_FORKED; it attaches for itself. The mapping stays readable until
 *   the child calls amx_close() on the inherited owner handle.
 * - No call may be made from a signal handler on a handle that the interrupted thread may be using; a handle of
 *   its own is fine there for every call but create, attach, open, close, share and unshare (these allocate).
 * - A thread that leaves a call by longjmp or asynchronous cancellation keeps what it held until its process ends.
 * - Private blocks fall with the process that owns them. What must outlive its maker is published
 *   (amx_publish), given (amx_give) or put into a state from AMX_STATE_KEPT on.
 * - Remote file systems are not supported: peers are told dead from alive by locks that the kernel keeps.
 * - Freed memory is not cleared: use amx_zalloc() where old bytes must not be seen.
 *
 * Rules for every call (a function's own comment only says what differs)
 * ---------------------------------------------------------------------
 * - Result: AMX_OK (0) or a negative `enum amx_err`; results come through the last parameters, which are written
 *   on success only, unless the comment says otherwise. The library never prints, aborts or sets errno for you.
 * - Sizes and offsets are bytes. Offsets count from the first byte of the segment and are the same in each process.
 * - No call waits for another thread or process, except amx_alloc_wait().
 * - Killed inside: a process may be killed at any instruction of any call. What it held is private to it and is
 *   freed by recovery; nobody else waits, nothing is lost, and no block is handed out twice.
 * - AMX_E_FORKED, AMX_E_READONLY (a call that writes on a read-only attachment) and AMX_E_INVAL (a null handle or
 *   out-parameter) can come from each of them and are not repeated.
 */
#ifndef AMX_H
#define AMX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AMX_VERSION_MAJOR 0
#define AMX_VERSION_MINOR 1
#define AMX_VERSION_PATCH 0
#define AMX_VERSION       (AMX_VERSION_MAJOR * 10000 + AMX_VERSION_MINOR * 100 + AMX_VERSION_PATCH)

#if defined(__GNUC__)
#define AMX_API __attribute__((visibility("default")))
#else
#define AMX_API
#endif

/** Answers. The values are stable across versions. "Published" names what the AtomicMatrix documents call it. */
enum amx_err {
    AMX_OK = 0,
    AMX_E_INVAL = -1,          /**< an argument is null, out of range or does not fit the others */
    AMX_E_NOMEM = -2,          /**< nothing large enough is free (published: AllocationFailed, out of memory) */
    AMX_E_BUSY = -3,           /**< what would be suitable is in use by others just now; try again (AllocationFailed) */
    AMX_E_TOO_BIG = -4,        /**< the request can never fit into this segment */
    AMX_E_RESERVED = -5,       /**< a state of 0-48, which only the library may set (published: ReservedStatus) */
    AMX_E_STATE = -6,          /**< the block is not in the expected state (published: TransitionFailed) */
    AMX_E_OFFSET = -7,         /**< no block can lie at this offset: outside the data, or unaligned (InvalidOffset) */
    AMX_E_DOUBLE_FREE = -8,    /**< the block is free already */
    AMX_E_STALE = -9,          /**< the reference is of another segment, or of a life of the block that is over */
    AMX_E_FOREIGN = -10,       /**< the pointer does not point into this segment's data */
    AMX_E_WILD = -11,          /**< the pointer or offset is inside the data, but no block begins there */
    AMX_E_FULL = -12,          /**< a table is full (peers, handles, objects, views), or a mark is reached */
    AMX_E_CORRUPT = -13,       /**< the segment contradicts itself; the damaged part is left alone */
    AMX_E_PEER_DEAD = -14,     /**< the other handle is closed or its process is dead */
    AMX_E_FORKED = -15,        /**< the handle belongs to the parent process; attach first */
    AMX_E_READONLY = -16,      /**< the segment is attached read-only */
    AMX_E_NOENT = -17,         /**< there is no such segment */
    AMX_E_EXIST = -18,         /**< there is such a segment already */
    AMX_E_ACCESS = -19,        /**< the system denies access */
    AMX_E_NOSPC = -20,         /**< the file system has not enough room for the segment */
    AMX_E_LAYOUT = -21,        /**< not a segment, or one of another layout, word size or byte order */
    AMX_E_NAME = -22,          /**< not a valid segment name */
    AMX_E_TIMEOUT = -23,       /**< the time is over */
    AMX_E_SYS = -24,           /**< a system call failed for another reason */
    AMX_E_OWNER = -25,         /**< the block's owner is not the one that this call needs */
    AMX_E_ALIVE = -26,         /**< the peer is alive */
    AMX_E_PARTIAL = -27,       /**< done in part: something is held by a process that is stopped or busy */
    AMX_E_QUOTA = -28,         /**< the owner has as many slots of the pool as one may have */
    AMX_E_BORROWED = -29,      /**< somebody borrows the message in a way that excludes this (AlreadyBorrowed) */
    AMX_E_BORROW_ACTIVE = -30, /**< it cannot end while it is borrowed (BorrowActive) */
    AMX_E_POISONED = -31,      /**< who was changing the message died or gave up (Poisoned) */
    AMX_E_NO_GUARD = -32,      /**< all read guards of this handle or view are in use */
    AMX_E_TYPE = -33,          /**< a payload of another type than the store's */
    AMX_E_LAST_ = -34          /**< one past the last code */
};

/** The text for a code of `enum amx_err`; "unknown code" for any other number. Never null. Any thread, also in a
 *  signal handler. */
AMX_API const char *amx_strerror(int code);

/** The version of the library that is loaded, as AMX_VERSION counts. */
AMX_API int amx_version(void);

/** A handle on a segment: the owner, which create, attach and open return, or one more for another thread. */
typedef struct amx amx_t;

/**
 * A reference to a block: (offset of the payload / 16) << 32 | low 32 bits of the block's generation.
 * A number that means the same in each process and may be stored in the segment or sent anywhere. It goes stale when
 * the block is freed or given away, and using it then is an answer, not a fault. 0 refers to nothing.
 */
typedef uint64_t amx_ref;
#define AMX_REF_NONE ((amx_ref)0)

/** The life of one handle, as other processes know it: never reused, 0 is nobody. */
typedef uint64_t amx_id;

/** Memory orders for the calls that let the caller choose. The numbers are ours, not those of <stdatomic.h>. */
enum amx_order { AMX_RELAXED = 0, AMX_ACQUIRE = 1, AMX_RELEASE = 2, AMX_ACQ_REL = 3, AMX_SEQ_CST = 4 };

/**
 * States. 0-48 are the library's, as in the published documents; 49-4095 are the user's.
 * When the owner of a private block dies, states up to 2047 fall with it; from AMX_STATE_KEPT on the block is
 * kept: it becomes nobody's, keeps its state, and recovery reports it so that the work can be redone.
 */
enum amx_state {
    AMX_STATE_FREE = 0,       /**< in its sector's matrix */
    AMX_STATE_ALLOCATED = 1,  /**< live, no user state yet */
    AMX_STATE_ACKED = 2,      /**< freed, waits in its sector's queue for the next holder */
    AMX_STATE_COALESCING = 3, /**< being merged */
    AMX_STATE_CACHED = 4,     /**< freed, kept by a handle for its next allocation */
    AMX_STATE_STORED = 5,     /**< a message (amx_store.h) that can be read */
    AMX_STATE_CLAIMED = 6,    /**< a message that somebody wants for himself, who looks whether others borrow it */
    AMX_STATE_WRITING = 7,    /**< a message that its owner changes */
    AMX_STATE_POISONED = 8,   /**< a message whose change was not finished */
    AMX_STATE_USER_MIN = 49,  /**< first state of the user (published: USER_STATE_MIN) */
    AMX_STATE_KEPT = 2048,    /**< first state that outlives its owner */
    AMX_STATE_MAX = 4095
};

#ifdef __cplusplus
}
#endif

#include "amx_arena.h"
#include "amx_look.h"
#include "amx_segment.h"

#endif
