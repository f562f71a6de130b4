"""Netlink messages by hand: what the probes say, and what the kernel answers."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

# linux/netlink.h
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE, NLM_F_DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
NETLINK_NETFILTER, NETLINK_SOCK_DIAG = 12, 4
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=LHHLL")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type; padded to four octets
_ANSWER_TIMEOUT_S = 5.0
_READ = 1 << 16


def message(kind: int, flags: int, body: bytes) -> bytes:
    """Return a request."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags | NLM_F_REQUEST, 1, 0) + body


def attribute(kind: int, content: bytes) -> bytes:
    """Return an attribute; of several that are nested, *content* has them."""
    packed = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content
    return packed + bytes(-len(packed) % 4)


def ask(protocol: int, request: bytes) -> int:
    """Send *request*, which wants an acknowledgement or a dump; return the error number or 0.

    Raises:
        OSError: there is no such socket, or no answer.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as netlink:
        netlink.settimeout(_ANSWER_TIMEOUT_S)
        netlink.send(request)
        while True:
            for kind, payload in _messages(netlink.recv(_READ)):
                if kind == _NLMSG_ERROR:
                    (number,) = struct.unpack_from("=i", payload)
                    return -int(number)
                if kind == _NLMSG_DONE:
                    return 0


def why(number: int) -> str:
    """Return what an error number means."""
    return os.strerror(number)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += max(length + 3 & ~3, _HEADER.size)
