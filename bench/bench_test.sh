#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The benchmark itself, on few operations and with the systems that need no package: its verified runs, what it writes,
# and that systems that crash, hang or give up are rows of the report. BUILD: where to build. Times are not judged.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath -m "${BUILD:-build}")
command -v jq >/dev/null || exit 77
bench=$build/bench
make --no-print-directory -s BUILD="$build" "$bench"/worker_{amx,glibc,tlsf,treiber,pool,ring,rwlock,loop} "$bench/driver" || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# verdict NAME STATUS [DETAIL...]
verdict() {
    if [ "$2" = 0 ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        printf '    %s\n' "${@:3}"
        failed=1
    fi
}
json() { # NAME FILTER
    jq -e "$2" "$tmp/out.json" >"$tmp/jq" 2>&1
    verdict "$1" $? "not so: $2" "$(head -n 20 "$tmp/jq")"
}
failed=0

"$bench/driver" -d "$bench" -r 2 -n 20000 -s "amx glibc tlsf treiber pool ring rwlock loop" -o "$tmp/out" >"$tmp/text" 2>"$tmp/err"
verdict "all workloads, verified and timed" $? "$(cat "$tmp/err")"
grep -q FAILED "$tmp/text" "$tmp/err"
verdict "nothing failed" $((! $?)) "$(grep FAILED "$tmp/err")"
json "records" 'length > 0 and all(.[]; keys == ["instructions", "max", "median", "min", "mode", "processes", "system",
    "threads", "unit", "workload"])'
json "each workload" '[.[].workload] | unique == ["fill-heal", "hand-over", "large", "message-life", "pair-64",
    "producer-consumer", "read-change", "read-many", "read-one", "seed-loop", "slots"]'
json "modes" '[.[].mode] | unique == ["filled", "p50", "p99", "p99.9", "p99.99", "processes", "threads", "verified"]'
json "times are positive and in order" 'all(.[]; 0 < .min and .min <= .median and .median <= .max)'
json "processes for those that share" '[.[] | select(.processes > 1) | .system] | unique ==
    ["amx", "pool", "ring", "rwlock", "tlsf", "treiber"]'
json "messages against locks" '[.[] | select(.workload | test("read-|message-")) | .system] | unique == ["amx", "rwlock"]'
json "with 1, 2, 4 and 8 readers" '[.[] | select(.workload == "read-one" and .mode == "threads") | .threads] | unique == [1, 2, 4, 8]'
grep -q '</svg>' "$tmp/out.svg"
verdict "the picture" $?

# Workers that misbehave, in the place of real ones.
mkdir "$tmp/workers"
ln -s "$bench/worker_amx" "$tmp/workers/worker_amx"
printf '#!/bin/sh\nkill -SEGV $$\n' >"$tmp/workers/worker_glibc"
printf '#!/bin/sh\nexec sleep 100\n' >"$tmp/workers/worker_tlsf"
printf '#!/bin/sh\necho "no such luck" >&2\nexit 1\n' >"$tmp/workers/worker_treiber"
chmod +x "$tmp"/workers/*
"$bench/driver" -d "$tmp/workers" -l 1 -r 1 -n 1000 -s "amx glibc tlsf treiber" -w pair-64 -o "$tmp/out" >"$tmp/text" 2>"$tmp/err"
verdict "others may fail" $? "$(cat "$tmp/err")"
for row in "glibc +FAILED: Segmentation fault" "tlsf +FAILED: not done after 1 s" "treiber +FAILED: no such luck"; do
    grep -Eq "$row" "$tmp/text"
    verdict "row $row" $? "$(cat "$tmp/text")"
done
json "a failure is null" 'all(.[]; (.median == null) == (.system != "amx"))'
cp "$tmp/workers/worker_treiber" "$tmp/workers/worker_fails"
ln -sf worker_fails "$tmp/workers/worker_amx"
"$bench/driver" -d "$tmp/workers" -l 1 -r 1 -n 1000 -s amx -w pair-64 >"$tmp/text" 2>"$tmp/err"
verdict "amx may not" $((! $?))
exit $failed
