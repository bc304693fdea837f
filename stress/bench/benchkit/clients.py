"""The clients that are measured, each as one child process per run.

CPU time is the child's user and system time as the kernel tells it (wait4), so it is the same
measure for all of them; start-up and login are in it, which a run of seconds makes small.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile

from benchkit import places

EXTRA_S = 60


class ClientError(Exception):
    """A client could not run, or said nothing that can be read."""


def measured(command, seconds):
    """Runs the command; returns its output and its CPU time in seconds."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(["timeout", str(int(seconds) + EXTRA_S), *command],
                                 stdout=output, stderr=subprocess.STDOUT,
                                 stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if child.returncode != 0:
        raise ClientError(f"{' '.join(command)}: exit {child.returncode}: {text[-300:].strip()}")
    return text, usage.ru_utime + usage.ru_stime


class Client:
    """One way to put a load on a LUN."""

    name = ""

    def missing(self):
        """Why it cannot run here, or None."""
        raise NotImplementedError

    def can(self, load):
        """Whether it knows this load."""
        raise NotImplementedError

    def run(self, url, load, seconds):
        """One run; a dictionary with iops, bytes_per_second, cpu_us_per_request, latency_us."""
        raise NotImplementedError


class IscsiPerf(Client):
    """iscsi-perf of libiscsi. It reads only, and tells no latencies: the mean follows from Little's
    law (depth / IOPS), percentiles are unknown."""

    name = "iscsi-perf"
    PROGRAM = "iscsi-perf"
    RATE = re.compile(r"iops average (\d+) \((\d+) MB/s\)")
    BLOCK_BYTES = 512

    def missing(self):
        if shutil.which(self.PROGRAM) is None:
            return "iscsi-perf is not installed (Debian package libiscsi-bin)"
        return None

    def can(self, load):
        return load.is_read

    def run(self, url, load, seconds):
        command = [self.PROGRAM, "-m", str(load.depth), "-t", str(seconds), "-b",
                   str(load.block_bytes // self.BLOCK_BYTES)]
        if load.is_random:
            command.append("-r")
        text, cpu_s = measured([*command, url], seconds)
        rates = self.RATE.findall(text)
        if not rates or "finished" not in text:
            raise ClientError("iscsi-perf told no rate: " + text[-300:])
        iops = float(rates[-1][0])
        return {
            "iops": iops,
            "bytes_per_second": iops * load.block_bytes,
            "cpu_us_per_request": cpu_s * 1e6 / (iops * seconds),
            "latency_us": {"mean": load.depth / iops * 1e6},
        }


class Holdfast(Client):
    """holdfast bench. Digests as given: its default is CRC32C for header and data; iscsi-perf has
    none."""

    PROGRAM = "holdfast"

    def __init__(self, digests, build=None):
        self.digests = digests
        self.name = "holdfast" if digests == "never" else "holdfast, CRC32C"
        self.program = places.built(self.PROGRAM, build)

    def missing(self):
        if self.program is None:
            return "holdfast is not built: cmake --build build --target holdfast"
        return None

    def can(self, load):
        return True

    def run(self, url, load, seconds):
        command = [str(self.program), "bench", url, "--rw", load.rw, "--bs",
                   str(load.block_bytes), "--depth", str(load.depth), "--seconds", str(seconds),
                   "--header-digest", self.digests, "--data-digest", self.digests,
                   "--request-size", "128KiB", "--json"]
        text, cpu_s = measured(command, seconds)
        try:
            told = json.loads(text[text.index("{"):])
            requests = told["requests"]
        except (ValueError, KeyError) as problem:
            raise ClientError(f"holdfast told no result: {text[-300:]}") from problem
        return {
            "iops": told["iops"],
            "bytes_per_second": told["bytes_per_second"],
            "cpu_us_per_request": cpu_s * 1e6 / max(1, requests),
            "latency_us": told["latency_us"],
        }
