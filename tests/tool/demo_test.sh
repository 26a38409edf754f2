#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo with all sorts of settings and inputs, against a count by sort and uniq, and with processes that die or stop.
. "$(dirname "$0")/kit.bash"

mkdir "$T/texts"
for i in $(seq 3000); do echo "Line $i: the quick brown fox's word w$i, the LAZY dog's x$((i * 7919 % 10007))"; done \
    >"$T/texts/a"
printf 'no line end' >"$T/texts/b"
printf 'umlauts: \303\204pfel \303\204PFEL, don'"'"'t' >"$T/texts/c"
: >"$T/texts/empty"

# runs NAME COMMAND...: the demo is to end well, in its last line too, and to leave nothing behind
runs() {
    local name=$1
    shift
    expect "$name" 0 "$@"
    tail -n 1 "$T/out" | grep -q clean
    verdict "$name: clean" $? "$(tail -n 3 "$T/out")"
    [ -z "$(ls "$AMX_DIR")" ]
    verdict "$name: nothing is left" $? "$(ls "$AMX_DIR")"
}

runs "a single file" "$AMX" demo --size 256K "$T/texts/a"
says "20 segments flow through" "^bytes +5,[0-9]{3},[0-9]{3} in "
says "it shows who maps where" '^counter 3 +0x[0-9a-f]+$'
says "where it was told to" '^reader +0x200000000000$'
[ "$(sed -n '/^PROCESS/,/^$/s/.*\(0x[0-9a-f]*\)$/\1/p' "$T/out" | sort -u | wc -l)" = 6 ]
verdict "at six addresses" $? "$(sed -n '/^PROCESS/,/^$/p' "$T/out")"
[ "$(grep -c '^  |.\{64\}|$' "$T/out")" = 4 ]
verdict "a picture of 4 x 64 cells" $? "$(grep '^  |' "$T/out")"
says "the picture has text in it" '^  \|.*█.*\|$'
says "progress, one line for each tenth" '^amx demo: 100 %' "$T/err"
[ "$(wc -l <"$T/err")" -le 10 ]
verdict "and no more on stderr" $? "$(cat "$T/err")"

# the top words against another count altogether
rounds=$(sed -n 's/.*read \([0-9]*\) times.*/\1/p' "$T/out")
top=$(tr 'A-Z' 'a-z' <"$T/texts/a" | tr -cs "a-z0-9'" '\n' | sort | uniq -c | sort -rn | awk 'NR == 1 { print $1, $2 }')
want="${top#* } $((${top% *} * rounds))"
got=$(sed -n 's/^top words *\([^ ]* [0-9,]*\), .*/\1/p' "$T/out" | tr -d ,)
[ "$got" = "$want" ]
verdict "the most frequent word" $? "$got instead of $want"

# one killed, one stopped
says "one is killed with work in hand" '^killed +counter [1-3] \(pid [0-9]+\) in the middle of its work, with [1-9][0-9]* texts? '
says "what it held is recovered" '^recovered +in [0-9]+ us: [0-9]+ blocks? \(.*\) freed, [1-9][0-9]* pieces? of work kept$'
says "and redone" '^redone +by the successor: [0-9]+ texts? \(.*\) counted again, [0-9]+ finished tables? delivered$'
says "one is stopped, the others go on" '^stopped +counter [1-3] \(pid [0-9]+\) for [0-9.]+ ms, in which the others counted [1-9]'
[ "$(awk '/^(killed|stopped) / { print $3 }' "$T/out" | sort -u | wc -l)" = 2 ]
verdict "another one" $? "$(grep -E '^(killed|stopped)' "$T/out")"
runs "--no-kill" "$AMX" demo --size 256K --no-kill "$T/texts/a"
! grep -Eq '^(killed|recovered|redone)' "$T/out" && grep -q '^stopped' "$T/out"
verdict "stops only" $? "$(cat "$T/out")"
runs "--no-stop" "$AMX" demo --size 256K --no-stop "$T/texts/a"
! grep -q '^stopped' "$T/out" && grep -q '^redone' "$T/out"
verdict "kills only" $? "$(cat "$T/out")"
runs "a single counter" "$AMX" demo --size 256K --workers 1 "$T/texts/a"
says "is killed" '^killed +counter 1 '
! grep -q '^stopped' "$T/out"
verdict "but not stopped: nobody would count" $? "$(cat "$T/out")"

LC_ALL=C runs "without block characters" "$AMX" demo --size 64K --times 2 "$T/texts/a"
! grep -q '[^ -~]' "$T/out"
verdict "ASCII only" $? "$(grep '[^ -~]' "$T/out")"
runs "the smallest segment" "$AMX" demo --size 64K "$T/texts"
runs "an odd size" "$AMX" demo --size 100001 --workers 1 "$T/texts"
runs "another odd size" "$AMX" demo --size 777777 --workers 2 --times 3 "$T/texts"
runs "many counters in little room" "$AMX" demo --size 64K --workers 32 --times 5 "$T/texts"
runs "many counters" "$AMX" demo --size 2M --workers 20 --times 5 "$T/texts"
runs "bytes that are no text" "$AMX" demo --size 256K --times 3 "$(realpath /bin/sh)"
runs "a file without a line end" "$AMX" demo --size 64K --times 1 "$T/texts/b"
runs "several files" "$AMX" demo --size 64K --times 2 "$T/texts/b" "$T/texts/c"
says "upper and lower case are one word, as far as ASCII goes" '^counts .* 6 distinct'
(
    cd "$T/texts" || exit 1
    mkdir -p build .git
    printf 'not to be read \0' >binary
    echo built >build/x
    echo history >.git/x
)
runs "the default: texts found here" env -C "$T/texts" "$AMX" demo --size 128K --times 2
says "neither binaries nor history nor what was built" \
    "^word count of $((3 + $(find /usr/share/common-licenses -type f -size +0 2>/dev/null | wc -l))) files"
printf 'a %s b' "$(head -c 40000 /dev/zero | tr '\0' x)" >"$T/long"
runs "a long word" "$AMX" demo --size 1M --times 2 "$T/long"
expect "a word that is too long" 1 "$AMX" demo --size 64K "$T/long"
says "says so" 'a word of more than' "$T/err"
! grep -q clean "$T/out"
verdict "and does not call it clean" $?
runs "--dir" env AMX_DIR=/nonexistent "$AMX" demo --size 64K --times 1 --dir "$AMX_DIR" "$T/texts"

# processes that die or stop
# without NAME: what the demo says when it has lost one
without() {
    wait "$demo"
    verdict "$1: the demo fails" $(($? != 1)) "$(cat "$T/demo.err")"
    tail -n 1 "$T/demo.out" | grep -q "^failed: $2" && ! grep -q clean "$T/demo.out"
    verdict "$1: says why" $? "$(tail -n 1 "$T/demo.out")"
    [ -z "$(ls "$AMX_DIR")" ]
    verdict "$1: nothing is left" $?
}
for victim in reader merger; do
    start_demo --size 1M --deadline 1 "$T/texts"
    kill -KILL "$(pids "demo $victim")"
    without "killed $victim" "$victim (pid [0-9]*) was killed by signal 9"
done
for victim in reader merger; do
    start_demo --size 1M --deadline 1 "$T/texts"
    kill -STOP "$(pids "demo $victim")"
    without "stopped $victim" "nothing moved for 1 s: .*$victim was stopped"
done

# counters killed from outside, again and again, wherever they are
storm() {
    "$AMX" demo --size "$1" --times "$2" "$T/texts" >"$T/demo.out" 2>"$T/demo.err" &
    demo=$!
    wards+=("$demo")
    killed=0
    while kill -0 "$demo" 2>/dev/null; do
        for live in "$AMX_DIR"/amx.*; do
            victim=$(pids "demo counter" 2>/dev/null | shuf -n 1)
            [ -n "$victim" ] && kill -KILL "$victim" 2>/dev/null && killed=$((killed + 1))
        done
    done
    wait "$demo"
    verdict "a storm of kills in $1: every word counted" $? "$(tail -n 3 "$T/demo.out" "$T/demo.err")"
    says "of $killed counters, each was replaced" '^replaced +[1-9][0-9]* more counters? that somebody else killed' "$T/demo.out"
}
storm 64K 60
storm 1M 20
start_demo --size 1M --deadline 1 "$T/texts"
kill -INT "$demo"
without "interrupted" "interrupted by signal 2"

# without its parent
start_demo --size 1M "$T/texts"
mapfile -t workers < <(pids "demo ")
wards+=("${workers[@]}")
kill -KILL "$demo"
wait "$demo" 2>/dev/null
began=$SECONDS
for p in "${workers[@]}"; do
    while [ -e "/proc/$p" ] && ! grep -q '^State:.*Z' "/proc/$p/status" 2>/dev/null && [ $((SECONDS - began)) -lt 20 ]; do :; done
    [ ! -e "/proc/$p" ] || grep -q '^State:.*Z' "/proc/$p/status" 2>/dev/null
    verdict "a worker without its parent ends" $?
done
expect "what is left can be looked at" 0 "$AMX" info "$live" --json
json "dead peers are told" 'all(.attached[]; .alive == false)'
expect "ps of the dead" 0 "$AMX" ps "$live" --json
json "ps: so it says" '(.processes | length) == 6 and all(.processes[]; .state == "dead")'
"$AMX" check "$live" --json >"$T/out" 2>"$T/err"
json "nothing is corrupt" '.corrupt == 0'
expect "and removed without force" 0 "$AMX" gc "$live"
exit $failed
