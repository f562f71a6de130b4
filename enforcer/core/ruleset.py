"""The nftables ruleset as text, compiled from a policy and what the kernel can do.

Pure: no I/O, no clock. The only place that knows the names of our table and its
counters.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from enforcer.core.addresses import Address, Network
from enforcer.core.chains import (
    DESTINATIONS_CHAIN,
    EXEMPT_CHAIN,
    FORWARD_CHAIN,
    JUDGING_CHAINS,
    LAST_CHAIN,
    LEARNED_CHAIN,
    OUTPUT_CHAIN,
    PERMITTED_CHAIN,
    UNMARKING_CHAIN,
    by_interface,
    hook,
)
from enforcer.core.destinations import DNS_PORT, TCP, UDP
from enforcer.core.elements import TimedElement
from enforcer.core.labels import (
    FORGED_REPLY,
    UNJUDGED,
    answers_to_containers,
    begin_inside,
    going_on,
    labelling,
)
from enforcer.core.networks import to_networks
from enforcer.core.own_traffic import NOT_FIRST_SYN, own_traffic
from enforcer.core.policy import Mode
from enforcer.core.sets import SETS, block, sets

FAMILY = "inet"
TABLE = "enforcer"
DENIED_COUNTER = "denied"
PROBED_COUNTER = "probed"
# Of nfnetlink_log, in this network namespace. ulogd's examples use small numbers, and two
# listeners can't share one.
DENIED_GROUP = 27043
# Whoever denies himself 10,000 times a second costs us some hundred messages; the counter, which
# comes first, has them all.
_LOGGED = "limit rate 100/second burst 200 packets"
# IPv6 header, extension headers that anybody uses, ports.
_SNAPLEN = 128

# The bridge between the packet path, which adds an element when it sees the
# first SYN, and user space, which replaces it by the exact lifetime within
# milliseconds. Long enough to outlive a restart of the daemon.
LEARNED_TIMEOUT_S = 60

# IFNAMSIZ is 16 with the NUL. A lone `*` would exempt everything.
_EXEMPT = re.compile(r"[A-Za-z0-9_.:@-]{1,15}|[A-Za-z0-9_.:@-]{1,14}\*")
# What means something else, or nothing, in a name between quotes; the kernel allows it.
_UNQUOTABLE = frozenset('"*\\')

_FIRST_SYN = "tcp flags & (fin | syn | rst | ack) == syn"

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
        ct_label: connections can be labelled; not used without `ct`.
        reject: a refused packet can be answered.
        counter: named counters exist.
        log: some packets a second can be passed on to user space.
    """

    ct: bool
    ct_label: bool
    reject: bool
    counter: bool
    log: bool


FULL = Capabilities(ct=True, ct_label=True, reject=True, counter=True, log=True)


def can_name(interface: str) -> bool:
    """Tell whether nft can be told the name of an interface, as the kernel has it."""
    return interface.isprintable() and _UNQUOTABLE.isdisjoint(interface)


def compile_ruleset(  # noqa: PLR0913 - every part of a ruleset is named by the caller
    *,
    mode: Mode,
    networks: Sequence[Network],
    resolvers: Collection[Address],
    nonces: Collection[int],
    probe: int,
    exempt: Sequence[str],
    uplinks: Collection[str],
    capabilities: Capabilities,
    elements: Sequence[TimedElement] = (),
    denied: int = 0,
    replacing: bool = True,
) -> str:
    """Return the text that makes our table, and nothing else, in one transaction.

    Args:
        mode: what happens to a packet that nothing permits.
        networks: always permitted, every protocol and port; may overlap.
        resolvers: the trusted ones, the only destinations of port 53.
        nonces: the marks of a first SYN to a learned address; not 0, 32 bits. Without any
            nothing is marked.
        probe: the priority of packets that try this ruleset: they are judged like all, but
            counted apart and not logged. 32 bits, neither half 0.
        exempt: interface names, or their beginnings with a final ``*``.
        uplinks: interfaces that lead out, whatever their names and kinds are: never exempt.
        capabilities: what the kernel was found able to do.
        elements: addresses permitted from the first packet on.
        denied: packets that were counted before.
        replacing: whether a table of that name is replaced; if not, it stands in the way.

    Raises:
        ValueError: a nonce, the priority or an interface name can't be used.
    """
    if not all(0 < nonce < 1 << 32 for nonce in nonces):
        raise ValueError("a nonce must be a 32-bit number other than 0, which every packet has")
    if not (0 < probe >> 16 < 1 << 16 and probe & 0xFFFF):
        raise ValueError("a priority must be of 32 bits, neither half 0: others have those")
    if bad := [name for name in exempt if not _EXEMPT.fullmatch(name)]:
        raise ValueError(f'"{bad[0]}" names no interface')
    if bad := [name for name in uplinks if not can_name(name)]:
        raise ValueError(f'"{bad[0]}" can\'t be named to nft')
    labels = _labels(capabilities)
    on, begun = (tuple(going_on()), tuple(begin_inside())) if labels else ((), ())
    counted = (f"packets {denied} bytes 0",) if denied else ()
    body = [
        *(block(f"counter {DENIED_COUNTER}", counted) if capabilities.counter else ()),
        *(block(f"counter {PROBED_COUNTER}", ()) if capabilities.counter else ()),
        *sets(resolvers, elements),
        *_judging(OUTPUT_CHAIN, (*on, *begun), _own(mode, capabilities), mode, nonces),
        *_judging(FORWARD_CHAIN, on, (), mode, nonces),
        *(labelling(mode, exempt, uplinks) if labels else ()),
        *(_marking(nonces, capabilities) if nonces else ()),
        *block(f"chain {PERMITTED_CHAIN}", _permitted(capabilities)),
        *block(
            f"chain {DESTINATIONS_CHAIN}", _destinations(networks, exempt, uplinks, capabilities)
        ),
        *block(f"chain {LAST_CHAIN[mode]}", _last(mode, probe, capabilities)),
    ]
    table = f"table {FAMILY} {TABLE}"
    # Declared first: deleting a table that does not exist is an error, and
    # `destroy` needs nft 1.0.8 and Linux 6.3.
    first = (table, f"delete {table}") if replacing else (f"create {table}",)
    return "\n".join((*first, *block(table, body)[:-1])) + "\n"


def _judging(
    chain: str, first: Iterable[str], own: Iterable[str], mode: Mode, nonces: Collection[int]
) -> list[str]:
    lines = (
        hook(chain),
        *first,
        *(f"{route} goto {LAST_CHAIN[mode]}" for route in _SOURCE_ROUTES),
        *((f"{_marked(nonces)} jump {LEARNED_CHAIN}",) if nonces else ()),
        f"jump {PERMITTED_CHAIN}",
        *own,
        f"goto {LAST_CHAIN[mode]}",
    )
    return block(f"chain {chain}", lines)


def _marked(nonces: Collection[int]) -> str:
    return f"meta mark != 0 meta mark {{ {', '.join(f'{nonce:#010x}' for nonce in nonces)} }}"


def _own(mode: Mode, capabilities: Capabilities) -> Iterator[str]:
    if _labels(capabilities):
        # Resets too: what they answer chooses eight of their octets.
        yield f"{FORGED_REPLY} goto {LAST_CHAIN[mode]}"
    yield from own_traffic(ct=capabilities.ct)


def _marking(nonces: Collection[int], capabilities: Capabilities) -> Iterator[str]:
    yield from block(f"chain {LEARNED_CHAIN}", _learned(capabilities))
    for name in JUDGING_CHAINS:
        lines = (
            hook(name, judged=True),
            "# the mark has done its work: hide it from other people's rules",
            f"{_marked(nonces)} meta mark set 0",
        )
        yield from block(f"chain {UNMARKING_CHAIN[name]}", lines)


def _learned(capabilities: Capabilities) -> Iterator[str]:
    if capabilities.ct:
        yield "# what was learned is not where it goes"
        yield "ct status dnat return"
    for names in SETS.values():
        key = f"{names.protocol} daddr . tcp dport timeout {LEARNED_TIMEOUT_S}s"
        yield f"{_FIRST_SYN} add @{names.allow} {{ {key} }} accept"
    yield "# the sets are full"
    yield f"{_FIRST_SYN} accept"


def _permitted(capabilities: Capabilities) -> Iterator[str]:
    if _labels(capabilities):
        yield f"{UNJUDGED} goto {DESTINATIONS_CHAIN}"
        yield f"{FORGED_REPLY} goto {DESTINATIONS_CHAIN}"
    if capabilities.ct:
        yield "ct state established accept"
        # Conntrack helpers open RELATED flows to any port: errors only.
        yield from (f"ct state related {errors} accept" for errors in _ICMP_ERRORS)
    else:
        yield "# no connection tracking: only what opens a connection is judged"
        yield f"{NOT_FIRST_SYN} accept"
        yield from (f"{errors} accept" for errors in _ICMP_ERRORS)
    yield f"goto {DESTINATIONS_CHAIN}"


def _destinations(
    networks: Iterable[Network],
    exempt: Sequence[str],
    uplinks: Collection[str],
    capabilities: Capabilities,
) -> Iterator[str]:
    verdict = f"goto {EXEMPT_CHAIN}" if _labels(capabilities) else "accept"
    yield from by_interface("oifname", exempt, uplinks, verdict)
    if _labels(capabilities):
        yield answers_to_containers(uplinks)
    yield from to_networks(networks, "accept")
    for names in SETS.values():
        yield f"{names.protocol} daddr . tcp dport @{names.allow} accept"
    for names in SETS.values():
        port = f"meta l4proto {{ {TCP}, {UDP} }} th dport {DNS_PORT}"
        yield f"{names.protocol} daddr @{names.resolvers} {port} accept"


def _labels(capabilities: Capabilities) -> bool:
    return capabilities.ct and capabilities.ct_label


def _last(mode: Mode, probe: int, capabilities: Capabilities) -> Iterator[str]:
    handle = f"{probe >> 16:x}:{probe & 0xFFFF:x}"
    if capabilities.counter:
        yield f"meta priority {handle} counter name {PROBED_COUNTER}"
        yield f"meta priority != {handle} counter name {DENIED_COUNTER}"
    if capabilities.log:
        yield f"meta priority != {handle} {_LOGGED} log group {DENIED_GROUP} snaplen {_SNAPLEN}"
    if mode is Mode.AUDIT:
        if not capabilities.counter:
            yield "# a probe that came here is known by that, at its end"
            yield f"meta priority {handle} meta priority set 0"
        yield "accept"
    elif capabilities.reject:
        if capabilities.ct:
            yield "# a stray segment is lost, but does not take its connection with it"
            yield "ct state invalid drop"
        yield f"meta l4proto {TCP} reject with tcp reset"
        yield "reject with icmpx type admin-prohibited"
    else:
        yield "drop"
