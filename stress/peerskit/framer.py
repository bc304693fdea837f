"""Follows a stream of PDUs from one basic header segment to the next. RFC 7143 section 11.2.

Pure, and quick enough to stand in the way of the data: digests are stepped over, not checked.
"""

import random

BHS_BYTES = 48
DIGEST_BYTES = 4
OPCODE_MASK = 0x3F
SCSI_COMMAND = 0x01
CDB_AT = 32

# READ and WRITE, 6 to 16. A probe sends none of them.
IO_CDBS = frozenset((0x08, 0x0A, 0x28, 0x2A, 0x88, 0x8A, 0xA8, 0xAA))


class Framer:
    """One direction of one connection, from its first byte after the login."""

    def __init__(self, has_header_digest, has_data_digest):
        self.has_header_digest, self.has_data_digest = has_header_digest, has_data_digest
        self.header = bytearray()
        self.rest = 0  # bytes of the present PDU that are still to come, behind its BHS

    def pass_on(self, chunk):
        """Takes the next bytes, a bytearray, whatever their borders are."""
        at = 0
        while at < len(chunk):
            if self.rest == 0:
                taken = min(BHS_BYTES - len(self.header), len(chunk) - at)
                self.header += chunk[at : at + taken]
                if len(self.header) == BHS_BYTES:
                    self._begin()
            else:
                taken = min(self.rest, len(chunk) - at)
                self.on_rest(chunk, at, taken)
                self.rest -= taken
            at += taken

    def _begin(self):
        """A BHS is complete: where does this PDU end?"""
        head = self.header[4] * 4 + (DIGEST_BYTES if self.has_header_digest else 0)
        data = int.from_bytes(self.header[5:8], "big")
        self.rest = head + (data + 3) // 4 * 4
        if data and self.has_data_digest:
            self.rest += DIGEST_BYTES
        self.on_header(self.header, head, data)
        self.header = bytearray()

    def on_header(self, header, head, data):
        """A PDU begins: so many bytes before its data, and so many of data."""

    def on_rest(self, chunk, at, taken):
        """Bytes of the present PDU behind its BHS: `taken` of `chunk` from `at` on."""


class Corrupter(Framer):
    """Flips a bit in the data of some PDUs, and nowhere else.

    A wrong header breaks the connection at every recovery level; wrong data is what a data digest
    is for.
    """

    def __init__(self, every, has_header_digest, has_data_digest, seed):
        super().__init__(has_header_digest, has_data_digest)
        self.every = every  # of so many PDUs that carry data, one is damaged
        self.random = random.Random(seed)
        self.hit_in = None  # the byte to damage comes after so many more of them
        self.damaged = 0

    def on_header(self, header, head, data):
        if data and self.random.randrange(self.every) == 0:
            self.hit_in = head + self.random.randrange(data)

    def on_rest(self, chunk, at, taken):
        if self.hit_in is None:
            return
        if self.hit_in >= taken:
            self.hit_in -= taken
            return
        chunk[at + self.hit_in] ^= 1 << self.random.randrange(8)
        self.hit_in = None
        self.damaged += 1


class Scout(Framer):
    """Waits for the first READ or WRITE: the session serves requests again."""

    has_found = False

    def on_header(self, header, head, data):
        if header[0] & OPCODE_MASK == SCSI_COMMAND and header[CDB_AT] in IO_CDBS:
            self.has_found = True
