#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# weaken.sh DIR [FILE[:FUNCTION[:HELPER]]]...: every atomic site of docs/ordering.md by itself, with the next weaker order in a
# build of its own: one object made anew, and linked with the others. The test that its row names must fail then:
#   litmus NAME     tests/sched/litmus.c with MEMORY=c11
#   store NAME      tests/sched/store_litmus.c with MEMORY=c11
#   unfenced NAME   tests/sched/litmus.c with MEMORY=unfenced
# A row with (n) stands for n sites, each of which must be noticed by one of its tests. With sites: these only. DIR: for the
# copy and its builds.
# Environment: EFFORT (10), how many times as many schedules as `make test` runs.
# Prints a row for each and ends with one line:
#   orders: sites=N weakened=N caught=N missed=N
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=$1
shift
copy=$dir/copy sites=0 weakened=0 caught=0 missed=0
export EFFORT=${EFFORT:-10}
jobs=-j$(nproc)

weaker() { # HELPER: those just below it; of an exchange with both halves, each without one of them
    case $1 in
    *_again | *_acq | *_rel) echo rlx ;;
    *_ar) echo acq rel ;;
    ld*_sc) echo acq ;;
    st*_sc) echo rel ;;
    *_sc) echo ar ;;
    esac
}

rm -rf "$dir"
mkdir -p "$copy" "$dir/whole"
cp -r Makefile amx.map amx.pc.in include src tests bench packaging "$copy"
# Orders that no site has as yet.
define() { # KIND BITS ORDER TEXT
    grep -q "AMXI_DEFINE_$1($2, $3," src/atomic.h || echo "AMXI_DEFINE_$1($2, $3, $4)"
}
{
    sed '$d' src/atomic.h # the #endif
    for bits in 8 32 64; do
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

litmus=build/gcc-sched/tests/sched/litmus
stores=build/gcc-sched/tests/sched/store_litmus
build() {
    make -s -C "$copy" "$jobs" BUILD=build CC=gcc SAN= HOOK= SCHED=1 $litmus $stores >/dev/null
}
build || exit 1
# All of them hold, as the library is; without fences those that a row wants so.
unfenced=$(grep -oE 'unfenced [a-z_0-9]+' docs/ordering.md | cut -d' ' -f2 | grep -vx 'NAME' | sort -u)
[ $# != 0 ] || for run in c11 tso $unfenced; do
    case $run in
    c11 | tso) out=$(EFFORT=1 MEMORY=$run "$copy/$litmus" 2>&1 && EFFORT=1 MEMORY=$run "$copy/$stores" 2>&1) ;;
    *) out=$(EFFORT=1 MEMORY=unfenced "$copy/$litmus" "$run" 2>&1) ;;
    esac || {
        grep '^not ok' <<<"$out"
        missed=$((missed + 1))
    }
done

# fails TEST...: leaves in `by` the first that fails
fails() {
    local test
    for test; do
        by=$test
        case $test in
        litmus\ *) MEMORY=c11 "$copy/$litmus" "${test#* }" >"$dir/out" 2>&1 || return 0 ;;
        store\ *) MEMORY=c11 "$copy/$stores" "${test#* }" >"$dir/out" 2>&1 || return 0 ;;
        unfenced\ *) MEMORY=unfenced "$copy/$litmus" "${test#* }" >"$dir/out" 2>&1 || return 0 ;;
        *) echo "no test: $test" >&2 && exit 1 ;;
        esac
    done
    by=
    return 1
}

# weaken FILE FUNCTION HELPER NTH TEST...
weaken() {
    local file=$1 function=$2 helper=$3 nth=$4 weak object=$copy/build/gcc-sched/src/${1%.c}.o
    shift 4
    for weak in $(weaker "$helper"); do
        cp "$object" "$dir/whole/"
        awk -v function_="$function" -v helper="$helper" -v nth="$nth" -v weak="${helper%%_*}_$weak" -f tests/sched/sites.awk \
            "src/$file" >"$copy/src/$file"
        if cmp -s "src/$file" "$copy/src/$file"; then
            echo "not ok $file:$function:$helper $nth: not in the source"
            missed=$((missed + 1))
            continue
        fi
        build || exit 1
        weakened=$((weakened + 1))
        if fails "$@" && grep -q '^not ok' "$dir/out"; then
            caught=$((caught + 1))
            echo "ok $file:$function:$helper $nth -> $weak: $by"
        else
            missed=$((missed + 1))
            echo "not ok $file:$function:$helper $nth -> $weak: not noticed"
        fi
        cp -p "src/$file" "$copy/src/$file"
        cp "$dir/whole/${file%.c}.o" "$object" # newer than its source
    done
}

wanted() { # SITE
    local w
    [ ${#want[@]} != 0 ] || return 0
    for w in "${want[@]}"; do [[ $1: = "$w":* ]] && return 0; done
    return 1
}
want=("$@")
while IFS='|' read -r _ file function helper _ _ _ test _; do
    read -r file function <<<"$file $function"
    read -r helper n <<<"$helper"
    n=${n//[()]/}
    wanted "$file:$function:$helper" || continue
    sites=$((sites + ${n:-1}))
    mapfile -t tests < <(sed 's/[;,]/\n/g' <<<"$test" | sed 's/^ *//; s/ *$//')
    for ((k = 1; k <= ${n:-1}; k++)); do
        weaken "$file" "$function" "$helper" "$k" "${tests[@]}"
    done
done < <(grep -E '^\| [a-z_]+\.[ch] \|' docs/ordering.md)
echo "orders: sites=$sites weakened=$weakened caught=$caught missed=$missed"
[ "$missed" = 0 ]
