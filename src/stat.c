/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics: the walk's pictures of sectors, added up. Each unit of the data is counted once, whatever is found. */
#include "look.h"

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
