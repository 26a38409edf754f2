/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long amx_recover takes for a peer that was killed while it held 1,000 blocks of 16-1024 bytes: in a segment that is
 * nearly empty; in one that others have filled, where the dead one's blocks lie by themselves; and in one where they
 * lie among those of others in every sector. Median (min-max) of REPS runs, each with a process of its own.
 *
 *   recover [REPS]
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "amx.h"

#define HELD 1000u

enum fill { EMPTY, APART, AMONG, FILLS };
static const char *const fill_name[FILLS] = {"nearly empty", "nearly full, apart", "nearly full, among others"};

static uint64_t next(uint64_t *x) /* xorshift64* */
{
    *x ^= *x >> 12;
    *x ^= *x << 25;
    *x ^= *x >> 27;
    return *x * 0x2545f4914f6cdd1du;
}

static void must(int err, const char *call)
{
    if (err) {
        fprintf(stderr, "recover: %s: %s\n", call, amx_strerror(err));
        exit(1);
    }
}

static size_t size_of(uint64_t *x)
{
    return 16 + (size_t)(next(x) % 1009);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The one who is to die: takes HELD blocks in `turns` turns, and says so after each. */
static int victim(const char *name, unsigned turns, int in, int out)
{
    amx_t *h;
    amx_ref ref;
    uint64_t x = 99;
    char c;
    must(amx_attach(name, NULL, &h), "attach");
    for (unsigned t = 0; t < turns; t++) {
        for (unsigned i = t * HELD / turns; i < (t + 1) * HELD / turns; i++)
            must(amx_alloc(h, size_of(&x), &ref), "alloc");
        if (write(out, "v", 1) != 1 || read(in, &c, 1) != 1)
            return 1;
    }
    pause();
    return 0;
}

struct result {
    uint64_t ns, blocks, walked;
};

static int count(const struct amx_block *b, void *ctx)
{
    (void)b;
    ++*(uint64_t *)ctx;
    return 0;
}

static struct result run(uint64_t size, enum fill fill, const char *self)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    struct amx_segment_info info = {.struct_size = sizeof info};
    struct amx_recovery r = {.struct_size = sizeof r};
    struct result result = {0, 0, 0};
    amx_t *h;
    uint64_t x = 7, filled = 0;
    unsigned turns = fill == AMONG ? HELD : 1;
    int down[2], up[2];
    char name[64], a[16], b[16], n[16], c;
    snprintf(name, sizeof name, "recover-%d", (int)getpid());
    o.size = size;
    must(amx_create(name, &o, &h), "create");
    must(amx_info(h, &info), "info");
    if (pipe(down) || pipe(up))
        exit(1);
    uint64_t want = fill == EMPTY ? 0 : info.data_bytes / 100 * 90;
    if (fill == APART)
        for (amx_ref ref; filled < want; filled += 600)
            must(amx_alloc(h, size_of(&x), &ref), "alloc");
    pid_t pid = fork();
    if (pid == 0) {
        snprintf(a, sizeof a, "%d", down[0]);
        snprintf(b, sizeof b, "%d", up[1]);
        snprintf(n, sizeof n, "%u", turns);
        execl(self, self, "victim", name, n, a, b, (char *)NULL);
        _exit(127);
    }
    for (unsigned t = 0; t < turns; t++) {
        if (read(up[0], &c, 1) != 1)
            exit(1);
        if (fill == AMONG) /* as much of ours as lies between two of its blocks, in its sectors */
            for (amx_ref ref; filled < want / turns * (t + 1); filled += 600)
                must(amx_alloc(h, size_of(&x), &ref), "alloc");
        if (t + 1 < turns && write(down[1], "g", 1) != 1)
            exit(1);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    must(amx_walk(h, count, &result.walked), "walk");
    uint64_t begin = now_ns();
    must(amx_recover(h, 0, NULL, NULL, &r), "recover");
    result.ns = now_ns() - begin;
    result.blocks = r.blocks;
    must(amx_close(h), "close");
    must(amx_unlink(name, NULL), "unlink");
    close(down[0]);
    close(down[1]);
    close(up[0]);
    close(up[1]);
    return result;
}

static int by_ns(const void *a, const void *b)
{
    uint64_t x = ((const struct result *)a)->ns, y = ((const struct result *)b)->ns;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    static const uint64_t sizes[] = {50u << 20, 1u << 30};
    static struct result r[101];
    if (argc == 6 && !strcmp(argv[1], "victim"))
        return victim(argv[2], (unsigned)atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    unsigned reps = argc > 1 ? (unsigned)atoi(argv[1]) : 7;
    if (reps < 1 || reps > 101)
        return 2;
    printf("| segment | state | blocks in it | freed | recovery, us |\n|---|---|---|---|---|\n");
    for (unsigned s = 0; s < 2; s++)
        for (unsigned f = EMPTY; f < FILLS; f++) {
            for (unsigned i = 0; i < reps; i++)
                r[i] = run(sizes[s], (enum fill)f, argv[0]);
            qsort(r, reps, sizeof *r, by_ns);
            const struct result *m = &r[reps / 2];
            printf("| %u MiB | %s | %llu | %llu | %.0f (%.0f-%.0f) |\n", (unsigned)(sizes[s] >> 20), fill_name[f],
                   (unsigned long long)m->walked, (unsigned long long)m->blocks, (double)m->ns / 1e3,
                   (double)r[0].ns / 1e3, (double)r[reps - 1].ns / 1e3);
        }
    return 0;
}
