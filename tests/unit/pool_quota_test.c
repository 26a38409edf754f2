/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas of slot pools. */
#include "tests/pool_kit.h"

#include <pthread.h>

enum { Q = 40, SLOTS = 100, LARGE = 8 };
static const struct amx_pool_config some = {.n = 2, .cls = {{16, SLOTS / 2}, {64, SLOTS / 2}}},
                                    mixed = {.n = 2, .cls = {{16, 4}, {AMX_POOL_ARENA, LARGE}}};

static enum kind kind_of(void **state)
{
    return **(enum kind **)state;
}

static uint64_t has(const struct room *r, int who)
{
    uint64_t n;
    must_ok(amx_pool_used_by(&r->pool[0], r->owner[who], &n));
    return n;
}

/* Takes until it is refused. */
static uint64_t take_all(struct room *r, int who, amx_slot *s)
{
    uint64_t n = 0;
    amx_slot out;
    int e;
    while ((e = amx_pool_alloc(&r->pool[who], 1, r->owner[who], &out)) == AMX_OK)
        s[n++] = out;
    fails(AMX_E_QUOTA, e);
    return n;
}

static void exact(void **state)
{
    struct room r;
    amx_slot s[SLOTS], t[SLOTS], out;
    uint32_t q = 1;
    room_open(&r, kind_of(state), &some);
    ok(amx_pool_quota(&r.pool[0], &q));
    assert_int_equal(q, 0);
    ok(amx_pool_set_quota(&r.pool[0], Q));
    ok(amx_pool_quota(&r.pool[1], &q)); /* the pool's, not the view's */
    assert_int_equal(q, Q);
    assert_int_equal(take_all(&r, 0, s), Q);
    assert_int_equal(take_all(&r, 1, t), Q); /* each for himself */
    fails(AMX_E_TIMEOUT, amx_pool_alloc_wait(&r.pool[0], 1, r.owner[0], 1, &out));
    /* freed by another, given away: off it at once. Published: nobody's, and so nobody's quota */
    ok(amx_pool_free(&r.pool[1], s[0]));
    s[0] = take(&r, 0, 1);
    fails(AMX_E_QUOTA, amx_pool_alloc(&r.pool[0], 1, r.owner[0], &out));
    ok(amx_pool_publish(&r.pool[0], s[1]));
    s[2] = take(&r, 0, 1);
    fails(AMX_E_QUOTA, amx_pool_adopt(&r.pool[0], s[1], r.owner[0]));
    /* gifts are never refused; who has more than his quota gets none before he is below it */
    ok(amx_pool_give(&r.pool[0], s[3], r.owner[1], &out));
    assert_int_equal(has(&r, 1), Q + 1);
    fails(AMX_E_QUOTA, amx_pool_alloc(&r.pool[1], 1, r.owner[1], &out));
    ok(amx_pool_free(&r.pool[1], t[0]));
    fails(AMX_E_QUOTA, amx_pool_alloc(&r.pool[1], 1, r.owner[1], &out));
    ok(amx_pool_free(&r.pool[1], t[1]));
    t[1] = take(&r, 1, 1);
    /* raised, lowered, lifted */
    ok(amx_pool_set_quota(&r.pool[1], Q + 2));
    (void)take(&r, 1, 1);
    (void)take(&r, 1, 1);
    fails(AMX_E_QUOTA, amx_pool_alloc(&r.pool[1], 1, r.owner[1], &out));
    ok(amx_pool_set_quota(&r.pool[1], 5));
    fails(AMX_E_QUOTA, amx_pool_alloc(&r.pool[0], 1, r.owner[0], &out));
    ok(amx_pool_set_quota(&r.pool[1], 0));
    s[3] = take(&r, 0, 1);
    ok(amx_pool_free(&r.pool[0], s[1]));
    uint64_t was = has(&r, 0);
    assert_int_equal(was, Q);
    assert_int_equal(room_bury(&r, 0, NULL), was);
    (void)room_bury(&r, 1, NULL);
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* Nothing is counted but words: after a death its owner's number is new. */
static void after_death(void **state)
{
    struct room r;
    amx_slot s[SLOTS];
    room_open(&r, kind_of(state), &some);
    ok(amx_pool_set_quota(&r.pool[0], Q));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(take_all(&r, 0, s), Q);
        if (kind_of(state) == BLOCK)
            ok(amx_pool_set_state(&r.pool[0], s[5], AMX_STATE_KEPT));
        (void)room_bury(&r, 0, NULL);
        if (kind_of(state) == BLOCK)
            ok(amx_pool_free(&r.pool[1], s[5]));
    }
    ok(amx_pool_set_quota(&r.pool[0], 0));
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* Many turns near the limit, and far below it: never more, never refused with fewer. */
static void at_random(void **state)
{
    struct room r;
    amx_slot s[SLOTS], out;
    uint64_t n = 0, refused = 0;
    struct rng dice = rng_make(test_seed(), 1);
    room_open(&r, kind_of(state), &some);
    ok(amx_pool_set_quota(&r.pool[0], Q));
    for (int turn = 0; turn < 20000; turn++) {
        bool up = turn / 500 % 2 ? rng_below(&dice, 3) != 0 : rng_below(&dice, 3) == 0;
        if (up) {
            int e = amx_pool_alloc(&r.pool[0], 1, r.owner[0], &out);
            assert_int_equal(e, n < Q ? AMX_OK : AMX_E_QUOTA);
            refused += e != AMX_OK;
            if (!e)
                s[n++] = out;
        } else if (n) {
            uint64_t i = rng_below(&dice, n);
            ok(amx_pool_free(&r.pool[i & 1], s[i]));
            s[i] = s[--n];
        }
    }
    assert_true(refused > 100);
    while (n)
        ok(amx_pool_free(&r.pool[1], s[--n]));
    ok(amx_pool_set_quota(&r.pool[0], 0));
    room_close(&r);
}

/* Several views of one owner: ahead of each other by so much at most. */
static void views(void **state)
{
    enum { VIEWS = 4 };
    struct room r;
    struct amx_pool v[VIEWS];
    amx_slot out;
    uint64_t n = 0;
    bool more = true;
    room_open(&r, kind_of(state), &some);
    ok(amx_pool_set_quota(&r.pool[0], Q));
    for (int i = 0; i < VIEWS; i++)
        if (kind_of(state) == BLOCK)
            ok(amx_pool_attach_block(r.h[0], r.block, BASE, NULL, &v[i]));
        else
            ok(amx_pool_attach(r.region[0], r.len, BASE, NULL, &v[i]));
    for (int i = 0; i < VIEWS; i++) /* all count when there are none */
        n += amx_pool_alloc(&v[i], 1, r.owner[0], &out) == AMX_OK;
    for (int i = 0; more; i = (i + 1) % VIEWS)
        for (more = false; amx_pool_alloc(&v[i], 1, r.owner[0], &out) == AMX_OK; more = true)
            n++;
    for (int i = 0; i < VIEWS; i++)
        while (amx_pool_alloc(&v[i], 1, r.owner[0], &out) == AMX_OK)
            n++;
    assert_int_equal(n, has(&r, 0));
    assert_true(n > Q && n <= Q + (VIEWS - 1) * Q / 8 + VIEWS - 1); /* and they were: the bound is not an idle one */
    assert_int_equal(room_bury(&r, 0, NULL), n);
    ok(amx_pool_set_quota(&r.pool[0], 0));
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* What a view may take uncounted is one owner's, and ends with the quota that it was of. */
static void not_anothers(void **state)
{
    struct room r;
    amx_slot out;
    room_open(&r, kind_of(state), &some);
    ok(amx_pool_set_quota(&r.pool[0], Q));
    (void)take(&r, 0, 1); /* counted: some more are free of it */
    ok(amx_pool_set_quota(&r.pool[0], 1));
    fails(AMX_E_QUOTA, amx_pool_alloc(&r.pool[0], 1, r.owner[0], &out));
    ok(amx_pool_set_quota(&r.pool[0], Q));
    if (kind_of(state) != BLOCK) { /* there a view is one handle's */
        for (int i = 0; i < Q; i++)
            ok(amx_pool_alloc(&r.pool[1], 1, 9, &out));
        (void)take(&r, 0, 1);
        fails(AMX_E_QUOTA, amx_pool_alloc(&r.pool[0], 1, 9, &out));
        ok(amx_pool_recover(&r.pool[0], 9, NULL, NULL));
    }
    (void)room_bury(&r, 0, NULL);
    ok(amx_pool_set_quota(&r.pool[0], 0));
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

static void counts_all_classes(void **state)
{
    struct room r;
    amx_slot s[LARGE], out;
    (void)state;
    room_open(&r, BLOCK, &mixed);
    ok(amx_pool_extend(&r.pool[0], 1, 20));
    ok(amx_pool_set_quota(&r.pool[0], LARGE));
    for (int i = 0; i < LARGE; i++)
        s[i] = take(&r, 0, i % 4 ? 100 : 10);
    fails(AMX_E_QUOTA, amx_pool_alloc(&r.pool[0], 100, AMX_POOL_SELF, &out));
    fails(AMX_E_QUOTA, amx_pool_alloc(&r.pool[0], 1, AMX_POOL_SELF, &out));
    fails(AMX_E_TOO_BIG, amx_pool_alloc(&r.pool[1], (size_t)1 << 40, AMX_POOL_SELF, &out));
    for (int i = 0; i < LARGE; i++)
        ok(amx_pool_free(&r.pool[1], s[i]));
    ok(amx_pool_set_quota(&r.pool[0], 0));
    pool_all_free(&r.pool[1], r.owner[1]);
    room_close(&r);
}

/* A waiter that is at its quota goes on when somebody frees one of its slots. */
struct freer {
    struct room *r;
    amx_slot slot;
};

static void *free_when_waited(void *ctx)
{
    struct freer *f = ctx;
    while (!(amxi_ld32_sc(&((struct amxi_pool_body *)(void *)f->r->pool[1].base)->wait) & 1))
        ;
    must_ok(amx_pool_free(&f->r->pool[1], f->slot));
    return NULL;
}

static void waits(void **state)
{
    struct room r;
    amx_slot s[SLOTS], out;
    pthread_t t;
    room_open(&r, kind_of(state), &some);
    ok(amx_pool_set_quota(&r.pool[0], 3));
    assert_int_equal(take_all(&r, 0, s), 3);
    struct freer f = {&r, s[1]};
    must(pthread_create(&t, NULL, free_when_waited, &f) == 0);
    ok(amx_pool_alloc_wait(&r.pool[0], 1, r.owner[0], UINT64_MAX, &out));
    must(pthread_join(t, NULL) == 0);
    assert_int_equal(room_bury(&r, 0, NULL), 3);
    ok(amx_pool_set_quota(&r.pool[0], 0));
    room_close(&r);
}

int main(void)
{
    static const enum kind plain = PLAIN, memfd = MEMFD, block = BLOCK;
#define EACH(f)                                                                                                        \
    {#f " (plain)", f, NULL, NULL, (void *)(uintptr_t)&plain},                                                         \
        {#f " (memfd)", f, NULL, NULL, (void *)(uintptr_t)&memfd},                                                     \
    {                                                                                                                  \
#f " (block)", f, NULL, NULL, (void *)(uintptr_t)&block                                                        \
    }
    const struct CMUnitTest tests[] = {
        EACH(exact),
        EACH(after_death),
        EACH(at_random),
        EACH(views),
        EACH(waits),
        EACH(not_anothers),
        cmocka_unit_test(counts_all_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
