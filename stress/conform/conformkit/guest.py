"""The kernel's initiator (open-iscsi) under test: in one guest of the rig, booted for all cases.

The target listens at the host's end of the run's namespace. What the guest does for a case is in
`stress/conform/guest/open_iscsi.sh`; the I/O is done by `scsi-copy`, without the kernel's disk
driver, whose own reads no case asks for.
"""

import base64
import contextlib
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

STRESS = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(STRESS))

# The path comes first.
from rigkit import facts, guest, image, job, network, paths, progress  # noqa: E402
from rigkit.aptsource import SourceMissing  # noqa: E402
from rigkit.hostpkg import HostError  # noqa: E402

from . import initiators, negotiation  # noqa: E402

GUEST_FILES = STRESS / "conform" / "guest"
COPIER = "scsi-copy"
BOOT_LIMIT_S = 120.0
# Leaving a session that nobody serves any more, under emulation on a busy host.
IDLE_LIMIT_S = 25.0
POLL_S = 0.05
MEMORY_MIB = 256
VARIABLES = {"HOST_ADDRESS": network.HOST_ADDRESS, "GUEST_ADDRESS": network.GUEST_ADDRESS,
             "MASK_BITS": network.MASK_BITS, "HUNG_TASK_S": 60, "MIN_FREE_KBYTES": ""}
STEPS = ("network_up", "common_settings", ". /payload/open_iscsi.sh", "set_up", "rig phase=ready",
         "serve", "finish")

# Beside Debian's own settings. A case lasts 20 s: who would try for minutes is told to try for
# ten seconds, as our client is. What it negotiates stays Debian's but for what a case needs.
CONF = ("node.session.scan = manual", "node.session.initial_login_retry_max = 1",
        "node.conn[0].timeo.login_timeout = 10", "node.session.timeo.replacement_timeout = 10",
        "node.conn[0].timeo.logout_timeout = 5", "discovery.sendtargets.reopen_max = 1",
        "discovery.sendtargets.timeo.login_timeout = 10")


class Place:
    """The namespace and the guest in it. A context manager; the thread that enters it, and what
    that starts meanwhile, is inside the namespace."""

    host = network.HOST_ADDRESS

    def __init__(self):
        self._stack = contextlib.ExitStack()
        self._boot = contextlib.ExitStack()
        self._count = self._idle = 0  # Number of the last case that began, and was waited for.
        self.guest = self.facts = self.net = self.folder = self.image = None
        self.boots = 0

    def __enter__(self):
        if os.geteuid() != 0:
            raise initiators.PlaceError("a guest needs root")
        copier = paths.newest_program(COPIER, os.environ.get("HF_BIN"))
        if copier is None:
            raise initiators.PlaceError(f"{COPIER} is not built")
        try:
            self.image = image.ensure(progress.Progress("conform"))
        except (HostError, SourceMissing, subprocess.CalledProcessError) as error:
            raise initiators.PlaceError(str(error)) from error
        network.sweep_leftovers()
        with contextlib.ExitStack() as stack:
            paths.CACHE.mkdir(parents=True, exist_ok=True)
            self.folder = pathlib.Path(stack.enter_context(
                tempfile.TemporaryDirectory(dir=paths.CACHE, prefix="conform-")))
            self.net = stack.enter_context(network.Network())
            stack.enter_context(self.net.entered())
            self.payload = job.make_payload(self.folder, VARIABLES, STEPS, [copier],
                                            [GUEST_FILES / "open_iscsi.sh"])
            stack.callback(self._stop)
            self.boot()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self._stack.close()

    def boot(self):
        """A new guest in the place of the one before, if there was one."""
        self._stop()
        folder = self.folder / f"boot-{self.boots}"
        folder.mkdir()
        self.boots += 1
        self.facts = facts.Facts()
        self.guest = self._boot.enter_context(
            guest.Guest(self.image, self.net, folder, self.payload, memory_mib=MEMORY_MIB))
        self._wait_for(lambda: self.facts.values.get("phase") == "ready", BOOT_LIMIT_S,
                       "is not ready")

    def _stop(self):
        self._boot.close()

    def turn(self, limit_s=0.0):
        """Takes what the guest said: its console too, because QEMU stops when that is full."""
        for line in self.guest.poll(limit_s):
            self.facts.take_line(line)

    def _wait_for(self, holds, limit_s, what):
        deadline_s = time.monotonic() + limit_s
        while not holds():
            if not self.guest.is_running():
                raise initiators.PlaceError("the guest has ended: " + self.last_words())
            if "failed" in self.facts.values:
                raise initiators.PlaceError(f"the guest says: {self.facts.values['failed']}")
            if time.monotonic() > deadline_s:
                raise initiators.PlaceError(f"the guest {what} within {limit_s:g} s")
            self.turn(POLL_S)

    def last_words(self):
        return " / ".join(self.guest.console_text().splitlines()[-3:])

    def is_busy(self):
        """Whether a processor of the guest runs, or waits for one of the host's."""
        for stat in pathlib.Path(f"/proc/{self.guest.process.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):
                if stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] in ("R", "D"):
                    return True
        return False

    def version(self):
        return self.facts.values.get("version", "version unknown")

    def after_case(self):
        """Waits until nothing is left of a case; a guest that does not come to that is replaced.
        The target is gone by now, or leaving it would take what it scripted."""
        if self._idle == self._count:
            return
        self._idle = self._count
        try:
            self._wait_for(lambda: self.facts.values.get("idle") == str(self._count), IDLE_LIMIT_S,
                           "does not leave its session")
        except initiators.PlaceError as error:
            print(f"conform: {error}; another one is booted", file=sys.stderr, flush=True)
            self.boot()

    def program(self, command, folder, file, given):
        """What `run.Program` is for programs of this host."""
        del folder, file
        return Program(self, command, given)

    def next_number(self):
        self._count += 1
        return self._count


def conf_of(words):
    """Lines for iscsid.conf from `KEY=VALUE` words."""
    return [" = ".join(word.split("=", 1)) for word in words]


def auth_of(user, secret, mutual):
    """CHAP for the session and for discovery; `mutual` is (user, secret) of the target or None."""
    lines = []
    for where in ("node.session", "discovery.sendtargets"):
        lines += [f"{where}.auth.authmethod = CHAP", f"{where}.auth.username = {user}",
                  f"{where}.auth.password = {secret}"]
        if mutual:
            lines += [f"{where}.auth.username_in = {mutual[0]}",
                      f"{where}.auth.password_in = {mutual[1]}"]
    return lines


def variables_of(command):
    """Shell that tells the guest what to do, from `KIND URL BYTES [--set K=V]... [--mutual]`."""
    kind, url, size, *more = command
    rest = url.removeprefix("iscsi://")
    user, _, rest = rest.rpartition("@")
    portal, name, unit = (rest.split("/") + ["", "0"])[:3]
    settings = [more[at + 1] for at, word in enumerate(more) if word == "--set"]
    mutual = (negotiation.TARGET_USER, negotiation.TARGET_SECRET) if "--mutual" in more else None
    lines = [*CONF, *conf_of(settings)]
    if user:
        lines += auth_of(*user.split("%", 1), mutual)
    given = {"KIND": kind, "PORTAL": portal, "NAME": name, "UNIT": unit, "BYTES": size,
             "CONF": "\n".join(lines)}
    return "".join(f"{key}={shlex.quote(value)}\n" for key, value in given.items())


class Program:
    """A case in the guest, as `run.Program` is one on this host."""

    def __init__(self, place, command, given):
        self.place, self.number = place, place.next_number()
        self.code, self.was_killed = None, False
        self._data = b""
        place.facts.logs.pop("said", None)
        place.facts.values.pop("data", None)
        if given:
            self._tell(f"given {len(given)}\n".encode() + given)
        text = f"NUMBER={self.number}\n" + variables_of(command)
        self._tell(f"run {self.number} ".encode() + base64.b64encode(text.encode()) + b"\n")

    def _tell(self, data):
        with contextlib.suppress(OSError):  # Who has ended is noticed by is_over().
            self.place.guest.send(data)

    def is_over(self):
        if self.code is not None:
            return True
        self.place.turn()
        number, _, code = self.place.facts.values.get("case", "").partition(" ")
        if number == str(self.number):
            self.code = int(code)
        elif not self.place.guest.is_running():
            self.code = -6
        return self.code is not None

    def is_busy(self):
        return self.place.is_busy()

    def kill(self):
        """Ends what is left of the case. That takes a while: the next one waits for it."""
        if not self.is_over():
            self.was_killed = True
        self._tell(b"stop\n")

    def data(self):
        return base64.b64decode(self.place.facts.values.get("data", ""))

    def complaint(self):
        return " ".join(self.place.facts.logs.get("said", []))[-400:]
