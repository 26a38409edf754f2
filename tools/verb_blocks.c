/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "out.h"
#include "tool.h"

static const struct option options[] = {{"state", required_argument, NULL, 's'},
                                        {"owner", required_argument, NULL, 'o'},
                                        {"min-size", required_argument, NULL, 'm'},
                                        {"limit", required_argument, NULL, 'l'},
                                        {"sort", required_argument, NULL, 'k'},
                                        {"no-headings", no_argument, NULL, 'n'},
                                        {"json", no_argument, NULL, 'j'},
                                        {"dir", required_argument, NULL, 'd'},
                                        {0}};

static const struct out_col columns[] = {{"OFFSET", true}, {"BYTES", true},      {"STATE", false},
                                         {"OWNER", true},  {"GENERATION", true}, {"REFERENCE", true},
                                         {"SECTOR", true}, {"SECTORS", true}};

/* States with a name, and ranges of them. */
static const struct {
    const char *name;
    uint32_t low, high;
} states[] = {{"free", AMX_STATE_FREE, AMX_STATE_FREE},
              {"allocated", AMX_STATE_ALLOCATED, AMX_STATE_ALLOCATED},
              {"acked", AMX_STATE_ACKED, AMX_STATE_ACKED},
              {"coalescing", AMX_STATE_COALESCING, AMX_STATE_COALESCING},
              {"cached", AMX_STATE_CACHED, AMX_STATE_CACHED},
              {"stored", AMX_STATE_STORED, AMX_STATE_STORED},
              {"claimed", AMX_STATE_CLAIMED, AMX_STATE_CLAIMED},
              {"writing", AMX_STATE_WRITING, AMX_STATE_WRITING},
              {"poisoned", AMX_STATE_POISONED, AMX_STATE_POISONED},
              {"user", AMX_STATE_USER_MIN, AMX_STATE_MAX},
              {"kept", AMX_STATE_KEPT, AMX_STATE_MAX}};
enum {
    STATES = sizeof states / sizeof *states,
    SINGLE_STATES = 9, /* the first ones, which name one state each */
    LIMITED = 1        /* what ends the walk */
};

static int by_offset(const struct amx_block *x, const struct amx_block *y)
{
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int by_size(const void *a, const void *b)
{
    const struct amx_block *x = a, *y = b;

    return x->bytes != y->bytes ? x->bytes < y->bytes ? 1 : -1 : by_offset(x, y); /* the largest first */
}

static int by_state(const void *a, const void *b)
{
    const struct amx_block *x = a, *y = b;

    return x->state != y->state ? x->state < y->state ? -1 : 1 : by_offset(x, y);
}

static int by_owner(const void *a, const void *b)
{
    const struct amx_block *x = a, *y = b;

    return x->owner != y->owner ? x->owner < y->owner ? -1 : 1 : by_offset(x, y);
}

typedef int compare_fn(const void *a, const void *b);

static const struct order {
    const char *name;
    compare_fn *compare; /* NULL: as the walk tells them */
} orders[] = {{"offset", NULL}, {"size", by_size}, {"state", by_state}, {"owner", by_owner}};
enum { ORDERS = sizeof orders / sizeof *orders };

struct view {
    const struct order *order;
    struct amx_block *kept; /* to be sorted */
    size_t n, room;
    uint32_t low, high; /* states that are wanted */
    uint64_t owner;     /* UINT64_MAX: any */
    uint64_t min_size;
    uint64_t limit;
    bool json;
    uint64_t shown, bytes;
    struct out_table table;
    struct out_json j;
};

static bool take_state(struct view *v, const char *text)
{
    uint64_t n;

    for (unsigned i = 0; i < STATES; i++)
        if (strcmp(states[i].name, text) == 0) {
            v->low = states[i].low;
            v->high = states[i].high;
            return true;
        }
    if (!tool_number(text, 0, AMX_STATE_MAX, &n))
        return false;
    v->low = v->high = (uint32_t)n;
    return true;
}

static const char *state_name(uint32_t state)
{
    for (unsigned i = 0; i < SINGLE_STATES; i++)
        if (states[i].low == state)
            return states[i].name;
    return NULL;
}

static void show_row(struct out_table *t, const struct amx_block *b)
{
    const char *state = state_name(b->state);

    out_table_cell(t, "0x%" PRIx64, b->offset);
    out_table_cell(t, "%" PRIu64, b->bytes);
    if (state)
        out_table_cell(t, "%s", state);
    else
        out_table_cell(t, "%u%s", b->state, b->state >= AMX_STATE_KEPT ? " kept" : "");
    if (b->owner)
        out_table_cell(t, "%u", b->owner);
    else
        out_table_cell(t, "-");
    out_table_cell(t, "%" PRIu64, b->generation);
    if (b->ref)
        out_table_cell(t, "0x%016" PRIx64, b->ref);
    else
        out_table_cell(t, "-");
    out_table_cell(t, "%u", b->sector);
    out_table_cell(t, "%u", b->sectors);
}

static void show_json(struct out_json *j, const struct amx_block *b)
{
    out_json_open(j, NULL, '{');
    out_json_word(j, "offset", b->offset);
    out_json_number(j, "bytes", b->bytes);
    out_json_number(j, "state", b->state);
    out_json_number(j, "owner", b->owner);
    out_json_word(j, "owner_id", b->owner_id);
    out_json_word(j, "generation", b->generation);
    out_json_word(j, "ref", b->ref);
    out_json_number(j, "sector", b->sector);
    out_json_number(j, "sectors", b->sectors);
    out_json_close(j);
}

static bool take_order(struct view *v, const char *text)
{
    for (unsigned i = 0; i < ORDERS; i++)
        if (strcmp(orders[i].name, text) == 0) {
            v->order = &orders[i];
            return true;
        }
    return false;
}

static int show(struct view *v, const struct amx_block *b)
{
    if (v->shown == v->limit)
        return LIMITED;
    v->shown++;
    v->bytes += b->bytes;
    if (v->json)
        show_json(&v->j, b);
    else
        show_row(&v->table, b);
    return 0;
}

static int visit(const struct amx_block *b, void *ctx)
{
    struct view *v = ctx;

    if (b->state < v->low || b->state > v->high || b->bytes < v->min_size ||
        (v->owner != UINT64_MAX && b->owner != v->owner))
        return 0;
    if (!v->order->compare)
        return show(v, b);
    if (v->n == v->room) {
        v->room = v->room ? v->room * 2 : 1024;
        v->kept = tool_realloc(v->kept, v->room, sizeof *v->kept);
    }
    v->kept[v->n++] = *b;
    return 0;
}

/* Those that were kept, in order; of equal ones the first in the segment comes first. */
static int show_sorted(struct view *v)
{
    int err = 0;

    qsort(v->kept, v->n, sizeof *v->kept, v->order->compare);
    for (size_t i = 0; i < v->n && !err; i++)
        err = show(v, &v->kept[i]);
    free(v->kept);
    return err;
}

static int walk(const amx_t *h, const char *name, bool headings, struct view *v)
{
    int err;

    if (v->json) {
        out_json_begin(&v->j, "amx.blocks/1");
        out_json_text(&v->j, "name", name);
        out_json_open(&v->j, "blocks", '[');
    } else {
        out_table_begin(&v->table, columns, sizeof columns / sizeof *columns, headings);
    }
    err = amx_walk(h, visit, v);
    if (v->n && show_sorted(v) == LIMITED)
        err = LIMITED;
    if (v->json) {
        out_json_close(&v->j);
        out_json_number(&v->j, "count", v->shown);
        out_json_number(&v->j, "bytes", v->bytes);
        out_json_bool(&v->j, "limited", err == LIMITED);
        out_json_bool(&v->j, "partial", err == AMX_E_PARTIAL);
        out_json_end(&v->j);
    } else {
        out_table_end(&v->table);
    }
    return err;
}

/* Takes one option; false if its argument is not what it should be. */
static bool take(struct view *v, bool *headings, const char **dir, int letter, const char *arg)
{
    switch (letter) {
    case 's':
        return take_state(v, arg);
    case 'o':
        return tool_number(arg, 0, AMX_HANDLES_MAX, &v->owner);
    case 'm':
        return tool_size(arg, &v->min_size);
    case 'l':
        return tool_number(arg, 1, UINT64_MAX, &v->limit);
    case 'k':
        return take_order(v, arg);
    case 'n':
        *headings = false;
        return true;
    case 'j':
        v->json = true;
        return true;
    default:
        *dir = arg;
        return true;
    }
}

static int run(int argc, char **argv)
{
    struct view v = {.high = AMX_STATE_MAX, .owner = UINT64_MAX, .limit = UINT64_MAX, .order = orders};
    const char *dir = NULL, *name;
    bool headings = true;
    int letter, code, err;
    amx_t *h;

    while ((letter = getopt_long(argc, argv, "d:", options, NULL)) != -1) {
        if (letter == '?')
            return tool_usage("blocks", NULL);
        if (!take(&v, &headings, &dir, letter, optarg))
            return tool_usage("blocks", "'%s' is not a valid value for this option", optarg);
    }
    if (argc - optind != 1)
        return tool_usage("blocks", "one NAME is needed, there are %d", argc - optind);
    name = argv[optind];
    code = tool_look("blocks", name, dir, &h);
    if (code)
        return code;
    err = walk(h, name, headings, &v);
    amx_close(h);
    if (err == LIMITED || err == AMX_E_PARTIAL) {
        if (!v.json)
            tool_fail(0, "blocks", "%s: %s", name,
                      err == LIMITED ? "there are more blocks than --limit" : "sectors in use were left out");
        return TOOL_OK;
    }
    return err ? tool_fail_amx("blocks", name, err, NULL) : TOOL_OK;
}

const struct verb verb_blocks = {
    "blocks", "NAME [options]", "list the blocks of a segment",
    "      --state S      only state S: 0 to 4095, free, allocated, acked, coalescing, cached,\n"
    "                     user (49 and above) or kept (2048 and above); of messages, which no block\n"
    "                     has (amx store messages): stored, claimed, writing, poisoned\n"
    "      --owner N      only blocks of handle N; 0: nobody's\n"
    "      --min-size N   only blocks of at least N bytes (with header)\n"
    "      --sort KEY     by offset (the default), size (the largest first), state or owner\n"
    "      --limit N      stop after N blocks\n"
    "      --no-headings  rows only\n"
    "      --json         as JSON, schema amx.blocks/1\n"
    "  -d, --dir DIR      directory instead of $AMX_DIR or /dev/shm\n\n"
    "OFFSET is that of the block's header; the payload follows 16 bytes later. Offsets and references are\n"
    "hexadecimal here, decimal strings in JSON.\n",
    run};
