# A Slurm cluster of three nodes on this machine, to be sourced by a test. Needs root and Debian.
#
# Each node has a host name and processes of its own (namespaces), so that a worker on one node cannot see whether a
# process of another is alive. All nodes share the file system. Everything is below one folder; nothing in /etc, /var or
# /run is used, and processes are ended by their ids.

CLUSTER_NODES=(n1 n2 n3)
PATH=$PATH:/usr/sbin:/sbin

# Installs Slurm if it is missing. Fails if that is impossible.
cluster_install() {
  command -v slurmctld slurmd sbatch munged >/dev/null && return
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return
  export DEBIAN_FRONTEND=noninteractive
  # Installed services must not start.
  local policy=/usr/sbin/policy-rc.d had_policy=yes installed=0
  if [ ! -e "$policy" ]; then
    had_policy=
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
  fi
  { apt-get -qq update && apt-get -qq install -y --no-install-recommends slurmctld slurmd slurm-client munge; } \
    >/dev/null 2>&1 || installed=$?
  [ -n "$had_policy" ] || rm "$policy"
  return "$installed"
}

# Succeeds if nodes can have namespaces of their own.
cluster_is_possible() {
  unshare --pid --fork --uts --mount-proc true 2>/dev/null
}

# Starts a cluster in a new folder.
cluster_start() {
  CLUSTER=$1
  mkdir -p "$CLUSTER"/{state,spool,log,run}
  chmod 755 "$CLUSTER" "$CLUSTER"/*
  export SLURM_CONF=$CLUSTER/slurm.conf
  (umask 077 && head -c 1024 /dev/urandom >"$CLUSTER/munge.key")
  cluster_configuration >"$SLURM_CONF"
  munged --foreground --force --key-file="$CLUSTER/munge.key" --socket="$CLUSTER/run/munge" --pid-file="$CLUSTER/run/munged.pid" \
    --seed-file="$CLUSTER/run/munge.seed" --log-file="$CLUSTER/log/munged" >/dev/null 2>&1 &
  CLUSTER_MUNGED=$!
  cluster_wait 10 "munged" test -S "$CLUSTER/run/munge"
  slurmctld -D -c >"$CLUSTER/log/slurmctld.out" 2>&1 &
  CLUSTER_CONTROLLER=$!
  local node
  for node in "${CLUSTER_NODES[@]}"; do node_start "$node"; done
  cluster_wait 30 "idle nodes" nodes_are_idle
}

# Daemons that a previous call started are ended, the controller first so that it requeues nothing.
cluster_stop() {
  [ -n "${CLUSTER:-}" ] || return 0
  kill -TERM "${CLUSTER_CONTROLLER:-}" 2>/dev/null && wait "$CLUSTER_CONTROLLER" 2>/dev/null
  local node
  for node in "${CLUSTER_NODES[@]}"; do node_crash "$node"; done
  kill -TERM "${CLUSTER_MUNGED:-}" 2>/dev/null && wait "$CLUSTER_MUNGED" 2>/dev/null
  rm -rf "$CLUSTER"
}

node_start() {
  mkdir -p "$CLUSTER/spool/$1"
  unshare --pid --fork --uts --mount-proc --kill-child bash -c 'hostname "$1" && exec slurmd -D -N "$1"' slurmd "$1" \
    >"$CLUSTER/log/$1.out" 2>&1 &
  echo $! >"$CLUSTER/run/$1"
}

# The end of the first process in a namespace ends all others there at once, like a power cut.
node_crash() {
  local process
  process=$(cat "$CLUSTER/run/$1" 2>/dev/null) || return 0
  kill -KILL "$process" 2>/dev/null
  wait "$process" 2>/dev/null
  rm -f "$CLUSTER/run/$1"
}

nodes_are_idle() {
  [ "$(sinfo -h -N -p low -o %T | grep -cx idle)" = "${#CLUSTER_NODES[@]}" ]
}

# cluster_wait SECONDS WHAT COMMAND…: waits until a command succeeds; ends the test if it does not.
cluster_wait() {
  local seconds=$1 what=$2 end
  shift 2
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "slurm test: waited $seconds s in vain for: $what" >&2
      return 1
    fi
    sleep 0.1
  done
}

# Prints a port on which nobody listens, another one at each call.
free_port() {
  CLUSTER_PORT=$((${CLUSTER_PORT:-20000 + RANDOM % 10000} + 1))
  while (exec 3<>"/dev/tcp/127.0.0.1/$CLUSTER_PORT") 2>/dev/null; do CLUSTER_PORT=$((CLUSTER_PORT + 1)); done
}

cluster_configuration() {
  local user node
  user=$(id -un)
  free_port
  cat <<END
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$CLUSTER_PORT
SlurmUser=$user
SlurmdUser=$user
# A job that is put back waits until its credential has expired.
AuthInfo=socket=$CLUSTER/run/munge,cred_expire=5
StateSaveLocation=$CLUSTER/state
SlurmdSpoolDir=$CLUSTER/spool/%n
SlurmctldPidFile=$CLUSTER/run/slurmctld.pid
SlurmdPidFile=$CLUSTER/run/%n.pid
SlurmctldLogFile=$CLUSTER/log/slurmctld
SlurmdLogFile=$CLUSTER/log/%n
# No cgroups, no accounting, no mail.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MailProg=/bin/true
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
# Nodes may have more processors than this machine.
SlurmdParameters=config_overrides
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
MaxArraySize=3
MaxJobCount=1000
KillWait=3
SlurmdTimeout=4
MessageTimeout=5
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=10000,bf_interval=1
END
  for node in "${CLUSTER_NODES[@]}"; do
    free_port
    echo "NodeName=$node NodeHostname=localhost NodeAddr=127.0.0.1 Port=$CLUSTER_PORT CPUs=3 RealMemory=1000"
  done
  echo "PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=5 MaxTime=INFINITE State=UP"
  echo "PartitionName=high Nodes=ALL PriorityTier=2 PreemptMode=OFF MaxTime=INFINITE State=UP"
}
