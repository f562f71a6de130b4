"""Ways round, by names: nothing but a trusted resolver's answer opens anything."""

from __future__ import annotations

import contextlib
import json
from ipaddress import ip_address

import pytest

from tests.lab.connect import attempt, attempts
from tests.lab.guarded import connect, listener
from tests.lab.lab import PORTS, Lab
from tests.lab.messages import ask, kind
from tests.lab.nameserver import Nameserver
from tests.lab.namespace import Namespace
from tests.lab.registry import ALLOWED
from tests.lab.threats import Labs, both_families, reaches
from tests.lab.topology import RESOLVERS

pytestmark = pytest.mark.root

from_both = pytest.mark.parametrize("origin", ["host", "container"])


@both_families
@from_both
def test_a_hosts_file(labs: Labs, origin: str, evil: str) -> None:
    """A permitted name that the hosts file maps elsewhere leads to nothing there."""

    def gets_out(lab: Lab) -> bool:
        namespace: Namespace = getattr(lab.net, origin)
        before = namespace.hosts_file.read_text()
        namespace.hosts_file.write_text(f"{before}{evil} {ALLOWED.name}\n")
        try:
            made = attempt(namespace, ALLOWED.name)
        finally:
            namespace.hosts_file.write_text(before)
        assert made.address == evil
        return made.outcome == "connected"

    labs.refute(gets_out)


@both_families
@from_both
@pytest.mark.parametrize("own", ["127.0.0.66", "::1"], ids=["by v4", "by v6"])
def test_a_name_server_of_ones_own_on_the_machine(
    labs: Labs, origin: str, name: str, own: str, evil: str
) -> None:
    """It is no trusted resolver: its answers are heard by who asks, and open nothing."""

    def gets_out(lab: Lab) -> bool:
        namespace: Namespace = getattr(lab.net, origin)
        server = Nameserver()
        server.add(name, evil)
        with server.serving(namespace, own):
            assert ip_address(evil).packed in ask(namespace, name, evil, own)
        return reaches(lab, origin, "tcp", evil)

    labs.refute(gets_out)


@both_families
@from_both
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_a_name_server_of_ones_own_on_the_network(
    labs: Labs, origin: str, name: str, version: int, evil: str, *, tcp: bool
) -> None:
    """Its answers do not even come."""
    stranger = ("198.18.53.53", "2001:db8::53:53")[version]

    def gets_out(lab: Lab) -> bool:
        server = Nameserver()
        server.add(name, evil)
        with server.serving(lab.net.world, stranger):
            try:
                heard = ask(getattr(lab.net, origin), name, evil, stranger, tcp=tcp)
            except OSError:
                heard = b""
        return bool(heard) and reaches(lab, origin, "tcp", evil)

    labs.refute(gets_out)


@pytest.mark.parametrize(
    "inside",
    ["10.200.0.1", "172.20.0.1", "192.168.200.1", "100.64.0.1", "169.254.169.254", "fd99::1"],
)
@from_both
def test_a_permitted_name_that_leads_inside(
    labs: Labs, origin: str, name: str, inside: str
) -> None:
    """Rebinding: what an answer may never open, or only for a host marked private."""

    def gets_out(lab: Lab) -> bool:
        lab.net.world.run("ip", "route", "replace", "local", inside, "dev", "lo")
        lab.net.host.run("ip", "route", "replace", inside, "via", RESOLVERS[":" in inside])
        lab.nameserver.add(name, inside)
        namespace: Namespace = getattr(lab.net, origin)
        (made,) = (each for each in attempts(namespace, name) if each.address == inside)
        return made.outcome == "connected"

    labs.refute(gets_out)


@pytest.mark.parametrize(
    "own", ["127.0.0.1", "127.0.0.53", "10.77.0.2", "172.30.0.1", "::1", "fd77::2", "fd30::1"]
)
@from_both
def test_a_permitted_name_that_leads_to_the_machine(
    labs: Labs, origin: str, name: str, own: str
) -> None:
    """What the machine serves to itself is not what the policy means by a registry.

    Nothing denies a connection that does not leave: what must not be is the element, which
    would let other packets to that address out, such as after it moved elsewhere.
    """
    lab = labs.closed
    permitted = ALLOWED.addresses[":" in own]
    lab.nameserver.add(name, own, permitted)
    lab.nameserver.add(f"only.{name}", own)
    namespace: Namespace = getattr(lab.net, origin)
    for asked in (f"only.{name}", name):
        assert ip_address(own).packed in ask(namespace, asked, own)
    listed = lab.net.host.run(
        "nft", "-j", "list", "set", "inet", "enforcer", f"allow{6 if ':' in own else 4}"
    ).stdout
    assert json.loads(listed)["nftables"]
    assert f'"{permitted}"' in listed, kind(own)
    assert f'"{own}"' not in listed
    assert labs.enforcer.cli("hosts", f"only.{name}", "--json").stdout.count('"address"') == 0


@pytest.mark.parametrize("port", [53, 443, 853], ids=["DNS over TCP", "DoH", "DoT"])
@both_families
@from_both
def test_a_public_resolver(labs: Labs, origin: str, port: int, version: int) -> None:
    """Whatever way there is to ask it: it is just not on the list."""
    resolver = ("198.18.8.8", "2001:db8:8888::8")[version]

    def gets_out(lab: Lab) -> bool:
        namespace: Namespace = getattr(lab.net, origin)
        with contextlib.ExitStack() as stack:
            if port not in PORTS:  # where every address of the world answers
                stack.enter_context(listener(lab.net.world, resolver, port))
            return connect(namespace, resolver, port) == "connected"

    labs.refute(gets_out)


@both_families
@pytest.mark.parametrize("pattern", ["*.com", "*.github.io", "*.cloudfront.net", "*.co.uk"])
def test_a_wildcard_over_a_public_suffix(labs: Labs, pattern: str, evil: str) -> None:
    """Whoever rents a name below it would be permitted: such a pattern is no policy."""
    rented = f"evil-{evil.replace(':', '-').replace('.', '-')}{pattern[1:]}"

    def gets_out(lab: Lab) -> bool:
        lab.nameserver.add(rented, evil)
        if lab is labs.closed:
            policy = labs.enforcer.directory / "suffix.yaml"
            policy.write_text(f'version: 1\norganization: lab\nhosts: ["{pattern}"]\n')
            validate = labs.enforcer.argv("policy")[:2]
            refused = lab.net.host.run(*validate, "validate", policy, check=False)
            assert refused.returncode == 2
            assert pattern in refused.stderr
        (made,) = (each for each in attempts(lab.net.host, rented) if each.address == evil)
        return made.outcome == "connected"

    labs.refute(gets_out)
