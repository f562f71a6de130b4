"""The resolver: looks names up through the trusted resolvers; with exchange, the only DNS sender.

No search list, no hosts file, no cache: what it returns is what one of the
resolvers said a moment ago.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dns.name
import dns.rcode
import dns.rdatatype

from enforcer.core.addresses import Address
from enforcer.core.answers import Answer, parse
from enforcer.core.destinations import DNS_PORT
from enforcer.edge.exchange import (  # noqa: TID251 - its half
    Query,
    Transport,
    is_truncated,
    over_tcp,
    over_udp,
    rcode,
)
from enforcer.errors import MalformedAnswer

# What a datagram may hold without being fragmented on common paths (DNS flag day
# 2020): some seventy addresses, so that few answers need TCP.
EDNS_SIZE = 1232
# What servers older than EDNS answer to it (RFC 6891 section 7).
NO_EDNS = frozenset({dns.rcode.FORMERR, dns.rcode.NOTIMP})

# Two sockets a lookup. dnsmasq, in many home routers, refuses more than 150
# queries at a time (--dns-forward-max), and a process starts with 1024 files.
CONCURRENT_LOOKUPS = 64

# As long as dnspython's own resolver waits; glibc waits 5 s, but asks one name.
TIMEOUT_S = 2.0

# A resolver that left so many queries in a row unanswered is asked last for a
# while, else each of a thousand names would wait for it. More than a few names
# with dead servers of their own, fewer than there are queries at a time.
SILENT = 16
AVOIDED_S = 30.0

TYPES = (dns.rdatatype.A, dns.rdatatype.AAAA)


@dataclass(frozen=True)
class LookupResult:
    """What the resolvers said about one name.

    Attributes:
        answers: with addresses, at most one of each family.
        errors: what went wrong, for people; may stand beside an answer of the
            other family, and never empty where there is no answer.
    """

    name: dns.name.Name
    answers: tuple[Answer, ...]
    errors: tuple[str, ...]

    @property
    def ttl_s(self) -> int | None:
        """The smaller TTL of the answers; None if there is none."""
        return min((answer.ttl_s for answer in self.answers), default=None)


class Resolver:
    """Looks names up through *nameservers* and nobody else.

    Every query has a socket, and so a random port, and a random id of its own:
    who can't see it can't forge its answer.

    Args:
        nameservers: the trusted resolvers, asked in this order.
        device: the interface that faces one of them; None: any.
        port: where they listen.
        timeout_s: how long each may take to answer a query.
        concurrency: so many lookups run at a time; others wait their turn.
        took: told how long each exchange with a resolver took, in seconds.
    """

    def __init__(
        self,
        nameservers: Sequence[Address],
        *,
        device: Callable[[Address], str | None] = lambda _server: None,
        port: int = DNS_PORT,
        timeout_s: float = TIMEOUT_S,
        concurrency: int = CONCURRENT_LOOKUPS,
        took: Callable[[Address, float], None] = lambda _server, _seconds: None,
    ) -> None:
        self._nameservers = tuple(nameservers)
        self._device = device
        self._port = port
        self._timeout_s = timeout_s
        self._took = took
        self._slots = asyncio.Semaphore(concurrency)
        self._silences = dict.fromkeys(self._nameservers, 0)
        self._avoid_until = dict.fromkeys(self._nameservers, 0.0)

    async def lookup(self, name: dns.name.Name) -> LookupResult:
        """Ask for the addresses of *name*, both families at once.

        A resolver that is silent, unreachable or unable is passed over for the
        next; one that says there is no such name is believed.

        Args:
            name: absolute.
        """
        async with self._slots:
            outcomes = await asyncio.gather(*(self._ask(name, rdtype) for rdtype in TYPES))
        answers = tuple(outcome for outcome in outcomes if isinstance(outcome, Answer))
        errors: dict[str, list[str]] = {}
        for rdtype, outcome in zip(TYPES, outcomes, strict=True):
            # Most names have addresses of one family only.
            if isinstance(outcome, _Failure) and not (outcome.certain and answers):
                errors.setdefault(outcome.reason, []).append(rdtype.name)
        texts = tuple(f"{' and '.join(types)}: {reason}" for reason, types in errors.items())
        return LookupResult(name, answers, texts)

    async def _ask(self, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> Answer | _Failure:
        errors: dict[Address, str] = {}
        servers = self._order()
        if len(servers) == 1:
            servers *= 2  # datagrams get lost, and there is no other to ask
        for server in servers:
            try:
                return _understand(server, await self._exchange(server, name, rdtype))
            except asyncio.TimeoutError:
                errors[server] = f"{server} did not answer within {self._timeout_s:g} s"
            except (OSError, EOFError) as exc:
                # asyncio's own words for a failed connection lack the reason.
                number = getattr(exc, "errno", None)
                why = os.strerror(number) if number else str(exc)
                errors[server] = f"{server} can't be reached: {why.lower()}"
            except MalformedAnswer as exc:
                errors[server] = f"{server}: {exc}"
        return _Failure("; ".join(errors.values()) or "there is no resolver to ask", certain=False)

    def _order(self) -> list[Address]:
        now = asyncio.get_running_loop().time()
        return sorted(self._nameservers, key=lambda server: self._avoid_until[server] > now)

    async def _exchange(
        self, server: Address, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
    ) -> bytes:
        """Return the answer of *server*, over TCP if it is too long for a datagram."""
        size: int | None = EDNS_SIZE
        begun = asyncio.get_running_loop().time()
        try:
            wire = await self._transmit(over_udp, server, Query.make(name, rdtype, size))
            if rcode(wire) in NO_EDNS:
                size = None
                wire = await self._transmit(over_udp, server, Query.make(name, rdtype, size))
            if is_truncated(wire):
                wire = await self._transmit(over_tcp, server, Query.make(name, rdtype, size))
        except (asyncio.TimeoutError, OSError, EOFError):
            self._silences[server] += 1
            if self._silences[server] >= SILENT:
                self._avoid_until[server] = asyncio.get_running_loop().time() + AVOIDED_S
            raise
        finally:
            self._took(server, asyncio.get_running_loop().time() - begun)
        self._silences[server] = 0
        return wire

    async def _transmit(self, transport: Transport, server: Address, query: Query) -> bytes:
        exchanged = transport(server, self._port, self._device(server), query)
        return await asyncio.wait_for(exchanged, self._timeout_s)


@dataclass(frozen=True)
class _Failure:
    """Why there is no answer with addresses.

    Attributes:
        certain: a resolver said that there are none.
    """

    reason: str
    certain: bool


def _understand(server: Address, wire: bytes) -> Answer | _Failure:
    answer = parse(wire)
    if answer.truncated:
        raise MalformedAnswer("the answer is truncated, over TCP too")
    if answer.addresses:
        return answer
    if rcode(wire) == dns.rcode.NXDOMAIN:
        return _Failure(f"{server} says that there is no such name (NXDOMAIN)", certain=True)
    return _Failure(f"{server} says that the name has no address", certain=True)
