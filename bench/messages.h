/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workloads of messages, as a template: an adapter includes this file after it has defined
 *
 *   struct msg_view                                          a thread's view on the store
 *   struct msg_borrow                                        p, n: payload; mark: where its mark stands, in the message
 *   static int msg_make(void *ctx);                          an empty store that others find: the first thread
 *   static int msg_find(void *ctx, struct msg_view *v);      0: there it is
 *   static int msg_store(v, mark, payload, n, &token);
 *   static int msg_read(v, token, &borrow); msg_read_end     0, MSG_BUSY: somebody changes it
 *   static int msg_change(v, token, &borrow); msg_change_end
 *   static int msg_free(v, token);
 *   static unsigned msg_tokens(v, uint64_t *token);          of all messages that are there
 *
 * The first thread makes the store in its warm-up and fills it, the others wait for it. A reader looks at both ends of the
 * payload; in the verified run at every byte: that they are all of the one mark in the message, so that none is torn.
 */
#ifndef BENCH_MESSAGES_H
#define BENCH_MESSAGES_H

#include "draw.h"

#define CHANGE_EVERY 16u /* read-change: of so many operations one changes */
#define CROWDED      4u  /* messages of its verified run, so that many meet */

BENCH_INLINE uint64_t new_mark(struct bench_thread *t)
{
    return ((uint64_t)(t->index + 1) << 60 ^ ++t->stamps << MARK_SIZE_BITS) | MESSAGE_BYTES;
}

/* A view, and the tokens of what can be read. */
static int msg_begin(struct bench_thread *t, int filled, struct msg_view *v, unsigned *count)
{
    uint8_t payload[MESSAGE_BYTES];
    unsigned spins = 0;

    if (t->index == 0 && msg_find(t->ctx, v) && msg_make(t->ctx))
        return -1;
    while (msg_find(t->ctx, v))
        relax(&spins);
    if (t->index == 0 && filled && !msg_tokens(v, t->token))
        for (unsigned i = 0; i < MESSAGES; i++) {
            uint64_t mark = new_mark(t), token;

            stamp(payload, mark);
            if (msg_store(v, mark, payload, MESSAGE_BYTES, &token))
                return -1;
        }
    while ((*count = msg_tokens(v, t->token)) != MESSAGES && filled)
        relax(&spins);
    return 0;
}

/* Verified: once in a while the others get the processor, while this one is in the middle of something. */
BENCH_INLINE void let_others(struct bench_thread *t, enum mode mode)
{
    if (mode == VERIFIED && below(t, 8) == 0)
        sched_yield();
}

BENCH_INLINE void look(struct bench_thread *t, enum mode mode, const struct msg_borrow *b)
{
    uint64_t mark;

    if (mode != VERIFIED) {
        (void)*(const volatile uint8_t *)b->p;
        (void)*(const volatile uint8_t *)(b->p + b->n - 1);
        return;
    }
    mark = *b->mark;
    let_others(t, mode);
    if (b->n != MESSAGE_BYTES || (mark & ((1u << MARK_SIZE_BITS) - 1)) != b->n || !stamped(b->p, mark))
        t->out->failed++;
}

BENCH_INLINE void read_one(struct bench_thread *t, enum mode mode, struct msg_view *v, uint64_t token)
{
    struct msg_borrow b;
    unsigned spins = 0;
    int err;

    while ((err = msg_read(v, token, &b)) == MSG_BUSY)
        relax(&spins);
    if (err) {
        t->out->failed++;
        return;
    }
    look(t, mode, &b);
    msg_read_end(v, &b);
}

BENCH_INLINE void change_one(struct bench_thread *t, enum mode mode, struct msg_view *v, uint64_t token)
{
    struct msg_borrow b;
    unsigned spins = 0;
    int err;

    while ((err = msg_change(v, token, &b)) == MSG_BUSY)
        relax(&spins);
    if (err) {
        t->out->failed++;
        return;
    }
    look(t, mode, &b);
    *b.mark = new_mark(t);
    let_others(t, mode);
    stamp(b.p, *b.mark);
    if (msg_change_end(v, &b))
        t->out->failed++;
}

BENCH_INLINE void reading(struct bench_thread *t, enum mode mode, uint64_t ops, int many, int change)
{
    struct msg_view v;
    unsigned count, among = mode == VERIFIED && change ? CROWDED : MESSAGES;

    if (msg_begin(t, 1, &v, &count)) {
        t->out->failed++;
        return;
    }
    for (uint64_t i = 0; i < ops; i++) {
        uint64_t token = t->token[many ? below(t, among) : 0], begin = mode == LATENCY ? ticks() : 0;

        if (change && i % CHANGE_EVERY == 0)
            change_one(t, mode, &v, token);
        else
            read_one(t, mode, &v, token);
        if (mode == LATENCY)
            t->out->hist[hist_cell(ticks() - begin)]++;
    }
    t->out->done += ops;
}

BENCH_INLINE void read_1(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    reading(t, mode, ops, 0, 0);
}

BENCH_INLINE void read_many(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    reading(t, mode, ops, 1, 0);
}

BENCH_INLINE void read_change(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    reading(t, mode, ops, 1, 1);
}

BENCH_INLINE void message_life(struct bench_thread *t, enum mode mode, uint64_t ops)
{
    uint8_t payload[MESSAGE_BYTES];
    uint64_t mark = new_mark(t), token;
    struct msg_view v;
    unsigned count;

    if (msg_begin(t, 0, &v, &count)) {
        t->out->failed++;
        return;
    }
    stamp(payload, mark);
    for (uint64_t i = 0; i < ops; i++) {
        uint64_t begin = mode == LATENCY ? ticks() : 0;

        if (mode == VERIFIED)
            stamp(payload, mark = new_mark(t));
        if (msg_store(&v, mark, payload, MESSAGE_BYTES, &token)) {
            t->out->failed++;
            continue;
        }
        read_one(t, mode, &v, token);
        if (msg_free(&v, token))
            t->out->failed++;
        if (mode == LATENCY)
            t->out->hist[hist_cell(ticks() - begin)]++;
    }
    t->out->done += ops;
}

BENCH_RUN(read_1)
BENCH_RUN(read_many)
BENCH_RUN(read_change)
BENCH_RUN(message_life)

#define BENCH_MESSAGE_ROWS                                                                                             \
    [READ_ONE] = BENCH_MODES(read_1), [READ_MANY] = BENCH_MODES(read_many), [READ_CHANGE] = BENCH_MODES(read_change),  \
    [MESSAGE_LIFE] = BENCH_MODES(message_life)

#endif
