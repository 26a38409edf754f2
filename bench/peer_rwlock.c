/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simple message store: an array of messages, each under a pthread_rwlock_t that processes share, and a stack of free
 * ones under a mutex. A reader holds the lock as long as it looks. It is what one would write first, and gives the same
 * answers as long as nobody dies: a killed reader or writer leaves its lock taken for ever (POSIX has no robust rwlock), a
 * killed holder of the mutex stops all.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "board.h"
#include "peer_rwlock.h"

#define API __attribute__((visibility("default")))

struct locked_message {
    _Alignas(64) pthread_rwlock_t lock;
    uint64_t generation; /* all under the lock */
    int there;
    uint32_t size;
    uint64_t mark;
    _Alignas(64) unsigned char payload[MESSAGE_BYTES];
};

struct store {
    _Alignas(64) pthread_mutex_t lock; /* of the stack */
    uint32_t free;
    uint32_t stack[MESSAGES];
    struct locked_message message[MESSAGES];
};
_Static_assert(sizeof(struct store) < SEGMENT, "room");

API const char peer_about[] = "messages under a process-shared pthread_rwlock_t each, a mutex for free ones";

static struct store *store_of(const struct peer *p)
{
    return (struct store *)(void *)p->base;
}

static struct locked_message *at(const struct peer *p, uint64_t token)
{
    return &store_of(p)->message[(uint32_t)token % MESSAGES];
}

API int peer_format(struct peer *p)
{
    struct store *s = store_of(p);
    pthread_rwlockattr_t rw;
    pthread_mutexattr_t mx;
    int err = pthread_rwlockattr_init(&rw) || pthread_rwlockattr_setpshared(&rw, PTHREAD_PROCESS_SHARED) ||
              pthread_mutexattr_init(&mx) || pthread_mutexattr_setpshared(&mx, PTHREAD_PROCESS_SHARED) ||
              pthread_mutex_init(&s->lock, &mx);

    for (uint32_t i = 0; !err && i < MESSAGES; i++) {
        err = pthread_rwlock_init(&s->message[i].lock, &rw);
        s->message[i].generation = 1;
        s->stack[i] = MESSAGES - 1 - i;
    }
    s->free = MESSAGES;
    return err ? EINVAL : 0;
}

API int locked_store(struct peer *p, uint64_t mark, const void *payload, size_t n, uint64_t *token)
{
    struct store *s = store_of(p);
    uint32_t i = MESSAGES;
    int err = pthread_mutex_lock(&s->lock);

    if (err)
        return err;
    if (s->free)
        i = s->stack[--s->free];
    pthread_mutex_unlock(&s->lock);
    if (i == MESSAGES)
        return ENOMEM;
    if (n > MESSAGE_BYTES)
        return EINVAL;

    struct locked_message *m = &s->message[i];

    if ((err = pthread_rwlock_wrlock(&m->lock)))
        return err;
    memcpy(m->payload, payload, n);
    m->size = (uint32_t)n;
    m->mark = mark;
    m->there = 1;
    *token = m->generation << 32 | i;
    pthread_rwlock_unlock(&m->lock);
    return 0;
}

static int borrowed(struct locked_message *m, uint64_t token, struct locked_borrow *out)
{
    if (!m->there || m->generation != token >> 32) {
        pthread_rwlock_unlock(&m->lock);
        return ENOENT;
    }
    *out = (struct locked_borrow){m->payload, &m->mark, m->size};
    return 0;
}

API int locked_read(struct peer *p, uint64_t token, struct locked_borrow *out)
{
    struct locked_message *m = at(p, token);
    int err = pthread_rwlock_rdlock(&m->lock);

    return err ? err : borrowed(m, token, out);
}

API int locked_change(struct peer *p, uint64_t token, struct locked_borrow *out)
{
    struct locked_message *m = at(p, token);
    int err = pthread_rwlock_wrlock(&m->lock);

    return err ? err : borrowed(m, token, out);
}

API void locked_end(struct peer *p, uint64_t token)
{
    pthread_rwlock_unlock(&at(p, token)->lock);
}

API int locked_free(struct peer *p, uint64_t token)
{
    struct store *s = store_of(p);
    struct locked_message *m = at(p, token);
    struct locked_borrow b;
    int err = locked_change(p, token, &b);

    if (err)
        return err;
    m->there = 0;
    m->generation = m->generation % UINT32_MAX + 1;
    pthread_rwlock_unlock(&m->lock);
    if ((err = pthread_mutex_lock(&s->lock)))
        return err;
    s->stack[s->free++] = (uint32_t)token;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

API unsigned locked_tokens(struct peer *p, uint64_t *token)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < MESSAGES; i++) {
        struct locked_message *m = &store_of(p)->message[i];

        if (pthread_rwlock_rdlock(&m->lock))
            continue;
        if (m->there)
            token[n++] = m->generation << 32 | i;
        pthread_rwlock_unlock(&m->lock);
    }
    return n;
}

API int peer_check(struct peer *p)
{
    struct store *s = store_of(p);
    unsigned there = 0;

    for (uint32_t i = 0; i < MESSAGES; i++) {
        if (pthread_rwlock_trywrlock(&s->message[i].lock))
            return -1; /* somebody has left it locked */
        there += s->message[i].there != 0;
        pthread_rwlock_unlock(&s->message[i].lock);
    }
    return there + s->free == MESSAGES ? 0 : -1;
}
