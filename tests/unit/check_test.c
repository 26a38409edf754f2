/* SPDX-License-Identifier: Apache-2.0 */
/* The validator finds each kind of damage under its own name, finds none where none is, and survives any bytes. */
#include "tests/look_kit.h"

#include "amx_raw.h"

struct seen {
    int n;
    char rule[64][16];
    enum amx_grade grade[64];
    uint32_t sector[64];
    bool tell;
};

static int record(const struct amx_finding *f, void *ctx)
{
    struct seen *s = ctx;
    assert_true(f->text[0] != 0);
    if (s->tell)
        print_message("  %d sector %d at %llu: %s: %s\n", (int)f->grade, (int)f->sector, (unsigned long long)f->offset,
                      f->rule, f->text);
    if (s->n < 64) {
        snprintf(s->rule[s->n], sizeof s->rule[0], "%s", f->rule);
        s->grade[s->n] = f->grade;
        s->sector[s->n++] = f->sector;
    }
    return 0;
}

static struct seen look(const struct image *m, struct amx_check_result *r)
{
    struct seen s = {.n = 0};
    r->struct_size = sizeof *r;
    int e = amx_check_image(m->s.base, m->len, record, &s, r);
    assert_int_equal(e, r->corrupt ? AMX_E_CORRUPT : AMX_OK);
    return s;
}

static void clean(void **state)
{
    (void)state;
    struct image m;
    struct amx_check_result r, live = {.struct_size = sizeof live};
    scene(&m);
    struct seen s = look(&m, &r);
    for (int i = 0; i < s.n; i++)
        print_error("%s in %d\n", s.rule[i], (int)s.sector[i]);
    assert_int_equal(s.n, 0);
    amxi_st64_rlx(&amxi_handle(&m.s, 3)->word, AMXI_H_WORD(AMXI_H_OPENING, 0, 1)); /* high is raised later */
    assert_int_equal(look(&m, &r).n, 0);
    uint64_t su = m.s.g.su;
    assert_int_equal(r.sectors, m.s.g.sectors);
    assert_int_equal(r.busy, 0);
    assert_int_equal(r.live_blocks, 5 + 1 + 1 + 1 + 1);
    assert_int_equal(r.live_bytes, 16 * (4 + 5 + 7 + 3 + su - MIX_END + 3 * su + 40 + 20 + su + su));
    assert_int_equal(r.parked_bytes, 16 * (6 + 8 + 9 + 15));
    assert_int_equal(r.live_bytes + r.parked_bytes + r.free_bytes, 16 * su * m.s.g.sectors);
    ok(amx_check(&m.h, NULL, NULL, &live));
    assert_memory_equal(&live, &r, sizeof r);
    image_free(&m);
}

/* --- Damage ---------------------------------------------------------------------------------------------------------- */

static struct amxi_sector_body *sec(struct image *m, uint32_t i)
{
    return amxi_sector(&m->s, i);
}
static uint64_t in(struct image *m, uint32_t sector, uint32_t u)
{
    return (uint64_t)sector * m->s.g.su + u;
}
static void w0(struct image *m, uint32_t sector, uint32_t u, uint32_t state, uint32_t owner)
{
    amxi_st64_rlx(&amxi_block(&m->s, in(m, sector, u))->w0, AMXI_W0(state, owner, 77));
}
static void w1(struct image *m, uint32_t sector, uint32_t u, uint32_t size)
{
    amxi_st64_rlx(&amxi_block(&m->s, in(m, sector, u))->w1, AMXI_W1(size, 0));
}
static void handle(struct image *m, uint32_t i, uint32_t status, uint32_t peer)
{
    amxi_st64_rlx(&amxi_handle(&m->s, i)->word, AMXI_H_WORD(status, peer, 5));
}
static void peer(struct image *m, uint32_t i, uint32_t status, uint64_t ticket)
{
    amxi_st64_rlx(&amxi_peer(&m->s, i)->word, AMXI_PEER_WORD(status, ticket));
}
static void adjacent(struct image *m)
{
    static const struct piece p[] = {{20, AMX_STATE_FREE, 0}, {30, AMX_STATE_FREE, 0}, {0, AMX_STATE_ALLOCATED, 1}};
    lay(m, 9, 0, p, 3);
}
static void queue(struct image *m, uint32_t entry, uint32_t n)
{
    amxi_st64_rlx(amxi_acked(&m->s, 1), AMXI_Q_WORD(entry, n, 3));
}
static void link_to(struct image *m, uint32_t u, uint32_t entry)
{
    amxi_st64_rlx(&amxi_block(&m->s, in(m, 1, u))->w1, AMXI_W1(size_at(m, in(m, 1, u)), entry));
}
static void drain(struct image *m, uint32_t entry, uint32_t round)
{
    amxi_st64_rlx(&sec(m, 6)->drain, AMXI_Q_WORD(entry, 0, round));
}
/* The list of 3 units instead of the one of 2, and the block at u alone in it. */
static void relist(struct image *m, uint32_t u)
{
    amxi_st32_rlx(&sec(m, 1)->head[0], 0);
    amxi_st32_rlx(&sec(m, 1)->head[1], u + 1);
    amxi_st32_rlx(&free_body(m, in(m, 1, u))->prev, 0);
    amxi_st8_rlx(&sec(m, 1)->sl[0], (uint8_t)((amxi_ld8_rlx(&sec(m, 1)->sl[0]) & ~4u) | 8));
}
static void held(struct image *m, uint32_t who)
{
    kind(m, 1, AMXI_K_HELD, who);
}

enum { N = AMX_GRADE_NOTE, U = AMX_GRADE_UNDONE, C = AMX_GRADE_CORRUPT, SEG = -1 };

/* DAMAGE(rule, grade, sector, statement on m): the finding that must be among those made, and no graver one. */
#define DAMAGES                                                                                                        \
    DAMAGE("handle", C, SEG, amxi_st32_rlx(&amxi_head(&m->s)->handles_high, 5))                                        \
    DAMAGE("handle", C, SEG, amxi_st32_rlx(&amxi_head(&m->s)->handles_high, 1))                                        \
    DAMAGE("handle", C, SEG, handle(m, 0, 6, 0))                                                                       \
    DAMAGE("handle", C, SEG, handle(m, 0, AMXI_H_OPEN, 3))                                                             \
    DAMAGE("handle", C, SEG, handle(m, 0, AMXI_H_OPEN, 1)) /* nobody's peer */                                         \
    DAMAGE("handle", C, SEG, amxi_st32_rlx(&amxi_handle(&m->s, 1)->giving, 5))                                         \
    DAMAGE("handle", U, SEG, handle(m, 1, AMXI_H_DEAD, 0))                                                             \
    DAMAGE("handle", N, SEG, handle(m, 2, AMXI_H_QUIET, 0))                                                            \
    DAMAGE("peer", C, SEG, peer(m, 1, 3, 5))                                                                           \
    DAMAGE("peer", C, SEG, peer(m, 1, AMXI_PEER_LIVE, 0))                                                              \
    DAMAGE("peer", C, SEG, peer(m, 1, AMXI_PEER_LIVE, 8))                                                              \
    DAMAGE("peer", U, SEG, peer(m, 1, AMXI_PEER_DEAD, 6))                                                              \
    DAMAGE("kind", C, 0, kind(m, 0, 6, 0))                                                                             \
    DAMAGE("kind", C, 0, kind(m, 0, AMXI_K_ABSENT, 0))                                                                 \
    DAMAGE("kind", C, (int)m->s.g.sectors, kind(m, m->s.g.sectors, AMXI_K_IDLE, 0))                                    \
    DAMAGE("quarantine", N, 0, kind(m, 0, AMXI_K_QUARANTINED, 0))                                                      \
    DAMAGE("quarantine", N, 5, kind(m, 5, AMXI_K_QUARANTINED, 0)) /* a tail */                                         \
    DAMAGE("holder", C, 1, held(m, 0))                                                                                 \
    DAMAGE("holder", C, 1, held(m, 5))                                                                                 \
    DAMAGE("holder", C, 1, held(m, 3)) /* free */                                                                      \
    DAMAGE("holder", C, 1, (held(m, 2), handle(m, 1, AMXI_H_QUIET, 0)))                                                \
    DAMAGE("holder", C, 1, (held(m, 2), handle(m, 1, AMXI_H_OPEN, 7)))                                                 \
    DAMAGE("holder", U, 1, (held(m, 2), handle(m, 1, AMXI_H_DEAD, 0)))                                                 \
    DAMAGE("holder", U, 1, (held(m, 1), peer(m, 0, AMXI_PEER_DEAD, 7)))                                                \
    DAMAGE("busy", N, 1, held(m, 1))                                                                                   \
    DAMAGE("busy", N, 1, (held(m, 1), bit_put(m, in(m, 1, MIX_U), false), w1(m, 1, MIX_B, 5))) /* chain whole */       \
    DAMAGE("busy", N, 1, (held(m, 1), amxi_st32_rlx(&sec(m, 1)->ext_len, 3), w1(m, 1, 0, 0)))  /* a large one */       \
    DAMAGE("extent", C, 1, (held(m, 1), amxi_st32_rlx(&sec(m, 1)->ext_len, 100)))                                      \
    DAMAGE("cut", C, 1, (held(m, 1), amxi_st32_rlx(&sec(m, 1)->first, 255)))                                           \
    DAMAGE("chain", C, 1, (held(m, 1), w1(m, 1, MIX_U, 1)))                                                            \
    DAMAGE("chain", C, 1, w1(m, 1, 0, 0))                                                                              \
    DAMAGE("chain", C, 1, w1(m, 1, MIX_U, 1))                                                                          \
    DAMAGE("chain", C, 1, w1(m, 1, MIX_END, 256 - MIX_END + 1))                                                        \
    DAMAGE("chain", C, 8, w1(m, 8, 0, 255)) /* one unit left */                                                        \
    DAMAGE("header", C, 1, amxi_or64_rlx(&amxi_block(&m->s, in(m, 1, MIX_U))->w1, UINT64_C(1) << 41))                  \
    DAMAGE("header", C, 2, w1(m, 2, 0, 7))                                                                             \
    DAMAGE("header", C, 2, amxi_or64_rlx(&amxi_block(&m->s, in(m, 2, 0))->w1, UINT64_C(1) << 63))                      \
    DAMAGE("state", C, 1, w0(m, 1, MIX_U, 5, 1))                                                                       \
    DAMAGE("state", C, 1, w0(m, 1, MIX_U, 48, 1))                                                                      \
    DAMAGE("state", U, 1, w0(m, 1, MIX_U, AMX_STATE_COALESCING, 0))                                                    \
    DAMAGE("state", U, 1, w0(m, 1, MIX_Q1, AMX_STATE_COALESCING, 0))                                                   \
    DAMAGE("state", C, 2, w0(m, 2, 0, AMX_STATE_ACKED, 1))                                                             \
    DAMAGE("state", C, 2, w0(m, 2, 0, AMX_STATE_FREE, 0))                                                              \
    DAMAGE("owner", C, 1, w0(m, 1, MIX_C, AMX_STATE_CACHED, 0))                                                        \
    DAMAGE("owner", C, 1, w0(m, 1, MIX_Q1, AMX_STATE_ACKED, 0))                                                        \
    DAMAGE("owner", C, 1, w0(m, 1, MIX_U, 100, 5))                                                                     \
    DAMAGE("owner", C, 1, w0(m, 1, MIX_U, 100, 3)) /* free */                                                          \
    DAMAGE("owner", C, 1, w0(m, 1, MIX_F1, AMX_STATE_FREE, 1))                                                         \
    DAMAGE("owner", C, 2, w0(m, 2, 0, AMX_STATE_ALLOCATED, 4095))                                                      \
    DAMAGE("owner", C, 8, handle(m, 1, AMXI_H_QUIET, 0))                                                               \
    DAMAGE("owner", C, 8, handle(m, 1, AMXI_H_FREE, 0))                                                                \
    DAMAGE("touched", C, 1, amxi_st64_rlx(amxi_touched(&m->s, 1), UINT64_C(1) << 8))                                   \
    DAMAGE("touched", C, 2, amxi_st64_rlx(amxi_touched(&m->s, 0), ~UINT64_C(4)))                                       \
    DAMAGE("touched", U, 8, (handle(m, 1, AMXI_H_DEAD, 0), amxi_st64_rlx(amxi_touched(&m->s, 1), 2)))                  \
    DAMAGE("adjacent", C, 9, adjacent(m))                                                                              \
    DAMAGE("footer", C, 1, amxi_st32_rlx(footer(m, in(m, 1, MIX_U)), 9))                                               \
    DAMAGE("bitmap", C, 1, bit_put(m, in(m, 1, MIX_U), false))                                                         \
    DAMAGE("bitmap", C, 1, bit_put(m, in(m, 1, 0), false))                                                             \
    DAMAGE("bitmap", C, 1, bit_put(m, in(m, 1, MIX_U + 1), true))                                                      \
    DAMAGE("bitmap", C, 1, bit_put(m, in(m, 1, 255), true))                                                            \
    DAMAGE("bitmap", C, 5, bit_put(m, in(m, 5, 39), true)) /* in the cut */                                            \
    DAMAGE("bitmap", C, 2, bit_put(m, in(m, 2, 0), false))                                                             \
    DAMAGE("bitmap", C, 2, bit_put(m, in(m, 2, 200), true))                                                            \
    DAMAGE("bitmap", C, 2, bit_put(m, in(m, 4, 255), true))                                                            \
    DAMAGE("bitmap", C, 7, bit_put(m, in(m, 7, 2), true))                                                              \
    DAMAGE("index", C, 1, amxi_st32_rlx(&sec(m, 1)->head[0], 0))                                                       \
    DAMAGE("index", C, 1, amxi_st32_rlx(&sec(m, 1)->head[0], UINT32_MAX))                                              \
    DAMAGE("index", C, 1, amxi_st32_rlx(&sec(m, 1)->head[0], MIX_U + 1))                                               \
    DAMAGE("index", C, 1, amxi_st32_rlx(&sec(m, 1)->head[1], MIX_F3 + 1)) /* another bin's */                          \
    DAMAGE("index", C, 1, relist(m, MIX_F3))                              /* the same, but in no other list */         \
    DAMAGE("index", C, 1, relist(m, MIX_B))                               /* live */                                   \
    DAMAGE("index", C, 1, amxi_st32_rlx(&free_body(m, in(m, 1, MIX_F2))->next, 0))                                     \
    DAMAGE("index", C, 1, amxi_st32_rlx(&free_body(m, in(m, 1, MIX_F2))->next, MIX_F2 + 1))                            \
    DAMAGE("index", C, 1, amxi_st32_rlx(&free_body(m, in(m, 1, MIX_F1))->next, MIX_F2 + 1))                            \
    DAMAGE("index", C, 1, amxi_st32_rlx(&free_body(m, in(m, 1, MIX_F1))->prev, 0))                                     \
    DAMAGE("index", C, 1, amxi_st8_rlx(&sec(m, 1)->sl[0], 0))                                                          \
    DAMAGE("index", C, 1, amxi_st8_rlx(&sec(m, 1)->sl[19], 1))                                                         \
    DAMAGE("index", C, 1, amxi_st32_rlx(&sec(m, 1)->fl, 0))                                                            \
    DAMAGE("queue", C, 1, queue(m, MIX_Q2 + 1, 1))                                                                     \
    DAMAGE("queue", C, 1, queue(m, UINT32_MAX, 2))                                                                     \
    DAMAGE("queue", C, 1, queue(m, 257, 2))                                                                            \
    DAMAGE("queue", C, 1, queue(m, MIX_Q2 + 2, 2)) /* no header */                                                     \
    DAMAGE("queue", C, 1, link_to(m, MIX_Q1, MIX_Q2 + 1))                                                              \
    DAMAGE("queue", C, 1, link_to(m, MIX_Q1, MIX_F1 + 1))                                                              \
    DAMAGE("queue", C, 1, w0(m, 1, MIX_Q1, AMX_STATE_ALLOCATED, 1))                                                    \
    DAMAGE("queue", C, 6, drain(m, 11, 3)) /* on both */                                                               \
    DAMAGE("queue", C, 6, drain(m, 16, 3))                                                                             \
    DAMAGE("queue", C, 2, amxi_st64_rlx(amxi_acked(&m->s, 3), AMXI_Q_WORD(1, 1, 0)))                                   \
    DAMAGE("queue", C, 2, amxi_st64_rlx(&sec(m, 2)->drain, AMXI_Q_WORD(1, 1, 0)))                                      \
    DAMAGE("queue", U, 1, queue(m, 0, 0))                                                                              \
    DAMAGE("queue", U, 6, drain(m, 0, 3))                                                                              \
    DAMAGE("queue", U, 0, lay(m, 0, 0, (const struct piece[]){{0, AMX_STATE_ACKED, 2}}, 1))                            \
    DAMAGE("drain", U, 6, drain(m, 6, 4))                                                                              \
    DAMAGE("cut", C, 5, amxi_st32_rlx(&sec(m, 5)->first, 1))                                                           \
    DAMAGE("cut", C, 5, amxi_st32_rlx(&sec(m, 5)->first, 255))                                                         \
    DAMAGE("cut", C, 5, amxi_st32_rlx(&sec(m, 5)->first, UINT32_MAX))                                                  \
    DAMAGE("cut", N, 9, lay(m, 9, 10, (const struct piece[]){{0, AMX_STATE_FREE, 0}}, 1))                              \
    DAMAGE("cut", N, 9,                                                                                                \
           (lay(m, 9, 10, (const struct piece[]){{0, 100, 0}}, 1), amxi_st32_rlx(&sec(m, 9)->cut_by, UINT32_MAX)))     \
    DAMAGE("cut", N, 5, (kind(m, 2, AMXI_K_HELD, 1)))                                                                  \
    DAMAGE("extent", C, 2, amxi_st32_rlx(&sec(m, 2)->ext_len, 0))                                                      \
    DAMAGE("extent", C, 4, amxi_st32_rlx(&sec(m, 2)->ext_len, 2))                                                      \
    DAMAGE("extent", C, 2, amxi_st32_rlx(&sec(m, 2)->ext_len, 4))                                                      \
    DAMAGE("extent", C, 2, amxi_st32_rlx(&sec(m, 2)->ext_len, UINT32_MAX))                                             \
    DAMAGE("extent", C, 2, amxi_st32_rlx(&sec(m, 2)->ext_tail, 41))                                                    \
    DAMAGE("extent", C, 2, amxi_st32_rlx(&sec(m, 2)->ext_tail, 256))                                                   \
    DAMAGE("extent", C, 2, amxi_st32_rlx(&sec(m, 5)->cut_by, 1))                                                       \
    DAMAGE("extent", C, 2, lay(m, 5, 0, (const struct piece[]){{0, AMX_STATE_FREE, 0}}, 1))                            \
    DAMAGE("extent", C, 2, kind(m, 3, AMXI_K_IDLE, 0))                                                                 \
    DAMAGE("extent", C, 2, kind(m, 3, AMXI_K_CONT, 7))                                                                 \
    DAMAGE("extent", C, 3, kind(m, 3, AMXI_K_CONT, 7))                                                                 \
    DAMAGE("extent", C, 3, kind(m, 3, AMXI_K_CONT, 3))                                                                 \
    DAMAGE("extent", C, 9, kind(m, 9, AMXI_K_CONT, 8))                                                                 \
    DAMAGE("extent", C, 9, kind(m, 9, AMXI_K_CONT, 0xffff))                                                            \
    DAMAGE("extent", C, 7, amxi_st32_rlx(&sec(m, 7)->first, 2))                                                        \
    DAMAGE("extent", C, 7, amxi_st32_rlx(&sec(m, 7)->first, 511))                                                      \
    DAMAGE("extent", C, 8, amxi_st32_rlx(&sec(m, 8)->ext_len, 1))                                                      \
    DAMAGE("extent", U, 2, w0(m, 2, 0, AMX_STATE_CACHED, 1))                                                           \
    DAMAGE("extent", U, 3, (kind(m, 2, AMXI_K_HELD, 2), handle(m, 1, AMXI_H_DEAD, 0)))                                 \
    DAMAGE("busy", N, 3, kind(m, 2, AMXI_K_HELD, 1))                                                                   \
    DAMAGE("quarantine", N, 3, kind(m, 2, AMXI_K_QUARANTINED, 0))                                                      \
    DAMAGE("gclock", C, 1, amxi_st64_rlx(&sec(m, 1)->gclock, UINT64_C(1) << 40))                                       \
    DAMAGE("hint", N, 1, amxi_st8_rlx(amxi_avail(&m->s, 1), AMXI_AVAIL_WHOLE))                                         \
    DAMAGE("hint", N, 0, amxi_st8_rlx(amxi_avail(&m->s, 0), 0))

static void damage(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        int grade;
    } rules[] = {
#define DAMAGE(rule, grade, sector, what) {rule, grade},
        DAMAGES
#undef DAMAGE
    };
    int n = 0;
    for (int k = 0; k < (int)(sizeof rules / sizeof *rules); k++) {
        struct image image, *m = &image;
        int at = 0, i = 0;
        scene(m);
#define DAMAGE(rule, grade, sector, what)                                                                              \
    if (i++ == k) {                                                                                                    \
        what;                                                                                                          \
        at = sector;                                                                                                   \
    }
        DAMAGES
#undef DAMAGE
        struct amx_check_result r, live = {.struct_size = sizeof live};
        struct seen s = look(m, &r);
        bool found = false;
        for (i = 0; i < s.n; i++)
            found |= !strcmp(s.rule[i], rules[k].rule) && (int)s.grade[i] == rules[k].grade && (int)s.sector[i] == at;
        int worst = r.corrupt ? C : r.undone ? U : N;
        if (!found || worst != rules[k].grade) {
            print_error("damage %d, %s of grade %d in sector %d: found %d\n", k, rules[k].rule, rules[k].grade, at,
                        s.n);
            for (i = 0; i < s.n; i++)
                print_error("  %s %d in %d\n", s.rule[i], (int)s.grade[i], (int)s.sector[i]);
            fail();
        }
        assert_int_equal(r.notes + r.undone + r.corrupt, s.n); /* none of these makes more than the callback is told */
        /* attached, nothing is found that the image does not have; a holder that seems alive is only waited for */
        int e = amx_check(&m->h, NULL, NULL, &live);
        assert_true(e == AMX_OK || e == AMX_E_CORRUPT);
        assert_true(live.corrupt <= r.corrupt && live.undone <= r.undone);
        n++;
        image_free(m);
    }
    note("%d kinds of damage found", n);
}

/* Only the first findings of a sector are told, but all are counted. */
static void many(void **state)
{
    (void)state;
    struct image m;
    struct amx_check_result r;
    scene(&m);
    struct piece p[32];
    for (int i = 0; i < 32; i++)
        p[i] = (struct piece){8, 20, 1}; /* reserved state */
    lay(&m, 9, 0, p, 32);
    struct seen s = look(&m, &r);
    assert_int_equal(r.corrupt, 32);
    assert_in_range(s.n, 1, 31);
    image_free(&m);
}

static int stop_at_once(const struct amx_finding *f, void *ctx)
{
    (void)f;
    ++*(int *)ctx;
    return 77;
}

static void answers(void **state)
{
    (void)state;
    struct image m;
    struct amx_check_result r = {.struct_size = sizeof r}, zero = {.struct_size = 4};
    int told = 0;
    scene(&m);
    fails(AMX_E_INVAL, amx_check(NULL, NULL, NULL, &r));
    fails(AMX_E_INVAL, amx_check(&m.h, NULL, NULL, NULL));
    fails(AMX_E_INVAL, amx_check(&m.h, NULL, NULL, &zero));
    fails(AMX_E_INVAL, amx_check_image(NULL, m.len, NULL, NULL, &r));
    fails(AMX_E_INVAL, amx_check_image(m.s.base, m.len, NULL, NULL, NULL));
    fails(AMX_E_INVAL, amx_check_image(m.s.base + 8, m.len - 8, NULL, NULL, &r));
    m.s.forked = true;
    fails(AMX_E_FORKED, amx_check(&m.h, NULL, NULL, &r));
    m.s.forked = false;
    struct amx gone = {.seg = NULL};
    fails(AMX_E_FORKED, amx_check(&gone, NULL, NULL, &r));

    kind(&m, 0, 9, 0);
    kind(&m, 9, 9, 0);
    assert_int_equal(amx_check_image(m.s.base, m.len, stop_at_once, &told, &r), 77);
    assert_int_equal(told, 1);
    fails(AMX_E_CORRUPT, amx_check(&m.h, NULL, NULL, &r));
    assert_int_equal(r.corrupt, 2);

    /* a caller who knows less, or more */
    struct {
        struct amx_check_result r;
        uint64_t later;
    } more = {.r.struct_size = sizeof more, .later = 5};
    fails(AMX_E_CORRUPT, amx_check(&m.h, NULL, NULL, &more.r));
    assert_int_equal(more.r.busy, 0);
    assert_int_equal(more.later, 0);
    r = (struct amx_check_result){.struct_size = offsetof(struct amx_check_result, corrupt), .corrupt = 99};
    fails(AMX_E_CORRUPT, amx_check(&m.h, NULL, NULL, &r));
    assert_int_equal(r.corrupt, 99);

    /* the constants are looked at again */
    amxi_head(&m.s)->peers++;
    struct seen s = {.n = 0};
    r.struct_size = sizeof r;
    fails(AMX_E_CORRUPT, amx_check(&m.h, record, &s, &r));
    assert_string_equal(s.rule[0], "head");
    assert_int_equal(amx_check_image(m.s.base, m.len, record, &s, &r), AMX_E_LAYOUT);
    assert_string_equal(s.rule[s.n - 1], "head");
    assert_int_equal(r.corrupt, 1);
    image_free(&m);
}

/* A holder that lives is not judged while it works; one that the kernel knows to be dead is. */
static void dead_peer(void **state)
{
    (void)state;
    struct image m;
    struct amx_check_result r = {.struct_size = sizeof r};
    struct seen s = {.n = 0};
    scene(&m);
    held(&m, 1);
    ok(amx_check(&m.h, record, &s, &r));
    assert_int_equal(r.busy, 1);
    assert_int_equal(r.sectors, m.s.g.sectors - 1);
    assert_int_equal(r.notes, 1);
    assert_string_equal(s.rule[0], "busy");
    image_free(&m);

    const char *name = test_name();
    amx_t *h;
    char fd[16], byte;
    int ready[2];
    ok(amx_create(name, NULL, &h));
    assert_int_equal(pipe(ready), 0);
    snprintf(fd, sizeof fd, "%d", ready[1]);
    pid_t pid = spawn("peer", name, fd, (char *)NULL);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    ok(amx_check(h, NULL, NULL, &r));
    assert_int_equal(r.notes + r.undone, 0);
    assert_int_equal(r.live_blocks, 1);
    wait_killed(pid);
    s.n = 0;
    ok(amx_check(h, record, &s, &r));
    assert_int_equal(r.undone, 1);
    assert_string_equal(s.rule[0], "peer");
    ok(amx_recover(h, 0, NULL, NULL, NULL));
    ok(amx_check(h, NULL, NULL, &r));
    assert_int_equal(r.undone + r.live_blocks, 0);
    close(ready[0]);
    close(ready[1]);
    ok(amx_close(h));
}

static void role(char **argv)
{
    amx_t *h;
    amx_ref ref;
    must_ok(amx_attach(argv[2], NULL, &h));
    must_ok(amx_alloc(h, 100000, &ref));
    must(write(atoi(argv[3]), "", 1) == 1);
    for (;;)
        pause(); /* until killed */
}

/* A file that was cut short is not a segment; none of its missing bytes is read (ASan). */
static void truncated(void **state)
{
    (void)state;
    struct image m;
    struct amx_check_result r = {.struct_size = sizeof r};
    scene(&m);
    for (size_t len = 0; len < m.len; len += len < 1024 ? 64 : 4096 - 64) {
        uint8_t *part = aligned_alloc(64, len ? len : 64);
        assert_non_null(part);
        memcpy(part, m.s.base, len);
        fails(AMX_E_LAYOUT, amx_check_image(part, len, NULL, NULL, &r));
        free(part);
    }
    image_free(&m);
}

/* --- Any bytes at all ---------------------------------------------------------------------------------------------- */

static int finish(const struct amx_block *b, void *ctx)
{
    const struct image *m = ctx;
    uint64_t data = m->s.g.region[AMXI_R_DATA].offset;
    assert_true(b->offset >= data && b->bytes >= 16 && b->offset + b->bytes <= m->len);
    assert_true(b->sector < m->s.g.sectors && b->sectors <= m->s.g.sectors - b->sector);
    return 0;
}

static void flips(void **state)
{
    (void)state;
    struct rng r = rng_make(test_seed(), 1);
    struct image clean, m;
    long rounds = scaled(20000), corrupt = 0, layout = 0;
    scene(&clean);
    m = clean;
    m.h.seg = &m.s;
    m.s.base = aligned_alloc(64, m.len);
    assert_non_null(m.s.base);
    for (long n = 0; n < rounds; n++) {
        struct amx_check_result res = {.struct_size = sizeof res};
        memcpy(m.s.base, clean.s.base, m.len);
        uint64_t from = n % 8 ? 512 : 0; /* mostly behind the constants, which a checksum guards */
        uint64_t to = n % 2 ? m.len : m.s.g.region[AMXI_R_DATA].offset;
        for (uint64_t k = 1 + rng_below(&r, n % 3 ? 4 : 64); k; k--) {
            uint64_t at = from + rng_below(&r, to - from);
            switch (rng_below(&r, 3)) {
            case 0:
                m.s.base[at] ^= (uint8_t)(1u << rng_below(&r, 8));
                break;
            case 1:
                m.s.base[at] = (uint8_t)rng_next(&r);
                break;
            default: /* a word of another place: right in form, wrong in fact */
                memcpy(m.s.base + (at & ~UINT64_C(7)), m.s.base + (rng_below(&r, m.len) & ~UINT64_C(7)), 8);
            }
        }
        int e = amx_check_image(m.s.base, m.len, NULL, NULL, &res);
        assert_true(e == AMX_OK || e == AMX_E_CORRUPT || e == AMX_E_LAYOUT);
        corrupt += e == AMX_E_CORRUPT;
        layout += e == AMX_E_LAYOUT;
        if (e == AMX_E_LAYOUT)
            continue;
        struct amx_stats st = {.struct_size = sizeof st};
        ok(amx_stat(&m.h, &st));
        assert_int_equal(st.free_bytes + st.live_bytes + st.cached_bytes + st.acked_bytes + st.lost_bytes +
                             st.unseen_bytes,
                         st.data_bytes);
        int w = amx_walk(&m.h, finish, &m);
        assert_true(w == AMX_OK || w == AMX_E_CORRUPT || w == AMX_E_PARTIAL);
    }
    note("%ld images: %ld corrupt, %ld not recognised", rounds, corrupt, layout);
    assert_true(corrupt > rounds / 4 && layout > 0);
    free(m.s.base);
    image_free(&clean);
}

/* Nothing but noise behind a good head. */
static void noise(void **state)
{
    (void)state;
    struct rng r = rng_make(test_seed(), 2);
    struct image m;
    scene(&m);
    for (long n = scaled(300); n; n--) {
        struct amx_check_result res = {.struct_size = sizeof res};
        for (size_t at = 512; at < m.len; at += 8) {
            uint64_t v = rng_next(&r);
            v = n % 3 == 0 ? v : n % 3 == 1 ? v & rng_next(&r) & rng_next(&r) & 0xff00ff00ff : v % 3;
            memcpy(m.s.base + at, &v, 8);
        }
        fails(AMX_E_CORRUPT, amx_check_image(m.s.base, m.len, NULL, NULL, &res));
        amx_check(&m.h, NULL, NULL, &res);
        amx_walk(&m.h, finish, &m);
    }
    image_free(&m);
}

/* Heads that are right in themselves and tell of other sizes than the bytes have. */
static void heads(void **state)
{
    (void)state;
    struct rng r = rng_make(test_seed(), 3);
    struct image m;
    long known = 0;
    scene(&m);
    for (long n = scaled(3000); n; n--) {
        struct amx_check_result res = {.struct_size = sizeof res};
        struct amxi_geometry g = m.s.g;
        struct amx_options o = AMX_OPTIONS_INIT;
        o.size = 1u << rng_range(&r, 15, 18);
        o.max_size = o.size << rng_below(&r, 3);
        o.peers = (uint32_t)rng_range(&r, 1, 255);
        o.handles = (uint32_t)rng_range(&r, 1, 100);
        o.guards = (uint32_t)rng_range(&r, 1, 8);
        o.sector_size = 1u << rng_range(&r, 12, 15);
        if (amxi_geometry_plan(&o, &g, NULL, 0))
            continue;
        amxi_format(m.s.base, &g);
        int e = amx_check_image(m.s.base, m.len, NULL, NULL, &res);
        assert_true(e == AMX_E_LAYOUT || e == AMX_E_CORRUPT || e == AMX_OK);
        known += e != AMX_E_LAYOUT;
    }
    assert_true(known > 0);
    image_free(&m);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        role(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean),   cmocka_unit_test(damage),    cmocka_unit_test(many),
        cmocka_unit_test(answers), cmocka_unit_test(dead_peer), cmocka_unit_test(truncated),
        cmocka_unit_test(flips),   cmocka_unit_test(noise),     cmocka_unit_test(heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
