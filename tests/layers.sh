#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The house rules that can be read off the sources and the built library (BUILD: where it is).
# A file includes only its own layer or below; shared memory is touched by atomic.h alone; the library keeps no state of
# its own, never prints and never ends the process; it exports what the public headers declare and nothing else.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}

layers='
base:0 annotate:0 atomic:0 layout:0 error:0
tlsf:1 os:1 os_linux:1
segment:2 geometry:2 peer:2
sector:3 extent:3 checked:3 arena:3 handle:3 recover:3 object:3
block:4 raw:4 attach:4 word:4
pool:5 slot:5 pool_look:5
store:6 guard:6 message:6 admission:6 store_look:6
look:8 walk:8 stat:8 check:8
'
layer_of() { # FILE: prints its layer; nothing if it has none
    local room=${1##*/}
    room=${room%.[ch]}
    for l in $layers; do
        [ "${l%:*}" != "$room" ] || echo "${l#*:}"
    done
}

# verdict NAME TEXT: ok if there is nothing to say
verdict() {
    if [ -z "$2" ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        printf '%s\n' "$2"
    fi
}
includes() { # FILE: the files that it includes by "..."
    sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1/p' "$1"
}

up=
for file in src/*.[ch]; do
    mine=$(layer_of "$file")
    [ -n "$mine" ] || up+="$file: has no layer in tests/layers.sh"$'\n'
    for other in $(includes "$file"); do
        [ ! -f "include/$other" ] || continue
        theirs=$(layer_of "$other")
        [ "${theirs:-99}" -le "${mine:-99}" ] || up+="$file (layer $mine) includes $other (layer ${theirs:-unknown})"$'\n'
    done
done
verdict "each file includes only its own layer or below" "$up"

inward=
for file in include/*.h; do
    for other in $(includes "$file"); do
        [ -f "include/$other" ] || inward+="$file includes $other"$'\n'
    done
done
for file in tools/*.[ch]; do
    [ -f "$file" ] || continue
    for other in $(includes "$file"); do
        [ -f "include/$other" ] || [ -f "tools/$other" ] || inward+="$file includes $other"$'\n'
    done
done
verdict "public headers and tools use the public interface only" "$inward"

verdict "no <stdatomic.h> in public headers" "$(grep -n 'stdatomic\.h>' include/*.h | grep '#.*include')"
verdict "atomics only in atomic.h" "$(grep -nE '\b(__atomic_|__sync_|_Atomic\b|atomic_(load|store|fetch|exchange|compare))|stdatomic\.h|\bvolatile\b' \
    src/*.[ch] | grep -v '^src/atomic\.h:')"

verdict "no access past the helpers of atomic.h" "$(grep -nE '(->|\.)v_\b' src/*.[ch] | grep -v '^src/atomic\.h:')"

objects=("$build"/src/*.o)
if ! [ -f "${objects[0]}" ] || ! [ -f "$build/libamx.so" ]; then
    echo "not ok the library is built in $build"
    exit 1
fi
# What a file of the library may keep between calls: nothing, but for the list that the fork handler needs.
verdict "no variables outside the fork handler's list" "$(nm -A --format=sysv "${objects[@]}" |
    awk -F'|' '$4 ~ /OBJECT|TLS/ && $7 ~ /^\.(data|bss|tdata|tbss)|COM/ && $7 !~ /^\.data\.rel\.ro/ && $1 !~ /peer\.o:forks/ { print $1 }')"
verdict "never prints, never ends the process, never sleeps" "$(nm -A -u "${objects[@]}" |
    grep -E ' U (_*v?f?d?printf(_chk)?|f?puts|f?putc|putchar|perror|psignal|stdout|stderr|_?exit|quick_exit|abort|__assert(_perror)?_fail|u?sleep|nanosleep|clock_nanosleep)$')"

exported=$(nm -D --defined-only "$build/libamx.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort)
verdict "exports begin with amx_" "$(grep -v '^amx_' <<<"$exported" | grep .)"
declared=$(cat include/*.h | tr '\n' ' ' | grep -oE 'AMX_API [^;(]*\b(amx_[a-z0-9_]+) *\(' | sed -E 's/.*\b(amx_[a-z0-9_]+) *\($/\1/' | sort)
verdict "exports are what the headers declare" "$(diff <(echo "$declared") <(echo "$exported") |
    sed -n 's/^</declared, not exported:/p; s/^>/exported, not declared:/p')"
