"""A histogram: how many of what was measured lay below each of some bounds.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence


class Histogram:
    """Counts what it is told.

    Args:
        bounds: upper ones, inclusive, in order; one above all of them is added.

    Attributes:
        total: the sum of all values.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = (*bounds, float("inf"))
        self._counts = [0] * len(self._bounds)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count *value*."""
        self._counts[bisect.bisect_left(self._bounds, value)] += 1
        self.total += value

    def __iter__(self) -> Iterator[tuple[float, int]]:
        """Yield each bound, and how many values were not above it."""
        return zip(self._bounds, itertools.accumulate(self._counts), strict=True)
