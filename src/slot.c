/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots. Taking one: 1 its hint is cleared, by the one who gets it; 2 its word becomes his, by an exchange of
 * FREE. Freeing: 1 its word becomes FREE, by an exchange of exactly the life that the reference names; 2 its hint is set.
 * A death between 1 and 2 leaves a free slot without a hint. So a class is empty only when each of its words has been
 * looked at; who does that sets the hints that he misses.
 *
 * A hint is cleared (acquire) before the word is loaded, and set (release) after it was stored: of two, either the hint
 * that was set is seen and then so is the word, or it is set after it was cleared, and stays. So none gets lost among
 * the living.
 */
#include "slot.h"
#include "amx_object.h"
#include "os.h"
#include "word.h"

#define LOSSES       8   /* of a free against changes of state, before it answers AMX_E_BUSY */
#define SMALL_GROUPS 64u /* classes of so many groups of 64 have their high-water mark looked at between exhaustions */

/* --- Finding ---------------------------------------------------------------------------------------------------- */

int amxi_pool_admit(const struct amx_pool *p, enum amxi_pool_use use)
{
    if (!p || !p->base)
        return AMX_E_INVAL;
    if (!p->h)
        return AMX_OK;
    return amxi_word_refuse(p->h, use != AMXI_POOL_READ);
}

int amxi_pool_admit_all(const struct amx_pool *p, enum amxi_pool_use use)
{
    int e = amxi_pool_admit(p, use);
    for (uint32_t c = 0; !e && c < p->n; c++)
        (void)amxi_pool_more((struct amx_pool *)(uintptr_t)p, c); /* the view's own notes */
    return e;
}

/* The low 12 bits of an owner that may own from now on. */
static int owner_of(const struct amx_pool *p, amx_id owner, uint32_t *out)
{
    if (!p->h) {
        if (!owner || owner > AMX_POOL_OWNER_MAX)
            return AMX_E_INVAL;
        *out = (uint32_t)owner;
        return AMX_OK;
    }
    amx_id me = amx_handle_id(p->h);
    if (owner != AMX_POOL_SELF && owner != me)
        return AMX_E_OWNER;
    *out = AMX_OBJECT_OWNER(me);
    return AMX_OK;
}

/* Before a slot there becomes ours: recovery looks only where we were. */
static int touch(const struct amx_pool *p, const struct amx_pool_part *x)
{
    return p->h ? amx_object_touch(p->h, x->object) : AMX_OK;
}

struct at {
    const struct amx_pool_part *x;
    uint32_t i; /* in the part */
    amxi_a64 *word;
    uint64_t w; /* as it was found */
};

static const struct amx_pool_part *part_with(const struct amx_pool *p, uint32_t c, uint32_t i)
{
    for (uint32_t k = p->n; k < p->parts; k++)
        if (p->part[k].class_index == c && i - p->part[k].first < p->part[k].count)
            return &p->part[k];
    return NULL;
}

static bool where(const struct amx_pool *p, amx_slot slot, struct at *at)
{
    uint32_t c = AMX_SLOT_CLASS(slot), i = AMX_SLOT_INDEX(slot);
    if (c >= p->n)
        return false;
    at->x = i < p->part[c].count ? &p->part[c] : part_with(p, c, i);
    if (!at->x && amxi_pool_more((struct amx_pool *)(uintptr_t)p, c)) /* the view's own notes */
        at->x = part_with(p, c, i);
    if (!at->x)
        return false;
    at->i = i - at->x->first;
    return true;
}

static int locate(const struct amx_pool *p, amx_slot slot, struct at *at)
{
    if (!where(p, slot, at))
        return AMX_E_OFFSET;
    at->word = amxi_pool_word_at(at->x, at->i);
    at->w = amxi_ld64_acq(at->word); /* pairs with the release of publish, give and transitions */
    return AMX_OK;
}

static int find(const struct amx_pool *p, amx_slot slot, enum amxi_pool_use use, struct at *at)
{
    int e = amxi_pool_admit(p, use);
    if (e || (e = locate(p, slot, at)))
        return e;
    uint32_t state = AMXI_W0_STATE(at->w);
    if (!amxi_state_live(state) && state != AMX_STATE_FREE)
        return AMX_E_CORRUPT;
    return state == AMX_STATE_FREE || AMXI_W0_LIFE(at->w) != AMXI_SLOT_GEN(slot) ? AMX_E_STALE : AMX_OK;
}

int amx_pool_ptr(const struct amx_pool *pool, amx_slot slot, void **out, size_t *bytes)
{
    struct at at;
    int e = out ? find(pool, slot, AMXI_POOL_READ, &at) : AMX_E_INVAL;
    if (e)
        return e;
    *out = amxi_pool_data_at(at.x, at.i);
    if (bytes)
        *bytes = at.x->slot_size;
    return AMX_OK;
}

void *amx_pool_ptr_unchecked(const struct amx_pool *pool, amx_slot slot)
{
    struct at at;
    return !amxi_pool_admit(pool, AMXI_POOL_READ) && where(pool, slot, &at) ? amxi_pool_data_at(at.x, at.i) : NULL;
}

uint32_t amx_pool_class_count(const struct amx_pool *pool)
{
    return pool ? pool->n : 0;
}

int amx_pool_slot_size(const struct amx_pool *pool, uint32_t class_index, uint32_t *out)
{
    if (!pool || !out || class_index >= pool->n)
        return AMX_E_INVAL;
    *out = pool->part[class_index].slot_size;
    return AMX_OK;
}

/* --- Counting --------------------------------------------------------------------------------------------------- */

/* The most that were in use: all relaxed, a number for people. */
void amxi_pool_raise_high(const struct amx_pool_part *x, uint64_t used)
{
    amxi_a64 *high = &amxi_pool_class_of(x)->high;
    uint64_t was = amxi_ld64_rlx(high);
    for (int i = 0; used > was && i < LOSSES; i++)
        if (amxi_cas64_rlx(high, &was, used))
            return;
}

/* How many of a group are in use, by their words. Sets the hints that are missing. */
static uint32_t settle(const struct amx_pool_part *x, uint64_t g)
{
    uint32_t n = amxi_pool_group_size(x, g), used = n;
    uint64_t found = 0;
    for (uint32_t k = 0; k < n; k++)
        if (AMXI_POOL_WORD_FREE(
                amxi_ld64_acq(amxi_pool_word_at(x, g * 64 + k)))) { /* as whoever frees it: word, then hint */
            found |= UINT64_C(1) << k;
            used--;
        }
    if (found & ~amxi_ld64_rlx(amxi_pool_hint_at(x, g)))
        (void)amxi_or64_rel(amxi_pool_hint_at(x, g), found); /* as in now_free. May lie by now */
    return used;
}

/* A hint was taken from a group, and left it so. Hints only say when it is worth to look at the words. */
static void note_taken(const struct amx_pool_part *x, uint64_t left)
{
    uint64_t groups = amxi_pool_groups_of(x->count), used = 0;
    if (groups > 1 && (left || groups > SMALL_GROUPS))
        return;
    for (uint64_t g = 0; g < groups; g++) {
        uint32_t n = amxi_pool_group_size(x, g);
        used += n - (uint32_t)__builtin_popcountll((groups == 1 ? left : amxi_ld64_rlx(amxi_pool_hint_at(x, g))) &
                                                   amxi_pool_mask(n));
    }
    if (used <= amxi_ld64_rlx(&amxi_pool_class_of(x)->high))
        return;
    used = 0;
    for (uint64_t g = 0; g < groups; g++)
        used += settle(x, g);
    amxi_pool_raise_high(x, used);
}

/* --- Taking ----------------------------------------------------------------------------------------------------- */

static bool take_word(const struct amx_pool_part *x, uint64_t i, uint32_t owner, uint64_t w, amx_slot *out)
{
    uint64_t to = AMXI_W0(AMX_STATE_ALLOCATED, owner, AMXI_W0_GEN(w) + 1);
    /* pairs with the release of the free: what its last owner read and wrote comes before what we write */
    if (!AMXI_POOL_WORD_FREE(w) || !amxi_cas64_acq(amxi_pool_word_at(x, i), &w, to))
        return false;
    *out = amxi_pool_slot_of(x, (uint32_t)i, to);
    return true;
}

/* By the hints of a group. */
static bool take_hinted(const struct amx_pool_part *x, uint64_t g, uint32_t owner, amx_slot *out)
{
    amxi_a64 *hint = amxi_pool_hint_at(x, g);
    uint64_t valid = amxi_pool_mask(amxi_pool_group_size(x, g)),
             left = amxi_ld64_rlx(hint) & valid; /* looked at again by the and */
    while (left) {                               /* at most 64 turns: no bit is tried twice */
        uint64_t bit = left & (~left + 1), i = g * 64 + (uint32_t)__builtin_ctzll(left);
        left &= ~bit;
        uint64_t was = amxi_and64_acq(hint, ~bit); /* 1 pairs with the or in amx_pool_free */
        if (!(was & bit))
            continue;                                                              /* another has it */
        if (take_word(x, i, owner, amxi_ld64_rlx(amxi_pool_word_at(x, i)), out)) { /* 2 */
            note_taken(x, was & valid & ~bit);
            return true;
        }
    }
    return false;
}

/* By the words of a group: sets the hints that are missing. */
static bool take_swept(const struct amx_pool_part *x, uint64_t g, uint32_t owner, amx_slot *out)
{
    uint32_t n = amxi_pool_group_size(x, g), mine = n;
    uint64_t found = 0;
    for (uint32_t k = 0; k < n; k++) {
        uint64_t w =
            amxi_ld64_sc(amxi_pool_word_at(x, g * 64 + k)); /* sc: pairs with the exchange of a free, see wake */
        if (!AMXI_POOL_WORD_FREE(w))
            continue;
        if (mine == n && take_word(x, g * 64 + k, owner, w, out))
            mine = k;
        else
            found |= UINT64_C(1) << k;
    }
    if (mine == n)
        return false; /* what was found was lost to another, who has it */
    if (found)
        (void)amxi_or64_rel(amxi_pool_hint_at(x, g), found); /* as in amx_pool_free. May lie by now */
    return true;
}

static bool take(struct amx_pool_part *x, uint32_t owner, amx_slot *out)
{
    uint64_t groups = amxi_pool_groups_of(x->count);
    amxi_a32 *rotor = (amxi_a32 *)(void *)&x->rotor;
    /* Owners begin apart, so that they share no line of words, and go on where they found something. */
    uint64_t turn = amxi_ld32_rlx(rotor), home = (uint64_t)(owner * UINT32_C(0x9e3779b1)) * groups >> 32;
    for (uint64_t n = 0, g = (home + turn) % groups; n < groups; n++, g = g + 1 < groups ? g + 1 : 0)
        if (take_hinted(x, g, owner, out)) {
            if (n)
                amxi_st32_rlx(rotor, (uint32_t)((turn + n) % groups)); /* of the view; any value will do */
            return true;
        }
    for (uint64_t g = 0; g < groups; g++)
        if (take_swept(x, g, owner, out))
            return true;
    amxi_pool_raise_high(x, x->count);
    return false;
}

/* A class: its own slots, then those of its extents. */
static int take_class(struct amx_pool *p, uint32_t c, uint32_t owner, amx_slot *out)
{
    uint32_t k = c, known = p->parts;
    for (;;) {
        if (p->part[k].class_index == c) {
            int e = touch(p, &p->part[k]);
            if (e || take(&p->part[k], owner, out))
                return e;
        }
        k = k < p->n ? p->n : k + 1;
        if (k >= known && !amxi_pool_more(p, c))
            break;
        known = p->parts;
    }
    (void)amxi_add64_rlx(&amxi_pool_class_of(&p->part[c])->exhausted, 1); /* a number for people */
    return AMX_E_NOMEM;
}

int amx_pool_alloc(struct amx_pool *pool, size_t size, amx_id owner, amx_slot *out)
{
    uint32_t tag = 0;
    int e = out ? amxi_pool_admit(pool, AMXI_POOL_WRITE) : AMX_E_INVAL;
    if (!e)
        e = owner_of(pool, owner, &tag);
    if (e)
        return e;
    uint32_t c = 0;
    while (c < pool->n && pool->part[c].slot_size < size)
        c++;
    if (c == pool->n)
        return AMX_E_TOO_BIG;
    for (e = AMX_E_NOMEM; e == AMX_E_NOMEM && c < pool->n; c++)
        e = take_class(pool, c, tag, out);
    return e;
}

/* --- Freeing ---------------------------------------------------------------------------------------------------- */

/* The word has become FREE by an sc exchange, then we look whether somebody sleeps; who goes to sleep says so, sc, and
 * then loads the words, sc. One of the two sees the other. */
static void wake(const struct amx_pool *p)
{
    amxi_a32 *wait = &amxi_pool_head_at(p->base)->wait;
    uint32_t w = amxi_ld32_sc(wait);
    /* clears the flag and changes the word in one step. Lost: another wakes them */
    if (AMXI_UNLIKELY(w & 1) && amxi_cas32_sc(wait, &w, w + 1))
        amxi_os_futex_wake_all(wait);
}

static void now_free(const struct amx_pool *p, const struct amx_pool_part *x, uint32_t i)
{
    /* 2 pairs with the and in take_hinted: who takes the hint sees the word */
    (void)amxi_or64_rel(amxi_pool_hint_at(x, i / 64), UINT64_C(1) << (i & 63));
    wake(p);
}

int amx_pool_free(struct amx_pool *pool, amx_slot slot)
{
    struct at at;
    int e = amxi_pool_admit(pool, AMXI_POOL_WRITE);
    if (e || (e = locate(pool, slot, &at)))
        return e;
    for (int n = 0; n < LOSSES; n++) {
        uint32_t state = AMXI_W0_STATE(at.w);
        if (!amxi_state_live(state) && state != AMX_STATE_FREE)
            return AMX_E_CORRUPT;
        if (AMXI_W0_LIFE(at.w) != AMXI_SLOT_GEN(slot))
            return AMX_E_STALE;
        if (state == AMX_STATE_FREE)
            return AMX_E_DOUBLE_FREE;
        /* 1 releases to the next owner (take_word). sc: see wake */
        if (amxi_cas64_sc(at.word, &at.w, AMXI_W0(AMX_STATE_FREE, 0, AMXI_W0_GEN(at.w)))) {
            now_free(pool, at.x, at.i);
            return AMX_OK;
        }
    }
    return AMX_E_BUSY;
}

#define WAIT_SLICE_NS UINT64_C(100000000)

static int passing(int e) /* not an answer yet */
{
    return e == AMX_E_NOMEM;
}

int amx_pool_alloc_wait(struct amx_pool *pool, size_t size, amx_id owner, uint64_t timeout_ns, amx_slot *out)
{
    uint64_t start = amxi_os_mono_ns();
    for (;;) {
        int e = amx_pool_alloc(pool, size, owner, out);
        if (!passing(e))
            return e;
        amxi_a32 *wait = &amxi_pool_head_at(pool->base)->wait;
        uint32_t w = amxi_or32_sc(wait, 1) | 1; /* announce, then look again: see wake */
        e = amx_pool_alloc(pool, size, owner, out);
        if (!passing(e))
            return e;
        uint64_t past = amxi_os_mono_ns() - start;
        if (past >= timeout_ns)
            return AMX_E_TIMEOUT;
        uint64_t left = timeout_ns - past;
        amxi_os_futex_wait(wait, w, left < WAIT_SLICE_NS ? left : WAIT_SLICE_NS);
    }
}

/* --- Ownership and states --------------------------------------------------------------------------------------- */

static int change(struct amx_pool *p, amx_slot slot, struct amxi_change *c, struct at *at)
{
    int e = find(p, slot, AMXI_POOL_WRITE, at);
    return e ? e : amxi_word_change(at->word, &at->w, AMXI_SLOT_GEN(slot), c);
}

int amx_pool_publish(struct amx_pool *pool, amx_slot slot)
{
    struct at at;
    struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, 0, false, true, false, AMX_SEQ_CST, 0};
    return change(pool, slot, &c, &at);
}

int amx_pool_adopt(struct amx_pool *pool, amx_slot slot, amx_id owner)
{
    struct at at;
    struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, 0, true, false, false, AMX_SEQ_CST, 0};
    int e = find(pool, slot, AMXI_POOL_WRITE, &at);
    if (e || (e = owner_of(pool, owner, &c.owner)) || (e = touch(pool, at.x)))
        return e;
    return amxi_word_change(at.word, &at.w, AMXI_SLOT_GEN(slot), &c);
}

int amx_pool_give(struct amx_pool *pool, amx_slot slot, amx_id to, amx_slot *out)
{
    struct at at;
    int e = out ? find(pool, slot, AMXI_POOL_WRITE, &at) : AMX_E_INVAL;
    if (e)
        return e;
    if (pool->h) {
        e = amxi_word_give(pool->h, at.x->object, at.word, &at.w, AMXI_SLOT_GEN(slot), to);
    } else {
        struct amxi_change c = {AMXI_CHANGE_ANY, AMXI_CHANGE_ANY, (uint32_t)to, false, false, true, AMX_SEQ_CST, 0};
        e = to && to <= AMX_POOL_OWNER_MAX ? amxi_word_change(at.word, &at.w, AMXI_SLOT_GEN(slot), &c) : AMX_E_INVAL;
    }
    if (!e || e == AMX_E_PEER_DEAD)
        *out = amxi_pool_slot_of(at.x, at.i, at.w);
    return e;
}

int amx_pool_owner(const struct amx_pool *pool, amx_slot slot, amx_id *out)
{
    struct at at;
    bool dead;
    int e = out ? find(pool, slot, AMXI_POOL_READ, &at) : AMX_E_INVAL;
    if (!e)
        *out = pool->h ? amxi_word_owner(pool->h, AMXI_W0_OWNER(at.w), &dead) : AMXI_W0_OWNER(at.w);
    return e;
}

int amx_pool_get_state(const struct amx_pool *pool, amx_slot slot, uint32_t *out)
{
    struct at at;
    int e = out ? find(pool, slot, AMXI_POOL_READ, &at) : AMX_E_INVAL;
    if (!e)
        *out = AMXI_W0_STATE(at.w);
    return e;
}

int amx_pool_set_state(struct amx_pool *pool, amx_slot slot, uint32_t state)
{
    struct at at;
    struct amxi_change c = {AMXI_CHANGE_ANY, state, AMXI_CHANGE_ANY, false, false, false, AMX_SEQ_CST, 0};
    if (state > AMX_STATE_MAX)
        return AMX_E_INVAL;
    return state < AMX_STATE_USER_MIN ? AMX_E_RESERVED : change(pool, slot, &c, &at);
}

int amx_pool_transition(struct amx_pool *pool, amx_slot slot, uint32_t expected, uint32_t next, uint32_t *observed)
{
    struct at at;
    struct amxi_change c = {expected, next, AMXI_CHANGE_ANY, false, false, false, AMX_SEQ_CST, 0};
    if (expected > AMX_STATE_MAX || next > AMX_STATE_MAX)
        return AMX_E_INVAL;
    if (expected < AMX_STATE_USER_MIN || next < AMX_STATE_USER_MIN)
        return AMX_E_RESERVED;
    int e = change(pool, slot, &c, &at);
    if (observed && (!e || e == AMX_E_STATE))
        *observed = e ? AMXI_W0_STATE(at.w) : expected;
    return e;
}

/* --- Death ------------------------------------------------------------------------------------------------------ */

int amx_pool_recover(struct amx_pool *pool, amx_id owner, uint64_t *freed_out, uint64_t *kept_out)
{
    int e = amxi_pool_admit(pool, AMXI_POOL_WRITE);
    if (e || pool->h || !owner || owner > AMX_POOL_OWNER_MAX)
        return e ? e : AMX_E_INVAL;
    uint64_t n[2] = {0, 0};
    for (uint32_t c = 0; c < pool->n; c++)
        for (uint32_t i = 0; i < pool->part[c].count; i++) {
            amxi_a64 *word = amxi_pool_word_at(&pool->part[c], i);
            uint64_t w = amxi_ld64_acq(word);   /* pairs with the exchange that made it the dead one's */
            while (AMXI_W0_OWNER(w) == owner) { /* ends: the dead one takes no more, a gift to him is freed too */
                bool kept = AMXI_W0_STATE(w) >= AMX_STATE_KEPT;
                uint64_t to = AMXI_W0(kept ? AMXI_W0_STATE(w) : AMX_STATE_FREE, 0, AMXI_W0_GEN(w));
                if (!amxi_cas64_sc(word, &w, to)) /* as in amx_pool_free */
                    continue;
                n[kept]++;
                if (!kept)
                    now_free(pool, &pool->part[c], i);
                break;
            }
        }
    if (freed_out)
        *freed_out = n[0];
    if (kept_out)
        *kept_out = n[1];
    return AMX_OK;
}

int amx_pool_kept(const struct amx_pool *pool, const struct amx_kept *kept, amx_slot *out)
{
    int e = kept && out ? amxi_pool_admit_all(pool, AMXI_POOL_READ) : AMX_E_INVAL;
    if (e || !pool->h || kept->how != AMX_KEPT_WORD)
        return e ? e : AMX_E_INVAL;
    for (uint32_t k = 0; k < pool->parts; k++) {
        const struct amx_pool_part *x = &pool->part[k];
        uint32_t i = kept->slot - x->word;
        if (kept->ref != x->block || kept->object != (uint32_t)(x->object & 0xff) || kept->slot < x->word ||
            i >= x->count)
            continue;
        uint64_t w = amxi_ld64_acq(amxi_pool_word_at(x, i)); /* as in locate */
        if (!amxi_state_live(AMXI_W0_STATE(w)))
            return AMX_E_STALE;
        *out = amxi_pool_slot_of(x, i, w);
        return AMX_OK;
    }
    return AMX_E_INVAL;
}
