/* SPDX-License-Identifier: Apache-2.0 */
/* Meetings in a slot pool: part of litmus.c. */
#ifndef AMX_TEST_LITMUS_POOL_H
#define AMX_TEST_LITMUS_POOL_H

#include "litmus_handle.h"

enum { SLOT_BYTES = 16, POOL_SLOTS = 3 };

static struct amx_pool_config slots_of(uint32_t count)
{
    return (struct amx_pool_config){.n = 1, .cls = {{SLOT_BYTES, count}}};
}

static void *slot_data(int fiber, amx_slot slot)
{
    return amx_pool_ptr_unchecked(&lit.pool[fiber], slot);
}

/* A pool of three slots, the first of which the first has. */
static void set_slots(void)
{
    struct amx_pool_config k = slots_of(POOL_SLOTS);
    must_ok(amx_pool_create(me(0), &k, &lit.pool_block, &lit.pool[0]));
    for (int f = 1; f < DEPTH; f++)
        must_ok(amx_pool_attach_block(me(f), lit.pool_block, 0, &k, &lit.pool[f]));
    must_ok(amx_pool_alloc(&lit.pool[0], SLOT_BYTES, AMX_POOL_SELF, &lit.slot[0]));
}

static void set_full(void)
{
    set_slots();
    for (int i = 1; i < POOL_SLOTS; i++)
        must_ok(amx_pool_alloc(&lit.pool[0], SLOT_BYTES, AMX_POOL_SELF, &lit.slot[i]));
}

/* Full, and a hint says that the first may be free: who sweeps may set one late. */
static void set_lying_hint(void)
{
    set_full();
    (void)amxi_or64_rlx(amxi_pool_hint_at(&lit.pool[0].part[0], 0), 1);
}

/* A full pool in memory of one's own; one slot is owner 7's. */
static void set_own_pool(void)
{
    struct amx_pool_config k = slots_of(POOL_SLOTS);
    amx_ref block;
    void *p;
    must_ok(amx_alloc_aligned(me(0), AMX_POOL_ALIGN, 1000, &block));
    for (int f = 0; f < DEPTH; f++) {
        must_ok(amx_ptr(me(f), block, &p));
        must_ok(f ? amx_pool_attach(p, 1000, 0, &k, &lit.pool[f]) : amx_pool_init(p, 1000, 0, &k, &lit.pool[f]));
    }
    for (int i = 0; i < POOL_SLOTS; i++)
        must_ok(amx_pool_alloc(&lit.pool[0], SLOT_BYTES, i ? 9 : 7, &lit.slot[i]));
}

static void pool_state_get(int fiber)
{
    uint32_t state;
    if (fiber == 0) {
        use(0, slot_data(0, lit.slot[0]));
        must_ok(amx_pool_set_state(&lit.pool[0], lit.slot[0], 50));
    } else {
        must_ok(amx_pool_get_state(&lit.pool[1], lit.slot[0], &state));
        if (state == 50)
            use(1, slot_data(1, lit.slot[0]));
    }
}

/* A slot of the second, who has nothing else. */
static void set_seconds_slot(void)
{
    amx_slot slot;
    set_slots();
    must_ok(amx_pool_alloc(&lit.pool[1], SLOT_BYTES, AMX_POOL_SELF, &lit.slot[1]));
    must_ok(amx_pool_alloc(&lit.pool[0], SLOT_BYTES, AMX_POOL_SELF, &slot));
}

/* The next owner of a dead one's slot knows of what was done there, by the one whom the kernel told. */
static void pool_killed_alloc(int fiber)
{
    amx_slot slot;
    if (fiber == 1) {
        use(1, slot_data(1, lit.slot[1]));
        amxi_st64_rlx(lit.data[X][1], 1); /* where he may die */
    } else if (fiber == 0) {
        recover(0);
    } else if (amx_pool_alloc(&lit.pool[2], SLOT_BYTES, AMX_POOL_SELF, &slot) == AMX_OK) {
        use(2, slot_data(2, slot));
    }
}

/* --- Gifts, as of blocks ------------------------------------------------------------------------------------------- */

static void set_slots_third_killed(void)
{
    set_slots();
    set_third_killed();
}

static void pool_give(int fiber)
{
    amx_slot out;
    if (fiber == 0)
        (void)amx_pool_give(&lit.pool[0], lit.slot[0], id_of_third(), &out);
    else
        recover(1);
}

static void pool_give_closing(int fiber)
{
    amx_slot out;
    if (fiber == 0)
        (void)amx_pool_give(&lit.pool[0], lit.slot[0], amx_handle_id(me(1)), &out);
    else
        amxi_retire(me(1));
}

static void pool_give_next_tenant(int fiber)
{
    pool_give(fiber);
    if (fiber == 1)
        (void)open_handle(1);
}

static uint64_t slot_word(int fiber)
{
    return amxi_ld64_rlx(amxi_pool_word_at(&lit.pool[fiber].part[0], 0));
}

/* After a recovery nothing has the tag of one who is not. */
static void slots_are_somebodys(void)
{
    int eye = x.dead[0] ? eye_of() : 0;
    recover(eye);
    uint32_t owner = AMXI_W0_OWNER(slot_word(eye));
    must(!owner || AMXI_H_STATUS(amxi_ld64_rlx(&amxi_handle(me(eye)->seg, owner - 1)->word)) != AMXI_H_FREE);
}

static void slots_are_not_the_next_tenants(void)
{
    uint64_t w = amxi_ld64_rlx(&entry_of(2)->word);
    must(AMXI_W0_OWNER(slot_word(0)) != scene.h[2]->tag ||
         (AMXI_H_EPOCH(w) == scene.h[2]->epoch && AMXI_H_STATUS(w) != AMXI_H_FREE));
}

static void pool_free_alloc(int fiber)
{
    amx_slot slot;
    if (fiber == 0) {
        use(0, slot_data(0, lit.slot[0]));
        must_ok(amx_pool_free(&lit.pool[0], lit.slot[0]));
    } else if (amx_pool_alloc(&lit.pool[1], SLOT_BYTES, AMX_POOL_SELF, &slot) == AMX_OK) {
        use(1, slot_data(1, slot));
    }
}

/* Among the living no hint is lost. */
static void pool_hints(int fiber)
{
    amx_slot slot;
    if (fiber == 0)
        must_ok(amx_pool_free(&lit.pool[0], lit.slot[0]));
    else
        must_ok(amx_pool_alloc(&lit.pool[1], SLOT_BYTES, AMX_POOL_SELF, &slot));
}

static void hints_are_whole(void)
{
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    must_ok(amx_pool_check(&lit.pool[0], tell_finding, &r, &r));
    must(r.notes == 0);
}

/* One has announced that he sleeps, and slept if he had more time. Then whoever freed a slot woke him. */
static void pool_wait(int fiber)
{
    amx_slot slot;
    if (fiber == 0)
        must_ok(amx_pool_free(&lit.pool[0], lit.slot[1]));
    else
        x.told[1] = amx_pool_alloc_wait(&lit.pool[1], SLOT_BYTES, AMX_POOL_SELF, 0, &slot) == AMX_E_TIMEOUT;
}

static void pool_wait_recover(int fiber)
{
    amx_slot slot;
    if (fiber == 0)
        must_ok(amx_pool_recover(&lit.pool[0], 7, NULL, NULL));
    else
        x.told[1] = amx_pool_alloc_wait(&lit.pool[1], SLOT_BYTES, 8, 0, &slot) == AMX_E_TIMEOUT;
}

static void nobody_sleeps(void)
{
    must(!x.told[1] || !(amxi_ld32_rlx(&amxi_pool_head_at(lit.pool[0].base)->wait) & 1));
}

static void set_room(void)
{
    must_ok(amx_alloc_aligned(me(0), AMX_POOL_ALIGN, 1000, &lit.pool_block));
    for (int f = 0; f < DEPTH; f++)
        must_ok(amx_ptr(me(f), lit.pool_block, &lit.room[f]));
}

/* Whoever sees the magic sees the pool. */
static void pool_init_find(int fiber)
{
    struct amx_pool_config k = slots_of(2), found;
    struct amx_pool made;
    if (fiber == 0)
        must_ok(amx_pool_init(lit.room[0], 1000, 0, &k, &made));
    else if (amxi_ld64_rlx(&amxi_pool_head_at(lit.room[1])->magic) == AMXI_POOL_MAGIC)
        must_ok(amx_pool_discover(lit.room[1], 1000, 0, &found));
}

enum { OLD_COUNT = 3, NEW_COUNT = 4 };

/* The next extent's memory is `room`. */
static void set_extensible(void)
{
    struct amx_pool_config k = slots_of(NEW_COUNT);
    uint64_t bytes;
    set_slots();
    must_ok(amx_pool_required_size(&k, &bytes));
    amx_ref keep = lit.pool_block, ref;
    must_ok(amx_alloc_aligned(me(0), AMX_POOL_ALIGN, bytes, &ref));
    for (int f = 0; f < DEPTH; f++)
        must_ok(amx_ptr(me(f), ref, &lit.room[f]));
    must_ok(amx_free(me(0), ref));
    must_ok(amx_trim(me(0)));
    lit.pool_block = keep;
}

/* An extent that was seen is the one that was made, not the one that was there before. */
static void pool_extend_more(int fiber)
{
    if (fiber == 0) {
        amxi_st32_rlx(&amxi_pool_class_at(lit.room[0], 0)->slot_size, SLOT_BYTES);
        amxi_st32_rlx(&amxi_pool_class_at(lit.room[0], 0)->count, OLD_COUNT);
        amxi_st64_rel(&amxi_pool_head_at(lit.room[0])->magic, AMXI_POOL_MAGIC);
        must_ok(amx_pool_extend(&lit.pool[0], 0, NEW_COUNT));
        must(amxi_pool_head_at(lit.room[0]) == amxi_pool_head_at(lit.pool[0].part[1].base));
    } else if (amxi_pool_more(&lit.pool[1], 0)) {
        must(lit.pool[1].part[1].count == NEW_COUNT);
    }
}

static void pool_extend_extend(int fiber)
{
    int e = amx_pool_extend(&lit.pool[fiber], 0, NEW_COUNT);
    must(e == AMX_OK || e == AMX_E_BUSY);
}

static int is_linked(const struct amx_object *o, void *ctx)
{
    const struct amx_pool *p = ctx;
    bool linked = o->kind != AMX_POOL_EXTENT;
    for (uint32_t k = p->n; k < p->parts; k++)
        linked |= p->part[k].block == o->ref;
    must(linked);
    return 0;
}

/* What is registered is linked. */
static void extents_are_linked(void)
{
    struct amx_pool p;
    must_ok(amx_pool_attach_block(me(0), lit.pool_block, 0, NULL, &p));
    must(amxi_pool_more(&p, 0));
    must_ok(amx_objects(me(0), is_linked, &p));
}

/* --- Slots of the arena ---------------------------------------------------------------------------------------------- */

enum { ONCE = 100, NEXT = 200, EITHER_STATE = 50 };

/* A pool of one, without it; what is taken next is at hand. */
static void set_arena_free(void)
{
    const struct amx_pool_config k = {.n = 1, .cls = {{AMX_POOL_ARENA, 1}}};
    amx_ref ref[2];
    must_ok(amx_pool_create(me(0), &k, &lit.pool_block, &lit.pool[0]));
    for (int f = 0; f < DEPTH; f++) {
        me(f)->seg->manual = true;
        if (f)
            must_ok(amx_pool_attach_block(me(f), lit.pool_block, 0, &k, &lit.pool[f]));
        must_ok(amx_alloc(me(f), ONCE, &ref[0]));
        must_ok(amx_alloc(me(f), NEXT, &ref[1]));
        must_ok(amx_free(me(f), ref[0]));
        must_ok(amx_free(me(f), ref[1]));
    }
}

/* The first has it; the second knows already what its next life will be called. */
static void set_arena_of(int fiber)
{
    set_arena_free();
    must_ok(amx_pool_alloc(&lit.pool[fiber], ONCE, AMX_POOL_SELF, &lit.slot[0]));
    lit.slot[1] = lit.slot[0] + 1;
    for (int f = 0; f < DEPTH; f++)
        must_ok(amx_pool_ptr(&lit.pool[f], lit.slot[0], &lit.room[f], NULL));
}

static void set_arena(void)
{
    set_arena_of(0);
}

static void set_arena_thirds(void)
{
    set_arena_of(2);
    must_ok(amx_pool_set_state(&lit.pool[2], lit.slot[0], EITHER_STATE));
}

/* Of a handle that died, while all three live. */
static void set_arena_fourths(void)
{
    struct amx_pool p;
    amx_t *h;
    set_arena_free();
    must_ok(amx_share(me(0), &h));
    must_ok(amx_pool_attach_block(h, lit.pool_block, 0, NULL, &p));
    must_ok(amx_pool_alloc(&p, ONCE, AMX_POOL_SELF, &lit.slot[0]));
    for (int f = 0; f < DEPTH; f++)
        must_ok(amx_pool_ptr(&lit.pool[f], lit.slot[0], &lit.room[f], NULL));
    amxi_st64_rlx(&amxi_handle(h->seg, h->tag - 1)->word, AMXI_H_WORD(AMXI_H_DEAD, h->seg->peer, h->epoch));
}

static void replaces(int fiber)
{
    amx_slot slot;
    must_ok(amx_pool_free(&lit.pool[fiber], lit.slot[0]));
    must_ok(amx_pool_alloc(&lit.pool[fiber], NEXT, AMX_POOL_SELF, &slot));
    must(slot == lit.slot[1]);
}

/* One life after the other: each has its own block, or is over. */
static void arena_ptr(int fiber)
{
    void *p;
    if (fiber == 0) {
        replaces(0);
    } else {
        int e = amx_pool_ptr(&lit.pool[1], lit.slot[0], &p, NULL);
        must(e == AMX_E_STALE || (e == AMX_OK && p == lit.room[1]));
    }
}

static void arena_ptr_next(int fiber)
{
    void *p;
    size_t bytes;
    if (fiber == 0) {
        replaces(0);
    } else {
        int e = amx_pool_ptr(&lit.pool[1], lit.slot[1], &p, &bytes);
        must(e == AMX_E_STALE || (e == AMX_OK && p != lit.room[1] && bytes >= NEXT));
    }
}

/* Its owner is dead, and is recovered meanwhile. */
static void arena_ptr_recover(int fiber)
{
    if (fiber == 0)
        recover(0);
    else
        arena_ptr(1);
}

/* By two, the second of whom finds the block freed. */
static void arena_ptr_recover_two(int fiber)
{
    if (fiber == 1)
        arena_ptr(1);
    else
        recover(fiber);
}

static int has_its_block(const struct amx_pool_slot *s, void *ctx)
{
    (void)ctx;
    must(s->state != AMX_STATE_ALLOCATED || s->bytes >= ONCE);
    return 0;
}

static void arena_walk(int fiber)
{
    amx_slot slot;
    if (fiber == 0)
        must_ok(amx_pool_alloc(&lit.pool[0], ONCE, AMX_POOL_SELF, &slot));
    else
        must_ok(amx_pool_walk(&lit.pool[1], has_its_block, NULL));
}

/* No check finds a fault in what goes on. */
static void arena_check(int fiber)
{
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    amx_slot slot;
    if (fiber == 1) {
        must_ok(amx_pool_check(&lit.pool[1], tell_finding, &r, &r));
        must(r.corrupt == 0);
    } else if (lit.slot[0]) {
        must_ok(amx_pool_free(&lit.pool[0], lit.slot[0]));
    } else {
        must_ok(amx_pool_alloc(&lit.pool[0], ONCE, AMX_POOL_SELF, &slot));
    }
}

/* As pool_wait. */
static void arena_wait(int fiber)
{
    amx_slot slot;
    if (fiber == 0)
        must_ok(amx_pool_free(&lit.pool[0], lit.slot[0]));
    else
        x.told[1] = amx_pool_alloc_wait(&lit.pool[1], ONCE, AMX_POOL_SELF, 0, &slot) == AMX_E_TIMEOUT;
}

static void pool_wait_extend(int fiber)
{
    amx_slot slot;
    if (fiber == 0)
        must_ok(amx_pool_extend(&lit.pool[0], 0, NEW_COUNT));
    else
        x.told[1] = amx_pool_alloc_wait(&lit.pool[1], SLOT_BYTES, AMX_POOL_SELF, 0, &slot) == AMX_E_TIMEOUT;
}

static void set_full_extensible(void)
{
    set_full();
    for (int f = 0; f < DEPTH; f++)
        me(f)->seg->manual = true;
}

/* Who recovers late frees no block of the next life. */
static void arena_recover_alloc(int fiber)
{
    recover(fiber);
    if (fiber == 1)
        x.told[1] = amx_pool_alloc(&lit.pool[1], NEXT, AMX_POOL_SELF, &lit.slot[2]) == AMX_OK;
}

static void next_life_lasts(void)
{
    void *p;
    must(!x.told[1] || amx_pool_ptr(&lit.pool[0], lit.slot[2], &p, NULL) == AMX_OK);
}

/* Whoever frees the dead one's block knows of what a living one did to it, whose exchange changed no bit of the word. */
static void arena_state_recover(int fiber)
{
    amxi_a64 *data = (amxi_a64 *)lit.room[fiber] + 5; /* behind what a free stores there */
    if (fiber == 0) {
        recover(0);
        x.told[1] = amxi_ld64_rlx(data) != 1;
    } else {
        amxi_st64_rlx(data, 1);
        x.told[0] = amx_pool_set_state(&lit.pool[1], lit.slot[0], EITHER_STATE) == AMX_OK;
    }
}

/* Who frees and then dies leaves nothing undone. */
static void pool_check_owner(int fiber)
{
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    if (fiber == 0) {
        must_ok(amx_pool_free(&lit.pool[0], lit.slot[0]));
        ends(me(0));
    } else {
        must_ok(amx_pool_check(&lit.pool[1], NULL, NULL, &r));
        must(r.undone == 0);
    }
}

#endif
