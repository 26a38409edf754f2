#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The picture of a segment in which everything happens: a storm of processes, all of them stopped. Its numbers are those of
# stat and blocks. With PICTURE=FILE the picture is kept.
. "$(dirname "$0")/kit.bash"
cd "$(dirname "$0")/../.." || exit 1
storm=${BUILD:-build}/tests/storm/storm
make --no-print-directory BUILD="${BUILD:-build}" CC=cc SAN= HOOK= "$storm" >"$T/make" 2>&1
verdict "the storm is built" $? "$(tail "$T/make")"

"$storm" 600 6 1 >"$T/storm.out" 2>&1 &
parent=$!
wards+=("$parent")
# All of it stands still, at a moment at which there is something to be seen.
freeze() {
    kill -STOP "$parent"
    until grep -q '^State:.*T' "/proc/$parent/status"; do :; done
    read -ra all <"/proc/$parent/task/$parent/children" # nobody starts another now
    kill -STOP "${all[@]}"
    for p in "${all[@]}"; do
        until grep -q '^State:.*[TtZ]' "/proc/$p/status" 2>/dev/null || [ ! -e "/proc/$p" ]; do :; done
    done
}
began=$SECONDS all=()
until live=$("$AMX" ls --json | jq -re '.segments[0].name') && freeze && "$AMX" map "$live" --json |
    jq -e '([.legend[] | select(.what == "owned")] | length > 1)
        and ([.legend[].what] | contains(["cached", "kept", "published"]))
        and ([.legend[] | select(.what == "free") | .bytes] | add) < .data_bytes * 3 / 4' >/dev/null; do
    kill -CONT "${all[@]}" "$parent" 2>/dev/null
    if [ $((SECONDS - began)) -gt 60 ] || ! kill -0 "$parent"; then
        verdict "the segment fills" 1 "$(cat "$T/storm.out")"
        exit 1
    fi
done
wards+=("${all[@]}")

expect "stat" 0 "$AMX" stat "$live" --json
cp "$T/out" "$T/stat.json"
expect "blocks" 0 "$AMX" blocks "$live" --json
cp "$T/out" "$T/all.json"
expect "map --json" 0 "$AMX" map "$live" --json
cp "$T/out" "$T/map.json"
json "map: all there is" '[.legend[].what] | unique | contains(["cached", "free", "kept", "owned", "published"])'
json "map: several owners" '[.legend[] | select(.what == "owned")] | length > 1'
jq -n --slurpfile map "$T/map.json" --slurpfile stat "$T/stat.json" '
    def sum($w; $u): [$map[0].legend[] | select(.what | IN($w[])) | .[$u]] | add // 0;
    $stat[0] as $s | ["published", "kept", "owned"] as $live
    | [sum($live; "blocks") == $s.live_blocks, sum($live; "bytes") == $s.live_bytes,
       sum(["free"]; "blocks") == $s.free_blocks, sum(["free"]; "bytes") == $s.free_bytes,
       sum(["cached"]; "blocks") == $s.cached_blocks, sum(["cached"]; "bytes") == $s.cached_bytes,
       sum(["queued"]; "blocks") == $s.acked_blocks, sum(["queued"]; "bytes") == $s.acked_bytes,
       sum(["unseen"]; "bytes") == $s.unseen_bytes, ([$map[0].legend[].bytes] | add) == $s.data_bytes] | all' | grep -q true
verdict "map: the numbers of stat" $? "$(cat "$T/map.json")" "$(cat "$T/stat.json")"
expect "stat --by peer" 0 "$AMX" stat "$live" --by peer --json
jq -n --slurpfile map "$T/map.json" --slurpfile by "$T/out" --slurpfile all "$T/all.json" '
    [$map[0].legend[] | select(.what == "owned") | . as $m
        | ($by[0].groups[] | select(.index == $m.peer)) as $g
        | $m.blocks <= $g.live_blocks and $m.bytes <= $g.live_bytes] | all' | grep -q true
verdict "map: of each owner no more than stat --by peer says, kept ones apart" $? "$(cat "$T/out")"
jq -n --slurpfile map "$T/map.json" --slurpfile all "$T/all.json" '
    $all[0].blocks as $b | def n($w; $u): [$map[0].legend[] | select(.what == $w) | .[$u]] | add // 0;
    [n("kept"; "blocks") == ($b | map(select(.state >= 2048)) | length),
     n("published"; "blocks") == ($b | map(select(.ref != "0" and .owner == 0 and .state < 2048)) | length),
     n("owned"; "blocks") == ($b | map(select(.ref != "0" and .owner != 0 and .state < 2048)) | length),
     n("cached"; "blocks") == ($b | map(select(.state == 4)) | length)] | all' | grep -q true
verdict "map: the numbers of blocks" $? "$(cat "$T/map.json")"
expect "map -o" 0 "$AMX" map "$live" -o "$T/map.svg"
[ "$(grep -o 'data-blocks="[0-9]*" data-bytes="[0-9]*"' "$T/map.svg")" = \
    "$(jq -r '.legend[] | "data-blocks=\"\(.blocks)\" data-bytes=\"\(.bytes)\""' "$T/map.json")" ]
verdict "map: the same numbers in the picture" $? "$(grep data- "$T/map.svg")"
[ -z "${PICTURE:-}" ] || cp "$T/map.svg" "$PICTURE"
kill -KILL "$parent" "${all[@]}"
wait "$parent" 2>/dev/null
exit $failed
