/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where everything lies. One function computes it from a few numbers; a head that is read must say exactly what that
 * function says for its numbers, so there is nothing else to trust in it.
 */
#include "segment.h"
#include "tlsf.h"

#include <stdio.h>
#include <string.h>

#define SECTORS_MAX     8192u /* a pass over all sectors stays short; 64 GiB need no more */
#define SECTOR_LOG2_MIN 12u
#define SECTOR_LOG2_MAX 23u

static uint64_t clamp(uint64_t x, uint64_t lo, uint64_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* Exact, in the largest unit that says it without a fraction. */
struct text {
    char s[32];
};
static struct text bytes(uint64_t n)
{
    struct text t;
    const char *unit[] = {"bytes", "KiB", "MiB", "GiB"};
    unsigned u = 0;
    for (; u < 3 && n && n % 1024 == 0; u++)
        n /= 1024;
    snprintf(t.s, sizeof t.s, "%llu %s", (unsigned long long)n, unit[u]);
    return t;
}

/* --- Laying out ------------------------------------------------------------------------------------------------ */

static uint64_t place(struct amxi_geometry *g, enum amxi_region kind, uint64_t at, uint64_t stride, uint64_t count)
{
    at = amxi_round_up(at, AMXI_LINE);
    g->region[kind] = (struct amxi_region_body){kind, (uint32_t)stride, at, stride * count};
    return at + stride * count;
}

/* All regions for n sectors; returns the end of the data. The groups begin on pages, by who writes them. */
static uint64_t lay_out(struct amxi_geometry *g, uint32_t n)
{
    g->sectors_max = n;
    g->touched_words = (uint32_t)amxi_div_up(n, 64);
    uint64_t at = place(g, AMXI_R_HEAD, 0, sizeof(struct amxi_head_body), 1);
    at = amxi_round_up(at, AMXI_PAGE);
    at = place(g, AMXI_R_PEERS, at, sizeof(struct amxi_peer_body), g->peers);
    at = place(g, AMXI_R_HANDLES, at, sizeof(struct amxi_handle_body), g->handles);
    at = place(g, AMXI_R_GUARDS, at, sizeof(amxi_a64), (uint64_t)g->handles * g->guards);
    at = amxi_round_up(at, AMXI_PAGE);
    at = place(g, AMXI_R_SECTORS, at, amxi_round_up(sizeof(struct amxi_sector_body) + 4 * g->bins, AMXI_LINE), n);
    /* A line for each queue, as everybody pushes there; small segments save the room instead. */
    at = place(g, AMXI_R_ACKED, at, g->max_size >= UINT64_C(1) << 20 ? AMXI_LINE : sizeof(amxi_a64), n);
    at = place(g, AMXI_R_BITMAP, at, sizeof(amxi_a64), (uint64_t)n * (g->su / 64));
    at = place(g, AMXI_R_TOUCHED, at, sizeof(amxi_a64), (uint64_t)g->handles * g->touched_words);
    at = place(g, AMXI_R_HINTS, at, 1, 2 * (uint64_t)n);
    at = amxi_round_up(at, AMXI_PAGE);
    return place(g, AMXI_R_DATA, at, UINT64_C(1) << g->sector_log2, n);
}

/* From size, max_size, sector_log2, peers, handles and guards, all in range: the rest. */
static int complete(struct amxi_geometry *g, char *why, size_t why_len)
{
    g->su_log2 = g->sector_log2 - AMXI_UNIT_LOG2;
    g->su = 1u << g->su_log2;
    g->bins = amxi_bin(g->su) - 1;

    uint64_t fit = 0, over = (g->max_size >> g->sector_log2) + 1;
    while (over - fit > 1) { /* fit sectors fit, over sectors do not */
        uint64_t mid = fit + (over - fit) / 2;
        if (lay_out(g, (uint32_t)mid) <= g->max_size)
            fit = mid;
        else
            over = mid;
    }
    if (fit > SECTORS_MAX) {
        amxi_why(why, why_len, "sector_size: %llu sectors of %s, at most %u: use larger ones", (unsigned long long)fit,
                 bytes(UINT64_C(1) << g->sector_log2).s, SECTORS_MAX);
        return AMX_E_INVAL;
    }
    lay_out(g, (uint32_t)fit);
    uint64_t data = g->region[AMXI_R_DATA].offset;
    uint64_t room = g->size > data ? (g->size - data) >> g->sector_log2 : 0;
    g->sectors = (uint32_t)(room < fit ? room : fit);
    if (g->sectors == 0) {
        amxi_why(
            why, why_len,
            "size: %s hold no sector of %s behind the tables (%s for %u peers, %u handles, %u guards, max_size %s)",
            bytes(g->size).s, bytes(UINT64_C(1) << g->sector_log2).s, bytes(data).s, g->peers, g->handles, g->guards,
            bytes(g->max_size).s);
        return AMX_E_INVAL;
    }
    return AMX_OK;
}

static bool in_range(uint64_t x, uint64_t lo, uint64_t hi, const char *what, char *why, size_t why_len)
{
    if (x >= lo && x <= hi)
        return true;
    amxi_why(why, why_len, "%s: %llu is not within %llu..%llu", what, (unsigned long long)x, (unsigned long long)lo,
             (unsigned long long)hi);
    return false;
}

static bool limits_hold(const struct amxi_geometry *g, char *why, size_t why_len)
{
    return in_range(g->size, AMX_SIZE_MIN, AMX_SIZE_MAX, "size", why, why_len) &&
           in_range(g->max_size, g->size, AMX_SIZE_MAX, "max_size", why, why_len) &&
           in_range(g->peers, 1, AMX_PEERS_MAX, "peers", why, why_len) &&
           in_range(g->handles, 1, AMX_HANDLES_MAX, "handles", why, why_len) &&
           in_range(g->guards, 1, AMX_GUARDS_MAX, "guards", why, why_len);
}

int amxi_geometry_plan(const struct amx_options *o, struct amxi_geometry *g, char *why, size_t why_len)
{
    memset(g, 0, sizeof *g);
    uint64_t size = o->size ? o->size : UINT64_C(64) << 20;
    uint64_t max = o->max_size ? o->max_size : size;
    if (!in_range(size, AMX_SIZE_MIN, AMX_SIZE_MAX, "size", why, why_len) ||
        !in_range(max, size, AMX_SIZE_MAX, "max_size", why, why_len))
        return AMX_E_INVAL;
    g->size = amxi_round_up(size, AMXI_PAGE);
    g->max_size = amxi_round_up(max, AMXI_PAGE);
    g->handles = o->handles ? o->handles : (uint32_t)clamp(g->max_size / 32768, 16, 256);
    g->peers = o->peers ? o->peers : (uint32_t)clamp(g->handles, 1, AMX_PEERS_MAX);
    g->guards = o->guards ? o->guards : 8;
    g->flags = o->flags & (AMX_F_REMOVE_LAST | AMX_F_SPARSE);
    uint32_t sector = o->sector_size;
    if (sector == 0)
        sector = 1u << amxi_log2((uint32_t)clamp(g->max_size / 128, 1u << SECTOR_LOG2_MIN, 1u << SECTOR_LOG2_MAX));
    if (!limits_hold(g, why, why_len))
        return AMX_E_INVAL;
    if (sector & (sector - 1) || sector < 1u << SECTOR_LOG2_MIN || sector > 1u << SECTOR_LOG2_MAX) {
        amxi_why(why, why_len, "sector_size: %u is not a power of two within 4 KiB..8 MiB", sector);
        return AMX_E_INVAL;
    }
    g->sector_log2 = amxi_log2(sector);
    return complete(g, why, why_len);
}

/* --- Head ------------------------------------------------------------------------------------------------------ */

#define CONSTANTS offsetof(struct amxi_head_body, tickets)

/* CRC-32 (IEEE 802.3) of the constants, the crc itself taken as zero. */
static uint32_t head_crc(const uint8_t *head)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < CONSTANTS; i++) {
        size_t at = i - offsetof(struct amxi_head_body, crc);
        crc ^= at < sizeof(uint32_t) ? 0 : head[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (UINT32_C(0xedb88320) & (0u - (crc & 1)));
    }
    return ~crc;
}

void amxi_format(uint8_t *base, const struct amxi_geometry *g)
{
    struct amxi_head_body *h = (struct amxi_head_body *)(void *)base;
    h->magic = AMXI_MAGIC;
    h->layout = AMXI_LAYOUT;
    h->byte_order = AMXI_BYTE_ORDER;
    h->word_bits = 64;
    h->head_bytes = sizeof *h;
    memcpy(h->id, g->id, sizeof h->id);
    memcpy(h->boot_id, g->boot_id, sizeof h->boot_id);
    h->size = g->size;
    h->max_size = g->max_size;
    h->first_gen = g->first_gen;
    h->created_ns = g->created_ns;
    h->sector_log2 = g->sector_log2;
    h->sectors = g->sectors;
    h->sectors_max = g->sectors_max;
    h->peers = g->peers;
    h->handles = g->handles;
    h->guards = g->guards;
    h->bins = g->bins;
    h->flags = g->flags;
    h->regions_used = AMXI_R_COUNT_;
    memcpy(h->region, &g->region[1], AMXI_R_COUNT_ * sizeof h->region[0]);
    h->crc = head_crc(base);
}

/* Is this a segment of a kind that we know at all? Says what differs. */
static bool familiar(const struct amxi_head_body *h, char *why, size_t why_len)
{
    if (h->magic == __builtin_bswap64(AMXI_MAGIC) || h->byte_order == __builtin_bswap32(AMXI_BYTE_ORDER))
        amxi_why(why, why_len, "byte order: the segment is of a machine with the other one");
    else if (h->magic != AMXI_MAGIC)
        amxi_why(why, why_len, "magic %016llx, not a segment", (unsigned long long)h->magic);
    else if (h->layout != AMXI_LAYOUT)
        amxi_why(why, why_len, "layout version %u, this library knows %u", h->layout, AMXI_LAYOUT);
    else if (h->byte_order != AMXI_BYTE_ORDER)
        amxi_why(why, why_len, "byte order mark %08x, this machine's is %08x", h->byte_order, AMXI_BYTE_ORDER);
    else if (h->word_bits != 64)
        amxi_why(why, why_len, "words of %u bits, this library knows 64", h->word_bits);
    else if (h->head_bytes != sizeof *h)
        amxi_why(why, why_len, "head of %u bytes, this library knows %zu", h->head_bytes, sizeof *h);
    else if (h->incompat)
        amxi_why(why, why_len, "features %llx that this library does not know and that forbid to go on",
                 (unsigned long long)h->incompat);
    else if (h->crc != head_crc((const uint8_t *)h))
        amxi_why(why, why_len, "head damaged: checksum %08x, computed %08x", h->crc, head_crc((const uint8_t *)h));
    else
        return true;
    return false;
}

static bool same(uint64_t head, uint64_t computed, const char *what, char *why, size_t why_len)
{
    if (head != computed)
        amxi_why(why, why_len, "%s: the head says %llu, its other fields give %llu", what, (unsigned long long)head,
                 (unsigned long long)computed);
    return head == computed;
}

static bool directory_agrees(const struct amxi_head_body *h, const struct amxi_geometry *g, char *why, size_t why_len)
{
    if (!same(h->sectors_max, g->sectors_max, "sectors_max", why, why_len) ||
        !same(h->sectors, g->sectors, "sectors", why, why_len) || !same(h->bins, g->bins, "bins", why, why_len) ||
        !same(h->regions_used, AMXI_R_COUNT_, "number of regions", why, why_len))
        return false;
    for (unsigned i = 0; i < AMXI_R_COUNT_; i++) {
        const struct amxi_region_body *a = &h->region[i], *b = &g->region[i + 1];
        if (!same(a->kind, b->kind, "kind of a region", why, why_len) ||
            !same(a->stride, b->stride, "stride of a region", why, why_len) ||
            !same(a->offset, b->offset, "offset of a region", why, why_len) ||
            !same(a->size, b->size, "size of a region", why, why_len))
            return false;
    }
    return true;
}

int amxi_geometry_read(const void *head, uint64_t avail, uint64_t file_size, struct amxi_geometry *g, bool *ro_only,
                       char *why, size_t why_len)
{
    struct amxi_head_body h; /* a copy: the other side may change under us */
    memset(g, 0, sizeof *g);
    if (avail < sizeof h) {
        amxi_why(why, why_len, "too short for a head: %llu bytes, not a segment", (unsigned long long)avail);
        return AMX_E_LAYOUT;
    }
    memset(&h, 0, sizeof h);
    memcpy(&h, head, CONSTANTS);
    if (!familiar(&h, why, why_len))
        return AMX_E_LAYOUT;

    memcpy(g->id, h.id, sizeof g->id);
    memcpy(g->boot_id, h.boot_id, sizeof g->boot_id);
    g->size = h.size;
    g->max_size = h.max_size;
    g->first_gen = h.first_gen;
    g->created_ns = h.created_ns;
    g->sector_log2 = h.sector_log2;
    g->peers = h.peers;
    g->handles = h.handles;
    g->guards = h.guards;
    g->flags = h.flags;
    if (!limits_hold(g, why, why_len) ||
        !in_range(h.sector_log2, SECTOR_LOG2_MIN, SECTOR_LOG2_MAX, "sector_log2", why, why_len) ||
        !in_range(h.first_gen, 0, AMXI_GEN_MASK, "first generation", why, why_len) ||
        !same(h.size % AMXI_PAGE, 0, "size beyond a page", why, why_len) ||
        !same(h.max_size % AMXI_PAGE, 0, "max_size beyond a page", why, why_len) ||
        !same(h.flags & ~(uint32_t)(AMX_F_REMOVE_LAST | AMX_F_SPARSE), 0, "unknown flags", why, why_len) ||
        complete(g, why, why_len) || !directory_agrees(&h, g, why, why_len))
        return AMX_E_LAYOUT;
    if (file_size ? file_size != g->size : avail < g->size) {
        amxi_why(why, why_len, "size: the head says %llu bytes, there are %llu", (unsigned long long)g->size,
                 (unsigned long long)(file_size ? file_size : avail));
        return AMX_E_LAYOUT;
    }
    *ro_only = h.ro_compat != 0;
    return AMX_OK;
}
