/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kill before each store. The library, built with AMX_HOOK, calls amxi_hook before it changes a word of the segment.
 * A copy of the segment taken there is what a kill of the process at that instruction leaves to others. So at each:
 *   - amx_check_image of the copy must find nothing graver than AMX_GRADE_UNDONE;
 *   - the copy becomes a segment of its own, in which nobody lives; a survivor attaches and recovers it. Then the check
 *     finds nothing undone, every byte is accounted for, the blocks that outlive their owners are there, unharmed, and
 *     no other; when they are freed, one block can have all of the segment.
 * Three ways: the acting process dies and the other one lives; the acting one is stopped and the other one dies, then
 * both; both die at once. A process lives if the test holds the lock of its ticket on the copy. While the survivor
 * recovers, the same is done to it: its segment is copied before its stores, and one more survivor recovers the copy.
 *
 * AMX_COPIES=full or AMX_TEST_SCALE=1000 (make copies): each copy is recovered, in all three ways. Else each is checked,
 * and of those that a call leaves at one place in the code the first, second, fourth, eighth and every 16th is recovered.
 *
 * What this cannot show: that the compiler keeps the order of the stores, as the calls of the hook hold it back.
 */
#ifndef AMX_TEST_COPIES_H
#define AMX_TEST_COPIES_H

#include "scene.h"

enum { OFF = -1, DEPTH = 2, SIZE_MAX_COPY = 256 << 10, SEEN = 1 << 16 };

struct seen { /* how often a call came to a store */
    uint64_t key, n;
};

static struct {
    int level; /* whose stores are copied. 0: of the scene's; 1: of a survivor's; OFF: nobody's */
    const char *op;
    int who, actor; /* its handle and process */
    unsigned store; /* of the call */
    const void *site;
    uint64_t nth;         /* time that calls of this name come to it */
    unsigned living;      /* bits of peers, in the copy under examination */
    bool (*before)(void); /* at each store of level 0; false: no copy of it */
    uint64_t operations, stores, copies, undone, recoveries, again, sites;
    struct seen seen[SEEN];
    /* of a survivor's stores: all are copied, not some of each place; those whose copy and list equal, byte for byte,
     * ones that were recovered before need not be again */
    bool each_cut;
    uint64_t cuts, equal, list; /* list: of what must be in the copy, a hash */
    uint64_t *known;
} shots = {.level = OFF};

static struct grave { /* a copy, and the file in which a survivor finds it */
    alignas(64) uint8_t image[SIZE_MAX_COPY];
    int fd, lock_fd;
    const uint8_t *view;
    size_t size;
} grave[DEPTH + 1];

static inline bool everything(void)
{
    static int full = -1;
    const char *s = getenv("AMX_COPIES");
    if (full < 0)
        full = (s && strcmp(s, "full") == 0) || env_number("AMX_TEST_SCALE", 100) >= 1000;
    return full;
}

static inline uint64_t seen(const void *op, const void *site, int level)
{
    uint64_t key = mix64((uintptr_t)op * 31 + (uintptr_t)site * 4 + (unsigned)level) | 1;
    unsigned i = (unsigned)(key >> 32) % SEEN;
    while (shots.seen[i].key && shots.seen[i].key != key)
        i = (i + 1) % SEEN;
    shots.seen[i].key = key;
    return ++shots.seen[i].n;
}

/* --- Judging a segment ------------------------------------------------------------------------------------------- */

static inline int tell(const struct amx_finding *f, void *worst)
{
    if ((int)f->grade > *(int *)worst && !sc.damaged)
        print_error("grade %d, sector %u, offset %" PRIu64 ", %s: %s\n", (int)f->grade, f->sector, f->offset, f->rule,
                    f->text);
    return 0;
}

static inline void judge_image(const void *image, enum amx_grade worst)
{
    struct amx_check_result r = {.struct_size = sizeof r};
    int w = (int)worst, e = amx_check_image(image, sc.g.size, tell, &w, &r);
    shots.undone += r.undone != 0;
    if (sc.damaged)
        return;
    ok(e);
    assert_true(worst >= AMX_GRADE_UNDONE || r.undone == 0);
}

static inline void judge(const amx_t *h, enum amx_grade worst)
{
    struct amx_check_result r = {.struct_size = sizeof r};
    int w = (int)worst;
    ok(amx_check(h, tell, &w, &r));
    assert_true(worst >= AMX_GRADE_UNDONE || (r.undone == 0 && r.busy == 0));
}

static inline bool outlives(const struct item *it, unsigned living)
{
    return it->peer == NOBODY || living >> it->peer & 1 || it->state >= AMX_STATE_KEPT;
}

/* all: recovery is done with everybody who does not live. */
static inline void judge_item(const amx_t *h, const struct item *it, unsigned living, bool all)
{
    void *p;
    uint32_t state;
    amx_id id;
    int e = amx_ptr(h, it->ref, &p);
    if (it->at_stake) {
        assert_true(e == AMX_OK || e == AMX_E_STALE);
        assert_true(e || stamp_check_(p, 0, it->sure, it->key) == SIZE_MAX);
        return;
    }
    ok(e);
    assert_true(stamp_check_(p, 0, it->n, it->key) == SIZE_MAX);
    ok(amx_get_state(h, it->ref, AMX_ACQUIRE, &state));
    assert_int_equal(state, it->state);
    ok(amx_owner(h, it->ref, &id));
    if (it->peer == NOBODY || living >> it->peer & 1)
        assert_int_equal(AMXI_ID_TAG(id), it->tag);
    else if (all)
        assert_int_equal(id, 0);
}

static inline bool is_word(uint64_t w, uint32_t state, uint32_t tag, int peer, unsigned living, bool all)
{
    bool dead = peer != NOBODY && !(living >> peer & 1);
    uint32_t to = state < AMX_STATE_KEPT ? WORD_FREE : state;
    return (dead && AMXI_W0_STATE(w) == to && AMXI_W0_OWNER(w) == 0) ||
           (!(dead && all) && AMXI_W0_STATE(w) == state && AMXI_W0_OWNER(w) == tag);
}

static inline int is_ours(const struct amx_object *o, void *ctx)
{
    *(bool *)ctx |= o->ref == sc.object.ref && o->count == WORDS && o->to == WORD_FREE;
    return 0;
}

/* all: as in judge_item. */
static inline void judge_object(const amx_t *h, unsigned living, bool all)
{
    bool there = false;
    if (!sc.object.ref)
        return;
    ok(amx_objects(h, is_ours, &there));
    assert_true(there == sc.object.there || sc.object.at_stake);
    for (unsigned k = 0; k < WORDS; k++) {
        const struct word *it = &sc.object.word[k];
        void *p;
        ok(amx_ptr(h, sc.object.ref, &p));
        uint64_t w = amxi_ld64_rlx((amxi_a64 *)p + k * 2);
        assert_true(is_word(w, it->state, it->tag, it->peer, living, all) ||
                    (it->at_stake && is_word(w, it->next, it->next_tag, it->next_peer, living, all)));
    }
}

struct census {
    unsigned living, listed, more, heirs, of_slots;
    struct cells cells;
    uint64_t live_bytes;
};

static inline int count_block(const struct amx_block *b, void *ctx)
{
    struct census *c = ctx;
    if (!amxi_state_live(b->state))
        return 0;
    c->live_bytes += b->bytes;
    unsigned i = find_item(b->ref);
    if (i == sc.n) {
        unsigned of_slot = is_of_slot(&c->cells, b->ref);
        c->of_slots += of_slot;
        c->more += !of_slot;
        return 0;
    }
    c->listed++;
    assert_true(sc.item[i].at_stake || outlives(&sc.item[i], c->living));
    c->heirs += sc.item[i].heir;
    return 0;
}

/* Nobody is inside, and only those named live: exactly the blocks that outlive their owners are there. */
static inline void judge_all(const amx_t *h, unsigned living)
{
    struct amx_stats s = {.struct_size = sizeof s};
    struct census c = {.living = living};
    unsigned sure = 0, heirs = 0;
    judge(h, AMX_GRADE_NOTE);
    cells_of(h, &c.cells);
    ok(amx_walk(h, count_block, &c));
    assert_int_equal(c.of_slots, c.cells.n); /* each has its own */
    for (unsigned i = 0; i < sc.n; i++) {
        const struct item *it = &sc.item[i];
        sure += !it->at_stake && outlives(it, living);
        heirs += it->heir;
        if (it->at_stake || outlives(it, living))
            judge_item(h, it, living, true);
    }
    assert_true(c.listed >= sure && c.more <= sc.more);
    assert_true(c.heirs + c.more >= heirs);
    ok(amx_stat(h, &s));
    assert_int_equal(s.lost_bytes + s.unseen_bytes + s.sectors_held + s.sectors_bad, 0);
    assert_int_equal(s.free_bytes + s.live_bytes + s.cached_bytes + s.acked_bytes, s.data_bytes);
    assert_true(s.live_bytes >= c.live_bytes); /* what lies in front of an aligned large block is counted with it */
    assert_int_equal(s.live_blocks, c.listed + c.more + c.of_slots);
    assert_true(living || s.cached_bytes + s.acked_bytes == 0);
    judge_object(h, living, true);
    judge_pool(h, living, true);
    judge_store(h, living, true);
}

/* Somebody is stopped in the middle: what is not his work is there, and others go on without him. */
static inline void judge_around(amx_t *h, unsigned living)
{
    amx_ref ref;
    judge(h, AMX_GRADE_UNDONE);
    for (unsigned i = 0; i < sc.n; i++)
        if (sc.item[i].at_stake || outlives(&sc.item[i], living))
            judge_item(h, &sc.item[i], living, false);
    judge_object(h, living, false);
    judge_pool(h, living, false);
    judge_store(h, living, false);
    int e = amx_alloc(h, 40, &ref);
    assert_true(e == AMX_OK || e == AMX_E_NOMEM || e == AMX_E_BUSY);
    if (!e)
        ok(amx_free(h, ref));
    e = amx_trim(h);
    assert_true(e == AMX_OK || e == AMX_E_PARTIAL);
}

struct refs {
    amx_ref ref[BLOCKS];
    size_t n;
};

static inline int note_ref(const struct amx_block *b, void *ctx)
{
    struct refs *r = ctx;
    if (b->ref) {
        assert_true(r->n < BLOCKS);
        r->ref[r->n++] = b->ref;
    }
    return 0;
}

static inline int note_object(const struct amx_object *o, void *ctx)
{
    *(uint64_t *)ctx = o->id;
    return 0;
}

/* All that lived is freed: one block can have the whole segment. */
static inline void judge_whole(amx_t *h)
{
    struct amx_segment_info info = {.struct_size = sizeof info};
    struct amx_stats s = {.struct_size = sizeof s};
    struct refs all = {.n = 0};
    amx_ref ref;
    judge_pool_whole(h);
    judge_store_whole(h);
    for (uint64_t id = 1; id;) {
        id = 0;
        ok(amx_objects(h, note_object, &id));
        if (id)
            ok(amx_object_remove(h, id));
    }
    ok(amx_walk(h, note_ref, &all));
    ok(amx_free_many(h, all.ref, all.n, NULL));
    ok(amx_trim(h));
    ok(amx_heal(h));
    ok(amx_stat(h, &s));
    assert_int_equal(s.sectors_whole, sc.g.sectors);
    assert_int_equal(s.free_bytes, s.data_bytes);
    ok(amx_info(h, &info));
    assert_int_equal(info.peers_used, 1);
    assert_int_equal(info.handles_used, 1);
    ok(amx_alloc(h, info.max_request, &ref));
    ok(amx_free(h, ref));
    judge(h, AMX_GRADE_NOTE);
}

/* --- A survivor -------------------------------------------------------------------------------------------------- */

static inline void grave_dig(struct grave *g)
{
    char path[32];
    if (g->size == sc.g.size)
        return;
    if (g->size) {
        assert_int_equal(munmap((void *)(uintptr_t)g->view, g->size), 0);
        assert_int_equal(close(g->fd), 0);
        assert_int_equal(close(g->lock_fd), 0);
    }
    g->size = sc.g.size;
    assert_true(g->size <= sizeof g->image);
    g->fd = memfd_create("grave", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(ftruncate(g->fd, (off_t)g->size), 0);
    assert_int_equal(fcntl(g->fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", g->fd);
    g->lock_fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(g->lock_fd >= 0);
    void *p = mmap(NULL, g->size, PROT_READ, MAP_SHARED, g->fd, 0);
    assert_true(p != MAP_FAILED);
    g->view = p;
}

/* The locks of those who live, and no others. */
static inline void life_lines(const struct grave *g, unsigned living)
{
    struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    assert_int_equal(fcntl(g->lock_fd, F_OFD_SETLK, &l), 0);
    for (int i = 0; i < PEERS; i++) {
        l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
        l.l_start = AMXI_LOCK_TICKET + (int64_t)sc.ticket[i];
        if (living >> i & 1)
            assert_int_equal(fcntl(g->lock_fd, F_OFD_SETLK, &l), 0);
    }
}

/* In the copy nobody is who he was: a process of the number below never exists. Only locks say who lives. */
static inline void bury(struct grave *g)
{
    for (uint32_t i = 0; i < sc.g.peers; i++) {
        struct amxi_peer_body *b = (struct amxi_peer_body *)(void *)(g->image + sc.g.region[AMXI_R_PEERS].offset);
        amxi_st64_rlx(&b[i].pid, INT32_MAX | amxi_ld64_rlx(&b[i].pid) >> 32 << 32);
    }
    assert_int_equal(pwrite(g->fd, g->image, g->size, 0), g->size);
}

/* Attaches to the copy of a level and recovers it, with `living` still there, then with nobody. */
static inline void survive(int level, unsigned living)
{
    struct grave *g = &grave[level];
    struct amx_options o = AMX_OPTIONS_INIT;
    bool bystander = living && !(living >> shots.actor & 1) && !sc.held;
    amx_t *h;
    int e;
    shots.living = living;
    shots.recoveries++;
    shots.again += level > 1;
    grave_dig(g);
    bury(g);
    life_lines(g, living);
    o.map_hint = test_hint((unsigned)level);
    o.peer_name = "survivor";
    if (level < DEPTH) /* of the survivor, for those who see him stopped */
        sc.ticket[2] = 1 + amxi_ld64_rlx(&((const struct amxi_head_body *)(const void *)g->image)->tickets);
    shots.level = level < DEPTH ? level : OFF;
    e = amx_attach_fd(g->fd, &o, &h); /* recovers too */
    if (sc.full && living && e == AMX_E_FULL) {
        sc.ticket[2] = 0;
        shots.level = OFF;
        return;
    }
    ok(e);
    if (living) {
        e = amx_recover(h, 0, NULL, NULL, NULL);
        assert_true(e == AMX_OK || e == AMX_E_PARTIAL || sc.damaged);
        recover_plain(h, living);
        recover_plain_store(h, living);
        shots.level = OFF;
        if (bystander && !sc.damaged)
            ok(e);
        if (bystander && !sc.damaged)
            judge_all(h, living);
        else if (!sc.damaged)
            judge_around(h, living);
        life_lines(g, 0);
        shots.living = 0;
        shots.level = level < DEPTH ? level : OFF;
    }
    e = amx_recover(h, 0, NULL, NULL, NULL);
    recover_plain(h, 0);
    recover_plain_store(h, 0);
    shots.level = OFF;
    if (!sc.damaged) {
        ok(e);
        if (living)
            ok(amx_heal(h)); /* what we ourselves had to queue behind somebody who was stopped */
        judge_all(h, 0);
        judge_whole(h);
    }
    ok(amx_close(h));
    if (level < DEPTH)
        sc.ticket[2] = 0;
    if (!sc.damaged)
        judge_image(g->view, AMX_GRADE_NOTE);
}

/* --- The hook ---------------------------------------------------------------------------------------------------- */

static inline void copy(int level)
{
    memcpy(grave[level].image, level == 1 ? sc.view : grave[level - 1].view, sc.g.size);
    shots.copies++;
}

/* The acting process dies; is stopped, and the other one dies; both die. */
static inline void kill_here(uint64_t n)
{
    unsigned actor = 1u << shots.actor, all = 0;
    for (int i = 0; i < PEERS; i++)
        all |= sc.ticket[i] ? 1u << i : 0;
    const unsigned living[] = {all & ~actor, all & actor, 0};
    for (unsigned k = 0; k < 3; k++) {
        if (k < 2 && !living[k])
            continue;
        if (!everything() && n > 1 && (unsigned)__builtin_ctzll(n) % 3 != k)
            continue;
        if (k)
            memcpy(grave[1].image, sc.view, sc.g.size);
        survive(1, living[k]);
    }
}

/* --- Copies that were judged before ------------------------------------------------------------------------------ */

enum { KNOWN = 1 << 24 };

static inline uint64_t hash_words(uint64_t h, const uint64_t *p, size_t n)
{
    uint64_t a[4] = {h, h + 1, h + 2, h + 3};
    for (size_t i = 0; i + 4 <= n; i += 4)
        for (unsigned k = 0; k < 4; k++) {
            a[k] = (a[k] ^ p[i + k]) * UINT64_C(0x9e3779b97f4a7c15);
            a[k] ^= a[k] >> 29;
        }
    for (unsigned k = 1; k < 4; k++)
        a[0] = mix64(a[0] ^ a[k]);
    return a[0];
}

/* What is to be in a copy, as one number. */
static inline void list_made(void)
{
    uint64_t h = mix64(sc.n + 2 * sc.more + 4 * sc.held + 8 * sc.full + 16 * sc.damaged);
    for (unsigned i = 0; i < sc.n; i++) {
        const struct item *it = &sc.item[i];
        h = mix64(h ^ it->ref) + mix64(h ^ it->key ^ it->n << 40) + (it->state + ((uint64_t)it->tag << 12));
        h = mix64(h ^ (uint64_t)(it->peer + 1) ^ (uint64_t)it->at_stake << 8 ^ (uint64_t)it->heir << 9 ^
                  it->sure << 16);
    }
    h = mix64(h ^ sc.object.ref ^ (uint64_t)sc.object.there << 1 ^ (uint64_t)sc.object.at_stake << 2);
    for (unsigned k = 0; k < WORDS; k++) {
        const struct word *w = &sc.object.word[k];
        h = mix64(h ^ w->state ^ (uint64_t)w->tag << 12 ^ (uint64_t)(w->peer + 1) << 24 ^ (uint64_t)w->at_stake << 28 ^
                  (uint64_t)w->next << 32 ^ (uint64_t)w->next_tag << 44);
    }
    h = mix64(h ^ sc.pool.block ^ sc.pool.total ^ (uint64_t)sc.pool.at_stake << 33 ^ (uint64_t)sc.pool.growth << 34 ^
              (uint64_t)sc.pool.more << 44) ^
        (uint64_t)sc.pool.quota << 12 ^ (uint64_t)sc.pool.next << 20;
    for (unsigned k = 0; k < sc.pool.n; k++) {
        const struct slot *s = &sc.pool.slot[k];
        h = mix64(h ^ s->ref) + mix64(h ^ s->key ^ (uint64_t)s->state << 32 ^ (uint64_t)s->tag << 44) +
            (uint64_t)(s->peer + 1);
        if (s->at_stake)
            h = mix64(h ^ s->next_ref ^ s->gone) + mix64(h ^ s->next_state ^ (uint64_t)s->next_tag << 12 ^ s->lost);
    }
    h = mix64(h ^ sc.store.block ^ (uint64_t)sc.store.at_stake << 33 ^ sc.store.more_key << 34 ^
              (uint64_t)sc.store.more << 44);
    for (unsigned k = 0; k < sc.store.n; k++) {
        const struct message *m = &sc.store.message[k];
        h = mix64(h ^ m->token) + mix64(h ^ m->key ^ (uint64_t)m->size << 32 ^ (uint64_t)m->tag << 44);
        h = mix64(h ^ (uint64_t)(m->writer + 1) ^ (uint64_t)m->poisoned << 8 ^ (uint64_t)m->begun << 9 ^
                  (uint64_t)m->wild << 10 ^ (uint64_t)m->at_stake << 11 ^ (uint64_t)m->lost << 12);
        for (int who = 0; who < SLOTS; who++)
            h = mix64(h + m->reader[who]);
        if (m->at_stake)
            h = mix64(h ^ m->next_key ^ (uint64_t)m->next_size << 32 ^ (uint64_t)m->by_tag << 44 ^ m->may);
    }
    shots.list = h;
}

/* false: this very copy was recovered before, with the same list. */
static inline bool new_copy(int level, unsigned way)
{
    struct grave *g = &grave[level];
    uint64_t h;
    if (!shots.known)
        assert_non_null(shots.known = calloc(KNOWN, sizeof *shots.known));
    for (uint32_t i = 0; i < sc.g.peers; i++) { /* the only thing in it that says when it was */
        struct amxi_peer_body *b = (struct amxi_peer_body *)(void *)(g->image + sc.g.region[AMXI_R_PEERS].offset);
        amxi_st64_rlx(&b[i].since_ns, 0);
    }
    h = hash_words(shots.list + way, (const uint64_t *)(const void *)g->image, g->size / 8) | 1;
    for (size_t i = h >> 40;; i = (i + 1) % KNOWN) {
        if (shots.known[i] == h)
            return false;
        if (!shots.known[i]) {
            shots.known[i] = h;
            return true;
        }
    }
}

__attribute__((noinline)) static void store_of(int level, const void *site)
{
    uint64_t n = seen(shots.op, site, shots.before ? DEPTH + level : level);
    bool power = (n & (n - 1)) == 0, nth = power || n % 16 == 0;
    if (level == 0) {
        shots.store++;
        shots.stores++;
        shots.site = site;
        shots.nth = n;
        shots.sites += seen(NULL, site, 0) == 1;
        if (shots.before && !shots.before())
            return;
        copy(1);
        judge_image(grave[1].image, AMX_GRADE_UNDONE);
        if (nth || everything())
            kill_here(n);
        return;
    }
    shots.sites += seen(NULL, site, 0) == 1;
    shots.cuts += shots.each_cut;
    bool chosen = n == 1 || (power && everything());
    if (!chosen && !shots.each_cut)
        return;
    unsigned living = shots.living;
    int actor = shots.actor;
    shots.actor = peer_of[STRANGER];
    copy(level + 1);
    if (shots.each_cut && !chosen && !new_copy(level + 1, 0)) {
        shots.equal++;
    } else {
        judge_image(grave[level + 1].image, AMX_GRADE_UNDONE);
        survive(level + 1, 0);
    }
    if (chosen) {
        memcpy(grave[level + 1].image, grave[level].view, sc.g.size);
        survive(level + 1, 1u << shots.actor); /* the recoverer is stopped, then killed */
    }
    shots.actor = actor;
    shots.living = living;
}

void amxi_hook(const volatile void *addr, size_t len);
void amxi_hook(const volatile void *addr, size_t len)
{
    int level = shots.level;
    (void)addr;
    (void)len;
    if (level == OFF)
        return;
    shots.level = OFF;
    store_of(level, __builtin_return_address(0));
    shots.level = level;
}

static inline void aim(int who, const char *op)
{
    shots.op = op;
    shots.who = who;
    shots.actor = peer_of[who];
    shots.store = 0;
    shots.operations++;
    shots.level = 0;
}

static inline int lower(int answer)
{
    shots.level = OFF;
    shots.op = NULL;
    return answer;
}

/* After each test: where it failed, if it did. Then survivors are still attached to the graves. */
static inline int told(void **state)
{
    (void)state;
    if (shots.op) {
        print_error("in `%s` by process %d, before store %u (called from %p); in the copy live %#x\n", shots.op,
                    shots.actor, shots.store, shots.site, shots.living);
        for (int i = 0; i <= DEPTH; i++)
            grave[i].size = 0;
    }
    shots.level = OFF;
    shots.op = NULL;
    shots.before = NULL;
    return 0;
}

/* --- Playing ------------------------------------------------------------------------------------------------------ */

static const struct {
    uint64_t size;
    uint32_t sector;
} shape[] = {{64 << 10, 4 << 10}, {256 << 10, 8 << 10}};

typedef void play_fn(struct rng *r);

/* In segments of both shapes, and in each crowd. */
static inline void in_each(play_fn *play)
{
    for (unsigned k = 0; k < sizeof shape / sizeof *shape; k++)
        for (int how = EMPTY; how < CROWDS; how++) {
            struct rng r = rng_make(k, (uint64_t)how);
            scene_open(shape[k].size, shape[k].sector);
            crowd((enum crowd)how, &r);
            play(&r);
            scene_close();
        }
}

/* A test: these one after the other. */
#define PLAY(name, ...)                                                                                                \
    static void name(void **state)                                                                                     \
    {                                                                                                                  \
        static play_fn *const part[] = {__VA_ARGS__};                                                                  \
        (void)state;                                                                                                   \
        for (unsigned i = 0; i < sizeof part / sizeof *part; i++)                                                      \
            in_each(part[i]);                                                                                          \
    }
#define PLAYED(name) cmocka_unit_test_teardown(name, told)

static inline void totals(void **state)
{
    (void)state;
    note("%" PRIu64 " calls, %" PRIu64 " stores at %" PRIu64 " places in the code; %" PRIu64 " copies checked, %" PRIu64
         " of them with something undone; %" PRIu64 " recovered, %" PRIu64 " of them killed in recovery",
         shots.operations, shots.stores, shots.sites, shots.copies, shots.undone, shots.recoveries, shots.again);
    assert_true(shots.copies >= shots.stores / 2);
    assert_true(shots.recoveries > 1000 && shots.again > 100);
}

#endif
