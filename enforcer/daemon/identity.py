"""Who asked for what, of a packet that was denied."""

from __future__ import annotations

import socket
from collections.abc import Callable

from enforcer.core.denials import Attempt, Details
from enforcer.daemon.enforcement import Enforcement
from enforcer.edge.nflog import LoggedPacket

# An answer comes before the connection that it leads to, but not always to us.
ANSWERS_BEFORE = 64


class Identity:
    """Joins what the kernel logs of a packet with what else is known.

    Args:
        enforcement: knows the names.
    """

    def __init__(self, enforcement: Enforcement) -> None:
        self._enforcement = enforcement

    def catch_up(self) -> None:
        """Take the answers that came before the packets."""
        self._enforcement.take_events(ANSWERS_BEFORE)
        self._enforcement.names.take()

    def of(self, packet: LoggedPacket) -> tuple[Attempt, Callable[[], Details]]:
        """Return what *packet* was an attempt at, and what finds out the rest."""
        forwarded = packet.interface_in != 0
        destination = packet.flow.destination
        names = self._enforcement.names.of(destination.address)
        attempt = Attempt(
            host=names[0] if names else "",
            destination=destination,
            source=packet.flow.source if forwarded else None,
            interface=_name(packet.interface_in) if forwarded else "",
            uid=packet.uid,
        )
        return attempt, Details


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # it is gone
        return f"interface {index}"
