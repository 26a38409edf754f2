#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every verb on segments at rest: what it prints for people and as JSON, and that looking changes nothing.
. "$(dirname "$0")/kit.bash"

# help
expect "help" 0 "$AMX" help
for v in create ls ps info stat check blocks map rm gc pool store demo help; do
    says "help lists $v" "^  $v "
done
for v in create ls ps info stat check blocks rm gc pool store demo; do
    expect "help $v" 0 "$AMX" help $v
    cp "$T/out" "$T/help"
    expect "$v --help" 0 "$AMX" $v --help
    cmp -s "$T/help" "$T/out"
    verdict "both helps of $v are the same" $?
done
expect "version" 0 "$AMX" --version
says "the version has three parts" '^amx [0-9]+\.[0-9]+\.[0-9]+$'
expect "no verb" 2 "$AMX"
for pair in creat:create sl:ls inof:info chekc:check block:blocks dmeo:demo; do
    expect "unknown verb ${pair%:*}" 2 "$AMX" "${pair%:*}"
    says "did you mean ${pair#*:}" "did you mean '${pair#*:}'" "$T/err"
done
expect "the hidden verb is not proposed" 2 "$AMX" demo-worke
! grep -q demo-worker "$T/err"
verdict "and not named" $?

# create
expect "create" 0 "$AMX" create one --size 1M
says "create prints the name" '^one$'
[ "$(stat -c '%s %a' "$AMX_DIR/amx.one")" = "1048576 600" ]
verdict "size and mode of the file" $? "$(stat -c '%s %a' "$AMX_DIR/amx.one")"
expect "create without a name" 0 "$AMX" create --size 128K
random=$(cat "$T/out")
[ -f "$AMX_DIR/amx.$random" ]
verdict "its random name is a file's" $? "$random"
expect "create with everything" 0 "$AMX" create all --size 300K --max-size 1M --peers 20 --handles 30 --guards 4 \
    --sector-size 8K --mode 640 --group "$(id -g)" --sparse
expect "create by path" 0 "$AMX" create "$T/by.path" --size 64K
[ -f "$T/by.path" ]
verdict "a path is the file" $?
mkdir "$T/other"
expect "create in another directory" 0 "$AMX" create elsewhere --size 64K --dir "$T/other"
[ -f "$T/other/amx.elsewhere" ]
verdict "--dir says where" $?

# ls
echo "no segment" >"$AMX_DIR/amx.junk"
echo "no segment" >"$AMX_DIR/else"
expect "ls" 0 "$AMX" ls
says "ls has a heading" '^NAME +SIZE +USED +PEERS +LARGEST FREE +LAYOUT +UID'
says "ls shows a segment" "^one +1 MiB +0 % +0/[0-9]+ .*KiB +[0-9]+ +$(id -u)"
! grep -q junk "$T/out"
verdict "ls leaves out what is no segment" $?
says "and says so" '1 more file' "$T/err"
expect "ls --no-headings" 0 "$AMX" ls --no-headings
[ "$(wc -l <"$T/out")" = 3 ]
verdict "a row for each" $? "$(cat "$T/out")"
expect "ls --json" 0 "$AMX" ls --json
json "ls: schema" '.schema == "amx.ls/1"'
json "ls: names" "[.segments[].name] | sort == ([\"all\", \"one\", \"$random\"] | sort)"
json "ls: fields" '.segments[] | select(.name == "one") |
    .size == 1048576 and .peers == 0 and .live_bytes == 0 and .largest_free > 800000 and .layout >= 1 and .error == null'
expect "ls of an empty directory" 0 "$AMX" ls --dir "$T/other/.."
says "says that there is none" 'no segments' "$T/err"
expect "ls --json of an empty directory" 0 "$AMX" ls --json --dir "$T/other/.."
json "an empty list" '.segments == []'

# info
expect "info" 0 "$AMX" info one
says "info shows the size" '^size +1 MiB \(1048576 bytes\)$'
expect "info --json" 0 "$AMX" info all --json
json "info: schema" '.schema == "amx.info/1"'
json "info: what was asked for" '.size == 307200 and .max_size == 1048576 and .peers == 20 and .handles == 30 and
    .guards == 4 and .sector_size == 8192 and (.flags | index("sparse") != null)'
json "info: offsets are strings" '.data_offset | type == "string" and (tonumber % 4096 == 0)'
json "info: id" '.id | test("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")'
json "info: created just now" '.created | fromdate | . > now - 300 and . < now + 60'
json "info: 16 roots, strings" '(.roots | length == 16) and all(.roots[]; . == "0")'
json "info: nobody is attached" '.attached == [] and .peers_used == 0'
expect "info by path" 0 "$AMX" info "$T/by.path"
expect "info --dir" 0 "$AMX" info elsewhere --dir "$T/other"

# stat
expect "stat" 0 "$AMX" stat one
says "stat: rows" '^live +0 B +0 +0 % +0$'
expect "stat --json" 0 "$AMX" stat one --json
json "stat: schema" '.schema == "amx.stat/1"'
json "stat: all is free" '.free_bytes == .data_bytes and .live_bytes == 0 and .cached_bytes == 0 and .lost_bytes == 0'
data=$(jq .data_bytes "$T/out")
json "stat: one request could have it all" '.largest_free == .data_bytes - 16'

# blocks
expect "blocks" 0 "$AMX" blocks one
says "blocks has a heading" 'OFFSET +BYTES +STATE +OWNER +GENERATION +REFERENCE'
says "blocks: a free one" '^ *0x[0-9a-f]+ +[0-9]+ +free +- +[0-9]+ +- '
rows=$(($(wc -l <"$T/out") - 1))
expect "blocks --no-headings" 0 "$AMX" blocks one --no-headings
[ "$(wc -l <"$T/out")" = "$rows" ]
verdict "one line less" $?
expect "blocks --limit" 0 "$AMX" blocks one --no-headings --limit 2
[ "$(wc -l <"$T/out")" = 2 ]
verdict "two rows" $?
expect "blocks --json" 0 "$AMX" blocks one --json
json "blocks: schema" '.schema == "amx.blocks/1"'
json "blocks: count" ".count == $rows and (.blocks | length) == $rows and .limited == false and .partial == false"
json "blocks: words are strings" 'all(.blocks[]; [.offset, .generation, .ref, .owner_id] | all(type == "string"))'
json "blocks: they cover the data" "[.blocks[].bytes] | add == $data"
json "blocks: in order" '[.blocks[].offset | tonumber] | . == sort'
expect "blocks --state live" 0 "$AMX" blocks one --json --state user
json "blocks: none of that state" '.blocks == [] and .count == 0'

# check
expect "check" 0 "$AMX" check one
says "check: clean" '^one: clean: 0 corrupt, 0 undone'
expect "check --json" 0 "$AMX" check one --json
json "check: schema" '.schema == "amx.check/1"'
json "check: verdict" '.verdict == "clean" and .corrupt == 0 and .undone == 0 and .findings == [] and .image == false'
expect "check of a path" 0 "$AMX" check "$T/by.path" --json
cp "$AMX_DIR/amx.one" "$T/copy"
expect "check --image" 0 "$AMX" check --image "$T/copy" --json
json "check: of an image" '.image == true and .verdict == "clean"'

# none of them wrote
"$AMX" create quiet --size 256K >/dev/null
before=$(sha256sum <"$AMX_DIR/amx.quiet")
for v in info stat check blocks; do
    "$AMX" $v quiet >/dev/null
    "$AMX" $v quiet --json >/dev/null
done
"$AMX" ls >/dev/null
[ "$before" = "$(sha256sum <"$AMX_DIR/amx.quiet")" ]
verdict "looking changes nothing" $?
chmod 400 "$AMX_DIR/amx.quiet"
expect "looking needs no right to write" 0 "$AMX" stat quiet
chmod 600 "$AMX_DIR/amx.quiet"

# rm
expect "rm" 0 "$AMX" rm one all
[ ! -e "$AMX_DIR/amx.one" ] && [ ! -e "$AMX_DIR/amx.all" ]
verdict "both are gone" $?
expect "rm again" 3 "$AMX" rm one
expect "rm of a path" 0 "$AMX" rm "$T/by.path"
expect "rm --dir" 0 "$AMX" rm elsewhere --dir "$T/other"
expect "rm of what is no segment" 7 "$AMX" rm junk
expect "not by force either" 7 "$AMX" rm --force junk
[ -f "$AMX_DIR/amx.junk" ]
verdict "it is still there" $?
expect "rm goes on after a failure" 3 "$AMX" rm nothing quiet
[ ! -e "$AMX_DIR/amx.quiet" ]
verdict "the second one is gone" $?

# a full device is no success
if [ -e /dev/full ]; then
    "$AMX" help >/dev/full 2>"$T/err"
    verdict "output that cannot be written fails" $(($? != 1))
fi

# gc
mkdir "$T/gc"
export AMX_DIR=$T/gc
expect "gc of nothing" 0 "$AMX" gc
[ ! -s "$T/out" ]
verdict "prints nothing" $? "$(cat "$T/out")"
for n in b a; do "$AMX" create $n --size 64K >/dev/null; done
echo "no segment" >"$AMX_DIR/amx.text"
expect "gc --dry-run" 0 "$AMX" gc --dry-run
[ "$(cat "$T/out")" = "a: would be removed
b: would be removed" ] && [ -e "$AMX_DIR/amx.a" ] && [ -e "$AMX_DIR/amx.b" ]
verdict "removes nothing" $? "$(cat "$T/out")" "$(ls "$AMX_DIR")"
says "counts what is no segment" '^amx gc: 1 more file' "$T/err"
expect "gc --dry-run --json" 0 "$AMX" gc --dry-run --json a
json "as JSON" '.schema == "amx.gc/1" and .dry_run and .segments == [{"name": "a", "removed": false, "kept": null}] and
    .count == 1'
expect "gc NAME" 0 "$AMX" gc b
says "says so" '^b: removed$'
[ "$(ls "$AMX_DIR")" = "amx.a
amx.text" ]
verdict "removes that one" $? "$(ls "$AMX_DIR")"
expect "gc --json" 0 "$AMX" gc --json
json "removes the rest" '(.dry_run | not) and .segments == [{"name": "a", "removed": true, "kept": null}] and .count == 1'
[ "$(ls "$AMX_DIR")" = amx.text ]
verdict "but not what is no segment" $? "$(ls "$AMX_DIR")"
"$AMX" create a --size 64K >/dev/null
expect "gc goes on after a failure" 3 "$AMX" gc nothing a
says "with the next one" '^a: removed$'
expect "gc --dir" 0 "$AMX" gc --dir "$T/other"
exit $failed
