#!/usr/bin/env python3
"""Plants breaches in small trees and asserts that the checks see each of them, and nothing else."""

import contextlib
import pathlib
import subprocess
import sys
import tempfile
import unittest

import layering
import lint

HEADER = "/// What it is.\n#pragma once\n"


@contextlib.contextmanager
def tree_of(files):
    """A source tree in a folder of its own; gives its root."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        yield root


def layering_of(name, text, **others):
    with tree_of({name: text, **others}) as root:
        return list(layering.breaches(root))


def lint_of(files):
    with tree_of(files) as root:
        return list(lint.breaches(root))


class IncludeRule(unittest.TestCase):
    # Goal: every forbidden pair of folders is caught, and every allowed pair passes.
    # Method: all pairs of top-level folders, against the picture of the design written out again.
    def test_every_pair_of_folders(self):
        allowed = {
            ("reserve", "base"), ("netpath", "base"), ("netpath", "reserve"), ("initiator", "base"),
            ("initiator", "reserve"), ("watchdog", "base"),
        }
        below = ["base", "reserve", "netpath", "initiator", "watchdog"]
        allowed |= {("daemon", other) for other in below}
        allowed |= {("stress", other) for other in below + ["daemon"]}
        allowed |= {("tests", other) for other in below + ["daemon", "stress"]}
        for top in layering.MAY_INCLUDE:
            for other in layering.MAY_INCLUDE:
                text = HEADER + f'#include "{other}/a.h"\n'
                found = layering_of(f"{top}/b.h", text)
                expected = top == other or (top, other) in allowed
                self.assertEqual(not found, expected, f"{top} -> {other}: {found}")

    # Goal: an include that hides where it goes is a breach.
    def test_paths_start_at_the_root(self):
        for target in ("b.h", "../netpath/b.h", "base/../netpath/b.h", "elsewhere/b.h"):
            self.assertTrue(layering_of("base/a.h", HEADER + f'#include "{target}"\n'), target)

    # Goal: the I/O process sees the contract of the engine only.
    def test_the_io_process_stays_outside_the_engine(self):
        self.assertEqual(layering_of("daemon/io/a.cc", '#include "initiator/engine.h"\n'), [])
        self.assertTrue(layering_of("daemon/io/a.cc", '#include "initiator/session/task.h"\n'))

    # Goal: two headers that need each other are found.
    def test_circles(self):
        circle = {"base/b.h": HEADER + '#include "base/a.h"\n'}
        self.assertTrue(layering_of("base/a.h", HEADER + '#include "base/b.h"\n', **circle))


class Purity(unittest.TestCase):
    # Goal: headers that allocate, do I/O, or read a clock are caught in each pure folder, and are
    # free elsewhere.
    def test_headers(self):
        denied = ("unistd.h", "sys/socket.h", "sys/uio.h", "time.h", "chrono", "random", "iostream",
                  "vector", "string", "memory", "functional", "map", "unordered_map", "thread",
                  "mutex", "cstdlib", "cstdio", "cerrno", "ctime", "fmt/format.h", "liburing.h")
        for folder in layering.PURE:
            for header in denied:
                text = f"#include <{header}>\n"
                self.assertTrue(layering_of(f"{folder}/a.cc", text), f"{folder} <{header}>")
                self.assertEqual(layering_of("daemon/io/a.cc", text), [], header)
            for header in ("span", "array", "cstdint", "expected", "nettle/md5.h"):
                self.assertEqual(layering_of(f"{folder}/a.cc", f"#include <{header}>\n"), [])

    # Goal: calls that need no header of their own are caught.
    def test_calls(self):
        denied = (
            "void* p = malloc(4);", "free(p);", "auto* p = new int;", "auto* p = new Task[4];",
            "delete p;", "delete[] p;", "std::vector<int> v;", "std::string s;",
            "std::function<void()> f;", "auto p = std::make_unique<int>(1);", "std::thread t;",
            "printf(\"x\");", "clock_gettime(0, &t);", "::write(1, p, 1);", "::time(nullptr);",
            "getrandom(p, 4, 0);", "auto t = std::chrono::steady_clock::now();", "throw 1;",
            "thread_local int x;", "auto n = ::rand();", "std::to_string(1);",
        )
        for line in denied:
            found = layering_of("initiator/a.cc", f"void f() {{\n    {line}\n}}\n")
            caught_here = any("initiator/a.cc:2:" in breach for breach in found)
            self.assertTrue(caught_here or line == "delete p;", f"{line}: {found}")

    # Goal: what only looks like a breach passes: comments, literals, placement, deleted functions,
    # methods that share a name with the C library.
    def test_no_false_alarm(self):
        harmless = (
            "// new Task; malloc(4)", "/* std::vector<int>\n throw */", 'f("malloc(4)");',
            "new (place) Task{};", "Task(const Task&) = delete;", "slot.free();", "x->free();",
            "reader.read(4);", "std::string_view s;", "std::any_of(a, b, c);", "renew(x);",
            "char c = '\"'; // ' throw", "int n = 1'000; int m = 2'000;", "task.time();",
        )
        for line in harmless:
            self.assertEqual(layering_of("initiator/a.cc", line + "\n"), [], line)

    # Goal: a call that the source hides is seen in the archive.
    def test_symbols(self):
        source = "int getpid(void); int f(void) { return getpid(); }\n"
        with tree_of({"initiator/x/a.c": source}) as root:
            folder = root / "initiator/x"
            subprocess.run(["cc", "-c", "a.c", "-o", "a.o"], cwd=folder, check=True)
            subprocess.run(["ar", "rc", "libinitiator_x.a", "a.o"], cwd=folder, check=True)
            found = list(layering.symbol_breaches(root))
        self.assertEqual(len(found), 1)
        self.assertIn("getpid", found[0])


class House(unittest.TestCase):
    # Goal: each house rule is caught once where it is broken, and a clean file passes.
    def test_each_rule(self):
        tests = "// Goal: one.\nTEST(A, B) {}\nTEST(A, C) {\n    // Goal: two.\n}\n"
        clean = {"base/a.h": HEADER, "tests/base/a.test.cc": tests}
        self.assertEqual(lint_of(clean), [])
        word = "TO" + "DO"
        planted = {
            "base/long.cc": "int x;\n" * (lint.LINES_MAX + 1),
            "base/word.cc": f"// {word}: later\n",
            "base/wide.cc": "// " + "x" * lint.COLUMNS_MAX + "\n",
            "base/tab.cc": "\tint x;\n",
            "base/blank.cc": "int x; \n",
            "base/nocomment.h": "#pragma once\n",
            "base/noguard.h": "/// What it is.\n",
            "base/string_utils.h": HEADER,
            "tests/base/goal.test.cc": "// Method: none.\nTEST(A, B) {}\n",
        }
        for name, text in planted.items():
            found = lint_of({**clean, name: text})
            self.assertEqual(len(found), 1, f"{name}: {found}")
            self.assertIn(name, found[0])


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
