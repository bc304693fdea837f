# Shared by every job. Runs under dash; prefers built-ins, because a fork needs memory.

# The port to the host is descriptor 9; a shell inside a job inherits it.
if [ ! -e /proc/self/fd/9 ]; then
    for each in /sys/class/virtio-ports/*; do
        [ "$(cat "$each/name")" = rig ] && exec 9<>"/dev/${each##*/}"
    done
fi

# One fact for the host: rig key=value.
rig() { echo "RIG $*" >&9; }

# A whole text for the host: log NAME <FILE.
log() {
    while IFS= read -r line || [ -n "$line" ]; do echo "LOG $1: $line" >&9; done
}

# The job cannot go on: says why and ends the guest.
give_up() {
    rig "failed=$*"
    finish
}

finish() {
    rig done=1
    echo o >/proc/sysrq-trigger
    while :; do sleep 60; done
}

# Waits up to $1 tenths of a second until the rest of the words succeeds as a command.
wait_for() {
    tenths=$1
    shift
    while ! "$@" >/dev/null 2>&1; do
        tenths=$((tenths - 1))
        [ $tenths -gt 0 ] || return 1
        sleep 0.1
    done
}

# Reports the counters that tell the story of a storm, with prefix $1.
report_counters() {
    read -r packets </sys/class/net/eth0/statistics/rx_packets
    rig "$1_rx_packets=$packets"
    while read -r name value; do
        case $name in
        pswpin | pswpout | oom_kill | pgmajfault | allocstall_*) rig "$1_$name=$value" ;;
        esac
    done </proc/vmstat
}

network_up() {
    ip address add "$GUEST_ADDRESS/$MASK_BITS" dev eth0
    ip link set eth0 up
    wait_for 100 has_carrier || give_up "no network"
}

has_carrier() { [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; }

# Memory that each Holdfast process holds locked, in KiB; $1 says when.
report_locked() {
    for status in /proc/[0-9]*/status; do
        name= locked= anonymous=
        while read -r key value _; do
            case $key in
            Name:) name=$value ;;
            VmLck:) locked=$value ;;
            RssAnon:) anonymous=$value ;;
            esac
        done <"$status"
        case $name in
        holdfast*) rig "locked_$1=${status#/proc/} $name VmLck=$locked RssAnon=$anonymous" ;;
        esac
    done 2>/dev/null
}

common_settings() {
    # A task stuck for this long is a result. Detection only: nothing else changes.
    detection=/proc/sys/kernel/hung_task_timeout_secs
    [ ! -e $detection ] || echo "$HUNG_TASK_S" >$detection
    [ -z "$MIN_FREE_KBYTES" ] || echo "$MIN_FREE_KBYTES" >/proc/sys/vm/min_free_kbytes
    rig "boot_min_free_kbytes=$(cat /proc/sys/vm/min_free_kbytes)"
}
