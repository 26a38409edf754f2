#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every pair of operations under the scheduler, a few schedules of each, with each model of memory; and the litmus tests.
# BUILD: where it is built.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
program=$build/gcc-sched/tests/sched/schedules
pools=$build/gcc-sched/tests/sched/pools
stores=$build/gcc-sched/tests/sched/stores
litmus=$build/gcc-sched/tests/sched/litmus
store_litmus=$build/gcc-sched/tests/sched/store_litmus
make --no-print-directory BUILD="$build" CC=gcc SAN= HOOK= SCHED=1 "$program" "$pools" "$stores" "$litmus" "$store_litmus" >/dev/null ||
    exit 1
# all PROGRAM NAME LIMIT RUNS [MEMORY]
all() {
    local name="$2${5:+, memory as $5}" out rc
    out=$(MEMORY=${5:-} "$1" 2 "$3" "$4" 2>&1)
    rc=$?
    sed -n 's/^explored /# /p' <<<"$out"
    if [ $rc = 0 ] && grep -Eq 'explored=[1-9][0-9]{4,} violations=0' <<<"$out"; then
        echo "ok $name"
    else
        printf '%s\nnot ok %s\n' "$out" "$name"
    fi
}
for limits in "60 5" "12 1 tso" "40 2 c11"; do
    # shellcheck disable=SC2086
    all "$program" "schedules of every pair" $limits
done
for limits in "25 1" "10 1 tso" "10 1 c11"; do
    # shellcheck disable=SC2086
    all "$pools" "schedules of every pair on slot pools" $limits
done
for limits in "15 1" "10 1 tso" "10 1 c11"; do
    # shellcheck disable=SC2086
    all "$stores" "schedules of every pair on message stores" $limits
done
# The same with counters that wrap in a moment.
narrow=$build/gcc-sched-narrow4/tests/sched/schedules
make --no-print-directory BUILD="$build" CC=gcc SAN= HOOK= SCHED=1 NARROW=4 "$narrow" >/dev/null || exit 1
if out=$("$narrow" 1 12 1 2>&1); then
    echo "ok schedules with counters of four bits and less"
else
    printf '%s\nnot ok schedules with counters of four bits and less\n' "$out"
fi
# What the scheduler leaves out changes nothing: as many different ends without its reductions.
for tuple in "grow | shrink" "trim | free middle" "keep | free middle | recover"; do
    reduced=$(TABLE=1 TUPLE=$tuple "$program" 2 100000 0 2>&1 | grep -o '[0-9]* ends$')
    all=$(UNREDUCED=1 TABLE=1 TUPLE=$tuple "$program" 2 100000 0 2>&1 | grep -o '[0-9]* ends$')
    if [ "$reduced" = "$all" ] && [ -n "$all" ]; then
        echo "ok reductions of $tuple: $all"
    else
        echo "not ok reductions of $tuple: $reduced, without them $all"
    fi
done
export EFFORT=0.15 # make orders runs all of them
for memory in tso c11; do
    { MEMORY=$memory "$litmus"; MEMORY=$memory "$store_litmus"; } 2>&1 | sed -E "s/^((not )?ok .*)/\1, memory as $memory/"
done
