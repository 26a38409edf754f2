#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Damaged segments in a few seconds: a fixed set, and the fuzzers' first inputs. BUILD: where it is built.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
segments=$build/gcc-asan-hook/tests/fuzz/segments
export AMX=$build/gcc-asan/amx WORKERS=2

# run NAME COUNT COMMAND...: ok if it has done so many and nothing broke
run() {
    local name=$1 count=$2 out
    shift 2
    out=$("$@")
    if [ "$(tail -n 1 <<<"$out")" = "fuzz: mutations=$count crashes=0 hangs=0" ]; then
        echo "ok $name"
    else
        printf '%s\nnot ok %s\n' "$out" "$name"
    fi
}
n=${MUTATIONS:-1000}
run "$n damaged segments" "$n" env SEED=1 MUTATIONS="$n" TOOL_EVERY=200 "$segments"
inputs=(tests/fuzz/corpus/*)
run "${#inputs[@]} inputs of the fuzzers" "${#inputs[@]}" "$segments" "${inputs[@]}"
