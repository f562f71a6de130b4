"""The table of ways round in docs/testing.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_each_way_round_is_a_test() -> None:
    """A test that is renamed or goes takes its line with it."""
    table = (CHECKOUT / "docs/testing.md").read_text().split("## Ways round")[1].split("\n# ")[0]
    named = set(re.findall(r"`(test_\w+)`", table))
    sources = "".join(path.read_text() for path in (CHECKOUT / "tests").rglob("test_*.py"))
    assert len(named) > 30
    assert named <= set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
