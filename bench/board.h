/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver and its workers share in memory: results, and the rings by which a producer passes blocks on. The
 * driver makes one board for each run; it lies behind descriptor BOARD_FD in each worker.
 */
#ifndef BENCH_BOARD_H
#define BENCH_BOARD_H

#include <stdint.h>
#include <time.h>

#define BOARD_FD      3
#define MAX_THREADS   16u
#define SEGMENT       (50u << 20) /* bytes, as the seed loop was published */
#define MESSAGES      1024u       /* of a store, at most */
#define MESSAGE_BYTES 256u        /* of payload of each */

enum workload {
    SEED_LOOP,
    PAIR_64,
    PRODUCER_CONSUMER,
    HAND_OVER,
    FILL_HEAL,
    LARGE,
    SLOTS,
    READ_ONE, /* from here on of messages */
    READ_MANY,
    READ_CHANGE,
    MESSAGE_LIFE,
    WORKLOADS
};
enum mode { TIMED, LATENCY, VERIFIED, MODES };

/* --- Latencies: a logarithmic histogram, 32 steps per octave ------------------------------------------------- */

#define HIST_OCTAVES 36u
#define HIST_CELLS   ((HIST_OCTAVES + 1) * 32u)

static inline unsigned hist_cell(uint64_t v)
{
    unsigned e = v < 32 ? 5 : 63 - (unsigned)__builtin_clzll(v);

    if (v < 32)
        return (unsigned)v;
    return e >= HIST_OCTAVES + 4 ? HIST_CELLS - 1 : (e - 4) * 32 + (unsigned)(v >> (e - 5) & 31);
}

static inline double hist_value(unsigned cell) /* the middle of what it counts */
{
    unsigned e = cell / 32;

    return e < 2 ? cell : ((double)(32 + cell % 32) + 0.5) * (double)(UINT64_C(1) << (e - 1));
}

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The fences keep the call that is measured between the two readings. */
static inline uint64_t ticks(void)
{
#ifdef __x86_64__
    uint64_t t;

    __asm__ volatile("lfence" ::: "memory");
    t = __builtin_ia32_rdtsc();
    __asm__ volatile("lfence" ::: "memory");
    return t;
#else
    return clock_ns(CLOCK_MONOTONIC);
#endif
}

/* --- Rings: one producer, one consumer ----------------------------------------------------------------------- */

#define RING_SLOTS 1024u
#define APART      __attribute__((aligned(128))) /* from what another processor writes */

struct message {
    uint64_t word; /* names the block in every process */
    uint64_t mark; /* of the verified run */
};

struct ring {
    APART uint64_t head; /* written by the producer */
    APART uint64_t tail; /* by the consumer */
    APART struct message slot[RING_SLOTS];
};

/* --- Results -------------------------------------------------------------------------------------------------- */

struct board_thread {
    APART uint64_t t0; /* of the monotonic clock */
    uint64_t t1, cpu;  /* nanoseconds */
    uint64_t ticks;    /* between t0 and t1 */
    uint64_t done;     /* operations */
    uint64_t failed;   /* calls that did not do what was asked, or payloads that had changed */
    uint64_t filled;   /* bytes asked for until the segment was full, last round */
    uint64_t hist[HIST_CELLS];
};

struct board {
    struct board_thread thread[MAX_THREADS]; /* of all processes */
    struct ring ring[MAX_THREADS / 2];
};

#endif
