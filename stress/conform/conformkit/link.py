"""One TCP connection of the scripted target: framing, numbering, recording."""

import socket
import struct
import time

from . import vocabulary, wire
from .login import Login

RECEIVE_BYTES = 1 << 18
SEND_PATIENCE_S = 5.0


class Link:
    """Numbers are filled in when a PDU goes out, unless the script gave them."""

    def __init__(self, target, stream, number):
        self.target = target
        self.stream = stream
        self.number = number
        self.record = wire.Connection([])
        self.chunks = []  # (time, sent by the initiator, bytes), for the capture.
        self.began_s = time.time()
        self.login = Login(target, self)
        self.session = None
        self.cid = None
        self.stat_sn = int(target.case.settings.get("statsn", "0x1000"), 0)
        self.kept = {}  # StatSN: the PDU that carried it, for Status SNACK.
        self.is_open = True
        self.closed_by = None  # "initiator", "target"
        stream.setblocking(True)
        stream.settimeout(SEND_PATIENCE_S)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def agreed(self, key):
        return self.record.agreed(key)

    # Receiving

    def receive(self):
        """PDUs that are whole now. An empty read means that the initiator closed."""
        try:
            data = self.stream.recv(RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data:
            self.shut("initiator")
            return
        self.chunks.append((time.time(), True, data))
        stream = self.record.streams[True]
        stream.bytes += data
        while self.is_open and (pdu := self.take_one(stream)):
            self.target.on_pdu(self, pdu)

    def take_one(self, stream):
        is_full = self.record.is_full_feature
        pdu = stream.take(is_full and self.agreed("HeaderDigest") == "CRC32C",
                          is_full and self.agreed("DataDigest") == "CRC32C")
        if pdu is not None:
            self.note(pdu)
        return pdu

    def note(self, pdu):
        pdu.order = self.target.next_order()
        pdu.link = self.number
        self.record.note(pdu)

    # Sending

    def reply(self, draft, request):
        """Ordinary behaviour: an answer to `request`, past the twists of the script."""
        for field in vocabulary.ECHOED.get(draft.name, ()):
            if field not in draft.given:
                vocabulary.put(draft.bhs, vocabulary.FIELDS[draft.name][field],
                               vocabulary.get(request.bhs,
                                              vocabulary.FIELDS[draft.name][field]))
        for one in self.target.player.twisted(self, draft):
            self.send(one)

    def fill_numbers(self, draft):
        numbers = {"statsn": self.stat_sn}
        if self.session is not None:
            numbers |= {"expcmdsn": self.session.exp_cmd_sn, "maxcmdsn": self.session.max_cmd_sn}
        elif self.record.pdus:
            begun = next((one for one in self.record.pdus if one.sent), None)
            first = begun.u32(24) if begun else 0
            numbers |= {"expcmdsn": first, "maxcmdsn": first + 7}
        is_plain_data = draft.name == "DATA_IN" and not draft.bhs[1] & 1
        for field, value in numbers.items():
            if field not in draft.given and not (field == "statsn" and is_plain_data):
                vocabulary.put(draft.bhs, vocabulary.FIELDS[draft.name][field],
                               value & 0xffffffff)

    def send(self, draft):
        """Numbers and sends a PDU. One that was sent before goes out as it was."""
        if not self.is_open:
            return
        if draft.was_sent:
            self.resend(draft)
            return
        draft.was_sent = True
        self.fill_numbers(draft)
        if draft.counts_status and "statsn" not in draft.given:
            self.kept[self.stat_sn] = draft
            self.stat_sn = (self.stat_sn + 1) & 0xffffffff
        # The login's last response still goes without digests: agreed before it is noted.
        is_full = self.record.is_full_feature
        raw = draft.encode(is_full and self.agreed("HeaderDigest") == "CRC32C",
                           is_full and self.agreed("DataDigest") == "CRC32C")
        self.note(draft.as_pdu(is_full))
        self.send_raw(raw)

    def resend(self, draft):
        """The same numbers again, and nothing damaged."""
        draft.damage = set()
        raw = draft.encode(self.agreed("HeaderDigest") == "CRC32C",
                           self.agreed("DataDigest") == "CRC32C")
        self.note(draft.as_pdu())
        self.send_raw(raw)

    def send_raw(self, raw):
        if not self.is_open:
            return
        self.chunks.append((time.time(), False, raw))
        try:
            self.stream.sendall(raw)
        except OSError:
            self.record.is_cut = True
            self.shut("initiator")

    # The end

    def finish(self):
        """Closes after what was sent has gone out."""
        self.shut("target")

    def reset(self):
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.shut("target")

    def shut(self, who):
        if not self.is_open:
            return
        self.is_open = False
        self.closed_by = who
        self.target.on_closed(self)
        self.stream.close()
