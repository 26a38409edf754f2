/* SPDX-License-Identifier: Apache-2.0 */
/* mimalloc: mi_malloc and mi_free. Private memory: it shows what sharing costs. */
#include <mimalloc.h>
#include <stdint.h>
#include <stdio.h>

static inline uint64_t sys_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return (uintptr_t)mi_malloc(n);
}

static inline int sys_free(void *ctx, uint64_t token)
{
    (void)ctx;
    mi_free((void *)(uintptr_t)token);
    return 0;
}

#include "private.h"

static void version(char *buf, size_t len)
{
    int v = mi_version();

    snprintf(buf, len, "mimalloc %d.%d.%d", v / 100, v / 10 % 10, v % 10);
}

const struct bench_system bench_system = PRIVATE_SYSTEM(version);
