#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# cmocka.sh DIR: puts the library of Debian's cmocka for AArch64 there. apt is asked with lists of its own, so that this
# machine's know of no other architecture.
set -eu
dir=$1
[ ! -e "$dir/libcmocka.so" ] || exit 0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial" "$dir"
chmod 755 "$tmp"
cat >"$tmp/conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "";
Dir::State::Lists "$tmp/lists";
Dir::Cache "$tmp/cache";
EOF
export APT_CONFIG="$tmp/conf"
cd "$tmp"
{ apt-get -q update && apt-get -q download libcmocka0:arm64 && dpkg -x libcmocka0_*_arm64.deb root; } >log 2>&1 || {
    tail -n 20 log >&2
    echo "could not get libcmocka0:arm64" >&2
    exit 2
}
cp -d root/usr/lib/aarch64-linux-gnu/libcmocka.so.0* "$dir"
ln -s libcmocka.so.0 "$dir/libcmocka.so"
