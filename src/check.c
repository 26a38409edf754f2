/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The validator. Every value is loaded once, checked, then used; every walk ends with the sector's units or a table's
 * entries. Of a live segment a sector's findings count only if its word stayed the same from before the first load to
 * behind the last (as in walk.c): then nobody was inside. What may change without the word (live states, the queue) is
 * judged so that no order of the two loads makes a fault of it.
 *
 * Rules, by the name that a finding carries:
 *   head        the constants say what was checked at attach       handle, peer  status, indices, who is dead
 *   kind        the sector word is one of enum amxi_kind           holder    a held sector's holder exists
 *   chain       sizes from `first` cover the sector exactly        header    reserved bits are 0
 *   state       a state that the library or a user can have        owner     it exists; CACHED, ACKED have one
 *   touched     an owner's bit for the sector is set               adjacent  no two free neighbours
 *   footer      a free block ends with its size                    bitmap    a bit at each header, nowhere else
 *   index       each free block in its list, sl and fl agree       queue     ACKED blocks only, each once
 *   drain       a queue being taken over belongs to a holder       cut       the front belongs to a large block
 *   extent      head, inner sectors and tail agree                 gclock    40 bits
 *   hint, busy, quarantine: notes
 * As in walk.c the first look at a word acquires, the loads behind it are relaxed, and the second look is not before them.
 */
#include "amx_object.h"
#include "look.h"
#include "object.h"
#include "peer.h"
#include "sector.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 8u
#define KEPT  8u /* findings of one grade that a sector can tell of; all are counted */

struct found {
    uint64_t offset;
    const char *rule;
    char text[128];
};

struct check {
    const struct amxi_seg *s;
    bool live; /* others may change it meanwhile */
    amx_check_fn *fn;
    void *ctx;
    int stop;
    uint64_t *mark;                   /* by unit: a block on a queue that the chain has not come to yet */
    struct amx_check_result sum, now; /* now: of the sector under examination, until it is settled */
    uint32_t sector;
    struct found found[AMX_GRADE_CORRUPT + 1][KEPT];
};

/* --- Findings ---------------------------------------------------------------------------------------------------- */

static uint64_t *counter(struct amx_check_result *r, enum amx_grade grade)
{
    return grade == AMX_GRADE_NOTE ? &r->notes : grade == AMX_GRADE_UNDONE ? &r->undone : &r->corrupt;
}

__attribute__((format(printf, 5, 6))) static void add(struct check *c, enum amx_grade grade, const char *rule,
                                                      uint64_t offset, const char *fmt, ...)
{
    uint64_t n = (*counter(&c->now, grade))++;
    if (n >= KEPT)
        return;
    struct found *f = &c->found[grade][n];
    f->offset = offset;
    f->rule = rule;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
}

#define NOTE(...)    add(c, AMX_GRADE_NOTE, __VA_ARGS__)
#define UNDONE(...)  add(c, AMX_GRADE_UNDONE, __VA_ARGS__)
#define CORRUPT(...) add(c, AMX_GRADE_CORRUPT, __VA_ARGS__)

static void forget(struct check *c)
{
    memset(&c->now, 0, sizeof c->now);
}

/* What was found holds: count it, tell it, gravest last. */
static void settle(struct check *c)
{
    for (int g = AMX_GRADE_NOTE; g <= AMX_GRADE_CORRUPT; g++) {
        uint64_t n = *counter(&c->now, (enum amx_grade)g);
        for (uint64_t k = 0; k < n && k < KEPT && c->fn && !c->stop; k++) {
            const struct found *f = &c->found[g][k];
            struct amx_finding told = {(enum amx_grade)g, c->sector, f->offset, f->rule, f->text};
            c->stop = c->fn(&told, c->ctx);
        }
    }
    c->sum.notes += c->now.notes;
    c->sum.undone += c->now.undone;
    c->sum.corrupt += c->now.corrupt;
    c->sum.blocks += c->now.blocks;
    c->sum.live_blocks += c->now.live_blocks;
    c->sum.live_bytes += c->now.live_bytes;
    c->sum.free_bytes += c->now.free_bytes;
    c->sum.parked_bytes += c->now.parked_bytes;
    c->sum.sectors += c->now.sectors;
    c->sum.busy += c->now.busy;
    forget(c);
}

/* Offset in the segment. */
static uint64_t where(const struct check *c, enum amxi_region r, uint64_t i)
{
    return c->s->g.region[r].offset + i * c->s->g.region[r].stride;
}

/* --- Tables ------------------------------------------------------------------------------------------------------ */

static void check_head(struct check *c)
{
    const struct amxi_geometry *g = &c->s->g;
    if (c->live) {
        struct amxi_geometry again;
        bool ro;
        char why[96] = "";
        if (amxi_geometry_read(c->s->base, g->size, g->size, &again, &ro, why, sizeof why))
            CORRUPT("head", 0, "the head has changed since it was attached: %s", why);
    }
    uint32_t high = amxi_ld32_rlx(&amxi_head(c->s)->handles_high);
    if (high > g->handles)
        CORRUPT("handle", offsetof(struct amxi_head_body, handles_high), "%u handle entries used, there are %u", high,
                g->handles);
    settle(c);
}

static void check_peer(struct check *c, uint32_t i)
{
    amxi_a64 *word = &amxi_peer(c->s, i)->word;
    uint64_t w = amxi_ld64_acq(word), at = where(c, AMXI_R_PEERS, i), ticket = AMXI_PEER_TICKET(w);
    uint64_t given = amxi_ld64_rlx(&amxi_head(c->s)->tickets); /* after the word: it only grows, and grew before */
    switch (AMXI_PEER_STATUS(w)) {
    case AMXI_PEER_FREE:
        return;
    case AMXI_PEER_LIVE:
        if (c->live && amxi_peer_dead(c->s, i, ticket) && amxi_ld64_rlx(word) == w)
            UNDONE("peer", at, "the process of peer %u is dead and not yet recovered", i);
        break;
    case AMXI_PEER_DEAD:
        UNDONE("peer", at, "peer %u is dead and not yet recovered", i);
        break;
    default:
        CORRUPT("peer", at, "peer %u has status %u", i, AMXI_PEER_STATUS(w));
        return;
    }
    if (!ticket || ticket > given)
        CORRUPT("peer", at, "peer %u has ticket %llu, the last given is %llu", i, (unsigned long long)ticket,
                (unsigned long long)given);
}

static void check_handle(struct check *c, uint32_t i)
{
    const struct amxi_geometry *g = &c->s->g;
    struct amxi_handle_body *h = amxi_handle(c->s, i);
    uint64_t w = amxi_ld64_acq(&h->word), at = where(c, AMXI_R_HANDLES, i);
    uint32_t status = AMXI_H_STATUS(w), peer = AMXI_H_PEER(w), giving = amxi_ld32_rlx(&h->giving);
    if (status == AMXI_H_FREE)
        return;
    if (status > AMXI_H_QUIET || peer >= g->peers || giving > g->handles) {
        CORRUPT("handle", at, "handle %u: status %u, peer %u, giving to %u", i, status, peer, giving);
        return;
    }
    if (status == AMXI_H_DEAD)
        UNDONE("handle", at, "handle %u is dead and not yet recovered", i);
    if (status == AMXI_H_QUIET)
        NOTE("handle", at, "handle %u is recovered, its entry waits to be used again", i);
    /* raised before OPEN, so read after it */
    bool low = i < amxi_ld32_rlx(&amxi_head(c->s)->handles_high) || status == AMXI_H_OPENING || status >= AMXI_H_DEAD;
    if (!low)
        CORRUPT("handle", at, "handle %u is open beyond those that were ever used", i);
    /* an entry of a peer is freed after all handles of the peer */
    bool orphan = AMXI_PEER_STATUS(amxi_ld64_rlx(&amxi_peer(c->s, peer)->word)) == AMXI_PEER_FREE;
    if (orphan && amxi_ld64_again(&h->word) == w)
        CORRUPT("handle", at, "handle %u belongs to peer %u, which is nobody", i, peer);
}

static void check_object(struct check *c, uint32_t i)
{
    struct amxi_object o;
    uint64_t w = amxi_ld64_acq(&amxi_object(c->s, i)->word); /* its maker's entry is not older */
    uint64_t at = offsetof(struct amxi_head_body, object) + (uint64_t)i * sizeof(struct amxi_object_body);
    uint32_t status = AMXI_O_STATUS(w), tag = AMXI_O_TAG(w);
    bool midway = status == AMXI_O_MAKING || status == AMXI_O_GOING;
    if (status > AMXI_O_GOING || tag > c->s->g.handles || midway != (tag != 0))
        CORRUPT("object", at, "object %u: status %u, handle %u", i, status, tag);
    else if (midway && AMXI_H_STATUS(amxi_ld64_rlx(&amxi_handle(c->s, tag - 1)->word)) >= AMXI_H_DEAD)
        UNDONE("object", at, "object %u: handle %u died while it added or removed it", i, tag);
    else if (status == AMXI_O_LIVE && !amxi_object_read(c->s, i, &o))
        NOTE("object", at, "object %u is registered, but its block is gone or does not hold it", i);
}

static void check_tables(struct check *c)
{
    c->sector = UINT32_MAX;
    check_head(c);
    for (uint32_t i = 0; i < AMX_OBJECTS && !c->stop; i++)
        check_object(c, i);
    for (uint32_t i = 0; i < c->s->g.peers && !c->stop; i++) {
        check_peer(c, i);
        settle(c);
    }
    for (uint32_t i = 0; i < c->s->g.handles && !c->stop; i++) {
        check_handle(c, i);
        settle(c);
    }
}

/* Who has the sector? */
enum holder { NOBODY, LIVING, DEAD };
static enum holder holder_of(const struct check *c, uint32_t tag)
{
    if (!tag || tag > c->s->g.handles)
        return NOBODY;
    uint64_t w = amxi_ld64_rlx(&amxi_handle(c->s, tag - 1)->word);
    uint32_t status = AMXI_H_STATUS(w), peer = AMXI_H_PEER(w);
    if (status == AMXI_H_FREE || status >= AMXI_H_QUIET || peer >= c->s->g.peers)
        return NOBODY;
    uint64_t p = amxi_ld64_rlx(&amxi_peer(c->s, peer)->word);
    if (status == AMXI_H_DEAD || AMXI_PEER_STATUS(p) != AMXI_PEER_LIVE)
        return DEAD;
    return c->live && amxi_peer_dead(c->s, peer, AMXI_PEER_TICKET(p)) ? DEAD : LIVING;
}

/* --- One sector ---------------------------------------------------------------------------------------------------- */

struct sector {
    uint32_t i;
    struct amxi_sector_body *b;
    const amxi_a64 *bits;
    uint64_t unit; /* of its start, in the data */
    uint32_t su;
    uint32_t first;                /* where its chain begins */
    bool at_rest;                  /* IDLE: everything must agree. Else HELD: only the chain */
    uint32_t free_blocks, largest; /* largest in units */
    uint32_t unqueued;             /* ACKED blocks on no queue */
    uint64_t unqueued_at;
};

static struct sector view(const struct check *c, uint32_t i)
{
    struct sector x = {.i = i, .b = amxi_sector(c->s, i), .bits = amxi_bitmap(c->s, i), .su = c->s->g.su};
    x.unit = (uint64_t)i * x.su;
    return x;
}

static struct amxi_free_body *block(const struct check *c, const struct sector *x, uint32_t u)
{
    return (struct amxi_free_body *)(void *)amxi_block(c->s, x->unit + u);
}

static uint64_t at_block(const struct check *c, const struct sector *x, uint32_t u)
{
    return c->s->g.region[AMXI_R_DATA].offset + (x->unit + u) * AMXI_UNIT;
}

/* First set bit from `from` on; su: none. */
static uint32_t next_bit(const struct sector *x, uint32_t from)
{
    while (from < x->su) {
        uint64_t w = amxi_ld64_rlx(&x->bits[from >> 6]) >> (from & 63);
        if (w)
            return from + (uint32_t)__builtin_ctzll(w);
        from = (from | 63) + 1;
    }
    return x->su;
}

static bool header_at(const struct sector *x, uint32_t u)
{
    return u >= x->first && u < x->su && amxi_ld64_rlx(&x->bits[u >> 6]) >> (u & 63) & 1;
}

static void count(struct check *c, uint32_t state, uint64_t units)
{
    uint64_t bytes = units * AMXI_UNIT;
    c->now.blocks++;
    if (amxi_state_live(state)) {
        c->now.live_blocks++;
        c->now.live_bytes += bytes;
    } else if (state == AMX_STATE_FREE) {
        c->now.free_bytes += bytes;
    } else {
        c->now.parked_bytes += bytes;
    }
}

/* May w0 be owned by whom it names? */
static void judge_owner(struct check *c, const struct sector *x, uint32_t u, uint64_t w0)
{
    uint32_t owner = AMXI_W0_OWNER(w0), state = AMXI_W0_STATE(w0);
    enum amx_grade grade = AMX_GRADE_CORRUPT;
    const char *rule = "owner", *what;
    if (!owner) {
        if (state != AMX_STATE_CACHED && state != AMX_STATE_ACKED)
            return;
        what = "waits in a cache or queue of nobody";
    } else if (owner > c->s->g.handles) {
        what = "is owned by a handle that cannot exist";
    } else {
        uint32_t status = AMXI_H_STATUS(amxi_ld64_rlx(&amxi_handle(c->s, owner - 1)->word));
        /* read after w0: the bit is set before a handle gets anything in the sector */
        uint64_t touched = amxi_ld64_rlx(amxi_touched(c->s, owner - 1) + x->i / 64) >> (x->i & 63) & 1;
        if (status == AMXI_H_FREE || status == AMXI_H_QUIET) {
            what = "is owned by a handle that is free";
        } else if (!touched) {
            rule = "touched";
            what = "is in a sector that its owner has not marked";
            if (status == AMXI_H_DEAD) /* given to it while it was being recovered: the giver takes it back */
                grade = AMX_GRADE_UNDONE;
        } else {
            return;
        }
    }
    if (c->live && amxi_ld64_again(&block(c, x, u)->w0) != w0)
        return; /* it has another owner meanwhile */
    add(c, grade, rule, at_block(c, x, u), "a block %s: handle %u, state %u", what, owner, state);
}

static void judge_block(struct check *c, struct sector *x, uint32_t u, uint32_t size, uint64_t w0)
{
    uint32_t state = AMXI_W0_STATE(w0);
    uint64_t at = at_block(c, x, u);
    if (state == AMX_STATE_FREE) {
        uint32_t foot = amxi_ld32_rlx((amxi_a32 *)(void *)block(c, x, u + size) - 1);
        x->free_blocks++;
        if (size > x->largest)
            x->largest = size;
        if (AMXI_W0_OWNER(w0))
            CORRUPT("owner", at, "a free block is owned by handle %u", AMXI_W0_OWNER(w0));
        if (foot != size)
            CORRUPT("footer", at, "a free block of %u units ends with %u", size, foot);
        return;
    }
    if (state == AMX_STATE_COALESCING) {
        UNDONE("state", at, "a block is being merged in a sector that nobody holds");
        return;
    }
    if (state == AMX_STATE_ACKED) {
        uint64_t *m = &c->mark[u >> 6], bit = UINT64_C(1) << (u & 63);
        if (!(*m & bit) && !x->unqueued++)
            x->unqueued_at = at;
        *m &= ~bit;
    } else if (state != AMX_STATE_CACHED && !amxi_state_live(state)) {
        CORRUPT("state", at, "a block has the reserved state %u", state);
    }
    judge_owner(c, x, u, w0);
}

/* Walks the chain. false: it does not cover the sector, and nothing behind the break was seen. */
static bool judge_chain(struct check *c, struct sector *x)
{
    bool after_free = false;
    for (uint32_t u = x->first, size; u < x->su; u += size) {
        /* acquire: whoever adopted it had marked the sector before */
        uint64_t w0 = amxi_ld64_acq(&block(c, x, u)->w0), w1 = amxi_ld64_rlx(&block(c, x, u)->w1);
        uint32_t state = AMXI_W0_STATE(w0);
        size = AMXI_W1_SIZE(w1);
        if (size < AMXI_UNITS_MIN || size > x->su - u) {
            CORRUPT("chain", at_block(c, x, u), "a block of %u units where %u are left", size, x->su - u);
            return false;
        }
        count(c, state, size);
        if (!x->at_rest)
            continue;
        uint32_t stray = next_bit(x, u + 1);
        if (!header_at(x, u))
            CORRUPT("bitmap", at_block(c, x, u), "no bit is set for the header of a block in state %u", state);
        if (stray < u + size)
            CORRUPT("bitmap", at_block(c, x, stray), "a bit is set inside a block of %u units in state %u", size,
                    state);
        if (w1 >> 41)
            CORRUPT("header", at_block(c, x, u), "reserved bits are set in a header: %llx", (unsigned long long)w1);
        if (after_free && state == AMX_STATE_FREE)
            CORRUPT("adjacent", at_block(c, x, u), "two free blocks side by side");
        after_free = state == AMX_STATE_FREE;
        judge_block(c, x, u, size, w0);
    }
    return true;
}

/* Follows a queue and marks its blocks. false: it is broken. */
static bool judge_queue(struct check *c, const struct sector *x, const char *name, uint32_t entry, uint32_t *n)
{
    for (*n = 0; entry; ++*n) {
        uint32_t u = entry - 1;
        if (!header_at(x, u)) {
            CORRUPT("queue", where(c, AMXI_R_SECTORS, x->i), "the %s queue leads to unit %u: no block", name, u);
            return false;
        }
        uint64_t *m = &c->mark[u >> 6], bit = UINT64_C(1) << (u & 63);
        uint32_t state = AMXI_W0_STATE(amxi_ld64_rlx(&block(c, x, u)->w0));
        if (*m & bit) {
            CORRUPT("queue", at_block(c, x, u), "the %s queue comes to a block a second time", name);
            return false;
        }
        if (state != AMX_STATE_ACKED && state != AMX_STATE_COALESCING) {
            CORRUPT("queue", at_block(c, x, u), "the %s queue holds a block in state %u", name, state);
            return false;
        }
        *m |= bit;
        entry = AMXI_W1_LINK(amxi_ld64_rlx(&block(c, x, u)->w1));
    }
    return true;
}

static bool judge_queues(struct check *c, const struct sector *x, uint64_t acked)
{
    uint64_t drain = amxi_ld64_rlx(&x->b->drain);
    uint32_t n, k, counted = AMXI_Q_COUNT(acked);
    memset(c->mark, 0, x->su / 8);
    bool sound = judge_queue(c, x, "acked", AMXI_Q_ENTRY(acked), &n);
    if (sound && counted != (n < 0xffff ? n : 0xffff))
        CORRUPT("queue", where(c, AMXI_R_ACKED, x->i), "a queue of %u blocks counts %u", n, counted);
    if (AMXI_Q_ENTRY(drain) && AMXI_Q_ROUND(drain) == AMXI_Q_ROUND(acked))
        UNDONE("drain", where(c, AMXI_R_SECTORS, x->i), "a queue is about to be taken over, by nobody");
    else if (sound)
        sound = judge_queue(c, x, "drain", AMXI_Q_ENTRY(drain), &k);
    return sound;
}

/* Behind the chain, which has counted the free blocks: are they all in their lists, and nothing else? */
static void judge_index(struct check *c, const struct sector *x)
{
    uint32_t n = 0, fl = 0;
    uint8_t sl[sizeof x->b->sl] = {0};
    uint64_t at = where(c, AMXI_R_SECTORS, x->i);
    for (uint32_t k = 0; k < c->s->g.bins; k++) {
        uint32_t bin = k + AMXI_UNITS_MIN, entry = amxi_ld32_rlx(&x->b->head[k]);
        if (entry) {
            sl[bin >> 3] = (uint8_t)(sl[bin >> 3] | 1u << (bin & 7));
            fl |= 1u << (bin >> 3);
        }
        for (uint32_t prev = 0; entry; n++) { /* `prev` must be exact, so no list can come back to itself */
            const struct amxi_free_body *f = header_at(x, entry - 1) ? block(c, x, entry - 1) : NULL;
            if (!f || n == x->free_blocks || AMXI_W0_STATE(amxi_ld64_rlx(&f->w0)) != AMX_STATE_FREE ||
                amxi_bin(AMXI_W1_SIZE(amxi_ld64_rlx(&f->w1))) != bin || amxi_ld32_rlx(&f->prev) != prev) {
                CORRUPT("index", at, "list %u is wrong at unit %u", bin, entry - 1);
                return;
            }
            prev = entry;
            entry = amxi_ld32_rlx(&f->next);
        }
    }
    if (n != x->free_blocks)
        CORRUPT("index", at, "the lists have %u of %u free blocks", n, x->free_blocks);
    bool same = amxi_ld32_rlx(&x->b->fl) == fl;
    for (uint32_t f = 0; f < sizeof sl; f++)
        same &= amxi_ld8_rlx(&x->b->sl[f]) == sl[f];
    if (!same)
        CORRUPT("index", at, "the bits over the lists are wrong");
}

static void judge_hints(struct check *c, const struct sector *x)
{
    uint32_t avail = amxi_ld8_rlx(amxi_avail(c->s, x->i));
    uint32_t real = x->largest == x->su ? AMXI_AVAIL_WHOLE : amxi_bin(x->largest);
    if (avail != real)
        NOTE("hint", where(c, AMXI_R_HINTS, x->i), "the hint for free blocks says %u, it is %u", avail, real);
}

static void judge_idle(struct check *c, struct sector *x)
{
    uint64_t at = where(c, AMXI_R_SECTORS, x->i);
    x->at_rest = true;
    x->first = amxi_ld32_rlx(&x->b->first);
    if (x->first == 1 || x->first > x->su - AMXI_UNITS_MIN) {
        CORRUPT("cut", at, "the chain begins at unit %u of %u", x->first, x->su);
        return;
    }
    if (x->first && !amxi_cut_valid(c->s, x->i)) {
        NOTE("cut", at, "%u units in front are free, the next holder takes them back", x->first);
        c->now.free_bytes += (uint64_t)x->first * AMXI_UNIT;
    }
    if (amxi_ld32_rlx(&x->b->ext_len))
        CORRUPT("extent", at, "a sector that nobody holds says that a large block begins in it");
    if (amxi_ld64_rlx(&x->b->gclock) > AMXI_GEN_MASK)
        CORRUPT("gclock", at, "the generation clock has more than 40 bits");
    uint32_t stray = next_bit(x, 0);
    if (stray < x->first)
        CORRUPT("bitmap", at_block(c, x, stray), "a bit is set in front of the first block");
    uint64_t acked = amxi_ld64_acq(amxi_acked(c->s, x->i)); /* its blocks: pushed without the sector's word */
    bool queues = judge_queues(c, x, acked);
    if (!judge_chain(c, x))
        return;
    /* a push between the two loads of the queue would make the same picture */
    if (x->unqueued && queues && amxi_ld64_rlx(amxi_acked(c->s, x->i)) == acked)
        UNDONE("queue", x->unqueued_at, "%u blocks from here on are marked as queued and are on no queue", x->unqueued);
    judge_hints(c, x);
    judge_index(c, x);
}

/* Between any two stores of a holder the chain covers the sector; the rest may be in pieces. false: not to be judged. */
static bool judge_held(struct check *c, struct sector *x, uint32_t tag)
{
    uint64_t at = where(c, AMXI_R_SECTORS, x->i);
    uint32_t len = amxi_ld32_rlx(&x->b->ext_len);
    enum holder holder = holder_of(c, tag);
    if (holder == NOBODY)
        CORRUPT("holder", at, "held by handle %u, which does not exist", tag);
    else if (holder == DEAD)
        UNDONE("holder", at, "held by handle %u, which is dead", tag);
    else if (c->live)
        return false; /* in the middle of its work: the parts of our picture would not fit together */
    else
        NOTE("busy", at, "held by handle %u", tag);
    if (len > c->s->g.sectors - x->i)
        CORRUPT("extent", at, "a large block of %u sectors reaches beyond the end", len);
    if (len)
        return true; /* being made or taken apart: the sector's word says the rest when that is done */
    x->first = amxi_ld32_rlx(&x->b->first);
    if (x->first > x->su - AMXI_UNITS_MIN)
        CORRUPT("cut", at, "the chain begins at unit %u of %u", x->first, x->su);
    else
        judge_chain(c, x);
    return true;
}

/* --- Large blocks ------------------------------------------------------------------------------------------------ */

static void judge_queue_empty(struct check *c, uint32_t i)
{
    if (AMXI_Q_ENTRY(amxi_ld64_rlx(amxi_acked(c->s, i))) || AMXI_Q_ENTRY(amxi_ld64_rlx(&amxi_sector(c->s, i)->drain)))
        CORRUPT("queue", where(c, AMXI_R_SECTORS, i), "a queue in a sector that belongs to a large block");
}

static void judge_inner(struct check *c, const struct sector *x, uint32_t i)
{
    struct sector y = view(c, i);
    uint64_t w = amxi_ld64_rlx(&y.b->word);
    if (AMXI_S_KIND(w) != AMXI_K_CONT || AMXI_S_WHO(w) != x->i) {
        CORRUPT("extent", where(c, AMXI_R_SECTORS, i), "sector %u is of kind %u, not inside the large block of %u", i,
                AMXI_S_KIND(w), x->i);
        return;
    }
    uint32_t stray = next_bit(&y, 0);
    if (stray < y.su)
        CORRUPT("bitmap", at_block(c, &y, stray), "a bit is set inside a large block");
    judge_queue_empty(c, i);
}

/* The sector behind, the front of which belongs to the large block as long as its HEAD stands. */
static void judge_tail(struct check *c, const struct sector *x, uint32_t j, uint32_t tail)
{
    struct amxi_sector_body *b = amxi_sector(c->s, j);
    uint32_t kind = AMXI_S_KIND(amxi_ld64_rlx(&b->word)), first = amxi_ld32_rlx(&b->first),
             by = amxi_ld32_rlx(&b->cut_by);
    if (kind == AMXI_K_HELD || kind == AMXI_K_QUARANTINED)
        return;
    if (kind != AMXI_K_IDLE || first != tail || by != x->i)
        CORRUPT("extent", where(c, AMXI_R_SECTORS, j),
                "the large block of sector %u ends in it with %u units; it says kind %u, %u units of sector %u", x->i,
                tail, kind, first, by);
}

static void judge_head(struct check *c, struct sector *x)
{
    uint64_t at = where(c, AMXI_R_SECTORS, x->i);
    uint32_t len = amxi_ld32_rlx(&x->b->ext_len), tail = amxi_ld32_rlx(&x->b->ext_tail), left = c->s->g.sectors - x->i;
    x->first = amxi_ld32_rlx(&x->b->first);
    if (!len || len > left || tail >= x->su || (tail && len == left)) {
        CORRUPT("extent", at, "a large block of %u sectors and %u units where %u sectors are left", len, tail, left);
        return;
    }
    if (x->first & (x->first + 1) || x->first >= AMXI_PAGE / AMXI_UNIT) { /* one less than the alignment, in units */
        CORRUPT("extent", at, "a large block begins at unit %u of its sector", x->first);
        return;
    }
    /* acquire: as in judge_chain */
    uint64_t w0 = amxi_ld64_acq(&block(c, x, x->first)->w0), w1 = amxi_ld64_rlx(&block(c, x, x->first)->w1);
    uint32_t state = AMXI_W0_STATE(w0), bit = next_bit(x, 0), stray = next_bit(x, x->first + 1);
    count(c, state, (uint64_t)len * x->su + tail);
    if (bit != x->first)
        CORRUPT("bitmap", at_block(c, x, x->first), "the bit of a large block's header is not the first one");
    if (stray < x->su)
        CORRUPT("bitmap", at_block(c, x, stray), "a bit is set inside a large block");
    if (AMXI_W1_SIZE(w1) || w1 >> 41)
        CORRUPT("header", at_block(c, x, x->first), "a large block's header says %llx", (unsigned long long)w1);
    if (state == AMX_STATE_CACHED)
        UNDONE("extent", at_block(c, x, x->first), "a large block is freed and not yet taken apart");
    else if (!amxi_state_live(state))
        CORRUPT("state", at_block(c, x, x->first), "a large block is in state %u", state);
    judge_owner(c, x, x->first, w0);
    judge_queue_empty(c, x->i);
    for (uint32_t i = x->i + 1; i < x->i + len; i++)
        judge_inner(c, x, i);
    if (tail)
        judge_tail(c, x, x->i + len, tail);
}

/* The head tells of its inner sectors; here only that there is one. false: that changed meanwhile. */
static bool judge_cont(struct check *c, const struct sector *x, uint32_t who)
{
    uint64_t at = where(c, AMXI_R_SECTORS, x->i);
    struct amxi_sector_body *h = amxi_sector(c->s, who < x->i ? who : x->i);
    uint64_t w = amxi_ld64_acq(&h->word);
    uint32_t kind = AMXI_S_KIND(w), len = amxi_ld32_rlx(&h->ext_len);
    if (kind == AMXI_K_HELD && holder_of(c, AMXI_S_WHO(w)) == LIVING)
        NOTE("busy", at, "inside a large block that is being made or freed");
    else if (kind == AMXI_K_HELD)
        UNDONE("extent", at, "inside a large block that is half made or half freed");
    else if (kind == AMXI_K_QUARANTINED)
        NOTE("quarantine", at, "inside a large block that is quarantined");
    else if (kind != AMXI_K_HEAD || x->i - who >= len)
        CORRUPT("extent", at, "inside a large block of sector %u that is none or does not reach here", who);
    return !c->live || amxi_ld64_again(&h->word) == w;
}

/* --- All of them --------------------------------------------------------------------------------------------------- */

static bool judge(struct check *c, uint32_t i, uint64_t word)
{
    struct sector x = view(c, i);
    uint64_t at = where(c, AMXI_R_SECTORS, i);
    switch (AMXI_S_KIND(word)) {
    case AMXI_K_IDLE:
        judge_idle(c, &x);
        return true;
    case AMXI_K_HELD:
        return judge_held(c, &x, AMXI_S_WHO(word));
    case AMXI_K_HEAD:
        judge_head(c, &x);
        return true;
    case AMXI_K_CONT:
        return judge_cont(c, &x, AMXI_S_WHO(word));
    case AMXI_K_QUARANTINED:
        NOTE("quarantine", at, "damaged and left alone; its blocks are not judged");
        return true;
    default:
        CORRUPT("kind", at, "a sector of kind %u", AMXI_S_KIND(word));
        return true;
    }
}

static void check_sector(struct check *c, uint32_t i)
{
    const amxi_a64 *word = &amxi_sector(c->s, i)->word;
    c->sector = i;
    for (uint32_t t = 0; t < TRIES; t++) {
        uint64_t w = amxi_ld64_acq(word);
        if (judge(c, i, w) && (!c->live || amxi_ld64_again(word) == w)) {
            c->now.sectors = 1;
            settle(c);
            return;
        }
        forget(c);
    }
    c->now.busy = 1;
    NOTE("busy", where(c, AMXI_R_SECTORS, i), "in use: not judged");
    settle(c);
}

static int run(struct check *c, struct amx_check_result *out)
{
    c->mark = malloc(c->s->g.su / 8);
    if (!c->mark)
        return AMX_E_SYS;
    check_tables(c);
    for (uint32_t i = 0; i < c->s->g.sectors && !c->stop; i++)
        check_sector(c, i);
    for (uint32_t i = c->s->g.sectors; i < c->s->g.sectors_max && !c->stop; i++) {
        c->sector = i;
        if (AMXI_S_KIND(amxi_ld64_rlx(&amxi_sector(c->s, i)->word)) != AMXI_K_ABSENT)
            CORRUPT("kind", where(c, AMXI_R_SECTORS, i), "a sector beyond the end of the segment");
        settle(c);
    }
    free(c->mark);
    if (c->stop)
        return c->stop;
    int e = amxi_result(out, out->struct_size, &c->sum, sizeof c->sum);
    return e ? e : c->sum.corrupt ? AMX_E_CORRUPT : AMX_OK;
}

int amx_check(const amx_t *h, amx_check_fn *fn, void *ctx, struct amx_check_result *out)
{
    if (!h || !out)
        return AMX_E_INVAL;
    if (!h->seg || h->seg->forked)
        return AMX_E_FORKED;
    struct check c = {.s = h->seg, .live = true, .fn = fn, .ctx = ctx};
    return run(&c, out);
}

int amx_check_image(const void *image, size_t len, amx_check_fn *fn, void *ctx, struct amx_check_result *out)
{
    if (!image || !out || (uintptr_t)image % AMXI_LINE)
        return AMX_E_INVAL;
    struct amxi_seg s = {.base = (uint8_t *)image, .fd = -1, .lock_fd = -1, .readonly = true}; /* only loads follow */
    struct check c = {.s = &s, .fn = fn, .ctx = ctx, .sector = UINT32_MAX};
    bool ro;
    char why[96] = "";
    if (!amxi_geometry_read(image, len, 0, &s.g, &ro, why, sizeof why))
        return run(&c, out);
    add(&c, AMX_GRADE_CORRUPT, "head", 0, "%s", why);
    settle(&c);
    if (c.stop)
        return c.stop;
    int e = amxi_result(out, out->struct_size, &c.sum, sizeof c.sum);
    return e ? e : AMX_E_LAYOUT;
}
