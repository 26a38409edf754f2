#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A checked library (make CHECKED=1) under AddressSanitizer and under valgrind: both report the faults of a program on
# its blocks, and nothing else. BUILD: where it is built.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

verdict() { # NAME STATUS
    if [ "$2" = 0 ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        tail -n 30 "$tmp/out"
    fi
}

make --no-print-directory BUILD="$build" CC=gcc SAN=address HOOK= CHECKED=1 \
    "$build/gcc-asan-checked/tests/checked/faults" "$build/gcc-asan-checked/tests/stress/workload_test" >"$tmp/out" 2>&1 &&
    make --no-print-directory BUILD="$build" CC=gcc SAN= HOOK= CHECKED=1 \
        "$build/gcc-checked/tests/checked/faults" >>"$tmp/out" 2>&1
verdict "checked builds" $?

asan=$build/gcc-asan-checked/tests/checked/faults
vg=(valgrind -q --error-exitcode=99 "$build/gcc-checked/tests/checked/faults")
for fault in overrun underrun use-after-free; do
    "$asan" $fault >"$tmp/out" 2>&1
    grep -q 'AddressSanitizer: use-after-poison' "$tmp/out"
    verdict "AddressSanitizer reports: $fault" $?
    "${vg[@]}" $fault >"$tmp/out" 2>&1
    [ $? = 99 ] && grep -Eq 'Invalid (read|write) of size 1' "$tmp/out"
    verdict "valgrind reports: $fault" $?
done
grep -q 'inside a block of size 112 free' "$tmp/out" || grep -q "in mempool\|client-defined\|block of size 112" "$tmp/out"
verdict "valgrind knows the block" $?
for good in good passed-on; do
    "$asan" $good >"$tmp/out" 2>&1
    verdict "AddressSanitizer has nothing to report: $good" $?
    "${vg[@]}" $good >"$tmp/out" 2>&1
    verdict "valgrind has nothing to report: $good" $?
done
AMX_TEST_SCALE=2 "$build/gcc-asan-checked/tests/stress/workload_test" >"$tmp/out" 2>&1
verdict "AddressSanitizer has nothing to report: threads" $?

make --no-print-directory BUILD="$build" CC=gcc SAN= HOOK= USDT=1 "$build/gcc-usdt/libamx.so" >"$tmp/out" 2>&1
verdict "a build with probes" $?
readelf -n "$build/gcc-usdt/libamx.so" 2>/dev/null | sed -n 's/^ *Name: //p' | sort -u | tr '\n' ' ' >"$tmp/out"
[ "$(cat "$tmp/out")" = "drain flush large push rebuild recovered refill skip " ]
verdict "perf and bpftrace find the probes" $?
