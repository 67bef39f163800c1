#!/usr/bin/env bash
# A SLURM of one node, this machine: slurm.sh start | stop. Installs slurm-wlm and munge where they are missing; needs
# root. It listens on the loopback address only, and has one partition, main.
set -euo pipefail

start() {
    if scontrol ping 2>/dev/null | grep -q UP; then
        exit 0
    fi
    if [ "$(id -u)" != 0 ]; then
        echo "slurm.sh: needs root" >&2
        exit 1
    fi
    if ! command -v slurmctld slurmd munged sbatch >/dev/null; then
        apt-get update -q
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends slurm-wlm munge
    fi
    local host memory
    host=$(hostname -s)
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    [ -e /etc/munge/munge.key ] || mungekey --create
    mkdir -p /run/munge /var/spool/slurmctld /var/spool/slurmd /var/log/slurm /etc/slurm
    chown munge:munge /run/munge
    pgrep -x munged >/dev/null || runuser -u munge -- /usr/sbin/munged
    cat >/etc/slurm/slurm.conf <<CONF
ClusterName=lt
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    slurmctld -c  # without jobs that an earlier one left
    slurmd
    for _ in $(seq 60); do
        if [ "$(sinfo --noheader --format %T 2>/dev/null)" = idle ]; then
            exit 0
        fi
        sleep 0.5
    done
    echo "slurm.sh: no idle node after 30 seconds" >&2
    tail -n 20 /var/log/slurm/*.log >&2
    exit 1
}

stop() {
    for file in /run/slurmd.pid /run/slurmctld.pid /run/munge/munged.pid; do
        if [ -e "$file" ]; then
            kill "$(cat "$file")" || true
        fi
    done
}

case "${1:-}" in
    start) start ;;
    stop) stop ;;
    *) echo "usage: slurm.sh start | stop" >&2; exit 2 ;;
esac
