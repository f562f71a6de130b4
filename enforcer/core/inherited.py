"""Inherited: what of the sets that an earlier process left a policy still permits.

Pure: no I/O, no clock; every `now` is in monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from enforcer.core.addresses import Address, learnable
from enforcer.core.elements import hosts_in
from enforcer.core.grants import Grants
from enforcer.core.hostname import Pattern
from enforcer.core.promises import REWRITE_SLACK_S
from enforcer.core.table import ListedElement

# No answer holds an address for longer: its TTL and its grace are a day each at most.
LONGEST_S = 2 * 86_400


@dataclass(frozen=True)
class Claim:
    """A host's claim to an (address, port), until *expires*, by the entry *pattern*."""

    address: Address
    port: int
    host: str
    expires: float
    pattern: Pattern


def claims(
    found: Iterable[ListedElement], grants: Grants, now: float, own: Collection[Address]
) -> Iterator[Claim]:
    """Yield the claims that *grants* still permit.

    Each host that an element is commented with claims it until its end, which is no later
    than it was. What nobody commented, or what does not end, was not opened by an answer.

    Args:
        found: in the sets at *now*.
        grants: in force from now on.
        now: monotonic seconds.
        own: addresses of this machine, never learned.
    """
    for each in found:
        if each.expires_s is None:
            continue
        expires = now + min(each.expires_s, LONGEST_S) - REWRITE_SLACK_S
        for host in hosts_in(each.comment):
            grant = grants.match_text(host)
            if (
                grant is not None
                and each.port in grant.ports
                and learnable(each.address, private=grant.private, own=own)
            ):
                yield Claim(each.address, each.port, host, expires, grant.pattern)
