#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where amx has to live: a small tmpfs as in containers, other users and groups, few descriptors, little address space, a
# memory group, a clock of its own, a debugger at a peer (for AMX_TEST_SECONDS). Root and namespaces are needed; without
# them it is skipped.
[ "${1:-}" = inside ] || {
    [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null || exit 77
    exec unshare -m "$0" inside
}
. "$(dirname "$0")/kit.bash"

group=
was=$(cat /proc/sys/fs/protected_regular)
restore() {
    [ "$(cat /proc/sys/fs/protected_regular)" = "$was" ] || echo "$was" >/proc/sys/fs/protected_regular
    kill -KILL "${wards[@]}" 2>/dev/null
    [ -z "$group" ] || rmdir "$group"
    umount -l "$AMX_DIR"
    finish
}
trap restore EXIT
export AMX_DIR=/mnt # in a name space of our own; the runner's directories are closed to other users
mount -t tmpfs -o size=64m,mode=1777 tmpfs "$AMX_DIR" || exit 77
for i in $(seq 500); do echo "line $i with words like w$i x$((i * 7919 % 10007))"; done >"$T/text"
here() { find "$AMX_DIR" -mindepth 1 | wc -l; }

# --- a file system of 64 MiB ---
expect "more than the file system has" 6 "$AMX" create big --size 80M
says "and what to do" 'free|--size' "$T/err"
[ "$(here)" = 0 ]
verdict "nothing of it is left" $?
expect "most of it" 0 "$AMX" create most --size 60M
expect "and more than is left" 6 "$AMX" create more --size 10M
[ "$(here)" = 1 ]
verdict "nothing of that is left" $?
expect "what is there is whole" 0 "$AMX" check most
expect "rm" 0 "$AMX" rm most
dd if=/dev/zero of="$AMX_DIR/other" bs=1M count=58 status=none
expect "a demo in the last 6 MiB" 0 "$AMX" demo --size 4M "$T/text"
dd if=/dev/zero of="$AMX_DIR/rest" bs=64K status=none 2>/dev/null
expect "a full one" 6 "$AMX" create small --size 64K
rm "$AMX_DIR/other" "$AMX_DIR/rest"

# --- other users ---
as() { setpriv --reuid=65534 --regid="$1" --clear-groups "${@:2}"; }
echo 2 2>/dev/null >/proc/sys/fs/protected_regular
expect "mine alone" 0 "$AMX" create mine --size 1M
expect "another user may not look" 5 as 65534 "$AMX" stat mine
expect "nor remove it" 5 as 65534 "$AMX" rm mine
expect "a group's" 0 "$AMX" create ours --size 1M --group 12345
expect "who is in the group looks" 0 as 12345 "$AMX" stat ours
expect "and writes, in a sticky directory too" 0 as 12345 "$AMX" recover ours
expect "who is not may not" 5 as 65534 "$AMX" stat ours
expect "for reading" 0 "$AMX" create seen --size 1M --group 12345 --mode 640
expect "a reader looks" 0 as 12345 "$AMX" blocks seen
expect "and draws" 0 as 12345 "$AMX" map seen
expect "but does not write" 5 as 12345 "$AMX" recover seen
says "and is told why" 'permission|denied|access' "$T/err"
for s in mine ours seen; do "$AMX" rm $s; done

# --- limits ---
few() { (ulimit -n 5 && "$@"); }
few "$AMX" demo "$T/text" >"$T/out" 2>"$T/err"
rc=$?
[ $rc -gt 0 ] && [ $rc -lt 126 ] && grep -qi 'open files' "$T/err"
verdict "too few descriptors are an answer" $? "exit $rc" "$(cat "$T/err")"
[ "$(here)" = 0 ]
verdict "and leave nothing" $? "$(ls "$AMX_DIR")"
expect "a segment" 0 "$AMX" create wide --size 48M
narrow() { (ulimit -v 40000 && "$@"); }
if narrow "$AMX" --version >/dev/null 2>&1; then # a sanitizer needs more for itself
    expect "too little address space is an answer" 1 narrow "$AMX" stat wide
    says "and says so" 'memory' "$T/err"
fi
expect "rm" 0 "$AMX" rm wide

# --- a memory group of 32 MiB ---
# The pages of a segment are its creator's: he needs them, nobody else. The kernel kills who wants more than there is.
v1=/sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
v2=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
for at in "$v1/memory.limit_in_bytes" "$v2/memory.max"; do
    { [ -e "${at%/*}/memory.stat" ] && mkdir "${at%/*}/amx-test.$$"; } 2>/dev/null || continue
    group=${at%/*}/amx-test.$$
    echo 0 2>/dev/null >"$group/memory.swap.max" # or it would swap
    echo 32M 2>/dev/null >"$group/${at##*/}" && break
    rmdir "$group"
    group=
done
within() { # COMMAND...
    bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
}
if [ -n "$group" ] && within true 2>/dev/null; then
    expect "who makes more than his group may have is killed" 137 within "$AMX" create much --size 48M
    [ "$(here)" = 0 ]
    verdict "and leaves nothing" $? "$(ls "$AMX_DIR")"
    expect "another makes it" 0 "$AMX" create much --size 48M
    expect "in the small group all of it is looked at" 0 within "$AMX" check much
    expect "and written" 0 within "$AMX" pool create much 64K:600
    expect "and it is whole" 0 "$AMX" check much
    expect "rm" 0 "$AMX" rm much
else
    echo "ok a memory group # skip: no cgroup whose memory can be limited here"
fi

# --- a clock of its own, a full file system, and a debugger ---
start_demo --size 4M "$T/text"
mapfile -t all < <(pids)
wards+=("${all[@]}")
dd if=/dev/zero of="$AMX_DIR/rest" bs=64K status=none 2>/dev/null # until nothing is left
if unshare -T --monotonic 500000 --boottime 500000 true 2>/dev/null; then
    expect "ps by another clock" 0 unshare -T --monotonic 500000 --boottime 500000 "$AMX" ps "$live" --json
    json "they live by any clock" '(.processes | length) == 6 and all(.processes[]; .state != "dead")'
    unshare -T --monotonic 500000 --boottime 500000 "$AMX" recover "$live" >"$T/out" 2>"$T/err"
    says "recover by another clock finds nobody dead" '^recovered 0 blocks'
fi
victim=$(pids 'demo counter' | head -n 1)
cat >"$T/meanwhile" <<EOF
taken() { '$AMX' stat '$live' --by peer --json | jq '[.groups[].taken_bytes] | add'; }
sleep ${AMX_TEST_SECONDS:-0}
'$AMX' ps '$live' --json >'$T/ps.json'
'$AMX' recover '$live' >'$T/recover.out' 2>&1
'$AMX' check '$live' --json >'$T/check.json'
before=\$(taken) until=\$((\$(date +%s) + 20))
while [ "\$(taken)" -le "\$before" ]; do [ \$(date +%s) -lt \$until ] || exit; done
echo on >'$T/went'
EOF
gdb -q -batch -p "$victim" -ex "shell sh '$T/meanwhile'" -ex detach >"$T/out" 2>&1
json "who is debugged is alive" "any(.processes[]; .pid == $victim and .state != \"dead\")" "$T/ps.json"
says "and is not recovered" '^recovered 0 blocks' "$T/recover.out"
json "and the segment is whole" '.corrupt == 0' "$T/check.json"
says "and the others go on, in a full file system too" '^on$' "$T/went"
kill -TERM "$demo"
wait "$demo"
says "the demo ends as it was told" 'interrupted by signal 15' "$T/demo.out"
exit $failed
