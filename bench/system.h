/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an allocator must offer to run the workloads. One adapter source per system, one program per adapter, so that
 * no system's replacement of malloc reaches another one's run.
 */
#ifndef BENCH_SYSTEM_H
#define BENCH_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

#include "board.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LIVE_MAX 100000u /* blocks that a thread may hold: more than fill-heal finds room for */

/* What one thread has. A token is whatever names a block: a reference, or an address; 0 is none. */
struct bench_thread {
    void *ctx;       /* the adapter's */
    unsigned index;  /* among the threads of all processes */
    uint32_t x;      /* the seed loop's generator; thread t begins with t + 1 */
    uint64_t random; /* the other workloads' */
    uint64_t budget; /* fill-heal: bytes to stop at; 0: when the segment is full */
    uint32_t live;
    uint64_t *token;
    uint64_t *mark;  /* of the verified run, beside token */
    uint64_t stamps; /* made so far */
    struct ring *ring;
    struct board_thread *out;
};

typedef void bench_run(struct bench_thread *t, uint64_t ops);

/* An adapter. Calls return 0, or not 0 after a line on stderr. `seg` and `ctx` are the adapter's own. */
struct bench_system {
    int shared; /* several processes can use one segment */
    int (*open)(const char *name, int create, void **seg);
    void (*unlink)(const char *name);    /* everybody is attached: leave nothing behind */
    int (*enter)(void *seg, void **ctx); /* one thread's context; any thread may ask for it */
    int (*leave)(void *seg, void *ctx);  /* after its last call */
    int (*check)(void *seg);             /* all is freed, all have left: is the segment whole? */
    void (*close)(void *seg);
    void (*version)(char *buf, size_t len);
    bench_run *run[WORKLOADS][MODES]; /* BENCH_RUNS */
    bench_run *drain[MODES];          /* BENCH_DRAINS: frees what a run has left */
};

extern const struct bench_system bench_system; /* the one that is linked in */

#ifdef __cplusplus
}
#endif
#endif
