/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that does what it is told, one call at a time, with the library as it is shipped. It is traced: the trap
 * below says "done, what next?", and a tracer may step, stop or kill it anywhere between two of them.
 */
#include "control.h"

#include <fcntl.h>

int main(int argc, char **argv)
{
    static amx_t *slot[SLOTS];
    must(argc == 2);
    int fd = atoi(argv[1]);
    struct control *ctl = mmap(NULL, sizeof *ctl, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(ctl != MAP_FAILED);
    must(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
    for (;;) {
        __asm__ volatile("int3" ::: "memory");
        ctl->call.answer = perform(slot, ctl->who, &ctl->call);
    }
}
