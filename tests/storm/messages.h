/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in the storm; part of storm.c. Tokens stand in the journal for everybody: whoever finds one reads the message,
 * changes, mends or frees it, and may be killed or stopped with the guard in his hands. A message is whole whenever it can be
 * read, or poisoned. Some tokens get lost with those who stored: then the oldest go for new ones.
 */
#ifndef AMX_STORM_MESSAGES_H
#define AMX_STORM_MESSAGES_H

enum { STORE_DEPTH = 64, STORE_HARD = 48, STORE_PAYLOAD = 600, READS = 3 };

static struct { /* of this worker */
    struct amx_store store;
    struct amx_read read[READS];
    struct amx_write write;
    uint8_t payload[STORE_PAYLOAD];
} ms;

static void enter_store(void)
{
    memset(&ms, 0, sizeof ms); /* guards of a handle that was closed are over */
    must_ok(amx_store_attach_block(w.h, amxi_ld64_sc(&w.j->store), NULL, &ms.store));
}

static void whole(const struct amx_message_header *h, const void *payload, uint32_t size, const char *when)
{
    if (h->payload_size != size || stamp_check_(payload, 0, size / 8 * 8, h->sequence) != SIZE_MAX)
        corrupt(when, AMX_OK);
}

static uint32_t new_content(uint64_t *key)
{
    *key = mix64(w.life << 40 | (uint64_t)w.who << 32 | ++w.keys);
    return (uint32_t)rng_below(&w.r, STORE_PAYLOAD / 8 + 1) * 8;
}

static amxi_a64 *some_token(void)
{
    return &w.j->token[rng_below(&w.r, TOKENS)];
}

/* What a call on somebody's token may say besides AMX_OK. */
static bool got_it(const char *what, int e)
{
    bool known = e == AMX_E_STALE || e == AMX_E_DOUBLE_FREE || e == AMX_E_BORROWED || e == AMX_E_BORROW_ACTIVE ||
                 e == AMX_E_POISONED || e == AMX_E_STATE || e == AMX_E_TIMEOUT;
    if (e && !known)
        corrupt(what, e);
    return !e;
}

static void store_message(void)
{
    uint64_t key;
    uint32_t size = new_content(&key);
    struct amx_message_header h = AMX_MESSAGE_HEADER_INIT;
    amx_token token = AMX_TOKEN_INVALID;
    h.sequence = key;
    stamp_part_(ms.payload, 0, size, key);
    int e = rng_below(&w.r, 8) ? amx_msg_store(&ms.store, &h, ms.payload, size, &token)
                               : amx_msg_store_wait(&ms.store, &h, ms.payload, size, rng_below(&w.r, 2000000), &token);
    expect("store", e == AMX_E_TIMEOUT ? AMX_OK : e, AMX_E_NOMEM, AMX_E_FULL);
    if (!e)
        amxi_st64_sc(some_token(), token);
}

static void fill_message(struct amx_write *g)
{
    uint64_t key;
    g->size = new_content(&key);
    g->header->sequence = key;
    stamp_part_(g->payload, 0, g->size, key);
}

/* Begins to change one, or to store one: ended later, if at all. */
static void begin_message(void)
{
    amx_token token = amxi_ld64_sc(some_token());
    uint64_t dice = rng_below(&w.r, 8);
    int e;
    if (dice == 0) {
        e = amx_msg_reserve(&ms.store, NULL, STORE_PAYLOAD, &ms.write);
        expect("reserve", e, AMX_E_NOMEM, AMX_E_FULL);
    } else if (token) {
        e = dice == 1 ? amx_msg_read_mut_wait(&ms.store, token, rng_below(&w.r, 1000000), &ms.write)
                      : amx_msg_read_mut(&ms.store, token, &ms.write);
        if (e == AMX_E_POISONED)
            got_it("recover", amx_msg_recover(&ms.store, token, &ms.write));
        else if (got_it("read_mut", e))
            whole(ms.write.header, ms.write.payload, ms.write.size, "a message to be changed");
    }
    if (ms.write.store)
        fill_message(&ms.write);
}

static void end_message(void)
{
    uint64_t dice = rng_below(&w.r, 8);
    amx_token token = ms.write.token;
    if (dice > 1)
        fill_message(&ms.write);
    expect("the end of a write guard",
           dice == 0   ? amx_msg_discard(&ms.write)
           : dice == 1 ? amx_msg_poison(&ms.write)
                       : amx_write_end(&ms.write),
           AMX_OK, AMX_OK);
    if (dice > 1 && rng_below(&w.r, 2))
        amxi_st64_sc(some_token(), token);
}

static void read_message(struct amx_read *g)
{
    amx_token token = amxi_ld64_sc(some_token());
    if (g->store) {
        whole(g->header, g->payload, g->size, "a message at the end of its guard");
        amx_read_end(g);
    } else if (token) {
        int e = rng_below(&w.r, 8) ? amx_msg_read(&ms.store, token, g)
                                   : amx_msg_read_wait(&ms.store, token, rng_below(&w.r, 1000000), g);
        if (got_it("read", e))
            whole(g->header, g->payload, g->size, "a message that is read");
    }
}

static void free_message(void)
{
    amx_token token = amxi_ld64_sc(some_token());
    if (token && got_it("free", amx_msg_free(&ms.store, token)) && amx_msg_free(&ms.store, token) == AMX_OK)
        corrupt("a message freed twice", AMX_OK);
}

/* With a handle that is about to be closed: its guard goes with it. */
static void read_by(amx_t *h)
{
    struct amx_store s;
    struct amx_read g;
    amx_token token = amxi_ld64_sc(some_token());
    must_ok(amx_store_attach_block(h, amxi_ld64_sc(&w.j->store), NULL, &s));
    if (token && got_it("read by a second handle", amx_msg_read(&s, token, &g)))
        whole(g.header, g.payload, g.size, "a message that a second handle reads");
}

static void message_dealt(void)
{
    uint64_t dice = rng_below(&w.r, 100);
    struct amx_pool_check_result c = {.struct_size = sizeof c};
    if (dice < 25) {
        store_message();
    } else if (dice < 65) {
        read_message(&ms.read[rng_below(&w.r, READS)]);
    } else if (dice < 85) {
        if (ms.write.store)
            end_message();
        else
            begin_message();
    } else if (dice < 97) {
        free_message();
    } else if (dice < 98) {
        int e = amx_store_evict(&ms.store, NULL);
        expect("evict", e, AMX_E_NOENT, AMX_E_BORROW_ACTIVE);
    } else if (dice < 99) {
        expect("store check", amx_store_check(&ms.store, NULL, NULL, &c), AMX_OK, AMX_OK);
    }
}

static void guards_end(void)
{
    for (int i = 0; i < READS; i++)
        if (ms.read[i].store)
            read_message(&ms.read[i]);
    if (ms.write.store)
        end_message();
}

/* --- The parent --------------------------------------------------------------------------------------------------- */

static void make_store(void)
{
    const struct amx_store_config c = {.depth = STORE_DEPTH,
                                       .payload_max = STORE_PAYLOAD,
                                       .marks = {.policy = AMX_POLICY_EVICT, .hard_items = STORE_HARD}};
    amx_ref block;
    must_ok(amx_store_create(w.h, &c, &block, &ms.store));
    amxi_st64_sc(&w.j->store, block);
}

/* Everybody has gone and is recovered: each message can be had, and is whole or poisoned. */
static int end_of_message(const struct amx_store_message *m, void *ctx)
{
    struct amx_write g;
    (void)ctx;
    if (m->state == AMX_STATE_FREE)
        return 0;
    if ((m->state != AMX_STATE_STORED && m->state != AMX_STATE_POISONED) || m->readers)
        corrupt("a message is still in the hands of somebody", AMX_OK);
    int e = m->state == AMX_STATE_POISONED ? amx_msg_recover(&ms.store, m->token, &g)
                                           : amx_msg_read_mut(&ms.store, m->token, &g);
    expect("the last look at a message", e, AMX_OK, AMX_OK);
    if (!e && m->state == AMX_STATE_STORED)
        whole(g.header, g.payload, g.size, "a message at the end");
    if (!e)
        expect("discard", amx_msg_discard(&g), AMX_OK, AMX_OK);
    return 0;
}

/* Returns how many places are lost. */
static unsigned end_store(void)
{
    struct amx_pool_check_result c = {.struct_size = sizeof c};
    amx_token token[STORE_HARD];
    unsigned n = 0, lost;
    uint32_t room = 0;
    expect("store walk", amx_store_walk(&ms.store, end_of_message, NULL), AMX_OK, AMX_OK);
    while (n < STORE_HARD && amx_msg_store(&ms.store, NULL, NULL, 0, &token[n]) == AMX_OK)
        n++;
    lost = STORE_HARD - n;
    while (n)
        expect("free", amx_msg_free(&ms.store, token[--n]), AMX_OK, AMX_OK);
    expect("available", amx_store_available(&ms.store, &room), AMX_OK, AMX_OK);
    expect("store check", amx_store_check(&ms.store, NULL, NULL, &c), AMX_OK, AMX_OK);
    if (c.undone || c.used)
        corrupt("something is undone in the store", AMX_OK);
    expect("store_remove", amx_store_remove(&ms.store), AMX_OK, AMX_OK);
    expect("free", amx_free(w.h, amxi_ld64_sc(&w.j->store)), AMX_OK, AMX_OK);
    return lost + STORE_DEPTH - room;
}

#endif
