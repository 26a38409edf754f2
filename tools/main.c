/* SPDX-License-Identifier: Apache-2.0 */
/* amx: the command-line tool. Finds the verb and hands over; help for all of them. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

static const struct verb *const verbs[] = {
    &verb_create, &verb_ls, &verb_ps, &verb_info, &verb_stat,  &verb_check, &verb_blocks, &verb_recover,
    &verb_map,    &verb_rm, &verb_gc, &verb_pool, &verb_store, &verb_demo,  &verb_bench,  &verb_demo_worker};
enum {
    VERBS = sizeof verbs / sizeof *verbs,
    WORD_MAX = 32, /* longer words are no misspelt verbs */
    NEAR = 2       /* edits that a misspelt verb may be away */
};

static const struct verb *find(const char *name)
{
    for (unsigned i = 0; i < VERBS; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edits from a to b: insert, delete, replace, swap two neighbours. */
static unsigned distance(const char *a, const char *b)
{
    unsigned d[WORD_MAX + 1][WORD_MAX + 1];
    size_t la = strlen(a), lb = strlen(b);

    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX;
    for (unsigned i = 0; i <= la; i++)
        d[i][0] = i;
    for (unsigned k = 0; k <= lb; k++)
        d[0][k] = k;
    for (size_t i = 1; i <= la; i++)
        for (size_t k = 1; k <= lb; k++) {
            d[i][k] = least(least(d[i - 1][k], d[i][k - 1]) + 1, d[i - 1][k - 1] + (a[i - 1] != b[k - 1]));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                d[i][k] = least(d[i][k], d[i - 2][k - 2] + 1);
        }
    return d[la][lb];
}

static int unknown(const char *word)
{
    const char *best = NULL;
    unsigned best_distance = NEAR + 1;

    for (unsigned i = 0; i < VERBS; i++) {
        unsigned d = verbs[i]->about ? distance(word, verbs[i]->name) : NEAR + 1;

        if (d < best_distance && d < strlen(word)) {
            best = verbs[i]->name;
            best_distance = d;
        }
    }
    fprintf(stderr, "amx: there is no verb '%s'", word);
    if (best)
        fprintf(stderr, "; did you mean '%s'?", best);
    fputs("\n  next: 'amx help' lists the verbs\n", stderr);
    return TOOL_USAGE;
}

static void overview(FILE *f)
{
    fputs("usage: amx VERB [arguments]\n"
          "Segments of shared memory that several processes allocate from: make them, look at them, remove them.\n\n",
          f);
    for (unsigned i = 0; i < VERBS; i++)
        if (verbs[i]->about)
            fprintf(f, "  %-8s %s\n", verbs[i]->name, verbs[i]->about);
    fputs("  help     this list, or all about one verb: amx help VERB\n\n"
          "A segment is named by its NAME (the file amx.NAME in $AMX_DIR, else /dev/shm) or by a path with a slash.\n"
          "Sizes take K, M, G. Verbs that only look attach read-only and disturb nobody; --json prints offsets,\n"
          "references, generations and ids as strings.\n"
          "Exit: 0 good, 1 failed, 2 usage, 3 no such, 4 unhealthy, 5 permission, 6 full, 7 other layout.\n",
          f);
}

static int help(const char *name)
{
    const struct verb *v;

    if (!name || strcmp(name, "help") == 0) {
        overview(stdout);
        return TOOL_OK;
    }
    v = find(name);
    if (!v)
        return unknown(name);
    printf("usage: amx %s%s%s\n", v->name, *v->args ? " " : "", v->args);
    if (v->about)
        printf("%s\n", v->about);
    printf("\n%s", v->help);
    return TOOL_OK;
}

static bool asks_help(int argc, char **argv)
{
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static int run(int argc, char **argv)
{
    char title[WORD_MAX + 8];
    const struct verb *v;

    if (argc < 2) {
        overview(stderr);
        return TOOL_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return argc > 3 ? tool_usage("help", "too many arguments") : help(argv[2]);
    if (strcmp(argv[1], "--version") == 0) {
        int version = amx_version();

        printf("amx %d.%d.%d\n", version / 10000, version / 100 % 100, version % 100);
        return TOOL_OK;
    }
    v = find(argv[1]);
    if (!v)
        return unknown(argv[1]);
    if (asks_help(argc, argv))
        return help(v->name);
    snprintf(title, sizeof title, "amx %s", v->name); /* how getopt begins its messages */
    argv[1] = title;
    return v->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    int code;

    setlocale(LC_CTYPE, "");
    code = run(argc, argv);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "amx: cannot write the output: %s\n", strerror(errno));
        return code ? code : TOOL_FAILED;
    }
    return code;
}
