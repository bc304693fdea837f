"""The scenarios `gate` and `gate-cost`, as pieces for scenarios.py: a classifier before a card.

A flood of every kind of stranger (strays.py), in three phases: without pressure, under pressure
that was ordered, and while memory really is short. The kernel's own events are the judge: what
becomes a socket buffer, what is allocated, when tasks begin and end to reclaim.
"""

import json
import statistics
from dataclasses import dataclass

from . import allocations, strays
from . import facts as facts_module
from .probing import PROBE_PORT

PHASES = ("calm", "ordered", "squeezed")
# The flood that must pass in the first phase, or the count of socket buffers sees nothing.
CALM_SEEN_SHARE_MIN = 0.95
# What the link itself may lose of a flood. It is no loss of the classifier's, but too much of it
# would leave little to judge, and would hit the session as well.
LINK_LOSS_SHARE_MAX = 0.01
# As netpath/classifier has them: abi.h, loader.cc.
STALL_S, WINDOW_S, HOLD_S = 0.003, 0.1, 0.5
# Packets of the flood this close together belong to one run of passed ones. A third of the kinds
# is traced, about 1,300 packets a second: all of them would not fit.
TRACED = ("udp_9", "tcp_80", "tcp_3260")
RUN_GAP_S = 0.005
# Where socket buffers are allocated, with all that belongs to one.
BUFFER_SITES = ("__build_skb", "__alloc_skb", "__napi_alloc_skb", "napi_skb_cache_get")
# How late a packet may pass after the sign: two clocks' readings, and events of two CPUs.
LATE_MAX_S = 0.002

def _say_phase():
    """Shell that tells the host of a phase, which it waits for."""
    names = [f"{phase}{end}" for phase in PHASES for end in ("", "-over")]
    cases = [f"    {name}) rig phase={name} ;;" for name in names]
    return "\n".join(["say_phase() {", "    case $1 in", *cases, "    esac", "}"])


SCRIPT = _say_phase() + """
TRACING=/sys/kernel/tracing
[ -d $TRACING/events ] || mount -t tracefs nodev $TRACING || give_up "no tracefs"
echo 'p:holdfast/bulk kmem_cache_alloc_bulk_noprof' >$TRACING/kprobe_events ||
    give_up "no kprobe on kmem_cache_alloc_bulk"

# Socket buffers of the flood alone: every packet of it is of an odd length, and nobody else's.
BUFFERS="net/napi_gro_receive_entry net/netif_receive_skb"
ALLOCATIONS="kmem/kmalloc kmem/kmem_cache_alloc kmem/mm_page_alloc holdfast/bulk"
# $1 is '' to begin and '!' to end.
watch_buffers() {
    for event in $BUFFERS; do
        echo "$1hist:keys=len:size=512 if len & 1" >$TRACING/events/$event/trigger ||
            give_up "no histogram of $event"
    done
}
# Of softirqs, by where they come from.
watch_allocations() {
    for event in $ALLOCATIONS; do
        echo "$1hist:keys=common_flags,common_stacktrace:size=4096 if common_flags & 24" \\
            >$TRACING/events/$event/trigger || give_up "no histogram of $event"
    done
}
tell_buffers() {
    for event in $BUFFERS; do
        rig "$1_${event##*/}=$(awk '/hitcount:/ { for (i = 1; i < NF; ++i)
            if ($i == "hitcount:") sum += $(i + 1) }
            END { print sum + 0 }' $TRACING/events/$event/hist)"
    done
}
# Of the kernel's TCP, by its name.
tcp_counter() {
    cat /proc/net/snmp /proc/net/netstat | awk -v name="$1" '{ if (at) { print $at; exit }
        for (i = 1; i <= NF; ++i) if ($i == name) at = i }'
}
# What the classifier has counted, TCP's retransmissions and the link's packets.
tell_counters() {
    holdfast pressure --json >/tmp/pressure.json 2>&1
    log "$1" </tmp/pressure.json
    rig "$1_retransmitted=$(tcp_counter RetransSegs)"
    rig "$1_in_vain=$(tcp_counter TCPDSACKRecv)"
}
# The host answers when its flood has ended.
end_flood() {
    say_phase "$1-over"
    read -r told <&9
    sleep 1
}
# flooded NAME COMMAND...: the command, within the flood.
flooded() {
    name=$1
    shift
    tell_counters "${name}_before"
    watch_buffers ''
    say_phase "$name"
    sleep 1
    "$@" >/tmp/load.log 2>&1
    rig "${name}_status=$?"
    end_flood $name
    tell_buffers $name
    tell_counters "${name}_after"
    watch_buffers '!'
    log "${name}_load" </tmp/load.log
}
audited() {
    watch_allocations ''
    flooded "$@"
    for event in $ALLOCATIONS; do log "$1_hist" <$TRACING/events/$event/hist; done
    watch_allocations '!'
}
files() {
    fio --name=verify --filename="$DEV" --size="${FILES_MIB}m" --rw=randwrite --bs=16k \\
        --ioengine=libaio --iodepth=8 --direct=1 --verify=crc32c --verify_fatal=1 --do_verify=1 \\
        --minimal
}
press() {
    stress-ng --vm 1 --vm-bytes "${STRESS_MIB}m" --vm-method walk-1a --verify -t "$SECONDS_LOAD" \\
        --metrics
}

rig phase=load
report_counters before
audited calm files
holdfast pressure on >/dev/null || give_up "no pressure on"
audited ordered files
holdfast pressure auto >/dev/null || give_up "no pressure auto"

mkswap "$DEV" >/dev/null || give_up "mkswap failed"
swapon "$DEV" || give_up "swapon failed"
trace=$TRACING/instances/gate
mkdir $trace || give_up "no instance of tracefs"
echo mono >$trace/trace_clock
echo "$TRACE_KIB" >$trace/buffer_size_kb
echo "$TRACED" >$trace/events/net/napi_gro_receive_entry/filter
echo 1 >$trace/events/net/napi_gro_receive_entry/enable
for event in mm_vmscan_direct_reclaim_begin mm_vmscan_direct_reclaim_end mm_vmscan_kswapd_sleep; do
    echo 1 >$trace/events/vmscan/$event/enable
done
flooded squeezed press
echo 0 >$trace/tracing_on
rig "trace_overrun=$(cat $trace/per_cpu/cpu*/stats |
    awk '/overrun:/ { sum += $2 } END { print sum + 0 }')"
# Runs of passed packets as "P first last count", events of reclaim as a letter and their time.
awk -v gap="$RUN_GAP_S" '
    function flush() { if (count) print "P", first, last, count; count = 0 }
    { for (at = 1; at <= NF; ++at) if ($at ~ /^[0-9]+\\.[0-9]+:$/) break
      time = $at; sub(":", "", time); event = $(at + 1) }
    event == "napi_gro_receive_entry:" {
        if (count && time - last > gap) flush()
        if (!count) first = time
        last = time; count++
    }
    event == "mm_vmscan_direct_reclaim_begin:" { print "B", time }
    event == "mm_vmscan_direct_reclaim_end:" { print "E", time }
    event == "mm_vmscan_kswapd_sleep:" { print "S", time }
    END { flush() }' $trace/trace >/tmp/story
log story </tmp/story
rig phase=loaded
report_counters after
"""


@dataclass
class Pressure:
    """One stretch of it, in seconds: from the first sign to where the last one is forgotten."""

    began: float
    ends: float


def stretches(events):
    """The stretches that follow from (time, letter) of reclaim: what the BPF programs compute.

    Somebody who waits is a sign only when a packet looks; the flood is dense enough for that, so
    his waiting counts from when it has lasted long enough.
    """
    found, waiting, since, window, stall = [], 0, 0.0, 0.0, 0.0

    def sign(at, until):
        if found and at <= found[-1].ends:
            found[-1].ends = max(found[-1].ends, until + HOLD_S)
        else:
            found.append(Pressure(at, until + HOLD_S))

    for time, letter in events:
        if letter == "B":
            since = time if waiting <= 0 else since
            waiting += 1
            continue
        if waiting > 0 and time >= since + STALL_S:
            sign(since + STALL_S, time)
        if letter == "S":
            waiting = 0
            continue
        if waiting == 1:
            if time > window + WINDOW_S:
                window, stall = time, 0.0
            stall += time - since
            if stall >= STALL_S:
                sign(time, time)
        waiting = max(waiting - 1, 0)
    return found


def read_story(lines):
    """(events of reclaim, runs of passed packets as (first, last, count)), each in its order."""
    events, runs = [], []
    for line in lines:
        letter, *numbers = line.split()
        if letter == "P":
            runs.append((float(numbers[0]), float(numbers[1]), int(numbers[2])))
        else:
            events.append((float(numbers[0]), letter))
    return sorted(events), runs


def latencies(found, runs):
    """({how late the last packet passed after each beginning}, {the first one after each end}).

    Seconds. Stretches outside of the flood are left out: nobody could pass.
    """
    on, off = [], []
    for stretch in found:
        before = [last for first, last, _ in runs if first < stretch.began]
        after = [first for first, last, _ in runs if last > stretch.ends]
        if not before or not after:
            continue
        inside = [
            min(last, stretch.ends)
            for first, last, _ in runs
            if last > stretch.began and first < stretch.ends - LATE_MAX_S
        ]
        on.append(max((last - stretch.began for last in inside), default=0.0))
        off.append(max(min(after) - stretch.ends, 0.0))
    return on, off


def _classifier(facts, name):
    text = "".join(facts.logs.get(name, []))
    return (json.loads(text).get("classifiers") or [{}])[0] if text.startswith("{") else {}


def _drops(counters):
    return {(row["protocol"], row["port"]): row["packets"] for row in counters.get("drops", [])}


def _key(kind):
    ether_type, protocol, port, _ = strays.KINDS[kind]
    if protocol is None:
        return f"ether 0x{ether_type:04x}", 0
    return {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6"}[protocol], port


def read_phase(facts, phase):
    """What was sent, dropped and passed, and what became a socket buffer, in one phase."""
    values = facts.values
    before, after = (_classifier(facts, f"{phase}_{when}") for when in ("before", "after"))
    dropped_before, dropped_after = _drops(before), _drops(after)
    sent = missing = dropped = 0
    for kind in strays.KINDS:
        count = facts.number(f"{phase}_sent_{kind}") or 0
        drops = dropped_after.get(_key(kind), 0) - dropped_before.get(_key(kind), 0)
        facts.logs.setdefault(f"{phase}_kinds", []).append(f"{kind}: sent {count} dropped {drops}")
        sent += count
        dropped += drops
        missing += abs(count - drops)
    values[f"{phase}_sent"] = str(sent)
    values[f"{phase}_dropped"] = str(dropped)
    values[f"{phase}_missing"] = str(missing)  # Sum over the kinds.
    for name, count in after.get("packets", {}).items():
        values[f"{phase}_{name}"] = str(count - before.get("packets", {}).get(name, 0))
    values[f"{phase}_buffers"] = values.get(f"{phase}_napi_gro_receive_entry", "")
    guest = {
        name: (facts.number(f"{phase}_after_{name}") or 0)
        - (facts.number(f"{phase}_before_{name}") or 0)
        for name in ("retransmitted", "in_vain")
    }
    # What was sent again and had come all the same, as the other side then says (RFC 2883), was
    # late and not lost: under emulation that happens.
    values[f"{phase}_lost_out"] = str(max(guest["retransmitted"] - guest["in_vain"], 0))
    host = facts.number(f"{phase}_host_retransmitted") or 0
    in_vain = facts.number(f"{phase}_host_in_vain") or 0
    values[f"{phase}_lost_in"] = str(max(host - in_vain, 0))
    if histogram := facts.logs.get(f"{phase}_hist"):
        counts = allocations.read_histograms(histogram)
        per = {"interrupt": max(sent, 1), "thread": 1}
        facts.logs[f"{phase}_sites"] = allocations.table(counts, per)
        facts.logs[f"{phase}_stacks"] = [
            f"{site}: {' < '.join(frames)}" for (_, site), frames in counts.stacks.items()
        ]
        buffers = sum(counts.total("interrupt", site) for site in BUFFER_SITES)
        values[f"{phase}_buffer_allocations"] = str(buffers)
        values[f"{phase}_softirq_allocations"] = str(counts.total("interrupt"))


def read(facts):
    """Every phase, the latencies of the switch, and what stress-ng verified."""
    values = facts.values
    for phase in PHASES:
        read_phase(facts, phase)
    events, runs = read_story(facts.logs.get("story", []))
    found = stretches(events)
    on, off = latencies(found, runs)
    values["stretches"] = str(len(found))
    values["switched"] = str(len(on))
    if on:
        values["pass_after_sign_max_ms"] = f"{max(on) * 1000:.3f}"
        values["first_pass_median_ms"] = f"{sorted(off)[len(off) // 2] * 1000:.3f}"
        values["first_pass_max_ms"] = f"{max(off) * 1000:.3f}"
    told = _classifier(facts, "squeezed_after").get("pressure", {})
    values["pressures"] = str(told.get("times", 0))
    values["switch_max_ms"] = f"{told.get('switch_max_ms', 0):.3f}"
    _, failures = facts_module.parse_stress_ng(facts.logs.get("squeezed_load", []))
    values["mismatches"] = str(failures)
    status = facts_module.parse_json_lines(["".join(facts.logs.get("status_after", []))])
    counters = (status.get("attachments") or [{}])[0].get("counters", {})
    values["sessions_lost"] = str(counters.get("sessions_lost", ""))


def _demand_phase(facts, phase):
    number = facts.number
    sent = number(f"{phase}_sent") or 0
    lost = number(f"{phase}_link_dropped", 0)
    return [
        (facts.values.get(f"{phase}_status") == "0", f"{phase}: the load failed"),
        (sent > 0, f"{phase}: no flood"),
        (lost <= LINK_LOSS_SHARE_MAX * sent, f"{phase}: the link itself lost {lost} of {sent}"),
        (number(f"{phase}_lost_out") == 0, f"{phase}: segments of the guest's were lost"),
        (number(f"{phase}_lost_in") == 0 or lost > 0, f"{phase}: segments to the guest were lost"),
    ]


def demand(facts):
    """Nothing of a stranger's under pressure, everything without; and not one segment lost."""
    number = facts.number
    wanted = [each for phase in PHASES for each in _demand_phase(facts, phase)]
    lost = number("ordered_link_dropped", 0)
    late = number("pass_after_sign_max_ms")
    return [
        *wanted,
        (number("sessions_lost") == 0, f"{number('sessions_lost')} sessions were lost"),
        (number("calm_dropped") == 0, "packets were dropped without pressure"),
        (
            number("calm_buffers", 0) >= CALM_SEEN_SHARE_MIN * number("calm_sent", 1),
            "the count of socket buffers does not see what passes",
        ),
        (number("ordered_buffers") == 0, "strangers became socket buffers under pressure"),
        (
            number("ordered_buffer_allocations", 1) <= number("ordered_session_to_kernel", 0) * 1.1
            + number("ordered_passed_neighbour", 0) + 100,
            "more socket buffers were allocated under pressure than segments passed",
        ),
        (number("ordered_netif_receive_skb") == 0, "strangers came to the stack under pressure"),
        (
            number("ordered_missing", 1) <= lost,
            f"{number('ordered_missing')} packets of the flood were not counted as dropped",
        ),
        (number("squeezed_dropped", 0) > 0, "nothing was dropped while memory was short"),
        (number("trace_overrun") == 0, "the trace is not whole"),
        (number("switched", 0) > 0, "pressure never came and went within the flood"),
        (
            late is not None and late <= LATE_MAX_S * 1000,
            f"a stranger passed {late} ms after the sign of pressure",
        ),
        (
            number("squeezed_dropped", 0) + number("squeezed_buffers", 0)
            >= number("squeezed_sent", 1) - number("squeezed_link_dropped", 0),
            "packets of the flood were neither dropped nor passed",
        ),
    ]


GATE = {
    "script": SCRIPT,
    "read": read,
    "demands": demand,
    "figures": (
        *(f"{phase}_{name}" for phase in PHASES for name in ("sent", "dropped", "buffers")),
        *(f"{phase}_{name}" for phase in PHASES for name in ("lost_in", "lost_out")),
        "sessions_lost",
        "pressures",
        "switched",
        "switch_max_ms",
        "pass_after_sign_max_ms",
        "first_pass_median_ms",
        "first_pass_max_ms",
    ),
    "variables": {
        "FILES_MIB": 24,
        "STRESS_MIB": 500,
        "TRACED": " || ".join(f"len == {strays.KINDS[kind][3]}" for kind in TRACED),
        "TRACE_KIB": 4096,
        "RUN_GAP_S": RUN_GAP_S,
    },
    "actions": tuple(
        (f"{phase}{end}", 0, action)
        for phase in PHASES
        for end, action in (("", "strays-start"), ("-over", "strays-stop"))
    ),
    "initiators": ("holdfast",),
    "targets": ("ram",),
    "kernels": ("6.12", "7"),
    "nic": "virtio-dma",
    "attach_words": "--set classifier=require",
}

# ---- gate-cost

# In turn: nothing of ours; the card told to give up what it gives up for any XDP program
# (checksums and large packets made by the other side); a program that only passes; the classifier,
# at rest.
KINDS = ("none", "plain", "pass", "gate")
COST_SCRIPT = """
probe() {
    rm -f /tmp/probe
    traffic-probe "$1" "$PROBE_PORT" "$2" >/tmp/probe &
    pid=$!
    wait_for 50 grep -q ready /tmp/probe
    rig "probe=$1"
    wait $pid
    tail -n 1 /tmp/probe
}
measure() {
    rig "rate=$1 tcp $(probe receive "$PROBE_S")"
    rig "rate=$1 udp $(probe count "$PROBE_S")"
}
holdfast detach disk0 >/dev/null || give_up "detach failed"
rig phase=load
round=0
while [ $round -lt "$ROUNDS" ]; do
    round=$((round + 1))
    measure none
    ethtool -K eth0 rx-gro-hw off rx off >/tmp/ethtool.log 2>&1 || log ethtool </tmp/ethtool.log
    measure plain
    ethtool -K eth0 rx on rx-gro-hw on >/tmp/ethtool.log 2>&1 || log ethtool </tmp/ethtool.log
    rm -f /tmp/pass
    traffic-probe pass eth0 600 >/tmp/pass &
    passing=$!
    wait_for 50 grep -q ready /tmp/pass || give_up "no XDP program"
    measure pass
    kill $passing
    wait $passing
    holdfast attach --profile data --name disk0 --set classifier=require $ATTACH_WORDS \\
        "iscsi://$HOST_ADDRESS:$ISCSI_PORT/$IQN/$LUN" >/tmp/attach.log 2>&1 ||
        { log attach </tmp/attach.log; give_up "attach failed"; }
    measure gate
    holdfast pressure --json >/tmp/pressure.json
    log pressure </tmp/pressure.json
    holdfast detach disk0 >/dev/null || give_up "detach failed"
done
rig phase=loaded
"""


def read_cost(facts):
    """Medians of each kind, and the classifier's share of each of the others'."""
    values = facts.values
    found = {}
    for entry in facts.lists.get("rate", []):
        kind, what, number = entry.split()
        found.setdefault((what, kind), []).append(float(number))
    facts.logs["rates"] = facts.lists.get("rate", [])
    for what in ("tcp", "udp"):
        medians = {kind: statistics.median(found.get((what, kind), [0])) for kind in KINDS}
        for kind in KINDS:
            values[f"{what}_{kind}"] = f"{medians[kind]:.2f}"
            if kind != "gate" and medians[kind] > 0:
                values[f"{what}_to_{kind}"] = f"{medians['gate'] / medians[kind]:.3f}"


# Of what goes through without any program of ours, the card's features being equal.
COST_RATIO_MIN = 0.98


def demand_cost(facts):
    """Against a card that makes no large packets of what arrives, which no XDP program lets it."""
    number = facts.number
    return [
        (
            (number(f"{what}_to_plain") or 0) >= COST_RATIO_MIN,
            f"{what}: {number(f'{what}_to_plain')} of the throughput without a classifier",
        )
        for what in ("tcp", "udp")
    ]


COST = {
    "script": COST_SCRIPT,
    "read": read_cost,
    "demands": demand_cost,
    "figures": tuple(
        f"{what}_{name}"
        for what in ("tcp", "udp")
        for name in (*KINDS, "to_none", "to_plain", "to_pass")
    ),
    "variables": {"ROUNDS": 3, "PROBE_S": 2, "PROBE_PORT": PROBE_PORT},
    "programs": ("traffic-probe",),
    "initiators": ("holdfast",),
    "targets": ("ram",),
    "kernels": ("6.12", "7"),
    "nic": "virtio-dma",
    "profile": "data",
}
