/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call on small blocks, and any calls in any order, killed before every store. How: copies.h.
 */
#include "local.h"

/* --- Dice -------------------------------------------------------------------------------------------------------- */

static void partly(int answer)
{
    assert_true(answer == AMX_OK || (answer == AMX_E_PARTIAL && shots.before)); /* somebody was in between */
}

static void any_call(struct rng *r)
{
    int who = (int)rng_below(r, HANDLES), to = (int)rng_below(r, HANDLES);
    unsigned i = sc.n ? (unsigned)rng_below(r, sc.n) : 0;
    uint64_t dice = rng_below(r, sc.n < 4 ? 6 : 24);
    size_t n = rng_below(r, 6) ? rng_range(r, 1, 200) : rng_range(r, 200, sc.g.su * 12);
    switch (dice) {
    case 0:
    case 1:
    case 2:
        do_alloc(who, "any alloc", n);
        break;
    case 3:
        do_alloc(who, "any large alloc", rng_range(r, sc.g.su * 14, sc.g.su * 16 * 4));
        break;
    case 4:
        do_aligned(who, "any aligned alloc", (size_t)32 << rng_below(r, 8), n);
        break;
    case 5:
        do_many(who, "any alloc_many", n, rng_below(r, 8));
        break;
    case 6:
        do_free_many(who, "any free_many", rng_below(r, 8));
        break;
    case 7:
    case 8:
        if (sc.item[i].peer == NOBODY)
            do_adopt(who, "any adopt", i);
        else
            do_publish(who, "any publish", i);
        break;
    case 9:
        do_give(who, "any give", i, to);
        break;
    case 10:
        do_state(who, "any state", i, (uint32_t)rng_range(r, AMX_STATE_USER_MIN, AMX_STATE_MAX));
        break;
    case 11:
    case 12:
        do_resize(who, "any resize", i, rng_below(r, 3) ? n : sc.item[i].n + rng_below(r, 64));
        break;
    case 13:
    case 14:
        do_ack(who, "any ack", i);
        break;
    case 15:
        do_coalesce(who, "any coalesce", i);
        break;
    case 16:
        partly(ASK(who, "any trim", .verb = V_TRIM));
        break;
    case 17:
        partly(ASK(who, "any heal", .verb = V_HEAL));
        break;
    default:
        do_free(who, "any free", i);
    }
}

static void play_dice(uint64_t seed, unsigned games)
{
    for (unsigned k = 0; k < sizeof shape / sizeof *shape; k++)
        for (unsigned game = 0; game < games; game++) {
            struct rng r = rng_make(seed, k * 100 + game);
            scene_open(shape[k].size, shape[k].sector);
            for (int turn = 0; turn < (k ? 150 : 300); turn++) {
                any_call(&r);
                while (sc.n > 100)
                    do_free_many(P, "free_many", 16);
                if (turn % 10 == 0)
                    judge_all(sc.look, 3);
            }
            scene_close();
        }
}

static void dice(void **state)
{
    (void)state;
    play_dice(test_seed(), everything() ? 20 : 6);
}

/* --- Somebody else in between ------------------------------------------------------------------------------------ */

static struct rng intruder;

static void visit(amx_t *h, size_t n)
{
    amx_ref ref;
    size_t got;
    void *p;
    if (amx_alloc(h, n, &ref))
        return;
    ok(amx_usable(h, ref, &got));
    ok(amx_ptr(h, ref, &p));
    memset(p, 0xff, got);
    if (rng_below(&intruder, 2))
        ok(amx_free(h, ref));
    else
        ok(amx_raw_ack(h, (uint64_t)AMXI_REF_UNIT(ref) * AMXI_UNIT - AMX_HEADER_SPACE));
}

/* Before some stores another handle does a whole call: nobody waits for anybody, so it ends. */
static bool intrude(void)
{
    amx_t *h = hand[(shots.who + 1 + (int)rng_below(&intruder, HANDLES - 1)) % HANDLES];
    if (shots.nth < 4) {
        amx_heal(h); /* the one that goes everywhere */
        return true;
    }
    if (rng_below(&intruder, 8))
        return true;
    switch (rng_below(&intruder, 6)) {
    case 0:
        amx_heal(h);
        break;
    case 1:
        amx_trim(h);
        break;
    case 2:
        visit(h, rng_range(&intruder, sc.g.su * 14, sc.g.su * 16 * 4));
        break;
    case 3:
        amx_recover(h, NULL);
        break;
    default:
        visit(h, rng_range(&intruder, 1, sc.g.su * 8));
    }
    return true;
}

static void intruders(void **state)
{
    uint64_t seed = test_seed() + 1;
    (void)state;
    intruder = rng_make(seed, 1000);
    shots.before = intrude;
    play_dice(seed, everything() ? 20 : 6);
    shots.before = NULL;
}

/* --- All of them -------------------------------------------------------------------------------------------------- */

PLAY(small_blocks, play_alloc, play_aligned, play_merge, play_foreign)
PLAY(queues, play_queue, play_busy)
PLAY(a_full_segment, play_full)
PLAY(resizing, play_resize)
PLAY(damage, play_damage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYED(small_blocks), PLAYED(queues),    PLAYED(a_full_segment), PLAYED(resizing),
        PLAYED(dice),         PLAYED(intruders), PLAYED(damage),         PLAYED(totals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
