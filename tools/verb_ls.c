/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "out.h"
#include "tool.h"

static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                        {"no-headings", no_argument, NULL, 'n'},
                                        {"dir", required_argument, NULL, 'd'},
                                        {0}};

static const struct out_col columns[] = {{"NAME", false},        {"SIZE", true},   {"USED", true}, {"PEERS", true},
                                         {"LARGEST FREE", true}, {"LAYOUT", true}, {"UID", true},  {"NOTE", false}};

/* One segment as ls tells it. */
struct row {
    const char *name;
    uint64_t size;
    uid_t uid;
    int err; /* of attaching: without it the rest is known */
    struct amx_segment_info info;
    struct amx_stats stat;
};

struct listing {
    bool json, headings;
    struct out_table table; /* begun with its first row */
    struct out_json j;
    unsigned shown;
    unsigned others; /* files amx.* that are no segments of this layout */
};

/* Looks at one file. False if it is no segment, or gone. */
static bool look(const char *dir, const char *name, struct row *r)
{
    char path[4096];
    struct amx_options opts = AMX_OPTIONS_INIT;
    struct stat st;
    amx_t *h;

    if (snprintf(path, sizeof path, "%s/amx.%s", dir, name) >= (int)sizeof path || lstat(path, &st) ||
        !S_ISREG(st.st_mode))
        return false;
    memset(r, 0, sizeof *r);
    r->name = name;
    r->size = (uint64_t)st.st_size;
    r->uid = st.st_uid;
    opts.flags = AMX_F_READONLY;
    opts.dir = dir;
    r->err = amx_attach(r->name, &opts, &h);
    if (r->err)
        return r->err != AMX_E_NOENT;
    r->info.struct_size = sizeof r->info;
    r->stat.struct_size = sizeof r->stat;
    r->err = amx_info(h, &r->info);
    if (!r->err)
        r->err = amx_stat(h, &r->stat);
    amx_close(h);
    return true;
}

static void show_json(struct out_json *j, const struct row *r)
{
    bool known = r->info.layout != 0;

    out_json_open(j, NULL, '{');
    out_json_text(j, "name", r->name);
    out_json_number(j, "size", r->size);
    out_json_number(j, "uid", r->uid);
    out_json_text(j, "error", r->err ? amx_strerror(r->err) : NULL);
    if (known) {
        out_json_number(j, "layout", r->info.layout);
        out_json_number(j, "peers", r->info.peers_used);
        out_json_number(j, "peers_max", r->info.peers);
        out_json_number(j, "data_bytes", r->stat.data_bytes);
        out_json_number(j, "live_bytes", r->stat.live_bytes);
        out_json_number(j, "largest_free", r->stat.largest_free);
    }
    out_json_close(j);
}

static void show_row(struct out_table *t, const struct row *r)
{
    char size[OUT_HUMAN], largest[OUT_HUMAN];
    bool known = r->info.layout != 0;

    out_table_cell(t, "%s", r->name);
    out_table_cell(t, "%s", out_human(size, r->size));
    if (known) {
        out_table_cell(t, "%u %%", out_percent(r->stat.live_bytes, r->stat.data_bytes));
        out_table_cell(t, "%u/%u", r->info.peers_used, r->info.peers);
        out_table_cell(t, "%s", out_human(largest, r->stat.largest_free));
        out_table_cell(t, "%u", r->info.layout);
    } else {
        for (unsigned i = 0; i < 4; i++)
            out_table_cell(t, "-");
    }
    out_table_cell(t, "%u", (unsigned)r->uid);
    out_table_cell(t, "%s", r->err ? amx_strerror(r->err) : "");
}

static void list(const char *dir, const char *name, struct listing *l)
{
    struct row r;

    if (!look(dir, name, &r))
        return;
    if (r.err == AMX_E_LAYOUT || r.err == AMX_E_NAME) {
        l->others++;
        return;
    }
    if (l->json) {
        show_json(&l->j, &r);
    } else {
        if (l->shown == 0)
            out_table_begin(&l->table, columns, sizeof columns / sizeof *columns, l->headings);
        show_row(&l->table, &r);
    }
    l->shown++;
}

static int run(int argc, char **argv)
{
    struct listing l = {.headings = true};
    const char *dir = NULL;
    char **names;
    size_t count;
    int letter, code;

    while ((letter = getopt_long(argc, argv, "d:", options, NULL)) != -1) {
        if (letter == '?')
            return tool_usage("ls", NULL);
        l.json |= letter == 'j';
        l.headings &= letter != 'n';
        if (letter == 'd')
            dir = optarg;
    }
    if (optind < argc)
        return tool_usage("ls", "takes no argument, there is '%s'", argv[optind]);
    dir = tool_dir(dir);
    code = tool_names("ls", dir, &names, &count);
    if (code)
        return code;
    if (l.json) {
        out_json_begin(&l.j, "amx.ls/1");
        out_json_text(&l.j, "dir", dir);
        out_json_open(&l.j, "segments", '[');
    }
    for (size_t i = 0; i < count; i++)
        list(dir, names[i], &l);
    tool_names_free(names, count);
    if (l.json) {
        out_json_close(&l.j);
        out_json_end(&l.j);
    } else if (l.shown) {
        out_table_end(&l.table);
    } else {
        tool_fail(0, "ls", "no segments in %s\n  next: 'amx create NAME' makes one", dir);
    }
    if (l.others)
        tool_fail(0, "ls", "%u more file(s) amx.* are no segments, or of another layout; 'amx info PATH' says why",
                  l.others);
    return TOOL_OK;
}

const struct verb verb_ls = {
    "ls", "[options]", "list the segments of a directory",
    "  -d, --dir DIR      directory instead of $AMX_DIR or /dev/shm\n"
    "      --json         as JSON, schema amx.ls/1\n"
    "      --no-headings  rows only\n\n"
    "USED is the share of the data area in live blocks. LARGEST FREE is the largest request that\n"
    "would fit now. Segments that may not be read are listed with '-'.\n",
    run};
