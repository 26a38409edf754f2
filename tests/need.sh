#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sees to it that everything is there that `make test` uses: root gets what is missing from apt, others are told.
set -u
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

missing=()
# need PACKAGE COMMAND...: the package is missing if the command fails
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
links() { # COMPILER FLAG...
    echo 'int main(void) { return 0; }' | "$1" -x c - -o "$tmp/a.out" "${@:2}"
}
has_cmocka() {
    printf '#include <%s.h>\n' setjmp stdarg stddef stdint cmocka >"$tmp/cmocka.c"
    echo 'int main(void) { return 0; }' >>"$tmp/cmocka.c"
    gcc "$tmp/cmocka.c" -o "$tmp/a.out" -lcmocka
}
look() {
    missing=()
    need gcc command -v gcc
    need libc6-dev links gcc
    need libcmocka-dev has_cmocka
    need g++ command -v g++
    need clang command -v clang
    need libclang-rt-dev links clang -fsanitize=address,undefined
    need clang-format command -v clang-format
    need cmake command -v cmake
    need pkg-config command -v pkg-config
    need jq command -v jq
    need binutils command -v objdump
    need patch command -v patch
    need util-linux command -v setpriv
    need systemtap-sdt-dev test -e /usr/include/*/sys/sdt.h -o -e /usr/include/sys/sdt.h
    need valgrind test -e /usr/include/valgrind/memcheck.h
    need gdb command -v gdb
    need zsh command -v zsh
    need mandoc command -v mandoc
    need groff-base command -v groff
    need man-db command -v man
    need gcc-aarch64-linux-gnu command -v aarch64-linux-gnu-gcc
    need libc6-dev-arm64-cross links aarch64-linux-gnu-gcc
    need qemu-user command -v qemu-aarch64
    if command -v dpkg >/dev/null; then # elsewhere there is no package to be made
        need build-essential dpkg -s build-essential
        need debhelper command -v dh
        need lintian command -v lintian
    fi
}

look
[ ${#missing[@]} != 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "make test needs packages that are not installed. Install them and try again:" >&2
    echo "    sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 2
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$tmp/log" 2>&1; then
    tail -n 20 "$tmp/log" >&2
    echo "apt-get could not install: ${missing[*]}" >&2
    exit 2
fi
look
if [ ${#missing[@]} != 0 ]; then
    echo "still missing after apt-get: ${missing[*]}" >&2
    exit 2
fi
