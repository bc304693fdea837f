"""What RFC 7143 asks of the PDUs that an initiator sends, as checks of recorded connections.

Each rule is a generator over a wire.Connection that yields one sentence for each breach.
complaints() runs all of them.
"""

import wire

RULES = []

# Keys that may stand in the security stage. Section 12.
SECURITY_KEYS = {
    "SessionType", "InitiatorName", "TargetName", "TargetAddress", "InitiatorAlias", "TargetAlias",
    "TargetPortalGroupTag", "AuthMethod", "CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R",
}

# Bits of the header that must be 0, as (offset, mask) for each opcode. Section 11.
RESERVED = {
    wire.NOP_OUT: [(0, 0x80), (1, 0x7f), (2, 0xff), (3, 0xff)] + [(n, 0xff) for n in range(32, 48)],
    wire.SCSI_COMMAND: [(0, 0x80), (1, 0x18), (2, 0xff), (3, 0xff)],
    wire.TASK_MANAGEMENT: [(0, 0x80), (2, 0xff), (3, 0xff)] + [(n, 0xff) for n in range(40, 48)],
    wire.LOGIN: [(0, 0x80), (1, 0x30), (22, 0xff), (23, 0xff)] + [(n, 0xff) for n in range(32, 48)],
    wire.TEXT: [(0, 0x80), (1, 0x3f), (2, 0xff), (3, 0xff)] + [(n, 0xff) for n in range(32, 48)],
    wire.DATA_OUT: [(0, 0xc0), (1, 0x7f), (2, 0xff), (3, 0xff)]
    + [(n, 0xff) for n in (24, 25, 26, 27, 32, 33, 34, 35, 44, 45, 46, 47)],
    wire.LOGOUT: [(0, 0x80), (2, 0xff), (3, 0xff)] + [(n, 0xff) for n in range(8, 16)]
    + [(22, 0xff), (23, 0xff)] + [(n, 0xff) for n in range(32, 48)],
}


def rule(function):
    RULES.append(function)
    return function


def complaints(connection):
    return [f"{check.__name__}: {text}" for check in RULES for text in check(connection)]


# Frames

@rule
def frames_are_right(connection):
    for pdu in connection.sent():
        for fault in pdu.faults:
            yield f"{pdu}: {fault}"
        if any(pdu.padding):
            yield f"{pdu}: padding is not 0"
        if pdu.opcode not in wire.FROM_INITIATOR:
            yield f"{pdu}: not an opcode of an initiator"
        for at, mask in RESERVED.get(pdu.opcode, ()):
            if pdu.bhs[at] & mask:
                yield f"{pdu}: reserved bits at byte {at}: {pdu.bhs[at]:#x}"
    if connection.streams[True].bytes:
        yield f"ends with {len(connection.streams[True].bytes)} bytes of a PDU cut short"


@rule
def segments_fit_the_target(connection):
    for pdu in connection.sent():
        limit = 8192 if pdu.in_login else connection.number("MaxRecvDataSegmentLength")
        if len(pdu.data) > limit:
            yield f"{pdu}: {len(pdu.data)} bytes of data, at most {limit}"


# Login

@rule
def login_is_one_orderly_exchange(connection):
    sent = [pdu for pdu in connection.login() if pdu.sent]
    if not sent or sent[0].opcode != wire.LOGIN:
        yield "does not begin with a Login Request"
        return
    if any(pdu.opcode == wire.LOGIN for pdu in connection.full_feature()):
        yield "logs in twice"
    first = sent[0]
    waiting = False
    for pdu in connection.login():
        if pdu.sent == waiting:
            yield f"{pdu}: not one request, one response"
        waiting = pdu.sent
    for pdu in sent:
        if pdu.opcode != wire.LOGIN:
            yield f"{pdu}: no Login Request in login"
        if not pdu.is_immediate or pdu.itt != first.itt:
            yield f"{pdu}: not immediate, or another task tag"
        if pdu.bhs[2] or pdu.bhs[3]:
            yield f"{pdu}: a version other than 0"
        if pdu.bhs[8:16] != first.bhs[8:16] or pdu.u16(20) != first.u16(20):
            yield f"{pdu}: ISID, TSIH or CID changes"
        if pdu.u16(14) != 0:
            yield f"{pdu}: TSIH of a new session is not 0"
        if pdu.bhs[8] & 0xc0 == 0xc0:
            yield f"{pdu}: reserved type of ISID"
        if pdu.u32(24) != first.u32(24):
            yield f"{pdu}: CmdSN changes"
        if pdu.bhs[1] & 0x40 and pdu.bhs[1] & 0x80:
            yield f"{pdu}: C and T at once"


@rule
def login_stages_move_as_tabled(connection):
    stage = None
    for pdu in connection.sent(wire.LOGIN):
        current, following = (pdu.bhs[1] >> 2) & 3, pdu.bhs[1] & 3
        if current == 2 or (stage is None and current == 3) or (stage is not None
                                                                 and current < stage):
            yield f"{pdu}: stage {current} after {stage}"
        if pdu.bhs[1] & 0x80 and (current, following) not in ((0, 1), (0, 3), (1, 3)):
            yield f"{pdu}: transit {current} to {following}"
        stage = current


@rule
def login_acknowledges_responses(connection):
    expected = None
    for pdu in connection.login():
        if not pdu.sent:
            expected = (pdu.u32(24) + 1) & 0xffffffff
        elif expected is not None and pdu.u32(28) != expected:
            yield f"{pdu}: ExpStatSN {pdu.u32(28):#x}, expected {expected:#x}"


@rule
def login_offers_its_keys_once(connection):
    requests = connection.sent(wire.LOGIN)
    if not requests:
        return
    first = dict(requests[0].keys())
    wanted = {"InitiatorName", "SessionType"}
    if not connection.is_discovery:
        wanted.add("TargetName")
    if not wanted <= set(first):
        yield f"the first request lacks {wanted - set(first)}"
    seen = set()
    for pdu in requests:
        if pdu.data and not pdu.data.endswith(b"\0"):
            yield f"{pdu}: text does not end in NUL"
        for key, value in pdu.keys():
            if key in seen:
                yield f"{pdu}: {key} is sent twice"
            seen.add(key)
            if (pdu.bhs[1] >> 2) & 3 == 0 and key not in SECURITY_KEYS:
                yield f"{pdu}: {key} in the security stage"
            if key in ("IFMarker", "OFMarker") and value not in ("No", "Reject"):
                yield f"{pdu}: offers {key}"


@rule
def chap_offers_md5_and_a_long_challenge(connection):
    keys = connection.offered
    algorithms = keys.get("CHAP_A", "").split(",")
    if "CHAP_A" in keys and "5" not in algorithms:
        yield "CHAP_A without MD5"
    strength = {"7": 3, "8": 3, "6": 2, "5": 1}
    order = [strength.get(one, 0) for one in algorithms if one]
    if order != sorted(order, reverse=True):
        yield f"CHAP_A={keys['CHAP_A']}: not the strongest first"
    challenge = keys.get("CHAP_C")
    if challenge is not None:
        digits = challenge[2:]
        bits = len(digits) * (4 if challenge[:2].lower() == "0x" else 6)
        if bits < 128:
            yield f"a challenge of {bits} bits"
        if challenge == connection.answered.get("CHAP_C"):
            yield "the target's challenge comes back as ours"


# Numbers

@rule
def command_numbers_count_up(connection):
    logins = connection.sent(wire.LOGIN)
    if not logins:
        return
    next_number = logins[0].u32(24)
    for pdu in connection.full_feature():
        if not pdu.sent or pdu.opcode in (wire.DATA_OUT, wire.SNACK):
            continue
        if pdu.u32(24) != next_number:
            yield f"{pdu}: CmdSN {pdu.u32(24):#x}, expected {next_number:#x}"
            return
        if not pdu.is_immediate:
            next_number = (next_number + 1) & 0xffffffff


@rule
def commands_stay_in_the_window(connection):
    biggest = None
    for pdu in connection.pdus:
        if not pdu.sent:
            expected, most = pdu.u32(28), pdu.u32(32)
            if wire.before(most, (expected - 1) & 0xffffffff):
                continue
            if biggest is None or wire.before(biggest, most):
                biggest = most
        elif not pdu.in_login and not pdu.is_immediate:
            if pdu.opcode in (wire.SCSI_COMMAND, wire.TEXT) and biggest is not None:
                if wire.before(biggest, pdu.u32(24)):
                    yield f"{pdu}: CmdSN {pdu.u32(24):#x} beyond MaxCmdSN {biggest:#x}"


@rule
def status_numbers_are_acknowledged(connection):
    """ExpStatSN is never ahead of what the target sent, never goes back, and keeps up."""
    seen, last = None, None
    for pdu in connection.pdus:
        if not pdu.sent:
            has_status = pdu.opcode not in (wire.R2T,) and not (
                pdu.opcode == wire.DATA_IN and not pdu.bhs[1] & 1) and not (
                pdu.opcode == wire.NOP_IN and pdu.itt == wire.NO_TAG)
            if has_status:
                seen = (pdu.u32(24) + 1) & 0xffffffff
            continue
        if seen is None:
            continue
        acknowledged = pdu.u32(28)
        if wire.before(seen, acknowledged):
            yield f"{pdu}: ExpStatSN {acknowledged:#x} ahead of {seen:#x}"
        if last is not None and wire.before(acknowledged, last):
            yield f"{pdu}: ExpStatSN goes back from {last:#x} to {acknowledged:#x}"
        last = acknowledged
    sent = connection.sent(wire.LOGOUT)
    if sent and seen is not None and (seen - sent[-1].u32(28)) & 0xffffffff > 1:
        yield f"{sent[-1]}: leaves statuses unacknowledged"


@rule
def task_tags_are_unique_while_alive(connection):
    alive = set()
    for pdu in connection.full_feature():
        if pdu.sent and pdu.opcode in (wire.SCSI_COMMAND, wire.TASK_MANAGEMENT, wire.LOGOUT,
                                       wire.NOP_OUT, wire.TEXT):
            if pdu.itt == wire.NO_TAG:
                if pdu.opcode != wire.NOP_OUT or not pdu.is_immediate:
                    yield f"{pdu}: the reserved task tag"
                continue
            if pdu.itt in alive and pdu.opcode != wire.TEXT:
                yield f"{pdu}: the task tag is in use"
            alive.add(pdu.itt)
        elif not pdu.sent:
            ends = pdu.opcode in (wire.SCSI_RESPONSE, wire.TASK_MANAGEMENT_RESPONSE, wire.NOP_IN,
                                  wire.LOGOUT_RESPONSE) or (pdu.opcode == wire.TEXT_RESPONSE
                                                            and pdu.is_final)
            if ends or (pdu.opcode == wire.DATA_IN and pdu.bhs[1] & 1):
                alive.discard(pdu.itt)


# Commands and their data

class Write:
    """What one write command may still send."""

    def __init__(self, pdu, connection):
        self.pdu = pdu
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
            yield f"{pdu}: task attribute {attribute}, not simple"
        if reads and writes:
            yield f"{pdu}: R and W at once"
        if bool(reads or writes) != bool(pdu.u32(20)):
            yield f"{pdu}: direction does not fit a length of {pdu.u32(20)}"
        if not pdu.is_final and not writes:
            yield f"{pdu}: neither F nor W"
        if pdu.data and not writes:
            yield f"{pdu}: data without W"


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
            yield f"{pdu}: immediate data was not agreed"
        if len(pdu.data) > min(connection.number("FirstBurstLength"), segment, length):
            yield f"{pdu}: {len(pdu.data)} bytes of immediate data"
        if not pdu.is_final and initial_r2t:
            yield f"{pdu}: announces unsolicited data that was not agreed"
        if not pdu.is_final and len(pdu.data) == length:
            yield f"{pdu}: all data is there, and F is not set"


@rule
def data_out_follows_its_command(connection):
    """Offsets, DataSN, F and lengths of each sequence; each R2T is served whole."""
    writes, burst = {}, connection.number("MaxBurstLength")
    for pdu in connection.full_feature():
        if pdu.sent and pdu.opcode == wire.SCSI_COMMAND and pdu.bhs[1] & 0x20:
            writes[pdu.itt] = Write(pdu, connection)
        elif pdu.opcode == wire.R2T and pdu.itt in writes:
            offset, length = pdu.u32(40), pdu.u32(44)
            writes[pdu.itt].sequences[pdu.ttt] = [offset, offset + length, 0]
            if length > burst:
                yield f"{pdu}: the target asks for more than a burst"
        elif pdu.sent and pdu.opcode == wire.DATA_OUT:
            write = writes.get(pdu.itt)
            if write is None or pdu.ttt not in write.sequences:
                yield f"{pdu}: nobody asked for it"
                continue
            if pdu.ttt != wire.NO_TAG and pdu.lun != write.pdu.lun:
                yield f"{pdu}: the LUN is not that of the R2T"
            yield from stands_in_order(pdu, writes)
            yield from take_data_out(pdu, write)
        elif not pdu.sent and pdu.opcode == wire.SCSI_RESPONSE and pdu.itt in writes:
            write = writes.pop(pdu.itt)
            is_good = pdu.bhs[2] == 0 and pdu.bhs[3] == 0
            if is_good and write.sequences:
                yield f"{pdu}: sequences are left open: {write.sequences}"


def stands_in_order(pdu, writes):
    """Unsolicited bursts in the order of their commands, R2Ts of a task in the order of arrival."""
    if pdu.ttt == wire.NO_TAG:
        earlier = [itt for itt, write in writes.items() if wire.NO_TAG in write.sequences]
        if earlier[0] != pdu.itt:
            yield f"{pdu}: overtakes the unsolicited data of task {earlier[0]:#x}"
        return
    solicited = [ttt for ttt in writes[pdu.itt].sequences if ttt != wire.NO_TAG]
    if solicited[0] != pdu.ttt:
        yield f"{pdu}: overtakes an earlier R2T of its task"


def take_data_out(pdu, write):
    state = write.sequences[pdu.ttt]
    offset, end, number = state
    if pdu.u32(40) != offset:
        yield f"{pdu}: offset {pdu.u32(40)}, expected {offset}"
    if pdu.u32(36) != number:
        yield f"{pdu}: DataSN {pdu.u32(36)}, expected {number}"
    state[0], state[2] = offset + len(pdu.data), number + 1
    if state[0] > end:
        yield f"{pdu}: beyond its sequence, {state[0]} of {end}"
    if pdu.is_final != (state[0] == end):
        yield f"{pdu}: F is {pdu.is_final} at {state[0]} of {end}"
    if not pdu.is_final and len(pdu.data) % 4:
        yield f"{pdu}: {len(pdu.data)} bytes, not a multiple of 4"
    if pdu.is_final:
        del write.sequences[pdu.ttt]


# The end, and what may be in between

@rule
def logout_is_the_last_word(connection):
    logouts = connection.sent(wire.LOGOUT)
    if not logouts:
        return
    logout = logouts[0]
    if logout.bhs[1] & 0x7f not in (0, 1) or not logout.is_final:
        yield f"{logout}: reason {logout.bhs[1] & 0x7f}"
    if logout.data:
        yield f"{logout}: carries data"
    if logout.bhs[1] & 0x7f == 1 and logout.u16(20) != connection.sent(wire.LOGIN)[0].u16(20):
        yield f"{logout}: names another connection"
    at = connection.pdus.index(logout)
    commands = [pdu for pdu in connection.pdus[:at] if pdu.sent and pdu.opcode == wire.SCSI_COMMAND]
    ended = [pdu for pdu in connection.pdus[:at] if not pdu.sent and (
        pdu.opcode == wire.SCSI_RESPONSE or (pdu.opcode == wire.DATA_IN and pdu.bhs[1] & 1))]
    if len(commands) != len(ended):
        yield f"{logout}: {len(commands) - len(ended)} commands are not settled"
    for pdu in connection.pdus[at + 1:]:
        if pdu.sent and pdu.opcode != wire.DATA_OUT and pdu.itt != wire.NO_TAG:
            yield f"{pdu}: after the logout"


@rule
def pings_are_well_formed(connection):
    asked = {}
    for pdu in connection.full_feature():
        if not pdu.sent and pdu.opcode == wire.NOP_IN and pdu.ttt != wire.NO_TAG:
            asked[pdu.ttt] = pdu.lun
        if not pdu.sent or pdu.opcode != wire.NOP_OUT:
            continue
        if not pdu.is_final:
            yield f"{pdu}: F is not set"
        if pdu.ttt == wire.NO_TAG and pdu.itt == wire.NO_TAG:
            continue
        if pdu.ttt == wire.NO_TAG and any(pdu.lun):
            yield f"{pdu}: our own ping names a LUN"
        if pdu.ttt != wire.NO_TAG:
            if pdu.itt != wire.NO_TAG or not pdu.is_immediate:
                yield f"{pdu}: an answer is immediate and has no task tag"
            if asked.get(pdu.ttt) != pdu.lun:
                yield f"{pdu}: answers what nobody asked, or with another LUN"


@rule
def task_management_is_well_formed(connection):
    for pdu in connection.sent(wire.TASK_MANAGEMENT):
        function = pdu.bhs[1] & 0x7f
        if not pdu.is_final or pdu.data or not 1 <= function <= 8:
            yield f"{pdu}: F, data or function {function}"
        if function in (6, 7, 8) and any(pdu.lun):
            yield f"{pdu}: function {function} names a LUN"
        if function not in (1, 8) and pdu.ttt != wire.NO_TAG:
            yield f"{pdu}: function {function} names a task"


@rule
def discovery_asks_for_targets_only(connection):
    if not connection.is_discovery:
        return
    outstanding, tag = 0, None
    for pdu in connection.full_feature():
        if not pdu.sent:
            outstanding -= pdu.opcode == wire.TEXT_RESPONSE
            tag = pdu.ttt if pdu.opcode == wire.TEXT_RESPONSE and not pdu.is_final else None
            continue
        answers_ping = pdu.opcode == wire.NOP_OUT and pdu.ttt != wire.NO_TAG
        if pdu.opcode not in (wire.TEXT, wire.LOGOUT) and not answers_ping:
            yield f"{pdu}: in a discovery session"
        if pdu.opcode == wire.TEXT:
            outstanding += 1
            if outstanding > 1:
                yield f"{pdu}: two Text Requests at once"
            if pdu.ttt != (wire.NO_TAG if tag is None else tag):
                yield f"{pdu}: transfer tag {pdu.ttt:#x}"
            if tag is None and [key for key, _ in pdu.keys()] != ["SendTargets"]:
                yield f"{pdu}: asks for {pdu.keys()}"
