/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All workloads, all systems side by side: every repetition runs every configuration of every system once, each run in
 * fresh processes, so that a slow minute of the machine meets all of them and ratios are taken within a repetition.
 * Passes: verified, timed, latencies, and with -c instructions. A peer that fails is a result; if amx fails, so does
 * this program.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define LATENCY_REPS 3u

const char *const workload_name[WORKLOADS] = {"seed-loop",   "pair-64", "producer-consumer", "hand-over", "fill-heal",
                                              "large",       "slots",   "read-one",          "read-many", "read-change",
                                              "message-life"};
const char *const point_name[POINTS] = {"p50", "p99", "p99.9", "p99.99"};

/* How much of OPS a workload gets, so that it takes about as long as the seed loop. */
static const unsigned share[WORKLOADS] = {1, 1, 4, 8, 40, 40, 1, 4, 4, 8, 8};

const struct bench_system_row systems[SYSTEMS] = {
    {"amx", true, false, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
    {"glibc", false, false, {1, 1, 1, 1, 1, 1, 1}},
    {"mimalloc", false, false, {1, 1, 1, 1, 1, 1, 1}},
    {"jemalloc", false, false, {1, 1, 1, 1, 1, 1, 1}},
    {"tcmalloc", false, false, {1, 1, 1, 1, 1, 1, 1}},
    {"boost-rbtree", true, false, {50, 50, 10, 10, 10, 2, 1}},
    {"boost-seqfit", true, false, {50, 10, 5, 50, 50, 2, 1}},
    {"tlsf", true, false, {10, 10, 5, 5, 1, 1, 1}},
    {"treiber", true, false, {5, 5, 2, 2, 1, 1, 4}},
    {"pool", true, true, {1, 1, 1, 1, 1, 1, 4}},
    {"ring", true, true, {1, 1, 1, 1, 1, 1, 4}},
    {"rwlock", true, false, {[READ_ONE] = 2, [READ_MANY] = 2, [READ_CHANGE] = 2, [MESSAGE_LIFE] = 2}},
    {"loop", false, false, {1, 1, 1, 1, 1, 1, 1}},
};

/* Threads of one workload stand in a row, then its processes: so do the tables. */
const struct config configs[CONFIGS] = {
    {SEED_LOOP, 1, 1},
    {SEED_LOOP, 2, 1},
    {SEED_LOOP, 4, 1},
    {SEED_LOOP, 8, 1},
    {SEED_LOOP, 1, 2},
    {SEED_LOOP, 1, 4},
    {PAIR_64, 1, 1},
    {PAIR_64, 2, 1},
    {PAIR_64, 1, 2},
    {PRODUCER_CONSUMER, 2, 1},
    {PRODUCER_CONSUMER, 4, 1},
    {PRODUCER_CONSUMER, 1, 2},
    {PRODUCER_CONSUMER, 1, 4},
    {HAND_OVER, 2, 1},
    {HAND_OVER, 4, 1},
    {FILL_HEAL, 1, 1},
    {LARGE, 1, 1},
    {LARGE, 2, 1},
    {SLOTS, 1, 1},
    {SLOTS, 2, 1},
    {SLOTS, 4, 1},
    {SLOTS, 1, 2},
    {SLOTS, 1, 4},
    {READ_ONE, 1, 1},
    {READ_ONE, 2, 1},
    {READ_ONE, 4, 1},
    {READ_ONE, 8, 1},
    {READ_ONE, 1, 2},
    {READ_ONE, 1, 4},
    {READ_ONE, 1, 8},
    {READ_MANY, 1, 1},
    {READ_MANY, 2, 1},
    {READ_MANY, 4, 1},
    {READ_MANY, 8, 1},
    {READ_MANY, 1, 2},
    {READ_MANY, 1, 4},
    {READ_MANY, 1, 8},
    {READ_CHANGE, 2, 1},
    {READ_CHANGE, 8, 1},
    {READ_CHANGE, 1, 2},
    {READ_CHANGE, 1, 8},
    {MESSAGE_LIFE, 1, 1},
    {MESSAGE_LIFE, 2, 1},
    {MESSAGE_LIFE, 4, 1},
    {MESSAGE_LIFE, 8, 1},
    {MESSAGE_LIFE, 1, 2},
    {MESSAGE_LIFE, 1, 4},
    {MESSAGE_LIFE, 1, 8},
};

int config_of(enum workload w, unsigned threads, unsigned procs)
{
    int c = 0;

    while (configs[c].workload != w || configs[c].threads != threads || configs[c].procs != procs)
        c++;
    return c;
}

const char *config_text(int cfg, char buf[64])
{
    const struct config *c = &configs[cfg];
    unsigned n = c->threads * c->procs;

    snprintf(buf, 64, "%s, %u %s%s", workload_name[c->workload], n, c->procs > 1 ? "processe" : "thread",
             n > 1 ? "s" : "");
    return buf;
}

/* Private heaps have one process; the loop alone is worth a line where nothing is passed on. Slots of one size are compared
 * with each other and with the arena, messages with those under locks, which nothing else is. */
bool takes_part(const struct bench *b, int sys, int cfg)
{
    const struct config *c = &configs[cfg];
    bool of_slots = systems[sys].slots || sys == AMX || sys == TREIBER || sys == LOOP;

    if (c->workload == SLOTS ? !of_slots : systems[sys].slots)
        return false;
    return b->use_system[sys] && b->use_workload[c->workload] && (c->procs == 1 || systems[sys].shared) &&
           (c->workload >= READ_ONE ? sys == AMX || sys == RWLOCK : sys != RWLOCK && (sys != LOOP || c->threads == 1));
}

static uint64_t ops_per_thread(const struct bench *b, int sys, int cfg)
{
    const struct config *c = &configs[cfg];
    uint64_t ops = b->ops / share[c->workload] / systems[sys].slower[c->workload];
    unsigned threads = c->threads * c->procs;

    ops = threads > 2 ? ops * 2 / threads : ops; /* more threads than processors only take longer */
    return ops ? ops : 1;
}

static void note_failure(struct bench *b, int sys, int cfg, enum mode mode, const struct outcome *o)
{
    static const char *const pass[MODES] = {"timed", "latency", "verified"};
    char *why = b->cell[sys][cfg].failed[mode];
    char text[64];

    snprintf(why, sizeof(b->cell[sys][cfg].failed[mode]), "%s", o->why);
    fprintf(stderr, "FAILED: %s, %s, %s: %s\n", systems[sys].name, config_text(cfg, text), pass[mode], o->why);
}

/* --- The passes ---------------------------------------------------------------------------------------------------- */

static void verify(struct bench *b, int sys, int cfg)
{
    struct outcome o;
    uint64_t ops = ops_per_thread(b, sys, cfg) / 20 + 1;

    if (sys == LOOP) /* has but one block */
        return;
    if (bench_run_once(b, sys, cfg, ops, VERIFIED, NULL, &o))
        note_failure(b, sys, cfg, VERIFIED, &o);
    else
        b->cell[sys][cfg].verified = o.ns;
}

static void time_it(struct bench *b, int sys, int cfg)
{
    struct cell *cell = &b->cell[sys][cfg];
    struct outcome o;

    if (*cell->failed[TIMED])
        return;
    if (bench_run_once(b, sys, cfg, ops_per_thread(b, sys, cfg), TIMED, NULL, &o)) {
        note_failure(b, sys, cfg, TIMED, &o);
        return;
    }
    cell->ns[cell->reps] = o.ns;
    cell->cpu[cell->reps++] = o.cpu;
    cell->filled = (double)b->board->thread[0].filled / SEGMENT;
}

static void percentiles(const struct bench *b, int cfg, struct cell *cell)
{
    static const double part[POINTS] = {0.5, 0.99, 0.999, 0.9999};
    static uint64_t hist[HIST_CELLS];
    unsigned threads = configs[cfg].threads * configs[cfg].procs, point = 0;
    uint64_t calls = 0, seen = 0;
    double ns = 0, all_ticks = 0;

    memset(hist, 0, sizeof(hist));
    for (unsigned t = 0; t < threads; t++) {
        const struct board_thread *r = &b->board->thread[t];

        ns += (double)(r->t1 - r->t0);
        all_ticks += (double)r->ticks;
        for (unsigned i = 0; i < HIST_CELLS; i++) {
            hist[i] += r->hist[i];
            calls += r->hist[i];
        }
    }
    for (unsigned i = 0; i < HIST_CELLS; i++) {
        seen += hist[i];
        while (point < POINTS && (double)seen >= part[point] * (double)calls)
            cell->point[point++][cell->latency_reps] = hist_value(i) * ns / all_ticks;
    }
    cell->latency_reps++;
}

static void time_calls(struct bench *b, int sys, int cfg)
{
    struct cell *cell = &b->cell[sys][cfg];
    struct outcome o;

    if (*cell->failed[TIMED] || *cell->failed[LATENCY])
        return;
    if (bench_run_once(b, sys, cfg, ops_per_thread(b, sys, cfg) / 4 + 1, LATENCY, NULL, &o))
        note_failure(b, sys, cfg, LATENCY, &o);
    else
        percentiles(b, cfg, cell);
}

static bool instructions(struct bench *b, int sys, int cfg, uint64_t ops, double *out)
{
    char log[512], line[256];
    struct outcome o;
    bool found = false;
    FILE *f;

    snprintf(log, sizeof(log), "%s/callgrind.log", b->dir);
    if (bench_run_once(b, sys, cfg, ops, TIMED, log, &o) || !(f = fopen(log, "r")))
        return false;
    while (fgets(line, sizeof(line), f)) {
        const char *p = strstr(line, "Collected :");

        if (p)
            found = sscanf(p, "Collected : %lf", out) == 1;
    }
    fclose(f);
    return found;
}

/* The difference of two counts takes start, warm-up and end out. */
static void count(struct bench *b, int sys, int cfg)
{
    enum workload w = configs[cfg].workload;
    uint64_t ops = systems[sys].slower[SEED_LOOP] > 10 ? 100000 : 500000;
    double few, many;

    if ((w != SEED_LOOP && w != PAIR_64 && w < READ_ONE) || configs[cfg].threads > 1 || configs[cfg].procs > 1)
        return;
    if (instructions(b, sys, cfg, ops, &few) && instructions(b, sys, cfg, 2 * ops, &many))
        b->cell[sys][cfg].instr = (many - few) / (double)ops;
    else
        fprintf(stderr, "no instructions counted for %s, see %s/callgrind.log\n", systems[sys].name, b->dir);
}

static void pass(struct bench *b, const char *name, unsigned reps, void (*one)(struct bench *, int, int))
{
    for (unsigned r = 0; r < reps; r++) {
        fprintf(stderr, "%s pass, %u of %u\n", name, r + 1, reps);
        for (int c = 0; c < CONFIGS; c++)
            for (int s = 0; s < SYSTEMS; s++)
                if (takes_part(b, s, c))
                    one(b, s, c);
    }
}

/* --- Start --------------------------------------------------------------------------------------------------------- */

/* Marks those that the text names; all if it names none. */
static int choose(const char *what, const char *text, const char *(*name)(int), int count_of, bool *use)
{
    char copy[512];
    bool any = false;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok(copy, " ,"); word; word = strtok(NULL, " ,")) {
        int i = 0;

        while (i < count_of && strcmp(name(i), word) != 0)
            i++;
        if (i == count_of) {
            fprintf(stderr, "bench: there is no %s '%s'; there are:", what, word);
            for (i = 0; i < count_of; i++)
                fprintf(stderr, " %s", name(i));
            fputc('\n', stderr);
            return -1;
        }
        use[i] = any = true;
    }
    for (int i = 0; !any && i < count_of; i++)
        use[i] = true;
    return 0;
}

static const char *name_of_system(int i)
{
    return systems[i].name;
}

static const char *name_of_workload(int i)
{
    return workload_name[i];
}

static int usage(void)
{
    fputs("usage: driver -d DIR [-r REPS] [-n OPS] [-l SECONDS] [-w WORKLOADS] [-s SYSTEMS] [-c] [-o FILES]\n"
          "  DIR holds the workers; FILES.json and FILES.svg are written; -c counts instructions\n",
          stderr);
    return 2;
}

static int arguments(struct bench *b, int argc, char **argv, const char **files)
{
    const char *use_systems = "", *use_workloads = "";
    int opt;

    while ((opt = getopt(argc, argv, "d:r:n:l:w:s:co:")) != -1) {
        switch (opt) {
        case 'd':
            b->dir = optarg;
            break;
        case 'r':
            b->reps = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'n':
            b->ops = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            b->limit = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'w':
            use_workloads = optarg;
            break;
        case 's':
            use_systems = optarg;
            break;
        case 'c':
            b->count = true;
            break;
        case 'o':
            *files = optarg;
            break;
        default:
            return usage();
        }
    }
    if (optind != argc || !b->dir || b->reps < 1 || b->reps > MAX_REPS || b->ops < 1 || b->limit < 1)
        return usage();
    return choose("system", use_systems, name_of_system, SYSTEMS, b->use_system) ||
                   choose("workload", use_workloads, name_of_workload, WORKLOADS, b->use_workload)
               ? 2
               : 0;
}

static int make_board(struct bench *b)
{
    b->board_fd = memfd_create("bench", 0);
    if (b->board_fd < 0 || ftruncate(b->board_fd, sizeof(*b->board)) != 0)
        return -1;
    b->board = mmap(NULL, sizeof(*b->board), PROT_READ | PROT_WRITE, MAP_SHARED, b->board_fd, 0);
    return b->board == MAP_FAILED ? -1 : 0;
}

int main(int argc, char **argv)
{
    static struct bench b = {.reps = 5, .limit = 60, .ops = 20000000};
    const char *files = NULL;
    char path[512];
    int err = arguments(&b, argc, argv, &files);

    if (err)
        return err;
    if (make_board(&b)) {
        perror("bench: board");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN); /* a worker that is gone is told so by its pipe */
    pass(&b, "verified", 1, verify);
    pass(&b, "timed", b.reps, time_it);
    pass(&b, "latency", b.reps < LATENCY_REPS ? b.reps : LATENCY_REPS, time_calls);
    if (b.count)
        pass(&b, "instruction", 1, count);
    report_print(&b);
    if (files) {
        snprintf(path, sizeof(path), "%s.json", files);
        err |= report_json(&b, path);
        snprintf(path, sizeof(path), "%s.svg", files);
        err |= plot_svg(&b, path);
    }
    for (int c = 0; c < CONFIGS; c++)
        for (int m = 0; m < MODES; m++)
            err |= *b.cell[AMX][c].failed[m] != 0 || *b.cell[POOL][c].failed[m] != 0;
    return err ? 1 : 0;
}
