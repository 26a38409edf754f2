/* SPDX-License-Identifier: Apache-2.0 */
/* For the adapters of allocators in private memory: no segment, and a token is an address. */
#ifndef BENCH_PRIVATE_H
#define BENCH_PRIVATE_H

#include "system.h"

static int private_open(const char *name, int create, void **seg)
{
    (void)name;
    *seg = NULL;
    return create ? 0 : -1;
}

static void private_unlink(const char *name)
{
    (void)name;
}

static int private_enter(void *seg, void **ctx)
{
    (void)seg;
    *ctx = NULL;
    return 0;
}

static int private_leave(void *seg, void *ctx)
{
    (void)seg;
    (void)ctx;
    return 0;
}

static int private_check(void *seg)
{
    (void)seg;
    return 0;
}

static void private_close(void *seg)
{
    (void)seg;
}

static void *private_ptr(void *ctx, uint64_t token)
{
    (void)ctx;
    return (void *)(uintptr_t)token;
}

#define PRIVATE_SYSTEM(name, run, alloc_block, free_block, version)                                                    \
    {                                                                                                                  \
        name, 0, private_open, private_unlink, private_enter, private_leave, private_check, private_close, run,        \
            alloc_block, free_block, private_ptr, version                                                              \
    }

#endif
