"""From what a guest said to what it means. Pure: text and numbers in, a verdict out."""

import json
import re
from dataclasses import dataclass, field

# What the kernel prints on the console -> the name under which it is counted.
CONSOLE_PATTERNS = {
    "panics": re.compile(r"Kernel panic - not syncing"),
    "oopses": re.compile(r"\b(?:BUG: |Oops: |general protection fault)"),
    "hung_tasks": re.compile(r"INFO: task .* blocked for more than"),
    "stalls": re.compile(r"(?:soft lockup|rcu: INFO: rcu_\w+ (?:self-)?detected stall)"),
    "io_errors": re.compile(
        r"(?:(?:Read|Write)-error on swap-device|Buffer I/O error on dev|I/O error, dev (?!fd0)|"
        r"EXT4-fs error|EXT4-fs .*Remounting filesystem read-only|JBD2: .*I/O error)"
    ),
    "nop_timeouts": re.compile(r"(?:ping timeout of|Ping timeout|Nop-out timedout)", re.IGNORECASE),
    "connection_errors": re.compile(r"detected conn error"),
    "recovery_failures": re.compile(r"session recovery timed out"),
    "page_allocation_failures": re.compile(r"page allocation failure"),
    "oom_kills": re.compile(r"Out of memory: Killed process|oom-kill:"),
}

OUTCOMES = ("ok", "panic", "mismatch", "io-error", "hung", "failed", "rig-error")


@dataclass
class Facts:
    """Everything one run found out."""

    values: dict = field(default_factory=dict)  # RIG key=value; the last one counts
    lists: dict = field(default_factory=dict)  # every value of a key, in order
    logs: dict = field(default_factory=dict)  # LOG name: lines
    console: dict = field(default_factory=dict)  # counts by CONSOLE_PATTERNS
    timed_out: str = ""  # which limit the run has passed
    missed: str = ""  # why the rig itself could not do its part

    def take_line(self, line):
        """Reads one line of the port. Returns the key of a fact, None for anything else."""
        kind, _, rest = line.partition(" ")
        if kind == "LOG":
            name, _, text = rest.partition(": ")
            self.logs.setdefault(name.rstrip(":"), []).append(text)
            return None
        if kind != "RIG" or "=" not in rest:
            return None
        key, _, value = rest.partition("=")
        self.values[key] = value
        self.lists.setdefault(key, []).append(value)
        return key

    def number(self, key, default=None):
        """The value of `key` as a number; `default` when it is absent or no number."""
        try:
            return float(self.values[key]) if "." in self.values[key] else int(self.values[key])
        except (KeyError, ValueError):
            return default

    def difference(self, name):
        """How much the counter `name` of /proc/vmstat grew between `before_` and `after_`."""
        before, after = self.number(f"before_{name}"), self.number(f"after_{name}")
        return None if before is None or after is None else after - before


# The guest's last act. What the kernel says of vanished disks after it is no finding.
POWER_OFF = "sysrq: Power Off"


# What the kernel itself says, whatever else is on the same line: daemons may log here too.
KERNEL_WORDS = re.compile(r"\[ *\d+\.\d{6}\] ([^\n]*)")


def scan_console(text):
    """Counts the kernel's complaints by name."""
    text = "\n".join(KERNEL_WORDS.findall(text.partition(POWER_OFF)[0]))
    return {name: len(pattern.findall(text)) for name, pattern in CONSOLE_PATTERNS.items()}


def parse_stress_ng(lines):
    """Reads stress-ng's output: (bogo operations or None, number of wrong bits it found).

    Other failures of stress-ng show in its exit status.
    """
    operations, failures = None, 0
    for line in lines:
        # stress-ng: metrc: [93] vm    316    60.05 ...
        match = re.search(r"metrc: \[\d+\] vm\s+(\d+)\s+[\d.]+", line)
        if match:
            operations = int(match.group(1))
        match = re.search(r"detected (\d+) .*error", line)
        if match:
            failures += int(match.group(1))
    return operations, failures


def verdict(facts, demands):
    """One of OUTCOMES and a sentence. `demands` are (holds, sentence) pairs of the scenario.

    The order tells what caused what: a panic hides what led to it, lost data is worse than an
    I/O error, and an I/O error explains a hang that follows it.
    """
    console = facts.console
    if facts.missed:
        return "rig-error", facts.missed
    if console.get("panics") or console.get("oopses"):
        return "panic", "the guest's kernel panicked"
    if facts.number("mismatches", 0):
        return "mismatch", f"{facts.values['mismatches']} mismatches: data came back wrong"
    if console.get("io_errors"):
        return "io-error", f"{console['io_errors']} I/O errors on the console"
    if facts.timed_out and "phase" not in facts.values:
        return "rig-error", facts.timed_out
    if facts.timed_out:
        return "hung", f"{facts.timed_out}, last phase '{facts.values['phase']}'"
    if console.get("hung_tasks") or console.get("stalls"):
        return "hung", "the kernel reports hung tasks"
    if "failed" in facts.values:
        return "failed", facts.values["failed"]
    if "done" not in facts.values:
        return "failed", f"the guest ended in phase '{facts.values.get('phase', 'boot')}'"
    for holds, sentence in demands:
        if not holds:
            return "failed", sentence
    return "ok", ""


def parse_json_lines(lines):
    """The last line that is a JSON object; an empty dict when there is none."""
    for line in reversed(lines):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return {}
