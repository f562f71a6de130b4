"""Connections that could not be ended at once are ended later."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Collection, Iterator
from ipaddress import ip_address

import pytest

from enforcer.core.destinations import TCP, Connection, Destination, Permitted
from enforcer.core.opened import Pair
from enforcer.core.policy import parse_policy
from enforcer.daemon.live import LiveConnections
from enforcer.edge.conntrack import end_connections
from enforcer.edge.links import Links
from enforcer.errors import DatapathError
from tests.lab.guarded import connected
from tests.lab.topology import Topology

pytestmark = pytest.mark.root

ADDRESS, PORT = "198.18.0.1", 9443
PAIR = (ip_address(ADDRESS), PORT)
BARE = "version: 1\norganization: lab\nhosts: [registry.allowed.test]\n"
NETWORK, OTHER_NETWORK = (f'{BARE}networks: ["198.18.{n}.0/24"]\n' for n in (0, 1))

# linux/capability.h: _LINUX_CAPABILITY_VERSION_3, of 64 bits in two words.
_VERSION_3 = 0x20080522
_CAP_NET_ADMIN = 12


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Words(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


@contextlib.contextmanager
def without_net_admin() -> Iterator[None]:
    """Have the kernel refuse this thread, and no other, connection tracking."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, words = _Header(_VERSION_3, 0), (_Words * 2)()

    def call(function: str) -> None:
        if getattr(libc, function)(ctypes.byref(header), words):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    call("capget")
    words[0].effective &= ~(1 << _CAP_NET_ADMIN)
    call("capset")
    try:
        yield
    finally:
        words[0].effective |= 1 << _CAP_NET_ADMIN
        call("capset")


def tracked() -> set[Destination]:
    """Return where the tracked connections of this namespace lead."""
    seen: set[Destination] = set()

    def see(connection: Connection) -> bool:
        seen.add(connection.destination)
        return False

    end_connections(see)
    return seen


@pytest.fixture
def tracking(net: Topology) -> Iterator[None]:
    """Track the connections of the host."""
    net.host.nft(
        "table inet lab_tracking {\n  chain output {\n"
        "    type filter hook output priority 0\n    ct state new accept\n  }\n}\n"
    )
    yield
    net.host.nft("delete table inet lab_tracking\n")


@pytest.mark.usefixtures("tracking")
@pytest.mark.parametrize(
    ("before", "refused"),
    [
        ((), ((BARE, ()),)),
        ((NETWORK,), ((BARE, ()),)),
        ((NETWORK,), ((BARE, ()), (OTHER_NETWORK, ()))),
        ((BARE,), ((NETWORK, ()), (BARE, ()))),
        ((BARE,), ((BARE, (PAIR,)),)),
        ((BARE,), ((BARE, (PAIR,)), (OTHER_NETWORK, ()))),
    ],
    ids=["start", "network", "two reloads", "network that came", "host", "host, then reload"],
)
def test_what_can_not_be_ended_is_ended_later(
    net: Topology,
    before: tuple[str, ...],
    refused: tuple[tuple[str, Collection[Pair]], ...],
) -> None:
    """Once connection tracking answers again, whatever was put in force meanwhile.

    What one failure left of a network or host that the policy had lost went on for ever,
    and at the start all that was open.
    """
    destination = Destination(PAIR[0], TCP, PORT)

    def follow_all() -> None:
        links = Links()
        live = LiveConnections(links, end_connections, Permitted() if before else None)

        def follow(text: str, removed: Collection[Pair] = ()) -> None:
            live.follow(parse_policy(text, "policy.yaml"), (), frozenset, removed)

        try:
            for text in before:
                follow(text)
            assert destination in tracked()
            with without_net_admin():
                for text, removed in refused:
                    with pytest.raises(DatapathError, match="connection tracking"):
                        follow(text, removed)
            assert destination in tracked()
            follow(refused[-1][0])
            assert destination not in tracked()
        finally:
            links.close()

    with connected(net.host, net.world, ADDRESS, PORT):
        net.host.call(follow_all)
