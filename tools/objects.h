/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs about objects in a segment share, slot pools and message stores: made, named, looked at, checked. */
#ifndef AMX_OBJECTS_H
#define AMX_OBJECTS_H

#include "amx_object.h"
#include "amx_store.h"
#include "out.h"

struct object {
    amx_ref block; /**< its number on the command line */
    uint64_t base; /**< bytes from there to it */
    union {        /**< the view on it, of the verb's kind */
        struct amx_pool pool;
        struct amx_store store;
    };
};

struct object_want { /* what was asked for */
    const char *name, *dir;
    amx_ref only; /* 0: all */
    int root;     /* of create; -1: none */
    bool json, notes, poisoned;
};

struct object_report {
    const struct object_want *want;
    const struct object_kind *kind;
    amx_t *h;
    struct out_table table;
    struct out_json j;
    uint64_t block; /* of the object that is being looked at */
    uint64_t shown, undone, corrupt;
};

struct object_places {
    struct object at[AMX_OBJECTS];
    unsigned n;
};

/** An action that looks. In JSON each object is an object that begins with its number. */
struct object_action {
    const char *name;
    void (*show)(struct object_report *r, const struct object *o);
    const struct out_col *col;
    size_t cols;
};

struct object_kind {
    const char *verb; /**< which also is what one of them is called */
    const char *lost; /**< what `undone` means */
    int (*list)(const amx_t *h, struct object_places *all);
    int (*attach)(amx_t *h, struct object *o);
    int (*check)(const struct object *o, amx_check_fn *fn, void *ctx, struct amx_pool_check_result *out);
    const struct object_action *action; /**< ends with one without a name; "check" is added */
};

/** Into the places: block and base of one. */
void object_add(struct object_places *all, amx_ref block, uint64_t base);

/** All actions that look: argv is the action, the NAME of the segment, perhaps an object. An exit code. */
int object_look(const struct object_kind *kind, struct object_want *w, int argc, char **argv);

/** Attaches, makes one, sets the root, prints the block's number. An exit code. */
int object_create(const char *verb, const struct object_want *w, const void *config,
                  int (*make)(amx_t *h, const void *config, amx_ref *block));

/** Attaches, and changes the one that w says to what `to` says. An exit code. */
int object_change(const struct object_kind *kind, const struct object_want *w, const void *to,
                  int (*change)(struct object *o, const void *to));

/** SIZE:COUNT, sizes from min on. */
bool object_size_count(const char *text, uint64_t min, uint32_t *size, uint32_t *count);

/** Which root an option names, into w. false: none. */
bool object_root(const char *text, struct object_want *w);

#endif
