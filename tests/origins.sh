#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The documents name only what exists (BUILD: where the library is), and the format's tables say what the layout test
# says. Names are what stands in backticks.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
docs=(README.md docs/*.md)

# verdict NAME TEXT: ok if there is nothing to say
verdict() {
    if [ -z "$2" ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        printf '%s\n' "$2"
    fi
}
without_comments() { # FILE...
    sed -E 's|//.*||; s|/\*.*\*/||; /\/\*/,/\*\//d' "$@"
}
quoted() { # FILE: what stands in its backticks, a line each
    # shellcheck disable=SC2016
    awk '/^```/ { off = !off; next } !off' "$1" | grep -oE '`[^`]+`' | tr -d '`'
}
missing() { # KNOWN WORDS: those of WORDS that are not in KNOWN
    comm -13 <(sort -u <<<"$1") <(sort -u <<<"$2") | grep . || true
}

# --- Calls, constants, types ---

exported=$(nm -D --defined-only "$build/libamx.so" 2>/dev/null | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    grep '^amx_')
if [ -z "$exported" ]; then
    echo "not ok the library is built in $build"
    exit 1
fi
# Functions count if they are exported, so that a declaration alone is not enough.
declared=$(without_comments include/*.h | grep -oE '\b(amx|AMX)_[A-Za-z0-9_]+( *\()?' |
    grep -vE '^amx_.*\($' | grep -oE '^[A-Za-z0-9_]+' | sort -u)
functions=$(without_comments include/*.h | tr '\n' ' ' | grep -oE 'AMX_API [^;(]*\bamx_[a-z0-9_]+ *\(' |
    grep -oE 'amx_[a-z0-9_]+ *\($' | tr -d ' (' | sort -u)
headers=$(cd include && ls)
known=$(printf '%s\n' "$exported" "$headers" "$(comm -23 <(echo "$declared") <(echo "$functions"))")

named=0
for file in "${docs[@]}"; do
    words=$(quoted "$file" | grep -oE '\b(amx|AMX)_[A-Za-z0-9_]*(\.h)?' | sort -u)
    named=$((named + $(grep -c . <<<"$words")))
    verdict "$file names only calls, constants and types that exist" "$(missing "$known" "$words")"
done
verdict "the documents name any at all" "$([ "$named" -ge 100 ] || echo "only $named")"
verdict "docs/origins.md or another document names each public function" \
    "$(missing "$(for file in "${docs[@]}"; do quoted "$file" | grep -oE '\bamx_[a-z0-9_]+'; done)" "$functions")"

# --- docs/origins.md: each published name has a call or a reason ---

verdict "each row of docs/origins.md has a call or a reason" "$(awk -F'|' '
    /^\|/ && !/^\|---/ && !/^\| published / {
        gsub(/[ \t]/, "", $2); gsub(/[ \t]/, "", $3); gsub(/[ \t]/, "", $4)
        if (NF != 5 || $2 == "" || ($3 == "" && $4 == "")) print FILENAME ":" FNR ": " $0
    }' docs/origins.md)"
verdict "no published name has two rows" "$(grep -oE '^\| [^|]+ \|' docs/origins.md | grep -vE '^\| published' |
    sort | uniq -d)"

# --- Public functions have a comment of their own, or share that of their group ---

verdict "each public declaration stands under a comment" "$(awk '
    FNR == 1 { told = inside = 0 }
    inside { if (/\*\//) { inside = 0; told = 1 } next }
    /^\/\*/ { if (!/\*\//) inside = 1; else told = 1; next }
    /^$/ { told = 0 }
    /^AMX_API/ && !told && !/\/\*\*</ { print FILENAME ":" FNR ": " $0 }' include/*.h)"

# --- Files and targets ---

gone=
for file in "${docs[@]}"; do
    for path in $(quoted "$file" | grep -oE '^(include|src|tools|tests|bench|docs)/[A-Za-z0-9_./-]+$' | sort -u); do
        [ -e "$path" ] || gone+="$file: $path"$'\n'
    done
done
verdict "files that the documents name exist" "$gone"

targets=$(sed -nE 's/^([a-z][a-z0-9-]*):.*/\1/p' Makefile bench/*.mk packaging/*.mk tests/*/*.mk | sort -u)
gone=
for file in "${docs[@]}"; do
    words=$({ quoted "$file"; sed -n 's/^    //p' "$file"; } | grep -oE '^make [a-z][a-z0-9-]*' | cut -d' ' -f2 | sort -u)
    for word in $(missing "$targets" "$words"); do gone+="$file: make $word"$'\n'; done
done
verdict "make targets that the documents name exist" "$gone"

# --- docs/format.md against tests/unit/layout_test.c ---

layout=$(sed -nE 's/^ *AT\((\w+), (\w+), ([0-9]+), ([0-9]+)\);/\1 \2 \3 \4/p' tests/unit/layout_test.c | sort)
format=$(awk -F'[|` ]+' '
    /^`struct amxi_[a-z_]+`/ { body = $3 }
    /^## / { body = "" }
    /^\| [0-9]+ \| [0-9]+ \| `/ && body != "" { print body, $4, $2, $3 }' docs/format.md |
    grep -vE ' reserved[0-9]? ' | sort)
layout=$(grep -vE ' reserved[0-9]? ' <<<"$layout")
verdict "docs/format.md and the layout test agree on each field" "$(diff <(echo "$layout") <(echo "$format") |
    sed -n 's/^</only in the test:/p; s/^>/only in the document:/p')"
verdict "docs/format.md describes fields" "$([ "$(grep -c . <<<"$format")" -ge 50 ] || echo "too few: $format")"

regions=$(awk -F'[| ]+' '/^\| [0-9]+ \| [a-z]+ \| [0-9]+ \| [0-9]+ \| [0-9]+ \|$/ { print "{" $2 ", " $4 ", " $5 ", " $6 "}" }' \
    docs/format.md)
wrong=
while read -r region; do
    grep -qF "$region" tests/unit/layout_test.c || wrong+="$region"$'\n'
done <<<"$regions"
verdict "docs/format.md and the layout test agree on each region" \
    "$wrong$([ "$(grep -c . <<<"$regions")" -eq 20 ] || echo "not 20 regions")"
