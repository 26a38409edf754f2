/* SPDX-License-Identifier: Apache-2.0 */
#include "amx.h"

static const char *const texts[] = {
    [-AMX_OK] = "success",
    [-AMX_E_INVAL] = "invalid argument",
    [-AMX_E_NOMEM] = "no memory: nothing large enough is free",
    [-AMX_E_BUSY] = "busy: what would be suitable is in use just now",
    [-AMX_E_TOO_BIG] = "too big: can never fit into this segment",
    [-AMX_E_RESERVED] = "reserved state: 0-48 belong to the library",
    [-AMX_E_STATE] = "the block is not in the expected state",
    [-AMX_E_OFFSET] = "no block can lie at this offset",
    [-AMX_E_DOUBLE_FREE] = "double free: the block is free already",
    [-AMX_E_STALE] = "stale reference: of another segment or of a life that is over",
    [-AMX_E_FOREIGN] = "foreign pointer: not into this segment's data",
    [-AMX_E_WILD] = "wild pointer or offset: no block begins there",
    [-AMX_E_FULL] = "full: no free entry in a table, or a mark is reached",
    [-AMX_E_CORRUPT] = "corrupt: the segment contradicts itself",
    [-AMX_E_PEER_DEAD] = "the other handle is closed or its process is dead",
    [-AMX_E_FORKED] = "the handle belongs to the parent process: attach first",
    [-AMX_E_READONLY] = "attached read-only",
    [-AMX_E_NOENT] = "no such segment",
    [-AMX_E_EXIST] = "the segment exists already",
    [-AMX_E_ACCESS] = "access denied",
    [-AMX_E_NOSPC] = "not enough room in the file system",
    [-AMX_E_LAYOUT] = "not a segment, or one of another layout",
    [-AMX_E_NAME] = "not a valid segment name",
    [-AMX_E_TIMEOUT] = "the time is over",
    [-AMX_E_SYS] = "a system call failed",
    [-AMX_E_OWNER] = "the block's owner is not the one that this call needs",
    [-AMX_E_ALIVE] = "the peer is alive",
    [-AMX_E_PARTIAL] = "done in part: something is held by others",
    [-AMX_E_QUOTA] = "the owner has as many slots of the pool as one may have",
    [-AMX_E_BORROWED] = "already borrowed",
    [-AMX_E_BORROW_ACTIVE] = "borrow active: somebody holds a guard",
    [-AMX_E_POISONED] = "poisoned: a change of the message was not finished",
    [-AMX_E_NO_GUARD] = "no guard: all read guards are in use",
    [-AMX_E_TYPE] = "a payload of another type",
};
_Static_assert(sizeof texts / sizeof *texts == -AMX_E_LAST_, "a text for each code");

const char *amx_strerror(int code)
{
    if (code > 0 || code <= AMX_E_LAST_)
        return "unknown code";
    return texts[-code];
}

int amx_version(void)
{
    return AMX_VERSION;
}
