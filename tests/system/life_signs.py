#!/usr/bin/env python3
"""What holdfastd tells the service manager and the machine's watchdog: docs/watchdog.md. Both are
played: by a socket, and by a pipe with a name."""

import contextlib
import os
import signal
import socket
import time
import unittest

import daemon_case
import nbd_client
import targets

PATIENCE_S = 1
SIGNS_PER_PATIENCE = 4


class LifeSigns(daemon_case.DaemonCase):
    def start_supervisor(self, *options, **_):
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(self.folder / "notify"))
        self.manager.settimeout(0.05)
        self.addCleanup(self.manager.close)
        pipe = self.folder / "watchdog"
        os.mkfifo(pipe)
        self.machine = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, self.machine)
        config = self.folder / "holdfast.toml"
        config.write_text(f'[daemon]\nmachine_watchdog = "{PATIENCE_S}s"\n')
        super().start_supervisor(
            "--watchdog-device", pipe,
            environment={"NOTIFY_SOCKET": str(self.folder / "notify"),
                         "WATCHDOG_USEC": str(PATIENCE_S * 1_000_000),
                         "HOLDFAST_CONFIG": str(config)})

    def heard(self, seconds):
        """Lines that came to the service manager in that time."""
        lines = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                lines += self.manager.recv(4096).decode().splitlines()
        return lines

    def written(self):
        """What came to the watchdog since the last look."""
        found = b""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self.machine, 4096):
                found += piece
        return found

    def test_both_hear_of_life_and_of_the_end(self):
        # Goal: readiness is told once clients are served, then signs in their pace, and at an
        # orderly end the watchdog is disarmed, as the last thing.
        lines = self.heard(2 * PATIENCE_S)
        self.assertEqual(lines.count("READY=1"), 1)
        self.assertIn("STATUS=1 attachment, served", lines)
        signs = lines.count("WATCHDOG=1")
        # Those of the start wait in the socket, too.
        self.assertGreaterEqual(signs, 2 * SIGNS_PER_PATIENCE - 1)
        self.assertLessEqual(signs, 10 * SIGNS_PER_PATIENCE)
        fed = self.written()
        self.assertGreaterEqual(len(fed), 2 * SIGNS_PER_PATIENCE - 1)
        self.assertEqual(set(fed), {0})
        os.kill(self.supervisor, signal.SIGTERM)
        self.assertIn("STOPPING=1", self.heard(2))
        targets.wait_until(lambda: not daemon_case.is_alive(self.supervisor), "its end")
        self.assertTrue(self.written().endswith(b"V"))

    def test_a_supervisor_that_stands_still_gives_no_sign(self):
        # Goal: the watchdog would reset a machine whose supervisor hangs, or died.
        self.heard(0.2)
        os.kill(self.supervisor, signal.SIGSTOP)
        self.heard(0.2)
        self.written()
        self.assertEqual(self.heard(PATIENCE_S), [])
        self.assertEqual(self.written(), b"")
        os.kill(self.supervisor, signal.SIGCONT)
        self.assertIn("WATCHDOG=1", self.heard(1))
        self.orphans = [self.active()]
        os.kill(self.supervisor, signal.SIGKILL)
        targets.wait_until(lambda: not daemon_case.is_alive(self.supervisor), "its end")
        self.assertNotIn(b"V", self.written())

    def test_no_sign_while_an_attachment_is_lost(self):
        # Goal: with nobody who serves, and nobody who could be made, the machine is better off
        # anew; a takeover by a standby needs no maker.
        maker = next(pid for pid in self.children() if name_of(pid) == "holdfast-maker")
        with nbd_client.Load(self.socket) as load:
            os.kill(maker, signal.SIGKILL)
            os.kill(self.active(), signal.SIGKILL)
            self.wait_for_takeovers(1)
        self.check_load(load)
        self.heard(0.2)
        self.assertIn("WATCHDOG=1", self.heard(PATIENCE_S))
        self.written()
        os.kill(self.active(), signal.SIGKILL)
        targets.wait_until(lambda: self.watchdog()["state"] == "holding", "the end of it")
        self.assertIn("STATUS=1 attachment; some are lost: see holdfast status", self.heard(1))
        self.written()
        self.assertNotIn("WATCHDOG=1", self.heard(PATIENCE_S))
        self.assertEqual(self.written(), b"")


def name_of(pid):
    with open(f"/proc/{pid}/comm", encoding="ascii") as file:
        return file.read().strip()


if __name__ == "__main__":
    unittest.main()
