"""Reads case files. The language is described in docs/conform.md.

A file holds cases; each begins with `case NAME`, and everything below it, indented, belongs to it:
first what the case is about, then its steps. Mistakes end in a ScriptError with file and line.
"""

import dataclasses
import pathlib
import re
import shlex

from . import expression, vocabulary

IO_KINDS = {"read", "write", "verify", "discover", "inquiry"}
OUTCOMES = {"ok", "error", "any"}
WITHIN_S = 5.0
LIMIT_S = 20.0
IO_BYTES = 16384
ROW = re.compile(r"^[A-Z0-9]{2,3}-\d\d$")
NAME = re.compile(r"^[a-z][a-z0-9_]*$")
CONDITION = re.compile(r"^((?:key|offered)\.[A-Za-z#0-9_.\-]+|[A-Za-z0-9_]+)(<=|>=|!=|=|<|>)(.*)$")
SETTINGS = {"window", "statsn", "chap", "blocks", "pieces", "separate_status", "portals", "luns",
            "write_cache", "extra_rounds", "target_secret", "challenge", "hash", "max_blocks",
            "holds"}
VARIABLES = {"window", "statsn", "expcmdsn", "maxcmdsn"}
NEGOTIATED = re.compile(r"^([A-Za-z0-9]+)(<=|>=|!=|=)(.+)$")


class ScriptError(Exception):
    def __init__(self, path, line, text):
        super().__init__(f"{path}:{line}: {text}")


@dataclasses.dataclass
class Condition:
    field: str
    sign: str
    value: str
    place: tuple | None = None  # None: a word such as op, or the text of a key.


@dataclasses.dataclass
class Step:
    line: int
    word: str
    text: str
    pdu: str = ""
    kinds: tuple = ()
    conditions: list = dataclasses.field(default_factory=list)
    changes: list = dataclasses.field(default_factory=list)  # (word, value)
    name: str = ""
    within_s: float = WITHIN_S
    times: int = 1
    is_lasting: bool = False


@dataclasses.dataclass
class Case:
    name: str
    path: str
    line: int
    about: str = ""
    rows: tuple = ()
    unh: str = ""
    io: str = "read"
    size: int = IO_BYTES
    keys: dict = dataclasses.field(default_factory=dict)
    settings: dict = dataclasses.field(default_factory=dict)
    needs: list = dataclasses.field(default_factory=list)
    outcome: str = "ok"
    limit_s: float = LIMIT_S
    waived: dict = dataclasses.field(default_factory=dict)
    steps: list = dataclasses.field(default_factory=list)


def load(folder):
    """All cases of the *.case files of a folder, by name, in the order of the files."""
    cases = {}
    for path in sorted(pathlib.Path(folder).glob("*.case")):
        for case in parse(path.read_text(encoding="utf-8"), path.name):
            if case.name in cases:
                raise ScriptError(path.name, case.line, f"a second case {case.name}")
            cases[case.name] = case
    return cases


def parse(text, path="<text>"):
    blocks = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            words = line.split()
            if words[0] != "case" or len(words) != 2 or not NAME.match(words[1]):
                raise ScriptError(path, number, f"expected 'case NAME', found '{line.strip()}'")
            blocks.append((words[1], number, []))
        elif not blocks:
            raise ScriptError(path, number, "a line before the first case")
        else:
            blocks[-1][2].append((number, line.strip()))
    cases = []
    for name, number, lines in blocks:
        cases += expanded(name, number, lines, path)
    return cases


def expanded(name, number, lines, path):
    """One case, or one for each value of its `each`."""
    each = [(line, text.split()) for line, text in lines if text.split()[0] == "each"]
    rest = [(line, text) for line, text in lines if text.split()[0] != "each"]
    if not each:
        return [Parser(path).case(name, number, rest)]
    line, words = each[0]
    if len(each) > 1 or len(words) < 3 or not NAME.match(words[1]):
        raise ScriptError(path, line, "expected one 'each NAME VALUE...'")
    found = []
    for value in words[2:]:
        key = value.partition("=")[0]
        filled = [(at, text.replace(f"${words[1]}.key", key).replace("$" + words[1], value))
                  for at, text in rest]
        found.append(Parser(path).case(f"{name}:{value}", number, filled))
    return found


class Parser:
    def __init__(self, path):
        self.path = path
        self.line = 0
        self.names = {}  # Name of a taken PDU: its kind.

    def fail(self, text):
        raise ScriptError(self.path, self.line, text)

    def case(self, name, number, lines):
        case = Case(name, self.path, number)
        for self.line, text in lines:
            words = self.words_of(text)
            if head := getattr(self, "head_" + words[0], None):
                if case.steps:
                    self.fail(f"'{words[0]}' belongs before the steps")
                head(case, words[1:], text)
            elif step := getattr(self, "step_" + words[0], None):
                made = Step(self.line, words[0], text)
                step(made, words[1:])
                case.steps.append(made)
            else:
                self.fail(f"unknown word '{words[0]}'")
        self.line = number
        if not case.about or not case.rows:
            self.fail(f"case {name} needs 'about' and 'rows'")
        return case

    def words_of(self, text):
        if text.split()[0] in ("about", "note", "waive"):
            return text.split()
        try:
            return shlex.split(text)
        except ValueError as error:
            return self.fail(str(error))

    # What the case is about.

    def head_about(self, case, words, text):
        if not words:
            self.fail("about what?")
        case.about = (case.about + " " + text.split(None, 1)[1]).strip()

    def head_rows(self, case, words, _):
        for word in words:
            if not ROW.match(word):
                self.fail(f"'{word}' is no row")
        case.rows += tuple(words)

    def head_unh(self, case, words, _):
        case.unh = " ".join(words)

    def head_io(self, case, words, _):
        if not words or words[0] not in IO_KINDS or len(words) > 2:
            self.fail(f"expected one of {', '.join(sorted(IO_KINDS))} and a size")
        case.io = words[0]
        if len(words) == 2:
            case.size = self.number(words[1])
            if case.size % 512 or not 0 < case.size <= 1 << 20:
                self.fail("a size is up to 1 MiB in blocks of 512 bytes")

    def head_target(self, case, words, _):
        for word in words:
            key, is_there, value = word.partition("=")
            if not is_there or not key:
                self.fail(f"expected KEY=VALUE, found '{word}'")
            if key[0].islower():
                if key not in SETTINGS:
                    self.fail(f"unknown setting '{key}'")
                case.settings[key] = value
            else:
                case.keys[key] = value

    def head_needs(self, case, words, _):
        for word in words:
            if not (found := NEGOTIATED.match(word)):
                self.fail(f"expected KEY=VALUE, found '{word}'")
            case.needs.append(found.groups())

    def head_outcome(self, case, words, _):
        if len(words) != 1 or words[0] not in OUTCOMES:
            self.fail(f"expected one of {', '.join(sorted(OUTCOMES))}")
        case.outcome = words[0]

    def head_limit(self, case, words, _):
        case.limit_s = self.seconds(words)

    def head_waive(self, case, words, _):
        if len(words) < 3:
            self.fail("expected 'waive RULE REASON'")
        case.waived[words[0]] = " ".join(words[1:])

    # Steps.

    def step_await(self, step, words):
        self.waiting(step, words)

    def step_expect(self, step, words):
        self.waiting(step, words)

    def waiting(self, step, words):
        words = list(words)
        if "within" in words:
            at = words.index("within")
            step.within_s = self.seconds(words[at + 1:at + 2])
            del words[at:at + 2]
        if "as" in words:
            at = words.index("as")
            if at + 1 >= len(words) or not NAME.match(words[at + 1]):
                self.fail("expected 'as NAME'")
            step.name = words[at + 1]
            del words[at:at + 2]
        self.pattern(step, words, vocabulary.OF_INITIATOR | {"close", "connect"})
        for name in (step.name, "it"):
            if name:
                self.names[name] = step.kinds[0]

    def step_reject(self, step, words):
        self.pattern(step, words, vocabulary.OF_INITIATOR | {"close", "connect"})

    def step_accept(self, step, words):
        self.nothing(words)

    def step_send(self, step, words):
        self.kind(step, words, vocabulary.OF_TARGET)
        if len(step.kinds) > 1:
            self.fail("one kind can be sent")
        for word in words[1:]:
            if word.startswith("times="):
                step.times = self.number(word[6:])
            else:
                self.change(step, word)

    def step_twist(self, step, words):
        if ":" not in words:
            self.fail("expected 'twist PDU [CONDITION...] : CHANGE...'")
        at = words.index(":")
        self.pattern(step, words[:at], vocabulary.OF_TARGET)
        for word in words[at + 1:]:
            if word == "always":
                step.is_lasting = True
            else:
                self.change(step, word)

    def step_answer(self, step, words):
        if not words or words[0] not in self.names:
            self.fail("expected the name of a PDU taken before")
        step.name = words[0]
        for word in words[1:]:
            self.change(step, word)

    def step_check(self, step, words):
        if not words:
            self.fail("check what?")
        for word in words:
            name, is_there, rest = word.partition(".")
            if not is_there or name not in self.names:
                self.fail(f"expected NAME.FIELD=VALUE of a PDU taken before, found '{word}'")
            step.conditions.append((name, self.condition(self.names[name], rest)))

    def step_set(self, step, words):
        for word in words:
            key, _, value = word.partition("=")
            if key not in VARIABLES:
                self.fail(f"only {', '.join(sorted(VARIABLES))} can be set")
            self.expression(value)
            step.changes.append((key, value))

    def step_wait(self, step, words):
        step.within_s = self.seconds(words)

    def step_note(self, step, words):
        if not words:
            self.fail("note what?")

    def step_close(self, step, words):
        self.nothing(words)

    def step_reset(self, step, words):
        self.nothing(words)

    def step_end(self, step, words):
        self.nothing(words)

    def step_raw(self, step, words):
        if len(words) != 1:
            self.fail("expected 'raw KIND:VALUE'")
        self.data(words[0])
        step.changes.append(("data", words[0]))

    # Parts of steps.

    def nothing(self, words):
        if words:
            self.fail(f"'{words[0]}' is too much")

    def number(self, word):
        try:
            return int(word, 0)
        except ValueError:
            return self.fail(f"'{word}' is no number")

    def seconds(self, words):
        try:
            value = float(words[0])
        except (IndexError, ValueError):
            return self.fail("expected a number of seconds")
        return value if 0 < value <= 600 else self.fail("seconds are up to 600")

    def kind(self, step, words, allowed):
        """One of the kinds, or several with | between them."""
        if not words or not set(words[0].split("|")) <= allowed:
            self.fail(f"expected one of {', '.join(sorted(allowed))}")
        step.pdu = words[0]
        step.kinds = tuple(words[0].split("|"))

    def pattern(self, step, words, allowed):
        self.kind(step, words, allowed)
        for word in words[1:]:
            for kind in step.kinds:
                condition = self.condition(kind, word)
            step.conditions.append(condition)

    def condition(self, pdu, word):
        fields = vocabulary.FIELDS.get(pdu, {})
        if word.lstrip("!") in fields:
            value = "0" if word[0] == "!" else "1"
            return Condition(word.lstrip("!"), "=", value, fields[word.lstrip("!")])
        found = CONDITION.match(word)
        if not found:
            self.fail(f"expected FIELD=VALUE, found '{word}'")
        field, sign, value = found.groups()
        if field in fields:
            self.expression(value)
            return Condition(field, sign, value, fields[field])
        if field in ("length", "lba", "blocks"):
            self.expression(value)
        elif field == "op":
            if value not in vocabulary.COMMANDS.values():
                self.fail(f"'{value}' is no command")
        elif not field.startswith(("key.", "offered.")):
            self.fail(f"{pdu} has no field '{field}'")
        return Condition(field, sign, value)

    def change(self, step, word):
        """A change to the fields of any of the step's kinds; of any PDU for `answer`."""
        kinds = step.kinds or vocabulary.FIELDS
        if word in ("drop", "twice"):
            step.changes.append((word, ""))
            return
        key, is_there, value = word.partition("=")
        if not is_there:
            self.fail(f"expected FIELD=VALUE, found '{word}'")
        if key == "data":
            self.data(value)
        elif key == "damage":
            if value not in ("header_digest", "data_digest"):
                self.fail("header_digest or data_digest can be damaged")
        elif key in ("keys", "addkeys", "setkey"):
            if "=" not in value:
                self.fail(f"expected {key}=KEY=VALUE")
        elif key in ("length", "padding", "cut") or re.match(r"^b\d+$", key):
            self.expression(value)
        elif key not in ("text", "prefix", "dropkey"):
            if not any(key in vocabulary.FIELDS[kind] for kind in kinds):
                self.fail(f"{step.pdu or 'no PDU'} has no field '{key}'")
            self.expression(value)
        step.changes.append((key, value))

    def data(self, value):
        kind, _, rest = value.partition(":")
        if kind in ("zeros", "noise", "disk"):
            if rest:
                self.expression(rest)
        elif kind == "hex":
            try:
                bytes.fromhex(rest)
            except ValueError:
                self.fail(f"'{rest}' is not hexadecimal")
        elif kind == "header":
            if rest not in self.names:
                self.fail(f"no PDU named '{rest}' was taken before")
        elif kind == "sense":
            if not re.match(r"^[0-9a-f]+/[0-9a-f]+/[0-9a-f]+$", rest):
                self.fail("expected sense:KEY/ASC/ASCQ in hexadecimal")
        else:
            self.fail(f"unknown kind of data '{kind}'")

    def expression(self, text):
        try:
            names = expression.names_in(text)
        except expression.Malformed as error:
            self.fail(str(error))
        for name in names:
            whose, is_field, field = name.partition(".")
            if is_field and whose not in self.names:
                self.fail(f"no PDU named '{whose}' was taken before")
            if is_field and field not in ("length", "lba", "blocks") \
                    and field not in vocabulary.FIELDS.get(self.names[whose], {}):
                self.fail(f"{self.names[whose]} has no field '{field}'")
            if not is_field and name not in VARIABLES and not self.is_field(name):
                self.fail(f"unknown name '{name}'")

    @staticmethod
    def is_field(name):
        return any(name in fields for fields in vocabulary.FIELDS.values())
