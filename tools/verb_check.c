/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "out.h"
#include "tool.h"

static const struct option options[] = {{"image", no_argument, NULL, 'i'},     {"json", no_argument, NULL, 'j'},
                                        {"notes", no_argument, NULL, 'N'},     {"limit", required_argument, NULL, 'l'},
                                        {"dir", required_argument, NULL, 'd'}, {0}};

static const struct out_col columns[] = {
    {"GRADE", false}, {"RULE", false}, {"SECTOR", true}, {"OFFSET", true}, {"FINDING", false}};

static const char *const grades[] = {
    [AMX_GRADE_NOTE] = "note", [AMX_GRADE_UNDONE] = "undone", [AMX_GRADE_CORRUPT] = "corrupt"};

enum {
    IMAGE_ALIGN = 64,
    LIMIT = 100 /* findings that are shown by default */
};

struct report {
    bool json, notes;
    uint64_t limit, shown;
    struct out_table table;
    struct out_json j;
};

static void show_row(struct out_table *t, const struct amx_finding *f)
{
    out_table_cell(t, "%s", grades[f->grade]);
    out_table_cell(t, "%s", f->rule);
    if (f->sector == UINT32_MAX)
        out_table_cell(t, "-");
    else
        out_table_cell(t, "%u", f->sector);
    out_table_cell(t, "0x%" PRIx64, f->offset);
    out_table_cell(t, "%s", f->text);
}

static void show_json(struct out_json *j, const struct amx_finding *f)
{
    out_json_open(j, NULL, '{');
    out_json_text(j, "grade", grades[f->grade]);
    out_json_text(j, "rule", f->rule);
    if (f->sector == UINT32_MAX)
        out_json_text(j, "sector", NULL);
    else
        out_json_number(j, "sector", f->sector);
    out_json_word(j, "offset", f->offset);
    out_json_text(j, "text", f->text);
    out_json_close(j);
}

static int finding(const struct amx_finding *f, void *ctx)
{
    struct report *r = ctx;

    if ((f->grade == AMX_GRADE_NOTE && !r->notes) || r->shown == r->limit)
        return 0;
    if (r->json)
        show_json(&r->j, f);
    else if (r->shown == 0)
        out_table_begin(&r->table, columns, sizeof columns / sizeof *columns, true);
    if (!r->json)
        show_row(&r->table, f);
    r->shown++;
    return 0;
}

static const char *verdict(int err, const struct amx_check_result *c)
{
    return err && err != AMX_E_CORRUPT ? "unknown" : c->corrupt ? "corrupt" : c->undone ? "undone" : "clean";
}

static void end_json(struct report *r, const char *name, bool image, int err, const struct amx_check_result *c)
{
    const struct {
        const char *key;
        uint64_t value;
    } number[] = {{"notes", c->notes},
                  {"undone", c->undone},
                  {"corrupt", c->corrupt},
                  {"blocks", c->blocks},
                  {"live_blocks", c->live_blocks},
                  {"live_bytes", c->live_bytes},
                  {"free_bytes", c->free_bytes},
                  {"parked_bytes", c->parked_bytes},
                  {"sectors", c->sectors},
                  {"busy", c->busy}};

    out_json_close(&r->j);
    out_json_text(&r->j, "name", name);
    out_json_bool(&r->j, "image", image);
    out_json_text(&r->j, "verdict", verdict(err, c));
    for (unsigned i = 0; i < sizeof number / sizeof *number; i++)
        out_json_number(&r->j, number[i].key, number[i].value);
    out_json_end(&r->j);
}

static void end_text(const struct report *r, const char *name, int err, const struct amx_check_result *c)
{
    char live[OUT_HUMAN], idle[OUT_HUMAN], parked[OUT_HUMAN];

    if (r->shown)
        putchar('\n');
    printf("%s: %s: %" PRIu64 " corrupt, %" PRIu64 " undone, %" PRIu64 " notes\n", name, verdict(err, c), c->corrupt,
           c->undone, c->notes);
    printf("%u sectors, %" PRIu64 " blocks; %s live in %" PRIu64 " blocks, %s free, %s in caches and queues\n",
           c->sectors, c->blocks, out_human(live, c->live_bytes), c->live_blocks, out_human(idle, c->free_bytes),
           out_human(parked, c->parked_bytes));
    if (c->busy)
        printf("%u sectors changed while they were read and were not judged\n", c->busy);
}

/* Prints what the validator saw and turns it into an exit code. */
static int conclude(struct report *r, const char *name, bool image, int err, const struct amx_check_result *c)
{
    uint64_t told = c->undone + c->corrupt + (r->notes ? c->notes : 0);

    if (r->json)
        end_json(r, name, image, err, c);
    else if (r->shown)
        out_table_end(&r->table);
    if (err && err != AMX_E_CORRUPT)
        return tool_fail_amx("check", name, err, NULL);
    if (!r->json)
        end_text(r, name, err, c);
    if (told > r->shown)
        tool_fail(0, "check", "%s: %" PRIu64 " more findings\n  next: --limit shows more", name, told - r->shown);
    if (c->corrupt)
        return tool_fail(TOOL_UNHEALTHY, "check",
                         "%s: damaged\n  next: keep a copy of the file, end its users, remove it with 'amx rm'", name);
    if (c->undone)
        return tool_fail(TOOL_UNHEALTHY, "check",
                         "%s: a process died in the middle of its work\n  next: recovery repairs this: amx recover",
                         name);
    return TOOL_OK;
}

static void begin(struct report *r)
{
    if (!r->json)
        return;
    out_json_begin(&r->j, "amx.check/1");
    out_json_open(&r->j, "findings", '[');
}

static int check_attached(amx_t *h, const char *name, struct report *r)
{
    struct amx_check_result c = {.struct_size = sizeof c};
    int err;

    begin(r);
    err = amx_check(h, finding, r, &c);
    amx_close(h);
    return conclude(r, name, false, err, &c);
}

/* Reads the whole file into memory that is aligned as an image must be. 0 or an errno. */
static int read_image(const char *path, void **out, size_t *len)
{
    struct stat st;
    size_t have = 0;
    char *image;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not make us wait */

    if (fd < 0)
        return errno;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return EINVAL;
    }
    image = aligned_alloc(IMAGE_ALIGN, ((size_t)st.st_size / IMAGE_ALIGN + 1) * IMAGE_ALIGN);
    if (!image) {
        close(fd);
        return ENOMEM;
    }
    while (have < (size_t)st.st_size) {
        ssize_t n = read(fd, image + have, (size_t)st.st_size - have);

        if (n <= 0)
            break;
        have += (size_t)n;
    }
    close(fd);
    *out = image;
    *len = have;
    return 0;
}

static int check_image(const char *path, struct report *r)
{
    struct amx_check_result c = {.struct_size = sizeof c};
    size_t len = 0;
    void *image = NULL;
    int err = read_image(path, &image, &len);

    if (err == EINVAL)
        return tool_fail(TOOL_FAILED, "check", "%s: not a regular file\n  next: name a segment, or the copy of one",
                         path);
    if (err)
        return tool_fail(err == ENOENT   ? TOOL_NOENT
                         : err == EACCES ? TOOL_ACCESS
                                         : TOOL_FAILED,
                         "check", "%s: %s\n  next: 'amx ls' lists segments; --image needs the path of a copy", path,
                         strerror(err));
    begin(r);
    err = amx_check_image(image, len, finding, r, &c);
    free(image);
    return conclude(r, path, true, err, &c);
}

static bool is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* A segment that can be attached is checked where it is; a file that cannot be is taken for a copy. */
static int check(const char *name, const char *dir, struct report *r)
{
    char why[256] = "";
    struct amx_options opts = AMX_OPTIONS_INIT;
    amx_t *h;
    int err;

    opts.flags = AMX_F_READONLY;
    opts.dir = dir;
    opts.why = why;
    opts.why_len = sizeof why;
    err = amx_attach(name, &opts, &h);
    if (!err)
        return check_attached(h, name, r);
    if (err != AMX_E_ACCESS && is_file(name))
        return check_image(name, r);
    return tool_fail_amx("check", name, err, why);
}

static int run(int argc, char **argv)
{
    struct report r = {.limit = LIMIT};
    const char *dir = NULL;
    bool image = false;
    int letter;

    while ((letter = getopt_long(argc, argv, "d:", options, NULL)) != -1) {
        if (letter == '?')
            return tool_usage("check", NULL);
        if (letter == 'l' && !tool_number(optarg, 0, UINT64_MAX, &r.limit))
            return tool_usage("check", "'%s' is not a number", optarg);
        image |= letter == 'i';
        r.json |= letter == 'j';
        r.notes |= letter == 'N';
        if (letter == 'd')
            dir = optarg;
    }
    if (argc - optind != 1)
        return tool_usage("check", "one NAME or FILE is needed, there are %d", argc - optind);
    return image ? check_image(argv[optind], &r) : check(argv[optind], dir, &r);
}

const struct verb verb_check = {
    "check", "NAME|FILE [options]", "verify every invariant of a segment, or of a copy of one",
    "      --image     FILE is a copy: read it into memory instead of attaching\n"
    "      --notes     also show what is no fault: sectors in use, blocks in queues\n"
    "      --limit N   show at most N findings (default 100)\n"
    "      --json      as JSON, schema amx.check/1\n"
    "  -d, --dir DIR   directory instead of $AMX_DIR or /dev/shm\n\n"
    "A FILE that cannot be attached is taken for a copy. 'undone' is what a death in the middle of a call\n"
    "leaves, and recovery repairs it; 'corrupt' is what no call of the library leaves. Both exit 4.\n",
    run};
