/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that are stepped, stopped and killed: nothing here knows what they do. A program that is traced says by a
 * trap instruction (int3) that it has finished what it was told and waits; `proc_run` lets it go on to the next one.
 */
#ifndef AMX_TEST_TRACER_H
#define AMX_TEST_TRACER_H

#include "tests/support.h"

#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#if !defined(__x86_64__)
#error "the tracer knows the trap instruction and the registers of x86-64 only"
#endif

enum { TEXT_MAX = 2 << 20, HANG_SECONDS = 60, STEPS_MAX = 5000000 };

struct proc {
    pid_t pid; /* 0: none */
    void *shared;
    size_t size;
    uint64_t base, trap; /* where the program is; behind its trap */
    uint64_t rip;
    long saved; /* what was at a breakpoint */
};

static const char *proc_program;

/* One that neither comes to its trap nor to a breakpoint waits for somebody: that must never be. */
static inline void proc_hangs(int sig)
{
    static const char text[] = "a process hangs: it waits for one that is stopped or dead\n";
    (void)sig;
    (void)!write(2, text, sizeof text - 1);
    _exit(71);
}

/* Where it is now; false: it has ended. */
static inline bool proc_stopped(struct proc *p)
{
    int status;
    struct user_regs_struct r;
    alarm(HANG_SECONDS);
    pid_t pid = waitpid(p->pid, &status, __WALL);
    alarm(0);
    must(pid == p->pid);
    if (!WIFSTOPPED(status)) {
        fprintf(stderr, "traced process %d ended: %s %d\n", (int)pid, WIFSIGNALED(status) ? "signal" : "exit code",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        p->pid = 0;
        return false;
    }
    must(ptrace(PTRACE_GETREGS, p->pid, 0, &r) == 0);
    p->rip = r.rip;
    if (WSTOPSIG(status) == SIGTRAP)
        return true;
    fprintf(stderr, "traced process %d got signal %d at %#" PRIx64 "\n", (int)pid, WSTOPSIG(status), p->rip - p->base);
    return false;
}

static inline void proc_start(struct proc *p, size_t size)
{
    char arg[16], path[64], line[256];
    memset(p, 0, sizeof *p);
    p->size = size;
    int fd = memfd_create("control", 0);
    must(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    p->shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(p->shared != MAP_FAILED);
    snprintf(arg, sizeof arg, "%d", fd);
    char *argv[] = {(char *)(uintptr_t)proc_program, arg, NULL};
    p->pid = vfork();
    if (p->pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execv(proc_program, argv);
        _exit(127);
    }
    must(p->pid > 0);
    close(fd);
    must(proc_stopped(p)); /* in exec */
    must(ptrace(PTRACE_SETOPTIONS, p->pid, 0, PTRACE_O_EXITKILL) == 0);
    snprintf(path, sizeof path, "/proc/%d/maps", (int)p->pid);
    FILE *f = fopen(path, "re");
    must(f != NULL);
    while (!p->base && fgets(line, sizeof line, f)) /* the first line that names a file is the program's beginning */
        if (strchr(line, '/'))
            must(sscanf(line, "%" SCNx64, &p->base) == 1);
    fclose(f);
    must(p->base != 0);
    must(ptrace(PTRACE_CONT, p->pid, 0, 0) == 0);
    must(proc_stopped(p));
    p->trap = p->rip;
}

/* To its next trap. */
static inline void proc_run(struct proc *p)
{
    must(ptrace(PTRACE_CONT, p->pid, 0, 0) == 0);
    must(proc_stopped(p) && p->rip == p->trap);
}

/* One instruction. false: it has come to its trap. *pc: of the instruction, from the program's start. */
static inline bool proc_step(struct proc *p, uint64_t *pc)
{
    *pc = p->rip - p->base;
    must(ptrace(PTRACE_SINGLESTEP, p->pid, 0, 0) == 0);
    must(proc_stopped(p));
    return p->rip != p->trap;
}

/* Until the instruction at pc has been executed for the nth time. false: it came to its trap before. */
static inline bool proc_run_to(struct proc *p, uint64_t pc, uint64_t nth)
{
    uint64_t at = p->base + pc, done;
    long code;
    struct user_regs_struct r;
    errno = 0;
    code = ptrace(PTRACE_PEEKTEXT, p->pid, at, 0);
    must(errno == 0);
    for (uint64_t n = 0; n < nth; n++) {
        must(ptrace(PTRACE_POKETEXT, p->pid, at, (code & ~0xffL) | 0xcc) == 0);
        must(ptrace(PTRACE_CONT, p->pid, 0, 0) == 0);
        must(proc_stopped(p));
        must(ptrace(PTRACE_POKETEXT, p->pid, at, code) == 0);
        if (p->rip == p->trap)
            return false;
        must(p->rip == at + 1);
        must(ptrace(PTRACE_GETREGS, p->pid, 0, &r) == 0);
        r.rip = at;
        must(ptrace(PTRACE_SETREGS, p->pid, 0, &r) == 0);
        p->rip = at;
        must(proc_step(p, &done));
    }
    return true;
}

static inline void proc_drop(struct proc *p)
{
    if (p->shared)
        munmap(p->shared, p->size);
    memset(p, 0, sizeof *p);
}

static inline void proc_kill(struct proc *p)
{
    if (p->pid) {
        must(kill(p->pid, SIGKILL) == 0);
        int status;
        while (waitpid(p->pid, &status, __WALL) != p->pid || WIFSTOPPED(status))
            ;
        must(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    proc_drop(p);
}

/* This process, and with it those that it traces, on one processor: handing over between processors costs five times
 * as much. */
static inline void pin(unsigned worker)
{
    cpu_set_t all, one;
    must(sched_getaffinity(0, sizeof all, &all) == 0);
    CPU_ZERO(&one);
    unsigned n = worker % (unsigned)CPU_COUNT(&all);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && n-- == 0)
            CPU_SET(cpu, &one);
    must(sched_setaffinity(0, sizeof one, &one) == 0);
}

#endif
