"""Tests of what the rig makes of allocations: histograms, windows, verdicts. No guest."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stress"))

from rigkit import allocations, built_kernel, facts, kernels, proofs  # noqa: E402

# As Linux 7.3 writes it: one event of a softirq that interrupted our thread, one of virtio's in the
# softirq that our own call brought on, and one of the thread itself.
HISTOGRAM = """\
# event histogram
#
# trigger info: hist:keys=common_flags,common_stacktrace:vals=hitcount:size=4096 [active]
#

{ common_flags:         54, common_stacktrace:
         kmalloc_reserve+0x5f/0x90
         __alloc_skb+0x11b/0x180
         ndisc_alloc_skb+0x4f/0xd0
         do_syscall_64+0xc2/0x520
} hitcount:          1
{ common_flags:         20, common_stacktrace:
         __kmalloc_noprof+0x244/0x4d0
         virtqueue_add_outbuf_premapped+0x3f2/0x7a0
         virtnet_poll_tx+0x233/0x3d0 [virtio_net]
         __napi_poll+0x2c/0x180
         xsk_sendmsg+0x122/0x1c0
} hitcount:         59
{ common_flags:          4, common_stacktrace:
         kmem_cache_alloc_noprof+0x1/0x2
         vm_area_alloc+0x1/0x2
         do_syscall_64+0xc2/0x520
} hitcount:          2

Totals:
    Hits: 62
    Entries: 3
    Dropped: 0
"""


def audited(thread=0, kernel_thread=500, **values):
    """Facts of an audit that demands nothing, with what is given put in its place."""
    found = facts.Facts()
    found.values = {
        "reserved_status": "0",
        "kernel_status": "0",
        "zero_copy": "1",
        "reserved_requests": "1000",
        "kernel_requests": "1000",
        "reserved_thread": str(thread),
        "kernel_thread": str(kernel_thread),
        "reserved_strays": "1",
        "reserved_unseen": "0",
        "kernel_unseen": "0",
        "reserved_histograms": "4",
        "kernel_histograms": "4",
        **values,
    }
    return found


def complaints(demands):
    return [sentence for holds, sentence in demands if not holds]


class Histograms(unittest.TestCase):
    def test_events_are_told_apart_by_context_and_site(self):
        counts = allocations.read_histograms(HISTOGRAM.splitlines())
        self.assertEqual(
            dict(counts.sites),
            {
                ("interrupt", "__alloc_skb"): 1,
                ("interrupt", "virtio descriptors"): 59,
                ("thread", "vm_area_alloc"): 2,
            },
        )
        self.assertEqual((counts.histograms, counts.dropped), (1, 0))
        self.assertEqual(counts.total("interrupt"), 60)
        self.assertEqual(counts.total("interrupt", "virtio descriptors"), 59)

    def test_dropped_events_are_counted(self):
        # Goal: a histogram that was too small is not taken for few allocations.
        text = HISTOGRAM.replace("Dropped: 0", "Dropped: 7")
        self.assertEqual(allocations.read_histograms(text.splitlines() * 2).dropped, 14)

    def test_nothing_said_is_nothing_counted(self):
        counts = allocations.read_histograms([])
        self.assertEqual((counts.histograms, counts.total("thread")), (0, 0))

    def test_each_context_has_its_own_number_of_requests(self):
        counts = allocations.read_histograms(HISTOGRAM.splitlines())
        lines = allocations.table(counts, {"thread": 4, "interrupt": 100})
        self.assertIn("interrupt     0.5900        59  virtio descriptors", lines)
        self.assertIn("thread        0.5000         2  vm_area_alloc", lines)

    def test_logs_become_figures(self):
        found = facts.Facts()
        found.logs = {
            "reserved_hist": HISTOGRAM.splitlines(),
            "reserved_bench": ["{", '  "requests": 31,', '  "iops": 5.4', "}"],
            "reserved_sockets": ["eth0:q0", "\tumem(id:0,qid:0,zc:1,refs:1)"],
        }
        proofs.read_audit(found)
        self.assertEqual(found.values["reserved_requests"], "31")
        self.assertEqual(found.values["reserved_thread"], "2")
        self.assertEqual(found.values["reserved_descriptors"], "59")
        self.assertEqual(found.values["reserved_strays"], "1")
        self.assertEqual(found.values["zero_copy"], "1")
        found.logs["reserved_sockets"] = ["\tumem(id:0,qid:0,zc:0,refs:1)"]
        proofs.read_audit(found)
        self.assertEqual(found.values["zero_copy"], "0")


class AuditVerdict(unittest.TestCase):
    def test_nothing_to_complain_of(self):
        self.assertEqual(complaints(proofs.demand_audit(audited())), [])

    def test_each_shortcoming_is_named(self):
        # Goal: none of the demands can be missed.
        for values, words in (
            ({"thread": 1}, "1 allocations in our threads"),
            ({"kernel_thread": 3}, "the count sees nothing"),
            ({"zero_copy": "0"}, "zero copy"),
            ({"reserved_strays": "22"}, "beside virtio's"),
            ({"reserved_unseen": "1"}, "no place in a histogram"),
            ({"kernel_histograms": "3"}, "histograms are missing"),
            ({"reserved_requests": "0"}, "no requests"),
            ({"reserved_status": "1"}, "reserved path failed"),
            ({"kernel_status": "1"}, "kernel's path failed"),
        ):
            found = complaints(proofs.demand_audit(audited(**values)))
            self.assertTrue(any(words in each for each in found), (values, found))


WINDOWS = [
    "reserved none bytes=10000 ms=1000 slabs=0 pages=0",
    "reserved threads bytes=19600 ms=2000 slabs=0 pages=1",
    "reserved filter bytes=9000 ms=1000 slabs=0 pages=0",
    "reserved softirq bytes=9090 ms=1000 slabs=3000 pages=0",
    "verify threads bytes=9090 ms=1000 slabs=0 pages=0",
    "verify softirq bytes=9090 ms=1000 slabs=20 pages=0",
    "kernel none bytes=9000 ms=1000 slabs=0 pages=0",
    "kernel threads bytes=90 ms=1000 slabs=40 pages=5",
    "kernel filter bytes=8000 ms=1000 slabs=0 pages=0",
    "kernel softirq bytes=9 ms=1000 slabs=7 pages=0",
]


def starved(windows, **values):
    found = facts.Facts()
    found.lists["window"] = list(windows)
    found.logs["reserved_sockets"] = ["zc:1"]
    found.values = {"reserved_status": "0", "verify_status": "0", "kernel_status": "0", **values}
    proofs.read_no_memory(found)
    return found


class NoMemoryVerdict(unittest.TestCase):
    def test_windows_become_ratios(self):
        found = starved(WINDOWS)
        self.assertEqual(found.values["reserved_threads_ratio"], "0.980")
        self.assertEqual(found.values["reserved_softirq_ratio"], "1.010")
        self.assertEqual(found.values["reserved_softirq_failed"], "3000")
        self.assertEqual(found.values["kernel_threads_failed"], "45")
        self.assertEqual(found.values["mismatches"], "0")
        self.assertEqual(complaints(proofs.demand_no_memory(found)), [])

    def test_a_slower_reserved_path_is_noticed(self):
        slow = [entry.replace("bytes=19600", "bytes=18000") for entry in WINDOWS]
        self.assertIn("threads: 0.9 of", complaints(proofs.demand_no_memory(starved(slow)))[0])

    def test_a_kernel_path_that_does_not_suffer_is_noticed(self):
        # Goal: failures that hit nothing prove nothing.
        well = [entry.replace("bytes=90 ", "bytes=9000 ") for entry in WINDOWS]
        found = complaints(proofs.demand_no_memory(starved(well)))
        self.assertIn("nothing was proved", found[0])
        # A session that ended with an error has suffered.
        ended = starved(well, kernel_status="5")
        self.assertEqual(complaints(proofs.demand_no_memory(ended)), [])

    def test_failures_that_did_not_happen_are_noticed(self):
        none = [entry.replace("slabs=7 ", "slabs=0 ") for entry in WINDOWS]
        found = complaints(proofs.demand_no_memory(starved(none)))
        self.assertEqual(found, ["softirq: nothing failed on the kernel's path: no injection"])

    def test_a_verify_that_ended_early_is_noticed(self):
        short = [entry for entry in WINDOWS if not entry.startswith("verify softirq")]
        self.assertEqual(
            complaints(proofs.demand_no_memory(starved(short))), ["verify ended too early"]
        )

    def test_missing_windows_are_noticed(self):
        self.assertTrue(complaints(proofs.demand_no_memory(starved([]))))

    def test_a_mismatch_is_counted(self):
        self.assertEqual(starved(WINDOWS, verify_status="7").values["mismatches"], "1")


class BuiltKernel(unittest.TestCase):
    def test_the_newest_source_is_taken(self):
        text = (
            "linux-source-7.2 - Linux kernel source\n"
            "linux-source-7.10 - Linux kernel source\n"
            "linux-source - meta-package\n"
        )
        self.assertEqual(kernels.newest_source(text), "linux-source-7.10")
        self.assertIsNone(kernels.newest_source(""))

    def test_settings_that_did_not_take_are_named(self):
        wanted = 'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x"\n# CONFIG_D is not set\n'
        self.assertEqual(built_kernel.missing_settings(wanted, 'CONFIG_A=y\nCONFIG_C="x"\n'), [])
        found = built_kernel.missing_settings(wanted, 'CONFIG_A=m\nCONFIG_B=y\nCONFIG_C="x"\n')
        self.assertEqual(found, ["CONFIG_A=y", "CONFIG_B=n"])

    def test_the_configuration_has_what_the_scenario_needs(self):
        text = built_kernel.CONFIG.read_text()
        for name in ("FAILSLAB", "FAIL_PAGE_ALLOC", "FAULT_INJECTION_STACKTRACE_FILTER"):
            self.assertIn(f"CONFIG_{name}=y\n", text)


if __name__ == "__main__":
    unittest.main()
