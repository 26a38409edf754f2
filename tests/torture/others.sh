#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# others.sh [DIR]: the kill sweep on other allocators. DIR: where they are built (BUILD/tests/torture).
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=${1:-${BUILD:-build}/tests/torture}
out=$("$dir/sweep" "$dir/slots" 60)
rc=$?
echo "$out" | sed 's/^sweep/# slots: sweep/'
[ $rc = 0 ] && echo "ok slots with owners are sound" || echo "not ok slots with owners are sound"
out=$("$dir/sweep" "$dir/slots_list" 60)
rc=$?
echo "$out" | sed 's/^sweep/# slots in a list: sweep/'
[ $rc = 1 ] && [[ $out =~ failures=[1-9] ]] && echo "ok the loss in a list of slots is found" || echo "not ok the loss in a list of slots is found"
