"""Rules of the numbers: CmdSN and its window, StatSN, task tags. RFC 7143 section 4.2.2."""

from . import wire
from .rules import rule, session_rule

ABORT_TASK = 1
NUMBERED = (wire.NOP_OUT, wire.SCSI_COMMAND, wire.TASK_MANAGEMENT, wire.TEXT, wire.LOGOUT)


@session_rule
def command_numbers_count_up(session):
    """One more for each request that is not immediate, over all connections of the session."""
    logins = session.leading.sent(wire.LOGIN)
    if not logins:
        return
    next_number = logins[0].u32(24)
    is_alone = len(session.connections) == 1
    used, rejected, last = {}, set(), {}
    for connection, pdu in session.pdus():
        if not pdu.sent:
            if pdu.opcode == wire.REJECT and len(pdu.data) >= wire.BHS_BYTES:
                rejected.add(int.from_bytes(pdu.data[24:28], "big"))
            continue
        if pdu.opcode not in NUMBERED or (pdu.opcode == wire.NOP_OUT and pdu.itt == wire.NO_TAG
                                          and not is_alone):
            continue
        number = pdu.u32(24)
        if pdu.is_immediate:
            if is_alone and number != next_number and number not in rejected:
                yield "SEQ-01", f"{pdu}: CmdSN {number:#x}, expected {next_number:#x}"
                return
            continue
        if number in used:
            yield from retry_is_the_same(pdu, used[number], session, number in rejected)
            continue
        if is_alone and number != next_number:
            yield "SEQ-01", f"{pdu}: CmdSN {number:#x}, expected {next_number:#x}"
            return
        before = last.get(id(connection))
        if before is not None and not wire.before(before, number):
            yield "SEQ-03", f"{pdu}: CmdSN {number:#x} after {before:#x} on one connection"
        used[number] = pdu
        last[id(connection)] = number
        if not wire.before(number, next_number):
            next_number = (number + 1) & 0xffffffff


def retry_is_the_same(pdu, first, session, was_rejected):
    """A CmdSN comes again only as a retry of the same request, or to plug the gap of a Reject."""
    if was_rejected:
        return
    if session.level() < 1:
        yield "SEQ-01", f"{pdu}: CmdSN {pdu.u32(24):#x} is used again at recovery level 0"
    elif pdu.bhs[:28] != first.bhs[:28] or pdu.bhs[32:] != first.bhs[32:]:
        yield "ER1-12", f"{pdu}: a retry of {first} differs from it"


@session_rule
def commands_stay_in_the_window(session):
    biggest = None
    for connection in session.connections:
        for pdu in connection.login():
            if not pdu.sent and pdu.opcode == wire.LOGIN_RESPONSE and pdu.u16(36) == 0:
                if biggest is None or wire.before(biggest, pdu.u32(32)):
                    biggest = pdu.u32(32)
    for _, pdu in session.pdus():
        if not pdu.sent:
            expected, most = pdu.u32(28), pdu.u32(32)
            if wire.before(most, (expected - 1) & 0xffffffff):
                continue
            if biggest is None or wire.before(biggest, most):
                biggest = most
        elif not pdu.is_immediate and pdu.opcode in NUMBERED and biggest is not None:
            if wire.before(biggest, pdu.u32(24)):
                yield "SEQ-05", f"{pdu}: CmdSN {pdu.u32(24):#x} beyond MaxCmdSN {biggest:#x}"


def carries_status(pdu):
    """Whether a PDU of the target advances the StatSN. Section 11."""
    if pdu.opcode == wire.R2T or (pdu.opcode == wire.DATA_IN and not pdu.bhs[1] & 1):
        return False
    return not (pdu.opcode == wire.NOP_IN and pdu.itt == wire.NO_TAG)


@rule
def status_numbers_are_acknowledged(connection):
    """ExpStatSN is never ahead of what the target sent, never goes back, and keeps up: who logs
    out has taken the ends of its commands; other statuses may be on their way meanwhile."""
    seen, last, is_whole, ended = None, None, True, None
    given_up, owed = tasks_given_up(connection), None
    for pdu in connection.pdus:
        if not pdu.sent:
            if carries_status(pdu):
                after = (pdu.u32(24) + 1) & 0xffffffff
                if pdu.faults:
                    is_whole = False
                elif seen is None or wire.before(seen, after):
                    is_whole = is_whole and seen in (None, pdu.u32(24))
                    seen = after
                    if pdu.opcode in (wire.SCSI_RESPONSE, wire.DATA_IN) and \
                            pdu.itt not in given_up:
                        ended = after
            continue
        if seen is None or pdu.opcode not in wire.FROM_INITIATOR:
            continue
        acknowledged = pdu.u32(28)
        if wire.before(seen, acknowledged):
            yield "STA-01", f"{pdu}: ExpStatSN {acknowledged:#x} ahead of {seen:#x}"
        if last is not None and wire.before(acknowledged, last):
            yield "STA-01", f"{pdu}: ExpStatSN goes back from {last:#x} to {acknowledged:#x}"
        last = acknowledged
        if pdu.opcode == wire.LOGOUT and ended is not None:
            owed = (pdu, ended)
    if is_whole and owed is not None and wire.before(owed[0].u32(28), owed[1]):
        yield "STA-01", f"{owed[0]}: leaves statuses unacknowledged"


def tasks_given_up(connection):
    """Task tags that a task management function named or hit: their answers are not waited for."""
    sent, given_up = [], set()
    for pdu in connection.sent(wire.SCSI_COMMAND, wire.TASK_MANAGEMENT):
        if pdu.opcode == wire.SCSI_COMMAND:
            sent.append(pdu.itt)
        elif pdu.bhs[1] & 0x7f == ABORT_TASK:
            given_up.add(pdu.u32(20))
        else:
            given_up.update(sent)
    return given_up


@session_rule
def task_tags_are_unique_while_alive(session):
    alive = {}
    for _, pdu in session.pdus():
        if not pdu.sent:
            end_tasks(alive, pdu)
            continue
        if pdu.opcode not in NUMBERED:
            continue
        if pdu.itt == wire.NO_TAG:
            if pdu.opcode != wire.NOP_OUT or not pdu.is_immediate:
                yield ("NOP-04" if pdu.opcode == wire.NOP_OUT else "PDU-16",
                       f"{pdu}: the reserved task tag")
            continue
        old = alive.get(pdu.itt)
        if old is not None and pdu.opcode != wire.TEXT and not is_retry(old, pdu):
            yield "PDU-16", f"{pdu}: the task tag is in use"
        alive[pdu.itt] = pdu


def is_retry(old, pdu):
    return old.opcode == pdu.opcode and old.u32(24) == pdu.u32(24) and not pdu.is_immediate


def end_tasks(alive, pdu):
    """Takes the tasks that a PDU of the target ends out of `alive`."""
    if pdu.opcode == wire.REJECT and len(pdu.data) >= wire.BHS_BYTES:
        alive.pop(int.from_bytes(pdu.data[16:20], "big"), None)
    if pdu.opcode == wire.TASK_MANAGEMENT_RESPONSE and pdu.itt in alive:
        request = alive[pdu.itt]
        if request.bhs[1] & 0x7f == 1:
            alive.pop(request.u32(20), None)
        elif request.bhs[1] & 0x7f != 8 and pdu.bhs[2] == 0:
            alive.clear()
    ends = pdu.opcode in (wire.SCSI_RESPONSE, wire.TASK_MANAGEMENT_RESPONSE, wire.NOP_IN,
                          wire.LOGOUT_RESPONSE) or (pdu.opcode == wire.TEXT_RESPONSE
                                                    and pdu.is_final)
    if ends or (pdu.opcode == wire.DATA_IN and pdu.bhs[1] & 1):
        alive.pop(pdu.itt, None)
