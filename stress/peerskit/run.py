"""One run: namespace, target, cables, Holdfast, fio, and the report about them.

Everything lives in a network namespace of its own and in one folder in memory.
"""

import contextlib
import dataclasses
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .places import PROJECT  # noqa: F401  (makes `rigkit` importable)
from rigkit import network, processes
from rigkit import targets as rig_targets

from . import cables, fio, holdfast, judge, peers, stalls

PROXY_PORT = 3260
TICK_S = 0.05
SHM = Path("/dev/shm")
LOGS = ("holdfastd.log", "proxy.log", "fio.err", "fio.json", "console.log")
# Reports of the proxy after a cut -> their names in the report.
WAYS = {
    "accepted": "to_connect",
    "waited": "login_answers",
    "full": "to_login",
    "request": "to_request",
}
FOLDER_PREFIX = "hfpeers-"


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    scenario: str = "cut"
    target: str = "ram"
    erl: int = 0
    connections: int = 1
    cut_every: float = 5.0  # seconds; 0: never
    damage_every: int = 0  # one data PDU of so many; 0: none
    damage_ways: tuple = ("in", "out")  # Data-In, and what the initiator sends
    seconds: int = 60
    size_mib: int = 48
    seed: int = 1
    digests: bool = True
    time2wait_s: int | None = None
    data_in_order: bool = True
    chap: bool = False
    backstore: str = "ram"  # LIO's alone
    stall_max_s: float | None = None
    median_beyond_s: float = 0.1
    sabotage: str | None = None
    settings: tuple = ()  # more keys of the attachment, KEY=VALUE
    holdfast_bin: str | None = None
    keep: str | None = None  # folder for the logs

    @property
    def disk_mib(self):
        """The unit's size: more than fio uses, for whole units only are refused or resized."""
        return self.size_mib + 16


def demands(options, kind):
    """What this run has to show."""
    erl, connections = kind.agreed(options.erl, options.connections)
    # From level 1 on damaged data costs no connection, from level 2 on a cut costs no session.
    damage_alone = options.damage_every and not options.cut_every
    survives = (erl >= 1 and damage_alone) or (erl == 2 and connections > 1)
    cuts_min = 0
    if options.cut_every:
        # A cut waits until the connection before it has come back.
        cuts_min = max(1, int((options.seconds - tail_s(options)) / (options.cut_every + 3)))
    return judge.Demands(
        erl=erl,
        connections=connections,
        cuts_min=cuts_min,
        damaged_min=1 if options.damage_every else 0,
        median_beyond_wait_s=kind.sleeps_s + options.median_beyond_s if options.cut_every else None,
        stall_max_s=options.stall_max_s,
        sessions_lost_max=0 if survives else None,
        logins_max=connections if erl >= 1 and damage_alone else None,
    )


def tail_s(options):
    """No cut so shortly before the end that nobody would see what follows it."""
    return max(4.0, options.cut_every)


def make_folder():
    """A folder in memory whose name says which process it belongs to."""
    prefix = f"{FOLDER_PREFIX}{processes.owner_tag()}-"
    return Path(tempfile.mkdtemp(prefix=prefix, dir=SHM if SHM.is_dir() else None))


@contextlib.contextmanager
def temporary_files_in(folder):
    """What makes temporary files meanwhile, such as the system tests' targets, makes them there."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def sweep_leftovers():
    """Removes what killed runs left behind: namespaces with their processes, folders."""
    network.sweep_leftovers()
    for folder in SHM.glob(f"{FOLDER_PREFIX}*"):
        if not processes.is_alive(network.owner_of(folder.name.removeprefix(FOLDER_PREFIX))):
            shutil.rmtree(folder, ignore_errors=True)


class Run:
    """Carries out one run. `carry_out()` returns the report."""

    def __init__(self, options, progress):
        self.options, self.progress = options, progress
        self.kind = peers.ALL[options.target]
        self.troubles = []
        self.target = self.cables = self.daemon = None
        self.folder = None

    def carry_out(self):
        with contextlib.ExitStack() as stack:
            self.kind.prepare(self.progress)
            self.folder = make_folder()
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            stack.enter_context(temporary_files_in(self.folder))
            stack.callback(self._keep_logs)
            net = stack.enter_context(network.Network())
            stack.enter_context(net.entered())
            self.target = stack.enter_context(self._make_target(net))
            self.progress.say(f"target {self.kind.name} serves at {self._portal()}")
            listen = (network.HOST_ADDRESS, PROXY_PORT)
            self.cables = stack.enter_context(
                cables.Cables(listen, self._portal(), self.options.seed, self.folder)
            )
            self._prepare_damage()
            self.daemon = stack.enter_context(
                holdfast.Holdfast(self.folder, self.options.holdfast_bin)
            )
            report = self._load_and_report()
        report["target_says"] |= peers.says_ended(self.target)
        return report

    def _keep_logs(self):
        if self.options.keep:
            wanted = Path(self.options.keep)
            wanted.mkdir(parents=True, exist_ok=True)
            for name in LOGS:
                with contextlib.suppress(OSError):
                    shutil.copy(self.folder / name, wanted / name)
            with contextlib.suppress(OSError):
                shutil.copytree(self.folder / "traces", wanted / "traces", dirs_exist_ok=True)
            events = self.cables.events if self.cables else []
            lines = [json.dumps(event) + "\n" for event in events]
            (wanted / "proxy-events.json").write_text("".join(lines))

    def _make_target(self, net):
        options = self.options
        erl, connections = self.kind.agreed(options.erl, options.connections)
        if self.kind.pretends:
            connections = options.connections
        wish = peers.Wish(
            initiator=holdfast.INITIATOR,
            size_mib=options.disk_mib,
            erl=erl,
            connections=connections,
            digests=options.digests,
            time2wait_s=options.time2wait_s,
            data_in_order=options.data_in_order,
            chap=options.chap,
            backstore=options.backstore,
            holdfast_bin=options.holdfast_bin,
        )
        return self.kind.make(wish, net, self.folder, self.progress)

    def _portal(self):
        return self.target.host, self.target.port

    def _prepare_damage(self):
        if self.options.damage_every:
            for direction in self.options.damage_ways:
                self.cables.tell(f"damage {direction} {self.options.damage_every}")
        if self.options.sabotage == "mismatch":
            self.cables.tell("damage in 20")

    def _load_and_report(self):
        options = self.options
        portal = f"{network.HOST_ADDRESS}:{PROXY_PORT}"
        url = f"iscsi://{portal}/{self.target.iqn}/{self.target.lun}"
        digests = options.digests and options.sabotage != "mismatch"
        more = options.settings
        if not options.data_in_order:
            more += ("negotiation.data_pdu_in_order=false",)
            more += ("negotiation.data_sequence_in_order=false",)
        if options.chap:
            secret = self.folder / "secret"
            secret.touch(mode=0o600)
            secret.write_text(peers.CHAP_SECRET + "\n")
            more += (f"user={peers.CHAP_USER}", f"password_file={secret}")
        keys = holdfast.settings(options.erl, options.connections, digests, more=more)
        self.daemon.attach(url, keys)
        before = self.daemon.status()
        status, errors, seconds = self._load()
        after = self.daemon.status() or before
        try:
            says = peers.says_alive(self.target)
        except (OSError, rig_targets.TargetError) as error:
            says = {}
            self.troubles.append(f"the target does not answer any more: {error}")
        if trouble := self.daemon.detach():
            self.troubles.append(trouble)
        self.cables.end()
        report = self._report(status, errors, before, after)
        return report | {"seconds": round(seconds, 1), "target_says": says}

    def _load(self):
        """fio to its end, with everything that happens meanwhile."""
        options = self.options
        command = fio.command(
            self.daemon.nbd_socket, options.size_mib, options.seconds, self.folder, options.seed
        )
        began = time.monotonic()
        with open(self.folder / "fio.err", "wb") as errors:
            load = processes.spawn(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors
            )
        try:
            self._disturb(load, began)
            limit = began + options.seconds + fio.EXTRA_S
            while load.poll() is None and time.monotonic() < limit:
                time.sleep(TICK_S)
            if load.poll() is None:
                self.troubles.append("fio has not ended in time")
        finally:
            processes.stop(load, grace_s=0 if load.poll() is None else 2)
        errors = (self.folder / "fio.err").read_text(errors="replace")
        return load.returncode, errors, time.monotonic() - began

    def _disturb(self, load, began):
        options = self.options
        last = began + options.seconds - tail_s(options)
        if options.sabotage == "stall":
            self._sleep(load, began + options.seconds / 2)
            self.cables.stall((options.stall_max_s or 0) + 2)
        if not options.cut_every:
            return
        due = began + options.cut_every
        while due < last and self._sleep(load, due):
            if self.cables.cut():
                due = time.monotonic() + options.cut_every
                self.progress.say(f"cut {len(self.cables.told('cut'))}")
            else:
                due = time.monotonic() + TICK_S

    @staticmethod
    def _sleep(load, until):
        """Waits as long as there is a load; False when it has ended."""
        while (rest := until - time.monotonic()) > 0:
            if load.poll() is not None:
                return False
            time.sleep(min(rest, TICK_S))
        return load.poll() is None

    def _report(self, status, errors, before, after):
        wrong, failed = fio.parse_complaints(errors)
        completions, figures = [], {}
        for log in self.folder.glob("fio_lat.*.log"):
            completions += fio.parse_log(log.read_text())
        completions.sort()
        with contextlib.suppress(OSError, ValueError, KeyError):
            figures = fio.parse_json((self.folder / "fio.json").read_text())
        if not figures:
            self.troubles.append(f"fio has no result: {errors.strip()[-200:]}")
        elif status != 0 and not wrong and not failed:
            self.troubles.append(f"fio ended with {status}: {errors.strip()[-200:]}")
        return build_report(
            options=self.options,
            completions=completions,
            events=self.cables.events,
            counters=holdfast.grown(before, after),
            fio_figures=figures,
            mismatches=wrong,
            io_errors=failed,
            troubles=self.troubles,
        )


def build_report(*, options, completions, events, counters, fio_figures, mismatches, io_errors,
                 troubles):
    """All figures of a run, from what was seen. Pure."""
    timeline = stalls.Timeline(completions)
    cuts = [event["at"] for event in events if event["event"] == "cut"]
    recoveries = [timeline.recovery_of(at) for at in cuts]
    full = [event for event in events if event["event"] == "full"]
    # What belongs to the session was agreed by the login that made it.
    last = next((each["agreed"] for each in reversed(full) if not each.get("joins")), {})
    longest = timeline.longest()
    damaged = sum(event["pdus"] for event in events if event["event"] == "damaged")
    steps = [cables.steps_after(events, at) for at in cuts]
    ways = {name: [step[name] for step in steps if name in step] for name in WAYS}
    return {
        "target": options.target,
        "options": dataclasses.asdict(options),
        "agreed": last,
        "erl": int(last.get("ErrorRecoveryLevel", 0)),
        "time2wait_s": int(last.get("DefaultTime2Wait", 0)),
        "connections_peak": cables.peak(events),
        "logins": len(full),
        "cuts": len(cuts),
        "damaged": damaged,
        "unrecovered": recoveries.count(None),
        "recovery_s": stalls.summary([each for each in recoveries if each is not None]),
        **{f"{WAYS[name]}_s": stalls.summary(values) for name, values in ways.items()},
        "recoveries_s": [each and round(each, 3) for each in recoveries],
        "stall_max_s": longest and round(longest.seconds, 3),
        "completions_logged": len(completions),
        "mismatches": mismatches,
        "io_errors": io_errors,
        "requests_failed": counters.get("requests_failed", 0),
        "sessions_lost": counters.get("sessions_lost", 0),
        "counters": counters,
        "fio": fio_figures,
        "writes": fio_figures.get("writes", 0),
        "reads": fio_figures.get("reads", 0),
        "troubles": list(troubles),
    }
