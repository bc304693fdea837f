"""What a run has to show, and whether it did. Pure: a report in, sentences out."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Demands:
    """What was asked of a run. `None` as a limit: not judged."""

    erl: int = 0
    connections: int = 1
    cuts_min: int = 0
    damaged_min: int = 0
    median_beyond_wait_s: float | None = None  # median of cut to completion, without Time2Wait
    stall_max_s: float | None = None
    sessions_lost_max: int | None = None
    logins_max: int | None = None


def recovery_beyond_wait(report):
    """The median recovery without what the negotiated Time2Wait costs; None without a cut."""
    median = report["recovery_s"]["median"]
    return None if median is None else median - report["time2wait_s"]


def complaints(report, demands):
    """Everything that keeps the run from being good. Empty: it is good."""
    return [
        *_data_complaints(report),
        *_shape_complaints(report, demands),
        *_time_complaints(report, demands),
        *_target_complaints(report["target_says"]),
        *report["troubles"],
    ]


def _data_complaints(report):
    if report["mismatches"]:
        yield f"{report['mismatches']} blocks came back wrong"
    if report["io_errors"]:
        yield f"{report['io_errors']} requests failed"
    if report["requests_failed"]:
        yield f"Holdfast counts {report['requests_failed']} failed requests"
    if not report["writes"] or not report["reads"]:
        yield "nothing was written, or nothing was read back"


def _shape_complaints(report, demands):
    """A run that did not test what was asked is no good run, whatever it found."""
    if report["erl"] != demands.erl:
        yield f"ErrorRecoveryLevel {report['erl']} was agreed, {demands.erl} was asked for"
    if report["connections_peak"] < demands.connections:
        yield (
            f"at most {report['connections_peak']} connections at once, "
            f"{demands.connections} were asked for"
        )
    if report["cuts"] < demands.cuts_min:
        yield f"only {report['cuts']} cuts took place, {demands.cuts_min} were due"
    if report["damaged"] < demands.damaged_min:
        yield f"only {report['damaged']} PDUs were damaged"
    lost_max = demands.sessions_lost_max
    if lost_max is not None and report["sessions_lost"] > lost_max:
        yield f"{report['sessions_lost']} sessions were lost, {lost_max} may be"
    if demands.logins_max is not None and report["logins"] > demands.logins_max:
        yield f"{report['logins']} logins, where {demands.logins_max} should have lasted"


def _time_complaints(report, demands):
    if report["unrecovered"]:
        yield f"after {report['unrecovered']} cuts nothing came any more"
    beyond, limit = recovery_beyond_wait(report), demands.median_beyond_wait_s
    if beyond is not None and limit is not None and beyond > limit:
        yield (
            f"median from cut to completion is {beyond * 1000:.0f} ms beyond Time2Wait, "
            f"{limit * 1000:.0f} ms are allowed"
        )
    stall, limit = report["stall_max_s"], demands.stall_max_s
    if stall is not None and limit is not None and stall > limit:
        yield f"the longest stall is {stall:.3f} s, {limit:.3f} s are allowed"


def _target_complaints(says):
    if says.get("violations"):
        yield f"the target counts violations of the protocol: {says['violations']}"
    fatal = {name: says.get("kernel", {}).get(name) for name in ("panics", "oopses", "hung_tasks")}
    for name, count in fatal.items():
        if count:
            yield f"the target's kernel: {count} {name}"
