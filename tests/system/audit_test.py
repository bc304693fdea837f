#!/usr/bin/env python3
"""stress/audit/kernel-allocations reads a recorded trace right. No root, no tracing."""

import importlib.machinery
import importlib.util
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
TOOL = HERE.parents[1] / "stress" / "audit" / "kernel-allocations"
THREAD = 7289


def load_tool():
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("kernel_allocations_tool", str(TOOL))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


class RecordedTrace(unittest.TestCase):
    """Lines of Linux 6.18: an I/O thread that sends on TCP and on a Unix socket; a stranger."""

    def setUp(self):
        self.tool = load_tool()
        self.lines = (HERE / "data" / "kmem_trace.txt").read_text().splitlines(keepends=True)

    # Goal: every allocation of the thread is counted once, with its path, and by call site; what a
    # softirq or another thread allocated is told apart.
    def test_each_allocation_is_put_down_to_its_path(self):
        self.assertEqual(dict(self.tool.classify(self.lines, THREAD)), {
            ("thread", "iscsi", "kmem_cache_alloc", "__alloc_skb"): 1,
            ("thread", "iscsi", "kmem_cache_alloc", "kmalloc_reserve"): 1,
            ("thread", "iscsi", "mm_page_alloc", "page allocator, order 3"): 1,
            ("thread", "nbd", "kmem_cache_alloc", "__alloc_skb"): 1,
            ("thread", "nbd", "kmalloc", "__alloc_skb"): 1,
            ("thread", "other", "kmalloc", "iovec_from_user"): 1,
            ("interrupt", "iscsi", "kmem_cache_alloc", "__alloc_skb"): 1,
        })

    # Goal: the figure for one request leaves out interrupts, and is told for each path.
    def test_sum_is_of_the_threads_own_context(self):
        result = self.tool.report(self.tool.classify(self.lines, THREAD), requests=2)
        self.assertEqual(result["thread_per_request"], 3.0)
        self.assertEqual(result["thread_per_request_by_path"],
                         {"iscsi": 1.5, "nbd": 1.0, "other": 0.5})

    # Goal: a thread that is not in the trace has no allocations.
    def test_strangers_are_not_counted(self):
        self.assertEqual(self.tool.classify(self.lines, THREAD + 1), {})


if __name__ == "__main__":
    unittest.main()
