"""Tests of the rig's pure parts: no guest, no network, no root."""

import io
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stress"))

from rigkit import aptsource, cli, cpio, facts, image, job, kernels, killing  # noqa: E402
from rigkit import network, processes, runner, scenarios, targets  # noqa: E402

DEB822 = """\
# a comment
Types: deb
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/some.gpg

Types: deb-src
URIs: http://mirror.test/sources
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://off.test/debian
Suites: bookworm-security
Components: main
"""


class AptSource(unittest.TestCase):
    def test_deb822_stanza_gives_mirror_and_key(self):
        # Goal: backports come from the configured mirror with the configured key.
        source = aptsource.find([("debian.sources", DEB822)])
        text = aptsource.render(source, aptsource.BACKPORTS)
        self.assertIn("URIs: http://mirror.test/debian\n", text)
        self.assertIn("Suites: bookworm-backports\n", text)
        self.assertIn("Signed-By: /usr/share/keyrings/some.gpg\n", text)

    def test_source_and_disabled_stanzas_do_not_count(self):
        # Goal: neither deb-src nor Enabled: no serves packages.
        with self.assertRaises(aptsource.SourceMissing):
            aptsource.find([("debian.sources", DEB822)], "bookworm-security")

    def test_one_line_entries_are_read_with_and_without_options(self):
        # Goal: the old format works too, whatever stands in its brackets.
        for options in ("", "[signed-by=/k.gpg] ", "[ arch=amd64 signed-by=/k.gpg ] "):
            line = f"deb {options}http://mirror.test/debian bookworm main contrib\n"
            source = aptsource.find([("sources.list", line)])
            self.assertEqual(source.uris, "http://mirror.test/debian")
            self.assertEqual(source.components, "main contrib")
            self.assertEqual(source.signed_by, "/k.gpg" if options else "")

    def test_embedded_key_survives(self):
        # Goal: a key written into the source file is carried over as a continuation.
        text = "Types: deb\nURIs: u\nSuites: bookworm\nSigned-By:\n -----BEGIN\n .\n abc\n"
        rendered = aptsource.render(aptsource.find([("a.sources", text)]), "bookworm-backports")
        self.assertEqual(
            aptsource.find([("b.sources", rendered)], "bookworm-backports").signed_by,
            aptsource.find([("a.sources", text)]).signed_by,
        )

    def test_pin_lets_only_qemu_in(self):
        # Goal: everything else in backports stays below what the release offers.
        pin = aptsource.render_pin()
        everything, qemu = pin.split("\n\n")
        self.assertIn("Package: *\n", everything)
        self.assertIn("Pin-Priority: 1", everything)
        self.assertIn("src:qemu", qemu)
        self.assertIn("Pin-Priority: 600", qemu)


    def test_pin_without_packages_lets_nothing_in(self):
        # Goal: a suite that serves by name alone is never preferred for anything.
        pin = aptsource.render_pin("trixie-backports", ())
        self.assertEqual(pin.count("Pin-Priority"), 1)
        self.assertIn("Pin-Priority: 1\n", pin)
        self.assertIn("n=trixie-backports\n", pin)


class Kernels(unittest.TestCase):
    def test_the_newest_modern_kernel_is_taken(self):
        # Goal: numbers are compared as numbers, and signed kernels of other flavours are left out.
        found = (
            "linux-binary-7.2.9+deb13-cloud-amd64 - Linux 7.2.9 (kernel image)\n"
            "linux-binary-7.2.12+deb13-cloud-amd64 - Linux 7.2.12 (kernel image)\n"
            "linux-binary-7.10.1+deb13-amd64 - Linux 7.10.1 (kernel image)\n"
            "linux-binary-7.2.12+deb13-cloud-amd64-dbg - symbols\n"
        )
        self.assertEqual(kernels.newest(found), "7.2.12+deb13-cloud-amd64")
        found += "linux-binary-7.11.1+deb13-rt-amd64 - Linux 7.11.1 (kernel image)\n"
        self.assertEqual(kernels.newest(found, kernels._FULL), "7.10.1+deb13-amd64")
        self.assertIsNone(kernels.newest("nothing\n"))


class Cpio(unittest.TestCase):
    def test_archive_is_read_back_by_cpio(self):
        # Goal: another program agrees on names, kinds and contents.
        data = cpio.archive(
            [
                cpio.Entry("bin", cpio.FOLDER, 0o755),
                cpio.Entry("bin/hello", mode=0o755, data=b"hello"),
            ]
        )
        self.assertEqual(len(data) % 4, 0)
        listing = subprocess.run(
            ["busybox", "cpio", "-t"], input=data, capture_output=True, check=False
        )
        if listing.returncode == 127:
            self.skipTest("no busybox here; the guest's boot covers it")
        self.assertEqual(listing.stdout.split(), [b"bin", b"bin/hello"])

    def test_same_input_same_archive(self):
        # Goal: nothing of the clock or the machine gets in.
        entries = [cpio.Entry("a", data=b"1")]
        self.assertEqual(cpio.archive(entries), cpio.archive(entries))


class Image(unittest.TestCase):
    def test_candidates_are_read(self):
        # Goal: packages without a candidate are absent, so that they are noticed.
        text = "fio:\n  Installed: (none)\n  Candidate: 3.33-3\nnope:\n  Candidate: (none)\n"
        self.assertEqual(image.candidates(text), {"fio": "3.33-3"})

    def test_key_changes_with_each_input(self):
        # Goal: no two different inputs share a cached image, not even shifted between parts.
        keys = {
            image.image_key([b"ab", b"c"], {"fio": "1"}),
            image.image_key([b"a", b"bc"], {"fio": "1"}),
            image.image_key([b"ab", b"c"], {"fio": "2"}),
        }
        self.assertEqual(len(keys), 3)


PANIC = "[   80.100000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000007\n"
SWAP_ERROR = "[   70.000000] Write-error on swap-device (8:0:4711)\n"


def facts_of(*lines, console="", timed_out=""):
    found = facts.Facts(timed_out=timed_out)
    for line in lines:
        found.take_line(line)
    found.console = facts.scan_console(console)
    return found


class Verdicts(unittest.TestCase):
    def outcome(self, found, demands=()):
        return facts.verdict(found, demands)[0]

    def test_undisturbed_end_is_ok(self):
        self.assertEqual(self.outcome(facts_of("RIG done=1")), "ok")

    def test_a_failed_demand_fails_with_its_sentence(self):
        found = facts_of("RIG done=1")
        self.assertEqual(facts.verdict(found, [(False, "no work")]), ("failed", "no work"))

    def test_causes_hide_their_consequences(self):
        # Goal: of everything that went wrong in one run, the worst names it.
        everything = PANIC + SWAP_ERROR
        self.assertEqual(self.outcome(facts_of(console=everything, timed_out='too long')), "panic")
        found = facts_of("RIG mismatches=1", console=SWAP_ERROR, timed_out='too long')
        self.assertEqual(self.outcome(found), "mismatch")
        found = facts_of(console=SWAP_ERROR, timed_out="too long")
        self.assertEqual(self.outcome(found), "io-error")
        found = facts_of("RIG phase=load", timed_out="too long")
        self.assertEqual(self.outcome(found), "hung")
        # Before the first phase no initiator ran.
        self.assertEqual(self.outcome(facts_of(timed_out="too long")), "rig-error")

    def test_silent_end_is_a_failure(self):
        # Goal: a guest that powers off early is never ok.
        outcome, reason = facts.verdict(facts_of("RIG phase=load"), [])
        self.assertEqual(outcome, "failed")
        self.assertIn("load", reason)

    def test_hung_tasks_count_even_when_the_run_ends(self):
        line = "[   60.000000] INFO: task stress-ng:93 blocked for more than 30 seconds.\n"
        self.assertEqual(self.outcome(facts_of("RIG done=1", console=line)), "hung")

    def test_only_the_kernel_is_believed(self):
        # Goal: a daemon that writes about panics on the console does not make one.
        said = "holdfastd: Kernel panic - not syncing\n"
        self.assertEqual(self.outcome(facts_of("RIG done=1", console=said)), "ok")
        self.assertEqual(self.outcome(facts_of("RIG done=1", console="ab" + PANIC)), "panic")

    def test_errors_of_disks_that_vanish_at_power_off_are_no_finding(self):
        text = "[   9.000000] sysrq: Power Off\n[   9.100000] I/O error, dev vda, sector 1 op 0x0\n"
        self.assertEqual(self.outcome(facts_of("RIG done=1", console=text)), "ok")

    def test_every_kind_of_line_is_taken_or_ignored(self):
        # Goal: garbage on the port changes nothing.
        found = facts_of("RIG a=1", "RIG a=2", "LOG x: one", "LOG x: two: 2", "noise", "RIG", "")
        self.assertEqual(found.values, {"a": "2"})
        self.assertEqual(found.lists, {"a": ["1", "2"]})
        self.assertEqual(found.logs, {"x": ["one", "two: 2"]})


class Kills(unittest.TestCase):
    @staticmethod
    def holds(kills, takeovers, outages=()):
        values = {"kills": str(kills), "takeovers": str(takeovers), "watchdog_state": "serving"}
        lists = {"outage_s": list(outages)}
        demands = killing.demands(facts.Facts(values=values, lists=lists), every_ms=5000)
        return all(held for held, _ in demands)

    def test_kills_need_takeovers(self):
        # Goal: a run whose kills nobody answered is no success.
        self.assertTrue(self.holds(kills=12, takeovers=12))
        self.assertFalse(self.holds(kills=12, takeovers=8))
        self.assertFalse(self.holds(kills=0, takeovers=0))

    def test_without_a_link_nobody_takes_over(self):
        # Goal: kills while the link was down are not counted on, all others are.
        self.assertTrue(self.holds(kills=12, takeovers=8, outages=["10.0", "10.0"]))
        self.assertFalse(self.holds(kills=12, takeovers=5, outages=["10.0", "10.0"]))
        self.assertFalse(self.holds(kills=4, takeovers=0, outages=["10.0", "10.0"]))


class Parsers(unittest.TestCase):
    def test_pauses_of_upgrades_are_read(self):
        # Goal: the longest pause of all upgrades is the figure.
        logs = {"upgrade": ['{"pause_ms": 12.5}', '{', '"pause_ms": 31}']}
        found = facts.Facts(logs=logs)
        scenarios.read_upgrade(found)
        self.assertEqual(found.values["pause_max_ms"], "31.0")

    def test_stress_ng_output(self):
        lines = [
            "stress-ng: metrc: [169] stressor       bogo ops real time  usr time",
            "stress-ng: metrc: [169] vm                  648     60.20      5.19     38.94",
        ]
        self.assertEqual(facts.parse_stress_ng(lines), (648, 0))

    def test_stress_ng_failures_count(self):
        lines = ["stress-ng: fail:  [93] vm: detected 3 bit errors while checking memory"]
        self.assertEqual(facts.parse_stress_ng(lines), (None, 3))
        self.assertEqual(facts.parse_stress_ng(["stress-ng: fail: [9] vm: odd"]), (None, 0))

    def test_last_json_object_counts(self):
        self.assertEqual(facts.parse_json_lines(["{}", "text", '{"a": 1}', "3"]), {"a": 1})
        self.assertEqual(facts.parse_json_lines(["text"]), {})

    def test_locked_memory_is_summed_over_processes(self):
        entries = ["81/status holdfastd VmLck=812 RssAnon=300", "82/status holdfast VmLck=8"]
        self.assertEqual(runner.locked_kib(entries), 820)
        self.assertIsNone(runner.locked_kib(None))


class Leftovers(unittest.TestCase):
    def test_own_tag_is_alive_and_a_reused_pid_is_not(self):
        # Goal: a tag names one process, not whatever has its number later.
        tag = processes.owner_tag()
        self.assertTrue(processes.is_alive(tag))
        pid, _, ticks = tag.partition("-")
        self.assertFalse(processes.is_alive(f"{pid}-{int(ticks) + 1}"))

    def test_foreign_names_are_left_alone(self):
        for name in ("", "x", "1-", "-1", "a-b"):
            self.assertTrue(processes.is_alive(name), name)

    def test_owner_is_found_in_every_name(self):
        self.assertEqual(network.owner_of("hfrig-12-345-1"), "12-345")
        self.assertEqual(network.owner_of("12-345-999"), "12-345")


class Jobs(unittest.TestCase):
    def test_variables_survive_the_shell(self):
        # Goal: no value can end its quotes.
        value = "a'b\"c $HOME `id` \\ \n d"
        text = job.variables_text({"VALUE": value}) + 'printf %s "$VALUE"'
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, value)

    def test_every_script_is_valid_shell(self):
        # Goal: a slip in a scenario is found without booting a guest.
        from rigkit import initiators

        pieces = [each.script for each in scenarios.ALL.values()]
        pieces += [each.attach + each.report for each in initiators.ALL.values()]
        guest_files = Path(job.__file__).parent / "guest"
        pieces += [(guest_files / name).read_text() for name in ("init", "initrd-init", "lib.sh")]
        for piece in pieces:
            done = subprocess.run(["sh", "-n", "-c", piece], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr.decode() + piece)

    def test_every_action_and_initiator_exists(self):
        from rigkit import initiators

        run = mock.Mock(net=mock.Mock(), target=mock.Mock())
        known = runner.Run._actions(run)
        for scenario in scenarios.ALL.values():
            self.assertLessEqual({action for _, _, action in scenario.actions}, set(known))
            self.assertLessEqual(set(scenario.initiators), set(initiators.ALL))
            self.assertLessEqual(set(scenario.targets), set(targets.ISCSI_TARGETS))
            for phase, _, _ in scenario.actions:
                said_by_writer = phase == "held" and "powercut-writer" in scenario.script
                self.assertTrue(f"rig phase={phase}" in scenario.script or said_by_writer, phase)


class CommandLine(unittest.TestCase):
    def test_wrong_use_is_refused(self):
        for words in (["run"], ["run", "nope"], ["run", "swap-squeeze", "--runs", "0"], []):
            with self.assertRaises(SystemExit) as ended, mock.patch("sys.stderr", io.StringIO()):
                cli.parser().parse_args(words)
            self.assertEqual(ended.exception.code, 2)

    def test_missing_programs_are_named_before_anything_is_built(self):
        options = runner.Options(initiator="local")
        with mock.patch.object(runner.paths, "newest_program", return_value=None):
            with self.assertRaisesRegex(runner.Refused, "squeeze"):
                runner.check(scenarios.SWAP_SQUEEZE, options)

    def test_unfit_initiator_is_refused(self):
        with self.assertRaisesRegex(runner.Refused, "target-restart runs with"):
            runner.check(scenarios.TARGET_RESTART, runner.Options(initiator="nbd"))


if __name__ == "__main__":
    unittest.main()
