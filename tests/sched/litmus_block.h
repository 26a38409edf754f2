/* SPDX-License-Identifier: Apache-2.0 */
/* Meetings over large blocks, frees, sizes, and what the dead leave: part of litmus.c. */
#ifndef AMX_TEST_LITMUS_BLOCK_H
#define AMX_TEST_LITMUS_BLOCK_H

#include "litmus_handle.h"

enum { LARGE_BYTES = 2 * 4096 + 1000, LARGER_BYTES = 3 * 4096 + 600 };

/* Where the whole sectors of the large block at X end, and its cut begins. */
static amxi_a64 *cut_of(int fiber, amx_ref ref)
{
    const struct amxi_seg *s = me(fiber)->seg;
    uint32_t unit = AMXI_REF_UNIT(ref) - me(fiber)->first_pu;
    return &amxi_block(s, ((uint64_t)(unit >> s->g.su_log2) + 2) << s->g.su_log2)->w0;
}

/* X is a large one, of the first. */
static void set_large(void)
{
    must_ok(amx_free(me(0), lit.ref[X]));
    must_ok(amx_trim(me(0)));
    must_ok(amx_alloc(me(0), LARGE_BYTES, &lit.ref[X]));
}

static void sound_again(void)
{
    struct amx_check_result r = {.struct_size = sizeof r};
    must(amx_check(me(1), tell_finding, &r, &r) == AMX_OK);
}

static void use_cut(int fiber, amx_ref ref)
{
    use(fiber, cut_of(fiber, ref));
    use(fiber, cut_of(fiber, ref) + 1);
}

/* Who takes the front of a sector back knows of what was done there. */
static void cut_free(int fiber)
{
    if (fiber == 0) {
        use_cut(0, lit.ref[X]);
        must_ok(amx_free(me(0), lit.ref[X]));
    } else {
        (void)amx_heal(me(1));
    }
}

/* And the block may be another by then. */
static void cut_free_alloc(int fiber)
{
    amx_ref ref;
    cut_free(fiber);
    if (fiber == 0)
        (void)amx_alloc(me(0), lit.how.size, &ref);
}

/* Nobody takes it back while the block lives. */
static void cut_alloc(int fiber)
{
    amx_ref ref;
    if (fiber == 1) {
        (void)amx_heal(me(1));
    } else if (amx_alloc(me(0), LARGE_BYTES, &ref) == AMX_OK) {
        use_cut(0, ref);
        use_cut(0, ref);
    }
}

static uint64_t block_bytes(uint64_t n)
{
    return amxi_round_up(n, AMXI_UNIT) + AMXI_UNIT;
}

/* Its size is its own or the next one's there. */
static void large_query(int fiber)
{
    struct amx_block b;
    amx_ref ref;
    if (fiber == 0) {
        must_ok(amx_free(me(0), lit.ref[X]));
        (void)amx_alloc(me(0), LARGER_BYTES, &ref);
        return;
    }
    int e = amx_raw_query(me(1), offset_of(lit.ref[X]), &b);
    must(e == AMX_OK || e == AMX_E_WILD);
    if (e == AMX_OK && b.bytes > 4096)
        must(b.bytes == block_bytes(LARGE_BYTES) || b.bytes == block_bytes(LARGER_BYTES));
}

/* Who frees it sees how large it is. */
static void resize_free(int fiber)
{
    amx_ref out;
    if (fiber == 0) {
        (void)amx_resize(me(0), lit.ref[X], lit.how.size, &out);
    } else if (amx_free(me(1), lit.ref[X]) == AMX_OK) {
        must_ok(amx_alloc(me(1), 96, &lit.mine));
        must(usable_of(me(1), lit.mine) >= 96);
    }
}

/* Who drains a queue overwrites what its pusher did there. */
static void push_drain(int fiber)
{
    if (fiber == 0) {
        use(0, lit.data[X][0]);
        must_ok(amx_raw_ack(me(0), offset_of(lit.ref[X])));
    } else {
        (void)amx_heal(me(1));
    }
}

/* --- Looking ------------------------------------------------------------------------------------------------------- */

/* A check of what goes on at the same time finds nothing wrong. */
static void looks(int fiber)
{
    struct amx_check_result r = {.struct_size = sizeof r};
    must_ok(amx_check(me(fiber), tell_finding, &r, &r));
    must(r.corrupt == 0);
}

static void check_touch(int fiber)
{
    if (fiber == 0)
        looks(0);
    else
        must_ok(lit.how.size ? amx_adopt(me(1), lit.ref[X]) : amx_free(me(1), lit.ref[X]));
}

static void set_public(void)
{
    must_ok(amx_publish(me(0), lit.ref[X]));
}

static void set_seconds(void)
{
    must_ok(amx_alloc(me(1), 96, &lit.mine));
}

static void check_retire(int fiber)
{
    if (fiber == 0)
        looks(0);
    else
        amxi_retire(me(1));
}

static void set_public_large(void)
{
    set_large();
    set_public();
}

static void set_seconds_large(void)
{
    must_ok(amx_alloc(me(1), LARGE_BYTES, &lit.mine));
}

/* Its inner sectors are met before its length is. */
static void check_alloc_large(int fiber)
{
    amx_ref ref;
    if (fiber == 0)
        looks(0);
    else
        (void)amx_alloc(me(1), LARGE_BYTES, &ref);
}

/* What an owner has given away before he ended is not his. */
static void check_retire_large(int fiber)
{
    if (fiber == 1)
        must_ok(amx_publish(me(1), lit.mine));
    check_retire(fiber);
}

static int not_half_made(const struct amx_finding *f, void *ctx)
{
    must(f->grade == AMX_GRADE_NOTE || strcmp(f->rule, "extent") != 0);
    return complain(f, ctx);
}

/* Who has made a large block and ends leaves it whole. */
static void check_retire_made(int fiber)
{
    struct amx_check_result r = {.struct_size = sizeof r};
    if (fiber == 0) {
        must_ok(amx_check(me(0), not_half_made, &r, &r));
    } else if (amx_alloc(me(1), LARGE_BYTES, &lit.mine) == AMX_OK) {
        must_ok(amx_publish(me(1), lit.mine));
        amxi_retire(me(1));
    }
}

static void check_open(int fiber)
{
    if (fiber == 0)
        looks(0);
    else
        (void)open_handle(1);
}

static void check_enter(int fiber)
{
    if (fiber == 0)
        looks(0);
    else
        (void)enter(1, "next");
}

static void check_push(int fiber)
{
    if (fiber == 0) {
        looks(0);
    } else {
        must_ok(amx_raw_ack(me(1), offset_of(lit.ref[X])));
        must_ok(amx_raw_ack(me(1), offset_of(lit.ref[Y])));
    }
}

static int no_object(const struct amx_finding *f, void *ctx)
{
    (void)ctx;
    must(strcmp(f->rule, "object") != 0);
    return 0;
}

/* An object's maker is not taken for the dead one whose tag he has. */
static void check_add(int fiber)
{
    struct amx_check_result r = {.struct_size = sizeof r};
    struct amx_object o = object_of(STRIDE_NEW);
    uint64_t id;
    if (fiber == 0) {
        (void)amx_check(me(0), no_object, NULL, &r);
    } else {
        amxi_recycle(me(1)->seg);
        must_ok(amx_object_add(open_handle(1), &o, &id));
    }
}

/* --- What the dead leave ------------------------------------------------------------------------------------------- */

static void adopt_and_use(int fiber)
{
    if (amx_adopt(me(fiber), lit.ref[X]) == AMX_OK)
        use(fiber, lit.data[X][fiber]);
}

static void set_kept(void)
{
    must_ok(amx_set_state(me(0), lit.ref[X], AMX_STATE_KEPT));
}

static void set_kept_large(void)
{
    set_large();
    set_kept();
}

/* A dead one's kept block: who adopts it knows of all that he did to it, by the one whom the kernel told. */
static void killed_adopt(int fiber)
{
    if (fiber == 0) {
        use(0, lit.data[X][0]);
        amxi_st64_rlx(lit.data[Y][0], 1); /* where he may die */
    } else if (fiber == 1) {
        recover(1);
    } else {
        adopt_and_use(2);
    }
}

static int use_kept(const struct amx_kept *k, void *ctx)
{
    (void)ctx;
    if (k->how == AMX_KEPT_STATE && k->ref == lit.ref[X] && k->state != AMX_STATE_KEPT)
        use(1, lit.data[X][1]);
    return 0;
}

/* The call-back has the block: after who made it what it is, and before who adopts it. */
static void told_adopt(int fiber)
{
    if (fiber == 1)
        (void)amx_recover(me(1), 0, use_kept, NULL, NULL);
    else
        adopt_and_use(0);
}

/* KEPT says that the first is still writing. */
static void told_state(int fiber)
{
    if (fiber == 1) {
        told_adopt(1);
    } else {
        use(0, lit.data[X][0]);
        must_ok(amx_set_state(me(0), lit.ref[X], AMX_STATE_KEPT + 1));
    }
}

static void set_thirds(void) /* X is the third's, and he is gone */
{
    must_ok(amx_give(me(0), lit.ref[X], id_of_third(), &lit.ref[X]));
}

static void set_thirds_kept(void)
{
    set_kept();
    set_thirds();
}

static void set_thirds_done(void)
{
    must_ok(amx_set_state(me(0), lit.ref[X], AMX_STATE_KEPT + 1));
    set_thirds();
}

#endif
