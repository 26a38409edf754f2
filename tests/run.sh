#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs tests: run.sh [NAME=VALUE | DIR | FILE]...
#   NAME=VALUE  goes into the environment of all tests after it
#   DIR         every *_test program and every *.sh in it
# Prints a line for each, the output of those that fail, lines of the others that begin with "# ", and at last how many
# single tests passed and failed. A program with cmocka counts by cmocka's own summary, a script by its lines
# "ok NAME" and "not ok NAME"; one that crashes, hangs or says nothing counts as one that failed. Exit code 77: skipped.
# AMX_TEST_TIMEOUT: seconds for each (120). AMX_TEST_JOBS: how many at a time (2). AMX_TEST_RUNNER: an emulator that
# programs need; they start themselves through it too.
set -u
export LC_ALL=C
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES
limit=${AMX_TEST_TIMEOUT:-120}
jobs=${AMX_TEST_JOBS:-2}

tmp=$(mktemp -d)
# Each test has a directory for its segments. In /dev/shm, unless that is as small as containers make it.
room=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)
shm=/dev/shm
[ "${room:-0}" -ge 1000000 ] || shm=${TMPDIR:-/tmp}
shm=$(mktemp -d "$shm/amx-test.XXXXXX")

declare -A running=()
finish() {
    for p in "${!running[@]}"; do kill "$p" 2>/dev/null; done
    wait
    rm -rf "$tmp" "$shm"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# one FILE-PREFIX PROGRAM [NAME=VALUE]...: runs it alone in a process group, and leaves PREFIX.out and PREFIX.rc
one() {
    local to=$1 program=$2 begin=${EPOCHREALTIME/./} wrap=() group
    shift 2
    trap - EXIT INT
    # ThreadSanitizer of gcc 12 and clang 14 cannot place its shadow where newer kernels randomise mappings.
    case $program in
    *-tsan/*) setarch -R true 2>/dev/null && wrap=(setarch -R) ;;
    *.sh) ;;
    *) wrap=(${AMX_TEST_RUNNER:+"$AMX_TEST_RUNNER"}) ;;
    esac
    mkdir -p "$to.shm"
    timeout -k 5 "$limit" env --default-signal=INT,QUIT AMX_DIR="$to.shm" "$@" "${wrap[@]}" "$program" \
        >"$tmp/${to##*/}.out" 2>&1 </dev/null &
    group=$!
    trap 'kill -KILL -- -$group 2>/dev/null; exit 143' TERM
    wait "$group" 2>/dev/null # bash would tell of a crash; the report does
    local rc=$?
    kill -KILL -- "-$group" 2>/dev/null # what it left running
    rm -rf "$to.shm"
    echo "$rc $((${EPOCHREALTIME/./} - begin))" >"$tmp/${to##*/}.rc"
}

passed=0 failed=0 skipped=0 bad=()

# report INDEX: judges and prints a test that has ended
report() {
    local i=$1 rc us p f s why=
    read -r rc us <"$tmp/$i.rc"
    read -r p f s < <(awk '
        /\[  PASSED  \] [0-9]+ test\(s\)/ { sub(/.*PASSED  \] /, ""); p += $1 }
        /\[  FAILED  \] [0-9]+ test\(s\)/ { sub(/.*FAILED  \] /, ""); f += $1 }
        /\[  SKIPPED \] [0-9]+ test\(s\)/ { sub(/.*SKIPPED \] /, ""); s += $1 }
        /^ok .*# skip/ { s++; next }
        /^ok / { p++ }
        /^not ok / { f++ }
        END { print p + 0, f + 0, s + 0 }' "$tmp/$i.out")
    if [ "$rc" = 77 ] && [ $((p + f)) = 0 ]; then
        [ "$s" != 0 ] || s=1
    elif [ "$rc" = 124 ] || [ "$rc" = 137 ]; then
        f=$((f + 1)) why="killed after $limit s"
    elif [ "$rc" != 0 ] && [ "$f" = 0 ]; then
        f=1 why="exit code $rc"
    elif [ $((p + f + s)) = 0 ]; then
        f=1 why="ran no test"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    local word=ok
    if [ "$f" != 0 ]; then
        word=FAILED
        bad+=("${names[i]}")
    elif [ "$p" = 0 ]; then
        word=skipped
    fi
    printf '%-7s %4d %4d.%01d s  %s%s\n' "$word" $((p + f + s)) $((us / 1000000)) $((us / 100000 % 10)) "${names[i]}" \
        "${why:+ ($why)}"
    if [ "$f" != 0 ]; then
        awk 'NR <= 150 { print "    | " $0; next } { last[NR % 150] = $0 }
             END { if (NR > 300) print "    | ..."
                   for (n = NR > 300 ? NR - 149 : 151; n <= NR; n++) print "    | " last[n % 150] }' "$tmp/$i.out"
    else
        sed -n 's/^# /        # /p' "$tmp/$i.out"
    fi
    rm -f "$tmp/$i.out" "$tmp/$i.rc"
}

# reap: waits for one test to end
reap() {
    local p
    wait -n -p p "${!running[@]}"
    report "${running[$p]}"
    unset "running[$p]"
}

names=() vars=()
start() {
    [ ${#running[@]} -lt "$jobs" ] || reap
    local i=${#names[@]}
    names+=("$1")
    one "$shm/$i" "$1" "${vars[@]}" &
    running[$!]=$i
}

for arg in "$@"; do
    if [[ $arg =~ ^[A-Za-z_][A-Za-z_0-9]*= ]]; then
        vars+=("$arg")
    elif [ -f "$arg" ]; then
        start "$arg"
    else
        found=
        for t in "$arg"/*_test "$arg"/*.sh; do
            if [ -f "$t" ] && [ -x "$t" ]; then
                start "$t"
                found=1
            fi
        done
        [ -n "$found" ] || echo "none         $arg"
    fi
done
while [ ${#running[@]} != 0 ]; do reap; done

[ ${#bad[@]} = 0 ] || printf 'failed: %s\n' "${bad[@]}"
echo "$passed passed, $failed failed$([ "$skipped" = 0 ] || echo ", $skipped skipped")"
[ "$failed" = 0 ]
