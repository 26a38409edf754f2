/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   hostile [SECONDS [WORKERS]]
 * Metadata is damaged at random while processes, each a program of its own under AddressSanitizer, do every call on the
 * segment, and are killed and started again. By rounds of two seconds, each with a segment of its own:
 *   sectors  damage in the books and block headers of at most half of the sectors, small blocks: what lies in the other
 *            half keeps its bytes and answers every call; who asks for memory gets some all the time; at the end each
 *            sector of that half can be had whole, whoever was killed
 *   large    the same with blocks of several sectors; at the end what is whole is not counted
 *   all      damage anywhere but in payloads: nobody crashes, nobody hangs, what is not done is an error of the list
 * A sector is noted as hit before it is. Ends with one line:
 *   hostile: seconds=N damages=N operations=N errors=N quarantined=N crashes=N hangs=N wrong=N
 * wrong: claims that did not hold; crashes: processes that ended by themselves.
 */
#include "tests/fuzz/fuzz.h"

#include "amx_raw.h"
#include "arena.h"

#include <sys/mman.h>
#include <time.h>

__attribute__((visibility("default"))) const char *__asan_default_options(void); /* for the runtime to find */
const char *__asan_default_options(void)
{
    return "abort_on_error=1:handle_abort=1:quarantine_size_mb=8:detect_stack_use_after_return=0:detect_leaks=0";
}

enum { WORKERS_MAX = 16, MINE = 64, ENTRIES = 64, SECTORS = 1024, TRIES = 400, HANG_S = 40, ROUND_MS = 2000 };
enum round { IN_SECTORS, LARGE_TOO, IN_ALL, ROUNDS };

/* An entry of the journal: EMPTY -> BUSY -> FULL or GIVEN -> BUSY -> EMPTY. What a killed one leaves BUSY stays so. */
enum { EMPTY, BUSY, FULL, GIVEN };
struct entry {
    amxi_a64 word, ref, n, most, key;
};

struct row {
    amxi_a64 id;
    amxi_a64 operations, errors, wrong, step; /* step: which operation it is at */
};

struct journal {
    amxi_a64 over;
    amxi_a64 quarantined;
    amxi_a8 hit[SECTORS];
    struct row row[WORKERS_MAX + 1]; /* the last: who looks when the round is over */
    struct entry entry[ENTRIES];
};

struct mine {
    amx_ref ref;
    size_t n;    /* stamped bytes */
    size_t most; /* that were ever asked for: a block that shrinks may stay as it is */
    uint64_t key;
};

static struct {
    struct journal *j;
    struct row *row;
    enum round round;
    unsigned who, workers;
    uint64_t life, keys;
    amx_t *h;
    struct rng r;
    struct mine mine[MINE];
    unsigned n;
} w;

/* --- A worker ---------------------------------------------------------------------------------------------------- */

static void wrong(const char *what, int e, amx_ref ref)
{
    fprintf(stderr, "worker %u, life %" PRIu64 ", round of kind %d: %s: %s (reference %" PRIx64 ")\n", w.who, w.life,
            (int)w.round, what, amx_strerror(e), ref);
    (void)amxi_add64_rlx(&w.row->wrong, 1);
}

/* Counts an answer; none is outside the list. */
static bool done(const char *what, int e)
{
    if (e > 0 || e <= AMX_E_LAST_)
        wrong(what, e, 0);
    if (e)
        (void)amxi_add64_rlx(&w.row->errors, 1);
    return !e;
}

/* Does the block lie in sectors that were never damaged? Asked after what is to be judged. */
static bool unhurt(amx_ref ref, size_t n)
{
    const struct amxi_seg *s = w.h->seg;
    uint64_t first = AMXI_REF_UNIT(ref) - w.h->first_pu;
    if (w.round == IN_ALL)
        return false;
    for (uint64_t i = first >> s->g.su_log2; i <= (first + n / AMXI_UNIT) >> s->g.su_log2; i++)
        if (i < s->g.sectors && amxi_ld8_rlx(&w.j->hit[i]))
            return false;
    return true;
}

/* An operation on a block, which must be done if the block is unhurt. */
static bool on(const char *what, const struct mine *m, int e)
{
    if (e && unhurt(m->ref, m->n))
        wrong(what, e, m->ref);
    return done(what, e);
}

static bool verified(const struct mine *m, const char *when)
{
    void *p;
    if (!on(when, m, amx_ptr(w.h, m->ref, &p)))
        return false;
    if (stamped(p, m->n, m->key))
        return true;
    if (unhurt(m->ref, m->n))
        wrong(when, AMX_E_CORRUPT, m->ref);
    return false;
}

/* A block that a call has just given: n bytes of it are ours to write. */
static bool stamp_new(struct mine *m, amx_ref ref, size_t n)
{
    size_t most = m->ref == ref ? m->most : 0;
    const struct amxi_seg *s = w.h->seg;
    void *p;
    *m = (struct mine){ref, n, n > most ? n : most, mix64(w.life << 40 | (uint64_t)w.who << 32 | ++w.keys)};
    if (!on("a new block", m, amx_ptr(w.h, ref, &p)))
        return false;
    uint64_t at = (uint64_t)((uint8_t *)p - (uint8_t *)amxi_at(s, AMXI_R_DATA, 0)),
             end = s->g.size - s->g.region[AMXI_R_DATA].offset;
    if (at >= end || n > end - at) {
        wrong("a block that is not inside the segment", AMX_OK, ref);
        return false;
    }
    stamp(p, n, m->key);
    return true;
}

static size_t some_size(void)
{
    uint64_t dice = rng_below(&w.r, 100);
    if (dice < 85 || w.round == IN_SECTORS)
        return rng_below(&w.r, dice < 85 ? 600 : 6000);
    return rng_range(&w.r, 20000, 200000);
}

/* There are unhurt sectors, and few blocks: memory there is, though a damaged sector may be in the way first. */
static bool make(struct mine *m)
{
    size_t n = some_size();
    amx_ref ref;
    int e = AMX_E_NOMEM;
    for (int i = 0; e && i < TRIES; i++) {
        e = rng_below(&w.r, 10) ? amx_alloc(w.h, n, &ref)
                                : amx_alloc_aligned(w.h, (size_t)32 << rng_below(&w.r, 6), n, &ref);
        (void)done("alloc", e);
        if (n > 6000 || w.round == IN_ALL)
            break;
    }
    if (e && n <= 6000 && w.round != IN_ALL)
        wrong("starving beside sound sectors", e, 0);
    return !e && stamp_new(m, ref, n);
}

static struct mine take_one(void)
{
    unsigned i = (unsigned)rng_below(&w.r, w.n);
    struct mine m = w.mine[i];
    w.mine[i] = w.mine[--w.n];
    return m;
}

static void free_one(void)
{
    struct mine m = take_one();
    void *p;
    if (!verified(&m, "before it is freed"))
        (void)done("free", amx_free(w.h, m.ref));
    else if (rng_below(&w.r, 4) || amx_ptr(w.h, m.ref, &p))
        (void)on("free", &m, amx_free(w.h, m.ref));
    else
        (void)on("free_ptr", &m, amx_free_ptr(w.h, p));
    if (amx_free(w.h, m.ref) == AMX_OK && unhurt(m.ref, m.n))
        wrong("freed twice", AMX_OK, m.ref);
}

static void resize(void)
{
    struct mine m = take_one();
    void *p;
    size_t n = some_size();
    amx_ref out = m.ref;
    bool was = verified(&m, "before it is resized");
    if (!done("resize", amx_resize(w.h, m.ref, n, &out))) {
        if (was && verified(&m, "not resized"))
            w.mine[w.n++] = m;
        return;
    }
    size_t same = m.n < n ? m.n : n;
    if (was && same && unhurt(m.ref, m.n) && amx_ptr(w.h, out, &p) == AMX_OK && unhurt(out, n) &&
        stamp_check_(p, 0, (same < 64 ? same : 64) / 8 * 8, m.key) != SIZE_MAX && unhurt(m.ref, m.n) && unhurt(out, n))
        wrong("resized", AMX_OK, out);
    if (stamp_new(&m, out, n))
        w.mine[w.n++] = m;
}

static bool note_in(struct entry *e, const struct mine *m)
{
    uint64_t empty = EMPTY;
    if (!amxi_cas64_sc(&e->word, &empty, BUSY))
        return false;
    amxi_st64_sc(&e->n, m->n);
    amxi_st64_sc(&e->most, m->most);
    amxi_st64_sc(&e->key, m->key);
    amxi_st64_sc(&e->ref, m->ref); /* before it can outlive us */
    return true;
}

static struct entry *some_entry(void)
{
    return &w.j->entry[rng_below(&w.r, ENTRIES)];
}

static void publish(void)
{
    struct entry *e = some_entry();
    struct mine m = take_one();
    if (note_in(e, &m))
        amxi_st64_sc(&e->word, on("publish", &m, amx_publish(w.h, m.ref)) ? FULL : EMPTY);
    else
        w.mine[w.n++] = m;
}

/* To a handle that never looks; whoever finds it in the journal frees it, if it has not fallen with its owner. */
static void give(void)
{
    struct entry *e = some_entry();
    struct mine m = take_one();
    amx_id id = amxi_ld64_sc(&w.j->row[rng_below(&w.r, w.workers)].id);
    amx_ref out = m.ref;
    if (!note_in(e, &m)) {
        w.mine[w.n++] = m;
        return;
    }
    int rc = amx_give(w.h, m.ref, id, &out);
    if (rc && id && rc != AMX_E_PEER_DEAD)
        (void)on("give", &m, rc);
    else
        (void)done("give", rc);
    amxi_st64_sc(&e->ref, out);
    amxi_st64_sc(&e->word, GIVEN);
}

static void take(void)
{
    struct entry *e = some_entry();
    uint64_t was = amxi_ld64_sc(&e->word);
    if (w.n == MINE || (was != FULL && was != GIVEN) || !amxi_cas64_sc(&e->word, &was, BUSY))
        return;
    struct mine m = {amxi_ld64_sc(&e->ref), amxi_ld64_sc(&e->n), amxi_ld64_sc(&e->most), amxi_ld64_sc(&e->key)};
    if (was == GIVEN)
        (void)done("free of a gift", amx_free(w.h, m.ref));
    else if (verified(&m, "found in the journal") && on("adopt", &m, amx_adopt(w.h, m.ref)))
        w.mine[w.n++] = m;
    amxi_st64_sc(&e->ref, 0);
    amxi_st64_sc(&e->word, EMPTY);
}

static void change_state(void)
{
    const struct mine *m = &w.mine[rng_below(&w.r, w.n)];
    uint32_t state = 0;
    if (!on("get_state", m, amx_get_state(w.h, m->ref, AMX_ACQUIRE, &state)))
        return;
    if (state == AMX_STATE_ALLOCATED)
        (void)on("set_state", m, amx_set_state(w.h, m->ref, 100));
    else
        (void)on("transition", m,
                 amx_transition(w.h, m->ref, state, 100 + (uint32_t)rng_below(&w.r, 50), AMX_ACQ_REL, NULL));
}

static void many(void)
{
    amx_ref ref[6];
    amx_t *h;
    size_t n = 0;
    if (!done("share", amx_share(w.h, &h)))
        return;
    (void)done("alloc_many", amx_alloc_many(h, 100, 6, ref, &n));
    (void)done("free_many", amx_free_many(w.h, ref, n < 6 ? n : 6, NULL));
    (void)done("unshare", amx_unshare(h));
}

/* Frees of what is no block, and a write that is longer than the block. */
static void strays(void)
{
    static const uint8_t zeros[310000];
    struct mine m = {.ref = 1};
    if (w.n)
        m = w.mine[rng_below(&w.r, w.n)];
    (void)done("a stray", amx_free(w.h, rng_next(&w.r)));
    (void)done("a stray", amx_raw_ack(w.h, rng_next(&w.r)));
    (void)done("a stray", amx_free_ptr(w.h, w.h->data + (rng_below(&w.r, w.h->seg->g.size) | 1)));
    if (amx_write(w.h, m.ref, zeros, m.most / 2 * 3 + 4096) == AMX_OK && unhurt(m.ref, m.n))
        wrong("more written than there is", AMX_OK, m.ref);
    if (amx_free(w.h, m.ref ^ UINT64_C(1) << rng_below(&w.r, 32)) == AMX_OK && w.n && unhurt(m.ref, m.n))
        wrong("a stray free", AMX_OK, m.ref);
}

static int seen(const struct amx_block *b, void *ctx)
{
    (void)b;
    (void)ctx;
    return 0;
}

static int seen_peer(const struct amx_peer *p, void *ctx)
{
    (void)p;
    (void)ctx;
    return 0;
}

static void look(void)
{
    struct amx_stats s = {.struct_size = sizeof s};
    struct amx_check_result c = {.struct_size = sizeof c};
    amx_ref ref;
    uint64_t dice = rng_below(&w.r, 5);
    (void)(dice == 0   ? done("stat", amx_stat(w.h, &s))
           : dice == 1 ? done("check", amx_check(w.h, NULL, NULL, &c))
           : dice == 2 ? done("walk", amx_walk(w.h, seen, NULL))
           : dice == 3 ? done("root", amx_root_get(w.h, (unsigned)rng_below(&w.r, 16), &ref))
                       : done("peers", amx_peers(w.h, seen_peer, NULL)));
}

static void one(void)
{
    uint64_t dice = rng_below(&w.r, 1000);
    struct mine m = {0};
    amxi_st64_rlx(&w.row->step, dice);
    if (dice < 350 && w.n < MINE) {
        if (make(&m))
            w.mine[w.n++] = m;
    } else if (dice < 600 && w.n) {
        free_one();
    } else if (dice < 680 && w.n) {
        publish();
    } else if (dice < 760) {
        take();
    } else if (dice < 790 && w.n) {
        give();
    } else if (dice < 850 && w.n) {
        resize();
    } else if (dice < 900 && w.n) {
        change_state();
    } else if (dice < 940) {
        strays();
    } else if (dice < 960) {
        many();
    } else if (dice < 980) {
        (void)done("trim", amx_trim(w.h));
    } else if (dice < 988) {
        (void)done("recover", amx_recover(w.h, 0, NULL, NULL, NULL));
    } else if (dice < 994) {
        look();
    } else if (dice < 996) {
        (void)done("heal", amx_heal(w.h));
    }
}

static struct journal *journal(int fd)
{
    void *p = mmap(NULL, sizeof(struct journal), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(p != MAP_FAILED);
    return p;
}

/* Whoever comes late may find the dead unburied or nothing that he knows as a segment. */
static int enter(int fd)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    int e = AMX_E_BUSY;
    o.map_hint = test_hint((w.who * 3 + (unsigned)w.life) % 16);
    for (int i = 0; i < 1000 && (e == AMX_E_BUSY || e == AMX_E_FULL); i++, sched_yield())
        e = amx_attach_fd(fd, &o, &w.h);
    (void)done("attach", e);
    if (e && w.round != IN_ALL)
        wrong("attach", e, 0);
    return e;
}

static void begun(char **argv)
{
    w.j = journal(atoi(argv[3]));
    w.round = (enum round)atoi(argv[4]);
    w.who = (unsigned)atoi(argv[5]);
    w.life = strtoull(argv[6], NULL, 10);
    w.workers = (unsigned)atoi(argv[7]);
    w.r = rng_make(strtoull(argv[8], NULL, 10), w.life * (WORKERS_MAX + 1) + w.who);
    w.row = &w.j->row[w.who];
}

static int worker(char **argv)
{
    begun(argv);
    if (enter(atoi(argv[2])))
        return 0;
    amxi_st64_sc(&w.row->id, amx_handle_id(w.h));
    while (!amxi_ld64_acq(&w.j->over)) {
        one();
        (void)amxi_add64_rlx(&w.row->operations, 1);
    }
    amxi_st64_sc(&w.row->id, 0);
    while (w.n) {
        free_one();
        (void)amxi_add64_rlx(&w.row->operations, 1);
    }
    (void)done("close", amx_close(w.h));
    return 0;
}

/* --- When a round is over ---------------------------------------------------------------------------------------- */

static void settle(void)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        struct entry *e = &w.j->entry[i];
        struct mine m = {amxi_ld64_sc(&e->ref), amxi_ld64_sc(&e->n), amxi_ld64_sc(&e->most), amxi_ld64_sc(&e->key)};
        if (amxi_ld64_sc(&e->word) == FULL && verified(&m, "left in the journal"))
            (void)on("the last free", &m, amx_free(w.h, m.ref));
        else if (m.ref)
            (void)done("the last free", amx_free(w.h, m.ref));
    }
}

/* All is freed: how many of the unhurt sectors can be had whole? */
static void whole(bool sound)
{
    const struct amxi_seg *s = w.h->seg;
    static bool had[SECTORS];
    amx_ref ref;
    unsigned errors = 0;
    for (uint32_t n = 0; n <= s->g.sectors && errors < TRIES;) {
        int e = amx_alloc(w.h, ((size_t)s->g.su - 1) * AMXI_UNIT, &ref);
        if (e) {
            errors++; /* a damaged sector in the way, perhaps */
            continue;
        }
        had[(AMXI_REF_UNIT(ref) - w.h->first_pu) >> s->g.su_log2] = true;
        n++;
    }
    for (uint32_t i = 0; i < s->g.sectors; i++)
        if (!had[i] && (sound || !amxi_ld8_rlx(&w.j->hit[i]))) {
            fprintf(stderr, "sector %" PRIu32 " of %" PRIu32 ", never hit, is not whole\n", i, s->g.sectors);
            wrong("a sector lost", AMX_E_NOMEM, 0);
        }
}

static int last(char **argv)
{
    struct amx_stats s = {.struct_size = sizeof s};
    struct amx_check_result c = {.struct_size = sizeof c};
    begun(argv);
    if (enter(atoi(argv[2])))
        return 0;
    (void)done("recover", amx_recover(w.h, 0, NULL, NULL, NULL));
    settle();
    (void)done("trim", amx_trim(w.h));
    (void)done("heal", amx_heal(w.h));
    (void)done("check", amx_check(w.h, NULL, NULL, &c));
    if (done("stat", amx_stat(w.h, &s)))
        amxi_st64_rlx(&w.j->quarantined, s.sectors_bad);
    if (w.round == IN_SECTORS)
        whole(false);
    (void)done("close", amx_close(w.h));
    return 0;
}

/* --- The parent --------------------------------------------------------------------------------------------------- */

static struct {
    int journal, fd;
    uint64_t seed, damages, kills, crashes, hangs, sum[3], quarantined;
    pid_t pid[WORKERS_MAX + 1];
    uint64_t life[WORKERS_MAX + 1], operations[WORKERS_MAX + 1],
        since[WORKERS_MAX + 1]; /* since: seconds at that count */
    struct rng r;
} p;

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static void begin(unsigned i, const char *role)
{
    char text[7][24];
    const uint64_t v[7] = {(uint64_t)p.fd, (uint64_t)p.journal, w.round, i, ++p.life[i], w.workers, p.seed};
    for (int k = 0; k < 7; k++)
        snprintf(text[k], sizeof text[k], "%" PRIu64, v[k]);
    p.pid[i] = spawn(role, text[0], text[1], text[2], text[3], text[4], text[5], text[6], (char *)NULL);
    p.since[i] = now_ms();
}

static void end(unsigned i)
{
    must(kill(p.pid[i], SIGKILL) == 0);
    (void)wait_end(p.pid[i]);
    p.pid[i] = 0;
}

/* Has it ended, or does it do nothing any more? By itself it ends well only when told, or where nothing can be attached. */
static bool ended(unsigned i, bool may)
{
    int status;
    uint64_t n = amxi_ld64_rlx(&w.j->row[i].operations);
    if (waitpid(p.pid[i], &status, WNOHANG) == p.pid[i]) {
        p.pid[i] = 0;
        if (status != 0 || !may) {
            fprintf(stderr, "process %u of a round of kind %d ended with status %x\n", i, (int)w.round,
                    (unsigned)status);
            p.crashes++;
        }
        return true;
    }
    if (n != p.operations[i]) {
        p.operations[i] = n;
        p.since[i] = now_ms();
    } else if (now_ms() - p.since[i] > HANG_S * 1000) {
        fprintf(stderr, "process %u of a round of kind %d hangs in step %" PRIu64 "\n", i, (int)w.round,
                amxi_ld64_rlx(&w.j->row[i].step));
        p.hangs++;
        end(i);
        return true;
    }
    return false;
}

static void tick(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* the pace of the damage, nothing is waited for */
}

static void hurt(const struct amxi_seg *s, struct tape *t, uint64_t part, const uint32_t *order)
{
    uint64_t some = s->g.sectors / 2 * part / ROUND_MS + 1;
    uint32_t i = order[rng_below(&p.r, some < s->g.sectors / 2 ? some : s->g.sectors / 2)];
    p.damages++;
    if (w.round == IN_ALL) {
        damage(t, s->base, s->g.size, &s->g);
        return;
    }
    amxi_st8_rlx(&w.j->hit[i], 1);
    amxi_cb();
    damage_sector(t, s->base, &s->g, i);
}

static void one_round(uint64_t seed)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    struct tape t = tape_of_seed(seed);
    uint64_t order[SECTORS];
    uint32_t order32[SECTORS];
    o.size = 4 << 20;
    o.map_hint = test_hint(15);
    must(amx_create_memfd("hostile", &o, &w.h) == AMX_OK);
    const struct amxi_seg *s = w.h->seg;
    must(s->g.sectors <= SECTORS && (p.fd = dup(amx_fd(w.h))) >= 0);
    memset(w.j, 0, sizeof *w.j);
    for (uint64_t i = 0; i < s->g.sectors; i++)
        order[i] = i;
    rng_shuffle(&p.r, order, s->g.sectors);
    for (uint32_t i = 0; i < s->g.sectors; i++)
        order32[i] = (uint32_t)order[i];
    for (unsigned i = 0; i < w.workers; i++)
        begin(i, "worker");
    for (uint64_t from = now_ms(), at = 0; at < ROUND_MS; at = now_ms() - from) {
        tick();
        for (uint64_t n = rng_below(&p.r, 4); n; n--)
            hurt(s, &t, at, order32);
        for (unsigned i = 0; i < w.workers; i++) {
            bool killed = rng_below(&p.r, 600) == 0;
            if (killed) {
                end(i);
                p.kills++;
            }
            if (killed || ended(i, w.round == IN_ALL))
                begin(i, "worker");
        }
    }
    amxi_st64_rel(&w.j->over, 1); /* pairs with the acquire in worker */
    for (unsigned i = 0; i < w.workers; i++)
        while (p.pid[i] && !ended(i, true))
            tick();
    begin(WORKERS_MAX, "last");
    while (!ended(WORKERS_MAX, true))
        tick();
    for (unsigned i = 0; i <= WORKERS_MAX; i++) {
        p.sum[0] += amxi_ld64_rlx(&w.j->row[i].operations);
        p.sum[1] += amxi_ld64_rlx(&w.j->row[i].errors);
        p.sum[2] += amxi_ld64_rlx(&w.j->row[i].wrong);
    }
    p.quarantined += amxi_ld64_rlx(&w.j->quarantined);
    (void)amx_close(w.h);
    close(p.fd);
}

/* What `whole` asks of a damaged segment is so of a sound one. */
static void measure_the_measure(void)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    o.size = 4 << 20;
    must(amx_create_memfd("hostile", &o, &w.h) == AMX_OK);
    w.row = &w.j->row[WORKERS_MAX];
    whole(true);
    must(amxi_ld64_rlx(&w.row->wrong) == 0);
    must(amx_close(w.h) == AMX_OK);
}

int main(int argc, char **argv)
{
    if (argc > 8)
        return strcmp(argv[1], "worker") ? last(argv) : worker(argv);
    uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 120, from = now_ms();
    w.workers = argc > 2 ? (unsigned)atoi(argv[2]) : 4;
    must(seconds > 0 && w.workers > 0 && w.workers <= WORKERS_MAX);
    p.seed = test_seed();
    p.r = rng_make(p.seed, 4242);
    p.journal = memfd_create("journal", 0);
    must(p.journal >= 0 && ftruncate(p.journal, sizeof *w.j) == 0);
    w.j = journal(p.journal);
    measure_the_measure();
    for (uint64_t n = 0; now_ms() - from < seconds * 1000; n++) {
        w.round = (enum round)(n % ROUNDS);
        one_round(p.seed + n);
    }
    printf("hostile: seconds=%" PRIu64 " damages=%" PRIu64 " operations=%" PRIu64 " errors=%" PRIu64
           " quarantined=%" PRIu64 " crashes=%" PRIu64 " hangs=%" PRIu64 " wrong=%" PRIu64 "\n",
           (now_ms() - from) / 1000, p.damages, p.sum[0], p.sum[1], p.quarantined, p.crashes, p.hangs, p.sum[2]);
    return p.crashes || p.hangs || p.sum[2];
}
