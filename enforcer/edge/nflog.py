"""Denied packets as the kernel logs them: one group of nfnetlink_log, over a socket of its own.

Standard library only: pyroute2 0.9.7 has no nfnetlink_log.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from enforcer.core.headers import Flow, parse_flow
from enforcer.edge.netlink import (  # noqa: TID251 - how messages are made
    FAMILY_HEADER,
    NLM_F_ACK,
    NLMSG_ERROR,
    attribute,
    by_type,
    error_in,
    message,
    messages,
    opened,
)
from enforcer.errors import DatapathError

# linux/netfilter/nfnetlink.h, nfnetlink_log.h
_PACKET, _CONFIG = 4 << 8, 4 << 8 | 1  # NFNL_SUBSYS_ULOG; NFULNL_MSG_*
_BIND = b"\1"  # NFULNL_CFG_CMD_BIND
_COPY_PACKET = 2
_WITH_NUMBERS = 1  # NFULNL_CFG_F_SEQ
# Each is sent at once: whoever asked may be gone soon, and /proc has nothing of him then.
_QUEUED = 1
# Headers are all that is read; the ruleset's `snaplen` is no larger.
_COPIED = 128
# The burst that the ruleset lets through, twice: a packet takes a page (NLMSG_GOODSIZE), of
# twice as many bytes as are asked for.
_BUFFER = 1 << 20
_RCVBUFFORCE = 33  # asm-generic/socket.h: beyond net.core.rmem_max
_MESSAGE = 1 << 14
_NUMBER = struct.Struct(">I")


class _Config(IntEnum):
    """enum nfulnl_attr_config."""

    CMD = 1
    MODE = 2
    QUEUED = 5
    FLAGS = 6


class _Part(IntEnum):
    """enum nfulnl_attr_type."""

    IN = 4
    PAYLOAD = 9
    UID = 11
    SEQUENCE = 12


@dataclass(frozen=True, slots=True)
class LoggedPacket:
    """One packet.

    Attributes:
        flow: where it comes from and goes.
        interface_in: index of the interface it came in by; 0: this machine made it.
        uid: of whoever opened its socket; None where there is none.
    """

    flow: Flow
    interface_in: int
    uid: int | None


class PacketLog:
    """Listens to one group, in the network namespace it was made in.

    Args:
        group: its number.

    Attributes:
        lost: packets that were logged and did not arrive.

    Raises:
        DatapathError: the kernel has no such log, or somebody else listens.
    """

    def __init__(self, group: int) -> None:
        self.lost = 0
        self._next: int | None = None
        try:
            self._socket = opened()
            try:
                self._bind(group)
            except BaseException:
                self._socket.close()
                raise
        except OSError as exc:
            # So the kernel says that the group is another socket's.
            taken = exc.errno in {errno.EPERM, errno.EBUSY}
            why = "another program does" if taken else exc.strerror or exc
            hint = f"stop what listens to nflog group {group}; then: systemctl restart enforcer"
            raise DatapathError(
                f"can't listen to the log of denied packets: {why}",
                hint if taken else "load the module nfnetlink_log, or use a kernel with it",
            ) from exc

    def _bind(self, group: int) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER)
        mode = struct.pack(">IBx", _COPIED, _COPY_PACKET)
        for content in (
            attribute(_Config.CMD, _BIND),
            attribute(_Config.MODE, mode)
            + attribute(_Config.QUEUED, _NUMBER.pack(_QUEUED))
            + attribute(_Config.FLAGS, struct.pack(">H", _WITH_NUMBERS)),
        ):
            body = FAMILY_HEADER.pack(socket.AF_UNSPEC, 0, group) + content
            self._socket.send(message(_CONFIG, NLM_F_ACK, body))
            self._acknowledged()
        self._socket.setblocking(False)  # noqa: FBT003 - the socket module's own signature

    def _acknowledged(self) -> None:
        while True:
            for kind, payload in messages(self._socket.recv(_MESSAGE)):
                if kind == NLMSG_ERROR:
                    if number := error_in(payload):
                        raise OSError(number, os.strerror(number))
                    return

    def fileno(self) -> int:
        """Return the descriptor that is readable when there are packets."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening; what is logged then goes nowhere."""
        self._socket.close()

    def read(self, limit: int) -> tuple[LoggedPacket, ...]:
        """Take about *limit* packets that are there, without waiting."""
        found: list[LoggedPacket] = []
        while len(found) < limit:
            try:
                data = self._socket.recv(_MESSAGE)
            except BlockingIOError:
                break
            except OSError as exc:
                # Some did not fit; the numbers of those that come next say how many.
                if exc.errno != errno.ENOBUFS:
                    raise
                continue
            for kind, payload in messages(data):
                if kind == _PACKET:
                    found += self._packets(payload)
        return tuple(found)

    def _packets(self, payload: bytes) -> Iterator[LoggedPacket]:
        parts = by_type(payload[FAMILY_HEADER.size :])
        number = _number(parts, _Part.SEQUENCE)
        if number is not None:
            if self._next is not None:
                self.lost += (number - self._next) & 0xFFFFFFFF
            self._next = (number + 1) & 0xFFFFFFFF
        flow = parse_flow(parts.get(_Part.PAYLOAD, b""))
        if flow is not None:
            yield LoggedPacket(
                flow,
                _number(parts, _Part.IN) or 0,
                _number(parts, _Part.UID),
            )


def _number(parts: dict[int, bytes], kind: _Part) -> int | None:
    value = parts.get(kind)
    return None if value is None else int(_NUMBER.unpack_from(value)[0])
