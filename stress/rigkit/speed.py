"""The scenario that measures the reserved path against the kernel's TCP in one boot of a guest.

`xdp-speed`: bulk reads and writes over the tap, the kernel's TCP and AF_XDP without copying in
turn, on the same card, target and addresses. A guest under emulation is slow, and its figures are
good for ratios only.
"""

import statistics

from . import facts as facts_module
from . import proofs

PATHS = ("kernel", "reserved")
# Name -> words of `holdfast bench`.
LOADS = {
    "read": "--rw read --bs 128KiB --depth 32",
    "write": "--rw write --bs 128KiB --depth 32",
    "randread": "--rw randread --bs 4KiB --depth 32",
}
ROUNDS = 3

SCRIPT = proofs.COMMON_SHELL + """
modprobe -q xsk_diag
[ "$MTU" = 1500 ] || ip link set eth0 mtu "$MTU" || give_up "no MTU of $MTU"

# measure LOAD PATH WORDS...
measure() {
    load=$1 path=$2
    shift 2
    words="--set path=kernel"
    [ "$path" = kernel ] || words="--set path=xdp $ZERO_COPY"
    holdfast bench "$url" "$@" $words --seconds "$WINDOW" --json >/tmp/bench.json \\
        2>/tmp/bench.log &
    pid=$!
    wait_for 300 has_begun
    [ "$path" = kernel ] || ss -e --xdp >/tmp/sockets
    wait $pid
    rig "status=$?"
    { tr -d '\\n' </tmp/bench.json; echo; } | log "${load}_${path}"
    log said </tmp/bench.log
}

rig phase=load
round=0
while [ $round -lt "$ROUNDS" ]; do
    for path in kernel reserved; do
        measure read $path $READ
        measure write $path $WRITE
        measure randread $path $RANDREAD
    done
    round=$((round + 1))
done
log sockets </tmp/sockets
ethtool -i eth0 | log driver
ethtool -k eth0 | grep -E 'ntuple|checksum|segmentation|gro' | log features
ethtool -n eth0 | log rules
rig phase=loaded
"""


def read(facts):
    """Medians of MB/s and of CPU a request for each load and path, and their ratios."""
    values = facts.values
    for load in LOADS:
        medians = {}
        for path in PATHS:
            runs = [facts_module.parse_json_lines([line])
                    for line in facts.logs.get(f"{load}_{path}", [])]
            runs = [run for run in runs if run.get("requests", 0) > 0]
            if not runs:
                continue
            medians[path] = {
                key: statistics.median(run[key] for run in runs)
                for key in ("bytes_per_second", "cpu_us_per_request")
            }
            values[f"{load}_{path}_mb_s"] = f"{medians[path]['bytes_per_second'] / 1e6:.2f}"
            values[f"{load}_{path}_cpu_us"] = f"{medians[path]['cpu_us_per_request']:.0f}"
            values[f"{load}_{path}_runs"] = str(len(runs))
        if len(medians) == len(PATHS):
            kernel, reserved = (medians[path] for path in PATHS)
            for key, name in (("bytes_per_second", "speed"), ("cpu_us_per_request", "cpu")):
                values[f"{load}_{name}_ratio"] = f"{reserved[key] / max(kernel[key], 1e-9):.2f}"
    values["zero_copy"] = str(int("zc:1" in " ".join(facts.logs.get("sockets", []))))


def demand(facts):
    """Every window ended well, and the reserved path's really without copying."""
    wanted = len(LOADS) * len(PATHS) * ROUNDS
    return [
        (facts.lists.get("status") == ["0"] * wanted, "a window failed"),
        (facts.number("zero_copy") == 1, "the kernel shows no socket with zero copy"),
        (
            all(facts.number(f"{load}_{path}_runs") == ROUNDS for load in LOADS for path in PATHS),
            "figures are missing",
        ),
    ]


SPEED = {
    "script": SCRIPT,
    "read": read,
    "demands": demand,
    "figures": tuple(
        f"{load}_{name}"
        for load in LOADS
        for name in ("kernel_mb_s", "reserved_mb_s", "speed_ratio", "cpu_ratio")
    ),
    "variables": {
        "ROUNDS": ROUNDS,
        "WINDOW": 5,
        "MTU": 1500,
        "ZERO_COPY": "--zero-copy",
        **{name.upper(): words for name, words in LOADS.items()},
    },
    "initiators": ("client",),
    "kernels": ("7", "7-full"),
    "nic": "virtio-dma",
}
