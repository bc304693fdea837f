"""The command line of `stress/rig`. Exit status: 0 all runs ok, 1 a run was not, 2 wrong use."""

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import guest, image, initiators, kernels, killing, runner, scenarios, shell
from .aptsource import SourceMissing
from .hostpkg import HostError
from .progress import Progress
from .targets import TargetError

JSON_SCHEMA = 1

# Runs that fail for a reason of the rig's own, such as a crash of QEMU, are repeated.
ATTEMPTS_MAX = 3


def parser():
    top = argparse.ArgumentParser(prog="rig", description="Runs scenarios in guests.")
    verbs = top.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="the scenarios and the initiators")
    build = verbs.add_parser("build", help="make the guest image, installing what the host lacks")
    shell = verbs.add_parser("shell", help="boot a guest and give a shell on its console")
    run = verbs.add_parser("run", help="run a scenario")
    run.add_argument("scenario", choices=sorted(scenarios.ALL))
    for each in (build, run, shell):
        default = None if each is run else kernels.DEFAULT
        each.add_argument("--kernel", choices=sorted(kernels.ALL), default=default,
                          help="of the guest; 7: the newest 7.x of trixie-backports; fault: the "
                          "same series, built here so that allocations can be made to fail")
    for each in (run, shell):
        default = None if each is run else "holdfast"
        each.add_argument("--initiator", choices=sorted(initiators.ALL), default=default)
        each.add_argument("--nic", choices=sorted(guest.NICS),
                          help="of the guest; virtio-dma: AF_XDP without copying")
        each.add_argument("--target", choices=("tgt", "ram"), help="default: ram when it is built")
        each.add_argument("--holdfast-bin", metavar="DIR", help="default: the newest build")
    run.add_argument("--tuned", action="store_true", help="vm.min_free_kbytes=16384 in the guest")
    run.add_argument("--min-free-kbytes", type=int, metavar="KIB",
                     help="another one, with and without --tuned")
    run.add_argument("--runs", type=_positive, default=1, metavar="N")
    run.add_argument("--seconds", type=_positive, metavar="S", help="length of the load")
    run.add_argument("--requests", type=_positive, metavar="N",
                     help="of a scenario that counts them")
    run.add_argument("--seed", type=_positive, default=1, help="of the first run; others count up")
    run.add_argument("--sabotage", action="store_true", help="the run must end in a mismatch")
    run.add_argument("--kill-every", type=_duration_ms, metavar="TIME",
                     help="SIGKILL the I/O process in the guest again and again: 5s, 500ms")
    run.add_argument("--attach-words", default="", metavar="WORDS",
                     help="more options for `holdfast attach`, such as '--depth 32'")
    run.add_argument("--flood-rate", type=_positive, metavar="N",
                     help="packets a second of a scenario that floods")
    run.add_argument("--json", metavar="FILE", help="write the results (schema: docs/rig.md)")
    run.add_argument("--keep", action="store_true", help="keep the run's folder even if it is ok")
    return top


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _duration_ms(text):
    for unit, factor in (("ms", 1), ("s", 1000)):
        number = text.removesuffix(unit)
        if number != text and number.isdigit() and int(number) > 0:
            return int(number) * factor
    raise argparse.ArgumentTypeError("must be a time such as 5s or 500ms")


def list_everything():
    print("scenarios:")
    for scenario in scenarios.ALL.values():
        print(f"  {scenario.name:<16} {scenario.proves}")
    print("initiators:")
    for initiator in initiators.ALL.values():
        print(f"  {initiator.name:<16} {initiator.about}")
    return 0


def _ready(progress, kernel):
    if os.geteuid() != 0:
        raise HostError("the rig makes network namespaces and disks: run it as root")
    the_image = image.ensure(progress, kernel)
    runner.sweep_leftovers()
    return the_image


# Figures that every scenario shows after its own, as (name in Result.figures, heading).
COMMON_COLUMNS = (
    ("mismatches", "mismatches"),
    ("hung_tasks", "hung"),
    ("io_errors", "io_err"),
    ("nop_timeouts", "nop_to"),
    ("panics", "panics"),
    ("vm_locked_kib", "locked_kib"),
)


def table(results, names):
    """The summary as lines of text. `names` are the scenario's own figures."""
    columns = [(name, name) for name in names] + list(COMMON_COLUMNS)
    rows = [["run", "outcome", "seconds", *(heading for _, heading in columns)]]
    for number, result in enumerate(results, start=1):
        words = [number, result.outcome, result.seconds]
        words += [result.figures.get(name) for name, _ in columns]
        rows.append(["-" if word is None else str(word) for word in words])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(word.rjust(width) for word, width in zip(row, widths)) for row in rows]
    for number, result in reversed(list(enumerate(results, start=1))):
        if result.reason:
            lines.insert(number + 1, f"{'':{widths[0]}}  {result.reason}")
    good = sum(result.outcome == "ok" for result in results)
    return [*lines, f"{good} of {len(results)} ok"]


def as_json(results, options, kernel_version):
    """The document that `--json` writes."""
    return {
        "schema": JSON_SCHEMA,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "guest": {
            "memory_mib": guest.MEMORY_MIB,
            "cpus": guest.CPUS,
            "accelerator": "tcg",
            "kernel": kernel_version,
        },
        "options": dataclasses.asdict(options),
        "runs": [dataclasses.asdict(result) for result in results],
    }


def _run_once(scenario, options, progress, the_image):
    """One result. A failure of the rig itself says nothing and is tried again."""
    for attempt in range(ATTEMPTS_MAX):
        result = runner.Run(scenario, options, progress, the_image).carry_out()
        result.attempts = attempt + 1
        progress.say(f"{result.outcome} {result.reason}".rstrip())
        if result.outcome != "rig-error":
            break
    return result


def run_scenario(arguments):
    scenario = scenarios.ALL[arguments.scenario]
    kernel = arguments.kernel or scenario.kernels[0]
    options = runner.Options(
        initiator=arguments.initiator or scenario.initiators[0],
        target=arguments.target,
        tuned=arguments.tuned,
        min_free_kbytes=arguments.min_free_kbytes,
        seconds=arguments.seconds,
        holdfast_bin=arguments.holdfast_bin,
        keep=arguments.keep,
        seed=arguments.seed,
        sabotage=arguments.sabotage,
        attach_words=arguments.attach_words,
        kill_every=arguments.kill_every,
        nic=arguments.nic,
        requests=arguments.requests,
        flood_rate=arguments.flood_rate,
    )
    runner.check(scenario, options, kernel)
    if arguments.json and not Path(arguments.json).resolve().parent.is_dir():
        raise runner.Refused(f"the folder of {arguments.json} does not exist")
    the_image = _ready(Progress(scenario.name), kernel)
    results = []
    for number in range(arguments.runs):
        progress = Progress(f"{scenario.name}/{options.initiator} {number + 1}/{arguments.runs}")
        this = dataclasses.replace(options, seed=options.seed + number)
        results.append(_run_once(scenario, this, progress, the_image))
        if arguments.json:
            text = json.dumps(as_json(results, options, the_image.kernel_version), indent=2)
            Path(arguments.json).write_text(text + "\n")
    kind = ", tuned" if options.tuned else ""
    print(f"{scenario.name}, {options.initiator}{kind}, target {results[0].target}:")
    names = (*scenario.figures, *(killing.FIGURES if options.kill_every else ()))
    print("\n".join(table(results, names)))
    for result in results:
        if result.folder:
            print(f"kept: {result.folder}")
    return 0 if all(result.outcome == "ok" for result in results) else 1


def main(words=None):
    arguments = parser().parse_args(words)
    # A terminated rig unwinds like an interrupted one, so that everything is taken down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        if arguments.verb == "list":
            return list_everything()
        if arguments.verb == "build":
            progress = Progress("build")
            progress.say(f"ready: {_ready(progress, arguments.kernel).folder.name}")
            return 0
        if arguments.verb == "shell":
            return shell.interactive(arguments, _ready(Progress("shell"), arguments.kernel))
        return run_scenario(arguments)
    except (HostError, SourceMissing, TargetError, runner.Refused) as error:
        print(f"rig: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        words = (error.stderr or b"").strip()
        words = words.decode(errors="replace") if isinstance(words, bytes) else words
        print(f"rig: {error}\n{words}".rstrip(), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("rig: interrupted", file=sys.stderr)
        return 130
