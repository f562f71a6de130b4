"""The sets of our table: their names and their text.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from enforcer.core.addresses import Address
from enforcer.core.elements import TimedElement


@dataclass(frozen=True)
class SetNames:
    """The words of one address family: nftables' own and the names of our sets."""

    protocol: str
    address_type: str
    allow: str
    resolvers: str


SETS = {
    4: SetNames("ip", "ipv4_addr", "allow4", "resolvers4"),
    6: SetNames("ip6", "ipv6_addr", "allow6", "resolvers6"),
}

# A full set turns new addresses away and keeps the old ones. User space holds at
# most 65,536 (MAX_LEARNED) and deletes one for each new one; the rest is
# for those that the packet path adds before it has. All take about 10 MB of kernel
# memory.
SET_SIZE = 65536 + 4096


def block(head: str, lines: Iterable[str]) -> list[str]:
    """Return a block of nftables text, followed by an empty line."""
    inner = "\n".join(f"\t{line}" if line else "" for line in lines).rstrip()
    return [f"{head} {{", *inner.splitlines(), "}", ""]


def sets(resolvers: Collection[Address], elements: Sequence[TimedElement]) -> Iterator[str]:
    """Return the text of all sets of both families.

    Args:
        resolvers: the trusted ones.
        elements: of the allow sets.
    """
    ordered = sorted(elements, key=lambda element: (int(element.address), element.port))
    for version, names in SETS.items():
        # `dynamic` lets the packet path add elements.
        pair = (f"type {names.address_type} . inet_service", "flags dynamic,timeout")
        allowed = [_element(element) for element in ordered if element.address.version == version]
        yield from _set(names.allow, (*pair, f"size {SET_SIZE}"), allowed)
        trusted = {address.packed for address in resolvers if address.version == version}
        yield from _set(
            names.resolvers, (f"type {names.address_type}",), map(_written, sorted(trusted))
        )


def _written(packed: bytes) -> str:
    """Return the address without its zone (fe80::1%eth0), which no set holds."""
    return str(ipaddress.ip_address(packed))


def _set(name: str, head: Iterable[str], elements: Iterable[str]) -> list[str]:
    listed = [f"\t{element}," for element in elements]
    return block(f"set {name}", (*head, *(("elements = {", *listed, "}") if listed else ())))


def _element(element: TimedElement) -> str:
    seconds, rest_ms = divmod(element.timeout_ms, 1000)
    # nft 1.0.6 reads no number of nine digits: never all of it in milliseconds.
    timeout = f"{seconds}s{rest_ms}ms" if rest_ms else f"{seconds}s"
    note = f' comment "{element.comment}"' if element.comment else ""
    return f"{_written(element.address.packed)} . {element.port} timeout {timeout}{note}"
