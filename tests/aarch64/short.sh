#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Library and tool built for AArch64, run by qemu-user: every verb but demo, the storm, racing frees. BUILD: where it is
# built.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$(realpath -m "${BUILD:-build}") cc=aarch64-linux-gnu-gcc
AMX_TEST_RUNNER=$(command -v qemu-aarch64) || exit 1
export AMX_TEST_RUNNER QEMU_LD_PREFIX=/usr/aarch64-linux-gnu AMX_AARCH64=$build/$cc/amx AMX=tests/aarch64/amx
make --no-print-directory BUILD="$build" CC=$cc SAN= HOOK= lib tool >/dev/null || exit 1
file=$(od -An -tu2 -j18 -N2 "$AMX_AARCH64")
[ "$((file))" = 183 ] && echo "ok it is a program for AArch64" || echo "not ok it is a program for AArch64: $file"
tests/tool/verbs_test.sh
CC=$cc PAIRS=20000 tests/storm/short.sh
