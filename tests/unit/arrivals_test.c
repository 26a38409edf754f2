/* SPDX-License-Identifier: Apache-2.0 */
/* Who comes, who goes, who is the last, and who finds no place. */
#include "tests/segment_kit.h"

static void remove_when_last(void **state)
{
    struct amx_options o = options();
    amx_t *a = NULL, *b = NULL, *r = NULL, *d = NULL;
    (void)state;
    o.flags = AMX_F_REMOVE_LAST;
    ok(amx_create("last", &o, &a));
    o.flags = AMX_F_READONLY;
    ok(amx_attach("last", &o, &r));
    o.flags = 0;
    ok(amx_attach("last", &o, &b)); /* the creator's option decides */
    ok(amx_close(a));
    assert_true(exists("amx.last"));
    ok(amx_close(b));
    assert_false(exists("amx.last"));
    ok(amx_attach_fd(amx_fd(r), &o, &d)); /* the observer still has the memory; a nameless one has nothing to remove */
    ok(amx_close(d));
    ok(amx_close(r));

    /* Another segment has taken the name meanwhile: it is not ours to remove. */
    o.flags = AMX_F_REMOVE_LAST;
    ok(amx_create("last", &o, &a));
    ok(amx_unlink("last", &o));
    ok(amx_create("last", &o, &b));
    ok(amx_close(a));
    assert_true(exists("amx.last"));
    ok(amx_attach("last", &o, &a));
    ok(amx_close(a));
    ok(amx_close(b));
    assert_int_equal(files(), 0);
}

/* The last one leaves while somebody attaches: the name is that one's affair then. */
static void last_meets_an_attacher(void **state)
{
    struct amx_options o = options();
    amx_t *h = NULL;
    int fd = -1;
    (void)state;
    o.flags = AMX_F_REMOVE_LAST;
    o.handles = 1;
    ok(amx_create("meet", &o, &h));
    uint64_t word = (uint64_t)((uint8_t *)amxi_handle(h->seg, 0) - h->seg->base),
             taken = AMXI_H_WORD(AMXI_H_OPEN, 9, 1);
    assert_int_equal(amxi_os_reopen(amx_fd(h), true, &fd), 0);
    assert_int_equal(amxi_os_lock(fd, AMXI_LOCK_ATTACH, false), 0);
    ok(amx_close(h));
    assert_true(exists("amx.meet"));
    assert_int_equal(amxi_os_unlock(fd, AMXI_LOCK_ATTACH), 0);
    assert_int_equal(pwrite(fd, &taken, sizeof taken, (off_t)word), sizeof taken);
    fails(AMX_E_FULL, amx_attach("meet", &o, &h)); /* it cannot come in, and nobody else is inside: */
    assert_false(exists("amx.meet"));
    amxi_os_close(fd);
}

static void tables_full(void **state)
{
    struct amx_options o = options();
    amx_t *h[3] = {0}, *more = NULL;
    (void)state;
    o.peers = 2;
    o.handles = 4;
    o.flags = AMX_F_REMOVE_LAST;
    ok(amx_create("full", &o, &h[0]));
    ok(amx_attach("full", &o, &h[1]));
    fails(AMX_E_FULL, amx_attach("full", &o, &h[2]));
    says("peer table: all 2 entries are taken, 0 of them by dead");
    assert_null(h[2]);
    ok(amx_close(h[1]));
    ok(amx_share(h[0], &more));
    ok(amx_share(h[0], &more));
    ok(amx_share(h[0], &more));
    for (int i = 0; i < 10; i++) { /* a refused attach gives its peer entry back */
        fails(AMX_E_FULL, amx_attach("full", &o, &h[1]));
        says("handle table: all 4 entries are taken");
        assert_int_equal(info_of(h[0]).peers_used, 1);
    }
    fails(AMX_E_INVAL, amx_close(more)); /* not an owner */
    ok(amx_unshare(more));
    fails(AMX_E_FULL, amx_attach("full", &o, &h[1])); /* closed handles stay their process's */
    ok(amx_close(h[0]));
    assert_int_equal(files(), 0);
}

struct race {
    pthread_barrier_t start;
    int created, existed, attached;
    long round;
};

static void racer(int index, void *ctx)
{
    struct race *race = ctx;
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h = NULL;
    o.size = 64 * KIB;
    o.dir = dir;
    (void)index;
    for (long i = 0; i < race->round; i++) {
        pthread_barrier_wait(&race->start);
        int r = amx_create("race", &o, &h);
        must(r == AMX_OK || r == AMX_E_EXIST);
        __atomic_fetch_add(r == AMX_OK ? &race->created : &race->existed, 1, __ATOMIC_RELAXED);
        if (r == AMX_E_EXIST) { /* complete as soon as it can be seen, and its creator is inside */
            struct amx_segment_info info = {.struct_size = sizeof info};
            must_ok(amx_attach("race", &o, &h));
            must_ok(amx_info(h, &info));
            must(info.peers_used >= 2);
        }
        pthread_barrier_wait(&race->start);
        must_ok(amx_close(h));
        if (r == AMX_OK)
            must_ok(amx_unlink("race", &o));
    }
}

static void racing_creators(void **state)
{
    struct race race = {.round = scaled(200)};
    (void)state;
    assert_int_equal(pthread_barrier_init(&race.start, NULL, 4), 0);
    run_threads(4, racer, &race);
    pthread_barrier_destroy(&race.start);
    assert_int_equal(race.created, race.round);
    assert_int_equal(race.existed, 3 * race.round);
    assert_int_equal(files(), 0);
}

/* Opens and leaves a segment that the last one removes: whoever is inside together is inside the same one. */
static void comer(int index, void *ctx)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    long rounds = *(long *)ctx;
    o.size = 64 * KIB;
    o.dir = dir;
    o.peers = 64;
    o.handles = 64;
    o.flags = AMX_F_REMOVE_LAST;
    for (long i = 0; i < rounds; i++) {
        amx_t *h = NULL, *again = NULL;
        int r = amx_open("come-and-go", &o, &h);
        /* BUSY: somebody is just removing it. FULL: entries of the gone wait for one who recovers and is not running. */
        if (r == AMX_E_BUSY || r == AMX_E_FULL)
            continue;
        must_ok(r);
        r = amx_attach("come-and-go", &o, &again); /* while one is inside, the name stays, and leads here */
        must(r == AMX_OK || r == AMX_E_BUSY || r == AMX_E_FULL);
        if (r == AMX_OK) {
            must(memcmp(h->seg->g.id, again->seg->g.id, 16) == 0);
            must_ok(amx_close(again));
        }
        must_ok(amx_close(h));
    }
    (void)index;
}

static void come_and_go(void **state)
{
    long rounds = scaled(500);
    (void)state;
    run_threads(4, comer, &rounds);
    assert_int_equal(files(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remove_when_last), cmocka_unit_test(last_meets_an_attacher),
        cmocka_unit_test(tables_full),      cmocka_unit_test(racing_creators),
        cmocka_unit_test(come_and_go),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
