"""The storage side of a run: iSCSI targets, an NBD server, or a plain disk, in the namespace.

A target's blocks live in a sparse file on tmpfs, so that they survive when its process is killed.
"""

import socket
import subprocess
import time
from pathlib import Path

from . import network, paths, processes

IQN = "iqn.2026-01.test.rig:disk0"
ISCSI_PORT = 3260
NBD_PORT = 10809
NBD_EXPORT = "lun0"
MEMORY_DISKS = Path("/dev/shm")
DISK_PREFIX = "hfrig-"

START_LIMIT_S = 15
POWER_OUT_S = 3


class TargetError(Exception):
    """A target did not start or did not take its configuration."""


def sweep_leftovers():
    """Removes memory disks and control sockets of rigs that are gone."""
    for path in MEMORY_DISKS.glob(f"{DISK_PREFIX}*"):
        owner = network.owner_of(path.name)
        if not processes.is_alive(owner):
            Tgt.remove_sockets(Tgt.control_of(owner))
            path.unlink(missing_ok=True)


def wait_until(ready, what, limit_s=START_LIMIT_S):
    """Polls `ready()` until it is true."""
    deadline = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > deadline:
            raise TargetError(f"{what} within {limit_s} s")
        time.sleep(0.1)


class Target:
    """What all storage servers share: a memory disk, a process, start, kill, stop."""

    name = ""
    lun = 0

    def __init__(self, net, log_folder, size_mib, cached=False, programs=None):
        self.net = net
        self.size_mib = size_mib
        self.cached = cached  # with a volatile write cache, where the server can have one
        self.programs = programs  # folder of our own programs; None: the newest build
        self.process = None
        self.disk = MEMORY_DISKS / f"{DISK_PREFIX}{net.name.removeprefix(network.PREFIX)}"
        self.log = open(log_folder / f"target-{self.name}.log", "ab")

    def __enter__(self):
        with open(self.disk, "wb") as disk:
            disk.truncate(self.size_mib << 20)
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()
        self.disk.unlink(missing_ok=True)
        self.log.close()

    @classmethod
    def is_there(cls, programs):
        """Whether the server's program is installed, or built into the folder `programs`."""
        return True

    def command(self):
        """The server's command line, to be run inside the namespace."""
        raise NotImplementedError

    def configure(self):
        """Brings a freshly started server to the point where it serves the disk."""
        self._wait_for_port(ISCSI_PORT)

    def start(self):
        self.process = processes.spawn(
            self.net.inside(*self.command()),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.configure()

    def kill(self):
        """The server dies on the spot, as from `kill -9`."""
        processes.stop(self.process, grace_s=0)

    def stop(self):
        processes.stop(self.process)

    def power_cut(self):
        """Loses the volatile cache and every connection, and comes back at once."""
        raise TargetError(f"{self.name} cannot lose its power")

    def _wait_for_port(self, port):
        def listening():
            if self.process.poll() is not None:
                raise TargetError(f"{self.name} ended with status {self.process.returncode}")
            sockets = processes.run("ip", "netns", "exec", self.net.name, "ss", "-Hltn")
            return any(line.split()[3].endswith(f":{port}") for line in sockets.splitlines())

        wait_until(listening, f"{self.name} is not listening on port {port}")


class Tgt(Target):
    """The target of the Linux SCSI target framework (`tgtd`), as Debian ships it."""

    name = "tgt"
    lun = 1  # LUN 0 is tgt's own controller device.

    def __init__(self, net, log_folder, size_mib, **more):
        super().__init__(net, log_folder, size_mib, **more)
        self.control = self.control_of(network.owner_of(net.name))

    @staticmethod
    def control_of(owner):
        """The number of the control socket, of the run alone. tgtd takes 1 to 32767."""
        return 1000 + int(owner.partition("-")[0]) % 31000

    @staticmethod
    def remove_sockets(control):
        """Removes what a tgtd that was killed leaves behind; the next one would stumble over it."""
        for stale in Path("/var/run/tgtd").glob(f"socket.{control}*"):
            stale.unlink(missing_ok=True)

    def command(self):
        self.remove_sockets(self.control)
        portal = f"portal={network.HOST_ADDRESS}:{ISCSI_PORT}"
        return ["tgtd", "-f", "-C", str(self.control), "--iscsi", portal]

    def _admin(self, *args):
        processes.run("tgtadm", "-C", self.control, "--lld", "iscsi", *args)

    def configure(self):
        self._wait_for_port(ISCSI_PORT)
        self._admin("--op", "new", "--mode", "target", "--tid", "1", "-T", IQN)
        unit = ["--mode", "logicalunit", "--tid", "1", "--lun", str(self.lun)]
        self._admin("--op", "new", *unit, "-b", self.disk)
        self._admin("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")

    def stop(self):
        super().stop()
        self.remove_sockets(self.control)


class Nbd(Target):
    """The NBD peer's server: qemu-nbd, which starts no service on the host."""

    name = "nbd"

    def command(self):
        return [
            *("qemu-nbd", "--format=raw", "--persistent", "--shared=4", "--discard=unmap"),
            *("--bind", network.HOST_ADDRESS, "--port", str(NBD_PORT)),
            *("--export-name", NBD_EXPORT, str(self.disk)),
        ]

    def configure(self):
        self._wait_for_port(NBD_PORT)


class LocalDisk(Target):
    """No server: QEMU itself gives the memory disk to the guest as a second virtio disk."""

    name = "local"

    def start(self):
        pass

    def kill(self):
        raise TargetError("a local disk has no target that could be killed")


class Ram(Target):
    """Holdfast's own RAM target. Its memory is the disk's file, so it outlives the process."""

    name = "ram"
    program = "holdfast-target"
    block_bytes = 512

    @classmethod
    def is_there(cls, programs):
        return paths.newest_program(cls.program, programs) is not None

    def command(self):
        unit = f"id={self.lun},size={self.size_mib}M,block={self.block_bytes},file={self.disk}"
        if self.cached:
            unit += ",cache=on"
        return [
            *(str(paths.newest_program(self.program, self.programs)), "--iqn", IQN),
            *("--listen", f"{network.HOST_ADDRESS}:{ISCSI_PORT}", "--lun", unit),
            *("--log", "-", "--control", str(self.control)),
        ]

    @property
    def control(self):
        """The socket that takes faults; next to the disk, because its path must be short."""
        return self.disk.with_name(self.disk.name + ".control")

    def power_cut(self):
        # Half of the unflushed blocks, at random: what is lost lies between what is kept.
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(START_LIMIT_S)
            control.connect(str(self.control))
            control.sendall(f"power-cut random {POWER_OUT_S}s\n".encode())
            answer = control.recv(4096).decode().strip()
        if not answer.startswith("ok"):
            raise TargetError(f"{self.name} refuses the power cut: {answer}")

    def stop(self):
        super().stop()
        self.control.unlink(missing_ok=True)


ISCSI_TARGETS = {"ram": Ram, "tgt": Tgt}


def choose(initiator, wanted, programs=None, fitting=tuple(ISCSI_TARGETS)):
    """The Target class for an initiator and the `--target` option.

    `fitting` are the iSCSI targets that will do, best first; `wanted` None takes the first of them
    that is there. `programs` is where our own programs are looked for first.
    """
    if initiator == "local":
        return LocalDisk
    if initiator == "nbd":
        return Nbd
    names = fitting if wanted is None else (wanted,)
    for name in names:
        if name in fitting and ISCSI_TARGETS[name].is_there(programs):
            return ISCSI_TARGETS[name]
    raise TargetError(
        f"none of the targets {', '.join(names)} can be used: this needs {' or '.join(fitting)}; "
        f"the target ram is the program {Ram.program}, which has to be built"
    )
