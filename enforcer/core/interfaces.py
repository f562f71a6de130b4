"""Which interfaces are guarded, and which programs belong on which.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

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
        facing: index of the interface that queries to a resolver leave by.
    """

    interfaces: tuple[Interface, ...]
    defaults: frozenset[int]
    facing: Mapping[Address, int]

    @property
    def uplinks(self) -> frozenset[str]:
        """Return the names of the interfaces of default routes."""
        return frozenset(each.name for each in self.interfaces if each.index in self.defaults)

    @property
    def devices(self) -> dict[Address, str]:
        """Return the name of the interface that faces each resolver which has one."""
        names = {each.index: each.name for each in self.interfaces}
        return {who: names[index] for who, index in self.facing.items() if index in names}

    @property
    def named_like_exempt(self) -> frozenset[str]:
        """Return the uplinks whose name alone would exempt them."""
        return frozenset(name for name in self.uplinks if is_exempt(name, DEFAULT_EXEMPT, ()))

    def role(self, interface: Interface) -> Role:
        """Return what the ruleset does with what leaves by *interface*."""
        exempt = is_exempt(interface.name, DEFAULT_EXEMPT, self.uplinks)
        return Role.EXEMPT if exempt else Role.GUARDED

    def programs(self, interface: Interface) -> frozenset[Program]:
        """Return the programs that belong on *interface*."""
        wanted: frozenset[Program] = frozenset()
        # A stub on this machine answers on the loopback.
        if interface.name == LOOPBACK or interface.index in self.facing.values():
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


def matching(pattern: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return those of *names* that *pattern* means: one name, or its beginning and a ``*``."""
    return tuple(sorted(name for name in names if fnmatchcase(name, pattern)))


def is_exempt(name: str, exempt: Iterable[str], uplinks: Collection[str]) -> bool:
    """Tell whether what leaves by the interface *name* is not judged.

    A default route leads out whatever its interface is called: ``br-lan`` too.
    """
    return name not in uplinks and any(matching(pattern, [name]) for pattern in exempt)
