/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite of message stores: the same functions for every manager, none of which asks which one it is. A is
 * this thread's view, B the second user (store_kit.h). The first fourteen have the names of the published managers' tests.
 * No system call unless something fails, so that it runs where none is allowed (tests/unit/store_test.c).
 */
#ifndef AMX_TEST_STORE_SUITE_H
#define AMX_TEST_STORE_SUITE_H

#include "tests/store_kit.h"

/* In a suite's test: the call answers this. */
#define gives(want, call) gives_((call), (want), #call, __FILE__, __LINE__)
static inline void gives_(int got, int want, const char *call, const char *file, int line)
{
    if (got == want)
        return;
    fprintf(stderr, "%s:%d: %s gave %d (%s), not %d (%s)\n", file, line, call, got, amx_strerror(got), want,
            amx_strerror(want));
    _exit(70);
}

enum { DEPTH = 8, PAYLOAD = 256, TYPE = 7 };
static const struct amx_store_config suite_config = {.depth = DEPTH, .payload_max = PAYLOAD, .type_id = TYPE};

static inline void b_sees(struct room *r, amx_token t, uint64_t key)
{
    struct answer g = ask(r, READ, t, 0);
    must_ok(g.e);
    must(ask(r, VERIFY, g.value, key).value == 1);
    must_ok(ask(r, READ_END, g.value, 0).e);
}

static inline amx_token b_puts(struct room *r, uint64_t key)
{
    struct answer t = ask(r, STORE, 0, key);
    must_ok(t.e);
    return t.value;
}

/* --- As published --------------------------------------------------------------------------------------------------- */

static void store_read_free_cycle(struct room *r)
{
    must(available(r->a) == DEPTH && amx_store_capacity(r->a) == DEPTH);
    amx_token t = put(r->a, 42);
    must(available(r->a) == DEPTH - 1 && available(r->b) == DEPTH - 1);
    see(r->a, t, 42);
    must_ok(amx_msg_free(r->a, t));
    must(available(r->a) == DEPTH);
}

static void read_mut_works(struct room *r)
{
    struct amx_write g;
    amx_token t = put(r->a, 10);
    must_ok(amx_msg_read_mut(r->a, t, &g));
    must(g.size == SIZE && g.capacity == PAYLOAD && g.token == t && stamped(g.payload, SIZE, 10));
    stamp(g.payload, SIZE, 99);
    g.header->sequence = 99;
    must_ok(amx_write_end(&g));
    see(r->a, t, 99);
    b_sees(r, t, 99);
    must_ok(ask(r, MUT, t, 0).e);
    must_ok(ask(r, STAMP, 0, 100).e);
    must_ok(ask(r, END, 0, 0).e);
    see(r->a, t, 100);
    must_ok(amx_msg_free(r->a, t));
}

static void peek_header_works(struct room *r)
{
    struct amx_message_header h;
    amx_token t = put(r->a, 7);
    must_ok(amx_msg_peek_header(r->a, t, &h));
    must(h.payload_size == SIZE && h.sequence == 7 && h.type_id == TYPE && h.deadline_ns == AMX_NO_DEADLINE &&
         h.qos == AMX_QOS_BEST_EFFORT && h.memory == r->k.memory && h.flags == 0);
    must(ask(r, PEEK, t, 0).value == 7);
    must_ok(amx_msg_free(r->a, t));
}

static void capacity_exhaustion(struct room *r)
{
    amx_token t[DEPTH], more = 5;
    for (int i = 0; i < DEPTH; i++)
        t[i] = i % 2 ? put(r->a, (uint64_t)i) : b_puts(r, (uint64_t)i);
    gives(AMX_E_NOMEM, amx_msg_store(r->a, NULL, NULL, 0, &more));
    gives(AMX_E_NOMEM, ask(r, STORE, 0, 1).e);
    gives(AMX_E_NOMEM, ask(r, RESERVE, 0, 1).e);
    must(more == 5 && available(r->a) == 0 && store_stat(r->a).exhausted == 3);
    for (int i = 0; i < DEPTH; i++) {
        see(r->a, t[i], (uint64_t)i);
        must_ok(amx_msg_free(r->a, t[i]));
    }
}

static void double_free_detected(struct room *r)
{
    amx_token t = put(r->a, 1);
    must_ok(amx_msg_free(r->a, t));
    gives(AMX_E_DOUBLE_FREE, amx_msg_free(r->a, t));
    gives(AMX_E_DOUBLE_FREE, ask(r, FREE, t, 0).e);
    must(available(r->a) == DEPTH);
}

static void bad_token_detected(struct room *r)
{
    const amx_token good = put(r->a, 1), bad[] = {AMX_TOKEN_INVALID,
                                                  UINT64_MAX,
                                                  (UINT64_C(1) << 56) | (UINT64_C(8) << 32) | 1,
                                                  (UINT64_C(1) << 56) | (UINT64_C(0xffffff) << 32) | 1,
                                                  good + (UINT64_C(1) << 56),
                                                  good & 0xffffffff,
                                                  good | (uint64_t)0x80 << 56};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct amx_read g;
        struct amx_write w;
        struct amx_message_header h;
        gives(AMX_E_OFFSET, amx_msg_read(r->a, bad[i], &g));
        must(g.store == NULL);
        gives(AMX_E_OFFSET, amx_msg_read_mut(r->a, bad[i], &w));
        must(w.store == NULL);
        gives(AMX_E_OFFSET, amx_msg_recover(r->a, bad[i], &w));
        gives(AMX_E_OFFSET, amx_msg_peek_header(r->a, bad[i], &h));
        gives(AMX_E_OFFSET, amx_msg_free(r->a, bad[i]));
        gives(AMX_E_OFFSET, ask(r, FREE, bad[i], 0).e);
        gives(AMX_E_OFFSET, ask(r, READ, bad[i], 0).e);
    }
    for (uint32_t d = 1; d < 40; d++) { /* another generation: of the past, of the future, or no one's */
        gives(AMX_E_STALE, amx_msg_free(r->a, (good & ~UINT64_C(0xffffffff)) | (uint32_t)(good + d)));
        gives(AMX_E_STALE, ask(r, READ, (good & ~UINT64_C(0xffffffff)) | (uint32_t)(good - d), 0).e);
    }
    see(r->a, good, 1);
    must_ok(amx_msg_free(r->a, good));
}

static void read_freed_slot_is_bad_token(struct room *r)
{
    struct amx_read g;
    struct amx_write w;
    struct amx_message_header h;
    amx_token t = put(r->a, 1);
    must_ok(ask(r, FREE, t, 0).e);
    gives(AMX_E_STALE, amx_msg_read(r->a, t, &g));
    gives(AMX_E_STALE, amx_msg_read_mut(r->a, t, &w));
    gives(AMX_E_STALE, amx_msg_recover(r->a, t, &w));
    gives(AMX_E_STALE, amx_msg_peek_header(r->a, t, &h));
    gives(AMX_E_STALE, ask(r, READ, t, 0).e);
}

static void slot_reuse_after_free(struct room *r)
{
    for (uint64_t k = 0; k < 200; k++) { /* many times over each place */
        amx_token t = k & 1 ? put(r->a, k) : b_puts(r, k);
        see(r->a, t, k);
        b_sees(r, t, k);
        must_ok(k & 2 ? amx_msg_free(r->a, t) : ask(r, FREE, t, 0).e);
    }
    must(available(r->a) == DEPTH);
}

static void memory_class_configurable(struct room *r)
{
    uint32_t m = UINT32_MAX;
    must_ok(amx_store_memory_class(r->a, &m));
    must(m == r->k.memory);
    must_ok(amx_store_memory_class(r->b, &m));
    must(m == r->k.memory);
}

static void default_memory_class_is_host(struct room *r) /* a segment's: shared; no other */
{
    uint32_t m = UINT32_MAX;
    must_ok(amx_store_memory_class(r->a, &m));
    must(m == (r->a->segment ? AMX_MEMORY_SHARED : AMX_MEMORY_HOST));
}

static void basic_store_read_free(struct room *r)
{
    amx_token t = b_puts(r, 3);
    see(r->a, t, 3);
    b_sees(r, t, 3);
    must_ok(amx_msg_free(r->a, t));
    gives(AMX_E_STALE, ask(r, READ, t, 0).e);
}

static void concurrent_reads_same_slot(struct room *r)
{
    struct amx_read g[3];
    amx_token t = put(r->a, 5);
    for (int i = 0; i < 3; i++)
        must_ok(amx_msg_read(r->a, t, &g[i]));
    struct answer b = ask(r, READ, t, 0);
    must_ok(b.e);
    must(store_stat(r->a).guards == 4);
    for (int i = 0; i < 3; i++) {
        must(stamped(g[i].payload, SIZE, 5));
        amx_read_end(&g[i]);
    }
    must(ask(r, VERIFY, b.value, 5).value == 1);
    gives(AMX_E_BORROW_ACTIVE, amx_msg_free(r->a, t));
    must_ok(ask(r, READ_END, b.value, 0).e);
    must_ok(amx_msg_free(r->a, t));
}

static void write_excludes_read(struct room *r)
{
    struct amx_write w;
    amx_token t = put(r->a, 5);
    must_ok(amx_msg_read_mut(r->a, t, &w));
    gives(AMX_E_BORROWED, ask(r, READ, t, 0).e); /* published: waits */
    gives(AMX_E_BORROWED, ask(r, PEEK, t, 0).e);
    stamp(w.payload, SIZE, 6);
    w.header->sequence = 6;
    must_ok(amx_write_end(&w));
    b_sees(r, t, 6);
    must_ok(amx_msg_free(r->a, t));
}

static void allocate_exhaustion_and_reuse(struct room *r)
{
    amx_token t[DEPTH];
    for (int i = 0; i < DEPTH; i++)
        t[i] = put(r->a, (uint64_t)i);
    gives(AMX_E_NOMEM, ask(r, STORE, 0, 9).e);
    must_ok(amx_msg_free(r->a, t[3]));
    amx_token again = b_puts(r, 77);
    must(again != t[3] && AMX_SLOT_INDEX(again) == AMX_SLOT_INDEX(t[3]));
    gives(AMX_E_STALE, amx_msg_free(r->a, t[3]));
    see(r->a, again, 77);
    t[3] = again;
    for (int i = 0; i < DEPTH; i++)
        must_ok(ask(r, FREE, t[i], 0).e);
}

/* --- Every situation, every call -------------------------------------------------------------------------------------- */

enum { FREED, REUSED, RESERVED, STORED, READ_BY_A, READ_BY_B, WRITTEN_BY_A, WRITTEN_BY_B, POISONED, SITUATIONS };

/* Answers to read and peek_header, to read_mut, to recover, to free. The same for who is in the way and for who is not. */
static const int table[SITUATIONS][4] = {
    [FREED] = {AMX_E_STALE, AMX_E_STALE, AMX_E_STALE, AMX_E_DOUBLE_FREE},
    [REUSED] = {AMX_E_STALE, AMX_E_STALE, AMX_E_STALE, AMX_E_STALE},
    [RESERVED] = {AMX_E_STALE, AMX_E_STALE, AMX_E_STALE, AMX_E_STALE},
    [STORED] = {AMX_OK, AMX_OK, AMX_E_STATE, AMX_OK},
    [READ_BY_A] = {AMX_OK, AMX_E_BORROWED, AMX_E_STATE, AMX_E_BORROW_ACTIVE},
    [READ_BY_B] = {AMX_OK, AMX_E_BORROWED, AMX_E_STATE, AMX_E_BORROW_ACTIVE},
    [WRITTEN_BY_A] = {AMX_E_BORROWED, AMX_E_BORROWED, AMX_E_BORROWED, AMX_E_BORROW_ACTIVE},
    [WRITTEN_BY_B] = {AMX_E_BORROWED, AMX_E_BORROWED, AMX_E_BORROWED, AMX_E_BORROW_ACTIVE},
    [POISONED] = {AMX_E_POISONED, AMX_E_POISONED, AMX_OK, AMX_OK},
};

static void every_situation(struct room *r)
{
    for (int situation = 0; situation < SITUATIONS; situation++)
        for (int call = 0; call < 5; call++)
            for (int by_b = 0; by_b < 2; by_b++) {
                struct party a = {.s = r->a};
                struct answer got = {0, 0}, x = {0, 0};
                amx_token t = put(r->a, 5), other = AMX_TOKEN_INVALID;
                bool freed = false;
                switch (situation) {
                case FREED:
                case REUSED:
                    must_ok(amx_msg_free(r->a, t));
                    freed = true;
                    while (situation == REUSED) {
                        other = put(r->a, 6);
                        if (AMX_SLOT_INDEX(other) == AMX_SLOT_INDEX(t))
                            break;
                        must_ok(amx_msg_free(r->a, other));
                    }
                    break;
                case RESERVED:
                    must_ok(amx_msg_free(r->a, t));
                    x = obey(&a, (struct order){RESERVE, 0, 5});
                    must_ok(x.e);
                    t = x.value;
                    break;
                case READ_BY_A:
                    must_ok(obey(&a, (struct order){READ, t, 0}).e);
                    break;
                case READ_BY_B:
                    x = ask(r, READ, t, 0);
                    must_ok(x.e);
                    break;
                case WRITTEN_BY_A:
                    must_ok(obey(&a, (struct order){MUT, t, 0}).e);
                    break;
                case WRITTEN_BY_B:
                    must_ok(ask(r, MUT, t, 0).e);
                    break;
                case POISONED:
                    must_ok(ask(r, MUT, t, 0).e);
                    must_ok(ask(r, POISON, 0, 0).e);
                    break;
                default:
                    break;
                }
                static const enum op ops[] = {READ, PEEK, MUT, MEND, FREE};
                const struct order o = {ops[call], t, 0};
                struct party mine = {.s = r->a};
                /* in B's hands there is one write guard: what he holds already stays where it is */
                if (by_b && situation == WRITTEN_BY_B && (ops[call] == MUT || ops[call] == MEND))
                    got = obey(&mine, o);
                else
                    got = by_b ? ask(r, o.op, o.a, o.b) : obey(&mine, o);
                const int want = table[situation][call == 0 ? 0 : call - 1];
                if (got.e != want)
                    fprintf(stderr, "situation %d, call %d by %c\n", situation, call, "AB"[by_b]);
                gives(want, got.e);
                if (!got.e) { /* and it can be ended, by who began it */
                    const struct order end =
                        ops[call] == READ ? (struct order){READ_END, got.value, 0} : (struct order){END, 0, 0};
                    if (ops[call] == FREE)
                        freed = true;
                    else if (ops[call] != PEEK)
                        must_ok((by_b ? ask(r, end.op, end.a, 0) : obey(&mine, end)).e);
                }
                if (situation == READ_BY_A)
                    (void)obey(&a, (struct order){READ_END, 0, 0});
                else if (situation == READ_BY_B)
                    (void)ask(r, READ_END, x.value, 0);
                else if (situation == WRITTEN_BY_A || situation == RESERVED)
                    must_ok(obey(&a, (struct order){END, 0, 0}).e);
                else if (situation == WRITTEN_BY_B)
                    must_ok(ask(r, END, 0, 0).e);
                if (!freed)
                    must_ok(amx_msg_free(r->a, t));
                if (other)
                    must_ok(amx_msg_free(r->a, other));
                must(available(r->a) == DEPTH);
            }
}

/* --- Guards --------------------------------------------------------------------------------------------------------- */

static void poison_and_recover(struct room *r)
{
    struct amx_write w;
    amx_token t = put(r->a, 5);
    must_ok(amx_msg_read_mut(r->a, t, &w));
    stamp(w.payload, SIZE, 6); /* half of it, say */
    must_ok(amx_msg_poison(&w));
    gives(AMX_E_POISONED, ask(r, READ, t, 0).e);
    must(store_stat(r->a).poisoned == 1 && available(r->a) == DEPTH - 1);
    must_ok(ask(r, MEND, t, 0).e); /* by another */
    must(store_stat(r->a).writing == 1);
    must_ok(ask(r, POISON, 0, 0).e); /* who gives up, too */
    must_ok(amx_msg_recover(r->a, t, &w));
    must(w.size == SIZE && stamped(w.payload, SIZE, 6));
    w.header->sequence = 6;
    must_ok(amx_write_end(&w));
    b_sees(r, t, 6);
    must_ok(amx_msg_read_mut(r->a, t, &w));
    must_ok(amx_msg_discard(&w));
    gives(AMX_E_DOUBLE_FREE, amx_msg_free(r->a, t));
    must(available(r->a) == DEPTH);
}

static void reserve_fills_in_place(struct room *r)
{
    struct amx_write w, again;
    must_ok(amx_msg_reserve(r->a, NULL, 100, &w));
    must(w.size == 100 && w.capacity == 100 && available(r->a) == DEPTH - 1);
    gives(AMX_E_STALE, ask(r, READ, w.token, 0).e);
    w.size = 101;
    gives(AMX_E_TOO_BIG, amx_write_end(&w)); /* and is held on to */
    w.size = 60;
    memset(w.payload, 3, 60);
    w.header->sequence = 11;
    amx_token t = w.token;
    must_ok(amx_write_end(&w));
    must(ask(r, PEEK, t, 0).value == 11);
    struct amx_read g;
    must_ok(amx_msg_read(r->a, t, &g));
    must(g.size == 60 && g.header->payload_size == 60);
    amx_read_end(&g);
    must_ok(amx_msg_free(r->a, t));
    must_ok(amx_msg_reserve(r->a, NULL, 0, &w)); /* given back, by two names */
    must_ok(amx_msg_reserve(r->a, NULL, PAYLOAD, &again));
    must_ok(amx_msg_discard(&w));
    must_ok(amx_msg_poison(&again));
    must(available(r->a) == DEPTH && store_stat(r->a).poisoned == 0);
}

static uint32_t guards_of(const struct room *r)
{
    return !r->a->guards ? 4094 : r->a->segment ? r->a->each : AMX_STORE_GUARDS;
}

static void guards_exhausted(struct room *r)
{
    static struct amx_read g[4200];
    struct amx_message_header h;
    uint32_t n = 0;
    int e;
    amx_token t = put(r->a, 5);
    while ((e = amx_msg_read(r->a, t, &g[n])) == AMX_OK)
        must(++n < 4200);
    gives(AMX_E_NO_GUARD, e);
    must(n == guards_of(r) && g[n].store == NULL);
    gives(AMX_E_NO_GUARD, amx_msg_peek_header(r->a, t, &h));
    must(store_stat(r->a).guards == n);
    gives(AMX_E_BORROW_ACTIVE, amx_msg_free(r->a, t));
    gives(AMX_E_BORROW_ACTIVE, amx_store_close(r->a));
    gives(AMX_E_BORROW_ACTIVE, amx_store_remove(r->a));
    amx_read_end(&g[n / 2]); /* any of them is enough */
    must_ok(amx_msg_read(r->a, t, &g[n / 2]));
    for (uint32_t i = 0; i < n; i++)
        amx_read_end(&g[i]);
    must(store_stat(r->a).guards == 0);
    must_ok(amx_msg_free(r->a, t));
}

/* A guard that is ended again, also by a copy of it, ends nobody else's. */
static void ended_twice(struct room *r)
{
    struct amx_read g, g2;
    struct amx_write w, copy;
    amx_token t = put(r->a, 5);
    must_ok(amx_msg_read(r->a, t, &g));
    must_ok(amx_msg_read(r->a, t, &g2));
    amx_read_end(&g);
    amx_read_end(&g);
    gives(AMX_E_BORROW_ACTIVE, amx_msg_free(r->a, t));
    amx_read_end(&g2);
    amx_read_end(NULL);
    must_ok(amx_msg_read_mut(r->a, t, &w));
    copy = w;
    must_ok(amx_write_end(&w));
    gives(AMX_E_STALE, amx_write_end(&w));
    gives(AMX_E_STALE, amx_msg_poison(&w));
    gives(AMX_E_STALE, amx_msg_discard(&w));
    gives(AMX_E_STALE, amx_write_end(NULL));
    must_ok(amx_msg_read(r->a, t, &g)); /* in a store of one thread the word counts it where the writer stood */
    copy.size = 3;
    struct amx_write third = copy;
    gives(AMX_E_STALE, amx_write_end(&copy));
    gives(AMX_E_STALE, amx_msg_discard(&third));
    must(g.header->payload_size == SIZE);
    gives(AMX_E_BORROW_ACTIVE, amx_msg_free(r->a, t));
    amx_read_end(&g);
    see(r->a, t, 5);
    must_ok(amx_msg_free(r->a, t));
}

static int leaves_early(struct room *r, amx_token t)
{
    AMX_SCOPED_READ g;
    AMX_SCOPED_WRITE none = {0};
    int e = amx_msg_read(r->a, t, &g);
    if (e)
        return e;
    gives(AMX_E_BORROW_ACTIVE, amx_msg_free(r->a, t));
    return none.store != NULL;
}

static void scoped_guards(struct room *r)
{
    amx_token t = put(r->a, 5);
    must_ok(leaves_early(r, t));
    must(store_stat(r->a).guards == 0);
    {
        AMX_SCOPED_WRITE w;
        must_ok(amx_msg_read_mut(r->a, t, &w));
        stamp(w.payload, SIZE, 6);
        w.header->sequence = 6;
        gives(AMX_E_BORROWED, leaves_early(r, t)); /* nothing is ended that was not begun */
    }
    b_sees(r, t, 6);
    {
        AMX_SCOPED_WRITE w;
        must_ok(amx_msg_read_mut(r->a, t, &w));
        w.size = PAYLOAD + 1;
    }
    gives(AMX_E_POISONED, leaves_early(r, t));
    must_ok(amx_msg_free(r->a, t));
    gives(AMX_E_STALE, leaves_early(r, t));
}

/* --- Contents --------------------------------------------------------------------------------------------------------- */

static void header_fields(struct room *r)
{
    const struct amx_message_header in = {.trace_id = 1,
                                          .sequence = 2,
                                          .creation_tick = 3,
                                          .deadline_ns = 4,
                                          .payload_size = 99,
                                          .type_id = TYPE,
                                          .qos = AMX_QOS_LATENCY_CRITICAL,
                                          .flags = AMX_MSG_FIRST | AMX_MSG_DEGRADE,
                                          .memory = 77};
    struct amx_message_header h;
    struct amx_write w;
    amx_token t;
    must_ok(amx_msg_store(r->a, &in, "abc", 3, &t));
    for (int i = 0; i < 2; i++) {
        must_ok(amx_msg_peek_header(r->a, t, &h));
        must(h.trace_id == 1 && h.creation_tick == 3 && h.deadline_ns == 4 && h.qos == AMX_QOS_LATENCY_CRITICAL &&
             h.flags == (AMX_MSG_FIRST | AMX_MSG_DEGRADE));
        must(h.sequence == (i ? 8 : 2) && h.payload_size == (i ? 5 : 3) && h.type_id == TYPE &&
             h.memory == r->k.memory);
        if (i)
            break;
        must_ok(amx_msg_read_mut(r->a, t, &w)); /* what the user may set, and what he may not */
        w.header->sequence = 8;
        w.header->payload_size = 1000000;
        w.header->type_id = 1;
        w.header->memory = 3;
        w.size = 5;
        must_ok(amx_write_end(&w));
    }
    must_ok(amx_msg_free(r->a, t));
}

static void sizes_and_types(struct room *r)
{
    static unsigned char most[PAYLOAD + 1];
    struct amx_message_header h = AMX_MESSAGE_HEADER_INIT;
    struct amx_read g;
    struct amx_write w;
    amx_token t = 9;
    gives(AMX_E_TOO_BIG, amx_msg_store(r->a, NULL, most, PAYLOAD + 1, &t));
    gives(AMX_E_TOO_BIG, amx_msg_store(r->a, NULL, most, SIZE_MAX, &t));
    gives(AMX_E_TOO_BIG, amx_msg_reserve(r->a, NULL, PAYLOAD + 1, &w));
    h.type_id = TYPE + 1;
    gives(AMX_E_TYPE, amx_msg_store(r->a, &h, most, 1, &t));
    gives(AMX_E_TYPE, amx_msg_reserve(r->a, &h, 1, &w));
    must(t == 9 && available(r->a) == DEPTH);
    for (size_t n = 0; n <= PAYLOAD; n += n < 20 ? 1 : 59) {
        stamp(most, PAYLOAD, n);
        must_ok(amx_msg_store(r->a, NULL, n ? most : NULL, n, &t));
        must_ok(amx_msg_read(r->a, t, &g));
        must(g.size == n && memcmp(g.payload, most, n) == 0 && (uintptr_t)g.payload % 16 == 0);
        amx_read_end(&g);
        must_ok(amx_msg_free(r->a, t));
    }
}

static void copies(struct room *r)
{
    struct amx_read g;
    amx_token copy = 3, t = put(r->a, 5);
    must_ok(amx_msg_copy(r->a, t, r->b, &copy));
    must(copy != t);
    see(r->b, copy, 5);
    must_ok(amx_msg_free(r->a, t));
    gives(AMX_E_STALE, amx_msg_copy(r->a, t, r->b, &t));
    see(r->a, copy, 5);
    must_ok(amx_msg_read(r->a, copy, &g));
    amx_read_end(&g);
    must_ok(amx_msg_free(r->a, copy));
}

static void null_arguments(struct room *r)
{
    struct amx_store none = {0};
    struct amx_read g = {0};
    struct amx_write w = {0};
    struct amx_message_header h;
    struct amx_store_stats n = {.struct_size = 1};
    struct amx_pool_check_result c = {.struct_size = 1};
    enum amx_watermark mark;
    uint32_t u;
    amx_token t = put(r->a, 1), out;
    struct amx_store *const bad[] = {NULL, &none};
    for (int i = 0; i < 2; i++) {
        gives(AMX_E_INVAL, amx_msg_store(bad[i], NULL, "a", 1, &out));
        gives(AMX_E_INVAL, amx_msg_reserve(bad[i], NULL, 1, &w));
        gives(AMX_E_INVAL, amx_msg_read(bad[i], t, &g));
        gives(AMX_E_INVAL, amx_msg_read_mut(bad[i], t, &w));
        gives(AMX_E_INVAL, amx_msg_recover(bad[i], t, &w));
        gives(AMX_E_INVAL, amx_msg_peek_header(bad[i], t, &h));
        gives(AMX_E_INVAL, amx_msg_free(bad[i], t));
        gives(AMX_E_INVAL, amx_msg_copy(bad[i], t, r->a, &out));
        gives(AMX_E_INVAL, amx_msg_copy(r->a, t, bad[i], &out));
        gives(AMX_E_INVAL, amx_msg_store_wait(bad[i], NULL, "a", 1, 0, &out));
        gives(AMX_E_INVAL, amx_msg_read_wait(bad[i], t, 0, &g));
        gives(AMX_E_INVAL, amx_msg_read_mut_wait(bad[i], t, 0, &w));
        gives(AMX_E_INVAL, amx_msg_free_wait(bad[i], t, 0));
        gives(AMX_E_INVAL, amx_store_available(bad[i], &u));
        gives(AMX_E_INVAL, amx_store_memory_class(bad[i], &u));
        gives(AMX_E_INVAL, amx_store_watermark(bad[i], &mark, NULL, NULL));
        gives(AMX_E_INVAL, amx_store_evict(bad[i], NULL));
        gives(AMX_E_INVAL, amx_store_stat(bad[i], &n));
        gives(AMX_E_INVAL, amx_store_check(bad[i], NULL, NULL, NULL));
        gives(AMX_E_INVAL, amx_store_close(bad[i]));
        gives(AMX_E_INVAL, amx_store_remove(bad[i]));
        gives(AMX_E_INVAL, amx_store_recover(bad[i], 1, NULL, NULL));
        gives(AMX_E_INVAL, amx_store_scoped(bad[i], &none));
        must(amx_store_capacity(bad[i]) == 0 && amx_store_owner(bad[i]) == 0);
    }
    gives(AMX_E_INVAL, amx_msg_store(r->a, NULL, NULL, 1, &out));
    gives(AMX_E_INVAL, amx_msg_store(r->a, NULL, "a", 1, NULL));
    gives(AMX_E_INVAL, amx_msg_reserve(r->a, NULL, 1, NULL));
    gives(AMX_E_INVAL, amx_msg_read(r->a, t, NULL));
    gives(AMX_E_INVAL, amx_msg_read_mut(r->a, t, NULL));
    gives(AMX_E_INVAL, amx_msg_recover(r->a, t, NULL));
    gives(AMX_E_INVAL, amx_msg_peek_header(r->a, t, NULL));
    gives(AMX_E_INVAL, amx_msg_copy(r->a, t, r->a, NULL));
    gives(AMX_E_INVAL, amx_store_available(r->a, NULL));
    gives(AMX_E_INVAL, amx_store_memory_class(r->a, NULL));
    gives(AMX_E_INVAL, amx_store_watermark(r->a, NULL, NULL, NULL));
    gives(AMX_E_INVAL, amx_store_walk(r->a, NULL, NULL));
    gives(AMX_E_INVAL, amx_store_stat(r->a, NULL));
    gives(AMX_E_INVAL, amx_store_stat(r->a, &n));
    gives(AMX_E_INVAL, amx_store_check(r->a, NULL, NULL, &c));
    gives(AMX_E_INVAL, amx_store_evict(r->a, NULL)); /* no policy: no ages */
    gives(AMX_E_INVAL, amx_store_recover(r->a, 0, NULL, NULL));
    gives(AMX_E_INVAL, amx_store_recover(r->a, AMX_STORE_THREADS + 1, NULL, NULL));
    must(available(r->a) == DEPTH - 1);
    must_ok(amx_msg_free(r->a, t));
}

/* --- Looking ------------------------------------------------------------------------------------------------------------ */

struct seen {
    uint32_t n[16], readers, places;
    amx_token token;
    uint64_t sequence;
};

static int look_at(const struct amx_store_message *m, void *ctx)
{
    struct seen *s = ctx;
    must(m->struct_size == sizeof *m && m->index == s->places && m->state < 16);
    s->places++;
    s->n[m->state]++;
    s->readers += m->readers;
    if (m->state == AMX_STATE_STORED && m->readers) {
        s->token = m->token;
        s->sequence = m->header.sequence;
        must(m->size == SIZE && m->owner == 0);
    }
    must((m->state == AMX_STATE_FREE || m->state == AMX_STATE_ALLOCATED) == (m->token == AMX_TOKEN_INVALID));
    return 0;
}

static int stop_at_third(const struct amx_store_message *m, void *ctx)
{
    (void)ctx;
    return m->index == 2 ? 17 : 0;
}

static void walk_and_stat(struct room *r)
{
    struct seen s = {0};
    struct amx_read g;
    struct amx_write w, place;
    amx_token t = put(r->a, 5), u = put(r->a, 6), v = put(r->a, 7);
    must_ok(amx_msg_read(r->a, t, &g));
    must_ok(amx_msg_read_mut(r->a, u, &w));
    must_ok(ask(r, MUT, v, 0).e);
    must_ok(ask(r, POISON, 0, 0).e);
    must_ok(amx_msg_reserve(r->a, NULL, 10, &place));
    must_ok(amx_store_walk(r->b, look_at, &s));
    must(s.places == DEPTH && s.n[AMX_STATE_FREE] == DEPTH - 4 && s.n[AMX_STATE_STORED] == 1 &&
         s.n[AMX_STATE_WRITING] == 1 && s.n[AMX_STATE_POISONED] == 1 && s.n[AMX_STATE_ALLOCATED] == 1);
    must(s.readers == 1 && s.token == t && s.sequence == 5);
    gives(17, amx_store_walk(r->a, stop_at_third, NULL));
    struct amx_store_stats n = store_stat(r->b);
    must(n.used == 4 && n.storing == 1 && n.writing == 1 && n.poisoned == 1 && n.claimed == 0 && n.guards == 1 &&
         n.bytes == 3 * SIZE + 10 && n.high == 4 && n.exhausted == 0 && n.config.depth == DEPTH);
    must_ok(amx_msg_discard(&place));
    must_ok(amx_write_end(&w));
    amx_read_end(&g);
    must_ok(amx_msg_free(r->a, t));
    must_ok(amx_msg_free(r->a, u));
    must_ok(amx_msg_free(r->a, v));
}

static int count_corrupt(const struct amx_finding *f, void *ctx)
{
    *(int *)ctx += f->grade == AMX_GRADE_CORRUPT;
    return 0;
}

/* Whoever may write the region can destroy what it says, no more: nobody reads beyond a payload. */
static void forged_words_and_sizes(struct room *r)
{
    struct amx_read g;
    struct amx_write w;
    struct amx_message_header h;
    amx_token out, t = put(r->a, 5);
    const uint64_t was = amxi_ld64_rlx(word_of(r->a, t));
    static const uint32_t sizes[] = {PAYLOAD + 1, 1000, UINT32_MAX};
    for (int i = 0; i < 3; i++) {
        int found = 0;
        amxi_st32_rlx(&message_of(r->a, t)->size, sizes[i]);
        gives(AMX_E_CORRUPT, amx_msg_read(r->a, t, &g));
        gives(AMX_E_CORRUPT, amx_msg_read_mut(r->a, t, &w));
        gives(AMX_E_CORRUPT, amx_msg_peek_header(r->a, t, &h));
        gives(AMX_E_CORRUPT, amx_msg_copy(r->a, t, r->b, &out));
        gives(AMX_E_CORRUPT, ask(r, READ, t, 0).e);
        gives(AMX_E_CORRUPT, amx_store_check(r->a, count_corrupt, &found, NULL));
        must(found == 1 && amxi_ld64_rlx(word_of(r->a, t)) == was); /* no guard is left */
        (void)store_stat(r->a);
    }
    amxi_st32_rlx(&message_of(r->a, t)->size, SIZE);
    static const uint32_t states[] = {2, 3, 4, 9, 48, 49, 2048, 4095};
    for (int i = 0; i < 8; i++) {
        int found = 0;
        amxi_st64_rlx(word_of(r->a, t), AMXI_W0(states[i], 1, AMXI_W0_GEN(was)));
        gives(AMX_E_CORRUPT, amx_msg_read(r->a, t, &g));
        gives(AMX_E_CORRUPT, amx_msg_read_mut(r->a, t, &w));
        gives(AMX_E_CORRUPT, amx_msg_recover(r->a, t, &w));
        gives(AMX_E_CORRUPT, amx_msg_peek_header(r->a, t, &h));
        gives(AMX_E_CORRUPT, amx_msg_free(r->a, t));
        gives(AMX_E_CORRUPT, ask(r, FREE, t, 0).e);
        gives(AMX_E_CORRUPT, amx_store_check(r->a, count_corrupt, &found, NULL));
        must(found >= 1);
    }
    for (uint32_t s = AMX_STATE_CLAIMED; s <= AMX_STATE_POISONED; s++) { /* somebody's who is nobody, nobody's */
        int found = 0;
        amxi_st64_rlx(word_of(r->a, t), AMXI_W0(s, s == AMX_STATE_POISONED ? 1 : 0, AMXI_W0_GEN(was)));
        gives(AMX_E_CORRUPT, amx_store_check(r->a, count_corrupt, &found, NULL));
        must(found >= 1);
    }
    amxi_st64_rlx(word_of(r->a, t), was);
    amxi_st32_rlx(&amxi_store_head_at(r->a->base)->payload_max, PAYLOAD + 1);
    gives(AMX_E_CORRUPT, amx_store_check(r->a, NULL, NULL, NULL));
    amxi_st32_rlx(&amxi_store_head_at(r->a->base)->payload_max, PAYLOAD);
    see(r->a, t, 5);
    must_ok(amx_msg_free(r->a, t));
}

/* --- What the published ones lost ---------------------------------------------------------------------------------- */

/* 18: the token of a former life reads and frees nothing of the next one's. */
static void stale_tokens_are_refused(struct room *r)
{
    amx_token old[40], now = AMX_TOKEN_INVALID;
    for (int i = 0; i < 40; i++) {
        if (now)
            must_ok(amx_msg_free(r->a, now));
        old[i] = now = put(r->a, (uint64_t)i);
        for (int k = 0; k < i; k++) {
            const int e = amx_msg_free(r->a, old[k]);
            must(e == AMX_E_STALE || e == AMX_E_DOUBLE_FREE); /* its place is another's, or free */
            gives(AMX_E_STALE, ask(r, READ, old[k], 0).e);
            gives(AMX_E_STALE, ask(r, MUT, old[k], 0).e);
        }
        b_sees(r, now, (uint64_t)i);
    }
    must_ok(amx_msg_free(r->a, now));
}

/* 20: a place whose message was poisoned comes back, and a store that fails keeps none. */
static void poisoned_places_come_back(struct room *r)
{
    for (int turn = 0; turn < 3 * DEPTH; turn++) {
        struct amx_write w;
        amx_token t = put(r->a, 5);
        must_ok(amx_msg_read_mut(r->a, t, &w));
        must_ok(amx_msg_poison(&w));
        must_ok(turn & 1 ? amx_msg_free(r->a, t) : ask(r, FREE, t, 0).e);
        gives(AMX_E_TOO_BIG, amx_msg_store(r->a, NULL, "", PAYLOAD + 1, &t));
    }
    store_all_free(r->a);
}

/* 21: an error on the way leaves the message there, with its token. */
static void tokens_outlive_errors(struct room *r)
{
    static struct amx_read g[4200];
    uint32_t n = 0;
    amx_token t = put(r->a, 5), u = put(r->a, 6);
    while (amx_msg_read(r->a, t, &g[n]) == AMX_OK)
        n++;
    gives(AMX_E_NO_GUARD, amx_msg_read(r->a, t, &g[n]));
    gives(AMX_E_BORROWED, amx_msg_read_mut(r->a, t, &(struct amx_write){0}));
    gives(AMX_E_BORROW_ACTIVE, amx_msg_free(r->a, t));
    while (n)
        amx_read_end(&g[--n]);
    see(r->a, t, 5);
    see(r->a, u, 6);
    must_ok(amx_msg_free(r->a, t));
    must_ok(amx_msg_free(r->a, u));
    store_all_free(r->a);
}

/* 22: who holds a guard is told so, instead of waiting for himself; so is who looks at a header while another writes. */
static void holder_does_not_wait_for_himself(struct room *r)
{
    struct amx_read g;
    struct amx_write w, w2;
    amx_token t = put(r->a, 5);
    must_ok(amx_msg_read(r->a, t, &g));
    gives(AMX_E_BORROW_ACTIVE, amx_msg_free(r->a, t));
    gives(AMX_E_BORROWED, amx_msg_read_mut(r->a, t, &w));
    amx_read_end(&g);
    must_ok(amx_msg_read_mut(r->a, t, &w));
    gives(AMX_E_BORROW_ACTIVE, amx_msg_free(r->a, t));
    gives(AMX_E_BORROWED, amx_msg_read(r->a, t, &g));
    gives(AMX_E_BORROWED, amx_msg_read_mut(r->a, t, &w2));
    gives(AMX_E_BORROWED, ask(r, PEEK, t, 0).e);
    must_ok(amx_write_end(&w));
    must_ok(amx_msg_free(r->a, t));
}

/* 25: several may be told one token: all read, one frees. And a guard that nobody will end is ended by who knows that. */
static void one_token_for_several(struct room *r)
{
    struct amx_read g;
    amx_token t = put(r->a, 5);
    struct answer b = ask(r, READ, t, 0);
    must_ok(amx_msg_read(r->a, t, &g));
    gives(AMX_E_BORROW_ACTIVE, amx_msg_free(r->a, t)); /* each tries, the last one succeeds */
    amx_read_end(&g);
    gives(AMX_E_BORROW_ACTIVE, amx_msg_free(r->a, t));
    must_ok(ask(r, READ_END, b.value, 0).e);
    must_ok(ask(r, FREE, t, 0).e);
    gives(AMX_E_DOUBLE_FREE, amx_msg_free(r->a, t));
}

/* --- Admission ---------------------------------------------------------------------------------------------------------- */

static amx_token put_size(struct amx_store *s, uint64_t key, uint32_t size, int *e)
{
    unsigned char bytes[PAYLOAD];
    struct amx_message_header h = AMX_MESSAGE_HEADER_INIT;
    amx_token t = AMX_TOKEN_INVALID;
    h.sequence = key;
    stamp(bytes, PAYLOAD, key);
    *e = amx_msg_store(s, &h, bytes, size, &t);
    return t;
}

struct model {
    struct amx_store_config k;
    struct entry {
        amx_token t;
        uint64_t key;
        uint32_t size;
        bool held;
        struct amx_read g;
    } m[64]; /* oldest first */
    uint32_t n;
    uint64_t bytes, evicted, dropped, rejected;
};

static bool over(const struct model *m, uint64_t items, uint64_t bytes, bool hard_)
{
    const struct amx_marks *k = &m->k.marks;
    const uint64_t i = hard_ ? k->hard_items : k->soft_items, b = hard_ ? k->hard_bytes : k->soft_bytes;
    return (i && items > i) || (b && bytes > b);
}

static void model_drop(struct model *m, uint32_t i)
{
    m->bytes -= m->m[i].size;
    m->n--;
    for (; i < m->n; i++)
        m->m[i] = m->m[i + 1];
}

/* The oldest that nobody holds goes. false: there is none. */
static bool model_evict(struct model *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        if (!m->m[i].held) {
            model_drop(m, i);
            m->evicted++;
            return true;
        }
    return false;
}

/* What is left if everything goes that may, or the oldest one, would have room for size more. */
static bool model_fits(const struct model *m, uint32_t size)
{
    uint64_t n = m->n + 1, bytes = m->bytes + size;
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->m[i].held)
            continue;
        n--;
        bytes -= m->m[i].size;
        if (m->k.marks.policy == AMX_POLICY_DROP_OLDEST)
            break;
    }
    return !over(m, n, bytes, true);
}

/* AMX_OK: it is stored. 1: dropped. */
static int model_store(struct model *m, uint32_t size)
{
    const enum amx_policy p = m->k.marks.policy;
    bool went = false;
    if (m->n == m->k.depth) {
        if (p == AMX_POLICY_DROP_NEWEST) {
            m->dropped++;
            return 1;
        }
        if (p < AMX_POLICY_DROP_OLDEST || !model_fits(m, size) || !(went = model_evict(m)))
            return AMX_E_NOMEM;
    }
    bool hard_ = over(m, m->n + 1, m->bytes + size, true), soft = over(m, m->n + 1, m->bytes + size, false);
    if (p == AMX_POLICY_DROP_NEWEST && hard_) {
        m->dropped++;
        return 1;
    }
    if (p == AMX_POLICY_DROP_OLDEST && (soft || hard_) && !went && model_fits(m, size))
        (void)model_evict(m);
    if (p == AMX_POLICY_EVICT && model_fits(m, size))
        while (over(m, m->n + 1, m->bytes + size, true) && model_evict(m))
            ;
    if (over(m, m->n + 1, m->bytes + size, true)) {
        m->rejected++;
        return AMX_E_FULL;
    }
    return AMX_OK;
}

static void model_compare(const struct model *m, const struct room *r)
{
    uint64_t items, bytes;
    enum amx_watermark w;
    struct amx_store_stats n = store_stat(r->b);
    must_ok(amx_store_watermark(r->a, &w, &items, &bytes));
    must(items == m->n && bytes == m->bytes && n.used == m->n && n.bytes == m->bytes);
    must(n.evicted == m->evicted && n.dropped == m->dropped && n.rejected == m->rejected);
    must(!over(m, items, bytes, true));
    const struct amx_marks *k = &m->k.marks;
    const bool hard_ = (k->hard_items && items >= k->hard_items) || (k->hard_bytes && bytes >= k->hard_bytes);
    const bool soft = (k->soft_items && items >= k->soft_items) || (k->soft_bytes && bytes >= k->soft_bytes);
    must(w == (hard_ ? AMX_AT_OR_ABOVE_HARD : soft ? AMX_BETWEEN : AMX_BELOW_SOFT));
    for (uint32_t i = 0; i < m->n; i++) { /* each token is there, once, with what it was stored with */
        struct amx_message_header h;
        must_ok(amx_msg_peek_header(r->b, m->m[i].t, &h));
        must(h.sequence == m->m[i].key && h.payload_size == m->m[i].size);
    }
}

static void model_run(struct room *r, struct rng *dice, int turns)
{
    struct model m = {.k = r->k};
    uint64_t key = 0;
    for (int turn = 0; turn < turns; turn++) {
        const uint32_t i = m.n ? (uint32_t)rng_below(dice, m.n) : 0;
        switch (rng_below(dice, 8)) {
        default: {
            uint32_t size = (uint32_t)rng_below(dice, PAYLOAD + 1);
            int e, want = model_store(&m, size);
            amx_token t = put_size(key & 1 ? r->a : r->b, key, size, &e);
            gives(want == 1 ? AMX_OK : want, e);
            must((t != AMX_TOKEN_INVALID) == (want == AMX_OK));
            if (want == AMX_OK) {
                m.m[m.n++] = (struct entry){.t = t, .key = key, .size = size};
                m.bytes += size;
            }
            key++;
            break;
        }
        case 4:
            if (!m.n || m.m[i].held)
                break;
            must_ok(amx_msg_free(r->b, m.m[i].t));
            model_drop(&m, i);
            break;
        case 5: /* held, or no longer; never so many that B has no guard for a peek */
            if (!m.n)
                break;
            if (m.m[i].held)
                amx_read_end(&m.m[i].g);
            else if (amx_msg_read(r->a, m.m[i].t, &m.m[i].g))
                break;
            m.m[i].held = !m.m[i].held;
            break;
        case 6: { /* 23: a change of size is seen */
            struct amx_write w;
            if (!m.n || m.m[i].held)
                break;
            must_ok(amx_msg_read_mut(r->a, m.m[i].t, &w));
            must(w.size == m.m[i].size && w.capacity == (r->k.marks.hard_bytes ? w.size : PAYLOAD));
            w.size = (uint32_t)rng_below(dice, w.capacity + 1);
            m.bytes += w.size;
            m.bytes -= m.m[i].size;
            m.m[i].size = w.size;
            must_ok(amx_write_end(&w));
            break;
        }
        case 7: {
            amx_token t = 1;
            uint32_t first = 0;
            while (first < m.n && m.m[first].held)
                first++;
            int e = amx_store_evict(r->a, &t);
            gives(!m.n ? AMX_E_NOENT : first == m.n ? AMX_E_BORROW_ACTIVE : AMX_OK, e);
            must(e || t == m.m[first].t);
            if (!e)
                must(model_evict(&m));
            break;
        }
        }
        model_compare(&m, r);
    }
    for (uint32_t i = 0; i < m.n; i++) {
        if (m.m[i].held)
            amx_read_end(&m.m[i].g);
        must_ok(amx_msg_free(r->a, m.m[i].t));
    }
    must(available(r->a) == r->k.depth);
}

/* 24 by itself: a store that is full by depth and by mark lets the oldest go first; if nothing may go, nothing goes. */
static inline void full_by_depth_and_mark(enum kind kind)
{
    struct amx_store_config k = suite_config;
    struct room r;
    for (int policy = AMX_POLICY_DROP_OLDEST; policy <= AMX_POLICY_EVICT; policy++) {
        struct amx_read g[4];
        amx_token t[5];
        int e;
        k.depth = 4;
        k.marks = (struct amx_marks){.policy = (enum amx_policy)policy, .soft_items = 4, .hard_items = 4};
        k.marks.hard_bytes = 400;
        room_open(&r, kind, &k);
        for (uint32_t i = 0; i < 5; i++)
            t[i] = put_size(r.a, i, 50, &e);
        gives(AMX_E_STALE, amx_msg_free(r.a, t[0]));
        must(available(r.a) == 0 && store_stat(r.a).evicted == 1);
        for (int i = 0; i < 4; i++)
            must_ok(amx_msg_read(r.a, t[i + 1], &g[i]));
        must(put_size(r.a, 9, 50, &e) == AMX_TOKEN_INVALID);
        gives(AMX_E_NOMEM, e);
        amx_read_end(&g[0]); /* one may go, which would not do: none goes */
        must(put_size(r.a, 9, 256, &e) == AMX_TOKEN_INVALID);
        gives(AMX_E_NOMEM, e);
        must(store_stat(r.a).evicted == 1);
        for (int i = 1; i < 4; i++)
            amx_read_end(&g[i]);
        for (int i = 1; i < 5; i++)
            must_ok(amx_msg_free(r.a, t[i]));
        room_close(&r);
    }
}

/* Random marks of every kind, against the model. `seed` of the dice. */
static inline void admission_follows_the_model(enum kind kind, uint64_t seed, int rounds, int turns)
{
    struct rng dice = rng_make(seed, (uint64_t)kind);
    for (int round = 0; round < rounds; round++) {
        struct amx_store_config k = suite_config;
        struct room r;
        k.depth = (uint32_t)rng_range(&dice, 1, 12);
        struct amx_marks *m = &k.marks;
        m->policy = (enum amx_policy)(1 + round % 4);
        if (rng_below(&dice, 4))
            m->hard_items = (uint32_t)rng_range(&dice, 1, k.depth + 1);
        if (rng_below(&dice, 2) || (!m->hard_items && m->policy != AMX_POLICY_DROP_OLDEST))
            m->hard_bytes = rng_range(&dice, 1, k.depth * PAYLOAD / 2 + 1);
        if (rng_below(&dice, 2) || (!m->hard_items && !m->hard_bytes))
            m->soft_items = (uint32_t)rng_range(&dice, 1, m->hard_items ? m->hard_items : k.depth);
        if (rng_below(&dice, 2))
            m->soft_bytes = rng_range(&dice, 1, m->hard_bytes ? m->hard_bytes : k.depth * PAYLOAD);
        room_open(&r, kind, &k);
        model_run(&r, &dice, turns);
        room_close(&r);
    }
}

/* --- All of them ---------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*fn)(struct room *r);
} suite[] = {
#define TEST(f)                                                                                                        \
    {                                                                                                                  \
#f, f                                                                                                          \
    }
    TEST(store_read_free_cycle),
    TEST(read_mut_works),
    TEST(peek_header_works),
    TEST(capacity_exhaustion),
    TEST(double_free_detected),
    TEST(bad_token_detected),
    TEST(read_freed_slot_is_bad_token),
    TEST(slot_reuse_after_free),
    TEST(memory_class_configurable),
    TEST(default_memory_class_is_host),
    TEST(basic_store_read_free),
    TEST(concurrent_reads_same_slot),
    TEST(write_excludes_read),
    TEST(allocate_exhaustion_and_reuse),
    TEST(every_situation),
    TEST(poison_and_recover),
    TEST(reserve_fills_in_place),
    TEST(guards_exhausted),
    TEST(ended_twice),
    TEST(scoped_guards),
    TEST(header_fields),
    TEST(sizes_and_types),
    TEST(copies),
    TEST(null_arguments),
    TEST(walk_and_stat),
    TEST(forged_words_and_sizes),
    TEST(stale_tokens_are_refused),
    TEST(poisoned_places_come_back),
    TEST(tokens_outlive_errors),
    TEST(holder_does_not_wait_for_himself),
    TEST(one_token_for_several),
#undef TEST
};
enum { SUITE = sizeof suite / sizeof *suite };

#endif
