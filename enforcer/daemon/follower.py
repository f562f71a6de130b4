"""Look at the network and the machine's resolvers again when they change."""

from __future__ import annotations

import asyncio

from enforcer.core.problem import Problem
from enforcer.core.rest import Rest
from enforcer.daemon.enforcement import Enforcement
from enforcer.daemon.problems import Problems
from enforcer.daemon.waking import woken
from enforcer.edge.inotify import FileEvents, WatchError
from enforcer.edge.netevents import NetworkEvents

KEY = "watching files"
# Not everything is announced: somebody may take our filters away.
AT_LEAST_EVERY_S = 5.0
# An interface that comes is announced a dozen times: link, addresses, routes.
SETTLE_S = 0.01
# Of the kernel thread's time a storm of changes gets this share; some twenty changes one
# after the other, as of a `docker compose up`, are no storm.
SHARE = 0.25
CREDIT_S = 1.5


class Follower:
    """One look covers all that was announced before it, however much that is.

    Announcements are not even read while a look or the rest after it lasts: what
    the kernel can't keep of them says nothing more.

    Args:
        enforcement: told to follow.
        lock: held meanwhile.
        problems: told when files can't be watched.
    """

    def __init__(self, enforcement: Enforcement, lock: asyncio.Lock, problems: Problems) -> None:
        self._enforcement = enforcement
        self._lock = lock
        self._problems = problems
        self._network = NetworkEvents()
        self._files = FileEvents()
        self._wake = asyncio.Event()
        self._asked = False

    def close(self) -> None:
        """Stop listening."""
        self._network.close()
        self._files.close()

    def soon(self) -> None:
        """Look again although nothing was announced: another policy may watch other files."""
        self._asked = True
        self._wake.set()

    async def run(self) -> None:
        """Follow until cancelled."""
        clock = asyncio.get_running_loop().time
        rest = Rest(SHARE, CREDIT_S)
        while True:
            async with self._lock:
                started = clock()
                self._asked = False
                self._watch()
                await self._enforcement.follow()
            deadline = started + AT_LEAST_EVERY_S
            ended = clock()
            await asyncio.sleep(min(rest.after(started, ended), max(0.0, deadline - ended)))
            await self._changed(deadline)

    def _watch(self) -> None:
        # Before the files are read: what is written after that is announced.
        try:
            self._files.watch(self._enforcement.files)
        except WatchError as exc:
            self._problems.raise_(KEY, Problem(exc.message, exc.hint))
        else:
            self._problems.settle(KEY)

    async def _changed(self, deadline: float) -> None:
        """Wait for a change, or until *deadline*."""
        loop = asyncio.get_running_loop()
        sources = (self._network, self._files)
        while loop.time() < deadline and not self._asked:
            self._wake.clear()
            for source in sources:
                loop.add_reader(source, self._wake.set)
            try:
                await woken(self._wake, deadline - loop.time())
            finally:
                for source in sources:
                    loop.remove_reader(source)
            await asyncio.sleep(SETTLE_S)
            # Each of them, or the other one would be readable at once again.
            drained = [source.drain() for source in sources]
            if any(drained):
                return
