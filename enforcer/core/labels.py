"""The labels on connections that nothing judged: who sets them, and what they mean.

Pure: no I/O, no clock. docs/adr/0007 says why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from enforcer.core.chains import (
    ARRIVED_CHAIN,
    EXEMPT_CHAIN,
    INPUT_CHAIN,
    INSIDE_CHAIN,
    PREROUTING_CHAIN,
    STRAY_CHAIN,
    UNJUDGED_CHAIN,
    by_interface,
    by_kind,
    hook,
)
from enforcer.core.destinations import ANYBODYS_PORTS, ICMP, ICMPV6, TCP
from enforcer.core.interfaces import LOOPBACK
from enforcer.core.own_traffic import NOT_FIRST_SYN
from enforcer.core.policy import Mode
from enforcer.core.sets import block

# Of 128 bits that a connection keeps: on those that began where nothing is judged, or nobody
# knows where; on those that the machine or what is behind an exempt interface began; and on
# those of a server on the machine whose beginning nobody saw.
# The other user of them is Open vSwitch, in zones of its own.
UNJUDGED_LABEL, INSIDE_LABEL, RESUMED_LABEL = 100, 101, 102
UNJUDGED = f"ct label {UNJUDGED_LABEL}"
# What answers such a connection comes in by a guarded interface, or is forged.
FORGED_REPLY = f"ct direction reply ct label {INSIDE_LABEL}"

# A helper of connection tracking (FTP, TFTP, SIP) announces connections, whose first
# packets are `related` instead of `new`. So are ICMP errors, but what they are about
# began elsewhere.
_FIRST = "ct state new,related"
_ERROR = f"ct state related meta l4proto {{ {ICMP}, {ICMPV6} }}"
# In the other direction it is a reset, to somebody who was refused.
_ANNOUNCED = f"ct state related ct direction original meta l4proto != {{ {ICMP}, {ICMPV6} }}"
# A segment of a connection that is not tracked (any more): to a port of a server on the machine
# its sender began it, as with an ssh session older than this table. Else we may have, and were
# he taken at his word, what a host still sends would make our side of it replies.
_RESUMED = f"ct state new {NOT_FIRST_SYN} ct label set {UNJUDGED_LABEL}"
_BY_SERVER, _BY_CLIENT = f"tcp sport < {ANYBODYS_PORTS}", f"tcp dport >= {ANYBODYS_PORTS}"
_RESUMED_BY_SERVER = f"ct state new {_BY_SERVER} {NOT_FIRST_SYN} ct label set {RESUMED_LABEL}"
_RESUMED_BY_CLIENT = f"ct state new {_BY_CLIENT} {NOT_FIRST_SYN} ct label set {UNJUDGED_LABEL}"
# A segment of no connection, or not in its place.
_STRAY = f"ct state invalid meta l4proto {TCP}"


def going_on() -> Iterator[str]:
    """Return the rules that let out what goes on as it was let begin: nearly every packet.

    A source route would lead it elsewhere. `ct label !` needs nft 0.9.9.
    """
    judged = f"ct label & {UNJUDGED_LABEL} != {UNJUDGED_LABEL}"
    for straight in ("ip hdrlength 5", "meta nfproto ipv6 exthdr rt missing"):
        yield f"{straight} ct state established ct direction original {judged} accept"


def begin_inside() -> Iterator[str]:
    """Return the rules of the output chain that label what the machine begins."""
    yield _RESUMED_BY_SERVER
    begun = f"ct label & {RESUMED_LABEL} != {RESUMED_LABEL}"
    yield f"ct state new {begun} ct label set {INSIDE_LABEL}"
    yield f"{_ANNOUNCED} ct label set {INSIDE_LABEL}"


def labelling(mode: Mode, exempt: Sequence[str], uplinks: Collection[str]) -> Iterator[str]:
    """Label connections that begin inside, and of these the ones that nothing judges.

    A container or (IPv6) any user can give one a source that is somebody else's: what
    answers it must not count as a reply.

    Args:
        mode: in audit mode nothing is dropped.
        exempt: interface names, or their beginnings with a final ``*``.
        uplinks: interfaces that are never exempt, whatever they are called.

    Returns: the chains that do it.
    """
    # Before the kernel answers in our name, as it does when the hop limit is reached.
    jump = f"{_FIRST} jump {INSIDE_CHAIN}"
    yield from block(f"chain {PREROUTING_CHAIN}", (hook(PREROUTING_CHAIN), jump))
    label = f"ct label set {INSIDE_LABEL}"
    inside = (*by_interface("iifname", exempt, uplinks, label), by_kind("iif", uplinks, label))
    yield from block(f"chain {INSIDE_CHAIN}", (f"{_ERROR} return", *inside, _RESUMED_BY_CLIENT))
    arrived = f"ct state != established jump {ARRIVED_CHAIN}"
    yield from block(f"chain {INPUT_CHAIN}", (hook(INPUT_CHAIN), arrived))
    jump = f"{_FIRST} jump {UNJUDGED_CHAIN}"
    strays = (f"{_STRAY} jump {STRAY_CHAIN}",) if mode is Mode.ENFORCE else ()
    yield from block(f"chain {ARRIVED_CHAIN}", (jump, *strays))
    if strays:
        yield from block(f"chain {STRAY_CHAIN}", _strays(exempt, uplinks))
    # Containers have any port: without a translation, it is theirs that is seen outside.
    yield from block(f"chain {EXEMPT_CHAIN}", (_RESUMED, jump, "accept"))
    label = f"ct label {INSIDE_LABEL} ct label set {UNJUDGED_LABEL}"
    yield from block(f"chain {UNJUDGED_CHAIN}", (f"{_ERROR} return", label))


def _strays(exempt: Sequence[str], uplinks: Collection[str]) -> Iterator[str]:
    """Return the rules that lose a stray segment of a container to the machine.

    The reset that it would be answered with belongs to no connection either, so there is no
    label to tell whom it goes to. On the loopback nobody but root can send one.
    """
    behind = [name for name in exempt if name != LOOPBACK]
    yield from by_interface("iifname", behind, uplinks, "drop")
    yield by_kind("iif", uplinks, "drop")


def answers_to_containers(uplinks: Collection[str]) -> str:
    """Return the rule that lets out what answers containers behind an interface that is guarded.

    What leaves by it stays on the machine, whosever name it goes to.
    """
    return by_kind("oif", uplinks, "ct state established,related ct direction reply accept")
