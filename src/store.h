/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layer 6: the bytes of a message store; docs/format.md tells the same. Offsets count from the store's base, a multiple of 64.
 * Everything is constant but what says otherwise; the maker writes it before the magic.
 *
 *   0  +-----------------------------+
 *      | head                        |
 * 192  +-----------------------------+
 *      | guards of view 1, 2, ...    |  a line each; none with one thread, or in a segment, which has its own
 *      +-----------------------------+
 *      | slot pool of one class      |  pool.h; `depth` slots, each a message:
 *      +-----------------------------+
 *          0 order | 8 size, reserved | 16 header | 64 payload ...
 *
 * The word of a slot, {state 12, owner 12, generation 40}:
 *   FREE(0)        nobody's. To ALLOCATED(me) by who stores, as in pools: the generation grows
 *   ALLOCATED(me)  being stored: the token is not known. To STORED(0) by me; of the dead to FREE
 *   STORED(n)      n: read guards, in a store of one thread; else 0. To CLAIMED(me) by anybody who wants it for himself
 *   CLAIMED(me)    I look whether somebody reads it. Back to STORED(0), on to WRITING(me) or FREE by me; of the dead to STORED
 *   WRITING(me)    mine. To STORED, POISONED or FREE by me; of the dead to POISONED
 *   POISONED(0)    to WRITING(me) by anybody, who then looks for readers as with CLAIMED, and then to FREE, or as above
 * All by exchange, but for n, which one thread stores. What happens to those of the dead stands in the registry of objects.
 */
#ifndef AMXI_STORE_H
#define AMXI_STORE_H

#include "amx_store.h"
#include "layout.h"

#define AMXI_STORE_MAGIC   UINT64_C(0x3167736d5f786d61) /* "amx_msg1" in memory */
#define AMXI_STORE_VERSION 1u
#define AMXI_VIEW_WORDS    (AMX_STORE_GUARDS + 1u)

struct amxi_store_body {
    alignas(64) amxi_a64 magic; /* the last store of the maker; 0: removed */
    amxi_a32 version;
    amxi_a32 byte_order;
    amxi_a32 depth;
    amxi_a32 payload_max;
    amxi_a32 type_id;
    amxi_a32 threads;
    amxi_a32 memory;
    amxi_a32 policy;
    amxi_a32 soft_items;
    amxi_a32 hard_items;
    amxi_a64 soft_bytes;
    amxi_a64 hard_bytes;
    alignas(64) amxi_a64 order; /* everybody who stores in a store with a policy: + 1 */
    amxi_a64 evicted;           /* everybody: + 1, as the next two */
    amxi_a64 dropped;
    amxi_a64 rejected;
    uint8_t reserved0[32];
    alignas(
        64) amxi_a32 wait; /* everybody. Bit 0: somebody sleeps; above: wake-ups. Futex. Read by all who end a guard */
    uint8_t reserved1[60];
};
static_assert(offsetof(struct amxi_store_body, order) == 64, "own line");
static_assert(offsetof(struct amxi_store_body, wait) == 128, "own line");
static_assert(sizeof(struct amxi_store_body) == 192, "head");

/* Of a view of a concurrent store. */
struct amxi_view_body {
    alignas(64) amxi_a64 guard[AMX_STORE_GUARDS]; /* token that its thread reads; 0: none. Its thread */
    amxi_a64 taken;                               /* 0 or 1: to 1 by cas, by who takes the view; to 0 by its tenant */
};
static_assert(offsetof(struct amxi_view_body, taken) == 56, "after the guards");
static_assert(sizeof(struct amxi_view_body) == 64, "one line");

struct amxi_message_body {
    alignas(16) amxi_a64 order;       /* age, in a store with a policy; who stores it */
    amxi_a32 size;                    /* of the payload; who stores or changes it */
    uint8_t reserved[4];              /* */
    struct amx_message_header header; /* who stores or changes it; read under a guard */
};
static_assert(offsetof(struct amxi_message_body, header) == 16, "message");
static_assert(sizeof(struct amxi_message_body) == 64, "payload on a line of its own");
static_assert(AMX_STATE_STORED == 5 && AMX_STATE_POISONED == 8, "states of the store");

#endif
