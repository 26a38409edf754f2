/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A deterministic scheduler. The operations of a meeting (tests/hook/meeting.h) run as fibers of one thread; each access
 * to shared memory is a point at which another may go on, and before each store the running one may die. All schedules up
 * to a number of preemptions and deaths are run, each from the same beginning.
 *
 * Preempted is only before an access to a word that another fiber changes, or that it changes and another one looks at:
 * a preemption before any other access commutes with what follows until the next such one. Which words these are is
 * learnt while the schedules run; if new ones are met, all are run once more.
 *
 * With MEMORY=tso or MEMORY=c11 (memory.h) a load may also read what was there before: each such load is a choice, which
 * costs as much as a preemption. Later loads of that word read the same, for nothing.
 *
 * With -DPOOLS the operations are those on slot pools (pool_meeting.h), with -DSTORES those on message stores
 * (store_meeting.h).
 */
#ifndef AMX_TEST_EXPLORE_H
#define AMX_TEST_EXPLORE_H

#include "memory.h"

#include "arena.h"
#include "os.h"
#include "peer.h"
#if defined POOLS
#include "pool_meeting.h"
#elif defined STORES
#include "store_meeting.h"
#else
#include "tests/hook/meeting.h"
#endif

#include <ucontext.h>

enum {
    SWITCHES = 8,
    HOME = 255,
    OLDER = 64, /* and above: not a fiber, but the load at this step reads an older value */
    WIDE = 200000,
    CHOICES = 16384,
    STEPS_MAX = 200000,
    WORDS = (256 << 10) / 8,
    SEEN = 1 << 16
};

/* Before step `step` fiber `to` goes on (HOME: nobody is left); the one that would have may be dead. Or its load reads the
 * one before the last value (OLDER), the one before that (OLDER + 1), ... */
struct change_over {
    uint32_t step;
    uint8_t to;
    bool dies;
};
struct plan {
    uint8_t n, first, cost;
    uint8_t deaths;
    struct change_over at[SWITCHES];
};
/* A point where it could have gone otherwise. */
struct choice {
    uint32_t step;
    uint8_t others; /* bits of those who could go on; of older values, if `reads` */
    bool ended;     /* the one that ran has, so that one of them must */
    bool reads;     /* a load that could have read an older value */
    bool meets;     /* an access to a word that concerns others too: to go on with one of them makes a difference */
};

static struct {
    unsigned fibers, bound;
    unsigned deaths; /* in one schedule, at most */
    bool in_turn;    /* one after the other: only what loads read is chosen, and who is next */
    struct rng dice;
    bool on; /* fibers are running: accesses count */
    ucontext_t home, context[DEPTH];
    uint8_t stack[DEPTH][256 << 10];
    unsigned now, left; /* who runs; bits of those who have not ended */
    uint32_t step;
    struct plan plan;
    struct plan *shown; /* for who tells of us when a check has ended the process; NULL: nobody */
    unsigned at;        /* the next change-over of the plan */
    struct choice choice[CHOICES];
    unsigned choices;
    uint8_t looked[WORDS], changed[WORDS]; /* bits of fibers */
    uint32_t words_met;                    /* words that became common */
    bool dead[DEPTH];
    struct plan *stack_of_plans;
    size_t plans, room;
    uint64_t explored, judged;
    uint32_t most; /* steps of one operation, while the others stand still */
    uint32_t alone;
    uint64_t seen[SEEN];
    /* of a litmus test: what each fiber does instead of an operation, and who judges; NULL: the meeting's */
    void (*act)(int fiber);
    void (*begin)(void);
    void (*judge)(void);
    uint64_t told[DEPTH]; /* what the fibers of a litmus test found */
    /* the beginning */
    uint8_t *image;
    struct amx handle[DEPTH];
    struct scene scene;
} x;

static void tell(void)
{
    fprintf(stderr, "schedule: %s,", scene.warm ? "warm" : "cold");
    for (unsigned i = 0; i < x.fibers && !x.act; i++)
        fprintf(stderr, " %s%s", names[scene.op[i]], i + 1 < x.fibers ? " |" : "");
    fprintf(stderr, "; %u first", x.plan.first);
    for (unsigned i = 0; i < x.plan.n; i++)
        if (x.plan.at[i].to >= OLDER && x.plan.at[i].to != HOME)
            fprintf(stderr, ", at %u: reads %u older", x.plan.at[i].step, x.plan.at[i].to - OLDER + 1u);
        else
            fprintf(stderr, ", at %u: %s%u goes on", x.plan.at[i].step, x.plan.at[i].dies ? "death, " : "",
                    x.plan.at[i].to);
    fputc('\n', stderr);
}

/* --- Words -------------------------------------------------------------------------------------------------------- */

/* The word's number; WORDS: not of the segment. */
static uint32_t word_at(const volatile void *addr)
{
    const struct amxi_seg *s = scene.h[x.now]->seg;
    uint64_t off = (uint64_t)((uintptr_t)addr - (uintptr_t)s->base);
    return off < s->g.size && off / 8 < WORDS ? (uint32_t)(off / 8) : WORDS;
}

static bool common(uint32_t w)
{
    uint8_t all = x.looked[w] | x.changed[w];
    return x.changed[w] && (all & (all - 1)) != 0;
}

static void met(uint32_t w, bool change)
{
    bool was = common(w);
    *(change ? &x.changed[w] : &x.looked[w]) |= (uint8_t)(1u << x.now);
    x.words_met += !was && common(w);
}

/* --- Fibers ------------------------------------------------------------------------------------------------------- */

static void go_to(unsigned fiber)
{
    unsigned from = x.now;
    x.now = fiber;
    x.alone = 0;
    must(swapcontext(&x.context[from], &x.context[fiber]) == 0);
}

/* Everything that the kernel and /proc say of a dead process. */
static void die(unsigned fiber)
{
    struct amxi_seg *s = scene.h[fiber]->seg;
    amxi_a64 *pid = &amxi_peer(s, s->peer)->pid;
    mem_die(fiber);
    x.dead[fiber] = true;
    x.left &= ~(1u << fiber);
    amxi_os_unlock(s->lock_fd, AMXI_LOCK_TICKET + (int64_t)s->ticket);
    pid->v_ = INT32_MAX | pid->v_ >> 32 << 32;
}

static void offer(uint8_t others, bool ended, bool meets)
{
    if (x.at < x.plan.n)
        return; /* choices before the plan's end were offered when it was made */
    must(x.choices < CHOICES);
    x.choice[x.choices++] = (struct choice){x.step, others, ended, false, meets};
}

static void home(void)
{
    x.on = false;
    must(swapcontext(&x.context[x.now], &x.home) == 0);
}

static bool due(void)
{
    return x.at < x.plan.n && x.plan.at[x.at].step == x.step;
}

static void access_to(const volatile void *addr, bool change)
{
    if (!x.on)
        return;
    uint32_t w = word_at(addr);
    if (w == WORDS)
        return;
    met(w, change);
    x.step++;
    must(x.alone++ < STEPS_MAX); /* nobody waits */
    if (x.alone > x.most)
        x.most = x.alone;
    if (due()) {
        struct change_over c = x.plan.at[x.at++];
        if (c.dies)
            die(x.now);
        if (c.to == HOME)
            home();
        go_to(c.to);
        met(w, change); /* as this fiber */
    } else if (common(w) || change) {
        offer((uint8_t)(x.left & ~(1u << x.now)), false, common(w));
    }
}

/* The word's number, if the model is asked. */
static uint32_t modelled(const volatile void *addr)
{
    return mem.kind && x.on ? word_at(addr) : WORDS;
}

void amxi_hook(const volatile void *addr, size_t len)
{
    (void)len;
    access_to(addr, true);
    uint32_t w = modelled(addr);
    if (w != WORDS)
        mem_about(addr, w);
}

void amxi_look(const volatile void *addr, size_t len);
void amxi_look(const volatile void *addr, size_t len)
{
    (void)len;
    access_to(addr, false);
}

uint64_t amxi_seen(const volatile void *addr, size_t len, uint64_t v, int order)
{
    uint16_t older[MEM_OLDER + 1]; /* and what is there now */
    uint32_t w = modelled(addr);
    if (w == WORDS)
        return v;
    unsigned n = mem_older(x.now, addr, len, w, v, order, older);
    x.step++;
    if (!n) {
        must(!due());
        return mem.slot[w] ? mem_load(x.now, addr, len, w, order, mem.last[mem.slot[w]]), v : v;
    }
    uint16_t next = mem_next(x.now, w);
    older[n] = mem.last[mem.slot[w]];
    if (due()) {
        unsigned k = x.plan.at[x.at++].to - (unsigned)OLDER;
        must(k <= n);
        next = older[k];
    } else if (x.at >= x.plan.n) {
        uint8_t others = 0;
        for (unsigned k = 0; k <= n; k++)
            others |= (uint8_t)((older[k] != next) << k);
        must(x.choices < CHOICES);
        x.choice[x.choices++] = (struct choice){x.step, others, false, true, true};
    }
    return mem_load(x.now, addr, len, w, order, next);
}

void amxi_fenced(bool acquire)
{
    if (mem.kind && x.on)
        mem_fence(x.now, acquire);
}

void amxi_made(const volatile void *addr, int order)
{
    uint32_t w = modelled(addr);
    if (w != WORDS)
        mem_store(x.now, addr, w, order, false);
    must(!mem.raced);
}

void amxi_swapped(const volatile void *addr, bool won, int order)
{
    uint32_t w = modelled(addr);
    if (w == WORDS)
        return;
    if (won)
        mem_store(x.now, addr, w, order, true);
    else
        mem_read_last(x.now, w, order);
    must(!mem.raced);
}

/* The library's question whether a process lives. */
int __real_amxi_os_lock_test(int fd, int64_t byte, bool *locked);
int __wrap_amxi_os_lock_test(int fd, int64_t byte, bool *locked);
int __wrap_amxi_os_lock_test(int fd, int64_t byte, bool *locked)
{
    int r = __real_amxi_os_lock_test(fd, byte, locked);
    if (mem.kind && x.on && !r && !*locked)
        mem_told(x.now);
    return r;
}

static void fiber_main(int fiber)
{
    if (x.act)
        x.act(fiber);
    else
        act(scene.h[fiber], scene.op[fiber]);
    x.left &= ~(1u << fiber);
    x.step++;
    if (!x.left)
        home();
    unsigned next = (unsigned)__builtin_ctz(x.left);
    if (due())
        next = x.plan.at[x.at++].to;
    else
        offer((uint8_t)(x.left & ~(1u << next)), true, true);
    go_to(next);
    must(false); /* an ended one never goes on */
}

/* --- One schedule --------------------------------------------------------------------------------------------------- */

static void remember(void)
{
    struct amxi_seg *s = scene.h[0]->seg;
    if (!x.image)
        must((x.image = malloc(s->g.size)) != NULL);
    memcpy(x.image, s->base, s->g.size);
    for (unsigned i = 0; i < DEPTH; i++)
        x.handle[i] = *scene.h[i];
    x.scene = scene;
}

static void restore(void)
{
    if (x.begin)
        x.begin();
    struct amxi_seg *s = scene.h[0]->seg;
    memcpy(s->base, x.image, s->g.size);
    for (unsigned i = 0; i < DEPTH; i++) {
        *scene.h[i] = x.handle[i];
        if (x.dead[i]) {
            struct amxi_seg *dead = scene.h[i]->seg;
            must(amxi_os_lock(dead->lock_fd, AMXI_LOCK_TICKET + (int64_t)dead->ticket, true) == 0);
        }
        x.dead[i] = false;
    }
#ifdef STORES
    scene_restored();
#endif
    scene = x.scene;
    memset(x.told, 0, sizeof x.told);
}

static uint64_t hash_of(uint64_t h, const void *p, size_t n)
{
    const uint64_t *w = p;
    uint64_t a[4] = {h, h + 1, h + 2, h + 3};
    for (size_t i = 0; i + 4 <= n / 8; i += 4)
        for (unsigned k = 0; k < 4; k++) {
            a[k] = (a[k] ^ w[i + k]) * UINT64_C(0x9e3779b97f4a7c15);
            a[k] ^= a[k] >> 29;
        }
    for (size_t i = n / 32 * 4; i < n / 8; i++)
        a[0] = mix64(a[0] ^ w[i]);
    for (unsigned k = 1; k < 4; k++)
        a[0] = mix64(a[0] ^ a[k]);
    return a[0];
}

/* What is judged is a function of these: the same end need not be judged twice. */
static bool new_end(void)
{
    const struct amxi_seg *s = scene.h[0]->seg;
    uint64_t h = hash_of(x.dead[0] + 2u * x.dead[1] + 4u * x.dead[2], s->base, s->g.size);
    for (unsigned i = 0; i < DEPTH; i++)
        h = hash_of(h, scene.h[i], sizeof *scene.h[i]);
    h = hash_of(h, x.told, sizeof x.told);
    h = hash_of(h, &scene, sizeof scene) | 1;
    uint64_t *slot = &x.seen[h >> 48];
    if (*slot == h)
        return false;
    *slot = h;
    return true;
}

#if defined POOLS || defined STORES
static void judge_death(void)
{
    judge_with(x.dead);
}
#else
static int free_it(const struct amx_block *b, void *ctx)
{
    struct row *r = ctx;
    if (b->ref) {
        must(r->n < 64);
        r->ref[r->n++] = b->ref;
    }
    return 0;
}

/* Somebody died: whatever lives is as it was, recovery finds the rest, and in the end every byte is free. */
static void judge_death(void)
{
    amx_ref all[64];
    struct row r = {all, 0};
    unsigned eye = 0;
    while (x.dead[eye])
        eye++;
    amx_t *h = scene.h[eye];
    must_ok(amx_recover(h, 0, NULL, NULL, NULL));
    /* first of all: what was freed must not live again, and a trim would end it */
    for (int i = 0; i < ITEMS + scene.made; i++) {
        struct thing *t = i < ITEMS ? &scene.item[i] : &scene.fresh[i - ITEMS];
        void *p;
        must(t->ends <= 1);
        if (amx_ptr(h, t->now, &p) == AMX_OK) {
            size_t n = t->sure < 32 ? t->sure : 32; /* a dead one may have been resizing it */
            must(t->ends == 0 && stamp_check_(p, 0, n, t->key) == SIZE_MAX);
        }
    }
    for (unsigned i = 0; i < DEPTH; i++)
        if (!x.dead[i])
            must_ok(amx_trim(scene.h[i]));
    must_ok(amx_heal(h));
    check_clean(h);
    must_ok(amx_walk(h, free_it, &r));
    for (size_t i = 0; i < r.n; i++)
        must_ok(amx_free(h, r.ref[i]));
    check_all_free(h);
}
#endif

static void run(const struct plan *p)
{
    x.plan = *p;
    if (x.shown)
        *x.shown = *p;
    restore();
    scene.mortal = p->deaths != 0;
    mem_begin();
    x.at = x.choices = 0;
    x.step = x.alone = 0;
    x.left = (1u << x.fibers) - 1;
    x.now = p->first;
    for (unsigned i = 0; i < x.fibers; i++) {
        must(getcontext(&x.context[i]) == 0);
        x.context[i].uc_stack.ss_sp = x.stack[i];
        x.context[i].uc_stack.ss_size = sizeof x.stack[i];
        x.context[i].uc_link = NULL;
        makecontext(&x.context[i], (void (*)(void))fiber_main, 1, (int)i);
    }
    x.on = true;
    must(swapcontext(&x.home, &x.context[p->first]) == 0);
    x.on = false;
    must(x.at == x.plan.n);
    x.explored++;
    if (!new_end())
        return;
    x.judged++;
    if (x.judge)
        x.judge();
    else if (p->deaths)
        judge_death();
    else
        scene_judge();
}

/* --- All of them --------------------------------------------------------------------------------------------------- */

static void push(const struct plan *p, struct change_over c, unsigned cost)
{
    if (p->n == SWITCHES || p->cost + cost > x.bound)
        return;
    if (x.plans == x.room) {
        x.room = x.room ? 2 * x.room : 1024;
        must((x.stack_of_plans = realloc(x.stack_of_plans, x.room * sizeof *p)) != NULL);
    }
    struct plan *q = &x.stack_of_plans[x.plans++];
    *q = *p;
    q->at[q->n++] = c;
    q->cost = (uint8_t)(p->cost + cost);
    q->deaths = (uint8_t)(q->deaths + c.dies);
}

static void branch(const struct plan *p, const struct choice *c)
{
    bool may_die = p->deaths < x.deaths && !c->ended && !c->reads;
    for (uint8_t k = 0; c->reads && k <= MEM_OLDER; k++)
        if (c->others >> k & 1)
            push(p, (struct change_over){c->step, (uint8_t)(OLDER + k), false}, 1);
    if (c->reads)
        return;
    for (uint8_t to = 0; to < x.fibers; to++) {
        if (!(c->others >> to & 1))
            continue;
        if (c->meets && (c->ended || !x.in_turn))
            push(p, (struct change_over){c->step, to, false}, !c->ended);
        if (may_die)
            push(p, (struct change_over){c->step, to, true}, 1);
    }
    if (may_die && !c->others)
        push(p, (struct change_over){c->step, HOME, true}, 1);
}

/* One of those that are left: any, so that what is run is spread over all if there are too many. */
static struct plan take(void)
{
    size_t i = x.plans < WIDE ? rng_below(&x.dice, x.plans) : x.plans - 1;
    struct plan p = x.stack_of_plans[i];
    x.stack_of_plans[i] = x.stack_of_plans[--x.plans];
    return p;
}

/* Every schedule of the operations that stand in the scene; at most `limit`. false: there were more. */
static bool explore(uint64_t limit)
{
    uint64_t begin = x.explored;
    uint32_t before;
    x.dice = rng_make(begin, 5);
    remember();
    memset(x.looked, 0, sizeof x.looked);
    memset(x.changed, 0, sizeof x.changed);
    do {
        before = x.words_met;
        for (uint8_t first = 0; first < x.fibers; first++) {
            struct plan p = {.first = first};
            x.plans = 0;
            for (;;) {
                run(&p);
                for (unsigned i = 0; i < x.choices; i++)
                    branch(&p, &x.choice[i]);
                if (!x.plans)
                    break;
                if (x.explored - begin >= limit)
                    return false;
                p = take();
            }
        }
    } while (x.words_met != before);
    return true;
}

/* Preempted with a probability at each point where it makes a difference. */
static inline void explore_at_random(struct rng *r, uint64_t runs)
{
    remember();
    memset(x.looked, 0, sizeof x.looked);
    memset(x.changed, 0, sizeof x.changed);
    for (uint64_t i = 0; i < runs; i++) {
        struct plan p = {.first = (uint8_t)rng_below(r, x.fibers)};
        unsigned depth = 1 + (unsigned)rng_below(r, SWITCHES - 1);
        run(&p);
        for (unsigned tries = 0; p.n < depth && x.choices && tries < 100; tries++) { /* there may be no choice left */
            const struct choice *c = &x.choice[rng_below(r, x.choices)];
            if (c->reads) {
                uint8_t k = (uint8_t)rng_below(r, MEM_OLDER + 1);
                if (!(c->others >> k & 1))
                    continue;
                p.at[p.n++] = (struct change_over){c->step, (uint8_t)(OLDER + k), false};
                run(&p);
                continue;
            }
            bool dies = p.deaths < x.deaths && !c->ended && (!c->meets || rng_below(r, 8) == 0);
            uint8_t to = c->others ? (uint8_t)__builtin_ctz(c->others) : HOME;
            if (c->others & (c->others - 1) && rng_below(r, 2)) /* the other one of two */
                to = (uint8_t)__builtin_ctz(c->others & (c->others - 1u));
            if (!dies && (!c->meets || to == HOME))
                continue;
            p.at[p.n++] = (struct change_over){c->step, to, dies};
            p.deaths = (uint8_t)(p.deaths + dies);
            run(&p);
        }
    }
}

static void explore_open(void)
{
#ifndef NEW_SEGMENT
#define NEW_SEGMENT new_segment(128 << 10)
#endif
    scene.h[0] = NEW_SEGMENT;
    for (int i = 1; i < DEPTH; i++)
        scene.h[i] = attach_again(scene.h[0]); /* each a peer of its own, at its own address */
    for (int i = 0; i < DEPTH; i++)
        scene.op[i] = OPS;
}

#endif
