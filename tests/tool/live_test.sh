#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Reading verbs on a segment in which a demo is at work, and on a copy taken while all of it stood still.
. "$(dirname "$0")/kit.bash"

for i in $(seq 2000); do echo "line $i of a text with words that come again and words like w$i x$((i * 7919 % 10007))"; done \
    >"$T/text"
start_demo --size 4M "$T/text"

expect "ls" 0 "$AMX" ls --json
json "ls: peers" ".segments[] | select(.name == \"$live\") | .peers == 6 and .live_bytes > 0"
expect "info --json" 0 "$AMX" info "$live" --json
json "info: who is attached" '[.attached[].name] | sort ==
    ["demo", "demo counter 1", "demo counter 2", "demo counter 3", "demo merger", "demo reader"]'
json "info: they are alive" 'all(.attached[]; .alive and .pid > 0 and .handles == 1 and (.ticket | type) == "string")'
json "info: a root is set" '.roots[0] | tonumber > 0'
expect "info" 0 "$AMX" info "$live"
says "info: a row for each" '[0-9]+ +demo reader +1 +alive'
says "info: the root" '^root 0 +0x[0-9a-f]{16}$'
bad=
for i in $(seq 20); do
    "$AMX" check "$live" --json >"$T/out" 2>"$T/err" || bad+="check $i: exit code $? $(cat "$T/err"); "
    jq -e '.corrupt == 0' "$T/out" >/dev/null || bad+="check $i: $(cat "$T/out"); "
    "$AMX" stat "$live" --json >"$T/out" || bad+="stat $i; "
    jq -e '.lost_bytes == 0' "$T/out" >/dev/null || bad+="stat $i: $(cat "$T/out"); "
    "$AMX" blocks "$live" >/dev/null 2>&1 || bad+="blocks $i; "
done
[ -z "$bad" ]
verdict "20 looks at a segment in use find no damage" $? "$bad"
expect "rm refuses a segment in use" 1 "$AMX" rm "$live"
says "rm: says who" '6 process' "$T/err"
[ -f "$AMX_DIR/amx.$live" ]
verdict "rm: it is still there" $?
expect "gc refuses it too" 1 "$AMX" gc "$live"
says "gc: says why" 'a process that lives is attached' "$T/err"
expect "gc of all" 0 "$AMX" gc
says "gc: in use is no failure" "^$live: stays: a process that lives is attached\$"

expect "ps" 0 "$AMX" ps
says "ps: a row for each" "^$live +[0-9]+ +demo reader +(alive|stopped) +1 +[0-9]+ +[0-9]+ +[0-9]+\$"
[ "$(wc -l <"$T/out")" = 7 ]
verdict "ps: of six processes" $? "$(cat "$T/out")"
expect "ps NAME --json" 0 "$AMX" ps "$live" --json
json "ps: they are alive" '(.processes | length) == 6 and all(.processes[]; .state != "dead" and .handles == 1)'

# all of it stands still
mapfile -t all < <(pids)
wards+=("${all[@]}")
kill -STOP "${all[@]}"
for p in "${all[@]}"; do
    until grep -q '^State:.*T' "/proc/$p/status"; do :; done
done
expect "gc: who is stopped is alive" 0 "$AMX" gc --json
json "gc: and keeps it" '.count == 0 and .segments[0].removed == false and (.segments[0].kept | test("lives"))'
expect "blocks --json" 0 "$AMX" blocks "$live" --json
cp "$T/out" "$T/all.json"
json "blocks: text is there" 'any(.blocks[]; .state == 2048 or .state == 2049)'
json "blocks: 7 published blocks of the demo's post" '[.blocks[] | select(.state == 49 and .owner == 0)] | length == 7'
json "blocks: live ones have references, others none" \
    'all(.blocks[]; (.ref != "0") == (.state == 1 or .state >= 49))'
json "blocks: a reference holds place and life" 'all(.blocks[] | select(.ref != "0");
    ((.offset | tonumber) + 16) / 16 == ((.ref | tonumber) / 4294967296 | floor))'
expect "ps of the stopped" 0 "$AMX" ps "$live" --json
json "ps: so it says" '(.processes | length) == 6 and all(.processes[]; .state == "stopped")'
[ "$(jq '[.processes[].blocks] | add' "$T/out")" = "$(jq '[.blocks[] | select(.owner != 0)] | length' "$T/all.json")" ] &&
    [ "$(jq '[.processes[].bytes] | add' "$T/out")" = "$(jq '[.blocks[] | select(.owner != 0) | .bytes] | add' "$T/all.json")" ]
verdict "ps: what they hold, as added by hand" $? "$(cat "$T/out")"
owner=$(jq '[.blocks[] | select(.owner != 0)][0].owner' "$T/all.json")
expect "blocks --state" 0 "$AMX" blocks "$live" --json --state 2048
jq -n --slurpfile all "$T/all.json" --slurpfile some "$T/out" \
    '$some[0].blocks == [$all[0].blocks[] | select(.state == 2048)]' | grep -q true
verdict "blocks: as selected by hand" $?
expect "blocks --owner" 0 "$AMX" blocks "$live" --json --owner "$owner"
jq -n --slurpfile all "$T/all.json" --slurpfile some "$T/out" \
    "\$some[0].blocks == [\$all[0].blocks[] | select(.owner == $owner)] and \$some[0].count > 0" | grep -q true
verdict "blocks: as selected by hand, owner" $?
expect "blocks --min-size" 0 "$AMX" blocks "$live" --json --min-size 16K --state user
jq -n --slurpfile all "$T/all.json" --slurpfile some "$T/out" \
    '$some[0].blocks == [$all[0].blocks[] | select(.bytes >= 16384 and .state >= 49)]' | grep -q true
verdict "blocks: as selected by hand, size" $?
expect "blocks --limit" 0 "$AMX" blocks "$live" --json --limit 3
json "blocks: says that it was limited" '.limited and .count == 3'
expect "blocks for people" 0 "$AMX" blocks "$live" --state 49
says "blocks: nobody's" ' 49 +- '
expect "stat --json" 0 "$AMX" stat "$live" --json
json "stat: the parts make the whole" \
    '.free_bytes + .live_bytes + .cached_bytes + .acked_bytes + .lost_bytes + .unseen_bytes == .data_bytes'
json "stat: as the blocks say" ".live_blocks == $(jq '[.blocks[] | select(.ref != "0")] | length' "$T/all.json")"
json "stat: published" '.published_blocks >= 7'
cp "$T/out" "$T/stat.json"
for what in class sector handle peer; do
    expect "stat --by $what --json" 0 "$AMX" stat "$live" --by $what --json
    jq -n --slurpfile by "$T/out" --slurpfile stat "$T/stat.json" '[("live", "free", "cached", "acked") as $k
        | ("_blocks", "_bytes") as $u | ([$by[0].groups[][$k + $u]] | add) == $stat[0][$k + $u]
        or ($k + $u == "free_bytes")] | all' | grep -q true
    verdict "stat --by $what: its parts make the whole" $? "$(cat "$T/out")"
done
json "stat --by peer: those who are attached, and nobody" '([.groups[].index] | length) == 7 and any(.groups[]; .index == null)'
json "stat --by peer: they took more than they gave back, and their peak is no less" \
    'all(.groups[]; .peak_bytes >= .taken_bytes - .returned_bytes) and any(.groups[]; .refills > 0)'
expect "stat --by handle" 0 "$AMX" stat "$live" --by handle
says "stat --by handle: what it counts" '^HANDLE +LIVE +BYTES +CACHED +BYTES +PEAK +HITS'
expect "stat --watch" 0 "$AMX" stat "$live" --watch 1 --count 2
[ "$(grep -c '^largest request' "$T/out")" = 2 ]
verdict "stat --watch looks twice" $? "$(cat "$T/out")"
says "stat --watch: the most it saw" "^most live bytes seen: .*\\($(jq .live_bytes "$T/stat.json")\\)"
expect "blocks --sort size" 0 "$AMX" blocks "$live" --json --sort size
jq -n --slurpfile all "$T/all.json" --slurpfile some "$T/out" \
    '$some[0].blocks == ($all[0].blocks | sort_by(-.bytes, (.offset | tonumber)))' | grep -q true
verdict "blocks --sort: as sorted by hand" $?
expect "map --json" 0 "$AMX" map "$live" --json
cp "$T/out" "$T/map.json"
jq -n --slurpfile map "$T/map.json" --slurpfile stat "$T/stat.json" '
    def of($w): [$map[0].legend[] | select(.what | IN($w[]))];
    def sum($w; $u): (of($w) | map(.[$u]) | add) // 0;
    $stat[0] as $s | ["published", "kept", "owned"] as $live
    | sum($live; "blocks") == $s.live_blocks and sum($live; "bytes") == $s.live_bytes
    and sum(["free"]; "blocks") == $s.free_blocks and sum(["free"]; "bytes") == $s.free_bytes
    and sum(["cached"]; "blocks") == $s.cached_blocks and sum(["cached"]; "bytes") == $s.cached_bytes
    and sum(["queued"]; "blocks") == $s.acked_blocks and sum(["queued"]; "bytes") == $s.acked_bytes
    and sum(["unseen"]; "bytes") == $s.unseen_bytes and ([$map[0].legend[].bytes] | add) == $s.data_bytes' | grep -q true
verdict "map: the numbers of stat" $? "$(cat "$T/map.json")" "$(cat "$T/stat.json")"
jq -n --slurpfile map "$T/map.json" --slurpfile all "$T/all.json" '
    $all[0].blocks as $b | def n($w): [$map[0].legend[] | select(.what == $w) | .blocks] | add // 0;
    n("kept") == ($b | map(select(.state >= 2048)) | length)
    and n("published") == ($b | map(select(.ref != "0" and .owner == 0 and .state < 2048)) | length)
    and n("owned") == ($b | map(select(.ref != "0" and .owner != 0 and .state < 2048)) | length)' | grep -q true
verdict "map: the numbers of blocks" $? "$(cat "$T/map.json")"
expect "map -o" 0 "$AMX" map "$live" -o "$T/map.svg"
[ "$(grep -o 'data-blocks="[0-9]*" data-bytes="[0-9]*"' "$T/map.svg")" = \
    "$(jq -r '.legend[] | "data-blocks=\"\(.blocks)\" data-bytes=\"\(.bytes)\""' "$T/map.json")" ]
verdict "map: the same numbers in the picture" $? "$(grep data- "$T/map.svg")"
[ "$(sed -n 's/^<rect x="[0-9]*" y="[0-9]*" width="\([0-9]*\)" height="6".*/\1/p' "$T/map.svg" | awk '{ n += $1 } END { print n / 4 }')" = \
    "$(jq '.data_bytes / 128' "$T/map.json")" ]
verdict "map: a cell for every 128 bytes" $? "$(grep -c '<rect' "$T/map.svg") rectangles"
expect "map" 0 "$AMX" map "$live"
says "map: a row of cells" '^[a-z.·░▒▓█!?]{64}$'
says "map: its legend" '^█ +kept state +[0-9]+ +[0-9]+ +[0-9]+ %'
"$AMX" check "$live" --json >"$T/out" 2>"$T/err"
json "check: what stopped processes hold is no damage" '.corrupt == 0'
cp "$AMX_DIR/amx.$live" "$T/copy"
"$AMX" check --image "$T/copy" --json >"$T/out" 2>"$T/err"
json "check: nor in the copy" '.corrupt == 0 and .live_blocks > 7'
"$AMX" check "$T/copy" --json >"$T/out" 2>"$T/err"
json "check: nor if the copy is attached" '.corrupt == 0 and .image == false'

# damage to a living block of the copy
at=$(jq -r '[.blocks[] | select(.state == 2048)][0].offset' "$T/all.json")
head -c 16 /dev/zero | dd of="$T/copy" bs=1 seek="$at" conv=notrunc status=none
expect "a zeroed header is found" 4 "$AMX" check --image "$T/copy" --json
json "check: where it is" ".corrupt > 0 and .verdict == \"corrupt\""
expect "rm --force" 0 "$AMX" rm --force "$live"
[ ! -e "$AMX_DIR/amx.$live" ]
verdict "rm: the name is gone" $?

# the end of the demo
kill -CONT "${all[@]}"
kill -TERM "$demo"
wait "$demo"
verdict "an interrupted demo fails" $(($? != 1))
says "and says why" 'interrupted by signal 15' "$T/demo.out"
left=
for p in "${all[@]}"; do [ ! -e "/proc/$p" ] || left+="$p "; done
[ -z "$left" ]
verdict "no process is left" $? "$left"

# another demo: one of its processes dies, the others are stopped, perhaps in the middle of something
start_demo
mapfile -t all < <(pids)
wards+=("${all[@]}")
kill -STOP "$demo" "${all[@]}"
for p in "${all[@]}"; do
    until grep -q '^State:.*T' "/proc/$p/status"; do :; done
done
victim=$("$AMX" ps "$live" --json | jq -r '[.processes[] | select(.name | startswith("demo counter"))] | max_by(.blocks).pid')
expect "recover: the living stay" 1 "$AMX" recover "$live" --pid "$victim"
says "recover: and it says so" 'is alive' "$T/err"
expect "recover: nobody is dead" 0 "$AMX" recover "$live" --dry-run
says "recover: and it says so" 'nobody is dead'
kill -KILL "$victim"
until "$AMX" ps "$live" --json | jq -e ".processes[] | select(.pid == $victim) | .state == \"dead\"" >/dev/null; do :; done
cp "$AMX_DIR/amx.$live" "$T/before"
expect "recover --dry-run" 0 "$AMX" recover "$live" --dry-run --json
cp "$T/out" "$T/dead.json"
json "recover: who is dead, and what he holds" ".dry_run and (.dead | length) == 1 and .dead[0].pid == $victim and .dead[0].blocks > 0"
cmp -s "$AMX_DIR/amx.$live" "$T/before"
verdict "recover --dry-run changes nothing" $?
"$AMX" recover "$live" --json >"$T/out" 2>"$T/err"
rc=$?
[ $rc = 0 ] || [ $rc = 4 ]
verdict "recover" $? "exit code $rc" "$(cat "$T/err")"
json "recover: what was freed or kept" '(.blocks > 0) == (.bytes > 0) and (.kept | length) >= .kept_blocks and .blocks + .kept_blocks + .sectors_left > 0'
[ $rc = 4 ] || json "recover: all that he held" ".blocks + .kept_blocks == $(jq '.dead[0].blocks' "$T/dead.json")"
[ $rc = 0 ] || json "recover: what is left, and why" '.sectors_left + .handles_left > 0'
expect "recover --pid of nobody" 1 "$AMX" recover "$live" --pid 2147483647

exit $failed
