/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk, and the picture of one sector that it and the statistics are made of: read the sector's word, copy what
 * the chain says, read the word again. Each entry and leaving of a holder changes the word's epoch, so the same word
 * means that nobody was inside in between. States may change without the word: each is loaded once. The first look acquires
 * and pairs with the release in amxi_sec_leave; the second is not before the loads of what lies between, which are relaxed,
 * and pairs with amxi_entered.
 */
#include "block.h"
#include "look.h"

#include <stdlib.h>
#include <string.h>

#define TRIES 64u

int amxi_look_begin(const amx_t *h, struct amxi_look **out)
{
    if (!h->seg || h->seg->forked)
        return AMX_E_FORKED;
    uint64_t records = h->seg->g.su / AMXI_UNITS_MIN;
    struct amxi_look *l = malloc(sizeof *l + records * sizeof l->rec[0]);
    if (!l)
        return AMX_E_SYS;
    memset(l, 0, sizeof *l);
    l->s = h->seg;
    *out = l;
    return AMX_OK;
}

void amxi_look_end(struct amxi_look *l)
{
    free(l);
}

/* First looks. */
static uint64_t word_of(const struct amxi_seg *s, uint32_t i)
{
    return amxi_ld64_acq(&amxi_sector(s, i)->word);
}

/* The large block in front ended at `from`; what is here contradicts that. Relaxed: if the sector's second look finds its word
 * the same, what is here is what the first look acquired, and whoever left it so knew that the HEAD was gone: he ended it, or
 * took the front back when amxi_cut_valid, which acquires, said so. It is not older than the HEAD, which came after the run's
 * sectors were entered and was acquired too */
static void overlap(struct amxi_look *l)
{
    if (amxi_ld64_rlx(&amxi_sector(l->s, l->large)->word) == l->large_word)
        l->damaged = true;
    else
        l->busy = true; /* it was freed since: this sector is older than what we told of the ones before */
}

static void look_chain(struct amxi_look *l, uint32_t i)
{
    uint32_t su = l->s->g.su, first = amxi_ld32_rlx(&amxi_sector(l->s, i)->first);
    if (first >= su) {
        l->damaged = true;
        return;
    }
    if (first < l->from) {
        overlap(l);
        return;
    }
    l->first = l->end = first;
    while (l->end < su) {
        struct amxi_block_body *b = amxi_block(l->s, (uint64_t)i * su + l->end);
        struct amxi_rec r = {l->end, AMXI_W1_SIZE(amxi_ld64_rlx(&b->w1)), amxi_ld64_rlx(&b->w0)};
        if (r.units < AMXI_UNITS_MIN || r.units > su - l->end) {
            l->damaged = true;
            return;
        }
        l->rec[l->n++] = r;
        l->end += r.units;
    }
}

static void look_head(struct amxi_look *l, uint32_t i)
{
    const struct amxi_seg *s = l->s;
    struct amxi_sector_body *b = amxi_sector(s, i);
    uint32_t n = amxi_ld32_rlx(&b->ext_len), t = amxi_ld32_rlx(&b->ext_tail), first = amxi_ld32_rlx(&b->first);
    if (l->from) {
        overlap(l);
        return;
    }
    l->damaged = !n || n > s->g.sectors - i || t >= s->g.su || (t && n == s->g.sectors - i) || first >= s->g.su;
    for (uint32_t c = i + 1; !l->damaged && c < i + n; c++) {
        uint64_t w = word_of(s, c);
        l->damaged = AMXI_S_KIND(w) != AMXI_K_CONT || AMXI_S_WHO(w) != i;
    }
    if (l->damaged)
        return;
    struct amxi_block_body *h = amxi_block(s, (uint64_t)i * s->g.su + first);
    l->rec[l->n++] = (struct amxi_rec){first, n * s->g.su + t - first, amxi_ld64_rlx(&h->w0)};
    l->first = first;
    l->end = s->g.su;
}

static void look_cont(struct amxi_look *l, uint32_t i, uint64_t word)
{
    uint32_t who = AMXI_S_WHO(word);
    uint64_t head = who < i ? word_of(l->s, who) : 0;
    if (l->from == l->s->g.su)
        l->end = l->from;                      /* told with its head */
    else if (AMXI_S_KIND(head) == AMXI_K_HELD) /* being made or freed */
        l->busy = true;
    else if (AMXI_S_KIND(head) == AMXI_K_HEAD && i - who < amxi_ld32_rlx(&amxi_sector(l->s, who)->ext_len))
        l->busy = true; /* made since we were there */
    else
        l->damaged = true;
}

/* What the sector holds if its word stays the same meanwhile. */
static void look_once(struct amxi_look *l, uint32_t i, uint64_t word)
{
    l->kind = AMXI_S_KIND(word);
    l->busy = l->damaged = false;
    l->first = l->end = l->from;
    l->n = 0;
    switch (l->kind) {
    case AMXI_K_IDLE:
        look_chain(l, i);
        break;
    case AMXI_K_HELD:
        l->busy = true;
        break;
    case AMXI_K_HEAD:
        look_head(l, i);
        break;
    case AMXI_K_CONT:
        look_cont(l, i, word);
        break;
    default:
        l->damaged = true;
    }
}

void amxi_look_sector(struct amxi_look *l, uint32_t i)
{
    uint32_t su = l->s->g.su;
    uint64_t begin = (uint64_t)i * su, word = 0;
    l->from = l->covered <= begin ? 0 : l->covered - begin < su ? (uint32_t)(l->covered - begin) : su;
    bool same = false;
    for (uint32_t t = 0; t < TRIES && (!same || l->busy); t++) {
        word = word_of(l->s, i);
        look_once(l, i, word);
        same = amxi_ld64_again(&amxi_sector(l->s, i)->word) == word;
    }
    if (!same || l->busy) {
        l->busy = true;
        l->damaged = false;
        l->first = l->end = l->from;
        l->n = 0;
    } else if (l->kind == AMXI_K_HEAD && l->n) {
        l->covered = begin + l->rec[0].unit + l->rec[0].units;
        l->large = i;
        l->large_word = word;
    }
}

int amx_walk(const amx_t *h, amx_walk_fn *fn, void *ctx)
{
    if (!h || !fn)
        return AMX_E_INVAL;
    struct amxi_look *l;
    int e = amxi_look_begin(h, &l);
    if (e)
        return e;
    bool partial = false, corrupt = false;
    for (uint32_t i = 0; i < l->s->g.sectors && !e; i++) {
        amxi_look_sector(l, i);
        partial |= l->busy;
        corrupt |= l->damaged;
        for (uint32_t k = 0; k < l->n && !e; k++) {
            const struct amxi_rec *r = &l->rec[k];
            struct amx_block b;
            amxi_block_fill(l->s, ((uint64_t)i << l->s->g.su_log2) + r->unit, r->w0, (uint64_t)r->units * AMXI_UNIT,
                            &b);
            e = fn(&b, ctx);
        }
    }
    amxi_look_end(l);
    return e ? e : corrupt ? AMX_E_CORRUPT : partial ? AMX_E_PARTIAL : AMX_OK;
}
