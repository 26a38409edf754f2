/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of the tool share: exit codes, messages, arguments, attaching. */
#ifndef AMX_TOOL_H
#define AMX_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "amx.h"

/** Exit codes. Scripts depend on them: never renumber. */
enum tool_exit {
    TOOL_OK = 0,
    TOOL_FAILED = 1,
    TOOL_USAGE = 2,
    TOOL_NOENT = 3,     /**< no such segment or file */
    TOOL_UNHEALTHY = 4, /**< the segment is damaged, or a death in it awaits recovery */
    TOOL_ACCESS = 5,
    TOOL_FULL = 6,  /**< no room: file system, segment or one of its tables */
    TOOL_LAYOUT = 7 /**< not a segment, or one of another layout */
};

struct verb {
    const char *name;
    const char *args;  /**< what follows the name in the usage line */
    const char *about; /**< one line for the list of verbs; NULL hides the verb */
    const char *help;  /**< options and remarks */
    int (*run)(int argc, char **argv);
};

extern const struct verb verb_create, verb_ls, verb_ps, verb_info, verb_stat, verb_check, verb_blocks, verb_recover,
    verb_rm, verb_gc, verb_map, verb_pool, verb_store, verb_demo, verb_bench, verb_demo_worker;

/** The exit code that stands for a code of enum amx_err. */
int tool_exit_of(int err);

/** Prints "amx VERB: MESSAGE" to stderr and returns `code`. */
int tool_fail(int code, const char *verb, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/** The same for an answer of the library about `name`: what, why (the library's sentence if it gave one), next step. */
int tool_fail_amx(const char *verb, const char *name, int err, const char *why);

/** "amx VERB: MESSAGE", then where the help is. Returns TOOL_USAGE. MESSAGE may be NULL: getopt has said it already. */
int tool_usage(const char *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Reads a size: digits, then nothing, K, M or G (1024s, also KiB, MiB, GiB). */
bool tool_size(const char *text, uint64_t *out);

/** Reads a decimal number of min..max. */
bool tool_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/** Attaches read-only to `name`; says what is wrong if that fails. 0 or an exit code. */
int tool_look(const char *verb, const char *name, const char *dir, amx_t **out);

/** A reading verb of one NAME with --json and --dir only: parses, attaches, calls show, which returns an exit code. */
int tool_look_at_one(const char *verb, int argc, char **argv, int (*show)(const amx_t *h, const char *name, bool json));

/** The directory that names refer to. */
const char *tool_dir(const char *dir);

/** The NAMEs of the files amx.NAME in the directory, sorted. 0 or an exit code, after a message. */
int tool_names(const char *verb, const char *dir, char ***names, size_t *count);
void tool_names_free(char **names, size_t count);

/** The uuid as text. */
#define TOOL_UUID 37
void tool_uuid(const uint8_t id[16], char out[TOOL_UUID]);

/** realloc that ends the tool with a message instead of failing. Only for the tool's own small tables. */
void *tool_realloc(void *p, size_t count, size_t size);

#endif
