"""Who asked for what, of a packet that was denied."""

from __future__ import annotations

import socket
from collections.abc import Callable

from enforcer.core.denials import Attempt, Details
from enforcer.edge.nflog import LoggedPacket


class Identity:
    """Joins what the kernel logs of a packet with what else is known."""

    def __call__(self, packet: LoggedPacket) -> tuple[Attempt, Callable[[], Details]]:
        """Return what *packet* was an attempt at, and what finds out the rest."""
        forwarded = packet.interface_in != 0
        attempt = Attempt(
            host="",
            destination=packet.flow.destination,
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
