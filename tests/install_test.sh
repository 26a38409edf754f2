#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into an empty tree, as a packager does, and uses the library from there: C and C++, shared and static, by
# pkg-config and by CMake. install_test.sh TREE: the same with what others have installed in TREE, below /usr.
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/try.bash
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
libdir=/usr/lib/x86_64-linux-gnu
to=${1:-$root/to}
lib=$to$libdir

[ $# != 0 ] ||
    try "make install" make --no-print-directory install BUILD="${BUILD:-build}" DESTDIR="$to" PREFIX=/usr LIBDIR=$libdir
try "the tool runs" "$to/usr/bin/amx" help

# The same text is C and C++, and all headers are in it; each header must also stand alone.
cat >"$root/use.c" <<'C'
#include <amx.h>
#include <amx_raw.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    struct point {
        double x, y;
    } *p;
    struct amx_options o = AMX_OPTIONS_INIT;
    struct amx_check_result r;
    amx_t *h;
    amx_ref ref;
    int rc;
    memset(&r, 0, sizeof r);
    r.struct_size = sizeof r;
    o.size = 1 << 20;
    if ((rc = amx_create_memfd("install", &o, &h)) || (rc = AMX_NEW(h, struct point, &ref)) ||
        (rc = AMX_READ_MUT(h, ref, struct point, &p))) {
        puts(amx_strerror(rc));
        return 1;
    }
    p->x = 1;
    if ((rc = amx_free(h, ref)) || (rc = amx_check(h, NULL, NULL, &r)) || (rc = amx_close(h))) {
        puts(amx_strerror(rc));
        return 1;
    }
    return amx_version() != AMX_VERSION;
}
C
cp "$root/use.c" "$root/use.cc"

export PKG_CONFIG_SYSROOT_DIR=$to PKG_CONFIG_LIBDIR=$lib/pkgconfig
warn='-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'
use() { # COMPILER STANDARD FILE static|shared
    local flags
    if [ "$4" = static ]; then
        flags="-static $(pkg-config --static --cflags --libs amx)" || return
    else
        flags=$(pkg-config --cflags --libs amx) || return
    fi
    $1 -std=$2 $warn "$root/$3" -o "$root/use" $flags || return
    [ "$4" = static ] || readelf -d "$root/use" | grep -q 'NEEDED.*\[libamx\.so\.1\]' || return
    LD_LIBRARY_PATH=$([ "$4" = static ] || echo "$lib") "$root/use"
}
for how in shared static; do
    try "C by pkg-config, $how" use gcc c11 use.c $how
    try "C++11 by pkg-config, $how" use g++ c++11 use.cc $how
    try "C++20 by pkg-config, $how" use g++ c++20 use.cc $how
done
alone() {
    for h in include/*.h; do
        gcc -std=c11 $warn -fsyntax-only -x c "$to/usr/include/${h##*/}" || return
        g++ -std=c++11 $warn -fsyntax-only -x c++ "$to/usr/include/${h##*/}" || return
    done
}
try "each header stands alone" alone

mkdir "$root/cmake"
cat >"$root/cmake/CMakeLists.txt" <<'C'
cmake_minimum_required(VERSION 3.13)
project(use C CXX)
find_package(amx 0.1 REQUIRED)
foreach(target shared static)
  foreach(language c cc)
    add_executable(${language}_${target} ../use.${language})
  endforeach()
endforeach()
target_link_libraries(c_shared PRIVATE amx::amx)
target_link_libraries(cc_shared PRIVATE amx::amx)
target_link_libraries(c_static PRIVATE amx::static)
target_link_libraries(cc_static PRIVATE amx::static)
C
by_cmake() {
    cmake -S "$root/cmake" -B "$root/cmake/build" -DCMAKE_PREFIX_PATH="$to/usr" \
        -DCMAKE_LIBRARY_ARCHITECTURE=x86_64-linux-gnu && cmake --build "$root/cmake/build" || return
    for program in c_shared cc_shared c_static cc_static; do
        "$root/cmake/build/$program" || return
    done
    ldd "$root/cmake/build/c_shared" | grep -q libamx && ! ldd "$root/cmake/build/c_static" | grep -q libamx
}
try "C and C++ by CMake" by_cmake

# What does not get linked: pages, completion, the gdb script, each where its reader looks.
companions() {
    local share=$to/usr/share
    MANPATH=$share/man man -P cat 3 amx_alloc | grep -q 'Allocates n bytes' &&
        cmp "$share/bash-completion/completions/amx" packaging/completion/amx.bash &&
        cmp "$share"/zsh/*/_amx packaging/completion/_amx &&
        cmp "$share/amx/amx-gdb.py" tools/gdb/amx-gdb.py && ls "$share"/man/man1/amx.1* "$share"/man/man7/amx.7*
}
try "pages, completion, gdb script" companions
[ $# = 0 ] || exit 0

refuses() { # VERSION
    sed -i "s/find_package(amx [0-9.]*/find_package(amx $1/" "$root/cmake/CMakeLists.txt"
    ! cmake -S "$root/cmake" -B "$root/cmake/$1" -DCMAKE_PREFIX_PATH="$to/usr" \
        -DCMAKE_LIBRARY_ARCHITECTURE=x86_64-linux-gnu 2>"$root/err" || return
    cat "$root/err"
    grep -q "amxConfig.cmake, version: 0.1" "$root/err"
}
# Before 1.0 a minor version may break its users.
for version in 0.0 0.2 1.0; do
    try "CMake refuses version $version" refuses $version
done

# Takes away what was installed, and nothing that was there.
uninstalls() {
    touch "$lib/libother.so" "$to/usr/share/man/man3/other.3"
    make --no-print-directory uninstall BUILD="${BUILD:-build}" DESTDIR="$to" PREFIX=/usr LIBDIR=$libdir || return
    (cd "$to" && find . ! -type d && find . -name amx) >"$root/left"
    cat "$root/left"
    [ "$(sort "$root/left" | xargs)" = ".$libdir/libother.so ./usr/share/man/man3/other.3" ]
}
try "make uninstall" uninstalls
