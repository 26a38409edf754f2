/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   store_litmus [NAME | -1]
 * Meetings of two at one message of a store, as litmus.c: all schedules with all that the model of memory lets each load read,
 * up to a bound. The payload is two words that are always equal while nobody changes them. Prints "ok NAME" or "not ok NAME".
 */
#include "message.h"

#include "explore.h"

#include <sys/wait.h>

static struct {
    struct amx_store_config k;
    amx_ref block;
    struct amx_store view[DEPTH], first[DEPTH];
    amx_token token, next; /* next: of the message that will be in its place */
    void *room[DEPTH];     /* memory outside of the store, zero */
    amx_t *more;           /* a handle of the first one's besides; its store */
    amx_t more_first;
    struct amx_store by_more;
} lit;

enum { ROOM = 2000 };

static void at_first(void) /* what is private to a process, as it was */
{
    memcpy(lit.view, lit.first, sizeof lit.view);
    if (lit.more && !lit.more_first.seg->open[lit.more_first.tag - 1]) {
        void *p;
        must(amxi_os_private(sizeof lit.more_first, &p) == 0);
        lit.more = lit.more_first.seg->open[lit.more_first.tag - 1] = lit.by_more.h = p;
        lit.by_more.writable = &lit.more->units;
    }
    if (lit.more)
        *lit.more = lit.more_first;
}

static struct amx_store *my(int fiber)
{
    return &lit.view[fiber];
}

/* --- What one of them does ---------------------------------------------------------------------------------------- */

static uint64_t both(const void *payload)
{
    const amxi_a64 *p = payload;
    uint64_t a = amxi_ld64_rlx(&p[0]), b = amxi_ld64_rlx(&p[1]);
    must(a == b); /* else somebody is changing it, or we do not see all that he did */
    return a;
}

static void change(void *payload, uint64_t v)
{
    amxi_a64 *p = payload;
    amxi_st64_rlx(&p[0], v);
    amxi_st64_rlx(&p[1], v);
}

/* What was read, or 100: refused. */
static uint64_t reads_by(struct amx_store *s, amx_token t)
{
    struct amx_read g;
    if (amx_msg_read(s, t, &g))
        return 100;
    uint64_t v = both(g.payload);
    amx_read_end(&g);
    return v;
}

static uint64_t reads(int fiber, amx_token t)
{
    return reads_by(my(fiber), t);
}

static uint64_t changes(int fiber, amx_token t)
{
    struct amx_write g;
    if (amx_msg_read_mut(my(fiber), t, &g))
        return 100;
    uint64_t v = both(g.payload);
    change(g.payload, v + 1);
    must_ok(amx_write_end(&g));
    return v;
}

static uint64_t stores(int fiber, uint64_t v)
{
    struct amx_write g;
    if (amx_msg_reserve(my(fiber), NULL, 16, &g) || !g.store)
        return 100;
    change(g.payload, v);
    must_ok(amx_write_end(&g));
    return v;
}

/* --- Meetings ------------------------------------------------------------------------------------------------------- */

static void read_change(int fiber)
{
    x.told[fiber] = fiber == 0 ? reads(0, lit.token) : changes(1, lit.token);
}
static void before_or_after(void)
{
    must(x.told[0] == 1 || x.told[0] == 2 || x.told[0] == 100);
    must(x.told[1] == 1 || x.told[1] == 100);
    must(x.told[0] != 2 || x.told[1] == 1);
}

/* The reader has the value of before: the writer's stores come after his look, also in the next message in that place. */
static void read_free_store(int fiber)
{
    if (fiber == 0)
        x.told[0] = reads(0, lit.token);
    else if (amx_msg_free(my(1), lit.token) == AMX_OK)
        x.told[1] = stores(1, 7);
}
static void never_the_next(void)
{
    must(x.told[0] == 1 || x.told[0] == 100);
}

static void read_discard(int fiber)
{
    struct amx_write g;
    if (fiber == 0) {
        x.told[0] = reads(0, lit.token);
    } else if (amx_msg_read_mut(my(1), lit.token, &g) == AMX_OK) {
        change(g.payload, 7);
        must_ok(amx_msg_discard(&g));
    }
}

static void change_change(int fiber)
{
    x.told[fiber] = changes(fiber, lit.token);
}
static void none_is_lost(void)
{
    struct amx_read g;
    at_first();
    must_ok(amx_msg_read(my(0), lit.token, &g));
    must(both(g.payload) == 1u + (x.told[0] != 100) + (x.told[1] != 100));
    must(x.told[0] == 100 || x.told[0] != x.told[1]);
    amx_read_end(&g);
}

static void free_free(int fiber)
{
    x.told[fiber] = amx_msg_free(my(fiber), lit.token) == AMX_OK;
}
static void at_most_one(void)
{
    must(x.told[0] + x.told[1] <= 1);
    at_first();
    must(amx_msg_free(my(0), lit.token) == (x.told[0] + x.told[1] ? AMX_E_DOUBLE_FREE : AMX_OK));
}

/* Room for one more. */
static void store_store(int fiber)
{
    x.told[fiber] = stores(fiber, 5);
}
static void mark_holds(void)
{
    uint64_t items;
    enum amx_watermark w;
    at_first();
    must_ok(amx_store_watermark(my(0), &w, &items, NULL));
    must(items <= lit.k.marks.hard_items);
}

/* A handle that opens meanwhile counts: its guard is looked at. */
static void open_and_read(int fiber)
{
    if (fiber == 1) {
        x.told[1] = changes(1, lit.token);
        return;
    }
    amx_t *h;
    struct amx_read g;
    struct amx_store s = lit.view[0];
    must_ok(amx_share(scene.h[0], &h));
    must_ok(amx_store_attach_block(h, lit.block, NULL, &s));
    x.told[0] = 100;
    if (amx_msg_read(&s, lit.token, &g) == AMX_OK) {
        x.told[0] = both(g.payload);
        amx_read_end(&g);
    }
    must_ok(amx_unshare(h));
}

/* --- Who has the message knows of all that was done to it: a reader's last look comes before a writer's first store ---- */

static bool begin_use(int fiber, struct amx_store *s, struct amx_read *g)
{
    if (amx_msg_read(s, lit.token, g))
        return false;
    mem_use(fiber, (amxi_a64 *)(uintptr_t)g->payload);
    return true;
}

static void use_read(int fiber)
{
    struct amx_read g;
    if (begin_use(fiber, my(fiber), &g))
        amx_read_end(&g);
}

static void use_write(int fiber)
{
    struct amx_write g;
    if (amx_msg_read_mut(my(fiber), lit.token, &g))
        return;
    mem_use(fiber, g.payload);
    must_ok(amx_write_end(&g));
}

static void use_change(int fiber)
{
    if (fiber == 0)
        use_read(0);
    else
        use_write(1);
}

/* The second guard may be taken in vain, in the word of the first. */
static void use_twice(int fiber)
{
    use_change(fiber);
    if (fiber == 0)
        use_read(0);
}

/* Guards that lapse: with a handle, with an attachment, with a thread. */
static void use_unshare(int fiber)
{
    struct amx_read g;
    if (fiber == 1) {
        use_write(1);
    } else {
        (void)begin_use(0, &lit.by_more, &g);
        must_ok(amx_unshare(lit.more));
    }
}

static void use_retire(int fiber)
{
    struct amx_read g;
    if (fiber == 1) {
        use_write(1);
    } else {
        (void)begin_use(0, my(0), &g);
        amxi_retire(scene.h[0]);
    }
}

/* The second one has been told that the first has ended, the third has not. */
static void use_lapse(int fiber)
{
    struct amx_read g;
    amxi_a64 *ended = lit.room[fiber];
    if (fiber == 2) {
        use_write(2);
    } else if (fiber == 0) {
        (void)begin_use(0, my(0), &g);
        amxi_st64_rel(ended, 1);
    } else if (amxi_ld64_acq(ended)) {
        must_ok(amx_store_recover(my(1), 1, NULL, NULL));
    }
}

/* --- Views: guard words have one owner at a time (mem.owned) ------------------------------------------------------------ */

static void scoped(void)
{
    struct amx_store s, of = lit.view[1];
    if (amx_store_scoped(&of, &s) == AMX_OK)
        must(reads_by(&s, lit.token) == 1);
}

static void close_scoped(int fiber)
{
    if (fiber == 1) {
        scoped();
    } else {
        (void)reads(0, lit.token);
        must_ok(amx_store_close(my(0)));
    }
}

/* The third view's thread has ended while it read. */
static void recover_scoped(int fiber)
{
    if (fiber == 1)
        scoped();
    else
        must_ok(amx_store_recover(my(0), 3, NULL, NULL));
}

/* --- Looking ----------------------------------------------------------------------------------------------------------- */

static void replaces(int fiber)
{
    static const uint64_t less = 9;
    amx_token t;
    must_ok(amx_msg_free(my(fiber), lit.token));
    must_ok(amx_msg_store(my(fiber), NULL, &less, sizeof less, &t));
    must(t == lit.next);
}

/* What is evicted is not the youngest. */
static void replace_evict(int fiber)
{
    amx_token t = AMX_TOKEN_INVALID;
    if (fiber == 0) {
        (void)amx_msg_free(my(0), lit.token);
        (void)stores(0, 9);
    } else {
        must_ok(amx_store_evict(my(1), &t));
        must(t != lit.next);
    }
}

static int is_of_its_life(const struct amx_store_message *m, void *ctx)
{
    (void)ctx;
    must(m->token != lit.next || m->size == 8);
    return 0;
}

static void replace_walk(int fiber)
{
    if (fiber == 0)
        replaces(0);
    else
        must_ok(amx_store_walk(my(1), is_of_its_life, NULL));
}

static void store_check(int fiber)
{
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    if (fiber == 0)
        (void)stores(0, 9);
    else
        must(amx_store_check(my(1), NULL, NULL, &r) == AMX_OK && r.corrupt == 0);
}

/* Whoever sees the magic sees the store. */
static void init_find(int fiber)
{
    const struct amx_store_config k = {.depth = 2, .payload_max = 16};
    struct amx_store_config c;
    struct amx_store made;
    if (fiber == 0)
        must_ok(amx_store_init(lit.room[0], ROOM, &k, &made));
    else if (amxi_ld64_rlx(&amxi_store_head_at(lit.room[1])->magic) == AMXI_STORE_MAGIC)
        must(amxi_store_read_config(lit.room[1], &c) && amxi_store_same(&c, &k));
}

/* One has announced that he sleeps, and slept if he had more time. Then whoever made room woke him. */
static void wait_free(int fiber)
{
    static const uint64_t less = 9;
    amx_token t;
    if (fiber == 0)
        must_ok(amx_msg_free(my(0), lit.token));
    else
        x.told[1] = amx_msg_store_wait(my(1), NULL, &less, sizeof less, 0, &t) == AMX_E_TIMEOUT;
}

static void nobody_sleeps(void)
{
    must(!x.told[1] || !(amxi_ld32_rlx(&amxi_store_head_at(lit.first[0].base)->wait) & 1));
}

static void judged_on_the_way(void)
{
}

/* --- Beginnings ---------------------------------------------------------------------------------------------------------- */

static void set_more(void)
{
    must_ok(amx_share(scene.h[0], &lit.more));
    must_ok(amx_store_attach_block(lit.more, lit.block, NULL, &lit.by_more));
    lit.more_first = *lit.more;
}

static void set_older(void) /* than what comes into the first one's place */
{
    must(stores(0, 2) == 2);
}

static void set_size(void) /* what lies where no message has been */
{
    amxi_st32_rlx(&amxi_message_at(my(0), 1)->size, UINT32_MAX);
}

static void set_ended(void)
{
    struct amx_read g;
    must_ok(amx_msg_read(my(2), lit.token, &g));
}

static const struct litmus {
    const char *name;
    void (*act)(int fiber);
    void (*judge)(void);
    struct amx_store_config k; /* depth 0: 1. threads: in plain memory, with a view each */
    unsigned limit;            /* 0: 20000 */
    unsigned fibers, bound;    /* 0: 2, 4 */
    void (*set)(void);
} all[] = {
    {"read_change", read_change, before_or_after, {.depth = 1}, 0, 0, 0, NULL},
    {"read_free_store", read_free_store, never_the_next, {.depth = 1}, 0, 0, 0, NULL},
    {"read_discard", read_discard, never_the_next, {.depth = 1}, 0, 0, 0, NULL},
    {"change_change", change_change, none_is_lost, {.depth = 1}, 0, 0, 0, NULL},
    {"free_free", free_free, at_most_one, {.depth = 1}, 0, 0, 0, NULL},
    {"store_store",
     store_store,
     mark_holds,
     {.depth = 4, .marks = {.policy = AMX_POLICY_REJECT, .hard_items = 2}},
     0,
     0,
     0,
     NULL},
    {"open_and_read", open_and_read, before_or_after, {.depth = 1}, 4000, 0, 0, NULL},
    {"use_change", use_change, judged_on_the_way, {.depth = 1}, 0, 0, 0, NULL},
    {"use_twice", use_twice, judged_on_the_way, {.depth = 1}, 0, 0, 0, NULL},
    {"use_unshare", use_unshare, judged_on_the_way, {.depth = 1}, 0, 0, 0, set_more},
    {"use_retire", use_retire, judged_on_the_way, {.depth = 1}, 2000, 0, 2, NULL},
    {"use_lapse", use_lapse, judged_on_the_way, {.depth = 1, .threads = 3}, 0, 3, 0, NULL},
    {"close_scoped", close_scoped, judged_on_the_way, {.depth = 1, .threads = 3}, 0, 0, 0, NULL},
    {"recover_scoped", recover_scoped, judged_on_the_way, {.depth = 1, .threads = 3}, 0, 0, 0, set_ended},
    {"replace_evict",
     replace_evict,
     judged_on_the_way,
     {.depth = 4, .marks = {.policy = AMX_POLICY_EVICT, .hard_items = 4}},
     0,
     0,
     0,
     set_older},
    {"replace_walk", replace_walk, judged_on_the_way, {.depth = 1}, 0, 0, 0, NULL},
    {"store_check", store_check, judged_on_the_way, {.depth = 2}, 0, 0, 0, set_size},
    {"init_find", init_find, judged_on_the_way, {.depth = 1}, 0, 0, 0, NULL},
    {"wait_free", wait_free, nobody_sleeps, {.depth = 1}, 0, 0, 0, NULL},
};

/* Memory as each of them sees it. */
static void set_room(void)
{
    amx_ref ref;
    must_ok(amx_alloc_aligned(scene.h[0], AMX_STORE_ALIGN, ROOM, &ref));
    for (int i = 0; i < DEPTH; i++)
        must_ok(amx_ptr(scene.h[i], ref, &lit.room[i]));
    memset(lit.room[0], 0, ROOM);
}

static void set_threads(void)
{
    const amxi_a64 *guards;
    void *p;
    must_ok(amx_alloc_aligned(scene.h[0], AMX_STORE_ALIGN, ROOM, &lit.block));
    must_ok(amx_ptr(scene.h[0], lit.block, &p));
    must_ok(amx_store_init(p, ROOM, &lit.k, &lit.first[0]));
    for (int i = 1; i < DEPTH; i++) {
        struct amx_store of = lit.first[0];
        must_ok(amx_ptr(scene.h[i], lit.block, &p));
        of.base = p;
        must_ok(amx_store_scoped(&of, &lit.first[i]));
    }
    guards = lit.first[0].guards;
    mem.owned[0] = (uint32_t)(((uintptr_t)guards - (uintptr_t)scene.h[0]->seg->base) / 8);
    mem.owned[1] = mem.owned[0] + DEPTH * AMXI_VIEW_WORDS;
}

static void set_shared(void)
{
    must_ok(amx_store_create(scene.h[0], &lit.k, &lit.block, &lit.first[0]));
    for (int i = 1; i < DEPTH; i++)
        must_ok(amx_store_attach_block(scene.h[i], lit.block, NULL, &lit.first[i]));
}

/* The process is the test's alone. */
static void run_one(const struct litmus *l, double effort)
{
    struct amx_write g;
    explore_open();
    for (int i = 0; i < DEPTH; i++)
        scene.h[i]->seg->manual = true;
    lit.k = l->k;
    lit.k.payload_max = 16;
    set_room();
    if (lit.k.threads)
        set_threads();
    else
        set_shared();
    at_first();
    must_ok(amx_msg_reserve(my(0), NULL, 16, &g));
    change(g.payload, 1);
    lit.token = g.token;
    lit.next = lit.token + 1;
    must_ok(amx_write_end(&g));
    if (l->set)
        l->set();
    memcpy(lit.first, lit.view, sizeof lit.first);
    x.fibers = l->fibers ? l->fibers : 2;
    x.bound = l->bound ? l->bound : 4;
    x.deaths = 0;
    x.act = l->act;
    x.begin = at_first;
    x.judge = l->judge;
    bool whole = explore((uint64_t)((double)(l->limit ? l->limit : 20000) * effort));
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
        printf("%s store %s\n", status ? "not ok" : "ok", all[i].name);
        failed += status != 0;
    }
    return failed != 0;
}
