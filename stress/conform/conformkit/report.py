"""Results as a table for people and as JSON for programs."""

import collections
import json

from .player import FAIL, NOT_APPLICABLE, PASS

JSON_SCHEMA = 1
VERDICTS = (PASS, FAIL, NOT_APPLICABLE)
TEXT_MAX = 220


def counts_of(results):
    found = collections.Counter(one.verdict for one in results)
    return {verdict: found[verdict] for verdict in VERDICTS}


def row_verdicts(results):
    """Row: its verdicts, over the cases that name it and the general rules that were broken."""
    rows = collections.defaultdict(collections.Counter)
    for one in results:
        for row in one.case.rows:
            rows[row][one.verdict] += 1
        for row in {breach.row for breach in one.breaches} - set(one.case.rows):
            rows[row][FAIL] += 1
    return dict(sorted(rows.items()))


def as_json(results, initiator, command):
    return json.dumps({
        "schema": JSON_SCHEMA, "initiator": initiator.name, "version": initiator.version(),
        "command": command,
        "counts": counts_of(results), "rows": row_verdicts(results),
        "cases": [one.as_dict() for one in results]}, indent=1) + "\n"


def line(result):
    """One line for the terminal."""
    text = f"{result.verdict:<15} {result.case.name:<44} {result.seconds:6.2f} s"
    return text + (f"  {result.reason}" if result.reason else "")


def summary(results):
    return ", ".join(f"{count} {verdict}" for verdict, count in counts_of(results).items())


def cell(text):
    text = " ".join(text.split()).replace("|", "\\|")
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX - 3] + "..."


def rules_table(results):
    """General rules that were broken: how often, and an example."""
    found = collections.defaultdict(list)
    for one in results:
        for breach in one.breaches:
            found[(breach.row, breach.rule)].append((one.case.name, breach.text))
    if not found:
        return ["No general rule was broken in any case.", ""]
    lines = ["## General rules that were broken", "", "| row | rule | cases | for example |",
             "|---|---|---|---|"]
    for (row, rule), places in sorted(found.items()):
        cases = {name for name, _ in places}
        lines.append(f"| {row} | {rule} | {len(cases)} | {places[0][0]}: {cell(places[0][1])} |")
    return [*lines, ""]


def as_markdown(results, initiator, command):
    counts = counts_of(results)
    lines = [f"# Conformance of {initiator.name}", "",
             f"{initiator.about}: {initiator.version()}. Made by `{command}`; what the verdicts "
             "mean: [conform.md](../conform.md).", "",
             "| cases | " + " | ".join(VERDICTS) + " |", "|---|---|---|---|",
             f"| {len(results)} | " + " | ".join(str(counts[one]) for one in VERDICTS) + " |", ""]
    failed = [one for one in results if one.verdict == FAIL]
    if failed:
        lines += ["## What failed", "", "| case | rows | asked | seen |", "|---|---|---|---|"]
        lines += [f"| {one.case.name} | {' '.join(one.case.rows)} | {cell(one.case.about)} | "
                  f"{cell(one.reason)} |" for one in failed]
        lines.append("")
    lines += rules_table(results)
    lines += ["## Rows", "", "A row fails when a case that names it fails, or when a general rule "
              "that names it is broken in any case.", "",
              "| row | " + " | ".join(VERDICTS) + " |", "|---|---|---|---|"]
    lines += [f"| {row} | " + " | ".join(str(found[one]) for one in VERDICTS) + " |"
              for row, found in row_verdicts(results).items()]
    lines += ["", "## Cases", "", "| case | rows | verdict | why |", "|---|---|---|---|"]
    lines += [f"| {one.case.name} | {' '.join(one.case.rows)} | {one.verdict} | "
              f"{cell(one.reason)} |" for one in results]
    return "\n".join(lines) + "\n"
