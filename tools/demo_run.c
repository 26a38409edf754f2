/* SPDX-License-Identifier: Apache-2.0 */
#include "demo_run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "amx_raw.h"
#include "out.h"
#include "tool.h"

/* Each process asks for an address of its own, further apart than the largest segment is long. */
#define HINT_FIRST UINT64_C(0x200000000000)
#define HINT_STEP  (AMX_SIZE_MAX + (UINT64_C(1) << 30) + 0x3000)

enum {
    TICK_NS = 5000000, /* the parent's eye: every 5 ms, */
    EYE_SHARE = 10,    /* and at most a tenth of its time */
    BAR_NS = 50000000,
    GRACE_NS = 1000000000, /* from abort to kill */
    TRIES = 1000,          /* of a recovery that meets somebody in a sector, before the parent looks around again */
    BLOCK_LOW = 1024,
    BLOCK_HIGH = 32 * 1024,
    SLOTS_LOW = 2,
    SLOTS_HIGH = 4096,
    TABLE_HIGH = 96 * 1024,
    WORD_HIGH = 1 << 30
};

/* The parent's eye on the processes. */
struct watch {
    struct demo_run *r;
    struct out_bar bar;
    int64_t start, next_look, next_bar, moved_at, kill_at; /* kill_at: 0 until the demo was aborted */
    uint64_t moved;
    uint32_t left; /* processes */
    sigset_t mask; /* of signals, as it was */
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

const char *demo_seat_name(uint32_t seat, char buf[DEMO_NAME])
{
    if (seat >= DEMO_COUNTER)
        snprintf(buf, DEMO_NAME, "counter %u", seat - DEMO_COUNTER + 1);
    else
        snprintf(buf, DEMO_NAME, "%s", seat == DEMO_READER ? "reader" : "merger");
    return buf;
}

/* The first fault counts: later ones follow from it. */
static void fault(struct demo_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct demo_run *r, const char *fmt, ...)
{
    va_list ap;

    if (*r->fault)
        return;
    va_start(ap, fmt);
    vsnprintf(r->fault, sizeof r->fault, fmt, ap);
    va_end(ap);
}

/* --- Before --------------------------------------------------------------------------------------------------- */

static uint64_t clamp(uint64_t n, uint64_t low, uint64_t high)
{
    return n < low ? low : n > high ? high : n;
}

/* A block for the post: zero, published, in a state of its own. */
static int post(struct demo_run *r, size_t bytes, amx_ref *ref, void **p)
{
    int err = amx_alloc_aligned(r->h, 64, bytes, ref);

    if (!err)
        err = amx_ptr(r->h, *ref, p);
    if (err)
        return err;
    memset(*p, 0, bytes);
    err = amx_set_state(r->h, *ref, DEMO_POST);
    return err ? err : amx_publish(r->h, *ref);
}

/* Sizes that suit the segment: queues that can fill most of it, tables that are small beside it. */
static uint32_t plan(const struct demo_run *r, struct demo_hub *hub)
{
    uint64_t data = r->info.data_bytes, n = r->workers;
    uint64_t table = clamp(data / (24 * (n + 1)), BLOCK_LOW, TABLE_HIGH);

    hub->workers = r->workers;
    hub->block_max = (uint32_t)clamp(data / (8 * (n + 1)), BLOCK_LOW, BLOCK_HIGH);
    hub->word_max = (uint32_t)clamp(data / 8, hub->block_max, WORD_HIGH);
    hub->table_slots = (uint32_t)(table * 3 / 4 / sizeof(struct demo_slot));
    hub->table_text = (uint32_t)(table / 4);
    return (uint32_t)clamp(data * 5 / 4 / (n * hub->block_max), SLOTS_LOW, SLOTS_HIGH);
}

static int box(struct demo_run *r, uint32_t slots, amx_ref *ref)
{
    void *p;
    int err = post(r, demo_box_bytes(slots), ref, &p);

    if (!err)
        ((struct demo_box *)p)->slots = slots;
    return err;
}

static int furnish(struct demo_run *r)
{
    uint32_t slots;
    void *p;
    int err = post(r, demo_hub_bytes(r->workers), &r->hub_ref, &p);

    if (err)
        return err;
    r->hub = p;
    slots = plan(r, r->hub);
    for (uint32_t i = 0; i < r->workers && !err; i++) {
        err = box(r, slots, &r->hub->in[i]);
        if (!err)
            err = box(r, slots, &r->hub->out[i]);
    }
    return err ? err : amx_root_set(r->h, DEMO_ROOT, r->hub_ref);
}

static int memory_file(const char *label, int *fd)
{
    *fd = memfd_create(label, MFD_CLOEXEC);
    return *fd < 0 ? tool_fail(TOOL_FAILED, "demo", "memfd_create: %s", strerror(errno)) : TOOL_OK;
}

int demo_run_begin(struct demo_run *r)
{
    char why[256] = "";
    struct amx_options opts = AMX_OPTIONS_INIT;
    uint32_t people = DEMO_SEATS(r->workers) + 1;
    int err;

    opts.size = r->size;
    opts.peers = opts.handles = people > 16 ? people : 0;
    opts.dir = r->dir;
    opts.peer_name = "demo";
    opts.map_hint = (const void *)(uintptr_t)(HINT_FIRST - HINT_STEP);
    opts.why = why;
    opts.why_len = sizeof why;
    err = amx_create(NULL, &opts, &r->h);
    if (err)
        return tool_fail_amx("demo", "", err, why);
    r->info.struct_size = sizeof r->info;
    err = amx_info(r->h, &r->info);
    if (!err)
        err = furnish(r);
    if (err)
        return tool_fail_amx("demo", amx_name(r->h), err, NULL);
    r->picture.data_offset = r->info.data_offset;
    r->picture.data_bytes = r->info.data_bytes;
    err = memory_file("demo list", &r->list_fd);
    if (!err)
        err = memory_file("demo result", &r->result_fd);
    if (err)
        return err;
    err = demo_input_send(&r->input, r->list_fd);
    return err ? tool_fail(TOOL_FAILED, "demo", "list of files: %s", strerror(err)) : TOOL_OK;
}

/* --- Processes ------------------------------------------------------------------------------------------------ */

static void segment_path(const struct demo_run *r, char *buf, size_t len)
{
    snprintf(buf, len, "%s/amx.%s", tool_dir(r->dir), amx_name(r->h));
}

/* 0 or an errno. */
static int spawn(struct watch *w, uint32_t seat)
{
    struct demo_run *r = w->r;
    char path[4096], seat_text[16], hint[32], name[] = "amx", verb[] = "demo-worker";
    char *argv[] = {name, verb, path, seat_text, hint, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    int err;

    segment_path(r, path, sizeof path);
    snprintf(seat_text, sizeof seat_text, "%u", seat);
    snprintf(hint, sizeof hint, "%" PRIu64, HINT_FIRST + seat * HINT_STEP);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attr);
    if (seat == DEMO_READER)
        posix_spawn_file_actions_adddup2(&files, r->list_fd, STDIN_FILENO);
    if (seat == DEMO_MERGER)
        posix_spawn_file_actions_adddup2(&files, r->result_fd, STDOUT_FILENO);
    posix_spawnattr_setsigmask(&attr, &w->mask);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    err = posix_spawn(&r->pid[seat], "/proc/self/exe", &files, &attr, argv, environ);
    if (err)
        r->pid[seat] = 0;
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return err;
}

static void stop_all(struct watch *w)
{
    if (w->kill_at)
        return;
    demo_abort(w->r->hub);
    w->kill_at = now_ns() + GRACE_NS;
}

static bool replaceable(const struct watch *w, uint32_t seat, int status)
{
    return seat >= DEMO_COUNTER && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !w->kill_at;
}

static void reap(struct watch *w)
{
    struct demo_run *r = w->r;
    char name[DEMO_NAME];

    for (uint32_t seat = 0; seat < DEMO_SEATS(r->workers); seat++) {
        int status;

        if (!r->pid[seat] || waitpid(r->pid[seat], &status, WNOHANG | WUNTRACED | WCONTINUED) != r->pid[seat])
            continue;
        r->stopped[seat] = WIFSTOPPED(status);
        if (WIFSTOPPED(status) || WIFCONTINUED(status))
            continue;
        if (replaceable(w, seat, status)) {
            r->gone[seat] = now_ns();
            r->pid[seat] = 0;
            continue;
        }
        demo_seat_name(seat, name);
        if (WIFSIGNALED(status))
            fault(r, "%s (pid %d) was killed by signal %d (%s)", name, (int)r->pid[seat], WTERMSIG(status),
                  strsignal(WTERMSIG(status)));
        else if (WEXITSTATUS(status))
            fault(r, "%s (pid %d) failed with exit code %d", name, (int)r->pid[seat], WEXITSTATUS(status));
        r->pid[seat] = 0;
        w->left--;
    }
    if (*r->fault)
        stop_all(w);
}

/* Recovers what a killed counter held, then puts another in its seat. */
static void replace(struct watch *w, uint32_t seat)
{
    struct demo_run *r = w->r;
    int err = AMX_E_PARTIAL;

    for (int i = 0; i < TRIES && err == AMX_E_PARTIAL; i++) /* somebody is inside of a sector for a moment */
        err = amx_recover(r->h, 0, NULL, NULL, NULL);
    if (err == AMX_E_PARTIAL && !w->kill_at)
        return; /* or is stopped there: after the next tick */
    if (!r->replaced++)
        r->recover_ns = now_ns() - r->gone[seat];
    r->gone[seat] = 0;
    if (!w->kill_at && err)
        fault(r, "recovery: %s", amx_strerror(err));
    if (!w->kill_at && !err && (err = spawn(w, seat)) != 0)
        fault(r, "cannot start a process: %s", strerror(err));
    if (w->kill_at || err)
        w->left--;
    if (err)
        stop_all(w);
}

static void replace_all(struct watch *w)
{
    for (uint32_t seat = DEMO_COUNTER; seat < DEMO_SEATS(w->r->workers); seat++)
        if (w->r->gone[seat])
            replace(w, seat);
}

static void kill_all(struct demo_run *r)
{
    for (uint32_t seat = 0; seat < DEMO_SEATS(r->workers); seat++)
        if (r->pid[seat])
            kill(r->pid[seat], SIGKILL);
}

static void report_stall(struct demo_run *r)
{
    static const char *const doing[] = {"is starting",     "is at work",   "waits for memory", "waits for input",
                                        "waits for space", "is held back", "has finished"};
    char text[300] = "", name[DEMO_NAME];
    size_t at = 0;

    for (uint32_t seat = 0; seat < DEMO_SEATS(r->workers) && at < sizeof text; seat++) {
        uint32_t what = atomic_load_explicit(&r->hub->seat[seat].doing, memory_order_relaxed);

        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s %s", seat ? ", " : "", demo_seat_name(seat, name),
                               r->stopped[seat]        ? "was stopped by a signal"
                               : what <= DEMO_FINISHED ? doing[what]
                                                       : "?");
    }
    fault(r, "nothing moved for %u s: %s", r->deadline, text);
}

/* Looks whether anything moves. */
static void guard(struct watch *w, int64_t now)
{
    struct demo_run *r = w->r;
    uint64_t moved = 0;

    for (uint32_t seat = 0; seat < DEMO_SEATS(r->workers); seat++)
        moved += atomic_load_explicit(&r->hub->seat[seat].work, memory_order_relaxed);
    if (moved != w->moved) {
        w->moved = moved;
        w->moved_at = now;
    } else if (!w->kill_at && now - w->moved_at > r->deadline * INT64_C(1000000000)) {
        report_stall(r);
        stop_all(w);
    }
    if (w->kill_at && now > w->kill_at)
        kill_all(r);
}

static void show(struct watch *w, int64_t now)
{
    struct demo_run *r = w->r;
    uint64_t done = atomic_load_explicit(&r->hub->counted, memory_order_relaxed);
    uint64_t total = (r->input.bytes + r->input.files) * r->input.rounds; /* with line ends between files, or fewer */
    char note[80], human[OUT_HUMAN];

    snprintf(note, sizeof note, "%s counted, %.0f MB/s", out_human(human, done),
             (double)done * 1e3 / (double)(now - w->start + 1));
    out_bar_show(&w->bar, w->left || *r->fault ? done : total, total, note);
}

static void look(struct watch *w)
{
    int64_t now = now_ns();

    guard(w, now);
    if (!w->kill_at)
        demo_harm_look(w->r, now);
    if (now >= w->next_look) {
        demo_picture_sample(w->r->h, &w->r->picture);
        w->next_look = now + (now_ns() - now) * EYE_SHARE;
    }
    if (now >= w->next_bar) {
        show(w, now);
        w->next_bar = now + BAR_NS;
    }
}

static void watch_them(struct watch *w, const sigset_t *signals)
{
    const struct timespec tick = {.tv_nsec = TICK_NS};

    while (w->left) {
        int sig = sigtimedwait(signals, NULL, &tick); /* a child's end wakes at once */

        if (sig > 0 && sig != SIGCHLD) {
            fault(w->r, "interrupted by signal %d (%s)", sig, strsignal(sig));
            stop_all(w);
        }
        reap(w);
        replace_all(w);
        look(w);
    }
}

/* What the hub knows, before it is freed. */
static void keep_numbers(struct demo_run *r)
{
    const struct demo_hub *hub = r->hub;

    r->blocks = atomic_load_explicit(&hub->blocks, memory_order_relaxed);
    r->bytes = atomic_load_explicit(&hub->bytes, memory_order_relaxed);
    r->tables = atomic_load_explicit(&hub->tables, memory_order_relaxed);
    r->passed = atomic_load_explicit(&hub->passed, memory_order_relaxed);
    r->short_of = atomic_load_explicit(&hub->short_of, memory_order_relaxed);
    r->redone = atomic_load_explicit(&hub->redone, memory_order_relaxed);
    r->redone_bytes = atomic_load_explicit(&hub->redone_bytes, memory_order_relaxed);
    r->resent = atomic_load_explicit(&hub->resent, memory_order_relaxed);
    for (uint32_t seat = 0; seat < DEMO_SEATS(r->workers); seat++) {
        r->base[seat] = atomic_load_explicit(&hub->seat[seat].base, memory_order_relaxed);
        for (uint32_t other = 0; other < seat && !*r->fault; other++)
            if (r->base[other] == r->base[seat])
                fault(r, "two processes map the segment at the same address");
    }
}

void demo_run_work(struct demo_run *r)
{
    struct watch w = {.r = r, .start = now_ns()};
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    signal(SIGCHLD, SIG_DFL); /* it may have been inherited as ignored: then nobody could be waited for */
    sigprocmask(SIG_BLOCK, &signals, &w.mask);
    out_bar_begin(&w.bar, "amx demo");
    w.moved_at = w.start;
    demo_harm_begin(r);
    for (uint32_t seat = 0; seat < DEMO_SEATS(r->workers); seat++) {
        int err = spawn(&w, seat);

        if (err) {
            fault(r, "cannot start a process: %s", strerror(err));
            stop_all(&w);
            break;
        }
        w.left++;
    }
    watch_them(&w, &signals);
    r->seconds = (double)(now_ns() - w.start) / 1e9;
    if (!*r->fault)
        show(&w, now_ns());
    out_bar_end(&w.bar);
    keep_numbers(r);
    sigprocmask(SIG_SETMASK, &w.mask, NULL);
}

/* --- After ---------------------------------------------------------------------------------------------------- */

static int clear_away(struct demo_run *r)
{
    int err = amx_root_set(r->h, DEMO_ROOT, AMX_REF_NONE);

    for (uint32_t i = 0; i < r->workers && !err; i++) {
        err = amx_free(r->h, r->hub->in[i]);
        if (!err)
            err = amx_free(r->h, r->hub->out[i]);
    }
    if (!err)
        err = amx_free(r->h, r->hub_ref);
    if (!err)
        err = amx_recover(r->h, 0, NULL, NULL, NULL); /* what a close had to leave */
    if (!err)
        err = amx_trim(r->h);
    return err ? err : amx_heal(r->h);
}

void demo_run_check(struct demo_run *r, struct amx_check_result *check, struct amx_stats *stat)
{
    int err = clear_away(r);

    check->struct_size = sizeof *check;
    stat->struct_size = sizeof *stat;
    if (!err)
        err = amx_check(r->h, NULL, NULL, check);
    if (!err)
        err = amx_stat(r->h, stat);
    if (!err)
        err = amx_info(r->h, &r->info);
    if (err)
        fault(r, "the segment afterwards: %s", amx_strerror(err));
    else if (check->corrupt || check->undone || check->busy)
        fault(r, "check finds %" PRIu64 " corrupt, %" PRIu64 " undone, %u not judged", check->corrupt, check->undone,
              check->busy);
    else if (check->live_blocks || check->free_bytes != r->info.data_bytes || stat->free_bytes != r->info.data_bytes)
        fault(r, "%" PRIu64 " bytes are not free: %" PRIu64 " blocks live, %" PRIu64 " bytes in caches and queues",
              r->info.data_bytes - stat->free_bytes, check->live_blocks, check->parked_bytes);
    else if (r->info.peers_used != 1)
        fault(r, "%u processes are still attached", r->info.peers_used - 1);
}

void demo_run_end(struct demo_run *r)
{
    char path[4096];

    if (r->list_fd > 0)
        close(r->list_fd);
    if (r->result_fd > 0)
        close(r->result_fd);
    demo_input_free(&r->input);
    if (!r->h)
        return;
    segment_path(r, path, sizeof path);
    amx_close(r->h); /* first: to remove the name takes a descriptor, and there may be no more */
    amx_unlink(path, NULL);
}
