/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   storm [SECONDS [WORKERS [MIB]]]
 * Processes, each a program of its own at its own address, do every call in any order while they are stopped, continued,
 * killed and started again at random. What is to outlive its maker stands in a journal, a mapping that the library knows
 * nothing of: whoever takes a block from there verifies its bytes. Bytes in are bytes out: when all is over, the journal is
 * emptied, and the segment is as it was at first. Ends with one line:
 *   storm: seconds=N kills=N stops=N operations=N corrupt=N leaked=N
 */
#include "arena.h"
#include "tests/support.h"

#include <signal.h>
#include <sys/mman.h>
#include <time.h>

enum { WORKERS_MAX = 16, ENTRIES = 512, MINE = 96, BOX = 8, TICK_US = 2000 };

/* An entry of the journal: EMPTY -> PUTTING -> FULL -> TAKING -> EMPTY. While PUTTING or TAKING it says who does it; if he
 * dies, the parent finds out how far he came. */
enum { EMPTY, PUTTING, FULL, TAKING };
#define ENTRY(state, who, life) ((uint64_t)(state) | (uint64_t)(who) << 8 | (uint64_t)(life) << 16)
struct entry {
    amxi_a64 word, ref, n, key;
};

struct row {     /* of a worker */
    amxi_a64 id; /* of its handle; 0: none */
    amxi_a64 operations, corrupt;
    struct entry box[BOX]; /* what it was given: FULL or EMPTY */
};

struct journal {
    amxi_a64 over;
    struct row row[WORKERS_MAX];
    struct entry entry[ENTRIES];
};

struct mine {
    amx_ref ref;
    size_t n; /* stamped bytes */
    uint64_t key;
};

static struct {
    struct journal *j;
    const char *name;
    unsigned who, workers;
    uint64_t life;
    amx_t *h;
    struct rng r;
    struct mine mine[MINE];
    unsigned n;
    uint64_t keys;
} w;

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

static bool verified(const struct mine *m, const char *when)
{
    void *p;
    int e = amx_ptr(w.h, m->ref, &p);
    if (!e && stamped(p, m->n, m->key))
        return true;
    corrupt(when, e);
    return false;
}

static bool stamp_new(struct mine *m, amx_ref ref)
{
    void *p;
    m->ref = ref;
    m->key = mix64(w.life << 40 | (uint64_t)w.who << 32 | ++w.keys);
    int e = amx_usable(w.h, ref, &m->n);
    if (!e)
        e = amx_ptr(w.h, ref, &p);
    if (e) {
        corrupt("a new block", e);
        return false;
    }
    stamp(p, m->n, m->key);
    return true;
}

static bool make(struct mine *m)
{
    amx_ref ref;
    uint64_t dice = rng_below(&w.r, 100);
    size_t n = dice < 80 ? rng_below(&w.r, 600) : dice < 98 ? rng_below(&w.r, 8000) : rng_below(&w.r, 400000);
    int e = rng_below(&w.r, 10) ? amx_alloc(w.h, n, &ref)
                                : amx_alloc_aligned(w.h, (size_t)32 << rng_below(&w.r, 8), n, &ref);
    expect("alloc", e, AMX_E_NOMEM, AMX_E_BUSY);
    return !e && stamp_new(m, ref);
}

static struct mine pick(void)
{
    unsigned i = (unsigned)rng_below(&w.r, w.n);
    struct mine m = w.mine[i];
    w.mine[i] = w.mine[--w.n];
    return m;
}

static void put(void)
{
    struct entry *e = &w.j->entry[rng_below(&w.r, ENTRIES)];
    uint64_t empty = EMPTY;
    struct mine m;
    if (!amxi_cas64_sc(&e->word, &empty, ENTRY(PUTTING, w.who, w.life)))
        return;
    if (make(&m)) {
        amxi_st64_sc(&e->n, m.n);
        amxi_st64_sc(&e->key, m.key);
        amxi_st64_sc(&e->ref, m.ref); /* noted before it can outlive us */
        int rc = rng_below(&w.r, 3) ? amx_publish(w.h, m.ref) : amx_set_state(w.h, m.ref, 2048 + (uint32_t)w.who);
        expect("publish or keep", rc, AMX_OK, AMX_OK);
        amxi_st64_sc(&e->word, FULL);
    } else {
        amxi_st64_sc(&e->word, EMPTY);
    }
}

static void take(void)
{
    struct entry *e = &w.j->entry[rng_below(&w.r, ENTRIES)];
    uint64_t full = FULL;
    if (!amxi_cas64_sc(&e->word, &full, ENTRY(TAKING, w.who, w.life)))
        return;
    struct mine m = {amxi_ld64_sc(&e->ref), amxi_ld64_sc(&e->n), amxi_ld64_sc(&e->key)};
    if (verified(&m, "taken from the journal")) {
        if (rng_below(&w.r, 2))
            expect("adopt", amx_adopt(w.h, m.ref), AMX_E_OWNER, AMX_OK); /* a kept one whose maker lives is his */
        expect("free", amx_free(w.h, m.ref), AMX_OK, AMX_OK);
    }
    amxi_st64_sc(&e->ref, 0);
    amxi_st64_sc(&e->word, EMPTY);
}

/* Gives one to somebody, and tells him if he lives to hear it. */
static void give(void)
{
    unsigned to = (unsigned)rng_below(&w.r, w.workers);
    amx_id id = amxi_ld64_sc(&w.j->row[to].id);
    if (!w.n || !id)
        return;
    struct mine m = pick();
    amx_ref out = 0;
    int rc = amx_give(w.h, m.ref, id, &out);
    expect("give", rc, AMX_E_PEER_DEAD, AMX_OK);
    m.ref = out;
    if (rc == AMX_E_PEER_DEAD || to == w.who) {
        w.mine[w.n++] = m;
        return;
    }
    struct entry *e = &w.j->row[to].box[rng_below(&w.r, BOX)];
    uint64_t empty = EMPTY;
    if (!rc && amxi_cas64_sc(&e->word, &empty, PUTTING)) { /* else it stays his, and goes with him */
        amxi_st64_sc(&e->ref, m.ref);
        amxi_st64_sc(&e->n, m.n);
        amxi_st64_sc(&e->key, m.key);
        amxi_st64_sc(&e->word, FULL);
    }
}

static void look_in_box(void)
{
    for (int i = 0; i < BOX && w.n < MINE; i++) {
        struct entry *e = &w.j->row[w.who].box[i];
        amx_id owner;
        if (amxi_ld64_sc(&e->word) != FULL)
            continue;
        struct mine m = {amxi_ld64_sc(&e->ref), amxi_ld64_sc(&e->n), amxi_ld64_sc(&e->key)};
        /* what a former life was given fell with it */
        if (amx_owner(w.h, m.ref, &owner) == AMX_OK && owner == amx_handle_id(w.h) && verified(&m, "given"))
            w.mine[w.n++] = m;
        amxi_st64_sc(&e->word, EMPTY);
    }
}

static void resize(void)
{
    struct mine m = pick();
    void *p;
    size_t n = rng_below(&w.r, 3000);
    amx_ref out = m.ref;
    int rc = amx_resize(w.h, m.ref, n, &out);
    expect("resize", rc, AMX_E_NOMEM, AMX_E_BUSY);
    m.ref = out;
    size_t same = rc || m.n < n ? m.n : n, whole = m.n <= STAMP_WHOLE ? same : 64;
    if (amx_ptr(w.h, m.ref, &p) || stamp_check_(p, 0, (same < whole ? same : whole) / 8 * 8, m.key) != SIZE_MAX)
        corrupt("resized", rc);
    else if (stamp_new(&m, out))
        w.mine[w.n++] = m;
}

static void free_some(void)
{
    amx_ref ref[8];
    size_t n = 0, done;
    while (n < 8 && w.n) {
        struct mine m = pick();
        if (verified(&m, "before it is freed"))
            ref[n++] = m.ref;
    }
    expect("free_many", amx_free_many(w.h, ref, n, &done), AMX_OK, AMX_OK);
    if (n && amx_free(w.h, ref[0]) == AMX_OK)
        corrupt("freed twice", AMX_OK);
}

static void change_state(void)
{
    const struct mine *m = &w.mine[rng_below(&w.r, w.n)];
    uint32_t state = 0;
    int e = amx_get_state(w.h, m->ref, AMX_ACQUIRE, &state);
    expect("get_state", e, AMX_OK, AMX_OK);
    if (state == AMX_STATE_ALLOCATED)
        expect("set_state", amx_set_state(w.h, m->ref, 100), AMX_OK, AMX_OK);
    else
        expect("transition",
               amx_transition(w.h, m->ref, state, 100 + (uint32_t)rng_below(&w.r, 100), AMX_ACQ_REL, NULL), AMX_OK,
               AMX_OK);
}

static int told(const struct amx_kept *k, void *ctx)
{
    (void)ctx;
    if (k->struct_size != sizeof *k)
        corrupt("told", AMX_OK);
    return 0;
}

static int enter(void)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    o.map_hint = test_hint((unsigned)((w.who * 3 + w.life) % 16));
    int e = amx_attach(w.name, &o, &w.h);
    for (int i = 0; i < 1000 && (e == AMX_E_BUSY || e == AMX_E_FULL); i++) { /* the dead are being buried */
        sched_yield();
        e = amx_attach(w.name, &o, &w.h);
    }
    if (!e)
        amxi_st64_sc(&w.j->row[w.who].id, amx_handle_id(w.h));
    return e;
}

/* Everything goes, and comes back under another address perhaps. */
static bool leave_and_come(void)
{
    amxi_st64_sc(&w.j->row[w.who].id, 0);
    w.n = 0; /* closing frees what is private */
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
    expect("unshare", amx_unshare(h), AMX_OK, AMX_OK);
}

static bool one(void)
{
    uint64_t blocks, dice = rng_below(&w.r, 1000);
    struct amx_stats s = {.struct_size = sizeof s};
    struct amx_check_result c = {.struct_size = sizeof c};
    struct mine m;
    if (dice < 300 && w.n < MINE) {
        if (make(&m))
            w.mine[w.n++] = m;
    } else if (dice < 480 && w.n) {
        m = pick();
        if (verified(&m, "before it is freed"))
            expect("free", amx_free(w.h, m.ref), AMX_OK, AMX_OK);
    } else if (dice < 600) {
        put();
    } else if (dice < 740) {
        take();
    } else if (dice < 800) {
        give();
    } else if (dice < 850) {
        look_in_box();
    } else if (dice < 900 && w.n) {
        resize();
    } else if (dice < 940 && w.n) {
        change_state();
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
    } else if (dice < 993) {
        return leave_and_come();
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
    while (there && w.n) {
        struct mine m = pick();
        if (verified(&m, "at the end"))
            expect("free", amx_free(w.h, m.ref), AMX_OK, AMX_OK);
    }
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

/* An entry in the hands of one who is dead. false: his block is not recovered yet. */
static bool settle(struct entry *e)
{
    struct mine m = {amxi_ld64_sc(&e->ref), amxi_ld64_sc(&e->n), amxi_ld64_sc(&e->key)};
    amx_id owner;
    if (m.ref && amx_owner(w.h, m.ref, &owner) == AMX_OK) {
        if (owner)
            return false;
        if (verified(&m, "left in the journal by a dead one"))
            expect("free", amx_free(w.h, m.ref), AMX_E_STALE, AMX_OK);
    }
    amxi_st64_sc(&e->ref, 0);
    amxi_st64_sc(&e->word, EMPTY);
    return true;
}

/* All those of lives that have ended. Returns how many had to be left. */
static unsigned settle_all(void)
{
    unsigned left = 0;
    for (unsigned i = 0; i < ENTRIES; i++) {
        struct entry *e = &w.j->entry[i];
        uint64_t word = amxi_ld64_sc(&e->word), state = word & 0xff, who = word >> 8 & 0xff;
        if ((state == PUTTING || state == TAKING) && who < w.workers && (p.life[who] > word >> 16 || !p.pid[who]))
            left += !settle(e);
    }
    return left;
}

static void kill_worker(unsigned i)
{
    must(kill(p.pid[i], SIGKILL) == 0 && wait_end(p.pid[i]) == 128 + SIGKILL);
    p.pid[i] = 0;
    p.kills++;
    amxi_st64_sc(&w.j->row[i].id, 0);
    for (int k = 0; k < BOX; k++) /* somebody may have died while he wrote there */
        if (amxi_ld64_sc(&w.j->row[i].box[k].word) == PUTTING)
            amxi_st64_sc(&w.j->row[i].box[k].word, EMPTY);
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
            expect("check beside the storm", amx_check(w.h, NULL, NULL, &c), AMX_OK, AMX_OK);
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
    for (unsigned i = 0; i < ENTRIES; i++)
        if (amxi_ld64_sc(&w.j->entry[i].word) == FULL)
            leaked += !settle(&w.j->entry[i]);
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
