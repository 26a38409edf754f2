/* SPDX-License-Identifier: Apache-2.0 */
/* What the third and the fourth process do with the store while one is stopped in a call. Part of torture.c. */
#ifndef AMX_TEST_STORE_SCRIPT_H
#define AMX_TEST_STORE_SCRIPT_H

/* As with pools. A plain one has no other processes. */
static bool store_joined_by(int who)
{
    if (!sc.store.block || sc.store.going || sc.store.plain)
        return false;
    int e = BID(who, .verb = V_STORE_ATTACH, .ref = sc.store.block);
    assert_true(e == AMX_OK || sc.store.at_stake);
    return e == AMX_OK;
}

/* AMX_TOKEN_INVALID: there is no place. */
static amx_token strange_message(int who)
{
    struct call c = {.verb = V_MSG_STORE, .n = 16};
    int e = bid(who, &c);
    assert_true(e == AMX_OK || e == AMX_E_NOMEM);
    return e ? AMX_TOKEN_INVALID : c.out;
}

/* The third one reads a message, changes one and stores one when it is killed; in a store with marks it would take others'
 * places. */
static void messages_of_third(struct third *r)
{
    if (!store_joined_by(THIRD) || sc.store.config.marks.policy)
        return;
    if ((r->message[0] = strange_message(THIRD)) != AMX_TOKEN_INVALID)
        ok(BID(THIRD, .verb = V_MSG_READ, .ref = r->message[0]));
    if ((r->message[1] = strange_message(THIRD)) != AMX_TOKEN_INVALID)
        ok(BID(THIRD, .verb = V_MSG_READ_MUT, .ref = r->message[1]));
    int e = BID(THIRD, .verb = V_MSG_RESERVE, .n = 8);
    assert_true(e == AMX_OK || e == AMX_E_NOMEM);
}

static void survivor_recovers_store(unsigned living)
{
    if (!sc.store.plain)
        return;
    for (int who = 0; who < HANDLES; who++)
        if (!(living >> peer_of[who] & 1) && (uint32_t)who < (sc.store.config.threads ? sc.store.config.threads : 1)) {
            int e = BID(SURVIVOR, .verb = V_STORE_RECOVER, .ref = sc.store.block, .store = sc.store.config,
                        .n = (uint64_t)who + 1);
            assert_true(e == AMX_OK || sc.store.at_stake);
        }
}

/* What the listed ones are to somebody who comes. */
static void others_messages(unsigned living)
{
    for (unsigned i = 0; i < sc.store.n; i++) {
        const struct message *m = &sc.store.message[i];
        int e = BID(SURVIVOR, .verb = V_MSG_READ, .ref = m->token);
        bool lives = m->writer != NOBODY && living >> peer_of[m->writer] & 1;
        if (!m->at_stake) /* the survivor has recovered what the dead were changing */
            assert_int_equal(e, m->begun                             ? AMX_E_STALE
                                : lives                              ? AMX_E_BORROWED
                                : m->poisoned || m->writer != NOBODY ? AMX_E_POISONED
                                                                     : AMX_OK);
        if (!e)
            ok(BID(SURVIVOR, .verb = V_MSG_READ_END));
        if (read_by_the_living(m, living))
            fails(AMX_E_BORROW_ACTIVE, BID(SURVIVOR, .verb = V_MSG_FREE, .ref = m->token));
    }
}

/* Every call, then all places that are to be had, and back. */
static void store_script(const struct third *r)
{
    amx_token all[STORE_DEPTH];
    struct call look = {.verb = V_STORE_LOOK}, c;
    unsigned living = (sc.here[P] ? 1u : 0) | (sc.here[Q] ? 2u : 0), n = 0;
    if (!store_joined_by(SURVIVOR))
        return;
    if (r->message[0]) { /* no guard of the dead counts */
        ok(BID(SURVIVOR, .verb = V_MSG_PEEK, .ref = r->message[0]));
        ok(BID(SURVIVOR, .verb = V_MSG_READ_MUT, .ref = r->message[0]));
        c = (struct call){.verb = V_MSG_WRITE, .n = 24};
        ok(bid(SURVIVOR, &c));
        ok(BID(SURVIVOR, .verb = V_MSG_END));
        ok(BID(SURVIVOR, .verb = V_MSG_FREE, .ref = r->message[0]));
    }
    if (r->message[1]) {
        fails(AMX_E_POISONED, BID(SURVIVOR, .verb = V_MSG_READ, .ref = r->message[1]));
        ok(BID(SURVIVOR, .verb = V_MSG_MEND, .ref = r->message[1]));
        ok(BID(SURVIVOR, .verb = V_MSG_POISON));
        ok(BID(SURVIVOR, .verb = V_MSG_FREE, .ref = r->message[1]));
    }
    judge_store(sc.look, living, false); /* what the third one had is free, and it took nothing from others */
    others_messages(living);
    ok(bid(SURVIVOR, &look));
    if (sc.store.config.marks.policy)
        return;
    bool counting = t.counting;
    t.counting = false;
    for (amx_token m; (m = strange_message(SURVIVOR)) != AMX_TOKEN_INVALID; all[n++] = m)
        assert_true(n < STORE_DEPTH);
    assert_int_equal(n + look.got, STORE_DEPTH);
    while (n)
        ok(BID(SURVIVOR, .verb = V_MSG_FREE, .ref = all[--n]));
    t.counting = counting;
}

/* --- Two who want the same message -------------------------------------------------------------------------------- */

static const struct {
    enum store_verb verb, end; /* end: of its guard, or EVERY_VERB */
} wants[] = {{V_MSG_READ, V_MSG_READ_END}, {V_MSG_READ_MUT, V_MSG_END}, {V_MSG_FREE, EVERY_VERB}};

static bool refusal(int e)
{
    return e == AMX_E_BORROWED || e == AMX_E_BORROW_ACTIVE || e == AMX_E_STALE || e == AMX_E_DOUBLE_FREE;
}

/* P is stopped behind `steps` instructions of its call; meanwhile Q does his, then P goes on. false: P had ended before. */
static bool borrow(unsigned p_wants, unsigned q_wants, unsigned steps)
{
    struct call c = {.verb = V_MSG_STORE, .n = 16};
    uint64_t pc;
    bool more = true;
    ok(act(P, NULL, &c));
    amx_token token = c.out;
    c = (struct call){.verb = wants[p_wants].verb, .ref = token};
    struct control *ctl = told_to(P, &c);
    for (unsigned k = 0; k < steps && more; k++) {
        more = proc_step(proc_of(P), &pc);
        executed(pc);
    }
    int q = ASK(Q, NULL, .verb = wants[q_wants].verb, .ref = token);
    while (more && proc_step(proc_of(P), &pc))
        executed(pc);
    int p = ctl->call.answer;
    assert_true(!p || refusal(p));
    assert_true(!q || refusal(q));
    assert_true(p || q); /* never both */
    assert_true(!p || !q || p_wants == 0 ||
                q_wants == 0); /* of two who claim it one gets it; a reader and he may both give way */
    if (!p && wants[p_wants].end < EVERY_VERB)
        ok(ASK(P, NULL, .verb = wants[p_wants].end));
    if (!q && wants[q_wants].end < EVERY_VERB)
        ok(ASK(Q, NULL, .verb = wants[q_wants].end));
    int e = ASK(Q, NULL, .verb = V_MSG_FREE, .ref = token);
    bool freed = (!p && p_wants == 2) || (!q && q_wants == 2);
    assert_int_equal(e, freed ? AMX_E_DOUBLE_FREE : AMX_OK);
    t.stops++;
    return more;
}

/* At each instruction of a reader, of one who changes and of one who frees, another of the three. */
static void store_borrowers(void **state)
{
    unsigned n = sizeof wants / sizeof *wants, trials = 0;
    (void)state;
    t.mode = STOP;
    t.target.ordinal = UINT32_MAX;
    scene_open(shape[0].size, shape[0].sector);
    assert_true(do_store_create(NULL, AMX_POLICY_NONE, false));
    for (unsigned k = 1; k < n * n; k++) /* two readers do not meet */
        for (unsigned steps = 1 + t.worker % t.workers; borrow(k / n, k % n, steps); steps += t.workers)
            trials++;
    do_store_remove(P, NULL);
    scene_close();
    t.mode = SWEEP;
    note("%u times another came between two instructions of one who borrows", trials);
}

#endif
