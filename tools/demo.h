/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo: a word count by several processes through one segment.
 *
 *               texts               tables
 *   reader ----box----> counter ----box----> merger ----> parent compares with a count of its own
 *          ----box----> counter ----box---->
 *
 * 1. The reader allocates a block, reads a piece of a file straight into it (whole words), publishes it as DEMO_TEXT and
 *    puts the reference into a counter's box.
 * 2. The counter adopts it as DEMO_COUNTING and counts the words where they lie. Its counts collect in a table, which is
 *    handed to the merger when it is full; then the texts that it counts are freed.
 * 3. The merger adds the table to its private one and frees it. If a counter finds no memory for a table, it leaves the
 *    text itself to the merger, which then counts it; one that has no text to count hands on what it has when the reader
 *    waits for memory. So nobody waits for memory that is held by one who waits for him.
 * Boxes and the hub are published blocks; root 0 refers to the hub. At the end every block has been freed by the one
 * who used it last, so the whole segment must be free.
 *
 * A counter may be killed or stopped at any instruction. What it has in hand is in states from AMX_STATE_KEPT on, so its
 * death leaves that to its successor; demo_counter.c says why each word counts once all the same. The parent kills one
 * and stops another to show it (demo_harm.c).
 *
 * A word is a run of ASCII letters, digits, ' and bytes from 0x80 on, ASCII letters in lower case.
 */
#ifndef AMX_DEMO_H
#define AMX_DEMO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "amx.h"

/** States of the demo's blocks. */
enum {
    DEMO_POST = 49,                 /**< hub and boxes */
    DEMO_FILLING = 50,              /**< a table that a counter fills: falls with it */
    DEMO_TEXT = AMX_STATE_KEPT,     /**< filled by the reader, in a counter's box */
    DEMO_COUNTING = DEMO_TEXT + 1,  /**< a text that a counter has in hand */
    DEMO_COMMITTED = DEMO_TEXT + 2, /**< a table that counts, and whose texts are being freed */
    DEMO_TABLE = DEMO_TEXT + 3,     /**< a table for the merger */
    DEMO_PASSED = DEMO_TEXT + 4     /**< a text for the merger */
};

/** Seats: each process has one. Counters sit from DEMO_COUNTER on. */
enum { DEMO_READER = 0, DEMO_MERGER = 1, DEMO_COUNTER = 2, DEMO_WORKERS_MAX = 32 };
enum { DEMO_TABLE_TEXTS = 16 /* after which a table is handed on, full or not */ };
#define DEMO_SEATS(workers) ((workers) + 2)

enum { DEMO_ROOT = 0 };

/** What a process is doing, for the parent's report if nothing moves any more. */
enum demo_doing {
    DEMO_STARTING,
    DEMO_WORKING,
    DEMO_WAITS_MEMORY,
    DEMO_WAITS_INPUT,
    DEMO_WAITS_SPACE,
    DEMO_WAITS_GATE,
    DEMO_FINISHED
};

/* --- In the segment ------------------------------------------------------------------------------------------- */

/* A process's place. One cache line: its bell is rung by others, the rest it writes itself. */
struct demo_seat {
    _Alignas(64) _Atomic uint32_t bell; /* futex; goes up whenever something happened that this process may wait for */
    _Atomic uint32_t doing;             /* enum demo_doing */
    _Atomic uint32_t lives;             /* processes that have sat here */
    _Atomic uint64_t id;                /* of the handle of the last one */
    _Atomic uint64_t base;              /* where it maps the segment */
    _Atomic uint64_t work;              /* things done, so that a stall shows */
};

/* What all know of each other. The first part is written by the parent before it is published. */
struct demo_hub {
    uint32_t workers;              /* counters */
    uint32_t block_max;            /* bytes of a text block, at most */
    uint32_t word_max;             /* a word may have as many bytes, nearly */
    uint32_t table_slots;          /* of a counter's table */
    uint32_t table_text;           /* bytes of words in it */
    amx_ref in[DEMO_WORKERS_MAX];  /* boxes reader -> counter */
    amx_ref out[DEMO_WORKERS_MAX]; /* boxes counter -> merger */

    _Alignas(64) _Atomic uint32_t seated; /* processes that have attached */
    _Atomic uint32_t abort;               /* not 0: everybody ends */
    _Atomic uint64_t blocks;              /* text blocks handed on by the reader */
    _Atomic uint64_t bytes;               /* of the files, read */
    _Atomic uint64_t counted;             /* bytes counted, with the line ends between files */
    _Atomic uint64_t tables;              /* handed to the merger */
    _Atomic uint64_t passed;              /* text blocks that went to the merger uncounted */
    _Atomic uint64_t short_of;            /* times that the reader had to wait for memory */
    _Atomic uint64_t redone;              /* texts that a successor counted again */
    _Atomic uint64_t redone_bytes;        /* of those */
    _Atomic uint64_t resent;              /* committed tables that it delivered */
    _Atomic uint64_t succeeded;           /* successors that have done what the dead had in hand */
    _Atomic uint64_t gate;                /* of `bytes`: there the reader waits, for the parent to catch somebody */

    struct demo_seat seat[];
};

/* A mailbox: a ring of references with one sender and one receiver. */
struct demo_box {
    uint32_t slots;                     /* constant */
    _Alignas(64) _Atomic uint64_t head; /* sent; written by the sender */
    _Atomic uint32_t closed;            /* nothing more comes; written by the sender */
    _Alignas(64) _Atomic uint64_t tail; /* received; written by the receiver */
    _Alignas(64) _Atomic amx_ref slot[];
};

/* A text block: this, then the bytes. */
struct demo_text {
    uint32_t start; /* first byte that is not counted yet */
    uint32_t len;
    uint32_t counter; /* seat of the one that counts it */
    uint32_t unused;
};

/* A text that a table counts, up to `end`. */
struct demo_done {
    amx_ref ref;
    uint32_t end, unused;
};

/* A table that is handed on: this, then the slots, then the bytes of the words. */
struct demo_table {
    uint32_t counter; /* seat of the one that filled it */
    uint32_t texts;
    uint32_t slots, text_used;
    struct demo_done text[DEMO_TABLE_TEXTS];
};

/* A word in a table; empty if count is 0. */
struct demo_slot {
    uint64_t hash, count;
    uint32_t at, len; /* of its bytes */
};

/* --- In one process ------------------------------------------------------------------------------------------- */

/** A process's view of the hub. */
struct demo_self {
    amx_t *h;
    struct demo_hub *hub;
    uint32_t seat;
    bool successor; /* of one that died; until what that had in hand is done */
    struct demo_box *in[DEMO_WORKERS_MAX], *out[DEMO_WORKERS_MAX];
};

/* demo_post.c */
size_t demo_hub_bytes(uint32_t workers);
size_t demo_box_bytes(uint32_t slots);
int demo_sit(struct demo_self *self, uint32_t seat); /**< finds the hub, takes the seat, waits for the others */
int demo_text_at(const struct demo_self *self, amx_ref ref, struct demo_text **out); /**< checked */
void demo_set(struct demo_self *self, enum demo_doing what);
bool demo_aborted(const struct demo_self *self);
void demo_abort(struct demo_hub *hub);                 /**< everybody ends */
void demo_want_memory(struct demo_self *self);         /**< the reader: it waits for memory, and says so to all */
bool demo_memory_wanted(const struct demo_self *self); /**< ... does it? Asked after demo_bell, before demo_wait */
uint32_t demo_bell(const struct demo_self *self);      /**< read it, look for work, then demo_wait with it */
void demo_wait(struct demo_self *self, uint32_t bell, enum demo_doing why);
/** Puts a reference into a box. Waits while the box is full. AMX_E_TIMEOUT: the demo was aborted. */
int demo_put(struct demo_self *self, struct demo_box *box, uint32_t to, amx_ref ref);
bool demo_full(const struct demo_box *box, uint64_t *fill);                   /**< for the sender */
bool demo_peek(const struct demo_box *box, amx_ref *ref);                     /**< for the receiver: what is next, */
void demo_taken(struct demo_self *self, struct demo_box *box, uint32_t from); /**< and that it is ours now */
void demo_gate_set(struct demo_hub *hub, uint64_t bytes);                     /**< the parent */
int demo_gate_pass(struct demo_self *self, uint64_t bytes); /**< the reader. AMX_E_TIMEOUT as in demo_put */
void demo_close(struct demo_self *self, struct demo_box *box, uint32_t to);
bool demo_closed(const struct demo_box *box); /**< read before the last demo_peek */

/* demo_words.c: counting words where they lie */
struct demo_tab {
    struct demo_slot *slot;
    char *text;
    uint32_t slots, used, text_size, text_used;
};
/** Counts words of text[*pos..len) into t until the end (true) or until a word does not fit (false, *pos at it and
 *  *need its length). */
bool demo_count(struct demo_tab *t, const char *text, uint32_t len, uint32_t *pos, uint32_t *need);
bool demo_add(struct demo_tab *t, uint64_t hash, const char *word, uint32_t len, uint64_t count); /**< false: no room */
/** A private table that is twice as large, with the same words; t may be empty. false: no private memory. */
bool demo_grow(struct demo_tab *t);

/* demo_reader.c, demo_counter.c, demo_merger.c: 0 or a negative code, after a message */
int demo_reader(struct demo_self *self);
int demo_counter(struct demo_self *self);
int demo_merger(struct demo_self *self);

/* demo_input.c: what is read. The reader gets it as u64 rounds, then u64 size, u32 length of
 * the path, path. */
struct demo_file {
    char *path;
    uint64_t size; /* only so much is read: what grows meanwhile does no harm */
    int64_t mtime_s, mtime_ns;
};
struct demo_input {
    struct demo_file *file;
    size_t files;
    uint64_t bytes; /* of all files, once */
    uint64_t rounds;
    bool cut; /* there was more than is taken without being asked */
};
int demo_input_find(struct demo_input *in, char **paths, int count); /**< an exit code, after a message */
int demo_input_send(const struct demo_input *in, int fd);            /**< 0 or an errno; leaves fd at the beginning */
int demo_input_receive(struct demo_input *in, int fd);
const char *demo_input_changed(const struct demo_input *in); /**< a file that is not as it was, or NULL */
void demo_input_free(struct demo_input *in);

/* demo_verify.c: the independent count and the comparison */
struct demo_word {
    const char *text;
    size_t len;
    uint64_t count;
};
struct demo_counts {
    struct demo_word *word; /* sorted by text */
    size_t words;
    uint64_t total;
    char *store; /* what the texts point into */
};
int demo_verify_files(const struct demo_input *in, struct demo_counts *out); /**< 0 or an errno */
int demo_counts_read(int fd, struct demo_counts *out);                       /**< the merger's result; 0 or an errno */
/** Are both the same? If not, `why` says where they differ. */
bool demo_counts_equal(const struct demo_counts *a, const struct demo_counts *b, char *why, size_t len);
void demo_counts_top(const struct demo_counts *c, size_t n, const struct demo_word *top[]);
void demo_counts_free(struct demo_counts *c);

/* demo_picture.c: the segment at its fullest */
enum { DEMO_CELLS = 256 };
enum demo_kind { DEMO_IS_FREE, DEMO_IS_TEXT, DEMO_IS_TABLE, DEMO_IS_OTHER, DEMO_IS_PARKED, DEMO_KINDS };
struct demo_picture {
    uint64_t data_offset, data_bytes;
    uint64_t live; /* bytes */
    uint64_t kind[DEMO_CELLS][DEMO_KINDS];
};
/** Looks at the segment and keeps the picture if it is fuller than *best. */
void demo_picture_sample(const amx_t *h, struct demo_picture *best);
void demo_picture_print(const struct demo_picture *p);

#endif
