"""Ways round, by advertising: a container that says it is the router (RFC 4861 section 4.2)."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.guarded import listener
from tests.lab.lab import Lab
from tests.lab.messages import ask
from tests.lab.nameserver import Nameserver
from tests.lab.namespace import Namespace
from tests.lab.threats import Labs, both_families, reaches, two_labs
from tests.lab.topology import BRIDGE, RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

RESOLVER = RESOLVERS[1]
POLICY = f"""\
version: 1
organization: lab
hosts:
  - registry.allowed.test
  - "*.{FRESH_ZONE}"
resolvers: ["{RESOLVER}"]
"""
# As the kernel has it for every interface of a machine that forwards no IPv6.
_FOLLOWS = (
    "net.ipv6.conf.all.forwarding=0",
    f"net.ipv6.conf.{BRIDGE}.forwarding=0",
    f"net.ipv6.conf.{BRIDGE}.accept_ra=1",
)
_ADVERTISEMENT, _PREFIX_OPTION, _ON_LINK = 134, 3, 0x80
_LIFETIME_S = 1800
_ALL_NODES = "ff02::1"


@pytest.fixture(scope="module")
def labs() -> Iterator[Labs]:
    """Return a lab without and one with a daemon, whose only resolver is of IPv6."""
    with two_labs(POLICY, FRESH_ZONE) as made:
        yield made


def advertise(container: Namespace, on_link: str, length: int = 128, router_s: int = 0) -> None:
    """Say, as any container may, that a network is on its link, and it a router for so long."""
    header = struct.pack("!BBHBBHII", _ADVERTISEMENT, 0, 0, 64, 0, router_s, 0, 0)
    prefix = struct.pack(
        "!BBBBIII", _PREFIX_OPTION, 4, length, _ON_LINK, _LIFETIME_S, _LIFETIME_S, 0
    )

    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            index = socket.if_nametoindex("eth0")
            message = header + prefix + ip_address(on_link).packed
            raw.sendto(message, (_ALL_NODES, 0, 0, index))

    container.call(send)


@contextlib.contextmanager
def in_the_resolvers_place(lab: Lab) -> Iterator[Nameserver]:
    """Lead the host's way to the resolver to the container, which answers in its name."""
    host, container = lab.net.host, lab.net.container
    host.sysctl(*_FOLLOWS)
    container.ip(f"address add {RESOLVER}/128 dev eth0 nodad")
    server = Nameserver()
    with server.serving(container, RESOLVER):
        advertise(container, RESOLVER)
        get = ("ip", "route", "get", RESOLVER)
        try:
            until(lambda: BRIDGE in host.run(*get).stdout, 5, "the route to the container")
            yield server
        finally:
            host.run("ip", "-6", "route", "del", RESOLVER, "dev", BRIDGE)
            container.ip(f"address del {RESOLVER}/128 dev eth0")


@both_families
def test_an_answer_of_a_container_on_the_way_to_the_resolver(
    labs: Labs, name: str, evil: str
) -> None:
    """The programs followed the route, and learned whatever it said; nobody is to hear it."""

    def gets_out(lab: Lab) -> bool:
        with in_the_resolvers_place(lab) as server:
            server.add(name, evil)
            if lab is labs.closed:
                _until_told(labs)
                labs.enforcer.cli("reload")  # status has seen it; now the daemon has as well
            answered = ip_address(evil).packed in ask(lab.net.host, name, evil, RESOLVER)
            assert answered is (lab is labs.open)
            return reaches(lab, "user", "tcp", evil)

    labs.refute(gets_out)


def test_the_daemon_does_not_ask_a_container_on_the_way_to_the_resolver(labs: Labs) -> None:
    """What it was told of an exact name was opened for everybody."""
    closed, other = labs.closed, "other.lab.test"
    with in_the_resolvers_place(closed) as server:
        server.add(other, "198.18.77.77", "2001:db8:77::77")
        _until_told(labs)
        labs.enforcer.put_in_force(POLICY.replace("registry.allowed.test", other))
        why = (
            f"{other} can't be resolved: A and AAAA: {RESOLVER} can't be reached: no route to host"
        )
        until(lambda: why in _problems(labs), 10, "the lookup to fail")
        assert not server.queries
    labs.enforcer.put_in_force(POLICY)
    until(lambda: not _problems(labs), 15, "the resolver to be believed again")


@pytest.mark.parametrize(
    ("on_link", "length", "router_s"), [("2001:db8:77::1", 128, _LIFETIME_S), ("::", 0, 0)]
)
def test_a_container_that_says_it_is_the_router(
    labs: Labs, on_link: str, length: int, router_s: int
) -> None:
    """Its bridge was taken for an uplink: what is behind it was unlabelled, what goes to it judged.

    As if it led out, containers could be answered by somebody else, and not by the machine.
    """
    enforcer, host, container = labs.enforcer, labs.closed.net.host, labs.closed.net.container
    host.sysctl(*_FOLLOWS)
    advertise(container, on_link, length, router_s)
    default = ("ip", "-6", "route", "show", "default", "dev", BRIDGE)
    until(lambda: host.run(*default).stdout, 5, "the route to the container")
    text = f"a default route leads by {BRIDGE}, where containers can advertise one"
    until(lambda: any(text in each for each in _problems(labs)), 10, "it to be told")
    enforcer.cli("reload")
    assert BRIDGE not in host.run("nft", "list", "table", "inet", "enforcer").stdout
    roles = {each["name"]: each["role"] for each in enforcer.status()["interfaces"]}
    assert roles[BRIDGE] == "exempt"
    with listener(container, "172.30.0.2", 8000):
        assert attempt(host, "172.30.0.2", 8000).outcome == "connected"
    host.run("ip", "-6", "route", "del", "default", "dev", BRIDGE)
    until(lambda: not _problems(labs), 15, "health")


def _until_told(labs: Labs) -> None:
    text = f"resolver {RESOLVER} is reached by {BRIDGE}, where containers can advertise a route"
    until(lambda: any(text in each for each in _problems(labs)), 10, "it to be told")


def _problems(labs: Labs) -> list[str]:
    return [problem["text"] for problem in labs.enforcer.status()["problems"]]
