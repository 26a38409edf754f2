#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A program with a static message store is linked without the C library and without a system (tests/bare/bare.c), and runs.
set -u
cd "$(dirname "$0")/../.." || exit 1
case $(uname -m) in
x86_64 | aarch64) ;;
*) exit 77 ;;
esac
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cc=${CC:-cc}
# The layers that a store in plain memory needs. What they refer to for segments is in functions that the linker leaves out.
rooms='store guard message admission store_look pool slot pool_look word handle object'
flags='-std=c11 -O2 -ffreestanding -fno-pie -fno-stack-protector -ffunction-sections -fdata-sections -D_GNU_SOURCE -Iinclude -Isrc'
# A loop that copies is not to become a call of memcpy, in memcpy.
case $("$cc" --version) in *clang*) flags+=' -fno-builtin' ;; *) flags+=' -fno-tree-loop-distribute-patterns' ;; esac

fail() {
    echo "not ok $1"
    cat "$tmp/log"
    exit 1
}
objects=()
for file in tests/bare/bare.c $(printf 'src/%s.c ' $rooms); do
    object=$tmp/$(basename "$file" .c).o
    # shellcheck disable=SC2086
    "$cc" $flags -c "$file" -o "$object" 2>"$tmp/log" || fail "compiles $file"
    objects+=("$object")
done
"$cc" -nostdlib -static -Wl,--gc-sections -o "$tmp/bare" "${objects[@]}" -lgcc 2>"$tmp/log" || fail "links"
echo "ok a static store links without a C library and without a system"
"$tmp/bare"
rc=$?
[ $rc = 0 ] || fail "runs: step $rc"
echo "ok and runs"
nm "$tmp/bare" | grep -E ' (malloc|calloc|aligned_alloc|free|mmap|amx_alloc|amx_recover)$' >"$tmp/log" && fail "nothing in it allocates"
echo "ok nothing in it allocates"
echo "# $(size "$tmp/bare" | awk 'NR == 2 { print $1 }') bytes of code"
