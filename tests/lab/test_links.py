"""Programs on the tc hooks of interfaces, beside what others have there."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from ipaddress import ip_address
from typing import TypeVar

import pytest

from enforcer.core.interfaces import LEARNING, Interface, Network, Program
from enforcer.edge.bpf import program_id
from enforcer.edge.filters import Filters, Running
from enforcer.edge.links import Links
from enforcer.edge.loader import load
from enforcer.edge.programs import Programs
from enforcer.errors import DatapathError
from tests.lab.namespace import Namespace
from tests.lab.topology import BRIDGE, RESOLVERS, topology

pytestmark = pytest.mark.root

T = TypeVar("T")
# A cls_bpf filter as ours are, with one instruction: return -1, go on.
THEIR_PROGRAM = ("bpf", "bytecode", "1,6 0 0 4294967295,")
THEIR_FILTER = ("protocol", "all", "prio", "99", *THEIR_PROGRAM)


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    """Return the loaded programs."""
    loaded = Programs(load())
    yield loaded
    loaded.close()


@pytest.fixture
def host() -> Iterator[Namespace]:
    """Return a machine of the test's own."""
    with topology() as net:
        yield net.host


def with_filters(host: Namespace, use: Callable[[Filters], T]) -> T:
    """Return what *use* returns for the filters of *host*."""

    def call() -> T:
        filters = Filters()
        try:
            return use(filters)
        finally:
            filters.close()

    return host.call(call)


def network(host: Namespace, *resolvers: str, led_out: Collection[int] = ()) -> Network:
    """Return the network of *host* as seen from *resolvers*, after *led_out* led out for IPv4."""

    def call() -> Network:
        links = Links({4: led_out})
        try:
            return links.network(map(ip_address, resolvers))
        finally:
            links.close()

    return host.call(call)


def uplinks(seen: Network) -> set[str]:
    """Return the names of the interfaces of default routes."""
    return {each.name for each in seen.interfaces if each.index in seen.defaults}


def interface(host: Namespace, name: str) -> Interface:
    """Return the interface called *name*."""
    return next(each for each in network(host).interfaces if each.name == name)


def descriptors(programs: Programs) -> dict[Program, int]:
    """Return the descriptor of each program."""
    return {
        Program.DNS_QUERY: programs.dns_query,
        Program.DNS_ANSWER: programs.dns_answer,
        Program.FORWARD_MARK: programs.forward_mark,
    }


def attach(host: Namespace, wanted: Mapping[Program, int], name: str = "eth0") -> None:
    """Attach *wanted* to the interface called *name*."""
    on = interface(host, name)
    with_filters(host, lambda filters: filters.attach(on, wanted))


def detach(host: Namespace) -> None:
    """Detach all."""
    with_filters(host, lambda filters: filters.detach())


def take(host: Namespace, index: int, programs: Collection[Program]) -> None:
    """Detach *programs*, whoever's, from the interface with *index*."""

    def detached(filters: Filters) -> None:
        there = filters.attached()[index]
        filters.detach({index: {each for each in there if each[0] in programs}})

    with_filters(host, detached)


def attached(host: Namespace) -> dict[str, frozenset[Program]]:
    """Return what is attached where."""
    names = {each.index: each.name for each in network(host).interfaces}
    found = with_filters(host, lambda filters: filters.attached())
    return {names[index]: frozenset(p for p, _ in there) for index, there in found.items()}


def clsact(host: Namespace) -> bool:
    """Tell whether eth0 has the qdisc."""
    return "clsact" in host.run("tc", "qdisc", "show", "dev", "eth0").stdout


def shown(host: Namespace, hook: str) -> str:
    """Return what tc shows of the filters on a hook of eth0."""
    return host.run("tc", "filter", "show", "dev", "eth0", hook).stdout


def test_two_programs_share_the_ingress_hook(host: Namespace, programs: Programs) -> None:
    """Each has its filter; the loopback has those that were asked for."""
    attach(host, descriptors(programs))
    attach(host, {Program.DNS_QUERY: programs.dns_query}, "lo")
    assert attached(host) == {"eth0": frozenset(Program), "lo": {Program.DNS_QUERY}}
    assert shown(host, "ingress").count("direct-action") == 2
    assert shown(host, "egress").count("direct-action") == 1


def test_programs_of_another_process_stay_beside_ours(host: Namespace) -> None:
    """Until they are taken away by their ids; of many processes that died there are two."""
    seen: list[frozenset[Running]] = []
    ours: set[Running] = set()
    for _ in range(4):
        loaded = Programs(load())
        attach(host, {Program.DNS_ANSWER: loaded.dns_answer})
        (found,) = with_filters(host, lambda filters: filters.attached()).values()
        ours = {(Program.DNS_ANSWER, program_id(loaded.dns_answer))}
        assert ours < found or not seen
        seen.append(found)
        loaded.close()
    assert [len(found) for found in seen] == [1, 2, 2, 2]
    assert shown(host, "ingress").count("direct-action") == 2
    index, older = interface(host, "eth0").index, seen[-1] - ours
    with_filters(host, lambda filters: filters.detach({index: ()}))
    with_filters(host, lambda filters: filters.detach({index: older}))
    assert with_filters(host, lambda filters: filters.attached()) == {index: ours}
    detach(host)
    assert not clsact(host)


def test_detaching_leaves_nothing(host: Namespace, programs: Programs) -> None:
    """Filters and the qdisc made for them are gone, where and which was said."""
    attach(host, descriptors(programs))
    attach(host, descriptors(programs), "lo")
    index = interface(host, "eth0").index
    take(host, index, LEARNING)
    assert attached(host) == {"eth0": {Program.FORWARD_MARK}, "lo": frozenset(Program)}
    assert clsact(host)
    take(host, index, {Program.FORWARD_MARK})
    assert attached(host) == {"lo": frozenset(Program)}
    assert not clsact(host)
    detach(host)
    assert attached(host) == {}


@pytest.mark.parametrize(
    "theirs",
    [
        ("prio", "99", "protocol", "all", *THEIR_PROGRAM),
        ("prio", "1", "protocol", "all", *THEIR_PROGRAM),
        ("prio", "1", "protocol", "all", "handle", "0xe4f0", *THEIR_PROGRAM),
        ("prio", "1", "protocol", "ip", *THEIR_PROGRAM),
        ("prio", "1", "protocol", "all", "u32", "match", "u32", "0", "0"),
    ],
    ids=["other priority", "same", "same handle", "other protocol", "other kind"],
)
@pytest.mark.parametrize("hook", ["ingress", "egress"])
def test_filters_of_others_stay(
    host: Namespace, programs: Programs, hook: str, theirs: tuple[str, ...]
) -> None:
    """Neither attaching nor detaching takes away what somebody else put on the same hook.

    Ours once insisted on one priority and handle: a filter of another kind there
    made attaching fail, one with the same handle was replaced.
    """
    host.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    host.run("tc", "filter", "add", "dev", "eth0", hook, *theirs)
    before = shown(host, hook)
    for times in (1, 2, 2):
        attach(host, descriptors(programs))
        assert attached(host) == {"eth0": frozenset(Program)}
        assert shown(host, "ingress").count("enforcer/") == 2 * times
        assert shown(host, "egress").count("enforcer/") == times
    detach(host)
    assert attached(host) == {}
    assert clsact(host)
    assert shown(host, hook) == before


def test_a_clsact_that_was_there_before_stays(host: Namespace, programs: Programs) -> None:
    """Somebody made it who has no filter there yet, or none any more.

    It went with the last filter of ours, and his next one had no place. Every run knows:
    what is on it is replaced, extended and taken off by processes that did not find it.
    """
    host.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    attach(host, {Program.DNS_QUERY: programs.dns_query})
    for _ in range(2):
        attach(host, descriptors(programs))
    assert attached(host) == {"eth0": frozenset(Program)}
    index = interface(host, "eth0").index
    take(host, index, {Program.DNS_QUERY})
    detach(host)
    assert attached(host) == {}
    assert clsact(host)


def test_a_clsact_that_others_came_to_later_goes_with_the_last_filter(
    host: Namespace, programs: Programs
) -> None:
    """It was made for ours, of which one came after theirs."""
    attach(host, {Program.DNS_QUERY: programs.dns_query})
    host.run("tc", "filter", "add", "dev", "eth0", "ingress", *THEIR_FILTER)
    attach(host, descriptors(programs))
    host.run("tc", "filter", "del", "dev", "eth0", "ingress", "prio", "99")
    detach(host)
    assert not clsact(host)


def test_an_ingress_qdisc_is_no_place(host: Namespace, programs: Programs) -> None:
    """What tc can have in place of clsact is left alone, and told with the remedy."""
    host.run("tc", "qdisc", "add", "dev", "eth0", "ingress")
    before = host.run("tc", "qdisc", "show", "dev", "eth0").stdout
    with pytest.raises(DatapathError, match='"eth0" has somebody\'s ingress qdisc') as refused:
        attach(host, descriptors(programs))
    assert refused.value.hint == "remove it: tc qdisc del dev eth0 ingress"
    assert host.run("tc", "qdisc", "show", "dev", "eth0").stdout == before
    host.run("tc", "qdisc", "del", "dev", "eth0", "ingress")
    attach(host, descriptors(programs))
    assert attached(host) == {"eth0": frozenset(Program)}


def test_an_interface_that_is_gone_is_no_error(host: Namespace, programs: Programs) -> None:
    """Containers end while their interfaces are being looked at."""
    host.ip("link add gone type bridge")
    gone = interface(host, "gone")
    host.ip("link del gone")
    with_filters(host, lambda filters: filters.attach(gone, descriptors(programs)))
    with_filters(host, lambda filters: filters.detach({gone.index: {(Program.DNS_QUERY, 1)}}))


def test_interfaces_that_face_the_resolvers_are_found(host: Namespace) -> None:
    """By the routes of the machine; without a route, none."""
    assert network(host, *RESOLVERS).devices == {ip_address(a): "eth0" for a in RESOLVERS}
    others = {"172.30.0.2": BRIDGE, "10.77.0.2": "lo"}
    found = network(host, *others).devices
    assert found == {ip_address(address): name for address, name in others.items()}
    host.run("ip", "route", "flush", "table", "main")
    host.run("ip", "-6", "route", "flush", "table", "main")
    assert network(host, *RESOLVERS).facing == {}


def test_routes_that_somebody_gave_are_not_advertised_ones(host: Namespace) -> None:
    """That of an address, and one to a gateway or a link; not one that systemd-networkd was told.

    The kernel's own from advertisements are in test_threats_advertised.
    """
    host.run("ip", "-6", "route", "add", "fd88::/64", "dev", BRIDGE, "proto", "static")
    resolvers = ("fd30::53", "fd88::53", "fd99::53", "10.77.0.1")
    assert network(host, *resolvers).advertised == set()
    host.run("ip", "-6", "route", "add", "fd99::/64", "dev", BRIDGE, "proto", "ra")
    assert network(host, *resolvers).advertised == {ip_address("fd99::53")}


def test_default_routes_are_found(host: Namespace) -> None:
    """Of both families, in any table, with several hops; not those that lead nowhere."""
    assert uplinks(network(host)) == {"eth0"}
    host.ip("route del default", "route add unreachable default")
    host.run("ip", "-6", "route", "del", "default")
    assert uplinks(network(host)) == set()
    host.run("ip", "-6", "route", "add", "default", "via", "fd77::1")
    assert uplinks(network(host)) == {"eth0"}
    host.ip("route add default via 172.30.0.2 table 77")
    assert uplinks(network(host)) == {"eth0", BRIDGE}
    host.run("ip", "-6", "route", "del", "default")
    host.ip(
        "route flush table 77",
        "route replace default nexthop via 10.77.0.1 nexthop via 172.30.0.2",
    )
    assert uplinks(network(host)) == {"eth0", BRIDGE}


def test_what_led_out_is_remembered_until_something_else_does(host: Namespace) -> None:
    """A link that was down comes up before anybody has seen its routes again."""
    eth0, bridge = interface(host, "eth0").index, interface(host, BRIDGE).index

    def call() -> None:
        links = Links({4: [bridge], 6: [bridge, 4711]})

        def seen() -> tuple[set[int], set[int]]:
            found = links.network(())
            return set(found.defaults), set(found.led_out)

        try:
            assert seen() == ({eth0}, set())
            host.ip("link set eth0 down")
            assert seen() == (set(), {eth0})
            assert links.network(()).leading_out == {"eth0"}
            host.ip("route add default via 172.30.0.2")
            assert seen() == ({bridge}, {eth0})  # of IPv6
            host.run("ip", "-6", "route", "add", "default", "dev", BRIDGE)
            assert seen() == ({bridge}, set())
            host.ip("route del default")
            host.run("ip", "-6", "route", "del", "default")
            assert seen() == (set(), {bridge})
            assert links.last_defaults == {4: {bridge}, 6: {bridge}}
            host.ip("tuntap add card mode tun", "link set card up")
            host.run("ip", "-6", "route", "add", "default", "dev", "card", "proto", "ra")
            links.network(())
            assert links.last_defaults == {4: {bridge}, 6: set()}
        finally:
            links.close()

    host.call(call)


def test_a_router_that_somebody_named_is_outside(host: Namespace) -> None:
    """A veth, or a bridge without ports, may lead to a network of its own: that of a VPN."""
    host.ip(
        "link add uplink type veth peer name far",
        "address add 10.88.0.2/24 dev uplink",
        "link set uplink up",
        "link set far up",
    )
    assert network(host).leading_out == {"eth0"}
    host.ip("route add 198.51.100.0/24 via 10.88.0.1")
    assert network(host).leading_out == {"eth0", "uplink"}
    host.ip("route replace 198.51.100.0/24 nexthop via 10.88.0.1 nexthop via 172.30.0.2")
    assert network(host).leading_out == {"eth0", "uplink"}  # a bridge of that name has containers
    host.ip("route del 198.51.100.0/24", "route add 198.51.100.0/24 dev uplink")
    assert network(host).leading_out == {"eth0"}


def test_what_somebody_else_saw_leading_out_is_believed(host: Namespace) -> None:
    """Of a daemon that was killed while there was no route."""
    bridge = interface(host, BRIDGE).index
    host.ip("route del default")
    host.run("ip", "-6", "route", "del", "default")

    seen = network(host, led_out=[bridge])
    assert not seen.defaults
    assert seen.led_out == {bridge}
    assert seen.named_like_exempt == {BRIDGE: "the last default route led over it"}


def test_interfaces_are_described(host: Namespace) -> None:
    """With the kind of virtual ones and the master they belong to."""
    bridge = interface(host, BRIDGE)
    assert (bridge.kind, bridge.master) == ("bridge", None)
    port = interface(host, "to-container")
    assert (port.kind, port.master) == ("veth", bridge.index)
    assert interface(host, "lo") == Interface(1, "lo")


def test_names_that_are_not_utf8_are_names(host: Namespace, programs: Programs) -> None:
    """The kernel takes nearly any bytes; they are read as file names are."""
    name = os.fsdecode(b"b\xff\xfe")
    host.run("ip", "link", "add", name, "type", "bridge")
    attach(host, descriptors(programs), name)
    assert attached(host) == {name: frozenset(Program)}


def test_own_addresses_are_listed(host: Namespace) -> None:
    """Those of every interface and family; of a point-to-point link, this end's."""
    host.run("ip", "tuntap", "add", "tun0", "mode", "tun")
    host.ip("address add 10.9.0.1 peer 10.9.0.2 dev tun0")

    def call() -> frozenset[object]:
        links = Links()
        try:
            return frozenset(links.addresses())
        finally:
            links.close()

    found = host.call(call)
    own = ("10.77.0.2", "fd77::2", "172.30.0.1", "127.0.0.1", "10.9.0.1")
    assert {ip_address(a) for a in own} <= found
    assert ip_address("10.9.0.2") not in found
