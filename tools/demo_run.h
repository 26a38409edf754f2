/* SPDX-License-Identifier: Apache-2.0 */
/* The demo as its parent runs it: a segment, processes, an eye on both. */
#ifndef AMX_DEMO_RUN_H
#define AMX_DEMO_RUN_H

#include <sys/types.h>

#include "demo.h"

struct demo_run {
    /* set by the caller */
    uint64_t size;
    uint32_t workers;
    uint32_t deadline; /* seconds without any progress after which the demo gives up */
    const char *dir;
    struct demo_input input;
    /* the segment */
    amx_t *h;
    struct amx_segment_info info;
    struct demo_hub *hub;
    amx_ref hub_ref;
    /* the processes, by seat */
    pid_t pid[DEMO_SEATS(DEMO_WORKERS_MAX)]; /* 0: not there (any more) */
    bool stopped[DEMO_SEATS(DEMO_WORKERS_MAX)];
    uint64_t base[DEMO_SEATS(DEMO_WORKERS_MAX)];
    int list_fd, result_fd;
    /* what came of it */
    struct demo_picture picture;
    double seconds;
    uint64_t blocks, bytes, tables, passed, short_of;
    char fault[400]; /* empty: none */
};

/** Creates the segment and what the processes need in it. 0 or an exit code, after a message. */
int demo_run_begin(struct demo_run *r);

/** Runs the processes to their end. What went wrong, if anything, is in r->fault then. */
void demo_run_work(struct demo_run *r);

/** Frees hub and boxes and checks that the segment is as it was: r->fault says if not. */
void demo_run_check(struct demo_run *r, struct amx_check_result *check, struct amx_stats *stat);

/** Removes the segment. */
void demo_run_end(struct demo_run *r);

/** "reader", "merger", "counter 3". */
enum { DEMO_NAME = 24 };
const char *demo_seat_name(uint32_t seat, char buf[DEMO_NAME]);

#endif
