/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest adapter of the kill sweep (sweep.c): fixed slots in shared memory, as two simple allocators have them.
 *
 *   default   a word for each slot, free or its owner; allocated and freed by one exchange. A survivor takes back the
 *             words of the dead: sound at every instruction.
 *   -DLIST    free slots in a linked stack, popped and pushed by exchanges, the owner noted afterwards: a death between
 *             the two loses the slot. The sweep must find it.
 */
#include "sweep.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 32, LOST = 3, DOUBLED = 4 };

struct heap {
    uint32_t head;        /* LIST: slot + 1 */
    uint32_t next[SLOTS]; /* LIST */
    uint32_t owner[SLOTS];
};

static int acquire(struct heap *h, uint32_t me)
{
#ifdef LIST
    uint32_t i = __atomic_load_n(&h->head, __ATOMIC_ACQUIRE);
    while (i && !__atomic_compare_exchange_n(&h->head, &i, h->next[i - 1], 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    if (!i)
        return -1;
    __atomic_store_n(&h->owner[i - 1], me, __ATOMIC_RELEASE);
    return (int)i - 1;
#else
    for (int i = 0; i < SLOTS; i++) {
        uint32_t nobody = 0;
        if (__atomic_compare_exchange_n(&h->owner[i], &nobody, me, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return i;
    }
    return -1;
#endif
}

static void give_back(struct heap *h, int i)
{
    __atomic_store_n(&h->owner[i], 0, __ATOMIC_RELEASE);
#ifdef LIST
    uint32_t head = __atomic_load_n(&h->head, __ATOMIC_RELAXED);
    do
        h->next[i] = head;
    while (!__atomic_compare_exchange_n(&h->head, &head, (uint32_t)i + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
#endif
}

/* The dead one's slots come back; then each can be had, once. */
static int judge(struct heap *h)
{
    unsigned char had[SLOTS] = {0};
    int n = 0, i;
    for (i = 0; i < SLOTS; i++)
        if (h->owner[i] == 1)
            give_back(h, i);
    while ((i = acquire(h, 2)) >= 0 && n <= SLOTS) {
        if (had[i]++)
            return DOUBLED;
        n++;
    }
    return n == SLOTS ? 0 : LOST;
}

int main(int argc, char **argv)
{
    static int mine[SLOTS];
    int n = 0;
    char *file = mmap(NULL, SWEEP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[argc - 1]), 0);
    if (file == MAP_FAILED)
        return 2;
    struct order *order = (struct order *)(void *)file;
    struct heap *h = (struct heap *)(void *)(file + SWEEP_HEAD);
    if (argc == 3) {
        alarm(5); /* one that waits for the dead is killed by it */
        return judge(h);
    }
#ifdef LIST
    for (int i = 0; i < SLOTS; i++)
        give_back(h, i);
#endif
    for (;;) {
        __asm__ volatile("int3" ::: "memory");
        if ((order->n % 2 || n == 0) && n < SLOTS) {
            int i = acquire(h, 1);
            if (i >= 0)
                mine[n++] = i;
        } else {
            give_back(h, mine[--n]);
        }
    }
}
