/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 3: blocks larger than a sector: a run of whole sectors, and a cut at the front of the next one. */
#ifndef AMXI_EXTENT_H
#define AMXI_EXTENT_H

#include "sector.h"

/* Claims room for a block of u units with header, more than fit into one sector, with its payload aligned to `align`
 * (16..4096). *unit: of its header, in the data; its w0 is ALLOCATED by the tag, in *w0. AMX_E_NOMEM: no such run;
 * AMX_E_BUSY: a run failed only because somebody was inside. */
int amxi_extent_claim(const struct amxi_seg *s, uint32_t tag, uint64_t u, uint32_t align, uint64_t *unit, uint64_t *w0);

/* Takes apart the large block with its header at `unit`, which the caller has made CACHED by the tag. */
int amxi_extent_free(const struct amxi_seg *s, uint32_t tag, uint64_t unit);

/* The sector x is held and has ext_len != 0: a claim or a free that a death cut short. Finishes the free. */
void amxi_extent_repair(struct amxi_sec *x);

/* Payload bytes of the large block with its header at `unit`. AMX_E_CORRUPT: its sector says otherwise; AMX_E_STALE:
 * it is none any more. */
int amxi_extent_usable(const struct amxi_seg *s, uint64_t unit, uint64_t *bytes);

/* Largest u that a claim can ever have in this segment. */
uint64_t amxi_extent_max(const struct amxi_seg *s);

void amxi_touch(const struct amxi_seg *s, uint32_t tag, uint32_t sector);

#endif
