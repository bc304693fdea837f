"""Writes the "newc" cpio format that the kernel unpacks as an initial RAM disk.

Pure. Only what an initrd needs: folders, files and device nodes, all owned by root.
"""

from dataclasses import dataclass

TRAILER = "TRAILER!!!"

FOLDER, FILE, CHAR_DEVICE = 0o040000, 0o100000, 0o020000


@dataclass(frozen=True)
class Entry:
    """One member of the archive. `kind` is one of FOLDER, FILE, CHAR_DEVICE."""

    name: str
    kind: int = FILE
    mode: int = 0o644
    data: bytes = b""
    device: tuple = (0, 0)


def _padded(data):
    return data + b"\0" * (-len(data) % 4)


def _record(number, entry):
    name = entry.name.encode() + b"\0"
    fields = (
        number,  # inode
        entry.kind | entry.mode if entry.kind else 0,
        0,  # uid
        0,  # gid
        1,  # links
        0,  # mtime: the same input gives the same archive
        len(entry.data),
        0,
        0,
        entry.device[0],
        entry.device[1],
        len(name),
        0,  # checksum, unused by this flavour
    )
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.data)


def archive(entries):
    """The bytes of an archive that holds `entries` in their order."""
    everything = [*entries, Entry(TRAILER, kind=0, mode=0)]
    return b"".join(_record(number, entry) for number, entry in enumerate(everything, start=1))
