#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every pair of operations under the scheduler, a few schedules of each. BUILD: where it is built.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
program=$build/gcc-sched/tests/sched/schedules
make --no-print-directory BUILD="$build" CC=gcc SAN= HOOK= SCHED=1 "$program" >/dev/null || exit 1
out=$("$program" 2 60 5 2>&1)
rc=$?
sed -n 's/^explored /# /p' <<<"$out"
if [ $rc = 0 ] && grep -Eq 'explored=[1-9][0-9]{4,} violations=0' <<<"$out"; then
    echo "ok schedules of every pair"
else
    printf '%s\nnot ok schedules of every pair\n' "$out"
fi
