#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The gdb script against the tool: what it finds in a core is what `amx stat` and `amx blocks` said of the same segment
# when its process was stopped.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${BUILD:-build}")
script=$PWD/tools/gdb/amx-gdb.py
source=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export AMX_DIR=$tmp PATH=$build:$PATH DEBUGINFOD_URLS=
cc -std=c11 -g -Iinclude tests/gdb/aborts.c "$build/libamx.a" -lpthread -o "$tmp/aborts" || exit 1
cd "$tmp" || exit 1

# What a walk may meet: a sector with somebody inside, one in quarantine, one with a block of no size.
cat >damage.py <<'P'
s = next(Segment(address) for address, file in segments() if "memfd" not in file)
put = gdb.selected_inferior().write_memory
put(s.base + s.table + 50 * s.stride, struct.pack("<Q", HELD | 1 << 4))
put(s.base + s.table + 60 * s.stride, struct.pack("<Q", QUARANTINED))
put(s.base + s.data + (70 << s.log2) + 8, struct.pack("<Q", 0))
gdb.set_convenience_variable("address", s.base)
P

gdb -nx -batch -ex 'set disable-randomization off' -ex run -ex 'generate-core-file core' \
    -ex "source $script" -ex 'shell echo ALIVE' -ex amx-segments \
    -ex 'shell amx stat aborts --json >stat' -ex 'shell amx blocks aborts --no-headings >blocks' \
    -ex 'shell amx info aborts --json >info' \
    -ex "source damage.py" -ex 'shell amx stat aborts --json >damaged-stat 2>/dev/null' \
    -ex "shell echo DAMAGED" -ex "amx-stat $"address -ex "amx-blocks $"address ./aborts >alive 2>&1
if grep -qi 'could not trace the inferior\|ptrace: Operation not permitted' alive; then
    echo "ok gdb # skip: processes may not be traced here"
    exit 0
fi
amx rm --force aborts # from now on there is the core only
look() { # COMMAND...
    gdb -nx -batch -ex "source $script" "${@/#/-ex=}" ./aborts core 2>&1 | sed -n '/BEGIN/,$p' | sed 1d
}

# same NAME FILE FILE
same() {
    if [ -s "$2" ] && diff "$2" "$3" >diff; then
        echo "ok $1"
    else
        echo "not ok $1"
        cat alive diff
    fi
}

look 'shell echo BEGIN' amx-segments >segments
sed '1,/ALIVE/d; /DAMAGED/,$d' alive >segments-alive
addresses=$(sed 's/ .*//' segments)
if [ "$(wc -l <segments)" = 2 ] && grep -q ' 1048576 bytes, ' segments &&
    grep -q ' 65536 bytes, .*memfd:' segments; then
    echo "ok two segments in the core"
else
    echo "not ok two segments in the core"
    cat alive segments
fi
same "the same in the process" segments segments-alive
named=$(sed -n 's/ 1048576 bytes.*//p' segments)

look 'shell echo BEGIN' "amx-blocks $named" | sed 1d | awk '{ $1 = $1 } 1' >core-blocks
awk '{ $1 = $1 } 1' blocks >tool-blocks
same "blocks" core-blocks tool-blocks

of_tool() { # FILE: the numbers that are in core-stat
    while read -r key _; do
        jq -r --arg k "$key" '"\($k) \(.[$k])"' "$1"
    done <core-stat
}
look 'shell echo BEGIN' "amx-stat $named" | awk '{ print $1, $2 }' >core-stat
of_tool stat >tool-stat
same "statistics" core-stat tool-stat
sed '1,/DAMAGED/d; /OFFSET/,$d' alive | awk '{ print $1, $2 }' >gdb-stat
of_tool damaged-stat >tool-stat
same "statistics of a damaged one" gdb-stat tool-stat
sed '1,/DAMAGED/d' alive | grep '^#' >gdb-notes
printf '# sector %s\n' '50: handle 1 is inside' '60: quarantined' '70: damaged at unit 0' >notes
same "where it is damaged" gdb-notes notes
# Names of states are those of the header, in its order.
sed -n 's/.*AMX_STATE_\([A-Z]*\) = \([0-9]*\),.*/\2 \1/p' "$source/include/amx.h" | awk '$1 == NR - 1 { print tolower($2) }' >names
sed -n 's/^STATES = (\(.*\))$/\1/p' "$script" | tr -d '" ' | tr , '\n' >script-names
same "names of states" script-names names
# Not a comparison of zeros: every sort of block was there.
if awk '/^(live|free|cached|acked|published|kept|large)_blocks/ && $2 > 0 { n++ } END { exit n != 7 }' core-stat; then
    echo "ok every sort of block"
else
    echo "not ok every sort of block"
    cat core-stat
fi

# The recipe in the script's head: a segment out of the core, and the tool has a look at it.
size=$(sed -n "s/^$named \([0-9]*\) bytes.*/\1/p" segments)
look "dump binary memory image $named $named+$size"
if amx check --image image >check 2>&1 && grep -q clean check; then
    echo "ok the validator finds the copy clean"
else
    echo "not ok the validator finds the copy clean"
    cat check
fi

same_id() {
    grep -q "^$named .* id $(jq -r .id info)," segments
}
if same_id; then
    echo "ok the id tells which is which"
else
    echo "not ok the id tells which is which"
    cat info segments
fi

# What it says when it cannot know what is meant, or there is nothing.
refuses() { # COMMAND PATTERN
    if look 'shell echo BEGIN' "$1" | grep -q "$2"; then
        echo "ok $1: $2"
    else
        echo "not ok $1: $2"
    fi
}
refuses amx-stat "2 segments are mapped"
refuses "amx-blocks ${addresses%%$'\n'*}+4096" "no segment begins at"
