/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: steal the sectors that the dead were in, walk the sectors that they ever touched, free what carries their
 * tags, recycle the tags. Any process, at any time, several at once; each step is a cas from a state that it destroys
 * or a recomputation from the chain, so a recoverer may die as well and the next one redoes it.
 */
#include "extent.h"
#include "peer.h"

#define SLICE      4096u /* blocks that a purge looks at before it lets others into the sector */
#define TAGS_WORDS (4096 / 64)

struct dead { /* a snapshot of the tags that are dead; bracketed by `purging`, so that none is recycled meanwhile */
    uint64_t tag[TAGS_WORDS];
    uint32_t n;
};

static bool is_dead(const struct dead *d, uint32_t tag)
{
    return tag < 4096 && (d->tag[tag / 64] >> (tag % 64) & 1);
}

static void add_dead(struct dead *d, uint32_t tag)
{
    d->tag[tag / 64] |= UINT64_C(1) << (tag % 64);
    d->n++;
}

/* --- 1 who is dead --- */

static void bury_handles(const struct amxi_seg *s, uint32_t p, uint64_t seen, uint32_t spare)
{
    for (uint32_t i = 0; i < s->g.handles; i++) {
        amxi_a64 *word = &amxi_handle(s, i)->word;
        uint64_t w = amxi_ld64_sc(word);
        uint32_t st = AMXI_H_STATUS(w);
        if (i + 1 == spare || AMXI_H_PEER(w) != p || (st != AMXI_H_OPENING && st != AMXI_H_OPEN && st != AMXI_H_CLOSED))
            continue;
        if (amxi_ld64_sc(&amxi_peer(s, p)->word) != seen)
            return; /* the entry has a new tenant, whose handles must not be touched */
        (void)amxi_cas64_sc(word, &w, AMXI_H_WORD(AMXI_H_DEAD, p, AMXI_H_EPOCH(w))); /* lost: another did it */
    }
}

static void bury_peers(const struct amxi_seg *s)
{
    for (uint32_t p = 0; p < s->g.peers; p++) {
        amxi_a64 *word = &amxi_peer(s, p)->word;
        uint64_t w = amxi_ld64_sc(word), t = AMXI_PEER_TICKET(w);
        if (AMXI_PEER_STATUS(w) == AMXI_PEER_LIVE) {
            if (!amxi_peer_dead(s, p, t) || !amxi_cas64_sc(word, &w, AMXI_PEER_WORD(AMXI_PEER_DEAD, t)))
                continue;
            w = AMXI_PEER_WORD(AMXI_PEER_DEAD, t);
        }
        if (AMXI_PEER_STATUS(w) == AMXI_PEER_DEAD)
            bury_handles(s, p, w, 0);
    }
}

/* --- 2 what they held --- */

static uint32_t bits_next(const struct amxi_sec *x, uint32_t i) /* first header at or after i; su: none */
{
    while (i < x->su) {
        uint64_t w = amxi_ld64_rlx(&x->bits[i >> 6]) >> (i & 63);
        if (w)
            return i + (uint32_t)__builtin_ctzll(w);
        i = (i | 63) + 1;
    }
    return x->su;
}

/* A block of the dead: true if it is ours to free now. Kept states become nobody's. */
static bool claim_dead(struct amxi_block_body *b, const struct dead *d)
{
    uint64_t w = amxi_ld64_rlx(&b->w0); /* acquired by the death itself: the kernel told us */
    for (;;) {                          /* ends: a dead owner's word only changes by those who take it from him */
        uint32_t state = AMXI_W0_STATE(w);
        if (!is_dead(d, AMXI_W0_OWNER(w)))
            return false;
        if (state == AMX_STATE_CACHED || state == AMX_STATE_ACKED)
            return true; /* after drain-all an ACKED block of the dead is on no queue: never pushed */
        if (!amxi_state_live(state))
            return false;
        bool kept = state >= AMX_STATE_KEPT;
        uint64_t to = kept ? AMXI_W0(state, 0, AMXI_W0_GEN(w)) : AMXI_W0(AMX_STATE_COALESCING, 0, AMXI_W0_GEN(w));
        if (amxi_cas64_ar(&b->w0, &w, to)) /* excludes a free or adopt by the living; as in amx_free */
            return !kept;
    }
}

/* Frees what the dead own in a held sector, from *cursor on, a slice at a time. */
static int purge(struct amxi_sec *x, const struct dead *d, uint32_t *cursor, uint64_t *freed)
{
    uint32_t i = bits_next(x, *cursor);
    for (uint32_t n = 0; i < x->su && n < SLICE; n++) {
        uint32_t size = AMXI_W1_SIZE(amxi_ld64_rlx(&amxi_sec_block(x, i)->w1));
        if (size < AMXI_UNITS_MIN || size > x->su - i)
            return AMX_E_CORRUPT;
        if (claim_dead(amxi_sec_block(x, i), d)) {
            int e = amxi_sec_free(x, i);
            if (e)
                return e;
            ++*freed;
        }
        i = bits_next(x, i + size);
    }
    *cursor = i;
    return AMX_OK;
}

/* A large block whose head is in sector i, if a dead handle owns it. */
static int purge_large(amx_t *h, uint32_t i, const struct dead *d, uint64_t *freed)
{
    const struct amxi_seg *s = h->seg;
    uint32_t first = amxi_ld32_acq(&amxi_sector(s, i)->first);
    uint64_t unit = ((uint64_t)i << s->g.su_log2) + first;
    if (first >= s->g.su || !amxi_bit(amxi_bitmap(s, i), first))
        return AMX_OK;
    struct amxi_block_body *b = amxi_block(s, unit);
    uint64_t w = amxi_ld64_acq(&b->w0);
    while (is_dead(d, AMXI_W0_OWNER(w))) {
        uint32_t state = AMXI_W0_STATE(w);
        if (!amxi_state_live(state) && state != AMX_STATE_CACHED)
            return AMX_E_CORRUPT;
        bool kept = state >= AMX_STATE_KEPT;
        uint64_t to = kept ? AMXI_W0(state, 0, AMXI_W0_GEN(w)) : AMXI_W0(AMX_STATE_CACHED, h->tag, AMXI_W0_GEN(w));
        if (!kept)
            amxi_touch(s, h->tag, i);
        if (!amxi_cas64_ar(&b->w0, &w, to))
            continue;
        if (kept)
            return AMX_OK;
        ++*freed;
        if (!AMXI_W1_SIZE(amxi_ld64_rlx(&b->w1)))
            return amxi_extent_free(s, h->tag, unit);
        uint32_t k = (uint32_t)unit; /* the large one was freed just now, and a small one begins in its place */
        amxi_give_back(h, &k, 1);
        return AMX_OK;
    }
    return AMX_OK;
}

static bool touched_by_dead(const struct amxi_seg *s, const struct dead *d, uint32_t sector)
{
    for (uint32_t i = 0; i < s->g.handles; i++)
        if (is_dead(d, i + 1) && amxi_ld64_rlx(amxi_touched(s, i) + sector / 64) >> (sector & 63) & 1)
            return true;
    return false;
}

static void untouch(const struct amxi_seg *s, const struct dead *d, uint32_t sector)
{
    for (uint32_t i = 0; i < s->g.handles; i++)
        if (is_dead(d, i + 1))
            amxi_and64_rlx(amxi_touched(s, i) + sector / 64, ~(UINT64_C(1) << (sector & 63)));
}

/* Takes the sector over if a dead handle is inside, and makes it sound. */
static bool steal(amx_t *h, uint32_t i, const struct dead *d)
{
    const struct amxi_seg *s = h->seg;
    struct amxi_sec x;
    uint64_t w = amxi_ld64_acq(&amxi_sector(s, i)->word);
    if (AMXI_S_KIND(w) != AMXI_K_HELD)
        return false;
    uint32_t who = AMXI_S_WHO(w);
    /* no such handle, or one that cannot be inside: as good as dead */
    bool gone = who - 1u >= s->g.handles || is_dead(d, who) ||
                AMXI_H_STATUS(amxi_ld64_sc(&amxi_handle(s, who - 1)->word)) == AMXI_H_FREE;
    if (!gone || !amxi_sec_steal(s, i, h->tag, w, &x))
        return false;
    amxi_count(h, AMXI_C_REBUILD, 1);
    if (amxi_ld32_rlx(&x.b->ext_len)) {
        amxi_extent_repair(&x);
        amxi_sec_leave(&x);
    } else {
        (void)amxi_sec_failed(&x); /* rebuilt and left, or quarantined */
    }
    return true;
}

/* false: somebody alive is inside; what the dead have there is for the next recovery. */
static bool purge_sector(amx_t *h, uint32_t i, const struct dead *d, uint64_t *freed)
{
    const struct amxi_seg *s = h->seg;
    uint32_t cursor = 0, count;
    while (cursor < s->g.su) {
        struct amxi_sec x;
        uint64_t w = amxi_ld64_acq(&amxi_sector(s, i)->word);
        if (AMXI_S_KIND(w) == AMXI_K_HEAD && cursor == 0 && purge_large(h, i, d, freed))
            return false;
        int e = amxi_sec_enter(s, i, h->tag, &x);
        if (e == AMX_E_BUSY)
            return false;
        if (e) { /* inside a large block or damaged: nothing of theirs can be reached here */
            untouch(s, d, i);
            return true;
        }
        if (amxi_sec_drain(&x, UINT32_MAX, &count) || purge(&x, d, &cursor, freed)) {
            (void)amxi_sec_failed(&x);
            return false;
        }
        if (cursor >= s->g.su)
            untouch(s, d, i); /* still inside: nobody has given them anything here since */
        amxi_sec_leave(&x);
    }
    return true;
}

/* --- 3 their tags --- */

static bool touches_any(const struct amxi_seg *s, uint32_t i)
{
    for (uint32_t w = 0; w * 64 < s->g.sectors; w++) {
        uint32_t left = s->g.sectors - w * 64;
        uint64_t there = left < 64 ? (UINT64_C(1) << left) - 1 : UINT64_MAX;
        if (amxi_ld64_sc(amxi_touched(s, i) + w) & there)
            return true;
    }
    return false;
}

static bool holds_any(const struct amxi_seg *s, uint32_t tag)
{
    for (uint32_t i = 0; i < s->g.sectors; i++) {
        uint64_t w = amxi_ld64_acq(&amxi_sector(s, i)->word);
        if (AMXI_S_KIND(w) == AMXI_K_HELD && AMXI_S_WHO(w) == tag)
            return true;
    }
    return false;
}

/* Is somebody in the middle of giving to this tag? A dead giver counts only while he touches a sector: the block is in
 * one of those, and without that two dead who were giving to each other would hold each other for ever. */
static bool given_to(const struct amxi_seg *s, uint32_t tag)
{
    for (uint32_t i = 0; i < s->g.handles; i++) {
        if (i + 1 == tag || amxi_ld32_sc(&amxi_handle(s, i)->giving) != tag)
            continue;
        uint32_t st = AMXI_H_STATUS(amxi_ld64_sc(&amxi_handle(s, i)->word));
        if (st == AMXI_H_OPEN || (st == AMXI_H_DEAD && touches_any(s, i)))
            return true;
    }
    return false;
}

/* CLOSED too: so is the entry of one that retires. */
static bool list_in_use(const struct amxi_seg *s)
{
    for (uint32_t i = 0; i < s->g.handles; i++) {
        uint32_t st = AMXI_H_STATUS(amxi_ld64_sc(&amxi_handle(s, i)->word));
        if ((st == AMXI_H_OPEN || st == AMXI_H_CLOSED) && amxi_ld32_sc(&amxi_handle(s, i)->purging))
            return true;
    }
    return false;
}

/* DEAD -> QUIET: nothing carries the tag any more. QUIET -> FREE: no recoverer still has it on its list. */
static bool recycle(const struct amxi_seg *s)
{
    bool all = true;
    for (uint32_t i = 0; i < s->g.handles; i++) {
        amxi_a64 *word = &amxi_handle(s, i)->word;
        uint64_t w = amxi_ld64_sc(word);
        uint32_t p = AMXI_H_PEER(w);
        uint64_t e = AMXI_H_EPOCH(w);
        if (AMXI_H_STATUS(w) == AMXI_H_DEAD && !touches_any(s, i) && !holds_any(s, i + 1) && !given_to(s, i + 1) &&
            amxi_cas64_sc(word, &w, AMXI_H_WORD(AMXI_H_QUIET, p, e)))
            w = AMXI_H_WORD(AMXI_H_QUIET, p, e);
        if (AMXI_H_STATUS(w) == AMXI_H_QUIET && !list_in_use(s))
            (void)amxi_cas64_sc(word, &w, AMXI_H_WORD(AMXI_H_FREE, 0, e));
        uint32_t st = AMXI_H_STATUS(amxi_ld64_sc(word));
        all &= st != AMXI_H_DEAD && st != AMXI_H_QUIET;
    }
    for (uint32_t p = 0; p < s->g.peers; p++) {
        amxi_a64 *word = &amxi_peer(s, p)->word;
        uint64_t w = amxi_ld64_sc(word);
        bool used = AMXI_PEER_STATUS(w) != AMXI_PEER_DEAD;
        for (uint32_t i = 0; i < s->g.handles && !used; i++) {
            uint64_t hw = amxi_ld64_sc(&amxi_handle(s, i)->word);
            used = AMXI_H_STATUS(hw) != AMXI_H_FREE && AMXI_H_PEER(hw) == p;
        }
        if (!used)
            (void)amxi_cas64_sc(word, &w, AMXI_PEER_WORD(AMXI_PEER_FREE, 0));
    }
    return all;
}

/* --- All of it --- */

static void snapshot(const struct amxi_seg *s, struct dead *d)
{
    for (uint32_t i = 0; i < s->g.handles; i++)
        if (AMXI_H_STATUS(amxi_ld64_sc(&amxi_handle(s, i)->word)) == AMXI_H_DEAD)
            add_dead(d, i + 1);
}

/* true: there is more memory than before. */
static bool purge_all(amx_t *h, const struct dead *d, uint64_t *freed)
{
    const struct amxi_seg *s = h->seg;
    bool any = false;
    *freed = 0;
    for (uint32_t i = 0; i < s->g.sectors; i++)
        any |= steal(h, i, d);
    for (uint32_t i = 0; i < s->g.sectors; i++)
        if (touched_by_dead(s, d, i))
            (void)purge_sector(h, i, d, freed); /* false: the touched bit stays, recycle sees it */
    any |= *freed != 0;
    if (any)
        amxi_wake(h);
    return any;
}

static bool any_dead(const struct amxi_seg *s)
{
    for (uint32_t i = 0; i < s->g.handles; i++) {
        uint32_t st = AMXI_H_STATUS(amxi_ld64_sc(&amxi_handle(s, i)->word));
        if (st == AMXI_H_DEAD || st == AMXI_H_QUIET)
            return true;
    }
    for (uint32_t p = 0; p < s->g.peers; p++)
        if (AMXI_PEER_STATUS(amxi_ld64_sc(&amxi_peer(s, p)->word)) == AMXI_PEER_DEAD)
            return true;
    return false;
}

/* `purging` is a count: threads of one process may recover through one handle. */
static void list_begin(amxi_a32 *purging)
{
    (void)amxi_add32_sc(purging, 1); /* before the snapshot: pairs with list_in_use after QUIET */
}

static void list_end(amxi_a32 *purging)
{
    (void)amxi_sub32_sc(purging, 1);
}

int amxi_recover(amx_t *h, uint64_t *blocks, bool *more)
{
    struct dead d = {{0}, 0};
    struct amxi_seg *s = h->seg;
    amxi_a32 *purging = &amxi_handle(s, h->tag - 1)->purging;
    *blocks = 0;
    *more = false;
    bury_peers(s);
    if (!any_dead(s))
        return AMX_OK;
    list_begin(purging);
    snapshot(s, &d);
    if (d.n)
        *more = purge_all(h, &d, blocks);
    list_end(purging);
    return recycle(s) ? AMX_OK : AMX_E_PARTIAL;
}

void amxi_recycle(const struct amxi_seg *s)
{
    bury_peers(s);
    (void)recycle(s);
}

int amx_recover(amx_t *h, uint64_t *blocks)
{
    uint64_t freed;
    bool more;
    int e = amxi_refuse(h);
    if (e)
        return e;
    e = amxi_recover(h, &freed, &more);
    if (blocks)
        *blocks = freed;
    return e;
}

/* Caches back; all handles but the owner's DEAD; CLOSED, so that nobody begins to give to the owner; its private blocks
 * freed by itself, unless somebody is giving to it this moment: then the next recovery sees what came of that; DEAD. Its
 * entry is not DEAD while it works: a dead one's sectors would be stolen from under it. */
void amxi_retire(amx_t *owner)
{
    struct amxi_seg *s = owner->seg;
    struct dead d = {{0}, 0};
    struct amxi_handle_body *b = amxi_handle(s, owner->tag - 1);
    uint64_t freed;
    for (uint32_t i = 0; i < s->g.handles; i++)
        if (s->open[i])
            (void)amx_trim(s->open[i]);
    bury_handles(s, s->peer, amxi_ld64_sc(&amxi_peer(s, s->peer)->word), owner->tag);
    list_begin(&b->purging);
    snapshot(s, &d);
    amxi_st64_sc(&b->word, AMXI_H_WORD(AMXI_H_CLOSED, s->peer, owner->epoch)); /* pairs with give's first look */
    if (!given_to(s, owner->tag))
        add_dead(&d, owner->tag);
    (void)purge_all(owner, &d, &freed);
    list_end(&b->purging);
    amxi_st64_sc(&b->word, AMXI_H_WORD(AMXI_H_DEAD, s->peer, owner->epoch));
    amxi_peer_leave(s);
    (void)recycle(s); /* what could not be finished the next recovery finishes */
}
