# Shared functions of the scripts in this folder.
#
# `prepare NAME` finds or builds the binary ($macula), enters a temporary folder that is deleted at the end, and seeds RANDOM
# (SEED repeats the random times of an earlier run).

set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

prepare() {
    name=$1
    macula=${MACULA:-}
    if [ -z "$macula" ]; then
        (cd "$repository" && cargo build --release --quiet)
        target=${CARGO_TARGET_DIR:-target}
        case $target in /*) ;; *) target=$repository/$target ;; esac
        macula=$target/release/macula
    fi
    macula=$(realpath "$macula")
    unset MACULA_STORE MACULA_KERNELS
    seed=${SEED:-$$}
    RANDOM=$seed
    folder=$(mktemp -d "${TMPDIR:-/tmp}/macula-$name-XXXXXX")
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
}

# Fails with a message, and shows the last output if there is any.
lost() {
    echo "$name, seed $seed: $*" >&2
    for said in said failed; do [ ! -s $said ] || { echo "-- $said" >&2; tail -n 30 $said >&2; }; done
    exit 1
}

# A random number below $1.
below() { echo $(((RANDOM * 32768 + RANDOM) % $1)); }

# Current time in milliseconds.
now() { echo $(($(date +%s%N) / 1000000)); }

# Waits $1 milliseconds.
wait_for() { sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"; }

# A small pipeline with extraction, training and publication: $1 is its name, $2 the patch size, $3 the number of photographs.
pipeline() {
    cat <<KDL
pipeline $1 seed=7 {
    synthetic eyes { photographs ${3:-6}; size 192 }
    extract patches { from eyes; size $2 }
    filter-black visible { from patches }
    split folds { from visible; by patient; train 0.34; valid 0.33; test 0.33 }
    augment views { from folds.train; flip horizontal=0.5 }
    train classifier { data views; valid folds.valid; network shallow-cnn; epochs 2; batch 16 }
    threshold-tune cuts { model classifier; data folds.valid; maximize f1 }
    eval scores { model classifier; thresholds cuts; data folds.test }
    report page { of eyes patches folds.train classifier cuts scores }
}
KDL
}

# The stages that ended as $2 (`computed`, `reused`, `repaired`) according to the events $1, sorted. A truncated last line is ignored.
ended() {
    sed -n "s/^{\"event\":\"stage-ended\",\"stage\":\"\([^\"]*\)\",\"became\":\"$2\".*}\$/\1/p" "$1" | sort
}

# Fails if a stage that finished according to the events $1 was not reused in the run of the events $2.
nothing_lost() {
    ended "$1" computed >finished
    ended "$2" reused >reused
    comm -23 finished reused >gone
    [ ! -s gone ] || lost "finished, but recomputed: $(tr '\n' ' ' <gone)"
}

# Fails if verification finds damage.
verified() {
    "$macula" store verify >verified 2>&1 || lost "the store is damaged: $(head -n 20 verified)"
}

# Fails if leftovers of dead processes remain.
swept() {
    left=$(find .macula/v1/objects/incoming -mindepth 1 2>/dev/null; find results -name '.new-*' -o -name '.old-*')
    [ -z "$left" ] || lost "left over: $left"
}

# Fails if a run (with the events $1) had to repair something, or could not link its results.
nothing_repaired() {
    ! grep -h -E '"event":"repairing"|"code":"results-links"' "$@" >said || lost "the run had to repair something, or could not link its results"
}

# ---- several processes at once ----

killed=0

# Starts a run in the folder $1 with the remaining arguments, a time limit of $patience seconds, and adds it to ${processes[@]}.
start() {
    (cd "$1" && shift && exec timeout -k 1 "$patience" "$macula" run p.kdl "$@" --json >"$folder/events.$BASHPID" 2>&1) &
    processes+=($!)
}

# In every second $round, kills one of the first $1 processes within $took ms, the duration of an undisturbed run.
kill_one_of() {
    victim=
    [ $((round % 2)) = 0 ] || return 0
    victim=${processes[$((RANDOM % $1))]}
    wait_for "$(below "$took")"
    # The child of `timeout`, which may have ended.
    if pkill -KILL -P "$victim" 2>/dev/null; then killed=$((killed + 1)); fi
}

# Waits for all processes; fails if any except the victim hangs or fails. $1 describes the situation.
all_end() {
    local process code
    for process in "${processes[@]}"; do
        code=0
        wait "$process" 2>/dev/null || code=$?
        if [ "$process" = "$victim" ]; then continue; fi
        [ "$code" != 124 ] && [ "$code" != 137 ] || lost "$1: deadlock; last output of the hanging process: $(tail -n 5 "events.$process")"
        [ "$code" = 0 ] || lost "$1: exit code $code: $(tail -n 5 "events.$process")"
    done
}
