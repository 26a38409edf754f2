/* SPDX-License-Identifier: Apache-2.0 */
/* The defects of the published code that need processes (see tests/unit/regression_test.c): S11, S12. */
#include "tests/workload.h"

#include <dirent.h>

#define KIB UINT64_C(1024)

/* Files of the segment directory whose name contains `part`. */
static int files_like(const char *part)
{
    const char *dir = getenv("AMX_DIR");
    DIR *d = opendir(dir && *dir ? dir : "/dev/shm");
    int n = 0;

    must(d != NULL);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += strstr(e->d_name, part) != NULL;
    closedir(d);
    return n;
}

/* Nothing removed a segment: each run left one behind. */
static void s11_segments_can_be_removed(void **state)
{
    const char *name = test_name();
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h = NULL;
    amx_t *again = NULL;
    amx_ref ref;

    (void)state;
    o.size = 64 * KIB;
    ok(amx_create(name, &o, &h));
    assert_int_equal(files_like(name), 1);
    ok(amx_unlink(name, NULL));
    assert_int_equal(files_like(name), 0);
    fails(AMX_E_NOENT, amx_attach(name, NULL, &again));
    ref = alloc(h, 1000); /* those attached keep their memory */
    mark(h, ref, 11);
    verify(h, ref, 11);
    ok(amx_free(h, ref));
    close_free(h);
    /* and by itself, with the last who leaves */
    o.flags = AMX_F_REMOVE_LAST;
    ok(amx_create(name, &o, &h));
    ok(amx_attach(name, NULL, &again));
    ok(amx_close(h));
    assert_int_equal(files_like(name), 1);
    ok(amx_close(again));
    assert_int_equal(files_like(name), 0);
}

_Noreturn static void create_role(char **argv)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *control = NULL;
    amx_t *h = NULL;

    must_ok(amx_attach(argv[3], NULL, &control));
    o.size = 1024 * KIB;
    must_ok(amx_root_set(control, 0, 1));
    for (;;) {
        must_ok(amx_create(argv[2], &o, &h));
        must_ok(amx_close(h));
        must_ok(amx_unlink(argv[2], NULL));
    }
}

/* Root 0 of a segment tells that the process has begun. */
static void wait_begun(amx_t *h)
{
    amx_ref r = AMX_REF_NONE;

    while (r == AMX_REF_NONE) {
        sched_yield();
        must_ok(amx_root_get(h, 0, &r));
    }
    must_ok(amx_root_set(h, 0, AMX_REF_NONE));
}

/* Burns a random while, so that the kill comes anywhere. */
static void dawdle(struct rng *dice, uint64_t most_ns)
{
    uint64_t end = clock_ns() + rng_below(dice, most_ns);

    while (clock_ns() < end)
        sched_yield();
}

/* A creator that died left a half-formatted segment, and all who attached waited for it for ever. Killed anywhere, ours
 * leaves nothing, or a segment that is complete. */
static void s12_a_creator_dies(void **state)
{
    const char *name = test_name();
    struct rng dice = rng_make(test_seed(), 12);
    amx_t *control = NULL;
    const char *control_name = test_name();
    long nothing = 0;
    long complete = 0;

    (void)state;
    ok(amx_create(control_name, NULL, &control));
    for (long i = scaled(100); i > 0; i--) {
        pid_t pid = spawn("create", name, control_name, (char *)NULL);
        amx_t *h = NULL;
        int rc;

        wait_begun(control);
        dawdle(&dice, 1000000);
        wait_killed(pid);
        ok(amx_recover(control, 0, NULL, NULL, NULL));
        rc = amx_attach(name, NULL, &h);
        if (rc == AMX_E_NOENT) {
            nothing++;
            assert_int_equal(files_like(name), 0);
            continue;
        }
        ok(rc);
        (void)amx_recover(h, 0, NULL, NULL, NULL);
        complete++;
        close_free(h);
        ok(amx_unlink(name, NULL));
        assert_int_equal(files_like(name), 0);
    }
    note("%ld creators killed: %ld left nothing, %ld a complete segment", nothing + complete, nothing, complete);
    close_free(control);
    ok(amx_unlink(control_name, NULL));
}

_Noreturn static void churn_role(char **argv)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    struct work w = {.max = 20000, .live = 60, .workers = 1, .ops = UINT64_MAX};
    struct worker *k = calloc(1, sizeof *k);
    struct exchange *x = calloc(1, sizeof *x);
    amx_t *h = NULL;

    o.map_hint = test_hint(2);
    must_ok(amx_attach(argv[2], &o, &h));
    must(k != NULL && x != NULL);
    x->id[0] = amx_handle_id(h);
    k->h = h;
    k->x = x;
    k->w = &w;
    k->dice = rng_make(strtoull(argv[3], NULL, 10), 0);
    for (uint64_t i = 1;; i++) {
        work_step(k, i);
        if (i == 300)
            must_ok(amx_root_set(h, 0, 1));
    }
}

static int first_live(const struct amx_block *b, void *ctx)
{
    must(b->ref == AMX_REF_NONE || b->owner == 0);
    *(amx_ref *)ctx = b->ref;
    return b->ref != AMX_REF_NONE;
}

static bool anybody_dead;
static int one_dead(const struct amx_peer *p, void *ctx)
{
    (void)ctx;
    anybody_dead = anybody_dead || !p->alive;
    return 0;
}

/* A process that died in the middle of a call left blocks that nobody could free and marks that nobody could pass. All
 * that ours held is free again after one recovery; nobody waited meanwhile, and the published block is still there. */
static void s12_a_worker_dies(void **state)
{
    const char *name = test_name();
    struct amx_options o = AMX_OPTIONS_INIT;
    struct rng dice = rng_make(test_seed(), 13);
    amx_t *h = NULL;
    uint64_t recovered = 0;

    (void)state;
    o.size = 1024 * KIB;
    ok(amx_create(name, &o, &h));
    for (long i = scaled(100); i > 0; i--) {
        char seed[24];
        pid_t pid;
        amx_ref mine = alloc(h, 500);
        uint64_t blocks = 0;
        struct amx_stats s;

        mark(h, mine, (uint64_t)i);
        snprintf(seed, sizeof seed, "%" PRIu64, rng_next(&dice));
        pid = spawn("churn", name, seed, (char *)NULL);
        wait_begun(h);
        dawdle(&dice, 300000);
        wait_killed(pid);
        for (int k = 0; k < 50; k++) { /* before anybody recovers */
            amx_ref ref = alloc(h, (size_t)k * 20);

            mark(h, ref, ref);
            verify(h, ref, ref);
            ok(amx_free(h, ref));
        }
        ok(recover_all(h, &blocks));
        recovered += blocks;
        anybody_dead = false;
        ok(amx_peers(h, one_dead, NULL));
        assert_false(anybody_dead);
        ok(amx_trim(h));
        s = stat_of(h);
        /* published blocks of the dead stay, as they must: the workload publishes some */
        assert_int_equal(s.live_blocks, 1 + s.published_blocks);
        check_clean(h);
        verify(h, mine, (uint64_t)i);
        ok(amx_free(h, mine));
        amx_ref left = AMX_REF_NONE;

        while (amx_walk(h, first_live, &left) == 1)
            ok(amx_free(h, left));
        check_all_free(h);
    }
    note("workers killed: %" PRIu64 " blocks of theirs taken back", recovered);
    ok(amx_close(h));
    ok(amx_unlink(name, NULL));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s11_segments_can_be_removed),
        cmocka_unit_test(s12_a_creator_dies),
        cmocka_unit_test(s12_a_worker_dies),
    };

    if (argc > 3 && strcmp(argv[1], "create") == 0)
        create_role(argv);
    if (argc > 3 && strcmp(argv[1], "churn") == 0)
        churn_role(argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
