"""A container that comes, connects and goes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from chaos.kinds import BARE, FAMILIES, FRESH
from tests.lab import cgroup
from tests.lab.client import connect_to_answers
from tests.lab.connect import attempt
from tests.lab.namespace import Namespace
from tests.lab.topology import BRIDGE, Topology

_NAMES = 3
_FIRST = 10  # the bridge and the lab's own container have lower addresses
_MANY = 200


@contextlib.contextmanager
def _container(net: Topology, number: int) -> Iterator[Namespace]:
    name, host = f"new{number}", _FIRST + number % _MANY
    group = net.cgroup / name
    group.mkdir()
    (net.directory / name).mkdir()
    try:
        with Namespace(net.directory / name, group).held() as made:
            made.sysctl("net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.accept_dad=0")
            made.resolv_conf.write_text(net.container.resolv_conf.read_text())
            net.host.ip(
                f"link add to-{name} type veth peer name eth0 netns {made.pid}",
                f"link set to-{name} master {BRIDGE} up",
            )
            made.ip(
                f"address add 172.30.0.{host}/24 dev eth0",
                f"address add fd30::{host:x}/64 dev eth0 nodad",
                "link set eth0 up",
                "route add default via 172.30.0.1",
                "route add default via fd30::1",
            )
            yield made
    finally:
        cgroup.remove(group)


def connects(net: Topology, number: int) -> int:
    """Let a new container connect to what is permitted and what is not; return what went wrong."""
    wrong = 0
    with _container(net, number) as made:
        for family in FAMILIES:
            reached = connect_to_answers(
                made, FRESH.zone, family=family, count=_NAMES, label=f"c{number}x{family}"
            )
            wrong += _NAMES - reached.ok
            denied = attempt(made, BARE.address(family, number)).outcome
            wrong += denied != "ECONNREFUSED"
    return wrong
