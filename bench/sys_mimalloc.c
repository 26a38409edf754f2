/* SPDX-License-Identifier: Apache-2.0 */
/* mimalloc: mi_malloc and mi_free. Private memory: it shows what sharing costs. */
#include <mimalloc.h>
#include <stdio.h>

#include "private.h"

static uint64_t alloc_block(void *ctx, size_t n)
{
    (void)ctx;
    return (uintptr_t)mi_malloc(n);
}

static int free_block(void *ctx, uint64_t token)
{
    (void)ctx;
    mi_free((void *)(uintptr_t)token);
    return 0;
}

static void run(void *ctx, struct seed *s, uint64_t ops)
{
    seed_run(ctx, s, ops, alloc_block, free_block);
}

static void version(char *buf, size_t len)
{
    int v = mi_version();

    snprintf(buf, len, "mimalloc %d.%d.%d", v / 100, v / 10 % 10, v % 10);
}

const struct bench_system bench_system = PRIVATE_SYSTEM("mimalloc", run, alloc_block, free_block, version);
