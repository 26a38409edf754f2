#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh DIR-OF-PROGRAMS DIR: all schedules of the library, of its blocks, its slot pools and its message stores, then the
# same on libraries that are broken on purpose, in one place each (mutants/*.patch, and those of the kill campaign): each
# must be caught. DIR: for the copies and their builds.
# Environment: BOUND (3 preemptions or deaths), LIMIT (20000 schedules of a tuple), RUNS (200 of a random triple);
# MUTANT='store-*': only these mutants, and nothing else.
# Ends with one line:
#   schedules: pairs=N triples=N explored=N mutants=N caught=N violations=N
set -u
cd "$(dirname "$0")/../.." || exit 1
programs=$1 dir=$2 mutants=0 caught=0 pairs=0 triples=0 explored=0 violations=0
for program in schedules pools stores; do
    [ -z "${MUTANT:-}" ] || continue # of one mutant only that
    out=$("$programs/$program" "${BOUND:-3}" "${LIMIT:-20000}" "${RUNS:-200}" 2>&1)
    echo "$out" | sed "s/^/# $program: /"
    read -r p t e v < <(sed -n 's/^explored pairs=\([0-9]*\) triples=\([0-9]*\) explored=\([0-9]*\) violations=/\1 \2 \3 /p' <<<"$out")
    pairs=$((pairs + ${p:-0})) triples=$((triples + ${t:-0})) explored=$((explored + ${e:-0}))
    violations=$((violations + ${v:-1})) # one that did not come to its end has failed
done
rm -rf "$dir"
for patch in tests/sched/mutants/*.patch tests/torture/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    [ -z "${MUTANT:-}" ] || [[ $name == $MUTANT ]] || continue # shellcheck disable=SC2053
    copy=$dir/$name
    mutants=$((mutants + 1))
    mkdir -p "$copy"
    cp -r Makefile amx.map amx.pc.in include src tests "$copy"
    (cd "$copy" && patch -s -p1 <"$patch") || exit 1
    program=$(sed -n 's/^Program: //p' "$patch")
    program=build/gcc-sched/tests/sched/${program:-schedules}
    make -s -C "$copy" -j"$(nproc)" BUILD=build CC=gcc SAN= HOOK= SCHED=1 "$program" >/dev/null || exit 1
    memory=$(sed -n 's/^Memory: //p' "$patch") # the model that shows it
    tuple=$(sed -n 's/^Tuple: //p' "$patch") # the operations that meet it, where the first schedules of all do not
    memory=$(sed -n 's/^Memory: //p' "$patch") # with which it shows
    for bound in 1 2 3; do                   # few preemptions first: they are found sooner
        out=$(env ${tuple:+"TUPLE=$tuple"} ${memory:+"MEMORY=$memory"} \
            "$copy/$program" $bound $((${#tuple} ? 100000 : 3000)) 100 1 0 2>&1) || break
    done
    if grep -q '^violation' <<<"$out"; then
        caught=$((caught + 1))
        echo "ok $name: caught: $(grep -m 1 '^schedule:' <<<"$out")"
    else
        echo "not ok $name: not noticed"
    fi
done
echo "schedules: pairs=$pairs triples=$triples explored=$explored mutants=$mutants caught=$caught violations=$violations"
[ "$violations" = 0 ] && [ "$caught" = "$mutants" ]
