/* SPDX-License-Identifier: Apache-2.0 */
/* What the tool prints: sizes for people, tables that pad, JSON, a progress bar. Data to stdout, messages to stderr. */
#ifndef AMX_OUT_H
#define AMX_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/** May this stream get colours? Only terminals, and not if NO_COLOR is set. Colour never carries the only meaning. */
bool out_color(FILE *f);

/** Does the locale's character set have block characters? */
bool out_utf8(void);

/** A size as people read it: "64 KiB", "1.4 MiB". */
#define OUT_HUMAN 16
const char *out_human(char buf[OUT_HUMAN], uint64_t bytes);

/** A number with its thousands apart: "85,241,332". */
#define OUT_GROUPED 32
const char *out_grouped(char buf[OUT_GROUPED], uint64_t n);

/** part of whole in percent, rounded down; 0 of 0 is 0. */
unsigned out_percent(uint64_t part, uint64_t whole);

/** Puts ? for what is no printable UTF-8: what others wrote must not drive the terminal. */
void out_tame(char *text);

/* --- Tables --------------------------------------------------------------------------------------------------- */

#define OUT_COLS 16

struct out_col {
    const char *title;
    bool right; /**< numbers stand to the right */
};

/** A table. Its first rows are kept to find the widths of the columns; later ones flow out as they come. */
struct out_table {
    const struct out_col *col;
    size_t cols;
    bool headings;
    bool flowing;
    size_t width[OUT_COLS];
    char **cell;
    size_t cells;
};
void out_table_begin(struct out_table *t, const struct out_col *col, size_t cols, bool headings);
void out_table_cell(struct out_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void out_table_end(struct out_table *t);

/* --- JSON ----------------------------------------------------------------------------------------------------- */

#define OUT_DEPTH 8

/**
 * A JSON writer. Counts and sizes (always below 2^53) are numbers; offsets, references, generations and ids are
 * decimal strings, because many readers keep numbers as doubles. key is NULL inside an array.
 */
struct out_json {
    unsigned depth;
    bool some[OUT_DEPTH];  /* this level has a member already */
    char close[OUT_DEPTH]; /* what ends this level */
};
void out_json_begin(struct out_json *j, const char *schema);
void out_json_end(struct out_json *j);
void out_json_open(struct out_json *j, const char *key, char bracket); /**< '{' or '[' */
void out_json_close(struct out_json *j);
void out_json_text(struct out_json *j, const char *key, const char *text); /**< NULL: null */
void out_json_number(struct out_json *j, const char *key, uint64_t n);
void out_json_thousandths(struct out_json *j, const char *key, uint64_t n); /**< n / 1000 with three decimals */
void out_json_word(struct out_json *j, const char *key, uint64_t n); /**< an offset, reference, generation or id */
void out_json_bool(struct out_json *j, const char *key, bool yes);

/* --- Progress ------------------------------------------------------------------------------------------------- */

/** A progress bar on stderr: drawn over itself on a terminal, else one line for each tenth. */
struct out_bar {
    const char *label;
    bool terminal;
    unsigned tenth;
};
void out_bar_begin(struct out_bar *b, const char *label);
void out_bar_show(struct out_bar *b, uint64_t done, uint64_t total, const char *note);
void out_bar_end(struct out_bar *b);

#endif
