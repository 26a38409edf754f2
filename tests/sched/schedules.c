/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   schedules [BOUND [LIMIT [RUNS [SEED [VIOLATIONS]]]]]
 * All schedules with up to BOUND (3) preemptions and deaths of each pair of operations and of chosen triples, at most LIMIT
 * of each, then a random choice; and RUNS random ones of each of 400 random triples. Ends with what it counted. A violation is
 * told with the schedule that shows it, and the rest goes on, unless there are more than VIOLATIONS (20).
 * Environment: MEMORY=tso or c11: loads may read older values as well (memory.h). TUPLE="give | alloc | recover": this one
 * alone.
 * Compiled with -DPOOLS it is about slot pools, with -DSTORES about message stores.
 */
#include "explore.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { RANDOM_TRIPLES = 400, WORKERS = 8, JOBS_MAX = 4096, HANG_SECONDS = 600 };

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
#endif
};
enum { TRIPLES = sizeof triples / sizeof *triples };

struct job {
    uint8_t n, bound;
    bool warm, random;
    enum op op[DEPTH];
    int who[DEPTH];
};

static struct job job[JOBS_MAX];
static unsigned jobs;

static struct tally {
    unsigned next; /* job */
    unsigned at[WORKERS];
    struct plan plan[WORKERS];
    uint64_t explored, judged, capped;
    uint32_t most[OPS];
} * tally;

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
        struct job j = {3, SWITCHES, rng_below(&r, 2), true, {OPS, OPS, OPS}, {0}};
        for (int k = 0; k < 3; k++)
            j.op[k] = (enum op)rng_below(&r, BY_OFFSET);
        job[jobs++] = j;
    }
}

static bool is_tuple(const struct job *j, const char *want)
{
    char text[128];
    snprintf(text, sizeof text, "%s | %s%s%s", names[j->op[0]], names[j->op[1]], j->n > 2 ? " | " : "",
             j->n > 2 ? names[j->op[2]] : "");
    return strcmp(text, want) == 0;
}

static void only(const char *want)
{
    unsigned n = 0;
    for (unsigned i = 0; want && i < jobs; i++)
        if (is_tuple(&job[i], want))
            job[n++] = job[i];
    must(!want || n);
    jobs = want ? n : jobs;
}

static void work(unsigned worker, uint64_t limit, uint64_t runs, uint64_t seed)
{
    explore_open();
    x.shown = &tally->plan[worker];
    for (;;) {
        unsigned i = __atomic_fetch_add(&tally->next, 1, __ATOMIC_RELAXED);
        if (i >= jobs)
            break;
        const struct job *j = &job[i];
        struct rng r = rng_make(seed, i + 2);
        uint64_t explored = x.explored, judged = x.judged;
        tally->at[worker] = i;
        x.fibers = j->n;
        x.bound = j->bound;
        x.deaths = x.fibers - 1;
        scene.warm = j->warm;
        memcpy(scene.op, j->op, sizeof scene.op);
        scene_set();
        alarm(HANG_SECONDS);
        bool all = true;
        if (j->random)
            explore_at_random(&r, runs);
        else
            all = explore(limit);
        alarm(0);
        restore();
        scene_judge(); /* leaves the segment empty for the next one */
        __atomic_fetch_add(&tally->explored, x.explored - explored, __ATOMIC_RELAXED);
        __atomic_fetch_add(&tally->judged, x.judged - judged, __ATOMIC_RELAXED);
        __atomic_fetch_add(&tally->capped, !all, __ATOMIC_RELAXED);
    }
    _exit(0);
}

static pid_t start(unsigned worker, uint64_t limit, uint64_t runs, uint64_t seed)
{
    tally->at[worker] = UINT32_MAX;
    fflush(NULL);
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0)
        work(worker, limit, runs, seed);
    return pid;
}

int main(int argc, char **argv)
{
    unsigned bound = argc > 1 ? (unsigned)atoi(argv[1]) : 3, violations = 0, alive = 0, workers;
    uint64_t limit = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
    uint64_t runs = argc > 3 ? strtoull(argv[3], NULL, 10) : 200;
    uint64_t seed = argc > 4 ? strtoull(argv[4], NULL, 10) : test_seed();
    unsigned most = argc > 5 ? (unsigned)atoi(argv[5]) : 20;
    pid_t pid[WORKERS];
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    mem_choose(getenv("MEMORY"));
    workers = n < 1 ? 1 : n > WORKERS ? WORKERS : (unsigned)n;
    all_jobs(bound, runs, seed);
    only(getenv("TUPLE"));
    tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(tally != MAP_FAILED);
    for (; alive < workers; alive++)
        pid[alive] = start(alive, limit, runs, seed);
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
            x.plan = tally->plan[w];
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
        pid[w] = start(w, limit, runs, seed);
    }
    printf("# %" PRIu64 " ends judged; %" PRIu64 " tuples had more than %" PRIu64 " schedules\n", tally->judged,
           tally->capped, limit);
    printf("explored pairs=%d triples=%d explored=%" PRIu64 " violations=%u\n", OPS * (OPS + 1) / 2,
           TRIPLES + (runs ? RANDOM_TRIPLES : 0), tally->explored, violations);
    return violations != 0;
}
