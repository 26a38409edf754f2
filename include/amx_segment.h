/* SPDX-License-Identifier: Apache-2.0 */
/* Segments and who is attached to them: create, attach, open, close, unlink, handles, roots. Included by amx.h. */
#ifndef AMX_SEGMENT_H
#define AMX_SEGMENT_H

#include "amx.h"

#ifdef __cplusplus
extern "C" {
#endif

#define AMX_SIZE_MIN    (UINT64_C(64) << 10) /**< smallest segment: 64 KiB */
#define AMX_SIZE_MAX    (UINT64_C(64) << 30) /**< largest segment: 64 GiB */
#define AMX_NAME_MAX    64                   /**< longest segment name, in bytes */
#define AMX_ROOTS       16                   /**< root words of a segment */
#define AMX_PEERS_MAX   255
#define AMX_HANDLES_MAX 4094
#define AMX_GUARDS_MAX  64

/** Flags of struct amx_options. */
enum {
    AMX_F_READONLY = 1u << 0,    /**< attach: map without the right to write, take no peer entry, disturb nobody */
    AMX_F_REMOVE_LAST = 1u << 1, /**< create: the last peer that closes removes the name */
    AMX_F_SPARSE = 1u << 2,      /**< create: reserve no pages. Saves memory, but if the file system fills up, any
                                      access to the segment may end in SIGBUS */
    AMX_F_NO_RECOVER = 1u << 3,  /**< create, attach: nothing but amx_recover recovers; of this attachment alone */
    AMX_F_ALL_ = (1u << 4) - 1
};

/**
 * Options of create, attach and open. Begin with AMX_OPTIONS_INIT; 0 or NULL in a field means the default.
 * Attach looks at flags, dir, peer_name, map_hint, why only.
 */
struct amx_options {
    size_t struct_size;   /**< sizeof(struct amx_options): lets an older program meet a newer library */
    uint64_t size;        /**< bytes of the segment, AMX_SIZE_MIN..AMX_SIZE_MAX, rounded up to a page; default 64 MiB */
    uint64_t max_size;    /**< what it may grow to; tables and addresses are laid out for it; default: size */
    uint32_t peers;       /**< processes at the same time, 1..AMX_PEERS_MAX; default max_size / 32 KiB, 16..255 */
    uint32_t handles;     /**< handles at the same time, 1..AMX_HANDLES_MAX; default max_size / 32 KiB, 16..256 */
    uint32_t guards;      /**< read guards per handle, 1..AMX_GUARDS_MAX; default 8 */
    uint32_t sector_size; /**< a power of two, 4 KiB..8 MiB; default: largest power of two <= max_size / 128 */
    uint32_t flags;       /**< AMX_F_* */
    uint32_t mode;        /**< read and write bits of the file; default 0600, with a group 0660 */
    int64_t group;        /**< group id that the file is given; -1 (AMX_OPTIONS_INIT): none */
    const char *dir;      /**< directory of named segments; default $AMX_DIR, else /dev/shm */
    const char *peer_name; /**< how `amx` lists this process, up to 15 bytes; default: the command's name */
    const void *map_hint;  /**< address that the mapping is asked for (not forced); default: the kernel's choice */
    char *why;             /**< receives a sentence on failure: what, why and the way out; default: none */
    size_t why_len;        /**< bytes at why */
};
/* clang-format off */
#define AMX_OPTIONS_INIT {sizeof(struct amx_options), 0, 0, 0, 0, 0, 0, 0, 0, -1, NULL, NULL, NULL, NULL, 0}
/* clang-format on */

/**
 * Creates a segment and attaches to it. The name is
 *   - NAME (1..AMX_NAME_MAX of A-Z a-z 0-9 . _ -, not beginning with . or -): the file amx.NAME in the directory;
 *   - a path, that is, anything with a slash: that very file;
 *   - NULL: a random NAME, which amx_name() tells.
 * The segment is formatted in an unnamed file and becomes visible complete, or not at all: of several creators one
 * wins, and one that dies leaves nothing. Every page is reserved (unless AMX_F_SPARSE).
 * Errors: AMX_E_EXIST (name taken), AMX_E_NAME, AMX_E_INVAL (an option; why says which), AMX_E_NOSPC (why names the
 * free bytes and the way out), AMX_E_ACCESS, AMX_E_NOENT (no such directory), AMX_E_SYS.
 * Process: any; not in a signal handler. Killed inside: nothing, or the complete segment. Time: proportional to size
 * (pages are zeroed by the kernel). Source: AtomicMatrix::bootstrap (the published one resized on attach and let
 * everybody spin behind a creator that had died).
 */
AMX_API int amx_create(const char *name, const struct amx_options *opts, amx_t **out);

/**
 * Attaches to the segment `name` (as for amx_create; not NULL). Never changes its size. Everything in the header is
 * checked and copied to private memory before use. Takes a peer entry, unless AMX_F_READONLY.
 * Errors: AMX_E_NOENT, AMX_E_NAME, AMX_E_ACCESS, AMX_E_LAYOUT (why says what differs), AMX_E_FULL (all peer entries or
 * handles are taken by processes that live), AMX_E_BUSY (somebody is resetting or removing the segment: try again),
 * AMX_E_SYS.
 * Killed inside: a peer entry that the next recovery frees. Source: AtomicMatrix::bootstrap with an id.
 */
AMX_API int amx_attach(const char *name, const struct amx_options *opts, amx_t **out);

/** Attaches, and creates first if there is no such segment. Errors: those of both but AMX_E_EXIST; AMX_E_NOENT
 *  only if there is no such directory. To open is to write: not with AMX_F_READONLY (AMX_E_INVAL). */
AMX_API int amx_open(const char *name, const struct amx_options *opts, amx_t **out);

/**
 * Creates a segment without a name, in a memfd sealed against shrinking. `label` (may be NULL) shows in /proc only.
 * Pass amx_fd() over a Unix socket to those who are to attach with amx_attach_fd(). It is gone with its last user.
 */
AMX_API int amx_create_memfd(const char *label, const struct amx_options *opts, amx_t **out);

/**
 * Attaches to the segment behind a descriptor: a memfd that was received, or any file that holds a segment. The
 * descriptor stays the caller's. Errors: as amx_attach; AMX_E_LAYOUT also for a memfd that is not sealed against
 * shrinking.
 */
AMX_API int amx_attach_fd(int fd, const struct amx_options *opts, amx_t **out);

/**
 * Closes the owner handle and with it the attachment: flushes the caches of all its handles, frees what is still
 * private to them, gives back the peer entry, unmaps. All other handles of this attachment must be idle and become
 * invalid. What lies in a sector that another is inside of at that moment is left, with the entry, to the next
 * recovery. In a forked child it only unmaps. Removes the name if AMX_F_REMOVE_LAST was given and nobody is left.
 * Errors: AMX_E_INVAL (not an owner handle). Killed inside: as killed outside. Source: drop of MatrixHandler.
 */
AMX_API int amx_close(amx_t *owner);

/** Removes the name of a segment; those attached keep their memory. opts may be NULL. Errors: AMX_E_NOENT,
 *  AMX_E_NAME, AMX_E_ACCESS, AMX_E_LAYOUT (the file is not a segment: it is left alone), AMX_E_SYS. Source: die(). */
AMX_API int amx_unlink(const char *name, const struct amx_options *opts);

/**
 * Removes the name of a segment to which nobody alive is attached: what a crash of all its processes has left. A stopped
 * process is alive, and so is one in another pid namespace, as the kernel's locks tell. Read-only attachments do not
 * count; they keep their memory. opts may be NULL; dir, why as for attach. Takes no peer entry and writes nothing to the
 * segment. Of a racing attach either wins: it is in and the name stays, or it is answered AMX_E_NOENT (AMX_E_BUSY while
 * this call decides).
 * Errors: AMX_E_ALIVE (somebody is attached), AMX_E_BUSY (somebody attaches or removes it this moment), AMX_E_NOENT,
 * AMX_E_NAME, AMX_E_ACCESS (needs the right to write the file), AMX_E_LAYOUT (not a segment, damaged at the top or of
 * another layout: it is left alone), AMX_E_SYS.
 * Process: any. Killed inside: removed or not. Time: proportional to the peer table. Source: none; the published code
 * left such files.
 */
AMX_API int amx_gc(const char *name, const struct amx_options *opts);

/**
 * One more handle on the same attachment, for another thread. Any thread of the process may ask, through any of its
 * handles. Errors: AMX_E_FULL (all handle entries are taken), AMX_E_SYS (no private memory).
 * Killed inside: an entry that recovery frees. Source: MatrixHandler::share.
 */
AMX_API int amx_share(amx_t *any, amx_t **out);

/** Gives back a handle from amx_share: flushes its cache. Its blocks stay its process's: the next amx_share of this
 *  process takes them over, closing the attachment frees them. Errors: AMX_E_INVAL (the owner handle: amx_close). */
AMX_API int amx_unshare(amx_t *shared);

/** The name that was given or made up; the path for a path; "" for a descriptor. Valid until close. */
AMX_API const char *amx_name(const amx_t *h);

/** A descriptor of the segment, for passing to other processes; stays the library's. Negative: an error. */
AMX_API int amx_fd(const amx_t *h);

/** This handle's identity, to receive blocks by amx_give; 0 for a read-only handle. */
AMX_API amx_id amx_handle_id(const amx_t *h);

/** What a segment is: constant while attached. */
struct amx_segment_info {
    size_t struct_size;   /**< set by the caller: sizeof(struct amx_segment_info) */
    uint8_t id[16];       /**< uuid */
    uint8_t boot_id[16];  /**< of the system that created it */
    uint64_t size;        /**< bytes of the file */
    uint64_t max_size;    /**< bytes it may grow to */
    uint64_t data_offset; /**< where the first sector begins */
    uint64_t data_bytes;  /**< sectors * sector_size */
    uint64_t max_request; /**< largest n for which amx_alloc can ever succeed */
    uint64_t created_ns;  /**< wall clock at creation, nanoseconds since 1970 */
    uint32_t layout;      /**< layout version */
    uint32_t flags;       /**< AMX_F_REMOVE_LAST, AMX_F_SPARSE as created; AMX_F_READONLY of this attachment */
    uint32_t sector_size;
    uint32_t sectors;     /**< present */
    uint32_t sectors_max; /**< with max_size */
    uint32_t peers;       /**< size of the tables */
    uint32_t handles;
    uint32_t guards;
    uint32_t peers_used; /**< entries that are taken now */
    uint32_t handles_used;
};
AMX_API int amx_info(const amx_t *h, struct amx_segment_info *out);

/**
 * Roots: AMX_ROOTS words of the segment in which its users keep the references that everything else hangs on.
 * i: 0..AMX_ROOTS-1. Loads acquire, stores release, the exchange is acq_rel; a root does not keep a block alive.
 * Errors: AMX_E_INVAL (i); AMX_E_STATE from amx_root_cas: the word was not `expected`, *observed (may be NULL) is
 * what it was (written on success too). Killed inside: done or not done. Wait-free.
 */
AMX_API int amx_root_get(const amx_t *h, unsigned i, amx_ref *out);
AMX_API int amx_root_set(amx_t *h, unsigned i, amx_ref ref);
AMX_API int amx_root_cas(amx_t *h, unsigned i, amx_ref expected, amx_ref desired, amx_ref *observed);

/** A process that is attached, as amx_peers tells it. */
struct amx_peer {
    size_t struct_size;
    uint32_t index;      /**< of its entry */
    uint32_t pid;        /**< in its own pid namespace */
    uint64_t ticket;     /**< number of this attachment, never reused */
    uint64_t pid_ns;     /**< inode of its pid namespace */
    uint64_t start_time; /**< of the process, in clock ticks since boot */
    uint32_t alive;      /**< 1: alive, running or stopped; 0: dead, what it held awaits recovery */
    uint32_t stopped;    /**< 1: alive and stopped, by a signal or a debugger. 0 too if nobody can tell: a sample */
    uint32_t handles;    /**< entries it holds */
    char name[16];
};
typedef int amx_peer_fn(const struct amx_peer *peer, void *ctx); /**< not 0: stop */

/** Calls fn for each attached process. Reads only. A sample: peers come and go. Returns fn's number if not 0. */
AMX_API int amx_peers(const amx_t *h, amx_peer_fn *fn, void *ctx);

/** What recovery met and did not free, as a call-back is told. */
enum amx_kept_how {
    AMX_KEPT_STATE = 0, /**< the dead one's, in a state from AMX_STATE_KEPT on: its work may have to be redone */
    AMX_KEPT_PUBLISHED =
        1, /**< nobody's, in a sector that the dead one used; a block does not remember who published it. Blocks
                            of a pool's slots (AMX_POOL_ARENA) too: those are the pool's to free */
    AMX_KEPT_WORD = 3, /**< the dead one's word of an object (amx_object.h), in a kept state: nobody's now */
    AMX_KEPT_GIVEN = 2 /**< the dead one's last gift: the receiver's, who may not have been told its reference */
};
enum { AMX_KEPT_TAKE = 1 }; /**< a call-back's answer to AMX_KEPT_STATE: the block stays mine */
struct amx_kept {
    size_t struct_size;
    enum amx_kept_how how;
    uint32_t state;
    amx_ref ref;
    uint64_t bytes;  /**< with header */
    amx_id from;     /**< the dead handle; 0: not known */
    amx_id owner;    /**< at this moment: yours (STATE), nobody (PUBLISHED), the receiver (GIVEN) */
    uint32_t last;   /**< 1: what the dead one published or gave last. It may have told nobody */
    uint32_t object; /**< AMX_KEPT_WORD: entry of the object whose block is ref; else UINT32_MAX */
    uint32_t slot;   /**< and which of its words */
};
typedef int amx_kept_fn(const struct amx_kept *k, void *ctx);

/** What a recovery did. */
struct amx_recovery {
    size_t struct_size;   /**< set by the caller: sizeof(struct amx_recovery) */
    uint64_t blocks;      /**< freed, with those that words of registered objects owned */
    uint64_t bytes;       /**< of them, with headers */
    uint64_t kept_blocks; /**< the dead one's in a kept state: nobody's now, or taken by the call-back */
    uint64_t kept_bytes;
    uint64_t published_blocks; /**< nobody's blocks in the sectors that the dead had used */
    uint64_t published_bytes;
    uint64_t words;           /**< of registered objects, that were the dead one's */
    uint64_t given_blocks;    /**< last gifts that are their receivers' */
    uint32_t handles;         /**< of the dead, that there were */
    uint32_t sectors_rebuilt; /**< the dead were inside */
    uint32_t sectors_left;    /**< somebody alive is inside: what the dead have there awaits another call */
    uint32_t handles_left;    /**< entries that could not be given back yet */
};

/**
 * Takes back what dead peers held: steals the sectors that they were in, frees their private blocks, gives back
 * their entries. ticket: of one peer (struct amx_peer), or 0 for all dead ones. Any process, at any time, several at
 * once; the dead are told from the living by the kernel's locks, never by time-outs.
 *
 * fn (may be NULL) is called by this thread, with nothing held, once for each block that recovery met and did not free. A
 * block in a kept state is private to h during the call: nobody else gets it meanwhile. Then it becomes nobody's, in its
 * state; if fn returned AMX_KEPT_TAKE it stays h's. A negative number ends the recovery and is returned; what was not told
 * stays the dead one's. If this process dies in fn, the next recovery with a call-back tells the block again: each is
 * told at least once, never to two at a time. (A word of an object is nobody's before it is told.) Without fn such blocks become nobody's at once; amx_walk finds them by their
 * state. The other two kinds are information, and may come again when a sector had to be left. fn may make any call but
 * amx_recover and amx_close; entries of the dead are not used again before it returns.
 *
 * *out (may be NULL) is written on AMX_OK, AMX_E_PARTIAL and fn's number. Errors: AMX_E_PARTIAL: part of it is behind a
 * process that is stopped or busy in there; call again later. AMX_E_ALIVE: the peer lives. AMX_E_INVAL: no peer has had this
 * ticket, or *out has no size. A peer whose entry is gone already: AMX_OK, and zeros.
 * Killed inside: the next caller goes on. Time: proportional to the blocks in the sectors that the dead had used.
 */
AMX_API int amx_recover(amx_t *h, uint64_t ticket, amx_kept_fn *fn, void *ctx, struct amx_recovery *out);

#ifdef __cplusplus
}
#endif
#endif
