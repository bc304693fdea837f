"""Tests of the peers harness's pure parts: no target, no namespace, no root."""

import json
import random
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stress"))

from peerskit import cables, cli, fio, framer, holdfast, judge, peers, run, stalls  # noqa: E402
from rigkit import lio, targets  # noqa: E402
from conformkit import wire  # noqa: E402  (peerskit has made it importable)

FIO_WRONG = """\
verify: bad magic header 0, wanted acca at file nbd offset 8192, length 4096
crc32c: verify failed at file nbd offset 12288, length 4096 (requested block: offset=12288, ...)
verify: bad header offset 0, wanted 4096 at file nbd offset 4096, length 4096
"""
FIO_FAILED = "fio: io_u error on file nbd: Input/output error: write offset=0, buflen=4096\n"


def completions(*pieces):
    """Times of completions, one every 10 ms over each (begin, end)."""
    times = []
    for begins, ends in pieces:
        times += [begins + 0.01 * n for n in range(int(round((ends - begins) * 100)) + 1)]
    return times


def events(*pieces, agreed=None):
    """Reports of the proxy from (time, name, link)."""
    made = []
    for at, name, link in pieces:
        event = {"at": at, "event": name, "link": link}
        if name == "full":
            event["agreed"] = {"ErrorRecoveryLevel": "0", "DefaultTime2Wait": "2", **(agreed or {})}
        if name == "closed":
            event["was_full"] = True
        made.append(event)
    return made


ONE_CUT = ((0.5, "accepted", 1), (0.6, "full", 1), (10.0, "cut", 1), (10.0, "closed", 1),
           (12.001, "accepted", 2), (12.02, "full", 2), (12.03, "request", 2))


def report_of(times, reports=ONE_CUT, **changes):
    """A whole report of a run in which all went well, but for `changes`."""
    given = {
        "options": run.Options(),
        "completions": times,
        "events": events(*reports),
        "counters": {"requests_failed": 0, "sessions_lost": 1},
        "fio_figures": {"writes": 1000, "reads": 900},
        "mismatches": 0,
        "io_errors": 0,
        "troubles": [],
    }
    return run.build_report(**{**given, **changes}) | {"target_says": {}}


GOOD = completions((1, 10), (12.05, 20))
DEMANDS = judge.Demands(cuts_min=1, median_beyond_wait_s=0.1, stall_max_s=5.0)


class Judging(unittest.TestCase):
    def complaints(self, report, demands=DEMANDS):
        return judge.complaints(report, demands)

    def assert_complaint(self, word, report, demands=DEMANDS):
        found = self.complaints(report, demands)
        self.assertEqual(len(found), 1, found)
        self.assertIn(word, found[0])

    def test_a_connection_that_joins_says_nothing_of_the_session(self):
        # Goal: level and times are those of the login that made the session, not of a later one
        # that joined it and negotiated neither.
        told = events(*ONE_CUT, agreed={"ErrorRecoveryLevel": "2", "DefaultTime2Wait": "0"})
        last = [event for event in told if event["event"] == "full"][-1]
        last["agreed"], last["joins"] = {"ErrorRecoveryLevel": "0", "DefaultTime2Wait": "2"}, True
        report = report_of([0.7, 12.04], events=told)
        self.assertEqual((report["erl"], report["time2wait_s"], report["logins"]), (2, 0, 2))

    def test_a_run_in_which_all_went_well_is_good(self):
        # Goal: a cut that costs Time2Wait and 50 ms is within what is allowed.
        report = report_of(GOOD)
        self.assertEqual(self.complaints(report), [])
        self.assertAlmostEqual(judge.recovery_beyond_wait(report), 0.05, places=3)
        self.assertEqual(report["stall_max_s"], 2.05)
        self.assertEqual(report["to_connect_s"]["median"], 2.001)

    def test_a_planted_mismatch_is_found(self):
        # Goal: one wrong block makes the run fail.
        self.assert_complaint("wrong", report_of(GOOD, mismatches=1))

    def test_a_planted_stall_is_found(self):
        # Goal: a stall without any cut is found, wherever it is.
        for begins in (2, 14):
            times = completions((1, begins), (begins + 5.5, 30))
            quiet = report_of(times, reports=ONE_CUT[:2], counters={"sessions_lost": 0})
            self.assert_complaint("stall", quiet, judge.Demands(stall_max_s=5.0))

    def test_a_slow_return_is_found(self):
        # Goal: 150 ms beyond Time2Wait are too many; the target's own sleep is allowed for.
        slow = report_of(completions((1, 10), (12.15, 20)))
        self.assert_complaint("beyond Time2Wait", slow)
        sleepy = run.demands(run.Options(target="istgt", seconds=20), peers.ALL["istgt"])
        self.assertEqual(self.complaints(slow, sleepy), [])

    def test_a_session_that_never_comes_back_is_found(self):
        # Goal: no completion after a cut is worse than a late one.
        self.assert_complaint("nothing came", report_of(completions((1, 10))))

    def test_failed_requests_are_found_on_both_sides(self):
        # Goal: fio's errors and Holdfast's own count each make the run fail.
        self.assert_complaint("failed", report_of(GOOD, io_errors=2))
        counters = {"requests_failed": 1, "sessions_lost": 1}
        self.assert_complaint("failed", report_of(GOOD, counters=counters))

    def test_a_run_that_tests_something_else_is_not_good(self):
        # Goal: fewer cuts, a lower level, fewer connections than asked for are complaints.
        for word, demands in (
            ("cuts", judge.Demands(cuts_min=2)),
            ("ErrorRecoveryLevel", judge.Demands(erl=2)),
            ("connections", judge.Demands(connections=4)),
            ("damaged", judge.Demands(damaged_min=1)),
        ):
            self.assert_complaint(word, report_of(GOOD), demands)

    def test_a_lost_session_counts_when_connections_are_to_be_recovered(self):
        # Goal: at level 2 with several connections not one session may be lost.
        options = run.Options(target="lio", erl=2, connections=4, cut_every=2.0)
        demands = run.demands(options, peers.ALL["lio"])
        self.assertEqual(demands.sessions_lost_max, 0)
        self.assert_complaint("sessions", report_of(GOOD), judge.Demands(sessions_lost_max=0))

    def test_a_session_lost_without_a_cut_counts(self):
        # Goal: what dies of something else than the cuts is found, also at level 0.
        counters = {"requests_failed": 0, "sessions_lost": 2}
        self.assert_complaint("sessions", report_of(GOOD, counters=counters))

    def test_damage_may_cost_a_connection_only_at_level_0(self):
        # Goal: from level 1 on data is recovered within the connection.
        for erl, logins_max in ((0, None), (1, 1)):
            options = run.Options(target="lio", erl=erl, cut_every=0, damage_every=100)
            demands = run.demands(options, peers.ALL["lio"])
            self.assertEqual(demands.logins_max, logins_max)
        self.assert_complaint("logins", report_of(GOOD), judge.Demands(logins_max=1))

    def test_an_idle_run_is_not_good(self):
        # Goal: no mismatch among no reads proves nothing.
        self.assert_complaint("read back", report_of(GOOD, fio_figures={}))

    def test_the_target_s_own_complaints_count(self):
        # Goal: a target that counts violations, or whose kernel oopses, makes the run fail.
        for says in ({"violations": {"11.7": 1}}, {"kernel": {"oopses": 1}}):
            self.assert_complaint("target", report_of(GOOD) | {"target_says": says})

    def test_troubles_of_the_harness_count(self):
        # Goal: fio that does not end is not forgotten over good figures.
        self.assert_complaint("fio", report_of(GOOD, troubles=["fio has not ended in time"]))

    def test_what_a_target_cannot_do_is_not_asked_of_it(self):
        # Goal: tgt takes one connection at level 0, whatever the command line says.
        options = run.Options(target="tgt", erl=2, connections=4)
        demands = run.demands(options, peers.ALL["tgt"])
        self.assertEqual((demands.erl, demands.connections), (0, 1))

    def test_a_pretender_is_asked_for_what_it_pretends(self):
        # Goal: tgt agrees to four connections, so that Holdfast has to see through it.
        wish = peers.Wish(initiator="iqn.a", size_mib=1, connections=4)
        made = peers.make_tgt(wish, None, None, None)
        self.assertEqual(made.parameters["MaxConnections"], "4")
        self.assertTrue(peers.ALL["tgt"].pretends)


class Stalls(unittest.TestCase):
    def test_answers_already_taken_in_do_not_end_a_gap(self):
        # Goal: a completion 5 ms after the cut is no recovery.
        timeline = stalls.Timeline([9.99, 10.005, 12.05, 12.06])
        self.assertAlmostEqual(timeline.recovery_of(10.0), 2.05)

    def test_a_unit_that_was_silent_when_it_was_cut(self):
        # Goal: the gap that contains the cut is the cut's, even if it began long before.
        timeline = stalls.Timeline([8.0, 9.0, 12.05, 12.06])
        self.assertAlmostEqual(timeline.recovery_of(10.0), 2.05)

    def test_other_connections_fill_the_gap(self):
        # Goal: where completions go on, a cut costs as little as it seems.
        timeline = stalls.Timeline(completions((1, 20)))
        self.assertLessEqual(timeline.recovery_of(10.0), 0.13)

    def test_a_cut_before_the_first_or_after_the_last_completion(self):
        # Goal: neither crashes nor counts as recovered when nothing follows.
        self.assertIsNone(stalls.Timeline([1.0, 2.0]).recovery_of(2.5))
        self.assertIsNone(stalls.Timeline([]).recovery_of(2.5))
        self.assertIsNone(stalls.Timeline([]).longest())

    def test_percentiles_are_values_that_occurred(self):
        # Goal: nearest rank, no interpolation, none of none.
        values = [0.1 * n for n in range(1, 21)]
        self.assertAlmostEqual(stalls.percentile(values, 0.5), 1.0)
        self.assertAlmostEqual(stalls.percentile(values, 0.95), 1.9)
        self.assertEqual(stalls.percentile([3], 0.95), 3)
        self.assertIsNone(stalls.summary([])["median"])


class Fio(unittest.TestCase):
    def test_wrong_blocks_and_failed_requests_are_told_apart(self):
        # Goal: each of fio's sentences counts once, as what it is.
        self.assertEqual(fio.parse_complaints(FIO_WRONG + FIO_FAILED), (3, 1))
        self.assertEqual(fio.parse_complaints("nbd: connected\n"), (0, 0))

    def test_the_log_is_sorted_and_in_seconds(self):
        # Goal: reads and writes are logged in windows of their own, out of order.
        text = "1795725033301, 5, 0, 0, 0\n1795725033299, 7, 1, 0, 0\nrubbish\n"
        self.assertEqual(fio.parse_log(text), [1795725033.299, 1795725033.301])

    def test_json_behind_chatter(self):
        # Goal: what fio prints before its JSON does no harm; no JSON is an error.
        way = {"total_ios": 3, "io_bytes": 4096, "lat_ns": {"max": 2_000_000_000}}
        job = {"error": 0, "total_err": 1, "read": way, "write": way}
        figures = fio.parse_json("fio: a note\n" + json.dumps({"jobs": [job]}))
        self.assertEqual((figures["writes"], figures["errors"]), (3, 1))
        self.assertEqual(figures["latency_max_s"], 2.0)
        with self.assertRaises(ValueError):
            fio.parse_json("fio: killed")


class Cables(unittest.TestCase):
    def test_the_most_connections_at_once(self):
        # Goal: one after the other is one; only finished logins count.
        self.assertEqual(cables.peak(events(*ONE_CUT)), 1)
        both = ((1, "full", 1), (2, "accepted", 2), (3, "full", 2), (4, "closed", 1))
        self.assertEqual(cables.peak(events(*both)), 2)

    def test_steps_of_the_way_back(self):
        # Goal: what belongs to the next cut is not taken for this one's.
        steps = cables.steps_after(events(*ONE_CUT), 10.0)
        self.assertAlmostEqual(steps["accepted"], 2.001)
        self.assertAlmostEqual(steps["full"], 2.02)
        self.assertAlmostEqual(steps["request"], 2.03)
        second = (*ONE_CUT[:4], (11.0, "cut", 2), (12.0, "full", 3))
        self.assertEqual(cables.steps_after(events(*second), 10.0), {})


def pdu(opcode, data, header_digest, data_digest):
    """One PDU with right digests."""
    bhs = bytes([opcode, 0x80, 0, 0, 0]) + len(data).to_bytes(3, "big") + bytes(40)
    raw = bhs + (wire.crc32c(bhs).to_bytes(4, "little") if header_digest else b"")
    padded = data + bytes(-len(data) % 4)
    raw += padded
    if data and data_digest:
        raw += wire.crc32c(padded).to_bytes(4, "little")
    return raw


class Damage(unittest.TestCase):
    def test_only_data_is_damaged_at_every_split(self):
        # Goal: with any digests and any cut of the stream, as many data digests are wrong as PDUs
        # were damaged, and no header is.
        sizes = [0, 512, 13, 4096, 1, 0, 700] * 6
        for header_digest, data_digest in ((True, True), (False, True)):
            for step in (1, 7, 48, 1000, 10**6):
                bent = framer.Corrupter(3, header_digest, data_digest, seed=step)
                stream = bytearray().join(
                    pdu(wire.DATA_IN, random.Random(n).randbytes(size), header_digest, data_digest)
                    for n, size in enumerate(sizes)
                )
                for at in range(0, len(stream), step):
                    chunk = stream[at : at + step]
                    bent.pass_on(chunk)
                    stream[at : at + step] = chunk
                seen = wire.Stream(sent=False)
                seen.bytes += stream
                faults = []
                for _ in sizes:
                    faults += seen.take(header_digest, data_digest).faults
                self.assertGreater(bent.damaged, 0)
                self.assertEqual(faults, ["data digest is wrong"] * bent.damaged)


class FirstRequest(unittest.TestCase):
    def test_a_probe_is_no_request(self):
        # Goal: INQUIRY and its like, Data-Out and pings pass; the first WRITE(16) is found at
        # every split of the stream.
        def command(cdb, data=b""):
            raw = bytearray(pdu(wire.SCSI_COMMAND, data, True, True))
            raw[32] = cdb
            return bytes(raw)

        probe = command(0x12) + command(0x9E) + pdu(wire.DATA_OUT, bytes([0x8A]) * 99, True, True)
        probe += pdu(wire.NOP_OUT, b"", True, True)
        for step in (1, 13, 48, 1000):
            scout = framer.Scout(True, True)
            for at in range(0, len(probe), step):
                scout.pass_on(bytearray(probe[at : at + step]))
            self.assertFalse(scout.has_found)
            scout.pass_on(bytearray(command(0x8A, b"data")))
            self.assertTrue(scout.has_found)


class Wishes(unittest.TestCase):
    def test_settings_name_only_what_differs(self):
        # Goal: an older Holdfast without these keys can be run at level 0.
        plain = holdfast.settings(0, 1, digests=True)
        self.assertNotIn("connections", plain)
        self.assertNotIn("negotiation.error_recovery_level", plain)
        self.assertEqual(plain["data_digest"], "require")
        more = holdfast.settings(2, 4, digests=False, more=("timers.login=5s", "depth=8"))
        self.assertEqual(more["connections"], "4")
        self.assertEqual(more["negotiation.error_recovery_level"], "2")
        self.assertEqual((more["timers.login"], more["depth"]), ("5s", "8"))
        self.assertEqual(more["header_digest"], "never")

    def test_gauges_are_no_counters(self):
        # Goal: what goes up and down is not subtracted.
        before = {"counters": {"retries": 2, "command_window": 128}}
        after = {"counters": {"retries": 5, "command_window": 4, "new": 1}}
        self.assertEqual(holdfast.grown(before, after), {"retries": 3, "new": 1})

    def test_the_command_line_for_several_connections(self):
        # Goal: `--erl 2 --connections 4 --cut-every 2` is a run at level 2, judged as one.
        words = ["run", "cut", "--target", "lio", "--erl", "2", "--connections", "4"]
        options = cli.options_of(cli.parser().parse_args([*words, "--cut-every", "2"]))
        self.assertEqual((options.erl, options.connections, options.cut_every), (2, 4, 2.0))
        self.assertEqual(options.stall_max_s, 1.0)

    def test_the_summary_says_why(self):
        # Goal: each complaint stands in the summary, and its last line is the verdict.
        report = report_of(GOOD, mismatches=1)
        lines = cli.summary(report, judge.complaints(report, DEMANDS))
        self.assertIn("NOT GOOD: 1 blocks came back wrong", lines)
        self.assertEqual(lines[-1], "not good")


class LioSettings(unittest.TestCase):
    def test_the_guest_is_told_everything_it_asks_for(self):
        # Goal: no variable of the guest's script is left empty by mistake.
        told = lio.Settings(initiator="iqn.a", erl=2, connections=4, data_in_order=False)
        variables = told.variables()
        self.assertEqual((variables["ERL"], variables["CONNECTIONS"]), (2, 4))
        self.assertEqual((variables["IN_ORDER"], variables["RANDOM_OFFSETS"]), ("No", 1))
        self.assertEqual(variables["SIZE_PAGES"], 16384)
        for name in variables:
            self.assertIn(f"${name}", lio.SCRIPT.replace("${", "$"))

    def test_an_unknown_backstore_is_refused(self):
        # Goal: nobody measures another disk than the one he asked for.
        with self.assertRaises(targets.TargetError):
            lio.Settings(initiator="iqn.a", backstore="null").variables()


if __name__ == "__main__":
    unittest.main()
