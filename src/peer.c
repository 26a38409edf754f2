/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"
#include "os.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* --- Fork handler ----------------------------------------------------------------------------------------------- *
 * The one process-wide list that the library keeps. A forked child shares the open file descriptions of its parent's
 * locks and would keep a dead parent looking alive, so the child closes them at once. The mutex is held over fork and
 * over each change of a lock_fd, so that the child finds a whole list and misses no descriptor.
 */
static pthread_mutex_t forks_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;
static int forks_installed; /* what amxi_os_atfork said */
static struct amxi_seg *forks;

static void before_fork(void)
{
    pthread_mutex_lock(&forks_lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&forks_lock);
}

static void in_child(void)
{
    for (struct amxi_seg *s = forks; s; s = s->next) {
        amxi_os_close(s->lock_fd);
        s->lock_fd = -1;
        s->forked = true;
    }
    pthread_mutex_unlock(&forks_lock);
}

static void install(void)
{
    forks_installed = amxi_os_atfork(before_fork, after_fork, in_child);
}

int amxi_forks_add(struct amxi_seg *s)
{
    pthread_once(&forks_once, install);
    if (forks_installed)
        return AMX_E_SYS;
    pthread_mutex_lock(&forks_lock);
    s->prev = NULL;
    s->next = forks;
    if (forks)
        forks->prev = s;
    forks = s;
    pthread_mutex_unlock(&forks_lock);
    return AMX_OK;
}

void amxi_forks_remove(struct amxi_seg *s)
{
    pthread_mutex_lock(&forks_lock);
    if (s->next)
        s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        forks = s->next;
    pthread_mutex_unlock(&forks_lock);
}

struct amxi_seg *amxi_forks_find(const amx_t *owner)
{
    pthread_mutex_lock(&forks_lock);
    struct amxi_seg *s = forks;
    while (s && !(s->forked && s->owner == owner))
        s = s->next;
    pthread_mutex_unlock(&forks_lock);
    return s;
}

/* --- Entering and leaving --------------------------------------------------------------------------------------- *
 * 1 lock a description of our own: byte of AMXI_LOCK_ATTACH for reading, byte of a new ticket for writing
 * 2 entry: FREE -> LIVE, ticket
 * 3 the entry's fields, and last the pid word, which carries the ticket too
 * Killed after 1: the kernel drops the locks. After 2: recovery finds the lock free and no pid word of this ticket,
 * and takes the entry back. No entry is locked before it is owned, so whoever stops in here hides nobody.
 */
#define TICKET_MASK ((UINT64_C(1) << 56) - 1)

static int64_t lock_byte(uint64_t ticket)
{
    return AMXI_LOCK_TICKET + (int64_t)ticket;
}

static int open_lock(struct amxi_seg *s, char *why, size_t why_len)
{
    pthread_mutex_lock(&forks_lock);
    int r = s->lock_fd < 0 ? amxi_os_reopen(s->fd, true, &s->lock_fd) : 0;
    pthread_mutex_unlock(&forks_lock);
    if (r)
        return amxi_fail(r, "open", "the segment a second time, for its locks", why, why_len);
    r = amxi_os_lock(s->lock_fd, AMXI_LOCK_ATTACH, false);
    if (r == -EAGAIN) {
        amxi_why(why, why_len, "somebody is resetting or removing the segment: try again");
        return AMX_E_BUSY;
    }
    return r ? amxi_fail(r, "lock", "the segment", why, why_len) : AMX_OK;
}

/* A ticket with its lock. Tickets count up, so the byte is free, unless the segment lies; then a few more tries. */
static int take_ticket(struct amxi_seg *s, uint64_t *ticket, char *why, size_t why_len)
{
    int r = -EAGAIN;
    for (int tries = 0; tries < 8 && r == -EAGAIN; tries++) {
        /* relaxed: only the number counts, the lock does the rest */
        *ticket = (amxi_add64_rlx(&amxi_head(s)->tickets, 1) + 1) & TICKET_MASK;
        if (*ticket != 0)
            r = amxi_os_lock(s->lock_fd, lock_byte(*ticket), true);
    }
    return r ? amxi_fail(r, "lock", "a ticket of the segment", why, why_len) : AMX_OK;
}

static bool take_entry(struct amxi_seg *s, uint64_t ticket)
{
    for (uint32_t i = 0; i < s->g.peers; i++) {
        amxi_a64 *word = &amxi_peer(s, i)->word;
        uint64_t w = amxi_ld64_rlx(word);
        /* acquire: what the former tenant did to the entry; release: the ticket was given before. Against the last one out
         * who removes the name the lock of AMXI_LOCK_ATTACH orders */
        if (AMXI_PEER_STATUS(w) == AMXI_PEER_FREE && amxi_cas64_ar(word, &w, AMXI_PEER_WORD(AMXI_PEER_LIVE, ticket))) {
            s->peer = i;
            s->ticket = ticket;
            return true;
        }
    }
    return false;
}

static void describe(struct amxi_seg *s, const struct amxi_os_proc *self, const char *name)
{
    struct amxi_peer_body *p = amxi_peer(s, s->peer);
    char text[16] = {0};
    uint64_t half[2];
    if (name)
        memcpy(text, name, strnlen(name, sizeof text - 1));
    else if (amxi_os_comm(text))
        text[0] = 0;
    memcpy(half, text, sizeof half);
    amxi_entered(); /* for who reads the fields meanwhile: amx_peers looks at the word again */
    amxi_st64_rlx(&p->pid_ns, self->pid_ns | (uint64_t)self->boot << 32);
    amxi_st64_rlx(&p->start_time, self->start_time);
    amxi_st64_rlx(&p->map_base, (uint64_t)(uintptr_t)s->base);
    amxi_st64_rlx(&p->name[0], half[0]);
    amxi_st64_rlx(&p->name[1], half[1]);
    amxi_st64_rlx(&p->since_ns, amxi_os_wall_ns());
    amxi_st64_rel(&p->pid, self->pid | s->ticket << 32); /* pairs with the acquire in amxi_peer_dead */
}

static int table_full(const struct amxi_seg *s, char *why, size_t why_len)
{
    unsigned dead = 0;
    for (uint32_t i = 0; i < s->g.peers; i++) {
        uint64_t w = amxi_ld64_rlx(&amxi_peer(s, i)->word); /* a number for the message */
        dead += AMXI_PEER_STATUS(w) == AMXI_PEER_DEAD ||
                (AMXI_PEER_STATUS(w) == AMXI_PEER_LIVE && amxi_peer_dead(s, i, AMXI_PEER_TICKET(w)));
    }
    amxi_why(why, why_len,
             "peer table: all %u entries are taken, %u of them by dead processes (amx_recover in an attached one gives "
             "those back)",
             s->g.peers, dead);
    return AMX_E_FULL;
}

int amxi_peer_enter(struct amxi_seg *s, const char *name, char *why, size_t why_len)
{
    struct amxi_os_proc self;
    uint64_t ticket = 0;
    int r = amxi_os_self(&self);
    if (r)
        return amxi_fail(r, "read", "/proc/self", why, why_len);
    r = open_lock(s, why, why_len);
    if (r == AMX_OK)
        r = take_ticket(s, &ticket, why, why_len);
    if (r == AMX_OK && !take_entry(s, ticket))
        r = table_full(s, why, why_len);
    if (r == AMX_OK)
        describe(s, &self, name);
    return r;
}

void amxi_peer_entered(struct amxi_seg *s)
{
    amxi_os_unlock(s->lock_fd, AMXI_LOCK_ATTACH);
}

int amxi_peer_alone(struct amxi_seg *s)
{
    if (!amxi_os_lock(s->lock_fd, AMXI_LOCK_ATTACH, true))
        return AMX_OK;
    amxi_os_unlock(s->lock_fd, AMXI_LOCK_ATTACH);
    return AMX_E_BUSY;
}

int amxi_peer_not_alone(struct amxi_seg *s)
{
    return amxi_os_lock(s->lock_fd, AMXI_LOCK_ATTACH, false) ? AMX_E_BUSY : AMX_OK;
}

int amxi_peer_succeed(struct amxi_seg *s, uint32_t i, uint64_t dead, const char *name, char *why, size_t why_len)
{
    struct amxi_os_proc self;
    uint64_t ticket = 0;
    int r = amxi_os_self(&self);
    if (r)
        return amxi_fail(r, "read", "/proc/self", why, why_len);
    r = take_ticket(s, &ticket, why, why_len);
    if (r)
        return r;
    if (!amxi_cas64_ar(&amxi_peer(s, i)->word, &dead, AMXI_PEER_WORD(AMXI_PEER_LIVE, ticket))) /* as in take_entry */
        return AMX_E_BUSY;
    s->peer = i;
    s->ticket = ticket;
    describe(s, &self, name);
    return AMX_OK;
}

void amxi_peer_leave(struct amxi_seg *s)
{
    uint64_t w = AMXI_PEER_WORD(AMXI_PEER_LIVE, s->ticket);
    /* sc, not only release: of two that leave at once one must see both gone, to remove the name. Fails only if a
     * recoverer was sure that we are dead; then the entry is its own affair. */
    amxi_cas64_sc(&amxi_peer(s, s->peer)->word, &w, AMXI_PEER_WORD(AMXI_PEER_DEAD, s->ticket));
}

void amxi_peer_undo(struct amxi_seg *s)
{
    amxi_peer_leave(s);
    for (uint32_t i = 0; i < s->g.handles; i++) {
        uint64_t w = amxi_ld64_rlx(&amxi_handle(s, i)->word); /* ours we have opened ourselves */
        if (AMXI_H_STATUS(w) != AMXI_H_FREE && AMXI_H_PEER(w) == s->peer)
            return; /* more to undo than an entry: left to recovery */
    }
    uint64_t w = AMXI_PEER_WORD(AMXI_PEER_DEAD, s->ticket);
    /* relaxed: goes on with the release of the leave, and nothing was done since */
    amxi_cas64_rlx(&amxi_peer(s, s->peer)->word, &w, AMXI_PEER_WORD(AMXI_PEER_FREE, 0));
}

void amxi_peer_unlock(struct amxi_seg *s)
{
    pthread_mutex_lock(&forks_lock);
    if (s->lock_fd >= 0) {
        /* Unlocked, not only closed: a child made without the fork handler may hold the description too. */
        amxi_os_unlock(s->lock_fd, AMXI_LOCK_ATTACH);
        amxi_os_unlock(s->lock_fd, lock_byte(s->ticket));
        amxi_os_close(s->lock_fd);
    }
    s->lock_fd = -1;
    pthread_mutex_unlock(&forks_lock);
}

/* --- Death ------------------------------------------------------------------------------------------------------ */

/* Has the same process attached later, at the very address where this attachment was? Then that mapping is gone: an
 * image that was exec'ed, or that lost the attachment otherwise, would keep its former self alive. It may be this
 * process, about to attach: then it has no entry yet. */
static bool replaced(const struct amxi_seg *s, uint64_t ticket, const struct amxi_os_proc *who,
                     const struct amxi_os_proc *self, uint64_t base)
{
    if (base == (uint64_t)(uintptr_t)s->base && (!s->ticket || ticket < s->ticket) && who->pid == self->pid &&
        who->start_time == self->start_time)
        return true;
    for (uint32_t j = 0; j < s->g.peers; j++) {
        const struct amxi_peer_body *p = amxi_peer(s, j);
        uint64_t w = amxi_ld64_rlx(&p->word), t = AMXI_PEER_TICKET(w);
        uint64_t pid = amxi_ld64_acq(&p->pid); /* as in amxi_peer_dead */
        if (AMXI_PEER_STATUS(w) == AMXI_PEER_LIVE && t > ticket && pid == (who->pid | t << 32) &&
            amxi_ld64_rlx(&p->start_time) == who->start_time &&
            amxi_ld64_rlx(&p->pid_ns) == (who->pid_ns | (uint64_t)who->boot << 32) &&
            amxi_ld64_rlx(&p->map_base) == base)
            return true;
    }
    return false;
}

bool amxi_peer_dead(const struct amxi_seg *s, uint32_t i, uint64_t ticket)
{
    const struct amxi_peer_body *p = amxi_peer(s, i);
    struct amxi_os_proc self, who;
    bool locked;
    /* Asked through the descriptor that holds no ticket: the kernel hides a description's own locks from it. */
    if (amxi_os_lock_test(s->fd, lock_byte(ticket & TICKET_MASK), &locked) || locked)
        return false;
    /* The kernel has dropped the lock: the process is gone, has exec'ed, or has closed all its descriptors. */
    uint64_t pid = amxi_ld64_acq(&p->pid); /* pairs with the release in describe: the fields are of this ticket */
    if (pid >> 32 != (uint32_t)ticket)
        return true; /* killed before it could say who it is */
    who.pid = (uint32_t)pid;
    uint64_t ns = amxi_ld64_rlx(&p->pid_ns);
    who.pid_ns = (uint32_t)ns;
    who.boot = (uint32_t)(ns >> 32);
    who.start_time = amxi_ld64_rlx(&p->start_time);
    if (amxi_os_self(&self))
        return false;
    /* Of before a reboot: all numbers below may have been given again. Of another namespace: they say nothing here */
    if ((who.boot && self.boot && who.boot != self.boot) || who.pid_ns != self.pid_ns || amxi_os_gone(&who))
        return true;
    uint64_t base = amxi_ld64_rlx(&p->map_base);
    return replaced(s, ticket, &who, &self, base) || amxi_os_unmapped(who.pid, s->dev, s->ino, base);
}

bool amxi_peer_any(const struct amxi_seg *s)
{
    for (uint32_t i = 0; i < s->g.peers; i++) {
        /* sc: pairs with amxi_peer_leave and take_entry */
        uint64_t w = amxi_ld64_sc(&amxi_peer(s, i)->word);
        if (AMXI_PEER_STATUS(w) == AMXI_PEER_LIVE && AMXI_PEER_TICKET(w) != s->ticket &&
            !amxi_peer_dead(s, i, AMXI_PEER_TICKET(w)))
            return true;
    }
    return false;
}
