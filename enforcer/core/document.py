"""YAML text as plain values that know their lines.

Pure: no I/O, no clock. Built from parser events, not by PyYAML's loader: that
one expands aliases, keeps the last of two equal keys and recurses as deep as
the text nests. Plain scalars are read as YAML 1.2's core schema does, so that
`no` is text and not a boolean; numbers are whole. Entries of a long list can be
turned into what they mean one by one, so that their values never exist all at once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import yaml

from enforcer.core.wording import printable, quoted
from enforcer.errors import PolicyProblem

MAX_DEPTH = 8  # a policy needs 5; deeper nesting costs the parser quadratic time

# The C parser is 20 times faster; not every PyYAML is built with it.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Without leading zeros, which are octal to some readers; short enough for int().
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
DIGITS: Final = frozenset("0123456789")


class Mapping(dict[str, "Value"]):
    """A YAML mapping, and the line of each of its keys."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        self.line = line
        self.lines: list[int] = []

    def line_of(self, key: str) -> int:
        """Return the line of *key*, which is one of the keys."""
        return self.lines[list(self).index(key)]


class Sequence(list["Value"]):
    """A YAML sequence, and the line of each of its entries."""

    __slots__ = ("line", "lines")

    def __init__(self, line: int) -> None:
        self.line = line
        self.lines: list[int] = []


class Unusable:
    """Stands for a value whose problem has been reported."""


Value: TypeAlias = Mapping | Sequence | Unusable | str | int | bool | None
# Returns what an entry means, or the entry.
Means: TypeAlias = Callable[[Value], Any]


@dataclass(frozen=True)
class Document:
    """What a YAML text says, and what is wrong with it as YAML."""

    root: Value
    problems: tuple[PolicyProblem, ...]


def load(text: str, means: dict[str, Means] | None = None) -> Document:
    """Read the one YAML document in *text*. Never raises, whatever *text* holds.

    Args:
        text: what a file holds.
        means: for the entries of lists, by the key of the list in the document's mapping.
    """
    builder = _Builder(means or {})
    try:
        # Not yaml.parse(), which asks the parser twice for each event.
        next_event = LOADER(text).get_event
        while (event := next_event()) is not None and builder.take(event):
            pass
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

    __slots__ = ("key", "key_line", "means", "node", "usable")

    def __init__(self, node: Mapping | Sequence, means: Means | None, *, usable: bool) -> None:
        self.node = node
        self.means = means
        self.usable = usable
        self.key: str | Unusable | None = None
        self.key_line = 0

    def step(self) -> str:
        """Return what leads from the collection to what comes next in it."""
        if isinstance(self.node, Sequence):
            return f"[{len(self.node)}]"
        return f".{self.key}" if isinstance(self.key, str) else ""


class _Builder:
    """Makes values of events: ten of them for a host of a few keys, so it must be quick."""

    def __init__(self, means: dict[str, Means]) -> None:
        self._means = means
        self.root: Value = None
        self.problems: list[PolicyProblem] = []
        self._frames: list[_Frame] = []
        self._documents = 0

    def take(self, event: Any) -> bool:  # noqa: ANN401 - PyYAML's types don't tell events apart
        """Add *event*; return whether the ones after it matter."""
        kind = type(event)
        if kind is yaml.ScalarEvent:  # the commonest first
            text: str = event.value
            line = event.start_mark.line + 1
            if event.tag is not None:
                self._add(self._refuse(line, f"{quoted(event.tag)} is a YAML tag"), line)
            else:
                self._add(_resolve(text) if event.implicit[0] else text, line)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            frame = self._frames.pop()
            self._add(frame.node if frame.usable else Unusable(), frame.node.line)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            return self._start(event, event.start_mark.line + 1)
        elif kind is yaml.AliasEvent:
            line = event.start_mark.line + 1
            self._add(self._refuse(line, f"*{event.anchor} is a YAML alias"), line)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                line = event.start_mark.line + 1
                self._report(line, "", "a second YAML document begins", "remove the --- line")
                return False
        return True

    def _start(self, event: yaml.CollectionStartEvent, line: int) -> bool:
        if len(self._frames) == MAX_DEPTH:
            path = self._path(len(self._frames))
            self._report(line, path, "too many levels of nesting", "a policy has at most five")
            self.root = Unusable()
            return False
        if event.tag is not None:
            self._refuse(line, f"{quoted(event.tag)} is a YAML tag")
        node = Mapping(line) if type(event) is yaml.MappingStartEvent else Sequence(line)
        means = None
        if len(self._frames) == 1 and isinstance(key := self._frames[0].key, str):
            means = self._means.get(key)
        self._frames.append(_Frame(node, means, usable=event.tag is None))
        return True

    def _add(self, value: Value, line: int) -> None:
        if not self._frames:
            self.root = value
            return
        frame = self._frames[-1]
        node = frame.node
        if type(node) is Sequence:
            node.append(frame.means(value) if frame.means else value)
            node.lines.append(line)
        elif frame.key is None:
            frame.key, frame.key_line = self._key(node, value, line), line
        else:
            if type(node) is Mapping and type(frame.key) is str:
                node[frame.key] = value
                node.lines.append(frame.key_line)
            frame.key = None

    def _key(self, node: Mapping | Sequence, value: Value, line: int) -> str | Unusable:
        """Return *value* as a key, or Unusable so that what it maps to is dropped."""
        if type(value) is str and value not in node:
            return sys.intern(value)  # one text for the same key of all hosts
        if isinstance(value, Unusable):
            return value
        path = self._path(len(self._frames) - 1)
        if isinstance(value, str) and isinstance(node, Mapping):
            reason = f"{quoted(value)} is there twice, first in line {node.line_of(value)}"
            self._report(line, path, reason, "keep one of them")
        else:
            self._report(line, path, "a key must be text", "quote it, or fix the indentation")
        return Unusable()

    def _refuse(self, line: int, reason: str) -> Unusable:
        path = self._path(len(self._frames))
        self._report(line, path, reason, "write the value out, in quotes if it begins with * or !")
        return Unusable()

    def _path(self, depth: int) -> str:
        """Return what leads to the value that comes next in the collection at *depth*."""
        return "".join(frame.step() for frame in self._frames[:depth]).removeprefix(".")

    def _report(self, line: int, path: str, reason: str, hint: str) -> None:
        self.problems.append(PolicyProblem(line, printable(path), reason, hint))


def _resolve(text: str) -> Value:
    if text in WORDS:
        return WORDS[text]
    return int(text) if text[-1] in DIGITS and INTEGER.fullmatch(text) else text


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
