/* SPDX-License-Identifier: Apache-2.0 */
/* A call of a pool's that is cut before one of its stores: by death, or by something that others do there. */
#ifndef AMX_TEST_SHOT_H
#define AMX_TEST_SHOT_H

#include "tests/pool_kit.h"

#include "arena.h"
#include "peer.h"

static struct {
    bool armed;
    uint64_t at, n;
    void (*visit)(void); /* NULL: die */
    bool died;
    jmp_buf out;
} shot;

void amxi_hook(const volatile void *addr, size_t len)
{
    (void)addr;
    (void)len;
    if (!shot.armed || ++shot.n != shot.at)
        return;
    shot.armed = false;
    if (!shot.visit) {
        shot.died = true;
        longjmp(shot.out, 1);
    }
    shot.visit();
}

/* false: it came to its end before store `at`. */
static inline bool shoot(void (*fn)(void), uint64_t at, void (*visit)(void))
{
    shot.at = at;
    shot.n = 0;
    shot.visit = visit;
    if (setjmp(shot.out))
        return true;
    shot.armed = true;
    fn();
    bool hit = !shot.armed;
    shot.armed = false;
    return hit;
}

/* No store into the segment, but nothing left of the process. */
static inline void drop(amx_t *h)
{
    struct amxi_seg *s = h->seg;
    amxi_peer_unlock(s);
    amxi_forks_remove(s);
    amxi_handles_drop(s);
    s->open = NULL;
    amxi_seg_drop(s);
}

static inline void write_(const struct amx_pool *p, amx_slot s)
{
    void *m;
    size_t n;
    must_ok(amx_pool_ptr(p, s, &m, &n));
    stamp(m, n, s >> 32);
}

static inline void verify_(const struct amx_pool *p, amx_slot s)
{
    void *m;
    size_t n;
    must_ok(amx_pool_ptr(p, s, &m, &n));
    must(stamped(m, n, s >> 32));
}

#endif
