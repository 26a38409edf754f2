/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sector core: what its holder does inside. docs/design.md draws each operation; the numbered comments here are
 * its steps. At every instruction the sizes from `first` on cover the sector exactly, so whoever takes the sector over
 * after a death can rebuild all the rest. amxi_cb() keeps that order in the machine code; between processes the
 * sector word's acquire and release order everything, so all stores here are relaxed unless a line says otherwise.
 */
#include "sector.h"

#define DEEP_MAX 64u /* blocks of one list that a deep search looks at */

void amxi_sec_view(const struct amxi_seg *s, uint32_t index, uint32_t tag, struct amxi_sec *x)
{
    x->s = s;
    x->b = amxi_sector(s, index);
    x->acked = amxi_acked(s, index);
    x->bits = amxi_bitmap(s, index);
    x->su = s->g.su;
    x->mem = (uint8_t *)amxi_block(s, (uint64_t)index << s->g.su_log2);
    x->index = index;
    x->tag = tag;
    x->word = 0;
}

/* --- Small verbs --- */

static uint64_t w0_of(const struct amxi_sec *x, uint32_t i)
{
    return amxi_ld64_rlx(&amxi_sec_block(x, i)->w0); /* ours, or judged as one value */
}

static uint32_t size_of(const struct amxi_sec *x, uint32_t i)
{
    return AMXI_W1_SIZE(amxi_ld64_rlx(&amxi_sec_block(x, i)->w1)); /* only the holder changes sizes: us */
}

static void set_w0(struct amxi_sec *x, uint32_t i, uint32_t state, uint32_t owner, uint64_t gen)
{
    amxi_st64_rlx(&amxi_sec_block(x, i)->w0, AMXI_W0(state, owner, gen & AMXI_GEN_MASK));
}

static void set_state(struct amxi_sec *x, uint32_t i, uint32_t state, uint32_t owner)
{
    set_w0(x, i, state, owner, AMXI_W0_GEN(w0_of(x, i)));
}

static void set_size(struct amxi_sec *x, uint32_t i, uint32_t size)
{
    amxi_st64_rlx(&amxi_sec_block(x, i)->w1, AMXI_W1(size, 0));
}

static struct amxi_free_body *free_at(const struct amxi_sec *x, uint32_t i)
{
    return (struct amxi_free_body *)(void *)amxi_sec_block(x, i);
}

static amxi_a32 *foot_of(const struct amxi_sec *x, uint32_t end) /* last 4 bytes before unit end */
{
    return (amxi_a32 *)(void *)(x->mem + (uint64_t)end * AMXI_UNIT - 4);
}

void amxi_sec_bit_set(struct amxi_sec *x, uint32_t i)
{
    amxi_a64 *w = &x->bits[i >> 6];
    /* relaxed: who sees the bit early finds the header of before, and the answer is that of a moment before */
    amxi_cb();
    amxi_st64_rlx(w, amxi_ld64_rlx(w) | UINT64_C(1) << (i & 63));
}

void amxi_sec_bit_clear(struct amxi_sec *x, uint32_t i)
{
    amxi_a64 *w = &x->bits[i >> 6];
    amxi_st64_rlx(w, amxi_ld64_rlx(w) & ~(UINT64_C(1) << (i & 63)));
}

void amxi_gclock_past(struct amxi_sec *x, uint64_t gen)
{
    uint64_t now = amxi_ld64_rlx(&x->b->gclock), next = (gen + 1) & AMXI_GEN_MASK;
    uint64_t ahead = (next - now) & AMXI_GEN_MASK;
    if (ahead && ahead < UINT64_C(1) << 39)
        amxi_st64_rlx(&x->b->gclock, next);
}

static uint64_t gclock_take(struct amxi_sec *x, uint32_t n) /* n generations that no header here has had */
{
    uint64_t now = amxi_ld64_rlx(&x->b->gclock);
    amxi_st64_rlx(&x->b->gclock, (now + n) & AMXI_GEN_MASK);
    return now;
}

static bool header_at(const struct amxi_sec *x, uint32_t i)
{
    return i < x->su - 1 && amxi_bit(x->bits, i); /* the smallest block has two units; i may be any number */
}

static bool in_sector(const struct amxi_sec *x, uint32_t i, uint32_t size)
{
    return size >= AMXI_UNITS_MIN && i < x->su && size <= x->su - i;
}

/* A free block at i, of a size that stays in the sector? */
static bool free_block(const struct amxi_sec *x, uint32_t i, uint32_t *size)
{
    if (!header_at(x, i) || AMXI_W0_STATE(w0_of(x, i)) != AMX_STATE_FREE)
        return false;
    *size = size_of(x, i);
    return in_sector(x, i, *size);
}

/* --- Lists --- */

static amxi_a32 *head_of(struct amxi_sec *x, uint32_t bin)
{
    return &x->b->head[bin - AMXI_UNITS_MIN];
}

void amxi_sec_link(struct amxi_sec *x, uint32_t i)
{
    uint32_t size = size_of(x, i), bin = amxi_bin(size), f = bin >> 3;
    if (!in_sector(x, i, size))
        return; /* overwritten since it was checked: left out, the next rebuild judges it */
    amxi_a32 *head = head_of(x, bin);
    uint32_t next = amxi_ld32_rlx(head);
    amxi_st32_rlx(foot_of(x, i + size), size);
    amxi_st32_rlx(&free_at(x, i)->next, next);
    amxi_st32_rlx(&free_at(x, i)->prev, 0);
    if (next && next < x->su)
        amxi_st32_rlx(&free_at(x, next - 1)->prev, i + 1);
    amxi_st32_rlx(head, i + 1);
    amxi_st8_rlx(&x->b->sl[f], (uint8_t)(amxi_ld8_rlx(&x->b->sl[f]) | 1u << (bin & 7)));
    amxi_st32_rlx(&x->b->fl, amxi_ld32_rlx(&x->b->fl) | 1u << f);
}

int amxi_sec_unlink(struct amxi_sec *x, uint32_t i)
{
    uint32_t size = size_of(x, i), bin = amxi_bin(size), f = bin >> 3;
    if (!in_sector(x, i, size))
        return AMX_E_CORRUPT;
    uint32_t next = amxi_ld32_rlx(&free_at(x, i)->next), prev = amxi_ld32_rlx(&free_at(x, i)->prev);
    if (next && (!header_at(x, next - 1) || amxi_ld32_rlx(&free_at(x, next - 1)->prev) != i + 1))
        return AMX_E_CORRUPT;
    if (prev ? !header_at(x, prev - 1) || amxi_ld32_rlx(&free_at(x, prev - 1)->next) != i + 1
             : amxi_ld32_rlx(head_of(x, bin)) != i + 1)
        return AMX_E_CORRUPT;
    if (next)
        amxi_st32_rlx(&free_at(x, next - 1)->prev, prev);
    if (prev) {
        amxi_st32_rlx(&free_at(x, prev - 1)->next, next);
        return AMX_OK;
    }
    amxi_st32_rlx(head_of(x, bin), next);
    if (next)
        return AMX_OK;
    uint32_t sl = amxi_ld8_rlx(&x->b->sl[f]) & ~(1u << (bin & 7));
    amxi_st8_rlx(&x->b->sl[f], (uint8_t)sl);
    if (!sl)
        amxi_st32_rlx(&x->b->fl, amxi_ld32_rlx(&x->b->fl) & ~(1u << f));
    return AMX_OK;
}

static void lists_clear(struct amxi_sec *x)
{
    amxi_st32_rlx(&x->b->fl, 0);
    for (uint32_t f = 0; f < sizeof x->b->sl / sizeof *x->b->sl; f++)
        amxi_st8_rlx(&x->b->sl[f], 0);
    for (uint32_t b = 0; b < x->s->g.bins; b++)
        amxi_st32_rlx(&x->b->head[b], 0);
}

/* First free block of at least `need` units, best list first. *found = UINT32_MAX: none. */
static int find(struct amxi_sec *x, uint32_t need, bool deep, uint32_t *found)
{
    *found = UINT32_MAX;
    if (need > x->su)
        return AMX_OK;
    uint32_t bin = amxi_bin(need), size;
    if (amxi_bin_units(bin) != need) { /* its own list holds smaller ones too */
        uint32_t e = amxi_ld32_rlx(head_of(x, bin));
        for (uint32_t n = deep ? DEEP_MAX : 1; e && n; n--) {
            if (!free_block(x, e - 1, &size))
                return AMX_E_CORRUPT;
            if (size >= need) {
                *found = e - 1;
                return AMX_OK;
            }
            e = amxi_ld32_rlx(&free_at(x, e - 1)->next);
        }
        bin++;
    }
    uint32_t f = bin >> 3;
    if (f >= sizeof x->b->sl / sizeof *x->b->sl)
        return AMX_OK;
    uint32_t sl = amxi_ld8_rlx(&x->b->sl[f]) & (0xffu << (bin & 7));
    if (!sl) {
        uint32_t fl = amxi_ld32_rlx(&x->b->fl) & ~((2u << f) - 1);
        if (!fl)
            return AMX_OK;
        f = (uint32_t)__builtin_ctz(fl);
        if (f >= sizeof x->b->sl / sizeof *x->b->sl || !(sl = amxi_ld8_rlx(&x->b->sl[f])))
            return AMX_E_CORRUPT;
    }
    bin = f * 8 + (uint32_t)__builtin_ctz(sl);
    if (bin < AMXI_UNITS_MIN || bin - AMXI_UNITS_MIN >= x->s->g.bins)
        return AMX_E_CORRUPT;
    uint32_t e = amxi_ld32_rlx(head_of(x, bin));
    if (!e || !free_block(x, e - 1, &size) || size < need)
        return AMX_E_CORRUPT;
    *found = e - 1;
    return AMX_OK;
}

/* --- Split --- */

/* A header inside a free block or a claimed one: invisible until the size before it says so. */
static void new_header(struct amxi_sec *x, uint32_t i, uint32_t size, uint32_t state, uint32_t owner, uint64_t gen)
{
    set_size(x, i, size);
    set_w0(x, i, state, owner, gen);
    amxi_sec_bit_set(x, i);
}

int amxi_sec_carve(struct amxi_sec *x, uint32_t c, uint32_t k, bool deep, uint32_t *out, uint32_t *n)
{
    uint32_t i = UINT32_MAX, size;
    *n = 0;
    for (uint32_t want = k; want && i == UINT32_MAX; want >>= 1) {
        int e = find(x, c * want, deep && want == 1, &i);
        if (e)
            return e;
    }
    if (i == UINT32_MAX)
        return AMX_OK;
    /* 1 out of its list: from here on a death leaves one free block that rebuild finds in the chain */
    if (!free_block(x, i, &size) || size < c || amxi_sec_unlink(x, i)) /* overwritten since it was found? */
        return AMX_E_CORRUPT;
    uint32_t made = size / c < k ? size / c : k, rest = size - made * c, last = c;
    if (rest < AMXI_UNITS_MIN) {
        last += rest;
        rest = 0;
    }
    uint64_t gen = gclock_take(x, made + 1);
    amxi_cb();
    /* 2 headers behind the first one: they lie inside a free block */
    for (uint32_t j = 1; j < made; j++) {
        out[j] = i + j * c;
        new_header(x, out[j], j == made - 1 ? last : c, AMX_STATE_CACHED, x->tag, gen + j);
    }
    if (rest)
        new_header(x, i + made * c, rest, AMX_STATE_FREE, 0, gen + made);
    amxi_cb();
    /* 3 publish: the chain has all of them. The first keeps its generation */
    set_size(x, i, made == 1 ? last : c);
    amxi_cb();
    set_state(x, i, AMX_STATE_CACHED, x->tag);
    out[0] = i;
    /* 4 the rest into its list */
    if (rest)
        amxi_sec_link(x, i + made * c);
    *n = made;
    return AMX_OK;
}

int amxi_sec_carve_aligned(struct amxi_sec *x, uint32_t u, uint32_t align, uint32_t *out, uint32_t *n)
{
    uint32_t au = align / AMXI_UNIT, i, size;
    *n = 0;
    int e = find(x, u + au + 1, true, &i); /* room for any gap that can be needed: 0, 2..au+1 units */
    if (e || i == UINT32_MAX)
        return e;
    if (!free_block(x, i, &size))
        return AMX_E_CORRUPT;
    uint32_t p = ((i + 1 + au - 1) & ~(au - 1)) - 1; /* sectors begin at multiples of 4096: unit p + 1 is aligned */
    if (p != i && p - i < AMXI_UNITS_MIN)
        p += au;
    uint32_t gap = p - i, rest = size - gap - u;
    if (size < gap + u || amxi_sec_unlink(x, i)) /* 1; as in carve */
        return AMX_E_CORRUPT;
    if (rest < AMXI_UNITS_MIN) {
        u += rest;
        rest = 0;
    }
    uint64_t gen = gclock_take(x, 2);
    amxi_cb();
    if (rest) /* 2 */
        new_header(x, p + u, rest, AMX_STATE_FREE, 0, gen + 1);
    if (gap)
        new_header(x, p, u, AMX_STATE_CACHED, x->tag, gen);
    amxi_cb();
    set_size(x, i, gap ? gap : u); /* 3 publish: gap, block and rest */
    amxi_cb();
    if (gap) /* 4 */
        amxi_sec_link(x, i);
    else
        set_state(x, i, AMX_STATE_CACHED, x->tag);
    if (rest)
        amxi_sec_link(x, p + u);
    out[0] = p;
    *n = 1;
    return AMX_OK;
}

/* --- Merge --- */

/* x->mem block i is COALESCING: ours alone. Merges it with free neighbours, at most two, and links the result. */
static int coalesce(struct amxi_sec *x, uint32_t i)
{
    uint32_t first = amxi_ld32_rlx(&x->b->first), size = size_of(x, i), other;
    if (i < first || !in_sector(x, i, size))
        return AMX_E_CORRUPT;
    uint32_t r = i + size;
    if (r < x->su && !header_at(x, r))
        return AMX_E_CORRUPT;
    if (r < x->su && AMXI_W0_STATE(w0_of(x, r)) == AMX_STATE_FREE) {
        if (!free_block(x, r, &other) || amxi_sec_unlink(x, r)) /* 1 */
            return AMX_E_CORRUPT;
        amxi_gclock_past(x, AMXI_W0_GEN(w0_of(x, r)));
        amxi_cb();
        size += other;
        set_size(x, i, size); /* 2 publish: r vanishes */
        amxi_cb();
        amxi_sec_bit_clear(x, r);
    }
    /* 3 is there a free left neighbour? Then the four bytes before us are its size; else they are payload, which its
     * owner may be writing this very moment. The bitmap is exact, so a match proves it */
    uint32_t f = i > first ? amxi_ld32_peek(foot_of(x, i)) : 0;
    if (f >= AMXI_UNITS_MIN && f <= i - first && free_block(x, i - f, &other) && other == f) {
        uint32_t l = i - f;
        if (amxi_sec_unlink(x, l))
            return AMX_E_CORRUPT;
        amxi_gclock_past(x, AMXI_W0_GEN(w0_of(x, i)));
        amxi_cb();
        set_size(x, l, f + size); /* 4 publish: i vanishes */
        amxi_cb();
        amxi_sec_bit_clear(x, i);
        amxi_sec_link(x, l);
        return AMX_OK;
    }
    set_state(x, i, AMX_STATE_FREE, 0); /* 5 */
    amxi_cb();
    amxi_sec_link(x, i);
    return AMX_OK;
}

int amxi_sec_free(struct amxi_sec *x, uint32_t i)
{
    if (!header_at(x, i))
        return AMX_E_CORRUPT;
    set_state(x, i, AMX_STATE_COALESCING, 0);
    amxi_cb();
    return coalesce(x, i);
}

int amxi_sec_drain(struct amxi_sec *x, uint32_t max, uint32_t *count)
{
    bool taken = false;
    *count = 0;
    for (;;) {
        uint64_t d = amxi_ld64_rlx(&x->b->drain);
        if (!AMXI_Q_ENTRY(d)) {
            if (taken && max == UINT32_MAX) /* what came later came from the living: their next holder's */
                return AMX_OK;
            uint64_t a = amxi_ld64_rlx(x->acked); /* the exchange acquires */
            do {
                if (!AMXI_Q_ENTRY(a))
                    return AMX_OK;
                /* 1 note what is about to be taken: if the round still is the same after a death, it was not */
                d = AMXI_Q_WORD(AMXI_Q_ENTRY(a), 0, AMXI_Q_ROUND(a));
                amxi_st64_rlx(&x->b->drain, d);
                amxi_cb();
                /* 2 take all. acquire: pairs with the release of push: links, and what the pusher did to the payload */
            } while (!amxi_cas64_acq(x->acked, &a, AMXI_Q_WORD(0, 0, (AMXI_Q_ROUND(a) + 1) & 0xffff)));
            taken = true;
        }
        if (*count >= max)
            return AMX_OK;
        uint32_t i = AMXI_Q_ENTRY(d) - 1;
        uint32_t state = header_at(x, i) ? AMXI_W0_STATE(w0_of(x, i)) : AMX_STATE_FREE;
        if (state != AMX_STATE_ACKED && state != AMX_STATE_COALESCING)
            return AMX_E_CORRUPT;
        /* 3 mark, 4 advance: the other order leaks the block in a death between the two */
        set_state(x, i, AMX_STATE_COALESCING, 0);
        amxi_cb();
        uint32_t link = AMXI_W1_LINK(amxi_ld64_rlx(&amxi_sec_block(x, i)->w1));
        amxi_st64_rlx(&x->b->drain, AMXI_Q_WORD(link, 0, AMXI_Q_ROUND(d)));
        amxi_cb();
        int e = coalesce(x, i); /* 5 */
        if (e)
            return e;
        ++*count;
    }
}

int amxi_sec_resize(struct amxi_sec *x, uint32_t i, uint32_t u, bool *done)
{
    *done = false;
    uint32_t size = header_at(x, i) ? size_of(x, i) : 0, other;
    if (!in_sector(x, i, size) || (i + size < x->su && !header_at(x, i + size)))
        return AMX_E_CORRUPT;
    if (u <= size) {
        *done = true;
        if (size - u < AMXI_UNITS_MIN)
            return AMX_OK;
        uint64_t gen = gclock_take(x, 1);
        amxi_cb();
        new_header(x, i + u, size - u, AMX_STATE_COALESCING, 0, gen); /* 1 inside our payload */
        amxi_cb();
        set_size(x, i, u); /* 2 publish */
        amxi_cb();
        return coalesce(x, i + u); /* 3 */
    }
    uint32_t r = i + size;
    if (r >= x->su || !free_block(x, r, &other) || size + other < u)
        return AMX_OK;
    if (amxi_sec_unlink(x, r)) /* 1 */
        return AMX_E_CORRUPT;
    uint32_t rest = size + other - u;
    if (rest < AMXI_UNITS_MIN) {
        u += rest;
        rest = 0;
    }
    amxi_gclock_past(x, AMXI_W0_GEN(w0_of(x, r)));
    uint64_t gen = gclock_take(x, 1);
    amxi_cb();
    if (rest) /* 2 inside r */
        new_header(x, i + u, rest, AMX_STATE_FREE, 0, gen);
    amxi_cb();
    set_size(x, i, u); /* 3 publish: r vanishes */
    amxi_cb();
    amxi_sec_bit_clear(x, r);
    if (rest)
        amxi_sec_link(x, i + u);
    *done = true;
    return AMX_OK;
}

/* --- Rebuild --- */

/* The bitmap as the chain has it, word by word from a register, storing only what differs: no living block's bit may
 * flicker, frees read it. */
struct bits_writer {
    struct amxi_sec *x;
    uint32_t at;   /* word */
    uint64_t word; /* what it is to be */
};

static void bits_flush(struct bits_writer *w, uint32_t to)
{
    for (; w->at < to; w->at++, w->word = 0)
        if (amxi_ld64_rlx(&w->x->bits[w->at]) != w->word)
            amxi_st64_rlx(&w->x->bits[w->at], w->word); /* as amxi_sec_bit_set */
}

static void bits_put(struct bits_writer *w, uint32_t i)
{
    bits_flush(w, i >> 6);
    w->word |= UINT64_C(1) << (i & 63);
}

static bool loose(uint32_t state)
{
    return state == AMX_STATE_FREE || state == AMX_STATE_COALESCING;
}

/* Does the chain from `first` cover the sector? */
static bool chain_whole(const struct amxi_sec *x, uint32_t first)
{
    uint32_t i = first;
    while (i < x->su) {
        uint32_t size = size_of(x, i);
        if (!in_sector(x, i, size))
            return false;
        i += size;
    }
    return true;
}

/* The chain: runs of what is not live become one block each, by one size store; the bitmap as it says. Every size is
 * looked at again: a process that overwrites headers may do so at any time. */
static bool chain_merge(struct amxi_sec *x, uint32_t first)
{
    struct bits_writer w = {x, 0, 0};
    for (uint32_t i = first, size; i < x->su; i += size) {
        size = size_of(x, i);
        if (!in_sector(x, i, size))
            return false;
        bits_put(&w, i);
        if (!loose(AMXI_W0_STATE(w0_of(x, i))))
            continue;
        for (uint32_t r = i + size; r < x->su && loose(AMXI_W0_STATE(w0_of(x, r))); r = i + size) {
            uint32_t more = size_of(x, r);
            if (!in_sector(x, r, more))
                return false;
            amxi_gclock_past(x, AMXI_W0_GEN(w0_of(x, r)));
            amxi_cb();
            size += more;
            set_size(x, i, size);
            amxi_cb();
        }
        set_state(x, i, AMX_STATE_FREE, 0);
    }
    bits_flush(&w, x->su / 64);
    return true;
}

static void lists_fill(struct amxi_sec *x, uint32_t first)
{
    for (uint32_t i = first, size; i < x->su; i += size) {
        size = size_of(x, i);
        if (!in_sector(x, i, size))
            return; /* as in chain_merge; the next rebuild judges it */
        if (AMXI_W0_STATE(w0_of(x, i)) == AMX_STATE_FREE)
            amxi_sec_link(x, i);
    }
}

/* The queue that was being taken over. The round still is the same: it was not taken. Its next block is marked: go past
 * it. */
static void drain_resume(struct amxi_sec *x)
{
    uint64_t d = amxi_ld64_rlx(&x->b->drain), a = amxi_ld64_rlx(x->acked); /* only its round */
    uint32_t i = AMXI_Q_ENTRY(d) - 1;
    if (AMXI_Q_ENTRY(d) && AMXI_Q_ROUND(d) == AMXI_Q_ROUND(a))
        amxi_st64_rlx(&x->b->drain, 0);
    else if (i < x->su && AMXI_W0_STATE(w0_of(x, i)) == AMX_STATE_COALESCING)
        amxi_st64_rlx(&x->b->drain,
                      AMXI_Q_WORD(AMXI_W1_LINK(amxi_ld64_rlx(&amxi_sec_block(x, i)->w1)), 0, AMXI_Q_ROUND(d)));
}

/* A queue that leads to no queued block, because a header was overwritten, could never be emptied: what hangs on it is
 * lost until its owner is gone. */
static void drain_judge(struct amxi_sec *x)
{
    uint32_t e = AMXI_Q_ENTRY(amxi_ld64_rlx(&x->b->drain));
    if (e && (!header_at(x, e - 1) || AMXI_W0_STATE(w0_of(x, e - 1)) != AMX_STATE_ACKED))
        amxi_st64_rlx(&x->b->drain, 0);
}

int amxi_sec_rebuild(struct amxi_sec *x)
{
    uint32_t first = amxi_ld32_rlx(&x->b->first);
    if (first < x->su && chain_whole(x, first)) {
        drain_resume(x); /* 1 */
        amxi_cb();
        lists_clear(x); /* 2 a death from here on finds them so again */
        amxi_cb();
        if (chain_merge(x, first)) { /* 3 */
            drain_judge(x);
            amxi_cb();
            lists_fill(x, first); /* 4 */
            return AMX_OK;
        }
    }
    amxi_sec_quarantine(x);
    return AMX_E_CORRUPT;
}

void amxi_sec_reset(struct amxi_sec *x)
{
    uint64_t gen = gclock_take(x, 1);
    amxi_st64_rlx(&x->b->drain, 0);
    lists_clear(x);
    amxi_cb();
    set_w0(x, 0, AMX_STATE_FREE, 0, gen);
    set_size(x, 0, x->su);
    amxi_st32_rlx(&x->b->first, 0);
    amxi_cb();
    struct bits_writer w = {x, 0, 1};
    bits_flush(&w, x->su / 64);
    amxi_sec_link(x, 0);
}

void amxi_sec_quarantine(struct amxi_sec *x)
{
    amxi_st8_rlx(amxi_avail(x->s, x->index), 0);
    /* relaxed: nobody looks behind this kind, and there is no way out of it */
    amxi_st64_rlx(&x->b->word, AMXI_S_WORD(AMXI_K_QUARANTINED, 0, AMXI_S_EPOCH(x->word)));
}

/* --- In and out --- */

bool amxi_cut_valid(const struct amxi_seg *s, uint32_t j)
{
    struct amxi_sector_body *b = amxi_sector(s, j);
    uint32_t i = amxi_ld32_rlx(&b->cut_by), first = amxi_ld32_rlx(&b->first);
    if (i >= j)
        return false;
    struct amxi_sector_body *head = amxi_sector(s, i);
    /* acquire: pairs with the release that made it HEAD: its two fields; and with the one that ended it, as in steal */
    uint64_t w = amxi_ld64_acq(&head->word);
    if (AMXI_S_KIND(w) != AMXI_K_HEAD)
        return false;
    /* acquire each: whichever of the three shows that the HEAD is gone, what its last user did comes before us. Pairs
     * with the releases of the fields in extent.c */
    bool owned = i + (uint64_t)amxi_ld32_acq(&head->ext_len) == j && amxi_ld32_acq(&head->ext_tail) == first;
    return owned && amxi_ld64_acq(&head->word) == w;
}

/* The large block that owned the front is gone: the front becomes a block of this sector again. */
static int cut_restore(struct amxi_sec *x)
{
    uint32_t t = amxi_ld32_rlx(&x->b->first);
    if (t < AMXI_UNITS_MIN || !header_at(x, t))
        return AMX_E_CORRUPT;
    uint64_t gen = gclock_take(x, 1);
    amxi_cb();
    new_header(x, 0, t, AMX_STATE_COALESCING, 0, gen);
    amxi_cb();
    amxi_st32_rlx(&x->b->first, 0); /* publish: the chain begins at 0 */
    amxi_cb();
    return coalesce(x, 0);
}

int amxi_sec_settle(struct amxi_sec *x)
{
    if (amxi_ld32_rlx(&x->b->first) && !amxi_cut_valid(x->s, x->index))
        return cut_restore(x);
    return AMX_OK;
}

int amxi_sec_enter(const struct amxi_seg *s, uint32_t index, uint32_t tag, struct amxi_sec *x)
{
    amxi_a64 *word = &amxi_sector(s, index)->word;
    uint64_t w = amxi_ld64_rlx(word); /* the cas acquires */
    if (AMXI_S_KIND(w) == AMXI_K_HELD)
        return AMX_E_BUSY;
    if (AMXI_S_KIND(w) != AMXI_K_IDLE)
        return AMX_E_NOMEM;
    if (!amxi_sec_steal(s, index, tag, w, x))
        return AMX_E_BUSY;
    int e = amxi_sec_settle(x);
    return e ? amxi_sec_failed(x) : AMX_OK;
}

bool amxi_sec_steal(const struct amxi_seg *s, uint32_t index, uint32_t tag, uint64_t seen, struct amxi_sec *x)
{
    amxi_sec_view(s, index, tag, x);
    x->word = AMXI_S_WORD(AMXI_K_HELD, tag, AMXI_S_EPOCH(seen) + 1);
    /* acquire: pairs with the release of the last holder's leave. Release: when a large block is taken apart, whoever
     * sees that its HEAD is gone (amxi_cut_valid) overwrites what its last user did to the payload in the cut */
    bool in = amxi_cas64_ar(&x->b->word, &seen, x->word);
    amxi_entered(); /* for who looks meanwhile: walk.c, check.c */
    return in;
}

int amxi_sec_failed(struct amxi_sec *x)
{
    if (amxi_sec_rebuild(x))
        return AMX_E_CORRUPT; /* quarantined */
    if (amxi_sec_settle(x)) {
        amxi_sec_quarantine(x);
        return AMX_E_CORRUPT;
    }
    amxi_sec_leave(x);
    return AMX_E_BUSY; /* sound again: the next look is a good one */
}

void amxi_sec_leave(struct amxi_sec *x)
{
    uint32_t fl = amxi_ld32_rlx(&x->b->fl), avail = 0;
    if (fl) {
        uint32_t f = amxi_log2(fl), sl = f < sizeof x->b->sl / sizeof *x->b->sl ? amxi_ld8_rlx(&x->b->sl[f]) : 0;
        avail = sl ? f * 8 + amxi_log2(sl) : 0;
        if (avail == amxi_bin(x->su)) /* the only block of that size is all of it */
            avail = AMXI_AVAIL_WHOLE;
    }
    bool backlog = AMXI_Q_ENTRY(amxi_ld64_rlx(&x->b->drain)) || AMXI_Q_ENTRY(amxi_ld64_rlx(x->acked));
    if (amxi_ld8_rlx(amxi_avail(x->s, x->index)) != avail)
        amxi_st8_rlx(amxi_avail(x->s, x->index), (uint8_t)avail);
    if (amxi_ld8_rlx(amxi_backlog(x->s, x->index)) != backlog)
        amxi_st8_rlx(amxi_backlog(x->s, x->index), backlog);
    /* release: all that was done inside; pairs with the acquire of the next enter */
    amxi_st64_rel(&x->b->word, AMXI_S_WORD(AMXI_K_IDLE, 0, AMXI_S_EPOCH(x->word)));
}

void amxi_sectors_format(const struct amxi_seg *s)
{
    for (uint32_t i = 0; i < s->g.sectors; i++) {
        struct amxi_sec x;
        amxi_sec_view(s, i, 0, &x);
        amxi_st64_rlx(&x.b->gclock, s->g.first_gen);
        amxi_sec_reset(&x);
        x.word = AMXI_S_WORD(AMXI_K_HELD, 0, 1);
        amxi_sec_leave(&x);
    }
}
