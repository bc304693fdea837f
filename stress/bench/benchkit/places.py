"""Where things are: the tree, and the programs that were built from it."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[3]


def built(name, wanted=None):
    """The program `name`: in the build folder `wanted` (or $HOLDFAST_BUILD), else the newest under
    build/. None when there is none."""
    folder = wanted or os.environ.get("HOLDFAST_BUILD")
    if folder:
        path = pathlib.Path(folder) / "bin" / name
        return path if path.exists() else None
    found = list(ROOT.glob(f"build/*/bin/{name}"))
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
