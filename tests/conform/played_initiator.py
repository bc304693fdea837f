#!/usr/bin/env python3
"""A small initiator that obeys RFC 7143, or breaks it in one way: the judge must notice.

usage: played_initiator.py [--mistake NAME] KIND URL [--length N]

Called as the conformance suite calls any initiator: the data of a write on standard input, that of
a read on standard output. It speaks over one connection at recovery level 0.
"""

import argparse
import pathlib
import socket
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "stress" / "conform"))

from conformkit import wire  # noqa: E402  (the path comes first)

ISID = bytes([0x80, 0x12, 0x34, 0x56, 0x78, 0x9a])
PATIENCE_S = 8
BLOCK = 512
SEGMENT = 8192

# What can be done wrong; the tests say which case and which row must notice.
MISTAKES = {
    "reserved_bits", "padding", "itt_reused", "itt_none", "cmdsn_skips", "cmdsn_of_immediate",
    "window_ignored", "expstatsn_ahead", "expstatsn_behind", "login_not_immediate",
    "login_itt_changes", "login_twice", "key_twice", "key_in_security", "key_lower_case",
    "number_with_zero", "name_missing", "isid_changes", "stage_2", "answers_not", "not_understood",
    "attribute", "read_and_write", "cdb_tail", "immediate_too_long", "immediate_unagreed",
    "data_sn", "data_offset", "data_final_early", "data_final_late", "data_too_long", "data_lun",
    "data_tag", "r2t_short", "nop_unanswered", "nop_lun", "nop_itt", "nop_to_news", "logout_reason",
    "words_after_logout", "snack_at_level_0", "digest_wrong", "takes_any_data",
    "takes_any_r2t", "takes_short_read", "takes_wrong_digest", "takes_any_opcode",
    "takes_any_status", "text_in_full_feature", "ping_lun", "answers_other_login",
    "retries_refusal", "drops_on_async", "counts_plain_data", "ignores_negotiation",
    "first_burst_ignored", "believes_length", "tsih_invented", "version", "cid_changes",
}


class Broken(Exception):
    """The target broke the protocol, or is gone."""


class Initiator:
    keys_of_level = [("ErrorRecoveryLevel", "0")]

    def __init__(self, host, port, target, mistake):
        self.mistake = mistake
        self.portal = (host, port)
        self.stream = socket.create_connection((host, port), timeout=PATIENCE_S)
        self.target = target
        self.received = bytearray()
        self.cmd_sn, self.exp_stat_sn = 0x100, 0
        self.max_cmd_sn = 0x100
        self.next_itt = 1
        self.agreed = dict(wire.DEFAULTS)
        self.digests = [False, False]
        self.r2ts = 0

    def does(self, mistake):
        return self.mistake == mistake

    # PDUs

    def send(self, opcode, flags, data=b"", immediate=False, **fields):
        bhs = bytearray(48)
        bhs[0] = opcode | (0x40 if immediate else 0)
        bhs[1] = flags
        bhs[5:8] = len(data).to_bytes(3, "big")
        for name, value in fields.items():
            at = {"itt": 16, "w20": 20, "cmdsn": 24, "expstatsn": 28, "w32": 32, "w36": 36,
                  "w40": 40, "w44": 44}.get(name)
            if at is not None:
                struct.pack_into(">I", bhs, at, value & 0xffffffff)
            elif name == "lun":
                bhs[8:16] = value
            elif name == "cdb":
                bhs[32:48] = value
        if self.does("reserved_bits") and opcode == wire.SCSI_COMMAND:
            bhs[3] = 1
        if self.does("version") and opcode == wire.LOGIN:
            bhs[2] = 1
        self.stream.sendall(self.framed(bytes(bhs), data))

    def framed(self, bhs, data):
        pad = (b"\xee" if self.does("padding") else b"\0") * (-len(data) % 4)
        raw = bhs
        if self.digests[0]:
            wrong = 1 if self.does("digest_wrong") else 0
            raw += (wire.crc32c(bhs) ^ wrong).to_bytes(4, "little")
        raw += data + pad
        if self.digests[1] and data:
            raw += wire.crc32c(data + pad).to_bytes(4, "little")
        return raw

    def take(self, size):
        while len(self.received) < size:
            more = self.stream.recv(1 << 16)
            if not more:
                raise Broken("the target closed")
            self.received += more
        part = bytes(self.received[:size])
        del self.received[:size]
        return part

    def receive(self):
        bhs = self.take(48)
        size = int.from_bytes(bhs[5:8], "big")
        if bhs[4] or (size > (1 << 20) and not self.does("believes_length")):
            raise Broken("AHS or length")
        if self.digests[0] and int.from_bytes(self.take(4), "little") != wire.crc32c(bhs):
            raise Broken("header digest")
        padded = self.take((size + 3) & ~3)
        if self.digests[1] and size:
            digest = int.from_bytes(self.take(4), "little")
            if digest != wire.crc32c(padded) and not self.does("takes_wrong_digest"):
                return self.on_damage(wire.Pdu(False, bhs, b"", b"", []))
        pdu = wire.Pdu(False, bhs, padded[:size], b"", [])
        if pdu.opcode != wire.LOGIN_RESPONSE:
            self.count(pdu)
        return pdu

    def on_damage(self, _):
        """A PDU whose data is damaged came."""
        raise Broken("data digest")

    def count(self, pdu):
        """Takes the numbers of a PDU of the target."""
        is_plain = pdu.opcode == wire.DATA_IN and not pdu.bhs[1] & 1
        counts = not is_plain and pdu.opcode != wire.R2T and not (
            pdu.opcode == wire.NOP_IN and pdu.itt == wire.NO_TAG)
        number = pdu.u32(24)
        if not is_plain or self.does("counts_plain_data"):
            if number != self.exp_stat_sn and not wire.before(number, self.exp_stat_sn):
                raise Broken("StatSN")
        if counts and number == self.exp_stat_sn:
            self.exp_stat_sn = (number + 1) & 0xffffffff
        if not wire.before(pdu.u32(32), (pdu.u32(28) - 1) & 0xffffffff):
            if wire.before(self.max_cmd_sn, pdu.u32(32)):
                self.max_cmd_sn = pdu.u32(32)

    def acknowledged(self):
        shift = {"expstatsn_ahead": 1, "expstatsn_behind": -3}.get(self.mistake, 0)
        return (self.exp_stat_sn + shift) & 0xffffffff

    # Login

    def login(self):
        names = [("InitiatorName", "iqn.2026-01.test:played"), ("SessionType", "Normal"),
                 ("TargetName", self.target)]
        if self.does("name_missing"):
            names = names[1:]
        if self.does("key_in_security"):
            names.append(("InitialR2T", "No"))
        self.request(0, 1, names + [("AuthMethod", "None")])
        keys = [("HeaderDigest", "CRC32C,None"), ("DataDigest", "CRC32C,None"),
                ("InitialR2T", "No"), ("ImmediateData", "Yes"), ("MaxBurstLength", "262144"),
                ("FirstBurstLength", "65536"), ("MaxRecvDataSegmentLength", "65536"),
                *self.keys_of_level]
        if self.does("key_twice"):
            keys.append(names[0])
        if self.does("key_lower_case"):
            keys.append(("dataSomething", "1"))
        if self.does("number_with_zero"):
            keys[4] = ("MaxBurstLength", "0262144")
        self.offered = {key for key, _ in keys}
        answers = self.request(1, 3, keys)
        if self.does("login_twice"):
            self.send(wire.LOGIN, 0x87, immediate=True, itt=0x77, lun=ISID + bytes(2))
        if not self.does("ignores_negotiation"):
            self.agreed |= answers
        self.digests = [self.agreed["HeaderDigest"] == "CRC32C",
                        self.agreed["DataDigest"] == "CRC32C"]

    def request(self, stage, following, pairs):
        """One stage of the login: asks until it is over."""
        answers, joined = {}, b""
        text = b"".join(f"{key}={value}".encode() + b"\0" for key, value in pairs)
        while True:
            self.send_login(stage, following, text)
            response = self.receive()
            status = response.u16(36)
            if response.opcode != wire.LOGIN_RESPONSE:
                raise Broken("no Login Response")
            if status:
                raise Broken(f"refused: {status:#x}")
            if response.itt != self.login_itt and not self.does("answers_other_login"):
                raise Broken("another login")
            self.exp_stat_sn = (response.u32(24) + 1) & 0xffffffff
            self.max_cmd_sn = response.u32(32)
            self.tsih = response.u16(14)
            joined += response.data
            text = b""
            if response.bhs[1] & 0x40:
                continue
            found = self.pairs_of(joined)
            joined = b""
            text = self.replies(found, answers)
            if response.bhs[1] & 0x80:
                return answers

    def replies(self, found, answers):
        """Takes the answers; gives the text that answers what the target proposes."""
        text = b""
        for key, value in found:
            if key in answers:
                raise Broken("a key twice")
            answers[key] = value
            if key.startswith("X-") and not self.does("answers_not"):
                text += f"{key}=NotUnderstood".encode() + b"\0"
            elif key in ("IFMarker", "OFMarker") and not self.does("answers_not"):
                value = "NotUnderstood" if self.does("not_understood") else "No"
                text += f"{key}={value}".encode() + b"\0"
        return text

    @staticmethod
    def pairs_of(text):
        if text and not text.endswith(b"\0"):
            raise Broken("text without an end")
        if any(b"=" not in one or one[:1] == b"=" for one in text.split(b"\0") if one):
            raise Broken("no pair")
        return wire.pairs_in(text)

    login_itt = 0x50

    def send_login(self, stage, following, text):
        first = stage == 0
        itt = self.login_itt if first or not self.does("login_itt_changes") else 0x51
        isid = ISID if first or not self.does("isid_changes") else ISID[:5] + b"\x9b"
        flags = 0x80 | (stage << 2) | following
        if self.does("stage_2") and first:
            flags = 0x80 | 2
        tail = b"\0\1" if self.does("tsih_invented") else b"\0\0"
        bhs20 = 0x10000 if self.does("cid_changes") and not first else 0
        self.login_itt = itt
        self.send(wire.LOGIN, flags, text, immediate=not self.does("login_not_immediate"), itt=itt,
                  lun=isid + tail, w20=bhs20, cmdsn=self.cmd_sn, expstatsn=self.exp_stat_sn)

    # Commands

    def tag(self):
        if self.does("itt_none"):
            return wire.NO_TAG
        self.next_itt += 1
        return self.next_itt

    def number(self, immediate=False):
        value = self.cmd_sn
        if not immediate or self.does("cmdsn_of_immediate"):
            self.cmd_sn += 2 if self.does("cmdsn_skips") else 1
        return value

    def wait_for_window(self):
        while wire.before(self.max_cmd_sn, self.cmd_sn):
            self.other(self.receive())

    def command(self, cdb, length=0, data=None):
        """Runs one command; gives its data."""
        self.wait_for_window()
        itt = self.tag()
        flags = 0x81 if not self.does("attribute") else 0x80
        if data is not None:
            length, flags = len(data), flags | 0x20
        elif length:
            flags |= 0x40
        if self.does("read_and_write"):
            flags |= 0x60
        cdb = cdb + bytes(16 - len(cdb))
        if self.does("cdb_tail"):
            cdb = cdb[:15] + b"\1"
        immediate, first_burst = self.unsolicited(data)
        if first_burst > len(immediate):
            flags &= 0x7f
        self.send(wire.SCSI_COMMAND, flags, immediate, itt=itt, w20=length, cmdsn=self.number(),
                  expstatsn=self.acknowledged(), cdb=cdb)
        if first_burst > len(immediate):
            self.data_out(itt, data, len(immediate), first_burst, wire.NO_TAG, bytes(8))
        self.more_than_allowed(itt)
        return self.finish(itt, length, data)

    def more_than_allowed(self, itt):
        """What must not follow a command."""
        if self.does("snack_at_level_0"):
            self.send(wire.SNACK, 0x80, itt=itt, w20=wire.NO_TAG, expstatsn=self.acknowledged())
        if self.does("itt_reused"):
            self.send(wire.NOP_OUT, 0x80, immediate=True, itt=itt, w20=wire.NO_TAG,
                      cmdsn=self.cmd_sn, expstatsn=self.acknowledged())
        if self.does("window_ignored"):
            self.send(wire.SCSI_COMMAND, 0x81, itt=self.tag(), cmdsn=self.number(),
                      expstatsn=self.acknowledged(), cdb=bytes(16))

    def unsolicited(self, data):
        """(immediate data, bytes of the whole first burst)."""
        if data is None:
            return b"", 0
        burst = min(int(self.agreed["FirstBurstLength"], 0), len(data))
        if self.does("first_burst_ignored"):
            burst = len(data)
        immediate = b""
        if self.agreed["ImmediateData"] == "Yes" or self.does("immediate_unagreed"):
            limit = min(burst, int(self.agreed["MaxRecvDataSegmentLength"], 0))
            immediate = data[:limit]
            if self.does("immediate_too_long"):
                immediate = data[:limit + 512]
        if self.agreed["InitialR2T"] == "Yes":
            return immediate, len(immediate)
        return immediate, burst

    def data_out(self, itt, data, start, end, ttt, lun):
        limit = int(self.agreed["MaxRecvDataSegmentLength"], 0)
        limit = limit * 2 if self.does("data_too_long") else limit & ~3
        if self.does("r2t_short") and ttt != wire.NO_TAG:
            end -= 512
        number = 1 if self.does("data_sn") else 0
        if self.does("data_lun") and ttt != wire.NO_TAG:
            lun = bytes([0, 9]) + bytes(6)
        ttt = ttt + 1 if self.does("data_tag") and ttt != wire.NO_TAG else ttt
        while start < end:
            size = min(limit, end - start)
            is_last = start + size == end
            if self.does("data_final_early"):
                is_last = True
            if self.does("data_final_late"):
                is_last = False
            at = start + 4 if self.does("data_offset") else start
            self.send(wire.DATA_OUT, 0x80 if is_last else 0, data[start:start + size], itt=itt,
                      w20=ttt, lun=lun, expstatsn=self.acknowledged(), w36=number, w40=at)
            start, number = start + size, number + 1

    def finish(self, itt, length, data):
        """Serves the command to its end."""
        buffer, arrived, data_sn = bytearray(length), 0, 0
        while True:
            pdu = self.receive()
            if pdu.itt != itt or pdu.opcode in (wire.NOP_IN, wire.ASYNC, wire.REJECT):
                self.other(pdu)
            elif pdu.opcode == wire.DATA_IN:
                at = pdu.u32(40)
                is_bad = at + len(pdu.data) > length or pdu.u32(36) != data_sn or data is not None
                if is_bad and not self.does("takes_any_data"):
                    raise Broken("Data-In")
                buffer[at:at + len(pdu.data)] = pdu.data
                arrived, data_sn = arrived + len(pdu.data), data_sn + 1
                if pdu.bhs[1] & 1:
                    return self.done(pdu.bhs[3], pdu, buffer, arrived, length)
            elif pdu.opcode == wire.R2T and data is not None:
                offset, wanted = pdu.u32(40), pdu.u32(44)
                is_bad = offset + wanted > length or not wanted or pdu.ttt == wire.NO_TAG
                if is_bad and not self.does("takes_any_r2t"):
                    raise Broken("R2T")
                padded = data + bytes(max(0, min(1 << 16, offset + wanted - length)))
                self.data_out(itt, padded, offset % (length or 1),
                              min(offset % (length or 1) + wanted, len(padded)), pdu.ttt, pdu.lun)
            elif pdu.opcode == wire.SCSI_RESPONSE:
                if pdu.bhs[2] and not self.does("takes_any_status"):
                    raise Broken("response")
                return self.done(pdu.bhs[3], pdu, buffer, arrived, length if data is None else 0)
            else:
                raise Broken("a PDU that does not fit")

    def done(self, status, pdu, buffer, arrived, length):
        if status and not self.does("takes_any_status"):
            return None
        residual = pdu.u32(44) if pdu.bhs[1] & 2 else 0
        if arrived < length - residual and not self.does("takes_short_read"):
            return None
        return bytes(buffer)

    def other(self, pdu):
        """What is not about the command in hand."""
        if pdu.opcode == wire.NOP_IN and pdu.ttt == wire.NO_TAG and self.does("nop_to_news"):
            self.send(wire.NOP_OUT, 0x80, immediate=True, itt=wire.NO_TAG, w20=wire.NO_TAG,
                      cmdsn=self.cmd_sn, expstatsn=self.acknowledged())
        if pdu.opcode == wire.NOP_IN and pdu.ttt != wire.NO_TAG:
            if not self.does("nop_unanswered"):
                itt = 0x99 if self.does("nop_itt") else wire.NO_TAG
                lun = bytes(8) if self.does("nop_lun") else pdu.lun
                self.send(wire.NOP_OUT, 0x80, immediate=True, itt=itt, w20=pdu.ttt, lun=lun,
                          cmdsn=self.number(immediate=True), expstatsn=self.acknowledged())
        elif pdu.opcode == wire.ASYNC and self.does("drops_on_async"):
            raise Broken("news")
        elif pdu.opcode not in (wire.NOP_IN, wire.ASYNC) and not self.does("takes_any_opcode"):
            raise Broken("a PDU that nobody asked for")

    def extras(self):
        """Requests that only some mistakes send."""
        if self.does("text_in_full_feature"):
            self.send(wire.TEXT, 0x80, b"MaxBurstLength=512\0", immediate=True, itt=self.tag(),
                      w20=wire.NO_TAG, cmdsn=self.cmd_sn, expstatsn=self.acknowledged())
            self.receive()
        if self.does("ping_lun"):
            self.send(wire.NOP_OUT, 0x80, immediate=True, itt=self.tag(), w20=wire.NO_TAG,
                      lun=bytes([0, 1]) + bytes(6), cmdsn=self.cmd_sn,
                      expstatsn=self.acknowledged())
            self.receive()

    def logout(self):
        reason = 2 if self.does("logout_reason") else 0
        self.send(wire.LOGOUT, 0x80 | reason, immediate=True, itt=0x7000, cmdsn=self.cmd_sn,
                  expstatsn=self.acknowledged())
        if self.does("words_after_logout"):
            self.send(wire.SCSI_COMMAND, 0x81, itt=0x7001, cmdsn=self.number(),
                      expstatsn=self.acknowledged(), cdb=bytes(16))
        while self.receive().opcode != wire.LOGOUT_RESPONSE:
            pass
        self.stream.close()


def read(initiator, length):
    data = b""
    while len(data) < length:
        blocks = min(length - len(data), 65536) // BLOCK
        cdb = struct.pack(">BBIBHB", 0x28, 0, len(data) // BLOCK, 0, blocks, 0)
        part = None
        for _ in range(8):
            part = initiator.command(cdb, blocks * BLOCK)
            if part is not None:
                break
        if part is None:
            raise Broken("a read does not come to a good end")
        data += part
    return data


def write(initiator, data):
    cdb = struct.pack(">BBIBHB", 0x2a, 0, 0, 0, len(data) // BLOCK, 0)
    for _ in range(8):
        if initiator.command(cdb, data=data) is not None:
            return
    raise Broken("a write does not come to a good end")


def parsed(mistakes):
    parser = argparse.ArgumentParser()
    parser.add_argument("--mistake", choices=sorted(mistakes))
    parser.add_argument("kind")
    parser.add_argument("url")
    parser.add_argument("--length", type=int, default=0)
    return parser.parse_args()


def once(options, given, kind):
    host, _, rest = options.url[len("iscsi://"):].partition(":")
    port, target, _ = rest.split("/")
    initiator = kind(host, int(port), target, options.mistake)
    initiator.login()
    if initiator.tsih == 0:
        raise Broken("no handle")
    data = b""
    if options.kind == "write":
        write(initiator, given)
    elif options.kind in ("read", "inquiry"):
        data = read(initiator, options.length if options.kind == "read" else BLOCK)
    initiator.extras()
    initiator.logout()
    return data


def main(kind=Initiator, mistakes=frozenset(MISTAKES)):
    options = parsed(mistakes)
    if options.kind not in ("read", "write", "inquiry"):
        return 77
    given = sys.stdin.buffer.read() if options.kind == "write" else b""
    attempts = 3 if options.mistake == "retries_refusal" else 2
    for _ in range(attempts):
        try:
            sys.stdout.buffer.write(once(options, given, kind))
            return 0
        except (Broken, OSError, struct.error) as error:
            print(f"played: {error}", file=sys.stderr)
            if "refused: 0x2" in str(error) and options.mistake != "retries_refusal":
                return 1
    return 1


if __name__ == "__main__":
    sys.exit(main())
