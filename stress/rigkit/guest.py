"""Boots one guest under QEMU (TCG) and turns what it says into facts.

The guest speaks on two channels: the console, which is kept whole and scanned for what the kernel
complains about, and a virtio-serial port that carries lines `RIG key=value` and `LOG name: text`.
Neither is trusted to be complete: a guest that has locked up simply stops talking.
"""

import os
import selectors
import socket
import subprocess
import time

from . import network, processes

MEMORY_MIB = 256
CPUS = 2
PORT_NAME = "rig"

# Kernel command line. loglevel=5 keeps warnings on the console, where the rig looks for them.
APPEND = (
    "console=ttyS0 root=/dev/vda panic=-1 mitigations=off net.ifnames=0 loglevel=5 "
    "random.trust_cpu=on tsc=reliable"
)


class Guest:
    """One boot. Feed it time with `poll()`, which yields the lines of the port."""

    def __init__(self, image, net, folder, payload, disk=None, memory_mib=MEMORY_MIB):
        self.image = image
        self.net = net
        self.folder = folder
        self.payload = payload
        self.disk = disk
        self.memory_mib = memory_mib
        self.console = bytearray()
        self.process = None
        self._port_text = b""
        self._selector = selectors.DefaultSelector()
        self._listener = None
        self._port = None

    def command(self, serial="stdio", port=None):
        """QEMU's command line, to be run inside the namespace.

        `serial` is where the console goes, `port` a chardev backend for the guest's port; the
        defaults are what `__enter__` serves.
        """
        port = port or f"socket,path={self.folder / 'port'}"
        drives = [f"file={self.image.root},snapshot=on", f"file={self.payload},readonly=on"]
        if self.disk is not None:
            drives.append(f"file={self.disk}")
        words = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"]
        words += ["-smp", str(CPUS), "-m", str(self.memory_mib), "-no-reboot"]
        words += ["-display", "none", "-nodefaults", "-serial", serial]
        words += ["-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)]
        words += ["-append", APPEND]
        for drive in drives:
            words += ["-drive", f"{drive},format=raw,if=virtio,cache=unsafe,discard=unmap"]
        words += ["-netdev", f"tap,id=n,ifname={network.TAP},script=no,downscript=no,vhost=off"]
        words += ["-device", "virtio-net-pci,netdev=n,romfile="]
        words += ["-device", "virtio-serial-pci"]
        words += ["-chardev", f"{port},id=port"]
        words += ["-device", f"virtserialport,chardev=port,name={PORT_NAME}"]
        words += ["-device", "virtio-rng-pci"]
        return words

    def __enter__(self):
        self._listener = socket.socket(socket.AF_UNIX)
        # The path may be longer than a socket address holds, so it is bound by its short name.
        here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.chdir(self.folder)
            self._listener.bind("port")
        finally:
            os.fchdir(here)
            os.close(here)
        self._listener.listen(1)
        self.process = processes.spawn(
            self.net.inside(*self.command()),
            cwd=self.folder,
            env=dict(os.environ, TMPDIR=str(self.folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self.process.stdout, selectors.EVENT_READ, self._read_console)
        return self

    def __exit__(self, *exception):
        processes.stop(self.process, grace_s=0)
        self._drain()
        for each in (self._port, self._listener, self.process and self.process.stdout):
            if each is not None:
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

    def tell(self, text):
        """Sends one line to the guest's port; dropped when the guest has not opened it yet."""
        if self._port is not None:
            self._port.sendall(text.encode() + b"\n")

    def console_text(self):
        """Everything the console has said so far."""
        return self.console.decode(errors="replace")
