"""The lab: the wired namespaces with a name server and servers for every address."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.lab.nameserver import Nameserver
from tests.lab.registry import ALLOWED, DENIED
from tests.lab.sink import Sink
from tests.lab.topology import RESOLVERS, Topology, topology

if TYPE_CHECKING:
    from collections.abc import Iterator

PORTS = (443, 8443)


@dataclass(frozen=True)
class Lab:
    """A world with names and servers, and a machine to put under the firewall.

    The names of both registries exist, and their addresses answer as all do; see
    serving_registries for the registries themselves.
    """

    net: Topology
    nameserver: Nameserver
    sink: Sink


@contextlib.contextmanager
def new_lab() -> Iterator[Lab]:
    """Make a lab; it ends with the block, or with this process."""
    with topology() as net:
        lab = Lab(net, Nameserver(), Sink(net.world, PORTS))
        for registry in (ALLOWED, DENIED):
            lab.nameserver.add(registry.name, *registry.addresses)
        with lab.nameserver.serving(net.world, *RESOLVERS), lab.sink.serving():
            yield lab
