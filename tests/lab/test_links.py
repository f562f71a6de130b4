"""The DNS programs on interfaces, beside what others have there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import TypeVar

import pytest

from enforcer.edge.links import PROGRAMS, Links
from enforcer.edge.programs import Programs
from enforcer.errors import DatapathError
from tests.lab.namespace import Namespace
from tests.lab.topology import RESOLVERS, topology

pytestmark = pytest.mark.root

T = TypeVar("T")
# A cls_bpf filter as ours are, with one instruction: return 0.
THEIR_FILTER = ("protocol", "all", "prio", "99", "bpf", "bytecode", "1,6 0 0 0,")


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    """Return the loaded programs."""
    loaded = Programs()
    yield loaded
    loaded.close()


@pytest.fixture
def host() -> Iterator[Namespace]:
    """Return a machine of the test's own."""
    with topology() as net:
        yield net.host


def with_links(host: Namespace, use: Callable[[Links], T]) -> T:
    """Return what *use* returns for the links of *host*."""

    def call() -> T:
        links = Links()
        try:
            return use(links)
        finally:
            links.close()

    return host.call(call)


def attach(host: Namespace, programs: Programs, interface: str) -> None:
    """Attach both programs."""
    fds = {"dns_query": programs.dns_query, "dns_answer": programs.dns_answer}
    with_links(host, lambda links: links.attach(interface, **fds))


def attached(host: Namespace) -> dict[str, frozenset[str]]:
    """Return what is attached where."""
    return with_links(host, lambda links: links.attached())


def clsact(host: Namespace) -> bool:
    """Tell whether eth0 has the qdisc."""
    return "clsact" in host.run("tc", "qdisc", "show", "dev", "eth0").stdout


def test_both_programs_are_attached_once_however_often(host: Namespace, programs: Programs) -> None:
    """Attaching again replaces; there is never a second filter."""
    for _ in range(3):
        attach(host, programs, "eth0")
    attach(host, programs, "lo")
    assert attached(host) == {"eth0": PROGRAMS, "lo": PROGRAMS}
    for hook in ("ingress", "egress"):
        shown = host.run("tc", "filter", "show", "dev", "eth0", hook).stdout
        assert shown.count("direct-action") == 1


def test_detaching_leaves_nothing(host: Namespace, programs: Programs) -> None:
    """Filters and the qdisc made for them are gone, on the interfaces named."""
    attach(host, programs, "eth0")
    attach(host, programs, "lo")
    with_links(host, lambda links: links.detach(["eth0"]))
    assert attached(host) == {"lo": PROGRAMS}
    assert not clsact(host)
    with_links(host, lambda links: links.detach())
    assert attached(host) == {}


def test_filters_of_others_and_their_qdisc_stay(host: Namespace, programs: Programs) -> None:
    """Neither attaching nor detaching takes away what somebody else put there."""
    host.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    host.run("tc", "filter", "add", "dev", "eth0", "egress", *THEIR_FILTER)
    attach(host, programs, "eth0")
    with_links(host, lambda links: links.detach())
    assert attached(host) == {}
    assert clsact(host)
    assert "bytecode" in host.run("tc", "filter", "show", "dev", "eth0", "egress").stdout


def test_interfaces_that_face_the_resolvers_are_found(host: Namespace) -> None:
    """By the routes of the machine, and the loopback always; without a route, none."""
    far = [ip_address(resolver) for resolver in RESOLVERS]
    assert with_links(host, lambda links: links.facing(far)) == ("eth0", "lo")
    host.run("ip", "route", "flush", "table", "main")
    host.run("ip", "-6", "route", "flush", "table", "main")
    assert with_links(host, lambda links: links.facing(far)) == ("lo",)


def test_own_addresses_are_listed(host: Namespace) -> None:
    """Those of every interface and family."""
    found = with_links(host, lambda links: links.addresses())
    assert {ip_address(a) for a in ("10.77.0.2", "fd77::2", "172.30.0.1", "127.0.0.1")} <= found


def test_a_missing_interface_is_named(host: Namespace, programs: Programs) -> None:
    """What can't be attached to is an error with its name."""
    with pytest.raises(DatapathError, match='no interface "eth9"'):
        attach(host, programs, "eth9")
