/* SPDX-License-Identifier: Apache-2.0 */
/* The format in literal numbers: whoever changes one changes the layout version. */
#include "tests/support.h"

#include "pool.h"
#include "segment.h"
#include "store.h"

#define AT(type, field, offset, size)                                                                                  \
    do {                                                                                                               \
        assert_int_equal(offsetof(struct type, field), offset);                                                        \
        assert_int_equal(sizeof(((struct type *)0)->field), size);                                                     \
    } while (0)

static void head(void **state)
{
    (void)state;
    AT(amxi_head_body, magic, 0, 8);
    AT(amxi_head_body, layout, 8, 4);
    AT(amxi_head_body, byte_order, 12, 4);
    AT(amxi_head_body, word_bits, 16, 4);
    AT(amxi_head_body, head_bytes, 20, 4);
    AT(amxi_head_body, compat, 24, 8);
    AT(amxi_head_body, ro_compat, 32, 8);
    AT(amxi_head_body, incompat, 40, 8);
    AT(amxi_head_body, id, 48, 16);
    AT(amxi_head_body, boot_id, 64, 16);
    AT(amxi_head_body, size, 80, 8);
    AT(amxi_head_body, max_size, 88, 8);
    AT(amxi_head_body, first_gen, 96, 8);
    AT(amxi_head_body, created_ns, 104, 8);
    AT(amxi_head_body, sector_log2, 112, 4);
    AT(amxi_head_body, sectors, 116, 4);
    AT(amxi_head_body, sectors_max, 120, 4);
    AT(amxi_head_body, peers, 124, 4);
    AT(amxi_head_body, handles, 128, 4);
    AT(amxi_head_body, guards, 132, 4);
    AT(amxi_head_body, bins, 136, 4);
    AT(amxi_head_body, flags, 140, 4);
    AT(amxi_head_body, regions_used, 144, 4);
    AT(amxi_head_body, crc, 148, 4);
    AT(amxi_head_body, reserved0, 152, 8);
    AT(amxi_head_body, region, 160, 288);
    AT(amxi_head_body, reserved1, 448, 64);
    AT(amxi_head_body, tickets, 512, 8);
    AT(amxi_head_body, wait, 576, 4);
    AT(amxi_head_body, pressure, 580, 4);
    AT(amxi_head_body, handles_high, 584, 4);
    AT(amxi_head_body, roots, 640, 128);
    assert_int_equal(sizeof(struct amxi_head_body), 3072);
    AT(amxi_region_body, kind, 0, 4);
    AT(amxi_region_body, stride, 4, 4);
    AT(amxi_region_body, offset, 8, 8);
    AT(amxi_region_body, size, 16, 8);
    assert_int_equal(sizeof(struct amxi_region_body), 24);
}

static void tables(void **state)
{
    (void)state;
    AT(amxi_peer_body, word, 0, 8);
    AT(amxi_head_body, object, 1024, 2048);
    AT(amxi_object_body, word, 0, 8);
    AT(amxi_object_body, ref, 8, 8);
    AT(amxi_object_body, first, 16, 8);
    AT(amxi_object_body, kind, 24, 4);
    AT(amxi_object_body, stride, 28, 4);
    AT(amxi_object_body, count, 32, 4);
    AT(amxi_object_body, to, 36, 4);
    AT(amxi_object_body, pair, 40, 16);
    AT(amxi_object_body, cells, 56, 4);
    AT(amxi_object_body, cells_from, 60, 4);
    assert_int_equal(sizeof(struct amxi_object_body), 64);

    AT(amxi_peer_body, pid, 8, 8);
    AT(amxi_peer_body, pid_ns, 16, 8);
    AT(amxi_peer_body, start_time, 24, 8);
    AT(amxi_peer_body, map_base, 32, 8);
    AT(amxi_peer_body, name, 40, 16);
    AT(amxi_peer_body, since_ns, 56, 8);
    assert_int_equal(sizeof(struct amxi_peer_body), 64);

    AT(amxi_handle_body, word, 0, 8);
    AT(amxi_handle_body, purging, 8, 4);
    AT(amxi_handle_body, giving, 12, 4);
    AT(amxi_handle_body, objects, 16, 4);
    AT(amxi_handle_body, flow, 24, 32);
    AT(amxi_handle_body, counter, 64, 56);
    AT(amxi_handle_body, handed, 120, 8);
    assert_int_equal(sizeof(struct amxi_handle_body), 128);

    AT(amxi_sector_body, word, 0, 8);
    AT(amxi_sector_body, drain, 8, 8);
    AT(amxi_sector_body, gclock, 16, 8);
    AT(amxi_sector_body, first, 24, 4);
    AT(amxi_sector_body, cut_by, 28, 4);
    AT(amxi_sector_body, ext_len, 32, 4);
    AT(amxi_sector_body, ext_tail, 36, 4);
    AT(amxi_sector_body, fl, 40, 4);
    AT(amxi_sector_body, sl, 44, 20);
    assert_int_equal(offsetof(struct amxi_sector_body, head), 64);
    assert_int_equal(sizeof(struct amxi_sector_body), 64);

    AT(amxi_block_body, w0, 0, 8);
    AT(amxi_block_body, w1, 8, 8);
    assert_int_equal(sizeof(struct amxi_block_body), 16);
    AT(amxi_free_body, next, 16, 4);
    AT(amxi_free_body, prev, 20, 4);
}

/* The words, by the bit. */
static void words(void **state)
{
    (void)state;
    assert_true(AMXI_MAGIC == UINT64_C(0x314765735f786d61));
    assert_int_equal(AMXI_LAYOUT, 3);
    assert_int_equal(AMXI_BYTE_ORDER, 0x01020304);
    assert_true(AMXI_LOCK_ATTACH == INT64_C(0x0100000000000000));
    assert_true(AMXI_LOCK_TICKET == INT64_C(0x0200000000000000));

    assert_true(AMXI_PEER_WORD(2, 0x123456789abcde) == UINT64_C(0x123456789abcde02));
    assert_int_equal(AMXI_PEER_FREE, 0);
    assert_int_equal(AMXI_PEER_LIVE, 1);
    assert_int_equal(AMXI_PEER_DEAD, 2);

    assert_true(AMXI_H_WORD(5, 0xab, 0xfedcba9876543) == UINT64_C(0xfedcba9876543ab5));
    assert_int_equal(AMXI_H_FREE, 0);
    assert_int_equal(AMXI_H_OPENING, 1);
    assert_int_equal(AMXI_H_OPEN, 2);
    assert_int_equal(AMXI_H_CLOSED, 3);
    assert_int_equal(AMXI_H_DEAD, 4);
    assert_int_equal(AMXI_H_QUIET, 5);
    assert_true(AMXI_ID(0xabc, 0xfedcba9876543) == UINT64_C(0xfedcba9876543abc));

    assert_true(AMXI_S_WORD(2, 0xbeef, 0xfedcba98765) == UINT64_C(0xfedcba98765beef2));
    assert_int_equal(AMXI_K_ABSENT, 0);
    assert_int_equal(AMXI_K_IDLE, 1);
    assert_int_equal(AMXI_K_HELD, 2);
    assert_int_equal(AMXI_K_HEAD, 3);
    assert_int_equal(AMXI_K_CONT, 4);
    assert_int_equal(AMXI_K_QUARANTINED, 5);
    assert_true(AMXI_Q_WORD(0x12345678, 0x9abc, 0xdef0) == UINT64_C(0xdef09abc12345678));

    assert_true(AMXI_W0(0x123, 0x456, 0xfedcba9876) == UINT64_C(0xfedcba9876456123));
    assert_true(AMXI_W1(0xabcde, 0x1fffff) == UINT64_C(0x1fffffabcde));
    assert_true(AMXI_REF(0x12345678, UINT64_C(0xfedcba9876456123)) == UINT64_C(0x12345678dcba9876));
    assert_int_equal(AMXI_UNIT, 16);
    assert_int_equal(AMXI_UNITS_MIN, 2);
    assert_int_equal(AMXI_UNITS_MAX, 524288);

    assert_int_equal(AMX_STATE_FREE, 0);
    assert_int_equal(AMX_STATE_ALLOCATED, 1);
    assert_int_equal(AMX_STATE_ACKED, 2);
    assert_int_equal(AMX_STATE_COALESCING, 3);
    assert_int_equal(AMX_STATE_CACHED, 4);
    assert_int_equal(AMX_STATE_USER_MIN, 49);
    assert_int_equal(AMX_STATE_KEPT, 2048);
    assert_int_equal(AMX_STATE_MAX, 4095);
    assert_int_equal(AMX_F_REMOVE_LAST, 2);
    assert_int_equal(AMX_F_SPARSE, 4);
}

/* --- Where everything lies ------------------------------------------------------------------------------------- */

struct expected {
    uint64_t size;
    uint32_t sector_log2, sectors, peers, handles, guards, bins, touched_words;
    struct amxi_region_body region[10];
};

/* clang-format off */
static const struct expected layouts[] = {
    {UINT64_C(64) << 10, 12, 13, 16, 16, 8, 47, 1,
     {{1, 3072, 0, 3072},
      {2, 64, 4096, 1024},
      {3, 128, 5120, 2048},
      {4, 8, 7168, 1024},
      {5, 256, 8192, 3328},
      {6, 8, 11520, 104},
      {7, 8, 11648, 416},
      {8, 8, 12096, 128},
      {9, 1, 12224, 26},
      {10, 4096, 12288, 53248}}},
    {UINT64_C(1) << 20, 13, 119, 32, 32, 8, 55, 2,
     {{1, 3072, 0, 3072},
      {2, 64, 4096, 2048},
      {3, 128, 6144, 4096},
      {4, 8, 10240, 2048},
      {5, 320, 12288, 38080},
      {6, 64, 50368, 7616},
      {7, 8, 57984, 7616},
      {8, 8, 65600, 512},
      {9, 1, 66112, 238},
      {10, 8192, 69632, 974848}}},
    {UINT64_C(50) << 20, 18, 197, 255, 256, 8, 95, 4,
     {{1, 3072, 0, 3072},
      {2, 64, 4096, 16320},
      {3, 128, 20416, 32768},
      {4, 8, 53184, 16384},
      {5, 448, 69632, 88256},
      {6, 64, 157888, 12608},
      {7, 8, 170496, 403456},
      {8, 8, 573952, 8192},
      {9, 1, 582144, 394},
      {10, 262144, 585728, 51642368}}},
    {UINT64_C(1) << 30, 23, 126, 255, 256, 8, 135, 2,
     {{1, 3072, 0, 3072},
      {2, 64, 4096, 16320},
      {3, 128, 20416, 32768},
      {4, 8, 53184, 16384},
      {5, 640, 69632, 80640},
      {6, 64, 150272, 8064},
      {7, 8, 158336, 8257536},
      {8, 8, 8415872, 4096},
      {9, 1, 8419968, 252},
      {10, 8388608, 8421376, 1056964608}}},
    {UINT64_C(64) << 30, 23, 8127, 255, 256, 8, 135, 127,
     {{1, 3072, 0, 3072},
      {2, 64, 4096, 16320},
      {3, 128, 20416, 32768},
      {4, 8, 53184, 16384},
      {5, 640, 69632, 5201280},
      {6, 64, 5270912, 520128},
      {7, 8, 5791040, 532611072},
      {8, 8, 538402112, 260096},
      {9, 1, 538662208, 16254},
      {10, 8388608, 538681344, UINT64_C(68174217216)}}},
};
/* clang-format on */

static void plans(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        const struct expected *e = &layouts[i];
        struct amx_options o = AMX_OPTIONS_INIT;
        struct amxi_geometry g;
        o.size = e->size;
        ok(amxi_geometry_plan(&o, &g, NULL, 0));
        assert_true(g.size == e->size && g.max_size == e->size);
        assert_int_equal(g.sector_log2, e->sector_log2);
        assert_int_equal(g.su, 1 << (e->sector_log2 - 4));
        assert_int_equal(g.su_log2, e->sector_log2 - 4);
        assert_int_equal(g.sectors, e->sectors);
        assert_int_equal(g.sectors_max, e->sectors);
        assert_int_equal(g.peers, e->peers);
        assert_int_equal(g.handles, e->handles);
        assert_int_equal(g.guards, e->guards);
        assert_int_equal(g.bins, e->bins);
        assert_int_equal(g.touched_words, e->touched_words);
        for (int k = 0; k < 10; k++)
            assert_memory_equal(&g.region[k + 1], &e->region[k], sizeof e->region[k]);
    }
}

/* Every combination of extreme options is laid out without overlap, on its pages, in bounds, or refused in words. */
static bool sound(const struct amxi_geometry *g)
{
    uint64_t end = 0;
    for (int k = AMXI_R_HEAD; k <= AMXI_R_COUNT_; k++) {
        const struct amxi_region_body *r = &g->region[k];
        bool page = k == AMXI_R_PEERS || k == AMXI_R_SECTORS || k == AMXI_R_DATA;
        if (r->kind != (uint32_t)k || r->offset < end || r->offset % (page ? 4096 : 64))
            return false;
        end = r->offset + r->size;
    }
    uint64_t sector = UINT64_C(1) << g->sector_log2, data = g->region[AMXI_R_DATA].offset;
    return end <= g->max_size && g->sectors > 0 && g->sectors <= g->sectors_max && g->sectors_max <= 8192 &&
           data + g->sectors * sector <= g->size &&
           (g->sectors == g->sectors_max || data + (g->sectors + 1) * sector > g->size) &&
           (data + g->sectors_max * sector) / 16 <= UINT32_MAX + UINT64_C(1) && g->bins <= 135;
}

static bool reads_back(const struct amxi_geometry *g)
{
    static union {
        struct amxi_head_body head;
        uint8_t bytes[3072];
    } page;
    struct amxi_geometry back;
    bool ro_only = true;
    memset(&page, 0, sizeof page);
    amxi_format(page.bytes, g);
    return amxi_geometry_read(&page, sizeof page, g->size, &back, &ro_only, NULL, 0) == AMX_OK && !ro_only &&
           memcmp(g, &back, sizeof back) == 0;
}

static void every_plan(void **state)
{
    /* clang-format off */
    static const uint64_t size[] = {
        65535, 65536, 65537, 100000, UINT64_C(1) << 20, UINT64_C(50) << 20, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1,
        UINT64_C(64) << 30, (UINT64_C(64) << 30) + 1, UINT64_MAX, 0};
    /* clang-format on */
    static const uint32_t sector[] = {0, 1, 2048, 4096, 4097, 65536, 262144, 8388608, 16777216, 0x80000000u};
    static const uint32_t peers[] = {0, 1, 255, 256}, handles[] = {0, 1, 4094, 4095}, guards[] = {0, 1, 64, 65};
    enum { N_SIZE = sizeof size / sizeof *size, N_SECTOR = sizeof sector / sizeof *sector };
    (void)state;
    long planned = 0, refused = 0;
    for (int i = 0; i < N_SIZE * N_SIZE * N_SECTOR * 64; i++) {
        struct amx_options o = AMX_OPTIONS_INIT;
        struct amxi_geometry g;
        char why[256] = "";
        o.guards = guards[i % 4];
        o.handles = handles[i / 4 % 4];
        o.peers = peers[i / 16 % 4];
        o.sector_size = sector[i / 64 % N_SECTOR];
        o.size = size[i / 64 / N_SECTOR % N_SIZE];
        o.max_size = size[i / 64 / N_SECTOR / N_SIZE];
        int r = amxi_geometry_plan(&o, &g, why, sizeof why);
        if (r == AMX_OK) {
            assert_true(sound(&g) && reads_back(&g));
            planned++;
        } else {
            assert_int_equal(r, AMX_E_INVAL);
            assert_true(strlen(why) > 10);
            refused++;
        }
    }
    note("%ld plans, %ld refused", planned, refused);
    assert_true(planned > 500 && refused > 500);
}

/* --- The head, byte by byte -------------------------------------------------------------------------------------- */

/* Another way to the same number: a table, as zlib and Ethernet do. */
static uint32_t crc_by_table(const uint8_t *p, size_t n)
{
    uint32_t table[256], crc = UINT32_MAX;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int k = 0; k < 8; k++)
            table[i] = table[i] & 1 ? table[i] >> 1 ^ 0xedb88320u : table[i] >> 1;
    }
    for (size_t i = 0; i < n; i++)
        crc = crc >> 8 ^ table[(crc ^ p[i]) & 255];
    return ~crc;
}

union image {
    struct amxi_head_body head;
    uint8_t bytes[65536];
};
static union image image;

static void seal(union image *m)
{
    m->head.crc = 0;
    m->head.crc = crc_by_table(m->bytes, 512);
}

static void fresh(void)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    struct amxi_geometry g;
    o.size = 65536;
    o.flags = AMX_F_REMOVE_LAST;
    ok(amxi_geometry_plan(&o, &g, NULL, 0));
    memset(g.id, 0x11, 16);
    memset(g.boot_id, 0x22, 16);
    g.first_gen = UINT64_C(0x1234567890);
    g.created_ns = 5;
    memset(&image, 0, sizeof image);
    amxi_format(image.bytes, &g);
}

static void head_bytes(void **state)
{
    (void)state;
    assert_int_equal(crc_by_table((const uint8_t *)"123456789", 9), 0xcbf43926);
    fresh();
    assert_memory_equal(image.bytes, "amx_seG1\3\0\0\0\4\3\2\1\x40\0\0\0\0\xc\0\0", 24);
    uint32_t crc = image.head.crc;
    seal(&image);
    assert_int_equal(image.head.crc, crc);
    for (size_t i = 512; i < sizeof image; i++) /* the rest of a new segment's head is zero */
        assert_int_equal(image.bytes[i], 0);
}

static int read_image(char why[256])
{
    struct amxi_geometry g;
    bool ro_only;
    why[0] = 0;
    int r = amxi_geometry_read(&image, sizeof image, 0, &g, &ro_only, why, 256);
    assert_true(r == AMX_OK || (r == AMX_E_LAYOUT && strlen(why) > 10));
    return r;
}

/* Whatever bit of the constants is wrong: the checksum tells. */
static void each_bit(void **state)
{
    char why[256];
    (void)state;
    fresh();
    ok(read_image(why));
    for (size_t bit = 0; bit < 512 * 8; bit++) {
        image.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        fails(AMX_E_LAYOUT, read_image(why));
        image.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ok(read_image(why));
}

/* A liar who computes the checksum: only what cannot do harm may differ. */
static bool harmless(size_t byte, unsigned bit)
{
    return (byte >= 24 && byte < 40) ||               /* features that need not be known */
           (byte >= 48 && byte < 80) ||               /* id, boot id */
           (byte == 89 && bit == 4) ||                /* one page more to grow to, which is no sector more */
           (byte >= 96 && byte < 101) ||              /* first generation, 40 bits */
           (byte >= 104 && byte < 112) ||             /* creation time */
           (byte == 140 && (bit == 1 || bit == 2)) || /* flags */
           (byte >= 148 && byte < 160) ||             /* the checksum itself, reserved */
           (byte >= 400 && byte < 512);               /* unused entries, reserved */
}

static void each_bit_sealed(void **state)
{
    char why[256];
    (void)state;
    fresh();
    for (size_t i = 0; i < 512 * 8; i++) {
        image.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        seal(&image);
        if (read_image(why) != (harmless(i / 8, i % 8) ? AMX_OK : AMX_E_LAYOUT))
            fail_msg("byte %zu bit %zu: %s", i / 8, i % 8, why);
        if (i / 8 < 148 || i / 8 >= 152)
            image.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
}

/* Any bytes at all are answered. */
static void noise(void **state)
{
    (void)state;
    struct rng r = rng_make(test_seed(), 0);
    char why[256];
    for (long n = scaled(100000); n > 0; n--) {
        fresh();
        for (uint64_t k = rng_range(&r, 1, 6); k > 0; k--) {
            size_t at = (size_t)rng_range(&r, 20, 100) * 4;
            uint64_t v = rng_below(&r, 3) ? rng_below(&r, 70000) : rng_next(&r);
            memcpy(image.bytes + at, &v, 4 + 4 * rng_below(&r, 2));
        }
        seal(&image);
        (void)read_image(why);
    }
}

static void pool(void **state)
{
    (void)state;
    AT(amxi_pool_body, magic, 0, 8);
    AT(amxi_pool_body, version, 8, 4);
    AT(amxi_pool_body, byte_order, 12, 4);
    AT(amxi_pool_body, classes, 16, 4);
    AT(amxi_pool_body, flags, 20, 4);
    AT(amxi_pool_body, bytes, 24, 8);
    AT(amxi_pool_body, words, 32, 8);
    AT(amxi_pool_body, words_count, 40, 4);
    AT(amxi_pool_body, quota, 44, 4);
    AT(amxi_pool_body, wait, 64, 4);
    assert_int_equal(sizeof(struct amxi_pool_body), 128);
    AT(amxi_pool_class_body, slot_size, 0, 4);
    AT(amxi_pool_class_body, count, 4, 4);
    AT(amxi_pool_class_body, words, 8, 8);
    AT(amxi_pool_class_body, hints, 16, 8);
    AT(amxi_pool_class_body, data, 24, 8);
    AT(amxi_pool_class_body, next, 32, 8);
    AT(amxi_pool_class_body, exhausted, 64, 8);
    AT(amxi_pool_class_body, high, 72, 8);
    assert_int_equal(sizeof(struct amxi_pool_class_body), 128);
    assert_memory_equal(&(uint64_t){AMXI_POOL_MAGIC}, "amxpool1", 8);
    assert_int_equal(AMXI_POOL_VERSION, 1);
}

static void stores(void **state)
{
    (void)state;
    assert_true(AMXI_STORE_MAGIC == UINT64_C(0x3167736d5f786d61));
    assert_int_equal(AMXI_STORE_VERSION, 1);
    AT(amxi_store_body, magic, 0, 8);
    AT(amxi_store_body, version, 8, 4);
    AT(amxi_store_body, byte_order, 12, 4);
    AT(amxi_store_body, depth, 16, 4);
    AT(amxi_store_body, payload_max, 20, 4);
    AT(amxi_store_body, type_id, 24, 4);
    AT(amxi_store_body, threads, 28, 4);
    AT(amxi_store_body, memory, 32, 4);
    AT(amxi_store_body, policy, 36, 4);
    AT(amxi_store_body, soft_items, 40, 4);
    AT(amxi_store_body, hard_items, 44, 4);
    AT(amxi_store_body, soft_bytes, 48, 8);
    AT(amxi_store_body, hard_bytes, 56, 8);
    AT(amxi_store_body, order, 64, 8);
    AT(amxi_store_body, evicted, 72, 8);
    AT(amxi_store_body, dropped, 80, 8);
    AT(amxi_store_body, rejected, 88, 8);
    AT(amxi_store_body, wait, 128, 4);
    assert_int_equal(sizeof(struct amxi_store_body), 192);

    AT(amxi_view_body, guard, 0, 56);
    AT(amxi_view_body, taken, 56, 8);
    assert_int_equal(sizeof(struct amxi_view_body), 64);

    AT(amxi_message_body, order, 0, 8);
    AT(amxi_message_body, size, 8, 4);
    AT(amxi_message_body, header, 16, 48);
    assert_int_equal(sizeof(struct amxi_message_body), 64);
    /* the public header of a message is in the layout too */
    assert_int_equal(offsetof(struct amx_message_header, trace_id), 0);
    assert_int_equal(offsetof(struct amx_message_header, sequence), 8);
    assert_int_equal(offsetof(struct amx_message_header, creation_tick), 16);
    assert_int_equal(offsetof(struct amx_message_header, deadline_ns), 24);
    assert_int_equal(offsetof(struct amx_message_header, payload_size), 32);
    assert_int_equal(offsetof(struct amx_message_header, type_id), 36);
    assert_int_equal(offsetof(struct amx_message_header, qos), 40);
    assert_int_equal(offsetof(struct amx_message_header, flags), 41);
    assert_int_equal(offsetof(struct amx_message_header, memory), 42);
    assert_int_equal(sizeof(struct amx_message_header), 48);

    assert_int_equal(AMX_STATE_STORED, 5);
    assert_int_equal(AMX_STATE_CLAIMED, 6);
    assert_int_equal(AMX_STATE_WRITING, 7);
    assert_int_equal(AMX_STATE_POISONED, 8);
    assert_int_equal(AMX_MEMORY_PINNED, 1);
    assert_int_equal(AMX_MEMORY_DEVICE, 2);
    assert_int_equal(AMX_MEMORY_SHARED, 18);
    assert_int_equal(AMX_POLICY_EVICT, 4);
    assert_int_equal(AMX_STORE_KIND, 0x6d730001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head),     cmocka_unit_test(tables),          cmocka_unit_test(words),
        cmocka_unit_test(plans),    cmocka_unit_test(every_plan),      cmocka_unit_test(head_bytes),
        cmocka_unit_test(each_bit), cmocka_unit_test(each_bit_sealed), cmocka_unit_test(noise),
        cmocka_unit_test(pool),     cmocka_unit_test(stores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
