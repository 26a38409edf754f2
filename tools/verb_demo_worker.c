/* SPDX-License-Identifier: Apache-2.0 */
/* The hidden verb that the demo's processes are: amx demo-worker SEGMENT SEAT HINT. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "demo.h"
#include "tool.h"

static int role(struct demo_self *self, uint32_t seat)
{
    int err = demo_sit(self, seat);

    if (err)
        return err == AMX_E_TIMEOUT ? err : tool_fail(err, "demo-worker", "%u: %s", seat, amx_strerror(err));
    demo_set(self, DEMO_WORKING);
    err = seat == DEMO_READER ? demo_reader(self) : seat == DEMO_MERGER ? demo_merger(self) : demo_counter(self);
    demo_set(self, DEMO_FINISHED);
    return err;
}

static int run(int argc, char **argv)
{
    char why[256] = "", title[16];
    struct amx_options opts = AMX_OPTIONS_INIT;
    struct demo_self self = {0};
    uint64_t seat, hint;
    int err;

    if (argc != 4 || !tool_number(argv[2], 0, DEMO_SEATS(DEMO_WORKERS_MAX) - 1, &seat) ||
        !tool_number(argv[3], 0, UINTPTR_MAX, &hint))
        return tool_usage("demo", "demo-worker is started by 'amx demo' only");
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody would wait for this process any more */
    if (seat >= DEMO_COUNTER)
        snprintf(title, sizeof title, "demo counter %u", (unsigned)seat - DEMO_COUNTER + 1);
    else
        snprintf(title, sizeof title, "demo %s", seat == DEMO_READER ? "reader" : "merger");
    opts.map_hint = (const void *)(uintptr_t)hint;
    opts.peer_name = title;
    opts.why = why;
    opts.why_len = sizeof why;
    err = amx_attach(argv[1], &opts, &self.h);
    if (err)
        return tool_fail_amx("demo-worker", argv[1], err, why);
    err = role(&self, (uint32_t)seat);
    if (amx_close(self.h) || err)
        return TOOL_FAILED;
    return TOOL_OK;
}

const struct verb verb_demo_worker = {"demo-worker", "SEGMENT SEAT HINT", NULL, "One process of 'amx demo'.\n", run};
