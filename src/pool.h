/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layer 5: the bytes of a slot pool, and nothing else; docs/format.md tells the same. Offsets count from the pool's base,
 * which is a multiple of 64. Everything is constant but what says otherwise; the maker writes it before the magic.
 *
 *   0  +---------------------------+
 *      | head                      |
 * 128  +---------------------------+
 *      | class 0 | class 1 | ...   |  128 bytes each
 *      +---------------------------+
 *      | words of class 0, 1, ...  |  8 bytes per slot, each class filled up to a line with zero words
 *      +---------------------------+
 *      | hints of class 0, 1, ...  |  a bit per slot, each class filled up to a line
 *      +---------------------------+
 *      | slots of class 0, 1, ...  |  each class begins on a line; of the arena's class cells: an amx_ref per slot
 *      +---------------------------+
 *
 * A word is {state 12, owner 12, generation 40}, as w0 of a block. FREE(0), nobody's: whoever takes the slot, by cas.
 * ALLOCATED(1) and user states (49-4095): anybody who has the reference, by cas of the whole word; those of the dead:
 * recovery, by cas. The generation grows by one when the slot is taken, and when it is given.
 * Arena's class (the last one, slot size AMX_POOL_ARENA): CACHED(4), somebody's: he is making the slot or freeing it, he or
 * if he is dead recovery changes word and cell. A cell is 0 while its word is FREE, and names a published block while it is
 * live. src/slot.c tells the steps.
 * A class grows by extents, in blocks of their own: a pool each, of one class. `next` of a class names its first extent,
 * `next` in that one's class the second; indices of slots go on. An extent counts when it is registered as an object.
 * A hint says that the slot may be free. Set after the word has become FREE; cleared by who then tries to take the slot.
 */
#ifndef AMXI_POOL_H
#define AMXI_POOL_H

#include "layout.h"

#define AMXI_POOL_MAGIC   UINT64_C(0x316c6f6f70786d61) /* "amxpool1" in memory */
#define AMXI_POOL_VERSION 1u

struct amxi_pool_body {
    alignas(64) amxi_a64 magic; /* the last store of the maker; 0: removed */
    amxi_a32 version;
    amxi_a32 byte_order;
    amxi_a32 classes;
    amxi_a32 flags;
    amxi_a64 bytes; /* from the base to the end of the last slot */
    amxi_a64 words; /* offset */
    amxi_a32 words_count;
    amxi_a32 quota; /* everybody. The most slots of an owner; 0: any number */
    uint8_t reserved0[16];
    alignas(64) amxi_a32 wait; /* everybody. Bit 0: somebody sleeps for a slot; above: wake-ups. Futex */
    uint8_t reserved1[60];
};
static_assert(offsetof(struct amxi_pool_body, wait) == 64, "own line");
static_assert(sizeof(struct amxi_pool_body) == 128, "head");

struct amxi_pool_class_body {
    alignas(64) amxi_a32 slot_size;
    amxi_a32 count;
    amxi_a64 words; /* offsets */
    amxi_a64 hints;
    amxi_a64 data;
    amxi_a64 next; /* amx_ref of an extent, 0: none. Everybody, by cas: 0 or one that is stale -> the new one */
    uint8_t reserved0[24];
    alignas(64) amxi_a64 exhausted; /* everybody who finds it empty: + 1 */
    amxi_a64 high;                  /* everybody: grows only */
    uint8_t reserved1[48];
};
static_assert(offsetof(struct amxi_pool_class_body, exhausted) == 64, "own line");
static_assert(sizeof(struct amxi_pool_class_body) == 128, "class");

#define AMXI_POOL_WORD_FREE(w) (AMXI_W0_TAG(w) == 0)

#endif
