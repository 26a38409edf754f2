/* SPDX-License-Identifier: Apache-2.0 */
/* The adapter of both allocators of peer.h, whichever is linked in: tokens are offsets. */
#include "mapped.h"

static inline uint64_t sys_alloc(void *ctx, size_t n)
{
    return peer_alloc((struct peer *)ctx, n);
}

static inline int sys_free(void *ctx, uint64_t token)
{
    return peer_free((struct peer *)ctx, token);
}

static inline void *sys_ptr(void *ctx, uint64_t token)
{
    return peer_at((struct peer *)ctx, token);
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

const struct bench_system bench_system = MAPPED_SYSTEM(BENCH_RUNS, BENCH_DRAINS);
