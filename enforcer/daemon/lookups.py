"""Look the exact names of the policy up, again and again as their answers age."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Protocol

import dns.name

from enforcer.core.addresses import Address
from enforcer.core.answers import Answer
from enforcer.core.policy import Policy
from enforcer.core.promises import Origin
from enforcer.core.schedule import Schedule
from enforcer.daemon.problems import Problem, Problems
from enforcer.edge.resolver import CONCURRENT_LOOKUPS, TIMEOUT_S, LookupResult, Resolver

KEY = "lookup of "
# Answers cut short are looked up at once, but no flood of them piles up here, and
# our own lookup, whose answer may be cut as well, is no reason for another: that
# answer is seen within the time that a resolver has to give it, over UDP and TCP.
MAX_SOON = 1024
AGAIN_AFTER_S = 2 * TIMEOUT_S + 1.0


class Asks(Protocol):
    """What looks one name up: the resolver, or a test in its place."""

    async def lookup(self, name: dns.name.Name) -> LookupResult:
        """Return what was said about *name*."""


class Lookups:
    """The lookups of one policy through its resolvers.

    Args:
        observe: told every answer with addresses.
        problems: told which names can't be looked up.
        resolver: makes what asks these addresses.
    """

    def __init__(
        self,
        observe: Callable[[Answer, Origin], None],
        problems: Problems,
        resolver: Callable[[tuple[Address, ...]], Asks] = Resolver,
    ) -> None:
        self._observe = observe
        self._problems = problems
        self._make_resolver = resolver
        self._schedule = Schedule(random.random)
        self._resolvers: tuple[Address, ...] = ()
        self._resolver = resolver(())
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._started: dict[dns.name.Name, float] = {}
        self._broken: BaseException | None = None

    def use(
        self,
        policy: Policy,
        resolvers: tuple[Address, ...],
        now: float,
        *,
        anew: bool = False,
    ) -> None:
        """Look up what *policy* names, through *resolvers*, from now on; *anew*: all at once."""
        names = [host.pattern.name for host in policy.hosts if not host.pattern.wildcard]
        if anew or resolvers != self._resolvers:
            # What could not be looked up may be now: no name waits for its turn.
            self._schedule = Schedule(random.random)
            self._resolvers, self._resolver = resolvers, self._make_resolver(resolvers)
        self._schedule.replace(names, now, min_ttl_s=policy.min_ttl_s, grace_s=policy.grace_s)
        self._problems.retain(KEY, {_key(name) for name in names})
        self._wake.set()

    async def first(self, timeout_s: float) -> None:
        """Look every name up once, or as many as *timeout_s* allows; the others go on."""
        self._start_due(limit=None)
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)

    async def run(self) -> None:
        """Look names up as they fall due, until cancelled."""
        try:
            while True:
                self._wake.clear()
                if self._broken is not None:
                    raise self._broken
                self._start_due(limit=2 * CONCURRENT_LOOKUPS)
                due = self._schedule.next_due()
                full = len(self._running) >= 2 * CONCURRENT_LOOKUPS
                # A finished lookup wakes us too.
                pause = None if full or due is None else max(0.0, due - time.monotonic())
                await self._woken(pause)
        finally:
            for task in self._running:
                task.cancel()

    async def _woken(self, within_s: float | None) -> None:
        # Before Python 3.12 wait_for() forgets a cancellation that comes with a wake-up.
        timer = None
        if within_s is not None:
            timer = asyncio.get_running_loop().call_later(within_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def soon(self, name: dns.name.Name) -> None:
        """Look *name* up now: an answer to somebody else's query for it came incomplete."""
        now = time.monotonic()
        if len(self._started) > 2 * (MAX_SOON + len(self._schedule)):
            self._started = {n: t for n, t in self._started.items() if now - t < AGAIN_AFTER_S}
        fresh = now - self._started.get(name, -AGAIN_AFTER_S) >= AGAIN_AFTER_S
        if fresh and len(self._running) < MAX_SOON:
            self._spawn(name, scheduled=False)

    def _start_due(self, limit: int | None) -> None:
        room = len(self._schedule) if limit is None else limit - len(self._running)
        for name in self._schedule.pop_due(time.monotonic(), max(0, room)):
            self._spawn(name, scheduled=True)

    def _spawn(self, name: dns.name.Name, *, scheduled: bool) -> None:
        self._started[name] = time.monotonic()
        task = asyncio.ensure_future(self._look_up(name, scheduled=scheduled))
        self._running.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # A mistake of ours: it ends the daemon rather than the name's lookups.
            self._broken = self._broken or task.exception()
        self._wake.set()

    async def _look_up(self, name: dns.name.Name, *, scheduled: bool) -> None:
        result = await self._resolver.lookup(name)
        for answer in result.answers:
            self._observe(answer, Origin.RESOLVER)
        if not scheduled:
            return
        now = time.monotonic()
        if result.ttl_s is None:
            self._schedule.failed(name, now)
            text = f"{name.to_text(omit_final_dot=True)} can't be resolved: {result.errors[0]}"
            self._problems.raise_(_key(name), Problem(text, "check the name and the resolvers"))
        else:
            self._schedule.succeeded(name, result.ttl_s, now)
            self._problems.settle(_key(name))


def _key(name: dns.name.Name) -> str:
    return KEY + name.to_text(omit_final_dot=True)
