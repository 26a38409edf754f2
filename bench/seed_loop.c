/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The published seed loop, all systems side by side: every repetition runs every configuration of every system once,
 * each run in fresh processes, so that a slow minute of the machine meets all of them and ratios are taken within a
 * repetition. Usage: seed_loop DIR [REPETITIONS [OPERATIONS]]: DIR holds the workers, and gets bench.json's rows on
 * the path given by the environment's BENCH_JSON.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_PROCS 2
#define MAX_REPS  99
#define COUNT_OPS 100000u /* instructions: the difference of two counts takes start and end out */

static const struct system {
    const char *name;
    bool shared;
    uint64_t slower; /* gets 1 / slower of the operations, to take about as long as the others */
} systems[] = {{"amx", true, 1}, {"mimalloc", false, 1}, {"boost", true, 50}, {"glibc", false, 1}, {"loop", false, 1}};
enum { AMX, MIMALLOC, BOOST, GLIBC, LOOP, SYSTEMS };

static const struct config {
    const char *text;
    unsigned threads, procs; /* threads of each process */
} configs[] = {{"1 thread", 1, 1}, {"2 threads", 2, 1}, {"8 threads", 8, 1}, {"2 processes", 1, 2}};
enum { T1, T2, T8, P2, CONFIGS };

static const struct ratio {
    const char *text;
    int over_sys, over_cfg, under_sys, under_cfg;
    double at_most, at_least; /* target of the median; 0: none */
} ratios[] = {
    {"amx / mimalloc, 1 thread", AMX, T1, MIMALLOC, T1, 1.5, 0},
    {"amx / mimalloc, 2 threads", AMX, T2, MIMALLOC, T2, 1.5, 0},
    {"amx / mimalloc, 8 threads", AMX, T8, MIMALLOC, T8, 1.5, 0},
    {"boost / amx, 1 thread", BOOST, T1, AMX, T1, 0, 0},
    {"boost / amx, 2 threads", BOOST, T2, AMX, T2, 0, 40},
    {"boost / amx, 8 threads", BOOST, T8, AMX, T8, 0, 0},
    {"boost / amx, 2 processes", BOOST, P2, AMX, P2, 0, 0},
    {"amx: 2 processes / 2 threads", AMX, P2, AMX, T2, 1.2, 0},
};

struct worker {
    pid_t pid;
    FILE *to, *from;
};

struct result {
    double ns, cpu; /* per operation: wall time, and time on a processor */
};

struct bench {
    const char *dir;
    unsigned reps;
    uint64_t ops;
    double ns[SYSTEMS][CONFIGS][MAX_REPS], cpu[SYSTEMS][CONFIGS][MAX_REPS];
    double instr[SYSTEMS];
    unsigned run; /* number of the run: names its segment */
};

struct spread {
    double median, min, max;
};

static bool takes_part(int sys, int cfg)
{
    return (configs[cfg].procs == 1 || systems[sys].shared) && (sys != LOOP || cfg == T1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static struct spread spread_of(const double *values, unsigned n)
{
    double v[MAX_REPS];

    memcpy(v, values, n * sizeof(*v));
    qsort(v, n, sizeof(*v), by_value);
    return (struct spread){n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2, v[0], v[n - 1]};
}

/* --- One run ------------------------------------------------------------------------------------------------- */

static int start_worker(struct worker *w, char *const argv[], const char *log)
{
    int in[2], out[2];

    if (pipe(in) || pipe(out))
        return -1;
    fflush(stdout);
    w->pid = fork();
    if (w->pid == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        if (log && !freopen(log, "w", stderr))
            _exit(126);
        /* A worker must not hold the other's pipe: then it would not see that the driver is gone. */
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    w->to = fdopen(in[1], "w");
    w->from = fdopen(out[0], "r");
    return w->pid > 0 && w->to && w->from ? 0 : -1;
}

static bool hear(struct worker *w, const char *word, char *line, int len)
{
    return fgets(line, len, w->from) && strncmp(line, word, strlen(word)) == 0;
}

static void tell(struct worker *w, const char *word)
{
    fprintf(w->to, "%s\n", word);
    fflush(w->to);
}

/* Starts one worker after the other, as the first one makes the segment; then lets all go at once. */
static int talk(struct bench *b, struct worker *w, int sys, const struct config *c, uint64_t ops, const char *mode,
                const char *log, struct result *out)
{
    char path[512], name[64], threads[16], first[16], n[32], line[160];
    unsigned long long t0 = ~0ull, t1 = 0, cpu = 0, all_failed = 0;

    snprintf(path, sizeof(path), "%s/worker_%s", b->dir, systems[sys].name);
    snprintf(name, sizeof(name), "bench-%d-%u", (int)getpid(), b->run++);
    snprintf(threads, sizeof(threads), "%u", c->threads);
    snprintf(n, sizeof(n), "%llu", (unsigned long long)ops);
    for (unsigned i = 0; i < c->procs; i++) {
        char *argv[] = {"valgrind",
                        "--tool=callgrind",
                        "--callgrind-out-file=/dev/null",
                        path,
                        name,
                        i ? "attach" : "create",
                        threads,
                        first,
                        n,
                        (char *)(uintptr_t)mode,
                        NULL};

        snprintf(first, sizeof(first), "%u", i * c->threads);
        if (start_worker(&w[i], log ? argv : argv + 3, log) || !hear(&w[i], "ready", line, sizeof(line)))
            return -1;
    }
    for (unsigned i = 0; i < c->procs; i++)
        tell(&w[i], "go");
    for (unsigned i = 0; i < c->procs; i++) {
        unsigned long long a, z, used, failed;

        if (!hear(&w[i], "result", line, sizeof(line)) ||
            sscanf(line, "result %llu %llu %llu %llu", &a, &z, &used, &failed) != 4)
            return -1;
        t0 = a < t0 ? a : t0;
        t1 = z > t1 ? z : t1;
        cpu += used;
        all_failed += failed;
    }
    for (unsigned i = c->procs; i-- > 0;) { /* the creator last: it looks when the others have left */
        tell(&w[i], "end");
        if (!hear(&w[i], "whole", line, sizeof(line)))
            return -1;
    }
    out->ns = (double)(t1 - t0) / (double)(ops * c->threads * c->procs);
    out->cpu = (double)cpu / (double)(ops * c->threads * c->procs);
    if (all_failed)
        fprintf(stderr, "%llu calls failed or found a payload changed\n", all_failed);
    return all_failed ? -1 : 0;
}

static int run_once(struct bench *b, int sys, const struct config *c, uint64_t ops, const char *mode, const char *log,
                    struct result *out)
{
    struct worker w[MAX_PROCS] = {{0, NULL, NULL}, {0, NULL, NULL}};
    int err = talk(b, w, sys, c, ops, mode, log, out);

    for (unsigned i = 0; i < MAX_PROCS; i++) {
        int status = 0;

        if (w[i].to)
            fclose(w[i].to);
        if (w[i].from)
            fclose(w[i].from);
        if (w[i].pid > 0 && (waitpid(w[i].pid, &status, 0) < 0 || status != 0))
            err = -1;
    }
    if (err)
        fprintf(stderr, "seed_loop: %s, %s, %s: the run failed\n", systems[sys].name, c->text, mode);
    return err;
}

/* --- All runs ------------------------------------------------------------------------------------------------ */

static uint64_t ops_per_thread(const struct bench *b, int sys, const struct config *c)
{
    uint64_t ops = b->ops / systems[sys].slower;

    return c->threads > 2 ? ops * 2 / c->threads : ops; /* more threads than processors only take longer */
}

static int measure_all(struct bench *b)
{
    for (unsigned r = 0; r < b->reps; r++) {
        for (int c = 0; c < CONFIGS; c++) {
            for (int s = 0; s < SYSTEMS; s++) {
                struct result res;

                if (!takes_part(s, c))
                    continue;
                if (run_once(b, s, &configs[c], ops_per_thread(b, s, &configs[c]), "timed", NULL, &res))
                    return -1;
                b->ns[s][c][r] = res.ns;
                b->cpu[s][c][r] = res.cpu;
            }
        }
        fprintf(stderr, "repetition %u of %u done\n", r + 1, b->reps);
    }
    return 0;
}

static int verify_all(struct bench *b)
{
    for (int s = 0; s < LOOP; s++) {
        for (int c = T8; c <= P2; c++) {
            struct result res;

            if (takes_part(s, c) && run_once(b, s, &configs[c], b->ops / 80, "verified", NULL, &res))
                return -1;
        }
    }
    return 0;
}

static int instructions(struct bench *b, int sys, uint64_t ops, double *out)
{
    char log[512], line[256];
    struct result res;
    FILE *f;
    bool found = false;

    snprintf(log, sizeof(log), "%s/callgrind.log", b->dir);
    if (run_once(b, sys, &configs[T1], ops, "timed", log, &res) || !(f = fopen(log, "r")))
        return -1;
    while (fgets(line, sizeof(line), f)) {
        const char *p = strstr(line, "Collected :");

        if (p)
            found = sscanf(p, "Collected : %lf", out) == 1;
    }
    fclose(f);
    return found ? 0 : -1;
}

static int count_all(struct bench *b)
{
    for (int s = 0; s < SYSTEMS; s++) {
        double few, many;

        if (instructions(b, s, COUNT_OPS, &few) || instructions(b, s, 11 * COUNT_OPS, &many)) {
            fprintf(stderr, "seed_loop: counting instructions failed, see %s/callgrind.log\n", b->dir);
            return -1;
        }
        b->instr[s] = (many - few) / (10.0 * COUNT_OPS);
    }
    return 0;
}

/* --- Telling ------------------------------------------------------------------------------------------------- */

static void print_machine(const struct bench *b)
{
    char line[256], model[200] = "unknown processor";
    double load = 0;
    struct utsname u;
    FILE *f = fopen("/proc/cpuinfo", "r");

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "model name : %199[^\n]", model) == 1)
            break;
    }
    if (f)
        fclose(f);
    if (getloadavg(&load, 1) != 1 || uname(&u))
        return;
    printf("machine: %s, %ld processors, %s %s, load %.2f at the start\n", model, sysconf(_SC_NPROCESSORS_ONLN),
           u.sysname, u.release, load);
    printf("systems:");
    for (int s = 0; s < LOOP; s++) {
        snprintf(line, sizeof(line), "%s/worker_%s version", b->dir, systems[s].name);
        f = popen(line, "r");
        if (f && fgets(line, sizeof(line), f))
            printf(" %.*s%s", (int)strcspn(line, "\n"), line, s == GLIBC ? "\n" : ",");
        if (f)
            pclose(f);
    }
    printf("loop: x = x * 1103515245 + 12345; x %% 10 < 7 and fewer than 200 live: allocate x %% 512, else free one;\n"
           "      50 MiB; %llu operations per thread (boost 1/50; 8 threads 1/4), %u repetitions, interleaved.\n"
           "      ns/op = wall time / operations of all threads. The published loop read the clock in each iteration\n"
           "      and freed every fifth block twice; this one does neither.\n\n",
           (unsigned long long)b->ops, b->reps);
}

static const char *verdict(const struct ratio *r, double median)
{
    if (r->at_most > 0)
        return median <= r->at_most ? "met" : "MISSED";
    if (r->at_least > 0)
        return median >= r->at_least ? "met" : "MISSED";
    return "";
}

static void print_ratios(const struct bench *b)
{
    printf("%-30s %8s %8s %8s   %s\n", "ratio", "median", "min", "max", "target");
    for (size_t i = 0; i < sizeof(ratios) / sizeof(*ratios); i++) {
        const struct ratio *q = &ratios[i];
        double v[MAX_REPS];
        struct spread s;
        char target[32] = "";

        for (unsigned r = 0; r < b->reps; r++)
            v[r] = b->ns[q->over_sys][q->over_cfg][r] / b->ns[q->under_sys][q->under_cfg][r];
        s = spread_of(v, b->reps);
        if (q->at_most > 0)
            snprintf(target, sizeof(target), "<= %.4g ", q->at_most);
        else if (q->at_least > 0)
            snprintf(target, sizeof(target), ">= %.4g ", q->at_least);
        printf("%-30s %8.2f %8.2f %8.2f   %s%s\n", q->text, s.median, s.min, s.max, target, verdict(q, s.median));
    }
}

static void print_times(const struct bench *b)
{
    printf("\n%-12s %-10s %10s %8s %8s %8s %10s\n", "", "system", "ns/op", "min", "max", "cpu ns", "instr/op");
    for (int c = 0; c < CONFIGS; c++) {
        for (int s = 0; s < SYSTEMS; s++) {
            struct spread ns, cpu;

            if (!takes_part(s, c))
                continue;
            ns = spread_of(b->ns[s][c], b->reps);
            cpu = spread_of(b->cpu[s][c], b->reps);
            printf("%-12s %-10s %10.2f %8.2f %8.2f %8.2f", configs[c].text, systems[s].name, ns.median, ns.min, ns.max,
                   cpu.median);
            if (c == T1)
                printf(" %10.1f", b->instr[s]);
            putchar('\n');
        }
    }
    if (spread_of(b->ns[AMX][T1], b->reps).median > 1.2 * spread_of(b->cpu[AMX][T1], b->reps).median)
        puts("note: a single thread had to wait for a processor: the machine was busy, only the cpu column holds");
    printf(
        "verified: every byte of every block, 8 threads, and 2 processes where shared; %llu operations each: right.\n",
        (unsigned long long)(b->ops / 80));
}

static int write_json(const struct bench *b, const char *path)
{
    const char *comma = "";
    FILE *f = fopen(path, "w");

    if (!f) {
        perror(path);
        return -1;
    }
    fputs("[", f);
    for (int c = 0; c < CONFIGS; c++) {
        for (int s = 0; s < SYSTEMS; s++) {
            struct spread ns;

            if (!takes_part(s, c))
                continue;
            ns = spread_of(b->ns[s][c], b->reps);
            fprintf(f,
                    "%s\n{\"workload\": \"seed_loop\", \"threads\": %u, \"processes\": %u, \"system\": \"%s\", "
                    "\"mode\": \"%s\", \"unit\": \"ns/op\", \"median\": %.3f, \"min\": %.3f, \"max\": %.3f, "
                    "\"instructions\": ",
                    comma, configs[c].threads * configs[c].procs, configs[c].procs, systems[s].name,
                    configs[c].procs > 1 ? "processes" : "threads", ns.median, ns.min, ns.max);
            if (c == T1)
                fprintf(f, "%.1f}", b->instr[s]);
            else
                fputs("null}", f);
            comma = ",";
        }
    }
    fputs("\n]\n", f);
    return fclose(f);
}

int main(int argc, char **argv)
{
    static struct bench b;
    const char *json = getenv("BENCH_JSON");

    b.dir = argc > 1 ? argv[1] : "";
    b.reps = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 7;
    b.ops = argc > 3 ? strtoull(argv[3], NULL, 10) : 20000000;
    if (argc < 2 || b.reps < 1 || b.reps > MAX_REPS || b.ops < 80000) {
        fputs("usage: seed_loop DIR [REPETITIONS 1..99 [OPERATIONS 80000..]]   DIR holds the workers\n", stderr);
        return 2;
    }
    print_machine(&b);
    if (verify_all(&b) || measure_all(&b) || count_all(&b))
        return 1;
    print_ratios(&b);
    print_times(&b);
    return json && write_json(&b, json) ? 1 : 0;
}
