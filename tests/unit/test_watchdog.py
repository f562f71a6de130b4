"""The service manager's watchdog is fed by a daemon that works, and by no other."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.daemon.kernel_thread import KernelThread
from enforcer.daemon.watchdog import Watchdog
from enforcer.edge.notify import watchdog_s
from enforcer.errors import DatapathError

LIMIT_S = 0.2


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Return the socket of a service manager with a watchdog."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", str(int(LIMIT_S * 1e6)))
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(0)
        yield listening


class Kernel:
    """What the kernel says of our table.

    Attributes:
        answers: whether it judges; None: an error.
        free: while it is cleared, the kernel says nothing.
    """

    def __init__(self) -> None:
        self.answers: bool | None = True
        self.free = threading.Event()
        self.free.set()

    def judges(self) -> bool:
        """Say whether our table judges."""
        self.free.wait()
        if self.answers is None:
            raise DatapathError("the kernel does not say")
        return self.answers


async def fed_within(listening: socket.socket, timeout_s: float) -> bool:
    """Tell whether the watchdog is fed in the next *timeout_s*, whatever was sent before."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            listening.recv(4096)
        except BlockingIOError:
            break

    async def food() -> None:
        while await loop.sock_recv(listening, 4096) != b"WATCHDOG=1":
            pass

    try:
        await asyncio.wait_for(food(), timeout_s)
    except asyncio.TimeoutError:
        return False
    return True


def test_the_watchdog_is_fed_by_what_works(manager: socket.socket) -> None:
    """Not while our table judges nothing, the kernel refuses to tell, or its thread hangs."""
    kernel = Kernel()

    async def run() -> list[bool]:
        thread = KernelThread()
        watchdog = asyncio.ensure_future(Watchdog(thread, kernel.judges, lambda: "fine").run())
        try:
            found = [await fed_within(manager, 5)]
            for answers in (False, None):
                kernel.answers = answers
                await thread.run(lambda: None)  # what was asked before has been answered
                await asyncio.sleep(0)
                found.append(await fed_within(manager, 2 * LIMIT_S))
                kernel.answers = True
                found.append(await fed_within(manager, 5))
            kernel.free.clear()
            found += [await fed_within(manager, LIMIT_S), await fed_within(manager, 2 * LIMIT_S)]
            kernel.free.set()
            found.append(await fed_within(manager, 5))
            return found
        finally:
            kernel.free.set()
            watchdog.cancel()
            await asyncio.gather(watchdog, return_exceptions=True)
            thread.close()

    found = asyncio.run(run())
    del found[5]  # of a hang: what was under way
    assert found == [True, False, True, False, True, False, True]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid())}, 120.0),
        ({"WATCHDOG_USEC": "120000000"}, 120.0),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_limit_of_the_watchdog_is_what_systemd_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: float | None
) -> None:
    """Of this process alone: a child of a watched one inherits the variables."""
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert watchdog_s() == expected
