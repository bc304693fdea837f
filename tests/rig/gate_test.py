"""Tests of what the rig makes of the classifier: the flood, the switch, verdicts. No guest."""

import socket
import struct
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "stress"))

from rigkit import facts, gate, strays  # noqa: E402


class Strays(unittest.TestCase):
    # Goal: the guest tells the flood from everything else, and its kinds apart, by length alone.
    def test_lengths_are_odd_and_differ(self):
        lengths = []
        for kind, (*_, count) in strays.KINDS.items():
            packet = strays.packet(kind, "10.77.0.2", b"\xfe\x80" + b"\0" * 14)
            self.assertEqual(len(packet), count, kind)
            self.assertEqual(count % 2, 1, kind)
            lengths.append(count)
        self.assertEqual(len(set(lengths)), len(lengths))

    # Goal: headers say what a receiver would believe.
    def test_ipv4_header_has_a_right_checksum(self):
        packet = strays.packet("udp_9", "10.77.0.2", b"")
        self.assertEqual(strays.checksum(packet[:20]), 0)
        self.assertEqual(packet[16:20], socket.inet_aton("10.77.0.2"))
        self.assertEqual(struct.unpack("!HH", packet[20:24])[1], 9)

    def test_link_local_address_of_a_station(self):
        found = strays.link_local(bytes.fromhex("525400123456"))
        self.assertEqual(socket.inet_ntop(socket.AF_INET6, found), "fe80::5054:ff:fe12:3456")


class Switch(unittest.TestCase):
    # Goal: short waits are no sign, one of 3 ms is, and several that make 3 ms within 100 ms are.
    def test_stretches(self):
        self.assertEqual(gate.stretches([(1.0, "B"), (1.001, "E")]), [])
        (one,) = gate.stretches([(1.0, "B"), (1.005, "E")])
        self.assertAlmostEqual(one.began, 1.003)
        self.assertAlmostEqual(one.ends, 1.505)
        many = [(1 + i / 100 + at, letter) for i in range(3) for at, letter in
                ((0, "B"), (0.002, "E"))]
        (summed,) = gate.stretches(many)
        self.assertAlmostEqual(summed.began, 1.012)
        apart = [(1 + i + at, letter) for i in range(3) for at, letter in ((0, "B"), (0.002, "E"))]
        self.assertEqual(gate.stretches(apart), [])

    # Goal: who waits when kswapd sleeps is forgotten, and an end without a beginning is none.
    def test_sleep_forgets(self):
        self.assertEqual(gate.stretches([(1.0, "B"), (1.001, "S"), (2.0, "E")]), [])
        self.assertEqual(gate.stretches([(1.0, "E"), (2.0, "B"), (2.001, "E")]), [])

    # Goal: what passes between the first sign and the end of the last one is late; the first one
    # behind it tells when the classifier opened.
    def test_latencies(self):
        found = [gate.Pressure(began=2.0, ends=3.0)]
        self.assertEqual(gate.latencies(found, [(1.0, 1.999, 5), (3.004, 4.0, 5)])[0], [0.0])
        on, off = gate.latencies(found, [(1.0, 2.01, 5), (3.004, 4.0, 5)])
        self.assertAlmostEqual(on[0], 0.01)
        self.assertAlmostEqual(off[0], 0.004)
        self.assertEqual(gate.latencies(found, [(1.0, 1.9, 5)]), ([], []))

    def test_story(self):
        events, runs = gate.read_story(["P 1.0 2.0 7", "E 1.5", "B 1.4"])
        self.assertEqual(events, [(1.4, "B"), (1.5, "E")])
        self.assertEqual(runs, [(1.0, 2.0, 7)])


def good():
    """Facts that demand nothing."""
    found = facts.Facts()
    for phase in gate.PHASES:
        found.values |= {f"{phase}_status": "0", f"{phase}_sent": "1000",
                         f"{phase}_link_dropped": "0", f"{phase}_lost_in": "0",
                         f"{phase}_lost_out": "0"}
    found.values |= {
        "sessions_lost": "0", "calm_dropped": "0", "calm_buffers": "1000", "ordered_buffers": "0",
        "ordered_netif_receive_skb": "0", "ordered_missing": "0", "squeezed_dropped": "600",
        "squeezed_buffers": "400", "trace_overrun": "0", "switched": "2",
        "ordered_session_to_kernel": "500", "ordered_buffer_allocations": "510",
        "pass_after_sign_max_ms": "0.1",
    }
    return found


class Demands(unittest.TestCase):
    def broken(self, **values):
        found = good()
        found.values |= values
        return [sentence for holds, sentence in gate.demand(found) if not holds]

    # Goal: each thing that must hold is looked at.
    def test_each_is_looked_at(self):
        self.assertEqual(self.broken(), [])
        for name, value in (("sessions_lost", "1"), ("calm_dropped", "1"), ("calm_buffers", "900"),
                            ("ordered_buffers", "1"), ("ordered_netif_receive_skb", "1"),
                            ("ordered_missing", "1"), ("squeezed_dropped", "0"),
                            ("squeezed_buffers", "399"), ("trace_overrun", "1"), ("switched", "0"),
                            ("ordered_buffer_allocations", "1500"), ("calm_status", "1"),
                            ("pass_after_sign_max_ms", "2.1"), ("squeezed_lost_in", "1"),
                            ("ordered_lost_out", "1"), ("calm_link_dropped", "11")):
            self.assertTrue(self.broken(**{name: value}), name)

    # Goal: the ratio that is asked for is that to a card without any program.
    def test_cost(self):
        found = facts.Facts()
        for kind, rate in (("none", 300), ("plain", 100), ("pass", 99), ("gate", 97)):
            for what in ("tcp", "udp"):
                found.lists.setdefault("rate", []).append(f"{kind} {what} {rate}")
        gate.read_cost(found)
        self.assertEqual(found.values["tcp_to_plain"], "0.970")
        self.assertEqual([holds for holds, _ in gate.demand_cost(found)], [False, False])


if __name__ == "__main__":
    unittest.main()
