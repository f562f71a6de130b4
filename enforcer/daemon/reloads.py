"""Put the policy file in force again: asked for, or by a signal or the file that is watched."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Coroutine, Mapping
from typing import Any

from enforcer.core.problem import Problem
from enforcer.core.wording import counted
from enforcer.daemon.enforcement import Enforcement
from enforcer.daemon.follower import Follower
from enforcer.daemon.problems import Problems
from enforcer.daemon.prover import Prover
from enforcer.daemon.scraping import Scraping
from enforcer.edge.notify import notify
from enforcer.edge.policy_file import signature
from enforcer.errors import DatapathError, EnforcerError, NotRunning
from enforcer.log import LOGGER

KEY = "reload"
# A reload that the machine refuses costs as much as one that it doesn't.
AGAIN_AFTER_S, AT_LEAST_EVERY_S = 1.0, 60.0
_SHORT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Reloads:
    """One at a time; what the machine refuses to nobody in particular is tried again.

    Whoever asked is told, and asks again. For a signal, or a file that is watched, it is
    done until it works or the file is another one.

    Args:
        enforcement: told to reload.
        prover: has another proof to give afterwards.
        follower: looks again afterwards.
        scraping: follows the policy.
        problems: told of what failed.
        lock: held while the policy in force changes.
        stop: set when there is to be none in force any more.

    Attributes:
        counts: by result.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that a reload concerns
        self,
        enforcement: Enforcement,
        prover: Prover,
        follower: Follower,
        scraping: Scraping,
        problems: Problems,
        lock: asyncio.Lock,
        stop: asyncio.Event,
    ) -> None:
        self._enforcement = enforcement
        self._prover = prover
        self._follower = follower
        self._scraping = scraping
        self._problems = problems
        self._lock = lock
        self._stop = stop
        self._tasks: set[asyncio.Task[None]] = set()
        self._waits = False
        self._again: asyncio.Task[None] | None = None
        # Of the last one, unless that worked.
        self._why: EnforcerError | None = None
        self.counts = {"ok": 0, "failed": 0}

    @property
    def under_way(self) -> tuple[asyncio.Task[None], ...]:
        """Those that nobody waits for and that are not done."""
        return tuple(self._tasks)

    async def asked(self, _query: Mapping[str, str]) -> dict[str, Any]:
        """Reload, for somebody who waits for the answer.

        Raises:
            EnforcerError: it can't be done; what was in force still is.
        """
        async with self._lock:
            try:
                await self._reload()
            except EnforcerError as exc:
                self._tell(exc)
                raise
        policy = self._enforcement.in_force.policy
        return {"path": os.fspath(self._enforcement.path), "hosts": len(policy.hosts)}

    def soon(self) -> None:
        """Reload, for nobody who waits for an answer."""
        if self._waits:
            return  # it has not read the file yet
        self._waits = True
        self._begin(self.unasked())

    async def unasked(self) -> None:
        """Reload, for nobody who waits for an answer: a failure is logged and a problem."""
        async with self._lock:
            try:
                await self._reload()
            except EnforcerError as exc:
                if _may_pass(exc) and self._again is None:
                    self._again = self._begin(self._until_it_works())
                self._tell(exc)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _until_it_works(self) -> None:
        """Reload again and again, but no file that is not the one that was refused."""
        pause_s = AGAIN_AFTER_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, AT_LEAST_EVERY_S)
            async with self._lock:
                if self._why is None or await self._is_another():
                    break
                try:
                    await self._reload()
                except EnforcerError as exc:
                    self._tell(exc)
                    if not _may_pass(exc):
                        break
        self._again = None
        if self._why is not None:
            self._tell(self._why)

    async def _is_another(self) -> bool:
        now = await asyncio.to_thread(signature, self._enforcement.path)
        return now != self._enforcement.read

    async def _reload(self) -> None:
        self._waits = False
        if self._stop.is_set():
            raise NotRunning("enforcement has been switched off: nothing is reloaded")
        clock = f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"
        notify(f"RELOADING=1\n{clock}\nSTATUS=reading the policy again")
        try:
            await self._enforcement.reload()
            await self._prover.prove()
        except EnforcerError:
            self.counts["failed"] += 1
            raise
        finally:
            notify("READY=1")
        self.counts["ok"] += 1
        self._why = None
        self._problems.settle(KEY)
        self._follower.soon()
        await self._scraping.follow()
        hosts = self._enforcement.in_force.policy.hosts
        LOGGER.info("policy reloaded: %s", counted(len(hosts), "host"))

    def _tell(self, exc: EnforcerError) -> None:
        self._why = exc
        again = "; it is tried again" if self._again and _may_pass(exc) else ""
        text = f"the policy file is not in force: {exc.message}{again}"
        self._problems.raise_(KEY, Problem(text, exc.hint or "mend it and reload"))


def _may_pass(exc: EnforcerError) -> bool:
    """Tell whether *exc* is the machine's fault, and not the file's."""
    cause = exc.__cause__
    short = isinstance(cause, OSError) and cause.errno in _SHORT_OF
    return short or isinstance(exc, DatapathError)
