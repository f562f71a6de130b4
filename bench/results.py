"""What a measurement reports: tables, goals met or not, raw figures. Pure.

Also how that is written on a terminal of 80 columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.rounds import Spread

WIDTH = 80


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        rounds: times around all variants.
        count: connections, answers or attempts of one variant in a round.
        seconds: of one round where a rate is measured.
    """

    rounds: int
    count: int
    seconds: float


@dataclass(frozen=True)
class Table:
    """Rows under a head; every row has as many cells as the head."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Goal:
    """A figure that is to be reached.

    Attributes:
        met: None where nothing could be measured.
    """

    figure: str
    reach: str
    measured: str
    met: bool | None


@dataclass(frozen=True)
class Result:
    """What one measurement found.

    Attributes:
        raw: every figure of every round, for JSON.
    """

    tables: tuple[Table, ...]
    goals: tuple[Goal, ...]
    raw: Mapping[str, Any]


def at_most(figure: str, reach: str, *checks: tuple[str, float, float]) -> Goal:
    """Return the goal that values stay within their limits.

    Args:
        figure: what is measured.
        reach: the limits in words.
        checks: how a value is written (``{:.2f}``), its limit, and the value.
    """
    if any(math.isnan(value) for _, _, value in checks):
        return Goal(figure, reach, "-", None)
    measured = "/".join(form.format(value) for form, _, value in checks)
    return Goal(figure, reach, measured, all(value <= limit for _, limit, value in checks))


def render(table: Table) -> str:
    """Return *table* as text: the first column to the left, figures to the right."""
    lines = (table.head, *table.rows)
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.head))]
    return "\n".join((table.title, "", *(_line(line, widths) for line in lines)))


def goals_table(goals: Sequence[Goal]) -> Table:
    """Return *goals* as a table."""
    verdict = {True: "met", False: "NOT met", None: "-"}
    rows = tuple((g.figure, g.reach, g.measured, verdict[g.met]) for g in goals)
    return Table("What it must show", ("figure", "reach", "measured", ""), rows)


def ratio(value: Spread) -> str:
    """Return a ratio with its smallest and largest: ``1.08 (0.9..1.2)``."""
    if math.isnan(value.median):
        return "-"
    return f"{value.median:.2f} ({value.low:.1f}..{value.high:.1f})"


def microseconds(seconds: float) -> str:
    """Return *seconds* as microseconds, without the unit."""
    return "-" if math.isnan(seconds) else f"{seconds * 1e6:,.0f}"


def _line(cells: tuple[str, ...], widths: Sequence[int]) -> str:
    def padded() -> Iterator[str]:
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            yield cell.ljust(width) if number == 0 else cell.rjust(width)

    return "  ".join(padded()).rstrip()
