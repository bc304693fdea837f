"""Builds a guest's kernel from Debian's kernel source, for what no packaged kernel has.

The configuration is the kernel's own for x86-64 guests plus `guest/fault.config`. Everything that
a guest needs is built in; there are no modules. The result, `bzImage` and `config`, is cached in
`.cache/rig/kernel-KEY`, KEY being a hash of the source's version and of that configuration. The
tree in which it is built lies beside it until it is done, so that an interrupted build goes on.
"""

import hashlib
import os
import re
import shutil
import subprocess

from . import hostpkg, paths

CONFIG = paths.GUEST_FILES / "fault.config"

# What compiling a kernel takes.
TOOLS = ("bc", "bison", "flex", "gcc", "libc6-dev", "libelf-dev", "libssl-dev", "make", "xz-utils")

MINUTES = 10  # about, on two CPUs


def missing_settings(wanted_text, config_text):
    """Settings of `wanted_text` that a configuration does not have; each as its line. Pure."""

    def settings(text):
        off = re.findall(r"^# (CONFIG_\w+) is not set", text, re.MULTILINE)
        on = re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.MULTILINE)
        return {**dict(on), **{name: "n" for name in off}}

    wanted, found = settings(wanted_text), settings(config_text)
    # What cannot be switched on at all is as good as off.
    return [f"{name}={value}" for name, value in wanted.items() if found.get(name, "n") != value]


def _make(tree, *words):
    done = subprocess.run(
        ["make", "-s", "-C", tree, *words], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise hostpkg.HostError(f"make {' '.join(words)} failed:\n{done.stderr[-2000:]}")


def _unpack(package, tree, progress):
    """The source in `tree`, configured."""
    scratch = tree.with_suffix(".unpacking")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    progress.say(f"fetching {package}")
    subprocess.run(["dpkg", "-x", hostpkg.download(package, scratch), scratch], check=True)
    archive = next(scratch.glob(f"usr/src/{package}.tar.*"))
    subprocess.run(["tar", "-xf", archive, "-C", scratch], check=True)
    source = scratch / package
    _make(source, "x86_64_defconfig", "kvm_guest.config")
    with open(source / ".config", "a", encoding="ascii") as config:
        config.write(CONFIG.read_text())
    _make(source, "olddefconfig")
    absent = missing_settings(CONFIG.read_text(), (source / ".config").read_text())
    if absent:
        raise hostpkg.HostError(f"{package} does not take {', '.join(absent)}")
    os.rename(source, tree)
    shutil.rmtree(scratch)


def ensure(package, progress):
    """Returns the path of the kernel that is built from the source package `package`."""
    hostpkg.ensure_packages(TOOLS, progress)
    version = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", package],
        capture_output=True, text=True, check=True,
    ).stdout
    key = hashlib.sha256(version.encode() + CONFIG.read_bytes()).hexdigest()[:16]
    target = paths.CACHE / f"kernel-{key}"
    if not (target / "bzImage").is_file():
        tree = paths.CACHE / f"kernel-{key}.tree"
        if not tree.is_dir():
            _unpack(package, tree, progress)
        progress.say(f"building a kernel from {package} (about {MINUTES} minutes)")
        _make(tree, f"-j{os.environ.get('JOBS', '2')}", "bzImage")
        target.mkdir(exist_ok=True)
        shutil.copy(tree / ".config", target / "config")
        shutil.copy(tree / "arch/x86/boot/bzImage", target / "bzImage.new")
        os.rename(target / "bzImage.new", target / "bzImage")
        shutil.rmtree(tree)
    return target / "bzImage"
