#!/usr/bin/env python3
"""Runs the tests of one name in one file: run_case.py FILE CASE. Exit code 77: all were skipped."""

import importlib
import pathlib
import sys
import unittest

SKIPPED = 77

# The reader and the judge of recorded connections live with the conformance suite.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "stress" / "conform"))


def cases(suite):
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from cases(one)
        else:
            yield one


def main():
    module = importlib.import_module(sys.argv[1])
    wanted = f"test_{sys.argv[2]}"
    everything = unittest.defaultTestLoader.loadTestsFromModule(module)
    suite = unittest.TestSuite(
        one for one in cases(everything) if one.id().rsplit(".", 1)[-1] == wanted)
    if suite.countTestCases() == 0:
        print(f"{sys.argv[1]}.py has no {wanted}")
        return 1
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if result.wasSuccessful() and len(result.skipped) == result.testsRun:
        return SKIPPED
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
