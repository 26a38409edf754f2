/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A counter: words of text blocks, in place, into tables for the merger.
 *
 * It may be killed at any instruction, and each word counts once all the same. What it has in hand is in kept states,
 * so its death makes that nobody's, and its successor finds it. Only a table that is being filled falls with it; so a
 * text is freed after the table that counts it was committed, not before:
 *
 *   step                                          killed after it, the successor
 *   1 adopt the text, TEXT -> COUNTING            counts it from `start`: what a table that fell had of it is gone
 *   2 take it off the box                         as above; before: finds it twice and takes it once
 *   3 count it, note it in the table              as above
 *   4 the table: FILLING -> COMMITTED             goes on with 5: from here on the table counts
 *   5 each text that is noted: `start`, or free   does it again: what was freed is a stale reference
 *   6 COMMITTED -> TABLE                          goes on with 7
 *   7 put it into the box                         puts it again: the second reference is stale when its turn comes
 */
#include <stdlib.h>
#include <string.h>

#include "demo.h"
#include "tool.h"

enum { TRY_NS = 1000000 /* for a table; the text goes to the merger if there is no memory */ };

static const char *const who = "demo counter";

/* The table that is being filled. */
struct work {
    struct demo_tab tab;
    struct demo_table *table; /* NULL: there is none */
    amx_ref ref;
};

static bool no_memory(int err)
{
    return err == AMX_E_NOMEM || err == AMX_E_BUSY || err == AMX_E_TIMEOUT || err == AMX_E_TOO_BIG;
}

static struct demo_box *in(const struct demo_self *self)
{
    return self->in[self->seat - DEMO_COUNTER];
}

static int send(struct demo_self *self, amx_ref ref)
{
    return demo_put(self, self->out[self->seat - DEMO_COUNTER], DEMO_MERGER, ref);
}

/* --- Tables --------------------------------------------------------------------------------------------------- */

/* Begins a table with room for a word of `need` bytes. */
static int begin_table(struct demo_self *self, uint32_t need, struct work *w)
{
    uint32_t slots = self->hub->table_slots;
    uint32_t text = self->hub->table_text > need ? self->hub->table_text : need;
    size_t words_at = sizeof *w->table + slots * sizeof(struct demo_slot);
    void *p;
    int err = amx_alloc_wait(self->h, words_at + text, TRY_NS, &w->ref);

    if (!err)
        err = amx_set_state(self->h, w->ref, DEMO_FILLING);
    if (!err)
        err = amx_ptr(self->h, w->ref, &p);
    if (err)
        return err;
    memset(p, 0, words_at);
    w->table = p;
    w->table->counter = self->seat;
    w->tab = (struct demo_tab){.slot = (struct demo_slot *)(void *)(w->table + 1),
                               .text = (char *)p + words_at,
                               .slots = slots,
                               .text_size = text};
    return AMX_OK;
}

/* Lets go of the texts that a committed table counts, up to where it counts them. */
static int settle_texts(struct demo_self *self, const struct demo_table *t)
{
    if (t->texts > DEMO_TABLE_TEXTS)
        return AMX_E_CORRUPT;
    for (uint32_t i = 0; i < t->texts; i++) {
        struct demo_text *text;
        int err = demo_text_at(self, t->text[i].ref, &text);

        if (err == AMX_E_STALE) /* done already, by one who died since */
            continue;
        if (err)
            return err;
        atomic_fetch_add_explicit(&self->hub->counted, t->text[i].end - text->start, memory_order_relaxed);
        text->start = t->text[i].end;
        err = text->start == text->len ? amx_free(self->h, t->text[i].ref) : AMX_OK;
        if (err)
            return err;
    }
    return AMX_OK;
}

/* From committed to the merger. */
static int deliver(struct demo_self *self, amx_ref ref, const struct demo_table *t)
{
    int err = settle_texts(self, t);

    if (!err)
        err = amx_transition(self->h, ref, DEMO_COMMITTED, DEMO_TABLE, AMX_RELEASE, NULL);
    return err ? err : send(self, ref);
}

static int end_table(struct demo_self *self, struct work *w)
{
    struct demo_table *t = w->table;
    int err;

    if (!t)
        return AMX_OK;
    t->slots = w->tab.slots;
    t->text_used = w->tab.text_used;
    w->table = NULL;
    err = amx_transition(self->h, w->ref, DEMO_FILLING, DEMO_COMMITTED, AMX_RELEASE, NULL);
    if (!err)
        err = deliver(self, w->ref, t);
    if (!err)
        atomic_fetch_add_explicit(&self->hub->tables, 1, memory_order_relaxed);
    return err;
}

/* --- Texts ---------------------------------------------------------------------------------------------------- */

/* Leaves the rest of a text to the merger. */
static int pass_on(struct demo_self *self, amx_ref ref)
{
    int err = amx_transition(self->h, ref, DEMO_COUNTING, DEMO_PASSED, AMX_RELEASE, NULL);

    if (!err)
        err = send(self, ref);
    if (!err)
        atomic_fetch_add_explicit(&self->hub->passed, 1, memory_order_relaxed);
    return err;
}

/* Counts a text of our own where it lies. */
static int count(struct demo_self *self, struct work *w, amx_ref ref)
{
    struct demo_text *text;
    uint32_t pos, need = 0;
    int err = demo_text_at(self, ref, &text);

    if (err)
        return err;
    for (pos = text->start;;) {
        bool all = w->table && demo_count(&w->tab, (const char *)(text + 1), text->len, &pos, &need);

        if (w->table)
            w->table->text[w->table->texts++] = (struct demo_done){.ref = ref, .end = pos};
        if (all)
            return w->table->texts == DEMO_TABLE_TEXTS ? end_table(self, w) : AMX_OK;
        err = end_table(self, w);
        if (!err)
            err = begin_table(self, need, w);
        if (err)
            return no_memory(err) && !demo_aborted(self) ? pass_on(self, ref) : err;
    }
}

/* A text from the box. */
static int one_text(struct demo_self *self, struct work *w, amx_ref ref)
{
    struct demo_text *text;
    int err = amx_adopt(self->h, ref);

    if (err == AMX_E_OWNER || err == AMX_E_STALE) { /* we had it from our predecessor */
        demo_taken(self, in(self), DEMO_READER);
        return AMX_OK;
    }
    if (!err)
        err = demo_text_at(self, ref, &text);
    if (err)
        return err;
    text->counter = self->seat;
    err = amx_transition(self->h, ref, DEMO_TEXT, DEMO_COUNTING, AMX_ACQ_REL, NULL);
    demo_taken(self, in(self), DEMO_READER);
    return err ? err : count(self, w, ref);
}

/* --- What a dead predecessor had in hand ------------------------------------------------------------------------ */

struct left {
    struct {
        amx_ref ref;
        uint32_t state;
    } * block;
    size_t blocks;
};

static int find(const struct amx_block *b, void *ctx)
{
    struct left *l = ctx;

    if (b->owner || b->state < DEMO_COUNTING || b->state > DEMO_PASSED)
        return 0;
    l->block = tool_realloc(l->block, l->blocks + 1, sizeof *l->block);
    l->block[l->blocks].ref = b->ref;
    l->block[l->blocks++].state = b->state;
    return 0;
}

/* A table that was committed: the merger has never heard of it. */
static int redo_table(struct demo_self *self, amx_ref ref)
{
    struct demo_table *t;
    void *p;
    int err = amx_read_mut(self->h, ref, sizeof *t, &p);

    if (err)
        return err;
    t = p;
    if (t->counter != self->seat)
        return AMX_OK; /* for the successor of another */
    err = amx_adopt(self->h, ref);
    if (!err)
        err = deliver(self, ref, t);
    if (!err)
        atomic_fetch_add_explicit(&self->hub->resent, 1, memory_order_relaxed);
    return err;
}

static int redo_text(struct demo_self *self, struct work *w, amx_ref ref)
{
    struct demo_text *text;
    int err = demo_text_at(self, ref, &text);

    if (err == AMX_E_STALE) /* one of our tables counts it, as we have just found */
        return AMX_OK;
    if (err || text->counter != self->seat)
        return err;
    err = amx_adopt(self->h, ref);
    if (err)
        return err;
    atomic_fetch_add_explicit(&self->hub->redone, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&self->hub->redone_bytes, text->len - text->start, memory_order_relaxed);
    return count(self, w, ref);
}

/* Tables first: they say which texts are counted. Of those, none is counted again unless every table has been seen. */
static int take_over(struct demo_self *self, struct work *w)
{
    struct left l = {0};
    int seen = amx_walk(self->h, find, &l), err = seen == AMX_E_PARTIAL ? AMX_OK : seen;

    for (size_t i = 0; i < l.blocks && !err; i++)
        if (l.block[i].state == DEMO_COMMITTED)
            err = redo_table(self, l.block[i].ref);
        else if (l.block[i].state != DEMO_COUNTING)
            err = send(self, l.block[i].ref); /* perhaps for the second time */
    for (size_t i = 0; i < l.blocks && !err && seen == AMX_OK; i++)
        if (l.block[i].state == DEMO_COUNTING)
            err = redo_text(self, w, l.block[i].ref);
    free(l.block);
    if (err || seen)
        return err;
    self->successor = false;
    atomic_fetch_add_explicit(&self->hub->succeeded, 1, memory_order_relaxed);
    return AMX_OK;
}

int demo_counter(struct demo_self *self)
{
    struct work w = {0};
    int err = AMX_OK;

    while (!err) {
        uint32_t bell = demo_bell(self);
        bool closed = demo_closed(in(self));
        amx_ref ref;

        if (self->successor)
            err = take_over(self, &w);
        if (err)
            break;
        if (!self->successor && demo_peek(in(self), &ref))
            err = one_text(self, &w, ref);
        else if (demo_memory_wanted(self) && w.table)
            err = end_table(self, &w); /* the reader may wait for this very memory */
        else if (closed && !self->successor)
            break;
        else if (demo_aborted(self))
            err = AMX_E_TIMEOUT;
        else
            demo_wait(self, bell, DEMO_WAITS_INPUT);
    }
    if (!err)
        err = end_table(self, &w);
    if (!err)
        demo_close(self, self->out[self->seat - DEMO_COUNTER], DEMO_MERGER);
    if (demo_aborted(self))
        return AMX_E_TIMEOUT; /* what failed then is no news */
    return err ? tool_fail(err, who, "%u: %s", self->seat - DEMO_COUNTER + 1, amx_strerror(err)) : err;
}
