/* SPDX-License-Identifier: Apache-2.0 */
/* Layer 2: who is attached, who is dead. */
#ifndef AMXI_PEER_H
#define AMXI_PEER_H

#include "segment.h"

/* Takes a ticket, its lock and an entry for this process: sets s->lock_fd, s->peer, s->ticket. Also read-locks
 * AMXI_LOCK_ATTACH, until amxi_peer_entered. The attachment is in the fork handler's list.
 * AMX_E_FULL: no entry is free (recovery may free some). AMX_E_BUSY: somebody has AMXI_LOCK_ATTACH; may be called again.
 * After an error s->ticket is 0, and amxi_peer_unlock closes what was opened. */
int amxi_peer_enter(struct amxi_seg *s, const char *name, char *why, size_t why_len);
void amxi_peer_entered(struct amxi_seg *s);
/* AMXI_LOCK_ATTACH for writing instead of reading: nobody else attaches or removes the name. AMX_E_BUSY: somebody does;
 * then it is not locked at all, so that of two who try one gets it. */
int amxi_peer_alone(struct amxi_seg *s);
int amxi_peer_not_alone(struct amxi_seg *s); /* for reading again. AMX_E_BUSY: only if it was not locked */
/* As amxi_peer_enter, in the entry i, which is DEAD with this word, and whose handles are. Only when alone. */
int amxi_peer_succeed(struct amxi_seg *s, uint32_t i, uint64_t dead, const char *name, char *why, size_t why_len);
/* Gives the entry back at once: for an attach that failed before it had a handle. */
void amxi_peer_undo(struct amxi_seg *s);
/* LIVE -> DEAD by the leaving process itself; recovery frees the entry. The lock goes with amxi_peer_unlock. */
void amxi_peer_leave(struct amxi_seg *s);
void amxi_peer_unlock(struct amxi_seg *s);
/* Is the tenant of entry i, LIVE with this ticket, certainly dead? Never by time-out: docs/design.md, "Death". */
bool amxi_peer_dead(const struct amxi_seg *s, uint32_t i, uint64_t ticket);
/* Is any entry LIVE, other than our own, with a tenant that is not certainly dead? */
bool amxi_peer_any(const struct amxi_seg *s);

/* The list of attachments of this process and its fork handler. */
int amxi_forks_add(struct amxi_seg *s);
void amxi_forks_remove(struct amxi_seg *s);
/* In a child, where the handle's own pages read as zero: the attachment that `owner` owned, or NULL. */
struct amxi_seg *amxi_forks_find(const amx_t *owner);

#endif
