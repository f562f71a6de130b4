"""A scriptable authoritative name server in the world: the lab's only source of DNS answers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from collections import Counter
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, TypeAlias, cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdatatype import RdataType

from tests.lab.forge import IPV6_FREEBIND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.lab.namespace import Namespace

Handler: TypeAlias = "Callable[[dns.message.QueryMessage], dns.message.Message | bytes | None]"

_UDP_DEFAULT_SIZE = 512  # RFC 1035 section 4.2.1
_MAX_CHAIN = 16
_FRESH = {
    RdataType.A: IPv4Address("198.19.0.0"),
    RdataType.AAAA: IPv6Address("2001:db8:f4e5::"),
}


class Nameserver:
    """Answers from what the test told it, at any time and from any thread.

    Attributes:
        edns_max: the largest datagram it sends, whatever a client offers.
        segments: how many writes an answer over TCP takes.
        queries: how often each (qname, type) was asked, such as
            ``("registry.allowed.test", "A")``.
        given: the addresses that fresh zones answered, in order.
    """

    def __init__(self) -> None:
        self.queries: Counter[tuple[str, str]] = Counter()
        self.given: list[str] = []
        self.edns_max = 4096
        self._udp: list[socket.socket] = []
        self.segments = 1
        self._records: dict[tuple[dns.name.Name, RdataType], dns.rrset.RRset] = {}
        self._fresh: dict[dns.name.Name, int] = {}
        self._scripts: dict[dns.name.Name, Handler] = {}
        self._serial = {kind: itertools.count(1) for kind in _FRESH}

    def add(self, name: str, *addresses: str, ttl_s: int = 300) -> None:
        """Answer *name* with *addresses*, each family in its own type of record."""
        owner = dns.name.from_text(name)
        for kind, version in ((RdataType.A, 4), (RdataType.AAAA, 6)):
            texts = [a for a in addresses if ip_address(a).version == version]
            if texts:
                self._records[owner, kind] = dns.rrset.from_text(owner, ttl_s, "IN", kind, *texts)
            else:
                self._records.pop((owner, kind), None)

    def alias(self, name: str, canonical: str, ttl_s: int = 300) -> None:
        """Answer *name* with a CNAME to *canonical*, followed by what that has."""
        owner, kind = dns.name.from_text(name), RdataType.CNAME
        target = dns.name.from_text(canonical).to_text()
        self._records[owner, kind] = dns.rrset.from_text(owner, ttl_s, "IN", kind, target)

    def fresh(self, zone: str, ttl_s: int = 300) -> None:
        """Answer each query for a name below *zone* with an address never given before."""
        self._fresh[dns.name.from_text(zone)] = ttl_s

    def script(self, name: str, handler: Handler) -> None:
        """Let *handler* answer queries for *name*; None is silence, bytes go out as is."""
        self._scripts[dns.name.from_text(name)] = handler

    def fail(self, name: str, rcode: dns.rcode.Rcode = dns.rcode.SERVFAIL) -> None:
        """Answer queries for *name* with *rcode*."""

        def failed(query: dns.message.QueryMessage) -> dns.message.Message:
            response = dns.message.make_response(query)
            response.set_rcode(rcode)
            return response

        self.script(name, failed)

    def silence(self, name: str) -> None:
        """Never answer queries for *name*."""
        self.script(name, lambda _query: None)

    def reshape(self, name: str, change: Callable[[dns.message.Message], bytes]) -> None:
        """Answer *name* with what *change* makes of the usual response."""
        self.script(name, lambda query: change(self._answer(query)))

    def remove(self, name: str) -> None:
        """Forget all that was told about *name*."""
        owner = dns.name.from_text(name)
        self._scripts.pop(owner, None)
        self._fresh.pop(owner, None)
        for kind in (RdataType.A, RdataType.AAAA, RdataType.CNAME):
            self._records.pop((owner, kind), None)

    def respond(self, wire: bytes, max_size: int) -> bytes | None:
        """Return the response to the query *wire*, None for silence."""
        query = dns.message.from_wire(wire)
        assert isinstance(query, dns.message.QueryMessage)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries[question.name.to_text(omit_final_dot=True).lower(), kind] += 1
        handler = self._scripts.get(question.name, self._answer)
        response = handler(query)
        if response is None or isinstance(response, bytes):
            return response
        size = max_size or min(max(query.payload, _UDP_DEFAULT_SIZE), self.edns_max)
        return response.to_wire(max_size=size, prefer_truncation=True)

    def _answer(self, query: dns.message.QueryMessage) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        name, kind = query.question[0].name, query.question[0].rdtype
        for _ in range(_MAX_CHAIN):
            rrset = self._rrset(name, kind)
            if rrset is not None:
                response.answer.append(rrset)
                return response
            alias = self._records.get((name, RdataType.CNAME))
            if alias is None:
                break
            response.answer.append(alias)
            name = alias[0].target
        known = response.answer or any(owner == name for owner, _ in self._records)
        response.set_rcode(dns.rcode.NOERROR if known else dns.rcode.NXDOMAIN)
        return response

    def _rrset(self, name: dns.name.Name, kind: RdataType) -> dns.rrset.RRset | None:
        if rrset := self._records.get((name, kind)):
            return rrset
        ttl_s = next((t for zone, t in self._fresh.items() if name.is_subdomain(zone)), None)
        if ttl_s is None or kind not in _FRESH:
            return None
        address = str(_FRESH[kind] + next(self._serial[kind]))
        self.given.append(address)
        return dns.rrset.from_text(name, ttl_s, "IN", kind, address)

    def send(self, wires: Iterable[bytes], to: tuple[str, int]) -> None:
        """Send datagrams that nobody asked for, from the serving address of *to*'s family."""
        family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
        sock = next(s for s in self._udp if s.family == family)
        for wire in wires:
            sock.sendto(wire, to)

    @contextlib.contextmanager
    def serving(self, namespace: Namespace, *addresses: str) -> Iterator[None]:
        """Answer on UDP and TCP port 53 of *addresses* in *namespace* until the block ends."""
        sockets = namespace.call(lambda: [s for a in addresses for s in _sockets(a)])
        self._udp = [s for s in sockets if s.type == socket.SOCK_DGRAM]
        started: Future[Callable[[], object]] = Future()

        async def serve() -> None:
            loop, stopped = asyncio.get_running_loop(), asyncio.Event()
            with contextlib.ExitStack() as stack:
                for sock in sockets:
                    if sock.type == socket.SOCK_DGRAM:
                        transport, _ = await loop.create_datagram_endpoint(
                            lambda: _Datagrams(self), sock=sock
                        )
                        stack.callback(transport.close)
                    else:
                        server = await asyncio.start_server(self._stream, sock=sock)
                        stack.callback(server.close)
                started.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
                await stopped.wait()

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        stop = started.result(timeout=10)
        try:
            yield
        finally:
            stop()
            thread.join()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one TCP connection (RFC 1035 section 4.2.2: each message after its length)."""
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                response = self.respond(await reader.readexactly(length), max_size=0xFFFF)
                if response is not None:
                    await self._write(writer, len(response).to_bytes(2, "big") + response)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        size = -(-len(data) // self.segments)
        for start in range(0, len(data), size):
            # asyncio sets TCP_NODELAY: a write to an empty buffer is a segment.
            writer.write(data[start : start + size])
            await writer.drain()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: Nameserver) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Python 3.11's transport of datagrams is no DatagramTransport by class.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self._server.respond(data, max_size=0)
        if response is not None:
            self._transport.sendto(response, addr)


def _sockets(address: str) -> Iterator[socket.socket]:
    family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        sock = socket.socket(family, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # An address that is local by route only can't be bound otherwise.
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        sock.bind((address, 53))
        yield sock
