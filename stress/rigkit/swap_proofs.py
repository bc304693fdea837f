"""The scenarios about an attachment that the guest swaps on, as pieces for scenarios.py.

`swap-audit` counts what the kernel allocates for the I/O process, `swap-no-memory` makes that
fail. Both swap over AF_XDP with zero copy first, and then over the kernel's TCP, where the same
must show.
"""

import statistics

from . import allocations, proofs
from . import facts as facts_module

# The guest attaches like this or not at all.
ATTACH_WORDS = "--tier A --path xdp --set classifier=require --set management_port=22"

SWAP_SHELL = """
wait_for 100 pgrep -x holdfast-io || give_up "no I/O process"
modprobe -q xsk_diag

# Swaps on DEV; the I/O process is pid, and what the kernel counts of the disk is in the file stat.
begin_swap() {
    disk=$(readlink -f "$DEV") stat=/sys/block/${disk##*/}/stat
    [ -r "$stat" ] || give_up "no $stat"
    mkswap "$DEV" >/dev/null || give_up "mkswap failed"
    swapon "$DEV" || give_up "swapon failed"
    pid=$(pgrep -x holdfast-io)
}

# Sets `served` (requests) and `pages` of the disk, and `now` in ms. Without a fork.
sample() {
    read -r reads _ sectors_in _ writes _ sectors_out _ <$stat
    read -r uptime _ </proc/uptime
    served=$((reads + writes)) pages=$(((sectors_in + sectors_out) / 8))
    now=$((${uptime%.*} * 1000 + 10 * $((1${uptime#*.} - 100))))
}

# What the attachment came to; $1 is the path's name.
tell_session() {
    holdfast status --json >/tmp/status.json 2>&1
    log "$1_status" </tmp/status.json
    ss -e --xdp >/tmp/sockets
    log "$1_sockets" </tmp/sockets
    rig "$1_min_free_kbytes=$(cat /proc/sys/vm/min_free_kbytes)"
}

# The same disk over the kernel's TCP instead. Nobody swaps any more.
over_kernel() {
    swapoff "$DEV" || give_up "swapoff failed"
    holdfast detach disk0 >/tmp/detach.log 2>&1 ||
        { log detach </tmp/detach.log; give_up "detach failed"; }
    holdfast attach --profile swap --name disk0 --path kernel \\
        "iscsi://$HOST_ADDRESS:$ISCSI_PORT/$IQN/$LUN" >/tmp/attach.log 2>&1 ||
        { log attach </tmp/attach.log; give_up "attach over the kernel's TCP failed"; }
    wait_for 300 test -b "$DEV" || give_up "no disk after the second attach"
}
"""

# ---- swap-audit

WARM_UP_S = 5
KERNEL_S = 8
# Beside virtio's descriptors, softirqs allocate for what is not ours: ARP, timers. Those come with
# time, however few requests there are.
STRAYS_MAX = 50
STRAY_PER_REQUEST_MAX = proofs.STRAY_PER_REQUEST_MAX
REQUESTS_MIN = 100  # Fewer prove nothing.
KERNEL_PER_REQUEST_MIN = proofs.KERNEL_PER_REQUEST_MIN

AUDIT_SCRIPT = SWAP_SHELL + proofs.TRACE_SHELL + """
WATCHED=holdfast-io

# audit NAME SECONDS: a storm, and what is allocated in its midst.
audit() {
    begin_swap
    setarch -R stress-ng --vm 1 --vm-bytes "${STRESS_MIB}m" --vm-method walk-1a --verify \\
        -t $((WARM_UP_S + $2 + 2)) --metrics >/tmp/stress.log 2>&1 &
    load=$!
    sleep "$WARM_UP_S"
    watch ''
    sample
    from=$served
    sleep $2
    sample
    rig "$1_requests=$((served - from))"
    for event in $EVENTS; do log "$1_hist" <$TRACING/events/$event/hist; done
    watch '!'
    wait $load
    rig "$1_stress_status=$?"
    log stress </tmp/stress.log
    tell_session "$1"
}

rig phase=load
audit reserved "$SECONDS_LOAD"
over_kernel
audit kernel "$KERNEL_S"
rig phase=loaded
"""


def _attachment(facts, name):
    status = facts_module.parse_json_lines(["".join(facts.logs.get(f"{name}_status", []))])
    return (status.get("attachments") or [{}])[0]


def _read_session(facts):
    """Tier, mode and losses of the attachment over AF_XDP."""
    reserved = _attachment(facts, "reserved")
    counters = reserved.get("counters", {})
    facts.values |= {
        "reserved_tier": str(reserved.get("tier", "")),
        "kernel_tier": str(_attachment(facts, "kernel").get("tier", "")),
        "requests_failed": str(counters.get("requests_failed", "")),
        "sessions_lost": str(counters.get("sessions_lost", "")),
    }
    sockets = " ".join(facts.logs.get("reserved_sockets", []))
    facts.values["zero_copy"] = str(int("zc:1" in sockets))


def _demand_session(facts):
    number = facts.number
    return [
        (facts.values.get("reserved_tier") == "A", "the attachment is not of tier A"),
        (number("zero_copy") == 1, "the kernel shows no socket with zero copy"),
        (
            number("reserved_min_free_kbytes") == number("boot_min_free_kbytes"),
            "vm.min_free_kbytes was not given back",
        ),
        (number("requests_failed") == 0, "requests failed over AF_XDP"),
        (number("sessions_lost") == 0, "the session over AF_XDP was lost"),
    ]


def read_audit(facts):
    """For each path: requests, allocations of our threads, and of softirqs.

    What may fail unnoticed is counted apart: allocations.site_of().
    """
    values = facts.values
    for name in ("reserved", "kernel"):
        requests = facts.number(f"{name}_requests", 0)
        counts = allocations.read_histograms(facts.logs.get(f"{name}_hist", []))
        descriptors = counts.total("interrupt", allocations.DESCRIPTORS)
        sheaves = counts.total("thread", allocations.SHEAVES)
        strays = counts.total("interrupt") - descriptors
        strays -= counts.total("interrupt", allocations.SHEAVES)
        values |= {
            f"{name}_thread": str(counts.total("thread") - sheaves),
            f"{name}_sheaves": str(sheaves),
            f"{name}_network": str(counts.parts["thread", "network"]),
            f"{name}_descriptors": str(descriptors),
            f"{name}_strays": str(strays),
            f"{name}_unseen": str(counts.dropped),
            f"{name}_histograms": str(counts.histograms),
        }
        watched = dict.fromkeys(("thread", "interrupt"), max(requests, 1))
        facts.logs[f"{name}_sites"] = allocations.table(counts, watched)
        facts.logs[f"{name}_stacks"] = [
            f"{context} {site}: {' < '.join(frames)}"
            for (context, site), frames in counts.stacks.items()
        ]
    _, bad = facts_module.parse_stress_ng(facts.logs.get("stress", []))
    values["mismatches"] = str(bad)
    _read_session(facts)


def demand_audit(facts):
    """No allocation of our threads over AF_XDP, and a tool that sees those of the kernel's TCP."""
    number = facts.number
    reserved = number("reserved_requests", 0)
    kernel = number("kernel_requests", 0)
    return [
        *_demand_session(facts),
        (reserved >= REQUESTS_MIN and kernel > 0, f"only {reserved} and {kernel} requests"),
        (facts.values.get("reserved_stress_status") == "0", "stress-ng failed over AF_XDP"),
        (facts.values.get("kernel_stress_status") == "0", "stress-ng failed over the kernel's TCP"),
        *proofs.demand_counted(facts),
        (
            number("reserved_strays", 0) <= STRAYS_MAX + STRAY_PER_REQUEST_MAX * reserved,
            f"{number('reserved_strays')} allocations in softirqs beside virtio's descriptors",
        ),
        (
            number("kernel_network", 0) >= KERNEL_PER_REQUEST_MIN * kernel,
            "the kernel's path shows no allocations: the count sees nothing",
        ),
    ]


AUDIT = {
    "script": AUDIT_SCRIPT,
    "read": read_audit,
    "demands": demand_audit,
    "figures": (
        "reserved_requests",
        "reserved_thread",
        "reserved_sheaves",
        "reserved_descriptors",
        "reserved_strays",
        "kernel_requests",
        "kernel_thread",
    ),
    "variables": {"WARM_UP_S": WARM_UP_S, "KERNEL_S": KERNEL_S, "STRESS_MIB": 500},
    "attach_words": ATTACH_WORDS,
    "initiators": ("holdfast",),
    "nic": "virtio-dma",
}

# ---- swap-no-memory

# As proofs.WINDOW_KINDS, there and back, so that what drifts does not favour one of them.
ROUND = ("none", "threads", "filter", "softirq", "softirq", "filter", "threads", "none")
ROUND_KERNEL = ("none", "threads", "filter", "softirq")
WINDOWS_MIN = 4  # of each kind

NO_MEMORY_SCRIPT = SWAP_SHELL + proofs.FAULT_SHELL + """
# The load's state without a fork; its name has no blank.
is_alive() { read -r _ _ state _ </proc/$load/stat && [ "$state" != Z ]; }

GROUP=/sys/fs/cgroup/load
[ -e /sys/fs/cgroup/cgroup.procs ] || mount -t cgroup2 nodev /sys/fs/cgroup ||
    give_up "no cgroups"
echo +memory >/sys/fs/cgroup/cgroup.subtree_control || give_up "no memory controller"
mkdir $GROUP
echo "${RESIDENT_MIB}M" >$GROUP/memory.max

# One window has to be like the other: squeeze touches pages at random, and has little memory for
# itself alone, so that what else runs here is not swapped. $1: seconds.
begin_load() {
    begin_swap
    sh -c "echo \\$\\$ >$GROUP/cgroup.procs && exec squeeze --anon $SQUEEZE_MIB --threads 4 \\
        --seconds $1 --seed $SEED --json $SABOTAGE" >/tmp/squeeze.log 2>&1 &
    load=$!
    sleep "$WARM_UP_S"
}

# window NAME KIND: reports what was served, in how long, and what failed.
window() {
    aim $2
    [ $2 = none ] || set_both times $ALL_FAILED
    sample
    from=$now from_pages=$pages from_served=$served
    sleep "$WINDOW_S"
    sample
    took=$((now - from)) bytes=$((4096 * (pages - from_pages))) requests=$((served - from_served))
    slabs=0 failed_pages=0
    [ $2 = none ] || { slabs=$(failed failslab) failed_pages=$(failed fail_page_alloc); }
    spare
    is_alive || return
    rig "window=$1 $2 bytes=$bytes ms=$took slabs=$slabs pages=$failed_pages requests=$requests"
}

# Waits, a minute at most, until requests are served again.
until_served() {
    sample
    from_served=$served tries=0
    while [ $((served - from_served)) -lt 50 ]; do
        sleep 0.5
        sample
        tries=$((tries + 1))
        [ $tries -lt 120 ] || { rig "kernel_stalled=1"; return 1; }
    done
}

# end_load NAME: up to two minutes for squeeze to verify every page.
end_load() {
    tries=0
    while is_alive && [ $tries -lt 240 ]; do
        sleep 0.5
        tries=$((tries + 1))
    done
    is_alive && { rig "$1_squeeze_status=stalled"; return 1; }
    wait $load
    rig "$1_squeeze_status=$?"
    log "$1_squeeze" </tmp/squeeze.log
}

rig phase=load
begin_load $((WARM_UP_S + SECONDS_LOAD))
sample
ends=$((now + 1000 * SECONDS_LOAD - 1100 * 8 * WINDOW_S))
while [ "$now" -lt $ends ]; do
    for kind in $ROUND; do window reserved $kind; done
done
end_load reserved
tell_session reserved
over_kernel
begin_load $((WARM_UP_S + KERNEL_S))
for kind in $ROUND_KERNEL; do
    window kernel $kind
    until_served || break
done
end_load kernel
tell_session kernel
rig phase=loaded
"""


def paired_ratios(found, kind):
    """The throughput of each window of `kind` against that of its neighbour without failures."""
    pairs = zip(found[kind], found[proofs.HELD_AGAINST[kind]])
    return [rate / base for rate, base in pairs if base > 0]


def spread(values):
    """(median, lower quartile, upper quartile), or None of fewer than two."""
    if len(values) < 2:
        return None
    low, _, high = statistics.quantiles(values, n=4)
    return statistics.median(values), low, high


def read_no_memory(facts):
    """For each path and kind of window: failed allocations, and throughput against the others."""
    values = facts.values
    entries = facts.lists.get("window", [])
    facts.logs["windows"] = entries
    bad = 0
    for name in ("reserved", "kernel"):
        found, failed = proofs.rates(entries, name)
        values[f"{name}_kib_s"] = str(round(statistics.median(found["none"] or [0]) / 1024))
        for kind, other in proofs.HELD_AGAINST.items():
            values[f"{name}_{kind}_windows"] = str(len(found[kind]))
            values[f"{name}_{kind}_failed"] = str(failed[kind])
            if found[kind] and sum(found[other]) > 0:
                ratio = statistics.mean(found[kind]) / statistics.mean(found[other])
                values[f"{name}_{kind}_mean_ratio"] = f"{ratio:.3f}"
            if paired := spread(paired_ratios(found, kind)):
                for word, value in zip(("ratio", "ratio_q1", "ratio_q3"), paired):
                    values[f"{name}_{kind}_{word}"] = f"{value:.3f}"
        squeeze = facts_module.parse_json_lines(facts.logs.get(f"{name}_squeeze", []))
        values[f"{name}_touches"] = str(squeeze.get("touches", 0))
        bad += squeeze.get("mismatches", 0)
    values["mismatches"] = str(bad)
    _read_session(facts)


def demand_no_memory(facts):
    """The reserved path does not notice; the kernel's path does, or the test shows nothing."""
    number = facts.number
    wanted = [
        *_demand_session(facts),
        (facts.values.get("reserved_squeeze_status") == "0", "squeeze failed over AF_XDP"),
    ]
    for kind in proofs.HELD_AGAINST:
        windows = number(f"reserved_{kind}_windows", 0)
        wanted.append((windows >= WINDOWS_MIN, f"{kind}: only {windows} windows: load longer"))
        ratio = number(f"reserved_{kind}_ratio") or 0
        fast = ratio >= proofs.RATIO_MIN
        wanted.append((fast, f"{kind}: {ratio} of the throughput without failures"))
        ratio = number(f"kernel_{kind}_mean_ratio") or 0
        suffers = ratio <= proofs.KERNEL_RATIO_MAX
        wanted.append((suffers, f"{kind}: the kernel's path keeps {ratio}: nothing was proved"))
        failed = number(f"kernel_{kind}_failed", 0) > 0 or number("kernel_stalled") == 1
        wanted.append((failed, f"{kind}: nothing failed on the kernel's path: no injection"))
    failed = number("reserved_softirq_failed", 0) > 0
    wanted.append((failed, "softirq: nothing failed over AF_XDP: no injection"))
    return wanted


NO_MEMORY = {
    "script": NO_MEMORY_SCRIPT,
    "read": read_no_memory,
    "demands": demand_no_memory,
    "figures": (
        "reserved_kib_s",
        *(
            f"reserved_{kind}_{word}"
            for kind in proofs.HELD_AGAINST
            for word in ("windows", "failed", "ratio", "ratio_q1", "ratio_q3", "mean_ratio")
        ),
        *(
            f"kernel_{kind}_{word}"
            for kind in proofs.HELD_AGAINST
            for word in ("failed", "mean_ratio")
        ),
    ),
    "variables": {
        "WARM_UP_S": 15,
        "WINDOW_S": 2,
        "KERNEL_S": 30,
        "SQUEEZE_MIB": 160,
        "RESIDENT_MIB": 80,
        "ROUND": " ".join(ROUND),
        "ROUND_KERNEL": " ".join(ROUND_KERNEL),
    },
    "attach_words": ATTACH_WORDS,
    "programs": ("squeeze",),
    "kernels": ("fault",),
    "initiators": ("holdfast",),
    "nic": "virtio-dma",
}
