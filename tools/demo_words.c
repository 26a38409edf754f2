/* SPDX-License-Identifier: Apache-2.0 */
/* Words and tables of words: open addressing, linear probing, at most 3/4 full. */
#include <stdlib.h>
#include <string.h>

#include "demo.h"

#define HASH_START UINT64_C(0xcbf29ce484222325) /* FNV-1a */
#define HASH_PRIME UINT64_C(0x100000001b3)

enum { FIRST_SLOTS = 1024, FIRST_TEXT = 16 * 1024 };

/* The byte as it counts in a word; 0 between words. */
static inline unsigned char fold(unsigned char c)
{
    unsigned low = c | 0x20u;

    if (low - 'a' < 26)
        return (unsigned char)low;
    return c - (unsigned)'0' < 10 || c == '\'' || c >= 0x80 ? c : 0;
}

static bool same(const char *folded, const char *word, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        if ((unsigned char)folded[i] != fold((unsigned char)word[i]))
            return false;
    return true;
}

bool demo_add(struct demo_tab *t, uint64_t hash, const char *word, uint32_t len, uint64_t count)
{
    uint32_t i;

    if (t->slots == 0)
        return false;
    i = (uint32_t)(((hash >> 32) * t->slots) >> 32);
    for (; t->slot[i].count; i = i + 1 == t->slots ? 0 : i + 1)
        if (t->slot[i].hash == hash && t->slot[i].len == len && same(t->text + t->slot[i].at, word, len)) {
            t->slot[i].count += count;
            return true;
        }
    if (t->used >= t->slots / 4 * 3 || len > t->text_size - t->text_used)
        return false;
    t->slot[i] = (struct demo_slot){.hash = hash, .count = count, .at = t->text_used, .len = len};
    for (uint32_t k = 0; k < len; k++)
        t->text[t->text_used++] = (char)fold((unsigned char)word[k]);
    t->used++;
    return true;
}

bool demo_count(struct demo_tab *t, const char *text, uint32_t len, uint32_t *pos, uint32_t *need)
{
    uint32_t at = *pos;

    while (at < len) {
        uint64_t hash = HASH_START;
        uint32_t end = at;
        unsigned char c;

        for (; end < len && (c = fold((unsigned char)text[end])) != 0; end++)
            hash = (hash ^ c) * HASH_PRIME;
        if (end > at && !demo_add(t, hash, text + at, end - at, 1)) {
            *pos = at;
            *need = end - at;
            return false;
        }
        at = end + 1;
    }
    *pos = len;
    return true;
}

bool demo_grow(struct demo_tab *t)
{
    struct demo_tab big = {.slots = t->slots ? t->slots * 2 : FIRST_SLOTS,
                           .text_size = t->text_size ? t->text_size * 2 : FIRST_TEXT};

    if (big.slots < t->slots || big.text_size < t->text_size)
        return false;
    big.slot = calloc(big.slots, sizeof *big.slot);
    big.text = malloc(big.text_size);
    if (!big.slot || !big.text) {
        free(big.slot);
        free(big.text);
        return false;
    }
    for (uint32_t i = 0; i < t->slots; i++)
        if (t->slot[i].count)
            demo_add(&big, t->slot[i].hash, t->text + t->slot[i].at, t->slot[i].len, t->slot[i].count);
    free(t->slot);
    free(t->text);
    *t = big;
    return true;
}
