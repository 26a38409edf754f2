#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The examples, built by the very command that each of them names, and run against the library in $BUILD. Both compilers
# have nothing to say about them, and neither has the validator about the segments that they leave.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/try.bash
build=$(realpath "${BUILD:-build}")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cp examples/*.c "$tmp"
export C_INCLUDE_PATH=$PWD/include LIBRARY_PATH=$build LD_LIBRARY_PATH=$build PATH=$build:$PATH
export AMX_DIR=${AMX_DIR:-$tmp}
cd "$tmp" || exit 1

builds() { # FILE: without a warning, and as its comment says
    local command compiler
    for compiler in gcc clang; do
        $compiler -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -fsyntax-only "$1" ||
            return
    done
    command=$(sed -n 's/^ \* *\(cc .*\)/\1/p' "$1")
    [ -n "$command" ] && bash -c "$command"
}
# prints PATTERN PROGRAM...: it succeeds, and one of its lines is all PATTERN
prints() {
    local pattern=$1
    shift
    "$@" >said || return
    cat said
    grep -qxE -- "$pattern" said
}
for file in *.c; do
    try "$file builds" builds "$file"
done
try "two processes" prints 'hello from process [0-9]+' ./two-processes
try "states" prints '1000 jobs, 0 wrong' ./states
try "pool between processes" prints '1000 messages right, 3 slots taken back' ./pool-processes
try "pool in an array" prints '2 classes in 4928 bytes, 10 slots taken back' ./pool-static
try "message store in an array" prints '4 places in [0-9]+ bytes, 0 wrong' ./store-static
try "message store between processes" prints '0 messages left, 0 wrong' ./store-shared
try "descriptor" prints 'received: a block of process [0-9]+' ./descriptor

# They close what they opened, and their names go with them.
try "nothing is left" test -z "$(cd "$AMX_DIR" && ls amx.* 2>/dev/null)"

# The observer, on a segment with seven published blocks in two states.
cat >seven.c <<'C'
#include <amx.h>

int main(void)
{
    amx_t *h;
    amx_ref ref;
    int bad = amx_attach("seven", NULL, &h);
    for (int i = 0; i < 7 && !bad; i++)
        bad = amx_alloc(h, 16, &ref) || amx_publish(h, ref) || (i < 3 && amx_set_state(h, ref, 100));
    return bad || amx_close(h);
}
C
observed() {
    amx create seven --size 1M && cc seven.c -o seven -lamx && ./seven &&
        prints 'state 1: 4 blocks, 128 bytes' ./observer seven && prints 'state 100: 3 blocks, 96 bytes' ./observer seven &&
        prints 'in all: 224 of [0-9]+ bytes live, 7 blocks nobody.s, .*' ./observer seven && amx check seven
}
try "observer" observed
try "observer: no such segment" bash -c '! ./observer nosuch 2>err && grep -q nosuch err'
amx rm seven
