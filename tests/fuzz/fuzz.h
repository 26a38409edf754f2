/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damaged segments: a good segment is damaged, then every public call and every verb of the tool meets it. What is
 * claimed: each answers with a result or an error; none crashes, hangs, or stores outside the segment.
 *
 * Everything that happens is decided by a tape: bytes of a file (a fuzzer's input), or dice of a seed. The same tape
 * does the same again.
 */
#ifndef AMX_FUZZ_H
#define AMX_FUZZ_H

#include "segment.h"
#include "tests/support.h"

/* A claim that fails is a crash, for fuzzers too. Include this file before the kits. */
#undef must
#define must(cond) ((cond) ? (void)0 : broken_(#cond, __FILE__, __LINE__))
__attribute__((noreturn)) static inline void broken_(const char *text, const char *file, int line)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
    abort();
}

struct tape {
    const uint8_t *in; /* what a fuzzer wrote; behind its end go on the dice */
    size_t left;
    struct rng dice;
    uint8_t *copy; /* where the choices are written down, in the form of `in`; or NULL */
    size_t copied, room;
};

struct tape tape_of_seed(uint64_t seed);
struct tape tape_of_bytes(const uint8_t *in, size_t n);
/* The next choice: 0..n-1; n = 0: any 64 bits. */
uint64_t pick(struct tape *t, uint64_t n);

/* A good segment, as it lies in its file. */
struct sound {
    struct amxi_geometry g;
    uint8_t *bytes;
    amx_ref ref[32]; /* of its blocks: what users have in hand when the damage comes */
};

/* Damages a segment of which `len` bytes are there: something in its structure, or bytes anywhere. */
void damage(struct tape *t, uint8_t *base, uint64_t len, const struct amxi_geometry *g);
/* One field in the books of sector i, or of a block in it, and nothing outside. */
void damage_sector(struct tape *t, uint8_t *base, const struct amxi_geometry *g, uint32_t i);
/* A file made from a good segment that is no good segment: cut, grown, foreign, of a wrong geometry. malloc. */
uint8_t *damaged_file(struct tape *t, const struct sound *from, const struct sound *other, uint64_t *len);

/* Makes the good segments, in a directory that is the caller's and that AMX_DIR names. */
void fuzz_begin(void);
/* One damaged segment, and all calls. tool: also run as a program; NULL: its verbs are only called. */
void fuzz_one(struct tape *t, const char *tool);

/* Lines of the tool on that segment; the first VERBS_READING of them change nothing. */
enum { VERBS_READING = 19, VERB_LINES = 24 };
void verb_call(int i);
void verb_program(const char *tool, int i);
extern char fuzz_file[]; /* where the segment is */

#endif
