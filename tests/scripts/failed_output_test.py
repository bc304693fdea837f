#!/usr/bin/env python3
"""scripts/failed-output on logs of ctest: what ./check tells about failed tests at its end."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "failed-output"
LOG = """      Start  1: a.b
 1/4 Test  #1: a.b ..............   Passed    0.01 sec
said by one that passes
      Start  2: x.y
      Start  3: conform.z
 2/4 Test  #2: x.y ..............***Failed    0.02 sec
Note: Google Test filter = x.y
[==========] Running 1 test from 1 test suite.
[ RUN      ] x.y
foo.cc:3: Failure
Expected: 1

[  FAILED  ] x.y (0 ms)
[==========] 1 test from 1 test suite ran. (0 ms total)

 1 FAILED TEST
 3/4 Test  #4: s.s ..............***Skipped   0.02 sec
not root
 4/4 Test  #3: conform.z ........***Timeout   0.02 sec
first
{long}
last

50% tests passed, 2 tests failed out of 4
Errors while running CTest
"""


class FailedOutput(unittest.TestCase):
    # Goal: of each failed test its line and the last that it said, in its own words; of the others
    # nothing, and no line is endless.
    def test_last_words_of_failed_tests(self):
        with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
            log.write(LOG.replace("{long}", "x" * 5000))
            log.flush()
            said = subprocess.run([PROGRAM, "-v", "lines=2", log.name], stdout=subprocess.PIPE,
                                  check=True).stdout.decode().splitlines()
        self.assertEqual([line.split()[0] for line in said],
                         ["x.y", "foo.cc:3:", "Expected:", "conform.z", "x" * 180, "last"])
        self.assertTrue(said[0].endswith("***Failed    0.02 sec"))


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
