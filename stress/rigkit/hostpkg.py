"""Makes the host able to run guests: QEMU 10 and a few tools, from the configured Debian mirror.

Effectful and for root. Every apt call waits for the package lock instead of failing on it.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from . import aptsource

APT = Path("/etc/apt")
OURS = "holdfast-"

# program -> the package that brings it.
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "depmod": "kmod",
    "ip": "iproute2",
    "setpriv": "util-linux",
    "strip": "binutils",
    "tgtd": "tgt",
    "qemu-nbd": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
}

# QEMU 7.2 crashes multi-CPU 6.12 guests under TCG; 10.0 does not.
QEMU_MAJOR_MIN = 10


class HostError(Exception):
    """The host cannot be made ready; the message says what to do."""


def _apt(*args):
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", *args]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise HostError(f"apt-get {' '.join(args)} failed:\n{tail}")


def qemu_major():
    """The installed QEMU's major version; 0 when there is none."""
    program = shutil.which("qemu-system-x86_64")
    if program is None:
        return 0
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"version (\d+)\.", done.stdout)
    return int(match.group(1)) if match else 0


def missing_packages():
    """Packages that have to be installed before a guest can be built and booted."""
    wanted = {package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    if qemu_major() < QEMU_MAJOR_MIN:
        wanted.add("qemu-system-x86")
    return sorted(wanted)


def apt_source_files():
    """The texts of apt's source files as (name, text), ours left out."""
    found = sorted((APT / "sources.list.d").glob("*"))
    files = [path for path in found if not path.name.startswith(OURS)]
    files.append(APT / "sources.list")
    return [(path.name, path.read_text()) for path in files if path.is_file()]


def write_source(name, suite, packages):
    """Adds `suite` next to the configured one; of it, only `packages` are installed unasked.

    Returns whether a file changed.
    """
    source = aptsource.find(apt_source_files())
    wanted = {
        APT / "sources.list.d" / f"{OURS}{name}.sources": aptsource.render(source, suite),
        APT / "preferences.d" / f"{OURS}{name}": aptsource.render_pin(suite, packages),
    }
    changed = False
    for path, text in wanted.items():
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
            changed = True
    return changed


def add_suite(suite):
    """Makes the packages of `suite` known; installs nothing from it. For root."""
    if os.geteuid() != 0:
        raise HostError(f"{suite} is added next to Debian's own suites: run as root")
    if write_source(suite, suite, ()):
        _apt("update")


def download(package, folder):
    """Fetches one package file into `folder` and returns its path."""
    subprocess.run(
        ["apt-get", "-q", "download", package], cwd=folder, check=True, capture_output=True
    )
    return max(folder.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)


def ensure_packages(packages, progress):
    """Installs those of `packages` that are not there."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *packages]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    have = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    missing = [package for package in packages if package not in have]
    if not missing:
        return
    if os.geteuid() != 0:
        raise HostError(f"run as root, or install first: {' '.join(missing)}")
    progress.say(f"installing {' '.join(missing)}")
    _apt("install", "-y", "--no-install-recommends", *missing)


def ensure_lists():
    """Fetches the package lists when the machine has none."""
    if not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
        _apt("update")


def ensure(progress):
    """Installs what is missing. Cheap when nothing is."""
    missing = missing_packages()
    if not missing:
        return
    if os.geteuid() != 0:
        raise HostError(f"run as root, or install first: {' '.join(missing)}")
    progress.say(f"installing {' '.join(missing)}")
    write_source("backports", aptsource.BACKPORTS, aptsource.BACKPORTED)
    _apt("update")
    _apt("install", "-y", "--no-install-recommends", *missing)
    if qemu_major() < QEMU_MAJOR_MIN:
        raise HostError(f"QEMU {QEMU_MAJOR_MIN} is needed, {qemu_major()} is what the mirror gave")
