#!/usr/bin/env python3
"""The conformance suite itself: its language, its judge, its captures; and Holdfast held to it."""

import concurrent.futures
import contextlib
import io
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "stress" / "conform"))

# The path comes first.
from conformkit import cli, guest, initiators, player, run, script, target  # noqa: E402

SKIPPED = 77
REASON_MAX = 300
PASSED_MIN = 400
JOBS = 4
PLAYED = [sys.executable, "-B", str(HERE / "played_initiator.py")]
PLAYED_RECOVERY = [sys.executable, "-B", str(HERE / "played_recovery.py")]
HEAD = "case one\n    about This.\n    rows NOP-01\n"

# (lines below HEAD, line of the mistake, what is said)
SCRIPT_MISTAKES = (
    ("    expct NOP_OUT\n", 4, "unknown word 'expct'"),
    ("    expect PING\n", 4, "expected one of"),
    ("    expect NOP_IN\n", 4, "expected one of"),
    ("    send NOP_OUT\n", 4, "expected one of"),
    ("    send NOP_IN tttt=5\n", 4, "NOP_IN has no field 'tttt'"),
    ("    send NOP_IN ttt\n", 4, "expected FIELD=VALUE"),
    ("    send NOP_IN ttt=read.itt\n", 4, "no PDU named 'read'"),
    ("    send NOP_IN ttt=5five\n", 4, "no sum"),
    ("    send NOP_IN ttt=banana\n", 4, "unknown name 'banana'"),
    ("    send DATA_IN data=lots:5\n", 4, "unknown kind of data"),
    ("    send DATA_IN data=hex:0g\n", 4, "not hexadecimal"),
    ("    send DATA_IN damage=everything\n", 4, "can be damaged"),
    ("    await NOP_OUT as it's\n", 4, "No closing quotation"),
    ("    await NOP_OUT as X\n", 4, "expected 'as NAME'"),
    ("    await NOP_OUT within soon\n", 4, "expected a number of seconds"),
    ("    await NOP_OUT within 9999\n", 4, "seconds are up to 600"),
    ("    await NOP_OUT edtl=5\n", 4, "no field 'edtl'"),
    ("    await SCSI_COMMAND op=REED\n", 4, "'REED' is no command"),
    ("    await NOP_OUT as one\n    check two.itt=5\n", 5, "of a PDU taken before"),
    ("    await NOP_OUT as one\n    check one.edtl=5\n", 5, "no field 'edtl'"),
    ("    await NOP_OUT as one\n    check one.itt=one.edtl\n", 5, "no field 'edtl'"),
    ("    answer one\n", 4, "of a PDU taken before"),
    ("    twist DATA_IN drop\n", 4, "expected 'twist"),
    ("    set itt=5\n", 4, "can be set"),
    ("    wait\n", 4, "expected a number of seconds"),
    ("    close now\n", 4, "'now' is too much"),
    ("    wait 1\n    io read\n", 5, "'io' belongs before the steps"),
    ("    io swim\n", 4, "expected one of"),
    ("    io read 100\n", 4, "blocks of 512"),
    ("    outcome fine\n", 4, "expected one of"),
    ("    needs digests\n", 4, "expected KEY=VALUE"),
    ("    target depth=5\n", 4, "unknown setting 'depth'"),
    ("    rows NOP\n", 4, "'NOP' is no row"),
    ("    each x\n", 4, "expected one 'each NAME VALUE...'"),
    ("case two three\n", 4, "expected 'case NAME'"),
    ("case two\n    rows NOP-01\n", 4, "needs 'about' and 'rows'"),
)

# (mistake of the played initiator, case that must fail, rows of which one is named)
MISTAKES = (
    ("reserved_bits", "read_in_pieces:4096", "PDU-02"),
    ("padding", "login_plain", "PDU-05"),
    ("itt_reused", "news_of_the_window", "PDU-16"),
    ("itt_none", "login_plain", "PDU-16"),
    ("cmdsn_skips", "login_plain", "SEQ-01"),
    ("cmdsn_of_immediate", "ping:0", "SEQ-01"),
    ("window_ignored", "window_of_one", "SEQ-05"),
    ("expstatsn_ahead", "read_in_pieces:4096", "STA-01"),
    ("expstatsn_behind", "read_in_pieces:4096", "STA-01"),
    ("login_not_immediate", "login_plain", "LOG-03"),
    ("login_itt_changes", "login_plain", "LOG-03"),
    ("login_twice", "login_plain", "LOG-01"),
    ("key_twice", "login_plain", "LOG-19"),
    ("key_in_security", "login_plain", "CHP-20"),
    ("key_lower_case", "login_plain", "NEG-01"),
    ("number_with_zero", "login_plain", "NEG-03"),
    ("name_missing", "login_plain", "LOG-10"),
    ("isid_changes", "login_plain", "SID-02"),
    ("cid_changes", "login_plain", "SID-02"),
    ("tsih_invented", "login_plain", "SID-04"),
    ("version", "login_plain", "LOG-05"),
    ("stage_2", "login_plain", "LOG-12"),
    ("answers_not", "key_unknown:X-com.example.key", "NEG-14"),
    ("not_understood", "marker_keys:IFMarker", "NEG-23"),
    ("attribute", "login_plain", "TSK-01"),
    ("read_and_write", "login_plain", "PDU-14"),
    ("cdb_tail", "login_plain", "TSK-02"),
    ("immediate_too_long", "write_both:512", "WRI-05"),
    ("immediate_unagreed", "write_unsolicited_only:4096", "WRI-01"),
    ("first_burst_ignored", "write_both:4096", "WRI-04"),
    ("ignores_negotiation", "write_r2t_only", "WRI-01"),
    ("data_sn", "write_bursts:4096", "WRI-11"),
    ("data_offset", "write_bursts:4096", "WRI-13"),
    ("data_final_early", "write_bursts:4096", "WRI-14"),
    ("data_final_late", "write_bursts:4096", "WRI-14"),
    ("data_too_long", "write_bursts:4096", "WRI-12"),
    ("data_lun", "r2t_lun", "WRI-10"),
    ("data_tag", "write_bursts:4096", "WRI-10"),
    ("r2t_short", "write_bursts:4096", "WRI-14"),
    ("nop_unanswered", "ping:0", "NOP-01"),
    ("nop_lun", "ping:0x0005000000000000", "NOP-01"),
    ("nop_itt", "ping:0", "NOP-01"),
    ("nop_to_news", "news_of_the_window", "NOP-02"),
    ("ping_lun", "login_plain", "NOP-03"),
    ("logout_reason", "login_plain", "LGO-01"),
    ("words_after_logout", "logout_not_closed", "LGO-02"),
    ("snack_at_level_0", "read_in_pieces:4096", "ER1-01"),
    ("text_in_full_feature", "login_plain", "TXT-08"),
    ("digest_wrong", "digests_both", "DIG-03"),
    ("takes_any_data", "read_beyond_the_buffer:0xfffffff0", "RED-03"),
    ("takes_any_r2t", "r2t_beyond_the_buffer:write.edtl+0", "R2T-02"),
    ("takes_short_read", "read_no_data_with_good_status", "RED-11"),
    ("takes_wrong_digest", "data_digest_damaged:0", "DIG-09"),
    ("takes_any_opcode", "unknown_task_opcode", "PDU-08"),
    ("takes_any_status", "response_reserved:0x02", "RSP-02"),
    ("answers_other_login", "login_other_task_tag", "PDU-17"),
    ("retries_refusal", "login_refused:0x0201", "LOG-25"),
    ("drops_on_async", "async_vendor:248", "ASY-07"),
    ("counts_plain_data", "stat_sn_of_data", "STA-03"),
    ("believes_length", "segment_too_long:DATA_IN", "PDU-12"),
)

# The same for the one that knows recovery levels 1 and 2 and a second connection.
RECOVERY_MISTAKES = (
    ("snack_run", "level1_data_lost:1", "ER1-03"),
    ("snack_tag", "level1_data_lost:1", "ER1-03"),
    ("no_snack", "level1_data_lost:0", "ER1-03"),
    ("status_snack_run", "level1_status_lost", "ER1-04"),
    ("ack_tag", "level1_data_acknowledged", "ER1-05"),
    ("ack_early", "level1_acknowledgement_waits", "ER1-06"),
    ("retry_differs", "level1_command_lost", "ER1-12"),
    ("resends_unasked", "level1_rejected_data", "DIG-12"),
    ("reassign_not_immediate", "level2_reassign", "TMF-18"),
    ("reassign_tag", "level2_reassign", "TMF-18"),
    ("reassigns_nothing_retained", "level2_nothing_retained", "ER2-07"),
    ("second_keys", "connections_two", "MCS-03"),
    ("second_handle", "connections_two", "SID-04"),
    ("keeps_pretended", "connections_pretended", "SID-06"),
    ("acks_early", "level1_last_data_lost", "STA-04"),
)

# (a fault of initiator/session/sabotage.h, case that must fail, what it says)
PLANTED_FAULTS = (
    (1, "write_again_after_a_loss", "op=WRITE"),
    (3, "login_plain", "STA-01"),
    (4, "data_digest_damaged:7", "its data is not the disk's"),
    (5, "opcode_unknown:0x3e", "its data is not the disk's"),
    (7, "level1_data_lost:1", "begrun"),
    (8, "level1_last_data_lost", "expstatsn"),
    (10, "level2_reassign", "expdatasn"),
    (11, "level2_reassign", "TMF function=8"),
    (16, "read_no_data_with_good_status", "its data is not the disk's"),
)


class Served(target.Target):
    def close(self):
        self.shut()


def played(mistake=None, program=None):
    words = (program or PLAYED) + (["--mistake", mistake] if mistake else [])
    return initiators.Initiator("played", "", {"any": words}, ("read", "write"), is_any=True)


def each_of(work, tasks):
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(work, tasks))


def rows_of(result):
    return {one.row for one in result.breaches} | set(result.case.rows)


class Conform(unittest.TestCase):
    # Goal: each mistake in a case file is told with its file, its line and a reason.
    def test_script_errors_name_their_line(self):
        for text, line, says in SCRIPT_MISTAKES:
            with self.subTest(text):
                with self.assertRaises(script.ScriptError) as caught:
                    script.parse(HEAD + text, "some.case")
                self.assertTrue(str(caught.exception).startswith(f"some.case:{line}: "),
                                str(caught.exception))
                self.assertIn(says, str(caught.exception))

    # Goal: a value of `each` stands wherever its name does, and makes a case of its own.
    def test_each_makes_cases(self):
        cases = script.parse(HEAD + "    each key A=1 B=2\n    await LOGIN key.$key.key= as x\n"
                             "    answer x setkey=$key\n")
        self.assertEqual([one.name for one in cases], ["one:A=1", "one:B=2"])
        self.assertEqual(cases[1].steps[0].conditions[0].field, "key.B")
        self.assertEqual(cases[1].steps[1].changes, [("setkey", "B=2")])

    # Goal: the cases of the tree are legal, and name rows that exist.
    def test_cases_are_sound(self):
        cases = script.load(cli.CASES)
        with open(ROOT / "tests" / "conformance" / "rows.tsv", encoding="utf-8") as file:
            known = {line.split("\t")[0] for line in file}
        for case in cases.values():
            self.assertLessEqual(set(case.rows), known, case.name)
            self.assertTrue(case.about.endswith("."), case.name)
        self.assertGreater(len(cases), 500)

    # Goal: the guest's shell is told what the URL and the case say, secrets with odd signs too;
    # what a case needs comes behind the settings that every case has, because the last one counts.
    def test_guest_is_told_what_to_do(self):
        preset = initiators.named("open-iscsi")
        command = preset.command("read", "iscsi://a'b%c$d@10.77.0.1:3260/iqn.x:y/3", 4096, "")
        command += preset.wished([("DataDigest", "=", "CRC32C"), ("MaxConnections", ">=", "2")])
        command.append("--mutual")
        shell = guest.variables_of(command) + \
            'printf "%s|" "$KIND" "$PORTAL" "$NAME" "$UNIT" "$BYTES" "$CONF"'
        told = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, check=True).stdout
        *words, conf, _ = told.decode().split("|")
        self.assertEqual(words, ["read", "10.77.0.1:3260", "iqn.x:y", "3", "4096"])
        lines = conf.splitlines()
        self.assertIn("node.session.auth.username = a'b", lines)
        self.assertIn("node.session.auth.password = c$d", lines)
        self.assertIn("discovery.sendtargets.auth.username_in = storage", lines)
        digest = lines.index("node.conn[0].iscsi.DataDigest = CRC32C,None")
        self.assertGreater(digest, lines.index(guest.CONF[-1]))
        self.assertFalse([line for line in lines if "MaxConnections" in line])

    # Goal: a file with a mistake, a case that does not exist: exit status 2 and one sentence.
    def test_wrong_use(self):
        for words in (["run", "no_such_case"], ["list", "ZZZ-99"]):
            said = io.StringIO()
            with contextlib.redirect_stderr(said), unittest.mock.patch.object(
                    sys, "argv", ["conform", *words]):
                self.assertEqual(cli.main(), 2)
            self.assertEqual(len(said.getvalue().splitlines()), 1)

    # Goal: each planted mistake fails the case meant for it, and that row is named.
    def test_judge_notices_each_mistake(self):
        cases = script.load(cli.CASES)
        self.assert_noticed(cases, MISTAKES, PLAYED)

    def assert_noticed(self, cases, mistakes, program):
        results = each_of(lambda one: run.run(cases[one[1]], played(one[0], program)), mistakes)
        for (mistake, case, row), result in zip(mistakes, results):
            with self.subTest(mistake):
                self.assertEqual(result.verdict, player.FAIL, f"{mistake}: {case} passes")
                self.assertIn(row, rows_of(result), result.reason)

    # Goal: mistakes in recovery and with several connections are noticed too, and who makes none
    # passes every case of levels 1 and 2.
    def test_judge_notices_mistakes_in_recovery(self):
        cases = script.load(cli.CASES)
        self.assert_noticed(cases, RECOVERY_MISTAKES, PLAYED_RECOVERY)
        names = [name for name in cases if name.startswith(("level1", "level2", "connections"))]
        results = each_of(lambda name: run.run(cases[name], played(None, PLAYED_RECOVERY)), names)
        for result in results:
            self.assertEqual(result.verdict, player.PASS, f"{result.case.name}: {result.reason}")

    # Goal: a slow host fails no case. What came while the harness was away came after the time to
    # be quiet in; an initiator that would run if it could gets more time, one that sleeps does not.
    # Method: the time of the step that waits is set into the past; nothing sleeps.
    def test_slow_host_is_nobodys_fault(self):
        case = script.parse(HEAD + "    reject connect\n    wait 60\n    accept\n"
                            "    expect connect within 0.01\n")[0]
        with contextlib.closing(Served(case)) as one:
            one.player.deadline_s = 0.0
            with socket.create_connection(one.portal):
                one.poll(10)
            self.assertIsNone(one.player.verdict, one.player.reason)
            self.assertTrue(one.player.is_over)
        answers = [True, True, False]
        with contextlib.closing(Served(case)) as one, \
                unittest.mock.patch.object(player, "PATIENCE_STEP_S", 0.01):
            one.is_initiator_busy = lambda: answers.pop(0)
            one.player.deadline_s = 0.0
            one.run_until(lambda: False, time.monotonic() + 60)
        self.assertEqual(one.player.verdict, player.FAIL)
        self.assertEqual(answers, [])

    # Goal: the same initiator without a mistake passes the same cases.
    def test_correct_initiator_passes(self):
        cases = script.load(cli.CASES)
        names = sorted({case for _, case, _ in MISTAKES})
        results = each_of(lambda name: run.run(cases[name], played()), names)
        for result in results:
            self.assertEqual(result.verdict, player.PASS, f"{result.case.name}: {result.reason}")

    # Goal: no mistake of the played initiator is left untried.
    def test_no_mistake_is_idle(self):
        for program, mistakes in ((PLAYED, MISTAKES), (PLAYED_RECOVERY, RECOVERY_MISTAKES)):
            listed = subprocess.run([*program, "--help"], stdout=subprocess.PIPE, check=True)
            text = "".join(listed.stdout.decode().split()).partition("{")[2].partition("}")[0]
            self.assertEqual(set(text.split(",")), {mistake for mistake, _, _ in mistakes})

    # Goal: a program that dies, or that cannot be run, is judged and not believed.
    def test_programs_that_end_badly(self):
        case = script.load(cli.CASES)["login_plain"]
        for words, verdict in ((["sh", "-c", "kill -SEGV $$"], player.FAIL),
                               (["false"], player.FAIL), (["/no/such/program"],
                                                          player.NOT_APPLICABLE),
                               (["sh", "-c", "exit 77"], player.NOT_APPLICABLE)):
            with self.subTest(words):
                result = run.run(case, initiators.Initiator("bad", "", {"any": words}, (),
                                                            is_any=True))
                self.assertEqual(result.verdict, verdict, result.reason)

    # Goal: the capture of a case opens in tshark, whole and as iSCSI.
    def test_capture_opens_in_tshark(self):
        if shutil.which("tshark") is None:
            self.skipTest("tshark is not installed")
        with tempfile.TemporaryDirectory() as folder:
            result = run.run(script.load(cli.CASES)["write_bursts:4096"], played())
            options = cli.parser().parse_args(["run", "--pcap", folder, "--all-pcaps"])
            cli.keep_capture(result, options)
            path = next(pathlib.Path(folder).iterdir())
            seen = subprocess.run(["tshark", "-r", path, "-T", "fields", "-e", "iscsi.opcode",
                                   "-e", "_ws.expert.message"], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, check=True).stdout.decode()
        for opcode in ("0x01", "0x03", "0x05", "0x06", "0x21", "0x23", "0x26", "0x31"):
            self.assertIn(opcode, seen)
        self.assertNotIn("Malformed", seen)
        self.assertNotIn("checksum", seen.lower())

    # Goal: Holdfast passes every case that applies to it, but for those in known_failures.txt; a
    # case there that passes is taken off the list.
    def test_holdfast_passes_what_applies(self):
        program = initiators.newest("holdfast")
        if not pathlib.Path(program).exists():
            self.skipTest(f"{program} is not built")
        cases = list(script.load(cli.CASES).values())
        known = {line.split()[0] for line in (HERE / "known_failures.txt").read_text().splitlines()
                 if line.strip() and not line.startswith("#")}
        results = each_of(lambda case: run.run(case, initiators.holdfast()), cases)
        failed = {one.case.name: one.reason for one in results if one.verdict == player.FAIL}
        wrong = [f"{name}: {why}"[:REASON_MAX] for name, why in failed.items() if name not in known]
        wrong += [f"{name}: is in known_failures.txt and no longer fails"
                  for name in sorted(known - set(failed))]
        passed = sum(one.verdict == player.PASS for one in results)
        if passed < PASSED_MIN:
            wrong.append(f"only {passed} cases passed, {PASSED_MIN} are usual")
        if wrong:
            self.fail("\n".join([f"{len(wrong)} of {len(cases)} cases:", *wrong]))

    # Goal: a fault of the engine that the simulator notices is noticed here, too; the same build
    # without a fault passes the same cases, and the product's own has no place for one.
    def test_planted_faults_fail_their_case(self):
        program = initiators.newest("holdfast-sabotaged")
        if not pathlib.Path(program).exists():
            self.skipTest(f"{program} is not built")
        for name, has_place in ((program, True), (initiators.newest("holdfast"), False)):
            self.assertEqual(b"planted_sabotage" in pathlib.Path(name).read_bytes(), has_place)
        cases = script.load(cli.CASES)

        def play(fault, case):
            words = ["env", f"HOLDFAST_PLANTED_FAULT={fault}", program]
            return run.run(cases[case], initiators.holdfast(words))

        faulty = each_of(lambda one: play(*one[:2]), PLANTED_FAULTS)
        sound = each_of(lambda one: play(0, one[1]), PLANTED_FAULTS)
        for (fault, case, says), wrong, right in zip(PLANTED_FAULTS, faulty, sound):
            with self.subTest(fault):
                self.assertEqual(right.verdict, player.PASS, right.reason)
                self.assertEqual(wrong.verdict, player.FAIL, f"{case} passes with fault {fault}")
                self.assertIn(says, wrong.reason)


if __name__ == "__main__":
    result = unittest.main(verbosity=2, exit=False).result
    if result.wasSuccessful() and len(result.skipped) == result.testsRun:
        sys.exit(SKIPPED)
    sys.exit(0 if result.wasSuccessful() else 1)
