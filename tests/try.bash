# SPDX-License-Identifier: Apache-2.0
# Sourced by scripts that are rows of commands: each is a test.

# try NAME COMMAND...: "ok NAME", or "not ok NAME" and what the command said
try() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then
        echo "ok $name"
    else
        printf 'not ok %s\n%s\n' "$name" "$out"
        return 1
    fi
}
