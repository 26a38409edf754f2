#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Debian packages: they are built, lintian has nothing to say, and what is in them works: C and C++ by pkg-config
# and by CMake, shared and static, the tool, the pages, an example.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/try.bash
if ! command -v dpkg-buildpackage >/dev/null; then
    echo "ok packages # skip: this is not Debian"
    exit 0
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

export DEB_BUILD_OPTIONS=noautodbgsym
try "make deb" make --no-print-directory deb BUILD="$tmp" CC=cc SAN= HOOK= || exit 1
cd "$tmp/deb" || exit 1
try "three packages" test "$(echo *.deb | sed 's/_[^ ]*//g')" = "amx-tools libamx-dev libamx1"
lintian --allow-root --profile debian --fail-on error,warning ./*.changes >"$tmp/lintian" 2>&1 &
lintian=$!

for deb in *.deb; do
    dpkg-deb -x "$deb" "$tmp/to" || exit 1
done
depends() { # PACKAGE PATTERN
    dpkg-deb -f "$1"_*.deb Depends | tee /dev/stderr | grep -qE "$2"
}
try "libamx-dev goes with its libamx1" depends libamx-dev '^libamx1 \(= [0-9.]+\)'
try "libamx1 says which libc it needs" depends libamx1 '^libc6 \(>= '
symbols() {
    dpkg-deb -I libamx1_*.deb symbols | tee "$tmp/symbols"
    grep -qx 'libamx.so.1 libamx1 #MINVER#' "$tmp/symbols" && grep -q '^ amx_alloc@AMX_0.1 0.1$' "$tmp/symbols"
}
try "libamx1 has symbols" symbols

cd - >/dev/null || exit 1
tests/install_test.sh "$tmp/to"
example() {
    local lib=$tmp/to/usr/lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH)
    export PKG_CONFIG_SYSROOT_DIR=$tmp/to PKG_CONFIG_LIBDIR=$lib/pkgconfig AMX_DIR=$tmp
    cc "$tmp/to/usr/share/doc/libamx-dev/examples/states.c" -o "$tmp/states" $(pkg-config --cflags --libs amx) &&
        LD_LIBRARY_PATH=$lib "$tmp/states"
}
try "an example" example
wait $lintian
try "lintian" test $? = 0 -a ! -s "$tmp/lintian" || cat "$tmp/lintian"
