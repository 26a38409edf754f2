/* SPDX-License-Identifier: Apache-2.0 */
/* Boost.Interprocess: managed shared memory, its default best fit over a red-black tree, by address. */
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/version.hpp>
#include <cstdio>
#include <exception>
#include <new>

#include "system.h"

namespace bip = boost::interprocess;
using segment = bip::managed_shared_memory; /* rbtree_best_fit<mutex_family> */

static int open_segment(const char *name, int create, void **seg)
{
    try {
        *seg = create ? new segment(bip::create_only, name, SEED_SEGMENT) : new segment(bip::open_only, name);
        return 0;
    } catch (const std::exception &e) {
        fprintf(stderr, "boost: %s: %s\n", name, e.what());
        return -1;
    }
}

static void unlink_segment(const char *name)
{
    bip::shared_memory_object::remove(name);
}

static int enter(void *seg, void **ctx)
{
    *ctx = seg;
    return 0;
}

static int leave(void *, void *)
{
    return 0;
}

static int check(void *seg)
{
    segment *s = static_cast<segment *>(seg);

    if (s->check_sanity() && s->all_memory_deallocated())
        return 0;
    fprintf(stderr, "boost: the segment is not whole\n");
    return -1;
}

static void close_segment(void *seg)
{
    delete static_cast<segment *>(seg);
}

static uint64_t alloc_block(void *ctx, size_t n)
{
    return reinterpret_cast<uintptr_t>(static_cast<segment *>(ctx)->allocate(n, std::nothrow));
}

static int free_block(void *ctx, uint64_t token)
{
    static_cast<segment *>(ctx)->deallocate(reinterpret_cast<void *>(token));
    return 0;
}

static void *block_ptr(void *, uint64_t token)
{
    return reinterpret_cast<void *>(token);
}

static void run(void *ctx, struct seed *s, uint64_t ops)
{
    seed_run(ctx, s, ops, alloc_block, free_block);
}

static void version(char *buf, size_t len)
{
    snprintf(buf, len, "Boost.Interprocess %d.%d.%d", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000,
             BOOST_VERSION % 100);
}

extern "C" const struct bench_system bench_system = {
    "boost",       1,   open_segment, unlink_segment, enter,     leave,   check,
    close_segment, run, alloc_block,  free_block,     block_ptr, version,
};
