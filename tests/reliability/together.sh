#!/usr/bin/env bash
# Eight processes at once on one store, COUNT rounds (100): five of one pipeline in one folder, two with another parameter, one of
# another pipeline in another folder. In every second round, one is killed at a random time while it holds claims.
#
#     tests/reliability/together.sh [COUNT]
#
# It fails if a process does not end in time (a deadlock) or fails, if a result differs from that of a single process or is linked wrongly, if
# two processes compute the same key, if an item is recorded twice, or if the store does not verify. (What the killed process had not
# finished is computed by another one; that counts as once.)
source "$(dirname "$0")/common.sh"
count=${1:-100}
prepare together
other=(--set "classifier.epochs=1")

items_on_record() { "$macula" store verify | sed -n 's/.*, \([0-9,]*\) items.*/\1/p' | head -n 1; }

mkdir -p alone/one alone/two alone/three
export MACULA_STORE=$folder/alone/store
(cd alone/one && pipeline same 32 >p.kdl && "$macula" run p.kdl >said 2>&1) || lost "a single run fails"
(cd alone/two && pipeline same 32 >p.kdl && "$macula" run p.kdl "${other[@]}" >said 2>&1) || lost "a single run fails"
(cd alone/three && pipeline third 64 >p.kdl && "$macula" run p.kdl >said 2>&1) || lost "a single run fails"
items=$(items_on_record)
[ -n "$items" ] || lost "verification counts no items"
unset MACULA_STORE
began=$(now)
(cd alone/one && rm -rf .macula results && "$macula" run p.kdl >said 2>&1)
took=$(($(now) - began))
patience=$((60 + took * 30 / 1000))
echo "seed $seed: a single run takes $took ms"

computed_in_all=0
for round in $(seq "$count"); do
    rm -rf .macula one two three events.*
    mkdir one two three
    # Without a project file, the folder with the store would be the project of all three.
    for which in one two three; do cp alone/$which/p.kdl $which && : >$which/project.kdl; done
    export MACULA_STORE=$folder/.macula
    processes=()
    for _ in 1 2 3 4 5; do start one; done
    for _ in 1 2; do start two "${other[@]}"; done
    start three
    kill_one_of 5
    all_end "round $round"
    nothing_repaired events.*
    for which in one two three; do
        diff -r -x .macula alone/$which/results $which/results >said 2>&1 || lost "round $round: different bytes in $which"
    done
    # Each key that a run recorded as computed, once.
    cat .macula/v1/runs/*/run.json | grep -o '"became":"computed","key":"[0-9a-f]*"' | sort >computed
    [ -z "$(uniq -d computed)" ] || lost "round $round: computed twice: $(uniq -d computed)"
    computed_in_all=$((computed_in_all + $(wc -l <computed)))
    [ "$(items_on_record)" = "$items" ] || lost "round $round: $(items_on_record) items recorded instead of $items"
    verified
    unset MACULA_STORE
done
echo "together.sh: $count rounds of 8 processes, $killed killed, $computed_in_all results: 0 lost, 0 duplicated, 0 wrong, no deadlock"
