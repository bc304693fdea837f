"""One run of one scenario: namespace, target, guest, the host's part in it, and the result."""

import contextlib
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import facts as facts_module
from . import guest, image, initiators, network, paths, processes, targets
from .facts import Facts

HUNG_TASK_S = 30
TUNED_MIN_FREE_KBYTES = 16384
FLOOD_PACKETS_PER_S = 20000
BEAT_S = 10  # a line of progress at least this often


class Refused(Exception):
    """The wanted run makes no sense; the message says why and what would."""


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    initiator: str = "holdfast"
    target: str | None = None
    tuned: bool = False
    seconds: int | None = None
    holdfast_bin: str | None = None
    keep: bool = False
    seed: int = 1


@dataclass
class Result:
    """One run, ready to be printed or written as JSON (schema in docs/rig.md)."""

    scenario: str
    initiator: str
    target: str
    tuned: bool
    seed: int
    outcome: str
    reason: str
    seconds: float
    figures: dict = field(default_factory=dict)
    console: dict = field(default_factory=dict)
    values: dict = field(default_factory=dict)
    logs: dict = field(default_factory=dict)
    folder: str = ""


def check(scenario, options):
    """Raises Refused when the options do not fit the scenario or programs are missing."""
    if options.initiator not in scenario.initiators:
        fit = ", ".join(scenario.initiators)
        raise Refused(f"{scenario.name} runs with {fit}, not with {options.initiator}")
    targets.choose(options.initiator, options.target)
    for name in programs_needed(scenario, options):
        if paths.newest_program(name, options.holdfast_bin) is None:
            raise Refused(
                f"no program '{name}': build it (cmake --build --preset release --target {name}) "
                "or name its folder with --holdfast-bin"
            )


def programs_needed(scenario, options):
    """Names of our own programs that go into the guest."""
    return (*scenario.programs, *initiators.ALL[options.initiator].programs)


def shell_word(value):
    """Quotes one value for the guest's shell."""
    return "'" + str(value).replace("'", "'\\''") + "'"


def job_text(scenario, initiator, variables):
    """The guest's job: variables, library, attach, load, report. Pure apart from reading lib.sh."""
    lines = [f"{name}={shell_word(value)}" for name, value in sorted(variables.items())]
    return "\n".join(
        [
            "PATH=/payload/bin:$PATH",
            *lines,
            (paths.GUEST_FILES / "lib.sh").read_text(),
            "network_up",
            "common_settings",
            "rig phase=attach",
            initiator.attach,
            "rig device=$DEV",
            scenario.script,
            initiator.report,
            "rig phase=end",
            "finish",
            "",
        ]
    )


def figures(facts):
    """The numbers people compare, None where the guest did not live to tell."""
    return {
        "bogo_ops": facts.number("bogo_ops"),
        "pages_out": facts.difference("pswpout"),
        "pages_in": facts.difference("pswpin"),
        "mismatches": facts.number("mismatches"),
        "squeeze_touches": facts.number("squeeze_touches"),
        "min_free_kbytes": facts.number("min_free_kbytes"),
        "vm_locked_kib": locked_kib(facts.lists.get("locked_after", facts.lists.get("locked_before"))),
        **{name: facts.console.get(name, 0) for name in facts_module.CONSOLE_PATTERNS},
    }


def locked_kib(entries):
    """Sums VmLck over lines like `81/status holdfastd VmLck=812 RssAnon=300`; None for none."""
    if not entries:
        return None
    words = [word for entry in entries for word in entry.split()]
    return sum(int(word[6:]) for word in words if word.startswith("VmLck=") and word[6:].isdigit())


class Run:
    """Carries out one run. `carry_out()` returns a Result and never raises for what a guest does."""

    def __init__(self, scenario, options, progress, the_image):
        self.scenario = scenario
        self.options = options
        self.progress = progress
        self.image = the_image
        self.initiator = initiators.ALL[options.initiator]
        self.facts = Facts()
        self.pending = []  # (monotonic time, action)
        self.net = self.target = self.guest = self.flood = None
        self.folder = paths.CACHE / f"run-{processes.owner_tag()}-{time.time_ns()}"

    def carry_out(self):
        started = time.monotonic()
        self.folder.mkdir(parents=True)
        target_class = targets.choose(self.options.initiator, self.options.target)
        try:
            with contextlib.ExitStack() as stack:
                self._set_up(stack, target_class)
                self._watch(started)
        except (RuntimeError, OSError, targets.TargetError) as error:
            self.facts.missed = f"{type(error).__name__}: {error}"
        result = self._judge(target_class, time.monotonic() - started)
        if self.options.keep or result.outcome == "rig-error":
            (self.folder / "kept").touch()
            result.folder = str(self.folder.relative_to(paths.PROJECT))
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        return result

    def _set_up(self, stack, target_class):
        self.net = stack.enter_context(network.Network())
        self.target = stack.enter_context(
            target_class(self.net, self.folder, self.scenario.size_mib)
        )
        stack.callback(self._stop_flood)
        payload = self._make_payload()
        disk = self.target.disk if self.options.initiator == "local" else None
        self.guest = stack.enter_context(
            guest.Guest(self.image, self.net, self.folder, payload, disk)
        )

    def seconds_load(self):
        return self.options.seconds or self.scenario.seconds

    def _variables(self):
        return {
            "HOST_ADDRESS": network.HOST_ADDRESS,
            "GUEST_ADDRESS": network.GUEST_ADDRESS,
            "MASK_BITS": network.MASK_BITS,
            "ISCSI_PORT": targets.ISCSI_PORT,
            "NBD_PORT": targets.NBD_PORT,
            "NBD_EXPORT": targets.NBD_EXPORT,
            "IQN": targets.IQN,
            "LUN": self.target.lun,
            "PROFILE": self.scenario.profile,
            "HUNG_TASK_S": HUNG_TASK_S,
            "MIN_FREE_KBYTES": TUNED_MIN_FREE_KBYTES if self.options.tuned else "",
            "SECONDS_LOAD": self.seconds_load(),
            "SEED": self.options.seed,
            **self.scenario.variables(),
        }

    def _make_payload(self):
        tree = self.folder / "payload"
        (tree / "bin").mkdir(parents=True)
        for name in programs_needed(self.scenario, self.options):
            program = paths.newest_program(name, self.options.holdfast_bin)
            shutil.copy(program, tree / "bin" / name)
        (tree / "main").write_text(job_text(self.scenario, self.initiator, self._variables()))
        path = self.folder / "payload.ext4"
        image.make_disk(tree, path, spare_mib=4)
        return path

    def _watch(self, started):
        limit_s = self.scenario.limit_s + self.seconds_load()
        beat = time.monotonic() + BEAT_S
        while self.guest.is_running():
            now = time.monotonic()
            if now - started > limit_s:
                self.facts.timed_out = True
                self.progress.say(f"limit of {limit_s} s reached, the guest is stopped")
                return
            if now > beat:
                self.progress.say(f"phase '{self.facts.values.get('phase', 'boot')}'")
                beat = now + BEAT_S
            self._act(now)
            for line in self.guest.poll(0.2):
                self._on_line(line)

    def _on_line(self, line):
        key = self.facts.take_line(line)
        if key != "phase":
            return
        phase = self.facts.values["phase"]
        self.progress.say(f"guest: {phase}")
        now = time.monotonic()
        for at_phase, after, action in self.scenario.actions:
            if at_phase == phase:
                self.pending.append((now + after, action))
        self.pending.sort()

    def _act(self, now):
        while self.pending and self.pending[0][0] <= now:
            _, action = self.pending.pop(0)
            self.progress.say(f"host: {action}")
            self._actions()[action]()

    def _actions(self):
        return {
            "link-down": lambda: self.net.link_down(),
            "link-up": lambda: self.net.link_up(),
            "flood-start": self._start_flood,
            "flood-stop": self._stop_flood,
            "target-kill": lambda: self.target.kill(),
            "target-start": lambda: self.target.start(),
        }

    def _start_flood(self):
        self.flood_log = self.folder / "flood.log"
        script = Path(__file__).with_name("flood.py")
        command = [sys.executable, script, network.GUEST_ADDRESS, FLOOD_PACKETS_PER_S]
        with open(self.flood_log, "wb") as out:
            self.flood = processes.spawn(self.net.inside(*command), stdout=out)

    def _stop_flood(self):
        if self.flood is None:
            return
        processes.stop(self.flood)
        self.flood = None
        for line in self.flood_log.read_text().splitlines():
            self.facts.take_line(line)

    def _judge(self, target_class, seconds):
        facts = self.facts
        facts.console = facts_module.scan_console(self.guest.console_text() if self.guest else "")
        self.scenario.read(facts)
        outcome, reason = facts_module.verdict(facts, self.scenario.demands(facts))
        return Result(
            scenario=self.scenario.name,
            initiator=self.options.initiator,
            target=target_class.name,
            tuned=self.options.tuned,
            seed=self.options.seed,
            outcome=outcome,
            reason=reason,
            seconds=round(seconds, 1),
            figures=figures(facts),
            console=facts.console,
            values=facts.values,
            logs=facts.logs,
        )


def sweep_leftovers():
    """Removes what killed rigs left behind: namespaces, memory disks, folders."""
    network.sweep_leftovers()
    targets.sweep_leftovers()
    for folder in paths.CACHE.glob("run-*"):
        kept = (folder / "kept").exists()
        if not kept and not processes.is_alive(network.owner_of(folder.name.removeprefix("run-"))):
            shutil.rmtree(folder, ignore_errors=True)
