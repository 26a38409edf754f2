#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# amx bench: both heaps in each configuration, for people and as JSON. Times are not judged: machines differ.
. "$(dirname "$0")/kit.bash"

expect "help" 0 "$AMX" help
says "help lists bench" '^  bench '
expect "help bench" 0 "$AMX" help bench
says "its help has the JSON's schema" 'amx\.bench/1'

expect "bench" 0 "$AMX" bench --ops 20000 --reps 2
says "it has a heading" '^WORKLOAD +THREADS +AMX/LIBC +MIN-MAX +AMX NS/OP +MIN-MAX +LIBC NS/OP +MIN-MAX$'
for w in seed-loop pair-64; do
    for n in 1 2; do
        says "$w, $n threads" "^$w +$n +[0-9]+\.[0-9]{2} +[0-9.]+-[0-9.]+ +[0-9]+\.[0-9] "
    done
done
says "it says what was counted" '2 repetitions of 20,000 operations per thread'

expect "bench --json" 0 "$AMX" bench --json -n 20000 -r 3
json "schema and parameters" '.schema == "amx.bench/1" and .operations == 20000 and .repetitions == 3'
json "each heap once in each configuration" '[.results[] | [.workload, .threads, .system]] | length == 8 and
    length == (unique | length)'
json "the fields are those of build/bench.json" 'all(.results[]; keys == ["instructions", "max", "median", "min",
    "mode", "processes", "system", "threads", "unit", "workload"])'
json "the numbers fit together" 'all(.results[]; .unit == "ns/op" and .mode == "threads" and .processes == 1 and
    .instructions == null and 0 < .min and .min <= .median and .median <= .max)'

[ -z "$(ls -A "$AMX_DIR")" ]
verdict "it leaves no segment" $?
for bad in "--ops 0" "--ops x" "--reps 100" "--reps 0" "there" "--frobnicate"; do
    # shellcheck disable=SC2086
    expect "2: bench $bad" 2 "$AMX" bench $bad
done
exit $failed
