"""What is wrong at the moment, in words for status and the log."""

from __future__ import annotations

from collections.abc import Callable

from enforcer.core.problem import Problem
from enforcer.log import LOGGER

# Each problem is a line in status and the log: of a whole policy that has the same
# one, the first few hosts and a count say as much.
MAX_NAMED = 5


class Problems:
    """Current problems by key: one that lasts is logged once, one that ended is gone."""

    def __init__(self) -> None:
        self._current: dict[str, Problem] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._current

    def raise_(self, key: str, problem: Problem) -> None:
        """Record that *problem* exists; the key says whose it is."""
        if self._current.get(key) == problem:
            return
        self._current[key] = problem
        LOGGER.warning("%s%s", problem.text, f" (hint: {problem.hint})" if problem.hint else "")

    def recount(self, key: str, problem: Problem) -> None:
        """Record that *problem* is what `raise_` said under *key* in other words: no news."""
        if key in self._current:
            self._current[key] = problem
        else:
            self.raise_(key, problem)

    def settle(self, key: str) -> None:
        """Record that the problem under *key*, if there was one, is over."""
        if (problem := self._current.pop(key, None)) is not None:
            LOGGER.info("no longer: %s", problem.text)

    def retain(self, prefix: str, keys: set[str]) -> None:
        """Forget the problems whose key starts with *prefix* and is not one of *keys*."""
        for key in [k for k in self._current if k.startswith(prefix) and k not in keys]:
            del self._current[key]

    def current(self) -> tuple[Problem, ...]:
        """Return the problems, oldest first."""
        return tuple(self._current.values())


class ProblemsOfHosts:
    """Problems of one kind that any host may have: a few by name, the others by their count.

    Args:
        problems: told of them.
        kind: begins their keys.
        others: what is wrong with those that are not named.
        hint: for these.
    """

    def __init__(self, problems: Problems, kind: str, others: str, hint: str | None) -> None:
        self._problems = problems
        self._kind = kind
        self._what = others
        self._hint = hint
        self._named: set[str] = set()
        self._others: set[str] = set()

    def raise_(self, host: str, problem: Problem) -> None:
        """Record that *host* has *problem*."""
        if host in self._named or len(self._named) < MAX_NAMED:
            self._named.add(host)
            self._others.discard(host)
            # Of a wildcard it may be another name each time.
            self._problems.recount(f"{self._kind} {host}", problem)
        else:
            self._others.add(host)
        self._count()

    def settle(self, host: str) -> None:
        """Record that *host* has none any more."""
        if host in self._named:
            self._named.remove(host)
            self._problems.settle(f"{self._kind} {host}")
        self._others.discard(host)
        self._count()

    def retain(self, keep: Callable[[str], bool]) -> None:
        """Forget the hosts that *keep* is not true of."""
        for host in [host for host in (*self._named, *self._others) if not keep(host)]:
            self.settle(host)

    def _count(self) -> None:
        key = f"{self._kind} other hosts"
        if count := len(self._others):
            hosts = "another host" if count == 1 else f"{count} other hosts"
            self._problems.recount(key, Problem(f"{self._what} {hosts}", self._hint))
        else:
            self._problems.settle(key)
