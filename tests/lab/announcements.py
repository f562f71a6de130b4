"""What the kernel announces in a namespace, and when: interfaces, default routes, filters, nft."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from tests.lab.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.namespace import Namespace

# linux/netlink.h: struct nlmsghdr. In links' and filters' messages the index follows a word.
_HEADER = struct.Struct("=IHHII")
_INDEX = struct.Struct("=4xi")
# 1 << (RTNLGRP_* - 1): LINK, TC, IPV4_ROUTE and IPV6_ROUTE; and NFNLGRP_NFTABLES.
_GROUPS = {
    socket.NETLINK_ROUTE: 1 << 0 | 1 << 3 | 1 << 6 | 1 << 10,
    12: 1 << 6,
}
_RECEIVE = 1 << 16


class Kind(IntEnum):
    """linux/rtnetlink.h, and NEWGEN of linux/netfilter/nf_tables.h with its subsystem."""

    LINK = 16
    ROUTE = 24
    FILTER = 44
    FILTER_GONE = 45
    RULESET = 10 << 8 | 15


@dataclass(frozen=True)
class Announcement:
    """One of the kernel's.

    Attributes:
        index: of the interface of a link or filter; 0 for others.
        at: monotonic seconds when it was read.
    """

    kind: Kind
    index: int
    at: float


class Announcements:
    """Those since the beginning of the block of `listening`, oldest first."""

    def __init__(self) -> None:
        self._heard: list[Announcement] = []

    def now(self) -> int:
        """Return a moment, to ask for what came after it."""
        return len(self._heard)

    def after(self, moment: int, kind: Kind, index: int = 0) -> Announcement:
        """Return the first of *kind* about *index* after *moment*; wait for it.

        Raises:
            DeadlinePassed: there is none within 5 s.
        """

        def found() -> Announcement | None:
            heard = self._heard[moment:]
            return next((each for each in heard if (each.kind, each.index) == (kind, index)), None)

        announcement = until(found, 5, f"the kernel to announce a {kind.name} of {index}")
        assert announcement is not None
        return announcement

    def hear(self, data: bytes) -> None:
        """Take a datagram of the kernel's."""
        at, offset = time.monotonic(), 0
        while offset < len(data):
            size, kind, *_ = _HEADER.unpack_from(data, offset)
            if kind in set(Kind):
                with_index = kind not in {Kind.ROUTE, Kind.RULESET}
                (index,) = _INDEX.unpack_from(data, offset + _HEADER.size)
                self._heard.append(Announcement(Kind(kind), index if with_index else 0, at))
            offset += size + 3 & ~3


@contextlib.contextmanager
def listening(namespace: Namespace) -> Iterator[Announcements]:
    """Listen in *namespace* until the block ends."""
    heard = Announcements()
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for protocol, groups in _GROUPS.items():
            sock = stack.enter_context(namespace.call(lambda protocol=protocol: _socket(protocol)))  # type: ignore[misc]
            sock.bind((0, groups))
            selector.register(sock, selectors.EVENT_READ)
        stop, stopped = socket.socketpair()
        selector.register(stopped, selectors.EVENT_READ)

        def listen() -> None:
            while True:
                for key, _ in selector.select():
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(_RECEIVE)
                    if key.fileobj is stopped:
                        return
                    heard.hear(data)

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield heard
        finally:
            stop.close()
            thread.join()
            stopped.close()


def _socket(protocol: int) -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
