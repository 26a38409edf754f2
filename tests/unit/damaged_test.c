/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not what they should be: attach says what differs, changes nothing, and unlink leaves them alone. */
#include "tests/segment_kit.h"

static void make_file(const char *path, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    close(fd);
}

static void not_a_segment(void **state)
{
    struct amx_options o = options();
    amx_t *h = NULL;
    char junk[8192];
    (void)state;
    memset(junk, 0x5a, sizeof junk);
    const char *path = in_dir("amx.junk");
    for (int round = 0; round < 3; round++) {
        make_file(path, junk, round == 0 ? 0 : round == 1 ? 767 : sizeof junk);
        fails(AMX_E_LAYOUT, amx_attach("junk", &o, &h));
        says(round < 2 ? "too short" : "magic");
        fails(AMX_E_LAYOUT, amx_open("junk", &o, &h));
        fails(AMX_E_EXIST, amx_create("junk", &o, &h));
        fails(AMX_E_LAYOUT, amx_unlink("junk", &o));
        says("left alone");
        assert_true(exists("amx.junk"));
    }
    assert_int_equal(unlink(path), 0);
    for (int kind = 0; kind < 3; kind++) {
        assert_int_equal(kind == 0   ? mkdir(path, 0700)
                         : kind == 1 ? mkfifo(path, 0600)
                                     : symlink("/dev/zero", path),
                         0);
        fails(AMX_E_LAYOUT, amx_attach("junk", &o, &h));
        says("not a regular file");
        o.flags = AMX_F_READONLY;
        fails(AMX_E_LAYOUT, amx_attach("junk", &o, &h));
        o.flags = 0;
        fails(AMX_E_EXIST, amx_create("junk", &o, &h));
        fails(AMX_E_LAYOUT, amx_unlink("junk", &o));
        assert_true(exists("amx.junk"));
        assert_int_equal(remove(path), 0);
    }
    /* A link, even to a segment: who may write the directory must not lead us elsewhere. */
    ok(amx_create("real", &o, &h));
    assert_int_equal(symlink("amx.real", path), 0);
    amx_t *by_link = NULL;
    fails(AMX_E_LAYOUT, amx_attach("junk", &o, &by_link));
    fails(AMX_E_LAYOUT, amx_unlink("junk", &o));
    ok(amx_unlink("real", &o));
    ok(amx_close(h));
    fails(AMX_E_LAYOUT, amx_open("junk", &o, &h)); /* and one that leads nowhere creates nothing */
    assert_int_equal(remove(path), 0);
    assert_int_equal(files(), 0);
}

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static void damaged(void **state)
{
    struct amx_options o = options();
    amx_t *h = NULL;
    (void)state;
    union {
        struct amxi_head_body head;
        uint8_t bytes[65536];
    } *good = malloc(sizeof *good), *bad = malloc(sizeof *bad);
    ok(amx_create("damaged", &o, &h));
    memcpy(good, h->seg->base, sizeof *good);
    ok(amx_close(h));
    const char *path = in_dir("amx.damaged");
    int fd = open(path, O_RDWR);
#define DAMAGED(text, sealed, change)                                                                                  \
    do {                                                                                                               \
        memcpy(bad, good, sizeof *bad);                                                                                \
        change;                                                                                                        \
        if (sealed) {                                                                                                  \
            bad->head.crc = 0;                                                                                         \
            bad->head.crc = crc32_of(bad->bytes, 512);                                                                 \
        }                                                                                                              \
        assert_int_equal(pwrite(fd, bad, sizeof *bad, 0), sizeof *bad);                                                \
        fails(AMX_E_LAYOUT, amx_attach("damaged", &o, &h));                                                            \
        says(text);                                                                                                    \
        o.flags = AMX_F_READONLY;                                                                                      \
        fails(AMX_E_LAYOUT, amx_attach("damaged", &o, &h));                                                            \
        o.flags = 0;                                                                                                   \
    } while (0)
    DAMAGED("magic", 0, bad->head.magic ^= 1);
    DAMAGED("byte order", 0, bad->head.magic = __builtin_bswap64(bad->head.magic));
    DAMAGED("byte order", 1, bad->head.byte_order = 0x04030201);
    DAMAGED("byte order", 1, bad->head.byte_order = 0x01020403);
    DAMAGED("layout version 4, this library knows 3", 0, bad->head.layout = 4);
    DAMAGED("words of 32 bits", 0, bad->head.word_bits = 32);
    DAMAGED("head of 1024 bytes", 0, bad->head.head_bytes = 1024);
    DAMAGED("features 8000000000000000", 1, bad->head.incompat = UINT64_C(1) << 63);
    DAMAGED("checksum", 0, bad->head.crc ^= 1);
    DAMAGED("checksum", 0, bad->head.id[0] ^= 1);
    DAMAGED("size", 1, bad->head.size += 4096);
    DAMAGED("size", 1, bad->head.size -= 4096);
    DAMAGED("size", 1, bad->head.size = 0);
    DAMAGED("max_size", 1, bad->head.max_size = 4096);
    DAMAGED("max_size", 1, bad->head.max_size = UINT64_MAX);
    DAMAGED("sectors", 1, bad->head.sectors = 12);
    DAMAGED("sectors_max", 1, bad->head.sectors_max = UINT32_MAX);
    DAMAGED("sector_log2", 1, bad->head.sector_log2 = 31);
    DAMAGED("peers", 1, bad->head.peers = 256);
    DAMAGED("handles", 1, bad->head.handles = 0);
    DAMAGED("guards", 1, bad->head.guards = UINT32_MAX);
    DAMAGED("bins", 1, bad->head.bins = 200);
    DAMAGED("regions", 1, bad->head.regions_used = 11);
    DAMAGED("kind of a region", 1, bad->head.region[3].kind = 3);
    DAMAGED("stride of a region", 1, bad->head.region[4].stride = 64);
    DAMAGED("offset of a region", 1, bad->head.region[9].offset = UINT64_MAX - 4095);
    DAMAGED("size of a region", 1, bad->head.region[6].size = 1);
    DAMAGED("flags", 1, bad->head.flags = AMX_F_READONLY);
#undef DAMAGED

    /* Features that forbid writing only. */
    memcpy(bad, good, sizeof *bad);
    bad->head.ro_compat = 1;
    bad->head.compat = 1;
    bad->head.crc = 0;
    bad->head.crc = crc32_of(bad->bytes, 512);
    assert_int_equal(pwrite(fd, bad, sizeof *bad, 0), sizeof *bad);
    fails(AMX_E_LAYOUT, amx_attach("damaged", &o, &h));
    says("read-only");
    o.flags = AMX_F_READONLY;
    ok(amx_attach("damaged", &o, &h));
    ok(amx_close(h));
    o.flags = 0;

    /* The file's size: attach never mends it. */
    static const long sizes[] = {65536 - 4096, 65535, 65537, 65536 + 4096, 4096, 3072};
    assert_int_equal(pwrite(fd, good, sizeof *good, 0), sizeof *good);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct stat st;
        assert_int_equal(ftruncate(fd, sizes[i]), 0);
        fails(AMX_E_LAYOUT, amx_attach("damaged", &o, &h));
        says("the head says 65536 bytes");
        fails(AMX_E_LAYOUT, amx_open("damaged", &o, &h));
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, sizes[i]);
    }
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, good, sizeof *good, 0), sizeof *good);
    ok(amx_attach("damaged", &o, &h));
    ok(amx_close(h));
    ok(amx_unlink("damaged", &o));
    close(fd);
    free(good);
    free(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_a_segment),
        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
