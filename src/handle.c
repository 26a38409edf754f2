/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles: an entry in the segment and private pages in the process. An entry moves
 * FREE -> OPENING -> OPEN <-> CLOSED -> DEAD -> QUIET -> FREE and never back; its epoch grows whenever it opens.
 */
#include "arena.h"
#include "os.h"
#include "peer.h"

#include <stdlib.h>

int amxi_refuse(const amx_t *h)
{
    if (!h)
        return AMX_E_INVAL;
    if (!h->seg || h->seg->forked)
        return AMX_E_FORKED;
    return h->tag ? AMX_OK : AMX_E_READONLY;
}

/* From `w` on: cleared only when the entry is ours, a slow contender's late zero would erase the winner's guard. */
static bool entry_open(struct amxi_seg *s, uint32_t i, uint64_t w, uint64_t epoch)
{
    bool inherits = AMXI_H_STATUS(w) != AMXI_H_FREE; /* then what carries the tag is still to be looked for */
    struct amxi_handle_body *b = amxi_handle(s, i);
    /* acquire: what its last tenant did here, and who ended it. Release: our peer's word, see bury_handles */
    if (!amxi_cas64_ar(&b->word, &w, AMXI_H_WORD(AMXI_H_OPENING, s->peer, epoch)))
        return false;
    for (uint32_t g = 0; g < s->g.guards; g++)
        amxi_st64_rlx(amxi_guard(s, i, g), 0);
    for (uint32_t c = 0; c < AMXI_C_COUNT_; c++)
        amxi_st64_rlx(&b->counter[c], 0);
    for (uint32_t f = 0; f < AMXI_F_COUNT_; f++)
        amxi_st64_rlx(&b->flow[f], 0);
    amxi_st64_rlx(&b->handed, 0);
    amxi_st32_rlx(&b->purging, 0);
    amxi_st32_rlx(&b->giving, 0);
    if (!inherits)
        amxi_st32_rlx(&b->objects, 0);
    amxi_a32 *high = &amxi_head(s)->handles_high;
    uint32_t old = amxi_ld32_rlx(high); /* the exchange compares */
    /* sc, also if another has raised it: in front of our guards, see guard.c */
    while (!amxi_cas32_sc(high, &old, old < i + 1 ? i + 1 : old))
        ; /* each loss raised it: at most one turn per entry */
    amxi_st64_rel(&b->word, AMXI_H_WORD(AMXI_H_OPEN, s->peer, epoch)); /* its fields, and `high` */
    return true;
}

static int entry_take(struct amxi_seg *s, bool inherit, uint32_t *tag, uint64_t *epoch)
{
    for (uint32_t i = 0; i < s->g.handles; i++) { /* one that this process closed: its blocks come along */
        amxi_a64 *word = &amxi_handle(s, i)->word;
        uint64_t w = amxi_ld64_rlx(word); /* the exchange compares */
        *epoch = AMXI_NEXT(AMXI_H_EPOCH(w), AMXI_H_BITS);
        if (AMXI_H_STATUS(w) == AMXI_H_CLOSED && AMXI_H_PEER(w) == s->peer &&
            amxi_cas64_acq(word, &w, AMXI_H_WORD(AMXI_H_OPEN, s->peer, *epoch))) { /* as its last thread left it */
            *tag = i + 1;
            return AMX_OK;
        }
    }
    for (uint32_t i = 0; i < s->g.handles; i++) {
        uint64_t w = amxi_ld64_rlx(&amxi_handle(s, i)->word);
        uint32_t st = AMXI_H_STATUS(w);
        *epoch = AMXI_NEXT(AMXI_H_EPOCH(w), AMXI_H_BITS);
        if ((st == AMXI_H_FREE || (inherit && (st == AMXI_H_DEAD || st == AMXI_H_QUIET))) &&
            entry_open(s, i, w, *epoch)) {
            *tag = i + 1;
            return AMX_OK;
        }
    }
    return AMX_E_FULL;
}

static uint16_t mag_at(uint32_t bin)
{
    return (uint16_t)(offsetof(struct amx, mag) + bin * sizeof(struct amxi_mag));
}

static void fill(amx_t *h, struct amxi_seg *s, bool is_owner)
{
    uint64_t data = s->g.region[AMXI_R_DATA].offset;
    uint32_t uc = s->g.su / 8 < AMXI_CACHED_MAX ? s->g.su / 8 : AMXI_CACHED_MAX;
    h->seg = s;
    h->is_owner = is_owner;
    h->data = s->base + data;
    h->bits = amxi_bitmap(s, 0);
    h->wait = &amxi_head(s)->wait;
    h->first_pu = (uint32_t)(data / AMXI_UNIT) + 1;
    h->su_mask = s->g.su - 1;
    h->read_units = s->g.sectors << s->g.su_log2;
    for (uint32_t u = 0; u <= uc; u++) { /* read-only: of empty magazines */
        h->mag_up[u] = mag_at(amxi_bin_up(u < AMXI_UNITS_MIN ? AMXI_UNITS_MIN : u));
        h->mag_dn[u] = mag_at(amxi_bin(u));
    }
    if (s->readonly)
        return;
    h->units = h->read_units;
    h->uc = uc;
    h->small_max = (uc - 1) * AMXI_UNIT;
    h->pat_alloc = AMXI_W0(AMX_STATE_ALLOCATED, h->tag, 0);
    h->pat_cached = (uint32_t)AMXI_W0(AMX_STATE_CACHED, h->tag, 0);
    uint64_t bytes = (uint64_t)s->g.sectors << s->g.sector_log2;
    h->budget_all = bytes / 16;
    h->budget = bytes / 128 < (256u << 10) ? bytes / 128 : 256u << 10;
    h->home = (uint32_t)((uint64_t)h->tag * 0x9E3779B1u % s->g.sectors); /* far from those of the neighbours */
    h->pressure_seen = amxi_ld32_rlx(&amxi_head(s)->pressure);
}

int amxi_handle_open(struct amxi_seg *s, bool is_owner, bool inherit, amx_t **out)
{
    amx_t *h;
    void *p;
    if (amxi_os_private(sizeof *h, &p))
        return AMX_E_SYS;
    h = p;
    if (!s->readonly) {
        if (is_owner)
            s->open = calloc(s->g.handles, sizeof(amx_t *));
        int e = s->open ? entry_take(s, inherit, &h->tag, &h->epoch) : AMX_E_SYS;
        if (e) {
            if (is_owner) {
                free(s->open);
                s->open = NULL;
            }
            amxi_os_unmap(h, sizeof *h);
            return e;
        }
        s->open[h->tag - 1] = h;
    }
    fill(h, s, is_owner);
    if (is_owner)
        s->owner = h;
    *out = h;
    return AMX_OK;
}

void amxi_handles_drop(struct amxi_seg *s)
{
    for (uint32_t i = 0; !s->readonly && i < s->g.handles; i++)
        if (s->open[i] && s->open[i] != s->owner)
            amxi_os_unmap(s->open[i], sizeof(amx_t));
    if (s->owner)
        amxi_os_unmap(s->owner, sizeof(amx_t));
    free(s->open);
    s->open = NULL;
    s->owner = NULL;
}

int amx_share(amx_t *any, amx_t **out)
{
    int e = amxi_refuse(any);
    if (e || !out)
        return e ? e : AMX_E_INVAL;
    e = amxi_handle_open(any->seg, false, false, out);
    if (e == AMX_E_FULL && !any->seg->manual) { /* the dead may hold some */
        (void)amx_recover(any, 0, NULL, NULL, NULL);
        e = amxi_handle_open(any->seg, false, false, out);
    }
    return e;
}

int amx_unshare(amx_t *h)
{
    int e = amxi_refuse(h);
    if (e)
        return e;
    if (h->is_owner)
        return AMX_E_INVAL;
    (void)amx_trim(h);
    struct amxi_seg *s = h->seg;
    uint32_t i = h->tag - 1;
    s->open[i] = NULL;
    for (uint32_t g = 0; g < s->g.guards; g++) /* they lapse with the handle; its next tenant has none */
        amxi_st64_rel(amxi_guard(s, i, g), 0); /* as amx_read_end */
    amxi_st64_rel(&amxi_handle(s, i)->word, AMXI_H_WORD(AMXI_H_CLOSED, s->peer, h->epoch));
    amxi_os_unmap(h, sizeof *h);
    return AMX_OK;
}

amx_id amx_handle_id(const amx_t *h)
{
    return amxi_refuse(h) ? 0 : AMXI_ID(h->tag, h->epoch);
}
