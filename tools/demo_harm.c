/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Harm: the parent kills one counter and stops another, to show that it does not matter. When, no clock decides: a victim
 * is stopped, then looked at, and killed if the segment says that it has a text in hand; else it goes on. So that there
 * is somebody to catch however fast the others are, the reader waits at a gate meanwhile.
 */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "demo_run.h"

enum {
    KILL_FROM = 8, /* part of the text that is counted before, */
    KILL_GATE = 4, /* and that the reader hands on before somebody was killed, */
    STOP_GATE = 2, /* or stopped */
    STOP_FOR = 8,  /* part that the others count meanwhile */
    LOOKS = 20     /* at a segment that does not hold still */
};

static uint64_t total(const struct demo_run *r)
{
    return r->input.bytes * r->input.rounds;
}

static uint64_t counted(const struct demo_run *r)
{
    return atomic_load_explicit(&r->hub->counted, memory_order_relaxed);
}

static uint32_t doing(const struct demo_run *r, uint32_t seat)
{
    return atomic_load_explicit(&r->hub->seat[seat].doing, memory_order_relaxed);
}

/* The reader waits at the gate: what the counters have, they have. */
static bool held_back(const struct demo_run *r)
{
    return doing(r, DEMO_READER) == DEMO_WAITS_GATE;
}

static void set_gate(struct demo_run *r, uint64_t bytes)
{
    r->harm.gate = bytes;
    demo_gate_set(r->hub, bytes);
}

/* Stops it, and is sure of that. */
static bool catch (const struct demo_run *r, uint32_t seat)
{
    siginfo_t info = {0};

    if (!r->pid[seat] || r->stopped[seat] || (doing(r, seat) != DEMO_WORKING && !held_back(r)))
        return false;
    return kill(r->pid[seat], SIGSTOP) == 0 &&
           waitid(P_PID, (id_t)r->pid[seat], &info, WSTOPPED | WEXITED | WNOWAIT) == 0 && info.si_code == CLD_STOPPED;
}

struct view {
    amx_id id;
    struct demo_hand hand;
};

static int in_hand(const struct amx_block *b, void *ctx)
{
    struct view *v = ctx;

    if (b->owner_id != v->id)
        return 0;
    if (b->state == DEMO_COUNTING) {
        v->hand.texts++;
        v->hand.text_bytes += b->bytes;
    } else if (b->state >= AMX_STATE_KEPT) {
        v->hand.tables++;
    } else {
        v->hand.others++;
        v->hand.other_bytes += b->bytes;
    }
    return 0;
}

/* What a counter that stands still has in hand. */
static void look_at(const struct demo_run *r, uint32_t seat, struct demo_hand *out)
{
    struct view v = {.id = atomic_load_explicit(&r->hub->seat[seat].id, memory_order_relaxed)};

    for (int i = 0; i < LOOKS; i++) {
        memset(&v.hand, 0, sizeof v.hand);
        v.hand.partial = amx_walk(r->h, in_hand, &v) != AMX_OK;
        if (!v.hand.partial)
            break;
    }
    *out = v.hand;
}

static bool kill_one(struct demo_run *r, uint32_t seat)
{
    struct demo_harm *m = &r->harm;

    if (!catch (r, seat))
        return false;
    look_at(r, seat, &m->hand);
    if (!m->hand.texts) {
        kill(r->pid[seat], SIGCONT);
        return false;
    }
    m->killed = seat;
    m->killed_pid = r->pid[seat];
    kill(r->pid[seat], SIGKILL);
    return true;
}

static bool stop_one(struct demo_run *r, uint32_t seat, int64_t now)
{
    struct demo_harm *m = &r->harm;

    if (seat == m->killed || !catch (r, seat))
        return false;
    m->stopped = seat;
    m->stopped_pid = r->pid[seat];
    m->meanwhile = counted(r);
    m->stopped_ns = now;
    return true;
}

static void next_step(struct demo_run *r, enum demo_harm_step step)
{
    struct demo_harm *m = &r->harm;

    if (step == DEMO_TO_KILL && !m->kill)
        step = DEMO_TO_STOP;
    if (step == DEMO_TO_STOP && (!m->stop || r->workers == 1)) /* of one, there are no others to go on */
        step = DEMO_UNHARMED;
    m->step = step;
    if (step == DEMO_TO_KILL)
        set_gate(r, total(r) / KILL_GATE);
    else if (step == DEMO_TO_STOP)
        set_gate(r, total(r) / STOP_GATE);
    else if (step != DEMO_KILLED)
        set_gate(r, UINT64_MAX);
}

void demo_harm_begin(struct demo_run *r)
{
    next_step(r, DEMO_TO_KILL);
}

static void to_kill(struct demo_run *r)
{
    struct demo_harm *m = &r->harm;

    if (counted(r) < total(r) / KILL_FROM && !held_back(r))
        return;
    m->turn = (m->turn + 1) % r->workers; /* one at a time, so that the others go on */
    if (kill_one(r, DEMO_COUNTER + m->turn))
        next_step(r, DEMO_KILLED);
    else if (held_back(r))
        set_gate(r, m->gate + r->hub->block_max); /* nobody may have a text now; who gets the next one has */
    else if (!r->pid[DEMO_READER])
        next_step(r, DEMO_TO_STOP);
}

static void to_stop(struct demo_run *r, int64_t now)
{
    struct demo_harm *m = &r->harm;

    m->turn = (m->turn + 1) % r->workers;
    if (stop_one(r, DEMO_COUNTER + m->turn, now))
        next_step(r, DEMO_STOPPED);
    else if (!r->pid[DEMO_READER])
        next_step(r, DEMO_UNHARMED);
}

static void go_on(struct demo_run *r, int64_t now)
{
    struct demo_harm *m = &r->harm;

    if (counted(r) - m->meanwhile < total(r) / STOP_FOR && r->pid[DEMO_READER])
        return;
    m->meanwhile = counted(r) - m->meanwhile;
    m->stopped_ns = now - m->stopped_ns;
    kill(r->pid[m->stopped], SIGCONT);
    next_step(r, DEMO_UNHARMED);
}

void demo_harm_look(struct demo_run *r, int64_t now)
{
    switch (r->harm.step) {
    case DEMO_TO_KILL:
        to_kill(r);
        break;
    case DEMO_KILLED:
        if (atomic_load_explicit(&r->hub->succeeded, memory_order_relaxed))
            next_step(r, DEMO_TO_STOP);
        break;
    case DEMO_TO_STOP:
        to_stop(r, now);
        break;
    case DEMO_STOPPED:
        go_on(r, now);
        break;
    case DEMO_UNHARMED:
        break;
    }
}
