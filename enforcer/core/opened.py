"""Opened: which hosts each (address, port) was open for, also after its end.

Pure: no I/O, no clock. A connection outlives the lifetime of its address. Whether it may
outlive the host in the policy too is for this memory to say.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator

from enforcer.core.addresses import Address, learnable
from enforcer.core.grants import Grant, Grants
from enforcer.core.promises import MAX_PROMISES

Pair = tuple[Address, int]

# Hosts a pair, on average: a few names share an address, and anybody may make up any
# number of them below a permitted wildcard.
_HOSTS_EACH = 4


class Opened:
    """A memory of what was opened, the latest last.

    Args:
        capacity: of pairs; the one that was not opened for the longest time is
            forgotten first.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._hosts: OrderedDict[Pair, tuple[str, ...]] = OrderedDict()
        self._named = 0

    def __len__(self) -> int:
        return len(self._hosts)

    def __contains__(self, pair: Pair) -> bool:
        return pair in self._hosts

    def __iter__(self) -> Iterator[tuple[Pair, tuple[str, ...]]]:
        """Yield each pair with its hosts, the latest last."""
        return iter(self._hosts.items())

    def add(self, host: str, pairs: Iterable[Pair]) -> None:
        """Remember that *pairs* are open for *host*."""
        for pair in pairs:
            known = self._hosts.get(pair, ())
            if host not in known:
                hosts = (*known[-(MAX_PROMISES - 1) :], host)
                self._hosts[pair] = hosts
                self._named += len(hosts) - len(known)
            self._hosts.move_to_end(pair)
        while len(self._hosts) > self._capacity or self._named > _HOSTS_EACH * self._capacity:
            _, hosts = self._hosts.popitem(last=False)
            self._named -= len(hosts)

    def remember(self, opened: Iterable[tuple[Pair, Iterable[str]]]) -> None:
        """Remember what another one had *opened*, as it yields it."""
        for pair, hosts in opened:
            for host in hosts:
                self.add(host, [pair])

    def closed_by(self, grants: Grants) -> frozenset[Pair]:
        """Return the pairs that *grants* open for none of their hosts."""
        matches: dict[str, Grant | None] = {}

        def open_for(host: str, address: Address, port: int) -> bool:
            if host not in matches:
                matches[host] = grants.match_text(host)
            grant = matches[host]
            if grant is None or port not in grant.ports:
                return False
            return grant.private or learnable(address, private=False)

        return frozenset(
            (address, port)
            for (address, port), hosts in self._hosts.items()
            if not any(open_for(host, address, port) for host in hosts)
        )

    def forget(self, pairs: Iterable[Pair]) -> None:
        """Remember *pairs* no longer."""
        for pair in pairs:
            self._named -= len(self._hosts.pop(pair, ()))


def closed_among(opened: Collection[tuple[Pair, Iterable[str]]], grants: Grants) -> frozenset[Pair]:
    """Return those pairs *opened* that *grants* open for none of their hosts."""
    memory = Opened(len(opened))
    memory.remember(opened)
    return memory.closed_by(grants)
