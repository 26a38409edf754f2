/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "out.h"
#include "tool.h"

static const struct option options[] = {{"no-headings", no_argument, NULL, 'n'},
                                        {"json", no_argument, NULL, 'j'},
                                        {"dir", required_argument, NULL, 'd'},
                                        {0}};

static const struct out_col columns[] = {{"SEGMENT", false}, {"PID", true},    {"NAME", false}, {"STATE", false},
                                         {"HANDLES", true},  {"BLOCKS", true}, {"BYTES", true}, {"KEPT", true}};

/* What a process holds: blocks that it owns, also those in its caches. */
struct held {
    uint64_t blocks, bytes, kept; /* kept: of these, in states that outlive it */
};

struct listing {
    const char *dir;
    bool json, headings, named;
    struct out_table table; /* begun with its first row */
    uint64_t rows;
    struct out_json j;
    const char *segment;             /* the one that is listed */
    struct held held[AMX_PEERS_MAX]; /* there, by entry */
    bool partial;                    /* some sector did not hold still: there may be more */
    int code;                        /* the first one that is not good */
};

static int add(const struct amx_block *b, void *ctx)
{
    struct held *held = ctx;

    if (b->peer >= AMX_PEERS_MAX)
        return 0;
    held[b->peer].blocks++;
    held[b->peer].bytes += b->bytes;
    held[b->peer].kept += b->state >= AMX_STATE_KEPT;
    return 0;
}

static const char *state_of(const struct amx_peer *p)
{
    return !p->alive ? "dead" : p->stopped ? "stopped" : "alive";
}

static int show(const struct amx_peer *p, void *ctx)
{
    struct listing *l = ctx;
    const struct held none = {0}, *held = p->index < AMX_PEERS_MAX ? &l->held[p->index] : &none;

    if (l->json) {
        out_json_open(&l->j, NULL, '{');
        out_json_text(&l->j, "segment", l->segment);
        out_json_number(&l->j, "index", p->index);
        out_json_number(&l->j, "pid", p->pid);
        out_json_text(&l->j, "name", p->name);
        out_json_text(&l->j, "state", state_of(p));
        out_json_word(&l->j, "ticket", p->ticket);
        out_json_number(&l->j, "handles", p->handles);
        out_json_number(&l->j, "blocks", held->blocks);
        out_json_number(&l->j, "bytes", held->bytes);
        out_json_number(&l->j, "kept_blocks", held->kept);
        out_json_close(&l->j);
        return 0;
    }
    if (!l->rows++)
        out_table_begin(&l->table, columns, sizeof columns / sizeof *columns, l->headings);
    out_table_cell(&l->table, "%s", l->segment);
    out_table_cell(&l->table, "%u", p->pid);
    out_table_cell(&l->table, "%.16s", p->name);
    out_table_cell(&l->table, "%s", state_of(p));
    out_table_cell(&l->table, "%u", p->handles);
    out_table_cell(&l->table, "%" PRIu64, held->blocks);
    out_table_cell(&l->table, "%" PRIu64, held->bytes);
    out_table_cell(&l->table, "%" PRIu64, held->kept);
    return 0;
}

static void one(struct listing *l, const char *name)
{
    static const struct held none;
    char why[256] = "";
    struct amx_options opts = AMX_OPTIONS_INIT;
    amx_t *h;
    int err;

    opts.flags = AMX_F_READONLY;
    opts.dir = l->dir;
    opts.why = why;
    opts.why_len = sizeof why;
    err = amx_attach(name, &opts, &h);
    if (!err) {
        l->segment = name;
        for (unsigned i = 0; i < AMX_PEERS_MAX; i++)
            l->held[i] = none;
        err = amx_walk(h, add, l->held);
        l->partial |= err == AMX_E_PARTIAL;
        if (err == AMX_E_PARTIAL || err == AMX_E_CORRUPT) /* of the damage 'amx check' tells */
            err = AMX_OK;
        if (!err)
            err = amx_peers(h, show, l);
        amx_close(h);
    }
    if (!err || (!l->named && (err == AMX_E_NOENT || err == AMX_E_LAYOUT || err == AMX_E_NAME)))
        return;
    err = tool_fail_amx("ps", name, err, why);
    if (!l->code)
        l->code = err;
}

static int list(struct listing *l, char **names, size_t count)
{
    if (l->json) {
        out_json_begin(&l->j, "amx.ps/1");
        out_json_open(&l->j, "processes", '[');
    }
    for (size_t i = 0; i < count; i++)
        one(l, names[i]);
    if (l->json) {
        out_json_close(&l->j);
        out_json_bool(&l->j, "partial", l->partial);
        out_json_end(&l->j);
    } else {
        if (l->rows)
            out_table_end(&l->table);
        if (l->partial)
            tool_fail(0, "ps", "sectors in use were left out: BLOCKS, BYTES and KEPT may be more");
    }
    return l->code;
}

static int run(int argc, char **argv)
{
    struct listing l = {.headings = true};
    char **names;
    size_t count;
    int letter, code;

    while ((letter = getopt_long(argc, argv, "d:", options, NULL)) != -1) {
        if (letter == '?')
            return tool_usage("ps", NULL);
        l.json |= letter == 'j';
        l.headings &= letter != 'n';
        if (letter == 'd')
            l.dir = optarg;
    }
    l.named = optind < argc;
    if (l.named)
        return list(&l, argv + optind, (size_t)(argc - optind));
    l.dir = tool_dir(l.dir);
    code = tool_names("ps", l.dir, &names, &count);
    if (code)
        return code;
    code = list(&l, names, count);
    tool_names_free(names, count);
    return code;
}

const struct verb verb_ps = {
    "ps", "[NAME...] [options]", "the processes that are attached, and what they hold",
    "      --no-headings  rows only\n"
    "      --json         as JSON, schema amx.ps/1\n"
    "  -d, --dir DIR      directory instead of $AMX_DIR or /dev/shm\n\n"
    "Without NAMEs: of all segments of the directory. STATE is alive, stopped or dead; what a dead process\n"
    "holds awaits recovery. BLOCKS and BYTES are those that it owns or caches; KEPT of these outlive it.\n",
    run};
