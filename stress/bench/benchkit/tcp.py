"""tcp: the reserved path, our own TCP over AF_XDP, against the kernel's TCP on the same links."""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from benchkit import host, link, places, targets

NAME = "tcp"
SUMMARY = "path = xdp against path = kernel: veth pair, loss, delay; throughput and client CPU"
PATHS = ("kernel", "xdp")
# Name, delay-line's words, and the loads: workload, block size, depth.
LINKS = (
    ("veth", {}, (("read", "128KiB", 32), ("write", "128KiB", 32), ("randread", "4KiB", 32),
                  ("randread", "4KiB", 1))),
    ("20 ms, 1 % lost", {"delay_us": 10_000, "loss_ppm": 10_000},
     (("read", "128KiB", 32), ("write", "128KiB", 32))),
    ("20 ms, 1 % lost, kernels: bbr",
     {"delay_us": 10_000, "loss_ppm": 10_000, "congestion": "bbr"},
     (("read", "128KiB", 32), ("write", "128KiB", 32))),
    ("20 ms, 1 % lost, 1 % late", {"delay_us": 10_000, "loss_ppm": 10_000, "reorder_ppm": 10_000},
     (("read", "128KiB", 32), ("write", "128KiB", 32))),
    ("100 ms", {"delay_us": 50_000}, (("read", "128KiB", 32), ("write", "128KiB", 32))),
)
# The kernel finds the windows of a long link by itself; ours are planned.
WINDOWS = ("--set", "receive_buffer=8MiB", "--set", "send_buffer=8MiB")
LONG_LINK_SECONDS = 3  # Slow start and loss want more rounds of the link than a bare pair.


def program(name, options):
    found = places.built(name, options.build)
    if found is None:
        raise targets.TargetError(f"{name} is not built")
    return found


def one(command, link_made, url, load, path, seconds, is_long):
    workload, block, depth = load
    windows = WINDOWS if is_long and path == "xdp" else ()
    ended = subprocess.run(
        [*link_made.ours, str(command), "bench", url, "--rw", workload, "--bs", block, "--depth",
         str(depth), "--seconds", str(seconds), "--set", f"path={path}", "--json",
         *windows],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode != 0:
        raise targets.TargetError(ended.stderr.strip())
    return json.loads(ended.stdout)


def median(runs):
    kept = {key: statistics.median(run[key] for run in runs)
            for key in ("iops", "bytes_per_second", "cpu_us_per_request")}
    kept["runs"] = [run["bytes_per_second"] for run in runs]
    return kept


def chosen(options):
    """(name with the MTU, MTU, words, loads) of each link that was asked for."""
    fronts = tuple(filter(None, (options.links or "").split(","))) or ("",)
    return [(f"{name}, MTU {mtu}", mtu, words, loads)
            for mtu in options.mtu.split(",") for name, words, loads in LINKS
            if name.startswith(fronts)]


def measure(options):
    """{link: {load: {path: medians}}}, in alternating runs."""
    if link.missing():
        raise targets.TargetError(link.missing())
    holdfast = program("holdfast", options)
    results = {}
    for name, mtu, words, loads in chosen(options):
        seconds = options.seconds * (LONG_LINK_SECONDS if words else 1)
        with tempfile.TemporaryDirectory() as folder, \
                link.made(program("delay-line", options),
                          **{"congestion": "cubic", "mtu": mtu, **words}) as made, \
                link.target_on(made, program("holdfast-target", options),
                               pathlib.Path(folder) / "target.log", "--lun", "size=1G") as url:
            results[name] = {}
            for load in loads:
                runs = {path: [] for path in PATHS}
                for _ in range(options.runs):
                    for path in PATHS:
                        run = one(holdfast, made, url, load, path, seconds, bool(words))
                        runs[path].append(run)
                        print(f"{name:38} {load[0]:9} {load[1]:7} depth {load[2]:2} {path:7}"
                              f"{run['bytes_per_second'] / 1e6:9.1f} MB/s "
                              f"{run['cpu_us_per_request']:8.1f} us CPU", file=sys.stderr)
                results[name][" ".join(map(str, load))] = {
                    path: median(several) for path, several in runs.items()}
    return {"name": NAME, "host": host.facts(), "seconds": options.seconds,
            "runs": options.runs, "results": results}


def table(result):
    """The report as Markdown."""
    lines = ["Both ends without checksum and segmentation offloads, copy mode; on long links xdp",
             "has windows of 8 MiB. The kernels' congestion control is cubic unless the link says",
             "otherwise.", "",
             "| link | load | kernel MB/s | xdp MB/s | ratio | kernel CPU | xdp CPU | ratio |",
             "|---|---|---|---|---|---|---|---|"]
    for name, loads in result["results"].items():
        for load, paths in loads.items():
            kernel, ours = (paths[path] for path in PATHS)
            speed = ours["bytes_per_second"] / kernel["bytes_per_second"]
            cost = ours["cpu_us_per_request"] / kernel["cpu_us_per_request"]
            lines.append(
                f"| {name} | {load} | {kernel['bytes_per_second'] / 1e6:.1f} | "
                f"{ours['bytes_per_second'] / 1e6:.1f} | {speed:.2f} | "
                f"{kernel['cpu_us_per_request']:.1f} | {ours['cpu_us_per_request']:.1f} | "
                f"{cost:.2f} |")
    return "\n".join(lines) + "\n"


def pictures(_result):
    return {}
