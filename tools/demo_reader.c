/* SPDX-License-Identifier: Apache-2.0 */
/* The reader: files into blocks of whole words, each block to the counter with the shortest queue. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "demo.h"
#include "tool.h"

enum {
    WAIT_MS = 200, /* for memory, before one looks whether the demo was aborted */
    BLOCK_MIN = 512
};

static const char *const who = "demo reader";

/* Where the reader is in its input. */
struct source {
    struct demo_input in;
    size_t file;
    uint64_t round;
    uint64_t pos;
    int fd;         /* of the file, or -1 */
    uint64_t taken; /* bytes of files, for the hub */
};

static bool at_end(const struct source *s)
{
    return s->round == s->in.rounds;
}

static void next_file(struct source *s)
{
    close(s->fd);
    s->fd = -1;
    s->pos = 0;
    if (++s->file == s->in.files) {
        s->file = 0;
        s->round++;
    }
}

static bool between_words(unsigned char c)
{
    return !(c >= 0x80 || c == '\'' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
}

/* How much of buf ends with a whole word. */
static size_t whole_words(const char *buf, size_t len)
{
    while (len && !between_words((unsigned char)buf[len - 1]))
        len--;
    return len;
}

/* Reads from the file that is open. *got: bytes that count; 0 if the next word does not fit. 0 or an errno. */
static int read_piece(struct source *s, char *buf, size_t room, size_t *got)
{
    const struct demo_file *f = &s->in.file[s->file];
    uint64_t left = f->size - s->pos;
    size_t want = left < room ? (size_t)left : room;
    size_t have = 0;

    while (have < want) {
        ssize_t n = pread(s->fd, buf + have, want - have, (off_t)(s->pos + have));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : ENODATA;
        have += (size_t)n;
    }
    *got = have == left ? have : whole_words(buf, have);
    return 0;
}

/* Fills buf with words of as many files as go in. *len stays 0 if a single word is larger. 0 or an errno. */
static int fill(struct source *s, char *buf, size_t room, size_t *len)
{
    *len = 0;
    while (*len < room && !at_end(s)) {
        const struct demo_file *f = &s->in.file[s->file];
        size_t got = 0;
        int err;

        if (s->fd < 0)
            s->fd = open(f->path, O_RDONLY | O_CLOEXEC);
        if (s->fd < 0)
            return errno;
        err = read_piece(s, buf + *len, room - *len, &got);
        if (err)
            return err;
        s->pos += got;
        s->taken += got;
        *len += got;
        if (s->pos < f->size)
            break;
        if (*len < room)
            buf[(*len)++] = '\n'; /* words of two files stay two */
        next_file(s);
    }
    return 0;
}

/* A block for `room` bytes of text. Waits as long as the others need to free memory. */
static int text_block(struct demo_self *self, size_t room, amx_ref *ref, struct demo_text **text)
{
    void *p;
    int err = amx_alloc(self->h, sizeof **text + room, ref);

    if (err == AMX_E_NOMEM || err == AMX_E_BUSY)
        atomic_fetch_add_explicit(&self->hub->short_of, 1, memory_order_relaxed);
    while (err == AMX_E_NOMEM || err == AMX_E_BUSY || err == AMX_E_TIMEOUT) {
        if (demo_aborted(self))
            return AMX_E_TIMEOUT;
        demo_want_memory(self);
        err = amx_alloc_wait(self->h, sizeof **text + room, WAIT_MS * UINT64_C(1000000), ref);
    }
    demo_set(self, DEMO_WORKING);
    if (!err)
        err = amx_ptr(self->h, *ref, &p);
    if (!err)
        *text = p;
    return err;
}

/* The counter with the shortest queue. */
static uint32_t shortest(const struct demo_self *self)
{
    uint64_t best = UINT64_MAX, fill_of;
    uint32_t found = 0;

    for (uint32_t i = 0; i < self->hub->workers; i++) {
        demo_full(self->in[i], &fill_of);
        if (fill_of < best) {
            best = fill_of;
            found = i;
        }
    }
    return found;
}

static int hand_on(struct demo_self *self, amx_ref ref)
{
    int err = amx_set_state(self->h, ref, DEMO_TEXT);

    if (!err)
        err = amx_publish(self->h, ref); /* whoever dies, it stays */
    for (;;) {
        uint32_t bell = demo_bell(self), to = shortest(self);
        uint64_t unused;

        if (err)
            return err;
        if (!demo_full(self->in[to], &unused))
            return demo_put(self, self->in[to], DEMO_COUNTER + to, ref);
        if (demo_aborted(self))
            return AMX_E_TIMEOUT;
        demo_wait(self, bell, DEMO_WAITS_SPACE);
    }
}

/* One block: allocate, read into it, hand it on. *room grows if a word is larger than the block. */
static int one_block(struct demo_self *self, struct source *s, size_t *room)
{
    struct demo_text *text;
    uint64_t before = s->taken;
    size_t len;
    amx_ref ref;
    int err = text_block(self, *room, &ref, &text), sys;

    if (err)
        return err == AMX_E_TIMEOUT ? err : tool_fail(err, who, "a block of %zu bytes: %s", *room, amx_strerror(err));
    sys = fill(s, (char *)(text + 1), *room, &len);
    if (sys) {
        amx_free(self->h, ref);
        return tool_fail(AMX_E_SYS, who, "%s: %s", s->in.file[s->file].path,
                         sys == ENODATA ? "became shorter while it was read" : strerror(sys));
    }
    if (len == 0) {
        if (*room == self->hub->word_max)
            return tool_fail(AMX_E_TOO_BIG, who, "%s: a word of more than %zu bytes\n  next: a larger --size, or text",
                             s->in.file[s->file].path, *room);
        *room = 2 * *room < self->hub->word_max ? 2 * *room : self->hub->word_max;
        return amx_free(self->h, ref);
    }
    text->start = 0;
    text->len = (uint32_t)len;
    err = hand_on(self, ref);
    if (err)
        return demo_aborted(self) ? AMX_E_TIMEOUT
                                  : tool_fail(err, who, "cannot hand a block on: %s", amx_strerror(err));
    *room = 0;
    atomic_fetch_add_explicit(&self->hub->blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&self->hub->bytes, s->taken - before, memory_order_relaxed);
    return AMX_OK;
}

int demo_reader(struct demo_self *self)
{
    struct source s = {.fd = -1};
    uint64_t random = 1; /* always the same sizes */
    size_t room = 0;
    int err = demo_input_receive(&s.in, STDIN_FILENO);

    if (err)
        return tool_fail(AMX_E_SYS, who, "no list of files: %s", strerror(err));
    while (!at_end(&s) && !err) {
        if (room == 0) {
            uint32_t max = self->hub->block_max;

            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            room = BLOCK_MIN + (size_t)(((random >> 33) * (max - BLOCK_MIN)) >> 31);
        }
        err = demo_gate_pass(self, s.taken);
        if (!err)
            err = one_block(self, &s, &room);
    }
    for (uint32_t i = 0; i < self->hub->workers && !err; i++)
        demo_close(self, self->in[i], DEMO_COUNTER + i);
    if (s.fd >= 0)
        close(s.fd);
    demo_input_free(&s.in);
    return err;
}
