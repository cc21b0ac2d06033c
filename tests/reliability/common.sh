# What the scripts of this folder share; sourced by them, knows none of them.
#
# `prepare NAME` finds or builds the binary ($macula), makes a folder that goes away at the end and enters it, and seeds RANDOM
# (SEED repeats the moments of an earlier call).

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

# Fails with what is wrong; what was said last is shown where there is something.
lost() {
    echo "$name, seed $seed: $*" >&2
    for said in said failed; do [ ! -s $said ] || { echo "-- $said" >&2; tail -n 30 $said >&2; }; done
    exit 1
}

# A random number below $1.
below() { echo $(((RANDOM * 32768 + RANDOM) % $1)); }

# Milliseconds.
now() { echo $(($(date +%s%N) / 1000000)); }

# Waits so many milliseconds.
wait_for() { sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"; }

# Extraction, training and publication, small: $1 is the pipeline's name, $2 the size of patches, $3 how many photographs.
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

# The stages that a run's events ($1) say ended as $2 (`computed`, `reused`, `repaired`), sorted. A last line that was cut off
# counts as not said.
ended() {
    sed -n "s/^{\"event\":\"stage-ended\",\"stage\":\"\([^\"]*\)\",\"became\":\"$2\".*}\$/\1/p" "$1" | sort
}

# Fails where a stage that the events $1 call finished was not there for the run of the events $2.
nothing_lost() {
    ended "$1" computed >finished
    ended "$2" reused >reused
    comm -23 finished reused >gone
    [ ! -s gone ] || lost "finished, and computed again: $(tr '\n' ' ' <gone)"
}

# The first lines of what verification finds, nothing where all is whole.
verified() {
    "$macula" store verify >verified 2>&1 || lost "the store is damaged: $(head -n 20 verified)"
}

# What processes that died left must be gone after the next run.
swept() {
    left=$(find .macula/v1/objects/incoming -mindepth 1 2>/dev/null; find results -name '.new-*' -o -name '.old-*')
    [ -z "$left" ] || lost "left over: $left"
}

# Fails where a run ($1 are events) had to repair what should have been whole, or could not link its results.
nothing_repaired() {
    ! grep -h -E '"event":"repairing"|"code":"results-links"' "$@" >said || lost "it had to repair, or could not link"
}

# ---- several processes at once ----

killed=0

# Starts a run in the folder $1 with the arguments that follow, and adds it to ${processes[@]}. It has $patience seconds.
start() {
    (cd "$1" && shift && exec timeout -k 1 "$patience" "$macula" run p.kdl "$@" --json >"$folder/events.$BASHPID" 2>&1) &
    processes+=($!)
}

# In every second $round kills one of the first $1 processes, within the $took ms that one takes on its own.
kill_one_of() {
    victim=
    [ $((round % 2)) = 0 ] || return 0
    victim=${processes[$((RANDOM % $1))]}
    wait_for "$(below "$took")"
    # The process that `timeout` watches; it itself may be gone.
    if pkill -KILL -P "$victim" 2>/dev/null; then killed=$((killed + 1)); fi
}

# Waits for all processes, and fails where one but the victim waits without end or ends badly. $1 says when that was.
all_end() {
    local process code
    for process in "${processes[@]}"; do
        code=0
        wait "$process" 2>/dev/null || code=$?
        if [ "$process" = "$victim" ]; then continue; fi
        [ "$code" != 124 ] && [ "$code" != 137 ] || lost "$1: a deadlock; the one that waits said: $(tail -n 5 "events.$process")"
        [ "$code" = 0 ] || lost "$1: exit code $code: $(tail -n 5 "events.$process")"
    done
}
