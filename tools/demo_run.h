/* SPDX-License-Identifier: Apache-2.0 */
/* The demo as its parent runs it: a segment, processes, an eye on both. */
#ifndef AMX_DEMO_RUN_H
#define AMX_DEMO_RUN_H

#include <sys/types.h>

#include "demo.h"

/** What a counter had in hand. */
struct demo_hand {
    uint64_t texts, text_bytes;
    uint64_t tables;              /* committed: they count */
    uint64_t others, other_bytes; /* a table that was not full, and what is cached */
    bool partial;                 /* there may be more, in a sector that did not hold still */
};

/** What the parent does to the counters, step by step, and what came of it. */
enum demo_harm_step { DEMO_TO_KILL, DEMO_KILLED, DEMO_TO_STOP, DEMO_STOPPED, DEMO_UNHARMED };
struct demo_harm {
    bool kill, stop; /* set by the caller: shall it? */
    enum demo_harm_step step;
    uint32_t turn; /* whose it is to be caught */
    uint64_t gate;
    uint32_t killed, stopped; /* seats; 0: nobody */
    pid_t killed_pid, stopped_pid;
    struct demo_hand hand; /* of the killed one */
    uint64_t meanwhile;    /* bytes that the others counted while one was stopped */
    int64_t stopped_ns;    /* how long it was */
};

struct demo_run {
    /* set by the caller */
    uint64_t size;
    uint32_t workers;
    uint32_t deadline; /* seconds without any progress after which the demo gives up */
    const char *dir;
    struct demo_input input;
    struct demo_harm harm;
    /* the segment */
    amx_t *h;
    struct amx_segment_info info;
    struct demo_hub *hub;
    amx_ref hub_ref;
    /* the processes, by seat */
    pid_t pid[DEMO_SEATS(DEMO_WORKERS_MAX)]; /* 0: not there (any more) */
    bool stopped[DEMO_SEATS(DEMO_WORKERS_MAX)];
    int64_t gone[DEMO_SEATS(DEMO_WORKERS_MAX)]; /* when its end was seen; 0: nobody to replace */
    uint64_t base[DEMO_SEATS(DEMO_WORKERS_MAX)];
    int list_fd, result_fd;
    /* what came of it */
    struct demo_picture picture;
    double seconds;
    uint64_t blocks, bytes, tables, passed, short_of, redone, redone_bytes, resent;
    uint32_t replaced;  /* counters that were killed */
    int64_t recover_ns; /* after the first of these ends */
    char fault[400];    /* empty: none */
};

/** Creates the segment and what the processes need in it. 0 or an exit code, after a message. */
int demo_run_begin(struct demo_run *r);

/** Runs the processes to their end. What went wrong, if anything, is in r->fault then. */
void demo_run_work(struct demo_run *r);

/** Begins, and takes the next step when its time has come. */
void demo_harm_begin(struct demo_run *r);
void demo_harm_look(struct demo_run *r, int64_t now);

/** Frees hub and boxes and checks that the segment is as it was: r->fault says if not. */
void demo_run_check(struct demo_run *r, struct amx_check_result *check, struct amx_stats *stat);

/** Removes the segment. */
void demo_run_end(struct demo_run *r);

/** "reader", "merger", "counter 3". */
enum { DEMO_NAME = 24 };
const char *demo_seat_name(uint32_t seat, char buf[DEMO_NAME]);

#endif
