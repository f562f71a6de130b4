"""TCP sockets of this network namespace, listed and closed through sock_diag.

Where the kernel tracks no connections, they are how one ends. Those of containers are in
namespaces of their own.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from enforcer.core.addresses import Address
from enforcer.core.destinations import ANYBODYS_PORTS, TCP, Connection, Destination
from enforcer.edge.netlink import (  # noqa: TID251 - how messages are made
    NLM_F_ACK,
    NLM_F_DUMP,
    NLMSG_DONE,
    NLMSG_ERROR,
    failure_in,
    message,
    messages,
    opened,
    raise_unless_gone,
)
from enforcer.errors import DatapathError

_SOCK_DIAG = 4  # linux/netlink.h: NETLINK_SOCK_DIAG
_BY_FAMILY, _DESTROY = 20, 21  # linux/sock_diag.h
_READ = 1 << 16
# linux/inet_diag.h: struct inet_diag_req_v2 up to the socket's name, struct inet_diag_msg likewise.
_REQUEST = struct.Struct("=BBBxI")
_ANSWER = struct.Struct("=BBBB")
_NAME_SIZE = 48
_PORTS = struct.Struct(">HH")
_SOURCE, _DESTINATION = slice(4, 20), slice(20, 36)
# net/tcp_states.h: TCP_LISTEN; and all that can still say something.
_LISTENING = 1 << 10
_CONNECTED = sum(1 << state for state in (1, 2, 3, 4, 5, 8, 9, 11))
_HINT = "use a kernel with CONFIG_INET_DIAG_DESTROY"


@dataclass(frozen=True)
class _Socket:
    """One socket.

    Attributes:
        family: socket.AF_INET or AF_INET6.
        name: what the kernel finds it again by.
    """

    family: int
    name: bytes
    local: tuple[Address, int]
    remote: tuple[Address, int]


def end_connections(unwanted: Callable[[Connection], bool]) -> int:
    """Close the sockets of TCP connections that are *unwanted*.

    A connection to a port that is listened on here counts as begun outside; any user can
    listen on that of a connection of his own (SO_REUSEPORT), so it may lead out as well, unless
    the port is a server's.

    Returns: how many were closed.

    Raises:
        DatapathError: the kernel does not list or close them.
    """
    try:
        with opened(_SOCK_DIAG) as diag:
            served = {each.local[1] for each in _listed(diag, _LISTENING)}
            # All are read before one is closed.
            found = list(_listed(diag, _CONNECTED))
            doomed = [each for each in found if unwanted(_connection(each, served))]
            # One that is refused keeps none of the others.
            failures = [failure for each in doomed for failure in _close(diag, each)]
            if failures:
                raise failures[0]
    except OSError as exc:
        raise DatapathError(f"sockets: {exc.strerror or exc}", _HINT) from exc
    return len(doomed)


def _connection(each: _Socket, served: set[int]) -> Connection:
    here, there = (Destination(address, TCP, port) for address, port in (each.local, each.remote))
    if each.local[1] in served:
        perhaps = there if here.port >= ANYBODYS_PORTS else None
        return Connection(there.address, here, assured=True, perhaps=perhaps)
    return Connection(here.address, there, assured=True)


def _listed(diag: socket.socket, states: int) -> Iterator[_Socket]:
    for family in (socket.AF_INET, socket.AF_INET6):
        request = _REQUEST.pack(family, TCP, 0, states) + bytes(_NAME_SIZE)
        diag.send(message(_BY_FAMILY, NLM_F_DUMP, request))
        yield from _answers(diag, family)


def _answers(diag: socket.socket, family: int) -> Iterator[_Socket]:
    while True:
        for kind, payload in messages(diag.recv(_READ)):
            if kind == NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                raise_unless_gone(payload)
            else:
                name = payload[_ANSWER.size : _ANSWER.size + _NAME_SIZE]
                ports = _PORTS.unpack_from(name)
                ends = (_address(family, name[part]) for part in (_SOURCE, _DESTINATION))
                local, remote = zip(ends, ports, strict=True)
                yield _Socket(family, name, local, remote)


def _close(diag: socket.socket, each: _Socket) -> Iterator[OSError]:
    """Yield what was refused."""
    request = _REQUEST.pack(each.family, TCP, 0, _CONNECTED) + each.name
    diag.send(message(_DESTROY, NLM_F_ACK, request))
    for kind, payload in messages(diag.recv(_READ)):
        if kind == NLMSG_ERROR and (failure := failure_in(payload)):
            yield failure


def _address(family: int, octets: bytes) -> Address:
    if family == socket.AF_INET:
        return ipaddress.IPv4Address(octets[:4])
    found = ipaddress.IPv6Address(octets)
    return found.ipv4_mapped or found
