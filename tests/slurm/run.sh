#!/usr/bin/env bash
# Stages as jobs of a real Slurm with three virtual nodes, run by hand:
#   tests/slurm/run.sh [COUNT=20]          MACULA=target/release/macula, FOLDER=a scratch folder
# 300 items, a sweep of 12 training runs, the driver killed COUNT times, a node lost, a job preempted, the controller restarted. Counts
# results that were lost, committed twice or computed again, and compares the time with plain `sbatch` of the same jobs.
# Not tested here: cgroups (out of memory shows as FAILED), network file systems, several users.
set -euo pipefail
count=${1:-20}
here=$(cd "$(dirname "$0")" && pwd)
macula=$(realpath "${MACULA:-$here/../../target/release/macula}")
folder=${FOLDER:-$(mktemp -d)}
mkdir -p "$folder"
export XDG_CONFIG_HOME=$folder/config
if ! command -v /usr/sbin/slurmctld > /dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
fi
cluster=$folder/cluster
"$here/cluster.sh" up "$cluster" 3 4
source "$cluster/env"
driver=
trap '[ -z "$driver" ] || kill -9 "$driver" 2> /dev/null; scancel --me 2> /dev/null || true; "$here/cluster.sh" down "$cluster"' EXIT
now() { date +%s.%N; }
since() { awk "BEGIN { printf \"%.1f\", $(now) - $1 }"; }

# A digest of the files of the patches.
digest() {
  "$macula" get pipeline.kdl patches "$folder/$1" > /dev/null 2>&1
  (cd "$folder/$1" && find . -type f | sort | xargs sha256sum | sha256sum)
}

# A project with a partition; its store is empty.
project() {
  mkdir -p "$folder/$1"
  cp "$here/pipeline.kdl" "$folder/$1/"
  printf 'executor slurm { partition %s; poll 2; wait 10; threads 1; memory "600MiB" }\n' "$2" > "$folder/$1/project.kdl"
  cd "$folder/$1"
}

# Runs the pipeline to its end; then the number of stages, of those without a result, of results that several attempts committed,
# of jobs that began, and of jobs beyond one for each stage.
finish() {
  "$macula" run pipeline.kdl "$@" > run.log 2>&1 || { tail -n 20 run.log; exit 1; }
}
table() {
  local jobs=.macula/v1/jobs
  python3 - "$jobs" .macula/v1/actions "$1" "$2" << 'PY'
import glob, json, os, sys
jobs, actions, name, seconds = sys.argv[1:]
keys = [os.path.basename(path) for path in glob.glob(f"{jobs}/*")]
lost = [key for key in keys if not glob.glob(f"{actions}/{key[:2]}/{key[2:]}.*")]
twice = again = begun = stopped = 0
for key in keys:
    ends = []
    for path in glob.glob(f"{jobs}/{key}/attempts/*"):
        ends.append(json.loads(open(path).read().split("\n")[1])["outcome"]["outcome"])
    begun += len(glob.glob(f"{jobs}/{key}/*.log"))
    twice += max(0, ends.count("computed") - 1)
    stopped += ends.count("stopped")
    again += max(0, len(glob.glob(f"{jobs}/{key}/*.log")) - 1)
print(f"{name:28} {len(keys):6} {len(lost):6} {twice:9} {begun:6} {again:9} {float(seconds):8.1f}")
sys.exit(1 if lost or twice else 0)
PY
}
printf '%-28s %6s %6s %9s %6s %9s %8s\n' "" stages lost "2 commits" jobs resubmits seconds

# 300 items, and 12 training runs.
project plain debug
start=$(now)
finish --sweep twelve
took=$(since "$start")
table "300 items, 12 training runs" "$took"
sha=$(digest plain-patches)

# The same jobs by hand: the records are removed, and each script is submitted again.
start=$(now)
rm -rf .macula/v1/actions/* .macula/v1/items/*
order=$(ls -tr .macula/v1/jobs)
submit() { sbatch --parsable --job-name=byhand --output=/dev/null --mem=600M --cpus-per-task=1 "$@" > /dev/null; }
last=
for stage in eyes patches sides twelve; do
  for key in $order; do
    name=$(sed -n 2p ".macula/v1/jobs/$key/order" | python3 -c 'import json,sys; print(json.load(sys.stdin)["stage"])')
    case $stage:$name in
      eyes:eyes | patches:patches | sides:sides | twelve:classifier*) submit ".macula/v1/jobs/$key/script" ;;
    esac
  done
  while [ -n "$(squeue -h --me --name=byhand)" ]; do sleep 0.2; done
done
plain=$(since "$start")
echo "plain sbatch of the same jobs: $plain s; macula took $(awk "BEGIN { printf \"%.2f\", $took / $plain }") times as long"

# The driver is killed at random times.
project killed debug
hit=0
start=$(now)
for _ in $(seq 1 "$count"); do
  "$macula" run pipeline.kdl --sweep twelve > /dev/null 2>&1 &
  driver=$!
  sleep "$(awk -v seed="$RANDOM" 'BEGIN { srand(seed); printf "%.2f", 0.3 + 3 * rand() }')"
  if kill -9 "$driver" 2> /dev/null; then hit=$((hit + 1)); fi
  wait "$driver" 2> /dev/null || true
done
driver=
finish --sweep twelve
table "driver killed $hit times" "$(since "$start")"
[ "$sha" = "$(digest killed-patches)" ]

# A node is lost with everything on it, in the middle of the training runs.
project lost debug
start=$(now)
"$macula" run pipeline.kdl --sweep twelve > run.log 2>&1 &
driver=$!
until squeue -h --me -t RUNNING -o '%k' | grep -q classifier; do sleep 0.2; done
node=$(squeue -h --me -t RUNNING -o '%N %k' | awk '/classifier/ { print $1; exit }')
victims=$(pgrep -f "slurmstepd: .*" || true)
kill -9 "$(cat "$cluster/run/slurmd-$node.pid")"
for job in $(squeue -h --me -t RUNNING -w "$node" -o %A); do
  for pid in $victims; do
    # Only this cluster's.
    if grep -qa "\[$job" "/proc/$pid/cmdline" 2> /dev/null && grep -qaF "$cluster" "/proc/$pid/environ" 2> /dev/null; then
      for child in $(pgrep -P "$pid" || true); do kill -9 "$child" 2> /dev/null || true; done
      kill -9 "$pid" 2> /dev/null || true
    fi
  done
done
wait "$driver" || { tail -n 20 run.log; exit 1; }
driver=
table "node lost" "$(since "$start")"
"$here/cluster.sh" node "$cluster" "$node"
until [ "$(sinfo -h -N -n "$node" -p debug -o %T)" = idle ]; do sleep 0.2; done

# Jobs of another partition take the place of the training runs.
project preempted preemptible
sed -i 's/epochs 2/epochs 40/' pipeline.kdl
start=$(now)
"$macula" run pipeline.kdl --sweep twelve > run.log 2>&1 &
driver=$!
until squeue -h --me -t RUNNING -o '%k' | grep -q classifier; do sleep 0.2; done
for _ in 1 2 3; do sbatch --parsable --job-name=urgent --partition=debug --exclusive --output=/dev/null --wrap "sleep 3" > /dev/null; done
wait "$driver" || { tail -n 20 run.log; exit 1; }
driver=
table "jobs preempted" "$(since "$start")"
grep -c "preempted JobId" "$cluster/log/slurmctld.log" | sed 's/$/ jobs were preempted/'

# The controller dies and comes back.
project controller debug
start=$(now)
"$macula" run pipeline.kdl --sweep twelve > run.log 2>&1 &
driver=$!
until squeue -h --me -t RUNNING -o '%k' | grep -q classifier; do sleep 0.2; done
kill -9 "$(cat "$cluster/run/slurmctld.pid")"
sleep 5
"$here/cluster.sh" controller "$cluster"
wait "$driver" || { tail -n 20 run.log; exit 1; }
driver=
table "controller restarted" "$(since "$start")"
