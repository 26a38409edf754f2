/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots in a scene: the list of all that live in its pool, what the calls of P and Q make of it, and the oracle. The second
 * half of scene.h, which includes this.
 */
#ifndef AMX_TEST_POOL_SCENE_H
#define AMX_TEST_POOL_SCENE_H

enum { POOL_BASE = 64, STRANGE = 9 }; /* STRANGE: owner outside of segments, nobody's of the play */
static const struct amx_pool_class pool_cls[2] = {{16, 65}, {32, 3}}, arena_cls[2] = {{16, 3}, {AMX_POOL_ARENA, 12}};

static inline struct slot *stake_slot(struct slot *s);

/* --- The pool --------------------------------------------------------------------------------------------------- */

/* How an owner stands in the words, and what calls are to be told. */
static inline uint32_t slot_tag(int who)
{
    return sc.pool.plain ? (uint32_t)who + 1 : sc.tag[who];
}

static inline amx_id slot_owner(int who)
{
    return sc.pool.plain ? (amx_id)who + 1 : AMX_POOL_SELF;
}

/* A view of the test's own. */
static inline int pool_seen_by(const amx_t *h, struct amx_pool *p)
{
    void *region;
    size_t len;
    if (!sc.pool.plain)
        return amx_pool_attach_block((amx_t *)(uintptr_t)h, sc.pool.block, sc.pool.base, NULL, p);
    int e = amx_ptr(h, sc.pool.block, &region);
    if (!e)
        e = amx_usable(h, sc.pool.block, &len);
    return e ? e : amx_pool_attach(region, len, sc.pool.base, NULL, p);
}

static inline uint32_t pool_slots(const struct amx_pool *p)
{
    uint32_t n = 0;
    for (uint32_t c = 0; c < amx_pool_class_count(p); c++) {
        struct amx_pool_stats s = {.struct_size = sizeof s};
        ok(amx_pool_stat(p, c, &s));
        n += s.count;
    }
    return n;
}

static inline void pool_attach(int who)
{
    ok(ASK(who, NULL, .verb = sc.pool.plain ? V_POOL_PLAIN_ATTACH : V_POOL_ATTACH, .ref = sc.pool.block,
           .offset = sc.pool.base));
}

/* A block whose payload is not a stamp. */
static inline unsigned add_bare(int who, amx_ref ref)
{
    assert_true(sc.n < BLOCKS);
    sc.item[sc.n] = (struct item){.ref = ref,
                                  .state = AMX_STATE_ALLOCATED,
                                  .tag = who == NOBODY ? 0 : sc.tag[who],
                                  .peer = who == NOBODY ? NOBODY : peer_of[who]};
    return sc.n++;
}

/* The blocks of extents, those too that were begun and do not count. Returns how many. */
static inline unsigned extents_of(const struct amx_pool *p, amx_ref *block)
{
    unsigned n = 0;
    (void)pool_slots(p); /* notes them */
    for (uint32_t k = p->n; k < p->parts; k++)
        block[n++] = p->part[k].block;
    for (uint32_t c = 0; c < p->n; c++) {
        const struct amx_pool_part *last = &p->part[c];
        void *m;
        for (uint32_t k = p->n; k < p->parts; k++)
            last = p->part[k].class_index == c ? &p->part[k] : last;
        amx_ref begun = amxi_ld64_acq(&amxi_pool_class_of(last)->next); /* pairs with the exchange in amx_pool_extend */
        if (begun && !amx_ptr(sc.look, begun, &m))
            block[n++] = begun;
    }
    return n;
}

static inline void list_extents(void)
{
    struct amx_pool p;
    amx_ref block[AMX_POOL_EXTENTS + 2];
    ok(pool_seen_by(sc.look, &p));
    sc.pool.total = pool_slots(&p);
    for (unsigned n = extents_of(&p, block); n-- > 0;)
        if (find_item(block[n]) == sc.n)
            add_bare(NOBODY, block[n]);
}

static inline void pool_is_there(amx_ref block, uint64_t base, bool plain)
{
    sc.pool.block = block;
    sc.pool.base = base;
    sc.pool.plain = plain;
    sc.pool.at_stake = false;
    sc.pool.total = sc.pool.arena ? arena_cls[0].count + arena_cls[1].count : pool_cls[0].count + pool_cls[1].count;
    for (int who = P2; who < HANDLES; who++)
        pool_attach(who);
}

#define POOL_OF_TWO .cls = {pool_cls[0], pool_cls[1]}

/* false: no memory. */
static inline bool create_pool_of(const char *op, const struct amx_pool_class *cls)
{
    struct call c = {.verb = V_POOL_CREATE, .cls = {cls[0], cls[1]}};
    sc.more = 1;
    int e = act(P, op, &c);
    sc.more = 0;
    if (e == AMX_E_NOMEM || e == AMX_E_BUSY) {
        assert_true(!sc.empty || sc.helped);
        return false;
    }
    ok(e);
    add_bare(NOBODY, c.out);
    sc.pool.arena = cls == arena_cls;
    pool_is_there(c.out, 0, false);
    return true;
}

static inline bool do_pool_create(const char *op)
{
    return create_pool_of(op, pool_cls);
}

/* In a published block that is there. */
static inline bool do_pool_init(const char *op, bool plain)
{
    struct call c = {.verb = V_ALIGNED, .align = 64, .n = 2432};
    int e = act(P, NULL, &c);
    if (e == AMX_E_NOMEM || e == AMX_E_BUSY)
        return false;
    ok(e);
    amx_ref block = c.out;
    do_publish(P, NULL, add_bare(P, block));
    sc.pool.block = block;
    sc.pool.base = POOL_BASE;
    sc.pool.plain = plain;
    sc.pool.at_stake = true;
    ok(ASK(P, op, .verb = plain ? V_POOL_PLAIN_INIT : V_POOL_INIT, .ref = block, .offset = POOL_BASE, POOL_OF_TWO));
    pool_is_there(block, POOL_BASE, plain);
    return true;
}

enum { GROWTH = 20 };

/* Others may extend while one is stopped in it, and complete what he began. */
static inline int do_extend(int who, const char *op, uint32_t c)
{
    sc.more = 1;
    sc.pool.growth = GROWTH;
    uint32_t before = sc.pool.total;
    int e = ASK(who, op, .verb = V_POOL_EXTEND, .n = c, .count = GROWTH);
    sc.more = 0;
    sc.pool.growth = 0;
    list_extents();
    if (e == AMX_E_NOMEM || e == AMX_E_BUSY)
        assert_true(!sc.empty || sc.helped);
    else if (e != AMX_E_FULL)
        ok(e);
    assert_true(sc.pool.total == before + (e ? 0 : GROWTH) ||
                (sc.helped && sc.pool.total >= before + (e ? 0 : GROWTH)));
    return e;
}

static inline void do_quota(int who, const char *op, uint32_t most)
{
    sc.pool.next = most;
    ok(ASK(who, op, .verb = V_POOL_QUOTA, .count = most));
    sc.pool.quota = most;
}

/* Views on it are idle; then the block is free too. What is in use of the arena goes with it. */
static inline void do_pool_remove(int who, const char *op)
{
    struct amx_pool p;
    amx_ref block = sc.pool.block, extent[AMX_POOL_EXTENTS + 2];
    for (unsigned i = 0; i < sc.pool.n; i++) {
        assert_true(sc.pool.arena && AMX_SLOT_CLASS(sc.pool.slot[i].ref) == 1);
        stake_slot(&sc.pool.slot[i])->gone = true;
    }
    ok(pool_seen_by(sc.look, &p));
    unsigned extents = extents_of(&p, extent);
    for (unsigned k = 0; k < extents; k++)
        stake(find_item(extent[k]));
    sc.pool.at_stake = sc.pool.going = true;
    ok(ASK(who, op, .verb = V_POOL_REMOVE));
    for (unsigned k = 0; k < extents; k++)
        drop(find_item(extent[k]));
    memset(&sc.pool, 0, sizeof sc.pool);
    do_free(who, NULL, find_item(block));
}

/* As if all who freed had died in front of the second store. */
static inline void no_hints(void)
{
    struct amx_pool p;
    ok(pool_seen_by(sc.look, &p));
    for (uint32_t k = 0; k < p.parts; k++)
        for (uint64_t g = 0; g < amxi_pool_groups_of(p.part[k].count); g++) {
            uint64_t at = (uint64_t)((uint8_t *)amxi_pool_hint_at(&p.part[k], g) - (uint8_t *)sc.look->seg->base);
            amxi_st64_rlx((amxi_a64 *)(void *)(sc.view + at), 0);
        }
}

/* --- The list of slots ------------------------------------------------------------------------------------------ */

static inline struct slot *add_slot(int who, amx_slot ref)
{
    struct amx_pool p;
    void *m;
    assert_true(sc.pool.n < LIVE);
    struct slot *s = &sc.pool.slot[sc.pool.n++];
    *s = (struct slot){
        .ref = ref, .key = ++sc.keys, .state = AMX_STATE_ALLOCATED, .tag = slot_tag(who), .peer = peer_of[who]};
    ok(pool_seen_by(sc.look, &p));
    ok(amx_pool_ptr(&p, ref, &m, &s->n));
    stamp_part_(sc.view + ((uint8_t *)m - (uint8_t *)sc.look->seg->base), 0, s->n, s->key);
    return s;
}

static inline void drop_slot(struct slot *s)
{
    *s = sc.pool.slot[--sc.pool.n];
}

static inline struct slot *find_slot(uint32_t c, uint32_t index)
{
    for (unsigned i = 0; i < sc.pool.n; i++)
        if (AMX_SLOT_CLASS(sc.pool.slot[i].ref) == c && AMX_SLOT_INDEX(sc.pool.slot[i].ref) == index)
            return &sc.pool.slot[i];
    return NULL;
}

/* What the running call makes of it, or not. */
static inline struct slot *stake_slot(struct slot *s)
{
    s->at_stake = true;
    s->gone = s->lost = false;
    s->next_ref = s->ref;
    s->next_state = s->state;
    s->next_tag = s->tag;
    s->next_peer = s->peer;
    return s;
}

static inline void slot_changed(struct slot *s)
{
    s->at_stake = false;
    s->ref = s->next_ref;
    s->state = s->next_state;
    s->tag = s->next_tag;
    s->peer = s->next_peer;
}

/* A process is gone, and recovery is done. */
static inline void bereave_slots(int peer)
{
    for (unsigned i = sc.pool.n; i-- > 0;) {
        struct slot *s = &sc.pool.slot[i];
        if (s->peer != peer)
            continue;
        s->at_stake = false;
        s->peer = NOBODY;
        s->tag = 0;
        if (s->state < AMX_STATE_KEPT)
            drop_slot(s);
    }
}

/* --- Calls ------------------------------------------------------------------------------------------------------ */

static inline unsigned slots_of(int who)
{
    unsigned n = 0;
    for (unsigned i = 0; i < sc.pool.n; i++)
        n += sc.pool.slot[i].tag == slot_tag(who);
    return n;
}

/* NULL: nothing is free, or who takes it has as many as he may. */
static inline struct slot *do_take_by(enum pool_verb verb, int who, const char *op, size_t n)
{
    struct call c = {.verb = verb, .n = n, .to = slot_owner(who)};
    sc.pool.more = slot_tag(who);
    int e = act(who, op, &c);
    sc.pool.more = 0;
    bool full = sc.pool.quota && slots_of(who) >= sc.pool.quota;
    if (verb == V_SLOT_WAIT && e == AMX_E_TIMEOUT)
        return NULL;
    assert_true((e == AMX_E_QUOTA) == full);
    if (e == AMX_E_NOMEM || e == AMX_E_QUOTA)
        return NULL;
    if (e == AMX_E_BUSY) {
        assert_true(sc.pool.arena && (!sc.empty || sc.helped));
        return NULL;
    }
    ok(e);
    return add_slot(who, c.out);
}

static inline struct slot *do_take(int who, const char *op, size_t n)
{
    return do_take_by(V_SLOT_ALLOC, who, op, n);
}

static inline void do_return(int who, const char *op, struct slot *s)
{
    amx_slot ref = s->ref;
    stake_slot(s)->gone = true;
    ok(ASK(who, op, .verb = V_SLOT_FREE, .ref = ref));
    drop_slot(find_slot(AMX_SLOT_CLASS(ref), AMX_SLOT_INDEX(ref)));
    int e = ASK(who, NULL, .verb = V_SLOT_FREE, .ref = ref); /* one winner, once */
    assert_true(e == AMX_E_DOUBLE_FREE || (sc.helped && e == AMX_E_STALE));
}

static inline void do_slot_publish(int who, const char *op, struct slot *s)
{
    stake_slot(s)->next_tag = 0;
    s->next_peer = NOBODY;
    ok(ASK(who, op, .verb = V_SLOT_PUBLISH, .ref = s->ref));
    slot_changed(s);
}

static inline void do_slot_adopt(int who, const char *op, struct slot *s)
{
    stake_slot(s)->next_tag = slot_tag(who);
    s->next_peer = peer_of[who];
    ok(ASK(who, op, .verb = V_SLOT_ADOPT, .ref = s->ref, .to = slot_owner(who)));
    slot_changed(s);
}

static inline void do_slot_give(int who, const char *op, struct slot *s, int to)
{
    struct call c = {.verb = V_SLOT_GIVE, .ref = s->ref, .to = sc.pool.plain ? slot_owner(to) : sc.id[to]};
    stake_slot(s)->next_tag = slot_tag(to);
    s->next_peer = peer_of[to];
    s->next_ref = (s->ref & ~UINT64_C(0xffffffff)) | (uint32_t)(s->ref + 1);
    ok(act(who, op, &c));
    assert_true(c.out == s->next_ref);
    slot_changed(s);
}

static inline void do_slot_state(int who, const char *op, struct slot *s, uint32_t state)
{
    stake_slot(s)->next_state = state;
    ok(s->state < AMX_STATE_USER_MIN
           ? ASK(who, op, .verb = V_SLOT_SET_STATE, .ref = s->ref, .state = state)
           : ASK(who, op, .verb = V_SLOT_TRANSITION, .ref = s->ref, .state = s->state, .next = state));
    slot_changed(s);
}

static inline void stake_slots_of(int peer)
{
    for (unsigned i = 0; i < sc.pool.n; i++)
        if (sc.pool.slot[i].peer == peer)
            stake_slot(&sc.pool.slot[i])->lost = true;
}

static inline void return_all(int who)
{
    while (sc.pool.n)
        do_return(who, NULL, &sc.pool.slot[sc.pool.n - 1]);
}

/* --- The oracle ------------------------------------------------------------------------------------------------- */

struct slots_seen {
    const struct amx_pool *p;
    unsigned living, listed, more, takers; /* takers: slots of him who is taking one */
    uint32_t more_tag;
    bool all;
};

/* Of the arena: somebody is making or freeing it, or was when he died. */
static inline bool in_between(const struct amx_pool_slot *a, const struct slots_seen *see, uint32_t tag)
{
    return a->class_index == 1 && sc.pool.arena && !see->all && a->state == AMX_STATE_CACHED &&
           (tag ? a->owner == tag : a->owner != 0);
}

/* Blocks that cells name, when nobody is in the middle of something. */
struct cells {
    amx_ref ref[LIVE];
    unsigned n;
};

static inline void cells_of(const amx_t *h, struct cells *out)
{
    struct amx_pool p;
    out->n = 0;
    if (!sc.pool.block || !sc.pool.arena || pool_seen_by(h, &p))
        return;
    (void)pool_slots(&p); /* notes extents */
    for (uint32_t k = 0; k < p.parts; k++)
        for (uint32_t i = 0; amxi_pool_of_arena(&p.part[k]) && i < p.part[k].count; i++) {
            uint64_t w = amxi_ld64_acq(amxi_pool_word_at(&p.part[k], i));
            amx_ref ref = amxi_ld64_acq(amxi_pool_cell_at(&p.part[k], i));
            assert_true(AMXI_W0_STATE(w) == AMX_STATE_FREE ? !ref : ref && amxi_state_live(AMXI_W0_STATE(w)));
            for (unsigned j = 0; j < out->n; j++)
                assert_true(out->ref[j] != ref);
            if (ref)
                out->ref[out->n++] = ref;
        }
}

static inline bool is_of_slot(const struct cells *c, amx_ref ref)
{
    unsigned i = 0;
    while (i < c->n && c->ref[i] != ref)
        i++;
    return i < c->n;
}

/* Somebody's who may be dead: it is as it was, or recovered. */
static inline bool slot_is(const struct amx_pool_slot *a, const struct slots_seen *see, amx_slot ref, uint32_t state,
                           uint32_t tag, int peer, bool lost)
{
    bool dead = peer != NOBODY && !(see->living >> peer & 1), kept = state >= AMX_STATE_KEPT;
    bool same = (uint32_t)a->generation == AMXI_SLOT_GEN(ref);
    if (dead || lost) {
        if (kept ? same && a->state == state && !a->owner : a->state == AMX_STATE_FREE)
            return true;
        if (!kept && same && in_between(a, see, tag))
            return true;
        if (dead && see->all)
            return false;
    }
    return same && a->state == state && a->owner == tag;
}

static inline void judge_payload(const struct amx_pool *p, const struct slot *s, amx_slot ref)
{
    void *m;
    size_t n;
    ok(amx_pool_ptr(p, ref, &m, &n));
    assert_int_equal(n, s->n);
    assert_true(stamp_check_(m, 0, n, s->key) == SIZE_MAX);
}

static inline int judge_slot(const struct amx_pool_slot *a, void *ctx)
{
    struct slots_seen *see = ctx;
    const struct slot *s = find_slot(a->class_index, a->index);
    bool live = a->state != AMX_STATE_FREE;
    bool taken = see->more_tag &&
                 (in_between(a, see, see->more_tag) || (a->owner == see->more_tag && a->state == AMX_STATE_ALLOCATED));
    see->takers += live && see->more_tag && a->owner == see->more_tag;
    if (!s) { /* free, or what the running call takes; or what one who died while another was stopped has left */
        see->more += live;
        assert_true(!live || taken);
        return 0;
    }
    see->listed++;
    if (taken && s->peer != NOBODY && !(see->living >> s->peer & 1) &&
        (uint32_t)a->generation != AMXI_SLOT_GEN(s->ref)) {
        see->more++; /* a dead one's was recovered, and taken */
        return 0;
    }
    bool now = slot_is(a, see, s->ref, s->state, s->tag, s->peer, s->lost && s->at_stake);
    bool then = s->at_stake && slot_is(a, see, s->next_ref, s->next_state, s->next_tag, s->next_peer, false);
    bool gone = s->at_stake && s->gone && (!live || in_between(a, see, 0));
    if (!now && !then && !gone)
        print_error("slot %u of class %u: state %u, owner %u, generation %" PRIu64 "\n", a->index, a->class_index,
                    a->state, a->owner, a->generation);
    assert_true(now || then || gone);
    if (a->ref)
        judge_payload(see->p, s, a->ref);
    return 0;
}

/* all: recovery is done with everybody who does not live. */
static inline void judge_pool(const amx_t *h, unsigned living, bool all)
{
    struct amx_pool p;
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    if (!sc.pool.block)
        return;
    int e = pool_seen_by(h, &p);
    if (e) {
        assert_true(sc.pool.at_stake);
        return;
    }
    struct slots_seen see = {&p, living, 0, 0, 0, sc.pool.more, all};
    uint32_t quota;
    ok(amx_pool_quota(&p, &quota));
    assert_true(quota == sc.pool.quota || quota == sc.pool.next);
    ok(amx_pool_walk(&p, judge_slot, &see));
    assert_int_equal(see.listed, sc.pool.n);
    assert_true(see.more <= (sc.pool.more ? 1u : 0u));
    if (sc.pool.quota && sc.pool.quota == sc.pool.next) { /* not for a moment more than he may; but what he is given */
        unsigned had = 0;
        for (unsigned i = 0; i < sc.pool.n; i++)
            had += sc.pool.slot[i].tag == sc.pool.more;
        assert_true(see.takers <= (had > sc.pool.quota ? had : sc.pool.quota));
    }
    ok(amx_pool_check(&p, NULL, NULL, &r));
    assert_true(!all || sc.pool.plain || r.undone == 0);
    assert_true(r.slots == sc.pool.total || sc.pool.at_stake ||
                (r.slots > sc.pool.total && r.slots <= sc.pool.total + sc.pool.growth));
    assert_true(r.used <= r.slots);
}

/* Outside of segments recovery is its users': those who do not live, and one who was no part of the play. */
static inline void recover_plain(const amx_t *h, unsigned living)
{
    struct amx_pool p;
    if (!sc.pool.plain || pool_seen_by(h, &p))
        return;
    for (int who = 0; who < HANDLES; who++)
        if (!(living >> peer_of[who] & 1))
            ok(amx_pool_recover(&p, (amx_id)who + 1, NULL, NULL));
    ok(amx_pool_recover(&p, STRANGE, NULL, NULL));
}

static inline int count_object(const struct amx_object *o, void *ctx)
{
    (void)o;
    ++*(unsigned *)ctx;
    return 0;
}

static inline bool no_object_left(const amx_t *h)
{
    unsigned n = 0;
    ok(amx_objects(h, count_object, &n));
    return n == AMX_OBJECTS;
}

static inline int return_slot(const struct amx_pool_slot *a, void *ctx)
{
    if (a->ref)
        ok(amx_pool_free(ctx, a->ref));
    return 0;
}

static inline int own_slot(const struct amx_pool_slot *a, void *ctx)
{
    assert_true(a->state == AMX_STATE_ALLOCATED && a->owner == *(uint32_t *)ctx);
    return 0;
}

/* Nobody else is there: all that lives is freed, then each slot can be had, once, and the pool goes. What somebody has begun
 * to add is completed before. */
static inline void judge_pool_whole(amx_t *h)
{
    struct amx_pool p;
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    if (!sc.pool.block || pool_seen_by(h, &p))
        return;
    uint32_t me = sc.pool.plain ? STRANGE : AMX_OBJECT_OWNER(amx_handle_id(h)), n = 0, total = pool_slots(&p);
    amx_slot s;
    if (sc.pool.growth) {
        int e = amx_pool_extend(&p, 0, GROWTH);
        assert_true(e == AMX_OK || (e == AMX_E_NOMEM && !sc.empty) || (e == AMX_E_FULL && no_object_left(h)));
        assert_true(pool_slots(&p) == total + (e ? 0 : GROWTH));
        total = pool_slots(&p);
    }
    ok(amx_pool_walk(&p, return_slot, &p));
    ok(amx_pool_set_quota(&p, 0));
    for (size_t bytes = 0; bytes <= (sc.pool.arena ? 17 : 0); bytes += 17)
        while (amx_pool_alloc(&p, bytes, sc.pool.plain ? STRANGE : AMX_POOL_SELF, &s) == AMX_OK)
            assert_true(n++ < total);
    assert_int_equal(n, total);
    ok(amx_pool_walk(&p, own_slot, &me));
    ok(amx_pool_walk(&p, return_slot, &p));
    ok(amx_pool_check(&p, NULL, NULL, &r));
    assert_int_equal(r.slots, total);
    assert_int_equal(r.used + r.undone + r.notes, 0); /* who looked at all words has set the hints that were missing */
    ok(amx_pool_remove(&p));
    assert_true(pool_seen_by(h, &p) != AMX_OK);
}

#endif
