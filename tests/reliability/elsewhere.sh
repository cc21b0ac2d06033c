#!/usr/bin/env bash
# The store on other file systems: a network file system (NFS) seen from two machines, FAT, macOS, one without locks, a read-only one. They
# are simulated by elsewhere.c, a FUSE file system with the relevant properties, and by read-only mounts.
#
#     tests/reliability/elsewhere.sh [COUNT]
#
# First, on each of them, an empty store is filled, used, read and collected. Then COUNT rounds (10) of eight processes on two machines
# that share a store, as in together.sh; in every second round one is killed while it holds claims. After each round, a run on one machine
# while the other collects as much as it may. Then read-only stores, and names that differ only in case.
#
# It fails if something is lost, a byte is wrong, a process does not end in time, an error does not say what to do, or a file is missing
# below `results/` without a message. It works in its own mount namespace, as root or not, and needs /dev/fuse. If libfuse 3 is not
# installed, Debian's is unpacked into target/ (tests/debian.sh).
source "$(dirname "$0")/common.sh"
count=${1:-10}
if [ -z "${ELSEWHERE:-}" ]; then
    [ -w /dev/fuse ] || { echo "elsewhere.sh: /dev/fuse is missing" >&2; exit 1; }
    user=()
    [ "$(id -u)" = 0 ] || user=(--user --map-root-user)
    export ELSEWHERE=${user[*]:-root} SEED=${SEED:-$$}
    exec unshare "${user[@]}" --mount --pid --fork --kill-child --mount-proc "$BASH" "$0" "$@"
fi
prepare elsewhere
trap 'exit 130' INT TERM
trap 'cd /; for at in "$folder"/*/; do while mountpoint -q "$at" && umount -l "$at"; do :; done; done; rm -rf --one-file-system "$folder"' EXIT
if ! pkg-config fuse3 2>/dev/null; then
    eval "$("$repository/tests/debian.sh" "$repository/target/debian-fuse" libfuse3-dev libfuse3-3)"
fi
# shellcheck disable=SC2046
cc -O1 -o elsewhere "$repository/tests/reliability/elsewhere.c" $(pkg-config --cflags --libs fuse3)

# Mounts the folder $1 at $2 with the given properties.
show() {
    mkdir -p "$1" "$2"
    ./elsewhere "$@" >>fuse 2>&1 &
    for _ in $(seq 200); do
        if mountpoint -q "$2"; then return; fi
        sleep 0.02
    done
    lost "no file system at $2: $(tail -n 3 fuse)"
}
hide() { for at in "$@"; do umount "$at" || lost "$at is in use"; done; }

# Runs a process that must end with exit code $1. Its output goes to `said`, its events to `events`.
ends() {
    local code=0
    timeout -k 1 "$patience" "$macula" "${@:2}" >"$folder/events" 2>"$folder/said" || code=$?
    [ $code != 124 ] && [ $code != 137 ] || lost "$what: \`${*:2}\` does not end"
    [ $code = "$1" ] || { cat "$folder/events" >>"$folder/said"; cd "$folder"; lost "$what: \`${*:2}\` ends with $code, not $1"; }
}
# Fails if an error has no matching hint.
advised() { cat said events 2>/dev/null | tr -s '\n ' ' ' | grep -q -E "hint: .*$1" || lost "$what: no hint"; }
# Like `nothing_repaired`; also fails if a stage was computed (events in $1).
all_reused() {
    nothing_repaired "$1"
    [ -z "$(ended "$1" computed)" ] || lost "$what: recomputed: $(ended "$1" computed | tr '\n' ' ')"
}
same() { diff -r -x .macula -x .lock "$1" "$2" >said 2>&1 || lost "$what: different bytes"; }

patience=600
what="on the plain disk"
other=(--set "classifier.epochs=1")
export MACULA_STORE=$folder/alone/store
mkdir -p alone/one alone/two alone/three
(cd alone/one && pipeline same 32 >p.kdl)
(cd alone/two && pipeline same 32 >p.kdl)
(cd alone/three && pipeline third 64 >p.kdl)
began=$(now)
(cd alone/one && ends 0 run p.kdl && ends 0 get p.kdl page published)
took=$(($(now) - began))
(cd alone/two && ends 0 run p.kdl "${other[@]}")
(cd alone/three && ends 0 run p.kdl)
patience=$((60 + took * 30 / 1000))
unset MACULA_STORE
echo "seed $seed: on a plain disk, a run takes $took ms"

# ---- one process at a time, on each file system ----

# The store is filled through the folder $1, used through $2.
kind() {
    mkdir "$1/p"
    cp alone/one/p.kdl "$1/p"
    (cd "$1/p" && ends 0 run p.kdl --json)
    nothing_repaired events
    same alone/one/results "$1/p/results"
    for _ in before after; do
        (cd "$2/p" && ends 0 run p.kdl --json)
        all_reused events
        same alone/one/results "$2/p/results"
        (cd "$2/p" && rm -rf published && ends 0 get p.kdl page published && ends 0 store verify && ends 0 store stats)
        same alone/one/published "$2/p/published"
        (cd "$2/p" && ends 0 store gc --dry-run && ends 0 store gc)
    done
    left=$(find "$2/p/.macula/v1/objects/incoming" -mindepth 1 2>/dev/null || true)
    [ -z "$left" ] || lost "$what: left over: $left"
}
kinds=0
for traits in network "nolinks norights nocase nosync times=2" "nolinks norights network=1" "nocase times=1"; do
    what="on a disk that is $traits"
    # shellcheck disable=SC2086
    { show back here $traits; show back there $traits; }
    kind here there
    hide here there
    rm -rf back
    kinds=$((kinds + 1))
done
# Without locks, a run works and warns that others may compute the same. Nothing possibly in use is collected.
for trait in nolocks=ENOLCK nolocks=ENOSYS nolocks=EOPNOTSUPP; do
    what="on a disk with $trait"
    show back here $trait
    mkdir here/p
    cp alone/one/p.kdl here/p
    (cd here/p && ends 0 run p.kdl --json)
    nothing_repaired events
    [ "$(grep -c '"code":"store-locks"' events || true)" = 1 ] || lost "$what: not exactly one warning"
    same alone/one/results here/p/results
    (cd here/p && ends 0 run p.kdl --json)
    all_reused events
    (cd here/p && ends 0 store verify && ends 3 store gc)
    advised "locks"
    hide here
    rm -rf back
    kinds=$((kinds + 1))
done
echo "$kinds file systems: filled, used, read and collected, with the same bytes"

# ---- two machines at once ----

# A new empty store for both machines, named by each project.
again() {
    hide here there
    rm -rf back/store back/one/results
    show back here network
    show back there network
}

results=0 gone=0
touch gc
for round in $(seq "$count"); do
    what="round $round"
    rm -rf back events.*
    mkdir back
    for which in one two three; do
        mkdir back/$which
        cp alone/$which/p.kdl back/$which
        echo 'store "../store"' >back/$which/project.kdl
    done
    show back here network
    show back there network
    processes=()
    for machine in here there here there here; do start $machine/one; done
    for machine in here there; do start $machine/two "${other[@]}"; done
    start there/three
    kill_one_of 5
    all_end "$what"
    nothing_repaired events.*
    for which in one two three; do same alone/$which/results back/$which/results; done
    cat back/store/v1/runs/*/run.json | { grep -o '"became":"computed","key":"[0-9a-f]*"' || true; } | sort >computed
    results=$((results + $(sort -u computed | wc -l)))
    [ -z "$(uniq -d computed)" ] || lost "$what: computed twice: $(uniq -d computed)"
    MACULA_STORE=$folder/there/store ends 0 store verify

    # One machine sees what the other has just finished, although it has cached its absence, and keeps it.
    what="round $round, from one machine to the other"
    again
    (cd here/one && ends 0 run p.kdl eyes)
    (cd there/one && ends 0 plan p.kdl)
    (cd here/one && ends 0 run p.kdl)
    (cd there && MACULA_STORE=$PWD/store ends 0 store gc)
    for machine in here there; do
        (cd $machine/one && ends 0 run p.kdl --json)
        all_reused events
        same alone/one/results back/one/results
    done

    # One machine keeps what the other uses, whatever it is asked to remove.
    what="round $round, collecting"
    again
    (cd here/one && ends 0 run p.kdl eyes)
    touch collecting
    (
        cd there
        while [ -e ../collecting ]; do
            code=0
            MACULA_STORE=$PWD/store "$macula" store gc --keep-within 0s >../gc.said 2>&1 || code=$?
            if [ $code = 0 ]; then echo >>../gc; else mv ../gc.said ../gc.failed; fi
        done
    ) &
    collector=$!
    (cd here/one && ends 0 run p.kdl --json)
    cp events events.gc
    nothing_repaired events.gc
    same alone/one/results back/one/results
    rm collecting
    wait $collector
    [ ! -e gc.failed ] || { mv gc.failed said; lost "$what: gc fails"; }
    # The other machine removes everything; this one, which has cached its presence, must notice and succeed.
    (cd there && MACULA_STORE=$PWD/store ends 0 store gc --keep-within 0s)
    (cd here/one && ends 0 run p.kdl --json)
    if grep -q '"event":"repairing"' events; then gone=$((gone + 1)); fi
    ! grep '"code":"results-links"' events >said || lost "$what: it could not link"
    same alone/one/results back/one/results
    MACULA_STORE=$folder/there/store ends 0 store verify
    hide here there
done
echo "$count rounds on two machines: $killed killed, $results results, none computed twice;" \
    "$(wc -l <gc) collections beside runs; $gone runs found gone what they believed"

# ---- read-only ----

# Commands that need not write work on a read-only store, and the others say what to do. $1 and $2 are the store and a project folder;
# the rest starts macula.
reads() {
    local store=$1 project=$2 plain=$macula
    shift 2
    if [ $# -gt 0 ]; then
        printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$*" "$plain" >as
        chmod 755 as
        macula=$folder/as
    fi
    export MACULA_STORE=$folder/$store
    (cd "$project" && ends 0 run p.kdl --json)
    all_reused events
    [ ! -w "$project" ] || same alone/one/results "$project/results"
    rm -rf got
    install -d -m 777 got
    for words in "get p.kdl page $folder/got" "plan p.kdl" "why p.kdl page" "show p.kdl scores" "runs p.kdl" "store verify" "store stats"; do
        # shellcheck disable=SC2086
        (cd "$project" && ends 0 $words)
    done
    same alone/one/published got
    for words in "run p.kdl --set patches.size=48" "store gc" "store pin $run"; do
        # shellcheck disable=SC2086
        (cd "$project" && ends 3 $words)
        advised MACULA_STORE
    done
    macula=$plain
    unset MACULA_STORE
}
mkdir plain
cp -r alone/one plain/p
cp -r alone/store plain/p/.macula
find plain -type f | sort | xargs sha256sum >before
stores=0
run=$(ls plain/p/.macula/v1/runs | tail -n 1)
for way in bound "FUSE's" "another user's"; do
    what="on a read-only store, $way"
    rm -rf project
    mkdir project
    cp alone/one/p.kdl project
    as=()
    case $way in
    bound)
        mkdir -p still
        mount --bind plain still
        mount -o remount,bind,ro still
        ;;
    FUSE*) show plain still network -- -o ro ;;
    another*)
        cp -r plain still.own
        chmod -R a+rX,a-w still.own
        mv still.own still/own
        if [ "$ELSEWHERE" = root ]; then
            chmod a+rx . still
            chown -R 65534 project
            cp "$macula" macula && chmod 755 macula
            as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
        else
            as=(setpriv --bounding-set=-all --inh-caps=-all --no-new-privs)
        fi
        ;;
    esac
    if [ "${way%% *}" = another ]; then inside=still/own; else inside=still; fi
    reads "$inside/p/.macula" project "${as[@]}"
    reads "$inside/p/.macula" "$inside/p" "${as[@]}"
    stores=$((stores + 2))
    if mountpoint -q still; then hide still; fi
done
find plain -type f | sort | xargs sha256sum >after
cmp -s before after || lost "a read-only store was changed"
echo "$stores read-only stores: readable and unchanged"

# ---- names that differ only in case ----

what="names that differ in case alone"
mkdir -p data named back
for name in A a; do
    echo "of $name" >"data/$name.txt"
done
cat >named/p.kdl <<KDL
pipeline named seed=7 {
    files both { path "$folder/data" }
    synthetic made { photographs 2; size 192 }
    extract patches { from made; size 64 }
    extract Patches { from made; size 96 }
}
KDL
cp named/p.kdl back
(cd named && ends 0 run p.kdl --json)
nothing_repaired events
show back here nocase
for round in computed reused; do
    (cd here && ends 0 run p.kdl --json)
    grep '"code":"results-links"' events >told || true
    [ "$(wc -l <told)" = 1 ] || lost "$what: $(wc -l <told) warnings instead of 1, $round"
    grep -q '"stage":"Patches".*only in case\|"stage":"Patches".*case-insensitive' told || lost "$what: no warning for Patches"
    for stage in made patches; do same named/results/named/$stage back/results/named/$stage; done
    (cd here && ends 0 store verify && ends 2 get p.kdl both "got.$round")
    advised "case-sensitive file system"
done
# A stage renamed only in case keeps its folder.
sed -i 's/patches { from made; size 64/PATCHES { from made; size 64/; /extract Patches/d' back/p.kdl
(cd here && ends 0 run p.kdl --json)
[ "$(grep -c '"code":"results-links"' events || true)" = 0 ] || lost "$what: renamed, PATCHES is not linked"
same named/results/named/patches here/results/named/PATCHES
hide here
echo "names that differ only in case: collisions reported, nothing overwritten"
echo "elsewhere.sh: $count rounds of 8 processes on two machines, $killed killed, $(wc -l <gc) collections beside runs;" \
    "$kinds kinds of file systems, $stores read-only stores: $results results of the rounds, 0 lost, 0 duplicated, 0 wrong, no endless wait"
