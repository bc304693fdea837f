#!/usr/bin/env python3
"""What happens at each death: docs/watchdog.md, shown on a real daemon with an NBD export."""

import contextlib
import ctypes
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import client
import nbd_client
import targets

IQN = "iqn.2026-01.test.takeover:disk0"
HANG_LIMIT_S = 2.0  # detected and replaced
STANDBY_LIMIT_S = 20
CRASHES_AT_ONCE, CRASH_INTERVAL_S = 5, 60

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
        port = free_port()
        self.target = self._run(
            self.programs / "holdfast-target", "--iqn", IQN, "--lun", "size=16M,cache=on",
            "--listen", f"127.0.0.1:{port}").pid
        targets.wait_until(lambda: targets.is_listening(port), "holdfast-target")
        self.supervisor = self._run(
            self.programs / "holdfastd", "--socket", self.folder / "control", "--state-dir",
            self.folder / "state", "--link-dir", self.folder / "links").pid
        targets.wait_until(lambda: self.holdfast("list").returncode == 0, "holdfastd")
        url = f"iscsi://127.0.0.1:{port}/{IQN}/0"
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
        return [int(pid) for pid in path.read_text().split()]

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

    def test_killed_while_the_target_is_silent(self):
        # Goal: a death in the middle of an outage, and the death of the successor while it waits
        # for the login, cost nothing but time.
        with nbd_client.Load(self.socket) as load:
            for number in range(1, 4):
                self.wait_for_standby()
                os.kill(self.target, signal.SIGSTOP)
                os.kill(self.active(), signal.SIGKILL)
                targets.wait_until(lambda: self.watchdog()["state"] == "taking over", "a successor")
                for _ in range(number - 1):
                    time.sleep(0.3)
                    os.kill(self.active(), signal.SIGKILL)
                time.sleep(0.3)
                os.kill(self.target, signal.SIGCONT)
                self.wait_for_takeovers(number)
        self.check_load(load)

    def test_hung_process_is_replaced(self):
        # Goal: a process that spins, or that somebody stopped, is killed and replaced in time; a
        # standby that was stopped is killed and made anew.
        with nbd_client.Load(self.socket) as load:
            for number, hang in enumerate((plant_a_loop, lambda pid: os.kill(pid, signal.SIGSTOP)),
                                          start=1):
                self.wait_for_standby()
                hung = self.active()
                began = time.monotonic()
                hang(hung)
                while is_alive(hung):
                    time.sleep(0.005)
                took = time.monotonic() - began
                self.wait_for_takeovers(number)
                # By the supervisor's clock, not by that of a client who asks now and then.
                took += self.watchdog()["takeover_last_ms"] / 1e3
                self.assertLess(took, HANG_LIMIT_S)
                self.assertEqual(self.watchdog()["last_death"],
                                 "it gave no sign of life, and was killed")
                print(f"hang {number}: replaced after {took:.2f} s")
            self.wait_for_standby()
            stopped = self.standby()
            os.kill(stopped, signal.SIGSTOP)
            targets.wait_until(lambda: not is_alive(stopped), "the end of the standby")
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
            began = time.monotonic()
            deaths = 0
            while self.watchdog()["state"] != "holding":
                if deaths >= CRASHES_AT_ONCE:
                    self.wait_for_standby()
                os.kill(self.active(), signal.SIGABRT)
                deaths += 1
                self.wait_for_takeovers(deaths, or_state="holding")
            self.assertGreater(deaths, CRASHES_AT_ONCE)
            come_back = (time.monotonic() - began) // CRASH_INTERVAL_S
            self.assertLessEqual(deaths, CRASHES_AT_ONCE + 1 + come_back)
            said = self.watchdog()
            self.assertEqual(said["standby"], "standing")
            self.assertEqual(said["last_death"], "crashed by signal 6")
            self.assertIn("requests wait", said["advice"])
            self.assertIsNone(self.active())
            self.assertEqual(load.failures, [])
            os.kill(self.supervisor, signal.SIGTERM)
            load.abandon()

    def test_supervisor_killed(self):
        # Goal: the death of the supervisor takes nobody's device away; the standby, whom nobody
        # could order, goes.
        active, standby = self.active(), self.standby()
        self.orphans = [active, standby]
        with nbd_client.Load(self.socket) as load:
            os.kill(self.supervisor, signal.SIGKILL)
            targets.wait_until(lambda: not is_alive(standby), "the end of the standby")
            before = load.requests
            targets.wait_until(lambda: load.requests > before + 100, "requests")
        self.check_load(load)
        self.assertTrue(is_alive(active))
        self.assertNotEqual(self.holdfast("status").returncode, 0)


if __name__ == "__main__":
    unittest.main()
