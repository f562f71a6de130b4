"""What `enforcer watch` shows in each situation, on a screen that can't be scrolled."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from enforcer.cli.screen import as_watched
from enforcer.core.problem import Problem
from tests.golden.golden import assert_golden
from tests.golden.test_status import BOTH, CASES, DENIED, FOLDER, UNRESOLVED, WHOLE, running

ROWS = 24
TEXT = (
    "registry access to ghcr.io is not allowed by acme's policy: tcp to 198.51.100.{}:443, by"
    " dockerd (pid 812, /usr/bin/dockerd, uid 0) of unit docker.service, 2 packets"
)


def recent(document: dict[str, Any], count: int) -> dict[str, Any]:
    """Return *document* with the last *count* denials, oldest first."""
    found = [
        {"text": TEXT.format(number), "last": f"2026-11-23T08:0{number}:00+00:00"}
        for number in range(count)
    ]
    return document | {"denied": document["denied"] | {"recent": found}}


WATCHED = {
    "quiet": CASES["healthy"][0],
    "killed": CASES["killed"][0],
    "never-started": CASES["never-started"][0],
    "denied": recent(running(WHOLE, proof=BOTH, denied=DENIED[:2]), 9),
    "problem": recent(running(WHOLE, UNRESOLVED, denied=DENIED[:1]), 1),
}


def lines(document: dict[str, Any], width: int = 80) -> list[str]:
    """Return what is shown of *document*."""
    written = io.StringIO()
    Console(file=written, width=width, highlight=False).print(as_watched(document))
    return [line.rstrip() for line in written.getvalue().splitlines()]


@pytest.mark.parametrize("name", WATCHED)
def test_a_screen_shows_it_as_reviewed(name: str) -> None:
    """In 80 columns, the state in the first of its lines."""
    found = lines(WATCHED[name])
    assert max(map(len, found)) <= 80
    assert_golden(FOLDER / "watched" / f"{name}.txt", "\n".join(found) + "\n")


def test_what_changes_is_on_a_small_screen() -> None:
    """The latest denials were below its end, and so were problems."""
    other = Problem("registry.other.example can't be resolved", "check the name")
    document = recent(running(WHOLE, UNRESOLVED, other, denied=DENIED[:3]), 1)
    text = "\n".join(lines(document)[:ROWS])
    for words in (UNRESOLVED.text[:30], other.text, "ghcr.io:443", "198.51.100.0:443"):
        assert words in text


def test_the_latest_denial_is_the_first_of_a_few() -> None:
    """With its time of day, and folded however narrow the screen is."""
    found = [line for line in lines(WATCHED["denied"], 60) if "registry access to" in line]
    assert [line.split()[0] for line in found] == [f"09:3{n}:00" for n in range(8, 0, -1)]
    assert max(map(len, lines(WATCHED["denied"], 60))) <= 60
