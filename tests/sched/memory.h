/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model of memory for the scheduler: what a fiber may see, besides what was stored last.
 *
 * Each store is a message: its word's value then, and, if it releases, what its fiber had seen. A fiber has a view: for
 * each word the oldest message that it may still read. A load may read any message from there on; one that acquires takes
 * over what came with the message. A read-modify-write reads the last message, and what came with that goes on with its
 * own. A sequentially consistent one sees at least the last sequentially consistent store to its word. This shows whatever a store buffer shows
 * (a load before an earlier store of one's own), stores that arrive in another order, loads that were made early; not
 * loads that are made after later stores, nor stores of two fibers to one word in another order than they were made.
 *
 * A fence takes over, or brings along, what the relaxed accesses around it would have if they had ordered.
 *
 * Payload is stored by tests through mem_use: who stores to such a word, the library too, must know of the last store to it.
 * If he does not, nothing orders the two, and on a weaker machine the older one may arrive last.
 *
 * MEMORY=c11: each access with the order in its name. MEMORY=tso: as on x86, where each load acquires, each store
 * releases, and read-modify-writes are sequentially consistent; whatever has left a store buffer all see, and what was
 * stored before it. Otherwise: only what was stored last. MEMORY=unfenced: as c11, but
 * the fences do nothing, which is how ThreadSanitizer sees the library.
 *
 * A view is of 8 bytes: who sees one half of them sees the other. Payloads are not in it.
 */
#ifndef AMX_TEST_MEMORY_H
#define AMX_TEST_MEMORY_H

#include "atomic.h"
#include "tests/support.h"

enum {
    MEM_MESSAGES = 16384,
    MEM_SLOTS = 4096,
    MEM_WORDS = (256 << 10) / 8,
    MEM_FIBERS = 3,
    MEM_OLDER = 3,
    MEM_BACK = 16
};

enum mem_kind { MEM_LAST, MEM_TSO, MEM_C11 };

/* For each slot the number of a message; 0: what was there at the beginning. Slots behind n: 0. */
struct mem_view {
    uint32_t n;
    uint16_t at[MEM_SLOTS];
};

struct mem_message {
    uint64_t value;
    uint16_t before; /* the message on the same word before this one */
    uint8_t by;      /* fiber */
    bool releases;   /* its view counts */
    bool payload;    /* of mem_use */
};

static struct {
    enum mem_kind kind;
    uint16_t slot[MEM_WORDS]; /* 0: no store yet */
    uint32_t word[MEM_SLOTS];
    uint64_t first[MEM_SLOTS]; /* value at the beginning */
    uint16_t last[MEM_SLOTS];  /* message */
    uint32_t slots, messages;  /* those in use; number 0 is none */
    struct mem_message message[MEM_MESSAGES];
    struct mem_view *with[MEM_MESSAGES]; /* of those that release; kept from run to run */
    struct mem_view seen[MEM_FIBERS], common;
    struct mem_view fence[MEM_FIBERS]; /* seen at the last release fence: every later store brings it along */
    uint16_t stuck[MEM_FIBERS]
                  [MEM_SLOTS];        /* older message that the fiber has read last, + 1: it goes on reading that */
    struct mem_view read[MEM_FIBERS]; /* what relaxed loads would have taken over: the next acquire fence does */
    struct mem_view dead;             /* what the dead had seen */
    const volatile void *using[MEM_FIBERS]; /* word that a fiber is storing payload to */
    uint32_t
        owned[2]; /* words, from - to, that have one owner at a time: a store there knows of the last, as for payload */
    bool unfenced;
    bool raced; /* a payload was overwritten by one who did not know of it */
} mem;

static void mem_choose(const char *kind)
{
    mem.kind = !kind || !*kind ? MEM_LAST : strcmp(kind, "tso") == 0 ? MEM_TSO : MEM_C11;
    mem.unfenced = mem.kind == MEM_C11 && strcmp(kind, "unfenced") == 0;
    must(mem.kind != MEM_C11 || mem.unfenced || strcmp(kind, "c11") == 0);
}

static void mem_begin(void)
{
    for (uint32_t i = 1; i < mem.slots; i++)
        mem.slot[mem.word[i]] = 0;
    mem.slots = mem.messages = 1;
    for (unsigned f = 0; f < MEM_FIBERS; f++)
        mem.seen[f].n = mem.fence[f].n = mem.read[f].n = 0;
    mem.common.n = mem.dead.n = 0;
    memset(mem.using, 0, sizeof mem.using);
    mem.raced = false;
}

static void view_reach(struct mem_view *v, uint32_t slot)
{
    for (; v->n <= slot; v->n++)
        v->at[v->n] = 0;
}

static void view_see(struct mem_view *v, uint32_t slot, uint16_t message)
{
    view_reach(v, slot);
    if (v->at[slot] < message)
        v->at[slot] = message;
}

static void view_join(struct mem_view *v, const struct mem_view *other)
{
    if (other->n)
        view_reach(v, other->n - 1);
    for (uint32_t i = 0; i < other->n; i++)
        if (v->at[i] < other->at[i])
            v->at[i] = other->at[i];
}

static bool acquires(int order)
{
    return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST || mem.kind == MEM_TSO;
}

static bool releases(int order)
{
    return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST || mem.kind == MEM_TSO;
}

static bool is_owned(uint32_t word)
{
    return word - mem.owned[0] < mem.owned[1] - mem.owned[0];
}

static uint64_t value_at(const volatile void *addr)
{
    return __atomic_load_n((const uint64_t *)((uintptr_t)addr & ~(uintptr_t)7), __ATOMIC_RELAXED);
}

static uint64_t part_of(uint64_t value, const volatile void *addr, size_t len)
{
    value >>= ((uintptr_t)addr & 7) * 8;
    return len == 8 ? value : value & ((UINT64_C(1) << len * 8) - 1);
}

/* Before a store: what was there at the beginning. */
static void mem_about(const volatile void *addr, uint32_t word)
{
    if (mem.slot[word])
        return;
    must(mem.slots < MEM_SLOTS);
    mem.slot[word] = (uint16_t)mem.slots;
    mem.word[mem.slots] = word;
    mem.first[mem.slots] = value_at(addr);
    for (unsigned f = 0; f < MEM_FIBERS; f++)
        mem.stuck[f][mem.slots] = 0;
    mem.last[mem.slots++] = 0;
}

static void take_over(struct mem_view *v, uint32_t slot, uint16_t message, int order)
{
    view_see(v, slot, message);
    if (message && mem.message[message].releases)
        view_join(acquires(order) ? v : &mem.read[v - mem.seen], mem.with[message]);
}

static bool view_within(const struct mem_view *inner, const struct mem_view *v)
{
    for (uint32_t i = 0; i < inner->n; i++)
        if (inner->at[i] > (i < v->n ? v->at[i] : 0))
            return false;
    return true;
}

/* What a sequentially consistent access, or in MEM_TSO any that comes from memory, sees at least. */
static void see_common(struct mem_view *v, uint32_t slot)
{
    if (mem.kind == MEM_TSO)
        view_join(v, &mem.common);
    else if (slot < mem.common.n)
        view_see(v, slot, mem.common.at[slot]);
}

static void make_common(const struct mem_view *v, uint32_t slot)
{
    if (mem.kind == MEM_TSO)
        view_join(&mem.common, v);
    else
        view_see(&mem.common, slot, v->at[slot]);
}

static void mem_store(unsigned fiber, const volatile void *addr, uint32_t word, int order, bool swaps)
{
    uint32_t slot = mem.slot[word];
    struct mem_view *v = &mem.seen[fiber];
    bool sc = order == __ATOMIC_SEQ_CST || (swaps && mem.kind == MEM_TSO);
    uint16_t before = mem.last[slot], m = (uint16_t)mem.messages++;
    must(slot && m < MEM_MESSAGES - 1);
    view_reach(v, slot);
    if (sc)
        see_common(v, slot);
    if (swaps)
        take_over(v, slot, before, order);
    bool owned = mem.message[before].payload || (!swaps && is_owned(word));
    mem.raced |= before && owned && v->at[slot] < before;
    bool goes_on = swaps && before && mem.message[before].releases;
    mem.message[m] = (struct mem_message){value_at(addr), before, (uint8_t)fiber,
                                          releases(order) || goes_on || mem.fence[fiber].n, addr == mem.using[fiber]};
    mem.last[slot] = m;
    view_see(v, slot, m);
    if (mem.message[m].releases) {
        if (!mem.with[m])
            must((mem.with[m] = calloc(1, sizeof *mem.with[m])) != NULL);
        mem.with[m]->n = 0;
        if (goes_on)
            view_join(mem.with[m], mem.with[before]);
        view_join(mem.with[m], releases(order) ? v : &mem.fence[fiber]);
    }
    if (sc)
        make_common(v, slot);
}

/* An exchange that failed has read what was stored last. */
static void mem_read_last(unsigned fiber, uint32_t word, int order)
{
    struct mem_view *v = &mem.seen[fiber];
    uint32_t slot = mem.slot[word];
    if (order == __ATOMIC_SEQ_CST || mem.kind == MEM_TSO)
        see_common(v, slot);
    if (slot)
        take_over(v, slot, mem.last[slot], order);
}

/* What a load may read besides `v`, which is there now: up to MEM_OLDER older messages, the oldest of each value, as it brings
 * least along. One of the same value too, if it would bring less than the last, or its other half is another. */
static unsigned mem_older(unsigned fiber, const volatile void *addr, size_t len, uint32_t word, uint64_t v, int order,
                          uint16_t older[MEM_OLDER])
{
    struct mem_view *seen = &mem.seen[fiber];
    uint32_t slot = mem.slot[word];
    unsigned n = 0;
    if (order == __ATOMIC_SEQ_CST || mem.kind == MEM_TSO)
        see_common(seen, slot);
    if (!slot)
        return 0;
    view_reach(seen, slot);
    uint16_t m = mem.last[slot];
    if (part_of(m ? mem.message[m].value : mem.first[slot], addr, len) != v)
        return 0; /* a payload has been there since */
    /* to know of the last store to a word with an owner is something by itself */
    bool brings =
        mem.kind == MEM_C11 &&
        (is_owned(word) || (acquires(order) && m && mem.message[m].releases && !view_within(mem.with[m], seen)));
    for (unsigned back = 0; m > seen->at[slot] && back < MEM_BACK; back++) {
        m = mem.message[m].before;
        if (m < seen->at[slot])
            break;
        uint64_t whole = m ? mem.message[m].value : mem.first[slot], was = part_of(whole, addr, len);
        unsigned i = 0;
        while (i < n && part_of(older[i] ? mem.message[older[i]].value : mem.first[slot], addr, len) != was)
            i++;
        if (i == MEM_OLDER || (was == v && !brings && whole == mem.message[mem.last[slot]].value))
            continue;
        older[i] = m;
        n += i == n;
    }
    return n;
}

/* What a load reads if nothing else is chosen: the last message, or the older one that it has read before, until something
 * that it sees forbids that. So that one choice is enough to be late for good. */
static uint16_t mem_next(unsigned fiber, uint32_t word)
{
    uint32_t slot = mem.slot[word];
    uint16_t stuck = mem.stuck[fiber][slot];
    return stuck && stuck - 1 >= mem.seen[fiber].at[slot] ? (uint16_t)(stuck - 1) : mem.last[slot];
}

/* Reads this message; what it says. */
static uint64_t mem_load(unsigned fiber, const volatile void *addr, size_t len, uint32_t word, int order, uint16_t m)
{
    uint32_t slot = mem.slot[word];
    bool own = !m || mem.message[m].by == fiber;
    mem.stuck[fiber][slot] = m == mem.last[slot] ? 0 : (uint16_t)(m + 1);
    take_over(&mem.seen[fiber], slot, m, order);
    if (mem.kind == MEM_TSO && !own) /* it has left its store buffer */
        view_join(&mem.common, mem.with[m]);
    return part_of(m ? mem.message[m].value : mem.first[slot], addr, len);
}

static void mem_fence(unsigned fiber, bool acquire)
{
    if (!mem.unfenced)
        view_join(acquire ? &mem.seen[fiber] : &mem.fence[fiber], acquire ? &mem.read[fiber] : &mem.seen[fiber]);
}

/* From here on the fiber is another thread, which knows of what the first one did, but has made no fence itself. */
static inline void mem_thread(unsigned fiber)
{
    mem.fence[fiber].n = mem.read[fiber].n = 0;
}

/* Payload: stores a value that was not there before. What raced is told by mem.raced. */
static inline void mem_use(int fiber, amxi_a64 *p)
{
    mem.using[fiber] = p;
    amxi_st64_rlx(p, (uint64_t)mem.messages << 32 | 0x5a5a5a5a);
    mem.using[fiber] = NULL;
}

/* Whatever the dead one has done and seen comes before what the kernel tells of its death: to who asks. */
static void mem_die(unsigned fiber)
{
    view_join(&mem.dead, &mem.seen[fiber]);
}

static inline void mem_told(unsigned fiber)
{
    view_join(&mem.seen[fiber], &mem.dead);
}

#endif
