#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh PROGRAMS NARROW DIR: the schedules of the library, of its blocks, its slot pools and its message stores; the same where
# generations, epochs, rounds and tickets have so few bits that they wrap in a moment (NARROW), a few of each; then libraries
# that are broken on purpose, in one place each (mutants/*.patch, and those of the kill campaign): each must be caught. So must
# a library whose generations are too narrow for what meets. PROGRAMS and NARROW: directories of the programs. DIR: for the
# copy and its builds.
# A patch may begin with lines for us: "Program: pools", where it shows (schedules); "Tuple: give | recover", the operations
# that meet it; "Memory: c11", the model of memory that shows it; or "Litmus: NAME", the litmus test.
# Environment: BOUND (3 preemptions or deaths), WHOLE (2: up to so many none is left out of a pair), LIMIT (4000 schedules of
# a tuple, where there are more), RUNS (100 by lot there, and of a random triple), MUTANT (a pattern of names: these alone).
# Ends with one line:
#   schedules: pairs=N triples=N explored=N mutants=N caught=N violations=N
set -u
cd "$(dirname "$0")/../.." || exit 1
programs=$1 narrow=$2 dir=$3 pairs=0 triples=0 explored=0 mutants=0 caught=0 violations=0
for program in schedules pools stores; do
    [ -z "${MUTANT:-}" ] || continue
    out=$(WHOLE=${WHOLE:-2} TABLE=1 "$programs/$program" "${BOUND:-3}" "${LIMIT:-4000}" "${RUNS:-100}" 2>&1)
    echo "$out" | sed "s/^/# $program: /"
    read -r p t e v < <(sed -n 's/^explored pairs=\([0-9]*\) triples=\([0-9]*\) explored=\([0-9]*\) violations=/\1 \2 \3 /p' <<<"$out")
    pairs=$((pairs + ${p:-0})) triples=$((triples + ${t:-0})) explored=$((explored + ${e:-0}))
    violations=$((violations + ${v:-1})) # one that did not come to its end has failed
    out=$("$narrow/$program" 2 $((${LIMIT:-4000} / 20)) 5 2>&1)
    echo "$out" | grep -E '^(explored|violation|schedule:|.*not so)' | sed "s/^/# $program, narrow counters: /"
    v=$(sed -n 's/^explored .*violations=//p' <<<"$out")
    violations=$((violations + ${v:-1}))
done

# verdict NAME OUTPUT: OUTPUT is of a library that is broken
verdict() {
    mutants=$((mutants + 1))
    if grep -Eq 'violations=[1-9]|^not ok' <<<"$2"; then
        caught=$((caught + 1))
        echo "ok $1: caught: $(grep -E -m 1 '^(schedule:|not ok)' <<<"$2")"
    else
        echo "not ok $1: not noticed"
    fi
}

copy=$dir/copy
build() { # NARROW PROGRAM: what has changed since the last time
    make -s -C "$copy" -j"$(nproc)" BUILD=build CC=gcc SAN= HOOK= SCHED=1 NARROW="$1" "build/gcc-sched${1:+-narrow$1}/tests/sched/$2" \
        >/dev/null || exit 1
}
rm -rf "$dir"
mkdir -p "$copy"
cp -r Makefile amx.map amx.pc.in include src tests "$copy"
if [[ narrow = ${MUTANT:-*} ]]; then
    build 2 schedules
    verdict "generations of 2 bits" "$("$copy/build/gcc-sched-narrow2/tests/sched/schedules" 1 100 5 1 0 2>&1)"
fi
for patch in tests/sched/mutants/*.patch tests/torture/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    [[ $name = ${MUTANT:-*} ]] || continue # shellcheck disable=SC2053
    (cd "$copy" && patch -s -p1) <"$patch" || exit 1
    program=$(sed -n 's/^Program: //p' "$patch")
    program=${program:-schedules}
    tuple=$(sed -n 's/^Tuple: //p' "$patch")
    memory=$(sed -n 's/^Memory: //p' "$patch")
    litmus=$(sed -n 's/^Litmus: //p' "$patch")
    if [ -n "$litmus" ]; then
        build '' litmus
        verdict "$name" "$(MEMORY=$memory "$copy/build/gcc-sched/tests/sched/litmus" "$litmus" 2>&1)"
    else
        build '' "$program"
        for bound in 1 2 3; do # few preemptions first: they are found sooner
            out=$(env ${tuple:+"TUPLE=$tuple"} MEMORY="$memory" "$copy/build/gcc-sched/tests/sched/$program" $bound \
                $((${#tuple} ? 100000 : 3000)) 100 1 0 2>&1) || break
        done
        verdict "$name${tuple:+ ($tuple)}" "$out"
    fi
    (cd "$copy" && patch -s -R -p1) <"$patch" || exit 1
done
echo "schedules: pairs=$pairs triples=$triples explored=$explored mutants=$mutants caught=$caught violations=$violations"
[ "$violations" = 0 ] && [ "$caught" = "$mutants" ]
