#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# amx store: made, listed, told and checked, also while a process borrows messages and after it was killed; looking
# changes nothing; damage is found.
. "$(dirname "$0")/kit.bash"
root=$(realpath "$(dirname "$0")/../..")

"$AMX" create one --size 1M >/dev/null
expect "ls of none" 0 "$AMX" store ls one
expect "create" 0 "$AMX" store create one 200:100 --root 3
store=$(cat "$T/out")
says "prints a number" '^[0-9]+$'
json "which is in the root" ".roots[3] == \"$store\"" <("$AMX" info one --json)
expect "create, with everything" 0 "$AMX" store create one 0:7 --type 9 --policy evict --soft 3 --hard 5 --hard-bytes 1K
second=$(cat "$T/out")

# what is refused
expect "no SIZE:COUNT" 2 "$AMX" store create one 64
says "is named" "'64' is not SIZE:COUNT, bytes of payload and messages" "$T/err"
for what in 0:0 64:16777217 2G:1 :5 5: -1:4 x:1; do
    expect "no SIZE:COUNT: $what" 2 "$AMX" store create one -- "$what"
    says "is named: $what" "'$what' is not SIZE:COUNT" "$T/err"
done
expect "two" 2 "$AMX" store create one 64:1 64:2
says "are too many" "one SIZE:COUNT is needed, there are 2" "$T/err"
expect "none" 2 "$AMX" store create one
for option in "--type 0" "--type x" "--policy polite" "--soft 0" "--hard 4294967296" "--soft-bytes x" "--hard-bytes -1" "--root 16"; do
    expect "no value: $option" 2 "$AMX" store create one 64:1 $option
    says "is named: $option" "'${option#* }' is not a valid value" "$T/err"
done
for option in "--hard 5" "--policy reject" "--policy evict --soft 3" "--policy reject --soft 6 --hard 5"; do
    expect "marks and policy: $option" 2 "$AMX" store create one 64:9 $option
    says "do not fit: $option" "the marks do not fit the policy, or a soft one is above its hard one" "$T/err"
done
expect "too large for the segment" 6 "$AMX" store create one 1M:10
expect "no such segment" 3 "$AMX" store ls nosuch
expect "no such action" 2 "$AMX" store paint one
says "is said" "there is no action 'paint'" "$T/err"
expect "nothing to do" 2 "$AMX" store
expect "no such option" 2 "$AMX" store ls one --paint
expect "no such store" 3 "$AMX" store info one 12345
says "where they are" "next: 'amx store ls one' lists them" "$T/err"
expect "not a number" 2 "$AMX" store messages one x
says "is said so" "'x' is not a store: a number, as 'amx store ls' tells it" "$T/err"
expect "two stores" 2 "$AMX" store stat one "$store" "$second"
says "of one at most" "one STORE at most, there are 2" "$T/err"
pool=$("$AMX" pool create one 64:1)
expect "a pool is none" 3 "$AMX" store info one "$pool"
expect "nor is a store a pool" 3 "$AMX" pool info one "$store"

# what is told
cp "$AMX_DIR/amx.one" "$T/before"
expect "ls" 0 "$AMX" store ls one
says "the first" "^$store +0x[0-9a-f]+ +100 +200 +0 +0 +0$"
says "the second" "^$second +0x[0-9a-f]+ +7 +0 +0 +0 +0$"
expect "ls --json" 0 "$AMX" store ls one --json
json "both" ".schema == \"amx.store/1\" and .name == \"one\" and .action == \"ls\" and .stores == [
    {store: \"$store\", depth: 100, payload_max: 200, used: 0, poisoned: 0, bytes: 0},
    {store: \"$second\", depth: 7, payload_max: 0, used: 0, poisoned: 0, bytes: 0}]"
expect "info" 0 "$AMX" store info one
says "without a policy" "^$store +100 +200 +0 +none +- +- +- +- +33344$"
says "with one" "^$second +7 +0 +9 +evict +3 +5 +- +1024 +1024$"
expect "info --json" 0 "$AMX" store info one "$second" --json
json "as it was made" ".stores == [{store: \"$second\", depth: 7, payload_max: 0, type_id: 9, policy: \"evict\",
    soft_items: 3, hard_items: 5, soft_bytes: null, hard_bytes: 1024, store_bytes: 1024}]"
expect "stat" 0 "$AMX" store stat one
says "without marks" "^$store +-( +0){12}$"
says "below them" "^$second +below( +0){12}$"
expect "messages of none" 0 "$AMX" store messages one
[ "$(wc -l <"$T/out")" = 1 ]
verdict "only a heading" $? "$(cat "$T/out")"
expect "check" 0 "$AMX" store check one
says "clean" '^one: 2 stores: 0 corrupt, 0 undone$'
expect "check --json" 0 "$AMX" store check one --json
json "clean too" '[.stores[].verdict] == ["clean", "clean"] and .stores[0].slots == 100'
cmp "$AMX_DIR/amx.one" "$T/before" >"$T/cmp"
verdict "looking changes nothing" $? "$(cat "$T/cmp")"

# A process that stores, borrows and is killed. It prints the tokens, then does what it reads, a line each.
cat >"$T/user.c" <<'C'
#include <amx.h>
#include <amx_store.h>
#include <stdio.h>

int main(void)
{
    struct amx_message_header header[3] = {AMX_MESSAGE_HEADER_INIT, AMX_MESSAGE_HEADER_INIT, AMX_MESSAGE_HEADER_INIT};
    struct amx_store store;
    struct amx_read r[3];
    struct amx_write w[2];
    amx_token token[3];
    amx_ref block;
    amx_t *h;
    if (amx_attach("one", NULL, &h) || amx_root_get(h, 3, &block) ||
        amx_store_attach_block(h, block, NULL, &store))
        return 1;
    header[1].trace_id = 0xabcdef, header[1].sequence = 18446744073709551615u, header[1].creation_tick = 12;
    header[1].deadline_ns = 77, header[1].qos = AMX_QOS_LATENCY_CRITICAL, header[1].type_id = 5;
    header[1].flags = AMX_MSG_FIRST | AMX_MSG_DEGRADE;
    header[2].qos = 0, header[2].flags = 7;
    for (int i = 0; i < 3; i++)
        if (amx_msg_store(&store, &header[i], "0123456789", 3u * (unsigned)i, &token[i]))
            return 1;
    for (int i = 0; i < 3; i++)
        printf("0x%016llx\n", (unsigned long long)token[i]);
    for (int c; fflush(stdout), (c = getchar()) != EOF;) {
        if (c == 'r' && (amx_msg_read(&store, token[1], &r[0]) || amx_msg_read(&store, token[1], &r[1])))
            return 1;
        if (c == 'w' && (amx_msg_read_mut(&store, token[0], &w[0]) || amx_msg_reserve(&store, NULL, 9, &w[1])))
            return 1;
        if (c == '\n')
            puts("done");
    }
    return 1;
}
C
flags=
case $AMX in *-asan/*) flags=-fsanitize=address,undefined ;; esac
cc -std=c11 -D_GNU_SOURCE $flags -I"$root/include" "$T/user.c" "$(dirname "$AMX")/libamx.a" -lpthread -o "$T/user" 2>"$T/cc"
verdict "a user is built" $? "$(cat "$T/cc")"
mkfifo "$T/to" "$T/from"
"$T/user" <"$T/to" >"$T/from" &
user=$!
wards+=("$user")
exec 3>"$T/to" 4<"$T/from"
read -r -t 20 a <&4 && read -r -t 20 b <&4 && read -r -t 20 c <&4
verdict "it stores" $?
does() { # LETTER
    echo "$1" >&3
    read -r -t 20 done <&4 && [ "$done" = done ]
    verdict "it does $1" $?
}
dec() { # TOKEN
    printf '%d' "$1"
}
index() { # TOKEN
    echo $(($1 >> 32 & 0xffffff))
}
expect "messages" 0 "$AMX" store messages one
says "heading" '^STORE +TOKEN +STATE +OWNER +READERS +SIZE +AGE +TRACE +SEQUENCE +CREATED +DEADLINE +TYPE +QOS +FLAGS$'
says "of whom nothing is known" "^$store +$a +stored +- +0 +0 +0 +0x0 +0 +0 +- +0 +best-effort +-$"
says "of whom all is" "^$store +$b +stored +- +0 +3 +0 +0xabcdef +18446744073709551615 +12 +77 +5 +latency-critical +first,degrade$"
says "of no quality" "^$store +$c +stored +- +0 +6 +0 +0x0 +0 +0 +- +0 +0 +first,last,degrade$"
[ "$(wc -l <"$T/out")" = 4 ]
verdict "and no more" $? "$(cat "$T/out")"
does r
expect "messages --json" 0 "$AMX" store messages one "$store" --json
json "as JSON" "(.stores | length) == 1 and (.stores[0].messages | length) == 3 and .stores[0].messages[1] == {
    token: \"$(dec "$b")\", index: $(index "$b"), state: \"stored\", state_number: 5, owner: 0, readers: 2, size: 3, age: \"0\",
    header: {trace_id: \"11259375\", sequence: \"18446744073709551615\", creation_tick: \"12\", deadline_ns: \"77\",
        type_id: 5, qos: 3, flags: 5}} and .stores[0].messages[0].header.deadline_ns == null"
does w
expect "messages under change" 0 "$AMX" store messages one
owner=$(awk -v a="$a" '$2 == a { print $4 }' "$T/out")
says "being changed" "^$store +$a +writing +[0-9]+ +0 +0 +0( +-){7}$"
says "being read" "^$store +$b +stored +- +2 "
says "being stored" "^$store +- +storing +$owner +0 +9 +0( +-){7}$"
json "as its handle says" "[.attached[].pid] == [$user]" <("$AMX" info one --json)
expect "none is poisoned" 0 "$AMX" store messages one --poisoned
[ "$(wc -l <"$T/out")" = 1 ]
verdict "none indeed" $? "$(cat "$T/out")"
expect "stat of a store in use" 0 "$AMX" store stat one "$store"
says "who does what" "^$store +- +4 +1 +0 +1 +0 +2 +18 +4 +0 +0 +0 +0$"
expect "check of a store in use" 0 "$AMX" store check one
{
    kill -KILL "$user"
    wait "$user"
} 2>/dev/null
expect "a death is the segment's affair" 4 "$AMX" check one
says "which it tells" "undone +peer .* is dead and not yet recovered"
expect "and the store's" 4 "$AMX" store check one
says "which it tells, too" "^$store +undone +pool word .* is of handle [0-9]+, which is dead$"
expect "recover" 0 "$AMX" recover one
expect "messages --poisoned" 0 "$AMX" store messages one --poisoned
says "the one" "^$store +$a +poisoned +- +0 +0 +0 +0x0 +0 +0 +- +0 +best-effort +-$"
[ "$(wc -l <"$T/out")" = 2 ]
verdict "it alone" $? "$(cat "$T/out")"
expect "messages --poisoned --json" 0 "$AMX" store messages one --poisoned --json
json "it alone, too" "[.stores[].messages[].token] == [\"$(dec "$a")\"]"
expect "stat afterwards" 0 "$AMX" store stat one --json
json "numbers" ".stores[0] == {store: \"$store\", marks: null, used: 3, storing: 0, claimed: 0, writing: 0, poisoned: 1,
    guards: 0, bytes: 9, high: 3, exhausted: 0, evicted: 0, dropped: 0, rejected: 0} and .stores[1].marks == \"below\""
expect "ls afterwards" 0 "$AMX" store ls one
says "is counted" "^$store +0x[0-9a-f]+ +100 +200 +3 +1 +9$"
expect "check afterwards" 0 "$AMX" store check one

# damage: offsets are the store's
base=$(((store >> 32) * 16))
poke() { # OFFSET BYTES
    printf "$2" | dd of="$AMX_DIR/amx.one" bs=1 seek=$((base + $1)) conv=notrunc status=none
}
words=$((192 + 128 + 128))
poke $((words + 8 * 50)) '\x09\x00\x00'
expect "a word that is not legal" 4 "$AMX" store check one
says "is found" "^$store +corrupt +pool word +0x350 +class 0 slot 50 is in state 9$"
says "as what" 'one: a store is damaged' "$T/err"
expect "in the one store" 0 "$AMX" store check one "$second"
poke $((words + 8 * 50)) '\x02\x00\x00'
expect "a state of blocks" 4 "$AMX" store check one --json
json "is found, too" '.stores[0].verdict == "corrupt" and any(.stores[0].findings[]; .rule == "pool word" and .offset == "848")'
poke $((words + 8 * 50)) '\x00\x00\x00'
expect "clean again" 0 "$AMX" store check one
poke $((words + 8 * 50)) '\x07\x70\x00'
expect "a dead one's" 4 "$AMX" store check one
says "is undone" "^$store +undone +pool word +0x350 +class 0 slot 50 is of handle 7, which is dead$"
says "by number" '^one: 2 stores: 0 corrupt, 1 undone$'
says "what to do" 'next: recovery frees or poisons them: amx recover' "$T/err"
poke $((words + 8 * 50)) '\x00\x00\x00'
at=$(index "$b")
poke $((words + 8 * at)) '\x05\x10\x00'
expect "a stored message of somebody" 4 "$AMX" store check one
says "cannot be" "^$store +corrupt +store word +0x[0-9a-f]+ +message $at in state 5 is of owner 1$"
poke $((words + 8 * at)) '\x05\x00\x00'
size=$((words + 832 + 64 + 320 * at + 8)) # after words and hints of 100; the messages have lines of their own
poke $size '\xff\x00\x00\x00'
expect "a size beyond the largest" 4 "$AMX" store check one
says "is told" "^$store +corrupt +store size +$(printf '0x%x' $size) +message $at has 255 bytes of payload$"
poke $size '\x03\x00\x00\x00'
expect "clean once more" 0 "$AMX" store check one

# a block in the state of a message: no call makes one, and it has a name all the same
poke -16 '\x08'
expect "blocks --state poisoned" 0 "$AMX" blocks one --state poisoned --no-headings
says "by name" "^0x$(printf '%x' $((base - 16))) +33360 +poisoned +-"
poke -16 '\x01'
poke 0 'X'
expect "a head that is none" 4 "$AMX" store check one
says "is told" "one: the store in block $store cannot be attached" "$T/err"
expect "and listed no more" 0 "$AMX" store ls one
! grep -q "^$store " "$T/out"
verdict "indeed" $?
exit $failed
