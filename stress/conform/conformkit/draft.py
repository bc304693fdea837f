"""A PDU of the target while it is being written."""

from . import vocabulary, wire


class Draft:
    """Header and data, with the lengths that go on the wire and the damage done to the digests."""

    def __init__(self, name, **fields):
        self.name = name
        self.bhs = bytearray(wire.BHS_BYTES)
        self.bhs[0] = vocabulary.PDUS[name]
        self.bhs[1] = 0x80
        self.data = b""
        self.length = None  # DataSegmentLength, when it is to differ from the data.
        self.padding = 0
        self.damage = set()
        self.was_sent = False
        self.given = set()  # Fields that were set on purpose and are not filled in.
        for field, value in fields.items():
            if field == "data":
                self.data = value
            else:
                self.set(field, value)

    def set(self, field, value):
        """Sets a named field, or `bN` for byte N of the header."""
        self.given.add(field)
        vocabulary.put(self.bhs, self.place_of(field), value)

    def get(self, field):
        return vocabulary.get(self.bhs, self.place_of(field))

    def place_of(self, field):
        if field[0] == "b" and field[1:].isdigit():
            return (int(field[1:]), 1, 0xff)
        return vocabulary.FIELDS[self.name][field]

    @property
    def counts_status(self):
        """Whether it takes a StatSN. Section 11."""
        if self.name == "R2T" or (self.name == "DATA_IN" and not self.bhs[1] & 1):
            return False
        return not (self.name == "NOP_IN" and self.get("itt") == wire.NO_TAG)

    def as_pdu(self, has_digests=False):
        bhs = bytearray(self.bhs)
        bhs[5:8] = self.announced().to_bytes(3, "big")
        return wire.Pdu(False, bytes(bhs), bytes(self.data), b"",
                        sorted(self.damage) if has_digests else [])

    def announced(self):
        return len(self.data) if self.length is None else self.length

    def encode(self, header_digest, data_digest):
        bhs = bytearray(self.bhs)
        bhs[5:8] = self.announced().to_bytes(3, "big")
        parts = [bytes(bhs)]
        if header_digest:
            wrong = 0x00100000 if "header_digest" in self.damage else 0
            parts.append((wire.crc32c(bhs) ^ wrong).to_bytes(4, "little"))
        body = self.data + bytes([self.padding]) * (-len(self.data) % 4)
        digest = wire.crc32c(body).to_bytes(4, "little") if data_digest and body else b""
        if digest and "data_digest" in self.damage:
            body = bytes([body[0] ^ 0x10]) + body[1:]  # One bit, as on a bad link.
        return b"".join([*parts, body, digest])


def text_of(pairs):
    return b"".join(f"{key}={value}".encode() + b"\0" for key, value in pairs)
