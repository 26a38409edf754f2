/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call on small blocks, and any calls in any order, killed before every store. How: copies.h.
 */
#include "local.h"

/* --- Dice -------------------------------------------------------------------------------------------------------- */

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
        amx_recover(h, 0, NULL, NULL, NULL);
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

PLAY(small_blocks, play_alloc, play_aligned, play_merge, play_foreign, play_generations)
PLAY(queues, play_queue, play_busy, play_inside)
PLAY(a_full_segment, play_full, play_waiters)
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
