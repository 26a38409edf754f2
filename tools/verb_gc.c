/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "out.h"
#include "tool.h"

static const struct option options[] = {
    {"dry-run", no_argument, NULL, 'n'}, {"json", no_argument, NULL, 'j'}, {"dir", required_argument, NULL, 'd'}, {0}};

struct sweep {
    const char *dir;
    bool dry, json;
    bool named; /* the segments were named: one that stays is a failure */
    struct out_json j;
    unsigned removed;
    unsigned others; /* files amx.* that are no segments of this layout */
    int code;        /* the first one that is not good */
};

static int count_alive(const struct amx_peer *p, void *ctx)
{
    unsigned *alive = ctx;

    *alive += p->alive != 0;
    return 0;
}

/* What amx_gc would say. */
static int ask(const char *name, const struct amx_options *opts)
{
    struct amx_options o = *opts;
    unsigned alive = 0;
    amx_t *h;
    int err;

    o.flags = AMX_F_READONLY;
    err = amx_attach(name, &o, &h);
    if (err)
        return err;
    err = amx_peers(h, count_alive, &alive);
    amx_close(h);
    return err ? err : alive ? AMX_E_ALIVE : AMX_OK;
}

static void say(struct sweep *s, const char *name, int err, const char *why)
{
    const char *reason = *why ? why : amx_strerror(err);

    if (s->json) {
        out_json_open(&s->j, NULL, '{');
        out_json_text(&s->j, "name", name);
        out_json_bool(&s->j, "removed", !err && !s->dry);
        out_json_text(&s->j, "kept", err ? reason : NULL);
        out_json_close(&s->j);
    } else if (!err) {
        printf("%s: %s\n", name, s->dry ? "would be removed" : "removed");
    } else if (!s->named) {
        printf("%s: stays: %s\n", name, reason);
    }
    if (err && s->named)
        tool_fail_amx("gc", name, err, why);
}

static void one(struct sweep *s, const char *name)
{
    char why[256] = "";
    struct amx_options opts = AMX_OPTIONS_INIT;
    int err;

    opts.dir = s->dir;
    opts.why = why;
    opts.why_len = sizeof why;
    err = s->dry ? ask(name, &opts) : amx_gc(name, &opts);
    if (!s->named && err == AMX_E_NOENT) /* another was faster */
        return;
    if (!s->named && (err == AMX_E_LAYOUT || err == AMX_E_NAME)) {
        s->others++;
        return;
    }
    say(s, name, err, why);
    s->removed += !err;
    if (!s->code && (s->named || err != AMX_E_ALIVE))
        s->code = tool_exit_of(err);
}

static int sweep(struct sweep *s, char **names, size_t count)
{
    if (s->json) {
        out_json_begin(&s->j, "amx.gc/1");
        out_json_bool(&s->j, "dry_run", s->dry);
        out_json_open(&s->j, "segments", '[');
    }
    for (size_t i = 0; i < count; i++)
        one(s, names[i]);
    if (s->json) {
        out_json_close(&s->j);
        out_json_number(&s->j, "count", s->removed);
        out_json_end(&s->j);
    }
    if (s->others)
        tool_fail(0, "gc", "%u more file(s) amx.* are no segments, or of another layout: left alone", s->others);
    return s->code;
}

static int run(int argc, char **argv)
{
    struct sweep s = {0};
    char **names;
    size_t count;
    int letter, code;

    while ((letter = getopt_long(argc, argv, "nd:", options, NULL)) != -1) {
        if (letter == '?')
            return tool_usage("gc", NULL);
        s.dry |= letter == 'n';
        s.json |= letter == 'j';
        if (letter == 'd')
            s.dir = optarg;
    }
    s.named = optind < argc;
    if (s.named)
        return sweep(&s, argv + optind, (size_t)(argc - optind));
    s.dir = tool_dir(s.dir);
    code = tool_names("gc", s.dir, &names, &count);
    if (code)
        return code;
    code = sweep(&s, names, count);
    tool_names_free(names, count);
    return code;
}

const struct verb verb_gc = {
    "gc", "[NAME...] [options]", "remove segments that nobody alive is attached to",
    "  -n, --dry-run  remove nothing, say what would be removed\n"
    "      --json     as JSON, schema amx.gc/1\n"
    "  -d, --dir DIR  directory instead of $AMX_DIR or /dev/shm\n\n"
    "Without NAMEs: all segments of the directory; those in use stay, and that is no failure. One at rest goes with\n"
    "what it holds: look with --dry-run first. A stopped process is\n"
    "alive, and so is one in another pid namespace. Removes nothing that is not a segment.\n",
    run};
