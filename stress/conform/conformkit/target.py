"""The scripted target: listens, gathers connections into sessions, and lets the script have the
first look at each PDU. One thread, one select."""

import select
import socket
import time

from . import disk, vocabulary, wire
from .link import Link
from .player import FAIL, PATIENCE_MAX_S, PATIENCE_STEP_S, Player
from .tasks import Session

BLOCKS = 4096

# An initiator that connects more often within a case does not give its target time to breathe.
LINKS_MAX = 300

# Of turns in a row that brought something: silence is judged in spite of them.
INPUT_TURNS_MAX = 200


class Target:
    def __init__(self, case, host="127.0.0.1"):
        self.case = case
        self.listener = socket.create_server((host, 0), backlog=64)
        self.portal = (host, self.listener.getsockname()[1])
        self.disk = disk.Disk(int(case.settings.get("blocks", BLOCKS)),
                              int(case.settings.get("luns", "1")),
                              case.settings.get("write_cache") == "yes",
                              int(case.settings.get("max_blocks", "2048")))
        self.links = []
        self.sessions = []
        self.order = 0
        self.turns_with_input = 0
        self.held = []
        # Whether the initiator runs, or would if the host let it; who is not known sleeps.
        self.is_initiator_busy = lambda: False
        self.next_tsih = 1
        self.player = Player(case, self)

    def next_order(self):
        self.order += 1
        return self.order

    # The loop

    def run_until(self, is_over, deadline_s):
        """Serves until `is_over()`, the script gives a verdict, or the time is up."""
        granted_s = 0.0
        while not is_over() and not self.player.is_settled:
            now = time.monotonic()
            if now >= deadline_s:
                if granted_s >= PATIENCE_MAX_S or not self.is_initiator_busy():
                    return
                deadline_s, granted_s = now + PATIENCE_STEP_S, granted_s + PATIENCE_STEP_S
            wake = min(deadline_s, self.player.wake_s or deadline_s, now + 0.05)
            self.poll(max(0.0, wake - now))

    def poll(self, patience_s):
        """One turn. A slow host is nobody's fault: a time to be quiet in ends before what came
        is looked at, because it may have come after it; what did not come is missed only when
        nothing is left to be looked at."""
        poller = select.poll()
        waiting = {link.stream.fileno(): link for link in self.links if link.is_open}
        for one in (self.listener.fileno(), *waiting):
            poller.register(one, select.POLLIN)
        ready = [number for number, _ in poller.poll(patience_s * 1000)]
        now = time.monotonic()
        self.player.end_waits(now)
        self.offer_held()
        self.turns_with_input = self.turns_with_input + 1 if ready else 0
        if not ready or self.turns_with_input > INPUT_TURNS_MAX:
            self.player.judge_silence(now)
        # What came on old connections, their end included, was before what is new.
        for one in ready:
            if one in waiting and waiting[one].is_open:
                waiting[one].receive()
        if self.listener.fileno() in ready:
            self.accept()

    def accept(self):
        stream, _ = self.listener.accept()
        link = Link(self, stream, len(self.links))
        self.links.append(link)
        if len(self.links) > LINKS_MAX:
            self.player.settle(FAIL, f"hammers the target: {LINKS_MAX} connections (SER-09)")
        self.player.on_connect(link)

    def shut(self):
        self.listener.close()
        for link in self.links:
            link.shut("target")

    # What happens

    def on_pdu(self, link, pdu):
        if not link.record.is_full_feature or link.session is None:
            if not self.player.take(link, pdu):
                self.ordinary(link, pdu)
            return
        for at, one in link.session.arrive(link, pdu):
            if not self.player.take(at, one):
                self.ordinary(at, one)

    def ordinary(self, link, pdu):
        """What the script leaves alone."""
        if self.is_to_be_held(pdu):
            self.held.append((link, pdu))
        elif link.session is not None and link.record.is_full_feature:
            link.session.work(link, pdu)
        elif pdu.opcode == wire.LOGIN:
            link.login.take(pdu)
        else:
            link.finish()

    def is_to_be_held(self, pdu):
        """Setting `holds`: I/O waits for the login that the script waits for, so that it is not
        over before a second connection comes."""
        return self.case.settings.get("holds") == "yes" and self.player.waits_for_login() and \
            pdu.opcode == wire.SCSI_COMMAND and \
            vocabulary.command_of(pdu.bhs[32:48]) in ("READ", "WRITE")

    def offer_held(self):
        if not self.held or self.player.waits_for_login():
            return
        held, self.held = self.held, []
        for link, pdu in held:
            if link.is_open and not self.player.take(link, pdu):
                self.ordinary(link, pdu)

    def on_closed(self, link):
        session = link.session
        if session is not None and session.links.get(link.cid) is link:
            del session.links[link.cid]
        self.player.on_closed(link)

    # Sessions

    def session_of(self, link, request, login):
        """The session that a login begins or joins; None when it names one that is not there."""
        name = login.offered["InitiatorName"]
        isid, tsih = bytes(request.bhs[8:14]), request.u16(14)
        cid = vocabulary.get(request.bhs, vocabulary.FIELDS["LOGIN"]["cid"])
        if tsih:
            session = next((one for one in self.sessions if one.tsih == tsih), None)
            if session is None:
                return None
        else:
            for old in [one for one in self.sessions if (one.name, one.isid) == (name, isid)]:
                self.sessions.remove(old)
                for other in [one for one in old.links.values() if one is not link]:
                    other.finish()
            session = Session(self, self.next_tsih, name, isid, request.u32(24))
            session.is_discovery, session.leading = login.is_discovery, link
            self.next_tsih += 1
            self.sessions.append(session)
        if tsih and session.leading is not link:
            link.record.join(session.leading.record)
        if cid in session.links:
            session.links[cid].finish()
        session.links[cid] = link
        link.session, link.cid = session, cid
        return session
