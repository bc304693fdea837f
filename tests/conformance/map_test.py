#!/usr/bin/env python3
"""The conformance map on small trees: rows without tests, tests that are not there, stale pages."""

import contextlib
import pathlib
import subprocess
import sys
import tempfile
import unittest

import map as conformance

HEAD = "id\tlevel\tchecks\tgate\ttitle\texemption\tlike\n"
ROWS = (HEAD + "PDU-01\tM\tU\tyes\tbig-endian\t\t\n" + "PDU-05\tS\tU\tno\tpadding\t\t\n" +
        "SER-01\tM\tR\tyes\trecovery\tno session yet\t\n")
TESTS = ("// Goal: one.\n// Rows: PDU-01\nTEST(Pdu, IsBigEndian) {}\n\n"
         "TEST_F(Other,\n       IsBroken) {\n    // Goal: two.\n    // Rows: PDU-05,\n"
         "    //   PDU-01\n}\n")


IDS = "# Ids.\nPDU-01 PDU-01\nPDU-05 PDU-05\nSER-01 SER-01\n"


@contextlib.contextmanager
def tree_of(rows=ROWS, tests=TESTS, stale=False, **more):
    """A tree with a fresh page; gives its root."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        files = {conformance.ROWS: rows, conformance.IDS: IDS, "tests/a.test.cc": tests,
                 conformance.PAGE: "# Page\n" + conformance.MARK + "\n", **more}
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        if not stale:
            shown, _ = conformance.read_tests(root)
            page = conformance.page_with(
                root, conformance.generated(conformance.read_rows(root), shown))
            (root / conformance.PAGE).write_text(page, encoding="utf-8")
        yield root


class Map(unittest.TestCase):
    # Goal: a tree in order has no complaints, and the page tells tests, reasons and gaps apart.
    def test_whole_tree_passes(self):
        with tree_of() as root:
            self.assertEqual(conformance.complaints(root), [])
            page = (root / conformance.PAGE).read_text(encoding="utf-8")
        self.assertIn("| [`Other.IsBroken`](../tests/a.test.cc), "
                      "[`Pdu.IsBigEndian`](../tests/a.test.cc) |", page)
        self.assertIn("does not apply: no session yet", page)

    # Goal: a row of the gate that nothing shows is noticed; the same row outside the gate is "not
    # yet" on the page.
    def test_planted_missing_row_is_noticed(self):
        planted = ROWS + "LOG-01\tM\tP\tyes\tlogin follows connect\t\t\n"
        with tree_of(rows=planted) as root:
            found = conformance.complaints(root)
            self.assertEqual(len(found), 1)
            self.assertIn("LOG-01", found[0])
        with tree_of(rows=planted.replace("\tP\tyes", "\tP\tno")) as root:
            self.assertEqual(conformance.complaints(root), [])
            self.assertIn("not yet: login", (root / conformance.PAGE).read_text(encoding="utf-8"))

    # Goal: an id of the list that has no row, and one whose row nothing shows, are noticed outside
    # the gate as well; a row beyond the list may be open.
    def test_every_id_has_an_answer(self):
        with tree_of(rows=ROWS.replace("PDU-05\tS", "PDU-06\tS"),
                     tests=TESTS.replace("PDU-05", "PDU-06")) as root:
            self.assertEqual(conformance.complaints(root),
                             [f"{conformance.ROWS}: there is no row 'PDU-05'"])
        with tree_of(tests=TESTS.replace("PDU-05", "PDU-01")) as root:
            self.assertEqual(conformance.complaints(root),
                             ["PDU-05 (padding): neither test nor reason"])

    # Goal: the list of the tree is whole: 380 ids.
    def test_list_is_whole(self):
        ids = conformance.read_ids(conformance.ROOT)
        self.assertEqual(len(ids), 380)
        self.assertEqual(len(set(ids)), 380)

    # Goal: a row that another row covers says so, and does not stand for that row in the gate.
    def test_rows_that_are_like_others(self):
        like = ROWS + "BUG-01\td\t\tno\ta defect\t\tPDU-01\n"
        with tree_of(rows=like) as root:
            self.assertEqual(conformance.complaints(root), [])
            self.assertIn("| like PDU-01 |", (root / conformance.PAGE).read_text(encoding="utf-8"))
        with tree_of(rows=like.replace("\tPDU-01\n", "\tPDU-77\n")) as root:
            self.assertTrue(any("whole row" in one for one in conformance.complaints(root)))

    # Goal: taking the tag off the only test of a row is noticed, in the real tree's own terms.
    def test_lost_tag_is_noticed(self):
        with tree_of(tests=TESTS.replace("PDU-01", "PDU-05")) as root:
            self.assertTrue(any("PDU-01" in one for one in conformance.complaints(root)))

    # Goal: the program exits with 1 on a planted missing row, and with 0 without it.
    def test_exit_code(self):
        script = pathlib.Path(conformance.__file__)
        for gate, expected in (("yes", 1), ("no", 0)):
            planted = ROWS + f"LOG-01\tM\tP\t{gate}\tlogin follows connect\t\t\n"
            with tree_of(rows=planted) as root:
                ended = subprocess.run([sys.executable, script, "--root", root, "--check"],
                                       stdout=subprocess.PIPE, check=False)
            self.assertEqual(ended.returncode, expected)

    # Goal: a row that does not exist, a comment that belongs to no test, and a stale page are
    # noticed.
    def test_other_mistakes_are_noticed(self):
        with tree_of(tests=TESTS + "// Goal: three.\n// Rows: PDU-99\nTEST(Pdu, C) {}\n") as root:
            self.assertTrue(any("no row 'PDU-99'" in one for one in conformance.complaints(root)))
        with tree_of(tests=TESTS + "// Rows: PDU-05\nint x;\n") as root:
            self.assertTrue(any("no test" in one for one in conformance.complaints(root)))
        with tree_of(stale=True) as root:
            self.assertTrue(any("stale" in one for one in conformance.complaints(root)))

    # Goal: names are found in ctest's list in all forms that GoogleTest gives them, and no other.
    def test_names_of_built_tests(self):
        names = ["Pdu.IsBigEndian", "Every/Pdu.HasCases/3", "Typed/0.Works", "fuzz_replay.fuzz_x",
                 "interop_tgt.read_write"]
        for test in ("Pdu.IsBigEndian", "Pdu.HasCases", "Typed.Works", "fuzz.fuzz_x",
                     "interop_tgt.read_write"):
            self.assertTrue(conformance.is_built(test, names), test)
        for test in ("Pdu.IsBig", "Pdu.HasCase", "du.IsBigEndian", "fuzz.fuzz_y"):
            self.assertFalse(conformance.is_built(test, names), test)

    # Goal: tags are read in python tests and fuzzers too.
    def test_python_and_fuzzers(self):
        python = ("class A:\n    # Goal: three.\n    # Rows: PDU-05\n    def test_b(self):\n"
                  "        pass\n")
        fuzzer = "// Rows: PDU-05\n#include <span>\nint f() { return 0; }\n"
        more = {"tests/system/interop_tgt.py": python, "tests/fuzz/x/fuzz_x.cc": fuzzer}
        with tree_of(**more) as root:
            shown, lost = conformance.read_tests(root)
        self.assertEqual(lost, [])
        self.assertEqual({one.test for one in shown},
                         {"Pdu.IsBigEndian", "Other.IsBroken", "interop_tgt.b", "fuzz.fuzz_x"})


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=1))
