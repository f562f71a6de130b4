"""Netlink messages in bytes: headers, attributes and the answers; and sockets for them."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

# linux/netlink.h
NETLINK_NETFILTER = 12
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x001
NLM_F_ACK = 0x004
NLM_F_DUMP = 0x300
NLA_F_NESTED = 0x8000
_TYPE_MASK = 0x3FFF
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
# The kernel answers from memory: nothing makes it wait.
_TIMEOUT_S = 10.0

HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
FAMILY_HEADER = struct.Struct(">BBH")  # linux/netfilter/nfnetlink.h: family, version, resource
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_HEAD = _ATTRIBUTE.unpack_from
_ERROR = struct.Struct("=i")


def opened(protocol: int = NETLINK_NETFILTER) -> socket.socket:
    """Return a socket of this network namespace, which waits ten seconds for an answer.

    Raises:
        OSError: the kernel has no such protocol.
    """
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    try:
        # Or every error carries a copy of the message it is about.
        sock.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        sock.settimeout(_TIMEOUT_S)
        sock.bind((0, 0))
    except BaseException:
        sock.close()
        raise
    return sock


def message(kind: int, flags: int, body: bytes, number: int = 1) -> bytes:
    """Return one request."""
    return HEADER.pack(HEADER.size + len(body), kind, flags | NLM_F_REQUEST, number, 0) + body


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and payload of each message in *data*."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _, _, _ = HEADER.unpack_from(data, offset)
        yield kind, data[offset + HEADER.size : offset + length]
        offset += max(aligned(length), HEADER.size)


def error_in(payload: bytes) -> int:
    """Return the error number that an NLMSG_ERROR carries; 0 acknowledges."""
    return -int(_ERROR.unpack_from(payload)[0])


def failure_in(payload: bytes) -> OSError | None:
    """Return the error of an NLMSG_ERROR, but for what is not there: it has ended by itself."""
    number = error_in(payload)
    return None if number in (0, errno.ENOENT) else OSError(number, os.strerror(number))


def raise_unless_gone(payload: bytes) -> None:
    """Raise what `failure_in` finds.

    Raises:
        OSError: that.
    """
    if failure := failure_in(payload):
        raise failure


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute, padded."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + bytes(aligned(length) - length)


def attributes(data: bytes, offset: int = 0) -> list[tuple[int, bytes]]:
    """Return types and payloads of the attributes in *data* from *offset* on.

    A list, and arithmetic in place: a busy machine has 100,000 connections of five listings each.
    """
    found = []
    end = len(data) - _ATTRIBUTE.size
    while offset <= end:
        length, kind = _HEAD(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found.append((kind & _TYPE_MASK, data[offset + 4 : offset + length]))
        offset += (length + 3) & ~3
    return found


def by_type(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Return the attributes in *data* from *offset* on; of several of one type the last."""
    return dict(attributes(data, offset))


def aligned(length: int) -> int:
    """Return where the next message or attribute begins."""
    return (length + 3) & ~3
