/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in shared memory under a lock each, written for this comparison. Beside the calls of peer.h. */
#ifndef BENCH_PEER_RWLOCK_H
#define BENCH_PEER_RWLOCK_H

#include "peer.h"

/* A message that is borrowed. A token is generation << 32 | index, never 0. */
struct locked_borrow {
    unsigned char *payload;
    uint64_t *mark;
    size_t size;
};

/* 0, or an errno value: ENOENT if the message has been freed. */
int locked_store(struct peer *p, uint64_t mark, const void *payload, size_t n, uint64_t *token);
int locked_read(struct peer *p, uint64_t token, struct locked_borrow *out);
int locked_change(struct peer *p, uint64_t token, struct locked_borrow *out);
void locked_end(struct peer *p, uint64_t token); /* of either */
int locked_free(struct peer *p, uint64_t token);
unsigned locked_tokens(struct peer *p, uint64_t *token); /* of all that are there, at most MESSAGES */

#endif
