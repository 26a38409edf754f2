/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of the tool, called and run. */
#include "tests/fuzz/fuzz.h"
#include "tools/tool.h"

#include <getopt.h>
#include <sys/time.h>

enum { ARGS = 6 };
static const struct {
    const struct verb *verb;
    const char *args[ARGS];
} line[VERB_LINES] = {
    {&verb_ls, {NULL}},
    {&verb_ls, {"--json"}},
    {&verb_ps, {NULL}},
    {&verb_ps, {"fuzz", "--json"}},
    {&verb_info, {"fuzz"}},
    {&verb_info, {"fuzz", "--json"}},
    {&verb_stat, {"fuzz"}},
    {&verb_stat, {"fuzz", "--json"}},
    {&verb_check, {"fuzz", "--notes"}},
    {&verb_check, {"fuzz", "--json"}},
    {&verb_check, {"--image", fuzz_file}},
    {&verb_blocks, {"fuzz"}},
    {&verb_blocks, {"fuzz", "--json", "--state", "user"}},
    {&verb_recover, {"fuzz", "--dry-run"}},
    {&verb_gc, {"--dry-run"}},
    {&verb_pool, {"ls", "fuzz", "--json"}},
    {&verb_pool, {"info", "fuzz"}},
    {&verb_pool, {"stat", "fuzz"}},
    {&verb_pool, {"check", "fuzz"}},
    {&verb_recover, {"fuzz"}},
    {&verb_recover, {"fuzz", "--json"}},
    {&verb_gc, {"fuzz"}},
    {&verb_rm, {"fuzz"}},
    {&verb_rm, {"fuzz", "--force"}},
};

static int arguments(int i, char *argv[ARGS + 2])
{
    int n = 1;
    argv[0] = (char *)(uintptr_t)line[i].verb->name;
    for (; n <= ARGS && line[i].args[n - 1]; n++)
        argv[n] = (char *)(uintptr_t)line[i].args[n - 1];
    argv[n] = NULL;
    return n;
}

void verb_call(int i)
{
    char *argv[ARGS + 2];
    int n = arguments(i, argv);
    optind = 0; /* getopt begins anew */
    int code = line[i].verb->run(n, argv);
    must(code >= TOOL_OK && code <= TOOL_LAYOUT);
    fflush(stdout);
}

/* The program itself: its end is ours if it does not end well. */
void verb_program(const char *tool, int i)
{
    char *argv[ARGS + 3] = {(char *)(uintptr_t)tool};
    arguments(i, argv + 1);
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = 10}, NULL); /* outlives the exec */
        setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_sec = 60}, NULL);
        execv(tool, argv);
        _exit(126);
    }
    int end = wait_end(pid);
    if (end == 128 + SIGPROF || end == 128 + SIGALRM)
        raise(end - 128);
    if (end > TOOL_LAYOUT) {
        fprintf(stderr, "amx %s ended with %d\n", line[i].verb->name, end);
        abort();
    }
}
