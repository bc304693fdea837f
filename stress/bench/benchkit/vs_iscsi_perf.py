"""vs-iscsi-perf: holdfast against iscsi-perf on the same targets, in alternating runs."""

import sys

from benchkit import clients, host, loads, numbers, picture, targets

NAME = "vs-iscsi-perf"
SUMMARY = "holdfast against iscsi-perf on tgt and on our RAM target: IOPS, latency, client CPU"
BASELINE = "iscsi-perf"
OURS = "holdfast"


def all_clients(build):
    return [clients.IscsiPerf(), clients.Holdfast("never", build),
            clients.Holdfast("prefer", build)]


def present(wanted):
    for client in wanted:
        reason = client.missing()
        if reason is None:
            yield client
        else:
            print(f"without {client.name}: {reason}", file=sys.stderr)


def measure(options):
    """{target: {load: {client: medians}}}; each round runs every client once, so that what the
    machine does beside hits all of them."""
    able = list(present(all_clients(options.build)))
    results = {}
    for kind in options.targets:
        target = targets.KINDS[kind](options.port)
        if kind == "ram":
            target = targets.Ram(options.port, build=options.build)
        with target:
            results[kind] = {load.name: rounds(target, load, able, options)
                             for load in loads.RANDOM + loads.SEQUENTIAL}
    return {"name": NAME, "host": host.facts(), "seconds": options.seconds,
            "runs": options.runs, "results": results}


def rounds(target, load, able, options):
    runs = {client.name: [] for client in able if client.can(load)}
    for number in range(options.runs):
        for client in able:
            if not client.can(load):
                continue
            try:
                run = client.run(target.url, load, options.seconds)
            except clients.ClientError as problem:
                print(f"{client.name}, {load.name}: {problem}", file=sys.stderr)
                continue
            runs[client.name].append(run)
            print(f"{target.name:4} {load.name:26} {number + 1}/{options.runs} {client.name:17}"
                  f"{run['iops']:10,.0f} IOPS {run['cpu_us_per_request']:7.2f} us CPU",
                  file=sys.stderr)
    return {name: numbers.merged(several) for name, several in runs.items() if several}


def cell(value, form="{:,.0f}"):
    return "-" if value is None else form.format(value)


def row(load, name, result, baseline):
    latency = result["latency_us"]
    mib = result["bytes_per_second"] / (1 << 20)
    iops = cell(numbers.ratio(result, baseline, "iops"), "{:.2f}")
    cpu = cell(numbers.ratio(result, baseline, "cpu_us_per_request"), "{:.2f}")
    return (f"| {load} | {name} | {cell(result['iops'])} | {cell(mib)} | "
            f"{cell(latency.get('mean'))} | {cell(latency.get('p50'))} | "
            f"{cell(latency.get('p99'))} | {result['cpu_us_per_request']:.2f} | {iops} | {cpu} |")


def table(result):
    """The report as Markdown."""
    facts = result["host"]
    lines = []
    for kind, by_load in result["results"].items():
        lines += [f"### Target: {targets.KINDS[kind].__doc__.split('.')[0]}", "",
                  "| load | client | IOPS | MiB/s | mean us | p50 us | p99 us | client CPU us | "
                  "IOPS ratio | CPU ratio |", "|---|---|---|---|---|---|---|---|---|---|"]
        for load, by_client in by_load.items():
            baseline = by_client.get(BASELINE)
            lines += [row(load, name, told, baseline) for name, told in by_client.items()]
        lines.append("")
    lines.append(
        f"Medians of {result['runs']} alternating runs of {result['seconds']} s each. "
        f"{facts['cpu']}, {facts['cpus']} CPUs, Linux {facts['kernel']}, load average "
        f"{facts['load_average']} at the end. Ratios are to {BASELINE}: it does not write, so "
        "writes have none, and it tells no percentiles (its mean is depth / IOPS).")
    return "\n".join(lines) + "\n"


def pictures(result):
    """{file name: SVG}."""
    names = [client.name for client in all_clients(None)]
    made = {}
    for key, title, unit in (("iops", "Requests per second", "more is better"),
                             ("cpu_us_per_request", "Client CPU per request",
                              "microseconds, less is better")):
        for kind, by_load in result["results"].items():
            groups = [(load, {name: told[key] for name, told in by_client.items()})
                      for load, by_client in by_load.items()]
            made[f"{NAME}-{kind}-{key.split('_')[0]}.svg"] = picture.bars(
                f"{title}, target {kind}", unit, groups, names)
    return made
