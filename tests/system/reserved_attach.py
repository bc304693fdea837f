#!/usr/bin/env python3
"""Attachments over the reserved path: a real daemon whose session runs by our own TCP and AF_XDP,
between two network namespaces; its deaths, those of the target, and those of the link."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import unittest

import client
import nbd_client
import targets
from daemon_case import STANDBY_LIMIT_S, DaemonProcesses, missing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "stress" / "bench"))

from benchkit import link  # noqa: E402  (the path comes first)

IQN = "iqn.2026-01.test.reserved:disk0"
PORT = 3260
ESTABLISHED = " 01 "  # in /proc/net/tcp


class ReservedAttach(DaemonProcesses):
    def setUp(self):
        reason = missing() or link.missing()
        if reason:
            self.skipTest(reason)
        self.open_folder("hf-rsv-")
        ends = contextlib.ExitStack()
        self.addCleanup(ends.close)
        self.link = ends.enter_context(link.made())
        self.here, self.there = (["nsenter", f"--net=/run/netns/{name}"]
                                 for name in self.link.names[:2])
        self.nbd = self.folder / "nbd"
        self.target = self.start_target()
        self.start_supervisor(inside=self.here)

    def start_target(self, *more):
        made = self._run(self.programs / "holdfast-target", "--iqn", IQN, "--lun",
                         "size=16M,cache=on,serial=reserved", "--state", self.folder / "ram",
                         "--listen", f"{link.THEIRS}:{PORT}", *more, inside=self.there)
        targets.wait_until(lambda: f":{PORT:04X} " in self.tcp(self.there), "the target")
        return made

    def tcp(self, inside):
        return subprocess.run([*inside, "cat", "/proc/net/tcp"], check=True, capture_output=True,
                              text=True).stdout

    def ip(self, *words):
        subprocess.run([*self.here, "ip", *words], check=True, capture_output=True)

    def attach(self, *more, name="disk0", socket=None, path="xdp"):
        return self.holdfast(
            "attach", "--name", name, "--profile", "swap", "--export", "nbd", "--nbd-socket",
            socket or self.nbd, "--force-tier", "--keep-kernel-reserve", "--path", path, *more,
            f"iscsi://{link.THEIRS}:{PORT}/{IQN}/0")

    def attached(self, *more, **keys):
        ended = self.attach(*more, **keys)
        self.assertEqual(ended.returncode, 0, ended.stderr)

    def status(self, name="disk0"):
        return json.loads(self.holdfast("status", "--json", name).stdout)["attachments"][0]

    def watchdog(self):
        return self.status()["watchdog"]

    def wait_for_standby(self):
        targets.wait_until(lambda: self.watchdog()["standby"] == "standing", "a standby",
                           STANDBY_LIMIT_S)

    def wait_for_takeovers(self, count):
        targets.wait_until(lambda: self.watchdog()["takeovers"] == count
                           and self.watchdog()["state"] == "serving", f"takeover {count}",
                           STANDBY_LIMIT_S)

    def wait_for_requests(self, load, count=50):
        before = load.requests
        targets.wait_until(lambda: load.requests > before + count, "requests", STANDBY_LIMIT_S)

    def log_text(self):
        return (self.folder / "holdfastd.log").read_text(errors="replace")

    def check_load(self, load):
        self.assertEqual(load.failures, [])
        self.assertGreater(load.requests, 0)

    # Goal: the session runs over AF_XDP and not over the kernel's TCP, in an armed process, and
    # everything says so: path, mode, tier and why.
    def test_status_names_path_and_tier(self):
        self.attached()
        with nbd_client.Load(self.nbd) as load:
            self.wait_for_requests(load, 200)
            self.assertNotIn(ESTABLISHED, self.tcp(self.here))
            self.assertIn(ESTABLISHED, self.tcp(self.there))
        self.check_load(load)
        said = self.status()
        self.assertEqual(said["path"], {"kind": "xdp", "interface": "hf0", "mode": "copy",
                                        "queues": 1, "packet_bytes": 1500})
        self.assertEqual(said["phase"], "armed")
        self.assertEqual(said["tier"], "C")
        self.assertTrue(any("copies" in reason for reason in said["tier_reasons"]),
                        said["tier_reasons"])
        rows = {row["name"]: row for row in said["protections"]}
        self.assertEqual(rows["network path"]["found"], "AF_XDP, copy mode")
        for name in ("memory locked", "system call filter", "ring limits", "capabilities"):
            if name in rows:
                self.assertTrue(rows[name]["holds"], rows[name])
        self.assertEqual(rows["system call filter"]["found"], "Seccomp: 2")
        self.assertGreater(said["classifier"]["packets"]["session_to_socket"], 200)
        self.assertEqual(said["classifier"]["pressure"]["mode"], "off")
        self.assertEqual(json.loads(self.holdfast("list", "--json").stdout)["attachments"][0]
                         ["path"], "xdp")
        self.assertEqual(self.holdfast("detach", "disk0").returncode, 0)
        shown = subprocess.run([*self.here, "ip", "link", "show", "hf0"], check=True,
                               capture_output=True, text=True).stdout
        self.assertNotIn("xdp", shown)

    # Goal: an interface carries one such session; a second one is told what to do, and one over the
    # kernel's TCP shares interface and classifier. A profile that needs more than tier C refuses.
    def test_what_an_interface_can_carry(self):
        refused = self.holdfast(
            "attach", "--name", "disk0", "--profile", "swap", "--tier", "B", "--export", "nbd",
            "--nbd-socket", self.nbd, "--keep-kernel-reserve", "--path", "xdp",
            f"iscsi://{link.THEIRS}:{PORT}/{IQN}/0")
        self.assertEqual(refused.returncode, client.TIER_TOO_LOW, refused.stderr)
        self.assertIn("copies", refused.stderr)
        self.attached()
        second = self.attach("--slot", "1", name="disk1", socket=self.folder / "nbd1")
        self.assertEqual(second.returncode, client.EXISTS, second.stderr)
        self.assertIn("queues are taken", second.stderr)
        self.attached("--slot", "2", "--set", "classifier=auto", name="disk2",
                      socket=self.folder / "nbd2", path="kernel")
        self.assertEqual(self.status("disk2")["path"], {"kind": "kernel"})
        self.assertEqual(self.status()["classifier"]["pressure"]["mode"], "auto")
        for socket in (self.nbd, self.folder / "nbd2"):
            disk = nbd_client.NbdClient(socket)
            self.assertEqual(len(disk.request(nbd_client.READ, 0)), nbd_client.BLOCK)
            disk.close()

    # Goal: SIGKILL of the serving process is a non-event on this path, too: the standby, whose
    # memory and sockets are ready, takes the queues over; nothing that was acknowledged is lost.
    def test_killed_under_verified_load(self):
        self.attached()
        kills = 5
        with nbd_client.Load(self.nbd) as load:
            for number in range(1, kills + 1):
                self.wait_for_standby()
                heir = self.watchdog()["standby_pid"]
                os.kill(self.watchdog()["active_pid"], signal.SIGKILL)
                self.wait_for_takeovers(number)
                self.assertEqual(self.watchdog()["active_pid"], heir)
            self.wait_for_requests(load)
        self.check_load(load)
        said = self.status()
        self.assertEqual(said["path"]["mode"], "copy")
        self.assertEqual(said["watchdog"]["hangs"], 0)
        self.assertLess(said["watchdog"]["takeover_worst_ms"], 1500)
        print(f"{kills} kills, {load.requests} requests; worst takeover "
              f"{said['watchdog']['takeover_worst_ms']:.1f} ms, longest request "
              f"{load.longest_s * 1e3:.0f} ms; waited for the queues, ms: "
              f"{re.findall(r'queues of the interface after ([0-9.]+)', self.log_text())}")

    # Goal: a connection whose process died in silence does not stay open at the target, because
    # its successor makes it known; also while strangers are dropped.
    # Method: a target that keeps a session when its nexus logs in anew, as tgt does.
    def test_connections_of_the_dead_end(self):
        self.target.kill()
        self.target.wait()
        self.target = self.start_target("--reinstatement", "tgt-like")
        self.attached("--set", "classifier=auto")
        for number, mode in ((1, "auto"), (2, "on")):
            self.assertEqual(self.holdfast("pressure", mode).returncode, 0)
            self.wait_for_standby()
            old = self.connections_at_target()
            self.assertEqual(len(old), 1)
            os.kill(self.watchdog()["active_pid"], signal.SIGKILL)
            self.wait_for_takeovers(number)
            targets.wait_until(lambda: len(self.connections_at_target()) == 1, "the end of one")
            self.assertNotEqual(self.connections_at_target(), old)

    def connections_at_target(self):
        """Remote ends of what is established there."""
        return [line.split()[2] for line in self.tcp(self.there).splitlines()
                if ESTABLISHED in line]

    # Goal: without a standby a successor is started cold; when it finds the interface down it waits
    # for it.
    def test_killed_together_with_its_standby(self):
        self.attached()
        with nbd_client.Load(self.nbd) as load:
            for number in (1, 2):
                self.wait_for_standby()
                if number == 2:
                    self.ip("link", "set", "hf0", "down")
                said = self.watchdog()
                for pid in (said["standby_pid"], said["active_pid"]):
                    os.kill(pid, signal.SIGKILL)
                if number == 2:
                    time.sleep(0.6)
                    self.ip("link", "set", "hf0", "up")
                self.wait_for_takeovers(number)
            self.wait_for_requests(load)
        self.check_load(load)

    # Goal: a target that goes and comes back, and a link that does, cost time and nothing else.
    def test_target_and_link_come_back(self):
        self.attached()
        with nbd_client.Load(self.nbd) as load:
            self.wait_for_requests(load)
            self.target.kill()
            self.target.wait()
            self.target = self.start_target()
            self.wait_for_requests(load)
            for side, name in ((self.here, "hf0"), (self.there, "hf1")):
                for state in ("down", "up"):
                    subprocess.run([*side, "ip", "link", "set", name, state], check=True)
                    time.sleep(0.3)
                self.wait_for_requests(load)
        self.check_load(load)
        self.assertEqual(self.watchdog()["takeovers"], 0)


if __name__ == "__main__":
    unittest.main()
