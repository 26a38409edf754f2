/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A static message store where there is no operating system and no C library: bare.sh links this with -nostdlib. Besides
 * memcpy and memset, which every C compiler asks for, it needs the three functions of os.h that the static manager refers to;
 * with threads 0 and no time-outs it calls none of them. Linux appears only as what stands for "power off".
 */
#include "amx_store.h"
#include "os.h"

static _Alignas(AMX_STORE_ALIGN) unsigned char room[AMX_STORE_BYTES(4, 64)];
static unsigned called;

/* --- What the system supplies ---------------------------------------------------------------------------------------- */

int amxi_os_pin(const void *p, uint64_t len)
{
    (void)p;
    (void)len;
    return (int)++called;
}
int amxi_os_random(void *p, size_t len)
{
    (void)p;
    (void)len;
    return (int)++called;
}
void amxi_os_futex_wake_all(const void *word)
{
    (void)word;
    called++;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    return to;
}
void *memset(void *to, int c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)to)[i] = (unsigned char)c;
    return to;
}

__attribute__((noreturn)) static void power_off(long how)
{
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(60L), "D"(how) : "memory");
#elif defined(__aarch64__)
    register long number __asm__("x8") = 93, first __asm__("x0") = how;
    __asm__ volatile("svc 0" : : "r"(number), "r"(first) : "memory");
#else
#error "bare.sh skips this machine"
#endif
    for (;;)
        ;
}

/* --- The program -------------------------------------------------------------------------------------------------------- */

static long use(void)
{
    const struct amx_store_config k = {
        .depth = 4, .payload_max = 64, .marks = {.policy = AMX_POLICY_EVICT, .soft_items = 2, .hard_items = 3}};
    struct amx_store s;
    struct amx_read g, g2;
    struct amx_write w;
    amx_token t[5], copy;
    uint32_t n = 0;
    if (amx_store_init(room, sizeof room, &k, &s))
        return 1;
    for (int i = 0; i < 5; i++) { /* two go */
        unsigned char payload = (unsigned char)i;
        if (amx_msg_store(&s, NULL, &payload, 1, &t[i]))
            return 2;
    }
    if (amx_msg_read(&s, t[1], &g) != AMX_E_STALE || amx_msg_read(&s, t[2], &g) || amx_msg_read(&s, t[2], &g2))
        return 3;
    if (*(const unsigned char *)g.payload != 2 || amx_msg_free(&s, t[2]) != AMX_E_BORROW_ACTIVE ||
        amx_msg_read_mut(&s, t[2], &w) != AMX_E_BORROWED)
        return 4;
    amx_read_end(&g);
    amx_read_end(&g2);
    if (amx_msg_read_mut(&s, t[2], &w))
        return 5;
    *(unsigned char *)w.payload = 77;
    if (amx_msg_poison(&w) || amx_msg_read(&s, t[2], &g) != AMX_E_POISONED || amx_msg_recover(&s, t[2], &w) ||
        amx_write_end(&w))
        return 6;
    if (amx_msg_free(&s, t[3]) || amx_msg_reserve(&s, NULL, 8, &w) || amx_msg_discard(&w) ||
        amx_msg_copy(&s, t[2], &s, &copy))
        return 7;
    if (amx_msg_free(&s, copy) || amx_msg_free(&s, copy) != AMX_E_DOUBLE_FREE || amx_store_evict(&s, NULL))
        return 8;
    if (amx_store_available(&s, &n) || n < 3 || amx_store_capacity(&s) != 4 || amx_store_close(&s))
        return 9;
    return called ? 10 : 0;
}

#if defined(__x86_64__)
__attribute__((force_align_arg_pointer))
#endif
__attribute__((noreturn)) void
_start(void);
void _start(void)
{
    power_off(use());
}
