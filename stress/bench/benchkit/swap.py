"""swap: a guest of 256 MiB swaps on each initiator in turn, through the rig's swap-squeeze."""

import json
import statistics
import subprocess
import sys
import tempfile

from benchkit import clients, host, picture, places

NAME = "swap"
SUMMARY = "bogo ops of a guest that swaps on Holdfast, open-iscsi, nbd and a local disk, in turn"
OURS = "holdfast"
BASELINE = "open-iscsi, tuned"
# What `rig run` is told for each; tuned is vm.min_free_kbytes = 16384 in the guest.
WAYS = {OURS: ["--initiator", "holdfast"],
        BASELINE: ["--initiator", "open-iscsi", "--tuned"],
        "open-iscsi": ["--initiator", "open-iscsi"],
        "nbd, tuned": ["--initiator", "nbd", "--tuned"],
        "local disk": ["--initiator", "local"]}
# These take part in each round; the others in the first only: they are for orientation.
EVERY_ROUND = (OURS, BASELINE)
ROUNDS_OF_OTHERS = 1


def one_run(way, number, programs):
    """The rig's record of one run; not ok is a result, too."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [str(places.ROOT / "stress" / "rig"), "run", "swap-squeeze", *WAYS[way],
                   "--seed", str(1 + number), "--json", file.name]
        if programs is not None:
            command += ["--holdfast-bin", str(programs.parent)]
        status = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                check=False).returncode
        if status not in (0, 1):
            raise clients.ClientError(f"{' '.join(command)}: exit {status}; run it to see why")
        record = json.loads(file.read())["runs"][0]
    return {"outcome": record["outcome"], "reason": record["reason"],
            **{key: record["figures"].get(key)
               for key in ("bogo_ops", "pages_out", "mismatches", "vm_locked_kib")}}


def measure(options):
    programs = places.built("holdfastd", options.build)
    runs = {way: [] for way in WAYS}
    for number in range(options.runs):
        for way in WAYS:
            if way not in EVERY_ROUND and number >= ROUNDS_OF_OTHERS:
                continue
            run = one_run(way, number, programs)
            runs[way].append(run)
            print(f"{number + 1}/{options.runs} {way:18} {run['outcome']:10} "
                  f"{run['bogo_ops'] or 0:5} bogo ops  {run['reason']}", file=sys.stderr)
    return {"name": NAME, "host": host.facts(), "runs": options.runs,
            "results": {way: several for way, several in runs.items() if several}}


def median(several, key):
    values = [run[key] for run in several if run["outcome"] == "ok" and run[key] is not None]
    return statistics.median(values) if values else None


def ratio_by_round(result):
    """The median over the rounds of ours / tuned open-iscsi, both runs ok; None without any."""
    pairs = zip(result["results"].get(OURS, []), result["results"].get(BASELINE, []))
    ratios = [ours["bogo_ops"] / theirs["bogo_ops"] for ours, theirs in pairs
              if ours["outcome"] == theirs["outcome"] == "ok" and theirs["bogo_ops"]]
    return statistics.median(ratios) if ratios else None


def table(result):
    lines = ["| disk | ok | bogo ops, median | each run | pages out, median | MiB locked |",
             "|---|---|---|---|---|---|"]
    for way, several in result["results"].items():
        good = sum(run["outcome"] == "ok" for run in several)
        each = " ".join(str(run["bogo_ops"]) if run["outcome"] == "ok" else run["outcome"]
                        for run in several)
        locked = median(several, "vm_locked_kib")
        pages = median(several, "pages_out")
        lines.append(f"| {way} | {good} of {len(several)} | {median(several, 'bogo_ops') or '-'} | "
                     f"{each} | {'-' if pages is None else f'{pages:,.0f}'} | "
                     f"{'-' if not locked else f'{locked / 1024:.1f}'} |")
    facts, ratio = result["host"], ratio_by_round(result)
    lines += ["", f"Holdfast to tuned open-iscsi, median of the rounds: "
              f"{'-' if ratio is None else f'{ratio:.2f}'}. {result['runs']} rounds, the disks in "
              f"turn; guest: Debian 12, 256 MiB, 2 CPUs under TCG. {facts['cpu']}, "
              f"{facts['cpus']} CPUs, Linux {facts['kernel']}, load average "
              f"{facts['load_average']} at the end."]
    return "\n".join(lines) + "\n"


def pictures(result):
    made = {way: median(several, "bogo_ops") for way, several in result["results"].items()}
    groups = [("swap-squeeze", {way: ops for way, ops in made.items() if ops is not None})]
    return {f"{NAME}.svg": picture.bars("Swap under memory pressure", "bogo ops, more is better",
                                        groups, list(WAYS))}
