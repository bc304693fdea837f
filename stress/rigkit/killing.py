"""`rig run --kill-every`: the I/O process is killed again and again, beside any scenario's load.

The kills happen in the guest, by a locked program of ours, so that no message has to get through a
storm for one. What each cost is read from the console, where Holdfast logs every takeover.
"""

import math
import re
import statistics

from . import facts as facts_module

PROGRAM = "io-killer"

# Beside the scenario's own.
FIGURES = (
    "kills",
    "takeovers",
    "takeover_median_ms",
    "takeover_max_ms",
    "adopt_median_ms",
    "adopt_max_ms",
)

# A kill may hit a process that has not yet taken over from the one before; such a pair of kills is
# one takeover. More than this share of them means that takeovers take as long as the time between
# two kills. While the link is down nobody can take over: those kills are not expected to be
# followed by a takeover each.
TAKEOVERS_SHARE_MIN = 0.8

START = """
io-killer --every-ms "%d" >/tmp/killer.log 2>&1 &
killer=$!
"""

STOP = """
kill -TERM "$killer"
wait "$killer"
log killer </tmp/killer.log
"""

TOOK_OVER = re.compile(r"took over: serving ([\d.]+) ms after")
ADOPTED = re.compile(r"device was adopted after ([\d.]+) ms")


def steps_around(script, every_ms):
    """The script's steps, with the killer started before it and stopped behind it."""
    if not every_ms:
        return (script,)
    return (START % every_ms, script, STOP)


def _spread(facts, name, times):
    if times:
        facts.values[f"{name}_median_ms"] = f"{statistics.median(times):.1f}"
        facts.values[f"{name}_max_ms"] = f"{max(times):.1f}"


def read(facts, console):
    """Digests the killer's count and the console's takeovers into FIGURES."""
    killer = facts_module.parse_json_lines(facts.logs.get("killer", []))
    facts.values["kills"] = str(killer.get("kills", 0))
    times = [float(ms) for ms in TOOK_OVER.findall(console)]
    facts.values["takeovers"] = str(len(times))
    _spread(facts, "takeover", times)
    _spread(facts, "adopt", [float(ms) for ms in ADOPTED.findall(console)])
    status = facts_module.parse_json_lines(["".join(facts.logs.get("status_after", []))])
    watched = (status.get("attachments") or [{}])[0].get("watchdog", {})
    facts.values["watchdog_state"] = watched.get("state", "")


def kills_without_link(facts, every_ms):
    """How many kills fell into the outages that the host made, at most."""
    outages_ms = [float(seconds) * 1000 for seconds in facts.lists.get("outage_s", [])]
    return sum(math.ceil(length / every_ms) for length in outages_ms)


def demands(facts, every_ms):
    """Kills took place, each was followed by a takeover, and at the end somebody served."""
    kills, takeovers = facts.number("kills", 0), facts.number("takeovers", 0)
    expected = kills - kills_without_link(facts, every_ms)
    enough = takeovers > 0 and takeovers >= expected * TAKEOVERS_SHARE_MIN
    state = facts.values.get("watchdog_state")
    return [
        (kills > 0, "nobody was killed"),
        (enough, f"{kills} kills, {expected} with a link, but only {takeovers} takeovers"),
        (state == "serving", f"at the end the watchdog says '{state}'"),
    ]
