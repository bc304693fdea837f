"""The scenarios, as data: what each one proves, what the guest does, what the host does when.

`script` is shell for the guest; it runs after the initiator's `attach` has set DEV. `actions` are
the host's doings as (seconds after the guest reported a phase, name of an action); runner.py knows
the actions.
"""

from dataclasses import dataclass

from . import facts as facts_module

STRESS_MIB = 500
SQUEEZE_ANON_MIB = 320
SQUEEZE_FILE_MIB = 48

MEMORY_LOAD = """
rig phase=load
stress-ng --vm 1 --vm-bytes "${STRESS_MIB}m" --vm-method walk-1a --verify -t "$SECONDS_LOAD" \\
    --metrics >/tmp/stress.log 2>&1
rig "stress_status=$?"
log stress </tmp/stress.log
rig phase=squeeze
squeeze --anon "$SQUEEZE_ANON_MIB" --file /var/tmp/squeeze --file-size "$SQUEEZE_FILE_MIB" \\
    --threads 2 --seconds "$SECONDS_SQUEEZE" --seed "$SEED" --json >/tmp/squeeze.log 2>&1
rig "squeeze_status=$?"
log squeeze </tmp/squeeze.log
rig phase=loaded
"""

SWAP_SCRIPT = """
mkswap "$DEV" >/dev/null || give_up "mkswap failed"
swapon "$DEV" || give_up "swapon failed"
rig "min_free_kbytes=$(cat /proc/sys/vm/min_free_kbytes)"
report_vmstat before
""" + MEMORY_LOAD + """
report_vmstat after
"""


@dataclass(frozen=True)
class Scenario:
    """One experiment. Limits are wall-clock seconds of the host."""

    name: str
    proves: str
    script: str
    actions: tuple = ()  # (phase, seconds after it, action)
    profile: str = "swap"
    seconds: int = 60  # default length of the load
    squeeze_seconds: int = 30
    limit_s: int = 200  # beyond the load's own length, from boot to power-off
    size_mib: int = 1024
    programs: tuple = ("squeeze",)  # of ours, needed in the guest beside the initiator's
    initiators: tuple = ("holdfast", "open-iscsi", "nbd", "local")

    def variables(self):
        """What the script needs to know beyond what every job is told."""
        return {
            "STRESS_MIB": STRESS_MIB,
            "SQUEEZE_ANON_MIB": SQUEEZE_ANON_MIB,
            "SQUEEZE_FILE_MIB": SQUEEZE_FILE_MIB,
            "SECONDS_SQUEEZE": self.squeeze_seconds,
        }

    def read(self, facts):
        """Adds what the scenario's own logs say to `facts.values`."""
        read_memory_load(facts)

    def demands(self, facts):
        """What must hold beyond an undisturbed end, as (holds, sentence) pairs."""
        return memory_load_demands(facts)


def read_memory_load(facts):
    """Digests stress-ng's and squeeze's output into bogo_ops and mismatches."""
    operations, failures = facts_module.parse_stress_ng(facts.logs.get("stress", []))
    if operations is not None:
        facts.values["bogo_ops"] = str(operations)
    squeeze = facts_module.parse_json_lines(facts.logs.get("squeeze", []))
    failures += int(squeeze.get("mismatches", 0))
    if "squeeze" in facts.logs and squeeze:
        facts.values["squeeze_touches"] = str(squeeze.get("touches", 0))
    facts.values["mismatches"] = str(failures)


def memory_load_demands(facts):
    """The load did its work, verified, and really swapped."""
    return [
        (facts.values.get("stress_status") == "0", "stress-ng failed"),
        (facts.values.get("squeeze_status") == "0", "squeeze failed"),
        ((facts.number("bogo_ops") or 0) > 0, "stress-ng did no work"),
        ((facts.difference("pswpout") or 0) > 0, "nothing was swapped out"),
    ]


SWAP_SQUEEZE = Scenario(
    name="swap-squeeze",
    proves="a machine at distribution defaults swaps through a memory storm, every page verified",
    script=SWAP_SCRIPT,
)

SWAP_FLAP = Scenario(
    name="swap-flap",
    proves="the same storm survives a cable that is pulled for 10 s, three times",
    script=SWAP_SCRIPT,
    actions=tuple(
        ("load", start + after, action)
        for start in (6, 24, 42)
        for after, action in ((0, "link-down"), (10, "link-up"))
    ),
)

SWAP_FLOOD = Scenario(
    name="swap-flood",
    proves="the same storm survives 20,000 foreign UDP packets a second",
    script=SWAP_SCRIPT,
    actions=(("load", 2, "flood-start"), ("loaded", 0, "flood-stop")),
)

ALL = {each.name: each for each in (SWAP_SQUEEZE, SWAP_FLAP, SWAP_FLOOD)}
