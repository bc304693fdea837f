"""Plays the steps of a case against what the initiator does."""

import dataclasses
import time
import urllib.parse

from . import disk, expression, vocabulary, wire
from .draft import Draft, text_of

PASS, FAIL, NOT_APPLICABLE = "pass", "fail", "not applicable"
# While the initiator is not asleep but runs, or waits for a processor, it gets more time: so much
# at once, and so much at most.
PATIENCE_STEP_S = 1.0
PATIENCE_MAX_S = 60.0
NUMBERS = ("!=", "<=", ">=", "<", ">", "=")


@dataclasses.dataclass
class Taken:
    """A PDU that the script took, and where it came from."""

    link: object
    pdu: object


def compare(left, sign, right):
    if sign in ("=", "!="):
        return (left == right) == (sign == "=")
    if sign == "<" or sign == "<=":
        return left < right or (sign == "<=" and left == right)
    return left > right or (sign == ">=" and left == right)


class Player:
    """`verdict` stays None while the case is open."""

    def __init__(self, case, target):
        self.case = case
        self.target = target
        self.at = 0
        self.deadline_s = None  # Of the step that waits now.
        self.granted_s = 0.0  # More time for that step, because the host is slow.
        self.named = {}
        self.link = None  # Where steps that name no connection act.
        self.rejects = []
        self.twists = []
        self.verdict = None
        self.reason = ""
        self.is_ended = False  # By the step `end`.
        self.checked_needs = False
        self.advance()

    @property
    def is_over(self):
        return self.at >= len(self.case.steps)

    def waits_for_login(self):
        step = self.step
        return step is not None and step.word in ("await", "expect") and "LOGIN" in step.kinds

    @property
    def is_settled(self):
        return self.verdict is not None or self.is_ended

    @property
    def wake_s(self):
        return self.deadline_s

    @property
    def step(self):
        return None if self.is_over else self.case.steps[self.at]

    def settle(self, verdict, reason):
        if self.verdict is None:
            self.verdict, self.reason = verdict, reason

    # Facts

    def take(self, link, pdu):
        """True when the script takes the PDU, so that ordinary behaviour does not see it."""
        self.check_needs(link)
        if self.is_settled:
            return True
        self.link = self.link if self.link is not None and self.link.is_open else link
        for one in self.rejects:
            if vocabulary.name_of(pdu) in one.kinds and self.matches(one.conditions, pdu):
                self.settle(FAIL, f"line {one.line}: {pdu} came, after '{one.text}'")
                return True
        step = self.step
        if step is None or step.word not in ("await", "expect"):
            return False
        if vocabulary.name_of(pdu) not in step.kinds or not self.matches(step.conditions, pdu):
            return False
        taken = Taken(link, pdu)
        self.named["it"] = taken
        if step.name:
            self.named[step.name] = taken
        self.link = link
        self.go_on()
        return True

    def on_connect(self, link):
        self.happened("connect", link)

    def on_closed(self, link):
        if link.closed_by == "initiator":
            self.happened("close", link)

    def happened(self, what, link):
        if self.is_settled:
            return
        for one in self.rejects:
            if what in one.kinds:
                self.settle(FAIL, f"line {one.line}: the initiator does so, after '{one.text}'")
                return
        step = self.step
        if step is not None and step.word in ("await", "expect") and what in step.kinds:
            if what == "connect":
                self.link = link
            self.go_on()

    def is_due(self, word, now):
        """The step that waits is one of these, and its time is over."""
        return self.deadline_s is not None and now >= self.deadline_s and \
            not self.is_settled and self.step.word == word

    def end_waits(self, now):
        """A `wait` whose time is over."""
        if self.is_due("wait", now):
            self.go_on()

    def judge_silence(self, now):
        """What an `expect` asks for did not come in time, and nothing is on its way."""
        if not self.is_due("expect", now):
            return
        if self.granted_s < PATIENCE_MAX_S and self.target.is_initiator_busy():
            self.deadline_s = now + PATIENCE_STEP_S
            self.granted_s += PATIENCE_STEP_S
            return
        step = self.step
        self.settle(FAIL, f"line {step.line}: '{step.text}': it did not come in "
                          f"{step.within_s + self.granted_s:g} s")

    def on_initiator_over(self):
        """The program ended; nothing more will come."""
        step = self.step
        while step is not None and not self.is_settled:
            if step.word == "await":
                self.settle(NOT_APPLICABLE, f"line {step.line}: '{step.text}': it never came")
            elif step.word == "expect":
                self.settle(FAIL, f"line {step.line}: '{step.text}': the initiator ended instead")
            else:
                self.go_on()
            step = self.step

    def check_needs(self, link):
        if self.checked_needs or not link.record.is_full_feature or link.record.is_discovery:
            return
        self.checked_needs = True
        for key, sign, wanted in self.case.needs:
            found = link.record.agreed(key) or ""
            left, right = found, wanted
            if wanted.isdigit() and found.isdigit():
                left, right = int(found), int(wanted)
            if not compare(left, sign, right):
                self.settle(NOT_APPLICABLE,
                            f"needs {key}{sign}{wanted}, agreed was {found or 'nothing'}")
                return

    # Steps

    def go_on(self):
        self.at += 1
        self.deadline_s, self.granted_s = None, 0.0
        self.advance()

    def advance(self):
        """Runs steps up to one that waits."""
        while not self.is_over and not self.is_settled:
            step = self.step
            if "close" in step.kinds and self.link is not None and \
                    self.link.closed_by == "initiator" and step.word != "reject":
                self.at += 1
                continue
            if step.word in ("await", "expect", "wait"):
                if step.word != "await":
                    self.deadline_s = time.monotonic() + step.within_s
                return
            getattr(self, "do_" + step.word)(step)
            self.at += 1

    def do_note(self, step):
        pass

    def do_reject(self, step):
        self.rejects.append(step)

    def do_accept(self, _):
        self.rejects.clear()

    def do_twist(self, step):
        self.twists.append(step)

    def do_end(self, _):
        self.is_ended = True

    def do_close(self, _):
        if self.link is not None:
            self.link.finish()

    def do_reset(self, _):
        if self.link is not None:
            self.link.reset()

    def do_raw(self, step):
        if self.link is not None:
            self.link.send_raw(self.bytes_of(step.changes[0][1], None))

    def do_send(self, step):
        if self.link is None:
            return
        for _ in range(step.times):
            draft = Draft(step.pdu)
            about = self.named.get("it")
            if about is not None and about.link is self.link:
                for field in vocabulary.ECHOED.get(step.pdu, ()):
                    if field in vocabulary.FIELDS.get(vocabulary.name_of(about.pdu), {}):
                        value = vocabulary.get(
                            about.pdu.bhs,
                            vocabulary.FIELDS[vocabulary.name_of(about.pdu)][field])
                        vocabulary.put(draft.bhs, vocabulary.FIELDS[step.pdu][field], value)
            if step.pdu in ("DATA_IN", "NOP_IN", "TEXT_RESPONSE"):
                vocabulary.put(draft.bhs, vocabulary.FIELDS[step.pdu]["ttt"], wire.NO_TAG)
            if step.pdu in ("NOP_IN", "ASYNC", "REJECT"):
                vocabulary.put(draft.bhs, vocabulary.FIELDS[step.pdu]["itt"], wire.NO_TAG)
            for copy in self.changed(draft, step.changes):
                self.link.send(copy)

    def do_answer(self, step):
        taken = self.named[step.name]
        if step.changes:
            self.twists.insert(0, dataclasses.replace(step, kinds=(), conditions=[]))
        self.target.ordinary(taken.link, taken.pdu)

    def do_check(self, step):
        for name, condition in step.conditions:
            pdu = self.named[name].pdu
            if not self.matches([condition], pdu):
                self.settle(FAIL, f"line {step.line}: '{step.text}': {condition.field} of {pdu} is "
                                  f"{self.shown(pdu, condition)}")
                return

    def do_set(self, step):
        session = self.link.session if self.link is not None else None
        for key, value in step.changes:
            number = self.number(value)
            if key == "statsn" and self.link is not None:
                self.link.stat_sn = number & wire.NO_TAG
            elif session is not None and key == "expcmdsn":
                session.exp_cmd_sn = number & wire.NO_TAG
            elif session is not None and key == "window":
                session.window = number
            elif session is not None and key == "maxcmdsn":
                session.highest = number & wire.NO_TAG

    # Outgoing PDUs of ordinary behaviour

    def twisted(self, link, draft):
        """The PDUs that go out in place of an ordinary one."""
        for step in self.twists:
            is_meant = not step.kinds or draft.name in step.kinds
            pdu = draft.as_pdu()
            if not is_meant or not self.matches(step.conditions, pdu):
                continue
            if not step.is_lasting:
                self.twists.remove(step)
            return self.changed(draft, step.changes)
        return [draft]

    def changed(self, draft, changes):
        copies = 1
        for word, value in changes:
            if word == "drop":
                copies = 0
                self.forget_number(draft)
            elif word == "twice":
                copies = 2
            else:
                self.change(draft, word, value)
        return [draft] * copies

    def forget_number(self, draft):
        """A PDU that is lost on the way has used up its StatSN."""
        if self.link is not None:
            self.link.fill_numbers(draft)
            draft.was_sent = True
        if draft.counts_status and self.link is not None:
            self.link.kept[self.link.stat_sn] = draft
            self.link.stat_sn = (self.link.stat_sn + 1) & wire.NO_TAG

    def change(self, draft, word, value):
        if word == "data":
            draft.data = self.bytes_of(value, draft)
        elif word == "text":
            draft.data = raw_text(value)
        elif word == "prefix":
            draft.data = raw_text(value) + draft.data
        elif word == "keys":
            draft.data = text_of(self.pairs_of(value))
        elif word == "addkeys":
            draft.data += text_of(self.pairs_of(value))
        elif word in ("setkey", "dropkey"):
            key, _, replacement = value.partition("=")
            pairs = [pair for pair in draft.as_pdu().keys() if pair[0] != key]
            draft.data = text_of(pairs + ([(key, replacement)] if word == "setkey" else []))
        elif word == "damage":
            draft.damage.add(value)
        elif word == "length":
            draft.length = self.number(value, draft)
        elif word == "padding":
            draft.padding = self.number(value, draft) & 0xff
        elif word == "cut":
            draft.data = draft.data[:self.number(value, draft)]
        elif word in vocabulary.FIELDS[draft.name] or word[1:].isdigit():
            draft.set(word, self.number(value, draft))

    def pairs_of(self, text):
        """A=B|C=D as pairs; {portal} is where this target listens, *N repeats what is before it."""
        host, port = self.target.portal
        text = text.replace("{portal}", f"{host}:{port}").replace("{port}", str(port))
        pairs = []
        for one in text.split("|"):
            key, _, value = one.partition("=")
            body, is_repeated, count = value.rpartition("*")
            pairs.append((key, body * int(count) if is_repeated and count.isdigit() else value))
        return pairs

    def bytes_of(self, text, draft):
        kind, _, rest = text.partition(":")
        if kind == "hex":
            return bytes.fromhex(rest)
        if kind == "header":
            return self.named[rest].pdu.bhs
        if kind == "sense":
            return disk.sense_of(*(int(one, 16) for one in rest.split("/")))
        size = self.number(rest) if rest else 0
        if kind == "zeros":
            return bytes(size)
        if kind == "noise":
            return disk.content((size + 3) & ~3, seed=0x5eed)[:size]
        return self.disk_bytes(draft, size)

    def disk_bytes(self, draft, size):
        """What the command in hand should read at the offset of this PDU."""
        pdu = self.named["it"].pdu
        for taken in reversed(list(self.named.values())):
            if taken.pdu.opcode == wire.SCSI_COMMAND:
                pdu = taken.pdu
        start = vocabulary.range_of(pdu.bhs[32:48])[0] * disk.BLOCK
        start += draft.get("offset") if draft is not None and draft.name == "DATA_IN" else 0
        size = size or pdu.u32(20)
        return bytes(self.target.disk.data[start:start + size])

    # Values

    def matches(self, conditions, pdu):
        return all(self.matches_one(one, pdu) for one in conditions)

    def matches_one(self, condition, pdu):
        found = self.found(pdu, condition)
        if isinstance(found, str):
            return compare(found, condition.sign, condition.value)
        if found is None:
            return condition.sign == "!="
        return compare(found, condition.sign, self.number(condition.value))

    def found(self, pdu, condition):
        if condition.place is not None:
            return vocabulary.get(pdu.bhs, condition.place)
        return self.word_of(pdu, condition.field)

    def shown(self, pdu, condition):
        value = self.found(pdu, condition)
        return f"{value:#x}" if isinstance(value, int) else value

    @staticmethod
    def word_of(pdu, word):
        if word == "length":
            return len(pdu.data)
        if word.startswith("key."):
            return dict(pdu.keys()).get(word[4:], "")
        if word.startswith("offered."):
            return pdu.offered.get(word[8:], "")
        if pdu.opcode != wire.SCSI_COMMAND:
            return None
        cdb = pdu.bhs[32:48]
        if word == "op":
            return vocabulary.command_of(cdb)
        return vocabulary.range_of(cdb)[0 if word == "lba" else 1]

    def number(self, text, draft=None):
        return expression.evaluate(text, lambda name: self.value(name, draft))

    def value(self, name, draft):
        whose, is_field, field = name.partition(".")
        if is_field:
            pdu = self.named[whose].pdu
            place = vocabulary.FIELDS.get(vocabulary.name_of(pdu), {}).get(field)
            return vocabulary.get(pdu.bhs, place) if place else self.word_of(pdu, field)
        if draft is not None and name in vocabulary.FIELDS[draft.name]:
            if name not in draft.given and self.link is not None:
                self.link.fill_numbers(draft)
            return draft.get(name)
        session = self.link.session if self.link is not None else None
        if name == "statsn":
            return self.link.stat_sn if self.link is not None else 0
        if session is None:
            return 0
        return {"expcmdsn": session.exp_cmd_sn, "maxcmdsn": session.max_cmd_sn,
                "window": session.window}.get(name, 0)


def raw_text(text):
    """%XX is a byte."""
    return urllib.parse.unquote_to_bytes(text)
