/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter of peer_rwlock.h. It has messages only: no blocks are allocated in it. */
#include "peer_rwlock.h"

#include "mapped.h"

enum { MSG_BUSY = 1 }; /* never: a lock waits */

struct msg_view {
    struct peer *p;
};

struct msg_borrow {
    uint8_t *p;
    uint64_t *mark;
    size_t n;
    uint64_t token;
};

static int msg_make(void *ctx)
{
    (void)ctx; /* peer_format has */
    return 0;
}

static int msg_find(void *ctx, struct msg_view *v)
{
    v->p = ctx;
    return 0;
}

static inline int msg_store(struct msg_view *v, uint64_t mark, const void *payload, size_t n, uint64_t *token)
{
    return locked_store(v->p, mark, payload, n, token) ? -1 : 0;
}

static inline int lent(int err, const struct locked_borrow *l, uint64_t token, struct msg_borrow *b)
{
    *b = (struct msg_borrow){l->payload, l->mark, l->size, token};
    return err ? -1 : 0;
}

static inline int msg_read(struct msg_view *v, uint64_t token, struct msg_borrow *b)
{
    struct locked_borrow l = {0};

    return lent(locked_read(v->p, token, &l), &l, token, b);
}

static inline void msg_read_end(struct msg_view *v, struct msg_borrow *b)
{
    locked_end(v->p, b->token);
}

static inline int msg_change(struct msg_view *v, uint64_t token, struct msg_borrow *b)
{
    struct locked_borrow l = {0};

    return lent(locked_change(v->p, token, &l), &l, token, b);
}

static inline int msg_change_end(struct msg_view *v, struct msg_borrow *b)
{
    locked_end(v->p, b->token);
    return 0;
}

static inline int msg_free(struct msg_view *v, uint64_t token)
{
    return locked_free(v->p, token) ? -1 : 0;
}

static unsigned msg_tokens(struct msg_view *v, uint64_t *token)
{
    return locked_tokens(v->p, token);
}

#include "messages.h"

static void nothing(struct bench_thread *t, uint64_t ops)
{
    (void)t; /* the messages go with the segment */
    (void)ops;
}

#define ROWS                                                                                                           \
    {                                                                                                                  \
        BENCH_MESSAGE_ROWS                                                                                             \
    }
#define DRAINS                                                                                                         \
    {                                                                                                                  \
        nothing, nothing, nothing                                                                                      \
    }
const struct bench_system bench_system = MAPPED_SYSTEM(ROWS, DRAINS);
