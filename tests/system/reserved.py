#!/usr/bin/env python3
"""Sessions over the reserved path: our own TCP and AF_XDP, on links made for the test."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import client

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "stress" / "bench"))

from benchkit import link  # noqa: E402  (the path comes first)


class Reserved(unittest.TestCase):
    def setUp(self):
        reason = client.missing() or link.missing()
        if reason:
            self.skipTest(reason)
        folder = tempfile.TemporaryDirectory(prefix="hf-link-")
        self.addCleanup(folder.cleanup)
        self.log = pathlib.Path(folder.name) / "target.log"
        self.programs = client.program().parent

    def holdfast(self, made, *words):
        return subprocess.run([*made.ours, self.programs / "holdfast", *words],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, timeout=client.LIMIT_S)

    def verify(self, megabytes, options=(), faults=(), **line):
        """Writes and reads `megabytes`; every byte must come back."""
        with link.made(self.programs / "delay-line", **line) as made, \
                link.target_on(made, self.programs / "holdfast-target", self.log, "--lun",
                               "size=256M", *faults) as url:
            words = ["--set", "path=xdp", *options]
            ended = self.holdfast(made, "verify", url, "--length", f"{megabytes}MiB", *words)
            self.assertEqual(ended.returncode, 0, ended.stdout)
            self.assertIn("no mismatch", ended.stdout)

    # Goal: a session over a bare veth pair moves every byte unchanged, with one connection and with
    # several.
    def test_veth_pair(self):
        self.verify(64)
        self.verify(64, options=["--set", "connections=3"])

    # Goal: the same with packets of several frames: of the usual jumbo size, and of the largest.
    def test_packets_of_several_frames(self):
        for mtu in (9000, 65535):
            self.verify(64, mtu=mtu)
            self.verify(16, mtu=mtu, delay_us=1000, loss_ppm=10_000, reorder_ppm=10_000)

    # Goal: the same while 2 % of the frames are lost, 1 % come late and the way takes 4 ms.
    def test_loss_and_reorder(self):
        self.verify(8, delay_us=2000, loss_ppm=20_000, reorder_ppm=10_000)

    # Goal: a target that resets connections costs sessions and no byte.
    def test_target_resets(self):
        self.verify(64, faults=["--fault", "every=200ms reset"],
                    options=["--set", "timers.reconnect_min=10ms"])

    # Goal: the path is really the reserved one, and the ordinary one stays: while the classifier is
    # attached, another program's TCP over the same interface works.
    def test_other_traffic_passes(self):
        with link.made() as made, \
                link.target_on(made, self.programs / "holdfast-target", self.log, "--lun",
                               "size=64M") as url:
            bench = subprocess.Popen(
                [*made.ours, self.programs / "holdfast", "bench", url, "--seconds", "2", "--set",
                 "path=xdp"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            shown = subprocess.run([*made.ours, "ip", "link", "show", "hf0"],
                                   stdout=subprocess.PIPE, text=True, check=True).stdout
            for _ in range(100):
                if "xdp" in shown:
                    break
                shown = subprocess.run([*made.ours, "ip", "link", "show", "hf0"],
                                       stdout=subprocess.PIPE, text=True, check=True).stdout
            self.assertIn("xdp", shown)
            ended = self.holdfast(made, "verify", url, "--length", "16MiB", "--set",
                                  "path=kernel", "--offset", "32MiB")
            self.assertEqual(ended.returncode, 0, ended.stdout)
            sockets = subprocess.run([*made.ours, "cat", "/proc/net/tcp"], text=True, check=True,
                                     stdout=subprocess.PIPE).stdout
            # 01: established. The reserved session is none of the kernel's.
            self.assertNotIn(" 01 ", sockets)
            output, _ = bench.communicate(timeout=client.LIMIT_S)
            self.assertEqual(bench.returncode, 0, output)

    # Goal: zero copy that is asked for and cannot be had is refused, and says so.
    def test_copy_mode_is_refused_where_zero_copy_is_demanded(self):
        with link.made() as made, \
                link.target_on(made, self.programs / "holdfast-target", self.log, "--lun",
                               "size=16M") as url:
            refused = self.holdfast(made, "verify", url, "--set", "path=xdp", "--zero-copy")
            self.assertEqual(refused.returncode, 9, refused.stdout)
            self.assertIn("no AF_XDP zero copy", refused.stdout)
            without = self.holdfast(made, "verify", url, "--zero-copy")
            self.assertEqual(without.returncode, 2, without.stdout)

    # Goal: an address of this host has no way over AF_XDP: "xdp" says so, "auto" takes the kernel.
    def test_auto_takes_the_kernel_where_it_must(self):
        with link.made() as made:
            own = subprocess.Popen(
                [*made.ours, self.programs / "holdfast-target", "--listen", "127.0.0.1:3260",
                 "--iqn", "iqn.2026-01.test.link:own", "--lun", "size=16M"],
                stdout=subprocess.PIPE)
            self.addCleanup(own.wait)
            self.addCleanup(own.kill)
            self.addCleanup(own.stdout.close)
            own.stdout.readline()
            url = "iscsi://127.0.0.1/iqn.2026-01.test.link:own/0"
            refused = self.holdfast(made, "verify", url, "--set", "path=xdp")
            self.assertEqual(refused.returncode, 2, refused.stdout)
            self.assertIn("on this host", refused.stdout)
            taken = self.holdfast(made, "verify", url, "--set", "path=auto")
            self.assertEqual(taken.returncode, 0, taken.stdout)


if __name__ == "__main__":
    unittest.main()
