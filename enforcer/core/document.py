"""YAML text as plain values that know their lines.

Pure: no I/O, no clock. Built from parser events, not by PyYAML's loader: that
one expands aliases, keeps the last of two equal keys and recurses as deep as
the text nests. Plain scalars are read as YAML 1.2's core schema does, so that
`no` is text and not a boolean; numbers are whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from enforcer.core.wording import printable, quoted
from enforcer.errors import PolicyProblem

MAX_DEPTH = 8  # a policy needs 5; deeper nesting costs the parser quadratic time

# The C parser is 20 times faster; not every PyYAML is built with it.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

NULL = frozenset({"", "~", "null", "Null", "NULL"})
TRUE = frozenset({"true", "True", "TRUE"})
FALSE = frozenset({"false", "False", "FALSE"})
# Without leading zeros, which are octal to some readers; short enough for int().
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")


class Mapping(dict[str, "Value"]):
    """A YAML mapping, and the line of each of its keys."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}


class Sequence(list["Value"]):
    """A YAML sequence, and the line of each of its entries."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []


class Unusable:
    """Stands for a value whose problem has been reported."""


Value: TypeAlias = Mapping | Sequence | Unusable | str | int | bool | None


@dataclass(frozen=True)
class Document:
    """What a YAML text says, and what is wrong with it as YAML."""

    root: Value
    problems: tuple[PolicyProblem, ...]


def load(text: str) -> Document:
    """Read the one YAML document in *text*. Never raises, whatever *text* holds."""
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=LOADER):
            if not builder.take(event):
                break
    except yaml.MarkedYAMLError as exc:
        return Document(Unusable(), (*builder.problems, _syntax_problem(text, exc)))
    except yaml.reader.ReaderError as exc:
        # Its position counts octets or characters, depending on the parser.
        return Document(Unusable(), (_bad_character(text, text.find(chr(exc.character))),))
    except UnicodeEncodeError as exc:  # half of a surrogate pair
        return Document(Unusable(), (_bad_character(text, exc.start),))
    return Document(builder.root, tuple(builder.problems))


class _Frame:
    """A collection that isn't complete, and in a mapping the key that waits for its value."""

    def __init__(self, node: Mapping | Sequence, path: str, *, usable: bool) -> None:
        self.node = node
        self.path = path
        self.usable = usable
        self.key: str | Unusable | None = None
        self.key_line = 0

    def expects_key(self) -> bool:
        return isinstance(self.node, Mapping) and self.key is None

    def child_path(self) -> str:
        if isinstance(self.node, Sequence):
            return f"{self.path}[{len(self.node)}]"
        key = self.key if isinstance(self.key, str) else ""
        return f"{self.path}.{key}" if self.path else key


class _Builder:
    def __init__(self) -> None:
        self.root: Value = None
        self.problems: list[PolicyProblem] = []
        self._frames: list[_Frame] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> bool:
        """Add *event*; return whether the ones after it matter."""
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event, line), line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            return self._start(event, line)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            frame = self._frames.pop()
            self._add(frame.node if frame.usable else Unusable(), frame.node.line)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._refuse(line, f"*{event.anchor} is a YAML alias"), line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._report(line, "", "a second YAML document begins", "remove the --- line")
                return False
        return True

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Value:
        if event.tag is not None:
            return self._refuse(line, f"{quoted(event.tag)} is a YAML tag")
        plain = event.implicit[0]
        return _resolve(event.value) if plain else str(event.value)

    def _start(self, event: yaml.CollectionStartEvent, line: int) -> bool:
        path = self._frames[-1].child_path() if self._frames else ""
        if len(self._frames) == MAX_DEPTH:
            self._report(line, path, "too many levels of nesting", "a policy has at most five")
            self.root = Unusable()
            return False
        if event.tag is not None:
            self._refuse(line, f"{quoted(event.tag)} is a YAML tag")
        node = Mapping(line) if isinstance(event, yaml.MappingStartEvent) else Sequence(line)
        self._frames.append(_Frame(node, path, usable=event.tag is None))
        return True

    def _add(self, value: Value, line: int) -> None:
        if not self._frames:
            self.root = value
            return
        frame = self._frames[-1]
        if isinstance(frame.node, Sequence):
            frame.node.append(value)
            frame.node.lines.append(line)
        elif frame.expects_key():
            frame.key, frame.key_line = self._key(frame, value, line), line
        else:
            if isinstance(frame.key, str):
                frame.node[frame.key] = value
                frame.node.lines[frame.key] = frame.key_line
            frame.key = None

    def _key(self, frame: _Frame, value: Value, line: int) -> str | Unusable:
        """Return *value* as a key, or Unusable so that what it maps to is dropped."""
        if isinstance(value, Unusable):
            return value
        if not isinstance(value, str):
            self._report(line, frame.path, "a key must be text", "quote it, or fix the indentation")
            return Unusable()
        if isinstance(frame.node, Mapping) and value in frame.node:
            first = frame.node.lines[value]
            reason = f"{quoted(value)} is there twice, first in line {first}"
            self._report(line, frame.path, reason, "keep one of them")
            return Unusable()
        return value

    def _refuse(self, line: int, reason: str) -> Unusable:
        path = self._frames[-1].child_path() if self._frames else ""
        self._report(line, path, reason, "write the value out, in quotes if it begins with * or !")
        return Unusable()

    def _report(self, line: int, path: str, reason: str, hint: str) -> None:
        self.problems.append(PolicyProblem(line, printable(path), reason, hint))


def _resolve(text: str) -> Value:
    if text in NULL:
        return None
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    return int(text) if INTEGER.fullmatch(text) else text


def _syntax_problem(text: str, exc: yaml.MarkedYAMLError) -> PolicyProblem:
    lines = text.splitlines() or [""]
    marks = [mark for mark in (exc.problem_mark, exc.context_mark) if mark]
    # What isn't closed is noticed behind the last line, and told where it begins.
    line = next((mark.line + 1 for mark in marks if mark.line < len(lines)), len(lines))
    hint = "check the indentation, the quotes and the space after each colon"
    if "alias" in (exc.context or ""):
        hint = 'a name that begins with * must be in quotes: "*.example.com"'
    elif re.match(r" *\t", lines[line - 1]):
        hint = "indent with spaces, not tabs"
    return PolicyProblem(line, "", f"not YAML: {printable(exc.problem or 'syntax error')}", hint)


def _bad_character(text: str, position: int) -> PolicyProblem:
    reason = f"U+{ord(text[position]):04X} is a character that YAML doesn't allow"
    line = text.count("\n", 0, position) + 1
    return PolicyProblem(line, "", reason, "remove it, and save the file as UTF-8 text")
