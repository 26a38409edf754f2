/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workloads, as a template: an adapter includes this file after it has defined
 *
 *   static uint64_t sys_alloc(void *ctx, size_t n);          a token, 0: no memory
 *   static int sys_free(void *ctx, uint64_t token);          0: freed
 *   static void *sys_ptr(void *ctx, uint64_t token);         the block's bytes; NULL: the token is refused
 *   static uint64_t sys_pack(void *ctx, uint64_t token);     what names the block in every process, and back
 *   static uint64_t sys_unpack(void *ctx, uint64_t word);
 *
 * Each workload is compiled into each adapter, three times: so that every system is called directly, and so that the
 * timed pass contains neither stamps nor clocks. Sizes are drawn, and payloads touched, the same way for all.
 */
#ifndef BENCH_WORKLOADS_H
#define BENCH_WORKLOADS_H

#include "draw.h"

#define SEED_LIVE  200u  /* blocks that one thread may hold, as published */
#define HAND_LIVE  1000u /* blocks that a thread hands over */
#define SLOTS_LIVE 32u
#define SLOT_BYTES 64u
#define LARGE_LIVE 8u /* so few that 16 MiB hold them all at their largest */

/* --- The two calls, in each mode --------------------------------------------------------------------------------- */

BENCH_INLINE uint64_t get(struct bench_thread *t, enum mode mode, size_t n, uint64_t *mark)
{
    uint64_t token, begin = mode == LATENCY ? ticks() : 0;

    token = sys_alloc(t->ctx, n);
    if (mode == LATENCY)
        t->out->hist[hist_cell(ticks() - begin)]++;
    if (mode == VERIFIED && token) {
        uint8_t *p = (uint8_t *)sys_ptr(t->ctx, token);

        *mark = ((uint64_t)t->index << 60 ^ ++t->stamps << MARK_SIZE_BITS) | n;
        if (p)
            stamp(p, *mark);
        else
            t->out->failed++;
    }
    return token;
}

BENCH_INLINE void put(struct bench_thread *t, enum mode mode, uint64_t token, uint64_t mark)
{
    uint64_t begin;
    int err;

    if (mode == VERIFIED) {
        uint8_t *p = (uint8_t *)sys_ptr(t->ctx, token);

        if (!p || !stamped(p, mark))
            t->out->failed++;
    }
    begin = mode == LATENCY ? ticks() : 0;
    err = sys_free(t->ctx, token);
    if (mode == LATENCY)
        t->out->hist[hist_cell(ticks() - begin)]++;
    if (err)
        t->out->failed++;
}

/* The user of a block writes to it, at both ends: it has to be found, and pages have to be there. */
BENCH_INLINE void touch(struct bench_thread *t, enum mode mode, uint64_t token, size_t n)
{
    volatile uint8_t *p;

    if (mode == VERIFIED)
        return;
    p = (volatile uint8_t *)sys_ptr(t->ctx, token);
    if (!p) {
        t->out->failed++;
        return;
    }
    p[0] = (uint8_t)n;
    p[n - 1] = (uint8_t)n;
}

BENCH_INLINE void keep(struct bench_thread *t, enum mode mode, uint32_t k, uint64_t token, uint64_t mark)
{
    t->token[k] = token;
    if (mode == VERIFIED)
        t->mark[k] = mark;
}

/* Takes block k out of the live set and frees it. */
BENCH_INLINE void drop(struct bench_thread *t, enum mode mode, uint32_t k)
{
    uint64_t token = t->token[k], mark = mode == VERIFIED ? t->mark[k] : 0;

    t->live--;
    keep(t, mode, k, t->token[t->live], mode == VERIFIED ? t->mark[t->live] : 0);
    put(t, mode, token, mark);
}

/* --- seed-loop ------------------------------------------------------------------------------------------------------
 * The published generator and mix, and nothing else: the published loop also read the clock in each iteration and
 * called coalesce a second time on every fifth freed block. Each iteration counts as one operation, also an idle one.
 */
BENCH_INLINE void seed_loop(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    uint64_t *tokens = t->token, *marks = t->mark;
    uint32_t x = t->x, live = t->live;

    for (uint64_t i = 0; i < ops; i++) {
        x = x * 1103515245u + 12345u;
        if (x % 10 < 7 && live < SEED_LIVE) {
            uint64_t token = get(t, mode, x % 512, &marks[live]);

            if (token)
                tokens[live++] = token;
            else
                t->out->failed++;
        } else if (live) {
            uint32_t k = x % live;
            uint64_t token = tokens[k], mark = mode == VERIFIED ? marks[k] : 0;

            tokens[k] = tokens[--live]; /* swap_remove */
            if (mode == VERIFIED)
                marks[k] = marks[live];
            put(t, mode, token, mark);
        }
    }
    t->x = x;
    t->live = live;
    t->out->done += ops;
}

/* --- In all others one operation is the life of one block: an allocation and a free ------------------------------ */

BENCH_INLINE void pair_64(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    for (uint64_t i = 0; i < ops; i++) {
        uint64_t mark = 0, token = get(t, mode, 64, &mark);

        __asm__ volatile("" : "+r"(token)); /* a compiler may leave out a malloc that is only freed */
        if (token)
            put(t, mode, token, mark);
        else
            t->out->failed++;
    }
    t->out->done += ops;
}

/* Threads 0, 2, ... produce, the next one of each consumes. */
BENCH_INLINE void produce(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    struct ring *r = t->ring;
    uint64_t head = r->head, tail = head - RING_SLOTS; /* the latter: not looked at yet */
    unsigned spins = 0;

    for (uint64_t i = 0; i < ops; i++) {
        size_t n = 64 + below(t, 1024 - 64 + 1);
        struct message *m = &r->slot[head % RING_SLOTS];
        uint64_t mark = 0, token = get(t, mode, n, &mark);

        if (token)
            touch(t, mode, token, n);
        else
            t->out->failed++;
        while (head - tail >= RING_SLOTS) {
            tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
            if (head - tail >= RING_SLOTS)
                relax(&spins);
        }
        m->word = token ? sys_pack(t->ctx, token) : 0;
        if (mode == VERIFIED)
            m->mark = mark;
        __atomic_store_n(&r->head, ++head, __ATOMIC_RELEASE);
    }
    t->out->done += ops;
}

BENCH_INLINE void consume(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    struct ring *r = t->ring;
    uint64_t tail = r->tail, head = tail;
    unsigned spins = 0;

    for (uint64_t i = 0; i < ops; i++) {
        struct message *m = &r->slot[tail % RING_SLOTS];
        uint64_t token, mark, word;

        while (head == tail) {
            head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
            if (head == tail)
                relax(&spins);
        }
        word = m->word;
        mark = mode == VERIFIED ? m->mark : 0;
        __atomic_store_n(&r->tail, ++tail, __ATOMIC_RELEASE);
        if (!word)
            continue;
        token = sys_unpack(t->ctx, word);
        if (mode != VERIFIED) {
            volatile const uint8_t *p = (volatile const uint8_t *)sys_ptr(t->ctx, token);

            if (p)
                (void)*p;
            else
                t->out->failed++;
        }
        put(t, mode, token, mark);
    }
}

BENCH_INLINE void producer_consumer(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    if (t->index % 2 == 0)
        produce(t, mode, ops);
    else
        consume(t, mode, ops);
}

/* Replaces blocks of a live set at random, after filling it up. */
BENCH_INLINE void replace(struct bench_thread *t, enum mode mode, uint64_t ops, uint32_t live, int large)
{
    for (uint64_t i = 0; i < ops;) {
        uint64_t mark = 0, token;
        size_t n;

        if (t->live == live) {
            drop(t, mode, below(t, live));
            i++;
        }
        n = large ? (size_t)4096 << below(t, 8) : 16;
        n += below(t, large ? (uint32_t)n + 1 : 4096 - 16 + 1);
        token = get(t, mode, n, &mark);
        if (!token) {
            t->out->failed++;
            i++;
            continue;
        }
        touch(t, mode, token, n);
        keep(t, mode, t->live++, token, mark);
    }
    t->out->done += ops;
}

/* What one of the threads does that succeed one another; worker.c starts them. */
BENCH_INLINE void hand_over(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    replace(t, mode, ops, HAND_LIVE, 0);
}

/* 4 KiB-1 MiB, each doubling as often as the other. */
BENCH_INLINE void large(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    replace(t, mode, ops, LARGE_LIVE, 1);
}

/* A few slots of one size at a time, replaced at random. Whoever hands one out twice overwrites a stamp. */
BENCH_INLINE void slots(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    for (uint64_t i = 0; i < ops;) {
        uint64_t mark = 0, token;

        if (t->live == SLOTS_LIVE) {
            drop(t, mode, below(t, SLOTS_LIVE));
            i++;
        }
        token = get(t, mode, SLOT_BYTES, &mark);
        if (!token) {
            t->out->failed++;
            i++;
            continue;
        }
        touch(t, mode, token, SLOT_BYTES);
        keep(t, mode, t->live++, token, mark);
    }
    t->out->done += ops;
}

/* Whole rounds: until the segment is full or the budget spent, then free all in random order. */
BENCH_INLINE void fill_heal(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    for (uint64_t done = 0; done < ops;) {
        uint64_t filled = 0, mark = 0, token;

        for (;;) {
            size_t n = 16 + below(t, 4096 - 16 + 1);

            if (t->live == LIVE_MAX || (t->budget && filled + n > t->budget))
                break;
            token = get(t, mode, n, &mark);
            if (!token)
                break;
            touch(t, mode, token, n);
            keep(t, mode, t->live++, token, mark);
            filled += n;
        }
        if (!t->live) {
            t->out->failed++;
            return;
        }
        done += t->live;
        t->out->done += t->live;
        t->out->filled = filled;
        while (t->live)
            drop(t, mode, below(t, t->live));
    }
}

/* Frees what is live at the end of a run; ops: no more than so many. */
BENCH_INLINE void drain(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    for (; t->live && ops; ops--)
        drop(t, mode, t->live - 1);
}

BENCH_RUN(seed_loop)
BENCH_RUN(pair_64)
BENCH_RUN(producer_consumer)
BENCH_RUN(hand_over)
BENCH_RUN(fill_heal)
BENCH_RUN(large)
BENCH_RUN(slots)
BENCH_RUN(drain)

#define BENCH_ROWS                                                                                                     \
    BENCH_MODES(seed_loop), BENCH_MODES(pair_64), BENCH_MODES(producer_consumer), BENCH_MODES(hand_over),              \
        BENCH_MODES(fill_heal), BENCH_MODES(large), BENCH_MODES(slots)
#define BENCH_RUNS                                                                                                     \
    {                                                                                                                  \
        BENCH_ROWS                                                                                                     \
    }
#define BENCH_DRAINS BENCH_MODES(drain)

#endif
