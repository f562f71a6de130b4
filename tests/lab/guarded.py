"""A firewall in the host namespace, and sockets of any namespace that try it."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from enforcer.core.elements import TimedElement
from enforcer.core.interfaces import DEFAULT_EXEMPT
from enforcer.core.policy import Mode
from enforcer.core.ruleset import FULL, compile_ruleset
from enforcer.core.table import TableState
from enforcer.edge.firewall import Firewall
from tests.lab.namespace import Namespace
from tests.lab.sink import Sink
from tests.lab.topology import UPLINK, Topology, topology

NONCE = 0xBEEF0001
PROBE = 0xBEEF0002
AT_ONCE_S = 0.5
SO_PRIORITY = 12  # asm-generic/socket.h

# (permitted, not permitted) of each family
PAIRS = [("198.18.0.1", "198.18.0.2"), ("2001:db8::1", "2001:db8::2")]

Ends = tuple[socket.socket, socket.socket]  # the client's and the server's

NO_CT = replace(FULL, ct=False, ct_label=False)


def element(
    address: str, port: int = 443, timeout_ms: int = 60_000, comment: str = ""
) -> TimedElement:
    """Return an element that lasts a minute."""
    return TimedElement(ip_address(address), port, timeout_ms, comment)


class Host:
    """A firewall in the host namespace; what starts nft joins that namespace first.

    Attributes:
        firewall: its netlink socket is of the namespace, wherever it is called.
    """

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.firewall = namespace.call(Firewall)

    def enforce(self, *elements: TimedElement, **changes: Any) -> None:  # noqa: ANN401
        """Apply a ruleset that permits *elements*, with *changes* to the rest of it."""
        parts: dict[str, Any] = {
            "mode": Mode.ENFORCE,
            "networks": (),
            "resolvers": (),
            "nonces": (NONCE,),
            "probe": PROBE,
            "exempt": DEFAULT_EXEMPT,
            "uplinks": (UPLINK,),
            "capabilities": FULL,
        }
        self.apply(compile_ruleset(**{**parts, **changes}, elements=elements))

    def apply(self, text: str) -> None:
        """Apply *text*."""
        self.namespace.call(lambda: self.firewall.apply(text))

    def remove(self) -> None:
        """Remove the table."""
        self.namespace.call(self.firewall.remove)

    def inspect(self) -> TableState:
        """Return the state of the table."""
        return self.namespace.call(self.firewall.inspect)

    def denied(self) -> int:
        """Return how many packets were counted as denied."""
        denied = self.inspect().denied
        assert denied is not None
        return denied


@contextlib.contextmanager
def wired() -> Iterator[Topology]:
    """Make namespaces whose world accepts TCP on three ports of every address."""
    with topology() as net, Sink(net.world, (53, 443, 5000)).serving():
        # The world's addresses are routes, which only IPv4 sockets can bind to.
        net.world.sysctl("net.ipv6.ip_nonlocal_bind=1")
        yield net


@contextlib.contextmanager
def guarded(namespace: Namespace) -> Iterator[Host]:
    """Make a firewall without a ruleset; the one it gets is removed at the end."""
    host = Host(namespace)
    try:
        yield host
    finally:
        host.remove()
        host.firewall.close()


@contextlib.contextmanager
def without_tracking(net: Topology) -> Iterator[None]:
    """Take away what makes the host track connections, and put it back."""
    masquerade = net.host.run("nft", "list", "table", "inet", "lab_masquerade").stdout
    net.host.nft("delete table inet lab_masquerade")
    try:
        yield
    finally:
        net.host.nft(masquerade)


def family(address: str) -> socket.AddressFamily:
    """Return the socket family of *address*."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def connect(
    namespace: Namespace, address: str, port: int = 443, *, mark: int = 0, priority: int = 0
) -> str:
    """Connect from *namespace*; return ``connected`` or the error's name.

    A refusal that is not immediate is ``LATE``.
    """

    def attempt() -> str:
        with socket.socket(family(address), socket.SOCK_STREAM) as sock:
            sock.settimeout(2)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark.to_bytes(4, sys.byteorder))
            sock.setsockopt(socket.SOL_SOCKET, SO_PRIORITY, priority.to_bytes(4, sys.byteorder))
            start = time.monotonic()
            try:
                sock.connect((address, port))
            except TimeoutError:
                return "ETIMEDOUT"
            except OSError as exc:
                late = time.monotonic() - start > AT_ONCE_S
                return "LATE" if late else errno.errorcode[exc.errno or 0]
            return "connected"

    return namespace.call(attempt)


def listener(
    namespace: Namespace, address: str, port: int, *, shared: bool = False
) -> socket.socket:
    """Return a listening TCP socket of *namespace*, which many can try before one is accepted.

    Args:
        namespace: where.
        address: of the socket.
        port: likewise.
        shared: with other sockets of the user, if they share it too.
    """
    made = namespace.call(
        lambda: socket.create_server(
            (address, port),
            family=family(address),
            backlog=socket.SOMAXCONN,
            reuse_port=shared,
        )
    )
    made.settimeout(2)
    return made


@contextlib.contextmanager
def connected(client: Namespace, server: Namespace, address: str, port: int) -> Iterator[Ends]:
    """Yield a connection's two ends."""
    with (
        listener(server, address, port) as listening,
        client.call(lambda: socket.create_connection((address, port), timeout=2)) as ours,
        listening.accept()[0] as theirs,
    ):
        theirs.settimeout(2)
        yield ours, theirs


def goes_on(ends: Ends) -> bool:
    """Tell whether what one end says the other hears, both ways."""
    try:
        for sender, receiver in (ends, ends[::-1]):
            sender.sendall(b"still there")
            if receiver.recv(100) != b"still there":
                return False
    except OSError:
        return False
    return True


def udp(namespace: Namespace, address: str, source: tuple[str, int] | None = None) -> socket.socket:
    """Return a UDP socket of *namespace*, bound to *source* if given."""

    def make() -> socket.socket:
        sock = socket.socket(family(address), socket.SOCK_DGRAM)
        sock.settimeout(2)
        if source:
            sock.bind(source)
        return sock

    return namespace.call(make)
