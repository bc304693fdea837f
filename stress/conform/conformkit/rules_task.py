"""Rules of pings, text, task management, SNACK, logout and discovery. RFC 7143 section 11."""

from . import wire
from .rules import recording_rule, rule, session_rule

FULL_FEATURE_KEYS = {"MaxRecvDataSegmentLength", "InitiatorAlias", "SendTargets"}


@rule
def logout_is_the_last_word(connection):
    logouts = connection.sent(wire.LOGOUT)
    if not logouts:
        return
    logout = logouts[0]
    reason = logout.bhs[1] & 0x7f
    if reason not in (0, 1, 2) or not logout.is_final:
        yield "LGO-01", f"{logout}: reason {reason}"
    if reason == 2:
        if connection.number("ErrorRecoveryLevel") < 2:
            yield "LGO-01", f"{logout}: reason 2 below recovery level 2"
        return
    if logout.data:
        yield "PDU-09", f"{logout}: carries data"
    if reason == 1 and logout.u16(20) != connection.sent(wire.LOGIN)[0].u16(20) and \
            connection.number("MaxConnections") == 1:
        yield "LGO-03", f"{logout}: names another connection"
    at = connection.pdus.index(logout)
    before = connection.pdus[:at]
    open_tasks = {pdu.itt for pdu in before if pdu.sent and pdu.opcode == wire.SCSI_COMMAND}
    asked_to = any(pdu.opcode == wire.ASYNC for pdu in before)
    open_tasks -= {pdu.itt for pdu in before if not pdu.sent and (
        pdu.opcode == wire.SCSI_RESPONSE or (pdu.opcode == wire.DATA_IN and pdu.bhs[1] & 1))}
    open_tasks -= rejected_or_aborted(before, open_tasks)
    if open_tasks and not asked_to:
        yield "LGO-04", f"{logout}: {len(open_tasks)} commands are not settled"
    for pdu in connection.pdus[at + 1:]:
        if pdu.sent and pdu.opcode not in (wire.DATA_OUT, wire.SNACK) and pdu.itt != wire.NO_TAG:
            yield "LGO-02", f"{pdu}: after the logout"


def rejected_or_aborted(pdus, tasks):
    """Tasks that ended otherwise than with a status."""
    ended, requests = set(), {}
    for pdu in pdus:
        if pdu.sent and pdu.opcode == wire.TASK_MANAGEMENT:
            requests[pdu.itt] = pdu
        elif pdu.opcode == wire.REJECT and len(pdu.data) >= wire.BHS_BYTES:
            ended.add(int.from_bytes(pdu.data[16:20], "big"))
        elif pdu.opcode == wire.TASK_MANAGEMENT_RESPONSE and pdu.itt in requests:
            request = requests[pdu.itt]
            ended |= {request.u32(20)} if request.bhs[1] & 0x7f == 1 else tasks
    return ended


@rule
def pings_are_well_formed(connection):
    asked = {}
    for pdu in connection.full_feature():
        if not pdu.sent and pdu.opcode == wire.NOP_IN and pdu.ttt != wire.NO_TAG:
            asked[pdu.ttt] = pdu.lun
        if not pdu.sent or pdu.opcode != wire.NOP_OUT:
            continue
        if not pdu.is_final:
            yield "NOP-03", f"{pdu}: F is not set"
        if pdu.ttt == wire.NO_TAG and pdu.itt == wire.NO_TAG:
            continue
        if pdu.ttt == wire.NO_TAG and any(pdu.lun):
            yield "NOP-03", f"{pdu}: our own ping names a LUN"
        if pdu.ttt != wire.NO_TAG:
            if pdu.itt != wire.NO_TAG or not pdu.is_immediate:
                yield "NOP-01", f"{pdu}: an answer is immediate and has no task tag"
            if asked.get(pdu.ttt) != pdu.lun:
                yield "NOP-01", f"{pdu}: answers what nobody asked, or with another LUN"


@session_rule
def task_management_is_well_formed(session):
    tasks = {}
    for connection, pdu in session.pdus():
        if pdu.sent and pdu.opcode == wire.SCSI_COMMAND:
            tasks[pdu.itt] = pdu
        if not pdu.sent or pdu.opcode != wire.TASK_MANAGEMENT:
            continue
        function = pdu.bhs[1] & 0x7f
        most = 12 if connection.agreed("iSCSIProtocolLevel") == "2" else 8
        if not pdu.is_final or pdu.data or not 1 <= function <= most:
            yield "TMF-01", f"{pdu}: F, data or function {function}"
        if function in (6, 7, 8) and any(pdu.lun):
            yield "TMF-03", f"{pdu}: function {function} names a LUN"
        if function not in (1, 8, 9) and pdu.ttt != wire.NO_TAG:
            yield "TMF-04", f"{pdu}: function {function} names a task"
        if function == 8 and session.level() < 2:
            yield "TMF-18", f"{pdu}: TASK REASSIGN below recovery level 2"
        if function == 8 and not pdu.is_immediate:
            yield "TMF-18", f"{pdu}: TASK REASSIGN is not immediate"
        if function != 8 and pdu.u32(36):
            yield "TMF-19", f"{pdu}: ExpDataSN without TASK REASSIGN"
        task = tasks.get(pdu.u32(20)) if function == 1 else None
        if task is not None:
            yield from abort_names_its_task(pdu, task)


def abort_names_its_task(pdu, task):
    wanted = pdu.u32(24) if task.is_immediate else task.u32(24)
    if pdu.u32(32) != wanted:
        yield "TMF-05", f"{pdu}: RefCmdSN {pdu.u32(32):#x}, the task has {wanted:#x}"
    if pdu.lun != task.lun:
        yield "TMF-03", f"{pdu}: LUN {pdu.lun.hex()}, the task has {task.lun.hex()}"


@rule
def snacks_are_well_formed(connection):
    """Section 11.16: types, tags and runs; none at recovery level 0."""
    asked = {}  # TTT of an A-bit Data-In: its LUN.
    for pdu in connection.pdus:
        if not pdu.sent and pdu.opcode == wire.DATA_IN and pdu.ttt != wire.NO_TAG:
            asked[pdu.ttt] = pdu.lun
        if not pdu.sent or pdu.opcode != wire.SNACK:
            continue
        kind = pdu.bhs[1] & 0x0f
        if pdu.in_login or connection.number("ErrorRecoveryLevel") < 1:
            yield "ER1-01", f"{pdu}: a SNACK at recovery level 0"
        if not pdu.is_final or pdu.data or kind > 3:
            yield "ER1-01", f"{pdu}: F, data or type {kind}"
        if kind == 0 and (pdu.itt == wire.NO_TAG or pdu.ttt != wire.NO_TAG):
            yield "ER1-03", f"{pdu}: tags of a Data/R2T SNACK"
        if kind == 1 and (pdu.itt != wire.NO_TAG or pdu.ttt != wire.NO_TAG):
            yield "ER1-04", f"{pdu}: tags of a Status SNACK"
        if kind == 2:
            if pdu.itt != wire.NO_TAG or pdu.u32(44) or asked.get(pdu.ttt) != pdu.lun:
                yield "ER1-05", f"{pdu}: a DataACK that answers no A bit"
        if kind == 3 and (pdu.u32(40) or pdu.u32(44) or pdu.ttt in (0, wire.NO_TAG)):
            yield "ER1-08", f"{pdu}: run or tag of an R-Data SNACK"


@rule
def text_requests_are_orderly(connection):
    outstanding, tag, first = 0, None, None
    for pdu in connection.full_feature():
        if not pdu.sent:
            if pdu.opcode == wire.TEXT_RESPONSE:
                outstanding -= 1
                tag = None if pdu.is_final else pdu.ttt
            continue
        if pdu.opcode != wire.TEXT:
            continue
        outstanding += 1
        if outstanding > 1:
            yield "TXT-01", f"{pdu}: two Text Requests at once"
        if tag is not None and first is not None and (
                pdu.itt != first.itt or pdu.is_immediate != first.is_immediate):
            yield "TXT-01", f"{pdu}: task tag or I changes in a sequence"
        if pdu.ttt != (wire.NO_TAG if tag is None else tag):
            # A new task may take the place of one that the target leaves open.
            if not (tag is not None and pdu.ttt == wire.NO_TAG):
                yield "TXT-02", f"{pdu}: transfer tag {pdu.ttt:#x}"
        if tag is None:
            first = pdu
        if pdu.bhs[1] & 0x40 and pdu.is_final:
            yield "TXT-04", f"{pdu}: C and F at once"
        for key, value in pdu.keys():
            if value not in ("Reject", "Irrelevant", "NotUnderstood") and \
                    key not in FULL_FEATURE_KEYS and not key.startswith(("X-", "X#")):
                yield "TXT-08", f"{pdu}: {key} in full feature phase"


@rule
def discovery_asks_for_targets_only(connection):
    if not connection.is_discovery:
        return
    tag = None
    for pdu in connection.full_feature():
        if not pdu.sent:
            tag = pdu.ttt if pdu.opcode == wire.TEXT_RESPONSE and not pdu.is_final else None
            continue
        answers_ping = pdu.opcode == wire.NOP_OUT and pdu.ttt != wire.NO_TAG
        if pdu.opcode not in (wire.TEXT, wire.LOGOUT) and not answers_ping:
            yield "DSC-01", f"{pdu}: in a discovery session"
        if pdu.opcode == wire.LOGOUT and pdu.bhs[1] & 0x7f != 0:
            yield "DSC-01", f"{pdu}: a discovery session is closed with reason 0"
        if pdu.opcode == wire.TEXT and tag is None and \
                [key for key, _ in pdu.keys()] != ["SendTargets"]:
            yield "DSC-02", f"{pdu}: asks for {pdu.keys()}"


@session_rule
def connections_are_as_many_as_agreed(session):
    most = max(1, session.leading.number("MaxConnections"))
    ids = [one.sent(wire.LOGIN)[0].u16(20) for one in session.connections
           if one.sent(wire.LOGIN)]
    if len(set(ids)) > most:
        yield "MCS-02", f"{len(set(ids))} connections, agreed were {most}"


@recording_rule
def one_name_for_the_initiator(recording):
    names = {one.offered["InitiatorName"] for one in recording.connections
             if "InitiatorName" in one.offered}
    if len(names) > 1:
        yield "NAM-07", f"logs in as {', '.join(sorted(names))}"
