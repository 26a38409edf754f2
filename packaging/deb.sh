#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# deb.sh DIR VERSION: libamx1, libamx-dev and amx-tools, as packaging/debian describes them, in DIR.
set -eu
dir=$(realpath -m "$1") version=$2
cd "$(dirname "$0")/.."
told=$(sed -n '1s/.*(\(.*\)).*/\1/p' packaging/debian/changelog)
if [ "$told" != "$version" ]; then
    echo "packaging/debian/changelog is about $told, the headers are $version" >&2
    exit 1
fi
rm -rf "$dir"
mkdir -p "$dir/amx-$version"
cp -a Makefile LICENSE README.md amx.map amx.pc.in cmake docs examples include packaging src tools "$dir/amx-$version"
mv "$dir/amx-$version/packaging/debian" "$dir/amx-$version/debian"
cd "$dir/amx-$version"
# The build has no variables but its own.
if ! env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES -u BUILD -u CC -u SAN -u HOOK -u CFLAGS -u LDFLAGS \
    dpkg-buildpackage -b -us -uc >../log 2>&1; then
    tail -n 40 ../log >&2
    exit 1
fi
rm -rf "$PWD"
