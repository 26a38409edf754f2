/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots of one size, the free ones' numbers in a bounded ring for several producers and consumers: the other simple
 * alternative without a lock. Vyukov, "Bounded MPMC queue", 1024cores.net: each cell has a sequence number that says whose
 * turn it is, so that a call is one compare-and-swap on the head or the tail, and a store.
 *
 * Every call of every thread goes to the same two counters. Whoever stops between the compare-and-swap and the store holds
 * up all others when the ring has come round, until he goes on: they wait. If he was killed, for ever; and the slots that he
 * had are lost.
 */
#include <errno.h>
#include <sched.h>

#include "peer.h"

#define API   __attribute__((visibility("default")))

#define SLOT  64u
#define SLOTS 1024u /* a power of two */

struct cell {
    _Alignas(64) uint64_t turn;
    uint64_t slot;
};

struct heap {
    _Alignas(64) uint64_t in;  /* frees so far */
    _Alignas(64) uint64_t out; /* allocations so far */
    struct cell cell[SLOTS];
    _Alignas(64) unsigned char slots[SLOTS][SLOT];
};

API const char peer_about[] = "ring of free slots";

static struct heap *heap_of(const struct peer *p)
{
    return peer_at(p, 0);
}

static void put(struct heap *h, uint64_t slot)
{
    uint64_t at = __atomic_load_n(&h->in, __ATOMIC_RELAXED);

    for (;;) {
        struct cell *c = &h->cell[at % SLOTS];
        int64_t ahead = (int64_t)(__atomic_load_n(&c->turn, __ATOMIC_ACQUIRE) - at);

        if (ahead == 0 && __atomic_compare_exchange_n(&h->in, &at, at + 1, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            c->slot = slot;
            __atomic_store_n(&c->turn, at + 1, __ATOMIC_RELEASE);
            return;
        }
        if (ahead < 0)
            sched_yield(); /* full cannot be: who takes this one has stopped */
        if (ahead)
            at = __atomic_load_n(&h->in, __ATOMIC_RELAXED);
    }
}

API int peer_format(struct peer *p)
{
    struct heap *h = heap_of(p);

    if (p->size < sizeof(*h))
        return EINVAL;
    for (uint64_t i = 0; i < SLOTS; i++)
        h->cell[i].turn = i;
    for (uint64_t i = 0; i < SLOTS; i++)
        put(h, i);
    return 0;
}

API uint64_t peer_alloc(struct peer *p, size_t n)
{
    struct heap *h = heap_of(p);
    uint64_t at = __atomic_load_n(&h->out, __ATOMIC_RELAXED);

    if (n > SLOT)
        return 0;
    for (;;) {
        struct cell *c = &h->cell[at % SLOTS];
        int64_t ahead = (int64_t)(__atomic_load_n(&c->turn, __ATOMIC_ACQUIRE) - (at + 1));

        if (ahead < 0 && __atomic_load_n(&h->in, __ATOMIC_RELAXED) == at)
            return 0; /* empty */
        if (ahead == 0 && __atomic_compare_exchange_n(&h->out, &at, at + 1, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            uint64_t slot = c->slot;

            __atomic_store_n(&c->turn, at + SLOTS, __ATOMIC_RELEASE);
            return offsetof(struct heap, slots) + slot * SLOT;
        }
        if (ahead < 0)
            sched_yield(); /* who gives this one back has stopped */
        if (ahead)
            at = __atomic_load_n(&h->out, __ATOMIC_RELAXED);
    }
}

API int peer_free(struct peer *p, uint64_t block)
{
    uint64_t off = block - offsetof(struct heap, slots);

    if (off % SLOT || off / SLOT >= SLOTS)
        return EINVAL;
    put(heap_of(p), off / SLOT);
    return 0;
}

/* Every slot is in the ring, once. */
API int peer_check(struct peer *p)
{
    struct heap *h = heap_of(p);
    unsigned char seen[SLOTS] = {0};

    if (h->in - h->out != SLOTS)
        return EINVAL;
    for (uint64_t at = h->out; at < h->in; at++) {
        uint64_t slot = h->cell[at % SLOTS].slot;

        if (slot >= SLOTS || seen[slot]++ || h->cell[at % SLOTS].turn != at + 1)
            return EINVAL;
    }
    return 0;
}
