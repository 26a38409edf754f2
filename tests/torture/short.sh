#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The kill campaign in a minute: some of the calls, some of the points. BUILD: where it is built.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
out=$(TORTURE_PARTS=32 TORTURE_PERMILLE=${TORTURE_PERMILLE:-15} TORTURE_KILLS=40 \
    tests/torture/run.sh "$build/gcc-hook/tests/torture" "$build/tests/torture")
rc=$?
echo "$out"
numbers=$(sed -n 's/^torture: //p' <<<"$out")
[ -z "$numbers" ] || echo "# $numbers"
if [ $rc = 0 ] && [[ $numbers =~ stops=[1-9] && $numbers =~ kills=[1-9] && $numbers =~ double=[1-9] ]]; then
    echo "ok the short kill campaign"
else
    echo "not ok the short kill campaign"
fi
