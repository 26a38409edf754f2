/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const struct option options[] = {{"size", required_argument, NULL, 's'},
                                        {"max-size", required_argument, NULL, 'x'},
                                        {"peers", required_argument, NULL, 'p'},
                                        {"handles", required_argument, NULL, 'n'},
                                        {"guards", required_argument, NULL, 'g'},
                                        {"sector-size", required_argument, NULL, 'c'},
                                        {"mode", required_argument, NULL, 'm'},
                                        {"group", required_argument, NULL, 'G'},
                                        {"sparse", no_argument, NULL, 'S'},
                                        {"dir", required_argument, NULL, 'd'},
                                        {0}};

static bool small_number(const char *text, uint64_t max, uint32_t *out)
{
    uint64_t n;

    if (!tool_number(text, 1, max, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool file_mode(const char *text, uint32_t *out)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);

    *out = (uint32_t)mode;
    return *text >= '0' && *text <= '7' && !*end && mode > 0 && mode <= 0777;
}

static bool group_id(const char *text, int64_t *out)
{
    const struct group *g = getgrnam(text);
    uint64_t n;

    if (g) {
        *out = g->gr_gid;
        return true;
    }
    if (!tool_number(text, 0, UINT32_MAX - 1, &n))
        return false;
    *out = (int64_t)n;
    return true;
}

/* Takes one option; false if its argument is not what it should be. */
static bool take(struct amx_options *o, int letter, const char *arg)
{
    uint64_t n;

    switch (letter) {
    case 's':
        return tool_size(arg, &o->size) && o->size > 0;
    case 'x':
        return tool_size(arg, &o->max_size) && o->max_size > 0;
    case 'p':
        return small_number(arg, AMX_PEERS_MAX, &o->peers);
    case 'n':
        return small_number(arg, AMX_HANDLES_MAX, &o->handles);
    case 'g':
        return small_number(arg, AMX_GUARDS_MAX, &o->guards);
    case 'c':
        if (!tool_size(arg, &n) || n == 0 || n > UINT32_MAX)
            return false;
        o->sector_size = (uint32_t)n;
        return true;
    case 'm':
        return file_mode(arg, &o->mode);
    case 'G':
        return group_id(arg, &o->group);
    case 'S':
        o->flags |= AMX_F_SPARSE;
        return true;
    default:
        o->dir = arg;
        return true;
    }
}

static int run(int argc, char **argv)
{
    char why[256] = "";
    struct amx_options opts = AMX_OPTIONS_INIT;
    const char *name;
    int letter, at, err;
    amx_t *h;

    opts.why = why;
    opts.why_len = sizeof why;
    opts.peer_name = "amx create";
    while ((letter = getopt_long(argc, argv, "s:d:", options, &at)) != -1) {
        if (letter == '?')
            return tool_usage("create", NULL);
        if (!take(&opts, letter, optarg))
            return tool_usage("create", "'%s' is not a valid value for this option", optarg);
    }
    if (argc - optind > 1)
        return tool_usage("create", "one NAME at most, there are %d", argc - optind);
    name = argv[optind];
    err = amx_create(name, &opts, &h);
    if (err)
        return tool_fail_amx("create", name ? name : "", err, why);
    puts(amx_name(h));
    err = amx_close(h);
    return err ? tool_fail_amx("create", name ? name : "", err, NULL) : TOOL_OK;
}

const struct verb verb_create = {
    "create", "[NAME] [options]", "make a segment and print its name",
    "Without a NAME a random one is made.\n\n"
    "  -s, --size N        bytes of the segment, 64K to 64G (default 64M)\n"
    "      --max-size N    what it may grow to (default: its size)\n"
    "      --peers N       processes at the same time, 1 to 255\n"
    "      --handles N     handles (threads) at the same time, 1 to 4094\n"
    "      --guards N      read guards per handle, 1 to 64\n"
    "      --sector-size N a power of two, 4K to 8M\n"
    "      --mode OCTAL    permission bits of the file (default 600, with a group 660)\n"
    "      --group GROUP   name or number of the group that the file is given\n"
    "      --sparse        reserve no pages: cheap, but SIGBUS awaits its users if the file system fills up\n"
    "  -d, --dir DIR       directory instead of $AMX_DIR or /dev/shm\n\n"
    "Example: amx create orders --size 256M --group traders\n",
    run};
