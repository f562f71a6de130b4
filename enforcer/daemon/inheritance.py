"""What a killed predecessor left in the kernel, for its successor to go on with. Blocking."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from enforcer.core.opened import Pair
from enforcer.core.policy import Policy
from enforcer.core.table import ListedElement
from enforcer.edge import last_words
from enforcer.edge.earlier import Earlier
from enforcer.edge.firewall import Firewall
from enforcer.edge.own_files import RuntimeDirError
from enforcer.edge.programs import Programs
from enforcer.log import LOGGER

# Hexadecimal digits of a policy's digest that the kernel keeps: 64 bits.
_DIGITS = 16


@dataclass(frozen=True)
class Left:
    """What was left.

    Attributes:
        elements: of the sets.
        learned: (address, port) by monotonic end in seconds, from answers for names that
            the policy in force permits.
        pairs: all that was open or could be opened, whatever permitted it.
        opened: what is or was open, with its hosts, if there is word of it.
        at: when it was read, monotonic seconds.
    """

    elements: tuple[ListedElement, ...]
    learned: Mapping[Pair, float]
    pairs: frozenset[Pair]
    opened: tuple[tuple[Pair, tuple[str, ...]], ...]
    at: float


class Inheritance:
    """Reads it, for the programs that are loaded now to know, and the books.

    Args:
        firewall: its table may be the predecessor's.
        programs: of this process.
        earlier: ids of those that are attached.
        directory: where the predecessor may have left word.

    Raises:
        DatapathError: the kernel refuses; every method may.
    """

    def __init__(
        self, firewall: Firewall, programs: Programs, earlier: Iterable[int], directory: Path
    ) -> None:
        self._firewall = firewall
        self._programs = programs
        self._earlier = Earlier(earlier)
        self._directory = directory

    def close(self) -> None:
        """Let go of it: what no program uses any more is gone then."""
        self._earlier.close()

    def pass_on(self, policy: Policy) -> None:
        """Have our programs know what earlier ones learned, if that was by *policy* alone."""
        self._programs.learn(self._learned(policy))

    def take(self, policy: Policy) -> Left:
        """Return what was left, and let go of it."""
        now = time.monotonic()
        elements = self._firewall.held()
        pairs = {(each.address, each.port) for each in elements}
        for _, learned in self._earlier.learned():
            pairs.update(pair for pair, end in learned.items() if end > now)
        opened = self._word()
        found = Left(elements, self._learned(policy), frozenset(pairs), opened, now)
        self.close()
        return found

    def _word(self) -> tuple[tuple[Pair, tuple[str, ...]], ...]:
        try:
            return last_words.read(self._directory)
        except RuntimeDirError as exc:
            # Only connections that are older than what is open depend on it.
            LOGGER.warning("what was open once is not known: %s", exc)
            return ()

    def settle(self) -> None:
        """Forget what was left word of: the ruleset in force takes account of it."""
        try:
            last_words.discard(self._directory)
        except RuntimeDirError as exc:
            LOGGER.warning("what was open once is not forgotten: %s", exc)

    def _learned(self, policy: Policy) -> Mapping[Pair, float]:
        found: dict[Pair, float] = {}
        for by, learned in self._earlier.learned():
            if by == policy_number(policy):
                found |= learned
        return found


def policy_number(policy: Policy) -> int:
    """Return what tells *policy* from others in the kernel; not 0."""
    return int(policy.digest[:_DIGITS], 16) or 1
