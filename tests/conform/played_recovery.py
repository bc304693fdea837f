#!/usr/bin/env python3
"""The played initiator with recovery levels 1 and 2 and a second connection, or with one mistake in
them. Called as played_initiator.py is."""

import struct
import sys

import played_initiator
from played_initiator import ISID, Broken, Initiator, wire

MISTAKES = {
    "snack_run", "snack_tag", "status_snack_run", "ack_tag", "ack_early", "no_snack",
    "retry_differs", "reassign_not_immediate", "reassign_tag", "second_keys", "second_handle",
    "keeps_pretended", "acks_early", "resends_unasked", "reassigns_nothing_retained",
}
CLOSED = "the target closed"


class Task:
    """What arrived of the command in hand."""

    def __init__(self, itt, length, data):
        self.itt, self.length, self.data = itt, length, data
        self.buffer = bytearray(length)
        self.seen = set()  # DataSN.
        self.asked = set()
        self.count = None  # From the status.
        self.waits_for_ack = None  # The Data-In with the A bit.
        self.r2t_sn = 0
        self.is_spoilt = False

    def holes(self, end):
        return [one for one in range(end) if one not in self.seen]


class Recovering(Initiator):
    keys_of_level = [("ErrorRecoveryLevel", "2"), ("MaxConnections", "2"),
                     ("MaxOutstandingR2T", "4"), ("DefaultTime2Retain", "20")]

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.held = set()  # StatSNs that came out of order.
        self.held_back = 0
        self.task = None
        self.sent_command = None
        self.second = None

    def level(self):
        return int(self.agreed["ErrorRecoveryLevel"])

    def login(self):
        super().login()
        if int(self.agreed["MaxConnections"]) > 1:
            self.add_connection()

    # Another connection

    def add_connection(self):
        """Joins with a second connection, which then rests; a refusal changes nothing."""
        other = Initiator(*self.portal, self.target, None)
        try:
            self.join(other, cid=1)
        except (Broken, OSError):
            other.stream.close()
            return
        self.second = other

    def join(self, other, cid):
        keys = [("InitiatorName", "iqn.2026-01.test:played"), ("TargetName", self.target)]
        text = b"".join(f"{key}={value}".encode() + b"\0" for key, value in keys)
        extra = b"MaxBurstLength=512\0" if self.does("second_keys") else b""
        handle = self.tsih + 1 if self.does("second_handle") else self.tsih
        for flags, part in ((0x81, text + b"AuthMethod=None\0"),
                            (0x87, b"HeaderDigest=None\0DataDigest=None\0" + extra)):
            other.send(wire.LOGIN, flags, part, immediate=True, itt=0x60,
                       lun=ISID + struct.pack(">H", handle), w20=cid << 16, cmdsn=self.cmd_sn,
                       expstatsn=other.exp_stat_sn)
            response = other.receive()
            if response.opcode != wire.LOGIN_RESPONSE or response.u16(36):
                raise Broken("an added connection is refused")
            other.exp_stat_sn = (response.u32(24) + 1) & 0xffffffff
        if response.u16(14) != self.tsih and not self.does("keeps_pretended"):
            raise Broken("another session")

    # Numbers

    def count(self, pdu):
        if self.level() < 1:
            super().count(pdu)
            return
        is_plain = pdu.opcode == wire.DATA_IN and not pdu.bhs[1] & 1
        news = pdu.opcode == wire.NOP_IN and pdu.itt == wire.NO_TAG
        number = pdu.u32(24)
        if not is_plain and wire.before(self.exp_stat_sn, number):
            self.ask_for_status(number)
        if not is_plain and not news and pdu.opcode != wire.R2T:
            self.held.add(number)
            while self.exp_stat_sn in self.held:
                self.held.discard(self.exp_stat_sn)
                self.exp_stat_sn = (self.exp_stat_sn + 1) & 0xffffffff
        if wire.before(self.max_cmd_sn, pdu.u32(32)):
            self.max_cmd_sn = pdu.u32(32)
        if news and pdu.u32(28) == self.cmd_sn - 1 and self.sent_command:
            self.retry()

    def acknowledged(self):
        return (self.exp_stat_sn - self.held_back) & 0xffffffff

    def ask_for_status(self, number):
        run = (number - self.exp_stat_sn) & 0xffffffff
        self.snack(1, wire.NO_TAG, self.exp_stat_sn, run + (self.mistake == "status_snack_run"))

    def snack(self, kind, itt, first, run, ttt=wire.NO_TAG, lun=bytes(8)):
        if self.does("no_snack"):
            return
        self.send(wire.SNACK, 0x80 | kind, itt=itt, w20=ttt, lun=lun,
                  expstatsn=self.acknowledged(), w40=first, w44=run)

    def retry(self):
        """The target does not know the command: the same again."""
        opcode, flags, data, fields = self.sent_command
        if self.does("retry_differs"):
            fields = fields | {"itt": fields["itt"] + 100}
        self.sent_command = None
        super().send(opcode, flags, data, **fields)

    def send(self, opcode, flags, data=b"", immediate=False, **fields):
        if opcode == wire.SCSI_COMMAND:
            self.sent_command = (opcode, flags, data, fields)
        super().send(opcode, flags, data, immediate, **fields)

    def on_damage(self, pdu):
        if self.level() < 1:
            raise Broken("data digest")
        if pdu.opcode == wire.DATA_IN and self.task and pdu.itt == self.task.itt:
            self.ask_for_data([pdu.u32(36)])
        return self.receive()

    # The command in hand

    def ask_for_data(self, holes):
        task = self.task
        holes = [one for one in holes if one not in task.asked]
        if not holes:
            return
        task.asked |= set(holes)
        first = holes[0] + (self.mistake == "snack_run")
        itt = task.itt + 1 if self.does("snack_tag") else task.itt
        self.snack(0, itt, first, holes[-1] - holes[0] + 1)

    def finish(self, itt, length, data):
        if self.level() < 1:
            return super().finish(itt, length, data)
        self.task = Task(itt, length, data)
        while True:
            try:
                is_over, result = self.step(self.receive())
            except (Broken, OSError) as error:
                if isinstance(error, TimeoutError):
                    self.send(wire.NOP_OUT, 0x80, immediate=True, itt=0x6000, w20=wire.NO_TAG,
                              cmdsn=self.cmd_sn, expstatsn=self.acknowledged())
                    continue
                if self.level() < 2 or not self.move():
                    raise
                continue
            if is_over:
                return result

    def step(self, pdu):
        """(is the command over, its data or None)."""
        task = self.task
        if pdu.opcode == wire.TASK_MANAGEMENT_RESPONSE:
            return pdu.bhs[2] != 0, None
        if pdu.opcode == wire.REJECT:
            task.is_spoilt = task.is_spoilt or pdu.bhs[2] == 3
            if pdu.bhs[2] == 2 and self.does("resends_unasked"):
                self.data_out(task.itt, task.data, 0, task.length, 5, bytes(8))
        elif pdu.itt != task.itt or pdu.opcode in (wire.NOP_IN, wire.ASYNC):
            self.other(pdu)
        elif pdu.opcode == wire.DATA_IN:
            self.take_data(pdu)
        elif pdu.opcode == wire.R2T:
            if pdu.u32(36) != task.r2t_sn:
                self.ask_for_data(list(range(task.r2t_sn, pdu.u32(36))))
                return False, None
            task.r2t_sn += 1
            offset = pdu.u32(40)
            self.data_out(task.itt, task.data, offset, offset + pdu.u32(44), pdu.ttt, pdu.lun)
        elif pdu.opcode == wire.SCSI_RESPONSE:
            if pdu.bhs[3] or task.is_spoilt:
                return True, None
            task.count = pdu.u32(36) if task.data is None else 0
            # The status is not acknowledged while data before it is missing.
            self.held_back = 1 if task.holes(task.count) and not self.does("acks_early") else 0
            self.ask_for_data(task.holes(task.count))
        if task.count is not None and not task.holes(task.count):
            self.held_back = 0
            return True, bytes(task.buffer)
        return False, None

    def take_data(self, pdu):
        task, number, at = self.task, pdu.u32(36), pdu.u32(40)
        if at + len(pdu.data) > task.length:
            raise Broken("Data-In")
        self.ask_for_data(task.holes(number))
        task.seen.add(number)
        task.buffer[at:at + len(pdu.data)] = pdu.data
        if pdu.bhs[1] & 0x40 and pdu.ttt != wire.NO_TAG:
            task.waits_for_ack = pdu
        if pdu.bhs[1] & 1:
            task.count = number + 1
        waiting = task.waits_for_ack
        if waiting is None:
            return
        if not task.holes(waiting.u32(36)) or self.does("ack_early"):
            task.waits_for_ack = None
            tag = waiting.ttt + (self.mistake == "ack_tag")
            self.snack(2, wire.NO_TAG, waiting.u32(36) + 1, 0, tag, waiting.lun)

    def move(self):
        """A new connection in the same session, and the task with it; False: not possible."""
        if self.agreed.get("DefaultTime2Retain") == "0" and \
                not self.does("reassigns_nothing_retained"):
            return False
        other = Initiator(*self.portal, self.target, None)
        try:
            self.join(other, cid=0)
        except (Broken, OSError):
            other.stream.close()
            return False
        self.stream, self.received = other.stream, other.received
        self.exp_stat_sn, self.held, self.digests = other.exp_stat_sn, set(), [False, False]
        self.task = Task(self.task.itt, self.task.length, self.task.data)
        ref = self.task.itt + (self.mistake == "reassign_tag")
        immediate = not self.does("reassign_not_immediate")
        self.send(wire.TASK_MANAGEMENT, 0x88, immediate=immediate, itt=0x6100, w20=ref,
                  cmdsn=self.number(immediate), expstatsn=self.exp_stat_sn)
        return True


if __name__ == "__main__":
    sys.exit(played_initiator.main(Recovering, frozenset(MISTAKES)))
