"""One network namespace per run: a tap for the guest, the host side at 10.77.0.1/24.

Nothing outside the namespace is touched, so runs do not see each other or the machine's network.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess

from . import processes

PREFIX = "hfrig-"
TAP = "tap0"
HOST_ADDRESS = "10.77.0.1"
GUEST_ADDRESS = "10.77.0.2"
MASK_BITS = 24

CLONE_NEWNET = 0x40000000  # linux/sched.h


def sweep_leftovers():
    """Removes namespaces, and whatever still runs inside them, of rigs that are gone."""
    for line in processes.run("ip", "netns", "list").splitlines():
        name = line.split()[0] if line.split() else ""
        if name.startswith(PREFIX) and not processes.is_alive(owner_of(name)):
            _remove(name)


def owner_of(name):
    """The owner's tag in a name of the form PREFIX PID-TICKS-NUMBER."""
    return "-".join(name.removeprefix(PREFIX).split("-")[:2])


def _remove(name):
    command = ["ip", "netns", "pids", name]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    for pid in found.stdout.split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _set_namespace(namespace):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


class Network:
    """A namespace with the guest's cable in it. Use as a context manager."""

    _count = 0

    def __init__(self):
        Network._count += 1
        self.name = f"{PREFIX}{processes.owner_tag()}-{Network._count}"

    def __enter__(self):
        try:
            self._set_up()
        except BaseException:
            _remove(self.name)
            raise
        return self

    def __exit__(self, *exception):
        _remove(self.name)

    @contextlib.contextmanager
    def entered(self):
        """The calling thread, and what it starts meanwhile, is inside the namespace."""
        with open("/proc/thread-self/ns/net", "rb") as home:
            with open(f"/run/netns/{self.name}", "rb") as namespace:
                _set_namespace(namespace)
            try:
                yield
            finally:
                _set_namespace(home)

    def _set_up(self):
        processes.run("ip", "netns", "add", self.name)
        self._ip("link", "set", "lo", "up")
        processes.run(*self.inside("ip", "tuntap", "add", "dev", TAP, "mode", "tap", "vnet_hdr"))
        self._ip("address", "add", f"{HOST_ADDRESS}/{MASK_BITS}", "dev", TAP)
        self.link_up()

    def _ip(self, *args):
        processes.run("ip", "-n", self.name, *args)

    def inside(self, *command):
        """The command line that runs `command` inside the namespace."""
        return ["ip", "netns", "exec", self.name, *command]

    def sent_to_guest(self):
        """(packets that QEMU took, packets dropped because it did not take them in time)."""
        out = processes.run("ip", "-n", self.name, "-j", "-s", "link", "show", TAP)
        counts = json.loads(out)[0]["stats64"]["tx"]
        return counts["packets"], counts["dropped"]

    def tcp_counters(self):
        """What the host's own TCP counts in here, by the kernel's names."""
        found = {}
        text = processes.run(*self.inside("cat", "/proc/net/snmp", "/proc/net/netstat"))
        lines = [line.split() for line in text.splitlines()]
        for names, counts in zip(lines[::2], lines[1::2]):
            if names[0] in ("Tcp:", "TcpExt:"):
                found |= dict(zip(names[1:], map(int, counts[1:])))
        return found

    def link_down(self):
        """Pulls the cable."""
        self._ip("link", "set", TAP, "down")

    def link_up(self):
        """Plugs the cable in."""
        self._ip("link", "set", TAP, "up")
