/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boost.Interprocess: managed shared memory, by address. Its default best fit over a red-black tree, or with
 * BOOST_SEQ_FIT defined its simple sequential fit.
 */
#include <boost/interprocess/indexes/iset_index.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/interprocess/mem_algo/simple_seq_fit.hpp>
#include <boost/version.hpp>
#include <cstdio>
#include <exception>
#include <new>

#include "system.h"

namespace bip = boost::interprocess;
#ifdef BOOST_SEQ_FIT
using segment = bip::basic_managed_shared_memory<char, bip::simple_seq_fit<bip::mutex_family>, bip::iset_index>;
static const char algorithm[] = "simple_seq_fit";
#else
using segment = bip::managed_shared_memory;
static const char algorithm[] = "rbtree_best_fit";
#endif

static int open_segment(const char *name, int create, void **seg)
{
    try {
        *seg = create ? new segment(bip::create_only, name, SEGMENT) : new segment(bip::open_only, name);
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

static inline uint64_t sys_alloc(void *ctx, size_t n)
{
    return reinterpret_cast<uintptr_t>(static_cast<segment *>(ctx)->allocate(n, std::nothrow));
}

static inline int sys_free(void *ctx, uint64_t token)
{
    static_cast<segment *>(ctx)->deallocate(reinterpret_cast<void *>(token));
    return 0;
}

static inline void *sys_ptr(void *, uint64_t token)
{
    return reinterpret_cast<void *>(token);
}

static inline uint64_t sys_pack(void *ctx, uint64_t token)
{
    return static_cast<uint64_t>(static_cast<segment *>(ctx)->get_handle_from_address(sys_ptr(ctx, token)));
}

static inline uint64_t sys_unpack(void *ctx, uint64_t word)
{
    segment *s = static_cast<segment *>(ctx);

    return reinterpret_cast<uintptr_t>(s->get_address_from_handle(static_cast<segment::handle_t>(word)));
}

#include "workloads.h"

static void version(char *buf, size_t len)
{
    snprintf(buf, len, "Boost.Interprocess %d.%d.%d %s", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000,
             BOOST_VERSION % 100, algorithm);
}

extern "C" const struct bench_system bench_system = {
    1, open_segment, unlink_segment, enter, leave, check, close_segment, version, BENCH_RUNS, BENCH_DRAINS,
};
