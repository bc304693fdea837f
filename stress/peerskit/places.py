"""Where things are, and the way to what the system tests already have: targets and wire format."""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

for _each in (PROJECT / "tests" / "system", PROJECT / "stress"):
    if str(_each) not in sys.path:
        sys.path.insert(0, str(_each))
