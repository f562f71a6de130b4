"""A second container on a bridge of its own, for what passes between containers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.lab.namespace import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.topology import Topology

ADDRESSES = ("172.31.0.2", "fd31::2")


@contextlib.contextmanager
def second_container(net: Topology) -> Iterator[Namespace]:
    """Add a container behind bridge ``br-two``, 172.31.0.0/24 and fd31::/64, to *net*."""
    (net.directory / "second").mkdir(exist_ok=True)
    group = net.cgroup / "second"
    group.mkdir(exist_ok=True)
    with Namespace(net.directory / "second", group).held() as made:
        made.sysctl("net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.accept_dad=0")
        net.host.ip(
            "link add br-two type bridge",
            f"link add to-second type veth peer name eth0 netns {made.pid}",
            "link set to-second master br-two up",
            "address add 172.31.0.1/24 dev br-two",
            "address add fd31::1/64 dev br-two nodad",
            "link set br-two up",
        )
        made.ip(
            "address add 172.31.0.2/24 dev eth0",
            "address add fd31::2/64 dev eth0 nodad",
            "link set eth0 up",
            "route add default via 172.31.0.1",
            "route add default via fd31::1",
        )
        try:
            yield made
        finally:
            net.host.ip("link del to-second", "link del br-two")
