/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 3: the registry of objects, as recovery and the validator see it. */
#ifndef AMXI_OBJECT_H
#define AMXI_OBJECT_H

#include "segment.h"

/* An entry, read once and checked against the segment. */
struct amxi_object {
    uint8_t *words; /* the first one */
    uint8_t *cells; /* the first one; NULL: none */
    uint32_t count, stride, kind, cells_from;
    uint64_t ref, first, cells_at;
    uint32_t to, pairs;
    uint32_t from[4], into[4];
};

/* false: the entry is not of a sound object whose block is alive and published. */
bool amxi_object_read(const struct amxi_seg *s, uint32_t i, struct amxi_object *o);
static inline amxi_a64 *amxi_object_word(const struct amxi_object *o, uint32_t k)
{
    return (amxi_a64 *)(void *)(o->words + (uint64_t)k * o->stride);
}
/* Where the block is named that word k owns; NULL: it owns none. */
static inline amxi_a64 *amxi_object_cell(const struct amxi_object *o, uint32_t k)
{
    return o->cells && k >= o->cells_from ? (amxi_a64 *)(void *)o->cells + (k - o->cells_from) : NULL;
}
/* What a dead one's word in this state becomes. */
uint32_t amxi_object_after(const struct amxi_object *o, uint32_t state);
/* Is the tag in the middle of adding or removing one? */
bool amxi_object_busy(const struct amxi_seg *s, uint32_t tag);
/* Ends what a dead tag was in the middle of. dead: its handle's word; lists: somebody may be looking at an object, asked
 * after that word was read. */
void amxi_object_settle(const struct amxi_seg *s, uint32_t tag, uint64_t dead, bool lists);
/* recover.c: does anybody alive use a list of dead tags? */
bool amxi_lists_in_use(const struct amxi_seg *s);

#endif
