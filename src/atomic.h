/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layer 0: every access to shared memory. The order is in the name:
 *   rlx relaxed, acq acquire, rel release, ar acquire and release, sc sequentially consistent; again: not before earlier loads.
 * The types are structs, so that a plain access does not compile. Standalone fences are amxi_cb, which holds back the
 * compiler only: a killed thread's stores are a prefix of its machine code, so crash order needs no more
 * (docs/design.md, "Crash order"); and amxi_entered, whose partner is amxi_ld64_again.
 *
 * With AMX_HOOK (test builds) every store and read-modify-write first calls amxi_hook with the address that it is
 * about to change; with AMX_SCHED every load calls amxi_look too, and a model of memory is told of each access and its
 * order when it has been made: it may answer a load with an older value (tests/sched/memory.h).
 */
#ifndef AMXI_ATOMIC_H
#define AMXI_ATOMIC_H

#include "annotate.h"

typedef struct {
    uint64_t v_;
} AMXI_ALIAS amxi_a64;
typedef struct {
    uint32_t v_;
} AMXI_ALIAS amxi_a32;
typedef struct {
    uint8_t v_;
} AMXI_ALIAS amxi_a8;

#ifdef AMX_HOOK
void amxi_hook(const volatile void *addr, size_t len);
#define AMXI_HOOK_(p) amxi_hook((p), sizeof *(p))
#else
#define AMXI_HOOK_(p) ((void)0)
#endif
#ifdef AMX_SCHED
void amxi_look(const volatile void *addr, size_t len);
void amxi_fenced(bool acquire);
uint64_t amxi_seen(const volatile void *addr, size_t len, uint64_t v, int order);
void amxi_made(const volatile void *addr, int order);
void amxi_swapped(const volatile void *addr, bool won, int order);
#define AMXI_LOOK_(p)                amxi_look((p), sizeof *(p))
#define AMXI_SEEN_(p, v, order)      amxi_seen((p), sizeof *(p), (v), (order))
#define AMXI_MADE_(p, order)         amxi_made((p), (order))
#define AMXI_SWAPPED_(p, won, order) amxi_swapped((p), (won), (order))
#else
#define AMXI_LOOK_(p)                ((void)0)
#define AMXI_SEEN_(p, v, order)      (v)
#define AMXI_MADE_(p, order)         ((void)0)
#define AMXI_SWAPPED_(p, won, order) ((void)0)
#endif

#define AMXI_DEFINE_LD(bits, name, order)                                                                              \
    static inline uint##bits##_t amxi_ld##bits##_##name(const amxi_a##bits *p)                                         \
    {                                                                                                                  \
        AMXI_LOOK_(p);                                                                                                 \
        AMXI_QUIET();                                                                                                  \
        uint##bits##_t v = (uint##bits##_t)AMXI_SEEN_(p, __atomic_load_n(&p->v_, order), order);                       \
        AMXI_LOUD();                                                                                                   \
        AMXI_KNOWN(v);                                                                                                 \
        return v;                                                                                                      \
    }
#define AMXI_DEFINE_ST(bits, name, order)                                                                              \
    static inline void amxi_st##bits##_##name(amxi_a##bits *p, uint##bits##_t v)                                       \
    {                                                                                                                  \
        AMXI_HOOK_(p);                                                                                                 \
        AMXI_QUIET();                                                                                                  \
        __atomic_store_n(&p->v_, v, order);                                                                            \
        AMXI_MADE_(p, order);                                                                                          \
        AMXI_LOUD();                                                                                                   \
    }
/* On failure *old is what was found; the failure order is the success order without its release half. */
#define AMXI_DEFINE_CAS(bits, name, order, fail)                                                                       \
    static inline bool amxi_cas##bits##_##name(amxi_a##bits *p, uint##bits##_t *old, uint##bits##_t v)                 \
    {                                                                                                                  \
        AMXI_HOOK_(p);                                                                                                 \
        AMXI_QUIET();                                                                                                  \
        bool won = __atomic_compare_exchange_n(&p->v_, old, v, false, order, fail);                                    \
        AMXI_SWAPPED_(p, won, won ? order : fail);                                                                     \
        AMXI_LOUD();                                                                                                   \
        AMXI_KNOWN(*old);                                                                                              \
        AMXI_KNOWN(won);                                                                                               \
        return won;                                                                                                    \
    }
#define AMXI_DEFINE_RMW(bits, op, name, order)                                                                         \
    static inline uint##bits##_t amxi_##op##bits##_##name(amxi_a##bits *p, uint##bits##_t v)                           \
    {                                                                                                                  \
        AMXI_HOOK_(p);                                                                                                 \
        AMXI_QUIET();                                                                                                  \
        uint##bits##_t was = __atomic_fetch_##op(&p->v_, v, order);                                                    \
        AMXI_SWAPPED_(p, true, order);                                                                                 \
        AMXI_LOUD();                                                                                                   \
        AMXI_KNOWN(was);                                                                                               \
        return was;                                                                                                    \
    }

AMXI_DEFINE_LD(64, rlx, __ATOMIC_RELAXED)
AMXI_DEFINE_LD(64, acq, __ATOMIC_ACQUIRE)
AMXI_DEFINE_LD(64, sc, __ATOMIC_SEQ_CST)
AMXI_DEFINE_ST(64, rlx, __ATOMIC_RELAXED)
AMXI_DEFINE_ST(64, rel, __ATOMIC_RELEASE)
AMXI_DEFINE_ST(64, sc, __ATOMIC_SEQ_CST)
AMXI_DEFINE_CAS(64, rlx, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
AMXI_DEFINE_CAS(64, acq, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)
AMXI_DEFINE_CAS(64, rel, __ATOMIC_RELEASE, __ATOMIC_RELAXED)
AMXI_DEFINE_CAS(64, ar, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
AMXI_DEFINE_CAS(64, sc, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
AMXI_DEFINE_RMW(64, add, rlx, __ATOMIC_RELAXED)
AMXI_DEFINE_RMW(64, or, rlx, __ATOMIC_RELAXED)
AMXI_DEFINE_RMW(64, or, rel, __ATOMIC_RELEASE)
AMXI_DEFINE_RMW(64, or, sc, __ATOMIC_SEQ_CST)
AMXI_DEFINE_RMW(64, and, rel, __ATOMIC_RELEASE)
AMXI_DEFINE_RMW(64, and, acq, __ATOMIC_ACQUIRE)

AMXI_DEFINE_LD(32, rlx, __ATOMIC_RELAXED)
AMXI_DEFINE_LD(32, acq, __ATOMIC_ACQUIRE)
AMXI_DEFINE_LD(32, sc, __ATOMIC_SEQ_CST)
AMXI_DEFINE_ST(32, rlx, __ATOMIC_RELAXED)
AMXI_DEFINE_ST(32, rel, __ATOMIC_RELEASE)
AMXI_DEFINE_ST(32, sc, __ATOMIC_SEQ_CST)
AMXI_DEFINE_CAS(32, rlx, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
AMXI_DEFINE_CAS(32, sc, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)
AMXI_DEFINE_RMW(32, or, sc, __ATOMIC_SEQ_CST)
AMXI_DEFINE_RMW(32, or, rlx, __ATOMIC_RELAXED)
AMXI_DEFINE_RMW(32, and, rel, __ATOMIC_RELEASE)
AMXI_DEFINE_RMW(32, add, rlx, __ATOMIC_RELAXED)
AMXI_DEFINE_RMW(32, add, sc, __ATOMIC_SEQ_CST)
AMXI_DEFINE_RMW(32, sub, rel, __ATOMIC_RELEASE)

AMXI_DEFINE_LD(8, rlx, __ATOMIC_RELAXED)
AMXI_DEFINE_ST(8, rlx, __ATOMIC_RELAXED)

/* The two loads of the library that may meet bytes which a neighbour is writing as payload: of a possible footer (sector.c),
 * believed only if a header confirms it, and of a message's header, told as a sample (store_look.c). */
AMXI_NO_TSAN __attribute__((unused)) static uint32_t amxi_ld32_peek(const amxi_a32 *p)
{
    AMXI_LOOK_(p);
    AMXI_QUIET();
    uint32_t v = (uint32_t)AMXI_SEEN_(p, __atomic_load_n(&p->v_, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    AMXI_LOUD();
    AMXI_KNOWN(v);
    return v;
}

AMXI_NO_TSAN __attribute__((unused)) static uint64_t amxi_ld64_peek(const amxi_a64 *p)
{
    AMXI_LOOK_(p);
    AMXI_QUIET();
    uint64_t v = (uint64_t)AMXI_SEEN_(p, __atomic_load_n(&p->v_, __ATOMIC_ACQUIRE), __ATOMIC_ACQUIRE);
    AMXI_LOUD();
    AMXI_KNOWN(v);
    return v;
}

/* Keeps the compiler from moving stores across it: the order in which a crash may cut them. */
static inline void amxi_cb(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* After a word has said that what it guards is about to change, before it does: whoever reads a change with acquire, then
 * the word again, finds it so. Nothing on x86. ThreadSanitizer knows no fences, and no payload depends on this one. */
static inline void amxi_entered(void)
{
#ifdef AMX_SCHED
    amxi_fenced(false);
#elif !AMXI_TSAN
    __atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

/* The second look at a word, behind loads of what it guards: if one of them met what was stored after amxi_entered, or after
 * a release, so does this. They may be relaxed. Nothing on x86. */
static inline uint64_t amxi_ld64_again(const amxi_a64 *p)
{
#ifdef AMX_SCHED
    amxi_fenced(true);
#elif !AMXI_TSAN
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
    return amxi_ld64_rlx(p);
}

#endif
