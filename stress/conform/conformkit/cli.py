"""The command line of `stress/conform/conform`. Exit status: 0 no case failed, 1 one did, 2 wrong
use or a mistake in a case file."""

import argparse
import concurrent.futures
import fnmatch
import pathlib
import re
import sys

from . import capture, disk, initiators, report, run, script, target
from .player import FAIL

CASES = pathlib.Path(__file__).resolve().parent.parent / "cases"


def parser():
    top = argparse.ArgumentParser(prog="conform", description="Tests iSCSI initiators.")
    top.add_argument("--cases", metavar="DIR", default=CASES, help="default: the cases beside this")
    verbs = top.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="the cases, and the presets of initiators")
    running = verbs.add_parser("run", help="run cases against an initiator")
    for each in (listing, running):
        each.add_argument("case", nargs="*", metavar="CASE",
                          help="name, pattern such as 'nop_*', or row such as NOP-01")
    running.add_argument("--initiator", default="holdfast", metavar="CMD",
                         help=f"one of {', '.join(initiators.PRESETS)}, or any command")
    running.add_argument("--json", metavar="FILE", help="write the results")
    running.add_argument("--markdown", metavar="FILE", help="write the report")
    running.add_argument("--pcap", metavar="DIR", help="write the capture of each failed case")
    running.add_argument("--all-pcaps", action="store_true", help="of each case, failed or not")
    running.add_argument("--jobs", type=int, default=4, metavar="N", help="cases at once")
    running.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                         help="where the target listens, for initiators elsewhere")
    return top


def chosen(cases, patterns):
    """The cases that any pattern names; raises LookupError for one that names none."""
    if not patterns:
        return list(cases.values())
    found = {}
    for pattern in patterns:
        matching = [case for case in cases.values()
                    if pattern in case.rows or fnmatch.fnmatchcase(case.name, pattern)
                    or case.name.partition(":")[0] == pattern]
        if not matching:
            raise LookupError(f"no case is called '{pattern}' or covers it")
        found |= {case.name: case for case in matching}
    return list(found.values())


def list_cases(cases):
    for case in cases:
        print(f"{case.name:<44} {case.io:<9} {' '.join(case.rows)}")
        print(f"    {case.about}")
    print(f"{len(cases)} cases, {len({row for case in cases for row in case.rows})} rows")
    print("initiators:")
    for make in initiators.PRESETS.values():
        preset = make()
        print(f"  {preset.name:<22} {preset.about}")


def run_cases(cases, options):
    initiator = initiators.named(options.initiator)
    disk.content(target.BLOCKS * disk.BLOCK)  # Once, before everybody needs it.
    if initiator.place is None:
        results = play(cases, initiator, run.Here(options.host), options)
    else:
        options.jobs = 1
        with initiator.place() as place:
            initiator.known_version = place.version()
            results = play(cases, initiator, place, options)
    ordered = [results[case.name] for case in cases]
    command = "stress/conform/conform run --initiator " + options.initiator
    command += "".join(f" {one}" for one in options.case)
    for path, write in ((options.json, report.as_json), (options.markdown, report.as_markdown)):
        if path:
            pathlib.Path(path).write_text(write(ordered, initiator, command), encoding="utf-8")
    print(f"{initiator.name}: {report.summary(ordered)}")
    return 1 if any(one.verdict == FAIL for one in ordered) else 0


def play(cases, initiator, place, options):
    """{name of the case: result}, each told when it is there."""
    results = {}
    with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
        running = [pool.submit(run.run, case, initiator, place) for case in cases]
        try:
            for done in concurrent.futures.as_completed(running):
                result = done.result()
                results[result.case.name] = result
                print(report.line(result), flush=True)
                keep_capture(result, options)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def keep_capture(result, options):
    if not options.pcap or not (result.verdict == FAIL or options.all_pcaps):
        return
    folder = pathlib.Path(options.pcap)
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9_.-]", ".", result.case.name) + ".pcap"
    (folder / name).write_bytes(capture.pcap(result.links))


def main():
    options = parser().parse_args()
    try:
        cases = chosen(script.load(options.cases), options.case)
    except (script.ScriptError, LookupError) as error:
        print(f"conform: {error}", file=sys.stderr)
        return 2
    if options.verb == "list":
        list_cases(cases)
        return 0
    try:
        return run_cases(cases, options)
    except initiators.PlaceError as error:
        print(f"conform: {error}", file=sys.stderr)
        return 2
