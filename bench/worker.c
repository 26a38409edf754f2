/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process of the seed loop, with the system that is linked in. seed_loop.c starts it and talks with it:
 *
 *   worker -> "ready"                     attached, threads are warm and wait
 *   worker <- "go"                        all processes are ready
 *   worker -> "result T0 T1 CPU FAILED"   nanoseconds of the monotonic clock; CPU: sum over the threads
 *   worker <- "end"                       all processes have left the segment; the creator looks at what is left
 *   worker -> "whole"
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "system.h"

#define WARM_OPS    100000u
#define MAX_THREADS 64u
#define MAX_SECONDS 300u

struct mark { /* of a block in the verified run */
    uint64_t stamp;
    size_t n;
};

struct thread {
    pthread_t id;
    pthread_barrier_t *barrier;
    void *ctx;
    uint64_t ops;
    int verify;
    uint64_t t0, t1, cpu;
    struct seed s;
    uint64_t stamps;             /* made so far */
    struct mark mark[SEED_LIVE]; /* beside s.token */
};

static uint64_t now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint8_t stamp_byte(uint64_t stamp, size_t i)
{
    return (uint8_t)((stamp * 0x9e3779b97f4a7c15u) >> (i % 8 * 8)) ^ (uint8_t)(i / 8);
}

static uint64_t alloc_stamped(struct thread *t, size_t n, struct mark *m)
{
    uint64_t token = bench_system.alloc(t->ctx, n);
    uint8_t *p = token ? bench_system.ptr(t->ctx, token) : NULL;

    if (!p)
        return 0;
    m->stamp = ((uint64_t)getpid() << 40) + ((uint64_t)(t->s.x & 0xff) << 32) + ++t->stamps;
    m->n = n;
    for (size_t i = 0; i < n; i++)
        p[i] = stamp_byte(m->stamp, i);
    return token;
}

static int free_stamped(struct thread *t, uint64_t token, const struct mark *m)
{
    const uint8_t *p = bench_system.ptr(t->ctx, token);
    int bad = !p;

    for (size_t i = 0; p && i < m->n; i++)
        bad |= p[i] != stamp_byte(m->stamp, i);
    return bench_system.free(t->ctx, token) != 0 || bad;
}

/* seed_run once more, with every byte of every block written when it is allocated and read before it is freed. */
static void run_verified(struct thread *t, uint64_t ops)
{
    struct seed *s = &t->s;

    for (uint64_t i = 0; i < ops; i++) {
        s->x = s->x * 1103515245u + 12345u;
        if (s->x % 10 < 7 && s->live < SEED_LIVE) {
            s->token[s->live] = alloc_stamped(t, s->x % 512, &t->mark[s->live]);
            if (s->token[s->live])
                s->live++;
            else
                s->failed++;
        } else if (s->live) {
            uint32_t k = s->x % s->live;
            uint64_t token = s->token[k];
            struct mark m = t->mark[k];

            s->live--;
            s->token[k] = s->token[s->live];
            t->mark[k] = t->mark[s->live];
            s->failed += free_stamped(t, token, &m) != 0;
        }
    }
}

static void run_ops(struct thread *t, uint64_t ops)
{
    if (t->verify)
        run_verified(t, ops);
    else
        bench_system.run(t->ctx, &t->s, ops);
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    uint64_t cpu;

    run_ops(t, WARM_OPS);
    pthread_barrier_wait(t->barrier); /* all are warm */
    pthread_barrier_wait(t->barrier); /* go */
    cpu = now(CLOCK_THREAD_CPUTIME_ID);
    t->t0 = now(CLOCK_MONOTONIC);
    run_ops(t, t->ops);
    t->t1 = now(CLOCK_MONOTONIC);
    t->cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
    return NULL;
}

static void expect(const char *word)
{
    char line[32];

    if (!fgets(line, sizeof(line), stdin) || strncmp(line, word, strlen(word)) != 0)
        exit(3); /* the driver has gone, and says why itself */
}

static int start_all(struct thread *threads, unsigned count, unsigned first, uint64_t ops, int verify, void *seg,
                     pthread_barrier_t *barrier)
{
    pthread_barrier_init(barrier, NULL, count + 1);
    for (unsigned i = 0; i < count; i++) {
        struct thread *t = &threads[i];

        t->s.x = first + i + 1;
        t->ops = ops;
        t->verify = verify;
        t->barrier = barrier;
        if (bench_system.enter(seg, &t->ctx) || pthread_create(&t->id, NULL, thread_main, t))
            return -1;
    }
    return 0;
}

/* Sums up what the threads measured, then frees what they still hold. */
static int finish_all(struct thread *threads, unsigned count, void *seg)
{
    uint64_t t0 = UINT64_MAX, t1 = 0, cpu = 0, failed = 0;
    int err = 0;

    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i].id, NULL);
    for (unsigned i = 0; i < count; i++) {
        struct thread *t = &threads[i];

        t0 = t->t0 < t0 ? t->t0 : t0;
        t1 = t->t1 > t1 ? t->t1 : t1;
        cpu += t->cpu;
        while (t->s.live > 0) {
            t->s.live--;
            failed += t->verify ? free_stamped(t, t->s.token[t->s.live], &t->mark[t->s.live]) != 0
                                : bench_system.free(t->ctx, t->s.token[t->s.live]) != 0;
        }
        failed += t->s.failed;
        err |= bench_system.leave(seg, t->ctx);
    }
    printf("result %llu %llu %llu %llu\n", (unsigned long long)t0, (unsigned long long)t1, (unsigned long long)cpu,
           (unsigned long long)failed);
    return err;
}

int main(int argc, char **argv)
{
    unsigned count, first;
    struct thread *threads;
    pthread_barrier_t barrier;
    char version[64];
    void *seg = NULL;
    int create;

    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        bench_system.version(version, sizeof(version));
        puts(version);
        return 0;
    }
    if (argc != 7) {
        fputs("usage: worker SEGMENT create|attach THREADS FIRST OPS timed|verified   (started by seed_loop)\n",
              stderr);
        return 2;
    }
    alarm(MAX_SECONDS); /* a run that hangs is a failed run */
    setvbuf(stdout, NULL, _IOLBF, 0);
    create = strcmp(argv[2], "create") == 0;
    count = (unsigned)strtoul(argv[3], NULL, 10);
    first = (unsigned)strtoul(argv[4], NULL, 10);
    threads = count >= 1 && count <= MAX_THREADS ? calloc(count, sizeof(*threads)) : NULL;
    if (!threads || bench_system.open(argv[1], create, &seg))
        return 1;
    if (start_all(threads, count, first, strtoull(argv[5], NULL, 10), strcmp(argv[6], "verified") == 0, seg, &barrier))
        return 1;
    pthread_barrier_wait(&barrier);
    puts("ready");
    expect("go");
    if (create)
        bench_system.unlink(argv[1]);
    pthread_barrier_wait(&barrier);
    if (finish_all(threads, count, seg))
        return 1;
    expect("end");
    if (create && bench_system.check(seg))
        return 1;
    bench_system.close(seg);
    free(threads);
    puts("whole");
    return 0;
}
