"""The labels on connections that nothing judged: who sets them, and what they mean.

Pure: no I/O, no clock. Why there are two stands in docs/adr/0007.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from enforcer.core.chains import (
    EXEMPT_CHAIN,
    INPUT_CHAIN,
    INSIDE_CHAIN,
    PREROUTING_CHAIN,
    STRAY_CHAIN,
    UNJUDGED_CHAIN,
    by_interface,
    hook,
)
from enforcer.core.interfaces import LOOPBACK
from enforcer.core.policy import Mode
from enforcer.core.sets import block

# Of 128 bits that a connection keeps: on those that began where nothing is judged,
# and on those that the machine or what is behind an exempt interface began.
# The other user of them is Open vSwitch, in zones of its own.
_UNJUDGED_LABEL, _INSIDE_LABEL = 100, 101
UNJUDGED = f"ct label {_UNJUDGED_LABEL}"
# What answers such a connection comes in by a guarded interface, or is forged.
FORGED_REPLY = f"ct direction reply ct label {_INSIDE_LABEL}"

# A helper of connection tracking (FTP, TFTP, SIP) announces connections, whose first
# packets are `related` instead of `new`. So are ICMP errors, but what they are about
# began elsewhere.
_FIRST = "ct state new,related"
_ERROR = "ct state related meta l4proto { icmp, ipv6-icmp }"
_ANNOUNCED = "ct state related meta l4proto != { icmp, ipv6-icmp }"
# A segment of no connection, or not in its place.
_STRAY = "ct state invalid meta l4proto tcp"


def begin_inside() -> Iterator[str]:
    """Return the rules of the output chain that label what the machine begins."""
    yield f"ct state new ct label set {_INSIDE_LABEL}"
    yield f"{_ANNOUNCED} ct label set {_INSIDE_LABEL}"


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
    inside = by_interface("iifname", exempt, uplinks, f"ct label set {_INSIDE_LABEL}")
    yield from block(f"chain {INSIDE_CHAIN}", (f"{_ERROR} return", *inside))
    jump = f"{_FIRST} jump {UNJUDGED_CHAIN}"
    strays = (f"{_STRAY} jump {STRAY_CHAIN}",) if mode is Mode.ENFORCE else ()
    yield from block(f"chain {INPUT_CHAIN}", (hook(INPUT_CHAIN), jump, *strays))
    if strays:
        yield from block(f"chain {STRAY_CHAIN}", _strays(exempt, uplinks))
    yield from block(f"chain {EXEMPT_CHAIN}", (jump, "accept"))
    label = f"ct label {_INSIDE_LABEL} ct label set {_UNJUDGED_LABEL}"
    yield from block(f"chain {UNJUDGED_CHAIN}", (f"{_ERROR} return", label))


def _strays(exempt: Sequence[str], uplinks: Collection[str]) -> Iterator[str]:
    """Return the rules that lose a stray segment of a container to the machine.

    The reset that it would be answered with belongs to no connection either, so there is no
    label to tell whom it goes to. On the loopback nobody but root can send one.
    """
    behind = [name for name in exempt if name != LOOPBACK]
    yield from by_interface("iifname", behind, uplinks, "drop")
