#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every C file is as clang-format leaves it, and says its licence in its first line.
set -u
cd "$(dirname "$0")/.." || exit 1

if make -s --no-print-directory format-check; then
    echo "ok format"
else
    echo "not ok format: run make format"
fi

bare=$(find include src tools tests bench examples packaging Makefile .ci cmake -type f \( -name '*.[ch]' -o -name '*.cc' -o -name '*.sh' \
    -o -name '*.py' -o -name '*.awk' -o -name '*.mk' -o -name '*.bash' \
    -o -name Makefile -o -name run -o -name '*.cmake*' \) -exec awk 'FNR == 1 { first = $0 }
    FNR == 2 && (first $0) !~ /SPDX-License-Identifier: Apache-2\.0/ { print FILENAME }' {} +)
if [ -z "$bare" ]; then
    echo "ok licence"
else
    echo "not ok licence: no SPDX line in" $bare
fi
