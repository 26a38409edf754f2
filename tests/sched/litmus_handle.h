/* SPDX-License-Identifier: Apache-2.0 */
/* Meetings over handle entries: gifts, ends, recovery, recycling. Part of litmus.c. */
#ifndef AMX_TEST_LITMUS_HANDLE_H
#define AMX_TEST_LITMUS_HANDLE_H

static struct amxi_handle_body *entry_of(int fiber)
{
    return amxi_handle(scene.h[fiber]->seg, scene.h[fiber]->tag - 1);
}

static amx_id id_of_third(void)
{
    return AMXI_ID(scene.h[2]->tag, scene.h[2]->epoch);
}

/* The kernel and /proc say that it is gone; nobody has noticed. */
static void killed(struct amxi_seg *s)
{
    amxi_a64 *pid = &amxi_peer(s, s->peer)->pid;
    amxi_os_unlock(s->lock_fd, AMXI_LOCK_TICKET + (int64_t)s->ticket);
    pid->v_ = INT32_MAX | pid->v_ >> 32 << 32;
}

static void set_third_killed(void)
{
    killed(scene.h[2]->seg);
}

static void recover(int fiber)
{
    int e = amx_recover(me(fiber), 0, NULL, NULL, NULL);
    must(e == AMX_OK || e == AMX_E_PARTIAL);
}

/* One more handle of the same process; unmapped before the next schedule. */
static amx_t *open_handle(int fiber)
{
    must(!lit.opened);
    must_ok(amx_share(me(fiber), &lit.opened));
    return lit.opened;
}

static int eye_of(void)
{
    return lit.how.eye ? lit.how.eye : 1;
}

/* Whatever is left a recovery finds, and nothing is of nobody's tag. */
static void nothing_is_lost(void)
{
    struct amx_check_result r = {.struct_size = sizeof r};
    int eye = x.dead[0] ? eye_of() : 0;
    recover(eye);
    must(amx_check(me(eye), tell_finding, &r, &r) == AMX_OK && r.corrupt == 0);
}

/* --- Gifts to those who end ---------------------------------------------------------------------------------------- */

/* The giver may die in the middle: then nothing looks a second time. */
static void give_killed(int fiber)
{
    amx_ref out;
    if (fiber == 0)
        (void)amx_give(me(0), lit.ref[X], id_of_third(), &out);
    else
        recover(1);
}

static void give_closing(int fiber)
{
    amx_ref out;
    if (fiber == 0)
        (void)amx_give(me(0), lit.ref[X], amx_handle_id(me(1)), &out);
    else
        amxi_retire(me(1));
}

/* A large block whose head is new to who recovers. */
static void give_large(int fiber)
{
    amx_ref ref;
    if (fiber == 0) {
        must_ok(amx_alloc_aligned(me(0), 256, 2 * 4096, &ref));
        (void)amx_give(me(0), ref, id_of_third(), &ref);
    } else {
        recover(1);
    }
}

/* The receiver's tag has another tenant before the giver has finished: the gift is not his. */
static void give_next_tenant(int fiber)
{
    if (fiber == 0) {
        give_killed(0);
    } else {
        recover(1);
        (void)open_handle(1);
    }
}

static void not_the_next_tenants(void)
{
    uint64_t w = amxi_ld64_rlx(&entry_of(2)->word);
    must(AMXI_W0_OWNER(amxi_ld64_rlx(lit.data[X][0] - 2)) != scene.h[2]->tag ||
         (AMXI_H_EPOCH(w) == scene.h[2]->epoch && AMXI_H_STATUS(w) != AMXI_H_FREE));
}

/* --- Tags ---------------------------------------------------------------------------------------------------------- */

/* Who recovers has the third's tag on his list: it is not given anew meanwhile. */
static void list_recycle(int fiber)
{
    if (fiber == 0) {
        recover(0);
    } else {
        amxi_recycle(me(1)->seg);
        amx_t *h = open_handle(1);
        must_ok(amx_alloc(h, 96, &lit.mine));
    }
}

static void mine_lives(void)
{
    void *p;
    must_ok(amx_ptr(me(0), lit.mine, &p));
    nothing_is_lost();
}

static void set_untouched(void)
{
    amxi_st64_rlx(amxi_touched(me(0)->seg, me(0)->tag - 1), 0);
}

/* A tag is not given anew while the touched bits of its last tenant stand, also by who was not told of his death. */
static void touch_recycle(int fiber)
{
    if (fiber == 0) {
        amxi_touch(me(0)->seg, me(0)->tag, 0); /* its first */
        ends(me(0));
    } else {
        amxi_recycle(me(1)->seg);
        uint32_t st = AMXI_H_STATUS(amxi_ld64_rlx(&entry_of(0)->word));
        must(st == AMXI_H_OPEN || st == AMXI_H_DEAD);
    }
}

/* The handle of a thread of the third that ended, with a kept block and a touched bit: 3 others are open. */
static void set_fourths_kept(void)
{
    amx_t *h;
    amx_ref ref;
    must_ok(amx_share(me(2), &h));
    must_ok(amx_alloc(h, 96, &ref));
    must_ok(amx_set_state(h, ref, AMX_STATE_KEPT));
    must_ok(amx_trim(h));
    lit.tag = h->tag;
    amxi_st64_rlx(&amxi_handle(h->seg, h->tag - 1)->word, AMXI_H_WORD(AMXI_H_DEAD, h->seg->peer, h->epoch));
}

static int recover_within(const struct amx_kept *k, void *ctx)
{
    (void)k;
    (void)ctx;
    recover(0);
    return AMX_OK;
}

/* Two have a dead one on their lists; the second, to whom nothing is left of it, still clears its touched bits. Whoever has the
 * tag next knows of that: a bit of his own would go. */
static void untouch_open(int fiber)
{
    if (fiber == 0) {
        int e = amx_recover(me(0), 0, recover_within, NULL, NULL);
        must(e == AMX_OK || e == AMX_E_PARTIAL);
    } else if (fiber == 1) {
        amxi_recycle(me(1)->seg);
    } else if (open_handle(2)->tag == lit.tag) {
        must(knows(2, amxi_touched(me(2)->seg, lit.tag - 1)));
    }
}

/* Nobody's sector is taken whose tag was free a moment ago. */
static void open_enter(int fiber)
{
    struct amx_recovery r = {.struct_size = sizeof r};
    amx_ref ref;
    if (fiber == 0) {
        must_ok(amx_alloc(open_handle(0), 96, &ref));
    } else {
        (void)amx_recover(me(1), 0, NULL, NULL, &r);
        must(r.sectors_rebuilt == 0);
    }
}

/* An entry of a peer outlives its handles. */
static void retire_two(int fiber)
{
    if (fiber == 0) {
        (void)open_handle(0);
        amxi_retire(me(0));
    } else {
        recover(1);
    }
}

/* One ends while another is in a sector of his: what he leaves there holds his tag. */
static void retire_recycle(int fiber)
{
    amx_ref ref;
    if (fiber == 0) {
        must_ok(amx_alloc(me(0), 900, &ref));
        amxi_retire(me(0));
    } else {
        (void)amx_heal(me(1));
        amxi_recycle(me(1)->seg);
    }
}

/* The next tenant of an entry knows of all that the last one did there. */
static void retire_open(int fiber)
{
    if (fiber == 0) {
        use(0, &entry_of(0)->counter[AMXI_C_REBUILD]);
        amxi_retire(me(0));
    } else {
        (void)open_handle(1);
    }
}

/* --- Entries of peers ---------------------------------------------------------------------------------------------- */

/* Attaches once more, to an entry of its own; the ticket's lock stays. */
static struct amxi_seg enter(int fiber, const char *name)
{
    struct amxi_seg s = *me(fiber)->seg;
    must_ok(amxi_peer_enter(&s, name, NULL, 0));
    return s;
}

static void open_in_next(void)
{
    lit.next.open = lit.open;
    must_ok(amxi_handle_open(&lit.next, false, false, &lit.opened));
}

static void open_next(int fiber)
{
    lit.next = enter(fiber, "next");
    open_in_next();
}

/* The next tenant of a peer's entry knows of all that the last one did there. */
static void leave_enter(int fiber)
{
    if (fiber == 0) {
        use(0, &amxi_peer(me(0)->seg, me(0)->seg->peer)->name[0]);
        amxi_retire(me(0));
    } else {
        (void)enter(1, "next");
    }
}

/* The same of one who was killed: who buries it has been told by the kernel, and the next tenant by him. */
static void killed_enter(int fiber)
{
    if (fiber == 0) {
        use(0, &amxi_peer(me(0)->seg, me(0)->seg->peer)->name[0]);
        amxi_st64_rlx(lit.data[X][0], 1); /* where it may die */
    } else if (fiber == 1) {
        recover(1);
    } else {
        amxi_recycle(me(2)->seg);
        (void)enter(2, "next");
    }
}

/* One that was killed before it had a handle, which would say the same. */
static void bury_enter(int fiber)
{
    if (fiber == 0) {
        struct amxi_seg s = enter(0, "former");
        use(0, &amxi_peer(&s, s.peer)->name[0]);
        mem_die(0); /* the kernel tells it to who asks from here on */
        killed(&s);
        recover(0);
    } else {
        amxi_recycle(me(1)->seg);
        lit.next = enter(1, "next");
    }
}

/* An entry of a peer that has died is not free before its handles are, also if these are new to who looks. */
static void die_recycle(int fiber)
{
    if (fiber == 0) {
        open_next(0);
        ends(lit.opened);
    } else {
        amxi_recycle(me(1)->seg);
    }
}

static void no_orphans(void)
{
    const struct amxi_seg *s = me(1)->seg;
    for (uint32_t i = 0; i < s->g.handles; i++) {
        uint64_t w = amxi_ld64_rlx(&amxi_handle(s, i)->word);
        must(AMXI_H_STATUS(w) == AMXI_H_FREE ||
             AMXI_PEER_STATUS(amxi_ld64_rlx(&amxi_peer(s, AMXI_H_PEER(w))->word)) != AMXI_PEER_FREE);
    }
}

static void leave_succeed(int fiber)
{
    struct amxi_seg s = *me(fiber)->seg;
    if (fiber == 0) {
        use(0, &amxi_peer(&s, s.peer)->name[0]);
        amxi_peer_leave(&s);
    } else {
        uint32_t i = me(0)->seg->peer;
        uint64_t w = amxi_ld64_rlx(&amxi_peer(&s, i)->word);
        if (AMXI_PEER_STATUS(w) == AMXI_PEER_DEAD)
            must_ok(amxi_peer_succeed(&s, i, w, "next", NULL, 0));
    }
}

static int tell_peer(const struct amx_peer *p, void *ctx)
{
    const struct amxi_seg *s = ctx;
    uint64_t last = amxi_ld64_rlx(&amxi_head(s)->tickets) & AMXI_MASK(AMXI_TICKET_BITS);
    must(!AMXI_TICKET_AFTER(p->ticket, last));
    if (AMXI_TICKET_AFTER(p->ticket, me(2)->seg->ticket) && p->pid)
        must(strcmp(p->name, "next") == 0);
    if (p->ticket == me(0)->seg->ticket)
        must(strcmp(p->name, "next") != 0);
    return 0;
}

/* As an attacher of its own, whose entry is the dead third's. */
static void succeed_peers(int fiber)
{
    struct amxi_seg s = *me(0)->seg;
    uint32_t i = me(2)->seg->peer;
    if (fiber == 0)
        must_ok(amxi_peer_succeed(&s, i, amxi_ld64_rlx(&amxi_peer(&s, i)->word), "next", NULL, 0));
    else
        must_ok(amx_peers(me(1), tell_peer, me(1)->seg));
}

/* A peer is told with its own fields, whoever had or gets the entry. */
static void enter_peers(int fiber)
{
    if (fiber == 0)
        (void)enter(0, "next");
    else
        must_ok(amx_peers(me(1), tell_peer, me(1)->seg));
}

static void leave_enter_peers(int fiber)
{
    if (fiber == 0) {
        struct amxi_seg s = *me(0)->seg;
        amxi_retire(me(0));
        s.peer = UINT32_MAX;
        must_ok(amxi_peer_enter(&s, "next", NULL, 0));
    } else {
        enter_peers(1);
    }
}

/* One whose lock is gone lives all the same, if it is there: its number and its start say so. */
static void enter_dead(int fiber)
{
    if (fiber == 0) {
        struct amxi_seg s = enter(0, "next");
        amxi_os_unlock(s.lock_fd, AMXI_LOCK_TICKET + (int64_t)s.ticket);
        return;
    }
    const struct amxi_seg *s = me(1)->seg;
    for (uint32_t i = 0; i < s->g.peers; i++) {
        uint64_t pid = amxi_ld64_rlx(&amxi_peer(s, i)->pid),
                 t = AMXI_PEER_TICKET(amxi_ld64_rlx(&amxi_peer(s, i)->word));
        if (AMXI_TICKET_AFTER(t, me(2)->seg->ticket) && pid >> 32 == (uint32_t)t)
            must(!amxi_peer_dead(s, i, t));
    }
}

/* Nobody is replaced by one who attached elsewhere, whatever was in that one's entry before. */
static void enter_replaced(int fiber)
{
    const struct amxi_seg *third = me(2)->seg;
    if (fiber == 0)
        (void)enter(0, "next");
    else
        must(!amxi_peer_dead(me(1)->seg, third->peer, third->ticket));
}

static void set_third_unlocked(void)
{
    struct amxi_seg s = *me(2)->seg;
    must_ok(amxi_peer_enter(&s, "former", NULL, 0));
    amxi_peer_undo(&s);
    amxi_os_unlock(me(2)->seg->lock_fd, AMXI_LOCK_TICKET + (int64_t)me(2)->seg->ticket);
}

/* The entry that is taken next was of this process before, of another life and another place in it. */
static void set_former_peer(void)
{
    struct amxi_seg s = *me(2)->seg;
    must_ok(amxi_peer_enter(&s, "former", NULL, 0));
    amxi_st64_rlx(&amxi_peer(&s, s.peer)->start_time, 1);
    amxi_peer_undo(&s);
}

/* Whose handles are buried: those of the one who is dead, not of the entry's next tenant. */
static void bury_next(int fiber)
{
    recover(fiber);
    if (fiber == 1)
        open_next(1);
}

/* Nor one that is being opened. */
static void bury_opening(int fiber)
{
    amxi_recycle(me(fiber)->seg);
    if (fiber == 1) {
        lit.next = enter(1, "next");
        mem_thread(1); /* not the one that attached */
        open_in_next();
    }
}

/* One was killed before it had a handle. Entries of handles are their tenants' (mem.owned), as long as these live. */
static void set_killed_before_opening(void)
{
    struct amxi_seg s = enter(2, "former");
    const struct amxi_region_body *r = &s.g.region[AMXI_R_HANDLES];
    killed(&s);
    mem.owned[0] = (uint32_t)(r->offset / 8);
    mem.owned[1] = (uint32_t)((r->offset + r->size) / 8);
}

static void next_is_open(void)
{
    must(AMXI_H_STATUS(amxi_ld64_rlx(&amxi_handle(&lit.next, lit.opened->tag - 1)->word)) == AMXI_H_OPEN);
}

/* --- Threads of one process ---------------------------------------------------------------------------------------- */

/* What a closed handle had counted the next one goes on with. */
static void unshare_share(int fiber)
{
    amx_t *h;
    if (fiber == 0) {
        must_ok(amx_share(me(0), &h));
        x.told[0] = h->tag;
        amxi_count(h, AMXI_C_LARGE, 1);
        must_ok(amx_unshare(h));
    } else {
        h = open_handle(1);
        x.told[1] = h->tag;
        amxi_count(h, AMXI_C_LARGE, 1);
    }
}

static void both_are_counted(void)
{
    const struct amxi_seg *s = me(0)->seg;
    must(x.told[0] != x.told[1] || amxi_ld64_rlx(&amxi_handle(s, (uint32_t)x.told[0] - 1)->counter[AMXI_C_LARGE]) == 2);
}

/* Both are threads of one process. */
static void set_threads(void)
{
    must_ok(amx_share(me(0), &scene.h[1]));
}

#endif
