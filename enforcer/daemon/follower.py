"""Look at the network, nftables and the machine's resolvers again when they change."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Collection

from enforcer.core.problem import Problem
from enforcer.core.rest import Rest
from enforcer.daemon.enforcement import Enforcement
from enforcer.daemon.kernel_thread import KernelThread
from enforcer.daemon.problems import Problems
from enforcer.daemon.waking import Source, waking, woken
from enforcer.edge.inotify import FileEvents, WatchError
from enforcer.edge.netevents import NetworkEvents, NftablesEvents

KEY = "watching files"
# Not everything is announced: somebody may take our programs off a cgroup.
AT_LEAST_EVERY_S = 5.0
# An interface that comes is announced a dozen times: link, addresses, routes.
SETTLE_S = 0.01
# Of a processor a storm of changes gets this share; some twenty changes one after the other, as
# of a `docker compose up`, are no storm.
SHARE = 0.25
CREDIT_S = 1.5
# While we rest, what can't wait is looked for so often at the most: a millisecond each time.
GLANCE_EVERY_S = 0.1
# And a look follows so soon: somebody who takes our table away all the time gets no more of us.
AGAIN_AFTER_S = 0.5


class Follower:
    """One look covers all that was announced before it, however much that is.

    Announcements are not even read while a look or the rest after it lasts: what
    the kernel can't keep of them says nothing more.

    Args:
        enforcement: told to follow.
        kernel: the thread on which it does.
        port: of the netlink socket that changes our sets, which is no news.
        lock: held meanwhile.
        problems: told when files can't be watched.
    """

    def __init__(
        self,
        enforcement: Enforcement,
        kernel: KernelThread,
        port: int,
        lock: asyncio.Lock,
        problems: Problems,
    ) -> None:
        self._enforcement = enforcement
        self._kernel = kernel
        self._lock = lock
        self._problems = problems
        self._network = NetworkEvents()
        self._nftables = NftablesEvents(port)
        self._files = FileEvents()
        self._wake = asyncio.Event()
        self._asked = False

    def close(self) -> None:
        """Stop listening."""
        self._network.close()
        self._nftables.close()
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
                started, spent = clock(), await self._spent_s()
                self._asked = False
                self._watch()
                await self._enforcement.follow()
            deadline = started + AT_LEAST_EVERY_S
            ended = clock()
            pause = rest.after(started, ended, await self._spent_s() - spent)
            if await self._rested(started + AGAIN_AFTER_S, min(ended + pause, deadline)):
                await self._changed(deadline)

    async def _rested(self, first: float, until: float) -> bool:
        """Rest; tell whether all that time nothing happened that can't wait.

        A storm of changes keeps us from looking at all of them. But the resolvers are to be
        followed, and our table is to judge packets as it was told to.

        Args:
            first: when to look for that at the earliest.
            until: when there is no need to rest any longer.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(min(first, until) - loop.time())
        while loop.time() < until:
            if self._nftables.drain():
                self._asked = True
                if not await self._enforcement.whole():
                    return False
            if self._files.drain():
                return False
            await self._announced((self._nftables, self._files), until)
            await asyncio.sleep(min(GLANCE_EVERY_S, until - loop.time()))
        return True

    async def _spent_s(self) -> float:
        """Return how many seconds of a processor looks have used, and nft for them.

        Not what the whole process has: after a pause answers pile up, and programs that
        were taken off meanwhile would wait for a second because of those.
        """
        times = os.times()
        on_thread = await self._kernel.run(time.thread_time)
        return on_thread + times.children_user + times.children_system

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
        sources = (self._network, self._nftables, self._files)
        while loop.time() < deadline and not self._asked:
            await self._announced(sources, deadline)
            await asyncio.sleep(SETTLE_S)
            # Each of them, or the other one would be readable at once again.
            drained = [source.drain() for source in sources]
            if any(drained):
                return

    async def _announced(self, sources: Collection[Source], deadline: float) -> None:
        """Wait until one of *sources* has something to tell, or until *deadline*."""
        self._wake.clear()
        with waking(self._wake, *sources):
            await woken(self._wake, deadline - asyncio.get_running_loop().time())
