#!/usr/bin/env python3
"""The sandbox of each process, from inside and as status shows it: docs/sandbox.md."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import unittest

import daemon_case
import inside
import nbd_client
import targets

AT_FDCWD = -100
# What somebody who took a process over would try first. A crash allowance is five.
HOSTILE = (("openat", AT_FDCWD, "/etc/passwd", os.O_RDONLY), ("socket", 2, 1, 0),
           ("mmap", 0, 4096, 7, 0x22, -1, 0), ("execve", "/bin/sh", 0, 0), ("clone", 17, 0))
HOSTILE_TO_CONTROL = (("execve", "/bin/sh", 0, 0), ("clone", 17, 0), ("io_uring_setup", 8, 0),
                      ("ptrace", 16, 1), ("mount", 0, "/", 0, 0x1000), ("unshare", 0x20000),
                      ("bpf", 0, 0, 0))


def field(pid, key):
    """A line of /proc/PID/status."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return line.partition(":")[2].split()[0]
    return None


def may_everything():
    """CAP_SYS_RESOURCE, without which two protections are refused."""
    return int(field("self", "CapEff"), 16) >> 24 & 1 != 0


class SandboxLayers(daemon_case.DaemonCase):
    def security(self):
        status = json.loads(self.holdfast("status", "--security", "--json").stdout)
        return status, {one["role"]: one for one in status["security"]}

    def control(self):
        return self.security()[1]["control"]["pid"]

    def test_status_shows_each_layer(self):
        # Goal: what status says of each process is what the kernel says, and what was meant.
        status, roles = self.security()
        self.assertEqual(sorted(roles), ["active", "control", "standby", "supervisor"])
        for role in roles.values():
            self.assertEqual(str(role["locked_kib"]), field(role["pid"], "VmLck"))
            self.assertEqual(role["no_new_privs"], field(role["pid"], "NoNewPrivs") == "1")
            self.assertEqual(role["seccomp"] == "filter", field(role["pid"], "Seccomp") == "2")
            self.assertEqual(role["capabilities"] == [], field(role["pid"], "CapPrm") == "0" * 16)
        for name in ("active", "control"):
            self.assertEqual(roles[name]["seccomp"], "filter", name)
            self.assertTrue(roles[name]["no_new_privs"], name)
            self.assertEqual(roles[name]["capabilities"], [], name)
            self.assertEqual(roles[name]["capabilities_bound"], [], name)
        for name, priority in (("supervisor", 60), ("active", 50), ("standby", 50)):
            self.assertEqual(roles[name]["scheduling"], "SCHED_FIFO", name)
            self.assertEqual(roles[name]["priority"], priority, name)
            self.assertGreater(roles[name]["locked_kib"], 0, name)
            score = pathlib.Path(f"/proc/{roles[name]['pid']}/oom_score_adj").read_text()
            self.assertEqual(roles[name]["oom_score_adj"], int(score), name)
            if may_everything():  # A container may keep this one back.
                self.assertEqual(int(score), -1000, name)
                self.assertTrue(roles[name]["io_flusher"], name)
        rows = {row["name"]: row for row in status["attachments"][0]["protections"]}
        for name in ("ring limits", "mount namespace", "Landlock", "capabilities",
                     "system call filter", "core dumps"):
            self.assertTrue(rows[name]["holds"], rows[name])
        for pid in (roles["active"]["pid"], roles["standby"]["pid"]):
            self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/mnt"),
                                os.readlink("/proc/self/ns/mnt"))
        said = self.holdfast("status", "--security").stdout
        for word in ("supervisor", "standby", "SCHED_FIFO 60", "ring limits"):
            self.assertIn(word, said)

    def test_the_calls_kill_nobody_without_a_filter(self):
        # Goal: it is the filter that kills in the tests below.
        with subprocess.Popen(["/bin/sleep", "60"]) as child:
            targets.wait_until(lambda: field(child.pid, "State") == "S", "sleep")
            for name, *words in HOSTILE[:3] + HOSTILE_TO_CONTROL[2:]:
                died, _ = inside.call_inside(child.pid, name, *words)
                self.assertIsNone(died, name)
            child.kill()

    def test_hostile_calls_kill_the_active(self):
        # Goal: whoever takes the serving process over dies with the first call of his own; the
        # standby goes on, and no request is lost.
        with nbd_client.Load(self.socket) as load:
            for number, (name, *words) in enumerate(HOSTILE, start=1):
                self.wait_for_standby()
                died, answer = inside.call_inside(self.active(), name, *words)
                self.assertEqual(died, signal.SIGSYS, f"{name}: {answer}")
                self.wait_for_takeovers(number)
            self.assertEqual(self.watchdog()["last_death"], "crashed by signal 31")
        self.check_load(load)

    def test_hostile_calls_kill_control(self):
        # Goal: whoever takes the control process over can start nothing; it is made anew, and the
        # serving process does not notice.
        active = self.active()
        with nbd_client.Load(self.socket) as load:
            for name, *words in HOSTILE_TO_CONTROL:
                died, answer = inside.call_inside(self.control(), name, *words)
                self.assertEqual(died, signal.SIGSYS, f"{name}: {answer}")
                targets.wait_until(lambda: self.holdfast("status", "disk0").returncode == 0,
                                   "control")
        self.check_load(load)
        self.assertEqual(self.active(), active)
        self.assertEqual(self.watchdog()["takeovers"], 0)

    def test_control_writes_its_own_folders_only(self):
        # Goal: files outside of its folders can be read by control, and not be written.
        control = self.control()
        outside = self.folder.parent / f"{self.folder.name}-outside"
        outside.write_text("as it was")
        self.addCleanup(outside.unlink)
        for path, mode, wanted in ((outside, os.O_RDONLY, None),
                                   (outside, os.O_WRONLY, -errno.EACCES),
                                   (self.folder / "state" / "isids", os.O_WRONLY, None)):
            died, answer = inside.call_inside(control, "openat", AT_FDCWD, str(path), mode)
            self.assertIsNone(died)
            if wanted is None:
                self.assertGreaterEqual(answer, 0, path)
            else:
                self.assertEqual(answer, wanted, path)

    def test_a_standby_sees_no_files(self):
        # Goal: it has no filter yet, because it must open its device; but there is nothing else.
        for path in ("/etc/passwd", "/proc/self/status", "/dev/null"):
            died, answer = inside.call_inside(self.standby(), "openat", AT_FDCWD, path, 0)
            self.assertIsNone(died)
            self.assertEqual(answer, -errno.ENOENT, path)


if __name__ == "__main__":
    unittest.main()
