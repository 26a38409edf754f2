/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Message stores: the conformance suite (tests/store_suite.h) against each of the four managers; the static one once more
 * where no system call is allowed and nothing can be allocated; then what only one of them has, and what all share.
 */
#include "tests/store_suite.h"

#include "amx_object.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#define ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN 1
#endif
#endif
#ifndef ASAN
#define ASAN 0
#endif

static const enum kind kinds[KINDS] = {STATIC, HEAP, CONCURRENT, SHARED};
static const char *const kind_names[KINDS] = {"static", "heap", "concurrent", "shared"};

static enum kind kind_of(void **state)
{
    return **(enum kind **)state;
}

static void run_suite(enum kind kind)
{
    struct room r;
    for (size_t i = 0; i < SUITE; i++) {
        room_open(&r, kind, &suite_config);
        suite[i].fn(&r);
        must(available(r.a) == DEPTH);
        room_close(&r);
    }
    full_by_depth_and_mark(kind);
}

static void conformance(void **state)
{
    note("%d tests against the %s manager", (int)SUITE + 1, kind_names[kind_of(state)]);
    run_suite(kind_of(state));
}

static void admission(void **state)
{
    admission_follows_the_model(kind_of(state), test_seed(), (int)scaled(200), 150);
}

/* --- Static: no system call, no allocation ---------------------------------------------------------------------------- */

#if !ASAN && !TSAN
/* In front of the C library's. */
static bool no_malloc;
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t each);
extern void *__libc_memalign(size_t align, size_t n);
static void allocates(void)
{
    if (no_malloc)
        syscall(SYS_exit, 71);
}
void *malloc(size_t n)
{
    allocates();
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t each)
{
    allocates();
    return __libc_calloc(n, each);
}
void *aligned_alloc(size_t align, size_t n)
{
    allocates();
    return __libc_memalign(align, n);
}

/* The kernel kills whoever makes any system call but read, write, _exit and sigreturn. */
static void no_system_call(void **state)
{
    int fd[2];
    char done = 0;
    (void)state;
    if (emulated("no seccomp"))
        return;
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
            _exit(77);
        no_malloc = true;
        run_suite(STATIC);
        admission_follows_the_model(STATIC, 1, 8, 100);
        done = write(fd[1], "k", 1) == 1;
        syscall(SYS_exit, !done); /* exit_group is not allowed either */
    }
    close(fd[1]);
    assert_int_equal(wait_end(pid), 0);
    assert_int_equal(read(fd[0], &done, 1), 1);
    assert_int_equal(done, 'k');
    close(fd[0]);
}

/* And that either would have been noticed. */
static void a_system_call_is_noticed(void **state)
{
    struct room r;
    (void)state;
    if (emulated("no seccomp"))
        return;
    pid_t heap = fork();
    if (heap == 0) {
        no_malloc = true;
        room_open(&r, HEAP, &suite_config);
        _exit(0);
    }
    assert_int_equal(wait_end(heap), 71);
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
            _exit(77);
        room_open(&r, CONCURRENT, &suite_config); /* a random number */
        syscall(SYS_exit, 0);
    }
    assert_int_equal(wait_end(pid), 128 + SIGKILL);
}
#endif

/* A constant that a static array can have. */
_Static_assert(AMX_STORE_BYTES(8, 256) == 192 + 256 + 64 + 64 + 8 * 320, "of the static manager");
static _Alignas(AMX_STORE_ALIGN) unsigned char array[AMX_STORE_BYTES(3, 40)];

static void the_constant_is_the_size(void **state)
{
    (void)state;
    static const uint32_t depths[] = {1, 2, 3, 7, 8, 9, 63, 64, 65, 511, 512, 513, 4096, 4097, 100000, AMX_STORE_DEPTH};
    static const uint32_t sizes[] = {0, 1, 15, 16, 17, 47, 48, 49, 63, 64, 65, 1000, 65536, AMX_STORE_PAYLOAD};
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
        for (size_t p = 0; p < sizeof sizes / sizeof *sizes; p++) {
            const struct amx_store_config k = {.depth = depths[d], .payload_max = sizes[p]};
            uint64_t n = 0;
            ok(amx_store_required_size(&k, &n));
            assert_int_equal(n, AMX_STORE_BYTES(depths[d], sizes[p]));
        }
    const struct amx_store_config k = {.depth = 3, .payload_max = 40};
    struct amx_store s;
    ok(amx_store_init(array, sizeof array, &k, &s));
    fails(AMX_E_INVAL, amx_store_init(array, sizeof array - 1, &k, &s));
    fails(AMX_E_INVAL, amx_store_init(array + 1, sizeof array - 1, &k, &s));
    ok(amx_store_close(&s));
    fails(AMX_E_INVAL, amx_store_close(&s));
}

/* --- Making --------------------------------------------------------------------------------------------------------- */

static void configurations(void **state)
{
    (void)state;
    static const struct amx_store_config bad[] = {
        {.depth = 0, .payload_max = 1},
        {.depth = AMX_STORE_DEPTH + 1, .payload_max = 1},
        {.depth = 1, .payload_max = AMX_STORE_PAYLOAD + 1},
        {.depth = 1, .threads = AMX_STORE_THREADS + 1},
        {.depth = 1, .memory = AMX_MEMORY_SHARED + 1},
        {.depth = 1, .memory = AMX_MEMORY_SHARED, .threads = 1},
        {.depth = 1, .marks = {.policy = AMX_POLICY_NONE, .soft_items = 1}},
        {.depth = 1, .marks = {.policy = AMX_POLICY_NONE, .hard_bytes = 1}},
        {.depth = 1, .marks = {.policy = AMX_POLICY_REJECT}},
        {.depth = 1, .marks = {.policy = AMX_POLICY_REJECT, .soft_items = 1}},
        {.depth = 1, .marks = {.policy = AMX_POLICY_DROP_NEWEST, .soft_bytes = 1}},
        {.depth = 1, .marks = {.policy = AMX_POLICY_DROP_OLDEST}},
        {.depth = 1, .marks = {.policy = AMX_POLICY_EVICT, .soft_items = 1}},
        {.depth = 1, .marks = {.policy = AMX_POLICY_EVICT, .soft_items = 2, .hard_items = 1}},
        {.depth = 1, .marks = {.policy = AMX_POLICY_EVICT, .soft_bytes = 2, .hard_bytes = 1}},
        {.depth = 1, .marks = {.policy = (enum amx_policy)5, .hard_bytes = 1}},
    };
    struct amx_store s;
    uint64_t n;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fails(AMX_E_INVAL, amx_store_required_size(&bad[i], &n));
        fails(AMX_E_INVAL, amx_store_init(static_room, STATIC_BYTES, &bad[i], &s));
        fails(AMX_E_INVAL, amx_store_new(&bad[i], &s));
    }
    fails(AMX_E_INVAL, amx_store_required_size(NULL, &n));
    fails(AMX_E_INVAL, amx_store_required_size(&suite_config, NULL));
    fails(AMX_E_INVAL, amx_store_init(NULL, STATIC_BYTES, &suite_config, &s));
    fails(AMX_E_INVAL, amx_store_init(static_room, STATIC_BYTES, NULL, &s));
    fails(AMX_E_INVAL, amx_store_init(static_room, STATIC_BYTES, &suite_config, NULL));
    fails(AMX_E_INVAL, amx_store_new(NULL, &s));
    fails(AMX_E_INVAL, amx_store_new(&suite_config, NULL));
    struct amx_store_config k = suite_config;
    k.memory = AMX_MEMORY_SHARED; /* in a segment only */
    ok(amx_store_required_size(&k, &n));
    fails(AMX_E_INVAL, amx_store_init(static_room, STATIC_BYTES, &k, &s));
    fails(AMX_E_INVAL, amx_store_new(&k, &s));
    k = suite_config;
    k.depth = AMX_STORE_DEPTH;
    k.payload_max = AMX_STORE_PAYLOAD; /* 16 PiB */
    if (!ASAN && !TSAN)                /* which end the program then */
        fails(AMX_E_NOMEM, amx_store_new(&k, &s));
    ok(amx_store_new(&suite_config, &s));
    struct amx_store other;
    fails(AMX_E_INVAL, amx_store_scoped(&s, &other)); /* of one thread */
    fails(AMX_E_INVAL, amx_store_scoped(&s, NULL));
    ok(amx_store_close(&s)); /* it is the region's: still there */
    ok(amx_store_remove(&s));
    fails(AMX_E_INVAL, amx_store_remove(&s));
    ok(amx_store_init(array, sizeof array, &(struct amx_store_config){.depth = 3, .payload_max = 40}, &s));
    other = s;
    ok(amx_store_remove(&s));
    fails(AMX_E_STALE, amx_store_remove(&other));
}

static void views_of_threads(void **state)
{
    struct amx_store s, v[3];
    struct amx_store_config k = suite_config;
    uint64_t freed = 9, poisoned = 9;
    struct amx_read g;
    struct amx_write w, place, lost, none;
    (void)state;
    k.threads = 3;
    ok(amx_store_new(&k, &s));
    assert_int_equal(amx_store_owner(&s), 1);
    ok(amx_store_scoped(&s, &v[0]));
    ok(amx_store_scoped(&v[0], &v[1]));
    assert_true(amx_store_owner(&v[0]) == 2 && amx_store_owner(&v[1]) == 3);
    fails(AMX_E_FULL, amx_store_scoped(&s, &v[2]));
    amx_token t = put(&v[0], 5), u = put(&s, 6);
    ok(amx_msg_read(&v[0], t, &g));
    fails(AMX_E_BORROW_ACTIVE, amx_store_close(&v[0]));
    amx_read_end(&g);
    ok(amx_store_close(&v[0]));
    ok(amx_store_scoped(&s, &v[2])); /* 2 again */
    assert_int_equal(amx_store_owner(&v[2]), 2);
    /* its thread ends without a word */
    ok(amx_msg_read(&v[2], t, &g));
    ok(amx_msg_read_mut(&v[2], u, &lost));
    ok(amx_msg_reserve(&v[2], NULL, 3, &place));
    fails(AMX_E_BORROW_ACTIVE, amx_msg_free(&s, t));
    fails(AMX_E_BORROWED, amx_msg_read_mut(&v[1], u, &none));
    ok(amx_store_recover(&s, 2, &freed, &poisoned));
    assert_true(freed == 1 && poisoned == 1);
    ok(amx_store_scoped(&s, &v[0]));
    assert_int_equal(amx_store_owner(&v[0]), 2);
    ok(amx_msg_recover(&s, u, &w));
    lost.size = 1;
    fails(AMX_E_STALE, amx_write_end(&lost)); /* what was his is another's */
    fails(AMX_E_BORROWED, amx_msg_read_mut(&v[1], u, &none));
    ok(amx_write_end(&w));
    see(&s, u, 6);
    ok(amx_msg_free(&s, t));
    ok(amx_msg_free(&s, u));
    /* one's own, by oneself */
    t = put(&s, 5);
    ok(amx_msg_read(&s, t, &g));
    ok(amx_store_recover(&s, 1, NULL, NULL));
    ok(amx_msg_free(&s, t));
    ok(amx_store_close(&v[1]));
    fails(AMX_E_INVAL, amx_store_recover(&s, 4, NULL, NULL));
    store_all_free(&s);
    ok(amx_store_remove(&s));
}

/* 25: in a store of one thread guards that were forgotten are given up by the caller, who knows that. */
static void lost_guards_of_one_thread(void **state)
{
    struct room r;
    struct amx_read g[2];
    struct amx_write w, place;
    uint64_t freed = 0, poisoned = 0;
    room_open(&r, kind_of(state), &suite_config);
    amx_token t = put(r.a, 5), u = put(r.a, 6);
    ok(amx_msg_read(r.a, t, &g[0]));
    ok(amx_msg_read(r.a, t, &g[1]));
    ok(amx_msg_read_mut(r.a, u, &w));
    ok(amx_msg_reserve(r.a, NULL, 3, &place));
    fails(AMX_E_BORROW_ACTIVE, amx_msg_free(r.a, t));
    ok(amx_store_recover(r.a, 1, &freed, &poisoned));
    assert_true(freed == 1 && poisoned == 1);
    ok(amx_msg_free(r.a, t));
    t = put(r.a, 7);
    w.size = 1;
    fails(AMX_E_STALE, amx_write_end(&w)); /* too late, and it changes nothing */
    fails(AMX_E_STALE, amx_write_end(&place));
    amx_read_end(&g[0]);
    see(r.a, t, 7);
    ok(amx_msg_recover(r.a, u, &w));
    assert_int_equal(w.size, SIZE);
    ok(amx_write_end(&w));
    ok(amx_msg_free(r.a, u));
    ok(amx_msg_free(r.a, t));
    room_close(&r);
}

/* --- Memory classes ----------------------------------------------------------------------------------------------------- */

static void memory_classes(void **state)
{
    (void)state;
    uint32_t m = 0;
    enum amx_placing p;
    for (uint32_t i = 0; i < AMX_MEMORY_DEVICES; i++) {
        ok(amx_memory_device(i, &m));
        assert_int_equal(m, AMX_MEMORY_DEVICE + i);
    }
    fails(AMX_E_INVAL, amx_memory_device(AMX_MEMORY_DEVICES, &m)); /* published: device 0 */
    fails(AMX_E_INVAL, amx_memory_device(0, NULL));
    for (uint32_t of = 0; of <= AMX_MEMORY_SHARED; of++)
        for (uint32_t only = 0; only <= AMX_MEMORY_SHARED; only++) {
            ok(amx_placement_decide(of, AMX_PLACEMENT(only), &p));
            assert_int_equal(p, of == only ? AMX_ZERO_COPY : AMX_ADAPT);
            ok(amx_placement_decide(of, AMX_PLACEMENT_ALL & ~AMX_PLACEMENT(only), &p));
            assert_int_equal(p, of == only ? AMX_ADAPT : AMX_ZERO_COPY);
            ok(amx_placement_decide(of, AMX_PLACEMENT(only) | AMX_PLACEMENT(of), &p));
            assert_int_equal(p, AMX_ZERO_COPY);
        }
    ok(amx_placement_decide(AMX_MEMORY_HOST, AMX_PLACEMENT_DEFAULT, &p));
    assert_int_equal(p, AMX_ZERO_COPY);
    ok(amx_placement_decide(AMX_MEMORY_PINNED, AMX_PLACEMENT_DEFAULT, &p));
    assert_int_equal(p, AMX_ADAPT);
    fails(AMX_E_INVAL, amx_placement_decide(AMX_MEMORY_SHARED + 1, AMX_PLACEMENT_ALL, &p));
    fails(AMX_E_INVAL, amx_placement_decide(0, AMX_PLACEMENT_ALL, NULL));
    /* adapted: from a device's memory, as it is called, into a store of the host's */
    struct amx_store_config k = suite_config;
    struct amx_store from, to;
    struct amx_message_header h;
    amx_token t, copy;
    k.memory = AMX_MEMORY_DEVICE + 3;
    ok(amx_store_new(&k, &from));
    ok(amx_store_new(&suite_config, &to));
    t = put(&from, 5);
    ok(amx_msg_peek_header(&from, t, &h));
    assert_int_equal(h.memory, AMX_MEMORY_DEVICE + 3);
    ok(amx_msg_copy(&from, t, &to, &copy));
    ok(amx_msg_peek_header(&to, copy, &h));
    assert_int_equal(h.memory, AMX_MEMORY_HOST);
    see(&to, copy, 5);
    k.type_id = TYPE + 1;
    k.payload_max = SIZE - 1;
    struct amx_store narrow, small;
    ok(amx_store_new(&k, &narrow));
    fails(AMX_E_TOO_BIG, amx_msg_copy(&from, t, &narrow, &copy));
    k.payload_max = SIZE;
    ok(amx_store_new(&k, &small));
    fails(AMX_E_TYPE, amx_msg_copy(&from, t, &small, &copy));
    ok(amx_store_remove(&small));
    ok(amx_store_remove(&narrow));
    ok(amx_store_remove(&to));
    ok(amx_store_remove(&from));
}

static uint64_t locked_kb(void)
{
    char line[128];
    uint64_t kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    must(f != NULL);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmLck: %" SCNu64, &kb) == 1)
            break;
    fclose(f);
    return kb;
}

static void pinned_memory(void **state)
{
    (void)state;
    struct amx_store_config k = suite_config;
    struct amx_store s;
    k.memory = AMX_MEMORY_PINNED;
    const uint64_t before = locked_kb();
    int e = amx_store_new(&k, &s);
    if (!e) {
        if (!ASAN && !TSAN) /* which do not lock */
            assert_true(locked_kb() > before);
        see(&s, put(&s, 5), 5);
        const uint64_t one = locked_kb();
        struct amx_store more[4];
        for (int i = 0; i < 4; i++)
            ok(amx_store_new(&k, &more[i]));
        for (int i = 0; i < 4; i++) /* neighbours, perhaps: each locks its own pages */
            ok(amx_store_remove(&more[i]));
        assert_int_equal(locked_kb(), one);
        ok(amx_store_remove(&s));
        assert_int_equal(locked_kb(), before);
    } else {
        fails(AMX_E_ACCESS, e);
    }
    if (ASAN || TSAN)
        return;
    /* and refused, in a child that may lock nothing */
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit none = {0, 0};
        must(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
        if (geteuid() == 0) /* root may lock whatever the limit */
            must(setresuid(65534, 65534, 65534) == 0);
        must(amx_store_new(&k, &s) == AMX_E_ACCESS);
        must(amx_store_init(static_room, STATIC_BYTES, &k, &s) == AMX_E_ACCESS);
        _exit(0);
    }
    wait_ok(pid);
}

/* --- In a segment ------------------------------------------------------------------------------------------------------- */

struct places {
    struct amx_store_place p[4];
    int n;
};
static int hear(const struct amx_store_place *p, void *ctx)
{
    struct places *l = ctx;
    l->p[l->n++] = *p;
    return l->n == 4 ? 3 : 0;
}

static void blocks_and_handles(void **state)
{
    struct room r;
    struct amx_store s, other;
    struct amx_store_config k;
    struct places l = {.n = 0};
    amx_ref block;
    (void)state;
    room_open(&r, SHARED, &suite_config);
    amx_token t = put(r.a, 5);
    ok(amx_store_attach_block(r.h[1], r.block, NULL, &s));
    see(&s, t, 5);
    assert_int_equal(amx_store_owner(&s), AMX_OBJECT_OWNER(amx_handle_id(r.h[1])));
    k = suite_config; /* HOST: a segment's */
    ok(amx_store_attach_block(r.h[1], r.block, &k, &s));
    k.depth++;
    fails(AMX_E_LAYOUT, amx_store_attach_block(r.h[1], r.block, &k, &s));
    k = suite_config;
    k.marks = (struct amx_marks){.policy = AMX_POLICY_REJECT, .hard_items = 2};
    fails(AMX_E_LAYOUT, amx_store_attach_block(r.h[1], r.block, &k, &s));
    fails(AMX_E_INVAL, amx_store_attach_block(r.h[1], r.block, NULL, NULL));
    fails(AMX_E_INVAL, amx_store_attach_block(NULL, r.block, NULL, &s));
    fails(AMX_E_INVAL, amx_store_recover(r.a, 1, NULL, NULL));
    fails(AMX_E_INVAL, amx_store_scoped(r.a, &s));
    /* a block that is none */
    ok(amx_alloc_aligned(r.h[0], 64, 16384, &block));
    memset(bytes_of(r.h[0], block), 0, 16384);
    fails(AMX_E_LAYOUT, amx_store_attach_block(r.h[1], block, NULL, &s));
    fails(AMX_E_OWNER, amx_store_init_block(r.h[0], block, &suite_config, &s));
    ok(amx_publish(r.h[0], block));
    k = suite_config;
    k.memory = AMX_MEMORY_PINNED;
    fails(AMX_E_INVAL, amx_store_init_block(r.h[0], block, &k, &s));
    fails(AMX_E_INVAL, amx_store_create(r.h[0], &k, &block, &s));
    k = suite_config;
    k.threads = 1;
    fails(AMX_E_INVAL, amx_store_init_block(r.h[0], block, &k, &s));
    k.threads = 0;
    k.depth = 1000;
    fails(AMX_E_INVAL, amx_store_init_block(r.h[0], block, &k, &s)); /* too small */
    k.depth = 1000000;
    fails(AMX_E_TOO_BIG, amx_store_create(r.h[0], &k, &block, &s));
    ok(amx_store_init_block(r.h[0], block, &suite_config, &other));
    ok(amx_stores(r.h[1], hear, &l));
    assert_int_equal(l.n, 2);
    assert_true(l.p[0].block == r.block && l.p[1].block == block && l.p[0].struct_size == sizeof l.p[0]);
    fails(AMX_E_INVAL, amx_stores(r.h[0], NULL, NULL));
    /* the same token means nothing in another store, whose generations began elsewhere */
    struct amx_read g;
    fails(AMX_E_STALE, amx_msg_read(&other, t, &g));
    /* what is stored is nobody's, where guards are not counted */
    struct amx_write w;
    const uint64_t was = amxi_ld64_rlx(word_of(r.a, t));
    amxi_st64_rlx(word_of(r.a, t), AMXI_W0(AMX_STATE_STORED, 3, AMXI_W0_GEN(was)));
    fails(AMX_E_CORRUPT, amx_msg_read(r.a, t, &g));
    fails(AMX_E_CORRUPT, amx_msg_read_mut(r.a, t, &w));
    fails(AMX_E_CORRUPT, amx_msg_free(r.a, t));
    assert_int_equal(store_stat(r.a).guards, 0);
    amxi_st64_rlx(word_of(r.a, t), was);
    /* a pool's calls do not take it for one */
    struct amx_pool pool;
    fails(AMX_E_STALE, amx_pool_attach_block(r.h[0], r.block, 192, NULL, &pool));
    /* removed */
    ok(amx_store_attach_block(r.h[1], block, NULL, &s));
    ok(amx_msg_read(&other, put(&other, 1), &g));
    fails(AMX_E_BORROW_ACTIVE, amx_store_remove(&other));
    amx_read_end(&g);
    ok(amx_store_remove(&other));
    fails(AMX_E_LAYOUT, amx_store_attach_block(r.h[1], block, NULL, &other));
    fails(AMX_E_STALE, amx_store_remove(&s));
    ok(amx_free(r.h[0], block));
    fails(AMX_E_STALE, amx_store_attach_block(r.h[1], block, NULL, &s));
    ok(amx_msg_free(r.a, t));
    room_close(&r);
}

/* Every field of the head and of the pool below it, with every kind of nonsense: refused, never followed. */
static void forged_heads(void **state)
{
    struct room r;
    struct amx_store s;
    struct rng dice = rng_make(test_seed(), 9);
    (void)state;
    room_open(&r, SHARED, &suite_config);
    amxi_a32 *w = (amxi_a32 *)(void *)r.a->base;
    int refused = 0, taken = 0;
    for (size_t i = 0; i < (192 + 256) / 4; i++)
        for (int n = 0; n < 6; n++) {
            const uint32_t was = amxi_ld32_rlx(&w[i]);
            amxi_st32_rlx(&w[i], n == 0 ? was + 1 : n == 1 ? UINT32_MAX : n == 2 ? 0 : (uint32_t)rng_next(&dice));
            int e = amx_store_attach_block(r.h[1], r.block, NULL, &s);
            assert_true(e == AMX_OK || e == AMX_E_LAYOUT || e == AMX_E_STALE);
            refused += e != AMX_OK;
            taken += e == AMX_OK;
            amxi_st32_rlx(&w[i], was);
        }
    assert_true(refused > 100 && taken > 100); /* type, marks, counters, what is reserved: anything is possible */
    room_close(&r);
}

static void read_only_and_forked(void **state)
{
    struct room r;
    struct amx_store s;
    struct amx_read g, mine;
    struct amx_write w, own;
    struct amx_message_header h;
    enum amx_watermark mark;
    struct seen seen = {0};
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *ro;
    amx_token t, out;
    (void)state;
    room_open(&r, SHARED, &suite_config);
    t = put(r.a, 5);
    amx_token u = put(r.a, 6);
    ok(amx_msg_read(r.a, t, &mine));
    ok(amx_msg_read_mut(r.a, u, &own));
    o.flags = AMX_F_READONLY;
    ok(amx_attach_fd(amx_fd(r.h[0]), &o, &ro));
    ok(amx_store_attach_block(ro, r.block, &suite_config, &s));
    fails(AMX_E_READONLY, amx_msg_store(&s, NULL, NULL, 0, &out));
    fails(AMX_E_READONLY, amx_msg_reserve(&s, NULL, 0, &w));
    fails(AMX_E_READONLY, amx_msg_read(&s, t, &g));
    fails(AMX_E_READONLY, amx_msg_read_mut(&s, t, &w));
    fails(AMX_E_READONLY, amx_msg_recover(&s, t, &w));
    fails(AMX_E_READONLY, amx_msg_peek_header(&s, t, &h));
    fails(AMX_E_READONLY, amx_msg_free(&s, t));
    fails(AMX_E_READONLY, amx_store_evict(&s, NULL));
    fails(AMX_E_READONLY, amx_store_remove(&s));
    fails(AMX_E_READONLY, amx_store_init_block(ro, r.block, &suite_config, &s));
    assert_int_equal(available(&s), DEPTH - 2);
    ok(amx_store_watermark(&s, &mark, NULL, NULL));
    ok(amx_store_walk(&s, look_at, &seen));
    assert_true(seen.places == DEPTH && seen.readers == 1 && seen.token == t && seen.sequence == 5);
    (void)store_clean(&s);
    ok(amx_close(ro));
    pid_t pid = emulated("a fork does not wipe what is private") ? -1 : fork();
    if (pid == 0) { /* its guards are the parent's */
        must(amx_msg_read(r.a, t, &g) == AMX_E_FORKED && amx_msg_store(r.a, NULL, NULL, 0, &out) == AMX_E_FORKED);
        must(amx_store_available(r.a, &(uint32_t){0}) == AMX_E_FORKED);
        amx_read_end(&mine);
        must(amx_write_end(&own) == AMX_E_FORKED && amx_msg_discard(&own) == AMX_E_FORKED);
        must(amx_msg_free(r.a, t) == AMX_E_FORKED && amx_store_remove(r.a) != AMX_OK);
        _exit(0);
    }
    if (pid > 0)
        wait_ok(pid);
    fails(AMX_E_BORROW_ACTIVE, amx_msg_free(r.b, t));
    amx_read_end(&mine);
    ok(amx_write_end(&own));
    ok(amx_msg_free(r.b, t));
    ok(amx_msg_free(r.b, u));
    room_close(&r);
}

/* A handle that is given back: its read guards lapse, and its next tenant has none; what it was changing stays borrowed
 * until its process closes, and then it is poisoned. */
static void handle_given_back(void **state)
{
    struct room r;
    struct amx_store s;
    struct amx_read g;
    struct amx_write w;
    (void)state;
    room_open(&r, SHARED, &suite_config);
    amx_token t = put(r.a, 5), u = put(r.a, 6);
    amx_t *more = new_handle(r.h[1]);
    ok(amx_store_attach_block(more, r.block, NULL, &s));
    ok(amx_msg_read(&s, t, &g));
    ok(amx_msg_read_mut(&s, u, &w));
    fails(AMX_E_BORROW_ACTIVE, amx_msg_free(r.a, t));
    ok(amx_unshare(more));
    ok(amx_msg_free(r.a, t));
    more = new_handle(r.h[1]);
    ok(amx_store_attach_block(more, r.block, NULL, &s));
    fails(AMX_E_BORROW_ACTIVE, amx_msg_free(&s, u));
    ok(amx_unshare(more));
    ok(amx_close(r.h[1]));
    fails(AMX_E_POISONED, amx_msg_read(r.a, u, &g));
    ok(amx_msg_free(r.a, u));
    ok(amx_attach_fd(amx_fd(r.h[0]), NULL, &r.h[1]));
    ok(amx_store_attach_block(r.h[1], r.block, NULL, r.b));
    room_close(&r);
}

/* One handle, two stores: its guards serve both, and name only one message each. */
static void guards_serve_all_stores(void **state)
{
    struct room r;
    struct amx_store s;
    struct amx_read g[9];
    amx_ref block;
    (void)state;
    room_open(&r, SHARED, &suite_config);
    ok(amx_store_create(r.h[0], &suite_config, &block, &s));
    amx_token t = put(r.a, 5), u = put(&s, 6);
    uint32_t n = 0;
    for (; n < r.a->each; n++)
        ok(amx_msg_read(n & 1 ? r.a : &s, n & 1 ? t : u, &g[n]));
    fails(AMX_E_NO_GUARD, amx_msg_read(&s, u, &g[n]));
    b_sees(&r, t, 5);
    for (uint32_t i = 0; i < n; i += 2)
        amx_read_end(&g[i]);
    ok(amx_msg_free(&s, u));
    fails(AMX_E_BORROW_ACTIVE, amx_msg_free(r.a, t));
    for (uint32_t i = 1; i < n; i += 2)
        amx_read_end(&g[i]);
    ok(amx_msg_free(r.a, t));
    ok(amx_store_remove(&s));
    ok(amx_free(r.h[0], block));
    room_close(&r);
}

/* --- Waiting ------------------------------------------------------------------------------------------------------------ */

struct waiter {
    struct room *r;
    amx_token t;
    int how;
    amxi_a32 begun;
    int e;
};

static void wait_(int me, void *ctx)
{
    struct waiter *w = ctx;
    struct amx_store *s = w->r->b;
    const uint64_t minute = UINT64_C(60000000000);
    struct amx_read g;
    struct amx_write wr;
    amx_token out;
    if (me == 1) {
        amxi_st32_rel(&w->begun, 1);
        switch (w->how) {
        case 0:
            w->e = amx_msg_read_wait(s, w->t, minute, &g);
            if (!w->e)
                amx_read_end(&g);
            break;
        case 1:
            w->e = amx_msg_read_mut_wait(s, w->t, minute, &wr);
            if (!w->e)
                w->e = amx_write_end(&wr);
            break;
        case 2:
            w->e = amx_msg_free_wait(s, w->t, minute);
            break;
        default:
            w->e = amx_msg_store_wait(s, NULL, "a", 1, minute, &out);
            if (!w->e)
                w->e = amx_msg_free(s, out);
        }
        return;
    }
    struct amx_store *a = w->r->a;
    amx_token all[DEPTH];
    switch (w->how) {
    case 0:
        must_ok(amx_msg_read_mut(a, w->t, &wr));
        break;
    case 1:
    case 2:
        must_ok(amx_msg_read(a, w->t, &g));
        break;
    default:
        for (int i = 1; i < DEPTH; i++)
            all[i] = put(a, 1);
    }
    amxi_st32_rel(&w->begun, 2); /* the main thread lets the other one go */
    const amxi_a32 *word = &amxi_store_head_at(a->base)->wait;
    uint32_t before;
    while (!((before = amxi_ld32_sc(word)) & 1))
        ; /* he has announced that he sleeps */
    if (w->how == 0)
        must_ok(amx_write_end(&wr));
    else if (w->how < 3)
        amx_read_end(&g);
    else
        for (int i = 1; i < DEPTH; i++)
            must_ok(amx_msg_free(a, all[i]));
    must(amxi_ld32_sc(word) >> 1 != before >> 1); /* he was woken, not left to look by himself */
}

static void *late(void *p)
{
    struct waiter *w = p;
    while (amxi_ld32_acq(&w->begun) != 2)
        ;
    wait_(1, w);
    return NULL;
}

static void waiting_calls(void **state)
{
    struct room r;
    room_open(&r, kind_of(state), &suite_config);
    for (int how = 0; how < 4; how++) {
        struct waiter w = {.r = &r, .how = how, .t = put(r.a, 5), .e = 1};
        pthread_t thread;
        must(pthread_create(&thread, NULL, late, &w) == 0);
        wait_(0, &w);
        must(pthread_join(thread, NULL) == 0);
        ok(w.e);
        if (how != 2)
            ok(amx_msg_free(r.a, w.t));
    }
    room_close(&r);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void times_out(void **state)
{
    struct room r;
    struct amx_read g, g2;
    struct amx_write w;
    amx_token out, all[DEPTH];
    room_open(&r, kind_of(state), &suite_config);
    amx_token t = put(r.a, 5);
    ok(amx_msg_read(r.a, t, &g));
    for (uint64_t ns = 0; ns <= 25000000; ns += 12500000) {
        const uint64_t begin = now_ns();
        fails(AMX_E_TIMEOUT, amx_msg_free_wait(r.b, t, ns));
        fails(AMX_E_TIMEOUT, amx_msg_read_mut_wait(r.b, t, ns, &w));
        assert_true(now_ns() - begin >= 2 * ns);
    }
    ok(amx_msg_read_wait(r.b, t, 0, &g2));
    amx_read_end(&g2);
    amx_read_end(&g);
    ok(amx_msg_read_mut_wait(r.b, t, 0, &w));
    fails(AMX_E_TIMEOUT, amx_msg_read_wait(r.b, t, 1, &g));
    ok(amx_msg_poison(&w));
    fails(AMX_E_POISONED, amx_msg_read_wait(r.b, t, UINT64_MAX, &g)); /* nothing that time would mend */
    ok(amx_msg_free_wait(r.b, t, UINT64_MAX));
    fails(AMX_E_DOUBLE_FREE, amx_msg_free_wait(r.b, t, UINT64_MAX));
    fails(AMX_E_TOO_BIG, amx_msg_store_wait(r.b, NULL, "", PAYLOAD + 1, UINT64_MAX, &out));
    for (int i = 0; i < DEPTH; i++)
        ok(amx_msg_store_wait(r.b, NULL, "", 1, 0, &all[i]));
    fails(AMX_E_TIMEOUT, amx_msg_store_wait(r.b, NULL, "", 1, 1000, &out));
    for (int i = 0; i < DEPTH; i++)
        ok(amx_msg_free(r.a, all[i]));
    room_close(&r);
}

/* --- The bytes: docs/format.md ---------------------------------------------------------------------------------------------- */

static void a_message_by_the_byte(void **state)
{
    struct amx_store s;
    const struct amx_store_config k = {.depth = 3, .payload_max = 40, .type_id = 7};
    (void)state;
    ok(amx_store_init(array, sizeof array, &k, &s));
    struct amx_message_header h = AMX_MESSAGE_HEADER_INIT;
    h.trace_id = 0x1122;
    amx_token t;
    ok(amx_msg_store(&s, &h, "hello", 5, &t));
    assert_int_equal(memcmp(array, "amx_msg1", 8), 0);
    assert_int_equal(t, (UINT64_C(1) << 56) + 1); /* class 0, place 0, generation 1 */
    uint64_t word;
    memcpy(&word, array + 192 + 256, 8);
    assert_int_equal(AMXI_W0_STATE(word), AMX_STATE_STORED);
    unsigned char *m = array + 192 + 256 + 64 + 64;
    assert_int_equal(m[8], 5);
    assert_true(m[16] == 0x22 && m[17] == 0x11 && m[16 + 32] == 5 && m[16 + 36] == 7);
    assert_int_equal(memcmp(m + 64, "hello", 5), 0);
    ok(amx_store_remove(&s));
    assert_int_equal(array[0], 0);
}

int main(void)
{
#define EACH(f)                                                                                                        \
    {#f " (static)", f, NULL, NULL, (void *)(uintptr_t)&kinds[0]},                                                     \
        {#f " (heap)", f, NULL, NULL, (void *)(uintptr_t)&kinds[1]},                                                   \
        {#f " (concurrent)", f, NULL, NULL, (void *)(uintptr_t)&kinds[2]},                                             \
    {                                                                                                                  \
#f " (shared)", f, NULL, NULL, (void *)(uintptr_t)&kinds[3]                                                    \
    }
#define OF(f, kind)                                                                                                    \
    {                                                                                                                  \
#f " (" #kind ")", f, NULL, NULL, (void *)(uintptr_t)&kinds[kind]                                              \
    }
    const struct CMUnitTest tests[] = {
        EACH(conformance),
        EACH(admission),
#if !ASAN && !TSAN /* which make calls and allocate of their own */
        cmocka_unit_test(no_system_call),
        cmocka_unit_test(a_system_call_is_noticed),
#endif
        cmocka_unit_test(the_constant_is_the_size),
        cmocka_unit_test(configurations),
        cmocka_unit_test(views_of_threads),
        OF(lost_guards_of_one_thread, STATIC),
        OF(lost_guards_of_one_thread, HEAP),
        cmocka_unit_test(memory_classes),
        cmocka_unit_test(pinned_memory),
        cmocka_unit_test(blocks_and_handles),
        cmocka_unit_test(forged_heads),
        cmocka_unit_test(read_only_and_forked),
        cmocka_unit_test(handle_given_back),
        cmocka_unit_test(guards_serve_all_stores),
        OF(waiting_calls, CONCURRENT),
        OF(waiting_calls, SHARED),
        EACH(times_out),
        cmocka_unit_test(a_message_by_the_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
