#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Damage while others work, for some seconds. BUILD: where it is built.
set -u
cd "$(dirname "$0")/../.." || exit 1
hostile=${BUILD:-build}/gcc-asan/tests/storm/hostile
make --no-print-directory BUILD="${BUILD:-build}" CC=gcc SAN=address HOOK= "$hostile" >/dev/null || exit 1
out=$("$hostile" 6 2>&1)
line=${out##*$'\n'}
pattern='damages=[1-9][0-9]* operations=[1-9][0-9]* errors=[1-9].* crashes=0 hangs=0 wrong=0$'
if [[ $line =~ $pattern ]]; then
    printf '# %s\nok damage while others work\n' "$line"
else
    printf '%s\nnot ok damage while others work\n' "$out"
fi
