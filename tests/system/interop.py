#!/usr/bin/env python3
"""The client against tgt and istgt: what is written is on the target's disk, what is read is what
was written, and what goes over the wire obeys RFC 7143."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import unittest

import client
import proxy
import targets
from conformkit import rules, wire
from played import after_request_of, played

PORT = 13264
PROXY_PORT = 13265
PLAYED_PORT = 13266
KINDS = (targets.Tgt, targets.Istgt)
ONE_WAY = targets.Chap("anna", "twelve-or-more")
MUTUAL = targets.Chap("anna", "twelve-or-more", "storage", "sixteen-at-least")
MIB = 1 << 20


def random_bytes(size, seed=1):
    return random.Random(seed).randbytes(size)


class Interop(unittest.TestCase):
    def setUp(self):
        if client.missing():
            self.skipTest(client.missing())

    def note_missing(self, kind):
        reason = kind.missing()
        if reason:
            print(f"{kind.name} is left out: {reason}")
        return reason

    def kinds(self, *wanted):
        found = [kind for kind in (wanted or KINDS) if not self.note_missing(kind)]
        if not found:
            self.skipTest("no target is installed")
        return found

    def assert_ok(self, ended):
        self.assertEqual(ended.code, client.OK, str(ended))
        return ended

    @contextlib.contextmanager
    def recorded(self, target, is_orderly=True):
        """A proxy in front of the target; gives the URL through it, and, filled in at the end, the
        connections. They must obey the rules, unless they were cut off on purpose."""
        seen = []
        with proxy.RecordingProxy(PROXY_PORT, target.port) as through:
            yield target.url().replace(f":{target.port}/", f":{PROXY_PORT}/"), seen
        seen += [wire.Connection(one.chunks) for one in through.connections]
        self.assertTrue(seen)
        for connection in seen if is_orderly else ():
            complaints = rules.complaints(connection)
            self.assertEqual(complaints, [], f"{len(complaints)} complaints")

    def write_and_read(self, target, url, size, offset=0, seed=1, options=()):
        """Writes, looks at the target's disk, reads back."""
        data = random_bytes(size, seed)
        at = ("--offset", str(offset))
        self.assert_ok(client.run("write", url, *at, *options, chap=target.chap, data=data))
        with open(target.disk, "rb") as disk:
            disk.seek(offset)
            self.assertEqual(disk.read(size), data, "the target's disk has other bytes")
        back = self.assert_ok(client.run("read", url, *at, "--length", str(size), *options,
                                         chap=target.chap))
        self.assertEqual(back.out, data, "other bytes come back")

    # Goal: data survives the way there and back, on both block sizes, at the first and the last
    # block of the disk, in pieces that fill no request.
    # Rows: LOG-30, RES-06
    def test_data_arrives_whole(self):
        for kind in self.kinds():
            for block in (512, 4096):
                with self.subTest(kind=kind.name, block=block), \
                        kind(PORT, block_bytes=block) as target:
                    self.write_and_read(target, target.url(), 3 * MIB + 5 * block, 7 * block)
                    self.write_and_read(target, target.url(), block, 0, seed=2)
                    self.write_and_read(target, target.url(), block, target.size_bytes - block,
                                        seed=3)
                    self.assert_ok(client.run("verify", target.url(), "--length", "4MiB"))

    # Goal: every mix of digests is agreed as asked for, and every PDU of ours carries the right
    # digests after login and none in it.
    # Rows: DIG-01, DIG-03, DIG-04, DIG-05, PDU-02, PDU-05, PDU-07, PDU-09, PDU-10, KEY-01, KEY-02
    def test_digests(self):
        wishes = {"never": "None", "require": "CRC32C"}
        for kind in self.kinds():
            for header, data in [(h, d) for h in wishes for d in wishes]:
                with self.subTest(kind=kind.name, header=header, data=data), \
                        kind(PORT, digest="offer") as target, \
                        self.recorded(target) as (url, seen):
                    self.write_and_read(target, url, 300 * 1024, options=(
                        "--header-digest", header, "--data-digest", data))
                for connection in seen:
                    self.assertEqual(connection.agreed("HeaderDigest"), wishes[header])
                    self.assertEqual(connection.agreed("DataDigest"), wishes[data])

    # Goal: without a word from the operator digests are on, where the target can.
    # Rows: DIG-01
    def test_digests_are_on_by_default(self):
        for kind in self.kinds():
            with self.subTest(kind=kind.name), \
                    kind(PORT, digest="offer") as target, \
                    self.recorded(target) as (url, seen):
                self.write_and_read(target, url, 64 * 1024)
            for connection in seen:
                self.assertEqual(connection.agreed("HeaderDigest"), "CRC32C")
                self.assertEqual(connection.agreed("DataDigest"), "CRC32C")

    # Goal: CHAP, one way and mutual, with keys, stages and challenges as the RFC has them.
    # Rows: CHP-01, CHP-02, CHP-08, CHP-20, LOG-01, LOG-03, LOG-04, LOG-05, LOG-06, LOG-08, LOG-10,
    #   LOG-11, LOG-12, LOG-15, SID-04
    def test_chap(self):
        for kind in self.kinds():
            for chap in (ONE_WAY, MUTUAL):
                with self.subTest(kind=kind.name, mutual=chap.is_mutual), \
                        kind(PORT, chap=chap) as target, self.recorded(target) as (url, seen):
                    self.write_and_read(target, url, 64 * 1024)
                # tgt chokes on the digest of SHA-256, and gets a second login with MD5 alone.
                whole = [one for one in seen if one.is_full_feature]
                self.assertEqual(len(whole), 2)
                for connection in whole:
                    self.assertEqual(connection.answered["AuthMethod"], "CHAP")
                    self.assertEqual("CHAP_R" in connection.answered, chap.is_mutual)
                challenges = [one.offered.get("CHAP_C") for one in seen]
                if chap.is_mutual:
                    self.assertEqual(len(set(challenges)), len(challenges), "a challenge repeats")

    # Goal: whatever the target wants of writes, immediate, unsolicited, solicited, in small or
    # large pieces, no byte goes where it was not asked, and the disk has them all.
    # Rows: WRI-01, WRI-02, WRI-03, WRI-04, WRI-05, WRI-06, WRI-07, WRI-09, WRI-10, WRI-11, WRI-12,
    #   WRI-13, WRI-14, WRI-15, WRI-08, R2T-01, R2T-07, SEQ-01, SEQ-03, STA-01, TSK-01, PDU-16
    def test_every_kind_of_write(self):
        limits = ({}, {"FirstBurstLength": "4096", "MaxBurstLength": "8192",
                       "MaxRecvDataSegmentLength": "2048"},
                  {"FirstBurstLength": "65536", "MaxBurstLength": "65536",
                   "MaxRecvDataSegmentLength": "4096"})
        for kind in self.kinds(targets.Tgt):
            modes = [(r2t, immediate) for r2t in ("Yes", "No") for immediate in ("Yes", "No")]
            for r2t, immediate in modes:
                for limit in limits:
                    with self.subTest(InitialR2T=r2t, ImmediateData=immediate, **limit), \
                            kind(PORT, parameters={"InitialR2T": r2t, "ImmediateData": immediate,
                                                   **limit}) as target, \
                            self.recorded(target) as (url, seen):
                        for size in (512, 4096, 5120, 200 * 1024):
                            self.write_and_read(target, url, size, offset=512, seed=size)
                    for connection in seen:
                        self.assertEqual(connection.agreed("InitialR2T"), r2t)
                        self.assertEqual(connection.agreed("ImmediateData"), immediate)

    # Goal: many commands at once, reads and writes mixed, obey the rules of numbers and windows.
    # Rows: SEQ-01, SEQ-03, SEQ-05, STA-01, PDU-16, WRI-09
    def test_many_commands_at_once(self):
        for kind in self.kinds():
            with self.subTest(kind=kind.name), kind(PORT) as target, \
                    self.recorded(target) as (url, _):
                self.assert_ok(client.run("bench", url, "--rw", "randrw", "--bs", "8KiB",
                                          "--depth", "32", "--requests", "300", "--length", "16MiB",
                                          "--header-digest", "never", "--data-digest", "never"))

    # Goal: a session ends with a logout that leaves nothing unsettled.
    # Rows: LGO-01, LGO-02, LGO-03, LGO-04
    def test_sessions_log_out(self):
        for kind in self.kinds():
            with self.subTest(kind=kind.name), kind(PORT) as target, \
                    self.recorded(target) as (url, seen):
                self.write_and_read(target, url, 64 * 1024)
            for connection in seen:
                self.assertEqual(len(connection.sent(wire.LOGOUT)), 1)

    # Goal: discovery lists the target with its portal, in text and in JSON, and asks for nothing
    # else.
    # Rows: DSC-01, DSC-02, DSC-04, TXT-01, TXT-02, TXT-05
    def test_discovery(self):
        for kind in self.kinds():
            with self.subTest(kind=kind.name), kind(PORT) as target, \
                    self.recorded(target) as (_, seen):
                portal = f"iscsi://127.0.0.1:{PROXY_PORT}"
                told = self.assert_ok(client.run("discover", portal)).out.decode()
                self.assertIn(target.iqn, told)
                self.assertIn(f"127.0.0.1:{PORT}", told)
                as_json = self.assert_ok(client.run("discover", portal, "--json")).out
                self.assertIn(target.iqn, json.dumps(json.loads(as_json)))
            self.assertTrue(all(connection.is_discovery for connection in seen))

    # Goal: the same over IPv6.
    def test_ipv6(self):
        if not targets.has_ipv6():
            self.skipTest("this machine has no IPv6 loopback")
        for kind in self.kinds(targets.Tgt):
            with kind(PORT, host="::1") as target:
                self.write_and_read(target, target.url(), 300 * 1024)
                told = self.assert_ok(client.run("discover", f"iscsi://[::1]:{PORT}")).out.decode()
                self.assertIn(target.iqn, told)

    # Goal: a target that sends us elsewhere is followed there, for a while or for good, and a
    # circle of redirects ends.
    # Rows: LOG-23, LOG-24
    def test_redirects(self):
        for kind in self.kinds(targets.Tgt):
            for status in (0x0101, 0x0102):
                moved = after_request_of(status, f"TargetAddress=127.0.0.1:{PORT}\0".encode())
                with self.subTest(status=hex(status)), kind(PORT) as there, \
                        played(PLAYED_PORT, moved) as taken:
                    data = random_bytes(64 * 1024)
                    here = there.url().replace(f":{PORT}/", f":{PLAYED_PORT}/")
                    self.assert_ok(client.run("write", here, data=data))
                    with open(there.disk, "rb") as disk:
                        self.assertEqual(disk.read(len(data)), data)
                    self.assertEqual(len(taken), 1)
        circle = after_request_of(0x0101, f"TargetAddress=127.0.0.1:{PLAYED_PORT}\0".encode())
        with played(PLAYED_PORT, circle) as taken:
            ended = client.run("read", f"iscsi://127.0.0.1:{PLAYED_PORT}/iqn.2026-01.test:x/0",
                               "--length", "4096", "--timeout", "5")
            self.assertNotEqual(ended.code, client.OK)
            self.assertEqual(len(ended.complaint.splitlines()), 1, str(ended))
            self.assertLess(len(taken), 200)

    # Goal: pings of the target are answered with its LUN and tag, under load.
    # Rows: NOP-01, NOP-04
    def test_pings_are_answered(self):
        for kind in self.kinds(targets.Tgt):
            with self.subTest(kind=kind.name), \
                    kind(PORT, portal_options="nop_interval=1,nop_count=3") as target, \
                    self.recorded(target) as (url, seen):
                self.assert_ok(client.run("bench", url, "--rw", "randread", "--bs", "4KiB",
                                          "--depth", "1", "--seconds", "6", "--header-digest",
                                          "never", "--data-digest", "never"))
            asked = [pdu for one in seen for pdu in one.pdus
                     if pdu.opcode == wire.NOP_IN and pdu.ttt != wire.NO_TAG]
            answered = [pdu for one in seen for pdu in one.sent(wire.NOP_OUT)
                        if pdu.ttt != wire.NO_TAG]
            self.assertTrue(asked)
            self.assertGreaterEqual(len(answered), len(asked) - 1)

    def write_through_trouble(self, target, url, trouble):
        """Writes 24 MiB, has `trouble()` in the middle of it, and looks for every byte."""
        data = random_bytes(24 * MIB, seed=9)
        writer = subprocess.Popen(
            client.command("write", url, "--header-digest", "never", "--data-digest", "never",
                           "--patience", "90"),
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        in_trouble = threading.Event()

        def feed():
            with contextlib.suppress(BrokenPipeError):
                writer.stdin.write(data[:8 * MIB])
                writer.stdin.flush()
                in_trouble.wait(60)
                writer.stdin.write(data[8 * MIB:])
            with contextlib.suppress(BrokenPipeError):
                writer.stdin.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            targets.wait_until(lambda: self.bytes_through(target) > 2 * MIB, "the write runs")
            trouble(in_trouble)
            writer.wait(client.LIMIT_S)
        finally:
            in_trouble.set()
            writer.kill()
            feeder.join()
            complaint = writer.stderr.read().decode()
            writer.stderr.close()
        self.assertEqual(writer.returncode, 0, complaint)
        with open(target.disk, "rb") as disk:
            self.assertEqual(disk.read(len(data)), data)

    def assert_same_session_again(self, seen):
        sessions = [one for one in seen if one.is_full_feature]
        self.assertGreaterEqual(len(sessions), 2)
        self.assertEqual(len({one.pdus[0].bhs[8:14] for one in sessions}), 1, "ISID changed")
        for session in sessions:
            self.assertEqual(session.pdus[0].u16(14), 0, "TSIH of a reinstated session")

    # Goal: the target dies in the middle of a long write and comes back with the same disk: the
    # write goes on and every byte is there. The name and ISID of the session stay the same.
    # Rows: SER-01, SER-02, SER-05, SER-07, SID-02
    def test_target_restarts_during_a_write(self):
        for kind in self.kinds():
            with self.subTest(kind=kind.name), kind(PORT) as target, \
                    self.recorded(target, is_orderly=False) as (url, seen):

                def restart(in_trouble, target=target):
                    target.stop()
                    in_trouble.set()
                    target.start()

                self.write_through_trouble(target, url, restart)
            self.assert_same_session_again(seen)

    # Goal: the target freezes in the middle of a long write: the session is found dead by its
    # pings, its connection is reset before the next login begins, and every byte is there.
    # Rows: SER-01, SER-02, SER-03, NOP-07
    def test_target_freezes_during_a_write(self):
        for kind in self.kinds():
            with self.subTest(kind=kind.name), kind(PORT) as target, \
                    proxy.RecordingProxy(PROXY_PORT, PORT) as through:

                def freeze(in_trouble, target=target, through=through):
                    target.process.send_signal(signal.SIGSTOP)
                    try:
                        in_trouble.set()
                        targets.wait_until(lambda: through.connections[0].reset_at is not None,
                                           "the frozen connection is reset", limit_s=40)
                    finally:
                        target.process.send_signal(signal.SIGCONT)

                url = target.url().replace(f":{PORT}/", f":{PROXY_PORT}/")
                self.write_through_trouble(target, url, freeze)
            self.assert_same_session_again(
                [wire.Connection(one.chunks) for one in through.connections])
            for earlier, later in zip(through.connections, through.connections[1:]):
                self.assertIsNotNone(earlier.reset_at, "closed without a reset")
                self.assertLess(earlier.reset_at, later.began_at)

    @staticmethod
    def bytes_through(target):
        """How much of the target's sparse disk has been written."""
        return os.stat(target.disk).st_blocks * 512


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
