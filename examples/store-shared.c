/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message store between processes, and two deaths. Who reads a message keeps others from freeing it: also when it is
 * killed, until somebody recovers what it held. Who is killed while it changes a message leaves it poisoned, not half
 * changed for others to read: they are told, look at it and mend it. The processes are programs of their own, which find
 * the store by a root of the segment and get a token as text.
 *
 *     cc store-shared.c -o store-shared -lamx
 *     ./store-shared
 */
#include <amx.h>
#include <amx_store.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct amx_store_config config = {.depth = 16, .payload_max = 64};
static amx_t *h;
static struct amx_store store;

static int child(const char *role, amx_token token)
{
    struct amx_read r = {0};
    struct amx_write w = {0};
    amx_ref block;
    if (amx_attach("store-shared", NULL, &h) || amx_root_get(h, 0, &block) ||
        amx_store_attach_block(h, block, &config, &store))
        return 1;
    if (!strcmp(role, "free"))
        return amx_msg_free(&store, token) != AMX_E_BORROW_ACTIVE;
    if (!strcmp(role, "read") ? amx_msg_read(&store, token, &r) || strcmp(r.payload, "read me") != 0
                              : amx_msg_read_mut(&store, token, &w) != AMX_OK)
        return 1;
    if (w.payload)
        memcpy(w.payload, "changed in p", 12); /* and not to the end */
    puts("borrowed");
    fflush(stdout);
    for (;;)
        pause(); /* to be killed */
}

/* Starts a child; wait_for_it: until it has borrowed the message. */
static pid_t start(const char *role, amx_token token, int wait_for_it)
{
    char text[32];
    int out[2];
    snprintf(text, sizeof text, "%llu", (unsigned long long)token);
    fflush(stdout);
    if (pipe(out))
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        execl("/proc/self/exe", "store-shared", role, text, (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    if (wait_for_it && read(out[0], text, sizeof text) <= 0)
        pid = -1; /* it ended */
    close(out[0]);
    return pid;
}

static int status_of(pid_t pid)
{
    int status = -1;
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static int killed(pid_t pid)
{
    int status = pid > 0 && !kill(pid, SIGKILL) ? status_of(pid) : 0;
    return WIFSIGNALED(status);
}

static int wrong;
static void expect(const char *what, int answer, int expected)
{
    printf("%-36s %s\n", what, amx_strerror(answer));
    wrong += answer != expected;
}

int main(int argc, char **argv)
{
    struct amx_options options = AMX_OPTIONS_INIT;
    struct amx_write w;
    struct amx_read r;
    amx_token token, changed;
    amx_ref block;
    int e;

    if (argc == 3)
        return child(argv[1], strtoull(argv[2], NULL, 10));
    options.size = 1 << 20;
    options.flags = AMX_F_REMOVE_LAST;
    if ((e = amx_create("store-shared", &options, &h)) || (e = amx_store_create(h, &config, &block, &store)) ||
        (e = amx_root_set(h, 0, block)) || (e = amx_msg_store(&store, NULL, "read me", 8, &token)) ||
        (e = amx_msg_store(&store, NULL, "change me", 10, &changed))) {
        fprintf(stderr, "store-shared: %s\n", amx_strerror(e));
        return 1;
    }

    pid_t reader = start("read", token, 1);
    expect("a process reads; we free:", amx_msg_free(&store, token), AMX_E_BORROW_ACTIVE);
    wrong += status_of(start("free", token, 0)) != 0; /* a third one gets the same answer */
    wrong += !killed(reader);
    expect("the reader was killed; we free:", amx_msg_free(&store, token), AMX_E_BORROW_ACTIVE);
    expect("recovery:", amx_recover(h, 0, NULL, NULL, NULL), AMX_OK);
    expect("its guard has lapsed; we free:", amx_msg_free(&store, token), AMX_OK);

    pid_t writer = start("write", changed, 1);
    expect("a process changes; we read:", amx_msg_read(&store, changed, &r), AMX_E_BORROWED);
    wrong += !killed(writer);
    expect("the writer was killed; recovery:", amx_recover(h, 0, NULL, NULL, NULL), AMX_OK);
    expect("we read:", amx_msg_read(&store, changed, &r), AMX_E_POISONED);
    expect("we mend it:", e = amx_msg_recover(&store, changed, &w), AMX_OK);
    if (e)
        return 1;
    printf("it had come as far as                '%.12s'\n", (const char *)w.payload);
    wrong += memcmp(w.payload, "changed in p", 12) != 0;
    memcpy(w.payload, "mended", w.size = 7);
    expect("and end the guard:", amx_write_end(&w), AMX_OK);
    expect("we read:", e = amx_msg_read(&store, changed, &r), AMX_OK);
    if (e || strcmp(r.payload, "mended") != 0)
        return 1;
    amx_read_end(&r);
    expect("we free:", amx_msg_free(&store, changed), AMX_OK);

    struct amx_store_stats s = {.struct_size = sizeof s};
    expect("all is in order:", amx_store_check(&store, NULL, NULL, NULL), AMX_OK);
    wrong += amx_store_stat(&store, &s) || s.used;
    printf("%u messages left, %d wrong\n", s.used, wrong);
    return amx_store_remove(&store) || amx_free(h, block) || amx_close(h) || wrong;
}
