"""Rules of the frame: reserved bits, lengths, padding, digests, text. RFC 7143 sections 6.1, 11."""

import re

from . import wire
from .rules import rule

# Bits of the header that must be 0, as (offset, mask) for each opcode. Section 11.
RESERVED = {
    wire.NOP_OUT: [(0, 0x80), (1, 0x7f), (2, 0xff), (3, 0xff)] + [(n, 0xff) for n in range(32, 48)],
    wire.SCSI_COMMAND: [(0, 0x80), (1, 0x18), (3, 0xff)],
    wire.TASK_MANAGEMENT: [(0, 0x80), (2, 0xff), (3, 0xff)] + [(n, 0xff) for n in range(40, 48)],
    wire.LOGIN: [(0, 0x80), (1, 0x30), (22, 0xff), (23, 0xff)] + [(n, 0xff) for n in range(32, 48)],
    wire.TEXT: [(0, 0x80), (1, 0x3f), (2, 0xff), (3, 0xff)] + [(n, 0xff) for n in range(32, 48)],
    wire.DATA_OUT: [(0, 0xc0), (1, 0x7f), (2, 0xff), (3, 0xff)]
    + [(n, 0xff) for n in (24, 25, 26, 27, 32, 33, 34, 35, 44, 45, 46, 47)],
    wire.LOGOUT: [(0, 0x80), (2, 0xff), (3, 0xff)] + [(n, 0xff) for n in range(8, 16)]
    + [(22, 0xff), (23, 0xff)] + [(n, 0xff) for n in range(32, 48)],
    wire.SNACK: [(0, 0xc0), (1, 0x70), (2, 0xff), (3, 0xff)]
    + [(n, 0xff) for n in (24, 25, 26, 27)] + [(n, 0xff) for n in range(32, 40)],
}

KEY_NAME = re.compile(r"^[A-Z][A-Za-z0-9.\-+@_#]{0,62}$")
NUMBER = re.compile(r"^(0|[1-9][0-9]*|0[xX][0-9a-fA-F]+)$")
SMALL_KEYS = {"iSCSIProtocolLevel", "iSERHelloRequired"}  # Registered in spite of the rule.
ANSWERS = {"Reject", "Irrelevant", "NotUnderstood"}
RANGES = {
    "MaxConnections": (1, 65535), "MaxRecvDataSegmentLength": (512, 0xffffff),
    "MaxBurstLength": (512, 0xffffff), "FirstBurstLength": (512, 0xffffff),
    "DefaultTime2Wait": (0, 3600), "DefaultTime2Retain": (0, 3600),
    "MaxOutstandingR2T": (1, 65535), "ErrorRecoveryLevel": (0, 2), "iSCSIProtocolLevel": (0, 31),
}
BOOLEANS = {"InitialR2T", "ImmediateData", "DataPDUInOrder", "DataSequenceInOrder", "IFMarker",
            "OFMarker", "RDMAExtensions"}
LISTS = {"HeaderDigest", "DataDigest", "AuthMethod", "TaskReporting"}


@rule
def frames_are_right(connection):
    for pdu in connection.sent():
        for fault in pdu.faults:
            yield ("DIG-03" if "digest" in fault else "PDU-10"), f"{pdu}: {fault}"
        if any(pdu.padding):
            yield "PDU-05", f"{pdu}: padding is not 0"
        if pdu.opcode not in wire.FROM_INITIATOR:
            yield "PDU-07", f"{pdu}: not an opcode of an initiator"
        for at, mask in RESERVED.get(pdu.opcode, ()):
            if pdu.bhs[at] & mask:
                yield "PDU-02", f"{pdu}: reserved bits at byte {at}: {pdu.bhs[at]:#x}"
        if pdu.opcode == wire.SCSI_COMMAND and pdu.bhs[2] and \
                connection.agreed("iSCSIProtocolLevel") != "2":
            yield "X44-01", f"{pdu}: reserved bits at byte 2: {pdu.bhs[2]:#x}"
        if pdu.opcode not in (wire.SNACK, wire.SCSI_COMMAND, wire.DATA_OUT, wire.LOGIN,
                              wire.TEXT, wire.NOP_OUT) and pdu.data:
            yield "PDU-09", f"{pdu}: carries data"
    # A connection may be given up anywhere; one that was logged out ends with a whole PDU.
    if connection.streams[True].bytes and not connection.is_cut and connection.sent(wire.LOGOUT):
        yield "PDU-09", f"ends with {len(connection.streams[True].bytes)} bytes of a PDU cut short"


@rule
def segments_fit_the_target(connection):
    for pdu in connection.sent():
        limit = 8192 if pdu.in_login else connection.number("MaxRecvDataSegmentLength")
        if len(pdu.data) > limit:
            row = {wire.DATA_OUT: "WRI-12", wire.TEXT: "TXT-05"}.get(pdu.opcode, "KEY-13")
            yield row, f"{pdu}: {len(pdu.data)} bytes of data, at most {limit}"


@rule
def text_is_well_formed(connection):
    """Section 6.1: pairs, key names, values of the type of their key."""
    pending = b""
    for pdu in connection.sent(wire.LOGIN, wire.TEXT):
        pending += pdu.data
        if pdu.bhs[1] & 0x40:
            continue
        for pair in pending.split(b"\0"):
            if not pair:
                continue
            key, is_there, value = pair.decode("utf-8", "replace").partition("=")
            if not is_there:
                yield "NEG-01", f"{pdu}: '{key}' is no pair"
            elif not KEY_NAME.match(key) and key not in SMALL_KEYS:
                yield "NEG-01", f"{pdu}: key name '{key}'"
            else:
                yield from value_is_right(pdu, key, value)
        pending = b""


def value_is_right(pdu, key, value):
    if len(value) > 255 and not key.startswith(("CHAP_", "X-", "X#", "SendTargets")):
        yield "NEG-02", f"{pdu}: a value of {len(value)} bytes for {key}"
    if value in ANSWERS:
        return
    if key in RANGES:
        low, high = RANGES[key]
        if not NUMBER.match(value):
            yield "NEG-03", f"{pdu}: {key}={value} is no number"
        elif not low <= int(value, 0) <= high:
            yield "NEG-08", f"{pdu}: {key}={value} is outside {low}..{high}"
    elif key in BOOLEANS and value not in ("Yes", "No"):
        yield "NEG-04", f"{pdu}: {key}={value} is neither Yes nor No"
    elif key in LISTS and (not value or "" in value.split(",") or " " in value):
        yield "NEG-06", f"{pdu}: {key}={value} is no list"
