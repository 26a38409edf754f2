/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message store in a static array: no heap, no system call, one thread, in 40 lines of code.
 *
 *     cc store-static.c -o store-static -lamx
 *     ./store-static
 */
#include <amx_store.h>
#include <stdio.h>
#include <string.h>

static const struct amx_store_config config = {.depth = 4, .payload_max = 100};
static _Alignas(AMX_STORE_ALIGN) unsigned char memory[AMX_STORE_BYTES(4, 100)];
static struct amx_store store;
static int wrong;

static void expect(const char *what, int answer, int expected)
{
    printf("%s: %s\n", what, amx_strerror(answer));
    wrong += answer != expected;
}

int main(void)
{
    struct amx_message_header header = AMX_MESSAGE_HEADER_INIT;
    amx_token token;
    header.sequence = 1;
    expect("made", amx_store_init(memory, sizeof memory, &config, &store), AMX_OK);
    expect("stored", amx_msg_store(&store, &header, "hello", 6, &token), AMX_OK);
    {
        AMX_SCOPED_READ a = {0}, b = {0}; /* end with this scope */
        expect("read", amx_msg_read(&store, token, &a), AMX_OK);
        expect("read once more", amx_msg_read(&store, token, &b), AMX_OK);
        wrong += a.payload != b.payload || strcmp(a.payload, "hello") != 0 || a.header->sequence != 1; /* no copies */
        expect("freed while it is read", amx_msg_free(&store, token), AMX_E_BORROW_ACTIVE);
    }
    expect("freed", amx_msg_free(&store, token), AMX_OK);
    expect("freed twice", amx_msg_free(&store, token), AMX_E_DOUBLE_FREE);
    expect("stored", amx_msg_store(&store, NULL, "next", 5, &(amx_token){0}), AMX_OK);
    expect("checked", amx_store_check(&store, NULL, NULL, NULL), AMX_OK);
    printf("%u places in %zu bytes, %d wrong\n", amx_store_capacity(&store), sizeof memory, wrong);
    return wrong != 0;
}
