#!/usr/bin/env python3
"""House rules that no compiler checks: lengths, words, headers, and a goal for each test.

usage: lint.py ROOT

Prints one line for each breach, and exits with 1 if there is any.
"""

import argparse
import pathlib
import re
import sys

TOPS = ("base", "reserve", "netpath", "initiator", "watchdog", "daemon", "stress", "tests", "cmake",
        "docs", "scripts")
SUFFIXES = (".h", ".cc", ".c", ".py", ".cmake", ".sh", ".md", ".toml")
LINES_MAX = 800
COLUMNS_MAX = 100
COLUMN_LIMITED = (".h", ".cc", ".c", ".py")

# Written apart so that this file passes its own test.
WORDS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")
# Names that say nothing about what is inside.
EMPTY_NAMES = re.compile(r"(^|_)(manager|helper|helpers|util|utils|common|misc)(_|\.|$)")
TEST = re.compile(r"^\s*(TEST|TEST_F|TEST_P|TYPED_TEST)\(")


def checked_files(root):
    for top in TOPS:
        for path in sorted((root / top).rglob("*")):
            if path.is_file() and (path.suffix in SUFFIXES or path.name == "CMakeLists.txt"):
                if "__pycache__" not in path.parts and "corpus" not in path.parts:
                    yield path.relative_to(root).as_posix(), path


def line_breaches(name, lines):
    if len(lines) > LINES_MAX and not name.startswith("docs/"):
        yield f"{name}: {len(lines)} lines, at most {LINES_MAX}"
    for number, line in enumerate(lines, 1):
        if WORDS.search(line):
            yield f"{name}:{number}: '{WORDS.search(line).group(0)}' does not belong on main"
        if name.endswith(COLUMN_LIMITED) and len(line) > COLUMNS_MAX:
            yield f"{name}:{number}: {len(line)} columns, at most {COLUMNS_MAX}"
        if "\t" in line and name.endswith((".h", ".cc", ".c", ".py")):
            yield f"{name}:{number}: a tab"
        if line != line.rstrip() and not name.endswith(".md"):
            yield f"{name}:{number}: blanks at the end"


def header_breaches(name, lines):
    if not name.endswith(".h"):
        return
    if not lines or not lines[0].startswith("///"):
        yield f"{name}: a header begins with /// and what it is"
    if not any(line.strip() == "#pragma once" for line in lines):
        yield f"{name}: no #pragma once"


def comment_of_test(lines, index):
    """Comment lines right above the test at lines[index], and those its body begins with."""
    comment = []
    above = index - 1
    while above >= 0 and lines[above].lstrip().startswith("//"):
        comment.insert(0, lines[above])
        above -= 1
    inside = index
    while inside < len(lines) and "{" not in lines[inside]:
        inside += 1
    inside += 1
    while inside < len(lines) and lines[inside].lstrip().startswith("//"):
        comment.append(lines[inside])
        inside += 1
    return comment


def test_breaches(name, lines):
    if not name.endswith(".cc"):
        return
    for index, line in enumerate(lines):
        if not TEST.match(line):
            continue
        if not any(re.search(r"//+ Goal\b", c) for c in comment_of_test(lines, index)):
            yield f"{name}:{index + 1}: a test begins with // Goal:"


def breaches(root):
    for name, path in checked_files(root):
        if EMPTY_NAMES.search(path.name):
            yield f"{name}: the name says nothing"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        yield from line_breaches(name, lines)
        yield from header_breaches(name, lines)
        yield from test_breaches(name, lines)


def main():
    parser = argparse.ArgumentParser(description="house rules, checked")
    parser.add_argument("root", type=pathlib.Path)
    options = parser.parse_args()
    found = list(breaches(options.root))
    for breach in found:
        print(breach)
    count = sum(1 for _ in checked_files(options.root))
    print(f"{count} files, {len(found)} breaches")
    return 1 if found or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
