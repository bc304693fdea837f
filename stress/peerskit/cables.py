"""The proxy's other end: tells it what to do, and keeps what it reports."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

from .places import PROJECT  # noqa: F401  (makes `rigkit` importable)
from rigkit import processes

START_LIMIT_S = 15
ANSWER_LIMIT_S = 15

# The reports that mark the way back after a cut, in their order.
STEPS = ("accepted", "full", "request")


class CableError(Exception):
    """The proxy did not start or does not answer."""


class Cables:
    """The connections of a run. A context manager."""

    def __init__(self, listen, target, seed, folder):
        self.words = [f"{listen[0]}:{listen[1]}", f"{target[0]}:{target[1]}", str(seed)]
        self.log = folder / "proxy.log"
        self.process = self.reader = None
        self.events = []
        self._news = threading.Condition()

    def __enter__(self):
        script = Path(__file__).with_name("proxy.py")
        with open(self.log, "wb") as log:
            self.process = processes.spawn(
                [sys.executable, "-B", script, *self.words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.wait_for({"listening"}, 0, START_LIMIT_S)
        return self

    def __exit__(self, *exception):
        processes.stop(self.process)
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()

    def _read(self):
        for line in self.process.stdout:
            with self._news:
                self.events.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, names, start=0, limit_s=ANSWER_LIMIT_S):
        """The first report of one of these names, from the `start`-th report on."""
        deadline = time.monotonic() + limit_s
        with self._news:
            while True:
                for event in self.events[start:]:
                    if event["event"] in names:
                        return event
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise CableError(f"the proxy does not answer: {self.log.read_text()[-300:]}")
                self._news.wait(0.2)

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def cut(self):
        """Cuts one connection; False when none had carried a request yet."""
        start = len(self.events)
        self.tell("cut")
        return self.wait_for({"cut", "nothing to cut"}, start)["event"] == "cut"

    def stall(self, seconds):
        start = len(self.events)
        self.tell(f"stall {seconds}")
        self.wait_for({"stalled"}, start)

    def told(self, name):
        """All reports of one kind so far."""
        with self._news:
            return [event for event in self.events if event["event"] == name]


def peak(events):
    """The most connections that were past their login at once. Pure."""
    now = most = 0
    for event in events:
        if event["event"] == "full":
            now += 1
            most = max(most, now)
        elif event["event"] == "closed" and event["was_full"]:
            now -= 1
    return most


def steps_after(events, cut_at):
    """Seconds from a cut to the next connection, the end of its login, its first request. Pure.

    With several connections that is the cut one's replacement, as long as one is cut at a time.
    `waited`: how much of the login the target took.
    """
    steps = {}
    for event in events:
        if event["at"] <= cut_at:
            continue
        if event["event"] == "cut":
            break
        if event["event"] in STEPS:
            steps.setdefault(event["event"], event["at"] - cut_at)
        if "waited" in event:
            steps.setdefault("waited", event["waited"])
    return steps
