"""When to take the answers that the kernel passes on: woken by the first, then by the clock.

To be woken costs the packet that does it some microseconds (`enforcer/edge/ring.py`), before
its reader gets it. So it happens once in a burst of answers, like a network card's interrupt:
while they come, we look by ourselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from enforcer.edge.scheduling import Courtesy

# An answer waits so long at most: the packet path has opened its address already.
LOOK_EVERY_S = 0.002
# As many in vain end the burst. Clients ask for A and AAAA, and follow a redirect, sooner.
PATIENCE = 10
# Answers that are taken before anything else gets its turn: some milliseconds.
EVENTS_AT_ONCE = 64


class Source(Protocol):
    """What answers come from: enforcer.edge.programs.Programs."""

    def open_events(self) -> tuple[int, ...]:
        """Return descriptors that are readable when there are answers to take."""

    def announce(self) -> None:
        """Make them readable for each answer."""

    def hush(self) -> None:
        """Make them readable only where answers pile up."""


class Listener:
    """Has answers taken soon after they came, on the running event loop.

    Args:
        source: of the answers.
        take: takes some, at most about as many as it is told; returns how many.
        courtesy: told of bursts, and of looks that come late.
    """

    def __init__(self, source: Source, take: Callable[[int], int], courtesy: Courtesy) -> None:
        self._source = source
        self._take = take
        self._courtesy = courtesy
        self._descriptors = source.open_events()
        self._patience = 0  # looks in vain until the burst is over; 0: it is
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin to take answers."""
        for fd in self._descriptors:
            asyncio.get_running_loop().add_reader(fd, self._look)

    def close(self) -> None:
        """Stop."""
        for fd in self._descriptors:
            asyncio.get_running_loop().remove_reader(fd)
        if self._timer is not None:
            self._timer.cancel()
        self._courtesy.end()

    def _look(self) -> None:
        if self._take(EVENTS_AT_ONCE):
            if not self._patience:
                self._source.hush()
                self._courtesy.begin(asyncio.get_running_loop().time())
            self._patience = PATIENCE
            if self._timer is None:
                self._again()

    def _again(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + LOOK_EVERY_S
        self._timer = loop.call_at(self._due, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        self._courtesy.starving(now - self._due, now)
        if self._patience:
            # The burst's last look comes after it was declared over: for what was silent still.
            self._again()
            if self._patience == 1:
                self._courtesy.end()
                self._source.announce()
            self._patience -= 1
        self._look()
