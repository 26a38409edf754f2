/* SPDX-License-Identifier: Apache-2.0 */
/* Pools looked at: walk, numbers, validator. Relaxed samples; who follows a reference acquires. */
#include "amx_object.h"
#include "slot.h"
#include "word.h"

#include <stdarg.h>
#include <stdio.h>

static bool in_use(const struct amx_pool *p, uint32_t state)
{
    return p->flags & AMXI_POOL_MESSAGES ? amxi_slot_live(state) : amxi_state_live(state);
}

/* --- Looking ----------------------------------------------------------------------------------------------------- */

/* Of the arena's slots: of their blocks, if they have one. */
static uint64_t bytes_of(const struct amx_pool *p, const struct amx_pool_part *x, uint32_t i, uint64_t w)
{
    amx_ref block;
    size_t bytes;
    if (!amxi_pool_of_arena(x))
        return x->slot_size;
    return amxi_state_live(AMXI_W0_STATE(w)) && !amxi_pool_block(p, x, i, w, &block, &bytes) ? bytes : 0;
}

int amx_pool_walk(const struct amx_pool *pool, amx_pool_walk_fn *fn, void *ctx)
{
    int e = fn ? amxi_pool_admit_all(pool, AMXI_POOL_READ) : AMX_E_INVAL;
    for (uint32_t k = 0; !e && k < pool->parts; k++) {
        const struct amx_pool_part *x = &pool->part[k];
        for (uint32_t i = 0; !e && i < x->count; i++) {
            uint64_t w = amxi_ld64_acq(amxi_pool_word_at(x, i)), bytes = bytes_of(pool, x, i, w);
            struct amx_pool_slot s = {.struct_size = sizeof s,
                                      .ref =
                                          in_use(pool, AMXI_W0_STATE(w)) ? amxi_pool_slot_of(x, i, w) : AMX_SLOT_NONE,
                                      .class_index = x->class_index,
                                      .index = x->first + i,
                                      .bytes = bytes,
                                      .state = AMXI_W0_STATE(w),
                                      .owner = AMXI_W0_OWNER(w),
                                      .generation = AMXI_W0_GEN(w)};
            e = fn(&s, ctx);
        }
    }
    return e;
}

int amx_pool_stat(const struct amx_pool *pool, uint32_t class_index, struct amx_pool_stats *out)
{
    int e = out && out->struct_size == sizeof *out ? amxi_pool_admit_all(pool, AMXI_POOL_READ) : AMX_E_INVAL;
    if (e || class_index >= pool->n)
        return e ? e : AMX_E_INVAL;
    struct amx_pool_stats s = {.struct_size = sizeof s, .slot_size = pool->part[class_index].slot_size};
    for (uint32_t k = 0; k < pool->parts; k++) {
        const struct amx_pool_part *x = &pool->part[k];
        if (x->class_index != class_index)
            continue;
        uint32_t used = 0;
        for (uint32_t i = 0; i < x->count; i++) {
            uint64_t w = amxi_ld64_rlx(amxi_pool_word_at(x, i));
            bool live = in_use(pool, AMXI_W0_STATE(w));
            used += live || AMXI_W0_STATE(w) == AMX_STATE_CACHED;
            s.bytes += live ? bytes_of(pool, x, i, w) : 0;
            s.published += live && !AMXI_W0_OWNER(w);
            s.kept += live && AMXI_W0_STATE(w) >= AMX_STATE_KEPT;
        }
        uint64_t high = amxi_ld64_rlx(&amxi_pool_class_of(x)->high);
        if (used > high && !amxi_pool_admit(pool, AMXI_POOL_WRITE))
            amxi_pool_raise_high(x, used);
        s.extents += k >= pool->n;
        s.count += x->count;
        s.used += used;
        s.high += high > x->count ? x->count : high > used ? (uint32_t)high : used;
    }
    s.exhausted = amxi_ld64_rlx(&amxi_pool_class_of(&pool->part[class_index])->exhausted);
    *out = s;
    return AMX_OK;
}

int amx_pool_used_by(const struct amx_pool *pool, amx_id owner, uint64_t *out)
{
    int e = out ? amxi_pool_admit_all(pool, AMXI_POOL_READ) : AMX_E_INVAL;
    if (e || !owner)
        return e ? e : AMX_E_INVAL;
    bool dead;
    uint32_t tag = AMX_OBJECT_OWNER(owner);
    bool is = pool->h ? amxi_word_owner(pool->h, tag, &dead) == owner : owner == tag;
    *out = is ? amxi_pool_count(pool, tag) : 0;
    return AMX_OK;
}

/* --- Checking --------------------------------------------------------------------------------------------------- */

struct check {
    amx_check_fn *fn;
    void *ctx;
    const struct amx_pool *p;
    const struct amx_pool_part *x;
    struct amx_pool_check_result sum;
    amx_id asked; /* whether his process is gone */
    bool gone;
    int stop;
};

__attribute__((format(printf, 5, 6))) static void remark(struct check *k, enum amx_grade grade, const char *rule,
                                                         const void *where, const char *fmt, ...)
{
    char text[160];
    va_list ap;
    if (k->stop)
        return;
    *(grade == AMX_GRADE_NOTE ? &k->sum.notes : grade == AMX_GRADE_UNDONE ? &k->sum.undone : &k->sum.corrupt) += 1;
    if (!k->fn)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct amx_finding f = {grade, UINT32_MAX, (uint64_t)((const unsigned char *)where - k->x->base), rule, text};
    k->stop = k->fn(&f, k->ctx);
}

/* A slot of the arena: FREE words own no block, live ones a block that is nobody's. What changes meanwhile is no finding. */
static void check_cell(struct check *k, uint32_t i, uint64_t w)
{
    const struct amx_pool_part *x = k->x;
    amxi_a64 *cell = amxi_pool_cell_at(x, i), *word = amxi_pool_word_at(x, i);
    uint32_t c = x->class_index, at = x->first + i;
    amx_ref block = amxi_ld64_rlx(cell); /* this and the second looks: as in amxi_pool_block */
    if (AMXI_W0_STATE(w) == AMX_STATE_FREE) {
        if (block && amxi_ld64_again(word) == w)
            remark(k, AMX_GRADE_CORRUPT, "pool cell", cell, "class %u slot %u is free and has a block", c, at);
        return;
    }
    amx_id owner;
    int e = amx_owner(k->p->h, block, &owner);
    if ((e || owner) && amxi_ld64_again(word) == w && amxi_ld64_rlx(cell) == block)
        remark(k, AMX_GRADE_CORRUPT, "pool cell", cell, "class %u slot %u is in use and has no block of its own", c,
               at);
}

/* Is the owner dead, whether or not somebody has found it? */
static bool owner_dead(struct check *k, uint32_t tag)
{
    bool dead;
    amx_id id = amxi_word_owner(k->p->h, tag, &dead);
    if (dead || !id)
        return dead;
    if (k->asked != id) {
        k->gone = amxi_word_gone(k->p->h, id);
        k->asked = id;
    }
    return k->gone;
}

static void check_word(struct check *k, uint32_t i)
{
    const struct amx_pool_part *x = k->x;
    amxi_a64 *word = amxi_pool_word_at(x, i);
    uint64_t w = amxi_ld64_acq(word); /* its cell is not older: as in bytes_of */
    uint32_t state = AMXI_W0_STATE(w), owner = AMXI_W0_OWNER(w), c = x->class_index, at = x->first + i;
    bool midway =
        amxi_pool_of_arena(x) && state == AMX_STATE_CACHED && owner; /* being made or freed: its cell is his */
    k->sum.slots++;
    if (amxi_pool_of_arena(x) && (amxi_state_live(state) || state == AMX_STATE_FREE))
        check_cell(k, i, w);
    if (state == AMX_STATE_FREE) {
        if (owner)
            remark(k, AMX_GRADE_CORRUPT, "pool word", word, "class %u slot %u is free and of owner %u", c, at, owner);
        else if (!(amxi_ld64_rlx(amxi_pool_hint_at(x, i / 64)) >> (i & 63) & 1) && amxi_ld64_rlx(word) == w)
            remark(k, AMX_GRADE_NOTE, "pool hint", amxi_pool_hint_at(x, i / 64),
                   "class %u slot %u is free without a hint", c, at);
        return;
    }
    k->sum.used++;
    if (!in_use(k->p, state) && !midway) {
        remark(k, AMX_GRADE_CORRUPT, "pool word", word, "class %u slot %u is in state %u", c, at, state);
        return;
    }
    bool dead = false;
    if (k->p->h && owner)
        dead = owner_dead(k, owner);
    else if (owner > AMX_POOL_OWNER_MAX)
        remark(k, AMX_GRADE_CORRUPT, "pool word", word, "class %u slot %u is of owner %u", c, at, owner);
    if (dead && amxi_ld64_rlx(word) == w) /* still his: he was dead while he had it */
        remark(k, AMX_GRADE_UNDONE, "pool word", word, "class %u slot %u is of handle %u, which is dead", c, at, owner);
}

static void check_part(struct check *k, const struct amx_pool_part *x)
{
    uint32_t c = x->class_index;
    struct amx_pool_config config;
    struct amx_pool_offsets l;
    k->x = x;
    bool same = !amxi_pool_read_head(x->base, x->bytes, &config, &l) && x->entry < config.n &&
                config.flags == (k->p->flags & ~AMXI_POOL_MESSAGES) &&
                config.n == (x->block && x->first ? 1 : k->p->n) && l.cls[x->entry].words == x->words &&
                config.cls[x->entry].slot_size == x->slot_size && config.cls[x->entry].count == x->count;
    if (!same)
        remark(k, AMX_GRADE_CORRUPT, "pool head", x->base, "class %u: the head does not say what it said at attach", c);
    for (uint32_t i = 0; i < x->count && !k->stop; i++)
        check_word(k, i);
    for (uint32_t i = x->count; i & 7; i++)
        if (amxi_ld64_rlx(amxi_pool_word_at(x, i)))
            remark(k, AMX_GRADE_CORRUPT, "pool word", amxi_pool_word_at(x, i),
                   "class %u has a word beyond its last slot", c);
    uint64_t last = amxi_pool_groups_of(x->count) - 1;
    if (amxi_ld64_rlx(amxi_pool_hint_at(x, last)) & ~amxi_pool_mask(amxi_pool_group_size(x, last)))
        remark(k, AMX_GRADE_CORRUPT, "pool hint", amxi_pool_hint_at(x, last),
               "class %u has a hint beyond its last slot", c);
    if (amxi_ld64_rlx(&amxi_pool_class_of(x)->high) > x->count)
        remark(k, AMX_GRADE_CORRUPT, "pool high", amxi_pool_class_of(x), "class %u had more in use than it has", c);
}

int amx_pool_check(const struct amx_pool *pool, amx_check_fn *fn, void *ctx, struct amx_pool_check_result *out)
{
    int e = amxi_pool_admit_all(pool, AMXI_POOL_READ);
    if (e || (out && out->struct_size != sizeof *out))
        return e ? e : AMX_E_INVAL;
    struct check k = {.fn = fn, .ctx = ctx, .p = pool, .sum = {.struct_size = sizeof k.sum}};
    for (uint32_t i = 0; i < pool->parts && !k.stop; i++)
        check_part(&k, &pool->part[i]);
    if (out)
        *out = k.sum;
    return k.stop ? k.stop : k.sum.corrupt ? AMX_E_CORRUPT : AMX_OK;
}
