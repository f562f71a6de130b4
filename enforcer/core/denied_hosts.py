"""What was denied lately, by host: what a person looks for first.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from enforcer.core.addresses import Address
from enforcer.core.denials import Denial

LATELY_S = 3600.0
# Who asked, as far as that helps to recognize what it is for.
MAX_ASKERS = 3


@dataclass(frozen=True)
class DeniedHost:
    """A host and port that were denied.

    Attributes:
        host: the name last answered for the address; empty where none was.
        address: that was denied last.
        protocol: its IP protocol number.
        port: 0 where the protocol has none.
        packets: so many, as far as they were recorded.
        askers: names of processes, the latest last.
        last: when, wall clock in seconds since the epoch.
    """

    host: str
    address: Address
    protocol: int
    port: int
    packets: int
    askers: tuple[str, ...]
    last: float


def denied_hosts(records: Iterable[Denial], since: float) -> tuple[DeniedHost, ...]:
    """Return what was denied later than *since*, what has most packets first.

    Args:
        records: oldest first.
        since: wall clock, seconds since the epoch.
    """
    found: dict[tuple[str | Address, int, int], DeniedHost] = {}
    for each in records:
        if each.last <= since:
            continue
        to = each.attempt.destination
        key = each.attempt.host or to.address, to.protocol, to.port
        before = found.get(key)
        packets, askers = (0, ()) if before is None else (before.packets, before.askers)
        name = each.details.process
        others = tuple(asker for asker in askers if asker != name)
        found[key] = DeniedHost(
            host=each.attempt.host,
            address=to.address,
            protocol=to.protocol,
            port=to.port,
            packets=packets + each.count,
            askers=(*others, name)[-MAX_ASKERS:] if name else askers,
            last=each.last if before is None else max(before.last, each.last),
        )
    return tuple(sorted(found.values(), key=lambda each: (-each.packets, -each.last)))
