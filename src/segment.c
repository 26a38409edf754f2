/* SPDX-License-Identifier: Apache-2.0 */
#include "segment.h"
#include "os.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_DIR "/dev/shm"

void amxi_why(char *why, size_t why_len, const char *fmt, ...)
{
    if (!why || why_len == 0)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, why_len, fmt, args);
    va_end(args);
}

int amxi_result(void *out, size_t size, const void *from, size_t from_size)
{
    if (size < sizeof size)
        return AMX_E_INVAL;
    size_t both = size < from_size ? size : from_size;
    memcpy((char *)out + sizeof size, (const char *)from + sizeof size, both - sizeof size);
    memset((char *)out + both, 0, size - both);
    return AMX_OK;
}

int amxi_fail(int err, const char *what, const char *object, char *why, size_t why_len)
{
    amxi_why(why, why_len, "cannot %s %s: %s", what, object, strerror(-err));
    switch (-err) {
    case ENOENT:
    case ENOTDIR:
        return AMX_E_NOENT;
    case EEXIST:
        return AMX_E_EXIST;
    case EACCES:
    case EPERM:
    case EROFS:
        return AMX_E_ACCESS;
    case ENOSPC:
    case EDQUOT:
        return AMX_E_NOSPC;
    case ENAMETOOLONG:
        return AMX_E_NAME;
    case ELOOP:
    case EISDIR:
    case ENXIO:
        return AMX_E_LAYOUT;
    default:
        return AMX_E_SYS;
    }
}

int amxi_seg_new(struct amxi_seg **out)
{
    struct amxi_seg *s = calloc(1, sizeof *s);
    if (!s)
        return AMX_E_SYS;
    s->fd = s->lock_fd = -1;
    *out = s;
    return AMX_OK;
}

void amxi_seg_drop(struct amxi_seg *s)
{
    AMXI_NOTE(amxi_note_gone(s->base, s->map_len));
    amxi_os_unmap(s->base, s->map_len);
    amxi_os_close(s->lock_fd);
    amxi_os_close(s->fd);
    free(s->path);
    free(s);
}

/* --- Names ----------------------------------------------------------------------------------------------------- */

static bool name_valid(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return n > 0 && n <= AMX_NAME_MAX && name[n] == 0 && name[0] != '.' && name[0] != '-';
}

static int random_name(char name[AMX_NAME_MAX + 1])
{
    uint64_t r;
    int e = amxi_os_random(&r, sizeof r);
    if (e == 0)
        snprintf(name, AMX_NAME_MAX + 1, "%016llx", (unsigned long long)r);
    return e;
}

static int set_path(struct amxi_seg *s, const char *path, char *why, size_t why_len)
{
    size_t len = strlen(path);
    if (len >= PATH_MAX || path[len - 1] == '/') {
        amxi_why(why, why_len, "path: %s", len >= PATH_MAX ? "too long" : "ends with a slash");
        return AMX_E_NAME;
    }
    free(s->path);
    s->path = NULL;
    /* Absolute, so that closing finds the file when the program has changed its directory. */
    int r = amxi_os_absolute(path, &s->path);
    if (r)
        s->path = NULL;
    return r ? amxi_fail(r, "tell the directory of", path, why, why_len) : AMX_OK;
}

int amxi_seg_locate(struct amxi_seg *s, const char *name, const char *dir, char *why, size_t why_len)
{
    if (name && strchr(name, '/'))
        return set_path(s, name, why, why_len);
    if (name && !name_valid(name)) {
        amxi_why(why, why_len, "name: 1..%d of A-Z a-z 0-9 . _ -, not beginning with . or -; or a path with a slash",
                 AMX_NAME_MAX);
        return AMX_E_NAME;
    }
    int r = name ? 0 : random_name(s->name);
    if (r)
        return amxi_fail(r, "make", "a random name", why, why_len);
    if (name)
        snprintf(s->name, sizeof s->name, "%s", name);
    if (!dir || !*dir)
        dir = secure_getenv("AMX_DIR");
    if (!dir || !*dir)
        dir = DEFAULT_DIR;
    char path[PATH_MAX + AMX_NAME_MAX + 8];
    if (strlen(dir) >= PATH_MAX) {
        amxi_why(why, why_len, "directory: its name is too long");
        return AMX_E_NAME;
    }
    snprintf(path, sizeof path, "%s/amx.%s", dir, s->name);
    return set_path(s, path, why, why_len);
}

/* --- Creating -------------------------------------------------------------------------------------------------- */

/* A number of bytes for people, rounded up or down to whole units. */
static void human(char text[32], uint64_t n, bool up)
{
    static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB"};
    unsigned u = 0;
    for (; u < 3 && n >= 10 * 1024; u++)
        n = up ? amxi_div_up(n, 1024) : n / 1024;
    snprintf(text, 32, "%llu %s", (unsigned long long)n, unit[u]);
}

static int no_room(const char *dir, uint64_t bytes, uint64_t size, char *why, size_t why_len)
{
    char have[32], need[32];
    if (bytes == UINT64_MAX)
        snprintf(have, sizeof have, "too little");
    else
        human(have, bytes, false);
    human(need, size, true);
    amxi_why(why, why_len,
             "%s: %s free, need %s; use a smaller size, free memory, or mount it larger (docker: --shm-size)",
             dir ? dir : "memory", have, need);
    return AMX_E_NOSPC;
}

static int open_unnamed(struct amxi_seg *s, const char *dir, char *why, size_t why_len)
{
    int r = amxi_os_open_unnamed(dir, &s->fd);
    if (r == -EOPNOTSUPP || r == -EISDIR || r == -EINVAL) {
        amxi_why(why, why_len,
                 "%s: its file system makes no unnamed files (O_TMPFILE); use a tmpfs, ext4, xfs or btrfs", dir);
        return AMX_E_SYS;
    }
    return r ? amxi_fail(r, "make a file in", dir, why, why_len) : AMX_OK;
}

static int reserve(struct amxi_seg *s, const char *dir, char *why, size_t why_len)
{
    bool sparse = s->g.flags & AMX_F_SPARSE;
    uint64_t bytes = UINT64_MAX;
    /* Asked first: to try would take from others what they may need just now, and call for the out-of-memory killer. */
    if (!sparse && amxi_os_free_bytes(dir, &bytes) == 0 && bytes < s->g.size)
        return no_room(dir, bytes, s->g.size, why, why_len);
    int r = amxi_os_reserve(s->fd, s->g.size, sparse);
    if (r == -ENOSPC) {       /* another was faster, or the rest is kept for root */
        amxi_os_close(s->fd); /* first, as it holds what was free */
        s->fd = -1;
        (void)amxi_os_free_bytes(dir, &bytes);
        return no_room(dir, bytes, s->g.size, why, why_len);
    }
    return r ? amxi_fail(r, "reserve the pages in", dir ? dir : "a memfd", why, why_len) : AMX_OK;
}

static int identify(struct amxi_seg *s, uint64_t *size, bool *regular, char *why, size_t why_len)
{
    uint32_t links;
    int r = amxi_os_stat(s->fd, size, &s->dev, &s->ino, &links, regular);
    return r ? amxi_fail(r, "examine", s->path ? s->path : "the descriptor", why, why_len) : AMX_OK;
}

static int make_named(struct amxi_seg *s, char *why, size_t why_len)
{
    const char *slash = strrchr(s->path, '/');
    char *dir = slash == s->path ? strdup("/") : strndup(s->path, (size_t)(slash - s->path));
    if (!dir)
        return amxi_fail(-ENOMEM, "create", s->path, why, why_len);
    int r = open_unnamed(s, dir, why, why_len);
    if (r == AMX_OK)
        r = reserve(s, dir, why, why_len);
    free(dir);
    return r;
}

static int make_memfd(struct amxi_seg *s, const char *label, char *why, size_t why_len)
{
    int r = amxi_os_memfd(label, &s->fd);
    if (r)
        return amxi_fail(r, "make", "a memfd", why, why_len);
    r = reserve(s, NULL, why, why_len);
    /* Shrinking would fault whoever is attached. Growing stays possible, for those who know how to. */
    if (r == AMX_OK && (r = amxi_os_seal(s->fd)))
        r = amxi_fail(r, "seal", "the memfd", why, why_len);
    return r;
}

int amxi_seg_make(struct amxi_seg *s, const char *memfd_label, char *why, size_t why_len)
{
    uint64_t size;
    bool regular;
    int r = memfd_label ? make_memfd(s, memfd_label, why, why_len) : make_named(s, why, why_len);
    return r ? r : identify(s, &size, &regular, why, why_len);
}

int amxi_seg_chmod(struct amxi_seg *s, uint32_t mode, int64_t group, char *why, size_t why_len)
{
    int r = amxi_os_mode(s->fd, mode, group);
    return r ? amxi_fail(r, "give mode or group to", s->path ? s->path : "the memfd", why, why_len) : AMX_OK;
}

/* --- Attaching ------------------------------------------------------------------------------------------------- */

/* Reads the head by a call, not through a mapping: a file that shrinks under us is then a short read, not a fault. */
static int read_head(struct amxi_seg *s, char *why, size_t why_len)
{
    uint64_t size = 0;
    bool regular = false, ro_only;
    int r = identify(s, &size, &regular, why, why_len);
    if (r)
        return r;
    if (!regular) {
        amxi_why(why, why_len, "%s is not a regular file", s->path ? s->path : "the descriptor");
        return AMX_E_LAYOUT;
    }
    struct amxi_head_body head;
    size_t got;
    r = amxi_os_read(s->fd, &head, sizeof head, &got);
    if (r)
        return amxi_fail(r, "read", s->path ? s->path : "the descriptor", why, why_len);
    r = amxi_geometry_read(&head, got, size, &s->g, &ro_only, why, why_len);
    if (r == AMX_OK && ro_only && !s->readonly) {
        amxi_why(why, why_len, "features that this library does not know allow reading only: attach read-only");
        r = AMX_E_LAYOUT;
    }
    return r;
}

int amxi_seg_open(struct amxi_seg *s, char *why, size_t why_len)
{
    int r = amxi_os_open(s->path, !s->readonly, &s->fd);
    if (r == -ELOOP || r == -EISDIR || r == -ENXIO) {
        amxi_why(why, why_len, "%s is not a regular file", s->path);
        return AMX_E_LAYOUT;
    }
    return r ? amxi_fail(r, "open", s->path, why, why_len) : read_head(s, why, why_len);
}

int amxi_seg_reopen(struct amxi_seg *s, int fd, char *why, size_t why_len)
{
    bool is_memfd, shrink;
    s->fd_only = true;
    /* A description of our own: one that came through a socket shares its locks with the sender. */
    int r = amxi_os_reopen(fd, !s->readonly, &s->fd);
    if (r == 0)
        r = amxi_os_sealed(s->fd, &is_memfd, &shrink);
    if (r)
        return amxi_fail(r, "open anew", "the descriptor", why, why_len);
    if (is_memfd && !shrink) {
        amxi_why(why, why_len, "the memfd is not sealed against shrinking: its owner could fault whoever reads it");
        return AMX_E_LAYOUT;
    }
    return read_head(s, why, why_len);
}

int amxi_seg_map(struct amxi_seg *s, const void *hint, char *why, size_t why_len)
{
    void *p;
    int r = amxi_os_map(s->fd, s->g.size, s->g.max_size, !s->readonly, hint, &p);
    if (r)
        return amxi_fail(r, "map", s->path ? s->path : "the descriptor", why, why_len);
    AMXI_NOTE(amxi_note_pool(p));
    s->base = p;
    s->map_len = s->g.max_size;
    return AMX_OK;
}

bool amxi_seg_unlinked(const struct amxi_seg *s)
{
    uint64_t size, dev, ino;
    uint32_t links;
    bool regular;
    return amxi_os_stat(s->fd, &size, &dev, &ino, &links, &regular) == 0 && links == 0;
}
