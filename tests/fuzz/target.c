/* SPDX-License-Identifier: Apache-2.0 */
/* The entry of libFuzzer and of AFL++: an input is a tape, or a file that begins as a segment does. AMX_DIR: a directory
 * to work in. */
#include "tests/fuzz/fuzz.h"

#include <sys/stat.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char dir[256];
    (void)argc;
    (void)argv;
    must(getenv("AMX_DIR") != NULL);
    snprintf(dir, sizeof dir, "%s/%d", getenv("AMX_DIR"), (int)getpid());
    must(mkdir(dir, 0700) == 0 && setenv("AMX_DIR", dir, 1) == 0);
    must(freopen("/dev/null", "w", stdout) != NULL); /* what the verbs print */
    fuzz_begin();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
    struct tape t = tape_of_bytes(in, n);
    fuzz_one(&t, NULL);
    return 0;
}
