/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocate and free. The fast paths touch the block's own header, a bitmap word and private memory: an allocation
 * stores once, a free is one compare-and-swap, whoever owns the block. The slow paths visit one sector; the last
 * resort before "no memory" visits each sector once. Nothing loops on a word that another must change.
 */
#include "checked.h"
#include "os.h"

void amxi_count(const amx_t *h, enum amxi_counter c, uint64_t n)
{
    amxi_a64 *p = &amxi_handle(h->seg, h->tag - 1)->counter[c];
    amxi_st64_rlx(p, amxi_ld64_rlx(p) + n); /* single writer */
    switch (c) {
    case AMXI_C_REFILL:
        AMXI_PROBE(refill, h->tag, n);
        break;
    case AMXI_C_FLUSH:
        AMXI_PROBE(flush, h->tag, n);
        break;
    case AMXI_C_SKIP:
        AMXI_PROBE(skip, h->tag, n);
        break;
    case AMXI_C_PUSH:
        AMXI_PROBE(push, h->tag, n);
        break;
    case AMXI_C_DRAIN:
        AMXI_PROBE(drain, h->tag, n);
        break;
    case AMXI_C_LARGE:
        AMXI_PROBE(large, h->tag, n);
        break;
    case AMXI_C_REBUILD:
        AMXI_PROBE(rebuild, h->tag, n);
        break;
    case AMXI_C_COUNT_:
        break;
    }
}

static void add_flow(const amx_t *h, enum amxi_flow f, uint64_t n)
{
    amxi_a64 *p = &amxi_handle(h->seg, h->tag - 1)->flow[f];
    amxi_st64_rlx(p, amxi_ld64_rlx(p) + n); /* single writer */
}

/* From the matrix; then the most that it had is looked at. */
static void taken(const amx_t *h, uint64_t units)
{
    amxi_a64 *flow = amxi_handle(h->seg, h->tag - 1)->flow;
    add_flow(h, AMXI_F_TAKEN, units * AMXI_UNIT);
    uint64_t has = amxi_ld64_rlx(&flow[AMXI_F_TAKEN]) - amxi_ld64_rlx(&flow[AMXI_F_RETURNED]);
    if (has < UINT64_C(1) << 63 && has > amxi_ld64_rlx(&flow[AMXI_F_HIGH])) /* else it freed what others took */
        amxi_st64_rlx(&flow[AMXI_F_HIGH], has);
}

static uint32_t units_at(const amx_t *h, uint32_t k)
{
    return AMXI_W1_SIZE(amxi_ld64_rlx(&amxi_block(h->seg, k)->w1));
}

/* To it, or into a queue: blocks that are CACHED by us. */
static void returned(const amx_t *h, const uint32_t *units, uint32_t n)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += units_at(h, units[i]);
    add_flow(h, AMXI_F_RETURNED, sum * AMXI_UNIT);
}

/* --- Visiting a sector --- */

/* Enters, and frees what waits in the queue: up to `max` blocks. */
static int visit(const amx_t *h, uint32_t s, uint32_t max, struct amxi_sec *x)
{
    uint32_t count = 0;
    int e = amxi_sec_enter(h->seg, s, h->tag, x);
    if (e == AMX_E_BUSY)
        amxi_count(h, AMXI_C_SKIP, 1);
    if (e)
        return e;
    if (amxi_sec_drain(x, max, &count))
        return amxi_sec_failed(x);
    if (count)
        amxi_count(h, AMXI_C_DRAIN, count);
    return AMX_OK;
}

/* Blocks as wanted from sector s. *n = 0: it has none that fit. */
static int take_from(const amx_t *h, uint32_t s, const struct amxi_want *q, uint32_t drain, uint32_t *out, uint32_t *n)
{
    struct amxi_sec x;
    *n = 0;
    int e = visit(h, s, drain, &x);
    if (e)
        return e;
    amxi_touch(h->seg, h->tag, s);
    e = q->align > AMXI_UNIT ? amxi_sec_carve_aligned(&x, q->c, q->align, out, n)
                             : amxi_sec_carve(&x, q->c, q->k, q->exact, out, n);
    if (e) {
        amxi_count(h, AMXI_C_REBUILD, 1);
        *n = 0;
        return amxi_sec_failed(&x);
    }
    amxi_sec_leave(&x);
    uint64_t units = 0;
    for (uint32_t i = 0; i < *n; i++) {
        out[i] += s << h->seg->g.su_log2;
        units += units_at(h, out[i]);
    }
    if (units)
        taken(h, units);
    return AMX_OK;
}

/* What the magazine has served since the last time, for all to see; it has n blocks now. */
static void set_mag(const amx_t *h, struct amxi_mag *m, uint32_t n)
{
    if (m->word >> 8)
        add_flow(h, AMXI_F_HITS, m->word >> 8);
    m->word = n;
}

static bool trim(amx_t *h)
{
    bool all = true;
    for (uint32_t b = 0; b < AMXI_MAG_BINS; b++) {
        struct amxi_mag *m = &h->mag[b];
        uint32_t n = AMXI_MAG_N(m);
        set_mag(h, m, 0);
        m->back = false;
        if (n && !amxi_give_back(h, m->slot, n))
            all = false;
    }
    return all;
}

/* Drains each sector once. false: some were in use. */
static bool heal(amx_t *h)
{
    bool all = true;
    for (uint32_t s = 0; s < h->seg->g.sectors; s++) {
        struct amxi_sec x;
        int e = visit(h, s, UINT32_MAX, &x);
        if (!e)
            amxi_sec_leave(&x);
        else if (e == AMX_E_BUSY)
            all = false;
    }
    return all;
}

/* Somebody ran short since we last looked: what we cache is worth more to others. */
static void heed_pressure(amx_t *h)
{
    uint32_t p = amxi_ld32_rlx(&amxi_head(h->seg)->pressure);
    if (AMXI_LIKELY(p == h->pressure_seen))
        return;
    h->pressure_seen = p;
    trim(h);
    for (uint32_t b = 0; b < AMXI_MAG_BINS; b++) /* and no more of it than the share is now */
        h->mag[b].cap = 0;
    h->credit = 0;
}

/* --- Search --- */

#define TRIES 8u /* sectors that the hints may send us to */

/* The fullest sector that has a block of `bin`; wholly free ones last, and spread by handle so that each finds its own.
 * None: one with a queue. */
static uint32_t hinted(const amx_t *h, uint32_t bin, const uint32_t *tried, uint32_t n_tried)
{
    uint32_t n = h->seg->g.sectors, best = UINT32_MAX, best_avail = UINT32_MAX, queued = UINT32_MAX;
    uint32_t start = (uint32_t)((uint64_t)h->tag * 0x9E3779B1u % n);
    for (uint32_t j = 0, s = start; j < n; j++, s = s + 1 < n ? s + 1 : 0) {
        uint32_t avail = amxi_ld8_rlx(amxi_avail(h->seg, s));
        bool fits = avail >= bin && avail < best_avail;
        bool backlog = !fits && best == UINT32_MAX && queued == UINT32_MAX && amxi_ld8_rlx(amxi_backlog(h->seg, s));
        if (!fits && !backlog)
            continue;
        bool again = false;
        for (uint32_t t = 0; t < n_tried; t++)
            again |= tried[t] == s;
        if (again)
            continue;
        if (fits) {
            best = s;
            best_avail = avail;
            if (avail == bin)
                break;
        } else {
            queued = s;
        }
    }
    return best != UINT32_MAX ? best : queued;
}

/* Each sector once, believing no hint. */
static int sweep(amx_t *h, const struct amxi_want *q, uint32_t *out, uint32_t *n)
{
    uint32_t sectors = h->seg->g.sectors, s = h->home < sectors ? h->home : 0;
    bool busy = false;
    for (uint32_t j = 0; j < sectors; j++, s = s + 1 < sectors ? s + 1 : 0) {
        int e = take_from(h, s, q, UINT32_MAX, out, n);
        if (*n)
            return AMX_OK;
        if (e == AMX_E_BUSY)
            busy = true;
    }
    return busy ? AMX_E_BUSY : AMX_E_NOMEM;
}

/* Asks the others for their caches, and takes back what the dead held. true: it is worth another look. */
static bool ran_short(amx_t *h)
{
    struct amx_recovery r = {.struct_size = sizeof r};
    h->pressure_seen = amxi_add32_rlx(&amxi_head(h->seg)->pressure, 1) + 1;
    if (h->seg->manual)
        return false;
    (void)amx_recover(h, 0, NULL, NULL, &r); /* in part: the sectors that it could not enter the look finds busy */
    return r.blocks || r.sectors_rebuilt;
}

/* Our caches back, every sector, then what the dead held. One pass of each: what others free meanwhile is for the
 * caller's next try. */
AMXI_COLD static int last_resort(amx_t *h, const struct amxi_want *q, uint32_t *out, uint32_t *n)
{
    trim(h);
    int e = sweep(h, q, out, n);
    return e && ran_short(h) ? sweep(h, q, out, n) : e;
}

static int search(amx_t *h, const struct amxi_want *q, uint32_t *out, uint32_t *n)
{
    struct amxi_want first = *q;
    uint32_t tried[TRIES], bin = amxi_bin_up(q->align > AMXI_UNIT ? q->c + q->align / AMXI_UNIT + 1 : q->c);
    heed_pressure(h);
    first.exact = false;
    uint32_t s = h->home;
    for (uint32_t t = 0; t < TRIES && s < h->seg->g.sectors; t++) {
        take_from(h, s, &first, AMXI_QUEUE_MAX, out, n);
        if (*n) {
            h->home = s;
            return AMX_OK;
        }
        tried[t] = s;
        s = hinted(h, bin, tried, t + 1);
    }
    return last_resort(h, q, out, n);
}

/* --- Magazines --- */

/* Room for more in a magazine, within this handle's share: caches of the idle cannot be had by others, so that all of
 * them together must stay small. */
static bool grow(amx_t *h, uint32_t b)
{
    struct amxi_mag *m = &h->mag[b];
    uint32_t handles = amxi_ld32_rlx(&amxi_head(h->seg)->handles_high);
    uint64_t share = h->budget_all / (handles ? handles : 1), budget = share < h->budget ? share : h->budget;
    uint8_t cap = m->cap ? (uint8_t)(m->cap * 2u) : 1;
    if (cap > AMXI_MAG_SLOTS)
        cap = AMXI_MAG_SLOTS;
    uint64_t more = (uint64_t)(cap - m->cap) * amxi_bin_units(b) * AMXI_UNIT;
    if (!more || h->credit + more > budget)
        return false;
    h->credit += more;
    m->cap = cap;
    return true;
}

/* CACHED by us -> ALLOCATED by us, next generation: the linearisation point of an allocation. A plain store: while
 * CACHED only our thread may write the word. */
static AMXI_INLINE bool hand_out(amx_t *h, uint32_t k, amx_ref *out)
{
    struct amxi_block_body *b = (struct amxi_block_body *)(void *)(h->data + (uint64_t)k * AMXI_UNIT);
    uint64_t w = amxi_ld64_rlx(&b->w0); /* our own store or cas wrote it */
    if (AMXI_UNLIKELY(AMXI_W0_TAG(w) != h->pat_cached))
        return false; /* somebody overwrote the header: never hand it out */
    w += AMXI_GEN_ONE - (AMX_STATE_CACHED - AMX_STATE_ALLOCATED);
    amxi_st64_rlx(&b->w0, w); /* relaxed: other threads get the reference through a release of the caller's */
    *out = AMXI_REF(k + h->first_pu, w);
    amxi_block_allocated(h, k);
    return true;
}

AMXI_SLOW static int refill(amx_t *h, uint32_t u, amx_ref *out)
{
    uint32_t units[AMXI_MAG_SLOTS], n;
    int e = amxi_refuse(h);
    if (e)
        return e;
    if (u < AMXI_UNITS_MIN)
        u = AMXI_UNITS_MIN;
    uint32_t b = amxi_bin_up(u);
    struct amxi_mag *m = &h->mag[b];
    uint32_t whole = amxi_bin_units(b);
    /* A batch where it wastes nothing, or where blocks come back: then rounding up to the bin is what lets them be
     * used again. A program that only fills memory gets each block as small as can be. */
    bool batch = whole == u || h->mag[amxi_bin(u)].back;
    if (batch && !grow(h, b))
        batch = m->cap > 0;
    struct amxi_want q = {batch ? whole : u, batch ? (m->cap + 1u) / 2 : 1, AMXI_UNIT, true};
    e = search(h, &q, units, &n);
    if (e)
        return e;
    amxi_count(h, AMXI_C_REFILL, 1);
    uint32_t kept = 0;
    while (n > 1) /* so that they are handed out in order of address */
        m->slot[kept++] = units[--n];
    set_mag(h, m, kept);
    return hand_out(h, units[0], out) ? AMX_OK : AMX_E_CORRUPT;
}

int amx_alloc(amx_t *h, size_t n, amx_ref *out)
{
    if (AMXI_UNLIKELY(!h || !out))
        return AMX_E_INVAL;
    if (AMXI_UNLIKELY(n > h->small_max))
        return amxi_alloc_uncached(h, n, AMXI_UNIT, out);
    uint32_t u = ((uint32_t)n + 2 * AMXI_UNIT - 1) / AMXI_UNIT;
    struct amxi_mag *m = (struct amxi_mag *)(void *)((char *)h + h->mag_up[u]);
    uint64_t w = m->word;
    uint32_t n_in = (uint8_t)w;
    if (AMXI_UNLIKELY(!n_in))
        return refill(h, u, out);
    m->word = w + AMXI_MAG_HIT;
    if (AMXI_UNLIKELY(!hand_out(h, m->slot[n_in - 1], out)))
        return amx_alloc(h, n, out); /* the magazine has one less: ends */
    return AMX_OK;
}

/* Past the cache. n: bytes of payload. */
AMXI_SLOW int amxi_alloc_uncached(amx_t *h, uint64_t n, uint32_t align, amx_ref *out)
{
    int e = amxi_refuse(h);
    if (e)
        return e;
    const struct amxi_seg *s = h->seg;
    uint64_t max = (uint64_t)s->g.sectors << s->g.su_log2, slack = align > AMXI_UNIT ? align / AMXI_UNIT + 1 : 0;
    if (n > max * AMXI_UNIT)
        return AMX_E_TOO_BIG;
    uint64_t u = (n + 2 * AMXI_UNIT - 1) / AMXI_UNIT, w0, unit;
    if (u < AMXI_UNITS_MIN)
        u = AMXI_UNITS_MIN;
    if (u + slack <= s->g.su) {
        uint32_t units[1], made;
        struct amxi_want q = {(uint32_t)u, 1, align, true};
        e = search(h, &q, units, &made);
        if (e)
            return e;
        return hand_out(h, units[0], out) ? AMX_OK : AMX_E_CORRUPT;
    }
    if (u + (slack ? slack - 2 : 0) > max)
        return AMX_E_TOO_BIG;
    heed_pressure(h);
    e = amxi_extent_claim(s, h->tag, u, align, &unit, &w0);
    if (e) {
        trim(h);
        (void)heal(h); /* in part: the claim finds those sectors busy. Wakes nobody: he who waits healed himself */
        e = amxi_extent_claim(s, h->tag, u, align, &unit, &w0);
    }
    if (e && ran_short(h))
        e = amxi_extent_claim(s, h->tag, u, align, &unit, &w0);
    if (e)
        return e;
    amxi_count(h, AMXI_C_LARGE, 1);
    taken(h, u);
    *out = AMXI_REF(unit + h->first_pu, w0);
    amxi_block_allocated(h, (uint32_t)unit);
    return AMX_OK;
}

/* --- Free --- */

/* CACHED by us -> ACKED by us, linked, pushed: freed, but merged by the sector's next holder. */
void amxi_queue(amx_t *h, const uint32_t *units, uint32_t n)
{
    uint32_t s = units[0] >> h->seg->g.su_log2, mask = h->su_mask;
    struct amxi_block_body *last = NULL;
    returned(h, units, n);
    for (uint32_t i = 0; i < n; i++) {
        struct amxi_block_body *b = amxi_block(h->seg, units[i]);
        uint64_t w = amxi_ld64_rlx(&b->w0);
        /* 1 ours until pushed: a death before 3 leaves it ACKED by the dead on no queue, which recovery frees */
        amxi_st64_rlx(&b->w0, AMXI_W0(AMX_STATE_ACKED, h->tag, AMXI_W0_GEN(w)));
        if (i + 1 < n) /* 2 */
            amxi_st64_rlx(&b->w1, AMXI_W1(AMXI_W1_SIZE(amxi_ld64_rlx(&b->w1)), (units[i + 1] & mask) + 1));
        last = b;
    }
    amxi_a64 *acked = amxi_acked(h->seg, s);
    uint64_t a = amxi_ld64_rlx(acked), size = AMXI_W1_SIZE(amxi_ld64_rlx(&last->w1));
    uint32_t count;
    do {
        amxi_st64_rlx(&last->w1, AMXI_W1(size, AMXI_Q_ENTRY(a)));
        count = AMXI_Q_COUNT(a) + n < 0xffff ? AMXI_Q_COUNT(a) + n : 0xffff;
        /* 3 release: the links, and the payload that the next owner will overwrite; pairs with drain's acquire.
         * Not subject to ABA: the link is the very head that is compared */
    } while (!amxi_cas64_rel(acked, &a, AMXI_Q_WORD((units[0] & mask) + 1, count, AMXI_Q_ROUND(a))));
    amxi_st8_rlx(amxi_backlog(h->seg, s), 1);
    amxi_count(h, AMXI_C_PUSH, 1);
}

AMXI_SLOW void amxi_wake(const amx_t *h)
{
    amxi_a32 *wait = &amxi_head(h->seg)->wait;
    uint32_t w = amxi_ld32_rlx(wait); /* a load that comes too early costs the waiter his first, short sleep */
    if (!(w & 1))
        return;
    /* clears the flag and changes the word in one step. Lost: another wakes them */
    if (amxi_cas32_rlx(wait, &w, w + 1))
        amxi_os_futex_wake_all(wait);
}

bool amxi_give_back(amx_t *h, uint32_t *units, uint32_t n)
{
    bool all = true;
    amxi_count(h, AMXI_C_FLUSH, 1);
    while (n) {
        uint32_t s = units[0] >> h->seg->g.su_log2, m = 1;
        for (uint32_t i = 1; i < n; i++) /* those of one sector to the front */
            if (units[i] >> h->seg->g.su_log2 == s) {
                uint32_t t = units[m];
                units[m++] = units[i];
                units[i] = t;
            }
        struct amxi_sec x;
        if (visit(h, s, AMXI_QUEUE_MAX, &x)) {
            amxi_queue(h, units, m);
            all = false;
        } else {
            int e = AMX_OK;
            returned(h, units, m);
            for (uint32_t i = 0; i < m && !e; i++)
                e = amxi_sec_free(&x, units[i] & h->su_mask);
            if (e) /* what is left of the group stays ours until this handle closes */
                (void)amxi_sec_failed(&x);
            else
                amxi_sec_leave(&x);
        }
        units += m;
        n -= m;
    }
    amxi_wake(h);
    return all;
}

/* Into the magazine, making room if it is full; not if somebody waits for memory. */
AMXI_SLOW static int free_slow(amx_t *h, uint32_t k, uint32_t b)
{
    struct amxi_mag *m = &h->mag[b];
    heed_pressure(h);
    uint32_t n = AMXI_MAG_N(m);
    if (amxi_ld32_rlx(h->wait) & 1) { /* straight to where all can get it */
        amxi_give_back(h, &k, 1);
        return AMX_OK;
    }
    if (n >= m->cap)
        m->back = true;
    if (n >= m->cap && !grow(h, b)) {
        if (!m->cap) {
            amxi_give_back(h, &k, 1);
            return AMX_OK;
        }
        uint32_t drop = (m->cap + 1u) / 2; /* the oldest: the youngest are still in the processor's cache */
        amxi_give_back(h, m->slot, drop);
        n -= drop;
        for (uint32_t i = 0; i < n; i++)
            m->slot[i] = m->slot[i + drop];
    }
    m->slot[n] = k;
    set_mag(h, m, n + 1);
    return AMX_OK;
}

/* Does a block of u units at k end where another begins, or with its sector? */
static inline bool fits(const amx_t *h, uint32_t k, uint32_t u)
{
    uint32_t end = (k & h->su_mask) + u;
    return end <= h->su_mask ? amxi_bit(h->bits, k + u) : end == h->su_mask + 1;
}

/* Size of the block at k, which is CACHED by us: only now, for before the cas a resize could still have changed it.
 * UINT32_MAX: an overrun smashed the header; the block is lost, the sector is not. */
static uint32_t claimed_size(const amx_t *h, uint32_t k)
{
    uint32_t u = AMXI_W1_SIZE(amxi_ld64_rlx(&amxi_block(h->seg, k)->w1));
    return !u || (u >= AMXI_UNITS_MIN && fits(h, k, u)) ? u : UINT32_MAX;
}

/* The block at k is CACHED by us: back to its sector or sectors. u: its size, 0 a large one. *out: in bytes. */
static int to_sector(amx_t *h, uint32_t k, uint32_t u, uint64_t *out)
{
    uint64_t bytes = 0;
    *out = (uint64_t)u * AMXI_UNIT;
    if (u) {
        amxi_give_back(h, &k, 1);
        return AMX_OK;
    }
    if (amxi_extent_usable(h->seg, k, &bytes) == AMX_OK)
        add_flow(h, AMXI_F_RETURNED, *out = bytes + AMXI_UNIT);
    int e = amxi_extent_free(h->seg, h->tag, k);
    amxi_wake(h);
    return e;
}

/* The block at k is CACHED by us: into the magazine, or back. */
AMXI_SLOW static int freed(amx_t *h, uint32_t k)
{
    uint64_t bytes;
    uint32_t u = claimed_size(h, k);
    if (u == UINT32_MAX)
        return AMX_E_CORRUPT;
    return u && u <= h->uc ? free_slow(h, k, amxi_bin(u)) : to_sector(h, k, u, &bytes);
}

#define LOSSES 8 /* of a free against changes of state, before it answers AMX_E_BUSY */

/* Not simply ours and ALLOCATED, or somebody was faster: says what it is. */
AMXI_SLOW static int claim_other(amx_t *h, uint32_t k, uint64_t w, amx_ref ref)
{
    struct amxi_block_body *b = amxi_block(h->seg, k);
    for (int i = 0; i < LOSSES; i++) {
        uint32_t state = AMXI_W0_STATE(w);
        if (ref && AMXI_W0_LIFE(w) != AMXI_REF_GEN(ref))
            return AMX_E_STALE;
        if (!amxi_state_live(state))
            return state <= AMX_STATE_CACHED ? AMX_E_DOUBLE_FREE : AMX_E_STALE;
        if (AMXI_W0_OWNER(w) != h->tag)
            amxi_touch(h->seg, h->tag, k >> h->seg->g.su_log2);
        if (amxi_cas64_acq(&b->w0, &w, AMXI_W0(AMX_STATE_CACHED, h->tag, AMXI_W0_GEN(w)))) /* as in free_unit */
            return AMX_OK;
    }
    return AMX_E_BUSY;
}

/* No block begins at k: is the memory there free, or inside a living block? */
AMXI_COLD static int no_block(const amx_t *h, uint32_t k, amx_ref ref)
{
    if (ref)
        return AMX_E_STALE;
    uint32_t first = k & ~h->su_mask, i = k;
    while (i > first && !amxi_bit(h->bits, i))
        i--;
    if (!amxi_bit(h->bits, i))
        return AMX_E_WILD;
    uint32_t state = AMXI_W0_STATE(amxi_ld64_rlx(&amxi_block(h->seg, i)->w0));
    return amxi_state_live(state) ? AMX_E_WILD : AMX_E_DOUBLE_FREE;
}

AMXI_COLD static int no_range(const amx_t *h, int answer)
{
    int e = amxi_refuse(h);
    return e ? e : answer;
}

/* Live -> CACHED by us: the linearisation point of a free. One winner, whoever owns the block. */
static int claim(amx_t *h, uint32_t k, amx_ref ref)
{
    if (!amxi_bit(h->bits, k))
        return no_block(h, k, ref);
    int e = claim_other(h, k, amxi_ld64_rlx(&amxi_block(h->seg, k)->w0), ref); /* the cas orders */
    if (!e)
        amxi_block_freed(h, k);
    return e;
}

AMXI_SLOW static int claim_and_free(amx_t *h, uint32_t k, amx_ref ref)
{
    int e = claim(h, k, ref);
    return e ? e : freed(h, k);
}

/* The common case in a straight line: a block of ours, ALLOCATED, small, with room in its magazine. A locked
 * instruction holds back every load behind it, so all that is needed is loaded before it. That holds for the size too:
 * only its owner resizes a block in place, and the owner is this very thread until the cas. */
static AMXI_INLINE int free_unit(amx_t *h, uint32_t k, amx_ref ref, bool by_ref)
{
    struct amxi_block_body *b = (struct amxi_block_body *)(void *)(h->data + (uint64_t)k * AMXI_UNIT);
    uint64_t w = amxi_ld64_rlx(&b->w0); /* the cas orders */
    uint32_t u = AMXI_W1_SIZE(amxi_ld64_rlx(&b->w1));
    if (AMXI_UNLIKELY(!amxi_bit(h->bits, k)))
        return claim_and_free(h, k, ref);
    /* state, owner and 32 bits of the generation in one comparison */
    if (AMXI_UNLIKELY(by_ref ? !AMXI_W0_IS(w, ref, h->pat_alloc) : AMXI_W0_TAG(w) != h->pat_alloc))
        return claim_and_free(h, k, ref);
    /* where no block begins behind it, the slow path sees whether the sector ends there or the header is smashed */
    if (AMXI_UNLIKELY(u > h->uc || k + u >= h->units || !amxi_bit(h->bits, k + u) || amxi_ld32_rlx(h->wait) & 1))
        return claim_and_free(h, k, ref);
    struct amxi_mag *m = (struct amxi_mag *)(void *)((char *)h + h->mag_dn[u]); /* u < 2: one without room */
    uint64_t in = m->word;
    if (AMXI_UNLIKELY((uint8_t)in >= m->cap))
        return claim_and_free(h, k, ref);
    /* acquire: what its last writer did to the payload, if that was another thread. To the next owner it goes by the
     * sector's word or queue, or it is us */
    if (AMXI_UNLIKELY(!amxi_cas64_acq(&b->w0, &w, w + (AMX_STATE_CACHED - AMX_STATE_ALLOCATED))))
        return claim_and_free(h, k, ref);
    amxi_block_freed(h, k);
    m->slot[(uint8_t)in] = k;
    m->word = in + 1;
    return AMX_OK;
}

int amxi_claim(amx_t *h, uint32_t k, amx_ref ref, uint32_t *u)
{
    int e = claim(h, k, ref);
    if (e)
        return e;
    *u = claimed_size(h, k);
    return *u != UINT32_MAX ? AMX_OK : AMX_E_CORRUPT;
}

int amxi_claimed(amx_t *h, uint32_t k)
{
    return freed(h, k);
}

int amxi_free_uncached(amx_t *h, amx_ref ref, uint64_t *bytes)
{
    uint32_t k = AMXI_REF_UNIT(ref) - h->first_pu, u;
    int e = k < h->units ? amxi_claim(h, k, ref, &u) : AMX_E_OFFSET;
    return e ? e : to_sector(h, k, u, bytes);
}

int amx_free(amx_t *h, amx_ref ref)
{
    if (AMXI_UNLIKELY(!h))
        return AMX_E_INVAL;
    uint32_t k = AMXI_REF_UNIT(ref) - h->first_pu;
    if (AMXI_UNLIKELY(k >= h->units))
        return no_range(h, AMX_E_OFFSET);
    return free_unit(h, k, ref, true);
}

int amx_free_ptr(amx_t *h, void *p)
{
    if (!h)
        return AMX_E_INVAL;
    uint64_t off = (uint64_t)((uintptr_t)p - (uintptr_t)h->data);
    if (off < AMXI_UNIT || off / AMXI_UNIT >= h->units)
        return no_range(h, AMX_E_FOREIGN);
    if (off % AMXI_UNIT)
        return AMX_E_WILD;
    return free_unit(h, (uint32_t)(off / AMXI_UNIT - 1), AMX_REF_NONE, false);
}

/* --- Healing --- */

int amx_heal(amx_t *h)
{
    int e = amxi_refuse(h);
    if (e)
        return e;
    bool all = heal(h);
    amxi_wake(h);
    return all ? AMX_OK : AMX_E_PARTIAL;
}

int amx_trim(amx_t *h)
{
    int e = amxi_refuse(h);
    if (e)
        return e;
    return trim(h) ? AMX_OK : AMX_E_PARTIAL;
}
