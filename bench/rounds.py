"""Statistics of measurements taken in rounds, each round once around all variants.

Pure. A shared machine drifts: figures taken one after the other are compared
within their round only, as ratios, and what is reported is the median of the
rounds' ratios with the smallest and the largest.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Spread:
    """The median of one figure over the rounds, its smallest and its largest value."""

    median: float
    low: float
    high: float


def spread(figures: Sequence[float]) -> Spread:
    """Return the median and the ends of *figures*; all NaN when there are none."""
    if not figures:
        return Spread(math.nan, math.nan, math.nan)
    return Spread(statistics.median(figures), min(figures), max(figures))


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that *percent* of *samples* do not exceed; NaN without any."""
    if not samples:
        return math.nan
    rank = math.ceil(len(samples) * percent / 100)
    return sorted(samples)[max(rank, 1) - 1]


@dataclass(frozen=True)
class Series:
    """The samples of one variant, round by round.

    A round may have none, when every attempt in it failed.
    """

    rounds: tuple[tuple[float, ...], ...]

    def percentile(self, percent: float) -> float:
        """Return the percentile over the samples of all rounds."""
        return percentile([sample for each in self.rounds for sample in each], percent)

    def over(self, base: Series, percent: float) -> Spread:
        """Return the ratio of this percentile to that of *base*, taken round by round.

        Raises:
            ValueError: the two were not measured in the same rounds.
        """
        pairs = zip(self.rounds, base.rounds, strict=True)
        return spread(
            [percentile(a, percent) / percentile(b, percent) for a, b in pairs if a and b]
        )


def interleaved(rounds: int, variants: Sequence[T]) -> Iterator[T]:
    """Yield each variant once a round, the first one a different one each round.

    Whoever always came first would always meet the caches of whoever came last.
    """
    for number in range(rounds):
        start = number % len(variants)
        yield from (*variants[start:], *variants[:start])
