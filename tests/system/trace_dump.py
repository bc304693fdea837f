#!/usr/bin/env python3
"""The flight recorder end to end: holdfastd serves a LUN of holdfast-target as an NBD socket,
through a proxy that keeps every byte; `holdfast trace` and tshark's own iSCSI dissector must then
tell the same story as those bytes."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import client
import proxy
import targets
from conformkit import wire

TARGET_PORT, PORT = 13290, 13291
IQN = "iqn.2026-01.test.holdfast:trace"
SHOWN_PORT = 3260
BLOCK_BYTES = 64 * 1024
LIMIT_S = 60


class Daemon:
    """Target, proxy and holdfastd in a folder of their own. A context manager."""

    def __init__(self, *fault):
        self.fault = fault
        self.folder = None
        self.ends = contextlib.ExitStack()

    def __enter__(self):
        self.folder = pathlib.Path(self.ends.enter_context(tempfile.TemporaryDirectory()))
        self.folder.chmod(0o711)  # The user of control must get to its own folders in it.
        with self.ends.pop_all() as ends:
            self.start(ends, "holdfast-target", "--iqn", IQN, "--lun", "id=0,size=8M", "--listen",
                       f"127.0.0.1:{TARGET_PORT}", *self.fault)
            targets.wait_until(lambda: targets.is_listening(TARGET_PORT), "holdfast-target")
            self.proxy = ends.enter_context(proxy.RecordingProxy(PORT, TARGET_PORT))
            configuration = self.folder / "holdfast.toml"
            configuration.write_text(
                f'[daemon]\nsocket = "{self.socket}"\nstate_directory = "{self.folder}/state"\n'
                f'initiator_name_file = "{self.folder}/name"\n')
            self.start(ends, "holdfastd", "--no-lockdown", "--config", str(configuration),
                       "--link-dir", str(self.folder / "links"))
            targets.wait_until(lambda: self.ask("version")["daemon"], "holdfastd")
            self.ask("attach", f"iscsi://127.0.0.1:{PORT}/{IQN}/0", "--name", "disk", "--export",
                     "nbd", "--nbd-socket", str(self.folder / "nbd"), "--without-lockdown",
                     "--profile", "data")
            self.ends = ends.pop_all()
        return self

    def __exit__(self, *exception):
        return self.ends.__exit__(*exception)

    @property
    def socket(self):
        return self.folder / "control"

    def start(self, ends, program, *arguments):
        log = ends.enter_context(open(self.folder / f"{program}.log", "wb"))
        process = subprocess.Popen([client.program().with_name(program), *arguments], stdout=log,
                                   stderr=log)
        ends.callback(process.wait, LIMIT_S)
        ends.callback(process.terminate)

    def run(self, *words):
        return subprocess.run([client.program(), *words, "--socket", str(self.socket)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT_S,
                              check=False)

    def ask(self, *words):
        ended = self.run(*words, "--json")
        if ended.returncode != 0:
            raise targets.TargetError(f"{words}: {ended.stderr.decode()}")
        return json.loads(ended.stdout)

    def copy_in(self, data):
        source = self.folder / "data"
        source.write_bytes(data)
        subprocess.run(["nbdcopy", "--requests=4", str(source),
                        f"nbd+unix:///disk?socket={self.folder}/nbd"], check=True, timeout=LIMIT_S)

    def traces(self):
        return sorted((self.folder / "state" / "traces").glob("*.pcapng"))


def dissected(capture, *fields, only="iscsi"):
    """What tshark says about the packets that pass the filter: a row of texts for each."""
    wanted = [word for field in fields for word in ("-e", field)]
    said = subprocess.run(["tshark", "-r", str(capture), "-Y", only, "-T", "fields", *wanted],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True, text=True,
                          timeout=LIMIT_S)
    return [line.split("\t") for line in said.stdout.splitlines()]


def opcodes(recorded, sent):
    return [pdu.opcode for pdu in wire.Connection(recorded.chunks).pdus if pdu.sent == sent]


class Trace(unittest.TestCase):
    def setUp(self):
        if client.missing():
            self.skipTest(client.missing())
        for program in ("tshark", "nbdcopy"):
            if not shutil.which(program):
                self.skipTest(f"{program} is not installed")

    def assert_same_story(self, capture, recorded):
        """Each direction's opcodes, in order, are those that passed the proxy; tags too."""
        rows = dissected(capture, "iscsi.opcode", "tcp.dstport", "frame.len", "frame.cap_len")
        for sent in (True, False):
            seen = [int(opcode, 16) for opcode, port, *_ in rows
                    if (int(port) == SHOWN_PORT) == sent]
            passed = opcodes(recorded, sent)
            # What passed after the recorder was read, such as a ping, is not in it.
            self.assertEqual(seen, passed[:len(seen)])
            self.assertGreaterEqual(len(seen), len(passed) - 2)
        return rows

    # Goal: tshark shows each PDU of a real session once, in order and as what it was, with or
    # without digests; nothing is malformed, and a cut packet says how long it was.
    def test_tshark_shows_the_session(self):
        with Daemon() as daemon:
            daemon.copy_in(os.urandom(4 * BLOCK_BYTES))
            capture = daemon.folder / "x.pcapng"
            ended = daemon.run("trace", "disk", "--output", str(capture))
            self.assertEqual(ended.returncode, client.OK, ended.stderr)
            self.assertEqual(len(daemon.proxy.connections), 1)
            rows = self.assert_same_story(capture, daemon.proxy.connections[0])
            self.assertEqual([int(row[0], 16) for row in rows[:2]],
                             [wire.LOGIN, wire.LOGIN_RESPONSE])
            longest = max(rows, key=lambda row: int(row[2]))
            self.assertGreater(int(longest[2]), BLOCK_BYTES)
            self.assertEqual(int(longest[3]), 14 + 20 + 20 + wire.BHS_BYTES)
            self.assertEqual(dissected(capture, "frame.number", only="tcp.analysis.lost_segment"),
                             [], "sequence numbers leave no gaps")

    # Goal: states stand between the headers, as text that tshark shows and finds.
    def test_states_are_shown(self):
        with Daemon() as daemon:
            capture = daemon.folder / "x.pcapng"
            daemon.run("trace", "disk", "--output", str(capture))
            texts = [row[0] for row in dissected(capture, "syslog.msg", only="syslog")]
            story = " / ".join(texts)
            for step in ("S1 free -> S2 transport wait (connect wanted)",
                         "S4 in login -> S5 logged in (login accepted)",
                         "Q1 free -> Q3 logged in (connection logged in)",
                         "-> ready"):
                self.assertIn(step, story)
            comments = dissected(capture, "frame.comment", only="frame.comment")
            self.assertEqual([row[0] for row in comments], texts)

    # Goal: standard output takes the same capture, but only when it is no terminal.
    def test_standard_output(self):
        with Daemon() as daemon:
            ended = daemon.run("trace", "disk")
            self.assertEqual(ended.returncode, client.OK, ended.stderr)
            self.assertEqual(ended.stdout[:4], b"\x0a\x0d\x0d\x0a")
            primary, secondary = os.openpty()
            with open(primary, "rb"), open(secondary, "wb") as terminal:
                refused = subprocess.run([client.program(), "trace", "disk", "--socket",
                                          str(daemon.socket)], stdout=terminal,
                                         stderr=subprocess.PIPE, timeout=LIMIT_S, check=False)
            self.assertEqual(refused.returncode, client.USAGE)
            self.assertIn(b"--output", refused.stderr)

    # Goal: a lost session leaves a recording by itself, which holds the way down and back.
    def test_a_loss_is_kept(self):
        with Daemon("--fault", "every-commands=20 times=1 reset") as daemon:
            daemon.copy_in(os.urandom(32 * BLOCK_BYTES))
            targets.wait_until(lambda: daemon.ask("list") and daemon.traces(), "a recording")
            self.assertEqual(len(daemon.traces()), 1)
            capture = daemon.traces()[0]
            texts = [row[0] for row in dissected(capture, "syslog.msg", only="syslog")]
            lost = next(i for i, text in enumerate(texts) if "the connection broke" in text)
            self.assertTrue(any("-> ready" in text for text in texts[lost:]), texts)
            before, after = daemon.proxy.connections[:2]
            ports = list(dict.fromkeys(row[0] for row in dissected(capture, "tcp.srcport")
                                       if int(row[0]) != SHOWN_PORT))
            self.assertEqual(len(ports), 2, "each connection has a port of its own")
            seen = [int(row[0], 16) for row in
                    dissected(capture, "iscsi.opcode", only=f"iscsi && tcp.srcport == {ports[0]}")]
            sent = opcodes(before, True)
            self.assertEqual(seen[:len(sent)], sent)
            self.assertTrue(after.chunks)


if __name__ == "__main__":
    sys.exit(unittest.main())
