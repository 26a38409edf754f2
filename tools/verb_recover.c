/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "out.h"
#include "tool.h"

static const struct option options[] = {{"dry-run", no_argument, NULL, 'n'},
                                        {"pid", required_argument, NULL, 'p'},
                                        {"json", no_argument, NULL, 'j'},
                                        {"dir", required_argument, NULL, 'd'},
                                        {0}};

struct dead { /* a dead peer, and what it holds */
    uint32_t index, pid, handles;
    uint64_t ticket, blocks, bytes, kept;
    char name[16];
};

struct recovery {
    const char *name, *dir;
    bool dry, json;
    uint64_t pid; /* 0: all */
    struct out_json j;
    struct dead dead[AMX_PEERS_MAX];
    unsigned n;
    bool alive; /* the pid that was asked for */
};

static int note(const struct amx_peer *p, void *ctx)
{
    struct recovery *r = ctx;

    if (r->pid && p->pid != r->pid)
        return 0;
    r->alive |= p->alive != 0;
    if (!p->alive && r->n < AMX_PEERS_MAX) {
        struct dead *d = &r->dead[r->n++];
        *d = (struct dead){.index = p->index, .pid = p->pid, .handles = p->handles, .ticket = p->ticket};
        snprintf(d->name, sizeof d->name, "%s", p->name);
    }
    return 0;
}

static int add(const struct amx_block *b, void *ctx)
{
    struct recovery *r = ctx;

    for (unsigned i = 0; i < r->n; i++)
        if (r->dead[i].index == b->peer) {
            r->dead[i].blocks++;
            r->dead[i].bytes += b->bytes;
            r->dead[i].kept += b->state >= AMX_STATE_KEPT;
        }
    return 0;
}

static int look(struct recovery *r, const amx_t *h)
{
    int err = amx_peers(h, note, r);

    if (!err)
        err = amx_walk(h, add, r);
    return err == AMX_E_PARTIAL || err == AMX_E_CORRUPT ? AMX_OK : err; /* of the damage 'amx check' tells */
}

static void show_dead(struct recovery *r)
{
    if (r->json)
        out_json_open(&r->j, "dead", '[');
    for (unsigned i = 0; i < r->n; i++) {
        const struct dead *d = &r->dead[i];
        if (!r->json) {
            printf("dead      pid %u (%s): %u handle%s, %" PRIu64 " blocks, %" PRIu64 " bytes, %" PRIu64 " kept\n",
                   d->pid, d->name, d->handles, d->handles == 1 ? "" : "s", d->blocks, d->bytes, d->kept);
            continue;
        }
        out_json_open(&r->j, NULL, '{');
        out_json_number(&r->j, "pid", d->pid);
        out_json_text(&r->j, "name", d->name);
        out_json_word(&r->j, "ticket", d->ticket);
        out_json_number(&r->j, "handles", d->handles);
        out_json_number(&r->j, "blocks", d->blocks);
        out_json_number(&r->j, "bytes", d->bytes);
        out_json_number(&r->j, "kept_blocks", d->kept);
        out_json_close(&r->j);
    }
    if (r->json)
        out_json_close(&r->j);
}

/* What the dead one left to the living: a line each. */
static int show_kept(const struct amx_kept *k, void *ctx)
{
    static const char *const how[] = {"state", "published", "given", "word"};
    struct recovery *r = ctx;
    uint64_t offset = (k->ref >> 32) * 16;

    if (k->how == AMX_KEPT_PUBLISHED && !k->last)
        return 0; /* others know it */
    if (r->json) {
        out_json_open(&r->j, NULL, '{');
        out_json_text(&r->j, "how", how[k->how]);
        out_json_word(&r->j, "ref", k->ref);
        out_json_word(&r->j, "offset", offset);
        out_json_number(&r->j, "state", k->state);
        out_json_number(&r->j, "bytes", k->bytes);
        out_json_bool(&r->j, "last", k->last != 0);
        out_json_close(&r->j);
    } else {
        printf("kept      payload at %#" PRIx64 ", state %u, %" PRIu64 " bytes%s\n", offset, k->state, k->bytes,
               k->how == AMX_KEPT_STATE       ? ""
               : k->how == AMX_KEPT_PUBLISHED ? ": published last, perhaps known to nobody"
               : k->how == AMX_KEPT_GIVEN     ? ": given last, its receiver may not know"
                                              : ": a word of an object");
    }
    return 0;
}

static void show_sum(struct recovery *r, const struct amx_recovery *sum, double us)
{
    if (r->json) {
        out_json_number(&r->j, "blocks", sum->blocks);
        out_json_number(&r->j, "bytes", sum->bytes);
        out_json_number(&r->j, "kept_blocks", sum->kept_blocks);
        out_json_number(&r->j, "words", sum->words);
        out_json_number(&r->j, "sectors_rebuilt", sum->sectors_rebuilt);
        out_json_number(&r->j, "sectors_left", sum->sectors_left);
        out_json_number(&r->j, "handles_left", sum->handles_left);
        out_json_number(&r->j, "microseconds", (uint64_t)us);
        return;
    }
    printf("recovered %" PRIu64 " blocks, %" PRIu64 " bytes free, %" PRIu64 " kept, in %.0f us\n", sum->blocks,
           sum->bytes, sum->kept_blocks, us);
    if (sum->sectors_rebuilt)
        printf("rebuilt   %u sectors in which they died\n", sum->sectors_rebuilt);
    if (sum->sectors_left || sum->handles_left)
        printf("left      %u sectors, %u handle entries: somebody alive is inside; call again\n", sum->sectors_left,
               sum->handles_left);
}

static int recover(struct recovery *r, amx_t *h)
{
    struct amx_recovery all = {.struct_size = sizeof all}, one = all;
    struct timespec from, to;
    int err = AMX_OK, e = AMX_OK;

    if (r->json)
        out_json_open(&r->j, "kept", '[');
    clock_gettime(CLOCK_MONOTONIC, &from);
    if (!r->pid)
        err = amx_recover(h, 0, show_kept, r, &all);
    for (unsigned i = 0; r->pid && i < r->n && (!e || e == AMX_E_PARTIAL); i++) {
        e = amx_recover(h, r->dead[i].ticket, show_kept, r, &one);
        all.blocks += one.blocks;
        all.bytes += one.bytes;
        all.kept_blocks += one.kept_blocks;
        all.words += one.words;
        all.sectors_rebuilt += one.sectors_rebuilt;
        all.sectors_left += one.sectors_left;
        all.handles_left += one.handles_left;
        err = e ? e : err;
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (r->json)
        out_json_close(&r->j);
    if (!err || err == AMX_E_PARTIAL)
        show_sum(r, &all, (double)(to.tv_sec - from.tv_sec) * 1e6 + (double)(to.tv_nsec - from.tv_nsec) / 1e3);
    return err;
}

static int work(struct recovery *r)
{
    char why[256] = "";
    struct amx_options opts = AMX_OPTIONS_INIT;
    amx_t *h;
    int err;

    opts.flags = r->dry ? AMX_F_READONLY : AMX_F_NO_RECOVER;
    opts.dir = r->dir;
    opts.why = why;
    opts.why_len = sizeof why;
    err = amx_attach(r->name, &opts, &h);
    if (err)
        return tool_fail_amx("recover", r->name, err, why);
    err = look(r, h);
    if (!err && r->pid && !r->n) {
        amx_close(h);
        return tool_fail(TOOL_FAILED, "recover",
                         r->alive ? "%s: process %" PRIu64 " is alive" : "%s: no process %" PRIu64, r->name, r->pid);
    }
    if (!err) {
        if (r->json) {
            out_json_begin(&r->j, "amx.recover/1");
            out_json_text(&r->j, "name", r->name);
            out_json_bool(&r->j, "dry_run", r->dry);
        }
        show_dead(r);
        if (!r->dry)
            err = recover(r, h);
        if (r->json)
            out_json_end(&r->j);
        else if (!r->n && r->dry)
            printf("%s: nobody is dead\n", r->name);
    }
    amx_close(h);
    if (err == AMX_E_PARTIAL)
        return TOOL_UNHEALTHY;
    return err ? tool_fail_amx("recover", r->name, err, why) : TOOL_OK;
}

static int run(int argc, char **argv)
{
    struct recovery r = {0};
    int letter;

    while ((letter = getopt_long(argc, argv, "np:d:", options, NULL)) != -1) {
        if (letter == '?')
            return tool_usage("recover", NULL);
        r.dry |= letter == 'n';
        r.json |= letter == 'j';
        if (letter == 'p' && !tool_number(optarg, 1, INT32_MAX, &r.pid))
            return tool_usage("recover", "'%s' is not a process id", optarg);
        if (letter == 'd')
            r.dir = optarg;
    }
    if (argc - optind != 1)
        return tool_usage("recover", argc == optind ? "NAME is missing" : "one NAME at a time");
    r.name = argv[optind];
    return work(&r);
}

const struct verb verb_recover = {
    "recover", "NAME [options]", "take back what dead processes held",
    "  -n, --dry-run      only tell who is dead and what he holds\n"
    "  -p, --pid PID      of this process only\n"
    "      --json         as JSON, schema amx.recover/1\n"
    "  -d, --dir DIR      directory instead of $AMX_DIR or /dev/shm\n\n"
    "Frees the private blocks of the dead and tells those that outlive them. Stops nobody; a living process,\n"
    "stopped ones too, keeps what it has. Processes that use the segment do the same when they attach or\n"
    "run short of memory.\n\n"
    "Exit code 4: something is behind a process that is inside there; call again later.\n",
    run};
