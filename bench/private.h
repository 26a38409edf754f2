/* SPDX-License-Identifier: Apache-2.0 */
/* For the adapters of allocators in private memory: no segment, and a token is an address. Included after sys_alloc and sys_free. */
#ifndef BENCH_PRIVATE_H
#define BENCH_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

static inline void *sys_ptr(void *ctx, uint64_t token)
{
    (void)ctx;
    return (void *)(uintptr_t)token;
}

static inline uint64_t sys_pack(void *ctx, uint64_t token)
{
    (void)ctx;
    return token;
}

static inline uint64_t sys_unpack(void *ctx, uint64_t word)
{
    (void)ctx;
    return word;
}

#include "workloads.h"

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

#define PRIVATE_SYSTEM(version)                                                                                        \
    {                                                                                                                  \
        0, private_open, private_unlink, private_enter, private_leave, private_check, private_close, version,          \
            BENCH_RUNS, BENCH_DRAINS                                                                                   \
    }

#endif
