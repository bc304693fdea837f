"""The kernels that a guest may boot, and where Debian keeps them.

`6.12` is what Debian 12 users get from its security suite. `7` is the newest of the 7.x series in
trixie-backports: ublk there tells a server's death from its silence at once, and virtio_net knows
AF_XDP zero copy.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from . import aptsource, hostpkg

META_6_12 = "linux-image-6.12-cloud-amd64"
_MODERN = re.compile(r"^linux-binary-(7\.[\w.+~]+-cloud-amd64) ", re.MULTILINE)


@dataclass(frozen=True)
class Kernel:
    """One kernel: its version and the packages to unpack, with `image` somewhere inside."""

    version: str
    packages: tuple
    image: str  # relative to where the packages were unpacked

    @property
    def modules(self):
        """Where the modules lie, relative to the same place, under /lib or /usr/lib."""
        return f"lib/modules/{self.version}"


def newest(search_text):
    """The highest 7.x version in the output of `apt-cache search`; None if there is none. Pure."""

    def rank(version):
        return [int(number) for number in re.findall(r"\d+", version)]

    return max(_MODERN.findall(search_text), key=rank, default=None)


def _stable(output):
    depends = output("apt-cache", "depends", META_6_12)
    package = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
    version = package.removeprefix("linux-image-")
    return Kernel(version, (package,), f"boot/vmlinuz-{version}")


def _modern(output):
    hostpkg.add_suite(aptsource.NEWER_KERNELS)
    version = newest(output("apt-cache", "search", "--names-only", "^linux-binary-7"))
    if version is None:
        raise hostpkg.HostError(f"the mirror's {aptsource.NEWER_KERNELS} offers no 7.x kernel")
    packages = (f"linux-binary-{version}", f"linux-modules-{version}")
    return Kernel(version, packages, f"usr/lib/modules/{version}/vmlinuz")


# Name for --kernel -> how to find it, given a function that runs a command for its output.
ALL: dict[str, Callable] = {"6.12": _stable, "7": _modern}
DEFAULT = "6.12"
