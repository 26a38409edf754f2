/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 1: all of Linux that we use. 0 or a negative errno, results last; os_linux.c is the only implementation. */
#ifndef AMXI_OS_H
#define AMXI_OS_H

#include "base.h"

/* files */
int amxi_os_open(const char *path, bool write, int *fd); /* never creates, never follows a link */
int amxi_os_open_unnamed(const char *dir, int *fd);      /* O_TMPFILE, mode 0600, O_CLOEXEC */
int amxi_os_memfd(const char *label, int *fd);           /* sealable, close-on-exec */
int amxi_os_reopen(int fd, bool write, int *out);        /* a new open file description of the same file */
int amxi_os_link(int fd, const char *path);              /* name for an unnamed file; -EEXIST */
int amxi_os_unlink(const char *path);
bool amxi_os_names(const char *path, uint64_t dev, uint64_t ino); /* is path the name of this very file? */
bool amxi_os_exists(const char *path);                            /* a file of any kind, a link too */
int amxi_os_reserve(int fd, uint64_t size, bool sparse);          /* exact size, all pages unless sparse */
int amxi_os_mode(int fd, uint32_t mode, int64_t group);           /* group < 0: leave */
int amxi_os_seal(int fd);                                         /* against shrinking only: it may grow later */
int amxi_os_sealed(int fd, bool *is_memfd, bool *shrink);         /* what seals a file has */
int amxi_os_stat(int fd, uint64_t *size, uint64_t *dev, uint64_t *ino, uint32_t *links, bool *regular);
int amxi_os_absolute(const char *path, char **out);         /* malloc; follows nothing */
int amxi_os_read(int fd, void *p, size_t len, size_t *got); /* from the file's start */
/* What a new file in dir, or a memfd (NULL), may have; UINT64_MAX: nobody can tell. Counts memory too. */
int amxi_os_free_bytes(const char *dir, uint64_t *bytes);
void amxi_os_close(int fd);

/* memory */
int amxi_os_map(int fd, uint64_t size, uint64_t reserve, bool write, const void *hint, void **out);
void amxi_os_unmap(void *p, uint64_t len);
int amxi_os_pin(const void *p, uint64_t len); /* locked into memory */
void amxi_os_unpin(const void *p, uint64_t len);
int amxi_os_private(size_t len, void **out); /* zeroed pages that a forked child sees as zero again */

/* locks of open file descriptions: drop with the last descriptor of the description, not at any close */
int amxi_os_lock(int fd, int64_t byte, bool exclusive); /* never waits: -EAGAIN */
int amxi_os_unlock(int fd, int64_t byte);
int amxi_os_lock_test(int fd, int64_t byte, bool *locked); /* by another description, exclusively */

/* processes */
struct amxi_os_proc {
    uint32_t pid;
    uint32_t boot;       /* first 32 bits of the boot id; 0: unknown */
    uint64_t pid_ns;     /* inode of the namespace: 32 bits */
    uint64_t start_time; /* clock ticks since boot */
};
int amxi_os_self(struct amxi_os_proc *out);
/* Is the process with this identity surely gone? false if it lives, if a thread of it lives, or if nobody can tell. */
bool amxi_os_gone(const struct amxi_os_proc *p);
/* Does the process with this pid surely not map file dev:ino at base (it has exec'ed)? false if nobody can tell. */
bool amxi_os_unmapped(uint32_t pid, uint64_t dev, uint64_t ino, uint64_t base);
/* Is the process stopped, by a signal or a tracer? false if nobody can tell. */
bool amxi_os_stopped(const struct amxi_os_proc *p);
int amxi_os_comm(char name[16]);

/* the rest */
int amxi_os_random(void *p, size_t len);
int amxi_os_boot_id(uint8_t id[16]);
uint64_t amxi_os_wall_ns(void);
uint64_t amxi_os_mono_ns(void);
void amxi_os_futex_wait(const void *word, uint32_t value, uint64_t timeout_ns); /* shared between processes */
void amxi_os_futex_wake_all(const void *word);
int amxi_os_atfork(void (*before)(void), void (*parent)(void), void (*child)(void)); /* once per process */
void amxi_os_yield(void);

#endif
