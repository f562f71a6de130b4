"""Shares: which entry of the policy holds how many pairs, and which pair gives way.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable

from enforcer.core.hostname import Pattern
from enforcer.core.opened import Pair
from enforcer.core.ranking import Ranking

# Who answers for a pair: a pattern of the policy, or nobody known.
Holder = Pattern | None


class Shares:
    """The pairs of each holder; several may hold the same pair.

    The owner of a zone below a wildcard answers with as many addresses as he likes.
    So who holds most gives way, and never takes what another holds too.

    Args:
        end: returns when a pair ends, which may become later.
    """

    def __init__(self, end: Callable[[Pair], float]) -> None:
        self._end = end
        self._holders: dict[Pair, tuple[Holder, ...]] = {}
        self._pairs = pairs = dict[Holder, Ranking[Pair]]()

        def rank(holder: Holder) -> tuple[int, float]:  # no method: see Bindings
            held = pairs[holder]
            return -len(held), end(held.first())

        self._largest = Ranking(rank)

    def add(self, holder: Holder, pair: Pair) -> None:
        """Count *pair* among those of *holder*, if it isn't yet."""
        holders = self._holders.get(pair, ())
        if holder not in holders:
            self._holders[pair] = (*holders, holder)
            if holder not in self._pairs:
                self._pairs[holder] = Ranking(self._end)
            self._pairs[holder].put(pair)
            self._largest.put(holder)

    def discard(self, pair: Pair) -> None:
        """Forget *pair*, whoever holds it."""
        for holder in self._holders.pop(pair, ()):
            self._leave(holder, pair)

    def give_way(self) -> Pair:
        """Take out the pair that goes next.

        Of the holder of the most pairs the one that ends first; one that others
        hold too stays, and is counted as theirs alone from then on.
        """
        while True:
            holder = self._largest.first()
            pair = self._pairs[holder].first()
            self._leave(holder, pair)
            others = tuple(other for other in self._holders.pop(pair) if other != holder)
            if not others:
                return pair
            self._holders[pair] = others

    def _leave(self, holder: Holder, pair: Pair) -> None:
        pairs = self._pairs[holder]
        pairs.discard(pair)
        if not pairs:
            del self._pairs[holder]
            self._largest.discard(holder)
