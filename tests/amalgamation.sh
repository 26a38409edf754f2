#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The library in two files: both compilers take it without a flag and without a warning, it exports what the library
# does, and C and C++ programs use it.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/try.bash
build=$(realpath "${BUILD:-build}")
source=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
warn='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'

try "make amalgamation" make --no-print-directory amalgamation BUILD="$tmp" CC=cc SAN= HOOK=
cd "$tmp/amalgamation" || exit 1

try "two files, nothing else" test "$(echo *)" = "amx.c amx.h"
try "needs no other file" bash -c '! grep -n "^ *# *include *\"" amx.h && test "$(grep "^ *# *include *\"" amx.c)" = "#include \"amx.h\""'
for compiler in gcc clang; do
    try "$compiler, no other flag" $compiler -std=c11 -c amx.c -o $compiler.o
    try "$compiler, with extensions" $compiler -std=gnu11 -D_GNU_SOURCE $warn -fsyntax-only amx.c
done
# What gcc has to say of values that may not be set it says when it optimises.
try "gcc, all warnings" gcc -std=c11 -O2 $warn -c amx.c -o gcc.o
try "clang, all warnings" clang -std=c11 $warn -fsyntax-only amx.c

exports() { # LIBRARY
    nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}
same_exports() {
    cc -std=c11 -fPIC -shared amx.c -o libamx.so && diff <(exports libamx.so) <(exports "$build/libamx.so")
}
try "exports what the library does" same_exports

cat >use.c <<'C'
#include "amx.h"

int main(void)
{
    struct amx_options o = AMX_OPTIONS_INIT;
    struct amx_check_result r = {sizeof r, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    amx_t *h;
    amx_ref ref;
    o.size = 1 << 20;
    if (amx_create_memfd("amalgamation", &o, &h) || amx_zalloc(h, 100, &ref) || amx_free(h, ref))
        return 1;
    if (amx_check(h, NULL, NULL, &r) || amx_raw_total_size(h) != o.size || amx_close(h))
        return 1;
    return amx_version() != AMX_VERSION;
}
C
cp use.c use.cc
use() { # COMPILER STANDARD FILE
    $1 -std=$2 $warn $3 gcc.o -o use && ./use
}
try "C" use gcc c11 use.c
try "C++11" use g++ c++11 use.cc
try "C++20" use g++ c++20 use.cc

example() {
    cc -I. "$source/examples/states.c" clang.o -o states && AMX_DIR=$tmp ./states
}
try "an example" example
