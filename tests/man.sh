#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The manual: every exported function and every verb has a page, what the headers say stands in it, and two readers of
# such pages have nothing to complain about.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${BUILD:-build}")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export LC_ALL=C.UTF-8

# verdict NAME TEXT: ok if there is nothing to say
verdict() {
    if [ -z "$2" ]; then
        echo "ok $1"
    else
        echo "not ok $1"
        printf '%s\n' "$2" | head -n 40
    fi
}

said=$(packaging/man.sh "$tmp/man" "$build/amx" 1.2.3 2>&1) || said+=" failed"
verdict "pages are made" "$said"
cd "$tmp/man" || exit 1

# text PAGE...: without the backspaces that make it bold
text() {
    mandoc -T ascii -O width=1000 "$@" | sed 's/.\x08//g'
}
# page FILE: the page it is or leads to
page() {
    local to
    to=$(sed -n '1s/^\.so //p' "$1")
    echo "${to:-$1}"
}

exported=$(nm -D --defined-only "$build/libamx.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }')
missing=
for name in $exported; do
    if ! [ -s "man3/$name.3" ]; then
        missing+="$name has no page"$'\n'
    elif ! [ -s "$(page "man3/$name.3")" ]; then
        missing+="the page of $name leads nowhere"$'\n'
    else
        text=$(text "$(page "man3/$name.3")")
        sed -n '/^NAME/,/^SYNOPSIS/p' <<<"$text" | grep -qw "$name" || missing+="$name is not in NAME of its page"$'\n'
        sed -n '/^SYNOPSIS/,/^DESCRIPTION/p' <<<"$text" | grep -q "\b$name(" ||
            missing+="$name is not in SYNOPSIS of its page"$'\n'
    fi
done
verdict "every exported function has a page" "$missing$([ "$(wc -w <<<"$exported")" -gt 50 ] || echo "few exports")"

missing=
for verb in $("$build/amx" help | awk '/^  [a-z]/ && $1 != "help" { print $1 }'); do
    text=$(text "man1/amx-$verb.1")
    grep -q "amx-$verb(1)" <<<"$(text man1/amx.1)" || missing+="amx(1) does not name $verb"$'\n'
    for option in $("$build/amx" help "$verb" | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do
        grep -qE "^ +(-[a-z], )?$option\b" <<<"$text" || missing+="amx-$verb(1) does not tell $option"$'\n'
    done
done
verdict "every verb has a page with all its options" "$missing"

# Words of the headers' comments are in the pages: none got lost on the way.
cd - >/dev/null || exit 1
words() {
    tr A-Z a-z | grep -oE '[a-z_]{4,}' | grep -v '^included$' | sort -u
}
text $(grep -L '^\.so' "$tmp"/man/man[37]/*) | words >"$tmp/in-pages"
lost=$(awk 'FNR == 1 { next } /^\/\*/ { on = 1 } on { print } /\*\/$/ { on = 0 }' include/*.h |
    grep -vE '^/\* (---|clang-format)' | words | comm -23 - "$tmp/in-pages")
verdict "nothing of the headers' comments is lost" "$lost"
text "$tmp"/man/man1/* | words >"$tmp/in-pages"
lost=$({
    "$build/amx" help
    for verb in $("$build/amx" help | awk '/^  [a-z]/ && $1 != "help" { print $1 }'); do "$build/amx" help "$verb"; done
} | sed 's/^usage: //; s/^Exit: //' | words | comm -23 - "$tmp/in-pages")
verdict "nothing of the tool's help is lost" "$lost"

cd "$tmp/man" || exit 1
pages=$(grep -L '^\.so' man*/*)
verdict "mandoc -T lint" "$(mandoc -T lint $pages 2>&1)"
verdict "groff -ww" "$(for p in $pages; do groff -man -ww -z -Tutf8 "$p" 2>&1; done)"
verdict "the version" "$(grep -L '"amx 1\.2\.3"' $pages)"

# `man NAME` finds them by the name of a function.
verdict "man amx_alloc" "$(MANPATH=$PWD man -P cat 3 amx_alloc 2>&1 | grep -q 'Allocates n bytes' || echo "not found")"
