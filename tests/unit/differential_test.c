/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations against a model too simple to be wrong: a list of the living blocks and one of the references that
 * have died. The model knows where each living block lies, what it was asked for and what was written into it; so it
 * sees overlaps, lost and changed bytes, blocks that are too small, and dead references that still open something.
 */
#include "tests/arena_kit.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

enum { LIVE_MAX = 600, DEAD_MAX = 256, HANDLES = 3 };

struct block {
    amx_ref ref;
    uint64_t offset, bytes, key;
    uint64_t gap; /* at most so much in front of an aligned large block counts as part of it */
    size_t usable;
    uint32_t state;
    int owner; /* index of the handle, -1: nobody */
};

struct model {
    amx_t *h[HANDLES]; /* the owner, one more of it, and another attachment */
    struct block live[LIVE_MAX];
    size_t n;
    amx_ref dead[DEAD_MAX]; /* a ring of the last that died */
    size_t died;
    uint64_t bytes; /* of the living */
    size_t seen;    /* of them, in the walk */
    uint64_t gaps, max;
    struct rng dice;
    bool crowded; /* the last allocation found no memory */
};

static void *address(struct model *m, const struct block *b)
{
    return (char *)amx_raw_base(m->h[0]) + b->offset + AMX_HEADER_SPACE;
}

static void learn(struct model *m, struct block *b, amx_ref ref, size_t asked)
{
    struct amx_block seen = look(m->h[0], offset_of(ref));

    assert_int_equal(seen.ref, ref);
    assert_int_equal(seen.state, b->state);
    b->ref = ref;
    b->offset = seen.offset;
    b->bytes = seen.bytes;
    b->usable = usable_of(m->h[0], ref);
    assert_true(b->usable >= asked);
    assert_true(b->usable + AMX_HEADER_SPACE <= b->bytes);
    for (size_t i = 0; i < m->n; i++)
        if (&m->live[i] != b && b->offset < m->live[i].offset + m->live[i].bytes &&
            m->live[i].offset < b->offset + b->bytes)
            fail_msg("%#llx + %llu and %#llx + %llu overlap", (unsigned long long)b->offset,
                     (unsigned long long)b->bytes, (unsigned long long)m->live[i].offset,
                     (unsigned long long)m->live[i].bytes);
    m->bytes += b->bytes;
    m->gaps += b->gap;
}

static void rewrite(struct model *m, struct block *b)
{
    b->key = rng_next(&m->dice);
    stamp(address(m, b), b->usable, b->key);
}

static void unchanged(struct model *m, const struct block *b)
{
    assert_true(stamped(address(m, b), b->usable, b->key));
}

static void buried(struct model *m, amx_ref ref)
{
    m->dead[m->died++ % DEAD_MAX] = ref;
}

static size_t any_size(struct model *m)
{
    uint64_t top = m->max < 4096 * 8 ? m->max / 8 : 4096;

    switch (rng_below(&m->dice, 16)) {
    case 0:
        return (size_t)rng_below(&m->dice, m->max / 3);
    case 1:
    case 2:
        return (size_t)rng_below(&m->dice, top);
    default:
        return (size_t)rng_below(&m->dice, 512);
    }
}

static int any_handle(struct model *m)
{
    return (int)rng_below(&m->dice, HANDLES);
}

/* Memory in the other handles' caches is out of reach: they give it back before anybody may say that there is none. */
static bool refused(struct model *m, int rc)
{
    if (rc == AMX_OK)
        return false;
    must(rc == AMX_E_NOMEM); /* one thread: nothing is busy */
    m->crowded = true;
    return true;
}

static void do_alloc(struct model *m)
{
    struct block *b = &m->live[m->n];
    size_t n = any_size(m);
    int who = any_handle(m);
    uint64_t offset;
    amx_ref ref[3];
    size_t got = 1;
    size_t align = 1;
    int rc;

    if (m->n + 3 > LIVE_MAX)
        return;
    switch (rng_below(&m->dice, 6)) {
    case 0:
        rc = amx_zalloc(m->h[who], n, ref);
        if (rc == AMX_OK)
            for (size_t i = 0; i < n; i++)
                must(bytes_of(m->h[who], ref[0])[i] == 0);
        break;
    case 1:
        align = (size_t)1 << rng_below(&m->dice, 13);
        rc = amx_alloc_aligned(m->h[who], align, n, ref);
        break;
    case 2:
        rc = amx_alloc_many(m->h[who], n, 3, ref, &got);
        if (got == 0 && refused(m, rc))
            return;
        rc = AMX_OK;
        break;
    case 3:
        rc = amx_raw_allocate(m->h[who], n, &offset);
        if (rc == AMX_OK)
            ref[0] = look(m->h[0], offset).ref;
        break;
    default:
        rc = amx_alloc(m->h[who], n, ref);
        break;
    }
    if (refused(m, rc))
        return;
    for (size_t i = 0; i < got; i++, b++) {
        b->state = AMX_STATE_ALLOCATED;
        b->owner = who;
        b->gap = align > 16 ? align - 16 : 0;
        learn(m, b, ref[i], n);
        must((uintptr_t)address(m, b) % align == 0);
        m->n++;
        rewrite(m, b);
    }
}

static void do_free(struct model *m, size_t k)
{
    struct block b = m->live[k];
    amx_t *h = m->h[any_handle(m)];

    unchanged(m, &b);
    switch (rng_below(&m->dice, 5)) {
    case 0:
        ok(amx_free_ptr(h, bytes_of(h, b.ref)));
        break;
    case 1:
        ok(amx_raw_ack(h, b.offset));
        break;
    case 2:
        ok(amx_raw_coalesce(h, b.offset));
        break;
    case 3:
        ok(amx_free_many(h, &b.ref, 1, NULL));
        break;
    default:
        ok(amx_free(h, b.ref));
        break;
    }
    m->bytes -= b.bytes;
    m->gaps -= b.gap;
    buried(m, b.ref);
    m->live[k] = m->live[--m->n];
}

static void do_resize(struct model *m, struct block *b)
{
    struct block old = *b;
    size_t n = any_size(m);
    size_t keep = n < old.usable ? n : old.usable;
    int who = any_handle(m);
    unsigned char *copy = malloc(keep + 1);
    amx_ref out;
    int rc;

    must(copy != NULL);
    unchanged(m, b);
    memcpy(copy, address(m, b), keep);
    rc = amx_resize(m->h[who], b->ref, n, &out);
    if (!refused(m, rc)) {
        if (out != old.ref)
            buried(m, old.ref);
        if (old.owner != who)
            must(out != old.ref);
        m->bytes -= old.bytes;
        m->gaps -= old.gap;
        b->gap = out == old.ref ? old.gap : 0;
        b->offset = b->bytes = 0;
        b->owner = who;
        learn(m, b, out, n);
        assert_memory_equal(address(m, b), copy, keep);
        rewrite(m, b);
    } else {
        unchanged(m, b);
    }
    free(copy);
}

static void do_lifecycle(struct model *m, struct block *b)
{
    uint32_t next = (uint32_t)rng_range(&m->dice, AMX_STATE_USER_MIN, AMX_STATE_MAX);
    int who = any_handle(m);
    amx_t *h = m->h[who];
    uint32_t seen = 0;
    amx_ref out;
    amx_id id;

    switch (rng_below(&m->dice, 6)) {
    case 0:
        ok(amx_set_state(h, b->ref, next));
        b->state = next;
        break;
    case 1:
        if (b->state == AMX_STATE_ALLOCATED) {
            fails(AMX_E_STATE, amx_transition(h, b->ref, next, next, AMX_ACQ_REL, &seen));
        } else {
            ok(amx_transition(h, b->ref, b->state, next, AMX_ACQ_REL, &seen));
            assert_int_equal(seen, b->state);
            b->state = next;
        }
        break;
    case 2:
        fails(b->owner < 0 ? AMX_E_OWNER : AMX_OK, amx_publish(h, b->ref));
        b->owner = -1;
        break;
    case 3:
        fails(b->owner < 0 ? AMX_OK : AMX_E_OWNER, amx_adopt(h, b->ref));
        if (b->owner < 0)
            b->owner = who;
        break;
    case 4:
        b->owner = any_handle(m);
        ok(amx_give(h, b->ref, amx_handle_id(m->h[b->owner]), &out));
        buried(m, b->ref);
        b->ref = out;
        break;
    default:
        break;
    }
    ok(amx_get_state(h, b->ref, AMX_ACQUIRE, &seen));
    assert_int_equal(seen, b->state);
    ok(amx_owner(h, b->ref, &id));
    assert_int_equal(id, b->owner < 0 ? 0 : amx_handle_id(m->h[b->owner]));
}

/* A reference that has died opens nothing, ever; a living one changed in one bit neither. */
static void do_probe(struct model *m)
{
    amx_t *h = m->h[any_handle(m)];
    amx_ref ref = m->died ? m->dead[rng_below(&m->dice, m->died < DEAD_MAX ? m->died : DEAD_MAX)] : 1;
    amx_ref out;
    void *p;
    int rc;

    if (rng_below(&m->dice, 4) == 0 && m->n > 0)
        ref = m->live[rng_below(&m->dice, m->n)].ref ^ UINT64_C(1) << rng_below(&m->dice, 32);
    rc = amx_free(h, ref);
    assert_true(rc == AMX_E_STALE || rc == AMX_E_DOUBLE_FREE || (rc == AMX_E_OFFSET && ref == 1));
    rc = amx_ptr(h, ref, &p);
    assert_true(rc == AMX_E_STALE || (rc == AMX_E_OFFSET && ref == 1));
    rc = amx_resize(h, ref, 100, &out);
    assert_true(rc == AMX_E_STALE || (rc == AMX_E_OFFSET && ref == 1));
    rc = amx_set_state(h, ref, 60);
    assert_true(rc == AMX_E_STALE || (rc == AMX_E_OFFSET && ref == 1));
}

/* Each block that the walk shows as living is in the model, with the same bounds. */
static int known(const struct amx_block *seen, void *ctx)
{
    struct model *m = ctx;

    if (seen->ref == AMX_REF_NONE)
        return 0;
    m->seen++;
    for (size_t i = 0; i < m->n; i++)
        if (m->live[i].ref == seen->ref)
            return m->live[i].offset != seen->offset || m->live[i].bytes != seen->bytes;
    return 1;
}

static void account(struct model *m)
{
    struct amx_stats s = stat_of(m->h[0]);

    assert_int_equal(s.live_blocks, m->n);
    assert_true(s.live_bytes >= m->bytes && s.live_bytes <= m->bytes + m->gaps);
    m->seen = 0;
    ok(amx_walk(m->h[0], known, m));
    assert_int_equal(m->seen, m->n);
    check_clean(m->h[0]);
    for (size_t i = 0; i < m->n; i++)
        unchanged(m, &m->live[i]);
}

/* NOMEM must be true: after all caches are back, nothing as large as the model says was refused lies free. */
static void relieve(struct model *m)
{
    for (int i = 0; i < HANDLES; i++) {
        ok(amx_trim(m->h[i]));
        ok(amx_heal(m->h[i]));
    }
    while (m->n > LIVE_MAX / 4)
        do_free(m, (size_t)rng_below(&m->dice, m->n));
    m->crowded = false;
}

static void run(uint64_t size, uint64_t seed, long ops)
{
    static struct model m;

    memset(&m, 0, sizeof m);
    m.h[0] = new_segment(size);
    m.h[1] = new_handle(m.h[0]);
    m.h[2] = attach_again(m.h[0]);
    m.max = info_of(m.h[0]).max_request;
    m.dice = rng_make(seed, size);
    for (long i = 0; i < ops; i++) {
        uint64_t what = rng_below(&m.dice, 100);

        if (what < 40 || m.n == 0)
            do_alloc(&m);
        else if (what < 70)
            do_free(&m, (size_t)rng_below(&m.dice, m.n));
        else if (what < 80)
            do_resize(&m, &m.live[rng_below(&m.dice, m.n)]);
        else if (what < 90)
            do_lifecycle(&m, &m.live[rng_below(&m.dice, m.n)]);
        else if (what < 98)
            do_probe(&m);
        else if (what < 99)
            ok(amx_trim(m.h[any_handle(&m)]));
        else
            ok(amx_heal(m.h[any_handle(&m)]));
        if (m.crowded)
            relieve(&m);
        if (i % 1000 == 999)
            account(&m);
    }
    account(&m);
    while (m.n > 0)
        do_free(&m, m.n - 1);
    ok(amx_unshare(m.h[1]));
    ok(amx_close(m.h[2]));
    close_free(m.h[0]);
}

static void of_size(uint64_t size, long ops)
{
    uint64_t seed = test_seed();

    for (uint64_t k = 0; k < 8; k++) {
        printf("size %llu seed %llu\n", (unsigned long long)size, (unsigned long long)(seed + k));
        run(size, seed + k, scaled(ops));
    }
}

static void smallest(void **state)
{
    (void)state;
    of_size(64 * KIB, 20000);
}

static void odd(void **state)
{
    (void)state;
    of_size(133 * KIB + 5, 20000);
}

static void one_mib(void **state)
{
    (void)state;
    of_size(MIB, 20000);
}

static void fifty_mib(void **state)
{
    (void)state;
    of_size(50 * MIB, 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest),
        cmocka_unit_test(odd),
        cmocka_unit_test(one_mib),
        cmocka_unit_test(fifty_mib),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
