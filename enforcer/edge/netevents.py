"""Notice that the network changed, from the kernel's own announcements."""

from __future__ import annotations

import contextlib
import errno
import socket

from enforcer.errors import DatapathError

# linux/rtnetlink.h: 1 << (RTNLGRP_* - 1). Neighbours come and go all the time and
# lead nowhere else.
_GROUPS = {
    "LINK": 1,
    "IPV4_IFADDR": 5,
    "IPV4_ROUTE": 7,
    "IPV4_RULE": 8,
    "IPV6_IFADDR": 9,
    "IPV6_ROUTE": 11,
    "IPV6_RULE": 19,
}
# Announcements are dropped unread: any size will do.
_RECEIVE = 1


class NetworkEvents:
    """Readable when interfaces, addresses, routes or rules changed since the last `drain`.

    Not what changed: announcements get lost when there are many (ENOBUFS), so
    whoever wants to know asks the kernel for the whole picture.

    Raises:
        DatapathError: the kernel gives no such socket.
    """

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
            self._socket.bind((0, sum(1 << (group - 1) for group in _GROUPS.values())))
        except OSError as exc:
            raise DatapathError(f"can't follow the network: {exc.strerror}") from exc

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def drain(self) -> bool:
        """Drop what has been announced; return whether there was anything."""
        changed = False
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    self._socket.recv(_RECEIVE)
                except OSError as exc:
                    if exc.errno != errno.ENOBUFS:
                        raise
                changed = True
        return changed
