/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layer 0: every structure of the segment, and nothing else. docs/format.md tells the same in prose,
 * tests/layout_test.c in literal numbers. All is little-endian, 64-bit words on 8-byte boundaries; offsets, never
 * addresses. After a change here raise AMXI_LAYOUT.
 *
 *      0  +--------------------------------+
 *         | head: constants, roots         |  constants: the creator, once; roots: everybody
 *   page  +--------------------------------+
 *         | peers | handles | guards       |  their tenants, recoverers
 *   page  +--------------------------------+
 *         | sectors | acked | bitmap       |  the sector's holder; acked: everybody who frees
 *         | touched | hints                |  the handle, recoverers; hints: the sector's holder
 *   page  +--------------------------------+
 *         | data: sector 0, 1, ... N-1     |  blocks
 *   size  +--------------------------------+
 */
#ifndef AMXI_LAYOUT_H
#define AMXI_LAYOUT_H

#include "atomic.h"

#define AMXI_MAGIC      UINT64_C(0x314765735f786d61) /* "amx_seG1" in memory */
#define AMXI_LAYOUT     3u
#define AMXI_BYTE_ORDER 0x01020304u
#define AMXI_PAGE       4096u
#define AMXI_LINE       64u
#define AMXI_UNIT       16u /* every size and offset of a block is a multiple of it */
#define AMXI_UNIT_LOG2  4u

/* Counters that tell former lives from the present one. Each is the top of its word, so that a carry leaves the word and
 * meets no other field; they are compared for equality, or modulo. A test build may make all of them so narrow that they
 * wrap in a moment (AMX_NARROW: bits of a generation). */
#ifdef AMX_NARROW
#define AMXI_GEN_BITS    AMX_NARROW
#define AMXI_REF_BITS    (AMX_NARROW - 1) /* of a generation, in a reference */
#define AMXI_S_BITS      2                /* epoch of a sector */
#define AMXI_Q_BITS      1                /* round of a queue */
#define AMXI_H_BITS      2                /* epoch of a handle */
#define AMXI_O_BITS      2                /* epoch of a registered object */
#define AMXI_TICKET_BITS 3
#else
#define AMXI_GEN_BITS    40
#define AMXI_REF_BITS    32
#define AMXI_S_BITS      44
#define AMXI_Q_BITS      16
#define AMXI_H_BITS      52
#define AMXI_O_BITS      48
#define AMXI_TICKET_BITS 56
#endif
#define AMXI_MASK(bits)      ((UINT64_C(1) << (bits)) - 1)
#define AMXI_TOP(w, bits)    ((w) >> (64 - (bits)))
#define AMXI_AS_TOP(v, bits) ((uint64_t)(v) << (64 - (bits)))
/* The next of a counter where 0 means none. */
#define AMXI_NEXT(v, bits)   ((((v) + 1) & AMXI_MASK(bits)) + !(((v) + 1) & AMXI_MASK(bits)))

/* --- Head: page 0 --------------------------------------------------------------------------------------------- *
 *   0 magic | 8 layout, byte order | 16 word bits, head bytes | 24 features: compatible | 32 read-only compatible |
 *  40 incompatible | 48 id | 64 boot id | 80 size | 88 max size | 96 first generation | 104 created |
 * 112 geometry ... | 160 region directory | 448 reserved                                  } constants
 * 512 tickets                                                                             } everybody who attaches
 * 576 wait, pressure, handles high                                                        } read by all, rarely written
 * 640 roots[16] | 768 reserved                                                           } everybody
 * 1024 objects[32]                                                                       } who adds and removes, recoverers
 */
enum amxi_region {
    AMXI_R_HEAD = 1,
    AMXI_R_PEERS,
    AMXI_R_HANDLES,
    AMXI_R_GUARDS,
    AMXI_R_SECTORS,
    AMXI_R_ACKED,
    AMXI_R_BITMAP,
    AMXI_R_TOUCHED,
    AMXI_R_HINTS,
    AMXI_R_DATA,
    AMXI_R_COUNT_ = AMXI_R_DATA
};
#define AMXI_REGIONS_MAX 12u

struct amxi_region_body { /* constant */
    uint32_t kind;        /* enum amxi_region; 0: no entry */
    uint32_t stride;      /* bytes from one element to the next */
    uint64_t offset;      /* bytes, from the start of the segment */
    uint64_t size;        /* bytes, laid out for max_size */
};

/* A registered object: words of the lifecycle in a published block, which recovery frees as it frees blocks.
 *   0 word {status 4, tag 12, epoch 48} | 8 ref | 16 first | 24 kind, stride | 32 count, to | 40 pairs[4] | 56 cells
 * word: FREE -> MAKING(tag) by cas, -> LIVE by its maker's store, -> GOING(tag) -> FREE by cas; MAKING and GOING of the dead
 * -> FREE by recoverers. The rest: who has it MAKING.
 */
enum amxi_object_status { AMXI_O_FREE = 0, AMXI_O_MAKING = 1, AMXI_O_LIVE = 2, AMXI_O_GOING = 3 };
struct amxi_object_body {
    alignas(64) amxi_a64 word;
    amxi_a64 ref;
    amxi_a64 first;
    amxi_a32 kind;
    amxi_a32 stride;
    amxi_a32 count;
    amxi_a32 to;         /* state of a dead one's word 16 | number of pairs 16 */
    amxi_a32 pair[4];    /* from 16 | into 16 */
    amxi_a32 cells;      /* where the cells lie: bytes from the payload / 16; 0: there are none */
    amxi_a32 cells_from; /* the first word that has one */
};
static_assert(sizeof(struct amxi_object_body) == 64, "one line");
#define AMXI_O_STATUS(w)      ((uint32_t)((w)&0xf))
#define AMXI_O_TAG(w)         ((uint32_t)((w) >> 4 & 0xfff))
#define AMXI_O_EPOCH(w)       AMXI_TOP(w, AMXI_O_BITS)
#define AMXI_O_WORD(st, t, e) ((uint64_t)(st) | (uint64_t)(t) << 4 | AMXI_AS_TOP(e, AMXI_O_BITS))

struct amxi_head_body {
    /* Constants: written before the segment is visible, never again. Plain fields: nobody races. */
    uint64_t magic;
    uint32_t layout;
    uint32_t byte_order;
    uint32_t word_bits;  /* 64 */
    uint32_t head_bytes; /* sizeof(struct amxi_head_body) */
    uint64_t compat;     /* unknown bits: go on */
    uint64_t ro_compat;  /* unknown bits: attach read-only */
    uint64_t incompat;   /* unknown bits: refuse */
    uint8_t id[16];
    uint8_t boot_id[16];
    uint64_t size; /* bytes of the file */
    uint64_t max_size;
    uint64_t first_gen;   /* random, 40 bits: where generations begin */
    uint64_t created_ns;  /* wall clock */
    uint32_t sector_log2; /* 12..23 */
    uint32_t sectors;     /* present; the others up to sectors_max are ABSENT */
    uint32_t sectors_max;
    uint32_t peers;
    uint32_t handles;
    uint32_t guards; /* per handle */
    uint32_t bins;   /* lists per sector: bins 2..bins+1 */
    uint32_t flags;  /* AMX_F_REMOVE_LAST, AMX_F_SPARSE */
    uint32_t regions_used;
    uint32_t crc; /* CRC-32 (IEEE) of bytes 0..511 with this field 0 */
    uint8_t reserved0[8];
    struct amxi_region_body region[AMXI_REGIONS_MAX];
    uint8_t reserved1[64];

    alignas(64) amxi_a64 tickets; /* last ticket given; every attach adds 1 */
    uint8_t reserved2[56];

    alignas(64) amxi_a32 wait; /* bit 0: somebody sleeps for memory; above: wake-ups, mod 2^31. Futex */
    amxi_a32 pressure;         /* +1 by who runs short: live handles trim in their next slow path */
    amxi_a32 handles_high;     /* entries 0..high-1 have been used; raised by OPENING */
    uint8_t reserved3[52];

    alignas(64) amxi_a64 roots[16]; /* amx_ref; everybody */
    uint8_t reserved4[256];

    struct amxi_object_body object[32]; /* registered objects */
};
static_assert(sizeof(struct amxi_region_body) == 24, "directory entry");
static_assert(offsetof(struct amxi_head_body, sector_log2) == 112, "geometry");
static_assert(offsetof(struct amxi_head_body, crc) == 148, "crc");
static_assert(offsetof(struct amxi_head_body, region) == 160, "directory");
static_assert(offsetof(struct amxi_head_body, tickets) == 512, "constants fill 512 bytes");
static_assert(offsetof(struct amxi_head_body, wait) == 576, "own line");
static_assert(offsetof(struct amxi_head_body, roots) == 640, "own lines");
static_assert(offsetof(struct amxi_head_body, object) == 1024, "own lines");
static_assert(sizeof(struct amxi_head_body) == 3072, "head");

/* --- Peers: one line per attached process --------------------------------------------------------------------- *
 *   0 word {status 8, ticket 56} | 8 pid word {pid 32, low half of the ticket 32} | 16 pid namespace 32, boot id 32 | 24 start time
 *  32 map base | 40 name[16] | 56 attached at
 * word: FREE -> LIVE by the tenant (cas), LIVE -> DEAD by a recoverer or the leaving tenant (cas), DEAD -> FREE by a
 * recoverer (cas). The rest: the tenant, after it has LIVE. The kernel's side of it is an open-file-description lock on
 * byte AMXI_LOCK_TICKET + ticket of the file, held from before LIVE until the process is gone.
 */
enum amxi_peer_status { AMXI_PEER_FREE = 0, AMXI_PEER_LIVE = 1, AMXI_PEER_DEAD = 2 };
struct amxi_peer_body {
    alignas(64) amxi_a64 word;
    amxi_a64 pid;
    amxi_a64 pid_ns;
    amxi_a64 start_time; /* clock ticks since boot, /proc/PID/stat field 22 */
    amxi_a64 map_base;   /* address of the tenant's mapping: identification only, never followed */
    amxi_a64 name[2];
    amxi_a64 since_ns; /* wall clock */
};
static_assert(sizeof(struct amxi_peer_body) == 64, "one line");
#define AMXI_PEER_STATUS(w)     ((uint32_t)((w)&0xff))
#define AMXI_PEER_TICKET(w)     AMXI_TOP(w, AMXI_TICKET_BITS)
#define AMXI_PEER_WORD(st, t)   ((uint64_t)(st) | AMXI_AS_TOP(t, AMXI_TICKET_BITS))
/* Was ticket t given after u? Modulo: the nearer way. */
#define AMXI_TICKET_AFTER(t, u) ((((t) - (u)-1) & AMXI_MASK(AMXI_TICKET_BITS)) < AMXI_MASK(AMXI_TICKET_BITS - 1))
#define AMXI_LOCK_ATTACH        (INT64_C(1) << 56) /* byte that attach read-locks; who removes the name write-locks it */
#define AMXI_LOCK_TICKET        (INT64_C(1) << 57) /* + ticket (mod 2^56) */

/* --- Handles: two lines per handle, and its guards ------------------------------------------------------------ *
 * line 0: 0 word {status 4, peer 8, epoch 52} | 8 purging, giving | 16 objects | 24 flow[4]: the tenant | 56 reserved
 * line 1: 64 counters[7] | 120 handed: written by the tenant only
 * word: FREE -> OPENING (cas, epoch + 1) -> OPEN <-> CLOSED by the tenant's process; OPENING, OPEN, CLOSED -> DEAD by a
 * recoverer or the leaving process; DEAD -> QUIET -> FREE by recoverers. Never back.
 */
enum amxi_handle_status {
    AMXI_H_FREE = 0,
    AMXI_H_OPENING = 1,
    AMXI_H_OPEN = 2,
    AMXI_H_CLOSED = 3,
    AMXI_H_DEAD = 4,
    AMXI_H_QUIET = 5
};
enum amxi_counter {
    AMXI_C_REFILL = 0, /* magazines filled from a sector */
    AMXI_C_FLUSH,      /* magazines emptied into sectors */
    AMXI_C_SKIP,       /* sectors passed over because somebody was in them */
    AMXI_C_PUSH,       /* pushes on a sector's queue */
    AMXI_C_DRAIN,      /* blocks taken from queues */
    AMXI_C_LARGE,      /* large blocks made */
    AMXI_C_REBUILD,    /* sectors rebuilt */
    AMXI_C_COUNT_
};
enum amxi_flow {
    AMXI_F_HITS = 0, /* allocations that magazines served, as far as told: in the next slow path of the magazine */
    AMXI_F_TAKEN,    /* bytes that it took from the matrix, with headers */
    AMXI_F_RETURNED, /* bytes that it gave back to it or put into a queue */
    AMXI_F_HIGH,     /* the most that the one was ahead of the other */
    AMXI_F_COUNT_
};
struct amxi_handle_body {
    alignas(64) amxi_a64 word;
    amxi_a32 purging; /* how many of the tenant's threads use a list of dead handles (sc: recycling waits for it) */
    amxi_a32 giving;  /* entry + 1 of the handle that it is giving to (sc: that entry is not recycled meanwhile) */
    amxi_a32 objects; /* bit i: the tenant may own words of object i. Set by the tenant, cleared by recoverers */
    uint8_t reserved0[4];
    amxi_a64 flow[AMXI_F_COUNT_]; /* written in slow paths only: this line is read by others */
    uint8_t reserved1[8];
    alignas(64) amxi_a64 counter[AMXI_C_COUNT_];
    amxi_a64 handed; /* amx_ref that the tenant published or gave last, noted before it did; recovery: 0 */
};
static_assert(offsetof(struct amxi_handle_body, flow) == 24, "first line");
static_assert(offsetof(struct amxi_handle_body, handed) == 120, "own line");
static_assert(sizeof(struct amxi_handle_body) == 128, "two lines");
#define AMXI_H_STATUS(w)      ((uint32_t)((w)&0xf))
#define AMXI_H_PEER(w)        ((uint32_t)((w) >> 4 & 0xff))
#define AMXI_H_EPOCH(w)       AMXI_TOP(w, AMXI_H_BITS)
#define AMXI_H_WORD(st, p, e) ((uint64_t)(st) | (uint64_t)(p) << 4 | AMXI_AS_TOP(e, AMXI_H_BITS))
/* Guards: handles * guards words, each a message that the tenant reads (guard.c), or 0; written by the tenant. */
/* amx_id of a handle: epoch << 12 | entry + 1. */
#define AMXI_ID(tag, epoch)   ((uint64_t)(epoch) << 12 | (tag))
#define AMXI_ID_TAG(id)       ((uint32_t)((id)&0xfff))
#define AMXI_ID_EPOCH(id)     ((id) >> 12)

/* --- Sectors: 64 bytes and the heads of the lists -------------------------------------------------------------- *
 *   0 word {kind 4, who 16, epoch 44} | 8 drain {entry 32, 16 unused, round 16} | 16 gclock
 *  24 first, cut by, ext len, ext tail | 40 fl | 44 sl[20] | 64 head[bins]
 * word: by cas into HELD, by store out of it. Everything else: the holder (a large block's sectors: docs/design.md).
 * acked (own array): {entry 32, count 16, round 16}: pushed by anybody (cas), taken whole by the holder (cas).
 * entry = unit in the sector + 1; 0: empty.
 */
enum amxi_kind {
    AMXI_K_ABSENT = 0,     /* beyond the present size */
    AMXI_K_IDLE = 1,       /* nobody inside */
    AMXI_K_HELD = 2,       /* who: entry + 1 of the handle inside */
    AMXI_K_HEAD = 3,       /* first sector of a large block */
    AMXI_K_CONT = 4,       /* inside a large block; who: the sector of its head */
    AMXI_K_QUARANTINED = 5 /* damaged: left alone */
};
struct amxi_sector_body {
    alignas(64) amxi_a64 word;
    amxi_a64 drain;    /* queue being taken over by the holder, crash-proof */
    amxi_a64 gclock;   /* 40 bits: above every generation that vanished in this sector */
    amxi_a32 first;    /* unit where the chain begins; HEAD: unit of the large block's header */
    amxi_a32 cut_by;   /* if first != 0 and not HEAD: sector of the large block that owns units 0..first-1 */
    amxi_a32 ext_len;  /* large block headed here: whole sectors */
    amxi_a32 ext_tail; /* and units of the next one */
    amxi_a32 fl;       /* bit f: sl[f] is not 0 */
    amxi_a8 sl[20];    /* bit i of sl[f]: list of bin 8f + i is not empty */
    amxi_a32 head[];   /* of bin 2, 3, ...: unit of the first free block + 1, 0 empty */
};
static_assert(offsetof(struct amxi_sector_body, first) == 24, "sector");
static_assert(offsetof(struct amxi_sector_body, sl) == 44, "sector");
static_assert(offsetof(struct amxi_sector_body, head) == 64, "one line before the heads");
#define AMXI_S_KIND(w)       ((uint32_t)((w)&0xf))
#define AMXI_S_WHO(w)        ((uint32_t)((w) >> 4 & 0xffff))
#define AMXI_S_EPOCH(w)      AMXI_TOP(w, AMXI_S_BITS)
#define AMXI_S_WORD(k, o, e) ((uint64_t)(k) | (uint64_t)(o) << 4 | AMXI_AS_TOP(e, AMXI_S_BITS))
#define AMXI_Q_ENTRY(a)      ((uint32_t)(a))
#define AMXI_Q_COUNT(a)      ((uint32_t)((a) >> 32 & 0xffff))
#define AMXI_Q_ROUND(a)      ((uint32_t)AMXI_TOP(a, AMXI_Q_BITS))
#define AMXI_Q_WORD(e, c, r) ((uint64_t)(e) | (uint64_t)(c) << 32 | AMXI_AS_TOP(r, AMXI_Q_BITS))

/* Hints, two bytes per sector in two arrays: avail = bin of the largest free block, 255 all of it, 0 nothing;
 * backlog = the queue is not empty. They may lie: whoever believes them looks again inside. */
#define AMXI_AVAIL_WHOLE     255u

/* --- Blocks ------------------------------------------------------------------------------------------------------ *
 *   0 w0 {state 12, owner 12, generation 40} | 8 w1 {size 20, link 21, 0 23} | 16 payload ...
 * w0, who may write it: FREE, COALESCING: the sector's holder. CACHED(h): the thread of h. ACKED(h): h until it has
 * pushed it, then the holder. All live states (1, 49-4095): anybody, by cas on the whole word.
 * w1: size in units with header (0: head of a large block, whose size the sector tells): the holder while FREE or
 * COALESCING or newly made. link: entry of the next block in the queue: who may write w0.
 * A FREE block's payload begins with the next and previous entry of its list (u32, u32), and its last 4 bytes are its
 * size, so that its right neighbour finds it.
 */
struct amxi_block_body {
    alignas(16) amxi_a64 w0;
    amxi_a64 w1;
};
struct amxi_free_body {
    alignas(16) amxi_a64 w0;
    amxi_a64 w1;
    amxi_a32 next; /* unit + 1 */
    amxi_a32 prev; /* unit + 1 */
};
static_assert(sizeof(struct amxi_block_body) == 16, "header");
#define AMXI_UNITS_MIN      2u /* smallest block: header, two links, footer */
#define AMXI_UNITS_MAX      (1u << 19)
#define AMXI_GEN_MASK       AMXI_MASK(AMXI_GEN_BITS)
#define AMXI_W0(st, own, g) ((uint64_t)(st) | (uint64_t)(own) << 12 | AMXI_AS_TOP(g, AMXI_GEN_BITS))
#define AMXI_W0_STATE(w)    ((uint32_t)((w)&0xfff))
#define AMXI_W0_OWNER(w)    ((uint32_t)((w) >> 12 & 0xfff))
#define AMXI_W0_TAG(w)      ((uint32_t)((w)&0xffffff)) /* state and owner */
#define AMXI_W0_GEN(w)      AMXI_TOP(w, AMXI_GEN_BITS)
#define AMXI_W0_LIFE(w)     ((uint32_t)(AMXI_W0_GEN(w) & AMXI_MASK(AMXI_REF_BITS))) /* as a reference has it */
#define AMXI_GEN_ONE        AMXI_AS_TOP(1, AMXI_GEN_BITS)                           /* added to w0: next generation */
#define AMXI_W1(size, link) ((uint64_t)(size) | (uint64_t)(link) << 20)
#define AMXI_W1_SIZE(w)     ((uint32_t)((w)&0xfffff))
#define AMXI_W1_LINK(w)     ((uint32_t)((w) >> 20 & 0x1fffff))
#define AMXI_REF(pu, w0)    ((uint64_t)(pu) << 32 | AMXI_W0_LIFE(w0)) /* pu: payload offset in units */
#define AMXI_REF_UNIT(r)    ((uint32_t)((r) >> 32))
#define AMXI_REF_GEN(r)     ((uint32_t)(r))
/* Is w0 that of the life which the reference names, with this state and owner? In one comparison. */
#define AMXI_W0_IS(w, ref, tag)                                                                                        \
    ((w) << (AMXI_GEN_BITS - AMXI_REF_BITS) ==                                                                         \
     (AMXI_AS_TOP(ref, AMXI_REF_BITS) | (tag) << (AMXI_GEN_BITS - AMXI_REF_BITS)))

static inline bool amxi_state_live(uint32_t state)
{
    return state == 1 || state >= 49;
}

#endif
