/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations that meet: a scene of a few blocks that are neighbours, what each operation does in it, and what must hold
 * whatever happens: each life of a block ends at most once, whatever lives has its bytes, memory that is there is found,
 * and in the end every byte is free. Who runs when is the program's affair that includes this.
 */
#ifndef AMX_TEST_MEETING_H
#define AMX_TEST_MEETING_H

#include "tests/arena_kit.h"

enum { DEPTH = 3, ITEMS = 5, FRESH = 3 * DEPTH };

/* --- The scene --------------------------------------------------------------------------------------------------- */

enum item { LEFT, MIDDLE, RIGHT, PUBLIC, LARGE }; /* the first four are neighbours; LARGE ends in a cut */

enum op {
    ALLOC,
    ALLOC_OTHER,
    ALLOC_ALIGNED,
    ALLOC_LARGE,
    FREE_LEFT,
    FREE_MIDDLE,
    FREE_RIGHT,
    FREE_PUBLIC,
    FREE_LARGE,
    GROW,
    SHRINK,
    MOVE_LARGE,
    PUBLISH,
    ADOPT,
    GIVE,
    SET_STATE,
    KEEP,
    TRANSITION,
    TRIM,
    HEAL,
    RECOVER,
    BY_OFFSET, /* from here on without a generation: only in pairs, where nobody can have got the memory again */
    ACK_LEFT = BY_OFFSET,
    ACK_MIDDLE,
    COALESCE_MIDDLE,
    COALESCE_RIGHT,
    TABLES, /* from here on entries of tables: under the scheduler alone (tests/sched/explore.h) */
    RENEW = TABLES,
    ENTER,
    ROOT,
    GIVE_AWAY,
    OPS
};

static const char *const names[OPS] = {"alloc",          "alloc another size",
                                       "alloc aligned",  "alloc large",
                                       "free left",      "free middle",
                                       "free right",     "free public",
                                       "free large",     "grow",
                                       "shrink",         "move large",
                                       "publish",        "adopt",
                                       "give",           "set_state",
                                       "keep",           "transition",
                                       "trim",           "heal",
                                       "recover",        "ack left",
                                       "ack middle",     "coalesce middle",
                                       "coalesce right", "renew",
                                       "enter",          "root",
                                       "give away"};

struct thing {
    amx_ref ref;     /* at the beginning */
    amx_ref now;     /* after it was given or has moved */
    uint64_t offset; /* of its header, at the beginning */
    uint64_t key;
    size_t sure; /* bytes that must be as stamped */
    int ends;    /* calls that said that they had ended its life */
    bool maybe;  /* or that did not say whether they had */
    int by;      /* of fresh ones: which of scene.h made it */
};

static struct scene {
    amx_t *h[DEPTH];
    struct thing item[ITEMS];
    struct thing fresh[FRESH];
    int made;
    enum op op[DEPTH];
    int who[DEPTH]; /* which handle does the operation at this depth */
    bool mortal;    /* one of them may die in the middle */
    bool warm;      /* the caches and the sector's queue are not empty */
} scene;

static void tell(void); /* what was going on, before the process ends */

#undef must
#define must(cond) ((cond) ? (void)0 : (tell(), must_(false, #cond, __FILE__, __LINE__)))

static inline void scene_set(void)
{
    amx_ref ref[12];
    size_t first = 0;

    scene.made = 0;
    for (int i = 0; i < 12; i++)
        must_ok(amx_alloc(scene.h[0], 96, &ref[i]));
    qsort(ref, 12, sizeof *ref, by_value);
    struct row r = {ref, 12};
    first = side_by_side(scene.h[0], &r, 0, 6) + 1;
    for (size_t i = 0; i < ITEMS; i++) {
        struct thing *t = &scene.item[i];

        memset(t, 0, sizeof *t);
        if (i == LARGE)
            must_ok(amx_alloc(scene.h[0], 2 * 4096 + 1000, &t->ref));
        else
            t->ref = ref[first + i];
        if (i == RIGHT) /* of another handle */
            must_ok(amx_give(scene.h[0], t->ref, amx_handle_id(scene.h[1]), &t->ref));
        if (i == PUBLIC)
            must_ok(amx_publish(scene.h[0], t->ref));
        t->offset = offset_of(t->ref);
        t->key = t->ref;
        t->sure = usable_of(scene.h[0], t->ref);
        mark(scene.h[0], t->ref, t->key);
        t->now = t->ref;
    }
    must_ok(amx_set_state(scene.h[0], scene.item[MIDDLE].ref, 50));
    for (size_t i = 0; i < 12; i++)
        if (i < first - 1 || i >= first + 4)
            must_ok(amx_free(scene.h[0], ref[i]));
    for (int i = 0; i < DEPTH; i++) {
        must_ok(amx_trim(scene.h[i]));
        if (scene.warm) {
            amx_ref two[2];
            size_t got;

            must_ok(amx_alloc_many(scene.h[i], 96, 2, two, &got));
            must_ok(amx_free_many(scene.h[i], two, 2, NULL));
        }
    }
    if (scene.warm)
        must_ok(amx_raw_ack(scene.h[0], offset_of(ref[first - 1])));
    else
        must_ok(amx_raw_coalesce(scene.h[0], offset_of(ref[first - 1])));
}

static void fresh(amx_t *h, amx_ref ref, size_t n)
{
    must(scene.made < FRESH);
    struct thing *t = &scene.fresh[scene.made++];
    *t = (struct thing){.ref = ref, .now = ref, .key = ref ^ 1}; /* before others go on */
    while (amx_raw_base(scene.h[t->by]) != amx_raw_base(h))
        t->by++;
    must(usable_of(h, ref) >= n);
    mark(h, ref, t->key);
    t->sure = usable_of(h, ref);
}

static void got(amx_t *h, int rc, amx_ref ref, size_t n, bool may_be_busy)
{
    if (rc != AMX_OK && !(rc == AMX_E_BUSY && may_be_busy))
        fprintf(stderr, "%s\n", amx_strerror(rc));
    must(rc == AMX_OK || (rc == AMX_E_BUSY && may_be_busy)); /* there is room, whoever has stopped where */
    if (rc == AMX_OK)
        fresh(h, ref, n);
}

static void ended(enum item i, int rc)
{
    must(rc == AMX_OK || rc == AMX_E_DOUBLE_FREE || rc == AMX_E_STALE || rc == AMX_E_WILD || rc == AMX_E_BUSY);
    scene.item[i].ends += rc == AMX_OK;
}

static void resized(enum item i, int rc, amx_ref out, size_t n)
{
    struct thing *t = &scene.item[i];

    must(rc == AMX_OK || rc == AMX_E_STALE || rc == AMX_E_DOUBLE_FREE || rc == AMX_E_BUSY);
    if (rc != AMX_OK)
        return;
    t->sure = n < t->sure ? n : t->sure;
    if (out != t->ref)
        t->now = out;
}

/* coalesce on what was acked is a drain and ends no life: where another acks it, OK does not say which it was. */
static void coalesced(amx_t *h, enum item i)
{
    struct amx_block b;
    bool waits = amx_raw_query(h, scene.item[i].offset, &b) == AMX_OK && b.state == AMX_STATE_ACKED;
    int rc = amx_raw_coalesce(h, scene.item[i].offset);

    if (rc == AMX_OK && i == MIDDLE && !waits)
        for (int d = 0; d < DEPTH; d++)
            scene.item[i].maybe |= scene.op[d] == ACK_MIDDLE;
    ended(i, rc == AMX_OK && (waits || scene.item[i].maybe) ? AMX_E_DOUBLE_FREE : rc);
}

static void act(amx_t *h, enum op op)
{
    struct thing *m = &scene.item[MIDDLE];
    amx_t *other = scene.h[h == scene.h[0]];
    amx_ref out = AMX_REF_NONE;
    uint32_t seen;
    int rc;

    switch (op) {
    case ALLOC:
        rc = amx_alloc(h, 96, &out);
        got(h, rc, out, 96, false);
        break;
    case ALLOC_OTHER:
        rc = amx_alloc(h, 500, &out);
        got(h, rc, out, 500, false);
        break;
    case ALLOC_ALIGNED:
        rc = amx_alloc_aligned(h, 256, 300, &out);
        got(h, rc, out, 300, false);
        break;
    case ALLOC_LARGE:
        rc = amx_alloc(h, 2 * 4096 + 200, &out);
        got(h, rc, out, 2 * 4096 + 200, true);
        break;
    case FREE_LEFT:
    case FREE_MIDDLE:
    case FREE_RIGHT:
    case FREE_PUBLIC:
    case FREE_LARGE:
        ended((enum item)(op - FREE_LEFT), amx_free(h, scene.item[op - FREE_LEFT].ref));
        break;
    case GROW:
        rc = amx_resize(h, m->ref, 160, &out);
        resized(MIDDLE, rc, out, 160);
        break;
    case SHRINK:
        rc = amx_resize(h, m->ref, 32, &out);
        resized(MIDDLE, rc, out, 32);
        break;
    case MOVE_LARGE:
        rc = amx_resize(h, scene.item[LARGE].ref, 2 * 4096 + 3000, &out);
        must(rc != AMX_E_NOMEM);
        resized(LARGE, rc, out, 64);
        break;
    case PUBLISH:
        rc = amx_publish(h, m->ref);
        must(rc == AMX_OK || rc == AMX_E_OWNER || rc == AMX_E_STALE);
        break;
    case ADOPT:
        rc = amx_adopt(h, scene.item[PUBLIC].ref);
        must(rc == AMX_OK || rc == AMX_E_OWNER || rc == AMX_E_STALE);
        break;
    case GIVE:
        rc = amx_give(h, m->ref, amx_handle_id(other), &out);
        must(rc == AMX_OK || rc == AMX_E_STALE || (rc == AMX_E_PEER_DEAD && scene.mortal));
        if (rc != AMX_E_STALE)
            m->now = out;
        break;
    case SET_STATE:
        rc = amx_set_state(h, m->ref, 2100);
        must(rc == AMX_OK || rc == AMX_E_STALE);
        break;
    case KEEP: /* from its first half on the block outlives its owner */
        rc = amx_set_state(h, m->ref, 2100);
        must(rc == AMX_OK || rc == AMX_E_STALE);
        if (rc == AMX_OK)
            rc = amx_publish(h, m->ref);
        must(rc == AMX_OK || rc == AMX_E_OWNER || rc == AMX_E_STALE);
        break;
    case TRANSITION:
        rc = amx_transition(h, m->ref, 50, 51, AMX_ACQ_REL, &seen);
        must(rc == AMX_OK || rc == AMX_E_STALE || (rc == AMX_E_STATE && seen >= 51));
        break;
    case TRIM:
        rc = amx_trim(h);
        must(rc == AMX_OK || rc == AMX_E_PARTIAL);
        break;
    case HEAL:
        rc = amx_heal(h);
        must(rc == AMX_OK || rc == AMX_E_PARTIAL);
        break;
    case RECOVER:
        rc = amx_recover(h, 0, NULL, NULL, NULL);
        must(rc == AMX_OK || rc == AMX_E_PARTIAL);
        break;
    case ACK_LEFT:
    case ACK_MIDDLE:
        ended(op == ACK_LEFT ? LEFT : MIDDLE, amx_raw_ack(h, scene.item[op == ACK_LEFT ? LEFT : MIDDLE].offset));
        break;
    case COALESCE_MIDDLE:
    case COALESCE_RIGHT:
        coalesced(h, op == COALESCE_MIDDLE ? MIDDLE : RIGHT);
        break;
    case RENEW:
    case ENTER:
    case ROOT:
    case GIVE_AWAY:
    case OPS:
        break;
    }
}

static bool settle(struct thing *t)
{
    void *p = NULL;
    bool lives = amx_ptr(scene.h[0], t->now, &p) == AMX_OK;

    must(t->ends <= 1);
    must(lives ? t->ends == 0 : t->ends == 1 || t->maybe);
    if (t->now != t->ref) /* one reference per life */
        must(amx_ptr(scene.h[0], t->ref, &p) == AMX_E_STALE);
    if (lives) {
        must(usable_of(scene.h[0], t->now) >= t->sure);
        if (t->sure <= STAMP_WHOLE)
            must(stamp_check_(p, 0, t->sure / 8 * 8, t->key) == SIZE_MAX);
        else
            must(stamped(p, t->sure, t->key));
        must_ok(amx_free(scene.h[0], t->now));
    }
    return lives;
}

/* All have ended: judge. */
static void scene_judge(void)
{
    uint64_t live = 0;
    struct amx_stats s;

    for (int i = 0; i < DEPTH; i++) { /* what is in the caches is as large as it is taken for */
        amx_ref ref;
        must_ok(amx_alloc(scene.h[i], 96, &ref));
        fresh(scene.h[i], ref, 96);
    }
    s = stat_of(scene.h[0]);
    check_clean(scene.h[0]);
    for (int i = 0; i < ITEMS; i++)
        live += settle(&scene.item[i]);
    for (int i = 0; i < scene.made; i++)
        live += settle(&scene.fresh[i]);
    must(s.live_blocks == live);
    for (int i = 0; i < DEPTH; i++)
        must_ok(amx_trim(scene.h[i]));
    check_all_free(scene.h[0]);
}

#endif
