/* SPDX-License-Identifier: Apache-2.0 */
/* A program with the fault that its argument names, for the tools that a checked library talks to. */
#include "tests/support.h"

#include <sys/wait.h>

static amx_t *h;

static unsigned char *block(size_t n, amx_ref *ref)
{
    void *p;
    must(amx_alloc(h, n, ref) == AMX_OK && amx_ptr(h, *ref, &p) == AMX_OK);
    return p;
}

/* Any calls, on blocks of all kinds: nothing to report. */
static int good(void)
{
    enum { N = 100 };
    amx_ref ref[N] = {0};
    struct rng r = rng_make(test_seed(), 0);
    void *p;
    size_t n, got;
    unsigned sum = 0;
    for (unsigned turn = 0; turn < 800; turn++) {
        amx_ref *b = &ref[rng_below(&r, N)];
        if (!*b) {
            n = rng_below(&r, 40) ? rng_below(&r, 600) : rng_below(&r, 100000);
            if (rng_below(&r, 8) ? amx_alloc(h, n, b) : amx_alloc_aligned(h, (size_t)32 << rng_below(&r, 7), n, b)) {
                *b = 0;
                continue;
            }
        } else if (rng_below(&r, 3) == 0) {
            must(amx_resize(h, *b, rng_below(&r, 2000), b) != AMX_E_STALE);
        } else if (rng_below(&r, 3)) {
            must(amx_free(h, *b) == AMX_OK);
            *b = 0;
            continue;
        } else if (rng_below(&r, 2)) {
            must(amx_publish(h, *b) == AMX_OK && amx_adopt(h, *b) == AMX_OK);
        }
        must(amx_usable(h, *b, &got) == AMX_OK && amx_ptr(h, *b, &p) == AMX_OK);
        memset(p, (int)turn, got);
        sum += ((unsigned char *)p)[got - 1];
        if (turn % 256 == 0)
            must(amx_trim(h) == AMX_OK && amx_heal(h) == AMX_OK);
    }
    for (unsigned i = 0; i < N; i++)
        must(!ref[i] || amx_free(h, ref[i]) == AMX_OK);
    return sum == 0;
}

/* A block that this process has freed is another one's meanwhile, who gives it back: no fault. */
static int passed_on(void)
{
    amx_ref ref, freed;
    void *p;
    int status;
    block(200, &freed);
    must(amx_free(h, freed) == AMX_OK && amx_trim(h) == AMX_OK);
    int fd = amx_fd(h);
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        amx_t *mine;
        must(amx_attach_fd(fd, NULL, &mine) == AMX_OK);
        do /* until it has the very same memory */
            must(amx_alloc(mine, 200, &ref) == AMX_OK);
        while (ref >> 32 != freed >> 32);
        must(amx_ptr(mine, ref, &p) == AMX_OK);
        memset(p, 7, 200);
        must(amx_publish(mine, ref) == AMX_OK && amx_root_set(mine, 0, ref) == AMX_OK && amx_close(mine) == AMX_OK);
        _exit(0);
    }
    must(waitpid(child, &status, 0) == child && status == 0);
    must(amx_root_get(h, 0, &ref) == AMX_OK && amx_ptr(h, ref, &p) == AMX_OK);
    int right = ((unsigned char *)p)[0] == 7 && ((unsigned char *)p)[199] == 7;
    must(amx_free(h, ref) == AMX_OK);
    return !right;
}

int main(int argc, char **argv)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    const char *what = argc > 1 ? argv[1] : "";
    volatile unsigned char *p, x = 0;
    amx_ref ref, next;
    size_t n;
    int rc = 0;
    o.size = 1 << 20;
    must(amx_create_memfd("faults", &o, &h) == AMX_OK);
    p = block(100, &ref);
    block(100, &next);
    must(amx_usable(h, ref, &n) == AMX_OK);
    if (strcmp(what, "overrun") == 0)
        p[n] = 1;
    else if (strcmp(what, "underrun") == 0)
        x = p[-1];
    else if (strcmp(what, "use-after-free") == 0 && amx_free(h, ref) == AMX_OK)
        x = p[10];
    else if (strcmp(what, "good") == 0)
        rc = good();
    else if (strcmp(what, "passed-on") == 0)
        rc = passed_on();
    (void)x;
    must(amx_close(h) == AMX_OK);
    return rc;
}
