/* SPDX-License-Identifier: Apache-2.0 */
/* One run: starts its workers, lets them go at once, gathers what they leave on the board. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define SLOWER_COUNTED 10u /* callgrind: the time limit is so many times as long */

struct worker {
    pid_t pid;
    FILE *to, *from;
    int status;
};

struct arguments {
    char path[512], name[64], threads[16], first[16], ops[32], workload[16], mode[16], errors[512];
    bool counted;   /* by callgrind */
    unsigned limit; /* seconds */
};

static int start_worker(const struct bench *b, struct worker *w, char *const argv[], const char *errors, unsigned limit)
{
    int in[2], out[2];

    if (pipe(in) || pipe(out))
        return -1;
    fflush(stdout);
    w->pid = fork();
    if (w->pid == 0) {
        int err = open(errors, O_WRONLY | O_CREAT | O_APPEND, 0644);

        /* Both outlive exec: a run that hangs is a failed run, and none goes on without the driver. */
        alarm(limit);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        dup2(b->board_fd, BOARD_FD);
        /* A worker must not hold the other's pipe: then it would not see that the driver is gone. */
        for (int fd = BOARD_FD + 1; fd < 64; fd++)
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

static int hear(struct worker *w, const char *word)
{
    char line[64];

    return fgets(line, sizeof(line), w->from) && strncmp(line, word, strlen(word)) == 0 ? 0 : -1;
}

static void tell(struct worker *w, const char *word)
{
    fprintf(w->to, "%s\n", word);
    fflush(w->to);
}

/* The first one makes the segment, then the others attach, then all go at once. */
static int talk(const struct bench *b, struct worker *w, const struct config *c, struct arguments *a)
{
    for (unsigned i = 0; i < c->procs; i++) {
        char *argv[] = {"valgrind",
                        "--tool=callgrind",
                        "--callgrind-out-file=/dev/null",
                        a->path,
                        a->name,
                        i ? "attach" : "create",
                        a->threads,
                        a->first,
                        a->ops,
                        a->workload,
                        a->mode,
                        NULL};

        snprintf(a->first, sizeof(a->first), "%u", i * c->threads);
        if (start_worker(b, &w[i], a->counted ? argv : argv + 3, a->errors, a->limit) || hear(&w[i], "open"))
            return -1;
    }
    for (unsigned i = 0; i < c->procs; i++)
        if (hear(&w[i], "ready"))
            return -1;
    for (unsigned i = 0; i < c->procs; i++)
        tell(&w[i], "go");
    for (unsigned i = 0; i < c->procs; i++)
        if (hear(&w[i], "done"))
            return -1;
    for (unsigned i = c->procs; i-- > 0;) { /* the creator last: it looks when the others have left */
        tell(&w[i], "end");
        if (hear(&w[i], "whole"))
            return -1;
    }
    return 0;
}

/* Ends all workers. A failed one may leave others waiting for it: they are killed. One that has ended by itself keeps
 * its own status. */
static int reap(struct worker *w, unsigned procs, int err)
{
    for (unsigned i = 0; i < procs; i++) {
        if (w[i].to)
            fclose(w[i].to);
        if (w[i].from)
            fclose(w[i].from);
        if (w[i].pid > 0 && err)
            kill(w[i].pid, SIGKILL);
        if (w[i].pid > 0 && (waitpid(w[i].pid, &w[i].status, 0) < 0 || w[i].status != 0))
            err = -1;
    }
    return err;
}

/* Why a run has failed: a worker's crash, or what it said, or that the time was over. */
static void explain(const struct worker *w, unsigned procs, const struct arguments *a, struct outcome *out)
{
    FILE *f = fopen(a->errors, "r");
    char line[sizeof(out->why)] = "";
    bool late = false;

    if (f && fgets(line, sizeof(line), f))
        line[strcspn(line, "\n")] = 0;
    if (f)
        fclose(f);
    snprintf(out->why, sizeof(out->why), "%s", *line ? line : "a worker ended early");
    for (unsigned i = 0; i < procs; i++) {
        int by = WIFSIGNALED(w[i].status) ? WTERMSIG(w[i].status) : 0;

        late |= by == SIGALRM;
        if (by && by != SIGALRM && by != SIGKILL) {
            snprintf(out->why, sizeof(out->why), "%s", strsignal(by));
            return;
        }
    }
    if (late && !*line)
        snprintf(out->why, sizeof(out->why), "not done after %u s", a->limit);
}

static int gather(const struct bench *b, unsigned threads, struct outcome *out)
{
    uint64_t t0 = UINT64_MAX, t1 = 0, cpu = 0, done = 0, failed = 0;

    for (unsigned i = 0; i < threads; i++) {
        const struct board_thread *t = &b->board->thread[i];

        t0 = t->t0 < t0 ? t->t0 : t0;
        t1 = t->t1 > t1 ? t->t1 : t1;
        cpu += t->cpu;
        done += t->done;
        failed += t->failed;
    }
    out->ns = done ? (double)(t1 - t0) / (double)done : 0;
    out->cpu = done ? (double)cpu / (double)done : 0;
    if (!failed && done)
        return 0;
    snprintf(out->why, sizeof(out->why), "%llu calls failed or found a payload changed", (unsigned long long)failed);
    return -1;
}

int bench_run_once(struct bench *b, int sys, int cfg, uint64_t ops, enum mode mode, const char *log,
                   struct outcome *out)
{
    const struct config *c = &configs[cfg];
    struct worker w[MAX_PROCS] = {{0}};
    struct arguments a;
    int err;

    snprintf(a.path, sizeof(a.path), "%s/worker_%s", b->dir, systems[sys].name);
    snprintf(a.name, sizeof(a.name), "bench-%d-%u", (int)getpid(), b->run++);
    snprintf(a.threads, sizeof(a.threads), "%u", c->threads);
    snprintf(a.ops, sizeof(a.ops), "%llu", (unsigned long long)ops);
    snprintf(a.workload, sizeof(a.workload), "%d", (int)c->workload);
    snprintf(a.mode, sizeof(a.mode), "%d", (int)mode);
    snprintf(a.errors, sizeof(a.errors), "%s/worker.err", b->dir);
    a.counted = log;
    a.limit = log ? b->limit * SLOWER_COUNTED : b->limit;
    if (log)
        snprintf(a.errors, sizeof(a.errors), "%s", log);
    unlink(a.errors);
    memset(b->board, 0, sizeof(*b->board));
    out->why[0] = 0;
    err = reap(w, c->procs, talk(b, w, c, &a));
    if (err) {
        char *argv[] = {a.path, "unlink", a.name, NULL};
        struct worker cleaner = {0};

        explain(w, c->procs, &a, out);
        if (start_worker(b, &cleaner, argv, "/dev/null", a.limit) == 0)
            reap(&cleaner, 1, 0);
        return -1;
    }
    return gather(b, c->threads * c->procs, out);
}

void bench_version(const struct bench *b, int sys, char *buf, int len)
{
    char path[512], *argv[] = {path, "version", NULL};
    struct worker w = {0};

    snprintf(path, sizeof(path), "%s/worker_%s", b->dir, systems[sys].name);
    if (start_worker(b, &w, argv, "/dev/null", b->limit) || !fgets(buf, len, w.from))
        snprintf(buf, (size_t)len, "unknown");
    buf[strcspn(buf, "\n")] = 0;
    reap(&w, 1, 0);
}
