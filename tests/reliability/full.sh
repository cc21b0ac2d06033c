#!/usr/bin/env bash
# Runs extraction, training and publication on a disk that fills up at a random write, COUNT times (60), then makes space and continues.
# In turns: a tmpfs of random size in its own mount namespace; a disk with space for a random number of bytes; one that refuses every
# n-th write or new name for a moment. The last two use the preloaded full.c, which also replaces the first if there are no namespaces.
#
#     tests/reliability/full.sh [COUNT]
#
# It fails if a run on the full disk ends with an exit code other than 3 or 0, if a stage reported as finished is recomputed, if the next
# run does not continue by itself, if a byte differs, or if the store does not verify.
source "$(dirname "$0")/common.sh"
count=${1:-60}
prepare full
cc -O1 -shared -fPIC -o full.so "$repository/tests/reliability/full.c" -ldl

mkdir whole
(cd whole && pipeline full 32 >full.kdl && "$macula" run full.kdl --json >events 2>said) || lost "the run on an empty disk fails"
bytes=$(du -sb whole | cut -f 1)
tmpfs=yes
unshare --user --map-root-user --mount true 2>/dev/null || tmpfs=no
echo "seed $seed: a run writes $((bytes / 1024)) KiB; tmpfs: $tmpfs"

# Output goes elsewhere, because the disk may be full. $1 describes the run on the full disk, with its exit code.
go_on() {
    [ "$code" = 0 ] || [ "$code" = 3 ] || lost "$1: exit code $code"
    [ "$code" = 0 ] || full=$((full + 1))
    "$macula" run full.kdl --json >../events.2 2>../said || { cd ..; lost "$1: does not continue with space available"; }
    (cd .. && nothing_lost events.1 events.2)
    diff -r -x .macula ../whole/results results >../said 2>&1 || { cd ..; lost "$1: different bytes"; }
    verified
    swept
}

on_tmpfs() {
    size=$((4 + $(below $((bytes / 1024)))))
    mkdir -p disk
    export macula folder name seed size repository
    unshare --user --map-root-user --mount bash -c '
        source "$repository/tests/reliability/common.sh"
        '"$(declare -f go_on)"'
        full=0
        mount -t tmpfs -o size="${size}k" tmpfs disk
        (cd whole && cat full.kdl) >disk/full.kdl || { umount disk; echo 0 >full; exit 0; }
        cd disk
        code=0
        "$macula" run full.kdl --json >../events.1 2>../failed || code=$?
        mount -o remount,size=1g disk 2>/dev/null || mount -o remount,size=1g "$PWD"
        go_on "on a tmpfs of $size KiB"
        echo $full >../full
    '
    grew=$(cat full)
    refused=$((refused + grew))
}

preloaded() {
    rm -rf disk
    mkdir disk
    cp whole/full.kdl disk
    cd disk
    full=0 code=0
    env "$@" FULL_UNDER="$folder/disk" LD_PRELOAD="$folder/full.so" "$macula" run full.kdl --json >../events.1 2>../failed || code=$?
    go_on "with $*"
    cd ..
    refused=$((refused + full))
}

refused=0
for at in $(seq "$count"); do
    case $((at % 3))$tmpfs in
    0yes) on_tmpfs ;;
    0no | 1*) preloaded FULL_AFTER="$(below "$bytes")" ;;
    2*) preloaded FULL_ODDS="$((20 + $(below 400)))" FULL_SEED="$RANDOM" ;;
    esac
done
echo "full.sh: $count attempts, $refused runs refused by the disk: all continued once there was space, 0 lost, 0 wrong bytes"
