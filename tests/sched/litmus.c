/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   litmus [NAME | -1]
 * Small meetings of two, all schedules with all that the model of memory (memory.h, MEMORY) lets each load read: for orders
 * that the meetings of operations do not need. Prints "ok NAME" or "not ok NAME" for each, and for a failure the schedule.
 * -1: ends with the first that fails.
 */
#include "amx_object.h"
#include "extent.h"
#include "object.h"
#include "slot.h"

#include "explore.h"

#include <setjmp.h>
#include <sys/wait.h>

enum { X, Y, BLOCKS };

/* How a meeting is explored. 0: 2 fibers, 4 preemptions and older values, nobody dies, 20000 schedules. */
struct how {
    enum amx_order store, load;
    size_t size;
    void (*set)(void); /* the beginning, besides the two blocks */
    unsigned fibers, bound, deaths, limit;
    int eye;      /* who looks afterwards if the first has died; 0: the second */
    bool in_turn; /* one after the other; older values are all that there is to explore */
    bool third_lives;
    bool few_tickets; /* of struct explore */
};

static struct lit {
    amx_ref ref[BLOCKS];
    amxi_a64 *data[BLOCKS][DEPTH]; /* first word of the payload, as each peer sees it */
    struct how how;
    uint64_t object;
    bool removed; /* the block of the object is not the object's any more */
    struct amx_pool pool[DEPTH];
    amx_ref pool_block;
    void *room[DEPTH]; /* memory of some size */
    amx_slot slot[4];
    amx_t *opened;        /* a handle that a schedule opens */
    amx_ref mine;         /* what it has allocated */
    uint32_t tag;         /* of a dead handle */
    struct amxi_seg next; /* of another attachment */
    amx_t *open[64];
} lit, lit_begin; /* what is private to the processes is as it was, at the beginning of each schedule */

static amx_t *me(int fiber)
{
    return scene.h[fiber];
}

static void write_data(int fiber)
{
    amxi_st64_rlx(lit.data[X][fiber], 1);
}

static bool no_data(int fiber)
{
    return amxi_ld64_rlx(lit.data[X][fiber]) != 1;
}

/* What the reader tells: 1 he saw what he waited for, and the data too; 2: not the data. */
static void saw(int fiber, bool it)
{
    if (it)
        x.told[fiber] = no_data(fiber) ? 2 : 1;
}

static void data_came_along(void)
{
    must(x.told[0] != 2 && x.told[1] != 2);
}

/* --- A message --------------------------------------------------------------------------------------------------- */

static void root_set_get(int fiber)
{
    amx_ref ref = AMX_REF_NONE;
    if (fiber == 0) {
        write_data(0);
        must_ok(amx_root_set(me(0), 3, lit.ref[X]));
    } else {
        must_ok(amx_root_get(me(1), 3, &ref));
        saw(1, ref == lit.ref[X]);
    }
}

static void root_cas_get(int fiber)
{
    if (fiber == 0) {
        write_data(0);
        must_ok(amx_root_cas(me(0), 3, AMX_REF_NONE, lit.ref[X], NULL));
    } else {
        root_set_get(1);
    }
}

static void root_set_cas(int fiber)
{
    if (fiber == 0)
        root_set_get(0);
    else
        saw(1, amx_root_cas(me(1), 3, lit.ref[X], lit.ref[Y], NULL) == AMX_OK);
}

static void transition_get(int fiber)
{
    uint32_t state;
    if (fiber == 0) {
        write_data(0);
        must_ok(amx_transition(me(0), lit.ref[X], 49, 50, lit.how.store, NULL));
    } else {
        must_ok(amx_get_state(me(1), lit.ref[X], lit.how.load, &state));
        saw(1, state == 50);
    }
}

/* The exchange alone acquires: what amxi_find has seen is older. */
static void transition_transition(int fiber)
{
    if (fiber == 0)
        transition_get(0);
    else
        saw(1, amx_transition(me(1), lit.ref[X], 50, 51, lit.how.load, NULL) == AMX_OK);
}

static void set_state_query(int fiber)
{
    struct amx_block b;
    if (fiber == 0) {
        write_data(0);
        must_ok(amx_set_state(me(0), lit.ref[X], 50));
    } else {
        must_ok(amx_raw_query(me(1), offset_of(lit.ref[X]), &b));
        saw(1, b.state == 50);
    }
}

static void give_ref_of(int fiber)
{
    amx_ref out;
    if (fiber == 0) {
        write_data(0);
        must_ok(amx_give(me(0), lit.ref[X], amx_handle_id(me(1)), &out));
    } else {
        must_ok(amx_ref_of(me(1), (const void *)lit.data[X][1], &out));
        saw(1, out != lit.ref[X]);
    }
}

/* Another changes the block between the look and the exchange, which is then made again: it acquires what it met. */
static void set_state_again(int fiber)
{
    if (fiber == 0) {
        write_data(0);
        x.told[0] = amx_transition(me(0), lit.ref[X], 49, 50, AMX_RELEASE, NULL) == AMX_OK;
    } else {
        must_ok(amx_set_state(me(1), lit.ref[X], 51));
        x.told[1] = no_data(1);
    }
}

static void publish_between(int fiber)
{
    if (fiber == 0) {
        write_data(0);
        must_ok(amx_publish(me(0), lit.ref[X]));
        x.told[0] = AMXI_W0_STATE(amxi_ld64_rlx(lit.data[X][0] - 2)) == 49; /* the other's transition comes after us */
    } else {
        must_ok(amx_transition(me(1), lit.ref[X], 49, 50, lit.how.load, NULL));
        x.told[1] = no_data(1);
    }
}

/* Who frees the block knows of what another did to it before, although he has not looked: its memory is his next. */
static void set_state_free(int fiber)
{
    if (fiber == 0) {
        write_data(0);
        x.told[0] = amx_set_state(me(0), lit.ref[X], 51) == AMX_OK;
    } else if (amx_free(me(1), lit.ref[X]) == AMX_OK) {
        x.told[1] = no_data(1);
    }
}

static void give_free(int fiber)
{
    amx_ref out;
    if (fiber == 0) {
        write_data(0);
        x.told[0] = amx_give(me(0), lit.ref[X], amx_handle_id(me(1)), &out) == AMX_OK;
    } else if (amx_free_ptr(me(1), lit.data[X][1]) == AMX_OK) {
        x.told[1] = no_data(1);
    }
}

static void second_saw_the_first(void)
{
    must(!x.told[0] || !x.told[1]);
}

/* Payload: in whoever's hands the memory is, he knows of all that was done to it. */
static void use(int fiber, void *p)
{
    mem_use(fiber, p);
}

/* Does whatever this one stores there come after the last change of it, by whomever? */
static bool knows(int fiber, const void *p)
{
    uint32_t w = modelled(p), slot = w == WORDS ? 0 : mem.slot[w];
    view_reach(&mem.seen[fiber], slot);
    return mem.seen[fiber].at[slot] >= mem.last[slot];
}

/* --- Two that announce, then look --------------------------------------------------------------------------------- */

static void announce_by_states(int fiber)
{
    uint32_t state;
    must_ok(amx_transition(me(fiber), lit.ref[fiber], 49, 50, AMX_SEQ_CST, NULL));
    must_ok(amx_get_state(me(fiber), lit.ref[!fiber], AMX_SEQ_CST, &state));
    x.told[fiber] = state;
}

static void one_saw_the_other(void)
{
    must(x.told[0] != 49 || x.told[1] != 49);
}

/* The last one out removes the name: of two that leave at once one sees nobody. */
static void leave(int fiber)
{
    struct amxi_seg *s = me(fiber)->seg;
    amxi_peer_leave(s);
    x.told[fiber] = amxi_peer_any(s);
}

static void one_saw_nobody(void)
{
    must(!x.told[0] || !x.told[1]);
}

static void third_dies(void);
static void ends(const amx_t *h);

/* The receiver dies and is recovered meanwhile: no block carries a tag that is free. */
static void give_to_the_dying(int fiber)
{
    amx_ref out;
    if (fiber == 0) {
        (void)amx_give(me(0), lit.ref[X], AMXI_ID(scene.h[2]->tag, scene.h[2]->epoch), &out);
    } else {
        third_dies();
        (void)amx_recover(me(1), 0, NULL, NULL, NULL);
    }
}

static void no_free_tag(void)
{
    const struct amxi_seg *s = me(0)->seg;
    uint32_t tag = scene.h[2]->tag;
    must(AMXI_W0_OWNER(amxi_ld64_rlx(lit.data[X][0] - 2)) != tag ||
         AMXI_H_STATUS(amxi_ld64_sc(&amxi_handle(s, tag - 1)->word)) != AMXI_H_FREE);
}

/* --- Objects ------------------------------------------------------------------------------------------------------ */

enum { STRIDE_OLD = 8, STRIDE_NEW = 16, SLOTS = 3 };

static struct amx_object object_of(uint32_t stride)
{
    return (struct amx_object){
        .struct_size = sizeof(struct amx_object), .ref = lit.ref[X], .kind = 7, .count = SLOTS, .stride = stride};
}

static void object_add_read(int fiber)
{
    struct amx_object o = object_of(STRIDE_NEW);
    struct amxi_object read;
    uint64_t id;
    if (fiber == 0)
        must_ok(amx_object_add(me(0), &o, &id));
    else if (amxi_object_read(me(1)->seg, 0, &read))
        x.told[1] = read.stride;
}

static void fields_are_the_new_ones(void)
{
    must(x.told[1] == 0 || x.told[1] == STRIDE_NEW);
}

static int word_was_changed(const struct amx_kept *k, void *ctx)
{
    (void)ctx;
    must(k->how != AMX_KEPT_WORD || !lit.removed); /* into a block that may have been freed */
    return 0;
}

static void object_remove_recover(int fiber)
{
    if (fiber == 0) {
        lit.removed = amx_object_remove(me(0), lit.object) == AMX_OK;
        for (int k = 0; lit.removed && k < SLOTS; k++) /* whatever was done to it has been done, and we know it */
            must(amxi_ld64_rlx(lit.data[X][0] + k) == *(const uint64_t *)(const void *)(lit.data[X][0] + k));
    } else {
        (void)amx_recover(me(1), 0, word_was_changed, NULL, NULL);
    }
}

/* When a tag is free again, nothing carries it, also for who has not freed it himself. */
static void object_recycle(int fiber)
{
    const struct amxi_seg *s = me(1)->seg;
    uint32_t tag = scene.h[2]->tag;
    if (fiber == 0) {
        (void)amx_recover(me(0), 0, NULL, NULL, NULL);
        return;
    }
    amxi_recycle(s);
    if (AMXI_H_STATUS(amxi_ld64_acq(&amxi_handle(s, tag - 1)->word)) == AMXI_H_FREE)
        for (int k = 0; k < SLOTS; k++)
            must(AMXI_W0_OWNER(amxi_ld64_rlx(lit.data[X][1] + k)) != tag);
}

/* The last of its calls that tells of something: nobody is waited for from here on. */
static int dies_telling(const struct amx_kept *k, void *ctx)
{
    if (k->how == AMX_KEPT_GIVEN) {
        ends(me(0));
        longjmp(*(jmp_buf *)ctx, 1);
    }
    return AMX_OK;
}

/* The same if that one has died on the way, and who recycles was not told of it. */
static void object_recycle_killed(int fiber)
{
    jmp_buf death;
    if (fiber == 1)
        object_recycle(1);
    else if (setjmp(death) == 0)
        (void)amx_recover(me(0), 0, dies_telling, &death, NULL);
}

/* Another object in the place of the old one: what is read is all of the one or all of the other. */
static void object_replace_read(int fiber)
{
    struct amx_object o = object_of(STRIDE_NEW);
    struct amxi_object read;
    uint64_t id;
    o.kind = 8;
    if (fiber == 0) {
        if (amx_object_remove(me(0), lit.object) == AMX_OK)
            must_ok(amx_object_add(me(0), &o, &id));
    } else if (amxi_object_read(me(1)->seg, 0, &read)) {
        must((read.kind == 7 && read.stride == STRIDE_OLD) || (read.kind == 8 && read.stride == STRIDE_NEW));
    }
}

/* The next maker knows of all that was done to the entry. */
static void object_remove_add(int fiber)
{
    struct amx_object o = object_of(STRIDE_NEW);
    uint64_t id;
    if (fiber == 0) {
        mem_use(0, &amxi_object(me(0)->seg, 0)->first);
        (void)amx_object_remove(me(0), lit.object);
    } else {
        must_ok(amx_object_add(me(1), &o, &id));
    }
}

/* Also by a maker who was killed. */
static void object_killed_add(int fiber)
{
    struct amx_object o = object_of(STRIDE_NEW);
    uint64_t id;
    if (fiber == 0) {
        (void)amx_object_add(me(0), &o, &id);
    } else if (fiber == 1) {
        (void)amx_recover(me(1), 0, NULL, NULL, NULL);
    } else {
        must_ok(amx_object_add(me(2), &o, &id));
    }
}

static void lit_restore(void)
{
    if (lit.opened && lit.opened->seg->open) /* NULL: of a schedule's own attachment */
        lit.opened->seg->open[lit.opened->tag - 1] = NULL;
    if (lit.opened)
        amxi_os_unmap(lit.opened, sizeof *lit.opened);
    if (lit.next.base) /* the next schedule gives the same tickets */
        amxi_os_unlock(lit.next.lock_fd, AMXI_LOCK_TICKET + (int64_t)lit.next.ticket);
    lit = lit_begin;
}

static void judged_on_the_way(void)
{
}

/* --- Looking ------------------------------------------------------------------------------------------------------ */

static int tell_finding(const struct amx_finding *f, void *ctx)
{
    return complain(f, ctx);
}

/* No check calls a sound segment corrupt, whatever goes on meanwhile. */
static void check_at_work(int fiber)
{
    struct amx_check_result r = {.struct_size = sizeof r};
    amx_ref ref;
    if (fiber == 0) {
        must_ok(amx_check(me(0), tell_finding, &r, &r));
        must(r.corrupt == 0);
    } else {
        must_ok(amx_alloc(me(1), lit.how.size, &ref));
        must_ok(amx_free(me(1), lit.ref[X]));
        must_ok(amx_free(me(1), ref));
        must_ok(amx_trim(me(1)));
    }
}

static int sum(const struct amx_block *b, void *ctx)
{
    uint64_t *told = ctx;
    must(b->offset >= told[0] && b->bytes >= 32); /* one after the other */
    told[0] = b->offset + b->bytes;
    told[1] += b->bytes;
    return 0;
}

/* What a walk tells covers the data, if it was not disturbed. Each sector by itself: a large block may come or go between
 * two of its. */
static void walk_at_work(int fiber)
{
    uint64_t told[2] = {0, 0};
    if (fiber == 1) {
        check_at_work(1);
        return;
    }
    int e = amx_walk(me(0), sum, told);
    must(e == AMX_OK || e == AMX_E_PARTIAL);
    must(e != AMX_OK || told[1] == info_of(me(0)).data_bytes || lit.how.size > 4096);
}

/* The first headers of its kind are written where no headers were. */
static void walk_alloc(int fiber)
{
    amx_ref ref;
    if (fiber == 1)
        must_ok(amx_alloc(me(1), lit.how.size, &ref));
    else
        walk_at_work(0);
}

/* Told of a large block, then its end. */
static void walk_free_large(int fiber)
{
    if (fiber == 1)
        must_ok(amx_free(me(1), lit.ref[X]));
    else
        walk_at_work(0);
}

static void ends(const amx_t *h)
{
    struct amxi_seg *s = h->seg;
    amxi_st64_sc(&amxi_handle(s, h->tag - 1)->word, AMXI_H_WORD(AMXI_H_DEAD, s->peer, h->epoch));
    amxi_peer_leave(s);
}

#include "litmus_block.h"
#include "litmus_handle.h"
#include "litmus_pool.h"

/* --- Beginnings ---------------------------------------------------------------------------------------------------- */

static void third_dies(void)
{
    ends(me(2));
}

static void set_allocated(void) /* for the straight line of a free, and with room for it */
{
    amx_ref two[2];
    size_t n;
    must_ok(amx_set_state(me(0), lit.ref[X], 49));
    must_ok(amx_free(me(0), lit.ref[X]));
    must_ok(amx_zalloc(me(0), 96, &lit.ref[X]));
    must_ok(amx_alloc_many(me(1), 96, 2, two, &n));
    must_ok(amx_free_many(me(1), two, 2, NULL));
    must_ok(amx_alloc_many(me(1), 96, 2, two, &n));
}

static void set_object(void)
{
    struct amx_object o = object_of(STRIDE_OLD);
    must_ok(amx_publish(me(0), lit.ref[X]));
    must_ok(amx_object_add(me(0), &o, &lit.object));
}

static void set_public_no_object(void)
{
    const struct amxi_seg *s = me(0)->seg;
    const uint8_t *entry = (const uint8_t *)amxi_object(s, 0);
    must_ok(amx_publish(me(0), lit.ref[X]));
    mem.owned[0] = (uint32_t)((uint64_t)(entry - s->base) / 8);
    mem.owned[1] = mem.owned[0] + sizeof(struct amxi_object_body) / 8;
}

static void set_former_object(void)
{
    set_object();
    must_ok(amx_object_remove(me(0), lit.object));
}

static void set_words(void) /* of the dead one, in an object */
{
    set_object();
    must_ok(amx_object_touch(me(2), lit.object));
    void *p;
    must_ok(amx_ptr(me(0), lit.ref[X], &p));
    for (int k = 0; k < SLOTS; k++)
        amxi_st64_sc((amxi_a64 *)p + k, AMXI_W0(AMX_STATE_KEPT, scene.h[2]->tag, 1));
}

/* It had given something before; nothing of it but the words is left, as after a recovery that ended there. */
static void set_words_and_gift(void)
{
    amx_ref ref;
    set_words();
    must_ok(amx_alloc(me(2), 96, &ref));
    must_ok(amx_give(me(2), ref, amx_handle_id(me(1)), &ref));
    must_ok(amx_trim(me(2)));
    amxi_st64_rlx(amxi_touched(me(2)->seg, me(2)->tag - 1), 0);
}

/* --- All ----------------------------------------------------------------------------------------------------------- */

static const struct litmus {
    const char *name;
    void (*act)(int fiber);
    void (*judge)(void);
    struct how how;
} all[] = {
    {"root_set_get", root_set_get, data_came_along, {.limit = 0}},
    {"root_cas_get", root_cas_get, data_came_along, {.limit = 0}},
    {"root_set_cas", root_set_cas, data_came_along, {.limit = 0}},
    {"transition_release_get", transition_get, data_came_along, {.store = AMX_RELEASE, .load = AMX_ACQUIRE}},
    {"transition_acq_rel_get", transition_get, data_came_along, {.store = AMX_ACQ_REL, .load = AMX_ACQUIRE}},
    {"transition_seq_cst_get", transition_get, data_came_along, {.store = AMX_SEQ_CST, .load = AMX_SEQ_CST}},
    {"transition_acquire", transition_transition, data_came_along, {.store = AMX_RELEASE, .load = AMX_ACQUIRE}},
    {"transition_acq_rel", transition_transition, data_came_along, {.store = AMX_RELEASE, .load = AMX_ACQ_REL}},
    {"transition_seq_cst", transition_transition, data_came_along, {.store = AMX_RELEASE, .load = AMX_SEQ_CST}},
    {"set_state_again", set_state_again, second_saw_the_first, {.limit = 0}},
    {"publish_between_acquire", publish_between, second_saw_the_first, {.load = AMX_ACQUIRE}},
    {"publish_between_acq_rel", publish_between, second_saw_the_first, {.load = AMX_ACQ_REL}},
    {"publish_between_seq_cst", publish_between, second_saw_the_first, {.load = AMX_SEQ_CST}},
    {"set_state_free", set_state_free, second_saw_the_first, {.limit = 0}},
    {"give_free", give_free, second_saw_the_first, {.set = set_allocated}},
    {"set_state_query", set_state_query, data_came_along, {.limit = 0}},
    {"give_ref_of", give_ref_of, data_came_along, {.limit = 0}},
    {"announce_by_states", announce_by_states, one_saw_the_other, {.limit = 0}},
    {"leave", leave, one_saw_nobody, {.limit = 0}},
    {"give_to_the_dying", give_to_the_dying, no_free_tag, {.third_lives = true}},
    {"object_add_read", object_add_read, fields_are_the_new_ones, {.set = set_former_object}},
    {"check_at_work", check_at_work, judged_on_the_way, {.size = 100, .limit = 2000}},
    {"check_at_work_large", check_at_work, judged_on_the_way, {.size = 10000, .limit = 2000}},
    {"walk_at_work", walk_at_work, judged_on_the_way, {.size = 100, .limit = 2000}},
    {"walk_at_work_large", walk_at_work, judged_on_the_way, {.size = 10000, .limit = 2000}},
    {"walk_alloc", walk_alloc, judged_on_the_way, {.size = 200, .bound = 2}},
    {"walk_free_large", walk_free_large, judged_on_the_way, {.set = set_large, .size = LARGE_BYTES, .bound = 3}},
    {"object_recycle", object_recycle, judged_on_the_way, {.set = set_words}},
    {"object_recycle_killed", object_recycle_killed, judged_on_the_way, {.set = set_words_and_gift, .bound = 3}},
    {"give_killed", give_killed, nothing_is_lost, {.set = set_third_killed, .third_lives = true, .deaths = 1}},
    {"give_closing", give_closing, nothing_is_lost, {.third_lives = true, .deaths = 1, .eye = 2}},
    {"give_next_tenant", give_next_tenant, not_the_next_tenants, {.set = set_third_killed, .third_lives = true}},
    {"give_large", give_large, nothing_is_lost, {.set = set_third_killed, .third_lives = true}},
    {"open_enter", open_enter, judged_on_the_way, {.limit = 0}},
    {"retire_two", retire_two, sound_again, {.limit = 0}},
    {"leave_enter", leave_enter, judged_on_the_way, {.third_lives = true}},
    {"killed_enter", killed_enter, judged_on_the_way, {.third_lives = true, .fibers = 3, .deaths = 1, .bound = 2}},
    {"leave_succeed", leave_succeed, judged_on_the_way, {.third_lives = true}},
    {"enter_peers", enter_peers, judged_on_the_way, {.third_lives = true}},
    {"leave_enter_peers", leave_enter_peers, judged_on_the_way, {.third_lives = true}},
    {"enter_dead", enter_dead, judged_on_the_way, {.set = set_former_peer, .third_lives = true, .bound = 2}},
    {"bury_next", bury_next, next_is_open, {.set = set_third_killed, .third_lives = true}},
    {"succeed_peers", succeed_peers, judged_on_the_way, {.limit = 0}},
    {"enter_replaced", enter_replaced, judged_on_the_way, {.set = set_third_unlocked, .third_lives = true, .bound = 2}},
    {"object_replace_read", object_replace_read, judged_on_the_way, {.set = set_object}},
    {"object_remove_add", object_remove_add, judged_on_the_way, {.set = set_object}},
    {"object_killed_add",
     object_killed_add,
     judged_on_the_way,
     {.set = set_public_no_object, .third_lives = true, .fibers = 3, .deaths = 1, .bound = 2}},
    {"cut_free", cut_free, sound_again, {.set = set_large}},
    {"cut_free_alloc", cut_free_alloc, sound_again, {.set = set_large, .size = 5000}},
    {"cut_alloc", cut_alloc, sound_again, {.limit = 0}},
    {"large_query", large_query, judged_on_the_way, {.set = set_large}},
    {"resize_free_grow", resize_free, sound_again, {.size = 160}},
    {"resize_free_shrink", resize_free, sound_again, {.size = 32}},
    {"push_drain", push_drain, judged_on_the_way, {.limit = 0}},
    {"check_adopt", check_touch, judged_on_the_way, {.set = set_public, .size = 1, .limit = 5000}},
    {"check_free", check_touch, judged_on_the_way, {.limit = 5000}},
    {"check_retire", check_retire, judged_on_the_way, {.set = set_seconds, .third_lives = true, .limit = 5000}},
    {"check_adopt_large", check_touch, judged_on_the_way, {.set = set_public_large, .size = 1, .bound = 2}},
    {"check_alloc_large", check_alloc_large, judged_on_the_way, {.bound = 2}},
    {"check_retire_made", check_retire_made, judged_on_the_way, {.third_lives = true, .bound = 2}},
    {"check_retire_large",
     check_retire_large,
     judged_on_the_way,
     {.set = set_seconds_large, .third_lives = true, .bound = 2}},
    {"check_open", check_open, judged_on_the_way, {.limit = 5000}},
    {"check_enter", check_enter, judged_on_the_way, {.limit = 5000, .few_tickets = true}},
    {"check_push", check_push, judged_on_the_way, {.limit = 5000}},
    {"check_add", check_add, judged_on_the_way, {.set = set_public, .limit = 5000}},
    {"killed_adopt",
     killed_adopt,
     judged_on_the_way,
     {.set = set_kept, .third_lives = true, .fibers = 3, .deaths = 1, .bound = 2}},
    {"killed_adopt_large",
     killed_adopt,
     judged_on_the_way,
     {.set = set_kept_large, .third_lives = true, .fibers = 3, .deaths = 1, .bound = 2}},
    {"told_adopt", told_adopt, judged_on_the_way, {.set = set_thirds_done}},
    {"told_state", told_state, judged_on_the_way, {.set = set_thirds_kept}},
    {"list_recycle", list_recycle, mine_lives, {.limit = 0}},
    {"retire_recycle", retire_recycle, nothing_is_lost, {.third_lives = true}},
    {"retire_open", retire_open, judged_on_the_way, {.third_lives = true}},
    {"touch_recycle", touch_recycle, judged_on_the_way, {.set = set_untouched, .third_lives = true}},
    {"untouch_open",
     untouch_open,
     judged_on_the_way,
     {.set = set_fourths_kept, .third_lives = true, .fibers = 3, .bound = 2}},
    {"bury_enter", bury_enter, judged_on_the_way, {.third_lives = true, .bound = 2}},
    {"die_recycle", die_recycle, no_orphans, {.third_lives = true}},
    {"bury_opening", bury_opening, next_is_open, {.set = set_killed_before_opening, .third_lives = true, .bound = 3}},
    {"unshare_share", unshare_share, both_are_counted, {.set = set_threads}},
    {"pool_state_get", pool_state_get, judged_on_the_way, {.set = set_slots}},
    {"pool_killed_alloc",
     pool_killed_alloc,
     judged_on_the_way,
     {.set = set_seconds_slot, .third_lives = true, .fibers = 3, .deaths = 1, .bound = 2}},
    {"pool_give_killed",
     pool_give,
     slots_are_somebodys,
     {.set = set_slots_third_killed, .third_lives = true, .deaths = 1}},
    {"pool_give_closing",
     pool_give_closing,
     slots_are_somebodys,
     {.set = set_slots, .third_lives = true, .deaths = 1, .eye = 2}},
    {"pool_give_next_tenant",
     pool_give_next_tenant,
     slots_are_not_the_next_tenants,
     {.set = set_slots_third_killed, .third_lives = true}},
    {"pool_free_alloc", pool_free_alloc, judged_on_the_way, {.set = set_lying_hint}},
    {"pool_hints", pool_hints, hints_are_whole, {.set = set_slots}},
    {"pool_wait", pool_wait, nobody_sleeps, {.set = set_full}},
    {"pool_wait_recover", pool_wait_recover, nobody_sleeps, {.set = set_own_pool}},
    {"pool_init_find", pool_init_find, judged_on_the_way, {.set = set_room}},
    {"pool_extend_more", pool_extend_more, judged_on_the_way, {.set = set_extensible, .in_turn = true, .bound = 6}},
    {"pool_extend_extend", pool_extend_extend, extents_are_linked, {.set = set_slots}},
    {"pool_check_owner", pool_check_owner, judged_on_the_way, {.set = set_slots}},
    {"pool_wait_extend", pool_wait_extend, nobody_sleeps, {.set = set_full_extensible}},
    {"arena_ptr", arena_ptr, judged_on_the_way, {.set = set_arena}},
    {"arena_ptr_next", arena_ptr_next, judged_on_the_way, {.set = set_arena}},
    {"arena_ptr_recover", arena_ptr_recover, judged_on_the_way, {.set = set_arena_thirds, .bound = 2}},
    {"arena_ptr_recover_two",
     arena_ptr_recover_two,
     judged_on_the_way,
     {.set = set_arena_fourths, .third_lives = true, .fibers = 3, .bound = 3}},
    {"arena_walk", arena_walk, judged_on_the_way, {.set = set_arena_free}},
    {"arena_check_alloc", arena_check, judged_on_the_way, {.set = set_arena_free}},
    {"arena_check_free", arena_check, judged_on_the_way, {.set = set_arena}},
    {"arena_wait", arena_wait, nobody_sleeps, {.set = set_arena}},
    {"arena_recover_alloc", arena_recover_alloc, next_life_lasts, {.set = set_arena_thirds, .bound = 2}},
    {"arena_state_recover", arena_state_recover, second_saw_the_first, {.set = set_arena_thirds, .bound = 3}},
    {"object_remove_recover", object_remove_recover, judged_on_the_way, {.set = set_words}},
};

static void set_up(const struct litmus *l)
{
    x.few_tickets = l->how.few_tickets;
    explore_open();
    lit.how = l->how;
    for (int i = 0; i < BLOCKS; i++) {
        must_ok(amx_zalloc(me(0), 96, &lit.ref[i]));
        if (l->how.set != set_allocated)
            must_ok(amx_set_state(me(0), lit.ref[i], 49));
    }
    if (l->how.set)
        l->how.set();
    for (int i = 0; i < BLOCKS; i++)
        for (int f = 0; f < DEPTH; f++) {
            void *p;
            must_ok(amx_ptr(me(f), lit.ref[i], &p));
            lit.data[i][f] = p;
        }
    if (!l->how.third_lives)
        third_dies();
    lit_begin = lit;
}

/* The process is the test's alone. */
static void run_one(const struct litmus *l, double effort)
{
    set_up(l);
    x.fibers = l->how.fibers ? l->how.fibers : 2;
    x.bound = l->how.bound ? l->how.bound : 4;
    x.deaths = l->how.deaths;
    x.in_turn = l->how.in_turn;
    x.act = l->act;
    x.begin = lit_restore;
    x.judge = l->judge;
    bool whole = explore((uint64_t)((double)(l->how.limit ? l->how.limit : 20000) * effort));
    if (getenv("LITMUS_TELL"))
        printf("# %s: %" PRIu64 " schedules, %s\n", l->name, x.explored, whole ? "all" : "not all");
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    const char *effort = getenv("EFFORT"); /* so many times as many schedules, or a part of them: 0.2 */
    int failed = 0;
    bool first = argc > 1 && strcmp(argv[1], "-1") == 0;
    mem_choose(getenv("MEMORY"));
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int status;
        if (argc > 1 && !first && strcmp(argv[1], all[i].name) != 0)
            continue;
        if (first && failed)
            break;
        fflush(NULL);
        pid_t pid = fork();
        must(pid >= 0);
        if (pid == 0)
            run_one(&all[i], effort ? atof(effort) : 1);
        must(waitpid(pid, &status, 0) == pid);
        printf("%s %s\n", status ? "not ok" : "ok", all[i].name);
        failed += status != 0;
    }
    return failed != 0;
}
