"""Debian's package sources as text: finds the configured one and derives the backports one from it.

Pure: text in, text out. The mirror and its key always come from what the machine is configured
with, so that no host name is written down in the project.
"""

from dataclasses import dataclass

SUITE = "bookworm"
BACKPORTS = f"{SUITE}-backports"
NEWER_KERNELS = "trixie-backports"

# What may come out of backports. `src:qemu` covers every binary package built from qemu's source.
BACKPORTED = ("src:qemu", "seabios", "ipxe-qemu")


class SourceMissing(Exception):
    """No configured source serves the suite; the message says what to do."""


@dataclass(frozen=True)
class Source:
    """Where one suite comes from, in the words of a deb822 stanza."""

    uris: str
    signed_by: str
    components: str


def stanzas(text):
    """Splits deb822 text into dicts with lower-case keys. Comments go, continuation lines join."""
    found, current, key = [], {}, None
    for line in text.splitlines() + [""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if current:
                found.append(current)
            current, key = {}, None
        elif line[0] in " \t":
            if key is not None:
                current[key] += "\n" + line.strip()
        else:
            name, _, value = line.partition(":")
            key = name.strip().lower()
            current[key] = value.strip()
    return found


def _from_one_line(line):
    """Reads one `deb [options] uri suite components...` line; None for anything else."""
    words = line.split()
    if not words or words[0] != "deb":
        return None
    signed_by = ""
    if len(words) > 1 and words[1].startswith("["):
        end = next((i for i, word in enumerate(words) if word.endswith("]")), None)
        if end is None:
            return None
        for option in " ".join(words[1 : end + 1]).strip("[] ").split():
            if option.startswith("signed-by="):
                signed_by = option.removeprefix("signed-by=")
        words = [words[0]] + words[end + 1 :]
    if len(words) < 4:
        return None
    return words[1], words[2], " ".join(words[3:]), signed_by


def find(files, suite=SUITE):
    """Returns the Source of `suite`. `files` is a list of (name, text) of apt's source files."""
    for name, text in files:
        if name.endswith(".sources"):
            for stanza in stanzas(text):
                if stanza.get("enabled", "yes").lower() == "no":
                    continue
                if "deb" not in stanza.get("types", "").split():
                    continue
                if suite in stanza.get("suites", "").split():
                    return Source(
                        uris=stanza.get("uris", ""),
                        signed_by=stanza.get("signed-by", ""),
                        components=stanza.get("components", "main"),
                    )
        elif name.endswith(".list"):
            for line in text.splitlines():
                parsed = _from_one_line(line.strip())
                if parsed is not None and parsed[1] == suite:
                    return Source(uris=parsed[0], components=parsed[2], signed_by=parsed[3])
    raise SourceMissing(
        f"no apt source for '{suite}' is configured; add one under /etc/apt/sources.list.d first"
    )


def render(source, suite):
    """The deb822 stanza that serves `suite` from the same place as `source`."""
    lines = ["Types: deb", f"URIs: {source.uris}", f"Suites: {suite}", "Components: main"]
    if source.signed_by:
        first, *key = source.signed_by.split("\n")
        lines.append(f"Signed-By: {first}".rstrip())
        lines += [f" {line}" for line in key]
    return "\n".join(lines) + "\n"


def render_pin(suite=BACKPORTS, packages=BACKPORTED):
    """Preferences that let only `packages` come from `suite`; none: nothing but by name."""
    pin = f"Package: *\nPin: release n={suite}\nPin-Priority: 1\n"
    if not packages:
        return pin
    return f"{pin}\nPackage: {' '.join(packages)}\nPin: release n={suite}\nPin-Priority: 600\n"
