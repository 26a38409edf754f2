/* SPDX-License-Identifier: Apache-2.0 */
/* Fills a named segment with blocks of every sort, makes a second one in a memfd, and aborts: for tests/gdb.sh. */
#include <stdio.h>
#include <stdlib.h>

#include "amx.h"
#include "amx_raw.h"

static void must(int code)
{
    if (code) {
        fprintf(stderr, "aborts: %s\n", amx_strerror(code));
        exit(1);
    }
}

/* Mapped files shall be in the core too. */
static void ask_for_all(void)
{
    FILE *f = fopen("/proc/self/coredump_filter", "w");

    if (!f || fputs("0x3f", f) < 0 || fclose(f)) {
        perror("aborts: coredump_filter");
        exit(1);
    }
}

int main(void)
{
    struct amx_options options = AMX_OPTIONS_INIT;
    amx_ref ref[40];
    uint64_t offset;
    amx_t *h, *other;

    options.size = 1 << 20;
    must(amx_create("aborts", &options, &h));
    for (unsigned i = 0; i < 40; i++)
        must(amx_alloc(h, 50 * i, &ref[i]));
    for (unsigned i = 0; i < 10; i++)
        must(amx_publish(h, ref[i]));
    for (unsigned i = 5; i < 15; i++)
        must(amx_set_state(h, ref[i], i % 2 ? 77 : AMX_STATE_KEPT + i));
    for (unsigned i = 20; i < 40; i += 2)
        must(amx_free(h, ref[i]));
    must(amx_alloc(h, 40000, &ref[0]));
    must(amx_alloc_aligned(h, 4096, 30000, &ref[1]));
    must(amx_raw_allocate(h, 200, &offset)); /* freed, and waits in its sector's queue */
    must(amx_raw_ack(h, offset));
    options.size = 64 << 10;
    must(amx_create_memfd("aborts", &options, &other));
    must(amx_alloc(other, 100, &ref[0]));
    ask_for_all();
    abort();
}
