"""The judge: what RFC 7143 asks of the PDUs that an initiator sends, as checks of recorded
connections.

Each rule is a generator over a Recording that yields (row, sentence) for each breach. breaches()
runs all of them; TARGET in place of a row means that the target is to blame.
"""

import collections
import dataclasses

from . import wire

Breach = collections.namedtuple("Breach", "rule row text")

TARGET = "target"
RULES = []


@dataclasses.dataclass
class Session:
    """Connections in full feature phase that share a session, and their PDUs as they passed."""

    connections: list
    tsih: int

    @property
    def leading(self):
        return self.connections[0]

    def pdus(self):
        """(connection, PDU) of full feature phase, in the order in which they passed."""
        found = [(one, pdu) for one in self.connections for pdu in one.full_feature()]
        if len(self.connections) > 1:
            found.sort(key=lambda pair: pair[1].order)
        return found

    def level(self):
        return self.leading.number("ErrorRecoveryLevel")


class Recording:
    """All connections of a run, and the sessions they made."""

    def __init__(self, connections):
        self.connections = connections
        self.sessions = []
        for one in connections:
            if one.is_full_feature:
                self.place(one)

    def place(self, connection):
        responses = [pdu for pdu in connection.login()
                     if not pdu.sent and pdu.opcode == wire.LOGIN_RESPONSE]
        tsih = responses[-1].u16(14)
        asked = connection.sent(wire.LOGIN)[0].u16(14) if connection.sent(wire.LOGIN) else 0
        for session in self.sessions:
            if asked and session.tsih == tsih == asked:
                connection.join(session.leading)
                session.connections.append(connection)
                return
        self.sessions.append(Session([connection], tsih))


def rule(function):
    """A rule over each connection."""
    def over_all(recording):
        for connection in recording.connections:
            yield from function(connection)
    over_all.__name__ = function.__name__
    RULES.append(over_all)
    return function


def session_rule(function):
    """A rule over each session."""
    def over_all(recording):
        for session in recording.sessions:
            yield from function(session)
    over_all.__name__ = function.__name__
    RULES.append(over_all)
    return function


def recording_rule(function):
    RULES.append(function)
    return function


def breaches(connections):
    recording = Recording(connections)
    return [Breach(check.__name__, row, text) for check in RULES
            for row, text in check(recording)]


def complaints(connection):
    """Sentences about a single connection."""
    return [f"{one.rule}: {one.text}" for one in breaches([connection])]


# The rules register themselves.
from . import rules_data, rules_frame, rules_login, rules_number, rules_task  # noqa: E402, F401
