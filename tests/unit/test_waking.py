"""Waiting for an event or a time, and being told to stop meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from enforcer.daemon.waking import woken


@pytest.mark.parametrize("passes", range(4))
def test_a_cancellation_that_comes_with_the_wake_up_counts(passes: int) -> None:
    """A task that went on instead kept the daemon from stopping: in storms of changes, often.

    Args:
        passes: of the event loop between the two.
    """

    async def go_on_for_ever() -> None:
        event = asyncio.Event()
        events.append(event)
        while True:
            event.clear()
            await woken(event, 60)

    async def run() -> None:
        task = asyncio.ensure_future(go_on_for_ever())
        await asyncio.sleep(0)
        events[0].set()
        for _ in range(passes):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=1)
        assert done == {task}
        assert task.cancelled()

    events: list[asyncio.Event] = []
    asyncio.run(run())


def test_it_ends_after_its_time() -> None:
    """Without anybody who sets the event; it looks set, so that whoever waits sees one thing."""

    async def run() -> bool:
        event = asyncio.Event()
        await woken(event, 0.001)
        return event.is_set()

    assert asyncio.run(run())
