#!/usr/bin/env python3
"""Checks the dependency rule and the purity of the pure folders. Design, section 3.

usage: layering.py ROOT [--build DIR]

Prints one line for each breach, and exits with 1 if there is any. With --build, the archives of the
pure libraries found in DIR are also asked which symbols they need: that sees calls which no reading
of the source can hide.
"""

import argparse
import pathlib
import re
import subprocess
import sys

# Who may include whom. A folder may always include itself.
MAY_INCLUDE = {
    "base": set(),
    "reserve": {"base"},
    "netpath": {"base", "reserve"},
    "initiator": {"base", "reserve"},
    "watchdog": {"base"},
    "daemon": {"base", "reserve", "netpath", "initiator", "watchdog"},
    "stress": {"base", "reserve", "netpath", "initiator", "watchdog", "daemon"},
    "tests": {"base", "reserve", "netpath", "initiator", "watchdog", "daemon", "stress"},
}

# The I/O process knows the engine by its contract, not by its insides.
ENGINE_USER = "daemon/io"

PURE = ("netpath/wire", "netpath/tcp", "netpath/steer", "initiator", "watchdog/supervise")

# All that pure code may take from outside: types and algorithms that neither allocate nor touch the
# world, the two libraries that compute digests and hashes, and static probe points, which are a
# `nop` each until a tracer writes something else there.
PURE_HEADERS = {
    "algorithm", "array", "atomic", "bit", "cctype", "charconv", "climits", "compare", "concepts",
    "cstddef", "cstdint", "cstring", "expected", "initializer_list", "iterator", "limits", "new",
    "numeric", "optional", "ranges", "span", "string.h", "string_view", "tuple", "type_traits",
    "utility", "variant",
    "isa-l/crc.h", "sys/sdt.h",
}
PURE_HEADER_PREFIXES = ("nettle/", "boost/intrusive/")

# Words that allocate, do I/O, read a clock or draw randomness. `::` before a name means the C
# library's function, so that a method of the same name is free to exist.
PURE_DENIED = [
    r"\b(malloc|calloc|realloc|aligned_alloc|posix_memalign|strdup)\s*\(",
    r"(?<![\w.>])free\s*\(",
    r"\bnew\s+(?!\()[A-Za-z_:]",
    r"\bdelete\b(?!\s*;)(?!\s*$)",
    r"\bstd::(make_unique|make_shared|unique_ptr|shared_ptr|function|string|vector|deque|list|map"
    r"|set|unordered_map|unordered_set|ostream|istream|cout|cerr|clog|format|thread|mutex|chrono"
    r"|random_device|mt19937|rand|to_string|stoi|stoul|any)\b",
    r"\b(printf|fprintf|snprintf|sprintf|sscanf|puts|perror|syslog)\s*\(",
    r"\b(clock_gettime|gettimeofday|getrandom|getentropy|arc4random|srand|nanosleep|usleep)\s*\(",
    r"(?<!\w)::(time|rand|random|read|write|send|recv|open|close|socket|connect|ioctl|syscall|mmap"
    r"|munmap|poll|fork|abort|exit|sleep|errno)\b",
    r"\b(throw|dynamic_cast|typeid|thread_local|asm|__asm__)\b",
]

# What a pure archive may leave to the linker.
PURE_SYMBOLS = re.compile(
    r"holdfast::|(_)?nettle_|crc32_iscsi|mem(cpy|move|set|cmp|chr|rchr)$|str(n?len|n?cmp)$|bcmp$"
    r"|__(stack_chk_fail|mem(cpy|move|set)_chk)|std::__glibcxx_assert_fail|__cxa_|__dso_handle"
    r"|_GLOBAL_OFFSET_TABLE_|__(asan|ubsan|tsan|sanitizer|msan|sancov|gcov|llvm)"
    r"|__gxx_personality|__assert_fail"
    r"|std::(from_chars|to_chars|__detail::)|_Unwind_Resume|guard variable|__popcount[sd]i2"
    r"|explicit_bzero|__explicit_bzero_chk"
    r"|std::__throw_out_of_range_fmt"  # string_view::substr, in builds without optimisation.
)
PURE_ARCHIVES = ("initiator", "netpath/wire", "netpath/tcp", "netpath/steer", "watchdog/supervise")

SOURCES = (".h", ".cc", ".c")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def without_comments_and_text(source):
    """The code with comments and literals blanked; line numbers stay."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)

    def blank(match):
        text = match.group(0)
        if text.startswith('"'):
            return '""'
        return " " + "\n" * text.count("\n")

    return pattern.sub(blank, source)


def is_in(path, folder):
    return path == folder or path.startswith(folder + "/")


def source_files(root):
    for top in MAY_INCLUDE:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SOURCES and path.is_file():
                yield path.relative_to(root).as_posix(), path


def include_breaches(name, source):
    top = name.split("/")[0]
    pure = any(is_in(name, folder) for folder in PURE)
    for number, line in enumerate(source.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, target = match.groups()
        where = f"{name}:{number}"
        if kind == '"':
            other = target.split("/")[0]
            if "/" not in target or other not in MAY_INCLUDE or ".." in target:
                yield f"{where}: includes \"{target}\": give the path from the root"
            elif other != top and other not in MAY_INCLUDE[top]:
                yield f"{where}: {top} must not include {other} ({target})"
            elif is_in(name, ENGINE_USER) and other == "initiator" and target.count("/") > 1:
                yield f"{where}: {ENGINE_USER} must not look inside the engine ({target})"
        elif pure and target not in PURE_HEADERS and not target.startswith(PURE_HEADER_PREFIXES):
            yield f"{where}: pure code must not include <{target}>"


def purity_breaches(name, source):
    if not any(is_in(name, folder) for folder in PURE):
        return
    code = without_comments_and_text(source)
    for pattern in PURE_DENIED:
        for match in re.finditer(pattern, code, re.M):
            number = code.count("\n", 0, match.start()) + 1
            yield f"{name}:{number}: pure code must not use '{match.group(0).strip()}'"


def cyclic_folders(edges):
    """One cycle among the folders of a component, or nothing."""
    state = {}

    def visit(node, path):
        state[node] = "open"
        for other in sorted(edges.get(node, ())):
            if state.get(other) == "open":
                return path[path.index(other):] + [other] if other in path else [node, other]
            if other not in state:
                found = visit(other, path + [other])
                if found:
                    return found
        state[node] = "done"
        return None

    for start in sorted(edges):
        if start not in state:
            found = visit(start, [start])
            if found:
                return found
    return None


def cycle_breaches(files):
    """Headers that include each other in a circle, whatever folders they are in."""
    edges = {}
    for name, source in files:
        for line in source.splitlines():
            match = INCLUDE.match(line)
            if match and match.group(1) == '"' and name.endswith(".h"):
                edges.setdefault(name, set()).add(match.group(2))
    cycle = cyclic_folders(edges)
    if cycle:
        yield "headers include each other: " + " -> ".join(cycle)


def symbol_breaches(build):
    archives = [a for folder in PURE_ARCHIVES for a in sorted((build / folder).rglob("lib*.a"))]
    for archive in archives:
        listing = subprocess.run(["nm", "-uC", archive], stdout=subprocess.PIPE, text=True,
                                 check=False)
        member = ""
        for line in listing.stdout.splitlines():
            if line.endswith(":"):
                member = line.rstrip(":")
            words = line.split(None, 1)
            if len(words) != 2 or words[0] not in ("U", "w", "v"):
                continue
            symbol = re.sub(r"^(vtable|typeinfo|typeinfo name|guard variable) for ", "", words[1])
            if words[0] == "U" and not PURE_SYMBOLS.match(symbol):
                yield f"{archive.name}({member}): pure code needs the symbol '{symbol}'"


def breaches(root, build=None):
    files = [(name, path.read_text(encoding="utf-8")) for name, path in source_files(root)]
    for name, source in files:
        yield from include_breaches(name, source)
        yield from purity_breaches(name, source)
    yield from cycle_breaches(files)
    if build is not None:
        yield from symbol_breaches(build)


def main():
    parser = argparse.ArgumentParser(description="the dependency rule, checked")
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path)
    options = parser.parse_args()
    found = list(breaches(options.root, options.build))
    for breach in found:
        print(breach)
    count = sum(1 for _ in source_files(options.root))
    print(f"{count} files, {len(found)} breaches")
    return 1 if found or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
