"""Sums in case files: numbers and names with + and -, such as `read.edtl+512`."""

import re

TERM = re.compile(r"([+-]?)(0x[0-9a-fA-F]+|\d+|[A-Za-z_]\w*(?:\.\w+)?)")
WORD = 0xffffffff
CONSTANTS = {"none": WORD}


class Malformed(Exception):
    pass


def terms(text):
    """[(sign, number or name)] of a sum."""
    found, at = [], 0
    while at < len(text):
        term = TERM.match(text, at)
        if not term or (found and not term[1]):
            raise Malformed(f"'{text}' is no sum of numbers and names")
        word = term[2]
        value = int(word, 0) if word[0].isdigit() else CONSTANTS.get(word, word)
        found.append((-1 if term[1] == "-" else 1, value))
        at = term.end()
    if not found:
        raise Malformed("expected a value")
    return found


def names_in(text):
    return [value for _, value in terms(text) if isinstance(value, str)]


def evaluate(text, lookup):
    """The value; `lookup(name)` gives what a name stands for. Not cut to any width."""
    total = 0
    for sign, value in terms(text):
        total += sign * (lookup(value) if isinstance(value, str) else value)
    return total
