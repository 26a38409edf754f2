/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 4: lifecycle words, of blocks and of registered objects: changes of a word, and gifts between handles. Who builds on
 * the arena sees all else of it through its public headers. */
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
    enum amx_order order;
    uint32_t was; /* out: the owner that was replaced */
};
#define AMXI_CHANGE_ANY UINT32_MAX

/* w: the word as it was found, and as it is afterwards. gen: low half of the generation that it must have.
 * AMX_E_STALE, AMX_E_STATE, AMX_E_OWNER. */
int amxi_word_change(amxi_a64 *word, uint64_t *w, uint32_t gen, struct amxi_change *c);

/* What is the same in a gift of a block and of an object's word. All sc: the giver announces whom it gives to, then looks
 * whether he lives; recovery buries him, then looks whether somebody is giving to him. One of the two sees the other. */
/* The first step: the receiver's entry is not recycled from here on. AMX_E_INVAL: no handle has such an id. */
int amxi_word_giving(const amx_t *h, amx_id to);
/* The last step. */
void amxi_word_given(const amx_t *h);
/* Does the receiver live? closed_too: his handle is closed, but his process takes care of what it has. */
bool amxi_word_alive(const amx_t *h, amx_id to, bool closed_too);
/* The gift *w went to one who died meanwhile: back, under one more generation; to us if it was somebody's (was), as its former
 * owner may be gone too. AMX_E_PEER_DEAD: *w is the word as it is now. AMX_OK: it fell with him, or somebody freed it. */
int amxi_word_take_back(const amx_t *h, amxi_a64 *word, uint64_t *w, amx_id to, uint32_t was);

/* Gives a word of a registered object to another handle: the protocol of amx_give. AMX_OK and AMX_E_PEER_DEAD: *w is the
 * word as it is now. */
int amxi_word_give(amx_t *h, uint64_t object, amxi_a64 *word, uint64_t *w, uint32_t gen, amx_id to);

/* Makes a block nobody's that a word owns from now on: as amx_publish, but recovery is not to find it as handed over. */
int amxi_word_publish(const amx_t *h, amx_ref block);
/* Something is short, or in the way: recovers the dead, unless that is the user's affair (AMX_F_NO_RECOVER). Not 0: words came
 * back. */
int amxi_word_recover(amx_t *h);
/* Why the handle may not be used: AMX_E_FORKED, and to write: AMX_E_READONLY; or AMX_OK. */
int amxi_word_refuse(const amx_t *h, bool write);
/* The present id of the handle with this tag; 0: none. *dead: it awaits recovery, or there is none. */
amx_id amxi_word_owner(const amx_t *h, uint32_t tag, bool *dead);
/* Has the process of a handle died, which nobody has found yet? Asks the kernel. */
bool amxi_word_gone(const amx_t *h, amx_id id);

/* Guard words of the segment's handles: `each` in a row for a handle. */
struct amxi_guards {
    amxi_a64 *all, *own;
    const unsigned char *base; /* the segment: what a guard names is an offset, in units, and a generation */
    const uint32_t *writable;  /* not 0 while the handle may be used to write: amxi_word_refuse, for fast paths */
    uint32_t each;
};
void amxi_word_guards(const amx_t *h, struct amxi_guards *out);
/* How many handles there may be that have guards. sc: see guard.c. */
uint32_t amxi_word_handles(const amx_t *h);
/* Do the guards of handle v count? Those of the dead do not. */
bool amxi_word_guards_count(const amx_t *h, uint32_t v);

#endif
