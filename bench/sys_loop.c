/* SPDX-License-Identifier: Apache-2.0 */
/* The loop alone: two calls that do nothing. What it costs is part of every other number. */
#include <stdio.h>

#include "private.h"

__attribute__((noinline)) static uint64_t alloc_block(void *ctx, size_t n)
{
    __asm__ volatile("" : : "r"(ctx), "r"(n));
    return 1;
}

__attribute__((noinline)) static int free_block(void *ctx, uint64_t token)
{
    __asm__ volatile("" : : "r"(ctx), "r"(token));
    return 0;
}

static void run(void *ctx, struct seed *s, uint64_t ops)
{
    seed_run(ctx, s, ops, alloc_block, free_block);
}

static void version(char *buf, size_t len)
{
    snprintf(buf, len, "loop alone");
}

const struct bench_system bench_system = PRIVATE_SYSTEM("loop", run, alloc_block, free_block, version);
