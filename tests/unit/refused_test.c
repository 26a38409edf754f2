/* SPDX-License-Identifier: Apache-2.0 */
/* Handles that may not, and bad options, names and structs: every public call refuses, and nothing changed. */
#include "tests/arena_calls.h"

#include <limits.h>

static void no_handle(void **state)
{
    struct world w;
    amx_t *out = NULL;

    (void)state;
    world_open(&w);
    expect_by_handle(&w, NULL, AMX_E_INVAL, AMX_E_INVAL);
    fails(AMX_E_INVAL, amx_share(NULL, &out));
    fails(AMX_E_INVAL, amx_unshare(NULL));
    fails(AMX_E_INVAL, amx_close(NULL));
    assert_true(amx_fd(NULL) < 0);
    assert_non_null(amx_name(NULL));
    assert_int_equal(amx_handle_id(NULL), 0);
    assert_int_equal(amx_raw_total_size(NULL), 0);
    assert_int_equal(amx_raw_first_block(NULL), 0);
    assert_null(amx_raw_base(NULL));
    /* the wrong kind of handle */
    fails(AMX_E_INVAL, amx_unshare(w.h));
    fails(AMX_E_INVAL, amx_close(w.more));
    world_close(&w);
}

static void read_only_handle(void **state)
{
    struct world w;
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *r = NULL;

    (void)state;
    world_open(&w);
    o.flags = AMX_F_READONLY;
    ok(amx_attach_fd(amx_fd(w.h), &o, &r));
    expect_by_handle(&w, r, AMX_E_READONLY, AMX_OK);
    assert_int_equal(amx_handle_id(r), 0);
    assert_true(info_of(r).flags & AMX_F_READONLY);
    assert_int_equal(info_of(w.h).peers_used, 1); /* it has taken no entry */
    verify(r, w.live, 1);
    ok(amx_close(r));
    world_close(&w);
}

static void forked_child(void **state)
{
    struct world w;
    int fd;
    pid_t pid;

    (void)state;
    if (emulated("a fork does not wipe what is private"))
        skip();
    world_open(&w);
    fd = dup(amx_fd(w.h));
    must(fd >= 0);
    pid = fork();
    must(pid >= 0);
    if (pid == 0) {
        amx_t *mine = NULL;
        amx_ref r;
        struct amx_stats before;

        expect_by_handle(&w, w.h, AMX_E_FORKED, AMX_E_FORKED);
        expect_by_handle(&w, w.more, AMX_E_FORKED, AMX_E_FORKED);
        must(amx_share(w.h, &mine) == AMX_E_FORKED);
        must(amx_unshare(w.more) == AMX_E_FORKED);
        must(amx_fd(w.h) < 0);
        must(amx_name(w.h) != NULL);
        must(amx_handle_id(w.h) == 0);
        must(amx_raw_total_size(w.h) == 0);
        must(amx_raw_first_block(w.h) == 0);
        must(amx_raw_base(w.h) == NULL);
        /* it attaches for itself, while the inherited handle stays refused */
        must_ok(amx_attach_fd(fd, NULL, &mine));
        before = stat_of(mine);
        must(memcmp(&before, &w.before, sizeof before) == 0);
        r = alloc(mine, 1000);
        mark(mine, r, 3);
        must(amx_free(w.h, r) == AMX_E_FORKED);
        verify(mine, r, 3);
        verify(mine, w.live, 1);
        must_ok(amx_free(mine, r));
        check_clean(mine);
        must_ok(amx_close(w.h)); /* unmaps only */
        must_ok(amx_close(mine));
        _exit(0);
    }
    wait_ok(pid);
    close(fd);
    (void)amx_recover(w.h, 0, NULL, NULL, NULL);
    world_close(&w);
}

/* --- Structs that carry their size ---------------------------------------------------------------------------- */

static void struct_sizes(void **state)
{
    struct world w;
    struct amx_options o = AMX_OPTIONS_INIT;
    amx_t *h = NULL;
    unsigned char room[1024];

    (void)state;
    world_open(&w);
    for (size_t size = 0; size < 8; size++) {
        o.struct_size = size;
        fails(AMX_E_INVAL, amx_create_memfd("x", &o, &h));
        fails(AMX_E_INVAL, amx_create("input-test", &o, &h));
        fails(AMX_E_INVAL, amx_open("input-test", &o, &h));
        fails(AMX_E_INVAL, amx_attach("input-test", &o, &h));
        fails(AMX_E_INVAL, amx_attach_fd(amx_fd(w.h), &o, &h));
        fails(AMX_E_INVAL, amx_unlink("input-test", &o));
    }
    assert_null(h);
    /* an older program's struct is shorter: not a byte behind it is touched */
    for (size_t size = 0; size <= 256; size += 8)
        for (int call = 0; call < 3; call++) {
            int rc;

            memset(room, 0xa5, sizeof room);
            memcpy(room, &size, sizeof size);
            rc = call == 0   ? amx_info(w.h, (struct amx_segment_info *)(void *)room)
                 : call == 1 ? amx_stat(w.h, (struct amx_stats *)(void *)room)
                             : amx_check(w.h, NULL, NULL, (struct amx_check_result *)(void *)room);
            assert_true(rc == AMX_OK || rc == AMX_E_INVAL);
            if (size == 0)
                assert_int_equal(rc, AMX_E_INVAL);
            for (size_t i = size < 8 ? 8 : size; i < sizeof room; i++)
                assert_int_equal(room[i], 0xa5);
        }
    world_close(&w);
}

static void wrong_options(void **state)
{
    const struct amx_options good = AMX_OPTIONS_INIT;
    struct amx_options o;
    amx_t *h = NULL;
    char why[128];

    (void)state;
    for (int i = 0; i < 14; i++) {
        o = good;
        o.size = MIB;
        o.why = why;
        o.why_len = sizeof why;
        why[0] = 0;
        switch (i) {
        case 0:
            o.size = AMX_SIZE_MIN - 1;
            break;
        case 1:
            o.size = AMX_SIZE_MAX + 1;
            break;
        case 2:
            o.size = UINT64_MAX;
            break;
        case 3:
            o.max_size = MIB - 4096;
            break;
        case 4:
            o.max_size = AMX_SIZE_MAX + 1;
            break;
        case 5:
            o.peers = AMX_PEERS_MAX + 1;
            break;
        case 6:
            o.handles = AMX_HANDLES_MAX + 1;
            break;
        case 7:
            o.guards = AMX_GUARDS_MAX + 1;
            break;
        case 8:
            o.sector_size = 2048;
            break;
        case 9:
            o.sector_size = 12288;
            break;
        case 10:
            o.sector_size = 16 << 20;
            break;
        case 11:
            o.flags = AMX_F_ALL_ + 1;
            break;
        case 12:
            o.mode = 010000;
            break;
        default:
            o.sector_size = 1 << 20; /* larger than the room for it */
            break;
        }
        fails(AMX_E_INVAL, amx_create_memfd("x", &o, &h));
        assert_true(strlen(why) > 10);
    }
    assert_null(h);
}

static void names_and_descriptors(void **state)
{
    static const char *const names[] = {"", ".", "..", ".x", "-x", "a b", "a\n", "\xc3\xa4", "a:b", "a*"};
    char longest[AMX_NAME_MAX + 2];
    amx_t *h = NULL;

    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    for (size_t i = 0; i <= sizeof names / sizeof *names; i++) {
        const char *name = i < sizeof names / sizeof *names ? names[i] : longest;

        fails(AMX_E_NAME, amx_create(name, NULL, &h));
        fails(AMX_E_NAME, amx_attach(name, NULL, &h));
        fails(AMX_E_NAME, amx_open(name, NULL, &h));
        fails(AMX_E_NAME, amx_unlink(name, NULL));
    }
    fails(AMX_E_NOENT, amx_attach(test_name(), NULL, &h));
    fails(AMX_E_NOENT, amx_unlink(test_name(), NULL));
    fails(AMX_E_INVAL, amx_create(test_name(), NULL, NULL));
    fails(AMX_E_INVAL, amx_open(test_name(), NULL, NULL));
    fails(AMX_E_INVAL, amx_attach(test_name(), NULL, NULL));
    fails(AMX_E_INVAL, amx_create_memfd("x", NULL, NULL));
    assert_int_not_equal(amx_attach(NULL, NULL, &h), AMX_OK);
    assert_int_not_equal(amx_unlink(NULL, NULL), AMX_OK);
    for (int fd = -2; fd < 0; fd++)
        assert_int_not_equal(amx_attach_fd(fd, NULL, &h), AMX_OK);
    assert_int_not_equal(amx_attach_fd(100000, NULL, &h), AMX_OK);
    assert_null(h);
}

static void images(void **state)
{
    enum { LEN = 128 << 10 };
    struct amx_check_result r = {.struct_size = sizeof r};
    unsigned char *image = aligned_alloc(64, LEN);
    struct rng dice = rng_make(test_seed(), 2);

    (void)state;
    assert_non_null(image);
    memset(image, 0, LEN);
    fails(AMX_E_INVAL, amx_check_image(NULL, LEN, NULL, NULL, &r));
    fails(AMX_E_INVAL, amx_check_image(image, LEN, NULL, NULL, NULL));
    fails(AMX_E_LAYOUT, amx_check_image(image, LEN, NULL, NULL, &r));
    fails(AMX_E_LAYOUT, amx_check_image(image, 0, NULL, NULL, &r));
    fails(AMX_E_LAYOUT, amx_check_image(image, 64, NULL, NULL, &r));
    for (size_t i = 0; i < LEN; i++)
        image[i] = (unsigned char)rng_next(&dice);
    fails(AMX_E_LAYOUT, amx_check_image(image, LEN, NULL, NULL, &r));
    free(image);
}

static void texts(void **state)
{
    (void)state;
    for (int code = AMX_E_LAST_ + 1; code <= 0; code++) {
        assert_non_null(amx_strerror(code));
        assert_string_not_equal(amx_strerror(code), "unknown code");
        for (int k = AMX_E_LAST_ + 1; k < code; k++)
            assert_string_not_equal(amx_strerror(code), amx_strerror(k));
    }
    assert_string_equal(amx_strerror(1), "unknown code");
    assert_string_equal(amx_strerror(AMX_E_LAST_), "unknown code");
    assert_string_equal(amx_strerror(INT_MIN), "unknown code");
    assert_string_equal(amx_strerror(INT_MAX), "unknown code");
    assert_int_equal(amx_version(), AMX_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_handle),     cmocka_unit_test(read_only_handle),
        cmocka_unit_test(forked_child),  cmocka_unit_test(struct_sizes),
        cmocka_unit_test(wrong_options), cmocka_unit_test(names_and_descriptors),
        cmocka_unit_test(images),        cmocka_unit_test(texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
