/* SPDX-License-Identifier: Apache-2.0 */
/* amx pool: slot pools of a segment. One verb with actions; all but create and quota attach read-only. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "objects.h"
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

static struct amx_pool_stats stats_of(const struct amx_pool *p, uint32_t c)
{
    struct amx_pool_stats s = {.struct_size = sizeof s};

    (void)amx_pool_stat(p, c, &s); /* the class exists, and the view was just made */
    return s;
}

/* Of the class whose slots are blocks as large as is asked for: a word in the place of a size. */
static void slot_size(struct object_report *r, uint32_t bytes)
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

static void ls(struct object_report *r, const struct object *o)
{
    uint64_t extents = 0, slots = 0, used = 0;
    uint32_t n = amx_pool_class_count(&o->pool), quota = 0;

    for (uint32_t c = 0; c < n; c++) {
        struct amx_pool_stats s = stats_of(&o->pool, c);

        extents += s.extents;
        slots += s.count;
        used += s.used;
    }
    (void)amx_pool_quota(&o->pool, &quota);
    if (r->want->json) {
        out_json_word(&r->j, "base", o->base);
        out_json_number(&r->j, "classes", n);
        out_json_number(&r->j, "extents", extents);
        out_json_number(&r->j, "slots", slots);
        out_json_number(&r->j, "used", used);
        out_json_number(&r->j, "quota", quota);
        return;
    }
    out_table_cell(&r->table, "%" PRIu64, o->block);
    out_table_cell(&r->table, "0x%" PRIx64, (o->block >> 32) * 16);
    out_table_cell(&r->table, "%u", n);
    out_table_cell(&r->table, "%" PRIu64, extents);
    out_table_cell(&r->table, "%" PRIu64, slots);
    out_table_cell(&r->table, "%" PRIu64, used);
    out_table_cell(&r->table, quota ? "%u" : "-", quota);
}

static void info(struct object_report *r, const struct object *o)
{
    struct amx_pool_config k;
    struct amx_pool_offsets l;
    void *region;
    size_t len;

    if (amx_usable(r->h, o->block, &len) || amx_ptr(r->h, o->block, &region) ||
        amx_pool_discover(region, len, o->base, &k) || amx_pool_layout(&k, &l))
        return; /* it went away this moment */
    if (r->want->json) {
        out_json_word(&r->j, "base", o->base);
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
        out_table_cell(&r->table, "%" PRIu64, o->block);
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

static void stat(struct object_report *r, const struct object *o)
{
    uint32_t classes = amx_pool_class_count(&o->pool);

    if (r->want->json)
        out_json_open(&r->j, "classes", '[');
    for (uint32_t c = 0; c < classes; c++) {
        struct amx_pool_stats s = stats_of(&o->pool, c);
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
        out_table_cell(&r->table, "%" PRIu64, o->block);
        out_table_cell(&r->table, "%u", c);
        slot_size(r, s.slot_size);
        for (unsigned i = 0; i + 1 < n; i++)
            out_table_cell(&r->table, "%" PRIu64, number[i].value);
    }
    if (r->want->json)
        out_json_close(&r->j);
}

static int note(const struct amx_pool_place *p, void *ctx)
{
    object_add(ctx, p->block, p->base);
    return 0;
}

static int list(const amx_t *h, struct object_places *all)
{
    return amx_pools(h, note, all);
}

static int attach(amx_t *h, struct object *o)
{
    return amx_pool_attach_block(h, o->block, o->base, NULL, &o->pool);
}

static int check(const struct object *o, amx_check_fn *fn, void *ctx, struct amx_pool_check_result *out)
{
    return amx_pool_check(&o->pool, fn, ctx, out);
}

static const struct object_action actions[] = {{"ls", ls, ls_columns, sizeof ls_columns / sizeof *ls_columns},
                                               {"info", info, info_columns, sizeof info_columns / sizeof *info_columns},
                                               {"stat", stat, stat_columns, sizeof stat_columns / sizeof *stat_columns},
                                               {0}};
static const struct object_kind kind = {
    "pool", "a process died with slots in its hands\n  next: recovery frees them: amx recover", list, attach, check,
    actions};

/* --- Making one, and its quota -------------------------------------------------------------------------------- */

struct pool_plan {
    struct amx_pool_config config;
    uint32_t quota;
};

static int make(amx_t *h, const void *config, amx_ref *block)
{
    const struct pool_plan *plan = config;
    struct amx_pool p;
    int err = amx_pool_create(h, &plan->config, block, &p);

    return err ? err : amx_pool_set_quota(&p, plan->quota);
}

/* SIZE:COUNT, or arena:COUNT */
static bool class_of(const char *text, struct amx_pool_class *c)
{
    static const char arena[] = "arena:";
    uint64_t n;

    if (strncmp(text, arena, sizeof arena - 1) != 0)
        return object_size_count(text, 1, &c->slot_size, &c->count) && c->slot_size < AMX_POOL_ARENA;
    if (!tool_number(text + sizeof arena - 1, 1, AMX_POOL_SLOTS, &n))
        return false;
    *c = (struct amx_pool_class){AMX_POOL_ARENA, (uint32_t)n};
    return true;
}

static int create(const struct object_want *w, struct pool_plan *plan, int argc, char **argv)
{
    struct amx_pool_config *k = &plan->config;
    struct amx_pool_offsets l;

    if (argc < 1 || argc > AMX_POOL_CLASSES)
        return tool_usage("pool", "1 to %d classes, there are %d", AMX_POOL_CLASSES, argc);
    for (int i = 0; i < argc; i++)
        if (!class_of(argv[i], &k->cls[k->n++]))
            return tool_usage("pool", "'%s' is not a class, as SIZE:COUNT", argv[i]);
    if (amx_pool_layout(k, &l))
        return tool_usage("pool", "classes are given in ascending order, sizes in multiples of %d",
                          k->flags & AMX_POOL_LINES ? 64 : 16);
    return object_create("pool", w, plan, make);
}

static bool slots(const char *text, uint32_t *out)
{
    uint64_t n;

    if (!tool_number(text, 0, UINT32_MAX, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

static int set_quota(struct object *o, const void *most)
{
    return amx_pool_set_quota(&o->pool, *(const uint32_t *)most);
}

static int quota(struct object_want *w, int argc, char **argv)
{
    uint32_t most;

    if (argc != 4 || !tool_number(argv[2], 1, UINT64_MAX, &w->only) || !slots(argv[3], &most))
        return tool_usage("pool", "a quota is set by: quota NAME POOL SLOTS");
    return object_change(&kind, w, &most, set_quota);
}

static int run(int argc, char **argv)
{
    struct object_want w = {.root = -1};
    struct pool_plan plan = {.quota = 0};
    int letter;

    while ((letter = getopt_long(argc, argv, "d:", options, NULL)) != -1)
        switch (letter) {
        case 'L':
            plan.config.flags |= AMX_POOL_LINES;
            break;
        case 'r':
            if (!object_root(optarg, &w))
                return tool_usage("pool", "'%s' is not a root, 0 to %d", optarg, AMX_ROOTS - 1);
            break;
        case 'q':
            if (!slots(optarg, &plan.quota))
                return tool_usage("pool", "'%s' is not a number of slots", optarg);
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
        return create(&w, &plan, argc - 2, argv + 2);
    return strcmp(argv[0], "quota") == 0 ? quota(&w, argc, argv) : object_look(&kind, &w, argc, argv);
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
