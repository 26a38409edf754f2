#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `make bench` compares with and counts by: installs what is missing, or says what to install and exits 2.
set -u

missing=
want() { # package, then a command that succeeds if it is there
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

want g++ command -v g++
want valgrind command -v valgrind
want libmimalloc-dev test -e /usr/include/mimalloc.h
want libjemalloc-dev test -e /usr/include/jemalloc/jemalloc.h
want libgoogle-perftools-dev test -e /usr/include/gperftools/tcmalloc.h
want libboost-dev test -e /usr/include/boost/interprocess/managed_shared_memory.hpp

[ -z "$missing" ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "make bench needs:$missing" >&2
    echo "as root: apt-get install$missing" >&2
    exit 2
fi
echo "installing:$missing"
# A second try after an update: a fresh machine has no package lists yet.
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 ||
    { apt-get update -q >/dev/null &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null; } ||
    { echo "could not install:$missing" >&2; exit 2; }
