"""Long work on the event loop, some of it after the other, so that all else gets its turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")

# Of addresses some milliseconds.
AT_ONCE = 1024


async def in_turns(items: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """Yield *items*, AT_ONCE at a time, and let others run after each time."""
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
        await asyncio.sleep(0)
