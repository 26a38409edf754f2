/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   storm [SECONDS [WORKERS [MIB]]]
 * Processes, each a program of its own at its own address, do every call in any order while they are stopped, continued,
 * killed and started again at random. What is to outlive its maker stands in a journal, a mapping that the library knows
 * nothing of: whoever takes a block or a slot of the pool from there verifies its bytes; so does whoever reads a
 * message whose token stands there. Bytes in are bytes out: when all is over, the journal is
 * emptied, and the segment is as it was at first. Ends with one line:
 *   storm: seconds=N kills=N stops=N operations=N corrupt=N leaked=N
 */
#include "amx_store.h"
#include "arena.h"
#include "tests/support.h"

#include <signal.h>
#include <sys/mman.h>
#include <time.h>

enum { WORKERS_MAX = 16, ENTRIES = 512, MINE = 96, BOX = 8, TOKENS = 64, TICK_US = 2000 };

/* An entry of the journal: EMPTY -> PUTTING -> FULL -> TAKING -> EMPTY. While PUTTING or TAKING it says who does it; if he
 * dies, the parent finds out how far he came. */
enum { EMPTY, PUTTING, FULL, TAKING };
#define ENTRY(state, who, life) ((uint64_t)(state) | (uint64_t)(who) << 8 | (uint64_t)(life) << 16)
struct entry {
    amxi_a64 word, ref, n, key;
};

enum ware { BLOCK, SLOT, WARES }; /* what is dealt in */

struct row {     /* of a worker */
    amxi_a64 id; /* of its handle; 0: none */
    amxi_a64 operations, corrupt;
    struct entry box[WARES][BOX]; /* what it was given: FULL or EMPTY */
};

struct journal {
    amxi_a64 over;
    amxi_a64 pool, store;   /* their blocks */
    amxi_a64 token[TOKENS]; /* of messages that somebody has stored */
    struct row row[WORKERS_MAX];
    struct entry entry[WARES][ENTRIES];
};

struct mine {
    uint64_t ref; /* amx_ref or amx_slot */
    size_t n;     /* stamped bytes */
    uint64_t key;
};

static struct {
    struct journal *j;
    const char *name;
    unsigned who, workers;
    uint64_t life;
    amx_t *h;
    struct amx_pool pool;
    struct rng r;
    struct mine mine[WARES][MINE];
    unsigned n[WARES];
    uint64_t keys;
} w;

/* --- Blocks and slots --------------------------------------------------------------------------------------------- */

static int w_place(enum ware k, uint64_t ref, void **p, size_t *n)
{
    if (k == SLOT)
        return amx_pool_ptr(&w.pool, ref, p, n);
    int e = amx_usable(w.h, ref, n);
    return e ? e : amx_ptr(w.h, ref, p);
}

static int w_free(enum ware k, uint64_t ref)
{
    return k == SLOT ? amx_pool_free(&w.pool, ref) : amx_free(w.h, ref);
}

static int w_publish(enum ware k, uint64_t ref)
{
    return k == SLOT ? amx_pool_publish(&w.pool, ref) : amx_publish(w.h, ref);
}

static int w_adopt(enum ware k, uint64_t ref)
{
    return k == SLOT ? amx_pool_adopt(&w.pool, ref, AMX_POOL_SELF) : amx_adopt(w.h, ref);
}

static int w_give(enum ware k, uint64_t ref, amx_id to, uint64_t *out)
{
    return k == SLOT ? amx_pool_give(&w.pool, ref, to, out) : amx_give(w.h, ref, to, out);
}

static int w_owner(enum ware k, uint64_t ref, amx_id *out)
{
    return k == SLOT ? amx_pool_owner(&w.pool, ref, out) : amx_owner(w.h, ref, out);
}

static int w_state(enum ware k, uint64_t ref, uint32_t *out)
{
    return k == SLOT ? amx_pool_get_state(&w.pool, ref, out) : amx_get_state(w.h, ref, AMX_ACQUIRE, out);
}

static int w_set_state(enum ware k, uint64_t ref, uint32_t state)
{
    return k == SLOT ? amx_pool_set_state(&w.pool, ref, state) : amx_set_state(w.h, ref, state);
}

static int w_transition(enum ware k, uint64_t ref, uint32_t from, uint32_t to)
{
    return k == SLOT ? amx_pool_transition(&w.pool, ref, from, to, NULL)
                     : amx_transition(w.h, ref, from, to, AMX_ACQ_REL, NULL);
}

/* --- A worker ----------------------------------------------------------------------------------------------------- */

static void corrupt(const char *what, int e)
{
    fprintf(stderr, "worker %u, life %" PRIu64 ": %s: %s\n", w.who, w.life, what, amx_strerror(e));
    (void)amxi_add64_rlx(&w.j->row[w.who].corrupt, 1);
}

static void expect(const char *what, int e, int also, int or)
{
    if (e != AMX_OK && e != also && e != or)
        corrupt(what, e);
}

static bool verified(enum ware k, const struct mine *m, const char *when)
{
    void *p;
    size_t n;
    int e = w_place(k, m->ref, &p, &n);
    if (!e && m->n <= n && stamped(p, m->n, m->key))
        return true;
    corrupt(when, e);
    return false;
}

static bool stamp_new(enum ware k, struct mine *m, uint64_t ref)
{
    void *p;
    m->ref = ref;
    m->key = mix64(w.life << 40 | (uint64_t)w.who << 32 | ++w.keys);
    int e = w_place(k, ref, &p, &m->n);
    if (e) {
        corrupt(k == SLOT ? "a new slot" : "a new block", e);
        return false;
    }
    stamp(p, m->n, m->key);
    return true;
}

static bool make(enum ware k, struct mine *m)
{
    uint64_t ref, dice = rng_below(&w.r, 100);
    size_t n = dice < 80 ? rng_below(&w.r, 600) : dice < 98 ? rng_below(&w.r, 8000) : rng_below(&w.r, 400000);
    bool plain = rng_below(&w.r, 10);
    int e;
    if (k == SLOT) {
        n %= 513;
        e = plain ? amx_pool_alloc(&w.pool, n, AMX_POOL_SELF, &ref)
                  : amx_pool_alloc_wait(&w.pool, n, AMX_POOL_SELF, rng_below(&w.r, 2000000), &ref);
        expect("slot alloc", e, plain ? AMX_E_NOMEM : AMX_E_TIMEOUT, AMX_OK);
    } else {
        e = plain ? amx_alloc(w.h, n, &ref) : amx_alloc_aligned(w.h, (size_t)32 << rng_below(&w.r, 8), n, &ref);
        expect("alloc", e, AMX_E_NOMEM, AMX_E_BUSY);
    }
    return !e && stamp_new(k, m, ref);
}

static void keep(enum ware k, struct mine m)
{
    w.mine[k][w.n[k]++] = m;
}

static struct mine pick(enum ware k)
{
    unsigned i = (unsigned)rng_below(&w.r, w.n[k]);
    struct mine m = w.mine[k][i];
    w.mine[k][i] = w.mine[k][--w.n[k]];
    return m;
}

static void put(enum ware k)
{
    struct entry *e = &w.j->entry[k][rng_below(&w.r, ENTRIES)];
    uint64_t empty = EMPTY;
    struct mine m;
    if (!amxi_cas64_sc(&e->word, &empty, ENTRY(PUTTING, w.who, w.life)))
        return;
    if (make(k, &m)) {
        amxi_st64_sc(&e->n, m.n);
        amxi_st64_sc(&e->key, m.key);
        amxi_st64_sc(&e->ref, m.ref); /* noted before it can outlive us */
        int rc = rng_below(&w.r, 3) ? w_publish(k, m.ref) : w_set_state(k, m.ref, 2048 + (uint32_t)w.who);
        expect("publish or keep", rc, AMX_OK, AMX_OK);
        amxi_st64_sc(&e->word, FULL);
    } else {
        amxi_st64_sc(&e->word, EMPTY);
    }
}

static void take(enum ware k)
{
    struct entry *e = &w.j->entry[k][rng_below(&w.r, ENTRIES)];
    uint64_t full = FULL;
    if (!amxi_cas64_sc(&e->word, &full, ENTRY(TAKING, w.who, w.life)))
        return;
    struct mine m = {amxi_ld64_sc(&e->ref), amxi_ld64_sc(&e->n), amxi_ld64_sc(&e->key)};
    if (verified(k, &m, "taken from the journal")) {
        if (rng_below(&w.r, 2))
            expect("adopt", w_adopt(k, m.ref), AMX_E_OWNER, AMX_OK); /* a kept one whose maker lives is his */
        expect("free", w_free(k, m.ref), AMX_OK, AMX_OK);
        if (k == SLOT && w_free(k, m.ref) == AMX_OK)
            corrupt("a slot freed twice", AMX_OK);
    }
    amxi_st64_sc(&e->ref, 0);
    amxi_st64_sc(&e->word, EMPTY);
}

/* Gives one to somebody, and tells him if he lives to hear it. */
static void give(enum ware k)
{
    unsigned to = (unsigned)rng_below(&w.r, w.workers);
    amx_id id = amxi_ld64_sc(&w.j->row[to].id);
    if (!w.n[k] || !id)
        return;
    struct mine m = pick(k);
    uint64_t out = 0;
    int rc = w_give(k, m.ref, id, &out);
    expect("give", rc, AMX_E_PEER_DEAD, AMX_OK);
    m.ref = out;
    if (rc == AMX_E_PEER_DEAD || to == w.who) {
        keep(k, m);
        return;
    }
    struct entry *e = &w.j->row[to].box[k][rng_below(&w.r, BOX)];
    uint64_t empty = EMPTY;
    if (!rc && amxi_cas64_sc(&e->word, &empty, PUTTING)) { /* else it stays his, and goes with him */
        amxi_st64_sc(&e->ref, m.ref);
        amxi_st64_sc(&e->n, m.n);
        amxi_st64_sc(&e->key, m.key);
        amxi_st64_sc(&e->word, FULL);
    }
}

static void look_in_box(enum ware k)
{
    for (int i = 0; i < BOX && w.n[k] < MINE; i++) {
        struct entry *e = &w.j->row[w.who].box[k][i];
        amx_id owner;
        if (amxi_ld64_sc(&e->word) != FULL)
            continue;
        struct mine m = {amxi_ld64_sc(&e->ref), amxi_ld64_sc(&e->n), amxi_ld64_sc(&e->key)};
        /* what a former life was given fell with it */
        if (w_owner(k, m.ref, &owner) == AMX_OK && owner == amx_handle_id(w.h) && verified(k, &m, "given"))
            keep(k, m);
        amxi_st64_sc(&e->word, EMPTY);
    }
}

static void resize(void)
{
    struct mine m = pick(BLOCK);
    void *p;
    size_t n = rng_below(&w.r, 3000);
    amx_ref out = m.ref;
    int rc = amx_resize(w.h, m.ref, n, &out);
    expect("resize", rc, AMX_E_NOMEM, AMX_E_BUSY);
    m.ref = out;
    size_t same = rc || m.n < n ? m.n : n, whole = m.n <= STAMP_WHOLE ? same : 64;
    if (amx_ptr(w.h, m.ref, &p) || stamp_check_(p, 0, (same < whole ? same : whole) / 8 * 8, m.key) != SIZE_MAX)
        corrupt("resized", rc);
    else if (stamp_new(BLOCK, &m, out))
        keep(BLOCK, m);
}

static void free_some(void)
{
    amx_ref ref[8];
    size_t n = 0, done;
    while (n < 8 && w.n[BLOCK]) {
        struct mine m = pick(BLOCK);
        if (verified(BLOCK, &m, "before it is freed"))
            ref[n++] = m.ref;
    }
    expect("free_many", amx_free_many(w.h, ref, n, &done), AMX_OK, AMX_OK);
    if (n && amx_free(w.h, ref[0]) == AMX_OK)
        corrupt("freed twice", AMX_OK);
}

static void change_state(enum ware k)
{
    const struct mine *m = &w.mine[k][rng_below(&w.r, w.n[k])];
    uint32_t state = 0;
    expect("get_state", w_state(k, m->ref, &state), AMX_OK, AMX_OK);
    expect("set_state or transition",
           state == AMX_STATE_ALLOCATED ? w_set_state(k, m->ref, 100)
                                        : w_transition(k, m->ref, state, 100 + (uint32_t)rng_below(&w.r, 100)),
           AMX_OK, AMX_OK);
}

static int told(const struct amx_kept *k, void *ctx)
{
    (void)ctx;
    if (k->struct_size != sizeof *k)
        corrupt("told", AMX_OK);
    return 0;
}

#include "messages.h"

static int enter(void)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    o.map_hint = test_hint((unsigned)((w.who * 3 + w.life) % 16));
    int e = amx_attach(w.name, &o, &w.h);
    for (int i = 0; i < 1000 && (e == AMX_E_BUSY || e == AMX_E_FULL); i++) { /* the dead are being buried */
        sched_yield();
        e = amx_attach(w.name, &o, &w.h);
    }
    if (!e) {
        must_ok(amx_pool_attach_block(w.h, amxi_ld64_sc(&w.j->pool), 0, NULL, &w.pool));
        enter_store();
        amxi_st64_sc(&w.j->row[w.who].id, amx_handle_id(w.h));
    }
    return e;
}

/* Everything goes, and comes back under another address perhaps. */
static bool leave_and_come(void)
{
    amxi_st64_sc(&w.j->row[w.who].id, 0);
    w.n[BLOCK] = w.n[SLOT] = 0; /* closing frees what is private */
    expect("close", amx_close(w.h), AMX_OK, AMX_OK);
    int e = enter();
    expect("attach", e, AMX_E_FULL, AMX_E_BUSY);
    return e == AMX_OK;
}

static void second_handle(void)
{
    amx_t *h;
    amx_ref ref[4];
    size_t n;
    int e = amx_share(w.h, &h);
    expect("share", e, AMX_E_FULL, AMX_OK);
    if (e)
        return;
    if (amx_alloc_many(h, 100, 4, ref, &n) == AMX_OK || n)
        expect("free_many", amx_free_many(w.h, ref, n, NULL), AMX_OK, AMX_OK);
    read_by(h);
    expect("unshare", amx_unshare(h), AMX_OK, AMX_OK);
}

static bool one(void)
{
    uint64_t blocks, dice = rng_below(&w.r, 1000);
    struct amx_stats s = {.struct_size = sizeof s};
    struct amx_check_result c = {.struct_size = sizeof c};
    struct amx_pool_check_result pc = {.struct_size = sizeof pc};
    enum ware k = rng_below(&w.r, 3) ? BLOCK : SLOT;
    struct mine m;
    if (rng_below(&w.r, 4) == 0) {
        message_dealt();
        return true;
    }
    if (dice < 300 && w.n[k] < MINE) {
        if (make(k, &m))
            keep(k, m);
    } else if (dice < 480 && w.n[k]) {
        m = pick(k);
        if (verified(k, &m, "before it is freed"))
            expect("free", w_free(k, m.ref), AMX_OK, AMX_OK);
    } else if (dice < 600) {
        put(k);
    } else if (dice < 740) {
        take(k);
    } else if (dice < 800) {
        give(k);
    } else if (dice < 850) {
        look_in_box(k);
    } else if (dice < 900 && w.n[BLOCK]) {
        resize();
    } else if (dice < 940 && w.n[k]) {
        change_state(k);
    } else if (dice < 960) {
        free_some();
    } else if (dice < 970) {
        expect("trim", amx_trim(w.h), AMX_E_PARTIAL, AMX_OK);
    } else if (dice < 975) {
        expect("heal", amx_heal(w.h), AMX_E_PARTIAL, AMX_OK);
    } else if (dice < 985) {
        second_handle();
    } else if (dice < 990) {
        expect("recover", dice & 1 ? amx_recover(w.h, 0, told, NULL, NULL) : recover_all(w.h, &blocks), AMX_E_PARTIAL,
               AMX_OK);
    } else if (dice < 992) {
        expect("stat", amx_stat(w.h, &s), AMX_OK, AMX_OK);
        expect("check", amx_check(w.h, NULL, NULL, &c), AMX_OK, AMX_OK);
        expect("pool check", amx_pool_check(&w.pool, NULL, NULL, &pc), AMX_OK, AMX_OK);
    } else if (dice < 993) {
        return leave_and_come();
    } else if (dice < 994 && rng_below(&w.r, 100) == 0) {
        int e = amx_pool_extend(&w.pool, (uint32_t)rng_below(&w.r, 3), 1 + (uint32_t)rng_below(&w.r, 100));
        expect("extend", e == AMX_E_FULL ? AMX_OK : e, AMX_E_NOMEM, AMX_E_BUSY);
    }
    return true;
}

static int worker(char **argv)
{
    int fd = atoi(argv[3]);
    w.name = argv[2];
    w.who = (unsigned)atoi(argv[4]);
    w.life = strtoull(argv[5], NULL, 10);
    w.workers = (unsigned)atoi(argv[6]);
    w.r = rng_make(strtoull(argv[7], NULL, 10), w.life * WORKERS_MAX + w.who);
    w.j = mmap(NULL, sizeof *w.j, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(w.j != MAP_FAILED);
    must_ok(enter());
    bool there = true;
    while (there && !amxi_ld64_acq(&w.j->over)) {
        there = one();
        (void)amxi_add64_rlx(&w.j->row[w.who].operations, 1);
    }
    for (enum ware k = BLOCK; k < WARES; k++)
        while (there && w.n[k]) {
            struct mine m = pick(k);
            if (verified(k, &m, "at the end"))
                expect("free", w_free(k, m.ref), AMX_OK, AMX_OK);
        }
    if (there)
        guards_end();
    amxi_st64_sc(&w.j->row[w.who].id, 0);
    if (there)
        must_ok(amx_close(w.h));
    return 0;
}

/* --- The parent ---------------------------------------------------------------------------------------------------- */

static struct {
    pid_t pid[WORKERS_MAX];
    uint64_t life[WORKERS_MAX];
    bool stopped[WORKERS_MAX];
    uint64_t until[WORKERS_MAX]; /* ns */
    uint64_t kills, stops, corrupt;
    struct rng r;
} p;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void begin(unsigned i, int fd, uint64_t seed)
{
    char text[5][24];
    snprintf(text[0], sizeof text[0], "%d", fd);
    snprintf(text[1], sizeof text[1], "%u", i);
    snprintf(text[2], sizeof text[2], "%" PRIu64, ++p.life[i]);
    snprintf(text[3], sizeof text[3], "%u", w.workers);
    snprintf(text[4], sizeof text[4], "%" PRIu64, seed);
    p.pid[i] = spawn("worker", w.name, text[0], text[1], text[2], text[3], text[4], (char *)NULL);
    p.stopped[i] = false;
}

/* An entry in the hands of one who is dead. false: what he had is not recovered yet. */
static bool settle(enum ware k, struct entry *e)
{
    struct mine m = {amxi_ld64_sc(&e->ref), amxi_ld64_sc(&e->n), amxi_ld64_sc(&e->key)};
    amx_id owner;
    if (m.ref && w_owner(k, m.ref, &owner) == AMX_OK) {
        if (owner)
            return false;
        if (verified(k, &m, "left in the journal by a dead one"))
            expect("free", w_free(k, m.ref), AMX_E_STALE, AMX_OK);
    }
    amxi_st64_sc(&e->ref, 0);
    amxi_st64_sc(&e->word, EMPTY);
    return true;
}

/* All those of lives that have ended. Returns how many had to be left. */
static unsigned settle_all(void)
{
    unsigned left = 0;
    for (unsigned i = 0; i < WARES * ENTRIES; i++) {
        enum ware k = i < ENTRIES ? BLOCK : SLOT;
        struct entry *e = &w.j->entry[k][i % ENTRIES];
        uint64_t word = amxi_ld64_sc(&e->word), state = word & 0xff, who = word >> 8 & 0xff;
        if ((state == PUTTING || state == TAKING) && who < w.workers && (p.life[who] > word >> 16 || !p.pid[who]))
            left += !settle(k, e);
    }
    return left;
}

static void kill_worker(unsigned i)
{
    must(kill(p.pid[i], SIGKILL) == 0 && wait_end(p.pid[i]) == 128 + SIGKILL);
    p.pid[i] = 0;
    p.kills++;
    amxi_st64_sc(&w.j->row[i].id, 0);
    for (int k = 0; k < WARES * BOX; k++) { /* somebody may have died while he wrote there */
        amxi_a64 *word = &w.j->row[i].box[k / BOX][k % BOX].word;
        if (amxi_ld64_sc(word) == PUTTING)
            amxi_st64_sc(word, EMPTY);
    }
}

static void storm(uint64_t seconds, int fd, uint64_t seed)
{
    uint64_t end = now() + seconds * 1000000000u, next_check = 0;
    while (now() < end) {
        struct timespec tick = {0, TICK_US * 1000};
        nanosleep(&tick, NULL); /* the storm's rhythm; nothing waits for it */
        for (unsigned i = 0; i < w.workers; i++)
            if (p.stopped[i] && now() >= p.until[i]) {
                must(kill(p.pid[i], SIGCONT) == 0);
                p.stopped[i] = false;
            }
        unsigned i = (unsigned)rng_below(&p.r, w.workers);
        uint64_t dice = rng_below(&p.r, 1000), blocks;
        if (dice < 250 && !p.stopped[i]) {
            must(kill(p.pid[i], SIGSTOP) == 0);
            p.stopped[i] = true;
            p.until[i] = now() + rng_below(&p.r, rng_below(&p.r, 10) ? 10 : 200) * 1000000u;
            p.stops++;
        } else if (dice < 256) {
            kill_worker(i);
            expect("recover", recover_all(w.h, &blocks), AMX_E_PARTIAL, AMX_OK);
            begin(i, fd, seed);
            (void)settle_all();
        }
        if (now() > next_check) {
            struct amx_check_result c = {.struct_size = sizeof c};
            struct amx_pool_check_result m = {.struct_size = sizeof m};
            expect("check beside the storm", amx_check(w.h, NULL, NULL, &c), AMX_OK, AMX_OK);
            expect("store check beside the storm", amx_store_check(&ms.store, NULL, NULL, &m), AMX_OK, AMX_OK);
            next_check = now() + 1000000000u;
        }
        for (unsigned k = 0; k < w.workers; k++) { /* one that ended by itself has failed */
            int status;
            if (waitpid(p.pid[k], &status, WNOHANG) == p.pid[k]) {
                corrupt("a worker ended by itself", AMX_OK);
                begin(k, fd, seed);
            }
        }
    }
}

/* Slots that are somebody's, and those that cannot be had. */
static uint64_t slots_left(void)
{
    struct amx_pool_check_result c = {.struct_size = sizeof c};
    uint64_t n = 0;
    amx_slot s;
    expect("pool check", amx_pool_check(&w.pool, NULL, NULL, &c), AMX_OK, AMX_OK);
    while (amx_pool_alloc(&w.pool, 1, AMX_POOL_SELF, &s) == AMX_OK)
        n++;
    return c.used + (c.slots - c.used > n ? c.slots - c.used - n : n - (c.slots - c.used));
}

int main(int argc, char **argv)
{
    if (argc > 7 && strcmp(argv[1], "worker") == 0)
        return worker(argv);
    uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 600, blocks, operations = 0, leaked = 0;
    struct amx_options o = AMX_OPTIONS_INIT;
    struct amx_stats s = {.struct_size = sizeof s};
    struct amx_check_result c = {.struct_size = sizeof c};
    uint64_t seed = test_seed();
    w.workers = argc > 2 ? (unsigned)atoi(argv[2]) : 8;
    must(seconds > 0 && w.workers > 0 && w.workers < WORKERS_MAX);
    w.who = WORKERS_MAX - 1;
    w.name = test_name();
    p.r = rng_make(seed, 7777);
    o.size = (argc > 3 ? strtoull(argv[3], NULL, 10) : 16) << 20;
    must_ok(amx_create(w.name, &o, &w.h));
    int fd = memfd_create("journal", 0);
    must(fd >= 0 && ftruncate(fd, sizeof *w.j) == 0);
    w.j = mmap(NULL, sizeof *w.j, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(w.j != MAP_FAILED);
    const struct amx_pool_config three = {.n = 3, .cls = {{32, 70}, {128, 200}, {512, 64}}};
    amx_ref block;
    must_ok(amx_pool_create(w.h, &three, &block, &w.pool));
    amxi_st64_sc(&w.j->pool, block);
    make_store();
    for (unsigned i = 0; i < w.workers; i++)
        begin(i, fd, seed);
    storm(seconds, fd, seed);

    amxi_st64_rel(&w.j->over, 1); /* pairs with the acquire in worker */
    for (unsigned i = 0; i < w.workers; i++) {
        must(kill(p.pid[i], SIGCONT) == 0);
        if (wait_end(p.pid[i]) != 0)
            corrupt("a worker failed", AMX_OK);
        p.pid[i] = 0;
    }
    expect("recover", recover_all(w.h, &blocks), AMX_OK, AMX_OK);
    leaked += settle_all();
    for (unsigned i = 0; i < WARES * ENTRIES; i++) {
        enum ware k = i < ENTRIES ? BLOCK : SLOT;
        if (amxi_ld64_sc(&w.j->entry[k][i % ENTRIES].word) == FULL)
            leaked += !settle(k, &w.j->entry[k][i % ENTRIES]);
    }
    leaked += end_store();
    leaked += slots_left();
    must_ok(amx_pool_remove(&w.pool));
    expect("free", amx_free(w.h, amxi_ld64_sc(&w.j->pool)), AMX_OK, AMX_OK);
    expect("trim", amx_trim(w.h), AMX_OK, AMX_OK);
    expect("heal", amx_heal(w.h), AMX_OK, AMX_OK);
    must_ok(amx_stat(w.h, &s));
    leaked += s.live_blocks + s.cached_blocks + s.acked_blocks;
    if (s.free_bytes != s.data_bytes || s.sectors_bad)
        corrupt("not every byte is free", AMX_OK);
    expect("check", amx_check(w.h, NULL, NULL, &c), AMX_OK, AMX_OK);
    if (c.undone)
        corrupt("something is undone", AMX_OK);
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        operations += amxi_ld64_rlx(&w.j->row[i].operations);
        p.corrupt += amxi_ld64_rlx(&w.j->row[i].corrupt);
    }
    must_ok(amx_close(w.h));
    printf("storm: seconds=%" PRIu64 " kills=%" PRIu64 " stops=%" PRIu64 " operations=%" PRIu64 " corrupt=%" PRIu64
           " leaked=%" PRIu64 "\n",
           seconds, p.kills, p.stops, operations, p.corrupt, leaked);
    return p.corrupt || leaked;
}
