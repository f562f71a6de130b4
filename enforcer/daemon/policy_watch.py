"""Put the policy file in force when it changes, if it says so itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from enforcer.core.problem import Problem
from enforcer.daemon.enforcement import Enforcement
from enforcer.daemon.problems import Problems
from enforcer.daemon.waking import waking, woken
from enforcer.edge.inotify import FileEvents, WatchError
from enforcer.edge.policy_file import Signature, is_being_written, signature
from enforcer.log import LOGGER

KEY = "watching the policy file"
# Not all is announced: what others on a network file system do, for one.
AT_LEAST_EVERY_S = 5.0
# An editor moves the old file away before it writes the new one.
SETTLE_S = 0.25


class PolicyWatch:
    """Has the file read again once it differs from what was last read, valid or not.

    Half a file may well be a valid policy, so one that somebody is still writing is
    left alone.

    Args:
        enforcement: knows the file, and what was read of it.
        reload: reads it and puts it in force, or tells the problem.
        problems: told when it can't be watched.
    """

    def __init__(
        self, enforcement: Enforcement, reload: Callable[[], Awaitable[None]], problems: Problems
    ) -> None:
        self._enforcement = enforcement
        self._reload = reload
        self._problems = problems
        self._wake = asyncio.Event()
        self._events = FileEvents()

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                # Before looking: what changes after that is announced.
                self._follow()
                if await self._changed():
                    LOGGER.info("%s has changed", self._enforcement.path)
                    await self._reload()
                else:
                    await self._announced()
        finally:
            self._events.close()

    @property
    def _watching(self) -> bool:
        return self._enforcement.in_force.policy.watch

    def _follow(self) -> None:
        if not self._watching:
            self._events.close()
            self._problems.settle(KEY)
            return
        try:
            self._events.drain()
            self._events.watch((self._enforcement.path,))
        except WatchError as exc:
            self._events.close()
            hint = f"{exc.hint}; until then it is looked at every {AT_LEAST_EVERY_S:g} s"
            self._problems.raise_(KEY, Problem(exc.message, hint))
        else:
            self._problems.settle(KEY)

    async def _announced(self) -> None:
        """Wait for an announcement, or a while."""
        self._wake.clear()
        with waking(self._wake, self._events):
            await woken(self._wake, AT_LEAST_EVERY_S)

    async def _changed(self) -> bool:
        """Tell whether there is something else to be read, and all of it."""
        path = self._enforcement.path
        before: Signature | None = self._enforcement.read
        while self._watching:
            now = await asyncio.to_thread(signature, path)
            if now == self._enforcement.read:
                return False
            if now == before:
                return not await asyncio.to_thread(is_being_written, path)
            before = now
            await asyncio.sleep(SETTLE_S)
        return False
