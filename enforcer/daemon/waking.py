"""Wait for an event, or until a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Protocol


class Source(Protocol):
    """What can be waited for, unless its descriptor is -1."""

    def fileno(self) -> int:
        """Return the descriptor."""


@contextlib.contextmanager
def waking(event: asyncio.Event, *sources: Source) -> Iterator[None]:
    """Set *event* in the block once one of *sources* is readable."""
    loop = asyncio.get_running_loop()
    descriptors = [each.fileno() for each in sources if each.fileno() >= 0]
    for each in descriptors:
        loop.add_reader(each, event.set)
    try:
        yield
    finally:
        for each in descriptors:
            loop.remove_reader(each)


async def woken(event: asyncio.Event, within_s: float | None) -> None:
    """Wait until *event* is set; after *within_s* seconds it is (None: not by itself)."""
    # Before Python 3.12 wait_for() forgets a cancellation that comes with a wake-up.
    timer = None
    if within_s is not None:
        timer = asyncio.get_running_loop().call_later(within_s, event.set)
    try:
        await event.wait()
    finally:
        if timer is not None:
            timer.cancel()
