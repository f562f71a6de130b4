"""Look the exact names of the policy up, again and again as their answers age."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Final, Protocol

import dns.name

from enforcer.core.addresses import Address
from enforcer.core.answers import Answer
from enforcer.core.hostname import domain_of
from enforcer.core.pace import Pace
from enforcer.core.policy import Policy
from enforcer.core.problem import Problem
from enforcer.core.promises import Origin
from enforcer.core.schedule import Schedule
from enforcer.daemon.problems import MAX_NAMED, Problems
from enforcer.daemon.waking import woken
from enforcer.edge.resolver import CONCURRENT_LOOKUPS, TIMEOUT_S, LookupResult, Resolver

KEY = "lookup of "
OTHERS = "lookups of other hosts"
HINT = "check the name and the resolvers"
WHICH = "enforcer hosts shows which; check the names and the resolvers"
# More tasks than lookups at a time, so that none of these waits for its turn here.
MAX_RUNNING: Final = 2 * CONCURRENT_LOOKUPS
# A lookup takes about a millisecond of a processor. In the default lifetime of
# an answer, 360 s, so many keep 36,000 names open ahead of their use; others of
# a longer policy are opened by the answer to whoever asks for them.
RATE_PER_S = 100.0
# Answers cut short are looked up at once, but no flood of them piles up here, and
# our own lookup, whose answer may be cut as well, is no reason for another: that
# answer is seen within the time that a resolver has to give it, over UDP and TCP.
MAX_SOON = 1024
# Whoever owns a zone below a wildcard decides how many there are and how long they
# take, so the policy's own names don't queue with them. Both together are fewer
# queries than dnsmasq takes at a time (enforcer/edge/resolver.py).
CONCURRENT_SOON: Final = 10
AGAIN_AFTER_S = 2 * TIMEOUT_S + 1.0


class Asks(Protocol):
    """What looks one name up: the resolver, or a test in its place."""

    async def lookup(self, name: dns.name.Name) -> LookupResult:
        """Return what was said about *name*."""


class MakesAsks(Protocol):
    """What makes a resolver that asks these addresses, so many lookups at a time."""

    def __call__(self, nameservers: tuple[Address, ...], /, *, concurrency: int) -> Asks:
        """Return it."""


class Lookups:
    """The lookups of one policy through its resolvers.

    Args:
        observe: told every answer with addresses.
        problems: told which names can't be looked up.
        resolver: makes one for the policy's names and one for those needed soon, so
            that neither waits for the other, nor avoids a server that left the
            other's queries unanswered.
    """

    def __init__(
        self,
        observe: Callable[[Answer, Origin], None],
        problems: Problems,
        resolver: MakesAsks = Resolver,
    ) -> None:
        self._observe = observe
        self._problems = problems
        self._make_resolver = resolver
        self._schedule = Schedule(random.random)
        self._resolvers: tuple[Address, ...] = ()
        self._resolver, self._soon_resolver = self._resolver_pair()
        self._pace = Pace(RATE_PER_S, MAX_RUNNING)
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._running_soon: set[asyncio.Task[None]] = set()
        # When the lookups of the last AGAIN_AFTER_S began, oldest first.
        self._started: OrderedDict[str, float] = OrderedDict()
        self._named: set[str] = set()  # have a problem of their own
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
        names = [host.pattern.domain for host in policy.hosts if not host.pattern.wildcard]
        if anew or resolvers != self._resolvers:
            # What could not be looked up may be now: no name waits for its turn.
            self._schedule = Schedule(random.random)
            self._resolvers = resolvers
            self._resolver, self._soon_resolver = self._resolver_pair()
        self._schedule.replace(names, now, min_ttl_s=policy.min_ttl_s, grace_s=policy.grace_s)
        self._named = {name for name in self._named if name in self._schedule}
        self._problems.retain(KEY, {KEY + name for name in self._named})
        self._count_others()
        self._wake.set()

    async def first(self, timeout_s: float) -> None:
        """Look every name up once, or as many as *timeout_s* allows; the others go on."""
        begun = time.monotonic()
        self._start_due(begun, MAX_RUNNING)
        while self._running and (left := begun + timeout_s - time.monotonic()) > 0:
            self._wake.clear()
            await woken(self._wake, left)
            self._start_due(begun, MAX_RUNNING)

    async def run(self) -> None:
        """Look names up as they fall due, until cancelled."""
        try:
            while True:
                self._wake.clear()
                if self._broken is not None:
                    raise self._broken
                now = time.monotonic()
                self._pace.spend(self._start_due(now, self._pace.left(now)))
                due = self._schedule.next_due()
                full = len(self._running) >= MAX_RUNNING
                # A finished lookup wakes us too.
                pause = None if full or due is None else max(due - now, self._pace.wait_s())
                await woken(self._wake, pause)
        finally:
            for task in self._running | self._running_soon:
                task.cancel()

    def soon(self, name: dns.name.Name) -> None:
        """Look *name* up now: an answer to somebody else's query for it came incomplete."""
        domain = domain_of(name)
        if domain is None:  # which nothing permits
            return
        self._forget_old(time.monotonic())
        if domain not in self._started and len(self._running_soon) < MAX_SOON:
            self._spawn(domain, self._look_up_soon(domain), self._running_soon)

    def _start_due(self, now: float, limit: int) -> int:
        """Start at most *limit* of the lookups due at *now* and return how many."""
        room = max(0, min(limit, MAX_RUNNING - len(self._running)))
        names = self._schedule.pop_due(now, room)
        for name in names:
            self._spawn(name, self._look_up_scheduled(name), self._running)
        return len(names)

    def _resolver_pair(self) -> tuple[Asks, Asks]:
        return (
            self._make_resolver(self._resolvers, concurrency=CONCURRENT_LOOKUPS),
            self._make_resolver(self._resolvers, concurrency=CONCURRENT_SOON),
        )

    def _spawn(
        self, name: str, lookup: Coroutine[None, None, None], running: set[asyncio.Task[None]]
    ) -> None:
        now = time.monotonic()
        self._forget_old(now)
        self._started[name] = now
        self._started.move_to_end(name)
        task = asyncio.ensure_future(lookup)
        running.add(task)
        task.add_done_callback(running.discard)
        task.add_done_callback(self._finished)

    def _forget_old(self, now: float) -> None:
        while self._started and now - next(iter(self._started.values())) >= AGAIN_AFTER_S:
            self._started.popitem(last=False)

    def _finished(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            # A mistake of ours: it ends the daemon rather than the name's lookups.
            self._broken = self._broken or task.exception()
        self._wake.set()

    async def _look_up(self, name: str, resolver: Asks) -> LookupResult:
        result = await resolver.lookup(dns.name.from_text(name))
        for answer in result.answers:
            self._observe(answer, Origin.RESOLVER)
        return result

    async def _look_up_soon(self, name: str) -> None:
        await self._look_up(name, self._soon_resolver)

    async def _look_up_scheduled(self, name: str) -> None:
        result = await self._look_up(name, self._resolver)
        # The policy may have lost the name meanwhile.
        if name not in self._schedule:
            return
        now = time.monotonic()
        if result.ttl_s is None:
            self._schedule.failed(name, now)
            if name in self._named or len(self._named) < MAX_NAMED:
                self._named.add(name)
                text = f"{name} can't be resolved: {result.errors[0]}"
                self._problems.raise_(KEY + name, Problem(text, HINT))
        else:
            self._schedule.succeeded(name, result.ttl_s, now)
            self._named.discard(name)
            self._problems.settle(KEY + name)
        self._count_others()

    def _count_others(self) -> None:
        others = self._schedule.failing - len(self._named)
        if others > 0:
            hosts = "another host" if others == 1 else f"{others} other hosts"
            self._problems.recount(OTHERS, Problem(f"{hosts} can't be resolved", WHICH))
        else:
            self._problems.settle(OTHERS)
