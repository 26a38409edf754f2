/* SPDX-License-Identifier: Apache-2.0 */
/* A counter: words of text blocks, in place, into tables for the merger. */
#include <string.h>

#include "demo.h"
#include "tool.h"

enum {
    TABLE_BLOCKS = 16, /* text blocks after which a table is handed on, full or not */
    TRY_NS = 1000000   /* for a table; the text goes to the merger if there is no memory */
};

static const char *const who = "demo counter";

/* The table that is being filled. */
struct work {
    struct demo_tab tab;
    struct demo_table *head;
    amx_ref table, words; /* table == 0: there is none */
    uint32_t blocks;      /* counted into it */
};

static bool no_memory(int err)
{
    return err == AMX_E_NOMEM || err == AMX_E_BUSY || err == AMX_E_TIMEOUT || err == AMX_E_TOO_BIG;
}

static int block(struct demo_self *self, size_t bytes, uint32_t state, amx_ref *ref, void **p)
{
    int err = amx_alloc_wait(self->h, bytes, TRY_NS, ref);

    if (err)
        return err;
    err = amx_set_state(self->h, *ref, state);
    return err ? err : amx_ptr(self->h, *ref, p);
}

/* Begins a table with room for a word of `need` bytes. */
static int begin_table(struct demo_self *self, uint32_t need, struct work *w)
{
    uint32_t slots = self->hub->table_slots;
    uint32_t text = self->hub->table_text > need ? self->hub->table_text : need;
    size_t bytes = sizeof *w->head + slots * sizeof(struct demo_slot);
    amx_ref table;
    void *p, *words;
    int err = block(self, bytes, DEMO_TABLE, &table, &p);

    if (err)
        return err;
    err = block(self, text, DEMO_WORDS, &w->words, &words);
    if (err) {
        amx_free(self->h, table);
        return err;
    }
    memset(p, 0, bytes);
    w->table = table;
    w->head = p;
    w->blocks = 0;
    w->tab = (struct demo_tab){
        .slot = (struct demo_slot *)(void *)(w->head + 1), .text = words, .slots = slots, .text_size = text};
    return AMX_OK;
}

/* Gives the table to the merger: first its words, whose new reference it carries, then itself. */
static int end_table(struct demo_self *self, struct work *w)
{
    struct demo_seat *merger = &self->hub->seat[DEMO_MERGER];
    amx_id id = atomic_load_explicit(&merger->id, memory_order_relaxed); /* since demo_sit it stands */
    int err;

    if (!w->table)
        return AMX_OK;
    err = amx_give(self->h, w->words, id, &w->words);
    if (err)
        return err;
    w->head->slots = w->tab.slots;
    w->head->used = w->tab.used;
    w->head->text_size = w->tab.text_size;
    w->head->text_used = w->tab.text_used;
    w->head->words = w->words;
    err = demo_send(self, self->out[self->seat - DEMO_COUNTER], DEMO_MERGER, w->table);
    if (!err)
        atomic_fetch_add_explicit(&self->hub->tables, 1, memory_order_relaxed);
    w->table = AMX_REF_NONE;
    return err;
}

/* Leaves the rest of a text block to the merger. */
static int pass_on(struct demo_self *self, amx_ref ref)
{
    int err = amx_transition(self->h, ref, DEMO_COUNTING, DEMO_TEXT, AMX_RELEASE, NULL);

    if (!err)
        err = demo_send(self, self->out[self->seat - DEMO_COUNTER], DEMO_MERGER, ref);
    if (!err)
        atomic_fetch_add_explicit(&self->hub->passed, 1, memory_order_relaxed);
    return err;
}

/* Counts the text where it lies. *done: to the end; else there was no memory for a table. */
static int count(struct demo_self *self, struct work *w, struct demo_text *text, bool *done)
{
    uint32_t pos = text->start, need = 0;
    int err = AMX_OK;

    *done = false;
    while (!err) {
        bool all = w->table && demo_count(&w->tab, (const char *)(text + 1), text->len, &pos, &need);

        atomic_fetch_add_explicit(&self->hub->counted, pos - text->start, memory_order_relaxed);
        text->start = pos;
        if (all) {
            *done = true;
            return AMX_OK;
        }
        err = end_table(self, w);
        if (!err)
            err = begin_table(self, need, w);
    }
    return no_memory(err) && !demo_aborted(self) ? AMX_OK : err;
}

static int one_block(struct demo_self *self, struct work *w, amx_ref ref)
{
    struct demo_text *text;
    size_t room;
    bool done;
    void *p;
    int err = amx_transition(self->h, ref, DEMO_TEXT, DEMO_COUNTING, AMX_ACQUIRE, NULL);

    if (!err)
        err = amx_usable(self->h, ref, &room);
    if (!err)
        err = amx_ptr(self->h, ref, &p);
    if (err)
        return err;
    text = p;
    if (text->start > text->len || text->len > room - sizeof *text)
        return AMX_E_CORRUPT;
    err = count(self, w, text, &done);
    if (err)
        return err;
    if (!done)
        return pass_on(self, ref);
    err = amx_free(self->h, ref);
    return !err && ++w->blocks >= TABLE_BLOCKS ? end_table(self, w) : err;
}

int demo_counter(struct demo_self *self)
{
    struct demo_box *in = self->in[self->seat - DEMO_COUNTER];
    struct work w = {0};
    int err = AMX_OK;

    while (!err) {
        uint32_t bell = demo_bell(self);
        bool closed = demo_closed(in);
        amx_ref ref;

        if (demo_take(self, in, DEMO_READER, &ref))
            err = one_block(self, &w, ref);
        else if (closed)
            break;
        else if (demo_aborted(self))
            err = AMX_E_TIMEOUT;
        else if (w.table && demo_memory_wanted(self))
            err = end_table(self, &w);
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
