/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kill sweep for any allocator in shared memory, through a program that is its adapter:
 *
 *   ADAPTER FD         the actor. FD: a file to map; struct order at its start, the allocator's memory from `memory` on.
 *                      Makes the heap, then executes int3, and whenever it is let go on, does the next order.
 *   ADAPTER judge FD   says by its exit code whether the memory of FD, in which the actor has died this very moment, is
 *                      sound: 0 yes, else a number of the adapter's own. It recovers as a survivor would, and must end.
 *
 * The actor is stepped instruction by instruction; after each one that changed the memory a copy of it is judged by a
 * process of its own. Ends with one line; exit code 1 if a copy was not sound.
 *
 *   sweep ADAPTER ORDERS
 */
#include "sweep.h"
#include "tracer.h"

static const struct file {
    int fd;
    uint8_t *at;
} none = {-1, NULL};

static struct file new_file(void)
{
    struct file f = none;
    f.fd = memfd_create("sweep", 0);
    must(f.fd >= 0 && ftruncate(f.fd, SWEEP_SIZE) == 0);
    f.at = mmap(NULL, SWEEP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
    must(f.at != MAP_FAILED);
    return f;
}

/* 0, the judge's number, or 128 + SIGALRM: it waits for the dead. */
static int judge(const struct file *copy)
{
    char fd[16];
    snprintf(fd, sizeof fd, "%d", copy->fd);
    char *argv[] = {(char *)(uintptr_t)proc_program, (char *)(uintptr_t) "judge", fd, NULL};
    pid_t pid;
    must(posix_spawn(&pid, proc_program, NULL, NULL, argv, environ) == 0);
    return wait_end(pid);
}

int main(int argc, char **argv)
{
    struct proc p;
    struct rng r = rng_make(test_seed(), 0);
    uint64_t points = 0, bad = 0, hung = 0, steps = 0, pc;
    static uint8_t shadow[SWEEP_SIZE];
    if (argc != 3)
        return 2;
    proc_program = argv[1];
    pin(0);
    signal(SIGALRM, proc_hangs);
    proc_start(&p, SWEEP_SIZE);
    struct file copy = new_file();
    struct order *o = p.shared;
    for (int n = atoi(argv[2]); n > 0; n--) {
        *o = (struct order){.n = rng_next(&r)};
        memcpy(shadow, p.shared, SWEEP_SIZE);
        for (bool more = true; more; steps++) {
            more = proc_step(&p, &pc);
            if (memcmp(shadow + SWEEP_HEAD, (uint8_t *)p.shared + SWEEP_HEAD, SWEEP_SIZE - SWEEP_HEAD) == 0)
                continue;
            memcpy(shadow, p.shared, SWEEP_SIZE);
            memcpy(copy.at, shadow, SWEEP_SIZE);
            points++;
            int e = judge(&copy);
            if (e && !bad++)
                printf("# order %d, behind the instruction at %#" PRIx64 ": %s %d\n", n, pc,
                       e == 128 + SIGALRM ? "hangs," : "not sound,", e);
            hung += e == 128 + SIGALRM;
        }
    }
    proc_kill(&p);
    printf("sweep: instructions=%" PRIu64 " points=%" PRIu64 " hung=%" PRIu64 " failures=%" PRIu64 "\n", steps, points,
           hung, bad);
    return bad != 0 || points == 0;
}
