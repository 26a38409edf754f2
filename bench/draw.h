/* SPDX-License-Identifier: Apache-2.0 */
/* What the templates of workloads share: stamps of payloads, random numbers, waiting, a function for each mode. */
#ifndef BENCH_DRAW_H
#define BENCH_DRAW_H

#include <sched.h>
#include <string.h>

#include "system.h"

#define BENCH_INLINE   __attribute__((always_inline)) static inline

/* --- Verified runs: every byte is written when the block is allocated, and read before it is freed --------------- */

#define MARK_SIZE_BITS 24 /* a mark: a number that no other block has, and the block's size */

BENCH_INLINE uint64_t stamp_word(uint64_t mark, size_t i)
{
    return (mark + i) * 0x9e3779b97f4a7c15u;
}

/* Writes the stamp, or tells whether it is there. */
BENCH_INLINE int stamp_all(uint8_t *p, uint64_t mark, int write)
{
    size_t n = (size_t)(mark & ((1u << MARK_SIZE_BITS) - 1));
    int same = 1;

    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = stamp_word(mark, i);
        size_t part = n - i < 8 ? n - i : 8;

        if (write && part == 8)
            memcpy(p + i, &word, 8);
        else if (write)
            memcpy(p + i, &word, part);
        else if (part == 8)
            same &= memcmp(p + i, &word, 8) == 0;
        else
            same &= memcmp(p + i, &word, part) == 0;
    }
    return same;
}

__attribute__((noinline, unused)) static void stamp(uint8_t *p, uint64_t mark)
{
    (void)stamp_all(p, mark, 1);
}

__attribute__((noinline, unused)) static int stamped(uint8_t *p, uint64_t mark)
{
    return stamp_all(p, mark, 0);
}

/* --- Drawing and waiting ----------------------------------------------------------------------------------------- */

BENCH_INLINE uint64_t next(struct bench_thread *t) /* xorshift64*: never 0 */
{
    uint64_t x = t->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    t->random = x;
    return x * 0x2545f4914f6cdd1du;
}

BENCH_INLINE uint32_t below(struct bench_thread *t, uint32_t n)
{
    return (uint32_t)((next(t) >> 32) * n >> 32);
}

BENCH_INLINE void relax(unsigned *spins)
{
    if (++*spins % 64 == 0)
        sched_yield(); /* the other end may need this processor */
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

/* --- Functions --------------------------------------------------------------------------------------------------- */

#define BENCH_RUN(workload)                                                                                            \
    static void workload##_timed(struct bench_thread *t, uint64_t ops)                                                 \
    {                                                                                                                  \
        workload(t, TIMED, ops);                                                                                       \
    }                                                                                                                  \
    static void workload##_latency(struct bench_thread *t, uint64_t ops)                                               \
    {                                                                                                                  \
        workload(t, LATENCY, ops);                                                                                     \
    }                                                                                                                  \
    static void workload##_verified(struct bench_thread *t, uint64_t ops)                                              \
    {                                                                                                                  \
        workload(t, VERIFIED, ops);                                                                                    \
    }

#define BENCH_MODES(workload)                                                                                          \
    {                                                                                                                  \
        workload##_timed, workload##_latency, workload##_verified                                                      \
    }

#endif
