/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slot pools, killed and stopped before every store of every call, in memory and in a block of a segment.
 * Killed: what the dead one held is recovered, the recovery is itself killed before each of its stores and done again; then
 * every slot is there, once, and nobody else's payload has changed. Stopped: another does everything else meanwhile, until
 * the pool is empty and until all is free again; then the stopped one goes on.
 */
#include "shot.h"

static const struct amx_pool_config two = {.n = 2, .cls = {{16, 3}, {48, 66}}};
enum { ALL = 69 };

/* --- The scene: 0 acts, 1 looks on, 2 recovers and dies ------------------------------------------------------------ */

static struct room r;
static struct amx_pool third;
static amx_t *third_h;
static amx_slot his[3], theirs[2], nobodys, out;

static void set(enum kind kind)
{
    room_open(&r, kind, &two);
    for (int i = 0; i < 3; i++)
        his[i] = take(&r, 0, i ? 48 : 16);
    for (int i = 0; i < 2; i++)
        write_(&r.pool[1], theirs[i] = take(&r, 1, i ? 48 : 16));
    nobodys = take(&r, 1, 48);
    write_(&r.pool[1], nobodys);
    must_ok(amx_pool_publish(&r.pool[1], nobodys));
    out = AMX_SLOT_NONE;
    third_h = NULL;
}

/* --- Calls, in the order of `name` ------------------------------------------------------------------------------- */

static void no_hints(void)
{
    for (uint32_t c = 0; c < 2; c++)
        for (uint32_t g = 0; g < (c ? 2 : 1); g++)
            amxi_st64_rlx((amxi_a64 *)(void *)(r.pool[0].base + r.pool[0].part[c].hints) + g, 0);
}

static void do_alloc(void)
{
    (void)amx_pool_alloc(&r.pool[0], 16, r.owner[0], &out);
}
static void do_alloc_large(void)
{
    (void)amx_pool_alloc(&r.pool[0], 17, r.owner[0], &out);
}
static void do_alloc_wait(void)
{
    (void)amx_pool_alloc_wait(&r.pool[0], 16, r.owner[0], 0, &out);
}
static void do_free(void)
{
    (void)amx_pool_free(&r.pool[0], his[1]);
}
static void do_free_small(void)
{
    (void)amx_pool_free(&r.pool[0], his[0]);
}
static void do_publish(void)
{
    (void)amx_pool_publish(&r.pool[0], his[0]);
}
static void do_adopt(void)
{
    (void)amx_pool_adopt(&r.pool[0], nobodys, r.owner[0]);
}
static void do_give(void)
{
    (void)amx_pool_give(&r.pool[0], his[2], r.owner[1], &out);
}
static void do_set_state(void)
{
    (void)amx_pool_set_state(&r.pool[0], his[2], 60);
}
static void do_keep(void)
{
    (void)amx_pool_set_state(&r.pool[0], his[2], AMX_STATE_KEPT);
}
static void do_stat(void)
{
    (void)pool_stat(&r.pool[0], 1);
}
static void do_recover_or_wait(void)
{
    if (r.kind == BLOCK)
        (void)amx_pool_alloc_wait(&r.pool[0], 48, r.owner[0], 1, &out);
    else
        (void)amx_pool_recover(&r.pool[0], 4, NULL, NULL); /* nobody's number: finds nothing */
}

static void do_set_quota(void)
{
    (void)amx_pool_set_quota(&r.pool[0], 2 * ALL);
}

static void do_extend(void)
{
    if (r.kind == BLOCK)
        (void)amx_pool_extend(&r.pool[0], 1, 5);
}

static const struct {
    const char *name;
    void (*fn)(void);
    bool blind; /* no hint is left: by the words */
    bool grows;
} call[] = {
    {"alloc", do_alloc, false, false},
    {"alloc, by the words", do_alloc, true, false},
    {"alloc, next class", do_alloc_large, false, false},
    {"alloc_wait, by the words", do_alloc_wait, true, false},
    {"free", do_free, false, false},
    {"free, no hints", do_free_small, true, false},
    {"publish", do_publish, false, false},
    {"adopt", do_adopt, false, false},
    {"give", do_give, false, false},
    {"set_state", do_set_state, false, false},
    {"set_state, kept", do_keep, false, false},
    {"stat", do_stat, false, false},
    {"recover", do_recover_or_wait, false, false},
    {"set_quota", do_set_quota, false, false},
    {"extend", do_extend, false, true},
};
enum { CALLS = sizeof call / sizeof *call };

/* --- Killed ------------------------------------------------------------------------------------------------------- */

static void recover_third(void)
{
    if (r.kind == BLOCK)
        must_ok(amx_recover(third_h, 0, NULL, NULL, NULL));
    else
        must_ok(amx_pool_recover(&third, r.owner[0], NULL, NULL));
}

static int free_live(const struct amx_pool_slot *s, void *ctx)
{
    uint32_t *n = ctx;
    if (s->ref) {
        must_ok(amx_pool_free(&r.pool[1], s->ref));
        n[s->owner != 0]++;
    }
    return 0;
}

/* 0 is dead. m: the recoverer dies before this store of his; answers whether he did. */
static bool after_death(uint64_t m, bool grows)
{
    bool died = false;
    uint64_t left = 0;
    uint32_t n[2] = {0};
    if (r.kind == BLOCK) {
        struct amx_options o = AMX_OPTIONS_INIT;
        o.flags = AMX_F_NO_RECOVER;
        must_ok(amx_attach_fd(amx_fd(r.h[1]), &o, &third_h));
        drop(r.h[0]);
        died = m && shoot(recover_third, m, NULL);
        drop(third_h);
        must_ok(amx_recover(r.h[1], 0, NULL, NULL, NULL));
        must_ok(amx_attach_fd(amx_fd(r.h[1]), &o, &r.h[0]));
        must_ok(amx_pool_attach_block(r.h[0], r.block, BASE, &two, &r.pool[0]));
    } else {
        must_ok(amx_pool_attach(r.region[0], r.len, BASE, &two, &third));
        died = m && shoot(recover_third, m, NULL);
        must_ok(amx_pool_recover(&r.pool[1], r.owner[0], NULL, NULL));
        must_ok(amx_pool_used_by(&r.pool[1], r.owner[0], &left));
    }
    must(left == 0);
    for (int i = 0; i < 2; i++)
        verify_(&r.pool[1], theirs[i]);
    struct amx_pool_check_result c = pool_clean(&r.pool[1]);
    must_ok(amx_pool_walk(&r.pool[1], free_live, n));
    must(c.used == n[0] + n[1]);
    if (grows && r.kind == BLOCK) { /* others go on where it ended */
        must_ok(amx_pool_extend(&r.pool[1], 1, 5));
        must(pool_stat(&r.pool[1], 1).extents >= 1 && pool_stat(&r.pool[1], 1).extents <= 2);
    }
    must(n[1] >= 2 && n[1] <= 3 && n[0] <= 2); /* theirs, perhaps a gift; nobody's, perhaps one more */
    pool_all_free(&r.pool[1], r.owner[1]);
    if (r.kind == BLOCK)
        r.owner[0] = amx_handle_id(r.h[0]);
    room_close(&r);
    return died;
}

static void killed(void **state)
{
    const enum kind kind = **(enum kind **)state;
    uint64_t kills = 0, doubles = 0;
    for (int i = 0; i < CALLS; i++)
        for (uint64_t at = 1;; at++) {
            bool hit = true, more = true;
            for (uint64_t m = 0; hit && more; m++) {
                set(kind);
                if (call[i].blind)
                    no_hints();
                hit = shoot(call[i].fn, at, NULL);
                more = after_death(m, call[i].grows) || !m;
                if (call[i]
                        .grows) /* its stores are those of alloc, publish and object_add, which have their own campaign */
                    more = false;
                kills += hit && !m;
                doubles += hit && m && more;
            }
            if (!hit)
                break;
        }
    note("%" PRIu64 " kills, %" PRIu64 " of them with a killed recovery", kills, doubles);
    assert_true(kills >= 15 && doubles >= 50);
}

/* --- Stopped ------------------------------------------------------------------------------------------------------ */

static void everything(void)
{
    amx_slot s[ALL + 8];
    int n = 0;
    while (amx_pool_alloc(&r.pool[1], 1, r.owner[1], &s[n]) == AMX_OK) {
        write_(&r.pool[1], s[n]);
        must(++n < ALL + 8);
    }
    must(n >= ALL - 8); /* the three of each, and what the stopped one has or has not freed */
    fails(AMX_E_NOMEM, amx_pool_alloc(&r.pool[1], 1, r.owner[1], &out));
    for (int i = 0; i < n; i++) {
        verify_(&r.pool[1], s[i]);
        must_ok(amx_pool_free(&r.pool[1], s[i]));
    }
}

static void stopped(void **state)
{
    const enum kind kind = **(enum kind **)state;
    uint64_t stops = 0;
    for (int i = 0; i < CALLS; i++)
        for (uint64_t at = 1;; at++) {
            set(kind);
            if (call[i].blind)
                no_hints();
            bool hit = shoot(call[i].fn, at, everything);
            stops += hit;
            uint32_t n[2] = {0};
            for (int k = 0; k < 2; k++)
                verify_(&r.pool[1], theirs[k]);
            verify_(&r.pool[1], nobodys);
            (void)pool_clean(&r.pool[1]);
            must_ok(amx_pool_walk(&r.pool[1], free_live, n));
            must(n[0] + n[1] >= 5 && n[0] + n[1] <= 7);
            pool_all_free(&r.pool[1], r.owner[1]);
            room_close(&r);
            if (!hit)
                break;
        }
    note("%" PRIu64 " stops", stops);
    assert_true(stops >= 15);
}

/* --- Between a call's look at a word and its exchange, another changes that word --------------------------------- */

static int answer;
static amx_slot target, moved;

static void free_it(void)
{
    answer = amx_pool_free(&r.pool[0], target);
}
static void give_it(void)
{
    answer = amx_pool_give(&r.pool[0], target, r.owner[1], &moved);
}
static void publish_it(void)
{
    answer = amx_pool_publish(&r.pool[0], target);
}
static void mark_it(void)
{
    answer = amx_pool_set_state(&r.pool[0], target, 70);
}

static void he_frees(void)
{
    must_ok(amx_pool_free(&r.pool[1], target));
}
static void he_frees_and_takes(void)
{
    amx_slot s;
    must_ok(amx_pool_free(&r.pool[1], target));
    do
        s = take(&r, 1, 16);
    while (s >> 32 != target >> 32);
}
static void he_marks(void)
{
    must_ok(amx_pool_set_state(&r.pool[1], target, 60));
}

/* Exactly one of two frees wins, whatever else becomes of the slot meanwhile; a change of state delays a free, no more. */
static void exchanges(void **state)
{
    static const struct {
        void (*fn)(void);
        void (*other)(void);
        int answer;
    } game[] = {
        {free_it, he_frees, AMX_E_DOUBLE_FREE},
        {free_it, he_frees_and_takes, AMX_E_STALE},
        {free_it, he_marks, AMX_OK},
        {give_it, he_frees, AMX_E_STALE},
        {give_it, he_frees_and_takes, AMX_E_STALE},
        {give_it, he_marks, AMX_OK},
        {publish_it, he_frees, AMX_E_STALE},
        {publish_it, he_marks, AMX_OK},
        {mark_it, he_frees, AMX_E_STALE},
        {mark_it, he_frees_and_takes, AMX_E_STALE},
    };
    const enum kind kind = **(enum kind **)state;
    for (size_t i = 0; i < sizeof game / sizeof *game; i++) {
        set(kind);
        target = his[0];
        /* before the exchange of the word: their only store, but for the two in front of it of a gift in a segment */
        must(shoot(game[i].fn, kind == BLOCK && game[i].fn == give_it ? 3 : 1, game[i].other));
        if (answer != game[i].answer)
            print_error("game %d: %d\n", (int)i, answer);
        assert_int_equal(answer, game[i].answer);
        (void)pool_clean(&r.pool[1]);
        uint32_t n[2] = {0};
        must_ok(amx_pool_walk(&r.pool[1], free_live, n));
        pool_all_free(&r.pool[1], r.owner[1]);
        room_close(&r);
    }
}

/* --- A gift whose receiver dies meanwhile, and then perhaps the giver too ------------------------------------------- */

static bool fell;      /* the receiver did */
static uint64_t again; /* stores of the giver from the receiver's death to its own; 0: it lives */

static void receiver_falls(void)
{
    fell = true;
    drop(r.h[1]);
    int e = amx_recover(third_h, 0, NULL, NULL, NULL);
    must(e == AMX_OK || e == AMX_E_PARTIAL); /* his entry stays while somebody gives to it */
    shot.visit = NULL;
    shot.at = shot.n + again;
    shot.armed = again != 0;
}

static void gift(void **state)
{
    uint64_t games = 0, back = 0;
    struct amx_options o = AMX_OPTIONS_INIT;
    o.flags = AMX_F_NO_RECOVER;
    (void)state;
    for (uint64_t at = 1, hit = 1; hit; at++)
        for (again = 0, hit = 0; again < 8; again++) {
            set(BLOCK);
            must_ok(amx_attach_fd(amx_fd(r.h[0]), &o, &third_h));
            must_ok(amx_pool_attach_block(third_h, r.block, BASE, &two, &third));
            fell = shot.died = false;
            (void)shoot(do_give, at, receiver_falls);
            const bool giver_dies = shot.died;
            hit |= fell;
            if (giver_dies)
                drop(r.h[0]);
            must_ok(amx_recover(third_h, 0, NULL, NULL, NULL));
            must_ok(amx_recover(third_h, 0, NULL, NULL, NULL));
            struct amx_pool_check_result c = pool_clean(&third); /* nothing of a dead one */
            uint64_t givers = 0;
            if (!giver_dies)
                must_ok(amx_pool_used_by(&third, r.owner[0], &givers));
            must(giver_dies ? givers == 0 : givers == 2 || givers == 3);
            must(c.used == givers + (fell ? 1 : 4) - (!fell && givers == 3)); /* nobody's; theirs and the gift */
            back += givers == 3;
            verify_(&third, nobodys);
            games++;
            /* no tag is left behind: all handles but those who live can be had again */
            struct amx_segment_info info = info_of(third_h);
            must(info.handles_used == 1u + !giver_dies + !fell);
            if (!giver_dies)
                must_ok(amx_close(r.h[0]));
            if (!fell)
                must_ok(amx_close(r.h[1]));
            must_ok(amx_pool_free(&third, nobodys));
            pool_all_free(&third, AMX_POOL_SELF);
            must_ok(amx_pool_remove(&third));
            must_ok(amx_free(third_h, r.block));
            close_free(third_h);
        }
    note("%" PRIu64 " gifts, %" PRIu64 " came back", games, back);
    assert_true(games >= 40 && back > 0);
}

int main(void)
{
    static const enum kind plain = PLAIN, block = BLOCK;
    const struct CMUnitTest tests[] = {
        {"killed (plain)", killed, NULL, NULL, (void *)(uintptr_t)&plain},
        {"killed (block)", killed, NULL, NULL, (void *)(uintptr_t)&block},
        {"stopped (plain)", stopped, NULL, NULL, (void *)(uintptr_t)&plain},
        {"stopped (block)", stopped, NULL, NULL, (void *)(uintptr_t)&block},
        {"exchanges (plain)", exchanges, NULL, NULL, (void *)(uintptr_t)&plain},
        {"exchanges (block)", exchanges, NULL, NULL, (void *)(uintptr_t)&block},
        cmocka_unit_test(gift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
