/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marks of a store. Nothing is counted twice, as nothing is counted: items and bytes are what the words and sizes say. Who
 * stores takes its place first, then counts, its own with the others. Of two at the same time, one sees the other: each
 * stores its size, then loads that of the other, all sequentially consistent, and who sees a size sees that the place is
 * taken. Of any set of messages that are there together, the one whose size was stored last has counted all of them: so a
 * hard mark is never passed by messages that were stored; both of two may be refused. A write guard cannot make a message
 * grow where bytes have a hard mark.
 */
#include "message.h"

static void fullness(const struct amx_store *s, uint64_t *items, uint64_t *bytes)
{
    *items = *bytes = 0;
    for (uint32_t i = 0; i < s->config.depth; i++) {
        struct amxi_place p;
        amxi_place_at(s, i, &p);
        uint32_t size = amxi_ld32_sc(&p.m->size);       /* before the word: pairs with reserve */
        if (AMXI_POOL_WORD_FREE(amxi_ld64_rlx(p.word))) /* not older than the size. Freed: not counted any more */
            continue;
        *items += 1;
        *bytes += size;
    }
}

static bool beyond(uint64_t n, uint64_t mark)
{
    return mark && n > mark;
}

static void tally(amxi_a64 *n)
{
    (void)amxi_add64_rlx(n, 1); /* a number for people */
}

/* The oldest message younger than `floor`; 0: none. */
static uint64_t oldest(const struct amx_store *s, uint64_t floor, amx_token *token)
{
    uint64_t least = 0;
    for (uint32_t i = 0; i < s->config.depth; i++) {
        struct amxi_place p;
        amxi_place_at(s, i, &p);
        uint64_t w = amxi_ld64_acq(p.word); /* pairs with what made it STORED: its age */
        uint64_t order = amxi_ld64_rlx(&p.m->order);
        if (AMXI_W0_STATE(w) == AMX_STATE_STORED && order > floor && (!least || order < least)) {
            least = order;
            *token = AMXI_SLOT(0, i, w);
        }
    }
    return least;
}

int amx_store_evict(struct amx_store *store, amx_token *token)
{
    amx_token t = AMX_TOKEN_INVALID;
    int e = amxi_store_admit(store, AMXI_POOL_WRITE), found = AMX_E_NOENT;
    if (e || !store->config.marks.policy)
        return e ? e : AMX_E_INVAL;
    uint64_t floor = 0;
    for (uint32_t n = 0; n < store->config.depth && (floor = oldest(store, floor, &t)); n++) {
        found = amx_msg_free(store, t);
        if (found)
            continue; /* borrowed, or another was faster: the next one */
        tally(&amxi_store_head_at(store->base)->evicted);
        if (token)
            *token = t;
        return AMX_OK;
    }
    return found == AMX_E_NOENT ? found : AMX_E_BORROW_ACTIVE;
}

static bool hard(const struct amx_store *s, uint64_t items, uint64_t bytes)
{
    return beyond(items, s->config.marks.hard_items) || beyond(bytes, s->config.marks.hard_bytes);
}

/* Would these fit if everything went that the policy lets go for them and nobody borrows: all, or the oldest one? So that
 * nothing goes in vain, unless others come in between. Guards are looked at last: that costs most. */
static bool would_fit(const struct amx_store *s, uint64_t items, uint64_t bytes)
{
    uint64_t least = 0, n = 0, sum = 0;
    for (uint32_t i = 0; i < s->config.depth; i++) {
        struct amxi_place p;
        amxi_place_at(s, i, &p);
        p.w = amxi_ld64_rlx(p.word); /* an estimate: others come and go anyway */
        uint64_t order = amxi_ld64_rlx(&p.m->order), size = amxi_ld32_rlx(&p.m->size);
        const bool all = s->config.marks.policy == AMX_POLICY_EVICT;
        if (AMXI_W0_STATE(p.w) != AMX_STATE_STORED || (!all && least && order >= least) || amxi_guards_on(s, i, p.w))
            continue;
        least = order;
        n = all ? n + 1 : 1;
        sum = all ? sum + size : size;
        if (all && items >= n && bytes >= sum && !hard(s, items - n, bytes - sum))
            return true;
    }
    return !hard(s, items > n ? items - n : 0, bytes > sum ? bytes - sum : 0);
}

int amxi_admission_room(struct amx_store *s, size_t size, struct amxi_verdict *v)
{
    uint64_t items, bytes;
    struct amxi_store_body *b = amxi_store_head_at(s->base);
    switch (s->config.marks.policy) {
    case AMX_POLICY_DROP_NEWEST:
        tally(&b->dropped);
        v->dropped = true;
        return AMX_OK;
    case AMX_POLICY_DROP_OLDEST:
    case AMX_POLICY_EVICT:
        v->evicted = true;
        fullness(s, &items, &bytes);
        return !would_fit(s, items + 1, bytes + size) || amx_store_evict(s, NULL) ? AMX_E_NOMEM : AMX_OK;
    case AMX_POLICY_NONE:
    case AMX_POLICY_REJECT:
        break;
    }
    return AMX_E_NOMEM;
}

int amxi_admission(struct amx_store *s, struct amxi_verdict *v)
{
    struct amxi_store_body *b = amxi_store_head_at(s->base);
    const struct amx_marks *m = &s->config.marks;
    uint64_t items, bytes;
    fullness(s, &items, &bytes);
    bool more = hard(s, items, bytes), soft = beyond(items, m->soft_items) || beyond(bytes, m->soft_bytes);
    if (m->policy == AMX_POLICY_DROP_NEWEST && more) {
        tally(&b->dropped);
        v->dropped = true;
        return AMX_OK;
    }
    bool may =
        m->policy == AMX_POLICY_EVICT ? more : m->policy == AMX_POLICY_DROP_OLDEST && (soft || more) && !v->evicted;
    if (may && would_fit(s, items, bytes))
        do { /* until nothing is left that may go */
            if (amx_store_evict(s, NULL))
                break;
            fullness(s, &items, &bytes);
            more = hard(s, items, bytes);
        } while (more && m->policy == AMX_POLICY_EVICT);
    if (!more)
        return AMX_OK;
    tally(&b->rejected);
    return AMX_E_FULL;
}

static enum amx_watermark level(uint64_t n, uint64_t soft, uint64_t hard)
{
    return hard && n >= hard ? AMX_AT_OR_ABOVE_HARD : soft && n >= soft ? AMX_BETWEEN : AMX_BELOW_SOFT;
}

int amx_store_watermark(const struct amx_store *store, enum amx_watermark *out, uint64_t *items, uint64_t *bytes)
{
    uint64_t n[2];
    int e = out ? amxi_store_admit(store, AMXI_POOL_READ) : AMX_E_INVAL;
    if (e)
        return e;
    const struct amx_marks *m = &store->config.marks;
    fullness(store, &n[0], &n[1]);
    enum amx_watermark a = level(n[0], m->soft_items, m->hard_items), b = level(n[1], m->soft_bytes, m->hard_bytes);
    *out = a > b ? a : b;
    if (items)
        *items = n[0];
    if (bytes)
        *bytes = n[1];
    return AMX_OK;
}
