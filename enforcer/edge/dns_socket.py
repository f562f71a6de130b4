"""Sockets for our own DNS queries, which take answers from one interface alone."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import AsyncIterator

from enforcer.core.addresses import Address
from enforcer.core.interfaces import LOOPBACK

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
# asm-generic/socket.h, linux/filter.h, linux/bpf_common.h
_ATTACH_FILTER = 26
_LOAD_INTERFACE = (0x20, 0, 0, 0xFFFFF000 + 8)  # ld [SKF_AD_OFF + SKF_AD_IFINDEX]
_LOOPBACK_INDEX = 1  # net/net_namespace.h: LOOPBACK_IFINDEX, in every network namespace
_IF_LOOPBACK = (0x15, 0, 1, _LOOPBACK_INDEX)  # jeq
_DROP, _TAKE = (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF)  # ret
_NOT_BY_LOOPBACK = b"".join(
    struct.pack("=HBBI", *each) for each in (_LOAD_INTERFACE, _IF_LOOPBACK, _DROP, _TAKE)
)


@contextlib.asynccontextmanager
async def connected(
    kind: socket.SocketKind, server: Address, port: int, device: str | None
) -> AsyncIterator[socket.socket]:
    """Connect a socket to *server* until the block ends.

    Connected: the kernel drops what comes from elsewhere, and says at once when
    nobody listens there. Bound to an interface: a container that writes the
    resolver's address as its own, and guesses port and id, is not heard. Nor is a process
    of the machine that does so, and may use port 53.

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
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, os.fsencode(device))
        if device not in (None, LOOPBACK):
            _refuse_loopback(made)
        await asyncio.get_running_loop().sock_connect(made, (str(server), port))
        yield made


def _refuse_loopback(sock: socket.socket) -> None:
    """Drop what comes over the loopback, which IPv6 takes for the interface of its destination.

    See ip6_rcv_core(): so SO_BINDTODEVICE lets it in.
    """
    program = ctypes.create_string_buffer(_NOT_BY_LOOPBACK, len(_NOT_BY_LOOPBACK))
    length = len(_NOT_BY_LOOPBACK) // struct.calcsize("=HBBI")
    filled = struct.pack("@HP", length, ctypes.addressof(program))
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, filled)
