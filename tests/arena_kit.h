/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the arena share: segments, neighbours, payloads that can be verified, and the final account. */
#ifndef AMX_TEST_ARENA_KIT_H
#define AMX_TEST_ARENA_KIT_H

#include "amx.h"
#include "amx_raw.h"
#include "tests/support.h"

/* ThreadSanitizer knows neither that two addresses are the same byte, nor that a word which was read where a block has
 * begun, and may be payload by now, is checked before it is believed. Tests leave out what it cannot judge. */
#if defined(__SANITIZE_THREAD__)
#define TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN 1
#endif
#endif
#ifndef TSAN
#define TSAN 0
#endif

/* A segment without a name: nothing stays behind, whatever happens to the test. */
static inline amx_t *new_segment(uint64_t size)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h = NULL;

    o.size = size;
    must_ok(amx_create_memfd("test", &o, &h));
    return h;
}

/* The same segment once more, at another address of this process. */
static inline amx_t *attach_again(const amx_t *h)
{
    amx_t *twin = NULL;

    must_ok(amx_attach_fd(amx_fd(h), NULL, &twin));
    must(amx_raw_base(twin) != amx_raw_base(h));
    return twin;
}

static inline amx_t *new_handle(amx_t *h)
{
    amx_t *more = NULL;

    must_ok(amx_share(h, &more));
    return more;
}

static inline struct amx_segment_info info_of(const amx_t *h)
{
    struct amx_segment_info info = {.struct_size = sizeof info};

    must_ok(amx_info(h, &info));
    return info;
}

/* Statistics of a segment at rest: every byte is accounted for. */
static inline struct amx_stats stat_of(const amx_t *h)
{
    struct amx_stats s = {.struct_size = sizeof s};

    must_ok(amx_stat(h, &s));
    must(s.lost_bytes == 0);
    must(s.unseen_bytes == 0);
    must(s.free_bytes + s.live_bytes + s.cached_bytes + s.acked_bytes == s.data_bytes);
    must(s.sectors_bad == 0);
    return s;
}

/* ctx: not NULL if others are at work, whose calls may be seen half done. */
static inline int complain(const struct amx_finding *f, void *ctx)
{
    if (f->grade == AMX_GRADE_CORRUPT || (f->grade == AMX_GRADE_UNDONE && ctx == NULL))
        fprintf(stderr, "finding: grade %d sector %u offset %llu %s: %s\n", (int)f->grade, f->sector,
                (unsigned long long)f->offset, f->rule, f->text);
    return 0;
}

/* No finding worse than a note. */
static inline void check_clean(const amx_t *h)
{
    struct amx_check_result r = {.struct_size = sizeof r};

    must_ok(amx_check(h, complain, NULL, &r));
    must(r.corrupt == 0);
    must(r.undone == 0);
    must(r.busy == 0);
}

/* Everything has been freed and the caches of all other handles are empty: then every byte is free, in whole sectors,
 * and the largest request that the segment can ever serve is served. */
static inline void check_all_free(amx_t *h)
{
    struct amx_segment_info info = info_of(h);
    struct amx_stats s;
    amx_ref whole = AMX_REF_NONE;

    must_ok(amx_trim(h));
    must_ok(amx_heal(h));
    s = stat_of(h);
    must(s.live_bytes == 0 && s.cached_bytes == 0 && s.acked_bytes == 0);
    must(s.free_bytes == info.data_bytes);
    must(s.sectors_whole == info.sectors);
    must(s.free_blocks == info.sectors);
    must(s.largest_free == info.max_request);
    check_clean(h);
    must_ok(amx_alloc(h, info.max_request, &whole));
    must_ok(amx_free(h, whole));
    must_ok(amx_trim(h));
    check_clean(h);
    must(stat_of(h).free_bytes == info.data_bytes);
}

static inline void close_free(amx_t *h)
{
    check_all_free(h);
    must_ok(amx_close(h));
}

/* Offset of a block's header, as the raw layer counts. */
static inline uint64_t offset_of(amx_ref ref)
{
    return ((ref >> 32) << 4) - AMX_HEADER_SPACE;
}

static inline struct amx_block look(const amx_t *h, uint64_t offset)
{
    struct amx_block b;

    must_ok(amx_raw_query(h, offset, &b));
    must(b.offset == offset);
    return b;
}

static inline size_t usable_of(const amx_t *h, amx_ref ref)
{
    size_t n = 0;

    must_ok(amx_usable(h, ref, &n));
    return n;
}

static inline unsigned char *bytes_of(const amx_t *h, amx_ref ref)
{
    void *p = NULL;

    must_ok(amx_ptr(h, ref, &p));
    return p;
}

static inline amx_ref alloc(amx_t *h, size_t n)
{
    amx_ref ref = AMX_REF_NONE;

    must_ok(amx_alloc(h, n, &ref));
    must(ref != AMX_REF_NONE);
    return ref;
}

/* --- Payloads: every usable byte depends on the key (large blocks: both ends and each page) ------------------- */

static inline void mark(const amx_t *h, amx_ref ref, uint64_t key)
{
    stamp(bytes_of(h, ref), usable_of(h, ref), key);
}

static inline void verify(const amx_t *h, amx_ref ref, uint64_t key)
{
    must(stamped(bytes_of(h, ref), usable_of(h, ref), key));
}

/* --- Neighbours ---------------------------------------------------------------------------------------------- */

struct row {
    amx_ref *ref; /* by offset */
    size_t n;
};

static inline int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The whole segment in blocks of n bytes: nothing else is free that could serve another, so that what is freed next
 * is where the next block of this size must come from. */
static inline struct row fill(amx_t *h, size_t n)
{
    size_t room = (size_t)(info_of(h).data_bytes / (n + AMX_HEADER_SPACE)) + 1;
    struct row r = {calloc(room, sizeof(amx_ref)), 0};
    int rc = AMX_OK;

    must(r.ref != NULL);
    while ((rc = amx_alloc(h, n, &r.ref[r.n])) == AMX_OK) {
        r.n++;
        must(r.n < room);
    }
    must(rc == AMX_E_NOMEM);
    qsort(r.ref, r.n, sizeof *r.ref, by_value);
    for (size_t i = 0; i < r.n; i++)
        mark(h, r.ref[i], offset_of(r.ref[i]));
    return r;
}

/* First index from which `count` blocks lie side by side in one sector. */
static inline size_t side_by_side(const amx_t *h, const struct row *r, size_t from, size_t count)
{
    size_t run = 1;

    for (size_t i = from + 1; i < r->n; i++) {
        struct amx_block left = look(h, offset_of(r->ref[i - 1]));
        struct amx_block right = look(h, offset_of(r->ref[i]));

        run = left.sector == right.sector && left.offset + left.bytes == right.offset ? run + 1 : 1;
        if (run == count)
            return i + 1 - count;
    }
    must(false); /* a segment so small, or blocks so large */
    return 0;
}

static inline void free_row(amx_t *h, struct row *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->ref[i] != AMX_REF_NONE) {
            verify(h, r->ref[i], offset_of(r->ref[i]));
            must_ok(amx_free(h, r->ref[i]));
        }
    free(r->ref);
    r->ref = NULL;
    r->n = 0;
}

/* Frees one block of a row and returns it to its sector. */
static inline void free_home(amx_t *h, struct row *r, size_t i)
{
    verify(h, r->ref[i], offset_of(r->ref[i]));
    must_ok(amx_free(h, r->ref[i]));
    must_ok(amx_trim(h));
    r->ref[i] = AMX_REF_NONE;
}

#endif
