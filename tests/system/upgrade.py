#!/usr/bin/env python3
"""holdfast upgrade: another program takes over from the running one under load."""

import json
import os
import shutil
import unittest

import client
import daemon_case
import nbd_client

UPGRADES = int(os.environ.get("HF_UPGRADES", "5"))


class Upgrade(daemon_case.DaemonCase):
    def find_programs(self):
        """Copies, so that one can be replaced."""
        folder = self.folder / "bin"
        folder.mkdir()
        for name in ("holdfast", "holdfastd", "holdfast-control", "holdfast-target"):
            shutil.copy2(client.program().parent / name, folder / name)
        return folder

    def install(self, program):
        """As a package does: a new file under the old name. Its inode."""
        fresh = self.programs / "holdfastd.new"
        shutil.copy2(program, fresh)
        os.rename(fresh, self.programs / "holdfastd")
        return os.stat(self.programs / "holdfastd").st_ino

    def test_again_and_again_under_verified_load(self):
        # Goal: each upgrade puts the installed program in place of the running one, with its
        # standby, and no request fails or reads anything old.
        pauses = []
        with nbd_client.Load(self.socket) as load:
            for number in range(1, UPGRADES + 1):
                inode = self.install(client.program().parent / "holdfastd")
                done = self.holdfast("upgrade", "disk0", "--wait", "60", "--json")
                self.assertEqual(done.returncode, 0, done.stderr)
                pauses.append(json.loads(done.stdout)["pause_ms"])
                self.assertEqual(os.stat(f"/proc/{self.active()}/exe").st_ino, inode)
                self.assertEqual(self.watchdog()["upgrades"], number)
            self.wait_for_standby()
            self.assertEqual(os.stat(f"/proc/{self.standby()}/exe").st_ino, inode)
        self.check_load(load)
        self.assertEqual(self.watchdog()["takeovers"], UPGRADES)
        self.assertNotIn("last_death", self.watchdog())
        print(f"{UPGRADES} upgrades, {load.requests} requests; longest pause {max(pauses):.1f} ms, "
              f"longest request {load.longest_s * 1e3:.0f} ms")

    def test_a_program_that_cannot_take_over_changes_nothing(self):
        # Goal: the old program goes on, has a standby again, and the operator is told.
        active = self.active()
        with nbd_client.Load(self.socket) as load:
            self.install("/bin/false")
            done = self.holdfast("upgrade", "disk0", "--wait", "60")
            self.assertEqual(done.returncode, client.FAILED, done.stderr)
            self.assertIn("which goes on", done.stderr)
            self.wait_for_standby()
            self.assertEqual(self.active(), active)
        self.check_load(load)
        self.assertEqual(self.watchdog()["takeovers"], 0)


if __name__ == "__main__":
    unittest.main()
