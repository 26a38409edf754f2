/* SPDX-License-Identifier: Apache-2.0 */
/* The merger: tables, and texts that found no table, into one private table; its result to stdout. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demo.h"
#include "tool.h"

static const char *const who = "demo merger";

/* A block of which at least `least` bytes are there. */
static int look(const struct demo_self *self, amx_ref ref, size_t least, size_t *room, void **p)
{
    int err = amx_usable(self->h, ref, room);

    if (!err)
        err = amx_ptr(self->h, ref, p);
    return err ? err : *room < least ? AMX_E_CORRUPT : AMX_OK;
}

static int merge_table(struct demo_self *self, struct demo_tab *all, amx_ref ref)
{
    const struct demo_table *t;
    const struct demo_slot *slot;
    const char *text;
    size_t room, text_room;
    void *p, *words;
    int err = look(self, ref, sizeof *t, &room, &p);

    if (err)
        return err;
    t = p;
    slot = (const struct demo_slot *)(const void *)(t + 1);
    err = look(self, t->words, t->text_used, &text_room, &words);
    if (err)
        return err;
    text = words;
    if (t->slots > (room - sizeof *t) / sizeof *slot)
        return AMX_E_CORRUPT;
    for (uint32_t i = 0; i < t->slots; i++) {
        if (!slot[i].count)
            continue;
        if (slot[i].at > t->text_used || slot[i].len > t->text_used - slot[i].at)
            return AMX_E_CORRUPT;
        while (!demo_add(all, slot[i].hash, text + slot[i].at, slot[i].len, slot[i].count))
            if (!demo_grow(all))
                return AMX_E_NOMEM;
    }
    err = amx_free(self->h, t->words);
    return err ? err : amx_free(self->h, ref);
}

static int count_text(struct demo_self *self, struct demo_tab *all, amx_ref ref)
{
    const struct demo_text *text;
    uint32_t pos, need;
    size_t room;
    void *p;
    int err = look(self, ref, sizeof *text, &room, &p);

    if (err)
        return err;
    text = p;
    if (text->start > text->len || text->len > room - sizeof *text)
        return AMX_E_CORRUPT;
    for (pos = text->start; !demo_count(all, (const char *)(text + 1), text->len, &pos, &need);)
        if (!demo_grow(all))
            return AMX_E_NOMEM;
    atomic_fetch_add_explicit(&self->hub->counted, text->len - text->start, memory_order_relaxed);
    return amx_free(self->h, ref);
}

static int merge(struct demo_self *self, struct demo_tab *all, amx_ref ref)
{
    uint32_t state;
    int err = amx_get_state(self->h, ref, AMX_ACQUIRE, &state);

    if (err)
        return err;
    return state == DEMO_TABLE  ? merge_table(self, all, ref)
           : state == DEMO_TEXT ? count_text(self, all, ref)
                                : AMX_E_STATE;
}

/* Takes what is there from each box once. *any: something was. *open: something may still come. */
static int round_of_boxes(struct demo_self *self, struct demo_tab *all, bool *any, bool *open)
{
    *any = *open = false;
    for (uint32_t i = 0; i < self->hub->workers; i++) {
        bool closed = demo_closed(self->out[i]);
        amx_ref ref;
        int err;

        *open |= !closed;
        if (!demo_take(self, self->out[i], DEMO_COUNTER + i, &ref))
            continue;
        *any = true;
        err = merge(self, all, ref);
        if (err)
            return err;
    }
    return AMX_OK;
}

/* The result as demo_counts_read takes it: count, length, bytes of each word. */
static int report(const struct demo_tab *all)
{
    for (uint32_t i = 0; i < all->slots; i++) {
        const struct demo_slot *s = &all->slot[i];

        if (!s->count)
            continue;
        fwrite(&s->count, sizeof s->count, 1, stdout);
        fwrite(&s->len, sizeof s->len, 1, stdout);
        fwrite(all->text + s->at, 1, s->len, stdout);
    }
    return fflush(stdout) || ferror(stdout) ? tool_fail(AMX_E_SYS, who, "result: %s", strerror(errno)) : AMX_OK;
}

int demo_merger(struct demo_self *self)
{
    struct demo_tab all = {0};
    bool any = true, open = true;
    int err = AMX_OK;

    while (!err && (any || open)) {
        uint32_t bell = demo_bell(self);

        if (demo_aborted(self))
            err = AMX_E_TIMEOUT;
        else
            err = round_of_boxes(self, &all, &any, &open);
        if (!err && !any && open)
            demo_wait(self, bell, DEMO_WAITS_INPUT);
    }
    if (err && !demo_aborted(self)) /* else it is no news */
        tool_fail(0, who, "%s", amx_strerror(err));
    if (!err)
        err = report(&all);
    free(all.slot);
    free(all.text);
    return err;
}
