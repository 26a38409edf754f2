/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks by reference: access, lifecycle, ownership, resize, batches, waiting. All changes of a live block's word are
 * compare-and-swaps on the whole word, so each has one winner, and none can hit a later life of the block. */
#include "block.h"
#include "checked.h"
#include "os.h"
#include "word.h"

#include <string.h>

/* --- Finding --- */

int amxi_find(const amx_t *h, amx_ref ref, uint32_t units, struct amxi_at *at)
{
    if (!h)
        return AMX_E_INVAL;
    uint32_t k = AMXI_REF_UNIT(ref) - h->first_pu;
    if (k >= units) {
        int e = amxi_refuse(h);
        return e && (e != AMX_E_READONLY || units != h->read_units) ? e : AMX_E_OFFSET;
    }
    if (k == units - 1 || !amxi_bit(h->bits, k)) /* behind a header in the last unit of all is nothing */
        return AMX_E_STALE;
    at->k = k;
    at->b = (struct amxi_block_body *)(void *)(h->data + (uint64_t)k * AMXI_UNIT);
    at->w = amxi_ld64_acq(&at->b->w0); /* pairs with the release of publish, give and transitions */
    if (AMXI_W0_LIFE(at->w) != AMXI_REF_GEN(ref) || !amxi_state_live(AMXI_W0_STATE(at->w)))
        return AMX_E_STALE;
    return AMX_OK;
}

/* Payload bytes of a block that was found live. */
static int room(const amx_t *h, const struct amxi_at *at, uint64_t *bytes)
{
    uint32_t u =
        AMXI_W1_SIZE(amxi_ld64_rlx(&at->b->w1)); /* changes only by a resize of the owner's, who tells others */
    if (!u)
        return amxi_extent_usable(h->seg, at->k, bytes);
    if (u < AMXI_UNITS_MIN || (at->k & h->su_mask) + u > h->su_mask + 1)
        return AMX_E_CORRUPT;
    *bytes = (uint64_t)u * AMXI_UNIT - AMXI_UNIT;
    return AMX_OK;
}

void amxi_block_fill(const struct amxi_seg *s, uint64_t unit, uint64_t w0, uint64_t bytes, struct amx_block *out)
{
    uint64_t data = s->g.region[AMXI_R_DATA].offset, last = unit + (bytes ? bytes - 1 : 0) / AMXI_UNIT;
    uint32_t owner = AMXI_W0_OWNER(w0), state = AMXI_W0_STATE(w0);
    out->offset = data + unit * AMXI_UNIT;
    out->bytes = bytes;
    out->generation = AMXI_W0_GEN(w0);
    out->ref = amxi_state_live(state) ? AMXI_REF(out->offset / AMXI_UNIT + 1, w0) : AMX_REF_NONE;
    out->state = state;
    out->owner = owner;
    out->owner_id = 0;
    out->peer = UINT32_MAX;
    if (owner && owner <= s->g.handles) {
        uint64_t word = amxi_ld64_rlx(&amxi_handle(s, owner - 1)->word); /* a sample */
        if (AMXI_H_STATUS(word) != AMXI_H_FREE) {
            out->owner_id = AMXI_ID(owner, AMXI_H_EPOCH(word));
            out->peer = AMXI_H_PEER(word) < s->g.peers ? AMXI_H_PEER(word) : UINT32_MAX;
        }
    }
    out->sector = (uint32_t)(unit >> s->g.su_log2);
    out->sectors = (uint32_t)(last >> s->g.su_log2) - out->sector + 1;
}

static void *payload(const amx_t *h, const struct amxi_at *at)
{
    amxi_block_used(h, at->k, at->w);
    return at->b + 1;
}

int amx_usable(const amx_t *h, amx_ref ref, size_t *out)
{
    struct amxi_at at;
    uint64_t bytes;
    if (!h || !out)
        return AMX_E_INVAL;
    int e = amxi_find(h, ref, h->read_units, &at);
    if (e || (e = room(h, &at, &bytes)))
        return e;
    *out = bytes;
    return AMX_OK;
}

int amx_ptr(const amx_t *h, amx_ref ref, void **out)
{
    struct amxi_at at;
    if (!h || !out)
        return AMX_E_INVAL;
    int e = amxi_find(h, ref, h->read_units, &at);
    if (!e)
        *out = payload(h, &at);
    return e;
}

int amx_ref_of(const amx_t *h, const void *p, amx_ref *out)
{
    if (!h || !out)
        return AMX_E_INVAL;
    uint64_t off = (uint64_t)((uintptr_t)p - (uintptr_t)h->data);
    if (off < AMXI_UNIT || off / AMXI_UNIT >= h->read_units)
        return h->seg ? AMX_E_FOREIGN : AMX_E_FORKED;
    uint32_t k = (uint32_t)(off / AMXI_UNIT - 1);
    if (off % AMXI_UNIT || !amxi_bit(h->bits, k))
        return AMX_E_WILD;
    uint64_t w = amxi_ld64_acq(&amxi_block(h->seg, k)->w0); /* as in amxi_find */
    if (!amxi_state_live(AMXI_W0_STATE(w)))
        return AMX_E_STALE;
    *out = AMXI_REF(k + h->first_pu, w);
    return AMX_OK;
}

static int typed(const amx_t *h, amx_ref ref, uint32_t units, size_t size, void **out)
{
    struct amxi_at at;
    uint64_t bytes;
    int e = amxi_find(h, ref, units, &at);
    if (e || (e = room(h, &at, &bytes)))
        return e;
    if (size > bytes)
        return AMX_E_INVAL;
    *out = payload(h, &at);
    return AMX_OK;
}

int amx_read(const amx_t *h, amx_ref ref, size_t size, const void **out)
{
    void *p;
    if (!h || !out)
        return AMX_E_INVAL;
    int e = typed(h, ref, h->read_units, size, &p);
    if (!e)
        *out = p;
    return e;
}

int amx_read_mut(amx_t *h, amx_ref ref, size_t size, void **out)
{
    return !h || !out ? AMX_E_INVAL : typed(h, ref, h->units, size, out);
}

int amx_write(amx_t *h, amx_ref ref, const void *src, size_t size)
{
    void *p;
    if (!h || (!src && size))
        return AMX_E_INVAL;
    int e = typed(h, ref, h->units, size, &p);
    if (!e && size)
        memcpy(p, src, size);
    return e;
}

/* --- Lifecycle --- */

int amx_get_state(const amx_t *h, amx_ref ref, enum amx_order order, uint32_t *out)
{
    struct amxi_at at;
    if (!h || !out || (order != AMX_RELAXED && order != AMX_ACQUIRE && order != AMX_SEQ_CST))
        return AMX_E_INVAL;
    int e = amxi_find(h, ref, h->read_units, &at); /* acquires: stronger than relaxed costs nothing here */
    if (e)
        return e;
    if (order == AMX_SEQ_CST) {
        at.w = amxi_ld64_sc(&at.b->w0); /* the user's own argument over several blocks' states */
        if (AMXI_W0_LIFE(at.w) != AMXI_REF_GEN(ref) || !amxi_state_live(AMXI_W0_STATE(at.w)))
            return AMX_E_STALE;
    }
    *out = AMXI_W0_STATE(at.w);
    return AMX_OK;
}

/* Notes what is about to be published or given. A death between the change and the telling of it leaves a block that
 * nobody knows: recovery finds it here. */
static void hand(const amx_t *h, amx_ref ref)
{
    amxi_st64_rlx(&amxi_handle(h->seg, h->tag - 1)->handed, ref); /* single writer */
    amxi_cb();
}

static int change(struct amxi_at *at, amx_ref ref, struct amxi_change *c)
{
    return amxi_word_change(&at->b->w0, &at->w, AMXI_REF_GEN(ref), c);
}

int amx_set_state(amx_t *h, amx_ref ref, uint32_t state)
{
    struct amxi_at at;
    if (!h || state > AMX_STATE_MAX)
        return AMX_E_INVAL;
    if (state < AMX_STATE_USER_MIN)
        return AMX_E_RESERVED;
    int e = amxi_find(h, ref, h->units, &at);
    struct amxi_change c = {AMXI_CHANGE_ANY, state, AMXI_CHANGE_ANY, false, false, false, AMX_ACQ_REL, 0};
    return e ? e : change(&at, ref, &c);
}

int amx_transition(amx_t *h, amx_ref ref, uint32_t expected, uint32_t next, enum amx_order order, uint32_t *observed)
{
    struct amxi_at at;
    if (!h || expected > AMX_STATE_MAX || next > AMX_STATE_MAX || (unsigned)order > AMX_SEQ_CST)
        return AMX_E_INVAL;
    if (expected < AMX_STATE_USER_MIN || next < AMX_STATE_USER_MIN)
        return AMX_E_RESERVED;
    int e = amxi_find(h, ref, h->units, &at);
    struct amxi_change c = {expected, next, AMXI_CHANGE_ANY, false, false, false, order, 0};
    if (!e)
        e = change(&at, ref, &c);
    if (observed && (!e || e == AMX_E_STATE))
        *observed = e ? AMXI_W0_STATE(at.w) : expected;
    return e;
}

/* --- Ownership --- */

int amx_publish(amx_t *h, amx_ref ref)
{
    struct amxi_at at;
    int e = h ? amxi_find(h, ref, h->units, &at) : AMX_E_INVAL;
    struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, 0, false, true, false, AMX_ACQ_REL, 0};
    if (e)
        return e;
    hand(h, ref);
    return change(&at, ref, &c);
}

int amx_adopt(amx_t *h, amx_ref ref)
{
    struct amxi_at at;
    int e = h ? amxi_find(h, ref, h->units, &at) : AMX_E_INVAL;
    if (e)
        return e;
    amxi_touch(h->seg, h->tag, at.k >> h->seg->g.su_log2); /* before it is ours: recovery looks only where we were */
    struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, h->tag, true, false, false, AMX_ACQ_REL, 0};
    return change(&at, ref, &c);
}

static int give(amx_t *h, struct amxi_at *at, amx_ref ref, amx_id to)
{
    struct amxi_seg *s = h->seg;
    uint32_t sector = at->k >> s->g.su_log2, tag = AMXI_ID_TAG(to);
    amxi_touch(s, h->tag, sector); /* if we die in the middle, recovery comes here and finds the receiver's too */
    if (!amxi_word_alive(h, to, false))
        return AMX_E_PEER_DEAD;
    amxi_or64_sc(amxi_touched(s, tag - 1) + sector / 64, UINT64_C(1) << (sector & 63));
    struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, tag, false, false, true, AMX_SEQ_CST, 0};
    hand(h, AMXI_REF(at->k + h->first_pu, at->w + AMXI_GEN_ONE)); /* as change will make it */
    int e = change(at, ref, &c);
    if (e || amxi_word_alive(h, to, true))
        return e;
    return amxi_word_take_back(h, &at->b->w0, &at->w, to, c.was);
}

int amx_give(amx_t *h, amx_ref ref, amx_id to, amx_ref *out)
{
    struct amxi_at at;
    if (!h || !out)
        return AMX_E_INVAL;
    int e = amxi_find(h, ref, h->units, &at);
    if (e)
        return e;
    e = amxi_word_giving(h, to);
    if (e)
        return e;
    e = give(h, &at, ref, to);
    amxi_word_given(h);
    if (!e || e == AMX_E_PEER_DEAD)
        *out = AMXI_REF(at.k + h->first_pu, at.w);
    return e;
}

int amx_owner(const amx_t *h, amx_ref ref, amx_id *out)
{
    struct amxi_at at;
    if (!h || !out)
        return AMX_E_INVAL;
    int e = amxi_find(h, ref, h->read_units, &at);
    if (e)
        return e;
    uint32_t tag = AMXI_W0_OWNER(at.w);
    if (tag > h->seg->g.handles)
        return AMX_E_CORRUPT;
    *out = tag ? AMXI_ID(tag, AMXI_H_EPOCH(amxi_ld64_rlx(&amxi_handle(h->seg, tag - 1)->word))) : 0;
    return AMX_OK;
}

/* --- More ways to allocate and free --- */

int amx_alloc_aligned(amx_t *h, size_t align, size_t n, amx_ref *out)
{
    if (!h || !out || !align || align > AMXI_PAGE || (align & (align - 1)))
        return AMX_E_INVAL;
    return align <= AMXI_UNIT ? amx_alloc(h, n, out) : amxi_alloc_uncached(h, n, (uint32_t)align, out);
}

int amx_zalloc(amx_t *h, size_t n, amx_ref *out)
{
    void *p;
    int e = amx_alloc(h, n, out);
    if (e)
        return e;
    e = amx_ptr(h, *out, &p);
    if (!e)
        memset(p, 0, n);
    return e;
}

#define WAIT_FIRST_NS UINT64_C(1000000)   /* a free that missed the waiter's flag costs him at most this */
#define WAIT_SLICE_NS UINT64_C(100000000) /* and one who dies between the free and its waking at most this */

int amx_alloc_wait(amx_t *h, size_t n, uint64_t timeout_ns, amx_ref *out)
{
    uint64_t start = amxi_os_mono_ns();
    for (bool first = true;; first = false) {
        int e = amx_alloc(h, n, out);
        if (e != AMX_E_NOMEM && e != AMX_E_BUSY)
            return e;
        /* Announce, then look again: a free before it is seen by the second look, one after it sees the flag. Both may
         * miss each other while they are under way (what a free brings back is not sequentially consistent, nor is what
         * an allocation looks at), so the first sleep behind a new flag is a short one: after it all have seen it */
        amxi_a32 *wait = &amxi_head(h->seg)->wait;
        uint32_t w = amxi_or32_rlx(wait, 1);
        uint64_t slice = first || !(w & 1) ? WAIT_FIRST_NS : WAIT_SLICE_NS;
        e = amx_alloc(h, n, out);
        if (e != AMX_E_NOMEM && e != AMX_E_BUSY)
            return e;
        uint64_t past = amxi_os_mono_ns() - start;
        if (past >= timeout_ns)
            return AMX_E_TIMEOUT;
        uint64_t left = timeout_ns - past;
        amxi_os_futex_wait(wait, w | 1, left < slice ? left : slice);
    }
}

int amx_alloc_many(amx_t *h, size_t n, size_t count, amx_ref *refs, size_t *got)
{
    int e = AMX_OK;
    if (got)
        *got = 0;
    if (!h || !got || (count && !refs))
        return AMX_E_INVAL;
    while (*got < count && !e) {
        e = amx_alloc(h, n, &refs[*got]);
        *got += !e;
    }
    return e ? e : count ? AMX_OK : amxi_refuse(h);
}

int amx_free_many(amx_t *h, const amx_ref *refs, size_t count, size_t *freed)
{
    int first = count ? AMX_OK : amxi_refuse(h);
    size_t n = 0;
    if (!h || (count && !refs))
        first = AMX_E_INVAL;
    for (size_t i = 0; h && refs && i < count; i++) {
        int e = amx_free(h, refs[i]);
        n += !e;
        if (e && !first)
            first = e;
    }
    if (freed)
        *freed = n;
    return first;
}

/* --- Resize --- */

/* In place, in the block's sector. The block is claimed meanwhile: CACHED by us, so that a racing free is answered as
 * a double free instead of freeing a block that is changing. Killed here: private, it falls with us. */
static int resize_in_place(amx_t *h, const struct amxi_at *at, uint32_t u, bool *done)
{
    struct amxi_seg *s = h->seg;
    struct amxi_sec x;
    uint64_t w = at->w;
    *done = false;
    /* relaxed: amxi_find has acquired this very word */
    if (!amxi_cas64_rlx(&at->b->w0, &w, AMXI_W0(AMX_STATE_CACHED, h->tag, AMXI_W0_GEN(w))))
        return amxi_state_live(AMXI_W0_STATE(w)) ? AMX_E_BUSY : AMX_E_STALE;
    int e = amxi_sec_enter(s, at->k >> s->g.su_log2, h->tag, &x);
    if (!e) {
        amxi_touch(s, h->tag, x.index);
        e = amxi_sec_resize(&x, at->k & h->su_mask, u, done);
        if (e)
            (void)amxi_sec_failed(&x);
        else
            amxi_sec_leave(&x);
    }
    /* release: its size, to who frees it next; nobody else may write the word until then */
    amxi_st64_rel(&at->b->w0, at->w);
    return e == AMX_E_CORRUPT ? e : AMX_OK;
}

static int move(amx_t *h, const struct amxi_at *at, amx_ref ref, size_t n, uint64_t old, amx_ref *out)
{
    amx_ref to;
    void *p;
    uint32_t state = AMXI_W0_STATE(at->w);
    int e = amx_alloc(h, n, &to);
    if (e)
        return e;
    if (!(e = amx_ptr(h, to, &p)))
        memcpy(p, payload(h, at), n < old ? n : (size_t)old);
    if (!e && state != AMX_STATE_ALLOCATED)
        e = amx_set_state(h, to, state);
    if (!e)
        e = amx_free(h, ref); /* lost to a racing free: then there is nothing to resize */
    if (e)
        (void)amx_free(h, to);
    else
        *out = to;
    return e;
}

int amx_resize(amx_t *h, amx_ref ref, size_t n, amx_ref *out)
{
    struct amxi_at at;
    uint64_t old;
    bool done = false;
    if (!h || !out)
        return AMX_E_INVAL;
    int e = amxi_find(h, ref, h->units, &at);
    if (e || (e = room(h, &at, &old)))
        return e;
    uint64_t u = n > old && n > UINT64_MAX - 2 * AMXI_UNIT ? UINT64_MAX : ((uint64_t)n + 2 * AMXI_UNIT - 1) / AMXI_UNIT;
    if (u < AMXI_UNITS_MIN)
        u = AMXI_UNITS_MIN;
    uint64_t has = old / AMXI_UNIT + 1;
    bool mine = AMXI_W0_OWNER(at.w) == h->tag, large = has > h->seg->g.su || !AMXI_W1_SIZE(amxi_ld64_rlx(&at.b->w1));
    if (mine && n <= old && has - u < AMXI_UNITS_MIN) { /* fits, and nothing to win */
        *out = ref;
        return AMX_OK;
    }
    bool kept = AMXI_W0_STATE(at.w) >= AMX_STATE_KEPT; /* must outlive us: never CACHED by us */
    if (mine && !kept && !large && u <= h->seg->g.su) {
        e = resize_in_place(h, &at, (uint32_t)u, &done);
        if (e)
            return e;
        if (done) {
            amxi_block_resized(h, at.k);
            amxi_wake(h);
            *out = ref;
            return AMX_OK;
        }
    }
    e = move(h, &at, ref, n, old, out);
    if ((e == AMX_E_NOMEM || e == AMX_E_BUSY) && mine && n <= old) { /* smaller, but no room to move: it may stay */
        *out = ref;
        return AMX_OK;
    }
    return e;
}
