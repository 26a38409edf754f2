#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Completion in bash and in zsh, as the shells call it, against the tool in $BUILD: every verb, every option that
# `amx help VERB` names, the segments that there are.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$(realpath "${BUILD:-build}")
source=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export AMX_DIR=${AMX_DIR:-$tmp} PATH=$build:$PATH
mkdir "$tmp/other" "$tmp/empty"
amx create orders --size 64K >/dev/null && amx create offers --size 64K >/dev/null &&
    amx create elsewhere --size 64K --dir "$tmp/other" >/dev/null || exit 1
echo text >"$tmp/empty/file"
cd "$tmp/empty" || exit 1

verbs() { # PREFIX: what `amx help` names
    amx help | awk -v p="$1" '/^  [a-z]/ && index($1, p) == 1 { print $1 }' | sort | xargs
}
options() { # VERB PREFIX
    amx help "$1" | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+' | grep "^$2" | sort | xargs
}
. "$source/packaging/completion/amx.bash"

# by_bash WORD...: what the last WORD can become, sorted, on one line
by_bash() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    "$(complete -p amx | sed 's/.*-F \([^ ]*\).*/\1/')" amx "${@:$#}" "${COMP_WORDS[COMP_CWORD - 1]}"
    printf '%s\n' "${COMPREPLY[@]}" | sort | xargs
}

# The same by zsh, which completes only at a terminal: types the words and TAB, and looks at what is offered. Each is
# told to a file of its own by a compadd that also does what it always does. Keys go in once the line editor has the
# terminal (zle-line-init): before, the kernel edits the line, for which ^U takes away the TAB too.
cat >"$tmp/zsh" <<'Z'
zmodload zsh/zpty
zpty shell "cd $PWD; zsh -f -i"
zpty -w shell "PS1=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -d $2/dump; setopt no_list_beep"
zpty -w shell 'compadd() { local -a got; builtin compadd -O got "$@"; (($#got)) && print -l -- $got >>'$2'/offered; builtin compadd "$@" }'
zpty -w shell "zstyle ':completion:*' list-grouped false"
zpty -w shell 'zle-line-init() print ready-$((1 + 1)); zle -N zle-line-init'
zpty -r shell out '*ready-2*'
zpty -n -w shell "${*[3,-1]}"$'\t'
zpty -n -w shell $'\C-u\n'
zpty -w shell 'print done-$((1 + 1))'
zpty -r shell out '*done-2*'
Z
by_zsh() {
    rm -f "$tmp/offered"
    timeout 20 zsh -f "$tmp/zsh" "$source/packaging/completion" "$tmp" "$@" >"$tmp/zsh.log" 2>&1
    [ ! -f "$tmp/offered" ] || sort -u "$tmp/offered" | xargs
}

if ! [[ "$(verbs r)" == *recover* && "$(options ls --)" == *--json* ]]; then
    echo "not ok what to expect: $(verbs r), $(options ls --)" # else nothing would be compared with nothing
fi

# expect SHELL WHAT WORD...: the completions are exactly WHAT, a sorted list
expect() {
    local shell=$1 what=$2 got
    shift 2
    got=$("by_$shell" "$@")
    if [ "$got" = "$what" ]; then
        echo "ok $shell: $*"
    else
        echo "not ok $shell: $*"
        printf 'expected: %s\n     got: %s\n' "$what" "$got"
    fi
}

for verb in $(verbs ''); do
    [ "$verb" = help ] || expect bash "$(options "$verb" --)" amx "$verb" --
done
expect bash "$(verbs '')" amx ''
expect bash "$(verbs r)" amx r
expect bash "$(verbs s)" amx help s
expect bash "offers orders" amx stat ''
expect bash "orders" amx stat --json or
expect bash "elsewhere" amx stat --dir "$tmp/other" ''
expect bash "elsewhere" amx stat --dir = "$tmp/other" ''
expect bash "$(options create --s)" amx create --s
expect bash "" amx create ''
expect bash "" amx create --size ''
expect bash "root" amx create --group roo
expect bash "$tmp/other" amx ls -d "$tmp/ot"
expect bash "$tmp/other" amx ls --dir = "$tmp/ot"
expect bash "$tmp/other/amx.elsewhere" amx stat "$tmp/other/"
expect bash "file offers orders" amx check ''
expect bash "file" amx map orders --output ''
expect bash "" amx nosuch ''

expect zsh "$(verbs '')" amx ''
expect zsh "offers orders" amx stat ''
expect zsh "elsewhere" amx stat --dir "$tmp/other" ''
expect zsh "$(options stat --)" amx stat --
expect zsh "" amx create ''
