"""Where the rig finds and puts things. All paths are relative to the project's root."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / ".cache" / "rig"
GUEST_FILES = Path(__file__).resolve().parent / "guest"
BUILD = PROJECT / "build"

# Build folders whose programs go into the guest when none is named. The newest program wins.
DEFAULT_BUILDS = ("release", "debug")


def newest_program(name, folder=None):
    """Finds the program `name` in `folder`, else in the newest default build; None if nowhere."""
    folders = [Path(folder), Path(folder) / "bin"] if folder else []
    found = [path for each in folders if (path := each / name).is_file()]
    if not found:
        defaults = [BUILD / each / "bin" / name for each in DEFAULT_BUILDS]
        found = [path for path in defaults if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)
