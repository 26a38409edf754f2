/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics: the walk's pictures of sectors, added up. Each unit of the data is counted once, whatever is found. */
#include "look.h"
#include "tlsf.h"

#include <stdlib.h>

static bool is_free(const struct amxi_rec *r)
{
    return AMXI_W0_STATE(r->w0) == AMX_STATE_FREE;
}

static void add_block(struct amx_stats *st, const struct amxi_rec *r, uint64_t units, bool large)
{
    uint64_t bytes = units * AMXI_UNIT;
    uint32_t state = AMXI_W0_STATE(r->w0);
    if (amxi_state_live(state)) {
        st->live_bytes += bytes;
        st->live_blocks++;
        st->published_blocks += AMXI_W0_OWNER(r->w0) == 0;
        st->kept_blocks += state >= AMX_STATE_KEPT;
        st->large_blocks += large;
        return;
    }
    switch (state) {
    case AMX_STATE_FREE:
        st->free_bytes += bytes;
        st->free_blocks++;
        break;
    case AMX_STATE_CACHED:
        st->cached_bytes += bytes;
        st->cached_blocks++;
        break;
    case AMX_STATE_ACKED:
    case AMX_STATE_COALESCING:
        st->acked_bytes += bytes;
        st->acked_blocks++;
        break;
    default:
        st->lost_bytes += bytes; /* a state that nothing sets */
    }
}

static void add_sector(struct amx_stats *st, const struct amxi_look *l)
{
    uint32_t su = l->s->g.su;
    bool large = l->kind == AMXI_K_HEAD || l->kind == AMXI_K_CONT;
    if (!large)
        st->free_bytes += (uint64_t)(l->first - l->from) * AMXI_UNIT;
    for (uint32_t k = 0; k < l->n; k++) /* the gap in front of an aligned large block is part of it */
        add_block(st, &l->rec[k], l->rec[k].units + (large ? l->rec[k].unit : 0), large);
    uint64_t rest = (uint64_t)(su - l->end) * AMXI_UNIT;
    if (l->busy)
        st->unseen_bytes += rest;
    else
        st->lost_bytes += rest;
    st->sectors_held += l->busy;
    st->sectors_large += large && !l->busy && !l->damaged;
    st->sectors_bad += l->kind == AMXI_K_QUARANTINED;
}

/* Free units at the very start of the sector: what a large block that ends in it could have. */
static uint32_t leading(const struct amxi_look *l)
{
    if (l->from || l->kind != AMXI_K_IDLE || l->busy || l->damaged)
        return 0;
    return l->first + (l->n && is_free(&l->rec[0]) ? l->rec[0].units : 0);
}

int amx_stat(const amx_t *h, struct amx_stats *out)
{
    if (!h || !out)
        return AMX_E_INVAL;
    struct amxi_look *l;
    int e = amxi_look_begin(h, &l);
    if (e)
        return e;
    struct amx_stats st = {.data_bytes = ((uint64_t)l->s->g.sectors << l->s->g.su_log2) * AMXI_UNIT};
    uint64_t run = 0, best = 0; /* units: of the whole free sectors just before, of the largest free piece */
    for (uint32_t i = 0; i < l->s->g.sectors; i++) {
        amxi_look_sector(l, i);
        add_sector(&st, l);
        for (uint32_t k = 0; k < l->n; k++)
            if (is_free(&l->rec[k]) && l->rec[k].units > best)
                best = l->rec[k].units;
        uint32_t lead = leading(l);
        if (run + lead > best)
            best = run + lead;
        run = lead == l->s->g.su ? run + lead : 0;
        st.sectors_whole += lead == l->s->g.su;
    }
    amxi_look_end(l);
    st.largest_free = best ? best * AMXI_UNIT - AMXI_UNIT : 0;
    return amxi_result(out, out->struct_size, &st, sizeof st);
}

/* --- By class, sector, handle or peer ------------------------------------------------------------------------------- */

struct groups {
    const struct amxi_seg *s;
    enum amx_by by;
    uint32_t n;
    struct amx_group *group;
};

static uint32_t classes(const struct amxi_seg *s)
{
    return amxi_bin(s->g.su) + 1; /* and one for those larger than a sector */
}

static uint32_t groups_of(const struct amxi_seg *s, enum amx_by by)
{
    switch (by) {
    case AMX_BY_CLASS:
        return classes(s) + 1;
    case AMX_BY_SECTOR:
        return s->g.sectors;
    case AMX_BY_HANDLE:
        return s->g.handles + 1;
    case AMX_BY_PEER:
        return s->g.peers + 1;
    }
    return 0;
}

/* Entries count from 1: 0 is nobody. */
static uint32_t peer_of(const struct amxi_seg *s, uint32_t tag)
{
    uint64_t w = tag ? amxi_ld64_rlx(&amxi_handle(s, tag - 1)->word) : 0;
    return AMXI_H_STATUS(w) != AMXI_H_FREE && AMXI_H_PEER(w) < s->g.peers ? AMXI_H_PEER(w) + 1 : 0;
}

static struct amx_group *group_of(const struct groups *gs, uint32_t sector, const struct amxi_rec *r)
{
    const struct amxi_seg *s = gs->s;
    uint32_t owner = AMXI_W0_OWNER(r->w0), tag = owner <= s->g.handles ? owner : 0;
    switch (gs->by) {
    case AMX_BY_CLASS:
        return &gs->group[r->units > s->g.su ? classes(s) : amxi_bin(r->units)];
    case AMX_BY_SECTOR:
        return &gs->group[sector];
    case AMX_BY_HANDLE:
        return &gs->group[tag];
    default:
        return &gs->group[peer_of(s, tag)];
    }
}

static void add_to(struct amx_group *g, const struct amxi_rec *r, uint64_t units)
{
    struct amx_stats st = {.data_bytes = 0};
    add_block(&st, r, units, false);
    g->live_blocks += st.live_blocks;
    g->live_bytes += st.live_bytes;
    g->free_blocks += st.free_blocks;
    g->free_bytes += st.free_bytes;
    g->cached_blocks += st.cached_blocks;
    g->cached_bytes += st.cached_bytes;
    g->acked_blocks += st.acked_blocks;
    g->acked_bytes += st.acked_bytes;
    if (st.free_bytes > g->largest_free)
        g->largest_free = st.free_bytes;
}

static void add_counters(const struct amxi_handle_body *b, struct amx_group *g)
{
    g->hits += amxi_ld64_rlx(&b->flow[AMXI_F_HITS]);
    g->taken_bytes += amxi_ld64_rlx(&b->flow[AMXI_F_TAKEN]);
    g->returned_bytes += amxi_ld64_rlx(&b->flow[AMXI_F_RETURNED]);
    g->peak_bytes += amxi_ld64_rlx(&b->flow[AMXI_F_HIGH]);
    g->refills += amxi_ld64_rlx(&b->counter[AMXI_C_REFILL]);
    g->flushes += amxi_ld64_rlx(&b->counter[AMXI_C_FLUSH]);
    g->skips += amxi_ld64_rlx(&b->counter[AMXI_C_SKIP]);
    g->pushes += amxi_ld64_rlx(&b->counter[AMXI_C_PUSH]);
    g->drains += amxi_ld64_rlx(&b->counter[AMXI_C_DRAIN]);
    g->large += amxi_ld64_rlx(&b->counter[AMXI_C_LARGE]);
    g->rebuilds += amxi_ld64_rlx(&b->counter[AMXI_C_REBUILD]);
}

/* true: it is there, though it may own nothing. */
static bool fill_group(const struct groups *gs, uint32_t i, struct amx_group *g)
{
    const struct amxi_seg *s = gs->s;
    bool there = false;
    g->struct_size = sizeof *g;
    g->index = i;
    g->peer = UINT32_MAX;
    switch (gs->by) {
    case AMX_BY_CLASS:
        g->min_bytes = i < classes(s) ? (uint64_t)amxi_bin_units(i) * AMXI_UNIT : (uint64_t)(s->g.su + 1) * AMXI_UNIT;
        g->max_bytes = i + 1 < classes(s) ? (uint64_t)(amxi_bin_units(i + 1) - 1) * AMXI_UNIT
                       : i < classes(s)   ? (uint64_t)s->g.su * AMXI_UNIT
                                          : ((uint64_t)s->g.sectors << s->g.su_log2) * AMXI_UNIT;
        break;
    case AMX_BY_SECTOR:
        return true;
    case AMX_BY_HANDLE:
        if (i) {
            uint64_t w = amxi_ld64_rlx(&amxi_handle(s, i - 1)->word); /* its numbers may be a moment older */
            there = AMXI_H_STATUS(w) != AMXI_H_FREE;
            g->peer = there ? AMXI_H_PEER(w) : UINT32_MAX;
            g->id = there ? AMXI_ID(i, AMXI_H_EPOCH(w)) : 0;
            if (there)
                add_counters(amxi_handle(s, i - 1), g);
        }
        break;
    case AMX_BY_PEER:
        g->index = i - 1; /* nobody: UINT32_MAX */
        for (uint32_t k = 1; i && k <= s->g.handles; k++)
            if (peer_of(s, k) == i) {
                there = true;
                add_counters(amxi_handle(s, k - 1), g);
            }
        break;
    }
    return there || g->live_blocks || g->free_blocks || g->cached_blocks || g->acked_blocks;
}

int amx_stat_by(const amx_t *h, enum amx_by by, amx_group_fn *fn, void *ctx)
{
    if (!h || !fn || (uint32_t)by > AMX_BY_PEER)
        return AMX_E_INVAL;
    struct amxi_look *l;
    int e = amxi_look_begin(h, &l);
    if (e)
        return e;
    struct groups gs = {l->s, by, groups_of(l->s, by), NULL};
    bool partial = false, corrupt = false;
    gs.group = calloc(gs.n, sizeof *gs.group);
    if (!gs.group) {
        amxi_look_end(l);
        return AMX_E_SYS;
    }
    for (uint32_t i = 0; i < l->s->g.sectors; i++) {
        amxi_look_sector(l, i);
        partial |= l->busy;
        corrupt |= l->damaged;
        bool large = l->kind == AMXI_K_HEAD || l->kind == AMXI_K_CONT;
        for (uint32_t k = 0; k < l->n; k++)
            add_to(group_of(&gs, i, &l->rec[k]), &l->rec[k], l->rec[k].units + (large ? l->rec[k].unit : 0));
        if (by == AMX_BY_SECTOR) {
            gs.group[i].held = l->busy;
            gs.group[i].bad = l->damaged;
        }
    }
    amxi_look_end(l);
    for (uint32_t i = 0; i < gs.n && !e; i++)
        if (fill_group(&gs, i, &gs.group[i]))
            e = fn(&gs.group[i], ctx);
    free(gs.group);
    return e ? e : corrupt ? AMX_E_CORRUPT : partial ? AMX_E_PARTIAL : AMX_OK;
}
