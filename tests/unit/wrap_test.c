/* SPDX-License-Identifier: Apache-2.0 */
/* Counters that tell lives apart come to their end and begin again: nothing else in their words changes, and what was
 * promised of them holds on both sides. */
#include "tests/arena_kit.h"

#include "amx_object.h"
#include "arena.h"
#include "object.h"
#include "sector.h"

enum { SIZE = 1 << 20 };

/* --- Generations ---------------------------------------------------------------------------------------------------- */

static amxi_a64 *w0_of(const amx_t *h, amx_ref ref)
{
    return &amxi_block(h->seg, AMXI_REF_UNIT(ref) - h->first_pu)->w0;
}

/* A reference names this life, and again each life that begins exactly a multiple of 2^32 later; none between. */
static void reference_and_generation(void **state)
{
    static const uint64_t later[] = {1, UINT64_C(1) << 31, UINT32_MAX, (UINT64_C(1) << 32) + 1, AMXI_GEN_MASK};
    (void)state;
    amx_t *h = new_segment(SIZE);
    amx_ref ref, now;
    void *p;
    ok(amx_alloc(h, 100, &ref));
    uint64_t w = amxi_ld64_rlx(w0_of(h, ref)), gen = AMXI_W0_GEN(w);
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        amxi_st64_rlx(w0_of(h, ref), AMXI_W0(AMX_STATE_ALLOCATED, h->tag, gen + later[i]));
        fails(AMX_E_STALE, amx_ptr(h, ref, &p));
        fails(AMX_E_STALE, amx_free(h, ref));
        fails(AMX_E_STALE, amx_publish(h, ref));
    }
    amxi_st64_rlx(w0_of(h, ref), AMXI_W0(AMX_STATE_ALLOCATED, h->tag, gen + (UINT64_C(1) << 32)));
    ok(amx_ptr(h, ref, &p)); /* the width of a reference: docs/design.md, "Known weaknesses" */
    ok(amx_ref_of(h, p, &now));
    assert_true(now == ref);
    /* an exchange compares all 40 bits: the life of before is not hit */
    assert_false(amxi_cas64_ar(w0_of(h, ref), &w, 0));
    ok(amx_free(h, ref));
    ok(amx_close(h));
}

/* The last generation, and the first one behind it: by the cache, by gifts, by headers that vanish and come. */
static void generations_go_round(void **state)
{
    enum { LIVES = 40 };
    (void)state;
    amx_t *h = new_segment(SIZE), *other = new_handle(h);
    amx_ref was[LIVES], ref, given;
    void *p;
    for (uint32_t i = 0; i < h->seg->g.sectors; i++) { /* while nothing lives there */
        uint64_t w = AMXI_W0(AMX_STATE_FREE, 0, AMXI_GEN_MASK - 5);
        amxi_st64_rlx(&amxi_block(h->seg, (uint64_t)i << h->seg->g.su_log2)->w0, w);
        amxi_st64_rlx(&amxi_sector(h->seg, i)->gclock, AMXI_GEN_MASK - 4);
    }
    for (int i = 0; i < LIVES; i++) {
        ok(amx_alloc(h, 100, &ref));
        ok(amx_give(h, ref, amx_handle_id(other), &given));
        fails(AMX_E_STALE, amx_ptr(h, ref, &p));
        for (int k = 0; k < i; k++)
            assert_true(was[k] != given && was[k] != ref && amx_ptr(h, was[k], &p) == AMX_E_STALE);
        was[i] = given;
        assert_int_equal(amxi_ld64_rlx(w0_of(h, given)) & 0xffffff, AMX_STATE_ALLOCATED | other->tag << 12);
        ok(amx_free(i % 2 ? h : other, given));
        if (i % 4 == 3) { /* its header vanishes, and the next one's generation is from the sector's clock */
            ok(amx_trim(h));
            ok(amx_trim(other));
        }
        check_clean(h);
    }
    ok(amx_trim(h));
    ok(amx_trim(other));
    check_all_free(h);
    ok(amx_close(h));
}

/* --- Epochs, rounds, tickets ------------------------------------------------------------------------------------------ */

/* A handle that opens behind the last epoch has an id like any other: 0 would be nobody's. */
static void handles_go_round(void **state)
{
    (void)state;
    amx_t *h = new_segment(SIZE), *other;
    amx_ref ref;
    amx_id owner;
    for (uint32_t i = 0; i < h->seg->g.handles; i++) {
        amxi_a64 *word = &amxi_handle(h->seg, i)->word;
        if (AMXI_H_STATUS(amxi_ld64_rlx(word)) == AMXI_H_FREE)
            amxi_st64_rlx(word, AMXI_H_WORD(AMXI_H_FREE, 0, AMXI_MASK(AMXI_H_BITS)));
    }
    other = new_handle(h);
    assert_true(AMXI_ID_EPOCH(amx_handle_id(other)) == 1);
    ok(amx_alloc(h, 100, &ref));
    ok(amx_give(h, ref, amx_handle_id(other), &ref));
    ok(amx_owner(h, ref, &owner));
    assert_true(owner == amx_handle_id(other));
    ok(amx_free(other, ref));
    ok(amx_unshare(other));
    check_clean(h);
    ok(amx_close(h));
}

static void objects_go_round(void **state)
{
    (void)state;
    amx_t *h = new_segment(SIZE);
    struct amx_object o = {.struct_size = sizeof o, .kind = 1, .count = 1, .stride = 8};
    uint64_t id;
    must_ok(amx_zalloc(h, 64, &o.ref));
    must_ok(amx_publish(h, o.ref));
    for (uint32_t i = 0; i < AMX_OBJECTS; i++)
        amxi_st64_rlx(&amxi_object(h->seg, i)->word, AMXI_O_WORD(AMXI_O_FREE, 0, AMXI_MASK(AMXI_O_BITS)));
    ok(amx_object_add(h, &o, &id));
    ok(amx_object_touch(h, id));
    ok(amx_object_remove(h, id));
    fails(AMX_E_STALE, amx_object_remove(h, id));
    ok(amx_close(h));
}

/* Behind the last ticket: those who attach live, and are later than who came before. */
static void tickets_go_round(void **state)
{
    const uint64_t last = AMXI_MASK(AMXI_TICKET_BITS);
    (void)state;
    assert_true(AMXI_TICKET_AFTER(UINT64_C(2), UINT64_C(1)) && !AMXI_TICKET_AFTER(UINT64_C(1), UINT64_C(2)));
    assert_true(AMXI_TICKET_AFTER(UINT64_C(1), last) && !AMXI_TICKET_AFTER(last, UINT64_C(1)));
    assert_false(AMXI_TICKET_AFTER(last, last));
    amx_t *h = new_segment(SIZE);
    amxi_st64_rlx(&amxi_head(h->seg)->tickets, last - 1);
    amx_t *a = attach_again(h), *b = attach_again(h);
    assert_true(a->seg->ticket == last && b->seg->ticket == 2); /* 0 is none, 1 is taken: h has it */
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    for (uint32_t p = 0; p < 3; p++)
        assert_int_equal(AMXI_PEER_STATUS(amxi_ld64_rlx(&amxi_peer(h->seg, p)->word)), AMXI_PEER_LIVE);
    check_clean(h);
    ok(amx_close(a));
    ok(amx_close(b));
    ok(amx_close(h));
}

/* The queue's round and the sector's epoch: the counts next to them stay as they are. */
static void sectors_go_round(void **state)
{
    enum { N = 6 };
    (void)state;
    amx_t *h = new_segment(SIZE);
    amx_ref ref[N];
    for (uint32_t i = 0; i < h->seg->g.sectors; i++) {
        amxi_st64_rlx(&amxi_sector(h->seg, i)->word, AMXI_S_WORD(AMXI_K_IDLE, 0, AMXI_MASK(AMXI_S_BITS)));
        amxi_st64_rlx(amxi_acked(h->seg, i), AMXI_Q_WORD(0, 0, AMXI_MASK(AMXI_Q_BITS)));
    }
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < N; i++)
            ok(amx_alloc(h, 900, &ref[i]));
        for (int i = 0; i < N; i++)
            ok(amx_raw_ack(h, offset_of(ref[i])));
        uint64_t k = AMXI_REF_UNIT(ref[0]) - h->first_pu;
        uint64_t a = amxi_ld64_rlx(amxi_acked(h->seg, (uint32_t)(k >> h->seg->g.su_log2)));
        assert_true(AMXI_Q_ENTRY(a) != 0 && AMXI_Q_COUNT(a) <= N);
        ok(amx_heal(h));
        check_clean(h);
    }
    check_all_free(h);
    ok(amx_close(h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_and_generation), cmocka_unit_test(generations_go_round),
        cmocka_unit_test(handles_go_round),         cmocka_unit_test(objects_go_round),
        cmocka_unit_test(tickets_go_round),         cmocka_unit_test(sectors_go_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
