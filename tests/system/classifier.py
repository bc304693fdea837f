#!/usr/bin/env python3
"""The classifier in front of a real daemon's interface: two network namespaces, a session between
them, a flood beside it. docs/classifier.md."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

import nbd_client
import targets
from daemon_case import DaemonProcesses, is_alive, missing

IQN = "iqn.2026-01.test.classifier:disk0"
PORT = 3260
HERE_ADDRESS, THERE_ADDRESS = "10.78.31.1", "10.78.31.2"
FLOOD_PORT = 9000
FLOOD_PACKETS = 2000


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


def entering(name):
    return ["nsenter", f"--net=/run/netns/{name}"]


# Refuses one command of bpf(2), BPF_RAW_TRACEPOINT_OPEN, and becomes the real loader.
DEAF_LOADER = """#!{python}
import ctypes, os, struct, sys
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, COMMAND = 0, 16  # Places in struct seccomp_data.
BPF, RAW_TRACEPOINT_OPEN = 321, 17
ALLOW, REFUSE = 0x7FFF0000, 0x00050001  # EPERM.
code = [(LOAD, 0, 0, NUMBER), (EQUAL, 0, 3, BPF), (LOAD, 0, 0, COMMAND),
        (EQUAL, 0, 1, RAW_TRACEPOINT_OPEN), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
rules = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
program = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(rules))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
    sys.exit("no seccomp")
os.execv("{loader}", ["holdfast-loader", *sys.argv[1:]])
"""

# Writes and reads more than its control group may have, until its input ends.
SQUEEZED = """
import os, select, sys
path = sys.argv[1]
with open(path, "w+b") as file:
    os.unlink(path)
    print("ready", flush=True)
    while not select.select([0], [], [], 0)[0]:
        file.seek(0)
        for _ in range(48):
            file.write(bytes(1 << 20))
        file.seek(0)
        while file.read(1 << 20):
            pass
"""


class SmallGroup:
    """A control group with little memory, and somebody in it who wants more. A context manager."""

    def __init__(self, folder):
        self.folder = folder
        v2 = pathlib.Path("/sys/fs/cgroup")
        self.is_v2 = (v2 / "cgroup.controllers").exists()
        base = v2 if self.is_v2 else v2 / "memory"
        self.group = base / f"hf-small-{os.getpid()}"

    def __enter__(self):
        if self.is_v2:
            pathlib.Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+memory")
        self.group.mkdir()
        limit = "memory.max" if self.is_v2 else "memory.limit_in_bytes"
        (self.group / limit).write_text(str(16 << 20))
        enter = f'echo 0 >{self.group}/cgroup.procs && exec python3 -c "$0" "$1"'
        self.processes = [
            subprocess.Popen(["sh", "-c", enter, SQUEEZED, self.folder / f"squeezed{number}"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for number in range(2)]
        for each in self.processes:
            each.stdout.readline()
        return self

    def __exit__(self, *_):
        for each in self.processes:
            each.communicate(b"over")
        self.group.rmdir()


class Classifier(DaemonProcesses):
    def setUp(self):
        if missing():
            self.skipTest(missing())
        self.open_folder("hf-class-")
        self.here, self.there = f"hfc-here-{os.getpid()}", f"hfc-there-{os.getpid()}"
        for name in (self.here, self.there):
            ip("netns", "add", name)
            self.addCleanup(subprocess.run, ["ip", "netns", "del", name], check=False)
        ip("link", "add", "near", "netns", self.here, "type", "veth", "peer", "name", "far",
           "netns", self.there)
        for name, device, address in ((self.here, "near", HERE_ADDRESS),
                                      (self.there, "far", THERE_ADDRESS)):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
            ip("-n", name, "link", "set", device, "up")
            ip("-n", name, "link", "set", "lo", "up")
        self.target = self.start_target()
        self.start_supervisor(inside=entering(self.here))

    def start_target(self):
        return self._run(self.programs / "holdfast-target", "--iqn", IQN, "--lun",
                         "size=16M,cache=on", "--listen", f"{THERE_ADDRESS}:{PORT}",
                         inside=entering(self.there))

    def attach(self, *more, profile="swap"):
        return self.holdfast(
            "attach", "--name", "disk0", "--profile", profile, "--export", "nbd", "--nbd-socket",
            self.folder / "nbd", "--force-tier", "--keep-kernel-reserve", *more,
            f"iscsi://{THERE_ADDRESS}:{PORT}/{IQN}/0")

    def attach_guarded(self, *more, **keys):
        attached = self.attach("--set", "classifier=require", *more, **keys)
        self.assertEqual(attached.returncode, 0, attached.stderr)

    def status(self):
        return json.loads(self.holdfast("status", "--json", "disk0").stdout)["attachments"][0]

    def pressure(self, *mode):
        answer = self.holdfast("pressure", "--json", *mode)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return json.loads(answer.stdout)["classifiers"][0]

    def has_program(self):
        shown = subprocess.run(["ip", "-n", self.here, "link", "show", "near"], check=True,
                               capture_output=True, text=True).stdout
        return "xdp" in shown

    def flood(self, count=FLOOD_PACKETS):
        """Datagrams from the far side to a socket of this host: how many of them arrive."""
        script = (
            "import socket,sys\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"for i in range({count}): s.sendto(b'x' * 64, ('{HERE_ADDRESS}', {FLOOD_PORT}))\n")
        receive = (
            "import socket\n"
            "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            "s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE\n"
            f"s.bind(('{HERE_ADDRESS}', {FLOOD_PORT}))\n"
            "print('ready', flush=True)\n"
            "input()\n"
            "s.settimeout(0.2)\n"
            "n = 0\n"
            "try:\n"
            "    while True: n += len(s.recv(100)) > 0\n"
            "except TimeoutError: print(n)\n")
        with subprocess.Popen([*entering(self.here), "python3", "-c", receive], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as receiver:
            self.assertEqual(receiver.stdout.readline(), "ready\n")
            subprocess.run([*entering(self.there), "python3", "-c", script], check=True)
            return int(receiver.communicate("\n")[0])

    def check_disk(self):
        """Ten blocks there and back."""
        disk = nbd_client.NbdClient(self.folder / "nbd")
        try:
            for block in range(10):
                data = nbd_client.content(block, 7)
                disk.request(nbd_client.WRITE, block, data)
                self.assertEqual(disk.request(nbd_client.READ, block), data)
        finally:
            disk.close()

    # Goal: without pressure other traffic passes, under pressure it is dropped and counted by
    # protocol and port, while the session goes on; off and auto let it pass again.
    def test_pressure_drops_strangers_and_keeps_the_session(self):
        self.attach_guarded()
        shown = self.status()["classifier"]
        self.assertEqual((shown["interface"], shown["xdp"]), ("near", "native"))
        self.assertEqual(shown["flows"], 1)
        self.assertGreater(shown["lease_s"], 10)
        self.assertFalse(shown["pressure"]["is_on"])
        self.assertEqual(self.flood(), FLOOD_PACKETS)
        self.assertTrue(self.pressure("on")["pressure"]["is_on"])
        before = self.pressure()
        self.assertEqual(self.flood(), 0)
        self.check_disk()
        after = self.pressure()
        drops = {(row["protocol"], row["port"]): row["packets"] for row in after["drops"]}
        self.assertEqual(drops[("udp", FLOOD_PORT)], FLOOD_PACKETS)
        moved = {key: after["packets"][key] - before["packets"][key] for key in after["packets"]}
        self.assertGreaterEqual(moved["session_to_kernel"], 20)
        self.assertEqual(self.status()["counters"]["sessions_lost"], 0)
        self.pressure("off")
        self.assertEqual(self.flood(), FLOOD_PACKETS)
        self.pressure("auto")
        self.assertEqual(self.flood(), FLOOD_PACKETS)

    # Goal: a session that is lost under pressure comes back: its new connection, whose port nobody
    # knew, passes, and so does the ARP that it needs.
    # Method: the target dies and is started again, and both sides forget each other's station.
    def test_a_session_comes_back_under_pressure(self):
        self.attach_guarded()
        self.pressure("on")
        ip("-n", self.here, "neigh", "flush", "dev", "near")
        ip("-n", self.there, "neigh", "flush", "dev", "far")
        self.target.kill()
        self.target.wait()
        self.target = self.start_target()
        self.check_disk()
        self.assertEqual(self.status()["counters"]["sessions_established"], 2)
        self.assertGreater(self.pressure()["packets"]["passed_neighbour"], 0)

    # Goal: the death of an I/O process or of control loses neither the classifier nor what it
    # knows; when everything has died nothing is left in front of the interface.
    def test_it_outlives_each_process_but_not_all(self):
        self.attach_guarded()
        self.pressure("on")
        targets.wait_until(lambda: self.status()["watchdog"]["standby"] == "standing", "a standby")
        os.kill(self.status()["watchdog"]["active_pid"], signal.SIGKILL)
        targets.wait_until(lambda: self.status()["watchdog"]["takeovers"] == 1, "a takeover")
        self.check_disk()
        control = [pid for pid in self.children()
                   if pathlib.Path(f"/proc/{pid}/comm").read_text().startswith("holdfast-contro")]
        os.kill(control[0], signal.SIGKILL)
        targets.wait_until(lambda: self.holdfast("list").returncode == 0, "another control")
        targets.wait_until(lambda: "classifier" in self.status(), "the classifier is found")
        self.assertEqual(self.pressure()["pressure"]["mode"], "on")
        self.assertEqual(self.flood(), 0)
        self.assertTrue(self.has_program())
        self.orphans = self.children()
        for pid in [self.supervisor, *self.orphans]:
            os.kill(pid, signal.SIGKILL)
        targets.wait_until(lambda: not self.has_program(), "the program is gone")
        self.assertEqual(self.flood(), FLOOD_PACKETS)

    # Goal: processes that live but do not run lose the lease, and the host is reachable again.
    def test_a_stopped_daemon_does_not_cut_the_host_off(self):
        self.attach_guarded("--set", "standby=false")
        self.pressure("on")
        self.assertEqual(self.flood(), 0)
        self.orphans = self.children()
        for pid in [self.supervisor, *self.orphans]:
            os.kill(pid, signal.SIGSTOP)
        try:
            stopped = time.monotonic()
            targets.wait_until(lambda: self.flood(100) == 100, "everything passes", 25)
            self.assertGreater(time.monotonic() - stopped, 5)
        finally:
            for pid in [*self.orphans, self.supervisor]:
                os.kill(pid, signal.SIGCONT)

    # Goal: where the kernel's reclaim makes no event for us, memory that is short switches the
    # classifier all the same: the supervisor hears of it from PSI. It ends when memory is there.
    # Method: a loader that is refused the events, and a control group that is too small.
    def test_without_reclaim_events_psi_tells(self):
        if not pathlib.Path("/proc/pressure/memory").exists():
            self.skipTest("this kernel has no PSI")
        os.kill(self.supervisor, signal.SIGTERM)
        targets.wait_until(lambda: not is_alive(self.supervisor), "its end")
        self.programs = self.deaf_programs()
        self.start_supervisor(inside=entering(self.here))
        self.attach_guarded()
        self.assertEqual(self.flood(200), 200)
        with SmallGroup(self.folder):
            targets.wait_until(lambda: self.pressure()["pressure"]["is_on"], "PSI's report")
            self.assertEqual(self.flood(200), 0)
            self.check_disk()
            self.assertEqual(self.pressure()["pressure"]["reclaims"], 0, "an event was heard")
        targets.wait_until(lambda: not self.pressure()["pressure"]["is_on"], "its end")
        self.assertEqual(self.flood(200), 200)

    def deaf_programs(self):
        """The daemon's programs in a folder of their own, with another loader."""
        folder = self.folder / "programs"
        folder.mkdir()
        for each in self.programs.iterdir():
            if each.name.startswith("holdfast") and each.name != "holdfast-loader":
                shutil.copy(each, folder / each.name)
        loader = folder / "holdfast-loader"
        loader.write_text(DEAF_LOADER.format(python=sys.executable,
                                             loader=self.programs / "holdfast-loader"))
        loader.chmod(0o755)
        return folder

    # Goal: detached, the interface is as before.
    def test_detach_takes_it_away(self):
        self.attach_guarded(profile="data")
        self.assertTrue(self.has_program())
        self.assertEqual(self.holdfast("detach", "disk0").returncode, 0)
        targets.wait_until(lambda: not self.has_program(), "the program is gone")

    # Goal: where there can be none, "require" refuses with a sentence that says what to change, and
    # "auto" attaches with the same reason in the tier.
    def test_refusals_say_what_to_change(self):
        refused = self.attach("--set", "classifier=require", "--set", "classifier_interface=lo")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("no classifier on lo: its driver has no native XDP", refused.stderr)
        attached = self.attach("--set", "classifier=auto", "--set", "classifier_interface=lo")
        self.assertEqual(attached.returncode, 0, attached.stderr)
        reasons = " / ".join(self.status()["tier_reasons"])
        self.assertIn("no drop gate: its driver has no native XDP", reasons)
        self.assertNotIn("classifier", self.status())

    # Goal: who does not ask for a classifier has none, whatever the profile.
    def test_none_unless_asked_for(self):
        self.assertEqual(self.attach().returncode, 0)
        self.assertFalse(self.has_program())
        self.assertNotIn("classifier", self.status())

    # Goal: of the management port as many packets pass as its rate allows; the rest is counted.
    def test_management_port(self):
        self.attach_guarded("--set", "management_port=2222", "--set", "management_rate=5")
        self.pressure("on")
        script = ("import socket\n"
                  "for i in range(40):\n"
                  "    s = socket.socket()\n"
                  "    s.setblocking(False)\n"
                  f"    s.connect_ex(('{HERE_ADDRESS}', 2222))\n"
                  "    s.close()\n")
        subprocess.run([*entering(self.there), "python3", "-c", script], check=True)
        packets = self.pressure()["packets"]
        self.assertGreaterEqual(packets["passed_management"], 5)
        self.assertGreaterEqual(packets["dropped_management"], 20)


if __name__ == "__main__":
    unittest.main()
