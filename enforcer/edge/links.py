"""Network interfaces, addresses and routes, as rtnetlink lists them."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from pyroute2.netlink.exceptions import NetlinkError

from enforcer.core.addresses import Address
from enforcer.core.destinations import DNS_PORT, Route
from enforcer.core.interfaces import CONTAINER_KINDS, Interface, Network
from enforcer.edge.rtnetlink import Rtnetlink, translated  # noqa: TID251 - its base

_UNICAST = 1  # linux/rtnetlink.h: RTN_UNICAST
# Likewise, RTPROT_*. Of what a router advertises, the kernel makes the routes to networks on
# the link as it makes those of addresses; systemd-networkd makes all of them the other way.
_BY_KERNEL, _BY_ROUTER = 2, 9
_PERMANENT = 0x80  # linux/if_addr.h: IFA_F_PERMANENT; none that an advertisement led to has it
_NONE: Mapping[int, Collection[int]] = MappingProxyType({})
# A resolver, the index of the interface that leads to it, and who made the route.
_Facing: TypeAlias = tuple[Address, int, int]
# Of br_netfilter, in the network namespace of whoever looks.
_BRIDGES_JUDGED = tuple(
    f"/proc/sys/net/bridge/bridge-nf-call-{tables}" for tables in ("iptables", "ip6tables")
)
# For both families; likewise in the network namespace of whoever looks.
_FIRST_OF_ANYBODY = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
# What of a default route is left out.
_EVERYWHERE = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104 - binds nothing


@dataclass(frozen=True)
class _Way:
    """One way that a route leads.

    Attributes:
        interface: index of the one it leads by.
        by_router: a router advertised it, or whoever says to be one; as a way to everywhere a
            network on the link is nothing else either.
        onward: it leads to a router, and not to the link itself.
    """

    network: IPv4Network | IPv6Network
    interface: int
    by_router: bool
    onward: bool

    @property
    def is_default(self) -> bool:
        return self.network.prefixlen == 0


class Links:
    """What the network namespace it was made in looks like.

    Args:
        last_defaults: indexes of the interfaces of earlier default routes, by version of IP.

    Raises:
        DatapathError: the kernel refuses; every method may.
    """

    def __init__(self, last_defaults: Mapping[int, Collection[int]] = _NONE) -> None:
        self._netlink = Rtnetlink()
        self._last = {version: frozenset(of) for version, of in last_defaults.items()}

    @property
    def last_defaults(self) -> Mapping[int, frozenset[int]]:
        """The indexes of the interfaces of default routes, the last that each family had.

        Without those that a router advertised: whoever is on the link can.
        """
        return self._last

    def close(self) -> None:
        """Close the netlink socket."""
        self._netlink.close()

    def addresses(self) -> frozenset[Address]:
        """Return the addresses of this machine."""
        found = self._netlink.listed("addresses", self._netlink.ipr.get_addr)
        return frozenset(map(_own_address, found))

    def network(self, resolvers: Iterable[Address]) -> Network:
        """Return the interfaces and where routes lead, to *resolvers* among others."""
        listed = self._netlink.listed("interfaces", self._netlink.ipr.get_links)
        interfaces = tuple(map(_interface, listed))
        ways = [
            way for route in self._routes() if route["type"] == _UNICAST for way in _ways(route)
        ]
        configured = self._remember(ways, {each.index: each.kind for each in interfaces})
        defaults = frozenset(way.interface for way in ways if way.is_default)
        routes = tuple(self._facing(resolvers))
        return Network(
            interfaces,
            defaults,
            {resolver: index for resolver, index, _ in routes},
            frozenset(self._advertised(routes)),
            _bridges_are_judged(),
            frozenset(way.interface for way in ways if not way.network.is_link_local),
            _anybody_may_serve(DNS_PORT),
            frozenset().union(*self._last.values()) - configured,
            frozenset(way.interface for way in ways if way.onward and not way.by_router),
            defaults - configured,
        )

    def _remember(self, ways: Iterable[_Way], kinds: Mapping[int, str]) -> frozenset[int]:
        """Return the interfaces of default routes among *ways* that nobody advertised."""
        found: dict[int, set[int]] = {}
        for way in ways:
            if way.is_default and not way.by_router:
                found.setdefault(way.network.version, set()).add(way.interface)
            elif way.is_default and kinds.get(way.interface) not in CONTAINER_KINDS:
                found.setdefault(way.network.version, set())  # another way than before, by a card
        last = self._last | found
        self._last = {version: frozenset(of) & kinds.keys() for version, of in last.items()}
        return frozenset().union(*found.values())

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of all tables, those to the machine's own addresses too."""
        return tuple(
            Route(_destination(route), index if route["type"] == _UNICAST else None)
            for route in self._routes()
            for index in _interfaces_of(route) or (None,)
        )

    def _routes(self) -> Iterator[Any]:
        for family in _EVERYWHERE:
            listing = partial(self._netlink.ipr.route, "dump", family=family)
            yield from self._netlink.listed("routes", listing)

    def _facing(self, resolvers: Iterable[Address]) -> Iterator[_Facing]:
        for resolver in resolvers:
            # A resolver without a route has no interface yet.
            with translated("find a route"), contextlib.suppress(NetlinkError):
                for route in self._netlink.ipr.route("get", dst=str(resolver)):
                    for index in _interfaces_of(route):
                        yield resolver, index, route["proto"]

    def _advertised(self, routes: Iterable[_Facing]) -> Iterator[Address]:
        configured: Mapping[int, list[IPv6Network]] | None = None
        for resolver, index, protocol in routes:
            if resolver.version != 6:  # noqa: PLR2004 - of IP
                continue
            if protocol == _BY_ROUTER:
                yield resolver
            elif protocol == _BY_KERNEL:
                configured = configured or self._configured()
                packed = ipaddress.IPv6Address(resolver.packed)  # without its zone
                if not any(packed in each for each in configured.get(index, ())):
                    yield resolver

    def _configured(self) -> Mapping[int, list[IPv6Network]]:
        """Return the networks that somebody gave each interface an address of."""
        listing = partial(self._netlink.ipr.get_addr, family=socket.AF_INET6)
        found: dict[int, list[IPv6Network]] = {}
        for each in self._netlink.listed("addresses", listing):
            if each["flags"] & _PERMANENT:
                of = (each.get_attr("IFA_ADDRESS"), each["prefixlen"])
                found.setdefault(each["index"], []).append(IPv6Network(of, strict=False))
        return found


def _bridges_are_judged() -> bool:
    try:
        return all(Path(each).read_text("ascii").strip() != "0" for each in _BRIDGES_JUDGED)
    except OSError:  # the module is not loaded
        return False


def _anybody_may_serve(port: int) -> bool:
    try:
        return int(_FIRST_OF_ANYBODY.read_text("ascii")) <= port
    except (OSError, ValueError):
        return False


def _interface(message: Any) -> Interface:
    info = message.get_attr("IFLA_LINKINFO")
    return Interface(
        index=message["index"],
        # pyroute2 0.9.7 leaves what is not UTF-8 as bytes.
        name=os.fsdecode(message.get_attr("IFLA_IFNAME")),
        kind=(info.get_attr("IFLA_INFO_KIND") if info else None) or "",
        master=message.get_attr("IFLA_MASTER"),
    )


def _own_address(message: Any) -> Address:
    # ADDRESS is the other end's on point-to-point links, which have LOCAL too.
    return ipaddress.ip_address(message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS"))


def _destination(route: Any) -> IPv4Network | IPv6Network:
    address = route.get_attr("RTA_DST") or _EVERYWHERE[route["family"]]
    return ipaddress.ip_network((address, route["dst_len"]))


def _interfaces_of(route: Any) -> tuple[int, ...]:
    return tuple(way.interface for way in _ways(route))


def _ways(route: Any) -> Iterator[_Way]:
    index = route.get_attr("RTA_OIF")
    several = route.get_attr("RTA_MULTIPATH") or ()
    hops = [(index, route)] if index is not None else [(hop["oif"], hop) for hop in several]
    for by, hop in hops:
        # A router of the other family is in VIA (RFC 8950).
        onward = any(hop.get_attr(each) for each in ("RTA_GATEWAY", "RTA_VIA"))
        by_router = route["proto"] in (_BY_ROUTER, _BY_KERNEL)
        yield _Way(_destination(route), by, by_router, onward)
