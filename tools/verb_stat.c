/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "out.h"
#include "tool.h"

static const struct out_col columns[] = {
    {"", false}, {"SIZE", true}, {"BYTES", true}, {"SHARE", true}, {"BLOCKS", true}};

static void row(struct out_table *t, const char *what, uint64_t bytes, uint64_t whole, const uint64_t *blocks)
{
    char human[OUT_HUMAN];

    out_table_cell(t, "%s", what);
    out_table_cell(t, "%s", out_human(human, bytes));
    out_table_cell(t, "%" PRIu64, bytes);
    out_table_cell(t, "%u %%", out_percent(bytes, whole));
    if (blocks)
        out_table_cell(t, "%" PRIu64, *blocks);
    else
        out_table_cell(t, "%s", "");
}

static void show(const struct amx_stats *s)
{
    char human[OUT_HUMAN];
    struct out_table t;

    out_table_begin(&t, columns, sizeof columns / sizeof *columns, true);
    row(&t, "data", s->data_bytes, s->data_bytes, NULL);
    row(&t, "live", s->live_bytes, s->data_bytes, &s->live_blocks);
    row(&t, "free", s->free_bytes, s->data_bytes, &s->free_blocks);
    row(&t, "cached", s->cached_bytes, s->data_bytes, &s->cached_blocks);
    row(&t, "queued", s->acked_bytes, s->data_bytes, &s->acked_blocks);
    if (s->lost_bytes)
        row(&t, "lost behind damage", s->lost_bytes, s->data_bytes, NULL);
    if (s->unseen_bytes)
        row(&t, "not seen, in use", s->unseen_bytes, s->data_bytes, NULL);
    out_table_end(&t);
    printf("\nlive blocks: %" PRIu64 " published, %" PRIu64 " kept, %" PRIu64 " larger than a sector\n",
           s->published_blocks, s->kept_blocks, s->large_blocks);
    printf("sectors: %u completely free, %u held, %u inside large blocks, %u damaged\n", s->sectors_whole,
           s->sectors_held, s->sectors_large, s->sectors_bad);
    printf("largest request that fits now: %s (%" PRIu64 " bytes)\n", out_human(human, s->largest_free),
           s->largest_free);
}

static void show_json(const char *name, const struct amx_stats *s)
{
    const struct {
        const char *key;
        uint64_t value;
    } number[] = {{"data_bytes", s->data_bytes},     {"free_bytes", s->free_bytes},
                  {"live_bytes", s->live_bytes},     {"cached_bytes", s->cached_bytes},
                  {"acked_bytes", s->acked_bytes},   {"lost_bytes", s->lost_bytes},
                  {"unseen_bytes", s->unseen_bytes}, {"free_blocks", s->free_blocks},
                  {"live_blocks", s->live_blocks},   {"cached_blocks", s->cached_blocks},
                  {"acked_blocks", s->acked_blocks}, {"published_blocks", s->published_blocks},
                  {"kept_blocks", s->kept_blocks},   {"large_blocks", s->large_blocks},
                  {"largest_free", s->largest_free}, {"sectors_whole", s->sectors_whole},
                  {"sectors_held", s->sectors_held}, {"sectors_large", s->sectors_large},
                  {"sectors_bad", s->sectors_bad}};
    struct out_json j;

    out_json_begin(&j, "amx.stat/1");
    out_json_text(&j, "name", name);
    for (unsigned i = 0; i < sizeof number / sizeof *number; i++)
        out_json_number(&j, number[i].key, number[i].value);
    out_json_end(&j);
}

static int look(const amx_t *h, const char *name, bool json)
{
    struct amx_stats stat = {.struct_size = sizeof stat};
    int err = amx_stat(h, &stat);

    if (err)
        return tool_fail_amx("stat", name, err, NULL);
    if (json)
        show_json(name, &stat);
    else
        show(&stat);
    if (stat.lost_bytes || stat.sectors_bad)
        return tool_fail_amx("stat", name, AMX_E_CORRUPT, "part of the segment is damaged");
    return TOOL_OK;
}

static int run(int argc, char **argv)
{
    return tool_look_at_one("stat", argc, argv, look);
}

const struct verb verb_stat = {
    "stat", "NAME [options]", "how full a segment is",
    "  -d, --dir DIR  directory instead of $AMX_DIR or /dev/shm\n"
    "      --json     as JSON, schema amx.stat/1\n\n"
    "Bytes count blocks with their headers. While others allocate, the numbers are a sample.\n"
    "Exit 4 if part of the segment is damaged.\n",
    run};
