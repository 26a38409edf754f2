/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in a scene: the list of all that are stored, being stored or changed, who holds which guard, what the calls of P
 * and Q make of them, and the oracle. The third part of scene.h, which includes this.
 */
#ifndef AMX_TEST_STORE_SCENE_H
#define AMX_TEST_STORE_SCENE_H

enum { STORE_DEPTH = 6, STORE_PAYLOAD = 40 };

/* --- The store -------------------------------------------------------------------------------------------------- */

/* How a handle stands in the words. */
static inline uint32_t message_tag(int who)
{
    return sc.store.plain ? (uint32_t)who + 1 : sc.tag[who];
}

/* A view of the test's own. */
static inline int store_seen_by(const amx_t *h, struct amx_store *s)
{
    if (sc.store.plain)
        return foreign_view(h, sc.store.block, &sc.store.config, s);
    return amx_store_attach_block((amx_t *)(uintptr_t)h, sc.store.block, NULL, s);
}

static inline void store_attach(int who)
{
    ok(ASK(who, NULL, .verb = V_STORE_ATTACH, .ref = sc.store.block));
}

/* wide: the marks are beyond what there is room for. */
static inline struct amx_store_config store_config(enum amx_policy policy, bool wide)
{
    struct amx_store_config c = {.depth = STORE_DEPTH, .payload_max = STORE_PAYLOAD};
    c.marks.policy = policy;
    c.marks.hard_items = policy && !wide ? 4 : 0;
    c.marks.hard_bytes = policy ? 1000 : 0;
    c.marks.soft_items = policy == AMX_POLICY_DROP_OLDEST && !wide ? 3 : 0;
    return c;
}

static inline void store_is_there(amx_ref block, const struct amx_store_config *c)
{
    sc.store.block = block;
    sc.store.config = *c;
    sc.store.at_stake = false;
    for (int who = P2; who < HANDLES && !sc.store.plain; who++)
        store_attach(who);
}

/* false: no memory. */
static inline bool do_store_create(const char *op, enum amx_policy policy, bool wide)
{
    struct call c = {.verb = V_STORE_CREATE, .store = store_config(policy, wide)};
    sc.more = 1;
    int e = act(P, op, &c);
    sc.more = 0;
    if (e == AMX_E_NOMEM || e == AMX_E_BUSY) {
        assert_true(!sc.empty || sc.helped);
        return false;
    }
    ok(e);
    add_bare(NOBODY, c.out);
    store_is_there(c.out, &c.store);
    return true;
}

/* In a published block. threads: of a plain one; -1: not plain. Returns what the call said; the block stays. */
static inline int do_store_init(const char *op, int threads)
{
    struct call c = {.verb = V_ALIGNED, .align = 64, .n = 1600};
    int e = act(P, NULL, &c);
    if (e)
        return AMX_E_NOMEM;
    amx_ref block = c.out;
    do_publish(P, NULL, add_bare(P, block));
    c = (struct call){.verb = threads < 0 ? V_STORE_INIT : V_STORE_PLAIN_INIT,
                      .ref = block,
                      .store = store_config(AMX_POLICY_NONE, false)};
    c.store.threads = threads < 0 ? 0 : (uint32_t)threads;
    sc.store.block = block;
    sc.store.config = c.store;
    sc.store.plain = threads >= 0;
    sc.store.at_stake = true;
    e = act(P, op, &c);
    if (!e)
        store_is_there(block, &c.store);
    return e;
}

/* All views are idle; then the block is free too. */
static inline void do_store_remove(int who, const char *op)
{
    amx_ref block = sc.store.block;
    sc.store.at_stake = sc.store.going = true;
    ok(ASK(who, op, .verb = V_STORE_REMOVE));
    memset(&sc.store, 0, sizeof sc.store);
    do_free(who, NULL, find_item(block));
}

/* --- The list --------------------------------------------------------------------------------------------------- */

static inline struct message *find_message(uint32_t index)
{
    for (unsigned i = 0; i < sc.store.n; i++)
        if (AMX_SLOT_INDEX(sc.store.message[i].token) == index)
            return &sc.store.message[i];
    return NULL;
}

static inline struct message *add_message(amx_token token, uint64_t key, uint32_t size)
{
    assert_true(sc.store.n < MESSAGES && token != AMX_TOKEN_INVALID);
    struct message *m = &sc.store.message[sc.store.n++];
    *m = (struct message){.token = token, .key = key, .size = size, .writer = NOBODY};
    return m;
}

static inline void drop_message(struct message *m)
{
    *m = sc.store.message[--sc.store.n];
}

/* What the running call of `by` may make of it besides what it is. */
static inline struct message *stake_message(struct message *m, int by, unsigned may)
{
    m->at_stake = true;
    m->by = by;
    m->by_tag = message_tag(by);
    m->may = may;
    m->next_key = m->key;
    m->next_size = m->size;
    return m;
}

static inline void message_settled(struct message *m)
{
    m->at_stake = m->lost = false;
}

/* A process is gone, and recovery is done. */
static inline void bereave_messages(int peer)
{
    for (unsigned i = sc.store.n; i-- > 0;) {
        struct message *m = &sc.store.message[i];
        message_settled(m);
        for (int who = 0; who < SLOTS; who++)
            m->reader[who] &= who >= HANDLES || peer_of[who] != peer;
        if (m->writer == NOBODY || peer_of[m->writer] != peer)
            continue;
        m->writer = NOBODY;
        m->poisoned = true;
        if (m->begun)
            drop_message(m);
    }
}

/* The same of one view of a plain store, whose thread has ended. */
static inline void bereave_view(int who)
{
    for (unsigned i = sc.store.n; i-- > 0;) {
        struct message *m = &sc.store.message[i];
        message_settled(m);
        m->reader[who] = false;
        if (m->writer != who)
            continue;
        m->writer = NOBODY;
        m->poisoned = true;
        if (m->begun)
            drop_message(m);
    }
}

/* He may be dying: what he has is his, or as recovery leaves it. */
static inline void stake_messages_of(int peer)
{
    for (unsigned i = 0; i < sc.store.n; i++) {
        struct message *m = &sc.store.message[i];
        for (int who = 0; who < HANDLES; who++)
            if (peer_of[who] == peer && (m->reader[who] || m->writer == who))
                stake_message(m, who, 0)->lost = true;
    }
}

/* --- Calls ------------------------------------------------------------------------------------------------------ */

static inline void stamp_call(struct call *c, uint64_t key, uint32_t size)
{
    c->got = key;
    c->n = size;
    stamp_part_((uint8_t *)c->refs, 0, size, key);
}

static inline void may_come(int who, uint64_t key, uint32_t size)
{
    sc.store.more = message_tag(who);
    sc.store.more_by = who;
    sc.store.more_key = key;
    sc.store.more_size = size;
}

/* Its policy may free any that is stored and not borrowed. */
static inline void stake_for_policy(int who)
{
    enum amx_policy p = sc.store.config.marks.policy;
    for (unsigned i = 0; i < sc.store.n; i++) {
        struct message *m = &sc.store.message[i];
        if ((p == AMX_POLICY_EVICT || p == AMX_POLICY_DROP_OLDEST) && m->writer == NOBODY && !m->poisoned)
            stake_message(m, who, MAY_GONE | MAY_CLAIMED);
    }
}

/* Those that are gone are not listed any more. Returns how many. */
static inline unsigned policy_has_done(void)
{
    struct amx_store s;
    unsigned gone = 0;
    ok(store_seen_by(sc.look, &s));
    for (unsigned i = sc.store.n; i-- > 0;) {
        struct message *m = &sc.store.message[i];
        uint64_t w = amxi_ld64_rlx(amxi_pool_word_at(amxi_store_part(&s), AMX_SLOT_INDEX(m->token)));
        message_settled(m);
        if (AMXI_W0_STATE(w) != AMX_STATE_FREE && (uint32_t)AMXI_W0_GEN(w) == AMXI_SLOT_GEN(m->token))
            continue;
        drop_message(m);
        gone++;
    }
    return gone;
}

/* NULL: it was refused or dropped; *why. */
static inline struct message *do_msg_store_by(enum store_verb verb, int who, const char *op, uint32_t size, int *why)
{
    struct call c = {.verb = verb};
    uint64_t key = ++sc.keys;
    stamp_call(&c, key, size);
    may_come(who, key, size);
    stake_for_policy(who);
    *why = act(who, op, &c);
    sc.store.more = 0;
    (void)policy_has_done();
    return *why || c.out == AMX_TOKEN_INVALID ? NULL : add_message(c.out, key, size);
}

static inline struct message *do_msg_store(int who, const char *op, uint32_t size)
{
    int why;
    struct message *m = do_msg_store_by(V_MSG_STORE, who, op, size, &why);
    ok(why);
    return m;
}

static inline struct message *do_reserve(int who, const char *op, uint32_t size)
{
    struct call c = {.verb = V_MSG_RESERVE, .n = size};
    may_come(who, 0, 0);
    stake_for_policy(who);
    ok(act(who, op, &c));
    sc.store.more = 0;
    (void)policy_has_done();
    struct message *m = add_message(c.out, 0, size);
    m->begun = m->wild = true;
    m->writer = who;
    m->tag = message_tag(who);
    return m;
}

/* Through the guard that `who` has on it. */
static inline void do_msg_write(int who, const char *op, struct message *m, uint32_t size)
{
    struct call c = {.verb = V_MSG_WRITE};
    m->wild = true; /* from here on nobody is promised what is there, before it is ended */
    m->next_key = ++sc.keys;
    m->next_size = size;
    stamp_call(&c, m->next_key, size);
    ok(act(who, op, &c));
}

static inline void do_write_end(int who, const char *op, struct message *m)
{
    uint64_t key = m->next_key;
    uint32_t size = m->next_size;
    stake_message(m, who, MAY_NEW);
    m->next_key = key;
    m->next_size = size;
    ok(ASK(who, op, .verb = V_MSG_END));
    message_settled(m);
    m->key = key;
    m->size = size;
    m->writer = NOBODY;
    m->begun = m->wild = m->poisoned = false;
}

static inline void do_msg_poison(int who, const char *op, struct message *m)
{
    bool begun = m->begun;
    stake_message(m, who, begun ? MAY_GONE : MAY_POISONED);
    ok(ASK(who, op, .verb = V_MSG_POISON));
    message_settled(m);
    m->writer = NOBODY;
    m->poisoned = true;
    if (begun)
        drop_message(m);
}

static inline void do_discard(int who, const char *op, struct message *m)
{
    stake_message(m, who, MAY_GONE);
    ok(ASK(who, op, .verb = V_MSG_DISCARD));
    drop_message(m);
}

static inline void do_msg_read_by(enum store_verb verb, int who, const char *op, struct message *m)
{
    stake_message(m, who, 0);
    ok(ASK(who, op, .verb = verb, .ref = m->token));
    message_settled(m);
    m->reader[who] = true;
}

static inline void do_msg_read(int who, const char *op, struct message *m)
{
    do_msg_read_by(V_MSG_READ, who, op, m);
}

static inline void do_read_end(int who, const char *op, struct message *m)
{
    stake_message(m, who, 0);
    ok(ASK(who, op, .verb = V_MSG_READ_END));
    message_settled(m);
    m->reader[who] = false;
}

static inline void do_peek(int who, const char *op, struct message *m)
{
    struct call c = {.verb = V_MSG_PEEK, .ref = m->token};
    stake_message(m, who, 0);
    ok(act(who, op, &c));
    message_settled(m);
    assert_true(c.got == m->key);
}

/* verb: read_mut or recover. */
static inline void do_msg_change(enum store_verb verb, int who, const char *op, struct message *m)
{
    stake_message(m, who, MAY_CLAIMED | MAY_WRITING);
    ok(ASK(who, op, .verb = verb, .ref = m->token));
    message_settled(m);
    m->writer = who;
    m->tag = message_tag(who);
    m->poisoned = false;
    m->next_key = m->key;
    m->next_size = m->size;
}

/* One that is in the way of somebody's guard. */
static inline void do_refused(enum store_verb verb, int who, const char *op, struct message *m, int error)
{
    stake_message(m, who, MAY_CLAIMED);
    fails(error, ASK(who, op, .verb = verb, .ref = m->token));
    message_settled(m);
}

static inline void do_msg_free_by(enum store_verb verb, int who, const char *op, struct message *m)
{
    amx_token token = m->token;
    stake_message(m, who, MAY_GONE | (m->poisoned ? MAY_WRITING : MAY_CLAIMED));
    ok(ASK(who, op, .verb = verb, .ref = token));
    drop_message(m);
    int e = ASK(who, NULL, .verb = V_MSG_FREE, .ref = token); /* once */
    assert_true(e == AMX_E_DOUBLE_FREE || (sc.helped && e == AMX_E_STALE));
}

static inline void do_msg_free(int who, const char *op, struct message *m)
{
    do_msg_free_by(V_MSG_FREE, who, op, m);
}

static inline void free_messages(int who)
{
    while (sc.store.n)
        do_msg_free(who, NULL, &sc.store.message[sc.store.n - 1]);
}

/* --- The oracle ------------------------------------------------------------------------------------------------- */

struct messages_seen {
    const struct amx_store *s;
    unsigned living, listed, more;
    bool all;
};

static inline bool is_dead(const struct messages_seen *see, int who)
{
    return !(see->living >> peer_of[who] & 1);
}

/* Whole, and this one. */
static inline bool content_is(const struct amx_store *s, uint32_t index, uint64_t key, uint32_t size)
{
    struct amxi_message_body *m = amxi_message_at(s, index);
    return amxi_ld32_rlx(&m->size) == size && m->header.payload_size == size && m->header.sequence == key &&
           stamp_check_(amxi_payload_of(m), 0, size, key) == SIZE_MAX;
}

/* The state of somebody's who works on it: while he lives, or nobody has looked after him yet. */
static inline bool his(const struct messages_seen *see, const struct amx_store_message *a, uint32_t state, int who,
                       uint32_t tag)
{
    return a->state == state && a->owner == tag && !(see->all && is_dead(see, who));
}

static inline bool message_is(const struct messages_seen *see, const struct amx_store_message *a,
                              const struct message *m)
{
    bool nobodys = a->owner == 0, stored = a->state == AMX_STATE_STORED && nobodys;
    bool poisoned = a->state == AMX_STATE_POISONED && nobodys, is_free = a->state == AMX_STATE_FREE;
    bool old = m->wild || content_is(see->s, a->index, m->key, m->size);
    if (m->writer != NOBODY) { /* as it is */
        bool dead = is_dead(see, m->writer) || m->lost;
        if (his(see, a, m->begun ? AMX_STATE_ALLOCATED : AMX_STATE_WRITING, m->writer, m->tag) && old)
            return true;
        if (dead && (m->begun ? is_free : poisoned && old))
            return true;
    } else if (m->poisoned ? poisoned : stored && old) {
        return true;
    }
    if (!m->at_stake)
        return false;
    return (m->may & MAY_GONE && is_free) || (m->may & MAY_POISONED && poisoned) ||
           (m->may & MAY_CLAIMED && his(see, a, AMX_STATE_CLAIMED, m->by, m->by_tag) && old) ||
           (m->may & MAY_CLAIMED && m->poisoned && his(see, a, AMX_STATE_WRITING, m->by, m->by_tag)) ||
           (m->may & MAY_WRITING &&
            (his(see, a, AMX_STATE_WRITING, m->by, m->by_tag) || (poisoned && is_dead(see, m->by))) && old) ||
           (m->may & MAY_NEW && stored && content_is(see->s, a->index, m->next_key, m->next_size));
}

static inline bool is_new_message(const struct messages_seen *see, const struct amx_store_message *a)
{
    return his(see, a, AMX_STATE_ALLOCATED, sc.store.more_by, sc.store.more) ||
           (a->state == AMX_STATE_STORED && sc.store.more_key &&
            content_is(see->s, a->index, sc.store.more_key, sc.store.more_size));
}

/* Guards of the dead do not count once they are recovered, those of the living do. */
static inline void judge_readers(const struct messages_seen *see, const struct amx_store_message *a,
                                 const struct message *m)
{
    unsigned least = 0, most = m->at_stake;
    for (int who = 0; who < SLOTS; who++) {
        bool dead = is_dead(see, who) || m->lost, running = m->at_stake && m->by == who;
        least += m->reader[who] && !dead && !running;
        most += m->reader[who] && !(is_dead(see, who) && see->all);
    }
    assert_true(a->readers >= least && a->readers <= most);
}

static inline int judge_message(const struct amx_store_message *a, void *ctx)
{
    struct messages_seen *see = ctx;
    const struct message *m = find_message(a->index);
    if (!m) {
        see->more += a->state != AMX_STATE_FREE;
        assert_true(a->state == AMX_STATE_FREE || (sc.store.more && is_new_message(see, a)));
        return 0;
    }
    see->listed++;
    uint64_t w = amxi_ld64_rlx(amxi_pool_word_at(amxi_store_part(see->s), a->index));
    bool is = message_is(see, a, m) && /* others may have had a place that is free */
              (a->state == AMX_STATE_FREE || (uint32_t)AMXI_W0_GEN(w) == AMXI_SLOT_GEN(m->token));
    if (!is && m->at_stake && m->may & MAY_GONE && sc.store.more) /* it went for a new one, which has its place */
        is = (uint32_t)AMXI_W0_GEN(w) != AMXI_SLOT_GEN(m->token) &&
             (a->state == AMX_STATE_FREE || is_new_message(see, a));
    if (!is)
        print_error("message %u: state %u, owner %u, generation %" PRIu64
                    "; listed: generation %u, writer %d, %s%s%s\n",
                    a->index, a->state, a->owner, AMXI_W0_GEN(w), AMXI_SLOT_GEN(m->token), m->writer,
                    m->poisoned ? "poisoned " : "", m->begun ? "begun " : "", m->at_stake ? "at stake" : "");
    assert_true(is);
    judge_readers(see, a, m);
    return 0;
}

static inline bool read_by_the_living(const struct message *m, unsigned living)
{
    bool is = false;
    for (int who = 0; who < SLOTS; who++)
        is |= m->reader[who] && living >> peer_of[who] & 1;
    return is && !m->at_stake;
}

/* all: recovery is done with everybody who does not live. */
static inline void judge_store(const amx_t *h, unsigned living, bool all)
{
    struct amx_store s;
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    uint32_t room;
    if (!sc.store.block)
        return;
    int e = store_seen_by(h, &s);
    if (e) {
        assert_true(sc.store.at_stake);
        return;
    }
    struct messages_seen see = {&s, living, 0, 0, all};
    ok(amx_store_walk(&s, judge_message, &see));
    assert_int_equal(see.listed, sc.store.n);
    assert_true(see.more <= (sc.store.more ? 1u : 0u));
    ok(amx_store_check(&s, NULL, NULL, &r));
    assert_true(!all || sc.store.plain || r.undone == 0);
    ok(amx_store_available(&s, &room));
    assert_true(r.slots == STORE_DEPTH && r.used + room == STORE_DEPTH);
    for (unsigned i = 0; i < sc.store.n && h != sc.look; i++)
        if (read_by_the_living(&sc.store.message[i], living))
            fails(AMX_E_BORROW_ACTIVE, amx_msg_free(&s, sc.store.message[i].token));
}

/* Outside of segments recovery is its users'. */
static inline void recover_plain_store(const amx_t *h, unsigned living)
{
    struct amx_store s;
    if (!sc.store.block || !sc.store.plain || store_seen_by(h, &s))
        return;
    for (int who = 0; who < HANDLES; who++)
        if (!(living >> peer_of[who] & 1) && (uint32_t)who < (s.config.threads ? s.config.threads : 1))
            ok(amx_store_recover(&s, (uint32_t)who + 1, NULL, NULL));
}

/* Nobody else is there: each message can be had for oneself, whoever read it, and each place. */
static inline int end_message(const struct amx_store_message *a, void *ctx)
{
    struct amx_write g;
    if (a->state == AMX_STATE_FREE)
        return 0;
    ok(a->state == AMX_STATE_POISONED ? amx_msg_recover(ctx, a->token, &g) : amx_msg_read_mut(ctx, a->token, &g));
    ok(amx_write_end(&g));
    ok(amx_msg_free(ctx, a->token));
    return 0;
}

static inline void judge_store_whole(amx_t *h)
{
    struct amx_store s;
    struct amx_pool_check_result r = {.struct_size = sizeof r};
    amx_token t[STORE_DEPTH];
    if (!sc.store.block || store_seen_by(h, &s))
        return;
    const struct amx_marks *marks = &s.config.marks;
    uint32_t n = marks->soft_items ? marks->soft_items : marks->hard_items ? marks->hard_items : STORE_DEPTH;
    ok(amx_store_walk(&s, end_message, &s));
    for (uint32_t i = 0; i < n; i++)
        ok(amx_msg_store(&s, NULL, &n, sizeof n, &t[i]));
    for (uint32_t i = 0; i < n; i++)
        ok(amx_msg_free(&s, t[i]));
    ok(amx_store_check(&s, NULL, NULL, &r));
    assert_int_equal(r.used + r.undone, 0);
    ok(amx_store_remove(&s));
    assert_true(store_seen_by(h, &s) != AMX_OK);
}

#endif
