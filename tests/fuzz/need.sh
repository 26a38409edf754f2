#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a fuzzer needs (libfuzzer or afl): installs what is missing, or says what to install and exits 2.
set -u
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

libfuzzer() {
    echo 'int LLVMFuzzerTestOneInput(const char *p, long n); int LLVMFuzzerTestOneInput(const char *p, long n) { return !p || !n; }' \
        >"$tmp/a.c" && clang -fsanitize=fuzzer,address,undefined "$tmp/a.c" -o "$tmp/a.out"
}
look() {
    case $1 in
    libfuzzer) libfuzzer >/dev/null 2>&1 || echo clang libclang-rt-dev ;;
    afl) { command -v afl-clang-fast && command -v afl-fuzz && command -v clang; } >/dev/null 2>&1 || echo afl++ clang libclang-rt-dev ;;
    esac
    printf '#include <setjmp.h>\n#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <cmocka.h>\n' |
        cc -fsyntax-only -x c - >/dev/null 2>&1 || echo libcmocka-dev
}

missing=$(look "$1" | tr '\n' ' ')
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "make fuzz-$1 needs: $missing" >&2
    echo "as root: apt-get install --no-install-recommends $missing" >&2
    exit 2
fi
echo "installing: $missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
{ apt-get update -q && apt-get install -y -q --no-install-recommends $missing; } >"$tmp/log" 2>&1
missing=$(look "$1" | tr '\n' ' ')
[ -z "$missing" ] || {
    tail -n 20 "$tmp/log" >&2
    echo "could not install: $missing" >&2
    exit 2
}
