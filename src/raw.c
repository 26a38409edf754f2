/* SPDX-License-Identifier: Apache-2.0 */
/* The raw layer: the published arena's own calls, by offset of the header. */
#include "amx_raw.h"

#include "block.h"
#include "extent.h"

#include <string.h>

void amx_raw_find_indices(uint64_t size, uint32_t *fl, uint32_t *sl)
{
    if (size < 128) {
        *fl = 0;
        *sl = (uint32_t)(size / AMXI_UNIT);
        return;
    }
    *fl = 63u - (uint32_t)__builtin_clzll(size);
    *sl = (uint32_t)(size >> (*fl - 3) & 7);
}

int amx_raw_find_suitable(const amx_t *h, uint32_t fl, uint32_t sl, uint32_t *found_fl, uint32_t *found_sl)
{
    if (!h || !found_fl || !found_sl || fl > 63 || sl > 7 || (fl && fl < 7))
        return AMX_E_INVAL;
    if (!h->seg)
        return AMX_E_FORKED;
    const struct amxi_seg *s = h->seg;
    uint32_t bin = fl ? (fl - 6) * 8 + sl : sl, best = UINT32_MAX;
    for (uint32_t i = 0; i < s->g.sectors; i++) {
        const struct amxi_sector_body *b = amxi_sector(s, i);
        if (AMXI_S_KIND(amxi_ld64_rlx(&b->word)) != AMXI_K_IDLE)
            continue;
        for (uint32_t f = bin / 8; f < sizeof b->sl / sizeof *b->sl; f++) {
            uint32_t map = amxi_ld8_rlx(&b->sl[f]) & (f == bin / 8 ? 0xffu << (bin & 7) : 0xffu);
            if (!map)
                continue;
            uint32_t at = f * 8 + (uint32_t)__builtin_ctz(map);
            best = at < best ? at : best;
            break;
        }
    }
    if (best == UINT32_MAX)
        return AMX_E_NOMEM;
    *found_fl = best < 8 ? 0 : best / 8 + 6;
    *found_sl = best & 7;
    return AMX_OK;
}

/* What the header at unit k says. */
static int describe(const struct amxi_seg *s, uint32_t k, struct amx_block *out)
{
    const struct amxi_block_body *b = amxi_block(s, k);
    uint64_t w = amxi_ld64_acq(&b->w0), bytes; /* acquire: as in amxi_find */
    uint32_t u = AMXI_W1_SIZE(amxi_ld64_rlx(&b->w1)), sector = k >> s->g.su_log2;
    if (u)
        bytes = (uint64_t)u * AMXI_UNIT;
    else if (amxi_extent_usable(s, k, &bytes))
        return AMX_E_WILD; /* taken apart meanwhile */
    else
        bytes += AMX_HEADER_SPACE;
    amxi_block_fill(s, k, w, bytes, out);
    return out->owner <= s->g.handles && bytes <= (uint64_t)(s->g.sectors - sector) << s->g.sector_log2 ? AMX_OK
                                                                                                        : AMX_E_CORRUPT;
}

static int unit_of(const amx_t *h, uint64_t offset, uint32_t *k)
{
    uint64_t rel = offset - h->seg->g.region[AMXI_R_DATA].offset;
    if (offset % AMXI_UNIT || rel / AMXI_UNIT >= h->read_units) /* an offset before the data wraps: too large */
        return AMX_E_OFFSET;
    *k = (uint32_t)(rel / AMXI_UNIT);
    return AMX_OK;
}

static int writable_unit(const amx_t *h, uint64_t offset, uint32_t *k)
{
    int e = amxi_refuse(h);
    return e ? e : unit_of(h, offset, k);
}

int amx_raw_allocate(amx_t *h, uint64_t size, uint64_t *offset)
{
    amx_ref ref;
    if (!h || !offset)
        return AMX_E_INVAL;
    int e = amx_alloc(h, size, &ref);
    if (!e)
        *offset = (uint64_t)AMXI_REF_UNIT(ref) * AMXI_UNIT - AMX_HEADER_SPACE;
    return e;
}

int amx_raw_free_at(amx_t *h, uint64_t offset)
{
    uint32_t k, u;
    int e = writable_unit(h, offset, &k);
    if (!e)
        e = amxi_claim(h, k, AMX_REF_NONE, &u);
    return e ? e : amxi_claimed(h, k);
}

/* Merges what waits in the sector's queue now. */
static int drain(amx_t *h, uint32_t sector, uint32_t max)
{
    struct amxi_sec x;
    uint32_t n;
    int e = amxi_sec_enter(h->seg, sector, h->tag, &x);
    if (e)
        return e;
    if (amxi_sec_drain(&x, max, &n))
        return amxi_sec_failed(&x);
    amxi_sec_leave(&x);
    amxi_count(h, AMXI_C_DRAIN, n);
    amxi_wake(h);
    return AMX_OK;
}

int amx_raw_ack(amx_t *h, uint64_t offset)
{
    uint32_t k, u;
    int e = writable_unit(h, offset, &k);
    if (!e)
        e = amxi_claim(h, k, AMX_REF_NONE, &u);
    if (e)
        return e;
    uint32_t sector = k >> h->seg->g.su_log2;
    if (!u) /* a large block has no queue */
        return amxi_claimed(h, k);
    amxi_queue(h, &k, 1);
    if (AMXI_Q_COUNT(amxi_ld64_rlx(amxi_acked(h->seg, sector))) > AMXI_QUEUE_MAX)
        (void)drain(h, sector, AMXI_QUEUE_MAX); /* in use: its user drains */
    amxi_wake(h);
    return AMX_OK;
}

int amx_raw_coalesce(amx_t *h, uint64_t offset)
{
    uint32_t k;
    int e = writable_unit(h, offset, &k);
    if (e)
        return e;
    if (amxi_bit(h->bits, k) && AMXI_W0_STATE(amxi_ld64_rlx(&amxi_block(h->seg, k)->w0)) == AMX_STATE_ACKED) {
        e = drain(h, k >> h->seg->g.su_log2, UINT32_MAX);
        return e == AMX_E_NOMEM ? AMX_E_BUSY : e;
    }
    return amx_raw_free_at(h, offset);
}

int amx_raw_query(const amx_t *h, uint64_t offset, struct amx_block *out)
{
    uint32_t k;
    if (!h || !out)
        return AMX_E_INVAL;
    if (!h->seg)
        return AMX_E_FORKED;
    int e = unit_of(h, offset, &k);
    if (e)
        return e;
    if (!amxi_bit(h->bits, k))
        return AMX_E_WILD;
    return describe(h->seg, k, out);
}

int amx_raw_sector_end(const amx_t *h, uint64_t offset, uint64_t *end)
{
    uint32_t k;
    if (!h || !end)
        return AMX_E_INVAL;
    if (!h->seg)
        return AMX_E_FORKED;
    int e = unit_of(h, offset & ~(uint64_t)(AMXI_UNIT - 1), &k);
    if (!e)
        *end = h->seg->g.region[AMXI_R_DATA].offset + ((k | h->su_mask) + UINT64_C(1)) * AMXI_UNIT;
    return e;
}

uint64_t amx_raw_total_size(const amx_t *h)
{
    return h && h->seg ? h->seg->g.size : 0;
}

uint64_t amx_raw_first_block(const amx_t *h)
{
    return h && h->seg ? h->seg->g.region[AMXI_R_DATA].offset : 0;
}

void *amx_raw_base(const amx_t *h)
{
    return h && h->seg ? h->seg->base : NULL;
}

int amx_raw_id(const amx_t *h, uint8_t id[16])
{
    if (!h || !id)
        return AMX_E_INVAL;
    if (!h->seg)
        return AMX_E_FORKED;
    memcpy(id, h->seg->g.id, 16);
    return AMX_OK;
}
