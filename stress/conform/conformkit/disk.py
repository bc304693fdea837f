"""The small RAM disk behind the scripted target, and the commands it knows."""

import array
import functools
import struct
import sys

from . import vocabulary

BLOCK = 512
GOOD, CHECK_CONDITION = 0, 2
ILLEGAL_REQUEST = 5
SERIAL = b"CONFORM00001"


@functools.lru_cache
def content(size, seed=0):
    """Bytes that know their place: each 4-byte word is a function of its offset."""
    words = array.array("I", ((at * 2654435761 & 0xffffffff) ^ seed for at in range(size // 4)))
    if sys.byteorder == "little":
        words.byteswap()
    return words.tobytes()


class Reply:
    """Status, data for the initiator, sense."""

    def __init__(self, data=b"", status=GOOD, sense=b""):
        self.data, self.status, self.sense = data, status, sense


def sense_of(key, code, qualifier):
    """Fixed format, with its length in front, as in a SCSI Response. Section 11.4.7.2."""
    sense = bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0])
    return struct.pack(">H", len(sense)) + sense


def refused(code, qualifier=0, key=ILLEGAL_REQUEST):
    return Reply(status=CHECK_CONDITION, sense=sense_of(key, code, qualifier))


class Disk:
    def __init__(self, blocks, units=1, has_cache=False, transfer_blocks_max=2048):
        self.transfer_blocks_max = transfer_blocks_max
        self.data = bytearray(content(blocks * BLOCK))
        self.blocks = blocks
        self.units = units
        self.has_cache = has_cache

    def range(self, cdb):
        """(first byte, bytes), or None when it leaves the disk."""
        lba, blocks = vocabulary.range_of(cdb)
        return (lba * BLOCK, blocks * BLOCK) if lba + blocks <= self.blocks else None

    def command(self, lun, cdb):
        """What a command without data from the initiator is answered with."""
        name = vocabulary.command_of(cdb)
        number = int.from_bytes(lun[:2], "big") & 0x3fff
        if number >= self.units and name not in ("INQUIRY", "REPORT_LUNS"):
            return refused(0x25)
        answer = getattr(self, "on_" + name.lower(), None)
        return answer(cdb) if answer else refused(0x20)

    def on_tur(self, _):
        return Reply()

    def on_sync(self, _):
        return Reply()

    def on_request_sense(self, _):
        return Reply(bytes([0x70, 0, 0, 0, 0, 0, 0, 10]) + bytes(10))

    def on_read(self, cdb):
        place = self.range(cdb)
        if place is None:
            return refused(0x21)
        return Reply(bytes(self.data[place[0]:place[0] + place[1]]))

    def on_inquiry(self, cdb):
        room = int.from_bytes(cdb[3:5], "big")
        if not cdb[1] & 1:
            page = bytes([0, 0, 6, 2, 31, 0, 0, 2]) + b"HOLDFAST" + b"conform target  " + b"0001"
            return Reply(page[:room])
        pages = {
            0x00: bytes([0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]),
            0x80: SERIAL,
            0x83: bytes([0x01, 0x03, 0x00, 0x08]) + bytes.fromhex("6001405c0f0e0001")
            + bytes([0x02, 0x01, 0x00, 16]) + b"HOLDFASTconform1",
            0xb0: struct.pack(">BBHI", 0, 0, 0, self.transfer_blocks_max) + bytes(52),
            0xb1: bytes([0, 1]) + bytes(58),
            0xb2: bytes([0, 0, 0, 0]),
        }
        if cdb[2] not in pages:
            return refused(0x24)
        body = pages[cdb[2]]
        return Reply((bytes([0, cdb[2]]) + struct.pack(">H", len(body)) + body)[:room])

    def on_read_capacity(self, cdb):
        if cdb[0] == 0x25:
            return Reply(struct.pack(">II", min(self.blocks - 1, 0xffffffff), BLOCK))
        if cdb[1] & 0x1f != 0x10:
            return refused(0x20)
        room = int.from_bytes(cdb[10:14], "big")
        return Reply((struct.pack(">QI", self.blocks - 1, BLOCK) + bytes(20))[:room])

    def on_report_luns(self, cdb):
        room = int.from_bytes(cdb[6:10], "big")
        luns = b"".join(struct.pack(">HHHH", one, 0, 0, 0) for one in range(self.units))
        return Reply((struct.pack(">II", len(luns), 0) + luns)[:room])

    def on_mode_sense(self, cdb):
        caching = bytes([0x08, 0x12, 0x04 if self.has_cache else 0]) + bytes(17)
        pages = caching if cdb[2] & 0x3f in (0x08, 0x3f) else b""
        if cdb[0] == 0x1a:
            return Reply((bytes([3 + len(pages), 0, 0x10, 0]) + pages)[:cdb[4]])
        head = struct.pack(">HBBHH", 6 + len(pages), 0, 0x10, 0, 0)
        return Reply((head + pages)[:int.from_bytes(cdb[7:9], "big")])
