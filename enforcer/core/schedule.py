"""Schedule: when each exact name is to be looked up next.

Pure: no I/O, no clock, no randomness of its own; every `now` is in monotonic
seconds and never goes back.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable

from enforcer.core.answers import MAX_TTL_S

# Lookups move by up to a tenth, so that names learned together at the start
# don't stay together for ever.
SPREAD = 0.1

# How much of a binding's lifetime may pass before the next lookup begins; the
# rest is for the lookup. It counts only where the policy leaves little grace.
LATEST = 0.9

# A name whose TTL, floor and grace are all zero is not asked for in a busy loop.
SHORTEST_S = 1.0

# A failed lookup is repeated after 1, 2, 4, ... seconds: eight times within the
# default grace, then every five minutes for as long as the policy has the name.
BACKOFF_FIRST_S = 1.0
BACKOFF_LAST_S = 300.0


class Schedule:
    """The names to look up, each with its time.

    Empty until `replace` names them. A name given out by `pop_due` stays out
    until `succeeded` or `failed` tells how its lookup ended.

    Args:
        jitter: returns a random number from [0, 1).
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._min_ttl_s = 0
        self._grace_s = 0
        self._failures: dict[str, int] = {}  # in a row; has every name
        self._failing = 0
        self._out: set[str] = set()
        # (due, a number that settles ties, name) of every name that isn't out.
        self._waiting: list[tuple[float, int, str]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._failures)

    def __contains__(self, name: object) -> bool:
        return name in self._failures

    @property
    def failing(self) -> int:
        """How many names' last lookup failed."""
        return self._failing

    def replace(self, names: Iterable[str], now: float, *, min_ttl_s: int, grace_s: int) -> None:
        """Take over the names of a policy: new ones are due at once, in this order.

        Names that stay keep their time; names that are gone are forgotten, also
        those whose lookup runs.

        Args:
            names: exact names, as patterns have them.
            now: monotonic seconds.
            min_ttl_s: a smaller TTL counts as this, from now on.
            grace_s: how long bindings outlive their TTL, from now on.
        """
        self._min_ttl_s, self._grace_s = min_ttl_s, grace_s
        before, self._failures = self._failures, {}
        new = []
        for name in names:
            if name not in before and name not in self._failures:
                new.append((now, next(self._numbers), name))
            self._failures[name] = before.get(name, 0)
        self._failing = sum(failures > 0 for failures in self._failures.values())
        self._out.intersection_update(self._failures)
        self._waiting = [item for item in self._waiting if item[2] in self._failures] + new
        heapq.heapify(self._waiting)

    def pop_due(self, now: float, limit: int) -> tuple[str, ...]:
        """Give out at most *limit* names whose time has come, longest overdue first."""
        names: list[str] = []
        while self._waiting and self._waiting[0][0] <= now and len(names) < limit:
            names.append(heapq.heappop(self._waiting)[2])
        self._out.update(names)
        return tuple(names)

    def next_due(self) -> float | None:
        """Return when the next name is due; None if none waits."""
        return self._waiting[0][0] if self._waiting else None

    def succeeded(self, name: str, ttl_s: int, now: float) -> None:
        """Schedule *name* by the TTL it was answered with, before its binding ends.

        A little after the TTL if the grace allows it, when the resolver has a
        fresh answer, else a little before the end of
        max(ttl_s, min_ttl_s) + grace_s.
        """
        ttl_s = max(ttl_s, self._min_ttl_s)
        moved = SPREAD * self._jitter()
        fresh = ttl_s * (1 + moved)
        latest = (ttl_s + self._grace_s) * LATEST * (1 - moved)
        self._wait(name, now + min(max(min(fresh, latest), SHORTEST_S), MAX_TTL_S), failures=0)

    def failed(self, name: str, now: float) -> None:
        """Schedule *name* for another try, later after every failure in a row."""
        failures = self._failures.get(name, 0) + 1
        # The exponent stops where the delay does: 2.0 ** 1024 overflows.
        delay = min(BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 16), BACKOFF_LAST_S)
        self._wait(name, now + delay * (1 - SPREAD * self._jitter()), failures)

    def _wait(self, name: str, due: float, failures: int) -> None:
        # Else the policy has lost the name since, and perhaps found it again.
        if name in self._out:
            self._out.remove(name)
            self._failing += (failures > 0) - (self._failures[name] > 0)
            self._failures[name] = failures
            heapq.heappush(self._waiting, (due, next(self._numbers), name))
