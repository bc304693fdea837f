"""The words of case files: PDU names, their fields, and commands. RFC 7143 section 11.

A field is (offset, bytes, mask) in the basic header segment; its value is what stands under the
mask, shifted down.
"""

from . import wire

PDUS = {
    "NOP_OUT": wire.NOP_OUT, "SCSI_COMMAND": wire.SCSI_COMMAND, "TMF": wire.TASK_MANAGEMENT,
    "LOGIN": wire.LOGIN, "TEXT": wire.TEXT, "DATA_OUT": wire.DATA_OUT, "LOGOUT": wire.LOGOUT,
    "SNACK": wire.SNACK, "NOP_IN": wire.NOP_IN, "SCSI_RESPONSE": wire.SCSI_RESPONSE,
    "TMF_RESPONSE": wire.TASK_MANAGEMENT_RESPONSE, "LOGIN_RESPONSE": wire.LOGIN_RESPONSE,
    "TEXT_RESPONSE": wire.TEXT_RESPONSE, "DATA_IN": wire.DATA_IN,
    "LOGOUT_RESPONSE": wire.LOGOUT_RESPONSE, "R2T": wire.R2T, "ASYNC": wire.ASYNC,
    "REJECT": wire.REJECT,
}
NAMES = {opcode: name for name, opcode in PDUS.items()}
OF_TARGET = {name for name, opcode in PDUS.items() if opcode not in wire.FROM_INITIATOR}
OF_INITIATOR = set(PDUS) - OF_TARGET

BYTE = 0xff
WORD = 0xffffffff
COMMON = {"opcode": (0, 1, 0x3f), "I": (0, 1, 0x40), "F": (1, 1, 0x80), "flags": (1, 1, BYTE),
          "ahs": (4, 1, BYTE), "lun": (8, 8, (1 << 64) - 1), "itt": (16, 4, WORD)}
SENT_NUMBERS = {"cmdsn": (24, 4, WORD), "expstatsn": (28, 4, WORD)}
TARGET_NUMBERS = {"statsn": (24, 4, WORD), "expcmdsn": (28, 4, WORD), "maxcmdsn": (32, 4, WORD)}
TTT = {"ttt": (20, 4, WORD)}
STAGES = {"T": (1, 1, 0x80), "C": (1, 1, 0x40), "csg": (1, 1, 0x0c), "nsg": (1, 1, 0x03),
          "isid": (8, 6, (1 << 48) - 1), "tsih": (14, 2, 0xffff)}
DATA = {"datasn": (36, 4, WORD), "offset": (40, 4, WORD)}
RESIDUALS = {"O": (1, 1, 0x04), "U": (1, 1, 0x02), "residual": (44, 4, WORD)}

FIELDS = {
    "NOP_OUT": TTT | SENT_NUMBERS,
    "SCSI_COMMAND": {"R": (1, 1, 0x40), "W": (1, 1, 0x20), "attribute": (1, 1, 7),
                     "edtl": (20, 4, WORD), "pri": (2, 1, 0x0f)} | SENT_NUMBERS,
    "TMF": {"function": (1, 1, 0x7f), "ref": (20, 4, WORD), "refcmdsn": (32, 4, WORD),
            "expdatasn": (36, 4, WORD)} | SENT_NUMBERS,
    "LOGIN": STAGES | SENT_NUMBERS | {"cid": (20, 2, 0xffff), "versionmax": (2, 1, BYTE),
                                      "versionmin": (3, 1, BYTE)},
    "TEXT": {"C": (1, 1, 0x40)} | TTT | SENT_NUMBERS,
    "DATA_OUT": TTT | DATA | {"expstatsn": (28, 4, WORD)},
    "LOGOUT": {"reason": (1, 1, 0x7f), "cid": (20, 2, 0xffff)} | SENT_NUMBERS,
    "SNACK": {"type": (1, 1, 0x0f), "begrun": (40, 4, WORD), "runlength": (44, 4, WORD),
              "expstatsn": (28, 4, WORD)} | TTT,
    "NOP_IN": TTT | TARGET_NUMBERS,
    "SCSI_RESPONSE": {"response": (2, 1, BYTE), "status": (3, 1, BYTE), "u": (1, 1, 0x08),
                      "o": (1, 1, 0x10), "snacktag": (20, 4, WORD), "expdatasn": (36, 4, WORD)}
    | TARGET_NUMBERS | RESIDUALS,
    "TMF_RESPONSE": {"response": (2, 1, BYTE)} | TARGET_NUMBERS,
    "LOGIN_RESPONSE": STAGES | TARGET_NUMBERS | {
        "versionmax": (2, 1, BYTE), "versionactive": (3, 1, BYTE), "status": (36, 2, 0xffff)},
    "TEXT_RESPONSE": {"C": (1, 1, 0x40)} | TTT | TARGET_NUMBERS,
    "DATA_IN": {"A": (1, 1, 0x40), "S": (1, 1, 1), "status": (3, 1, BYTE)} | TTT | DATA
    | TARGET_NUMBERS | RESIDUALS,
    "LOGOUT_RESPONSE": {"response": (2, 1, BYTE), "time2wait": (40, 2, 0xffff),
                        "time2retain": (42, 2, 0xffff)} | TARGET_NUMBERS,
    "R2T": {"r2tsn": (36, 4, WORD), "offset": (40, 4, WORD), "wanted": (44, 4, WORD)}
    | TTT | TARGET_NUMBERS,
    "ASYNC": {"event": (36, 1, BYTE), "vcode": (37, 1, BYTE), "p1": (38, 2, 0xffff),
              "p2": (40, 2, 0xffff), "p3": (42, 2, 0xffff)} | TARGET_NUMBERS,
    "REJECT": {"reason": (2, 1, BYTE), "datasn": (36, 4, WORD)} | TARGET_NUMBERS,
}
FIELDS = {name: COMMON | fields for name, fields in FIELDS.items()}

# What a PDU of the target takes from the PDU of the initiator that it is about.
ECHOED = {
    "SCSI_RESPONSE": ("itt",), "DATA_IN": ("itt",), "R2T": ("itt", "lun"), "TMF_RESPONSE": ("itt",),
    "LOGIN_RESPONSE": ("itt", "isid"), "TEXT_RESPONSE": ("itt",), "LOGOUT_RESPONSE": ("itt",),
}

COMMANDS = {
    0x00: "TUR", 0x03: "REQUEST_SENSE", 0x08: "READ", 0x0a: "WRITE", 0x12: "INQUIRY",
    0x1a: "MODE_SENSE", 0x25: "READ_CAPACITY", 0x28: "READ", 0x2a: "WRITE", 0x35: "SYNC",
    0x41: "WRITE_SAME", 0x42: "UNMAP", 0x5a: "MODE_SENSE", 0x5e: "PR_IN", 0x5f: "PR_OUT",
    0x88: "READ", 0x8a: "WRITE", 0x91: "SYNC", 0x93: "WRITE_SAME", 0x9e: "READ_CAPACITY",
    0xa0: "REPORT_LUNS", 0xa3: "REPORT_OPCODES", 0xa8: "READ", 0xaa: "WRITE",
}


def shift_of(mask):
    return (mask & -mask).bit_length() - 1


def get(bhs, field):
    offset, size, mask = field
    return (int.from_bytes(bhs[offset:offset + size], "big") & mask) >> shift_of(mask)


def put(bhs, field, value):
    """Writes `value` under the mask of `field`; what is too big is cut off."""
    offset, size, mask = field
    old = int.from_bytes(bhs[offset:offset + size], "big")
    new = (old & ~mask) | ((value << shift_of(mask)) & mask)
    bhs[offset:offset + size] = new.to_bytes(size, "big")


def name_of(pdu):
    return NAMES.get(pdu.opcode, f"{pdu.opcode:#04x}")


def command_of(cdb):
    return COMMANDS.get(cdb[0], f"{cdb[0]:#04x}")


def range_of(cdb):
    """(LBA, blocks) of a read or write."""
    code = cdb[0]
    if code in (0x08, 0x0a):
        return int.from_bytes(cdb[1:4], "big") & 0x1fffff, cdb[4] or 256
    if code in (0x28, 0x2a, 0x35):
        return int.from_bytes(cdb[2:6], "big"), int.from_bytes(cdb[7:9], "big")
    if code in (0xa8, 0xaa):
        return int.from_bytes(cdb[2:6], "big"), int.from_bytes(cdb[6:10], "big")
    return int.from_bytes(cdb[2:10], "big"), int.from_bytes(cdb[10:14], "big")
