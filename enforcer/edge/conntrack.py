"""The kernel's table of connections, over a ctnetlink socket of its own.

Standard library only: pyroute2 0.9.7 spends 100 us on an entry, of which a busy
machine has 100,000.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from enforcer.core.addresses import Address
from enforcer.core.destinations import Connection, Destination
from enforcer.errors import DatapathError

# Messages of one send: well within the default send buffer of 212,992 bytes.
_BATCH = 256
_READ = 1 << 17
# The kernel answers from memory: nothing makes it wait.
_TIMEOUT_S = 10

# linux/netlink.h
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_REQUEST = 0x001
_NLM_F_ACK = 0x004
_NLM_F_DUMP = 0x300
_TYPE_MASK = 0x3FFF

# linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
_NETLINK_NETFILTER = 12
_GET = 1 << 8 | 1  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET
_DELETE = 1 << 8 | 2
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _ID, _ZONE = 1, 2, 3, 12, 18  # enum ctattr_type
_TUPLE_IP, _TUPLE_PROTO = 1, 2  # enum ctattr_tuple
_SOURCES = {1: 4, 3: 16}  # enum ctattr_ip: CTA_IP_V4_SRC, CTA_IP_V6_SRC, and their sizes
_PROTO_NUMBER, _PROTO_SOURCE_PORT = 1, 2  # enum ctattr_l4proto

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_FAMILY_HEADER = struct.Struct(">BBH")  # family, version, resource
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_PORT = struct.Struct(">H")
_FLAGS = struct.Struct(">I")
_ASSURED = 1 << 2  # linux/netfilter/nf_conntrack_common.h: IPS_ASSURED

_HINT = "load the module nf_conntrack_netlink, or use a kernel with CONFIG_NF_CT_NETLINK"


@dataclass(frozen=True)
class _Entry:
    """One connection.

    Attributes:
        family: socket.AF_INET or AF_INET6.
        name: the attributes that the kernel finds it again by.
    """

    family: int
    name: bytes
    connection: Connection


def end_connections(unwanted: Callable[[Connection], bool]) -> int:
    """Forget the tracked connections that are *unwanted*.

    Their next packet is judged like a first one. Entries of this network namespace
    only, of both families.

    Returns: how many were forgotten.

    Raises:
        DatapathError: the kernel does not list or delete them.
    """
    try:
        with _opened() as sock:
            # All are read before one is deleted, which would make the listing skip others.
            found = [e for f in (socket.AF_INET, socket.AF_INET6) for e in _listed(sock, f)]
            doomed = [entry for entry in found if unwanted(entry.connection)]
            for start in range(0, len(doomed), _BATCH):
                _delete(sock, doomed[start : start + _BATCH])
    except OSError as exc:
        raise DatapathError(f"connection tracking: {exc.strerror or exc}", _HINT) from exc
    return len(doomed)


def _opened() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    sock = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
    sock.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
    sock.settimeout(_TIMEOUT_S)
    sock.bind((0, 0))
    return sock


def _listed(sock: socket.socket, family: int) -> Iterator[_Entry]:
    sock.send(_message(_GET, _NLM_F_DUMP, family, b""))
    while True:
        for kind, payload in _messages(sock.recv(_READ)):
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                _raise(payload)
            else:
                entry = _entry(family, payload)
                if entry is not None:
                    yield entry


def _delete(sock: socket.socket, entries: Sequence[_Entry]) -> None:
    sock.send(b"".join(_message(_DELETE, _NLM_F_ACK, e.family, e.name) for e in entries))
    answers = 0
    while answers < len(entries):
        for _, payload in _messages(sock.recv(_READ)):
            answers += 1
            _raise(payload)


def _raise(error: bytes) -> None:
    number = -struct.unpack_from("=i", error)[0]
    # One that is not there has ended by itself.
    if number not in (0, errno.ENOENT):
        raise OSError(number, os.strerror(number))


def _entry(family: int, payload: bytes) -> _Entry | None:
    attributes = dict(_attributes(payload[_FAMILY_HEADER.size :]))
    asked = dict(_attributes(attributes[_TUPLE_ORIG]))
    # What answers is what it leads to; the tuple asked for may be translated.
    answer = dict(_attributes(attributes[_TUPLE_REPLY]))
    origin, source = _source(asked), _source(answer)
    if origin is None or source is None:
        return None
    protocol = dict(_attributes(answer[_TUPLE_PROTO]))
    port = protocol.get(_PROTO_SOURCE_PORT, b"\0\0")
    (flags,) = _FLAGS.unpack_from(attributes[_STATUS])
    connection = Connection(
        origin,
        Destination(source, protocol[_PROTO_NUMBER][0], _PORT.unpack_from(port)[0]),
        assured=bool(flags & _ASSURED),
    )
    name = b"".join(
        _attribute(kind | (0x8000 if kind == _TUPLE_ORIG else 0), attributes[kind])
        for kind in (_TUPLE_ORIG, _ZONE, _ID)
        if kind in attributes
    )
    return _Entry(family, name, connection)


def _source(tuple_: dict[int, bytes]) -> Address | None:
    addresses = dict(_attributes(tuple_[_TUPLE_IP]))
    found = (addresses[kind][:size] for kind, size in _SOURCES.items() if kind in addresses)
    return next(map(ipaddress.ip_address, found), None)


def _message(kind: int, flags: int, family: int, payload: bytes) -> bytes:
    body = _FAMILY_HEADER.pack(family, 0, 0) + payload
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | _NLM_F_REQUEST, 1, 0) + body


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += _aligned(length)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        yield kind & _TYPE_MASK, data[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)


def _attribute(kind: int, payload: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(_aligned(length) - length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
