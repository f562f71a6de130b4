"""One address for several hosts, several ports, several policies."""

from __future__ import annotations

import pytest

from tests.lab.asking import ask, await_held, await_open, held, is_open
from tests.lab.daemon import Enforcer, running
from tests.lab.guarded import Host, connected
from tests.lab.lab import Lab
from tests.lab.tier import refused
from tests.lab.topology import RESOLVERS

pytestmark = pytest.mark.root

HEAD = "version: 1\norganization: lab\nhosts:\n"
ONE, TWO, WILD = "one.overlap.test", "two.overlap.test", "under.wild.overlap.test"
SHARED = ("198.18.5.1", "2001:db8:5::1")
PRIVATE = "10.99.0.1"


def policy(*entries: str) -> str:
    """Return a policy of *entries*."""
    return HEAD + "".join(f"  - {entry}\n" for entry in entries)


def comment(lab: Lab, address: str, port: int = 443) -> str:
    """Return what the kernel says the element is for."""
    state = Host(lab.net.host)
    try:
        found = [e for e in state.inspect().elements if (str(e.address), e.port) == (address, port)]
    finally:
        state.firewall.close()
    return found[0].comment if found else ""


@pytest.fixture
def shared(lab: Lab) -> Lab:
    """Return a lab where three names have the same addresses."""
    for name in (ONE, TWO, WILD):
        lab.nameserver.add(name, *SHARED, ttl_s=3600)
    # The world's addresses are routes, which only IPv4 sockets can bind to.
    lab.net.world.sysctl("net.ipv6.ip_nonlocal_bind=1")
    return lab


def reloaded(enforcer: Enforcer, text: str) -> None:
    """Put *text* in force."""
    enforcer.policy_file.write_text(text)
    enforcer.cli("reload")


@pytest.mark.parametrize("address", SHARED)
def test_an_address_of_two_hosts_outlives_one_of_them(shared: Lab, address: str) -> None:
    """Removing a host neither closes nor cuts what another one holds; the last one closes it."""
    net = shared.net
    both = policy(f"{ONE}:9000", f"{TWO}:9000")
    with running(net, both) as enforcer:
        assert set(comment(shared, address, 9000).split(", ")) == {ONE, TWO}
        with connected(net.host, net.world, address, 9000) as (ours, theirs):
            reloaded(enforcer, policy(f"{TWO}:9000"))
            assert comment(shared, address, 9000) == TWO
            ours.sendall(b"still here")
            assert theirs.recv(100) == b"still here"
        with connected(net.host, net.world, address, 9000):
            pass
        reloaded(enforcer, policy("registry.allowed.test:9000"))
        assert comment(shared, address, 9000) == ""
        with pytest.raises(refused()), connected(net.host, net.world, address, 9000):
            pass


@pytest.mark.parametrize("address", SHARED)
def test_hosts_of_one_address_have_ports_of_their_own(shared: Lab, address: str) -> None:
    """Each opens its own, and takes no other with it."""
    net = shared.net
    with running(net, policy(f"{ONE}:443", f"{TWO}:8443")) as enforcer:
        for client in (net.host, net.container):
            assert is_open(client, address, 443)
            assert is_open(client, address, 8443)
        reloaded(enforcer, policy(f"{ONE}:443"))
        for client in (net.host, net.container):
            assert is_open(client, address, 443)
            assert not is_open(client, address, 8443)


def test_a_wildcard_holds_what_an_exact_name_gives_up(shared: Lab) -> None:
    """And the other way round; without either it is closed."""
    net, wildcard = shared.net, '"*.wild.overlap.test"'
    with running(net, policy(wildcard, WILD)) as enforcer:
        await_held(enforcer, WILD, *SHARED)
        for entries in ((wildcard,), (WILD,), (wildcard, WILD)):
            reloaded(enforcer, policy(*entries))
            assert set(held(enforcer, WILD)) == set(SHARED)
            assert is_open(net.host, SHARED[0])
        reloaded(enforcer, policy(ONE.replace("one", "none")))
        assert not is_open(net.host, SHARED[0])


def test_a_private_address_is_the_private_hosts_alone(shared: Lab) -> None:
    """It opens for the host that is marked and for as long as it is."""
    net = shared.net
    net.world.ip(f"route add local {PRIVATE}/32 dev lo")
    shared.nameserver.add(ONE, PRIVATE)
    shared.nameserver.add(TWO, PRIVATE)
    marked = f"{{host: {ONE}, private: true}}"
    with running(net, policy(TWO)) as enforcer:
        assert not is_open(net.host, PRIVATE)
        reloaded(enforcer, policy(marked, TWO))
        await_open(net.host, PRIVATE)
        ask(net.host, RESOLVERS[0], TWO)
        assert comment(shared, PRIVATE) == ONE
        (problem,) = enforcer.status()["problems"]
        assert f"{TWO} answered {PRIVATE}, which is private" in problem["text"]
        reloaded(enforcer, policy(ONE, TWO))
        assert not is_open(net.host, PRIVATE)
