#!/usr/bin/env python3
"""What goes wrong on the user's side or the target's ends in an exit code of its own and one
sentence that says what to do, soon, and never in a crash."""

import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time
import unittest

import client
import targets
from played import after_request, after_request_of, login_response, played

PORT = 13270
PLAYED_PORT = 13271
DEAD_PORT = 13272
CHAP = targets.Chap("anna", "twelve-or-more")
MUTUAL = targets.Chap("anna", "twelve-or-more", "storage", "sixteen-at-least")
URL = f"iscsi://127.0.0.1:{PLAYED_PORT}/iqn.2026-01.test.interop:played/0"
SOON_S = 25


class BadInput(unittest.TestCase):
    def setUp(self):
        if client.missing():
            self.skipTest(client.missing())

    def need(self, kind):
        if kind.missing():
            self.skipTest(kind.missing())

    def assert_refused(self, codes, verb, url, *options, says=(), **more):
        """One sentence on standard error, one of the exit codes, and in good time."""
        began = time.monotonic()
        ended = client.run(verb, url, *options, limit_s=SOON_S + 10, **more)
        self.assertLess(time.monotonic() - began, SOON_S, str(ended))
        codes = codes if isinstance(codes, tuple) else (codes,)
        self.assertIn(ended.code, codes, str(ended))
        lines = [line for line in ended.complaint.splitlines() if line.strip()]
        self.assertEqual(len(lines), 1, f"not one sentence: {ended.complaint}")
        self.assertTrue(lines[0].startswith("holdfast: "), lines[0])
        self.assertGreater(len(lines[0].split()), 5, lines[0])
        self.assertNotRegex(lines[0], r"0x[0-9a-f]{6,}|std::|terminate|assert")
        for word in says:
            self.assertRegex(lines[0], re.compile(word, re.I))
        return ended

    # Goal: a wrong password, a missing one, and a wrong user are authentication failures; the
    # secret is not repeated.
    # Rows: LOG-26, CHP-19
    def test_wrong_password(self):
        for kind in (targets.Tgt, targets.Istgt):
            if kind.missing():
                continue
            with self.subTest(kind=kind.name), kind(PORT, chap=CHAP) as target:
                wrong = targets.Chap("anna", "wrong-wrong-wrong")
                ended = self.assert_refused(client.AUTHENTICATION, "read", target.url(),
                                            "--length", "4096", chap=wrong, says=("password",))
                self.assertNotIn(wrong.secret, ended.complaint)
                self.assert_refused(client.AUTHENTICATION, "read", target.url(user="bertha"),
                                    "--length", "4096", chap=CHAP)
                plain = target.url().replace("anna@", "")
                self.assert_refused(client.AUTHENTICATION, "read", plain, "--length", "4096")

    # Goal: a target that cannot prove itself is refused, though it would let us in.
    # Rows: CHP-11, CHP-12
    def test_target_does_not_prove_itself(self):
        self.need(targets.Tgt)
        wrong = targets.Chap(MUTUAL.user, MUTUAL.secret, "storage", "another-secret-x")
        for given, asked in ((MUTUAL, wrong), (CHAP, MUTUAL), (None, MUTUAL), (None, CHAP)):
            with self.subTest(given=given and given.is_mutual), \
                    targets.Tgt(PORT, chap=given) as target:
                url = target.url(user="anna")
                self.assert_refused(client.AUTHENTICATION, "read", url, "--length", "4096",
                                    chap=asked)

    # Goal: a portal where nobody listens.
    def test_dead_portal(self):
        url = f"iscsi://127.0.0.1:{DEAD_PORT}/iqn.2026-01.test.interop:none/0"
        self.assert_refused(client.UNREACHABLE, "read", url, "--length", "4096", "--timeout", "5",
                            says=("portal",))
        self.assert_refused(client.UNREACHABLE, "discover", f"iscsi://127.0.0.1:{DEAD_PORT}")
        self.assert_refused((client.UNREACHABLE, client.NOT_FOUND), "read",
                            "iscsi://no.such.host.invalid/iqn.2026-01.test:x/0")

    # Goal: a portal that takes the connection and says nothing, or closes it.
    # Rows: LOG-28
    def test_silent_portal(self):
        with played(PLAYED_PORT, after_request(b"")):
            self.assert_refused((client.TIMEOUT, client.UNREACHABLE), "read", URL, "--timeout", "3")
            self.assert_refused((client.TIMEOUT, client.UNREACHABLE), "discover",
                                f"iscsi://127.0.0.1:{PLAYED_PORT}", "--timeout", "3")
        with played(PLAYED_PORT, lambda connection: None):
            self.assert_refused((client.PROTOCOL, client.UNREACHABLE, client.TIMEOUT), "read", URL,
                                "--timeout", "3")

    # Goal: a target without the LUN, and a portal without the target.
    def test_no_such_unit_or_target(self):
        for kind in (targets.Tgt, targets.Istgt):
            if kind.missing():
                continue
            with self.subTest(kind=kind.name), kind(PORT) as target:
                self.assert_refused(client.NOT_FOUND, "read", target.url(lun=7), "--length", "4096",
                                    "--timeout", "5", says=("LUN",))
                other = target.url(iqn="iqn.2026-01.test.interop:elsewhere")
                self.assert_refused(client.NOT_FOUND, "read", other, "--length", "4096")
        self.need(targets.Tgt)
        with targets.Tgt(PORT) as target:  # LUN 0 of tgt is its controller, not a disk.
            self.assert_refused((client.NOT_FOUND, client.DEVICE_ERROR, client.FAILED), "read",
                                target.url(lun=0), "--length", "4096")

    # Goal: what is not iSCSI is called so: garbage, another protocol, headers that contradict
    # themselves.
    # Rows: PDU-04, PDU-08, PDU-11, PDU-12, LOG-02, LOG-13, NEG-21
    def test_garbage_as_login_answer(self):
        garbage = random.Random(4).randbytes(4096)
        answers = {
            "4 KiB of garbage": garbage,
            "4 KiB of zeroes": bytes(4096),
            "4 KiB of ones": b"\xff" * 4096,
            "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 100,
            "an opcode of another phase": bytes([0x21, 0x80]) + bytes(46),
            "an AHS": login_response()[:4] + b"\xff" + login_response()[5:] + bytes(1020),
            "16 MiB announced": login_response(length=0xffffff) + bytes(4096),
            "a stage that is not there": login_response(flags=0x8a),
            "text without NUL": login_response(text=b"HeaderDigest=None"),
            "text without =": login_response(text=b"HeaderDigest\0"),
        }
        for name, answer in answers.items():
            with self.subTest(name), played(PLAYED_PORT, after_request(answer)):
                self.assert_refused(client.PROTOCOL, "read", URL, "--timeout", "5")

    # Goal: each refusal of a login has its own ending and is not tried again; one that blames the
    # target is, until the time is over.
    # Rows: LOG-22, LOG-25, LOG-26
    def test_refused_logins(self):
        cases = {0x0201: client.AUTHENTICATION, 0x0202: client.AUTHENTICATION,
                 0x0203: client.NOT_FOUND, 0x0204: client.NOT_FOUND,
                 0x0205: client.PROTOCOL}
        sentences = set()
        for status, code in cases.items():
            with self.subTest(status=hex(status)), \
                    played(PLAYED_PORT, after_request_of(status)) as taken:
                ended = self.assert_refused((code, client.FAILED), "read", URL, "--timeout", "4")
                sentences.add(ended.complaint)
                self.assertEqual(len(taken), 1, "a final refusal was tried again")
        self.assertEqual(len(sentences), len(cases), "two refusals read the same")
        with played(PLAYED_PORT, after_request_of(0x0301)) as taken:
            self.assert_refused((client.TIMEOUT, client.UNREACHABLE), "read", URL, "--timeout", "4")
            self.assertGreater(len(taken), 3, "a busy target was not asked again")

    # Goal: absurd URLs and options are told apart from failures, before anything is sent.
    def test_absurd_configuration(self):
        good = URL
        for url in ("", "http://127.0.0.1/x/0", "iscsi://", "iscsi://127.0.0.1",
                    "iscsi://127.0.0.1/iqn.2026-01.test:x", "iscsi://127.0.0.1/notaname/0",
                    "iscsi://127.0.0.1:0/iqn.2026-01.test:x/0",
                    "iscsi://127.0.0.1:65536/iqn.2026-01.test:x/0",
                    "iscsi://127.0.0.1/iqn.2026-01.test:x/-1",
                    "iscsi://127.0.0.1/iqn.2026-01.test:x/99999999999",
                    "iscsi://[::1/iqn.2026-01.test:x/0", f"iscsi://127.0.0.1/iqn.{'x' * 300}/0"):
            with self.subTest(url=url):
                self.assert_refused(client.USAGE, "read", url)
        for options in (("--depth", "100000"), ("--depth", "-1"), ("--request-size", "1"),
                        ("--request-size", "1TiB"), ("--request-size", "banana"),
                        ("--offset", "-4096"), ("--length", "many"), ("--header-digest", "maybe"),
                        ("--timeout", "0"), ("--password-file", "/nonexistent/secret"),
                        ("--initiator-name", "not a name"), ("--no-such-option",)):
            with self.subTest(options=options):
                url = good.replace("iscsi://", "iscsi://anna@") if "--password-file" in options \
                    else good
                self.assert_refused((client.USAGE, client.NOT_FOUND), "read", url, *options)
        self.assert_refused(client.USAGE, "no-such-verb", good)

    # Goal: a daemon with an absurd configuration does not start, and says in which line and why.
    def test_absurd_configuration_file(self):
        daemon = client.program().with_name("holdfastd")
        if not daemon.exists() or not daemon.with_name("holdfast-control").exists():
            self.skipTest(f"{daemon} or holdfast-control is not built")
        unit = '[attachment.swap0]\nurl = "iscsi://127.0.0.1/iqn.2026-01.test:x/0"\n'
        files = {
            "no TOML": ("[attachment\n", 1),
            "binary": ("\x01\x02\x00\xff", 1),
            "unknown profile": (unit + 'profile = "swp"\n', 3),
            "absurd depth": (unit + "depth = 1000000\n", 3),
            "negative": (unit + "depth = -1\n", 3),
            "wrong type": (unit + "depth = [1, 2]\n", 3),
            "misspelt": (unit + "dpeth = 4\n", 3),
            "request of one byte": (unit + "request_size = 1\n", 3),
            "endless number": (unit + "depth = " + "9" * 4096 + "\n", 3),
            "no URL": ('[attachment.swap0]\nurl = "tape://x"\n', 2),
        }
        for name, (text, line) in files.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "holdfast.toml"
                path.write_text(text, encoding="latin-1")
                ended = subprocess.run(
                    [daemon, "--no-lockdown", "--config", path, "--socket", f"{folder}/socket",
                     "--state-dir", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    timeout=SOON_S, check=False)
                said = ended.stderr.decode("utf-8", "replace")
                self.assertEqual(ended.returncode, client.USAGE, said)
                self.assertEqual(len(said.splitlines()), 1, said)
                self.assertIn(f"holdfast.toml:{line}:", said)
                self.assertLess(len(said), 600, "the sentence repeats the file")

    # Goal: a range outside the disk, or one that starts inside a block, is refused with nothing
    # written.
    def test_ranges_outside_the_disk(self):
        self.need(targets.Tgt)
        with targets.Tgt(PORT) as target:
            size = str(target.size_bytes)
            for options in (("--offset", size), ("--offset", "1"),
                            ("--offset", "0", "--length", str(target.size_bytes + 512))):
                with self.subTest(options=options):
                    self.assert_refused((client.USAGE, client.FAILED), "read", target.url(),
                                        *options)
            too_much = b"x" * 8192
            self.assert_refused((client.USAGE, client.FAILED), "write", target.url(), "--offset",
                                str(target.size_bytes - 4096), data=too_much)


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
