/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seed loop, and what an allocator must offer to run it. One adapter source per system, one program per adapter,
 * so that no system's replacement of malloc reaches another one's run.
 */
#ifndef BENCH_SYSTEM_H
#define BENCH_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SEED_SEGMENT (50u << 20) /* bytes, as published */
#define SEED_LIVE    200u        /* blocks that one thread may hold, as published */

/* What one thread of the loop has. A token is whatever names a block: a reference, or an address; 0 is none. */
struct seed {
    uint32_t x;      /* the generator; thread t begins with t + 1 */
    uint32_t live;   /* tokens in use */
    uint64_t failed; /* calls that did not do what was asked */
    uint64_t token[SEED_LIVE];
};

typedef uint64_t seed_alloc_fn(void *ctx, size_t n);
typedef int seed_free_fn(void *ctx, uint64_t token); /* 0: freed */

/*
 * The published generator and mix, and nothing else: the published loop also read the clock in each iteration and
 * called coalesce a second time on every fifth freed block. Each iteration counts as one operation, also an idle one.
 * Inlined into each adapter together with its two calls, so that every system is called directly.
 */
__attribute__((always_inline)) static inline void seed_run(void *ctx, struct seed *s, uint64_t ops,
                                                           seed_alloc_fn *alloc_block, seed_free_fn *free_block)
{
    uint32_t x = s->x, live = s->live;

    for (uint64_t i = 0; i < ops; i++) {
        x = x * 1103515245u + 12345u;
        if (x % 10 < 7 && live < SEED_LIVE) {
            uint64_t token = alloc_block(ctx, x % 512);

            if (token)
                s->token[live++] = token;
            else
                s->failed++;
        } else if (live) {
            uint32_t k = x % live;
            uint64_t token = s->token[k];

            s->token[k] = s->token[--live]; /* swap_remove */
            s->failed += free_block(ctx, token) != 0;
        }
    }
    s->x = x;
    s->live = live;
}

/* An adapter. Calls return 0, or not 0 after a line on stderr. `seg` and `ctx` are the adapter's own. */
struct bench_system {
    const char *name;
    int shared; /* several processes can use one segment */
    int (*open)(const char *name, int create, void **seg);
    void (*unlink)(const char *name);    /* everybody is attached: leave nothing behind */
    int (*enter)(void *seg, void **ctx); /* one thread's context; asked for by the main thread */
    int (*leave)(void *seg, void *ctx);  /* after its last free */
    int (*check)(void *seg);             /* all is freed, all have left: is the segment whole? */
    void (*close)(void *seg);
    void (*run)(void *ctx, struct seed *s, uint64_t ops); /* seed_run with the adapter's calls */
    seed_alloc_fn *alloc;                                 /* the same calls for the verified run */
    seed_free_fn *free;
    void *(*ptr)(void *ctx, uint64_t token); /* the block's bytes; NULL if the token is refused */
    void (*version)(char *buf, size_t len);
};

extern const struct bench_system bench_system; /* the one that is linked in */

#ifdef __cplusplus
}
#endif
#endif
