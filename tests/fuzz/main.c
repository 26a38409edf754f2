/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The campaign: damaged segments by seed, in processes that may die of it.
 *
 *   segments            MUTATIONS of them from SEED on; AMX: the tool, run as a program for each TOOL_EVERY-th
 *   segments FILE...    one for each file: a fuzzer's input
 *   segments -r N DIR   writes the choices of the seeds SEED... to files: a fuzzer's first inputs
 *
 * Ends with: fuzz: mutations=N crashes=N hangs=N
 */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/time.h>

enum { BATCH = 250, JOBS_MAX = 64, CPU_LIMIT = 10, WALL_LIMIT = 120 }; /* seconds for one */

__attribute__((visibility("default"))) const char *__asan_default_options(void); /* for the runtime to find */
const char *__asan_default_options(void) /* a report is a SIGABRT: no exit code of the tool's */
{
    return "abort_on_error=1:handle_abort=1:quarantine_size_mb=8:detect_stack_use_after_return=0";
}

struct job {
    pid_t pid;
    uint64_t end;
    uint64_t *at; /* shared: the seed that it is at */
    char dir[256];
};

static uint64_t first, mutations, tool_every;
static const char *tool;
static char **inputs;
static char dir[128];
static pid_t parent;

static void arm(void)
{
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = CPU_LIMIT}, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_sec = WALL_LIMIT}, NULL);
}

static int lowest_descriptor(void)
{
    int fd = dup(0);
    close(fd);
    return fd;
}

static struct tape tape_of_file(const char *path)
{
    static uint8_t bytes[1 << 20];
    int fd = open(strcmp(path, "-") ? path : "/dev/stdin", O_RDONLY);
    size_t n = 0;
    must(fd >= 0);
    for (ssize_t got = 1; got > 0 && n < sizeof bytes; n += (size_t)got)
        must((got = read(fd, bytes + n, sizeof bytes - n)) >= 0);
    close(fd);
    return tape_of_bytes(bytes, n);
}

/* From *at on. In a process of its own. */
static void work(struct job *j)
{
    char log[300];
    snprintf(log, sizeof log, "%s/log", j->dir);
    must(setenv("AMX_DIR", j->dir, 1) == 0);
    int fd = open(log, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600), null = open("/dev/null", O_WRONLY);
    must(fd >= 0 && null >= 0 && dup2(fd, 2) == 2 && dup2(null, 1) == 1);
    close(fd);
    close(null);
    fuzz_begin();
    int tries = mutations == 1 ? 200 : 1; /* where another writes at the same time, once may not do */
    int low = lowest_descriptor();
    for (; *j->at < j->end; ++*j->at) {
        uint64_t i = *j->at;
        for (int n = 0; n < tries; n++) {
            struct tape t = inputs ? tape_of_file(inputs[i]) : tape_of_seed(first + i);
            arm();
            must(ftruncate(2, 0) == 0); /* what the verbs said */
            fuzz_one(&t, tool && !n && (first + i) % tool_every == 0 ? tool : NULL);
            must(lowest_descriptor() == low);
        }
    }
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_sec = WALL_LIMIT}, NULL);
    exit(0); /* looks for leaks */
}

static void begin(struct job *j, uint64_t at, uint64_t end)
{
    *j->at = at;
    j->end = end;
    fflush(NULL);
    j->pid = fork();
    must(j->pid >= 0);
    if (j->pid == 0)
        work(j);
}

static void tell(const struct job *j, const char *what, int end)
{
    char line[512], log[300];
    uint64_t i = *j->at;
    if (inputs)
        printf("%s: %s (ended with %d)\n", what, i < j->end ? inputs[i] : "at the end", end);
    else if (i < j->end)
        printf("%s: SEED=%" PRIu64 " make fuzz-segments (ended with %d)\n", what, first + i, end);
    else
        printf("%s: at the end of the %d mutations before SEED=%" PRIu64 ": a leak (ended with %d)\n", what, BATCH,
               first + i, end);
    snprintf(log, sizeof log, "%s/log", j->dir);
    FILE *f = fopen(log, "r");
    for (int n = 0; f && n < 40 && fgets(line, sizeof line, f); n++)
        printf("  | %.200s%s", line, strchr(line, '\n') && strlen(line) <= 200 ? "" : "\n");
    if (f)
        fclose(f);
    fflush(stdout);
}

static int campaign(uint64_t jobs)
{
    struct job job[JOBS_MAX] = {0};
    uint64_t next = 0, crashes = 0, hangs = 0, running = 0;
    uint64_t *at = mmap(NULL, sizeof(uint64_t) * JOBS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(at != MAP_FAILED);
    for (uint64_t i = 0; i < jobs; i++) {
        job[i].at = &at[i];
        snprintf(job[i].dir, sizeof job[i].dir, "%s/%u", dir, (unsigned)i);
        must(mkdir(job[i].dir, 0700) == 0);
    }
    for (;;) {
        for (uint64_t i = 0; i < jobs && next < mutations; i++)
            if (!job[i].pid) {
                uint64_t n = mutations - next < BATCH ? mutations - next : BATCH;
                begin(&job[i], next, next + n);
                next += n;
                if (next % 100000 == 0)
                    printf("# %" PRIu64 " begun\n", next);
                running++;
            }
        if (!running)
            break;
        int status, end;
        pid_t pid = wait(&status);
        struct job *j = job;
        while (j->pid != pid)
            j++;
        end = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        j->pid = 0;
        running--;
        if (!end)
            continue;
        bool hang = end == 128 + SIGPROF || end == 128 + SIGALRM;
        hangs += hang;
        crashes += !hang;
        tell(j, hang ? "hang" : "crash", end);
        if (*j->at + 1 < j->end) {
            begin(j, *j->at + 1, j->end);
            running++;
        }
    }
    printf("fuzz: mutations=%" PRIu64 " crashes=%" PRIu64 " hangs=%" PRIu64 "\n", mutations, crashes, hangs);
    return crashes || hangs;
}

static int record(uint64_t n, const char *to)
{
    uint8_t bytes[192]; /* the rest are choices of calls, which the dice make as well */
    must(setenv("AMX_DIR", dir, 1) == 0);
    must(freopen("/dev/null", "w", stderr) && freopen("/dev/null", "w", stdout));
    for (uint64_t i = 0; i < n; i++) {
        char path[512];
        struct tape t = tape_of_seed(first + i);
        t.copy = bytes;
        t.room = sizeof bytes;
        fuzz_one(&t, NULL);
        snprintf(path, sizeof path, "%s/seed-%03u", to, (unsigned)(first + i));
        FILE *f = fopen(path, "wb");
        must(f && fwrite(bytes, 1, t.copied, f) == t.copied && fclose(f) == 0);
    }
    return 0;
}

static void clear(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    must(system(command) == 0);
}

static void interrupted(int sig)
{
    if (getpid() == parent)
        clear();
    _exit(128 + sig);
}

int main(int argc, char **argv)
{
    const char *in = getenv("AMX_DIR"), *seed = getenv("SEED");
    uint64_t jobs = env_number("WORKERS", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    bool recording = argc == 4 && !strcmp(argv[1], "-r");
    first = env_number("SEED", 0);
    if (!seed || !*seed) {
        must(getrandom(&first, 5, 0) == 5);
        first &= ~UINT64_C(0xff);
    }
    mutations = env_number("MUTATIONS", seed && *seed ? 1 : 10000);
    tool = getenv("AMX");
    tool_every = env_number("TOOL_EVERY", mutations == 1 ? 1 : mutations < 100000 ? 50 : mutations / 2000);
    if (argc > 1) {
        inputs = argv + 1;
        mutations = (uint64_t)argc - 1;
    } else {
        printf("SEED=%" PRIu64 " MUTATIONS=%" PRIu64 "\n", first, mutations);
    }
    setenv("ASAN_OPTIONS", __asan_default_options(), 0); /* the tool's too */
    snprintf(dir, sizeof dir, "%s/amx-fuzz-%d", in ? in : "/dev/shm", (int)getpid());
    must(mkdir(dir, 0700) == 0 && setenv("AMX_DIR", dir, 1) == 0);
    parent = getpid();
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGINT, interrupted);
    signal(SIGTERM, interrupted);
    signal(SIGPIPE, interrupted);
    fuzz_begin();
    int code = recording ? record(strtoull(argv[2], NULL, 10), argv[3])
                         : campaign(jobs < 1          ? 1
                                    : jobs < JOBS_MAX ? jobs
                                                      : JOBS_MAX);
    clear();
    return code;
}
