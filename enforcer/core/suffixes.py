"""Public suffixes: the names below which anyone can get a name of their own.

Pure: no I/O but the list that publicsuffixlist ships, no clock.
https://publicsuffix.org/list/ describes the list and its two sections: ICANN
(``com``, ``co.uk``) and private (``github.io``, ``cloudfront.net``). Both count.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from enforcer.core.data import data_text


def public_suffix_within(name: str) -> str | None:
    """Return a public suffix that ``*.name`` would open, or None.

    That is *name* itself, or one below it: ``*.amazonaws.com`` would allow all
    that ``*.s3.amazonaws.com`` does. A top-level name that the list doesn't know
    is a public suffix (the list's default rule).

    Args:
        name: in lower case and A-labels, without trailing dot.
    """
    rules = _rules()
    _, _, above = name.partition(".")
    # *.ck makes ck a suffix as well, as publicsuffixlist has it.
    if not above or name in rules.suffixes or name in rules.wild:
        return name
    if above in rules.wild and name not in rules.exceptions:
        return name
    return rules.parents.get(name)


def is_public_suffix(name: str) -> bool:
    """Tell whether the list has *name* itself: strangers share the host.

    Args:
        name: in lower case and A-labels, without trailing dot.
    """
    rules = _rules()
    _, _, above = name.partition(".")
    return name in rules.suffixes or (above in rules.wild and name not in rules.exceptions)


@dataclass(frozen=True)
class _Rules:
    """The list, in the form in which one look-up of each kind answers.

    Attributes:
        suffixes: those listed as they are.
        wild: what all names one label below are suffixes of (``ck`` of ``*.ck``),
        exceptions: but for these.
        parents: each name that has suffixes below it, and the shortest of them.
    """

    suffixes: frozenset[str]
    wild: frozenset[str]
    exceptions: frozenset[str]
    parents: dict[str, str]


@functools.cache
def _rules() -> _Rules:
    suffixes: set[str] = set()
    wild: set[str] = set()
    exceptions: set[str] = set()
    parents: dict[str, str] = {}
    for line in data_text("public_suffix_list.dat", "publicsuffixlist").splitlines():
        rule = line.split(" ", 1)[0].strip()
        if not rule or rule.startswith("//"):
            continue
        # An exception (!www.ck) and a wildcard rule (*.ck) both sit below a suffix.
        suffix = rule.lstrip("!").removeprefix("*.").lower()
        if not suffix.isascii():  # one in fourteen, and the codec takes its time
            suffix = suffix.encode("idna").decode("ascii")
        group = exceptions if rule[0] == "!" else wild if rule[0] == "*" else suffixes
        group.add(suffix)
        labels = suffix.split(".")
        for start in range(1, len(labels)):
            parent = ".".join(labels[start:])
            parents[parent] = min(parents.get(parent, suffix), suffix, key=len)
    return _Rules(frozenset(suffixes), frozenset(wild), frozenset(exceptions), parents)
