"""Rules of commands and their data. RFC 7143 sections 4.2.5, 11.3, 11.7, 11.8."""

from . import wire
from .rules import TARGET, rule, session_rule


class Write:
    """What one write command may still send."""

    def __init__(self, pdu, connection):
        self.pdu = pdu
        self.connection = connection
        self.length = pdu.u32(20)
        self.immediate = len(pdu.data)
        self.first_burst = min(connection.number("FirstBurstLength"), self.length)
        self.unsolicited = self.immediate
        self.sequences = {}  # By transfer tag: [next offset, end, next DataSN].
        if not pdu.is_final:
            self.sequences[wire.NO_TAG] = [self.immediate, self.first_burst, 0]


@rule
def commands_are_well_formed(connection):
    for pdu in connection.sent(wire.SCSI_COMMAND):
        reads, writes, attribute = pdu.bhs[1] & 0x40, pdu.bhs[1] & 0x20, pdu.bhs[1] & 7
        if attribute != 1:
            yield "TSK-01", f"{pdu}: task attribute {attribute}, not simple"
        if reads and writes:
            yield "PDU-14", f"{pdu}: R and W at once"
        if bool(reads or writes) != bool(pdu.u32(20)):
            yield "WRI-08", f"{pdu}: direction does not fit a length of {pdu.u32(20)}"
        if not pdu.is_final and not writes:
            yield "WRI-07", f"{pdu}: neither F nor W"
        if pdu.data and not writes:
            yield "WRI-08", f"{pdu}: data without W"
        yield from cdb_is_well_formed(pdu)


def cdb_is_well_formed(pdu):
    """Bytes beyond the command's own length are 0. Section 11.3.5."""
    size = {0: 6, 1: 10, 2: 10, 4: 16, 5: 12}.get(pdu.bhs[32] >> 5, 16)
    if any(pdu.bhs[32 + size:48]):
        yield "TSK-02", f"{pdu}: bytes behind a CDB of {size}"


@rule
def unsolicited_data_is_what_was_agreed(connection):
    initial_r2t = connection.agreed("InitialR2T") != "No"
    immediate = connection.agreed("ImmediateData") != "No"
    segment = connection.number("MaxRecvDataSegmentLength")
    for pdu in connection.sent(wire.SCSI_COMMAND):
        if not pdu.bhs[1] & 0x20:
            continue
        length = pdu.u32(20)
        if pdu.data and not immediate:
            yield "WRI-01", f"{pdu}: immediate data was not agreed"
        if len(pdu.data) > min(connection.number("FirstBurstLength"), segment, length):
            yield "WRI-05", f"{pdu}: {len(pdu.data)} bytes of immediate data"
        if not pdu.is_final and initial_r2t:
            yield "WRI-02", f"{pdu}: announces unsolicited data that was not agreed"
        if not pdu.is_final and len(pdu.data) == length:
            yield "WRI-07", f"{pdu}: all data is there, and F is not set"


@session_rule
def data_out_follows_its_command(session):
    """Offsets, DataSN, F and lengths of each sequence; each R2T is served whole."""
    writes, burst = {}, session.leading.number("MaxBurstLength")
    for connection, pdu in session.pdus():
        if pdu.sent and pdu.opcode == wire.SCSI_COMMAND and pdu.bhs[1] & 0x20:
            writes[pdu.itt] = Write(pdu, connection)
        elif pdu.sent and pdu.opcode == wire.TASK_MANAGEMENT and pdu.bhs[1] & 0x7f == 8:
            if pdu.u32(20) in writes:  # It moves; what was asked for on its old connection is void.
                writes[pdu.u32(20)].sequences.clear()
        elif pdu.opcode == wire.R2T and pdu.itt in writes:
            offset, length = pdu.u32(40), pdu.u32(44)
            writes[pdu.itt].sequences[pdu.ttt] = [offset, offset + length, 0]
            if length > burst:
                yield TARGET, f"{pdu}: the target asks for more than a burst"
        elif pdu.sent and pdu.opcode == wire.DATA_OUT:
            write = writes.get(pdu.itt)
            if write is None or pdu.ttt not in write.sequences:
                yield "WRI-10", f"{pdu}: nobody asked for it"
                continue
            if pdu.ttt != wire.NO_TAG and pdu.lun != write.pdu.lun:
                yield "WRI-10", f"{pdu}: the LUN is not that of the R2T"
            yield from stands_in_order(pdu, writes)
            yield from take_data_out(pdu, write)
        elif not pdu.sent and pdu.opcode == wire.SCSI_RESPONSE and pdu.itt in writes:
            yield from response_to_write(pdu, writes)


def response_to_write(pdu, writes):
    write = writes[pdu.itt]
    if pdu.bhs[2] == 0 and pdu.bhs[3] == 0 and write.sequences:
        yield TARGET, f"{pdu}: sequences are left open: {write.sequences}"
    if not write.sequences:  # Else what was on its way when the response left may still come.
        del writes[pdu.itt]


def stands_in_order(pdu, writes):
    """Unsolicited bursts in the order of their commands, R2Ts of a task in the order of arrival."""
    if pdu.ttt == wire.NO_TAG:
        mine = writes[pdu.itt].connection
        earlier = [itt for itt, write in writes.items()
                   if wire.NO_TAG in write.sequences and write.connection is mine]
        if earlier[0] != pdu.itt:
            yield "WRI-09", f"{pdu}: overtakes the unsolicited data of task {earlier[0]:#x}"
        return
    solicited = [ttt for ttt in writes[pdu.itt].sequences if ttt != wire.NO_TAG]
    if solicited[0] != pdu.ttt:
        yield "R2T-05", f"{pdu}: overtakes an earlier R2T of its task"


def take_data_out(pdu, write):
    state = write.sequences[pdu.ttt]
    offset, end, number = state
    if pdu.u32(40) != offset:
        yield "WRI-13", f"{pdu}: offset {pdu.u32(40)}, expected {offset}"
    if pdu.u32(36) != number:
        yield "WRI-11", f"{pdu}: DataSN {pdu.u32(36)}, expected {number}"
    state[0], state[2] = offset + len(pdu.data), number + 1
    if state[0] > end:
        row = "WRI-04" if pdu.ttt == wire.NO_TAG else "R2T-01"
        yield row, f"{pdu}: beyond its sequence, {state[0]} of {end}"
    if pdu.is_final != (state[0] == end):
        row = "WRI-06" if pdu.ttt == wire.NO_TAG else "WRI-14"
        yield row, f"{pdu}: F is {pdu.is_final} at {state[0]} of {end}"
    if not pdu.is_final and len(pdu.data) % 4:
        yield "WRI-15", f"{pdu}: {len(pdu.data)} bytes, not a multiple of 4"
    if pdu.is_final:
        del write.sequences[pdu.ttt]


@session_rule
def tasks_stay_on_their_connection(session):
    """Data and SNACKs of a command go where the command went, unless it was reassigned."""
    home = {}
    for connection, pdu in session.pdus():
        if not pdu.sent:
            continue
        if pdu.opcode == wire.SCSI_COMMAND:
            home[pdu.itt] = connection
        elif pdu.opcode == wire.TASK_MANAGEMENT and pdu.bhs[1] & 0x7f == 8:
            home[pdu.u32(20)] = connection
        elif pdu.opcode in (wire.DATA_OUT, wire.SNACK) and pdu.itt in home:
            if home[pdu.itt] is not connection:
                yield "MCS-01", f"{pdu}: on another connection than its command"
