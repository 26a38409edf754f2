#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sites.sh PROGRAM: the instructions of PROGRAM that store to shared memory, one a line: address, function, source line.
# The compiler's own record says which instructions came from a store or exchange of src/atomic.h.
set -euo pipefail
export LC_ALL=C
objdump -d -l --inlines --no-show-raw-insn "$1" | awk '
    /^[0-9a-f]+ <.*>:$/ { fn = $2; sub(/^</, "", fn); sub(/>:$/, "", fn); inner = fn; next }
    /^[A-Za-z_][A-Za-z_0-9.]*\(\):$/ { inner = $0; sub(/\(\):$/, "", inner); where = ""; next }
    /^inlined by / { if (where == "" && $3 !~ /atomic\.h/) { where = $3; sub(/.*\//, "", where) } next }
    /^\// { where = ""; next }
    /^ +[0-9a-f]+:\t/ {
        if (inner !~ /^amxi_(st|cas|add|sub|or|and)(8|32|64)_/) next
        n = split($0, col, "\t"); text = col[2]
        if (inner ~ /^amxi_cas/ ? text !~ /cmpxchg/ : inner ~ /^amxi_st/ ? text !~ /^(mov|xchg)/ : text !~ /^lock|xadd|xchg/) next
        sub(/ *#.*/, "", text); sub(/ *<.*>$/, "", text)
        if (text !~ /\([^()]*\)$/) next   # the last operand is the destination: memory
        if (text ~ /\(%r[sb]p\)$/ || text ~ /^(push|pop|ret)/) next
        a = col[1]; gsub(/[ :]/, "", a)
        print a, fn, inner, where }'
