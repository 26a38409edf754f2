/* SPDX-License-Identifier: Apache-2.0 */
/* What the driver has found, as text (ratios first) and as JSON. */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

struct spread spread_of(const double *values, unsigned n)
{
    double v[MAX_REPS] = {0};

    memcpy(v, values, n * sizeof(*v));
    qsort(v, n, sizeof(*v), by_value);
    return (struct spread){n % 2 || n == 0 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2, v[0], v[n ? n - 1 : 0]};
}

/* Each ratio within a repetition, of wall or processor time. False if either has failed. */
static bool ratio_of(const struct bench *b, const struct cell *over, const struct cell *under, bool cpu,
                     struct spread *out)
{
    double v[MAX_REPS];

    if (over->reps != b->reps || under->reps != b->reps)
        return false;
    for (unsigned r = 0; r < b->reps; r++)
        v[r] = cpu ? over->cpu[r] / under->cpu[r] : over->ns[r] / under->ns[r];
    *out = spread_of(v, b->reps);
    return true;
}

/* Three digits that count. */
static const char *digits(char buf[16], double v)
{
    snprintf(buf, 16, "%.*f", v >= 100 ? 0 : v >= 10 ? 1 : v >= 0.1 ? 2 : v >= 0.01 ? 3 : 4, v);
    return buf;
}

/* --- The machine ---------------------------------------------------------------------------------------------------- */

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
    printf("machine: %s, %ld processors, %s %s, load %.2f at the end\n", model, sysconf(_SC_NPROCESSORS_ONLN),
           u.sysname, u.release, load);
    for (int s = 0; s < LOOP; s++) {
        if (!b->use_system[s])
            continue;
        bench_version(b, s, line, sizeof(line));
        printf("  %-13s %s\n", systems[s].name, line);
    }
    printf("%llu operations (other workloads and slower systems fewer), %u repetitions, interleaved, fresh processes.\n"
           "ns/op = wall time / operations of all threads. An operation is an iteration of seed-loop, elsewhere a\n"
           "block's allocation and free; of messages one that is borrowed, looked at (in read-change each 16th: "
           "changed) and\n"
           "given back, or one's whole life: stored, borrowed, given back, freed. Segments are %u MiB; private heaps "
           "get a budget of 95 %% of it in fill-heal.\n\n",
           (unsigned long long)b->ops, b->reps, SEGMENT >> 20);
}

/* --- Ratios --------------------------------------------------------------------------------------------------------- */

static const struct target {
    const char *text;
    int over_sys, under_sys;
    unsigned threads, procs, under_threads, under_procs;
    double at_most, at_least; /* of the median; 0: none */
} targets[] = {
    {"amx / mimalloc, 1 thread", AMX, MIMALLOC, 1, 1, 1, 1, 1.5, 0},
    {"amx / mimalloc, 2 threads", AMX, MIMALLOC, 2, 1, 2, 1, 1.5, 0},
    {"amx / mimalloc, 8 threads", AMX, MIMALLOC, 8, 1, 8, 1, 1.5, 0},
    {"boost-rbtree / amx, 2 threads", BOOST, AMX, 2, 1, 2, 1, 0, 40},
    {"amx: 2 processes / 2 threads", AMX, AMX, 1, 2, 2, 1, 1.2, 0},
};

static void print_targets(const struct bench *b)
{
    printf("%-30s %8s %8s %8s   %s\n", "seed-loop, targets", "median", "min", "max", "target");
    for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
        const struct target *t = &targets[i];
        struct spread s;

        if (!ratio_of(b, &b->cell[t->over_sys][config_of(SEED_LOOP, t->threads, t->procs)],
                      &b->cell[t->under_sys][config_of(SEED_LOOP, t->under_threads, t->under_procs)], false, &s))
            continue;
        printf("%-30s %8.2f %8.2f %8.2f   %s %.4g %s\n", t->text, s.median, s.min, s.max,
               t->at_most > 0 ? "<=" : ">=", t->at_most > 0 ? t->at_most : t->at_least,
               (t->at_most > 0 ? s.median <= t->at_most : s.median >= t->at_least) ? "met" : "MISSED");
    }
}

/* The one of ours that a workload is about. */
static int ours(enum workload w)
{
    return w == SLOTS ? POOL : AMX;
}

/* A column of the ratios to `base`. */
static bool is_peer(const struct bench *b, int sys, int base)
{
    return b->use_system[sys] && sys != base &&
           (base == POOL ? sys == AMX || sys == TREIBER || sys == RING : !systems[sys].slots);
}

static void print_ratio_row(const struct bench *b, int cfg, bool cpu)
{
    int base = ours(configs[cfg].workload);
    char text[64], low[16], high[16], range[40], ranges[SYSTEMS * 16 + 64];
    int used = snprintf(ranges, sizeof(ranges), "%-30s", "");

    printf("%-30s", config_text(cfg, text));
    for (int s = AMX; s < LOOP; s++) {
        struct spread r;

        if (!is_peer(b, s, base))
            continue;
        *range = 0;
        if (!takes_part(b, s, cfg)) {
            printf(" %14s", "");
        } else if (ratio_of(b, &b->cell[base][cfg], &b->cell[s][cfg], cpu, &r)) {
            printf(" %14s", digits(low, r.median));
            snprintf(range, sizeof(range), "%s-%s", digits(low, r.min), digits(high, r.max));
        } else {
            printf(" %14s", "FAILED");
        }
        used += snprintf(ranges + used, sizeof(ranges) - (size_t)used, " %14s", range);
    }
    printf("\n%s\n", ranges);
}

static void print_ratios_of(const struct bench *b, int base, bool cpu)
{
    const char *name = systems[base].name;

    printf("\nRatios: %s / peer, %s time per operation; below 1 %s is faster. Median of the repetitions, below it "
           "min-max.\n%-30s",
           name, cpu ? "processor" : "wall", name, "");
    for (int s = AMX; s < LOOP; s++)
        if (is_peer(b, s, base))
            printf(" %14s", systems[s].name);
    putchar('\n');
    for (int c = 0; c < CONFIGS; c++)
        if (b->use_workload[configs[c].workload] && ours(configs[c].workload) == base)
            print_ratio_row(b, c, cpu);
}

static void print_ratios(const struct bench *b, bool cpu)
{
    bool blocks = false;

    for (int w = 0; w < WORKLOADS; w++)
        blocks |= b->use_workload[w] && ours((enum workload)w) == AMX;
    if (b->use_system[AMX] && blocks)
        print_ratios_of(b, AMX, cpu);
    if (b->use_system[POOL] && b->use_workload[SLOTS])
        print_ratios_of(b, POOL, cpu);
}

/* --- Times ---------------------------------------------------------------------------------------------------------- */

static void print_row(const struct bench *b, int sys, int cfg)
{
    const struct cell *cell = &b->cell[sys][cfg];
    struct spread ns = spread_of(cell->ns, cell->reps), cpu = spread_of(cell->cpu, cell->reps);
    const char *why = *cell->failed[TIMED] ? cell->failed[TIMED] : cell->failed[LATENCY];

    printf("  %-13s", systems[sys].name);
    if (*cell->failed[TIMED]) {
        printf(" FAILED: %s\n", why);
        return;
    }
    printf(" %9.1f %9.1f %9.1f %9.1f", ns.median, ns.min, ns.max, cpu.median);
    for (int p = 0; p < POINTS; p++) {
        if (cell->latency_reps)
            printf(" %8.0f", spread_of(cell->point[p], cell->latency_reps).median);
        else
            printf(" %8s", "-");
    }
    if (cell->instr > 0)
        printf(" %8.1f", cell->instr);
    else
        printf(" %8s", "-");
    if (configs[cfg].workload == FILL_HEAL)
        printf(" %6.3f", cell->filled);
    if (*cell->failed[VERIFIED])
        printf("  FAILED, verified: %s", cell->failed[VERIFIED]);
    if (*cell->failed[LATENCY])
        printf("  FAILED, latencies: %s", why);
    putchar('\n');
}

static void print_times(const struct bench *b)
{
    char text[64];

    printf(
        "\nTimes in ns: per operation, wall (median, min, max) and processor; per call from a pass of its own, with "
        "the\n"
        "cost of reading the clock, which the loop shows; instructions per operation; fill-heal: payload handed out\n"
        "as a share of the segment. Each but the loop was also run with every byte of every block stamped and "
        "checked.\n");
    for (int c = 0; c < CONFIGS; c++) {
        if (!b->use_workload[configs[c].workload])
            continue;
        printf("\n%-15s %9s %9s %9s %9s %8s %8s %8s %8s %8s%s\n", config_text(c, text), "ns/op", "min", "max", "cpu",
               point_name[P50], point_name[P99], point_name[P99_9], point_name[P99_99], "instr",
               configs[c].workload == FILL_HEAL ? " filled" : "");
        for (int s = 0; s < SYSTEMS; s++)
            if (takes_part(b, s, c))
                print_row(b, s, c);
    }
}

/* A single thread that had to wait for a processor, in any workload. */
static bool was_busy(const struct bench *b)
{
    for (int c = 0; c < CONFIGS; c++) {
        const struct cell *one = &b->cell[ours(configs[c].workload)][c];

        if (configs[c].threads == 1 && configs[c].procs == 1 && one->reps &&
            spread_of(one->ns, one->reps).median > 1.2 * spread_of(one->cpu, one->reps).median)
            return true;
    }
    return false;
}

void report_print(const struct bench *b)
{
    print_machine(b);
    if (b->use_workload[SEED_LOOP])
        print_targets(b);
    print_ratios(b, false);
    if (was_busy(b)) {
        puts("\nNOTE: single threads had to wait for a processor: the machine was busy with something else, and only\n"
             "processor times hold. Those of waiting threads contain their waiting.");
        print_ratios(b, true);
    }
    print_times(b);
}

/* --- JSON ----------------------------------------------------------------------------------------------------------- */

struct json {
    FILE *f;
    const char *comma;
};

static void record(struct json *j, int sys, int cfg, const char *mode, const char *unit, const double *values,
                   unsigned n, double instr)
{
    const struct config *c = &configs[cfg];
    struct spread s = spread_of(values, n);

    fprintf(j->f,
            "%s\n{\"workload\": \"%s\", \"threads\": %u, \"processes\": %u, \"system\": \"%s\", \"mode\": \"%s\", "
            "\"unit\": \"%s\", ",
            j->comma, workload_name[c->workload], c->threads * c->procs, c->procs, systems[sys].name, mode, unit);
    if (n)
        fprintf(j->f, "\"median\": %.4f, \"min\": %.4f, \"max\": %.4f, ", s.median, s.min, s.max);
    else
        fputs("\"median\": null, \"min\": null, \"max\": null, ", j->f);
    if (instr > 0)
        fprintf(j->f, "\"instructions\": %.1f}", instr);
    else
        fputs("\"instructions\": null}", j->f);
    j->comma = ",";
}

int report_json(const struct bench *b, const char *path)
{
    struct json j = {fopen(path, "w"), ""};

    if (!j.f) {
        perror(path);
        return -1;
    }
    fputs("[", j.f);
    for (int c = 0; c < CONFIGS; c++) {
        for (int s = 0; s < SYSTEMS; s++) {
            const struct cell *cell = &b->cell[s][c];

            if (!takes_part(b, s, c))
                continue;
            record(&j, s, c, configs[c].procs > 1 ? "processes" : "threads", "ns/op", cell->ns,
                   *cell->failed[TIMED] ? 0 : cell->reps, cell->instr);
            for (int p = 0; p < POINTS; p++)
                record(&j, s, c, point_name[p], "ns/op", cell->point[p],
                       *cell->failed[LATENCY] ? 0 : cell->latency_reps, 0);
            if (s != LOOP)
                record(&j, s, c, "verified", "ns/op", &cell->verified, cell->verified > 0, 0);
            if (configs[c].workload == FILL_HEAL)
                record(&j, s, c, "filled", "share", &cell->filled, cell->filled > 0, 0);
        }
    }
    fputs("\n]\n", j.f);
    return fclose(j.f);
}
