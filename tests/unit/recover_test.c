/* SPDX-License-Identifier: Apache-2.0 */
/* amx_recover: whom, what it reports, what its call-back is told, and what is left when that dies. */
#include "tests/peer_kit.h"

#include "sector.h"

#include <sched.h>

enum { KIB = 1024, MANY = 200 };

/* --- Roles ---------------------------------------------------------------------------------------------------------- */

static amx_ref block(amx_t *h, size_t n, uint32_t state)
{
    amx_ref r;
    must_ok(amx_alloc(h, n, &r));
    if (state)
        must_ok(amx_set_state(h, r, state));
    return r;
}

/* Leaves blocks of each kind; the references of those that stay are in the roots. */
static int role_holder(const char *name)
{
    amx_t *h;
    must_ok(amx_attach(name, NULL, &h));
    (void)block(h, 1000, 0);
    (void)block(h, 2000, 100);
    (void)block(h, 20 * KIB, 2047);
    must_ok(amx_root_set(h, 0, block(h, 100, AMX_STATE_KEPT)));
    must_ok(amx_root_set(h, 1, block(h, 20 * KIB, 4095)));
    amx_ref r = block(h, 300, 0);
    must_ok(amx_publish(h, r));
    must_ok(amx_root_set(h, 2, r));
    report('h');
    await();
    return 0;
}

static int role_many(const char *name)
{
    amx_t *h;
    must_ok(amx_attach(name, NULL, &h));
    for (int i = 0; i < MANY; i++)
        (void)block(h, 16, 3000);
    report('m');
    await();
    return 0;
}

/* Gives to the handle whose id is in root 15, and tells nobody. */
static int role_giver(const char *name)
{
    amx_t *h;
    amx_ref given;
    uint64_t to;
    must_ok(amx_attach(name, NULL, &h));
    must_ok(amx_root_get(h, 15, &to));
    must_ok(amx_give(h, block(h, 64, 0), to, &given));
    must_ok(amx_root_set(h, 14, given));
    report('g');
    await();
    return 0;
}

static int dies_in_it(const struct amx_kept *k, void *ctx)
{
    (void)ctx;
    must(k->how == AMX_KEPT_STATE);
    report('r');
    await();
    return 0;
}

/* Recovers, and is killed while it is told. */
static int role_recoverer(const char *name)
{
    amx_t *h;
    struct amx_options o = AMX_OPTIONS_INIT;
    o.flags = AMX_F_NO_RECOVER;
    must_ok(amx_attach(name, &o, &h));
    must_ok(amx_recover(h, 0, dies_in_it, NULL, NULL));
    return 0;
}

static int role_sharer(const char *name);
static int role_heir(const char *name);

static int role(int argc, char **argv)
{
    int r = role_begin(argc, argv);
    if (r >= 0)
        return r;
    if (!strcmp(argv[1], "holder"))
        return role_holder(argv[2]);
    if (!strcmp(argv[1], "many"))
        return role_many(argv[2]);
    if (!strcmp(argv[1], "giver"))
        return role_giver(argv[2]);
    if (!strcmp(argv[1], "heir"))
        return role_heir(argv[2]);
    if (!strcmp(argv[1], "sharer"))
        return role_sharer(argv[2]);
    must(!strcmp(argv[1], "recoverer"));
    return role_recoverer(argv[2]);
}

/* --- What is told --------------------------------------------------------------------------------------------------- */

struct told {
    amx_t *h;
    struct amx_kept kept[MANY + 8];
    int n;
    int answer, stop_at; /* says `answer`; at the stop_at-th call -77 */
};

static int hear(const struct amx_kept *k, void *ctx)
{
    struct told *t = ctx;
    amx_id owner;
    assert_int_equal(k->struct_size, sizeof *k);
    assert_true(t->n < MANY + 8);
    t->kept[t->n++] = *k;
    ok(amx_owner(t->h, k->ref, &owner));
    assert_int_equal(owner, k->owner);
    assert_int_equal(owner, k->how == AMX_KEPT_STATE ? amx_handle_id(t->h) : k->how == AMX_KEPT_PUBLISHED ? 0 : owner);
    return t->n == t->stop_at ? -77 : t->answer;
}

static const struct amx_kept *told_of(const struct told *t, amx_ref ref)
{
    const struct amx_kept *found = NULL;
    for (int i = 0; i < t->n; i++)
        if (t->kept[i].ref == ref) {
            assert_null(found);
            found = &t->kept[i];
        }
    return found;
}

static amx_t *open_segment(char *name, size_t len)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h;
    snprintf(name, len, "%s", test_name());
    o.size = 256 * KIB;
    o.flags = AMX_F_NO_RECOVER;
    ok(amx_create(name, &o, &h));
    return h;
}

static uint64_t ticket_of(const amx_t *h, pid_t pid)
{
    struct seen seen = look(h);
    for (int i = 0; i < seen.n; i++)
        if (seen.peer[i].pid == (uint32_t)pid)
            return seen.peer[i].ticket;
    fail();
    return 0;
}

static void killed(const struct child *c)
{
    wait_killed(c->pid);
    forget(c);
}

static struct amx_stats stats(const amx_t *h)
{
    struct amx_stats s = {.struct_size = sizeof s};
    ok(amx_stat(h, &s));
    return s;
}

/* Frees what is left; then every byte is free. */
struct list {
    amx_ref ref[2 * MANY];
    size_t n;
};

static int list_it(const struct amx_block *b, void *ctx)
{
    struct list *l = ctx;
    assert_true(l->n < 2 * MANY);
    if (b->ref)
        l->ref[l->n++] = b->ref;
    return 0;
}

static void finish(amx_t *h)
{
    struct amx_check_result r = {.struct_size = sizeof r};
    struct amx_segment_info info = {.struct_size = sizeof info};
    struct list l = {.n = 0};
    amx_ref all;
    ok(amx_walk(h, list_it, &l));
    ok(amx_free_many(h, l.ref, l.n, NULL));
    ok(amx_trim(h));
    ok(amx_check(h, NULL, NULL, &r));
    assert_int_equal(r.undone, 0);
    ok(amx_info(h, &info));
    assert_int_equal(info.peers_used, 1);
    assert_int_equal(info.handles_used, 1);
    ok(amx_alloc(h, info.max_request, &all));
    ok(amx_close(h));
}

/* --- Tests ---------------------------------------------------------------------------------------------------------- */

static void one_of_two(void **state)
{
    char name[64];
    amx_t *h = open_segment(name, sizeof name);
    struct child a = start("holder", name), b = start("holder", name);
    struct amx_recovery r = {.struct_size = sizeof r};
    (void)state;
    step(&a);
    step(&b);
    uint64_t ta = ticket_of(h, a.pid), tb = ticket_of(h, b.pid);
    fails(AMX_E_ALIVE, amx_recover(h, ta, NULL, NULL, &r));
    fails(AMX_E_INVAL, amx_recover(h, tb + 100, NULL, NULL, &r));
    killed(&a);
    killed(&b);
    struct amx_stats before = stats(h);
    ok(amx_recover(h, ta, NULL, NULL, &r));
    struct amx_stats after = stats(h);
    assert_int_equal(r.handles, 1);
    assert_int_equal(r.kept_blocks, 2);
    assert_true(r.kept_bytes > 20 * KIB && r.kept_bytes < 22 * KIB);
    assert_true(r.published_blocks >= 1);
    assert_int_equal(r.blocks, before.live_blocks + before.cached_blocks - after.live_blocks - after.cached_blocks);
    assert_int_equal(r.bytes, after.free_bytes - before.free_bytes);
    assert_int_equal(r.sectors_left + r.handles_left, 0);
    assert_int_equal(alive(h, a.pid), -1);
    assert_int_equal(alive(h, b.pid), 0);
    memset(&r, 0xff, sizeof r);
    r.struct_size = sizeof r;
    ok(amx_recover(h, ta, NULL, NULL, &r)); /* done already */
    assert_int_equal(r.blocks + r.handles + r.kept_blocks, 0);
    ok(amx_recover(h, 0, NULL, NULL, &r));
    assert_int_equal(r.kept_blocks, 2);
    assert_int_equal(look(h).n, 1);
    finish(h);
}

static void each_kind(void **state)
{
    char name[64];
    struct told t = {.h = open_segment(name, sizeof name)};
    struct child c = start("holder", name);
    amx_ref ref[3];
    amx_id owner;
    (void)state;
    step(&c);
    for (unsigned i = 0; i < 3; i++)
        ok(amx_root_get(t.h, i, &ref[i]));
    amx_id from;
    ok(amx_owner(t.h, ref[0], &from));
    killed(&c);
    ok(amx_recover(t.h, 0, hear, &t, NULL));
    assert_int_equal(t.n, 3);
    for (unsigned i = 0; i < 3; i++) {
        const struct amx_kept *k = told_of(&t, ref[i]);
        assert_non_null(k);
        assert_int_equal(k->how, i < 2 ? AMX_KEPT_STATE : AMX_KEPT_PUBLISHED);
        assert_int_equal(k->state, i == 0 ? AMX_STATE_KEPT : i == 1 ? 4095 : AMX_STATE_ALLOCATED);
        assert_int_equal(k->from, from);
        assert_int_equal(k->last, i == 2);
        ok(amx_owner(t.h, ref[i], &owner));
        assert_int_equal(owner, 0);
    }
    assert_true(told_of(&t, ref[1])->bytes > 20 * KIB);
    finish(t.h);
}

static void taken(void **state)
{
    char name[64];
    struct told t = {.h = open_segment(name, sizeof name), .answer = AMX_KEPT_TAKE};
    struct child c = start("many", name);
    struct amx_recovery r = {.struct_size = sizeof r};
    amx_id owner;
    (void)state;
    step(&c);
    killed(&c);
    t.stop_at = 150; /* in the middle of a sector's */
    fails(-77, amx_recover(t.h, 0, hear, &t, &r));
    assert_int_equal(t.n, 150);
    assert_int_equal(r.kept_blocks, 150);
    assert_true(r.sectors_left > 0);
    t.stop_at = 0;
    ok(amx_recover(t.h, 0, hear, &t, NULL));
    assert_int_equal(t.n, MANY + 1); /* the 150th became nobody's, and is told once more, as published */
    int mine = 0, published = 0;
    for (int i = 0; i < t.n; i++) {
        published += t.kept[i].how == AMX_KEPT_PUBLISHED;
        if (t.kept[i].how == AMX_KEPT_STATE) {
            ok(amx_owner(t.h, t.kept[i].ref, &owner));
            mine += owner == amx_handle_id(t.h);
            assert_true(owner == amx_handle_id(t.h) || i == 149);
        }
    }
    assert_int_equal(mine, MANY - 1);
    assert_int_equal(published, 1);
    finish(t.h);
}

static void gift_in_flight(void **state)
{
    char name[64];
    struct told t = {.h = open_segment(name, sizeof name)};
    amx_t *q;
    amx_ref ref;
    (void)state;
    ok(amx_share(t.h, &q));
    ok(amx_root_set(t.h, 15, amx_handle_id(q)));
    struct child c = start("giver", name);
    step(&c);
    ok(amx_root_get(t.h, 14, &ref));
    killed(&c);
    ok(amx_recover(t.h, 0, hear, &t, NULL));
    assert_int_equal(t.n, 1);
    assert_int_equal(t.kept[0].how, AMX_KEPT_GIVEN);
    assert_int_equal(t.kept[0].ref, ref);
    assert_int_equal(t.kept[0].owner, amx_handle_id(q));
    assert_int_equal(t.kept[0].last, 1);
    ok(amx_free(q, ref));
    ok(amx_unshare(q));
    ok(amx_share(t.h, &q)); /* its entry must go before the end counts entries */
    ok(amx_free(q, (block(q, 16, 0))));
    t.n = 0;
    ok(amx_recover(t.h, 0, hear, &t, NULL));
    assert_int_equal(t.n, 0);
    ok(amx_close(t.h));
}

static void recoverer_dies(void **state)
{
    char name[64];
    struct told t = {.h = open_segment(name, sizeof name)};
    amx_ref ref[2];
    (void)state;
    struct child c = start("holder", name);
    step(&c);
    ok(amx_root_get(t.h, 0, &ref[0]));
    ok(amx_root_get(t.h, 1, &ref[1]));
    killed(&c);
    struct child r = start("recoverer", name);
    step(&r);                                                  /* it has one of the two in hand */
    fails(AMX_E_PARTIAL, amx_recover(t.h, 0, hear, &t, NULL)); /* its list of the dead is in use: entries stay */
    int first = t.n;
    killed(&r);
    ok(amx_recover(t.h, 0, hear, &t, NULL));
    int times[2] = {0, 0};
    for (int i = 0; i < t.n; i++)
        for (int k = 0; k < 2; k++)
            times[k] += t.kept[i].how == AMX_KEPT_STATE && t.kept[i].ref == ref[k];
    assert_true(first > 0);
    assert_int_equal(times[0], 1); /* not while he had it, and not lost with him */
    assert_int_equal(times[1], 1);
    finish(t.h);
}

static void by_hand_only(void **state)
{
    char name[64];
    amx_t *h = open_segment(name, sizeof name), *other;
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_ref ref;
    (void)state;
    struct child c = start("holder", name);
    struct amx_segment_info info = {.struct_size = sizeof info};
    step(&c);
    killed(&c);
    ok(amx_info(h, &info));
    o.flags = AMX_F_NO_RECOVER;
    o.map_hint = test_hint(2);
    ok(amx_attach(name, &o, &other));
    assert_int_equal(alive(h, c.pid), 0);
    fails(AMX_E_NOMEM, amx_alloc(other, info.max_request, &ref));
    assert_int_equal(alive(h, c.pid), 0);
    ok(amx_close(other));
    o.flags = 0;
    ok(amx_attach(name, &o, &other)); /* recovers by itself */
    assert_int_equal(alive(h, c.pid), -1);
    ok(amx_close(other));
    finish(h);
}

/* Somebody is inside a sector where the dead has something. */
static void in_part(void **state)
{
    char name[64];
    amx_t *h = open_segment(name, sizeof name), *q;
    struct amx_recovery r = {.struct_size = sizeof r};
    amx_ref ref;
    struct amxi_sec x;
    (void)state;
    ok(amx_share(h, &q));
    struct child c = start("holder", name);
    step(&c);
    ok(amx_root_get(h, 0, &ref));
    uint32_t sector = (AMXI_REF_UNIT(ref) - h->first_pu) >> h->seg->g.su_log2;
    ok(amxi_sec_enter(h->seg, sector, q->tag, &x));
    killed(&c);
    fails(AMX_E_PARTIAL, amx_recover(h, 0, NULL, NULL, &r));
    assert_int_equal(r.sectors_left, 1);
    assert_int_equal(r.handles_left, 1);
    assert_true(r.bytes > 20 * KIB); /* what lies elsewhere is free */
    amxi_sec_leave(&x);
    ok(amx_recover(h, 0, NULL, NULL, &r));
    assert_int_equal(r.sectors_left, 0);
    assert_int_equal(r.kept_blocks + r.blocks > 0, 1);
    ok(amx_unshare(q));
    ok(amx_close(h));
}

static void stopped_peer(void **state)
{
    char name[64];
    amx_t *h = open_segment(name, sizeof name);
    struct child c = start("holder", name);
    int status;
    (void)state;
    step(&c);
    struct seen s = look(h);
    for (int i = 0; i < s.n; i++)
        assert_int_equal(s.peer[i].stopped, 0);
    must(kill(c.pid, SIGSTOP) == 0);
    must(waitpid(c.pid, &status, WUNTRACED) == c.pid && WIFSTOPPED(status));
    s = look(h);
    bool blind = emulated("it makes up /proc/self/stat"); /* by chance it may be right */
    for (int i = 0; i < s.n; i++)
        if (s.peer[i].pid != (uint32_t)c.pid || !blind)
            assert_int_equal(s.peer[i].stopped, s.peer[i].pid == (uint32_t)c.pid);
    fails(AMX_E_ALIVE, amx_recover(h, ticket_of(h, c.pid), NULL, NULL, NULL));
    killed(&c);
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    finish(h);
}

/* --- Everybody is dead ----------------------------------------------------------------------------------------------- */

static void make(char *name, size_t len, uint32_t peers, uint32_t handles)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h;
    snprintf(name, len, "%s", test_name());
    o.size = 256 * KIB;
    o.peers = peers;
    o.handles = handles;
    ok(amx_create(name, &o, &h));
    ok(amx_close(h));
}

static void nothing_lost(const char *name, unsigned kept)
{
    amx_t *h;
    struct amx_stats s;
    ok(amx_attach(name, NULL, &h));
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    s = stats(h);
    assert_int_equal(s.kept_blocks, 2 * kept);
    assert_int_equal(s.published_blocks, 3 * kept); /* those too are nobody's now */
    assert_int_equal(s.live_blocks, s.published_blocks);
    assert_int_equal(s.cached_blocks + s.acked_blocks, 0);
    finish(h);
}

static void all_peers_dead(void **state)
{
    char name[64];
    amx_t *h;
    struct child c[3];
    (void)state;
    make(name, sizeof name, 3, 8);
    for (int i = 0; i < 3; i++) {
        c[i] = start("holder", name);
        step(&c[i]);
    }
    killed(&c[0]);
    killed(&c[1]);
    fails(AMX_E_FULL, amx_attach(name, NULL, &h)); /* one lives: he can recover, and nobody else need */
    killed(&c[2]);
    nothing_lost(name, 3);
}

static int role_sharer(const char *name)
{
    amx_t *h, *more;
    must_ok(amx_attach(name, NULL, &h));
    while (amx_share(h, &more) == AMX_OK)
        (void)block(more, 500, 0);
    must_ok(amx_root_set(h, 0, block(h, 20 * KIB, 0)));
    report('s');
    await();
    return 0;
}

static void all_handles_dead(void **state)
{
    char name[64];
    struct child c;
    (void)state;
    make(name, sizeof name, 8, 6);
    c = start("sharer", name);
    step(&c);
    killed(&c);
    nothing_lost(name, 0);
}

static int role_heir(const char *name)
{
    amx_t *h;
    int e;
    while ((e = amx_attach(name, NULL, &h)) == AMX_E_BUSY || e == AMX_E_FULL)
        sched_yield();
    must_ok(e);
    while ((e = amx_recover(h, 0, NULL, NULL, NULL)) == AMX_E_PARTIAL) /* another heir was in a sector just then */
        sched_yield();
    must_ok(e);
    report('a');
    await();
    must_ok(amx_close(h));
    return 0;
}

/* Of several who come at once each gets in: one makes room for the others, or each for itself. */
static void several_heirs(void **state)
{
    char name[64];
    struct child c[4], heir[4];
    (void)state;
    make(name, sizeof name, 4, 4);
    for (int turn = 0; turn < 10; turn++) {
        for (int i = 0; i < 4; i++) {
            c[i] = start("holder", name);
            step(&c[i]);
        }
        for (int i = 0; i < 4; i++)
            killed(&c[i]);
        for (int i = 0; i < 3; i++)
            heir[i] = start("heir", name);
        for (int i = 0; i < 3; i++)
            assert_int_equal(step(&heir[i]), 'a');
        for (int i = 0; i < 3; i++) {
            go_on(&heir[i]);
            wait_ok(heir[i].pid);
            forget(&heir[i]);
        }
        amx_t *h;
        struct list l = {.n = 0};
        ok(amx_attach(name, NULL, &h));
        ok(amx_recover(h, 0, NULL, NULL, NULL));
        ok(amx_walk(h, list_it, &l));
        assert_int_equal(l.n, 3 * 4);
        ok(amx_free_many(h, l.ref, l.n, NULL));
        ok(amx_close(h));
    }
    nothing_lost(name, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_of_two),     cmocka_unit_test(each_kind),      cmocka_unit_test(taken),
        cmocka_unit_test(gift_in_flight), cmocka_unit_test(recoverer_dies), cmocka_unit_test(by_hand_only),
        cmocka_unit_test(in_part),        cmocka_unit_test(all_peers_dead), cmocka_unit_test(all_handles_dead),
        cmocka_unit_test(several_heirs),  cmocka_unit_test(stopped_peer),
    };
    if (argc > 1)
        return role(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
