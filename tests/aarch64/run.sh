#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD: the tests in BUILD/aarch64-linux-gnu-gcc. Left out, besides what says itself that it is skipped: what needs
# `amx demo` (demo, live, environment, map, bench), for its processes start themselves, which qemu-user leaves to the
# machine; the sanitizers; torture, whose tracer is written for x86-64; hook and sched, which weigh stores one by one,
# whatever instructions make them.
set -u
cd "$(dirname "$0")/../.." || exit 1
AMX_TEST_RUNNER=$(command -v qemu-aarch64) || exit 1
export AMX_TEST_RUNNER QEMU_LD_PREFIX=/usr/aarch64-linux-gnu AMX_TEST_TIMEOUT=300
built=$1/aarch64-linux-gnu-gcc
exec tests/run.sh BUILD="$1" AMX_TEST_SCALE=10 AMX_AARCH64="$built/amx" AMX=tests/aarch64/amx \
    QEMU_CPU=max "$built"/tests/{unit,process,stress} tests/tool/{exit,pool}_test.sh tests/aarch64/short.sh \
    QEMU_CPU=cortex-a53 "$built"/tests/{unit,process,stress}
