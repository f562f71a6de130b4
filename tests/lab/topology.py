"""Three namespaces wired together: the world, the machine under the firewall, a container.

    world ── 10.77.0.0/24, fd77::/64 ── host ── br-lab 172.30.0.0/24, fd30::/64 ── container

Every address of WORLD_NETWORKS answers in the world. Addresses repeat from lab to
lab, which is no matter: nothing leads out of one.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from tests.lab import cgroup
from tests.lab.leftovers import lab_directory
from tests.lab.namespace import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORLD_NETWORKS = (IPv4Network("198.18.0.0/15"), IPv6Network("2001:db8::/32"))
RESOLVERS = ("10.77.0.1", "fd77::1")
UPLINK = "eth0"
BRIDGE = "br-lab"

IN_WORLD = (
    "address add 10.77.0.1/24 dev eth0",
    "address add fd77::1/64 dev eth0 nodad",
    "link set eth0 up",
    *(f"route add local {network} dev lo" for network in WORLD_NETWORKS),
)
_HOST = (
    f"link add {BRIDGE} type bridge",
    "link set to-container master br-lab up",
    "address add 10.77.0.2/24 dev eth0",
    "address add fd77::2/64 dev eth0 nodad",
    f"address add 172.30.0.1/24 dev {BRIDGE}",
    f"address add fd30::1/64 dev {BRIDGE} nodad",
    "link set eth0 up",
    f"link set {BRIDGE} up",
    "route add default via 10.77.0.1",
    "route add default via fd77::1",
)
_CONTAINER = (
    "address add 172.30.0.2/24 dev eth0",
    "address add fd30::2/64 dev eth0 nodad",
    "link set eth0 up",
    "route add default via 172.30.0.1",
    "route add default via fd30::1",
)
_MASQUERADE = """
table inet lab_masquerade {
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "eth0" masquerade
  }
}
"""
# Duplicate address detection would make addresses unusable for a second or two.
IPV6_SETTINGS = (
    "net.ipv6.conf.all.disable_ipv6=0",
    "net.ipv6.conf.default.disable_ipv6=0",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.default.accept_ra=0",
)
_FORWARD = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


@dataclass(frozen=True)
class Topology:
    """The namespaces, wired and routed.

    Attributes:
        name: unique on the machine.
        directory: for files of tests; removed with the lab.
        cgroup: holds what runs in *host* and *container*, as the root cgroup of a
            machine does, and nothing of the world.
    """

    name: str
    directory: Path
    cgroup: Path
    world: Namespace
    host: Namespace
    container: Namespace


@contextlib.contextmanager
def topology() -> Iterator[Topology]:
    """Make the namespaces; all ends with the block, or with this process."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(lab_directory())
        root = cgroup.mount_point() / directory.name

        def namespace(name: str, group: Path) -> Namespace:
            group.mkdir(parents=True)
            (directory / name).mkdir()
            return stack.enter_context(Namespace(directory / name, group).held())

        world = namespace("world", root / "world")
        host = namespace("host", root / "machine" / "host")
        container = namespace("container", root / "machine" / "container")
        # As the kernel makes the root of cgroup v2, whoever mounts it.
        (root / "machine").chmod(0o555)
        _wire(world, host, container)
        yield Topology(directory.name, directory, root / "machine", world, host, container)


def _wire(world: Namespace, host: Namespace, container: Namespace) -> None:
    for namespace in (world, host, container):
        namespace.sysctl(*IPV6_SETTINGS)
        namespace.resolv_conf.write_text("".join(f"nameserver {a}\n" for a in RESOLVERS))
    host.sysctl(*_FORWARD)
    host.ip(
        f"link add eth0 type veth peer name eth0 netns {world.pid}",
        f"link add to-container type veth peer name eth0 netns {container.pid}",
    )
    world.ip(*IN_WORLD)
    host.ip(*_HOST)
    container.ip(*_CONTAINER)
    host.nft(_MASQUERADE)
