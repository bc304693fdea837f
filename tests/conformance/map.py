#!/usr/bin/env python3
"""Which test shows which requirement: keeps docs/conformance.md and checks it against the tree.

usage: map.py --write            write the generated part of docs/conformance.md
       map.py --check [--build DIR]
       map.py --missing          list the gate's rows that have neither test nor exemption

A test names the rows it shows in a comment `// Rows: ID, ID`, beside its `// Goal:`, in front of
the test or at the head of its body. rows.tsv holds the rows: id, level, kinds of check, gate,
title, for a row that does not apply the reason, and for one that another row covers that row.

--check fails when
  - a row of the gate has neither a test nor a reason,
  - an id of ids.txt has no row, or its row has neither a test nor a reason,
  - a comment names a row that does not exist,
  - a test named here is not among the tests that ctest has in DIR,
  - docs/conformance.md is not what --write would write.
"""

import argparse
import collections
import csv
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROWS = "tests/conformance/rows.tsv"
IDS = "tests/conformance/ids.txt"
PAGE = "docs/conformance.md"
MARK = "<!-- Below this line: tests/conformance/map.py --write -->"

# Areas by the letters of their ids, in the order of the page.
AREAS = (
    ("PDU format", ("PDU",)),
    ("Digests", ("DIG",)),
    ("Names and identifiers", ("NAM", "SID")),
    ("Login", ("LOG",)),
    ("Text negotiation", ("NEG", "TXT")),
    ("Keys", ("KEY",)),
    ("CHAP", ("CHP",)),
    ("Discovery", ("DSC",)),
    ("Numbering", ("SEQ", "STA")),
    ("Writes", ("WRI", "R2T")),
    ("Reads, status, residuals", ("RED", "RES", "RSP", "TSK")),
    ("Task management", ("TMF",)),
    ("NOP, async messages, rejects, logout", ("NOP", "ASY", "REJ", "LGO")),
    ("Error recovery level 1", ("ER1",)),
    ("Error recovery level 2", ("ER2",)),
    ("Session recovery", ("SER",)),
    ("State machines", ("STM",)),
    ("Several connections", ("MCS",)),
    ("RFC 7144", ("X44",)),
    ("iSER", ("ISR",)),
    ("Security", ("SEC",)),
    ("Defects of other initiators", ("BUG",)),
)

Row = collections.namedtuple("Row", "id level checks gate title exemption like")
Shown = collections.namedtuple("Shown", "row test where")

CC_TEST = re.compile(r"^\s*(?:TEST|TEST_F|TEST_P|TYPED_TEST)\(\s*(\w+)\s*,\s*(\w+)\s*\)")
CC_TEST_BEGIN = re.compile(r"^\s*(?:TEST|TEST_F|TEST_P|TYPED_TEST)\(")
PY_TEST = re.compile(r"^\s*def test_(\w+)\(")
ROWS_TAG = re.compile(r"^\s*(?://+|#)\s*Rows:\s*(.*)$")
COMMENT = re.compile(r"^\s*(?://+|#)\s?(.*)$")
ROW_ID = re.compile(r"^[A-Z0-9]{2,3}-\d\d$")


def read_rows(root):
    with open(root / ROWS, encoding="utf-8", newline="") as file:
        return [Row(**row) for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]


def read_ids(root):
    """Every id that must have a row."""
    ids = []
    for line in (root / IDS).read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        first, last = line.split()
        area, begin = first.split("-")
        ids += [f"{area}-{number:02}" for number in range(int(begin), int(last.split("-")[1]) + 1)]
    return ids


def area_of(row_id):
    return next(name for name, prefixes in AREAS if row_id.split("-")[0] in prefixes)


def tags_in(lines):
    """(index of line, ids) of each Rows comment; one that ends in a comma goes on below."""
    index = 0
    while index < len(lines):
        match = ROWS_TAG.match(lines[index])
        if not match:
            index += 1
            continue
        begin, text = index, match.group(1).strip()
        while text.endswith(",") and index + 1 < len(lines) and COMMENT.match(lines[index + 1]):
            index += 1
            text += " " + COMMENT.match(lines[index]).group(1).strip()
        yield begin, [part.strip(" .") for part in text.split(",") if part.strip(" .")]
        index += 1


def cc_test_at(lines, index):
    """The name of the test that begins at lines[index], which may be broken over lines."""
    match = CC_TEST.match(" ".join(line.strip() for line in lines[index:index + 3]))
    return f"{match.group(1)}.{match.group(2)}" if match else None


def test_of_tag(name, lines, index):
    """The test that a comment at lines[index] belongs to, or None."""
    if name.endswith(".py"):
        pattern, read = PY_TEST, lambda at: f"{pathlib.PurePath(name).stem}." + PY_TEST.match(
            lines[at]).group(1)
    else:
        pattern, read = CC_TEST_BEGIN, lambda at: cc_test_at(lines, at)
    below = index
    while below < len(lines) and COMMENT.match(lines[below]):
        below += 1
    if below < len(lines) and pattern.match(lines[below]):
        return read(below)
    above = index
    while above >= 0 and not pattern.match(lines[above]):
        if lines[above].startswith("}"):
            break
        above -= 1
    if above >= 0 and pattern.match(lines[above]):
        return read(above)
    if "fuzz" in name:
        return f"fuzz.{pathlib.PurePath(name).stem}"
    return None


def read_tests(root):
    """What the tests say they show, and the comments that belong to no test."""
    shown, lost = [], []
    for path in sorted((root / "tests").rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix not in (".cc", ".py") or name.startswith("tests/conformance/"):
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        for index, ids in tags_in(lines):
            where = f"{name}:{index + 1}"
            test = test_of_tag(name, lines, index)
            if test is None:
                lost.append(f"{where}: this Rows comment belongs to no test")
                continue
            shown.extend(Shown(row, test, where) for row in ids)
    return shown, lost


def tests_of(shown):
    found = collections.defaultdict(list)
    for one in shown:
        if one.test not in found[one.row]:
            found[one.row].append(one.test)
    return found


def answer_of(row, found, files):
    """What stands beside the row; each test leads to its file."""
    tests = ", ".join(f"[`{test}`](../{files[test]})" for test in sorted(found[row.id]))
    if row.exemption:
        return f"does not apply: {row.exemption}" + (f"; see also {tests}" if tests else "")
    if tests:
        return tests
    if found[row.like]:
        return f"like {row.like}"
    return f"not yet: {area_of(row.id).lower()}"


def generated(rows, shown):
    """The generated part of the page."""
    found = tests_of(shown)
    files = {one.test: one.where.rpartition(":")[0] for one in shown}
    lines = ["", "| area | rows | with tests | do not apply | not yet | of these in the gate |",
             "|---|---|---|---|---|---|"]
    total = collections.Counter()
    for name, prefixes in AREAS:
        here = [row for row in rows if row.id.split("-")[0] in prefixes]
        count = collections.Counter()
        for row in here:
            tested, exempt = bool(found[row.id] or found[row.like]), bool(row.exemption)
            count["rows"] += 1
            count["tested"] += tested and not exempt
            count["exempt"] += exempt
            count["open"] += not tested and not exempt
            count["open in gate"] += not tested and not exempt and row.gate == "yes"
        total += count
        lines.append(f"| {name} | {count['rows']} | {count['tested']} | {count['exempt']} "
                     f"| {count['open']} | {count['open in gate']} |")
    lines.append(f"| **all** | {total['rows']} | {total['tested']} | {total['exempt']} "
                 f"| {total['open']} | {total['open in gate']} |")
    for name, prefixes in AREAS:
        lines += ["", f"## {name}", "", "| row | level | gate | requirement | shown by |",
                  "|---|---|---|---|---|"]
        for row in rows:
            if row.id.split("-")[0] in prefixes:
                gate = "gate" if row.gate == "yes" else ""
                lines.append(f"| {row.id} | {row.level} | {gate} | {row.title} "
                             f"| {answer_of(row, found, files)} |")
    return "\n".join(lines) + "\n"


def page_with(root, text):
    """The whole page: what people wrote above the mark, and the generated part."""
    page = (root / PAGE).read_text(encoding="utf-8")
    head, mark, _ = page.partition(MARK)
    if not mark:
        raise SystemExit(f"{PAGE} has lost its line: {MARK}")
    return head + mark + "\n" + text


def built_tests(build):
    """The names of all tests that ctest has, and whether all test programs were built."""
    listing = subprocess.run(["ctest", "--test-dir", str(build), "--show-only=json-v1"],
                             stdout=subprocess.PIPE, text=True, check=True)
    names = [test["name"] for test in json.loads(listing.stdout)["tests"]]
    return names, not any(name.endswith("_NOT_BUILT") for name in names)


def is_built(test, names):
    suite, _, case = test.partition(".")
    if suite == "fuzz":
        return f"fuzz.{case}" in names or f"fuzz_replay.{case}" in names
    # Parameters and types add parts: Instance/Suite/0.Case/Parameter.
    pattern = re.compile(rf"^(\w+/)?{suite}(/\w+)?\.{case}(/.*)?$")
    return any(pattern.match(name) for name in names)


def complaints(root, build=None):
    """All that is wrong, a line each."""
    rows = read_rows(root)
    known = {row.id for row in rows}
    wanted = set(read_ids(root))
    shown, found = read_tests(root)
    for one in shown:
        if one.row not in known:
            found.append(f"{one.where}: there is no row '{one.row}'")
    found += [f"{ROWS}: there is no row '{one}'" for one in sorted(wanted - known)]
    tested = tests_of(shown)
    for row in rows:
        if row.gate == "yes" and not tested[row.id] and not row.exemption:
            found.append(f"{row.id} ({row.title}): in the gate, with neither test nor reason")
        is_open = not tested[row.id] and not row.exemption and not tested[row.like]
        if row.id in wanted and is_open and row.gate != "yes":
            found.append(f"{row.id} ({row.title}): neither test nor reason")
        is_whole = ROW_ID.match(row.id) and row.title and row.gate in ("yes", "no")
        if not is_whole or (row.like and row.like not in known):
            found.append(f"{ROWS}: '{row.id}' is not a whole row")
    if build is not None:
        names, complete = built_tests(build)
        for one in sorted(set(shown), key=lambda s: s.where):
            if complete and not is_built(one.test, names):
                found.append(f"{one.where}: ctest has no test '{one.test}'")
        if not complete:
            print("some test programs are not built: names of tests are not checked")
    if (root / PAGE).read_text(encoding="utf-8") != page_with(root, generated(rows, shown)):
        found.append(f"{PAGE} is stale: run tests/conformance/map.py --write")
    return found


def main():
    parser = argparse.ArgumentParser(description="the conformance map")
    parser.add_argument("--root", type=pathlib.Path, default=ROOT)
    parser.add_argument("--build", type=pathlib.Path, help="a build folder, for --check")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true")
    what.add_argument("--check", action="store_true")
    what.add_argument("--missing", action="store_true")
    options = parser.parse_args()
    rows = read_rows(options.root)
    shown, _ = read_tests(options.root)
    if options.write:
        page = page_with(options.root, generated(rows, shown))
        (options.root / PAGE).write_text(page, encoding="utf-8")
        return 0
    if options.missing:
        tested = tests_of(shown)
        for row in rows:
            if row.gate == "yes" and not tested[row.id] and not row.exemption:
                print(f"{row.id}\t{row.checks}\t{row.title}")
        return 0
    found = complaints(options.root, options.build)
    for complaint in found:
        print(complaint)
    tested = sum(1 for tests in tests_of(shown).values() if tests)
    print(f"{len(rows)} rows, {tested} with tests, {len(found)} complaints")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
