#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# weaken.sh DIR [FILE:FUNCTION:HELPER]...: the library with weaker orders, one at a time: each order that a helper of
# src/atomic.h has, at all its sites at once (*:*:HELPER), then sites by themselves (`alone`). Each must be caught: by the
# litmus tests, by the scheduler (both with MEMORY=c11), or by ThreadSanitizer, unless docs/ordering.md says why nothing can
# notice (`argued`). With sites: these only. DIR: for the copy and its builds.
# Environment: EFFORT (1), how many times as many schedules; SKIP_TSAN: set, no ThreadSanitizer.
# Prints a row for each and ends with one line:
#   orders: weakened=N caught=N
set -u
cd "$(dirname "$0")/../.." || exit 1
sources=$(echo src/*.[ch])
set -f # *:*:HELPER is no name of a file
dir=$1 weakened=0 caught=0 failed=0
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

# Where one site needs the order for a reason of its own.
alone="
sector.c:amxi_sec_steal:cas64_ar sector.c:amxi_sec_leave:st64_rel arena.c:amxi_queue:cas64_rel
arena.c:free_unit:cas64_ar arena.c:claim_other:cas64_ar recover.c:claim_dead:ld64_sc
sector.c:amxi_cut_valid:ld32_acq block.c:amxi_find:ld64_acq block.c:amx_ref_of:ld64_acq raw.c:describe:ld64_acq block.c:amx_get_state:ld64_sc
object.c:word_of:ld64_sc object.c:amx_object_remove:cas64_sc recover.c:amxi_lists_in_use:ld32_sc
peer.c:amxi_peer_leave:cas64_sc peer.c:amxi_peer_any:ld64_sc
check.c:check_sector:ld64_acq check.c:header_at:ld64_acq"

# Not noticed, and why is said there.
argued='*:*:st64_sc rel
*:*:st32_sc rel
*:*:st32_sc rlx
*:*:or64_sc ar
*:*:or64_sc rlx
*:*:or32_sc ar
*:*:or32_sc rlx
*:*:and32_sc ar
*:*:and32_sc rlx
*:*:cas32_sc ar
*:*:cas32_sc rlx
*:*:sub32_sc ar
*:*:st32_rel rlx
arena.c:free_unit:cas64_ar acq
arena.c:claim_other:cas64_ar acq'

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
stores=build/gcc-sched/tests/sched/store_litmus
tsan=(stress/store_test unit/state_test stress/regression_test stress/workload_test)
build() { # what can be built without ThreadSanitizer, or TARGET with it
    if [ $# = 0 ]; then
        make -s -C "$copy" "$jobs" BUILD=build CC=gcc SAN= HOOK= SCHED=1 $schedules $litmus $stores >/dev/null
    else
        make -s -C "$copy" "$jobs" BUILD=build CC=gcc SAN=thread HOOK= SCHED= "build/gcc-tsan/tests/$1" >/dev/null
    fi
}

# Leaves in `by` what caught it; empty: nothing.
judge() {
    local bound out i
    by=
    build || exit 1
    out=$(MEMORY=c11 "$copy/$litmus" -1 2>&1 && MEMORY=c11 "$copy/$stores" -1 2>&1) || {
        by="litmus $(sed -n 's/^not ok //p' <<<"$out")"
        return
    }
    for bound in 1 2; do # few preemptions first: they are found sooner
        out=$(MEMORY=c11 "$copy/$schedules" $bound $((200 * effort)) $((10 * effort)) 1 0 2>&1) || {
            by="schedules $(sed -n 's/^violation.* in //p' <<<"$out" | head -n 1)"
            return
        }
    done
    [ -z "${SKIP_TSAN:-}" ] || return
    for i in "${!tsan[@]}"; do
        build "${tsan[i]}" || exit 1
        out=$(AMX_TEST_SCALE=15 setarch -R "$copy/build/gcc-tsan/tests/${tsan[i]}" 2>&1) || {
            by="TSan ${tsan[i]%_test}"
            return
        }
    done
}

# weaken FILE FUNCTION HELPER
weaken() {
    local weak file to
    for weak in $(weaker "$3"); do
        for file in $sources; do
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
            if [ -n "$by" ]; then
                echo "ok $1:$2:$3 -> $weak: $by"
            elif grep -qxF "$1:$2:$3 $weak" <<<"$argued"; then
                echo "# $1:$2:$3 -> $weak: not noticed, argued in docs/ordering.md"
            else
                echo "not ok $1:$2:$3 -> $weak: not noticed"
                failed=1
            fi
        fi
    done
}

[ $# != 0 ] || set -- $(for file in $sources; do
    [ "$file" = src/atomic.h ] || awk -f tests/sched/sites.awk "$file"
done | awk '{ print "*:*:" $3 }' | sort -u) $alone
for site; do
    IFS=: read -r file function helper <<<"$site"
    weaken "$file" "$function" "$helper"
done
echo "orders: weakened=$weakened caught=$caught"
[ $failed = 0 ]
