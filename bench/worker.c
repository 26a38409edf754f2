/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process of a run, with the system that is linked in. The driver starts it and talks with it; the results are
 * left on the board, behind descriptor BOARD_FD:
 *
 *   worker -> "open"      the segment is there: others may attach
 *   worker -> "ready"     attached, threads are warm and wait
 *   worker <- "go"        all processes are ready
 *   worker -> "done"      what it held is freed
 *   worker <- "end"       all processes have left the segment; the creator looks at what is left
 *   worker -> "whole"
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "system.h"

#define WARM_OPS       100000u
#define GENERATION_OPS 10000u /* hand-over: operations after which a thread is succeeded */

static struct run {
    const char *segment;
    int create;
    unsigned threads, first;
    uint64_t ops, warm;
    enum workload workload;
    enum mode mode;
    void *seg;
    struct board *board;
    pthread_barrier_t barrier;
} run;

struct thread {
    pthread_t id;
    struct bench_thread b;
    uint64_t ops; /* of the generation */
    int err;
};

static void *generation(void *arg)
{
    struct thread *t = arg;
    uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);

    t->err |= bench_system.enter(run.seg, &t->b.ctx);
    if (!t->err) {
        bench_system.run[run.workload][run.mode](&t->b, t->ops);
        t->err |= bench_system.leave(run.seg, t->b.ctx);
    }
    t->b.out->cpu += clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    return NULL;
}

/* Each generation is a thread of its own, which gets the live set of the one before. */
static void succeed(struct thread *t, uint64_t ops)
{
    void *ctx = t->b.ctx;
    pthread_t id;

    while (ops && !t->err) {
        t->ops = ops < GENERATION_OPS ? ops : GENERATION_OPS;
        t->err |= pthread_create(&id, NULL, generation, t) || pthread_join(id, NULL);
        ops -= t->ops;
    }
    t->b.ctx = ctx;
}

static void work(struct thread *t, uint64_t ops)
{
    if (run.workload == HAND_OVER)
        succeed(t, ops);
    else
        bench_system.run[run.workload][run.mode](&t->b, ops);
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    struct board_thread *out = t->b.out;
    uint64_t cpu, failed;

    work(t, run.warm);
    failed = out->failed;
    memset(out, 0, sizeof(*out));
    out->failed = failed;
    pthread_barrier_wait(&run.barrier); /* all are warm */
    pthread_barrier_wait(&run.barrier); /* go */
    cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    out->t0 = clock_ns(CLOCK_MONOTONIC);
    out->ticks = ticks();
    work(t, run.ops);
    out->ticks = ticks() - out->ticks;
    out->t1 = clock_ns(CLOCK_MONOTONIC);
    out->cpu += clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
    return NULL;
}

static void expect(const char *word)
{
    char line[32];

    if (!fgets(line, sizeof(line), stdin) || strncmp(line, word, strlen(word)) != 0)
        exit(3); /* the driver has gone, and says why itself */
}

static void *room(size_t bytes) /* not from the heap that is measured */
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        perror("worker: mmap");
        exit(1);
    }
    return p;
}

static int start_all(struct thread *threads)
{
    pthread_barrier_init(&run.barrier, NULL, run.threads + 1);
    for (unsigned i = 0; i < run.threads; i++) {
        struct bench_thread *b = &threads[i].b;

        b->index = run.first + i;
        b->x = b->index + 1;
        b->random = b->x * 0x9e3779b97f4a7c15u;
        b->budget = bench_system.shared ? 0 : SEGMENT / 100 * 95;
        b->token = room(LIVE_MAX * sizeof(*b->token));
        b->mark = room(LIVE_MAX * sizeof(*b->mark));
        b->ring = &run.board->ring[b->index / 2];
        b->out = &run.board->thread[b->index];
        if (bench_system.enter(run.seg, &b->ctx) || pthread_create(&threads[i].id, NULL, thread_main, &threads[i]))
            return -1;
    }
    return 0;
}

static int finish_all(struct thread *threads)
{
    int err = 0;

    for (unsigned i = 0; i < run.threads; i++)
        pthread_join(threads[i].id, NULL);
    for (unsigned i = 0; i < run.threads; i++) {
        struct thread *t = &threads[i];

        bench_system.drain[run.mode == VERIFIED ? VERIFIED : TIMED](&t->b, UINT64_MAX);
        err |= t->err | bench_system.leave(run.seg, t->b.ctx);
    }
    return err;
}

static uint64_t warm_ops(void)
{
    uint64_t ops = run.workload == SEED_LOOP ? run.ops : run.ops / 4 + 1;

    if (run.workload == FILL_HEAL)
        return 1; /* a round */
    return ops < WARM_OPS ? ops : WARM_OPS;
}

static int play(void)
{
    struct thread *threads = room(run.threads * sizeof(*threads));

    if (bench_system.open(run.segment, run.create, &run.seg))
        return 1;
    puts("open");
    if (start_all(threads))
        return 1;
    pthread_barrier_wait(&run.barrier);
    puts("ready");
    expect("go");
    if (run.create)
        bench_system.unlink(run.segment);
    pthread_barrier_wait(&run.barrier);
    if (finish_all(threads))
        return 1;
    puts("done");
    expect("end");
    if (run.create && bench_system.check(run.seg))
        return 1;
    bench_system.close(run.seg);
    puts("whole");
    return 0;
}

int main(int argc, char **argv)
{
    char version[96];

    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        bench_system.version(version, sizeof(version));
        puts(version);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "unlink") == 0) {
        bench_system.unlink(argv[2]);
        return 0;
    }
    if (argc != 8) {
        fputs("usage: worker SEGMENT create|attach THREADS FIRST OPS WORKLOAD MODE   (started by the driver)\n",
              stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    run.segment = argv[1];
    run.create = strcmp(argv[2], "create") == 0;
    run.threads = (unsigned)strtoul(argv[3], NULL, 10);
    run.first = (unsigned)strtoul(argv[4], NULL, 10);
    run.ops = strtoull(argv[5], NULL, 10);
    run.workload = (enum workload)strtoul(argv[6], NULL, 10);
    run.warm = warm_ops();
    run.mode = (enum mode)strtoul(argv[7], NULL, 10);
    run.board = mmap(NULL, sizeof(*run.board), PROT_READ | PROT_WRITE, MAP_SHARED, BOARD_FD, 0);
    if (run.board == MAP_FAILED || run.threads < 1 || run.first + run.threads > MAX_THREADS ||
        (unsigned)run.workload >= WORKLOADS || (unsigned)run.mode >= MODES) {
        fputs("worker: no board, or numbers out of range\n", stderr);
        return 2;
    }
    return play();
}
