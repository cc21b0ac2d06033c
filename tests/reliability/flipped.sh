#!/usr/bin/env bash
# Flips one bit in each of COUNT (200) random objects, records and item files, one at a time, and uses the store.
#
#     tests/reliability/flipped.sh [COUNT]
#
# Each time, the records of a random part of the later stages are deleted, so that the run must read the results of earlier ones. It fails
# if `macula store verify` misses the flip, if the run fails, or if after `store repair` and another run a byte differs or the store
# does not verify.
source "$(dirname "$0")/common.sh"
count=${1:-200}
prepare flipped
pipeline flipped 32 6 >flipped.kdl
"$macula" run flipped.kdl >said 2>&1 || lost "the run on an empty store fails"
cp -r results whole
cp -a .macula before
stages=(eyes patches visible folds views classifier cuts scores page)

# Flips a random bit of the file $1.
flip() {
    size=$(stat -c %s "$1")
    at_byte=$(below "$size")
    byte=$(od -An -tu1 -j "$at_byte" -N 1 "$1")
    chmod u+w "$1"
    printf "\\x$(printf %02x $((byte ^ (1 << RANDOM % 8))))" | dd of="$1" bs=1 seek="$at_byte" conv=notrunc status=none
}

met=0 objects=0 records=0 items=0
for at in $(seq "$count"); do
    rm -rf .macula results
    cp -a before .macula
    # Delete the records of the stages from here on.
    from=$((1 + $(below ${#stages[@]})))
    for stage in "${stages[@]:$from}"; do
        grep -l "\"made\":{\"pipeline\":\"flipped\",\"stage\":\"$stage\"" -r .macula/v1/actions | xargs -r rm
    done
    # There are few records compared with objects: flip one of them every fourth time.
    if [ $((at % 4)) = 0 ]; then parts=".macula/v1/actions .macula/v1/items"; else parts=.macula/v1/objects/??; fi
    # shellcheck disable=SC2086
    mapfile -t files < <(find $parts -type f -size +0 | sort)
    file=${files[$(below ${#files[@]})]}
    flip "$file"
    case $file in */objects/*) objects=$((objects + 1)) ;; */items/*) items=$((items + 1)) ;; *) records=$((records + 1)) ;; esac
    ! "$macula" store verify >said 2>&1 || lost "flip $at of byte $at_byte in $file: not found"
    "$macula" run flipped.kdl --json >events 2>said || lost "flip $at of byte $at_byte in $file: the run fails"
    if grep -q '"event":"repairing"' events; then met=$((met + 1)); fi
    "$macula" store repair >said 2>&1 || lost "flip $at of byte $at_byte in $file: not repaired"
    "$macula" run flipped.kdl >said 2>&1 || lost "flip $at of byte $at_byte in $file: the next run fails"
    diff -r -x .macula whole results >said 2>&1 || lost "flip $at of byte $at_byte in $file: different bytes"
    verified
    swept
done
echo "flipped.sh: $count flips ($objects in objects, $records in records, $items in items), all found;" \
    "$met met by a run and healed there, the others by records anew or by repair; 0 wrong bytes"
