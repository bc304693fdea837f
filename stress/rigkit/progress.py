"""Lines for a person who waits: what happens now and how long the run has taken."""

import sys
import time


class Progress:
    """Prints `[  12.3 s] text` on standard error, so that standard output stays for results."""

    def __init__(self, prefix="", quiet=False):
        self.prefix = prefix
        self.quiet = quiet
        self.started = time.monotonic()

    def elapsed(self):
        """Seconds since this object was made."""
        return time.monotonic() - self.started

    def say(self, text):
        if self.quiet:
            return
        label = f"{self.prefix}: " if self.prefix else ""
        print(f"[{self.elapsed():7.1f} s] {label}{text}", file=sys.stderr, flush=True)
