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
 *
 * Slots of the arena have a block each, named by a cell. Who makes or frees one has the word meanwhile: CACHED, his. Nobody
 * else who lives changes the word or the cell then, and if he dies, recovery does (recover.c, purge_object).
 *
 * | making a slot                                  | killed behind it: the word is CACHED, a dead one's; the block      |
 * |------------------------------------------------|--------------------------------------------------------------------|
 * | 1 word FREE -> CACHED, mine, next generation   | there is none, the cell is 0                                       |
 * | 2 a block of the arena: mine, private          | falls as any private block                                         |
 * | 3 the cell names it                            | falls twice over: as his, and by the cell; the generation tells    |
 * | 4 the block is nobody's                        | falls by the cell                                                  |
 * | 5 word CACHED -> ALLOCATED, mine               | (the word is his, ALLOCATED:) recovery does the right side         |
 *
 * | freeing it, by anybody's call                  | killed behind it                                                   |
 * |------------------------------------------------|--------------------------------------------------------------------|
 * | 1 word: the life of the reference -> CACHED, mine | CACHED, a dead one's: recovery goes on with 2                   |
 * | 2 the block is freed                           | the same; it finds the block stale                                 |
 * | 3 the cell is 0                                | the same; it goes on with 4                                        |
 * | 4 word CACHED -> FREE                          | a free slot without a hint, as above                               |
 *
 * So a block that a cell names lives in no FREE word, and nobody frees a block by a cell but who has made its word CACHED
 * or finds it CACHED and a dead one's, before and after he has read the cell. Such a word never becomes live again, so
 * what he frees is what its last life owned, or stale by its generation; however late he comes.
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
static int touch(amx_t *h, const struct amx_pool_part *x)
{
    return h ? amx_object_touch(h, x->object) : AMX_OK;
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

static bool legal(const struct amx_pool_part *x, uint32_t state)
{
    return amxi_state_live(state) || state == AMX_STATE_FREE || (state == AMX_STATE_CACHED && amxi_pool_of_arena(x));
}

static int find(const struct amx_pool *p, amx_slot slot, enum amxi_pool_use use, struct at *at)
{
    int e = amxi_pool_admit(p, use);
    if (e || (e = locate(p, slot, at)))
        return e;
    uint32_t state = AMXI_W0_STATE(at->w);
    if (!legal(at->x, state))
        return AMX_E_CORRUPT;
    return !amxi_state_live(state) || AMXI_W0_LIFE(at->w) != AMXI_SLOT_GEN(slot) ? AMX_E_STALE : AMX_OK;
}

int amxi_pool_block(const struct amx_pool *p, const struct amx_pool_part *x, uint32_t i, uint64_t w, amx_ref *block,
                    size_t *bytes)
{
    *block = amxi_ld64_rlx(amxi_pool_cell_at(x, i)); /* not older than w, which was acquired */
    int e = amx_usable(p->h, *block, bytes);
    /* still that life which cell and block were of? Pairs with amxi_entered in furnish, let_go and free_owned */
    uint64_t now = amxi_ld64_again(amxi_pool_word_at(x, i));
    if (AMXI_W0_GEN(now) != AMXI_W0_GEN(w) || !amxi_state_live(AMXI_W0_STATE(now)))
        return AMX_E_STALE;
    return e ? AMX_E_CORRUPT : AMX_OK; /* freed behind the pool's back, or damaged */
}

int amx_pool_ptr(const struct amx_pool *pool, amx_slot slot, void **out, size_t *bytes)
{
    struct at at;
    int e = out ? find(pool, slot, AMXI_POOL_READ, &at) : AMX_E_INVAL;
    if (e)
        return e;
    size_t n = at.x->slot_size;
    if (AMXI_UNLIKELY(amxi_pool_of_arena(at.x))) {
        amx_ref block;
        e = amxi_pool_block(pool, at.x, at.i, at.w, &block, &n);
        if (e || (e = amx_ptr(pool->h, block, out)))
            return e;
    } else {
        *out = amxi_pool_data_at(at.x, at.i);
    }
    if (bytes)
        *bytes = n;
    return AMX_OK;
}

void *amx_pool_ptr_unchecked(const struct amx_pool *pool, amx_slot slot)
{
    struct at at;
    void *p;
    if (amxi_pool_admit(pool, AMXI_POOL_READ) || !where(pool, slot, &at))
        return NULL;
    if (!amxi_pool_of_arena(at.x))
        return amxi_pool_data_at(at.x, at.i);
    /* relaxed: who has the slot knows of its block */
    return amx_ptr(pool->h, amxi_ld64_rlx(amxi_pool_cell_at(at.x, at.i)), &p) ? NULL : p;
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
        if (AMXI_POOL_WORD_FREE(amxi_ld64_rlx(amxi_pool_word_at(x, g * 64 + k)))) {
            found |= UINT64_C(1) << k;
            used--;
        }
    if (found & ~amxi_ld64_rlx(amxi_pool_hint_at(x, g)))
        /* relaxed: among the living who freed it sets the hint too, before this or after it. May lie by now */
        (void)amxi_or64_rlx(amxi_pool_hint_at(x, g), found);
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

uint64_t amxi_pool_count(const struct amx_pool *p, uint32_t owner)
{
    uint64_t n = 0;
    for (uint32_t k = 0; k < p->parts; k++)
        for (uint32_t i = 0; i < p->part[k].count; i++)
            n += AMXI_W0_OWNER(amxi_ld64_rlx(amxi_pool_word_at(&p->part[k], i))) == owner;
    return n;
}

/* --- Taking ----------------------------------------------------------------------------------------------------- */

static bool take_word(const struct amx_pool_part *x, uint64_t i, uint32_t owner, uint64_t w, amx_slot *out)
{
    uint32_t state = amxi_pool_of_arena(x) ? AMX_STATE_CACHED : AMX_STATE_ALLOCATED;
    uint64_t to = AMXI_W0(state, owner, AMXI_W0_GEN(w) + 1);
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
        (void)amxi_or64_rlx(amxi_pool_hint_at(x, g), found); /* as in settle */
    return true;
}

static bool take(struct amx_pool_part *x, uint32_t owner, amx_slot *out)
{
    uint64_t groups = amxi_pool_groups_of(x->count);
    amxi_a32 *rotor = (amxi_a32 *)(void *)&x->rotor;
    /* Owners begin apart, so that they share no line of words, and go on where they found something. */
    uint64_t turn = amxi_ld32_rlx(rotor), home = (uint64_t)(owner * UINT32_C(0x9e3779b1)) * groups >> 32;
    uint64_t g = home + turn < groups ? home + turn : home + turn - groups; /* no division */
    for (uint64_t n = 0; n < groups; n++, g = g + 1 < groups ? g + 1 : 0)
        if (take_hinted(x, g, owner, out)) {
            if (n)
                amxi_st32_rlx(rotor, (uint32_t)(turn + n < groups ? turn + n : turn + n - groups)); /* of the view */
            return true;
        }
    for (g = 0; g < groups; g++)
        if (take_swept(x, g, owner, out))
            return true;
    amxi_pool_raise_high(x, x->count);
    return false;
}

int amxi_slot_take(amx_t *h, struct amx_pool_part *x, uint32_t owner, amx_slot *out)
{
    int e = touch(h, x);
    return e ? e : take(x, owner, out) ? AMX_OK : AMX_E_NOMEM;
}

/* A class: its own slots, then those of its extents. */
static int take_class(struct amx_pool *p, uint32_t c, uint32_t owner, amx_slot *out)
{
    uint32_t k = c, known = p->parts;
    for (;;) {
        if (p->part[k].class_index == c) {
            int e = amxi_slot_take(p->h, &p->part[k], owner, out);
            if (e != AMX_E_NOMEM)
                return e;
        }
        k = k < p->n ? p->n : k + 1;
        if (k >= known && !amxi_pool_more(p, c))
            break;
        known = p->parts;
    }
    amxi_slot_exhausted(&p->part[c]);
    return AMX_E_NOMEM;
}

/* --- Quota ------------------------------------------------------------------------------------------------------ */

/* Of the view: how many more slots its owner may take before the words are counted again. Owner 12, left 20, quota 32. */
#define ROOM(owner, left, quota) ((uint64_t)(owner) | (uint64_t)(left) << 12 | (uint64_t)(quota) << 32)
#define ROOM_ONE                 ROOM(0, 1, 0)
#define ROOM_LEFT(r)             ((uint32_t)((r) >> 12 & 0xfffff))
#define ROOM_MAX                 0xfffffu
#define ROOM_SHARE               8u /* of what is left: so much may be taken uncounted */

/* May the owner have one more? The words are the truth: nothing that a death could leave wrong. Counting them all each time
 * would cost too much, hence the room. */
static int within_quota(struct amx_pool *p, uint32_t owner)
{
    uint32_t most = amxi_ld32_rlx(&amxi_pool_head_at(p->base)->quota);
    if (AMXI_LIKELY(!most))
        return AMX_OK;
    amxi_a64 *room = (amxi_a64 *)(void *)&p->room; /* of the view: all relaxed */
    uint64_t was = amxi_ld64_rlx(room);
    while (ROOM_LEFT(was) && (was & ~ROOM(0, ROOM_MAX, 0)) == ROOM(owner, 0, most))
        if (amxi_cas64_rlx(room, &was, was - ROOM_ONE)) /* lost: another thread took one of them */
            return AMX_OK;
    (void)amxi_pool_admit_all(p, AMXI_POOL_WRITE); /* extents too */
    uint64_t has = amxi_pool_count(p, owner);
    if (has >= most)
        return AMX_E_QUOTA;
    uint64_t left = (most - has - 1) / ROOM_SHARE; /* besides this one */
    amxi_st64_rlx(room, ROOM(owner, left < ROOM_MAX ? left : ROOM_MAX, most));
    return AMX_OK;
}

int amx_pool_set_quota(struct amx_pool *pool, uint32_t most)
{
    int e = amxi_pool_admit(pool, AMXI_POOL_WRITE);
    if (!e)
        amxi_st32_rlx(&amxi_pool_head_at(pool->base)->quota, most); /* a number that all see sooner or later */
    return e;
}

int amx_pool_quota(const struct amx_pool *pool, uint32_t *out)
{
    int e = out ? amxi_pool_admit(pool, AMXI_POOL_READ) : AMX_E_INVAL;
    if (!e)
        *out = amxi_ld32_rlx(&amxi_pool_head_at(pool->base)->quota);
    return e;
}

/* --- Freeing ---------------------------------------------------------------------------------------------------- */

/* The word has become FREE by an sc exchange, or an extent was linked and registered, both sc, then we look whether somebody
 * sleeps; who goes to sleep says so, sc, and then loads the same, sc. One of the two sees the other. */
void amxi_slot_wake(unsigned char *base)
{
    amxi_a32 *wait = &amxi_pool_head_at(base)->wait;
    uint32_t w = amxi_ld32_sc(wait);
    /* clears the flag and changes the word in one step; relaxed: who announces after that looks again later than our load.
     * Lost: another wakes them */
    if (AMXI_UNLIKELY(w & 1) && amxi_cas32_rlx(wait, &w, w + 1))
        amxi_os_futex_wake_all(wait);
}

void amxi_slot_now_free(unsigned char *base, const struct amx_pool_part *x, uint32_t i)
{
    /* 2 pairs with the and in take_hinted: who takes the hint sees the word */
    (void)amxi_or64_rel(amxi_pool_hint_at(x, i / 64), UINT64_C(1) << (i & 63));
    amxi_slot_wake(base);
}

/* Freeing a slot of the arena, from 2 on. w: its word, CACHED and ours. */
static void let_go(const struct amx_pool *p, const struct amx_pool_part *x, uint32_t i, uint64_t w)
{
    amxi_a64 *cell = amxi_pool_cell_at(x, i);
    amx_ref block = amxi_ld64_rlx(cell); /* ours by the exchange that made the word so */
    amxi_entered(); /* who finds the block freed, or none, finds that the life is over: amxi_pool_block */
    if (block)
        (void)amx_free(p->h, block);   /* 2 stale: somebody did it behind the pool's back */
    amxi_st64_rlx(cell, AMX_REF_NONE); /* 3 */
    /* 4 sc: see wake; releases 3 to who takes the word next. Lost: nobody alive may have changed it */
    if (amxi_cas64_sc(amxi_pool_word_at(x, i), &w, AMXI_W0(AMX_STATE_FREE, 0, AMXI_W0_GEN(w))))
        amxi_slot_now_free(p->base, x, i);
}

void amxi_pool_clear(const struct amx_pool *p, const struct amx_pool_part *x, uint32_t i)
{
    amxi_a64 *word = amxi_pool_word_at(x, i);
    uint64_t w = amxi_ld64_rlx(word); /* relaxed, as the exchange: the caller knows that all have ended */
    if (AMXI_W0_STATE(w) == AMX_STATE_FREE || touch(p->h, x))
        return;
    uint64_t mine = AMXI_W0(AMX_STATE_CACHED, AMX_OBJECT_OWNER(amx_handle_id(p->h)), AMXI_W0_GEN(w));
    if (amxi_cas64_rlx(word, &w, mine)) /* lost: to a recovery, which frees it too */
        let_go(p, x, i, mine);
}

int amx_pool_free(struct amx_pool *pool, amx_slot slot)
{
    struct at at;
    int e = amxi_pool_admit(pool, AMXI_POOL_WRITE);
    if (e || (e = locate(pool, slot, &at)))
        return e;
    uint32_t next = AMX_STATE_FREE, owner = 0;
    if (AMXI_UNLIKELY(amxi_pool_of_arena(at.x))) {
        next = AMX_STATE_CACHED;
        owner = AMX_OBJECT_OWNER(amx_handle_id(pool->h));
        if ((e = touch(pool->h, at.x)))
            return e;
    }
    for (int n = 0; n < LOSSES; n++) {
        uint32_t state = AMXI_W0_STATE(at.w);
        if (!legal(at.x, state))
            return AMX_E_CORRUPT;
        if (AMXI_W0_LIFE(at.w) != AMXI_SLOT_GEN(slot))
            return AMX_E_STALE;
        if (!amxi_state_live(state))
            return AMX_E_DOUBLE_FREE;
        uint64_t to = AMXI_W0(next, owner, AMXI_W0_GEN(at.w));
        /* 1 releases to the next owner (take_word). sc: see wake */
        if (!amxi_cas64_sc(at.word, &at.w, to))
            continue;
        if (next == AMX_STATE_FREE)
            amxi_slot_now_free(pool->base, at.x, at.i);
        else
            let_go(pool, at.x, at.i, to);
        return AMX_OK;
    }
    return AMX_E_BUSY;
}

/* --- Allocating ------------------------------------------------------------------------------------------------- */

/* A block for the slot of the arena whose word w is CACHED and ours. */
static int furnish(const struct amx_pool *p, const struct amx_pool_part *x, uint32_t i, uint64_t w, size_t size)
{
    amx_ref block;
    amxi_entered(); /* who reads the cell, then the word again, finds that it is of this life: see amxi_pool_block */
    bool lines = p->flags & AMX_POOL_LINES && size <= SIZE_MAX - AMXI_LINE;
    int e = lines ? amx_alloc_aligned(p->h, AMXI_LINE, amxi_round_up(size, AMXI_LINE), &block)
                  : amx_alloc(p->h, size, &block); /* 2 */
    if (e)
        return e;
    amxi_st64_rlx(amxi_pool_cell_at(x, i), block); /* 3 */
    e = amxi_word_publish(p->h, block);            /* 4 */
    /* 5 releases the cell to whoever looks the slot up. Lost: nobody alive may have changed it */
    if (!e && !amxi_cas64_rel(amxi_pool_word_at(x, i), &w, w - AMX_STATE_CACHED + AMX_STATE_ALLOCATED))
        e = AMX_E_CORRUPT;
    return e;
}

static int make(struct amx_pool *p, uint32_t c, size_t size, uint32_t owner, amx_slot *out)
{
    amx_slot slot;
    struct at at;
    int e = take_class(p, c, owner, &slot); /* 1 */
    if (e || (e = locate(p, slot, &at)))
        return e;
    e = furnish(p, at.x, at.i, at.w, size);
    if (e)
        let_go(p, at.x, at.i, at.w);
    else
        *out = slot;
    return e;
}

int amx_pool_alloc(struct amx_pool *pool, size_t size, amx_id owner, amx_slot *out)
{
    uint32_t tag = 0;
    int e = out ? amxi_pool_admit(pool, AMXI_POOL_WRITE) : AMX_E_INVAL;
    if (!e)
        e = owner_of(pool, owner, &tag);
    if (e)
        return e;
    uint32_t first = 0, classes = pool->n - amxi_pool_of_arena(&pool->part[pool->n - 1]);
    while (first < classes && pool->part[first].slot_size < size)
        first++;
    if (first == pool->n)
        return AMX_E_TOO_BIG;
    if ((e = within_quota(pool, tag)))
        return e;
    for (int round = 0; round < 2; round++) {
        e = first < classes ? AMX_E_NOMEM : make(pool, first, size, tag, out);
        for (uint32_t c = first; e == AMX_E_NOMEM && c < classes; c++)
            e = take_class(pool, c, tag, out);
        if (e != AMX_E_NOMEM || !pool->h || round || !amxi_word_recover(pool->h)) /* the dead had some: once more */
            break;
    }
    return e;
}

#define WAIT_SLICE_NS UINT64_C(100000000)

static bool passing(int e) /* not an answer yet */
{
    return e == AMX_E_NOMEM || e == AMX_E_BUSY || e == AMX_E_QUOTA;
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
    if (e || (e = owner_of(pool, owner, &c.owner)) || (e = within_quota(pool, c.owner)) || (e = touch(pool->h, at.x)))
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
            uint64_t w = amxi_ld64_rlx(word);   /* the exchange orders */
            while (AMXI_W0_OWNER(w) == owner) { /* ends: the dead one takes no more, a gift to him is freed too */
                bool kept = AMXI_W0_STATE(w) >= AMX_STATE_KEPT;
                uint64_t to = AMXI_W0(kept ? AMXI_W0_STATE(w) : AMX_STATE_FREE, 0, AMXI_W0_GEN(w));
                if (!amxi_cas64_sc(word, &w, to)) /* as in amx_pool_free */
                    continue;
                n[kept]++;
                if (!kept)
                    amxi_slot_now_free(pool->base, &pool->part[c], i);
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
        uint64_t w = amxi_ld64_rlx(amxi_pool_word_at(x, i)); /* who looks into the slot locates it */
        if (!amxi_state_live(AMXI_W0_STATE(w)))
            return AMX_E_STALE;
        *out = amxi_pool_slot_of(x, i, w);
        return AMX_OK;
    }
    return AMX_E_INVAL;
}
