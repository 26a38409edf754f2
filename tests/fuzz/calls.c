/* SPDX-License-Identifier: Apache-2.0 */
/* All calls and all verbs on a segment that may be damaged at any moment, also within a call. */
#include "tests/crash/calls.h"
#include "tests/arena_calls.h"
#include "tests/fuzz/fuzz.h"
#include "tests/look_kit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { NAME_ROOM = 256, REFS = 32, SOUND = 6, WITH_POOLS = 4, WITH_STORES = 5 };

static struct sound sound[SOUND];
char fuzz_file[NAME_ROOM];

/* --- The claims --------------------------------------------------------------------------------------------------- */

/* What happens within calls: the tape's damage after so many stores, or a death. */
static struct {
    struct tape *t;
    uint64_t stores; /* until then; 0: never */
    bool die;
} within;

static struct { /* attachments that write: P's and Q's */
    uint8_t *base;
    const struct amxi_geometry *g;
} place[2];

static void strike(void)
{
    for (int i = 0; i < 2; i++)
        if (place[i].base && place[i].g) {
            damage(within.t, place[i].base, place[i].g->size, place[i].g);
            return;
        }
}

/* Before each store of the library: it goes to the segment, and not to its constants. (While it attaches nobody has told
 * us the geometry; the mapping's bounds catch it then.) */
void amxi_hook(const volatile void *addr, size_t len)
{
    for (int i = 0; i < 2; i++) {
        uint64_t at = (uint64_t)((uintptr_t)addr - (uintptr_t)place[i].base);
        if (place[i].base && place[i].g && at < place[i].g->max_size)
            must(at >= offsetof(struct amxi_head_body, tickets) && at + len <= place[i].g->size);
    }
    if (within.stores && --within.stores == 0) {
        if (within.die)
            _exit(0);
        strike();
    }
}

/* A result or an error, and not a number that no header knows. */
static void answer(int e)
{
    must(e <= AMX_OK && e > AMX_E_LAST_);
}

/* What a call says to be a payload is one: within the data, and there. */
static void payload(const amx_t *h, const void *p, size_t n, bool write)
{
    const struct amxi_geometry *g = &h->seg->g;
    uint64_t at = (uint64_t)((uintptr_t)p - (uintptr_t)h->seg->base), data = g->region[AMXI_R_DATA].offset;
    uint64_t end = data + ((uint64_t)g->sectors << g->sector_log2);
    must(at > data && at < end && n <= end - at);
    if (write)
        memset((void *)(uintptr_t)p, 0x5a, n);
}

/* When the damage comes: to the file, after attaching, between two stores of a call; or all the time, from a thread that
 * stands for another process. With the last one a seed may need some tries to do
 * the same again: SEED alone makes 200. */
enum when { BEFORE, BETWEEN, WITHIN, MEANWHILE };

static struct {
    struct tape t;
    const struct amxi_geometry *g;
    pthread_t thread;
    int go;
} other;

static void *write_on(void *base)
{
    uint8_t constants[offsetof(struct amxi_head_body, tickets)];
    memcpy(constants, base, sizeof constants);
    while (__atomic_load_n(&other.go, __ATOMIC_RELAXED)) {
        damage(&other.t, base, other.g->size, other.g);
        memcpy(base, constants, sizeof constants); /* else nobody could attach */
    }
    must(munmap(base, other.g->size) == 0);
    return NULL;
}

static void other_begin(struct tape *t, const struct amxi_geometry *g)
{
    int fd = open(fuzz_file, O_RDWR | O_CLOEXEC);
    void *base = mmap(NULL, g->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(fd >= 0 && base != MAP_FAILED && close(fd) == 0);
    other.t = tape_of_seed(pick(t, 0));
    other.g = g;
    other.go = 1;
    must(pthread_create(&other.thread, NULL, write_on, base) == 0);
}

static void other_end(void)
{
    __atomic_store_n(&other.go, 0, __ATOMIC_RELAXED);
    must(pthread_join(other.thread, NULL) == 0);
}

/* --- Calls -------------------------------------------------------------------------------------------------------- */

struct run {
    struct tape *t;
    amx_t *slot[SLOTS];
    amx_ref ref[REFS];
    uint64_t object; /* id of one that was added, and its block */
    amx_ref object_ref;
    amx_ref pool_block; /* of a pool, and where it begins there */
    uint64_t pool_base;
    amx_slot pool_slot[REFS];
    amx_ref store_block; /* of a store */
    amx_token token[REFS];
};

static amx_ref *some_ref(struct run *r)
{
    return &r->ref[pick(r->t, REFS)];
}

static int note_block(const struct amx_block *b, void *ctx)
{
    struct run *r = ctx;
    if (b->ref && (b->sectors > 1 || pick(r->t, 4) == 0)) /* a quarter is kept for large ones */
        r->ref[b->sectors > 1 ? pick(r->t, REFS / 4) : REFS / 4 + pick(r->t, REFS - REFS / 4)] = b->ref;
    return 0;
}

static int note_object(const struct amx_object *o, void *ctx)
{
    struct run *r = ctx;
    size_t n;
    r->object = o->id;
    *some_ref(r) = r->object_ref = o->ref;
    if (!other.go && !amx_usable(r->slot[P], o->ref, &n)) /* all its words are in its block */
        must(o->count && o->first <= n && (o->count - 1) * (uint64_t)o->stride + 8 <= n - o->first);
    return 0;
}

static int note_peer(const struct amx_peer *p, void *ctx)
{
    (void)ctx;
    must(memchr(p->name, 0, sizeof p->name) != NULL);
    return 0;
}

static int note_finding(const struct amx_finding *f, void *ctx)
{
    (void)ctx;
    must(f->rule && f->text && *f->text);
    return 0;
}

static int note_kept(const struct amx_kept *k, void *ctx)
{
    struct run *r = ctx;
    *some_ref(r) = k->ref;
    return pick(r->t, 8) ? (int)pick(r->t, 2) * AMX_KEPT_TAKE : AMX_E_TIMEOUT;
}

static uint64_t some_size(struct run *r)
{
    uint64_t n = (uint64_t)1 << pick(r->t, 17);
    return pick(r->t, 4) ? n % 1024 : pick(r->t, n);
}

#include "pool_steps.h"
#include "store_steps.h"

/* Something that changes the segment, by one of the handles. */
static void step(struct run *r)
{
    static const uint8_t verbs[] = {V_ALLOC,      V_ALLOC,         V_ALLOC,   V_ZALLOC,    V_ALIGNED,    V_WAIT,
                                    V_MANY,       V_FREE,          V_FREE,    V_FREE_PTR,  V_FREE_MANY,  V_RAW_ALLOC,
                                    V_ACK,        V_COALESCE,      V_FREE_AT, V_RESIZE,    V_WRITE,      V_PUBLISH,
                                    V_PUBLISH,    V_ADOPT,         V_GIVE,    V_SET_STATE, V_TRANSITION, V_ROOT_SET,
                                    V_ROOT_CAS,   V_TRIM,          V_HEAL,    V_SHARE,     V_UNSHARE,    V_OBJECT_ADD,
                                    V_OBJECT_ADD, V_OBJECT_REMOVE, V_WORD,    V_ATTACH};
    static const uint16_t states[] = {60, 61, 100, 2047, 2048, 3000, 4095};
    struct call c = {.verb = verbs[pick(r->t, sizeof verbs)]};
    uint32_t who = (uint32_t[]){P, P, Q, MORE, MORE + 1}[pick(r->t, 5)];
    if (!r->slot[who])
        who = P;
    if (pick(r->t, r->store_block ? 2 : 16) == 0) {
        store_step(r, who);
        return;
    }
    if (pick(r->t, r->pool_block ? 2 : 16) == 0) {
        pool_step(r, who);
        return;
    }
    c.n = some_size(r);
    c.align = (uint64_t)1 << pick(r->t, 13);
    c.ref = *some_ref(r);
    c.offset = offset_of(c.ref);
    c.count = 1 + (uint32_t)pick(r->t, CALL_REFS);
    c.state = states[pick(r->t, 7)];
    c.next = states[pick(r->t, 7)];
    c.order = (uint32_t)pick(r->t, 5);
    c.slot = MORE + (uint32_t)pick(r->t, 2);
    if (c.verb == V_ROOT_SET || c.verb == V_ROOT_CAS)
        c.n %= AMX_ROOTS;
    if (c.verb == V_GIVE)
        c.to = amx_handle_id(r->slot[pick(r->t, 2) || !r->slot[Q] ? P : Q]);
    if (c.verb == V_WRITE)
        c.n %= sizeof c.refs;
    if (c.verb == V_FREE_MANY || c.verb == V_WRITE)
        for (uint32_t i = 0; i < c.count; i++)
            c.refs[i] = *some_ref(r);
    if (c.verb == V_OBJECT_REMOVE || c.verb == V_WORD)
        c.got = r->object;
    if (c.verb == V_OBJECT_ADD)
        (void)amx_publish(r->slot[who], c.ref);
    if (c.verb == V_WORD) {
        size_t n;
        c.ref = r->object_ref;
        c.state = (uint32_t)pick(r->t, 2) * c.state;
        if (amx_usable(r->slot[who], c.ref, &n) || n < 16)
            return;
        c.offset = pick(r->t, 2) * 8;
    }
    if ((c.verb == V_SHARE && r->slot[c.slot]) || (c.verb == V_UNSHARE && (!r->slot[c.slot] || c.slot == who)))
        return;
    if (c.verb == V_ATTACH) {
        if (r->slot[Q])
            return;
        who = Q;
        snprintf(c.path, sizeof c.path, "fuzz");
    }
    int e = perform(r->slot, who, &c);
    answer(e);
    if (e == AMX_OK) {
        void *p;
        size_t n;
        if (c.verb == V_ATTACH) {
            place[1].base = r->slot[Q]->seg->base;
            place[1].g = &r->slot[Q]->seg->g;
        }
        if (c.verb == V_UNSHARE) {
            r->slot[c.slot] = NULL;
            no_view(c.slot);
            no_store_view(c.slot);
        }
        if (c.verb == V_OBJECT_ADD) {
            r->object = c.got;
            r->object_ref = c.ref;
        }
        if (c.verb == V_MANY)
            memcpy(r->ref, c.refs, c.count * sizeof *c.refs);
        if (c.out) {
            *some_ref(r) = c.out;
            if (c.verb != V_GIVE && !amx_ptr(r->slot[who], c.out, &p) && !amx_usable(r->slot[who], c.out, &n))
                payload(r->slot[who], p, n, true);
        }
    } else if (c.verb == V_ATTACH) {
        r->slot[Q] = NULL;
    }
}

/* Everything that only looks; what writes as well, each once: a read-only handle refuses it. */
static void looks(struct run *r, amx_t *h)
{
    struct amx_check_result result = {.struct_size = sizeof result};
    struct amx_block b;
    void *p;
    size_t n;
    uint8_t *base = amx_raw_base(h);
    uint32_t fl, sl;
    uint64_t size = amx_raw_total_size(h), at = amx_raw_first_block(h) + pick(r->t, size / 16) * 16;
    must(amx_name(h) && amx_fd(h) >= 0);
    answer(amx_walk(h, note_block, r));
    answer(amx_objects(h, note_object, r));
    answer(amx_peers(h, note_peer, r));
    pool_looks(r, h);
    store_looks(r, h);
    answer(amx_check(h, note_finding, r, &result));
    answer(amx_raw_query(h, at, &b));
    answer(amx_raw_find_suitable(h, 7 + (uint32_t)pick(r->t, 20), (uint32_t)pick(r->t, 8), &fl, &sl));
    for (int i = 0; i < AMX_ROOTS; i++) {
        amx_ref ref = AMX_REF_NONE;
        answer(amx_root_get(h, (unsigned)i, &ref));
        if (ref)
            *some_ref(r) = ref;
    }
    for (uint64_t i = 0; i < 4; i++) { /* the block itself, one beside it, another life, something else */
        amx_ref ref = *some_ref(r) ^ (amx_ref[]) { 0, UINT64_C(1) << 32, 1, pick(r->t, 0) }[i];
        if (!amx_ptr(h, ref, &p))
            payload(h, p, 1, false);
        if (!amx_usable(h, ref, &n) && !amx_ptr(h, ref, &p))
            payload(h, p, n, false);
        for (int k = 0; k < BY_REF; k++)
            if (by_ref[k].call != by_give && (h->tag == 0 || !by_ref[k].frees || pick(r->t, 4) == 0))
                answer(by_ref[k].call(h, ref));
    }
    if (base) {
        static struct world w;
        w = (struct world){.h = h, .live = *some_ref(r) | UINT64_C(1) << 32, .address = base + at % size};
        the_world = &w;
        for (int i = 0; i < BY_HANDLE; i++)
            if (by_handle[i].call != c_wait) /* without a limit: for whoever frees */
                answer(by_handle[i].call(h));
    }
}

/* --- One damaged segment ------------------------------------------------------------------------------------------ */

static void write_file(const uint8_t *p, uint64_t n)
{
    int fd = open(fuzz_file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && write(fd, p, n) == (ssize_t)n && close(fd) == 0);
}

static int attach(struct run *r, uint32_t flags)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    char why[256];
    o.flags = flags;
    o.map_hint = test_hint(0);
    o.why = why;
    o.why_len = sizeof why;
    int fd = pick(r->t, 4) ? -1 : open(fuzz_file, O_RDWR | O_CLOEXEC);
    int e = fd < 0 ? amx_attach("fuzz", &o, &r->slot[P]) : amx_attach_fd(fd, &o, &r->slot[P]);
    if (fd >= 0)
        close(fd);
    answer(e);
    must(!e || *why);
    if (e)
        r->slot[P] = NULL;
    else
        must(amx_raw_base(r->slot[P]) == test_hint(0)); /* what lay there has been unmapped */
    return e;
}

static void leave(struct run *r, uint32_t who)
{
    place[who == Q].base = NULL;
    place[who == Q].g = NULL;
    if (r->slot[who])
        answer(amx_close(r->slot[who]));
    r->slot[who] = NULL;
    no_view(who);
    no_store_view(who);
    if (who == P) {
        r->slot[MORE] = r->slot[MORE + 1] = NULL;
        for (uint32_t k = MORE; k <= MORE + 1; k++) {
            no_view(k);
            no_store_view(k);
        }
    }
}

static void write_calls(struct run *r, enum when when)
{
    struct amx_recovery out = {.struct_size = sizeof out};
    struct amx_check_result result = {.struct_size = sizeof result};
    within.t = r->t;
    within.stores = when == WITHIN ? 1 + pick(r->t, pick(r->t, 2) ? 64 : 2048) : 0;
    place[0].base = (uint8_t *)(uintptr_t)test_hint(0); /* attaching recovers */
    place[0].g = NULL;
    if (!attach(r, pick(r->t, 4) ? 0 : AMX_F_NO_RECOVER)) {
        place[0].g = &r->slot[P]->seg->g;
        know_store(r);
        uint64_t steps = pick(r->t, 24), hit = pick(r->t, steps + 1);
        for (uint64_t i = 0; i <= steps; i++) {
            if (when == BETWEEN && i == hit)
                strike();
            step(r);
        }
        looks(r, r->slot[P]);
        int e = amx_recover(r->slot[P], 0, note_kept, r, &out);
        must(e == AMX_E_TIMEOUT || (e <= AMX_OK && e > AMX_E_LAST_));
        answer(amx_recover(r->slot[P], pick(r->t, 4), NULL, NULL, &out));
        if (r->slot[Q] && pick(r->t, 2))
            leave(r, Q);
        answer(amx_heal(r->slot[P]));
        answer(amx_check(r->slot[P], note_finding, r, &result));
    }
    bool p_first = pick(r->t, 2);
    leave(r, p_first ? P : Q);
    leave(r, p_first ? Q : P);
    within.stores = 0;
}

void fuzz_one(struct tape *t, const char *tool)
{
    static const char magic[8] = "amx_seG1";
    struct run r = {.t = t};
    struct amx_check_result result = {.struct_size = sizeof result};
    uint64_t len;
    uint8_t *p;
    enum when when = BEFORE;
    const struct sound *s = NULL;
    if (t->left > sizeof magic && !memcmp(t->in, magic, sizeof magic)) { /* the input is the file */
        len = t->left;
        must(posix_memalign((void **)&p, AMXI_PAGE, len) == 0);
        memcpy(p, t->in, len);
        t->left = 0;
    } else {
        s = &sound[pick(t, SOUND)];
        memcpy(r.ref, s->ref, sizeof r.ref);
        when = (enum when[]){BEFORE, BEFORE, BEFORE, BEFORE, BETWEEN, BETWEEN, WITHIN, MEANWHILE}[pick(t, 8)];
        if (when == BEFORE && pick(t, 8) == 0) {
            p = damaged_file(t, s, &sound[pick(t, SOUND)], &len);
        } else {
            len = s->g.size;
            must(posix_memalign((void **)&p, AMXI_PAGE, len) == 0);
            memcpy(p, s->bytes, len);
        }
        if (when == BEFORE)
            damage(t, p, len, &s->g);
    }
    if (when == BEFORE)
        answer(amx_check_image(p, len, note_finding, &r, &result));
    write_file(p, len);
    for (int i = 0; tool && i < VERBS_READING; i++)
        verb_program(tool, i);
    if (when == BEFORE) {
        verb_call((int)pick(t, VERBS_READING));
        verb_call((int)pick(t, VERBS_READING));
    }
    int writing =
        VERBS_READING + (int)pick(t, VERB_LINES - VERBS_READING); /* the same choices with the tool and without */
    if (tool) {
        verb_program(tool, writing);
        write_file(p, len);
    }
    if (when == MEANWHILE)
        other_begin(t, &s->g);
    if ((when == BEFORE || when == MEANWHILE) && !attach(&r, AMX_F_READONLY)) {
        looks(&r, r.slot[P]);
        leave(&r, P);
    }
    write_calls(&r, when);
    if (when == MEANWHILE)
        other_end();
    switch (pick(t, 4)) {
    case 0:
        answer(amx_gc("fuzz", NULL));
        break;
    case 1:
        answer(amx_unlink("fuzz", NULL));
        break;
    default:
        verb_call(VERBS_READING + (int)pick(t, VERB_LINES - VERBS_READING));
    }
    (void)unlink(fuzz_file);
    free(p);
}

/* --- Good segments ------------------------------------------------------------------------------------------------ */

/* A pool with two classes and two extents, which two handles use. */
static void with_pool(struct run *r)
{
    struct call c = {.verb = V_POOL_CREATE, .cls = {{16, 70}, {48, 5}}};
    must_ok(perform(r->slot, P, &c));
    r->pool_block = c.out;
    must_ok(perform(r->slot, P, CALL(.verb = V_POOL_EXTEND, .n = 1, .count = 9)));
    must_ok(perform(r->slot, P, CALL(.verb = V_POOL_EXTEND, .n = 0, .count = 20)));
    if (!r->slot[MORE])
        must_ok(perform(r->slot, P, CALL(.verb = V_SHARE, .slot = MORE)));
    must_ok(perform(r->slot, MORE, CALL(.verb = V_POOL_ATTACH, .ref = c.out)));
}

/* A store of messages in all states, read by three handles. */
static void with_store(struct run *r)
{
    struct call c = {.verb = V_STORE_CREATE, .store = {.depth = 12, .payload_max = 64}};
    must_ok(perform(r->slot, P, &c));
    r->store_block = c.out;
    if (!r->slot[MORE])
        must_ok(perform(r->slot, P, CALL(.verb = V_SHARE, .slot = MORE)));
    must_ok(perform(r->slot, MORE, CALL(.verb = V_STORE_ATTACH, .ref = c.out)));
    for (uint32_t i = 0; i < 8; i++) {
        c = (struct call){.verb = V_MSG_STORE, .n = i * 8, .got = i};
        must_ok(perform(r->slot, P, &c));
        r->token[i] = c.out;
    }
    must_ok(perform(r->slot, P, CALL(.verb = V_MSG_READ_MUT, .ref = r->token[0])));
    must_ok(perform(r->slot, P, CALL(.verb = V_MSG_POISON)));
    must_ok(perform(r->slot, P, CALL(.verb = V_MSG_READ, .ref = r->token[1])));
    must_ok(perform(r->slot, P, CALL(.verb = V_MSG_READ_MUT, .ref = r->token[2])));
    must_ok(perform(r->slot, MORE, CALL(.verb = V_MSG_READ, .ref = r->token[1])));
    must_ok(perform(r->slot, MORE, CALL(.verb = V_MSG_RESERVE, .n = 40)));
}

static const struct {
    void (*make)(struct run *r);
    void (*step)(struct run *r, uint32_t who);
    int steps; /* of two handles, before one dies */
} house[SOUND] = {[WITH_POOLS] = {with_pool, pool_step, 200}, [WITH_STORES] = {with_store, message_step, 0}};

/* Calls on a sound segment, until the process dies in the middle of one. What is in there then is the library's work. */
static void inhabit(struct image *m, uint64_t seed)
{
    struct tape t = tape_of_seed(seed);
    write_file(m->s.base, m->len);
    pid_t pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        struct run r = {.t = &t};
        within.die = true;
        must(!attach(&r, 0));
        for (int i = 0; i < (house[seed].make ? 40 : 400); i++)
            step(&r);
        if (house[seed].make)
            house[seed].make(&r);
        for (int i = 0; i < house[seed].steps; i++)
            house[seed].step(&r, i & 1 ? P : MORE);
        within.stores = 1 + pick(&t, 64);
        for (;;)
            house[seed].step ? house[seed].step(&r, P) : step(&r);
    }
    must(wait_end(pid) == 0);
    int fd = open(fuzz_file, O_RDONLY | O_CLOEXEC);
    must(fd >= 0 && read(fd, m->s.base, m->len) == (ssize_t)m->len && close(fd) == 0);
    for (uint32_t i = 0; i < m->s.g.peers; i++) { /* the same in each run: a process of another system */
        struct amxi_peer_body *b = amxi_peer(&m->s, i);
        uint64_t w = amxi_ld64_rlx(&b->word);
        if (AMXI_PEER_STATUS(w) == AMXI_PEER_FREE)
            continue;
        amxi_st64_rlx(&b->pid, AMXI_PEER_TICKET(w) << 32 | 4000);
        for (amxi_a64 *f = &b->pid_ns; f <= &b->since_ns; f++)
            amxi_st64_rlx(f, 1);
    }
}

/* An object in the scene's published block, two words of which are the second handle's, whose process is dead. */
static void with_object(struct image *m)
{
    uint64_t k = m->s.g.su + MIX_P, first = m->s.g.region[AMXI_R_DATA].offset / AMXI_UNIT;
    struct amxi_block_body *b = amxi_block(&m->s, k);
    struct amxi_object_body *o = amxi_object(&m->s, 1);
    amxi_st64_rlx(&o->word, AMXI_O_WORD(AMXI_O_LIVE, 0, 3));
    amxi_st64_rlx(&o->ref, AMXI_REF(first + k + 1, amxi_ld64_rlx(&b->w0)));
    amxi_st32_rlx(&o->kind, 7);
    amxi_st32_rlx(&o->count, 6);
    amxi_st32_rlx(&o->stride, 16);
    for (uint32_t i = 1; i <= 2; i++)
        amxi_st64_rlx(&(b + i)->w0, AMXI_W0(i * 2000, 2, i));
    amxi_st32_rlx(&amxi_handle(&m->s, 1)->objects, 2);
}

void fuzz_begin(void)
{
    snprintf(fuzz_file, sizeof fuzz_file, "%s/amx.fuzz", getenv("AMX_DIR"));
    if (sound[0].bytes)
        return;
    for (uint64_t i = 0; i < SOUND; i++) {
        struct image m;
        struct amx_options o = AMX_OPTIONS_INIT;
        o.size = i == 3 ? 512 << 10 : 64 << 10;
        o.sector_size = i == 2 ? 8192 : 4096;
        o.peers = o.handles = i == 3 ? 20 : 6;
        if (i == 0) {
            scene(&m);
            with_object(&m);
        } else {
            image_make(&m, &o);
            amxi_st64_rlx(&amxi_peer(&m.s, 0)->word, 0);
            amxi_st64_rlx(&amxi_handle(&m.s, 0)->word, 0);
            amxi_st64_rlx(&amxi_handle(&m.s, 1)->word, 0);
            inhabit(&m, i);
        }
        sound[i] = (struct sound){.g = m.s.g, .bytes = m.s.base};
        struct tape t = tape_of_seed(i);
        struct run r = {.t = &t};
        write_file(m.s.base, m.len);
        must(!attach(&r, AMX_F_READONLY));
        answer(amx_walk(r.slot[P], note_block, &r));
        leave(&r, P);
        memcpy(sound[i].ref, r.ref, sizeof r.ref);
    }
}
