/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A random workload whose every payload is verified, for threads and for processes. Each worker owns some blocks and
 * passes others on through an exchange that lies in the segment: published, given, or private and freed by whoever
 * takes them. The stamp of a block is its own reference, which no other block has: a byte that belongs to two blocks,
 * or to none, shows. It ends with nothing allocated but the exchange.
 */
#ifndef AMX_TEST_WORKLOAD_H
#define AMX_TEST_WORKLOAD_H

#include "tests/arena_kit.h"

#include <sched.h>
#include <time.h>

enum { CELLS = 64, WORKERS_MAX = 16, WORK_LIVE = 200 };

struct exchange { /* a published block; root 0 refers to it */
    uint64_t cell[CELLS];
    uint64_t id[WORKERS_MAX];
    uint64_t at[3]; /* workers that have come to this point; all wait for the last */
    uint64_t passed, busy, full;
};

struct work {
    size_t min, max; /* bytes of a block */
    size_t live;     /* blocks that a worker keeps at most, up to WORK_LIVE */
    int workers;
    uint64_t ops; /* of each worker */
    uint64_t seed;
    bool plenty; /* there is always room: no allocation may fail */
};

static inline struct exchange *exchange_make(amx_t *h)
{
    amx_ref ref;
    void *p;

    must_ok(amx_zalloc(h, sizeof(struct exchange), &ref));
    must_ok(amx_publish(h, ref));
    must_ok(amx_root_set(h, 0, ref));
    must_ok(amx_read_mut(h, ref, sizeof(struct exchange), &p));
    return p;
}

static inline struct exchange *exchange_find(amx_t *h)
{
    amx_ref ref;
    void *p;

    must_ok(amx_root_get(h, 0, &ref));
    must_ok(amx_read_mut(h, ref, sizeof(struct exchange), &p));
    return p;
}

struct worker {
    amx_t *h;
    struct exchange *x;
    const struct work *w;
    struct rng dice;
    amx_ref live[WORK_LIVE];
    size_t n;
    amx_ref dead[16];
    uint64_t died;
    uint64_t passed, busy, full;
};

static inline void work_mark(struct worker *k, amx_ref ref)
{
    mark(k->h, ref, ref);
}

static inline void work_verify(struct worker *k, amx_ref ref)
{
    void *p = NULL;
    size_t n = 0;
    size_t bad;

    must_ok(amx_ptr(k->h, ref, &p));
    must_ok(amx_usable(k->h, ref, &n));
    bad = stamp_differs(p, n, ref);
    if (bad != SIZE_MAX)
        fprintf(stderr, "block %#" PRIx64 " of %zu: byte %zu is wrong\n", ref, n, bad);
    must(bad == SIZE_MAX);
}

static inline size_t work_size(struct worker *k)
{
    const struct work *w = k->w;
    uint64_t top = w->max;

    /* mostly small ones, as programs do */
    while (top / 2 > w->min && top > 256 && rng_below(&k->dice, 8) != 0)
        top /= 2;
    return (size_t)rng_range(&k->dice, w->min, top);
}

static inline void work_keep(struct worker *k, amx_ref ref)
{
    work_mark(k, ref);
    k->live[k->n++] = ref;
}

static inline void work_refused(struct worker *k, int rc)
{
    must(rc == AMX_E_NOMEM || rc == AMX_E_BUSY);
    if (k->w->plenty)
        fprintf(stderr, "worker with %zu live blocks: %s\n", k->n, amx_strerror(rc));
    must(!k->w->plenty);
    if (rc == AMX_E_NOMEM)
        k->full++;
    else
        k->busy++;
}

static inline void work_alloc(struct worker *k)
{
    size_t n = work_size(k);
    amx_ref ref[8];
    uint64_t offset;
    size_t got = 0;
    int rc;

    switch (rng_below(&k->dice, 16)) {
    case 0:
        rc = amx_zalloc(k->h, n, &ref[0]);
        if (rc == AMX_OK) {
            const unsigned char *p = bytes_of(k->h, ref[0]);

            for (size_t i = 0; i < n; i += i < 64 ? 1 : 61)
                must(p[i] == 0);
        }
        break;
    case 1:
        rc = amx_alloc_aligned(k->h, (size_t)1 << rng_below(&k->dice, 13), n, &ref[0]);
        break;
    case 2:
        rc = amx_alloc_many(k->h, n, k->n + 8 <= k->w->live ? 8 : 1, ref, &got);
        must((rc == AMX_OK) == (got == (k->n + 8 <= k->w->live ? 8u : 1u)));
        for (size_t i = 0; i < got; i++)
            work_keep(k, ref[i]);
        if (rc != AMX_OK)
            work_refused(k, rc);
        return;
    case 3:
        rc = amx_raw_allocate(k->h, n, &offset);
        if (rc == AMX_OK)
            ref[0] = look(k->h, offset).ref;
        break;
    default:
        rc = amx_alloc(k->h, n, &ref[0]);
        break;
    }
    if (rc != AMX_OK) {
        work_refused(k, rc);
        return;
    }
    must(usable_of(k->h, ref[0]) >= n);
    work_keep(k, ref[0]);
}

static inline void work_free(struct worker *k, amx_ref ref)
{
    work_verify(k, ref);
    switch (rng_below(&k->dice, 8)) {
    case 0:
        must_ok(amx_raw_ack(k->h, offset_of(ref)));
        break;
    case 1:
        must_ok(amx_raw_coalesce(k->h, offset_of(ref)));
        break;
    case 2:
        must_ok(amx_free_ptr(k->h, bytes_of(k->h, ref)));
        break;
    default:
        must_ok(amx_free(k->h, ref));
        break;
    }
    k->dead[k->died++ % 16] = ref;
}

static inline amx_ref work_take_any(struct worker *k)
{
    size_t i = (size_t)rng_below(&k->dice, k->n);
    amx_ref ref = k->live[i];

    k->live[i] = k->live[--k->n];
    return ref;
}

static inline void work_resize(struct worker *k)
{
    amx_ref old = work_take_any(k);
    size_t was = usable_of(k->h, old);
    size_t n = work_size(k);
    size_t keep = n < was ? n : was;
    amx_ref ref;
    int rc;

    work_verify(k, old);
    rc = amx_resize(k->h, old, n, &ref);
    if (rc != AMX_OK) {
        work_refused(k, rc);
        k->live[k->n++] = old;
        return;
    }
    /* what both sizes have was stamped for the old reference: whole in small blocks, at the front in large ones */
    must(stamp_check_(bytes_of(k->h, ref), 0,
                      was <= STAMP_WHOLE ? keep / 8 * 8
                      : keep < 64        ? keep / 8 * 8
                                         : 64,
                      old) == SIZE_MAX);
    if (ref != old)
        k->dead[k->died++ % 16] = old;
    work_keep(k, ref);
}

/* Puts a block of mine into a cell and takes out what another left there. */
static inline void work_pass(struct worker *k)
{
    uint64_t *cell = &k->x->cell[rng_below(&k->dice, CELLS)];
    amx_ref mine = AMX_REF_NONE;
    amx_ref theirs;

    if (k->n > 0) {
        mine = work_take_any(k);
        work_verify(k, mine);
        switch (rng_below(&k->dice, 4)) {
        case 0:
            must_ok(amx_publish(k->h, mine));
            break;
        case 1: {
            uint64_t id = __atomic_load_n(&k->x->id[rng_below(&k->dice, (uint64_t)k->w->workers)], __ATOMIC_ACQUIRE);
            amx_ref given;

            must_ok(amx_give(k->h, mine, id, &given));
            mine = given;
            work_mark(k, mine);
            break;
        }
        case 2:
            must_ok(amx_set_state(k->h, mine, 49 + (uint32_t)rng_below(&k->dice, 4000)));
            break;
        default:
            break;
        }
        k->passed++;
    }
    theirs = __atomic_exchange_n(cell, mine, __ATOMIC_ACQ_REL);
    if (theirs == AMX_REF_NONE)
        return;
    work_verify(k, theirs);
    if (k->n < k->w->live && amx_adopt(k->h, theirs) == AMX_OK)
        k->live[k->n++] = theirs;
    else
        work_free(k, theirs);
}

static inline void work_probe(struct worker *k)
{
    amx_ref ref;
    void *p;
    int rc;

    if (k->died == 0 || TSAN)
        return;
    ref = k->dead[rng_below(&k->dice, k->died < 16 ? k->died : 16)];
    rc = amx_free(k->h, ref);
    must(rc == AMX_E_DOUBLE_FREE || rc == AMX_E_STALE);
    must(amx_ptr(k->h, ref, &p) == AMX_E_STALE);
    must(amx_set_state(k->h, ref, 60) == AMX_E_STALE);
}

static inline void work_look(struct worker *k)
{
    struct amx_check_result r = {.struct_size = sizeof r};

    must_ok(amx_check(k->h, complain, k, &r));
    must(r.corrupt == 0);
}

static inline void work_step(struct worker *k, uint64_t i)
{
    uint64_t what = rng_below(&k->dice, 1000);

    if (what < 480 && k->n < k->w->live)
        work_alloc(k);
    else if (k->n == 0)
        work_pass(k);
    else if (what < 880)
        work_free(k, work_take_any(k));
    else if (what < 920)
        work_resize(k);
    else if (what < 970)
        work_pass(k);
    else if (what < 996)
        work_probe(k);
    else if (what < 998)
        must(amx_trim(k->h) != AMX_E_CORRUPT);
    else if (what < 999)
        must(amx_heal(k->h) != AMX_E_CORRUPT);
    if (!TSAN && i % (k->w->ops / 4 + 1) == k->w->ops / 8) /* four times in a run */
        work_look(k);
}

static inline void work_meet(struct worker *k, int point)
{
    __atomic_fetch_add(&k->x->at[point], 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&k->x->at[point], __ATOMIC_ACQUIRE) < (uint64_t)k->w->workers)
        sched_yield();
}

/* One worker's part. All begin together, and nobody leaves before the exchange is empty: what is private to who leaves
 * would be freed with it. */
static inline void work_do(amx_t *h, int me, const struct work *w)
{
    struct worker *k = calloc(1, sizeof *k);

    must(k != NULL);
    must(me < WORKERS_MAX && w->workers <= WORKERS_MAX && w->live <= WORK_LIVE);
    k->h = h;
    k->x = exchange_find(h);
    k->w = w;
    k->dice = rng_make(w->seed, (uint64_t)me);
    __atomic_store_n(&k->x->id[me], amx_handle_id(h), __ATOMIC_RELEASE);
    work_meet(k, 0);
    for (uint64_t i = 0; i < w->ops; i++)
        work_step(k, i);
    while (k->n > 0)
        work_free(k, k->live[--k->n]);
    work_meet(k, 1);
    for (int i = me; i < CELLS; i += w->workers) {
        amx_ref ref = __atomic_exchange_n(&k->x->cell[i], AMX_REF_NONE, __ATOMIC_ACQ_REL);

        if (ref != AMX_REF_NONE)
            work_free(k, ref);
    }
    __atomic_fetch_add(&k->x->passed, k->passed, __ATOMIC_RELAXED);
    __atomic_fetch_add(&k->x->busy, k->busy, __ATOMIC_RELAXED);
    __atomic_fetch_add(&k->x->full, k->full, __ATOMIC_RELAXED);
    work_meet(k, 2);
    free(k);
}

/* After all workers have ended and given back their handles: nothing is left but the exchange, and without it every
 * byte of the segment is free. One line tells what was done. */
static inline void work_end(amx_t *h, const struct work *w, const char *what, uint64_t ns)
{
    struct exchange x = *exchange_find(h);
    amx_ref ref;

    must(stat_of(h).live_blocks == 1);
    must_ok(amx_root_get(h, 0, &ref));
    must_ok(amx_free(h, ref));
    check_all_free(h);
    note("%s: %d x %" PRIu64 " operations on blocks of %zu-%zu in %" PRIu64 " KiB, %" PRIu64 " passed on, %" PRIu64
         " busy, %" PRIu64 " full, %.2f Mop/s: all verified, every byte free",
         what, w->workers, w->ops, w->min, w->max, amx_raw_total_size(h) >> 10, x.passed, x.busy, x.full,
         (double)w->ops * w->workers * 1e3 / (double)ns);
}

static inline uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

#endif
