"""The nftables ruleset as text, compiled from a policy and what the kernel can do.

Pure: no I/O, no clock. The only place that knows the names of our table, its
sets, its chains and its counter.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from enforcer.core.addresses import Address, Network
from enforcer.core.elements import TimedElement
from enforcer.core.interfaces import matching
from enforcer.core.policy import Mode

FAMILY = "inet"
TABLE = "enforcer"
DENIED_COUNTER = "denied"
OUTPUT_CHAIN = "output"
FORWARD_CHAIN = "forward"
LEARNED_CHAIN = "learned"
PERMITTED_CHAIN = "permitted"
# Where a packet ends that nothing permitted: its name tells the mode of a table
# found in the kernel.
LAST_CHAIN = {Mode.ENFORCE: "denied", Mode.AUDIT: "audited"}


@dataclass(frozen=True)
class SetNames:
    """The words of one address family: nftables' own and the names of our sets."""

    protocol: str
    address_type: str
    allow: str
    networks: str
    resolvers: str


SETS = {
    4: SetNames("ip", "ipv4_addr", "allow4", "networks4", "resolvers4"),
    6: SetNames("ip6", "ipv6_addr", "allow6", "networks6", "resolvers6"),
}

# A full set turns new addresses away and keeps the old ones. User space makes room
# once it holds MAX_LEARNED; the rest is for what the packet path adds before that.
# This many take about 10 MB of kernel memory.
SET_SIZE = 65536 + 4096

# The bridge between the packet path, which adds an element when it sees the
# first SYN, and user space, which replaces it by the exact lifetime within
# milliseconds. Long enough to outlive a restart of the daemon.
LEARNED_TIMEOUT_S = 60

# IFNAMSIZ is 16 with the NUL. A lone `*` would exempt everything.
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}|[A-Za-z0-9_.:@-]{1,14}\*")

# After DNAT in the output hook (dstnat, -100), so that the destination judged is
# the one the packet goes to; before other people's filter chains (0), so that a
# refusal is ours, fast and named, and the mark is gone when they look.
_PRIORITY = "filter - 10"

_FIRST_SYN = "tcp flags & (fin | syn | rst | ack) == syn"
_NOT_FIRST_SYN = "tcp flags & (syn | ack) != syn"
# They lead on from the destination judged here, or differ from the socket's.
_SOURCE_ROUTES = ("exthdr rt exists", "ip option lsrr exists", "ip option ssrr exists")
_ICMP_ERRORS = (
    "icmp type { destination-unreachable, time-exceeded, parameter-problem }",
    "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }",
)


@dataclass(frozen=True)
class Capabilities:
    """What this kernel's nftables can do.

    Attributes:
        ct: connection tracking state can be matched.
        reject: a refused packet can be answered.
        counter: named counters exist.
    """

    ct: bool
    reject: bool
    counter: bool


FULL = Capabilities(ct=True, reject=True, counter=True)


def compile_ruleset(  # noqa: PLR0913 - every part of a ruleset is named by the caller
    *,
    mode: Mode,
    networks: Sequence[Network],
    resolvers: Collection[Address],
    nonce: int,
    exempt: Sequence[str],
    uplinks: Collection[str],
    capabilities: Capabilities,
    elements: Sequence[TimedElement] = (),
) -> str:
    """Return the text that replaces our table, and nothing else, in one transaction.

    Args:
        mode: what happens to a packet that nothing permits.
        networks: always permitted, every protocol and port; may overlap.
        resolvers: the trusted ones, the only destinations of port 53.
        nonce: the mark of a first SYN to a learned address; not 0, 32 bits.
        exempt: interface names, or their beginnings with a final ``*``.
        uplinks: interfaces that are never exempt, whatever they are called.
        capabilities: what the kernel was found able to do.
        elements: addresses permitted from the first packet on.

    Raises:
        ValueError: the nonce or an interface name can't be used.
    """
    if not 0 < nonce < 1 << 32:
        raise ValueError("the nonce must be a 32-bit number other than 0, which every packet has")
    for name in (*exempt, *uplinks):
        if not _INTERFACE.fullmatch(name):
            raise ValueError(f'"{name}" names no interface')
    body = [
        *(_block(f"counter {DENIED_COUNTER}", ()) if capabilities.counter else ()),
        *_sets(networks, resolvers, elements),
        *_base_chain(OUTPUT_CHAIN, _own_traffic(capabilities), mode, nonce),
        *_base_chain(FORWARD_CHAIN, (), mode, nonce),
        *_block(f"chain {LEARNED_CHAIN}", _learned()),
        *_block(f"chain {PERMITTED_CHAIN}", _permitted(exempt, uplinks, capabilities)),
        *_block(f"chain {LAST_CHAIN[mode]}", _last(mode, capabilities)),
    ]
    table = f"table {FAMILY} {TABLE}"
    # Declared first: deleting a table that does not exist is an error, and
    # `destroy` needs nft 1.0.8 and Linux 6.3.
    return "\n".join((table, f"delete {table}", *_block(table, body)[:-1])) + "\n"


def _block(head: str, lines: Iterable[str]) -> list[str]:
    """Return a block of nftables text, followed by an empty line."""
    inner = "\n".join(f"\t{line}" if line else "" for line in lines).rstrip()
    return [f"{head} {{", *inner.splitlines(), "}", ""]


def _sets(
    networks: Sequence[Network], resolvers: Collection[Address], elements: Sequence[TimedElement]
) -> Iterator[str]:
    # The kernel refuses overlapping intervals.
    merged: tuple[Network, ...] = (
        *ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv6Network)),
    )
    ordered = sorted(elements, key=lambda element: (int(element.address), element.port))
    for version, names in SETS.items():
        # `dynamic` lets the packet path add elements.
        pair = (f"type {names.address_type} . inet_service", "flags dynamic,timeout")
        allowed = [_element(element) for element in ordered if element.address.version == version]
        yield from _set(names.allow, (*pair, f"size {SET_SIZE}"), allowed)
        interval = (f"type {names.address_type}", "flags interval")
        own = [str(network) for network in merged if network.version == version]
        yield from _set(names.networks, interval, own)
        trusted = {address.packed for address in resolvers if address.version == version}
        yield from _set(names.resolvers, interval[:1], map(_written, sorted(trusted)))


def _written(packed: bytes) -> str:
    """Return the address without its zone (fe80::1%eth0), which no set holds."""
    return str(ipaddress.ip_address(packed))


def _set(name: str, head: Iterable[str], elements: Iterable[str]) -> list[str]:
    listed = [f"\t{element}," for element in elements]
    return _block(f"set {name}", (*head, *(("elements = {", *listed, "}") if listed else ())))


def _element(element: TimedElement) -> str:
    seconds, rest_ms = divmod(element.timeout_ms, 1000)
    # nft 1.0.6 reads no number of nine digits: never all of it in milliseconds.
    timeout = f"{seconds}s{rest_ms}ms" if rest_ms else f"{seconds}s"
    note = f' comment "{element.comment}"' if element.comment else ""
    return f"{_written(element.address.packed)} . {element.port} timeout {timeout}{note}"


def _base_chain(hook: str, own: Iterable[str], mode: Mode, nonce: int) -> list[str]:
    lines = (
        f"type filter hook {hook} priority {_PRIORITY}; policy accept;",
        *(f"{route} goto {LAST_CHAIN[mode]}" for route in _SOURCE_ROUTES),
        f"meta mark {nonce:#010x} jump {LEARNED_CHAIN}",
        f"jump {PERMITTED_CHAIN}",
        *own,
        f"goto {LAST_CHAIN[mode]}",
    )
    return _block(f"chain {hook}", lines)


def _own_traffic(capabilities: Capabilities) -> Iterator[str]:
    """Let out what the machine itself needs; none of it is ever forwarded."""
    yield "# neighbours and routers; routers never pass on hop limit 255 (RFC 4861)"
    types = "nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert"
    yield f"ip6 hoplimit 255 icmpv6 type {{ {types} }} accept"
    yield "# membership of groups on the link, without which switches hide neighbours"
    types = "mld-listener-report, mld-listener-done, mld2-listener-report"
    yield f"ip6 daddr ff00::/8 ip6 hoplimit 1 icmpv6 type {{ {types} }} accept"
    yield "ip daddr 224.0.0.0/4 ip ttl 1 ip protocol igmp accept"
    yield "# DHCP clients; ports below 1024 are root's"
    yield "udp sport 68 udp dport 67 accept"
    yield "ip6 daddr ff02::1:2 udp sport 546 udp dport 547 accept"
    if capabilities.ct:
        yield "# a server's connection older than this table, such as an ssh session"
        yield f"ct state new tcp sport < 1024 {_NOT_FIRST_SYN} accept"
        yield "# resets: our refusals to those we forward for, and ends of forgotten connections"
        yield "tcp flags & (fin | syn | rst) == rst accept"


def _learned() -> Iterator[str]:
    yield "# the mark has done its work: hide it from other people's rules"
    yield "meta mark set 0"
    for names in SETS.values():
        key = f"{names.protocol} daddr . tcp dport timeout {LEARNED_TIMEOUT_S}s"
        yield f"{_FIRST_SYN} add @{names.allow} {{ {key} }} accept"


def _permitted(
    exempt: Sequence[str], uplinks: Collection[str], capabilities: Capabilities
) -> Iterator[str]:
    if capabilities.ct:
        yield "ct state established accept"
        # Conntrack helpers open RELATED flows to any port: errors only.
        yield from (f"ct state related {errors} accept" for errors in _ICMP_ERRORS)
    else:
        yield "# no connection tracking: only what opens a connection is judged"
        yield f"{_NOT_FIRST_SYN} accept"
        yield from (f"{errors} accept" for errors in _ICMP_ERRORS)
    for name in exempt:
        but = ", ".join(f'"{uplink}"' for uplink in matching(name, uplinks))
        yield (f"oifname != {{ {but} }} " if but else "") + f'oifname "{name}" accept'
    for names in SETS.values():
        yield f"{names.protocol} daddr @{names.networks} accept"
    for names in SETS.values():
        yield f"{names.protocol} daddr . tcp dport @{names.allow} accept"
    for names in SETS.values():
        port = "meta l4proto { tcp, udp } th dport 53"
        yield f"{names.protocol} daddr @{names.resolvers} {port} accept"


def _last(mode: Mode, capabilities: Capabilities) -> Iterator[str]:
    if capabilities.counter:
        yield f"counter name {DENIED_COUNTER}"
    if mode is Mode.AUDIT:
        yield "accept"
    elif capabilities.reject:
        if capabilities.ct:
            yield "# a stray segment is lost, but does not take its connection with it"
            yield "ct state invalid drop"
        yield "meta l4proto tcp reject with tcp reset"
        yield "reject with icmpx type admin-prohibited"
    else:
        yield "drop"
