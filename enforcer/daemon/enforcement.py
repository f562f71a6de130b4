"""Keep the kernel in step with the policy, the resolvers and what answers say."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from pathlib import Path

from enforcer.abi import MAX_LEARNED
from enforcer.core import answers
from enforcer.core.addresses import Address
from enforcer.core.answers import Answer
from enforcer.core.bindings import Binding, Bindings, Change
from enforcer.core.grants import Grants
from enforcer.core.policy import Policy
from enforcer.core.promises import Origin
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.kernel_thread import KernelThread
from enforcer.daemon.lookups import Lookups
from enforcer.daemon.overload import Overload
from enforcer.daemon.problems import Problem, Problems
from enforcer.daemon.writer import Writer
from enforcer.edge.policy_file import read_policy
from enforcer.edge.resolvconf import NoResolver, SystemResolvers, system_resolvers
from enforcer.errors import DatapathError, EnforcerError, MalformedAnswer
from enforcer.log import LOGGER

ROOT = Path("/")
NOTES = "name servers"
FOLLOWING = "following the network"
ADDRESSES = "addresses of "
# How long enforcement waits at its start for names that don't resolve.
FIRST_LOOKUPS_S = 10.0


@dataclass(frozen=True)
class InForce:
    """What the kernel was told to enforce.

    Attributes:
        notes: name servers of the machine that can't be used, and why.
        since: wall clock, seconds since the epoch.
    """

    policy: Policy
    grants: Grants
    resolvers: tuple[Address, ...]
    notes: tuple[str, ...]
    since: float

    @classmethod
    def read(cls, policy_path: Path) -> InForce:
        """Return what the policy file and the machine's resolvers say now.

        Raises:
            PolicyError: the file can't be used.
        """
        policy = read_policy(policy_path)
        found = _resolvers(policy)
        return cls(policy, Grants(policy.hosts), found.addresses, found.notes, time.time())


class Enforcement:
    """The policy in force, and everything that keeps it so.

    Args:
        policy_path: read on each reload.
        start: what to enforce until then.
        datapath: the kernel's part; only touched on *kernel*.
        kernel: the thread for it.
        problems: told what goes wrong.
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
        self._datapath = datapath
        self._kernel = kernel
        self._problems = problems
        self._bindings = Bindings(
            min_ttl_s=policy.min_ttl_s, grace_s=policy.grace_s, capacity=MAX_LEARNED
        )
        self.writer = Writer(self._write, problems)
        self.lookups = Lookups(self.observe, problems)
        self._overload = Overload(self._bindings, datapath, kernel, problems)

    def __len__(self) -> int:
        """Return how many (address, port) are open."""
        return len(self._bindings)

    @property
    def gave_way(self) -> int:
        """How many (address, port) were closed before their end to make room."""
        return self._bindings.gave_way

    async def start(self) -> None:
        """Learn, look all names up once, then enforce."""
        now = self.in_force
        await self._learn(now)
        await self._kernel.run(self._datapath.bridge)
        self.lookups.use(now.policy, now.resolvers, time.monotonic())
        await self.lookups.first(FIRST_LOOKUPS_S)
        await self._enforce(now)

    async def reload(self) -> None:
        """Put the policy file in force as it is now.

        Raises:
            PolicyError: it can't be used; what was in force still is.
            DatapathError: the kernel refuses it; likewise.
        """
        new, old = await asyncio.to_thread(InForce.read, self.path), self.in_force
        policy = new.policy
        try:
            await self._learn(new)
            # What was learned until now was learned by the old grants: it must be in
            # the books before they are compared with the new ones.
            self.take_events()
            # From here on answers are judged by the new grants, also while nft runs.
            self.in_force = new
            change = self._bindings.retain(
                new.grants, time.monotonic(), min_ttl_s=policy.min_ttl_s, grace_s=policy.grace_s
            )
            # Takes back what the writer still holds for hosts that are gone, too.
            self.writer.put(change)
            await self._enforce(new)
            await self._forget_unbound()
        except DatapathError:
            self.in_force = old
            await self._learn(old)
            self.lookups.use(old.policy, old.resolvers, time.monotonic(), anew=True)
            raise
        self._problems.retain(ADDRESSES, {ADDRESSES + str(g.pattern) for g in new.grants})
        self.lookups.use(policy, new.resolvers, time.monotonic())

    async def follow(self) -> None:
        """Follow the machine's resolvers, uplink and addresses; put back what is gone."""
        try:
            wanted = self._followed()
            uplinks = self._datapath.uplinks
            await self._kernel.run(self._datapath.follow, wanted.resolvers)
            moved = uplinks != self._datapath.uplinks
            gone = not await self._kernel.run(self._datapath.firewall.is_present)
            if gone:
                LOGGER.warning("the nftables table was gone and is put back")
            if gone or moved or wanted != self.in_force:
                await self._enforce(wanted)
                self.lookups.use(wanted.policy, wanted.resolvers, time.monotonic())
            self.writer.put(await self._overload.check(self.take_events))
        except EnforcerError as exc:
            self._problems.raise_(FOLLOWING, Problem(exc.message, exc.hint))
        else:
            self._problems.settle(FOLLOWING)

    def _followed(self) -> InForce:
        now = self.in_force
        found = _resolvers(now.policy)
        # A resolv.conf that is being rewritten is empty for a moment.
        resolvers = found.addresses or now.resolvers
        if resolvers != now.resolvers:
            LOGGER.info("resolvers are now %s", ", ".join(map(str, resolvers)))
        return replace(now, resolvers=resolvers, notes=found.notes)

    def take_events(self) -> None:
        """Take the answers that the kernel passed on."""
        for event in self._datapath.programs.drain():
            try:
                answer = answers.parse(event.wire, cut=event.cut)
            except MalformedAnswer as exc:
                LOGGER.debug("%s", exc)
                continue
            if answer.truncated:
                self.lookups.soon(answer.qname)
            else:
                self.observe(answer, Origin.ANSWER)

    def observe(self, answer: Answer, origin: Origin) -> None:
        """Open what *answer* permits."""
        grant = self.in_force.grants.match(answer.qname)
        if grant is None:
            return
        change = self._bindings.observe(
            answer, grant, time.monotonic(), origin=origin, own=self._datapath.own
        )
        # One for each pattern: names below a wildcard are anybody's to make up.
        key = ADDRESSES + str(grant.pattern)
        if change.refused:
            self._problems.raise_(key, Problem(str(change.refused[0]), change.refused[0].hint))
        elif answer.addresses:
            self._problems.settle(key)
        self.writer.put(change)

    def hosts(self) -> tuple[Binding, ...]:
        """Return which addresses are open for each host."""
        return self._bindings.hosts(time.monotonic())

    async def _forget_unbound(self) -> None:
        """Drop what only the kernel learned: from odd answers, or ones whose event was lost."""
        learned = await self._kernel.run(self._datapath.programs.learned)
        # Afterwards, or what an answer opens meanwhile would be taken for unbound.
        self.take_events()
        bound = {(e.address, e.port) for e in self._bindings.elements(time.monotonic())}
        await self._kernel.run(self._datapath.programs.forget, learned.keys() - bound)

    async def _learn(self, wanted: InForce) -> None:
        await self._kernel.run(self._datapath.learn, wanted.policy, wanted.grants, wanted.resolvers)

    async def _enforce(self, wanted: InForce) -> None:
        now = time.monotonic()
        elements = self._bindings.elements(now)
        await self._kernel.run(
            self._datapath.enforce, wanted.policy, wanted.resolvers, elements, now
        )
        self.in_force = wanted
        if wanted.notes:
            self._problems.raise_(NOTES, Problem("; ".join(wanted.notes)))
        else:
            self._problems.settle(NOTES)

    async def _write(self, change: Change) -> None:
        await self._kernel.run(self._datapath.write, change, time.monotonic())


def _resolvers(policy: Policy) -> SystemResolvers:
    if policy.resolvers is not None:
        return SystemResolvers(policy.resolvers, ())
    try:
        return system_resolvers(ROOT)
    except NoResolver as exc:
        # Closed without anybody to ask, rather than open until there is.
        return SystemResolvers((), (str(exc),))
