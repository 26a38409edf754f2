/* SPDX-License-Identifier: Apache-2.0 */
/* What is played with message stores: each call, each of its ways, each policy, and the deaths of those who hold guards. */
#ifndef AMX_TEST_STORE_PLAYS_H
#define AMX_TEST_STORE_PLAYS_H

#include "plays.h"

/* --- Making, removing ------------------------------------------------------------------------------------------- */

static inline void play_store_making(struct rng *r)
{
    (void)r;
    if (do_store_create("store_create", AMX_POLICY_NONE, false))
        do_store_remove(Q, "store_remove by another");
    int e = do_store_init("store_init_block", -1);
    if (e == AMX_E_NOMEM)
        return;
    ok(e);
    ok(ASK(Q, "store_attach_block", .verb = V_STORE_ATTACH, .ref = sc.store.block));
    fails(AMX_E_INVAL, ASK(P, NULL, .verb = V_STORE_RECOVER, .n = 1));
    do_store_remove(P, "store_remove");
    /* no object is left for it */
    uint64_t id[32];
    unsigned n = 0, i = do_alloc(P, NULL, 16);
    sc.item[i].n = 0;
    amx_ref ref = sc.item[i].ref;
    do_publish(P, NULL, i);
    struct call c = {.verb = V_OBJECT_ADD, .ref = ref, .count = 1, .state = WORD_FREE};
    while (!(e = act(P, NULL, &c)))
        id[n++] = c.got;
    fails(AMX_E_FULL, e);
    e = do_store_init("store_init_block, no object left", -1);
    assert_true(e == AMX_E_FULL || e == AMX_E_NOMEM);
    while (n)
        ok(ASK(P, NULL, .verb = V_OBJECT_REMOVE, .got = id[--n]));
    amx_ref block = sc.store.block;
    memset(&sc.store, 0, sizeof sc.store);
    if (e == AMX_E_FULL)
        do_free(P, NULL, find_item(block));
    do_free(P, NULL, find_item(ref));
}

/* --- Messages --------------------------------------------------------------------------------------------------- */

static inline struct message *message_of(amx_token token)
{
    struct message *m = find_message(AMX_SLOT_INDEX(token));
    assert_true(m && m->token == token);
    return m;
}

static inline void do_copy(int who, const char *op, struct message *m)
{
    struct call c = {.verb = V_MSG_COPY, .ref = m->token};
    uint64_t key = m->key;
    uint32_t size = m->size;
    may_come(who, key, size);
    stake_message(m, who, 0);
    ok(act(who, op, &c));
    message_settled(m);
    sc.store.more = 0;
    add_message(c.out, key, size);
}

/* `a` and another handle. */
static inline void messages_stored(int a, int b)
{
    int why;
    do_msg_store(a, "msg_store", 24);
    do_msg_store(b, "msg_store of an empty one", 0);
    struct message *m = do_reserve(a, "msg_reserve", 40);
    do_msg_write(a, "writing what is reserved", m, 16);
    do_write_end(a, "write_end of what was reserved", m);
    do_discard(b, "msg_discard of what was reserved", do_reserve(b, NULL, 8));
    do_msg_poison(b, "msg_poison of what was reserved", do_reserve(b, NULL, 8));
    do_copy(b, "msg_copy", &sc.store.message[0]);
    while (sc.store.n < STORE_DEPTH)
        do_msg_store(b, NULL, 32);
    assert_true(!do_msg_store_by(V_MSG_STORE, a, "msg_store, no place", 8, &why));
    fails(AMX_E_NOMEM, why);
    assert_true(!do_msg_store_by(V_MSG_STORE_WAIT, b, "msg_store_wait, no place", 8, &why));
    fails(AMX_E_TIMEOUT, why);
    do_msg_free(a, "msg_free where somebody waits", &sc.store.message[1]);
    assert_true(do_msg_store_by(V_MSG_STORE_WAIT, b, "msg_store_wait", 8, &why) != NULL);
    do_msg_free(b, "msg_free", &sc.store.message[0]);
    ok(ASK(a, "a store looked at", .verb = V_STORE_LOOK));
    free_messages(a);
}

static inline void change(int who, struct message *m, uint32_t size)
{
    do_msg_change(V_MSG_READ_MUT, who, NULL, m);
    do_msg_write(who, NULL, m, size);
}

static inline void messages_borrowed(int a, int b)
{
    amx_token token = do_msg_store(a, NULL, 24)->token;
    struct message *m = message_of(token);
    do_msg_read(a, "msg_read", m);
    if (b != a)
        do_msg_read(b, "msg_read by another too", m);
    if (!sc.store.plain)
        fails(AMX_E_NO_GUARD, ASK(a, "msg_read, no guard left", .verb = V_MSG_READ, .ref = token));
    do_refused(V_MSG_FREE, a, "msg_free of a borrowed one", m, AMX_E_BORROW_ACTIVE);
    do_refused(V_MSG_READ_MUT, b, "msg_read_mut of a borrowed one", m, AMX_E_BORROWED);
    do_refused(V_MSG_READ_MUT_WAIT, b, "msg_read_mut_wait of a borrowed one", m, AMX_E_TIMEOUT);
    fails(AMX_E_STATE, ASK(b, NULL, .verb = V_MSG_MEND, .ref = token));
    do_read_end(a, "read_end where somebody waits", m);
    if (b != a)
        do_read_end(b, "read_end", m);
    do_msg_read_by(V_MSG_READ_WAIT, b, "msg_read_wait", m);
    do_refused(V_MSG_FREE_WAIT, a, "msg_free_wait of a borrowed one", m, AMX_E_TIMEOUT);
    do_read_end(b, NULL, m);
    do_peek(b, "msg_peek_header", m);

    do_msg_change(V_MSG_READ_MUT, a, "msg_read_mut", m);
    do_refused(V_MSG_READ, b, "msg_read of one that is changed", m, AMX_E_BORROWED);
    do_refused(V_MSG_FREE, b, "msg_free of one that is changed", m, AMX_E_BORROW_ACTIVE);
    do_refused(V_MSG_READ_WAIT, b, "msg_read_wait of one that is changed", m, AMX_E_TIMEOUT);
    do_msg_write(a, "writing", m, 40);
    do_write_end(a, "write_end where somebody waits", m);
    do_msg_change(V_MSG_READ_MUT_WAIT, b, "msg_read_mut_wait", m);
    do_msg_write(b, NULL, m, 8);
    do_write_end(b, "write_end", m);

    change(a, m, 16);
    do_msg_poison(a, "msg_poison", m);
    do_refused(V_MSG_READ, b, "msg_read of a poisoned one", m, AMX_E_POISONED);
    do_refused(V_MSG_READ_MUT, b, "msg_read_mut of a poisoned one", m, AMX_E_POISONED);
    do_msg_change(V_MSG_MEND, b, "msg_recover", m);
    do_msg_write(b, "writing into a poisoned one", m, 24);
    do_msg_poison(b, "msg_poison, again", m);
    do_msg_change(V_MSG_MEND, a, "msg_recover, again", m);
    do_msg_write(a, NULL, m, 24);
    do_write_end(a, "write_end of a poisoned one", m);
    change(b, m, 8);
    do_msg_poison(b, NULL, m);
    do_msg_free(a, "msg_free of a poisoned one", m);

    m = do_msg_store(b, NULL, 24);
    change(a, m, 8);
    do_discard(a, "msg_discard", m);
    do_msg_free_by(V_MSG_FREE_WAIT, b, "msg_free_wait", do_msg_store(a, NULL, 24));
    do_msg_free(b, "msg_free of another's", do_msg_store(a, NULL, 24));
}

/* A handle ends while it has a guard. */
static inline void guard_goes(struct message *m)
{
    struct call c = {.verb = V_SHARE, .slot = MORE};
    ok(act(P, NULL, &c));
    met(MORE, &c);
    store_attach(MORE);
    do_msg_read(MORE, "msg_read by one more handle", m);
    do_refused(V_MSG_FREE, Q, NULL, m, AMX_E_BORROW_ACTIVE);
    stake_message(m, MORE, 0);
    ok(ASK(P, "unshare with a guard", .verb = V_UNSHARE, .slot = MORE));
    message_settled(m);
    m->reader[MORE] = false;
    sc.here[MORE] = false;
    do_msg_free(Q, "msg_free of what a closed handle read", m);
}

static inline void play_store_messages(struct rng *r)
{
    (void)r;
    if (!do_store_create(NULL, AMX_POLICY_NONE, false))
        return;
    messages_stored(P, Q);
    messages_borrowed(P, Q);
    guard_goes(do_msg_store(Q, NULL, 24));
    do_store_remove(P, NULL);
}

/* --- Marks ------------------------------------------------------------------------------------------------------ */

static inline void do_evict(int who, const char *op)
{
    struct call c = {.verb = V_STORE_EVICT};
    for (unsigned i = 0; i < sc.store.n; i++)
        stake_message(&sc.store.message[i], who, MAY_GONE | MAY_CLAIMED);
    ok(act(who, op, &c));
    unsigned n = sc.store.n;
    assert_int_equal(policy_has_done(), 1);
    for (unsigned i = 0; i < n - 1; i++)
        assert_true(sc.store.message[i].token != c.out);
}

static inline void play_store_marks(struct rng *r)
{
    static const char *const name[] = {NULL, "msg_store, reject", "msg_store, drop newest", "msg_store, drop oldest",
                                       "msg_store, evict"};
    static const char *const wide_name[] = {NULL, "msg_store, reject, no place", "msg_store, drop newest, no place",
                                            "msg_store, drop oldest, no place", "msg_store, evict, no place"};
    (void)r;
    for (int wide = 0; wide < 2; wide++)
        for (int p = AMX_POLICY_REJECT; p <= AMX_POLICY_EVICT; p++) {
            unsigned full = wide ? STORE_DEPTH : p == AMX_POLICY_DROP_OLDEST ? 3 : 4;
            int why;
            if (!do_store_create(NULL, (enum amx_policy)p, wide))
                return;
            while (sc.store.n < full)
                do_msg_store(Q, NULL, 24);
            bool comes = do_msg_store_by(V_MSG_STORE, P, wide ? wide_name[p] : name[p], 8, &why) != NULL;
            assert_int_equal(why, p != AMX_POLICY_REJECT ? AMX_OK : wide ? AMX_E_NOMEM : AMX_E_FULL);
            assert_true(comes == (p >= AMX_POLICY_DROP_OLDEST));
            assert_int_equal(sc.store.n, full);
            do_msg_read(Q, NULL, &sc.store.message[0]);
            do_msg_read(P2, NULL, &sc.store.message[0]);
            if (!wide && p == AMX_POLICY_EVICT)
                do_msg_store(P, "msg_store, evicting past a guard", 16);
            do_evict(P, "store_evict");
            ok(ASK(P, NULL, .verb = V_STORE_LOOK));
            for (unsigned i = 0; i < sc.store.n; i++)
                for (int who = P2; who <= Q; who++)
                    if (sc.store.message[i].reader[who])
                        do_read_end(who, NULL, &sc.store.message[i]);
            free_messages(Q);
            do_store_remove(Q, NULL);
        }
}

/* --- Deaths ----------------------------------------------------------------------------------------------------- */

/* He was about to free it, or to change it. */
static inline void claim_of_q(struct message *m)
{
    struct amx_store s;
    ok(store_seen_by(sc.look, &s));
    amxi_a64 *word = amxi_pool_word_at(amxi_store_part(&s), AMX_SLOT_INDEX(m->token));
    uint64_t at = (uint64_t)((uint8_t *)word - (uint8_t *)sc.look->seg->base), w = amxi_ld64_rlx(word);
    amxi_st64_rlx((amxi_a64 *)(void *)(sc.view + at), AMXI_W0(AMX_STATE_CLAIMED, sc.tag[Q], AMXI_W0_GEN(w)));
    stake_message(m, Q, MAY_CLAIMED);
}

/* One that he reads with P2, one that he changes, one that was poisoned and he mends, one that he was about to free, one
 * that he is storing. */
static inline void q_has_messages(void)
{
    struct message *m = do_msg_store(P, NULL, 24);
    do_msg_read(Q, NULL, m);
    do_msg_read(P2, NULL, m);
    change(Q, do_msg_store(P, NULL, 16), 8);
    m = do_msg_store(P, NULL, 40);
    change(P, m, 24);
    do_msg_poison(P, NULL, m);
    do_msg_change(V_MSG_MEND, Q, NULL, m);
    do_reserve(Q, NULL, 32);
    do_msg_store(Q, NULL, 24);
    claim_of_q(do_msg_store(Q, NULL, 8));
}

/* P2's guard protects, Q's do not any more, and what Q was changing waits for somebody. */
static inline void after_q(void)
{
    for (unsigned i = sc.store.n; i-- > 0;) {
        struct message *m = &sc.store.message[i];
        if (m->reader[P2]) {
            do_refused(V_MSG_READ_MUT, P, NULL, m, AMX_E_BORROWED);
            do_read_end(P2, NULL, m);
            change(P, m, 8);
            do_write_end(P, "write_end of what a dead one read", m);
        }
        if (m->poisoned) {
            do_refused(V_MSG_READ, P2, NULL, m, AMX_E_POISONED);
            do_msg_change(V_MSG_MEND, P2, "msg_recover of what a dead one changed", m);
            do_msg_write(P2, NULL, m, 16);
            do_write_end(P2, NULL, m);
        }
    }
    assert_int_equal(sc.store.n, STORE_DEPTH - 1);
    free_messages(P);
}

static inline void play_store_deaths(struct rng *r)
{
    (void)r;
    if (!do_store_create(NULL, AMX_POLICY_NONE, false))
        return;
    for (int told = 0; told < 2; told++) {
        struct call c = {.verb = told ? V_RECOVER_TOLD : V_RECOVER};
        q_has_messages();
        kill_q();
        stake_of(1);
        recovered(act(P, told ? "recover messages, telling" : "recover messages", &c));
        bereave(1);
        enter_q(NULL);
        store_attach(Q);
        after_q();
    }
    q_has_messages();
    stake_of(1);
    stake_messages_of(1);
    ok(ASK(Q, "close of one who has guards", .verb = V_CLOSE));
    bereave(1);
    sc.here[Q] = false;
    sc.ticket[1] = 0;
    enter_q(NULL);
    store_attach(Q);
    after_q();
    q_has_messages();
    kill_q();
    enter_q("attach, recovering messages");
    bereave(1);
    store_attach(Q);
    after_q();
    do_store_remove(P, NULL);
}

/* --- Without a segment ------------------------------------------------------------------------------------------ */

static inline void plain_ends(void)
{
    amx_ref block = sc.store.block;
    free_messages(P);
    sc.store.at_stake = sc.store.going = true;
    ok(ASK(P, "store_remove outside of segments", .verb = V_STORE_REMOVE));
    memset(&sc.store, 0, sizeof sc.store);
    do_free(P, NULL, find_item(block));
}

/* The thread of `who` has ended with a guard of each kind. */
static inline void thread_falls(int who)
{
    struct message *m = do_msg_store(P, NULL, 24);
    do_msg_read(who, NULL, m);
    change(who, do_msg_store(P, NULL, 16), 8);
    do_reserve(who, NULL, 32);
    for (unsigned i = 0; i < sc.store.n; i++)
        stake_message(&sc.store.message[i], who, 0)->lost = true;
    ok(ASK(P, "store_recover", .verb = V_STORE_RECOVER, .n = (uint64_t)who + 1));
    bereave_view(who);
    assert_int_equal(sc.store.n, 2);
    free_messages(P);
}

static inline void play_store_threads(struct rng *r)
{
    (void)r;
    if (do_store_init("store_init, for threads", 4))
        return;
    for (int k = 0; k < 2; k++) {
        ok(ASK(P2, "store_scoped", .verb = V_STORE_SCOPED));
        if (!k)
            messages_stored(P, P2);
        messages_borrowed(P, P2);
        ok(ASK(P2, "store_close", .verb = V_STORE_CLOSE));
    }
    ok(ASK(P2, NULL, .verb = V_STORE_SCOPED));
    thread_falls(P2);
    plain_ends();
}

static inline void play_store_one(struct rng *r)
{
    (void)r;
    if (do_store_init("store_init, for one thread", 0))
        return;
    messages_stored(P, P);
    messages_borrowed(P, P);
    thread_falls(P);
    plain_ends();
}

/* --- Dice ------------------------------------------------------------------------------------------------------- */

static inline int reads_one(int who)
{
    for (unsigned i = 0; i < sc.store.n; i++)
        if (sc.store.message[i].reader[who])
            return (int)i;
    return -1;
}

static inline int changes_one(int who)
{
    for (unsigned i = 0; i < sc.store.n; i++)
        if (sc.store.message[i].writer == who)
            return (int)i;
    return -1;
}

static inline bool is_read(const struct message *m)
{
    return m->reader[P] || m->reader[P2] || m->reader[Q];
}

static inline void any_message_call(struct rng *r)
{
    int who = (int)rng_below(r, HANDLES), reads = reads_one(who), changes = changes_one(who);
    uint64_t dice = rng_below(r, 10);
    uint32_t size = (uint32_t)rng_below(r, STORE_PAYLOAD + 1);
    struct message *m = sc.store.n ? &sc.store.message[rng_below(r, sc.store.n)] : NULL;
    if (changes >= 0 && dice < 5) {
        m = &sc.store.message[changes];
        if (dice < 2 && !m->begun)
            do_msg_poison(who, "any msg_poison", m);
        else if (dice < 3)
            do_discard(who, "any msg_discard", m);
        else {
            do_msg_write(who, "any writing", m, m->begun && size > m->size ? m->size : size);
            do_write_end(who, "any write_end", m);
        }
    } else if (reads >= 0 && dice < 7) {
        do_read_end(who, "any read_end", &sc.store.message[reads]);
    } else if (!m || (dice < 3 && sc.store.n < STORE_DEPTH)) {
        if (changes >= 0 || dice)
            do_msg_store(who, "any msg_store", size);
        else
            do_reserve(who, "any msg_reserve", size);
    } else if (m->writer != NOBODY) {
        do_refused(V_MSG_FREE, who, "any msg_free, refused", m, m->begun ? AMX_E_STALE : AMX_E_BORROW_ACTIVE);
    } else if (m->poisoned) {
        if (changes < 0 && dice < 8)
            do_msg_change(V_MSG_MEND, who, "any msg_recover", m);
        else
            do_msg_free(who, "any msg_free of a poisoned one", m);
    } else if (dice < 7) {
        do_msg_read(who, "any msg_read", m);
    } else if (is_read(m)) {
        do_refused(V_MSG_READ_MUT, who, "any msg_read_mut, refused", m, AMX_E_BORROWED);
    } else if (dice < 9 && changes < 0) {
        do_msg_change(V_MSG_READ_MUT, who, "any msg_read_mut", m);
    } else {
        do_msg_free(who, "any msg_free", m);
    }
}

static inline void play_store_any(struct rng *r)
{
    if (!do_store_create(NULL, AMX_POLICY_NONE, false))
        return;
    for (int turn = 0; turn < 150; turn++) {
        if (turn % 50 == 49) {
            kill_q();
            stake_of(1);
            recovered(ASK(P, "recover any messages", .verb = V_RECOVER));
            bereave(1);
            enter_q(NULL);
            store_attach(Q);
        }
        any_message_call(r);
    }
    do_store_remove(P, "store_remove with messages");
}

#endif
