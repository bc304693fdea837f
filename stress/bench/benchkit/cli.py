"""The command line."""

import argparse
import json
import pathlib
import sys

from benchkit import clients, host, link, swap, target_cost, targets, tcp, vs_iscsi_perf

BENCHMARKS = {module.NAME: module for module in (vs_iscsi_perf, target_cost, swap, tcp)}
DEFAULT_PORT = 13340


def arguments():
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="name the benchmarks")
    run = verbs.add_parser("run", help="run one and print its table")
    run.add_argument("name", choices=sorted(BENCHMARKS))
    run.add_argument("--runs", type=int, default=3, help="alternating runs (default 3)")
    run.add_argument("--seconds", type=int, default=5, help="of each run (default 5)")
    run.add_argument("--targets", default="ram,tgt", help="of ram,tgt (default both)")
    run.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the target on loopback")
    run.add_argument("--mtu", default="1500", help="tcp: of the links, as 1500,9000 (default 1500)")
    run.add_argument("--links", help="tcp: only those whose names begin so, as veth,100")
    run.add_argument("--build", help="build folder; default: $HOLDFAST_BUILD, else the newest")
    run.add_argument("--no-claim", action="store_true",
                     help="do not ask for the larger share of the CPUs")
    run.add_argument("--json", metavar="FILE", help="write the numbers there")
    run.add_argument("--report", metavar="FOLDER",
                     help="write NAME.md, NAME.json and the pictures there")
    return parser.parse_args()


def check(options):
    """A sentence when an option makes no sense."""
    options.targets = options.targets.split(",")
    if not all(mtu.isdecimal() and int(mtu) >= 1280 for mtu in options.mtu.split(",")):
        return "--mtu wants numbers from 1280 on, as 1500,9000"
    unknown = [kind for kind in options.targets if kind not in targets.KINDS]
    if unknown:
        return f"--targets knows ram and tgt, not {', '.join(unknown)}"
    if options.runs < 1 or options.seconds < 1:
        return "--runs and --seconds start at 1"
    return None


def write_report(folder, module, result, command):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made = module.pictures(result)
    for name, svg in made.items():
        (folder / name).write_text(svg, encoding="utf-8")
    (folder / f"{module.NAME}.json").write_text(json.dumps(result, indent=2) + "\n",
                                                encoding="utf-8")
    images = "\n".join(f"![{name}]({name})" for name in made)
    (folder / f"{module.NAME}.md").write_text(
        f"# {module.NAME}\n\n{module.SUMMARY}. Made by:\n\n    {command}\n\n"
        f"{module.table(result)}\n{images}\n", encoding="utf-8")


def run(options):
    problem = check(options)
    if problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    module = BENCHMARKS[options.name]
    if not options.no_claim:
        host.claim_cpu()
    try:
        result = module.measure(options)
    except (targets.TargetError, clients.ClientError, link.LinkError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    print(module.table(result), end="")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(result, indent=2) + "\n",
                                              encoding="utf-8")
    if options.report:
        command = (f"stress/bench/bench run {options.name} --runs {options.runs} --seconds "
                   f"{options.seconds} --report docs/benchmarks")
        write_report(options.report, module, result, command)
    return 0


def main():
    options = arguments()
    if options.verb == "list":
        for name, module in sorted(BENCHMARKS.items()):
            print(f"{name:16} {module.SUMMARY}")
        return 0
    return run(options)
