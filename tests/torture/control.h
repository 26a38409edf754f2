/* SPDX-License-Identifier: Apache-2.0 */
/* The page that tells an actor what to do. */
#ifndef AMX_TEST_CONTROL_H
#define AMX_TEST_CONTROL_H

#include "tests/crash/calls.h"

#include <sys/mman.h>

struct control {
    uint32_t who; /* the slot of its handle */
    struct call call;
};

#endif
