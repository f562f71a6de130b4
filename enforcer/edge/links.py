"""Network interfaces, addresses and routes, as rtnetlink lists them."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network

from enforcer.core.addresses import Address
from enforcer.core.destinations import Route
from enforcer.core.interfaces import Interface, Network
from enforcer.edge.rtnetlink import Rtnetlink, attribute, attributes, text, translated  # noqa: TID251 - its base

# linux/rtnetlink.h
_GETLINK, _GETADDR, _GETROUTE = 18, 22, 26
_UNICAST = 1  # enum: RTN_UNICAST
_SKIP_STATS = 1 << 3  # RTEXT_FILTER_SKIP_STATS

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, interface
# family, destination length, source length, TOS, table, protocol, scope, type, flags
_ROUTE = struct.Struct("=BBBBBBBBI")
_HOP = struct.Struct("=HBBi")  # length, flags, weight, interface
_INDEX = struct.Struct("=i")

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class _Link(IntEnum):
    """linux/if_link.h: IFLA_*."""

    NAME = 3
    MASTER = 10
    INFO = 18
    EXT_MASK = 29


_INFO_KIND = 1  # IFLA_INFO_KIND, nested in INFO


class _Addr(IntEnum):
    """linux/if_addr.h: IFA_*."""

    ADDRESS = 1
    LOCAL = 2


class _Route(IntEnum):
    """linux/rtnetlink.h: RTA_*."""

    DESTINATION = 1
    INTERFACE = 4
    MULTIPATH = 9


class Links:
    """What the network namespace it was made in looks like.

    Raises:
        DatapathError: the kernel refuses; every method may.
    """

    def __init__(self) -> None:
        self._netlink = Rtnetlink()

    def close(self) -> None:
        """Close the netlink socket."""
        self._netlink.close()

    def addresses(self) -> frozenset[Address]:
        """Return the addresses of this machine."""
        with translated("list addresses"):
            found = self._netlink.dump(_GETADDR, _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
        return frozenset(map(_own_address, found))

    def network(self, resolvers: Iterable[Address]) -> Network:
        """Return the interfaces and where routes lead, to *resolvers* among others."""
        with translated("list interfaces"):
            body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
            body += attribute(_Link.EXT_MASK, struct.pack("=I", _SKIP_STATS))
            interfaces = tuple(map(_interface, self._netlink.dump(_GETLINK, body)))
        with translated("list routes"):
            defaults = frozenset(self._defaults())
        return Network(interfaces, defaults, dict(self._facing(resolvers)))

    def routes(self) -> tuple[Route, ...]:
        """Return the routes of all tables, those to the machine's own addresses too."""
        with translated("list routes"):
            return tuple(
                Route(_destination(route), index if _kind(route) == _UNICAST else None)
                for route in self._routes()
                for index in _interfaces_of(route) or (None,)
            )

    def _routes(self) -> Iterator[bytes]:
        for family in _FAMILIES.values():
            request = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
            yield from self._netlink.dump(_GETROUTE, request)

    def _defaults(self) -> Iterator[int]:
        for route in self._routes():
            if _destination(route).prefixlen == 0 and _kind(route) == _UNICAST:
                yield from _interfaces_of(route)

    def _facing(self, resolvers: Iterable[Address]) -> Iterator[tuple[Address, int]]:
        for resolver in resolvers:
            family = _FAMILIES[resolver.version]
            request = _ROUTE.pack(family, resolver.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
            request += attribute(_Route.DESTINATION, resolver.packed)
            # A resolver without a route has no interface yet.
            with contextlib.suppress(OSError):
                for index in _interfaces_of(self._netlink.get(_GETROUTE, request)):
                    yield resolver, index


def _interface(message: bytes) -> Interface:
    _, _, index, _, _ = _LINK.unpack_from(message)
    found = attributes(message, _LINK.size)
    info = attributes(found.get(_Link.INFO, b""))
    master = found.get(_Link.MASTER)
    return Interface(
        index=index,
        name=text(found[_Link.NAME]),
        kind=text(info.get(_INFO_KIND, b"")),
        master=_INDEX.unpack(master)[0] if master else None,
    )


def _own_address(message: bytes) -> Address:
    found = attributes(message, _ADDRESS.size)
    # ADDRESS is the other end's on point-to-point links, which have LOCAL too.
    return ipaddress.ip_address(found.get(_Addr.LOCAL) or found[_Addr.ADDRESS])


def _kind(route: bytes) -> int:
    return int(_ROUTE.unpack_from(route)[7])


def _destination(route: bytes) -> IPv4Network | IPv6Network:
    family, length, *_ = _ROUTE.unpack_from(route)
    # That of a default route is left out.
    everywhere = bytes(4 if family == socket.AF_INET else 16)
    packed = attributes(route, _ROUTE.size).get(_Route.DESTINATION, everywhere)
    return ipaddress.ip_network((packed, length))


def _interfaces_of(route: bytes) -> tuple[int, ...]:
    return tuple(_hops(attributes(route, _ROUTE.size)))


def _hops(found: Mapping[int, bytes]) -> Iterator[int]:
    if _Route.INTERFACE in found:
        yield _INDEX.unpack(found[_Route.INTERFACE])[0]
    hops = found.get(_Route.MULTIPATH, b"")
    offset = 0
    while offset + _HOP.size <= len(hops):
        length, _, _, index = _HOP.unpack_from(hops, offset)
        yield index
        offset += max((length + 3) & ~3, _HOP.size)
