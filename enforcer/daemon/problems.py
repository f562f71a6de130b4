"""What is wrong at the moment, in words for status and the log."""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.log import LOGGER


@dataclass(frozen=True)
class Problem:
    """Something an operator should know, and what to do about it."""

    text: str
    hint: str | None = None


class Problems:
    """Current problems by key: one that lasts is logged once, one that ended is gone."""

    def __init__(self) -> None:
        self._current: dict[str, Problem] = {}

    def raise_(self, key: str, problem: Problem) -> None:
        """Record that *problem* exists; the key says whose it is."""
        if self._current.get(key) == problem:
            return
        self._current[key] = problem
        LOGGER.warning("%s%s", problem.text, f" (hint: {problem.hint})" if problem.hint else "")

    def recount(self, key: str, problem: Problem) -> None:
        """Record that *problem* is what `raise_` said under *key* with another figure: no news."""
        if key in self._current:
            self._current[key] = problem
        else:
            self.raise_(key, problem)

    def settle(self, key: str) -> None:
        """Record that the problem under *key*, if there was one, is over."""
        if self._current.pop(key, None) is not None:
            LOGGER.info("%s: settled", key)

    def retain(self, prefix: str, keys: set[str]) -> None:
        """Forget the problems whose key starts with *prefix* and is not one of *keys*."""
        for key in [k for k in self._current if k.startswith(prefix) and k not in keys]:
            del self._current[key]

    def current(self) -> tuple[Problem, ...]:
        """Return the problems, oldest first."""
        return tuple(self._current.values())
