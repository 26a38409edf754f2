/* SPDX-License-Identifier: Apache-2.0 */
/* The scene's processes are this very process, attached several times; armed means that the hook is. */
#ifndef AMX_TEST_LOCAL_H
#define AMX_TEST_LOCAL_H

#include "tests/crash/pool_plays.h"

static amx_t *hand[SLOTS];

static inline int act(int who, const char *op, struct call *c)
{
    if (op)
        aim(who, op);
    int e = perform(hand, (uint32_t)who, c);
    if (op)
        lower(e);
    if (c->verb == V_ATTACH && who == STRANGER && !e) {
        hand[Q] = hand[STRANGER];
        hand[STRANGER] = NULL;
    }
    return c->answer = e;
}

/* No store into the segment, but nothing left of the process. */
static inline void kill_one(int who)
{
    struct amxi_seg *s = hand[who]->seg;
    amxi_peer_unlock(s);
    amxi_forks_remove(s);
    amxi_handles_drop(s);
    s->open = NULL;
    amxi_seg_drop(s);
    hand[who] = NULL;
    sc.here[who] = false;
    sc.ticket[peer_of[who]] = 0;
}

#endif
