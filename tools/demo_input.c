/* SPDX-License-Identifier: Apache-2.0 */
/* What the demo reads: files as named, text files of directories as named, or a default. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fts.h>

#include "demo.h"
#include "tool.h"

enum {
    SNIFF = 4096,        /* bytes in which a text has no zero byte */
    FILES_MAX = 4096,    /* that are taken from directories */
    BYTES_MAX = 64 << 20 /* likewise */
};

static void add(struct demo_input *in, const char *path, const struct stat *st)
{
    struct demo_file *f;

    if ((in->files & (in->files - 1)) == 0)
        in->file = tool_realloc(in->file, in->files ? in->files * 2 : 1, sizeof *in->file);
    f = &in->file[in->files++];
    f->path = tool_realloc(NULL, strlen(path) + 1, 1);
    strcpy(f->path, path);
    f->size = (uint64_t)st->st_size;
    f->mtime_s = st->st_mtim.tv_sec;
    f->mtime_ns = st->st_mtim.tv_nsec;
    in->bytes += f->size;
}

static bool is_text(const char *path)
{
    char head[SNIFF];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return false;
    n = read(fd, head, sizeof head);
    close(fd);
    return n > 0 && !memchr(head, 0, (size_t)n);
}

/* Neither history nor what was built is input. */
static bool skipped(const FTSENT *e)
{
    return e->fts_level > 0 && (strcmp(e->fts_name, ".git") == 0 || strncmp(e->fts_name, "build", 5) == 0);
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int add_tree(struct demo_input *in, char *root)
{
    char *const roots[] = {root, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, by_name);
    FTSENT *e;

    if (!tree)
        return errno;
    while ((e = fts_read(tree))) {
        if (e->fts_info == FTS_D && skipped(e))
            fts_set(tree, e, FTS_SKIP);
        if (e->fts_info != FTS_F || e->fts_statp->st_size == 0 || !is_text(e->fts_path))
            continue;
        if (in->files >= FILES_MAX || in->bytes + (uint64_t)e->fts_statp->st_size > BYTES_MAX) {
            in->cut = true;
            break;
        }
        add(in, e->fts_path, e->fts_statp);
    }
    fts_close(tree);
    return 0;
}

/* One argument. 0 or an errno; EINVAL: neither file nor directory. */
static int add_named(struct demo_input *in, char *path)
{
    struct stat st;

    if (stat(path, &st))
        return errno;
    if (S_ISDIR(st.st_mode))
        return add_tree(in, path);
    if (!S_ISREG(st.st_mode))
        return EINVAL;
    if (access(path, R_OK))
        return errno;
    if (st.st_size)
        add(in, path, &st);
    return 0;
}

int demo_input_find(struct demo_input *in, char **paths, int count)
{
    static char here[] = ".", licences[] = "/usr/share/common-licenses";
    char *const defaults[] = {here, licences};

    for (int i = 0; i < count; i++) {
        int err = add_named(in, paths[i]);

        if (err)
            return tool_fail(err == ENOENT   ? TOOL_NOENT
                             : err == EACCES ? TOOL_ACCESS
                                             : TOOL_FAILED,
                             "demo", "%s: %s\n  next: name files of text, or directories with such", paths[i],
                             err == EINVAL ? "neither a file nor a directory" : strerror(err));
    }
    for (size_t i = 0; count == 0 && i < sizeof defaults / sizeof *defaults; i++)
        add_named(in, defaults[i]); /* what is missing here is no fault */
    if (in->bytes == 0)
        return tool_fail(TOOL_FAILED, "demo", "there is nothing to read\n  next: name files of text: amx demo FILE...");
    return TOOL_OK;
}

int demo_input_send(const struct demo_input *in, int fd)
{
    int copy = dup(fd);
    FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
    int err;

    if (!f)
        return errno;
    fwrite(&in->rounds, sizeof in->rounds, 1, f);
    for (size_t i = 0; i < in->files; i++) {
        uint32_t len = (uint32_t)strlen(in->file[i].path);

        fwrite(&in->file[i].size, sizeof in->file[i].size, 1, f);
        fwrite(&len, sizeof len, 1, f);
        fwrite(in->file[i].path, 1, len, f);
    }
    err = ferror(f);
    if (fclose(f) || err)
        return errno ? errno : EIO;
    return lseek(fd, 0, SEEK_SET) < 0 ? errno : 0;
}

int demo_input_receive(struct demo_input *in, int fd)
{
    int copy = dup(fd);
    FILE *f = copy < 0 ? NULL : fdopen(copy, "r");
    struct stat st = {0};
    uint32_t len;

    if (!f)
        return errno;
    if (fread(&in->rounds, sizeof in->rounds, 1, f) != 1)
        in->rounds = 0;
    while (fread(&st.st_size, sizeof(uint64_t), 1, f) == 1 && fread(&len, sizeof len, 1, f) == 1 && len < 65536) {
        char *path = tool_realloc(NULL, len + 1, 1);
        bool whole = fread(path, 1, len, f) == len;

        path[len] = 0;
        if (whole)
            add(in, path, &st);
        free(path);
    }
    fclose(f);
    return in->rounds && in->bytes ? 0 : ENODATA;
}

const char *demo_input_changed(const struct demo_input *in)
{
    for (size_t i = 0; i < in->files; i++) {
        const struct demo_file *f = &in->file[i];
        struct stat st;

        if (stat(f->path, &st) || (uint64_t)st.st_size != f->size || st.st_mtim.tv_sec != f->mtime_s ||
            st.st_mtim.tv_nsec != f->mtime_ns)
            return f->path;
    }
    return NULL;
}

void demo_input_free(struct demo_input *in)
{
    for (size_t i = 0; i < in->files; i++)
        free(in->file[i].path);
    free(in->file);
}
