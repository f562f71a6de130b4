"""What can be seen of a machine from outside of its daemon: whether what was cut is whole again."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from chaos.kinds import LIVE_PORT, Kind, kind_of
from enforcer.core.interfaces import Program
from enforcer.edge.filters import Filters
from tests.lab.client import query
from tests.lab.namespace import Namespace

_TIMEOUT_S = 0.2


def programs(filters: Filters) -> Mapping[int, frozenset[Program]]:
    """Return the programs on interfaces, by index; another daemon's have other ids."""
    found = filters.attached().items()
    return {index: frozenset(program for program, _ in there) for index, there in found}


def answered(namespace: Namespace, resolver: str, name: str) -> bool:
    """Tell whether *resolver* answers a query for *name* in *namespace*."""
    family = socket.AF_INET6 if ":" in resolver else socket.AF_INET
    with namespace.call(lambda: socket.socket(family, socket.SOCK_DGRAM)) as sock:
        sock.settimeout(_TIMEOUT_S)
        try:
            sock.connect((resolver, 53))
            sock.send(query(1, name, 1))
            return bool(sock.recv(512))
        except OSError:
            return False


def connection(namespace: Namespace, address: str) -> tuple[socket.socket, ...]:
    """Return a connection to *address* that what is sent comes back on, if it can be made."""

    def connect() -> tuple[socket.socket, ...]:
        try:
            return (socket.create_connection((address, LIVE_PORT), _TIMEOUT_S),)
        except OSError:
            return ()

    return namespace.call(connect)


def echoes(sock: socket.socket) -> bool:
    """Tell whether what is sent comes back."""
    try:
        sock.send(b"?")
        return bool(sock.recv(1))
    except OSError:
        return False


def kept(namespace: Namespace) -> set[Kind | None]:
    """Return the kinds that somebody in *namespace* keeps a connection to."""
    listing = ("ss", "-Htn", "state", "established", "dport", "=", f":{LIVE_PORT}")
    lines = namespace.run(*listing).stdout.splitlines()
    # Receive and send queue, the local address, the peer's.
    peers = (line.split()[3].rpartition(":")[0] for line in lines)
    return {kind_of(peer.strip("[]").removeprefix("::ffff:")) for peer in peers}
