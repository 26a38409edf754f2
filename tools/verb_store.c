/* SPDX-License-Identifier: Apache-2.0 */
/* amx store: message stores of a segment. One verb with actions; all but create attach read-only. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "objects.h"
#include "tool.h"

enum { SOFT = 1, HARD, SOFT_BYTES, HARD_BYTES };
static const struct option options[] = {{"type", required_argument, NULL, 't'},
                                        {"policy", required_argument, NULL, 'p'},
                                        {"soft", required_argument, NULL, SOFT},
                                        {"hard", required_argument, NULL, HARD},
                                        {"soft-bytes", required_argument, NULL, SOFT_BYTES},
                                        {"hard-bytes", required_argument, NULL, HARD_BYTES},
                                        {"root", required_argument, NULL, 'r'},
                                        {"poisoned", no_argument, NULL, 'P'},
                                        {"json", no_argument, NULL, 'j'},
                                        {"notes", no_argument, NULL, 'N'},
                                        {"dir", required_argument, NULL, 'd'},
                                        {0}};

static const struct out_col ls_columns[] = {{"STORE", false}, {"BLOCK", true},    {"DEPTH", true}, {"PAYLOAD", true},
                                            {"USED", true},   {"POISONED", true}, {"BYTES", true}};
static const struct out_col info_columns[] = {
    {"STORE", false}, {"DEPTH", true}, {"PAYLOAD", true},    {"TYPE", true},       {"POLICY", false},
    {"SOFT", true},   {"HARD", true},  {"SOFT BYTES", true}, {"HARD BYTES", true}, {"STORE BYTES", true}};
static const struct out_col stat_columns[] = {
    {"STORE", false},    {"MARKS", false},   {"USED", true},    {"STORING", true}, {"CLAIMED", true},
    {"WRITING", true},   {"POISONED", true}, {"GUARDS", true},  {"BYTES", true},   {"HIGH", true},
    {"EXHAUSTED", true}, {"EVICTED", true},  {"DROPPED", true}, {"REJECTED", true}};
static const struct out_col message_columns[] = {
    {"STORE", false},   {"TOKEN", false}, {"STATE", false}, {"OWNER", true},    {"READERS", true},
    {"SIZE", true},     {"AGE", true},    {"TRACE", true},  {"SEQUENCE", true}, {"CREATED", true},
    {"DEADLINE", true}, {"TYPE", true},   {"QOS", false},   {"FLAGS", false}};

static const char *const policies[] = {
    [AMX_POLICY_NONE] = "none",
    [AMX_POLICY_REJECT] = "reject",
    [AMX_POLICY_DROP_NEWEST] = "drop-newest",
    [AMX_POLICY_DROP_OLDEST] = "drop-oldest",
    [AMX_POLICY_EVICT] = "evict",
};
enum { POLICIES = sizeof policies / sizeof *policies };
static const char *const levels[] = {
    [AMX_BELOW_SOFT] = "below", [AMX_BETWEEN] = "between", [AMX_AT_OR_ABOVE_HARD] = "reached"};

/* --- Stores --------------------------------------------------------------------------------------------------- */

static struct amx_store_stats stats_of(const struct object *o)
{
    struct amx_store_stats s = {.struct_size = sizeof s};

    (void)amx_store_stat(&o->store, &s); /* the view was just made */
    return s;
}

static void ls(struct object_report *r, const struct object *o)
{
    struct amx_store_stats s = stats_of(o);

    if (r->want->json) {
        out_json_number(&r->j, "depth", s.config.depth);
        out_json_number(&r->j, "payload_max", s.config.payload_max);
        out_json_number(&r->j, "used", s.used);
        out_json_number(&r->j, "poisoned", s.poisoned);
        out_json_number(&r->j, "bytes", s.bytes);
        return;
    }
    out_table_cell(&r->table, "%" PRIu64, o->block);
    out_table_cell(&r->table, "0x%" PRIx64, (o->block >> 32) * 16);
    out_table_cell(&r->table, "%u", s.config.depth);
    out_table_cell(&r->table, "%u", s.config.payload_max);
    out_table_cell(&r->table, "%u", s.used);
    out_table_cell(&r->table, "%u", s.poisoned);
    out_table_cell(&r->table, "%" PRIu64, s.bytes);
}

/* A mark, or that there is none. */
static void mark(struct object_report *r, const char *key, uint64_t n)
{
    if (r->want->json && n)
        out_json_number(&r->j, key, n);
    else if (r->want->json)
        out_json_text(&r->j, key, NULL);
    else if (n)
        out_table_cell(&r->table, "%" PRIu64, n);
    else
        out_table_cell(&r->table, "-");
}

static void info(struct object_report *r, const struct object *o)
{
    struct amx_store_config c = stats_of(o).config;
    const char *policy = (unsigned)c.marks.policy < POLICIES ? policies[c.marks.policy] : "?";
    uint64_t bytes = 0;

    (void)amx_store_required_size(&c, &bytes); /* it was attached with it */
    if (r->want->json) {
        out_json_number(&r->j, "depth", c.depth);
        out_json_number(&r->j, "payload_max", c.payload_max);
        out_json_number(&r->j, "type_id", c.type_id);
        out_json_text(&r->j, "policy", policy);
    } else {
        out_table_cell(&r->table, "%" PRIu64, o->block);
        out_table_cell(&r->table, "%u", c.depth);
        out_table_cell(&r->table, "%u", c.payload_max);
        out_table_cell(&r->table, "%u", c.type_id);
        out_table_cell(&r->table, "%s", policy);
    }
    mark(r, "soft_items", c.marks.soft_items);
    mark(r, "hard_items", c.marks.hard_items);
    mark(r, "soft_bytes", c.marks.soft_bytes);
    mark(r, "hard_bytes", c.marks.hard_bytes);
    if (r->want->json)
        out_json_number(&r->j, "store_bytes", bytes);
    else
        out_table_cell(&r->table, "%" PRIu64, bytes);
}

static void stat(struct object_report *r, const struct object *o)
{
    struct amx_store_stats s = stats_of(o);
    enum amx_watermark level = AMX_BELOW_SOFT;
    const struct {
        const char *key;
        uint64_t value;
    } number[] = {{"used", s.used},           {"storing", s.storing}, {"claimed", s.claimed}, {"writing", s.writing},
                  {"poisoned", s.poisoned},   {"guards", s.guards},   {"bytes", s.bytes},     {"high", s.high},
                  {"exhausted", s.exhausted}, {"evicted", s.evicted}, {"dropped", s.dropped}, {"rejected", s.rejected}};
    const char *text;

    (void)amx_store_watermark(&o->store, &level, NULL, NULL);
    text = s.config.marks.policy ? levels[level] : NULL;
    if (r->want->json) {
        out_json_text(&r->j, "marks", text);
    } else {
        out_table_cell(&r->table, "%" PRIu64, o->block);
        out_table_cell(&r->table, "%s", text ? text : "-");
    }
    for (unsigned i = 0; i < sizeof number / sizeof *number; i++)
        if (r->want->json)
            out_json_number(&r->j, number[i].key, number[i].value);
        else
            out_table_cell(&r->table, "%" PRIu64, number[i].value);
}

/* --- Messages ------------------------------------------------------------------------------------------------- */

static const char *state_text(uint32_t state)
{
    switch (state) {
    case AMX_STATE_ALLOCATED:
        return "storing";
    case AMX_STATE_STORED:
        return "stored";
    case AMX_STATE_CLAIMED:
        return "claimed";
    case AMX_STATE_WRITING:
        return "writing";
    case AMX_STATE_POISONED:
        return "poisoned";
    default:
        return NULL;
    }
}

/* A name for a number; NULL: it has none. */
static const char *qos_text(uint8_t qos)
{
    static const char *const names[] = {[AMX_QOS_BACKGROUND] = "background",
                                        [AMX_QOS_BEST_EFFORT] = "best-effort",
                                        [AMX_QOS_LATENCY_CRITICAL] = "latency-critical"};

    return qos < sizeof names / sizeof *names ? names[qos] : NULL;
}

static const struct {
    uint8_t bit;
    const char *name;
} flags[] = {{AMX_MSG_FIRST, "first"}, {AMX_MSG_LAST, "last"}, {AMX_MSG_DEGRADE, "degrade"}};
enum { FLAGS = sizeof flags / sizeof *flags };

static void header_json(struct out_json *j, const struct amx_message_header *h)
{
    out_json_open(j, "header", '{');
    out_json_word(j, "trace_id", h->trace_id);
    out_json_word(j, "sequence", h->sequence);
    out_json_word(j, "creation_tick", h->creation_tick);
    if (h->deadline_ns == AMX_NO_DEADLINE)
        out_json_text(j, "deadline_ns", NULL);
    else
        out_json_word(j, "deadline_ns", h->deadline_ns);
    out_json_number(j, "type_id", h->type_id);
    out_json_number(j, "qos", h->qos);
    out_json_number(j, "flags", h->flags);
    out_json_close(j);
}

static void header_row(struct out_table *t, const struct amx_message_header *h)
{
    const char *qos = qos_text(h->qos);
    char text[32] = "";

    out_table_cell(t, "0x%" PRIx64, h->trace_id);
    out_table_cell(t, "%" PRIu64, h->sequence);
    out_table_cell(t, "%" PRIu64, h->creation_tick);
    if (h->deadline_ns == AMX_NO_DEADLINE)
        out_table_cell(t, "-");
    else
        out_table_cell(t, "%" PRIu64, h->deadline_ns);
    out_table_cell(t, "%u", h->type_id);
    if (qos)
        out_table_cell(t, "%s", qos);
    else
        out_table_cell(t, "%u", h->qos);
    for (unsigned i = 0; i < FLAGS; i++)
        if (h->flags & flags[i].bit)
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? "," : "", flags[i].name);
    out_table_cell(t, "%s", *text ? text : "-");
}

static void message_row(struct object_report *r, const struct amx_store_message *m, bool known)
{
    struct out_table *t = &r->table;
    const char *state = state_text(m->state);

    out_table_cell(t, "%" PRIu64, r->block);
    if (m->token)
        out_table_cell(t, "0x%016" PRIx64, m->token);
    else
        out_table_cell(t, "-");
    if (state)
        out_table_cell(t, "%s", state);
    else
        out_table_cell(t, "%u", m->state);
    if (m->owner)
        out_table_cell(t, "%u", m->owner);
    else
        out_table_cell(t, "-");
    out_table_cell(t, "%u", m->readers);
    out_table_cell(t, "%u", m->size);
    out_table_cell(t, "%" PRIu64, m->age);
    if (known) {
        header_row(t, &m->header);
        return;
    }
    for (unsigned i = 0; i < 7; i++)
        out_table_cell(t, "-");
}

static void message_json(struct out_json *j, const struct amx_store_message *m, bool known)
{
    out_json_open(j, NULL, '{');
    out_json_word(j, "token", m->token);
    out_json_number(j, "index", m->index);
    out_json_text(j, "state", state_text(m->state));
    out_json_number(j, "state_number", m->state);
    out_json_number(j, "owner", m->owner);
    out_json_number(j, "readers", m->readers);
    out_json_number(j, "size", m->size);
    out_json_word(j, "age", m->age);
    if (known)
        header_json(j, &m->header);
    else
        out_json_text(j, "header", NULL);
    out_json_close(j);
}

static int message(const struct amx_store_message *m, void *ctx)
{
    static const struct amx_message_header none; /* somebody was changing it just now */
    struct object_report *r = ctx;
    bool known = memcmp(&m->header, &none, sizeof none) != 0;

    if (m->state == AMX_STATE_FREE || (r->want->poisoned && m->state != AMX_STATE_POISONED))
        return 0;
    if (r->want->json)
        message_json(&r->j, m, known);
    else
        message_row(r, m, known);
    return 0;
}

static void messages(struct object_report *r, const struct object *o)
{
    r->block = o->block;
    if (r->want->json)
        out_json_open(&r->j, "messages", '[');
    (void)amx_store_walk(&o->store, message, r);
    if (r->want->json)
        out_json_close(&r->j);
}

/* --- The verb ------------------------------------------------------------------------------------------------- */

static int note(const struct amx_store_place *p, void *ctx)
{
    object_add(ctx, p->block, 0);
    return 0;
}

static int list(const amx_t *h, struct object_places *all)
{
    return amx_stores(h, note, all);
}

static int attach(amx_t *h, struct object *o)
{
    return amx_store_attach_block(h, o->block, NULL, &o->store);
}

static int check(const struct object *o, amx_check_fn *fn, void *ctx, struct amx_pool_check_result *out)
{
    return amx_store_check(&o->store, fn, ctx, out);
}

static const struct object_action actions[] = {
    {"ls", ls, ls_columns, sizeof ls_columns / sizeof *ls_columns},
    {"info", info, info_columns, sizeof info_columns / sizeof *info_columns},
    {"stat", stat, stat_columns, sizeof stat_columns / sizeof *stat_columns},
    {"messages", messages, message_columns, sizeof message_columns / sizeof *message_columns},
    {0}};
static const struct object_kind kind = {
    "store",
    "a process died while it was storing or changing messages\n  next: recovery frees or poisons them: amx recover",
    list,
    attach,
    check,
    actions};

static int make(amx_t *h, const void *config, amx_ref *block)
{
    struct amx_store s;

    return amx_store_create(h, config, block, &s);
}

static int create(const struct object_want *w, struct amx_store_config *c, int argc, char **argv)
{
    uint64_t bytes;

    if (argc != 1)
        return tool_usage("store", "one SIZE:COUNT is needed, there are %d", argc);
    if (!object_size_count(argv[0], 0, &c->payload_max, &c->depth) || c->payload_max > AMX_STORE_PAYLOAD)
        return tool_usage("store", "'%s' is not SIZE:COUNT, bytes of payload and messages", argv[0]);
    c->memory = AMX_MEMORY_SHARED;
    if (amx_store_required_size(c, &bytes))
        return tool_usage("store", "the marks do not fit the policy, or a soft one is above its hard one");
    return object_create("store", w, c, make);
}

static bool policy_of(const char *text, enum amx_policy *out)
{
    for (unsigned i = 0; i < POLICIES; i++)
        if (strcmp(text, policies[i]) == 0) {
            *out = (enum amx_policy)i;
            return true;
        }
    return false;
}

static bool number32(const char *text, uint32_t *out)
{
    uint64_t n;

    if (!tool_number(text, 1, UINT32_MAX, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

/* Takes one option; false if its argument is not what it should be. */
static bool take(struct object_want *w, struct amx_store_config *c, int letter, const char *arg)
{
    switch (letter) {
    case 't':
        return number32(arg, &c->type_id);
    case 'p':
        return policy_of(arg, &c->marks.policy);
    case SOFT:
        return number32(arg, &c->marks.soft_items);
    case HARD:
        return number32(arg, &c->marks.hard_items);
    case SOFT_BYTES:
        return tool_size(arg, &c->marks.soft_bytes);
    case HARD_BYTES:
        return tool_size(arg, &c->marks.hard_bytes);
    case 'r':
        return object_root(arg, w);
    case 'P':
        w->poisoned = true;
        return true;
    case 'j':
        w->json = true;
        return true;
    case 'N':
        w->notes = true;
        return true;
    default:
        w->dir = arg;
        return true;
    }
}

static int run(int argc, char **argv)
{
    struct object_want w = {.root = -1};
    struct amx_store_config c = {.depth = 0};
    int letter;

    while ((letter = getopt_long(argc, argv, "d:", options, NULL)) != -1) {
        if (letter == '?')
            return tool_usage("store", NULL);
        if (!take(&w, &c, letter, optarg))
            return tool_usage("store", "'%s' is not a valid value for this option", optarg);
    }
    argc -= optind;
    argv += optind;
    if (argc < 2)
        return tool_usage("store", "an action and the NAME of a segment are missing");
    w.name = argv[1];
    return strcmp(argv[0], "create") == 0 ? create(&w, &c, argc - 2, argv + 2) : object_look(&kind, &w, argc, argv);
}

const struct verb verb_store = {
    "store", "create|ls|info|stat|check|messages NAME [STORE | SIZE:COUNT] [options]", "message stores of a segment",
    "  create NAME SIZE:COUNT   makes a store of COUNT messages with payloads of up to SIZE bytes; prints its number\n"
    "  ls NAME                  the stores of the segment\n"
    "  info NAME [STORE]        what they are made of\n"
    "  stat NAME [STORE]        how full they are, who borrows, what their policies did\n"
    "  check NAME [STORE]       every word of them; exit 4 if one is not legal or a dead process's\n"
    "  messages NAME [STORE]    the messages in them\n\n"
    "      --type N          create: type of the payloads\n"
    "      --policy P        create: reject, drop-newest, drop-oldest or evict; what happens beyond the marks:\n"
    "      --soft N          create: messages of the soft mark\n"
    "      --hard N          create: messages of the hard mark\n"
    "      --soft-bytes N    create: bytes of payload of the soft mark\n"
    "      --hard-bytes N    create: bytes of payload of the hard mark\n"
    "      --root N          create: root 0 to 15 that is to name the store's block\n"
    "      --poisoned        messages: only poisoned ones, whose change was not finished\n"
    "      --notes           check: also what is no fault, as a hint that is missing\n"
    "  -d, --dir DIR         directory instead of $AMX_DIR or /dev/shm\n"
    "      --json            as JSON, schema amx.store/1\n\n"
    "Tokens are hexadecimal here, decimal strings in JSON. What is not told is -: the token and header of a message\n"
    "that is being stored, claimed or changed.\n"
    "Example: amx store create orders 4K:1000 --policy evict --hard-bytes 1M\n",
    run};
