/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "out.h"
#include "tool.h"

static const struct out_col fact_columns[] = {{"", false}, {"", false}};
static const struct out_col peer_columns[] = {
    {"PEER", true}, {"PID", true}, {"NAME", false}, {"HANDLES", true}, {"STATE", false}};

static const struct {
    uint32_t flag;
    const char *name;
} flag_names[] = {{AMX_F_REMOVE_LAST, "remove-last"}, {AMX_F_SPARSE, "sparse"}};
enum { FLAG_NAMES = sizeof flag_names / sizeof *flag_names };

static void wall_clock(uint64_t ns, char *buf, size_t len)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || !strftime(buf, len, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(buf, len, "?");
}

static void fact_size(struct out_table *t, const char *what, uint64_t bytes)
{
    char human[OUT_HUMAN];

    out_table_cell(t, "%s", what);
    out_table_cell(t, "%s (%" PRIu64 " bytes)", out_human(human, bytes), bytes);
}

static void facts(const amx_t *h, const struct amx_segment_info *i)
{
    char id[TOOL_UUID], boot[TOOL_UUID], when[32], human[OUT_HUMAN];
    struct out_table t;

    tool_uuid(i->id, id);
    tool_uuid(i->boot_id, boot);
    wall_clock(i->created_ns, when, sizeof when);
    out_table_begin(&t, fact_columns, 2, false);
    out_table_cell(&t, "name");
    out_table_cell(&t, "%s", amx_name(h));
    out_table_cell(&t, "id");
    out_table_cell(&t, "%s", id);
    out_table_cell(&t, "created");
    out_table_cell(&t, "%s, boot %s", when, boot);
    out_table_cell(&t, "layout");
    out_table_cell(&t, "%u", i->layout);
    fact_size(&t, "size", i->size);
    fact_size(&t, "may grow to", i->max_size);
    fact_size(&t, "data", i->data_bytes);
    out_table_cell(&t, "data begins at");
    out_table_cell(&t, "0x%" PRIx64, i->data_offset);
    fact_size(&t, "largest request", i->max_request);
    out_table_cell(&t, "sectors");
    out_table_cell(&t, "%u of %s, at most %u", i->sectors, out_human(human, i->sector_size), i->sectors_max);
    out_table_cell(&t, "peers");
    out_table_cell(&t, "%u of %u", i->peers_used, i->peers);
    out_table_cell(&t, "handles");
    out_table_cell(&t, "%u of %u, %u guards each", i->handles_used, i->handles, i->guards);
    for (unsigned k = 0; k < FLAG_NAMES; k++)
        if (i->flags & flag_names[k].flag) {
            out_table_cell(&t, "flag");
            out_table_cell(&t, "%s", flag_names[k].name);
        }
    for (unsigned k = 0; k < AMX_ROOTS; k++) {
        amx_ref ref;

        if (amx_root_get(h, k, &ref) || !ref)
            continue;
        out_table_cell(&t, "root %u", k);
        out_table_cell(&t, "0x%016" PRIx64, ref);
    }
    out_table_end(&t);
}

static int peer_row(const struct amx_peer *p, void *ctx)
{
    struct out_table *t = ctx;

    out_table_cell(t, "%u", p->index);
    out_table_cell(t, "%u", p->pid);
    out_table_cell(t, "%.16s", p->name);
    out_table_cell(t, "%u", p->handles);
    out_table_cell(t, "%s", p->alive ? "alive" : "dead, awaits recovery");
    return 0;
}

static int peer_json(const struct amx_peer *p, void *ctx)
{
    struct out_json *j = ctx;

    out_json_open(j, NULL, '{');
    out_json_number(j, "index", p->index);
    out_json_number(j, "pid", p->pid);
    out_json_text(j, "name", p->name);
    out_json_number(j, "handles", p->handles);
    out_json_bool(j, "alive", p->alive);
    out_json_word(j, "ticket", p->ticket);
    out_json_word(j, "pid_ns", p->pid_ns);
    out_json_word(j, "start_time", p->start_time);
    out_json_close(j);
    return 0;
}

static void json_facts(struct out_json *j, const amx_t *h, const struct amx_segment_info *i)
{
    char id[TOOL_UUID], boot[TOOL_UUID], when[32];

    tool_uuid(i->id, id);
    tool_uuid(i->boot_id, boot);
    wall_clock(i->created_ns, when, sizeof when);
    out_json_text(j, "name", amx_name(h));
    out_json_text(j, "id", id);
    out_json_text(j, "boot_id", boot);
    out_json_text(j, "created", when);
    out_json_word(j, "created_ns", i->created_ns);
    out_json_number(j, "layout", i->layout);
    out_json_number(j, "size", i->size);
    out_json_number(j, "max_size", i->max_size);
    out_json_word(j, "data_offset", i->data_offset);
    out_json_number(j, "data_bytes", i->data_bytes);
    out_json_number(j, "max_request", i->max_request);
    out_json_number(j, "sector_size", i->sector_size);
    out_json_number(j, "sectors", i->sectors);
    out_json_number(j, "sectors_max", i->sectors_max);
    out_json_number(j, "peers", i->peers);
    out_json_number(j, "peers_used", i->peers_used);
    out_json_number(j, "handles", i->handles);
    out_json_number(j, "handles_used", i->handles_used);
    out_json_number(j, "guards", i->guards);
    out_json_open(j, "flags", '[');
    for (unsigned k = 0; k < FLAG_NAMES; k++)
        if (i->flags & flag_names[k].flag)
            out_json_text(j, NULL, flag_names[k].name);
    out_json_close(j);
}

static int show_json(const amx_t *h, const struct amx_segment_info *i)
{
    struct out_json j;
    int err;

    out_json_begin(&j, "amx.info/1");
    json_facts(&j, h, i);
    out_json_open(&j, "roots", '[');
    for (unsigned k = 0; k < AMX_ROOTS; k++) {
        amx_ref ref = AMX_REF_NONE;

        amx_root_get(h, k, &ref);
        out_json_word(&j, NULL, ref);
    }
    out_json_close(&j);
    out_json_open(&j, "attached", '[');
    err = amx_peers(h, peer_json, &j);
    out_json_close(&j);
    out_json_end(&j);
    return err;
}

static int show(const amx_t *h, const struct amx_segment_info *i)
{
    struct out_table t;
    int err;

    facts(h, i);
    if (!i->peers_used)
        return AMX_OK;
    putchar('\n');
    out_table_begin(&t, peer_columns, sizeof peer_columns / sizeof *peer_columns, true);
    err = amx_peers(h, peer_row, &t);
    out_table_end(&t);
    return err;
}

static int look(const amx_t *h, const char *name, bool json)
{
    struct amx_segment_info info = {.struct_size = sizeof info};
    int err = amx_info(h, &info);

    if (!err)
        err = json ? show_json(h, &info) : show(h, &info);
    return err ? tool_fail_amx("info", name, err, NULL) : TOOL_OK;
}

static int run(int argc, char **argv)
{
    return tool_look_at_one("info", argc, argv, look);
}

const struct verb verb_info = {"info", "NAME [options]", "what a segment is, and who is attached",
                               "  -d, --dir DIR  directory instead of $AMX_DIR or /dev/shm\n"
                               "      --json     as JSON, schema amx.info/1\n",
                               run};
