"""TCP sockets of this network namespace, listed and closed through sock_diag.

Where the kernel tracks no connections, they are how one ends. Those of containers are in
namespaces of their own.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from enforcer.core.addresses import Address
from enforcer.core.destinations import TCP, Connection, Destination
from enforcer.edge.nfmessages import (  # noqa: TID251 - how messages are made
    HEADER,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    aligned,
)
from enforcer.errors import DatapathError

# linux/netlink.h, sock_diag.h
_SOCK_DIAG, _NLM_F_DUMP, _NLMSG_DONE = 4, 0x300, 3
_BY_FAMILY, _DESTROY = 20, 21
_READ = 1 << 16
# The kernel answers from memory: nothing makes it wait.
_TIMEOUT_S = 10.0
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

    A connection to a port that is listened on here was begun outside.

    Returns: how many were closed.

    Raises:
        DatapathError: the kernel does not list or close them.
    """
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as diag:
            diag.settimeout(_TIMEOUT_S)
            served = {each.local[1] for each in _listed(diag, _LISTENING)}
            # All are read before one is closed.
            found = list(_listed(diag, _CONNECTED))
            doomed = [each for each in found if unwanted(_connection(each, served))]
            for each in doomed:
                _close(diag, each)
    except OSError as exc:
        raise DatapathError(f"sockets: {exc.strerror or exc}", _HINT) from exc
    return len(doomed)


def _connection(each: _Socket, served: set[int]) -> Connection:
    begun_outside = each.local[1] in served
    origin, (address, port) = (
        (each.remote[0], each.local) if begun_outside else (each.local[0], each.remote)
    )
    return Connection(origin, Destination(address, TCP, port), assured=True)


def _listed(diag: socket.socket, states: int) -> Iterator[_Socket]:
    for family in (socket.AF_INET, socket.AF_INET6):
        request = _REQUEST.pack(family, TCP, 0, states) + bytes(_NAME_SIZE)
        diag.send(_message(_BY_FAMILY, _NLM_F_DUMP, request))
        yield from _answers(diag, family)


def _answers(diag: socket.socket, family: int) -> Iterator[_Socket]:
    while True:
        for kind, payload in _messages(diag.recv(_READ)):
            if kind == _NLMSG_DONE:
                return
            if kind == NLMSG_ERROR:
                _raise(payload)
            else:
                name = payload[_ANSWER.size : _ANSWER.size + _NAME_SIZE]
                ports = _PORTS.unpack_from(name)
                ends = (_address(family, name[part]) for part in (_SOURCE, _DESTINATION))
                local, remote = zip(ends, ports, strict=True)
                yield _Socket(family, name, local, remote)


def _close(diag: socket.socket, each: _Socket) -> None:
    request = _REQUEST.pack(each.family, TCP, 0, _CONNECTED) + each.name
    diag.send(_message(_DESTROY, NLM_F_ACK, request))
    for kind, payload in _messages(diag.recv(_READ)):
        if kind == NLMSG_ERROR:
            _raise(payload)


def _raise(error: bytes) -> None:
    number = -struct.unpack_from("=i", error)[0]
    # One that is not there has ended by itself.
    if number not in (0, errno.ENOENT):
        raise OSError(number, os.strerror(number))


def _address(family: int, octets: bytes) -> Address:
    if family == socket.AF_INET:
        return ipaddress.IPv4Address(octets[:4])
    found = ipaddress.IPv6Address(octets)
    return found.ipv4_mapped or found


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, flags | NLM_F_REQUEST, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _, _, _ = HEADER.unpack_from(data, offset)
        yield kind, data[offset + HEADER.size : offset + length]
        offset += max(aligned(length), HEADER.size)
