/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot pool in a static array: no heap, no system, any number of threads. Owners are numbers that the program chooses;
 * here the threads are 1 and 2, and what the first one has left behind is taken back when it is gone.
 *
 *     cc pool-static.c -o pool-static -lamx -lpthread
 *     ./pool-static
 */
#include <amx_pool.h>
#include <pthread.h>
#include <stdio.h>

static const struct amx_pool_config config = {.n = 2, .flags = AMX_POOL_LINES, .cls = {{64, 32}, {256, 8}}};
static _Alignas(AMX_POOL_ALIGN) unsigned char memory[8192];
static struct amx_pool pool;

static void *work(void *number)
{
    amx_id me = *(const amx_id *)number;
    amx_slot slot;
    for (int i = 0; i < 1000; i++) {
        unsigned *p;
        void *room;
        if (amx_pool_alloc(&pool, sizeof *p, me, &slot) || amx_pool_ptr(&pool, slot, &room, NULL))
            continue; /* empty just now */
        p = room;
        *p = (unsigned)i;
        if (me != 1 || i % 100) /* the first one forgets some */
            amx_pool_free(&pool, slot);
    }
    return NULL;
}

int main(void)
{
    amx_id number[2] = {1, 2};
    pthread_t thread[2];
    uint64_t need, back;
    amx_slot slot;

    if (amx_pool_required_size(&config, &need) || need > sizeof memory ||
        amx_pool_init(memory, sizeof memory, 0, &config, &pool))
        return 1;
    for (int i = 0; i < 2; i++)
        if (pthread_create(&thread[i], NULL, work, &number[i]))
            return 1;
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    if (amx_pool_recover(&pool, 1, &back, NULL))
        return 1;
    printf("%u classes in %llu bytes, %llu slots taken back\n", amx_pool_class_count(&pool), (unsigned long long)need,
           (unsigned long long)back);
    int twice = !amx_pool_alloc(&pool, 200, 1, &slot) && !amx_pool_free(&pool, slot) ? amx_pool_free(&pool, slot) : 0;
    printf("a second free: %s\n", amx_strerror(twice));
    return amx_pool_check(&pool, NULL, NULL, NULL);
}
