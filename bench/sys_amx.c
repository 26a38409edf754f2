/* SPDX-License-Identifier: Apache-2.0 */
/* amx: amx_alloc and amx_free by reference, a handle per thread; messages in a store in the segment. With BENCH_POOL: a pool
 * of slots in the segment, a view per thread. */
#include <stdio.h>
#include <unistd.h>

#ifdef BENCH_POOL
#include "amx_pool.h"
#include <stdlib.h>
#else
#include "amx_store.h"
#endif
#include "system.h"

static int failed(const char *call, int err)
{
    fprintf(stderr, "amx: %s: %s\n", call, amx_strerror(err));
    return -1;
}

#ifdef BENCH_POOL
#define POOL_SLOTS 1024u

static int open_pool(amx_t *h, int create)
{
    static const struct amx_pool_config config = {.n = 1, .flags = AMX_POOL_LINES, .cls = {{64, POOL_SLOTS}}};
    struct amx_pool pool;
    amx_ref block;
    int err = create ? amx_pool_create(h, &config, &block, &pool) : 0;

    if (create && !err)
        err = amx_root_set(h, 0, block);
    return err ? failed("pool", err) : 0;
}

struct context {
    amx_t *h;
    struct amx_pool pool;
};

static int enter(void *seg, void **ctx)
{
    struct context *c = malloc(sizeof(*c));
    amx_ref block;
    int err = c ? amx_share((amx_t *)seg, &c->h) : AMX_E_SYS;

    if (!err)
        err = amx_root_get(c->h, 0, &block);
    if (!err)
        err = amx_pool_attach_block(c->h, block, 0, NULL, &c->pool);
    *ctx = c;
    return err ? failed("share", err) : 0;
}

static int leave(void *seg, void *ctx)
{
    struct context *c = ctx;
    int err = amx_unshare(c->h);

    (void)seg;
    free(c);
    return err ? failed("unshare", err) : 0;
}

/* And takes the pool away, so that the segment can be looked at as that of amx. */
static int check_object(amx_t *h)
{
    struct amx_pool pool;
    struct amx_pool_check_result r = {.struct_size = sizeof(r)};
    amx_ref block;
    int err = amx_root_get(h, 0, &block);

    if (!err)
        err = amx_pool_attach_block(h, block, 0, NULL, &pool);
    if (!err)
        err = amx_pool_check(&pool, NULL, NULL, &r);
    if (!err && (r.used || r.undone || r.slots != POOL_SLOTS)) {
        fprintf(stderr, "pool: check: %llu of %llu slots in use\n", (unsigned long long)r.used,
                (unsigned long long)r.slots);
        return -1;
    }
    if (!err)
        err = amx_pool_remove(&pool);
    if (!err)
        err = amx_free(h, block);
    return err ? failed("pool check", err) : 0;
}

static inline uint64_t sys_alloc(void *ctx, size_t n)
{
    amx_slot slot = AMX_SLOT_NONE;

    (void)amx_pool_alloc(&((struct context *)ctx)->pool, n, AMX_POOL_SELF, &slot);
    return slot;
}

static inline int sys_free(void *ctx, uint64_t token)
{
    return amx_pool_free(&((struct context *)ctx)->pool, token);
}

static inline void *sys_ptr(void *ctx, uint64_t token)
{
    void *p = NULL;

    (void)amx_pool_ptr(&((struct context *)ctx)->pool, token, &p, NULL);
    return p;
}
#else
static int open_pool(amx_t *h, int create)
{
    (void)h;
    (void)create;
    return 0;
}

/* The store of a run of messages, if it was one: whole, nobody borrows. It goes. */
static int check_object(amx_t *h)
{
    struct amx_pool_check_result c = {.struct_size = sizeof(c)};
    struct amx_store_stats s = {.struct_size = sizeof(s)};
    struct amx_store store;
    amx_ref block;
    int err;

    if (amx_root_get(h, 0, &block) || !block)
        return 0;
    err = amx_store_attach_block(h, block, NULL, &store);
    if (err || (err = amx_store_check(&store, NULL, NULL, &c)) || (err = amx_store_stat(&store, &s)))
        return failed("store", err);
    if (c.undone || s.guards || (s.used != 0 && s.used != MESSAGES)) {
        fprintf(stderr, "amx: store: %llu undone, %u guards, %u messages\n", (unsigned long long)c.undone, s.guards,
                s.used);
        return -1;
    }
    err = amx_store_remove(&store);
    return err || (err = amx_free(h, block)) ? failed("store", err) : 0;
}

static int enter(void *seg, void **ctx)
{
    amx_t *h = NULL;
    int err = amx_share((amx_t *)seg, &h);

    if (err)
        return failed("share", err);
    *ctx = h;
    return 0;
}

static int leave(void *seg, void *ctx)
{
    int err = amx_unshare((amx_t *)ctx);

    (void)seg;
    return err ? failed("unshare", err) : 0;
}

static inline uint64_t sys_alloc(void *ctx, size_t n)
{
    amx_ref ref = AMX_REF_NONE;

    (void)amx_alloc((amx_t *)ctx, n, &ref);
    return ref;
}

static inline int sys_free(void *ctx, uint64_t token)
{
    return amx_free((amx_t *)ctx, token);
}

static inline void *sys_ptr(void *ctx, uint64_t token)
{
    void *p = NULL;

    (void)amx_ptr((amx_t *)ctx, token, &p);
    return p;
}
#endif

static int open_segment(const char *name, int create, void **seg)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    char why[256] = "";
    amx_t *h = NULL;
    int err;

    /* Each process maps elsewhere: nothing may depend on the address. */
    o.map_hint = (const void *)(0x200000000000u + ((uintptr_t)(getpid() & 0xfff) << 34));
    o.size = SEGMENT;
    o.why = why;
    o.why_len = sizeof(why);
    err = create ? amx_create(name, &o, &h) : amx_attach(name, &o, &h);
    if (err) {
        fprintf(stderr, "amx: %s: %s\n", amx_strerror(err), why);
        return -1;
    }
    *seg = h;
    return open_pool(h, create);
}

static void unlink_segment(const char *name)
{
    (void)amx_unlink(name, NULL);
}

static int check(void *seg)
{
    struct amx_check_result r = {0};
    int err = check_object((amx_t *)seg);

    if (err)
        return err;
    r.struct_size = sizeof(r);
    err = amx_check((amx_t *)seg, NULL, NULL, &r);
    if (err)
        return failed("check", err);
    if (r.corrupt || r.undone || r.live_blocks) {
        fprintf(stderr, "amx: check: %llu corrupt, %llu undone, %llu live blocks\n", (unsigned long long)r.corrupt,
                (unsigned long long)r.undone, (unsigned long long)r.live_blocks);
        return -1;
    }
    return 0;
}

static void close_segment(void *seg)
{
    (void)amx_close((amx_t *)seg);
}

static inline uint64_t sys_pack(void *ctx, uint64_t token)
{
    (void)ctx;
    return token;
}

static inline uint64_t sys_unpack(void *ctx, uint64_t word)
{
    (void)ctx;
    return word;
}

#include "workloads.h"

#ifdef BENCH_POOL
#define RUNS BENCH_RUNS
#else
/* --- Messages ------------------------------------------------------------------------------------------------------ */

enum { MSG_BUSY = 1 };

struct msg_view {
    struct amx_store store;
};

struct msg_borrow {
    uint8_t *p;
    uint64_t *mark; /* the message's trace id */
    size_t n;
    union {
        struct amx_read read;
        struct amx_write write;
    } guard;
};

static int msg_make(void *ctx)
{
    struct amx_store_config c = {.depth = MESSAGES, .payload_max = MESSAGE_BYTES};
    struct amx_store store;
    amx_ref block;
    int err = amx_store_create((amx_t *)ctx, &c, &block, &store);

    if (!err)
        err = amx_root_set((amx_t *)ctx, 0, block);
    return err ? failed("store", err) : 0;
}

static int msg_find(void *ctx, struct msg_view *v)
{
    amx_ref block;

    return amx_root_get((amx_t *)ctx, 0, &block) || !block ||
           amx_store_attach_block((amx_t *)ctx, block, NULL, &v->store);
}

static inline int answer(int err)
{
    return err == AMX_E_BORROWED ? MSG_BUSY : err;
}

static inline int msg_store(struct msg_view *v, uint64_t mark, const void *payload, size_t n, uint64_t *token)
{
    struct amx_message_header h = AMX_MESSAGE_HEADER_INIT;

    h.trace_id = mark;
    return amx_msg_store(&v->store, &h, payload, n, token);
}

static inline int msg_read(struct msg_view *v, uint64_t token, struct msg_borrow *b)
{
    int err = amx_msg_read(&v->store, token, &b->guard.read);

    if (err)
        return answer(err);
    b->p = (uint8_t *)(uintptr_t)b->guard.read.payload;
    b->mark = (uint64_t *)(uintptr_t)&b->guard.read.header->trace_id;
    b->n = b->guard.read.size;
    return 0;
}

static inline void msg_read_end(struct msg_view *v, struct msg_borrow *b)
{
    (void)v;
    amx_read_end(&b->guard.read);
}

static inline int msg_change(struct msg_view *v, uint64_t token, struct msg_borrow *b)
{
    int err = amx_msg_read_mut(&v->store, token, &b->guard.write);

    if (err)
        return answer(err);
    b->p = b->guard.write.payload;
    b->mark = &b->guard.write.header->trace_id;
    b->n = b->guard.write.size;
    return 0;
}

static inline int msg_change_end(struct msg_view *v, struct msg_borrow *b)
{
    (void)v;
    return amx_write_end(&b->guard.write);
}

static inline int msg_free(struct msg_view *v, uint64_t token)
{
    return amx_msg_free(&v->store, token);
}

struct tokens {
    uint64_t *at;
    unsigned n;
};

static int note(const struct amx_store_message *m, void *ctx)
{
    struct tokens *t = ctx;

    if (m->token) /* stored, or somebody is changing it */
        t->at[t->n++] = m->token;
    return 0;
}

static unsigned msg_tokens(struct msg_view *v, uint64_t *token)
{
    struct tokens t = {token, 0};

    (void)amx_store_walk(&v->store, note, &t);
    return t.n;
}

#include "messages.h"

#define RUNS                                                                                                           \
    {                                                                                                                  \
        BENCH_ROWS, BENCH_MESSAGE_ROWS                                                                                 \
    }
#endif

static void version(char *buf, size_t len)
{
    int v = amx_version();

    snprintf(buf, len, "amx %d.%d.%d", v / 10000, v / 100 % 100, v % 100);
}

const struct bench_system bench_system = {
    1, open_segment, unlink_segment, enter, leave, check, close_segment, version, RUNS, BENCH_DRAINS,
};
