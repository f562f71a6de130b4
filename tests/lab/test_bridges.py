"""Bridges called like those of containers: who is on them, and where they lead."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.lab.connect import attempt
from tests.lab.daemon import running
from tests.lab.lab import Lab
from tests.lab.namespace import Namespace
from tests.lab.tier import is_note_of_tier
from tests.lab.topology import BRIDGE
from tests.lab.wait import until

pytestmark = pytest.mark.root

POLICY = "version: 1\norganization: lab\nhosts: [registry.allowed.test]\n"
# Of an interface of the world that is a port of the bridge.
FAR = ("192.0.2.9", "fd99::9")
INSIDE = ("172.30.0.3", "fd30::3")
# How a bridge's packets pass the same hooks as routed ones (br_netfilter).
_SEEN = ("net.bridge.bridge-nf-call-iptables=1", "net.bridge.bridge-nf-call-ip6tables=1")


@contextlib.contextmanager
def bridge_to_the_world(lab: Lab) -> Iterator[None]:
    """Add bridge ``br-out`` to the host, with a port that the world is behind."""
    host, world = lab.net.host, lab.net.world
    host.ip(
        "link add br-out type bridge",
        f"link add to-far type veth peer name far netns {world.pid}",
        "link set to-far master br-out up",
        "address add 192.0.2.1/24 dev br-out",
        "address add fd99::1/64 dev br-out nodad",
        "link set br-out up",
    )
    world.ip(
        "address add 192.0.2.9/24 dev far",
        "address add fd99::9/64 dev far nodad",
        "link set far up",
        "route add 172.30.0.0/24 via 192.0.2.1",
        "route add fd30::/64 via fd99::1",
    )
    yield
    host.ip("link del to-far", "link del br-out")


@contextlib.contextmanager
def neighbour(lab: Lab) -> Iterator[Namespace]:
    """Add another container to the bridge of the lab."""
    net = lab.net
    (net.directory / "neighbour").mkdir()
    (net.cgroup / "neighbour").mkdir()
    with Namespace(net.directory / "neighbour", net.cgroup / "neighbour").held() as made:
        made.sysctl("net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.accept_dad=0")
        net.host.ip(
            f"link add to-neighbour type veth peer name eth0 netns {made.pid}",
            f"link set to-neighbour master {BRIDGE} up",
        )
        made.ip(
            "address add 172.30.0.3/24 dev eth0",
            "address add fd30::3/64 dev eth0 nodad",
            "link set eth0 up",
        )
        yield made


def outcomes(lab: Lab) -> set[str]:
    """Return what comes of connections over the bridge, from the machine and a container."""
    origins = (lab.net.host, lab.net.container)
    return {attempt(origin, address).outcome for origin in origins for address in FAR}


def test_a_bridge_with_a_port_that_leads_out_is_guarded(lab: Lab) -> None:
    """One called br-* was exempt by its name, with a network card among its ports too.

    What went through it was not judged unless a default route led over it. An ifb
    stands for the card: of the kinds that lead out it is the one every kernel here has.
    """
    host = lab.net.host
    with bridge_to_the_world(lab), running(lab.net, POLICY) as enforcer:
        roles = {each["name"]: each["role"] for each in enforcer.status()["interfaces"]}
        assert (roles["br-out"], roles[BRIDGE]) == ("exempt", "exempt")
        until(lambda: outcomes(lab) == {"connected"}, 15, "the world behind br-out to answer")
        host.ip("link add card type ifb", "link set card master br-out up")
        until(lambda: outcomes(lab) == {"ECONNREFUSED"}, 10, "br-out to be guarded")
        status = enforcer.status()
        roles = {each["name"]: each["role"] for each in status["interfaces"]}
        assert (roles["br-out"], roles[BRIDGE]) == ("guarded", "exempt")
        notes = [note for note in status["platform"]["notes"] if not is_note_of_tier(note)]
        assert notes == [
            "br-out is guarded in spite of its name: card is a port of it, and no container's"
        ]
        host.ip("link del card")
        until(lambda: outcomes(lab) == {"connected"}, 10, "br-out to be exempt again")


def far_outcome(container: Namespace) -> str:
    """Return what comes of a connection of *container* alone."""
    return attempt(container, FAR[0]).outcome


def test_a_bridge_that_containers_leave_by_unjudged_is_told(lab: Lab) -> None:
    """A container beside a network card is on the network, whatever the policy says.

    An ifb stands for the card, as above.
    """
    host, world, container = lab.net.host, lab.net.world, lab.net.container
    host.ip(
        "link add br0 type bridge",
        "link add card type ifb",
        "link set card master br0 up",
        f"link add to-far type veth peer name far netns {world.pid}",
        "link set to-far master br0 up",
        f"link add to-lan type veth peer name lan netns {container.pid}",
        "link set to-lan master br0 up",
        "link set br0 up",
    )
    world.ip("address add 192.0.2.9/24 dev far", "link set far up")
    container.ip("address add 192.0.2.10/24 dev lan", "link set lan up")
    text = "what containers on br0 send leaves by card without being judged"
    for judged, outcome, problems in ((0, "connected", [text]), (1, "ECONNREFUSED", [])):
        host.sysctl(*(f"{each[:-1]}{judged}" for each in _SEEN))
        with running(lab.net, POLICY) as enforcer:
            assert [each["text"] for each in enforcer.status()["problems"]] == problems
            until(lambda: far_outcome(container) == outcome, 15, f"the world to be {outcome}")  # noqa: B023


@pytest.mark.parametrize("version", [0, 1], ids=["v4", "v6"])
def test_containers_of_one_bridge_are_left_alone(lab: Lab, version: int) -> None:
    """Also where the packets of bridges pass the hooks of routed ones."""
    host = lab.net.host
    host.sysctl(*_SEEN)
    with (
        neighbour(lab) as other,
        lab.nameserver.serving(other, INSIDE[version]),
        running(lab.net, POLICY),
    ):
        assert attempt(lab.net.container, INSIDE[version], 53).outcome == "connected"


def test_a_resolver_among_containers_is_told(lab: Lab) -> None:
    """Its neighbours can answer in its name: what it says opens addresses all the same."""
    net = lab.net
    net.host.resolv_conf.write_text("nameserver 172.30.0.2\n")
    text = f"resolver 172.30.0.2 is behind {BRIDGE}: what else is there can answer in its name"
    with (
        lab.nameserver.serving(net.container, "172.30.0.2"),
        running(net, POLICY) as enforcer,
    ):
        status = enforcer.status()
        assert [problem["text"] for problem in status["problems"]] == [text]
        # Those that it asks, at the uplink, are out of its neighbours' reach.
        enforcer.put_in_force(f"{POLICY}resolvers: [10.77.0.1]\n")
        assert enforcer.status()["healthy"]


@pytest.mark.parametrize(("first", "told"), [(53, True), (54, False)])
def test_a_resolver_that_any_user_can_take_the_place_of_is_told(
    lab: Lab, first: int, *, told: bool
) -> None:
    """Where the port of DNS is not root's alone, as rootless containers may have it."""
    net = lab.net
    net.host.sysctl(f"net.ipv4.ip_unprivileged_port_start={first}")
    net.host.resolv_conf.write_text("nameserver 127.0.0.53\n")
    text = "any user can answer in the name of resolver 127.0.0.53, which is on this machine"
    with (
        lab.nameserver.serving(net.host, "127.0.0.53"),
        running(net, POLICY) as enforcer,
    ):
        problems = [problem["text"] for problem in enforcer.status()["problems"]]
        assert problems == ([text] if told else [])
