/* SPDX-License-Identifier: Apache-2.0 */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* errno as the functions here return it. Never 0, and so that a compiler that sees all of the library knows it. */
static int sys_error(void)
{
    int e = errno;
    return e > 0 ? -e : -EIO;
}

/* --- Files ----------------------------------------------------------------------------------------------------- */

/* Descriptors 0-2 are what others print to; a program that has closed them must not print into a segment. */
static int above_stdio(int fd, int *out)
{
    if (fd < 0)
        return sys_error();
    if (fd > 2) {
        *out = fd;
        return 0;
    }
    int up = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int r = up < 0 ? sys_error() : 0;
    close(fd);
    if (r == 0)
        *out = up;
    return r;
}

int amxi_os_open(const char *path, bool write, int *fd)
{
    /* O_NONBLOCK: a pipe of that name must not hang us. */
    return above_stdio(open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY), fd);
}

int amxi_os_open_unnamed(const char *dir, int *fd)
{
    int r = above_stdio(open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), fd);
    if (r)
        return r;
    r = amxi_os_mode(*fd, 0600, -1); /* a umask may have taken even our own rights, and we open it again */
    if (r)
        amxi_os_close(*fd);
    return r;
}

int amxi_os_memfd(const char *label, int *fd)
{
    int r = above_stdio(memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL), fd);
    if (r == -EINVAL) /* before Linux 6.3 */
        r = above_stdio(memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING), fd);
    return r;
}

static void fd_path(int fd, char path[32])
{
    snprintf(path, 32, "/proc/self/fd/%d", fd);
}

int amxi_os_reopen(int fd, bool write, int *out)
{
    char path[32];
    fd_path(fd, path);
    return above_stdio(open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), out);
}

int amxi_os_link(int fd, const char *path)
{
    char from[32];
    fd_path(fd, from);
    return linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) ? sys_error() : 0;
}

int amxi_os_unlink(const char *path)
{
    return unlink(path) ? sys_error() : 0;
}

bool amxi_os_names(const char *path, uint64_t dev, uint64_t ino)
{
    struct stat st;
    return lstat(path, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

bool amxi_os_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

int amxi_os_reserve(int fd, uint64_t size, bool sparse)
{
    /* Beyond the limit the kernel would send SIGXFSZ, which kills. */
    struct rlimit lim;
    if (getrlimit(RLIMIT_FSIZE, &lim) == 0 && lim.rlim_cur != RLIM_INFINITY && size > lim.rlim_cur)
        return -EFBIG;
    if (ftruncate(fd, (off_t)size))
        return sys_error();
    /* In pieces, because a signal undoes and restarts the whole call. */
    const uint64_t piece = UINT64_C(64) << 20;
    for (uint64_t at = 0; !sparse && at < size;) {
        uint64_t n = size - at < piece ? size - at : piece;
        int e = posix_fallocate(fd, (off_t)at, (off_t)n);
        if (e == EINTR)
            continue;
        if (e)
            return -e;
        at += n;
    }
    return 0;
}

int amxi_os_mode(int fd, uint32_t mode, int64_t group)
{
    if (group >= 0 && fchown(fd, (uid_t)-1, (gid_t)group))
        return sys_error();
    return fchmod(fd, (mode_t)mode) ? sys_error() : 0;
}

int amxi_os_seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) ? sys_error() : 0;
}

int amxi_os_sealed(int fd, bool *is_memfd, bool *shrink)
{
    /* Files of a tmpfs answer F_GET_SEALS too, so that only the name tells a memfd from them. */
    char path[32], name[8];
    fd_path(fd, path);
    ssize_t n = readlink(path, name, sizeof name);
    if (n < 0)
        return sys_error();
    *is_memfd = n == sizeof name && memcmp(name, "/memfd:", 7) == 0;
    int seals = fcntl(fd, F_GET_SEALS);
    *shrink = seals >= 0 && (seals & F_SEAL_SHRINK);
    return 0;
}

int amxi_os_stat(int fd, uint64_t *size, uint64_t *dev, uint64_t *ino, uint32_t *links, bool *regular)
{
    struct stat st;
    if (fstat(fd, &st))
        return sys_error();
    *size = (uint64_t)st.st_size;
    *dev = st.st_dev;
    *ino = st.st_ino;
    *links = (uint32_t)st.st_nlink;
    *regular = S_ISREG(st.st_mode);
    return 0;
}

int amxi_os_absolute(const char *path, char **out)
{
    char *cwd = NULL;
    if (*path != '/' && !(cwd = getcwd(NULL, 0)))
        return sys_error();
    int n = asprintf(out, "%s%s%s", cwd ? cwd : "", cwd ? "/" : "", path);
    free(cwd);
    return n < 0 ? -ENOMEM : 0;
}

int amxi_os_read(int fd, void *p, size_t len, size_t *got)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (char *)p + done, len - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sys_error();
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *got = done;
    return 0;
}

/* What the kernel can give without killing somebody for it. */
static uint64_t free_memory(void)
{
    FILE *f = fopen("/proc/meminfo", "re");
    char line[128];
    uint64_t kib, sum = 0;
    bool told = false;
    while (f && fgets(line, sizeof line, f)) {
        bool available = sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1;
        if (available || sscanf(line, "SwapFree: %" SCNu64, &kib) == 1)
            sum += kib * 1024;
        told |= available;
    }
    if (f)
        fclose(f);
    return told ? sum : UINT64_MAX;
}

int amxi_os_free_bytes(const char *dir, uint64_t *bytes)
{
    *bytes = UINT64_MAX;
    struct statfs st = {.f_type = TMPFS_MAGIC};
    if (dir && statfs(dir, &st))
        return sys_error();
    if (st.f_blocks) /* 0: a tmpfs without a limit */
        *bytes = (uint64_t)st.f_bavail * (uint64_t)st.f_bsize;
    uint64_t memory = st.f_type == TMPFS_MAGIC ? free_memory() : UINT64_MAX;
    if (memory < *bytes)
        *bytes = memory;
    return 0;
}

void amxi_os_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* --- Memory ---------------------------------------------------------------------------------------------------- */

int amxi_os_map(int fd, uint64_t size, uint64_t reserve, bool write, const void *hint, void **out)
{
    /* The reservation keeps the addresses behind the file free for growth; the file then replaces its front. */
    uintptr_t at = (uintptr_t)hint & ~(uintptr_t)4095;
    void *p = mmap((void *)at, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return sys_error();
    if (mmap(p, size, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
        int r = sys_error();
        munmap(p, reserve);
        return r;
    }
    *out = p;
    return 0;
}

void amxi_os_unmap(void *p, uint64_t len)
{
    if (p)
        munmap(p, len);
}

int amxi_os_pin(const void *p, uint64_t len)
{
    return mlock(p, len) ? -errno : 0;
}

void amxi_os_unpin(const void *p, uint64_t len)
{
    (void)munlock(p, len);
}

int amxi_os_private(size_t len, void **out)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return sys_error();
    if (madvise(p, len, MADV_WIPEONFORK)) {
        int r = sys_error();
        munmap(p, len);
        return r;
    }
    *out = p;
    return 0;
}

/* --- Locks ----------------------------------------------------------------------------------------------------- */

static int lock(int fd, int cmd, short type, int64_t byte, struct flock *l)
{
    *l = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    if (fcntl(fd, cmd, l) == 0)
        return 0;
    return errno == EACCES ? -EAGAIN : sys_error();
}

int amxi_os_lock(int fd, int64_t byte, bool exclusive)
{
    struct flock l;
    return lock(fd, F_OFD_SETLK, exclusive ? F_WRLCK : F_RDLCK, byte, &l);
}

int amxi_os_unlock(int fd, int64_t byte)
{
    struct flock l;
    return lock(fd, F_OFD_SETLK, F_UNLCK, byte, &l);
}

int amxi_os_lock_test(int fd, int64_t byte, bool *locked)
{
    struct flock l;
    int r = lock(fd, F_OFD_GETLK, F_WRLCK, byte, &l);
    if (r == 0)
        *locked = l.l_type != F_UNLCK;
    return r;
}

/* --- Processes ------------------------------------------------------------------------------------------------- */

/* State and start time of a process, as /proc tells them. *pid receives the number by which this /proc knows it. */
static int read_stat(const char *path, uint32_t *pid, char *state, uint64_t *start)
{
    char text[1024];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sys_error();
    size_t got = 0;
    int r = amxi_os_read(fd, text, sizeof text - 1, &got);
    close(fd);
    if (r)
        return r;
    text[got] = 0;
    /* "pid (name) state ppid ...": the name may hold anything, so count from its last parenthesis: field 2. */
    const char *p = strrchr(text, ')');
    if (!p || sscanf(text, "%" SCNu32, pid) != 1 || sscanf(p, ") %c", state) != 1)
        return -EPROTO;
    for (int field = 2; field < 22; field++) {
        p = strchr(p + 1, ' ');
        if (!p)
            return -EPROTO;
    }
    return sscanf(p, " %" SCNu64, start) == 1 ? 0 : -EPROTO;
}

static int own_pid_ns(uint64_t *out)
{
    struct stat st;
    if (stat("/proc/self/ns/pid", &st))
        return sys_error();
    *out = st.st_ino;
    return 0;
}

int amxi_os_self(struct amxi_os_proc *out)
{
    uint32_t shown;
    char state;
    uint8_t boot[16] = {0};
    out->pid = (uint32_t)getpid();
    (void)amxi_os_boot_id(boot); /* hidden: unknown */
    memcpy(&out->boot, boot, sizeof out->boot);
    int r = own_pid_ns(&out->pid_ns);
    return r ? r : read_stat("/proc/self/stat", &shown, &state, &out->start_time);
}

/* /proc may be mounted for another pid namespace than ours; its numbers would then be of other processes. */
static bool proc_is_ours(void)
{
    uint32_t shown;
    uint64_t start;
    char state;
    return read_stat("/proc/self/stat", &shown, &state, &start) == 0 && shown == (uint32_t)getpid();
}

static bool proc_stat(uint32_t pid, char *state, uint64_t *start)
{
    char path[32];
    uint32_t shown;
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/stat", pid);
    return proc_is_ours() && read_stat(path, &shown, state, start) == 0;
}

bool amxi_os_gone(const struct amxi_os_proc *p)
{
    uint64_t ns = 0;
    if (p->pid == 0 || p->pid > INT32_MAX)
        return true; /* no process has such a number */
    if (own_pid_ns(&ns) || ns != p->pid_ns)
        return false;
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)p->pid, 0);
    if (fd < 0 && errno == ESRCH)
        return true;
    if (fd >= 0) {
        /* Readable when the last thread has exited, reaped or not: a zombie stores nothing any more. */
        struct pollfd pf = {.fd = fd, .events = POLLIN};
        bool exited = poll(&pf, 1, 0) == 1 && (pf.revents & POLLIN);
        close(fd);
        if (exited)
            return true;
    }
    char state;
    uint64_t start;
    return proc_stat(p->pid, &state, &start) && start != p->start_time;
}

bool amxi_os_stopped(const struct amxi_os_proc *p)
{
    uint64_t ns = 0, start;
    char state;
    return !own_pid_ns(&ns) && ns == p->pid_ns && proc_stat(p->pid, &state, &start) && start == p->start_time &&
           (state == 'T' || state == 't');
}

/* Does a line of /proc/PID/maps say that the file may be mapped at base? Some file systems show another device there
 * than fstat does; then any shared file at that place counts, because a false "alive" is safe. */
static bool maps_line_has(const char *line, uint64_t dev, uint64_t ino, uint64_t base)
{
    uint64_t from, to, inode;
    unsigned major, minor;
    char perms[5];
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %x:%x %" SCNu64, &from, &to, perms, &major, &minor, &inode) != 6)
        return false;
    if (base < from || base >= to || perms[3] != 's' || inode == 0)
        return false;
    return inode == ino || makedev(major, minor) != dev;
}

bool amxi_os_unmapped(uint32_t pid, uint64_t dev, uint64_t ino, uint64_t base)
{
    if (!proc_is_ours())
        return false;
    char path[32];
    snprintf(path, sizeof path, "/proc/%" PRIu32 "/maps", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    char *line = NULL;
    size_t cap = 0, lines = 0;
    bool found = false;
    while (!found && getline(&line, &cap, f) > 0) {
        found = maps_line_has(line, dev, ino, base);
        lines++;
    }
    /* No line at all: the leading thread has exited and others may live. */
    bool sure = lines > 0 && !ferror(f);
    free(line);
    fclose(f);
    return sure && !found;
}

int amxi_os_comm(char name[16])
{
    memset(name, 0, 16);
    int fd = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sys_error();
    size_t got = 0;
    int r = amxi_os_read(fd, name, 15, &got);
    close(fd);
    name[strcspn(name, "\n")] = 0;
    return r;
}

/* --- The rest -------------------------------------------------------------------------------------------------- */

int amxi_os_random(void *p, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = getrandom((char *)p + done, len - done, 0);
        if (n > 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return sys_error();
    }
    return 0;
}

int amxi_os_boot_id(uint8_t id[16])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sys_error();
    char text[64];
    size_t got = 0;
    int r = amxi_os_read(fd, text, sizeof text - 1, &got);
    close(fd);
    if (r)
        return r;
    text[got] = 0;
    unsigned digits = 0;
    memset(id, 0, 16);
    for (const char *p = text; *p && digits < 32; p++) {
        const char *hex = "0123456789abcdef", *d = strchr(hex, *p);
        if (!d)
            continue;
        id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | (d - hex));
        digits++;
    }
    return digits == 32 ? 0 : -EPROTO;
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

uint64_t amxi_os_wall_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

uint64_t amxi_os_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

void amxi_os_futex_wait(const void *word, uint32_t value, uint64_t timeout_ns)
{
    struct timespec t = {.tv_sec = (time_t)(timeout_ns / UINT64_C(1000000000)),
                         .tv_nsec = (long)(timeout_ns % UINT64_C(1000000000))};
    syscall(SYS_futex, word, FUTEX_WAIT, value, timeout_ns == UINT64_MAX ? NULL : &t, NULL, 0);
}

void amxi_os_futex_wake_all(const void *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

int amxi_os_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    return -pthread_atfork(before, parent, child);
}

void amxi_os_yield(void)
{
    sched_yield();
}
