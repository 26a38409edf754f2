#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# amx pool: made, listed, told and checked; looking changes nothing; damage is found.
. "$(dirname "$0")/kit.bash"

"$AMX" create one --size 1M >/dev/null
expect "ls of none" 0 "$AMX" pool ls one
expect "create" 0 "$AMX" pool create one 64:100 1K:10 --root 3
pool=$(cat "$T/out")
says "prints a number" '^[0-9]+$'
json "which is in the root" ".roots[3] == \"$pool\"" <("$AMX" info one --json)
expect "create, in lines" 0 "$AMX" pool create one 128:70 --lines
second=$(cat "$T/out")

# what is refused
expect "a class that is none" 2 "$AMX" pool create one 64
says "is named" "'64' is not a class" "$T/err"
expect "not ascending" 2 "$AMX" pool create one 128:1 64:1
expect "no multiple of 16" 2 "$AMX" pool create one 20:1
expect "no multiple of 64" 2 "$AMX" pool create one 48:1 --lines
expect "no classes" 2 "$AMX" pool create one
expect "no such root" 2 "$AMX" pool create one 64:1 --root 16
expect "too large for the segment" 6 "$AMX" pool create one 1M:10
expect "no such segment" 3 "$AMX" pool ls nosuch
expect "no such action" 2 "$AMX" pool paint one
says "is said" "there is no action 'paint'" "$T/err"
expect "nothing to do" 2 "$AMX" pool
expect "no such pool" 3 "$AMX" pool info one 12345
expect "not a number" 2 "$AMX" pool info one x

# what is told
cp "$AMX_DIR/amx.one" "$T/before"
expect "ls" 0 "$AMX" pool ls one
says "the first" "^$pool +0x[0-9a-f]+ +2 +0 +110 +0 +-$"
says "the second" "^$second +0x[0-9a-f]+ +1 +0 +70 +0 +-$"
expect "ls --json" 0 "$AMX" pool ls one --json
json "both" '.schema == "amx.pool/1" and (.pools | length) == 2 and .pools[0].slots == 110'
expect "info" 0 "$AMX" pool info one "$pool"
says "class 0" "^$pool +0 +64 +100 +0x180 +0x[0-9a-f]+ +0x[0-9a-f]+$"
says "class 1" "^$pool +1 +1024 +10 "
expect "info --json" 0 "$AMX" pool info one --json
json "as asked" '.pools[0].classes == [.pools[0].classes[0], .pools[0].classes[1]] and
    .pools[0].classes[1].slot_size == 1024 and (.pools[0].lines | not) and .pools[1].lines'
expect "stat" 0 "$AMX" pool stat one "$second"
says "its class" "^$second +0 +128 +70 +0 +0 +0 +0 +0 +0$"
expect "check" 0 "$AMX" pool check one
says "clean" '^one: 2 pools: 0 corrupt, 0 undone$'
expect "check --json" 0 "$AMX" pool check one --json
json "clean too" '[.pools[].verdict] == ["clean", "clean"] and .pools[0].slots == 110'
cmp "$AMX_DIR/amx.one" "$T/before" >"$T/cmp"
verdict "looking changes nothing" $? "$(cat "$T/cmp")"

# damage: the first word of the first pool gets a state that no call makes; then a slot of a handle that there is none of
base=$(((pool >> 32) * 16))
word=$((base + 128 + 2 * 128))
poke() { # OFFSET BYTES
    printf "$2" | dd of="$AMX_DIR/amx.one" bs=1 seek="$1" conv=notrunc status=none
}
poke $word '\x05\x00\x00'
expect "a word that is not legal" 4 "$AMX" pool check one
says "is found" "^$pool +corrupt +pool word +0x180 +class 0 slot 0 is in state 5$"
expect "in the one pool" 0 "$AMX" pool check one "$second"
poke $word '\x01\x70\x00'
expect "a dead one's" 4 "$AMX" pool check one --json
json "is undone" '.pools[0].verdict == "undone" and .pools[0].findings[0].grade == "undone" and .pools[0].used == 1'
expect "stat counts it" 0 "$AMX" pool stat one --json
json "as used" '.pools[0].classes[0].used == 1 and .pools[0].classes[0].high == 1'
poke $word '\x00\x00\x00'
poke "$base" 'X'
expect "a head that is none" 4 "$AMX" pool check one
says "is told" 'cannot be attached' "$T/err"
expect "and listed no more" 0 "$AMX" pool ls one
! grep -q "^$pool " "$T/out"
verdict "indeed" $?

# the arena's class, and a quota
"$AMX" create large --size 1M >/dev/null
expect "create, with the arena's class" 0 "$AMX" pool create large 64:10 arena:20 --quota 5
pool=$(cat "$T/out")
expect "the arena's class is the last" 2 "$AMX" pool create large arena:20 64:10
expect "a class by its number" 2 "$AMX" pool create large 4294967232:20
expect "a quota that is none" 2 "$AMX" pool create large 64:10 --quota x
expect "info" 0 "$AMX" pool info large
says "the arena's class" "^$pool +1 +arena +20 "
expect "stat" 0 "$AMX" pool stat large
says "the arena's class" "^$pool +1 +arena +20 +0 +0 +0 +0 +0 +0$"
expect "stat --json" 0 "$AMX" pool stat large --json
json "the arena's class" '[.pools[0].classes[] | .arena] == [false, true] and .pools[0].classes[1].bytes == 0'
expect "check" 0 "$AMX" pool check large
expect "ls" 0 "$AMX" pool ls large
says "the quota" "^$pool +0x[0-9a-f]+ +2 +0 +30 +0 +5$"
expect "quota" 0 "$AMX" pool quota large "$pool" 7
expect "ls --json" 0 "$AMX" pool ls large --json
json "the new quota" '.pools[0].quota == 7'
expect "no such pool" 3 "$AMX" pool quota large 12345 7
expect "no quota" 2 "$AMX" pool quota large "$pool"
cell=$(((pool >> 32) * 16 + $("$AMX" pool info large --json | jq -r '.pools[0].classes[1].data')))
printf '\x01' | dd of="$AMX_DIR/amx.large" bs=1 seek="$cell" conv=notrunc status=none
expect "a free slot with a block" 4 "$AMX" pool check large
says "is found" "^$pool +corrupt +pool cell +0x[0-9a-f]+ +class 1 slot 0 is free and has a block$"
exit $failed
