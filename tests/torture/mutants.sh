#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mutants.sh DIR: the library broken on purpose, in one place each (mutants/*.patch), and the kill campaign on it: each
# must be caught, or the campaign proves nothing. DIR: for the copies and their builds.
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=$1 caught=0 n=0
rm -rf "$dir"
for patch in tests/torture/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    copy=$dir/$name
    n=$((n + 1))
    mkdir -p "$copy"
    cp -r Makefile amx.map amx.pc.in include src tests bench cmake "$copy"
    (cd "$copy" && patch -s -p1 <"tests/torture/mutants/$name.patch") || exit 1
    make -s -C "$copy" -j"$(nproc)" BUILD=build build/tests/torture/actor >/dev/null || exit 1
    make -s -C "$copy" -j"$(nproc)" BUILD=build CC=gcc HOOK=1 build/gcc-hook/tests/torture/torture >/dev/null || exit 1
    caught_by=
    mapfile -t plays < <(sed -n 's/^Play: //p' "$patch") # those that meet it
    [ "${#plays[@]}" -gt 0 ] || plays=(others queue)
    for play in "${plays[@]}"; do
        out=$(TORTURE_PERMILLE=${TORTURE_PERMILLE:-100} TORTURE_KILLS=40 TORTURE_PLAY=$play \
            "$copy/tests/torture/run.sh" "$copy/build/gcc-hook/tests/torture" "$copy/build/tests/torture" 2>&1) ||
            caught_by=$(grep -m 1 'FAILED.*: ' <<<"$out")
        [ -z "$caught_by" ] || break
    done
    if [ -n "$caught_by" ]; then
        caught=$((caught + 1))
        echo "ok $name: caught,${caught_by#*\]}"
    else
        echo "not ok $name: not noticed"
    fi
done
echo "mutants: $n, caught: $caught"
[ "$caught" = "$n" ]
