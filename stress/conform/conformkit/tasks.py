"""Ordinary behaviour of the scripted target in full feature phase."""

from . import disk, vocabulary, wire
from .draft import Draft, text_of
from .login import GROUP_TAG, TARGET_NAME

FIRST_TTT = 0x7000


class Write:
    """A write that still waits for data."""

    def __init__(self, request, place, link):
        self.request = request
        self.link = link
        self.place = place
        self.length = request.u32(20)
        self.bytes = bytearray(self.length)
        self.arrived = 0
        self.asked = 0
        self.r2t_sn = 0
        self.ttt = None


class Session:
    """What the connections of a session share: numbers, window, tasks."""

    def __init__(self, target, tsih, name, isid, cmd_sn):
        self.target = target
        self.tsih, self.name, self.isid = tsih, name, isid
        self.window = int(target.case.settings.get("window", "32"), 0)
        self.exp_cmd_sn = cmd_sn
        self.highest = None
        self.is_discovery = False
        self.leading = None  # The link whose login made the session.
        self.links = {}
        self.waiting = {}  # CmdSN: (link, pdu) that came too early.
        self.writes = {}
        self.reads = {}  # ITT: the Data-In PDUs of a read, for Data SNACK.
        self.next_ttt = FIRST_TTT
        self.texts = {}  # TTT: the rest of a long answer.

    @property
    def max_cmd_sn(self):
        """Never lower than it was announced."""
        value = (self.exp_cmd_sn + self.window - 1) & wire.NO_TAG
        if self.highest is None or wire.before(self.highest, value):
            self.highest = value
        return self.highest

    # Numbers

    def arrive(self, link, pdu):
        """The PDUs that may be worked on now, in the order of CmdSN."""
        if pdu.opcode in (wire.DATA_OUT, wire.SNACK) or pdu.is_immediate:
            return [(link, pdu)]
        number = pdu.u32(24)
        if number != self.exp_cmd_sn:
            if wire.before(self.exp_cmd_sn, number):
                self.waiting[number] = (link, pdu)
            return []
        ready = [(link, pdu)]
        self.exp_cmd_sn = (number + 1) & wire.NO_TAG
        while self.exp_cmd_sn in self.waiting:
            ready.append(self.waiting.pop(self.exp_cmd_sn))
            self.exp_cmd_sn = (self.exp_cmd_sn + 1) & wire.NO_TAG
        return ready

    def work(self, link, pdu):
        """Does what an ordinary target does with a PDU."""
        name = vocabulary.name_of(pdu).lower()
        if pdu.faults and any("digest" in one for one in pdu.faults):
            return
        getattr(self, "on_" + name, self.on_other)(link, pdu)

    def on_other(self, link, pdu):
        link.send(Draft("REJECT", reason=4, itt=wire.NO_TAG, data=pdu.bhs))

    # Commands

    def on_scsi_command(self, link, pdu):
        cdb, lun = pdu.bhs[32:48], pdu.bhs[8:16]
        if vocabulary.command_of(cdb) == "WRITE":
            self.begin_write(link, pdu)
            return
        reply = self.target.disk.command(lun, cdb)
        self.answer(link, pdu, reply)

    def answer(self, link, pdu, reply):
        if reply.status != disk.GOOD:
            link.reply(Draft("SCSI_RESPONSE", status=reply.status, data=reply.sense), pdu)
            return
        expected = pdu.u32(20) if pdu.bhs[1] & 0x40 else 0
        data, room = reply.data[:expected], expected - len(reply.data)
        drafts = self.data_in(link, data)
        separate = self.target.case.settings.get("separate_status") == "yes"
        if not drafts or separate:
            drafts.append(Draft("SCSI_RESPONSE", expdatasn=len(drafts)))
        else:
            drafts[-1].set("S", 1)
        if room > 0:
            drafts[-1].set("U", 1)
            drafts[-1].set("residual", room)
        elif room < 0:
            drafts[-1].set("O", 1)
            drafts[-1].set("residual", -room)
        self.reads[pdu.itt] = [one for one in drafts if one.name == "DATA_IN"]
        for one in drafts:
            link.reply(one, pdu)

    def data_in(self, link, data):
        """The Data-In PDUs for `data`: cut at the initiator's limits, F at each burst's end."""
        limit = int(link.record.offered.get("MaxRecvDataSegmentLength", "8192"), 0)
        pieces = int(self.target.case.settings.get("pieces", "0"), 0)
        limit = min(limit, pieces) if pieces else limit
        burst = link.record.number("MaxBurstLength")
        drafts, at, in_burst = [], 0, 0
        while at < len(data):
            size = min(limit, len(data) - at, burst - in_burst)
            draft = Draft("DATA_IN", itt=0, ttt=wire.NO_TAG, datasn=len(drafts), offset=at,
                          data=data[at:at + size])
            draft.given.discard("itt")
            at, in_burst = at + size, in_burst + size
            draft.set("F", 1 if at == len(data) or in_burst == burst else 0)
            in_burst %= burst
            drafts.append(draft)
        return drafts

    # Writes

    def begin_write(self, link, pdu):
        place = self.target.disk.range(pdu.bhs[32:48])
        lun = int.from_bytes(pdu.bhs[8:10], "big") & 0x3fff
        if place is None or lun >= self.target.disk.units:
            link.reply(Draft("SCSI_RESPONSE", status=2,
                             data=disk.refused(0x21 if place is None else 0x25).sense), pdu)
            return
        write = Write(pdu, place, link)
        self.writes[pdu.itt] = write
        write.bytes[:len(pdu.data)] = pdu.data
        write.arrived = write.asked = len(pdu.data)
        if not pdu.is_final:
            write.asked = min(link.record.number("FirstBurstLength"), write.length)
        self.continue_write(link, write, pdu.is_final)

    def on_data_out(self, link, pdu):
        write = self.writes.get(pdu.itt)
        if write is None:
            return
        at = pdu.u32(40)
        if at + len(pdu.data) <= write.length:
            write.bytes[at:at + len(pdu.data)] = pdu.data
            write.arrived += len(pdu.data)
        self.continue_write(link, write, pdu.is_final)

    def continue_write(self, link, write, is_sequence_over):
        if not is_sequence_over:
            return
        if write.asked < write.length:
            size = min(link.record.number("MaxBurstLength"), write.length - write.asked)
            write.ttt = self.take_ttt()
            r2t = Draft("R2T", ttt=write.ttt, r2tsn=write.r2t_sn, offset=write.asked, wanted=size)
            write.asked += size
            write.r2t_sn += 1
            link.reply(r2t, write.request)
            return
        start, size = write.place
        self.target.disk.data[start:start + size] = write.bytes[:size]
        self.writes.pop(write.request.itt, None)
        link.reply(Draft("SCSI_RESPONSE", expdatasn=write.r2t_sn), write.request)

    def take_ttt(self):
        self.next_ttt += 1
        return self.next_ttt

    # The rest

    def on_nop_out(self, link, pdu):
        if pdu.itt != wire.NO_TAG:
            link.reply(Draft("NOP_IN", itt=pdu.itt, ttt=wire.NO_TAG, data=pdu.data), pdu)

    def on_tmf(self, link, pdu):
        function = pdu.bhs[1] & 0x7f
        response = 0
        if function == 1 and self.writes.pop(pdu.u32(20), None) is None:
            response = 1
        elif function == 8:
            response = 4
        elif function != 1:
            self.writes.clear()
        link.reply(Draft("TMF_RESPONSE", response=response), pdu)

    def on_logout(self, link, pdu):
        reason = pdu.bhs[1] & 0x7f
        link.reply(Draft("LOGOUT_RESPONSE", response=0), pdu)
        if reason == 2:
            return
        for one in list(self.links.values()) if reason == 0 else [link]:
            if one.is_open:
                one.finish()

    def on_text(self, link, pdu):
        if pdu.ttt != wire.NO_TAG and pdu.ttt in self.texts:
            rest = self.texts.pop(pdu.ttt)
        else:
            rest = text_of(self.text_answer(link, dict(pdu.keys())))
        limit = int(link.record.offered.get("MaxRecvDataSegmentLength", "8192"), 0)
        draft = Draft("TEXT_RESPONSE", ttt=wire.NO_TAG, data=rest[:limit])
        if len(rest) > limit:
            ttt = self.take_ttt()
            self.texts[ttt] = rest[limit:]
            draft.set("F", 0)
            draft.set("C", 1)
            draft.set("ttt", ttt)
        link.reply(draft, pdu)

    def text_answer(self, link, keys):
        if "SendTargets" in keys:
            host, port = self.target.portal
            count = int(self.target.case.settings.get("portals", "1"), 0)
            names = [TARGET_NAME] + [f"{TARGET_NAME}.{n}" for n in range(1, count)]
            return [pair for name in names for pair in
                    (("TargetName", name), ("TargetAddress", f"{host}:{port},{GROUP_TAG}"))]
        return [(key, value if key == "MaxRecvDataSegmentLength" else "NotUnderstood")
                for key, value in keys.items()]

    def on_snack(self, link, pdu):
        kind, first, count = pdu.bhs[1] & 0x0f, pdu.u32(40), pdu.u32(44)
        if link.record.number("ErrorRecoveryLevel") < 1:
            self.on_other(link, pdu)
        elif kind == 1:
            for one in [n for n in sorted(link.kept) if n >= first][:count or None]:
                link.resend(link.kept[one])
        elif kind == 0 and pdu.itt in self.reads:
            wanted = self.reads[pdu.itt][first:first + count if count else None]
            for one in wanted:
                link.resend(one)
