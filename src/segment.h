/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 2: one process's view of a segment. Private memory; the shared half is in layout.h. */
#ifndef AMXI_SEGMENT_H
#define AMXI_SEGMENT_H

#include "amx.h"
#include "layout.h"

/* The constants of a segment, copied and checked once. Nothing below reads the head's constants again. */
struct amxi_geometry {
    uint64_t size, max_size;
    uint64_t first_gen, created_ns;
    uint8_t id[16], boot_id[16];
    uint32_t flags;
    uint32_t sector_log2; /* bytes */
    uint32_t su;          /* units per sector */
    uint32_t su_log2;
    uint32_t sectors, sectors_max;
    uint32_t peers, handles, guards;
    uint32_t bins;                                     /* lists per sector */
    uint32_t touched_words;                            /* 64-bit words per handle */
    struct amxi_region_body region[AMXI_R_COUNT_ + 1]; /* by kind; [0] unused */
};

/* Fills a geometry from options (complete: no defaults left), or says why not. Pure; the only place that lays out. */
int amxi_geometry_plan(const struct amx_options *o, struct amxi_geometry *g, char *why, size_t why_len);
/* Reads and checks a head of `avail` bytes, trusting nothing; file_size 0: unknown (an image: avail counts). Pure.
 * *ro_only: features that this library does not know allow reading only. */
int amxi_geometry_read(const void *head, uint64_t avail, uint64_t file_size, struct amxi_geometry *g, bool *ro_only,
                       char *why, size_t why_len);
/* Writes the head's constants of a new segment of zeroed memory; its sectors: amxi_sectors_format. */
void amxi_format(uint8_t *base, const struct amxi_geometry *g);

/* One attachment: shared by its handles. */
struct amxi_seg {
    uint8_t *base;
    uint64_t map_len; /* reserved addresses */
    struct amxi_geometry g;
    bool readonly;
    bool forked;   /* set in a child: everything is refused but close */
    bool manual;   /* AMX_F_NO_RECOVER */
    bool fd_only;  /* attached by descriptor or memfd: no name to remove */
    int fd;        /* the segment */
    int lock_fd;   /* own open file description that holds this attachment's lock; -1: read-only */
    uint32_t peer; /* entry */
    uint64_t ticket;
    uint64_t dev, ino;
    char name[AMX_NAME_MAX + 1];  /* or "" */
    char *path;                   /* of the file, or NULL; malloc */
    amx_t **open;                 /* by entry: this attachment's handles; calloc, NULL if read-only */
    amx_t *owner;                 /* the handle that create or attach returned; its pages vanish in a forked child */
    struct amxi_seg *next, *prev; /* list of attachments, for the fork handler only (peer.c) */
};

/* Addresses in this process. Indices are the caller's to check. */
static inline void *amxi_at(const struct amxi_seg *s, enum amxi_region r, uint64_t i)
{
    return s->base + s->g.region[r].offset + i * s->g.region[r].stride;
}
static inline struct amxi_head_body *amxi_head(const struct amxi_seg *s)
{
    return (struct amxi_head_body *)(void *)s->base;
}
static inline struct amxi_object_body *amxi_object(const struct amxi_seg *s, uint32_t i)
{
    return &amxi_head(s)->object[i];
}
static inline struct amxi_peer_body *amxi_peer(const struct amxi_seg *s, uint32_t i)
{
    return amxi_at(s, AMXI_R_PEERS, i);
}
static inline struct amxi_handle_body *amxi_handle(const struct amxi_seg *s, uint32_t i)
{
    return amxi_at(s, AMXI_R_HANDLES, i);
}
static inline amxi_a64 *amxi_guard(const struct amxi_seg *s, uint32_t handle, uint32_t i)
{
    return amxi_at(s, AMXI_R_GUARDS, (uint64_t)handle * s->g.guards + i);
}
static inline struct amxi_sector_body *amxi_sector(const struct amxi_seg *s, uint32_t i)
{
    return amxi_at(s, AMXI_R_SECTORS, i);
}
static inline amxi_a64 *amxi_acked(const struct amxi_seg *s, uint32_t i)
{
    return amxi_at(s, AMXI_R_ACKED, i);
}
static inline amxi_a64 *amxi_bitmap(const struct amxi_seg *s, uint32_t sector) /* word with the sector's first unit */
{
    return amxi_at(s, AMXI_R_BITMAP, (uint64_t)sector * (s->g.su / 64));
}
static inline amxi_a64 *amxi_touched(const struct amxi_seg *s, uint32_t handle) /* its first word */
{
    return amxi_at(s, AMXI_R_TOUCHED, (uint64_t)handle * s->g.touched_words);
}
static inline amxi_a8 *amxi_avail(const struct amxi_seg *s, uint32_t i)
{
    return amxi_at(s, AMXI_R_HINTS, i);
}
static inline amxi_a8 *amxi_backlog(const struct amxi_seg *s, uint32_t i)
{
    return amxi_at(s, AMXI_R_HINTS, (uint64_t)s->g.sectors_max + i);
}
static inline struct amxi_block_body *amxi_block(const struct amxi_seg *s, uint64_t unit) /* of the data region */
{
    return (struct amxi_block_body *)(void *)(s->base + s->g.region[AMXI_R_DATA].offset + unit * AMXI_UNIT);
}

/* Writes a sentence into the caller's buffer, if there is one. */
void amxi_why(char *why, size_t why_len, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The answer for a negative errno, and the sentence "cannot WHAT OBJECT: reason". */
int amxi_fail(int err, const char *what, const char *object, char *why, size_t why_len);

/* A result struct for a caller who knows `size` bytes of it (AMX_E_INVAL: not even its size field): copies what both
 * know, zeroes what only the caller knows, leaves the size field. */
int amxi_result(void *out, size_t size, const void *from, size_t from_size);

/* segment.c: the steps of create and attach. What a step got, amxi_seg_drop gives back. */
int amxi_seg_new(struct amxi_seg **out);
void amxi_seg_drop(struct amxi_seg *s);
/* From a name to s->name and s->path; NULL makes a new random name at each call. dir: NULL or "" for the default. */
int amxi_seg_locate(struct amxi_seg *s, const char *name, const char *dir, char *why, size_t why_len);
/* A file of g.size bytes that nobody else can see: in the directory of s->path, or a memfd with this label. */
int amxi_seg_make(struct amxi_seg *s, const char *memfd_label, char *why, size_t why_len);
/* Gives it its mode and group (< 0: none). */
int amxi_seg_chmod(struct amxi_seg *s, uint32_t mode, int64_t group, char *why, size_t why_len);
/* Opens the file at s->path, or a new description of the descriptor's file; then reads and checks its head. */
int amxi_seg_open(struct amxi_seg *s, char *why, size_t why_len);
int amxi_seg_reopen(struct amxi_seg *s, int fd, char *why, size_t why_len);
int amxi_seg_map(struct amxi_seg *s, const void *hint, char *why, size_t why_len);
/* Has the file lost its last name? */
bool amxi_seg_unlinked(const struct amxi_seg *s);

#endif
