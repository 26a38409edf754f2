/* SPDX-License-Identifier: Apache-2.0 */
/* amx pool: slot pools of a segment. One verb with actions; all but create and quota attach read-only. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amx_object.h"
#include "amx_pool.h"
#include "out.h"
#include "tool.h"

static const struct option options[] = {{"lines", no_argument, NULL, 'L'},
                                        {"root", required_argument, NULL, 'r'},
                                        {"json", no_argument, NULL, 'j'},
                                        {"notes", no_argument, NULL, 'N'},
                                        {"quota", required_argument, NULL, 'q'},
                                        {"dir", required_argument, NULL, 'd'},
                                        {0}};

static const struct out_col ls_columns[] = {{"POOL", false}, {"BLOCK", true}, {"CLASSES", true}, {"EXTENTS", true},
                                            {"SLOTS", true}, {"USED", true},  {"QUOTA", true}};
static const struct out_col info_columns[] = {{"POOL", false}, {"CLASS", true}, {"SLOT SIZE", true}, {"SLOTS", true},
                                              {"WORDS", true}, {"HINTS", true}, {"DATA", true}};
static const struct out_col stat_columns[] = {
    {"POOL", false}, {"CLASS", true},     {"SLOT SIZE", true}, {"SLOTS", true},     {"USED", true},
    {"HIGH", true},  {"PUBLISHED", true}, {"KEPT", true},      {"EXHAUSTED", true}, {"BYTES", true}};
static const struct out_col check_columns[] = {
    {"POOL", false}, {"GRADE", false}, {"RULE", false}, {"OFFSET", true}, {"FINDING", false}};
static const char *const grades[] = {
    [AMX_GRADE_NOTE] = "note", [AMX_GRADE_UNDONE] = "undone", [AMX_GRADE_CORRUPT] = "corrupt"};

struct want { /* what was asked for */
    const char *name, *dir;
    amx_ref pool; /* 0: all */
    uint32_t flags, quota;
    int root; /* -1: none */
    bool json, notes;
};

struct report {
    const struct want *want;
    amx_t *h;
    struct out_table table;
    struct out_json j;
    uint64_t pool; /* the one that is being looked at */
    uint64_t shown, undone, corrupt;
};

/* --- One pool ------------------------------------------------------------------------------------------------- */

static struct amx_pool_stats stats_of(const struct amx_pool *p, uint32_t c)
{
    struct amx_pool_stats s = {.struct_size = sizeof s};

    (void)amx_pool_stat(p, c, &s); /* the class exists, and the view was just made */
    return s;
}

/* Of the class whose slots are blocks as large as is asked for: a word in the place of a size. */
static void slot_size(struct report *r, uint32_t bytes)
{
    bool arena = bytes == AMX_POOL_ARENA;

    if (r->want->json) {
        out_json_number(&r->j, "slot_size", bytes);
        out_json_bool(&r->j, "arena", arena);
    } else if (arena) {
        out_table_cell(&r->table, "arena");
    } else {
        out_table_cell(&r->table, "%u", bytes);
    }
}

static void ls_pool(struct report *r, const struct amx_pool *p, const struct amx_pool_place *at)
{
    uint64_t extents = 0, slots = 0, used = 0;
    uint32_t quota = 0;

    for (uint32_t c = 0; c < at->n; c++) {
        struct amx_pool_stats s = stats_of(p, c);

        extents += s.extents;
        slots += s.count;
        used += s.used;
    }
    (void)amx_pool_quota(p, &quota);
    if (r->want->json) {
        out_json_word(&r->j, "pool", at->block);
        out_json_word(&r->j, "base", at->base);
        out_json_number(&r->j, "classes", at->n);
        out_json_number(&r->j, "extents", extents);
        out_json_number(&r->j, "slots", slots);
        out_json_number(&r->j, "used", used);
        out_json_number(&r->j, "quota", quota);
        return;
    }
    out_table_cell(&r->table, "%" PRIu64, at->block);
    out_table_cell(&r->table, "0x%" PRIx64, (at->block >> 32) * 16);
    out_table_cell(&r->table, "%u", at->n);
    out_table_cell(&r->table, "%" PRIu64, extents);
    out_table_cell(&r->table, "%" PRIu64, slots);
    out_table_cell(&r->table, "%" PRIu64, used);
    out_table_cell(&r->table, quota ? "%u" : "-", quota);
}

static void info_pool(struct report *r, const struct amx_pool *p, const struct amx_pool_place *at)
{
    struct amx_pool_config k;
    struct amx_pool_offsets l;
    void *region;
    size_t len;

    (void)p;
    if (amx_usable(r->h, at->block, &len) || amx_ptr(r->h, at->block, &region) ||
        amx_pool_discover(region, len, at->base, &k) || amx_pool_layout(&k, &l))
        return; /* it went away this moment */
    if (r->want->json) {
        out_json_word(&r->j, "pool", at->block);
        out_json_word(&r->j, "base", at->base);
        out_json_number(&r->j, "bytes", l.bytes);
        out_json_bool(&r->j, "lines", k.flags & AMX_POOL_LINES);
        out_json_open(&r->j, "classes", '[');
    }
    for (uint32_t c = 0; c < k.n; c++) {
        if (r->want->json) {
            out_json_open(&r->j, NULL, '{');
            slot_size(r, k.cls[c].slot_size);
            out_json_number(&r->j, "slots", k.cls[c].count);
            out_json_word(&r->j, "words", l.cls[c].words);
            out_json_word(&r->j, "hints", l.cls[c].hints);
            out_json_word(&r->j, "data", l.cls[c].data);
            out_json_close(&r->j);
            continue;
        }
        out_table_cell(&r->table, "%" PRIu64, at->block);
        out_table_cell(&r->table, "%u", c);
        slot_size(r, k.cls[c].slot_size);
        out_table_cell(&r->table, "%u", k.cls[c].count);
        out_table_cell(&r->table, "0x%" PRIx64, l.cls[c].words);
        out_table_cell(&r->table, "0x%" PRIx64, l.cls[c].hints);
        out_table_cell(&r->table, "0x%" PRIx64, l.cls[c].data);
    }
    if (r->want->json)
        out_json_close(&r->j);
}

static void stat_pool(struct report *r, const struct amx_pool *p, const struct amx_pool_place *at)
{
    if (r->want->json) {
        out_json_word(&r->j, "pool", at->block);
        out_json_open(&r->j, "classes", '[');
    }
    for (uint32_t c = 0; c < at->n; c++) {
        struct amx_pool_stats s = stats_of(p, c);
        const struct {
            const char *key;
            uint64_t value;
        } number[] = {{"slots", s.count}, {"used", s.used},           {"high", s.high},   {"published", s.published},
                      {"kept", s.kept},   {"exhausted", s.exhausted}, {"bytes", s.bytes}, {"extents", s.extents}};
        unsigned n = sizeof number / sizeof *number;

        if (r->want->json) {
            out_json_open(&r->j, NULL, '{');
            slot_size(r, s.slot_size);
            for (unsigned i = 0; i < n; i++)
                out_json_number(&r->j, number[i].key, number[i].value);
            out_json_close(&r->j);
            continue;
        }
        out_table_cell(&r->table, "%" PRIu64, at->block);
        out_table_cell(&r->table, "%u", c);
        slot_size(r, s.slot_size);
        for (unsigned i = 0; i + 1 < n; i++)
            out_table_cell(&r->table, "%" PRIu64, number[i].value);
    }
    if (r->want->json)
        out_json_close(&r->j);
}

static int finding(const struct amx_finding *f, void *ctx)
{
    struct report *r = ctx;

    if (f->grade == AMX_GRADE_NOTE && !r->want->notes)
        return 0;
    if (r->want->json) {
        out_json_open(&r->j, NULL, '{');
        out_json_text(&r->j, "grade", grades[f->grade]);
        out_json_text(&r->j, "rule", f->rule);
        out_json_word(&r->j, "offset", f->offset);
        out_json_text(&r->j, "text", f->text);
        out_json_close(&r->j);
        return 0;
    }
    out_table_cell(&r->table, "%" PRIu64, r->pool);
    out_table_cell(&r->table, "%s", grades[f->grade]);
    out_table_cell(&r->table, "%s", f->rule);
    out_table_cell(&r->table, "0x%" PRIx64, f->offset);
    out_table_cell(&r->table, "%s", f->text);
    return 0;
}

static void check_pool(struct report *r, const struct amx_pool *p, const struct amx_pool_place *at)
{
    struct amx_pool_check_result c = {.struct_size = sizeof c};

    r->pool = at->block;
    if (r->want->json) {
        out_json_word(&r->j, "pool", at->block);
        out_json_open(&r->j, "findings", '[');
    }
    (void)amx_pool_check(p, finding, r, &c);
    r->undone += c.undone;
    r->corrupt += c.corrupt;
    if (r->want->json) {
        out_json_close(&r->j);
        out_json_text(&r->j, "verdict", c.corrupt ? "corrupt" : c.undone ? "undone" : "clean");
        out_json_number(&r->j, "notes", c.notes);
        out_json_number(&r->j, "undone", c.undone);
        out_json_number(&r->j, "corrupt", c.corrupt);
        out_json_number(&r->j, "slots", c.slots);
        out_json_number(&r->j, "used", c.used);
    }
}

/* --- All of them ---------------------------------------------------------------------------------------------- */

struct action {
    const char *name;
    void (*pool)(struct report *r, const struct amx_pool *p, const struct amx_pool_place *at);
    const struct out_col *col;
    size_t cols;
};
static const struct action actions[] = {
    {"ls", ls_pool, ls_columns, sizeof ls_columns / sizeof *ls_columns},
    {"info", info_pool, info_columns, sizeof info_columns / sizeof *info_columns},
    {"stat", stat_pool, stat_columns, sizeof stat_columns / sizeof *stat_columns},
    {"check", check_pool, check_columns, sizeof check_columns / sizeof *check_columns}};

struct places {
    struct amx_pool_place at[AMX_OBJECTS];
    unsigned n;
};

static int note_place(const struct amx_pool_place *p, void *ctx)
{
    struct places *all = ctx;

    if (all->n < AMX_OBJECTS)
        all->at[all->n++] = *p;
    return 0;
}

static int look(const struct action *a, const struct want *w)
{
    struct report r = {.want = w};
    struct places all = {.n = 0};
    int err, code = tool_look("pool", w->name, w->dir, &r.h);

    if (code)
        return code;
    err = amx_pools(r.h, note_place, &all);
    if (w->json) {
        out_json_begin(&r.j, "amx.pool/1");
        out_json_text(&r.j, "name", w->name);
        out_json_text(&r.j, "action", a->name);
        out_json_open(&r.j, "pools", '[');
    } else {
        out_table_begin(&r.table, a->col, a->cols, true);
    }
    for (unsigned i = 0; !err && i < all.n; i++) {
        struct amx_pool p;

        if ((w->pool && all.at[i].block != w->pool) ||
            amx_pool_attach_block(r.h, all.at[i].block, all.at[i].base, NULL, &p)) {
            if (!w->pool) { /* registered, and yet no pool: damaged at the top, or gone this moment */
                tool_fail(0, "pool", "%s: the pool in block %" PRIu64 " cannot be attached", w->name, all.at[i].block);
                r.corrupt += a->pool == check_pool;
            }
            continue;
        }
        if (w->json)
            out_json_open(&r.j, NULL, '{');
        a->pool(&r, &p, &all.at[i]);
        if (w->json)
            out_json_close(&r.j);
        r.shown++;
    }
    if (w->json) {
        out_json_close(&r.j);
        out_json_end(&r.j);
    } else {
        out_table_end(&r.table);
    }
    (void)amx_close(r.h);
    if (err)
        return tool_fail_amx("pool", w->name, err, NULL);
    if (w->pool && !r.shown)
        return tool_fail(TOOL_NOENT, "pool", "%s: there is no pool %" PRIu64 "\n  next: 'amx pool ls %s' lists them",
                         w->name, w->pool, w->name);
    if (a->pool != check_pool)
        return TOOL_OK;
    if (!w->json)
        printf("%s: %" PRIu64 " pools: %" PRIu64 " corrupt, %" PRIu64 " undone\n", w->name, r.shown, r.corrupt,
               r.undone);
    if (r.corrupt)
        return tool_fail(TOOL_UNHEALTHY, "pool", "%s: a pool is damaged", w->name);
    if (r.undone)
        return tool_fail(TOOL_UNHEALTHY, "pool",
                         "%s: a process died with slots in its hands\n  next: recovery frees them: amx recover",
                         w->name);
    return TOOL_OK;
}

/* --- Making one ----------------------------------------------------------------------------------------------- */

/* SIZE:COUNT, or arena:COUNT */
static bool class_of(const char *text, struct amx_pool_class *out)
{
    char size[32];
    const char *colon = strchr(text, ':');
    uint64_t bytes, count;

    if (!colon || (size_t)(colon - text) >= sizeof size)
        return false;
    memcpy(size, text, (size_t)(colon - text));
    size[colon - text] = '\0';
    if (strcmp(size, "arena") == 0)
        bytes = AMX_POOL_ARENA;
    else if (!tool_size(size, &bytes) || bytes >= AMX_POOL_ARENA)
        return false;
    if (bytes == 0 || !tool_number(colon + 1, 1, AMX_POOL_SLOTS, &count))
        return false;
    *out = (struct amx_pool_class){(uint32_t)bytes, (uint32_t)count};
    return true;
}

static int create(const struct want *w, int argc, char **argv)
{
    char why[256] = "";
    struct amx_options opts = AMX_OPTIONS_INIT;
    struct amx_pool_config k = {.flags = w->flags};
    struct amx_pool_offsets l;
    struct amx_pool p;
    amx_ref block;
    amx_t *h;
    int err;

    if (argc < 1 || argc > AMX_POOL_CLASSES)
        return tool_usage("pool", "1 to %d classes, there are %d", AMX_POOL_CLASSES, argc);
    for (int i = 0; i < argc; i++)
        if (!class_of(argv[i], &k.cls[k.n++]))
            return tool_usage("pool", "'%s' is not a class, as SIZE:COUNT", argv[i]);
    if (amx_pool_layout(&k, &l))
        return tool_usage("pool", "classes are given in ascending order, sizes in multiples of %d",
                          w->flags & AMX_POOL_LINES ? 64 : 16);
    opts.dir = w->dir;
    opts.peer_name = "amx pool";
    opts.why = why;
    opts.why_len = sizeof why;
    err = amx_attach(w->name, &opts, &h);
    if (err)
        return tool_fail_amx("pool", w->name, err, why);
    err = amx_pool_create(h, &k, &block, &p);
    if (!err)
        err = amx_pool_set_quota(&p, w->quota);
    if (!err && w->root >= 0)
        err = amx_root_set(h, (unsigned)w->root, block);
    if (!err)
        printf("%" PRIu64 "\n", block);
    (void)amx_close(h);
    return err ? tool_fail_amx("pool", w->name, err, NULL) : TOOL_OK;
}

/* --- Its quota ------------------------------------------------------------------------------------------------ */

static int set_quota(const struct want *w)
{
    char why[256] = "";
    struct amx_options opts = AMX_OPTIONS_INIT;
    struct places all = {.n = 0};
    struct amx_pool p;
    bool found = false;
    amx_t *h;
    int err;

    opts.dir = w->dir;
    opts.peer_name = "amx pool";
    opts.why = why;
    opts.why_len = sizeof why;
    err = amx_attach(w->name, &opts, &h);
    if (err)
        return tool_fail_amx("pool", w->name, err, why);
    err = amx_pools(h, note_place, &all);
    for (unsigned i = 0; !err && i < all.n; i++)
        if (all.at[i].block == w->pool) {
            found = true;
            err = amx_pool_attach_block(h, w->pool, all.at[i].base, NULL, &p);
            if (!err)
                err = amx_pool_set_quota(&p, w->quota);
        }
    (void)amx_close(h);
    if (err)
        return tool_fail_amx("pool", w->name, err, NULL);
    if (!found)
        return tool_fail(TOOL_NOENT, "pool", "%s: there is no pool %" PRIu64 "\n  next: 'amx pool ls %s' lists them",
                         w->name, w->pool, w->name);
    return TOOL_OK;
}

static int run(int argc, char **argv)
{
    struct want w = {.root = -1};
    uint64_t n;
    int letter, at;

    while ((letter = getopt_long(argc, argv, "d:", options, &at)) != -1)
        switch (letter) {
        case 'L':
            w.flags |= AMX_POOL_LINES;
            break;
        case 'r':
            if (!tool_number(optarg, 0, AMX_ROOTS - 1, &n))
                return tool_usage("pool", "'%s' is not a root, 0 to %d", optarg, AMX_ROOTS - 1);
            w.root = (int)n;
            break;
        case 'q':
            if (!tool_number(optarg, 0, UINT32_MAX, &n))
                return tool_usage("pool", "'%s' is not a number of slots", optarg);
            w.quota = (uint32_t)n;
            break;
        case 'j':
            w.json = true;
            break;
        case 'N':
            w.notes = true;
            break;
        case 'd':
            w.dir = optarg;
            break;
        default:
            return tool_usage("pool", NULL);
        }
    argc -= optind;
    argv += optind;
    if (argc < 2)
        return tool_usage("pool", "an action and the NAME of a segment are missing");
    w.name = argv[1];
    if (strcmp(argv[0], "create") == 0)
        return create(&w, argc - 2, argv + 2);
    if (strcmp(argv[0], "quota") == 0) {
        if (argc != 4 || !tool_number(argv[2], 1, UINT64_MAX, &w.pool) || !tool_number(argv[3], 0, UINT32_MAX, &n))
            return tool_usage("pool", "a quota is set by: quota NAME POOL SLOTS");
        w.quota = (uint32_t)n;
        return set_quota(&w);
    }
    for (unsigned i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(argv[0], actions[i].name) != 0)
            continue;
        if (argc > 3)
            return tool_usage("pool", "one POOL at most, there are %d", argc - 2);
        if (argc == 3 && (!tool_number(argv[2], 1, UINT64_MAX, &w.pool)))
            return tool_usage("pool", "'%s' is not a pool: a number, as 'amx pool ls' tells it", argv[2]);
        return look(&actions[i], &w);
    }
    return tool_usage("pool", "there is no action '%s'", argv[0]);
}

const struct verb verb_pool = {
    "pool", "create|ls|info|stat|check|quota NAME [POOL | SIZE:COUNT...] [options]", "slot pools of a segment",
    "  create NAME SIZE:COUNT...  makes a pool of these classes in a new block; prints its number. A last class\n"
    "                             arena:COUNT: so many larger ones at a time come from the segment's memory\n"
    "  quota NAME POOL SLOTS      the most slots that one owner may have from now on; 0: any number\n"
    "  ls NAME                    the pools of the segment\n"
    "  info NAME [POOL]           their classes and where they lie; offsets count from the pool's base\n"
    "  stat NAME [POOL]           how full they are, and how often a class was empty\n"
    "  check NAME [POOL]          every word of them; exit 4 if one is not legal or a dead process's\n\n"
    "      --lines     create: no two slots share a cache line; sizes are multiples of 64\n"
    "      --quota N   create: the most slots that one owner may have\n"
    "      --root N    create: root 0 to 15 that is to name the pool's block\n"
    "      --notes     check: also what is no fault, as a hint that is missing\n"
    "  -d, --dir DIR   directory instead of $AMX_DIR or /dev/shm\n"
    "      --json      as JSON, schema amx.pool/1\n\n"
    "Example: amx pool create orders 64:1000 1K:100 --root 3\n",
    run};
