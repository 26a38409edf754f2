/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes, one segment: the child writes a message into a block, the parent reads and frees it. What goes from
 * one to the other is a reference, a number that means the same in both; here it is left in a root.
 *
 *     cc two-processes.c -o two-processes -lamx
 *     ./two-processes
 */
#include <amx.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static amx_t *h;
static amx_ref ref;
static void *p;

static int child(void) /* attaches for itself: a handle is not inherited */
{
    return amx_attach("two-processes", NULL, &h) || amx_alloc(h, 64, &ref) || amx_ptr(h, ref, &p) ||
           snprintf(p, 64, "hello from process %d", (int)getpid()) < 0 || amx_publish(h, ref) || /* nobody's: stays */
           amx_root_set(h, 0, ref) || amx_close(h);
}

int main(void)
{
    struct amx_options options = AMX_OPTIONS_INIT;
    int status, code;

    options.size = 1 << 20;
    options.flags = AMX_F_REMOVE_LAST; /* the last one that closes removes the name */
    if ((code = amx_create("two-processes", &options, &h))) {
        fprintf(stderr, "two-processes: %s\n", amx_strerror(code));
        return 1;
    }
    pid_t pid = fork();
    if (pid == 0)
        return child();
    if (pid < 0 || wait(&status) < 0 || status != 0 || amx_root_get(h, 0, &ref) || amx_ptr(h, ref, &p))
        return 1;
    puts(p);
    return amx_free(h, ref) || amx_close(h);
}
