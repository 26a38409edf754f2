#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each exit code, and that a message says what, why and the next step, on stderr alone.
. "$(dirname "$0")/kit.bash"

# complains NAME CODE COMMAND...: fails so, prints nothing to stdout, and names a next step
complains() {
    expect "$@"
    [ ! -s "$T/out" ] && grep -q '^amx[: ]' "$T/err" && grep -q '^  next: ' "$T/err"
    verdict "$1: the message" $? "$(cat "$T/out" "$T/err")"
}

"$AMX" create there --size 1M >/dev/null
file=$AMX_DIR/amx.there

# 1: failed
complains "1: exists already" 1 "$AMX" create there --size 1M
complains "1: demo with nothing to read" 1 "$AMX" demo /dev/null

# 2: usage
complains "2: unknown option" 2 "$AMX" info --frobnicate there
complains "2: no argument" 2 "$AMX" info
complains "2: too many arguments" 2 "$AMX" stat there there
complains "2: size that is none" 2 "$AMX" create x --size 12Q
complains "2: size beyond 64 bits" 2 "$AMX" create x --size 99999999999G
complains "2: negative size" 2 "$AMX" create x --size -5
expect "2: too small" 2 "$AMX" create x --size 1K
expect "2: too large" 2 "$AMX" create x --size 65G
complains "2: peers" 2 "$AMX" create x --peers 256
expect "2: sector size that is no power of two" 2 "$AMX" create x --sector-size 5000
complains "2: mode" 2 "$AMX" create x --mode 888
complains "2: group" 2 "$AMX" create x --group no-such-group
complains "2: name" 2 "$AMX" create 'a b'
complains "2: name to look at" 2 "$AMX" info '*'
complains "2: state" 2 "$AMX" blocks there --state 4096
complains "2: owner" 2 "$AMX" blocks there --owner nobody
complains "2: limit" 2 "$AMX" blocks there --limit 0
complains "2: demo workers" 2 "$AMX" demo --workers 0
complains "2: demo size" 2 "$AMX" demo --size 1K
complains "2: argument of ls" 2 "$AMX" ls there
complains "2: option of ps" 2 "$AMX" ps --frobnicate
complains "2: option of gc" 2 "$AMX" gc --force there
complains "2: help for no verb" 2 "$AMX" help nothing
[ "$(ls "$AMX_DIR")" = amx.there ]
verdict "none of them left a file" $? "$(ls "$AMX_DIR")"

# 3: no such
for v in ps info stat check blocks recover rm gc; do
    complains "3: $v" 3 "$AMX" $v nothing
done
complains "3: check --image" 3 "$AMX" check --image "$T/nothing"
complains "3: demo" 3 "$AMX" demo "$T/nothing"
complains "3: directory of ls" 3 "$AMX" ls --dir "$T/nothing"
complains "3: directory of gc" 3 "$AMX" gc --dir "$T/nothing"
expect "3: directory of create" 3 "$AMX" create x --dir "$T/nothing"

# 4: unhealthy. The first block's header is overwritten in a copy.
at=$("$AMX" info --json there | jq -r .data_offset)
cp "$file" "$T/damaged"
printf '\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377' |
    dd of="$T/damaged" bs=1 seek="$at" conv=notrunc status=none
expect "4: damaged copy, attached" 4 "$AMX" check "$T/damaged"
says "4: says what" '^corrupt '
says "4: says what to do" '^  next: ' "$T/err"
expect "4: damaged copy as an image" 4 "$AMX" check --image "$T/damaged" --json
json "4: the finding" '.verdict == "corrupt" and .corrupt >= 1 and .image == true and
    any(.findings[]; .grade == "corrupt" and (.offset | type) == "string" and (.text | length) > 10)'
expect "4: stat says so too" 4 "$AMX" stat "$T/damaged"
says "4: stat shows what is lost" '^lost behind damage '
expect "0: the original is sound" 0 "$AMX" check there

# Any damage whatever: never a crash, never a good word for broken structure in the first half of the file
bad=
size=$(stat -c %s "$file")
for i in $(seq 1 60); do
    cp "$file" "$T/random"
    head -c 64 /dev/urandom | dd of="$T/random" bs=1 seek=$((size * i / 64)) conv=notrunc status=none
    "$AMX" check --image "$T/random" >"$T/out" 2>"$T/err"
    rc=$?
    [ $rc = 0 ] || [ $rc = 4 ] || [ $rc = 7 ] || bad+="image $i: $rc "
    "$AMX" blocks "$T/random" >"$T/out" 2>"$T/err"
    rc=$?
    [ $rc = 0 ] || [ $rc = 4 ] || [ $rc = 7 ] || bad+="blocks $i: $rc "
done
[ -z "$bad" ]
verdict "4: random damage at 60 places is answered" $? "$bad"

# 5: permission. Root is stopped only without the capability to override.
without=()
[ "$(id -u)" != 0 ] || without=(setpriv --bounding-set -dac_override,-dac_read_search)
chmod 000 "$file"
if "${without[@]}" true 2>/dev/null && ! "${without[@]}" cat "$file" >/dev/null 2>&1; then
    for v in ps info stat check blocks recover rm gc; do
        complains "5: $v" 5 "${without[@]}" "$AMX" $v there
    done
    complains "5: check --image" 5 "${without[@]}" "$AMX" check --image "$file"
    expect "0: ls lists it nevertheless" 0 "${without[@]}" "$AMX" ls
    says "5: ls says why it knows no more" '^there +1 MiB +- .*denied'
    expect "0: ls --json" 0 "${without[@]}" "$AMX" ls --json
    json "5: ls --json has the error" '.segments[0].name == "there" and (.segments[0].error | test("denied"))'
    mkdir "$T/closed"
    chmod 500 "$T/closed"
    expect "5: create" 5 "${without[@]}" "$AMX" create x --dir "$T/closed" --size 64K
    chmod 700 "$T/closed"
else
    echo "ok 5: permission # skip no way to be denied"
fi
chmod 600 "$file"
"$AMX" info there >/dev/null
verdict "5: nothing was removed" $?

# 6: full
room=$(df --output=avail -k "$AMX_DIR" | tail -n 1)
if [ "$room" -lt $((64 * 1024 * 1024)) ]; then
    expect "6: no room for a segment" 6 "$AMX" create big --size 64G
    says "6: says how much is free" '[0-9]' "$T/err"
    says "6: says what to do" '^  next: ' "$T/err"
    [ ! -e "$AMX_DIR/amx.big" ]
    verdict "6: nothing is left of it" $?
    "$AMX" create small --size 64K >/dev/null
    verdict "6: a small one still fits" $?
else
    echo "ok 6: full # skip there is room for the largest segment"
fi

# 7: other layout
echo "this is no segment at all" >"$AMX_DIR/amx.text"
: >"$AMX_DIR/amx.empty"
cp "$file" "$AMX_DIR/amx.later"
printf '\377' | dd of="$AMX_DIR/amx.later" bs=1 seek=8 conv=notrunc status=none # the layout version
cp "$file" "$AMX_DIR/amx.short"
truncate -s 512K "$AMX_DIR/amx.short"
for v in ps info stat blocks check recover rm gc; do
    for f in text empty later; do
        expect "7: $v $f" 7 "$AMX" $v $f
        says "7: $v $f: the next step" '^  next: ' "$T/err"
    done
done
expect "7: a file that was cut" 7 "$AMX" info short
expect "7: an image that is none" 7 "$AMX" check --image "$AMX_DIR/amx.text" --json
json "7: still valid JSON" '.verdict == "unknown"'
exit $failed
