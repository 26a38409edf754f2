/* SPDX-License-Identifier: Apache-2.0 */
/* The merger: tables, and texts that found no table, into one private table; its result to stdout. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "demo.h"
#include "tool.h"

static const char *const who = "demo merger";

static int merge_table(struct demo_self *self, struct demo_tab *all, amx_ref ref)
{
    const struct demo_table *t;
    const struct demo_slot *slot;
    const char *text;
    size_t room;
    void *p;
    int err = amx_usable(self->h, ref, &room);

    if (!err)
        err = amx_ptr(self->h, ref, &p);
    if (err)
        return err;
    t = p;
    if (room < sizeof *t || t->slots > (room - sizeof *t) / sizeof *slot ||
        t->text_used > room - sizeof *t - t->slots * sizeof *slot)
        return AMX_E_CORRUPT;
    slot = (const struct demo_slot *)(const void *)(t + 1);
    text = (const char *)(slot + t->slots);
    for (uint32_t i = 0; i < t->slots; i++) {
        if (!slot[i].count)
            continue;
        if (slot[i].at > t->text_used || slot[i].len > t->text_used - slot[i].at)
            return AMX_E_CORRUPT;
        while (!demo_add(all, slot[i].hash, text + slot[i].at, slot[i].len, slot[i].count))
            if (!demo_grow(all))
                return AMX_E_NOMEM;
    }
    return amx_free(self->h, ref);
}

static int count_text(struct demo_self *self, struct demo_tab *all, amx_ref ref)
{
    struct demo_text *text;
    uint32_t pos, need;
    int err = demo_text_at(self, ref, &text);

    if (err)
        return err;
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

    if (err == AMX_E_STALE) /* it was put twice, by one that died and by its successor, and this is the second time */
        return AMX_OK;
    if (err)
        return err;
    return state == DEMO_TABLE    ? merge_table(self, all, ref)
           : state == DEMO_PASSED ? count_text(self, all, ref)
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
        if (!demo_peek(self->out[i], &ref))
            continue;
        demo_taken(self, self->out[i], DEMO_COUNTER + i);
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
