"""Who asked for what, of a packet that was denied."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

from enforcer.abi import Connector
from enforcer.core.denials import Attempt, Details
from enforcer.core.destinations import TCP
from enforcer.core.owners import parse_owner
from enforcer.daemon.datapath import Datapath
from enforcer.daemon.enforcement import Enforcement
from enforcer.edge.judge import DeniedConnection
from enforcer.edge.nflog import LoggedPacket
from enforcer.edge.processes import cgroup_path, in_our_network, process

# An answer comes before the connection that it leads to, but not always to us.
ANSWERS_BEFORE = 64


class Identity:
    """Joins what the kernel logs of a packet with what else is known.

    Args:
        enforcement: knows the names.
        datapath: notes processes.
    """

    def __init__(self, enforcement: Enforcement, datapath: Datapath) -> None:
        self._enforcement = enforcement
        self._datapath = datapath

    def catch_up(self) -> None:
        """Take the answers that came before the packets."""
        self._enforcement.intake.take(ANSWERS_BEFORE)
        self._enforcement.names.take()

    def of(self, packet: LoggedPacket) -> tuple[Attempt, Callable[[], Details]]:
        """Return what *packet* was an attempt at, and what finds out the rest."""
        forwarded = packet.interface_in != 0
        destination = packet.flow.destination
        names = self._enforcement.names.of(destination.address)
        connector = self._connector(packet)
        uid = packet.uid
        if uid is None and connector is not None:
            uid = connector.uid
        attempt = Attempt(
            host=names[0] if names else "",
            destination=destination,
            source=packet.flow.source if forwarded else None,
            interface=_name(packet.interface_in) if forwarded else "",
            uid=uid,
            pid=None if connector is None else connector.pid,
        )
        return attempt, Details if connector is None else partial(self._details, connector)

    def of_connection(self, denied: DeniedConnection) -> tuple[Attempt, Callable[[], Details]]:
        """Return what *denied* was an attempt at, and what finds out the rest."""
        names = self._enforcement.names.of(denied.destination.address)
        attempt = Attempt(
            host=names[0] if names else "",
            destination=denied.destination,
            uid=denied.who.uid,
            pid=denied.who.pid,
        )
        return attempt, partial(self._details, denied.who)

    def _connector(self, packet: LoggedPacket) -> Connector | None:
        found = self._datapath.programs.connector(packet.flow)
        if found is None or packet.flow.destination.protocol == TCP:
            return found
        # It is whoever sent there last: at least it must be of that user, and on that side.
        forwarded = packet.interface_in != 0
        same_side = in_our_network(found.pid) is (not forwarded)
        return found if same_side and packet.uid in {None, found.uid} else None

    def _details(self, connector: Connector) -> Details:
        found = process(connector.pid)
        owner = parse_owner(found.cgroups)
        if owner is None:  # it may have ended, and has left the cgroups of version 1 then
            root = Path(self._datapath.on_cgroup.cgroup)
            owner = parse_owner(f"0::{cgroup_path(connector.cgroup, root)}")
        name = found.name or connector.name.decode(errors="replace")
        return Details(name, found.executable, owner)


def _name(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # it is gone
        return f"interface {index}"
