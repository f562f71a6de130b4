"""Sockets for our own DNS queries, which take answers from one interface alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from enforcer.core.addresses import Address

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@contextlib.asynccontextmanager
async def connected(
    kind: socket.SocketKind, server: Address, port: int, device: str | None
) -> AsyncIterator[socket.socket]:
    """Connect a socket to *server* until the block ends.

    Connected: the kernel drops what comes from elsewhere, and says at once when
    nobody listens there. Bound to an interface: a container that writes the
    resolver's address as its own, and guesses port and id, is not heard.

    Args:
        kind: SOCK_DGRAM or SOCK_STREAM.
        server: a resolver.
        port: where it listens.
        device: name of the interface that faces it; None: any.

    Raises:
        OSError: it can't be reached, or not by that interface.
    """
    with socket.socket(_FAMILIES[server.version], kind | socket.SOCK_NONBLOCK) as made:
        if device is not None:
            # Before Linux kernel commit c427bfec18f2 ("net: core: enable SO_BINDTODEVICE
            # for non-root users") (in v5.7) this needs CAP_NET_RAW.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        await asyncio.get_running_loop().sock_connect(made, (str(server), port))
        yield made
