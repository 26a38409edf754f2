/* SPDX-License-Identifier: Apache-2.0 */
/* Registered objects: their words fall with their owners, their entries with those who die over them. */
#include "tests/peer_kit.h"

#include "amx_object.h"
#include "object.h"

enum { WORDS = 8, BUSY_STATE = 60, POISON = 70, STRIDE = 16, FIRST = 32 };

static const char *object_segment(amx_t **h)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    const char *name = test_name();
    o.size = AMX_SIZE_MIN;
    o.flags = AMX_F_NO_RECOVER;
    ok(amx_create(name, &o, h));
    return name;
}

static struct amx_object describe(amx_t *h)
{
    struct amx_object o = {.struct_size = sizeof o,
                           .kind = 77,
                           .count = WORDS,
                           .first = FIRST,
                           .stride = STRIDE,
                           .to = 0,
                           .pairs = 1,
                           .from = {BUSY_STATE},
                           .into = {POISON}};
    must_ok(amx_zalloc(h, FIRST + WORDS * STRIDE, &o.ref));
    must_ok(amx_publish(h, o.ref));
    return o;
}

static amxi_a64 *word_of(const amx_t *h, amx_ref ref, unsigned k)
{
    void *p;
    must_ok(amx_ptr(h, ref, &p));
    return (amxi_a64 *)(void *)((char *)p + FIRST + k * STRIDE);
}

/* Owns words: 0 ALLOCATED, 1 in the state that is mapped, 2 kept. Says so, and dies. */
static int role_owner(const char *name)
{
    amx_t *h;
    uint64_t id, ref;
    must_ok(amx_attach(name, NULL, &h));
    must_ok(amx_root_get(h, 0, &ref));
    must_ok(amx_root_get(h, 1, &id));
    must_ok(amx_object_touch(h, id));
    uint32_t me = AMX_OBJECT_OWNER(amx_handle_id(h)), state[3] = {1, BUSY_STATE, 3000};
    for (unsigned k = 0; k < 3; k++) {
        uint64_t w = AMXI_W0(0, 0, 5);
        must(amxi_cas64_ar(word_of(h, ref, k), &w, AMXI_W0(state[k], me, 6)));
    }
    report('o');
    await();
    return 0;
}

/* Is inside a recovery, with its list of the dead, and stops. */
static int role_recoverer(const char *name)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h;
    o.flags = AMX_F_NO_RECOVER;
    must_ok(amx_attach(name, &o, &h));
    (void)amxi_add32_sc(&amxi_handle(h->seg, h->tag - 1)->purging, 1);
    report('r');
    await();
    (void)amxi_sub32_rel(&amxi_handle(h->seg, h->tag - 1)->purging, 1);
    must_ok(amx_close(h));
    return 0;
}

struct told {
    struct amx_kept kept[4];
    int n;
};

static int hear(const struct amx_kept *k, void *ctx)
{
    struct told *t = ctx;
    if (k->how == AMX_KEPT_WORD)
        t->kept[t->n++] = *k;
    return 0;
}

static void owner_dies(void **state)
{
    amx_t *h;
    uint64_t id;
    struct told t = {.n = 0};
    struct amx_recovery r = {.struct_size = sizeof r};
    (void)state;
    const char *name = object_segment(&h);
    struct amx_object o = describe(h);
    ok(amx_object_add(h, &o, &id));
    ok(amx_root_set(h, 0, o.ref));
    ok(amx_root_set(h, 1, id));
    ok(amx_object_touch(h, id));
    uint32_t me = AMX_OBJECT_OWNER(amx_handle_id(h));
    for (unsigned k = 0; k < WORDS; k++)
        amxi_st64_rlx(word_of(h, o.ref, k), k == 3 ? AMXI_W0(1, me, 9) : AMXI_W0(0, 0, 5));
    struct child c = start("owner", name);
    step(&c);
    uint64_t there = amxi_ld64_rlx(word_of(h, o.ref, 2));
    wait_killed(c.pid);
    forget(&c);
    ok(amx_recover(h, 0, hear, &t, &r));
    assert_int_equal(r.words, 3);
    assert_int_equal(amxi_ld64_rlx(word_of(h, o.ref, 0)), AMXI_W0(0, 0, 6));
    assert_int_equal(amxi_ld64_rlx(word_of(h, o.ref, 1)), AMXI_W0(POISON, 0, 6));
    assert_int_equal(amxi_ld64_rlx(word_of(h, o.ref, 2)), AMXI_W0(3000, 0, 6));
    assert_int_equal(amxi_ld64_rlx(word_of(h, o.ref, 3)), AMXI_W0(1, me, 9)); /* mine: I live */
    assert_int_equal(t.n, 1);
    assert_int_equal(t.kept[0].slot, 2);
    assert_int_equal(t.kept[0].object, id & 0xff);
    assert_int_equal(t.kept[0].ref, o.ref);
    assert_int_equal(AMX_OBJECT_OWNER(t.kept[0].from), AMXI_W0_OWNER(there));
    for (unsigned i = 0; i < h->seg->g.handles; i++)
        assert_true(i + 1 == h->tag || amxi_ld32_sc(&amxi_handle(h->seg, i)->objects) == 0);
    ok(amx_object_remove(h, id));
    fails(AMX_E_STALE, amx_object_remove(h, id));
    ok(amx_free(h, o.ref));
    end(h);
}

static int list(const struct amx_object *o, void *ctx)
{
    struct amx_object *copy = ctx;
    *copy = *o;
    return 5;
}

static void bad_input(void **state)
{
    amx_t *h;
    uint64_t id[AMX_OBJECTS], more;
    struct amx_object good, o;
    (void)state;
    (void)object_segment(&h);
    good = describe(h);
#define BAD(code, change)                                                                                              \
    do {                                                                                                               \
        o = good;                                                                                                      \
        change;                                                                                                        \
        fails(code, amx_object_add(h, &o, &more));                                                                     \
    } while (0)
    BAD(AMX_E_INVAL, o.kind = 0);
    BAD(AMX_E_INVAL, o.count = 0);
    BAD(AMX_E_INVAL, o.count = 1000);
    BAD(AMX_E_INVAL, o.stride = 0);
    BAD(AMX_E_INVAL, o.stride = 12);
    BAD(AMX_E_INVAL, o.first = 4);
    BAD(AMX_E_INVAL, o.first = UINT64_MAX - 7);
    BAD(AMX_E_INVAL, o.to = 4096);
    BAD(AMX_E_INVAL, o.pairs = 5);
    BAD(AMX_E_INVAL, o.into[0] = 4096);
    BAD(AMX_E_INVAL, o.struct_size = 8);
    BAD(AMX_E_OFFSET, o.ref = 0);
    BAD(AMX_E_STALE, o.ref ^= 1);
    amx_ref mine;
    ok(amx_alloc(h, 300, &mine));
    BAD(AMX_E_OWNER, o.ref = mine);
    for (int i = 0; i < AMX_OBJECTS; i++)
        ok(amx_object_add(h, &good, &id[i]));
    fails(AMX_E_FULL, amx_object_add(h, &good, &more));
    assert_int_equal(amx_objects(h, list, &o), 5);
    assert_int_equal(o.id, id[0]);
    assert_int_equal(o.kind, 77);
    assert_int_equal(o.into[0], POISON);
    for (int i = 0; i < AMX_OBJECTS; i++)
        ok(amx_object_remove(h, id[i]));
    ok(amx_object_add(h, &good, &more));
    assert_true(more != id[0]); /* never reused */
    fails(AMX_E_STALE, amx_object_remove(h, id[0]));
    fails(AMX_E_INVAL, amx_object_remove(h, 200));
    fails(AMX_E_INVAL, amx_object_touch(h, 200));
    ok(amx_object_remove(h, more));
    assert_int_equal(amx_objects(h, list, &o), 0);
    ok(amx_close(h));
}

/* Somebody may be looking at the object: its block must not be freed yet. */
static void removal_waits_for_recoverers(void **state)
{
    amx_t *h;
    uint64_t id;
    (void)state;
    const char *name = object_segment(&h);
    struct amx_object o = describe(h);
    ok(amx_object_add(h, &o, &id));
    struct child c = start("recoverer", name);
    step(&c);
    fails(AMX_E_BUSY, amx_object_remove(h, id));
    fails(AMX_E_BUSY, amx_object_remove(h, id));
    struct amxi_object read;
    assert_false(amxi_object_read(h->seg, id & 0xff, &read)); /* but nobody begins to look at it any more */
    go_on(&c);
    wait_ok(c.pid);
    forget(&c);
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    ok(amx_object_remove(h, id));
    c = start("recoverer", name); /* the same, and the recoverer dies */
    step(&c);
    ok(amx_object_add(h, &o, &id));
    fails(AMX_E_BUSY, amx_object_remove(h, id));
    wait_killed(c.pid);
    forget(&c);
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    ok(amx_object_remove(h, id));
    end(h);
}

/* A handle of a dead process was adding one, and removing another. */
static int of_objects(const struct amx_finding *f, void *ctx)
{
    unsigned *n = ctx;
    if (strcmp(f->rule, "object") == 0)
        n[f->grade]++;
    return 0;
}

static void maker_dies(void **state)
{
    unsigned n[3] = {0};
    amx_t *h;
    uint64_t id;
    struct amx_check_result r = {.struct_size = sizeof r};
    (void)state;
    const char *name = object_segment(&h);
    struct amx_object o = describe(h);
    ok(amx_object_add(h, &o, &id));
    struct child c = start("attach", name);
    step(&c);
    struct seen s = look(h);
    uint32_t tag = 0;
    for (uint32_t i = 0; i < h->seg->g.handles; i++) {
        uint64_t w = amxi_ld64_sc(&amxi_handle(h->seg, i)->word);
        if (AMXI_H_STATUS(w) == AMXI_H_OPEN && i + 1 != h->tag)
            tag = i + 1;
    }
    assert_true(s.n == 2 && tag != 0);
    amxi_a64 *going = &amxi_object(h->seg, id & 0xff)->word, *making = &amxi_object(h->seg, 7)->word;
    amxi_st64_sc(going, AMXI_O_WORD(AMXI_O_GOING, tag, id >> 8));
    amxi_st64_sc(making, AMXI_O_WORD(AMXI_O_MAKING, tag, 3));
    ok(amx_check(h, of_objects, n, &r));
    assert_int_equal(n[AMX_GRADE_UNDONE], 0); /* it may be at work on them */
    wait_killed(c.pid);
    forget(&c);
    amxi_st64_sc(&amxi_handle(h->seg, tag - 1)->word, /* found dead, as a recoverer would note */
                 AMXI_H_WORD(AMXI_H_DEAD, AMXI_H_PEER(amxi_ld64_sc(&amxi_handle(h->seg, tag - 1)->word)),
                             AMXI_H_EPOCH(amxi_ld64_sc(&amxi_handle(h->seg, tag - 1)->word))));
    ok(amx_check(h, of_objects, n, &r));
    assert_int_equal(n[AMX_GRADE_UNDONE], 2);
    amxi_st64_sc(making, AMXI_O_WORD(9, tag, 3));
    fails(AMX_E_CORRUPT, amx_check(h, of_objects, n, &r));
    assert_int_equal(n[AMX_GRADE_CORRUPT], 1);
    amxi_st64_sc(making, AMXI_O_WORD(AMXI_O_MAKING, tag, 3));
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    ok(amx_check(h, NULL, NULL, &r));
    assert_int_equal(r.undone, 0);
    assert_int_equal(AMXI_O_STATUS(amxi_ld64_sc(going)), AMXI_O_FREE);
    assert_int_equal(AMXI_O_STATUS(amxi_ld64_sc(making)), AMXI_O_FREE);
    ok(amx_free(h, o.ref));
    end(h);
}

/* Any bytes in the table: errors, notes, no crash, and nobody's memory is written. */
static void damaged(void **state)
{
    struct rng r = rng_make(test_seed(), 0);
    (void)state;
    for (int turn = 0; turn < scaled(200); turn++) {
        amx_t *h;
        uint64_t id;
        const char *name = object_segment(&h);
        struct amx_object o = describe(h);
        ok(amx_object_add(h, &o, &id));
        amx_ref others[2];
        void *p[2];
        for (int k = 0; k < 2; k++) { /* a published block and one of ours, which no entry names */
            ok(amx_alloc(h, 400, &others[k]));
            ok(amx_ptr(h, others[k], &p[k]));
            stamp(p[k], 400, (uint64_t)turn + 1);
        }
        ok(amx_publish(h, others[0]));
        ok(amx_root_set(h, 0, o.ref));
        ok(amx_root_set(h, 1, id));
        for (unsigned k = 0; k < WORDS; k++)
            amxi_st64_rlx(word_of(h, o.ref, k), AMXI_W0(0, 0, 5));
        struct child c = {.pid = 0};
        if (turn % 20 == 0) {
            c = start("owner", name);
            step(&c);
        } else {
            for (uint32_t i = 0; i < h->seg->g.handles; i++) /* as if everybody could have something there */
                amxi_st32_sc(&amxi_handle(h->seg, i)->objects, UINT32_MAX);
        }
        for (uint64_t n = rng_range(&r, 1, 6); n > 0; n--) {
            uint64_t *words = (uint64_t *)(void *)amxi_object(h->seg, id & 0xff);
            uint64_t at = rng_below(&r, 8);
            words[at] = rng_below(&r, 2) ? rng_next(&r) : words[at] ^ UINT64_C(1) << rng_below(&r, 64);
        }
        if (c.pid) {
            wait_killed(c.pid);
            forget(&c);
        }
        struct amx_check_result result = {.struct_size = sizeof result};
        (void)amx_recover(h, 0, NULL, NULL, NULL);
        (void)amx_objects(h, list, &o);
        (void)amx_object_remove(h, id);
        (void)amx_check(h, NULL, NULL, &result);
        for (int k = 0; k < 2; k++) {
            assert_true(stamp_differs(p[k], 400, (uint64_t)turn + 1) == SIZE_MAX);
            ok(amx_free(h, others[k]));
        }
        ok(amx_close(h));
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owner_dies), cmocka_unit_test(bad_input), cmocka_unit_test(removal_waits_for_recoverers),
        cmocka_unit_test(maker_dies), cmocka_unit_test(damaged),
    };
    if (argc > 1) {
        int r = role_begin(argc, argv);
        return r >= 0 ? r : !strcmp(argv[1], "owner") ? role_owner(argv[2]) : role_recoverer(argv[2]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
