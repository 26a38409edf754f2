/* SPDX-License-Identifier: Apache-2.0 */
#include "out.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

enum {
    KEPT_ROWS = 512, /* rows that a table keeps to find its widths */
    BAR_CELLS = 40
};

bool out_color(FILE *f)
{
    const char *no = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    return !(no && *no) && term && strcmp(term, "dumb") != 0 && isatty(fileno(f));
}

bool out_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

const char *out_human(char buf[OUT_HUMAN], uint64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned u = 0;
    uint64_t rest = 0, whole = bytes;

    while (whole >= 1024 && u < 4) {
        rest = whole & 1023;
        whole >>= 10;
        u++;
    }
    if (bytes == whole << (10 * u) || whole >= 100)
        snprintf(buf, OUT_HUMAN, "%u %s", (unsigned)whole, unit[u]);
    else
        snprintf(buf, OUT_HUMAN, "%u.%u %s", (unsigned)whole, (unsigned)(rest * 10 / 1024), unit[u]);
    return buf;
}

const char *out_grouped(char buf[OUT_GROUPED], uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    char *to = buf;

    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = 0;
    return buf;
}

unsigned out_percent(uint64_t part, uint64_t whole)
{
    return whole ? (unsigned)((double)part * 100 / (double)whole) : 0;
}

/* --- Tables --------------------------------------------------------------------------------------------------- */

/* Length of the valid UTF-8 character at s; 0 if there is none. */
static unsigned utf8_at(const unsigned char *s)
{
    unsigned n = *s < 0x80                 ? 1
                 : *s >= 0xc2 && *s < 0xe0 ? 2
                 : *s >= 0xe0 && *s < 0xf0 ? 3
                 : *s >= 0xf0 && *s < 0xf5 ? 4
                                           : 0;

    for (unsigned i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) || (*s == 0xf0 && s[1] < 0x90) ||
        (*s == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

void out_tame(char *text)
{
    unsigned char *s = (unsigned char *)text;

    while (*s) {
        unsigned n = utf8_at(s);

        if (n == 0 || *s < ' ' || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0)) {
            *s = '?';
            n = 1;
        }
        s += n;
    }
}

static size_t columns(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void put_cell(const struct out_table *t, size_t c, const char *text)
{
    size_t have = columns(text);
    int pad = (int)(t->width[c] > have ? t->width[c] - have : 0);
    bool last = c + 1 == t->cols;

    if (t->col[c].right)
        printf("%*s%s", pad, "", text);
    else
        printf("%s%*s", text, last ? 0 : pad, "");
    fputs(last ? "\n" : "  ", stdout);
}

/* Fixes the widths and prints what was kept. */
static void flow(struct out_table *t)
{
    t->flowing = true;
    for (size_t c = 0; c < t->cols; c++)
        t->width[c] = t->headings ? columns(t->col[c].title) : 0;
    for (size_t i = 0; i < t->cells; i++) {
        size_t have = columns(t->cell[i]);

        if (have > t->width[i % t->cols])
            t->width[i % t->cols] = have;
    }
    for (size_t c = 0; t->headings && c < t->cols; c++)
        put_cell(t, c, t->col[c].title);
    for (size_t i = 0; i < t->cells; i++) {
        put_cell(t, i % t->cols, t->cell[i]);
        free(t->cell[i]);
    }
}

void out_table_begin(struct out_table *t, const struct out_col *col, size_t cols, bool headings)
{
    memset(t, 0, sizeof *t);
    t->col = col;
    t->cols = cols;
    t->headings = headings;
    t->cell = tool_realloc(NULL, cols * KEPT_ROWS, sizeof *t->cell);
}

void out_table_cell(struct out_table *t, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    out_tame(text);
    if (!t->flowing && t->cells == t->cols * KEPT_ROWS)
        flow(t);
    if (t->flowing) {
        put_cell(t, t->cells % t->cols, text);
    } else {
        t->cell[t->cells] = tool_realloc(NULL, strlen(text) + 1, 1);
        strcpy(t->cell[t->cells], text);
    }
    t->cells++;
}

void out_table_end(struct out_table *t)
{
    if (!t->flowing)
        flow(t);
    free(t->cell);
}

/* --- JSON ----------------------------------------------------------------------------------------------------- */

static void put_string(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    putchar('"');
    while (*s) {
        unsigned n = utf8_at(s);

        if (n == 0)
            fputs("\\ufffd", stdout);
        else if (*s < ' ')
            printf("\\u%04x", *s);
        else if (*s == '"' || *s == '\\')
            printf("\\%c", *s);
        else
            fwrite(s, 1, n, stdout);
        s += n ? n : 1;
    }
    putchar('"');
}

/* An object inside an array stands on one line, everything else on lines of its own. */
static void member(struct out_json *j, const char *key)
{
    bool inside = j->depth >= 2 && j->close[j->depth - 1] == ']';

    if (j->some[j->depth])
        putchar(',');
    if (inside)
        fputs(j->some[j->depth] ? " " : "", stdout);
    else if (j->depth)
        printf("\n%*s", (int)j->depth * 2, "");
    j->some[j->depth] = true;
    if (key) {
        put_string(key);
        fputs(": ", stdout);
    }
}

void out_json_begin(struct out_json *j, const char *schema)
{
    memset(j, 0, sizeof *j);
    out_json_open(j, NULL, '{');
    out_json_text(j, "schema", schema);
}

void out_json_end(struct out_json *j)
{
    out_json_close(j);
    putchar('\n');
}

void out_json_open(struct out_json *j, const char *key, char bracket)
{
    member(j, key);
    putchar(bracket);
    j->depth++;
    j->some[j->depth] = false;
    j->close[j->depth] = bracket == '{' ? '}' : ']';
}

void out_json_close(struct out_json *j)
{
    bool inside = j->depth >= 2 && j->close[j->depth - 1] == ']';
    char close = j->close[j->depth];

    if (j->some[j->depth] && !inside)
        printf("\n%*s", ((int)j->depth - 1) * 2, "");
    putchar(close);
    j->depth--;
}

void out_json_text(struct out_json *j, const char *key, const char *text)
{
    member(j, key);
    if (text)
        put_string(text);
    else
        fputs("null", stdout);
}

void out_json_number(struct out_json *j, const char *key, uint64_t n)
{
    member(j, key);
    printf("%" PRIu64, n);
}

void out_json_thousandths(struct out_json *j, const char *key, uint64_t n)
{
    member(j, key);
    printf("%" PRIu64 ".%03" PRIu64, n / 1000, n % 1000);
}

void out_json_word(struct out_json *j, const char *key, uint64_t n)
{
    member(j, key);
    printf("\"%" PRIu64 "\"", n);
}

void out_json_bool(struct out_json *j, const char *key, bool yes)
{
    member(j, key);
    fputs(yes ? "true" : "false", stdout);
}

/* --- Progress ------------------------------------------------------------------------------------------------- */

void out_bar_begin(struct out_bar *b, const char *label)
{
    const char *term = getenv("TERM");

    b->label = label;
    b->terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    b->tenth = 0;
}

void out_bar_show(struct out_bar *b, uint64_t done, uint64_t total, const char *note)
{
    unsigned percent = out_percent(done > total ? total : done, total);
    char cells[BAR_CELLS + 1];

    if (!b->terminal) {
        if (percent / 10 == b->tenth)
            return;
        b->tenth = percent / 10;
        fprintf(stderr, "%s: %u %%, %s\n", b->label, b->tenth * 10, note);
        return;
    }
    for (unsigned i = 0; i < BAR_CELLS; i++)
        cells[i] = i * 100 < percent * BAR_CELLS ? '#' : '.';
    cells[BAR_CELLS] = 0;
    fprintf(stderr, "\r%s [%s] %3u %%  %s\033[K", b->label, cells, percent, note);
}

void out_bar_end(struct out_bar *b)
{
    if (b->terminal)
        fputc('\n', stderr);
}
