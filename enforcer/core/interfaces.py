"""Which interfaces are guarded, and which programs belong on which.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from functools import cached_property

from enforcer.core.addresses import Address

LOOPBACK = "lo"

# Interfaces that lead to the machine itself or to its containers, whose own
# way out is judged at the uplink.
DEFAULT_EXEMPT = (
    LOOPBACK,
    "docker0",
    "br-*",
    "cni*",
    "podman*",
    "virbr*",
    "lxcbr*",
    "veth*",
    "cali*",
)

# The kind of a master that leaves its interfaces their own IP layer.
_VRF = "vrf"

# What a name of DEFAULT_EXEMPT is believed of: a bridge, or the machine's end of the wire to
# a container. An Open vSwitch port or a VLAN that is called br-ex leads anywhere.
_BRIDGE, _VETH = "bridge", "veth"
# Whatever they are called, containers are behind those that don't lead out.
CONTAINER_KINDS = (_BRIDGE, _VETH)
# What the wire to a container or a virtual machine ends in (a tap device is of the kind
# tun), and what leads nowhere. By any other port a bridge leads out: a network card, VLAN,
# bond, VXLAN.
_CONTAINER_PORTS = frozenset({_VETH, "tun"})
_INNER_PORTS = _CONTAINER_PORTS | {"dummy"}


class Role(Enum):
    """What the ruleset does with what leaves by an interface."""

    GUARDED = "guarded"
    EXEMPT = "exempt"


class Program(Enum):
    """A BPF program for the tc hooks of interfaces, by its name."""

    DNS_QUERY = "dns_query"
    DNS_ANSWER = "dns_answer"
    FORWARD_MARK = "forward_mark"


LEARNING = frozenset({Program.DNS_QUERY, Program.DNS_ANSWER})


@dataclass(frozen=True)
class Interface:
    """A network interface.

    Attributes:
        index: its identity: a name can be changed, and given to another.
        kind: of virtual ones, such as ``bridge``; empty for the others.
        master: index of the bridge, bond or VRF it belongs to.
    """

    index: int
    name: str
    kind: str = ""
    master: int | None = None


@dataclass(frozen=True)
class Network:
    """The interfaces of a machine and where its routes lead, at one moment.

    Attributes:
        defaults: indexes of the interfaces of default routes.
        led_out: likewise of the last default routes of a family, where it has none now.
        onward: indexes of the interfaces that somebody had a route lead to a router by.
        by_routers: of those of default routes, the ones that only a router on the link, or
            whoever says to be one, has made a default route over.
        facing: index of the interface that queries to a resolver leave by.
        advertised: resolvers that a router may have put itself on the way to (RFC 4861).
        bridges_judged: what a bridge passes on from port to port meets the ruleset.
        routed: indexes of the interfaces that routes to more than the link itself lead by.
        anybody_answers: any user of the machine may have the port of DNS.
    """

    interfaces: tuple[Interface, ...]
    defaults: frozenset[int]
    facing: Mapping[Address, int]
    advertised: frozenset[Address] = frozenset()
    bridges_judged: bool = True
    routed: frozenset[int] = frozenset()
    anybody_answers: bool = False
    led_out: frozenset[int] = frozenset()
    onward: frozenset[int] = frozenset()
    by_routers: frozenset[int] = frozenset()

    @property
    def devices(self) -> dict[Address, str]:
        """Return the name of the interface that faces each resolver which has one."""
        return self._named(self.faced)

    def _named(self, faced: Mapping[Address, int]) -> dict[Address, str]:
        names = {each.index: each.name for each in self.interfaces}
        return {who: names[index] for who, index in faced.items() if index in names}

    @cached_property
    def led_astray(self) -> Mapping[Address, str]:
        """Return the resolvers that a container may have taken the place of, and by where.

        Any that may open a raw socket can advertise itself as their router. What it says
        must open nothing, nor be asked for.
        """
        inner = {each.index for each in self.interfaces if self._leads_to_containers(each)}
        return self._named(
            {
                resolver: index
                for resolver, index in self.facing.items()
                if resolver in self.advertised and index in inner
            }
        )

    @property
    def misleading(self) -> tuple[str, ...]:
        """Return the interfaces that a container may have had a default route lead by."""
        return tuple(
            each.name
            for each in self.interfaces
            if each.index in self.by_routers and self._leads_to_containers(each)
        )

    @property
    def faced(self) -> Mapping[Address, int]:
        """Return the index of the interface that faces each resolver which has one."""
        return {who: at for who, at in self.facing.items() if who not in self.led_astray}

    @cached_property
    def named_like_exempt(self) -> Mapping[str, str]:
        """Return why the interfaces are guarded whose name alone would exempt them, by name."""
        return {
            each.name: why
            for each in self.interfaces
            if _is_named_like_exempt(each) and (why := self._leads_out(each))
        }

    @cached_property
    def leading_out(self) -> frozenset[str]:
        """Return the names of what leads out although its name or kind is of what does not."""
        built = frozenset(
            each.name
            for each in self.interfaces
            if each.kind in CONTAINER_KINDS and (self._leads_out(each) or self._leads_on(each))
        )
        return built | self.named_like_exempt.keys()

    @property
    def passing(self) -> Mapping[str, str]:
        """Return the bridges by which containers leave unjudged, each with a port to outside."""
        if self.bridges_judged:
            return {}
        found = {}
        for each in self.interfaces:
            ports = self._ports.get(each.index, ()) if each.kind == _BRIDGE else ()
            outer = [port.name for port in ports if port.kind not in _INNER_PORTS]
            if outer and any(port.kind in _CONTAINER_PORTS for port in ports):
                found[each.name] = outer[0]
        return found

    @cached_property
    def _ports(self) -> Mapping[int, list[Interface]]:
        by_master: dict[int, list[Interface]] = {}
        for each in self.interfaces:
            if each.master is not None:
                by_master.setdefault(each.master, []).append(each)
        return by_master

    def _leads_out(self, interface: Interface) -> str:
        """Return why *interface* can't be exempt; nothing when it can."""
        if interface.index in self.defaults - self.by_routers:
            return "a default route leads over it"
        if interface.index in self.led_out:
            # What comes up again must not lead out before anybody has seen that it does.
            return "the last default route led over it"
        return self._built_to_lead_out(interface)

    def _leads_on(self, interface: Interface) -> bool:
        """Tell whether what is behind *interface* is no container's, unless its name says so.

        One that is called docker0 may have a VPN's container behind it.
        """
        return interface.index in self.onward and not _is_named_like_exempt(interface)

    def _built_to_lead_out(self, interface: Interface) -> str:
        """Return why, wherever routes lead."""
        if interface.name != LOOPBACK and interface.kind not in CONTAINER_KINDS:
            return "it is neither a bridge nor the wire to a container"
        ports = self._ports.get(interface.index, ())
        outer = [port.name for port in ports if port.kind not in _INNER_PORTS]
        return f"{outer[0]} is a port of it, and no container's" if outer else ""

    def _leads_to_containers(self, interface: Interface) -> bool:
        if interface.name == LOOPBACK or self._built_to_lead_out(interface):
            return False
        leads = self._leads_out(interface) or self._leads_on(interface)
        return _is_named_like_exempt(interface) or not leads

    def role(self, interface: Interface) -> Role:
        """Return what the ruleset does with what leaves by *interface*."""
        exempt = is_exempt(interface.name, DEFAULT_EXEMPT, self.named_like_exempt)
        return Role.EXEMPT if exempt else Role.GUARDED

    @property
    def answered_inside(self) -> Mapping[Address, str]:
        """Return the resolvers that an exempt interface leads to, each with its name.

        Whoever else is behind it can answer in their name.
        """
        roles = {each.name: self.role(each) for each in self.interfaces}
        return {
            resolver: name
            for resolver, name in self.devices.items()
            if name != LOOPBACK and roles[name] is Role.EXEMPT
        }

    @property
    def answered_by_anybody(self) -> tuple[Address, ...]:
        """Return the resolvers on the machine itself, where any user can answer in their name."""
        on_loopback = (who for who, name in self.devices.items() if name == LOOPBACK)
        return tuple(on_loopback) if self.anybody_answers else ()

    def programs(self, interface: Interface) -> frozenset[Program]:
        """Return the programs that belong on *interface*."""
        wanted: frozenset[Program] = frozenset()
        # A stub on this machine answers on the loopback.
        if interface.name == LOOPBACK or interface.index in self.faced.values():
            wanted |= LEARNING
        if self._forwards(interface):
            wanted |= {Program.FORWARD_MARK}
        return wanted

    def _forwards(self, interface: Interface) -> bool:
        """Tell whether packets of containers enter the machine's IP layer by *interface*."""
        if interface.name == LOOPBACK or self.role(interface) is not Role.EXEMPT:
            return False
        # A port of a bridge hands its packets to the bridge.
        kinds = {each.index: each.kind for each in self.interfaces}
        return interface.master is None or kinds.get(interface.master) == _VRF


def _is_named_like_exempt(interface: Interface) -> bool:
    return is_exempt(interface.name, DEFAULT_EXEMPT, ())


def matching(pattern: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of *names* that *pattern* means: one name, or its beginning and a ``*``."""
    return tuple(sorted(name for name in names if fnmatchcase(name, pattern)))


def is_exempt(name: str, exempt: Iterable[str], but: Collection[str]) -> bool:
    """Tell whether what leaves by the interface *name* is not judged.

    Args:
        name: of the interface.
        exempt: names, or their beginnings with a final ``*``.
        but: names of those that lead out all the same: ``br-lan`` may.
    """
    return name not in but and any(matching(pattern, [name]) for pattern in exempt)
