/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of segments share: a directory of their own, options that explain, and what lies there. */
#ifndef AMX_TEST_SEGMENT_KIT_H
#define AMX_TEST_SEGMENT_KIT_H

#include "tests/support.h"

#include "arena.h"
#include "os.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define KIB UINT64_C(1024)

static char dir[128]; /* of this program's segments */
static char why[512];

static inline struct amx_options options(void)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    o.size = 64 * KIB;
    o.dir = dir;
    o.why = why;
    o.why_len = sizeof why;
    memset(why, 'x', sizeof why - 1);
    return o;
}

static inline const char *in_dir(const char *file)
{
    static char path[4][PATH_MAX];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, file);
    return p;
}

static inline bool exists(const char *file)
{
    struct stat st;
    return lstat(in_dir(file), &st) == 0;
}

static inline int files(void)
{
    DIR *d = opendir(dir);
    int n = 0;
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

#define says(text)                                                                                                     \
    do {                                                                                                               \
        if (!strstr(why, text))                                                                                        \
            fail_msg("why is \"%s\", without \"%s\"", why, text);                                                      \
    } while (0)

static inline struct amx_segment_info info_of(const amx_t *h)
{
    struct amx_segment_info i = {.struct_size = sizeof i};
    ok(amx_info(h, &i));
    return i;
}

static inline int make_dir(void **state)
{
    (void)state;
    const char *in = getenv("AMX_DIR"); /* the runner's, which it removes whatever happens */
    snprintf(dir, sizeof dir, "%s/amx-segment-test-%d", in ? in : "/dev/shm", (int)getpid());
    return mkdir(dir, 0700);
}

static inline int remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

#endif
