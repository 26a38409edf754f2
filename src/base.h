/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 0: what we need of the compiler, and bit tricks. */
#ifndef AMXI_BASE_H
#define AMXI_BASE_H

#include <assert.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__linux__) || !(defined(__GNUC__) || defined(__clang__))
#error "amx needs Linux and gcc or clang"
#endif
#if UINTPTR_MAX < UINT64_MAX
#error "amx needs a 64-bit process: a 32-bit one can neither map a large segment nor keep 64-bit words whole"
#endif

#define AMXI_LIKELY(x)   __builtin_expect(!!(x), 1)
#define AMXI_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define AMXI_ALIAS       __attribute__((may_alias)) /* shared bytes are read as headers, links and payload in turn */
#define AMXI_COLD        __attribute__((cold, noinline))
#define AMXI_SLOW        __attribute__((noinline))             /* out of the fast path, yet common */
#define AMXI_INLINE      inline __attribute__((always_inline)) /* both callers are fast paths of their own */

/* For amxi_ld32_peek (atomic.h) alone. clang's no_sanitize("thread") leaves atomics instrumented: not enough. */
#if defined(__SANITIZE_THREAD__)
#define AMXI_NO_TSAN __attribute__((no_sanitize_thread, noinline))
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define AMXI_NO_TSAN __attribute__((disable_sanitizer_instrumentation, noinline))
#endif
#endif
#ifdef AMXI_NO_TSAN
#define AMXI_TSAN 1
#else
#define AMXI_TSAN 0
#define AMXI_NO_TSAN
#endif

/* Static probes in slow paths, for perf, bpftrace and systemtap: `readelf -n libamx.so` lists them. Off: nothing. */
#ifdef AMX_USDT
#include <sys/sdt.h>
#define AMXI_PROBE(name, tag, n) DTRACE_PROBE2(amx, name, tag, n)
#else
#define AMXI_PROBE(name, tag, n) ((void)0)
#endif

static inline uint32_t amxi_log2(uint32_t x) /* x != 0 */
{
    return 31u - (uint32_t)__builtin_clz(x);
}

static inline uint64_t amxi_round_up(uint64_t x, uint64_t pow2) /* x + pow2 must not wrap */
{
    return (x + pow2 - 1) & ~(pow2 - 1);
}

static inline uint64_t amxi_div_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

#endif
