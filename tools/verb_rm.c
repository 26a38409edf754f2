/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>

#include "tool.h"

static const struct option options[] = {{"force", no_argument, NULL, 'f'}, {"dir", required_argument, NULL, 'd'}, {0}};

static int count_alive(const struct amx_peer *p, void *ctx)
{
    unsigned *alive = ctx;

    *alive += p->alive != 0;
    return 0;
}

/* Refuses if a living process is attached. Its memory would stay, but nobody could join it any more. */
static int unused(const char *name, const char *dir)
{
    unsigned alive = 0;
    amx_t *h;
    int code = tool_look("rm", name, dir, &h);

    if (code)
        return code;
    amx_peers(h, count_alive, &alive);
    amx_close(h);
    if (alive)
        return tool_fail(
            TOOL_FAILED, "rm",
            "%s: %u process(es) are attached\n  next: end them ('amx info %s' lists them), or use --force: "
            "they keep their memory, the name goes",
            name, alive, name);
    return TOOL_OK;
}

static int remove_one(const char *name, const char *dir, bool force)
{
    char why[256] = "";
    struct amx_options opts = AMX_OPTIONS_INIT;
    int code, err;

    if (!force) {
        code = unused(name, dir);
        if (code)
            return code;
    }
    opts.dir = dir;
    opts.why = why;
    opts.why_len = sizeof why;
    err = amx_unlink(name, &opts);
    return err ? tool_fail_amx("rm", name, err, why) : TOOL_OK;
}

static int run(int argc, char **argv)
{
    const char *dir = NULL;
    bool force = false;
    int letter, first = TOOL_OK;

    while ((letter = getopt_long(argc, argv, "fd:", options, NULL)) != -1) {
        if (letter == '?')
            return tool_usage("rm", NULL);
        force |= letter == 'f';
        if (letter == 'd')
            dir = optarg;
    }
    if (optind == argc)
        return tool_usage("rm", "a NAME is needed");
    for (; optind < argc; optind++) {
        int code = remove_one(argv[optind], dir, force);

        if (!first)
            first = code;
    }
    return first;
}

const struct verb verb_rm = {"rm", "NAME... [options]", "remove segments",
                             "  -f, --force    also if processes are attached: they keep their memory, the name goes\n"
                             "  -d, --dir DIR  directory instead of $AMX_DIR or /dev/shm\n\n"
                             "Removes nothing that is not a segment.\n",
                             run};
