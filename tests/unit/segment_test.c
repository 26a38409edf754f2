/* SPDX-License-Identifier: Apache-2.0 */
/* Create, attach, open, close, unlink: names, options, and everything an answer must say. */
#include "tests/segment_kit.h"

/* --- Names ------------------------------------------------------------------------------------------------------- */

static void names(void **state)
{
    static const char *const bad[] = {"",     ".",    "..",       ".hidden", "-dash", "a b",
                                      "a\tb", "a\nb", "\xc3\xa4", "a*",      "a:b",   "a\\b"};
    char longest[AMX_NAME_MAX + 2];
    struct amx_options o = options();
    amx_t *h = NULL;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o = options();
        fails(AMX_E_NAME, amx_create(bad[i], &o, &h));
        says("name:");
        fails(AMX_E_NAME, amx_attach(bad[i], &o, &h));
        fails(AMX_E_NAME, amx_open(bad[i], &o, &h));
        fails(AMX_E_NAME, amx_unlink(bad[i], &o));
    }
    memset(longest, 'n', sizeof longest);
    longest[AMX_NAME_MAX + 1] = 0;
    fails(AMX_E_NAME, amx_create(longest, &o, &h));
    longest[AMX_NAME_MAX] = 0;
    ok(amx_create(longest, &o, &h));
    assert_string_equal(amx_name(h), longest);
    ok(amx_close(h));
    ok(amx_unlink(longest, &o));
    ok(amx_create("Az09._-", &o, &h));
    assert_true(exists("amx.Az09._-"));
    ok(amx_close(h));
    ok(amx_unlink("Az09._-", &o));
    fails(AMX_E_NOENT, amx_unlink("Az09._-", &o));
    assert_int_equal(files(), 0);
}

static void paths(void **state)
{
    struct amx_options o = options();
    amx_t *h = NULL, *again = NULL;
    char cwd[PATH_MAX];
    (void)state;
    ok(amx_create(in_dir("any name"), &o, &h)); /* not in o.dir by the option, but because the path says so */
    assert_string_equal(amx_name(h), in_dir("any name"));
    ok(amx_attach(in_dir("any name"), NULL, &again));
    ok(amx_close(again));
    ok(amx_close(h));
    ok(amx_unlink(in_dir("any name"), NULL));
    assert_int_equal(files(), 0);

    fails(AMX_E_NAME, amx_create(in_dir("slash/"), &o, &h));
    says("slash");
    fails(AMX_E_NOENT, amx_create(in_dir("none/x"), &o, &h));
    says("none");
    fails(AMX_E_NOENT, amx_attach(in_dir("none/x"), &o, &h));
    if (geteuid() == 0) { /* half a segment would be seen there */
        fails(AMX_E_SYS, amx_create("/proc/x", &o, &h));
        says("O_TMPFILE");
    } else {
        fails(AMX_E_ACCESS, amx_create("/proc/x", &o, &h));
    }
    fails(AMX_E_NOENT, amx_attach("none", &o, &h));
    says("amx.none");
    fails(AMX_E_INVAL, amx_attach(NULL, &o, &h));
    fails(AMX_E_INVAL, amx_open(NULL, &o, &h));
    char *too_long = malloc(PATH_MAX + 1);
    memset(too_long, '/', PATH_MAX);
    strcpy(too_long + PATH_MAX - 1, "a");
    fails(AMX_E_NAME, amx_create(too_long, &o, &h));
    memset(too_long, 'd', PATH_MAX);
    too_long[PATH_MAX] = 0;
    o.dir = too_long;
    fails(AMX_E_NAME, amx_create("n", &o, &h));
    free(too_long);

    /* A relative path still means the same file when the program has gone elsewhere. */
    o = options();
    o.flags = AMX_F_REMOVE_LAST;
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(chdir(dir), 0);
    ok(amx_create("./relative", &o, &h));
    assert_int_equal(chdir("/"), 0);
    ok(amx_close(h));
    assert_int_equal(chdir(cwd), 0);
    assert_int_equal(files(), 0);
}

static void directories(void **state)
{
    struct amx_options o = options();
    amx_t *h = NULL;
    (void)state;
    o.dir = NULL;
    assert_int_equal(setenv("AMX_DIR", dir, 1), 0);
    ok(amx_create("by-env", &o, &h));
    assert_true(exists("amx.by-env"));
    ok(amx_close(h));
    ok(amx_unlink("by-env", &o));
    assert_int_equal(setenv("AMX_DIR", "/nonexistent", 1), 0);
    fails(AMX_E_NOENT, amx_create("by-env", &o, &h));
    says("/nonexistent");
    o.dir = dir; /* the option wins */
    ok(amx_create("by-option", &o, &h));
    ok(amx_close(h));
    ok(amx_unlink("by-option", &o));
    assert_int_equal(unsetenv("AMX_DIR"), 0);
    o.dir = NULL;
    const char *name = test_name();
    char path[128];
    ok(amx_create(name, &o, &h));
    snprintf(path, sizeof path, "/dev/shm/amx.%s", name);
    assert_int_equal(access(path, F_OK), 0);
    ok(amx_close(h));
    ok(amx_unlink(name, NULL));
    assert_int_equal(files(), 0);
}

static void random_names(void **state)
{
    struct amx_options o = options();
    amx_t *a = NULL, *b = NULL, *c = NULL;
    (void)state;
    ok(amx_create(NULL, &o, &a));
    ok(amx_create(NULL, &o, &b));
    assert_string_not_equal(amx_name(a), amx_name(b));
    ok(amx_attach(amx_name(a), &o, &c));
    assert_memory_equal(info_of(a).id, info_of(c).id, 16);
    assert_memory_not_equal(info_of(a).id, info_of(b).id, 16);
    ok(amx_unlink(amx_name(a), &o));
    ok(amx_unlink(amx_name(b), &o));
    ok(amx_close(a));
    ok(amx_close(b));
    ok(amx_close(c));
    assert_int_equal(files(), 0);
}

/* --- Options ----------------------------------------------------------------------------------------------------- */

static void sizes(void **state)
{
    struct amx_options o = options();
    amx_t *h = NULL;
    (void)state;
    o.size = 100001;
    o.max_size = 200001;
    o.peers = 3;
    o.handles = 5;
    o.guards = 7;
    o.sector_size = 8192;
    o.flags = AMX_F_SPARSE | AMX_F_REMOVE_LAST;
    ok(amx_create("sizes", &o, &h));
    struct amx_segment_info i = info_of(h);
    struct stat st;
    assert_int_equal(stat(in_dir("amx.sizes"), &st), 0);
    assert_int_equal(st.st_size, 102400);
    assert_int_equal(i.size, 102400);
    assert_int_equal(i.max_size, 200704);
    assert_int_equal(i.peers, 3);
    assert_int_equal(i.handles, 5);
    assert_int_equal(i.guards, 7);
    assert_int_equal(i.sector_size, 8192);
    assert_int_equal(i.flags, AMX_F_SPARSE | AMX_F_REMOVE_LAST);
    assert_int_equal(i.data_bytes, (uint64_t)i.sectors * 8192);
    assert_true(i.data_offset + i.data_bytes <= i.size && i.size - i.data_offset - i.data_bytes < 8192);
    assert_true(i.sectors_max > i.sectors);
    assert_int_equal(i.max_request, i.data_bytes - 16);
    assert_int_equal(i.layout, 3);
    assert_int_equal(i.peers_used, 1);
    assert_int_equal(i.handles_used, 1);
    amx_ref r;
    ok(amx_alloc(h, i.max_request, &r)); /* it can ever succeed, as it says */
    ok(amx_free(h, r));
    fails(AMX_E_TOO_BIG, amx_alloc(h, i.max_request + 1, &r));
    ok(amx_close(h));

    o = options();
    o.size = 0;
    ok(amx_create("default", &o, &h));
    assert_int_equal(info_of(h).size, 64 * KIB * KIB);
    assert_int_equal(stat(in_dir("amx.default"), &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 >= 64 * KIB * KIB); /* every page is there */
    ok(amx_close(h));
    ok(amx_unlink("default", &o));
    assert_int_equal(files(), 0);
}

static void refused_options(void **state)
{
    amx_t *h = NULL;
    struct amx_options o;
    (void)state;
#define REFUSED(text, ...)                                                                                             \
    do {                                                                                                               \
        o = options();                                                                                                 \
        __VA_ARGS__;                                                                                                   \
        fails(AMX_E_INVAL, amx_create("refused", &o, &h));                                                             \
        says(text);                                                                                                    \
        fails(AMX_E_INVAL, amx_create_memfd("refused", &o, &h));                                                       \
        assert_null(h);                                                                                                \
    } while (0)
    REFUSED("size", o.size = AMX_SIZE_MIN - 1);
    REFUSED("size", o.size = AMX_SIZE_MAX + 1);
    REFUSED("max_size", o.max_size = o.size - 1);
    REFUSED("max_size", o.max_size = AMX_SIZE_MAX + 1);
    REFUSED("peers", o.peers = AMX_PEERS_MAX + 1);
    REFUSED("handles", o.handles = AMX_HANDLES_MAX + 1);
    REFUSED("guards", o.guards = AMX_GUARDS_MAX + 1);
    REFUSED("sector_size", o.sector_size = 5000);
    REFUSED("sector_size", o.sector_size = 2048);
    REFUSED("sector_size", o.sector_size = 16u << 20);
    REFUSED("no sector", o.sector_size = 64u << 10);
    REFUSED("no sector", o.handles = AMX_HANDLES_MAX);
    REFUSED("max_size", o.max_size = AMX_SIZE_MAX); /* its tables alone are larger than size */
    REFUSED("sectors", o.size = AMX_SIZE_MAX; o.sector_size = 4096);
    REFUSED("flags", o.flags = AMX_F_ALL_ + 1);
    REFUSED("READONLY", o.flags = AMX_F_READONLY);
    REFUSED("mode", o.mode = 0700);
    REFUSED("mode", o.mode = 04600);
    REFUSED("group", o.group = -2);
    REFUSED("group", o.group = INT64_C(1) << 32);
#undef REFUSED
    o = options();
    fails(AMX_E_INVAL, amx_create("refused", &o, NULL));
    o.flags = AMX_F_READONLY;
    fails(AMX_E_INVAL, amx_open("refused", &o, &h));
    o.why_len = 4; /* a short buffer is never overrun */
    fails(AMX_E_INVAL, amx_create("refused", &o, &h));
    assert_int_equal(strlen(why), 3);
    assert_int_equal(files(), 0);
}

static void struct_sizes(void **state)
{
    struct {
        struct amx_options o;
        uint8_t more[64];
    } newer = {.o = options()};
    amx_t *h = NULL;
    (void)state;
    newer.o.struct_size = sizeof newer.o - 1;
    fails(AMX_E_INVAL, amx_create("struct", &newer.o, &h));
    newer.o.struct_size = SIZE_MAX;
    fails(AMX_E_INVAL, amx_create("struct", &newer.o, &h));
    newer.o.struct_size = sizeof newer;
    newer.more[63] = 1;
    fails(AMX_E_INVAL, amx_create("struct", &newer.o, &h));
    says("rest is not zero");
    newer.more[63] = 0;
    static union {
        struct amx_options o;
        uint8_t bytes[8192];
    } huge;
    huge.o = options();
    huge.o.struct_size = sizeof huge;
    fails(AMX_E_INVAL, amx_create("struct", &huge.o, &h));
    ok(amx_create("struct", &newer.o, &h));
    struct {
        struct amx_segment_info i;
        uint8_t more[8];
    } info;
    memset(&info, 0xff, sizeof info);
    info.i.struct_size = sizeof info.i - 1;
    fails(AMX_E_INVAL, amx_info(h, &info.i));
    info.i.struct_size = sizeof info;
    ok(amx_info(h, &info.i));
    assert_int_equal(info.i.struct_size, sizeof info);
    assert_memory_equal(info.more, "\0\0\0\0\0\0\0\0", 8);
    ok(amx_unlink("struct", &newer.o));
    ok(amx_close(h));
}

static void modes_and_group(void **state)
{
    struct amx_options o = options();
    struct stat st;
    amx_t *h = NULL;
    (void)state;
    mode_t mask = umask(0777); /* decides nothing */
    ok(amx_create("mode", &o, &h));
    assert_int_equal(stat(in_dir("amx.mode"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    ok(amx_unlink("mode", &o));
    ok(amx_close(h));
    o.group = geteuid() == 0 ? 4242 : getegid();
    ok(amx_create("mode", &o, &h));
    assert_int_equal(stat(in_dir("amx.mode"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(st.st_gid, o.group);
    ok(amx_unlink("mode", &o));
    ok(amx_close(h));
    o.mode = 0644;
    ok(amx_create("mode", &o, &h));
    assert_int_equal(stat(in_dir("amx.mode"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    ok(amx_unlink("mode", &o));
    ok(amx_close(h));
    umask(mask);
}

/* --- Attach and open --------------------------------------------------------------------------------------------- */

static void create_attach_open(void **state)
{
    struct amx_options o = options();
    amx_t *a = NULL, *b = NULL, *c = NULL;
    amx_ref r;
    void *p;
    (void)state;
    o.map_hint = test_hint(0);
    ok(amx_create("one", &o, &a));
    fails(AMX_E_EXIST, amx_create("one", &o, &b));
    says("amx.one");
    o.map_hint = test_hint(1);
    ok(amx_attach("one", &o, &b));
    assert_ptr_equal(a->seg->base, test_hint(0));
    assert_ptr_equal(b->seg->base, test_hint(1));
    o.size = AMX_SIZE_MAX + 1; /* attach does not look at it */
    ok(amx_open("one", &o, &c));
    assert_int_equal(info_of(c).peers_used, 3);
    assert_memory_equal(info_of(a).id, info_of(c).id, 16);
    ok(amx_alloc(a, 100, &r));
    ok(amx_ptr(a, r, &p));
    strcpy(p, "seen by all");
    ok(amx_ptr(c, r, &p));
    assert_string_equal(p, "seen by all");
    ok(amx_close(a));
    fails(AMX_E_STALE, amx_ptr(b, r, &p)); /* private: it fell with its owner */
    ok(amx_close(b));
    ok(amx_close(c));
    assert_true(exists("amx.one")); /* and stays without anybody */
    o = options();
    ok(amx_attach("one", &o, &a));
    assert_int_equal(info_of(a).peers_used, 1);
    assert_int_equal(info_of(a).handles_used, 1);
    struct amx_check_result result = {.struct_size = sizeof result};
    ok(amx_check(a, NULL, NULL, &result));
    ok(amx_close(a));
    ok(amx_unlink("one", &o));
    ok(amx_open("one", &o, &a));
    ok(amx_close(a));
    ok(amx_unlink("one", &o));
    assert_int_equal(files(), 0);
}

static void read_only(void **state)
{
    struct amx_options o = options();
    amx_t *w = NULL, *r = NULL;
    amx_ref ref, root = 0;
    (void)state;
    ok(amx_create("ro", &o, &w));
    ok(amx_root_set(w, 0, 77));
    struct stat before, after;
    o.flags = AMX_F_READONLY;
    assert_int_equal(stat(in_dir("amx.ro"), &before), 0);
    char *copy = malloc(64 * KIB);
    memcpy(copy, w->seg->base, 64 * KIB);
    ok(amx_attach("ro", &o, &r));
    ok(amx_root_get(r, 0, &root));
    assert_int_equal(root, 77);
    fails(AMX_E_READONLY, amx_root_set(r, 0, 1));
    fails(AMX_E_READONLY, amx_root_cas(r, 0, 77, 1, NULL));
    fails(AMX_E_READONLY, amx_alloc(r, 1, &ref));
    assert_int_equal(info_of(r).flags, AMX_F_READONLY);
    assert_int_equal(info_of(r).peers_used, 1);
    assert_string_equal(amx_name(r), "ro");
    ok(amx_close(r));
    assert_memory_equal(copy, w->seg->base, 64 * KIB); /* not a byte of it has changed */
    free(copy);
    assert_int_equal(stat(in_dir("amx.ro"), &after), 0);
    assert_int_equal(after.st_size, before.st_size);
    ok(amx_close(w));
    assert_int_equal(chmod(in_dir("amx.ro"), 0400), 0);
    ok(amx_attach("ro", &o, &r)); /* nobody is inside, the right to read is enough */
    ok(amx_close(r));
    ok(amx_unlink("ro", &o));
}

static void memfd(void **state)
{
    struct amx_options o = options();
    amx_t *a = NULL, *b = NULL;
    (void)state;
    o.flags = AMX_F_REMOVE_LAST;
    ok(amx_create_memfd("label", &o, &a));
    assert_string_equal(amx_name(a), "");
    int fd = amx_fd(a);
    assert_true(fd > 2 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    assert_int_equal(ftruncate(fd, 4096), -1);
    assert_int_equal(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK, F_SEAL_SHRINK);
    ok(amx_attach_fd(fd, &o, &b));
    assert_true(amx_fd(b) != fd);
    ok(amx_root_set(b, 15, 5));
    amx_ref r = 0;
    ok(amx_root_get(a, 15, &r));
    assert_int_equal(r, 5);
    ok(amx_close(a));
    ok(amx_close(b));
    ok(amx_create_memfd(NULL, NULL, &a));
    assert_int_equal(info_of(a).size, 64 * KIB * KIB);
    ok(amx_close(a));
    char label[AMX_NAME_MAX + 2] = "";
    memset(label, 'l', sizeof label - 1);
    fails(AMX_E_NAME, amx_create_memfd(label, &o, &a));

    /* A copy that its owner may still shrink. */
    ok(amx_create_memfd("label", &o, &a));
    fd = memfd_create("loose", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, a->seg->base, 64 * KIB), 64 * KIB);
    fails(AMX_E_LAYOUT, amx_attach_fd(fd, &o, &b));
    says("sealed");
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    ok(amx_attach_fd(fd, &o, &b));
    ok(amx_close(b));
    ok(amx_close(a));
    close(fd);
    fails(AMX_E_INVAL, amx_attach_fd(-1, &o, &b));
    assert_true(amx_attach_fd(9999, &o, &b) < 0);
    says("descriptor");
    fd = open("/dev/null", O_RDWR);
    fails(AMX_E_LAYOUT, amx_attach_fd(fd, &o, &b));
    close(fd);
}

static void named_by_descriptor(void **state)
{
    struct amx_options o = options();
    amx_t *a = NULL, *b = NULL;
    (void)state;
    ok(amx_create("fd", &o, &a));
    ok(amx_unlink("fd", &o));
    ok(amx_attach_fd(amx_fd(a), &o, &b));
    assert_string_equal(amx_name(b), "");
    assert_int_equal(info_of(a).peers_used, 2);
    ok(amx_close(a));
    ok(amx_close(b));
}

static void roots(void **state)
{
    struct amx_options o = options();
    amx_t *h = NULL;
    amx_ref r = 1;
    (void)state;
    ok(amx_create_memfd("roots", &o, &h));
    for (unsigned i = 0; i < AMX_ROOTS; i++) {
        ok(amx_root_get(h, i, &r));
        assert_int_equal(r, 0);
        ok(amx_root_set(h, i, i + 100));
    }
    for (unsigned i = 0; i < AMX_ROOTS; i++) {
        ok(amx_root_get(h, i, &r));
        assert_int_equal(r, i + 100);
        fails(AMX_E_STATE, amx_root_cas(h, i, 1, 2, &r));
        assert_int_equal(r, i + 100);
        fails(AMX_E_STATE, amx_root_cas(h, i, 1, 2, NULL));
        ok(amx_root_cas(h, i, i + 100, UINT64_MAX - i, &r));
        assert_int_equal(r, i + 100);
        ok(amx_root_get(h, i, &r));
        assert_true(r == UINT64_MAX - i);
    }
    fails(AMX_E_INVAL, amx_root_get(h, AMX_ROOTS, &r));
    fails(AMX_E_INVAL, amx_root_set(h, AMX_ROOTS, 1));
    fails(AMX_E_INVAL, amx_root_cas(h, UINT_MAX, 1, 1, &r));
    fails(AMX_E_INVAL, amx_root_get(h, 0, NULL));
    ok(amx_close(h));
}

/* --- Fork -------------------------------------------------------------------------------------------------------- */

static void forked_child(void **state)
{
    struct amx_options o = options();
    amx_t *h = NULL, *more = NULL, *ro = NULL;
    amx_ref r = 0, root;
    (void)state;
    if (emulated("a fork does not wipe what is private"))
        skip();
    o.flags = AMX_F_REMOVE_LAST;
    ok(amx_create("fork", &o, &h));
    ok(amx_share(h, &more));
    o.flags = AMX_F_READONLY;
    ok(amx_attach("fork", &o, &ro));
    o.flags = 0;
    ok(amx_alloc(h, 64, &r));
    ok(amx_root_set(h, 0, r));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct amx_segment_info i = {.struct_size = sizeof i};
        must(amx_root_get(h, 0, &root) == AMX_E_FORKED);
        must(amx_root_set(h, 0, 0) == AMX_E_FORKED);
        must(amx_info(h, &i) == AMX_E_FORKED);
        must(amx_fd(h) == AMX_E_FORKED);
        must(amx_name(h)[0] == 0);
        must(amx_alloc(more, 1, &root) == AMX_E_FORKED);
        must(amx_info(ro, &i) == AMX_E_FORKED);
        must(amx_close(more) == AMX_E_INVAL);
        must_ok(amx_close(ro));
        must_ok(amx_close(h)); /* the parent's segment stays, and its name */
        must_ok(amx_attach("fork", &o, &h));
        must_ok(amx_root_get(h, 0, &root));
        must(root == r);
        must_ok(amx_info(h, &i));
        must(i.peers_used == 2);
        pid_t inner = fork(); /* and once more, from a child that has attached */
        if (inner == 0) {
            must(amx_root_get(h, 0, &root) == AMX_E_FORKED);
            must_ok(amx_close(h));
            _exit(0);
        }
        must(wait_end(inner) == 0);
        must_ok(amx_root_get(h, 0, &root));
        must_ok(amx_close(h));
        _exit(0);
    }
    assert_int_equal(wait_end(pid), 0);
    assert_true(exists("amx.fork"));
    ok(amx_root_get(h, 0, &root));
    assert_int_equal(root, r);
    ok(amx_free(h, r));
    assert_int_equal(info_of(h).peers_used, 1);
    ok(amx_close(ro));
    ok(amx_close(h));
    assert_int_equal(files(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),        cmocka_unit_test(paths),           cmocka_unit_test(directories),
        cmocka_unit_test(random_names), cmocka_unit_test(sizes),           cmocka_unit_test(refused_options),
        cmocka_unit_test(struct_sizes), cmocka_unit_test(modes_and_group), cmocka_unit_test(create_attach_open),
        cmocka_unit_test(read_only),    cmocka_unit_test(memfd),           cmocka_unit_test(named_by_descriptor),
        cmocka_unit_test(roots),        cmocka_unit_test(forked_child),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
