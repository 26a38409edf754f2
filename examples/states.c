/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States as a work flow. Each job is a block, and its state says how far it is:
 *
 *     TODO -> SQUARING -> SQUARED -> ADDING -> DONE
 *
 * Two processes square, two others add one. amx_transition lets one of them have the job, whoever tries at the same
 * time; it is the only thing by which they agree.
 *
 *     cc states.c -o states -lamx
 *     ./states
 */
#include <amx.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TODO = AMX_STATE_USER_MIN, SQUARING, SQUARED, ADDING, DONE };
enum { JOBS = 1000, WORKERS = 4 };

struct job {
    long number;
    int squared_by, added_by; /* workers */
};

static void must(int code)
{
    if (code) {
        fprintf(stderr, "states: %s\n", amx_strerror(code));
        exit(1);
    }
}

static void work(struct job *job, uint32_t state, int worker)
{
    if (state == SQUARING) {
        job->number *= job->number;
        job->squared_by = worker;
    } else {
        job->number += 1;
        job->added_by = worker;
    }
}

/* One stage of the flow: takes each job that is in state `from`, through the next state, to the one after it. */
static void stage(int worker, uint32_t from)
{
    uint32_t found;
    struct job *job;
    amx_ref table;
    amx_ref *jobs;
    amx_t *h;

    must(amx_attach("states", NULL, &h));
    must(amx_root_get(h, 0, &table));
    must(amx_read_mut(h, table, JOBS * sizeof *jobs, (void **)&jobs));
    for (int i = 0; i < JOBS;) {
        int code = amx_transition(h, jobs[i], from, from + 1, AMX_ACQUIRE, &found);

        if (code == AMX_OK) { /* mine: nobody else gets it from `from` to `from + 1` */
            must(AMX_READ_MUT(h, jobs[i], struct job, &job));
            work(job, from + 1, worker);
            must(amx_transition(h, jobs[i], from + 1, from + 2, AMX_RELEASE, NULL));
            i++;
        } else if (code == AMX_E_STATE && found < from) {
            sched_yield(); /* the stage before is not done with it */
        } else if (code == AMX_E_STATE) {
            i++; /* another worker of this stage has it */
        } else {
            must(code);
        }
    }
    must(amx_close(h));
}

/* Jobs belong to nobody, as the table of them does: they would outlive their maker. */
static void make_jobs(amx_t *h)
{
    struct job *job;
    amx_ref table;
    amx_ref *jobs;

    must(amx_alloc(h, JOBS * sizeof *jobs, &table));
    must(amx_read_mut(h, table, JOBS * sizeof *jobs, (void **)&jobs));
    for (int i = 0; i < JOBS; i++) {
        must(AMX_NEW(h, struct job, &jobs[i]));
        must(AMX_READ_MUT(h, jobs[i], struct job, &job));
        *job = (struct job){.number = i};
        must(amx_publish(h, jobs[i]));
        must(amx_set_state(h, jobs[i], TODO));
    }
    must(amx_publish(h, table));
    must(amx_root_set(h, 0, table));
}

/* Looks at the results and frees them. How many jobs were not as they should be. */
static int take_results(amx_t *h)
{
    int wrong = 0, done[WORKERS] = {0};
    struct job *job;
    amx_ref table;
    amx_ref *jobs;
    uint32_t state;

    must(amx_root_get(h, 0, &table));
    must(amx_read_mut(h, table, JOBS * sizeof *jobs, (void **)&jobs));
    for (long i = 0; i < JOBS; i++) {
        must(amx_get_state(h, jobs[i], AMX_ACQUIRE, &state));
        must(AMX_READ_MUT(h, jobs[i], struct job, &job));
        wrong += state != DONE || job->number != i * i + 1;
        done[job->squared_by]++;
        done[job->added_by]++;
        must(amx_free(h, jobs[i]));
    }
    must(amx_free(h, table));
    for (int i = 0; i < WORKERS; i++)
        printf("worker %d %s %d jobs\n", i, i % 2 ? "added to" : "squared", done[i]);
    printf("%d jobs, %d wrong\n", JOBS, wrong);
    return wrong;
}

int main(void)
{
    struct amx_options options = AMX_OPTIONS_INIT;
    int status, wrong = 0;
    amx_t *h;

    options.size = 1 << 20;
    options.flags = AMX_F_REMOVE_LAST;
    must(amx_create("states", &options, &h));
    make_jobs(h);
    for (int i = 0; i < WORKERS; i++) {
        pid_t child = fork();

        if (child < 0)
            return 1;
        if (child == 0) {
            stage(i, i % 2 ? SQUARED : TODO);
            return 0;
        }
    }
    for (int i = 0; i < WORKERS; i++)
        wrong += wait(&status) < 0 || status != 0;
    wrong += take_results(h);
    must(amx_close(h));
    return wrong != 0;
}
