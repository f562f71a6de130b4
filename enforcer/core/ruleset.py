"""The nftables ruleset as text, compiled from a policy and what the kernel can do.

Pure: no I/O, no clock. The only place that knows the names of our table, its
chains and its counter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from enforcer.core.addresses import Address, Network
from enforcer.core.elements import TimedElement
from enforcer.core.interfaces import matching
from enforcer.core.own_traffic import NOT_FIRST_SYN, own_traffic
from enforcer.core.policy import Mode
from enforcer.core.sets import SETS, block, sets

FAMILY = "inet"
TABLE = "enforcer"
DENIED_COUNTER = "denied"
OUTPUT_CHAIN = "output"
INPUT_CHAIN = "input"
PREROUTING_CHAIN = "prerouting"
FORWARD_CHAIN = "forward"
JUDGING_CHAINS = (OUTPUT_CHAIN, FORWARD_CHAIN)  # what leaves passes one of them
LABELLING_CHAINS = (PREROUTING_CHAIN, INPUT_CHAIN)
BASE_CHAINS = (*JUDGING_CHAINS, *LABELLING_CHAINS)
LEARNED_CHAIN = "learned"
PERMITTED_CHAIN = "permitted"
DESTINATIONS_CHAIN = "destinations"
EXEMPT_CHAIN = "exempt"
INSIDE_CHAIN = "inside"
UNJUDGED_CHAIN = "unjudged"
# Where a packet ends that nothing permitted: its name tells the mode of a table
# found in the kernel.
LAST_CHAIN = {Mode.ENFORCE: "denied", Mode.AUDIT: "audited"}


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
# Of 128 bits that a connection keeps: on those that began where nothing is judged,
# and on those that the machine or what is behind an exempt interface began.
# The other user of them is Open vSwitch, in zones of its own.
_UNJUDGED_LABEL, _INSIDE_LABEL = 100, 101
# What answers such a connection comes in by a guarded interface, or is forged.
_FORGED_REPLY = f"ct direction reply ct label {_INSIDE_LABEL}"

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
    """

    ct: bool
    ct_label: bool
    reject: bool
    counter: bool


FULL = Capabilities(ct=True, ct_label=True, reject=True, counter=True)


def compile_ruleset(  # noqa: PLR0913 - every part of a ruleset is named by the caller
    *,
    mode: Mode,
    networks: Sequence[Network],
    resolvers: Collection[Address],
    nonces: Collection[int],
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
        nonces: the marks of a first SYN to a learned address; not 0, 32 bits.
        exempt: interface names, or their beginnings with a final ``*``.
        uplinks: interfaces that are never exempt, whatever they are called.
        capabilities: what the kernel was found able to do.
        elements: addresses permitted from the first packet on.

    Raises:
        ValueError: a nonce or an interface name can't be used.
    """
    if not all(0 < nonce < 1 << 32 for nonce in nonces):
        raise ValueError("a nonce must be a 32-bit number other than 0, which every packet has")
    for name in (*exempt, *uplinks):
        if not _INTERFACE.fullmatch(name):
            raise ValueError(f'"{name}" names no interface')
    body = [
        *(block(f"counter {DENIED_COUNTER}", ()) if capabilities.counter else ()),
        *sets(networks, resolvers, elements),
        *_judging(
            OUTPUT_CHAIN, _begin_inside(capabilities), _own(mode, capabilities), mode, nonces
        ),
        *_judging(FORWARD_CHAIN, (), (), mode, nonces),
        *(_labelling(exempt, uplinks) if _labels(capabilities) else ()),
        *block(f"chain {LEARNED_CHAIN}", _learned(capabilities)),
        *block(f"chain {PERMITTED_CHAIN}", _permitted(capabilities)),
        *block(f"chain {DESTINATIONS_CHAIN}", _destinations(exempt, uplinks, capabilities)),
        *block(f"chain {LAST_CHAIN[mode]}", _last(mode, capabilities)),
    ]
    table = f"table {FAMILY} {TABLE}"
    # Declared first: deleting a table that does not exist is an error, and
    # `destroy` needs nft 1.0.8 and Linux 6.3.
    return "\n".join((table, f"delete {table}", *block(table, body)[:-1])) + "\n"


def missing_chains(has: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the base chains that our table should have and has not.

    Args:
        has: tells whether it has the chain of that name.
    """
    # The chains that the label is set in exist where the kernel has labels.
    labelling = LABELLING_CHAINS if has(UNJUDGED_CHAIN) else ()
    return tuple(name for name in (*JUDGING_CHAINS, *labelling) if not has(name))


def _hook(name: str) -> str:
    return f"type filter hook {name} priority {_PRIORITY}; policy accept;"


def _judging(
    hook: str, first: Iterable[str], own: Iterable[str], mode: Mode, nonces: Collection[int]
) -> list[str]:
    lines = (
        _hook(hook),
        *first,
        *(f"{route} goto {LAST_CHAIN[mode]}" for route in _SOURCE_ROUTES),
        f"meta mark {{ {', '.join(f'{nonce:#010x}' for nonce in nonces)} }} jump {LEARNED_CHAIN}",
        f"jump {PERMITTED_CHAIN}",
        *own,
        f"goto {LAST_CHAIN[mode]}",
    )
    return block(f"chain {hook}", lines)


def _begin_inside(capabilities: Capabilities) -> Iterator[str]:
    if _labels(capabilities):
        yield f"ct state new ct label set {_INSIDE_LABEL}"


def _own(mode: Mode, capabilities: Capabilities) -> Iterator[str]:
    if _labels(capabilities):
        # Resets too: what they answer chooses eight of their octets.
        yield f"{_FORGED_REPLY} goto {LAST_CHAIN[mode]}"
    yield from own_traffic(ct=capabilities.ct)


def _learned(capabilities: Capabilities) -> Iterator[str]:
    yield "# the mark has done its work: hide it from other people's rules"
    yield "meta mark set 0"
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
        yield f"ct label {_UNJUDGED_LABEL} goto {DESTINATIONS_CHAIN}"
        yield f"{_FORGED_REPLY} goto {DESTINATIONS_CHAIN}"
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
    exempt: Sequence[str], uplinks: Collection[str], capabilities: Capabilities
) -> Iterator[str]:
    verdict = f"goto {EXEMPT_CHAIN}" if _labels(capabilities) else "accept"
    yield from _by_interface("oifname", exempt, uplinks, verdict)
    for names in SETS.values():
        yield f"{names.protocol} daddr @{names.networks} accept"
    for names in SETS.values():
        yield f"{names.protocol} daddr . tcp dport @{names.allow} accept"
    for names in SETS.values():
        port = "meta l4proto { tcp, udp } th dport 53"
        yield f"{names.protocol} daddr @{names.resolvers} {port} accept"


def _labels(capabilities: Capabilities) -> bool:
    return capabilities.ct and capabilities.ct_label


def _labelling(exempt: Sequence[str], uplinks: Collection[str]) -> Iterator[str]:
    """Label connections that begin inside, and of these the ones that nothing judges.

    A container or (IPv6) any user can give one a source that is somebody else's: what
    answers it must not count as a reply.
    """
    # Before the kernel answers in our name, as it does when the hop limit is reached.
    jump = f"ct state new jump {INSIDE_CHAIN}"
    yield from block(f"chain {PREROUTING_CHAIN}", (_hook(PREROUTING_CHAIN), jump))
    inside = _by_interface("iifname", exempt, uplinks, f"ct label set {_INSIDE_LABEL}")
    yield from block(f"chain {INSIDE_CHAIN}", inside)
    jump = f"ct state new jump {UNJUDGED_CHAIN}"
    yield from block(f"chain {INPUT_CHAIN}", (_hook(INPUT_CHAIN), jump))
    yield from block(f"chain {EXEMPT_CHAIN}", (jump, "accept"))
    label = f"ct label {_INSIDE_LABEL} ct label set {_UNJUDGED_LABEL}"
    yield from block(f"chain {UNJUDGED_CHAIN}", (label,))


def _by_interface(
    key: str, exempt: Sequence[str], uplinks: Collection[str], verdict: str
) -> Iterator[str]:
    for name in exempt:
        but = ", ".join(f'"{uplink}"' for uplink in matching(name, uplinks))
        yield (f"{key} != {{ {but} }} " if but else "") + f'{key} "{name}" {verdict}'


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
