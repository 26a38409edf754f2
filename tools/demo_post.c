/* SPDX-License-Identifier: Apache-2.0 */
/* Hub and boxes: how the demo's processes find, wake and write to each other. */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "amx_raw.h"
#include "demo.h"

enum { NAP_MS = 200 }; /* longest sleep before one looks whether the demo was aborted */

size_t demo_hub_bytes(uint32_t workers)
{
    return sizeof(struct demo_hub) + DEMO_SEATS(workers) * sizeof(struct demo_seat);
}

size_t demo_box_bytes(uint32_t slots)
{
    return sizeof(struct demo_box) + slots * sizeof(amx_ref);
}

static void ring(struct demo_hub *hub, uint32_t seat)
{
    _Atomic uint32_t *bell = &hub->seat[seat].bell;

    /* release: who reads this bell (demo_bell) sees what was done before it rang */
    atomic_fetch_add_explicit(bell, 1, memory_order_release);
    syscall(SYS_futex, bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void ring_all(struct demo_hub *hub)
{
    for (uint32_t i = 0; i < DEMO_SEATS(hub->workers); i++)
        ring(hub, i);
}

void demo_abort(struct demo_hub *hub)
{
    atomic_store_explicit(&hub->abort, 1, memory_order_release); /* read by demo_aborted */
    ring_all(hub);
}

bool demo_aborted(const struct demo_self *self)
{
    return atomic_load_explicit(&self->hub->abort, memory_order_acquire) != 0;
}

void demo_set(struct demo_self *self, enum demo_doing what)
{
    struct demo_seat *seat = &self->hub->seat[self->seat];

    /* relaxed: the parent only reports it */
    atomic_store_explicit(&seat->doing, what, memory_order_relaxed);
    if (what == DEMO_WORKING)
        atomic_fetch_add_explicit(&seat->work, 1, memory_order_relaxed);
}

void demo_want_memory(struct demo_self *self)
{
    demo_set(self, DEMO_WAITS_MEMORY);
    ring_all(self->hub); /* after it is set: who reads the new bell sees it */
}

bool demo_memory_wanted(const struct demo_self *self)
{
    return atomic_load_explicit(&self->hub->seat[DEMO_READER].doing, memory_order_relaxed) == DEMO_WAITS_MEMORY;
}

uint32_t demo_bell(const struct demo_self *self)
{
    return atomic_load_explicit(&self->hub->seat[self->seat].bell, memory_order_acquire); /* pairs with ring */
}

void demo_wait(struct demo_self *self, uint32_t bell, enum demo_doing why)
{
    const struct timespec nap = {.tv_nsec = NAP_MS * 1000000L};

    demo_set(self, why);
    syscall(SYS_futex, &self->hub->seat[self->seat].bell, FUTEX_WAIT, bell, &nap, NULL, 0);
}

int demo_text_at(const struct demo_self *self, amx_ref ref, struct demo_text **out)
{
    size_t room;
    void *p;
    int err = amx_usable(self->h, ref, &room);

    if (!err)
        err = amx_ptr(self->h, ref, &p);
    if (err)
        return err;
    *out = p;
    return room < sizeof **out || (*out)->len > room - sizeof **out || (*out)->start > (*out)->len ? AMX_E_CORRUPT
                                                                                                   : AMX_OK;
}

/* The box behind a reference, if it is one. */
static int box_of(const struct demo_self *self, amx_ref ref, struct demo_box **out)
{
    size_t room;
    void *p;
    int err = amx_usable(self->h, ref, &room);

    if (!err)
        err = amx_ptr(self->h, ref, &p);
    if (err)
        return err;
    *out = p;
    return room < sizeof **out || room < demo_box_bytes((*out)->slots) ? AMX_E_CORRUPT : AMX_OK;
}

static int find_hub(struct demo_self *self)
{
    amx_ref ref;
    void *p;
    int err = amx_root_get(self->h, DEMO_ROOT, &ref);

    if (!err)
        err = amx_read_mut(self->h, ref, sizeof(struct demo_hub), &p);
    if (err)
        return err;
    self->hub = p;
    if (self->hub->workers == 0 || self->hub->workers > DEMO_WORKERS_MAX ||
        self->seat >= DEMO_SEATS(self->hub->workers))
        return AMX_E_CORRUPT;
    for (uint32_t i = 0; i < self->hub->workers && !err; i++) {
        err = box_of(self, self->hub->in[i], &self->in[i]);
        if (!err)
            err = box_of(self, self->hub->out[i], &self->out[i]);
    }
    return err;
}

int demo_sit(struct demo_self *self, uint32_t seat)
{
    struct demo_seat *mine;
    int err;

    self->seat = seat;
    err = find_hub(self);
    if (err)
        return err;
    mine = &self->hub->seat[seat];
    atomic_store_explicit(&mine->base, (uint64_t)(uintptr_t)amx_raw_base(self->h), memory_order_relaxed);
    atomic_store_explicit(&mine->id, amx_handle_id(self->h), memory_order_relaxed);
    self->successor = atomic_fetch_add_explicit(&mine->lives, 1, memory_order_relaxed) != 0;
    /* release: who sees everybody seated sees them as they are; pairs with the load below */
    atomic_fetch_add_explicit(&self->hub->seated, 1, memory_order_release);
    ring_all(self->hub);
    for (;;) {
        uint32_t bell = demo_bell(self);

        if (atomic_load_explicit(&self->hub->seated, memory_order_acquire) >= DEMO_SEATS(self->hub->workers))
            return AMX_OK;
        if (demo_aborted(self))
            return AMX_E_TIMEOUT;
        demo_wait(self, bell, DEMO_STARTING);
    }
}

bool demo_full(const struct demo_box *box, uint64_t *fill)
{
    /* head is the sender's own; acquire pairs with demo_taken: a slot that counts as read has been read */
    *fill =
        atomic_load_explicit(&box->head, memory_order_relaxed) - atomic_load_explicit(&box->tail, memory_order_acquire);
    return *fill >= box->slots;
}

int demo_put(struct demo_self *self, struct demo_box *box, uint32_t to, amx_ref ref)
{
    uint64_t fill, head;

    for (;;) {
        uint32_t bell = demo_bell(self);

        if (demo_aborted(self))
            return AMX_E_TIMEOUT;
        if (!demo_full(box, &fill))
            break;
        demo_wait(self, bell, DEMO_WAITS_SPACE);
    }
    demo_set(self, DEMO_WORKING);
    head = atomic_load_explicit(&box->head, memory_order_relaxed);
    atomic_store_explicit(&box->slot[head % box->slots], ref, memory_order_relaxed); /* the head publishes it */
    atomic_store_explicit(&box->head, head + 1, memory_order_release);               /* pairs with demo_peek */
    ring(self->hub, to);
    return AMX_OK;
}

bool demo_peek(const struct demo_box *box, amx_ref *ref)
{
    uint64_t tail = atomic_load_explicit(&box->tail, memory_order_relaxed); /* the receiver's own */

    if (tail == atomic_load_explicit(&box->head, memory_order_acquire)) /* pairs with demo_put */
        return false;
    *ref = atomic_load_explicit(&box->slot[tail % box->slots], memory_order_relaxed);
    return true;
}

void demo_taken(struct demo_self *self, struct demo_box *box, uint32_t from)
{
    uint64_t tail = atomic_load_explicit(&box->tail, memory_order_relaxed);

    atomic_store_explicit(&box->tail, tail + 1, memory_order_release); /* pairs with demo_full */
    ring(self->hub, from);
    demo_set(self, DEMO_WORKING);
}

void demo_gate_set(struct demo_hub *hub, uint64_t bytes)
{
    atomic_store_explicit(&hub->gate, bytes, memory_order_relaxed); /* the bell tells the reader */
    ring(hub, DEMO_READER);
}

int demo_gate_pass(struct demo_self *self, uint64_t bytes)
{
    for (;;) {
        uint32_t bell = demo_bell(self);

        if (demo_aborted(self))
            return AMX_E_TIMEOUT;
        if (bytes < atomic_load_explicit(&self->hub->gate, memory_order_relaxed))
            return AMX_OK;
        demo_wait(self, bell, DEMO_WAITS_GATE);
    }
}

void demo_close(struct demo_self *self, struct demo_box *box, uint32_t to)
{
    atomic_store_explicit(&box->closed, 1, memory_order_release); /* after the last head; pairs with demo_closed */
    ring(self->hub, to);
}

bool demo_closed(const struct demo_box *box)
{
    return atomic_load_explicit(&box->closed, memory_order_acquire) != 0;
}
