/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kill campaign. The plays of tests/crash are acted by processes of their own with the optimised library; this
 * program traces them.
 *
 *   sweep   Each armed call is stepped once, instruction by instruction. After each instruction that changed the
 *           segment (a *point*) a copy of it, as a kill there leaves it, is judged and recovered by a survivor in three
 *           ways: the actor dies; the actor is stopped and the others die; all die. The survivor is this program, built
 *           with a hook before each store: in the first way its recovery is cut before each of its own stores, and one
 *           more survivor finishes that.
 *   stop    The play once more for each point: the actor stops there and stays stopped. A third process comes in and is
 *           killed; a fourth recovers it, does a script of every call, takes all memory that is not hidden, gives it
 *           back and leaves. Then the actor goes on, and everything is exact.
 *   kill    For a choice of the points: the actor is killed there. A survivor, a process too, recovers, and for some of
 *           them is itself killed at a store of its recovery; the next one finishes.
 *
 *   torture ACTOR SITES RESULTS WORKER WORKERS [PERMILLE [KILLS]]
 * SITES: where ACTOR's shared stores are (sites.sh); this worker's share of the calls is WORKER of WORKERS. PERMILLE of
 * the points are taken (1000), thrice as many in a segment that was empty, and KILLS of those killed at all (2100). RESULTS gets the counts, the sites that were hit,
 * and the most instructions that each call of the script took.
 */
#include "control.h"
#include "tests/crash/pool_plays.h"
#include "tests/crash/store_plays.h"
#include "tracer.h"

#include <sys/stat.h>

enum { POINTS_MAX = 200000, SITES_MAX = 4096, STEPPED = 64, STEPPED_LONG = 1024 };

struct point {
    uint32_t test, ordinal, pc, nth;
    const char *op;
};

enum mode { SWEEP, STOP, KILL };

static struct {
    enum mode mode;
    unsigned worker, workers, permille;
    struct proc proc[6]; /* by peer_of: P's, Q's, a stranger's; a survivor; one who is to die */
    unsigned test, ordinal;
    struct point target;
    bool reached, done;
    bool counting, counting_long, twice;
    jmp_buf out;
    uint32_t nth[TEXT_MAX];  /* executions of an instruction in this call */
    bool executed[TEXT_MAX]; /* ever */
    uint32_t site[SITES_MAX];
    unsigned sites;
    struct point point[POINTS_MAX];
    unsigned points;
    amx_id entered;     /* the handle of who came last */
    unsigned strangers; /* blocks that nobody in the play knows */
    uint64_t operations, doubles, stops, kills, kills_twice, steps, counted, hidden_max;
    uint64_t most[EVERY_VERB]; /* instructions of a call of the script */
    uint8_t shadow[SIZE_MAX_COPY];
    struct rng rng;
} t;

enum { THIRD = MORE + 7, SCRIPT_MAX = 512 }; /* THIRD: the slot of one who is to die */

static struct proc *proc_of(int who)
{
    return &t.proc[who == THIRD ? 4 : peer_of[who]];
}

static struct control *told_to(int who, const struct call *c)
{
    struct proc *p = proc_of(who);
    if (!p->pid)
        proc_start(p, sizeof(struct control));
    struct control *ctl = p->shared;
    ctl->who = (uint32_t)(who == STRANGER ? Q : who);
    ctl->call = *c;
    return ctl;
}

/* --- Sweep -------------------------------------------------------------------------------------------------------- */

static void executed(uint64_t pc)
{
    if (pc >= TEXT_MAX)
        return; /* libc */
    t.executed[pc] = true;
    t.nth[pc]++;
}

/* As kill_here, and the survivor of the first way is killed before each of its stores. */
static void kill_at_point(void)
{
    unsigned actor = 1u << shots.actor, all = 0;
    for (int i = 0; i < PEERS; i++)
        all |= sc.ticket[i] ? 1u << i : 0;
    const unsigned living[] = {all & ~actor, all & actor, 0};
    shots.each_cut = true;
    for (unsigned k = 0; k < 3; k++) {
        if (k < 2 && !living[k])
            continue;
        memcpy(grave[1].image, sc.view, sc.g.size);
        survive(1, living[k]);
        shots.each_cut = false;
    }
}

/* A recovery costs most where there is most to recover, so of those points fewer are taken. */
static bool chosen(void)
{
    return rng_below(&t.rng, 1000) < (sc.empty ? 3 * t.permille : t.permille);
}

static void point(uint64_t pc, const char *op)
{
    memcpy(t.shadow, sc.view, sc.g.size);
    if (!chosen())
        return;
    shots.store++;
    shots.stores++;
    shots.site = (const void *)(uintptr_t)pc;
    must(pc < TEXT_MAX && t.points < POINTS_MAX); /* only the library changes a segment */
    t.point[t.points++] = (struct point){t.test, t.ordinal, (uint32_t)pc, t.nth[pc], op};
    copy(1);
    judge_image(grave[1].image, AMX_GRADE_UNDONE);
    kill_at_point();
}

static void sweep(struct proc *p, int who, const char *op)
{
    uint64_t pc, last = 0, again = 0, n = 0;
    bool more;
    memset(t.nth, 0, sizeof t.nth);
    memcpy(t.shadow, sc.view, sc.g.size);
    shots.op = op;
    shots.who = who;
    shots.actor = peer_of[who];
    shots.store = 0;
    list_made();
    t.operations++;
    do {
        more = proc_step(p, &pc);
        executed(pc);
        again = pc == last ? again + 1 : 0;
        last = pc;
        if (memcmp(t.shadow, sc.view, sc.g.size) == 0)
            continue;
        /* one string instruction that copies a payload is many steps: of those some */
        if (again && (again > 1024 || (again & (again - 1)) != 0))
            memcpy(t.shadow, sc.view, sc.g.size);
        else
            point(pc, op);
    } while (more && n++ < STEPS_MAX);
    assert_true(!more);
    t.steps += n;
    shots.op = NULL;
}

/* --- Others, while one is stopped ---------------------------------------------------------------------------------- */

/* A call of one who is not in the play. */
static int bid(int who, struct call *c)
{
    struct proc *p = proc_of(who);
    struct control *ctl = told_to(who, c);
    bool longer = c->verb == V_ATTACH || c->verb == V_CLOSE || c->verb == V_LOOK;
    if (who == SURVIVOR && (longer ? t.counting_long : t.counting)) {
        uint64_t n = 0, pc;
        while (proc_step(p, &pc)) {
            if (pc < TEXT_MAX)
                t.executed[pc] = true;
            assert_true(n++ < STEPS_MAX);
        }
        t.counted++;
        if (n > t.most[c->verb])
            t.most[c->verb] = n;
    } else {
        proc_run(p);
    }
    *c = ctl->call;
    return c->answer;
}
#define BID(who, ...) bid((who), CALL(__VA_ARGS__))

static int enter(int who, uint32_t *tag)
{
    struct call c = {.verb = V_ATTACH};
    memcpy(c.path, sc.path, sizeof c.path);
    int e = bid(who, &c);
    *tag = c.tag;
    t.entered = c.id;
    return e;
}

/* Every entry is somebody's who may be alive, or the one who is stopped is attaching and may be about to take over from
 * the dead: another cannot come. */
static bool no_room(int e)
{
    bool handles = true, peers = true;
    if (e == AMX_E_BUSY && sc.full && !t.done && shots.actor == peer_of[STRANGER])
        return true;
    for (uint32_t i = 0; i < sc.g.handles; i++)
        handles &= AMXI_H_STATUS(amxi_ld64_acq(&amxi_handle(&sc.seg, i)->word)) != AMXI_H_FREE;
    for (uint32_t i = 0; i < sc.g.peers; i++)
        peers &= AMXI_PEER_STATUS(amxi_ld64_acq(&amxi_peer(&sc.seg, i)->word)) != AMXI_PEER_FREE;
    return e == AMX_E_FULL && (handles || peers);
}

static bool shortage(int e)
{
    return e == AMX_E_NOMEM || e == AMX_E_BUSY;
}

static void may_fall_short(int e)
{
    assert_true(e == AMX_OK || shortage(e));
}

static void may_be_partial(int e)
{
    assert_true(e == AMX_OK || e == AMX_E_PARTIAL);
}

static uint32_t kind_of(uint32_t sector, uint32_t *who)
{
    uint64_t w = amxi_ld64_acq(&amxi_sector(&sc.seg, sector)->word);
    *who = AMXI_S_WHO(w);
    return AMXI_S_KIND(w);
}

/* A process that comes while another is stopped, and dies. */
struct third {
    bool came;
    uint32_t tag;
    amx_ref published, kept;
    amx_slot slot[4]; /* published, kept; of the arena too */
    amx_token message[3];
};

#include "pool_script.h"
#include "store_script.h"

static void third_dies(struct third *r)
{
    struct call c = {.verb = V_ALLOC, .n = 100};
    *r = (struct third){.came = false};
    int e = enter(THIRD, &r->tag);
    assert_true(e == AMX_OK || no_room(e) || sc.damaged);
    if (!e) {
        r->came = true;
        may_fall_short(BID(THIRD, .verb = V_ALLOC, .n = 40));
        may_fall_short(BID(THIRD, .verb = V_ALLOC, .n = 500));
        if (!bid(THIRD, &c)) {
            r->published = c.out;
            ok(BID(THIRD, .verb = V_PUBLISH, .ref = c.out));
        }
        c = (struct call){.verb = V_ALLOC, .n = 60};
        if (!bid(THIRD, &c)) {
            r->kept = c.out;
            ok(BID(THIRD, .verb = V_SET_STATE, .ref = c.out, .state = 3000));
        }
        slots_of_third(r);
        messages_of_third(r);
    }
    proc_kill(proc_of(THIRD));
}

struct left {
    uint32_t tag;
    unsigned free, owned;
};

static int count_left(const struct amx_block *b, void *ctx)
{
    struct left *l = ctx;
    uint32_t who;
    if (kind_of(b->sector, &who) == AMXI_K_HELD)
        return 0; /* hidden */
    l->free += b->state == AMX_STATE_FREE;
    l->owned += b->owner == l->tag && b->state < AMX_STATE_KEPT;
    return 0;
}

static struct left what_is_left(uint32_t tag)
{
    struct left l = {.tag = tag};
    int e = amx_walk(sc.look, count_left, &l);
    assert_true(e == AMX_OK || e == AMX_E_PARTIAL || sc.damaged);
    return l;
}

/* All memory that can be had, to the last block, and back. */
static void fill_all(void)
{
    static struct call c[SCRIPT_MAX];
    unsigned k = 0;
    int e = AMX_OK;
    for (size_t n = sc.g.su * 8; n >= 16; n /= 2)
        for (e = AMX_OK; !e && k < SCRIPT_MAX; k++) {
            c[k] = (struct call){.verb = V_MANY, .n = n, .count = CALL_REFS};
            e = bid(SURVIVOR, &c[k]);
        }
    assert_true(shortage(e)); /* it ended because nothing is left, not because the script did */
    if (!sc.damaged)
        assert_int_equal(what_is_left(0).free, 0);
    while (k-- > 0) {
        c[k].verb = V_FREE_MANY;
        c[k].count = (uint32_t)c[k].got;
        ok(bid(SURVIVOR, &c[k]));
    }
}

static uint32_t size_at(uint64_t unit) /* 0: of a large block */
{
    return AMXI_W1_SIZE(amxi_ld64_rlx(&amxi_block(&sc.seg, unit)->w1));
}

/* At most one sector is hidden, but for a call that makes or takes apart a large block. */
static void judge_hidden(const struct call *c)
{
    uint64_t hidden = 0, large = (uint64_t)sc.g.su * 12;
    unsigned i = find_item(c->ref);
    uint32_t who;
    for (uint32_t s = 0; s < sc.g.sectors; s++)
        hidden += kind_of(s, &who) == AMXI_K_HELD && !(sc.held && who == sc.tag[Q]);
    bool small = c->n + c->align <= large && (i == sc.n || size_at(unit_of(i)) != 0) && c->verb != V_RECOVER &&
                 c->verb != V_RECOVER_TOLD && c->verb != V_ATTACH && c->verb != V_CLOSE && c->verb != V_SHARE &&
                 c->verb != V_FREE_MANY;
    if (small) {
        assert_true(hidden <= 1);
        if (hidden > t.hidden_max)
            t.hidden_max = hidden;
    }
}

static void script(const struct call *c)
{
    struct third r;
    struct call a = {.verb = V_ALLOC, .n = 48}, b = {.verb = V_ALIGNED, .align = 64, .n = 100},
                l = {.verb = V_ALLOC, .n = bytes_of(sc.g.su + 20)};
    uint32_t tag;
    third_dies(&r);
    int e = enter(SURVIVOR, &tag);
    assert_true(e == AMX_OK || no_room(e) || sc.damaged);
    if (e) { /* the third one took the last entry: what outlives it stays */
        assert_true(!r.slot[0] && !r.slot[1] && !r.slot[2] && !r.slot[3] && !r.message[0]);
        t.strangers = (r.published != 0 ? 1u : 0) + (r.kept != 0 ? 1u : 0);
        return;
    }
    e = BID(SURVIVOR, .verb = V_RECOVER);
    assert_true(e == AMX_OK || e == AMX_E_PARTIAL || sc.damaged);
    if (r.came && !sc.damaged) /* what he held and nobody hides is free */
        assert_int_equal(what_is_left(r.tag).owned, 0);
    judge_hidden(c);
    if (r.published)
        ok(BID(SURVIVOR, .verb = V_FREE, .ref = r.published));
    if (r.kept)
        ok(BID(SURVIVOR, .verb = V_FREE, .ref = r.kept));
    if (!bid(SURVIVOR, &a)) {
        struct call z = {.verb = V_RESIZE, .ref = a.out, .n = 300};
        if (!bid(SURVIVOR, &z))
            a.out = z.out;
        ok(BID(SURVIVOR, .verb = V_WRITE, .ref = a.out, .n = 16));
        ok(BID(SURVIVOR, .verb = V_SET_STATE, .ref = a.out, .state = 77));
        ok(BID(SURVIVOR, .verb = V_PUBLISH, .ref = a.out));
        ok(BID(SURVIVOR, .verb = V_ADOPT, .ref = a.out));
        ok(BID(SURVIVOR, .verb = V_FREE, .ref = a.out));
    } else {
        may_fall_short(a.answer);
    }
    if (!bid(SURVIVOR, &b))
        ok(BID(SURVIVOR, .verb = V_FREE, .ref = b.out));
    if (!bid(SURVIVOR, &l))
        ok(BID(SURVIVOR, .verb = V_FREE, .ref = l.out));
    if (!sc.damaged) {
        may_be_partial(BID(SURVIVOR, .verb = V_TRIM));
        may_be_partial(BID(SURVIVOR, .verb = V_HEAL));
    }
    e = BID(SURVIVOR, .verb = V_LOOK);
    assert_true(e == AMX_OK || e == AMX_E_PARTIAL || sc.damaged);
    pool_script(&r);
    store_script(&r);
    bool counting = t.counting;
    t.counting = false;
    fill_all();
    t.counting = counting;
    if (!sc.damaged)
        may_be_partial(BID(SURVIVOR, .verb = V_RECOVER));
    ok(BID(SURVIVOR, .verb = V_CLOSE));
}

/* --- The end of a stop or kill ------------------------------------------------------------------------------------- */

static void survivor_judges(void)
{
    amx_t *h;
    ok(amx_attach(sc.path, NULL, &h));
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    recover_plain(h, 0);
    recover_plain_store(h, 0);
    ok(amx_heal(h));
    judge_all(h, 0);
    judge_whole(h);
    ok(amx_close(h));
}

/* Everybody leaves, in good order or not; then nothing is there but what outlives them. */
static void all_leave(bool kill_them)
{
    for (int who = P; who <= Q; who += Q - P) {
        if (!sc.here[who])
            continue;
        if (kill_them || sc.damaged)
            proc_kill(proc_of(who));
        else
            ok(ASK(who, NULL, .verb = V_CLOSE));
        sc.here[who] = false;
    }
    if (!sc.damaged)
        survivor_judges();
    else
        proc_kill(&t.proc[2]);
    scene_drop();
}

static void stop_is_over(void)
{
    unsigned living = (sc.here[P] ? 1u : 0) | (sc.here[Q] ? 2u : 0);
    t.done = false;
    shots.op = NULL;
    t.stops++;
    sc.more = t.strangers;
    sc.pool.more = 0;
    sc.store.more = 0;
    if (!sc.damaged) { /* what the survivor had to leave behind, when somebody was inside */
        uint32_t tag;
        int e = enter(SURVIVOR, &tag);
        assert_true(e == AMX_OK || no_room(e));
        if (!e) {
            ok(BID(SURVIVOR, .verb = V_RECOVER));
            survivor_recovers_plain(living);
            survivor_recovers_store(living);
            ok(BID(SURVIVOR, .verb = V_CLOSE));
            judge_all(sc.look, living);
        }
    }
    all_leave(false);
    longjmp(t.out, 1);
}

/* A survivor, killed at a store of its recovery. */
static void die_recovering(void)
{
    struct call c = {.verb = V_ATTACH};
    memcpy(c.path, sc.path, sizeof c.path);
    for (int tries = 0; tries < 40; tries++) {
        const struct point *at = &t.point[rng_below(&t.rng, t.points)];
        (void)told_to(SURVIVOR, &c);
        if (proc_run_to(proc_of(SURVIVOR), at->pc, at->nth)) {
            proc_kill(proc_of(SURVIVOR));
            t.kills_twice++;
            return;
        }
        struct control *ctl = proc_of(SURVIVOR)->shared;
        if (ctl->call.answer == AMX_OK)
            (void)BID(SURVIVOR, .verb = V_CLOSE);
        return; /* what there was to recover it has recovered */
    }
}

static void killed(int who)
{
    unsigned living = (sc.here[P] ? 1u : 0) | (sc.here[Q] ? 2u : 0);
    uint32_t tag;
    int e;
    proc_kill(proc_of(who));
    if (who != STRANGER) {
        living &= ~(1u << peer_of[who]);
        sc.here[who == P2 || who >= MORE ? P : who] = false;
    }
    t.kills++;
    if (t.twice)
        die_recovering();
    e = enter(SURVIVOR, &tag);
    assert_true(e == AMX_OK || no_room(e) || sc.damaged);
    if (!e) {
        e = BID(SURVIVOR, .verb = V_RECOVER);
        assert_true(e == AMX_OK || (sc.held && e == AMX_E_PARTIAL) || sc.damaged);
        survivor_recovers_plain(living);
        survivor_recovers_store(living);
        ok(BID(SURVIVOR, .verb = V_CLOSE));
        if (!sc.held && !sc.damaged)
            judge_all(sc.look, living);
    }
    shots.op = NULL;
    all_leave(sc.held || sc.full);
    longjmp(t.out, 1);
}

static void at_target(struct proc *p, int who, const char *op, const struct call *c)
{
    shots.op = op;
    shots.actor = peer_of[who];
    shots.store = t.target.nth;
    shots.site = (const void *)(uintptr_t)t.target.pc;
    t.reached = proc_run_to(p, t.target.pc, t.target.nth);
    assert_true(t.reached);
    if (t.mode == KILL)
        killed(who);
    script(c);
    sc.helped = true;
    t.done = true;
    proc_run(p);
}

/* --- The harness of the plays -------------------------------------------------------------------------------------- */

static inline int act(int who, const char *op, struct call *c)
{
    if (op && t.done && !sc.held)
        stop_is_over();
    struct control *ctl = told_to(who, c);
    struct proc *p = proc_of(who);
    t.ordinal += op != NULL;
    if (op && t.mode == SWEEP && (t.ordinal * UINT32_C(2654435761) >> 16) % t.workers == t.worker)
        sweep(p, who, op);
    else if (op && t.mode != SWEEP && t.ordinal == t.target.ordinal)
        at_target(p, who, op, c);
    else
        proc_run(p);
    *c = ctl->call;
    if (c->verb == V_ATTACH && who == STRANGER && !c->answer) {
        proc_kill(&t.proc[1]);
        t.proc[1] = t.proc[2];
        memset(&t.proc[2], 0, sizeof t.proc[2]);
    }
    return c->answer;
}

static inline void kill_one(int who)
{
    proc_kill(proc_of(who));
    sc.here[who] = false;
    sc.ticket[peer_of[who]] = 0;
}

/* --- Tests --------------------------------------------------------------------------------------------------------- */

static void play_any(struct rng *r)
{
    for (int turn = 0; turn < 120; turn++)
        any_call(r);
}

static void play_gift(struct rng *r)
{
    (void)r;
    do_give(P, "give to one who dies", do_alloc(P, NULL, 64), Q);
}

static void play_slot_gift(struct rng *r)
{
    (void)r;
    if (do_pool_create(NULL))
        do_slot_give(P, "slot give to one who dies", do_take(P, NULL, 16), Q);
}

static const struct {
    const char *name;
    play_fn *fn;
} plays[] = {
    {"small blocks", play_alloc},
    {"aligned blocks", play_aligned},
    {"merging", play_merge},
    {"others' blocks", play_foreign},
    {"queues", play_queue},
    {"a sector in use", play_busy},
    {"a full segment", play_full},
    {"resizing", play_resize},
    {"large blocks", play_large},
    {"tails", play_tail},
    {"scarcity", play_scarce},
    {"owners", play_owners},
    {"processes", play_processes},
    {"full tables", play_full_tables},
    {"everybody dead", play_all_dead},
    {"no entry left", play_no_entry},
    {"objects", play_objects},
    {"damage", play_damage},
    {"any calls", play_any},
    {"generations", play_generations},
    {"waiters", play_waiters},
    {"death inside", play_inside},
    {"gifts", play_gift},
    {"gifts of slots", play_slot_gift},
    {"a pool made", play_pool_making},
    {"a pool grows", play_pool_growth},
    {"slots of a pool", play_pool_slots},
    {"deaths in a pool", play_pool_deaths},
    {"a pool outside", play_pool_plain},
    {"any calls on a pool", play_pool_any},
    {"a store made", play_store_making},
    {"messages of a store", play_store_messages},
    {"marks of a store", play_store_marks},
    {"deaths in a store", play_store_deaths},
    {"a store of threads", play_store_threads},
    {"a store of one thread", play_store_one},
    {"any calls on a store", play_store_any},
    {"slots of the arena", play_arena_slots},
    {"deaths in the arena's slots", play_arena_deaths},
    {"a quota", play_quota},
    {"any calls on the arena's slots", play_arena_any},
};
enum { PLAYS = sizeof plays / sizeof *plays, TESTS = PLAYS * CROWDS };

static void play(unsigned test)
{
    struct rng r = rng_make(7, test % CROWDS);
    t.ordinal = 0;
    t.strangers = 0;
    t.test = test;
    t.done = false;
    scene_open(shape[0].size, shape[0].sector);
    crowd((enum crowd)(test % CROWDS), &r);
    plays[test / CROWDS].fn(&r);
}

static void a_sweep(void **state)
{
    unsigned before = t.points;
    uint64_t steps = t.steps, cuts = shots.cuts, equal = shots.equal;
    t.mode = SWEEP;
    play((unsigned)(uintptr_t)*state);
    if (sc.damaged)
        all_leave(true);
    else
        scene_close();
    note("%u points in %" PRIu64 " instructions; %" PRIu64 " cuts, %" PRIu64 " equal to earlier ones",
         t.points - before, t.steps - steps, shots.cuts - cuts, shots.equal - equal);
}

static void replay(const struct point *target, enum mode mode)
{
    t.mode = mode;
    t.target = *target;
    t.reached = false;
    if (setjmp(t.out) == 0) {
        play(target->test);
        assert_true(t.reached);
        if (t.done)
            stop_is_over();
    }
    t.mode = SWEEP;
}

static void stops(void **state)
{
    for (unsigned i = 0; i < t.points; i++) {
        if (t.point[i].test != (unsigned)(uintptr_t)*state)
            continue;
        t.counting = i % STEPPED == 0;
        t.counting_long = i % STEPPED_LONG == 0;
        replay(&t.point[i], STOP);
    }
    t.counting = t.counting_long = false;
}

static uint64_t kills_wanted = 2100;

/* Spread over the points as they come, that is, over all calls. */
static void kills(void **state)
{
    uint64_t step = t.points > kills_wanted ? t.points / kills_wanted : 1;
    for (unsigned i = 0; i < t.points; i++) {
        bool first = i == 0 || t.point[i].op != t.point[i - 1].op;
        if (t.point[i].test != (unsigned)(uintptr_t)*state || (i % step && !first))
            continue;
        t.twice = t.kills % 6 == 0;
        replay(&t.point[i], KILL);
    }
}

static int clean_up(void **state)
{
    if (shots.op)
        print_error("in `%s`, ordinal %u, point %#zx, time %u\n", shots.op, t.ordinal, (size_t)shots.site, shots.store);
    told(state);
    for (unsigned i = 0; i < sizeof t.proc / sizeof *t.proc; i++)
        proc_kill(&t.proc[i]);
    t.done = false;
    if (sc.look)
        scene_drop();
    return 0;
}

/* --- Creation and the name ---------------------------------------------------------------------------------------- */

static bool is_there(void)
{
    return access(sc.path, F_OK) == 0;
}

/* The file that the actor has and nobody can see yet; NULL: it has none. */
static const uint8_t *unseen_file(const struct proc *p, size_t size)
{
    char path[64], to[256];
    for (int fd = 3; fd < 32; fd++) {
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)p->pid, fd);
        ssize_t n = readlink(path, to, sizeof to - 1);
        if (n <= 0)
            continue;
        to[n] = 0;
        if (!strstr(to, " (deleted)") || strstr(to, "memfd"))
            continue;
        int f = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        must(f >= 0 && fstat(f, &st) == 0);
        void *m = (size_t)st.st_size == size ? mmap(NULL, size, PROT_READ, MAP_SHARED, f, 0) : MAP_FAILED;
        close(f);
        if (m != MAP_FAILED)
            return m;
    }
    return NULL;
}

/* The name stands for a whole segment or for nothing. */
static void whole_or_nothing(void)
{
    if (!is_there())
        return;
    scene_look();
    survivor_judges();
    scene_drop();
}

/* A creator is killed before and behind each store: what nobody can see is nothing. Now and then for good. */
static void creation(void **state)
{
    struct call c = {.verb = V_CREATE, .size = AMX_SIZE_MIN, .sector = 4096, .peers = 6, .handles = 8};
    uint64_t pc, kept = 0, n = 0, changed = 0;
    static struct point at[4096];
    unsigned points = 0;
    (void)state;
    memset(&sc, 0, sizeof sc);
    snprintf(sc.path, sizeof sc.path, "%s/created-%d", getenv("AMX_DIR") ? getenv("AMX_DIR") : "/dev/shm",
             (int)getpid());
    memcpy(c.path, sc.path, sizeof c.path);
    told_to(P, &c);
    const uint8_t *file = NULL;
    bool seen_it = false;
    memset(t.nth, 0, sizeof t.nth);
    while (proc_step(proc_of(P), &pc)) {
        executed(pc);
        n++;
        if (!file && n % 64 == 0 && (file = unseen_file(proc_of(P), AMX_SIZE_MIN)) != NULL)
            memcpy(t.shadow, file, AMX_SIZE_MIN);
        if (file && memcmp(t.shadow, file, AMX_SIZE_MIN) != 0) {
            memcpy(t.shadow, file, AMX_SIZE_MIN);
            if (changed++ % 8 == 0 && points < 4096)
                at[points++] = (struct point){.pc = (uint32_t)pc, .nth = t.nth[pc]};
            assert_false(is_there()); /* while it is being made it is not there */
        }
        if (n % 16 == 0) {
            assert_true(is_there() || !seen_it);
            seen_it = is_there();
        }
    }
    t.operations++;
    t.steps += n;
    if (file)
        munmap((void *)(uintptr_t)file, AMX_SIZE_MIN);
    struct control *ctl = proc_of(P)->shared;
    ok(ctl->call.answer);
    assert_true(changed > 100);
    proc_kill(proc_of(P));
    whole_or_nothing();
    for (unsigned k = 0; k < 48; k++) {
        const struct point *to = &at[rng_below(&t.rng, points)];
        (void)unlink(sc.path);
        told_to(P, &c);
        assert_true(proc_run_to(proc_of(P), to->pc, to->nth));
        kept += is_there();
        proc_kill(proc_of(P));
        t.kills++;
        whole_or_nothing();
    }
    (void)unlink(sc.path);
    note("create: %" PRIu64 " changes in %" PRIu64 " instructions, unseen; of 48 creators killed in it %" PRIu64
         " left a segment, whole",
         changed, n, kept);
}

/* Who removes the name is killed at each instruction but those of libc's own affairs. */
static void removal(void **state)
{
    struct call c = {.verb = V_UNLINK};
    uint64_t pc, n = 0;
    bool gone = false;
    (void)state;
    scene_open(AMX_SIZE_MIN, 4096);
    memcpy(c.path, sc.path, sizeof c.path);
    told_to(SURVIVOR, &c);
    while (proc_step(proc_of(SURVIVOR), &pc)) {
        executed(pc);
        assert_true(!gone || !is_there());
        gone = !is_there();
        n++;
    }
    t.operations++;
    t.steps += n;
    assert_true(gone);
    judge_all(sc.look, 3); /* who is attached keeps it */
    scene_close();
}

/* --- Gifts to one who dies ---------------------------------------------------------------------------------------- */

/* P stops at a point of a gift, of a block or of a slot; meanwhile Q, who is to have it, is killed and recovered, or it is
 * freed. Then P goes on. Returns what it is told. */
static int gift(const struct point *at, bool freed, bool slot)
{
    uint64_t pc;
    uint32_t tag;
    t.mode = STOP;
    t.target.ordinal = UINT32_MAX;
    scene_open(shape[0].size, shape[0].sector);
    if (slot)
        assert_true(do_pool_create(NULL));
    struct slot *s = slot ? do_take(P, NULL, 16) : NULL;
    unsigned k = slot ? 0 : do_alloc(P, NULL, 64);
    struct call c = {.verb = slot ? V_SLOT_GIVE : V_GIVE, .ref = slot ? s->ref : sc.item[k].ref, .to = sc.id[Q]};
    struct control *ctl = told_to(P, &c);
    assert_true(proc_run_to(proc_of(P), at->pc, at->nth));
    if (!freed)
        kill_q();
    ok(enter(SURVIVOR, &tag));
    if (freed) {
        int e = slot ? BID(Q, .verb = V_SLOT_FREE, .ref = c.ref) : BID(SURVIVOR, .verb = V_FREE, .ref = c.ref);
        assert_true(e == AMX_OK || e == AMX_E_STALE);
    } else {
        may_be_partial(BID(SURVIVOR, .verb = V_RECOVER));
    }
    ok(BID(SURVIVOR, .verb = V_CLOSE));
    while (proc_step(proc_of(P), &pc))
        executed(pc);
    int e = ctl->call.answer;
    *(slot ? &s->ref : &sc.item[k].ref) = ctl->call.out;
    if (!freed && e == AMX_E_PEER_DEAD) { /* it is P's again, under the new reference */
        struct amx_pool pool;
        void *p;
        if (slot)
            ok(pool_seen_by(sc.look, &pool));
        ok(slot ? amx_pool_ptr(&pool, s->ref, &p, NULL) : amx_ptr(sc.look, sc.item[k].ref, &p));
    } else if (freed && e == AMX_OK) { /* it was Q's before somebody tried to free it under its old reference */
        *(slot ? &s->tag : &sc.item[k].tag) = sc.tag[Q];
        *(slot ? &s->peer : &sc.item[k].peer) = peer_of[Q];
    } else if (slot) {
        drop_slot(s);
    } else {
        drop(k);
    }
    t.stops++;
    ok(enter(SURVIVOR, &tag));
    ok(BID(SURVIVOR, .verb = V_RECOVER));
    ok(BID(SURVIVOR, .verb = V_CLOSE));
    judge_all(sc.look, freed ? 3 : 1);
    all_leave(false);
    return e;
}

static void gifts(void **state)
{
    unsigned last = t.points, taken_back = 0, lost = 0, there = 0;
    (void)state;
    for (unsigned i = 0; i < last; i++) {
        bool slot = strcmp(t.point[i].op, "slot give to one who dies") == 0;
        if (!slot && strcmp(t.point[i].op, "give to one who dies") != 0)
            continue;
        there++;
        int e = gift(&t.point[i], false, slot);
        assert_true(e == AMX_OK || e == AMX_E_PEER_DEAD);
        taken_back += e == AMX_E_PEER_DEAD;
        t.kills++;
        e = gift(&t.point[i], true, slot);
        assert_true(e == AMX_OK || e == AMX_E_STALE);
        lost += e == AMX_E_STALE;
    }
    t.mode = SWEEP;
    note("gifts stopped at %u points: to one who dies meanwhile, %u were taken back; freed meanwhile, %u could not be "
         "given",
         there, taken_back, lost);
}

/* --- Results ------------------------------------------------------------------------------------------------------- */

static void read_sites(const char *path)
{
    FILE *f = fopen(path, "re");
    must(f != NULL);
    while (t.sites < SITES_MAX && fscanf(f, "%" SCNx32 "%*[^\n]", &t.site[t.sites]) == 1)
        t.sites++;
    must(feof(f) && t.sites > 0);
    fclose(f);
}

static void write_results(const char *path, int failures)
{
    FILE *f = fopen(path, "we");
    must(f != NULL);
    fprintf(f,
            "count operations %" PRIu64 "\ncount points %u\ncount double %" PRIu64 "\ncount double_equal %" PRIu64 "\n",
            t.operations, t.points, shots.cuts, shots.equal);
    fprintf(f, "count stops %" PRIu64 "\ncount kills %" PRIu64 "\ncount kills_twice %" PRIu64 "\n", t.stops, t.kills,
            t.kills_twice);
    fprintf(f, "count steps %" PRIu64 "\ncount scripted %" PRIu64 "\ncount recoveries %" PRIu64 "\ncount failures %d\n",
            t.steps, t.counted, shots.recoveries, failures);
    fprintf(f, "most hidden %" PRIu64 "\n", t.hidden_max);
    for (uint32_t v = 0; v < EVERY_VERB; v++)
        if (t.most[v])
            fprintf(f, "most %s %" PRIu64 "\n", name_of_store_verb(v), t.most[v]);
    for (unsigned i = 0; i < t.sites; i++)
        if (t.executed[t.site[i]])
            fprintf(f, "hit %" PRIx32 "\n", t.site[i]);
    must(fclose(f) == 0);
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[3 * TESTS + 4];
    static char name[3 * TESTS + 4][64];
    static const char *const of[] = {"", " in a torn segment", " with queues"};
    unsigned n = 0;
    if (argc < 6) {
        fputs("usage: torture ACTOR SITES RESULTS WORKER WORKERS [PERMILLE [KILLS [PLAY]]]\n", stderr);
        return 2;
    }
    proc_program = argv[1];
    read_sites(argv[2]);
    t.worker = (unsigned)atoi(argv[4]);
    t.workers = (unsigned)atoi(argv[5]);
    t.permille = argc > 6 ? (unsigned)atoi(argv[6]) : 1000;
    if (argc > 7)
        kills_wanted = strtoull(argv[7], NULL, 10);
    t.rng = rng_make(test_seed(), t.worker);
    pin(t.worker);
    signal(SIGALRM, proc_hangs);
    for (unsigned phase = 0; phase < 3; phase++)
        for (unsigned i = 0; i < TESTS; i++) {
            static void (*const fn[])(void **) = {a_sweep, stops, kills};
            static const char *const verb[] = {"sweep", "stop", "kill"};
            if (argc > 8 && !strstr(plays[i / CROWDS].name, argv[8]))
                continue;
            snprintf(name[n], sizeof name[n], "%s: %s%s", verb[phase], plays[i / CROWDS].name, of[i % CROWDS]);
            tests[n] = (struct CMUnitTest){name[n], fn[phase], NULL, clean_up, (void *)(uintptr_t)i};
            n++;
        }
    static const struct CMUnitTest more[] = {
        cmocka_unit_test_teardown(creation, clean_up),
        cmocka_unit_test_teardown(removal, clean_up),
        cmocka_unit_test_teardown(gifts, clean_up),
        cmocka_unit_test_teardown(store_borrowers, clean_up),
    };
    for (unsigned i = t.worker ? 2 : 0; i < 4; i++) /* the last two: each worker its share */
        if (argc <= 8 || strstr(more[i].name, argv[8]))
            tests[n++] = more[i];
    int failures = _cmocka_run_group_tests("torture", tests, n, NULL, NULL);
    write_results(argv[3], failures);
    return failures != 0;
}
