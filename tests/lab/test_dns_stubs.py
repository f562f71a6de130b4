"""Caches on the machine: what they answer is learned, whenever they came to know it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.lab.asking import ask, await_held, await_open, held, is_open
from tests.lab.connect import attempts
from tests.lab.daemon import running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.stubs import dnsmasq, unbound
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

Stub = Callable[..., "AbstractContextManager[None]"]

EXACT, BELOW = "exact.stub.test", "below.wild.stub.test"
ADDRESSES = {EXACT: ("198.18.8.1", "2001:db8:8::1"), BELOW: ("198.18.8.2", "2001:db8:8::2")}
TTL_S = 500
BRIDGE = "172.30.0.1"


def policy(*resolvers: str) -> str:
    """Return a policy that trusts *resolvers*."""
    listed = ", ".join(f"'{address}'" for address in resolvers)
    return (
        "version: 1\norganization: lab\n"
        f"hosts: [{EXACT}, '*.wild.stub.test']\nresolvers: [{listed}]\n"
    )


@pytest.fixture
def named(lab: Lab) -> Lab:
    """Return a lab with a listed name and one below a wildcard."""
    for name, addresses in ADDRESSES.items():
        lab.nameserver.add(name, *addresses, ttl_s=TTL_S)
    return lab


@pytest.fixture(params=[dnsmasq, unbound], ids=["dnsmasq", "unbound"])
def stub(request: pytest.FixtureRequest) -> Stub:
    """Return what runs a stub."""
    made: Stub = request.param
    return made


def ask_all(namespace: Namespace, server: str, name: str) -> None:
    """Ask for both families."""
    for kind in ("A", "AAAA"):
        assert ask(namespace, server, name, kind).answer


@pytest.mark.parametrize(
    ("listen", "upstream"),
    [("127.0.0.1", RESOLVERS[0]), ("127.0.0.53", RESOLVERS[1]), ("::1", RESOLVERS[0])],
)
def test_what_a_stub_fetches_and_what_it_has_cached_are_learned(
    named: Lab, stub: Stub, listen: str, upstream: str
) -> None:
    """The first client's answer and the second's, whose TTL has counted down."""
    host, nameserver = named.net.host, named.nameserver
    host.resolv_conf.write_text(f"nameserver {listen}\n")
    with stub(host, upstream, listen), running(named.net, policy(listen, *RESOLVERS)) as enforcer:
        assert {each.outcome for each in attempts(host, BELOW)} == {"connected"}
        await_held(enforcer, BELOW, *ADDRESSES[BELOW])
        asked = nameserver.queries[BELOW, "A"]
        assert {each.outcome for each in attempts(host, BELOW)} == {"connected"}
        assert nameserver.queries[BELOW, "A"] == asked, "the second answer is the cache's"
        assert enforcer.status()["healthy"]


@pytest.mark.parametrize("listen", ["127.0.0.53", "::1"])
def test_a_cache_filled_before_the_start_is_no_obstacle(
    named: Lab, stub: Stub, listen: str
) -> None:
    """Listed names are looked up at the start; a wildcard's when the stub answers on lo.

    The resolver behind the stub is silent by then: nothing comes from it.
    """
    host, nameserver = named.net.host, named.nameserver
    host.resolv_conf.write_text(f"nameserver {listen}\n")
    with stub(host, RESOLVERS[0], listen):
        for name in ADDRESSES:
            ask_all(host, listen, name)
        for name in ADDRESSES:
            nameserver.silence(name)
        with running(named.net, policy(listen, *RESOLVERS)) as enforcer:
            assert set(held(enforcer, EXACT)) == set(ADDRESSES[EXACT])
            assert is_open(host, ADDRESSES[EXACT][0])
            assert held(enforcer, BELOW) == {}
            assert not is_open(host, ADDRESSES[BELOW][0])
            assert {each.outcome for each in attempts(host, BELOW)} == {"connected"}
            found = await_held(enforcer, BELOW, *ADDRESSES[BELOW])
            # Of the cache's TTL, not of the owner's.
            assert all(each["expires_s"] <= TTL_S + 300 for each in found.values())


def test_a_name_fetched_ahead_of_its_end_is_learned(named: Lab) -> None:
    """An unbound asks anew when a tenth of the TTL is left, and nobody waits for that answer."""
    host, nameserver = named.net.host, named.nameserver
    nameserver.add(BELOW, ADDRESSES[BELOW][0], ttl_s=10)
    with (
        unbound(host, RESOLVERS[0], "127.0.0.1"),
        running(named.net, policy("127.0.0.1", *RESOLVERS)) as enforcer,
    ):
        ask(host, "127.0.0.1", BELOW)
        nameserver.add(BELOW, "198.18.8.9", ttl_s=10)

        def fetched_ahead() -> bool:
            ask(host, "127.0.0.1", BELOW)
            return "198.18.8.9" in held(enforcer, BELOW)

        until(fetched_ahead, 20, "the new address")
        assert is_open(host, "198.18.8.9")


@pytest.fixture
def bridged(named: Lab, stub: Stub) -> Iterator[Lab]:
    """Run a stub at the bridge's address, for containers alone."""
    named.net.container.resolv_conf.write_text(f"nameserver {BRIDGE}\n")
    with stub(named.net.host, RESOLVERS[0], BRIDGE):
        yield named


def test_containers_use_a_stub_of_the_host(bridged: Lab) -> None:
    """The stub's own query leaves the machine; its answer is learned and outlasts its cache.

    What the cache gives later is an answer that nobody sees: the grace must be longer
    than what is left of the TTL, and so it is, by being added to the whole of it.
    """
    container, nameserver = bridged.net.container, bridged.nameserver
    with running(bridged.net, policy(*RESOLVERS)) as enforcer:
        ask_all(container, BRIDGE, BELOW)
        await_open(container, *ADDRESSES[BELOW])
        found = await_held(enforcer, BELOW, *ADDRESSES[BELOW])
        asked = nameserver.queries[BELOW, "A"]
        cached = ask(container, BRIDGE, BELOW).answer[0]
        assert nameserver.queries[BELOW, "A"] == asked, "the second answer is the cache's"
        assert all(each["expires_s"] > cached.ttl + 200 for each in found.values())
        assert {each.outcome for each in attempts(container, BELOW)} == {"connected"}


def test_a_resolver_of_the_loopback_interface_is_one_like_others(named: Lab) -> None:
    """WSL 2 with DNS tunnelling answers at 10.255.255.254 on lo; nothing crosses the uplink."""
    host, tunnel = named.net.host, "10.255.255.254"
    host.ip(f"address add {tunnel}/32 dev lo")
    host.resolv_conf.write_text(f"nameserver {tunnel}\n")
    system = policy(tunnel).replace(f"['{tunnel}']", "system")
    with named.nameserver.serving(host, tunnel), running(named.net, system) as enforcer:
        assert enforcer.status()["resolvers"] == [tunnel]
        for name, addresses in ADDRESSES.items():
            assert {each.outcome for each in attempts(host, name)} == {"connected"}
            await_held(enforcer, name, *addresses)
