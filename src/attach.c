/* SPDX-License-Identifier: Apache-2.0 */
/* Create, attach, open, close, unlink; roots; what a segment is and who is attached. */
#include "arena.h"
#include "os.h"
#include "peer.h"
#include "sector.h"

#include <errno.h>
#include <string.h>

#define TRIES      100 /* looks at a lock that somebody holds for a few calls only */

/* --- Options ---------------------------------------------------------------------------------------------------- */

#define STRUCT_MAX 4096 /* a larger struct_size is not one */

/* A newer program's options are larger; they are fine as long as it asks for nothing that we do not know. */
static bool tail_is_zero(const struct amx_options *in)
{
    const uint8_t *p = (const uint8_t *)in;
    for (size_t i = sizeof *in; i < in->struct_size; i++)
        if (p[i])
            return false;
    return true;
}

static int take_options(const struct amx_options *in, struct amx_options *o)
{
    static const struct amx_options none = AMX_OPTIONS_INIT;
    if (in && (in->struct_size < sizeof *in || in->struct_size > STRUCT_MAX))
        return AMX_E_INVAL; /* and no why: nobody knows where it would be */
    *o = in ? *in : none;
    if (o->why && o->why_len)
        o->why[0] = 0;
    if (in && !tail_is_zero(in)) {
        amxi_why(o->why, o->why_len, "options: %zu bytes, this library knows %zu, and the rest is not zero",
                 in->struct_size, sizeof *in);
        return AMX_E_INVAL;
    }
    if (o->flags & ~(uint32_t)AMX_F_ALL_) {
        amxi_why(o->why, o->why_len, "flags: %#x, this library knows %#x", o->flags, (unsigned)AMX_F_ALL_);
        return AMX_E_INVAL;
    }
    return AMX_OK;
}

static int check_create(struct amx_options *o)
{
    if (o->flags & AMX_F_READONLY) {
        amxi_why(o->why, o->why_len, "flags: AMX_F_READONLY is for attach, to create is to write");
        return AMX_E_INVAL;
    }
    if (o->mode & ~0666u) {
        amxi_why(o->why, o->why_len, "mode: %#o, a segment has read and write bits only (at most 0666)", o->mode);
        return AMX_E_INVAL;
    }
    if (o->group < -1 || o->group >= UINT32_MAX) {
        amxi_why(o->why, o->why_len, "group: %lld is not a group id", (long long)o->group);
        return AMX_E_INVAL;
    }
    if (o->mode == 0)
        o->mode = o->group < 0 ? 0600 : 0660;
    return AMX_OK;
}

/* --- Last one out ----------------------------------------------------------------------------------------------- *
 * Whoever attaches read-locks AMXI_LOCK_ATTACH from before it has an entry until it is attached or has given up;
 * whoever removes the name write-locks it. So with that lock and no LIVE entry nobody is inside or on the way, and an
 * attacher that has its lock and finds the file without a name came too late. Refused: somebody attaches, who will look
 * for himself, or another removes; that one looks again after it has unlocked, as it may have seen us still LIVE.
 */
static void remove_last(struct amxi_seg *s)
{
    if (!(s->g.flags & AMX_F_REMOVE_LAST) || s->fd_only)
        return;
    while (!amxi_peer_any(s)) {
        if (amxi_os_lock(s->lock_fd, AMXI_LOCK_ATTACH, true))
            return;
        bool last = !amxi_peer_any(s);
        if (last && amxi_os_names(s->path, s->dev, s->ino)) /* it may have become another's */
            (void)amxi_os_unlink(s->path);                  /* refused: the directory is not ours, and the name stays */
        (void)amxi_os_unlock(s->lock_fd, AMXI_LOCK_ATTACH);
        if (last)
            return;
    }
}

static void drop(struct amxi_seg *s)
{
    amxi_forks_remove(s);
    if (s->owner)
        amxi_handles_drop(s);
    amxi_seg_drop(s);
}

/* Whoever asked for a sentence gets one. */
static int explain(const struct amx_options *o, int r)
{
    if (r && o->why && o->why_len && !o->why[0])
        amxi_why(o->why, o->why_len, "%s", amx_strerror(r));
    return r;
}

/* Ends a create or attach: with a handle, or with nothing left of it. */
static int finish(struct amxi_seg *s, const struct amx_options *o, int r, amx_t **out)
{
    if (r == AMX_OK) {
        *out = s->owner;
        return r;
    }
    if (s->ticket)
        amxi_peer_undo(s);
    if (s->lock_fd >= 0) {
        amxi_peer_entered(s);
        remove_last(s);
        amxi_peer_unlock(s);
    }
    drop(s);
    return explain(o, r);
}

static int begin(const struct amx_options *in, struct amx_options *o, struct amxi_seg **out)
{
    int r = take_options(in, o);
    if (r)
        return r;
    r = amxi_seg_new(out);
    if (r == AMX_OK && (r = amxi_forks_add(*out)))
        amxi_seg_drop(*out);
    return explain(o, r);
}

/* --- Create and attach ------------------------------------------------------------------------------------------ */

/* BUSY is mostly the last one out, who needs the lock for a few calls; FULL may be the entries of those who have just
 * left or died, which wait for a recoverer to end. */
static bool worth_another(struct amxi_seg *s, int r)
{
    if (r == AMX_E_FULL)
        amxi_recycle(s);
    if (r == AMX_E_FULL || r == AMX_E_BUSY)
        amxi_os_yield();
    return r == AMX_E_FULL || r == AMX_E_BUSY;
}

static int enter(struct amxi_seg *s, const struct amx_options *o)
{
    int r = amxi_peer_enter(s, o->peer_name, o->why, o->why_len);
    for (int i = 0; i < TRIES && worth_another(s, r); i++) {
        r = amxi_peer_enter(s, o->peer_name, o->why, o->why_len);
        if (r == AMX_E_FULL) /* for good, if somebody lives */
            r = amxi_inherit_peer(s, o->peer_name, o->why, o->why_len);
    }
    return r;
}

static int open_handle(struct amxi_seg *s, const struct amx_options *o)
{
    amx_t *h;
    int r = amxi_handle_open(s, true, false, &h);
    for (int i = 0; i < TRIES && worth_another(s, r); i++) {
        r = amxi_peer_not_alone(s); /* after a refusal: for reading, as whoever attaches has it */
        if (r == AMX_OK)
            r = amxi_handle_open(s, true, false, &h);
        if (r == AMX_E_FULL)
            r = amxi_inherit_handle(s);
    }
    if (r == AMX_E_FULL)
        amxi_why(o->why, o->why_len, "handle table: all %u entries are taken", s->g.handles);
    return r;
}

static int identity(struct amxi_geometry *g, const struct amx_options *o)
{
    int r = amxi_os_random(g->id, sizeof g->id);
    if (r == 0)
        r = amxi_os_random(&g->first_gen, sizeof g->first_gen);
    if (r)
        return amxi_fail(r, "draw", "an id", o->why, o->why_len);
    g->id[6] = (uint8_t)((g->id[6] & 0x0f) | 0x40); /* a random uuid, as RFC 4122 marks it */
    g->id[8] = (uint8_t)((g->id[8] & 0x3f) | 0x80);
    g->first_gen &= AMXI_GEN_MASK;
    g->created_ns = amxi_os_wall_ns();
    (void)amxi_os_boot_id(g->boot_id); /* hidden: zero, it only informs */
    return AMX_OK;
}

static int publish(struct amxi_seg *s, const char *name, const struct amx_options *o)
{
    int r = amxi_os_link(s->fd, s->path);
    for (int i = 0; r == -EEXIST && !name && i < TRIES; i++) {
        r = amxi_seg_locate(s, NULL, o->dir, o->why, o->why_len);
        if (r)
            return r;
        r = amxi_os_link(s->fd, s->path);
    }
    return r ? amxi_fail(r, "create", s->path, o->why, o->why_len) : AMX_OK;
}

static int place(struct amxi_seg *s, const char *name, const struct amx_options *o)
{
    int r = amxi_seg_locate(s, name, o->dir, o->why, o->why_len);
    if (r == AMX_OK && name && amxi_os_exists(s->path)) /* before 64 GiB are reserved in vain */
        r = amxi_fail(-EEXIST, "create", s->path, o->why, o->why_len);
    return r;
}

/*
 * 1 a file that nobody sees, every page of it reserved   2 head and sectors   3 peer entry and handle: we are attached
 * 4 mode and group   5 the name: visible, complete
 * Killed before 5: the kernel frees the file. After 5: a segment with a dead peer.
 */
static int create(struct amxi_seg *s, const char *name, const char *label, struct amx_options *o)
{
    int r = check_create(o);
    if (r == AMX_OK)
        r = amxi_geometry_plan(o, &s->g, o->why, o->why_len);
    if (r == AMX_OK)
        r = identity(&s->g, o);
    s->fd_only = label != NULL;
    s->manual = o->flags & AMX_F_NO_RECOVER;
    if (r == AMX_OK && !label)
        r = place(s, name, o);
    if (r == AMX_OK)
        r = amxi_seg_make(s, label, o->why, o->why_len);
    if (r == AMX_OK)
        r = amxi_seg_map(s, o->map_hint, o->why, o->why_len);
    if (r)
        return r;
    amxi_format(s->base, &s->g);
    amxi_sectors_format(s);
    r = enter(s, o);
    if (r == AMX_OK)
        r = open_handle(s, o);
    if (r == AMX_OK)
        r = amxi_seg_chmod(s, o->mode, o->group, o->why, o->why_len);
    if (r == AMX_OK && !label)
        r = publish(s, name, o);
    if (r == AMX_OK)
        amxi_peer_entered(s);
    return r;
}

int amx_create(const char *name, const struct amx_options *opts, amx_t **out)
{
    struct amx_options o;
    struct amxi_seg *s;
    if (!out)
        return AMX_E_INVAL;
    int r = begin(opts, &o, &s);
    return r ? r : finish(s, &o, create(s, name, NULL, &o), out);
}

int amx_create_memfd(const char *label, const struct amx_options *opts, amx_t **out)
{
    struct amx_options o;
    struct amxi_seg *s;
    if (!out)
        return AMX_E_INVAL;
    if (!label)
        label = "amx";
    int r = begin(opts, &o, &s);
    if (r)
        return r;
    r = strlen(label) > AMX_NAME_MAX ? AMX_E_NAME : create(s, NULL, label, &o);
    return finish(s, &o, r, out);
}

/* A file whose head has been checked. */
static int attach(struct amxi_seg *s, const struct amx_options *o)
{
    int r = amxi_seg_map(s, o->map_hint, o->why, o->why_len);
    if (r == AMX_OK && s->readonly)
        return open_handle(s, o);
    if (r == AMX_OK)
        r = enter(s, o);
    if (r == AMX_OK && !s->fd_only && amxi_seg_unlinked(s)) {
        amxi_why(o->why, o->why_len, "%s has just been removed", s->path);
        r = AMX_E_NOENT;
    }
    if (r == AMX_OK)
        r = open_handle(s, o);
    if (r)
        return r;
    if (!s->manual)
        (void)amx_recover(s->owner, 0, NULL, NULL, NULL); /* in part: the rest is for the next one */
    amxi_peer_entered(s);
    return AMX_OK;
}

int amx_attach(const char *name, const struct amx_options *opts, amx_t **out)
{
    struct amx_options o;
    struct amxi_seg *s;
    if (!name || !out)
        return AMX_E_INVAL;
    int r = begin(opts, &o, &s);
    if (r)
        return r;
    s->readonly = o.flags & AMX_F_READONLY;
    s->manual = o.flags & AMX_F_NO_RECOVER;
    r = amxi_seg_locate(s, name, o.dir, o.why, o.why_len);
    if (r == AMX_OK)
        r = amxi_seg_open(s, o.why, o.why_len);
    if (r == AMX_OK)
        r = attach(s, &o);
    return finish(s, &o, r, out);
}

int amx_attach_fd(int fd, const struct amx_options *opts, amx_t **out)
{
    struct amx_options o;
    struct amxi_seg *s;
    if (fd < 0 || !out)
        return AMX_E_INVAL;
    int r = begin(opts, &o, &s);
    if (r)
        return r;
    s->readonly = o.flags & AMX_F_READONLY;
    s->manual = o.flags & AMX_F_NO_RECOVER;
    r = amxi_seg_reopen(s, fd, o.why, o.why_len);
    if (r == AMX_OK)
        r = attach(s, &o);
    return finish(s, &o, r, out);
}

int amx_open(const char *name, const struct amx_options *opts, amx_t **out)
{
    struct amx_options quiet;
    int r = name && out ? take_options(opts, &quiet) : AMX_E_INVAL;
    if (r == AMX_OK)
        r = check_create(&quiet);
    if (r)
        return r;
    quiet.why = NULL;
    r = AMX_E_EXIST;
    for (int i = 0; r == AMX_E_EXIST && i < TRIES; i++) { /* each turn somebody else has created and removed it */
        r = amx_attach(name, opts, out);
        if (r != AMX_E_NOENT)
            return r;
        r = amx_create(name, opts, out);
    }
    /* What was missing may have gone into the segment of another, who was faster. */
    if (r == AMX_E_NOSPC && amx_attach(name, &quiet, out) == AMX_OK)
        return AMX_OK;
    return r == AMX_E_EXIST ? AMX_E_BUSY : r;
}

int amx_close(amx_t *owner)
{
    if (!owner)
        return AMX_E_INVAL;
    struct amxi_seg *s = owner->seg;
    if (!s) { /* a forked child: the handle's pages are empty, the attachment is its parent's */
        s = amxi_forks_find(owner);
        if (!s)
            return AMX_E_INVAL;
    } else if (!owner->is_owner) {
        return AMX_E_INVAL;
    } else if (!s->readonly) {
        amxi_retire(owner);
        remove_last(s);
        amxi_peer_unlock(s);
    }
    drop(s);
    return AMX_OK;
}

/* --- Unlink ----------------------------------------------------------------------------------------------------- */

static int open_to_unlink(struct amxi_seg *s, const struct amx_options *o)
{
    uint64_t size, magic = 0;
    uint32_t links;
    bool regular = false;
    size_t got = 0;
    int r = amxi_os_open(s->path, true, &s->fd);
    if (r == -EACCES || r == -EPERM) /* a name may be removed without the right to write the file */
        r = amxi_os_open(s->path, false, &s->fd);
    if (r && r != -ELOOP && r != -EISDIR && r != -ENXIO)
        return amxi_fail(r, "open", s->path, o->why, o->why_len);
    if (r == 0)
        r = amxi_os_stat(s->fd, &size, &s->dev, &s->ino, &links, &regular);
    if (r == 0 && regular)
        r = amxi_os_read(s->fd, &magic, sizeof magic, &got);
    if (r || !regular || magic != AMXI_MAGIC) {
        amxi_why(o->why, o->why_len, "%s is not a segment: left alone", s->path);
        return AMX_E_LAYOUT;
    }
    return AMX_OK;
}

int amx_unlink(const char *name, const struct amx_options *opts)
{
    struct amx_options o;
    struct amxi_seg *s;
    if (!name)
        return AMX_E_INVAL;
    int r = begin(opts, &o, &s);
    if (r)
        return r;
    r = amxi_seg_locate(s, name, o.dir, o.why, o.why_len);
    if (r == AMX_OK)
        r = open_to_unlink(s, &o);
    if (r == AMX_OK) {
        /* Keeps the last one out and others who unlink from removing a successor of this file. Who stops with the lock
         * must not keep the name for ever: after some tries we go on without. */
        for (int i = 0; i < TRIES && amxi_os_lock(s->fd, AMXI_LOCK_ATTACH, true) == -EAGAIN; i++)
            amxi_os_yield();
        r = amxi_os_names(s->path, s->dev, s->ino) ? amxi_os_unlink(s->path) : -ENOENT;
        if (r)
            r = amxi_fail(r, "remove", s->path, o.why, o.why_len);
    }
    drop(s);
    return r;
}

/* As the last one out, but by one who was never in: s->fd holds no ticket. Looks without the lock first, so that who
 * attaches to a segment in use never finds it taken. */
static int remove_left(struct amxi_seg *s, const struct amx_options *o)
{
    bool alive = amxi_peer_any(s);
    int r = alive ? 0 : -EAGAIN;
    for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
        r = amxi_os_lock(s->fd, AMXI_LOCK_ATTACH, true);
        if (r == -EAGAIN)
            amxi_os_yield();
    }
    if (r == -EAGAIN) {
        amxi_why(o->why, o->why_len, "somebody is attaching to the segment or removing it: try again");
        return AMX_E_BUSY;
    }
    alive = alive || (r == 0 && amxi_peer_any(s));
    if (r == 0 && !alive)
        r = amxi_os_names(s->path, s->dev, s->ino) ? amxi_os_unlink(s->path) : -ENOENT; /* it may be another's by now */
    (void)amxi_os_unlock(s->fd, AMXI_LOCK_ATTACH); /* not only closed: as in amxi_peer_unlock */
    if (r)
        return amxi_fail(r, "remove", s->path, o->why, o->why_len);
    if (alive)
        amxi_why(o->why, o->why_len, "a process that lives is attached");
    return alive ? AMX_E_ALIVE : AMX_OK;
}

int amx_gc(const char *name, const struct amx_options *opts)
{
    struct amx_options o;
    struct amxi_seg *s;
    if (!name)
        return AMX_E_INVAL;
    int r = begin(opts, &o, &s);
    if (r)
        return r;
    r = amxi_seg_locate(s, name, o.dir, o.why, o.why_len);
    if (r == AMX_OK)
        r = amxi_seg_open(s, o.why, o.why_len);
    s->readonly = true; /* the file is open for writing, for the lock only */
    if (r == AMX_OK)
        r = amxi_seg_map(s, NULL, o.why, o.why_len);
    if (r == AMX_OK)
        r = remove_left(s, &o);
    drop(s);
    return explain(&o, r);
}

/* --- What a segment is ------------------------------------------------------------------------------------------ */

/* The attachment of a handle that may only look. */
static int view(const amx_t *h, struct amxi_seg **s)
{
    if (!h)
        return AMX_E_INVAL;
    *s = h->seg;
    return *s && !(*s)->forked ? AMX_OK : AMX_E_FORKED;
}

const char *amx_name(const amx_t *h)
{
    struct amxi_seg *s;
    if (view(h, &s) || s->fd_only)
        return "";
    return s->name[0] ? s->name : s->path;
}

int amx_fd(const amx_t *h)
{
    struct amxi_seg *s;
    int r = view(h, &s);
    return r ? r : s->fd;
}

static uint32_t peers_used(const struct amxi_seg *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->g.peers; i++)
        n += AMXI_PEER_STATUS(amxi_ld64_rlx(&amxi_peer(s, i)->word)) != AMXI_PEER_FREE;
    return n;
}

/* Entries that are taken; of one peer, or of all (UINT32_MAX). */
static uint32_t handles_used(const struct amxi_seg *s, uint32_t peer)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->g.handles; i++) {
        uint64_t w = amxi_ld64_rlx(&amxi_handle(s, i)->word);
        n += AMXI_H_STATUS(w) != AMXI_H_FREE && (peer == UINT32_MAX || AMXI_H_PEER(w) == peer);
    }
    return n;
}

int amx_info(const amx_t *h, struct amx_segment_info *out)
{
    struct amxi_seg *s;
    int r = view(h, &s);
    if (r == AMX_OK && (!out || out->struct_size < sizeof *out || out->struct_size > STRUCT_MAX))
        r = AMX_E_INVAL;
    if (r)
        return r;
    const struct amxi_geometry *g = &s->g;
    uint64_t data = (uint64_t)g->sectors << g->sector_log2;
    size_t size = out->struct_size;
    memset(out, 0, size); /* a newer program's further fields too */
    *out = (struct amx_segment_info){
        .struct_size = size,
        .size = g->size,
        .max_size = g->max_size,
        .data_offset = g->region[AMXI_R_DATA].offset,
        .data_bytes = data,
        .max_request = data - sizeof(struct amxi_block_body),
        .created_ns = g->created_ns,
        .layout = AMXI_LAYOUT,
        .flags = g->flags | (s->readonly ? AMX_F_READONLY : 0u),
        .sector_size = 1u << g->sector_log2,
        .sectors = g->sectors,
        .sectors_max = g->sectors_max,
        .peers = g->peers,
        .handles = g->handles,
        .guards = g->guards,
        .peers_used = peers_used(s),
        .handles_used = handles_used(s, UINT32_MAX),
    };
    memcpy(out->id, g->id, sizeof out->id);
    memcpy(out->boot_id, g->boot_id, sizeof out->boot_id);
    return AMX_OK;
}

/* --- Roots ------------------------------------------------------------------------------------------------------ */

static int root(const amx_t *h, unsigned i, bool write, amxi_a64 **out)
{
    struct amxi_seg *s;
    int r = view(h, &s);
    if (r)
        return r;
    if (i >= AMX_ROOTS)
        return AMX_E_INVAL;
    if (write && s->readonly)
        return AMX_E_READONLY;
    *out = &amxi_head(s)->roots[i];
    return AMX_OK;
}

int amx_root_get(const amx_t *h, unsigned i, amx_ref *out)
{
    amxi_a64 *word;
    int r = out ? root(h, i, false, &word) : AMX_E_INVAL;
    if (r == AMX_OK)
        *out = amxi_ld64_acq(word); /* pairs with the release in set and cas: the block is seen as it was made */
    return r;
}

int amx_root_set(amx_t *h, unsigned i, amx_ref ref)
{
    amxi_a64 *word;
    int r = root(h, i, true, &word);
    if (r == AMX_OK)
        amxi_st64_rel(word, ref); /* pairs with the acquire in get and cas */
    return r;
}

int amx_root_cas(amx_t *h, unsigned i, amx_ref expected, amx_ref desired, amx_ref *observed)
{
    amxi_a64 *word;
    int r = root(h, i, true, &word);
    if (r == AMX_OK && !amxi_cas64_ar(word, &expected, desired)) /* both halves, as in get and set */
        r = AMX_E_STATE;
    if (observed && (r == AMX_OK || r == AMX_E_STATE))
        *observed = expected;
    return r;
}

/* --- Peers ------------------------------------------------------------------------------------------------------ */

/* Other processes wrote it: only what a terminal can bear. */
static void copy_name(const struct amxi_peer_body *p, char name[16])
{
    uint64_t half[2] = {amxi_ld64_rlx(&p->name[0]), amxi_ld64_rlx(&p->name[1])};
    memcpy(name, half, 16);
    name[15] = 0;
    for (char *c = name; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

/* false: the entry is free, or changed its tenant while we looked. */
static bool describe(const struct amxi_seg *s, uint32_t i, struct amx_peer *out)
{
    const struct amxi_peer_body *p = amxi_peer(s, i);
    uint64_t w = amxi_ld64_rlx(&p->word);
    if (AMXI_PEER_STATUS(w) == AMXI_PEER_FREE)
        return false;
    *out = (struct amx_peer){.struct_size = sizeof *out, .index = i, .ticket = AMXI_PEER_TICKET(w)};
    uint64_t pid = amxi_ld64_acq(&p->pid); /* pairs with the release in amxi_peer_enter: the fields are its tenant's */
    if (pid >> 32 == (uint32_t)out->ticket) {
        out->pid = (uint32_t)pid;
        out->pid_ns = (uint32_t)amxi_ld64_rlx(&p->pid_ns); /* without the boot id's half */
        out->start_time = amxi_ld64_rlx(&p->start_time);
        copy_name(p, out->name);
    }
    out->handles = handles_used(s, i);
    out->alive = AMXI_PEER_STATUS(w) == AMXI_PEER_LIVE && !amxi_peer_dead(s, i, out->ticket);
    const struct amxi_os_proc who = {.pid = out->pid, .pid_ns = out->pid_ns, .start_time = out->start_time};
    out->stopped = out->alive && out->pid && amxi_os_stopped(&who);
    return AMXI_PEER_TICKET(amxi_ld64_again(&p->word)) == out->ticket;
}

int amx_peers(const amx_t *h, amx_peer_fn *fn, void *ctx)
{
    struct amxi_seg *s;
    int r = fn ? view(h, &s) : AMX_E_INVAL;
    for (uint32_t i = 0; r == AMX_OK && i < s->g.peers; i++) {
        struct amx_peer peer;
        if (describe(s, i, &peer))
            r = fn(&peer, ctx);
    }
    return r;
}
