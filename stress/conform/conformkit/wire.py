"""Reads recorded iSCSI connections into PDUs. RFC 7143, written from the RFC and from nothing of
ours, so that it can bear witness."""

import dataclasses
import struct

BHS_BYTES = 48
NO_TAG = 0xffffffff

# Opcodes. Section 11.2.1.2.
NOP_OUT, SCSI_COMMAND, TASK_MANAGEMENT, LOGIN, TEXT, DATA_OUT, LOGOUT = range(7)
SNACK = 0x10
NOP_IN, SCSI_RESPONSE, TASK_MANAGEMENT_RESPONSE, LOGIN_RESPONSE, TEXT_RESPONSE = range(0x20, 0x25)
DATA_IN, LOGOUT_RESPONSE = 0x25, 0x26
R2T, ASYNC, REJECT = 0x31, 0x32, 0x3f

FROM_INITIATOR = {NOP_OUT, SCSI_COMMAND, TASK_MANAGEMENT, LOGIN, TEXT, DATA_OUT, LOGOUT, SNACK}

# What the keys are worth when nobody says anything. Section 13.
DEFAULTS = {
    "HeaderDigest": "None", "DataDigest": "None", "InitialR2T": "Yes", "ImmediateData": "Yes",
    "MaxRecvDataSegmentLength": "8192", "MaxBurstLength": "262144", "FirstBurstLength": "65536",
    "MaxOutstandingR2T": "1", "DataPDUInOrder": "Yes", "DataSequenceInOrder": "Yes",
    "ErrorRecoveryLevel": "0", "MaxConnections": "1",
}

# Negotiated only on the first connection of a session, and valid for all. Section 13.
LEADING_ONLY = {
    "MaxConnections", "InitialR2T", "ImmediateData", "MaxBurstLength", "FirstBurstLength",
    "DefaultTime2Wait", "DefaultTime2Retain", "MaxOutstandingR2T", "DataPDUInOrder",
    "DataSequenceInOrder", "ErrorRecoveryLevel", "TaskReporting",
}


def make_crc_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82f63b78 if n & 1 else 0)
        table.append(n)
    return table


CRC_TABLE = make_crc_table()


def crc32c(data):
    """CRC32C as it stands on the wire, as a number read little-endian. Section 13.1."""
    crc, table = 0xffffffff, CRC_TABLE
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def before(a, b):
    """Serial number order of 32 bits: a comes before b. RFC 1982."""
    return a != b and (b - a) & 0xffffffff < 0x80000000


def pairs_in(text):
    pairs = [one.partition(b"=") for one in text.split(b"\0") if one]
    return [(key.decode("utf-8", "replace"), value.decode("utf-8", "replace"))
            for key, _, value in pairs]


@dataclasses.dataclass
class Pdu:
    """One PDU as it passed. `sent` means by the initiator."""

    sent: bool
    bhs: bytes
    data: bytes
    padding: bytes
    faults: list  # What was wrong with its frame.
    in_login: bool = False
    offered: dict = dataclasses.field(default_factory=dict)  # In this login so far.
    order: int = 0  # Place among all PDUs of the recording, where several connections are read.

    @property
    def opcode(self):
        return self.bhs[0] & 0x3f

    @property
    def is_immediate(self):
        return bool(self.bhs[0] & 0x40)

    @property
    def is_final(self):
        return bool(self.bhs[1] & 0x80)

    @property
    def itt(self):
        return self.u32(16)

    @property
    def ttt(self):
        return self.u32(20)

    @property
    def lun(self):
        return self.bhs[8:16]

    def u32(self, at):
        return struct.unpack_from(">I", self.bhs, at)[0]

    def u16(self, at):
        return struct.unpack_from(">H", self.bhs, at)[0]

    def keys(self):
        """The text of a login or text PDU as pairs."""
        return pairs_in(self.data)

    def __str__(self):
        who = "initiator" if self.sent else "target"
        return f"{who} PDU {self.opcode:#04x} itt {self.itt:#x}"


class Stream:
    """The bytes of one direction, cut into PDUs as they arrive."""

    def __init__(self, sent):
        self.sent = sent
        self.bytes = bytearray()

    def take(self, header_digest, data_digest):
        """The next whole PDU, or None."""
        if len(self.bytes) < BHS_BYTES:
            return None
        ahs_bytes = self.bytes[4] * 4
        data_bytes = int.from_bytes(self.bytes[5:8], "big")
        head = BHS_BYTES + ahs_bytes
        padded = (data_bytes + 3) & ~3
        data_at = head + (4 if header_digest else 0)
        whole = data_at + padded + (4 if data_digest and data_bytes else 0)
        if len(self.bytes) < whole:
            return None
        raw = bytes(self.bytes[:whole])
        del self.bytes[:whole]
        faults = []
        if ahs_bytes:
            faults.append("carries an AHS")
        if header_digest and crc32c(raw[:head]) != int.from_bytes(raw[head:data_at], "little"):
            faults.append("header digest is wrong")
        body = raw[data_at:data_at + padded]
        if data_digest and data_bytes:
            if crc32c(body) != int.from_bytes(raw[whole - 4:whole], "little"):
                faults.append("data digest is wrong")
        return Pdu(self.sent, raw[:BHS_BYTES], body[:data_bytes], body[data_bytes:], faults)


class Connection:
    """A recorded connection: its PDUs in order, and what was agreed in its login."""

    def __init__(self, chunks):
        self.pdus = []
        self.offered, self.answered = {}, {}
        self.texts = {True: b"", False: b""}  # Of a login, up to where it is continued.
        self.is_full_feature = False
        self.is_cut = False  # The target or the judge cut it off, so that a part may be missing.
        self.begins_full_feature_at = None
        self.streams = {True: Stream(True), False: Stream(False)}
        for sent, data in chunks:
            self.streams[sent].bytes += data
            self.cut(sent)

    def cut(self, sent):
        while True:
            agreed = self.agreed if self.is_full_feature else (lambda key: "None")
            pdu = self.streams[sent].take(agreed("HeaderDigest") == "CRC32C",
                                          agreed("DataDigest") == "CRC32C")
            if pdu is None:
                return
            self.note(pdu)

    def note(self, pdu):
        """Takes a whole PDU of either side into the record."""
        pdu.in_login = not self.is_full_feature
        self.pdus.append(pdu)
        if pdu.opcode in (LOGIN, LOGIN_RESPONSE):
            self.note_login(pdu)

    def note_login(self, pdu):
        into = self.offered if pdu.sent else self.answered
        self.texts[pdu.sent] += pdu.data
        if not pdu.bhs[1] & 0x40:  # C=1: the text goes on in the next PDU.
            into.update(pairs_in(self.texts[pdu.sent]))
            self.texts[pdu.sent] = b""
        pdu.offered = dict(self.offered)
        is_last = pdu.opcode == LOGIN_RESPONSE and pdu.bhs[1] & 0x83 == 0x83
        if is_last and pdu.u16(36) == 0:
            self.is_full_feature = True
            self.begins_full_feature_at = len(self.pdus)

    def join(self, leading):
        """Takes over what the leading connection of its session agreed for all of them."""
        for key in LEADING_ONLY:
            if key in leading.answered:
                self.answered.setdefault(key, leading.answered[key])

    def agreed(self, key):
        """The value in effect; for declarations the target's own."""
        value = self.answered.get(key, DEFAULTS.get(key))
        if value in ("Reject", "Irrelevant", "NotUnderstood"):
            return DEFAULTS.get(key)
        return value

    def number(self, key):
        """The agreed number; the default where the answer is none."""
        try:
            return int(self.agreed(key), 0)
        except ValueError:
            return int(DEFAULTS[key], 0)

    @property
    def is_discovery(self):
        return self.offered.get("SessionType") == "Discovery"

    def login(self):
        return [pdu for pdu in self.pdus if pdu.in_login]

    def full_feature(self):
        return [pdu for pdu in self.pdus if not pdu.in_login]

    def sent(self, *opcodes):
        return [pdu for pdu in self.pdus
                if pdu.sent and (not opcodes or pdu.opcode in opcodes)]
