/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "amx_raw.h"
#include "demo_run.h"
#include "out.h"
#include "tool.h"

static const struct option options[] = {
    {"size", required_argument, NULL, 's'},  {"workers", required_argument, NULL, 'w'},
    {"times", required_argument, NULL, 't'}, {"deadline", required_argument, NULL, 'D'},
    {"dir", required_argument, NULL, 'd'},   {"no-kill", no_argument, NULL, 'k'},
    {"no-stop", no_argument, NULL, 'p'},     {0}};

enum { PAGE = 4096, TOP = 5, TIMES_MAX = 1000000, DEADLINE_MAX = 3600 };

static const struct out_col process_columns[] = {{"PROCESS", false}, {"MAPS THE SEGMENT AT", false}};
static const struct out_col fact_columns[] = {{"", false}, {"", false}};

/* How often the files must be read until `times` segments have flowed through. */
static bool plan_rounds(struct demo_run *r, uint64_t times)
{
    uint64_t bytes = r->input.bytes;

    r->size = (r->size + PAGE - 1) & ~(uint64_t)(PAGE - 1); /* as it will be rounded */
    if (r->size > UINT64_MAX / 2 / times)
        return false;
    r->input.rounds = (times * r->size + bytes - 1) / bytes;
    return true;
}

static void print_plan(const struct demo_run *r)
{
    char once[OUT_HUMAN], all[OUT_HUMAN], size[OUT_HUMAN];

    printf("word count of %zu files, %s, read %" PRIu64 " times: %s through a segment of %s\n", r->input.files,
           out_human(once, r->input.bytes), r->input.rounds, out_human(all, r->input.bytes * r->input.rounds),
           out_human(size, r->info.size));
    if (r->input.cut)
        puts("there is more text here than is taken without being asked: name FILEs to choose");
    fflush(stdout);
}

static void print_processes(const struct demo_run *r)
{
    struct out_table t;
    char name[DEMO_NAME];

    putchar('\n');
    out_table_begin(&t, process_columns, 2, true);
    out_table_cell(&t, "parent");
    out_table_cell(&t, "%p", amx_raw_base(r->h));
    for (uint32_t seat = 0; seat < DEMO_SEATS(r->workers); seat++) {
        out_table_cell(&t, "%s", demo_seat_name(seat, name));
        out_table_cell(&t, "0x%" PRIx64, r->base[seat]);
    }
    out_table_end(&t);
    putchar('\n');
}

/* "1 text", "2 texts" */
static const char *several(char buf[OUT_GROUPED], uint64_t n, const char *what)
{
    snprintf(buf, OUT_GROUPED, "%" PRIu64 " %s%s", n, what, n == 1 ? "" : "s");
    return buf;
}

static void print_killed(const struct demo_run *r, struct out_table *t)
{
    const struct demo_harm *m = &r->harm;
    char name[DEMO_NAME], n[OUT_GROUPED], k[OUT_GROUPED], human[OUT_HUMAN];

    out_table_cell(t, "killed");
    if (!m->killed) {
        out_table_cell(t, "nobody: no counter was caught with a text in hand");
        return;
    }
    out_table_cell(t, "%s (pid %d) in the middle of its work, with %s%s (%s) in hand", demo_seat_name(m->killed, name),
                   (int)m->killed_pid, m->hand.partial ? "at least " : "", several(n, m->hand.texts, "text"),
                   out_human(human, m->hand.text_bytes));
    out_table_cell(t, "recovered");
    out_table_cell(t, "in %" PRIi64 " us: %s (%s) freed, %s of work kept", r->recover_ns / 1000,
                   several(n, m->hand.others, "block"), out_human(human, m->hand.other_bytes),
                   several(k, m->hand.texts + m->hand.tables, "piece"));
    out_table_cell(t, "redone");
    out_table_cell(t, "by the successor: %s (%s) counted again, %s delivered", several(n, r->redone, "text"),
                   out_human(human, r->redone_bytes), several(k, r->resent, "finished table"));
}

/* What was done to the counters, and that it did not matter. */
static void print_harm(const struct demo_run *r, struct out_table *t)
{
    const struct demo_harm *m = &r->harm;
    char name[DEMO_NAME], n[OUT_GROUPED], human[OUT_HUMAN];

    if (m->kill)
        print_killed(r, t);
    if (r->replaced > (m->killed != 0)) {
        out_table_cell(t, "replaced");
        out_table_cell(t, "%s that somebody else killed", several(n, r->replaced - (m->killed != 0), "more counter"));
    }
    if (m->stopped) {
        out_table_cell(t, "stopped");
        out_table_cell(t, "%s (pid %d) for %.1f ms, in which the others counted %s", demo_seat_name(m->stopped, name),
                       (int)m->stopped_pid, (double)m->stopped_ns / 1e6, out_human(human, m->meanwhile));
    }
}

static void print_numbers(const struct demo_run *r)
{
    char n[OUT_GROUPED], blocks[OUT_GROUPED], tables[OUT_GROUPED], live[OUT_HUMAN], data[OUT_HUMAN];
    struct out_table t;

    out_table_begin(&t, fact_columns, 2, false);
    out_table_cell(&t, "bytes");
    out_table_cell(&t, "%s in %s blocks, counted in place", out_grouped(n, r->bytes), out_grouped(blocks, r->blocks));
    out_table_cell(&t, "tables");
    out_table_cell(&t, "%s; %s texts found no memory for one and were counted by the merger",
                   out_grouped(tables, r->tables), out_grouped(n, r->passed));
    out_table_cell(&t, "speed");
    out_table_cell(&t, "%.0f MB/s, %.2f s", (double)r->bytes / 1e6 / r->seconds, r->seconds);
    out_table_cell(&t, "peak use");
    out_table_cell(&t, "%s of %s (%u %%); the reader waited %s times for memory", out_human(live, r->picture.live),
                   out_human(data, r->info.data_bytes), out_percent(r->picture.live, r->info.data_bytes),
                   out_grouped(n, r->short_of));
    print_harm(r, &t);
    out_table_end(&t);
    putchar('\n');
    demo_picture_print(&r->picture);
    putchar('\n');
}

static void print_top(const struct demo_counts *c)
{
    const struct demo_word *top[TOP];
    char n[OUT_GROUPED], word[41];

    demo_counts_top(c, TOP, top);
    fputs("top words    ", stdout);
    for (size_t i = 0; i < TOP && top[i]; i++) {
        snprintf(word, sizeof word, "%.*s", (int)(top[i]->len < 40 ? top[i]->len : 40), top[i]->text);
        out_tame(word);
        printf("%s%s %s", i ? ", " : "", word, out_grouped(n, top[i]->count));
    }
    putchar('\n');
}

/* Compares with the independent count. */
static void compare(struct demo_run *r)
{
    struct demo_counts ours = {0}, theirs = {0};
    char why[200] = "", total[OUT_GROUPED], words[OUT_GROUPED];
    const char *changed;
    int err = demo_counts_read(r->result_fd, &theirs);

    if (!err)
        err = demo_verify_files(&r->input, &ours);
    changed = demo_input_changed(&r->input);
    if (err) {
        snprintf(r->fault, sizeof r->fault, "the independent count: %s", strerror(err));
    } else {
        print_top(&ours);
        if (demo_counts_equal(&theirs, &ours, why, sizeof why))
            printf("counts       %s words, %s distinct: each equal to an independent count of the files\n",
                   out_grouped(total, ours.total), out_grouped(words, ours.words));
        else
            snprintf(r->fault, sizeof r->fault, "the counts differ: %s", why);
    }
    if (*r->fault && changed)
        snprintf(r->fault + strlen(r->fault), sizeof r->fault - strlen(r->fault),
                 " (%.100s changed meanwhile: run again)", changed);
    demo_counts_free(&ours);
    demo_counts_free(&theirs);
}

static void verdict(struct demo_run *r)
{
    struct amx_check_result check = {0};
    struct amx_stats stat = {0};
    char free_now[OUT_GROUPED], data[OUT_GROUPED], largest[OUT_GROUPED];

    demo_run_check(r, &check, &stat);
    if (*r->fault)
        return;
    printf("check        0 corrupt, 0 undone; %s of %s bytes free, the largest request that fits is %s\n",
           out_grouped(free_now, stat.free_bytes), out_grouped(data, stat.data_bytes),
           out_grouped(largest, stat.largest_free));
}

static int finish(struct demo_run *r)
{
    bool color = out_color(stdout);

    if (*r->fault) {
        out_tame(r->fault);
        printf("%sfailed: %s%s\n", color ? "\033[31m" : "", r->fault, color ? "\033[0m" : "");
        return TOOL_FAILED;
    }
    printf("%sclean: every word counted, every byte free%s\n", color ? "\033[32m" : "", color ? "\033[0m" : "");
    return TOOL_OK;
}

static int demo(struct demo_run *r, uint64_t times)
{
    int code;

    if (!plan_rounds(r, times))
        return tool_usage("demo", "--times and --size are too large together");
    code = demo_run_begin(r);
    if (code)
        return code;
    print_plan(r);
    demo_run_work(r);
    if (!*r->fault) {
        print_processes(r);
        print_numbers(r);
        compare(r);
    }
    if (!*r->fault)
        verdict(r);
    return finish(r);
}

static int run(int argc, char **argv)
{
    struct demo_run r = {.size = 4 << 20, .workers = 3, .deadline = 10, .harm = {.kill = true, .stop = true}};
    uint64_t n, times = 20;
    int letter, code;

    while ((letter = getopt_long(argc, argv, "s:d:", options, NULL)) != -1) {
        bool good = true;

        if (letter == '?')
            return tool_usage("demo", NULL);
        if (letter == 's')
            good = tool_size(optarg, &r.size) && r.size >= AMX_SIZE_MIN && r.size <= AMX_SIZE_MAX;
        else if (letter == 't')
            good = tool_number(optarg, 1, TIMES_MAX, &times);
        else if (letter == 'd')
            r.dir = optarg;
        else if (letter == 'k')
            r.harm.kill = false;
        else if (letter == 'p')
            r.harm.stop = false;
        else {
            good = tool_number(optarg, 1, letter == 'w' ? DEMO_WORKERS_MAX : DEADLINE_MAX, &n);
            if (good)
                *(letter == 'w' ? &r.workers : &r.deadline) = (uint32_t)n;
        }
        if (!good)
            return tool_usage("demo", "'%s' is not a valid value for this option", optarg);
    }
    code = demo_input_find(&r.input, argv + optind, argc - optind);
    if (!code)
        code = demo(&r, times);
    demo_run_end(&r);
    return code;
}

const struct verb verb_demo = {
    "demo", "[FILE...] [options]", "count words with several processes through one segment",
    "One process reads the files into blocks, several count the words in place, one merges their tables; each maps\n"
    "the segment at an address of its own. In the middle of it one that counts is killed and another is stopped for a\n"
    "while. The result is compared with an independent count, the segment with what it was before. Without FILEs: the "
    "texts in the current directory and in /usr/share/common-licenses, at most\n"
    "64 MiB; a directory stands for the texts in it.\n\n"
    "  -s, --size N      bytes of the segment (default 4M)\n"
    "      --workers N   processes that count, 1 to 32 (default 3)\n"
    "      --times N     let at least N times the segment's size flow through (default 20)\n"
    "      --deadline N  give up after N seconds in which nothing moves (default 10)\n"
    "      --no-kill     kill none of them\n"
    "      --no-stop     stop none of them\n"
    "  -d, --dir DIR     directory instead of $AMX_DIR or /dev/shm\n\n"
    "Kill one that counts yourself (kill -KILL): it is replaced, and no word is lost.\n"
    "A word is a run of ASCII letters, digits, ' and bytes from 0x80 on; case does not count.\n"
    "The last line contains 'clean' if all counts are equal and every byte is free again; else exit 1.\n",
    run};
