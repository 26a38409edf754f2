#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The storm for some seconds, and racing frees. BUILD: where it is built; AMX_TEST_RUNNER, CC: for another processor.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} runner=${AMX_TEST_RUNNER:-} cc=cc
[ -z "$runner" ] || cc=$CC
dir=$build$([ $cc = cc ] || echo "/$cc")/tests/storm
make --no-print-directory BUILD="$build" CC=$cc SAN= HOOK= "$dir/storm" "$dir/races" >/dev/null || exit 1

# run NAME PATTERN COMMAND...: its last line matches
run() {
    local name=$1 pattern=$2 out
    shift 2
    out=$(${runner:+"$runner"} "$@" 2>&1)
    if [[ $(tail -n 1 <<<"$out") =~ $pattern ]]; then
        echo "# ${out##*$'\n'}"
        echo "ok $name"
    else
        printf '%s\nnot ok %s\n' "$out" "$name"
    fi
}
run "a storm of kills and stops" 'kills=[1-9][0-9]* stops=[1-9][0-9]* operations=[1-9][0-9]* corrupt=0 leaked=0$' \
    "$dir/storm" 6
run "racing frees: one of each pair wins" 'pairs=[1-9][0-9]* won_by_first=[1-9][0-9]* slots=[1-9][0-9]* won_by_first=[1-9][0-9]* strays=[1-9][0-9]* wrong=0$' \
    "$dir/races" "${PAIRS:-500000}"
