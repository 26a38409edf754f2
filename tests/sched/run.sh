#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh PROGRAM DIR: all schedules of the library, then the same on libraries that are broken on purpose, in one place
# each (mutants/*.patch, and those of the kill campaign): each must be caught. DIR: for the copies and their builds.
# Environment: BOUND (3 preemptions or deaths), LIMIT (20000 schedules of a tuple), RUNS (200 of a random triple).
# Ends with one line:
#   schedules: pairs=N triples=N explored=N mutants=N caught=N violations=N
set -u
cd "$(dirname "$0")/../.." || exit 1
program=$1 dir=$2 mutants=0 caught=0
out=$("$program" "${BOUND:-3}" "${LIMIT:-20000}" "${RUNS:-200}" 2>&1)
rc=$?
echo "$out" | sed 's/^/# /'
numbers=$(sed -n 's/^explored \(pairs=[0-9]* triples=[0-9]* explored=[0-9]*\) .*/\1/p' <<<"$out")
violations=$(sed -n 's/^explored .*violations=//p' <<<"$out")
rm -rf "$dir"
for patch in tests/sched/mutants/*.patch tests/torture/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    [ -z "${MUTANT:-}" ] || [ "$MUTANT" = "$name" ] || continue
    copy=$dir/$name
    mutants=$((mutants + 1))
    mkdir -p "$copy"
    cp -r Makefile amx.map amx.pc.in include src tests "$copy"
    (cd "$copy" && patch -s -p1 <"$patch") || exit 1
    target=build/gcc-sched/tests/sched/$(sed -n 's/^Program: //p' "$patch")
    [ "${target##*/}" ] || target+=schedules
    make -s -C "$copy" -j"$(nproc)" BUILD=build CC=gcc SAN= HOOK= SCHED=1 "$target" >/dev/null || exit 1
    memory=$(sed -n 's/^Memory: //p' "$patch") # the model that shows it
    tuple=$(sed -n 's/^Tuple: //p' "$patch") # the operations that meet it, where the first schedules of all do not
    for bound in 1 2 3; do                   # few preemptions first: they are found sooner
        out=$(env ${tuple:+"TUPLE=$tuple"} ${memory:+"MEMORY=$memory"} "$copy/$target" $bound $((${#tuple} ? 100000 : 3000)) 100 1 0 2>&1) ||
            break
    done
    if grep -q '^violation' <<<"$out"; then
        caught=$((caught + 1))
        echo "ok $name: caught: $(grep -m 1 '^schedule:' <<<"$out")"
    else
        echo "not ok $name: not noticed"
    fi
done
echo "schedules: ${numbers:-pairs=0 triples=0 explored=0} mutants=$mutants caught=$caught violations=${violations:-?}"
[ $rc = 0 ] && [ "$caught" = "$mutants" ]
