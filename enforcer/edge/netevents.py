"""Notice that the network or nftables changed, from the kernel's own announcements."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket
import struct
from collections.abc import Iterable

from enforcer.errors import DatapathError

# linux/rtnetlink.h: 1 << (RTNLGRP_* - 1). Neighbours come and go all the time and
# lead nowhere else.
_GROUPS = {
    "LINK": 1,
    "TC": 4,
    "IPV4_IFADDR": 5,
    "IPV4_ROUTE": 7,
    "IPV4_RULE": 8,
    "IPV6_IFADDR": 9,
    "IPV6_ROUTE": 11,
    "IPV6_RULE": 19,
}
# linux/netfilter/nfnetlink.h: NFNLGRP_NFTABLES; with its subsystem, the last message of
# each transaction, NFT_MSG_NEWGEN of linux/netfilter/nf_tables.h.
_NFTABLES_GROUP = 7
_NEW_GENERATION = 10 << 8 | 15
_NETLINK_NETFILTER = 12
# asm-generic/socket.h, linux/filter.h
_SO_ATTACH_FILTER = 26
_LOAD_HALF, _LOAD_WORD, _IF_EQUAL, _RETURN = 0x28, 0x20, 0x15, 0x06
_INSTRUCTION = struct.Struct("=HBBI")  # code, jumps if true and if false, operand
_PROGRAM = struct.Struct("@HP")  # length, instructions
# Of struct nlmsghdr.
_TYPE_AT, _PORT_AT = 4, 12
# Announcements are dropped unread: any size will do.
_RECEIVE = 1


class _Announcements:
    """Readable when something was announced since the last `drain`.

    Not what: announcements get lost when there are many (ENOBUFS), so whoever wants to
    know asks the kernel for the whole picture.
    """

    def __init__(self, what: str, protocol: int, groups: Iterable[int], accepted: bytes) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        try:
            self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
            if accepted:
                code = ctypes.create_string_buffer(accepted)
                size = len(accepted) // _INSTRUCTION.size
                program = _PROGRAM.pack(size, ctypes.addressof(code))
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
            self._socket.bind((0, sum(1 << (group - 1) for group in groups)))
        except OSError as exc:
            raise DatapathError(f"can't follow {what}: {exc.strerror}") from exc

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


class NetworkEvents(_Announcements):
    """Readable when interfaces, addresses, routes, rules, qdiscs or filters changed.

    Raises:
        DatapathError: the kernel gives no such socket.
    """

    def __init__(self) -> None:
        super().__init__("the network", socket.NETLINK_ROUTE, _GROUPS.values(), b"")


class NftablesEvents(_Announcements):
    """Readable when somebody else than *port* committed something to nftables.

    Of each commit its end alone is passed on, in the kernel: our own sets change all the
    time, element by element.

    Args:
        port: of the netlink socket whose commits are our own.

    Raises:
        DatapathError: the kernel gives no such socket.
    """

    def __init__(self, port: int) -> None:
        accepted = (
            (_LOAD_HALF, 0, 0, _TYPE_AT),
            (_IF_EQUAL, 0, 3, _loaded("=H", _NEW_GENERATION)),
            (_LOAD_WORD, 0, 0, _PORT_AT),
            (_IF_EQUAL, 1, 0, _loaded("=I", port)),
            (_RETURN, 0, 0, _RECEIVE),
            (_RETURN, 0, 0, 0),
        )
        code = b"".join(_INSTRUCTION.pack(*each) for each in accepted)
        super().__init__("nftables", _NETLINK_NETFILTER, (_NFTABLES_GROUP,), code)


def _loaded(form: str, value: int) -> int:
    """Return *value* of the machine's byte order as such a program loads it: big-endian."""
    return int.from_bytes(struct.pack(form, value), "big")
