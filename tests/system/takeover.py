#!/usr/bin/env python3
"""What happens at each death: docs/watchdog.md, shown on a real daemon with an NBD export."""

import os
import signal
import time
import unittest

import client
import daemon_case
import inside
import nbd_client
import targets

HANG_LIMIT_S = 2.0  # detected and replaced
CRASHES_AT_ONCE, CRASH_INTERVAL_S = 5, 60


class Takeover(daemon_case.DaemonCase):
    def test_killed_under_verified_load(self):
        # Goal: SIGKILL of the serving process is a non-event: every block that was acknowledged is
        # there, no request fails, and each takeover is a hot one.
        kills = 10
        with nbd_client.Load(self.socket) as load:
            for number in range(1, kills + 1):
                self.wait_for_standby()
                heir = self.standby()
                os.kill(self.active(), signal.SIGKILL)
                self.wait_for_takeovers(number)
                self.assertEqual(self.active(), heir, "somebody else than the standby took over")
        self.check_load(load)
        said = self.watchdog()
        self.assertEqual(said["last_death"], "killed by signal 9")
        self.assertEqual(said["hangs"], 0)
        print(f"{kills} kills, {load.requests} requests; worst takeover "
              f"{said['takeover_worst_ms']:.1f} ms, longest request {load.longest_s * 1e3:.0f} ms")

    def test_killed_together_with_its_standby(self):
        # Goal: without a standby a successor is started cold, and nothing is lost.
        with nbd_client.Load(self.socket) as load:
            for number in range(1, 4):
                self.wait_for_standby()
                for pid in (self.standby(), self.active()):
                    os.kill(pid, signal.SIGKILL)
                self.wait_for_takeovers(number)
        self.check_load(load)

    def test_killed_while_the_target_is_silent(self):
        # Goal: a death in the middle of an outage, and the death of the successor while it waits
        # for the login, cost nothing but time.
        with nbd_client.Load(self.socket) as load:
            for number in range(1, 4):
                self.wait_for_standby()
                os.kill(self.target, signal.SIGSTOP)
                os.kill(self.active(), signal.SIGKILL)
                targets.wait_until(lambda: self.watchdog()["state"] == "taking over", "a successor")
                for _ in range(number - 1):
                    time.sleep(0.3)
                    os.kill(self.active(), signal.SIGKILL)
                time.sleep(0.3)
                os.kill(self.target, signal.SIGCONT)
                self.wait_for_takeovers(number)
        self.check_load(load)

    def test_hung_process_is_replaced(self):
        # Goal: a process that spins, or that somebody stopped, is killed and replaced in time; a
        # standby that was stopped is killed and made anew.
        with nbd_client.Load(self.socket) as load:
            for number, hang in enumerate((inside.plant_a_loop,
                                           lambda pid: os.kill(pid, signal.SIGSTOP)), start=1):
                self.wait_for_standby()
                hung = self.active()
                began = time.monotonic()
                hang(hung)
                while daemon_case.is_alive(hung):
                    time.sleep(0.005)
                took = time.monotonic() - began
                self.wait_for_takeovers(number)
                # By the supervisor's clock, not by that of a client who asks now and then.
                took += self.watchdog()["takeover_last_ms"] / 1e3
                self.assertLess(took, HANG_LIMIT_S)
                self.assertEqual(self.watchdog()["last_death"],
                                 "it gave no sign of life, and was killed")
                print(f"hang {number}: replaced after {took:.2f} s")
            self.wait_for_standby()
            stopped = self.standby()
            os.kill(stopped, signal.SIGSTOP)
            targets.wait_until(lambda: not daemon_case.is_alive(stopped), "the end of the standby")
            self.wait_for_standby()
        self.check_load(load)
        self.assertEqual(self.watchdog()["hangs"], 3)

    def test_stopping_everything_kills_nobody(self):
        # Goal: a pause of the whole machine is no hang, however long it was.
        pause_s = float(os.environ.get("HF_PAUSE_SECONDS", "4"))
        everybody = [self.supervisor, self.active(), self.standby()]
        with nbd_client.Load(self.socket) as load:
            for pid in everybody:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(pause_s)
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)
            time.sleep(1)
        self.check_load(load)
        self.assertEqual([self.supervisor, self.active(), self.standby()], everybody)
        self.assertEqual(self.watchdog()["takeovers"], 0)
        self.assertEqual(self.watchdog()["hangs"], 0)

    def test_poison_is_held(self):
        # Goal: a process that crashes again and again is not replaced for ever: requests wait, and
        # the status says why and what to do.
        with nbd_client.Load(self.socket) as load:
            began = time.monotonic()
            deaths = 0
            while self.watchdog()["state"] != "holding":
                if deaths >= CRASHES_AT_ONCE:
                    self.wait_for_standby()
                os.kill(self.active(), signal.SIGABRT)
                deaths += 1
                self.wait_for_takeovers(deaths, or_state="holding")
            self.assertGreater(deaths, CRASHES_AT_ONCE)
            come_back = (time.monotonic() - began) // CRASH_INTERVAL_S
            self.assertLessEqual(deaths, CRASHES_AT_ONCE + 1 + come_back)
            said = self.watchdog()
            self.assertEqual(said["standby"], "standing")
            self.assertEqual(said["last_death"], "crashed by signal 6")
            self.assertIn("requests wait", said["advice"])
            self.assertIsNone(self.active())
            self.assertEqual(load.failures, [])
            os.kill(self.supervisor, signal.SIGTERM)
            load.abandon()

    def test_supervisor_killed(self):
        # Goal: the death of the supervisor takes nobody's device away; the standby, whom nobody
        # could order, goes.
        active, standby = self.active(), self.standby()
        self.orphans = [active, standby]
        with nbd_client.Load(self.socket) as load:
            os.kill(self.supervisor, signal.SIGKILL)
            targets.wait_until(lambda: not daemon_case.is_alive(standby), "the end of the standby")
            before = load.requests
            targets.wait_until(lambda: load.requests > before + 100, "requests")
        self.check_load(load)
        self.assertTrue(daemon_case.is_alive(active))
        self.assertNotEqual(self.holdfast("status").returncode, 0)

    def test_a_new_supervisor_leaves_the_old_process_alone(self):
        # Goal: two processes never serve one unit as the same initiator: the new supervisor says
        # what to do about the old process, which goes on, and serves when that has gone.
        active = self.active()
        self.orphans = [active, self.standby()]
        os.kill(self.supervisor, signal.SIGKILL)
        with nbd_client.Load(self.socket) as load:
            self.start_supervisor()
            refused = self.attach()
            self.assertEqual(refused.returncode, client.EXISTS, refused.stderr)
            self.assertIn("left behind", refused.stderr)
            before = load.requests
            targets.wait_until(lambda: load.requests > before + 100, "requests")
            os.kill(active, signal.SIGKILL)
            targets.wait_until(lambda: self.attach().returncode == 0, "the lock")
            before = load.requests
            targets.wait_until(lambda: load.requests > before + 100, "requests")
        self.check_load(load)


if __name__ == "__main__":
    unittest.main()
