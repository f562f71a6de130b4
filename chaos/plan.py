"""What happens in a run, in which order: decided by the seed alone. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

# One of each, as often as the others; the second ones of a kind differ in what they hit.
TARGETS: dict[str, tuple[str, ...]] = {
    "kill": ("",),
    "pause": ("",),
    "restart": ("",),
    "reload": ("",),
    "flush": ("",),
    "qdisc": ("eth0", "br-lab"),
    "link": ("eth0", "to-container"),
    "resolver": ("",),
}
KINDS = tuple(TARGETS)
# The daemon of an earlier commit gives way to this one's.
UPGRADE = "upgrade"
# Between the end of an event and the next: long enough that what an event left behind shows,
# short enough that some begin before the daemon has done with the last one.
_GAP_S = (0.1, 1.0)
# How long a link is down and a daemon dead.
_LASTS_S = (0.2, 2.0)


@dataclass(frozen=True)
class Step:
    """One event of a plan.

    Attributes:
        kind: one of KINDS, or UPGRADE.
        target: the interface that it hits, where there is one.
        lasts_s: how long a link is down or a daemon dead.
        gap_s: after it.
    """

    kind: str
    target: str
    lasts_s: float
    gap_s: float


def plan(events: int, seed: int, kinds: Sequence[str] = KINDS) -> tuple[Step, ...]:
    """Return as many events; each kind comes before any comes again."""
    drawn = random.Random(seed)  # noqa: S311 - a plan to repeat, no secret
    steps: list[Step] = []
    while len(steps) < events:
        for kind in drawn.sample(kinds, len(kinds)):
            target = drawn.choice(TARGETS[kind])
            steps.append(Step(kind, target, drawn.uniform(*_LASTS_S), drawn.uniform(*_GAP_S)))
    return tuple(steps[:events])


def upgrade(seed: int) -> Step:
    """Return the event that the daemon of an earlier commit gives way."""
    drawn = random.Random(seed)  # noqa: S311 - as above
    return Step(UPGRADE, "", drawn.uniform(*_LASTS_S), drawn.uniform(*_GAP_S))
