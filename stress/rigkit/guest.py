"""Boots one guest under QEMU (TCG) and turns what it says into facts.

The guest speaks on two channels: the console, which is kept whole and scanned for what the kernel
complains about, and a virtio-serial port that carries lines `RIG key=value` and `LOG name: text`.
Neither is trusted to be complete: a guest that has locked up simply stops talking. Then
`ask_kernel()` still gets answers, because a break on the serial line is served by an interrupt.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import time

from . import network, processes

MEMORY_MIB = 256
CPUS = 2
# Without "fast string" moves: TCG carries REP MOVSB out byte by byte, and a kernel that is told of
# them copies at a third of the speed that its own loops have (docs/rig.md).
CPU_MODEL = "max,-erms,-fsrm"
PORT_NAME = "rig"

# Kernel command line. loglevel=5 keeps warnings on the console, where the rig looks for them.
APPEND = (
    "console=ttyS0 root=/dev/vda panic=-1 mitigations=off net.ifnames=0 loglevel=5 "
    "random.trust_cpu=on tsc=reliable sysrq_always_enabled"
)


# The guest's network card, by name. With the DMA API ("iommu_platform"; legacy devices cannot have
# it) the card reads and writes the frames of an AF_XDP socket itself, where the driver can.
NICS = {
    "virtio": "virtio-net-pci,netdev=n,romfile=",
    "igb": "igb,netdev=n,romfile=",  # With the kernel 7-full.
    "virtio-dma": "virtio-net-pci,netdev=n,romfile=,iommu_platform=on,disable-legacy=on",
}
DEFAULT_NIC = "virtio"

# How long the kernel may talk about one key: a list of tasks takes a while on a serial line.
ANSWER_S = 1.5


def _command(stream, name, **arguments):
    """Sends one command to QEMU's monitor and reads up to its answer."""
    stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
    stream.flush()
    while line := stream.readline():
        if "return" in (answer := json.loads(line)):
            return
        if "error" in answer:
            raise RuntimeError(f"QEMU refuses {name}: {answer['error']['desc']}")


class Guest:
    """One boot. Feed it time with `poll()`, which yields the lines of the port."""

    def __init__(
        self, image, net, folder, payload, disk=None, memory_mib=MEMORY_MIB, nic=DEFAULT_NIC
    ):
        self.image = image
        self.net = net
        self.folder = folder
        self.payload = payload
        self.disk = disk
        self.memory_mib = memory_mib
        self.nic = nic
        self.console = bytearray()
        self.process = None
        self._port_text = b""
        self._selector = selectors.DefaultSelector()
        self._listener = None
        self._port = None

    def command(self, serial="stdio,signal=off", port=None):
        """QEMU's command line, to be run inside the namespace.

        `serial` and `port` are the chardev backends of console and port; the defaults are what
        `__enter__` serves.
        """
        port = port or "socket,path=port"
        drives = [f"file={self.image.root},snapshot=on", f"file={self.payload},readonly=on"]
        if self.disk is not None:
            drives.append(f"file={self.disk}")
        words = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", CPU_MODEL]
        words += ["-smp", str(CPUS), "-m", str(self.memory_mib), "-no-reboot"]
        words += ["-display", "none", "-nodefaults"]
        words += ["-chardev", f"{serial},id=console", "-serial", "chardev:console"]
        words += ["-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)]
        words += ["-append", APPEND]
        for drive in drives:
            words += ["-drive", f"{drive},format=raw,if=virtio,cache=unsafe,discard=unmap"]
        words += ["-netdev", f"tap,id=n,ifname={network.TAP},script=no,downscript=no,vhost=off"]
        words += ["-device", NICS[self.nic]]
        words += ["-device", "virtio-serial-pci"]
        words += ["-chardev", f"{port},id=port"]
        words += ["-device", f"virtserialport,chardev=port,name={PORT_NAME}"]
        words += ["-device", "virtio-rng-pci"]
        words += ["-qmp", "unix:qmp,server=on,wait=off"]
        return words

    def __enter__(self):
        self._listener = socket.socket(socket.AF_UNIX)
        with contextlib.chdir(self.folder):  # a whole path may be too long for a socket address
            self._listener.bind("port")
        self._listener.listen(1)
        self.process = processes.spawn(
            self.net.inside(*self.command()),
            cwd=self.folder,
            env=dict(os.environ, TMPDIR=str(self.folder)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self.process.stdout, selectors.EVENT_READ, self._read_console)
        return self

    def __exit__(self, *exception):
        processes.stop(self.process, grace_s=0)
        self._drain()
        for each in (self._port, self._listener, self.process.stdin, self.process.stdout):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.close()
        self._selector.close()
        (self.folder / "console.log").write_bytes(self.console)

    def _drain(self):
        """Reads what a dead QEMU has left in its pipe."""
        deadline = time.monotonic() + 2
        while self._console_open() and time.monotonic() < deadline:
            list(self.poll(0.1))

    def _console_open(self):
        return any(key.data == self._read_console for key in self._selector.get_map().values())

    def _accept(self):
        self._port, _ = self._listener.accept()
        self._selector.unregister(self._listener)
        self._selector.register(self._port, selectors.EVENT_READ, self._read_port)
        return []

    def _read_console(self):
        data = os.read(self.process.stdout.fileno(), 65536)
        if not data:
            self._selector.unregister(self.process.stdout)
        self.console += data
        return []

    def _read_port(self):
        data = self._port.recv(65536)
        if not data:
            self._selector.unregister(self._port)
        *lines, self._port_text = (self._port_text + data).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in lines]

    def poll(self, limit_s):
        """Waits up to `limit_s` seconds and yields the port's lines that came in."""
        for key, _ in self._selector.select(limit_s):
            yield from key.data()

    def is_running(self):
        """Whether QEMU still runs and still has its console open."""
        return self.process.poll() is None and self._console_open()

    def crash(self):
        """QEMU's last words when QEMU itself failed; empty when it did not. A panic is no crash."""
        if self.process.poll() in (None, 0, -signal.SIGKILL):
            return ""
        words = [line for line in self.console_text().splitlines() if "qemu-system" in line]
        return words[-1] if words else f"QEMU ended with status {self.process.returncode}"

    def tell(self, text):
        """Sends one line to the guest's port; dropped when the guest has not opened it yet."""
        self.send(text.encode() + b"\n")

    def send(self, data):
        """The same with bytes."""
        if self._port is not None:
            self._port.sendall(data)

    def ask_kernel(self, keys, answer_s=ANSWER_S):
        """Presses SysRq and each of `keys` on the console and collects the answers.

        Works on a guest that has locked up, as long as its kernel takes interrupts.
        """
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(answer_s)
            with contextlib.chdir(self.folder):
                monitor.connect("qmp")
            stream = monitor.makefile("rw")
            stream.readline()
            _command(stream, "qmp_capabilities")
            for key in keys:
                _command(stream, "chardev-send-break", id="console")
                self.process.stdin.write(key.encode())
                self.process.stdin.flush()
                deadline = time.monotonic() + answer_s
                while time.monotonic() < deadline:
                    list(self.poll(0.1))

    def console_text(self):
        """Everything the console has said so far."""
        return self.console.decode(errors="replace")
