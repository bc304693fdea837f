"""target-cost: CPU that a target spends per request, to know that it is not the bottleneck."""

import sys

from benchkit import clients, host, loads, numbers, picture, targets

NAME = "target-cost"
SUMMARY = "CPU per request of our RAM target against tgt, under iscsi-perf"
LOADS = (loads.Load("randread", 4096, 1), loads.Load("randread", 4096, 32),
         loads.Load("read", 128 << 10, 32))


def measure(options):
    client = clients.IscsiPerf()
    if client.missing():
        raise clients.ClientError(client.missing())
    runs = {load.name: {kind: [] for kind in options.targets} for load in LOADS}
    made = {"ram": lambda: targets.Ram(options.port, build=options.build),
            "tgt": lambda: targets.Tgt(options.port)}
    for number in range(options.runs):
        for kind in options.targets:
            with made[kind]() as target:
                for load in LOADS:
                    before = target.cpu_seconds()
                    run = client.run(target.url, load, options.seconds)
                    spent = target.cpu_seconds() - before
                    run["target_cpu_us_per_request"] = spent * 1e6 / (run["iops"] * options.seconds)
                    runs[load.name][kind].append(run)
                    print(f"{kind:4} {load.name:26} {number + 1}/{options.runs}"
                          f"{run['iops']:10,.0f} IOPS "
                          f"{run['target_cpu_us_per_request']:7.2f} us target CPU",
                          file=sys.stderr)
    results = {load: {kind: numbers.merged(several) for kind, several in by_kind.items()}
               for load, by_kind in runs.items()}
    return {"name": NAME, "host": host.facts(), "seconds": options.seconds, "runs": options.runs,
            "results": results}


def table(result):
    facts = result["host"]
    lines = ["| load | target | IOPS | target CPU us/request | CPU ratio to tgt |",
             "|---|---|---|---|---|"]
    for load, by_kind in result["results"].items():
        for kind, told in by_kind.items():
            share = numbers.ratio(told, by_kind.get("tgt"), "target_cpu_us_per_request")
            lines.append(f"| {load} | {kind} | {told['iops']:,.0f} | "
                         f"{told['target_cpu_us_per_request']:.2f} | "
                         f"{'-' if share is None else f'{share:.2f}'} |")
    lines += ["", f"Medians of {result['runs']} runs of {result['seconds']} s each, the targets in "
              f"turn. {facts['cpu']}, {facts['cpus']} CPUs, Linux {facts['kernel']}, load average "
              f"{facts['load_average']} at the end."]
    return "\n".join(lines) + "\n"


def pictures(result):
    groups = [(load, {kind: told["target_cpu_us_per_request"] for kind, told in by_kind.items()})
              for load, by_kind in result["results"].items()]
    return {f"{NAME}.svg": picture.bars("Target CPU per request", "microseconds, less is better",
                                        groups, ["ram", "tgt"])}
