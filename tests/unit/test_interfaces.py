"""Which interface has which role and which programs."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from enforcer.core.interfaces import LEARNING, Interface, Network, Program, Role

RESOLVERS = (ip_address("192.0.2.53"), ip_address("2001:db8::53"))
FORWARD = frozenset({Program.FORWARD_MARK})
NOTHING: frozenset[Program] = frozenset()

LO = Interface(1, "lo")
ETH0 = Interface(2, "eth0")
DOCKER0 = Interface(3, "docker0", kind="bridge")
PORT = Interface(4, "veth8d1c", kind="veth", master=3)
VRF = Interface(5, "tenant", kind="vrf")


def network(
    *more: Interface, defaults: tuple[int, ...] = (2,), facing: tuple[int, ...] = (2,)
) -> Network:
    """Return a machine with an uplink, Docker's bridge and a container."""
    return Network(
        (LO, ETH0, DOCKER0, PORT, *more),
        frozenset(defaults),
        dict(zip(RESOLVERS, facing, strict=False)),
    )


@pytest.mark.parametrize(
    ("interface", "role", "programs"),
    [
        (LO, Role.EXEMPT, LEARNING),
        (ETH0, Role.GUARDED, LEARNING),
        (DOCKER0, Role.EXEMPT, FORWARD),
        (PORT, Role.EXEMPT, NOTHING),
        (VRF, Role.GUARDED, NOTHING),
        (Interface(9, "eth1"), Role.GUARDED, NOTHING),
        (Interface(9, "wg0", kind="wireguard"), Role.GUARDED, NOTHING),
        (Interface(9, "br-0a1b2c", kind="bridge"), Role.EXEMPT, FORWARD),
        (Interface(9, "cni0", kind="bridge"), Role.EXEMPT, FORWARD),
        (Interface(9, "podman1", kind="bridge"), Role.EXEMPT, FORWARD),
        (Interface(9, "virbr0", kind="bridge"), Role.EXEMPT, FORWARD),
        (Interface(9, "lxcbr0", kind="bridge"), Role.EXEMPT, FORWARD),
        (Interface(9, "cali12ab", kind="veth"), Role.EXEMPT, FORWARD),
        (Interface(9, "veth12ab", kind="veth"), Role.EXEMPT, FORWARD),
        (Interface(9, "br-red", kind="bridge", master=5), Role.EXEMPT, FORWARD),
        (Interface(9, "br-ex", kind="openvswitch"), Role.GUARDED, NOTHING),
        (Interface(9, "br-lan.7", kind="vlan"), Role.GUARDED, NOTHING),
        (Interface(9, "docker0"), Role.GUARDED, NOTHING),
        (Interface(9, "veth9", kind="veth", master=77), Role.EXEMPT, NOTHING),
    ],
    ids=lambda value: value.name if isinstance(value, Interface) else "",
)
def test_each_interface_has_a_role_and_programs(
    interface: Interface, role: Role, programs: frozenset[Program]
) -> None:
    """Learning where answers come in, marking where containers' packets do."""
    machine = network(interface, VRF)
    assert (machine.role(interface), machine.programs(interface)) == (role, programs)


def test_a_resolver_in_a_container_adds_learning_to_its_bridge() -> None:
    """A bridge may be both at once."""
    assert network(facing=(3,)).programs(DOCKER0) == frozenset(Program)
    assert network(facing=(3,)).programs(ETH0) == NOTHING


def test_an_uplink_is_guarded_whatever_its_name() -> None:
    """A default route leads out: nothing forwarded comes in there to be marked."""
    lan = Interface(9, "br-lan", kind="bridge")
    machine = network(lan, defaults=(2, 9), facing=(9,))
    assert (machine.role(lan), machine.programs(lan)) == (Role.GUARDED, LEARNING)
    assert machine.leading_out == {"br-lan"}
    assert machine.named_like_exempt == {"br-lan": "a default route leads over it"}


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("veth", Role.EXEMPT),
        ("tun", Role.EXEMPT),
        ("dummy", Role.EXEMPT),
        ("", Role.GUARDED),
        ("vlan", Role.GUARDED),
        ("bond", Role.GUARDED),
        ("team", Role.GUARDED),
        ("vxlan", Role.GUARDED),
        ("gretap", Role.GUARDED),
        ("batadv", Role.GUARDED),
        ("ifb", Role.GUARDED),
    ],
)
@pytest.mark.parametrize("name", ["docker0", "br-0a1b2c", "cni0", "podman1", "virbr0", "lxcbr0"])
def test_a_bridge_with_a_port_that_leads_out_is_guarded(name: str, kind: str, role: Role) -> None:
    """Whatever its name, and although it has no default route and containers besides."""
    bridge = Interface(9, name, kind="bridge")
    wire = Interface(10, "veth1", kind="veth", master=9)
    machine = Network(
        (LO, ETH0, wire, bridge, Interface(11, "port", kind, master=9)), frozenset({2}), {}
    )
    assert machine.role(bridge) is role
    assert machine.programs(bridge) == (FORWARD if role is Role.EXEMPT else NOTHING)
    why = {name: "port is a port of it, and no container's"}
    assert machine.named_like_exempt == ({} if role is Role.EXEMPT else why)


def test_a_resolver_on_the_machine_may_be_answered_for_by_anybody() -> None:
    """If anybody may have its port; not one elsewhere."""
    machine = network(facing=(1, 2))
    assert machine.answered_by_anybody == ()
    assert replace(machine, anybody_answers=True).answered_by_anybody == RESOLVERS[:1]


def test_what_leads_out_is_told_from_what_leads_to_containers() -> None:
    """By what it is made of and where the default route leads, not by its name."""
    inner = Interface(20, "lxdbr0", kind="bridge")
    wire = Interface(21, "ve-container", kind="veth")
    lan = Interface(22, "lan", kind="bridge")
    uplink = Interface(23, "uplink", kind="veth")
    machine = Network(
        (
            *(LO, ETH0, DOCKER0, inner, wire, lan, uplink),
            Interface(24, "port", kind="veth", master=20),
            Interface(25, "card", master=22),
        ),
        defaults=frozenset({23}),
        facing={},
        routed=frozenset({20, 21, 22, 23}),
    )
    assert machine.leading_out == {"lan", "uplink"}


def test_nobody_is_an_uplink_by_advertising() -> None:
    """Whoever is on a link can say that he is its router; containers are on their bridge's."""
    bridge = Interface(20, "lxdbr0", kind="bridge")
    facing = {RESOLVERS[1]: 20}
    machine = Network(
        (LO, ETH0, DOCKER0, bridge),
        defaults=frozenset({2, 3, 20}),
        facing=facing,
        advertised=frozenset(facing),
        by_routers=frozenset({2, 3, 20}),
    )
    assert machine.leading_out == frozenset()
    assert machine.misleading == ("docker0", "lxdbr0")
    assert machine.led_astray == {RESOLVERS[1]: "lxdbr0"}
    configured = replace(machine, by_routers=frozenset())
    assert configured.leading_out == {"docker0", "lxdbr0"}
    assert configured.misleading == ()
    assert configured.led_astray == {}


def test_a_resolver_behind_a_bridge_may_be_answered_for_by_others() -> None:
    """Not one of this machine, nor one that only guarded interfaces lead to."""
    assert network(facing=(3, 2)).answered_inside == {RESOLVERS[0]: "docker0"}
    assert network(facing=(1, 2)).answered_inside == {}
    assert network(defaults=(3,), facing=(3, 99)).answered_inside == {}


@pytest.mark.parametrize("defaults", [(2,), (2, 3)], ids=["on its link", "beyond it"])
def test_a_resolver_that_a_container_may_have_taken_the_place_of_is_not_believed(
    defaults: tuple[int, ...],
) -> None:
    """A route over a bridge of containers counts if somebody gave it, and no router said it."""
    by_bridge = network(defaults=defaults, facing=(2, 3))
    astray = replace(by_bridge, advertised=frozenset(RESOLVERS))
    assert by_bridge.led_astray == {}
    assert astray.led_astray == {RESOLVERS[1]: "docker0"}
    assert astray.devices == {RESOLVERS[0]: "eth0"}
    assert by_bridge.programs(DOCKER0) >= LEARNING
    assert not LEARNING & astray.programs(DOCKER0)
    assert astray.answered_inside == {}


def test_a_bridge_that_leads_out_may_have_a_router() -> None:
    """Its neighbours could answer for the resolver anyway."""
    lan, card = Interface(9, "br-lan", kind="bridge"), Interface(10, "eth1", master=9)
    machine = replace(network(lan, card, facing=(9,)), advertised=frozenset(RESOLVERS))
    assert machine.led_astray == {}
    assert machine.programs(lan) == LEARNING


@pytest.mark.parametrize(
    ("kinds", "passing"),
    [
        (("veth", ""), {"br0": "port1"}),
        (("vlan", "tun"), {"br0": "port0"}),
        (("", "dummy"), {}),
        (("veth", "tun"), {}),
        ((), {}),
    ],
    ids=str,
)
def test_a_bridge_passes_on_what_its_containers_send(
    kinds: tuple[str, ...], passing: dict[str, str]
) -> None:
    """To a network card, past the hooks of whatever is routed, unless br_netfilter is there."""
    ports = (Interface(20 + n, f"port{n}", kind, 9) for n, kind in enumerate(kinds))
    machine = network(Interface(9, "br0", kind="bridge"), *ports)
    assert machine.passing == {}
    assert replace(machine, bridges_judged=False).passing == passing


def test_the_loopback_is_never_forwarded_from() -> None:
    """Not even a default route over it changes its programs."""
    assert network(defaults=(1,)).programs(LO) == LEARNING


def test_a_name_given_anew_is_another_interface() -> None:
    """What faced the resolver was the old index."""
    again = Interface(9, "eth0")
    machine = Network((LO, again), defaults=frozenset({9}), facing={RESOLVERS[0]: 2})
    assert machine.programs(again) == NOTHING


def test_each_resolver_has_the_interface_that_faces_it() -> None:
    """By its name; none where there is no route, or the interface is gone."""
    assert network(facing=(2, 3)).devices == dict(zip(RESOLVERS, ("eth0", "docker0"), strict=True))
    assert network(facing=(2,)).devices == {RESOLVERS[0]: "eth0"}
    assert network(facing=(99,)).devices == {}
