/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 8: what walk, stat and check share: reading a segment that others change meanwhile. */
#ifndef AMXI_LOOK_H
#define AMXI_LOOK_H

#include "arena.h"

struct amxi_rec {
    uint32_t unit;  /* of the header, in its sector */
    uint32_t units; /* with header */
    uint64_t w0;
};

/* One sector at one moment; also the place of an iteration over them all, in order. */
struct amxi_look {
    const struct amxi_seg *s;
    uint64_t covered;    /* units of the data that the records so far reach over: ends inside a later sector behind
                           * a large block */
    uint64_t large_word; /* of the HEAD that reaches so far */
    uint32_t large;
    uint32_t kind; /* enum amxi_kind */
    bool busy;     /* it did not hold still */
    bool damaged;
    uint32_t from;  /* first unit that does not belong to a large block in front */
    uint32_t first; /* where its chain begins. More than `from`: the units between are free, not yet collected */
    uint32_t end;   /* behind the last good record; units of a sector, if nothing is wrong */
    uint32_t n;
    struct amxi_rec rec[]; /* of a HEAD: one, of the whole large block */
};

/* Begins an iteration. AMX_E_FORKED, AMX_E_SYS. */
int amxi_look_begin(const amx_t *h, struct amxi_look **out);
/* Looks at sector i; to be called for 0, 1, 2, ... */
void amxi_look_sector(struct amxi_look *l, uint32_t i);
void amxi_look_end(struct amxi_look *l);

#endif
