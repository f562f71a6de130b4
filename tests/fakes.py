"""Stand-ins for what the daemon's parts talk to, without network or kernel."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import dns.name

from enforcer.core.addresses import Address
from enforcer.core.answers import Answer
from enforcer.core.changes import Change, Element
from enforcer.edge.resolver import LookupResult
from enforcer.errors import DatapathError


@dataclass
class FakeResolver:
    """Knows the names it was told.

    Attributes:
        known: addresses by name.
        asked: how often each name was looked up.
        hold: while it is cleared, no lookup ends.
        most: as many lookups ran at a time.
    """

    known: dict[str, str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    hold: asyncio.Event | None = None
    running: int = 0
    most: int = 0
    ttl_s: int = 60
    mistake: Exception | None = None

    async def lookup(self, name: dns.name.Name) -> LookupResult:
        """Return the addresses of *name* once nothing holds it."""
        text = name.to_text(omit_final_dot=True)
        self.asked[text] += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.running -= 1
        if self.mistake is not None:
            raise self.mistake
        if text not in self.known:
            return LookupResult(name, (), ("A and AAAA: nobody knows it",))
        address = ipaddress.ip_address(self.known[text])
        answer = Answer(name, (address,), self.ttl_s, truncated=False)
        return LookupResult(name, (answer,), ())


@dataclass
class FakeSets:
    """Sets of nftables that keep what is written, or refuse it.

    Attributes:
        held: the elements now.
        batches: every change that was written.
        failures: so many writes from now on are refused.
        hold: while it is cleared, no write ends.
    """

    held: dict[tuple[Address, int], Element] = field(default_factory=dict)
    batches: list[Change] = field(default_factory=list)
    failures: int = 0
    hold: asyncio.Event | None = None

    async def write(self, change: Change) -> None:
        """Carry *change* out, deletions first."""
        if self.hold is not None:
            await self.hold.wait()
        if self.failures:
            self.failures -= 1
            raise DatapathError("the sets are full", hint="make room")
        self.batches.append(change)
        for element in change.delete:
            self.held.pop((element.address, element.port), None)
        for element in change.rewrite:
            self.held[element.address, element.port] = element


async def settled(condition: Callable[[], bool]) -> None:
    """Let the event loop run until *condition* holds; the caller has the deadline."""
    while not condition():  # noqa: ASYNC110 - every turn of the loop is one to look at
        await asyncio.sleep(0)
