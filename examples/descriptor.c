/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment without a name. One process makes it in a memfd and sends the descriptor over a Unix socket; the other
 * attaches by it. Nobody else can: there is no file, and the memory goes with its last user.
 *
 *     cc descriptor.c -o descriptor -lamx
 *     ./descriptor
 */
#include <amx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int code)
{
    if (code) {
        fprintf(stderr, "descriptor: %s\n", amx_strerror(code));
        exit(1);
    }
}

/* Room for one descriptor, aligned as the kernel wants it. */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* Sends fd, and with it a reference: what there is to be found in the segment. */
static int send_segment(int socket, int fd, amx_ref ref)
{
    union control control;
    struct iovec io = {.iov_base = &ref, .iov_len = sizeof ref};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
    struct cmsghdr *c;

    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(socket, &message, MSG_NOSIGNAL) == sizeof ref ? 0 : -1;
}

/* The descriptor, or -1 if none came. */
static int receive_segment(int socket, amx_ref *ref)
{
    union control control;
    struct iovec io = {.iov_base = ref, .iov_len = sizeof *ref};
    struct msghdr message = {.msg_iov = &io, .msg_iovlen = 1};
    struct cmsghdr *c;
    int fd;

    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != sizeof *ref)
        return -1;
    c = CMSG_FIRSTHDR(&message);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof fd))
        return -1;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

static int receiver(int socket)
{
    const void *p;
    amx_ref ref;
    amx_t *h;
    int fd = receive_segment(socket, &ref);

    if (fd < 0)
        return 1;
    must(amx_attach_fd(fd, NULL, &h));
    close(fd); /* the library has its own */
    must(amx_read(h, ref, 64, &p));
    printf("received: %.64s\n", (const char *)p);
    must(amx_free(h, ref));
    must(amx_close(h));
    return 0;
}

static int sender(int socket)
{
    struct amx_options options = AMX_OPTIONS_INIT;
    int status = 1;
    amx_ref ref;
    amx_t *h;
    void *p;

    options.size = 1 << 20;
    must(amx_create_memfd("descriptor", &options, &h));
    must(amx_zalloc(h, 64, &ref));
    must(amx_ptr(h, ref, &p));
    snprintf(p, 64, "a block of process %d", (int)getpid());
    must(amx_publish(h, ref));
    if (send_segment(socket, amx_fd(h), ref))
        return 1;
    if (wait(&status) < 0 || status != 0)
        return 1;
    must(amx_close(h));
    return 0;
}

int main(void)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
        perror("descriptor: socketpair");
        return 1;
    }
    switch (fork()) {
    case -1:
        perror("descriptor: fork");
        return 1;
    case 0:
        close(ends[0]); /* so that the end of the sender is seen */
        return receiver(ends[1]);
    default:
        close(ends[1]);
        return sender(ends[0]);
    }
}
