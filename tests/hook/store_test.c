/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message stores, killed and stopped before every store of every call, in a segment and among threads.
 * Killed: what the dead one did is recovered, the recovery is itself killed before each of its stores and done again; then
 * each message is as it was, gone, poisoned or new, as the call says, whole if it can be read, and every place is there.
 * Stopped: another does everything else meanwhile, until the store is full and his are free again; then the stopped one
 * goes on, and dies.
 */
#include "tests/store_kit.h"

#include "arena.h"
#include "peer.h"

/* --- The hook ------------------------------------------------------------------------------------------------------ */

static struct {
    bool armed;
    uint64_t at, n;
    void (*visit)(void); /* NULL: die */
    jmp_buf out;
} shot;

void amxi_hook(const volatile void *addr, size_t len)
{
    (void)addr;
    (void)len;
    if (!shot.armed || ++shot.n != shot.at)
        return;
    shot.armed = false;
    if (!shot.visit)
        longjmp(shot.out, 1);
    shot.visit();
}

/* false: it came to its end before store `at`. */
static bool shoot(void (*fn)(void), uint64_t at, void (*visit)(void))
{
    shot.at = at;
    shot.n = 0;
    shot.visit = visit;
    if (setjmp(shot.out))
        return true;
    shot.armed = true;
    fn();
    bool hit = !shot.armed;
    shot.armed = false;
    return hit;
}

/* --- The scene: A acts and dies, B looks on, a third one recovers and dies ------------------------------------------- */

enum { BYS, TARGET, POISONED, WRITTEN, READ_BY_A, PLACE, MESSAGES };
enum { F = 1, S = 2, P = 4 }; /* may end as: free, stored, poisoned */

static struct room r;
static struct amx_store third;
static amx_t *third_h;
static amx_token token[MESSAGES], out;
static struct party a;         /* A's guards: `read` 0 on READ_BY_A, `write` on WRITTEN */
static struct party b;         /* B's: `read` 0 on BYS */
static struct amx_write place; /* A's */
static int answer;

static const struct amx_store_config plain = {.depth = 9, .payload_max = SIZE};
/* the oldest that may go: TARGET */
static const struct amx_store_config full = {
    .depth = 9, .payload_max = SIZE, .marks = {.policy = AMX_POLICY_EVICT, .hard_items = MESSAGES}};
static const struct amx_store_config oldest = {
    .depth = MESSAGES, .payload_max = SIZE, .marks = {.policy = AMX_POLICY_DROP_OLDEST, .soft_items = MESSAGES}};

static void set(enum kind kind, const struct amx_store_config *k)
{
    room_open(&r, kind, k);
    a = (struct party){.s = r.a};
    b = (struct party){.s = r.b};
    for (int i = 0; i < PLACE; i++)
        token[i] = put(i == BYS ? r.b : r.a, (uint64_t)i);
    must_ok(obey(&b, (struct order){READ, token[BYS], 0}).e);
    must_ok(obey(&a, (struct order){READ, token[READ_BY_A], 0}).e);
    must_ok(obey(&a, (struct order){MUT, token[POISONED], 0}).e);
    must_ok(amx_msg_poison(&a.write));
    must_ok(obey(&a, (struct order){RESERVE, 0, PLACE}).e);
    must_ok(obey(&a, (struct order){STAMP, 0, PLACE}).e);
    place = a.write;
    token[PLACE] = place.token;
    must_ok(obey(&a, (struct order){MUT, token[WRITTEN], 0}).e);
    must_ok(obey(&a, (struct order){STAMP, 0, 40}).e);
    third_h = NULL;
}

/* --- Calls ---------------------------------------------------------------------------------------------------------------- */

static void do_store(void)
{
    answer = obey(&a, (struct order){STORE, 0, 70}).e;
}
static void do_store_wait(void)
{
    unsigned char bytes[SIZE];
    struct amx_message_header h = {.sequence = 71};
    stamp(bytes, SIZE, 71);
    answer = amx_msg_store_wait(r.a, &h, bytes, SIZE, 0, &out);
}
static void do_reserve(void)
{
    struct amx_write w;
    answer = amx_msg_reserve(r.a, NULL, SIZE, &w);
}
static void do_read(void)
{
    struct amx_read g;
    answer = amx_msg_read(r.a, token[TARGET], &g);
}
static void do_read_end(void)
{
    amx_read_end(&a.read[0]);
}
static void do_peek(void)
{
    struct amx_message_header h;
    answer = amx_msg_peek_header(r.a, token[TARGET], &h);
}
static void do_copy(void)
{
    answer = amx_msg_copy(r.a, token[TARGET], r.a, &out);
}
static void do_mut(void)
{
    struct amx_write w;
    answer = amx_msg_read_mut(r.a, token[TARGET], &w);
}
static void do_mut_in_vain(void)
{
    struct amx_write w;
    answer = amx_msg_read_mut(r.a, token[BYS], &w);
}
static void do_mend(void)
{
    struct amx_write w;
    answer = amx_msg_recover(r.a, token[POISONED], &w);
}
static void do_end(void)
{
    answer = amx_write_end(&a.write);
}
static void do_poison(void)
{
    answer = amx_msg_poison(&a.write);
}
static void do_discard(void)
{
    answer = amx_msg_discard(&a.write);
}
static void do_end_place(void)
{
    answer = amx_write_end(&place);
}
static void do_discard_place(void)
{
    answer = amx_msg_discard(&place);
}
static void do_free(void)
{
    answer = amx_msg_free(r.a, token[TARGET]);
}
static void do_free_poisoned(void)
{
    answer = amx_msg_free(r.a, token[POISONED]);
}
static void do_free_in_vain(void)
{
    answer = amx_msg_free(r.a, token[BYS]);
}
static void do_free_wait(void)
{
    answer = amx_msg_free_wait(r.a, token[BYS], 0);
}
static void do_evict(void)
{
    answer = amx_store_evict(r.a, NULL);
}

static const struct {
    const char *name;
    void (*fn)(void);
    int answer;
    const struct amx_store_config *k;
    int which, may; /* of one message, what else may become of it than of the others */
    uint32_t more;  /* messages that may be new */
} call[] = {
    {"store", do_store, AMX_OK, &plain, 0, 0, 1},
    {"store, full by mark", do_store, AMX_OK, &full, TARGET, F | S, 1},
    {"store, full by depth", do_store, AMX_OK, &oldest, TARGET, F | S, 1},
    {"store_wait", do_store_wait, AMX_OK, &plain, 0, 0, 1},
    {"reserve", do_reserve, AMX_OK, &plain, 0, 0, 0},
    {"read", do_read, AMX_OK, &plain, 0, 0, 0},
    {"read_end", do_read_end, AMX_OK, &plain, 0, 0, 0},
    {"peek", do_peek, AMX_OK, &plain, 0, 0, 0},
    {"copy", do_copy, AMX_OK, &plain, 0, 0, 1},
    {"read_mut", do_mut, AMX_OK, &plain, TARGET, S | P, 0},
    {"read_mut, read by another", do_mut_in_vain, AMX_E_BORROWED, &plain, 0, 0, 0},
    {"recover", do_mend, AMX_OK, &plain, 0, 0, 0},
    {"write_end", do_end, AMX_OK, &plain, WRITTEN, S | P, 0},
    {"poison", do_poison, AMX_OK, &plain, 0, 0, 0},
    {"discard", do_discard, AMX_OK, &plain, WRITTEN, F | P, 0},
    {"write_end of a place", do_end_place, AMX_OK, &plain, PLACE, F | S, 0},
    {"discard of a place", do_discard_place, AMX_OK, &plain, 0, 0, 0},
    {"free", do_free, AMX_OK, &plain, TARGET, F | S, 0},
    {"free, poisoned", do_free_poisoned, AMX_OK, &plain, POISONED, F | P, 0},
    {"free, read by another", do_free_in_vain, AMX_E_BORROW_ACTIVE, &plain, 0, 0, 0},
    {"free_wait", do_free_wait, AMX_E_TIMEOUT, &plain, 0, 0, 0},
    {"evict", do_evict, AMX_OK, &full, TARGET, F | S, 0},
};
enum { CALLS = sizeof call / sizeof *call };

/* --- After A's death -------------------------------------------------------------------------------------------------------- */

/* No store into the segment, but nothing left of the process. */
static void drop(amx_t *h)
{
    struct amxi_seg *s = h->seg;
    amxi_peer_unlock(s);
    amxi_forks_remove(s);
    amxi_handles_drop(s);
    s->open = NULL;
    amxi_seg_drop(s);
}

static void recover_third(void)
{
    if (r.kind == SHARED)
        must_ok(amx_recover(third_h, 0, NULL, NULL, NULL));
    else
        must_ok(amx_store_recover(&third, 1, NULL, NULL));
}

/* m: the recoverer dies before this store of his; answers whether he did. A has a new view afterwards. */
static bool bury(uint64_t m)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    bool died = false;
    o.flags = AMX_F_NO_RECOVER;
    if (r.kind == SHARED) {
        must_ok(amx_attach_fd(amx_fd(r.h[1]), &o, &third_h));
        drop(r.h[0]);
        died = m && shoot(recover_third, m, NULL);
        drop(third_h);
        must_ok(amx_recover(r.h[1], 0, NULL, NULL, NULL));
        must_ok(amx_attach_fd(amx_fd(r.h[1]), &o, &r.h[0]));
        must_ok(amx_store_attach_block(r.h[0], r.block, &r.k, r.a));
        return died;
    }
    struct amx_store next;
    must_ok(amx_store_scoped(r.b, &third));
    died = m && shoot(recover_third, m, NULL);
    must_ok(amx_store_recover(r.b, 1, NULL, NULL));
    must_ok(amx_store_close(&third));
    must_ok(amx_store_scoped(r.b, &next));
    must(amx_store_owner(&next) == 1);
    next.heap = r.a->heap; /* the region is its */
    *r.a = next;
    return died;
}

struct found {
    int state[MESSAGES];
    uint32_t more, n;
};

static int find_all(const struct amx_store_message *m, void *ctx)
{
    struct found *f = ctx;
    int i = 0;
    if (m->state == AMX_STATE_FREE)
        return 0;
    must((m->state == AMX_STATE_STORED || m->state == AMX_STATE_POISONED) && m->owner == 0);
    f->n++;
    while (i < MESSAGES && token[i] != m->token)
        i++;
    if (i < MESSAGES)
        f->state[i] = m->state == AMX_STATE_STORED ? S : P;
    else
        f->more++;
    must(m->readers == (i == BYS)); /* B's guard, and none of the dead */
    if (m->state == AMX_STATE_STORED) {
        struct amx_read g;
        must_ok(amx_msg_read(r.b, m->token, &g));
        must(g.size == SIZE && stamped(g.payload, SIZE, g.header->sequence));
        amx_read_end(&g);
    }
    return 0;
}

static int free_each(const struct amx_store_message *m, void *ctx)
{
    (void)ctx;
    if (m->state != AMX_STATE_FREE)
        must_ok(amx_msg_free(r.b, m->token));
    return 0;
}

static bool after_death(int i, uint64_t m)
{
    static const int as_it_was[MESSAGES] = {
        [BYS] = S, [TARGET] = S, [POISONED] = P, [WRITTEN] = P, [READ_BY_A] = S, [PLACE] = F};
    bool died = bury(m);
    struct found f = {.state = {F, F, F, F, F, F}};
    (void)store_clean(r.b);
    must_ok(amx_store_walk(r.b, find_all, &f));
    for (int k = 0; k < MESSAGES; k++) {
        const int may = call[i].may && call[i].which == k ? call[i].may : as_it_was[k];
        if (!(f.state[k] & may))
            fprintf(stderr, "%s: message %d ends as %d\n", call[i].name, k, f.state[k]);
        must(f.state[k] & may);
    }
    must(f.more <= call[i].more && store_stat(r.b).used == f.n);
    if (r.k.marks.policy)
        must(f.n <= MESSAGES);
    must(b.read[0].store && stamped(b.read[0].payload, SIZE, BYS));
    must(amx_msg_free(r.b, token[BYS]) == AMX_E_BORROW_ACTIVE);
    (void)obey(&b, (struct order){READ_END, 0, 0});
    must_ok(amx_store_walk(r.b, free_each, NULL));
    if (r.k.marks.policy)
        must(available(r.b) == r.k.depth);
    else
        store_all_free(r.b);
    room_close(&r);
    return died;
}

static enum kind kind_of(void **state)
{
    return **(enum kind **)state;
}

static void killed(void **state)
{
    uint64_t kills = 0, doubles = 0;
    for (int i = 0; i < CALLS; i++)
        for (uint64_t at = 1;; at++) {
            bool hit = true, more = true;
            for (uint64_t m = 0; hit && more; m++) {
                set(kind_of(state), call[i].k);
                answer = AMX_OK;
                hit = shoot(call[i].fn, at, NULL);
                if (!hit && answer != call[i].answer)
                    fail_msg("%s: %d", call[i].name, answer);
                more = after_death(i, m) || !m;
                kills += hit && !m;
                doubles += hit && m && more;
            }
            if (!hit) {
                assert_true(at > 1 || call[i].fn == do_mut_in_vain);
                break;
            }
        }
    note("%" PRIu64 " kills, %" PRIu64 " of them with a killed recovery", kills, doubles);
    assert_true(kills >= 60 && doubles >= 150);
}

/* --- Stopped ------------------------------------------------------------------------------------------------------------------ */

static void everything(void)
{
    amx_token t[16];
    struct amx_read g;
    int n = 0, e;
    if (!r.k.marks.policy) {
        while (n < 16) {
            struct answer x = obey(&b, (struct order){STORE, 0, (uint64_t)(100 + n)});
            if (x.e == AMX_E_NOMEM)
                break;
            must_ok(x.e);
            t[n++] = x.value;
        }
        must(n < 6); /* places that are free, or being freed */
    }
    for (int i = 0; i < MESSAGES; i++) { /* whatever A is doing to it */
        e = amx_msg_read(r.b, token[i], &g);
        must(e == AMX_OK || e == AMX_E_BORROWED || e == AMX_E_POISONED || e == AMX_E_STALE);
        if (e)
            continue;
        must(g.size == SIZE && stamped(g.payload, SIZE, g.header->sequence));
        amx_read_end(&g);
    }
    while (n) {
        see(r.b, t[n - 1], (uint64_t)(99 + n));
        must_ok(amx_msg_free(r.b, t[--n]));
    }
}

static void stopped(void **state)
{
    uint64_t stops = 0;
    for (int i = 0; i < CALLS; i++)
        for (uint64_t at = 1;; at++) {
            set(kind_of(state), call[i].k);
            answer = AMX_OK;
            bool hit = shoot(call[i].fn, at, everything);
            if (answer != call[i].answer)
                fail_msg("%s, stopped at %d: %d", call[i].name, (int)at, answer);
            stops += hit;
            (void)after_death(i, 0);
            if (!hit)
                break;
        }
    note("%" PRIu64 " stops", stops);
    assert_true(stops >= 60);
}

/* --- Between a call's look at a word and its exchange, B changes that word ------------------------------------------------- */

static struct amx_write his;
static struct amx_read his_read;

static void b_reads(void)
{
    must_ok(amx_msg_read(r.b, token[TARGET], &his_read));
}
static void b_frees(void)
{
    must_ok(amx_msg_free(r.b, token[TARGET]));
}
static void b_frees_and_stores(void)
{
    b_frees();
    while (AMX_SLOT_INDEX(put(r.b, 80)) != AMX_SLOT_INDEX(token[TARGET]))
        ;
}
static void b_writes(void)
{
    must_ok(amx_msg_read_mut(r.b, token[TARGET], &his));
}
static void b_changes(void)
{
    b_writes();
    stamp(his.payload, SIZE, 90);
    his.header->sequence = 90;
    must_ok(amx_write_end(&his));
}
static void b_poisons(void)
{
    b_writes();
    must_ok(amx_msg_poison(&his));
}
static void b_mends(void)
{
    must_ok(amx_msg_recover(r.b, token[POISONED], &his));
    must_ok(amx_write_end(&his));
}
static void b_frees_poisoned(void)
{
    must_ok(amx_msg_free(r.b, token[POISONED]));
}

static void meetings(void **state)
{
    static const struct {
        void (*fn)(void);
        void (*other)(void);
        int answer;
    } game[] = {
        {do_free, b_reads, AMX_E_BORROW_ACTIVE},
        {do_free, b_frees, AMX_E_DOUBLE_FREE},
        {do_free, b_frees_and_stores, AMX_E_STALE},
        {do_free, b_writes, AMX_E_BORROW_ACTIVE},
        {do_free, b_changes, AMX_OK},
        {do_free, b_poisons, AMX_E_BORROW_ACTIVE},
        {do_mut, b_reads, AMX_E_BORROWED},
        {do_mut, b_frees, AMX_E_STALE},
        {do_mut, b_frees_and_stores, AMX_E_STALE},
        {do_mut, b_writes, AMX_E_BORROWED},
        {do_mut, b_changes, AMX_OK},
        {do_mut, b_poisons, AMX_E_BORROWED},
        {do_read, b_reads, AMX_OK},
        {do_read, b_frees, AMX_E_STALE},
        {do_read, b_frees_and_stores, AMX_E_STALE},
        {do_read, b_writes, AMX_E_BORROWED},
        {do_read, b_changes, AMX_OK},
        {do_read, b_poisons, AMX_E_POISONED},
        {do_mend, b_mends, AMX_E_BORROWED},
        {do_mend, b_frees_poisoned, AMX_E_STALE},
        {do_free_poisoned, b_mends, AMX_E_BORROW_ACTIVE},
        {do_free_poisoned, b_frees_poisoned, AMX_E_DOUBLE_FREE},
    };
    for (size_t i = 0; i < sizeof game / sizeof *game; i++) {
        set(kind_of(state), &plain);
        must(shoot(game[i].fn, 1, game[i].other)); /* before its first store: the exchange of the word, or its guard */
        if (answer != game[i].answer)
            fail_msg("meeting %d: %d", (int)i, answer);
        (void)store_clean(r.b);
        amx_read_end(&his_read);
        if (his.store)
            must_ok(amx_write_end(&his));
        (void)bury(0);
        (void)obey(&b, (struct order){READ_END, 0, 0});
        must_ok(amx_store_walk(r.b, free_each, NULL));
        store_all_free(r.b);
        room_close(&r);
    }
}

int main(void)
{
    static const enum kind concurrent = CONCURRENT, shared = SHARED;
    const struct CMUnitTest tests[] = {
#define EACH(f)                                                                                                        \
    {#f " (concurrent)", f, NULL, NULL, (void *)(uintptr_t)&concurrent},                                               \
        {#f " (shared)", f, NULL, NULL, (void *)(uintptr_t)&shared}
        EACH(killed), EACH(stopped), EACH(meetings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
