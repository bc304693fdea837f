"""On what was measured."""

import os
import pathlib
import platform


def facts():
    cpu = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    return {"cpu": cpu, "cpus": os.cpu_count(), "kernel": platform.release(),
            "load_average": round(os.getloadavg()[0], 1)}
