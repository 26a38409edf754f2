/* SPDX-License-Identifier: Apache-2.0 */
/* amx pool: slot pools of a segment. One verb with actions; all but create attach read-only. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "objects.h"
#include "tool.h"

static const struct option options[] = {{"lines", no_argument, NULL, 'L'},     {"root", required_argument, NULL, 'r'},
                                        {"json", no_argument, NULL, 'j'},      {"notes", no_argument, NULL, 'N'},
                                        {"dir", required_argument, NULL, 'd'}, {0}};

static const struct out_col ls_columns[] = {{"POOL", false},   {"BLOCK", true}, {"CLASSES", true},
                                            {"EXTENTS", true}, {"SLOTS", true}, {"USED", true}};
static const struct out_col info_columns[] = {{"POOL", false}, {"CLASS", true}, {"SLOT SIZE", true}, {"SLOTS", true},
                                              {"WORDS", true}, {"HINTS", true}, {"DATA", true}};
static const struct out_col stat_columns[] = {{"POOL", false},     {"CLASS", true}, {"SLOT SIZE", true},
                                              {"SLOTS", true},     {"USED", true},  {"HIGH", true},
                                              {"PUBLISHED", true}, {"KEPT", true},  {"EXHAUSTED", true}};

static struct amx_pool_stats stats_of(const struct amx_pool *p, uint32_t c)
{
    struct amx_pool_stats s = {.struct_size = sizeof s};

    (void)amx_pool_stat(p, c, &s); /* the class exists, and the view was just made */
    return s;
}

static void ls(struct object_report *r, const struct object *o)
{
    uint64_t extents = 0, slots = 0, used = 0;
    uint32_t n = amx_pool_class_count(&o->pool);

    for (uint32_t c = 0; c < n; c++) {
        struct amx_pool_stats s = stats_of(&o->pool, c);

        extents += s.extents;
        slots += s.count;
        used += s.used;
    }
    if (r->want->json) {
        out_json_word(&r->j, "base", o->base);
        out_json_number(&r->j, "classes", n);
        out_json_number(&r->j, "extents", extents);
        out_json_number(&r->j, "slots", slots);
        out_json_number(&r->j, "used", used);
        return;
    }
    out_table_cell(&r->table, "%" PRIu64, o->block);
    out_table_cell(&r->table, "0x%" PRIx64, (o->block >> 32) * 16);
    out_table_cell(&r->table, "%u", n);
    out_table_cell(&r->table, "%" PRIu64, extents);
    out_table_cell(&r->table, "%" PRIu64, slots);
    out_table_cell(&r->table, "%" PRIu64, used);
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
            out_json_number(&r->j, "slot_size", k.cls[c].slot_size);
            out_json_number(&r->j, "slots", k.cls[c].count);
            out_json_word(&r->j, "words", l.cls[c].words);
            out_json_word(&r->j, "hints", l.cls[c].hints);
            out_json_word(&r->j, "data", l.cls[c].data);
            out_json_close(&r->j);
            continue;
        }
        out_table_cell(&r->table, "%" PRIu64, o->block);
        out_table_cell(&r->table, "%u", c);
        out_table_cell(&r->table, "%u", k.cls[c].slot_size);
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
        } number[] = {{"slot_size", s.slot_size}, {"slots", s.count},         {"used", s.used},
                      {"high", s.high},           {"published", s.published}, {"kept", s.kept},
                      {"exhausted", s.exhausted}, {"extents", s.extents}};
        unsigned n = sizeof number / sizeof *number;

        if (r->want->json) {
            out_json_open(&r->j, NULL, '{');
            for (unsigned i = 0; i < n; i++)
                out_json_number(&r->j, number[i].key, number[i].value);
            out_json_close(&r->j);
            continue;
        }
        out_table_cell(&r->table, "%" PRIu64, o->block);
        out_table_cell(&r->table, "%u", c);
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

static int make(amx_t *h, const void *config, amx_ref *block)
{
    struct amx_pool p;

    return amx_pool_create(h, config, block, &p);
}

static int create(const struct object_want *w, uint32_t flags, int argc, char **argv)
{
    struct amx_pool_config k = {.flags = flags};
    struct amx_pool_offsets l;

    if (argc < 1 || argc > AMX_POOL_CLASSES)
        return tool_usage("pool", "1 to %d classes, there are %d", AMX_POOL_CLASSES, argc);
    for (int i = 0; i < argc; i++) {
        struct amx_pool_class *c = &k.cls[k.n++];

        if (!object_size_count(argv[i], 1, &c->slot_size, &c->count))
            return tool_usage("pool", "'%s' is not a class, as SIZE:COUNT", argv[i]);
    }
    if (amx_pool_layout(&k, &l))
        return tool_usage("pool", "classes are given in ascending order, sizes in multiples of %d",
                          flags & AMX_POOL_LINES ? 64 : 16);
    return object_create("pool", w, &k, make);
}

static int run(int argc, char **argv)
{
    struct object_want w = {.root = -1};
    uint32_t flags = 0;
    int letter;

    while ((letter = getopt_long(argc, argv, "d:", options, NULL)) != -1)
        switch (letter) {
        case 'L':
            flags |= AMX_POOL_LINES;
            break;
        case 'r':
            if (!object_root(optarg, &w))
                return tool_usage("pool", "'%s' is not a root, 0 to %d", optarg, AMX_ROOTS - 1);
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
    return strcmp(argv[0], "create") == 0 ? create(&w, flags, argc - 2, argv + 2) : object_look(&kind, &w, argc, argv);
}

const struct verb verb_pool = {
    "pool", "create|ls|info|stat|check NAME [POOL | SIZE:COUNT...] [options]", "slot pools of a segment",
    "  create NAME SIZE:COUNT...  makes a pool of these classes in a new block; prints its number\n"
    "  ls NAME                    the pools of the segment\n"
    "  info NAME [POOL]           their classes and where they lie; offsets count from the pool's base\n"
    "  stat NAME [POOL]           how full they are, and how often a class was empty\n"
    "  check NAME [POOL]          every word of them; exit 4 if one is not legal or a dead process's\n\n"
    "      --lines     create: no two slots share a cache line; sizes are multiples of 64\n"
    "      --root N    create: root 0 to 15 that is to name the pool's block\n"
    "      --notes     check: also what is no fault, as a hint that is missing\n"
    "  -d, --dir DIR   directory instead of $AMX_DIR or /dev/shm\n"
    "      --json      as JSON, schema amx.pool/1\n\n"
    "Example: amx pool create orders 64:1000 1K:100 --root 3\n",
    run};
