"""What the kernel refuses about one connection is of that one alone."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from enforcer.edge import conntrack
from enforcer.edge.netlink import (
    FAMILY_HEADER,
    NLMSG_DONE,
    NLMSG_ERROR,
    attribute,
    message,
    messages,
)
from enforcer.errors import DatapathError

# linux/netfilter/nfnetlink_conntrack.h: CTA_TUPLE_ORIG and _REPLY, CTA_STATUS, CTA_ID.
_ORIGINAL, _REPLY, _STATUS, _ID = 1, 2, 3, 12
_NEW = 1 << 8


def _entry(number: int) -> bytes:
    addresses = attribute(1, attribute(1, bytes(4)) + attribute(2, bytes(4)))
    ports = attribute(2, attribute(1, b"\x06") + attribute(2, b"\0\x50") + attribute(3, b"\0\x50"))
    parts = (
        attribute(_ORIGINAL, addresses + ports),
        attribute(_REPLY, addresses + ports),
        attribute(_STATUS, bytes(4)),
        attribute(_ID, struct.pack(">I", number)),
    )
    return message(_NEW, 0, FAMILY_HEADER.pack(socket.AF_INET, 0, 0) + b"".join(parts))


def test_one_that_is_refused_keeps_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Older kernels delete no entry that a flowtable has taken over (EBUSY)."""
    ours, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(conntrack, "opened", lambda: ours)
    done = message(NLMSG_DONE, 0, bytes(4))
    kernel.send(b"".join(map(_entry, range(100))) + done)  # of IPv4
    kernel.send(done)
    # Of the first batch, and of the second.
    for answers in ([-errno.EBUSY, *[0] * 63], [0] * 36):
        packed = (message(NLMSG_ERROR, 0, struct.pack("=i", each)) for each in answers)
        kernel.send(b"".join(packed))
    with kernel:
        with pytest.raises(DatapathError, match="busy"):
            conntrack.end_connections(lambda _: True)
        asked = [kernel.recv(1 << 20) for _ in range(4)]
    assert [len(list(messages(each))) for each in asked] == [1, 1, 64, 36]
