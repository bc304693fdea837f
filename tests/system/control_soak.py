#!/usr/bin/env python3
"""The control socket under clients that mean no good: HF_SOAK_SECONDS (5) of them in ctest, an hour
by hand (HF_SOAK_SECONDS=3600 control_soak.py)."""

import contextlib
import json
import os
import random
import socket
import struct
import time
import unittest

import daemon_case
import nbd_client

SECONDS = float(os.environ.get("HF_SOAK_SECONDS", "5"))
SEED = int(os.environ.get("HF_SEED", "1"))
VERBS = ("list", "status", "metrics", "version", "udev-info", "trace", "attach", "detach",
         "upgrade", "fly")
RATIO_MAX = 1.1
PIECE_S, SETTLE_S, TRIES_MAX = 1.0, 0.5, 4


def frame(body):
    return struct.pack(">I", len(body)) + body


class Hostile:
    """One client after the other, each with its own idea of the protocol."""

    def __init__(self, path, seed):
        self.path, self.draw = str(path), random.Random(seed)
        self.kept = []
        self.sent = 0

    def connection(self):
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(1)
        made.connect(self.path)
        return made

    def value(self, depth=0):
        draw = self.draw
        texts = ("disk0", "", "a" * draw.randrange(5000), "\u0000", "../../x")
        kinds = [lambda: draw.randrange(-1 << 70, 1 << 70), lambda: draw.random() * 1e300,
                 lambda: None, lambda: draw.choice(texts),
                 lambda: draw.random() < 0.5]
        if depth < 4:
            kinds += [lambda: [self.value(depth + 1) for _ in range(draw.randrange(5))],
                      lambda: {str(self.value(9)): self.value(depth + 1)
                               for _ in range(draw.randrange(5))}]
        return draw.choice(kinds)()

    def request(self):
        """Never one that takes the test's own attachment away."""
        draw = self.draw
        verb = draw.choice(VERBS)
        name = "disk0" if verb in ("status", "trace") else draw.choice(("nobody", "x" * 300, 5))
        arguments = {"name": name, "wait_seconds": 0, "settings": self.value(),
                     "device": self.value()}
        for key in draw.sample(sorted(arguments), draw.randrange(4)):
            if verb not in ("detach", "upgrade") or key != "name":
                arguments[key] = self.value()
        return json.dumps({"version": draw.choice((1, 1, 1, 0, 2, 7, "1")), "verb": verb,
                           "arguments": arguments}).encode()

    def bytes(self):
        draw = self.draw
        kind = draw.randrange(5)
        if kind == 0:
            return draw.randbytes(draw.randrange(1, 3000))
        if kind == 1:
            length = draw.choice((0, 1, 65536, 65537, 1 << 31))
            return struct.pack(">I", length) + draw.randbytes(64)
        if kind == 2:
            return frame(b"[" * draw.randrange(60000))
        sent = frame(self.request())
        if kind == 3:
            damaged = bytearray(sent)
            damaged[draw.randrange(4, len(damaged))] ^= 1 << draw.randrange(8)
            return bytes(damaged)
        return sent

    def turn(self):
        with contextlib.suppress(OSError):
            one = self.connection()
            for _ in range(self.draw.randrange(1, 6)):
                one.sendall(self.bytes())
                self.sent += 1
            if self.draw.random() < 0.5:
                one.recv(4096)
            if self.draw.random() < 0.1:
                self.kept.append(one)  # Neither reads nor goes.
                if len(self.kept) > 20:
                    self.kept.pop(0).close()
            else:
                one.close()


def p99(samples):
    return sorted(samples)[len(samples) * 99 // 100]


class ControlSoak(daemon_case.DaemonCase):
    def control_pid(self):
        said = json.loads(self.holdfast("status", "--security", "--json").stdout)
        return said["security"][1]["pid"]

    def test_random_clients_crash_nothing(self):
        # Goal: whatever clients send, control lives, answers others, and requests are served.
        before, active = self.control_pid(), self.active()
        hostile = Hostile(self.folder / "control", SEED)
        until = time.monotonic() + SECONDS
        asked_at = 0.0
        with nbd_client.Load(self.socket) as load:
            while time.monotonic() < until:
                hostile.turn()
                if time.monotonic() > asked_at + 1:
                    self.assertEqual(self.holdfast("list").returncode, 0)
                    asked_at = time.monotonic()
        for one in hostile.kept:
            one.close()
        self.check_load(load)
        self.assertEqual((self.control_pid(), self.active()), (before, active))
        self.assertEqual(self.watchdog()["takeovers"], 0)
        self.assertGreater(hostile.sent, 100)
        print(f"seed {SEED}: {hostile.sent} messages in {SECONDS:.0f} s, {load.requests} requests")

    def stick(self):
        """Clients that ask for much and read nothing, as many as are let in."""
        stuck = []
        for _ in range(40):
            with contextlib.suppress(OSError):
                one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                one.connect(str(self.folder / "control"))
                one.setblocking(False)
                stuck.append(one)
                one.send(frame(json.dumps({"version": 1, "verb": "metrics"}).encode()) * 1000)
        return stuck

    def latencies(self):
        client = nbd_client.NbdClient(self.socket)
        samples = []
        until = time.monotonic() + PIECE_S
        while time.monotonic() < until:
            began = time.perf_counter()
            client.request(nbd_client.READ, 0)
            samples.append(time.perf_counter() - began)
        client.close()
        return samples

    def test_stuck_clients_change_no_latency(self):
        # Goal: the latency of requests does not depend on clients of the control socket.
        # Method: measured before, with and after them, when control has filled their sockets. A
        # busy host may disturb a try; what slows requests down shows in every one.
        ratios = []
        for _ in range(TRIES_MAX):
            alone = self.latencies()
            stuck = self.stick()
            self.assertGreater(len(stuck), 30)
            time.sleep(SETTLE_S)
            beside = self.latencies()
            self.assertEqual(self.holdfast("list").returncode, 0)
            for one in stuck:
                one.close()
            alone += self.latencies()
            ratios.append(p99(beside) / p99(alone))
            if ratios[-1] <= RATIO_MAX:
                break
        print("p99 with stuck clients to without: " + " ".join(f"{ratio:.2f}" for ratio in ratios))
        self.assertLessEqual(min(ratios), RATIO_MAX)


if __name__ == "__main__":
    unittest.main()
