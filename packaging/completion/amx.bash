# SPDX-License-Identifier: Apache-2.0
# Completion of amx for bash: verbs and options from `amx help`, names of segments from `amx ls`, so that it knows what
# the installed tool knows.

# What --dir of the command is. bash splits words at =.
_amx_dir()
{
    local i
    for ((i = 2; i < COMP_CWORD - 1; i++)); do
        case ${COMP_WORDS[i]} in
        -d | --dir)
            [[ ${COMP_WORDS[i + 1]} != = ]] || ((i++))
            echo "${COMP_WORDS[i + 1]}"
            ;;
        esac
    done
}

# Adds those of the WORDS that begin as the word under the cursor does; or what compgen OPTION finds.
_amx_add()
{
    local found
    mapfile -t found < <(compgen "$@" -- "$cur")
    COMPREPLY+=("${found[@]}")
}

_amx()
{
    local amx=$1 cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}
    local help usage dir value=
    COMPREPLY=()
    if ((COMP_CWORD == 1)) || { ((COMP_CWORD == 2)) && [[ $verb == help ]]; }; then
        _amx_add -W "$("$amx" help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')"
        return
    fi
    help=$("$amx" help "$verb" 2>/dev/null) || return
    usage=${help%%$'\n'*}
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    # What the word before wants, if it is an option that wants something: DIR, FILE, GROUP, N, ...
    if [[ $prev == -* ]]; then
        value=$(sed -n "s/^ *\(-[a-z], \)\?$prev\(, --[a-z-]*\)\? \([A-Z]\+\) .*/\3/p" <<<"$help")
    fi
    if [[ $value == DIR ]]; then
        compopt -o filenames 2>/dev/null
        _amx_add -d
    elif [[ $value == FILE ]]; then
        compopt -o filenames 2>/dev/null
        _amx_add -f
    elif [[ $value == GROUP ]]; then
        _amx_add -g
    elif [[ -n $value ]]; then
        return
    elif [[ $cur == -* ]]; then
        _amx_add -W "$(sed -n 's/^ *\(-[a-z], \)\?\(--[a-z-]*\).*/\2/p' <<<"$help")"
    else
        # A segment by its name, but for `create`, whose is a new one; or a file.
        if [[ $usage == *NAME* && $cur != */* && $verb != create ]]; then
            dir=$(_amx_dir)
            _amx_add -W "$("$amx" ls --no-headings ${dir:+--dir "$dir"} 2>/dev/null | sed 's/ .*//')"
        fi
        if [[ $usage == *FILE* || ($usage == *NAME* && $cur == */*) ]]; then
            compopt -o filenames 2>/dev/null
            _amx_add -f
        fi
    fi
}

complete -F _amx amx
