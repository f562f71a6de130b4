"""Signals that come faster than the loop hears them."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from enforcer.edge.signals import hear

STORM = 2000  # more than the pipe of the loop holds


def test_a_storm_is_heard_and_fills_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback for each signal that its pipe had no room for went to the journal."""
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    async def body() -> None:
        heard = {number: asyncio.Event() for number in (signal.SIGUSR1, signal.SIGUSR2)}
        for number, event in heard.items():
            hear(number, event.set)
        for _ in range(STORM):
            signal.raise_signal(signal.SIGUSR1)
        await heard[signal.SIGUSR1].wait()
        signal.raise_signal(signal.SIGUSR2)
        await heard[signal.SIGUSR2].wait()

    asyncio.run(asyncio.wait_for(body(), 20))
    assert not told
