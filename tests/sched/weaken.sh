#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# weaken.sh DIR [FILE:FUNCTION:HELPER]...: the library with weaker orders, one at a time: each order that a helper of
# src/atomic.h has, at all its sites at once (*:*:HELPER), and the sites by themselves that are named in `alone`. Each must
# be caught: by the scheduler with its model of memory (MEMORY=tso, MEMORY=c11), by its litmus tests, or by
# ThreadSanitizer. DIR: for the copy and its builds. With sites: these only.
# Environment: EFFORT (1), how many more schedules than usual; SKIP_TSAN: set, no ThreadSanitizer.
# Prints a row for each and ends with one line:
#   orders: weakened=N caught=N
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=$1 weakened=0 caught=0
shift
jobs=-j$(nproc)
effort=${EFFORT:-1}

weaker() { # ORDER: those below it, the nearest first
    case $1 in
    ld*_acq | ld*_sc) [[ $1 = *_acq ]] || echo acq && echo rlx ;;
    st*_rel | st*_sc) [[ $1 = *_rel ]] || echo rel && echo rlx ;;
    *_ar) echo acq rel rlx ;;
    *_acq | *_rel) echo rlx ;;
    *_sc) echo ar rlx ;;
    esac
}

copy=$dir/copy
rm -rf "$dir"
mkdir -p "$copy"
cp -r Makefile amx.map amx.pc.in include src tests bench packaging "$copy"
# Orders that no site has as yet.
define() { # KIND BITS ORDER TEXT
    grep -q "AMXI_DEFINE_$1($2, $3," src/atomic.h || echo "AMXI_DEFINE_$1($2, $3, $4)"
}
{
    sed '$d' src/atomic.h # the #endif
    for bits in 8 32 64; do
        define LD $bits rlx __ATOMIC_RELAXED
        define LD $bits acq __ATOMIC_ACQUIRE
        define ST $bits rlx __ATOMIC_RELAXED
        define ST $bits rel __ATOMIC_RELEASE
        define CAS $bits rlx "__ATOMIC_RELAXED, __ATOMIC_RELAXED"
        define CAS $bits acq "__ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE"
        define CAS $bits rel "__ATOMIC_RELEASE, __ATOMIC_RELAXED"
        define CAS $bits ar "__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE"
        for op in add sub or and; do
            define RMW $bits "$op, rlx" __ATOMIC_RELAXED
            define RMW $bits "$op, ar" __ATOMIC_ACQ_REL
        done
    done
    echo '#endif'
} >"$copy/src/atomic.h"

schedules=build/gcc-sched/tests/sched/schedules
litmus=build/gcc-sched/tests/sched/litmus
tsan=(state regression workload)
tsan_at=(unit/state_test stress/regression_test stress/workload_test)
build() { # what can be built without ThreadSanitizer, or TARGET with it
    if [ $# = 0 ]; then
        make -s -C "$copy" "$jobs" BUILD=build CC=gcc SAN= HOOK= SCHED=1 $schedules $litmus >/dev/null
    else
        make -s -C "$copy" "$jobs" BUILD=build CC=gcc SAN=thread HOOK= SCHED= "build/gcc-tsan/tests/$1" >/dev/null
    fi
}

# Leaves in `by` what caught it; empty: nothing.
judge() {
    local memory bound out i
    by=
    build || exit 1
    for memory in tso c11; do
        out=$(MEMORY=$memory "$copy/$litmus" 2>&1) || {
            by="litmus, $memory: $(grep -m 1 '^litmus:' <<<"$out")"
            return
        }
    done
    for bound in 1 2 3; do # few preemptions first: they are found sooner
        out=$(MEMORY=c11 "$copy/$schedules" $bound $((400 * effort)) $((20 * effort)) 1 0 2>&1) || {
            by="schedules, c11: $(grep -m 1 -o 'schedule: .*\|^violation.*' <<<"$out")"
            return
        }
    done
    [ -z "${SKIP_TSAN:-}" ] || return
    for i in "${!tsan[@]}"; do
        build "${tsan_at[i]}" || exit 1
        out=$(AMX_TEST_SCALE=15 setarch -R "$copy/build/gcc-tsan/tests/${tsan_at[i]}" 2>&1) || {
            by="ThreadSanitizer, ${tsan[i]}: $(grep -m 1 -o 'SUMMARY:.*\|FAILED.*' <<<"$out")"
            return
        }
    done
}

# weaken FILE FUNCTION HELPER
weaken() {
    local weak file to
    for weak in $(weaker "$3"); do
        for file in src/*.c src/*.h; do
            [ "$file" != src/atomic.h ] || continue
            to=$copy/$file
            if [ "$1" = "*" ] || [ "src/$1" = "$file" ]; then
                awk -v function_="$2" -v helper="$3" -v weak="${3%_*}_$weak" -f tests/sched/sites.awk "$file" >"$dir/new"
            else
                cp "$file" "$dir/new"
            fi
            cmp -s "$dir/new" "$to" || cp "$dir/new" "$to" # what has not changed is not built again
        done
        if diff -rq src "$copy/src" | grep -qv atomic.h; then
            weakened=$((weakened + 1))
            judge
            [ -z "$by" ] || caught=$((caught + 1))
            [ -n "$by" ] && echo "ok $1:$2:$3 -> $weak: $by" || echo "not ok $1:$2:$3 -> $weak"
        fi
    done
}

if [ $# = 0 ]; then
    set -- $(for file in src/*.c; do awk -f tests/sched/sites.awk "$file"; done | awk '{ print "*:*:" $3 }' | sort -u)
fi
for site; do
    IFS=: read -r file function helper <<<"$site"
    weaken "$file" "$function" "$helper"
done
echo "orders: weakened=$weakened caught=$caught"
[ "$weakened" = "$caught" ]
