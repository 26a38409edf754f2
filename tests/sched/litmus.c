/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   litmus [NAME | -1]
 * Small meetings of two, all schedules with all that the model of memory (memory.h, MEMORY) lets each load read: for orders
 * that the meetings of operations do not need. Prints "ok NAME" or "not ok NAME" for each, and for a failure the schedule.
 * -1: ends with the first that fails.
 */
#include "explore.h"

#include "amx_object.h"
#include "object.h"

#include <sys/wait.h>

enum { X, Y, BLOCKS };

static struct {
    amx_ref ref[BLOCKS];
    amxi_a64 *data[BLOCKS][DEPTH]; /* first word of the payload, as each peer sees it */
    enum amx_order store, load;
    size_t size;
    uint64_t object[2];
    bool removed; /* the block of the object is not the object's any more */
} lit;

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
        must_ok(amx_transition(me(0), lit.ref[X], 49, 50, lit.store, NULL));
    } else {
        must_ok(amx_get_state(me(1), lit.ref[X], lit.load, &state));
        saw(1, state == 50);
    }
}

/* The exchange alone acquires: what amxi_find has seen is older. */
static void transition_transition(int fiber)
{
    if (fiber == 0)
        transition_get(0);
    else
        saw(1, amx_transition(me(1), lit.ref[X], 50, 51, lit.load, NULL) == AMX_OK);
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
        must_ok(amx_transition(me(1), lit.ref[X], 49, 50, lit.load, NULL));
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
        lit.removed = amx_object_remove(me(0), lit.object[0]) == AMX_OK;
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

static void not_removed(void)
{
    lit.removed = false;
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
        must_ok(amx_alloc(me(1), lit.size, &ref));
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
    if (fiber == 1)
        check_at_work(1);
    else if (amx_walk(me(0), sum, told) == AMX_OK)
        must(told[1] == info_of(me(0)).data_bytes || lit.size > 4096);
}

/* --- All ----------------------------------------------------------------------------------------------------------- */

static const struct litmus {
    const char *name;
    void (*act)(int fiber);
    void (*judge)(void);
    unsigned store, load; /* orders; store: or a size */
} all[] = {
    {"root_set_get", root_set_get, data_came_along, 0, 0},
    {"root_cas_get", root_cas_get, data_came_along, 0, 0},
    {"root_set_cas", root_set_cas, data_came_along, 0, 0},
    {"transition_release_get", transition_get, data_came_along, AMX_RELEASE, AMX_ACQUIRE},
    {"transition_acq_rel_get", transition_get, data_came_along, AMX_ACQ_REL, AMX_ACQUIRE},
    {"transition_seq_cst_get", transition_get, data_came_along, AMX_SEQ_CST, AMX_SEQ_CST},
    {"transition_acquire", transition_transition, data_came_along, AMX_RELEASE, AMX_ACQUIRE},
    {"transition_acq_rel", transition_transition, data_came_along, AMX_RELEASE, AMX_ACQ_REL},
    {"transition_seq_cst", transition_transition, data_came_along, AMX_RELEASE, AMX_SEQ_CST},
    {"set_state_again", set_state_again, second_saw_the_first, 0, 0},
    {"publish_between_acquire", publish_between, second_saw_the_first, 0, AMX_ACQUIRE},
    {"publish_between_acq_rel", publish_between, second_saw_the_first, 0, AMX_ACQ_REL},
    {"publish_between_seq_cst", publish_between, second_saw_the_first, 0, AMX_SEQ_CST},
    {"set_state_free", set_state_free, second_saw_the_first, 0, 0},
    {"give_free", give_free, second_saw_the_first, 0, 0},
    {"set_state_query", set_state_query, data_came_along, 0, 0},
    {"give_ref_of", give_ref_of, data_came_along, 0, 0},
    {"announce_by_states", announce_by_states, one_saw_the_other, 0, 0},
    {"leave", leave, one_saw_nobody, 0, 0},
    {"give_to_the_dying", give_to_the_dying, no_free_tag, 0, 0},
    {"object_add_read", object_add_read, fields_are_the_new_ones, 0, 0},
    {"check_at_work", check_at_work, judged_on_the_way, 100, 0},
    {"check_at_work_large", check_at_work, judged_on_the_way, 10000, 0},
    {"walk_at_work", walk_at_work, judged_on_the_way, 100, 0},
    {"walk_at_work_large", walk_at_work, judged_on_the_way, 10000, 0},
    {"object_recycle", object_recycle, judged_on_the_way, 0, 0},
    {"object_remove_recover", object_remove_recover, judged_on_the_way, 0, 0},
};

/* The third peer is gone: dead, with a word in the object if there is one. */
static void third_dies(void)
{
    amx_t *h = scene.h[2];
    struct amxi_seg *s = h->seg;
    amxi_st64_sc(&amxi_handle(s, h->tag - 1)->word, AMXI_H_WORD(AMXI_H_DEAD, s->peer, h->epoch));
    amxi_peer_leave(s);
}

static void set_up(const struct litmus *l)
{
    struct amx_object o;
    explore_open();
    for (int i = 0; i < BLOCKS; i++) {
        must_ok(amx_zalloc(me(0), 96, &lit.ref[i]));
        if (l->act != give_free) /* ALLOCATED, for the straight line of a free */
            must_ok(amx_set_state(me(0), lit.ref[i], 49));
        for (int f = 0; f < DEPTH; f++) {
            void *p;
            must_ok(amx_ptr(me(f), lit.ref[i], &p));
            lit.data[i][f] = p;
        }
    }
    if (l->act == give_free) { /* and with room for it */
        amx_ref two[2];
        size_t n;
        must_ok(amx_alloc_many(me(1), 96, 2, two, &n));
        must_ok(amx_free_many(me(1), two, 2, NULL));
        must_ok(amx_alloc_many(me(1), 96, 2, two, &n));
    }
    lit.store = (enum amx_order)l->store;
    lit.load = (enum amx_order)l->load;
    lit.size = l->store;
    if (l->act == object_add_read || l->act == object_remove_recover || l->act == object_recycle) {
        must_ok(amx_publish(me(0), lit.ref[X]));
        o = object_of(STRIDE_OLD);
        must_ok(amx_object_add(me(0), &o, &lit.object[0]));
    }
    if (l->act == object_add_read)
        must_ok(amx_object_remove(me(0), lit.object[0]));
    if (l->act == object_remove_recover || l->act == object_recycle) {
        must_ok(amx_object_touch(me(2), lit.object[0]));
        for (int k = 0; k < SLOTS; k++)
            amxi_st64_sc(lit.data[X][0] + k, AMXI_W0(AMX_STATE_KEPT, scene.h[2]->tag, 1));
    }
    if (l->act != give_to_the_dying)
        third_dies();
}

/* The process is the test's alone. */
static void run_one(const struct litmus *l)
{
    set_up(l);
    x.fibers = 2;
    x.bound = 4;
    x.deaths = 0;
    x.act = l->act;
    x.begin = not_removed;
    x.judge = l->judge;
    (void)explore(l->act == check_at_work || l->act == walk_at_work ? 2000 : 20000); /* long, but alike */
    _exit(0);
}

int main(int argc, char **argv)
{
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
            run_one(&all[i]);
        must(waitpid(pid, &status, 0) == pid);
        printf("%s %s\n", status ? "not ok" : "ok", all[i].name);
        failed += status != 0;
    }
    return failed != 0;
}
