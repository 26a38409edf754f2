#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh DIR-OF-TORTURE DIR-OF-ACTOR: the kill campaign, one worker a processor. The actor is the library as it is
# shipped; the judge is built with a hook before each store. Environment:
#   TORTURE_PERMILLE  of the points that are taken (340; thrice as many in empty segments)
#   TORTURE_KILLS     real kills, of all workers (2400)
#   TORTURE_PARTS     the calls are dealt to so many parts, and as many of these are played as there are workers; default:
#                     the number of workers, that is, all calls
#   TORTURE_PLAY      only plays whose name contains this
# With all calls, a shared store of the actor that nobody came to is a failure. Ends with one line:
#   torture: operations=N points=N double=N stops=N kills=N failures=N
set -u
export LC_ALL=C
torture=$1/torture actor=$2/actor
workers=$(nproc)
[ "$workers" -le 8 ] || workers=8
parts=${TORTURE_PARTS:-$workers}
kills=$((${TORTURE_KILLS:-2400} / workers))
here=$(dirname "$0")
tmp=$(mktemp -d)
shm=$(mktemp -d "${AMX_DIR:-/dev/shm}/torture.XXXXXX")
trap 'rm -rf "$tmp" "$shm"' EXIT

"$here/sites.sh" "$actor" >"$tmp/sites" || exit 1
pids=()
for ((w = 0; w < workers; w++)); do
    mkdir "$shm/$w"
    AMX_DIR=$shm/$w "$torture" "$actor" "$tmp/sites" "$tmp/result.$w" "$w" "$parts" "${TORTURE_PERMILLE:-340}" "$kills" \
        ${TORTURE_PLAY:+"$TORTURE_PLAY"} >"$tmp/out.$w" 2>&1 &
    pids+=($!)
done
broken=0
for ((w = 0; w < workers; w++)); do
    wait "${pids[w]}" || grep -vE '^\[ (RUN|  +OK) ' "$tmp/out.$w"
    [ -f "$tmp/result.$w" ] || broken=$((broken + 1)) # it did not come to its end
done
cat "$tmp"/result.* >"$tmp/all" 2>/dev/null

awk '$1 == "most" { if ($3 > most[$2]) most[$2] = $3 }
     $1 == "count" { sum[$2] += $3 }
     END {
         printf "# %d instructions stepped; %d recoveries; %d of the cuts equal to earlier ones, byte for byte\n", sum["steps"], sum["recoveries"], sum["double_equal"]
         printf "# recoverers killed for good: %d. Sectors hidden by one who is stopped in a call on small blocks: at most %d\n", sum["kills_twice"], most["hidden"]
         printf "# instructions of a call while another is stopped, at most (%d calls counted):", sum["scripted"]
         for (v in most) if (v != "hidden") printf " %s %d,", v, most[v]
         print ""
     }' "$tmp/all" | sed 's/,$//'
missed=0
if [ "$parts" = "$workers" ] && [ -z "${TORTURE_PLAY:-}" ]; then
    awk 'NR == FNR { if ($1 == "hit") hit[$2] = 1; next } !($1 in hit)' "$tmp/all" "$tmp/sites" >"$tmp/missed"
    missed=$(wc -l <"$tmp/missed")
    echo "# shared stores and exchanges in the code: $(wc -l <"$tmp/sites"), never hit: $missed"
    sed 's/^/#   never hit: /' "$tmp/missed"
fi
awk -v more=$((missed + broken)) '
    $1 == "count" { sum[$2] += $3 }
    END {
        failures = sum["failures"] + more
        printf "torture: operations=%d points=%d double=%d stops=%d kills=%d failures=%d\n", sum["operations"], sum["points"], sum["double"], sum["stops"], sum["kills"], failures
        exit failures != 0
    }' "$tmp/all"
