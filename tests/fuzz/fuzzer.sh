#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a fuzzer from the corpus on: fuzzer.sh libfuzzer|afl TARGET. SECONDS_: how long. What it finds stays in a directory
# beside the target, and is done again by `segments FILE`. Ends with one line of figures.
set -u
kind=$1 target=$2 seconds=${SECONDS_:-60}
here=$(cd "$(dirname "$0")" && pwd)
found=${target%/*}/found-$kind
room=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)
shm=/dev/shm
[ "${room:-0}" -ge 100000 ] || shm=${TMPDIR:-/tmp}
AMX_DIR=$(mktemp -d "$shm/amx-fuzz.XXXXXX")
export AMX_DIR
trap 'rm -rf "$AMX_DIR"' EXIT
mkdir -p "$found"

case $kind in
libfuzzer)
    mkdir -p "$found/corpus"
    "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -max_len=4096 -close_fd_mask=3 \
        -print_final_stats=1 -artifact_prefix="$found/" "$found/corpus" "$here/corpus" >"$found/log" 2>&1
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found/log")
    crashes=$(find "$found" -maxdepth 1 -name 'crash-*' -o -maxdepth 1 -name 'leak-*' -o -maxdepth 1 -name 'oom-*' | wc -l)
    hangs=$(find "$found" -maxdepth 1 -name 'timeout-*' | wc -l)
    coverage=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$found/log" | tail -n 1)
    ;;
afl)
    rm -rf "$found/default"
    AFL_SKIP_CPUFREQ=1 AFL_NO_AFFINITY=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_UI=1 AFL_FORKSRV_INIT_TMOUT=60000 \
        AFL_MAP_SIZE=262144 afl-fuzz -i "$here/corpus" -o "$found" -V "$seconds" -t 10000 -m none -- "$target" >"$found/log" 2>&1
    stat_of() { sed -n "s/^$1 *: *//p" "$found/default/fuzzer_stats" 2>/dev/null; }
    runs=$(stat_of execs_done) crashes=$(stat_of saved_crashes) hangs=$(stat_of saved_hangs) coverage=$(stat_of edges_found)
    ;;
esac
if [ -z "${runs:-}" ]; then
    tail -n 40 "$found/log"
    echo "$kind did not run"
    exit 2
fi
if [ "$crashes$hangs" != 00 ]; then
    grep -a -m 1 -A 40 'not so:\|runtime error\|ERROR: ' "$found/log"
    find "$found" -maxdepth 1 -type f ! -name log
    find "$found/default/crashes" "$found/default/hangs" -name 'id*' 2>/dev/null
fi
echo "$kind: seconds=$seconds runs=$runs edges=${coverage:-0} crashes=$crashes hangs=$hangs"
[ "$crashes$hangs" = 00 ]
