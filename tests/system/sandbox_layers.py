#!/usr/bin/env python3
"""The sandbox of each process, from inside and as status shows it: docs/sandbox.md."""

import errno
import json
import os
import pathlib
import pwd
import signal
import subprocess
import unittest

import client
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
                      ("bpf", 0, 0, 0), ("socket", 17, 3, 0), ("kill", 0, 0))
HOSTILE_TO_STANDBY = (("openat", AT_FDCWD, "/made", os.O_CREAT | os.O_WRONLY, 0o600),
                      ("socket", 2, 1, 0), ("mmap", 0, 4096, 7, 0x22, -1, 0),
                      ("execve", "/bin/sh", 0, 0), ("clone", 17, 0), ("kill", 0, 0),
                      ("io_uring_setup", 8, 0), ("mount", 0, "/", 0, 0x1000))
HOSTILE_TO_SUPERVISOR = (("execve", "/bin/sh", 0, 0), ("clone", 17, 0), ("fork",),
                         ("socket", 2, 1, 0), ("mmap", 0, 4096, 7, 0x22, -1, 0),
                         ("io_uring_setup", 8, 0), ("ptrace", 16, 1), ("bpf", 0, 0, 0),
                         ("mount", 0, "/", 0, 0x1000), ("setuid", 0), ("rename", 0, 0))
NOBODY = 65534


def field(pid, key):
    """A line of /proc/PID/status."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            words = line.partition(":")[2].split()
            return words[0] if words else None
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
        self.assertEqual(sorted(roles), ["active", "control", "maker", "standby", "supervisor"])
        for role in roles.values():
            self.assertEqual(str(role["locked_kib"]), field(role["pid"], "VmLck"))
            self.assertEqual(role["no_new_privs"], field(role["pid"], "NoNewPrivs") == "1")
            self.assertEqual(role["seccomp"] == "filter", field(role["pid"], "Seccomp") == "2")
            self.assertEqual(role["capabilities"] == [], field(role["pid"], "CapPrm") == "0" * 16)
            self.assertEqual(str(role["seccomp_filters"]), field(role["pid"], "Seccomp_filters"))
            self.assertEqual(str(role["uid"]), field(role["pid"], "Uid"))
            self.assertEqual(str(role["gid"]), field(role["pid"], "Gid"))
            # Each has a filter: the supervisor and the maker one; below that of every other the
            # maker's.
            self.assertEqual(role["seccomp"], "filter", role["role"])
            is_first = role["role"] in ("supervisor", "maker")
            self.assertEqual(role["seccomp_filters"], 1 if is_first else 2, role["role"])
            self.assertTrue(role["no_new_privs"], role["role"])
        for name in ("active", "control"):
            self.assertEqual(roles[name]["capabilities"], [], name)
            self.assertEqual(roles[name]["capabilities_bound"], [], name)
        self.check_user(roles["control"])
        for name, priority in (("supervisor", 60), ("maker", 60), ("active", 50), ("standby", 50)):
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
        for word in ("supervisor", "standby", "SCHED_FIFO 60", "ring limits", "filter x 2"):
            self.assertIn(word, said)

    def check_user(self, control):
        """An ordinary user without further groups; status says when he is not the wanted one."""
        try:
            wanted = pwd.getpwnam("holdfast").pw_uid
        except KeyError:
            wanted = NOBODY
            self.assertIn("nobody stands in", control["note"])
        self.assertEqual(control["uid"], wanted)
        self.assertNotEqual(control["gid"], 0)
        self.assertEqual(control["groups"], [])
        self.assertIsNone(field(control["pid"], "Groups"))

    def test_the_calls_kill_nobody_without_a_filter(self):
        # Goal: it is the filter that kills in the tests below.
        with subprocess.Popen(["/bin/sleep", "60"]) as child:
            targets.wait_until(lambda: field(child.pid, "State") == "S", "sleep")
            for name, *words in HOSTILE[:3] + HOSTILE_TO_CONTROL[2:] + HOSTILE_TO_SUPERVISOR[9:]:
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

    def test_hostile_calls_kill_the_standby(self):
        # Goal: one who stands by can do what a takeover needs, and dies of everything else; the
        # serving process does not notice, and another one stands by.
        active = self.active()
        with nbd_client.Load(self.socket) as load:
            for name, *words in HOSTILE_TO_STANDBY:
                self.wait_for_standby()
                standby = self.standby()
                died, answer = inside.call_inside(standby, name, *words)
                self.assertEqual(died, signal.SIGSYS, f"{name}: {answer}")
                targets.wait_until(lambda: self.standby() not in (None, standby), "a new standby")
        self.check_load(load)
        self.assertEqual(self.active(), active)
        self.assertEqual(self.watchdog()["takeovers"], 0)

    def test_a_takeover_puts_the_filters_on_top_of_each_other(self):
        # Goal: who has taken over has the short list of an armed process, on top of what it had
        # while it stood.
        os.kill(self.active(), signal.SIGKILL)
        self.wait_for_takeovers(1)
        self.assertEqual(field(self.active(), "Seccomp_filters"), "3")
        died, answer = inside.call_inside(self.active(), "openat", AT_FDCWD, "/null",
                                          os.O_RDWR | os.O_CLOEXEC)
        self.assertEqual(died, signal.SIGSYS, answer)

    def test_control_is_made_anew_as_the_same_user(self):
        # Goal: a control process that was killed is made again by the maker, has given everything
        # up again, and can do all that it could.
        before = self.control()
        os.kill(before, signal.SIGKILL)
        targets.wait_until(lambda: self.holdfast("status", "disk0").returncode == 0, "control")
        _, roles = self.security()
        self.assertNotEqual(roles["control"]["pid"], before)
        self.check_user(roles["control"])
        self.assertEqual(roles["control"]["seccomp_filters"], 2)
        self.assertEqual(self.holdfast("detach", "disk0").returncode, 0)
        attached = self.attach()
        self.assertEqual(attached.returncode, 0, attached.stderr)

    def test_the_user_of_control_is_not_root_to_it(self):
        # Goal: who runs as the user that control has become, may not change anything.
        words = [self.programs / "holdfast", "detach", "--socket", self.folder / "control", "disk0"]
        said = subprocess.run([str(word) for word in words], capture_output=True, text=True,
                              timeout=20, check=False, user=self.security()[1]["control"]["uid"])
        self.assertEqual(said.returncode, client.NOT_PERMITTED, said.stderr)
        self.assertEqual(self.holdfast("status", "disk0").returncode, 0)

    def test_control_writes_its_own_folders_only(self):
        # Goal: files outside of its folders cannot be written, even those that anybody may write;
        # and those that only root may read cannot be read.
        control = self.control()
        outside = self.folder.parent / f"{self.folder.name}-outside"
        outside.write_text("as it was")
        self.addCleanup(outside.unlink)
        for path, rights, mode, wanted in (
                (outside, 0o666, os.O_RDONLY, None), (outside, 0o666, os.O_WRONLY, -errno.EACCES),
                (outside, 0o600, os.O_RDONLY, -errno.EACCES),
                (self.folder / "state" / "isids", 0o644, os.O_WRONLY, None)):
            path.chmod(rights)
            died, answer = inside.call_inside(control, "openat", AT_FDCWD, str(path), mode)
            self.assertIsNone(died)
            if wanted is None:
                self.assertGreaterEqual(answer, 0, path)
            else:
                self.assertEqual(answer, wanted, path)

    def test_a_standby_sees_no_files(self):
        # Goal: it may open files, because it must open its device; but there is nothing else.
        for path in ("/etc/passwd", "/proc/self/status", "/dev/null"):
            died, answer = inside.call_inside(self.standby(), "openat", AT_FDCWD, path,
                                              os.O_RDONLY | os.O_CLOEXEC)
            self.assertIsNone(died)
            self.assertEqual(answer, -errno.ENOENT, path)


class SupervisorAlone(daemon_case.DaemonProcesses):
    def test_hostile_calls_kill_the_supervisor(self):
        # Goal: whoever takes the supervisor over can start nothing, connect to nobody and become
        # nobody else.
        if daemon_case.missing():
            self.skipTest(daemon_case.missing())
        self.open_folder("hf-super-")
        for name, *words in HOSTILE_TO_SUPERVISOR:
            self.start_supervisor()
            children = self.children()
            died, answer = inside.call_inside(self.supervisor, name, *words)
            self.assertEqual(died, signal.SIGSYS, f"{name}: {answer}")
            targets.wait_until(lambda: not any(map(daemon_case.is_alive, children)), "their ends")


if __name__ == "__main__":
    unittest.main()
