"""One element of a set: an address and port, permitted for a time, with its comment.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from enforcer.core.addresses import Address

# nft refuses to read a comment of more than 128 bytes, the final NUL included
# (NFTNL_UDATA_COMMENT_MAXLEN): with a longer one it can't load its own listing.
COMMENT_MAX = 127

# What can stand between quotes in nftables text.
_COMMENT = re.compile(rf"[ !#-~]{{0,{COMMENT_MAX}}}")


@dataclass(frozen=True)
class TimedElement:
    """One address and TCP port, permitted for a time.

    Attributes:
        address: the destination.
        port: TCP port.
        timeout_ms: lifetime from now, in milliseconds.
        comment: the hosts it belongs to, as `comment` makes it; may be empty.
    """

    address: Address
    port: int
    timeout_ms: int
    comment: str

    def __post_init__(self) -> None:
        if not 0 < self.port < 1 << 16:
            raise ValueError(f"port {self.port} is not a TCP port")
        if self.timeout_ms <= 0:
            raise ValueError(f"timeout of {self.timeout_ms} ms: 0 would mean for ever")
        if not _COMMENT.fullmatch(self.comment):
            raise ValueError(f"comment {self.comment!r} can't be written in a ruleset")


def comment(hosts: Sequence[str]) -> str:
    """Return the comment of an element that belongs to *hosts*, within nftables' limit.

    Hosts that find no place are counted: ``ghcr.io, quay.io, +3``. A hostname
    that is too long alone loses its beginning: whose it is stands at the end.
    """
    for shown in range(len(hosts), 0, -1):
        text = ", ".join((*hosts[:shown], *_count(len(hosts) - shown)))
        if len(text) <= COMMENT_MAX:
            return text
    if not hosts:
        return ""
    rest = ", ".join(("", *_count(len(hosts) - 1)))
    room = COMMENT_MAX - len("...") - len(rest)
    return f"...{hosts[0][-room:]}{rest}"


def hosts_in(text: str) -> tuple[str, ...]:
    """Return the hosts that the comment *text* names in full."""
    parts = text.split(", ") if text else ()
    return tuple(part for part in parts if not part.startswith(("+", "...")))


def _count(hidden: int) -> tuple[str, ...]:
    return (f"+{hidden}",) if hidden else ()
