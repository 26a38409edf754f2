/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An observer: attaches read-only to a segment in use, and disturbs nobody. It takes no entry of any table, its
 * mapping cannot be written, and all that it reads is checked. Tells the live blocks by state, and how full it is.
 *
 *     cc observer.c -o observer -lamx
 *     ./observer NAME
 */
#include <amx.h>
#include <inttypes.h>
#include <stdio.h>

struct count {
    uint64_t blocks[AMX_STATE_MAX + 1];
    uint64_t bytes[AMX_STATE_MAX + 1];
};

static int visit(const struct amx_block *block, void *ctx)
{
    struct count *count = ctx;

    if (block->ref) { /* live */
        count->blocks[block->state]++;
        count->bytes[block->state] += block->bytes;
    }
    return 0; /* go on */
}

static int observe(const amx_t *h)
{
    static struct count count;
    struct amx_stats stats = {.struct_size = sizeof stats};
    int code = amx_walk(h, visit, &count);

    if (code && code != AMX_E_PARTIAL) /* partial: somebody was at work in a sector, which was left out */
        return code;
    for (unsigned state = 0; state <= AMX_STATE_MAX; state++)
        if (count.blocks[state])
            printf("state %u: %" PRIu64 " blocks, %" PRIu64 " bytes\n", state, count.blocks[state], count.bytes[state]);
    code = amx_stat(h, &stats);
    if (code)
        return code;
    printf("in all: %" PRIu64 " of %" PRIu64 " bytes live, %" PRIu64 " blocks nobody's, up to %" PRIu64
           " bytes for one more\n",
           stats.live_bytes, stats.data_bytes, stats.published_blocks, stats.largest_free);
    return AMX_OK;
}

int main(int argc, char **argv)
{
    char why[256] = "";
    struct amx_options options = AMX_OPTIONS_INIT;
    amx_t *h;
    int code;

    if (argc != 2) {
        fprintf(stderr, "usage: observer NAME\n");
        return 2;
    }
    options.flags = AMX_F_READONLY;
    options.why = why;
    options.why_len = sizeof why;
    code = amx_attach(argv[1], &options, &h);
    if (code) {
        fprintf(stderr, "observer: %s\n", why);
        return 1;
    }
    code = observe(h);
    amx_close(h);
    if (code)
        fprintf(stderr, "observer: %s\n", amx_strerror(code));
    return code != AMX_OK;
}
