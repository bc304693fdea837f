"""The scenarios, as data: what each one proves, what the guest does, what the host does when.

`script` is shell for the guest; it runs after the initiator's `attach` has set DEV. `actions` are
the host's doings as (phase, seconds after the guest reported it, name of an action); runner.py
knows the actions. `read` digests the logs into values, `demands` says what a good end needs.
"""

import json
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from . import facts as facts_module
from . import gate, proofs, speed, swap_proofs

# The guest has 256 MiB. stress-ng's share is that of design.md section 1; squeeze's is what the
# guest can turn over within its time even when each page has to come over the wire.
STRESS_MIB = 500
SQUEEZE_ANON_MIB = 224
SQUEEZE_FILE_MIB = 48
SQUEEZE_SECONDS = 20

FLOOD_PACKETS_PER_S = 20000
# Shares of the wanted rate that the host has to send, and that have to reach the guest's card. The
# rest is dropped between the two: a card that is full takes nothing.
FLOOD_SENT_SHARE_MIN = 0.9
FLOOD_ARRIVED_SHARE_MIN = 0.5
UPGRADES = 10
ATTACHMENTS = 4
SWAP_DEPTH = 16  # Of profile swap.

SWAP_SCRIPT = """
mkswap "$DEV" >/dev/null || give_up "mkswap failed"
swapon "$DEV" || give_up "swapon failed"
rig "min_free_kbytes=$(cat /proc/sys/vm/min_free_kbytes)"
report_counters before
rig phase=load
setarch -R stress-ng --vm 1 --vm-bytes "${STRESS_MIB}m" --vm-method walk-1a --verify \\
    -t "$SECONDS_LOAD" --metrics >/tmp/stress.log 2>&1
rig "stress_status=$?"
log stress </tmp/stress.log
rig phase=squeeze
squeeze --anon "$SQUEEZE_ANON_MIB" --file /var/tmp/squeeze --file-size "$SQUEEZE_FILE_MIB" \\
    --threads 2 --seconds "$SQUEEZE_SECONDS" --seed "$SEED" --json $SABOTAGE \
    >/tmp/squeeze.log 2>&1
rig "squeeze_status=$?"
log squeeze </tmp/squeeze.log
rig phase=loaded
report_counters after
"""

# Passes of "write everything, then verify everything" until the time is over.
FILES_LOAD = """
mkfs.ext4 -q -E lazy_itable_init=0 "$DEV" >/tmp/mkfs.log 2>&1 ||
    { log mkfs </tmp/mkfs.log; give_up "mkfs failed"; }
mount "$DEV" /mnt/lun || give_up "mount failed"
report_counters before
rig phase=load
read -r uptime _ </proc/uptime
ends=$((${uptime%.*} + SECONDS_LOAD)) passes=0 status=0
while [ "${uptime%.*}" -lt $ends ] && [ $status = 0 ]; do
    fio --name=verify --directory=/mnt/lun --size="${FILES_MIB}m" --rw=randwrite --bs=4k \\
        --ioengine=libaio --iodepth=16 --direct=1 --fsync=256 --randseed=$((SEED + passes)) \\
        --verify=crc32c --verify_fatal=1 --do_verify=1 --minimal >/tmp/fio.log 2>&1
    status=$?
    passes=$((passes + 1))
    rig "passes=$passes"
    read -r uptime _ </proc/uptime
done
rig "fio_status=$status"
[ $status = 0 ] || log fio </tmp/fio.log
"""
FILES_CHECK = """
rig phase=loaded
umount /mnt/lun || give_up "umount failed"
e2fsck -fn "$DEV" >/tmp/fsck.log 2>&1
rig "fsck_status=$?"
log fsck </tmp/fsck.log
report_counters after
"""
FILES_SCRIPT = FILES_LOAD + FILES_CHECK

# The files' script, and beside it one upgrade after the other, each to the same program.
UPGRADE_BESIDE = """
upgrade_again_and_again() {
    upgraded=0
    while [ $upgraded -lt "$UPGRADES" ]; do
        sleep 2
        holdfast upgrade disk0 --wait 60 --json >/tmp/upgrade.json 2>&1 || {
            log upgrade_failed </tmp/upgrade.json
            break
        }
        upgraded=$((upgraded + 1))
        log upgrade </tmp/upgrade.json
    done
    rig "upgrades=$upgraded"
}
upgrade_again_and_again &
upgrader=$!
"""
UPGRADE_SCRIPT = UPGRADE_BESIDE + FILES_LOAD + 'wait "$upgrader"\n' + FILES_CHECK

# Beside the initiator's own attachment others at once. Each device's queue must have been set up.
SEVERAL_SCRIPT = """
rig phase=load
slot=1 clients=
while [ $slot -lt "$ATTACHMENTS" ]; do
    holdfast attach --profile swap --force-tier --shared --slot $slot --name "more$slot" \\
        "iscsi://$HOST_ADDRESS:$ISCSI_PORT/$IQN/$LUN" >"/tmp/attach$slot.log" 2>&1 &
    clients="$clients $!" slot=$((slot + 1))
done
for client in $clients; do
    wait "$client"
    rig "attach_status=$?"
done
sparing() { cat /sys/block/ublkb*/queue/nr_requests | grep -cx "$SPARING"; }
all_set_up() { [ "$(sparing)" = "$ATTACHMENTS" ]; }
wait_for 100 all_set_up
rig "set_up=$(sparing)"
cat /tmp/attach*.log >/tmp/attached.log
log attached </tmp/attached.log
rig phase=loaded
"""

# What a page-in waits for while pages go out: one reader without read-ahead, beside a writer that
# does not use the link up.
PAGE_IN_SCRIPT = """
report_counters before
rig phase=load
fio --direct=1 --ioengine=libaio --time_based --runtime="$SECONDS_LOAD" --size="${REGION_MIB}m" \\
    --filename="$DEV" --randseed="$SEED" --randrepeat=0 --output-format=json --group_reporting=0 \\
    --name=page-in --rw=randread --bs=8k --iodepth=1 \\
    --name=page-out --rw=randwrite --bs=64k --iodepth=8 --rate="${WRITE_MIB}m" \\
    >/tmp/fio.log 2>&1
rig "fio_status=$?"
rig phase=loaded
log fio </tmp/fio.log
report_counters after
"""

# The writer hears "hold" and "check" from the host on the port, descriptor 9.
POWER_CUT_SCRIPT = """
rig phase=load
powercut-writer --device "$DEV" --region "$REGION_MIB" --seed "$SEED" --seconds "$SECONDS_LOAD" \\
    --port-fd 9 $SABOTAGE >/tmp/writer.log 2>&1
rig "writer_status=$?"
log writer </tmp/writer.log
rig phase=loaded
"""


def read_swap(facts):
    """Digests stress-ng's and squeeze's output into bogo_ops, squeeze_touches and mismatches."""
    operations, failures = facts_module.parse_stress_ng(facts.logs.get("stress", []))
    if operations is not None:
        facts.values["bogo_ops"] = str(operations)
    squeeze = facts_module.parse_json_lines(facts.logs.get("squeeze", []))
    if squeeze:
        facts.values["squeeze_touches"] = str(squeeze["touches"])
        failures += squeeze["mismatches"]
    facts.values["mismatches"] = str(failures)


def demand_swap(facts):
    """The load did its work, verified, and really swapped."""
    return [
        (facts.values.get("stress_status") == "0", "stress-ng failed"),
        (facts.values.get("squeeze_status") == "0", "squeeze failed"),
        ((facts.number("bogo_ops") or 0) > 0, "stress-ng did no work"),
        ((facts.difference("pswpout") or 0) > 0, "nothing was swapped out"),
    ]


def read_flood(facts):
    """As read_swap, and how much of the flood the guest's card took and its classifier dropped."""
    read_swap(facts)
    seconds = facts.number("flood_s")
    arrived = facts.difference("rx_packets")
    if seconds and arrived is not None:
        facts.values["arrived_per_s"] = str(round(arrived / seconds))
    status = facts_module.parse_json_lines(["".join(facts.logs.get("status_after", []))])
    packets = (status.get("attachments") or [{}])[0].get("classifier", {}).get("packets", {})
    for name in ("dropped", "passed_calm", "session_to_socket", "session_to_kernel"):
        if name in packets:
            facts.values[f"classifier_{name}"] = str(packets[name])


def demand_flood(facts):
    """As demand_swap, and the flood was one: sent by the host and taken by the guest's card.

    A classifier, where there is one, dropped packets of it.
    """
    wanted = facts.number("flood_wanted_per_s") or 0
    sent = facts.number("flood_packets_per_s") or 0
    arrived = facts.number("arrived_per_s") or 0
    return [
        *demand_swap(facts),
        (
            sent >= FLOOD_SENT_SHARE_MIN * wanted > 0,
            f"the host sent only {sent} packets/s: it is too busy",
        ),
        (
            arrived >= FLOOD_ARRIVED_SHARE_MIN * wanted,
            f"only {arrived} packets/s reached the guest's card: the host is too busy",
        ),
        (facts.number("classifier_dropped") != 0, "the classifier dropped nothing"),
    ]


def read_files(facts):
    """fio's verdict as mismatches."""
    bad = sum("verify" in line for line in facts.logs.get("fio", []))
    facts.values["mismatches"] = str(bad)


def read_page_in(facts):
    """fio's figures: latency of a page-in in us, how many there were, MiB written per second."""
    text = "\n".join(facts.logs.get("fio", []))
    start = text.find("{")
    jobs = json.loads(text[start:])["jobs"] if start >= 0 else []
    for job in jobs:
        if job["jobname"] == "page-in":
            latency = job["read"]["clat_ns"]
            facts.values["page_ins"] = str(job["read"]["total_ios"])
            facts.values["page_in_us"] = str(round(latency["mean"] / 1000))
            for name, percent in (("page_in_p50_us", "50"), ("page_in_p99_us", "99")):
                nanoseconds = latency["percentile"][f"{percent}.000000"]
                facts.values[name] = str(round(nanoseconds / 1000))
        else:
            facts.values["page_out_kib_s"] = str(job["write"]["bw"])


def demand_page_in(facts):
    """fio ran through, and did read."""
    return [
        (facts.values.get("fio_status") == "0", "fio failed"),
        ((facts.number("page_ins") or 0) > 0, "fio read nothing"),
    ]


def demand_files(facts):
    """Every pass verified, and the file system is whole."""
    return [
        (facts.values.get("fio_status") == "0", "fio failed"),
        ((facts.number("passes") or 0) > 0, "fio did not finish one pass"),
        (facts.values.get("fsck_status") == "0", "the file system is damaged"),
    ]


def read_upgrade(facts):
    """As read_files, and the longest pause of an upgrade in ms."""
    read_files(facts)
    text = "".join(facts.logs.get("upgrade", []))
    pauses = [float(each) for each in re.findall(r'"pause_ms": *([\d.]+)', text)]
    if pauses:
        facts.values["pause_median_ms"] = f"{statistics.median(pauses):.1f}"
        facts.values["pause_max_ms"] = f"{max(pauses):.1f}"


def demand_upgrade(facts):
    """As demand_files, and every upgrade took place."""
    made = facts.number("upgrades", 0)
    return [*demand_files(facts), (made == UPGRADES, f"{made} of {UPGRADES} upgrades took place")]


def read_several(facts):
    """Which attach failed; there is nothing else to read."""
    failed = [status for status in facts.lists.get("attach_status", []) if status != "0"]
    facts.values["attach_failures"] = str(len(failed))


def demand_several(facts):
    """All were attached, and none was forgotten."""
    attached = 1 + len(facts.lists.get("attach_status", [])) - facts.number("attach_failures", 0)
    set_up = facts.number("set_up", 0)
    return [
        (attached == ATTACHMENTS, f"{attached} of {ATTACHMENTS} were attached"),
        (set_up == ATTACHMENTS, f"{set_up} of {ATTACHMENTS} queues spare a tag"),
    ]


def read_power_cut(facts):
    """The writer's judgement: what was promised and is not there counts as a mismatch."""
    counts = facts_module.parse_json_lines(facts.logs.get("writer", []))
    facts.values |= {name: str(count) for name, count in counts.items()}
    bad = sum(counts.get(name, 0) for name in ("lost", "torn", "foreign"))
    facts.values["mismatches"] = str(bad)


def demand_power_cut(facts):
    """Promises were made, and the cut did take something that was not promised."""
    return [
        (facts.values.get("writer_status") == "0", "the writer failed"),
        ((facts.number("promised") or 0) > 0, "nothing was promised before the cut"),
        ((facts.number("rolled_back") or 0) > 0, "the cut took nothing: it proves nothing"),
    ]


@dataclass(frozen=True)
class Scenario:
    """One experiment. Limits are wall-clock seconds of the host."""

    name: str
    proves: str
    script: str
    read: Callable
    demands: Callable
    figures: tuple  # names of values that belong to the result's figures
    variables: dict = field(default_factory=dict)  # for the script
    actions: tuple = ()
    programs: tuple = ()  # of ours, needed in the guest beside the initiator's
    initiators: tuple = ("holdfast", "open-iscsi", "nbd")  # the usual one first
    targets: tuple = ("ram", "tgt")  # iSCSI targets that will do, best first
    kernels: tuple = ("6.12", "7", "fault")  # that will do, the usual one first
    nic: str = "virtio"  # of guest.NICS
    cached: bool = False  # whether the LUN has a volatile write cache
    profile: str = "swap"
    seconds: int = 60  # default length of the load
    overrun_s: int = 140  # how much longer than that the phase "load" may take
    limit_s: int = 300  # for everything but the load, from boot to power-off
    size_mib: int = 1024
    attach_words: str = ""  # options for `holdfast attach`, before those of the command line
    flood_rate: int = 0  # packets a second of the action flood-start, unless told otherwise
    strays_per_s: int = 4000  # of the action strays-start


SWAP = {
    "script": SWAP_SCRIPT,
    "read": read_swap,
    "demands": demand_swap,
    "figures": ("bogo_ops", "pages_out", "pages_in"),
    "variables": {
        "STRESS_MIB": STRESS_MIB,
        "SQUEEZE_ANON_MIB": SQUEEZE_ANON_MIB,
        "SQUEEZE_FILE_MIB": SQUEEZE_FILE_MIB,
        "SQUEEZE_SECONDS": SQUEEZE_SECONDS,
    },
    "programs": ("squeeze",),
}

SWAP_SQUEEZE = Scenario(
    name="swap-squeeze",
    proves="a machine at distribution defaults swaps through a memory storm, every page verified",
    initiators=("holdfast", "open-iscsi", "nbd", "local"),
    **SWAP,
)

SWAP_FLAP = Scenario(
    name="swap-flap",
    proves="the same storm survives a cable that is pulled for 10 s, three times",
    actions=tuple(
        ("load", start + after, action)
        for start in (6, 24, 42)
        for after, action in ((0, "link-down"), (10, "link-up"))
    ),
    **SWAP,
)

SWAP_FLOOD = Scenario(
    name="swap-flood",
    proves="the same storm survives a flood of foreign UDP packets",
    flood_rate=FLOOD_PACKETS_PER_S,
    actions=(("load", 2, "flood-start"), ("loaded", 0, "flood-stop")),
    **{
        **SWAP,
        "read": read_flood,
        "demands": demand_flood,
        "figures": (
            *SWAP["figures"],
            "flood_packets_per_s",
            "arrived_per_s",
            "link_taken",
            "link_dropped",
            "classifier_dropped",
            "classifier_passed_calm",
        ),
    },
)

TARGET_RESTART = Scenario(
    name="target-restart",
    proves="files on the LUN stay right while the target is killed and started again, four times",
    script=FILES_SCRIPT,
    read=read_files,
    demands=demand_files,
    figures=("passes",),
    variables={"FILES_MIB": 64},
    actions=tuple(
        ("load", at, action)
        for down, up in ((5, 6), (16, 22), (32, 33), (42, 52))
        for at, action in ((down, "target-kill"), (up, "target-start"))
    ),
    initiators=("holdfast", "open-iscsi"),
    profile="data",
)

UPGRADE = Scenario(
    name="upgrade",
    proves="files on the LUN stay right while holdfastd is upgraded ten times",
    script=UPGRADE_SCRIPT,
    read=read_upgrade,
    demands=demand_upgrade,
    figures=("passes", "upgrades", "pause_median_ms", "pause_max_ms"),
    variables={"FILES_MIB": 64, "UPGRADES": UPGRADES},
    initiators=("holdfast",),
)

SEVERAL = Scenario(
    name="several",
    proves="each of several devices that come at once spares a tag, so that its death is noticed",
    script=SEVERAL_SCRIPT,
    read=read_several,
    demands=demand_several,
    figures=("set_up",),
    variables={"ATTACHMENTS": ATTACHMENTS, "SPARING": SWAP_DEPTH - 1},
    initiators=("holdfast",),
    kernels=("6.12",),  # Later ones need no spare tag.
)

POWER_CUT = Scenario(
    name="power-cut",
    proves="flushed and FUA writes survive a power cut of the target, and no block is torn",
    script=POWER_CUT_SCRIPT,
    read=read_power_cut,
    demands=demand_power_cut,
    figures=("writes", "promised", "rolled_back", "lost", "torn"),
    variables={"REGION_MIB": 4},
    actions=(
        ("load", 8, "tell-hold"),
        ("held", 2, "power-cut"),
        ("held", 8, "tell-check"),
    ),
    programs=("powercut-writer",),
    initiators=("holdfast", "open-iscsi"),
    targets=("ram",),
    cached=True,
    profile="data",
)

PAGE_IN = Scenario(
    name="page-in",
    proves="how long a page-in waits while pages go out: a measurement",
    script=PAGE_IN_SCRIPT,
    read=read_page_in,
    demands=demand_page_in,
    figures=("page_ins", "page_in_us", "page_in_p50_us", "page_in_p99_us", "page_out_kib_s"),
    variables={"REGION_MIB": 512, "WRITE_MIB": 20},
    initiators=("holdfast", "open-iscsi", "nbd"),
    seconds=15,
)

XDP_AUDIT = Scenario(
    name="xdp-audit",
    proves="a session over AF_XDP with zero copy makes the kernel allocate nothing in its threads",
    seconds=600,
    kernels=("7", "7-full", "fault"),
    **proofs.AUDIT,
)

XDP_SPEED = Scenario(
    name="xdp-speed",
    proves="how fast bulk moves over AF_XDP without copying, beside the kernel's TCP: figures",
    seconds=180,
    size_mib=256,
    **speed.SPEED,
)

NO_MEMORY = Scenario(
    name="no-memory",
    proves="the same session goes on unhindered while every allocation on its way fails",
    seconds=40,  # over each path
    overrun_s=300,
    limit_s=420,
    **proofs.NO_MEMORY,
)

SWAP_AUDIT = Scenario(
    name="swap-audit",
    proves="a guest that swaps over AF_XDP makes the kernel allocate nothing in Holdfast's threads",
    seconds=60,
    limit_s=420,
    kernels=("7", "fault"),
    **swap_proofs.AUDIT,
)

SWAP_NO_MEMORY = Scenario(
    name="swap-no-memory",
    proves="a guest goes on swapping over AF_XDP while every allocation on Holdfast's way fails",
    seconds=120,  # over AF_XDP
    overrun_s=420,
    limit_s=600,
    **swap_proofs.NO_MEMORY,
)

GATE = Scenario(
    name="gate",
    proves="under pressure no stranger becomes a socket buffer, and no session loses a segment",
    seconds=20,
    overrun_s=300,
    limit_s=420,
    **gate.GATE,
)

GATE_COST = Scenario(
    name="gate-cost",
    proves="what a classifier that has nothing to drop costs other traffic: a measurement",
    limit_s=400,
    **gate.COST,
)

ALL = {
    each.name: each
    for each in (
        *(SWAP_SQUEEZE, SWAP_FLAP, SWAP_FLOOD),
        *(TARGET_RESTART, UPGRADE, SEVERAL, POWER_CUT, PAGE_IN),
        *(XDP_AUDIT, XDP_SPEED, NO_MEMORY, SWAP_AUDIT, SWAP_NO_MEMORY),
        *(GATE, GATE_COST),
    )
}
