/* SPDX-License-Identifier: Apache-2.0 */
/* The tape, and what it does to a segment. */
#include "tests/fuzz/fuzz.h"

/* --- The tape ---------------------------------------------------------------------------------------------------- */

struct tape tape_of_seed(uint64_t seed)
{
    return (struct tape){.dice = rng_make(seed, 0)};
}

struct tape tape_of_bytes(const uint8_t *in, size_t n)
{
    return (struct tape){.in = in, .left = n, .dice = rng_make(0, 1)};
}

uint64_t pick(struct tape *t, uint64_t n)
{
    uint64_t v = 0;
    if (n == 1)
        return 0;
    size_t bytes = n ? (size_t)(71 - __builtin_clzll(n - 1)) / 8 : 8;
    if (t->left) {
        bytes = bytes < t->left ? bytes : t->left;
        memcpy(&v, t->in, bytes);
        t->in += bytes;
        t->left -= bytes;
    } else {
        v = rng_next(&t->dice);
    }
    v = n ? v % n : v;
    if (t->copy && t->copied + bytes <= t->room) {
        memcpy(t->copy + t->copied, &v, bytes);
        t->copied += bytes;
    }
    return v;
}

/* --- Places with a meaning ---------------------------------------------------------------------------------------- */

/* A field: where, how wide, how many values there are that can be right, and the one that leads back to itself. */
struct place {
    void *p;
    unsigned bytes, shift, bits;
    uint64_t limit, self;
};

#define FIELD(ptr, shift, bits, limit, self) ((struct place){(ptr), sizeof *(ptr), (shift), (bits), (limit), (self)})
#define ALL(ptr, limit)                      FIELD(ptr, 0, (unsigned)sizeof *(ptr)*8, limit, 0)

static uint64_t get(const struct place *f)
{
    uint64_t word = 0;
    memcpy(&word, f->p, f->bytes);
    return word >> f->shift & (UINT64_MAX >> (64 - f->bits));
}

static void set(const struct place *f, uint64_t v)
{
    uint64_t word = 0, mask = UINT64_MAX >> (64 - f->bits) << f->shift;
    memcpy(&word, f->p, f->bytes);
    word = (word & ~mask) | (v << f->shift & mask);
    memcpy(f->p, &word, f->bytes);
}

static uint64_t nonsense(struct tape *t, const struct place *f)
{
    uint64_t old = get(f);
    switch (pick(t, 14)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return f->limit;
    case 3:
        return f->limit - 1;
    case 4:
        return f->limit + 1;
    case 5:
        return UINT64_MAX;
    case 6:
        return UINT64_MAX >> (65 - f->bits);
    case 7:
        return old + 1;
    case 8:
        return old - 1;
    case 9:
        return old ^ UINT64_C(1) << pick(t, f->bits);
    case 10:
        return old * 2;
    case 11:
        return f->self;
    case 12:
        return pick(t, 0);
    default:
        return pick(t, f->limit + 1 ? f->limit + 1 : 0);
    }
}

/* A unit in which a block begins, or any if the bitmap has none behind it. */
static uint64_t some_block(struct tape *t, const struct amxi_seg *s)
{
    uint64_t units = (uint64_t)s->g.sectors << s->g.su_log2, k = pick(t, units);
    for (uint64_t i = k; i < units && i < k + s->g.su; i++)
        if (amxi_ld64_rlx(amxi_bitmap(s, 0) + i / 64) >> (i & 63) & 1)
            return i;
    return k;
}

static struct place in_block(struct tape *t, const struct amxi_seg *s)
{
    uint64_t k = some_block(t, s), su = s->g.su, self = (k & (su - 1)) + 1;
    struct amxi_free_body *b = (struct amxi_free_body *)(void *)amxi_block(s, k);
    switch (pick(t, 10)) {
    case 0:
        return FIELD(&b->w0, 0, 12, 49, AMX_STATE_ACKED);
    case 1:
        return FIELD(&b->w0, 12, 12, s->g.handles, 0);
    case 2:
        return FIELD(&b->w0, 24, 40, AMXI_GEN_MASK, 0);
    case 3:
    case 4:
    case 5: /* up to the sector's end, or beyond */
        return FIELD(&b->w1, 0, 20, su, su + 1 - self);
    case 6:
        return FIELD(&b->w1, 20, 21, su, self);
    case 7:
        return FIELD(&b->w1, 41, 23, 1, 0);
    case 8:
        return k + 1 < (uint64_t)s->g.sectors << s->g.su_log2 ? FIELD(&b->next, 0, 32, su, self) : ALL(&b->w0, su);
    default:
        return k + 1 < (uint64_t)s->g.sectors << s->g.su_log2 ? FIELD(&b->prev, 0, 32, su, self) : ALL(&b->w1, su);
    }
}

/* Any sector, or one that is more than at rest: large blocks are few. */
static uint32_t some_sector(struct tape *t, const struct amxi_seg *s)
{
    uint32_t i = (uint32_t)pick(t, s->g.sectors_max), n = pick(t, 2) ? s->g.sectors : 0;
    for (; n && AMXI_S_KIND(amxi_ld64_rlx(&amxi_sector(s, i)->word)) == AMXI_K_IDLE; n--)
        i = (i + 1) % s->g.sectors;
    return i;
}

static struct place in_sector(struct tape *t, const struct amxi_seg *s)
{
    uint32_t i = some_sector(t, s), su = s->g.su;
    struct amxi_sector_body *b = amxi_sector(s, i);
    amxi_a64 *queue = pick(t, 2) ? &b->drain : amxi_acked(s, i);
    switch (pick(t, 18)) {
    case 0:
    case 1:
        return FIELD(&b->word, 0, 4, AMXI_K_QUARANTINED + 1, AMXI_K_HELD);
    case 2:
        return FIELD(&b->word, 4, 16, pick(t, 2) ? s->g.sectors : s->g.handles, i);
    case 3:
        return FIELD(queue, 0, 32, su, 1);
    case 4:
        return FIELD(queue, 32, 16, su, 0);
    case 5:
        return FIELD(queue, 48, 16, UINT16_MAX, 0);
    case 6:
        return ALL(&b->gclock, AMXI_GEN_MASK);
    case 7:
        return ALL(&b->first, su);
    case 8:
        return FIELD(&b->cut_by, 0, 32, s->g.sectors, i);
    case 9:
    case 16:
        return FIELD(&b->ext_len, 0, 32, s->g.sectors - i % s->g.sectors, 1);
    case 10:
    case 17:
        return ALL(&b->ext_tail, su);
    case 11:
        return ALL(&b->fl, 1 << 20);
    case 12:
        return ALL(&b->sl[pick(t, sizeof b->sl)], 0xff);
    case 13:
        return ALL(amxi_avail(s, i), AMXI_AVAIL_WHOLE);
    case 14:
        return ALL(amxi_bitmap(s, i) + pick(t, su / 64), UINT64_MAX);
    default:
        return ALL(&b->head[pick(t, s->g.bins)], su);
    }
}

static struct place in_tables(struct tape *t, const struct amxi_seg *s)
{
    uint32_t i = (uint32_t)pick(t, s->g.handles);
    struct amxi_handle_body *h = amxi_handle(s, i);
    struct amxi_peer_body *p = amxi_peer(s, i % s->g.peers);
    switch (pick(t, 16)) {
    case 0:
        return FIELD(&p->word, 0, 8, AMXI_PEER_DEAD + 1, AMXI_PEER_LIVE);
    case 1:
        return FIELD(&p->word, 8, 56, amxi_ld64_rlx(&amxi_head(s)->tickets), 1);
    case 2:
        return FIELD(&p->pid, 0, 32, 1 << 22, (uint64_t)getpid());
    case 3:
        return FIELD(&p->pid, 32, 32, amxi_ld64_rlx(&amxi_head(s)->tickets), AMXI_PEER_TICKET(amxi_ld64_rlx(&p->word)));
    case 4:
        return ALL(&p->pid_ns + pick(t, 6), 1); /* up to since_ns */
    case 5:
    case 6:
        return FIELD(&h->word, 0, 4, AMXI_H_QUIET + 1, AMXI_H_DEAD);
    case 7:
        return FIELD(&h->word, 4, 8, s->g.peers, 0);
    case 8:
        return FIELD(&h->word, 12, 52, UINT64_MAX >> 12, 0);
    case 9:
        return ALL(&h->purging, 1);
    case 10:
        return FIELD(&h->giving, 0, 32, s->g.handles, i + 1);
    case 11:
        return ALL(&h->objects, UINT32_MAX);
    case 12:
        return FIELD(&h->handed, 32, 32, (uint64_t)s->g.sectors << s->g.su_log2, 0);
    case 13:
        return ALL(amxi_guard(s, i, (uint32_t)pick(t, s->g.guards)), 0);
    default:
        return ALL(amxi_touched(s, i) + pick(t, s->g.touched_words), UINT64_MAX);
    }
}

static struct place in_head(struct tape *t, const struct amxi_seg *s)
{
    struct amxi_head_body *b = amxi_head(s);
    struct amxi_object_body *o = &b->object[pick(t, pick(t, 2) ? 4 : 32)];
    uint64_t size = s->g.size;
    switch (pick(t, 14)) {
    case 0:
        return ALL(&b->tickets, UINT64_MAX);
    case 1:
        return ALL(&b->wait, 1);
    case 2:
        return ALL(&b->pressure, 0);
    case 3:
        return ALL(&b->handles_high, s->g.handles);
    case 4:
        return FIELD(&b->roots[pick(t, 16)], 32, 32, size / AMXI_UNIT, s->g.region[AMXI_R_DATA].offset / AMXI_UNIT);
    case 5:
    case 6:
        return FIELD(&o->word, 0, 4, AMXI_O_GOING + 1, AMXI_O_LIVE);
    case 7:
        return FIELD(&o->word, 4, 12, s->g.handles, 1);
    case 8:
        return FIELD(&o->ref, 32, 32, size / AMXI_UNIT, s->g.region[AMXI_R_DATA].offset / AMXI_UNIT + 1);
    case 9:
        return ALL(&o->first, size);
    case 10:
        return ALL(&o->stride, 8);
    case 11:
        return ALL(&o->count, (uint32_t)size / 8);
    case 12:
        return FIELD(&o->to, (unsigned)pick(t, 2) * 16, 16, AMX_STATE_MAX, 4);
    default:
        return ALL(&o->pair[pick(t, 4)], AMX_STATE_MAX);
    }
}

static struct place somewhere(struct tape *t, const struct amxi_seg *s)
{
    static struct place (*const in[])(struct tape *, const struct amxi_seg *) = {
        in_block, in_block, in_block, in_sector, in_sector, in_sector, in_tables, in_head};
    return in[pick(t, sizeof in / sizeof *in)](t, s);
}

/* --- Damage ------------------------------------------------------------------------------------------------------- */

static void swap(void *a, void *b, size_t n)
{
    uint8_t t[64];
    memcpy(t, a, n);
    memmove(a, b, n);
    memcpy(b, t, n);
}

static void in_structure(struct tape *t, const struct amxi_seg *s)
{
    struct place a;
    uint64_t k, l;
    uint32_t i = some_sector(t, s), j = some_sector(t, s);
    switch (pick(t, 10)) {
    case 0: /* two headers */
        k = some_block(t, s);
        l = some_block(t, s);
        swap(amxi_block(s, k), amxi_block(s, l), sizeof(struct amxi_block_body));
        return;
    case 1: /* a header where none should be, and its bit */
        k = some_block(t, s);
        l = pick(t, (uint64_t)s->g.sectors << s->g.su_log2);
        memmove(amxi_block(s, l), amxi_block(s, k), sizeof(struct amxi_block_body));
        a = FIELD(amxi_bitmap(s, 0) + l / 64, l % 64, 1, 1, 0);
        set(&a, 1);
        return;
    case 2: /* two sectors' books */
        swap(amxi_sector(s, i), amxi_sector(s, j), sizeof(struct amxi_sector_body));
        return;
    case 3: /* a large block that nobody made */
        a = FIELD(&amxi_sector(s, i)->word, 0, 4, AMXI_K_HEAD, 0);
        set(&a, pick(t, 2) ? AMXI_K_HEAD : AMXI_K_HELD);
        a = ALL(&amxi_sector(s, i)->ext_len, s->g.sectors - i % s->g.sectors);
        set(&a, nonsense(t, &a));
        a = ALL(&amxi_sector(s, i)->ext_tail, s->g.su);
        set(&a, nonsense(t, &a));
        a = ALL(&amxi_sector(s, j)->cut_by, s->g.sectors);
        set(&a, i);
        return;
    case 4: /* stale bits: of another sector */
        memmove(amxi_bitmap(s, i), amxi_bitmap(s, j), s->g.su / 8);
        return;
    default:
        a = somewhere(t, s);
        set(&a, nonsense(t, &a));
    }
}

static void anywhere(struct tape *t, uint8_t *base, uint64_t len, uint64_t data)
{
    uint64_t at = pick(t, pick(t, 4) && data < len ? data : len), n = 1 + pick(t, 64);
    struct place a = {base + (at & ~UINT64_C(7)), 8, 0, 64, data / 16, 0};
    switch (pick(t, 4)) {
    case 0:
        base[at] = (uint8_t)(base[at] ^ 1u << pick(t, 8));
        return;
    case 1:
        base[at] = (uint8_t)pick(t, 256);
        return;
    case 2:
        if (len >= 8 && (at | 7) < len)
            set(&a, nonsense(t, &a));
        return;
    default:
        memset(base + at, (int)pick(t, 256), n < len - at ? n : len - at);
    }
}

void damage(struct tape *t, uint8_t *base, uint64_t len, const struct amxi_geometry *g)
{
    const struct amxi_seg s = {.base = base, .g = *g};
    for (uint64_t n = 1 + (pick(t, 2) ? 0 : pick(t, 8)); n; n--)
        if (pick(t, 2) && len >= g->size)
            in_structure(t, &s);
        else if (len)
            anywhere(t, base, len, g->region[AMXI_R_DATA].offset);
}

/* --- Files -------------------------------------------------------------------------------------------------------- */

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

/* One of the constants, under a checksum that is right. */
static void wrong_geometry(struct tape *t, struct amxi_head_body *b, uint64_t len)
{
    struct amxi_region_body *r = &b->region[pick(t, AMXI_REGIONS_MAX)];
    const struct place f[] = {ALL(&b->layout, AMXI_LAYOUT),
                              ALL(&b->word_bits, 64),
                              ALL(&b->head_bytes, 4096),
                              ALL(&b->ro_compat, 0),
                              ALL(&b->incompat, 0),
                              ALL(&b->size, len),
                              ALL(&b->max_size, len),
                              ALL(&b->first_gen, AMXI_GEN_MASK),
                              ALL(&b->sector_log2, 12),
                              ALL(&b->sectors, b->sectors_max),
                              ALL(&b->sectors_max, b->sectors),
                              ALL(&b->peers, AMX_PEERS_MAX),
                              ALL(&b->handles, AMX_HANDLES_MAX),
                              ALL(&b->guards, AMX_GUARDS_MAX),
                              ALL(&b->bins, 160),
                              ALL(&b->flags, AMX_F_ALL_),
                              ALL(&b->regions_used, AMXI_REGIONS_MAX),
                              ALL(&r->kind, AMXI_R_COUNT_),
                              ALL(&r->stride, len),
                              ALL(&r->offset, len),
                              ALL(&r->size, len)};
    for (uint64_t n = 1 + pick(t, 3); n; n--) {
        const struct place *a = &f[pick(t, sizeof f / sizeof *f)];
        set(a, nonsense(t, a));
    }
    b->crc = 0;
    b->crc = crc32_of((const uint8_t *)b, offsetof(struct amxi_head_body, tickets));
}

uint8_t *damaged_file(struct tape *t, const struct sound *from, const struct sound *other, uint64_t *len)
{
    uint64_t size = from->g.size, cut = from->g.region[1 + pick(t, AMXI_R_COUNT_)].offset;
    void *p = NULL;
    uint64_t kind = pick(t, 6);
    *len = kind == 0 ? pick(t, size) : kind == 1 ? cut + pick(t, 2) : kind == 2 ? size + 1 + pick(t, 8192) : size;
    must(posix_memalign(&p, AMXI_PAGE, *len ? *len : 1) == 0); /* to the byte: what is read behind it is found */
    uint64_t n = *len < size ? *len : size;
    memcpy(p, from->bytes, n);
    memset((uint8_t *)p + n, 0xa5, *len - n);
    if (kind == 3) /* head of one, the rest of another */
        memcpy((uint8_t *)p + AMXI_PAGE, other->bytes + AMXI_PAGE,
               (size < other->g.size ? size : other->g.size) - AMXI_PAGE);
    if (kind == 4) /* no segment at all, but for a head perhaps */
        for (uint64_t i = pick(t, 2) * AMXI_PAGE; i < size; i++)
            ((uint8_t *)p)[i] = (uint8_t)mix64(i);
    if (kind == 5)
        wrong_geometry(t, p, size);
    return p;
}
