"""A name server in one thread, for resolver tests: UDP and TCP on one random port."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import final

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass(frozen=True)
class Asked:
    """One query as the server saw it."""

    query: dns.message.Message
    port: int  # of the client
    tcp: bool

    @property
    def name(self) -> dns.name.Name:
        """The name asked for."""
        return self.query.question[0].name

    @property
    def rdtype(self) -> dns.rdatatype.RdataType:
        """The type asked for."""
        return self.query.question[0].rdtype


# Returns the messages to send for a query; none means silence.
Handler = Callable[[Asked], Sequence[bytes]]


@final
class Nano:
    """Answers with what *handler* returns, between `with` and its end.

    Args:
        handler: runs in the server's thread.
        address: an IPv4 loopback address.
        port: 0 for a random one.
    """

    def __init__(self, handler: Handler, address: str = "127.0.0.1", port: int = 0) -> None:
        self._handler = handler
        self.asked: list[Asked] = []
        self._udp, self._tcp = _pair(address, port)
        self.port: int = self._udp.getsockname()[1]
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Nano:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wake.send(b"x")
        self._thread.join()
        for sock in (self._udp, self._tcp, self._wake, self._woken):
            sock.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (self._udp, self._tcp, self._woken):
                selector.register(sock, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._udp in ready:
                    wire, client = self._udp.recvfrom(65535)
                    for answer in self._answers(wire, client[1], tcp=False):
                        self._udp.sendto(answer, client)
                if self._tcp in ready:
                    self._accept()
                if self._woken in ready:
                    return

    def _accept(self) -> None:
        connection, client = self._tcp.accept()
        # A client that gives up in the middle is part of the tests.
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            with connection.makefile("rb") as stream:
                (length,) = struct.unpack("!H", stream.read(2))
                wire = stream.read(length)
            for answer in self._answers(wire, client[1], tcp=True):
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    def _answers(self, wire: bytes, port: int, *, tcp: bool) -> Sequence[bytes]:
        asked = Asked(dns.message.from_wire(wire), port, tcp)
        self.asked.append(asked)
        return self._handler(asked)


def reply(
    asked: Asked,
    *records: str,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    truncated: bool = False,
) -> bytes:
    """Return the response to *asked* with *records* of the type asked for in its answer.

    Args:
        asked: the query as the server received it.
        records: texts such as ``"60 198.18.0.1"``, owned by the name asked for;
            those of the other family are left out.
        rcode: NOERROR unless told.
        truncated: set TC.
    """
    message = dns.message.make_response(asked.query)
    message.set_rcode(rcode)
    for record in records:
        ttl, address = record.split()
        if (":" in address) == (asked.rdtype == dns.rdatatype.AAAA):
            rrset = dns.rrset.from_text(asked.name, int(ttl), "IN", asked.rdtype, address)
            message.answer.append(rrset)
    if truncated:
        message.flags |= dns.flags.TC
    # Else dnspython holds to the size that the query offers.
    return message.to_wire(max_size=0xFFFF)


def _pair(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Return sockets of both kinds on one port; a random one may need some tries."""
    for _ in range(100):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        udp.bind((address, port))
        try:
            tcp.bind((address, udp.getsockname()[1]))
        except OSError:
            udp.close()
            tcp.close()
            continue
        tcp.listen()
        return udp, tcp
    raise AssertionError(f"no port is free for both UDP and TCP at {address}")
