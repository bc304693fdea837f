"""Real targets for interop tests: tgt and istgt, each with one disk in a file, on loopback.

A target is a context manager: inside it the portal answers, behind it no process is left. Each has
a folder of its own for its disk, its control socket and its log; the disk file can be read while
the target runs, which shows what really arrived there.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

START_LIMIT_S = 20
STOP_LIMIT_S = 10

# Ports of these tests. Each test program takes a part of its own, so that they run side by side.
PORT_FIRST = 13260
PORT_LAST = 13299


class TargetError(Exception):
    """A target did not start or did not take its configuration."""


class Chap:
    """Credentials: ours, and for mutual CHAP the target's."""

    def __init__(self, user, secret, target_user=None, target_secret=None):
        self.user, self.secret = user, secret
        self.target_user, self.target_secret = target_user, target_secret

    @property
    def is_mutual(self):
        return self.target_user is not None


def wait_until(is_ready, what, limit_s=START_LIMIT_S):
    """Polls until is_ready() is true; what must not last is a test's business elsewhere."""
    deadline = time.monotonic() + limit_s
    while not is_ready():
        if time.monotonic() > deadline:
            raise TargetError(f"{what}: not within {limit_s} s")
        time.sleep(0.05)


def is_listening(port, host="127.0.0.1"):
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def has_ipv6():
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


class Target:
    """What both targets share."""

    name = ""
    program = ""
    lun = 0

    def __init__(self, port, size_mib=64, chap=None, digest=None, block_bytes=512, parameters=None,
                 portal_options="", host="127.0.0.1"):
        """digest: None for the target's default, "none", "offer", or "crc32c" for nothing else.
        For tgt only: parameters: negotiation keys to set; portal_options: of the portal."""
        if not PORT_FIRST <= port <= PORT_LAST:
            raise ValueError(f"port {port} is not ours")
        self.port, self.size_mib, self.chap, self.digest = port, size_mib, chap, digest
        self.block_bytes = block_bytes
        self.parameters, self.portal_options = parameters or {}, portal_options
        self.host = host
        self.iqn = f"iqn.2026-01.test.interop:{self.name}"
        self.process = None
        self.folder = None

    @classmethod
    def missing(cls):
        """Why this target cannot run here, or None."""
        if shutil.which(cls.program) is None:
            return f"{cls.program} is not installed (Debian package {cls.name})"
        if os.geteuid() != 0:
            return f"{cls.program} needs root"
        return None

    @property
    def portal(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def disk(self):
        return self.folder / "disk"

    @property
    def size_bytes(self):
        return self.size_mib << 20

    def url(self, lun=None, iqn=None, user=None):
        """iscsi:// URL without a secret, which never stands on a command line."""
        user = user if user is not None else (self.chap.user if self.chap else "")
        at = f"{user}@" if user else ""
        return f"iscsi://{at}{self.portal}/{iqn or self.iqn}/{self.lun if lun is None else lun}"

    def __enter__(self):
        if is_listening(self.port):
            raise TargetError(f"port {self.port} is taken")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"hf-{self.name}-"))
        try:
            with open(self.disk, "wb") as disk:
                disk.truncate(self.size_bytes)
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        """Starts the process on the disk as it is, and configures it."""
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=self.environment(), cwd=self.folder)
        wait_until(lambda: self.is_up() or self.has_died(), f"{self.program} starts")
        if self.has_died():
            raise TargetError(f"{self.program} ended: {self.log_tail()}")
        self.configure()

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_LIMIT_S)
        self.process = None

    def has_died(self):
        return self.process.poll() is not None

    def log_tail(self):
        return (self.folder / "log").read_text(errors="replace")[-400:]

    def environment(self):
        return dict(os.environ)

    def is_up(self):
        return is_listening(self.port, self.host)

    def command(self):
        raise NotImplementedError

    def configure(self):
        """What has to be said to the running process."""


class Tgt(Target):
    """tgt. LUN 0 is its controller, the disk is LUN 1."""

    name = "tgt"
    program = "tgtd"
    lun = 1

    def command(self):
        options = f"portal={self.portal}"
        if self.portal_options:
            options += f",{self.portal_options}"
        return ["tgtd", "-f", "-C", str(self.port), "--iscsi", options]

    def environment(self):
        return dict(os.environ, TGT_IPC_SOCKET=str(self.folder / "control"))

    def admin(self, *arguments):
        ended = subprocess.run(["tgtadm", "-C", str(self.port), "--lld", "iscsi", *arguments],
                               env=self.environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, check=False)
        if ended.returncode != 0:
            raise TargetError(f"tgtadm {' '.join(arguments)}: {ended.stdout.strip()}")
        return ended.stdout

    def configure(self):
        self.admin("--op", "new", "--mode", "target", "--tid", "1", "-T", self.iqn)
        self.admin("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1", "-b",
                   str(self.disk), "--blocksize", str(self.block_bytes))
        if self.digest is not None:
            value = {"crc32c": "CRC32C", "offer": "CRC32C,None", "none": "None"}[self.digest]
            for key in ("HeaderDigest", "DataDigest"):
                self.set_parameter(key, value)
        for key, value in self.parameters.items():
            self.set_parameter(key, value)
        if self.chap:
            self.add_account(self.chap.user, self.chap.secret)
            if self.chap.is_mutual:
                self.add_account(self.chap.target_user, self.chap.target_secret, "--outgoing")
        self.admin("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")

    def set_parameter(self, key, value):
        self.admin("--op", "update", "--mode", "target", "--tid", "1", "--name", key, "--value",
                   value)

    def add_account(self, user, secret, *direction):
        self.admin("--op", "new", "--mode", "account", "--user", user, "--password", secret)
        self.admin("--op", "bind", "--mode", "account", "--tid", "1", "--user", user, *direction)

    def parameters_of_connections(self):
        """What tgt says about its live connections: digests, initiator, ITNs."""
        return self.admin("--op", "show", "--mode", "conn", "--tid", "1")


class Istgt(Target):
    """istgt. The disk is LUN 0."""

    name = "istgt"
    program = "istgt"

    def command(self):
        return ["istgt", "-D", "-q", "-c", str(self.write_configuration())]

    def write_configuration(self):
        method = "None"
        if self.chap:
            method = "CHAP Mutual" if self.chap.is_mutual else "CHAP"
        use_digest = {"none": "None", "crc32c": "Header Data"}.get(self.digest, "Auto")
        accounts = self.folder / "accounts"
        mutual = ""
        if self.chap and self.chap.is_mutual:
            mutual = f' "{self.chap.target_user}" "{self.chap.target_secret}"'
        chap = self.chap or Chap("nobody", "nothing")
        accounts.write_text(f'[AuthGroup1]\n  Auth "{chap.user}" "{chap.secret}"{mutual}\n',
                            encoding="utf-8")
        accounts.chmod(0o600)
        path = self.folder / "configuration"
        path.write_text(ISTGT_CONFIGURATION.format(
            folder=self.folder, port=self.port, iqn=self.iqn, method=method, digest=use_digest,
            disk=self.disk, mib=self.size_mib, block=self.block_bytes), encoding="utf-8")
        return path


ISTGT_CONFIGURATION = """
[Global]
  NodeBase "iqn.2026-01.test.interop"
  PidFile {folder}/pid
  AuthFile {folder}/accounts
  MediaDirectory {folder}
  LogFacility "local7"
  Timeout 30
  NopInInterval 5
  DiscoveryAuthMethod None
  MaxSessions 16
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
  DefaultTime2Wait 2
  DefaultTime2Retain 60
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
  InitialR2T Yes
  ImmediateData Yes
  DataPDUInOrder Yes
  DataSequenceInOrder Yes
  ErrorRecoveryLevel 0

[UnitControl]
  AuthMethod None
  AuthGroup None

[PortalGroup1]
  Portal P1 127.0.0.1:{port}

[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.0/8

[LogicalUnit1]
  TargetName {iqn}
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod {method}
  AuthGroup AuthGroup1
  UseDigest {digest}
  UnitType Disk
  UnitInquiry "HOLDFAST" "INTEROP DISK" "0001" "INTEROP1"
  QueueDepth 32
  BlockLength {block}
  LUN0 Storage {disk} {mib}MB
"""
