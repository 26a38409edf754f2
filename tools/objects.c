/* SPDX-License-Identifier: Apache-2.0 */
#include "objects.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

static const struct out_col check_columns[] = {
    {NULL, false}, {"GRADE", false}, {"RULE", false}, {"OFFSET", true}, {"FINDING", false}};
enum { CHECK_COLUMNS = sizeof check_columns / sizeof *check_columns };

void object_add(struct object_places *all, amx_ref block, uint64_t base)
{
    if (all->n < AMX_OBJECTS)
        all->at[all->n++] = (struct object){.block = block, .base = base};
}

/* --- Checking ------------------------------------------------------------------------------------------------- */

static int finding(const struct amx_finding *f, void *ctx)
{
    static const char *const grades[] = {
        [AMX_GRADE_NOTE] = "note", [AMX_GRADE_UNDONE] = "undone", [AMX_GRADE_CORRUPT] = "corrupt"};
    struct object_report *r = ctx;

    if (f->grade == AMX_GRADE_NOTE && !r->want->notes)
        return 0;
    if (r->want->json) {
        out_json_open(&r->j, NULL, '{');
        out_json_text(&r->j, "grade", grades[f->grade]);
        out_json_text(&r->j, "rule", f->rule);
        out_json_word(&r->j, "offset", f->offset);
        out_json_text(&r->j, "text", f->text);
        out_json_close(&r->j);
        return 0;
    }
    out_table_cell(&r->table, "%" PRIu64, r->block);
    out_table_cell(&r->table, "%s", grades[f->grade]);
    out_table_cell(&r->table, "%s", f->rule);
    out_table_cell(&r->table, "0x%" PRIx64, f->offset);
    out_table_cell(&r->table, "%s", f->text);
    return 0;
}

static void check(struct object_report *r, const struct object *o)
{
    struct amx_pool_check_result c = {.struct_size = sizeof c};

    r->block = o->block;
    if (r->want->json)
        out_json_open(&r->j, "findings", '[');
    (void)r->kind->check(o, finding, r, &c);
    r->undone += c.undone;
    r->corrupt += c.corrupt;
    if (!r->want->json)
        return;
    out_json_close(&r->j);
    out_json_text(&r->j, "verdict", c.corrupt ? "corrupt" : c.undone ? "undone" : "clean");
    out_json_number(&r->j, "notes", c.notes);
    out_json_number(&r->j, "undone", c.undone);
    out_json_number(&r->j, "corrupt", c.corrupt);
    out_json_number(&r->j, "slots", c.slots);
    out_json_number(&r->j, "used", c.used);
}

/* --- All of them ---------------------------------------------------------------------------------------------- */

static void begin(struct object_report *r, const struct object_action *a)
{
    char text[32];

    if (!r->want->json) {
        out_table_begin(&r->table, a->col, a->cols, true);
        return;
    }
    snprintf(text, sizeof text, "amx.%s/1", r->kind->verb);
    out_json_begin(&r->j, text);
    out_json_text(&r->j, "name", r->want->name);
    out_json_text(&r->j, "action", a->name);
    snprintf(text, sizeof text, "%ss", r->kind->verb);
    out_json_open(&r->j, text, '[');
}

static void end(struct object_report *r)
{
    if (!r->want->json) {
        out_table_end(&r->table);
        return;
    }
    out_json_close(&r->j);
    out_json_end(&r->j);
}

static int health(const struct object_report *r)
{
    const char *verb = r->kind->verb, *name = r->want->name;

    if (!r->want->json)
        printf("%s: %" PRIu64 " %ss: %" PRIu64 " corrupt, %" PRIu64 " undone\n", name, r->shown, verb, r->corrupt,
               r->undone);
    if (r->corrupt)
        return tool_fail(TOOL_UNHEALTHY, verb, "%s: a %s is damaged", name, verb);
    if (r->undone)
        return tool_fail(TOOL_UNHEALTHY, verb, "%s: %s", name, r->kind->lost);
    return TOOL_OK;
}

static int none(const struct object_kind *kind, const struct object_want *w)
{
    return tool_fail(TOOL_NOENT, kind->verb, "%s: there is no %s %" PRIu64 "\n  next: 'amx %s ls %s' lists them",
                     w->name, kind->verb, w->only, kind->verb, w->name);
}

static int look(const struct object_kind *kind, const struct object_want *w, const struct object_action *a)
{
    struct object_report r = {.want = w, .kind = kind};
    struct object_places all = {.n = 0};
    int err, code = tool_look(kind->verb, w->name, w->dir, &r.h);

    if (code)
        return code;
    err = kind->list(r.h, &all);
    begin(&r, a);
    for (unsigned i = 0; !err && i < all.n; i++) {
        struct object *o = &all.at[i];

        if ((w->only && o->block != w->only) || kind->attach(r.h, o)) {
            if (!w->only) { /* registered, and yet none: damaged at the top, or gone this moment */
                tool_fail(0, kind->verb, "%s: the %s in block %" PRIu64 " cannot be attached", w->name, kind->verb,
                          o->block);
                r.corrupt += a->show == check;
            }
            continue;
        }
        if (w->json) {
            out_json_open(&r.j, NULL, '{');
            out_json_word(&r.j, kind->verb, o->block);
        }
        a->show(&r, o);
        if (w->json)
            out_json_close(&r.j);
        r.shown++;
    }
    end(&r);
    (void)amx_close(r.h);
    if (err)
        return tool_fail_amx(kind->verb, w->name, err, NULL);
    if (w->only && !r.shown)
        return none(kind, w);
    return a->show == check ? health(&r) : TOOL_OK;
}

int object_look(const struct object_kind *kind, struct object_want *w, int argc, char **argv)
{
    struct out_col columns[CHECK_COLUMNS];
    struct object_action checking = {"check", check, columns, CHECK_COLUMNS};
    const struct object_action *a = kind->action;

    memcpy(columns, check_columns, sizeof columns);
    columns[0] = kind->action[0].col[0]; /* what one of them is called */
    while (a->name && strcmp(argv[0], a->name) != 0)
        a++;
    if (!a->name) {
        if (strcmp(argv[0], checking.name) != 0)
            return tool_usage(kind->verb, "there is no action '%s'", argv[0]);
        a = &checking;
    }
    if (argc > 3)
        return tool_usage(kind->verb, "one %s at most, there are %d", columns[0].title, argc - 2);
    if (argc == 3 && !tool_number(argv[2], 1, UINT64_MAX, &w->only))
        return tool_usage(kind->verb, "'%s' is not a %s: a number, as 'amx %s ls' tells it", argv[2], kind->verb,
                          kind->verb);
    return look(kind, w, a);
}

/* --- Making and changing one ---------------------------------------------------------------------------------- */

static int join(const char *verb, const struct object_want *w, amx_t **h)
{
    char why[256] = "", name[16];
    struct amx_options opts = AMX_OPTIONS_INIT;
    int err;

    snprintf(name, sizeof name, "amx %s", verb);
    opts.dir = w->dir;
    opts.peer_name = name;
    opts.why = why;
    opts.why_len = sizeof why;
    err = amx_attach(w->name, &opts, h);
    return err ? tool_fail_amx(verb, w->name, err, why) : TOOL_OK;
}

int object_create(const char *verb, const struct object_want *w, const void *config,
                  int (*make)(amx_t *h, const void *config, amx_ref *block))
{
    amx_ref block;
    amx_t *h;
    int err, code = join(verb, w, &h);

    if (code)
        return code;
    err = make(h, config, &block);
    if (!err && w->root >= 0)
        err = amx_root_set(h, (unsigned)w->root, block);
    if (!err)
        printf("%" PRIu64 "\n", block);
    (void)amx_close(h);
    return err ? tool_fail_amx(verb, w->name, err, NULL) : TOOL_OK;
}

int object_change(const struct object_kind *kind, const struct object_want *w, const void *to,
                  int (*change)(struct object *o, const void *to))
{
    struct object_places all = {.n = 0};
    unsigned i = 0;
    amx_t *h;
    int err, code = join(kind->verb, w, &h);

    if (code)
        return code;
    err = kind->list(h, &all);
    while (i < all.n && all.at[i].block != w->only)
        i++;
    if (!err && i < all.n)
        err = kind->attach(h, &all.at[i]);
    if (!err && i < all.n)
        err = change(&all.at[i], to);
    (void)amx_close(h);
    if (err)
        return tool_fail_amx(kind->verb, w->name, err, NULL);
    return i < all.n ? TOOL_OK : none(kind, w);
}

bool object_size_count(const char *text, uint64_t min, uint32_t *size, uint32_t *count)
{
    char first[32];
    const char *colon = strchr(text, ':');
    uint64_t bytes, n;

    if (!colon || (size_t)(colon - text) >= sizeof first)
        return false;
    memcpy(first, text, (size_t)(colon - text));
    first[colon - text] = '\0';
    if (!tool_size(first, &bytes) || bytes < min || bytes > UINT32_MAX ||
        !tool_number(colon + 1, 1, AMX_POOL_SLOTS, &n))
        return false;
    *size = (uint32_t)bytes;
    *count = (uint32_t)n;
    return true;
}

bool object_root(const char *text, struct object_want *w)
{
    uint64_t n;

    if (!tool_number(text, 0, AMX_ROOTS - 1, &n))
        return false;
    w->root = (int)n;
    return true;
}
