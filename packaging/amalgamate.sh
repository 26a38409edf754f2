#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# amalgamate.sh DIR: the library in two files, DIR/amx.h (all public headers) and DIR/amx.c (all of src/), for those
# who want to drop it into a tree of their own. `cc -std=c11 -c amx.c` needs no other flag.
set -eu
export LC_ALL=C
mkdir -p "$1"
out=$(realpath "$1")
cd "$(dirname "$0")/.."

# inline DIR FILE...: each file of DIR once, those that it includes in its place; other includes by "..." are dropped.
# Includes of the system stay if DIR is include. Those of src/ stand at the top of amx.c already, but for those that
# depend on something: what these declare is not ours to hide.
inline() {
    awk -v dir="$1" '
        function put(file,    line, name, depth) {
            if (seen[file]++)
                return
            depth = 0
            while ((getline line < file) > 0) {
                if (line ~ /^#if/ && line !~ /_H$/)
                    depth++
                if (line ~ /^#endif/)
                    depth--
                if (line ~ /^#include "/) {
                    split(line, name, "\"")
                    name[2] = dir "/" name[2]
                    if (name[2] ~ /\.h$/ && !(name[2] in seen) && (getline < name[2]) >= 0) {
                        close(name[2])
                        put(name[2])
                    }
                } else if (line ~ /^#include </ && dir == "src") {
                    if (depth > 0)
                        print "#pragma GCC visibility push(default)\n" line "\n#pragma GCC visibility pop"
                } else if (line !~ /SPDX-License/) {
                    print line
                }
            }
            close(file)
        }
        BEGIN { for (i = 2; i < ARGC; i++) put(ARGV[i]) }' "$@"
}

{
    echo "/* SPDX-License-Identifier: Apache-2.0 */"
    echo "/* Made by \`make amalgamation\`: all public headers of amx. Goes with amx.c. */"
    inline include include/amx.h include/*.h
} >"$out/amx.h"

# Names at file scope that several sources have: each of these gets its file's name while it is read.
clashes=$(awk '
    /^(static|struct|union|enum) / {
        line = $0
        sub(/[(=;{[].*/, "", line)
        sub(/ +$/, "", line)
        sub(/.*[ *]/, "", line)
        if (line != "" && !seen[FILENAME, line]++ && ++count[line] == 2)
            print line
    }' src/*.c)

{
    echo "/* SPDX-License-Identifier: Apache-2.0 */"
    echo "/* Made by \`make amalgamation\`: all of amx in one file. cc -std=c11 -c amx.c */"
    echo "#ifndef _GNU_SOURCE"
    echo "#define _GNU_SOURCE"
    echo "#endif"
    awk 'FNR == 1 { depth = 0 } /^#if/ && !/_H$/ { depth++ } /^#endif/ { depth-- } /^#include </ && depth < 1' \
        src/*.[ch] | sort -u
    echo '#include "amx.h"'
    # Whoever makes a shared library of it exports what amx.h declares, no more.
    echo "#pragma GCC visibility push(hidden)"
    inline src src/*.h
    for file in src/*.c; do
        base=${file#src/}
        base=${base%.c}
        echo "/* --- $file */"
        mine=$(for name in $clashes; do grep -qw "$name" "$file" && echo "$name"; done || true)
        for name in $mine; do echo "#define $name ${name}_in_$base"; done
        sed '/^#include "/d' "$file" >"$out/part"
        inline src "$out/part"
        for name in $mine $(sed -n 's/^#define \([A-Za-z_0-9]*\).*/\1/p' "$file" | sort -u); do echo "#undef $name"; done
    done
    echo "#pragma GCC visibility pop"
} >"$out/amx.c"
rm "$out/part"
