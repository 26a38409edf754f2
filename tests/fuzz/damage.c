/* SPDX-License-Identifier: Apache-2.0 */
/* The tape, and what it does to a segment. */
#include "amx_object.h"
#include "message.h"
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
    uint64_t old = get(f), max = f->limit;
    const uint64_t v[] = {0,       1,       max,     max - 1, max + 1, UINT64_MAX, UINT64_MAX >> (65 - f->bits),
                          old + 1, old - 1, old * 2, f->self};
    uint64_t i = pick(t, sizeof v / sizeof *v + 3);
    if (i < sizeof v / sizeof *v)
        return v[i];
    i -= sizeof v / sizeof *v;
    return i == 0 ? old ^ UINT64_C(1) << pick(t, f->bits) : pick(t, i == 1 ? max + 1 : 0);
}

/* A unit of from..end-1 in which a block begins, or any if the bitmap has none behind it. */
static uint64_t block_in(struct tape *t, const struct amxi_seg *s, uint64_t from, uint64_t end)
{
    uint64_t k = from + pick(t, end - from);
    for (uint64_t i = k; i < end && i < k + s->g.su; i++)
        if (amxi_ld64_rlx(amxi_bitmap(s, 0) + i / 64) >> (i & 63) & 1)
            return i;
    return k;
}

static uint64_t units_of(const struct amxi_seg *s)
{
    return (uint64_t)s->g.sectors << s->g.su_log2;
}

static uint64_t some_block(struct tape *t, const struct amxi_seg *s)
{
    return block_in(t, s, 0, units_of(s));
}

/* Below: the fields of a thing, and one of them; `any` chooses among those that there are many of. */
#define ONE_OF(f) (f)[pick(t, sizeof(f) / sizeof *(f))]

/* span: units from k to where the damage must end. */
static struct place in_block(struct tape *t, const struct amxi_seg *s, uint64_t k, uint64_t span)
{
    uint64_t su = s->g.su, self = (k & (su - 1)) + 1;
    struct amxi_free_body *b = (struct amxi_free_body *)(void *)amxi_block(s, k);
    const struct place size = FIELD(&b->w1, 0, 20, su, su + 1 - self); /* up to the sector's end, or beyond */
    const struct place f[] = {size,
                              size,
                              size,
                              FIELD(&b->w0, 0, 12, 49, AMX_STATE_ACKED),
                              FIELD(&b->w0, 12, 12, s->g.handles, 0),
                              FIELD(&b->w0, 24, 40, AMXI_GEN_MASK, 0),
                              FIELD(&b->w1, 20, 21, su, self),
                              FIELD(&b->w1, 41, 23, 1, 0),
                              FIELD(&b->next, 0, 32, su, self),
                              FIELD(&b->prev, 0, 32, su, self)};
    return f[pick(t, sizeof f / sizeof *f - (span < 2 ? 2 : 0))]; /* links lie behind the header */
}

/* Any sector, or one that is more than at rest: large blocks are few. */
static uint32_t some_sector(struct tape *t, const struct amxi_seg *s)
{
    uint32_t i = (uint32_t)pick(t, s->g.sectors_max), n = pick(t, 2) ? s->g.sectors : 0;
    for (; n && AMXI_S_KIND(amxi_ld64_rlx(&amxi_sector(s, i)->word)) == AMXI_K_IDLE; n--)
        i = (i + 1) % s->g.sectors;
    return i;
}

static struct place in_sector(struct tape *t, const struct amxi_seg *s, uint32_t i)
{
    uint32_t su = s->g.su, any = (uint32_t)pick(t, 256);
    struct amxi_sector_body *b = amxi_sector(s, i);
    amxi_a64 *queue = any & 1 ? &b->drain : amxi_acked(s, i);
    const struct place kind = FIELD(&b->word, 0, 4, AMXI_K_QUARANTINED + 1, AMXI_K_HELD);
    const struct place len = FIELD(&b->ext_len, 0, 32, s->g.sectors - i % s->g.sectors, 1),
                       tail = ALL(&b->ext_tail, su);
    const struct place f[] = {kind,
                              kind,
                              len,
                              len,
                              tail,
                              tail,
                              FIELD(&b->word, 4, 16, any & 1 ? s->g.sectors : s->g.handles, i),
                              FIELD(queue, 0, 32, su, 1),
                              FIELD(queue, 32, 16, su, 0),
                              FIELD(queue, 48, 16, UINT16_MAX, 0),
                              ALL(&b->gclock, AMXI_GEN_MASK),
                              ALL(&b->first, su),
                              FIELD(&b->cut_by, 0, 32, s->g.sectors, i),
                              ALL(&b->fl, 1 << 20),
                              ALL(&b->sl[any % sizeof b->sl], 0xff),
                              ALL(amxi_avail(s, i), AMXI_AVAIL_WHOLE),
                              ALL(amxi_bitmap(s, i) + any % (su / 64), UINT64_MAX),
                              ALL(&b->head[any % s->g.bins], su)};
    return ONE_OF(f);
}

static struct place in_tables(struct tape *t, const struct amxi_seg *s)
{
    uint32_t i = (uint32_t)pick(t, s->g.handles), any = (uint32_t)pick(t, 64);
    struct amxi_handle_body *h = amxi_handle(s, i);
    struct amxi_peer_body *p = amxi_peer(s, i % s->g.peers);
    uint64_t tickets = amxi_ld64_rlx(&amxi_head(s)->tickets), ticket = AMXI_PEER_TICKET(amxi_ld64_rlx(&p->word));
    const struct place f[] = {FIELD(&p->word, 0, 8, AMXI_PEER_DEAD + 1, AMXI_PEER_LIVE),
                              FIELD(&p->word, 8, 56, tickets, 1),
                              FIELD(&p->pid, 0, 32, 1 << 22, (uint64_t)getpid()),
                              FIELD(&p->pid, 32, 32, tickets, ticket),
                              ALL(&p->pid_ns + any % 6, 1), /* up to since_ns */
                              FIELD(&h->word, 0, 4, AMXI_H_QUIET + 1, AMXI_H_DEAD),
                              FIELD(&h->word, 4, 8, s->g.peers, 0),
                              FIELD(&h->word, 12, 52, UINT64_MAX >> 12, 0),
                              ALL(&h->purging, 1),
                              FIELD(&h->giving, 0, 32, s->g.handles, i + 1),
                              ALL(&h->objects, UINT32_MAX),
                              FIELD(&h->handed, 32, 32, (uint64_t)s->g.sectors << s->g.su_log2, 0),
                              ALL(amxi_guard(s, i, any % s->g.guards), 0),
                              ALL(amxi_touched(s, i) + any % s->g.touched_words, UINT64_MAX)};
    return ONE_OF(f);
}

static struct place in_head(struct tape *t, const struct amxi_seg *s)
{
    uint32_t any = (uint32_t)pick(t, pick(t, 2) ? 4 : 32);
    struct amxi_head_body *b = amxi_head(s);
    struct amxi_object_body *o = &b->object[any];
    uint64_t size = s->g.size, data = s->g.region[AMXI_R_DATA].offset / AMXI_UNIT;
    const struct place f[] = {ALL(&b->tickets, UINT64_MAX),
                              ALL(&b->wait, 1),
                              ALL(&b->pressure, 0),
                              ALL(&b->handles_high, s->g.handles),
                              FIELD(&b->roots[any % 16], 32, 32, size / AMXI_UNIT, data),
                              FIELD(&o->word, 0, 4, AMXI_O_GOING + 1, AMXI_O_LIVE),
                              FIELD(&o->word, 4, 12, s->g.handles, 1),
                              FIELD(&o->ref, 32, 32, size / AMXI_UNIT, data + 1),
                              ALL(&o->first, size),
                              ALL(&o->stride, 8),
                              ALL(&o->count, (uint32_t)size / 8),
                              FIELD(&o->to, any % 2 * 16, 16, AMX_STATE_MAX, 4),
                              ALL(&o->pair[any % 4], AMX_STATE_MAX)};
    return ONE_OF(f);
}

/* The pool, that of a store, or an extent, in the block of a registered object. NULL: the object is no such thing. */
static unsigned char *some_pool(struct tape *t, const struct amxi_seg *s)
{
    uint32_t first = (uint32_t)pick(t, 8);
    for (uint32_t i = 0; i < AMX_OBJECTS; i++) {
        const struct amxi_object_body *o = amxi_object(s, (first + i) % AMX_OBJECTS);
        uint64_t unit = AMXI_REF_UNIT(amxi_ld64_rlx(&o->ref)), words = amxi_ld64_rlx(&o->first);
        uint32_t kind = amxi_ld32_rlx(&o->kind),
                 n = kind == AMX_POOL_EXTENT || kind == AMX_STORE_KIND ? 1 : kind ^ AMX_POOL_KIND;
        uint64_t head = sizeof(struct amxi_pool_body) + n * sizeof(struct amxi_pool_class_body);
        if (n - 1 >= AMX_POOL_CLASSES || words < head || words > s->g.size)
            continue;
        uint64_t at = unit * AMXI_UNIT + words - head;
        if (at % AMX_POOL_ALIGN == 0 && at <= s->g.size - head - 4096)
            return s->base + at;
    }
    return NULL;
}

static struct place in_pool(struct tape *t, const struct amxi_seg *s)
{
    uint32_t any = (uint32_t)pick(t, 64);
    unsigned char *base = some_pool(t, s);
    if (!base)
        return in_head(t, s);
    struct amxi_pool_body *b = amxi_pool_head_at(base);
    uint32_t n = amxi_ld32_rlx(&b->classes) == 1 ? 1 : 2;
    struct amxi_pool_class_body *d = amxi_pool_class_at(base, any % n);
    amxi_a64 *words = (amxi_a64 *)(void *)amxi_pool_class_at(base, n);
    uint64_t data = s->g.region[AMXI_R_DATA].offset / AMXI_UNIT;
    const struct place f[] = {ALL(&b->magic, AMXI_POOL_MAGIC),
                              ALL(&b->version, AMXI_POOL_VERSION),
                              ALL(&b->classes, AMX_POOL_CLASSES),
                              ALL(&b->flags, AMX_POOL_ALL_),
                              ALL(&b->bytes, s->g.size),
                              ALL(&b->words, s->g.size),
                              ALL(&b->words_count, UINT32_MAX),
                              ALL(&b->wait, 1),
                              ALL(&d->slot_size, 64),
                              ALL(&d->count, AMX_POOL_SLOTS),
                              ALL(&d->count, 80),
                              ALL(&d->words, s->g.size),
                              ALL(&d->hints, s->g.size),
                              ALL(&d->data, s->g.size),
                              ALL(&d->next, UINT64_MAX),
                              FIELD(&d->next, 32, 32, s->g.size / AMXI_UNIT, data),
                              ALL(&d->high, UINT64_MAX),
                              FIELD(&words[any], 0, 12, AMX_STATE_MAX, 1),
                              FIELD(&words[any], 12, 12, s->g.handles, 1),
                              FIELD(&words[any], 24, 40, AMXI_GEN_MASK, 0),
                              ALL(&words[64 + any], UINT64_MAX)}; /* more words, or hints, or slots */
    return ONE_OF(f);
}

/* The store in the block of a registered object; NULL: there is none. */
static unsigned char *some_store(const struct amxi_seg *s)
{
    for (uint32_t i = 0; i < AMX_OBJECTS; i++) {
        const struct amxi_object_body *o = amxi_object(s, i);
        uint64_t at = (uint64_t)AMXI_REF_UNIT(amxi_ld64_rlx(&o->ref)) * AMXI_UNIT;
        if (amxi_ld32_rlx(&o->kind) == AMX_STORE_KIND && at % AMX_STORE_ALIGN == 0 && at < s->g.size - 4096)
            return s->base + at;
    }
    return NULL;
}

static struct place in_store(struct tape *t, const struct amxi_seg *s)
{
    uint32_t any = (uint32_t)pick(t, 16);
    unsigned char *base = some_store(s);
    if (!base)
        return in_head(t, s);
    struct amxi_store_body *b = amxi_store_head_at(base);
    amxi_a64 *words =
        (amxi_a64 *)(void *)(base + sizeof *b + sizeof(struct amxi_pool_body) + sizeof(struct amxi_pool_class_body));
    struct amxi_message_body *m = (struct amxi_message_body *)(void *)(words + 16 + 8) + any % 12 * 2;
    amxi_a64 *guard = amxi_guard(s, any % s->g.handles, 0);
    const struct place f[] = {ALL(&b->magic, AMXI_STORE_MAGIC),
                              ALL(&b->version, AMXI_STORE_VERSION),
                              ALL(&b->depth, AMX_STORE_DEPTH),
                              ALL(&b->depth, 16),
                              ALL(&b->payload_max, AMX_STORE_PAYLOAD),
                              ALL(&b->payload_max, 128),
                              ALL(&b->threads, AMX_STORE_THREADS),
                              ALL(&b->memory, AMX_MEMORY_SHARED),
                              ALL(&b->policy, AMX_POLICY_EVICT),
                              ALL(&b->soft_items, 12),
                              ALL(&b->hard_items, 12),
                              ALL(&b->hard_bytes, 1000),
                              ALL(&b->order, UINT64_MAX),
                              ALL(&b->wait, 1),
                              ALL(&m->size, AMX_STORE_PAYLOAD),
                              ALL(&m->size, 64),
                              ALL(&m->size, UINT32_MAX),
                              ALL(&m->size, 1000),
                              ALL(&m->order, UINT64_MAX),
                              ALL(&m->header.payload_size, 64),
                              FIELD(&words[any], 0, 12, AMX_STATE_POISONED, AMX_STATE_WRITING),
                              FIELD(&words[any], 0, 12, AMX_STATE_POISONED, AMX_STATE_STORED),
                              FIELD(&words[any], 12, 12, s->g.handles, 1),
                              FIELD(&words[any], 24, 40, AMXI_GEN_MASK, 0),
                              FIELD(guard, 0, 32, UINT32_MAX, amxi_ld64_rlx(&words[any]) >> 24 & UINT32_MAX),
                              FIELD(guard, 32, 32, s->g.size / AMXI_UNIT, 0)};
    return ONE_OF(f);
}

static struct place somewhere(struct tape *t, const struct amxi_seg *s)
{
    uint64_t kind = pick(t, 8);
    if (kind < 3) {
        uint64_t k = some_block(t, s);
        return in_block(t, s, k, units_of(s) - k);
    }
    return kind < 6 ? in_sector(t, s, some_sector(t, s)) : kind == 6 ? in_tables(t, s) : in_head(t, s);
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
    switch (pick(t, 16)) {
    case 13: /* a store's books */
    case 14:
    case 15:
        a = in_store(t, s);
        set(&a, nonsense(t, &a));
        return;
    case 10: /* a pool's books */
    case 11:
    case 12:
        a = in_pool(t, s);
        set(&a, nonsense(t, &a));
        return;
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

void damage_sector(struct tape *t, uint8_t *base, const struct amxi_geometry *g, uint32_t i)
{
    const struct amxi_seg s = {.base = base, .g = *g};
    uint64_t from = (uint64_t)i << g->su_log2, end = from + g->su;
    struct place a;
    if (pick(t, 2)) {
        uint64_t k = block_in(t, &s, from, end);
        a = in_block(t, &s, k, end - k);
    } else {
        a = in_sector(t, &s, i);
    }
    set(&a, nonsense(t, &a));
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
