"""Keep the kernel in step with the policy, the resolvers and what answers say."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from enforcer.core.changes import Change, Element
from enforcer.core.holders import Holders
from enforcer.core.inherited import claims
from enforcer.core.opened import Pair, closed_among
from enforcer.core.problem import Problem
from enforcer.core.wording import counted
from enforcer.daemon.books import Books
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.drift import Drift
from enforcer.daemon.in_force import ROOT, InForce, trusted_resolvers
from enforcer.daemon.intake import Intake
from enforcer.daemon.kernel_thread import KernelThread
from enforcer.daemon.lookups import Lookups
from enforcer.daemon.metrics import Latencies
from enforcer.daemon.names import Names
from enforcer.daemon.overload import Overload
from enforcer.daemon.problems import Problems
from enforcer.daemon.turns import in_turns
from enforcer.daemon.writer import Writer
from enforcer.edge import caches
from enforcer.edge.memory import give_back
from enforcer.edge.policy_file import signature
from enforcer.edge.resolvconf import HINT, watched_files
from enforcer.edge.resolver import TIMEOUT_S, Resolver
from enforcer.errors import DatapathError, EnforcerError
from enforcer.log import LOGGER

NOTES = "name servers"
FOLLOWING = "following the network"
OLDER = "older connections"
UNBOUND = "what was learned before"
ATTACHING = "attaching "
SOME = 3
# How long enforcement waits at its start for lookups, so that what is in use goes on:
# until a resolver that is silent has been asked twice and is told as a problem, or for
# a thousand names. Nothing is denied until then, and what comes later is opened by the
# answer to whoever asks.
FIRST_LOOKUPS_S = 2 * TIMEOUT_S + 1.0


class Enforcement:
    """The policy in force, and everything that keeps it so.

    Args:
        policy_path: read on each reload.
        start: what to enforce until then.
        datapath: the kernel's part; only touched on *kernel*.
        kernel: the thread for it.
        problems: told what goes wrong.

    Attributes:
        path: of the policy file.
        in_force: what it said when it was last put in force.
        read: that file when it was last read, valid or not.
    """

    def __init__(
        self,
        policy_path: Path,
        start: InForce,
        datapath: Datapath,
        kernel: KernelThread,
        problems: Problems,
    ) -> None:
        policy = start.policy
        self.path = policy_path
        self.in_force = start
        self.read = start.file
        self._datapath = datapath
        self._kernel = kernel
        self._problems = problems
        self._books = Books(policy, problems)
        self.writer = Writer(self._write, problems)
        self.latencies = Latencies()
        resolver = partial(
            Resolver,
            device=datapath.device,
            took=lambda server, seconds: self.latencies.add(str(server), seconds),
        )
        self.names = Names(datapath.programs)
        self.intake = Intake(
            datapath,
            self._books,
            self.writer,
            self.names,
            grants=lambda: self.in_force.grants,
            truncated=lambda name: self.lookups.soon(name),  # noqa: PLW0108 - made below
        )
        self.drift = Drift(datapath, kernel, self._books, self.intake.take)
        self.lookups = Lookups(self.intake.observe, problems, resolver)
        self._overload = Overload(self._books, datapath, kernel, problems)

    def __len__(self) -> int:
        """Return how many (address, port) are open."""
        return len(self._books)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that say who the resolvers are; none where the policy does."""
        return watched_files(ROOT) if self.in_force.policy.resolvers is None else ()

    @property
    def gave_way(self) -> int:
        """How many (address, port) were closed before their end to make room."""
        return self._books.gave_way

    async def start(self) -> None:
        """Learn, look all names up once, then enforce."""
        now = self.in_force
        await self._learn(now)
        await self._kernel.run(self._datapath.bridge, now.policy)
        self.lookups.use(now.policy, now.resolvers, time.monotonic())
        await asyncio.gather(self.lookups.first(FIRST_LOOKUPS_S), self._flush_caches())
        refused = await self._kernel.run(self._datapath.alone, now.policy, now.resolvers)
        self._tell_refused(refused)
        await self._enforce(now, await self._inherit(now))
        await self._kernel.run(self._datapath.inheritance.settle)

    async def _inherit(self, wanted: InForce) -> frozenset[Pair]:
        """Go on with what an earlier process had open; return what *wanted* does not permit."""
        left = await self._kernel.run(self._datapath.inheritance.take, wanted.policy)
        # Before it is compared with the books: what our programs learned meanwhile.
        self.intake.take()
        own = self._datapath.own
        async for some in in_turns(left.elements):
            self._books.inherit(claims(some, wanted.grants, left.at, own))
        closed = await self._kernel.run(closed_among, left.opened, wanted.grants)
        async for those in in_turns(left.opened):
            self._books.remember(each for each in those if each[0] not in closed)
        self._books.adopt(left.learned, own)
        if left.pairs:
            LOGGER.info("open before: %s", counted(len(left.pairs), "address", "addresses"))
        return closed | self._books.unknown(left.pairs)

    async def reload(self) -> None:
        """Put the policy file in force as it is now.

        Raises:
            PolicyError: it can't be used; what was in force still is.
            DatapathError: the kernel refuses it; likewise.
        """
        old = self.in_force
        self.read = await asyncio.to_thread(signature, self.path)
        new = await asyncio.to_thread(InForce.read, self.path, old.grants)
        policy, before = new.policy, self._books.mark()
        self.intake.keep()
        try:
            await self._learn(new)
            # What was learned until now was learned by the old grants: it must be in
            # the books before they are compared with the new ones.
            self.intake.take()
            # From here on answers are judged by the new grants, also while nft runs.
            self.in_force = new
            with self.intake.closed():
                change, closed = await self._books.retain(policy, new.grants)
            # Takes back what the writer still holds for hosts that are gone, too.
            self.writer.put(change)
            # Or by the new ones already, which the kernel had before we did.
            self.intake.observe_kept()
            # What sockets are marked with from now on is accepted by the next ruleset, too.
            await self._forget_all_unbound()
            await self._kernel.run(self._datapath.renew, policy)
            await self._enforce(new, closed)
        except DatapathError:
            self.in_force = old
            self.intake.drop_kept()
            self.writer.put(self._books.restore(before))
            await self._kernel.run(self._datapath.keep)
            await self._learn_no_more()
            self.lookups.use(old.policy, old.resolvers, time.monotonic(), anew=True)
            raise
        await self._flush_caches()
        self._books.forget(closed, new.grants)
        self.lookups.use(policy, new.resolvers, time.monotonic())
        # Two long policies at once leave holes: 12 MB where they had 100,000 hosts.
        await asyncio.to_thread(give_back)

    def opened(self) -> tuple[tuple[Pair, tuple[str, ...]], ...]:
        """Return what is or was open, with its hosts, for whoever takes over."""
        return self._books.opened()

    async def whole(self) -> bool:
        """Tell whether our table judges packets as it was told to; within milliseconds."""
        try:
            return not await self._kernel.run(self._datapath.firewall.edited, None)
        except DatapathError:
            return False  # the look that follows tells why

    async def follow(self) -> None:
        """Follow the machine's resolvers, uplink and addresses; put back what is gone."""
        try:
            await self._follow()
        except EnforcerError as exc:
            self._problems.raise_(FOLLOWING, Problem(exc.message, exc.hint))
        except OSError as exc:  # no descriptor is left, for one: the next look may have one
            self._problems.raise_(FOLLOWING, Problem(f"can't look at the machine: {exc}"))
        else:
            self._problems.settle(FOLLOWING)

    async def _follow(self) -> None:
        wanted, lost = self._followed(), self._datapath.lost
        refused = await self._kernel.run(self._datapath.follow, wanted.resolvers)
        self._tell_refused(refused)
        for taken_off in self._datapath.put_back:
            self.drift.repaired(taken_off)
        edited = await self.drift.found()
        if edited:
            await self._kernel.run(self._datapath.judge_anew)
        if edited or self._datapath.uplinks_moved or wanted != self.in_force:
            await self._enforce(wanted)
            self.lookups.use(wanted.policy, wanted.resolvers, time.monotonic())
        elif OLDER in self._problems:
            await self._end_older(self._books.elements())
        if lost and not self._datapath.lost:
            # After an hour without an uplink the next try may be five minutes away.
            now = time.monotonic()
            self.lookups.use(wanted.policy, wanted.resolvers, now, anew=True)
        if UNBOUND in self._problems:
            await self._learn_no_more()
        if edited:
            self.drift.repaired(edited)
        self.writer.put(await self._overload.check(self.intake.take))

    def _followed(self) -> InForce:
        now = self.in_force
        found = trusted_resolvers(now.policy)
        # A resolv.conf that is being rewritten is empty for a moment.
        resolvers = found.addresses or now.resolvers
        if resolvers != now.resolvers:
            LOGGER.info("resolvers are now %s", ", ".join(map(str, resolvers)))
        return replace(now, resolvers=resolvers, notes=found.notes)

    def latest(self, version: int) -> tuple[Pair, ...]:
        """Return some of what is open in one address family, what was opened last first."""
        return tuple(itertools.islice(self._books.latest(version), SOME))

    async def holders(self) -> Holders:
        """Return which hosts addresses are open for."""
        return await self._books.holders()

    async def _learn_no_more(self) -> None:
        """Learn by the policy in force alone, and drop what was learned by a refused one."""
        try:
            await self._learn(self.in_force)
            await self._forget_all_unbound()
        except DatapathError as exc:
            # What is in force is so already: the rest is for the next look.
            text = f"addresses that another policy permitted may be open: {exc.message}"
            self._problems.raise_(UNBOUND, Problem(text, exc.hint))
        else:
            self._problems.settle(UNBOUND)

    async def _forget_all_unbound(self) -> None:
        """Drop what only the kernel learned: from odd answers, or ones whose event was lost."""
        learned = await self._kernel.run(self._datapath.programs.learned)
        # Afterwards, or what an answer opens meanwhile would be taken for unbound.
        self.intake.take()
        unbound = learned.keys() - self._books.pairs()
        await self._kernel.run(self._datapath.programs.forget, unbound)
        await self._kernel.run(self._datapath.settle, self.in_force.policy)

    async def _learn(self, wanted: InForce) -> None:
        learn = self._datapath.learn
        refused = await self._kernel.run(learn, wanted.policy, wanted.grants, wanted.resolvers)
        self._tell_refused(refused)

    def _tell_refused(self, refused: Mapping[str, DatapathError]) -> None:
        for name, exc in refused.items():
            self._problems.raise_(ATTACHING + name, Problem(exc.message, exc.hint))
        self._problems.retain(ATTACHING, {ATTACHING + name for name in refused})

    async def _enforce(self, wanted: InForce, closed: Collection[Pair] = ()) -> None:
        now = time.monotonic()
        elements = self._books.elements()
        await self._kernel.run(
            self._datapath.enforce, wanted.policy, wanted.resolvers, elements, now
        )
        self.in_force = wanted
        await self._end_older(elements, closed)
        if wanted.notes:
            self._problems.raise_(NOTES, Problem("; ".join(wanted.notes), HINT))
        else:
            self._problems.settle(NOTES)

    async def _end_older(
        self, elements: Collection[Element], closed: Collection[Pair] = ()
    ) -> None:
        now = self.in_force
        try:
            await self._kernel.run(
                self._datapath.end_connections, now.policy, now.resolvers, elements, closed
            )
        except DatapathError as exc:
            # They go on until the next look; whatever is opened from now on is judged.
            text = f"connections opened before are not ended: {exc.message}"
            self._problems.raise_(OLDER, Problem(text, exc.hint))
        else:
            self._problems.settle(OLDER)

    async def _write(self, change: Change) -> None:
        await self._kernel.run(self._datapath.write, change, time.monotonic())

    async def _flush_caches(self) -> None:
        """Have what is asked from now on pass the programs, which know the policy's names."""
        for failure in await self._kernel.run(caches.flush, ROOT):
            LOGGER.warning("%s", failure)
