#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# man.sh DIR AMX VERSION: manual pages in DIR/man1, man3 and man7, made of the comments in include/*.h and of what the
# tool AMX says of itself, so that they cannot tell anything else. man.awk does the work.
set -eu
export LC_ALL=C AMX_DIR=
amx=$(realpath "$2")
version=$3
rm -rf "$1"
mkdir -p "$1/man1" "$1/man3" "$1/man7"
out=$(realpath "$1")
cd "$(dirname "$0")/.."

# The date of a page is that of the newest thing it is made of.
newest=${SOURCE_DATE_EPOCH:-$(stat -c %Y include/*.h tools/*.c | sort -n | tail -n 1)}
date=$(date -u -d "@$newest" +%Y-%m-%d)
verbs=$("$amx" help | awk '/^  [a-z]/ && $1 != "help" { print $1 }' | tr '\n' ' ')
exits=$("$amx" help | sed -n 's/^Exit: //p')

# page MODE [-v NAME=VALUE]... [FILE]...
page() {
    awk -v mode="$1" -v out="$out" -v date="$date" -v version="$version" -v verbs="$verbs" -v exits="$exits" \
        -f packaging/man.awk "${@:2}"
}

page headers include/amx.h $(ls include/*.h | grep -v '/amx\.h')
"$amx" help | page tool
for verb in $verbs; do
    "$amx" help "$verb" | page verb -v verb="$verb"
done
