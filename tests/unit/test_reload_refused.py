"""Reloads that the kernel refuses half-way: what is said to be in force is."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import dns.name
import pytest

from enforcer.core.answers import Answer
from enforcer.core.holders import Binding
from enforcer.core.policy import Mode, Policy
from enforcer.core.promises import Origin
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.enforcement import UNBOUND, Enforcement
from enforcer.daemon.in_force import InForce
from enforcer.daemon.lookups import Lookups
from enforcer.daemon.problems import Problems
from enforcer.edge import caches
from enforcer.errors import DatapathError
from tests.unit.at_once import AtOnce, P, T

BEFORE = """\
version: 1
organization: unit
resolvers: [10.0.0.1]
hosts: ["*.cdn.test"]
"""
AFTER = """\
version: 1
organization: unit
mode: audit
resolvers: [10.0.0.1]
hosts: ["*.other.test"]
"""
OPEN = (ipaddress.ip_address("198.18.0.1"), 443)
UNKNOWN = (ipaddress.ip_address("198.18.0.9"), 443)


class Kernel(AtOnce):
    """Leaves the caches of this machine alone."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function*."""
        if function is caches.flush:
            return cast("T", ())
        return await super().run(function, *args, **kwargs)


class FakeDatapath:
    """The kernel's part: remembers what is in force, and refuses what it is told to.

    Attributes:
        refuses: names of methods; `learn again` is `learn` by the policy in force.
        learned_pairs: what the kernel has learned.
        learners: by which policy, told by its mode; None: by several.
        renewed: sockets are marked with another nonce than before.
    """

    def __init__(self) -> None:
        self.refuses: tuple[str, ...] = ()
        self.mode: Mode | None = None
        self.domains: tuple[str, ...] = ()
        self.learned_pairs = {OPEN: 1e9, UNKNOWN: 1e9}
        self.learners: set[Mode | None] = {Mode.ENFORCE}
        self.renewed = False
        self.own: frozenset[object] = frozenset()
        self.put_back = ()
        self.uplinks_moved = False
        self.lost = self.will_be_lost = False
        self.programs = self.firewall = self

    def _maybe(self, name: str) -> None:
        if name in self.refuses:
            raise DatapathError("no room")

    def learn(self, policy: Policy, *_: object) -> dict[str, DatapathError]:
        """Learn for *policy*."""
        self._maybe("learn again" if policy.mode is self.mode else "learn")
        self.domains = tuple(host.pattern.domain for host in policy.hosts)
        self.learners = {None}
        return {}

    def renew(self, _policy: Policy) -> None:
        """Know nothing that the new policy does not permit when the nonce changes."""
        self._maybe("renew")
        assert not self.learned_pairs
        self.renewed = True

    def keep(self) -> None:
        """Go back to the nonce of before."""
        self.renewed = False

    def settle(self, policy: Policy) -> None:
        """Know that *policy* alone let the kernel learn."""
        self.learners = {policy.mode}

    def enforce(self, policy: Policy, *_: object) -> None:
        """Put *policy* in force."""
        self._maybe("enforce")
        self.mode = policy.mode

    def learned(self) -> dict[tuple[Any, int], float]:
        """Return what was learned."""
        self._maybe("learned")
        return dict(self.learned_pairs)

    def forget(self, pairs: Iterable[tuple[Any, int]]) -> None:
        """Forget *pairs*."""
        for pair in pairs:
            self.learned_pairs.pop(pair, None)

    def follow(self, _resolvers: object) -> dict[str, DatapathError]:
        """Find everything in its place, but a way to the resolvers."""
        self.lost = self.will_be_lost
        return {}

    def device(self, _resolver: object) -> None:
        """Know no device."""

    def end_connections(self, *_: object) -> None:
        """End none."""

    def drain(self, _limit: int | None) -> tuple[()]:
        """Pass on nothing."""
        return ()

    def edited(self, _recorded: None) -> tuple[()]:
        """Find no edit."""
        return ()

    def touched(self) -> None:
        """Find nothing touched."""

    def stats(self) -> Counter[object]:
        """Return that nothing was counted."""
        return Counter()


class Setting:
    """An enforcement of BEFORE, with an address open, whose policy file says AFTER."""

    def __init__(self, folder: Path) -> None:
        path = folder / "policy.yaml"
        path.write_text(BEFORE)
        path.chmod(0o600)
        self.datapath = FakeDatapath()
        self.problems = Problems()
        self.enforcement = Enforcement(
            path, InForce.read(path), cast("Datapath", self.datapath), Kernel(), self.problems
        )
        name = dns.name.from_text("a.cdn.test")
        answer = Answer(name, (OPEN[0],), 60, truncated=False)
        self.enforcement.intake.observe(answer, Origin.ANSWER)
        self.datapath.mode = Mode.ENFORCE
        path.write_text(AFTER)

    async def open_for(self) -> tuple[Binding, ...]:
        """Return what is open for which hosts."""
        return (await self.enforcement.holders()).bindings()

    async def reload_in_vain(self, *steps: str) -> None:
        """Reload while *steps* are refused: what was in force still is, and what was open."""
        self.datapath.refuses = steps
        before, hosts = self.enforcement.in_force, await self.open_for()
        with pytest.raises(DatapathError, match="no room"):
            await self.enforcement.reload()
        assert self.enforcement.in_force is before
        assert await self.open_for() == hosts
        assert self.datapath.mode is Mode.ENFORCE


@pytest.mark.parametrize("step", ["learn", "renew", "enforce"])
def test_a_refused_policy_changes_nothing(tmp_path: Path, step: str) -> None:
    """What the old one opened stays, answers are judged by it, and nothing else was learned."""

    async def body() -> None:
        setting = Setting(tmp_path)
        await setting.reload_in_vain(step)
        assert setting.datapath.domains == ("cdn.test",)
        # The sets have it all the same.
        assert set(setting.datapath.learned_pairs) == ({OPEN} if step == "learn" else set())
        assert setting.datapath.learners == {Mode.ENFORCE}
        assert not setting.datapath.renewed

    asyncio.run(body())


def test_what_can_t_be_forgotten_at_once_is_later(tmp_path: Path) -> None:
    """A socket to what is still known would be marked as the next ruleset accepts it."""

    async def body() -> None:
        setting = Setting(tmp_path)
        await setting.reload_in_vain("learned")
        assert UNBOUND in setting.problems
        assert setting.datapath.learners == {None}
        setting.datapath.refuses = ()
        await setting.enforcement.follow()
        assert set(setting.datapath.learned_pairs) == {OPEN}
        assert setting.datapath.learners == {Mode.ENFORCE}
        assert UNBOUND not in setting.problems

    asyncio.run(body())


def test_names_of_a_refused_policy_that_are_still_learned_are_not_later(tmp_path: Path) -> None:
    """The way back takes the kernel's memory, too; what it learns meanwhile is passed by it."""

    async def body() -> None:
        setting = Setting(tmp_path)
        await setting.reload_in_vain("enforce", "learn again")
        assert setting.datapath.domains == ("other.test",)
        assert UNBOUND in setting.problems
        setting.datapath.refuses = ()
        await setting.enforcement.follow()
        assert setting.datapath.domains == ("cdn.test",)
        assert UNBOUND not in setting.problems

    asyncio.run(body())


class FakeLookups:
    """Remembers how often all names were to be looked up anew."""

    def __init__(self) -> None:
        self.anew: list[bool] = []

    def use(self, *_: object, anew: bool = False) -> None:
        """Look up what a policy names."""
        self.anew.append(anew)


def test_names_are_looked_up_anew_once_a_route_leads_to_the_resolvers(tmp_path: Path) -> None:
    """After an hour without an uplink they were left alone for up to five minutes more."""

    async def body() -> None:
        setting = Setting(tmp_path)
        lookups = FakeLookups()
        setting.enforcement.lookups = cast("Lookups", lookups)
        for lost in (True, True, False, False):
            setting.datapath.will_be_lost = lost
            await setting.enforcement.follow()
        assert lookups.anew == [True]

    asyncio.run(body())
