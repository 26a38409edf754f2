/* SPDX-License-Identifier: Apache-2.0 */
/* glibc's malloc, for orientation. */
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>

#include "private.h"

static uint64_t alloc_block(void *ctx, size_t n)
{
    (void)ctx;
    return (uintptr_t)malloc(n);
}

static int free_block(void *ctx, uint64_t token)
{
    (void)ctx;
    free((void *)(uintptr_t)token);
    return 0;
}

static void run(void *ctx, struct seed *s, uint64_t ops)
{
    seed_run(ctx, s, ops, alloc_block, free_block);
}

static void version(char *buf, size_t len)
{
    snprintf(buf, len, "glibc %s", gnu_get_libc_version());
}

const struct bench_system bench_system = PRIVATE_SYSTEM("glibc", run, alloc_block, free_block, version);
