/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of pools share: the same pool in each kind of region, seen through two views. */
#ifndef AMX_TEST_POOL_KIT_H
#define AMX_TEST_POOL_KIT_H

#include "amx_pool.h"
#include "tests/arena_kit.h"

#include "atomic.h"
#include "pool.h"

#include <sys/mman.h>

enum kind { PLAIN, MEMFD, BLOCK };
enum { BASE = 192 }; /* where the pool begins in its region */

/* The first view is that of owner[0], the second one of owner[1]; in a memfd and in a segment at another address. */
struct room {
    enum kind kind;
    struct amx_pool pool[2];
    amx_id owner[2];
    void *region[2];
    size_t len;
    int fd;
    amx_t *h[2];
    amx_ref block;
};

static inline uint64_t bytes_for(const struct amx_pool_config *k)
{
    uint64_t n = 0;
    must_ok(amx_pool_required_size(k, &n));
    return n;
}

static inline int memfd_of(size_t len)
{
    int fd = memfd_create("pool", MFD_CLOEXEC);
    must(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
    return fd;
}

static inline void *map_of(int fd, size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(p != MAP_FAILED);
    return p;
}

static inline void room_open(struct room *r, enum kind kind, const struct amx_pool_config *k)
{
    *r = (struct room){.kind = kind, .len = BASE + bytes_for(k), .fd = -1, .owner = {7, 2}};
    if (kind == BLOCK) {
        struct amx_options o = AMX_OPTIONS_INIT;
        o.size = UINT64_C(1) << 20;
        o.flags = AMX_F_NO_RECOVER;
        must_ok(amx_create_memfd("pool", &o, &r->h[0]));
        must_ok(amx_attach_fd(amx_fd(r->h[0]), &o, &r->h[1]));
        must_ok(amx_alloc_aligned(r->h[0], 64, r->len, &r->block));
        must_ok(amx_publish(r->h[0], r->block));
        for (int i = 0; i < 2; i++) {
            must_ok(amx_ptr(r->h[i], r->block, &r->region[i]));
            r->owner[i] = amx_handle_id(r->h[i]);
        }
        memset(r->region[0], 0xa5, r->len);
        must_ok(amx_pool_init_block(r->h[0], r->block, BASE, k, &r->pool[0]));
        must_ok(amx_pool_attach_block(r->h[1], r->block, BASE, k, &r->pool[1]));
        return;
    }
    if (kind == MEMFD) {
        r->fd = memfd_of(r->len);
        for (int i = 0; i < 2; i++)
            r->region[i] = map_of(r->fd, r->len);
    } else {
        r->region[0] = r->region[1] = aligned_alloc(64, (r->len + 63) & ~(size_t)63);
        must(r->region[0] != NULL);
    }
    memset(r->region[0], 0xa5, r->len);
    must_ok(amx_pool_init(r->region[0], r->len, BASE, k, &r->pool[0]));
    must_ok(amx_pool_attach(r->region[1], r->len, BASE, k, &r->pool[1]));
}

/* Nothing worse than a note. */
static inline struct amx_pool_check_result pool_clean(const struct amx_pool *p)
{
    struct amx_pool_check_result c = {.struct_size = sizeof c};
    must_ok(amx_pool_check(p, complain, NULL, &c));
    must(c.undone == 0);
    return c;
}

static inline void room_close(struct room *r)
{
    (void)pool_clean(&r->pool[0]);
    if (r->kind == BLOCK) {
        must_ok(amx_pool_remove(&r->pool[0]));
        must_ok(amx_close(r->h[1]));
        must_ok(amx_free(r->h[0], r->block));
        close_free(r->h[0]);
    } else if (r->kind == MEMFD) {
        must(munmap(r->region[0], r->len) == 0 && munmap(r->region[1], r->len) == 0 && close(r->fd) == 0);
    } else {
        free(r->region[0]);
    }
}

/* What the owner held falls, as after his death. In a segment the words become what amx_recover makes of them. */
static inline uint64_t room_bury(struct room *r, int who, uint64_t *kept)
{
    uint64_t n = 0, k = 0;
    if (r->kind == BLOCK) { /* closing is recovery of oneself */
        uint64_t before = 0, after = 0;
        must_ok(amx_pool_used_by(&r->pool[0], r->owner[who], &before));
        must_ok(amx_close(r->h[who]));
        must_ok(amx_pool_used_by(&r->pool[!who], r->owner[who], &after));
        must(after == 0);
        n = before;
        must_ok(amx_attach_fd(amx_fd(r->h[!who]), NULL, &r->h[who]));
        must_ok(amx_pool_attach_block(r->h[who], r->block, BASE, NULL, &r->pool[who]));
        must_ok(amx_ptr(r->h[who], r->block, &r->region[who]));
        r->owner[who] = amx_handle_id(r->h[who]);
    } else {
        must_ok(amx_pool_recover(&r->pool[!who], r->owner[who], &n, &k));
    }
    if (kept)
        *kept = k;
    return n;
}

static inline amx_slot take(struct room *r, int who, size_t size)
{
    amx_slot s = AMX_SLOT_NONE;
    must_ok(amx_pool_alloc(&r->pool[who], size, r->owner[who], &s));
    must(s != AMX_SLOT_NONE);
    return s;
}

static inline amxi_a64 *pool_word(const struct amx_pool *p, amx_slot s)
{
    return (amxi_a64 *)(void *)(p->base + p->part[AMX_SLOT_CLASS(s)].words) + AMX_SLOT_INDEX(s);
}

static inline amxi_a64 *pool_hint(const struct amx_pool *p, amx_slot s)
{
    return (amxi_a64 *)(void *)(p->base + p->part[AMX_SLOT_CLASS(s)].hints) + AMX_SLOT_INDEX(s) / 64;
}

static inline struct amx_pool_stats pool_stat(const struct amx_pool *p, uint32_t c)
{
    struct amx_pool_stats s = {.struct_size = sizeof s};
    must_ok(amx_pool_stat(p, c, &s));
    return s;
}

static inline uint64_t used_all(const struct amx_pool *p)
{
    uint64_t n = 0;
    for (uint32_t c = 0; c < amx_pool_class_count(p); c++)
        n += pool_stat(p, c).used;
    return n;
}

/* A request that the arena serves. */
static inline size_t above_all(const struct amx_pool *p)
{
    return p->n > 1 ? p->part[p->n - 2].slot_size + 1 : 1;
}

/* Every slot can be had, once, and is given back. */
static inline void pool_all_free(struct amx_pool *p, amx_id owner)
{
    amx_slot *s;
    uint32_t n = 0, room = 0;
    uint32_t arena = 0; /* slots of the arena: they serve only what is above the other classes */
    for (uint32_t c = 0; c < p->n; c++)
        *(p->part[c].slot_size == AMX_POOL_ARENA ? &arena : &room) += pool_stat(p, c).count;
    room += arena;
    s = calloc(room + 1, sizeof *s);
    must(s != NULL);
    while (n <= room && amx_pool_alloc(p, arena && n >= room - arena ? above_all(p) : 0, owner, &s[n]) == AMX_OK) {
        void *m;
        size_t bytes;
        must_ok(amx_pool_ptr(p, s[n], &m, &bytes));
        stamp(m, bytes, s[n]);
        n++;
    }
    must(n == room);
    for (uint32_t i = 0; i < n; i++) {
        void *m;
        size_t bytes;
        must_ok(amx_pool_ptr(p, s[i], &m, &bytes));
        must(stamped(m, bytes, s[i]));
        must_ok(amx_pool_free(p, s[i]));
    }
    free(s);
    struct amx_pool_check_result c = pool_clean(p);
    must(c.used == 0 && c.notes == 0);
}

#endif
