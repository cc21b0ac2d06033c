#!/usr/bin/env bash
# Kills a run with extraction, training and publication at COUNT random times (200), and lets the next one continue.
#
#     tests/reliability/killed.sh [COUNT]
#
# Each attempt starts with an empty store; every fourth is killed twice. It fails if a stage reported as finished is recomputed, if a byte
# of a result differs from an undisturbed run, if the store does not verify, or if anything except `macula run` is needed to continue. MACULA
# names a binary, SEED repeats the random times of an earlier run.
source "$(dirname "$0")/common.sh"
count=${1:-200}
prepare killed
pipeline killed 32 >killed.kdl

# The process group to kill: the run, and then the publication of its results.
attempt() {
    exec setsid bash -c '
        "$0" run killed.kdl --json >events 2>said && "$0" get killed.kdl page published --force >>said 2>&1
    ' "$macula"
}

began=$(now)
(attempt) || lost "the undisturbed run fails"
took=$(($(now) - began))
cp -r results whole
cp -r published page
echo "seed $seed: an undisturbed run takes $took ms"

finished_in_all=0 whole_runs=0
for at in $(seq "$count"); do
    rm -rf .macula results published
    times=$((at % 4 == 0 ? 2 : 1))
    moments=
    : >events.killed
    for _ in $(seq "$times"); do
        (attempt) &
        process=$!
        moment=$(below "$took")
        moments+=" $moment"
        wait_for "$moment"
        # The process group has the id of the shell started by `setsid`.
        kill -KILL -- "-$process" 2>/dev/null || true
        if wait "$process" 2>/dev/null; then whole_runs=$((whole_runs + 1)); fi
        # The last line may be incomplete.
        [ ! -e events ] || { cat events; echo; } >>events.killed
    done
    "$macula" run killed.kdl --json >events 2>said || lost "attempt $at, killed after$moments ms: does not continue"
    nothing_lost events.killed events
    finished_in_all=$((finished_in_all + $(wc -l <finished)))
    nothing_repaired events
    "$macula" get killed.kdl page published --force >said 2>&1 || lost "attempt $at: no publication"
    diff -r -x .macula whole results >said 2>&1 || lost "attempt $at, killed after$moments ms: different bytes"
    diff -r page published >said 2>&1 || lost "attempt $at, killed after$moments ms: different page"
    verified
    swept
done
echo "killed.sh: $count attempts, $whole_runs had already ended, $finished_in_all finished stages: 0 lost, 0 wrong bytes, 0 manual steps"
