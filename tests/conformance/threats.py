#!/usr/bin/env python3
"""docs/threat-model.md against the tree: threats.py [ROOT]

Fails when a row of its tables names a test that is not there, or names none and does not say
"nothing" or where in the rig it is shown."""

import pathlib
import re
import sys

PAGE = "docs/threat-model.md"
CC_TEST = re.compile(r"^\s*(?:TEST|TEST_F|TEST_P)\(\s*(\w+)\s*,\s*(\w+)\s*\)", re.M)
PY_TEST = re.compile(r"^ +def test_(\w+)\(", re.M)
PY_FILE = re.compile(r"^holdfast_python_tests\((\w+)", re.M)
FUZZER = re.compile(r"holdfast_fuzzer\((\w+)")
NAME = re.compile(r"`([\w]+\.[\w]+)`")
ROW = re.compile(r"^\|(.+)\|\s*$")
ARGUED = ("nothing:", "in the rig")


def tests_of(root):
    """Names as ctest has them, of what is registered there."""
    names = set()
    for path in (root / "tests").rglob("*.cc"):
        names |= {".".join(found) for found in CC_TEST.findall(path.read_text(encoding="utf-8"))}
    for path in (root / "tests").rglob("*.cmake"):
        text = path.read_text(encoding="utf-8")
        names |= {f"fuzz_replay.{name}" for name in FUZZER.findall(text)}
    lists = root / "tests/system/CMakeLists.txt"
    for file in PY_FILE.findall(lists.read_text(encoding="utf-8")):
        text = (root / f"tests/system/{file}.py").read_text(encoding="utf-8")
        names |= {f"{file}.{case}" for case in PY_TEST.findall(text)}
    return names


def complaints(page, names):
    """One sentence for each row that is wrong."""
    found = []
    for number, line in enumerate(page.splitlines(), start=1):
        row = ROW.match(line)
        if not row or set(line) <= set("|- "):
            continue
        cells = [cell.strip() for cell in row.group(1).split("|")]
        if cells[-1] == "shown by":
            continue
        shown = NAME.findall(cells[-1])
        if not shown and not any(word in cells[-2] for word in ARGUED):
            found.append(f"line {number}: nothing shows this row")
        found += [f"line {number}: there is no test {name}" for name in shown if name not in names]
    return found


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2])
    page = (root / PAGE).read_text(encoding="utf-8")
    names = tests_of(root)
    found = complaints(page, names)
    # The check itself: a name that is not there, and a row without one, must be noticed.
    planted = "| a | b | c | `No.SuchTest` |\n| a | b | c | |\n| a | b | nothing: so it is | |\n"
    if len(complaints(planted, names)) != 2:
        found.append("planted mistakes were not noticed")
    for one in found:
        print(f"{PAGE}: {one}")
    print(f"{len(NAME.findall(page))} tests named, {len(names)} in the tree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
