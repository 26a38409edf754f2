/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fill and heal: how much of a segment's file can be handed out before the first failure, and how much of it is one
 * block again after everything has been freed. Mean of 20 seeds; exit 1 if a target is missed.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amx.h"

#define SEEDS 20u

static const struct setting {
    const char *text;
    uint64_t size;
    uint32_t low, high;        /* bytes asked for, uniform, both included */
    double fill_min, heal_min; /* targets: share of the whole file */
} settings[] = {
    {"50 MiB, 16-4096 B", 50u << 20, 16, 4096, 0.95, 0.97},
    {"64 KiB, 16-512 B", 64u << 10, 16, 512, 0.68, 0.78},
};

struct block {
    amx_ref ref;
    uint32_t n;
};

struct range {
    double min, max, sum;
};

static uint64_t next(uint64_t *x) /* xorshift64*: x is never 0 */
{
    *x ^= *x >> 12;
    *x ^= *x << 25;
    *x ^= *x >> 27;
    return *x * 0x2545f4914f6cdd1du;
}

static uint32_t below(uint64_t *x, uint32_t n)
{
    return (uint32_t)((next(x) >> 32) * n >> 32);
}

static int told(const char *call, int err)
{
    if (err)
        fprintf(stderr, "fill: %s: %s\n", call, amx_strerror(err));
    return err;
}

/* Each block carries its own reference at both ends, so that overlapping ones are noticed. */
static int stamp(amx_t *h, const struct block *b, bool write)
{
    unsigned char *p = NULL;
    int err = amx_ptr(h, b->ref, (void **)&p);

    if (err)
        return told("ptr", err);
    if (write) {
        memcpy(p, &b->ref, sizeof(b->ref));
        memcpy(p + b->n - sizeof(b->ref), &b->ref, sizeof(b->ref));
    } else if (memcmp(p, &b->ref, sizeof(b->ref)) != 0 ||
               memcmp(p + b->n - sizeof(b->ref), &b->ref, sizeof(b->ref)) != 0) {
        fprintf(stderr, "fill: the block at reference %#llx was overwritten\n", (unsigned long long)b->ref);
        return AMX_E_CORRUPT;
    }
    return AMX_OK;
}

static int fill(amx_t *h, const struct setting *s, uint64_t *x, struct block *blocks, uint32_t *count, uint64_t *bytes)
{
    uint32_t max = (uint32_t)(s->size / s->low);

    for (*count = 0, *bytes = 0; *count < max; ++*count) {
        struct block *b = &blocks[*count];

        b->n = s->low + below(x, s->high - s->low + 1);
        if (amx_alloc(h, b->n, &b->ref))
            return AMX_OK; /* the first failure: full */
        if (stamp(h, b, true))
            return AMX_E_CORRUPT;
        *bytes += b->n;
    }
    fprintf(stderr, "fill: more blocks than can fit\n");
    return AMX_E_CORRUPT;
}

/* In random order: blocks come back to all places at once. */
static int free_all(amx_t *h, uint64_t *x, struct block *blocks, uint32_t count)
{
    int err;

    for (uint32_t left = count; left > 0; left--) {
        uint32_t k = below(x, left);

        if (stamp(h, &blocks[k], false))
            return AMX_E_CORRUPT;
        err = amx_free(h, blocks[k].ref);
        if (err)
            return told("free", err);
        blocks[k] = blocks[left - 1];
    }
    return told("trim", amx_trim(h));
}

/* The largest single allocation, by trying: what fits, and 16 bytes more do not. */
static int largest(amx_t *h, uint64_t size, uint64_t *out)
{
    uint64_t fits = 0, too_much = size;

    while (too_much - fits > 16) {
        uint64_t n = fits + (too_much - fits) / 2;
        amx_ref ref;
        int err = amx_alloc(h, n, &ref);

        if (err) {
            too_much = n;
            continue;
        }
        fits = n;
        err = amx_free(h, ref);
        if (!err)
            err = amx_trim(h);
        if (err)
            return told("free", err);
    }
    *out = fits;
    return AMX_OK;
}

static int run(const struct setting *s, uint64_t seed, struct block *blocks, double *filled, double *healed)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    uint64_t x = seed, bytes = 0, one = 0;
    struct amx_segment_info info = {0};
    char why[256] = "";
    uint32_t count = 0;
    amx_t *h = NULL;
    int err;

    o.size = s->size;
    o.why = why;
    o.why_len = sizeof(why);
    err = amx_create_memfd("fill", &o, &h);
    if (err) {
        fprintf(stderr, "fill: %s: %s\n", amx_strerror(err), why);
        return err;
    }
    info.struct_size = sizeof(info);
    err = told("info", amx_info(h, &info));
    if (!err)
        err = fill(h, s, &x, blocks, &count, &bytes);
    if (!err)
        err = free_all(h, &x, blocks, count);
    if (!err)
        err = largest(h, info.size, &one);
    *filled = (double)bytes / (double)info.size;
    *healed = (double)one / (double)info.size;
    if (told("close", amx_close(h)))
        err = AMX_E_SYS;
    return err;
}

static void add(struct range *r, double v)
{
    r->min = r->min > v || r->sum <= 0 ? v : r->min;
    r->max = r->max < v ? v : r->max;
    r->sum += v;
}

static bool judge(const char *what, const struct range *r, double target)
{
    double mean = r->sum / SEEDS;
    bool pass = mean >= target;

    printf("  %-28s mean %.4f  min %.4f  max %.4f  target %.2f  %s\n", what, mean, r->min, r->max, target,
           pass ? "PASS" : "FAIL");
    return pass;
}

static int run_setting(const struct setting *s, bool *pass)
{
    struct block *blocks = calloc(s->size / s->low, sizeof(*blocks));
    struct range filled = {0}, healed = {0};
    int err = blocks ? AMX_OK : AMX_E_SYS;

    printf("%s, seeds", s->text);
    for (uint64_t i = 1; i <= SEEDS && !err; i++) {
        double f = 0, h = 0;
        uint64_t seed = i * 0x9e3779b97f4a7c15u;

        printf(" %#llx", (unsigned long long)seed);
        fflush(stdout);
        err = run(s, seed, blocks, &f, &h);
        add(&filled, f);
        add(&healed, h);
    }
    putchar('\n');
    free(blocks);
    if (err)
        return err;
    *pass &= judge("payload at first failure", &filled, s->fill_min);
    *pass &= judge("one block after healing", &healed, s->heal_min);
    return AMX_OK;
}

int main(void)
{
    bool pass = true;

    puts("Fill and heal, share of the whole file");
    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
        if (run_setting(&settings[i], &pass))
            return 1;
    }
    return pass ? 0 : 1;
}
