/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call on large blocks, on owners, handles and processes, killed before every store. How: copies.h.
 */
#include "copies.h"

/* --- Large blocks ---------------------------------------------------------------------------------------------- */

static void large_life(const char *make, size_t align, uint64_t units)
{
    unsigned i = align > 16 ? do_aligned(P, make, align, bytes_of(units)) : do_alloc(P, make, bytes_of(units));
    if (i == BLOCKS)
        return;
    do_alloc(Q, "alloc beside a large block", 48);
    do_state(P2, "set_state of a large block", i, 50);
    do_publish(P, "publish a large block", i);
    do_adopt(Q, "adopt a large block", i);
    do_give(Q, "give a large block", i, P2);
    do_resize(P, "resize a large block of another handle", i, bytes_of(units - 3));
    do_state(P, "set_state of a large block", i, 2500);
    do_resize(P, "resize a kept large block", i, bytes_of(units / 2));
    do_free(Q, "free a large block", i);
}

static void play_large(struct rng *r)
{
    uint64_t su = sc.g.su;
    (void)r;
    large_life("large alloc, whole sectors", 16, 3 * su);
    large_life("alloc of a whole sector", 16, su);
    large_life("large alloc, with a tail", 16, 2 * su + 40);
    large_life("large alloc, nearly whole", 16, 2 * su - 1);
    large_life("large alloc, tail of a unit", 16, su + 1);
    large_life("large alloc, aligned", 64, 2 * su);
    large_life("large alloc, aligned to a page", 4096, 2 * su + 7);
}

/* A handle whose next blocks begin a sector, not the first one: *front is the first of them, and ends with that sector's
 * first quarter. HANDLES: there is none. */
static int at_front(unsigned *front)
{
    for (int who = 0; who < HANDLES; who++) {
        *front = do_alloc(who, "alloc", bytes_of(sc.g.su / 4));
        if (*front == BLOCKS)
            return HANDLES;
        if (sector_of(*front) && unit_of(*front) % sc.g.su == 0)
            return who;
        do_free(who, "free", *front);
    }
    return HANDLES;
}

/* The tail's sector begins with a free block of just the units that are wanted, or of more. */
static void play_tail(struct rng *r)
{
    (void)r;
    for (unsigned spare = 0; spare < 6; spare += 2) {
        unsigned front;
        int who = at_front(&front);
        assert_true(who < HANDLES || !sc.empty);
        if (who == HANDLES)
            continue;
        uint32_t j = sector_of(front);
        unsigned behind = do_alloc(who, "alloc", bytes_of(sc.g.su / 4));
        bool there = behind < BLOCKS && sector_of(behind) == j;
        assert_true(there || !sc.empty);
        if (!there)
            continue;
        amx_ref keep = sc.item[behind].ref;
        do_free(P, "free", front);
        unsigned i = do_alloc(P, spare ? "large alloc, tail in a free block" : "large alloc, tail is a free block",
                              bytes_of((uint64_t)j * sc.g.su + sc.g.su / 4 - spare));
        assert_true(i < BLOCKS || !sc.empty);
        if (i == BLOCKS)
            continue;
        /* the tail is taken back by a later holder */
        struct amxi_sec x;
        ok(amxi_sec_enter(sc.h[Q]->seg, j, sc.h[Q]->tag, &x));
        sc.held = true;
        do_free(P, "free a large block, its tail is busy", i);
        amxi_sec_leave(&x);
        sc.held = false;
        if (spare == 4)
            ok(SHOT(P, "heal, taking back a tail", amx_heal(sc.h[P])));
        else
            do_free(P, "free, taking back a tail", find_item(keep));
    }
}

/* The hints lie, so that a claim fails in the middle; memory comes back from caches, queues and the dead. */
static void play_scarce(struct rng *r)
{
    (void)r;
    unsigned i = do_alloc(Q, "alloc", 100);
    uint32_t s = sector_of(i);
    amxi_st8_rlx(amxi_avail(sc.h[P]->seg, s), AMXI_AVAIL_WHOLE);
    i = do_alloc(P, "large alloc, misled by a hint", bytes_of(3 * (uint64_t)sc.g.su));
    if (i < BLOCKS)
        do_free(P, "free a large block", i);
    while (sc.n)
        do_free(P2, "free all", sc.n - 1);
    i = do_alloc(P, "large alloc, after trim and heal", bytes_of((uint64_t)sc.g.sectors * sc.g.su));
    if (i < BLOCKS) {
        do_publish(P, "publish all of the segment", i);
        do_free(Q, "free all of the segment", i);
    }
}

/* --- Owners ----------------------------------------------------------------------------------------------------- */

static void play_owners(struct rng *r)
{
    (void)r;
    unsigned i = do_alloc(P, "alloc", 200);
    do_publish(P, "publish", i);
    do_adopt(Q, "adopt", i);
    do_give(Q, "give", i, P2);
    do_give(P, "give another's", i, Q);
    do_give(Q, "give to myself", i, Q);
    amxi_a32 *giving = &amxi_handle(sc.h[Q]->seg, sc.h[Q]->tag - 1)->giving;
    amxi_st32_sc(giving, sc.h[P]->tag); /* Q is stopped in the middle of the same */
    sc.held = true;
    do_give(P, "give to one who gives to me", i, Q);
    sc.held = false;
    amxi_st32_sc(giving, 0);
    do_state(P, "set_state", i, 100);
    do_state(Q, "transition", i, 101);
    do_state(Q, "transition to a kept state", i, 4095);
    do_publish(P, "publish in a kept state", i);
    do_give(P, "give a published one", i, Q);
    do_state(Q, "transition from a kept state", i, 101);
    for (int order = AMX_RELAXED; order <= AMX_SEQ_CST; order++) {
        stake(i);
        ok(SHOT(P, "transition, any order",
                amx_transition(sc.h[P], sc.item[i].ref, 101, 101, (enum amx_order)order, NULL)));
        settled(i);
    }
    fails(AMX_E_STATE, SHOT(P, "transition, lost", amx_transition(sc.h[P], sc.item[i].ref, 99, 98, AMX_SEQ_CST, NULL)));
    ok(SHOT(P, "root_set", amx_root_set(sc.h[P], 3, sc.item[i].ref)));
    ok(SHOT(P, "root_cas", amx_root_cas(sc.h[P], 3, sc.item[i].ref, AMX_REF_NONE, NULL)));

    amx_t *more;
    amx_ref ref[3];
    for (int k = 0; k < 2; k++) { /* the second time it takes over what the first one left */
        ok(SHOT(P, k ? "share again" : "share", amx_share(sc.h[P], &more)));
        for (int j = 0; j < 3; j++)
            ok(amx_alloc(more, 40, &ref[j]));
        ok(amx_free(more, ref[0]));
        ok(amx_free(more, ref[1]));
        unsigned left = add(P, ref[2]);
        sc.item[left].tag = more->tag;
        ok(SHOT(P, "unshare", amx_unshare(more)));
        do_give(P, "give a closed handle's", left, P);
    }
}

/* No handle is left; then a dead process has some. */
static void play_full_tables(struct rng *r)
{
    amx_t *more, *stranger;
    (void)r;
    do_alloc(Q, "alloc", 100);
    for (unsigned i = HANDLES; i < sc.g.handles; i++)
        ok(amx_share(sc.h[P], &more));
    sc.full = true;
    fails(AMX_E_FULL, SHOT(P, "share, no handle left", amx_share(sc.h[P], &more)));
    fails(AMX_E_FULL, SHOT(STRANGER, "attach, no handle left", amx_attach_fd(amx_fd(sc.h[P]), NULL, &stranger)));
    kill_q();
    stake_of(1);
    ok(SHOT(P, "share, recovering", amx_share(sc.h[P], &more)));
    sc.full = false;
    bereave(1);
}

static unsigned receiver_dies_at;

static bool receiver_dies(void)
{
    if (shots.store == receiver_dies_at / 2) {
        stake_of(1);
        kill_q();
        if (receiver_dies_at % 2) { /* and another thread of the giver's process recovers him at once */
            int e = amx_recover(sc.h[P2], NULL);
            assert_true(e == AMX_OK || e == AMX_E_PARTIAL);
        }
    }
    return true;
}

/* The receiver of a gift dies before one of the giver's stores, and the giver at that one or a later one. */
static void play_give_to_dying(struct rng *r)
{
    (void)r;
    for (receiver_dies_at = 2; receiver_dies_at < 16; receiver_dies_at++) {
        amx_ref ref, out;
        unsigned i = do_alloc(P, "alloc", 64), j = do_alloc(P, "alloc", 64);
        amx_id to = amx_handle_id(sc.h[Q]);
        ref = sc.item[i].ref;
        sc.more = 1;
        stake(i);
        shots.before = receiver_dies;
        int e = SHOT(P, "give to one who is dying", amx_give(sc.h[P], ref, to, &out));
        shots.before = NULL;
        settled(i);
        assert_true(e == AMX_OK || e == AMX_E_PEER_DEAD);
        sc.item[i].ref = out;
        if (!e) {
            sc.item[i].peer = 1;
            sc.item[i].tag = AMXI_ID_TAG(to);
        }
        if (sc.h[Q])
            kill_q();
        ref = sc.item[j].ref;
        sc.more = 1;
        stake(j);
        e = SHOT(P, "give to a dead one", amx_give(sc.h[P], ref, to, &out));
        settled(j);
        assert_true(e == AMX_OK || e == AMX_E_PEER_DEAD); /* if nobody has noticed yet, he gets it */
        sc.item[j].ref = out;
        if (!e) {
            sc.item[j].peer = 1;
            sc.item[j].tag = AMXI_ID_TAG(to);
        }
        stake_of(1);
        ok(SHOT(P, "recover one who was given to", amx_recover(sc.h[P], NULL)));
        bereave(1);
        enter_q();
    }
}

/* --- Processes -------------------------------------------------------------------------------------------------- */

/* Something of each kind for both processes. */
static void furnish(void)
{
    for (int who = 0; who < HANDLES; who++) {
        unsigned i = do_alloc(who, "alloc", 100);
        do_state(who, "set_state", i, 60);
        i = do_alloc(who, "alloc", 200);
        do_state(who, "set_state", i, 2222);
        do_alloc(who, "alloc", 48);
        do_free(who, "free", sc.n - 1);
        do_alloc(who, "large alloc", bytes_of(sc.g.su + 20));
        do_ack(who, "ack", do_alloc(who, "alloc", 64));
    }
}

static void play_processes(struct rng *r)
{
    (void)r;
    furnish();
    for (int way = 0; way < 4; way++) {
        uint64_t freed = 0;
        amx_ref ref;
        unsigned owned = 0;
        kill_q();
        for (unsigned i = 0; i < sc.n; i++)
            owned += sc.item[i].peer == 1 && sc.item[i].state < AMX_STATE_KEPT;
        stake_of(1);
        int e;
        switch (way) {
        case 0:
            ok(SHOT(P, "recover", amx_recover(sc.h[P], &freed)));
            assert_true(freed >= owned);
            break;
        case 1: /* only with what the dead had */
            e = SHOT(P, "alloc, recovering", amx_alloc(sc.h[P], bytes_of((uint64_t)sc.g.su * sc.g.sectors), &ref));
            assert_true(e == AMX_E_NOMEM);
            break;
        case 2: /* attaching recovers; nobody knows his ticket before he has one */
            ok(SHOT(STRANGER, "attach, recovering", amx_attach_fd(amx_fd(sc.h[P]), NULL, &sc.h[Q])));
            sc.ticket[1] = sc.h[Q]->seg->ticket;
            break;
        default:
            ok(SHOT(P2, "recover", amx_recover(sc.h[P2], NULL)));
            ok(SHOT(P2, "recover, nothing to do", amx_recover(sc.h[P2], NULL)));
        }
        bereave(1);
        if (!sc.h[Q]) {
            ok(SHOT(STRANGER, "attach", amx_attach_fd(amx_fd(sc.h[P]), NULL, &sc.h[Q])));
            sc.ticket[1] = sc.h[Q]->seg->ticket;
        }
        do_alloc(Q, "alloc", 300);
        do_give(P, "give", do_alloc(P, "alloc", 80), Q);
        if (way != 1)
            do_alloc(Q, "large alloc", bytes_of(sc.g.su + 33));
    }
    stake_of(1);
    ok(SHOT(Q, "close", amx_close(sc.h[Q])));
    bereave(1);
    sc.h[Q] = NULL;
    sc.ticket[1] = 0;
    stake_of(0);
    int fd = dup(amx_fd(sc.h[P]));
    ok(SHOT(P, "close, the last one", amx_close(sc.h[P])));
    bereave(0);
    sc.ticket[0] = 0;
    ok(amx_attach_fd(fd, NULL, &sc.h[P]));
    close(fd);
    judge_all(sc.h[P], 0);
}

/* --- Creation ----------------------------------------------------------------------------------------------------- */

static char made_path[256];

static bool not_there_yet(void)
{
    assert_int_equal(access(made_path, F_OK), -1);
    return false;
}

/* Until it is complete nobody can see it: what a creator leaves that dies is nothing. */
static void creation(void **state)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    const char *dir = getenv("AMX_DIR");
    amx_t *h;
    (void)state;
    snprintf(made_path, sizeof made_path, "%s/copies-%d", dir && *dir ? dir : "/dev/shm", (int)getpid());
    o.size = AMX_SIZE_MIN;
    shots.before = not_there_yet;
    ok(SHOT(P, "create", amx_create(made_path, &o, &h)));
    shots.before = NULL;
    assert_true(shots.store > 100);
    assert_int_equal(access(made_path, F_OK), 0);
    judge(h, AMX_GRADE_NOTE);
    ok(amx_close(h));
    ok(amx_unlink(made_path, NULL));
}

/* --- All of them -------------------------------------------------------------------------------------------------- */

PLAY(large_blocks, play_large, play_tail, play_scarce)
PLAY(owners, play_owners, play_give_to_dying)
PLAY(processes, play_processes, play_full_tables)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYED(creation), PLAYED(large_blocks), PLAYED(owners), PLAYED(processes), PLAYED(totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
