/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A deterministic scheduler. The operations of a meeting (tests/hook/meeting.h) run as fibers of one thread; each access
 * to shared memory is a point at which another may go on, and before each store the running one may die; one that stands
 * still may die before another looks at the table of peers, where alone a death is seen. All schedules up to a number of
 * preemptions and deaths (the bound) are run, each from the same beginning, those with fewer first.
 *
 * Three reductions, none of which leaves anything out within the bound:
 *
 * 1 Preempted is only before an access to a word that another fiber changes, or that it changes and another one looks at:
 *   a preemption before any other access commutes with what follows until the next such one. Which words these are is
 *   learnt while the schedules run; if new ones are met, all are run once more.
 * 2 Accesses of two fibers to different words commute, and two loads of one word. So each fiber has a hash of what it did,
 *   and each word one of who changed it last and who has looked at it since: a schedule is cut where all fibers' hashes,
 *   the dead, and who runs are as they were once before with no fewer preemptions left. The hashes follow what was before
 *   what, word by word, and what each load read, and so say which state memory and fibers are in. (64 bits: two states
 *   are taken for one with a probability of less than 10^-5 in a run of 10^7.)
 * 3 A fiber that was preempted before an access goes on only when others have met this access: an access to its word, one
 *   of the two a change, or a death. Otherwise the access could as well have been made before it was preempted, which is
 *   another schedule with as many preemptions or fewer. (No two of them stand for each other: each step makes an earlier
 *   turn of a fiber longer, and none before it shorter.)
 *
 * 2 and 3 not with a model of memory, in which a load of another word may matter.
 *
 * With MEMORY=tso or MEMORY=c11 (memory.h) a load may also read what was there before: each such load is a choice, which
 * costs as much as a preemption. Later loads of that word read the same, for nothing.
 *
 * With -DPOOLS the operations are those on slot pools (pool_meeting.h), with -DSTORES those on message stores
 * (store_meeting.h).
 *
 * Beyond the bound: priorities by lot (PCT). The fiber with the highest priority runs; at a few points, drawn from all at
 * which it makes a difference, it becomes the last, or dies.
 */
#ifndef AMX_TEST_EXPLORE_H
#define AMX_TEST_EXPLORE_H

#include "memory.h"

#include "amx_object.h"
#include "arena.h"
#include "os.h"
#include "peer.h"
#include "sector.h"

static uint64_t peek(const amxi_a64 *word); /* what is there now, for an assertion: an access of the running fiber */

#if defined POOLS || defined STORES
#include "slot.h"
/* The next life of each slot is the last one before generations begin anew. */
static void slots_before_the_wrap(const struct amx_pool_part *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        amxi_st64_rlx(amxi_pool_word_at(p, i), AMXI_W0(AMX_STATE_FREE, 0, AMXI_GEN_MASK - 1));
}
#endif

#if defined POOLS
#include "pool_meeting.h"
#elif defined STORES
#include "store_meeting.h"
#else
#include "tests/hook/meeting.h"
#endif

#include <ucontext.h>

enum {
    SWITCHES = 12,
    BOUND_MAX = 6,
    NONE = 254, /* nobody dies */
    HOME = 255,
    OLDER = 64, /* and above: not a fiber, but the load at this step reads an older value */
    WIDE = 200000,
    CHOICES = 16384,
    STEPS_MAX = 200000,
    WORDS = (256 << 10) / 8,
    SET_MIN = 1 << 14,
    SET_MAX = 1 << 24
};

/* Before step `step` fiber `dies`, and fiber `to` goes on (HOME: nobody is left). Or the load there reads the one before
 * the last value (OLDER), the one before that (OLDER + 1), ... */
struct change_over {
    uint32_t step;
    uint8_t to;
    uint8_t dies;
};
struct plan {
    uint8_t n, first, cost;
    uint8_t deaths;
    struct change_over at[SWITCHES];
};
/* A point where it could have gone otherwise. */
struct choice {
    uint32_t step;
    uint8_t now;
    uint8_t others;  /* bits of those who could go on; of older values, if `reads` */
    uint8_t victims; /* bits of those who stand still and could die unseen until now */
    uint8_t unmet;   /* bits of those who were preempted before an access that nobody has met */
    uint8_t left, dead;
    uint64_t key; /* of what all have done */
    bool ended;   /* the one that ran has, so that one of them must */
    bool reads;   /* a load that could have read an older value */
    bool meets;   /* an access to a word that concerns others too: to go on with one of them makes a difference */
    bool dies;    /* a store: to die before it makes a difference */
};
struct set {
    uint64_t *at;
    size_t n, room;
};
struct heap { /* plans of one cost */
    struct plan *plan;
    size_t n, room;
    bool lost; /* there were too many */
};

static struct {
    unsigned fibers, bound;
    unsigned whole;  /* up to so many preemptions and deaths none is left out */
    unsigned deaths; /* in one schedule, at most */
    bool in_turn;    /* one after the other: only what loads read is chosen, and who is next */
    struct rng dice;
    bool on; /* fibers are running: accesses count */
    ucontext_t home, context[DEPTH];
    uint8_t stack[DEPTH][256 << 10];
    unsigned now, left; /* who runs; bits of those who have not ended */
    struct {
        uint32_t word;
        bool change;
    } next[DEPTH];  /* of those who were preempted: before which access */
    unsigned unmet; /* bits of those of whose access nobody has met since */
    uint32_t step;
    struct plan plan;
    struct plan *shown; /* for who tells of us when a check has ended the process; NULL: nobody */
    unsigned at;        /* the next change-over of the plan */
    struct choice choice[CHOICES];
    unsigned choices;
    uint8_t looked[WORDS], changed[WORDS]; /* bits of fibers */
    uint32_t words_met;                    /* words that became common */
    bool dead[DEPTH];
    struct amxi_seg entering[DEPTH]; /* attachments that are being made; no lock_fd: none */
    int rooted;                      /* how many have set the root */
    struct heap heap[BOUND_MAX + 1];
    uint64_t explored, judged, cut;
    uint64_t level[BOUND_MAX + 1]; /* schedules of that many preemptions and deaths, when all were run last */
    uint32_t most[DEPTH];          /* steps of one operation, while the others stand still */
    uint32_t steps_max[DEPTH];     /* how many it may take so; 0: STEPS_MAX */
    uint32_t alone;
    struct set ends; /* of the tuple: hashes */
    /* reduction 2 */
    bool was_cut;
    bool unreduced;                     /* by none of 2 and 3 */
    bool lenient;                       /* the plan need not fit */
    uint64_t done[DEPTH];               /* what each fiber has done and seen */
    uint64_t wrote[WORDS], read[WORDS]; /* of each word: who changed it last, and who has looked at it since */
    uint64_t told_of[WORDS];            /* of those that were changed: into what */
    uint32_t touched[WORDS], n_touched; /* the words of which these are not 0 */
    struct set states;                  /* hashes of those met, with what was left of the bound, + 1 */
    /* priorities by lot */
    bool by_lot;
    struct rng lot;
    uint32_t points, turn[SWITCHES], turns; /* points of a schedule; those at which the first becomes the last */
    uint32_t point;
    uint8_t rank[DEPTH]; /* fibers, the highest priority first */
    /* of a litmus test: what each fiber does instead of an operation, and who judges; NULL: the meeting's. All its
     * schedules are one pile, those with few preemptions among those with many */
    void (*act)(int fiber);
    void (*begin)(void);
    void (*judge)(void);
    uint64_t told[DEPTH]; /* what the fibers of a litmus test found */
    bool few_tickets;     /* they are not about to wrap: behind that no ticket is too high */
    /* the beginning of a tuple, and before its scene was set */
    uint8_t *image, *bare;
    struct amx handle[DEPTH], bare_handle[DEPTH];
    struct scene scene;
} x;

static void tell(void)
{
    fprintf(stderr, "schedule: %s,", scene.warm ? "warm" : "cold");
    for (unsigned i = 0; i < x.fibers && !x.act; i++)
        fprintf(stderr, " %s%s", names[scene.op[i]], i + 1 < x.fibers ? " |" : "");
    fprintf(stderr, "; %u first", x.plan.first);
    for (unsigned i = 0; i < x.plan.n; i++) {
        const struct change_over *c = &x.plan.at[i];
        if (c->to >= OLDER && c->to != HOME) {
            fprintf(stderr, ", at %u: reads %u older", c->step, c->to - OLDER + 1u);
            continue;
        }
        fprintf(stderr, ", at %u:", c->step);
        if (c->dies != NONE)
            fprintf(stderr, " death of %u,", c->dies);
        fprintf(stderr, " %u goes on", c->to);
    }
    fputc('\n', stderr);
}

/* What tell said of it, behind the operations: "; 0 first, at 7: ..." */
static inline bool plan_of(const char *text, struct plan *p)
{
    unsigned first, step, to, dies, older;
    int n = 0;
    *p = (struct plan){.n = 0};
    if (sscanf(text, "; %u first%n", &first, &n) < 1 || !n)
        return false;
    p->first = (uint8_t)first;
    for (text += n; *text == ','; text += n) {
        struct change_over *c = &p->at[p->n++];
        if (p->n > SWITCHES)
            return false;
        n = 0;
        if (sscanf(text, ", at %u: reads %u older%n", &step, &older, &n) == 2 && n) {
            *c = (struct change_over){step, (uint8_t)(OLDER + older - 1), NONE};
            continue;
        }
        if (sscanf(text, ", at %u: death of %u, %u goes on%n", &step, &dies, &to, &n) == 3 && n) {
            *c = (struct change_over){step, (uint8_t)to, (uint8_t)dies};
            p->deaths++;
            continue;
        }
        if (sscanf(text, ", at %u: %u goes on%n", &step, &to, &n) != 2 || !n)
            return false;
        *c = (struct change_over){step, (uint8_t)to, NONE};
    }
    return true;
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

/* --- What was before what ------------------------------------------------------------------------------------------ */

static unsigned dead_bits(void)
{
    return x.dead[0] + 2u * x.dead[1] + 4u * x.dead[2];
}

/* The running fiber has made an access. What it does until its next one depends on this, on what was read, and on who is
 * dead. */
static void done(const volatile void *addr, uint64_t value, bool change)
{
    uint32_t w = x.on ? word_at(addr) : WORDS;
    if (w == WORDS)
        return;
    if (!x.wrote[w] && !x.read[w])
        x.touched[x.n_touched++] = w;
    uint64_t h = x.done[x.now] ^ mix64(x.wrote[w] + ((uintptr_t)addr & 7) + 8u * w);
    h = mix64(h + mix64(value) + dead_bits()) + x.now;
    if (change) {
        h = mix64(h ^ x.read[w] ^ UINT64_C(0x5bd1e995)) | 1;
        x.wrote[w] = h;
        x.told_of[w] = value_at(addr);
        x.read[w] = 0;
    } else {
        x.read[w] += h | 1;
        if (!x.wrote[w] && !x.read[w]) /* a sum of 0 would be entered twice */
            x.read[w] = 1;
    }
    x.done[x.now] = h;
}

static void nothing_done(void)
{
    for (uint32_t i = 0; i < x.n_touched; i++)
        x.wrote[x.touched[i]] = x.read[x.touched[i]] = 0;
    x.n_touched = 0;
    for (unsigned i = 0; i < DEPTH; i++)
        x.done[i] = i + 1;
}

static void set_none(struct set *s)
{
    if (s->room > 16 * SET_MIN) { /* others need less */
        free(s->at);
        *s = (struct set){NULL, 0, 0};
    }
    if (s->at)
        memset(s->at, 0, s->room * sizeof *s->at);
    s->n = 0;
}

static uint64_t *set_at(const struct set *s, uint64_t key)
{
    size_t i = (size_t)(key >> 3) & (s->room - 1);
    while (s->at[i] && (s->at[i] ^ key) >> 3)
        i = (i + 1) & (s->room - 1);
    return &s->at[i];
}

/* Is it in there with as much as this (1-7)? If not, it is now. */
static bool set_has(struct set *s, uint64_t key, uint64_t much)
{
    if (2 * s->n >= s->room && s->room < SET_MAX) {
        struct set more = {NULL, s->n, s->room ? 2 * s->room : SET_MIN};
        must((more.at = calloc(more.room, sizeof *more.at)) != NULL);
        for (size_t i = 0; i < s->room; i++)
            if (s->at[i])
                *set_at(&more, s->at[i]) = s->at[i];
        free(s->at);
        *s = more;
    }
    uint64_t *at = set_at(s, key);
    if (*at && (*at & 7) >= much)
        return true;
    if (!*at && 4 * s->n >= 3 * s->room)
        return false; /* full: what is not in there is run once more */
    s->n += !*at;
    *at = (key & ~UINT64_C(7)) | much;
    return false;
}

static bool reduced(void)
{
    return !x.unreduced && !mem.kind && !x.act && !x.by_lot && !x.lenient;
}

static uint64_t key_of_all(void)
{
    uint64_t key = 0;
    for (unsigned i = 0; i < x.fibers; i++)
        key = mix64(key ^ x.done[i]);
    return key;
}

/* Has everything that can follow been run, or will it be? From where all have done this, and this one goes on. */
static bool been_here(uint64_t key, unsigned now, unsigned left, unsigned dead, unsigned unmet, bool switched,
                      unsigned cost)
{
    key = mix64(key + now + 4u * left + 32u * dead + 256u * unmet + 2048u * switched);
    return set_has(&x.states, key, x.bound - cost + 1);
}

/* --- Fibers ------------------------------------------------------------------------------------------------------- */

static void go_to(unsigned fiber)
{
    unsigned from = x.now;
    x.now = fiber;
    x.unmet &= ~(1u << fiber);
    x.alone = 0;
    must(swapcontext(&x.context[from], &x.context[fiber]) == 0);
}

/* Everything that the kernel and /proc say of a dead process. */
static void die(unsigned fiber)
{
    struct amxi_seg *s = scene.h[fiber]->seg, *e = &x.entering[fiber];
    amxi_a64 *pid = &amxi_peer(s, s->peer)->pid;
    mem_die(fiber);
    x.dead[fiber] = true;
    scene.mortal = true;
    x.left &= ~(1u << fiber);
    x.unmet = 0; /* whoever asks who lives after his access may find it out */
    amxi_os_unlock(s->lock_fd, AMXI_LOCK_TICKET + (int64_t)s->ticket);
    pid->v_ = INT32_MAX | pid->v_ >> 32 << 32;
    if (e->lock_fd < 0)
        return;
    if (e->ticket && amxi_peer(s, e->peer)->word.v_ == AMXI_PEER_WORD(AMXI_PEER_LIVE, e->ticket))
        amxi_peer(s, e->peer)->pid.v_ = INT32_MAX | amxi_peer(s, e->peer)->pid.v_ >> 32 << 32;
    amxi_peer_unlock(e);
}

static void home(void)
{
    x.on = false;
    must(swapcontext(&x.context[x.now], &x.home) == 0);
}

/* A point at which it could go otherwise; not before the plan's end: those were offered when it was made. */
static void offer(struct choice c)
{
    if (x.at < x.plan.n)
        return;
    if (reduced()) {
        c.key = key_of_all();
        c.unmet = (uint8_t)x.unmet;
        c.left = (uint8_t)x.left;
        c.dead = (uint8_t)dead_bits();
        if (been_here(c.key, x.now, x.left, dead_bits(), x.unmet, false, x.plan.cost)) {
            x.was_cut = true;
            home();
        }
    }
    must(x.choices < CHOICES);
    x.choice[x.choices++] = c;
}

/* Who has the highest priority of those that are left. */
static uint8_t first_of(unsigned left)
{
    for (unsigned i = 0; i < x.fibers; i++)
        if (left >> x.rank[i] & 1)
            return x.rank[i];
    return HOME;
}

static void turn_to(uint8_t to, uint8_t dies)
{
    must(x.plan.n < SWITCHES);
    x.plan.at[x.plan.n++] = (struct change_over){x.step, to, dies};
    if (x.shown)
        *x.shown = x.plan;
}

/* By lot: at this point, is it another's turn? Then it is entered in the plan. */
static void draw(bool meets, bool change)
{
    if (!x.by_lot || x.turns == 0 || x.plan.n + x.fibers > SWITCHES)
        return;
    uint32_t point = x.point++;
    bool turn = false;
    for (unsigned i = 0; i < x.turns; i++)
        turn |= x.turn[i] == point;
    if (!turn)
        return;
    unsigned others = x.left & ~(1u << x.now);
    bool dies = change && x.plan.deaths < x.deaths && (!meets || !others || rng_below(&x.lot, 6) == 0);
    if (!dies && (!others || !meets))
        return;
    for (unsigned i = 0; i + 1 < x.fibers; i++) /* the last from here on */
        if (x.rank[i] == x.now) {
            x.rank[i] = x.rank[i + 1];
            x.rank[i + 1] = (uint8_t)x.now;
        }
    x.plan.deaths += dies;
    turn_to(first_of(others), dies ? (uint8_t)x.now : NONE);
}

/* Of a plan from which something was left out, what does not fit any more is passed over. */
static bool fits(const struct change_over *c, bool reads)
{
    bool older = c->to >= OLDER && c->to != HOME;
    unsigned left = c->dies == NONE ? x.left : x.left & ~(1u << c->dies);
    if (older || reads)
        return older && reads;
    return (c->dies == NONE || x.left >> c->dies & 1) && (c->to == HOME ? !left : left >> c->to & 1);
}

static bool due(bool reads)
{
    while (x.lenient && x.at < x.plan.n &&
           (x.plan.at[x.at].step < x.step || (x.plan.at[x.at].step == x.step && !fits(&x.plan.at[x.at], reads))))
        x.at++;
    return x.at < x.plan.n && x.plan.at[x.at].step == x.step;
}

/* Where alone it is seen whether somebody lives. */
static bool asks_who_lives(uint32_t w)
{
    const struct amxi_region_body *r = &scene.h[0]->seg->g.region[AMXI_R_PEERS];
    return w >= r->offset / 8 && w < (r->offset + r->size) / 8;
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
    must(x.alone++ < (x.steps_max[x.now] ? x.steps_max[x.now] : STEPS_MAX)); /* nobody waits */
    if (x.alone > x.most[x.now])
        x.most[x.now] = x.alone;
    uint8_t others = (uint8_t)(x.left & ~(1u << x.now)), victims = asks_who_lives(w) ? others : 0;
    if (common(w) || change)
        draw(common(w), change);
    if (due(false)) {
        struct change_over c = x.plan.at[x.at++];
        if (c.dies != NONE)
            die(c.dies);
        if (c.to == HOME)
            home();
        if (c.to != x.now) {
            x.next[x.now].word = w;
            x.next[x.now].change = change;
            if (!x.dead[x.now] && c.dies == NONE)
                x.unmet |= 1u << x.now;
            go_to(c.to);
        }
        met(w, change); /* as this fiber */
    } else if (common(w) || change || victims) {
        offer((struct choice){.step = x.step,
                              .now = (uint8_t)x.now,
                              .others = others,
                              .victims = victims,
                              .meets = common(w),
                              .dies = change});
    }
    for (unsigned i = 0; i < x.fibers; i++)
        if (x.unmet >> i & 1 && x.next[i].word == w && (change || x.next[i].change))
            x.unmet &= ~(1u << i);
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
    done(addr, v, false);
    if (w == WORDS)
        return v;
    unsigned n = mem_older(x.now, addr, len, w, v, order, older);
    x.step++;
    if (!n) {
        must(!due(true) || x.lenient);
        return mem.slot[w] ? mem_load(x.now, addr, len, w, order, mem.last[mem.slot[w]]), v : v;
    }
    uint16_t next = mem_next(x.now, w);
    older[n] = mem.last[mem.slot[w]];
    if (x.by_lot && x.plan.n + x.fibers < SWITCHES && rng_below(&x.lot, 12) == 0)
        turn_to((uint8_t)(OLDER + rng_below(&x.lot, n + 1)), NONE);
    if (due(true)) {
        unsigned k = x.plan.at[x.at++].to - (unsigned)OLDER;
        must(k <= n || x.lenient);
        next = k <= n ? older[k] : next;
    } else {
        uint8_t others = 0;
        for (unsigned k = 0; k <= n; k++)
            others |= (uint8_t)((older[k] != next) << k);
        offer((struct choice){.step = x.step, .others = others, .reads = true});
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
    done(addr, 0, true); /* it follows from what was done and read; the time of day is of no matter */
    if (w != WORDS)
        mem_store(x.now, addr, w, order, false);
    must(!mem.raced);
}

void amxi_swapped(const volatile void *addr, bool won, int order)
{
    uint32_t w = modelled(addr);
    done(addr, won ? 0 : value_at(addr), won);
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

static inline uint64_t peek(const amxi_a64 *word)
{
    access_to(&word->v_, false);
    uint64_t v = word->v_;
    done(&word->v_, v, false);
    return v;
}

#if defined POOLS || defined STORES
static void operate(int fiber)
{
    act(scene.h[fiber], scene.op[fiber]);
}
#else
/* --- Operations on the tables --- */

/* Recovers, takes an entry that may be the dead one's, and has a block under its tag, which is nobody else's. */
static void renew(amx_t *h)
{
    amx_t *mine;
    amx_ref ref = AMX_REF_NONE;
    int rc = amx_recover(h, 0, NULL, NULL, NULL);
    must(rc == AMX_OK || rc == AMX_E_PARTIAL);
    must_ok(amx_share(h, &mine));
    rc = amx_alloc(mine, 96, &ref);
    got(mine, rc, ref, 96, false);
    must_ok(amx_unshare(mine));
}

static void attach(int fiber)
{
    struct amxi_seg *e = &x.entering[fiber];
    *e = *scene.h[fiber]->seg;
    e->lock_fd = -1;
    e->ticket = 0;
    must_ok(amxi_peer_enter(e, "entering", NULL, 0));
    amxi_peer_entered(e);
    must(amxi_ld64_sc(&amxi_peer(e, e->peer)->word) == AMXI_PEER_WORD(AMXI_PEER_LIVE, e->ticket));
    amxi_peer_undo(e);
    amxi_peer_unlock(e);
}

static void root(int fiber)
{
    amx_ref now, mine = scene.item[fiber].ref;
    if (amx_root_cas(scene.h[fiber], 5, AMX_REF_NONE, mine, NULL) != AMX_OK)
        return;
    must(++x.rooted == 1);
    must_ok(amx_root_get(scene.h[fiber], 5, &now));
    must(now == mine);
}

/* To the last one, who has nothing there yet. */
static void give_away(int fiber)
{
    struct thing *m = &scene.item[MIDDLE];
    amx_ref out = AMX_REF_NONE;
    int rc = amx_give(scene.h[fiber], m->ref, amx_handle_id(scene.h[DEPTH - 1]), &out);
    must(rc == AMX_OK || rc == AMX_E_STALE || (rc == AMX_E_PEER_DEAD && scene.mortal));
    if (rc != AMX_E_STALE)
        m->now = out;
}

static void operate(int fiber)
{
    enum op op = scene.op[fiber];
    if (op == RENEW)
        renew(scene.h[fiber]);
    else if (op == ENTER)
        attach(fiber);
    else if (op == ROOT)
        root(fiber);
    else if (op == GIVE_AWAY)
        give_away(fiber);
    else
        act(scene.h[fiber], op);
}
#endif

/* What the process has of handles and entries that operations have opened, and the segment has not. */
static void tables_let_go(void)
{
    x.rooted = 0;
    for (int i = 0; i < DEPTH; i++) {
        struct amxi_seg *s = scene.h[i]->seg;
        if (x.entering[i].lock_fd >= 0)
            amxi_peer_unlock(&x.entering[i]);
        for (uint32_t k = 0; k < s->g.handles; k++)
            if (s->open[k] && s->open[k] != s->owner) {
                amxi_os_unmap(s->open[k], sizeof *s->open[k]);
                s->open[k] = NULL;
            }
    }
}

static void fiber_main(int fiber)
{
    if (x.act)
        x.act(fiber);
    else
        operate(fiber);
    x.left &= ~(1u << fiber);
    x.step++;
    if (!x.left)
        home();
    unsigned next = (unsigned)__builtin_ctz(x.left);
    if (x.by_lot)
        turn_to(first_of(x.left), NONE);
    if (due(false))
        next = x.plan.at[x.at++].to;
    else
        offer(
            (struct choice){.step = x.step, .others = (uint8_t)(x.left & ~(1u << next)), .ended = true, .meets = true});
    if (reduced() && x.unmet >> next & 1 && x.at == x.plan.n) { /* 3 */
        x.was_cut = true;
        home();
    }
    go_to(next);
    must(false); /* an ended one never goes on */
}

/* --- One schedule --------------------------------------------------------------------------------------------------- */

/* It is another each time. */
static void no_time_of_day(void)
{
    const struct amxi_seg *s = scene.h[0]->seg;
    for (uint32_t i = 0; i < s->g.peers; i++)
        amxi_peer(s, i)->since_ns.v_ = 0;
}

static void remember(void)
{
    struct amxi_seg *s = scene.h[0]->seg;
    no_time_of_day();
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
    if (!x.act)
        tables_let_go();
    memcpy(s->base, x.image, s->g.size);
    for (unsigned i = 0; i < DEPTH; i++) {
        *scene.h[i] = x.handle[i];
        if (x.dead[i]) {
            struct amxi_seg *dead = scene.h[i]->seg;
            must(amxi_os_lock(dead->lock_fd, AMXI_LOCK_TICKET + (int64_t)dead->ticket, true) == 0);
        }
        x.dead[i] = false;
    }
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
static uint64_t end_hash(void)
{
    const struct amxi_seg *s = scene.h[0]->seg;
    no_time_of_day();
    uint64_t h = hash_of(dead_bits(), s->base, s->g.size), made = 0;
    for (unsigned i = 0; i < DEPTH; i++)
        h = hash_of(h, scene.h[i], sizeof *scene.h[i]);
    h = hash_of(h, x.told, sizeof x.told);
    for (int i = 0; i < scene.made; i++) /* in whatever order they were made */
        made += hash_of(1, &scene.fresh[i], sizeof scene.fresh[i]);
    struct scene rest;
    memcpy(&rest, &scene, sizeof rest);
    memset(rest.fresh, 0, sizeof rest.fresh);
    return hash_of(h ^ made, &rest, sizeof rest) | 1;
}

static bool new_end(void)
{
    return !set_has(&x.ends, end_hash(), 1);
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
        } else {
            must(i < ITEMS || x.dead[t->by]); /* what a living one has made nobody else knows */
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

/* Whatever lies in a block. */
static bool payload_at(const unsigned char *at)
{
    return at != NULL;
}
#endif

/* The segment's tables and the headers are as the hook was told, and so are those of pools and stores; what else has changed
 * is payload. */
static void no_bypass(void)
{
    const struct amxi_seg *s = scene.h[0]->seg;
    const uint64_t *was = (const uint64_t *)(const void *)x.image, *is = (const uint64_t *)(const void *)s->base;
    uint64_t data = s->g.region[AMXI_R_DATA].offset;
    for (uint32_t w = 0; w < s->g.size / 8; w++) {
        if (is[w] == (x.wrote[w] ? x.told_of[w] : was[w]))
            continue;
        uint32_t k = (uint32_t)((w * 8u - data) / AMXI_UNIT);
        bool pid =
            asks_who_lives(w) && (dead_bits() || w % 8 == 7); /* what the kernel says of the dead; the time of day */
        must(pid || (w * 8u >= data && !amxi_bit(scene.h[0]->bits, k) && payload_at(s->base + w * 8u)));
    }
}

static void run(const struct plan *p)
{
    x.plan = *p;
    if (x.shown)
        *x.shown = *p;
    restore();
    nothing_done();
    mem_begin();
    x.at = x.choices = x.point = 0;
    x.was_cut = false;
    x.step = x.alone = 0;
    x.left = (1u << x.fibers) - 1;
    x.unmet = 0;
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
    must(x.lenient || x.at == x.plan.n);
    x.explored++;
    x.cut += x.was_cut;
    if (x.was_cut || !new_end())
        return;
    x.judged++;
    if (!x.act)
        no_bypass();
    if (x.judge)
        x.judge();
    else if (x.plan.deaths)
        judge_death();
    else
        scene_judge();
}

/* --- All of them --------------------------------------------------------------------------------------------------- */

static void add(const struct plan *p)
{
    struct heap *h = &x.heap[x.act ? 0 : p->cost];
    if (h->n == h->room && (h->room < WIDE || p->cost <= x.whole)) {
        h->room = h->room ? 2 * h->room : 1024;
        must((h->plan = realloc(h->plan, h->room * sizeof *p)) != NULL);
    }
    size_t i = h->n;
    if (i == h->room) { /* too many: in the place of any */
        h->lost = true;
        i = rng_below(&x.dice, h->room);
    } else {
        h->n++;
    }
    h->plan[i] = *p;
}

static void push(const struct plan *p, struct change_over c, unsigned cost)
{
    if (p->n == SWITCHES || p->cost + cost > x.bound)
        return;
    struct plan q = *p;
    q.at[q.n++] = c;
    q.cost = (uint8_t)(q.cost + cost);
    q.deaths = (uint8_t)(q.deaths + (c.dies != NONE));
    add(&q);
}

/* Fiber `to` goes on, unless that is as good as another schedule. */
static void turn(const struct plan *p, const struct choice *c, uint8_t to, uint8_t dies, unsigned cost)
{
    if (p->cost + cost > x.bound)
        return;
    if (reduced()) {
        unsigned left = c->left, dead = c->dead, unmet = c->unmet;
        if (dies != NONE) {
            left &= ~(1u << dies);
            dead |= 1u << dies;
            unmet = 0;
        } else if (unmet >> to & 1) { /* 3 */
            return;
        } else if (!c->ended) {
            unmet |= 1u << c->now;
        }
        if (to != HOME)
            unmet &= ~(1u << to);
        if (been_here(c->key, to, left, dead, unmet, true, p->cost + cost)) /* 2 */
            return;
    }
    push(p, (struct change_over){c->step, to, dies}, cost);
}

static void branch(const struct plan *p, const struct choice *c)
{
    bool may_die = p->deaths < x.deaths;
    for (uint8_t k = 0; c->reads && k <= MEM_OLDER; k++)
        if (c->others >> k & 1)
            push(p, (struct change_over){c->step, (uint8_t)(OLDER + k), NONE}, 1);
    if (c->reads)
        return;
    for (uint8_t to = 0; to < x.fibers; to++) {
        if (may_die && c->victims >> to & 1)
            turn(p, c, c->now, to, 1);
        if (!(c->others >> to & 1))
            continue;
        if (c->meets && (c->ended || !x.in_turn))
            turn(p, c, to, NONE, !c->ended);
        if (may_die && c->dies)
            turn(p, c, to, c->now, 1);
    }
    if (may_die && c->dies && !c->others)
        turn(p, c, HOME, c->now, 1);
}

/* One of those that are left: any, so that what is run is spread over all if there are too many. */
static struct plan take(struct heap *h)
{
    size_t i = rng_below(&x.dice, h->n);
    struct plan p = h->plan[i];
    h->plan[i] = h->plan[--h->n];
    return p;
}

/* Those of this cost, until so many were explored in all. false: there were more. */
static bool explore_level(unsigned cost, uint64_t end)
{
    struct heap *h = &x.heap[cost];
    while (h->n) {
        if (x.explored >= end)
            return false;
        struct plan p = take(h);
        run(&p);
        x.level[cost]++;
        for (unsigned i = 0; i < x.choices; i++)
            branch(&p, &x.choice[i]);
    }
    return !h->lost;
}

/* Schedules of the operations that stand in the scene, up to x.bound preemptions and deaths: all with up to `whole`, and
 * as many more as fit into `limit`. Returns up to which number all were run; -1: not even those without. */
static int explore_up_to(unsigned whole, uint64_t limit)
{
    x.whole = whole;
    uint64_t begin = x.explored;
    int all;
    must(x.bound <= BOUND_MAX);
    set_none(&x.ends);
    x.dice = rng_make(begin, 5);
    remember();
    memset(x.looked, 0, sizeof x.looked);
    memset(x.changed, 0, sizeof x.changed);
    for (bool again = true; again;) { /* once more if words became common */
        uint32_t before = x.words_met;
        memset(x.level, 0, sizeof x.level);
        for (unsigned c = 0; c <= BOUND_MAX; c++) {
            x.heap[c].n = 0;
            x.heap[c].lost = false;
        }
        set_none(&x.states);
        again = false;
        all = -1;
        for (uint8_t first = 0; first < x.fibers; first++)
            add(&(struct plan){.first = first});
        for (unsigned c = 0; c <= x.bound && !again && (int)c == all + 1; c++) {
            bool limited = c > whole || x.act;
            all += explore_level(c, limited ? begin + limit : UINT64_MAX);
            again = x.words_met != before && (!limited || x.explored < begin + limit);
        }
    }
    return all;
}

/* Every schedule, at most `limit`. false: there were more. */
static inline bool explore(uint64_t limit)
{
    return explore_up_to(0, limit) == (int)x.bound;
}

/* Priorities by lot, `runs` schedules with up to `depth` turns, from the beginning that is remembered. */
static inline void explore_by_lot(struct rng *r, uint64_t runs, unsigned depth)
{
    x.by_lot = true;
    x.points = 0;
    for (uint64_t i = 0; i < runs; i++) {
        struct plan p = {.n = 0};
        x.lot = rng_make(rng_next(r), i);
        for (unsigned f = 0; f < x.fibers; f++)
            x.rank[f] = (uint8_t)f;
        for (unsigned f = x.fibers - 1; f > 0; f--) {
            unsigned k = (unsigned)rng_below(&x.lot, f + 1);
            uint8_t t = x.rank[f];
            x.rank[f] = x.rank[k];
            x.rank[k] = t;
        }
        p.first = x.rank[0];
        x.turns = x.points ? 1 + (unsigned)rng_below(&x.lot, depth) : 0; /* the first run only counts the points */
        for (unsigned k = 0; k < x.turns; k++)
            x.turn[k] = (uint32_t)rng_below(&x.lot, x.points);
        run(&p);
        if (x.choices > x.points)
            x.points = x.choices;
        if (x.turns && x.point > x.points)
            x.points = x.point;
    }
    x.by_lot = false;
}

/* All that counts lives and turns is about to wrap. */
static void before_the_wrap(struct amxi_seg *s)
{
    uint64_t first = s->g.first_gen;
    s->g.first_gen = AMXI_GEN_MASK - 3;
    amxi_sectors_format(s);
    s->g.first_gen = first;
    for (uint32_t i = 0; i < s->g.sectors; i++) {
        amxi_st64_rlx(&amxi_sector(s, i)->word, AMXI_S_WORD(AMXI_K_IDLE, 0, AMXI_MASK(AMXI_S_BITS) - 1));
        amxi_st64_rlx(amxi_acked(s, i), AMXI_Q_WORD(0, 0, AMXI_MASK(AMXI_Q_BITS)));
    }
    for (uint32_t i = 1; i < s->g.handles; i++)
        amxi_st64_rlx(&amxi_handle(s, i)->word, AMXI_H_WORD(AMXI_H_FREE, 0, AMXI_MASK(AMXI_H_BITS)));
    for (uint32_t i = 0; i < AMX_OBJECTS; i++)
        amxi_st64_rlx(&amxi_object(s, i)->word, AMXI_O_WORD(AMXI_O_FREE, 0, AMXI_MASK(AMXI_O_BITS)));
    if (!x.few_tickets)
        amxi_st64_rlx(&amxi_head(s)->tickets, AMXI_MASK(AMXI_TICKET_BITS) - 1);
}

static void explore_open(void)
{
#ifndef NEW_SEGMENT
#define NEW_SEGMENT new_segment(128 << 10)
#endif
    scene.h[0] = NEW_SEGMENT;
    before_the_wrap(scene.h[0]->seg);
    for (int i = 1; i < DEPTH; i++)
        scene.h[i] = attach_again(scene.h[0]); /* each a peer of its own, at its own address */
    for (int i = 0; i < DEPTH; i++) {
        scene.op[i] = OPS;
        x.entering[i].lock_fd = -1;
    }
    remember();
    x.bare = x.image;
    x.image = NULL;
    memcpy(x.bare_handle, x.handle, sizeof x.handle);
}

/* As after explore_open; what each tuple does depends on none that was before. */
static inline void explore_anew(void)
{
    struct amxi_seg *s = scene.h[0]->seg;
    if (x.image)
        restore(); /* the dead live */
    memcpy(s->base, x.bare, s->g.size);
    for (unsigned i = 0; i < DEPTH; i++)
        *scene.h[i] = x.bare_handle[i];
}

#endif
