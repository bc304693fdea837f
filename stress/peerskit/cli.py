"""The command line of `stress/peers`. Exit status: 0 good, 1 the run was not, 2 wrong use."""

import argparse
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from .places import PROJECT  # noqa: F401  (makes `rigkit` and `targets` importable)
import targets as system_targets
from rigkit import lio
from rigkit import targets as rig_targets
from rigkit.aptsource import SourceMissing
from rigkit.hostpkg import HostError
from rigkit.progress import Progress

from . import cables, holdfast, judge, peers, run

JSON_SCHEMA = 1

# What each scenario sets when the command line does not.
SCENARIOS = {
    "quiet": ("undisturbed: the figures to compare with", {"cut_every": 0.0}),
    "cut": ("one connection is reset again and again", {"cut_every": 5.0}),
    "damage": (
        "one data PDU of a hundred is damaged, both ways",
        {"cut_every": 0.0, "damage_every": 100},
    ),
}
DAMAGE_WAYS = {"in": ("in",), "out": ("out",), "both": ("in", "out")}
SABOTAGES = ("mismatch", "stall")


def parser():
    top = argparse.ArgumentParser(prog="peers", description="Sessions to real targets, disturbed.")
    verbs = top.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="the scenarios and the targets")
    one = verbs.add_parser("run", help="run a scenario")
    one.add_argument("scenario", choices=sorted(SCENARIOS))
    one.add_argument("--target", choices=sorted(peers.ALL), default="ram")
    one.add_argument("--erl", type=int, choices=(0, 1, 2), default=0)
    one.add_argument("--connections", type=_count, default=1, metavar="N")
    one.add_argument("--cut-every", type=_seconds, metavar="S", help="0: never")
    one.add_argument("--damage-every", type=_count, metavar="N", help="one data PDU of N")
    one.add_argument("--damage-way", choices=sorted(DAMAGE_WAYS), default="both")
    one.add_argument("--seconds", type=_count, default=60, metavar="S", help="length of the load")
    one.add_argument("--size", type=_count, default=48, metavar="MIB", help="what fio writes on")
    one.add_argument("--seed", type=_count, default=1)
    one.add_argument("--time2wait", type=int, metavar="S", help="what the target wishes")
    one.add_argument("--no-digests", action="store_true", help="default: CRC32C is required")
    one.add_argument("--shuffle", action="store_true", help="data out of order, where it can be")
    one.add_argument("--chap", action="store_true", help="the target asks who we are")
    one.add_argument("--backstore", choices=lio.BACKSTORES, default="ram", help="of lio")
    one.add_argument("--median-limit", type=_seconds, default=0.1, metavar="S",
                     help="from cut to completion beyond Time2Wait, median (0.1)")
    one.add_argument("--stall-limit", type=_seconds, metavar="S",
                     help="longest time without a completion (ERL 2: 1; else Time2Wait + 3)")
    one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                     help="of the attachment; docs/configuration.md")
    one.add_argument("--sabotage", choices=SABOTAGES, help="the run must not be good then")
    one.add_argument("--json", metavar="FILE", help="write the report")
    one.add_argument("--keep", metavar="DIR", help="put the logs of all programs there")
    one.add_argument("--holdfast-bin", metavar="DIR", help="default: the newest build")
    return top


def _count(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _seconds(text):
    value = float(text)
    if not 0 <= value < 1e6:
        raise argparse.ArgumentTypeError("must be seconds")
    return value


def options_of(arguments):
    """What a run needs to know, with the scenario's own values where nothing was said."""
    defaults = SCENARIOS[arguments.scenario][1]
    cut_every = arguments.cut_every
    damage_every = arguments.damage_every
    stall = arguments.stall_limit
    if stall is None:
        stall = 1.0 if arguments.erl == 2 else (arguments.time2wait or 2) + 3.0
    return run.Options(
        scenario=arguments.scenario,
        target=arguments.target,
        erl=arguments.erl,
        connections=arguments.connections,
        cut_every=defaults["cut_every"] if cut_every is None else cut_every,
        damage_every=defaults.get("damage_every", 0) if damage_every is None else damage_every,
        damage_ways=DAMAGE_WAYS[arguments.damage_way],
        seconds=arguments.seconds,
        size_mib=arguments.size,
        seed=arguments.seed,
        digests=not arguments.no_digests,
        time2wait_s=arguments.time2wait,
        data_in_order=not arguments.shuffle,
        chap=arguments.chap,
        backstore=arguments.backstore,
        stall_max_s=stall,
        median_beyond_s=arguments.median_limit,
        sabotage=arguments.sabotage,
        settings=tuple(arguments.set),
        holdfast_bin=arguments.holdfast_bin,
        keep=arguments.keep,
    )


def list_everything():
    print("scenarios:")
    for name, (about, _) in SCENARIOS.items():
        print(f"  {name:<8} {about}")
    print("targets:")
    for kind in peers.ALL.values():
        levels = ", ".join(map(str, kind.erls))
        able = f"ERL {levels}; {kind.connections_max} connections at most"
        print(f"  {kind.name:<8} {kind.about}; {able}")
    return 0


def _text(value, unit=""):
    return "-" if value is None else f"{value}{unit}"


def summary(report, complaints):
    """The report as lines for a person."""
    times = report["recovery_s"]
    beyond = judge.recovery_beyond_wait(report)
    counters = report["counters"]
    lines = [
        f"target {report['target']}, ERL {report['erl']}, at most {report['connections_peak']} "
        f"connections, Time2Wait {report['time2wait_s']} s, "
        f"digests {report['agreed'].get('HeaderDigest')}/{report['agreed'].get('DataDigest')}",
        f"fio: {report['writes']} writes, {report['reads']} reads verified, "
        f"{report['mismatches']} mismatches, {report['io_errors']} I/O errors",
        f"cuts {report['cuts']}, damaged PDUs {report['damaged']}, sessions lost "
        f"{report['sessions_lost']}, retries {counters.get('retries')}, "
        f"digest errors {counters.get('digest_errors')}",
        f"cut to completion: median {_text(times['median'], ' s')}, p95 {_text(times['p95'], ' s')}"
        f", max {_text(times['max'], ' s')}"
        + ("" if beyond is None else f"; median {beyond * 1000:.0f} ms beyond Time2Wait"),
        f"medians on the way: connected {_text(report['to_connect_s']['median'], ' s')}, logged in "
        f"{_text(report['to_login_s']['median'], ' s')} (the target's answers "
        f"{_text(report['login_answers_s']['median'], ' s')}), first request sent "
        f"{_text(report['to_request_s']['median'], ' s')}",
        f"longest stall {_text(report['stall_max_s'], ' s')}",
    ]
    lines += [f"NOT GOOD: {sentence}" for sentence in complaints]
    return [*lines, "not good" if complaints else "good"]


def run_scenario(arguments):
    options = options_of(arguments)
    kind = peers.ALL[options.target]
    peers.check(kind)
    if absent := holdfast.missing(options.holdfast_bin):
        raise peers.PeerError(absent)
    if arguments.json and not Path(arguments.json).resolve().parent.is_dir():
        raise peers.PeerError(f"the folder of {arguments.json} does not exist")
    run.sweep_leftovers()
    report = run.Run(options, Progress(f"{options.scenario}/{options.target}")).carry_out()
    complaints = judge.complaints(report, run.demands(options, kind))
    if arguments.json:
        made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        whole = {"schema": JSON_SCHEMA, "made_at": made_at, "complaints": complaints, **report}
        Path(arguments.json).write_text(json.dumps(whole, indent=2) + "\n")
    print("\n".join(summary(report, complaints)))
    return 1 if complaints else 0


def main(words=None):
    arguments = parser().parse_args(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return list_everything() if arguments.verb == "list" else run_scenario(arguments)
    except (HostError, SourceMissing, peers.PeerError, holdfast.HoldfastError, cables.CableError,
            rig_targets.TargetError, system_targets.TargetError, RuntimeError) as error:
        print(f"peers: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"peers: {error}\n{error.stderr or ''}".rstrip(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("peers: interrupted", file=sys.stderr)
        return 130
