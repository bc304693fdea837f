"""The programs under test, and how each is asked for an I/O.

Any other program is called as `CMD KIND URL [--length N]`, with the data of a write on
its standard input and that of a read on its standard output; it ends with 0 when it did what was
asked, and with 77 when it cannot do this kind. Credentials stand in the URL.
"""

import dataclasses
import os
import pathlib
import shlex
import subprocess

from . import negotiation

BOOLEANS = {"Yes": "true", "No": "false"}
PROJECT = pathlib.Path(__file__).resolve().parents[3]
CANNOT = 77


class PlaceError(Exception):
    """Where the initiator is to run cannot be had; the message says why."""


@dataclasses.dataclass
class Initiator:
    """`commands`: kind of I/O -> arguments, with {url}, {size}, {file} to be filled in.
    `gives_data`: kinds whose data is compared. `reads_file`: the data goes through {file}."""

    name: str
    about: str
    commands: dict
    gives_data: tuple = ()
    is_any: bool = False
    version_command: tuple = ()
    mutual_options: tuple = ()  # For mutual CHAP: {user} and {file}, a file with the secret.
    # What it can be told to negotiate: RFC key -> (option with {value}, the most it can do).
    wishes: dict = dataclasses.field(default_factory=dict)
    # Makes the context manager in which it runs, for one that does not run on this host.
    place: object = None
    known_version: str = ""

    def command(self, kind, url, size, file):
        """None: it cannot do this."""
        if self.is_any:
            more = [] if kind == "write" else ["--length", str(size)]
            return [*self.commands["any"], kind, url, *more]
        words = self.commands.get(kind)
        if words is None:
            return None
        given = {"url": url, "size": str(size), "file": file, "kind": kind,
                 "discovery": "/".join(url.split("/")[:3])}
        return [word.format_map(given) for word in words]

    def version(self):
        """What it calls itself, on one line."""
        if self.known_version:
            return self.known_version
        try:
            said = subprocess.run(self.version_command or ["false"], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, timeout=20, check=False).stdout
        except (OSError, subprocess.TimeoutExpired):
            said = b""
        lines = said.decode("utf-8", "replace").splitlines()
        return lines[0].strip() if lines else "version unknown"

    def wished(self, needs):
        """Words that make it negotiate what a case needs, as far as it can."""
        words = []
        for key, sign, wanted in needs:
            option, most = self.wishes.get(key, ("", None))
            if not option or sign not in ("=", ">="):
                continue
            value = BOOLEANS.get(wanted, wanted)
            if most is not None:
                value = min(int(wanted), most)
            words += [word.format_map({"value": value}) for word in option.split()]
        return words

    @property
    def is_mutual(self):
        return bool(self.mutual_options)

    def mutual(self, command, folder):
        """The same command, which also wants the target's proof."""
        secret = folder / "target-secret"
        secret.touch(mode=0o600)
        secret.write_text(negotiation.TARGET_SECRET + "\n", encoding="ascii")
        given = {"user": negotiation.TARGET_USER, "file": str(secret)}
        return command + [word.format_map(given) for word in self.mutual_options]


def newest(name):
    """The newest build of a program of ours."""
    folders = [os.environ.get("HF_BIN", "")] if os.environ.get("HF_BIN") else []
    folders += [PROJECT / "build" / one / "bin" for one in ("release", "debug")]
    found = [path for one in folders if (path := pathlib.Path(one) / name).is_file()]
    return str(found[0] if os.environ.get("HF_BIN") and found else max(
        found, key=lambda path: path.stat().st_mtime, default=name))


def holdfast(words=()):
    """`words`: how to call the client, where it is not the newest build."""
    words = list(words) or [newest("holdfast")]
    once = ["--timeout", "10", "--patience", "12"]
    return Initiator(
        "holdfast", "the client of this project",
        {"read": [*words, "read", "{url}", "--length", "{size}", *once],
         "write": [*words, "write", "{url}", *once],
         "verify": [*words, "verify", "{url}", "--length", "{size}", *once],
         "discover": [*words, "discover", "{discovery}"],
         "inquiry": [*words, "read", "{url}", "--length", "512", *once]},
        ("read", "write"), version_command=(*words, "version"),
        mutual_options=("--mutual-user", "{user}", "--mutual-password-file", "{file}"),
        wishes={"ErrorRecoveryLevel": ("--set negotiation.error_recovery_level={value}", 2),
                "MaxConnections": ("--set connections={value}", 8),
                "MaxOutstandingR2T": ("--set negotiation.max_outstanding_r2t={value}", 8),
                "DataPDUInOrder": ("--set negotiation.data_pdu_in_order={value}", None),
                "DataSequenceInOrder": ("--set negotiation.data_sequence_in_order={value}", None)})


def versions_of(*packages):
    return ("dpkg-query", "-W", "-f", "${Package} ${Version} ", *packages)


def libiscsi():
    return Initiator(
        "libiscsi", "Debian's libiscsi-bin, and libiscsi inside QEMU for reads and writes",
        {"read": ["qemu-img", "dd", "-f", "raw", "-O", "raw", "bs={size}", "count=1",
                  "if={url}", "of={file}"],
         "write": ["qemu-io", "-f", "raw", "-c", "write -s {file} 0 {size}", "{url}"],
         "discover": ["iscsi-ls", "{discovery}"],
         "inquiry": ["iscsi-inq", "{url}"],
         "verify": None},
        ("read", "write"), version_command=versions_of("libiscsi7", "libiscsi-bin", "qemu-utils"))


def guest_place():
    from . import guest  # Here, because it needs the rig, which no other preset does.
    return guest.Place()


def open_iscsi():
    """Its commands are read by guest.variables_of()."""
    digest = "--set node.conn[0].iscsi.{0}=CRC32C,None"
    return Initiator(
        "open-iscsi", "iscsid and the kernel's iscsi_tcp in a guest, I/O by scsi-copy",
        {kind: [kind, "{url}", "{size}"]
         for kind in ("read", "write", "verify", "inquiry", "discover")},
        ("read", "write"), mutual_options=("--mutual",), place=guest_place,
        wishes={"HeaderDigest": (digest.format("HeaderDigest"), None),
                "DataDigest": (digest.format("DataDigest"), None),
                "MaxOutstandingR2T":
                    ("--set node.session.iscsi.MaxOutstandingR2T={value}", None)})


def libiscsi_tool(name, words):
    return lambda: Initiator(name, f"{name} of libiscsi-bin, whatever the I/O asked",
                             {kind: words for kind in ("read", "inquiry")},
                             version_command=versions_of("libiscsi7", "libiscsi-bin"))


PRESETS = {
    "holdfast": holdfast,
    "libiscsi": libiscsi,
    "open-iscsi": open_iscsi,
    "iscsi-inq": libiscsi_tool("iscsi-inq", ["iscsi-inq", "{url}"]),
    "iscsi-readcapacity16": libiscsi_tool("iscsi-readcapacity16",
                                          ["iscsi-readcapacity16", "{url}"]),
    "iscsi-perf": libiscsi_tool("iscsi-perf", ["iscsi-perf", "-b", "8", "-t", "1", "{url}"]),
}


def named(text):
    """A preset, or any command line."""
    if text in PRESETS:
        return PRESETS[text]()
    words = shlex.split(text)
    return Initiator(words[0].rsplit("/", 1)[-1], text, {"any": words}, ("read", "write"),
                     is_any=True)
