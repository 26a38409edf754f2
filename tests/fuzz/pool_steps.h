/* SPDX-License-Identifier: Apache-2.0 */
/* The calls on slot pools among all others. Part of calls.c. */
#ifndef AMX_FUZZ_POOL_STEPS_H
#define AMX_FUZZ_POOL_STEPS_H

static amx_slot *some_slot(struct run *r)
{
    return &r->pool_slot[pick(r->t, REFS)];
}

static int note_pool(const struct amx_pool_place *p, void *ctx)
{
    struct run *r = ctx;
    must(p->n >= 1 && p->n <= AMX_POOL_CLASSES);
    r->pool_block = p->block;
    r->pool_base = p->base;
    return pick(r->t, 2) ? 0 : 1;
}

static int note_slot(const struct amx_pool_slot *s, void *ctx)
{
    struct run *r = ctx;
    must(s->class_index < AMX_POOL_CLASSES && s->index < AMX_POOL_SLOTS);
    if (s->ref && pick(r->t, 4) == 0)
        *some_slot(r) = s->ref;
    return 0;
}

/* A view is of one handle: with it, it is over. */
static void no_view(uint32_t who)
{
    memset(&pool_view[who], 0, sizeof pool_view[who]);
}

/* What a view says to be a slot's memory is within the data. */
static void slot_payload(const amx_t *h, const struct amx_pool *p, amx_slot slot, bool write)
{
    void *m;
    size_t n;
    int e = amx_pool_ptr(p, slot, &m, &n);
    answer(e);
    if (!e)
        payload(h, m, n, write);
    m = amx_pool_ptr_unchecked(p, slot);
    if (m)
        payload(h, m, 1, false);
}

static void pool_step(struct run *r, uint32_t who)
{
    static const uint8_t verbs[] = {
        V_POOL_CREATE,  V_POOL_INIT,         V_POOL_ATTACH,    V_POOL_ATTACH,     V_POOL_ATTACH,    V_POOL_ATTACH,
        V_POOL_ATTACH,  V_POOL_PLAIN_ATTACH, V_POOL_EXTEND,    V_POOL_EXTEND,     V_POOL_EXTEND,    V_POOL_REMOVE,
        V_POOL_RECOVER, V_POOL_LOOK,         V_SLOT_ALLOC,     V_SLOT_ALLOC,      V_SLOT_ALLOC,     V_SLOT_ALLOC,
        V_SLOT_WAIT,    V_SLOT_FREE,         V_SLOT_FREE,      V_SLOT_FREE,       V_SLOT_PUBLISH,   V_SLOT_ADOPT,
        V_SLOT_GIVE,    V_SLOT_GIVE,         V_SLOT_SET_STATE, V_SLOT_TRANSITION, V_POOL_PLAIN_INIT};
    static const uint16_t states[] = {60, 61, 2047, 2048, 4095};
    const struct amx_pool *p = &pool_view[who];
    struct call c = {.verb = verbs[pick(r->t, sizeof verbs)]};
    if (!p->base && c.verb >= V_POOL_EXTEND)
        c.verb = r->pool_block ? V_POOL_ATTACH : V_POOL_CREATE;
    bool of_slot = c.verb >= V_SLOT_FREE;
    c.ref = of_slot ? *some_slot(r) : pick(r->t, 8) ? r->pool_block : *some_ref(r);
    c.offset = pick(r->t, 8) ? r->pool_base : pick(r->t, 64) * 64;
    c.cls[0] = (struct amx_pool_class){16u << pick(r->t, 3), 1 + (uint32_t)pick(r->t, 80)};
    c.cls[1] = (struct amx_pool_class){c.cls[0].slot_size + 64, (uint32_t)pick(r->t, 10)};
    c.n = c.verb == V_POOL_EXTEND ? pick(r->t, 3) : pick(r->t, 300);
    c.count = 1 + (uint32_t)pick(r->t, 40);
    c.state = states[pick(r->t, 5)];
    c.next = states[pick(r->t, 5)];
    c.to = p->h ? AMX_POOL_SELF : 1 + pick(r->t, 6);
    if (c.verb == V_SLOT_GIVE && p->h)
        c.to = amx_handle_id(r->slot[pick(r->t, 2) || !r->slot[Q] ? P : Q]);
    if (c.verb == V_POOL_INIT)
        (void)amx_publish(r->slot[who], c.ref);
    int e = perform(r->slot, who, &c);
    answer(e);
    if (e)
        return;
    if (c.verb == V_POOL_CREATE || c.verb == V_POOL_INIT) {
        r->pool_block = c.verb == V_POOL_CREATE ? c.out : c.ref;
        r->pool_base = c.verb == V_POOL_CREATE ? 0 : c.offset;
    }
    if (c.verb == V_SLOT_ALLOC || c.verb == V_SLOT_WAIT || c.verb == V_SLOT_GIVE) {
        slot_payload(r->slot[who], p, c.out, c.verb != V_SLOT_GIVE);
        *some_slot(r) = c.out;
    }
}

/* Everything that only looks, and what a read-only handle refuses. */
static void pool_looks(struct run *r, amx_t *h)
{
    struct amx_pool_config k;
    struct amx_pool p, plain;
    void *region;
    size_t n;
    uint64_t used;
    amx_id id;
    uint32_t state, size;
    amx_slot slot;
    int e = amx_pools(h, note_pool, r);
    must(e <= 1);
    if (amx_ptr(h, r->pool_block, &region) || amx_usable(h, r->pool_block, &n))
        return;
    answer(amx_pool_discover(region, n, (size_t)r->pool_base, &k));
    if (!amx_pool_attach(region, n, (size_t)r->pool_base, NULL, &plain)) {
        answer(amx_pool_check(&plain, note_finding, r, NULL));
        slot_payload(h, &plain, *some_slot(r), false);
    }
    e = amx_pool_attach_block(h, r->pool_block, (size_t)r->pool_base, NULL, &p);
    answer(e);
    if (e)
        return;
    struct amx_pool_check_result c = {.struct_size = sizeof c};
    answer(amx_pool_check(&p, note_finding, r, &c));
    answer(amx_pool_walk(&p, note_slot, r));
    for (uint32_t i = 0; i <= amx_pool_class_count(&p); i++) {
        struct amx_pool_stats s = {.struct_size = sizeof s};
        e = amx_pool_stat(&p, i, &s);
        answer(e);
        must(e || (s.used <= s.count && s.published <= s.used && s.kept <= s.used && s.high <= s.count));
        answer(amx_pool_slot_size(&p, i, &size));
    }
    answer(amx_pool_used_by(&p, amx_handle_id(r->slot[P]), &used));
    for (uint64_t i = 0; i < 4; i++) { /* the slot itself, another life, one beside it, something else */
        slot = *some_slot(r) ^ (amx_slot[]) { 0, 1, UINT64_C(1) << 32, pick(r->t, 0) }[i];
        slot_payload(h, &p, slot, false);
        answer(amx_pool_owner(&p, slot, &id));
        answer(amx_pool_get_state(&p, slot, &state));
        if (h->tag == 0 || pick(r->t, 4) == 0)
            answer(amx_pool_free(&p, slot));
    }
    for (uint32_t i = 0; i < 4; i++) {
        struct amx_kept kept = {.struct_size = sizeof kept,
                                .how = AMX_KEPT_WORD,
                                .ref = p.part[pick(r->t, p.parts)].block,
                                .object = (uint32_t)pick(r->t, AMX_OBJECTS),
                                .slot = (uint32_t)pick(r->t, 100)};
        answer(amx_pool_kept(&p, &kept, &slot));
    }
    if (h->tag == 0) {
        answer(amx_pool_alloc(&p, 1, AMX_POOL_SELF, &slot));
        answer(amx_pool_extend(&p, 0, 4));
        answer(amx_pool_remove(&p));
    }
}

#endif
