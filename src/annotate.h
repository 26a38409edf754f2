/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layer 0: what a checked build (AMX_CHECKED) tells valgrind and AddressSanitizer about blocks, so that these report
 * overruns and uses after a free in the program as they do for malloc. In other builds nothing of it is left.
 *
 * The library itself is compiled without instrumentation, and where it touches the segment (atomic.h) valgrind is told
 * to look away. What one process frees may be another's block next: so a reference that is looked up makes its block
 * accessible again. What other processes write valgrind cannot see: a block that is not ours counts as initialised.
 */
#ifndef AMXI_ANNOTATE_H
#define AMXI_ANNOTATE_H

#include "base.h"

#ifdef AMX_CHECKED

#define AMXI_RED 16u /* the header in front of a block, and that of the next one behind it: nobody's but ours */

/* Weak: a checked library works in programs without AddressSanitizer too. */
extern void __asan_poison_memory_region(const void *addr, size_t size) __attribute__((weak));
extern void __asan_unpoison_memory_region(const void *addr, size_t size) __attribute__((weak));

#if __has_include(<valgrind/memcheck.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <valgrind/memcheck.h>
#pragma GCC diagnostic pop
#define AMXI_QUIET()  VALGRIND_DISABLE_ERROR_REPORTING
#define AMXI_LOUD()   VALGRIND_ENABLE_ERROR_REPORTING
#define AMXI_KNOWN(v) (void)VALGRIND_MAKE_MEM_DEFINED(&(v), sizeof(v))
#define AMXI_POOLS
#endif

static inline void amxi_poison_(const void *p, size_t n)
{
    if (__asan_poison_memory_region)
        __asan_poison_memory_region(p, n);
}

static inline void amxi_unpoison_(const void *p, size_t n)
{
    if (__asan_unpoison_memory_region)
        __asan_unpoison_memory_region(p, n);
}

/* A segment is mapped, and about to be unmapped. */
static inline void amxi_note_pool(const void *pool)
{
#ifdef AMXI_POOLS
    VALGRIND_CREATE_MEMPOOL(pool, AMXI_RED, 0);
#else
    (void)pool;
#endif
}

static inline void amxi_note_gone(const void *pool, size_t n)
{
    if (!pool)
        return;
    amxi_unpoison_(pool, n); /* others' memory may be there next */
#ifdef AMXI_POOLS
    AMXI_QUIET();
    VALGRIND_DESTROY_MEMPOOL(pool);
    AMXI_LOUD();
#endif
}

/* The header behind a payload, if there is one. */
static inline void amxi_red_behind_(uint8_t *p, size_t n, const uint8_t *end)
{
    if (p + n >= end)
        return;
    amxi_poison_(p + n, AMXI_RED);
#ifdef AMXI_POOLS
    (void)VALGRIND_MAKE_MEM_NOACCESS(p + n, AMXI_RED);
#endif
}

/* The payload of a block, n bytes: allocated by this process, freed by it, or looked up. end: of the segment. */
static inline void amxi_note_alloc(const void *pool, uint8_t *p, size_t n, const uint8_t *end)
{
    amxi_unpoison_(p, n);
    amxi_poison_(p - AMXI_RED, AMXI_RED);
#ifdef AMXI_POOLS
    AMXI_QUIET();
    VALGRIND_MEMPOOL_FREE(pool, p); /* if another process freed what we had here */
    AMXI_LOUD();
    VALGRIND_MEMPOOL_ALLOC(pool, p, n);
    (void)VALGRIND_MAKE_MEM_NOACCESS(p - AMXI_RED, AMXI_RED);
#else
    (void)pool;
#endif
    amxi_red_behind_(p, n, end);
}

/* It is where it was, and has n bytes now. */
static inline void amxi_note_resize(const void *pool, uint8_t *p, size_t n, const uint8_t *end)
{
    amxi_unpoison_(p, n);
#ifdef AMXI_POOLS
    AMXI_QUIET();
    VALGRIND_MEMPOOL_CHANGE(pool, p, p, n);
    AMXI_LOUD();
    (void)VALGRIND_MAKE_MEM_DEFINED(p, n); /* what is new of it too: no more is known of its old part */
#else
    (void)pool;
#endif
    amxi_red_behind_(p, n, end);
}

static inline void amxi_note_free(const void *pool, uint8_t *p, size_t n)
{
    amxi_poison_(p, n);
#ifdef AMXI_POOLS
    AMXI_QUIET();
    VALGRIND_MEMPOOL_FREE(pool, p);
    AMXI_LOUD();
    (void)VALGRIND_MAKE_MEM_NOACCESS(p, n);
#else
    (void)pool;
#endif
}

static inline void amxi_note_use(uint8_t *p, size_t n, bool ours)
{
    amxi_unpoison_(p, n);
#ifdef AMXI_POOLS
    uint64_t bits;
    if (!ours || VALGRIND_GET_VBITS(p, &bits, sizeof bits) == 3) /* 3: not accessible, for we freed what was there */
        (void)VALGRIND_MAKE_MEM_DEFINED(p, n);
#else
    (void)ours;
#endif
}

#define AMXI_NOTE(call) call
#else
#define AMXI_NOTE(call) ((void)0)
#endif

#ifndef AMXI_QUIET
#define AMXI_QUIET()  ((void)0)
#define AMXI_LOUD()   ((void)0)
#define AMXI_KNOWN(v) ((void)0)
#endif

#endif
