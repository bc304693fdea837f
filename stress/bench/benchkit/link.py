"""A link of its own: two network namespaces, joined by a veth pair, or by two pairs and a
delay-line between them. Needs root; everything of it ends with the `with` block."""

import array
import contextlib
import fcntl
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys

OURS, THEIRS = "192.0.2.1", "192.0.2.2"
SIOCETHTOOL = 0x8946
# Transmit checksums, TCP segmentation, generic segmentation. Packets cross a veth pair as the
# sender's kernel made them, so without checksums and joined unless these are off.
OFFLOADS = (0x17, 0x1f, 0x24)


class LinkError(Exception):
    """The link cannot be had here."""


def missing():
    """Why there can be no such link here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "ip is not installed (Debian package iproute2)"
    return None


def switch_off_offloads(interface):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in OFFLOADS:
            value = array.array("I", [command, 0])
            request = struct.pack("16sP16x", interface.encode(), value.buffer_info()[0])
            fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def ip(*words):
    ended = subprocess.run(["ip", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, check=False)
    if ended.returncode != 0:
        raise LinkError(f"ip {' '.join(words)}: {ended.stdout.strip()}")


class Link:
    """`ours` and `theirs` are prefixes of commands that run at either end."""

    def __init__(self, name):
        self.names = [f"{name}-{end}" for end in ("ours", "theirs", "between")]
        self.ours, self.theirs, self.between = (["ip", "netns", "exec", n] for n in self.names)

    def interface(self, place, name, address=None, mtu=None):
        space = self.names[place]
        if mtu:
            ip("-n", space, "link", "set", name, "mtu", str(mtu))
        if address:
            ip("-n", space, "addr", "add", f"{address}/24", "dev", name)
        ip("-n", space, "link", "set", name, "up")
        ip("-n", space, "link", "set", "lo", "up")
        subprocess.run(["ip", "netns", "exec", space, sys.executable, "-B", __file__, name],
                       check=True)


def set_congestion(link, name):
    for end in (link.ours, link.theirs):
        ended = subprocess.run([*end, "sysctl", "-qw", f"net.ipv4.tcp_congestion_control={name}"],
                               stderr=subprocess.DEVNULL, check=False)
        if ended.returncode != 0:
            raise LinkError(f"no congestion control {name} in a namespace; add it to the sysctl "
                            "net.ipv4.tcp_allowed_congestion_control")


@contextlib.contextmanager
def made(program=None, delay_us=0, loss_ppm=0, reorder_ppm=0, congestion=None, mtu=None):
    """A Link. With any of the numbers `program`, delay-line, is between the ends. `congestion`: of
    the kernels' TCP at both ends; None: what this machine has. `mtu`: of all interfaces."""
    name = f"hf{os.getpid()}"
    link = Link(name)
    has_line = bool(delay_us or loss_ppm or reorder_ppm)
    line = None
    try:
        for space in link.names:
            ip("netns", "add", space)
        ours, theirs, between = link.names
        if congestion:
            set_congestion(link, congestion)
        if has_line:
            ip("-n", ours, "link", "add", "hf0", "type", "veth", "peer", "name", "m0", "netns",
               between)
            ip("-n", theirs, "link", "add", "hf1", "type", "veth", "peer", "name", "m1", "netns",
               between)
            link.interface(2, "m0", mtu=mtu)
            link.interface(2, "m1", mtu=mtu)
        else:
            ip("-n", ours, "link", "add", "hf0", "type", "veth", "peer", "name", "hf1", "netns",
               theirs)
        link.interface(0, "hf0", OURS, mtu)
        link.interface(1, "hf1", THEIRS, mtu)
        if has_line:
            line = subprocess.Popen([*link.between, str(program), "m0", "m1", str(delay_us),
                                     str(loss_ppm), str(reorder_ppm)], stdout=subprocess.PIPE)
            if line.stdout.readline() != b"forwarding\n":
                raise LinkError("delay-line does not start")
        yield link
    finally:
        if line:
            line.kill()
            line.communicate()
        for space in link.names:
            if pathlib.Path(f"/run/netns/{space}").exists():
                ip("netns", "del", space)


@contextlib.contextmanager
def target_on(link, program, log, *words):
    """The RAM target at the other end, on port 3260; yields the URL of its LUN."""
    iqn = "iqn.2026-01.test.link:ram"
    command = [*link.theirs, str(program), "--listen", f"{THEIRS}:3260", "--iqn", iqn, *words]
    with open(log, "wb") as output, subprocess.Popen(command, stdout=subprocess.PIPE,
                                                     stderr=output) as target:
        try:
            if b"listening" not in target.stdout.readline():
                raise LinkError("the target does not start")
            yield f"iscsi://{THEIRS}/{iqn}/0"
        finally:
            target.kill()
            target.wait()


if __name__ == "__main__":
    switch_off_offloads(sys.argv[1])
