/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every pair of operations, one inside the other: the first is stopped before each of its stores in turn, the second
 * runs from beginning to end on another handle, then the first goes on. So each interleaving of the regression tests
 * that needs one operation between two steps of another (S4, S5, C1-C5, a resize against a free) happens for certain.
 * Then three deep, at random. What must hold whatever happens: each life of a block ends at most once, whatever lives
 * has its bytes, memory that is there is found, and in the end every byte is free.
 */
#include "meeting.h"

#include "atomic.h"

/* --- Stopping before a store ----------------------------------------------------------------------------------- */

static struct {
    int depth;          /* operations that are under way */
    long left[DEPTH];   /* stores until the operation at this depth is interrupted; negative: never again */
    void (*next)(void); /* what runs then */
} plot;

void amxi_hook(const volatile void *addr, size_t len)
{
    int d = plot.depth - 1;

    (void)addr;
    (void)len;
    if (d >= 0 && d < DEPTH && plot.left[d] >= 0 && plot.left[d]-- == 0)
        plot.next();
}

/* What was going on, before the process ends. */
static void tell(void)
{
    for (int d = 0; d < DEPTH; d++)
        if (scene.op[d] < OPS)
            fprintf(stderr, "depth %d: %s on handle %d, %ld stores left, %s\n", d, names[scene.op[d]], scene.who[d],
                    plot.left[d], scene.warm ? "warm" : "cold");
}

static void act_at_depth(void)
{
    int d = plot.depth++;

    act(scene.h[scene.who[d]], scene.op[d]);
    plot.depth--;
}

static void open_scene(void)
{
    scene.h[0] = new_segment(128 << 10); /* room for three large blocks, wherever the others lie */
    for (int i = 1; i < DEPTH; i++)
        scene.h[i] = new_handle(scene.h[0]);
    for (int d = 0; d < DEPTH; d++)
        scene.op[d] = OPS;
    plot.next = act_at_depth;
}

static void close_scene(void)
{
    for (int i = 1; i < DEPTH; i++)
        ok(amx_unshare(scene.h[i]));
    close_free(scene.h[0]);
}

/* Runs first and second, second before the n-th store of first. false: first has fewer stores. */
static bool pair(enum op first, enum op second, int who, long n)
{
    scene.op[0] = first;
    scene.op[1] = second;
    scene.who[0] = who;
    scene.who[1] = 1 - who;
    plot.depth = 0;
    scene_set();
    plot.left[0] = n;
    plot.left[1] = plot.left[2] = -1;
    act_at_depth();
    bool met = plot.left[0] < 0;
    plot.depth = 0;
    scene_judge();
    return met;
}

static void every_pair_at_every_store(void **state)
{
    long share = scaled(100);
    long step = share < 100 ? 100 / share : 1; /* only some of the places where there is a hurry */
    long runs = 0;

    (void)state;
    open_scene();
    for (int first = 0; first < TABLES; first++)
        for (int second = 0; second < TABLES; second++)
            for (int how = 0; how < 4; how++) {
                scene.warm = how & 2;
                for (long n = how % step; pair((enum op)first, (enum op)second, how & 1, n); n += step)
                    runs++;
            }
    note("%ld interleavings of two operations", runs);
    close_scene();
}

static void three_deep_at_random(void **state)
{
    struct rng dice = rng_make(test_seed(), 33);

    (void)state;
    open_scene();
    for (long i = scaled(40000); i > 0; i--) {
        uint64_t shift = rng_below(&dice, DEPTH);

        scene.warm = rng_below(&dice, 2);
        for (int d = 0; d < DEPTH; d++) {
            scene.op[d] = (enum op)rng_below(&dice, BY_OFFSET);
            scene.who[d] = (int)((shift + (uint64_t)d) % DEPTH);
        }
        plot.depth = 0;
        scene_set();
        for (int d = 0; d < DEPTH - 1; d++)
            plot.left[d] = (long)rng_below(&dice, rng_below(&dice, 4) ? 12 : 80);
        plot.left[DEPTH - 1] = -1;
        act_at_depth();
        plot.depth = 0;
        scene_judge();
    }
    close_scene();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_at_every_store),
        cmocka_unit_test(three_deep_at_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
