"""A daemon with one NBD export of a RAM target, for tests of what its processes do and may do."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import unittest

import client
import targets

IQN = "iqn.2026-01.test.takeover:disk0"
STANDBY_LIMIT_S = 20


def missing():
    """Why this cannot be tested here, or None."""
    if client.missing():
        return client.missing()
    return None if os.geteuid() == 0 else "locking memory needs root"


def is_alive(pid):
    """False for one that is dead and not yet waited for, too."""
    with contextlib.suppress(OSError):
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    return False


def free_port():
    """One that nobody has now, so that the same tests can run twice at a time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class DaemonProcesses(unittest.TestCase):
    """A folder, and processes of ours in it that end with the test; `supervisor` is holdfastd's."""

    def open_folder(self, prefix):
        folder = tempfile.TemporaryDirectory(prefix=prefix)
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.folder.chmod(0o711)  # The user of control must get to its own folders in it.
        self.programs = self.find_programs()

    def start_supervisor(self, *options, inside=(), environment=None):
        """`options`: those of the supervisor itself, in front of control's."""
        self.supervisor = self._run(
            self.programs / "holdfastd", *options, "--socket", self.folder / "control",
            "--state-dir", self.folder / "state", "--link-dir", self.folder / "links",
            inside=inside, environment=environment).pid
        targets.wait_until(lambda: self.holdfast("list").returncode == 0, "holdfastd")

    def find_programs(self):
        return client.program().parent

    def _run(self, *command, inside=(), environment=None):
        """`inside`: words in front of the command, such as those that enter a namespace."""
        log = self.folder / f"{command[0].name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen([str(word) for word in (*inside, *command)], stdout=out,
                                       stderr=subprocess.STDOUT,
                                       env={**os.environ, **(environment or {})})
        self.addCleanup(self._end, process)
        return process

    def _end(self, process):
        """Ends it, and whatever it leaves behind when it was killed."""
        is_supervisor = process.pid == getattr(self, "supervisor", 0)
        children = self.children() if is_supervisor else []
        process.terminate()
        try:
            process.wait(targets.STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in [*children, *getattr(self, "orphans", [])]:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)

    def holdfast(self, verb, *options):
        words = [self.programs / "holdfast", verb, "--socket", self.folder / "control", *options]
        return subprocess.run([str(word) for word in words], capture_output=True, text=True,
                              timeout=client.LIMIT_S, check=False)

    def children(self):
        path = pathlib.Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children")
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []


class DaemonCase(DaemonProcesses):
    """See the file comment. Processes are chosen by what the supervisor says, never by name."""

    def setUp(self):
        if missing():
            self.skipTest(missing())
        self.open_folder("hf-take-")
        self.socket = self.folder / "nbd"
        port = free_port()
        self.target = self._run(
            self.programs / "holdfast-target", "--iqn", IQN, "--lun", "size=16M,cache=on",
            "--listen", f"127.0.0.1:{port}").pid
        targets.wait_until(lambda: targets.is_listening(port), "holdfast-target")
        self.url = f"iscsi://127.0.0.1:{port}/{IQN}/0"
        self.start_supervisor()
        attached = self.attach()
        self.assertEqual(attached.returncode, 0, attached.stderr)
        self.wait_for_standby()

    def attach(self):
        return self.holdfast("attach", "--name", "disk0", "--profile", "swap", "--export", "nbd",
                             "--nbd-socket", self.socket, "--force-tier", "--keep-kernel-reserve",
                             self.url)

    def active(self):
        """As the supervisor says, who knows it first; None: nobody serves."""
        return self.watchdog().get("active_pid")

    def standby(self):
        return self.watchdog().get("standby_pid")

    def watchdog(self):
        status = json.loads(self.holdfast("status", "--json", "disk0").stdout)
        return status["attachments"][0]["watchdog"]

    def wait_for_standby(self):
        targets.wait_until(lambda: self.watchdog()["standby"] == "standing", "a standby",
                           STANDBY_LIMIT_S)

    def wait_for_takeovers(self, count, or_state=None):
        def came():
            now = self.watchdog()
            return (now["takeovers"] == count and now["state"] == "serving"
                    or now["state"] == or_state)
        targets.wait_until(came, f"takeover {count}", STANDBY_LIMIT_S)

    def check_load(self, load):
        self.assertEqual(load.failures, [])
        self.assertGreater(load.requests, 0)
