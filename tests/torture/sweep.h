/* SPDX-License-Identifier: Apache-2.0 */
/* What the kill sweep and an adapter share: the file. */
#ifndef AMX_TEST_SWEEP_H
#define AMX_TEST_SWEEP_H

#include <stdint.h>

enum { SWEEP_SIZE = 16384, SWEEP_HEAD = 4096 }; /* the order's page, and the allocator's memory behind it */

struct order {
    uint64_t n; /* a number: the adapter makes of it what it can do */
};

#endif
