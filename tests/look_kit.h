/* SPDX-License-Identifier: Apache-2.0 */
/* Segments written by hand, without the arena: what the tests of check and walk look at. */
#ifndef AMX_TEST_LOOK_KIT_H
#define AMX_TEST_LOOK_KIT_H

#include "sector.h"
#include "tests/support.h"

struct image {
    struct amxi_seg s;
    struct amx h; /* looks at it as an attached segment */
    size_t len;
};

/* Handles 1 and 2 of peer 0 are open and closed. Every sector is one free block. */
static inline void image_make(struct image *m, struct amx_options *o)
{
    memset(m, 0, sizeof *m);
    ok(amxi_geometry_plan(o, &m->s.g, NULL, 0));
    m->s.g.first_gen = AMXI_GEN_MASK - 3; /* so that generations wrap */
    m->len = m->s.g.size;
    m->s.base = aligned_alloc(AMXI_PAGE, m->len);
    assert_non_null(m->s.base);
    memset(m->s.base, 0, m->len);
    m->s.fd = m->s.lock_fd = -1;
    m->h.seg = &m->s;
    amxi_format(m->s.base, &m->s.g);
    amxi_sectors_format(&m->s);
    amxi_st64_rlx(&amxi_head(&m->s)->tickets, 7);
    amxi_st32_rlx(&amxi_head(&m->s)->handles_high, 2);
    amxi_st64_rlx(&amxi_peer(&m->s, 0)->word, AMXI_PEER_WORD(AMXI_PEER_LIVE, 7));
    amxi_st64_rlx(&amxi_handle(&m->s, 0)->word, AMXI_H_WORD(AMXI_H_OPEN, 0, 5));
    amxi_st64_rlx(&amxi_handle(&m->s, 1)->word, AMXI_H_WORD(AMXI_H_CLOSED, 0, 6));
}

static inline void image_free(struct image *m)
{
    free(m->s.base);
}

static inline uint32_t size_at(const struct image *m, uint64_t unit)
{
    return AMXI_W1_SIZE(amxi_ld64_rlx(&amxi_block(&m->s, unit)->w1));
}

static inline void header(struct image *m, uint64_t unit, uint32_t state, uint32_t owner, uint32_t size)
{
    amxi_st64_rlx(&amxi_block(&m->s, unit)->w0, AMXI_W0(state, owner, 1000 + unit));
    amxi_st64_rlx(&amxi_block(&m->s, unit)->w1, AMXI_W1(size, 0));
}

static inline void touch(struct image *m, uint32_t tag, uint32_t sector)
{
    if (tag && tag <= m->s.g.handles)
        amxi_or64_rlx(amxi_touched(&m->s, tag - 1) + sector / 64, UINT64_C(1) << (sector & 63));
}

static inline void bit_put(struct image *m, uint64_t unit, bool on)
{
    amxi_a64 *w = amxi_bitmap(&m->s, 0) + unit / 64;
    uint64_t bit = UINT64_C(1) << (unit & 63), old = amxi_ld64_rlx(w);
    amxi_st64_rlx(w, on ? old | bit : old & ~bit);
}

static inline amxi_a32 *footer(struct image *m, uint64_t end)
{
    return (amxi_a32 *)(void *)amxi_block(&m->s, end) - 1;
}

static inline struct amxi_free_body *free_body(struct image *m, uint64_t unit)
{
    return (struct amxi_free_body *)(void *)amxi_block(&m->s, unit);
}

/* Puts a free block in front of its list. */
static inline void listed(struct image *m, uint32_t i, uint32_t u, uint32_t size)
{
    struct amxi_sector_body *b = amxi_sector(&m->s, i);
    uint64_t unit = (uint64_t)i * m->s.g.su;
    uint32_t bin = amxi_bin(size), next = amxi_ld32_rlx(&b->head[bin - 2]);
    amxi_st32_rlx(footer(m, unit + u + size), size);
    amxi_st32_rlx(&free_body(m, unit + u)->next, next);
    amxi_st32_rlx(&free_body(m, unit + u)->prev, 0);
    if (next)
        amxi_st32_rlx(&free_body(m, unit + next - 1)->prev, u + 1);
    amxi_st32_rlx(&b->head[bin - 2], u + 1);
    amxi_st8_rlx(&b->sl[bin / 8], (uint8_t)(amxi_ld8_rlx(&b->sl[bin / 8]) | 1u << bin % 8));
    amxi_st32_rlx(&b->fl, amxi_ld32_rlx(&b->fl) | 1u << bin / 8);
}

struct piece {
    uint32_t units; /* 0: the rest of the sector */
    uint32_t state, owner;
};

/* Makes sector i, from unit `first` on, consist of n pieces: headers, bits, lists, hint, touched. */
static inline void lay(struct image *m, uint32_t i, uint32_t first, const struct piece *p, size_t n)
{
    struct amxi_sector_body *b = amxi_sector(&m->s, i);
    uint32_t su = m->s.g.su, u = first, largest = 0;
    uint64_t unit = (uint64_t)i * su;
    for (uint32_t k = 0; k < su; k++)
        bit_put(m, unit + k, false);
    for (uint32_t k = 0; k < m->s.g.bins; k++)
        amxi_st32_rlx(&b->head[k], 0);
    for (uint32_t k = 0; k < sizeof b->sl; k++)
        amxi_st8_rlx(&b->sl[k], 0);
    amxi_st32_rlx(&b->fl, 0);
    amxi_st32_rlx(&b->first, first);
    for (size_t k = 0; k < n; k++) {
        uint32_t size = p[k].units ? p[k].units : su - u;
        header(m, unit + u, p[k].state, p[k].owner, size);
        bit_put(m, unit + u, true);
        touch(m, p[k].owner, i);
        if (p[k].state == AMX_STATE_FREE) {
            listed(m, i, u, size);
            largest = size > largest ? size : largest;
        }
        u += size;
    }
    assert_int_equal(u, su);
    amxi_st8_rlx(amxi_avail(&m->s, i), (uint8_t)(largest == su ? AMXI_AVAIL_WHOLE : amxi_bin(largest)));
}

static inline void kind(struct image *m, uint32_t i, uint32_t k, uint32_t who)
{
    amxi_st64_rlx(&amxi_sector(&m->s, i)->word, AMXI_S_WORD(k, who, 9));
}

/* A queue over the blocks at the units given, first to last. */
static inline uint64_t chained(struct image *m, uint32_t i, const uint32_t *u, uint32_t n, uint32_t round)
{
    uint64_t unit = (uint64_t)i * m->s.g.su;
    for (uint32_t k = 0; k < n; k++)
        amxi_st64_rlx(&amxi_block(&m->s, unit + u[k])->w1,
                      AMXI_W1(size_at(m, unit + u[k]), k + 1 < n ? u[k + 1] + 1 : 0));
    return AMXI_Q_WORD(n ? u[0] + 1 : 0, n, round);
}

/* A large block over sectors i..i+len-1, from unit `first` on, and `tail` units of the next sector, which must have
 * been laid from there. */
static inline void large(struct image *m, uint32_t i, uint32_t first, uint32_t len, uint32_t tail, uint32_t state,
                         uint32_t owner)
{
    struct amxi_sector_body *b = amxi_sector(&m->s, i);
    uint32_t su = m->s.g.su;
    for (uint64_t u = (uint64_t)i * su; u < (uint64_t)(i + len) * su; u++)
        bit_put(m, u, false);
    for (uint32_t c = i; c < i + len; c++) {
        kind(m, c, c == i ? AMXI_K_HEAD : AMXI_K_CONT, c == i ? 0 : i);
        amxi_st8_rlx(amxi_avail(&m->s, c), 0);
        memset((void *)amxi_block(&m->s, (uint64_t)c * su), 0xa5, (size_t)su * AMXI_UNIT); /* payload */
    }
    header(m, (uint64_t)i * su + first, state, owner, 0);
    bit_put(m, (uint64_t)i * su + first, true);
    touch(m, owner, i);
    amxi_st32_rlx(&b->first, first);
    amxi_st32_rlx(&b->ext_len, len);
    amxi_st32_rlx(&b->ext_tail, tail);
    if (tail)
        amxi_st32_rlx(&amxi_sector(&m->s, i + len)->cut_by, i);
}

/*
 * The scene: one of everything that a sound segment can hold, su = 256 units.
 *   0  free        1  a mix of states, two free blocks in one list, two in the queue
 *   2  large block over 2, 3, 4 and 40 units of 5        6  half drained: two being drained, one in the queue
 *   7  large block of one sector, aligned to 64          8  one block of the whole sector        9.. free
 */
static const struct piece mix[] = {{4, AMX_STATE_ALLOCATED, 1},
                                   {10, AMX_STATE_FREE, 0},
                                   {5, 100, 1},
                                   {6, AMX_STATE_CACHED, 1},
                                   {10, AMX_STATE_FREE, 0},
                                   {7, 3000, 0},
                                   {8, AMX_STATE_ACKED, 1},
                                   {9, AMX_STATE_ACKED, 2},
                                   {3, AMX_STATE_ALLOCATED, 2},
                                   {2, AMX_STATE_FREE, 0},
                                   {0, 4095, 2}};
enum {
    MIX_A = 0,
    MIX_F1 = 4,
    MIX_U = 14,
    MIX_C = 19,
    MIX_F2 = 25,
    MIX_P = 35,
    MIX_Q1 = 42,
    MIX_Q2 = 50,
    MIX_B = 59,
    MIX_F3 = 62,
    MIX_END = 64
};

static inline void scene(struct image *m)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    o.size = UINT64_C(64) << 10;
    o.max_size = UINT64_C(80) << 10;
    o.handles = 4;
    o.peers = 3;
    image_make(m, &o);
    assert_int_equal(m->s.g.su, 256);
    assert_true(m->s.g.sectors >= 10 && m->s.g.sectors < m->s.g.sectors_max);
    lay(m, 1, 0, mix, sizeof mix / sizeof *mix);
    amxi_st64_rlx(amxi_acked(&m->s, 1), chained(m, 1, (const uint32_t[]){MIX_Q2, MIX_Q1}, 2, 3));
    static const struct piece after[] = {{20, AMX_STATE_ALLOCATED, 1}, {0, AMX_STATE_FREE, 0}};
    lay(m, 5, 40, after, 2);
    large(m, 2, 0, 3, 40, AMX_STATE_ALLOCATED, 1);
    static const struct piece drained[] = {
        {5, AMX_STATE_ACKED, 1}, {5, AMX_STATE_ACKED, 1}, {5, AMX_STATE_ACKED, 1}, {0, AMX_STATE_FREE, 0}};
    lay(m, 6, 0, drained, 4);
    amxi_st64_rlx(&amxi_sector(&m->s, 6)->drain, chained(m, 6, (const uint32_t[]){5, 0}, 2, 3) & 0xffff0000ffffffff);
    amxi_st64_rlx(amxi_acked(&m->s, 6), chained(m, 6, (const uint32_t[]){10}, 1, 4));
    large(m, 7, 3, 1, 0, 2048, 0);
    lay(m, 8, 0, (const struct piece[]){{0, AMX_STATE_ALLOCATED, 2}}, 1);
}

#endif
