/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call on large blocks, on owners, handles and processes, killed before every store. How: copies.h.
 */
#include "local.h"

/* --- A receiver who dies --------------------------------------------------------------------------------------- */

static unsigned receiver_dies_at;

static bool receiver_dies(void)
{
    if (shots.store == receiver_dies_at / 2) {
        stake_of(1);
        kill_q();
        if (receiver_dies_at % 2) { /* and another thread of the giver's process recovers him at once */
            int e = amx_recover(hand[P2], 0, NULL, NULL, NULL);
            assert_true(e == AMX_OK || e == AMX_E_PARTIAL);
        }
    }
    return true;
}

static void give_to(amx_id to, const char *op, unsigned i)
{
    struct call c = {.verb = V_GIVE, .ref = sc.item[i].ref, .to = to};
    sc.more = 1;
    stake(i);
    int e = act(P, op, &c);
    settled(i);
    assert_true(e == AMX_OK || e == AMX_E_PEER_DEAD);
    sc.item[i].ref = c.out;
    if (!e) {
        sc.item[i].peer = 1;
        sc.item[i].tag = AMXI_ID_TAG(to);
    }
}

/* The receiver of a gift dies before one of the giver's stores, and the giver at that one or a later one. */
static void play_give_to_dying(struct rng *r)
{
    (void)r;
    for (receiver_dies_at = 2; receiver_dies_at < 16; receiver_dies_at++) {
        unsigned i = do_alloc(P, "alloc", 64), j = do_alloc(P, "alloc", 64);
        amx_id to = sc.id[Q];
        shots.before = receiver_dies;
        give_to(to, "give to one who is dying", i);
        shots.before = NULL;
        if (sc.here[Q])
            kill_q();
        give_to(to, "give to a dead one", j); /* if nobody has noticed yet, he gets it */
        stake_of(1);
        ok(ASK(P, "recover one who was given to", .verb = V_RECOVER));
        bereave(1);
        enter_q(NULL);
    }
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
    aim(P, "create");
    ok(amx_create(made_path, &o, &h));
    lower(0);
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
PLAY(objects, play_objects)
PLAY(pools, play_pool_making, play_pool_growth, play_pool_slots, play_pool_deaths, play_pool_plain)
PLAY(processes, play_processes, play_full_tables, play_all_dead, play_no_entry)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYED(creation), PLAYED(large_blocks), PLAYED(owners), PLAYED(objects),
        PLAYED(pools),    PLAYED(processes),    PLAYED(totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
