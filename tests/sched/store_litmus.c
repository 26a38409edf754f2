/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   store_litmus [NAME | -1]
 * Meetings of two at one message of a store, as litmus.c: all schedules with all that the model of memory lets each load read,
 * up to a bound. The payload is two words that are always equal while nobody changes them. Prints "ok NAME" or "not ok NAME".
 */
#include "explore.h"

#include "amx_store.h"

#include <sys/wait.h>

static struct {
    struct amx_store_config k;
    amx_ref block;
    struct amx_store view[DEPTH], first[DEPTH];
    amx_token token, other;
} lit;

static void at_first(void) /* what is private to a process, as it was */
{
    memcpy(lit.view, lit.first, sizeof lit.view);
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
static uint64_t reads(int fiber, amx_token t)
{
    struct amx_read g;
    if (amx_msg_read(my(fiber), t, &g))
        return 100;
    uint64_t v = both(g.payload);
    amx_read_end(&g);
    return v;
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

static const struct litmus {
    const char *name;
    void (*act)(int fiber);
    void (*judge)(void);
    uint32_t hard; /* items */
    unsigned limit;
} all[] = {
    {"read_change", read_change, before_or_after, 0, 20000},
    {"read_free_store", read_free_store, never_the_next, 0, 20000},
    {"read_discard", read_discard, never_the_next, 0, 20000},
    {"change_change", change_change, none_is_lost, 0, 20000},
    {"free_free", free_free, at_most_one, 0, 20000},
    {"store_store", store_store, mark_holds, 2, 20000},
    {"open_and_read", open_and_read, before_or_after, 0, 4000},
};

/* The process is the test's alone. */
static void run_one(const struct litmus *l)
{
    struct amx_write g;
    explore_open();
    lit.k = (struct amx_store_config){.depth = l->hard ? 4 : 1, .payload_max = 16};
    if (l->hard)
        lit.k.marks = (struct amx_marks){.policy = AMX_POLICY_REJECT, .hard_items = l->hard};
    must_ok(amx_store_create(scene.h[0], &lit.k, &lit.block, &lit.first[0]));
    for (int i = 1; i < DEPTH; i++)
        must_ok(amx_store_attach_block(scene.h[i], lit.block, NULL, &lit.first[i]));
    at_first();
    must_ok(amx_msg_reserve(my(0), NULL, 16, &g));
    change(g.payload, 1);
    lit.token = g.token;
    must_ok(amx_write_end(&g));
    memcpy(lit.first, lit.view, sizeof lit.first);
    x.fibers = 2;
    x.bound = 4;
    x.deaths = 0;
    x.act = l->act;
    x.begin = at_first;
    x.judge = l->judge;
    (void)explore(l->limit);
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
        printf("%s store %s\n", status ? "not ok" : "ok", all[i].name);
        failed += status != 0;
    }
    return failed != 0;
}
