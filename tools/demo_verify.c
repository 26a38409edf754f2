/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The independent count: reads the files itself, sorts all words, counts equal neighbours. Shares nothing with the
 * counting through the segment but the definition of a word in demo.h, which it writes down once more.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demo.h"
#include "tool.h"

/* What each byte becomes in a word; 0 ends it. */
static void make_map(char map[256])
{
    static const char alone[] = "abcdefghijklmnopqrstuvwxyz0123456789'";

    memset(map, 0, 128);
    for (int c = 128; c < 256; c++)
        map[c] = (char)c;
    for (const char *p = alone; *p; p++) {
        map[(unsigned char)*p] = *p;
        map[toupper((unsigned char)*p)] = *p;
    }
}

/* The first f->size bytes of a file, and a zero. 0 or an errno. */
static int load(const struct demo_file *f, char *to)
{
    FILE *in = fopen(f->path, "r");
    size_t got;

    if (!in)
        return errno;
    got = fread(to, 1, (size_t)f->size, in);
    fclose(in);
    to[f->size] = 0;
    return got == f->size ? 0 : ENODATA;
}

static int by_text(const void *a, const void *b)
{
    const struct demo_word *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);

    return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void push(struct demo_counts *c, size_t *room, const char *text, size_t len, uint64_t count)
{
    if (c->words == *room) {
        *room = *room ? 2 * *room : 4096;
        c->word = tool_realloc(c->word, *room, sizeof *c->word);
    }
    c->word[c->words++] = (struct demo_word){text, len, count};
    c->total += count;
}

static void collect(struct demo_counts *c, size_t *room, const char map[256], char *text, size_t len, uint64_t rounds)
{
    size_t begin = 0;

    for (size_t i = 0; i <= len; i++) {
        text[i] = map[(unsigned char)text[i]];
        if (text[i])
            continue;
        if (i > begin)
            push(c, room, text + begin, i - begin, rounds);
        begin = i + 1;
    }
}

/* Equal neighbours become one. */
static void fold_equal(struct demo_counts *c)
{
    size_t kept = 0;

    for (size_t i = 1; i < c->words; i++) {
        if (by_text(&c->word[kept], &c->word[i]) == 0)
            c->word[kept].count += c->word[i].count;
        else
            c->word[++kept] = c->word[i];
    }
    c->words = c->words ? kept + 1 : 0;
}

int demo_verify_files(const struct demo_input *in, struct demo_counts *out)
{
    size_t room = 0, at = 0;
    char map[256];
    int err = 0;

    make_map(map);
    memset(out, 0, sizeof *out);
    out->store = tool_realloc(NULL, (size_t)in->bytes + in->files, 1);
    for (size_t i = 0; i < in->files && !err; i++) {
        err = load(&in->file[i], out->store + at);
        if (!err)
            collect(out, &room, map, out->store + at, (size_t)in->file[i].size, in->rounds);
        at += (size_t)in->file[i].size + 1;
    }
    if (err)
        return err;
    if (out->words)
        qsort(out->word, out->words, sizeof *out->word, by_text);
    fold_equal(out);
    return 0;
}

int demo_counts_read(int fd, struct demo_counts *out)
{
    size_t room = 0, at = 0, len;
    struct stat st;

    memset(out, 0, sizeof *out);
    if (fstat(fd, &st))
        return errno;
    len = (size_t)st.st_size;
    out->store = tool_realloc(NULL, len + 1, 1);
    if (pread(fd, out->store, len, 0) != (ssize_t)len)
        return EIO;
    while (at < len) {
        uint64_t count;
        uint32_t n;

        if (len - at < sizeof count + sizeof n)
            return EIO;
        memcpy(&count, out->store + at, sizeof count);
        memcpy(&n, out->store + at + sizeof count, sizeof n);
        at += sizeof count + sizeof n;
        if (n > len - at)
            return EIO;
        push(out, &room, out->store + at, n, count);
        at += n;
    }
    if (out->words)
        qsort(out->word, out->words, sizeof *out->word, by_text);
    return 0;
}

bool demo_counts_equal(const struct demo_counts *a, const struct demo_counts *b, char *why, size_t len)
{
    for (size_t i = 0; i < a->words && i < b->words; i++) {
        const struct demo_word *x = &a->word[i], *y = &b->word[i];
        int order = by_text(x, y);
        const struct demo_word *only = order < 0 ? x : y;

        if (order)
            snprintf(why, len, "'%.*s' was counted by one side only", (int)(only->len < 40 ? only->len : 40),
                     only->text);
        else if (x->count != y->count)
            snprintf(why, len, "'%.*s' is %llu here and %llu there", (int)(x->len < 40 ? x->len : 40), x->text,
                     (unsigned long long)x->count, (unsigned long long)y->count);
        else
            continue;
        return false;
    }
    if (a->words != b->words)
        snprintf(why, len, "%zu distinct words here and %zu there", a->words, b->words);
    else if (a->total != b->total)
        snprintf(why, len, "%llu words here and %llu there", (unsigned long long)a->total,
                 (unsigned long long)b->total);
    return a->words == b->words && a->total == b->total;
}

void demo_counts_top(const struct demo_counts *c, size_t n, const struct demo_word *top[])
{
    for (size_t k = 0; k < n; k++)
        top[k] = NULL;
    for (size_t i = 0; i < c->words; i++) {
        const struct demo_word *w = &c->word[i];

        for (size_t k = 0; k < n; k++)
            if (!top[k] || w->count > top[k]->count) {
                const struct demo_word *pushed = top[k];

                top[k] = w;
                w = pushed;
                if (!w)
                    break;
            }
    }
}

void demo_counts_free(struct demo_counts *c)
{
    free(c->word);
    free(c->store);
}
