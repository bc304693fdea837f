"""The kernels that a guest may boot, and where Debian keeps them.

`6.12` is what Debian 12 users get from its security suite. `7` is the newest of the 7.x series in
trixie-backports: ublk there tells a server's death from its silence at once, and virtio_net knows
AF_XDP zero copy. `7-full` is its flavour with drivers of real cards, igb among them, which the
cloud flavour leaves out. `fault` is that series, built from Debian's source with the kernel's own
fault injection (built_kernel.py).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from . import aptsource, hostpkg

META_6_12 = "linux-image-6.12-cloud-amd64"
_SOURCE = re.compile(r"^(linux-source-7[\d.]+) ", re.MULTILINE)
_MODERN = re.compile(r"^linux-binary-(7\.[\w.+~]+-cloud-amd64) ", re.MULTILINE)
_FULL = re.compile(r"^linux-binary-(7\.[\d.]+[+~]\w+-amd64) ", re.MULTILINE)


@dataclass(frozen=True)
class Kernel:
    """One kernel: its version and the packages to unpack, with `image` somewhere inside."""

    version: str
    packages: tuple
    image: str = ""  # relative to where the packages were unpacked
    is_built: bool = False  # from source, `packages` is then the source; everything is built in
    # Loaded in the initial RAM disk, in this order. Everything else is loaded from the root disk.
    initrd_modules: tuple = ("virtio_blk",)

    @property
    def modules(self):
        """Where the modules lie, relative to the same place, under /lib or /usr/lib."""
        return f"lib/modules/{self.version}"


def newest(search_text, pattern=_MODERN):
    """The highest 7.x version in the output of `apt-cache search`; None if there is none. Pure."""

    def rank(version):
        return [int(number) for number in re.findall(r"\d+", version)]

    return max(pattern.findall(search_text), key=rank, default=None)


def _stable(output):
    depends = output("apt-cache", "depends", META_6_12)
    package = re.search(r"Depends: (linux-image-\S+)", depends).group(1)
    version = package.removeprefix("linux-image-")
    return Kernel(version, (package,), f"boot/vmlinuz-{version}")


def _modern(output, pattern=_MODERN, **more):
    hostpkg.add_suite(aptsource.NEWER_KERNELS)
    version = newest(output("apt-cache", "search", "--names-only", "^linux-binary-7"), pattern)
    if version is None:
        raise hostpkg.HostError(f"the mirror's {aptsource.NEWER_KERNELS} offers no 7.x kernel")
    packages = (f"linux-binary-{version}", f"linux-modules-{version}")
    return Kernel(version, packages, f"usr/lib/modules/{version}/vmlinuz", **more)


def _full(output):
    modules = ("crc16", "mbcache", "jbd2", "ext4", "virtio_blk")
    return _modern(output, _FULL, initrd_modules=modules)


def newest_source(search_text):
    """The package with the newest 7.x source in the output of `apt-cache search`; else None."""

    def rank(package):
        return [int(number) for number in re.findall(r"\d+", package)]

    return max(_SOURCE.findall(search_text), key=rank, default=None)


def _fault(output):
    hostpkg.add_suite(aptsource.NEWER_KERNELS)
    package = newest_source(output("apt-cache", "search", "--names-only", "^linux-source-7"))
    if package is None:
        raise hostpkg.HostError(f"the mirror's {aptsource.NEWER_KERNELS} offers no 7.x source")
    return Kernel(package.removeprefix("linux-source-") + "-fault", (package,), is_built=True)


# Name for --kernel -> how to find it, given a function that runs a command for its output.
ALL: dict[str, Callable] = {"6.12": _stable, "7": _modern, "7-full": _full, "fault": _fault}
DEFAULT = "6.12"
