#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The README's first program does what the README says: its C block is compiled against the library in $BUILD, its
# console block is played line by line, and what each command prints must be what stands below it.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${BUILD:-build}")
source=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

block() { # LANGUAGE: the first block of it
    awk -v fence="\`\`\`$1" '$0 == fence { on = 1; next } /^```$/ && on { exit } on' README.md
}
block c >"$tmp/hello.c"
block console >"$tmp/session"
if ! [ -s "$tmp/hello.c" ] || ! grep -q '^\$ ' "$tmp/session"; then
    echo "not ok README.md has a program and a session"
    exit 1
fi

cd "$tmp" || exit 1
export AMX_DIR=${AMX_DIR:-$tmp} PATH=$build:$PATH
export C_INCLUDE_PATH=$source/include LIBRARY_PATH=$build LD_LIBRARY_PATH=$build

# A program without warnings is part of the promise.
if ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -c hello.c -o hello.o 2>errors; then
    echo "ok the program compiles without warnings"
else
    echo "not ok the program compiles without warnings"
    cat errors
fi

# play COMMAND: its output and its failure, if any, as the session would show them
play() {
    bash -c "$1" 2>&1 || echo "exit $?"
}
judge() {
    [ -n "$command" ] || return 0
    local got
    got=$(play "$command")
    if [ "$got" = "$expected" ]; then
        echo "ok $command"
    else
        echo "not ok $command"
        diff <(echo "$expected") <(echo "$got")
    fi
}
command='' expected=''
while IFS= read -r line; do
    if [[ $line == '$ '* ]]; then
        judge
        command=${line#'$ '} expected=''
    else
        expected+=${expected:+$'\n'}$line
    fi
done <session
judge
