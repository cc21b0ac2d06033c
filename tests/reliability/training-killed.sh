#!/usr/bin/env bash
# Ends a training at COUNT random times (20), lets the next run continue, and compares the model with that of an undisturbed training. Two of
# three get SIGKILL, one SIGTERM; every fourth is ended twice.
#
#     cargo build --release && tests/reliability/training-killed.sh [COUNT] [MACULA]
#
# Prints a line for each attempt, and fails if a byte differs. SEED repeats the random times of an earlier run.
set -euo pipefail

count=${1:-20}
macula=$(realpath "${2:-target/release/macula}")
seed=${SEED:-$$}
RANDOM=$seed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset MACULA_STORE
cat >killed.kdl <<'KDL'
pipeline killed seed=7 {
    synthetic eyes { photographs 24; size 512 }
    extract patches { from eyes; size 64; margin 8 }
    split folds { from patches }
    augment views { from folds.train; flip horizontal=0.5; rotate degrees=15 }
    train classifier {
        data views
        valid folds.valid
        network shallow-cnn
        epochs 6
        batch 16
        schedule cosine warmup=0.1
    }
}
KDL
now() { date +%s%N | cut -c-13; }

"$macula" run killed.kdl views folds >/dev/null
cp -r .macula before

began=$(now)
"$macula" run killed.kdl >/dev/null
took=$(($(now) - began))
"$macula" get killed.kdl classifier whole >/dev/null
echo "seed $seed: an undisturbed training takes $took ms"

resumed=0
for attempt in $(seq "$count"); do
    rm -rf .macula results model
    cp -r before .macula
    times=$((attempt % 4 == 0 ? 2 : 1))
    signal=$([ $((attempt % 3)) = 0 ] && echo TERM || echo KILL)
    moments=
    for _ in $(seq "$times"); do
        "$macula" run killed.kdl >said 2>&1 &
        process=$!
        moment=$((RANDOM * 32768 % took + RANDOM % 1000 * took / 1000))
        moment=$((moment % took))
        moments+=" $moment"
        sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
        kill -"$signal" "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    "$macula" run killed.kdl >said 2>&1
    taken=$(grep -o "resumed at epoch [0-9]*\(, batch [0-9]*\)\?" said || true)
    [ -z "$taken" ] || resumed=$((resumed + 1))
    "$macula" get killed.kdl classifier model >/dev/null
    if ! diff -r whole model; then
        echo "attempt $attempt, $signal after$moments ms: different model"
        exit 1
    fi
    echo "attempt $attempt, $signal after$moments ms: the same bytes${taken:+, $taken}"
done
echo "$count attempts, $resumed of them resumed from a checkpoint: always the same bytes"
