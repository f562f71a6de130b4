"""Ranking: things by a rank that changes, the first of them at hand.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Thing = TypeVar("Thing", bound=Hashable)

# More items than things are left until there are twice as many, and these few.
_SPARE = 64


class Ranking(Generic[Thing]):
    """A heap of things, in O(log n) amortized for each that is told or taken out.

    Args:
        rank: returns what orders them, the smallest first. It may grow unnoticed;
            that it shrank must be told by `put`. Of equal ones the one that had its
            rank first is first.
    """

    def __init__(self, rank: Callable[[Thing], Any]) -> None:
        self._rank = rank
        # A rank that the thing has or had, a number that settles ties, and the thing.
        self._heap: list[tuple[Any, int, Thing]] = []
        # The number of the one item of each thing that counts.
        self._numbers: dict[Thing, int] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def put(self, thing: Thing) -> None:
        """Add *thing*, or note that its rank shrank."""
        self._last += 1
        self._numbers[thing] = self._last
        heapq.heappush(self._heap, (self._rank(thing), self._last, thing))
        if len(self._heap) > 2 * len(self._numbers) + _SPARE:
            self._heap = [item for item in self._heap if self._counts(item)]
            heapq.heapify(self._heap)

    def discard(self, thing: Thing) -> None:
        """Take *thing* out, if it is there; its rank is not asked for any more."""
        self._numbers.pop(thing, None)

    def first(self) -> Thing:
        """Return the first; there must be one."""
        while True:
            item = self._heap[0]
            if not self._counts(item):
                heapq.heappop(self._heap)
                continue
            rank, number, thing = item
            now = self._rank(thing)
            if now == rank:
                return thing
            heapq.heapreplace(self._heap, (now, number, thing))

    def _counts(self, item: tuple[Any, int, Thing]) -> bool:
        return self._numbers.get(item[2]) == item[1]
