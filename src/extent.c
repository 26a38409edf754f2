/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large blocks. Sectors i..i+n-1 belong to the block whole: the first is HEAD, the others CONT(i); of the next one, j,
 * its first t units are cut off: its chain begins at `first` = t. One store, HEAD into the first sector's word, makes
 * all of it true: a cut is valid only while a HEAD says so (amxi_cut_valid), and a CONT belongs to whom it names.
 */
#include "extent.h"

struct run {
    uint32_t i, n, t; /* first sector, whole sectors, units of the sector behind them */
    uint32_t h0;      /* unit of the header in the first sector: 0, or a gap for the alignment */
};

/* Held sectors of a claim are looked at one at a time: the view is cheap to make again. */
static void view(const struct amxi_seg *s, uint32_t c, uint32_t tag, struct amxi_sec *x)
{
    amxi_sec_view(s, c, tag, x);
    x->word = amxi_ld64_rlx(&x->b->word);
}

static struct run shape(const struct amxi_seg *s, uint64_t u, uint32_t align)
{
    uint32_t h0 = align > AMXI_UNIT ? align / AMXI_UNIT - 1 : 0, su = s->g.su;
    uint64_t total = u + h0;
    struct run r = {0, (uint32_t)(total >> s->g.su_log2), (uint32_t)(total & (su - 1)), h0};
    if (r.t && r.t < AMXI_UNITS_MIN)
        r.t = AMXI_UNITS_MIN; /* given back, it must be a block */
    if (su - r.t < AMXI_UNITS_MIN) {
        r.n++;
        r.t = 0;
    }
    return r;
}

uint64_t amxi_extent_max(const struct amxi_seg *s)
{
    return (uint64_t)s->g.sectors << s->g.su_log2;
}

void amxi_touch(const struct amxi_seg *s, uint32_t tag, uint32_t sector)
{
    amxi_a64 *w = amxi_touched(s, tag - 1) + sector / 64;
    uint64_t bit = UINT64_C(1) << (sector & 63);
    /* relaxed: it precedes in program order the store or cas that gives the handle something there, and recovery
     * reads it after the death. The fence is for a check, which meets what it was given */
    if (!(amxi_ld64_rlx(w) & bit)) {
        amxi_or64_rlx(w, bit);
        amxi_entered();
    }
}

/* Is the sector, held by us, free from its start for t units (t = su: all of it)? */
static bool front_free(const struct amxi_sec *x, uint32_t t)
{
    if (amxi_ld32_rlx(&x->b->first) || !amxi_bit(x->bits, 0))
        return false;
    struct amxi_block_body *b = amxi_sec_block(x, 0);
    uint32_t f = AMXI_W1_SIZE(amxi_ld64_rlx(&b->w1));
    if (AMXI_W0_STATE(amxi_ld64_rlx(&b->w0)) != AMX_STATE_FREE || f > x->su)
        return false;
    return f == t || f >= t + AMXI_UNITS_MIN;
}

/* Enters sectors i..last in ascending order. Of two claimers of overlapping runs the one that holds the rightmost
 * contested sector goes on, the other lets go: nobody waits. */
static int enter_all(const struct amxi_seg *s, uint32_t tag, const struct run *r)
{
    uint32_t last = r->i + r->n - (r->t ? 0 : 1), c = r->i;
    int e = AMX_OK;
    for (; c <= last; c++) {
        struct amxi_sec x;
        uint32_t count;
        if ((e = amxi_sec_enter(s, c, tag, &x)))
            break;
        if (amxi_sec_drain(&x, UINT32_MAX, &count)) {
            e = amxi_sec_failed(&x);
            break;
        }
        if (!front_free(&x, c < r->i + r->n ? s->g.su : r->t)) {
            amxi_sec_leave(&x);
            e = AMX_E_NOMEM;
            break;
        }
    }
    if (!e)
        return AMX_OK;
    while (c-- > r->i) {
        struct amxi_sec x;
        view(s, c, tag, &x);
        amxi_sec_leave(&x);
    }
    return e;
}

/* The sector's only block vanishes into the large one. */
static uint64_t swallow(struct amxi_sec *x)
{
    uint64_t gen = AMXI_W0_GEN(amxi_ld64_rlx(&amxi_sec_block(x, 0)->w0));
    amxi_gclock_past(x, gen);
    (void)amxi_sec_unlink(x, 0); /* just checked to be there; a broken list is rebuilt when the sector comes back */
    amxi_st8_rlx(amxi_avail(x->s, x->index), 0);
    amxi_cb();
    return gen;
}

static void claim_tail(const struct amxi_seg *s, uint32_t tag, const struct run *r)
{
    struct amxi_sec x;
    view(s, r->i + r->n, tag, &x);
    uint32_t f = AMXI_W1_SIZE(amxi_ld64_rlx(&amxi_sec_block(&x, 0)->w1));
    if (f > x.su) /* overwritten since front_free: a later rebuild judges what is behind the cut */
        f = r->t;
    swallow(&x);
    amxi_st32_rlx(&x.b->cut_by, r->i);
    if (f > r->t) {
        struct amxi_block_body *b = amxi_sec_block(&x, r->t);
        uint64_t gen = amxi_ld64_rlx(&x.b->gclock);
        amxi_gclock_past(&x, gen);
        amxi_cb();
        amxi_st64_rlx(&b->w1, AMXI_W1(f - r->t, 0));
        amxi_st64_rlx(&b->w0, AMXI_W0(AMX_STATE_FREE, 0, gen));
        amxi_sec_bit_set(&x, r->t);
    }
    amxi_cb();
    amxi_st32_rlx(&x.b->first, r->t); /* its chain begins here now; whose the front is the HEAD will say */
    amxi_cb();
    amxi_sec_bit_clear(&x, 0);
    if (f > r->t)
        amxi_sec_link(&x, r->t);
}

static void publish(const struct amxi_seg *s, uint32_t tag, const struct run *r, uint64_t *unit, uint64_t *w0)
{
    struct amxi_sec x;
    view(s, r->i, tag, &x);
    amxi_st32_rel(&x.b->ext_len, r->n); /* 1 from here on a repair takes the run apart. Pairs with amxi_cut_valid */
    amxi_st32_rel(&x.b->ext_tail, r->t);
    amxi_cb();
    for (uint32_t c = r->i + 1; c < r->i + r->n; c++) { /* 2 */
        struct amxi_sec y;
        view(s, c, tag, &y);
        swallow(&y);
        amxi_sec_bit_clear(&y, 0);                                                       /* payload now */
        amxi_st64_rlx(&y.b->word, AMXI_S_WORD(AMXI_K_CONT, r->i, AMXI_S_EPOCH(y.word))); /* 5 releases it */
    }
    amxi_cb();
    if (r->t)
        claim_tail(s, tag, r); /* 3 */
    swallow(&x);               /* 4 */
    struct amxi_block_body *b = amxi_sec_block(&x, r->h0);
    uint64_t gen = amxi_ld64_rlx(&x.b->gclock);
    amxi_gclock_past(&x, gen);
    *w0 = AMXI_W0(AMX_STATE_ALLOCATED, tag, gen);
    *unit = ((uint64_t)r->i << s->g.su_log2) + r->h0;
    amxi_cb();
    amxi_st64_rlx(&b->w1, AMXI_W1(0, 0));
    amxi_st64_rlx(&b->w0, *w0);
    amxi_st32_rlx(&x.b->first, r->h0);
    if (r->h0) {
        amxi_sec_bit_clear(&x, 0);
        amxi_sec_bit_set(&x, r->h0);
    }
    amxi_cb();
    amxi_st64_rel(&x.b->word, AMXI_S_WORD(AMXI_K_HEAD, 0, AMXI_S_EPOCH(x.word))); /* 5 publish; pairs with cut_valid */
    if (r->t) {                                                                   /* 6 */
        struct amxi_sec y;
        view(s, r->i + r->n, tag, &y);
        amxi_sec_leave(&y);
    }
}

int amxi_extent_claim(const struct amxi_seg *s, uint32_t tag, uint64_t u, uint32_t align, uint64_t *unit, uint64_t *w0)
{
    struct run r = shape(s, u, align);
    uint32_t need = r.n + (r.t != 0);
    bool busy = false;
    if (need > s->g.sectors || !r.n)
        return AMX_E_NOMEM;
    for (uint32_t i = 0, whole = 0; i < s->g.sectors; i++) { /* i: last whole sector of the run under test */
        bool free = amxi_ld8_rlx(amxi_avail(s, i)) == AMXI_AVAIL_WHOLE;
        whole = free ? whole + 1 : 0;
        if (whole < r.n || (r.t && i + 1 >= s->g.sectors))
            continue;
        if (r.t && !amxi_ld8_rlx(amxi_avail(s, i + 1)))
            continue;
        r.i = i + 1 - r.n;
        amxi_touch(s, tag, r.i);
        int e = enter_all(s, tag, &r);
        if (!e) {
            publish(s, tag, &r, unit, w0);
            return AMX_OK;
        }
        if (e == AMX_E_BUSY)
            busy = true;
    }
    return busy ? AMX_E_BUSY : AMX_E_NOMEM;
}

void amxi_extent_repair(struct amxi_sec *x)
{
    uint32_t n = amxi_ld32_rlx(&x->b->ext_len), t = amxi_ld32_rlx(&x->b->ext_tail);
    uint32_t end = n < x->s->g.sectors - x->index ? x->index + n : x->s->g.sectors;
    for (uint32_t c = x->index + 1; c < end; c++) { /* 3 those that are still ours; the others are free again */
        struct amxi_sec y;
        amxi_sec_view(x->s, c, x->tag, &y);
        y.word = amxi_ld64_rlx(&y.b->word);
        if (AMXI_S_KIND(y.word) != AMXI_K_CONT || AMXI_S_WHO(y.word) != x->index)
            continue;
        amxi_sec_reset(&y);
        amxi_sec_leave(&y);
    }
    if (t && end < x->s->g.sectors) { /* 4 our word is HELD: the cut is invalid, entering takes it back */
        struct amxi_sec y;
        if (!amxi_sec_enter(x->s, end, x->tag, &y))
            amxi_sec_leave(&y); /* else its holder or a later one does */
    }
    /* 5 nobody can be ahead of the generation that the block had */
    uint32_t h0 = amxi_ld32_rlx(&x->b->first);
    if (h0 < x->su)
        amxi_gclock_past(x, AMXI_W0_GEN(amxi_ld64_rlx(&amxi_sec_block(x, h0)->w0)));
    amxi_cb();
    amxi_sec_reset(x);
    amxi_cb();
    amxi_st32_rel(&x->b->ext_tail, 0); /* as in publish */
    amxi_st32_rel(&x->b->ext_len, 0);
}

int amxi_extent_free(const struct amxi_seg *s, uint32_t tag, uint64_t unit)
{
    uint32_t i = (uint32_t)(unit >> s->g.su_log2);
    struct amxi_sec x;
    uint64_t w = amxi_ld64_rlx(&amxi_sector(s, i)->word); /* who has claimed the block knows that it was made */
    if (AMXI_S_KIND(w) != AMXI_K_HEAD || amxi_ld32_rlx(&amxi_sector(s, i)->first) != (unit & (s->g.su - 1)))
        return AMX_E_CORRUPT;
    if (!amxi_sec_steal(s, i, tag, w, &x)) /* 2 from HEAD: the winner of the block's cas is the only one who may */
        return AMX_E_CORRUPT;
    amxi_extent_repair(&x);
    amxi_sec_leave(&x);
    return AMX_OK;
}

/* Does the run that a HEAD in sector i tells of end where it says? A length that was damaged would name what is others'. */
static bool ends(const struct amxi_seg *s, uint32_t i, uint64_t n, uint64_t t)
{
    if (!n || n > s->g.sectors - i || t >= s->g.su || (t && i + n >= s->g.sectors))
        return false;
    /* relaxed: what shows that the block has been taken apart was stored behind the amxi_entered of who ended HEAD, or of who saw
     * it ended; the second look at HEAD finds that */
    uint64_t w = amxi_ld64_rlx(&amxi_sector(s, i + (uint32_t)n - 1)->word);
    if (n > 1 && (AMXI_S_KIND(w) != AMXI_K_CONT || AMXI_S_WHO(w) != i))
        return false;
    const struct amxi_sector_body *b = t ? amxi_sector(s, i + (uint32_t)n) : NULL;
    return !t || (amxi_ld32_rlx(&b->first) == t && amxi_ld32_rlx(&b->cut_by) == i);
}

int amxi_extent_usable(const struct amxi_seg *s, uint64_t unit, uint64_t *bytes)
{
    uint32_t i = (uint32_t)(unit >> s->g.su_log2), h0 = (uint32_t)(unit & (s->g.su - 1));
    struct amxi_sector_body *b = amxi_sector(s, i);
    uint64_t w = amxi_ld64_acq(&b->word); /* pairs with publish */
    uint64_t n = amxi_ld32_rlx(&b->ext_len), t = amxi_ld32_rlx(&b->ext_tail);
    bool sound = ends(s, i, n, t) && h0 == amxi_ld32_rlx(&b->first);
    if (AMXI_S_KIND(w) != AMXI_K_HEAD || amxi_ld64_again(&b->word) != w)
        return AMX_E_STALE; /* freed meanwhile */
    if (!sound)
        return AMX_E_CORRUPT;
    *bytes = ((n << s->g.su_log2) + t - h0 - 1) * AMXI_UNIT;
    return AMX_OK;
}
