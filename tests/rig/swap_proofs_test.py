"""Tests of what the rig makes of a swapping attachment's allocations and of the flood. No guest."""

import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stress"))

from rigkit import allocations, facts, scenarios, swap_proofs  # noqa: E402


def complaints(demands):
    return [sentence for holds, sentence in demands if not holds]


def status(tier="A", failed=0, lost=0, **more):
    counters = {"requests_failed": failed, "sessions_lost": lost}
    return json.dumps({"attachments": [{"tier": tier, "counters": counters, **more}]}, indent=2)


def attached(found, **more):
    """`found`, of a guest whose attachment over AF_XDP was all right, or as `more` says."""
    found.logs["reserved_status"] = status(**more).splitlines()
    found.logs["kernel_status"] = status("B").splitlines()
    found.logs["reserved_sockets"] = ["\tumem(id:0,qid:0,zc:1,refs:1)"]
    found.values["reserved_min_free_kbytes"] = found.values["boot_min_free_kbytes"] = "1024"
    return found


class Parts(unittest.TestCase):
    def test_work_is_told_apart_by_the_functions_on_the_stack(self):
        for frames, part in (
            (["__alloc_skb", "tcp_sendmsg", "io_sendmsg", "io_issue_sqe"], "network"),
            (["xp_alloc", "xsk_sendmsg", "io_issue_sqe"], "network"),
            (["ublk_ch_uring_cmd", "io_uring_cmd", "io_issue_sqe"], "ublk"),
            (["blk_mq_get_tag", "io_read"], "block"),
            (["io_cqring_event_overflow", "do_syscall_64"], "io_uring"),
            (["vm_area_alloc", "do_syscall_64"], "other"),
        ):
            self.assertEqual(allocations.part_of(frames), part, frames)


    def test_what_may_fail_unnoticed_has_a_name(self):
        freed = "alloc_empty_sheaf __pcs_replace_full_main kfree mempool_free blk_update_request"
        self.assertEqual(allocations.site_of(freed.split()), allocations.SHEAVES)
        # An allocation that fills its sheaf is an allocation.
        made = "allocate_slab refill_objects __pcs_replace_empty_main tcp_stream_alloc_skb"
        self.assertNotEqual(allocations.site_of(made.split()), allocations.SHEAVES)


HISTOGRAM = """\
# event histogram
{ common_flags:          4, common_stacktrace:
         __alloc_skb+0x1/0x2
         tcp_sendmsg+0x1/0x2
         io_issue_sqe+0xc2/0x520
} hitcount:        %d
{ common_flags:         20, common_stacktrace:
         virtqueue_add_outbuf_premapped+0x3f2/0x7a0
} hitcount:         59
{ common_flags:          4, common_stacktrace:
         __pcs_replace_full_main+0x1/0x2
         kfree+0x1/0x2
         blk_update_request+0x1/0x2
} hitcount:         3
    Dropped: 0
"""


def audited(thread=0, kernel_thread=500, **values):
    found = attached(facts.Facts())
    for name, count in (("reserved", thread), ("kernel", kernel_thread)):
        found.logs[f"{name}_hist"] = (HISTOGRAM % count).splitlines() if count else []
        found.values[f"{name}_requests"] = "1000"
        found.values[f"{name}_stress_status"] = "0"
    swap_proofs.read_audit(found)
    found.values |= {"reserved_histograms": "4", "kernel_histograms": "4", **values}
    return found


class AuditVerdict(unittest.TestCase):
    def test_nothing_to_complain_of(self):
        found = audited()
        self.assertEqual(found.values["kernel_network"], "500")
        self.assertEqual(found.values["kernel_descriptors"], "59")
        self.assertEqual(found.values["kernel_sheaves"], "3")
        self.assertEqual(found.values["kernel_thread"], "500")
        self.assertEqual(complaints(swap_proofs.demand_audit(found)), [])

    def test_each_shortcoming_is_named(self):
        # Goal: none of the demands can be missed.
        for values, words in (
            ({"thread": 1}, "1 allocations in our threads"),
            ({"kernel_thread": 3}, "the count sees nothing"),
            ({"zero_copy": "0"}, "zero copy"),
            ({"reserved_tier": "B"}, "not of tier A"),
            ({"reserved_min_free_kbytes": "16384"}, "not given back"),
            ({"requests_failed": "1"}, "requests failed"),
            ({"sessions_lost": "1"}, "was lost"),
            ({"reserved_strays": "52"}, "beside virtio's"),
            ({"reserved_unseen": "1"}, "no place in a histogram"),
            ({"kernel_histograms": "3"}, "histograms are missing"),
            ({"reserved_requests": "99"}, "only 99 and 1000 requests"),
            ({"kernel_stress_status": "1"}, "stress-ng failed"),
        ):
            found = complaints(swap_proofs.demand_audit(audited(**values)))
            self.assertTrue(any(words in each for each in found), (values, found))

    def test_a_wrong_page_is_a_mismatch(self):
        found = attached(facts.Facts())
        found.logs["stress"] = ["stress-ng: fail: vm: detected 3 bit errors"]
        swap_proofs.read_audit(found)
        self.assertEqual(found.values["mismatches"], "3")


ROUND = [
    "none bytes=10000 ms=1000 slabs=0 pages=0 requests=9",
    "threads bytes=9900 ms=1000 slabs=0 pages=0 requests=9",
    "filter bytes=5000 ms=1000 slabs=0 pages=0 requests=9",
    "softirq bytes=5050 ms=1000 slabs=30 pages=0 requests=9",
]
KERNEL_ROUND = [
    "none bytes=9000 ms=1000 slabs=0 pages=0 requests=9",
    "threads bytes=90 ms=1000 slabs=40 pages=5 requests=0",
    "filter bytes=8000 ms=1000 slabs=0 pages=0 requests=9",
    "softirq bytes=9 ms=1000 slabs=7 pages=0 requests=0",
]


def starved(rounds=5, reserved=tuple(ROUND), kernel=tuple(KERNEL_ROUND), **values):
    found = attached(facts.Facts())
    found.lists["window"] = [f"reserved {each}" for each in reserved * rounds]
    found.lists["window"] += [f"kernel {each}" for each in kernel]
    found.values |= {"reserved_squeeze_status": "0"}
    swap_proofs.read_no_memory(found)
    found.values |= values
    return found


def replaced(entries, old, new):
    return tuple(each.replace(old, new) for each in entries)


class NoMemoryVerdict(unittest.TestCase):
    def test_windows_are_held_against_their_neighbours(self):
        # Goal: what drifts over the run changes no ratio.
        found = starved()
        self.assertEqual(found.values["reserved_threads_ratio"], "0.990")
        self.assertEqual(found.values["reserved_softirq_ratio"], "1.010")
        self.assertEqual(found.values["reserved_softirq_failed"], "150")
        self.assertEqual(found.values["kernel_threads_mean_ratio"], "0.010")
        self.assertEqual(complaints(swap_proofs.demand_no_memory(found)), [])
        drifting = {
            "none": [100.0, 200.0, 400.0],
            "threads": [99.0, 198.0, 396.0],
            "filter": [],
            "softirq": [],
        }
        self.assertEqual(swap_proofs.paired_ratios(drifting, "threads"), [0.99] * 3)
        self.assertEqual(swap_proofs.spread([0.99] * 3), (0.99, 0.99, 0.99))

    def test_each_shortcoming_is_named(self):
        slow = replaced(ROUND, "bytes=9900", "bytes=9400")
        quiet = replaced(ROUND, "slabs=30", "slabs=0")
        well = replaced(KERNEL_ROUND, "bytes=90 ", "bytes=8000 ")
        whole = replaced(KERNEL_ROUND, "slabs=7 ", "slabs=0 ")
        for arguments, words in (
            ({"reserved": slow}, "threads: 0.94 of"),
            ({"reserved": quiet}, "nothing failed over AF_XDP"),
            ({"kernel": well}, "nothing was proved"),
            ({"kernel": whole}, "nothing failed on the kernel's path"),
            ({"rounds": 3}, "only 3 windows"),
            ({"reserved_squeeze_status": "1"}, "squeeze failed"),
            ({"sessions_lost": "1"}, "was lost"),
            ({"reserved_tier": "C"}, "not of tier A"),
        ):
            found = complaints(swap_proofs.demand_no_memory(starved(**arguments)))
            self.assertTrue(any(words in each for each in found), (arguments, found))

    def test_a_kernel_path_that_never_came_back_has_suffered(self):
        found = starved(kernel=(KERNEL_ROUND[0],), kernel_stalled="1")
        self.assertEqual(complaints(swap_proofs.demand_no_memory(found)), [])

    def test_a_wrong_page_is_a_mismatch(self):
        found = starved()
        found.logs["kernel_squeeze"] = ['{"touches": 5, "mismatches": 2}']
        swap_proofs.read_no_memory(found)
        self.assertEqual(found.values["mismatches"], "2")


def flooded(**values):
    found = facts.Facts()
    found.values = {
        "stress_status": "0",
        "squeeze_status": "0",
        "before_pswpout": "0",
        "after_pswpout": "10",
        "before_rx_packets": "100",
        "after_rx_packets": "900100",
        "flood_wanted_per_s": "100000",
        "flood_packets_per_s": "99000",
        "flood_s": "10.0",
    }
    found.logs["stress"] = ["stress-ng: metrc: [93] vm 316 60.05"]
    packets = {"dropped": 7, "passed_calm": 1}
    found.logs["status_after"] = status(classifier={"packets": packets}).splitlines()
    scenarios.read_flood(found)
    found.values |= values
    return found


class FloodVerdict(unittest.TestCase):
    def test_what_arrived_is_counted(self):
        found = flooded()
        self.assertEqual(found.values["arrived_per_s"], "90000")
        self.assertEqual(found.values["classifier_dropped"], "7")
        self.assertEqual(complaints(scenarios.demand_flood(found)), [])

    def test_a_flood_that_was_none_is_noticed(self):
        for values, words in (
            ({"flood_packets_per_s": "89000"}, "the host sent only"),
            ({"flood_wanted_per_s": "0"}, "the host sent only"),
            ({"arrived_per_s": "20000"}, "reached the guest's card"),
            ({"classifier_dropped": "0"}, "the classifier dropped nothing"),
            ({"after_pswpout": "0"}, "nothing was swapped out"),
        ):
            found = complaints(scenarios.demand_flood(flooded(**values)))
            self.assertTrue(any(words in each for each in found), (values, found))

    def test_without_a_classifier_none_is_demanded(self):
        found = flooded()
        del found.values["classifier_dropped"]
        self.assertEqual(complaints(scenarios.demand_flood(found)), [])


if __name__ == "__main__":
    unittest.main()
