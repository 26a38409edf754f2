/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the driver share: what is measured, with what, and the results. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "board.h"

#define MAX_REPS  99u
#define MAX_PROCS 8u

enum { AMX, GLIBC, MIMALLOC, JEMALLOC, TCMALLOC, BOOST, BOOST_SEQ, TLSF, TREIBER, POOL, RING, RWLOCK, LOOP, SYSTEMS };
enum { P50, P99, P99_9, P99_99, POINTS };

struct bench_system_row {
    const char *name;
    bool shared;
    bool slots;                 /* of one size: in the workload of that name only */
    unsigned slower[WORKLOADS]; /* gets 1 / slower of the operations, to take about as long as the others */
};
extern const struct bench_system_row systems[SYSTEMS];

struct config {
    enum workload workload;
    unsigned threads, procs; /* threads of each process */
};
#define CONFIGS 48
extern const struct config configs[CONFIGS];
extern const char *const workload_name[WORKLOADS];
extern const char *const point_name[POINTS];
int config_of(enum workload w, unsigned threads, unsigned procs);
const char *config_text(int cfg, char buf[64]); /* "seed-loop, 2 threads" */

/* Results of one system in one configuration. */
struct cell {
    unsigned reps, latency_reps;        /* that there are */
    double ns[MAX_REPS], cpu[MAX_REPS]; /* per operation: wall time, and time on a processor */
    double point[POINTS][MAX_REPS];     /* ns per call */
    double filled;                      /* fill-heal: share of the segment */
    double verified;                    /* ns per operation; 0: not run */
    double instr;                       /* per operation; 0: not counted */
    char failed[MODES][96];             /* "": no */
};

struct bench {
    const char *dir; /* of the workers */
    unsigned reps, limit;
    uint64_t ops;
    bool count;
    bool use_workload[WORKLOADS], use_system[SYSTEMS];
    struct cell cell[SYSTEMS][CONFIGS];
    struct board *board;
    int board_fd;
    unsigned run; /* number of the run: names its segment */
};

bool takes_part(const struct bench *b, int sys, int cfg);

struct spread {
    double median, min, max;
};
struct spread spread_of(const double *values, unsigned n);

/* run.c: one run in fresh processes; its results are on the board. 0, or -1 and a reason. log: run under callgrind,
 * which writes to this file. */
struct outcome {
    double ns, cpu; /* per operation */
    char why[96];
};
int bench_run_once(struct bench *b, int sys, int cfg, uint64_t ops, enum mode mode, const char *log,
                   struct outcome *out);

/* What the system says of itself, a line. */
void bench_version(const struct bench *b, int sys, char *buf, int len);

/* report.c, plot.c */
void report_print(const struct bench *b);
int report_json(const struct bench *b, const char *path);
int plot_svg(const struct bench *b, const char *path);

#endif
