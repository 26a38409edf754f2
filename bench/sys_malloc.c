/* SPDX-License-Identifier: Apache-2.0 */
/* malloc and free of the library that is linked in: glibc's own, jemalloc's or tcmalloc's. */
#include <gnu/libc-version.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline uint64_t sys_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return (uintptr_t)malloc(n);
}

static inline int sys_free(void *ctx, uint64_t token)
{
    (void)ctx;
    free((void *)(uintptr_t)token);
    return 0;
}

#include "private.h"

/* Only one of them is there. */
extern int mallctl(const char *name, void *old, size_t *old_len, void *new_value, size_t new_len) __attribute__((weak));
extern const char *tc_version(int *major, int *minor, const char **patch) __attribute__((weak));

static void version(char *buf, size_t len)
{
    const char *text = gnu_get_libc_version();
    size_t size = sizeof(text);

    if (mallctl && mallctl("version", (void *)&text, &size, NULL, 0) == 0)
        snprintf(buf, len, "jemalloc %.*s", (int)strcspn(text, "-"), text); /* without the commit's number */
    else if (tc_version)
        snprintf(buf, len, "%s", tc_version(NULL, NULL, NULL));
    else
        snprintf(buf, len, "glibc %s", text);
}

const struct bench_system bench_system = PRIVATE_SYSTEM(version);
