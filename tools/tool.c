/* SPDX-License-Identifier: Apache-2.0 */
#include "tool.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int tool_exit_of(int err)
{
    switch (err) {
    case AMX_OK:
        return TOOL_OK;
    case AMX_E_INVAL:
    case AMX_E_NAME:
        return TOOL_USAGE;
    case AMX_E_NOENT:
        return TOOL_NOENT;
    case AMX_E_CORRUPT:
        return TOOL_UNHEALTHY;
    case AMX_E_ACCESS:
    case AMX_E_READONLY:
        return TOOL_ACCESS;
    case AMX_E_NOSPC:
    case AMX_E_NOMEM:
    case AMX_E_TOO_BIG:
    case AMX_E_FULL:
        return TOOL_FULL;
    case AMX_E_LAYOUT:
        return TOOL_LAYOUT;
    default:
        return TOOL_FAILED;
    }
}

static const char *next_step(int err)
{
    switch (err) {
    case AMX_E_NOENT:
        return "'amx ls' lists the segments that there are; AMX_DIR or --dir names another directory";
    case AMX_E_EXIST:
        return "'amx info NAME' shows it, 'amx rm NAME' removes it";
    case AMX_E_NAME:
        return "use 1 to 64 of A-Z a-z 0-9 . _ - without a leading . or -, or a path with a slash";
    case AMX_E_ACCESS:
        return "'amx ls' shows whose it is; its owner can grant access with a group (amx create --group)";
    case AMX_E_NOSPC:
        return "ask for less (--size), remove segments ('amx ls', 'amx rm'), or use another directory (--dir)";
    case AMX_E_LAYOUT:
        return "use the version of amx that made it; 'amx check --image FILE' looks at damaged copies";
    case AMX_E_FULL:
        return "end a process that is attached ('amx info NAME' lists them), or create it with more --peers";
    case AMX_E_CORRUPT:
        return "'amx check NAME' says what is damaged; keep a copy of the file before you remove it";
    case AMX_E_ALIVE:
        return "'amx ps NAME' lists who is attached; 'amx rm --force NAME' removes the name, and they keep their "
               "memory";
    case AMX_E_BUSY:
        return "try again";
    default:
        return NULL;
    }
}

static void say(const char *verb, const char *fmt, va_list ap)
{
    fflush(stdout); /* what came before in the output comes before in a shared log */
    fprintf(stderr, "amx %s: ", verb);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
}

int tool_fail(int code, const char *verb, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(verb, fmt, ap);
    va_end(ap);
    return code;
}

int tool_fail_amx(const char *verb, const char *name, int err, const char *why)
{
    const char *next = next_step(err);

    tool_fail(0, verb, "%s%s%s", name, *name ? ": " : "", why && *why ? why : amx_strerror(err));
    if (next)
        fprintf(stderr, "  next: %s\n", next);
    return tool_exit_of(err);
}

int tool_usage(const char *verb, const char *fmt, ...)
{
    va_list ap;

    if (fmt) {
        va_start(ap, fmt);
        say(verb, fmt, ap);
        va_end(ap);
    }
    fprintf(stderr, "  next: 'amx help %s' shows how it is used\n", verb);
    return TOOL_USAGE;
}

bool tool_size(const char *text, uint64_t *out)
{
    static const char units[] = "KMG";
    unsigned long long n;
    const char *unit;
    unsigned shift = 0;
    char *end;

    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno)
        return false;
    unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
        if (strcmp(end, "iB") == 0)
            end += 2;
    }
    if (*end || n > UINT64_MAX >> shift)
        return false;
    *out = (uint64_t)n << shift;
    return true;
}

bool tool_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    unsigned long long n;
    char *end;

    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno || *end || n < min || n > max)
        return false;
    *out = n;
    return true;
}

int tool_look(const char *verb, const char *name, const char *dir, amx_t **out)
{
    char why[256] = "";
    struct amx_options opts = AMX_OPTIONS_INIT;
    int err;

    opts.flags = AMX_F_READONLY;
    opts.dir = dir;
    opts.why = why;
    opts.why_len = sizeof why;
    err = amx_attach(name, &opts, out);
    return err ? tool_fail_amx(verb, name, err, why) : TOOL_OK;
}

const char *tool_dir(const char *dir)
{
    if (!dir)
        dir = getenv("AMX_DIR");
    return dir && *dir ? dir : "/dev/shm";
}

static const char prefix[] = "amx.";

static int ours(const struct dirent *d)
{
    return strncmp(d->d_name, prefix, sizeof prefix - 1) == 0 && d->d_name[sizeof prefix - 1];
}

int tool_names(const char *verb, const char *dir, char ***names, size_t *count)
{
    struct dirent **files;
    int n = scandir(dir, &files, ours, alphasort);

    if (n < 0)
        return tool_fail(errno == ENOENT   ? TOOL_NOENT
                         : errno == EACCES ? TOOL_ACCESS
                                           : TOOL_FAILED,
                         verb, "%s: %s\n  next: AMX_DIR or --dir names another directory", dir, strerror(errno));
    *count = (size_t)n;
    *names = tool_realloc(NULL, *count + 1, sizeof **names);
    for (size_t i = 0; i < *count; i++) {
        const char *name = files[i]->d_name + sizeof prefix - 1;
        size_t bytes = strlen(name) + 1;

        (*names)[i] = memcpy(tool_realloc(NULL, bytes, 1), name, bytes);
        free(files[i]);
    }
    free(files);
    return TOOL_OK;
}

void tool_names_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

void tool_uuid(const uint8_t id[16], char out[TOOL_UUID])
{
    size_t at = 0;

    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        snprintf(out + at, TOOL_UUID - at, "%02x", id[i]);
        at += 2;
    }
}

void *tool_realloc(void *p, size_t count, size_t size)
{
    void *q = size && count > SIZE_MAX / size ? NULL : realloc(p, count * size);

    if (!q) {
        fputs("amx: out of private memory\n", stderr);
        exit(TOOL_FAILED);
    }
    return q;
}

int tool_look_at_one(const char *verb, int argc, char **argv, int (*show)(const amx_t *h, const char *name, bool json))
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"dir", required_argument, NULL, 'd'}, {0}};
    const char *dir = NULL;
    bool json = false;
    int letter, code;
    amx_t *h;

    while ((letter = getopt_long(argc, argv, "d:", options, NULL)) != -1) {
        if (letter == '?')
            return tool_usage(verb, NULL);
        json |= letter == 'j';
        if (letter == 'd')
            dir = optarg;
    }
    if (argc - optind != 1)
        return tool_usage(verb, "one NAME is needed, there are %d", argc - optind);
    code = tool_look(verb, argv[optind], dir, &h);
    if (code)
        return code;
    code = show(h, argv[optind], json);
    amx_close(h);
    return code;
}
