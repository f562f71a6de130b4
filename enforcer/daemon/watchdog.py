"""What the service manager is told while the daemon runs: that it lives, and how it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from enforcer.daemon.kernel_thread import KernelThread
from enforcer.edge.notify import notifies, notify, watchdog_s
from enforcer.errors import EnforcerError
from enforcer.log import LOGGER

# How old the text of `systemctl status` may be.
TELL_EVERY_S = 5.0


class Watchdog:
    """Feeds the service manager's watchdog for as long as packets are judged by our table.

    Each time the event loop asks the kernel thread, which asks the kernel: who hangs
    anywhere on this way starves it, and is killed and started anew.

    Args:
        kernel: the thread that all changes of the kernel's state wait for.
        judges: tells there whether our table judges packets.
        text: how the daemon is, in a line.
    """

    def __init__(
        self, kernel: KernelThread, judges: Callable[[], bool], text: Callable[[], str]
    ) -> None:
        self._kernel = kernel
        self._judges = judges
        self._text = text

    async def run(self) -> None:
        """Tell until cancelled; nothing if nobody listens."""
        if not notifies():
            await asyncio.Event().wait()
        limit = watchdog_s()
        every = TELL_EVERY_S if limit is None else min(TELL_EVERY_S, limit / 4)
        while True:
            notify(f"STATUS={self._text()}")
            if limit is not None and await self._healthy():
                notify("WATCHDOG=1")
            await asyncio.sleep(every)

    async def _healthy(self) -> bool:
        try:
            return await self._kernel.run(self._judges)
        except EnforcerError as exc:
            LOGGER.debug("the watchdog is not fed: %s", exc)
            return False
