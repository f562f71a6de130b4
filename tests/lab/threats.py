"""Two labs alike but for the daemon: what works in one is to fail in the other."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab, new_lab
from tests.lab.registry import ALLOWED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

both_families = pytest.mark.parametrize("version", [0, 1], ids=["v4", "v6"])
ORIGINS = ("host", "user", "user namespace", "container")
# Those that may open raw sockets.
RAW_ORIGINS = ("host", "container")
_ATTACK = Path(__file__).with_name("attack.py")
_NOBODY = 65534
_SEEN = """
table inet lab_seen {
  set seen4 { type ipv4_addr . inet_proto; flags dynamic; size 4096; counter; }
  set seen6 { type ipv6_addr . inet_proto; flags dynamic; size 4096; counter; }
  counter source_routed { }
  counter routing_header { }
  chain prerouting {
    type filter hook prerouting priority raw
    update @seen4 { ip daddr . meta l4proto counter }
    update @seen6 { ip6 daddr . meta l4proto counter }
    ip option lsrr exists counter name source_routed
    exthdr rt exists counter name routing_header
  }
}
"""


@dataclass(frozen=True)
class Labs:
    """One without and one with the firewall.

    Attributes:
        enforcer: the daemon of `closed`.
    """

    open: Lab
    closed: Lab
    enforcer: Enforcer

    def refute(self, works: Callable[[Lab], bool]) -> None:
        """Show that an attempt succeeds without the firewall and fails with it."""
        assert works(self.open), "the attempt does not even work without the firewall"
        assert not works(self.closed)


@contextlib.contextmanager
def two_labs(policy: str, zone: str) -> Iterator[Labs]:
    """Make both, each with a world that counts what arrives.

    Args:
        policy: of the daemon.
        zone: of fresh addresses.
    """
    with contextlib.ExitStack() as stack:
        labs = [stack.enter_context(new_lab()) for _ in range(2)]
        for lab in labs:
            lab.nameserver.fresh(zone)
            lab.net.world.sysctl("net.ipv6.ip_nonlocal_bind=1")
            lab.net.world.nft(_SEEN)
        opened, closed = labs
        yield Labs(opened, closed, stack.enter_context(running(closed.net, policy)))


def arrived(lab: Lab, address: str, protocol: str | None = None) -> bool:
    """Tell whether the world saw a packet to *address* (of the IP *protocol*, if given)."""
    name = "seen6" if ":" in address else "seen4"
    listed = lab.net.world.run("nft", "-j", "list", "set", "inet", "lab_seen", name).stdout
    return any(
        there == address and protocol in (None, of)
        for item in json.loads(listed)["nftables"]
        for element in item.get("set", {}).get("elem", ())
        for there, of in (element["elem"]["val"]["concat"],)
    )


def counted(lab: Lab, name: str) -> int:
    """Return how many packets a counter of the world has."""
    listed = lab.net.world.run("nft", "-j", "list", "counter", "inet", "lab_seen", name).stdout
    return int(json.loads(listed)["nftables"][1]["counter"]["packets"])


def attack(lab: Lab, origin: str, how: str, *arguments: str) -> None:
    """Run a function of `attack` from *origin*, and wait until its packets are where they go."""
    argv = (sys.executable, str(_ATTACK), how, *arguments)
    host, container = lab.net.host, lab.net.container
    # An attempt may fail at once: that is the firewall's answer.
    if origin == "host":
        host.run(*argv, check=False)
    elif origin == "user":
        host.run(*argv, check=False, user=_NOBODY)
    elif origin == "user namespace":
        host.run("unshare", "--user", "--map-root-user", *argv, check=False, user=_NOBODY)
    else:
        container.run(*argv, check=False)
    # Packets of a veth arrive in the order they were sent.
    for namespace in (host, container):
        assert attempt(namespace, ALLOWED.addresses[0]).outcome == "connected"


def reaches(lab: Lab, origin: str, how: str, address: str, protocol: str | None = None) -> bool:
    """Tell whether the attempt gets a packet to *address*, where none has been before."""
    assert not arrived(lab, address, protocol), f"{address} was reached by another test"
    attack(lab, origin, how, address)
    return arrived(lab, address, protocol)
