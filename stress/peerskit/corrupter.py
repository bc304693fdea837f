"""Flips bits in the data segments of a stream of PDUs, and nowhere else. RFC 7143 section 11.2.

A wrong header breaks the connection at every recovery level; wrong data is what a data digest is
for. Pure: bytes in, the same bytes out with damage at a place that the caller's seed decides.
"""

import random

BHS_BYTES = 48
DIGEST_BYTES = 4


class Corrupter:
    """One direction of one connection, from its first byte after the login."""

    def __init__(self, every, has_header_digest, has_data_digest, seed):
        self.every = every  # of so many PDUs that carry data, one is damaged
        self.has_header_digest, self.has_data_digest = has_header_digest, has_data_digest
        self.random = random.Random(seed)
        self.header = bytearray()
        self.rest = 0  # bytes of the present PDU that are still to come, behind its BHS
        self.hit_in = None  # the byte to damage comes after so many more of them
        self.damaged = 0

    def pass_on(self, chunk):
        """Damages `chunk`, a bytearray, in place."""
        at = 0
        while at < len(chunk):
            if self.rest == 0:
                taken = min(BHS_BYTES - len(self.header), len(chunk) - at)
                self.header += chunk[at : at + taken]
                at += taken
                if len(self.header) == BHS_BYTES:
                    self._begin()
                continue
            taken = min(self.rest, len(chunk) - at)
            if self.hit_in is not None:
                self._hit(chunk, at, taken)
            self.rest -= taken
            at += taken

    def _hit(self, chunk, at, taken):
        if self.hit_in >= taken:
            self.hit_in -= taken
            return
        chunk[at + self.hit_in] ^= 1 << self.random.randrange(8)
        self.hit_in = None
        self.damaged += 1

    def _begin(self):
        """A BHS is complete: where does this PDU end, and is it one to damage?"""
        head = self.header[4] * 4 + (DIGEST_BYTES if self.has_header_digest else 0)
        data = int.from_bytes(self.header[5:8], "big")
        self.rest = head + (data + 3) // 4 * 4
        if data and self.has_data_digest:
            self.rest += DIGEST_BYTES
        self.header.clear()
        if data and self.random.randrange(self.every) == 0:
            self.hit_in = head + self.random.randrange(data)
