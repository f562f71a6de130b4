"""Whatever shape a resolver's answer has, what it names can be reached, and nothing before it.

The names are below a wildcard, so that nobody but the client asks for them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

import dns.rcode
import pytest

from tests.lab.asking import (
    ask,
    ask_both,
    await_held,
    await_open,
    held,
    in_reverse,
    is_open,
    without_compression,
)
from tests.lab.connect import attempts
from tests.lab.daemon import Enforcer
from tests.lab.lab import Lab
from tests.lab.nameserver import Nameserver
from tests.lab.namespace import Namespace
from tests.lab.pull import skopeo
from tests.lab.registry import Registries
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("enforcer", "jumbo")]

ZONE = "shape.test"
POLICY = f"""\
version: 1
organization: lab
hosts:
  - "*.{ZONE}"
  - "*.allowed.test"
"""
# The floor and the grace of the default policy, and how exactly a lifetime is known
# on a busy machine.
FLOOR_S, GRACE_S, SLACK_S = 60, 300, 15

_BLOCKS = itertools.count()


@dataclass(frozen=True)
class Name:
    """A name below the zone, and addresses that nobody else has."""

    text: str
    addresses: tuple[str, ...]


def new_name(each: int = 1, label: str = "n") -> Name:
    """Return a new name with *each* addresses of both families."""
    block = next(_BLOCKS)
    firsts = ip_address("198.18.64.0") + 256 * block, ip_address("2001:db8:64::") + 256 * block
    return Name(
        f"{label}{block}.{ZONE}", tuple(str(a + n) for a in firsts for n in range(1, each + 1))
    )


@pytest.fixture(scope="module")
def jumbo(shared_lab: Lab) -> Iterator[None]:
    """Carry datagrams of 4,096 octets whole, as a loopback does."""
    net = shared_lab.net
    links = {net.world: ("eth0",), net.host: ("eth0", "to-container", "br-lab")}
    links[net.container] = ("eth0",)

    def set_mtu(mtu: int) -> None:
        for namespace, names in links.items():
            namespace.ip(*(f"link set {name} mtu {mtu}" for name in names))

    set_mtu(9000)
    yield
    set_mtu(1500)


@pytest.fixture(params=["host", "container"])
def client(request: pytest.FixtureRequest, shared_lab: Lab) -> Namespace:
    """Return the machine itself, then a container on it."""
    namespace: Namespace = getattr(shared_lab.net, request.param)
    return namespace


@pytest.fixture(params=RESOLVERS)
def server(request: pytest.FixtureRequest, shared_lab: Lab) -> Iterator[str]:
    """Return a resolver's IPv4, then its IPv6 address; its habits end with the test."""
    yield str(request.param)
    shared_lab.nameserver.edns_max = 4096
    shared_lab.nameserver.segments = 1


def chain(nameserver: Nameserver, name: Name) -> None:
    """Answer as CDNs do: five aliases, the last with the addresses."""
    owner = name.text
    for hop in range(5):
        target = f"hop{hop}.{name.text}.edge.example"
        nameserver.alias(owner, target, ttl_s=20)
        owner = target
    nameserver.add(owner, *name.addresses)


def chain_in_reverse(nameserver: Nameserver, name: Name) -> None:
    """Answer with the addresses first and the aliases that lead to them after."""
    nameserver.alias(name.text, f"{name.text}.edge.example")
    nameserver.add(f"{name.text}.edge.example", *name.addresses)
    nameserver.reshape(name.text, in_reverse)


def uncompressed(nameserver: Nameserver, name: Name) -> None:
    """Answer with an alias and every name in full."""
    nameserver.alias(name.text, f"{name.text}.edge.example")
    nameserver.add(f"{name.text}.edge.example", *name.addresses)
    nameserver.reshape(name.text, without_compression)


def truncated(nameserver: Nameserver, name: Name) -> None:
    """Send a client of UDP to TCP, where the answer is one segment."""
    nameserver.add(name.text, *name.addresses)
    nameserver.edns_max = 512


def truncated_in_segments(nameserver: Nameserver, name: Name) -> None:
    """Send a client to TCP, where the answer comes in seven segments."""
    truncated(nameserver, name)
    nameserver.segments = 7


def plain(nameserver: Nameserver, name: Name) -> None:
    """Answer in the usual form."""
    nameserver.add(name.text, *name.addresses)


SHAPES: dict[str, tuple[Callable[[Nameserver, Name], None], int]] = {
    "one address": (plain, 1),
    "a chain of five aliases": (chain, 2),
    "addresses before their aliases": (chain_in_reverse, 2),
    "uncompressed names": (uncompressed, 3),
    # As many as 4,096 octets have room for, beside a question and an OPT record.
    "140 addresses": (plain, 140),
    "truncated, then TCP": (truncated, 60),
    "truncated, then TCP in seven segments": (truncated_in_segments, 60),
}


@pytest.mark.parametrize(("shape", "each"), SHAPES.values(), ids=list(SHAPES))
def test_every_address_of_an_answer_is_open_and_none_before(
    shared_lab: Lab,
    enforcer: Enforcer,
    client: Namespace,
    server: str,
    shape: Callable[[Nameserver, Name], None],
    each: int,
) -> None:
    """An answer is learned whole: a client may take any of its addresses, of either family."""
    name = new_name(each)
    shape(shared_lab.nameserver, name)
    some = {name.addresses[0], name.addresses[each - 1], name.addresses[-1]}
    assert not any(is_open(client, address) for address in some)
    assert sorted(ask_both(client, server, name.text)) == sorted(name.addresses)
    await_open(client, *some)
    assert set(await_held(enforcer, name.text, *name.addresses)) == set(name.addresses)


def test_a_name_of_253_octets_is_learned(
    shared_lab: Lab, enforcer: Enforcer, client: Namespace, server: str
) -> None:
    """The longest name there is."""
    name = new_name()
    room = 253 - len(name.text)
    labels = ["x" * 50] * (room // 51) + ["y" * (room % 51 - 1)]
    long = ".".join([*labels, name.text])
    assert len(long) == 253
    shared_lab.nameserver.add(long, *name.addresses)
    assert ask_both(client, server, long) == list(name.addresses)
    await_open(client, *name.addresses)
    await_held(enforcer, long, *name.addresses)


def test_letters_of_any_case_are_the_same_name(
    shared_lab: Lab, enforcer: Enforcer, client: Namespace, server: str
) -> None:
    """Resolvers that harden queries with random case (draft-vixie-dnsext-dns0x20) are served."""
    name = new_name(label="MiXeD")
    shared_lab.nameserver.add(name.text, *name.addresses)
    assert ask_both(client, server, name.text.swapcase()) == list(name.addresses)
    await_open(client, *name.addresses)
    await_held(enforcer, name.text.lower(), *name.addresses)


@pytest.mark.parametrize(
    ("ttl_s", "counts_s"),
    [(0, FLOOR_S), (59, FLOOR_S), (600, 600), (2**31 - 1, 86_400), (2**31, FLOOR_S)],
)
def test_lifetimes_follow_the_ttl(
    shared_lab: Lab, enforcer: Enforcer, client: Namespace, server: str, ttl_s: int, counts_s: int
) -> None:
    """max(TTL, 60 s) + 300 s, at most a day; 2**31 and above are 0 (RFC 2181 section 8)."""
    name = new_name()
    shared_lab.nameserver.add(name.text, *name.addresses, ttl_s=ttl_s)
    # dnspython's client would not take such a TTL as it stands.
    ask_both(client, server, name.text)
    await_open(client, *name.addresses)
    for found in await_held(enforcer, name.text, *name.addresses).values():
        assert -SLACK_S <= found["expires_s"] - (counts_s + GRACE_S) <= 0


def test_the_smallest_ttl_of_a_chain_counts(
    shared_lab: Lab, enforcer: Enforcer, client: Namespace, server: str
) -> None:
    """An alias that may point elsewhere in two minutes holds its addresses no longer."""
    name = new_name()
    shared_lab.nameserver.alias(name.text, f"{name.text}.edge.example", ttl_s=120)
    shared_lab.nameserver.add(f"{name.text}.edge.example", *name.addresses, ttl_s=3600)
    ask_both(client, server, name.text)
    for found in await_held(enforcer, name.text, *name.addresses).values():
        assert -SLACK_S <= found["expires_s"] - (120 + GRACE_S) <= 0


def test_two_hosts_behind_one_cdn_name_share_its_addresses(
    shared_lab: Lab, enforcer: Enforcer, client: Namespace, server: str
) -> None:
    """Each holds them for itself."""
    edge, one, two = new_name(2), new_name(), new_name()
    shared_lab.nameserver.add(f"{edge.text}.example", *edge.addresses)
    for name in (one, two):
        shared_lab.nameserver.alias(name.text, f"{edge.text}.example")
        assert sorted(ask_both(client, server, name.text)) == sorted(edge.addresses)
    await_open(client, *edge.addresses)
    for name in (one, two):
        await_held(enforcer, name.text, *edge.addresses)


def test_addresses_of_two_lookups_live_both_to_their_end(
    shared_lab: Lab, enforcer: Enforcer, client: Namespace, server: str
) -> None:
    """A name that moves leaves its old addresses to the clients that still use them."""
    name, later = new_name(), new_name()
    shared_lab.nameserver.add(name.text, *name.addresses, ttl_s=900)
    ask_both(client, server, name.text)
    shared_lab.nameserver.add(name.text, *later.addresses, ttl_s=60)
    ask_both(client, server, name.text)
    await_open(client, *name.addresses, *later.addresses)
    found = await_held(enforcer, name.text, *name.addresses, *later.addresses)
    assert min(found[a]["expires_s"] for a in name.addresses) > 900
    assert max(found[a]["expires_s"] for a in later.addresses) <= FLOOR_S + GRACE_S


def test_a_truncated_name_that_moves_is_looked_up_again(
    shared_lab: Lab, client: Namespace, server: str
) -> None:
    """What only TCP tells is looked up for each answer, not once a minute.

    A name was not looked up again within a minute: addresses that it had moved to in
    the meantime stayed closed to a client that had them from TCP.
    """
    name, later = new_name(60), new_name(60)
    truncated(shared_lab.nameserver, name)
    ask(client, server, name.text)
    await_open(client, name.addresses[0])
    shared_lab.nameserver.add(name.text, *later.addresses)

    def open_after_asking() -> bool:
        ask(client, server, name.text)
        return is_open(client, later.addresses[0])

    until(open_after_asking, 20, "the new addresses")


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "SERVFAIL", "NOERROR"])
def test_a_name_that_appears_after_a_negative_answer_works(
    shared_lab: Lab, enforcer: Enforcer, client: Namespace, server: str, rcode: str
) -> None:
    """No such name, no such record, no idea: none of it lasts."""
    name = new_name()
    shared_lab.nameserver.fail(name.text, dns.rcode.from_text(rcode))
    assert ask_both(client, server, name.text) == []
    assert held(enforcer, name.text) == {}
    shared_lab.nameserver.remove(name.text)
    shared_lab.nameserver.add(name.text, *name.addresses)
    assert ask_both(client, server, name.text) == list(name.addresses)
    await_open(client, *name.addresses)


@pytest.mark.parametrize("segments", [1, 9])
def test_all_answers_on_one_tcp_connection_count(
    shared_lab: Lab, client: Namespace, server: str, segments: int
) -> None:
    """A client that asks over TCP in the first place, several names one after the other."""
    # Its datagrams are cut, or the daemon would never hear of the name.
    names = [new_name(60) for _ in range(3)]
    for name in names:
        truncated(shared_lab.nameserver, name)
    shared_lab.nameserver.segments = segments
    for name in names:
        ask(client, server, name.text)
        ask(client, server, name.text, tcp=True)
    for name in names:
        await_open(client, name.addresses[0], name.addresses[59])


def test_glibc_asks_for_both_families_at_once(shared_lab: Lab, client: Namespace) -> None:
    """getaddrinfo() sends A and AAAA from one socket; all it returns can be reached."""
    name = new_name(3)
    shared_lab.nameserver.add(name.text, *name.addresses)

    def all_connected() -> bool:
        made = attempts(client, name.text)
        assert {each.address for each in made} == set(name.addresses)
        return {each.outcome for each in made} == {"connected"}

    # Forwarded first connections may be refused while the set is programmed.
    assert all_connected() or client is shared_lab.net.container
    until(all_connected, 10, "all addresses to be reached")


@pytest.mark.parametrize("ndots", [1, 5])
def test_search_domains_do_no_harm(shared_lab: Lab, client: Namespace, ndots: int) -> None:
    """The name with each search domain does not exist; then comes the name itself."""
    name = new_name()
    shared_lab.nameserver.add(name.text, *name.addresses)
    before = client.resolv_conf.read_text()
    client.resolv_conf.write_text(f"search a.corp.test {ZONE}\noptions ndots:{ndots}\n{before}")
    try:
        until(
            lambda: {each.outcome for each in attempts(client, name.text)} == {"connected"},
            10,
            "the name to be reached",
        )
    finally:
        client.resolv_conf.write_text(before)
    asked_first = shared_lab.nameserver.queries[f"{name.text}.a.corp.test", "A"] > 0
    assert asked_first is (ndots == 5)


def test_skopeo_asks_for_both_families_in_parallel(
    registries: Registries, client: Namespace
) -> None:
    """Go's resolver, and a registry that is permitted by a wildcard alone."""
    until(lambda: skopeo(client, registries.allowed.image, registries.ca).ok, 20, "a pull")
    assert not skopeo(client, registries.denied.image, registries.ca).ok
