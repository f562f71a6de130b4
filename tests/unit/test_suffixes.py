"""Public suffixes: our look-ups and the library's, which takes ten times as long, agree."""

from __future__ import annotations

import publicsuffixlist
import pytest

from enforcer.core.data import data_text
from enforcer.core.suffixes import public_suffix_within


def test_what_the_library_calls_a_public_suffix_is_one() -> None:
    """For each rule of the list: its name, the ones above it, and names below."""
    text = data_text("public_suffix_list.dat", "publicsuffixlist")
    library = publicsuffixlist.PublicSuffixList(text)
    names: set[str] = set()
    for line in text.splitlines():
        rule = line.split(" ", 1)[0]
        if rule and not rule.startswith("//"):
            domain = rule.lstrip("!").removeprefix("*.").encode("idna").decode("ascii").lower()
            labels = ["a", "b", *domain.split(".")]
            names.update(".".join(labels[start:]) for start in range(len(labels)))
    ours = {name for name in names if public_suffix_within(name) == name}
    assert len(ours) > 9000
    assert ours == {name for name in names if library.is_public(name)}


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("com", "com"),
        ("example.com", None),
        ("ck", "ck"),  # *.ck
        ("anything.ck", "anything.ck"),
        ("www.ck", None),  # !www.ck
        ("amazonaws.com", "s3.amazonaws.com"),
        ("unknown-top-level-name", "unknown-top-level-name"),
    ],
)
def test_a_wildcard_opens_a_suffix_or_none(name: str, suffix: str | None) -> None:
    """That of the name itself, or the shortest below it."""
    found = public_suffix_within(name)
    if suffix is None or suffix == name:
        assert found == suffix
    else:
        assert found is not None
        assert found.endswith(f".{name}")
