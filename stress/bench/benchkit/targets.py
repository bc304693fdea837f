"""The targets that clients are measured against: tgt, and our RAM target, each on loopback with one
disk in memory. A target is a context manager; behind it no process is left."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from benchkit import places

START_LIMIT_S = 20
STOP_LIMIT_S = 10
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class TargetError(Exception):
    """A target did not start."""


class Target:
    """What both targets share."""

    name = ""
    lun = 0

    def __init__(self, port, size_mib=256):
        self.port, self.size_mib = port, size_mib
        self.iqn = f"iqn.2026-01.net.holdfast:bench-{self.name}"
        self.folder = None
        self.process = None

    @property
    def url(self):
        return f"iscsi://127.0.0.1:{self.port}/{self.iqn}/{self.lun}"

    def __enter__(self):
        # /dev/shm is memory, so that no disk is measured.
        where = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=where))
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_LIMIT_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        raise NotImplementedError

    def cpu_seconds(self):
        """User and system time of the whole process so far."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


class Ram(Target):
    """holdfast-target. Its disk is filled, so that reads copy memory and not the zero page."""

    name = "ram"

    def __init__(self, port, size_mib=256, build=None):
        super().__init__(port, size_mib)
        self.program = places.built("holdfast-target", build)

    def start(self):
        if self.program is None:
            raise TargetError("holdfast-target is not built: cmake --build build --target "
                              "holdfast-target")
        disk = self.folder / "disk"
        fill(disk, self.size_mib)
        self.process = subprocess.Popen(
            [str(self.program), "--listen", f"127.0.0.1:{self.port}", "--iqn", self.iqn, "--lun",
             f"id=0,size={self.size_mib}M,file={disk}"], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening"):
            raise TargetError("holdfast-target did not start")


class Tgt(Target):
    """tgtd with a file in /dev/shm. LUN 0 is its controller, the disk is LUN 1."""

    name = "tgt"
    lun = 1

    def start(self):
        if shutil.which("tgtd") is None:
            raise TargetError("tgtd is not installed (Debian package tgt)")
        disk = self.folder / "disk"
        fill(disk, self.size_mib)
        self.environment = dict(os.environ, TGT_IPC_SOCKET=str(self.folder / "control"))
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["tgtd", "-f", "-C", str(self.port), "--iscsi", f"portal=127.0.0.1:{self.port}"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment)
        deadline = time.monotonic() + START_LIMIT_S
        while self.admin("--op", "show", "--mode", "target") != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise TargetError("tgtd did not start: " + (self.folder / "log").read_text()[-300:])
            time.sleep(0.05)
        done = [
            self.admin("--op", "new", "--mode", "target", "--tid", "1", "-T", self.iqn),
            self.admin("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b",
                       str(disk)),
            self.admin("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL"),
        ]
        if any(done):
            raise TargetError("tgtd refuses its configuration")

    def admin(self, *arguments):
        return subprocess.run(["tgtadm", "-C", str(self.port), "--lld", "iscsi", *arguments],
                              env=self.environment, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode


def fill(path, size_mib):
    """Random content, so that every page exists."""
    block = os.urandom(1 << 20)
    with open(path, "wb") as disk:
        for _ in range(size_mib):
            disk.write(block)


KINDS = {"ram": Ram, "tgt": Tgt}
