#!/usr/bin/env python3
"""The judge's rules: a good session has no complaints, and each planted mistake has one."""

import struct
import sys
import unittest

from conformkit import rules, wire

LUN = bytes([0, 1, 0, 0, 0, 0, 0, 0])
LOGIN_KEYS = ("InitiatorName=iqn.2026-01.test:i", "SessionType=Normal",
              "TargetName=iqn.2026-01.test:t", "AuthMethod=None")
OPERATIONAL = ("HeaderDigest=CRC32C", "DataDigest=CRC32C", "InitialR2T=No", "ImmediateData=Yes")
ANSWERS = OPERATIONAL + ("FirstBurstLength=1024", "MaxBurstLength=1024",
                         "MaxRecvDataSegmentLength=512")


class Draft:
    """A PDU being written: bytes by offset, data."""

    def __init__(self, sent, opcode, flags, data=b"", **fields):
        self.sent = sent
        self.bhs = bytearray(48)
        self.bhs[0], self.bhs[1] = opcode, flags
        self.data = data
        self.padding = b""
        self.ahs_words = 0
        for name, value in fields.items():
            self.set(name, value)

    OFFSETS = {"itt": 16, "ttt": 20, "length": 20, "sn": 24, "ack": 28, "max": 32, "data_sn": 36,
               "offset": 40, "wanted": 44}

    def set(self, name, value):
        if name == "lun":
            self.bhs[8:16] = value
        else:
            struct.pack_into(">I", self.bhs, self.OFFSETS[name], value)

    def encode(self, with_digests):
        self.bhs[4] = self.ahs_words
        self.bhs[5:8] = len(self.data).to_bytes(3, "big")
        padding = self.padding or bytes(-len(self.data) % 4)
        head = bytes(self.bhs) + bytes(4 * self.ahs_words)
        body = self.data + padding
        if not with_digests:
            return head + body
        digest = wire.crc32c(head).to_bytes(4, "little")
        if not self.data:
            return head + digest
        return head + digest + body + wire.crc32c(body).to_bytes(4, "little")


def text(*pairs):
    return b"".join(pair.encode() + b"\0" for pair in pairs)


def login_drafts():
    isid = bytes([0x80, 1, 2, 3, 4, 5, 0, 0])
    return {
        "login1": Draft(True, 0x43, 0x81, text(*LOGIN_KEYS), lun=isid, itt=7, sn=100),
        "login1_answer": Draft(False, 0x23, 0x81, text("AuthMethod=None"), itt=7, sn=50, ack=100,
                               max=110),
        "login2": Draft(True, 0x43, 0x87, text(*OPERATIONAL), lun=isid, itt=7, sn=100, ack=51),
        "login2_answer": Draft(False, 0x23, 0x87, text(*ANSWERS), itt=7, sn=51, ack=100, max=110),
    }


def session_drafts():
    """A write of 2048 bytes with all kinds of data, a read, pings both ways, a logout."""
    data = bytes(range(256)) * 8
    return login_drafts() | {
        "write": Draft(True, 0x01, 0x21, data[:256], lun=LUN, itt=8, length=2048, sn=100, ack=52),
        "unsolicited1": Draft(True, 0x05, 0x00, data[256:768], lun=LUN, itt=8, ttt=wire.NO_TAG,
                              ack=52, data_sn=0, offset=256),
        "unsolicited2": Draft(True, 0x05, 0x80, data[768:1024], lun=LUN, itt=8, ttt=wire.NO_TAG,
                              ack=52, data_sn=1, offset=768),
        "r2t": Draft(False, 0x31, 0x80, lun=LUN, itt=8, ttt=99, sn=52, ack=101, max=110,
                     data_sn=0, offset=1024, wanted=1024),
        "solicited1": Draft(True, 0x05, 0x00, data[1024:1536], lun=LUN, itt=8, ttt=99, ack=52,
                            data_sn=0, offset=1024),
        "solicited2": Draft(True, 0x05, 0x80, data[1536:], lun=LUN, itt=8, ttt=99, ack=52,
                            data_sn=1, offset=1536),
        "write_answer": Draft(False, 0x21, 0x80, itt=8, sn=52, ack=101, max=110),
        "read": Draft(True, 0x01, 0xc1, lun=LUN, itt=9, length=512, sn=101, ack=53),
        "read_data": Draft(False, 0x25, 0x81, data[:512], itt=9, ttt=wire.NO_TAG, sn=53, ack=102,
                           max=110),
        "ping": Draft(True, 0x40, 0x80, b"ping!", itt=10, ttt=wire.NO_TAG, sn=102, ack=54),
        "ping_answer": Draft(False, 0x20, 0x80, b"ping!", itt=10, ttt=wire.NO_TAG, sn=54, ack=102,
                             max=110),
        "asked": Draft(False, 0x20, 0x80, lun=LUN, itt=wire.NO_TAG, ttt=5, sn=55, ack=102,
                       max=110),
        "asked_answer": Draft(True, 0x40, 0x80, lun=LUN, itt=wire.NO_TAG, ttt=5, sn=102, ack=55),
        "logout": Draft(True, 0x46, 0x80, itt=11, sn=102, ack=55),
        "logout_answer": Draft(False, 0x26, 0x80, itt=11, sn=55, ack=102, max=110),
    }


def recorded(drafts):
    chunks, full_feature = [], False
    for name, draft in drafts.items():
        chunks.append((draft.sent, draft.encode(full_feature)))
        full_feature = full_feature or name == "login2_answer"
    return wire.Connection(chunks)


def poke(at, value):
    """A mistake: one byte of the header has another value."""
    def apply(draft):
        draft.bhs[at] = value
    return apply


def number(name, value):
    return lambda draft: draft.set(name, value)


def keys(*pairs):
    def apply(draft):
        draft.data = text(*pairs)
    return apply


def cut(size):
    def apply(draft):
        draft.data = draft.data[:size]
    return apply


# (draft, mistake, rule that must notice)
MISTAKES = (
    ("login1", poke(0, 0x03), "login_is_one_orderly_exchange"),
    ("login2", number("itt", 8), "login_is_one_orderly_exchange"),
    ("login2", poke(9, 9), "login_is_one_orderly_exchange"),
    ("login1", poke(2, 1), "login_is_one_orderly_exchange"),
    ("login1", poke(15, 1), "login_is_one_orderly_exchange"),
    ("login2", number("sn", 101), "login_is_one_orderly_exchange"),
    ("login1", poke(1, 0xc1), "login_is_one_orderly_exchange"),
    ("login1", poke(1, 0x8b), "login_stages_move_as_tabled"),
    ("login2", number("ack", 50), "login_acknowledges_responses"),
    ("login1", poke(15, 1), "handles_are_given_by_the_target"),
    ("login1_answer", poke(1, 0x40), "continued_text_is_asked_for"),
    ("login1_answer", keys("AuthMethod=None", "FirstBurstLength=512"),
     "proposals_of_the_target_are_answered"),
    ("login2", keys(*OPERATIONAL, "maxBurstLength=512"), "text_is_well_formed"),
    ("login2", keys(*OPERATIONAL, "MaxBurstLength"), "text_is_well_formed"),
    ("login2", keys(*OPERATIONAL, "MaxBurstLength=0512"), "text_is_well_formed"),
    ("login2", keys(*OPERATIONAL, "MaxBurstLength=511"), "text_is_well_formed"),
    ("login2", keys(*OPERATIONAL, "DataPDUInOrder=yes"), "text_is_well_formed"),
    ("login2", keys(*OPERATIONAL, "TaskReporting=RFC3720,"), "text_is_well_formed"),
    ("login2", keys(*OPERATIONAL, "InitiatorAlias=" + 256 * "a"), "text_is_well_formed"),
    ("login1", keys(*LOGIN_KEYS[1:]), "login_offers_its_keys_once"),
    ("login1", keys(*LOGIN_KEYS[:2]), "login_offers_its_keys_once"),
    ("login1", keys(*LOGIN_KEYS, "InitialR2T=No"), "login_offers_its_keys_once"),
    ("login2", keys(*OPERATIONAL, LOGIN_KEYS[0]), "login_offers_its_keys_once"),
    ("login2", keys(*OPERATIONAL, "IFMarker=Yes"), "login_offers_its_keys_once"),
    ("login2", keys(*OPERATIONAL, "CHAP_A=7"), "chap_offers_md5_and_a_long_challenge"),
    ("login2", keys(*OPERATIONAL, "CHAP_A=5,7"), "chap_offers_md5_and_a_long_challenge"),
    ("login2", keys(*OPERATIONAL, "CHAP_C=0x1234"), "chap_offers_md5_and_a_long_challenge"),
    ("write", poke(2, 1), "frames_are_right"),
    ("read", lambda draft: setattr(draft, "ahs_words", 1), "frames_are_right"),
    ("ping", lambda draft: setattr(draft, "padding", b"abc"), "frames_are_right"),
    ("logout", poke(9, 1), "frames_are_right"),
    ("solicited1", poke(47, 1), "frames_are_right"),
    ("read", number("sn", 103), "command_numbers_count_up"),
    ("ping", number("sn", 101), "command_numbers_count_up"),
    ("write", number("sn", 111), "commands_stay_in_the_window"),
    ("write", number("ack", 53), "status_numbers_are_acknowledged"),
    ("read", number("ack", 51), "status_numbers_are_acknowledged"),
    ("logout", number("ack", 53), "status_numbers_are_acknowledged"),
    ("read", number("itt", wire.NO_TAG), "task_tags_are_unique_while_alive"),
    ("read", poke(1, 0xc0), "commands_are_well_formed"),
    ("read", poke(1, 0xe1), "commands_are_well_formed"),
    ("read", poke(1, 0x41), "commands_are_well_formed"),
    ("read", number("length", 0), "commands_are_well_formed"),
    ("write", number("length", 128), "unsolicited_data_is_what_was_agreed"),
    ("login2_answer", keys("ImmediateData=No", "InitialR2T=No", *OPERATIONAL[:2]),
     "unsolicited_data_is_what_was_agreed"),
    ("login2_answer", keys("InitialR2T=Yes", *OPERATIONAL[:2]),
     "unsolicited_data_is_what_was_agreed"),
    ("unsolicited1", number("data_sn", 1), "data_out_follows_its_command"),
    ("unsolicited2", number("offset", 772), "data_out_follows_its_command"),
    ("unsolicited2", poke(1, 0), "data_out_follows_its_command"),
    ("unsolicited2", cut(128), "data_out_follows_its_command"),
    ("solicited1", poke(1, 0x80), "data_out_follows_its_command"),
    ("solicited1", poke(9, 2), "data_out_follows_its_command"),
    ("solicited1", number("ttt", 98), "data_out_follows_its_command"),
    ("solicited1", cut(510), "data_out_follows_its_command"),
    ("solicited2", cut(0), "data_out_follows_its_command"),
    ("login2_answer", keys("MaxRecvDataSegmentLength=511", *OPERATIONAL),
     "segments_fit_the_target"),
    ("ping", poke(9, 1), "pings_are_well_formed"),
    ("asked_answer", poke(9, 0), "pings_are_well_formed"),
    ("asked_answer", number("ttt", 6), "pings_are_well_formed"),
    ("logout", poke(1, 0x82), "logout_is_the_last_word"),
)


class WireRules(unittest.TestCase):
    # Goal: a session without mistakes has no complaints.
    def test_good_session_passes(self):
        connection = recorded(session_drafts())
        self.assertTrue(connection.is_full_feature)
        self.assertEqual(len(connection.pdus), len(session_drafts()))
        self.assertEqual(rules.complaints(connection), [])

    # Goal: each planted mistake is noticed by the rule that is about it.
    def test_each_mistake_is_noticed(self):
        for name, mistake, rule in MISTAKES:
            drafts = session_drafts()
            mistake(drafts[name])
            found = rules.complaints(recorded(drafts))
            self.assertTrue(any(one.startswith(rule + ":") for one in found),
                            f"{name} {rule}: {found}")

    # Goal: every rule has at least one mistake that it notices, but for those tried below.
    def test_no_rule_is_idle(self):
        tried = {rule for _, _, rule in MISTAKES} | {
            "task_management_is_well_formed", "discovery_asks_for_targets_only",
            "snacks_are_well_formed", "text_requests_are_orderly",
            "tasks_stay_on_their_connection", "connections_are_as_many_as_agreed",
            "one_name_for_the_initiator"}
        self.assertEqual({one.__name__ for one in rules.RULES}, tried)

    # Goal: a logout over unsettled commands, and words after it, are noticed.
    def test_logout(self):
        drafts = session_drafts()
        del drafts["read_data"]
        found = rules.complaints(recorded(drafts))
        self.assertTrue(any("not settled" in one for one in found))
        drafts = session_drafts()
        drafts["late"] = Draft(True, 0x01, 0xc1, lun=LUN, itt=30, length=512, sn=102, ack=56)
        found = rules.complaints(recorded(drafts))
        self.assertTrue(any("after the logout" in one for one in found))

    # Goal: a wrong digest, and a second task with a live tag, are noticed.
    def test_digests_and_live_tags(self):
        drafts = session_drafts()
        chunks, full_feature = [], False
        for name, draft in drafts.items():
            raw = bytearray(draft.encode(full_feature))
            if name == "solicited1":
                raw[60] ^= 1
            chunks.append((draft.sent, bytes(raw)))
            full_feature = full_feature or name == "login2_answer"
        found = rules.complaints(wire.Connection(chunks))
        self.assertTrue(any("data digest is wrong" in one for one in found), found)
        drafts = session_drafts()
        del drafts["write_answer"]
        drafts["read"].set("itt", 8)
        self.assertTrue(any("in use" in one for one in rules.complaints(recorded(drafts))))

    def assert_noticed(self, rule, *connections):
        found = rules.breaches(list(connections))
        self.assertIn(rule, [one.rule for one in found], found)

    # Goal: SNACKs are judged by level, type, tags and run; text requests by tags and keys.
    def test_snacks_and_text(self):
        snack = Draft(True, 0x10, 0x81, itt=wire.NO_TAG, ttt=wire.NO_TAG, ack=52, offset=52,
                      wanted=1)
        drafts = login_drafts()
        drafts["login2_answer"].data = text(*ANSWERS, "ErrorRecoveryLevel=1")
        drafts["snack"] = snack
        self.assertEqual(rules.complaints(recorded(drafts)), [])
        for mistake in (poke(1, 0x01), poke(1, 0x84), number("itt", 8), poke(1, 0x80),
                        poke(1, 0x82), poke(1, 0x83)):
            drafts["snack"] = Draft(True, 0x10, 0x81, itt=wire.NO_TAG, ttt=wire.NO_TAG, ack=52,
                                    offset=52, wanted=1)
            mistake(drafts["snack"])
            self.assert_noticed("snacks_are_well_formed", recorded(drafts))
        drafts["snack"] = snack
        drafts["login2_answer"].data = text(*ANSWERS)
        self.assert_noticed("snacks_are_well_formed", recorded(drafts))
        for pairs, ttt in (("MaxBurstLength=512",), wire.NO_TAG), (("X-a=b",), 5):
            drafts = login_drafts()
            drafts["ask"] = Draft(True, 0x44, 0x80, text(*pairs), itt=9, ttt=ttt, sn=100, ack=52)
            self.assert_noticed("text_requests_are_orderly", recorded(drafts))

    # Goal: what two connections of one session must share or keep apart.
    def test_two_connections(self):
        def pair(most, name=LOGIN_KEYS[0]):
            drafts = session_drafts()
            del drafts["logout"], drafts["logout_answer"], drafts["solicited2"]
            del drafts["write_answer"]
            drafts["login2_answer"].data = text(*ANSWERS, f"MaxConnections={most}")
            drafts["login2_answer"].bhs[15] = 1
            added = {"login": Draft(True, 0x43, 0x87, text(name, LOGIN_KEYS[2]),
                                    lun=bytes([0x80, 1, 2, 3, 4, 5, 0, 1]), itt=7, sn=103),
                     "answer": Draft(False, 0x23, 0x87, lun=bytes([0x80, 1, 2, 3, 4, 5, 0, 1]),
                                     itt=7, sn=0, ack=103, max=110)}
            added["login"].bhs[21] = 1
            return drafts, added
        drafts, added = pair(2)
        found = [one.rule for one in rules.breaches([recorded(drafts), recorded(added)])]
        self.assertEqual(set(found) - {"status_numbers_are_acknowledged"}, set())
        self.assert_noticed("connections_are_as_many_as_agreed", recorded(pair(1)[0]),
                            recorded(pair(1)[1]))
        drafts, added = pair(2, "InitiatorName=iqn.2026-01.test:other")
        self.assert_noticed("one_name_for_the_initiator", recorded(drafts), recorded(added))
        drafts, added = pair(2)
        added["astray"] = Draft(True, 0x05, 0x80, bytes(512), lun=LUN, itt=8, ttt=99, ack=1,
                                data_sn=1, offset=1536)
        first, second = recorded(drafts), recorded(added)
        for order, pdu in enumerate(first.pdus + second.pdus):
            pdu.order = order
        self.assert_noticed("tasks_stay_on_their_connection", first, second)

    # Goal: a task management request and a discovery session obey their rules.
    def test_task_management_and_discovery(self):
        drafts = session_drafts()
        tmf = Draft(True, 0x42, 0x85, lun=LUN, itt=20, ttt=wire.NO_TAG, sn=102, ack=55)
        before_logout = {}
        for name, draft in drafts.items():
            if name == "logout":
                before_logout["tmf"] = tmf
            before_logout[name] = draft
        self.assertEqual(rules.complaints(recorded(before_logout)), [])
        for at, value in ((1, 0x05), (1, 0x87), (20, 0)):
            old, tmf.bhs[at] = tmf.bhs[at], value
            found = rules.complaints(recorded(before_logout))
            self.assertTrue(any("task_management" in one for one in found), (at, value, found))
            tmf.bhs[at] = old
        discovery = login_drafts()
        discovery["login1"].data = text(LOGIN_KEYS[0], "SessionType=Discovery", "AuthMethod=None")
        discovery["ask"] = Draft(True, 0x04, 0x80, text("SendTargets=All"), itt=9, ttt=wire.NO_TAG,
                                 sn=100, ack=52)
        self.assertEqual(rules.complaints(recorded(discovery)), [])
        for pairs in (("SendTargets=All", "X-a=b"), ("MaxRecvDataSegmentLength=512",)):
            discovery["ask"].data = text(*pairs)
            self.assertTrue(rules.complaints(recorded(discovery)))


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
