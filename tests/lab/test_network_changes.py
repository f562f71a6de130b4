"""Interfaces, routes and addresses that change under a running daemon are followed at once."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.core.interfaces import LEARNING, Program
from enforcer.edge.filters import Filters
from enforcer.edge.links import Links
from tests.lab.client import connect_to_answers
from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.daemon import Enforcer, running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.registry import ALLOWED
from tests.lab.topology import BRIDGE
from tests.lab.tunnel import tunnel
from tests.lab.wait import until

pytestmark = pytest.mark.root

# Less than the daemon waits before it looks of its own accord.
AT_ONCE_S = 3
MARKING = frozenset({Program.FORWARD_MARK})
WHOLE = {"lo": LEARNING, "eth0": LEARNING, BRIDGE: MARKING}


@pytest.fixture
def enforcer(lab: Lab, policy: str) -> Iterator[Enforcer]:
    """Return a daemon on a lab of the test's own."""
    with running(lab.net, policy) as started:
        yield started


def attached(host: Namespace) -> dict[str, frozenset[Program]]:
    """Return the programs on each interface that has any."""

    def call() -> dict[str, frozenset[Program]]:
        links, filters = Links(), Filters()
        try:
            names = {each.index: each.name for each in links.network(()).interfaces}
            found = filters.attached().items()
            return {names[at]: frozenset(p for p, _ in there) for at, there in found if at in names}
        finally:
            links.close()
            filters.close()

    return host.call(call)


def followed(host: Namespace, expected: dict[str, frozenset[Program]], what: str) -> None:
    """Wait until the programs are where they are *expected*."""
    until(lambda: attached(host) == expected, AT_ONCE_S, what)


@pytest.mark.usefixtures("enforcer")
def test_bridges_that_come_and_go(lab: Lab) -> None:
    """`docker network create` makes one; its containers' first connections are marked."""
    host = lab.net.host
    followed(host, WHOLE, "the start")
    for number in range(3):
        host.ip(f"link add br-{number} type bridge", f"link set br-{number} up")
        followed(host, {**WHOLE, f"br-{number}": MARKING}, "the new bridge")
        host.ip(f"link del br-{number}")
    host.ip(
        "link add cali0 type veth peer name pod0",
        "link add veth0 type veth peer name pod1",
        f"link set veth0 master {BRIDGE}",
    )
    followed(host, {**WHOLE, "cali0": MARKING}, "a routed interface, and a port that is none")


@pytest.mark.usefixtures("enforcer")
def test_an_uplink_that_is_renamed_goes_down_and_comes_back(lab: Lab) -> None:
    """Its programs stay through a pause and a new name; a new interface of that name gets its own.

    They were taken off while it was down, and the first names after that were not learned.
    """
    host, world = lab.net.host, lab.net.world
    renamed = {"lo": LEARNING, "wan0": LEARNING, BRIDGE: MARKING}
    host.ip("link set eth0 down", "link add br-7 type bridge")
    followed(host, {**WHOLE, "br-7": MARKING}, "what came while the uplink was down")
    uplink(host, "eth0")
    made = connect_to_answers(host, FRESH_ZONE, family=4, count=50, label="again")
    assert (made.ok, made.refused) == (50, 0)
    host.ip("link del br-7")
    host.ip("link set eth0 down", "link set eth0 name wan0")
    uplink(host, "wan0")
    followed(host, renamed, "the new name")
    assert attempt(host, ALLOWED.addresses[0]).outcome == "connected"

    host.ip("link del wan0", f"link add eth0 type veth peer name eth0 netns {world.pid}")
    world.ip("address add 10.77.0.1/24 dev eth0", "link set eth0 up")
    world.ip("address add fd77::1/64 dev eth0 nodad")
    uplink(host, "eth0", fresh=True)
    followed(host, WHOLE, "a new interface of the old name")
    made = connect_to_answers(host, FRESH_ZONE, family=4, count=50)
    assert made.ok == 50


def uplink(host: Namespace, name: str, *, fresh: bool = False) -> None:
    """Give *name* what makes it the uplink; IPv4 addresses outlast a link that is down."""
    if fresh:
        host.ip(f"address add 10.77.0.2/24 dev {name}")
    host.ip(f"link set {name} up", f"address replace fd77::2/64 dev {name} nodad")
    host.ip("route replace default via 10.77.0.1", "route replace default via fd77::1")


def test_a_bridge_that_becomes_the_uplink_is_guarded_at_once(lab: Lab, enforcer: Enforcer) -> None:
    """Its name alone would exempt it: the ruleset must know, in both directions."""
    host = lab.net.host
    host.ip(
        "link add br-lan type bridge",
        "link set br-lan up",
        "address add 10.99.0.1/24 dev br-lan",
    )
    followed(host, {**WHOLE, "br-lan": MARKING}, "the bridge")
    assert '!= "br-lan"' not in host.run("nft", "list", "ruleset").stdout
    host.ip("route replace default via 10.99.0.2 dev br-lan")
    followed(host, WHOLE, "the uplink")

    def guarded() -> bool:
        return '!= "br-lan"' in host.run("nft", "list", "ruleset").stdout

    until(guarded, AT_ONCE_S, "the ruleset")
    roles = {each["name"]: each["role"] for each in enforcer.status()["interfaces"]}
    assert (roles["br-lan"], roles["eth0"], roles[BRIDGE]) == ("guarded", "guarded", "exempt")
    host.ip("link set br-lan down")
    enforcer.cli("reload")
    assert guarded()  # until another is the uplink: it may come up again at any moment
    host.ip("link set br-lan up", "route replace default via 10.77.0.1 dev eth0")
    followed(host, {**WHOLE, "br-lan": MARKING}, "the way back")
    until(lambda: not guarded(), AT_ONCE_S, "the ruleset")


@pytest.mark.usefixtures("enforcer")
@pytest.mark.parametrize("family", [4, 6])
def test_learning_works_on_a_vpn(lab: Lab, family: int) -> None:
    """The resolvers' route moves to a device without Ethernet header, and back again."""
    host, world = lab.net.host, lab.net.world
    with tunnel(host, world):
        host.ip("address add 10.78.0.2/24 dev tun0", "link set tun0 up")
        host.ip("address add fd78::2/64 dev tun0 nodad")
        world.ip("address add 10.78.0.1/24 dev tun0", "link set tun0 up")
        world.ip("address add fd78::1/64 dev tun0 nodad")
        host.ip("route add 10.77.0.1/32 dev tun0", "route add fd77::1/128 dev tun0")
        followed(host, {"lo": LEARNING, "tun0": LEARNING, BRIDGE: MARKING}, "the VPN")
        host.ip("route replace default dev tun0")
        host.run("ip", "-6", "route", "replace", "default", "dev", "tun0")
        made = connect_to_answers(host, FRESH_ZONE, family=family, count=200, label="vpn")
        assert (made.ok, made.refused, made.late) == (200, 0, 0)
    followed(host, WHOLE, "the end of the VPN")


@pytest.mark.usefixtures("enforcer")
def test_resolvers_that_move_between_uplinks(lab: Lab) -> None:
    """One resolver's route moves alone: both interfaces learn then."""
    host = lab.net.host
    host.ip(
        "link add eth1 type veth peer name peer1",
        "address add 10.66.0.2/24 dev eth1",
        "link set peer1 up",
        "link set eth1 up",
    )
    followed(host, WHOLE, "an interface that faces nobody")
    host.ip("route add 10.77.0.1/32 via 10.66.0.1")
    followed(host, {**WHOLE, "eth1": LEARNING}, "the second resolver-facing interface")
    host.ip("rule add to 10.77.0.1 table 99", "route add default via 10.77.0.9 table 99")
    followed(host, WHOLE, "a policy routing rule")


def test_own_addresses_are_never_learned(lab: Lab, enforcer: Enforcer) -> None:
    """An address that the machine gets now is its own at once."""
    own = "198.18.200.1"
    lab.nameserver.add(ALLOWED.name, own)
    lab.net.host.ip(f"address add {own}/32 dev eth0")

    def refused() -> bool:
        attempt(lab.net.host, ALLOWED.name)
        return any(own in problem["text"] for problem in enforcer.status()["problems"])

    until(refused, AT_ONCE_S, "the address to be refused")


def test_a_storm_of_interfaces_costs_little(lab: Lab, enforcer: Enforcer) -> None:
    """1,000 made and removed while names are resolved: all connect, the daemon hardly works.

    It keeps up by looking at everything from time to time, not at each change.
    """
    host = lab.net.host
    followed(host, WHOLE, "the start")
    before = cpu_s(enforcer.process.pid)
    lines = [f"link add br-{number} group 7 up type bridge" for number in range(1000)]
    lines += ["link set br-999 group default", "link del group 7"]
    with subprocess.Popen(
        host.command("ip", "-batch", "-"), stdin=subprocess.PIPE, text=True
    ) as storm:
        assert storm.stdin is not None
        storm.stdin.write("\n".join(lines))
        storm.stdin.close()
        made = connect_to_answers(host, FRESH_ZONE, family=4, count=200, label="storm")
    assert (made.ok, made.refused, made.late) == (200, 0, 0)
    until(lambda: attached(host) == {**WHOLE, "br-999": MARKING}, 10, "the one that stayed")
    assert enforcer.status()["healthy"]
    assert cpu_s(enforcer.process.pid) - before < 10


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_any_name_of_an_uplink_is_followed_or_told(lab: Lab, enforcer: Enforcer) -> None:
    """The kernel takes nearly any character; one that nft can't be told ended the daemon."""
    host = lab.net.host
    lan, untold = "br-ü+lan", 'br-"lan'

    def role(name: str) -> str | None:
        return {each["name"]: each["role"] for each in enforcer.status()["interfaces"]}.get(name)

    def told() -> bool:
        texts = (problem["text"] for problem in enforcer.status()["problems"])
        return any("nft can't be told of" in text for text in texts)

    host.run("ip", "link", "add", lan, "up", "type", "bridge")
    host.run("ip", "route", "add", "default", "dev", lan, "metric", "77")
    until(lambda: role(lan) == "guarded", AT_ONCE_S, "the uplink to be followed")
    until(lambda: lan in host.run("nft", "list", "ruleset").stdout, AT_ONCE_S, "the ruleset")
    until(lambda: enforcer.status()["healthy"], AT_ONCE_S, "health")
    host.run("ip", "link", "set", lan, "name", untold)
    until(told, AT_ONCE_S, "it to be told")
    host.nft("delete table inet enforcer")
    until(lambda: enforcer.status()["enforcing"], AT_ONCE_S, "the table to be put back")
    host.run("ip", "link", "set", untold, "name", lan)
    until(lambda: enforcer.status()["healthy"], AT_ONCE_S, "health again")
