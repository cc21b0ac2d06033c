#!/usr/bin/env bash
# Kills a run with extraction, training and publication in it at COUNT random moments (200), and lets the next one go on.
#
#     tests/reliability/killed.sh [COUNT]
#
# Each attempt begins with an empty store; every fourth is killed twice. It fails where a stage that was reported finished is
# computed again, where a byte of a result differs from that of a run which nobody disturbed, where the store does not verify, or
# where anything but `macula run` is needed to go on. MACULA names a binary, SEED repeats the moments of an earlier call.
source "$(dirname "$0")/common.sh"
count=${1:-200}
prepare killed
pipeline killed 32 >killed.kdl

# What is killed: the run, and then the publication of its results, in a group of processes of its own.
attempt() {
    exec setsid bash -c '
        "$0" run killed.kdl --json >events 2>said && "$0" get killed.kdl page published --force >>said 2>&1
    ' "$macula"
}

began=$(now)
(attempt) || lost "the run that nobody disturbs fails"
took=$(($(now) - began))
cp -r results whole
cp -r published page
echo "seed $seed: undisturbed, it takes $took ms"

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
        # The group's number is that of the shell which `setsid` became.
        kill -KILL -- "-$process" 2>/dev/null || true
        if wait "$process" 2>/dev/null; then whole_runs=$((whole_runs + 1)); fi
        # The last line may have no end.
        [ ! -e events ] || { cat events; echo; } >>events.killed
    done
    "$macula" run killed.kdl --json >events 2>said || lost "attempt $at, killed after$moments ms: it does not go on"
    nothing_lost events.killed events
    finished_in_all=$((finished_in_all + $(wc -l <finished)))
    nothing_repaired events
    "$macula" get killed.kdl page published --force >said 2>&1 || lost "attempt $at: no publication"
    diff -r -x .macula whole results >said 2>&1 || lost "attempt $at, killed after$moments ms: other bytes"
    diff -r page published >said 2>&1 || lost "attempt $at, killed after$moments ms: another page"
    verified
    swept
done
echo "killed.sh: $count attempts, $whole_runs had ended before, $finished_in_all finished stages: 0 lost, 0 wrong bytes, 0 manual steps"
