/* SPDX-License-Identifier: Apache-2.0 */
/* Every public call in one table or the other, and a small world that they work on: for tests that try them all. */
#ifndef AMX_TEST_CALLS_H
#define AMX_TEST_CALLS_H

#include "tests/arena_kit.h"

#define MIB (UINT64_C(1) << 20)

/* One segment with a live block, a freed one, one whose memory was given out again, and another segment beside it. */
struct world {
    amx_t *h, *more, *other;
    amx_ref live, freed, reused, again, foreign;
    struct amx_stats before;
    unsigned char *address; /* of the live block */
};

static inline void world_open(struct world *w)
{
    w->h = new_segment(MIB);
    w->more = new_handle(w->h);
    w->other = new_segment(MIB);
    w->foreign = alloc(w->other, 200);
    w->live = alloc(w->h, 200);
    w->address = bytes_of(w->h, w->live);
    mark(w->h, w->live, 1);
    w->reused = alloc(w->h, 300);
    must_ok(amx_free(w->h, w->reused));
    w->again = alloc(w->h, 300);
    must(offset_of(w->again) == offset_of(w->reused) && w->again != w->reused);
    mark(w->h, w->again, 2);
    w->freed = alloc(w->h, 400);
    must_ok(amx_free(w->h, w->freed));
    w->before = stat_of(w->h);
}

static inline void world_unchanged(struct world *w)
{
    struct amx_stats now = stat_of(w->h);

    assert_memory_equal(&now, &w->before, sizeof now);
    check_clean(w->h);
    verify(w->h, w->live, 1);
    verify(w->h, w->again, 2);
}

static inline void world_close(struct world *w)
{
    world_unchanged(w);
    ok(amx_free(w->h, w->live));
    ok(amx_free(w->h, w->again));
    ok(amx_unshare(w->more));
    close_free(w->h);
    ok(amx_free(w->other, w->foreign));
    close_free(w->other);
}

/* --- Every call that takes a reference ------------------------------------------------------------------------ */

static int by_free(amx_t *h, amx_ref r)
{
    return amx_free(h, r);
}
static int by_free_many(amx_t *h, amx_ref r)
{
    size_t freed = 77;
    int rc = amx_free_many(h, &r, 1, &freed);

    must(freed == (rc == AMX_OK));
    return rc;
}
static int by_resize(amx_t *h, amx_ref r)
{
    amx_ref out = 77;
    int rc = amx_resize(h, r, 100, &out);

    must(rc == AMX_OK || out == 77);
    return rc;
}
static int by_usable(amx_t *h, amx_ref r)
{
    size_t n = 77;
    int rc = amx_usable(h, r, &n);

    must(rc == AMX_OK || n == 77);
    return rc;
}
static int by_ptr(amx_t *h, amx_ref r)
{
    void *p = h;
    int rc = amx_ptr(h, r, &p);

    must(rc == AMX_OK || p == h);
    return rc;
}
static int by_read(amx_t *h, amx_ref r)
{
    const void *p = h;
    int rc = amx_read(h, r, 8, &p);

    must(rc == AMX_OK || p == h);
    return rc;
}
static int by_read_mut(amx_t *h, amx_ref r)
{
    void *p = h;
    int rc = amx_read_mut(h, r, 8, &p);

    must(rc == AMX_OK || p == h);
    return rc;
}
static int by_write(amx_t *h, amx_ref r)
{
    return amx_write(h, r, "1234567", 8);
}
static int by_get_state(amx_t *h, amx_ref r)
{
    uint32_t s = 77;
    int rc = amx_get_state(h, r, AMX_ACQUIRE, &s);

    must(rc == AMX_OK || s == 77);
    return rc;
}
static int by_set_state(amx_t *h, amx_ref r)
{
    return amx_set_state(h, r, 60);
}
static int by_transition(amx_t *h, amx_ref r)
{
    return amx_transition(h, r, 60, 61, AMX_ACQ_REL, NULL);
}
static int by_publish(amx_t *h, amx_ref r)
{
    return amx_publish(h, r);
}
static int by_adopt(amx_t *h, amx_ref r)
{
    return amx_adopt(h, r);
}
static int by_give(amx_t *h, amx_ref r)
{
    amx_ref out = 77;
    int rc = amx_give(h, r, amx_handle_id(h) ? amx_handle_id(h) : 1, &out);

    must(rc == AMX_OK || out == 77);
    return rc;
}
static int by_owner(amx_t *h, amx_ref r)
{
    amx_id id = 77;
    int rc = amx_owner(h, r, &id);

    must(rc == AMX_OK || id == 77);
    return rc;
}

static const struct {
    const char *name;
    int (*call)(amx_t *h, amx_ref r);
    bool writes, frees;
} by_ref[] = {
    {"free", by_free, true, true},
    {"free_many", by_free_many, true, true},
    {"resize", by_resize, true, false},
    {"usable", by_usable, false, false},
    {"ptr", by_ptr, false, false},
    {"read", by_read, false, false},
    {"read_mut", by_read_mut, true, false},
    {"write", by_write, true, false},
    {"get_state", by_get_state, false, false},
    {"set_state", by_set_state, true, false},
    {"transition", by_transition, true, false},
    {"publish", by_publish, true, false},
    {"adopt", by_adopt, true, false},
    {"give", by_give, true, false},
    {"owner", by_owner, false, false},
};
enum { BY_REF = sizeof by_ref / sizeof *by_ref };

static int raw_query(amx_t *h, uint64_t offset)
{
    struct amx_block b;

    return amx_raw_query(h, offset, &b);
}

/* --- Every other call that takes a handle, in a form that succeeds: for the handles that may not --------------- */

static struct world *the_world; /* what the calls below work on; one test at a time */

static int c_alloc(amx_t *h)
{
    amx_ref r;

    return amx_alloc(h, 64, &r);
}
static int c_zalloc(amx_t *h)
{
    amx_ref r;

    return amx_zalloc(h, 64, &r);
}
static int c_aligned(amx_t *h)
{
    amx_ref r;

    return amx_alloc_aligned(h, 256, 64, &r);
}
static int c_wait(amx_t *h)
{
    amx_ref r;

    return amx_alloc_wait(h, 64, UINT64_MAX, &r);
}
static int c_many(amx_t *h)
{
    amx_ref r[2];
    size_t got = 77;

    return amx_alloc_many(h, 64, 2, r, &got);
}
static int c_big(amx_t *h)
{
    amx_ref r;

    return amx_alloc(h, 100000, &r);
}
static int c_free_ptr(amx_t *h)
{
    return amx_free_ptr(h, the_world->address);
}
static int c_ref_of(amx_t *h)
{
    amx_ref r;
    /* in this handle's own mapping, if it has one */
    char *base = amx_raw_base(h);
    void *p = base ? base + offset_of(the_world->live) + AMX_HEADER_SPACE : (void *)the_world->address;

    return amx_ref_of(h, p, &r);
}
static int c_heal(amx_t *h)
{
    return amx_heal(h);
}
static int c_trim(amx_t *h)
{
    return amx_trim(h);
}
static int on_block(const struct amx_block *b, void *ctx)
{
    (void)b;
    (void)ctx;
    return 0;
}
static int c_walk(amx_t *h)
{
    return amx_walk(h, on_block, NULL);
}
static int c_stat(amx_t *h)
{
    struct amx_stats s = {.struct_size = sizeof s};

    return amx_stat(h, &s);
}
static int c_check(amx_t *h)
{
    struct amx_check_result r = {.struct_size = sizeof r};

    return amx_check(h, NULL, NULL, &r);
}
static int c_info(amx_t *h)
{
    struct amx_segment_info i = {.struct_size = sizeof i};

    return amx_info(h, &i);
}
static int on_peer(const struct amx_peer *p, void *ctx)
{
    (void)p;
    (void)ctx;
    return 0;
}
static int c_peers(amx_t *h)
{
    return amx_peers(h, on_peer, NULL);
}
static int c_recover(amx_t *h)
{
    return amx_recover(h, 0, NULL, NULL, NULL);
}
static int c_root_get(amx_t *h)
{
    amx_ref r;

    return amx_root_get(h, 0, &r);
}
static int c_root_set(amx_t *h)
{
    return amx_root_set(h, 0, AMX_REF_NONE);
}
static int c_root_cas(amx_t *h)
{
    return amx_root_cas(h, 0, AMX_REF_NONE, AMX_REF_NONE, NULL);
}
static int c_raw_find(amx_t *h)
{
    uint32_t fl, sl;

    return amx_raw_find_suitable(h, 0, 1, &fl, &sl);
}
static int c_raw_allocate(amx_t *h)
{
    uint64_t offset;

    return amx_raw_allocate(h, 64, &offset);
}
static int c_raw_ack(amx_t *h)
{
    return amx_raw_ack(h, offset_of(the_world->live));
}
static int c_raw_coalesce(amx_t *h)
{
    return amx_raw_coalesce(h, offset_of(the_world->live));
}
static int c_raw_free_at(amx_t *h)
{
    return amx_raw_free_at(h, offset_of(the_world->live));
}
static int c_raw_query(amx_t *h)
{
    return raw_query(h, offset_of(the_world->live));
}
static int c_raw_end(amx_t *h)
{
    uint64_t end;

    return amx_raw_sector_end(h, offset_of(the_world->live), &end);
}
static int c_raw_id(amx_t *h)
{
    uint8_t id[16];

    return amx_raw_id(h, id);
}

static const struct {
    const char *name;
    int (*call)(amx_t *h);
    bool writes;
} by_handle[] = {
    {"alloc", c_alloc, true},
    {"zalloc", c_zalloc, true},
    {"alloc_aligned", c_aligned, true},
    {"alloc_wait", c_wait, true},
    {"alloc_many", c_many, true},
    {"alloc (large)", c_big, true},
    {"free_ptr", c_free_ptr, true},
    {"ref_of", c_ref_of, false},
    {"heal", c_heal, true},
    {"trim", c_trim, true},
    {"walk", c_walk, false},
    {"stat", c_stat, false},
    {"check", c_check, false},
    {"info", c_info, false},
    {"peers", c_peers, false},
    {"recover", c_recover, true},
    {"root_get", c_root_get, false},
    {"root_set", c_root_set, true},
    {"root_cas", c_root_cas, true},
    {"raw_find_suitable", c_raw_find, false},
    {"raw_allocate", c_raw_allocate, true},
    {"raw_ack", c_raw_ack, true},
    {"raw_coalesce", c_raw_coalesce, true},
    {"raw_free_at", c_raw_free_at, true},
    {"raw_query", c_raw_query, false},
    {"raw_sector_end", c_raw_end, false},
    {"raw_id", c_raw_id, false},
};
enum { BY_HANDLE = sizeof by_handle / sizeof *by_handle };

/* Each call with h: those that write answer `writing`, the others `reading`. Usable in a forked child. */
static inline void expect_by_handle(struct world *w, amx_t *h, int writing, int reading)
{
    the_world = w;
    for (int i = 0; i < BY_HANDLE + BY_REF; i++) {
        bool handle = i < BY_HANDLE;
        const char *name = handle ? by_handle[i].name : by_ref[i - BY_HANDLE].name;
        int want = (handle ? by_handle[i].writes : by_ref[i - BY_HANDLE].writes) ? writing : reading;
        int got = handle ? by_handle[i].call(h) : by_ref[i - BY_HANDLE].call(h, w->live);

        if (got != want)
            fprintf(stderr, "amx_%s: %s, not %s\n", name, amx_strerror(got), amx_strerror(want));
        must(got == want);
    }
}

#endif
