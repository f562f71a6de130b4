"""Every address of the world accepts TCP connections, and their SYNs are counted."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.namespace import Namespace

_BACKLOG = 4096
_FAMILIES = (("syn4", "ipv4_addr", "ip"), ("syn6", "ipv6_addr", "ip6"))

# Ahead of connection tracking and address translation, so that what is counted is
# what came over the wire.
_COUNTERS = (
    "table inet lab_sink {\n"
    + "".join(
        f"  set {name} {{ type {kind} . inet_service; size 65535; flags dynamic; counter; }}\n"
        for name, kind, _ in _FAMILIES
    )
    + "  chain prerouting {\n    type filter hook prerouting priority raw\n"
    + "".join(
        f"    tcp flags & (syn | ack) == syn"
        f" update @{name} {{ {header} daddr . tcp dport counter }}\n"
        for name, _, header in _FAMILIES
    )
    + "  }\n}\n"
)


class Sink:
    """Accepts and closes connections to any address of *world* on *ports*."""

    def __init__(self, world: Namespace, ports: tuple[int, ...]) -> None:
        self._world = world
        self._ports = ports

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Accept connections until the block ends."""
        self._world.nft(_COUNTERS)
        listeners = self._world.call(lambda: [_listener(port) for port in self._ports])
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=_accept, args=(listeners, theirs))
        thread.start()
        try:
            yield
        finally:
            ours.close()
            thread.join()
            theirs.close()
            for listener in listeners:
                listener.close()

    def syns(self) -> dict[tuple[str, int], int]:
        """Return how many initial SYNs arrived for each (address, port) since the reset."""
        counts: dict[tuple[str, int], int] = {}
        for name, _, _ in _FAMILIES:
            listed = self._world.run("nft", "-j", "list", "set", "inet", "lab_sink", name).stdout
            for item in json.loads(listed)["nftables"]:
                for element in item.get("set", {}).get("elem", ()):
                    address, port = element["elem"]["val"]["concat"]
                    counts[address, port] = element["elem"]["counter"]["packets"]
        return counts

    def reset(self) -> None:
        """Count from zero again."""
        self._world.nft("".join(f"flush set inet lab_sink {name}\n" for name, _, _ in _FAMILIES))


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(_BACKLOG)
    listener.settimeout(0)
    return listener


def _accept(listeners: list[socket.socket], end: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        for sock in (*listeners, end):
            selector.register(sock, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is end:
                    return
                assert isinstance(key.fileobj, socket.socket)
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    while True:
                        key.fileobj.accept()[0].close()
