"""On what was measured."""

import contextlib
import os
import pathlib
import platform


AUTOGROUP = pathlib.Path("/proc/self/autogroup")
SHARE = "-15"


def claim_cpu():
    """Gives this run and its children the larger share of the CPUs, where the kernel groups tasks
    by session and lets us (root): what else the machine does then disturbs less."""
    with contextlib.suppress(OSError):  # already the leader of a session
        os.setsid()
    with contextlib.suppress(OSError):
        AUTOGROUP.write_text(SHARE)


def facts():
    cpu = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    return {"cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release(),
            "load_average": round(os.getloadavg()[0], 1)}
