"""Runs one case against one initiator and says how it went."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import tempfile
import time

from . import disk, initiators, negotiation, rules
from .login import TARGET_NAME
from .player import FAIL, NOT_APPLICABLE, PASS
from .target import Target

# After the script, an initiator whose end is not judged gets this long to come to one.
GRACE_S = 1.0
COMPLAINT_BYTES = 400


@dataclasses.dataclass
class Result:
    case: object
    verdict: str
    reason: str
    breaches: list
    seconds: float
    command: list
    links: list = dataclasses.field(repr=False, default_factory=list)
    complaint: str = ""

    def as_dict(self):
        return {"case": self.case.name, "verdict": self.verdict, "reason": self.reason,
                "about": self.case.about, "rows": list(self.case.rows), "unh": self.case.unh,
                "breaches": [{"rule": one.rule, "row": one.row, "text": one.text}
                             for one in self.breaches],
                "seconds": round(self.seconds, 3), "said": self.complaint}


class Program:
    """The initiator while it runs. Its data goes through files, so that no pipe can fill up."""

    def __init__(self, command, folder, file, given):
        self.folder = pathlib.Path(folder)
        (self.folder / "in").write_bytes(given or b"")
        if given and file:
            file.write_bytes(given)
        self.file = file
        with open(self.folder / "in", "rb") as source, \
                open(self.folder / "out", "wb") as out, open(self.folder / "err", "wb") as err:
            self.process = subprocess.Popen(command, stdin=source, stdout=out, stderr=err,
                                            start_new_session=True)
        self.was_killed = False

    def is_over(self):
        return self.process.poll() is not None

    def is_busy(self):
        """It runs, or waits for a processor or a page; asleep, it waits for us."""
        try:
            text = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return False
        return text.rpartition(")")[2].split()[:1] in (["R"], ["D"])

    @property
    def code(self):
        return self.process.returncode

    def kill(self):
        if not self.is_over():
            self.was_killed = True
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def data(self):
        if self.file is not None:
            return self.file.read_bytes() if self.file.exists() else b""
        return (self.folder / "out").read_bytes()

    def complaint(self):
        text = (self.folder / "err").read_bytes().decode("utf-8", "replace").strip()
        return text[-COMPLAINT_BYTES:]


class Here:
    """Where programs of this host run: nothing is to be done for that."""

    def __init__(self, host="127.0.0.1"):
        self.host = host
        self.program = Program

    def after_case(self):
        """The target is gone."""


def run(case, initiator, place=None):
    began = time.monotonic()
    place = place or Here()
    target = Target(case, place.host)
    try:
        with tempfile.TemporaryDirectory(prefix="conform-") as folder:
            result = run_in(pathlib.Path(folder), case, initiator, target, place)
    finally:
        target.shut()
        place.after_case()
    result.seconds = time.monotonic() - began
    return result


def url_of(case, target):
    host, port = target.portal
    user = ""
    if "chap" in case.settings:
        user = f"{negotiation.USER}%{negotiation.SECRET}@"
    return f"iscsi://{user}{host}:{port}/{TARGET_NAME}/0"


def run_in(folder, case, initiator, target, place):
    file = folder / "data"
    command = initiator.command(case.io, url_of(case, target), case.size, str(file))
    if command is None or (case.settings.get("chap") == "mutual" and not initiator.is_mutual):
        return Result(case, NOT_APPLICABLE, f"{initiator.name} cannot {case.io}", [], 0, [])
    command = command + initiator.wished(case.needs)
    if case.settings.get("chap") == "mutual":
        command = initiator.mutual(command, folder)
    given = disk.content(case.size, seed=0xface) if case.io == "write" else None
    goes_through_file = any(str(file) in word for word in command)
    try:
        program = place.program(command, folder, file if goes_through_file else None, given)
    except OSError as error:
        return Result(case, NOT_APPLICABLE, f"cannot run {command[0]}: {error.strerror}", [], 0,
                      command)
    try:
        serve(case, target, program)
    finally:
        program.kill()
    drain(target)
    verdict, reason, breaches = judge(case, initiator, target, program, given)
    return Result(case, verdict, reason, breaches, 0, command, target.links, program.complaint())


def serve(case, target, program):
    player = target.player
    target.is_initiator_busy = program.is_busy
    deadline_s = time.monotonic() + case.limit_s
    if case.outcome == "any":
        target.run_until(lambda: program.is_over() or player.is_over, deadline_s)
        deadline_s = min(deadline_s, time.monotonic() + GRACE_S)
    target.run_until(program.is_over, deadline_s)


def drain(target):
    """Takes what the program sent before it ended."""
    for _ in range(64):
        if not any(link.is_open for link in target.links):
            break
        target.poll(0)
    target.player.on_initiator_over()


def judge(case, initiator, target, program, given):
    """(verdict, reason, breaches of the general rules)."""
    player = target.player
    for link in target.links:
        link.record.is_cut |= program.was_killed or link.closed_by != "initiator" or \
            player.is_ended
    breaches = [one for one in rules.breaches([link.record for link in target.links
                                               if link.record.pdus])
                if one.row != rules.TARGET and one.rule not in case.waived]
    if program.code == initiators.CANNOT and initiator.is_any:
        return NOT_APPLICABLE, f"{initiator.name} cannot {case.io}", []
    if player.verdict is not None and player.verdict != PASS:
        if player.verdict == FAIL or not breaches:
            return player.verdict, player.reason, breaches
    if breaches:
        one = breaches[0]
        return FAIL, f"{one.row}: {one.text} ({one.rule})", breaches
    reason = outcome_fault(case, initiator, target, program, given)
    return (FAIL, reason, []) if reason else (PASS, "", [])


def outcome_fault(case, initiator, target, program, given):
    """What is wrong with the end of the program, or an empty string."""
    if not program.was_killed and program.code < 0:
        return f"the initiator died of signal {-program.code}"
    if target.player.is_ended:
        return ""
    if program.was_killed:
        return "" if case.outcome == "any" else f"the initiator did not end in {case.limit_s:g} s"
    if program.code == 0:
        if case.outcome == "error":
            return "the initiator says that all is well"
        return data_fault(case, initiator, target, program, given)
    if case.outcome == "ok":
        return f"the initiator ended with {program.code}: {program.complaint()}"
    return ""


def data_fault(case, initiator, target, program, given):
    if case.io not in initiator.gives_data:
        return ""
    if case.io == "read" and program.data() != bytes(target.disk.data[:case.size]):
        return "the initiator reports success, and its data is not the disk's"
    if case.io == "write" and bytes(target.disk.data[:case.size]) != given:
        return "the initiator reports success, and the disk does not have its data"
    return ""
