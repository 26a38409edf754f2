/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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
    if (s->free_bytes)
        printf("fragmentation: %u %% of the free bytes are outside the largest free run\n",
               100 - out_percent(s->largest_free + 16, s->free_bytes));
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

/* --- By class, sector, handle or peer ------------------------------------------------------------------------- */

static const struct dimension {
    const char *name;
    enum amx_by by;
} dimensions[] = {{"class", AMX_BY_CLASS}, {"sector", AMX_BY_SECTOR}, {"handle", AMX_BY_HANDLE}, {"peer", AMX_BY_PEER}};
enum { DIMENSIONS = sizeof dimensions / sizeof *dimensions };

static const struct out_col group_columns[] = {{"", false},      {"LIVE", true},    {"BYTES", true},  {"FREE", true},
                                               {"BYTES", true},  {"LARGEST", true}, {"CACHED", true}, {"BYTES", true},
                                               {"QUEUED", true}, {"BYTES", true}};
static const struct out_col owner_columns[] = {
    {"", false},    {"LIVE", true},    {"BYTES", true},   {"CACHED", true},  {"BYTES", true},   {"PEAK", true},
    {"HITS", true}, {"REFILLS", true}, {"FLUSHES", true}, {"SKIPPED", true}, {"DRAINED", true}, {"LARGE", true}};

struct view {
    const struct dimension *by; /* NULL: the whole */
    bool json;
    struct out_table table;
    struct out_json j;
};

static bool counts(const struct view *v)
{
    return v->by->by == AMX_BY_HANDLE || v->by->by == AMX_BY_PEER;
}

static void label(const struct view *v, const struct amx_group *g, char *buf, size_t len)
{
    if (v->by->by == AMX_BY_CLASS)
        snprintf(buf, len, "%" PRIu64 "-%" PRIu64, g->min_bytes, g->max_bytes);
    else if (v->by->by == AMX_BY_SECTOR)
        snprintf(buf, len, "%u%s", g->index, g->bad ? " damaged" : g->held ? " in use" : "");
    else if (g->index == (v->by->by == AMX_BY_HANDLE ? 0 : UINT32_MAX))
        snprintf(buf, len, "nobody's");
    else
        snprintf(buf, len, "%u", g->index);
}

static int show_group(const struct amx_group *g, void *ctx)
{
    struct view *v = ctx;
    const uint64_t all[] = {g->live_blocks,   g->live_bytes,   g->free_blocks,  g->free_bytes, g->largest_free,
                            g->cached_blocks, g->cached_bytes, g->acked_blocks, g->acked_bytes};
    const uint64_t owner[] = {g->live_blocks, g->live_bytes, g->cached_blocks, g->cached_bytes, g->peak_bytes, g->hits,
                              g->refills,     g->flushes,    g->skips,         g->drains,       g->large};
    bool by_owner = counts(v);
    char text[64];

    label(v, g, text, sizeof text);
    out_table_cell(&v->table, "%s", text);
    for (size_t i = 0; i < (by_owner ? sizeof owner : sizeof all) / sizeof *all; i++)
        out_table_cell(&v->table, "%" PRIu64, by_owner ? owner[i] : all[i]);
    return 0;
}

static int group_json(const struct amx_group *g, void *ctx)
{
    struct view *v = ctx;
    const struct {
        const char *key;
        uint64_t value;
    } number[] = {{"live_blocks", g->live_blocks},
                  {"live_bytes", g->live_bytes},
                  {"free_blocks", g->free_blocks},
                  {"free_bytes", g->free_bytes},
                  {"largest_free", g->largest_free},
                  {"cached_blocks", g->cached_blocks},
                  {"cached_bytes", g->cached_bytes},
                  {"acked_blocks", g->acked_blocks},
                  {"acked_bytes", g->acked_bytes},
                  {"min_bytes", g->min_bytes},
                  {"max_bytes", g->max_bytes},
                  {"hits", g->hits},
                  {"refills", g->refills},
                  {"flushes", g->flushes},
                  {"skips", g->skips},
                  {"pushes", g->pushes},
                  {"drains", g->drains},
                  {"large", g->large},
                  {"rebuilds", g->rebuilds},
                  {"taken_bytes", g->taken_bytes},
                  {"returned_bytes", g->returned_bytes},
                  {"peak_bytes", g->peak_bytes}};
    bool nobody = g->index == (v->by->by == AMX_BY_HANDLE ? 0 : UINT32_MAX) && counts(v);

    out_json_open(&v->j, NULL, '{');
    if (!nobody)
        out_json_number(&v->j, "index", g->index);
    else
        out_json_text(&v->j, "index", NULL);
    if (v->by->by == AMX_BY_HANDLE)
        out_json_word(&v->j, "id", g->id);
    if (v->by->by == AMX_BY_SECTOR) {
        out_json_bool(&v->j, "held", g->held);
        out_json_bool(&v->j, "bad", g->bad);
    }
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        bool of_class = i == 9 || i == 10, of_owner = i > 10;

        if ((!of_class || v->by->by == AMX_BY_CLASS) && (!of_owner || counts(v)))
            out_json_number(&v->j, number[i].key, number[i].value);
    }
    out_json_close(&v->j);
    return 0;
}

static int groups(const amx_t *h, const char *name, struct view *v)
{
    int err;

    if (v->json) {
        out_json_begin(&v->j, "amx.stat-by/1");
        out_json_text(&v->j, "name", name);
        out_json_text(&v->j, "by", v->by->name);
        out_json_open(&v->j, "groups", '[');
        err = amx_stat_by(h, v->by->by, group_json, v);
        out_json_close(&v->j);
        out_json_bool(&v->j, "partial", err == AMX_E_PARTIAL);
        out_json_end(&v->j);
    } else {
        struct out_col col[sizeof owner_columns / sizeof *owner_columns];
        size_t n = sizeof group_columns / sizeof *group_columns;

        memcpy(col, group_columns, sizeof group_columns);
        if (counts(v)) {
            memcpy(col, owner_columns, sizeof owner_columns);
            n = sizeof owner_columns / sizeof *owner_columns;
        }
        col[0].title = v->by->by == AMX_BY_CLASS    ? "CLASS"
                       : v->by->by == AMX_BY_SECTOR ? "SECTOR"
                       : v->by->by == AMX_BY_HANDLE ? "HANDLE"
                                                    : "PEER";
        out_table_begin(&v->table, col, n, true);
        err = amx_stat_by(h, v->by->by, show_group, v);
        out_table_end(&v->table);
    }
    if (err == AMX_E_PARTIAL) {
        if (!v->json)
            tool_fail(0, "stat", "%s: sectors in use were left out", name);
        return TOOL_OK;
    }
    return err ? tool_fail_amx("stat", name, err, NULL) : TOOL_OK;
}

/* --- The whole -------------------------------------------------------------------------------------------------- */

static int whole(const amx_t *h, const char *name, bool json, uint64_t *most)
{
    struct amx_stats stat = {.struct_size = sizeof stat};
    int err = amx_stat(h, &stat);

    if (err)
        return tool_fail_amx("stat", name, err, NULL);
    if (stat.live_bytes > *most)
        *most = stat.live_bytes;
    if (json)
        show_json(name, &stat);
    else
        show(&stat);
    if (stat.lost_bytes || stat.sectors_bad)
        return tool_fail_amx("stat", name, AMX_E_CORRUPT, "part of the segment is damaged");
    return TOOL_OK;
}

/* Again every `seconds`, `times` times or until interrupted. */
static int watch(const amx_t *h, const char *name, struct view *v, uint64_t seconds, uint64_t times)
{
    uint64_t most = 0;
    int code = TOOL_OK;

    for (uint64_t n = 0; n < times && code == TOOL_OK; n++) {
        struct timespec pause = {.tv_sec = (time_t)seconds};
        char human[OUT_HUMAN];

        while (n && nanosleep(&pause, &pause) && errno == EINTR)
            ;
        if (n && !v->json)
            putchar('\n');
        code = v->by ? groups(h, name, v) : whole(h, name, v->json, &most);
        if (!v->by && !v->json && seconds)
            printf("most live bytes seen: %s (%" PRIu64 ")\n", out_human(human, most), most);
        fflush(stdout);
    }
    return code;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"by", required_argument, NULL, 'b'},    {"watch", required_argument, NULL, 'w'},
        {"count", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'},
        {"dir", required_argument, NULL, 'd'},   {0}};
    struct view v = {.by = NULL};
    uint64_t seconds = 0, times = 0;
    const char *dir = NULL;
    int letter, code;
    amx_t *h;

    while ((letter = getopt_long(argc, argv, "w:d:", options, NULL)) != -1) {
        bool good = letter != '?';

        if (!good)
            return tool_usage("stat", NULL);
        if (letter == 'b') {
            for (unsigned i = 0; i < DIMENSIONS; i++)
                if (strcmp(dimensions[i].name, optarg) == 0)
                    v.by = &dimensions[i];
            good = v.by != NULL;
        } else if (letter == 'w') {
            good = tool_number(optarg, 1, 86400, &seconds);
        } else if (letter == 'c') {
            good = tool_number(optarg, 1, UINT64_MAX, &times);
        } else if (letter == 'd') {
            dir = optarg;
        }
        v.json |= letter == 'j';
        if (!good)
            return tool_usage("stat", "'%s' is not a valid value for this option", optarg);
    }
    if (argc - optind != 1)
        return tool_usage("stat", "one NAME is needed, there are %d", argc - optind);
    if (times && !seconds)
        return tool_usage("stat", "--count goes with --watch");
    code = tool_look("stat", argv[optind], dir, &h);
    if (code)
        return code;
    code = watch(h, argv[optind], &v, seconds, times ? times : seconds ? UINT64_MAX : 1);
    amx_close(h);
    return code;
}

const struct verb verb_stat = {
    "stat", "NAME [options]", "how full a segment is, and what its handles did",
    "      --by WHAT        apart for each class (of size), sector, handle or peer\n"
    "  -w, --watch SECONDS  again and again, until interrupted\n"
    "      --count N        with --watch: so many times\n"
    "  -d, --dir DIR        directory instead of $AMX_DIR or /dev/shm\n"
    "      --json           as JSON, schema amx.stat/1 or amx.stat-by/1\n\n"
    "Bytes count blocks with their headers. While others allocate, the numbers are a sample.\n"
    "By handle and peer: PEAK is the most that it had from the matrix at a time; HITS are allocations that its\n"
    "cache served, as far as told (when the cache is filled or emptied); REFILLS those that went to a sector;\n"
    "SKIPPED are sectors in which somebody else was; DRAINED are blocks collected from queues.\n"
    "By class and sector LARGEST is the largest free block: against the free bytes, the fragmentation.\n"
    "Exit 4 if part of the segment is damaged.\n",
    run};
