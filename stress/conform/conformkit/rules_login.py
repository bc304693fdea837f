"""Rules of the login phase, CHAP included. RFC 7143 sections 6.3, 11.12, 12."""

from . import wire
from .rules import recording_rule, rule

ANSWERS = {"Reject", "Irrelevant", "NotUnderstood"}

# Keys that may stand in the security stage. Section 12.
SECURITY_KEYS = {
    "SessionType", "InitiatorName", "TargetName", "TargetAddress", "InitiatorAlias", "TargetAlias",
    "TargetPortalGroupTag", "AuthMethod", "CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R",
}


@rule
def login_is_one_orderly_exchange(connection):
    sent = [pdu for pdu in connection.login() if pdu.sent]
    if not sent or sent[0].opcode != wire.LOGIN:
        if sent or not connection.is_cut:
            yield "LOG-01", "does not begin with a Login Request"
        return
    if any(pdu.opcode == wire.LOGIN and pdu.sent for pdu in connection.full_feature()):
        yield "LOG-01", "logs in twice"
    first, waiting = sent[0], False
    for pdu in connection.login():
        if pdu.sent and waiting:
            yield "LOG-04", f"{pdu}: not one request, one response"
        waiting = pdu.sent
    for pdu in sent:
        if pdu.opcode != wire.LOGIN:
            yield "LOG-01", f"{pdu}: no Login Request in login"
            continue
        yield from request_fits_the_first(pdu, first)


def request_fits_the_first(pdu, first):
    if not pdu.is_immediate or pdu.itt != first.itt:
        yield "LOG-03", f"{pdu}: not immediate, or another task tag"
    if pdu.bhs[2] or pdu.bhs[3]:
        yield "LOG-05", f"{pdu}: a version other than 0"
    if pdu.bhs[8:16] != first.bhs[8:16] or pdu.u16(20) != first.u16(20):
        yield "SID-02", f"{pdu}: ISID, TSIH or CID changes"
    if pdu.bhs[8] & 0xc0 == 0xc0:
        yield "SID-01", f"{pdu}: reserved type of ISID"
    if pdu.u32(24) != first.u32(24):
        yield "LOG-06", f"{pdu}: CmdSN changes"
    if pdu.bhs[1] & 0x40 and pdu.bhs[1] & 0x80:
        yield "LOG-15", f"{pdu}: C and T at once"


@rule
def continued_text_is_asked_for(connection):
    """A response with C=1 is answered by an empty request. Section 6.2."""
    continues = False
    for pdu in connection.login():
        if not pdu.sent:
            continues = pdu.opcode == wire.LOGIN_RESPONSE and bool(pdu.bhs[1] & 0x40)
        elif continues and (pdu.data or pdu.bhs[1] & 0x40):
            yield "LOG-15", f"{pdu}: not an empty request after a response with C=1"


@recording_rule
def handles_are_given_by_the_target(recording):
    """TSIH 0, or one that an earlier login response gave. Section 11.12.6."""
    given = {0}
    for connection in recording.connections:
        for pdu in connection.login():
            if pdu.sent and pdu.opcode == wire.LOGIN and pdu.u16(14) not in given:
                yield "SID-04", f"{pdu}: TSIH of a new session is not 0: {pdu.u16(14):#x}"
                break
        given |= {pdu.u16(14) for pdu in connection.login()
                  if not pdu.sent and pdu.opcode == wire.LOGIN_RESPONSE}


@rule
def login_stages_move_as_tabled(connection):
    stage, granted = None, None
    for pdu in connection.login():
        current, following = (pdu.bhs[1] >> 2) & 3, pdu.bhs[1] & 3
        if not pdu.sent:
            if pdu.opcode == wire.LOGIN_RESPONSE and pdu.bhs[1] & 0x80:
                granted = following
            continue
        if pdu.opcode != wire.LOGIN:
            continue
        if current == 2 or (stage is None and current == 3) or (stage is not None
                                                                 and current < stage):
            yield "LOG-12", f"{pdu}: stage {current} after {stage}"
        elif stage is not None and current > stage and granted != current:
            yield "LOG-12", f"{pdu}: stage {current} was not granted"
        if pdu.bhs[1] & 0x80 and (current, following) not in ((0, 1), (0, 3), (1, 3)):
            yield "LOG-12", f"{pdu}: transit {current} to {following}"
        stage = current


@rule
def login_acknowledges_responses(connection):
    expected = None
    for pdu in connection.login():
        if not pdu.sent:
            expected = (pdu.u32(24) + 1) & 0xffffffff
        elif expected is not None and pdu.u32(28) != expected:
            yield "LOG-08", f"{pdu}: ExpStatSN {pdu.u32(28):#x}, expected {expected:#x}"


@rule
def login_offers_its_keys_once(connection):
    requests = connection.sent(wire.LOGIN)
    if not requests:
        return
    first = dict(requests[0].keys())
    wanted = {"InitiatorName"}
    if not connection.is_discovery:
        wanted.add("TargetName")
    if requests[0].u16(14) == 0:
        wanted.add("SessionType")
    if not requests[0].bhs[1] & 0x40 and not wanted <= set(first):
        yield "LOG-10", f"the first request lacks {', '.join(sorted(wanted - set(first)))}"
    seen = set()
    for pdu in requests:
        if pdu.data and not pdu.data.endswith(b"\0") and not pdu.bhs[1] & 0x40:
            yield "LOG-16", f"{pdu}: text does not end in NUL"
        for key, value in pdu.keys():
            if key in seen:
                yield "LOG-19", f"{pdu}: {key} is sent twice"
            seen.add(key)
            if (pdu.bhs[1] >> 2) & 3 == 0 and key not in SECURITY_KEYS:
                yield "CHP-20", f"{pdu}: {key} in the security stage"
            if (pdu.bhs[1] >> 2) & 3 == 1 and key.startswith("CHAP_"):
                yield "LOG-20", f"{pdu}: {key} in the operational stage"
            if connection.is_discovery and key.startswith(("X-", "X#")) and value not in ANSWERS:
                yield "NEG-22", f"{pdu}: {key} in a discovery session"
            if key in ("IFMarker", "OFMarker") and value not in ("No", "Reject"):
                yield "NEG-23", f"{pdu}: offers {key}"
            if requests[0].u16(14) and key in wire.LEADING_ONLY:
                yield "MCS-03", f"{pdu}: {key} on an added connection"


@rule
def proposals_of_the_target_are_answered(connection):
    """A key that the target proposes is answered, in what follows. Section 6.2."""
    offered, proposed, open_since, text = set(), set(), {}, b""
    declared = {"TargetAlias", "TargetAddress", "TargetPortalGroupTag", "MaxRecvDataSegmentLength",
                "TargetName"}
    for pdu in connection.login():
        if pdu.sent:
            keys = {key for key, _ in pdu.keys()}
            offered |= keys
            for key in [key for key, value in pdu.keys() if value in ANSWERS - {"Irrelevant"}]:
                if key not in proposed:
                    yield "NEG-15", f"{pdu}: proposes {dict(pdu.keys())[key]} for {key}"
            for key in [one for one in open_since if one in keys]:
                del open_since[key]
            if pdu.data or not pdu.bhs[1] & 0x40:
                for key in open_since:
                    yield "NEG-16", f"{pdu}: does not answer {key}"
                open_since.clear()
        elif pdu.opcode == wire.LOGIN_RESPONSE:
            text += pdu.data
            if pdu.bhs[1] & 0x40:
                continue
            pairs, text = wire.pairs_in(text), b""
            proposed |= {key for key, _ in pairs}
            open_since |= {key: pdu for key, value in pairs
                           if key not in offered and key not in declared
                           and not key.startswith("CHAP_")
                           and value not in ("NotUnderstood", "Reject", "Irrelevant")}


@rule
def chap_offers_md5_and_a_long_challenge(connection):
    keys = connection.offered
    algorithms = keys.get("CHAP_A", "").split(",")
    if "CHAP_A" in keys and "5" not in algorithms:
        yield "CHP-02", "CHAP_A without MD5"
    strength = {"7": 3, "8": 3, "6": 2, "5": 1}
    order = [strength.get(one, 0) for one in algorithms if one]
    if order != sorted(order, reverse=True):
        yield "CHP-02", f"CHAP_A={keys['CHAP_A']}: not the strongest first"
    challenge = keys.get("CHAP_C")
    if challenge is not None:
        digits = challenge[2:]
        bits = len(digits) * (4 if challenge[:2].lower() == "0x" else 6)
        if bits < 128:
            yield "CHP-08", f"a challenge of {bits} bits"
        if challenge == connection.answered.get("CHAP_C"):
            yield "CHP-09", "the target's challenge comes back as ours"
