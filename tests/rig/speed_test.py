"""Tests of what the rig makes of xdp-speed's windows. No guest."""

import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stress"))

from rigkit import facts, speed  # noqa: E402


def measured(missing=None, zero_copy="zc:1", status="0", kernel=2e6):
    """Facts of a run whose reserved path moves 3 MB/s."""
    found = facts.Facts()
    for load in speed.LOADS:
        for path in speed.PATHS:
            for turn in range(speed.ROUNDS):
                if missing == (load, path, turn):
                    continue
                found.take_line(f"RIG status={status}")
                bytes_per_second = kernel if path == "kernel" else 3e6
                run = {"requests": 5, "bytes_per_second": bytes_per_second + turn,
                       "cpu_us_per_request": 100 if path == "kernel" else 50}
                found.take_line(f"LOG {load}_{path}: {json.dumps(run)}")
    found.take_line(f"LOG sockets: p_raw UNCONN xdp {zero_copy}")
    speed.read(found)
    return found


def complaints(found):
    return [sentence for holds, sentence in speed.demand(found) if not holds]


class Speed(unittest.TestCase):
    # Goal: medians and ratios are those of the windows, and a whole run is accepted.
    def test_ratios(self):
        found = measured()
        self.assertEqual(complaints(found), [])
        self.assertEqual(found.values["write_speed_ratio"], "1.50")
        self.assertEqual(found.values["read_cpu_ratio"], "0.50")

    # Goal: a slower path is a finding and no failure; a window that is missing or failed, or a card
    # that copied, is one.
    def test_what_is_refused(self):
        self.assertEqual(complaints(measured(kernel=9e6)), [])
        self.assertTrue(complaints(measured(missing=("read", "kernel", 1))))
        self.assertTrue(complaints(measured(zero_copy="zc:0")))
        self.assertTrue(complaints(measured(status="5")))


if __name__ == "__main__":
    unittest.main()
