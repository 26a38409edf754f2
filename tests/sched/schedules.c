/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   schedules [BOUND [LIMIT [RUNS [SEED [VIOLATIONS]]]]]
 * Schedules with up to BOUND (3) preemptions and deaths of each pair of operations and of chosen triples, those with fewer
 * first, at most LIMIT of each; where there are more, RUNS with priorities by lot, and so many of each of 400 random triples
 * too. Ends with what it counted. A violation is told with the schedule that shows it, made shorter if that is possible, and
 * the rest goes on, unless there are more than VIOLATIONS (20).
 * Environment:
 *   WHOLE=2       up to so many preemptions and deaths all of a pair, and one less of a triple, whatever LIMIT says
 *   TABLE=1       a line for each tuple: how many schedules with 0, 1, 2, ... of them were run, and up to which number all
 *   TUPLE="give | alloc | recover"   this one alone
 *   SCHEDULE="cold, give | alloc; 0 first, at 7: 1 goes on"   this one alone, as a violation told it
 *   UNREDUCED=1   without the second and third reduction of explore.h: with TABLE=1, the ends must be the same
 *   WORKERS=1     processes; otherwise one for each processor
 *   MEMORY=tso or c11: loads may read older values as well (memory.h)
 * Compiled with -DPOOLS it is about slot pools, with -DSTORES about message stores.
 */
#include "explore.h"

#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

enum { RANDOM_TRIPLES = 400, LOT_TURNS = 6, WORKERS = 8, JOBS_MAX = 4096, HANG_SECONDS = 1800 };

static const enum op triples[][3] = {
#ifdef TRIPLES_THAT_MEET
    TRIPLES_THAT_MEET
#else
    {FREE_LEFT, FREE_MIDDLE, FREE_RIGHT},
    {FREE_MIDDLE, GROW, FREE_RIGHT},
    {FREE_MIDDLE, SHRINK, ALLOC},
    {GIVE, FREE_MIDDLE, RECOVER},
    {GIVE, PUBLISH, ADOPT},
    {GIVE, GIVE, FREE_MIDDLE},
    {PUBLISH, ADOPT, FREE_PUBLIC},
    {TRANSITION, SET_STATE, FREE_MIDDLE},
    {ALLOC, ALLOC_OTHER, TRIM},
    {ALLOC, FREE_LEFT, HEAL},
    {ALLOC_LARGE, FREE_LARGE, ALLOC},
    {ALLOC_LARGE, ALLOC_LARGE, HEAL},
    {MOVE_LARGE, FREE_LARGE, RECOVER},
    {TRIM, HEAL, RECOVER},
    {RECOVER, RECOVER, FREE_LEFT},
    {ALLOC_ALIGNED, FREE_LEFT, TRIM},
    {FREE_LARGE, ALLOC_LARGE, RECOVER},
    {ALLOC, ALLOC, ALLOC},
    {HEAL, HEAL, FREE_RIGHT},
    {ADOPT, FREE_PUBLIC, RECOVER},
    {GIVE, ALLOC, RECOVER},
    {ALLOC, FREE_MIDDLE, RECOVER},
    {KEEP, FREE_MIDDLE, RECOVER},
    {KEEP, ADOPT, RECOVER},
    {FREE_LEFT, RECOVER, RENEW},
    {ALLOC, FREE_LEFT, RENEW},
    {ENTER, ENTER, RECOVER},
    {GIVE_AWAY, RECOVER, FREE_LEFT},
#endif
};
enum { TRIPLES = sizeof triples / sizeof *triples };

struct job {
    uint8_t n, bound;
    bool warm, random;
    enum op op[DEPTH];
    int who[DEPTH];
};

/* How many accesses to the segment an operation may make while the others stand still, wherever they do. Of a segment of
 * 13 sectors: an allocation looks at each once, a trim visits what it has blocks of, a recovery walks what the dead touched. */
#ifndef ALONE_MAX
#define ALONE_MAX                                                                                                      \
    [ALLOC] = 160, [ALLOC_OTHER] = 190, [ALLOC_ALIGNED] = 210, [ALLOC_LARGE] = 800, [FREE_LEFT] = 20,                  \
    [FREE_MIDDLE] = 20, [FREE_RIGHT] = 20, [FREE_PUBLIC] = 20, [FREE_LARGE] = 400, [GROW] = 240, [SHRINK] = 200,       \
    [MOVE_LARGE] = 1000, [PUBLISH] = 6, [ADOPT] = 8, [GIVE] = 14, [SET_STATE] = 4, [KEEP] = 10, [TRANSITION] = 4,      \
    [TRIM] = 250, [HEAL] = 600, [RECOVER] = 2500, [ACK_LEFT] = 30, [ACK_MIDDLE] = 30, [COALESCE_MIDDLE] = 110,         \
    [COALESCE_RIGHT] = 30, [RENEW] = 3000, [ENTER] = 400, [ROOT] = 10, [GIVE_AWAY] = 14,
#endif
static const uint32_t alone_max[OPS] = {ALONE_MAX};

static struct job job[JOBS_MAX];
static unsigned jobs;

static struct tally {
    unsigned next; /* job */
    unsigned at[WORKERS];
    struct plan plan[WORKERS];
    uint64_t explored, judged, cut, capped, by_lot;
    uint32_t most[OPS];
    struct result {
        uint64_t level[BOUND_MAX + 1], by_lot, ends;
        int whole; /* all with so many were run */
    } result[JOBS_MAX];
} * tally;

static struct {
    uint64_t limit, runs, seed;
    unsigned whole;
} want;

static void add_pair(enum op a, enum op b, bool warm, unsigned bound)
{
    must(jobs < JOBS_MAX);
    job[jobs++] = (struct job){2, (uint8_t)bound, warm, false, {a, b, OPS}, {0}};
}

static void all_jobs(unsigned bound, uint64_t runs, uint64_t seed)
{
    struct rng r = rng_make(seed, 1);
    for (int a = 0; a < OPS; a++)
        for (int b = 0; b < OPS; b++)
            for (int warm = 0; warm < 2; warm++)
                add_pair((enum op)a, (enum op)b, warm, bound);
    for (unsigned i = 0; i < TRIPLES; i++)
        for (int warm = 0; warm < 2; warm++)
            job[jobs++] =
                (struct job){3, (uint8_t)bound, warm, false, {triples[i][0], triples[i][1], triples[i][2]}, {0}};
    for (unsigned i = 0; runs && i < RANDOM_TRIPLES; i++) {
        struct job j = {3, 0, rng_below(&r, 2), true, {OPS, OPS, OPS}, {0}};
        for (int k = 0; k < 3; k++)
            j.op[k] = (enum op)rng_below(&r, BY_OFFSET);
        job[jobs++] = j;
    }
}

static bool is_tuple(const struct job *j, const char *name)
{
    char text[128];
    snprintf(text, sizeof text, "%s | %s%s%s", names[j->op[0]], names[j->op[1]], j->n > 2 ? " | " : "",
             j->n > 2 ? names[j->op[2]] : "");
    return strcmp(text, name) == 0;
}

/* Three of any kind. */
static void only_these(const char *name, unsigned bound)
{
    struct job j = {3, (uint8_t)bound, false, false, {OPS, OPS, OPS}, {0}};
    for (int a = 0; a < OPS && !jobs; a++)
        for (int b = 0; b < OPS && !jobs; b++)
            for (int c = 0; c < OPS && !jobs; c++) {
                j.op[0] = (enum op)a;
                j.op[1] = (enum op)b;
                j.op[2] = (enum op)c;
                if (is_tuple(&j, name))
                    job[jobs++] = j;
            }
    must(jobs == 1);
    job[jobs++] = job[0];
    job[1].warm = true;
}

static void only(const char *name, unsigned bound)
{
    unsigned n = 0;
    for (unsigned i = 0; name && i < jobs; i++)
        if (is_tuple(&job[i], name) && !job[i].random)
            job[n++] = job[i];
    jobs = name ? n : jobs;
    if (!jobs)
        only_these(name, bound);
}

/* A loop without an access: ended by SIGPROF. 0: none is looked for. */
static void no_longer_than(unsigned seconds)
{
    must(setitimer(ITIMER_PROF, &(struct itimerval){.it_value = {.tv_sec = seconds}}, NULL) == 0);
}

static void set(const struct job *j)
{
    explore_anew();
    x.fibers = j->n;
    x.deaths = x.fibers - 1;
    scene.warm = j->warm;
    memcpy(scene.op, j->op, sizeof scene.op);
    for (unsigned i = 0; i < x.fibers; i++) {
        x.steps_max[i] = mem.kind ? 0 : alone_max[j->op[i]];
        x.most[i] = 0;
    }
    scene_set();
}

static void work(unsigned worker)
{
    explore_open();
    x.shown = &tally->plan[worker];
    for (;;) {
        unsigned i = __atomic_fetch_add(&tally->next, 1, __ATOMIC_RELAXED);
        if (i >= jobs)
            break;
        const struct job *j = &job[i];
        struct rng r = rng_make(want.seed, i + 2);
        struct result *result = &tally->result[i];
        uint64_t explored = x.explored, judged = x.judged, cut = x.cut, by_lot = 0;
        tally->at[worker] = i;
        set(j);
        no_longer_than(HANG_SECONDS);
        x.bound = j->random ? 0 : j->bound;
        result->whole = explore_up_to(j->n > 2 && want.whole ? want.whole - 1 : want.whole, want.limit);
        memcpy(result->level, x.level, sizeof x.level);
        if (j->random || result->whole < (int)j->bound) {
            by_lot = x.explored;
            explore_by_lot(&r, want.runs, LOT_TURNS);
            by_lot = x.explored - by_lot;
        }
        no_longer_than(0);
        result->by_lot = by_lot;
        result->ends = x.ends.n;
        for (unsigned f = 0; f < x.fibers; f++) {
            uint32_t *most = &tally->most[j->op[f]], was = __atomic_load_n(most, __ATOMIC_RELAXED);
            while (was < x.most[f] &&
                   !__atomic_compare_exchange_n(most, &was, x.most[f], false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
                ;
        }
        __atomic_fetch_add(&tally->explored, x.explored - explored, __ATOMIC_RELAXED);
        __atomic_fetch_add(&tally->judged, x.judged - judged, __ATOMIC_RELAXED);
        __atomic_fetch_add(&tally->cut, x.cut - cut, __ATOMIC_RELAXED);
        __atomic_fetch_add(&tally->by_lot, by_lot, __ATOMIC_RELAXED);
        __atomic_fetch_add(&tally->capped, !j->random && result->whole < (int)j->bound, __ATOMIC_RELAXED);
    }
    _exit(0);
}

static pid_t start(unsigned worker)
{
    tally->at[worker] = UINT32_MAX;
    fflush(NULL);
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0)
        work(worker);
    return pid;
}

/* --- One schedule ---------------------------------------------------------------------------------------------------- */

static void as_told(const struct job *j, const struct plan *p)
{
    explore_open();
    set(j);
    remember();
    run(p);
}

/* Does it still happen? In a process of its own, which says nothing. */
static bool happens(const struct job *j, const struct plan *p)
{
    int status;
    fflush(NULL);
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        must(freopen("/dev/null", "w", stderr) != NULL);
        no_longer_than(HANG_SECONDS);
        x.lenient = true;
        as_told(j, p);
        _exit(0);
    }
    must(waitpid(pid, &status, 0) == pid);
    return status != 0;
}

/* Without each of its change-overs in turn, as long as it still happens: one that needs none of those that are left out. */
static struct plan shorter(const struct job *j, struct plan p)
{
    for (unsigned i = p.n; i-- > 0;) {
        struct plan q = p;
        memmove(&q.at[i], &q.at[i + 1], (p.n - i - 1u) * sizeof *q.at);
        q.n--;
        q.deaths = (uint8_t)(q.deaths - (p.at[i].dies != NONE));
        if (happens(j, &q)) {
            p = q;
            i = p.n;
        }
    }
    return p;
}

/* "cold, give | alloc; 0 first, ..." */
static int replay(const char *text)
{
    bool warm = strncmp(text, "warm, ", 6) == 0;
    const char *ops = text + 6, *end = strchr(text, ';');
    struct plan p;
    if ((!warm && strncmp(text, "cold, ", 6) != 0) || !end || !plan_of(end, &p)) {
        fprintf(stderr, "not a schedule: %s\n", text);
        return 2;
    }
    for (unsigned i = 0; i < jobs; i++) {
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)(end - ops), ops);
        if (job[i].warm != warm || !is_tuple(&job[i], name))
            continue;
        x.lenient = true; /* a shortened one need not fit */
        as_told(&job[i], &p);
        printf("nothing happens\n");
        return 0;
    }
    fprintf(stderr, "no such operations: %s\n", text);
    return 2;
}

/* --- What was counted ------------------------------------------------------------------------------------------------- */

static bool same_ops(const struct job *a, const struct job *b)
{
    bool turned = a->n == 2 && a->op[0] == b->op[1] && a->op[1] == b->op[0];
    return a->n == b->n && !a->random && !b->random && (turned || memcmp(a->op, b->op, sizeof a->op) == 0);
}

/* A line for each tuple: both beginnings, and a pair both ways, together. */
static void table(unsigned bound)
{
    unsigned of[BOUND_MAX + 2][2] = {{0}};
    for (unsigned i = 0; i < jobs; i++) {
        struct result sum = {.whole = (int)bound};
        bool first = !job[i].random;
        for (unsigned k = 0; k < jobs && first; k++) {
            const struct result *r = &tally->result[k];
            if (!same_ops(&job[i], &job[k]))
                continue;
            first = k >= i;
            for (unsigned c = 0; c <= bound; c++)
                sum.level[c] += r->level[c];
            sum.by_lot += r->by_lot;
            sum.ends += r->ends;
            sum.whole = r->whole < sum.whole ? r->whole : sum.whole;
        }
        if (!first)
            continue;
        of[sum.whole + 1][job[i].n - 2]++;
        if (!getenv("TABLE"))
            continue;
        printf("%s | %s%s%s:", names[job[i].op[0]], names[job[i].op[1]], job[i].n > 2 ? " | " : "",
               job[i].n > 2 ? names[job[i].op[2]] : "");
        for (unsigned c = 0; c <= bound; c++)
            printf(" %" PRIu64 "%s", sum.level[c], (int)c <= sum.whole ? "" : " (not all)");
        printf(", by lot %" PRIu64 "; %" PRIu64 " ends\n", sum.by_lot, sum.ends);
    }
    for (unsigned c = 0; c <= bound; c++)
        printf("all with up to %u preemptions and deaths, and not all with more: %u pairs, %u triples\n", c,
               of[c + 1][0], of[c + 1][1]);
}

int main(int argc, char **argv)
{
    unsigned bound = argc > 1 ? (unsigned)atoi(argv[1]) : 3, violations = 0, alive = 0, workers;
    want.limit = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
    want.runs = argc > 3 ? strtoull(argv[3], NULL, 10) : 200;
    want.seed = argc > 4 ? strtoull(argv[4], NULL, 10) : test_seed();
    want.whole = getenv("WHOLE") ? (unsigned)atoi(getenv("WHOLE")) : 0;
    unsigned most = argc > 5 ? (unsigned)atoi(argv[5]) : 20;
    pid_t pid[WORKERS];
    long n = getenv("WORKERS") ? atol(getenv("WORKERS")) : sysconf(_SC_NPROCESSORS_ONLN);
    must(bound <= BOUND_MAX);
    mem_choose(getenv("MEMORY"));
    x.unreduced = getenv("UNREDUCED") != NULL;
    workers = n < 1 ? 1 : n > WORKERS ? WORKERS : (unsigned)n;
    all_jobs(bound, want.runs, want.seed);
    if (getenv("SCHEDULE"))
        return replay(getenv("SCHEDULE"));
    only(getenv("TUPLE"), bound);
    tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(tally != MAP_FAILED);
    for (; alive < workers; alive++)
        pid[alive] = start(alive);
    while (alive) {
        int status;
        pid_t done = wait(&status);
        unsigned w = 0;
        while (pid[w] != done)
            w++;
        if (status == 0) {
            alive--;
            continue;
        }
        violations++;
        const struct job *j = tally->at[w] < jobs ? &job[tally->at[w]] : NULL;
        fprintf(stderr, "violation (%s %d) in %s%s%s%s%s\n", WIFSIGNALED(status) ? "signal" : "exit",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), j ? names[j->op[0]] : "?", j ? " | " : "",
                j ? names[j->op[1]] : "", j && j->n > 2 ? " | " : "", j && j->n > 2 ? names[j->op[2]] : "");
        if (j) {
            struct plan p = shorter(j, tally->plan[w]);
            x.plan = p;
            x.fibers = j->n;
            scene.warm = j->warm;
            memcpy(scene.op, j->op, sizeof scene.op);
            tell();
        }
        if (violations > most) {
            for (unsigned k = 0; k < workers; k++)
                kill(pid[k], SIGKILL);
            break;
        }
        pid[w] = start(w);
    }
    table(bound);
    for (int op = 0; op < OPS; op++)
        printf("%s: at most %" PRIu32 " steps of %" PRIu32 " while the others stand still\n", names[op],
               tally->most[op], alone_max[op]);
    printf("%" PRIu64 " ends judged; %" PRIu64 " schedules cut where another had been; %" PRIu64 " by lot\n",
           tally->judged, tally->cut, tally->by_lot);
    printf("explored pairs=%d triples=%d explored=%" PRIu64 " violations=%u\n", OPS * (OPS + 1) / 2,
           TRIPLES + (want.runs ? RANDOM_TRIPLES : 0), tally->explored, violations);
    return violations != 0;
}
