/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 4: lifecycle words of registered objects, as those who build on the arena need them: changes of a word, and gifts
 * between handles. All else of the arena they see through its public headers. */
#ifndef AMXI_WORD_H
#define AMXI_WORD_H

#include "amx.h"
#include "layout.h"

/* Replaces state, owner or generation of a live word. UINT32_MAX: any, or keep. */
struct amxi_change {
    uint32_t expected; /* state */
    uint32_t state;
    uint32_t owner;
    bool of_nobody;   /* it must be nobody's */
    bool of_somebody; /* it must be somebody's */
    bool next_gen;
    uint32_t was; /* out: the owner that was replaced */
};
#define AMXI_CHANGE_ANY UINT32_MAX

/* w: the word as it was found, and as it is afterwards. gen: low half of the generation that it must have.
 * AMX_E_STALE, AMX_E_STATE, AMX_E_OWNER. */
int amxi_word_change(amxi_a64 *word, uint64_t *w, uint32_t gen, struct amxi_change *c);

/* Gives a word of a registered object to another handle: the protocol of amx_give. AMX_OK and AMX_E_PEER_DEAD: *w is the
 * word as it is now. */
int amxi_word_give(amx_t *h, uint64_t object, amxi_a64 *word, uint64_t *w, uint32_t gen, amx_id to);

/* Why the handle may not be used: AMX_E_FORKED, and to write: AMX_E_READONLY; or AMX_OK. */
int amxi_word_refuse(const amx_t *h, bool write);
/* The present id of the handle with this tag; 0: none. *dead: it awaits recovery, or there is none. */
amx_id amxi_word_owner(const amx_t *h, uint32_t tag, bool *dead);

#endif
