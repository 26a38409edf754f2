#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docs/ordering.md lists each atomic access of src/ whose order is not relaxed, once for its file, function and helper, and
# how many there are if more than one: "ld64_sc (2)". No row is empty.
set -u
cd "$(dirname "$0")/.." || exit 1
doc=docs/ordering.md

# verdict NAME TEXT: ok if there is nothing to say
verdict() {
    if [ -z "$2" ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        printf '%s\n' "$2"
    fi
}
sources=(src/*.[ch])
sites=$(for file in "${sources[@]}"; do
    [ "$file" = src/atomic.h ] || awk -f tests/sched/sites.awk "$file"
done | sort | uniq -c | awk '{ print $2, $3, $4 ($1 > 1 ? " (" $1 ")" : "") }' | sort)
rows=$(awk -F' *[|] *' '/^\| [a-z_]+\.[ch] \|/ { print $2, $3, $4 }' "$doc" | sort)

verdict "$doc lists each site, and none that is gone" "$(diff <(echo "$sites") <(echo "$rows") |
    sed -n 's/^</not in the table:/p; s/^>/not in src:/p')"
verdict "the table is not empty" "$([ "$(grep -c . <<<"$rows")" -ge 100 ] || echo "$(grep -c . <<<"$rows") rows")"
verdict "each row says access, partner, what goes wrong and the test" "$(awk -F'|' '
    /^\| [a-z_]+\.[ch] \|/ {
        bare = NF != 9
        for (i = 2; i < NF; i++) if ($i ~ /^ *$/) bare = 1
        if (bare) print FNR ": " $0
    }' "$doc")"
verdict "each row names a test that there is" "$(awk -F'|' '/^\| [a-z_]+\.[ch] \|/ { print $8 }' "$doc" | tr ';,' '\n\n' |
    while read -r kind name rest; do
        case $kind in
        litmus | unfenced) file=tests/sched/litmus.c ;;
        store) file=tests/sched/store_litmus.c ;;
        *) file=/dev/null ;;
        esac
        [ -z "$rest" ] && grep -q "{\"$name\"," "$file" || echo "no test: $kind $name $rest"
    done)"
# What is not spelt with a helper's whole name would not be found above.
verdict "no helper's name is pasted together" "$(grep -nE 'amxi_(ld|st|cas|add|sub|or|and)(##|[0-9]*_?##)' "${sources[@]}" |
    grep -v '^src/atomic\.h:')"
