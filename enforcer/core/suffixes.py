"""Public suffixes: the names below which anyone can get a name of their own.

Pure: no I/O but the list that publicsuffixlist ships, no clock.
https://publicsuffix.org/list/ describes the list and its two sections: ICANN
(``com``, ``co.uk``) and private (``github.io``, ``cloudfront.net``). Both count.
"""

from __future__ import annotations

import functools

import publicsuffixlist

from enforcer.core.data import data_text


def public_suffix_within(name: str) -> str | None:
    """Return a public suffix that ``*.name`` would open, or None.

    That is *name* itself, or one below it: ``*.amazonaws.com`` would allow all
    that ``*.s3.amazonaws.com`` does. A top-level name that the list doesn't know
    is a public suffix (the list's default rule).

    Args:
        name: in lower case and A-labels, without trailing dot.
    """
    if _suffixes().is_public(name):
        return name
    return _parents().get(name)


@functools.cache
def _text() -> str:
    return data_text("public_suffix_list.dat", "publicsuffixlist")


@functools.cache
def _suffixes() -> publicsuffixlist.PublicSuffixList:
    return publicsuffixlist.PublicSuffixList(_text())


@functools.cache
def _parents() -> dict[str, str]:
    """Map each name that has public suffixes below it to the shortest of them."""
    parents: dict[str, str] = {}
    for line in _text().splitlines():
        rule = line.split(" ", 1)[0].strip()
        if not rule or rule.startswith("//"):
            continue
        # An exception (!www.ck) and a wildcard rule (*.ck) both sit below a suffix.
        suffix = rule.lstrip("!").removeprefix("*.").encode("idna").decode("ascii").lower()
        labels = suffix.split(".")
        for start in range(1, len(labels)):
            parent = ".".join(labels[start:])
            parents[parent] = min(parents.get(parent, suffix), suffix, key=len)
    return parents
