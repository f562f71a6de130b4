"""Wait for an event, or until a time."""

from __future__ import annotations

import asyncio


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
