/* SPDX-License-Identifier: Apache-2.0 */
/* For the adapters of what implements peer.h: a mapped file in /dev/shm. */
#ifndef BENCH_MAPPED_H
#define BENCH_MAPPED_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "peer.h"
#include "system.h"

static int failed(const char *call, int err)
{
    fprintf(stderr, "%s: %s: %s\n", peer_about, call, strerror(err));
    return -1;
}

static int open_segment(const char *name, int create, void **seg)
{
    static struct peer peer;
    int err, fd = shm_open(name, O_RDWR | (create ? O_CREAT | O_EXCL : 0), 0600);

    if (fd < 0)
        return failed("shm_open", errno);
    err = create ? posix_fallocate(fd, 0, SEGMENT) : 0;
    if (err)
        return failed("posix_fallocate", err);
    peer.size = SEGMENT;
    peer.base = mmap(NULL, SEGMENT, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (peer.base == MAP_FAILED)
        return failed("mmap", errno);
    err = create ? peer_format(&peer) : 0;
    if (err)
        return failed("format", err);
    *seg = &peer;
    return 0;
}

static void unlink_segment(const char *name)
{
    shm_unlink(name);
}

static int enter(void *seg, void **ctx)
{
    *ctx = seg;
    return 0;
}

static int leave(void *seg, void *ctx)
{
    (void)seg;
    (void)ctx;
    return 0;
}

static int check(void *seg)
{
    return peer_check((struct peer *)seg) ? failed("check", EINVAL) : 0;
}

static void close_segment(void *seg)
{
    struct peer *peer = (struct peer *)seg;

    munmap(peer->base, peer->size);
}

static void version(char *buf, size_t len)
{
    snprintf(buf, len, "%s", peer_about);
}

#define MAPPED_SYSTEM(runs, drains)                                                                                    \
    {                                                                                                                  \
        1, open_segment, unlink_segment, enter, leave, check, close_segment, version, runs, drains                     \
    }

#endif
