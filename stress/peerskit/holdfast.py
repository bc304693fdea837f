"""Holdfast as a run needs it: a daemon of its own, one attachment, an NBD socket, and counters."""

import json
import subprocess
import time

from .places import PROJECT  # noqa: F401  (makes `rigkit` importable)
from rigkit import paths, processes

PROGRAMS = ("holdfastd", "holdfast-control", "holdfast-loader", "holdfast")
NAME = "peer"
INITIATOR = "iqn.2026-01.test.peers:initiator"
START_LIMIT_S = 20
VERB_LIMIT_S = 60


class HoldfastError(Exception):
    """The daemon did not do what a run needs."""


def missing(folder=None):
    """Why Holdfast cannot be run, or an empty string."""
    absent = [name for name in PROGRAMS if paths.newest_program(name, folder) is None]
    return f"not built: {', '.join(absent)}" if absent else ""


class Holdfast:
    """A daemon in `folder`. A context manager; behind it no process is left."""

    def __init__(self, folder, programs=None):
        self.folder = folder
        self.program = paths.newest_program("holdfast", programs)
        self.server = paths.newest_program("holdfastd", programs)
        self.process = None
        self.nbd_socket = folder / "nbd"
        self.log = folder / "holdfastd.log"

    def __enter__(self):
        name = self.folder / "initiatorname"
        name.write_text(INITIATOR + "\n")
        config = self.folder / "holdfast.toml"
        config.write_text(f'[daemon]\ninitiator_name_file = "{name}"\n')
        words = ["--config", config, "--socket", self.folder / "control.sock"]
        words += ["--state-dir", self.folder, "--link-dir", self.folder / "links"]
        with open(self.log, "wb") as log:
            self.process = processes.spawn(
                [self.server, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        processes.stop(self.process, grace_s=5)

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + START_LIMIT_S
        while self.run("list").returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise HoldfastError(f"holdfastd does not answer: {self.log_tail()}")
            time.sleep(0.1)

    def log_tail(self, lines=8):
        return " / ".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def run(self, verb, *words):
        """One verb of the client, to its end."""
        command = [self.program, verb, "--socket", self.folder / "control.sock", *words]
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=VERB_LIMIT_S,
            check=False,
        )

    def attach(self, url, keys):
        """Makes the NBD socket; `keys` are settings as in docs/configuration.md."""
        words = ["--name", NAME, "--profile", "data", "--export", "nbd"]
        words += ["--nbd-socket", self.nbd_socket]
        for key, value in keys.items():
            words += ["--set", f"{key}={value}"]
        done = self.run("attach", *words, url)
        if done.returncode != 0:
            raise HoldfastError(f"attach failed: {done.stderr.strip()} ({self.log_tail()})")

    def status(self):
        """What `status --json` tells about the attachment; None when it has none."""
        done = self.run("status", NAME, "--json")
        try:
            return json.loads(done.stdout)["attachments"][0]
        except (ValueError, KeyError, IndexError):
            return None

    def detach(self):
        """Logs out. Returns what went wrong, or an empty string."""
        done = self.run("detach", NAME)
        return "" if done.returncode == 0 else f"detach failed: {done.stderr.strip()}"


def settings(erl, connections, digests, time2wait_s=0, more=()):
    """The keys of an attachment for a run. Only what differs from the defaults is named."""
    digest = "require" if digests else "never"
    keys = {
        "keep_kernel_reserve": "true",
        "depth": "32",
        "request_size": "128KiB",
        "header_digest": digest,
        "data_digest": digest,
        "negotiation.time2wait": str(time2wait_s),
    }
    if connections > 1:
        keys["connections"] = str(connections)
    if erl > 0:
        keys["negotiation.error_recovery_level"] = str(erl)
    keys.update(pair.partition("=")[::2] for pair in more)
    return keys


def grown(before, after):
    """How much each counter of two statuses grew. Gauges and texts are left out. Pure."""
    first, last = before["counters"], after["counters"]
    gauges = ("requests_in_flight", "command_window", "nop_rtt_last_us", "nop_rtt_max_us")
    return {
        name: value - first.get(name, 0)
        for name, value in last.items()
        if isinstance(value, int) and name not in gauges
    }
