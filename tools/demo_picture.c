/* SPDX-License-Identifier: Apache-2.0 */
/* A picture of the segment: what lies in each of DEMO_CELLS equal parts of its data. */
#include <stdio.h>
#include <string.h>

#include "demo.h"
#include "out.h"

enum { PER_LINE = 64 };

/* Shape first: it tells the kinds apart without colour. */
static const struct {
    const char *name, *utf8, *ascii, *color;
} look[DEMO_KINDS] = {[DEMO_IS_FREE] = {"free", "·", ".", "\033[2m"},
                      [DEMO_IS_TEXT] = {"text", "█", "#", "\033[34m"},
                      [DEMO_IS_TABLE] = {"tables", "▓", "=", "\033[32m"},
                      [DEMO_IS_OTHER] = {"other live", "▒", "+", "\033[33m"},
                      [DEMO_IS_PARKED] = {"freed, not merged yet", "░", "-", "\033[36m"}};

static enum demo_kind kind_of(const struct amx_block *b)
{
    if (b->state == AMX_STATE_FREE)
        return DEMO_IS_FREE;
    if (b->state == DEMO_TEXT || b->state == DEMO_COUNTING || b->state == DEMO_PASSED)
        return DEMO_IS_TEXT;
    if (b->state == DEMO_FILLING || b->state == DEMO_COMMITTED || b->state == DEMO_TABLE)
        return DEMO_IS_TABLE;
    return b->state == AMX_STATE_ALLOCATED || b->state >= AMX_STATE_USER_MIN ? DEMO_IS_OTHER : DEMO_IS_PARKED;
}

/* First byte of a cell, counted from the first sector. */
static uint64_t cell_start(const struct demo_picture *p, uint64_t cell)
{
    return cell * (p->data_bytes / DEMO_CELLS) + cell * (p->data_bytes % DEMO_CELLS) / DEMO_CELLS;
}

static int paint(const struct amx_block *b, void *ctx)
{
    struct demo_picture *p = ctx;
    enum demo_kind kind = kind_of(b);
    uint64_t at = b->offset - p->data_offset, end = at + b->bytes;

    if (b->offset < p->data_offset || end > p->data_bytes)
        return 0;
    if (kind != DEMO_IS_FREE && kind != DEMO_IS_PARKED)
        p->live += b->bytes;
    for (uint64_t c = (uint64_t)((double)at / (double)p->data_bytes * DEMO_CELLS); c < DEMO_CELLS; c++) {
        uint64_t low = cell_start(p, c), high = cell_start(p, c + 1);

        if (low >= end)
            break;
        low = low < at ? at : low;
        high = high > end ? end : high;
        if (high > low)
            p->kind[c][kind] += high - low;
    }
    return 0;
}

void demo_picture_sample(const amx_t *h, struct demo_picture *best)
{
    struct demo_picture now = {.data_offset = best->data_offset, .data_bytes = best->data_bytes};

    amx_walk(h, paint, &now); /* sectors in use are left out: a sample */
    if (now.live > best->live)
        *best = now;
}

/* What there is most of in a cell. */
static enum demo_kind majority(const uint64_t kind[DEMO_KINDS])
{
    enum demo_kind best = DEMO_IS_FREE;

    for (unsigned k = 1; k < DEMO_KINDS; k++)
        if (kind[k] > kind[best])
            best = (enum demo_kind)k;
    return best;
}

static void put(unsigned kind, bool utf8, bool color)
{
    const char *shape = utf8 ? look[kind].utf8 : look[kind].ascii;

    if (color)
        printf("%s%s\033[0m", look[kind].color, shape);
    else
        fputs(shape, stdout);
}

void demo_picture_print(const struct demo_picture *p)
{
    bool utf8 = out_utf8(), color = out_color(stdout);
    char human[OUT_HUMAN];

    printf("the segment at its fullest, each cell %s:\n", out_human(human, p->data_bytes / DEMO_CELLS));
    for (unsigned c = 0; c < DEMO_CELLS; c++) {
        if (c % PER_LINE == 0)
            fputs("  |", stdout);
        put(majority(p->kind[c]), utf8, color);
        if (c % PER_LINE == PER_LINE - 1)
            puts("|");
    }
    fputs("  ", stdout);
    for (unsigned k = 0; k < DEMO_KINDS; k++) {
        put(k, utf8, color);
        printf(" %s%s", look[k].name, k + 1 < DEMO_KINDS ? "   " : "\n");
    }
}
