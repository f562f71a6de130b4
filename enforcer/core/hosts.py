"""Hosts: what a policy file writes of each pattern.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from enforcer.core.grants import Grant


@dataclass(frozen=True, slots=True)
class Host(Grant):
    """What the entries for a pattern permit by themselves, without wildcards above it.

    Attributes:
        origin: where it is written: ``hosts``, or the preset; all of them if
            several, sorted and with a comma between.
    """

    origin: str


def merged(hosts: Iterable[Host]) -> tuple[Host, ...]:
    """Return *hosts*, those with the same pattern taken together, sorted by domain."""
    same: dict[str, Host] = {}
    for host in hosts:
        key = host.pattern.sort_key()
        other = same.get(key)
        same[key] = host if other is None else _union(other, host)
    return tuple(same[key] for key in sorted(same))


def _union(one: Host, other: Host) -> Host:
    origins = {*one.origin.split(", "), *other.origin.split(", ")}
    return Host(
        pattern=one.pattern,
        ports=tuple(sorted({*one.ports, *other.ports})),
        private=one.private or other.private,
        origin=", ".join(sorted(origins)),
    )
