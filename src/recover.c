/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: steal the sectors that the dead were in, walk the sectors that they ever touched, free what carries their
 * tags, recycle the tags. Any process, at any time, several at once; each step is a cas from a state that it destroys
 * or a recomputation from the chain, so a recoverer may die as well and the next one redoes it.
 */
#include "amx_object.h"
#include "extent.h"
#include "object.h"
#include "peer.h"

#define SLICE      4096u /* blocks that a purge looks at before it lets others into the sector */
#define TAGS_WORDS (4096 / 64)
#define FOUND_MAX  64u /* blocks to be told of, in one visit to a sector */

struct found { /* a block that recovery does not free */
    uint32_t unit;
    uint64_t w; /* w0 as it was met */
    uint64_t bytes;
};

/* One recovery. The tags are a snapshot, bracketed by `purging`, so that none is recycled meanwhile. */
struct dead {
    uint64_t tag[TAGS_WORDS];
    uint32_t n;
    struct amx_recovery sum;
    amx_kept_fn *fn; /* NULL: nobody wants to be told */
    void *ctx;
    int stop; /* what fn said to end it */
    uint32_t n_found;
    struct found found[FOUND_MAX]; /* of one visit, told when the sector has been left */
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
        uint64_t w = amxi_ld64_acq(word); /* of the entry's next tenant: then so is the peer's word below */
        uint32_t st = AMXI_H_STATUS(w);
        if (i + 1 == spare || AMXI_H_PEER(w) != p || (st != AMXI_H_OPENING && st != AMXI_H_OPEN && st != AMXI_H_CLOSED))
            continue;
        if (amxi_ld64_rlx(&amxi_peer(s, p)->word) != seen)
            return; /* the entry has a new tenant, whose handles must not be touched */
        (void)amxi_cas64_sc(word, &w, AMXI_H_WORD(AMXI_H_DEAD, p, AMXI_H_EPOCH(w))); /* lost: another did it */
    }
}

/* false: it lives. */
static bool bury_peer(const struct amxi_seg *s, uint32_t p)
{
    amxi_a64 *word = &amxi_peer(s, p)->word;
    uint64_t w = amxi_ld64_rlx(word), t = AMXI_PEER_TICKET(w); /* the exchange compares, and bury_handles looks again */
    if (AMXI_PEER_STATUS(w) == AMXI_PEER_LIVE) {
        if (!amxi_peer_dead(s, p, t))
            return false;
        /* release: what the kernel has told us, to the entry's next tenant */
        if (!amxi_cas64_rel(word, &w, AMXI_PEER_WORD(AMXI_PEER_DEAD, t)))
            return true; /* another did it, or it left itself */
        w = AMXI_PEER_WORD(AMXI_PEER_DEAD, t);
    }
    if (AMXI_PEER_STATUS(w) == AMXI_PEER_DEAD)
        bury_handles(s, p, w, 0);
    return true;
}

static void bury_peers(const struct amxi_seg *s)
{
    for (uint32_t p = 0; p < s->g.peers; p++)
        (void)bury_peer(s, p);
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

/* --- Blocks that stay --- */

static void note(struct dead *d, const struct amxi_seg *s, const void *block, uint64_t w, uint64_t bytes)
{
    uint64_t unit = (uint64_t)((const uint8_t *)block - (const uint8_t *)amxi_block(s, 0)) / AMXI_UNIT;
    d->found[d->n_found++] = (struct found){(uint32_t)unit, w, bytes};
}

static amx_ref ref_of(const struct amxi_seg *s, uint32_t unit, uint64_t w)
{
    return AMXI_REF(s->g.region[AMXI_R_DATA].offset / AMXI_UNIT + unit + 1, w);
}

static amx_id id_of(const struct amxi_seg *s, uint32_t tag)
{
    return tag ? AMXI_ID(tag, AMXI_H_EPOCH(amxi_ld64_rlx(&amxi_handle(s, tag - 1)->word)))
               : 0; /* a list of ours holds it still */
}

/* The dead tag that published or gave this block last; 0: none. */
static uint32_t handed_by(const struct amxi_seg *s, const struct dead *d, amx_ref ref)
{
    for (uint32_t i = 0; i < s->g.handles; i++)
        if (is_dead(d, i + 1) && amxi_ld64_rlx(&amxi_handle(s, i)->handed) == ref) /* after its death */
            return i + 1;
    return 0;
}

static void tell(struct dead *d, const struct amxi_seg *s, const struct found *f, enum amx_kept_how how, uint32_t from)
{
    amx_ref ref = ref_of(s, f->unit, f->w);
    uint32_t by = handed_by(s, d, ref);
    struct amx_kept k = {.struct_size = sizeof k,
                         .how = how,
                         .state = AMXI_W0_STATE(f->w),
                         .ref = ref,
                         .bytes = f->bytes,
                         .from = id_of(s, from ? from : by),
                         .owner = id_of(s, AMXI_W0_OWNER(f->w)),
                         .last = by != 0,
                         .object = UINT32_MAX};
    int e = d->fn(&k, d->ctx);
    if (e < 0)
        d->stop = e;
    if (how == AMX_KEPT_STATE && e != AMX_KEPT_TAKE) { /* lost: fn has done something with it */
        uint64_t w = f->w;
        (void)amxi_cas64_rel(&amxi_block(s, f->unit)->w0, &w, AMXI_W0(AMXI_W0_STATE(w), 0, AMXI_W0_GEN(w)));
    }
}

/* One of the dead in a kept state becomes ours, so that nobody else has it while fn looks at it; if we die in there, it
 * is one of the dead in a kept state again. false: it is something else by now, to be looked at again. */
static bool tell_kept(amx_t *h, struct dead *d, struct found *f)
{
    amxi_a64 *w0 = &amxi_block(h->seg, f->unit)->w0;
    uint64_t w = f->w;
    amxi_touch(h->seg, h->tag, f->unit >> h->seg->g.su_log2);
    while (is_dead(d, AMXI_W0_OWNER(w)) && AMXI_W0_STATE(w) >= AMX_STATE_KEPT && AMXI_W0_GEN(w) == AMXI_W0_GEN(f->w)) {
        uint64_t to = AMXI_W0(AMXI_W0_STATE(w), h->tag, AMXI_W0_GEN(w));
        uint32_t from = AMXI_W0_OWNER(w);
        if (!amxi_cas64_acq(w0, &w,
                            to)) /* excludes a free or a change of state by the living; after the last of these */
            continue;
        f->w = to;
        d->sum.kept_blocks++;
        d->sum.kept_bytes += f->bytes;
        tell(d, h->seg, f, AMX_KEPT_STATE, from);
        return true;
    }
    return false;
}

/* Tells what was met; nothing is held. *again: something of the dead may be left where we were. */
static void tell_found(amx_t *h, struct dead *d, bool *again)
{
    for (uint32_t i = 0; i < d->n_found; i++) {
        struct found *f = &d->found[i];
        bool theirs = AMXI_W0_OWNER(f->w) != 0;
        if (d->stop)
            *again |= theirs;
        else if (!theirs)
            tell(d, h->seg, f, AMX_KEPT_PUBLISHED, 0);
        else
            *again |= !tell_kept(h, d, f);
    }
    d->n_found = 0;
}

enum claim { NOT_THEIRS, FREE_IT, TELL_IT };

/* A block that was met: is it of the dead, and ours to free now? Kept states become nobody's, or are told later. */
static enum claim claim_dead(struct amxi_block_body *b, struct dead *d, uint64_t bytes, uint64_t *w)
{
    /* What the dead did the kernel told us; sc, for a gift of the living: its giver's second look came before the burial */
    *w = amxi_ld64_sc(&b->w0);
    for (;;) { /* ends: a dead owner's word only changes by those who take it from him */
        uint32_t state = AMXI_W0_STATE(*w), owner = AMXI_W0_OWNER(*w);
        if (!owner && amxi_state_live(state)) {
            d->sum.published_blocks++;
            d->sum.published_bytes += bytes;
            return d->fn ? TELL_IT : NOT_THEIRS;
        }
        if (!is_dead(d, owner))
            return NOT_THEIRS;
        if (state == AMX_STATE_CACHED || state == AMX_STATE_ACKED)
            return FREE_IT; /* after drain-all an ACKED block of the dead is on no queue: never pushed */
        if (!amxi_state_live(state))
            return NOT_THEIRS;
        bool kept = state >= AMX_STATE_KEPT;
        if (kept && d->fn)
            return TELL_IT;
        uint64_t to = AMXI_W0(kept ? state : AMX_STATE_COALESCING, 0, AMXI_W0_GEN(*w));
        if (!amxi_cas64_rlx(&b->w0, w, to)) /* excludes a free or adopt by the living. Goes on with our enter's fence */
            continue;
        d->sum.kept_blocks += kept;
        d->sum.kept_bytes += kept ? bytes : 0;
        return kept ? NOT_THEIRS : FREE_IT;
    }
}

/* Frees what the dead own in a held sector, from *cursor on, a slice at a time. */
static int purge(struct amxi_sec *x, struct dead *d, uint32_t *cursor)
{
    uint32_t i = bits_next(x, *cursor);
    for (uint32_t n = 0; i < x->su && n < SLICE && d->n_found < FOUND_MAX; n++) {
        uint32_t size = AMXI_W1_SIZE(amxi_ld64_rlx(&amxi_sec_block(x, i)->w1));
        uint64_t w, bytes = (uint64_t)size * AMXI_UNIT;
        if (size < AMXI_UNITS_MIN || size > x->su - i)
            return AMX_E_CORRUPT;
        enum claim c = claim_dead(amxi_sec_block(x, i), d, bytes, &w);
        if (c == TELL_IT)
            note(d, x->s, amxi_sec_block(x, i), w, bytes);
        if (c == FREE_IT) {
            int e = amxi_sec_free(x, i);
            if (e)
                return e;
            d->sum.blocks++;
            d->sum.bytes += bytes;
        }
        i = bits_next(x, i + size);
    }
    *cursor = i;
    return AMX_OK;
}

/* A large block whose head is in sector i, if a dead handle owns it or nobody does. */
static int purge_large(amx_t *h, uint32_t i, struct dead *d)
{
    const struct amxi_seg *s = h->seg;
    uint32_t first = amxi_ld32_rlx(&amxi_sector(s, i)->first); /* the word was acquired */
    uint64_t unit = ((uint64_t)i << s->g.su_log2) + first, bytes = 0;
    if (first >= s->g.su || !amxi_bit(amxi_bitmap(s, i), first))
        return AMX_OK;
    struct amxi_block_body *b = amxi_block(s, unit);
    uint64_t w = amxi_ld64_sc(&b->w0); /* as in claim_dead */
    if (!is_dead(d, AMXI_W0_OWNER(w)) && (AMXI_W0_OWNER(w) || !amxi_state_live(AMXI_W0_STATE(w))))
        return AMX_OK;
    if (!amxi_extent_usable(s, unit, &bytes))
        bytes += AMXI_UNIT;
    if (!AMXI_W0_OWNER(w)) {
        d->sum.published_blocks++;
        d->sum.published_bytes += bytes;
        if (d->fn)
            note(d, s, b, w, bytes);
        return AMX_OK;
    }
    while (is_dead(d, AMXI_W0_OWNER(w))) {
        uint32_t state = AMXI_W0_STATE(w);
        if (!amxi_state_live(state) && state != AMX_STATE_CACHED)
            return AMX_E_CORRUPT;
        bool kept = state >= AMX_STATE_KEPT;
        if (kept && d->fn) {
            note(d, s, b, w, bytes);
            return AMX_OK;
        }
        uint64_t to = kept ? AMXI_W0(state, 0, AMXI_W0_GEN(w)) : AMXI_W0(AMX_STATE_CACHED, h->tag, AMXI_W0_GEN(w));
        if (!kept)
            amxi_touch(s, h->tag, i);
        if (!amxi_cas64_rel(&b->w0, &w, to)) /* what the kernel told us, to who adopts it */
            continue;
        d->sum.kept_blocks += kept;
        d->sum.kept_bytes += kept ? bytes : 0;
        if (kept)
            return AMX_OK;
        d->sum.blocks++;
        d->sum.bytes += bytes;
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

/* release: what was the dead one's here is so no more, for a check that meets the bit gone. Pairs with judge_owner */
static void untouch(const struct amxi_seg *s, const struct dead *d, uint32_t sector)
{
    for (uint32_t i = 0; i < s->g.handles; i++)
        if (is_dead(d, i + 1))
            amxi_and64_rel(amxi_touched(s, i) + sector / 64, ~(UINT64_C(1) << (sector & 63)));
}

/* Takes the sector over if a dead handle is inside, and makes it sound. */
static void steal(amx_t *h, uint32_t i, struct dead *d)
{
    const struct amxi_seg *s = h->seg;
    struct amxi_sec x;
    uint64_t w = amxi_ld64_acq(&amxi_sector(s, i)->word); /* its holder's entry is not older */
    if (AMXI_S_KIND(w) != AMXI_K_HELD)
        return;
    uint32_t who = AMXI_S_WHO(w);
    /* no such handle, or one that cannot be inside: as good as dead */
    bool gone = who - 1u >= s->g.handles || is_dead(d, who) ||
                AMXI_H_STATUS(amxi_ld64_rlx(&amxi_handle(s, who - 1)->word)) == AMXI_H_FREE;
    if (!gone || !amxi_sec_steal(s, i, h->tag, w, &x))
        return;
    amxi_count(h, AMXI_C_REBUILD, 1);
    d->sum.sectors_rebuilt++;
    if (amxi_ld32_rlx(&x.b->ext_len)) {
        amxi_extent_repair(&x);
        amxi_sec_leave(&x);
    } else {
        (void)amxi_sec_failed(&x); /* rebuilt and left, or quarantined */
    }
}

/* false: somebody alive is inside, or the call-back ended it; what the dead have there is for the next recovery. */
static bool purge_sector(amx_t *h, uint32_t i, struct dead *d)
{
    const struct amxi_seg *s = h->seg;
    const amxi_a64 *word = &amxi_sector(s, i)->word;
    uint64_t large = 0; /* the HEAD that has been looked at */
    uint32_t cursor = 0, count;
    for (bool done = false, again = false; !done;) {
        struct amxi_sec x;
        uint64_t w = amxi_ld64_acq(word); /* pairs with publish: where the block begins */
        if (AMXI_S_KIND(w) == AMXI_K_HEAD && w != large) {
            if (purge_large(h, i, d))
                return false;
            tell_found(h, d, &again);
            if (d->stop)
                return false;
            large = again ? 0 : w; /* again: it is looked at once more; ends as claim_dead does */
            again = false;
            continue;
        }
        int e = amxi_sec_enter(s, i, h->tag, &x);
        if (e == AMX_E_BUSY)
            return false;
        if (e && AMXI_S_KIND(w = amxi_ld64_rlx(word)) == AMXI_K_HEAD && w != large)
            continue; /* what we saw first was older than this one, which may have been given to them */
        if (e) {      /* inside a large block or damaged: nothing of theirs can be reached here */
            untouch(s, d, i);
            return true;
        }
        uint32_t from = cursor;
        if (amxi_sec_drain(&x, UINT32_MAX, &count) || purge(&x, d, &cursor)) {
            (void)amxi_sec_failed(&x);
            d->n_found = 0;
            return false;
        }
        done = cursor >= s->g.su && !d->n_found;
        if (done)
            untouch(s, d, i); /* still inside: nobody has given them anything here since */
        amxi_sec_leave(&x);
        tell_found(h, d, &again);
        if (d->stop)
            return false;
        if (again)
            cursor = from; /* a block changed its state before we had it: it may be one to free now */
        again = false;
    }
    return true;
}

/* The last gifts of the dead, where they are the receivers': after their sectors, before their tags go. */
static void tell_gifts(amx_t *h, struct dead *d)
{
    const struct amxi_seg *s = h->seg;
    for (uint32_t i = 0; i < s->g.handles && !d->stop; i++) {
        amxi_a64 *handed = &amxi_handle(s, i)->handed;
        amx_ref ref = is_dead(d, i + 1) ? amxi_ld64_rlx(handed) : AMX_REF_NONE;
        uint64_t k = (uint64_t)AMXI_REF_UNIT(ref) - 1 - s->g.region[AMXI_R_DATA].offset / AMXI_UNIT, bytes;
        if (k >= (uint64_t)s->g.sectors << s->g.su_log2 || !amxi_bit(amxi_bitmap(s, 0), (uint32_t)k))
            continue;
        struct amxi_block_body *b = amxi_block(s, k);
        uint64_t w = amxi_ld64_rlx(&b->w0); /* not older than the gift: we know of the giver's death */
        uint32_t owner = AMXI_W0_OWNER(w);
        if (AMXI_W0_LIFE(w) != AMXI_REF_GEN(ref) || !amxi_state_live(AMXI_W0_STATE(w)) || !owner ||
            owner > s->g.handles || is_dead(d, owner) || owner == h->tag)
            continue;
        d->sum.given_blocks++;
        if (!d->fn)
            continue;
        bytes = (uint64_t)AMXI_W1_SIZE(amxi_ld64_rlx(&b->w1)) * AMXI_UNIT;
        if (!bytes && !amxi_extent_usable(s, k, &bytes))
            bytes += AMXI_UNIT;
        struct found f = {(uint32_t)k, w, bytes};
        tell(d, s, &f, AMX_KEPT_GIVEN, i + 1);
        (void)amxi_cas64_rlx(handed, &ref, AMX_REF_NONE); /* lost: another recoverer tells it too */
    }
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
        uint64_t w = amxi_ld64_rlx(&amxi_sector(s, i)->word); /* not older than the death, which we have seen */
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
        uint32_t st = AMXI_H_STATUS(amxi_ld64_rlx(&amxi_handle(s, i)->word)); /* not older than what we saw it give */
        if (st == AMXI_H_OPEN || (st == AMXI_H_DEAD && touches_any(s, i)))
            return true;
    }
    return false;
}

/* CLOSED too: so is the entry of one that retires. */
bool amxi_lists_in_use(const struct amxi_seg *s)
{
    for (uint32_t i = 0; i < s->g.handles; i++) {
        if (!amxi_ld32_sc(&amxi_handle(s, i)->purging))
            continue;
        uint32_t st = AMXI_H_STATUS(amxi_ld64_rlx(&amxi_handle(s, i)->word)); /* not older than its `purging` */
        if (st == AMXI_H_OPEN || st == AMXI_H_CLOSED)
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
        uint64_t w = amxi_ld64_acq(word); /* what the dead one had, to us */
        uint32_t p = AMXI_H_PEER(w);
        uint64_t e = AMXI_H_EPOCH(w);
        if (AMXI_H_STATUS(w) == AMXI_H_DEAD)
            amxi_object_settle(s, i + 1, w, amxi_lists_in_use(s));
        if (AMXI_H_STATUS(w) == AMXI_H_DEAD && !touches_any(s, i) && !holds_any(s, i + 1) && !given_to(s, i + 1) &&
            !amxi_ld32_acq(&amxi_handle(s, i)->objects) && !amxi_object_busy(s, i + 1) &&
            amxi_cas64_sc(word, &w, AMXI_H_WORD(AMXI_H_QUIET, p, e)))
            w = AMXI_H_WORD(AMXI_H_QUIET, p, e);
        if (AMXI_H_STATUS(w) == AMXI_H_QUIET && !amxi_lists_in_use(s))
            (void)amxi_cas64_rel(word, &w, AMXI_H_WORD(AMXI_H_FREE, 0, e)); /* all that was done, to its next tenant */
        uint32_t st = AMXI_H_STATUS(amxi_ld64_rlx(word));
        all &= st != AMXI_H_DEAD && st != AMXI_H_QUIET;
    }
    for (uint32_t p = 0; p < s->g.peers; p++) {
        amxi_a64 *word = &amxi_peer(s, p)->word;
        uint64_t w = amxi_ld64_acq(word); /* its handles are not older */
        bool used = AMXI_PEER_STATUS(w) != AMXI_PEER_DEAD;
        for (uint32_t i = 0; i < s->g.handles && !used; i++) {
            uint64_t hw = amxi_ld64_rlx(&amxi_handle(s, i)->word);
            used = AMXI_H_STATUS(hw) != AMXI_H_FREE && AMXI_H_PEER(hw) == p;
        }
        if (!used) /* release: for who looks, its handles are free before it */
            (void)amxi_cas64_rel(word, &w, AMXI_PEER_WORD(AMXI_PEER_FREE, 0));
    }
    return all;
}

/* --- All of it --- */

/* sc, pairs with recycle and bury_handles of others: it is behind our `purging`, and older than no gift that its giver died in. */
static bool buried(const struct amxi_seg *s, uint32_t tag, uint32_t *peer)
{
    uint64_t w = amxi_ld64_sc(&amxi_handle(s, tag - 1)->word);
    *peer = AMXI_H_PEER(w);
    return AMXI_H_STATUS(w) == AMXI_H_DEAD;
}

/* Those of one peer entry, or all (UINT32_MAX). */
static void snapshot(const struct amxi_seg *s, struct dead *d, uint32_t peer)
{
    uint32_t p;
    for (uint32_t i = 0; i < s->g.handles; i++)
        if (buried(s, i + 1, &p) && (peer == UINT32_MAX || p == peer))
            add_dead(d, i + 1);
    d->sum.handles = d->n;
    /* Those to whom one of these was giving when it died: if they were purged before its exchange, the gift carries their
     * tag where only the giver's touched bit leads, and it holds their tags no longer when that bit is cleared */
    for (uint32_t i = 0; i < s->g.handles; i++) {
        uint32_t to = is_dead(d, i + 1) ? amxi_ld32_rlx(&amxi_handle(s, i)->giving) : 0;
        if (to && to <= s->g.handles && buried(s, to, &p))
            add_dead(d, to);
    }
}

/* Frees the block that a dead one's CACHED word owns: nobody alive changes that word any more. 2 the block, 3 its cell. */
static void free_owned(amx_t *h, struct dead *d, amxi_a64 *word, uint64_t w, amxi_a64 *cell)
{
    uint64_t bytes, ref = amxi_ld64_rlx(cell); /* not older than w, which was acquired */
    /* pairs with amxi_entered in furnish. Else the cell is a later life's: ours is over */
    if (!ref || amxi_ld64_again(word) != w)
        return;
    amxi_entered();                            /* as in let_go */
    if (!amxi_free_uncached(h, ref, &bytes)) { /* stale: freed already, by him or by another recoverer */
        d->sum.blocks++;
        d->sum.bytes += bytes;
    }
    /* Lost: another did it, and may have freed the word by now */
    (void)amxi_cas64_rlx(cell, &ref, AMX_REF_NONE);
}

/* The words of the dead in an object. Its entry is read after `purging` was set, so the block stays while we are here:
 * docs/design.md, "Objects". */
static void purge_object(amx_t *h, uint32_t i, struct dead *d)
{
    struct amxi_object o;
    if (!amxi_object_read(h->seg, i, &o))
        return; /* none, or its block is not what it was: nothing in there can be theirs */
    for (uint32_t k = 0; k < o.count && !d->stop; k++) {
        amxi_a64 *word = amxi_object_word(&o, k), *cell = amxi_object_cell(&o, k);
        uint64_t w, to = 0;
        bool kept = false, won = false;
        /* sc as in claim_dead: it may have been a gift of the living. Ends as that */
        while (!won && is_dead(d, AMXI_W0_OWNER(w = amxi_ld64_sc(word)))) {
            uint32_t state = AMXI_W0_STATE(w);
            kept = state >= AMX_STATE_KEPT;
            if (cell && !kept &&
                state != AMX_STATE_CACHED) { /* 1 still the dead one's: if we die too, the next goes on */
                to = AMXI_W0(AMX_STATE_CACHED, AMXI_W0_OWNER(w), AMXI_W0_GEN(w));
                if (!amxi_cas64_acq(word, &w, to)) /* what the living did to the block before it is freed */
                    continue;
                w = to;
            }
            if (cell && !kept)
                free_owned(h, d, word, w, cell);
            to = AMXI_W0(kept ? state : amxi_object_after(&o, state), 0, AMXI_W0_GEN(w)); /* 4 */
            won = amxi_cas64_rel(word, &w, to); /* what the kernel told us, and that its cell is 0 */
        }
        if (!won)
            continue;
        d->sum.words++;
        if (!kept || !d->fn)
            continue;
        struct amx_kept told = {.struct_size = sizeof told,
                                .how = AMX_KEPT_WORD,
                                .state = AMXI_W0_STATE(to),
                                .ref = o.ref,
                                .from = id_of(h->seg, AMXI_W0_OWNER(w)),
                                .object = i,
                                .slot = k};
        int e = d->fn(&told, d->ctx);
        if (e < 0)
            d->stop = e;
    }
}

static void purge_objects(amx_t *h, struct dead *d)
{
    const struct amxi_seg *s = h->seg;
    for (uint32_t i = 0; i < AMX_OBJECTS && !d->stop; i++) {
        bool touched = false;
        for (uint32_t t = 0; t < s->g.handles; t++)
            touched |=
                is_dead(d, t + 1) && amxi_ld32_rlx(&amxi_handle(s, t)->objects) >> i & 1; /* late: as in recycle */
        if (!touched)
            continue;
        purge_object(h, i, d);
        if (d->stop)
            return; /* the bits stay: what was not told is the next recovery's */
        for (uint32_t t = 0; t < s->g.handles; t++)
            if (is_dead(d, t + 1)) /* release, to recycle: their words are done with, also if we die before list_end */
                (void)amxi_and32_rel(&amxi_handle(s, t)->objects, ~(1u << i));
    }
}

static void purge_all(amx_t *h, struct dead *d)
{
    const struct amxi_seg *s = h->seg;
    for (uint32_t i = 0; i < s->g.sectors; i++)
        steal(h, i, d);
    purge_objects(h, d); /* first: the blocks that it frees may be in sectors that we have not touched before */
    for (uint32_t i = 0; i < s->g.sectors; i++)
        if (touched_by_dead(s, d, i) && (d->stop || !purge_sector(h, i, d)))
            d->sum.sectors_left++; /* the touched bit stays, recycle sees it */
    tell_gifts(h, d);
    if (d->sum.blocks || d->sum.sectors_rebuilt)
        amxi_wake(h);
}

static bool any_dead(const struct amxi_seg *s)
{
    for (uint32_t i = 0; i < s->g.handles; i++) {
        uint32_t st = AMXI_H_STATUS(amxi_ld64_rlx(&amxi_handle(s, i)->word)); /* else it is the next recovery's */
        if (st == AMXI_H_DEAD || st == AMXI_H_QUIET)
            return true;
    }
    for (uint32_t p = 0; p < s->g.peers; p++)
        if (AMXI_PEER_STATUS(amxi_ld64_rlx(&amxi_peer(s, p)->word)) == AMXI_PEER_DEAD)
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
    (void)amxi_sub32_rel(purging, 1); /* what was done, to who takes the tag next */
}

static void recover(amx_t *h, struct dead *d, uint32_t peer)
{
    amxi_a32 *purging = &amxi_handle(h->seg, h->tag - 1)->purging;
    list_begin(purging);
    snapshot(h->seg, d, peer);
    if (d->n)
        purge_all(h, d);
    list_end(purging);
    AMXI_PROBE(recovered, h->tag, d->sum.blocks);
}

/* How many entries of the dead are still taken, of a peer or of all. */
static uint32_t entries_left(const struct amxi_seg *s, uint32_t peer)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->g.handles; i++) {
        uint64_t w = amxi_ld64_rlx(&amxi_handle(s, i)->word); /* a number */
        uint32_t st = AMXI_H_STATUS(w);
        n += (st == AMXI_H_DEAD || st == AMXI_H_QUIET) && (peer == UINT32_MAX || AMXI_H_PEER(w) == peer);
    }
    return n;
}

/* The entry of a ticket; UINT32_MAX: none any more. */
static int find_peer(const struct amxi_seg *s, uint64_t ticket, uint32_t *peer)
{
    *peer = UINT32_MAX;
    if (ticket > amxi_ld64_rlx(&amxi_head(s)->tickets))
        return AMX_E_INVAL;
    for (uint32_t p = 0; p < s->g.peers; p++) {
        uint64_t w = amxi_ld64_rlx(&amxi_peer(s, p)->word); /* who has the ticket from somewhere has this */
        if (AMXI_PEER_STATUS(w) != AMXI_PEER_FREE && AMXI_PEER_TICKET(w) == ticket)
            *peer = p;
    }
    return AMX_OK;
}

int amx_recover(amx_t *h, uint64_t ticket, amx_kept_fn *fn, void *ctx, struct amx_recovery *out)
{
    struct dead d = {.fn = fn, .ctx = ctx};
    uint32_t peer = UINT32_MAX;
    int e = amxi_refuse(h);
    if (!e && out && out->struct_size < sizeof out->struct_size)
        e = AMX_E_INVAL;
    if (!e && ticket)
        e = find_peer(h->seg, ticket, &peer);
    if (e)
        return e;
    if (!ticket)
        bury_peers(h->seg);
    else if (peer != UINT32_MAX && !bury_peer(h->seg, peer))
        return AMX_E_ALIVE;
    if (ticket ? peer != UINT32_MAX : any_dead(h->seg)) {
        recover(h, &d, peer);
        if (!recycle(h->seg) || d.sum.sectors_left)
            d.sum.handles_left = entries_left(h->seg, peer);
    }
    if (out && (e = amxi_result(out, out->struct_size, &d.sum, sizeof d.sum)))
        return e;
    return d.stop ? d.stop : d.sum.handles_left || d.sum.sectors_left ? AMX_E_PARTIAL : AMX_OK;
}

void amxi_recycle(const struct amxi_seg *s)
{
    bury_peers(s);
    (void)recycle(s);
}

/* --- Of a segment in which everybody has died --- */

static int alone(struct amxi_seg *s)
{
    int e = amxi_peer_alone(s); /* first: somebody who attaches this moment makes room, and is no reason to give up */
    if (!e && amxi_peer_any(s)) {
        (void)amxi_peer_not_alone(s);
        e = AMX_E_FULL;
    }
    return e;
}

int amxi_inherit_peer(struct amxi_seg *s, const char *name, char *why, size_t why_len)
{
    int e = alone(s);
    if (e)
        return e;
    e = AMX_E_FULL;
    for (uint32_t p = 0; p < s->g.peers && e == AMX_E_FULL; p++) {
        (void)bury_peer(s, p);
        uint64_t w = amxi_ld64_rlx(&amxi_peer(s, p)->word);
        if (AMXI_PEER_STATUS(w) == AMXI_PEER_DEAD) /* and so are its handles; we hold the lock of AMXI_LOCK_ATTACH */
            e = amxi_peer_succeed(s, p, w, name, why, why_len);
    }
    (void)amxi_peer_not_alone(s);
    return e;
}

/* The entry's tag is ours and the dead one's: what carries it is freed as at the end of an attachment, and nothing else of
 * ours is there yet. */
int amxi_inherit_handle(struct amxi_seg *s)
{
    struct dead d = {.n = 0};
    amx_t *h;
    int e = alone(s);
    if (e)
        return e;
    bury_peers(s);
    e = amxi_handle_open(s, true, true, &h);
    if (!e) {
        snapshot(s, &d, UINT32_MAX);
        add_dead(&d, h->tag);
        purge_all(h, &d);
        (void)recycle(s);
    }
    (void)amxi_peer_not_alone(s);
    return e;
}

/* Caches back; all handles but the owner's DEAD; CLOSED, so that nobody begins to give to the owner; its private blocks
 * freed by itself, unless somebody is giving to it this moment: then the next recovery sees what came of that; DEAD. Its
 * entry is not DEAD while it works: a dead one's sectors would be stolen from under it. */
void amxi_retire(amx_t *owner)
{
    struct amxi_seg *s = owner->seg;
    struct dead d = {.n = 0};
    struct amxi_handle_body *b = amxi_handle(s, owner->tag - 1);
    for (uint32_t i = 0; i < s->g.handles; i++)
        if (s->open[i])
            (void)amx_trim(s->open[i]);
    bury_handles(s, s->peer, amxi_ld64_rlx(&amxi_peer(s, s->peer)->word), owner->tag); /* our own word */
    list_begin(&b->purging);
    snapshot(s, &d, UINT32_MAX);
    amxi_st64_sc(&b->word, AMXI_H_WORD(AMXI_H_CLOSED, s->peer, owner->epoch)); /* pairs with give's first look */
    if (!given_to(s, owner->tag))
        add_dead(&d, owner->tag);
    purge_all(owner, &d);
    list_end(&b->purging);
    amxi_st64_sc(&b->word, AMXI_H_WORD(AMXI_H_DEAD, s->peer, owner->epoch)); /* pairs with give's second look */
    amxi_peer_leave(s);
    (void)recycle(s); /* what could not be finished the next recovery finishes */
}
