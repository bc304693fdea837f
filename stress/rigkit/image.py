"""Builds what every guest boots from: kernel, initial RAM disk and root disk. Cached by content.

One folder `.cache/rig/image-KEY` holds `vmlinuz`, `initrd`, `root.ext4` and `manifest.json`. KEY is
a hash of the recipe (this file, the guest's init, the package list) and of the versions that the
configured mirror offers, so an image is never out of step with what the project says.
"""

import contextlib
import fcntl
import hashlib
import json
import lzma
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from . import aptsource, built_kernel, cpio, hostpkg, kernels, paths

BUSYBOX = "busybox-static"

# What the guest's root contains beyond Debian's minimal base. The libraries are those that
# Holdfast's programs may be linked with.
GUEST_PACKAGES = (
    "e2fsprogs",
    "ethtool",
    "fio",
    "iproute2",
    "kmod",
    "libbpf1",
    "libfmt9",
    "libisal2",
    "libjemalloc2",
    "libnettle8",
    "libseccomp2",
    "libstdc++6",
    "liburing2",
    "nbd-client",
    "open-iscsi",
    "procps",
    "stress-ng",
    "strace",
    "udev",
    "util-linux",
)

# Left out of the root disk: nobody reads them there.
EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class Image:
    """A finished guest image; `folder` is read only by convention."""

    folder: Path
    kernel_version: str

    @property
    def kernel(self):
        return self.folder / "vmlinuz"

    @property
    def initrd(self):
        return self.folder / "initrd"

    @property
    def root(self):
        return self.folder / "root.ext4"


def candidates(policy_text):
    """Reads `apt-cache policy` output into {package: candidate version}. Pure."""
    found, package = {}, None
    for line in policy_text.splitlines():
        if line and not line[0].isspace() and line.endswith(":"):
            package = line[:-1]
        match = re.match(r"\s+Candidate: (\S+)", line)
        if match and package and match.group(1) != "(none)":
            found[package] = match.group(1)
    return found


def image_key(recipe_parts, versions):
    """The name under which an image of these inputs is cached. Pure."""
    digest = hashlib.sha256()
    for part in recipe_parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    digest.update(json.dumps(versions, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _output(*command):
    environment = dict(os.environ, LC_ALL="C")
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


def _versions(kernel):
    names = [*GUEST_PACKAGES, *kernel.packages, BUSYBOX]
    found = candidates(_output("apt-cache", "policy", *names))
    absent = [name for name in names if name not in found]
    if absent:
        raise hostpkg.HostError(
            f"the mirror offers no {', '.join(absent)}; check that the security suite is configured"
        )
    return found


def _recipe_parts(kernel):
    here = Path(__file__)
    files = [here, here.with_name("kernels.py")]
    files += [paths.GUEST_FILES / "init", paths.GUEST_FILES / "initrd-init"]
    if kernel.is_built:
        files += [here.with_name("built_kernel.py"), built_kernel.CONFIG]
    return [path.read_bytes() for path in files]


def _mirror_file(folder):
    """A source file for the guest's own suites, taken from what the host uses."""
    stanzas = []
    for suite in (aptsource.SUITE, f"{aptsource.SUITE}-updates", f"{aptsource.SUITE}-security"):
        with contextlib.suppress(aptsource.SourceMissing):
            source = aptsource.find(hostpkg.apt_source_files(), suite)
            stanzas.append(aptsource.render(source, suite))
    path = folder / "guest.sources"
    path.write_text("\n".join(stanzas))
    return path


def _make_root(folder, progress):
    root = folder / "root"
    progress.say("building the guest's root folder (about a minute)")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root"]
    command += [f"--include={','.join(GUEST_PACKAGES)}"]
    command += [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
    command += [aptsource.SUITE, str(root), str(_mirror_file(folder))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise hostpkg.HostError("mmdebstrap failed:\n" + done.stderr[-2000:])
    return root


def _install_kernel(kernel, root, folder, progress):
    """Puts the modules into `root`; returns (module folder or None, path of the kernel)."""
    if kernel.is_built:
        return None, built_kernel.ensure(kernel.packages[0], progress)
    unpacked = folder / "kernel"
    for package in kernel.packages:
        progress.say(f"fetching {package}")
        subprocess.run(["dpkg", "-x", hostpkg.download(package, folder), unpacked], check=True)
    modules = next(unpacked.glob(f"**/{kernel.modules}"))
    # A copy, never an unpack over the root: the package's /lib would replace the link to usr/lib.
    target = root / "usr" / kernel.modules
    shutil.copytree(modules, target, symlinks=True, ignore=shutil.ignore_patterns("vmlinuz"))
    subprocess.run(["depmod", "-b", root, kernel.version], check=True, capture_output=True)
    return target, unpacked / kernel.image


def _make_initrd(names, modules, folder):
    unpacked = folder / "busybox"
    subprocess.run(["dpkg", "-x", hostpkg.download(BUSYBOX, folder), unpacked], check=True)
    busybox = next(path for path in unpacked.glob("**/bin/busybox"))
    entries = [
        cpio.Entry(name, cpio.FOLDER, 0o755)
        for name in ("bin", "dev", "modules", "proc", "root", "sys")
    ]
    entries.append(cpio.Entry("dev/console", cpio.CHAR_DEVICE, 0o600, device=(5, 1)))
    entries.append(cpio.Entry("bin/busybox", mode=0o755, data=busybox.read_bytes()))
    init = (paths.GUEST_FILES / "initrd-init").read_bytes()
    entries.append(cpio.Entry("init", mode=0o755, data=init))
    for order, name in enumerate(names if modules is not None else ()):
        module = next(modules.glob(f"**/{name}.ko*"))
        data = module.read_bytes()
        if module.suffix == ".xz":
            data = lzma.decompress(data)
        entries.append(cpio.Entry(f"modules/{order:02}-{name}.ko", data=data))
    return cpio.archive(entries)


def make_disk(tree, path, spare_mib):
    """Makes an ext4 disk at `path` that holds the folder `tree` and `spare_mib` of free space."""
    used = int(_output("du", "-sk", "--apparent-size", str(tree)).split()[0])
    files = sum(len(names) for _, _, names in os.walk(tree))
    size_kib = used + used // 8 + files * 4 + spare_mib * 1024
    with open(path, "wb") as disk:
        disk.truncate((size_kib + 1023) // 1024 * 1024 * 1024)
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", tree, path], check=True, capture_output=True
    )


def _finish_root(root):
    for folder in ("payload", "mnt/lun"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    init = root / "usr/sbin/init"
    init.unlink(missing_ok=True)
    init.write_bytes((paths.GUEST_FILES / "init").read_bytes())
    init.chmod(0o755)
    for junk in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / junk, ignore_errors=True)


def _build(target, kernel, versions, progress):
    paths.CACHE.mkdir(parents=True, exist_ok=True)
    # Through a link mmdebstrap does not find its own mounts again, and leaves them.
    with tempfile.TemporaryDirectory(dir=paths.CACHE.resolve(), prefix="making-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        root = _make_root(folder, progress)
        modules, binary = _install_kernel(kernel, root, folder, progress)
        _finish_root(root)
        made = folder / "image"
        made.mkdir()
        shutil.copy(binary, made / "vmlinuz")
        (made / "initrd").write_bytes(_make_initrd(kernel.initrd_modules, modules, folder))
        progress.say("packing the root disk")
        make_disk(root, made / "root.ext4", spare_mib=128)
        manifest = {"kernel": kernel.version, "packages": versions}
        (made / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        os.rename(made, target)


def ensure(progress, kernel_name=kernels.DEFAULT):
    """Returns the Image with that kernel for the current recipe, building it if it must."""
    hostpkg.ensure(progress)
    hostpkg.ensure_lists()
    kernel = kernels.ALL[kernel_name](_output)
    versions = _versions(kernel)
    target = paths.CACHE / f"image-{image_key(_recipe_parts(kernel), versions)}"
    paths.CACHE.mkdir(parents=True, exist_ok=True)
    with open(paths.CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "manifest.json").is_file():
            _build(target, kernel, versions, progress)
            progress.say(f"guest image ready: {target.relative_to(paths.PROJECT)}")
    manifest = json.loads((target / "manifest.json").read_text())
    return Image(folder=target, kernel_version=manifest["kernel"])
