#!/usr/bin/env python3
"""What happens at each death: docs/watchdog.md, shown on a real daemon with an NBD export."""

import contextlib
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import client
import nbd_client
import targets

IQN = "iqn.2026-01.test.takeover:disk0"
PORT = 13298
HANG_LIMIT_S = 2.0  # detected and replaced
STANDBY_LIMIT_S = 10
CRASHES_AT_ONCE = 5

PTRACE_PEEKTEXT, PTRACE_POKETEXT, PTRACE_GETREGS = 1, 4, 12
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
RIP_AT = 16 * 8  # in struct user_regs_struct of x86-64
REGISTERS_BYTES = 27 * 8
JUMP_TO_ITSELF = 0xFEEB


def missing():
    """Why this cannot be tested here, or None."""
    if client.missing():
        return client.missing()
    return None if os.geteuid() == 0 else "locking memory needs root"


def name_of(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def plant_a_loop(pid):
    """Makes a process spin where it stands, as a mistake of ours might."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.restype = ctypes.c_long
    ptrace.argtypes = [ctypes.c_long] + [ctypes.c_void_p] * 3
    if ptrace(PTRACE_ATTACH, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace attach")
    os.waitpid(pid, 0)
    registers = ctypes.create_string_buffer(REGISTERS_BYTES)
    ptrace(PTRACE_GETREGS, pid, None, ctypes.addressof(registers))
    at = int.from_bytes(registers.raw[RIP_AT:RIP_AT + 8], "little")
    word = ptrace(PTRACE_PEEKTEXT, pid, at, None) & ((1 << 64) - 1)
    ptrace(PTRACE_POKETEXT, pid, at, (word & ~0xFFFF) | JUMP_TO_ITSELF)
    ptrace(PTRACE_DETACH, pid, None, None)


class Takeover(unittest.TestCase):
    def setUp(self):
        if missing():
            self.skipTest(missing())
        folder = tempfile.TemporaryDirectory(prefix="hf-take-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.programs = client.program().parent
        self.socket = self.folder / "nbd"
        self._run(self.programs / "holdfast-target", "--iqn", IQN, "--lun", "size=16M,cache=on",
                  "--listen", f"127.0.0.1:{PORT}")
        targets.wait_until(lambda: targets.is_listening(PORT), "holdfast-target")
        self.supervisor = self._run(
            self.programs / "holdfastd", "--socket", self.folder / "control", "--state-dir",
            self.folder / "state", "--link-dir", self.folder / "links").pid
        targets.wait_until(lambda: self.holdfast("version").returncode == 0, "holdfastd")
        url = f"iscsi://127.0.0.1:{PORT}/{IQN}/0"
        attached = self.holdfast("attach", "--name", "disk0", "--profile", "swap", "--export",
                                 "nbd", "--nbd-socket", self.socket, "--force-tier",
                                 "--keep-kernel-reserve", url)
        self.assertEqual(attached.returncode, 0, attached.stderr)
        self.wait_for_standby()

    def _run(self, *command):
        log = self.folder / f"{command[0].name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen([str(word) for word in command], stdout=out,
                                       stderr=subprocess.STDOUT)
        self.addCleanup(self._end, process)
        return process

    def _end(self, process):
        """Ends it, and whatever it leaves behind when it was killed."""
        children = self.io_processes() if process.pid == getattr(self, "supervisor", 0) else {}
        process.terminate()
        try:
            process.wait(targets.STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pid in [*children.values(), *getattr(self, "orphans", [])]:
            with contextlib.suppress(ProcessLookupError):
                if name_of(pid).startswith("holdfast"):
                    os.kill(pid, signal.SIGKILL)

    def holdfast(self, verb, *options):
        words = [self.programs / "holdfast", verb, "--socket", self.folder / "control", *options]
        return subprocess.run([str(word) for word in words], capture_output=True, text=True,
                              timeout=client.LIMIT_S, check=False)

    def io_processes(self):
        """Names and process ids of the supervisor's children."""
        path = pathlib.Path(f"/proc/{self.supervisor}/task/{self.supervisor}/children")
        return {name_of(pid): int(pid) for pid in path.read_text().split()}

    def active(self):
        return self.io_processes().get("holdfast-io")

    def standby(self):
        return self.io_processes().get("holdfast-spare")

    def watchdog(self):
        status = json.loads(self.holdfast("status", "--json", "disk0").stdout)
        return status["attachments"][0]["watchdog"]

    def wait_for_standby(self):
        targets.wait_until(lambda: self.watchdog()["standby"] == "standing", "a standby",
                           STANDBY_LIMIT_S)

    def wait_for_takeovers(self, count):
        def came():
            now = self.watchdog()
            return now["takeovers"] == count and now["state"] == "serving"
        targets.wait_until(came, f"takeover {count}", STANDBY_LIMIT_S)

    def check_load(self, load):
        self.assertEqual(load.failures, [])
        self.assertGreater(load.requests, 0)

    def test_killed_under_verified_load(self):
        # Goal: SIGKILL of the serving process is a non-event: every block that was acknowledged is
        # there, no request fails, and each takeover is a hot one.
        kills = 10
        with nbd_client.Load(self.socket) as load:
            for number in range(1, kills + 1):
                self.wait_for_standby()
                heir = self.standby()
                os.kill(self.active(), signal.SIGKILL)
                self.wait_for_takeovers(number)
                self.assertEqual(self.active(), heir, "somebody else than the standby took over")
        self.check_load(load)
        said = self.watchdog()
        self.assertEqual(said["last_death"], "killed by signal 9")
        self.assertEqual(said["hangs"], 0)
        print(f"{kills} kills, {load.requests} requests; worst takeover "
              f"{said['takeover_worst_ms']:.1f} ms, longest request {load.longest_s * 1e3:.0f} ms")

    def test_killed_together_with_its_standby(self):
        # Goal: without a standby a successor is started cold, and nothing is lost.
        with nbd_client.Load(self.socket) as load:
            for number in range(1, 4):
                self.wait_for_standby()
                for pid in (self.standby(), self.active()):
                    os.kill(pid, signal.SIGKILL)
                self.wait_for_takeovers(number)
        self.check_load(load)

    def test_hung_process_is_replaced(self):
        # Goal: a process that spins, or that somebody stopped, is killed and replaced in time; a
        # standby that was stopped is killed and made anew.
        with nbd_client.Load(self.socket) as load:
            for number, hang in enumerate((plant_a_loop, lambda pid: os.kill(pid, signal.SIGSTOP)),
                                          start=1):
                self.wait_for_standby()
                began = time.monotonic()
                hang(self.active())
                self.wait_for_takeovers(number)
                took = time.monotonic() - began
                self.assertLess(took, HANG_LIMIT_S)
                self.assertEqual(self.watchdog()["last_death"],
                                 "it gave no sign of life, and was killed")
                print(f"hang {number}: replaced after {took:.2f} s")
            self.wait_for_standby()
            stopped = self.standby()
            os.kill(stopped, signal.SIGSTOP)
            targets.wait_until(lambda: not name_of(stopped), "the end of the standby")
            self.wait_for_standby()
        self.check_load(load)
        self.assertEqual(self.watchdog()["hangs"], 3)

    def test_stopping_everything_kills_nobody(self):
        # Goal: a pause of the whole machine is no hang, however long it was.
        pause_s = float(os.environ.get("HF_PAUSE_SECONDS", "4"))
        everybody = [self.supervisor, self.active(), self.standby()]
        with nbd_client.Load(self.socket) as load:
            for pid in everybody:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(pause_s)
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)
            time.sleep(1)
        self.check_load(load)
        self.assertEqual([self.supervisor, self.active(), self.standby()], everybody)
        self.assertEqual(self.watchdog()["takeovers"], 0)
        self.assertEqual(self.watchdog()["hangs"], 0)

    def test_poison_is_held(self):
        # Goal: a process that crashes again and again is not replaced for ever: requests wait, and
        # the status says why and what to do.
        with nbd_client.Load(self.socket) as load:
            for number in range(1, CRASHES_AT_ONCE + 1):
                os.kill(self.active(), signal.SIGABRT)
                self.wait_for_takeovers(number)
            self.wait_for_standby()
            os.kill(self.active(), signal.SIGABRT)
            targets.wait_until(lambda: self.watchdog()["state"] == "holding", "holding")
            said = self.watchdog()
            self.assertEqual(said["standby"], "standing")
            self.assertEqual(said["last_death"], "crashed by signal 6")
            self.assertIn("requests wait", said["advice"])
            self.assertIsNone(self.active())
            self.assertEqual(load.failures, [])
            os.kill(self.supervisor, signal.SIGTERM)
            load.stopping.set()
            for each in load.clients:
                each.close()

    def test_supervisor_killed(self):
        # Goal: the death of the supervisor takes nobody's device away; the standby, whom nobody
        # could order, goes.
        active, standby = self.active(), self.standby()
        self.orphans = [active, standby]
        with nbd_client.Load(self.socket) as load:
            os.kill(self.supervisor, signal.SIGKILL)
            targets.wait_until(lambda: not name_of(standby), "the end of the standby")
            before = load.requests
            targets.wait_until(lambda: load.requests > before + 100, "requests")
        self.check_load(load)
        self.assertEqual(name_of(active), "holdfast-io")
        self.assertNotEqual(self.holdfast("status").returncode, 0)


if __name__ == "__main__":
    unittest.main()
