"""One run of one scenario: namespace, target, guest, the host's part in it, and the result."""

import contextlib
import dataclasses
import json
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import facts as facts_module
from . import guest, initiators, job, killing, network, paths, probing, processes, targets
from .facts import Facts

BEAT_S = 10  # a line of progress at least this often
POLL_S = 0.2
BOOT_S = 120  # a guest that says nothing for so long never ran: a lost timer of QEMU's, mostly
CONSOLE_TAIL_LINES = 400  # kept in the result of a run that was not ok

# SysRq: everything to the console, what each CPU does, memory, blocked tasks.
HANG_KEYS = "9lmw"


class Refused(Exception):
    """The wanted run makes no sense; the message says why and what would."""


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    initiator: str = "holdfast"
    target: str | None = None
    tuned: bool = False
    min_free_kbytes: int | None = None  # in the guest, before the attach
    seconds: int | None = None
    holdfast_bin: str | None = None
    keep: bool = False
    seed: int = 1
    sabotage: bool = False
    attach_words: str = ""
    nic: str | None = None  # None: the scenario's
    requests: int | None = None  # the same
    kill_every: int | None = None  # milliseconds
    flood_rate: int | None = None  # packets/s; None: the scenario's


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
    values: dict = field(default_factory=dict)
    logs: dict = field(default_factory=dict)
    console_tail: list = field(default_factory=list)
    folder: str = ""
    attempts: int = 1


def find_programs(names, folder):
    """Paths of our own programs; raises Refused for one that has not been built."""
    found = {name: paths.newest_program(name, folder) for name in names}
    for name, path in found.items():
        if path is None:
            raise Refused(
                f"no program '{name}': build it (cmake --build --preset release --target {name}) "
                "or name its folder with --holdfast-bin"
            )
    return list(found.values())


def programs_needed(scenario, options):
    """Names of our own programs that go into the guest."""
    killer = (killing.PROGRAM,) if options.kill_every else ()
    return (*scenario.programs, *initiators.ALL[options.initiator].programs, *killer)


def choose_target(scenario, options):
    """The Target class of a run; raises TargetError when there is none."""
    return targets.choose(
        options.initiator, options.target, options.holdfast_bin, scenario.targets
    )


def check(scenario, options, kernel=None):
    """Raises Refused when the options do not fit the scenario or programs are missing."""
    if options.initiator not in scenario.initiators:
        fit = ", ".join(scenario.initiators)
        raise Refused(f"{scenario.name} runs with {fit}, not with {options.initiator}")
    if kernel is not None and kernel not in scenario.kernels:
        raise Refused(f"{scenario.name} needs --kernel {' or '.join(scenario.kernels)}")
    if options.attach_words and options.initiator != "holdfast":
        raise Refused("--attach-words are for Holdfast: drop them, or use --initiator holdfast")
    if options.requests and "REQUESTS" not in scenario.variables:
        raise Refused(f"{scenario.name} does not count requests: leave --requests out")
    if options.flood_rate and not scenario.flood_rate:
        raise Refused(f"{scenario.name} has no flood: leave --flood-rate out")
    if options.kill_every and options.initiator != "holdfast":
        raise Refused("--kill-every kills Holdfast's I/O process: use --initiator holdfast")
    if options.sabotage and not scenario.programs:
        raise Refused(f"{scenario.name} has no program of ours that could be sabotaged")
    choose_target(scenario, options)
    find_programs(programs_needed(scenario, options), options.holdfast_bin)


def locked_kib(entries):
    """Sums VmLck over lines like `81/status holdfastd VmLck=812 RssAnon=300`; None for none."""
    if not entries:
        return None
    words = [word for entry in entries for word in entry.split()]
    return sum(int(word[6:]) for word in words if word.startswith("VmLck=") and word[6:].isdigit())


def figures(facts, names):
    """The numbers people compare, None where the guest did not live to tell."""
    locked = facts.lists.get("locked_after", facts.lists.get("locked_before"))
    return {
        **{name: facts.number(name) for name in names},
        "pages_out": facts.difference("pswpout"),
        "pages_in": facts.difference("pswpin"),
        "packets_in": facts.difference("rx_packets"),
        "squeeze_touches": facts.number("squeeze_touches"),
        "mismatches": facts.number("mismatches"),
        "min_free_kbytes": facts.number("min_free_kbytes"),
        "vm_locked_kib": locked_kib(locked),
        **{name: facts.console.get(name, 0) for name in facts_module.CONSOLE_PATTERNS},
    }


class Run:
    """Carries out one run. `carry_out()` does not raise for anything that a guest does."""

    def __init__(self, scenario, options, progress, the_image):
        self.scenario = scenario
        self.options = options
        self.progress = progress
        self.image = the_image
        self.initiator = initiators.ALL[options.initiator]
        self.target_class = choose_target(scenario, options)
        self.facts = Facts()
        self.pending = []  # (monotonic time, action)
        self.actions_done = 0
        self.hang_at = None  # where on the console the rig began to ask
        self.link_down_since = None
        self.started = self.phase_since = time.monotonic()
        self.net = self.target = self.guest = self.flood = self.strays = None
        self.before_strays = {}
        self.probing = None
        self.folder = paths.CACHE / f"run-{processes.owner_tag()}-{time.time_ns()}"

    def carry_out(self):
        self.folder.mkdir(parents=True)
        keep = True  # unless it turns out that nobody will want to look
        try:
            try:
                with contextlib.ExitStack() as stack:
                    self._set_up(stack)
                    self._watch()
            except (RuntimeError, OSError, targets.TargetError) as error:
                self.facts.missed = f"{type(error).__name__}: {error}"
            result = self._judge(time.monotonic() - self.started)
            keep = self.options.keep or result.outcome != "ok"
        except (KeyboardInterrupt, SystemExit):
            keep = False
            raise
        finally:
            self._put_away(keep)
        if keep:
            result.folder = str(self.folder.relative_to(paths.PROJECT))
            text = json.dumps(dataclasses.asdict(result), indent=2)
            (self.folder / "result.json").write_text(text + "\n")
        return result

    def _put_away(self, keep):
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        (self.folder / "kept").touch()
        if not self.options.keep:
            # Only what was said is kept of a failed run; its disks can be made again.
            shutil.rmtree(self.folder / "payload", ignore_errors=True)
            (self.folder / "payload.ext4").unlink(missing_ok=True)

    def _set_up(self, stack):
        self.net = stack.enter_context(network.Network())
        self.target = stack.enter_context(
            self.target_class(
                self.net,
                self.folder,
                self.scenario.size_mib,
                cached=self.scenario.cached,
                programs=self.options.holdfast_bin,
            )
        )
        stack.callback(self._stop_flood)
        stack.callback(lambda: processes.stop(self.strays))
        self.probing = probing.Probing(self.net, self.options.holdfast_bin)
        stack.callback(self.probing.stop)
        names = programs_needed(self.scenario, self.options)
        programs = find_programs(names, self.options.holdfast_bin)
        payload = job.make_payload(self.folder, self._variables(), self._steps(), programs)
        disk = job.disk_of(self.options.initiator, self.target)
        self.guest = stack.enter_context(
            guest.Guest(self.image, self.net, self.folder, payload, disk, nic=self._nic())
        )

    def _nic(self):
        return self.options.nic or self.scenario.nic

    def seconds_load(self):
        """How long the load runs."""
        return self.options.seconds or self.scenario.seconds

    def flood_rate(self):
        """Packets a second of the flood; 0 for none."""
        return self.options.flood_rate or self.scenario.flood_rate

    def _min_free_kbytes(self):
        tuned = job.TUNED_MIN_FREE_KBYTES if self.options.tuned else None
        return self.options.min_free_kbytes or tuned

    def _variables(self):
        return {
            **job.common_variables(self.target, self._min_free_kbytes()),
            "PROFILE": self.scenario.profile,
            "SECONDS_LOAD": self.seconds_load(),
            "SEED": self.options.seed,
            "ATTACH_WORDS": f"{self.scenario.attach_words} {self.options.attach_words}".strip(),
            "SABOTAGE": "--sabotage" if self.options.sabotage else "",
            **self.scenario.variables,
            **({"REQUESTS": self.options.requests} if self.options.requests else {}),
        }

    def _steps(self):
        return (
            *("network_up", "common_settings", "rig phase=attach", self.initiator.attach),
            "rig device=$DEV",
            *killing.steps_around(self.scenario.script, self.options.kill_every),
            self.initiator.report,
            *("rig phase=end", "finish"),
        )

    def _deadline_passed(self, now):
        """The sentence that says which limit the run has passed; empty for none."""
        load_s = self.seconds_load()
        if "phase" not in self.facts.values:
            late = now - self.started > BOOT_S
            return f"the guest has not come up after {BOOT_S} s" if late else ""
        if now - self.started > load_s + self.scenario.limit_s:
            return f"no end after {load_s + self.scenario.limit_s} s"
        overrun = self.facts.values.get("phase") == "load" and now - self.phase_since > (
            load_s + self.scenario.overrun_s
        )
        if not overrun:
            return ""
        return f"the load has not ended after {load_s + self.scenario.overrun_s} s"

    def _watch(self):
        beat = time.monotonic() + BEAT_S
        while self.guest.is_running():
            now = time.monotonic()
            self.facts.timed_out = self._deadline_passed(now)
            if self.facts.timed_out:
                self.progress.say(f"{self.facts.timed_out}: the guest is stopped")
                self._ask_why()
                return
            if now > beat:
                self.progress.say(f"phase '{self.facts.values.get('phase', 'boot')}'")
                beat = now + BEAT_S
            self._act(now)
            for line in self.guest.poll(POLL_S):
                self._on_line(line)

    def _ask_why(self):
        """Lets a guest that hangs tell on its console who waits for what, and for which memory."""
        self.hang_at = len(self.guest.console_text())
        with contextlib.suppress(OSError, RuntimeError):
            self.guest.ask_kernel(HANG_KEYS)

    def _on_line(self, line):
        with open(self.folder / "said.log", "a", encoding="utf-8") as said:
            said.write(line + "\n")
        key = self.facts.take_line(line)
        if key == "probe":
            self.probing.begin(self.facts.values["probe"])
        if key != "phase":
            return
        phase = self.facts.values["phase"]
        self.progress.say(f"guest: {phase}")
        self.phase_since = time.monotonic()
        self.pending += [
            (self.phase_since + after, action)
            for at_phase, after, action in self.scenario.actions
            if at_phase == phase
        ]
        self.pending.sort()

    def _act(self, now):
        while self.pending and self.pending[0][0] <= now:
            _, action = self.pending.pop(0)
            self.progress.say(f"host: {action}")
            self._actions()[action]()
            self.actions_done += 1

    def _actions(self):
        return {
            "link-down": self._link_down,
            "link-up": self._link_up,
            "flood-start": self._start_flood,
            "flood-stop": self._stop_flood,
            "strays-start": self._start_strays,
            "strays-stop": self._stop_strays,
            "target-kill": self.target.kill,
            "target-start": self.target.start,
            "power-cut": self.target.power_cut,
            "tell-hold": lambda: self.guest.tell("hold"),
            "tell-check": lambda: self.guest.tell("check"),
        }

    def _link_down(self):
        self.net.link_down()
        self.link_down_since = time.monotonic()

    def _link_up(self):
        self.net.link_up()
        outage_s = time.monotonic() - self.link_down_since
        self.facts.lists.setdefault("outage_s", []).append(f"{outage_s:.1f}")

    def _start_flood(self):
        script = Path(__file__).with_name("flood.py")
        self.facts.values["flood_wanted_per_s"] = str(self.flood_rate())
        command = [sys.executable, script, network.GUEST_ADDRESS, self.flood_rate()]
        with open(self.folder / "flood.log", "wb") as out:
            self.flood = processes.spawn(self.net.inside(*command), stdout=out)

    def _stop_flood(self):
        if self.flood is None:
            return
        processes.stop(self.flood)
        self.flood = None
        taken, dropped = self.net.sent_to_guest()
        self.facts.values["link_taken"] = str(taken)
        self.facts.values["link_dropped"] = str(dropped)
        for line in (self.folder / "flood.log").read_text().splitlines():
            self.facts.take_line(line)

    def _start_strays(self):
        """What the link and the host's TCP have counted, and then the flood."""
        self.before_strays = self._host_counts()
        script = Path(__file__).with_name("strays.py")
        rate = self.scenario.strays_per_s
        command = [sys.executable, script, network.TAP, network.GUEST_ADDRESS, rate]
        with open(self.folder / "strays.log", "wb") as out:
            self.strays = processes.spawn(self.net.inside(*command), stdout=out)

    def _stop_strays(self):
        """Ends it and tells the guest. Its figures carry the name of the phase it belonged to."""
        if self.strays is None:
            return
        processes.stop(self.strays)
        self.strays = None
        phase = self.facts.values.get("phase", "").removesuffix("-over")
        for name, count in self._host_counts().items():
            self.facts.values[f"{phase}_{name}"] = str(count - self.before_strays[name])
        for line in (self.folder / "strays.log").read_text().splitlines():
            self.facts.take_line(line.replace("RIG ", f"RIG {phase}_", 1))
        self.guest.tell("stopped")

    def _host_counts(self):
        taken, dropped = self.net.sent_to_guest()
        told = self.net.tcp_counters()
        return {
            "link_taken": taken,
            "link_dropped": dropped,
            "host_retransmitted": told["RetransSegs"],
            "host_in_vain": told["TCPDSACKRecv"],
        }

    def _demands(self):
        wanted = len(self.scenario.actions)
        sentence = f"{self.actions_done} of the host's {wanted} actions took place: load longer"
        every_ms = self.options.kill_every
        killed = killing.demands(self.facts, every_ms) if every_ms else []
        done = (self.actions_done == wanted, sentence)
        return [*self.scenario.demands(self.facts), done, *killed]

    def _judge(self, seconds):
        facts = self.facts
        console = self.guest.console_text() if self.guest else ""
        facts.console = facts_module.scan_console(console[: self.hang_at])
        facts.missed = facts.missed or (self.guest.crash() if self.guest else "")
        self.scenario.read(facts)
        names = self.scenario.figures
        if self.options.kill_every:
            killing.read(facts, console)
            names = (*names, *killing.FIGURES)
        outcome, reason = facts_module.verdict(facts, self._demands())
        return Result(
            scenario=self.scenario.name,
            initiator=self.options.initiator,
            target=self.target_class.name,
            tuned=self.options.tuned,
            seed=self.options.seed,
            outcome=outcome,
            reason=reason,
            seconds=round(seconds, 1),
            figures=figures(facts, names),
            values=facts.values,
            logs=facts.logs,
            console_tail=[] if outcome == "ok" else console.splitlines()[-CONSOLE_TAIL_LINES:],
        )


def sweep_leftovers():
    """Removes what killed rigs left behind: namespaces, memory disks, folders."""
    network.sweep_leftovers()
    targets.sweep_leftovers()
    for folder in paths.CACHE.glob("run-*"):
        kept = (folder / "kept").exists()
        if not kept and not processes.is_alive(network.owner_of(folder.name.removeprefix("run-"))):
            shutil.rmtree(folder, ignore_errors=True)
