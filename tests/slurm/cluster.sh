#!/usr/bin/env bash
# A real Slurm on this machine, for tests: a controller and some virtual nodes on the loopback interface, all files in one folder.
#   cluster.sh up FOLDER [NODES=3] [CPUS=4]     then: source FOLDER/env
#   cluster.sh controller FOLDER                starts the controller again after a kill
#   cluster.sh node FOLDER NAME                 starts a node again
#   cluster.sh down FOLDER
# Needs Debian's slurmctld, slurmd, slurm-client and munge; no systemd, no cgroups. SLURM_TEST_PORT moves the ports (16800…).
set -euo pipefail
deed=${1:?up, controller, node or down}
mkdir -p "${2:?folder}"
folder=$(cd "$2" && pwd)
port=${SLURM_TEST_PORT:-16800}
export SLURM_CONF=$folder/slurm.conf

case $deed in
up)
  nodes=${3:-3} cpus=${4:-4} user=$(id -un) host=$(hostname -s)
  mkdir -p "$folder"/{munge,state,spool,log,run}
  chmod 0711 "$folder/munge"
  if [ ! -f "$folder/munge/key" ]; then
    (umask 077 && head -c 1024 /dev/urandom > "$folder/munge/key")
  fi
  /usr/sbin/munged --key-file="$folder/munge/key" --socket="$folder/munge/sock" --pid-file="$folder/munge/pid" \
    --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" --num-threads=2
  {
    echo "ClusterName=macula"
    echo "SlurmctldHost=$host(127.0.0.1)"
    echo "SlurmctldPort=$port"
    echo "SlurmUser=$user"
    echo "SlurmdUser=$user"
    echo "AuthType=auth/munge"
    echo "AuthInfo=socket=$folder/munge/sock"
    echo "CredType=cred/munge"
    echo "StateSaveLocation=$folder/state"
    echo "SlurmdSpoolDir=$folder/spool/%n"
    echo "SlurmctldPidFile=$folder/run/slurmctld.pid"
    echo "SlurmdPidFile=$folder/run/slurmd-%n.pid"
    echo "SlurmctldLogFile=$folder/log/slurmctld.log"
    echo "SlurmdLogFile=$folder/log/slurmd-%n.log"
    echo "ProctrackType=proctrack/linuxproc"
    echo "TaskPlugin=task/none"
    echo "JobAcctGatherType=jobacct_gather/linux"
    echo "JobAcctGatherFrequency=2"
    echo "JobAcctGatherParams=OverMemoryKill"
    echo "AccountingStorageType=accounting_storage/none"
    echo "MpiDefault=none"
    echo "SchedulerType=sched/backfill"
    echo "SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=0"
    echo "SelectType=select/cons_tres"
    echo "SelectTypeParameters=CR_Core_Memory"
    echo "PreemptType=preempt/partition_prio"
    echo "PreemptMode=REQUEUE"
    echo "JobRequeue=1"
    echo "DefMemPerCPU=200"
    # Nodes that died are noticed soon.
    echo "SlurmdTimeout=10"
    echo "KillWait=5"
    echo "ReturnToService=2"
    echo "SlurmdParameters=config_overrides"
    for node in $(seq 1 "$nodes"); do
      mkdir -p "$folder/spool/n$node"
      echo "NodeName=n$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 10 + node)) CPUs=$cpus RealMemory=4000"
    done
    echo "PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF"
    echo "PartitionName=preemptible Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=3"
  } > "$folder/slurm.conf"
  echo "export SLURM_CONF=$folder/slurm.conf" > "$folder/env"
  /usr/sbin/slurmctld -i
  for node in $(seq 1 "$nodes"); do /usr/sbin/slurmd -N "n$node"; done
  for _ in $(seq 1 300); do
    up=$(timeout 2 sinfo -h -N -o '%N %T' 2> /dev/null | awk '$2 == "idle" { print $1 }' | sort -u | wc -l || true)
    if [ "$up" = "$nodes" ]; then exit 0; fi
    sleep 0.1
  done
  echo "the cluster did not start; its logs are in $folder/log" >&2
  exit 1
  ;;
controller) /usr/sbin/slurmctld ;;
node) /usr/sbin/slurmd -N "${3:?name}" ;;
down)
  # Only what this cluster started, by its files.
  for file in "$folder"/run/slurmd-*.pid "$folder/run/slurmctld.pid" "$folder/munge/pid"; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    kill "$pid" 2> /dev/null || continue
    for _ in $(seq 1 50); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2> /dev/null || true
  done
  ;;
esac
