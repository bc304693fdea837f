"""The scenarios about the reserved path and memory, as pieces for scenarios.py.

`xdp-audit` counts the kernel's allocations; `no-memory` makes them fail. Both run the client's own
sessions: what is proved is the path, not an attachment.
"""

import statistics

from . import allocations
from . import facts as facts_module

# What `holdfast bench`, process $pid, is at: it names its thread while it measures.
COMMON_SHELL = """
url="iscsi://$HOST_ADDRESS:$ISCSI_PORT/$IQN/$LUN"
is_measuring() { grep -q holdfast-load "/proc/$pid/comm"; }
has_ended() { [ "$(cut -d ' ' -f 3 "/proc/$pid/stat")" = Z ]; }
has_begun() { is_measuring || has_ended; }
"""

# ---- xdp-audit

# Requests before the count: caches of the kernel fill, windows open. Interrupts are counted from
# the first one on, because they have no name.
WARM_UP = 20000
# With the kernel's path, to see that what is there is found.
REQUESTS_KERNEL = 20000
# Softirqs also serve what is not ours: timers, ARP.
STRAY_PER_REQUEST_MAX = 0.001
KERNEL_PER_REQUEST_MIN = 0.05

# Counts the kernel's allocations by stack; needs WATCHED, the name of a thread.
TRACE_SHELL = """
TRACING=/sys/kernel/tracing
[ -d $TRACING/events ] || mount -t tracefs nodev $TRACING || give_up "no tracefs"
modprobe -q xsk_diag

# kmem_cache_alloc_bulk has no event of its own.
echo 'p:holdfast/bulk kmem_cache_alloc_bulk_noprof' >$TRACING/kprobe_events ||
    give_up "no kprobe on kmem_cache_alloc_bulk"
EVENTS="kmem/kmalloc kmem/kmem_cache_alloc kmem/mm_page_alloc holdfast/bulk"

# The thread that is called WATCHED, workers of io_uring, and interrupts and softirqs (8 and 16) on
# whatever they interrupt. $1 is '' to begin and '!' to end.
watch() {
    for event in $EVENTS; do
        echo "$1hist:keys=common_flags,common_stacktrace:size=4096 if comm == \\"$WATCHED\\" \\
|| comm ~ \\"iou-*\\" || common_flags & 24" >$TRACING/events/$event/trigger ||
            give_up "no histogram of $event"
    done
}
"""

AUDIT_SCRIPT = COMMON_SHELL + TRACE_SHELL + """
WATCHED=holdfast-load

# audit NAME REQUESTS OPTIONS...
audit() {
    name=$1 requests=$2
    shift 2
    watch ''
    holdfast bench "$url" --rw randrw --bs 4KiB --depth 16 --seconds 86400 --json \\
        --warm-up "$WARM_UP" --requests "$requests" "$@" >/tmp/bench.json 2>/tmp/bench.log &
    pid=$!
    wait_for 3000 has_begun
    ss -e --xdp >/tmp/sockets
    wait $pid
    rig "${name}_status=$?"
    log "${name}_bench" </tmp/bench.json
    log "${name}_said" </tmp/bench.log
    log "${name}_sockets" </tmp/sockets
    for event in $EVENTS; do log "${name}_hist" <$TRACING/events/$event/hist; done
    watch '!'
}

rig phase=load
audit reserved "$REQUESTS" --set path=xdp --zero-copy
audit kernel "$REQUESTS_KERNEL" --set path=kernel
rig phase=loaded
"""


def read_audit(facts):
    """For each path: requests, allocations in threads, descriptors and strays of softirqs."""
    values = facts.values
    for name in ("reserved", "kernel"):
        bench = facts_module.parse_json_lines(["".join(facts.logs.get(f"{name}_bench", []))])
        requests = bench.get("requests", 0)
        counts = allocations.read_histograms(facts.logs.get(f"{name}_hist", []))
        strays = counts.total("interrupt") - counts.total("interrupt", allocations.DESCRIPTORS)
        values |= {
            f"{name}_requests": str(requests),
            f"{name}_iops": str(round(bench.get("iops", 0))),
            f"{name}_thread": str(counts.total("thread")),
            f"{name}_descriptors": str(counts.total("interrupt", allocations.DESCRIPTORS)),
            f"{name}_strays": str(strays),
            f"{name}_unseen": str(counts.dropped),
            f"{name}_histograms": str(counts.histograms),
        }
        watched = {"thread": max(requests, 1), "interrupt": requests + WARM_UP}
        facts.logs[f"{name}_sites"] = allocations.table(counts, watched)
        facts.logs[f"{name}_stacks"] = [
            f"{context} {site}: {' < '.join(frames)}"
            for (context, site), frames in counts.stacks.items()
        ]
    sockets = " ".join(facts.logs.get("reserved_sockets", []))
    values["zero_copy"] = str(int("zc:1" in sockets))


def demand_counted(facts):
    """All events of both paths were counted, and none of them was an allocation of our threads."""
    number = facts.number
    return [
        (
            all(number(f"{name}_histograms", 0) == 4 for name in ("reserved", "kernel")),
            "histograms are missing",
        ),
        (
            number("reserved_unseen") == 0 and number("kernel_unseen") == 0,
            "events found no place in a histogram",
        ),
        (number("reserved_thread") == 0, f"{number('reserved_thread')} allocations in our threads"),
    ]


def demand_audit(facts):
    """Zero copy as the kernel tells it, no allocation of ours, and a tool that can see some."""
    number = facts.number
    reserved = number("reserved_requests") or 0
    kernel = number("kernel_requests") or 0
    return [
        (facts.values.get("reserved_status") == "0", "bench over the reserved path failed"),
        (facts.values.get("kernel_status") == "0", "bench over the kernel's path failed"),
        (reserved > 0 and kernel > 0, "no requests"),
        (number("zero_copy") == 1, "the kernel shows no socket with zero copy"),
        *demand_counted(facts),
        (
            number("reserved_strays", 0) <= STRAY_PER_REQUEST_MAX * (reserved + WARM_UP),
            f"{number('reserved_strays')} allocations in softirqs beside virtio's descriptors",
        ),
        (
            number("kernel_thread", 0) >= KERNEL_PER_REQUEST_MIN * kernel,
            "the kernel's path shows no allocations: the count sees nothing",
        ),
    ]


AUDIT = {
    "script": AUDIT_SCRIPT,
    "read": read_audit,
    "demands": demand_audit,
    "figures": (
        "zero_copy",
        "reserved_requests",
        "reserved_thread",
        "reserved_descriptors",
        "reserved_strays",
        "kernel_requests",
        "kernel_thread",
    ),
    "variables": {
        "REQUESTS": 1000000,
        "WARM_UP": WARM_UP,
        "REQUESTS_KERNEL": REQUESTS_KERNEL,
    },
    "initiators": ("client",),
    "nic": "virtio-dma",
}

# ---- no-memory

# Windows of one run, in turn: nothing fails; allocations of our threads fail; every allocation's
# stack is looked at, which takes its time, and nothing fails; those of the card's softirq fail.
WINDOW_KINDS = ("none", "threads", "filter", "softirq")
# Kind of window with failures -> what it is held against.
HELD_AGAINST = {"threads": "none", "softirq": "filter"}
RATIO_MIN = 0.95
# The kernel's path may keep no more than this share, or must end with an error.
KERNEL_RATIO_MAX = 0.5
MISMATCH_STATUS = "7"  # of `holdfast verify`

# Makes allocations fail; process $pid is ours.
FAULT_SHELL = """
DEBUG=/sys/kernel/debug
[ -d $DEBUG/failslab ] || mount -t debugfs nodev $DEBUG
[ -d $DEBUG/failslab ] || give_up "this kernel has no fault injection: --kernel fault"
ALL_FAILED=1000000000

set_both() {
    for each in failslab fail_page_alloc; do
        echo "$2" >$DEBUG/$each/$1 || give_up "$each does not take $2 as its $1"
    done
}
failed() { echo $((ALL_FAILED - $(cat $DEBUG/$1/times))); }

set_both times 0
set_both probability 100
set_both space 0
set_both verbose 0
set_both ignore-gfp-wait N
set_both stacktrace-depth 16
echo N >$DEBUG/failslab/cache-filter
echo N >$DEBUG/fail_page_alloc/ignore-gfp-highmem
echo 0 >$DEBUG/fail_page_alloc/min-order

# Where net_rx_action begins and ends: all that a network card's softirq does is above it. Without
# modules the symbols are in the order of their addresses.
set -- $(grep -A 1 ' [tT] net_rx_action$' /proc/kallsyms)
[ $# = 6 ] && [ "$1" \< "$4" ] || give_up "net_rx_action is not among the kernel's symbols: $*"
softirq_start=0x$1 softirq_end=0x$4

# What the fault injection shall hit: $1 is a kind of window.
aim() {
    case $1 in
    threads)
        set_both interval 1
        set_both task-filter Y
        set_both require-start 0
        set_both require-end 0xffffffffffffffff
        for task in /proc/$pid/task/*; do echo 1 >$task/make-it-fail; done
        ;;
    filter | softirq)
        [ $1 = softirq ] && set_both interval 1 || set_both interval 2000000000
        set_both task-filter N
        set_both require-start $softirq_start
        set_both require-end $softirq_end
        ;;
    esac
}

# Nothing fails any more.
spare() {
    set_both times 0
    for task in /proc/$pid/task/*; do echo 0 >$task/make-it-fail; done 2>/dev/null
}
"""

NO_MEMORY_SCRIPT = COMMON_SHELL + FAULT_SHELL + """
bytes_moved() {
    read -r received </sys/class/net/eth0/statistics/rx_bytes
    read -r sent </sys/class/net/eth0/statistics/tx_bytes
    echo $((received + sent))
}

# In milliseconds since the boot.
clock() {
    read -r uptime _ </proc/uptime
    echo $((${uptime%.*} * 1000 + 10 * $((1${uptime#*.} - 100))))
}

# Whether the load is still at it; $1 is its name.
is_alive() { if [ $1 = verify ]; then ! has_ended; else is_measuring; fi; }

is_moving() {
    bytes=$(bytes_moved)
    sleep 0.2
    [ $(($(bytes_moved) - bytes)) -gt 200000 ]
}

# window NAME KIND SECONDS: reports how much was moved, in how long, and what failed. Afterwards
# waits until the load moves again.
window() {
    aim $2
    [ $2 = none ] || set_both times $ALL_FAILED
    bytes=$(bytes_moved) start=$(clock)
    sleep $3
    bytes=$(($(bytes_moved) - bytes)) took=$(($(clock) - start))
    slabs=0 pages=0
    [ $2 = none ] || { slabs=$(failed failslab) pages=$(failed fail_page_alloc); }
    spare
    is_alive $1 || return
    rig "window=$1 $2 bytes=$bytes ms=$took slabs=$slabs pages=$pages"
    until is_moving || ! is_alive $1; do :; done
}

# load NAME OPTIONS...: windows in turn over one session.
load() {
    name=$1
    shift
    holdfast bench "$url" --rw randrw --bs 4KiB --depth 16 --json --warm-up "$WARM_UP" \\
        --seconds $((SECONDS_LOAD + 5)) --patience 20 "$@" >/tmp/bench.json 2>/tmp/bench.log &
    pid=$!
    wait_for 3000 has_begun
    ss -e --xdp >/tmp/sockets
    ends=$(($(clock) + 1000 * SECONDS_LOAD - 1000 * WINDOW_S * 4))
    while [ "$(clock)" -lt $ends ] && is_measuring; do
        for kind in $KINDS; do is_measuring && window $name $kind $WINDOW_S; done
    done
    wait $pid
    rig "${name}_status=$?"
    log "${name}_bench" </tmp/bench.json
    log "${name}_said" </tmp/bench.log
    log "${name}_sockets" </tmp/sockets
}

rig phase=load
load reserved --set path=xdp --zero-copy
holdfast verify "$url" --length 512MiB --set path=xdp --zero-copy >/tmp/verify.log 2>&1 &
pid=$!
sleep 2
window verify threads $WINDOW_S
window verify softirq $WINDOW_S
wait $pid
rig "verify_status=$?"
log verify </tmp/verify.log
load kernel --set path=kernel
rig phase=loaded
"""


def rates(entries, name):
    """{kind: [bytes/s of each window]} of `window` lines, and how many allocations failed there."""
    found = {kind: [] for kind in WINDOW_KINDS}
    failed = dict.fromkeys(WINDOW_KINDS, 0)
    for entry in entries:
        of, kind, *pairs = entry.split()
        if of != name:
            continue
        numbers = {key: int(value) for key, value in (pair.split("=") for pair in pairs)}
        found[kind].append(1000 * numbers["bytes"] / max(numbers["ms"], 1))
        failed[kind] += numbers["slabs"] + numbers["pages"]
    return found, failed


def read_no_memory(facts):
    """For each path and kind of window: failed allocations, and throughput against the others."""
    values = facts.values
    facts.logs["windows"] = facts.lists.get("window", [])
    for name in ("reserved", "kernel"):
        found, failed = rates(facts.lists.get("window", []), name)
        values[f"{name}_kib_s"] = str(round(statistics.median(found["none"] or [0]) / 1024))
        for kind, other in HELD_AGAINST.items():
            values[f"{name}_{kind}_failed"] = str(failed[kind])
            base = statistics.median(found[other] or [0])
            if base > 0 and found[kind]:
                ratio = statistics.median(found[kind]) / base
                values[f"{name}_{kind}_ratio"] = f"{ratio:.3f}"
        bench = facts_module.parse_json_lines(["".join(facts.logs.get(f"{name}_bench", []))])
        values[f"{name}_requests"] = str(bench.get("requests", 0))
    sockets = " ".join(facts.logs.get("reserved_sockets", []))
    values["zero_copy"] = str(int("zc:1" in sockets))
    found, failed = rates(facts.lists.get("window", []), "verify")
    values["verify_windows"] = str(sum(len(found[kind]) for kind in HELD_AGAINST))
    values["verify_failed"] = str(sum(failed.values()))
    values["mismatches"] = str(int(values.get("verify_status") == MISMATCH_STATUS))


def demand_no_memory(facts):
    """The reserved path does not notice; the kernel's path does, or the test shows nothing."""
    number = facts.number
    wanted = [
        (facts.values.get("reserved_status") == "0", "bench over the reserved path failed"),
        (facts.values.get("verify_status") == "0", "verify over the reserved path failed"),
        (number("zero_copy") == 1, "the kernel shows no socket with zero copy"),
        (number("verify_windows") == 2, "verify ended too early"),
    ]
    for kind in HELD_AGAINST:
        ratio = number(f"reserved_{kind}_ratio") or 0
        wanted.append((ratio >= RATIO_MIN, f"{kind}: {ratio} of the throughput without failures"))
        ratio = number(f"kernel_{kind}_ratio") or 0
        suffers = ratio <= KERNEL_RATIO_MAX or facts.values.get("kernel_status") != "0"
        wanted.append((suffers, f"{kind}: the kernel's path keeps {ratio}: nothing was proved"))
        failed = number(f"kernel_{kind}_failed", 0) > 0
        wanted.append((failed, f"{kind}: nothing failed on the kernel's path: no injection"))
    return wanted


NO_MEMORY = {
    "script": NO_MEMORY_SCRIPT,
    "read": read_no_memory,
    "demands": demand_no_memory,
    "figures": (
        "reserved_kib_s",
        "reserved_threads_ratio",
        "reserved_threads_failed",
        "reserved_softirq_ratio",
        "reserved_softirq_failed",
        "kernel_threads_ratio",
        "kernel_threads_failed",
        "kernel_softirq_ratio",
        "kernel_softirq_failed",
        "verify_failed",
    ),
    "variables": {
        "WARM_UP": 5000,
        "WINDOW_S": 3,
        "KINDS": " ".join(WINDOW_KINDS),
    },
    "kernels": ("fault",),
    "initiators": ("client",),
    "nic": "virtio-dma",
}
