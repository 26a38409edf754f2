/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot pool between two processes: the child sends a thousand messages to the parent, each in a slot that it gives away.
 * A slot belongs to who holds the message: so when the child is killed in the middle, recovery takes back what it had,
 * and leaves alone what the parent has not read yet.
 *
 *     cc pool-processes.c -o pool-processes -lamx
 *     ./pool-processes
 */
#include <amx.h>
#include <amx_pool.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGES = 1000, LAST_WORDS = 3 };
static const struct amx_pool_config config = {.n = 2, .cls = {{64, 16}, {1024, 4}}};
static int pipes[2]; /* references go through it */

static int child(amx_id parent)
{
    amx_t *h;
    amx_ref block;
    struct amx_pool pool;
    if (amx_attach("pool-processes", NULL, &h) || amx_root_get(h, 0, &block) ||
        amx_pool_attach_block(h, block, 0, &config, &pool))
        return 1;
    for (int i = 0; i < MESSAGES; i++) {
        amx_slot slot, gift;
        void *p;
        size_t room;
        /* backpressure: the parent has not read enough yet */
        if (amx_pool_alloc_wait(&pool, i % 10 ? 40 : 1000, AMX_POOL_SELF, UINT64_MAX, &slot) ||
            amx_pool_ptr(&pool, slot, &p, &room))
            return 1;
        snprintf(p, room, "message %d", i);
        if (amx_pool_give(&pool, slot, parent, &gift) || write(pipes[1], &gift, sizeof gift) != sizeof gift)
            return 1;
    }
    for (int i = 0; i < LAST_WORDS; i++) { /* and dies with slots in its hands */
        amx_slot slot;
        if (amx_pool_alloc_wait(&pool, 40, AMX_POOL_SELF, UINT64_MAX, &slot))
            return 1;
    }
    return raise(SIGKILL);
}

int main(void)
{
    struct amx_options options = AMX_OPTIONS_INIT;
    struct amx_recovery recovery = {.struct_size = sizeof recovery};
    struct amx_pool pool;
    amx_t *h;
    amx_ref block;
    amx_slot slot;
    void *p;
    int code, status, right = 0;
    char expected[32];

    options.size = 1 << 20;
    options.flags = AMX_F_REMOVE_LAST;
    if ((code = amx_create("pool-processes", &options, &h)) || (code = amx_pool_create(h, &config, &block, &pool)) ||
        (code = amx_root_set(h, 0, block))) {
        fprintf(stderr, "pool-processes: %s\n", amx_strerror(code));
        return 1;
    }
    amx_id me = amx_handle_id(h);
    if (pipe(pipes))
        return 1;
    pid_t pid = fork();
    if (pid == 0)
        return child(me);
    close(pipes[1]);
    for (int i = 0; read(pipes[0], &slot, sizeof slot) == sizeof slot; i++) {
        if (amx_pool_ptr(&pool, slot, &p, NULL))
            return 1;
        snprintf(expected, sizeof expected, "message %d", i);
        right += !strcmp(p, expected);
        if (amx_pool_free(&pool, slot))
            return 1;
    }
    if (pid < 0 || wait(&status) < 0 || !WIFSIGNALED(status) || amx_recover(h, 0, NULL, NULL, &recovery))
        return 1;
    printf("%d messages right, %llu slots taken back\n", right, (unsigned long long)recovery.words);
    return amx_pool_remove(&pool) || amx_free(h, block) || amx_close(h);
}
