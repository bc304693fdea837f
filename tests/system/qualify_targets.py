#!/usr/bin/env python3
"""Are the targets themselves in order? An independent initiator (libiscsi's tools) says so, so that
a failure of our own tests is ours. Also the test of the harness: nothing stays behind."""

import os
import shutil
import subprocess
import sys
import unittest

import targets

PORT_TGT = 13260
PORT_ISTGT = 13261
CHAP = targets.Chap("anna", "twelve-or-more", "storage", "sixteen-at-least")


def run(program, *arguments, **environment):
    return subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60, env=dict(os.environ, **environment), check=False)


def libiscsi_url(target):
    """libiscsi takes secrets in the URL only; they are these tests' own."""
    if not target.chap:
        return target.url()
    return target.url().replace("@", f"%{target.chap.secret}@")


class Qualify:
    """The same for each target."""

    kind = None
    port = 0
    families = ("SCSI.Read16.Simple", "SCSI.Write16.Simple", "SCSI.TestUnitReady")

    def setUp(self):
        if self.kind.missing():
            self.skipTest(self.kind.missing())
        if shutil.which("iscsi-ls") is None:
            self.skipTest("libiscsi-bin is not installed")

    # Goal: the target is discovered, has the disk we made, and leaves nothing behind.
    def test_serves_its_disk(self):
        for block_bytes in (512, 4096):
            with self.kind(self.port, block_bytes=block_bytes) as target:
                self.discover(target)
                capacity = run("iscsi-readcapacity16", target.url())
                self.assertEqual(capacity.returncode, 0, capacity.stdout)
                self.assertIn(str(block_bytes), capacity.stdout)
                pid = target.process.pid
            self.assertFalse(targets.is_listening(self.port))
            self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def discover(self, target):
        listed = run("iscsi-ls", f"iscsi://127.0.0.1:{self.port}")
        self.assertIn(target.iqn, listed.stdout)

    # Goal: with CHAP the right secret gets in and a wrong one does not.
    def test_chap_lets_in_only_the_right_secret(self):
        one_way = targets.Chap(CHAP.user, CHAP.secret)
        with self.kind(self.port, chap=one_way) as target:
            self.assertEqual(run("iscsi-inq", libiscsi_url(target)).returncode, 0)
            wrong = libiscsi_url(target).replace(CHAP.secret, "wrong-wrong-wrong")
            self.assertNotEqual(run("iscsi-inq", wrong).returncode, 0)

    # Goal: mutual CHAP: the target proves itself with the secret that we gave it.
    def test_mutual_chap(self):
        with self.kind(self.port, chap=CHAP) as target:
            url = libiscsi_url(target) + (f"?target_user={CHAP.target_user}"
                                          f"&target_password={CHAP.target_secret}")
            self.assertEqual(run("iscsi-inq", url).returncode, 0)
            wrong = url.replace(CHAP.target_secret, "wrong-wrong-wrong")
            self.assertNotEqual(run("iscsi-inq", wrong).returncode, 0)

    # Goal: a target told to use digests takes an initiator that has them.
    def test_digests(self):
        with self.kind(self.port, digest="crc32c") as target:
            ended = run("iscsi-inq", target.url() + "?header_digest=crc32c")
            self.assertEqual(ended.returncode, 0, ended.stdout)

    # Goal: plain reads and writes at the borders of the disk work, by libiscsi's own suite.
    def test_block_commands_work(self):
        with self.kind(self.port) as target:
            for family in self.families:
                ended = run("iscsi-test-cu", "--dataloss", "--fail", "--normal", "-t", family,
                            target.url())
                self.assertEqual(ended.returncode, 0, f"{family}: {ended.stdout[-1500:]}")


class QualifyTgt(Qualify, unittest.TestCase):
    kind = targets.Tgt
    port = PORT_TGT
    families = Qualify.families + ("SCSI.ReadCapacity16", "SCSI.Read16.BeyondEol",
                                   "SCSI.Write16.BeyondEol")


class QualifyIstgt(Qualify, unittest.TestCase):
    kind = targets.Istgt
    port = PORT_ISTGT

    # libiscsi sends the logout of a discovery with a CmdSN that istgt refuses, and tries for ever.
    def discover(self, target):
        pass


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
