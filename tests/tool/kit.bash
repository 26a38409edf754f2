# SPDX-License-Identifier: Apache-2.0
# What the tests of the tool share; sourced by each. AMX: the tool (default build/amx).
# Prints "ok NAME" and "not ok NAME"; after the latter, lines of detail.
set -u
AMX=$(realpath "${AMX:-build/amx}")
[ -x "$AMX" ] || {
    echo "not ok there is no $AMX: make it first"
    exit 1
}
command -v jq >/dev/null || exit 77

T=$(mktemp -d "${AMX_DIR:-/dev/shm}/tool.XXXXXX")
export AMX_DIR=$T/segments LC_ALL=C.UTF-8 NO_COLOR=1
mkdir "$AMX_DIR"
failed=0
wards=() # processes that must not outlive the test

finish() {
    for p in "${wards[@]}"; do kill -KILL "$p" 2>/dev/null; done
    rm -rf "$T"
}
trap finish EXIT
trap 'exit 143' TERM

# verdict NAME STATUS [DETAIL...]
verdict() {
    if [ "$2" = 0 ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        printf '    %s\n' "${@:3}"
        failed=1
    fi
}

# expect NAME CODE COMMAND...: runs it; its output is in $T/out and $T/err
expect() {
    local name=$1 want=$2 got
    shift 2
    "$@" >"$T/out" 2>"$T/err"
    got=$?
    [ "$got" = "$want" ]
    verdict "$name" $? "exit code $got instead of $want: $*" "$(head -n 20 "$T/err")" "$(tail -n 5 "$T/out")"
}

# says NAME PATTERN [FILE]: the file (default: what the last command printed) has a line that matches
says() {
    grep -Eq -- "$2" "${3:-$T/out}"
    verdict "$1" $? "no line matches: $2" "$(tail -n 20 "${3:-$T/out}")"
}

# json NAME FILTER [FILE]: jq's answer is neither false nor null, nor is there a syntax error
json() {
    jq -e "$2" "${3:-$T/out}" >"$T/jq" 2>&1
    verdict "$1" $? "not so: $2" "$(head -n 20 "$T/jq")" "$(head -n 20 "${3:-$T/out}")"
}

# start_demo [OPTION...]: a demo that would run for minutes; waits until all its processes are attached. Its pid is in
# $demo, its segment in $live.
start_demo() {
    local began=$SECONDS
    "$AMX" demo --times 100000 --workers 3 "$@" >"$T/demo.out" 2>"$T/demo.err" &
    demo=$!
    wards+=("$demo")
    until live=$("$AMX" ls --json | jq -re '.segments[] | select(.peers == 6) | .name'); do
        if [ $((SECONDS - began)) -gt 20 ] || ! kill -0 "$demo" 2>/dev/null; then
            verdict "the demo starts" 1 "$(cat "$T/demo.out" "$T/demo.err")"
            exit 1
        fi
    done
}

# pids [NAME]: the processes attached to $live
pids() {
    "$AMX" info --json "$live" | jq -r ".attached[] | select(.name | startswith(\"${1:-}\")) | .pid"
}
